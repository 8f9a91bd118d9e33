/* The far ends of a store's channels, and the store between them. */
#include "store/fixture.h"

#include "base/file.h"
#include "base/memory.h"
#include "net/run_for.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t status_of(const struct wire_message *message)
{
    if (message->type == WIRE_DELIVER_REPLY)
        return message->body.deliver_reply.status;
    if (message->type == WIRE_SESSION_OPEN_REPLY)
        return message->body.session_open_reply.status;
    if (message->type == WIRE_SESSION_HIBERNATE_REPLY)
        return message->body.session_hibernate_reply.status;
    if (message->type == WIRE_MAILBOX_SLEEPERS)
        return message->body.mailbox_sleepers.is_watched;
    if (message->type == WIRE_SESSION_WAKE)
        return message->body.session_wake.status;
    if (message->type == WIRE_JOB_REPLY)
        return message->body.job_reply.status;
    if (message->type == WIRE_MAILBOX_CREATE_REPLY)
        return message->body.mailbox_create_reply.status;
    if (message->type == WIRE_BACKUP_PUT_REPLY)
        return message->body.backup_put_reply.status;
    if (message->type == WIRE_BACKUP_GET_REPLY)
        return message->body.backup_get_reply.status;
    if (message->type == WIRE_MAILBOX_REMOVE_REPLY)
        return message->body.mailbox_remove_reply.status;
    return WIRE_OK;
}

static void far_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct fixture_peer *peer = owner;
    struct fixture_seen *seen = &peer->seen[peer->seen_count++];

    (void)channel;
    assert_true(peer->seen_count <= FIXTURE_SEEN_MAX);
    *seen = (struct fixture_seen){message->type, message->tag, status_of(message), -1};
    if (message->fd_count > 0) {
        seen->fd = message->fds[0];
        message->fds[0] = -1;
    }
}

static void far_close(void *owner, struct wire_channel *channel)
{
    struct fixture_peer *peer = owner;

    (void)channel;
    peer->is_closed = true;
    wire_channel_free(&peer->far);
}

static const struct wire_channel_events far_events = {far_message, far_close};

static void near_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    store_message(((struct fixture *)owner)->store, channel, message);
}

static void near_close(void *owner, struct wire_channel *channel)
{
    (void)owner;
    (void)channel;
}

static const struct wire_channel_events near_events = {near_message, near_close};

static void connect_peer(struct fixture *f, struct fixture_peer *peer, enum wire_role role)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    peer->far =
        wire_channel_new(f->loop, pair[0], role, WIRE_ROLE_STORE, &far_events, peer, &f->log);
    peer->near =
        wire_channel_new(f->loop, pair[1], WIRE_ROLE_STORE, role, &near_events, f, &f->log);
}

void fixture_turn(struct fixture *f)
{
    net_run_for(f->loop, 5);
}

int fixture_set_up(void **state)
{
    struct fixture *f = NEW(struct fixture);

    f->loop = net_loop_new();
    f->log = (struct log){.level = LOG_LEVEL_ERROR, .fd = STDERR_FILENO, .role = "test"};
    f->mailbox = id_random();
    f->session = id_random();
    f->store = store_new(f->loop, &f->log);
    connect_peer(f, &f->smtp, WIRE_ROLE_SMTP);
    connect_peer(f, &f->gate, WIRE_ROLE_GATE);
    connect_peer(f, &f->keeper, WIRE_ROLE_KEEPER);
    connect_peer(f, &f->nursery, WIRE_ROLE_NURSERY);
    connect_peer(f, &f->sealer, WIRE_ROLE_SEALER);
    connect_peer(f, &f->archivist, WIRE_ROLE_ARCHIVIST);
    store_set_peer(f->store, WIRE_ROLE_KEEPER, f->keeper.near);
    store_set_peer(f->store, WIRE_ROLE_NURSERY, f->nursery.near);
    store_set_peer(f->store, WIRE_ROLE_SEALER, f->sealer.near);
    store_set_peer(f->store, WIRE_ROLE_ARCHIVIST, f->archivist.near);
    *state = f;
    return 0;
}

static void free_peer(struct fixture_peer *peer)
{
    wire_channel_free(&peer->far);
    wire_channel_free(&peer->near);
    for (size_t i = 0; i < peer->seen_count; i++)
        fd_close(&peer->seen[i].fd);
}

int fixture_tear_down(void **state)
{
    struct fixture *f = *state;

    store_free(&f->store);
    free_peer(&f->smtp);
    free_peer(&f->gate);
    free_peer(&f->keeper);
    free_peer(&f->nursery);
    free_peer(&f->sealer);
    free_peer(&f->archivist);
    free_peer(&f->box);
    net_loop_free(&f->loop);
    mem_free(&f);
    return 0;
}

void fixture_send(struct fixture_peer *from, enum wire_type type, uint64_t tag, const void *body,
                  bool with_fd)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(wire_send(from->far, type, tag, body, pair, with_fd ? 1 : 0), ERR_OK);
    fd_close(&pair[0]);
    fd_close(&pair[1]);
}

void fixture_expect(const struct fixture_peer *peer, enum wire_type type, size_t count)
{
    assert_int_equal(peer->seen_count, count);
    assert_int_equal(peer->seen[count - 1].type, type);
}

void fixture_deliver(struct fixture *f, uint64_t tag)
{
    struct wire_deliver body = {.mailbox = f->mailbox, .sender = STR("a@example.org")};

    fixture_send(&f->smtp, WIRE_DELIVER, tag, &body, true);
}

void fixture_open_session(struct fixture *f, uint64_t tag)
{
    struct wire_session_open body = {
        .session = f->session, .mailbox = f->mailbox, .tag = STR("a1")};

    fixture_send(&f->gate, WIRE_SESSION_OPEN, tag, &body, true);
}

void fixture_start_box(struct fixture *f)
{
    struct fixture_seen *spawn = &f->nursery.seen[f->nursery.seen_count - 1];

    assert_int_equal(spawn->type, WIRE_MAILBOX_SPAWN);
    f->box.seen_count = 0;
    f->box.is_closed = false;
    f->box.far = wire_channel_new(f->loop, spawn->fd, WIRE_ROLE_MAILBOX, WIRE_ROLE_STORE,
                                  &far_events, &f->box, &f->log);
    spawn->fd = -1;
}

void fixture_release(struct fixture *f)
{
    struct wire_lane_release_reply body = {.mailbox = f->mailbox};

    fixture_send(&f->sealer, WIRE_LANE_RELEASE_REPLY, 0, &body, false);
}

void fixture_opened(struct fixture *f, enum wire_status status)
{
    struct wire_mailbox_opened body = {.mailbox = f->mailbox, .status = status};

    fixture_send(&f->box, WIRE_MAILBOX_OPENED, 0, &body, false);
}

void fixture_start_process(struct fixture *f, enum wire_status status)
{
    fixture_release(f);
    fixture_turn(f);
    fixture_start_box(f);
    fixture_opened(f, status);
    fixture_turn(f);
}

void fixture_end_process(struct fixture *f)
{
    wire_channel_free(&f->box.far);
    fixture_turn(f);
}

void fixture_make_live(struct fixture *f)
{
    fixture_open_session(f, 1);
    fixture_turn(f);
    fixture_start_process(f, WIRE_OK);
    fixture_expect(&f->box, WIRE_SESSION_OPEN, 1);
}

static void note_done(void *owner)
{
    *(bool *)owner = true;
}

void fixture_stop(struct fixture *f)
{
    store_stop(f->store, note_done, &f->is_done);
}
