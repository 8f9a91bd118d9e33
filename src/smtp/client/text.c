#include "smtp/client/text.h"

#include <string.h>

/* So much is looked through for a line's end at a time: however CR and LF are strewn, work stays
 * linear in the message. */
enum { STRETCH = 1024 };

void smtp_text_init(struct smtp_text *text, struct str fields, struct str message)
{
    *text = (struct smtp_text){.parts = {fields, message}};
}

static size_t to_line_end(struct str text)
{
    size_t len = text.len < STRETCH ? text.len : STRETCH;
    const char *cr = memchr(text.ptr, '\r', len);

    if (cr != NULL)
        len = (size_t)(cr - text.ptr);
    if (len > 0) {
        const char *newline = memchr(text.ptr, '\n', len);

        if (newline != NULL)
            len = (size_t)(newline - text.ptr);
    }
    return len;
}

/* One line's end, or a stretch of a line up to it. */
static void take(struct smtp_text *text, struct str *part, struct buf *out)
{
    size_t len = to_line_end(*part);

    if (len > 0) {
        if (!text->is_in_line && part->ptr[0] == '.')
            buf_put(out, STR("."));
        buf_put(out, str_upto(*part, len));
        text->is_in_line = true;
        *part = str_from(*part, len);
        return;
    }
    buf_put(out, STR("\r\n"));
    text->is_in_line = false;
    *part = str_from(*part, str_starts_with(*part, STR("\r\n")) ? 2 : 1);
}

void smtp_text_fill(struct smtp_text *text, struct buf *out, size_t high)
{
    for (size_t i = 0; i < 2; i++) {
        while (text->parts[i].len > 0) {
            if (out->len >= high)
                return;
            take(text, &text->parts[i], out);
        }
    }
    if (text->is_ended)
        return;
    if (text->is_in_line)
        buf_put(out, STR("\r\n"));
    buf_put(out, STR(".\r\n"));
    text->is_ended = true;
}
