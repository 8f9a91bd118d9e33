#include "message/imaptext.h"

#include "base/ascii.h"

#include <string.h>

enum { QUOTED_MAX = 4096 };

/* QUOTED-CHAR = <any TEXT-CHAR except quoted-specials> / "\" quoted-specials;
 * TEXT-CHAR = <any CHAR except CR and LF>; CHAR is 0x01 … 0x7f                  (RFC 3501 §9) */
static bool is_text_char(char c)
{
    return c > 0 && c != '\r' && c != '\n';
}

static void literal(struct str text, struct buf *out)
{
    char *room;

    buf_putf(out, "{%zu}\r\n", text.len);
    if (buf_reserve(out, text.len, &room) != ERR_OK)
        return;
    for (size_t i = 0; i < text.len; i++)
        room[i] = text.ptr[i] == 0 ? '?' : text.ptr[i];
    buf_commit(out, text.len);
}

void imaptext_string(struct str text, struct buf *out)
{
    char *room;
    size_t len = 0;

    if (text.len > QUOTED_MAX) {
        literal(text, out);
        return;
    }
    if (buf_reserve(out, text.len * 2 + 2, &room) != ERR_OK)
        return;
    room[len++] = '"';
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!is_text_char(c)) {
            literal(text, out);
            return;
        }
        if (c == '"' || c == '\\')
            room[len++] = '\\';
        room[len++] = c;
    }
    room[len++] = '"';
    buf_commit(out, len);
}

void imaptext_nstring(struct str text, struct buf *out)
{
    if (text.ptr == NULL)
        buf_put(out, STR("NIL"));
    else
        imaptext_string(text, out);
}
