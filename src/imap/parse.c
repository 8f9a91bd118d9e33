#include "imap/parse.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "imap/utf7.h"
#include "message/message.h"

#include <string.h>

/* ATOM-CHAR = any CHAR except "(" ")" "{" SP CTL list-wildcards quoted-specials resp-specials */
bool imap_is_atom_char(char c)
{
    return !ascii_is_control(c) && !ascii_is_8bit(c) && strchr("(){ %*\"\\]", c) == NULL;
}

/* ASTRING-CHAR = ATOM-CHAR / "]" */
bool imap_is_astring_char(char c)
{
    return imap_is_atom_char(c) || c == ']';
}

/* list-char = ATOM-CHAR / list-wildcards / "]" */
static bool is_list_char(char c)
{
    return imap_is_astring_char(c) || c == '%' || c == '*';
}

/* tag = 1*<any ASTRING-CHAR except "+"> */
static bool is_tag_char(char c)
{
    return imap_is_astring_char(c) && c != '+';
}

static bool is_set_char(char c)
{
    return ascii_is_digit(c) || c == ':' || c == ',' || c == '*' || c == '$';
}

static bool is_digit(char c)
{
    return ascii_is_digit(c);
}

enum err imap_expected(struct imap_parser *parser, const char *what)
{
    return fail(parser->task, ERR_INVALID, "expected %s", what);
}

bool imap_at(const struct imap_parser *parser, char c)
{
    return parser->rest.len > 0 && parser->rest.ptr[0] == c;
}

bool imap_at_end(const struct imap_parser *parser)
{
    return parser->rest.len == 0;
}

bool imap_take(struct imap_parser *parser, char c)
{
    if (!imap_at(parser, c))
        return false;
    parser->rest = str_from(parser->rest, 1);
    return true;
}

bool imap_take_word(struct imap_parser *parser, struct str word)
{
    if (!str_starts_with_nocase(parser->rest, word) ||
        (parser->rest.len > word.len && imap_is_atom_char(parser->rest.ptr[word.len])))
        return false;
    parser->rest = str_from(parser->rest, word.len);
    return true;
}

/* The longest run of such characters, which may be empty. */
static struct str take_run(struct imap_parser *parser, bool (*is_char)(char))
{
    struct str run;
    size_t len = 0;

    while (len < parser->rest.len && is_char(parser->rest.ptr[len]))
        len++;
    run = str_upto(parser->rest, len);
    parser->rest = str_from(parser->rest, len);
    return run;
}

enum err imap_parse_byte(struct imap_parser *parser, char c)
{
    const char what[] = {'"', c, '"', '\0'};

    return imap_take(parser, c) ? ERR_OK : imap_expected(parser, what);
}

enum err imap_parse_space(struct imap_parser *parser)
{
    return imap_take(parser, ' ') ? ERR_OK : imap_expected(parser, "a space");
}

enum err imap_parse_end(struct imap_parser *parser)
{
    return imap_at_end(parser) ? ERR_OK : imap_expected(parser, "the end of the line");
}

enum err imap_parse_tag(struct imap_parser *parser, struct str *out)
{
    *out = take_run(parser, is_tag_char);
    return out->len > 0 ? ERR_OK : imap_expected(parser, "a tag");
}

enum err imap_parse_atom(struct imap_parser *parser, struct str *out)
{
    *out = take_run(parser, imap_is_atom_char);
    return out->len > 0 ? ERR_OK : imap_expected(parser, "an atom");
}

/*
 * quoted = DQUOTE *QUOTED-CHAR DQUOTE. Who may send UTF-8 in it must send UTF-8 (RFC 6855 §3); of others
 * 8-bit bytes pass, and what they mean is the caller's affair.
 */
static enum err parse_quoted(struct imap_parser *parser, struct str *out)
{
    struct str text = str_from(parser->rest, 1);
    bool has_escapes = false;
    size_t len = 0;

    while (len < text.len && text.ptr[len] != '"') {
        if (text.ptr[len] == '\0' || text.ptr[len] == '\r' || text.ptr[len] == '\n')
            return imap_expected(parser, "no control character in a quoted string");
        if (text.ptr[len] == '\\') {
            has_escapes = true;
            len++;
            if (len == text.len || (text.ptr[len] != '"' && text.ptr[len] != '\\'))
                return imap_expected(parser, "a quote or a backslash after a backslash");
        }
        len++;
    }
    if (len >= text.len)
        return imap_expected(parser, "a closing quote");
    *out = str_upto(text, len);
    if (parser->is_utf8 && !str_is_utf8(*out))
        return imap_expected(parser, "UTF-8 in a quoted string");
    parser->rest = str_from(text, len + 1);
    if (has_escapes) {
        char *plain = arena_alloc(&parser->task->arena, len, 1);
        size_t plain_len = 0;

        for (size_t i = 0; i < len; i++) {
            i += text.ptr[i] == '\\';
            plain[plain_len++] = text.ptr[i];
        }
        *out = str_make(plain, plain_len);
    }
    return ERR_OK;
}

/* literal = "{" number ["+"] "}" CRLF *CHAR8 */
enum err imap_parse_literal(struct imap_parser *parser, struct str *out)
{
    struct str digits;
    uint64_t size;

    TRY(imap_parse_byte(parser, '{'));
    digits = take_run(parser, is_digit);
    imap_take(parser, '+');
    TRY(imap_parse_byte(parser, '}'));
    imap_take(parser, '\r');
    if (!imap_take(parser, '\n'))
        return imap_expected(parser, "a line end behind the size of a literal");
    if (!parse_u64(digits, &size) || size > parser->rest.len)
        return imap_expected(parser, "a literal");
    *out = str_upto(parser->rest, (size_t)size);
    parser->rest = str_from(parser->rest, (size_t)size);
    return ERR_OK;
}

enum err imap_parse_literal8(struct imap_parser *parser, struct str *out)
{
    TRY(imap_parse_byte(parser, '~'));
    return imap_parse_literal(parser, out);
}

enum err imap_parse_string(struct imap_parser *parser, struct str *out)
{
    if (imap_at(parser, '"'))
        return parse_quoted(parser, out);
    if (imap_at(parser, '{')) {
        TRY(imap_parse_literal(parser, out));
        /* CHAR8 = %x01-ff */
        return str_index(*out, '\0') < 0 ? ERR_OK : imap_expected(parser, "no NUL in a literal");
    }
    return imap_expected(parser, "a string");
}

enum err imap_parse_astring(struct imap_parser *parser, struct str *out)
{
    *out = take_run(parser, imap_is_astring_char);
    return out->len > 0 ? ERR_OK : imap_parse_string(parser, out);
}

enum err imap_parse_nstring(struct imap_parser *parser, struct str *out)
{
    if (imap_take_word(parser, STR("NIL"))) {
        *out = (struct str){NULL, 0};
        return ERR_OK;
    }
    return imap_parse_string(parser, out);
}

enum err imap_parse_number(struct imap_parser *parser, uint32_t *out)
{
    return parse_u32(take_run(parser, is_digit), out) ? ERR_OK : imap_expected(parser, "a number");
}

enum err imap_parse_number64(struct imap_parser *parser, uint64_t *out)
{
    /* mod-sequence-valzer is a 63-bit number (RFC 7162 §7). */
    if (!parse_u64(take_run(parser, is_digit), out) || *out > INT64_MAX)
        return imap_expected(parser, "a number");
    return ERR_OK;
}

enum err imap_parse_modseq(struct imap_parser *parser, uint64_t *out)
{
    TRY(imap_parse_number64(parser, out));
    return *out == 0 ? imap_expected(parser, "a MODSEQ above 0") : ERR_OK;
}

static struct str normal_inbox(struct imap_parser *parser, struct str name)
{
    struct str inbox = STR("INBOX");

    if (!str_starts_with_nocase(name, inbox) ||
        (name.len > inbox.len && name.ptr[inbox.len] != '/'))
        return name;
    return arena_printf(&parser->task->arena, "INBOX%.*s", STR_ARG(str_from(name, inbox.len)));
}

/* Some clients send names decomposed; they mean the same folder. */
static struct str normal_name(struct imap_parser *parser, struct str name)
{
    struct buf composed;
    struct str normal;

    buf_init(&composed, SIZE_MAX);
    message_compose(name, &composed);
    parser->name_as_sent = (struct str){NULL, 0};
    if (!str_equal(name, buf_str(&composed)))
        parser->name_as_sent = arena_copy(&parser->task->arena, name);
    normal = normal_inbox(parser, arena_copy(&parser->task->arena, buf_str(&composed)));
    buf_free(&composed);
    return normal;
}

/* mailbox = "INBOX" / astring, the latter in modified UTF-7 or (RFC 9051 §5.1) in UTF-8 */
enum err imap_parse_mailbox(struct imap_parser *parser, struct str *out)
{
    struct str encoded;
    struct buf name;
    enum err err = ERR_OK;

    TRY(imap_parse_astring(parser, &encoded));
    if (encoded.len > IMAP_MAILBOX_NAME_MAX) {
        parser->is_name_impossible = true;
        return imap_expected(parser, "a shorter mailbox name");
    }
    buf_init(&name, SIZE_MAX);
    if (!parser->is_utf8)
        err = imap_utf7_decode(encoded, &name);
    else if (str_is_utf8(encoded))
        buf_put(&name, encoded);
    else
        err = ERR_INVALID;
    if (err == ERR_OK)
        *out = normal_name(parser, buf_str(&name));
    buf_free(&name);
    if (err == ERR_OK)
        return ERR_OK;
    parser->is_name_impossible = true;
    return imap_expected(parser, parser->is_utf8 ? "a mailbox name in UTF-8"
                                                 : "a mailbox name in modified UTF-7");
}

enum err imap_parse_list_mailbox(struct imap_parser *parser, struct str *out)
{
    *out = take_run(parser, is_list_char);
    return out->len > 0 ? ERR_OK : imap_parse_string(parser, out);
}

enum err imap_parse_set(struct imap_parser *parser, struct imap_set *out)
{
    if (!imap_set_parse(parser->task, take_run(parser, is_set_char), out))
        return imap_expected(parser, "a sequence set");
    return ERR_OK;
}

enum err imap_parse_partial(struct imap_parser *parser, int64_t *out_first, int64_t *out_last)
{
    bool is_from_end = imap_take(parser, '-');
    uint32_t first, last;

    TRY(imap_parse_number(parser, &first));
    TRY(imap_parse_byte(parser, ':'));
    if (is_from_end)
        TRY(imap_parse_byte(parser, '-'));
    TRY(imap_parse_number(parser, &last));
    if (first == 0 || last == 0)
        return imap_expected(parser, "a range without 0");
    *out_first = is_from_end ? -(int64_t)first : (int64_t)first;
    *out_last = is_from_end ? -(int64_t)last : (int64_t)last;
    return ERR_OK;
}

static bool take_digits(struct str *text, size_t min, size_t max, int *out)
{
    uint32_t value;
    size_t len = 0;

    while (len < max && len < text->len && ascii_is_digit(text->ptr[len]))
        len++;
    if (len < min || !parse_u32(str_upto(*text, len), &value))
        return false;
    *text = str_from(*text, len);
    *out = (int)value;
    return true;
}

static bool take_text(struct str *text, char c)
{
    if (text->len == 0 || text->ptr[0] != c)
        return false;
    *text = str_from(*text, 1);
    return true;
}

static bool take_month(struct str *text, int *out)
{
    static const struct str MONTHS = STR_INIT("JanFebMarAprMayJunJulAugSepOctNovDec");

    for (size_t i = 0; i < 12; i++) {
        if (str_equal_nocase(str_upto(*text, 3), str_upto(str_from(MONTHS, i * 3), 3))) {
            *text = str_from(*text, 3);
            *out = (int)i + 1;
            return true;
        }
    }
    return false;
}

static bool is_day_of_month(const struct clock_date *date)
{
    static const int DAYS[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = date->year % 4 == 0 && (date->year % 100 != 0 || date->year % 400 == 0);

    return date->day >= 1 && date->day <= DAYS[date->month - 1] &&
           (date->month != 2 || date->day < 29 || is_leap);
}

/* date-day "-" date-month "-" date-year */
static bool take_date(struct str *text, size_t day_digits, struct clock_date *out)
{
    return take_digits(text, day_digits, 2, &out->day) && take_text(text, '-') &&
           take_month(text, &out->month) && take_text(text, '-') &&
           take_digits(text, 4, 4, &out->year) && is_day_of_month(out);
}

static bool is_date_char(char c)
{
    return ascii_is_alnum(c) || c == '-';
}

enum err imap_parse_date(struct imap_parser *parser, int64_t *out_day)
{
    struct clock_date date = {0};
    struct str text;
    int64_t day_ms = 86400000, ms;

    if (imap_at(parser, '"'))
        TRY(parse_quoted(parser, &text));
    else
        text = take_run(parser, is_date_char);
    if (!take_date(&text, 1, &date) || text.len > 0)
        return imap_expected(parser, "a date like 1-Jan-2026");
    ms = clock_join(&date);
    *out_day = (ms < 0 ? ms - day_ms + 1 : ms) / day_ms;
    return ERR_OK;
}

/* date-day-fixed = (SP DIGIT) / 2DIGIT; time = 2DIGIT ":" 2DIGIT ":" 2DIGIT; zone = ("+" / "-")
 * 4DIGIT */
static bool take_date_time(struct str text, int64_t *out_ms, int16_t *out_zone_minutes)
{
    struct clock_date date = {0};
    int zone_hours, zone_minutes;
    bool is_west;

    if (!take_date(&text, take_text(&text, ' ') ? 1 : 2, &date) || !take_text(&text, ' ') ||
        !take_digits(&text, 2, 2, &date.hour) || !take_text(&text, ':') ||
        !take_digits(&text, 2, 2, &date.minute) || !take_text(&text, ':') ||
        !take_digits(&text, 2, 2, &date.second) || !take_text(&text, ' ') || date.hour > 23 ||
        date.minute > 59 || date.second > 60)
        return false;
    is_west = text.len > 0 && text.ptr[0] == '-';
    if ((!is_west && !take_text(&text, '+')) || (is_west && !take_text(&text, '-')) ||
        !take_digits(&text, 2, 2, &zone_hours) || !take_digits(&text, 2, 2, &zone_minutes) ||
        text.len > 0 || zone_hours > 23 || zone_minutes > 59)
        return false;
    zone_minutes += zone_hours * 60;
    *out_zone_minutes = (int16_t)(is_west ? -zone_minutes : zone_minutes);
    *out_ms = clock_join(&date) - (int64_t)*out_zone_minutes * 60000;
    return true;
}

enum err imap_parse_date_time(struct imap_parser *parser, int64_t *out_ms,
                              int16_t *out_zone_minutes)
{
    struct str text;

    if (!imap_at(parser, '"'))
        return imap_expected(parser, "a quoted date and time");
    TRY(parse_quoted(parser, &text));
    if (!take_date_time(text, out_ms, out_zone_minutes))
        return imap_expected(parser, "a date and time like \" 1-Jan-2026 00:00:00 +0000\"");
    return ERR_OK;
}
