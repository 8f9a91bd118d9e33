/* MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.1.3): who sends, and to whom. */
#include "smtp/server/state.h"

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
    if (s->options.service == SMTP_SERVICE_MX) {
        accept_sender(s);
    } else if (transaction->mail.sender.is_null) {
        smtp_reply(s, SMTP_REPLY_NULL_SENDER);
    } else {
        s->question = SMTP_QUESTION_SENDER;
        smtp_ask(s, SMTP_WANTS_SENDER, now_ms);
    }
}

void smtp_run_rcpt(struct smtp_session *s, struct str argument, int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;
    struct smtp_address recipient;
    enum smtp_args_problem problem;

    problem = smtp_rcpt_parse(&transaction->arena, argument, transaction->mail.is_utf8, &recipient);
    if (problem != SMTP_ARGS_OK) {
        smtp_reply_error(s, reply_to_args(problem, SMTP_REPLY_BAD_RECIPIENT));
        return;
    }
    if (transaction->recipient_count >= s->options.recipients_max) {
        smtp_reply(s, SMTP_REPLY_TOO_MANY_RECIPIENTS);
        return;
    }
    transaction->asked_address = recipient.text;
    s->question = id_is_set(&s->mailbox) ? SMTP_QUESTION_RECIPIENT_OF_LOGIN
                                         : SMTP_QUESTION_RECIPIENT;
    smtp_ask(s, SMTP_WANTS_RECIPIENT, now_ms);
}

struct str smtp_session_address(const struct smtp_session *s)
{
    const struct smtp_transaction *transaction = &s->transaction;

    if (s->asked == SMTP_WANTS_RECIPIENT)
        return transaction->asked_address;
    if (s->question == SMTP_QUESTION_AUTHOR)
        return transaction->authors.addresses[transaction->author];
    return transaction->mail.sender.text;
}

uint64_t smtp_session_announced_size(const struct smtp_session *s)
{
    return s->transaction.mail.size_bytes;
}

void smtp_session_recipient_done(struct smtp_session *s, enum wire_status status,
                                 const struct id *mailbox, struct str folder, int64_t now_ms)
{
    if (s->state != SMTP_STATE_WAITING || s->asked != SMTP_WANTS_RECIPIENT)
        return; /* it is over already */
    if (status == WIRE_OK)
        smtp_transaction_add_recipient(s, mailbox, s->transaction.asked_address, folder);
    smtp_reply(s, smtp_reply_to(s->question, status));
    if ((status == WIRE_UNKNOWN || status == WIRE_NOT_LOCAL) &&
        ++s->unknown_count >= SMTP_UNKNOWN_RECIPIENTS_MAX) {
        log_info(s->options.log, "too many unknown recipients, closing");
        smtp_reply(s, SMTP_REPLY_TOO_MANY_ERRORS);
        smtp_close(s);
        return;
    }
    smtp_next_command(s, now_ms);
    smtp_session_resume(s, now_ms);
}

/* MAIL's answer; that for an author of the message is in data.c. */
void smtp_sender_known(struct smtp_session *s, enum wire_status status, int64_t now_ms)
{
    if (status == WIRE_OK) {
        accept_sender(s);
    } else {
        smtp_reply(s, smtp_reply_to(SMTP_QUESTION_SENDER, status));
        smtp_transaction_reset(s);
    }
    smtp_next_command(s, now_ms);
}
