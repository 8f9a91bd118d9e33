/*
 * Invariants: a connection has a slot for its whole life, and at most one question is open for it.
 * Whatever changed, `smtp_pump` moves it on until it waits for somebody else.
 */
#include "smtp/server/service_state.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "smtp/server/reply.h"

#include <string.h>
#include <unistd.h>

enum {
    OUTPUT_LIMIT = 64 * 1024,
    TICK_MS = 1000, /* how exactly deadlines are kept */
    REFUSALS_MAX = 64,      /* connections that are only being told that there are too many */
    MEMORY_MIN = 256 << 20, /* for messages in the making; or four of the largest */
};

static struct connection *find_asker(const struct smtp_server *server, uint64_t tag)
{
    uint64_t slot = tag >> 40;
    struct connection *connection = slot < server->slot_room ? server->slots[slot] : NULL;

    if (connection == NULL || !connection->is_asked || connection->session == NULL ||
        connection->question != (tag >> 16 & SMTP_QUESTION_MASK))
        return NULL;
    return connection;
}

bool smtp_is_trusted(const struct connection *connection)
{
    return net_connection_is_loopback(connection->net) &&
           !connection->server->options.loopback_is_foreign;
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

void smtp_pump(struct connection *connection)
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
        case SMTP_WANTS_CHECK:
        case SMTP_WANTS_RECIPIENT:
        case SMTP_WANTS_EXAMINATION:
        case SMTP_WANTS_DELIVERY:
            is_moving = smtp_serve(connection, want);
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
    smtp_checks_free(&connection->checks);
    smtp_examiners_leave(&connection->turn);
    fd_close(&connection->content_fd);
    smtp_session_free(&connection->session);
    net_connection_free(&connection->net);
    mem_free(&connection);
    check_stopped(server);
}

/* Strangers' mail servers, but for those that the operator exempts. */
static bool is_suspect(const struct connection *connection)
{
    const struct smtp_service_options *options = &connection->server->options;

    return connection->service == SMTP_SERVICE_MX && !smtp_is_trusted(connection) &&
           (options->is_exempt == NULL ||
            !options->is_exempt(options->exempt_owner, net_connection_address(connection->net)));
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
        .is_suspect = connection->checks != NULL,
        .message_size_max = options->message_size_max,
        .recipients_max = options->recipients_max,
        .hops_max = options->hops_max,
        .greeting_timeout_ms = options->login_timeout_ms,
        .memory = &server->memory,
        .log = server->log,
        .on_unused = smtp_on_unused,
        .on_unused_owner = server,
    };

    connection->session = smtp_session_new(&engine, clock_monotonic_ms());
    smtp_pump(connection);
}

static void on_input(void *owner, struct net_connection *net, struct str bytes)
{
    struct connection *connection = owner;

    (void)net;
    if (connection->session == NULL || connection->is_finishing)
        return;
    smtp_session_input(connection->session, bytes, clock_monotonic_ms());
    smtp_pump(connection);
}

static void on_room(void *owner, struct net_connection *net)
{
    struct connection *connection = owner;

    (void)net;
    if (connection->session != NULL)
        smtp_pump(connection);
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
    smtp_pump(connection);
}

/* The client closed its half: what it sent is still answered, then the conversation is over. */
static void on_end(void *owner, struct net_connection *net)
{
    struct connection *connection = owner;

    connection->is_input_over = true;
    if (connection->session == NULL || (connection->is_securing && !net_connection_is_secure(net)))
        net_connection_finish(net);
    else
        smtp_pump(connection);
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

    if (smtp_is_trusted(connection))
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
    connection->content_fd = -1;
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
        return;
    }
    if (is_suspect(connection))
        connection->checks =
            smtp_checks_new(server->loop, server->dns, &server->options.checks,
                            net_connection_address(connection->net), smtp_on_checks_known, connection);
    if (!listening->is_tls)
        begin_session(connection);
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
        connection->is_asked = connection->is_postponed = false;
        smtp_examiners_leave(&connection->turn);
        smtp_session_expire(connection->session, now_ms);
        smtp_pump(connection);
    }
}

/* Asks, or answers, where a question waited: a role came, or was waited for long enough. */
static void ask_postponed(struct smtp_server *server)
{
    for (size_t i = 0; i < server->slot_room; i++) {
        if (server->slots[i] != NULL && server->slots[i]->is_postponed)
            smtp_pump(server->slots[i]);
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
    ask_postponed(server);
    smtp_examiners_run(server->examiners, now_ms);
    net_timer_start(server->tick, TICK_MS);
}

/* ---- answers ---- */

void smtp_server_message(struct smtp_server *server, const struct wire_channel *channel,
                         const struct wire_message *message)
{
    struct connection *connection;

    if (message->type == WIRE_DNS_ANSWER) {
        dns_client_message(server->dns, message);
        return;
    }
    if (message->type == WIRE_EXAMINE_REPLY) {
        smtp_on_examined(server, channel, message);
        return;
    }
    connection = find_asker(server, message->tag);
    if (connection != NULL)
        smtp_on_answer(connection, message);
    else /* the client is gone, or waited too long */
        smtp_on_late_answer(server, message);
}

static struct smtp_peer *place_of(struct smtp_server *server, enum wire_role role)
{
    if (role == WIRE_ROLE_KEEPER)
        return &server->keeper;
    if (role == WIRE_ROLE_STORE)
        return &server->store;
    return role == WIRE_ROLE_COURIER ? &server->courier : NULL;
}

void smtp_server_add_peer(struct smtp_server *server, struct wire_channel *channel)
{
    enum wire_role role = wire_channel_peer(channel);
    struct smtp_peer *place = place_of(server, role);

    if (place != NULL) {
        place->channel = channel;
        ask_postponed(server);
    } else if (role == WIRE_ROLE_RESOLVER) {
        dns_client_set_peer(server->dns, channel);
    } else if (role == WIRE_ROLE_EXAMINER) {
        smtp_examiners_add(server->examiners, channel);
    }
    smtp_examiners_run(server->examiners, clock_monotonic_ms());
}

/* Nobody knows whether what was asked of it was done: try again. */
static void lose_role(struct smtp_server *server, enum wire_role role)
{
    for (size_t i = 0; i < server->slot_room; i++) {
        struct connection *connection = server->slots[i];

        if (connection == NULL || connection->session == NULL || !connection->is_asked ||
            !smtp_session_role_lost(connection->session, role, clock_monotonic_ms()))
            continue;
        connection->is_asked = false;
        smtp_pump(connection);
    }
}

void smtp_server_remove_peer(struct smtp_server *server, struct wire_channel *channel)
{
    enum wire_role role = wire_channel_peer(channel);
    struct smtp_peer *place = place_of(server, role);

    if (place != NULL && place->channel == channel) {
        *place = (struct smtp_peer){.absent_ms = clock_monotonic_ms()};
        lose_role(server, role);
    } else if (role == WIRE_ROLE_RESOLVER) {
        dns_client_set_peer(server->dns, NULL);
    } else if (role == WIRE_ROLE_EXAMINER) {
        smtp_examiners_remove(server->examiners, channel, clock_monotonic_ms());
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
    server->dns = dns_client_new(loop);
    server->examiners = smtp_examiners_new(&smtp_examiners_events);
    server->keeper.absent_ms = server->store.absent_ms = server->courier.absent_ms =
        clock_monotonic_ms();
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
    dns_client_free(&s->dns);
    smtp_examiners_free(&s->examiners);
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

    if (server->listening_count == SMTP_LISTENERS_MAX) {
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
    server->is_stopping = true;
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
            smtp_pump(connection);
        }
    }
    check_stopped(server);
}
