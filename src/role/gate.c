#include "role/gate.h"

#include "base/clock.h"
#include "base/memory.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

enum { FIRST_SLOTS = 64 };

struct gate_listener {
    struct gate *gate; /* borrowed */
    const struct engine_kind *kind;
    bool is_tls;
    struct net_listener *listener; /* own */
};

uint64_t gate_enlist(struct gate *gate, struct gate_client *client)
{
    size_t slot = 0;

    while (slot < gate->slot_count && gate->slots[slot] != NULL)
        slot++;
    if (slot == gate->slot_count) {
        size_t count = gate->slot_count == 0 ? FIRST_SLOTS : gate->slot_count * 2;

        gate->slots = mem_resize(gate->slots, count, sizeof(struct gate_client *));
        memset(gate->slots + gate->slot_count, 0,
               (count - gate->slot_count) * sizeof(struct gate_client *));
        gate->slot_count = count;
    }
    gate->slots[slot] = client;
    gate->client_count++;
    return (uint64_t)++gate->generation << 32 | slot;
}

void gate_delist(struct gate *gate, uint64_t tag)
{
    size_t slot = tag & UINT32_MAX;

    assert(slot < gate->slot_count && gate->slots[slot] != NULL);
    gate->slots[slot] = NULL;
    gate->client_count--;
    if (gate->is_stopping && gate->client_count == 0)
        net_loop_stop(role_loop(gate->process));
}

static enum err setup(struct role_process *process, struct task *task)
{
    struct gate *gate = NEW(struct gate);

    gate->process = process;
    role_set_state(process, gate);
    TRY(role_census(process, task, &gate->census));
    return net_tls_new(task, role_certificate_pem(process), role_key_pem(process), &gate->tls);
}

static void sandbox(struct role_process *process, struct sandbox_rules *rules)
{
    (void)process;
    rules->may_accept = true;
    rules->may_send_descriptors = true;
}

static void on_accept(void *owner, int fd)
{
    struct gate_listener *listener = owner;

    gate_client_new(listener->gate, fd, listener->kind, listener->is_tls);
}

static enum err start(struct role_process *process, struct task *task)
{
    struct gate *gate = role_state(process);

    net_loop_allow_linger(role_loop(process));
    gate->listener_count = role_listener_count(process);
    gate->listeners = NEW_ARRAY(struct gate_listener, gate->listener_count);
    for (size_t i = 0; i < gate->listener_count; i++) {
        struct role_listener *from = role_listener_at(process, i);

        gate->listeners[i] = (struct gate_listener){.gate = gate, .is_tls = from->is_tls};
        gate->listeners[i].kind = engine_for_listener(from->name);
        if (gate->listeners[i].kind == NULL)
            return fail(task, ERR_INVALID, "no protocol of the gate: %.*s", STR_ARG(from->name));
        gate->listeners[i].listener =
            net_listener_new(role_loop(process), from->fd, on_accept, &gate->listeners[i]);
        from->fd = -1;
    }
    return ERR_OK;
}

static void on_message(struct role_process *process, struct wire_channel *channel,
                       struct wire_message *message)
{
    struct gate_client *client = gate_find(role_state(process), message->tag);

    (void)channel;
    if (message->type == WIRE_SESSION_HIBERNATE)
        gate_hibernate_offer(role_state(process), client, &message->body.session_hibernate);
    if (client == NULL)
        return; /* gone by now */
    if (message->type == WIRE_LOGIN_REPLY)
        gate_client_login_reply(client, &message->body.login_reply);
    else if (message->type == WIRE_SESSION_OPEN_REPLY)
        gate_client_open_reply(client, message->body.session_open_reply.status);
    else if (message->type == WIRE_SESSION_WAKE)
        gate_hibernate_wake(client, &message->body.session_wake);
}

static void on_peer(struct role_process *process, struct wire_channel *channel)
{
    struct gate *gate = role_state(process);

    (void)channel;
    for (size_t i = 0; i < gate->slot_count; i++) {
        if (gate->slots[i] != NULL)
            gate_client_peer_came(gate->slots[i]);
    }
}

static void on_peer_lost(struct role_process *process, struct wire_channel *channel)
{
    struct gate *gate = role_state(process);

    for (size_t i = 0; i < gate->slot_count; i++) {
        if (gate->slots[i] != NULL)
            gate_client_peer_lost(gate->slots[i], wire_channel_peer(channel));
    }
}

static void on_reload(struct role_process *process)
{
    struct gate *gate = role_state(process);
    struct task task;

    task_init(&task, clock_now_ms());
    if (net_tls_replace(gate->tls, &task, role_certificate_pem(process), role_key_pem(process)) !=
        ERR_OK)
        log_failure(role_log(process), "reloading the certificate", &task);
    task_done(&task);
}

static void on_stop_timer(void *owner)
{
    struct gate *gate = owner;

    net_loop_stop(role_loop(gate->process));
}

static void on_stop(struct role_process *process, int64_t grace_ms)
{
    struct gate *gate = role_state(process);

    if (gate->is_stopping)
        return;
    gate->is_stopping = true;
    for (size_t i = 0; i < gate->listener_count; i++)
        net_listener_free(&gate->listeners[i].listener);
    for (size_t i = 0; i < gate->slot_count; i++) {
        if (gate->slots[i] != NULL)
            gate_client_bye(gate->slots[i]);
    }
    gate->stop_timer = net_timer_new(role_loop(process), on_stop_timer, gate);
    net_timer_start(gate->stop_timer, gate->client_count == 0 ? 0 : 2 * grace_ms);
}

const struct role role_gate = {
    .kind = WIRE_ROLE_GATE,
    .setup = setup,
    .sandbox = sandbox,
    .start = start,
    .on_peer = on_peer,
    .on_message = on_message,
    .on_peer_lost = on_peer_lost,
    .on_reload = on_reload,
    .on_stop = on_stop,
    .is_per_core = true,
};
