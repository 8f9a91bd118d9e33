/*
 * The fields that we put before a message: Return-Path (RFC 5321 §4.4, at final delivery), what the
 * examiner found (above Received, for it came after: RFC 8601 §4), Received (§4.4), and for submission
 * the Date and Message-ID that it lacks (RFC 6409 §8).
 *
 * Where a message of one of our users came from is nobody's business: his address, the name of his
 * device and his login are not told.
 */
#include "smtp/server/state.h"

#include "base/ascii.h"
#include "base/clock.h"

/* The client's own words, with whatever is not of a domain or address literal made harmless. */
static void write_helo(struct buf *out, struct str helo)
{
    for (size_t i = 0; i < helo.len && i < SMTP_DOMAIN_MAX; i++) {
        char c = helo.ptr[i];
        bool is_plain = ascii_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == ':' ||
                        c == '[' || c == ']';

        buf_put(out, is_plain ? str_make(&c, 1) : STR("?"));
    }
}

/* RFC 5321 §4.4, RFC 3848, RFC 6531 §4.3. */
static void write_protocol(const struct smtp_session *s, struct buf *out)
{
    if (!s->is_extended) {
        buf_put(out, STR("SMTP"));
        return;
    }
    buf_put(out, s->transaction.mail.is_utf8 ? STR("UTF8SMTP") : STR("ESMTP"));
    if (s->is_tls)
        buf_put(out, STR("S"));
    if (id_is_set(&s->mailbox))
        buf_put(out, STR("A"));
}

static void write_origin(const struct smtp_session *s, struct buf *out)
{
    bool is_ipv6 = str_index(s->options.client, ':') >= 0;

    if (s->options.service == SMTP_SERVICE_SUBMISSION)
        return;
    buf_put(out, STR("from "));
    write_helo(out, buf_str(&s->helo));
    buf_put(out, STR(" ("));
    if (s->transaction.reverse_name.len > 0) {
        write_helo(out, s->transaction.reverse_name);
        buf_put(out, STR(" "));
    }
    buf_putf(out, "[%s%.*s])\r\n\t", is_ipv6 ? "IPv6:" : "", STR_ARG(s->options.client));
}

void smtp_trace_write(const struct smtp_session *s, int64_t wall_ms, struct buf *out)
{
    const struct smtp_transaction *transaction = &s->transaction;
    char date[CLOCK_RFC5322_ROOM];

    clock_format_rfc5322(wall_ms, date);
    buf_putf(out, "Return-Path: <%.*s>\r\n", STR_ARG(transaction->mail.sender.text));
    buf_put(out, transaction->verdict.fields);
    buf_put(out, STR("Received: "));
    write_origin(s, out);
    buf_putf(out, "by %.*s with ", STR_ARG(s->options.hostname));
    write_protocol(s, out);
    if (s->is_tls && s->tls_words.len > 0)
        buf_putf(out, "\r\n\t(%.*s)", STR_ARG(s->tls_words));
    buf_putf(out, "\r\n\tid %s", transaction->trace_id.text);
    /* Several recipients are not told of each other (§7.6). */
    if (transaction->recipient_count == 1)
        buf_putf(out, "\r\n\tfor <%.*s>", STR_ARG(transaction->recipients[0].address));
    buf_putf(out, ";\r\n\t%s\r\n", date);
    if (s->options.service == SMTP_SERVICE_MX)
        return;
    if (!transaction->header.has_date)
        buf_putf(out, "Date: %s\r\n", date);
    if (!transaction->header.has_message_id)
        buf_putf(out, "Message-ID: <%s@%.*s>\r\n", transaction->trace_id.text,
                 STR_ARG(s->options.hostname));
}
