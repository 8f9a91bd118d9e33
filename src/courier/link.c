/*
 * `turn` does what the engine wants until it waits for something; it runs inside an event of the
 * loop and tells the owner last. What is not told from inside an event (a mail that is done at
 * once, a link that is READY when it is handed over) is told by `kick`, a timer of no delay.
 *
 * A link that was freed while READY, or that ends by itself, lives on without an owner until QUIT
 * is out; the kernel would else throw it away with the peer's unread 221.
 */
#include "courier/link.h"

#include "base/clock.h"
#include "base/memory.h"
#include "net/connection.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { OUTPUT_LIMIT = 128 * 1024 };

struct courier_links {
    struct net_loop *loop;
    struct net_tls_client *tls;
    struct courier_link *first;
};

struct courier_link {
    struct courier_links *links;
    struct courier_link *next, *previous;
    struct arena arena;
    struct net_connect *dialing;       /* own */
    struct net_connection *connection; /* own */
    struct smtp_client *client;        /* own; NULL: not connected yet */
    struct net_timer *timer, *kick;    /* own */
    struct net_tls_peer peer;          /* texts in the arena */
    struct smtp_client_options options;
    struct secret *password; /* own; NULL: no login */
    const struct courier_link_events *events; /* NULL: without an owner */
    void *owner;
    size_t address_index; /* that answered */
    bool is_implicit_tls, is_tls_started, has_tls_failed, is_finishing;
    bool is_ready_told, is_ended_told;
    bool is_busy, is_doomed;
    struct smtp_client_trouble trouble; /* before there is an engine */
};

static void destroy(struct courier_link *link)
{
    if (link->is_busy) {
        link->is_doomed = true;
        return;
    }
    if (link->previous != NULL)
        link->previous->next = link->next;
    else
        link->links->first = link->next;
    if (link->next != NULL)
        link->next->previous = link->previous;
    net_connect_cancel(&link->dialing);
    net_connection_free(&link->connection);
    net_timer_free(&link->timer);
    net_timer_free(&link->kick);
    smtp_client_free(&link->client);
    secret_free(&link->password);
    arena_free(&link->arena);
    mem_free(&link);
}

static void start_tls(struct courier_link *link)
{
    link->is_tls_started = true;
    net_connection_start_tls_client(link->connection, link->links->tls, &link->peer);
}

static void set_timer(struct courier_link *link)
{
    int64_t deadline_ms = smtp_client_deadline(link->client);

    if (deadline_ms == INT64_MAX)
        net_timer_stop(link->timer);
    else
        net_timer_start(link->timer, deadline_ms - clock_monotonic_ms() + 1);
}

/* As much of the engine's output as the connection takes. */
static void offer(struct courier_link *link)
{
    struct str output;
    size_t taken;

    while (link->connection != NULL && (output = smtp_client_output(link->client)).len > 0) {
        taken = net_connection_offer(link->connection, output);
        if (taken == 0)
            return;
        smtp_client_consume_output(link->client, taken, clock_monotonic_ms());
    }
}

static void tell_ready(struct courier_link *link)
{
    if (link->is_ready_told || link->events == NULL)
        return;
    link->is_ready_told = true;
    link->events->on_ready(link->owner, link);
}

static void tell_ended(struct courier_link *link)
{
    if (link->is_ended_told || link->events == NULL)
        return;
    link->is_ended_told = true;
    link->events->on_ended(link->owner, link);
}

static void finish(struct courier_link *link)
{
    if (link->connection != NULL && !link->is_finishing) {
        link->is_finishing = true;
        net_connection_finish(link->connection);
    }
}

static void turn(struct courier_link *link)
{
    offer(link);
    set_timer(link);
    switch (smtp_client_wants(link->client)) {
    case SMTP_CLIENT_WANTS_INPUT:
        break;
    case SMTP_CLIENT_WANTS_TLS:
        if (!link->is_tls_started && link->connection != NULL)
            start_tls(link);
        break;
    case SMTP_CLIENT_WANTS_MAIL:
        tell_ready(link);
        break;
    case SMTP_CLIENT_WANTS_CLOSE:
        finish(link);
        tell_ended(link);
        break;
    }
}

/* Every event function begins with enter and ends with leave, behind which `link` may be gone. */
static void enter(struct courier_link *link)
{
    link->is_busy = true;
}

static void leave(struct courier_link *link)
{
    if (link->client != NULL)
        turn(link);
    link->is_busy = false;
    if (link->is_doomed || (link->events == NULL && link->connection == NULL))
        destroy(link);
}

static void on_input(void *owner, struct net_connection *connection, struct str bytes)
{
    struct courier_link *link = owner;

    (void)connection;
    enter(link);
    smtp_client_input(link->client, bytes, clock_monotonic_ms());
    leave(link);
}

static void on_room(void *owner, struct net_connection *connection)
{
    struct courier_link *link = owner;

    (void)connection;
    enter(link);
    leave(link);
}

static void on_secure(void *owner, struct net_connection *connection)
{
    struct courier_link *link = owner;

    (void)connection;
    enter(link);
    if (!link->is_implicit_tls)
        smtp_client_secured(link->client, clock_monotonic_ms());
    leave(link);
}

static void on_close(void *owner, struct net_connection *connection, enum net_close_reason reason)
{
    struct courier_link *link = owner;
    struct buf words;

    enter(link);
    buf_init(&words, SIZE_MAX);
    if (reason == NET_CLOSED_TLS) {
        struct str problem = net_connection_tls_problem(connection);

        link->has_tls_failed = true;
        buf_putf(&words, "TLS could not be started: %.*s", STR_ARG(problem));
    }
    smtp_client_lost(link->client, buf_str(&words), clock_monotonic_ms());
    buf_free(&words);
    net_connection_free(&link->connection);
    leave(link);
}

static const struct net_connection_events connection_events = {
    .on_input = on_input, .on_room = on_room, .on_secure = on_secure, .on_close = on_close};

static void on_time(void *owner)
{
    struct courier_link *link = owner;

    enter(link);
    smtp_client_expire(link->client, clock_monotonic_ms());
    leave(link);
}

static void on_kick(void *owner)
{
    struct courier_link *link = owner;

    enter(link);
    leave(link);
}

static void on_connect(void *owner, int fd, size_t index, int error)
{
    struct courier_link *link = owner;
    const char *words = strerrordesc_np(error);

    link->address_index = index;
    link->dialing = NULL;
    enter(link);
    if (fd < 0) {
        link->trouble = (struct smtp_client_trouble){
            .ending = SMTP_CLIENT_ENDED_LOST,
            .enhanced = {4, 4, 1},
            .words = arena_printf(&link->arena, "no connection: %s",
                                  words == NULL ? "it was refused" : words),
        };
        tell_ended(link);
    } else {
        link->options.is_secure = link->is_implicit_tls;
        link->client = smtp_client_new(&link->options, clock_monotonic_ms());
        link->connection =
            net_connection_new(link->links->loop, fd, NULL, OUTPUT_LIMIT, &connection_events, link);
        if (link->is_implicit_tls)
            start_tls(link);
    }
    leave(link);
}

struct courier_link *courier_link_new(struct courier_links *links,
                                      const struct courier_link_options *options,
                                      const struct courier_link_events *events, void *owner)
{
    struct courier_link *link = NEW(struct courier_link);
    struct net_connect_options dial = {.addresses = options->addresses,
                                       .address_count = options->address_count,
                                       .port = options->port,
                                       .timeout_ms = options->connect_timeout_ms};
    struct str *records = ARENA_ARRAY(&link->arena, struct str, options->peer.record_count + 1);

    link->links = links;
    link->events = events;
    link->owner = owner;
    link->options = options->client;
    link->options.hostname = arena_copy(&link->arena, options->client.hostname);
    link->options.user = arena_copy(&link->arena, options->client.user);
    if (options->client.password != NULL) /* a reload may bring another one meanwhile */
        link->password = secret_copy(secret_str(options->client.password));
    link->options.password = link->password;
    link->is_implicit_tls = options->is_implicit_tls;
    link->peer = options->peer;
    link->peer.name = arena_copy(&link->arena, options->peer.name);
    link->peer.other_name = arena_copy(&link->arena, options->peer.other_name);
    for (size_t i = 0; i < options->peer.record_count; i++)
        records[i] = arena_copy(&link->arena, options->peer.records[i]);
    link->peer.records = records;
    link->timer = net_timer_new(links->loop, on_time, link);
    link->kick = net_timer_new(links->loop, on_kick, link);
    link->next = links->first;
    if (link->next != NULL)
        link->next->previous = link;
    links->first = link;
    link->dialing = net_connect_start(links->loop, &dial, on_connect, link);
    return link;
}

void courier_link_own(struct courier_link *link, const struct courier_link_events *events,
                      void *owner)
{
    link->events = events;
    link->owner = owner;
}

void courier_link_free(struct courier_link **link)
{
    struct courier_link *gone = *link;

    *link = NULL;
    if (gone == NULL)
        return;
    gone->events = NULL;
    if (gone->client != NULL && gone->connection != NULL) {
        bool is_ready = smtp_client_wants(gone->client) == SMTP_CLIENT_WANTS_MAIL;

        smtp_client_quit(gone->client, clock_monotonic_ms());
        if (is_ready || gone->is_finishing) {
            offer(gone);
            finish(gone);
            return; /* on_close is its end */
        }
    }
    destroy(gone);
}

enum courier_link_state courier_link_state(const struct courier_link *link)
{
    if (link->client == NULL)
        return link->trouble.ending == SMTP_CLIENT_ENDED_NOT ? COURIER_LINK_BUSY
                                                             : COURIER_LINK_ENDED;
    switch (smtp_client_wants(link->client)) {
    case SMTP_CLIENT_WANTS_MAIL:
        return COURIER_LINK_READY;
    case SMTP_CLIENT_WANTS_CLOSE:
        return COURIER_LINK_ENDED;
    case SMTP_CLIENT_WANTS_TLS:
    case SMTP_CLIENT_WANTS_INPUT:
        break;
    }
    return COURIER_LINK_BUSY;
}

enum courier_link_trouble courier_link_trouble(const struct courier_link *link)
{
    if (link->client == NULL)
        return COURIER_LINK_UNREACHABLE;
    return link->has_tls_failed || smtp_client_trouble(link->client).is_tls
               ? COURIER_LINK_TLS_FAILED
               : COURIER_LINK_SESSION;
}

struct smtp_client_trouble courier_link_words(const struct courier_link *link)
{
    struct smtp_client_trouble trouble =
        link->client == NULL ? link->trouble : smtp_client_trouble(link->client);

    if (link->has_tls_failed || trouble.is_tls)
        trouble.enhanced = (struct smtp_enhanced){4, 7, 5};
    return trouble;
}

void courier_link_send(struct courier_link *link, const struct smtp_client_mail *mail)
{
    link->is_ready_told = false;
    smtp_client_send(link->client, mail, clock_monotonic_ms());
    net_timer_start(link->kick, 0);
}

const struct smtp_client *courier_link_client(const struct courier_link *link)
{
    return link->client;
}

size_t courier_link_address(const struct courier_link *link)
{
    return link->address_index;
}

struct str courier_link_tls_words(const struct courier_link *link)
{
    return link->connection == NULL ? STR("") : net_connection_tls_words(link->connection);
}

struct courier_links *courier_links_new(struct net_loop *loop, struct net_tls_client *tls)
{
    struct courier_links *links = NEW(struct courier_links);

    links->loop = loop;
    links->tls = tls;
    return links;
}

void courier_links_free(struct courier_links **links)
{
    if (*links == NULL)
        return;
    while ((*links)->first != NULL)
        destroy((*links)->first);
    mem_free(links);
}
