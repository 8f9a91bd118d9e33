#include "message/collate.h"

#include "base/ascii.h"

#include <glib.h>
#include <stdlib.h>

static void put_char(gunichar code, struct buf *out)
{
    char bytes[6];

    buf_put(out, str_make(bytes, (size_t)g_unichar_to_utf8(code, bytes)));
}

/* Title case is the simple mapping of UnicodeData.txt; a character of its own maps to itself. */
static void put_mapped(gunichar code, struct buf *out)
{
    gunichar decomposed[G_UNICHAR_MAX_DECOMPOSITION_LENGTH];
    gsize count = g_unichar_fully_decompose(g_unichar_totitle(code), TRUE, decomposed,
                                            G_N_ELEMENTS(decomposed));

    for (gsize i = 0; i < count; i++)
        put_char(decomposed[i], out);
}

void collate_casemap(struct str text, struct buf *out)
{
    char *room;

    if (buf_reserve(out, text.len, &room) != ERR_OK)
        abort();
    for (size_t i = 0; i < text.len;) {
        size_t left = text.len - i;
        gunichar code;

        if (!ascii_is_8bit(text.ptr[i])) {
            char upper = ascii_upper(text.ptr[i++]);

            buf_put(out, str_make(&upper, 1));
            continue;
        }
        code = g_utf8_get_char_validated(text.ptr + i, (gssize)(left > 6 ? 6 : left));
        if (code == (gunichar)-1 || code == (gunichar)-2) {
            buf_put(out, str_make(text.ptr + i++, 1));
            continue;
        }
        put_mapped(code, out);
        i += (size_t)g_unichar_to_utf8(code, NULL);
    }
}
