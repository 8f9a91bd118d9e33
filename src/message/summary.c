/* message_parse: puts together what the other files of this folder find. */
#include "message/bodystructure.h"
#include "message/charset.h"
#include "message/date.h"
#include "message/envelope.h"
#include "message/header.h"
#include "message/message.h"
#include "message/structure.h"
#include "message/subject.h"
#include "message/words.h"

#include <string.h>

enum { MESSAGE_ID_MAX = 998 };

void message_init_library(void)
{
    charset_init();
}

static struct str take(struct arena *arena, struct buf *buf)
{
    struct str text = arena_copy(arena, buf_str(buf));

    buf_truncate(buf, 0);
    return text;
}

/*
 * msg-id = "<" id-left "@" id-right ">" (RFC 5322 §3.6.4), without the brackets. Where there are
 * none, the first word, if `takes_word`.
 */
static bool next_message_id(struct str flat, size_t *position, bool takes_word, struct str *out)
{
    struct str rest = str_from(flat, *position);
    ptrdiff_t open = str_index(rest, '<');
    ptrdiff_t close = open < 0 ? -1 : str_index(str_from(rest, (size_t)open), '>');

    if (close > 0) {
        *out = str_trim(str_make(rest.ptr + open + 1, (size_t)close - 1));
        *position += (size_t)(open + close) + 1;
        return true;
    }
    if (!takes_word || rest.len == 0)
        return false;
    *out = str_trim(rest);
    *position = flat.len;
    for (size_t i = 0; i < out->len; i++) {
        if (out->ptr[i] == ' ' || out->ptr[i] == '\t')
            *out = str_upto(*out, i);
    }
    return true;
}

static struct str first_message_id(struct arena *arena, struct str flat, bool takes_word,
                                   struct buf *scratch)
{
    struct str id;
    size_t position = 0;

    if (next_message_id(flat, &position, takes_word, &id) && id.len <= MESSAGE_ID_MAX)
        charset_guess_to_utf8(id, scratch);
    return take(arena, scratch);
}

static struct str all_message_ids(struct arena *arena, struct str flat, struct buf *scratch)
{
    struct str id;
    size_t position = 0;

    while (next_message_id(flat, &position, false, &id)) {
        if (id.len == 0 || id.len > MESSAGE_ID_MAX)
            continue;
        if (scratch->len > 0)
            buf_put(scratch, STR(" "));
        charset_guess_to_utf8(id, scratch);
    }
    return take(arena, scratch);
}

/* "Name <mailbox@host>, Group: a@b;" in UTF-8. */
static struct str address_text(struct arena *arena, const struct address_list *list,
                               struct buf *scratch)
{
    bool needs_comma = false;

    for (size_t i = 0; i < list->count; i++) {
        const struct address *address = &list->addresses[i];
        bool has_name = address->name.len > 0;

        if (needs_comma && address->kind != ADDRESS_GROUP_END)
            buf_put(scratch, STR(", "));
        needs_comma = address->kind != ADDRESS_GROUP_START;
        switch (address->kind) {
        case ADDRESS_GROUP_START:
            words_decode(address->mailbox, scratch);
            buf_put(scratch, STR(": "));
            continue;
        case ADDRESS_GROUP_END:
            buf_put(scratch, STR(";"));
            continue;
        case ADDRESS_MAILBOX:
            break;
        }
        if (has_name) {
            words_decode(address->name, scratch);
            buf_put(scratch, STR(" <"));
        }
        charset_guess_to_utf8(address->mailbox, scratch);
        if (address->host.len > 0) {
            buf_put(scratch, STR("@"));
            charset_guess_to_utf8(address->host, scratch);
        }
        if (has_name)
            buf_put(scratch, STR(">"));
    }
    return take(arena, scratch);
}

static void fill_header_facts(struct arena *arena, const struct envelope *envelope,
                              struct buf *scratch, struct message_summary *out)
{
    const struct str *values = envelope->values;

    out->message_id = first_message_id(arena, values[ENVELOPE_MESSAGE_ID], true, scratch);
    out->in_reply_to = first_message_id(arena, values[ENVELOPE_IN_REPLY_TO], false, scratch);
    out->references = all_message_ids(arena, values[ENVELOPE_REFERENCES], scratch);
    words_decode(values[ENVELOPE_SUBJECT], scratch);
    out->subject = take(arena, scratch);
    out->base_subject = subject_base(arena, out->subject);
    out->from = address_text(arena, &envelope->addresses[ENVELOPE_FROM], scratch);
    out->to = address_text(arena, &envelope->addresses[ENVELOPE_TO], scratch);
    out->cc = address_text(arena, &envelope->addresses[ENVELOPE_CC], scratch);
    out->bcc = address_text(arena, &envelope->addresses[ENVELOPE_BCC], scratch);
    out->sent_is_known = date_parse(values[ENVELOPE_DATE], &out->sent_ms, &out->sent_day);
    out->received_count = envelope->received_count;
}

static struct str header_of(struct str raw, const struct message_part *part)
{
    return str_make(raw.ptr + part->header_start, (size_t)part->header_len);
}

/* ENVELOPE of every embedded message, by part index. */
static struct str *inner_envelopes(struct arena *arena, struct str raw,
                                   const struct message_structure *structure, size_t *budget,
                                   struct buf *scratch)
{
    struct str *envelopes = ARENA_ARRAY(arena, struct str, structure->part_count);

    for (uint32_t i = 1; i < structure->part_count; i++) {
        const struct message_part *part = &structure->parts[i];
        struct envelope envelope;

        if (structure->parts[part->parent].kind != MESSAGE_KIND_MESSAGE)
            continue;
        envelope_read(arena, header_of(raw, part), budget, &envelope);
        envelope_write(&envelope, scratch);
        envelopes[i] = take(arena, scratch);
    }
    return envelopes;
}

void message_parse(struct task *task, struct str raw, struct message_summary *out)
{
    struct arena *arena = &task->arena;
    struct structure_notes *notes;
    size_t budget = HEADER_BUDGET;
    struct envelope envelope;
    struct str *envelopes;
    struct buf scratch;

    *out = (struct message_summary){0};
    if (raw.len == 0)
        raw = STR("");
    buf_init(&scratch, SIZE_MAX);
    structure_scan(arena, raw, &out->structure, &notes);
    envelope_read(arena, header_of(raw, &out->structure.parts[0]), &budget, &envelope);
    envelope_write(&envelope, &scratch);
    out->envelope = take(arena, &scratch);
    envelopes = inner_envelopes(arena, raw, &out->structure, &budget, &scratch);
    bodystructure_write(arena, &out->structure, notes, envelopes, true, &scratch);
    out->bodystructure = take(arena, &scratch);
    bodystructure_write(arena, &out->structure, notes, envelopes, false, &scratch);
    out->body = take(arena, &scratch);
    fill_header_facts(arena, &envelope, &scratch, out);
    buf_free(&scratch);
}
