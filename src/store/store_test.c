/* Routing, against peers that speak over real channels: the arrows of store.h, one test each. */
#include "store/store.h"

#include "base/file.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { SEEN_MAX = 2048 };

struct seen {
    enum wire_type type;
    uint64_t tag;
    uint64_t status; /* of a reply; of SLEEPERS: is_watched */
    int fd; /* own */
};

/* One peer of the store: the far end of a channel, and all it was sent. */
struct peer {
    struct wire_channel *far;  /* own; ours */
    struct wire_channel *near; /* own; the store's */
    struct seen seen[SEEN_MAX];
    size_t seen_count;
    bool is_closed;
};

struct fixture {
    struct net_loop *loop;
    struct log log;
    struct store *store;
    struct peer smtp, gate, keeper, nursery, sealer, archivist, box;
    struct id mailbox, session;
    bool is_done;
};

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
    struct peer *peer = owner;
    struct seen *seen = &peer->seen[peer->seen_count++];

    (void)channel;
    assert_true(peer->seen_count <= SEEN_MAX);
    *seen = (struct seen){message->type, message->tag, status_of(message), -1};
    if (message->fd_count > 0) {
        seen->fd = message->fds[0];
        message->fds[0] = -1;
    }
}

static void far_close(void *owner, struct wire_channel *channel)
{
    struct peer *peer = owner;

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

static void connect_peer(struct fixture *f, struct peer *peer, enum wire_role role)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    peer->far =
        wire_channel_new(f->loop, pair[0], role, WIRE_ROLE_STORE, &far_events, peer, &f->log);
    peer->near =
        wire_channel_new(f->loop, pair[1], WIRE_ROLE_STORE, role, &near_events, f, &f->log);
}

/* The mailbox process: the far end of the channel that came with SPAWN. */
static void start_box(struct fixture *f)
{
    struct seen *spawn = &f->nursery.seen[f->nursery.seen_count - 1];

    assert_int_equal(spawn->type, WIRE_MAILBOX_SPAWN);
    f->box.seen_count = 0;
    f->box.is_closed = false;
    f->box.far = wire_channel_new(f->loop, spawn->fd, WIRE_ROLE_MAILBOX, WIRE_ROLE_STORE,
                                  &far_events, &f->box, &f->log);
    spawn->fd = -1;
}

static void stop_loop(void *owner)
{
    net_loop_stop(owner);
}

static void turn(struct fixture *f)
{
    struct net_timer *timer = net_timer_new(f->loop, stop_loop, f->loop);

    net_timer_start(timer, 5);
    net_loop_run(f->loop);
    net_timer_free(&timer);
}

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
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
}

static void free_peer(struct peer *peer)
{
    wire_channel_free(&peer->far);
    wire_channel_free(&peer->near);
    for (size_t i = 0; i < peer->seen_count; i++)
        fd_close(&peer->seen[i].fd);
}

static void teardown(struct fixture *f)
{
    store_free(&f->store);
    free_peer(&f->smtp);
    free_peer(&f->gate);
    free_peer(&f->keeper);
    free_peer(&f->nursery);
    free_peer(&f->sealer);
    free_peer(&f->archivist);
    free_peer(&f->box);
    net_loop_free(&f->loop);
}

static void send_message(struct peer *from, enum wire_type type, uint64_t tag, const void *body,
                         bool with_fd)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(wire_send(from->far, type, tag, body, pair, with_fd ? 1 : 0), ERR_OK);
    fd_close(&pair[0]);
    fd_close(&pair[1]);
}

static void deliver(struct fixture *f, uint64_t tag)
{
    struct wire_deliver body = {.mailbox = f->mailbox, .sender = STR("a@example.org")};

    send_message(&f->smtp, WIRE_DELIVER, tag, &body, true);
}

static void open_session(struct fixture *f, uint64_t tag)
{
    struct wire_session_open body = {
        .session = f->session, .mailbox = f->mailbox, .tag = STR("a1")};

    send_message(&f->gate, WIRE_SESSION_OPEN, tag, &body, true);
}

static void release(struct fixture *f)
{
    struct wire_lane_release_reply body = {.mailbox = f->mailbox};

    send_message(&f->sealer, WIRE_LANE_RELEASE_REPLY, 0, &body, false);
}

static void opened(struct fixture *f, enum wire_status status)
{
    struct wire_mailbox_opened body = {.mailbox = f->mailbox, .status = status};

    send_message(&f->box, WIRE_MAILBOX_OPENED, 0, &body, false);
}

static void expect_last(const struct peer *peer, enum wire_type type, size_t count)
{
    assert_int_equal(peer->seen_count, count);
    assert_int_equal(peer->seen[count - 1].type, type);
}

/* To LIVE, with a session. */
static void make_live(struct fixture *f)
{
    open_session(f, 1);
    turn(f);
    release(f);
    turn(f);
    start_box(f);
    opened(f, WIRE_OK);
    turn(f);
    expect_last(&f->box, WIRE_SESSION_OPEN, 1);
}

static void answer_delivery(struct peer *from, uint64_t tag, enum wire_status status)
{
    struct wire_deliver_reply reply = {.status = status};

    send_message(from, WIRE_DELIVER_REPLY, tag, &reply, false);
}

static void test_absent_owner_is_sealed(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    deliver(&f, 77);
    turn(&f);
    expect_last(&f.sealer, WIRE_DELIVER, 1);
    assert_true(f.sealer.seen[0].fd >= 0);
    answer_delivery(&f.sealer, f.sealer.seen[0].tag, WIRE_DISK_FULL);
    turn(&f);
    expect_last(&f.smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f.smtp.seen[0].tag, 77);
    assert_int_equal(f.smtp.seen[0].status, WIRE_DISK_FULL);
    teardown(&f);
}

/* It is being restarted: nobody has to send again because of that. */
static void test_delivery_waits_for_a_sealer(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    store_set_peer(f.store, WIRE_ROLE_SEALER, NULL);
    deliver(&f, 77);
    deliver(&f, 78);
    turn(&f);
    assert_int_equal(f.smtp.seen_count, 0);
    store_asker_gone(f.store, f.gate.near);
    store_set_peer(f.store, WIRE_ROLE_SEALER, f.sealer.near);
    turn(&f);
    expect_last(&f.sealer, WIRE_DELIVER, 2);
    assert_true(f.sealer.seen[0].fd >= 0);
    answer_delivery(&f.sealer, f.sealer.seen[0].tag, WIRE_OK);
    turn(&f);
    expect_last(&f.smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f.smtp.seen[0].tag, 77);
    /* What the second one was asked is in flight when it dies: nobody knows whether it was done. */
    store_set_peer(f.store, WIRE_ROLE_SEALER, NULL);
    turn(&f);
    expect_last(&f.smtp, WIRE_DELIVER_REPLY, 2);
    assert_int_equal(f.smtp.seen[1].status, WIRE_UNAVAILABLE);
    deliver(&f, 79); /* and is freed with the store */
    turn(&f);
    teardown(&f);
}

/* What the kernel does when the store has no descriptor free: the message comes, its file does not. */
static void test_request_without_its_descriptor_is_answered(void **state)
{
    struct fixture f;
    struct wire_deliver mail;
    struct wire_session_open session;

    (void)state;
    setup(&f);
    mail = (struct wire_deliver){.mailbox = f.mailbox, .sender = STR("a@example.org")};
    session = (struct wire_session_open){.mailbox = f.mailbox, .tag = STR("a1")};
    send_message(&f.smtp, WIRE_DELIVER, 7, &mail, false);
    send_message(&f.gate, WIRE_SESSION_OPEN, 8, &session, false);
    turn(&f);
    expect_last(&f.smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f.smtp.seen[0].status, WIRE_UNAVAILABLE);
    expect_last(&f.gate, WIRE_SESSION_OPEN_REPLY, 1);
    assert_int_equal(f.gate.seen[0].status, WIRE_UNAVAILABLE);
    assert_int_equal(f.sealer.seen_count, 0);
    make_live(&f);
    teardown(&f);
}

static void test_session_takes_the_drop_box_over_first(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    open_session(&f, 5);
    turn(&f);
    expect_last(&f.sealer, WIRE_LANE_RELEASE, 1);
    assert_int_equal(f.nursery.seen_count, 0);
    deliver(&f, 6); /* waits: neither the sealer's any more, nor the mailbox's yet */
    turn(&f);
    assert_int_equal(f.sealer.seen_count, 1);
    release(&f);
    turn(&f);
    start_box(&f);
    turn(&f);
    assert_int_equal(f.box.seen_count, 0);
    opened(&f, WIRE_OK);
    turn(&f);
    expect_last(&f.box, WIRE_DELIVER, 2);
    assert_int_equal(f.box.seen[0].type, WIRE_SESSION_OPEN);
    answer_delivery(&f.box, f.box.seen[1].tag, WIRE_OK);
    turn(&f);
    expect_last(&f.smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f.smtp.seen[0].tag, 6);
    teardown(&f);
}

static void test_mailbox_that_does_not_open_loses_no_mail(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    open_session(&f, 5);
    deliver(&f, 6);
    turn(&f);
    release(&f);
    turn(&f);
    start_box(&f);
    opened(&f, WIRE_DAMAGED);
    turn(&f);
    expect_last(&f.gate, WIRE_SESSION_OPEN_REPLY, 1);
    assert_int_equal(f.gate.seen[0].status, WIRE_DAMAGED);
    expect_last(&f.sealer, WIRE_DELIVER, 2);
    teardown(&f);
}

static void test_death_of_the_process_is_answered(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    make_live(&f);
    deliver(&f, 8);
    turn(&f);
    expect_last(&f.box, WIRE_DELIVER, 2);
    wire_channel_free(&f.box.far);
    turn(&f);
    expect_last(&f.smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f.smtp.seen[0].status, WIRE_UNAVAILABLE);
    deliver(&f, 9); /* absent again */
    turn(&f);
    expect_last(&f.sealer, WIRE_DELIVER, 2);
    teardown(&f);
}

static void test_mail_between_stop_and_end_is_kept(void **state)
{
    struct fixture f;
    struct wire_mailbox_idle idle;
    struct wire_session_open_reply reply = {.status = WIRE_OK};

    (void)state;
    setup(&f);
    make_live(&f);
    idle = (struct wire_mailbox_idle){.mailbox = f.mailbox};
    send_message(&f.box, WIRE_MAILBOX_IDLE, 0, &idle, false);
    turn(&f);
    assert_int_equal(f.box.seen_count, 1); /* not yet: the session's answer is outstanding */
    send_message(&f.box, WIRE_SESSION_OPEN_REPLY, f.box.seen[0].tag, &reply, false);
    send_message(&f.box, WIRE_MAILBOX_IDLE, 0, &idle, false);
    turn(&f);
    expect_last(&f.box, WIRE_STOP, 2);
    deliver(&f, 9);
    turn(&f);
    assert_int_equal(f.box.seen_count, 2);
    wire_channel_free(&f.box.far);
    turn(&f);
    expect_last(&f.sealer, WIRE_DELIVER, 2);
    teardown(&f);
}

static void test_session_that_comes_while_ending_starts_anew(void **state)
{
    struct fixture f;
    struct wire_mailbox_expel expel;

    (void)state;
    setup(&f);
    make_live(&f);
    expel = (struct wire_mailbox_expel){.mailbox = f.mailbox};
    send_message(&f.keeper, WIRE_MAILBOX_EXPEL, 0, &expel, false);
    turn(&f);
    expect_last(&f.box, WIRE_STOP, 2);
    open_session(&f, 2);
    turn(&f);
    wire_channel_free(&f.box.far);
    turn(&f);
    expect_last(&f.sealer, WIRE_LANE_RELEASE, 2);
    teardown(&f);
}

static void test_new_mailbox_is_answered_when_it_is_open(void **state)
{
    struct fixture f;
    struct wire_mailbox_create create;

    (void)state;
    setup(&f);
    create = (struct wire_mailbox_create){.mailbox = f.mailbox};
    send_message(&f.keeper, WIRE_MAILBOX_CREATE, 3, &create, false);
    turn(&f);
    assert_int_equal(f.sealer.seen_count, 0); /* there is no drop box to let go of */
    start_box(&f);
    assert_int_equal(f.keeper.seen_count, 0);
    opened(&f, WIRE_OK);
    turn(&f);
    expect_last(&f.keeper, WIRE_MAILBOX_CREATE_REPLY, 1);
    assert_int_equal(f.keeper.seen[0].status, WIRE_OK);
    expect_last(&f.box, WIRE_STOP, 1);
    /* The file is there now: mail that comes while its first process ends is sealed. */
    deliver(&f, 9);
    turn(&f);
    wire_channel_free(&f.box.far);
    turn(&f);
    expect_last(&f.sealer, WIRE_DELIVER, 1);
    assert_int_equal(f.smtp.seen_count, 0);
    teardown(&f);
}

static void test_removal_ends_process_sealer_and_files_in_order(void **state)
{
    struct fixture f;
    struct wire_mailbox_remove remove;
    struct wire_mailbox_remove_reply reply;

    (void)state;
    setup(&f);
    make_live(&f);
    remove = (struct wire_mailbox_remove){.mailbox = f.mailbox};
    reply = (struct wire_mailbox_remove_reply){.mailbox = f.mailbox, .status = WIRE_OK};
    send_message(&f.keeper, WIRE_MAILBOX_REMOVE, 4, &remove, false);
    turn(&f);
    expect_last(&f.box, WIRE_STOP, 2);
    deliver(&f, 9);
    turn(&f);
    assert_int_equal(f.smtp.seen[0].status, WIRE_UNKNOWN);
    wire_channel_free(&f.box.far);
    turn(&f);
    expect_last(&f.sealer, WIRE_LANE_RELEASE, 2);
    assert_int_equal(f.nursery.seen_count, 1);
    release(&f);
    turn(&f);
    expect_last(&f.nursery, WIRE_MAILBOX_REMOVE, 2);
    send_message(&f.nursery, WIRE_MAILBOX_REMOVE_REPLY, 0, &reply, false);
    turn(&f);
    expect_last(&f.keeper, WIRE_MAILBOX_REMOVE_REPLY, 1);
    assert_int_equal(f.keeper.seen[0].tag, 4);
    teardown(&f);
}

static void test_sealer_that_dies_has_let_go(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    deliver(&f, 1);
    turn(&f);
    open_session(&f, 2);
    turn(&f);
    store_set_peer(f.store, WIRE_ROLE_SEALER, NULL);
    turn(&f);
    assert_int_equal(f.smtp.seen[0].status, WIRE_UNAVAILABLE);
    expect_last(&f.nursery, WIRE_MAILBOX_SPAWN, 1);
    teardown(&f);
}

static void test_queue_is_bounded(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    open_session(&f, 1);
    turn(&f);
    for (uint64_t i = 0; i < STORE_QUEUE_MAX; i++) {
        deliver(&f, i);
        if (i % 50 == 0)
            turn(&f);
    }
    turn(&f);
    turn(&f);
    expect_last(&f.smtp, WIRE_DELIVER_REPLY, 1); /* the session waits too: one too many */
    assert_int_equal(f.smtp.seen[0].status, WIRE_UNAVAILABLE);
    teardown(&f);
}

static void note_done(void *owner)
{
    *(bool *)owner = true;
}

static void test_stop_waits_for_every_process(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    make_live(&f);
    store_stop(f.store, note_done, &f.is_done);
    turn(&f);
    expect_last(&f.box, WIRE_STOP, 2);
    assert_false(f.is_done);
    wire_channel_free(&f.box.far);
    turn(&f);
    assert_true(f.is_done);
    teardown(&f);
}

/* ---- Sessions that sleep ---- */

enum { FOLDER = 7, GATE_TAG = 1 };

static void answer_open(struct fixture *f, enum wire_status status)
{
    struct wire_session_open_reply reply = {.status = status};

    send_message(&f->box, WIRE_SESSION_OPEN_REPLY, f->box.seen[f->box.seen_count - 1].tag, &reply,
                 false);
    turn(f);
}

/* The process offers its session; the gate was asked. */
static void offer(struct fixture *f, int64_t watched_folder)
{
    struct wire_session_hibernate body = {.session = f->session,
                                          .mailbox = f->mailbox,
                                          .consumed_bytes = 12,
                                          .watched_folder = watched_folder,
                                          .state = STR("state")};

    send_message(&f->box, WIRE_SESSION_HIBERNATE, 0, &body, false);
    turn(f);
}

static void answer_offer(struct fixture *f, enum wire_status status)
{
    struct wire_session_hibernate_reply body = {
        .session = f->session, .mailbox = f->mailbox, .status = status};

    send_message(&f->gate, WIRE_SESSION_HIBERNATE_REPLY, 0, &body, false);
    turn(f);
}

static void changed(struct fixture *f, int64_t folder_id)
{
    struct wire_mailbox_changed body = {.mailbox = f->mailbox, .folder_id = folder_id};

    send_message(&f->box, WIRE_MAILBOX_CHANGED, 0, &body, false);
    turn(f);
}

static void end_process(struct fixture *f)
{
    wire_channel_free(&f->box.far);
    turn(f);
}

/* To DORMANT, with one sleeper; everybody's notes are emptied. */
static void make_dormant(struct fixture *f, int64_t watched_folder)
{
    struct wire_mailbox_idle idle = {.mailbox = f->mailbox};

    make_live(f);
    answer_open(f, WIRE_OK);
    offer(f, watched_folder);
    expect_last(&f->gate, WIRE_SESSION_HIBERNATE, 2);
    assert_int_equal(f->gate.seen[1].tag, GATE_TAG);
    answer_offer(f, WIRE_OK);
    expect_last(&f->box, WIRE_SESSION_HIBERNATE_REPLY, 2);
    assert_int_equal(f->box.seen[1].status, WIRE_OK);
    send_message(&f->box, WIRE_MAILBOX_IDLE, 0, &idle, false);
    turn(f);
    expect_last(&f->box, WIRE_STOP, 3);
    end_process(f);
    f->gate.seen_count = f->sealer.seen_count = f->smtp.seen_count = 0;
}

/* The process that comes for it, up to LIVE. */
static void start_again(struct fixture *f)
{
    turn(f);
    expect_last(&f->sealer, WIRE_LANE_RELEASE, 1);
    release(f);
    turn(f);
    start_box(f);
    opened(f, WIRE_OK);
    turn(f);
}

static void test_mail_for_a_sleeper_goes_straight_in(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    make_dormant(&f, FOLDER);
    deliver(&f, 6);
    start_again(&f);
    /* It is told to report before it is given anything to report. */
    expect_last(&f.box, WIRE_DELIVER, 2);
    assert_int_equal(f.box.seen[0].type, WIRE_MAILBOX_SLEEPERS);
    assert_true(f.box.seen[0].status);
    changed(&f, FOLDER + 1); /* somebody else's folder */
    assert_int_equal(f.gate.seen_count, 0);
    changed(&f, FOLDER);
    expect_last(&f.gate, WIRE_SESSION_WAKE, 1);
    assert_int_equal(f.gate.seen[0].tag, GATE_TAG);
    assert_int_equal(f.gate.seen[0].status, WIRE_OK);
    changed(&f, FOLDER); /* once is enough */
    assert_int_equal(f.gate.seen_count, 1);
    open_session(&f, GATE_TAG);
    turn(&f);
    expect_last(&f.box, WIRE_SESSION_OPEN, 3);
    answer_open(&f, WIRE_OK);
    changed(&f, FOLDER); /* awake it hears by itself */
    expect_last(&f.gate, WIRE_SESSION_OPEN_REPLY, 2);
    teardown(&f);
}

static void test_who_does_not_watch_sleeps_on(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    make_dormant(&f, 0);
    deliver(&f, 6);
    start_again(&f);
    expect_last(&f.box, WIRE_DELIVER, 2);
    assert_int_equal(f.box.seen[0].type, WIRE_MAILBOX_SLEEPERS);
    assert_false(f.box.seen[0].status);
    changed(&f, FOLDER);
    changed(&f, -1);
    assert_int_equal(f.gate.seen_count, 0);
    teardown(&f);
}

static void test_a_sleeper_that_speaks_starts_a_process(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    make_dormant(&f, 0);
    open_session(&f, GATE_TAG);
    start_again(&f);
    expect_last(&f.box, WIRE_SESSION_OPEN, 2);
    teardown(&f);
}

static void test_a_refused_offer_leaves_all_as_it_was(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    make_live(&f);
    answer_open(&f, WIRE_OK);
    offer(&f, FOLDER);
    answer_offer(&f, WIRE_UNAVAILABLE);
    expect_last(&f.box, WIRE_SESSION_HIBERNATE_REPLY, 2);
    assert_int_equal(f.box.seen[1].status, WIRE_UNAVAILABLE);
    changed(&f, FOLDER);
    expect_last(&f.gate, WIRE_SESSION_HIBERNATE, 2);
    /* One that the store does not know is refused by the store itself. */
    f.session = id_random();
    offer(&f, FOLDER);
    expect_last(&f.box, WIRE_SESSION_HIBERNATE_REPLY, 3);
    assert_int_equal(f.box.seen[2].status, WIRE_UNAVAILABLE);
    teardown(&f);
}

static void test_a_sleeper_that_closes_is_forgotten(void **state)
{
    struct fixture f;
    struct wire_session_close close;

    (void)state;
    setup(&f);
    make_dormant(&f, FOLDER);
    close = (struct wire_session_close){.session = f.session, .mailbox = f.mailbox};
    send_message(&f.gate, WIRE_SESSION_CLOSE, 0, &close, false);
    turn(&f);
    deliver(&f, 6); /* nobody's process: the owner is away */
    turn(&f);
    expect_last(&f.sealer, WIRE_DELIVER, 1);
    teardown(&f);
}

/* The process dies before the gate's answer: what it changed last it may not have told. */
static void test_death_of_the_process_wakes_who_watches(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    make_live(&f);
    answer_open(&f, WIRE_OK);
    offer(&f, FOLDER);
    end_process(&f);
    answer_offer(&f, WIRE_OK);
    expect_last(&f.gate, WIRE_SESSION_WAKE, 3);
    assert_int_equal(f.gate.seen[2].status, WIRE_OK);
    f.sealer.seen_count = 0;
    open_session(&f, GATE_TAG);
    start_again(&f);
    /* The next one dies too, with a sleeper that was asleep before it began. */
    answer_open(&f, WIRE_OK);
    offer(&f, FOLDER);
    answer_offer(&f, WIRE_OK);
    f.gate.seen_count = 0;
    end_process(&f);
    expect_last(&f.gate, WIRE_SESSION_WAKE, 1);
    teardown(&f);
}

static void test_a_mailbox_that_does_not_open_ends_its_sleepers(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    make_dormant(&f, FOLDER);
    deliver(&f, 6);
    turn(&f);
    release(&f);
    turn(&f);
    start_box(&f);
    opened(&f, WIRE_UNAVAILABLE); /* the keeper restarted: there is no key */
    turn(&f);
    expect_last(&f.gate, WIRE_SESSION_WAKE, 1);
    assert_int_equal(f.gate.seen[0].status, WIRE_UNAVAILABLE);
    expect_last(&f.sealer, WIRE_DELIVER, 2);
    end_process(&f);
    deliver(&f, 7);
    turn(&f);
    expect_last(&f.sealer, WIRE_DELIVER, 3);
    teardown(&f);
}

static void test_expelled_sleepers_are_told(void **state)
{
    struct fixture f;
    struct wire_mailbox_expel body;

    (void)state;
    setup(&f);
    make_dormant(&f, 0);
    body = (struct wire_mailbox_expel){.mailbox = f.mailbox};
    send_message(&f.keeper, WIRE_MAILBOX_EXPEL, 0, &body, false);
    turn(&f);
    expect_last(&f.gate, WIRE_SESSION_WAKE, 1);
    assert_int_equal(f.gate.seen[0].status, WIRE_DENIED);
    deliver(&f, 7);
    turn(&f);
    expect_last(&f.sealer, WIRE_DELIVER, 1);
    teardown(&f);
}

/* The client goes while its gate is being asked: the process still gets its answer, or it would
 * never read that stream, nor find its end, again. */
static void test_a_session_that_closes_while_it_is_offered(void **state)
{
    struct fixture f;
    struct wire_session_close close;

    (void)state;
    setup(&f);
    make_live(&f);
    answer_open(&f, WIRE_OK);
    offer(&f, FOLDER);
    close = (struct wire_session_close){.session = f.session, .mailbox = f.mailbox};
    send_message(&f.gate, WIRE_SESSION_CLOSE, 0, &close, false);
    turn(&f);
    answer_offer(&f, WIRE_UNAVAILABLE); /* of a client that is no more */
    expect_last(&f.box, WIRE_SESSION_HIBERNATE_REPLY, 2);
    assert_int_equal(f.box.seen[1].status, WIRE_UNAVAILABLE);
    teardown(&f);
}

/* A process was taken over: it cannot say that somebody else's mail is stored. */
static void test_only_who_was_asked_can_answer(void **state)
{
    struct fixture f;
    struct id live;

    (void)state;
    setup(&f);
    make_live(&f);
    live = f.mailbox;
    f.mailbox = id_random();
    deliver(&f, 8); /* of an absent owner */
    turn(&f);
    expect_last(&f.sealer, WIRE_DELIVER, 2);
    answer_delivery(&f.box, f.sealer.seen[1].tag, WIRE_OK);
    turn(&f);
    assert_int_equal(f.smtp.seen_count, 0);
    answer_delivery(&f.sealer, f.sealer.seen[1].tag, WIRE_DISK_FULL);
    turn(&f);
    expect_last(&f.smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f.smtp.seen[0].status, WIRE_DISK_FULL);
    f.mailbox = live;
    deliver(&f, 9);
    turn(&f);
    expect_last(&f.box, WIRE_DELIVER, 2);
    answer_delivery(&f.sealer, f.box.seen[1].tag, WIRE_OK);
    turn(&f);
    assert_int_equal(f.smtp.seen_count, 1);
    teardown(&f);
}

/* A new password, while a sleeper is on its way to a new process: which would get the key of
 * whoever logs in with that password. */
static void test_an_expelled_session_does_not_come_back(void **state)
{
    struct fixture f;
    struct wire_mailbox_expel body;

    (void)state;
    setup(&f);
    make_dormant(&f, 0);
    open_session(&f, GATE_TAG);
    turn(&f);
    deliver(&f, 7);
    turn(&f);
    body = (struct wire_mailbox_expel){.mailbox = f.mailbox};
    send_message(&f.keeper, WIRE_MAILBOX_EXPEL, 0, &body, false);
    start_again(&f);
    expect_last(&f.box, WIRE_DELIVER, 1); /* mail goes on */
    expect_last(&f.gate, WIRE_SESSION_WAKE, 2);
    assert_int_equal(f.gate.seen[0].type, WIRE_SESSION_OPEN_REPLY);
    assert_int_equal(f.gate.seen[0].status, WIRE_UNAVAILABLE);
    teardown(&f);
}

/* Its aliases lead to another one: who meant it for this one is to ask again. */
static void test_no_mail_for_a_mailbox_that_was_given_up(void **state)
{
    struct fixture f;
    struct wire_mailbox_expel body;

    (void)state;
    setup(&f);
    make_dormant(&f, 0);
    open_session(&f, GATE_TAG);
    turn(&f);
    deliver(&f, 7); /* waits for the process */
    turn(&f);
    body = (struct wire_mailbox_expel){.mailbox = f.mailbox, .is_for_good = true};
    send_message(&f.keeper, WIRE_MAILBOX_EXPEL, 0, &body, false);
    turn(&f);
    expect_last(&f.smtp, WIRE_DELIVER_REPLY, 1);
    assert_int_equal(f.smtp.seen[0].status, WIRE_UNAVAILABLE);
    deliver(&f, 8);
    turn(&f);
    expect_last(&f.smtp, WIRE_DELIVER_REPLY, 2);
    assert_int_equal(f.smtp.seen[1].status, WIRE_UNAVAILABLE);
    for (size_t i = 0; i < f.sealer.seen_count; i++)
        assert_int_not_equal(f.sealer.seen[i].type, WIRE_DELIVER);
    teardown(&f);
}

static void test_a_mailbox_is_removed_under_its_sleepers(void **state)
{
    struct fixture f;
    struct wire_mailbox_remove body;

    (void)state;
    setup(&f);
    make_dormant(&f, FOLDER);
    body = (struct wire_mailbox_remove){.mailbox = f.mailbox};
    send_message(&f.keeper, WIRE_MAILBOX_REMOVE, 9, &body, false);
    turn(&f);
    expect_last(&f.gate, WIRE_SESSION_WAKE, 1);
    expect_last(&f.sealer, WIRE_LANE_RELEASE, 1);
    release(&f);
    turn(&f);
    assert_int_equal(f.nursery.seen[f.nursery.seen_count - 1].type, WIRE_MAILBOX_REMOVE);
    teardown(&f);
}

/* A gate that dies takes its sleepers along, and answers an offer by its death. */
static void test_death_of_the_gate(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    make_live(&f);
    answer_open(&f, WIRE_OK);
    offer(&f, FOLDER);
    store_asker_gone(f.store, f.gate.near);
    turn(&f);
    expect_last(&f.box, WIRE_SESSION_HIBERNATE_REPLY, 2);
    assert_int_equal(f.box.seen[1].status, WIRE_UNAVAILABLE);
    teardown(&f);
    setup(&f);
    make_dormant(&f, FOLDER);
    store_asker_gone(f.store, f.gate.near);
    deliver(&f, 7);
    turn(&f);
    expect_last(&f.sealer, WIRE_DELIVER, 1);
    teardown(&f);
}

static void test_a_stop_waits_for_no_sleeper(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    make_dormant(&f, FOLDER);
    store_stop(f.store, note_done, &f.is_done);
    assert_true(f.is_done);
    teardown(&f);
}

static void ask_job(struct fixture *f, uint64_t tag)
{
    struct wire_job body = {.session = f->session, .mailbox = f->mailbox, .kind = STR("alias check")};

    send_message(&f->keeper, WIRE_JOB, tag, &body, true);
}

static void cancel_job_of(struct fixture *f)
{
    struct wire_job_cancel body = {.session = f->session, .mailbox = f->mailbox};

    send_message(&f->keeper, WIRE_JOB_CANCEL, 0, &body, false);
}

static void reply_job(struct fixture *f, enum wire_status status, bool is_last)
{
    struct wire_job_reply body = {.session = f->session,
                                  .mailbox = f->mailbox,
                                  .status = status,
                                  .json = STR("{}"),
                                  .is_last = is_last};

    send_message(&f->box, WIRE_JOB_REPLY, f->box.seen[0].tag, &body, false);
}

/* To LIVE, with a job that was handed on. */
static void make_busy(struct fixture *f)
{
    ask_job(f, 9);
    turn(f);
    release(f);
    turn(f);
    start_box(f);
    opened(f, WIRE_OK);
    turn(f);
    expect_last(&f->box, WIRE_JOB, 1);
    assert_true(f->box.seen[0].fd >= 0);
}

static void test_a_job_keeps_its_process(void **state)
{
    struct wire_mailbox_idle idle;
    struct fixture f;

    (void)state;
    setup(&f);
    make_busy(&f);
    idle.mailbox = f.mailbox;
    send_message(&f.box, WIRE_MAILBOX_IDLE, 0, &idle, false);
    reply_job(&f, WIRE_OK, false);
    reply_job(&f, WIRE_OK, false);
    turn(&f);
    expect_last(&f.keeper, WIRE_JOB_REPLY, 2); /* how far it is */
    assert_int_equal(f.keeper.seen[1].tag, 9);
    assert_int_equal(f.box.seen_count, 1); /* no STOP */
    reply_job(&f, WIRE_DAMAGED, true);
    reply_job(&f, WIRE_OK, true); /* once is enough */
    turn(&f);
    expect_last(&f.keeper, WIRE_JOB_REPLY, 3);
    assert_int_equal(f.keeper.seen[2].status, WIRE_DAMAGED);
    send_message(&f.box, WIRE_MAILBOX_IDLE, 0, &idle, false);
    turn(&f);
    expect_last(&f.box, WIRE_STOP, 2);
    teardown(&f);
}

static void test_a_job_whose_process_dies(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    make_busy(&f);
    wire_channel_free(&f.box.far);
    turn(&f);
    expect_last(&f.keeper, WIRE_JOB_REPLY, 1);
    assert_int_equal(f.keeper.seen[0].status, WIRE_UNAVAILABLE);
    teardown(&f);
}

static void test_cancelled_jobs(void **state)
{
    enum { WAITING, RUNNING, KEEPER_GONE, CASES };

    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct fixture f;

        setup(&f);
        if (i == WAITING) {
            ask_job(&f, 9);
            turn(&f);
            cancel_job_of(&f);
            turn(&f);
            release(&f);
            turn(&f);
            start_box(&f);
            opened(&f, WIRE_OK);
            turn(&f);
            assert_int_equal(f.box.seen_count, 0);
            expect_last(&f.keeper, WIRE_JOB_REPLY, 1);
            assert_int_equal(f.keeper.seen[0].status, WIRE_UNAVAILABLE);
        } else {
            make_busy(&f);
            if (i == RUNNING)
                cancel_job_of(&f);
            else
                store_set_peer(f.store, WIRE_ROLE_KEEPER, NULL);
            turn(&f);
            expect_last(&f.box, WIRE_JOB_CANCEL, 2);
            reply_job(&f, WIRE_UNAVAILABLE, true);
            turn(&f);
            assert_int_equal(f.keeper.seen_count, i == RUNNING ? 1 : 0);
        }
        teardown(&f);
    }
}

static void test_only_who_asked_cancels_a_job(void **state)
{
    struct wire_job_cancel body;
    struct fixture f;

    (void)state;
    setup(&f);
    make_busy(&f);
    body = (struct wire_job_cancel){.session = id_random(), .mailbox = f.mailbox};
    send_message(&f.keeper, WIRE_JOB_CANCEL, 0, &body, false);
    turn(&f);
    assert_int_equal(f.box.seen_count, 1);
    teardown(&f);
}

/* ---- Backups ---- */

static void put_backup(struct fixture *f, const struct id *mailbox, uint64_t tag, bool with_fd)
{
    struct wire_backup_put body = {
        .mailbox = *mailbox, .name = STR("full/x"), .digest = STR("0123")};

    send_message(&f->box, WIRE_BACKUP_PUT, tag, &body, with_fd);
    turn(f);
}

static void live_box(struct fixture *f)
{
    setup(f);
    make_live(f);
    fd_close(&f->box.seen[0].fd);
    f->box.seen_count = 0;
}

static void test_a_process_names_its_own_backups_only(void **state)
{
    struct id other = id_random(), none = {""};
    struct fixture f;

    (void)state;
    live_box(&f);
    put_backup(&f, &other, 5, true);
    expect_last(&f.box, WIRE_BACKUP_PUT_REPLY, 1);
    assert_int_equal(f.box.seen[0].status, WIRE_DENIED);
    put_backup(&f, &none, 6, true);
    assert_int_equal(f.box.seen[1].status, WIRE_DENIED);
    put_backup(&f, &f.mailbox, 7, false);
    assert_int_equal(f.box.seen[2].status, WIRE_UNAVAILABLE);
    assert_int_equal(f.archivist.seen_count, 0);
    teardown(&f);
}

static void test_backups_go_to_the_archivist_and_answers_back(void **state)
{
    struct wire_backup_put_reply reply = {.status = WIRE_DISK_FULL};
    struct wire_backup_get get = {.name = STR("full/x")};
    struct wire_backup_get_reply got = {.status = WIRE_OK};
    struct fixture f;

    (void)state;
    live_box(&f);
    put_backup(&f, &f.mailbox, 5, true);
    expect_last(&f.archivist, WIRE_BACKUP_PUT, 1);
    assert_true(f.archivist.seen[0].fd >= 0);
    /* Only the archivist is heard. */
    reply.mailbox = f.mailbox;
    send_message(&f.archivist, WIRE_BACKUP_PUT_REPLY, f.archivist.seen[0].tag + 100, &reply, false);
    send_message(&f.archivist, WIRE_BACKUP_PUT_REPLY, f.archivist.seen[0].tag, &reply, false);
    turn(&f);
    expect_last(&f.box, WIRE_BACKUP_PUT_REPLY, 1);
    assert_int_equal(f.box.seen[0].tag, 5);
    assert_int_equal(f.box.seen[0].status, WIRE_DISK_FULL);
    get.mailbox = f.mailbox;
    send_message(&f.box, WIRE_BACKUP_GET, 8, &get, false);
    turn(&f);
    expect_last(&f.archivist, WIRE_BACKUP_GET, 2);
    send_message(&f.archivist, WIRE_BACKUP_GET_REPLY, f.archivist.seen[1].tag, &got, true);
    turn(&f);
    expect_last(&f.box, WIRE_BACKUP_GET_REPLY, 2);
    assert_int_equal(f.box.seen[1].tag, 8);
    assert_true(f.box.seen[1].fd >= 0);
    teardown(&f);
}

static void test_backups_when_one_side_goes(void **state)
{
    struct wire_backup_put_reply reply = {.status = WIRE_OK};
    struct fixture f;

    (void)state;
    live_box(&f);
    put_backup(&f, &f.mailbox, 5, true);
    store_set_peer(f.store, WIRE_ROLE_ARCHIVIST, NULL);
    turn(&f);
    expect_last(&f.box, WIRE_BACKUP_PUT_REPLY, 1);
    assert_int_equal(f.box.seen[0].status, WIRE_UNAVAILABLE);
    put_backup(&f, &f.mailbox, 6, true);
    assert_int_equal(f.box.seen[1].status, WIRE_UNAVAILABLE);
    store_set_peer(f.store, WIRE_ROLE_ARCHIVIST, f.archivist.near);
    put_backup(&f, &f.mailbox, 7, true);
    wire_channel_free(&f.box.far);
    turn(&f);
    /* Nobody is there to hear it. */
    send_message(&f.archivist, WIRE_BACKUP_PUT_REPLY, f.archivist.seen[1].tag, &reply, false);
    turn(&f);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent_owner_is_sealed),
        cmocka_unit_test(test_request_without_its_descriptor_is_answered),
        cmocka_unit_test(test_session_takes_the_drop_box_over_first),
        cmocka_unit_test(test_mailbox_that_does_not_open_loses_no_mail),
        cmocka_unit_test(test_death_of_the_process_is_answered),
        cmocka_unit_test(test_mail_between_stop_and_end_is_kept),
        cmocka_unit_test(test_session_that_comes_while_ending_starts_anew),
        cmocka_unit_test(test_new_mailbox_is_answered_when_it_is_open),
        cmocka_unit_test(test_removal_ends_process_sealer_and_files_in_order),
        cmocka_unit_test(test_sealer_that_dies_has_let_go),
        cmocka_unit_test(test_delivery_waits_for_a_sealer),
        cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_stop_waits_for_every_process),
        cmocka_unit_test(test_mail_for_a_sleeper_goes_straight_in),
        cmocka_unit_test(test_who_does_not_watch_sleeps_on),
        cmocka_unit_test(test_a_sleeper_that_speaks_starts_a_process),
        cmocka_unit_test(test_a_refused_offer_leaves_all_as_it_was),
        cmocka_unit_test(test_a_sleeper_that_closes_is_forgotten),
        cmocka_unit_test(test_death_of_the_process_wakes_who_watches),
        cmocka_unit_test(test_a_mailbox_that_does_not_open_ends_its_sleepers),
        cmocka_unit_test(test_expelled_sleepers_are_told),
        cmocka_unit_test(test_a_session_that_closes_while_it_is_offered),
        cmocka_unit_test(test_only_who_was_asked_can_answer),
        cmocka_unit_test(test_an_expelled_session_does_not_come_back),
        cmocka_unit_test(test_no_mail_for_a_mailbox_that_was_given_up),
        cmocka_unit_test(test_a_mailbox_is_removed_under_its_sleepers),
        cmocka_unit_test(test_death_of_the_gate),
        cmocka_unit_test(test_a_stop_waits_for_no_sleeper),
        cmocka_unit_test(test_a_job_keeps_its_process),
        cmocka_unit_test(test_a_job_whose_process_dies),
        cmocka_unit_test(test_cancelled_jobs),
        cmocka_unit_test(test_only_who_asked_cancels_a_job),
        cmocka_unit_test(test_a_process_names_its_own_backups_only),
        cmocka_unit_test(test_backups_go_to_the_archivist_and_answers_back),
        cmocka_unit_test(test_backups_when_one_side_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
