#include "courier/courier_fixture.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/scratch.h"
#include "mailauth/sign.h"
#include "secret/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { TURN_MS = 10, QUIET_TURNS = 6 };

static struct fixture *now;

/* --- Other servers --- */

struct courier_attempt {
    struct net_timer *timer;
    courier_on_done on_done;
    void *owner;
    size_t count;
};

static void on_attempt_time(void *owner)
{
    struct courier_attempt *attempt = owner;
    struct courier_result results[COURIER_RECIPIENTS_MAX];
    courier_on_done on_done = attempt->on_done;
    void *whose = attempt->owner;
    size_t count = attempt->count;

    for (size_t i = 0; i < count; i++)
        results[i] = (struct courier_result){
            .outcome = now->outcome,
            .passes_dsn = now->passes_dsn,
            .code = now->outcome == COURIER_DELIVERED   ? 250
                    : now->outcome == COURIER_TEMPORARY ? 451
                                                        : 550,
            .enhanced = str_from_c(now->enhanced),
            .words = str_from_c(now->words),
            .remote = STR("mx.example.test"),
        };
    net_timer_free(&attempt->timer);
    mem_free(&attempt);
    on_done(whose, results, count);
}

static struct courier_attempt *start(struct courier_destinations *destinations,
                                     const struct courier_request *request, courier_on_done on_done,
                                     void *owner)
{
    struct courier_attempt *attempt = NEW(struct courier_attempt);
    struct sent *sent = &now->sent[now->sent_count++];

    (void)destinations;
    assert_true(now->sent_count <= FIXTURE_SEEN_MAX);
    snprintf(sent->domain, sizeof(sent->domain), "%.*s", STR_ARG(request->domain));
    snprintf(sent->via, sizeof(sent->via), "%.*s", STR_ARG(request->via));
    snprintf(sent->sender, sizeof(sent->sender), "%.*s", STR_ARG(request->sender));
    snprintf(sent->notify, sizeof(sent->notify), "%.*s", STR_ARG(request->recipients[0].notify));
    sent->recipients[0] = '\0';
    for (size_t i = 0; i < request->recipient_count; i++) {
        size_t used = strlen(sent->recipients);

        snprintf(sent->recipients + used, sizeof(sent->recipients) - used, "%.*s ",
                 STR_ARG(request->recipients[i].address));
    }
    sent->count = request->recipient_count;
    buf_init(&sent->text, SIZE_MAX);
    buf_put(&sent->text, request->fields);
    buf_put(&sent->text, request->message);
    *attempt = (struct courier_attempt){
        .on_done = on_done, .owner = owner, .count = request->recipient_count};
    attempt->timer = net_timer_new(now->loop, on_attempt_time, attempt);
    net_timer_start(attempt->timer, 0);
    return attempt;
}

static void cancel(struct courier_attempt **attempt)
{
    net_timer_free(&(*attempt)->timer);
    mem_free(attempt);
}

static void policy(struct courier_destinations *destinations, struct str domain, struct str id,
                   struct str text, int64_t expires_ms, int64_t now_ms)
{
    (void)destinations, (void)domain, (void)id, (void)text, (void)expires_ms, (void)now_ms;
}

static void revive(struct courier_destinations *destinations)
{
    (void)destinations;
}

static const struct courier_ways ways = {
    .start = start, .cancel = cancel, .policy = policy, .revive = revive};

/* --- Other roles --- */

static void answer_recipient(struct wire_channel *channel, const struct wire_message *message)
{
    struct str address = message->body.recipient.address;
    struct wire_recipient_reply reply = {.status = WIRE_NOT_LOCAL};

    now->asked_keeper++;
    if (str_ends_with(address, STR("@ours.test"))) {
        reply.status = WIRE_OK;
        reply.mailbox = id_random();
        reply.has_mailbox = true;
        if (str_starts_with(address, STR("alias@")))
            reply.routes = str_from_c(now->routes);
        if (str_starts_with(address, STR("only@"))) {
            reply.has_mailbox = false;
            reply.routes = str_from_c(now->routes);
        }
        if (str_starts_with(address, STR("gone@")))
            reply.status = WIRE_UNKNOWN;
    }
    assert_int_equal(wire_send(channel, WIRE_RECIPIENT_REPLY, message->tag, &reply, NULL, 0),
                     ERR_OK);
}

static void take_delivery(struct wire_channel *channel, const struct wire_message *message)
{
    const struct wire_deliver *deliver = &message->body.deliver;
    struct wire_deliver_reply reply = {.status = now->deliver_status};
    struct task task;

    task_init(&task, 0);
    if (now->deliver_status == WIRE_OK) {
        size_t at = now->delivered_count++;

        snprintf(now->delivered[at].recipient, 128, "%.*s", STR_ARG(deliver->recipient));
        snprintf(now->delivered[at].folder, 32, "%.*s", STR_ARG(deliver->folder));
        snprintf(now->delivered[at].sender, 128, "%.*s", STR_ARG(deliver->sender));
        now->delivered[at].trace_len = deliver->trace_len;
        buf_init(&now->delivered[at].text, SIZE_MAX);
        assert_int_equal(fd_read_all(&task, message->fds[0], SIZE_MAX, &now->delivered[at].text),
                         ERR_OK);
    }
    assert_int_equal(wire_send(channel, WIRE_DELIVER_REPLY, message->tag, &reply, NULL, 0), ERR_OK);
    task_done(&task);
}

static void far_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct wire_signing_keys_reply no_keys = {.status = WIRE_UNKNOWN};

    (void)owner;
    now->said++;
    if (message->type == WIRE_RECIPIENT) {
        answer_recipient(channel, message);
    } else if (message->type == WIRE_DELIVER) {
        take_delivery(channel, message);
    } else if (message->type == WIRE_SIGNING_KEYS) {
        assert_int_equal(
            wire_send(channel, WIRE_SIGNING_KEYS_REPLY, message->tag, &no_keys, NULL, 0), ERR_OK);
    } else if (message->type == WIRE_QUEUE_REPLY) {
        now->queue_status = message->body.queue_reply.status;
        now->queue_replies++;
    } else if (message->type == WIRE_ADMIN_REPLY) {
        snprintf(now->admin, sizeof(now->admin), "%.*s", STR_ARG(message->body.admin_reply.json));
    }
}

static void on_close(void *owner, struct wire_channel *channel)
{
    (void)owner, (void)channel;
}

static void near_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    (void)owner;
    courier_message(now->courier, channel, message);
}

static const struct wire_channel_events far_events = {far_message, on_close};
static const struct wire_channel_events near_events = {near_message, on_close};

static void connect_peer(struct fixture *f, struct peer *peer, enum wire_role role)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    peer->far =
        wire_channel_new(f->loop, pair[0], role, WIRE_ROLE_COURIER, &far_events, f, &f->log);
    peer->near =
        wire_channel_new(f->loop, pair[1], WIRE_ROLE_COURIER, role, &near_events, f, &f->log);
    if (role != WIRE_ROLE_SMTP)
        courier_set_peer(f->courier, role, peer->near);
}

static void on_time(void *owner)
{
    net_loop_stop(owner);
}

void fixture_run(struct fixture *f)
{
    size_t before;
    int quiet = 0;

    while (quiet < QUIET_TURNS) {
        before = f->said + f->sent_count;
        net_timer_start(f->timer, TURN_MS);
        net_loop_run(f->loop);
        quiet = f->said + f->sent_count == before ? quiet + 1 : 0;
    }
}

/* --- The fixture --- */

void fixture_start(struct fixture *f)
{
    f->courier = courier_new(f->loop, &f->log, f->folder, &f->options);
    courier_set_ways(f->courier, &ways);
    connect_peer(f, &f->smtp, WIRE_ROLE_SMTP);
    connect_peer(f, &f->keeper, WIRE_ROLE_KEEPER);
    connect_peer(f, &f->store, WIRE_ROLE_STORE);
    connect_peer(f, &f->examiner, WIRE_ROLE_EXAMINER);
    courier_set_key(f->courier, secret_str(f->root));
}

static void disconnect(struct peer *peer)
{
    wire_channel_free(&peer->far);
    wire_channel_free(&peer->near);
}

void fixture_kill(struct fixture *f)
{
    courier_free(&f->courier);
    disconnect(&f->smtp);
    disconnect(&f->keeper);
    disconnect(&f->store);
    disconnect(&f->examiner);
}

int fixture_set_up(void **state)
{
    struct fixture *f = NEW(struct fixture);

    now = f;
    f->loop = net_loop_new();
    f->timer = net_timer_new(f->loop, on_time, f->loop);
    f->log = (struct log){.level = getenv("COURIER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR,
                          .fd = STDERR_FILENO,
                          .role = "test"};
    scratch_folder_in_memory(f->folder, sizeof(f->folder), "sealpost-courier");
    f->options = (struct courier_options){
        .hostname = STR("mx.ours.test"),
        .schedule = {.first_ms = 300000,
                     .most_ms = 10800000,
                     .lifetime_ms = 432000000,
                     .delay_notice_ms = 14400000},
        .suppress_ms = 1000000,
        .jobs_max = 20,
        .jobs_per_lane = 5,
    };
    f->root = secret_new(32);
    f->outcome = COURIER_DELIVERED;
    f->enhanced = "2.0.0";
    f->words = "ok";
    f->routes = "";
    fixture_start(f);
    *state = f;
    return 0;
}

int fixture_tear_down(void **state)
{
    struct fixture *f = *state;
    char command[128];

    fixture_kill(f);
    for (size_t i = 0; i < FIXTURE_SEEN_MAX; i++) {
        buf_free(&f->sent[i].text);
        buf_free(&f->delivered[i].text);
    }
    net_timer_free(&f->timer);
    net_loop_free(&f->loop);
    secret_free(&f->root);
    snprintf(command, sizeof(command), "rm -rf %s", f->folder);
    mem_free(&f);
    return system(command);
}

void fixture_queue(struct fixture *f, const char *envelope, const char *given, int64_t age_ms)
{
    struct wire_queue body = {.envelope = str_from_c(envelope),
                              .trace_len = sizeof(TRACE) - 1,
                              .received_ms = clock_now_ms() - age_ms};
    struct buf text;
    struct task task;
    int fd;

    task_init(&task, 0);
    buf_init(&text, SIZE_MAX);
    buf_putf(&text, "%s%s", TRACE, given);
    assert_int_equal(memfd_from(&task, buf_str(&text), &fd), ERR_OK);
    assert_int_equal(wire_send(f->smtp.far, WIRE_QUEUE, 7, &body, &fd, 1), ERR_OK);
    close(fd);
    buf_free(&text);
    task_done(&task);
    f->queue_status = 999;
    for (int i = 0; i < 1000 && f->queue_status == 999; i++)
        fixture_run(f);
    fixture_run(f);
}

bool fixture_has(const struct buf *text, const char *part)
{
    return str_find(buf_str(text), str_from_c(part)) >= 0;
}

const char *fixture_admin(struct fixture *f, const char *json)
{
    struct wire_admin body = {.json = str_from_c(json)};

    f->admin[0] = '\0';
    assert_int_equal(wire_send(f->keeper.far, WIRE_ADMIN, 9, &body, NULL, 0), ERR_OK);
    for (int i = 0; i < 1000 && f->admin[0] == '\0'; i++)
        fixture_run(f);
    fixture_run(f);
    return f->admin;
}

size_t fixture_waiting(struct fixture *f)
{
    const char *list = fixture_admin(f, "{\"command\":\"queue list\",\"arguments\":{}}");
    size_t count = 0;

    for (const char *at = list; (at = strstr(at, "\"recipient\"")) != NULL; at++)
        count++;
    return count;
}
