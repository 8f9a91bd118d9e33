/*
 * Line by line with memchr: a state is kept only across what a packet may cut. What was held back
 * (a dot, a dot and CR) need never be given out again: if it was not the end, the dot was an added
 * one, and a CR behind it is a bare one.
 */
#include "smtp/reader.h"

#include <assert.h>
#include <string.h>

void smtp_reader_init(struct smtp_reader *reader, bool is_dotted,
                      void (*on_text)(void *owner, struct str run), void *owner)
{
    *reader = (struct smtp_reader){.is_dotted = is_dotted, .on_text = on_text, .owner = owner};
}

bool smtp_reader_is_refused(const struct smtp_reader *reader)
{
    return reader->has_bare || reader->has_nul || reader->has_long_line;
}

static void give(struct smtp_reader *reader, const char *start, const char *end)
{
    if (end > start && !smtp_reader_is_refused(reader))
        reader->on_text(reader->owner, str_make(start, (size_t)(end - start)));
}

/* A stretch of one line, up to its LF where there is one; the bytes taken. */
static size_t take_text(struct smtp_reader *reader, struct str bytes)
{
    const char *newline = memchr(bytes.ptr, '\n', bytes.len);
    size_t len = newline == NULL ? bytes.len : (size_t)(newline - bytes.ptr);
    const char *cr = memchr(bytes.ptr, '\r', len);
    bool ends_with_cr = len > 0 ? bytes.ptr[len - 1] == '\r' : reader->at == SMTP_AT_CR;

    if (reader->at == SMTP_AT_CR && len > 0)
        reader->has_bare = true;
    if (cr != NULL && (size_t)(cr - bytes.ptr) + 1 < len)
        reader->has_bare = true;
    reader->line_len += len;
    if (reader->line_len > SMTP_TEXT_LINE_MAX)
        reader->has_long_line = true;
    if (newline == NULL) {
        reader->at = ends_with_cr ? SMTP_AT_CR : SMTP_AT_TEXT;
        return len;
    }
    reader->line_len = 0;
    if (ends_with_cr) {
        reader->at = SMTP_AT_LINE_START;
    } else {
        reader->has_bare = true;
        reader->at = SMTP_AT_BARE_START;
    }
    return len + 1;
}

/* One byte where a line begins with a dot, rightly or not. False: it is ordinary text. */
static bool take_dot_byte(struct smtp_reader *reader, char c)
{
    switch (reader->at) {
    case SMTP_AT_DOT:
        if (c == '\n') {
            reader->has_bare = reader->has_false_end = true;
            reader->at = SMTP_AT_BARE_START;
        } else if (c == '\r') {
            reader->at = SMTP_AT_DOT_CR;
        } else {
            return false;
        }
        return true;
    case SMTP_AT_DOT_CR:
        if (c != '\n') {
            reader->has_bare = true;
            return false;
        }
        reader->is_ended = true;
        return true;
    case SMTP_AT_BARE_START:
        if (c != '.')
            return false;
        reader->at = SMTP_AT_BARE_DOT;
        return true;
    case SMTP_AT_BARE_DOT:
    case SMTP_AT_BARE_DOT_CR:
        if (c == '\n') {
            reader->has_false_end = true;
            reader->at = reader->at == SMTP_AT_BARE_DOT ? SMTP_AT_BARE_START : SMTP_AT_LINE_START;
        } else if (c == '\r' && reader->at == SMTP_AT_BARE_DOT) {
            reader->at = SMTP_AT_BARE_DOT_CR;
        } else {
            return false;
        }
        return true;
    case SMTP_AT_LINE_START:
    case SMTP_AT_TEXT:
    case SMTP_AT_CR:
        return false;
    }
    return false;
}

size_t smtp_reader_take(struct smtp_reader *reader, struct str bytes)
{
    const char *run = bytes.ptr; /* what was not given out yet begins here */
    size_t used = 0;

    assert(!reader->is_ended);
    if (!reader->has_nul && bytes.len > 0 && memchr(bytes.ptr, '\0', bytes.len) != NULL) {
        /* The data may end before it. */
        const char *nul = memchr(bytes.ptr, '\0', bytes.len);
        size_t before = smtp_reader_take(reader, str_upto(bytes, (size_t)(nul - bytes.ptr)));

        if (reader->is_ended)
            return before;
        reader->has_nul = true;
        used = before;
    }
    while (used < bytes.len && !reader->is_ended) {
        const char *at = bytes.ptr + used;

        switch (reader->at) {
        case SMTP_AT_LINE_START:
            if (reader->is_dotted && *at == '.') {
                give(reader, run, at);
                run = at + 1;
                reader->at = SMTP_AT_DOT;
                used++;
                break;
            }
            used += take_text(reader, str_from(bytes, used));
            break;
        case SMTP_AT_DOT:
        case SMTP_AT_DOT_CR:
        case SMTP_AT_BARE_START:
        case SMTP_AT_BARE_DOT:
        case SMTP_AT_BARE_DOT_CR:
            if (reader->is_dotted && take_dot_byte(reader, *at)) {
                used++;
                run = at + 1;
            } else {
                reader->at = SMTP_AT_TEXT;
            }
            break;
        case SMTP_AT_TEXT:
        case SMTP_AT_CR:
            used += take_text(reader, str_from(bytes, used));
            break;
        }
    }
    if (!reader->is_ended)
        give(reader, run, bytes.ptr + used);
    return used;
}

void smtp_reader_finish(struct smtp_reader *reader)
{
    if (reader->at == SMTP_AT_CR)
        reader->has_bare = true;
}
