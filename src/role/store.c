/*
 * The store (design §2): knows which mailbox processes run, starts them through the nursery and
 * routes sessions and mail. What it does is in store/; here it is connected to its peers.
 */
#include "role/role.h"
#include "store/store.h"

static enum err setup(struct role_process *process, struct task *task)
{
    (void)task;
    role_set_state(process, store_new(role_loop(process), role_log(process)));
    return ERR_OK;
}

static void sandbox(struct role_process *process, struct sandbox_rules *rules)
{
    (void)process;
    /* No file at all: it passes descriptors on, and never opens one. */
    rules->may_send_descriptors = true;
}

static enum err start(struct role_process *process, struct task *task)
{
    (void)process;
    (void)task;
    return ERR_OK;
}

/* Of gates and smtp processes there are several. They ask and are never asked, so the store keeps
 * none: a second one takes nobody's place. */
static bool is_one_of_several(enum wire_role peer)
{
    return peer == WIRE_ROLE_GATE || peer == WIRE_ROLE_SMTP;
}

static void on_peer(struct role_process *process, struct wire_channel *channel)
{
    enum wire_role peer = wire_channel_peer(channel);

    if (!is_one_of_several(peer))
        store_set_peer(role_state(process), peer, channel);
}

static void on_message(struct role_process *process, struct wire_channel *channel,
                       struct wire_message *message)
{
    store_message(role_state(process), channel, message);
}

static void on_peer_lost(struct role_process *process, struct wire_channel *channel)
{
    enum wire_role peer = wire_channel_peer(channel);

    if (is_one_of_several(peer)) /* only its questions are forgotten */
        store_asker_gone(role_state(process), channel);
    else
        store_set_peer(role_state(process), peer, NULL);
}

static void on_all_ended(void *owner)
{
    net_loop_stop(role_loop(owner));
}

static void on_stop(struct role_process *process, int64_t grace_ms)
{
    (void)grace_ms;
    store_stop(role_state(process), on_all_ended, process);
}

const struct role role_store = {
    .kind = WIRE_ROLE_STORE,
    .setup = setup,
    .sandbox = sandbox,
    .start = start,
    .on_peer = on_peer,
    .on_message = on_message,
    .on_peer_lost = on_peer_lost,
    .on_stop = on_stop,
};
