/*
 * MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.1.3): who sends, and to whom; and what DNS and keeper say
 * of them.
 */
#include "smtp/server/state.h"

#include <inttypes.h>

static enum smtp_reply reply_to_args(enum smtp_args_problem problem, enum smtp_reply bad_address)
{
    switch (problem) {
    case SMTP_ARGS_ADDRESS:
        return bad_address;
    case SMTP_ARGS_PARAMETER_UNKNOWN:
        return SMTP_REPLY_UNKNOWN_PARAMETER;
    case SMTP_ARGS_PARAMETER_INVALID:
        return SMTP_REPLY_BAD_PARAMETER;
    case SMTP_ARGS_UTF8:
        return SMTP_REPLY_NEEDS_UTF8;
    case SMTP_ARGS_OK:
    case SMTP_ARGS_SYNTAX:
        break;
    }
    return SMTP_REPLY_BAD_ARGUMENT;
}

static void accept_sender(struct smtp_session *s)
{
    s->transaction.is_open = true;
    s->is_admitted = true;
    smtp_reply(s, SMTP_REPLY_SENDER_OK);
}

void smtp_run_mail(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;
    enum smtp_args_problem problem;

    smtp_transaction_reset(s);
    problem = smtp_mail_parse(&transaction->arena, argument, &transaction->mail);
    if (problem != SMTP_ARGS_OK) {
        smtp_reply_error(s, reply_to_args(problem, SMTP_REPLY_BAD_SENDER));
        return;
    }
    if (transaction->mail.size_bytes > s->options.message_size_max) {
        smtp_reply(s, SMTP_REPLY_TOO_LARGE);
        return;
    }
    if (transaction->mail.needs_tls && !s->is_tls) {
        smtp_reply_error(s, SMTP_REPLY_NEEDS_TLS);
        return;
    }
    if (s->options.service == SMTP_SERVICE_MX) {
        if (s->options.is_suspect)
            smtp_ask(s, SMTP_WANTS_CHECK, now_ms);
        else
            accept_sender(s);
    } else if (transaction->mail.sender.is_null) {
        smtp_reply(s, SMTP_REPLY_NULL_SENDER);
    } else {
        s->question = SMTP_QUESTION_SENDER;
        smtp_ask(s, SMTP_WANTS_SENDER, now_ms);
    }
}

/* ---- what the DNS knows ---- */

struct str smtp_session_sender_domain(const struct smtp_session *s)
{
    const struct smtp_address *sender = &s->transaction.mail.sender;

    return sender->is_null || sender->is_literal ? STR("") : sender->domain;
}

static bool find_mail_refusal(const struct smtp_facts *facts, enum smtp_reply *out)
{
    if (facts->is_refused)
        *out = SMTP_REPLY_CLIENT_LISTED;
    else if (facts->sender_domain == SMTP_DOMAIN_MISSING)
        *out = SMTP_REPLY_NO_SENDER_DOMAIN;
    else if (facts->sender_domain == SMTP_DOMAIN_TAKES_NONE)
        *out = SMTP_REPLY_SENDER_TAKES_NONE;
    else
        return false;
    return true;
}

void smtp_session_check_done(struct smtp_session *s, const struct smtp_facts *facts, int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;
    enum smtp_reply refusal;

    if (s->state != SMTP_STATE_WAITING || s->asked != SMTP_WANTS_CHECK)
        return; /* it is over already */
    if (find_mail_refusal(facts, &refusal)) {
        log_info(s->options.log, "sender refused code=%u list_score=%" PRIu64,
                 smtp_reply_code(refusal), facts->list_score);
        smtp_reply(s, refusal);
        smtp_transaction_reset(s);
    } else {
        transaction->reverse_name = arena_copy(&transaction->arena, facts->reverse_name);
        transaction->is_nameless = facts->is_nameless;
        transaction->list_score = facts->list_score;
        accept_sender(s);
    }
    smtp_next_command(s, now_ms);
    smtp_session_resume(s, now_ms);
}

/* ---- recipients ---- */

void smtp_run_rcpt(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;
    struct smtp_rcpt_args args;
    enum smtp_args_problem problem;

    problem = smtp_rcpt_parse(&transaction->arena, argument, transaction->mail.is_utf8, &args);
    if (problem != SMTP_ARGS_OK) {
        smtp_reply_error(s, reply_to_args(problem, SMTP_REPLY_BAD_RECIPIENT));
        return;
    }
    if (transaction->recipient_count >= s->options.recipients_max) {
        smtp_reply(s, SMTP_REPLY_TOO_MANY_RECIPIENTS);
        return;
    }
    transaction->asked = args;
    s->question =
        id_is_set(&s->mailbox) ? SMTP_QUESTION_RECIPIENT_OF_LOGIN : SMTP_QUESTION_RECIPIENT;
    smtp_ask(s, SMTP_WANTS_RECIPIENT, now_ms);
}

struct str smtp_session_address(const struct smtp_session *s)
{
    const struct smtp_transaction *transaction = &s->transaction;

    if (s->asked == SMTP_WANTS_RECIPIENT)
        return transaction->asked.recipient.text;
    if (s->question == SMTP_QUESTION_AUTHOR)
        return transaction->authors.addresses[transaction->author];
    return transaction->mail.sender.text;
}

void smtp_session_recipient(const struct smtp_session *s, struct wire_recipient *out)
{
    *out = (struct wire_recipient){
        .address = s->transaction.asked.recipient.text,
        .size_bytes = s->transaction.mail.size_bytes,
        .login = s->mailbox,
        .sender = s->transaction.mail.sender.text,
        .client = s->options.client,
        .helo = buf_str(&s->helo),
        .is_tls = s->is_tls,
    };
}

/* True if the recipient is taken: by a mailbox, a route or the queue, or only to be dropped. */
static bool take_recipient(struct smtp_session *s, const struct wire_recipient_reply *reply)
{
    struct wire_recipient_reply dropped = {.status = WIRE_OK};

    if (reply->status == WIRE_OK) {
        smtp_transaction_add_recipient(s, reply);
        return true;
    }
    if (reply->status == WIRE_NOT_LOCAL && id_is_set(&s->mailbox)) {
        smtp_transaction_add_recipient(s, NULL);
        smtp_transaction_count(s, reply->counted_day);
        return true;
    }
    if (reply->status != WIRE_DISABLED || reply->reply_code != 250)
        return false;
    smtp_transaction_add_recipient(s, &dropped);
    return true;
}

void smtp_session_recipient_done(struct smtp_session *s, const struct wire_recipient_reply *reply,
                                 int64_t now_ms)
{
    bool is_unknown = reply->status == WIRE_UNKNOWN || reply->status == WIRE_NOT_LOCAL;

    if (s->state != SMTP_STATE_WAITING || s->asked != SMTP_WANTS_RECIPIENT)
        return; /* it is over already */
    if (reply->status == WIRE_OK &&
        s->transaction.routes_bytes + reply->routes.len > SMTP_ROUTES_MAX) {
        smtp_reply(s, SMTP_REPLY_TOO_MANY_RECIPIENTS);
    } else if (take_recipient(s, reply)) {
        smtp_reply(s, SMTP_REPLY_RECIPIENT_OK);
    } else {
        smtp_reply_write_as(&s->output, smtp_reply_to(s->question, (enum wire_status)reply->status),
                            reply->reply_code, reply->words);
        if (is_unknown && ++s->unknown_count >= SMTP_UNKNOWN_RECIPIENTS_MAX) {
            log_info(s->options.log, "too many unknown recipients, closing");
            smtp_reply(s, SMTP_REPLY_TOO_MANY_ERRORS);
            smtp_close(s);
            return;
        }
        if (reply->reply_code == 421) { /* RFC 5321 §3.8: whoever says so closes */
            smtp_close(s);
            return;
        }
    }
    smtp_next_command(s, now_ms);
    smtp_session_resume(s, now_ms);
}

/* ---- the sender of a login ---- */

static void sender_known(struct smtp_session *s, enum wire_status status, int64_t now_ms)
{
    if (status == WIRE_OK) {
        accept_sender(s);
    } else {
        smtp_reply(s, smtp_reply_to(SMTP_QUESTION_SENDER, status));
        smtp_transaction_reset(s);
        if (status == WIRE_DISABLED) /* the login itself is over */
            smtp_close(s);
    }
    smtp_next_command(s, now_ms);
}

/* About MAIL's address, or an author of the message's (data.c). */
void smtp_session_sender_done(struct smtp_session *s, enum wire_status status, int64_t now_ms)
{
    if (s->state != SMTP_STATE_WAITING || s->asked != SMTP_WANTS_SENDER)
        return; /* it is over already */
    if (s->question == SMTP_QUESTION_AUTHOR)
        smtp_author_known(s, status, now_ms);
    else
        sender_known(s, status, now_ms);
    smtp_session_resume(s, now_ms);
}
