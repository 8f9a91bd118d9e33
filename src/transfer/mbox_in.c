/*
 * Reading mbox. Two steps: where a message ends (here), and what is in it (mbox_message.c).
 *
 * A message ends before a line "From …" with a year in it, behind an empty line. Where its header
 * has a Content-Length, so many bytes are taken first; if what follows is no beginning of a message
 * then, they are looked at again, line by line.
 */
#include "transfer/mbox.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/memory.h"
#include "transfer/mbox_message.h"

enum { LINE_MAX_BYTES = 64 * 1024 };

enum state { BEFORE, HEADER, COUNTED, BODY };

struct mbox_in {
    struct mbox_in_events events;
    size_t message_bytes_max;
    enum state state;
    struct buf line;    /* own; the line that is not whole yet */
    struct buf from;    /* own; the message's "From " line */
    struct buf message; /* own; behind it, as it is in the file */
    struct buf
        gap; /* own; empty lines behind what was counted: the message's, if it was counted wrong */
    size_t header_len;
    uint64_t content_length; /* of the header; UINT64_MAX: none */
    uint64_t missing;        /* of it */
    bool is_too_large, is_line_begun, was_line_empty;
    bool is_counted; /* the body's length was given, and right */
};

struct mbox_in *mbox_in_new(const struct mbox_in_events *events, size_t message_bytes_max)
{
    struct mbox_in *in = NEW(struct mbox_in);

    in->events = *events;
    in->message_bytes_max = message_bytes_max;
    buf_init(&in->line, SIZE_MAX);
    buf_init(&in->from, SIZE_MAX);
    buf_init(&in->message, SIZE_MAX);
    buf_init(&in->gap, SIZE_MAX);
    in->was_line_empty = true;
    return in;
}

void mbox_in_free(struct mbox_in **in)
{
    if (*in != NULL) {
        buf_free(&(*in)->line);
        buf_free(&(*in)->from);
        buf_free(&(*in)->message);
        buf_free(&(*in)->gap);
    }
    mem_free(in);
}

static bool is_empty(struct str line)
{
    return str_equal(line, STR("\n")) || str_equal(line, STR("\r\n"));
}

/* "From someone Sun Nov 22 05:00:00 2026": a year and a time of day are asked for. */
static bool is_from_line(struct str line)
{
    unsigned digits = 0;
    bool has_year = false, has_time = false;

    if (!str_starts_with(line, STR("From ")))
        return false;
    for (size_t i = 5; i <= line.len; i++) {
        char c = i < line.len ? line.ptr[i] : '\n';

        if (ascii_is_digit(c)) {
            digits++;
            continue;
        }
        has_year = has_year || digits == 4;
        has_time = has_time || (c == ':' && digits > 0 && digits <= 2);
        digits = 0;
    }
    return has_year && has_time;
}

static enum err emit(struct mbox_in *in, struct task *task)
{
    CLEANUP(task_done) struct task piece = {0};
    struct mbox_message found;
    enum err err;

    if (in->state == BEFORE)
        return ERR_OK;
    task_init(&piece, task->now_ms);
    if (in->is_too_large) {
        err = in->events.on_left_out(in->events.owner, &piece);
    } else if (mbox_message_read(&piece, buf_str(&in->from), buf_str(&in->message), in->is_counted,
                                 &found)) {
        err = in->events.on_message(in->events.owner, &piece, &found);
    } else {
        err = ERR_OK; /* the folder's own data, which some programs keep as a message */
    }
    return err == ERR_OK ? ERR_OK : fail(task, err, "%s", piece.words);
}

static enum err begin(struct mbox_in *in, struct task *task, struct str line)
{
    TRY(emit(in, task));
    buf_reset(&in->from);
    buf_put(&in->from, line);
    buf_reset(&in->message);
    buf_reset(&in->gap);
    in->state = HEADER;
    in->content_length = UINT64_MAX;
    in->is_too_large = in->is_counted = false;
    return ERR_OK;
}

static void keep(struct mbox_in *in, struct str bytes)
{
    if (in->is_too_large)
        return;
    if (bytes.len > in->message_bytes_max || in->message.len > in->message_bytes_max - bytes.len) {
        in->is_too_large = true;
        buf_reset(&in->message);
        return;
    }
    buf_put(&in->message, bytes);
}

static void end_header(struct mbox_in *in)
{
    in->header_len = in->message.len;
    in->state = BODY;
    /* Ours says it in another way; one that is larger than a message may be is no help. */
    if (in->is_too_large || in->content_length > in->message_bytes_max - in->header_len ||
        str_starts_with(buf_str(&in->message), STR(TRANSFER_MBOX_MARK)))
        return;
    in->missing = in->content_length;
    in->state = COUNTED;
}

static enum err take_line(struct mbox_in *in, struct task *task, struct str line);

/* The count was wrong: the same bytes again, by lines, and the rest of the last one. */
static enum err look_again(struct mbox_in *in, struct task *task, struct str last)
{
    CLEANUP(buf_free) struct buf body;
    struct str rest;

    buf_init(&body, SIZE_MAX);
    buf_put(&body, str_from(buf_str(&in->message), in->header_len));
    if (in->gap.len > 0)
        buf_put(&body, buf_str(&in->gap));
    if (last.len > 0)
        buf_put(&body, last);
    buf_reset(&in->gap);
    buf_truncate(&in->message, in->header_len);
    in->state = BODY;
    in->is_counted = in->is_line_begun = false;
    in->was_line_empty = true;
    rest = buf_str(&body);
    while (rest.len > 0) {
        ptrdiff_t end = str_index(rest, '\n');
        struct str line = end < 0 ? rest : str_upto(rest, (size_t)end + 1);

        /* A message that begins in here is not counted: nothing is looked at more than twice. */
        if (in->state == COUNTED)
            in->state = BODY;
        TRY(take_line(in, task, line));
        rest = str_from(rest, line.len);
    }
    if (in->state == COUNTED)
        in->state = BODY;
    return ERR_OK;
}

/* A line, or a piece of a long one. */
static enum err take_line(struct mbox_in *in, struct task *task, struct str line)
{
    bool is_beginning = !in->is_line_begun;
    bool was_empty = in->was_line_empty;

    in->is_line_begun = line.len > 0 && line.ptr[line.len - 1] != '\n';
    in->was_line_empty = is_beginning && is_empty(line);
    /* What is counted, then empty lines, then the next one. */
    if (in->is_counted && is_beginning && !is_empty(line)) {
        if (is_from_line(line))
            return begin(in, task, line);
        return look_again(in, task, line);
    }
    if (in->is_counted && is_beginning) {
        buf_put(&in->gap, line);
        return ERR_OK;
    }
    if (is_beginning && was_empty && in->state != HEADER && is_from_line(line))
        return begin(in, task, line);
    switch (in->state) {
    case BEFORE:
        return is_empty(line) ? ERR_OK : fail(task, ERR_INVALID, "this is no mbox");
    case HEADER:
        if (is_beginning && str_starts_with_nocase(line, STR("Content-Length:")))
            if (!parse_u64(str_trim(str_from(line, 15)), &in->content_length))
                in->content_length = UINT64_MAX;
        keep(in, line);
        if (is_beginning && is_empty(line))
            end_header(in);
        return ERR_OK;
    case COUNTED:
    case BODY:
        keep(in, line);
        return ERR_OK;
    }
    return ERR_OK;
}

/* Bytes whose number is known. */
static size_t take_counted(struct mbox_in *in, struct str bytes)
{
    size_t len = in->missing < bytes.len ? (size_t)in->missing : bytes.len;

    keep(in, str_upto(bytes, len));
    in->missing -= len;
    if (in->missing == 0) {
        in->state = BODY;
        in->is_counted = true;
        in->is_line_begun = false;
    }
    return len;
}

enum err mbox_in_bytes(struct mbox_in *in, struct task *task, struct str bytes)
{
    while (bytes.len > 0) {
        ptrdiff_t end;
        size_t len;

        if (in->state == COUNTED) {
            bytes = str_from(bytes, take_counted(in, bytes));
            continue;
        }
        end = str_index(bytes, '\n');
        len = end < 0 ? bytes.len : (size_t)end + 1;
        buf_put(&in->line, str_upto(bytes, len));
        bytes = str_from(bytes, len);
        if (end >= 0 || in->line.len > LINE_MAX_BYTES) {
            TRY(take_line(in, task, buf_str(&in->line)));
            buf_reset(&in->line);
        }
    }
    return ERR_OK;
}

enum err mbox_in_end(struct mbox_in *in, struct task *task)
{
    if (in->line.len > 0)
        TRY(take_line(in, task, buf_str(&in->line)));
    buf_reset(&in->line);
    if (in->state == COUNTED) /* it said more than there is */
        TRY(look_again(in, task, STR("")));
    TRY(emit(in, task));
    in->state = BEFORE;
    return ERR_OK;
}
