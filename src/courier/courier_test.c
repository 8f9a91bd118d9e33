/*
 * The courier with everything around it played by the test: smtp, keeper, store and examiner over
 * real channels, other servers by a table of what they say. One case for each way of a message.
 */
#include "courier/courier.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "mailauth/srs.h"
#include "secret/courier.h"
#include "sqlite/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { SEEN_MAX = 64, TURN_MS = 10, QUIET_TURNS = 6 };

/* What another server was given. */
struct sent {
    char domain[64], via[64], sender[128], recipients[256], notify[64];
    struct buf text; /* fields and message */
    size_t count;
};

struct peer {
    struct wire_channel *far, *near; /* own */
};

struct fixture {
    struct net_loop *loop;
    struct log log;
    char folder[64];
    struct courier *courier;
    struct courier_options options;
    struct secret *root;
    struct peer smtp, keeper, store, examiner;
    uint64_t queue_status;
    size_t queue_replies;
    /* The world: what a server says of any address with this word in it. */
    enum courier_outcome outcome;
    const char *enhanced, *words;
    bool passes_dsn;
    struct sent sent[SEEN_MAX];
    size_t sent_count;
    /* What mailboxes got. */
    struct {
        char recipient[128], folder[32], sender[128];
        struct buf text;
        uint64_t trace_len;
    } delivered[SEEN_MAX];
    size_t delivered_count;
    uint64_t deliver_status;
    size_t asked_keeper, said;
    char admin[4096];
    struct net_timer *timer;
    const char *routes; /* of alias@ours.test */
};

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
    assert_true(now->sent_count <= SEEN_MAX);
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

/* Lets everything that is due happen: until nothing was said for a while. */
static void run(struct fixture *f)
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

static void start_courier(struct fixture *f)
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

/* As a kill does: without a word to anybody. */
static void kill_courier(struct fixture *f)
{
    courier_free(&f->courier);
    disconnect(&f->smtp);
    disconnect(&f->keeper);
    disconnect(&f->store);
    disconnect(&f->examiner);
}

static int setup(void **state)
{
    struct fixture *f = NEW(struct fixture);

    now = f;
    f->loop = net_loop_new();
    f->timer = net_timer_new(f->loop, on_time, f->loop);
    f->log = (struct log){.level = getenv("COURIER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR,
                          .fd = STDERR_FILENO,
                          .role = "test"};
    (void)snprintf(f->folder, sizeof(f->folder), "%s", "/tmp/sealpost-courier-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
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
    start_courier(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    kill_courier(f);
    for (size_t i = 0; i < SEEN_MAX; i++) {
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

#define TRACE "Return-Path: <ann@ours.test>\r\nReceived: from x by y; z\r\nX-Spam: 1\r\n"
#define GIVEN                                                                                      \
    "From: ann@ours.test\r\nTo: bob@example.test\r\nMessage-ID: <1@ours.test>\r\n"                 \
    "Subject: Hello\r\n\r\nText\r\n"

static void queue_message(struct fixture *f, const char *envelope, const char *given,
                          int64_t age_ms)
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
        run(f);
    run(f);
}

#define SUBMISSION(recipients)                                                                     \
    "{\"id\":\"t1\",\"kind\":\"submission\",\"sender\":\"ann@ours.test\",\"recipients\":"          \
    "[" recipients "]}"
#define ROUTES(sender, more, recipients)                                                           \
    "{\"id\":\"t2\",\"kind\":\"routes\",\"sender\":\"" sender "\"" more                            \
    ",\"recipients\":[" recipients "]}"
#define BOB "{\"address\":\"bob@example.test\"}"

static bool has(const struct buf *text, const char *part)
{
    return str_find(buf_str(text), str_from_c(part)) >= 0;
}

static const char *admin(struct fixture *f, const char *json)
{
    struct wire_admin body = {.json = str_from_c(json)};

    f->admin[0] = '\0';
    assert_int_equal(wire_send(f->keeper.far, WIRE_ADMIN, 9, &body, NULL, 0), ERR_OK);
    for (int i = 0; i < 1000 && f->admin[0] == '\0'; i++)
        run(f);
    run(f);
    return f->admin;
}

static size_t waiting(struct fixture *f)
{
    const char *list = admin(f, "{\"command\":\"queue list\",\"arguments\":{}}");
    size_t count = 0;

    for (const char *at = list; (at = strstr(at, "\"recipient\"")) != NULL; at++)
        count++;
    return count;
}

/* --- Cases --- */

static void a_submission_goes_out(void **state)
{
    struct fixture *f = *state;

    queue_message(f,
                  SUBMISSION(BOB ",{\"address\":\"eve@example.test\"},"
                                 "{\"address\":\"joe@other.test\"}"),
                  GIVEN, 0);
    assert_int_equal(f->queue_status, WIRE_OK);
    assert_int_equal(f->sent_count, 2);
    assert_string_equal(f->sent[0].recipients, "bob@example.test eve@example.test ");
    assert_string_equal(f->sent[0].sender, "ann@ours.test");
    assert_string_equal(f->sent[1].domain, "other.test");
    /* Where it has been, but not what is for a mailbox only. */
    assert_true(str_starts_with(buf_str(&f->sent[0].text), STR("Received: from x")));
    assert_true(has(&f->sent[0].text, GIVEN));
    assert_int_equal(f->asked_keeper, 0);
    assert_int_equal(waiting(f), 0);
    assert_int_equal(f->delivered_count, 0);
}

static void a_retransmission_goes_out_once(void **state)
{
    struct fixture *f = *state;

    queue_message(f, SUBMISSION(BOB), GIVEN, 0);
    queue_message(f, SUBMISSION(BOB), GIVEN, 0);
    assert_int_equal(f->queue_status, WIRE_OK);
    assert_int_equal(f->queue_replies, 2);
    assert_int_equal(f->sent_count, 1);
    /* Another recipient, another message: not the same. */
    queue_message(f, SUBMISSION(BOB ",{\"address\":\"eve@example.test\"}"), GIVEN, 0);
    queue_message(f, SUBMISSION(BOB), GIVEN "more\r\n", 0);
    assert_int_equal(f->sent_count, 3);
    assert_string_equal(f->sent[1].recipients, "eve@example.test ");
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct fixture *f = *state;

    queue_message(f, "{\"kind\":\"submission\"}", GIVEN, 0);
    assert_int_equal(f->queue_status, WIRE_INVALID);
    queue_message(f, SUBMISSION(BOB), GIVEN, 0);
    assert_int_equal(f->queue_status, WIRE_OK);
}

/* "550" and nothing else: that much is told. */
static void a_failure_without_a_word(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.0.0";
    f->words = "";
    queue_message(f, SUBMISSION(BOB), GIVEN, 0);
    run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_true(has(&f->delivered[0].text, "Diagnostic-Code: smtp;550 5.0.0\r\n"));
}

static void a_failure_comes_back(void **state)
{
    struct fixture *f = *state;
    const struct buf *report = &f->delivered[0].text;

    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.1.1";
    f->words = "no such user";
    queue_message(f,
                  SUBMISSION("{\"address\":\"bob@example.test\","
                             "\"orcpt\":\"rfc822;b+2Bb@example.test\"}"),
                  GIVEN, 0);
    run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_string_equal(f->delivered[0].recipient, "ann@ours.test");
    assert_string_equal(f->delivered[0].sender, "");
    assert_true(str_starts_with(buf_str(report), STR("Return-Path: <>\r\nFrom: Mail Delivery ")));
    assert_true(has(report, "report-type=delivery-status"));
    assert_true(has(report, "Original-Recipient: rfc822;b+b@example.test\r\n"));
    assert_true(has(report, "Final-Recipient: rfc822;bob@example.test\r\n"));
    assert_true(has(report, "Action: failed\r\nStatus: 5.1.1\r\n"));
    assert_true(has(report, "Remote-MTA: dns;mx.example.test\r\n"
                            "Diagnostic-Code: smtp;550 5.1.1 no such user\r\n"));
    assert_true(has(report, "Subject: Hello\r\n"));
    assert_false(has(report, "\r\nText\r\n"));
    assert_int_equal(waiting(f), 0);
    /* Once known, it is not tried again, but told. */
    f->outcome = COURIER_DELIVERED;
    queue_message(f, SUBMISSION(BOB), GIVEN "again\r\n", 0);
    run(f);
    assert_int_equal(f->sent_count, 1);
    assert_int_equal(f->delivered_count, 2);
    assert_true(has(&f->delivered[1].text, "no such user"));
    assert_non_null(strstr(admin(f, "{\"command\":\"queue suppression list\",\"arguments\":{}}"),
                           "bob@example.test"));
    admin(f, "{\"command\":\"queue suppression clear\",\"arguments\":"
             "{\"address\":\"bob@example.test\"}}");
    queue_message(f, SUBMISSION(BOB), GIVEN "and again\r\n", 0);
    assert_int_equal(f->sent_count, 2);
}

static void report(struct fixture *f, const char *recipient, const char *json)
{
    struct wire_bounce body = {str_from_c(recipient), str_from_c(json)};

    assert_int_equal(wire_send(f->smtp.far, WIRE_BOUNCE, 3, &body, NULL, 0), ERR_OK);
    run(f);
}

static bool is_suppressed(struct fixture *f, const char *address)
{
    return strstr(admin(f, "{\"command\":\"queue suppression list\",\"arguments\":{}}"), address) !=
           NULL;
}

#define CLAIM(id, address, status)                                                                 \
    "{" id ",\"failed\":[{\"final\":\"" address "\",\"status\":\"" status "\"}]}"
#define OUR_ID "\"message_id\":\"<1@ours.test>\""

static void a_report_counts_for_what_was_sent(void **state)
{
    struct fixture *f = *state;

    queue_message(f, "{\"id\":\"t1\",\"kind\":\"submission\",\"sender\":\"Ann@ours.test\","
                     "\"envid\":\"E+2B7\",\"recipients\":[" BOB ",{\"address\":\"eve@example.test\"}]}",
                  GIVEN, 0);
    assert_int_equal(f->sent_count, 1);
    /* Another message, another recipient, another sender, about the sender, about the content. */
    report(f, "ann@ours.test", CLAIM("\"message_id\":\"<2@ours.test>\"", "bob@example.test", "5.1.1"));
    report(f, "ann@ours.test", CLAIM(OUR_ID, "joe@example.test", "5.1.1"));
    report(f, "sue@ours.test", CLAIM(OUR_ID, "bob@example.test", "5.1.1"));
    report(f, "ann@ours.test", CLAIM(OUR_ID, "bob@example.test", "5.1.8"));
    report(f, "ann@ours.test", CLAIM(OUR_ID, "bob@example.test", "5.7.1"));
    report(f, "ann@ours.test", CLAIM("\"envid\":\"E8\"", "bob@example.test", "5.1.1"));
    report(f, "ann@ours.test", "[]");
    report(f, "ann@ours.test", "{");
    assert_false(is_suppressed(f, "@example.test"));
    report(f, "ann@ours.test", CLAIM(OUR_ID, "Bob@Example.test", "5.1.1"));
    assert_true(is_suppressed(f, "bob@example.test"));
    assert_false(is_suppressed(f, "eve@example.test"));
    report(f, "ann@ours.test", CLAIM("\"envid\":\"E+7\"", "eve@example.test", "5.2.1"));
    assert_true(is_suppressed(f, "eve@example.test"));
    queue_message(f, SUBMISSION(BOB), GIVEN "again\r\n", 0);
    assert_int_equal(f->sent_count, 1);
}

/* 5.1.8 is about the sender's domain: the address may be good. */
static void a_sender_refused_does_not_blame_the_recipient(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.1.8";
    f->words = "sender's domain not found";
    queue_message(f, SUBMISSION(BOB), GIVEN, 0);
    run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_false(is_suppressed(f, "bob@example.test"));
}

static void a_temporary_failure_waits(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_TEMPORARY;
    f->enhanced = "4.2.1";
    f->words = "later";
    queue_message(f, SUBMISSION(BOB), GIVEN, 0);
    assert_int_equal(f->sent_count, 1);
    assert_int_equal(waiting(f), 1);
    assert_int_equal(f->delivered_count, 0);
    assert_non_null(strstr(f->admin, "later"));
    f->outcome = COURIER_DELIVERED;
    admin(f, "{\"command\":\"queue retry\",\"arguments\":{\"id\":\"all\"}}");
    run(f);
    assert_int_equal(f->sent_count, 2);
    assert_int_equal(f->asked_keeper, 1); /* may have become ours meanwhile */
    assert_int_equal(waiting(f), 0);
}

static void a_delay_is_told_once(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_TEMPORARY;
    f->enhanced = "4.2.1";
    f->words = "later";
    queue_message(f, SUBMISSION(BOB), GIVEN, 5 * 3600 * 1000);
    run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_true(has(&f->delivered[0].text, "Action: delayed\r\n"));
    assert_true(has(&f->delivered[0].text, "Will-Retry-Until: "));
    admin(f, "{\"command\":\"queue retry\",\"arguments\":{\"id\":\"all\"}}");
    run(f);
    assert_int_equal(f->sent_count, 2);
    assert_int_equal(f->delivered_count, 1);
}

static void after_its_lifetime_it_comes_back(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_TEMPORARY;
    f->enhanced = "4.4.1";
    f->words = "no connection";
    queue_message(f, SUBMISSION(BOB), GIVEN, INT64_C(6) * 24 * 3600 * 1000);
    run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_true(has(&f->delivered[0].text, "Action: failed\r\nStatus: 4.4.7\r\n"));
    assert_true(has(&f->delivered[0].text, "Tried for 5 days"));
    assert_int_equal(waiting(f), 0);
}

static void notify_is_honoured(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.2.0";
    f->words = "no";
    queue_message(f, SUBMISSION("{\"address\":\"bob@example.test\",\"notify\":\"NEVER\"}"), GIVEN,
                  0);
    run(f);
    assert_int_equal(f->delivered_count, 0);
    f->outcome = COURIER_DELIVERED;
    f->enhanced = "2.0.0";
    queue_message(f, SUBMISSION("{\"address\":\"eve@example.test\",\"notify\":\"SUCCESS\"}"), GIVEN,
                  0);
    run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_true(has(&f->delivered[0].text, "Action: relayed\r\n"));
    f->passes_dsn = true;
    queue_message(f, SUBMISSION("{\"address\":\"joe@example.test\",\"notify\":\"SUCCESS\"}"), GIVEN,
                  0);
    run(f);
    assert_int_equal(f->delivered_count, 1);
}

/* It would be taken, and nobody would ever have it. */
static void aliases_that_lead_in_a_circle_lose_nothing(void **state)
{
    struct fixture *f = *state;

    f->routes = "[{\"kind\":\"forward\",\"to\":\"only@ours.test\"}]";
    queue_message(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"only@ours.test\"}]}"),
                  GIVEN, 0);
    run(f);
    run(f);
    assert_int_equal(f->sent_count, 1);
    assert_string_equal(f->sent[0].recipients, "who@from.test ");
    assert_true(has(&f->sent[0].text, "Status: 5.4.6\r\n"));
    assert_int_equal(waiting(f), 0);
    /* In two ways to the same place is no circle. */
    f->routes = "[{\"kind\":\"forward\",\"to\":\"x@example.test\"}]";
    queue_message(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"only@ours.test\"},{\"kind\":\"forward\",\"to\":\"only@ours.test\","
                         "\"x\":1},{\"kind\":\"forward\",\"to\":\"x@example.test\"}]}"),
                  GIVEN "2\r\n", 0);
    run(f);
    run(f);
    assert_int_equal(f->sent_count, 2);
    assert_string_equal(f->sent[1].recipients, "x@example.test ");
}

static void a_forward_keeps_the_message(void **state)
{
    struct fixture *f = *state;
    struct buf expected;
    const struct sent *sent = &f->sent[0];

    queue_message(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"target@example.test\"}]}"),
                  GIVEN, 0);
    assert_int_equal(f->sent_count, 1);
    assert_true(strncmp(sent->sender, "SRS0=", 5) == 0);
    assert_non_null(strstr(sent->sender, "=from.test=who@ours.test"));
    buf_init(&expected, SIZE_MAX);
    buf_putf(&expected, "Delivered-To: al@ours.test\r\nReceived: from x by y; z\r\n%s", GIVEN);
    assert_true(str_equal(buf_str(&sent->text), buf_str(&expected)));
    buf_free(&expected);
    /* Null stays null; via a route's own host. */
    queue_message(f,
                  ROUTES("", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"target@example.test\",\"via\":\"gw.test:2525\"}]}"),
                  GIVEN, 0);
    assert_int_equal(f->sent_count, 2);
    assert_string_equal(f->sent[1].sender, "");
    assert_string_equal(f->sent[1].via, "gw.test:2525");
}

static void a_failed_forward_tells_no_target(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.1.1";
    f->words = "<Hidden@example.test> unknown";
    queue_message(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"hidden@example.test\"}]}"),
                  GIVEN, 0);
    run(f);
    assert_int_equal(f->sent_count, 2); /* the report, to another server */
    assert_string_equal(f->sent[1].recipients, "who@from.test ");
    assert_string_equal(f->sent[1].sender, "");
    assert_true(has(&f->sent[1].text, "Final-Recipient: rfc822;al@ours.test\r\n"));
    assert_false(has(&f->sent[1].text, "idden@example.test"));
    assert_false(has(&f->sent[1].text, "mx.example.test"));
    assert_true(has(&f->sent[1].text, "From: Mail Delivery System <postmaster@ours.test>"));
    /* That report is refused too, and that is the end of it. */
    run(f);
    assert_int_equal(f->sent_count, 2);
    assert_int_equal(waiting(f), 0);
}

static void aliases_that_lead_to_aliases(void **state)
{
    struct fixture *f = *state;

    /* alias stores, and leads to only, which leads to alias and away: a circle with an exit. */
    f->routes = "[{\"kind\":\"forward\",\"to\":\"only@ours.test\"},"
                "{\"kind\":\"forward\",\"to\":\"alias@ours.test\"},"
                "{\"kind\":\"forward\",\"to\":\"out@example.test\"}]";
    queue_message(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"alias@ours.test\"}]}"),
                  GIVEN, 0);
    for (int i = 0; i < 6; i++)
        run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_string_equal(f->delivered[0].recipient, "alias@ours.test");
    assert_int_equal(f->sent_count, 1);
    assert_string_equal(f->sent[0].recipients, "out@example.test ");
    assert_int_equal(waiting(f), 0);
}

static void what_has_been_here_goes_no_further(void **state)
{
    struct fixture *f = *state;

    queue_message(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"target@example.test\"}]}"),
                  "Delivered-To: AL@ours.test\r\n" GIVEN, 0);
    run(f);
    assert_int_equal(f->sent_count, 1);
    assert_string_equal(f->sent[0].recipients, "who@from.test ");
    assert_true(has(&f->sent[0].text, "Status: 5.4.6\r\n"));
}

static void a_vacation_answers_once(void **state)
{
    struct fixture *f = *state;
#define AWAY                                                                                       \
    "{\"address\":\"ann@ours.test\",\"routes\":[{\"kind\":\"vacation\","                           \
    "\"from\":\"ann@ours.test\",\"subject\":\"\",\"text\":\"Back soon\"}]}"
#define TO_ANN                                                                                     \
    "From: who@from.test\r\nTo: Ann <ann@ours.test>\r\nMessage-ID: <m@from.test>\r\n"              \
    "Subject: When\r\n\r\n"

    queue_message(f, ROUTES("who@from.test", ",\"may_reply\":true", AWAY), TO_ANN "1\r\n", 0);
    run(f);
    assert_int_equal(f->sent_count, 1);
    assert_string_equal(f->sent[0].sender, "");
    assert_string_equal(f->sent[0].recipients, "who@from.test ");
    assert_true(has(&f->sent[0].text, "Auto-Submitted: auto-replied\r\n"));
    assert_true(has(&f->sent[0].text, "In-Reply-To: <m@from.test>\r\n"));
    assert_true(has(&f->sent[0].text, "Subject: Auto: When\r\n"));
    queue_message(f, ROUTES("who@from.test", ",\"may_reply\":true", AWAY), TO_ANN "2\r\n", 0);
    /* Nor may it where the message is no letter to her. */
    queue_message(f, ROUTES("x@from.test", ",\"may_reply\":false", AWAY), TO_ANN "3\r\n", 0);
    queue_message(f, ROUTES("y@from.test", ",\"may_reply\":true", AWAY), "To: z@z\r\n\r\n", 0);
    queue_message(f, ROUTES("owner-l@from.test", ",\"may_reply\":true", AWAY), TO_ANN "4\r\n", 0);
    queue_message(f, ROUTES("", ",\"may_reply\":true", AWAY), TO_ANN "5\r\n", 0);
    queue_message(f, ROUTES("j@from.test", ",\"may_reply\":true,\"is_junk\":true", AWAY),
                  TO_ANN "6\r\n", 0);
    run(f);
    assert_int_equal(f->sent_count, 1);
    assert_int_equal(waiting(f), 0);
}

/* Junk that others got, and an alias that only forwards did not: its sender is told, once, unless he did
 * not want to hear. */
static void what_is_held_back_is_told(void **state)
{
    struct fixture *f = *state;

    queue_message(f, ROUTES("who@from.test", "",
                            "{\"address\":\"fwd@ours.test\",\"held_back\":true,\"routes\":[]}"),
                  GIVEN, 0);
    run(f);
    assert_int_equal(f->sent_count, 1);
    assert_string_equal(f->sent[0].recipients, "who@from.test ");
    assert_string_equal(f->sent[0].sender, "");
    assert_true(has(&f->sent[0].text, "Final-Recipient: rfc822;fwd@ours.test\r\n"));
    assert_true(has(&f->sent[0].text, "Action: failed\r\nStatus: 5.7.1\r\n"));
    assert_true(has(&f->sent[0].text, "looks like junk"));
    queue_message(f, ROUTES("who@from.test", "",
                            "{\"address\":\"fwd2@ours.test\",\"held_back\":true,\"notify\":\"NEVER\"}"),
                  GIVEN, 0);
    queue_message(f, ROUTES("", "", "{\"address\":\"fwd3@ours.test\",\"held_back\":true}"), GIVEN, 0);
    run(f);
    assert_int_equal(f->sent_count, 1);
    assert_int_equal(waiting(f), 0);
}

static void a_kill_loses_nothing(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_TEMPORARY;
    f->enhanced = "4.0.0";
    queue_message(f, SUBMISSION(BOB), GIVEN, 0);
    assert_int_equal(waiting(f), 1);
    kill_courier(f);
    f->outcome = COURIER_DELIVERED;
    start_courier(f);
    run(f);
    assert_int_equal(waiting(f), 1); /* its time has not come */
    assert_int_equal(f->sent_count, 1);
    admin(f, "{\"command\":\"queue retry\",\"arguments\":{\"id\":\"all\"}}");
    run(f);
    assert_int_equal(f->sent_count, 2);
    /* And the repeat of what was accepted before is known. */
    queue_message(f, SUBMISSION(BOB), GIVEN, 0);
    assert_int_equal(f->sent_count, 2);
}

static void a_role_that_is_away_costs_no_attempt(void **state)
{
    struct fixture *f = *state;

    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.0.0";
    f->deliver_status = WIRE_UNAVAILABLE;
    queue_message(f, SUBMISSION(BOB), GIVEN, 0);
    run(f);
    assert_int_equal(waiting(f), 1); /* the report */
    assert_non_null(strstr(f->admin, "\"attempts\":0"));
    f->deliver_status = WIRE_OK;
    admin(f, "{\"command\":\"queue retry\",\"arguments\":{\"id\":\"all\"}}");
    run(f);
    assert_int_equal(f->delivered_count, 1);
    assert_int_equal(waiting(f), 0);
}

static void an_operator_holds_and_deletes(void **state)
{
    struct fixture *f = *state;
    char id[32], request[128];
    const char *at;

    f->outcome = COURIER_TEMPORARY;
    f->enhanced = "4.0.0";
    queue_message(f, SUBMISSION(BOB), GIVEN, 0);
    assert_int_equal(waiting(f), 1);
    at = strstr(f->admin, "\"id\":\"");
    assert_non_null(at);
    snprintf(id, sizeof(id), "%.24s", at + 6);
    snprintf(request, sizeof(request), "{\"command\":\"queue hold\",\"arguments\":{\"id\":\"%s\"}}",
             id);
    assert_non_null(strstr(admin(f, request), "\"count\":1"));
    assert_non_null(
        strstr(admin(f, "{\"command\":\"queue list\",\"arguments\":{\"state\":\"held\"}}"), id));
    snprintf(request, sizeof(request), "{\"command\":\"queue show\",\"arguments\":{\"id\":\"%s\"}}",
             id);
    assert_non_null(strstr(admin(f, request), "\"trace\":\"t1\""));
    snprintf(request, sizeof(request),
             "{\"command\":\"queue delete\",\"arguments\":{\"id\":\"%s\"}}", id);
    assert_non_null(strstr(admin(f, request), "\"ok\""));
    assert_int_equal(waiting(f), 0);
    assert_non_null(strstr(admin(f, request), "\"not-found\""));
    assert_int_equal(f->delivered_count, 0);
}

/* An alias of an alias: the sender hears of the address that he wrote, and of no other. */
static void a_chain_that_fails_tells_its_beginning(void **state)
{
    struct fixture *f = *state;

    f->routes = "[{\"kind\":\"forward\",\"to\":\"out@example.test\"}]";
    f->outcome = COURIER_PERMANENT;
    f->enhanced = "5.1.1";
    f->words = "out@example.test is unknown";
    queue_message(f,
                  ROUTES("who@from.test", "",
                         "{\"address\":\"al@ours.test\",\"routes\":[{\"kind\":\"forward\","
                         "\"to\":\"only@ours.test\"}]}"),
                  GIVEN, 0);
    for (int i = 0; i < 4; i++)
        run(f);
    assert_int_equal(f->sent_count, 2);
    assert_string_equal(f->sent[1].recipients, "who@from.test ");
    assert_true(has(&f->sent[1].text, "Final-Recipient: rfc822;al@ours.test\r\n"));
    assert_false(has(&f->sent[1].text, "out@example.test"));
    assert_false(has(&f->sent[1].text, "only@ours.test"));
}

/* A thousand for one that fails slowly do not keep another from its turn. */
static void destinations_take_turns(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 12; i++) {
        char given[64];

        snprintf(given, sizeof(given), "From: ann@ours.test\r\n\r\n%d\r\n", i);
        queue_message(f, SUBMISSION(BOB), given, 0);
    }
    assert_int_equal(f->sent_count, 12);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_submission_goes_out),
        CASE(a_retransmission_goes_out_once),
        CASE(what_makes_no_sense_is_refused),
        CASE(a_failure_comes_back),
        CASE(a_failure_without_a_word),
        CASE(a_report_counts_for_what_was_sent),
        CASE(a_sender_refused_does_not_blame_the_recipient),
        CASE(a_temporary_failure_waits),
        CASE(a_delay_is_told_once),
        CASE(after_its_lifetime_it_comes_back),
        CASE(notify_is_honoured),
        CASE(aliases_that_lead_in_a_circle_lose_nothing),
        CASE(a_forward_keeps_the_message),
        CASE(a_failed_forward_tells_no_target),
        CASE(aliases_that_lead_to_aliases),
        CASE(what_has_been_here_goes_no_further),
        CASE(a_vacation_answers_once),
        CASE(what_is_held_back_is_told),
        CASE(a_kill_loses_nothing),
        CASE(a_role_that_is_away_costs_no_attempt),
        CASE(an_operator_holds_and_deletes),
        CASE(a_chain_that_fails_tells_its_beginning),
        CASE(destinations_take_turns),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
