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

/* Canonical caseless matching (Unicode §3.13 D145): NFD, fold, and here NFC instead of NFD. */
static void fold_run(struct str run, struct buf *out)
{
    g_autofree char *decomposed = g_utf8_normalize(run.ptr, (gssize)run.len, G_NORMALIZE_NFD);
    g_autofree char *folded = decomposed == NULL ? NULL : g_utf8_casefold(decomposed, -1);
    g_autofree char *composed = folded == NULL ? NULL : g_utf8_normalize(folded, -1, G_NORMALIZE_NFC);

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

void message_fold(struct str text, struct buf *out)
{
    size_t i = 0;

    while (i < text.len) {
        size_t end = ascii_end(text, i);
        bool is_invalid;
        size_t stop;

        if (end == text.len) {
            put_lower(str_make(text.ptr + i, end - i), out);
            return;
        }
        stop = run_end(text, end, &is_invalid);
        if (is_invalid) {
            put_lower(str_make(text.ptr + i, end - i), out);
            buf_put(out, str_make(text.ptr + end, 1));
            i = end + 1;
            continue;
        }
        /* The letter before may be the base of the marks that follow. */
        if (end > i && text.ptr[end - 1] != 0)
            end--;
        put_lower(str_make(text.ptr + i, end - i), out);
        fold_run(str_make(text.ptr + end, stop - end), out);
        i = stop;
    }
}
