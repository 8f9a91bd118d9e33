/* The tree is walked by its links, so that its depth costs no stack. */
#include "message/bodystructure.h"

#include "message/imaptext.h"
#include "message/mime.h"

#include <inttypes.h>

struct writer {
    struct arena *arena;
    const struct message_structure *structure;
    const struct structure_notes *notes;
    const struct str *envelopes;
    bool with_extension;
    struct buf *out;
};

/* body-fld-param = "(" string SP string *(SP string SP string) ")" / nil; values as written but for
 * their pieces, which are put together (RFC 2231 §6). */
static void write_params(const struct writer *w, struct str flat, size_t position,
                         bool needs_charset)
{
    struct mime_params params;
    struct mime_param param;
    size_t count = 0;

    mime_params_init(&params, flat, position);
    while (flat.ptr != NULL && mime_params_next(w->arena, &params, &param)) {
        buf_put(w->out, count++ == 0 ? STR("(") : STR(" "));
        imaptext_string(param.name, w->out);
        buf_put(w->out, STR(" "));
        imaptext_string(param.value, w->out);
        if (str_equal_nocase(param.name, STR("charset")) ||
            str_equal_nocase(param.name, STR("charset*")))
            needs_charset = false;
    }
    if (needs_charset) {
        buf_put(w->out, count++ == 0 ? STR("(") : STR(" "));
        buf_put(w->out, STR("\"charset\" \"us-ascii\""));
    }
    buf_put(w->out, count == 0 ? STR("NIL") : STR(")"));
}

static void write_type_params(const struct writer *w, const struct message_part *part,
                              const struct structure_notes *notes)
{
    struct str flat = {0};

    if (notes->is_type_given)
        flat = notes->fields[STRUCTURE_CONTENT_TYPE];
    write_params(w, flat, notes->params, str_equal(part->type, STR("text")));
}

static void write_encoding(const struct writer *w, const struct message_part *part,
                           const struct structure_notes *notes)
{
    size_t position;

    switch (part->encoding) {
    case MESSAGE_ENCODING_7BIT:
        buf_put(w->out, STR("\"7bit\""));
        return;
    case MESSAGE_ENCODING_8BIT:
        buf_put(w->out, STR("\"8bit\""));
        return;
    case MESSAGE_ENCODING_BINARY:
        buf_put(w->out, STR("\"binary\""));
        return;
    case MESSAGE_ENCODING_QUOTED_PRINTABLE:
        buf_put(w->out, STR("\"quoted-printable\""));
        return;
    case MESSAGE_ENCODING_BASE64:
        buf_put(w->out, STR("\"base64\""));
        return;
    case MESSAGE_ENCODING_OTHER:
        imaptext_string(mime_token(notes->fields[STRUCTURE_CONTENT_ENCODING], &position), w->out);
        return;
    }
}

/* body-fld-dsp = "(" string SP body-fld-param ")" / nil */
static void write_disposition(const struct writer *w, struct str flat)
{
    size_t position;
    struct str token;

    token = flat.ptr == NULL ? STR("") : mime_token(flat, &position);
    if (token.len == 0) {
        buf_put(w->out, STR("NIL"));
        return;
    }
    buf_put(w->out, STR("("));
    imaptext_string(token, w->out);
    buf_put(w->out, STR(" "));
    write_params(w, flat, position, false);
    buf_put(w->out, STR(")"));
}

/* body-fld-lang = nstring / "(" string *(SP string) ")"; the field is a comma list (RFC 3282) */
static void write_language(const struct writer *w, struct str flat)
{
    struct str rest = flat, tag;
    size_t count = 0;

    while (flat.ptr != NULL && str_split(&rest, ',', &tag)) {
        size_t position;

        tag = mime_token(tag, &position);
        if (tag.len == 0)
            continue;
        buf_put(w->out, count++ == 0 ? STR("(") : STR(" "));
        imaptext_string(tag, w->out);
    }
    buf_put(w->out, count == 0 ? STR("NIL") : STR(")"));
}

/* [SP disposition [SP language [SP location]]], all of them */
static void write_extension(const struct writer *w, const struct structure_notes *notes)
{
    buf_put(w->out, STR(" "));
    write_disposition(w, notes->fields[STRUCTURE_CONTENT_DISPOSITION]);
    buf_put(w->out, STR(" "));
    write_language(w, notes->fields[STRUCTURE_CONTENT_LANGUAGE]);
    buf_put(w->out, STR(" "));
    imaptext_nstring(notes->fields[STRUCTURE_CONTENT_LOCATION], w->out);
}

static void write_begin(const struct writer *w, uint32_t index)
{
    const struct message_part *part = &w->structure->parts[index];
    const struct structure_notes *notes = &w->notes[index];

    buf_put(w->out, STR("("));
    if (part->kind == MESSAGE_KIND_MULTIPART)
        return;
    imaptext_string(part->type, w->out);
    buf_put(w->out, STR(" "));
    imaptext_string(part->subtype, w->out);
    buf_put(w->out, STR(" "));
    write_type_params(w, part, notes);
    buf_put(w->out, STR(" "));
    imaptext_nstring(notes->fields[STRUCTURE_CONTENT_ID], w->out);
    buf_put(w->out, STR(" "));
    imaptext_nstring(notes->fields[STRUCTURE_CONTENT_DESCRIPTION], w->out);
    buf_put(w->out, STR(" "));
    write_encoding(w, part, notes);
    buf_putf(w->out, " %" PRIu64, part->body_len);
    if (part->kind == MESSAGE_KIND_MESSAGE) {
        buf_put(w->out, STR(" "));
        buf_put(w->out, w->envelopes[part->first_child]);
        buf_put(w->out, STR(" "));
    }
}

static void write_end(const struct writer *w, uint32_t index)
{
    const struct message_part *part = &w->structure->parts[index];
    const struct structure_notes *notes = &w->notes[index];

    if (part->kind == MESSAGE_KIND_MULTIPART) {
        buf_put(w->out, STR(" "));
        imaptext_string(part->subtype, w->out);
        if (w->with_extension) {
            buf_put(w->out, STR(" "));
            write_type_params(w, part, notes);
        }
    } else {
        if (part->kind == MESSAGE_KIND_MESSAGE || str_equal(part->type, STR("text")))
            buf_putf(w->out, " %" PRIu32, part->body_lines);
        if (w->with_extension) {
            buf_put(w->out, STR(" "));
            imaptext_nstring(notes->fields[STRUCTURE_CONTENT_MD5], w->out);
        }
    }
    if (w->with_extension)
        write_extension(w, notes);
    buf_put(w->out, STR(")"));
}

void bodystructure_write(struct arena *arena, const struct message_structure *structure,
                         const struct structure_notes *notes, const struct str *envelopes,
                         bool with_extension, struct buf *out)
{
    const struct writer w = {arena, structure, notes, envelopes, with_extension, out};
    uint32_t index = 0;

    for (;;) {
        write_begin(&w, index);
        if (structure->parts[index].first_child != 0) {
            index = structure->parts[index].first_child;
            continue;
        }
        write_end(&w, index);
        while (index != 0 && structure->parts[index].next == 0) {
            index = structure->parts[index].parent;
            write_end(&w, index);
        }
        if (index == 0)
            return;
        index = structure->parts[index].next;
    }
}
