/* Names and files of a Maildir. */
#include "transfer/maildir.h"

#include "base/ascii.h"
#include "transfer/names.h"
#include "vault/message.h"

#include <stdlib.h>

/* Where ":2," begins; some systems write ";2," or "!2,". -1: nowhere. */
static ptrdiff_t info_of(struct str file)
{
    for (size_t i = file.len; i >= 3; i--) {
        size_t at = i - 3;

        if (file.ptr[at + 1] == '2' && file.ptr[at + 2] == ',' &&
            str_index(STR(":;!"), file.ptr[at]) >= 0)
            return (ptrdiff_t)at;
    }
    return -1;
}

struct str maildir_base(struct str file)
{
    ptrdiff_t info = info_of(file);

    return info < 0 ? file : str_upto(file, (size_t)info);
}

uint64_t maildir_flags(struct str file, const struct str keywords[static MAILDIR_KEYWORDS],
                       struct str out_keywords[static MAILDIR_KEYWORDS], size_t *out_count)
{
    ptrdiff_t info = info_of(file);
    struct str letters = info < 0 ? STR("") : str_from(file, (size_t)info + 3);
    bool has[MAILDIR_KEYWORDS] = {false};
    uint64_t flags = 0;
    size_t count = 0;

    for (size_t i = 0; i < letters.len; i++) {
        char c = letters.ptr[i];

        for (size_t j = 0; j < TRANSFER_FLAG_COUNT; j++) {
            if (transfer_flags[j].maildir == c)
                flags |= transfer_flags[j].flag;
        }
        if (ascii_is_lower(c))
            has[c - 'a'] = true;
    }
    for (size_t i = 0; i < MAILDIR_KEYWORDS; i++) {
        if (has[i] && keywords[i].len > 0)
            out_keywords[count++] = keywords[i];
    }
    *out_count = count;
    return flags;
}

int64_t maildir_time(struct str file)
{
    struct str rest = file, seconds;
    uint32_t value;

    return str_split(&rest, '.', &seconds) && parse_u32(seconds, &value) ? (int64_t)value * 1000
                                                                        : 0;
}

void maildir_parse_keywords(struct str text, struct str out[static MAILDIR_KEYWORDS])
{
    struct str rest = text, line;

    for (size_t i = 0; i < MAILDIR_KEYWORDS; i++)
        out[i] = STR("");
    while (str_split(&rest, '\n', &line)) {
        struct str name = line, number;
        uint32_t value;

        if (str_split(&name, ' ', &number) && parse_u32(number, &value) &&
            value < MAILDIR_KEYWORDS && name.len > 0 && name.len <= VAULT_KEYWORD_NAME_MAX &&
            str_is_utf8(name))
            out[value] = name;
    }
}

static int compare(const void *a, const void *b)
{
    return str_compare(((const struct maildir_uid *)a)->base,
                       ((const struct maildir_uid *)b)->base);
}

/* "3 V1 N5 G…", or "1 1 5". */
static bool parse_head(struct str line, bool *out_is_third, struct maildir_uids *out)
{
    struct str rest = line, word;

    if (!str_split(&rest, ' ', &word))
        return false;
    *out_is_third = str_equal(word, STR("3"));
    if (str_equal(word, STR("1")))
        return str_split(&rest, ' ', &word) && parse_u32(word, &out->uidvalidity) &&
               str_split(&rest, ' ', &word) && parse_u32(word, &out->uidnext);
    while (*out_is_third && str_split(&rest, ' ', &word)) {
        if (word.len > 1 && word.ptr[0] == 'V' && !parse_u32(str_from(word, 1), &out->uidvalidity))
            return false;
        if (word.len > 1 && word.ptr[0] == 'N' && !parse_u32(str_from(word, 1), &out->uidnext))
            return false;
    }
    return *out_is_third && out->uidvalidity != 0;
}

bool maildir_parse_uids(struct arena *arena, struct str text, struct maildir_uids *out)
{
    struct maildir_uids found = {0};
    struct str rest = text, line;
    size_t room = 0;
    bool is_third;

    if (!str_split(&rest, '\n', &line) || !parse_head(line, &is_third, &found))
        return false;
    for (size_t i = 0; i < rest.len; i++)
        room += rest.ptr[i] == '\n';
    found.rows = ARENA_ARRAY(arena, struct maildir_uid, room + 1);
    while (str_split(&rest, '\n', &line) && found.count <= room) {
        struct str base = line, number;
        ptrdiff_t colon = str_find(line, STR(" :"));
        uint32_t uid;

        if (!str_split(&base, ' ', &number) || !parse_u32(number, &uid) || uid == 0)
            continue;
        if (is_third && colon < 0)
            continue;
        if (is_third)
            base = str_from(line, (size_t)colon + 2);
        if (base.len > 0)
            found.rows[found.count++] = (struct maildir_uid){maildir_base(base), uid};
    }
    if (found.count > 1)
        qsort(found.rows, found.count, sizeof(*found.rows), compare);
    *out = found;
    return true;
}

uint32_t maildir_uid_of(const struct maildir_uids *uids, struct str base)
{
    const struct maildir_uid wanted = {.base = base};
    const struct maildir_uid *found =
        uids->count == 0 ? NULL
                         : bsearch(&wanted, uids->rows, uids->count, sizeof(*uids->rows), compare);

    return found == NULL ? 0 : found->uid;
}

void maildir_parse_subscriptions(struct arena *arena, struct str text, struct str **out_names,
                                 size_t *out_count)
{
    struct str rest = text, line;
    bool is_second = str_starts_with(text, STR("V\t2\n"));
    struct str *names;
    size_t room = 1, count = 0;

    for (size_t i = 0; i < text.len; i++)
        room += text.ptr[i] == '\n';
    names = ARENA_ARRAY(arena, struct str, room);
    if (is_second)
        rest = str_from(text, 4);
    while (str_split(&rest, '\n', &line) && count < room) {
        struct str name = arena_copy(arena, line);

        if (name.len == 0)
            continue;
        if (is_second) { /* levels between tabs */
            char *bytes = arena_alloc(arena, name.len + 1, 1);

            for (size_t i = 0; i < name.len; i++)
                bytes[i] = name.ptr[i] == '\t' ? '/' : name.ptr[i];
            name = transfer_clean_name(arena, str_make(bytes, name.len));
        } else {
            name = str_equal_nocase(name, STR("INBOX"))
                       ? STR("INBOX")
                       : transfer_maildir_name(arena, arena_printf(arena, ".%.*s", STR_ARG(name)));
        }
        if (name.len > 0)
            names[count++] = name;
    }
    *out_names = names;
    *out_count = count;
}
