#include "examiner/render.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "examiner/json.h"
#include "message/charset.h"
#include "message/date.h"
#include "message/envelope.h"
#include "message/header.h"
#include "message/structure.h"
#include "message/transfer.h"
#include "message/words.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { SLICE = 64 * 1024, FIELD_LEN_LEAST = 256, IDS_MAX = 1000 };

/* What is to become of a part. */
enum place { PLACE_NOWHERE, PLACE_TEXT, PLACE_HTML, PLACE_ATTACHMENT };

struct render {
    struct json_writer json;
    struct arena *arena; /* borrowed */
    struct str message;  /* borrowed */
    struct message_structure structure;
    struct structure_notes *notes;
    enum place *places; /* of each part */
    struct buf scratch; /* own */
};

static struct str range_of(const struct render *render, uint64_t start, uint64_t len)
{
    return str_make(render->message.ptr + start, (size_t)len);
}

static struct str body_of(const struct render *render, const struct message_part *part)
{
    return range_of(render, part->body_start, part->body_len);
}

/* Writes the scratch as a text, and empties it. */
static void take_scratch(struct render *render)
{
    json_put_text(&render->json, buf_str(&render->scratch));
    buf_truncate(&render->scratch, 0);
}

/* ---- The header ---- */

/* Every field in its order, decoded; long ones, and those beyond the budget, are cut. */
static void write_headers(struct render *render, struct str header)
{
    struct json_writer *json = &render->json;
    size_t position = 0, count = 0, budget = RENDER_HEADER_BUDGET;
    struct header_field field;

    json_key(json, STR("headers"));
    json_array_begin(json);
    while (count < RENDER_FIELDS_MAX && header_field_next(header, &position, &field)) {
        size_t max = budget < FIELD_LEN_LEAST ? FIELD_LEN_LEAST : budget;

        if (field.name.len == 0)
            continue;
        count++;
        field.value = str_upto(field.value, max < HEADER_FIELD_MAX ? max : HEADER_FIELD_MAX);
        budget -= field.value.len < budget ? field.value.len : budget;
        json_object_begin(json);
        json_key(json, STR("name"));
        charset_guess_to_utf8(str_upto(field.name, FIELD_LEN_LEAST), &render->scratch);
        take_scratch(render);
        json_key(json, STR("value"));
        message_header_decode(field.value, &render->scratch);
        take_scratch(render);
        json_object_end(json);
    }
    json_array_end(json);
}

/* Dot-atom (RFC 5322 §3.2.3), or letters of other scripts (RFC 6532). */
static bool is_dot_atom(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!ascii_is_alnum(c) && !ascii_is_8bit(c) &&
            memchr("!#$%&'*+-/=?^_`{|}~.", c, 20) == NULL)
            return false;
    }
    return text.len > 0;
}

/* local@domain, the local part quoted where it must be. */
static void put_address(const struct address *address, struct buf *out)
{
    if (is_dot_atom(address->mailbox)) {
        charset_guess_to_utf8(address->mailbox, out);
    } else if (address->mailbox.len > 0 || address->host.len > 0) {
        buf_put(out, STR("\""));
        for (size_t i = 0; i < address->mailbox.len; i++) {
            char c = address->mailbox.ptr[i];

            if (c == '"' || c == '\\')
                buf_put(out, STR("\\"));
            buf_put(out, str_make(&c, 1));
        }
        buf_put(out, STR("\""));
    }
    if (address->host.len > 0) {
        buf_put(out, STR("@"));
        charset_guess_to_utf8(address->host, out);
    }
}

static void write_addresses(struct render *render, struct str key, const struct address_list *list)
{
    struct json_writer *json = &render->json;

    json_key(json, key);
    json_array_begin(json);
    for (size_t i = 0; i < list->count; i++) {
        const struct address *address = &list->addresses[i];

        if (address->kind != ADDRESS_MAILBOX)
            continue;
        json_object_begin(json);
        json_key(json, STR("name"));
        words_decode(address->name, &render->scratch);
        take_scratch(render);
        json_key(json, STR("address"));
        put_address(address, &render->scratch);
        take_scratch(render);
        json_object_end(json);
    }
    json_array_end(json);
}

/* msg-id = "<" id-left "@" id-right ">" (RFC 5322 §3.6.4), without the brackets. */
static bool next_message_id(struct str *rest, struct str *out)
{
    ptrdiff_t open = str_index(*rest, '<');
    ptrdiff_t close = open < 0 ? -1 : str_index(str_from(*rest, (size_t)open), '>');

    if (close < 0)
        return false;
    *out = str_trim(str_make(rest->ptr + open + 1, (size_t)close - 1));
    *rest = str_from(*rest, (size_t)(open + close) + 1);
    return true;
}

static void write_first_id(struct render *render, struct str key, struct str value)
{
    struct str id = STR("");

    (void)next_message_id(&value, &id);
    charset_guess_to_utf8(id, &render->scratch);
    json_key(&render->json, key);
    json_put_text_or_null(&render->json, buf_str(&render->scratch));
    buf_truncate(&render->scratch, 0);
}

static void write_references(struct render *render, struct str value)
{
    struct str id;

    json_key(&render->json, STR("references"));
    json_array_begin(&render->json);
    for (size_t i = 0; i < IDS_MAX && next_message_id(&value, &id); i++) {
        charset_guess_to_utf8(id, &render->scratch);
        take_scratch(render);
    }
    json_array_end(&render->json);
}

static void write_date(struct render *render, struct str value)
{
    char text[CLOCK_ISO_ROOM];
    int64_t ms, day;

    json_key(&render->json, STR("date"));
    if (value.len == 0 || !date_parse(value, &ms, &day)) {
        json_put_null(&render->json);
        return;
    }
    clock_format_iso(ms, text);
    json_put_text(&render->json, str_from_c(text));
}

static void write_envelope_facts(struct render *render, struct str header)
{
    static const struct {
        struct str key;
        enum envelope_field field;
    } lists[] = {
        {STR_INIT("from"), ENVELOPE_FROM},
        {STR_INIT("replyTo"), ENVELOPE_REPLY_TO},
        {STR_INIT("to"), ENVELOPE_TO},
        {STR_INIT("cc"), ENVELOPE_CC},
    };
    size_t budget = HEADER_BUDGET;
    struct envelope envelope;

    envelope_read(render->arena, header, &budget, &envelope);
    json_key(&render->json, STR("subject"));
    words_decode(envelope.values[ENVELOPE_SUBJECT], &render->scratch);
    take_scratch(render);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        write_addresses(render, lists[i].key, &envelope.addresses[lists[i].field]);
    write_date(render, envelope.values[ENVELOPE_DATE]);
    write_first_id(render, STR("messageId"), envelope.values[ENVELOPE_MESSAGE_ID]);
    write_first_id(render, STR("inReplyTo"), envelope.values[ENVELOPE_IN_REPLY_TO]);
    write_references(render, envelope.values[ENVELOPE_REFERENCES]);
}

/* ---- The parts ---- */

/* Text that a reader shows in the message's place, not as a file. */
static enum place place_of_leaf(const struct message_part *part)
{
    if (!str_equal(part->type, STR("text")) || part->is_attachment || part->filename.len > 0)
        return PLACE_ATTACHMENT;
    if (str_equal(part->subtype, STR("plain")))
        return PLACE_TEXT;
    return str_equal(part->subtype, STR("html")) ? PLACE_HTML : PLACE_ATTACHMENT;
}

/* A message inside is one attachment, as it is: its own parts are nowhere. */
static void find_places(struct render *render)
{
    const struct message_structure *structure = &render->structure;
    bool *is_inside = ARENA_ARRAY(render->arena, bool, structure->part_count);
    uint64_t used[PLACE_ATTACHMENT + 1] = {0};

    render->places = ARENA_ARRAY(render->arena, enum place, structure->part_count);
    for (uint32_t i = 0; i < structure->part_count; i++) {
        const struct message_part *part = &structure->parts[i];
        enum place *place = &render->places[i];

        is_inside[i] = i > 0 && (is_inside[part->parent] ||
                                 structure->parts[part->parent].kind == MESSAGE_KIND_MESSAGE);
        if (is_inside[i] || part->kind == MESSAGE_KIND_MULTIPART)
            continue;
        *place = part->kind == MESSAGE_KIND_LEAF ? place_of_leaf(part) : PLACE_ATTACHMENT;
        if (*place != PLACE_ATTACHMENT && used[*place] + part->body_len > RENDER_TEXT_MAX)
            *place = PLACE_ATTACHMENT;
        used[*place] += part->body_len;
    }
}

/* CRLF becomes LF, in place. */
static void unify_lines(struct buf *text)
{
    size_t len = 0;

    for (size_t i = 0; i < text->len; i++) {
        if (text->ptr[i] != '\r' || i + 1 == text->len || text->ptr[i + 1] != '\n')
            text->ptr[len++] = text->ptr[i];
    }
    buf_truncate(text, len);
}

static void put_part_text(struct render *render, const struct message_part *part, struct buf *out)
{
    CLEANUP(buf_free) struct buf decoded;
    struct str body = body_of(render, part);

    buf_init(&decoded, SIZE_MAX);
    message_decode_body(part->encoding, body, &decoded);
    if (part->charset.len > 0)
        charset_to_utf8(part->charset, buf_str(&decoded), out);
    else
        charset_guess_to_utf8(buf_str(&decoded), out);
}

/* All parts of the place, one after the other; null: there are none. */
static void write_text(struct render *render, struct str key, enum place place)
{
    CLEANUP(buf_free) struct buf text;
    bool is_there = false;

    buf_init(&text, SIZE_MAX);
    for (uint32_t i = 0; i < render->structure.part_count; i++) {
        if (render->places[i] != place)
            continue;
        if (is_there)
            buf_put(&text, STR("\n"));
        is_there = true;
        put_part_text(render, &render->structure.parts[i], &text);
    }
    unify_lines(&text);
    json_key(&render->json, key);
    if (is_there)
        json_put_text(&render->json, buf_str(&text));
    else
        json_put_null(&render->json);
}

/* The content, decoded and written as base64; gives its size. */
static uint64_t write_content(struct render *render, const struct message_part *part)
{
    struct json_writer *json = &render->json;
    struct str body = body_of(render, part);
    struct transfer transfer;
    uint64_t size = 0;

    json_key(json, STR("content"));
    json_base64_begin(json);
    transfer_init(&transfer, part->encoding);
    while (body.len > 0) {
        struct str slice = str_upto(body, SLICE);

        transfer_feed(&transfer, slice, &render->scratch);
        body = str_from(body, slice.len);
        if (body.len == 0)
            transfer_end(&transfer, &render->scratch);
        size += render->scratch.len;
        json_base64_feed(json, buf_str(&render->scratch));
        buf_truncate(&render->scratch, 0);
    }
    json_base64_end(json);
    return size;
}

static struct str content_id(const struct render *render, uint32_t index)
{
    struct str value = str_trim(render->notes[index].fields[STRUCTURE_CONTENT_ID]);
    struct str id;

    return next_message_id(&value, &id) ? id : value;
}

static void write_attachment(struct render *render, uint32_t index)
{
    const struct message_part *part = &render->structure.parts[index];
    struct json_writer *json = &render->json;
    uint64_t size;

    json_object_begin(json);
    json_key(json, STR("filename"));
    json_put_text_or_null(json, part->filename);
    json_key(json, STR("contentType"));
    charset_guess_to_utf8(part->type, &render->scratch);
    buf_put(&render->scratch, STR("/"));
    charset_guess_to_utf8(part->subtype, &render->scratch);
    take_scratch(render);
    json_key(json, STR("contentId"));
    charset_guess_to_utf8(content_id(render, index), &render->scratch);
    json_put_text_or_null(json, buf_str(&render->scratch));
    buf_truncate(&render->scratch, 0);
    json_key(json, STR("disposition"));
    json_put_text(json, part->is_attachment ? STR("attachment") : STR("inline"));
    size = write_content(render, part);
    json_key(json, STR("size"));
    json_put_number(json, size);
    json_object_end(json);
}

static void write_attachments(struct render *render)
{
    json_key(&render->json, STR("attachments"));
    json_array_begin(&render->json);
    for (uint32_t i = 0; i < render->structure.part_count; i++) {
        if (render->places[i] == PLACE_ATTACHMENT)
            write_attachment(render, i);
    }
    json_array_end(&render->json);
}

/* ---- The envelope's members ---- */

static bool is_ours(const char *key)
{
    static const char *const ours[] = {
        "headers",   "subject",   "from",       "replyTo", "to",   "cc",          "date",
        "messageId", "inReplyTo", "references", "text",    "html", "attachments", "raw"};

    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        if (strcmp(ours[i], key) == 0)
            return true;
    }
    return false;
}

static void free_json(json_t **value)
{
    json_decref(*value);
    *value = NULL;
}

static enum err parse_envelope(struct task *task, struct str text, json_t **out)
{
    json_t *value;

    if (text.len == 0) {
        *out = json_object();
        return ERR_OK;
    }
    value = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(value)) {
        json_decref(value);
        return fail(task, ERR_INVALID, "a webhook's envelope is no JSON object");
    }
    *out = value;
    return ERR_OK;
}

static void write_members(struct render *render, json_t *envelope)
{
    const char *key;
    json_t *value;

    json_object_foreach(envelope, key, value) {
        char *text;

        if (is_ours(key))
            continue;
        text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        if (text == NULL)
            continue;
        json_key(&render->json, str_from_c(key));
        json_put_raw(&render->json, str_from_c(text));
        free(text);
    }
}

static void write_raw(struct render *render, uint64_t trace_len)
{
    json_key(&render->json, STR("raw"));
    json_base64_begin(&render->json);
    json_base64_feed(
        &render->json,
        str_from(render->message, trace_len > render->message.len ? 0 : (size_t)trace_len));
    json_base64_end(&render->json);
}

enum err render_message(struct task *task, const struct render_request *request, int fd)
{
    CLEANUP(free_json) json_t *envelope = NULL;
    struct render render = {.arena = &task->arena, .message = request->message};
    struct str header;

    TRY(parse_envelope(task, request->envelope, &envelope));
    if (render.message.len == 0)
        render.message = STR("");
    buf_init(&render.scratch, SIZE_MAX);
    structure_scan(render.arena, render.message, &render.structure, &render.notes);
    find_places(&render);
    header = range_of(&render, 0, render.structure.parts[0].header_len);
    json_begin(&render.json, task, fd);
    json_object_begin(&render.json);
    write_members(&render, envelope);
    write_headers(&render, header);
    write_envelope_facts(&render, header);
    write_text(&render, STR("text"), PLACE_TEXT);
    write_text(&render, STR("html"), PLACE_HTML);
    write_attachments(&render);
    if (request->with_raw)
        write_raw(&render, request->trace_len);
    json_object_end(&render.json);
    buf_free(&render.scratch);
    return json_end(&render.json);
}
