/*
 * One client.
 *
 *   TALKING ──> ASKING ──> OPENING ──> CARRYING ──> DOZING ──> ASLEEP        any ──> ENDING
 *      ^──────────┴───────────┤           ^─────────────────────┘
 *      ^── WAITING <─────────>┘ (and ASKING)
 *
 *   TALKING -> ASKING     the engine wants a login: LOGIN to the keeper
 *   ASKING -> TALKING     refused (after the keeper's delay), or no keeper
 *   ASKING -> OPENING     the password is right: SESSION_OPEN, with a stream, to the store
 *   OPENING -> TALKING    the mailbox does not open now
 *   either -> WAITING     the keeper or the store is restarting, or died before it answered
 *   WAITING -> either     it is there again: the same question once more
 *   WAITING -> TALKING    it did not come in time
 *   OPENING -> CARRYING   the mailbox process speaks: the engine is freed
 *   CARRYING -> DOZING -> ASLEEP -> CARRYING   gate_hibernate.c
 *   any -> ENDING         what is queued on either side still goes out, then the client is freed
 *
 * Until CARRYING one deadline runs that nothing resets: a client that sends a byte a second is cut
 * off like a silent one. While CARRYING the gate understands nothing; each side is read only while
 * the other one has room.
 */
#include "role/gate_client.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "net/compress.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PEER_WAIT_MS = 3000, /* for a keeper or store that restarts, in one login */
    REOPEN_MS = 50,      /* then a mailbox that did not open is asked for again */
    BYE_WINDOW = 512,    /* the words of an end are looked for in so many last bytes */
    COMMAND_WINDOW = 1024,
};

static void pump(struct gate_client *client);

static const struct log *log_of(const struct gate_client *client)
{
    return role_log(client->gate->process);
}

static const struct config *config_of(const struct gate_client *client)
{
    return role_config(client->gate->process);
}

/* The keeper and the store forget the session; the keeper, too, if it has not answered yet. */
static void close_session(struct gate_client *client)
{
    struct wire_session_close body = {.session = client->session, .mailbox = client->mailbox};
    struct wire_channel *keeper = role_peer(client->gate->process, WIRE_ROLE_KEEPER, 0);
    struct wire_channel *store = role_peer(client->gate->process, WIRE_ROLE_STORE, 0);

    if (!id_is_set(&client->session))
        return;
    /* Whoever cannot be told is gone, and has forgotten. */
    if (client->has_store_session && store != NULL &&
        wire_send(store, WIRE_SESSION_CLOSE, 0, &body, NULL, 0) != ERR_OK)
        log_debug(log_of(client), "store was not told of a session's end");
    if (keeper != NULL && wire_send(keeper, WIRE_SESSION_CLOSE, 0, &body, NULL, 0) != ERR_OK)
        log_debug(log_of(client), "keeper was not told of a session's end");
    client->session = client->mailbox = (struct id){{0}};
    client->has_store_session = false;
}

static void free_engine(struct gate_client *client)
{
    if (client->engine != NULL)
        client->kind->free(client->engine);
    client->engine = NULL;
}

void gate_client_free(struct gate_client **client)
{
    struct gate_client *gone = *client;

    *client = NULL;
    if (gone == NULL)
        return;
    close_session(gone);
    if (gone->is_counted)
        net_census_remove(gone->gate->census, net_connection_address(gone->connection));
    free_engine(gone);
    net_timer_free(&gone->deadline);
    net_timer_free(&gone->step);
    net_connection_free(&gone->connection);
    net_connection_free(&gone->stream);
    fd_close(&gone->stream_fd);
    buf_free(&gone->sleep_state);
    gate_delist(gone->gate, gone->tag);
    mem_free(&gone);
}

struct gate_client *gate_find(struct gate *gate, uint64_t tag)
{
    size_t slot = tag & UINT32_MAX;

    if (slot >= gate->slot_count || gate->slots[slot] == NULL || gate->slots[slot]->tag != tag)
        return NULL;
    return gate->slots[slot];
}

void gate_client_end(struct gate_client *client)
{
    if (client->state == GATE_CLIENT_ENDING)
        return;
    client->state = GATE_CLIENT_ENDING;
    net_timer_free(&client->deadline);
    net_timer_free(&client->step);
    close_session(client);
    net_connection_finish(client->connection);
}

/* ---- Before login: the engine ---- */

static void send_output(struct gate_client *client)
{
    struct str output = client->kind->output(client->engine);

    client->kind->consume_output(client->engine, net_connection_offer(client->connection, output));
}

static void login_failed(struct gate_client *client, enum engine_refusal refusal)
{
    client->state = GATE_CLIENT_TALKING;
    client->waits_until_ms = 0;
    client->has_reopened = false;
    client->session = (struct id){{0}};
    client->kind->login_failed(client->engine, refusal);
    pump(client);
}

static void step_later(struct gate_client *client, int64_t delay_ms);
static void open_session(struct gate_client *client);

/* Who would answer is not there, but master is starting it again: a moment's patience instead of a
 * refusal that the user would see. gate_client_peer_came goes on. */
static void wait_for_peer(struct gate_client *client)
{
    int64_t now_ms = clock_monotonic_ms();

    if (client->waits_until_ms == 0)
        client->waits_until_ms = now_ms + PEER_WAIT_MS;
    client->state = GATE_CLIENT_WAITING;
    step_later(client, client->waits_until_ms - now_ms);
}

/* Asks the keeper. The engine keeps the credentials until the answer. */
static void ask(struct gate_client *client)
{
    struct wire_channel *keeper = role_peer(client->gate->process, WIRE_ROLE_KEEPER, 0);
    bool is_loopback = net_connection_is_loopback(client->connection);
    struct wire_login body = {
        .session = id_random(),
        .service = client->kind->service,
        .address = net_connection_address(client->connection),
        .is_local = is_loopback && !config_of(client)->loopback_is_foreign,
    };
    struct str tag;

    client->state = GATE_CLIENT_ASKING;
    client->session = body.session;
    net_connection_want_input(client->connection, false);
    client->kind->login(client->engine, &tag, &body.username, &body.password);
    if (keeper == NULL || wire_send(keeper, WIRE_LOGIN, client->tag, &body, NULL, 0) != ERR_OK)
        wait_for_peer(client);
}

static void on_step(void *owner)
{
    struct gate_client *client = owner;

    if (client->state == GATE_CLIENT_WAITING) {
        close_session(client);
        login_failed(client, ENGINE_LOGIN_UNAVAILABLE);
        return;
    }
    if (client->state == GATE_CLIENT_OPENING) {
        open_session(client);
        return;
    }
    if (client->is_refusing) {
        client->is_refusing = false;
        login_failed(client, ENGINE_LOGIN_DENIED);
        return;
    }
    client->kind->resume(client->engine, clock_now_ms());
    pump(client);
}

static void step_later(struct gate_client *client, int64_t delay_ms)
{
    if (client->step == NULL)
        client->step = net_timer_new(role_loop(client->gate->process), on_step, client);
    net_timer_start(client->step, delay_ms);
}

/* Does what the engine wants, once. */
static void pump(struct gate_client *client)
{
    if (client->state != GATE_CLIENT_TALKING)
        return;
    send_output(client);
    switch (client->kind->wants(client->engine)) {
    case ENGINE_WANTS_COMPRESS: /* never before login */
    case ENGINE_WANTS_INPUT:
        net_connection_want_input(client->connection, !client->kind->is_input_full(client->engine));
        if (client->is_input_over && client->kind->output(client->engine).len == 0)
            gate_client_end(client);
        return;
    case ENGINE_WANTS_ROOM:
        net_connection_want_input(client->connection, false);
        if (net_connection_room(client->connection) > 0)
            step_later(client, 0);
        return; /* else on_room */
    case ENGINE_WANTS_TURN:
        net_connection_want_input(client->connection, false);
        step_later(client, 0);
        return;
    case ENGINE_WANTS_TLS:
        net_connection_want_input(client->connection, false);
        if (client->kind->output(client->engine).len == 0 && !client->is_secured) {
            client->is_secured = true;
            net_connection_start_tls(client->connection, client->gate->tls);
        }
        return;
    case ENGINE_WANTS_LOGIN:
        ask(client);
        return;
    case ENGINE_WANTS_CLOSE:
        if (client->kind->output(client->engine).len == 0)
            gate_client_end(client);
        return;
    }
}

static void on_deadline(void *owner)
{
    struct gate_client *client = owner;

    if (client->state == GATE_CLIENT_TALKING) {
        client->kind->end(client->engine, "you took too long to log in");
        send_output(client);
    }
    gate_client_end(client);
}

/* ---- After login: carrying ---- */

/* Whether a line begins with `bye`, of those in the last of these bytes and the one before them
 * that they go on with. */
static bool has_bye(struct gate_client *client, struct str bytes, struct str bye)
{
    bool is_found = false;

    if (bye.len == 0)
        return false;
    if (bytes.len > BYE_WINDOW) {
        bytes = str_from(bytes, bytes.len - BYE_WINDOW);
        memset(client->line, 0, sizeof(client->line));
        client->line_len = sizeof(client->line); /* somewhere in a line */
    }
    while (bytes.len > 0) {
        ptrdiff_t newline = str_index(bytes, '\n');
        struct str part = newline < 0 ? bytes : str_upto(bytes, (size_t)newline);

        part = str_upto(part, sizeof(client->line) - client->line_len);
        if (part.len > 0)
            memcpy(client->line + client->line_len, part.ptr, part.len);
        client->line_len += part.len;
        is_found = is_found ||
                   str_starts_with(str_make(client->line, client->line_len), bye);
        if (newline < 0)
            return is_found;
        client->line_len = 0;
        bytes = str_from(bytes, (size_t)newline + 1);
    }
    return is_found;
}

/* Whether `words` are in these bytes or where the bytes before them, of which `tail` has the last,
 * go over into them. */
static bool has_words(char tail[GATE_CLIENT_TAIL], struct str bytes, struct str words,
                      ptrdiff_t (*find)(struct str text, struct str words))
{
    char joint[2 * GATE_CLIENT_TAIL];
    size_t fresh = bytes.len < GATE_CLIENT_TAIL ? bytes.len : GATE_CLIENT_TAIL;

    memcpy(joint, tail, GATE_CLIENT_TAIL);
    memcpy(joint + GATE_CLIENT_TAIL, bytes.ptr, fresh);
    memcpy(tail, bytes.len < GATE_CLIENT_TAIL ? joint + fresh : bytes.ptr + bytes.len - fresh,
           GATE_CLIENT_TAIL);
    return find(str_make(joint, GATE_CLIENT_TAIL + fresh), words) >= 0 || find(bytes, words) >= 0;
}

static ptrdiff_t find_nocase(struct str text, struct str words)
{
    for (size_t at = 0; at + words.len <= text.len; at++)
        if (ascii_upper(text.ptr[at]) == words.ptr[0] &&
            str_starts_with_nocase(str_from(text, at), words))
            return (ptrdiff_t)at;
    return -1;
}

/* Looks for the command that starts compression among what the client says. Commands are short: of
 * what is longer, mail on its way in, only the end is looked at. */
static void note_command(struct gate_client *client, struct str bytes)
{
    if (client->kind->compress.len == 0 || client->may_compress || bytes.len == 0)
        return;
    if (bytes.len > COMMAND_WINDOW)
        bytes = str_from(bytes, bytes.len - GATE_CLIENT_TAIL);
    client->may_compress = has_words(client->said, bytes, client->kind->compress, find_nocase);
}

/* Whether the line that begins compression is in these bytes, or ends in them: only where the client
 * asked for it, for it takes longer than to pass the bytes on. (In a message it may stand, too: then
 * that client hears no BYE, which is all that this is for.) */
static bool has_compressing(struct gate_client *client, struct str bytes)
{
    return client->may_compress &&
           has_words(client->tail, bytes, client->kind->compressing, str_find);
}

static void on_stream_input(void *owner, struct net_connection *stream, struct str bytes)
{
    struct gate_client *client = owner;

    if (client->state != GATE_CLIENT_CARRYING && client->state != GATE_CLIENT_DOZING)
        return;
    client->heard_bytes += bytes.len;
    if (client->state == GATE_CLIENT_CARRYING && !client->is_compressed) {
        client->said_bye |= has_bye(client, bytes, client->kind->bye);
        client->is_compressed = has_compressing(client, bytes);
    }
    client->is_at_line_end = bytes.ptr[bytes.len - 1] == '\n';
    net_connection_write(client->connection, bytes);
    if (net_connection_room(client->connection) == 0)
        net_connection_want_input(stream, false);
}

static void on_stream_room(void *owner, struct net_connection *stream)
{
    struct gate_client *client = owner;

    (void)stream;
    if (client->state == GATE_CLIENT_CARRYING)
        net_connection_want_input(client->connection, true);
}

/* The mailbox process ended the session, or died. */
static void on_stream_close(void *owner, struct net_connection *stream,
                            enum net_close_reason reason)
{
    struct gate_client *client = owner;

    (void)stream;
    (void)reason;
    net_connection_free(&client->stream);
    if (client->connection == NULL)
        gate_client_free(&client);
    else if (client->state == GATE_CLIENT_DOZING && client->heard_bytes == client->said_bytes)
        gate_hibernate_asleep(client);
    else if (client->state == GATE_CLIENT_DOZING)
        gate_client_end(client); /* it heard why */
    else if (client->state == GATE_CLIENT_CARRYING)
        gate_client_lost_mailbox(client);
}

/* Compression can begin anew wherever a flush ended, which is so when the session sleeps, and until the
 * process that it wakes in has said something. */
static void write_compressed(struct gate_client *client, struct str words)
{
    struct net_compress *compress = net_compress_new();
    CLEANUP(buf_free) struct buf packed;

    buf_init(&packed, SIZE_MAX);
    net_compress_deflate(compress, words, &packed);
    net_connection_write(client->connection, buf_str(&packed));
    net_compress_free(&compress);
}

void gate_client_lost_mailbox(struct gate_client *client)
{
    /* Not in the middle of a line or a literal, where nobody would understand it; nor to a client
     * that closed its half: with its last answer the session was over. */
    bool may_speak = !client->said_bye && !client->is_input_over;

    if (may_speak && client->is_compressed && client->heard_bytes == 0)
        write_compressed(client, client->kind->lost);
    else if (may_speak && !client->is_compressed && client->is_at_line_end)
        net_connection_write(client->connection, client->kind->lost);
    client->said_bye = true;
    gate_client_end(client);
}

static const struct net_connection_events stream_events = {
    .on_input = on_stream_input, .on_room = on_stream_room, .on_close = on_stream_close};

void gate_client_carry(struct gate_client *client, int stream_fd)
{
    client->state = GATE_CLIENT_CARRYING;
    client->is_at_line_end = true;
    client->line_len = 0;
    client->sent_bytes = client->heard_bytes = 0;
    client->stream = net_connection_new(role_loop(client->gate->process), stream_fd, NULL,
                                        GATE_CLIENT_OUTPUT_MAX, &stream_events, client);
    net_connection_want_input(client->connection, true);
}

static void begin_carrying(struct gate_client *client)
{
    int stream_fd = client->stream_fd;

    client->stream_fd = -1;
    free_engine(client);
    net_timer_free(&client->deadline);
    net_timer_free(&client->step);
    net_connection_set_timeout(client->connection, (int64_t)config_of(client)->idle_timeout_ms);
    gate_client_carry(client, stream_fd);
}

static void pass_on(struct gate_client *client, struct str bytes)
{
    client->sent_bytes += bytes.len;
    note_command(client, bytes);
    net_connection_write(client->stream, bytes);
    if (net_connection_room(client->stream) == 0)
        net_connection_want_input(client->connection, false);
}

/* ---- The client's connection ---- */

static void on_input(void *owner, struct net_connection *connection, struct str bytes)
{
    struct gate_client *client = owner;

    (void)connection;
    switch (client->state) {
    case GATE_CLIENT_TALKING:
        client->kind->input(client->engine, bytes, clock_now_ms());
        pump(client);
        return;
    case GATE_CLIENT_ASLEEP:
        if (gate_hibernate_resume(client, true))
            pass_on(client, bytes);
        return;
    case GATE_CLIENT_CARRYING:
        pass_on(client, bytes);
        return;
    case GATE_CLIENT_DOZING:
    case GATE_CLIENT_ASKING:
    case GATE_CLIENT_OPENING:
    case GATE_CLIENT_WAITING:
    case GATE_CLIENT_ENDING:
        return; /* no input is wanted then */
    }
}

static void on_room(void *owner, struct net_connection *connection)
{
    struct gate_client *client = owner;

    (void)connection;
    if (client->state == GATE_CLIENT_CARRYING || client->state == GATE_CLIENT_DOZING) {
        net_connection_want_input(client->stream, true);
    } else if (client->state == GATE_CLIENT_TALKING) {
        send_output(client);
        if (client->kind->wants(client->engine) == ENGINE_WANTS_ROOM)
            client->kind->resume(client->engine, clock_now_ms());
        pump(client);
    }
}

static void on_secure(void *owner, struct net_connection *connection)
{
    struct gate_client *client = owner;

    (void)connection;
    if (client->state != GATE_CLIENT_TALKING || !client->is_secured)
        return; /* implicit TLS: the engine knew from the start */
    client->kind->secured(client->engine);
    net_connection_want_input(client->connection, true);
    pump(client);
}

/* The client closed its half (shutdown, or TLS's close_notify): what it sent is still answered. */
static void on_end(void *owner, struct net_connection *connection)
{
    struct gate_client *client = owner;

    (void)connection;
    client->is_input_over = true;
    if (client->state == GATE_CLIENT_CARRYING)
        net_connection_end_output(client->stream); /* the mailbox process ends it */
    else if (client->state == GATE_CLIENT_ASLEEP)
        gate_client_end(client); /* it was answered before it slept */
    else
        pump(client);
}

static void on_close(void *owner, struct net_connection *connection, enum net_close_reason reason)
{
    struct gate_client *client = owner;

    (void)connection;
    (void)reason;
    if (client->is_counted) {
        net_census_remove(client->gate->census, net_connection_address(client->connection));
        client->is_counted = false;
    }
    if (client->stream == NULL) {
        gate_client_free(&client);
        return;
    }
    /* What the client sent before it went still reaches the mailbox process, which does what it can
     * within a few seconds. */
    client->state = GATE_CLIENT_ENDING;
    close_session(client);
    net_connection_free(&client->connection);
    net_connection_finish(client->stream);
}

static const struct net_connection_events client_events = {
    .on_input = on_input,
    .on_room = on_room,
    .on_secure = on_secure,
    .on_end = on_end,
    .on_close = on_close,
};

/* Refused before anything was allocated; a TLS client is told nothing that it could read. */
static void turn_away(int fd, const struct engine_kind *kind, bool is_tls)
{
    struct str words = kind->too_many;

    if (!is_tls && send(fd, words.ptr, words.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        /* It does not even read that. */
    }
    close(fd);
}

static bool is_too_many(struct gate_client *client)
{
    const struct config *config = config_of(client);

    if (net_connection_is_loopback(client->connection) && !config->loopback_is_foreign)
        return false;
    client->is_counted = true;
    return net_census_add(client->gate->census, net_connection_address(client->connection)) >
           config->connections_per_address_max;
}

static void begin(struct gate_client *client, bool is_tls)
{
    const struct config *config = config_of(client);
    struct engine_options options = {
        .config = config,
        .log = log_of(client),
        .may_log_in = is_tls || (config->plain_login_on_loopback &&
                                 net_connection_is_loopback(client->connection)),
        .is_tls = is_tls,
    };

    client->engine = client->kind->begin(&options);
    client->deadline = net_timer_new(role_loop(client->gate->process), on_deadline, client);
    net_timer_start(client->deadline, (int64_t)config->login_timeout_ms);
    if (is_too_many(client)) {
        /* Instead of the greeting (RFC 3501 §7.1.5). */
        net_connection_write(client->connection, client->kind->too_many);
        gate_client_end(client);
        return;
    }
    pump(client);
}

void gate_client_new(struct gate *gate, int fd, const struct engine_kind *kind, bool is_tls)
{
    struct gate_client *client;

    if (gate->is_stopping || gate->client_count >= role_config(gate->process)->connections_max) {
        turn_away(fd, kind, is_tls);
        return;
    }
    client = NEW(struct gate_client);
    client->gate = gate;
    client->kind = kind;
    client->stream_fd = -1;
    buf_init(&client->sleep_state, WIRE_SLEEP_STATE_MAX);
    client->tag = gate_enlist(gate, client);
    client->connection = net_connection_new(role_loop(gate->process), fd, is_tls ? gate->tls : NULL,
                                            GATE_CLIENT_OUTPUT_MAX, &client_events, client);
    begin(client, is_tls);
}

/* ---- Answers ---- */

static void open_session(struct gate_client *client)
{
    struct wire_channel *store = role_peer(client->gate->process, WIRE_ROLE_STORE, 0);
    struct wire_session_open body = {
        .session = client->session,
        .mailbox = client->mailbox,
        .service = client->kind->service,
        .input = client->kind->pending_input(client->engine),
        .is_secure = net_connection_is_secure(client->connection),
        .is_bulk = client->kind->is_bulk != NULL && client->kind->is_bulk(client->engine),
        .pass = str_make(client->pass, sizeof(client->pass)),
    };
    struct str username, password;
    int fds[2];
    enum err err;

    if (store == NULL) {
        wait_for_peer(client);
        return;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
        close_session(client);
        login_failed(client, ENGINE_LOGIN_UNAVAILABLE);
        return;
    }
    client->stream_fd = fds[0];
    client->state = GATE_CLIENT_OPENING;
    client->has_store_session = true;
    note_command(client, body.input);
    client->kind->login(client->engine, &body.tag, &username, &password);
    err = wire_send(store, WIRE_SESSION_OPEN, client->tag, &body, &fds[1], 1);
    close(fds[1]);
    if (err != ERR_OK)
        gate_client_open_reply(client, WIRE_UNAVAILABLE);
}

static void refuse_later(struct gate_client *client, uint64_t delay_ms)
{
    client->is_refusing = true;
    step_later(client, delay_ms > 60 * 1000 ? 60 * 1000 : (int64_t)delay_ms);
}

void gate_client_login_reply(struct gate_client *client, const struct wire_login_reply *reply)
{
    if (client->state != GATE_CLIENT_ASKING || client->is_refusing)
        return;
    if (reply->status == WIRE_OK && id_is_set(&reply->mailbox)) {
        client->mailbox = reply->mailbox;
        if (reply->pass.len == sizeof(client->pass))
            memcpy(client->pass, reply->pass.ptr, sizeof(client->pass));
        log_info(log_of(client), "login session=%s mailbox=%s", client->session.text,
                 client->mailbox.text);
        open_session(client);
    } else if (reply->status == WIRE_DENIED || reply->status == WIRE_THROTTLED) {
        log_info(log_of(client), "login refused reason=%s",
                 reply->status == WIRE_DENIED ? "denied" : "throttled");
        refuse_later(client, reply->delay_ms);
    } else {
        login_failed(client, ENGINE_LOGIN_UNAVAILABLE);
    }
}

void gate_client_open_reply(struct gate_client *client, uint64_t status)
{
    if (client->state == GATE_CLIENT_CARRYING && status != WIRE_OK)
        gate_client_lost_mailbox(client); /* it slept, and there is no mailbox to wake up in */
    if (client->state != GATE_CLIENT_OPENING)
        return;
    if (status == WIRE_OK) {
        begin_carrying(client);
        return;
    }
    log_warning(log_of(client), "session did not open status=%d mailbox=%s", (int)status,
                client->mailbox.text);
    fd_close(&client->stream_fd);
    /* The mailbox process may have died in this moment: another one is tried, once. Not if commands came
     * behind the login, for it may have done them. */
    if (status == WIRE_UNAVAILABLE && !client->has_reopened &&
        client->kind->pending_input(client->engine).len == 0) {
        client->has_reopened = true;
        step_later(client, REOPEN_MS);
        return;
    }
    close_session(client);
    login_failed(client, ENGINE_LOGIN_UNAVAILABLE);
}

void gate_client_peer_lost(struct gate_client *client, enum wire_role peer)
{
    if (peer == WIRE_ROLE_KEEPER && client->state == GATE_CLIENT_ASKING && !client->is_refusing) {
        wait_for_peer(client);
    } else if (peer == WIRE_ROLE_KEEPER && client->state == GATE_CLIENT_WAITING) {
        client->mailbox = (struct id){{0}}; /* its key went with the keeper */
    } else if (peer == WIRE_ROLE_STORE && client->state == GATE_CLIENT_OPENING) {
        client->has_store_session = false;
        fd_close(&client->stream_fd);
        wait_for_peer(client);
    } else if (peer == WIRE_ROLE_STORE) {
        gate_hibernate_store_lost(client);
    }
}

void gate_client_peer_came(struct gate_client *client)
{
    if (client->state != GATE_CLIENT_WAITING)
        return;
    net_timer_stop(client->step);
    if (id_is_set(&client->mailbox))
        open_session(client);
    else
        ask(client);
}

void gate_client_bye(struct gate_client *client)
{
    switch (client->state) {
    case GATE_CLIENT_TALKING:
    case GATE_CLIENT_ASKING:
    case GATE_CLIENT_OPENING:
    case GATE_CLIENT_WAITING:
        client->kind->end(client->engine, "the service stops");
        send_output(client);
        gate_client_end(client);
        return;
    case GATE_CLIENT_ASLEEP:
        gate_client_lost_mailbox(client);
        return;
    case GATE_CLIENT_CARRYING: /* the mailbox process has the last word */
    case GATE_CLIENT_DOZING:   /* or it falls asleep, into a gate that stops */
    case GATE_CLIENT_ENDING:
        return;
    }
}
