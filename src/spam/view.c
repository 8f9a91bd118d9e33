#include "spam/view.h"

#include "message/charset.h"
#include "message/header.h"
#include "message/html.h"

struct str spam_view_body(struct str message, const struct message_part *part)
{
    if (part->body_start > message.len)
        return STR("");
    return str_upto(str_from(message, (size_t)part->body_start),
                    (size_t)(part->body_len > message.len ? message.len : part->body_len));
}

/* --- Header --- */

static bool raw_field(const struct spam_view *view, struct str name, struct str *out)
{
    size_t position = 0;

    return message_header_next(view->header, name, &position, out);
}

struct str spam_view_field(struct task *task, const struct spam_view *view, struct str name)
{
    CLEANUP(buf_free) struct buf text = {0};
    struct str value;

    if (!raw_field(view, name, &value))
        return STR("");
    buf_init(&text, SIZE_MAX);
    message_header_decode(str_upto(value, SPAM_VIEW_FIELD_MAX), &text);
    return arena_copy(&task->arena, str_trim(buf_str(&text)));
}

static void read_addresses(struct task *task, const struct spam_view *view, struct str name,
                           struct address_list *out)
{
    size_t budget = SPAM_VIEW_FIELD_MAX;
    struct str value;

    if (raw_field(view, name, &value))
        address_parse(&task->arena, header_flat(&task->arena, value, &budget), out);
}

/* --- Texts --- */

static struct str without_markup(struct task *task, struct str source)
{
    struct html_reader reader = {.html = source};

    if (source.len == 0)
        return STR("");
    reader.room = arena_alloc(&task->arena, source.len + 1, 1);
    while (html_reader_step(&reader, SIZE_MAX))
        continue;
    return str_make(reader.room, reader.len);
}

static void add_text(struct task *task, struct spam_view *view, uint32_t index, struct str raw)
{
    const struct message_part *part = &view->structure->parts[index];
    struct spam_text *text = &view->texts[view->text_count++];
    CLEANUP(buf_free) struct buf decoded = {0};
    CLEANUP(buf_free) struct buf utf8 = {0};

    buf_init(&decoded, SIZE_MAX);
    buf_init(&utf8, SIZE_MAX);
    message_decode_body(part->encoding, raw, &decoded);
    if (decoded.len > 0)
        charset_to_utf8(part->charset, buf_str(&decoded), &utf8);
    text->part = index;
    text->is_html = str_equal(part->subtype, STR("html"));
    text->source = arena_copy(&task->arena, buf_str(&utf8));
    text->text = text->is_html ? without_markup(task, text->source) : text->source;
}

static void add_texts(struct task *task, struct spam_view *view)
{
    size_t left = SPAM_VIEW_RAW_MAX;

    for (uint32_t i = 0; i < view->structure->part_count; i++) {
        const struct message_part *part = &view->structure->parts[i];
        struct str raw;

        if (part->body_start >= SPAM_VIEW_REACH_MAX || left == 0 ||
            view->text_count == SPAM_VIEW_TEXTS_MAX)
            return;
        if (part->kind != MESSAGE_KIND_LEAF || part->is_attachment ||
            !str_equal(part->type, STR("text")))
            continue;
        raw = spam_view_body(str_upto(view->message, SPAM_VIEW_REACH_MAX), part);
        raw = str_upto(raw, left);
        left -= raw.len;
        add_text(task, view, i, raw);
    }
}

void spam_view_make(struct task *task, struct str message,
                    const struct message_structure *structure, struct spam_view *out)
{
    const struct message_part *root = &structure->parts[0];

    *out = (struct spam_view){.message = message, .structure = structure};
    out->header = str_upto(str_from(message, (size_t)root->header_start), (size_t)root->header_len);
    out->header = str_upto(out->header, SPAM_VIEW_RAW_MAX);
    out->subject = spam_view_field(task, out, STR("Subject"));
    read_addresses(task, out, STR("From"), &out->from);
    read_addresses(task, out, STR("Reply-To"), &out->reply_to);
    add_texts(task, out);
}
