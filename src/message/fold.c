/*
 * Folding for SEARCH, SORT and THREAD: i;unicode-casemap (RFC 5051), character by character. ASCII
 * is nearly all there is and goes eight bytes at a time; the rest through GLib's Unicode tables.
 */
#include "base/ascii.h"
#include "message/message.h"

#include <glib.h>
#include <string.h>

/* Count it up with every change here that changes what comes out: what was indexed is folded anew.
 */
enum { FORM = 2 };

static void put_upper(struct str ascii, struct buf *out)
{
    char *room;

    if (buf_reserve(out, ascii.len, &room) != ERR_OK)
        return;
    for (size_t i = 0; i < ascii.len; i++)
        room[i] = ascii_upper(ascii.ptr[i]);
    buf_commit(out, ascii.len);
}

static size_t ascii_end(struct str text, size_t i)
{
    while (i + 8 <= text.len) {
        uint64_t word;

        memcpy(&word, text.ptr + i, 8);
        if ((word & UINT64_C(0x8080808080808080)) != 0)
            break;
        i += 8;
    }
    while (i < text.len && !ascii_is_8bit(text.ptr[i]))
        i++;
    return i;
}

/* What most text over 127 is, without the tables; 0: not one of them. */
static gunichar fold_quickly(gunichar c)
{
    if (c >= 0x430 && c <= 0x44f && c != 0x439) /* Cyrillic */
        return c - 0x20;
    if ((c >= 0x410 && c <= 0x42f && c != 0x419) || (c >= 0x4e00 && c <= 0x9fff) || c == 0xfffd)
        return c;
    return 0;
}

/*
 * The simple mapping to title case. GLib has it of letters; Unicode also of Roman numerals, which
 * are numbers, and of letters in a circle, which are signs. (An iota below a vowel has one as well,
 * and is left as it is: otherwise its two spellings would no longer be one.)
 */
static gunichar title_case(gunichar c)
{
    if (c >= 0x2170 && c <= 0x217f)
        return c - 0x10;
    if (c >= 0x24d0 && c <= 0x24e9)
        return c - 0x1a;
    return g_unichar_totitle(c);
}

/* Title case, then decomposed, compatibility included (RFC 5051 §2). */
static void put_char(gunichar code, struct buf *out)
{
    gunichar quick = fold_quickly(code), decomposed[G_UNICHAR_MAX_DECOMPOSITION_LENGTH];
    gsize count = 1;
    char bytes[6];

    if (quick != 0)
        decomposed[0] = quick;
    else
        count =
            g_unichar_fully_decompose(title_case(code), TRUE, decomposed, G_N_ELEMENTS(decomposed));
    for (gsize i = 0; i < count; i++)
        buf_put(out, str_make(bytes, (size_t)g_unichar_to_utf8(decomposed[i], bytes)));
}

size_t message_fold_some(struct str text, size_t at, size_t max, struct buf *out)
{
    size_t until = text.len - at < max ? text.len : at + max;
    size_t i = at;

    while (i < until) {
        size_t end = ascii_end(str_upto(text, until), i);
        size_t left = text.len - end;
        gunichar code;

        put_upper(str_make(text.ptr + i, end - i), out);
        i = end;
        if (i >= until)
            break;
        code = g_utf8_get_char_validated(text.ptr + i, (gssize)(left > 6 ? 6 : left));
        if (code == (gunichar)-1 || code == (gunichar)-2) {
            buf_put(out, str_make(text.ptr + i++, 1));
            continue;
        }
        put_char(code, out);
        i += (size_t)g_unichar_to_utf8(code, NULL);
    }
    return i;
}

void message_fold(struct str text, struct buf *out)
{
    (void)message_fold_some(text, 0, text.len, out);
}

int64_t message_fold_form(void)
{
    return ((int64_t)FORM << 32) + ((int64_t)glib_major_version << 16) +
           (int64_t)glib_minor_version;
}

void message_compose(struct str text, struct buf *out)
{
    g_autofree char *composed = g_utf8_normalize(text.ptr, (gssize)text.len, G_NORMALIZE_NFC);

    buf_put(out, composed == NULL ? text : str_from_c(composed));
}
