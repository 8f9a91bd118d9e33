#include "message/subject.h"

#include "base/ascii.h"
#include "message/charset.h"

enum { SUBJECT_MAX = 1000 }; /* the steps below are quadratic in the number of [blobs] */

/* subj-blob = "[" *BLOBCHAR "]" *WSP; gives what is behind it, or false. */
static bool skip_blob(struct str *text)
{
    size_t i = 1;

    if (!str_starts_with(*text, STR("[")))
        return false;
    while (i < text->len && text->ptr[i] != '[' && text->ptr[i] != ']')
        i++;
    if (i >= text->len || text->ptr[i] != ']')
        return false;
    i++;
    while (i < text->len && text->ptr[i] == ' ')
        i++;
    *text = str_from(*text, i);
    return true;
}

/* subj-leader = (*subj-blob subj-refwd) / WSP;
 * subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":" */
static bool skip_leader(struct str *text)
{
    struct str rest = *text;

    if (str_starts_with(rest, STR(" "))) {
        *text = str_from(rest, 1);
        return true;
    }
    while (skip_blob(&rest))
        continue;
    if (str_starts_with_nocase(rest, STR("fwd")))
        rest = str_from(rest, 3);
    else if (str_starts_with_nocase(rest, STR("re")) || str_starts_with_nocase(rest, STR("fw")))
        rest = str_from(rest, 2);
    else
        return false;
    while (str_starts_with(rest, STR(" ")))
        rest = str_from(rest, 1);
    (void)skip_blob(&rest);
    if (!str_starts_with(rest, STR(":")))
        return false;
    *text = str_from(rest, 1);
    return true;
}

/* subj-trailer = "(fwd)" / WSP */
static struct str without_trailers(struct str text, bool *is_reply)
{
    for (;;) {
        if (str_ends_with(text, STR(" "))) {
            text.len--;
        } else if (text.len >= 5 && str_equal_nocase(str_from(text, text.len - 5), STR("(fwd)"))) {
            text.len -= 5;
            *is_reply = true;
        } else {
            return text;
        }
    }
}

/* Step 1: tabs and runs of blanks become one blank. */
static struct str one_blank(struct arena *arena, struct str subject)
{
    char *copy = arena_alloc(arena, subject.len + 1, 1);
    size_t len = 0;

    for (size_t i = 0; i < subject.len; i++) {
        char c = ascii_is_space(subject.ptr[i]) ? ' ' : subject.ptr[i];

        if (c != ' ' || len == 0 || copy[len - 1] != ' ')
            copy[len++] = c;
    }
    return str_make(copy, len);
}

static struct str strip(struct arena *arena, struct str subject, bool *is_reply)
{
    struct str text = one_blank(arena, str_upto(subject, charset_utf8_cut(subject, SUBJECT_MAX)));

    for (;;) {
        text = without_trailers(text, is_reply); /* step 2 */
        for (;;) {
            struct str rest = text;
            bool is_ignored;

            if (skip_leader(&text)) { /* step 3 */
                *is_reply = *is_reply || text.ptr[-1] == ':';
                continue;
            }
            if (!skip_blob(&rest) || without_trailers(rest, &is_ignored).len == 0) /* step 4 */
                break;
            text = rest;
        }
        /* Step 6: subj-fwd-hdr and subj-fwd-trl go together. */
        if (!str_starts_with_nocase(text, STR("[fwd:")) || !str_ends_with(text, STR("]")))
            return text;
        text = str_make(text.ptr + 5, text.len - 6);
        *is_reply = true;
    }
}

struct str subject_base(struct arena *arena, struct str subject)
{
    bool is_reply = false;

    return strip(arena, subject, &is_reply);
}

bool subject_is_reply(struct arena *arena, struct str subject)
{
    bool is_reply = false;

    (void)strip(arena, subject, &is_reply);
    return is_reply;
}
