/* One message of an mbox: the format's own fields become flags and dates, quotes go. */
#include "transfer/mbox_message.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/clock.h"
#include "vault/maildrop.h"

/* --- Fields --- */

static void take_uid(struct task *task, struct mbox_message *out, struct str value)
{
    uint32_t uid;

    (void)task;
    if (parse_u32(value, &uid))
        out->message.uid = uid;
}

static void take_status(struct task *task, struct mbox_message *out, struct str value)
{
    static const struct {
        char letter;
        uint64_t flag;
    } letters[] = {
        {'R', VAULT_FLAG_SEEN},    {'A', VAULT_FLAG_ANSWERED}, {'D', VAULT_FLAG_DELETED},
        {'F', VAULT_FLAG_FLAGGED}, {'T', VAULT_FLAG_DRAFT},
    };

    (void)task;
    for (size_t i = 0; i < ARRAY_LEN(letters); i++) {
        if (str_index(value, letters[i].letter) >= 0)
            out->message.flags |= letters[i].flag;
    }
}

static void take_keywords(struct task *task, struct mbox_message *out, struct str value)
{
    struct str *keywords = ARENA_ARRAY(&task->arena, struct str, TRANSFER_KEYWORDS_MAX);
    struct str rest = value, keyword;
    size_t count = 0;

    while (str_split(&rest, ' ', &keyword) && count < TRANSFER_KEYWORDS_MAX) {
        keyword = str_trim(keyword);
        if (keyword.len > 0 && keyword.len <= VAULT_KEYWORD_NAME_MAX && str_is_utf8(keyword))
            keywords[count++] = arena_copy(&task->arena, keyword);
    }
    out->message.keywords = keywords;
    out->message.keyword_count = count;
}

/* "1164165678 0000000012 Work Later": UIDVALIDITY, the last UID, keywords. */
static void take_base(struct task *task, struct mbox_message *out, struct str value)
{
    struct str rest = value, first, second;

    (void)task;
    if (!str_split(&rest, ' ', &first) || !str_split(&rest, ' ', &second) ||
        !parse_u32(first, &out->uidvalidity) || !parse_u32(second, &out->last_uid))
        out->uidvalidity = out->last_uid = 0;
}

/* POP3's (qpopper, and others behind it). */
static void take_uidl(struct task *task, struct mbox_message *out, struct str value)
{
    if (out->message.uidl.len == 0 && vault_uidl_is_valid(value))
        out->message.uidl = arena_copy(&task->arena, value);
}

static void take_nothing(struct task *task, struct mbox_message *out, struct str value)
{
    (void)task;
    (void)out;
    (void)value;
}

/* They are the file's, not the message's: they go, but for X-UIDL, which may be either's, and of which the
 * first counts. */
static const struct {
    struct str name;
    void (*take)(struct task *task, struct mbox_message *out, struct str value);
} fields[] = {
    {STR_INIT("X-UID:"), take_uid},
    {STR_INIT("Status:"), take_status},
    {STR_INIT("X-Status:"), take_status},
    {STR_INIT("X-Keywords:"), take_keywords},
    {STR_INIT("X-IMAPbase:"), take_base},
    {STR_INIT("X-IMAP:"), take_base},
    {STR_INIT("Content-Length:"), take_nothing},
    {STR_INIT("X-UIDL:"), take_uidl},
};

/* Whether it goes. */
static bool take_field(struct task *task, struct mbox_message *out, struct str line)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (str_starts_with_nocase(line, fields[i].name)) {
            fields[i].take(task, out, str_trim(str_from(line, fields[i].name.len)));
            return fields[i].take != take_uidl;
        }
    }
    return false;
}

/* --- Dates --- */

static int month_of(struct str word)
{
    static const struct str months = STR_INIT("JanFebMarAprMayJunJulAugSepOctNovDec");

    for (int i = 0; word.len == 3 && i < 12; i++) {
        if (str_equal(word, str_make(months.ptr + i * 3, 3)))
            return i + 1;
    }
    return 0;
}

static bool parse_time(struct str word, struct clock_date *date)
{
    struct str rest = word, part;
    int *const fields_of[] = {&date->hour, &date->minute, &date->second};
    size_t count = 0;

    while (str_split(&rest, ':', &part)) {
        uint32_t value;

        if (count == ARRAY_LEN(fields_of) || part.len > 2 || !parse_u32(part, &value) || value > 60)
            return false;
        *fields_of[count++] = (int)value;
    }
    return count >= 2;
}

/* asctime's "Sun Nov 22 05:00:00 2026", in UTC, wherever it stands in the line. */
static bool parse_from_date(struct str line, int64_t *out_ms)
{
    struct str rest = str_trim(line), word;
    struct clock_date date = {0};
    bool has_time = false;
    uint32_t value;

    while (str_split(&rest, ' ', &word)) {
        if (word.len == 0)
            continue;
        if (date.month == 0)
            date.month = month_of(word);
        else if (date.day == 0 && word.len <= 2 && parse_u32(word, &value) && value >= 1 &&
                 value <= 31)
            date.day = (int)value;
        else if (!has_time && str_index(word, ':') > 0)
            has_time = parse_time(word, &date);
        else if (word.len == 4 && parse_u32(word, &value) && value >= 1970)
            date.year = (int)value;
    }
    if (date.month == 0 || date.day == 0 || date.year == 0 || !has_time)
        return false;
    *out_ms = clock_join(&date);
    return true;
}

/* --- The text --- */

/* Each line without one of the ">" before "From ". */
static void unquote(struct str text, struct buf *out)
{
    while (text.len > 0) {
        ptrdiff_t end = str_index(text, '\n');
        struct str line = end < 0 ? text : str_upto(text, (size_t)end + 1);
        size_t quotes = 0;

        while (quotes < line.len && line.ptr[quotes] == '>')
            quotes++;
        text = str_from(text, line.len);
        if (quotes > 0 && str_starts_with(str_from(line, quotes), STR("From ")))
            line = str_from(line, 1);
        buf_put(out, line);
    }
}

static struct str take_line(struct str *rest)
{
    ptrdiff_t end = str_index(*rest, '\n');
    struct str line = end < 0 ? *rest : str_upto(*rest, (size_t)end + 1);

    *rest = str_from(*rest, line.len);
    return line;
}

/* "1 lines=5 size=123 date=… zone=60". False: not one of ours. */
static bool parse_mark(struct str value, uint32_t *lines, uint64_t *size,
                       struct transfer_message *out)
{
    struct str rest = str_trim(value), word;
    bool has_lines = false, has_size = false, has_date = false;

    while (str_split(&rest, ' ', &word)) {
        int64_t minutes;

        if (str_starts_with(word, STR("lines=")))
            has_lines = parse_u32(str_from(word, 6), lines) && *lines >= 1 && *lines <= 20;
        else if (str_starts_with(word, STR("size=")))
            has_size = parse_u64(str_from(word, 5), size);
        else if (str_starts_with(word, STR("date=")))
            has_date = clock_parse_iso(str_from(word, 5), &out->date_ms);
        else if (str_starts_with(word, STR("zone=")) && parse_i64(str_from(word, 5), &minutes) &&
                 minutes >= -24 * 60 && minutes <= 24 * 60)
            out->zone_minutes = (int16_t)minutes;
    }
    return has_lines && has_size && has_date;
}

/* Ours: as many lines as it says, and the message's exact bytes. */
static bool read_own(struct task *task, struct str text, struct mbox_message *out)
{
    struct str rest = text, line = take_line(&rest);
    CLEANUP(buf_free) struct buf raw = {0};
    struct mbox_message found = {0};
    uint32_t lines = 0;
    uint64_t size = 0;

    if (!str_starts_with(line, STR(TRANSFER_MBOX_MARK)) ||
        !parse_mark(str_from(line, sizeof(TRANSFER_MBOX_MARK) - 1), &lines, &size, &found.message))
        return false;
    buf_init(&raw, SIZE_MAX);
    for (uint32_t i = 1; i < lines; i++)
        (void)take_field(task, &found, take_line(&rest));
    unquote(rest, &raw);
    if (raw.len < size)
        return false; /* somebody changed it: then it is a message like any */
    buf_truncate(&raw, (size_t)size);
    found.raw = arena_copy(&task->arena, buf_str(&raw));
    *out = found;
    return true;
}

static bool is_empty(struct str line)
{
    return str_trim(line).len == 0;
}

static struct str without_separator(struct str text)
{
    if (str_ends_with(text, STR("\r\n\r\n")))
        return str_upto(text, text.len - 2);
    return str_ends_with(text, STR("\n\n")) ? str_upto(text, text.len - 1) : text;
}

/* True; how many of the header's first lines are an export's. */
static bool read_mark(struct str line, uint32_t *out_lines)
{
    struct transfer_message ignored;
    uint64_t size;

    if (!parse_mark(str_from(line, sizeof(TRANSFER_MBOX_MARK) - 1), out_lines, &size, &ignored))
        *out_lines = 0;
    return true;
}

static void read_foreign(struct task *task, struct str text, bool is_counted,
                         struct mbox_message *out)
{
    struct str rest = is_counted ? text : without_separator(text);
    CLEANUP(buf_free) struct buf raw = {0};
    bool is_dropping = false;
    uint32_t own_lines = 0; /* of an export's in a message that was changed since */

    buf_init(&raw, SIZE_MAX);
    for (; rest.len > 0; own_lines -= own_lines > 0) {
        struct str line = take_line(&rest);

        if (is_empty(line)) {
            buf_put(&raw, line);
            break;
        }
        if (str_starts_with(line, STR(TRANSFER_MBOX_MARK)))
            is_dropping = read_mark(line, &own_lines);
        else if (line.ptr[0] != ' ' && line.ptr[0] != '\t')
            is_dropping = take_field(task, out, line) || own_lines > 0;
        if (!is_dropping)
            buf_put(&raw, line);
    }
    if (is_counted)
        buf_put(&raw, rest);
    else
        unquote(rest, &raw);
    out->raw = arena_copy(&task->arena, buf_str(&raw));
}

bool mbox_message_read(struct task *task, struct str from, struct str text, bool is_counted,
                       struct mbox_message *out)
{
    struct mbox_message found = {0};

    if (!read_own(task, text, &found)) {
        found.message.date_ms = task->now_ms;
        (void)parse_from_date(from, &found.message.date_ms);
        read_foreign(task, text, is_counted, &found);
        if (str_find(str_upto(found.raw, 4096), STR("FOLDER INTERNAL DATA")) >= 0 &&
            found.uidvalidity != 0)
            return false;
    }
    found.message.size_bytes = found.raw.len;
    *out = found;
    return true;
}
