#include "examiner/bounce.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/macros.h"
#include "message/header.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_TEXT_MAX = 11, WORDS_MAX = 200, JSON_MAX = 64 * 1024 };

/* One recipient's fields (RFC 3464 §2.3). */
struct failure {
    struct str original, final, action, status, diagnostic;
};

/* ---- The parts of it ---- */

static bool is_type(const struct message_part *part, const char *type, const char *subtype)
{
    return str_equal(part->type, str_from_c(type)) && str_equal(part->subtype, str_from_c(subtype));
}

static bool is_status(const struct message_part *part)
{
    return is_type(part, "message", "delivery-status") ||
           is_type(part, "message", "global-delivery-status");
}

static bool is_original(const struct message_part *part)
{
    return is_type(part, "text", "rfc822-headers") || is_type(part, "message", "rfc822") ||
           is_type(part, "message", "global-headers") || is_type(part, "message", "global");
}

/* The beginning of a part, decoded. */
static struct str read_part(struct arena *arena, struct str message,
                            const struct message_part *part)
{
    struct str body = str_make(message.ptr + part->body_start, (size_t)part->body_len);
    CLEANUP(buf_free) struct buf out;

    body = str_upto(body, BOUNCE_STATUS_MAX);
    if (part->encoding != MESSAGE_ENCODING_QUOTED_PRINTABLE &&
        part->encoding != MESSAGE_ENCODING_BASE64)
        return body;
    buf_init(&out, BOUNCE_STATUS_MAX);
    message_decode_body(part->encoding, body, &out);
    return arena_copy(arena, buf_str(&out));
}

/* ---- Fields ---- */

static bool is_visible(struct str text, size_t max)
{
    if (text.len == 0 || text.len > max)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (ascii_is_control(text.ptr[i]) || ascii_is_space(text.ptr[i]))
            return false;
    }
    return true;
}

static struct str flat(struct arena *arena, struct str value)
{
    size_t budget = BOUNCE_ID_MAX;

    return header_flat(arena, value, &budget);
}

/* "rfc822; ann@example.org": the address; empty: none that we could have written. */
static struct str typed_address(struct str value)
{
    ptrdiff_t semicolon = str_index(value, ';'), at;
    struct str address;

    if (semicolon < 0)
        return STR("");
    address = str_trim(str_from(value, (size_t)semicolon + 1));
    if (address.len > 2 && address.ptr[0] == '<' && address.ptr[address.len - 1] == '>')
        address = str_make(address.ptr + 1, address.len - 2);
    at = str_last_index(address, '@');
    if (at <= 0 || (size_t)at + 1 == address.len || !is_visible(address, BOUNCE_ADDRESS_MAX))
        return STR("");
    return address;
}

/* "5.1.1", maybe with a comment behind it. */
static struct str status_code(struct str value)
{
    size_t len = 0, dots = 0;

    while (len < value.len && len < STATUS_TEXT_MAX &&
           (ascii_is_digit(value.ptr[len]) || value.ptr[len] == '.'))
        dots += value.ptr[len++] == '.';
    return dots == 2 && value.ptr[len - 1] != '.' ? str_upto(value, len) : STR("");
}

static struct str id_in_angles(struct str value)
{
    ptrdiff_t start = str_index(value, '<'), end = str_index(value, '>');
    struct str id;

    if (start < 0 || end < start)
        return STR("");
    id = str_make(value.ptr + start, (size_t)(end - start) + 1);
    return is_visible(id, BOUNCE_ID_MAX) ? id : STR("");
}

static struct str find_field(struct arena *arena, struct str block, struct str name)
{
    size_t position = 0;
    struct str value;

    return message_header_next(block, name, &position, &value) ? flat(arena, value) : STR("");
}

/* The next block of fields; those between are empty lines. False: no more. */
static bool next_block(struct str *rest, struct str *out)
{
    struct header_field field;
    size_t position = 0;

    while (rest->len > 0 && (rest->ptr[0] == '\r' || rest->ptr[0] == '\n'))
        *rest = str_from(*rest, 1);
    while (header_field_next(*rest, &position, &field))
        continue;
    *out = str_upto(*rest, position);
    *rest = str_from(*rest, position);
    return position > 0;
}

/* ---- JSON ---- */

static void put(json_t *object, const char *name, struct str text)
{
    if (text.len > 0) /* NULL for what is no UTF-8, which is then left out */
        (void)json_object_set_new(object, name, json_stringn(text.ptr, text.len));
}

static struct str plain_words(struct arena *arena, struct str diagnostic)
{
    ptrdiff_t semicolon = str_index(diagnostic, ';');
    struct str words = str_upto(str_trim(str_from(diagnostic, (size_t)(semicolon + 1))), WORDS_MAX);
    char *bytes = arena_alloc(arena, words.len + 1, 1);

    for (size_t i = 0; i < words.len; i++)
        bytes[i] =
            ascii_is_control(words.ptr[i]) || ascii_is_8bit(words.ptr[i]) ? '?' : words.ptr[i];
    return str_make(bytes, words.len);
}

/* What failed for good is added. */
static void add_failure(struct arena *arena, struct str block, json_t *failures)
{
    struct str status = status_code(find_field(arena, block, STR("Status")));
    struct str original = typed_address(find_field(arena, block, STR("Original-Recipient")));
    struct str final = typed_address(find_field(arena, block, STR("Final-Recipient")));
    json_t *one;

    if (!str_equal_nocase(find_field(arena, block, STR("Action")), STR("failed")) ||
        !str_starts_with(status, STR("5.")) || (original.len == 0 && final.len == 0))
        return;
    one = json_object();
    put(one, "original", original);
    put(one, "final", final);
    put(one, "status", status);
    put(one, "words", plain_words(arena, find_field(arena, block, STR("Diagnostic-Code"))));
    (void)json_array_append_new(failures, one);
}

static struct str write_json(struct arena *arena, struct str id, struct str envid, json_t *failures)
{
    json_t *root = json_object();
    struct str out = STR("");
    char *text;

    put(root, "message_id", id);
    put(root, "envid", envid);
    (void)json_object_set(root, "failed", failures);
    text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    if (text != NULL && strlen(text) <= JSON_MAX)
        out = arena_copy(arena, str_from_c(text));
    free(text);
    json_decref(root);
    return out;
}

struct str examiner_read_bounce(struct arena *arena, struct str message,
                                const struct message_structure *structure)
{
    struct str status = STR(""), original = STR(""), block, id, envid, out = STR("");
    const struct message_part *parts = structure->parts;
    json_t *failures;

    if (parts[0].kind != MESSAGE_KIND_MULTIPART || !is_type(&parts[0], "multipart", "report"))
        return STR("");
    for (uint32_t at = parts[0].first_child; at != 0; at = parts[at].next) {
        if (is_status(&parts[at]) && status.len == 0)
            status = read_part(arena, message, &parts[at]);
        else if (is_original(&parts[at]) && original.len == 0)
            original = read_part(arena, message, &parts[at]);
    }
    if (!next_block(&status, &block)) /* of the message, first (RFC 3464 §2.2) */
        return STR("");
    envid = find_field(arena, block, STR("Original-Envelope-Id"));
    if (!is_visible(envid, BOUNCE_ID_MAX))
        envid = STR("");
    id = id_in_angles(find_field(arena, original, STR("Message-ID")));
    if (id.len == 0 && envid.len == 0)
        return STR("");
    failures = json_array();
    for (size_t i = 0; i < BOUNCE_RECIPIENTS_MAX && next_block(&status, &block); i++)
        add_failure(arena, block, failures);
    if (json_array_size(failures) > 0)
        out = write_json(arena, id, envid, failures);
    json_decref(failures);
    return out;
}
