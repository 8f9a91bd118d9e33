/*
 * Invariants: a connection has a slot for its whole life, and a question's tag names slot, question
 * and target, so that an answer finds its asker at once and one that comes too late finds nobody.
 * Whatever changed, `pump` moves a connection on until it waits for somebody else.
 */
#include "smtp/server/service.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "net/connection.h"
#include "smtp/server/handover.h"
#include "smtp/server/reply.h"

#include <string.h>
#include <unistd.h>

enum {
    OUTPUT_LIMIT = 64 * 1024,
    TICK_MS = 1000, /* how exactly deadlines are kept */
    LISTENERS_MAX = 64,
    REFUSALS_MAX = 64,      /* connections that are only being told that there are too many */
    MEMORY_MIN = 256 << 20, /* for messages in the making; or four of the largest */
};

struct listening {
    struct smtp_server *server;
    struct net_listener *listener; /* own */
    enum smtp_service service;
    bool is_tls;
};

struct connection {
    struct smtp_server *server;
    struct net_connection *net;   /* own */
    struct smtp_session *session; /* own; NULL before implicit TLS is up, and where refused */
    struct net_timer *delay;      /* own; of a login's refusal, made when first needed */
    enum smtp_service service;
    enum wire_status login_status; /* while delayed */
    uint32_t slot;
    uint32_t question;  /* counts; of the one that is asked now */
    bool is_asked;      /* an answer is awaited */
    bool is_securing;   /* STARTTLS was answered */
    bool is_counted;    /* one of connections_max; else it is only being refused */
    bool is_in_census;
    bool is_input_over; /* the client closed its half */
    bool is_finishing;
    int64_t started_ms;
};

struct smtp_server {
    struct net_loop *loop;
    const struct log *log;
    struct net_tls *tls;
    struct smtp_service_options options;
    struct smtp_memory memory;
    struct wire_channel *keeper, *store; /* borrowed; NULL: not there */
    struct listening listenings[LISTENERS_MAX];
    size_t listening_count;
    struct connection **slots; /* own; NULL where free */
    size_t slot_room, connection_count, refusal_count;
    uint32_t question_count;
    struct net_timer *tick, *grace; /* own */
    net_callback on_stopped;
    void *stopped_owner;
};

/* ---- tags: slot (24 bits), question (24), target (16) ---- */

enum { QUESTION_MASK = 0xffffff };

static uint64_t tag_of(const struct connection *connection, size_t target)
{
    return (uint64_t)connection->slot << 40 | (uint64_t)connection->question << 16 |
           (uint64_t)(target & 0xffff);
}

static struct connection *find_asker(const struct smtp_server *server, uint64_t tag)
{
    uint64_t slot = tag >> 40;
    struct connection *connection = slot < server->slot_room ? server->slots[slot] : NULL;

    if (connection == NULL || !connection->is_asked || connection->session == NULL ||
        connection->question != (tag >> 16 & QUESTION_MASK))
        return NULL;
    return connection;
}

static void begin_question(struct connection *connection)
{
    connection->question = ++connection->server->question_count & QUESTION_MASK;
    connection->is_asked = true;
    if (connection->delay != NULL)
        net_timer_stop(connection->delay);
}

/* ---- asking ---- */

static bool is_trusted(const struct connection *connection)
{
    return net_connection_is_loopback(connection->net) &&
           !connection->server->options.loopback_is_foreign;
}

static void answer_login(struct connection *connection, enum wire_status status,
                         const struct id *mailbox)
{
    connection->is_asked = false;
    smtp_session_login_done(connection->session, status, mailbox, clock_monotonic_ms());
}

static void ask_login(struct connection *connection)
{
    struct smtp_server *server = connection->server;
    struct wire_login login = {
        .session = id_random(),
        .service = WIRE_SERVICE_SUBMISSION,
        .address = net_connection_address(connection->net),
        .is_local = is_trusted(connection),
    };

    smtp_session_login(connection->session, &login.username, &login.password);
    if (server->keeper == NULL ||
        wire_send(server->keeper, WIRE_LOGIN, tag_of(connection, 0), &login, NULL, 0) != ERR_OK)
        answer_login(connection, WIRE_UNAVAILABLE, NULL);
}

static void ask_sender(struct connection *connection)
{
    struct smtp_server *server = connection->server;
    struct wire_sender sender = {
        .mailbox = *smtp_session_mailbox(connection->session),
        .address = smtp_session_address(connection->session),
    };

    if (server->keeper != NULL &&
        wire_send(server->keeper, WIRE_SENDER, tag_of(connection, 0), &sender, NULL, 0) == ERR_OK)
        return;
    connection->is_asked = false;
    smtp_session_sender_done(connection->session, WIRE_UNAVAILABLE, clock_monotonic_ms());
}

static void ask_recipient(struct connection *connection)
{
    struct smtp_server *server = connection->server;
    struct wire_recipient recipient = {
        .address = smtp_session_address(connection->session),
        .size_bytes = smtp_session_announced_size(connection->session),
    };

    if (server->keeper != NULL && wire_send(server->keeper, WIRE_RECIPIENT, tag_of(connection, 0),
                                            &recipient, NULL, 0) == ERR_OK)
        return;
    connection->is_asked = false;
    smtp_session_recipient_done(connection->session, WIRE_UNAVAILABLE, NULL, STR(""),
                                clock_monotonic_ms());
}

static void deliver(struct connection *connection)
{
    struct smtp_server *server = connection->server;
    CLEANUP(fd_close) int fd = -1;
    struct id trace_id = id_random();
    struct smtp_delivery delivery;
    struct wire_deliver body;
    struct task task;
    bool is_ready;

    task_init(&task, clock_now_ms());
    smtp_session_delivery(connection->session, task.now_ms, &trace_id, &delivery);
    body = (struct wire_deliver){
        .sender = delivery.sender,
        .received_ms = task.now_ms,
        .size_bytes = delivery.trace.len + delivery.content->len,
        .trace_len = delivery.trace.len,
    };
    is_ready = server->store != NULL && smtp_handover(&task, &delivery, &fd) == ERR_OK;
    if (task.err != ERR_OK)
        log_failure(server->log, "handing a message over", &task);
    smtp_session_content_taken(connection->session);
    for (size_t i = 0; i < delivery.target_count; i++) {
        const struct smtp_target *target = &delivery.targets[i];

        body.mailbox = target->mailbox;
        body.recipient = target->recipient;
        body.folder = target->folder;
        if (is_ready &&
            wire_send(server->store, WIRE_DELIVER, tag_of(connection, i), &body, &fd, 1) == ERR_OK)
            continue;
        /* The last answer ends it all, the targets included; the next message may wait already. */
        if (smtp_session_delivery_done(connection->session, i, WIRE_UNAVAILABLE,
                                       clock_monotonic_ms())) {
            connection->is_asked = false;
            break;
        }
    }
    task_done(&task);
}

/* ---- moving on ---- */

static void finish(struct connection *connection)
{
    if (!connection->is_finishing)
        net_connection_finish(connection->net);
    connection->is_finishing = true;
}

/* Gives out what there is room for; true if all of it. */
static bool flush(struct connection *connection)
{
    struct str output = smtp_session_output(connection->session);
    size_t taken = net_connection_offer(connection->net, output);

    smtp_session_consume_output(connection->session, taken);
    return taken == output.len;
}

/* Starts what the engine waits for; true if it may be waiting for something else already. */
static bool serve(struct connection *connection, enum smtp_want want)
{
    if (connection->is_asked)
        return false;
    begin_question(connection);
    switch (want) {
    case SMTP_WANTS_LOGIN:
        ask_login(connection);
        break;
    case SMTP_WANTS_SENDER:
        ask_sender(connection);
        break;
    case SMTP_WANTS_RECIPIENT:
        ask_recipient(connection);
        break;
    case SMTP_WANTS_DELIVERY:
        deliver(connection);
        break;
    case SMTP_WANTS_INPUT:
    case SMTP_WANTS_ROOM:
    case SMTP_WANTS_TLS:
    case SMTP_WANTS_CLOSE:
        connection->is_asked = false;
        break;
    }
    return !connection->is_asked;
}

static void pump(struct connection *connection)
{
    struct smtp_session *session = connection->session;
    bool is_moving = true;

    while (is_moving && !connection->is_finishing) {
        enum smtp_want want = smtp_session_wants(session);

        is_moving = false;
        switch (want) {
        case SMTP_WANTS_INPUT:
            if (flush(connection) && connection->is_input_over)
                finish(connection);
            break;
        case SMTP_WANTS_ROOM:
            flush(connection);
            smtp_session_resume(session, clock_monotonic_ms());
            is_moving = smtp_session_wants(session) != SMTP_WANTS_ROOM;
            break;
        case SMTP_WANTS_TLS:
            if (flush(connection) && !connection->is_securing) {
                connection->is_securing = true;
                net_connection_start_tls(connection->net, connection->server->tls);
            }
            break;
        case SMTP_WANTS_LOGIN:
        case SMTP_WANTS_SENDER:
        case SMTP_WANTS_RECIPIENT:
        case SMTP_WANTS_DELIVERY:
            is_moving = serve(connection, want);
            if (!is_moving)
                flush(connection);
            break;
        case SMTP_WANTS_CLOSE:
            if (flush(connection))
                finish(connection);
            break;
        }
    }
    if (!connection->is_finishing)
        net_connection_want_input(connection->net, !smtp_session_is_input_full(session));
}

/* ---- connections ---- */

static void check_stopped(struct smtp_server *server)
{
    net_callback on_stopped = server->on_stopped;

    if (on_stopped == NULL || server->connection_count > 0)
        return;
    server->on_stopped = NULL;
    on_stopped(server->stopped_owner);
}

static void connection_free(struct connection *connection)
{
    struct smtp_server *server = connection->server;

    server->slots[connection->slot] = NULL;
    if (connection->is_counted)
        server->connection_count--;
    else
        server->refusal_count--;
    if (connection->is_in_census)
        net_census_remove(server->options.census, net_connection_address(connection->net));
    net_timer_free(&connection->delay);
    smtp_session_free(&connection->session);
    net_connection_free(&connection->net);
    mem_free(&connection);
    check_stopped(server);
}

static void begin_session(struct connection *connection)
{
    struct smtp_server *server = connection->server;
    const struct smtp_service_options *options = &server->options;
    struct smtp_options engine = {
        .service = connection->service,
        .hostname = options->hostname,
        .client = net_connection_address(connection->net),
        .tls_words = net_connection_tls_words(connection->net),
        .is_tls = net_connection_is_secure(connection->net),
        .may_login_plain =
            options->plain_login_on_loopback && net_connection_is_loopback(connection->net),
        .message_size_max = options->message_size_max,
        .recipients_max = options->recipients_max,
        .hops_max = options->hops_max,
        .greeting_timeout_ms = options->login_timeout_ms,
        .memory = &server->memory,
        .log = server->log,
    };

    connection->session = smtp_session_new(&engine, clock_monotonic_ms());
    pump(connection);
}

static void on_input(void *owner, struct net_connection *net, struct str bytes)
{
    struct connection *connection = owner;

    (void)net;
    if (connection->session == NULL || connection->is_finishing)
        return;
    smtp_session_input(connection->session, bytes, clock_monotonic_ms());
    pump(connection);
}

static void on_room(void *owner, struct net_connection *net)
{
    struct connection *connection = owner;

    (void)net;
    if (connection->session != NULL)
        pump(connection);
}

static void on_secure(void *owner, struct net_connection *net)
{
    struct connection *connection = owner;

    if (!connection->is_counted || connection->is_finishing)
        return;
    if (connection->session == NULL) {
        begin_session(connection);
        return;
    }
    smtp_session_secured(connection->session, net_connection_tls_words(net), clock_monotonic_ms());
    pump(connection);
}

/* The client closed its half: what it sent is still answered, then the conversation is over. */
static void on_end(void *owner, struct net_connection *net)
{
    struct connection *connection = owner;

    connection->is_input_over = true;
    if (connection->session == NULL || (connection->is_securing && !net_connection_is_secure(net)))
        net_connection_finish(net);
    else
        pump(connection);
}

static void on_close(void *owner, struct net_connection *net, enum net_close_reason reason)
{
    (void)net;
    (void)reason;
    connection_free(owner);
}

static const struct net_connection_events connection_events = {
    .on_input = on_input,
    .on_room = on_room,
    .on_secure = on_secure,
    .on_end = on_end,
    .on_close = on_close,
};

/* Of the client's, on this host. */
static bool is_too_many(struct connection *connection)
{
    const struct smtp_service_options *options = &connection->server->options;

    if (is_trusted(connection))
        return false;
    connection->is_in_census = true;
    return net_census_add(options->census, net_connection_address(connection->net)) >
           options->connections_per_address_max;
}

static uint32_t free_slot(struct smtp_server *server)
{
    size_t slot = 0;

    while (slot < server->slot_room && server->slots[slot] != NULL)
        slot++;
    if (slot == server->slot_room) {
        size_t room = slot == 0 ? 16 : slot * 2;

        server->slots = mem_resize(server->slots, room, sizeof(struct connection *));
        memset(server->slots + slot, 0, (room - slot) * sizeof(struct connection *));
        server->slot_room = room;
    }
    return (uint32_t)slot;
}

static void on_accept(void *owner, int fd)
{
    struct listening *listening = owner;
    struct smtp_server *server = listening->server;
    struct connection *connection;

    if (server->connection_count >= server->options.connections_max &&
        server->refusal_count >= REFUSALS_MAX) {
        close(fd);
        return;
    }
    connection = NEW(struct connection);
    connection->server = server;
    connection->service = listening->service;
    connection->started_ms = clock_monotonic_ms();
    connection->slot = free_slot(server);
    connection->net = net_connection_new(server->loop, fd, listening->is_tls ? server->tls : NULL,
                                         OUTPUT_LIMIT, &connection_events, connection);
    connection->is_counted =
        server->connection_count < server->options.connections_max && !is_too_many(connection);
    server->slots[connection->slot] = connection;
    if (connection->is_counted)
        server->connection_count++;
    else
        server->refusal_count++;
    log_debug(server->log, "connection accepted=%d", connection->is_counted);
    if (!connection->is_counted) {
        CLEANUP(buf_free) struct buf words;

        buf_init(&words, SIZE_MAX);
        smtp_reply_write(&words, SMTP_REPLY_TOO_MANY_CONNECTIONS);
        if (!listening->is_tls)
            net_connection_write(connection->net, buf_str(&words));
        finish(connection);
    } else if (!listening->is_tls) {
        begin_session(connection);
    }
}

/* ---- time ---- */

static void check_deadline(struct connection *connection, int64_t now_ms)
{
    if (connection->is_finishing)
        return;
    if (connection->session == NULL) {
        if (now_ms - connection->started_ms >= connection->server->options.login_timeout_ms)
            finish(connection);
    } else if (now_ms >= smtp_session_deadline(connection->session)) {
        connection->is_asked = false;
        smtp_session_expire(connection->session, now_ms);
        pump(connection);
    }
}

static void on_tick(void *owner)
{
    struct smtp_server *server = owner;
    int64_t now_ms = clock_monotonic_ms();

    for (size_t i = 0; i < server->slot_room; i++) {
        if (server->slots[i] != NULL)
            check_deadline(server->slots[i], now_ms);
    }
    net_timer_start(server->tick, TICK_MS);
}

static void on_delay(void *owner)
{
    struct connection *connection = owner;

    if (!connection->is_asked || connection->is_finishing)
        return;
    answer_login(connection, connection->login_status, NULL);
    pump(connection);
}

/* ---- answers ---- */

static void on_login_reply(struct connection *connection, const struct wire_login_reply *reply)
{
    struct smtp_server *server = connection->server;

    if (reply->status == WIRE_OK || reply->delay_ms == 0) {
        answer_login(connection, (enum wire_status)reply->status, &reply->mailbox);
        return;
    }
    if (connection->delay == NULL)
        connection->delay = net_timer_new(server->loop, on_delay, connection);
    connection->login_status = (enum wire_status)reply->status;
    net_timer_start(connection->delay, (int64_t)reply->delay_ms);
}

void smtp_server_message(struct smtp_server *server, const struct wire_message *message)
{
    struct connection *connection = find_asker(server, message->tag);
    const union wire_body *body = &message->body;
    enum smtp_want asked;
    int64_t now_ms;

    if (connection == NULL)
        return; /* the client is gone, or waited too long */
    now_ms = clock_monotonic_ms();
    asked = smtp_session_wants(connection->session);
    if (message->type == WIRE_LOGIN_REPLY && asked == SMTP_WANTS_LOGIN) {
        on_login_reply(connection, &body->login_reply);
    } else if (message->type == WIRE_SENDER_REPLY && asked == SMTP_WANTS_SENDER) {
        connection->is_asked = false;
        smtp_session_sender_done(connection->session, (enum wire_status)body->sender_reply.status,
                                 now_ms);
    } else if (message->type == WIRE_RECIPIENT_REPLY && asked == SMTP_WANTS_RECIPIENT) {
        connection->is_asked = false;
        smtp_session_recipient_done(
            connection->session, (enum wire_status)body->recipient_reply.status,
            &body->recipient_reply.mailbox, body->recipient_reply.detail, now_ms);
    } else if (message->type == WIRE_DELIVER_REPLY && asked == SMTP_WANTS_DELIVERY) {
        connection->is_asked =
            !smtp_session_delivery_done(connection->session, message->tag & 0xffff,
                                        (enum wire_status)body->deliver_reply.status, now_ms);
    }
    pump(connection);
}

static bool is_asked_of(enum smtp_want want, enum wire_role peer)
{
    if (peer == WIRE_ROLE_STORE)
        return want == SMTP_WANTS_DELIVERY;
    return want == SMTP_WANTS_LOGIN || want == SMTP_WANTS_SENDER || want == SMTP_WANTS_RECIPIENT;
}

void smtp_server_set_peer(struct smtp_server *server, enum wire_role peer,
                          struct wire_channel *channel)
{
    if (peer == WIRE_ROLE_KEEPER)
        server->keeper = channel;
    else if (peer == WIRE_ROLE_STORE)
        server->store = channel;
    for (size_t i = 0; i < server->slot_room; i++) {
        struct connection *connection = server->slots[i];

        /* Nobody knows whether what was asked of the old one was done: try again. */
        if (connection == NULL || connection->session == NULL || !connection->is_asked ||
            !is_asked_of(smtp_session_wants(connection->session), peer))
            continue;
        connection->is_asked = false;
        smtp_session_expire(connection->session, clock_monotonic_ms());
        pump(connection);
    }
}

/* ---- the service ---- */

struct smtp_server *smtp_server_new(struct net_loop *loop, const struct log *log,
                                    struct net_tls *tls)
{
    struct smtp_server *server = NEW(struct smtp_server);

    server->loop = loop;
    server->log = log;
    server->tls = tls;
    server->tick = net_timer_new(loop, on_tick, server);
    net_timer_start(server->tick, TICK_MS);
    return server;
}

static void stop_listening(struct smtp_server *server)
{
    for (size_t i = 0; i < server->listening_count; i++)
        net_listener_free(&server->listenings[i].listener);
    server->listening_count = 0;
}

void smtp_server_free(struct smtp_server **server)
{
    struct smtp_server *s = *server;

    if (s == NULL)
        return;
    s->on_stopped = NULL;
    stop_listening(s);
    for (size_t i = 0; i < s->slot_room; i++) {
        if (s->slots[i] != NULL)
            connection_free(s->slots[i]);
    }
    mem_free(&s->slots);
    net_timer_free(&s->tick);
    net_timer_free(&s->grace);
    mem_free(server);
}

void smtp_server_configure(struct smtp_server *server, const struct smtp_service_options *options)
{
    uint64_t memory = options->message_size_max * 4;

    server->options = *options;
    server->memory.limit_bytes = memory > MEMORY_MIN ? (size_t)memory : MEMORY_MIN;
}

void smtp_server_listen(struct smtp_server *server, int fd, enum smtp_service service, bool is_tls)
{
    struct listening *listening;

    if (server->listening_count == LISTENERS_MAX) {
        log_error(server->log, "too many addresses to listen on");
        close(fd);
        return;
    }
    listening = &server->listenings[server->listening_count++];
    *listening = (struct listening){.server = server, .service = service, .is_tls = is_tls};
    listening->listener = net_listener_new(server->loop, fd, on_accept, listening);
}

static void on_grace(void *owner)
{
    struct smtp_server *server = owner;
    net_callback on_stopped = server->on_stopped;

    server->on_stopped = NULL;
    if (on_stopped != NULL)
        on_stopped(server->stopped_owner);
}

void smtp_server_stop(struct smtp_server *server, int64_t grace_ms, net_callback on_done,
                      void *owner)
{
    server->on_stopped = on_done;
    server->stopped_owner = owner;
    stop_listening(server);
    if (server->grace == NULL)
        server->grace = net_timer_new(server->loop, on_grace, server);
    net_timer_start(server->grace, grace_ms);
    for (size_t i = 0; i < server->slot_room; i++) {
        struct connection *connection = server->slots[i];

        if (connection == NULL || connection->is_finishing)
            continue;
        if (connection->session == NULL) {
            finish(connection);
        } else {
            smtp_session_stop(connection->session);
            pump(connection);
        }
    }
    check_stopped(server);
}
