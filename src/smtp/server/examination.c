/*
 * A message from outside is shown to the examiner before anybody has it, and what it says is done:
 * refused, put off, filed as junk, or taken (examiner/verdict.h).
 *
 * There is one reply for all recipients (RFC 5321 §4.1.1.4). So junk that somebody wants all the same
 * (an allow list names the sender, or his mail is not checked) is taken, and for the others it is filed
 * as junk. An alias without a mailbox has no Junk folder, and junk is not passed on: for it alone the
 * message is refused. Beside others who get it, it cannot be; then it is not passed on, and the sender is
 * told of that where he is known to be who he says (delivery.c).
 */
#include "smtp/server/state.h"

#include "base/macros.h"

#include <assert.h>

/* Somebody's mailbox, forward or webhook gets it; nobody's: it is only to be dropped. */
static bool is_for_anybody(const struct smtp_transaction *transaction)
{
    for (size_t i = 0; i < transaction->recipient_count; i++) {
        if (transaction->recipients[i].has_mailbox || transaction->recipients[i].routes.len > 0)
            return true;
    }
    return false;
}

void smtp_judge(struct smtp_session *s, int64_t now_ms)
{
    s->transaction.verdict = (struct smtp_verdict){
        .action = EXAMINER_ACCEPT, .may_reply = !s->transaction.header.is_automatic};
    if (s->options.service == SMTP_SERVICE_SUBMISSION || !is_for_anybody(&s->transaction))
        smtp_deliver(s, now_ms);
    else
        smtp_ask(s, SMTP_WANTS_EXAMINATION, now_ms);
}

void smtp_session_examination(const struct smtp_session *s, struct wire_examine *out,
                              const struct smtp_content **out_content)
{
    const struct smtp_transaction *transaction = &s->transaction;

    assert(s->state == SMTP_STATE_WAITING && s->asked == SMTP_WANTS_EXAMINATION);
    *out = (struct wire_examine){
        .client = s->options.client,
        .helo = buf_str(&s->helo),
        .sender = transaction->mail.sender.text,
        .reverse_name = transaction->reverse_name,
        .is_nameless = transaction->is_nameless,
        .is_tls = s->is_tls,
        .is_trusted = !s->options.is_suspect,
        .list_score = transaction->list_score,
    };
    *out_content = &transaction->content;
}

static uint32_t read_u32(const char *bytes)
{
    const unsigned char *at = (const unsigned char *)bytes;

    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* False unless they are in order and within the message. */
static bool read_removals(struct smtp_transaction *transaction, struct str pairs)
{
    struct smtp_ranges *ranges;
    uint64_t end = 0;

    if (pairs.len == 0)
        return true;
    if (pairs.len % 8 != 0 || pairs.len / 8 > SMTP_RANGES_MAX)
        return false;
    ranges = ARENA_NEW(&transaction->arena, struct smtp_ranges);
    for (; pairs.len > 0; pairs = str_from(pairs, 8)) {
        uint32_t start = read_u32(pairs.ptr), len = read_u32(pairs.ptr + 4);

        if (start < end || (uint64_t)start + len > transaction->content.len)
            return false;
        end = (uint64_t)start + len;
        ranges->at[ranges->count++] = (struct smtp_range){.start = start, .len = len};
    }
    transaction->removals = ranges;
    return true;
}

/* Whole header fields, and not the end of a header. */
static bool are_fields(struct str fields)
{
    return fields.len == 0 ||
           (str_ends_with(fields, STR("\r\n")) && !str_starts_with(fields, STR("\r\n")) &&
            str_find(fields, STR("\r\n\r\n")) < 0);
}

/* The domain that the message pretends to be from wants it refused (RFC 7489 §6.3, p=reject). */
static bool is_of_policy(const struct wire_examine_reply *reply)
{
    return str_find(reply->words, STR("DMARC")) >= 0;
}

static bool wants_junk(const struct smtp_recipient *recipient)
{
    return recipient->is_trusted || !recipient->is_checked;
}

static bool does_anybody_want_junk(const struct smtp_transaction *transaction)
{
    for (size_t i = 0; i < transaction->recipient_count; i++) {
        if (wants_junk(&transaction->recipients[i]))
            return true;
    }
    return false;
}

/* All that somebody would have had of it is what is not passed on. */
static bool is_homeless(const struct smtp_transaction *transaction)
{
    bool is_held_back = false;

    for (size_t i = 0; i < transaction->recipient_count; i++) {
        const struct smtp_recipient *recipient = &transaction->recipients[i];

        if (smtp_transaction_is_held_back(transaction, recipient))
            is_held_back = true;
        else if (recipient->has_mailbox || recipient->routes.len > 0)
            return false;
    }
    return is_held_back;
}

static void take_verdict(struct smtp_session *s, const struct wire_examine_reply *reply)
{
    struct smtp_transaction *transaction = &s->transaction;

    transaction->verdict = (struct smtp_verdict){
        .action = (enum examiner_action)reply->action,
        .fields = arena_copy(&transaction->arena, reply->fields),
        .bounce = arena_copy(&transaction->arena, reply->bounce),
        .may_reply = reply->may_reply,
        .is_from_sender = reply->is_from_sender,
    };
    if (transaction->verdict.action == EXAMINER_REJECT && reply->is_spam &&
        does_anybody_want_junk(transaction))
        transaction->verdict.action = EXAMINER_JUNK;
}

/* The sender is told what makes it look like junk. */
static void refuse_to_forward(struct smtp_session *s, int64_t now_ms)
{
    CLEANUP(buf_free) struct buf words;

    buf_init(&words, SIZE_MAX);
    smtp_reply_put_words(&words, SMTP_REPLY_JUNK_NOT_FORWARDED);
    buf_put(&words, STR(": "));
    smtp_header_line(s->transaction.verdict.fields, STR("X-Spam-Status"), &words);
    smtp_end_transaction(s, SMTP_REPLY_JUNK_NOT_FORWARDED, buf_str(&words), now_ms);
}

/* Refuses the message if that is what the verdict means for it. */
static bool refuse(struct smtp_session *s, const struct wire_examine_reply *reply, int64_t now_ms)
{
    enum smtp_reply refusal = SMTP_REPLY_MESSAGE_REFUSED;

    switch (s->transaction.verdict.action) {
    case EXAMINER_REJECT:
        if (is_of_policy(reply))
            refusal = SMTP_REPLY_POLICY_REFUSED;
        break;
    case EXAMINER_DEFER:
        refusal = SMTP_REPLY_DEFERRED;
        break;
    case EXAMINER_JUNK:
    case EXAMINER_ACCEPT:
        if (!is_homeless(&s->transaction))
            return false;
        refuse_to_forward(s, now_ms);
        return true;
    }
    smtp_end_transaction(s, refusal, reply->words, now_ms);
    return true;
}

bool smtp_session_examination_done(struct smtp_session *s, const struct wire_examine_reply *reply,
                                   int64_t now_ms)
{
    struct smtp_transaction *transaction = &s->transaction;

    if (s->state != SMTP_STATE_WAITING || s->asked != SMTP_WANTS_EXAMINATION)
        return false; /* it is over already */
    if (reply == NULL || reply->status != WIRE_OK || reply->action > EXAMINER_DEFER ||
        !are_fields(reply->fields) || !read_removals(transaction, reply->removals)) {
        smtp_end_transaction(s, SMTP_REPLY_UNAVAILABLE, STR(""), now_ms);
    } else {
        take_verdict(s, reply);
        if (!refuse(s, reply, now_ms)) {
            smtp_deliver(s, now_ms);
            return true;
        }
    }
    smtp_session_resume(s, now_ms);
    return false;
}
