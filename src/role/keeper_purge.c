/* Backups of removed mailboxes (account/purge.h): the keeper's questions to the archivist. */
#include "role/keeper.h"

#include "base/clock.h"

enum { LOOK_MS = 10 * 1000 };

static enum err ask(struct keeper *keeper, enum wire_type type, uint64_t tag, const void *body)
{
    struct wire_channel *archivist = role_peer(keeper->process, WIRE_ROLE_ARCHIVIST, 0);

    return archivist == NULL ? ERR_BUSY : wire_send(archivist, type, tag, body, NULL, 0);
}

static enum err list(void *owner, const struct id *mailbox, uint64_t tag)
{
    struct wire_backup_list body = {.mailbox = *mailbox};

    return ask(owner, WIRE_BACKUP_LIST, tag, &body);
}

static enum err remove_object(void *owner, const struct id *mailbox, struct str name, uint64_t tag)
{
    struct wire_backup_delete body = {.mailbox = *mailbox, .name = name};

    return ask(owner, WIRE_BACKUP_DELETE, tag, &body);
}

static const struct account_purge_services services = {list, remove_object,
                                                       keeper_bucket_changed};

static void on_look(void *owner)
{
    struct keeper *keeper = owner;

    account_purge_run(keeper->purge, clock_now_ms());
    net_timer_start(keeper->purge_timer, LOOK_MS);
}

void keeper_purge_start(struct keeper *keeper)
{
    keeper->purge = account_purge_new(keeper->database, &services, keeper, keeper->log);
    keeper->purge_timer = net_timer_new(role_loop(keeper->process), on_look, keeper);
    net_timer_start(keeper->purge_timer, LOOK_MS);
}

void keeper_purge_stop(struct keeper *keeper)
{
    net_timer_free(&keeper->purge_timer);
    account_purge_free(&keeper->purge);
}

void keeper_purge_message(struct keeper *keeper, const struct wire_message *message)
{
    const union wire_body *body = &message->body;

    if (keeper->purge == NULL)
        return;
    if (message->type == WIRE_BACKUP_LIST_REPLY)
        account_purge_listed(keeper->purge, message->tag,
                             (enum wire_status)body->backup_list_reply.status,
                             body->backup_list_reply.json, clock_now_ms());
    else
        account_purge_removed(keeper->purge, message->tag,
                              (enum wire_status)body->backup_delete_reply.status, clock_now_ms());
}
