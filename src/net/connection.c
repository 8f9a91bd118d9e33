/*
 * One peer's byte stream.
 *
 *   PLAIN ──> AWAITING_TLS ──> HANDSHAKE ──> SECURE        any ──> FINISHING ──> CLOSED
 *
 *   PLAIN -> AWAITING_TLS      net_connection_start_tls(_client), until what is queued was sent
 *   AWAITING_TLS -> HANDSHAKE  begin_tls; a new connection with implicit TLS begins here
 *   HANDSHAKE -> SECURE        handshake, then on_secure
 *   any -> FINISHING           net_connection_finish: send what is queued, then wait for the peer
 *                              to have read it (closing earlier would reset the connection and
 *                              destroy replies that are on their way)
 *   any -> CLOSED              close_with, which calls on_close
 *
 * What is to be sent lies in `output` (as the owner gave it) and, with TLS, in `carrier.sealed` (as
 * it goes out); both are freed when empty, so that a silent connection costs nothing but its
 * objects. Nothing calls the owner from inside a call of his: that waits for `kick`, a timer of no
 * delay.
 */
#include "net/connection.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "net/compress.h"
#include "net/tls_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SEALED_HIGH = 60 * 1024, /* not more is sealed ahead of the socket, but for a record */
    SEALED_RESERVE = 80 * 1024,
    READS_PER_TURN = 8,     /* then other connections have their turn */
    INFLATED_PER_TURN = 16, /* pieces; likewise */
    FINISH_MS = 10 * 1000,  /* to send what is queued */
    LINGER_MS = 2 * 1000,   /* to see the peer close */
    ADDRESS_ROOM = INET6_ADDRSTRLEN,
    TLS_WORDS_ROOM = 64,
};

enum state {
    STATE_PLAIN,
    STATE_AWAITING_TLS,
    STATE_HANDSHAKE,
    STATE_SECURE,
    STATE_FINISHING,
    STATE_CLOSED,
};

struct net_connection {
    struct net_loop *loop;                      /* borrowed */
    struct net_watch *watch;                    /* own */
    struct net_timer *kick;                     /* own; made when first needed */
    struct net_timer *timer;                    /* own; time-outs, made when first needed */
    const struct net_connection_events *events; /* borrowed */
    void *owner;                                /* borrowed */
    struct net_tls *tls;                        /* borrowed; while AWAITING_TLS */
    SSL *ssl;                                   /* own; NULL: no TLS (yet) */
    const char *tls_problem;                    /* static */
    char *tls_words;                            /* own */
    struct tls_carrier carrier;                 /* its descriptor is ours */
    struct net_compress *compress;              /* own; NULL: not compressed */
    struct buf output;
    size_t output_limit;
    int64_t idle_ms; /* 0: no time-out */
    int64_t last_active_ms;
    int64_t finish_by_ms;
    enum net_close_reason failure; /* while `has_failed`: what kick will report */
    enum state state;
    bool wants_input;
    bool is_input_over;  /* the peer closed its half */
    bool is_output_over; /* nothing more is written: our half closes behind what is queued */
    bool is_secure;
    bool has_failed;
    bool is_room_awaited; /* the output went over half: on_room when it falls under it */
    bool is_notified;     /* FINISHING: TLS's close_notify is on its way */
    bool is_shut;         /* all is sent, our side is closed */
    bool is_busy;         /* inside one of our event functions: freeing waits */
    bool is_freed;
    bool is_loopback;
    char address[ADDRESS_ROOM];
};

static void kick(struct net_connection *connection);

static size_t queued(const struct net_connection *connection)
{
    return connection->output.len + connection->carrier.sealed.len;
}

static void want(struct net_connection *connection)
{
    bool is_reading = false;

    if (connection->has_failed || connection->state == STATE_CLOSED) {
        net_watch_want(connection->watch, false, false);
        return;
    }
    switch (connection->state) {
    case STATE_PLAIN:
    case STATE_SECURE:
        is_reading = connection->wants_input;
        break;
    case STATE_HANDSHAKE:
    case STATE_FINISHING:
        is_reading = !connection->is_input_over;
        break;
    case STATE_AWAITING_TLS:
    case STATE_CLOSED:
        break;
    }
    net_watch_want(connection->watch, is_reading,
                   connection->carrier.sealed.len > 0 ||
                       (connection->output.len > 0 && connection->state != STATE_HANDSHAKE));
}

static void destroy(struct net_connection *connection)
{
    net_watch_free(&connection->watch);
    net_timer_free(&connection->kick);
    net_timer_free(&connection->timer);
    SSL_free(connection->ssl);
    net_compress_free(&connection->compress);
    mem_free(&connection->tls_words);
    buf_free(&connection->output);
    buf_free(&connection->carrier.sealed);
    fd_close(&connection->carrier.fd);
    mem_wipe(connection, sizeof(*connection));
    mem_free(&connection);
}

/* Every event function of ours begins with enter and ends with leave. */
static void enter(struct net_connection *connection)
{
    connection->is_busy = true;
}

static void leave(struct net_connection *connection)
{
    connection->is_busy = false;
    if (connection->is_freed)
        destroy(connection);
    else
        want(connection);
}

static void close_with(struct net_connection *connection, enum net_close_reason reason)
{
    if (connection->state == STATE_CLOSED)
        return;
    connection->state = STATE_CLOSED;
    connection->wants_input = false;
    if (connection->timer != NULL)
        net_timer_stop(connection->timer);
    want(connection);
    connection->events->on_close(connection->owner, connection, reason);
}

/* Remembers what ended the connection; the owner hears of it from the loop. */
static void fail_later(struct net_connection *connection, enum net_close_reason reason)
{
    if (!connection->has_failed) {
        connection->has_failed = true;
        connection->failure = reason;
        kick(connection);
    }
}

/* Sends from the front of `bytes`; false when the socket failed. */
static bool send_some(struct net_connection *connection, struct str bytes, size_t *out_sent)
{
    ssize_t sent;

    *out_sent = 0;
    while (bytes.len > 0) {
        sent = send(connection->carrier.fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        connection->last_active_ms = clock_monotonic_ms();
        *out_sent += (size_t)sent;
        bytes = str_from(bytes, (size_t)sent);
    }
    return true;
}

static void consume(struct buf *buf, size_t len)
{
    if (len == buf->len)
        buf_free(buf);
    else
        buf_consume(buf, len);
}

/* Seals from the front of `bytes` until enough waits for the socket. */
static bool seal_some(struct net_connection *connection, struct str bytes, size_t *out_taken)
{
    char *room;

    *out_taken = 0;
    /* One allocation for the records of a large piece. */
    if (bytes.len > SEALED_RESERVE / 2 &&
        buf_reserve(&connection->carrier.sealed, SEALED_RESERVE, &room) != ERR_OK)
        return false;
    while (bytes.len > 0 && connection->carrier.sealed.len < SEALED_HIGH) {
        size_t taken = 0;

        ERR_clear_error();
        if (SSL_write_ex(connection->ssl, bytes.ptr, bytes.len, &taken) != 1) {
            ERR_clear_error();
            return false;
        }
        *out_taken += taken;
        bytes = str_from(bytes, taken);
    }
    return true;
}

static bool flush_sealed(struct net_connection *connection)
{
    size_t sent;
    bool is_fine = send_some(connection, buf_str(&connection->carrier.sealed), &sent);

    if (sent > 0)
        consume(&connection->carrier.sealed, sent);
    return is_fine;
}

/* As much of `bytes` as goes out now; *out_taken of them are sent or sealed. */
static bool transmit(struct net_connection *connection, struct str bytes, size_t *out_taken)
{
    size_t part;

    if (!connection->is_secure)
        return send_some(connection, bytes, out_taken);
    *out_taken = 0;
    do {
        if (!flush_sealed(connection))
            return false;
        if (connection->carrier.sealed.len > 0)
            return true; /* the socket is full */
        if (!seal_some(connection, bytes, &part))
            return false;
        *out_taken += part;
        bytes = str_from(bytes, part);
    } while (part > 0);
    return true;
}

/* What is queued, as far as the socket takes it. */
static bool flush(struct net_connection *connection)
{
    size_t taken = 0;

    if (connection->state == STATE_HANDSHAKE)
        return flush_sealed(connection);
    if (!transmit(connection, buf_str(&connection->output), &taken))
        return false;
    if (taken > 0)
        consume(&connection->output, taken);
    return true;
}

/* Bytes as they are to be sent. */
static void put(struct net_connection *connection, struct str bytes)
{
    size_t taken = 0;

    if (queued(connection) == 0 && connection->state != STATE_HANDSHAKE &&
        !transmit(connection, bytes, &taken)) {
        fail_later(connection, NET_CLOSED_ERROR);
        return;
    }
    if (taken < bytes.len)
        buf_put(&connection->output, str_from(bytes, taken));
    if (queued(connection) >= connection->output_limit / 2)
        connection->is_room_awaited = true;
    if (!connection->is_busy)
        want(connection);
}

void net_connection_write(struct net_connection *connection, struct str bytes)
{
    struct buf packed;

    if (connection->state == STATE_CLOSED || connection->state == STATE_FINISHING ||
        connection->is_output_over || connection->has_failed || bytes.len == 0)
        return;
    if (connection->compress == NULL) {
        put(connection, bytes);
        return;
    }
    buf_init(&packed, SIZE_MAX);
    net_compress_deflate(connection->compress, bytes, &packed);
    put(connection, buf_str(&packed));
    buf_free(&packed);
}

size_t net_connection_room(const struct net_connection *connection)
{
    size_t waiting = queued(connection);

    if (connection->state == STATE_CLOSED || connection->has_failed)
        return 0;
    return waiting >= connection->output_limit ? 0 : connection->output_limit - waiting;
}

size_t net_connection_offer(struct net_connection *connection, struct str bytes)
{
    size_t taken = 0, room;

    while (taken < bytes.len && (room = net_connection_room(connection)) > 0) {
        struct str part = str_upto(str_from(bytes, taken), room);

        net_connection_write(connection, part);
        taken += part.len;
    }
    return taken;
}

static void remember_tls(struct net_connection *connection)
{
    connection->tls_words = NEW_ARRAY(char, TLS_WORDS_ROOM);
    snprintf(connection->tls_words, TLS_WORDS_ROOM, "%s, %s", SSL_get_version(connection->ssl),
             SSL_get_cipher_name(connection->ssl));
}

static void handshake(struct net_connection *connection)
{
    int status, error;

    ERR_clear_error();
    status = SSL_do_handshake(connection->ssl);
    error = SSL_get_error(connection->ssl, status);
    if (status != 1 && error != SSL_ERROR_WANT_READ)
        connection->tls_problem = net_tls_problem(connection->ssl);
    ERR_clear_error();
    if (status != 1 && error != SSL_ERROR_WANT_READ) {
        (void)flush_sealed(connection); /* the alert says why */
        close_with(connection, NET_CLOSED_TLS);
        return;
    }
    if (status == 1) {
        connection->state = STATE_SECURE;
        connection->is_secure = true;
        remember_tls(connection);
    }
    if (!flush(connection)) {
        close_with(connection, NET_CLOSED_ERROR);
        return;
    }
    if (status != 1)
        return;
    if (SSL_has_pending(connection->ssl) != 0)
        kick(connection); /* application data came with the handshake's end */
    if (connection->events->on_secure != NULL)
        connection->events->on_secure(connection->owner, connection);
}

static void begin_tls(struct net_connection *connection)
{
    bool is_client = connection->ssl != NULL;

    if (!is_client && connection->tls != NULL)
        connection->ssl = net_tls_accept(connection->tls, &connection->carrier);
    connection->tls = NULL;
    connection->state = STATE_HANDSHAKE;
    if (connection->ssl == NULL)
        fail_later(connection, NET_CLOSED_TLS);
    else if (is_client)
        kick(connection); /* who speaks first */
}

static void await_tls(struct net_connection *connection)
{
    connection->state = STATE_AWAITING_TLS;
    if (queued(connection) == 0)
        begin_tls(connection);
    if (!connection->is_busy)
        want(connection);
}

void net_connection_start_tls(struct net_connection *connection, struct net_tls *tls)
{
    assert(connection->state == STATE_PLAIN || connection->state == STATE_CLOSED);
    if (connection->state == STATE_CLOSED || connection->has_failed)
        return;
    connection->tls = tls;
    await_tls(connection);
}

void net_connection_start_tls_client(struct net_connection *connection,
                                     struct net_tls_client *client,
                                     const struct net_tls_peer *peer)
{
    assert(connection->state == STATE_PLAIN || connection->state == STATE_CLOSED);
    if (connection->state == STATE_CLOSED || connection->has_failed)
        return;
    connection->ssl = net_tls_connect(client, peer, &connection->carrier);
    if (connection->ssl == NULL)
        connection->tls_problem = "what the server must show cannot be asked for";
    await_tls(connection);
}

enum reading { READING_SOME, READING_NOTHING, READING_END, READING_FAILED };

static enum reading read_plain(struct net_connection *connection, char *room, size_t size,
                               size_t *out_len)
{
    ssize_t got;

    do {
        got = recv(connection->carrier.fd, room, size, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? READING_NOTHING : READING_FAILED;
    *out_len = (size_t)got;
    return got == 0 ? READING_END : READING_SOME;
}

static enum reading read_sealed(struct net_connection *connection, char *room, size_t size,
                                size_t *out_len)
{
    ERR_clear_error();
    if (SSL_read_ex(connection->ssl, room, size, out_len) == 1)
        return READING_SOME;
    switch (SSL_get_error(connection->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return READING_NOTHING;
    case SSL_ERROR_ZERO_RETURN:
        return READING_END;
    default:
        ERR_clear_error();
        return READING_FAILED;
    }
}

static enum reading read_some(struct net_connection *connection, char *room, size_t size,
                              size_t *out_len)
{
    return connection->is_secure ? read_sealed(connection, room, size, out_len)
                                 : read_plain(connection, room, size, out_len);
}

/*
 * Compressed input, to the owner, as far as he wants it. False: some is left, for another turn or
 * until it is wanted, or it is over.
 */
static bool deliver_inflated(struct net_connection *connection)
{
    for (int i = 0; net_compress_has_more(connection->compress); i++) {
        struct str plain;

        if (!connection->wants_input)
            return false; /* net_connection_want_input comes back to it */
        if (i == INFLATED_PER_TURN) {
            kick(connection);
            return false;
        }
        if (net_compress_inflate(connection->compress, &plain) != ERR_OK) {
            close_with(connection, NET_CLOSED_ERROR);
            return false;
        }
        if (plain.len > 0)
            connection->events->on_input(connection->owner, connection, plain);
        if (connection->is_freed || connection->has_failed || connection->state == STATE_FINISHING)
            return false;
    }
    return true;
}

/* Input to the owner. False: no more of it now. */
static bool deliver(struct net_connection *connection, struct str bytes)
{
    if (connection->compress == NULL) {
        connection->events->on_input(connection->owner, connection, bytes);
        return true;
    }
    net_compress_feed(connection->compress, bytes);
    return deliver_inflated(connection);
}

/* Input while it is wanted, to the owner; while FINISHING, to nobody. */
static void read_turn(struct net_connection *connection)
{
    size_t size;
    char *room = net_loop_scratch(connection->loop, &size);

    if (connection->compress != NULL && connection->state != STATE_FINISHING &&
        !deliver_inflated(connection))
        return;
    for (int i = 0; i < READS_PER_TURN && !connection->is_freed && !connection->has_failed; i++) {
        bool is_finishing = connection->state == STATE_FINISHING;
        size_t len = 0;
        enum reading reading;

        if (!is_finishing && (!connection->wants_input || (connection->state != STATE_PLAIN &&
                                                           connection->state != STATE_SECURE)))
            return;
        reading = read_some(connection, room, size, &len);
        if (reading == READING_NOTHING)
            return;
        if (reading == READING_END && !is_finishing && connection->events->on_end != NULL) {
            connection->is_input_over = true;
            connection->wants_input = false;
            connection->events->on_end(connection->owner, connection);
            return;
        }
        if (reading != READING_SOME) {
            close_with(connection, reading == READING_END ? NET_CLOSED_BY_PEER : NET_CLOSED_ERROR);
            return;
        }
        connection->last_active_ms = clock_monotonic_ms();
        if (!is_finishing && !deliver(connection, str_make(room, len))) {
            mem_wipe(room, len);
            return;
        }
        mem_wipe(room, len);
        if (!connection->is_secure && len < size)
            return; /* the socket is empty; the loop tells when it is not */
    }
    /* What OpenSSL holds already, the loop does not see. */
    if (!connection->is_freed && connection->is_secure && SSL_has_pending(connection->ssl) != 0)
        kick(connection);
}

static void on_readable(void *owner)
{
    struct net_connection *connection = owner;

    enter(connection);
    if (connection->state == STATE_HANDSHAKE)
        handshake(connection);
    else
        read_turn(connection);
    leave(connection);
}

static void start_timer(struct net_connection *connection);

/* All is sent, and nothing more comes from us; the peer may go on. */
static void shut_output(struct net_connection *connection)
{
    connection->is_shut = true;
    shutdown(connection->carrier.fd, SHUT_WR);
}

/* FINISHING, and all is sent: our side closes; the peer's end, or the timer, ends it. */
static void shut(struct net_connection *connection)
{
    if (connection->is_secure && !connection->is_notified) {
        connection->is_notified = true;
        ERR_clear_error();
        (void)SSL_shutdown(connection->ssl); /* close_notify */
        ERR_clear_error();
        if (flush_sealed(connection) && queued(connection) > 0)
            return; /* again when it is sent */
    }
    shut_output(connection);
    if (connection->is_input_over) {
        fail_later(connection, NET_CLOSED_BY_PEER);
        return;
    }
    connection->finish_by_ms = clock_monotonic_ms() + LINGER_MS;
    start_timer(connection);
}

static void after_flush(struct net_connection *connection)
{
    if (queued(connection) == 0 && connection->is_output_over && !connection->is_shut &&
        connection->state == STATE_PLAIN)
        shut_output(connection);
    if (queued(connection) == 0 && connection->state == STATE_AWAITING_TLS)
        begin_tls(connection);
    if (queued(connection) == 0 && connection->state == STATE_FINISHING && !connection->is_shut)
        shut(connection);
    if (connection->is_room_awaited && queued(connection) < connection->output_limit / 2) {
        connection->is_room_awaited = false;
        if (connection->events->on_room != NULL && connection->state != STATE_FINISHING)
            connection->events->on_room(connection->owner, connection);
    }
}

static void on_writable(void *owner)
{
    struct net_connection *connection = owner;

    enter(connection);
    if (!flush(connection))
        close_with(connection, NET_CLOSED_ERROR);
    else
        after_flush(connection);
    leave(connection);
}

static void on_kick(void *owner)
{
    struct net_connection *connection = owner;

    enter(connection);
    if (connection->has_failed)
        close_with(connection, connection->failure);
    else if (connection->state == STATE_HANDSHAKE)
        handshake(connection);
    else
        read_turn(connection);
    leave(connection);
}

static void kick(struct net_connection *connection)
{
    if (connection->kick == NULL)
        connection->kick = net_timer_new(connection->loop, on_kick, connection);
    net_timer_start(connection->kick, 0);
}

/* Activity only notes the time; the timer finds out here whether it was long ago. */
static void on_timer(void *owner)
{
    struct net_connection *connection = owner;
    int64_t now_ms = clock_monotonic_ms();
    bool is_over;

    enter(connection);
    if (connection->state == STATE_FINISHING)
        is_over = now_ms >= connection->finish_by_ms;
    else
        is_over =
            connection->idle_ms > 0 && now_ms >= connection->last_active_ms + connection->idle_ms;
    if (is_over)
        close_with(connection, connection->state == STATE_FINISHING && connection->is_shut
                                   ? NET_CLOSED_BY_PEER
                                   : NET_CLOSED_TIMEOUT);
    else
        start_timer(connection);
    leave(connection);
}

static void start_timer(struct net_connection *connection)
{
    int64_t due_ms = connection->state == STATE_FINISHING
                         ? connection->finish_by_ms
                         : connection->last_active_ms + connection->idle_ms;

    if (connection->state == STATE_CLOSED ||
        (connection->state != STATE_FINISHING && connection->idle_ms == 0))
        return;
    if (connection->timer == NULL)
        connection->timer = net_timer_new(connection->loop, on_timer, connection);
    /* Not earlier than due: the clocks' milliseconds are cut off. */
    net_timer_start(connection->timer, due_ms - clock_monotonic_ms() + 1);
}

void net_connection_set_timeout(struct net_connection *connection, int64_t idle_ms)
{
    connection->idle_ms = idle_ms;
    connection->last_active_ms = clock_monotonic_ms();
    if (connection->state == STATE_FINISHING)
        return;
    if (idle_ms == 0 && connection->timer != NULL)
        net_timer_stop(connection->timer);
    start_timer(connection);
}

void net_connection_want_input(struct net_connection *connection, bool is_wanted)
{
    bool was_wanted = connection->wants_input;

    if (connection->state == STATE_CLOSED)
        return;
    is_wanted = is_wanted && !connection->is_input_over;
    connection->wants_input = is_wanted;
    if (is_wanted && !was_wanted && connection->is_secure && SSL_has_pending(connection->ssl) != 0)
        kick(connection);
    if (is_wanted && !was_wanted && connection->compress != NULL &&
        net_compress_has_more(connection->compress))
        kick(connection);
    if (!connection->is_busy)
        want(connection);
}

void net_connection_end_output(struct net_connection *connection)
{
    assert(connection->state == STATE_PLAIN || connection->state == STATE_FINISHING ||
           connection->state == STATE_CLOSED);
    if (connection->state != STATE_PLAIN || connection->has_failed || connection->is_output_over)
        return;
    connection->is_output_over = true;
    if (queued(connection) == 0)
        shut_output(connection);
}

void net_connection_start_compression(struct net_connection *connection, struct str early)
{
    assert(connection->compress == NULL);
    if (connection->state == STATE_CLOSED || connection->has_failed)
        return;
    connection->compress = net_compress_new();
    net_compress_feed(connection->compress, early);
    if (early.len > 0)
        kick(connection);
}

void net_connection_finish(struct net_connection *connection)
{
    if (connection->state == STATE_FINISHING || connection->state == STATE_CLOSED ||
        connection->has_failed)
        return;
    if (connection->state == STATE_HANDSHAKE || connection->state == STATE_AWAITING_TLS) {
        fail_later(connection, NET_CLOSED_ERROR);
        return;
    }
    connection->state = STATE_FINISHING;
    connection->wants_input = false;
    connection->finish_by_ms = clock_monotonic_ms() + FINISH_MS;
    start_timer(connection);
    if (queued(connection) == 0)
        shut(connection);
    if (!connection->is_busy)
        want(connection);
}

bool net_connection_is_secure(const struct net_connection *connection)
{
    return connection->is_secure;
}

struct str net_connection_address(const struct net_connection *connection)
{
    return str_from_c(connection->address);
}

bool net_connection_is_loopback(const struct net_connection *connection)
{
    return connection->is_loopback;
}

struct str net_connection_tls_problem(const struct net_connection *connection)
{
    return str_from_c(connection->tls_problem);
}

struct str net_connection_tls_words(const struct net_connection *connection)
{
    return str_from_c(connection->tls_words);
}

static void note_v4(struct net_connection *connection, struct in_addr address)
{
    inet_ntop(AF_INET, &address, connection->address, sizeof(connection->address));
    connection->is_loopback = (ntohl(address.s_addr) >> 24) == 127;
}

/* An IPv4 client of an IPv6 socket is an IPv4 client. */
static void note_address(struct net_connection *connection)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(storage);
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    int on = 1;

    if (getpeername(connection->carrier.fd, (struct sockaddr *)&storage, &len) != 0 ||
        (storage.ss_family != AF_INET && storage.ss_family != AF_INET6)) {
        snprintf(connection->address, sizeof(connection->address), "local");
        connection->is_loopback = true;
        return;
    }
    setsockopt(connection->carrier.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(connection->carrier.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    memcpy(&v4, &storage, sizeof(v4));
    memcpy(&v6, &storage, sizeof(v6));
    if (storage.ss_family == AF_INET) {
        note_v4(connection, v4.sin_addr);
    } else if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
        memcpy(&v4.sin_addr, &v6.sin6_addr.s6_addr[12], sizeof(v4.sin_addr));
        note_v4(connection, v4.sin_addr);
    } else {
        inet_ntop(AF_INET6, &v6.sin6_addr, connection->address, sizeof(connection->address));
        connection->is_loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
}

struct net_connection *net_connection_new(struct net_loop *loop, int fd, struct net_tls *tls,
                                          size_t output_limit,
                                          const struct net_connection_events *events, void *owner)
{
    struct net_connection *connection = NEW(struct net_connection);

    connection->loop = loop;
    connection->events = events;
    connection->owner = owner;
    connection->output_limit = output_limit;
    connection->carrier.fd = fd;
    connection->wants_input = true;
    connection->last_active_ms = clock_monotonic_ms();
    buf_init(&connection->output, SIZE_MAX);
    buf_init(&connection->carrier.sealed, SIZE_MAX);
    note_address(connection);
    connection->watch = net_watch_new(loop, fd, on_readable, on_writable, connection);
    if (tls != NULL) {
        connection->tls = tls;
        begin_tls(connection);
    }
    want(connection);
    return connection;
}

void net_connection_free(struct net_connection **connection)
{
    struct net_connection *gone = *connection;

    *connection = NULL;
    if (gone == NULL)
        return;
    if (gone->is_busy) {
        gone->is_freed = true;
        gone->state = STATE_CLOSED;
        gone->wants_input = false;
    } else {
        destroy(gone);
    }
}
