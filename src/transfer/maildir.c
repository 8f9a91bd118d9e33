/* Names and files of a Maildir. */
#include "transfer/maildir.h"

#include "base/ascii.h"
#include "base/buf.h"
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

/* Room for a row of each line that is left and has something in it. */
static struct maildir_uid *rows_for(struct arena *arena, struct str rest)
{
    size_t room = 1;

    for (size_t i = 0; i < rest.len; i++)
        room += rest.ptr[i] == '\n' && i > 0 && rest.ptr[i - 1] != '\n';
    return ARENA_ARRAY(arena, struct maildir_uid, room);
}

static void sort_rows(struct maildir_uids *uids)
{
    if (uids->count > 1)
        qsort(uids->rows, uids->count, sizeof(*uids->rows), compare);
}

/* "7 Pabc W123 :base": what is said between UID and name. A "P" alone stands for the name. */
static struct str uidl_among(struct str words, struct str base)
{
    struct str word;

    while (str_split(&words, ' ', &word)) {
        if (word.len > 0 && word.ptr[0] == 'P')
            return word.len == 1 ? base : str_from(word, 1);
    }
    return STR("");
}

static bool parse_uid_line(struct str line, bool is_third, struct maildir_uid *out)
{
    struct str rest = line, number;
    ptrdiff_t colon = str_find(line, STR(" :"));

    if (!str_split(&rest, ' ', &number) || !parse_u32(number, &out->uid) || out->uid == 0 ||
        (is_third && colon < 0))
        return false;
    if (is_third)
        rest = str_from(line, (size_t)colon + 2);
    out->base = maildir_base(rest);
    out->uidl = is_third ? uidl_among(str_upto(line, (size_t)colon), out->base) : STR("");
    return rest.len > 0;
}

bool maildir_parse_uids(struct arena *arena, struct str text, struct maildir_uids *out)
{
    struct maildir_uids found = {0};
    struct str rest = text, line;
    bool is_third;

    if (!str_split(&rest, '\n', &line) || !parse_head(line, &is_third, &found))
        return false;
    found.rows = rows_for(arena, rest);
    while (str_split(&rest, '\n', &line))
        found.count += parse_uid_line(line, is_third, &found.rows[found.count]);
    sort_rows(&found);
    *out = found;
    return true;
}

/* The name itself, with what a quoted string had better not have as +XX. */
static struct str uidl_of_name(struct arena *arena, struct str base)
{
    CLEANUP(buf_free) struct buf out;

    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < base.len; i++) {
        char c = base.ptr[i];

        if (c < 0x21 || c > 0x7e || str_index(STR("'\"+"), c) >= 0)
            buf_putf(&out, "+%02X", (unsigned)(unsigned char)c);
        else
            buf_put(&out, str_make(&c, 1));
    }
    return arena_copy(arena, buf_str(&out));
}

/* "name size number:UIDVALIDITY", in the third version ":" and a flag behind it. The number is
 * POP3's own, no UID; without one the name counts. */
static bool parse_courier_line(struct arena *arena, struct str line, struct maildir_uid *out)
{
    ptrdiff_t last = str_last_index(line, ' '), size;
    struct str rest, name, part;
    uint32_t number, uidvalidity;

    if (last < 0)
        return false;
    rest = str_from(line, (size_t)last + 1);
    name = str_upto(line, (size_t)last);
    size = str_last_index(name, ' ');
    if (size < 1 || !str_split(&rest, ':', &part) || !parse_u32(part, &number) ||
        !str_split(&rest, ':', &part) || !parse_u32(part, &uidvalidity))
        return false;
    out->base = maildir_base(str_upto(name, (size_t)size));
    out->uid = 0;
    if (number == 0)
        out->uidl = uidl_of_name(arena, out->base);
    else if (uidvalidity == 0)
        out->uidl = arena_printf(arena, "UID%u", (unsigned)number);
    else
        out->uidl = arena_printf(arena, "UID%u-%u", (unsigned)number, (unsigned)uidvalidity);
    return true;
}

bool maildir_parse_courier(struct arena *arena, struct str text, struct maildir_uids *out)
{
    struct maildir_uids found = {0};
    struct str rest = text, line;

    if (!str_split(&rest, '\n', &line) ||
        (!str_starts_with(line, STR("/2 ")) && !str_starts_with(line, STR("/3 "))))
        return false;
    found.rows = rows_for(arena, rest);
    while (str_split(&rest, '\n', &line))
        found.count += parse_courier_line(arena, line, &found.rows[found.count]);
    sort_rows(&found);
    *out = found;
    return true;
}

const struct maildir_uid *maildir_uid_of(const struct maildir_uids *uids, struct str base)
{
    const struct maildir_uid wanted = {.base = base};

    return uids->count == 0
               ? NULL
               : bsearch(&wanted, uids->rows, uids->count, sizeof(*uids->rows), compare);
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
