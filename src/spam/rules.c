/*
 * Small signs, each cheap to see and none of them proof: a table of tests over the message's header
 * and form. Their scores are those of their names in report.c.
 */
#include "spam/scan.h"

#include "base/ascii.h"
#include "message/date.h"
#include "message/header.h"

enum {
    DAY_MS = 24 * 60 * 60 * 1000,
    RECEIVED_LOOKED_AT = 30,
    TINY_TEXT = 60,
    MANY_PARTS = 500,
    MANY_RECIPIENTS = 60,
};

typedef bool (*rule_fn)(struct spam_scan *scan);

static struct str field(struct spam_scan *scan, struct str name)
{
    return spam_view_field(scan->task, &scan->view, name);
}

static bool has_field(struct spam_scan *scan, struct str name)
{
    size_t position = 0;
    struct str value;

    return message_header_next(scan->view.header, name, &position, &value);
}

static size_t count_fields(struct spam_scan *scan, struct str name)
{
    size_t position = 0, count = 0;
    struct str value;

    while (count < 100 && message_header_next(scan->view.header, name, &position, &value))
        count++;
    return count;
}

/* --- The header --- */

static bool no_date(struct spam_scan *scan)
{
    return !has_field(scan, STR("Date"));
}

static bool sent_ms(struct spam_scan *scan, int64_t *out)
{
    int64_t day;

    return date_parse(field(scan, STR("Date")), out, &day);
}

static bool date_invalid(struct spam_scan *scan)
{
    int64_t ms;

    return has_field(scan, STR("Date")) && !sent_ms(scan, &ms);
}

static bool date_future(struct spam_scan *scan)
{
    int64_t ms;

    return sent_ms(scan, &ms) && ms > scan->request->now_ms + DAY_MS;
}

static bool date_old(struct spam_scan *scan)
{
    int64_t ms;

    return sent_ms(scan, &ms) && ms < scan->request->now_ms - INT64_C(15) * DAY_MS;
}

static bool no_message_id(struct spam_scan *scan)
{
    return field(scan, STR("Message-ID")).len == 0;
}

static bool message_id_odd(struct spam_scan *scan)
{
    struct str id = field(scan, STR("Message-ID"));

    return id.len > 0 && (str_index(id, '@') < 0 || str_index(id, '<') < 0 ||
                          str_index(id, '>') < 0);
}

static bool no_from(struct spam_scan *scan)
{
    return scan->view.from.count == 0;
}

static bool several_from(struct spam_scan *scan)
{
    return count_fields(scan, STR("From")) > 1;
}

static bool no_recipient(struct spam_scan *scan)
{
    return !has_field(scan, STR("To")) && !has_field(scan, STR("Cc")) &&
           !has_field(scan, STR("Bcc"));
}

static bool many_recipients(struct spam_scan *scan)
{
    struct str to = str_upto(field(scan, STR("To")), SPAM_VIEW_FIELD_MAX);
    size_t commas = 0;

    for (size_t i = 0; i < to.len; i++)
        commas += to.ptr[i] == ',';
    return commas >= MANY_RECIPIENTS;
}

static bool subject_empty(struct spam_scan *scan)
{
    return scan->view.subject.len == 0;
}

static bool subject_capitals(struct spam_scan *scan)
{
    struct str subject = scan->view.subject;
    size_t upper = 0, lower = 0;

    for (size_t i = 0; i < subject.len; i++) {
        upper += ascii_is_upper(subject.ptr[i]);
        lower += ascii_is_lower(subject.ptr[i]);
    }
    return upper >= 10 && upper > 4 * lower;
}

static bool subject_shouts(struct spam_scan *scan)
{
    struct str subject = scan->view.subject;

    return str_find(subject, STR("!!")) >= 0 || str_find(subject, STR("$$")) >= 0 ||
           str_find(subject, STR("??")) >= 0;
}

static bool subject_mixed(struct spam_scan *scan)
{
    struct scan_words words = {0};

    scan_words_count(scan->view.subject, &words);
    return words.mixed > 0 || words.invisible > 2;
}

/* "Re:" in front of a message that answers none. */
static bool false_reply(struct spam_scan *scan)
{
    return str_starts_with_nocase(scan->view.subject, STR("re:")) &&
           !has_field(scan, STR("In-Reply-To")) && !has_field(scan, STR("References"));
}

static bool raw_bytes(struct spam_scan *scan)
{
    return !str_is_ascii(scan->view.header) && !str_is_utf8(scan->view.header);
}

/* A Received field without a date, or with one that is still to come: no server writes such. */
static bool received_forged(struct spam_scan *scan)
{
    size_t position = 0;
    struct str value;

    for (size_t i = 0; i < RECEIVED_LOOKED_AT &&
                       message_header_next(scan->view.header, STR("Received"), &position, &value);
         i++) {
        ptrdiff_t semicolon = str_last_index(value, ';');
        size_t budget = SPAM_VIEW_FIELD_MAX;
        int64_t ms, day;
        struct str date;

        if (semicolon < 0)
            return true;
        date = header_flat(&scan->task->arena, str_from(value, (size_t)semicolon + 1), &budget);
        if (!date_parse(date, &ms, &day) || ms > scan->request->now_ms + DAY_MS)
            return true;
    }
    return false;
}

/* --- The peer --- */

static bool helo_no_name(struct spam_scan *scan)
{
    struct str helo = scan->request->helo;

    return helo.len > 0 && helo.ptr[0] != '[' &&
           (str_index(helo, '.') < 0 || ascii_is_digit(helo.ptr[helo.len - 1]));
}

static bool no_reverse_name(struct spam_scan *scan)
{
    struct str client = scan->request->client;

    /* This host itself has none in the DNS. */
    return scan->request->is_nameless && !str_starts_with(client, STR("127.")) &&
           !str_equal(client, STR("::1"));
}

/* "dsl-1-2-3-4.pool.example.net": a home, not a mail server. */
static bool dynamic_name(struct spam_scan *scan)
{
    static const struct str marks[] = {STR_INIT("dynamic"), STR_INIT("dsl"), STR_INIT("dhcp"),
                                       STR_INIT("pool"),    STR_INIT("dialup"), STR_INIT("broadband"),
                                       STR_INIT("cable"),   STR_INIT("ppp")};
    struct str name = scan->request->reverse_name;
    size_t numbers = 0;
    bool is_in_number = false, is_marked = false;

    for (size_t i = 0; i < name.len; i++) {
        numbers += ascii_is_digit(name.ptr[i]) && !is_in_number;
        is_in_number = ascii_is_digit(name.ptr[i]);
        for (size_t k = 0; k < ARRAY_LEN(marks); k++)
            is_marked |= str_starts_with_nocase(str_from(name, i), marks[k]);
    }
    return numbers >= 4 || (is_marked && numbers >= 2);
}

/* --- Form and texts --- */

static size_t text_length(const struct spam_scan *scan, bool *out_has_plain, bool *out_has_html)
{
    size_t plain = 0, html = 0;

    *out_has_plain = *out_has_html = false;
    for (size_t i = 0; i < scan->view.text_count; i++) {
        const struct spam_text *text = &scan->view.texts[i];

        *out_has_html |= text->is_html;
        *out_has_plain |= !text->is_html;
        if (text->is_html)
            html += str_trim(text->text).len;
        else
            plain += str_trim(text->text).len;
    }
    return html > plain ? html : plain;
}

static bool html_only(struct spam_scan *scan)
{
    bool has_plain, has_html;

    (void)text_length(scan, &has_plain, &has_html);
    return has_html && !has_plain;
}

/* Text that a scanner could read is left out: all of it is in a picture. */
static bool image_only(struct spam_scan *scan)
{
    bool has_plain, has_html, has_image = false;

    if (text_length(scan, &has_plain, &has_html) > TINY_TEXT || !has_html)
        return false;
    for (uint32_t i = 0; i < scan->request->structure->part_count && i < 100; i++)
        has_image |= str_equal(scan->request->structure->parts[i].type, STR("image"));
    for (size_t i = 0; i < scan->view.text_count; i++)
        has_image |= scan->view.texts[i].is_html &&
                     str_find(scan->view.texts[i].source, STR("<img")) >= 0;
    return has_image;
}

/* Text for scanners that people do not see. Newsletters hide one line for the list of messages; so
 * only what is made invisible by its size or colour counts. */
static bool hidden_text(struct spam_scan *scan)
{
    static const struct str marks[] = {
        STR_INIT("font-size:0"),       STR_INIT("font-size: 0"),
        STR_INIT("font-size:1px"),     STR_INIT("font-size: 1px"),
        STR_INIT("color:#ffffff;font-size:"), STR_INIT("color:white;background:white"),
        STR_INIT("visibility:hidden"), STR_INIT("text-indent:-9"),
    };
    size_t found = 0;

    for (size_t i = 0; i < scan->view.text_count; i++) {
        struct str html = scan->view.texts[i].source;

        if (!scan->view.texts[i].is_html)
            continue;
        for (size_t k = 0; k < ARRAY_LEN(marks); k++) {
            struct str rest = html;
            ptrdiff_t at;

            while (found < 3 && (at = str_find(rest, marks[k])) >= 0) {
                found++;
                rest = str_from(rest, (size_t)at + marks[k].len);
            }
        }
    }
    return found >= 3;
}

/* Plain ASCII in base64: nothing needs that but a wish not to be read. */
static bool needless_base64(struct spam_scan *scan)
{
    for (size_t i = 0; i < scan->view.text_count; i++) {
        const struct spam_text *text = &scan->view.texts[i];

        if (scan->request->structure->parts[text->part].encoding == MESSAGE_ENCODING_BASE64 &&
            text->source.len > 100 && str_is_ascii(text->source))
            return true;
    }
    return false;
}

static void count_words(struct spam_scan *scan, struct scan_words *words)
{
    for (size_t i = 0; i < scan->view.text_count; i++)
        scan_words_count(scan->view.texts[i].text, words);
}

static bool body_mixed(struct spam_scan *scan)
{
    struct scan_words words = {0};

    count_words(scan, &words);
    return words.mixed >= 3;
}

/* Emoji are joined by them, and newsletters pad with them: many, and between letters. */
static bool body_invisible(struct spam_scan *scan)
{
    size_t count = 0;

    for (size_t i = 0; i < scan->view.text_count; i++) {
        struct str text = scan->view.texts[i].text;

        for (size_t k = 1; k + 3 < text.len; k++) {
            bool is_zero_width = text.ptr[k] == '\xe2' && text.ptr[k + 1] == '\x80' &&
                                 (unsigned char)text.ptr[k + 2] >= 0x8b &&
                                 (unsigned char)text.ptr[k + 2] <= 0x8d;

            count += is_zero_width && ascii_is_alpha(text.ptr[k - 1]) &&
                     ascii_is_alpha(text.ptr[k + 3]);
        }
    }
    return count >= 4;
}

static bool many_parts(struct spam_scan *scan)
{
    return scan->request->structure->part_count >= MANY_PARTS;
}

/* --- What speaks for it --- */

static bool is_signed(const struct spam_scan *scan)
{
    const struct mailauth_verdict *auth = scan->request->auth;

    for (size_t i = 0; auth != NULL && i < auth->signature_count; i++) {
        if (auth->signatures[i].result == MAILAUTH_PASS)
            return true;
    }
    return false;
}

static bool mailing_list(struct spam_scan *scan)
{
    return has_field(scan, STR("List-Id")) && has_field(scan, STR("List-Unsubscribe")) &&
           is_signed(scan);
}

static const struct {
    const char *name;
    rule_fn test;
} rules[] = {
    {"NO_DATE", no_date},
    {"DATE_INVALID", date_invalid},
    {"DATE_FUTURE", date_future},
    {"DATE_OLD", date_old},
    {"NO_MESSAGE_ID", no_message_id},
    {"MESSAGE_ID_ODD", message_id_odd},
    {"NO_FROM", no_from},
    {"SEVERAL_FROM", several_from},
    {"NO_RECIPIENT", no_recipient},
    {"MANY_RECIPIENTS", many_recipients},
    {"SUBJECT_EMPTY", subject_empty},
    {"SUBJECT_CAPITALS", subject_capitals},
    {"SUBJECT_SHOUTS", subject_shouts},
    {"SUBJECT_MIXED_SCRIPTS", subject_mixed},
    {"FALSE_REPLY", false_reply},
    {"HEADER_RAW_BYTES", raw_bytes},
    {"RECEIVED_FORGED", received_forged},
    {"HELO_NO_NAME", helo_no_name},
    {"NO_REVERSE_NAME", no_reverse_name},
    {"DYNAMIC_NAME", dynamic_name},
    {"HTML_ONLY", html_only},
    {"IMAGE_ONLY", image_only},
    {"HIDDEN_TEXT", hidden_text},
    {"NEEDLESS_BASE64", needless_base64},
    {"BODY_MIXED_SCRIPTS", body_mixed},
    {"BODY_INVISIBLE", body_invisible},
    {"MANY_PARTS", many_parts},
    {"MAILING_LIST", mailing_list},
};

void scan_rules(struct spam_scan *scan)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].test(scan))
            scan_add(scan, rules[i].name, STR(""));
    }
}
