#include "smtp/client/reply.h"

#include "base/ascii.h"

#include <string.h>

void smtp_reply_reader_init(struct smtp_reply_reader *reader)
{
    *reader = (struct smtp_reply_reader){.code = 0};
    buf_init(&reader->line, SMTP_REPLY_LINE_MAX);
    buf_init(&reader->text, SMTP_REPLY_TEXT_MAX);
}

void smtp_reply_reader_done(struct smtp_reply_reader *reader)
{
    buf_free(&reader->line);
    buf_free(&reader->text);
}

/* 1*3DIGIT of an enhanced code's part. */
static bool take_number(struct str *text, unsigned *out)
{
    unsigned value = 0;
    size_t len = 0;

    while (len < text->len && len < 3 && ascii_is_digit(text->ptr[len]))
        value = value * 10 + (unsigned)(text->ptr[len++] - '0');
    if (len == 0 || (len < text->len && ascii_is_digit(text->ptr[len])))
        return false;
    *out = value;
    *text = str_from(*text, len);
    return true;
}

static bool take_dot(struct str *text)
{
    if (text->len == 0 || text->ptr[0] != '.')
        return false;
    *text = str_from(*text, 1);
    return true;
}

/* status-code = ("2" / "4" / "5") "." 1*3digit "." 1*3digit (RFC 3463 §2) */
bool smtp_enhanced_parse(struct str *line, struct smtp_enhanced *out)
{
    struct str rest = *line;
    struct smtp_enhanced found;

    if (!take_number(&rest, &found.class) || !take_dot(&rest) ||
        !take_number(&rest, &found.subject) || !take_dot(&rest) ||
        !take_number(&rest, &found.detail))
        return false;
    if ((found.class != 2 && found.class != 4 && found.class != 5) ||
        (rest.len > 0 && !ascii_is_space(rest.ptr[0])))
        return false;
    *out = found;
    *line = str_trim(rest);
    return true;
}

/* Of the last line that has one; one of another class than the reply's means nothing. */
static struct smtp_enhanced find_enhanced(struct str text, unsigned class)
{
    struct smtp_enhanced found = {0}, one;
    struct str line;

    while (str_split(&text, '\n', &line))
        if (smtp_enhanced_parse(&line, &one) && one.class == class)
            found = one;
    return found;
}

/* One line without its end. False: broken. */
static bool take_line(struct smtp_reply_reader *reader, struct str line, bool *out_is_last)
{
    unsigned code = 0;

    if (line.len < 3)
        return false;
    for (size_t i = 0; i < 3; i++) {
        if (!ascii_is_digit(line.ptr[i]))
            return false;
        code = code * 10 + (unsigned)(line.ptr[i] - '0');
    }
    if (code < 200 || code > 599 || (reader->line_count > 0 && code != reader->code))
        return false;
    if (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-')
        return false;
    if (reader->line_count > 0 && buf_append_byte(&reader->text, '\n') != ERR_OK)
        return false;
    reader->code = code;
    *out_is_last = line.len == 3 || line.ptr[3] == ' ';
    return ++reader->line_count <= SMTP_REPLY_LINES_MAX &&
           buf_append(&reader->text, str_from(line, 4)) == ERR_OK;
}

static struct str without_end(struct str line)
{
    if (str_ends_with(line, STR("\n")))
        line.len--;
    if (str_ends_with(line, STR("\r")))
        line.len--;
    return line;
}

static void forget(struct smtp_reply_reader *reader)
{
    buf_reset(&reader->text);
    reader->line_count = 0;
    reader->is_given = false;
}

static enum smtp_reply_state broken(struct smtp_reply_reader *reader)
{
    reader->is_broken = true;
    return SMTP_REPLY_BROKEN;
}

enum smtp_reply_state smtp_reply_read(struct smtp_reply_reader *reader, struct str *bytes,
                                      struct smtp_reply *out)
{
    if (reader->is_broken)
        return SMTP_REPLY_BROKEN;
    if (reader->is_given)
        forget(reader);
    while (bytes->len > 0) {
        ptrdiff_t newline = str_index(*bytes, '\n');
        struct str part = newline < 0 ? *bytes : str_upto(*bytes, (size_t)newline + 1);
        bool is_fine, is_last = false;

        *bytes = str_from(*bytes, part.len);
        if (newline < 0 || reader->line.len > 0) {
            if (buf_append(&reader->line, part) != ERR_OK)
                return broken(reader);
            part = buf_str(&reader->line);
        }
        if (newline < 0)
            return SMTP_REPLY_PARTIAL;
        is_fine = part.len <= SMTP_REPLY_LINE_MAX && take_line(reader, without_end(part), &is_last);
        buf_reset(&reader->line);
        if (!is_fine)
            return broken(reader);
        if (is_last) {
            reader->is_given = true;
            out->code = reader->code;
            out->text = buf_str(&reader->text);
            out->enhanced = find_enhanced(out->text, reader->code / 100);
            return SMTP_REPLY_WHOLE;
        }
    }
    return SMTP_REPLY_PARTIAL;
}

/* How many bytes the UTF-8 character at the front takes; 0: it is none. */
static size_t character_len(struct str text)
{
    for (size_t len = 1; len <= 4 && len <= text.len; len++)
        if (str_is_utf8(str_upto(text, len)))
            return len;
    return 0;
}

/* Appends as it may be shown; false: there is no more room. */
static bool put_printable(struct buf *out, size_t most, struct str text)
{
    while (text.len > 0) {
        size_t len = character_len(text);
        /* C1 controls are two bytes, the first of them 0xc2. */
        bool is_control = len == 0 || ascii_is_control(text.ptr[0]) ||
                          (len == 2 && text.ptr[0] == '\xc2' && (unsigned char)text.ptr[1] < 0xa0);
        struct str shown = is_control ? STR("?") : str_upto(text, len);

        if (out->len + shown.len > most)
            return false;
        buf_put(out, shown);
        text = str_from(text, len == 0 ? 1 : len);
    }
    return true;
}

void smtp_reply_words(struct str text, size_t most, struct buf *out)
{
    struct smtp_enhanced enhanced;
    struct str line;

    most += out->len;
    for (bool is_first = true; str_split(&text, '\n', &line);) {
        line = str_trim(line);
        smtp_enhanced_parse(&line, &enhanced);
        if (line.len == 0)
            continue;
        if ((!is_first && !put_printable(out, most, STR(" "))) || !put_printable(out, most, line))
            return;
        is_first = false;
    }
}
