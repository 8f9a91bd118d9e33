/*
 * Clients that sleep: the mailbox process gave their session's state to us and may be gone.
 * mailbox/hibernate.c has the whole course of it, and what a kill leaves at each step.
 *
 *   CARRYING -> DOZING   gate_hibernate_offer, when all that was sent on the stream is in the
 *                        state
 *   DOZING -> ASLEEP     gate_hibernate_asleep: the stream's end; until then its output goes out
 *   ASLEEP -> CARRYING   gate_hibernate_resume: the client spoke, or the store says that
 *                        something happened. The client's bytes go into the new stream at once,
 *                        and wait there for the process that will read them.
 */
#include "role/gate_client.h"

#include "base/clock.h"

#include <sys/socket.h>
#include <unistd.h>

/* A client that speaks again within so many times `hibernate_after` would better not have slept. */
enum { SHORT_SLEEP_FACTOR = 2 };

static bool may_sleep(const struct gate_client *client, const struct wire_session_hibernate *body)
{
    return client->state == GATE_CLIENT_CARRYING && id_equal(&client->session, &body->session) &&
           client->sent_bytes == body->consumed_bytes && !client->is_input_over &&
           body->state.len > 0 && body->state.len <= WIRE_SLEEP_STATE_MAX &&
           !client->gate->is_stopping;
}

void gate_hibernate_offer(struct gate *gate, struct gate_client *client,
                          const struct wire_session_hibernate *body)
{
    struct wire_channel *store = role_peer(gate->process, WIRE_ROLE_STORE, 0);
    struct wire_session_hibernate_reply reply = {
        .session = body->session, .mailbox = body->mailbox, .status = WIRE_UNAVAILABLE};

    if (client != NULL && may_sleep(client, body))
        reply.status = WIRE_OK;
    if (store == NULL ||
        wire_send(store, WIRE_SESSION_HIBERNATE_REPLY, 0, &reply, NULL, 0) != ERR_OK ||
        reply.status != WIRE_OK)
        return;
    buf_reset(&client->sleep_state);
    buf_put(&client->sleep_state, body->state);
    client->state = GATE_CLIENT_DOZING;
    client->is_woken = client->is_expelled = false;
    client->said_bytes = body->said_bytes;
    /* What looked like last words was a mail's: the session goes on. So it may be with the words of
     * compression, which may have been missed, too. */
    client->said_bye = false;
    client->is_compressed = body->is_compressed;
    net_connection_want_input(client->connection, false);
}

void gate_hibernate_asleep(struct gate_client *client)
{
    client->state = GATE_CLIENT_ASLEEP;
    client->slept_ms = clock_monotonic_ms();
    client->heard_bytes = 0;
    if (client->gate->is_stopping || client->is_expelled)
        gate_client_lost_mailbox(client);
    else if (client->is_woken)
        (void)gate_hibernate_resume(client, false);
    else
        net_connection_want_input(client->connection, true);
}

static bool is_restless(const struct gate_client *client, bool has_spoken)
{
    const struct config *config = role_config(client->gate->process);

    return has_spoken && clock_monotonic_ms() - client->slept_ms <
                             SHORT_SLEEP_FACTOR * (int64_t)config->hibernate_after_ms;
}

bool gate_hibernate_resume(struct gate_client *client, bool has_spoken)
{
    struct wire_channel *store = role_peer(client->gate->process, WIRE_ROLE_STORE, 0);
    struct wire_session_open body = {
        .session = client->session,
        .mailbox = client->mailbox,
        .service = client->kind->service,
        .is_secure = net_connection_is_secure(client->connection),
        .state = buf_str(&client->sleep_state),
        .is_restless = is_restless(client, has_spoken),
        .pass = str_make(client->pass, sizeof(client->pass)),
    };
    enum err err;
    int fds[2];

    if (store == NULL ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
        gate_client_lost_mailbox(client);
        return false;
    }
    err = wire_send(store, WIRE_SESSION_OPEN, client->tag, &body, &fds[1], 1);
    close(fds[1]);
    if (err != ERR_OK) {
        close(fds[0]);
        gate_client_lost_mailbox(client);
        return false;
    }
    buf_free(&client->sleep_state);
    gate_client_carry(client, fds[0]);
    return true;
}

void gate_hibernate_wake(struct gate_client *client, const struct wire_session_wake *body)
{
    bool is_asleep = client->state == GATE_CLIENT_ASLEEP;

    if (!id_equal(&client->session, &body->session) ||
        (!is_asleep && client->state != GATE_CLIENT_DOZING))
        return; /* it woke by itself */
    if (!is_asleep && body->status != WIRE_OK)
        client->is_expelled = true; /* its process may be saying why */
    else if (!is_asleep)
        client->is_woken = true;
    else if (body->status != WIRE_OK)
        gate_client_lost_mailbox(client);
    else
        (void)gate_hibernate_resume(client, false);
}

void gate_hibernate_store_lost(struct gate_client *client)
{
    if (client->state == GATE_CLIENT_ASLEEP)
        gate_client_lost_mailbox(client);
    else if (client->state == GATE_CLIENT_DOZING)
        client->is_woken = true; /* which then meets no store, or a new one */
}
