/*
 * Folding for SEARCH. ASCII is nearly all there is and goes byte by byte; the rest in short runs
 * through GLib's Unicode tables. Runs are bounded since ordering combining marks is quadratic in
 * their number.
 */
#include "base/ascii.h"
#include "message/message.h"

#include <glib.h>
#include <string.h>

enum { RUN_MAX = 256 };

/* The valid character at `p`; 0: none. */
static size_t char_len(const char *p, size_t left, gunichar *out_code)
{
    gunichar code = g_utf8_get_char_validated(p, (gssize)(left > 6 ? 6 : left));

    if (code == (gunichar)-1 || code == (gunichar)-2 || code == 0)
        return 0;
    *out_code = code;
    return (size_t)g_unichar_to_utf8(code, NULL);
}

/*
 * Characters that fold to one character and combine with nothing unless a mark follows: what most
 * text over 127 is. 0: not one of them.
 */
static gunichar fold_simple(gunichar c)
{
    if ((c >= 0xc0 && c <= 0x17e && c != 0xdf && c != 0x130 && c != 0x149) ||
        (c >= 0x391 && c <= 0x3ce && c != 0x3b0 && c != 0x3c2) || (c >= 0x400 && c <= 0x481) ||
        (c >= 0x48a && c <= 0x52f))
        return g_unichar_tolower(c);
    if ((c >= 0xa0 && c <= 0xbf && c != 0xb5) || (c >= 0x2010 && c <= 0x2027) ||
        (c >= 0x2030 && c <= 0x205e) || (c >= 0x3001 && c <= 0x3029) ||
        (c >= 0x3041 && c <= 0x3096) || (c >= 0x30a1 && c <= 0x30fe) ||
        (c >= 0x4e00 && c <= 0x9fff) || c == 0xfffd)
        return c;
    /* Cherokee folds to its older, upper case (Unicode §5.18); GLib swaps the two. */
    if (c >= 0x13a0 && c <= 0x13f5)
        return c;
    if (c >= 0x13f8 && c <= 0x13fd)
        return c - 8;
    if (c >= 0xab70 && c <= 0xabbf)
        return c - 0xab70 + 0x13a0;
    return 0;
}

/* Canonical caseless matching (Unicode §3.13 D145): NFD, fold, and here NFC instead of NFD. */
static void fold_run(struct str run, struct buf *out)
{
    g_autofree char *decomposed = g_utf8_normalize(run.ptr, (gssize)run.len, G_NORMALIZE_NFD);
    g_autofree char *folded = decomposed == NULL ? NULL : g_utf8_casefold(decomposed, -1);
    g_autofree char *composed =
        folded == NULL ? NULL : g_utf8_normalize(folded, -1, G_NORMALIZE_NFC);

    buf_put(out, composed == NULL ? run : str_from_c(composed));
}

static void put_lower(struct str ascii, struct buf *out)
{
    char *room;

    if (buf_reserve(out, ascii.len, &room) != ERR_OK)
        return;
    for (size_t i = 0; i < ascii.len; i++)
        room[i] = ascii_lower(ascii.ptr[i]);
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

/*
 * The end of the run of characters over 127 at `i`. Where it grows too long it ends before a
 * character that combines with nothing before it, or anyhow at twice that length.
 */
static size_t run_end(struct str text, size_t i, bool *out_is_invalid)
{
    size_t start = i;

    *out_is_invalid = false;
    while (i < text.len && ascii_is_8bit(text.ptr[i])) {
        gunichar code;
        size_t len = char_len(text.ptr + i, text.len - i, &code);

        if (len == 0) {
            *out_is_invalid = i == start;
            break;
        }
        if (i - start >= RUN_MAX && g_unichar_combining_class(code) == 0 && !g_unichar_ismark(code))
            break;
        if (i - start >= (size_t)2 * RUN_MAX)
            break;
        i += len;
    }
    return i;
}

/*
 * Folds simple characters from `i` on, up to the first other one, or one that a mark may follow.
 * Gives where it stopped.
 */
static size_t fold_simple_run(struct str text, size_t i, struct buf *out)
{
    gunichar code, next;
    size_t len = i < text.len ? char_len(text.ptr + i, text.len - i, &code) : 0;

    while (len > 0) {
        gunichar folded = fold_simple(code);
        size_t next_at = i + len;
        size_t next_len = 0;
        char bytes[6];

        if (folded == 0)
            break;
        if (next_at < text.len && ascii_is_8bit(text.ptr[next_at])) {
            next_len = char_len(text.ptr + next_at, text.len - next_at, &next);
            if (next_len > 0 && fold_simple(next) == 0)
                break;
        }
        buf_put(out, str_make(bytes, (size_t)g_unichar_to_utf8(folded, bytes)));
        i = next_at;
        len = next_len;
        code = next_len > 0 ? next : 0;
    }
    return i;
}

size_t message_fold_some(struct str text, size_t at, size_t max, struct buf *out)
{
    size_t until = text.len - at < max ? text.len : at + max;
    size_t i = at;

    while (i < until) {
        size_t end = ascii_end(text, i);
        size_t ascii_len = end - i;
        bool is_invalid;
        gunichar code;
        size_t stop;

        if (end == text.len) {
            put_lower(str_make(text.ptr + i, ascii_len), out);
            return text.len;
        }
        if (char_len(text.ptr + end, text.len - end, &code) > 0 && fold_simple(code) != 0) {
            put_lower(str_make(text.ptr + i, ascii_len), out);
            i = fold_simple_run(text, end, out);
            if (i > end)
                continue;
            ascii_len = 0;
        }
        stop = run_end(text, end, &is_invalid);
        /* The letter before may be the base of the marks that follow. */
        if (ascii_len > 0 && !is_invalid && text.ptr[end - 1] != 0) {
            ascii_len--;
            end--;
        }
        put_lower(str_make(text.ptr + end - ascii_len, ascii_len), out);
        if (is_invalid)
            buf_put(out, str_make(text.ptr + end, 1));
        else
            fold_run(str_make(text.ptr + end, stop - end), out);
        i = is_invalid ? end + 1 : stop;
    }
    return i;
}

void message_fold(struct str text, struct buf *out)
{
    (void)message_fold_some(text, 0, text.len, out);
}

void message_compose(struct str text, struct buf *out)
{
    g_autofree char *composed = g_utf8_normalize(text.ptr, (gssize)text.len, G_NORMALIZE_NFC);

    buf_put(out, composed == NULL ? text : str_from_c(composed));
}
