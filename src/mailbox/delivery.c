/*
 * Mail for an owner who is there: what arrives within one turn of the loop is one durable
 * transaction, and each message is acknowledged only after it.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "imap/session.h"
#include "mailbox/mailbox.h"
#include "vault/junk.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { BATCH_MAX = 64 };

struct mailbox_delivery {
    struct mailbox_delivery *next;
    uint64_t tag;
    int fd; /* own */
    int64_t received_ms;
    uint64_t trace_len;
    uint64_t size_bytes;
    char *folder; /* own, empty: INBOX */
    bool is_own;  /* a copy of what the mailbox's owner sent: he has read it */
    enum wire_status status;
};

static void delivery_free(struct mailbox_delivery *delivery)
{
    fd_close(&delivery->fd);
    mem_free(&delivery->folder);
    mem_free(&delivery);
}

void mailbox_delivery_queue(struct mailbox *mailbox, struct wire_message *message)
{
    const struct wire_deliver *body = &message->body.deliver;
    struct mailbox_delivery *delivery = NEW(struct mailbox_delivery);

    delivery->tag = message->tag;
    delivery->fd = message->fds[0];
    message->fds[0] = -1;
    delivery->received_ms = body->received_ms;
    delivery->trace_len = body->trace_len;
    delivery->is_own = body->recipient.len == 0;
    delivery->folder = mem_copy_text(body->folder.ptr, body->folder.len);
    if (mailbox->last_delivery == NULL)
        mailbox->first_delivery = delivery;
    else
        mailbox->last_delivery->next = delivery;
    mailbox->last_delivery = delivery;
    net_timer_start(mailbox->delivery_timer, 0);
}

static enum err append(struct mailbox *mailbox, struct task *task,
                       const struct mailbox_delivery *delivery, struct str raw)
{
    struct vault_append append = {
        .raw = raw,
        .internal_date_ms = delivery->received_ms,
        .trace_len = delivery->trace_len,
        .flags = delivery->is_own ? VAULT_FLAG_SEEN : 0,
        .is_delivery = true,
    };
    CLEANUP(buf_free) struct buf storage;
    int64_t folder_id;
    uint32_t uid;

    buf_init(&storage, SIZE_MAX);
    TRY(vault_junk_file(mailbox->vault, task, str_from_c(delivery->folder), &append, &storage,
                        &folder_id));
    return vault_message_append(mailbox->vault, task, folder_id, &append, &uid);
}

static void deliver_one(struct mailbox *mailbox, struct mailbox_delivery *delivery)
{
    struct task task;
    struct stat status;
    void *bytes = MAP_FAILED;
    enum err err;

    task_init(&task, clock_now_ms());
    if (fstat(delivery->fd, &status) == 0 && status.st_size > 0)
        bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, delivery->fd, 0);
    if (bytes == MAP_FAILED) {
        err = fail(&task, ERR_IO, "map a delivery: %s", strerror(errno));
    } else {
        delivery->size_bytes = (uint64_t)status.st_size;
        err = append(mailbox, &task, delivery, str_make(bytes, (size_t)status.st_size));
        munmap(bytes, (size_t)status.st_size);
    }
    delivery->status = mailbox_status(mailbox, err, delivery->size_bytes);
    if (err != ERR_OK)
        log_failure(mailbox->start->log, "delivery", &task);
    task_done(&task);
}

/* Answers the first `count` and takes them off the queue. */
static void answer(struct mailbox *mailbox, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct mailbox_delivery *delivery = mailbox->first_delivery;
        struct wire_deliver_reply reply = {.status = delivery->status};

        mailbox->first_delivery = delivery->next;
        if (mailbox->first_delivery == NULL)
            mailbox->last_delivery = NULL;
        /* An answer that is lost: the sender tries again, and the message is recognised. */
        if (wire_send(mailbox->store, WIRE_DELIVER_REPLY, delivery->tag, &reply, NULL, 0) != ERR_OK)
            log_warning(mailbox->start->log, "the store does not take an answer");
        delivery_free(delivery);
    }
}

void mailbox_delivery_run(void *owner)
{
    struct mailbox *mailbox = owner;
    struct task task;
    enum err err;
    size_t count = 0;

    task_init(&task, clock_now_ms());
    imap_group_commit(mailbox->appends, task.now_ms);
    err = vault_batch_begin(mailbox->vault, &task);
    for (struct mailbox_delivery *delivery = mailbox->first_delivery;
         delivery != NULL && count < BATCH_MAX; delivery = delivery->next, count++) {
        if (err == ERR_OK)
            deliver_one(mailbox, delivery);
    }
    if (err == ERR_OK)
        err = vault_batch_end(mailbox->vault, &task);
    if (err != ERR_OK) {
        log_failure(mailbox->start->log, "committing deliveries", &task);
        for (struct mailbox_delivery *delivery = mailbox->first_delivery; delivery != NULL;
             delivery = delivery->next)
            delivery->status = mailbox_status(mailbox, err, delivery->size_bytes);
    }
    answer(mailbox, count);
    task_done(&task);
    if (mailbox->first_delivery != NULL)
        net_timer_start(mailbox->delivery_timer, 0);
    if (vault_is_broken(mailbox->vault))
        mailbox_end(mailbox, "the mailbox file cannot be written");
    mailbox_check_idle(mailbox);
}

void mailbox_delivery_free_all(struct mailbox *mailbox)
{
    while (mailbox->first_delivery != NULL) {
        struct mailbox_delivery *delivery = mailbox->first_delivery;

        mailbox->first_delivery = delivery->next;
        delivery_free(delivery);
    }
    mailbox->last_delivery = NULL;
}
