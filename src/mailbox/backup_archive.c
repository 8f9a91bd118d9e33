/* What a mailbox's process asks of the archivist, by way of the store. */
#include "mailbox/backup_internal.h"

#include "backup/name.h"
#include "base/clock.h"

static struct backup_ask *take_ask(struct mailbox_backup *backup, mailbox_archive_answer on_answer,
                                   void *owner)
{
    for (size_t i = 0; i < ARRAY_LEN(backup->asks); i++) {
        if (backup->asks[i].tag == 0) {
            backup->asks[i] = (struct backup_ask){
                .tag = ++backup->last_tag, .on_answer = on_answer, .owner = owner};
            return &backup->asks[i];
        }
    }
    return NULL;
}

static void ask(struct mailbox_backup *backup, enum wire_type type, const void *body, int fd,
                mailbox_archive_answer on_answer, void *owner)
{
    struct backup_ask *one = take_ask(backup, on_answer, owner);

    if (one != NULL && type == WIRE_BACKUP_PUT)
        one->size_bytes = ((const struct wire_backup_put *)body)->size_bytes;
    if (one != NULL &&
        wire_send(backup->mailbox->store, type, one->tag, body, &fd, fd < 0 ? 0 : 1) == ERR_OK)
        return;
    if (one != NULL)
        one->tag = 0;
    on_answer(owner, WIRE_UNAVAILABLE, NULL);
}

void mailbox_archive_put(struct mailbox_backup *backup, const char *name, int fd,
                         uint64_t size_bytes, const unsigned char *digest,
                         mailbox_archive_answer on_answer, void *owner)
{
    struct wire_backup_put body = {.mailbox = backup->mailbox->start->id,
                                   .name = str_from_c(name),
                                   .size_bytes = size_bytes,
                                   .digest = str_make(digest, CRYPT_HASH_BYTES)};

    ask(backup, WIRE_BACKUP_PUT, &body, fd, on_answer, owner);
}

void mailbox_archive_get(struct mailbox *mailbox, struct str name, mailbox_archive_answer on_answer,
                         void *owner)
{
    struct wire_backup_get body = {.mailbox = mailbox->start->id, .name = name};

    ask(mailbox->backup, WIRE_BACKUP_GET, &body, -1, on_answer, owner);
}

void mailbox_archive_list(struct mailbox *mailbox, struct str prefix, struct str after,
                          mailbox_archive_answer on_answer, void *owner)
{
    struct wire_backup_list body = {
        .mailbox = mailbox->start->id, .prefix = prefix, .after = after};

    ask(mailbox->backup, WIRE_BACKUP_LIST, &body, -1, on_answer, owner);
}

void mailbox_archive_forget(struct mailbox *mailbox, const void *owner)
{
    struct mailbox_backup *backup = mailbox->backup;

    for (size_t i = 0; backup != NULL && i < ARRAY_LEN(backup->asks); i++) {
        if (backup->asks[i].owner == owner)
            backup->asks[i].on_answer = NULL;
    }
}

/* What has the destination itself in it, which a list that is UNKNOWN has not: its bucket or folder
 * is gone. That there is none (DISABLED), who puts hears. */
static bool is_good(bool is_get, enum wire_status status)
{
    return status == WIRE_OK || (is_get && status == WIRE_UNKNOWN) || status == WIRE_DISABLED;
}

static void on_probed(void *owner, enum wire_status status, struct wire_message *message)
{
    struct mailbox_backup *backup = owner;

    (void)message;
    if (is_good(false, status))
        mailbox_backup_go_on(backup);
    backup->is_probing = false;
}

void mailbox_archive_probe(struct mailbox_backup *backup)
{
    if (backup->is_probing)
        return;
    backup->is_probing = true;
    mailbox_archive_list(backup->mailbox, STR(BACKUP_PROBE_PREFIX), STR(""), on_probed, backup);
}

uint64_t mailbox_archive_bytes(const struct mailbox_backup *backup)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < ARRAY_LEN(backup->asks); i++)
        bytes += backup->asks[i].tag != 0 ? backup->asks[i].size_bytes : 0;
    return bytes;
}

static enum wire_status status_of(const struct wire_message *message)
{
    if (message->type == WIRE_BACKUP_PUT_REPLY)
        return (enum wire_status)message->body.backup_put_reply.status;
    if (message->type == WIRE_BACKUP_GET_REPLY)
        return (enum wire_status)message->body.backup_get_reply.status;
    return (enum wire_status)message->body.backup_list_reply.status;
}

/* True: it is well again. */
static bool take_notice(struct mailbox_backup *backup, const struct wire_message *message)
{
    bool is_put = message->type == WIRE_BACKUP_PUT_REPLY;
    bool is_well = is_put ? status_of(message) == WIRE_OK
                          : is_good(message->type == WIRE_BACKUP_GET_REPLY, status_of(message));
    bool is_again = is_well && backup->peer.is_refusing;

    backup_peer_answered(&backup->peer, is_put, is_well, clock_monotonic_ms());
    return is_again;
}

void mailbox_backup_reply(struct mailbox *mailbox, struct wire_message *message)
{
    struct mailbox_backup *backup = mailbox->backup;

    for (size_t i = 0; backup != NULL && i < ARRAY_LEN(backup->asks); i++) {
        struct backup_ask one = backup->asks[i];
        bool is_again;

        if (one.tag == 0 || one.tag != message->tag)
            continue;
        backup->asks[i].tag = 0;
        is_again = take_notice(backup, message);
        if (one.on_answer != NULL)
            one.on_answer(one.owner, status_of(message), message);
        if (is_again)
            mailbox_backup_go_on(backup);
        return;
    }
}
