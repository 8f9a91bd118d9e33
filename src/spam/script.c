/*
 * Letters that pretend to be others (Unicode Technical Standard 39, in small): a word of Latin
 * letters with a Cyrillic or Greek one among them, or a name all of whose letters look Latin and are
 * not.
 */
#include "spam/scan.h"

#include <glib.h>
#include <string.h>

enum kind { KIND_NONE, KIND_LATIN, KIND_CYRILLIC, KIND_GREEK, KIND_ARMENIAN, KIND_CHEROKEE };

static enum kind kind_of(gunichar c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? KIND_LATIN : KIND_NONE;
    switch ((int)g_unichar_get_script(c)) {
    case G_UNICODE_SCRIPT_LATIN:
        return KIND_LATIN;
    case G_UNICODE_SCRIPT_CYRILLIC:
        return KIND_CYRILLIC;
    case G_UNICODE_SCRIPT_GREEK:
        return c == 0xb5 || c == 0x3bc || c == 0x2126 ? KIND_NONE : KIND_GREEK; /* µ, Ω: units */
    case G_UNICODE_SCRIPT_ARMENIAN:
        return KIND_ARMENIAN;
    case G_UNICODE_SCRIPT_CHEROKEE:
        return KIND_CHEROKEE;
    }
    return KIND_NONE;
}

static bool is_invisible(gunichar c)
{
    return c == 0xad || c == 0x180e || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x2064) || c == 0xfeff ||
           (c >= 0xe0020 && c <= 0xe007f);
}

void scan_words_count(struct str utf8, struct scan_words *words)
{
    const char *p = utf8.ptr, *start = utf8.ptr, *end;
    unsigned kinds = 0;

    if (utf8.len == 0)
        return; /* without an address, not even 0 may be added to it */
    end = utf8.ptr + utf8.len;
    while (p < end) {
        gunichar c = (unsigned char)*p < 0x80 ? (gunichar)*p
                                              : g_utf8_get_char_validated(p, end - p);
        const char *next = p + 1;
        bool is_letter;

        if (c == (gunichar)-1 || c == (gunichar)-2)
            c = ' ';
        else if (c >= 0x80)
            next = g_utf8_next_char(p);
        is_letter = c < 0x80 ? kind_of(c) != KIND_NONE : g_unichar_isalpha(c);
        if (c >= 0x80 && is_invisible(c)) {
            words->invisible++;
        } else if (is_letter) {
            if (kinds == 0)
                start = p;
            kinds |= BIT(kind_of(c)) & ~BIT(KIND_NONE);
        }
        if ((!is_letter && !(c >= 0x80 && is_invisible(c))) || next >= end) {
            if ((kinds & (kinds - 1)) != 0) {
                if (words->mixed++ == 0)
                    words->first_mixed = str_make(start, (size_t)(next - start));
            }
            kinds = 0;
        }
        p = next;
    }
}

/* Letters that are not ASCII and look like letters that are, in lower case. */
static const struct {
    gunichar code;
    char looks_like;
} lookalikes[] = {
    {0x430, 'a'}, {0x435, 'e'}, {0x43e, 'o'}, {0x440, 'p'}, {0x441, 'c'}, {0x443, 'y'},
    {0x445, 'x'}, {0x455, 's'}, {0x456, 'i'}, {0x458, 'j'}, {0x4bb, 'h'}, {0x501, 'd'},
    {0x51b, 'q'}, {0x51d, 'w'}, {0x4cf, 'l'}, {0x475, 'v'}, {0x461, 'w'}, {0x442, 't'},
    {0x43a, 'k'}, {0x43c, 'm'}, {0x432, 'b'}, {0x43d, 'h'}, {0x433, 'r'}, {0x43f, 'n'},
    {0x3bf, 'o'}, {0x3b1, 'a'}, {0x3bd, 'v'}, {0x3c1, 'p'}, {0x3c5, 'u'}, {0x3b9, 'i'},
    {0x3ba, 'k'}, {0x3c4, 't'}, {0x3b3, 'y'}, {0x3c7, 'x'}, {0x131, 'i'}, {0x237, 'j'},
    {0x1d0f, 'o'}, {0x1d04, 'c'}, {0x1d1c, 'u'}, {0x1d20, 'v'}, {0x1d21, 'w'}, {0x1d22, 'z'},
    {0x261, 'g'}, {0x251, 'a'}, {0x269, 'i'}, {0x578, 'n'}, {0x57d, 'u'}, {0x585, 'o'},
    {0x566, 'q'}, {0x570, 'h'}, {0x581, 'g'}, {0x575, 'j'},
};

bool scan_label_is_lookalike(struct str label)
{
    const char *p = label.ptr, *end = label.ptr + label.len;
    size_t foreign = 0;

    while (p < end) {
        gunichar c = (unsigned char)*p < 0x80 ? (gunichar)*p
                                              : g_utf8_get_char_validated(p, end - p);
        bool is_known = c < 0x80;

        if (c == (gunichar)-1 || c == (gunichar)-2)
            return false;
        for (size_t i = 0; i < ARRAY_LEN(lookalikes) && !is_known; i++)
            is_known = lookalikes[i].code == c;
        if (!is_known)
            return false;
        foreign += c >= 0x80;
        p = c < 0x80 ? p + 1 : g_utf8_next_char(p);
    }
    return foreign > 0;
}
