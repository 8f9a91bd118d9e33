#include "courier/reply.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/encode.h"
#include "courier/trace.h"
#include "message/header.h"

enum {
    LINE_MAX = 76,
    WORD_MAX = 42,         /* bytes of text in an encoded word: 56 letters of base64 */
    REFERENCES_MAX = 2000, /* of the message's, taken over */
    SUBJECT_MAX = 500,
    ID_MAX = 900,
};

/* --- To whom --- */

static struct str local_of(struct str address)
{
    ptrdiff_t at = str_last_index(address, '@');

    return at < 0 ? address : str_upto(address, (size_t)at);
}

static bool ends_nocase(struct str text, struct str end)
{
    return text.len >= end.len && str_equal_nocase(str_from(text, text.len - end.len), end);
}

bool reply_may_go_to(struct str sender, struct str alias)
{
    static const struct str names[] = {
        STR_INIT("mailer-daemon"), STR_INIT("postmaster"),   STR_INIT("listserv"),
        STR_INIT("majordomo"),     STR_INIT("noreply"),      STR_INIT("no-reply"),
        STR_INIT("donotreply"),    STR_INIT("do-not-reply"), STR_INIT("bounce"),
        STR_INIT("bounces"),
    };
    static const struct str beginnings[] = {STR_INIT("owner-"), STR_INIT("srs0="),
                                            STR_INIT("srs1=")};
    static const struct str endings[] = {STR_INIT("-request"), STR_INIT("-owner"),
                                         STR_INIT("-bounces"), STR_INIT("-noreply")};
    struct str local = local_of(sender);

    if (sender.len == 0 || str_equal_nocase(sender, alias))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_equal_nocase(local, names[i]))
            return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++) {
        if (str_starts_with_nocase(local, beginnings[i]))
            return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        if (ends_nocase(local, endings[i]))
            return false;
    }
    return true;
}

static bool is_of_address(char c)
{
    return ascii_is_alnum(c) || ascii_is_8bit(c) || c == '.' || c == '-' || c == '_' || c == '+';
}

/* Does the text name local@domain or local+tag@domain, not as a part of a longer address? */
static bool names_address(struct str text, struct str alias)
{
    struct str local = local_of(alias), domain = str_from(alias, local.len);

    for (size_t i = 0; i + local.len + domain.len <= text.len; i++) {
        size_t at = i + local.len;

        if ((i > 0 && is_of_address(text.ptr[i - 1])) ||
            !str_equal_nocase(str_make(text.ptr + i, local.len), local))
            continue;
        if (text.ptr[at] == '+') {
            while (at < text.len && is_of_address(text.ptr[at]))
                at++;
        }
        if (str_starts_with_nocase(str_from(text, at), domain) &&
            (at + domain.len == text.len || !is_of_address(text.ptr[at + domain.len])))
            return true;
    }
    return false;
}

bool reply_is_addressed_to(struct str message, struct str alias)
{
    static const struct str names[] = {STR_INIT("To"),        STR_INIT("Cc"),
                                       STR_INIT("Bcc"),       STR_INIT("Resent-To"),
                                       STR_INIT("Resent-Cc"), STR_INIT("Resent-Bcc")};
    struct header_field field;
    size_t position = 0;

    while (header_field_next(message, &position, &field)) {
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            if (str_equal_nocase(field.name, names[i]) && names_address(field.value, alias))
                return true;
        }
    }
    return false;
}

/* --- Text --- */

static bool is_plain(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (ascii_is_8bit(text.ptr[i]) || ascii_is_control(text.ptr[i]))
            return false;
    }
    return str_find(text, STR("=?")) < 0;
}

/* RFC 2047 §2, in words that each hold whole characters. */
static void put_encoded(struct buf *out, struct str text)
{
    while (text.len > 0) {
        size_t len = text.len < WORD_MAX ? text.len : WORD_MAX;

        while (len > 1 && len < text.len && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
            len--;
        buf_put(out, STR("=?utf-8?B?"));
        if (encode_base64(out, str_upto(text, len)) != ERR_OK)
            return;
        text = str_from(text, len);
        buf_put(out, text.len > 0 ? STR("?=\r\n ") : STR("?="));
    }
}

/* A field's value as it may stand in a field of ours: one line, visible, ASCII. */
static void put_flat(struct buf *out, struct str value, size_t most)
{
    for (size_t i = 0; i < value.len && most > 0; i++) {
        char c = value.ptr[i];

        if (c == '\r' || c == '\n')
            continue;
        buf_put(out, ascii_is_control(c) || ascii_is_8bit(c) ? STR(" ") : str_make(&c, 1));
        most--;
    }
}

static void put_subject(const struct reply *reply, struct buf *out)
{
    struct str subject;

    buf_put(out, STR("Subject: "));
    if (reply->subject.len > 0) {
        if (is_plain(reply->subject))
            buf_put(out, reply->subject);
        else
            put_encoded(out, reply->subject);
    } else {
        /* RFC 3834 §3.1.5 */
        buf_put(out, STR("Auto: "));
        if (trace_field(reply->message, STR("Subject"), &subject))
            put_flat(out, subject, SUBJECT_MAX);
    }
    buf_put(out, STR("\r\n"));
}

/* Message-IDs of a field, each behind `between`, the last ones if there are too many. */
static void put_ids(struct buf *out, struct str value, size_t most, struct str between)
{
    if (value.len > most)
        value = str_from(value, value.len - most);
    for (ptrdiff_t start; (start = str_index(value, '<')) >= 0;) {
        struct str id = str_from(value, (size_t)start);
        ptrdiff_t end = str_index(id, '>');

        if (end < 0)
            return;
        value = str_from(id, (size_t)end + 1);
        buf_put(out, between);
        put_flat(out, str_upto(id, (size_t)end + 1), ID_MAX);
    }
}

/* RFC 5322 §3.6.4 */
static void put_threading(const struct reply *reply, struct buf *out)
{
    struct str id, references = STR("");
    ptrdiff_t end;

    if (!trace_field(reply->message, STR("Message-ID"), &id))
        return;
    end = str_index(id, '>');
    if (end < 0 || end > ID_MAX || str_index(id, '<') != 0)
        return;
    id = str_upto(id, (size_t)end + 1);
    buf_put(out, STR("In-Reply-To:"));
    put_ids(out, id, id.len, STR(" "));
    buf_put(out, STR("\r\nReferences:"));
    if (!trace_field(reply->message, STR("References"), &references))
        (void)trace_field(reply->message, STR("In-Reply-To"), &references);
    put_ids(out, references, REFERENCES_MAX, STR("\r\n "));
    put_ids(out, id, id.len, STR("\r\n "));
    buf_put(out, STR("\r\n"));
}

/* RFC 2045 §6.7; line ends of any kind become CRLF. */
static void put_quoted_printable(struct buf *out, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t column = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool is_line_end = c == '\n' || (c == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n');
        bool is_last = i + 1 == text.len || text.ptr[i + 1] == '\n' || text.ptr[i + 1] == '\r';
        bool is_literal =
            (c > 0x20 && c < 0x7f && c != '=') || ((c == ' ' || c == '\t') && !is_last);

        if (is_line_end) {
            i += c == '\r';
            buf_put(out, STR("\r\n"));
            column = 0;
            continue;
        }
        if (column + (is_literal ? 1 : 3) >= LINE_MAX) {
            buf_put(out, STR("=\r\n"));
            column = 0;
        }
        /* A dot or "From " at a line's start is nobody's business in SMTP, but some mind. */
        if (is_literal && !(column == 0 && (c == '.' || c == 'F'))) {
            buf_put(out, str_make(&text.ptr[i], 1));
            column++;
        } else {
            buf_putf(out, "=%c%c", digits[c >> 4], digits[c & 15]);
            column += 3;
        }
    }
    buf_put(out, STR("\r\n"));
}

void reply_write(const struct reply *reply, struct buf *out)
{
    struct str domain = str_from(reply->from, (size_t)(str_last_index(reply->from, '@') + 1));
    char date[CLOCK_RFC5322_ROOM];

    clock_format_rfc5322(reply->now_ms, date);
    buf_putf(out, "From: <%.*s>\r\nTo: <%.*s>\r\n", STR_ARG(reply->from), STR_ARG(reply->to));
    put_subject(reply, out);
    buf_putf(out, "Date: %s\r\nMessage-ID: <%.*s@%.*s>\r\n", date, STR_ARG(reply->name),
             STR_ARG(domain));
    put_threading(reply, out);
    buf_put(out, STR("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
                     "Content-Type: text/plain; charset=utf-8\r\n"
                     "Content-Transfer-Encoding: quoted-printable\r\n\r\n"));
    put_quoted_printable(out, reply->text);
}
