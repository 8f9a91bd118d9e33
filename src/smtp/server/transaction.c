/* What a transaction holds, from MAIL to the reply that ends it. */
#include "smtp/server/state.h"

#include "base/memory.h"

void smtp_transaction_init(struct smtp_session *s)
{
    struct smtp_transaction *transaction = &s->transaction;

    *transaction = (struct smtp_transaction){0};
    smtp_content_init(&transaction->content, s->options.memory,
                      (size_t)s->options.message_size_max);
    buf_init(&transaction->trace, SIZE_MAX);
}

void smtp_transaction_done(struct smtp_session *s)
{
    struct smtp_transaction *transaction = &s->transaction;

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

void smtp_transaction_add_recipient(struct smtp_session *s, const struct id *mailbox,
                                    struct str address, struct str folder)
{
    struct smtp_transaction *transaction = &s->transaction;

    if (transaction->recipient_count == transaction->recipient_room) {
        size_t room = transaction->recipient_room == 0 ? 4 : transaction->recipient_room * 2;

        transaction->recipients =
            mem_resize(transaction->recipients, room, sizeof(*transaction->recipients));
        transaction->recipient_room = room;
    }
    transaction->recipients[transaction->recipient_count++] = (struct smtp_recipient){
        .address = address,
        .folder = arena_copy(&transaction->arena, folder),
        .mailbox = *mailbox,
    };
}

void smtp_transaction_make_targets(struct smtp_session *s)
{
    struct smtp_transaction *transaction = &s->transaction;

    transaction->targets =
        ARENA_ARRAY(&transaction->arena, struct smtp_target, transaction->recipient_count);
    for (size_t i = 0; i < transaction->recipient_count; i++) {
        const struct smtp_recipient *recipient = &transaction->recipients[i];
        size_t same = 0;

        while (same < transaction->target_count &&
               !id_equal(&transaction->targets[same].mailbox, &recipient->mailbox))
            same++;
        if (same < transaction->target_count)
            continue;
        transaction->targets[transaction->target_count++] = (struct smtp_target){
            .mailbox = recipient->mailbox,
            .recipient = recipient->address,
            .folder = recipient->folder,
        };
    }
}
