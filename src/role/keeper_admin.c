/*
 * Administrators: connections over the local socket, from root or the service's own user only, and
 * the other roles that their commands need.
 */
#include "role/keeper.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_MAX = 64, SWEEP_EVERY_MS = 60 * 1000 };

struct keeper_client {
    struct keeper_client *next;
    struct keeper *keeper;        /* borrowed */
    struct wire_channel *channel; /* own */
};

static void unlink_and_free(struct keeper_client *client)
{
    struct keeper *keeper = client->keeper;
    struct keeper_client **link = &keeper->clients;

    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    keeper->client_count--;
    admin_client_gone(keeper->admin, client);
    wire_channel_free(&client->channel);
    mem_free(&client);
}

static void on_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct keeper_client *client = owner;

    (void)channel;
    if (message->type == WIRE_ADMIN)
        admin_request(client->keeper->admin, message->body.admin.json, message->fds,
                      message->fd_count, clock_now_ms(), client, message->tag);
    keeper_tick_soon(client->keeper);
}

static void on_close(void *owner, struct wire_channel *channel)
{
    (void)channel;
    unlink_and_free(owner);
}

static const struct wire_channel_events events = {.on_message = on_message, .on_close = on_close};

static bool is_administrator(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void on_accept(void *owner, int fd)
{
    struct keeper *keeper = owner;
    struct keeper_client *client;

    if (!is_administrator(fd) || keeper->client_count >= CLIENTS_MAX) {
        log_warning(keeper->log, "an administrator's connection was refused");
        fd_close(&fd);
        return;
    }
    client = NEW(struct keeper_client);
    client->keeper = keeper;
    client->channel = wire_channel_new(role_loop(keeper->process), fd, WIRE_ROLE_KEEPER,
                                       WIRE_ROLE_CLI, &events, client, keeper->log);
    client->next = keeper->clients;
    keeper->clients = client;
    keeper->client_count++;
}

/* --- what commands ask of others ------------------------------------------------------------ */

static enum err ask_store(struct keeper *keeper, enum wire_type type, const void *body)
{
    struct wire_channel *store = role_peer(keeper->process, WIRE_ROLE_STORE, 0);

    return store == NULL ? ERR_BUSY : wire_send(store, type, 0, body, NULL, 0);
}

static enum err create_mailbox(void *owner, const struct id *mailbox)
{
    struct wire_mailbox_create body = {.mailbox = *mailbox};

    return ask_store(owner, WIRE_MAILBOX_CREATE, &body);
}

static enum err remove_mailbox(void *owner, const struct id *mailbox)
{
    struct wire_mailbox_remove body = {.mailbox = *mailbox};

    return ask_store(owner, WIRE_MAILBOX_REMOVE, &body);
}

static void expel(struct keeper *keeper, const struct id *mailbox, bool is_for_good)
{
    struct wire_mailbox_expel body = {.mailbox = *mailbox, .is_for_good = is_for_good};

    account_expelled_note(keeper->expelled, mailbox);
    /* Without a store there is no session to end. */
    if (ask_store(keeper, WIRE_MAILBOX_EXPEL, &body) != ERR_OK)
        log_warning(keeper->log, "sessions could not be ended mailbox=%s", mailbox->text);
    account_sessions_close_mailbox(keeper->sessions, mailbox);
}

void keeper_expel(void *owner, const struct id *mailbox)
{
    expel(owner, mailbox, false);
}

void keeper_retire(void *owner, const struct id *mailbox)
{
    expel(owner, mailbox, true);
}

static int64_t backups_keep_ms(void *owner)
{
    const struct keeper *keeper = owner;

    return (int64_t)role_config(keeper->process)->removed_backups_keep_ms;
}

static void limits_changed(void *owner)
{
    struct keeper *keeper = owner;

    keeper->are_quotas_new = true;
    keeper_mailbox_tell_limits(keeper);
}

static void on_work(void *owner)
{
    admin_work(((struct keeper *)owner)->admin, clock_now_ms());
}

static void work_soon(void *owner)
{
    struct keeper *keeper = owner;

    net_timer_start(keeper->work, 0);
}

static void describe(void *owner, json_t *reply)
{
    struct keeper *keeper = owner;

    json_object_set_new(reply, "sessions",
                        json_integer((json_int_t)account_sessions_count(keeper->sessions)));
    json_object_set_new(reply, "mailbox_processes",
                        json_integer((json_int_t)keeper->mailbox_count));
}

static void send_reply(void *owner, void *client, uint64_t tag, struct str json, bool is_last)
{
    struct keeper *keeper = owner;
    struct keeper_client *to = client;
    struct wire_admin_reply body = {.json = json, .is_last = is_last};
    enum err err = wire_send(to->channel, WIRE_ADMIN_REPLY, tag, &body, NULL, 0);

    if (err != ERR_OK)
        log_warning(keeper->log, "an administrator could not be answered error=%s",
                    err_name(err));
}

static int64_t reset_keep_ms(void *owner)
{
    const struct keeper *keeper = owner;

    return (int64_t)role_config(keeper->process)->reset_keep_ms;
}

/* Files that are kept no longer. */
static void on_sweep(void *owner)
{
    struct keeper *keeper = owner;

    admin_sweep(keeper->admin, clock_now_ms());
    net_timer_start(keeper->sweep, SWEEP_EVERY_MS);
}

static struct str hostname(void *owner)
{
    const struct keeper *keeper = owner;

    return role_config(keeper->process)->hostname;
}

static const struct admin_services services = {
    .create_mailbox = create_mailbox,
    .remove_mailbox = remove_mailbox,
    .backups_keep_ms = backups_keep_ms,
    .expel = keeper_expel,
    .retire = keeper_retire,
    .limits_changed = limits_changed,
    .ask_courier = keeper_ask_courier,
    .ask_archivist = keeper_ask_archivist,
    .forget_archivist = keeper_forget_archivist,
    .bucket_reason = keeper_bucket_reason,
    .bucket_changed = keeper_bucket_changed,
    .ask_dns = keeper_ask_dns,
    .make_key = keeper_make_key,
    .check_owner = keeper_check_owner,
    .start_job = keeper_start_job,
    .cancel_job = keeper_cancel_job,
    .rekey = keeper_rekey,
    .reset_keep_ms = reset_keep_ms,
    .hostname = hostname,
    .smarthost = keeper_smarthost,
    .webhook_reason = keeper_webhook_reason,
    .uses_ipv6 = keeper_uses_ipv6,
    .work_soon = work_soon,
    .describe = describe,
    .reply = send_reply,
};

void keeper_admin_start(struct keeper *keeper)
{
    keeper->work = net_timer_new(role_loop(keeper->process), on_work, keeper);
    keeper->sweep = net_timer_new(role_loop(keeper->process), on_sweep, keeper);
    net_timer_start(keeper->sweep, SWEEP_EVERY_MS);
    keeper->admin =
        admin_new(keeper->database, keeper->signing, keeper->buckets, &services, keeper,
                  keeper->log);
    for (size_t i = 0; i < role_listener_count(keeper->process); i++) {
        struct role_listener *listener = role_listener_at(keeper->process, i);

        if (!str_equal(listener->name, STR("admin")) ||
            keeper->listener_count == ARRAY_LEN(keeper->listeners))
            continue;
        keeper->listeners[keeper->listener_count++] =
            net_listener_new(role_loop(keeper->process), listener->fd, on_accept, keeper);
        listener->fd = -1;
    }
}

void keeper_admin_stop(struct keeper *keeper)
{
    for (size_t i = 0; i < keeper->listener_count; i++)
        net_listener_free(&keeper->listeners[i]);
    keeper->listener_count = 0;
    while (keeper->clients != NULL)
        unlink_and_free(keeper->clients);
    keeper_job_end_all(keeper);
    net_timer_free(&keeper->work);
    net_timer_free(&keeper->sweep);
    admin_free(&keeper->admin);
}
