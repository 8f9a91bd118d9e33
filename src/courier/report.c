#include "courier/report.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "courier/trace.h"

enum { HEADER_MAX = 64 * 1024, FULL_MAX = 1024 * 1024, LINE_MAX = 700 };

static const struct {
    const char *action, *subject, *words;
} actions[] = {
    [REPORT_FAILED] = {"failed", "Your message was not delivered",
                       "Your message could not be delivered to the following address:"},
    [REPORT_DELAYED] =
        {"delayed", "Your message is delayed",
         "Your message could not be delivered yet to the following address. You need "
         "not send\r\nit again: delivery will be tried further, and you will be told "
         "if it fails."},
    [REPORT_DELIVERED] = {"delivered", "Your message was delivered",
                          "Your message was delivered to the following address, as you asked to be "
                          "told:"},
    [REPORT_RELAYED] =
        {"relayed", "Your message was passed on",
         "Your message was passed on for the following address to a server that sends "
         "no\r\nconfirmations; you may not hear more of it:"},
};

/* --- Small texts --- */

static int hex_digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

void report_put_xtext(struct buf *out, struct str xtext)
{
    for (size_t i = 0; i < xtext.len && i < LINE_MAX; i++) {
        char c = xtext.ptr[i];

        if (c == '+') {
            int high = i + 2 < xtext.len ? hex_digit(xtext.ptr[i + 1]) : -1;
            int low = i + 2 < xtext.len ? hex_digit(xtext.ptr[i + 2]) : -1;

            if (high >= 0 && low >= 0) {
                c = (char)(high * 16 + low);
                i += 2;
            } else {
                c = '?';
            }
        }
        buf_put(out, ascii_is_control(c) ? STR("?") : str_make(&c, 1));
    }
}

/* Words on one line; bytes that a field in ASCII cannot have become "?". */
static void put_line(struct buf *out, struct str words, bool is_utf8)
{
    for (size_t i = 0; i < words.len && i < LINE_MAX; i++) {
        char c = words.ptr[i];
        bool is_plain = !ascii_is_control(c) && (is_utf8 || !ascii_is_8bit(c));

        buf_put(out, is_plain ? str_make(&c, 1) : STR("?"));
    }
}

static void put_date(struct buf *out, const char *name, int64_t ms)
{
    char date[CLOCK_RFC5322_ROOM];

    clock_format_rfc5322(ms, date);
    buf_putf(out, "%s: %s\r\n", name, date);
}

/* --- The parts --- */

static void put_header(const struct report *report, const struct report_text *text, struct buf *out)
{
    struct str domain = str_from(report->from, (size_t)(str_last_index(report->from, '@') + 1));

    buf_putf(out, "From: Mail Delivery System <%.*s>\r\nTo: <%.*s>\r\nSubject: %s\r\n",
             STR_ARG(report->from), STR_ARG(report->to),
             actions[report->recipients[0].action].subject);
    put_date(out, "Date", report->now_ms);
    buf_putf(out,
             "Message-ID: <%.*s@%.*s>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
             "Content-Type: multipart/report; report-type=delivery-status;\r\n"
             "\tboundary=\"%.*s\"\r\nContent-Transfer-Encoding: %s\r\n\r\n"
             "This is a delivery report in MIME format.\r\n",
             STR_ARG(report->name), STR_ARG(domain), STR_ARG(report->name),
             text->is_8bit ? "8bit" : "7bit");
}

static void put_part(const struct report *report, struct buf *out, const char *type, bool is_8bit)
{
    buf_putf(out, "\r\n--%.*s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
             STR_ARG(report->name), type, is_8bit ? "8bit" : "7bit");
}

static void put_words(const struct report *report, const struct report_text *text, struct buf *out)
{
    put_part(report, out, "text/plain; charset=utf-8", text->is_utf8);
    buf_putf(out, "This is the mail system at %.*s.\r\n\r\n%s\r\n", STR_ARG(report->hostname),
             actions[report->recipients[0].action].words);
    for (size_t i = 0; i < report->recipient_count; i++) {
        const struct report_recipient *recipient = &report->recipients[i];

        buf_putf(out, "\r\n    <%.*s>\r\n", STR_ARG(recipient->address));
        if (recipient->remote.len > 0)
            buf_putf(out, "    %.*s said:\r\n", STR_ARG(recipient->remote));
        buf_put(out, STR("    "));
        put_line(out, recipient->words.len > 0 ? recipient->words : recipient->status,
                 text->is_utf8);
        buf_put(out, STR("\r\n"));
    }
    if (report->recipients[0].action == REPORT_DELAYED) {
        buf_put(out, STR("\r\n"));
        put_date(out, "It will be tried until", report->retry_until_ms);
    }
}

static void put_recipient(const struct report *report, const struct report_recipient *recipient,
                          bool is_utf8, struct buf *out)
{
    /* RFC 6533 §3: an address that needs UTF-8 has its own type. */
    const char *type = str_is_ascii(recipient->address) ? "rfc822" : "utf-8";
    ptrdiff_t semicolon = str_index(recipient->orcpt, ';');

    buf_put(out, STR("\r\n"));
    if (semicolon > 0) {
        buf_put(out, STR("Original-Recipient: "));
        put_line(out, str_upto(recipient->orcpt, (size_t)semicolon), false);
        buf_put(out, STR(";"));
        report_put_xtext(out, str_from(recipient->orcpt, (size_t)semicolon + 1));
        buf_put(out, STR("\r\n"));
    }
    buf_putf(out, "Final-Recipient: %s;%.*s\r\nAction: %s\r\nStatus: %.*s\r\n", type,
             STR_ARG(recipient->address), actions[recipient->action].action,
             STR_ARG(recipient->status));
    if (recipient->remote.len > 0) {
        buf_putf(out, "Remote-MTA: dns;%.*s\r\n", STR_ARG(recipient->remote));
        buf_put(out, STR("Diagnostic-Code: smtp;"));
        put_line(out, recipient->words, is_utf8);
        buf_put(out, STR("\r\n"));
    } else if (recipient->words.len > 0) {
        buf_put(out, STR("Diagnostic-Code: x-sealpost;"));
        put_line(out, recipient->words, is_utf8);
        buf_put(out, STR("\r\n"));
    }
    put_date(out, "Last-Attempt-Date", report->now_ms);
    if (recipient->action == REPORT_DELAYED)
        put_date(out, "Will-Retry-Until", report->retry_until_ms);
}

static void put_status(const struct report *report, const struct report_text *text, struct buf *out)
{
    put_part(report, out,
             text->is_utf8 ? "message/global-delivery-status" : "message/delivery-status",
             text->is_utf8);
    buf_putf(out, "Reporting-MTA: dns;%.*s\r\n", STR_ARG(report->hostname));
    if (report->envid.len > 0) {
        buf_put(out, STR("Original-Envelope-Id: "));
        report_put_xtext(out, report->envid);
        buf_put(out, STR("\r\n"));
    }
    put_date(out, "Arrival-Date", report->arrived_ms);
    for (size_t i = 0; i < report->recipient_count; i++)
        put_recipient(report, &report->recipients[i], text->is_utf8, out);
}

/* The header's lines, as far as they are not beyond measure. */
static struct str header_of(const struct report *report)
{
    struct str header = trace_header(report->message);
    ptrdiff_t end;

    if (header.len <= HEADER_MAX)
        return header;
    end = str_last_index(str_upto(header, HEADER_MAX), '\n');
    return str_upto(header, (size_t)(end + 1));
}

static bool is_whole(const struct report *report)
{
    return report->is_full && report->message.len <= FULL_MAX;
}

static void put_original(const struct report *report, const struct report_text *text,
                         struct buf *out)
{
    struct str original = is_whole(report) ? report->message : header_of(report);
    bool is_8bit = !str_is_ascii(original);

    if (is_whole(report))
        put_part(report, out, text->is_utf8 ? "message/global" : "message/rfc822", is_8bit);
    else
        put_part(report, out, text->is_utf8 ? "message/global-headers" : "text/rfc822-headers",
                 is_8bit);
    buf_put(out, original);
    if (!str_ends_with(original, STR("\n")))
        buf_put(out, STR("\r\n"));
    buf_putf(out, "\r\n--%.*s--\r\n", STR_ARG(report->name));
}

void report_write(const struct report *report, struct buf *out, struct report_text *out_text)
{
    struct report_text text = {.is_utf8 = !str_is_ascii(report->to)};

    for (size_t i = 0; i < report->recipient_count; i++)
        text.is_utf8 |= !str_is_ascii(report->recipients[i].address);
    text.is_8bit =
        text.is_utf8 || !str_is_ascii(is_whole(report) ? report->message : header_of(report));
    put_header(report, &text, out);
    put_words(report, &text, out);
    put_status(report, &text, out);
    put_original(report, &text, out);
    *out_text = text;
}
