/* What a transaction holds, from MAIL to the reply that ends it. */
#include "smtp/server/state.h"

#include "base/hash.h"
#include "base/memory.h"

void smtp_transaction_init(struct smtp_session *s)
{
    struct smtp_transaction *transaction = &s->transaction;

    *transaction = (struct smtp_transaction){0};
    smtp_content_init(&transaction->content, s->options.memory,
                      (size_t)s->options.message_size_max);
    buf_init(&transaction->trace, SIZE_MAX);
}

void smtp_transaction_count(struct smtp_session *s, uint64_t day)
{
    struct wire_recipients_unused *unused = &s->transaction.unused;

    if (day == 0)
        return;
    if (unused->counted_day != day) /* midnight: those before it stay counted */
        unused->count = 0;
    unused->login = s->mailbox;
    unused->counted_day = day;
    unused->count++;
}

static void tell_unused(struct smtp_session *s)
{
    struct wire_recipients_unused unused = s->transaction.unused;

    if (unused.count == 0 || s->options.on_unused == NULL)
        return;
    unused.sender = s->transaction.mail.sender.text;
    s->options.on_unused(s->options.on_unused_owner, &unused);
}

void smtp_transaction_done(struct smtp_session *s)
{
    struct smtp_transaction *transaction = &s->transaction;

    tell_unused(s);
    smtp_content_done(&transaction->content);
    buf_free(&transaction->trace);
    mem_free(&transaction->recipients);
    arena_free(&transaction->arena);
}

void smtp_transaction_reset(struct smtp_session *s)
{
    smtp_transaction_done(s);
    smtp_transaction_init(s);
}

void smtp_transaction_add_recipient(struct smtp_session *s,
                                    const struct wire_recipient_reply *reply)
{
    struct smtp_transaction *transaction = &s->transaction;
    struct smtp_recipient *recipient;

    if (transaction->recipient_count == transaction->recipient_room) {
        size_t room = transaction->recipient_room == 0 ? 4 : transaction->recipient_room * 2;

        transaction->recipients =
            mem_resize(transaction->recipients, room, sizeof(*transaction->recipients));
        transaction->recipient_room = room;
    }
    recipient = &transaction->recipients[transaction->recipient_count++];
    *recipient = (struct smtp_recipient){
        .address = transaction->asked.recipient.text,
        .notify = transaction->asked.notify,
        .orcpt = transaction->asked.orcpt,
        .is_remote = reply == NULL,
    };
    if (reply == NULL)
        return;
    recipient->folder = arena_copy(&transaction->arena, reply->detail);
    recipient->routes = arena_copy(&transaction->arena, reply->routes);
    transaction->routes_bytes += reply->routes.len;
    recipient->mailbox = reply->mailbox;
    recipient->has_mailbox = reply->has_mailbox;
    recipient->is_trusted = reply->trust > 0;
    recipient->is_checked = reply->is_checked;
}

bool smtp_transaction_is_junk(const struct smtp_transaction *transaction,
                              const struct smtp_recipient *recipient)
{
    return transaction->verdict.action == EXAMINER_JUNK && recipient->is_checked &&
           !recipient->is_trusted;
}

bool smtp_transaction_is_held_back(const struct smtp_transaction *transaction,
                                   const struct smtp_recipient *recipient)
{
    return !recipient->has_mailbox && recipient->routes.len > 0 &&
           smtp_transaction_is_junk(transaction, recipient);
}

/* ---- targets ---- */

/* The mailboxes among the targets, found by their ids: open addressing, at most half full. */
struct mailbox_index {
    uint32_t *places; /* in the arena; 0: free, else a target's number plus one */
    size_t mask;
};

static struct mailbox_index index_new(struct smtp_transaction *transaction, size_t count_max)
{
    size_t size = 2;

    while (size < count_max * 2)
        size *= 2;
    return (struct mailbox_index){
        .places = ARENA_ARRAY(&transaction->arena, uint32_t, size),
        .mask = size - 1,
    };
}

/* Where this mailbox is, or is to be. Ids are random and our own: nobody chooses ones that meet. */
static uint32_t *index_place(const struct mailbox_index *index,
                             const struct smtp_transaction *transaction, const struct id *mailbox)
{
    static const struct hash_key key = {{0, 0}};
    size_t at = (size_t)hash_text(&key, id_str(mailbox)) & index->mask;

    while (index->places[at] != 0 &&
           !id_equal(&transaction->targets[index->places[at] - 1].mailbox, mailbox))
        at = (at + 1) & index->mask;
    return &index->places[at];
}

/* An empty folder leaves it to the mailbox, whose owner's habits may see junk where others do not.
 */
static struct str folder_for(const struct smtp_transaction *transaction,
                             const struct smtp_recipient *recipient)
{
    if (smtp_transaction_is_junk(transaction, recipient))
        return STR("Junk");
    if (recipient->folder.len == 0 && (recipient->is_trusted || !recipient->is_checked))
        return STR("INBOX");
    return recipient->folder;
}

/* Of several recipients that lead to one mailbox the first counts, or the first that wants it even
 * though it is junk for others. */
static void add_mailbox(struct smtp_transaction *transaction, const struct mailbox_index *index,
                        const struct smtp_recipient *recipient)
{
    uint32_t *place = index_place(index, transaction, &recipient->mailbox);
    bool is_junk = smtp_transaction_is_junk(transaction, recipient);

    if (*place == 0)
        *place = (uint32_t)++transaction->target_count;
    else if (is_junk || !transaction->targets[*place - 1].is_junk)
        return;
    transaction->targets[*place - 1] = (struct smtp_target){
        .kind = SMTP_TARGET_MAILBOX,
        .mailbox = recipient->mailbox,
        .recipient = recipient->address,
        .folder = folder_for(transaction, recipient),
        .is_junk = is_junk,
    };
}

/*
 * Whether the courier hears of this recipient. Junk that is stored is not passed on besides, and
 * its sender is not told where it went. Junk that is held back the courier only reports, to a sender who
 * is known to have sent it: a made-up one would be written to by us. With NOTIFY=SUCCESS he is told of what is stored (RFC 3461
 * §4.1).
 */
static bool is_of_batch(const struct smtp_transaction *transaction,
                        const struct smtp_recipient *recipient, bool is_remote)
{
    if (recipient->is_remote || is_remote)
        return recipient->is_remote && is_remote;
    if (smtp_transaction_is_held_back(transaction, recipient))
        return transaction->verdict.is_from_sender;
    if (smtp_transaction_is_junk(transaction, recipient))
        return false;
    return recipient->routes.len > 0 ||
           (recipient->has_mailbox && str_find(recipient->notify, STR("SUCCESS")) >= 0);
}

/* What a recipient takes at most in an envelope: JSON writes a byte in up to six. */
static size_t envelope_cost(const struct smtp_recipient *recipient)
{
    return recipient->address.len * 6 + recipient->orcpt.len * 6 + recipient->routes.len + 128;
}

/* As many messages for the queue as are needed for all recipients of a kind. */
static void add_batches(struct smtp_transaction *transaction, bool is_remote)
{
    struct smtp_batch batch = {.is_remote = is_remote};
    size_t cost = 0;

    for (size_t i = 0; i < transaction->recipient_count; i++) {
        const struct smtp_recipient *recipient = &transaction->recipients[i];

        if (!is_of_batch(transaction, recipient, is_remote))
            continue;
        if (cost > 0 && cost + envelope_cost(recipient) > SMTP_ENVELOPE_MAX) {
            transaction->batches[transaction->batch_count++] = batch;
            batch.first = i;
            cost = 0;
        }
        cost += envelope_cost(recipient);
        batch.end = i + 1;
    }
    if (cost > 0)
        transaction->batches[transaction->batch_count++] = batch;
}

bool smtp_transaction_is_in(const struct smtp_transaction *transaction, size_t recipient,
                            const struct smtp_batch *batch)
{
    return recipient >= batch->first && recipient < batch->end &&
           is_of_batch(transaction, &transaction->recipients[recipient], batch->is_remote);
}

void smtp_transaction_make_targets(struct smtp_session *s)
{
    struct smtp_transaction *transaction = &s->transaction;
    size_t count = transaction->recipient_count;
    struct mailbox_index index = index_new(transaction, count);

    /* Each recipient is in one batch at most, and has one mailbox at most. */
    transaction->targets = ARENA_ARRAY(&transaction->arena, struct smtp_target, count * 2 + 1);
    transaction->batches = ARENA_ARRAY(&transaction->arena, struct smtp_batch, count);
    for (size_t i = 0; i < count; i++) {
        if (transaction->recipients[i].has_mailbox)
            add_mailbox(transaction, &index, &transaction->recipients[i]);
    }
    if (transaction->header.is_copy_wanted && id_is_set(&s->mailbox))
        transaction->targets[transaction->target_count++] = (struct smtp_target){
            .kind = SMTP_TARGET_COPY, .mailbox = s->mailbox, .folder = STR("Sent")};
    add_batches(transaction, true);
    add_batches(transaction, false);
    for (size_t i = 0; i < transaction->batch_count; i++)
        transaction->targets[transaction->target_count++] =
            (struct smtp_target){.kind = SMTP_TARGET_QUEUE};
}
