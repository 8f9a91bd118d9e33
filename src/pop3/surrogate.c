#include "pop3/surrogate.h"

#include "base/ascii.h"
#include "base/encode.h"
#include "base/macros.h"
#include "message/address.h"
#include "message/header.h"
#include "message/message.h"

#include <string.h>

enum { WORD_BYTES = 45 }; /* in base64, with what is around them, under 75 (RFC 2047 §2) */

/* ---- Which messages ---- */

bool pop3_surrogate_is_likely(struct str beginning)
{
    struct header_field field;
    size_t position = 0;

    while (header_field_next(beginning, &position, &field)) {
        if (str_equal_nocase(field.name, STR("Received")))
            return str_find(field.value, STR(" with UTF8SMTP")) >= 0;
    }
    return false;
}

static bool is_empty_line(struct str text, size_t at)
{
    return text.ptr[at] == '\n' ||
           (text.ptr[at] == '\r' && at + 1 < text.len && text.ptr[at + 1] == '\n');
}

/* Where header_field_next would end; line by line, as it is asked of every message. */
size_t pop3_surrogate_header_len(struct str beginning)
{
    size_t at = 0;

    while (at < beginning.len && !is_empty_line(beginning, at)) {
        const char *lf = memchr(beginning.ptr + at, '\n', beginning.len - at);

        at = lf == NULL ? beginning.len : (size_t)(lf - beginning.ptr) + 1;
    }
    return at;
}

bool pop3_surrogate_is_ruled_out(struct str beginning)
{
    size_t len = pop3_surrogate_header_len(beginning);

    return len < beginning.len && str_is_ascii(str_upto(beginning, len));
}

bool pop3_surrogate_is_needed(struct str header)
{
    return header.len > POP3_SURROGATE_HEADER_MAX || (!str_is_ascii(header) && str_is_utf8(header));
}

size_t pop3_surrogate_fields_len(struct str header, size_t max)
{
    struct header_field field;
    size_t position = 0, len = 0;

    while (header_field_next(header, &position, &field) && position <= max)
        len = position;
    return len;
}

/* ---- Writing ---- */

/* Encoded words, one a line (RFC 2047 §2); none ends inside a character (§5). */
static void write_words(struct buf *out, struct str text)
{
    while (text.len > 0) {
        size_t len = text.len < WORD_BYTES ? text.len : WORD_BYTES;

        while (len < text.len && len > 1 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
            len--;
        buf_put(out, STR("=?UTF-8?B?"));
        if (encode_base64(out, str_upto(text, len)) != ERR_OK)
            return;
        buf_put(out, STR("?="));
        text = str_from(text, len);
        if (text.len > 0)
            buf_put(out, STR("\r\n "));
    }
}

static bool is_atext(char c)
{
    return ascii_is_alnum(c) || (c != '\0' && str_index(STR("!#$%&'*+-/=?^_`{|}~"), c) >= 0);
}

/* As it is where its characters allow that, else as a quoted string (RFC 5322 §3.2.4). */
static void write_ascii(struct buf *out, struct str text, char also_plain)
{
    bool is_plain = text.len > 0;

    for (size_t i = 0; i < text.len; i++)
        is_plain = is_plain && (is_atext(text.ptr[i]) || text.ptr[i] == also_plain);
    if (is_plain) {
        buf_put(out, text);
        return;
    }
    buf_put(out, STR("\""));
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            buf_put(out, STR("\\"));
        if (!ascii_is_control(text.ptr[i]))
            buf_put(out, str_make(text.ptr + i, 1));
    }
    buf_put(out, STR("\""));
}

static void write_phrase(struct buf *out, struct str text)
{
    if (str_is_ascii(text) && str_find(text, STR("=?")) < 0)
        write_ascii(out, text, ' ');
    else
        write_words(out, text);
}

/* addr-spec, as it is meant for a reader when it is not ASCII. */
static void write_spec(struct buf *out, const struct address *address)
{
    if (str_is_ascii(address->mailbox) && str_is_ascii(address->host))
        write_ascii(out, address->mailbox, '.');
    else
        buf_put(out, address->mailbox);
    if (address->host.len > 0) {
        buf_put(out, STR("@"));
        for (size_t i = 0; i < address->host.len; i++) {
            if (!ascii_is_control(address->host.ptr[i]) && address->host.ptr[i] != ' ')
                buf_put(out, str_make(address->host.ptr + i, 1));
        }
    }
}

/* RFC 6858 §2.1 */
static void write_mailbox(struct buf *out, const struct address *address)
{
    CLEANUP(buf_free) struct buf name = {0};
    bool is_plain = str_is_ascii(address->mailbox) && str_is_ascii(address->host);

    buf_init(&name, SIZE_MAX);
    if (address->name.len > 0)
        message_header_decode(address->name, &name);
    if (!is_plain) {
        if (name.len > 0)
            buf_put(&name, STR(" "));
        write_spec(&name, address);
    }
    if (name.len > 0) {
        write_phrase(out, buf_str(&name));
        buf_put(out, STR(" "));
    }
    buf_put(out, STR("<"));
    if (is_plain)
        write_spec(out, address);
    else
        buf_put(out, STR("invalid@internationalized-address.invalid"));
    buf_put(out, STR(">"));
}

static void write_group_name(struct buf *out, struct str encoded)
{
    CLEANUP(buf_free) struct buf name = {0};

    buf_init(&name, SIZE_MAX);
    message_header_decode(encoded, &name);
    write_phrase(out, buf_str(&name));
    buf_put(out, STR(":"));
}

static bool write_addresses(struct arena *arena, struct str flat, struct buf *out)
{
    struct address_list list = {0};
    bool is_first = true;

    address_parse(arena, flat, &list);
    for (size_t i = 0; i < list.count; i++) {
        const struct address *address = &list.addresses[i];

        if (address->kind == ADDRESS_GROUP_END) {
            buf_put(out, STR(";"));
            is_first = false;
            continue;
        }
        buf_put(out, is_first ? STR(" ") : STR(",\r\n "));
        is_first = address->kind == ADDRESS_GROUP_START;
        if (is_first)
            write_group_name(out, address->mailbox);
        else
            write_mailbox(out, address);
    }
    return list.count > 0;
}

/* RFC 6858 §2.3 */
static bool write_subject(struct arena *arena, struct str flat, struct buf *out)
{
    CLEANUP(buf_free) struct buf text = {0};

    (void)arena;
    buf_init(&text, SIZE_MAX);
    message_header_decode(flat, &text);
    buf_put(out, STR(" "));
    write_words(out, buf_str(&text));
    return true;
}

/* The end of a parameter: the next ';' that no quotes protect. */
static size_t parameter_end(struct str text)
{
    bool is_quoted = false;
    size_t i = 0;

    for (; i < text.len && (is_quoted || text.ptr[i] != ';'); i++) {
        if (text.ptr[i] == '"')
            is_quoted = !is_quoted;
        else if (text.ptr[i] == '\\' && is_quoted)
            i++;
    }
    return i < text.len ? i : text.len;
}

/* RFC 6858 §2.2 */
static bool write_parameters(struct arena *arena, struct str flat, struct buf *out)
{
    struct str value = str_upto(flat, parameter_end(flat));

    (void)arena;
    if (!str_is_ascii(value))
        return false;
    buf_put(out, STR(" "));
    buf_put(out, value);
    while (value.len < flat.len) {
        flat = str_from(flat, value.len + 1);
        value = str_upto(flat, parameter_end(flat));
        if (!str_is_ascii(value) || str_trim(value).len == 0)
            continue;
        buf_put(out, STR(";\r\n "));
        buf_put(out, str_trim(value));
    }
    return true;
}

/* ---- Fields ---- */

/* False: it cannot be said in ASCII. */
typedef bool write_value(struct arena *arena, struct str flat, struct buf *out);

static const struct {
    struct str name;
    write_value *write;
} writers[] = {
    {STR_INIT("From"), write_addresses},
    {STR_INIT("Sender"), write_addresses},
    {STR_INIT("Reply-To"), write_addresses},
    {STR_INIT("To"), write_addresses},
    {STR_INIT("Cc"), write_addresses},
    {STR_INIT("Bcc"), write_addresses},
    {STR_INIT("Resent-From"), write_addresses},
    {STR_INIT("Resent-Sender"), write_addresses},
    {STR_INIT("Resent-To"), write_addresses},
    {STR_INIT("Resent-Cc"), write_addresses},
    {STR_INIT("Resent-Bcc"), write_addresses},
    {STR_INIT("Subject"), write_subject},
    {STR_INIT("Content-Type"), write_parameters},
    {STR_INIT("Content-Disposition"), write_parameters},
};

static bool write_field(struct arena *arena, const struct header_field *field, struct buf *out)
{
    size_t budget = POP3_SURROGATE_HEADER_MAX;

    for (size_t i = 0; i < ARRAY_LEN(writers); i++) {
        if (!str_equal_nocase(field->name, writers[i].name))
            continue;
        buf_put(out, field->name);
        buf_put(out, STR(":"));
        if (!writers[i].write(arena, header_flat(arena, field->value, &budget), out))
            return false;
        buf_put(out, STR("\r\n"));
        return true;
    }
    return false;
}

void pop3_surrogate_write(struct arena *arena, struct str header, struct buf *out)
{
    size_t position = 0, first = out->len;
    struct header_field field;

    while (header_field_next(header, &position, &field)) {
        size_t before = out->len;

        if (str_is_ascii(field.whole))
            buf_put(out, field.whole);
        else if (!str_is_utf8(field.whole) || !write_field(arena, &field, out) ||
                 out->len - first > POP3_SURROGATE_MAX)
            buf_truncate(out, before);
    }
}

/* ---- What is too long ---- */

void pop3_surrogate_rest_init(struct pop3_surrogate_rest *rest)
{
    *rest = (struct pop3_surrogate_rest){.is_in_header = true, .is_at_start = true};
}

void pop3_surrogate_rest_mask(struct pop3_surrogate_rest *rest, char *bytes, size_t len)
{
    for (size_t i = 0; i < len && rest->is_in_header; i++) {
        if (bytes[i] == '\n') {
            rest->is_in_header = !rest->is_at_start && !rest->is_after_cr;
            rest->is_at_start = true;
            rest->is_after_cr = false;
            continue;
        }
        rest->is_after_cr = rest->is_at_start && bytes[i] == '\r';
        rest->is_at_start = false;
        if (ascii_is_8bit(bytes[i]))
            bytes[i] = '?';
    }
}
