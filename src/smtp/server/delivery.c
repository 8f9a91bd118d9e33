/*
 * A message that is wanted goes out: to the mailboxes, and to the queue. The peer is told that it
 * was taken when all of them have it on disk. Junk for an alias that only passes on goes nowhere; of
 * that the queue tells the sender, if SPF says that he is one.
 */
#include "smtp/server/state.h"

#include <assert.h>

void smtp_deliver(struct smtp_session *s, int64_t now_ms)
{
    smtp_transaction_make_targets(s);
    s->transaction.unused.count = 0; /* whatever comes of it, the queue may have it from now on */
    smtp_ask(s, SMTP_WANTS_DELIVERY, now_ms);
}

static bool is_waited_for(const struct smtp_session *s)
{
    return s->state == SMTP_STATE_WAITING && s->asked == SMTP_WANTS_DELIVERY;
}

static void write_envelopes(struct smtp_session *s)
{
    struct smtp_transaction *transaction = &s->transaction;
    size_t first = transaction->target_count - transaction->batch_count;

    for (size_t i = 0; i < transaction->batch_count; i++)
        transaction->targets[first + i].envelope = smtp_envelope_write(s, &transaction->batches[i]);
}

void smtp_session_delivery(struct smtp_session *s, int64_t wall_ms, const struct id *trace_id,
                           struct smtp_delivery *out)
{
    static const struct smtp_ranges none = {.count = 0};
    struct smtp_transaction *transaction = &s->transaction;

    assert(is_waited_for(s));
    transaction->trace_id = *trace_id;
    buf_reset(&transaction->trace);
    smtp_trace_write(s, wall_ms, &transaction->trace);
    write_envelopes(s);
    *out = (struct smtp_delivery){
        .sender = transaction->mail.sender.text,
        .trace = buf_str(&transaction->trace),
        .bounce = transaction->verdict.bounce,
        .content = &transaction->content,
        .removals = transaction->removals == NULL ? &none : transaction->removals,
        .targets = transaction->targets,
        .target_count = transaction->target_count,
    };
    for (size_t i = 0; i < out->removals->count; i++)
        out->has_own |= out->removals->at[i].is_own;
}

void smtp_session_content_taken(struct smtp_session *s)
{
    smtp_content_wipe(&s->transaction.content);
    buf_free(&s->transaction.trace);
}

/*
 * One reply for all targets. If they disagree it is a temporary one: the sender tries again, and
 * where the message is already, it is recognised and not stored twice.
 */
static enum smtp_reply join_answers(const struct smtp_transaction *transaction)
{
    enum smtp_reply reply = SMTP_REPLY_OK;

    for (size_t i = 0; i < transaction->target_count; i++) {
        enum smtp_reply one = smtp_reply_to(SMTP_QUESTION_DELIVERY, transaction->targets[i].status);

        if (i > 0 && one != reply)
            return SMTP_REPLY_PARTLY;
        reply = one;
    }
    return reply;
}

static size_t count_held_back(const struct smtp_transaction *transaction)
{
    size_t count = 0;

    for (size_t i = 0; i < transaction->recipient_count; i++)
        count += smtp_transaction_is_held_back(transaction, &transaction->recipients[i]);
    return count;
}

static void finish_delivery(struct smtp_session *s, int64_t now_ms)
{
    const struct smtp_transaction *transaction = &s->transaction;
    enum smtp_reply reply = join_answers(transaction);

    if (reply != SMTP_REPLY_OK) {
        smtp_end_transaction(s, reply, STR(""), now_ms);
    } else {
        log_info(s->options.log, "message stored id=%s bytes=%zu mailboxes=%zu queued=%zu held_back=%zu",
                 transaction->trace_id.text, transaction->content.len,
                 transaction->target_count - transaction->batch_count, transaction->batch_count,
                 count_held_back(transaction));
        buf_putf(&s->output, "250 2.0.0 Stored as %s\r\n", transaction->trace_id.text);
        smtp_transaction_reset(s);
        smtp_next_command(s, now_ms);
    }
    smtp_session_resume(s, now_ms);
}

bool smtp_session_delivery_done(struct smtp_session *s, size_t target, enum wire_status status,
                                int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;

    if (!is_waited_for(s))
        return false; /* it is over already */
    if (transaction->target_count == 0) {
        finish_delivery(s, now_ms);
        return true;
    }
    if (target >= transaction->target_count || transaction->targets[target].is_answered)
        return false;
    transaction->targets[target].is_answered = true;
    transaction->targets[target].status = status;
    if (status != WIRE_OK)
        log_info(s->options.log, "delivery failed id=%s %s=%s status=%d",
                 transaction->trace_id.text,
                 transaction->targets[target].kind == SMTP_TARGET_QUEUE ? "queue" : "mailbox",
                 transaction->targets[target].mailbox.text, (int)status);
    if (++transaction->answered_count < transaction->target_count)
        return false;
    finish_delivery(s, now_ms);
    return true;
}

/* Answers for the targets that this role does not answer any more. */
static bool lose_targets(struct smtp_session *s, bool is_queue, int64_t now_ms)
{
    size_t count = s->transaction.target_count;

    for (size_t i = 0; i < count; i++) {
        const struct smtp_target *target = &s->transaction.targets[i];

        if ((target->kind == SMTP_TARGET_QUEUE) != is_queue)
            continue;
        if (smtp_session_delivery_done(s, i, WIRE_UNAVAILABLE, now_ms))
            return true; /* the targets are gone with their transaction */
    }
    return false;
}

bool smtp_session_needs(const struct smtp_session *s, enum wire_role role)
{
    const struct smtp_transaction *transaction = &s->transaction;
    enum smtp_want want = smtp_session_wants(s);

    if (want == SMTP_WANTS_DELIVERY)
        return (role == WIRE_ROLE_STORE && transaction->target_count > transaction->batch_count) ||
               (role == WIRE_ROLE_COURIER &&
                (transaction->batch_count > 0 || transaction->verdict.bounce.len > 0));
    return role == WIRE_ROLE_KEEPER && (want == SMTP_WANTS_LOGIN || want == SMTP_WANTS_SENDER ||
                                        want == SMTP_WANTS_RECIPIENT);
}

bool smtp_session_role_lost(struct smtp_session *s, enum wire_role role, int64_t now_ms)
{
    if (!smtp_session_needs(s, role))
        return false;
    if (smtp_session_wants(s) == SMTP_WANTS_DELIVERY)
        return lose_targets(s, role == WIRE_ROLE_COURIER, now_ms);
    smtp_session_expire(s, now_ms);
    return true;
}
