#include "pop3/lines.h"

#include <string.h>

void pop3_lines_init(struct pop3_lines *lines, uint64_t body_lines)
{
    *lines = (struct pop3_lines){.body_lines_left = body_lines, .is_blank = true};
}

/* A line has ended: the header ends with the first blank one. */
static void count_line(struct pop3_lines *lines)
{
    if (lines->body_lines_left != POP3_LINES_ALL && lines->is_in_body)
        lines->body_lines_left--;
    lines->is_in_body = lines->is_in_body || lines->is_blank;
    lines->is_done = lines->is_in_body && lines->body_lines_left == 0;
    lines->is_in_line = false;
    lines->is_blank = true;
}

/* Bytes go out in runs that are as long as nothing needs to be put between them. */
void pop3_lines_add(struct pop3_lines *lines, struct str bytes, struct buf *out)
{
    const char *at = bytes.ptr, *end = bytes.ptr + bytes.len, *run = at;

    while (at < end && !lines->is_done) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline == NULL ? end : newline;

        if (!lines->is_in_line && *at == '.') {
            buf_put(out, str_make(run, (size_t)(at - run)));
            buf_put(out, STR("."));
            run = at;
        }
        if (line_end > at) {
            lines->is_blank = !lines->is_in_line && line_end == at + 1 && *at == '\r';
            lines->is_in_line = true;
            lines->last = line_end[-1];
        }
        at = line_end;
        if (newline == NULL)
            break;
        if (!lines->is_in_line || lines->last != '\r') {
            buf_put(out, str_make(run, (size_t)(newline - run)));
            buf_put(out, STR("\r"));
            run = newline;
        }
        at = newline + 1;
        count_line(lines);
    }
    buf_put(out, str_make(run, (size_t)(at - run)));
}

void pop3_lines_end(struct pop3_lines *lines, struct buf *out)
{
    if (lines->is_in_line)
        buf_put(out, STR("\r\n"));
    lines->is_in_line = false;
    buf_put(out, STR(".\r\n"));
}
