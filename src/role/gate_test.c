/*
 * The gate's process as it is, sandbox and all. The test is its master, its keeper and its store,
 * over the real channels, and its clients, over TCP.
 */
#include "role/roles.h"

#include "base/clock.h"
#include "base/file.h"
#include "net/certificate.h"
#include "secret/secret.h"
#include "wire/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    pid_t pid;
    int master, keeper, store; /* our ends */
    struct sockaddr_in address, pop3_address;
    uint64_t tag; /* of the client that logged in last, on the wire */
    struct id mailbox;
    struct task task;
    struct buf storage; /* of the message received last */
    struct wire_message message;
};

static void tell(int fd, enum wire_type type, uint64_t tag, const void *body, const int *fds,
                 size_t fd_count)
{
    CLEANUP(buf_free) struct buf frame;

    buf_init(&frame, WIRE_FRAME_MAX);
    assert_int_equal(wire_encode(type, tag, body, &frame), ERR_OK);
    assert_int_equal(wire_socket_send(fd, buf_str(&frame), fds, fd_count, 0), WIRE_SOCKET_DONE);
}

/* The next message that the gate sends there; it must be of this type. */
static struct wire_message *hear(struct fixture *f, int fd, enum wire_role self,
                                 enum wire_type type)
{
    assert_int_equal(wire_receive_blocking(&f->task, fd, self, WIRE_ROLE_GATE, &f->storage,
                                           &f->message),
                     ERR_OK);
    assert_int_equal(f->message.type, type);
    return &f->message;
}

static int give_peer(struct fixture *f, enum wire_role role)
{
    struct wire_peer body = {.role = role};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    tell(f->master, WIRE_PEER, 0, &body, &fds[1], 1);
    close(fds[1]);
    return fds[0];
}

static void give_configuration(struct fixture *f, const char *settings)
{
    struct wire_configure body = {.descriptor_count = 3};
    CLEANUP(buf_free) struct buf certificate, key;
    int fds[3];

    buf_init(&certificate, SIZE_MAX);
    buf_init(&key, SIZE_MAX);
    assert_int_equal(net_certificate_make(&f->task, STR("localhost"), clock_now_ms(), &certificate,
                                          &key),
                     ERR_OK);
    assert_int_equal(memfd_from(&f->task, str_from_c(settings), &fds[0]), ERR_OK);
    assert_int_equal(memfd_from(&f->task, buf_str(&certificate), &fds[1]), ERR_OK);
    assert_int_equal(memfd_from(&f->task, buf_str(&key), &fds[2]), ERR_OK);
    tell(f->master, WIRE_CONFIGURE, 0, &body, fds, 3);
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
}

static void give_listener(struct fixture *f, struct str name, struct sockaddr_in *address)
{
    struct wire_listener body = {.name = name};
    socklen_t len = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(bind(fd, (struct sockaddr *)address, len), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &len), 0);
    tell(f->master, WIRE_LISTENER, 0, &body, &fd, 1);
    close(fd);
}

static void start_gate(struct fixture *f, const char *settings)
{
    struct wire_start body = {.index = 0};
    struct timeval patience = {.tv_sec = 20};
    int fds[2];

    memset(f, 0, sizeof(*f));
    task_init(&f->task, clock_now_ms());
    buf_init(&f->storage, SIZE_MAX);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    f->pid = fork();
    if (f->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        close(fds[0]);
        role_run(&role_gate, fds[1], 0);
    }
    close(fds[1]);
    f->master = fds[0];
    give_configuration(f, settings);
    give_listener(f, STR("imap"), &f->address);
    give_listener(f, STR("pop3"), &f->pop3_address);
    f->keeper = give_peer(f, WIRE_ROLE_KEEPER);
    f->store = give_peer(f, WIRE_ROLE_STORE);
    setsockopt(f->master, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(f->keeper, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(f->store, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    tell(f->master, WIRE_START, 0, &body, NULL, 0);
    (void)hear(f, f->master, WIRE_ROLE_MASTER, WIRE_READY);
}

/* Asks it to stop, and sees that it does. */
/* It was told to stop. */
static void await_end(struct fixture *f)
{
    int status;

    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    assert_int_equal(status, 0);
    close(f->master);
    close(f->keeper);
    close(f->store);
    buf_free(&f->storage);
    task_done(&f->task);
}

static void stop_gate(struct fixture *f)
{
    struct wire_stop body = {.grace_ms = 5000};

    tell(f->master, WIRE_STOP, 0, &body, NULL, 0);
    await_end(f);
}

static int client_open_at(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 20};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
    return fd;
}

static int client_open(struct fixture *f)
{
    return client_open_at(&f->address);
}

static void say(int fd, const char *words)
{
    assert_int_equal(send(fd, words, strlen(words), MSG_NOSIGNAL), strlen(words));
}

/* Reads until `words` came, a byte at a time so that nothing behind them is lost. */
static void expect(int fd, const char *words)
{
    char text[4096] = "";
    size_t len = 0;

    while (len + 1 < sizeof(text) && recv(fd, text + len, 1, 0) == 1) {
        text[++len] = '\0';
        if (len >= strlen(words) && strcmp(text + len - strlen(words), words) == 0)
            return;
    }
    fail_msg("'%s' did not come, but: %s", words, text);
}

static void expect_end(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

static const char pass[] = "the keeper's: forty octets, as they came";
static const char plain[] = "plain_login_on_loopback = yes\n";

/* Logs a client in; gives the mailbox process's end of its stream. */
static int log_in(struct fixture *f, int client, struct id *out_session)
{
    struct wire_login_reply login = {
        .status = WIRE_OK, .mailbox = id_random(), .pass = str_from_c(pass)};
    struct wire_session_open_reply open = {.status = WIRE_OK};
    struct wire_message *message;
    int stream;

    expect(client, "* OK");
    expect(client, "\r\n");
    say(client, "a LOGIN alice@demo.test \"pass word\"\r\nb NOOP\r\n");
    message = hear(f, f->keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
    assert_true(str_equal(message->body.login.username, STR("alice@demo.test")));
    assert_true(str_equal(message->body.login.password, STR("pass word")));
    assert_true(str_equal(message->body.login.address, STR("127.0.0.1")));
    assert_true(message->body.login.is_local);
    *out_session = message->body.login.session;
    tell(f->keeper, WIRE_LOGIN_REPLY, message->tag, &login, NULL, 0);
    message = hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    assert_true(id_equal(&message->body.session_open.mailbox, &login.mailbox));
    assert_true(id_equal(&message->body.session_open.session, out_session));
    assert_true(str_equal(message->body.session_open.tag, STR("a")));
    assert_true(str_equal(message->body.session_open.pass, str_from_c(pass)));
    assert_true(str_equal(message->body.session_open.input, STR("b NOOP\r\n")));
    assert_int_equal(message->fd_count, 1);
    stream = message->fds[0];
    assert_int_equal(fcntl(stream, F_SETFL, 0), 0); /* the test waits for what comes */
    f->tag = message->tag;
    f->mailbox = login.mailbox;
    tell(f->store, WIRE_SESSION_OPEN_REPLY, f->tag, &open, NULL, 0);
    return stream;
}

static void a_session_is_carried(void **state)
{
    struct wire_message *message;
    struct id session;
    struct fixture f;
    int client, stream;

    (void)state;
    start_gate(&f, plain);
    client = client_open(&f);
    stream = log_in(&f, client, &session);
    say(stream, "a OK welcome\r\n");
    expect(client, "a OK welcome\r\n");
    say(client, "c SELECT INBOX\r\n");
    expect(stream, "c SELECT INBOX\r\n");
    /* What the client says last still arrives, though it goes at once. */
    say(client, "d LOGOUT\r\n");
    close(client);
    expect(stream, "d LOGOUT\r\n");
    expect_end(stream);
    message = hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_CLOSE);
    assert_true(id_equal(&message->body.session_close.session, &session));
    message = hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_SESSION_CLOSE);
    assert_true(id_equal(&message->body.session_close.session, &session));
    stop_gate(&f);
}

/* `printf '...' | nc -N`: the commands come with the end of the input behind them. */
static void a_half_closed_client_gets_its_answers(void **state)
{
    struct fixture f;
    struct id session;
    int client, stream;

    (void)state;
    start_gate(&f, plain);
    client = client_open(&f);
    stream = log_in(&f, client, &session);
    say(client, "c SELECT INBOX\r\n");
    shutdown(client, SHUT_WR);
    expect(stream, "c SELECT INBOX\r\n");
    assert_int_equal(recv(stream, &(char){0}, 1, 0), 0);
    /* The mailbox process answers, and is not said to be missing when it has. */
    say(stream, "a OK welcome\r\nb OK done\r\nc OK selected\r\n");
    close(stream);
    expect(client, "c OK selected\r\n");
    expect_end(client);
    (void)hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_CLOSE);
    (void)hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_SESSION_CLOSE);
    /* Before login, too. */
    client = client_open(&f);
    say(client, "a CAPABILITY\r\nb NOOP\r\n");
    shutdown(client, SHUT_WR);
    expect(client, "b OK");
    expect(client, "\r\n");
    expect_end(client);
    stop_gate(&f);
}

#define LOST "* BYE [UNAVAILABLE] the mailbox is not available just now\r\n"

/* The last words come in pieces where there is a "|", each heard before the next. */
static void say_and_hear(int stream, const char *words, int client, const char *heard)
{
    const char *bar = strchr(words, '|');
    char piece[100];

    if (bar != NULL) {
        snprintf(piece, sizeof(piece), "%.*s", (int)(bar - words), words);
        say(stream, piece);
        expect(client, piece);
        words = bar + 1;
        heard = strchr(heard, '|') + 1;
    }
    say(stream, words);
    close(stream);
    expect(client, heard);
}

/* The command, too, comes in pieces where a "|" stands for its space. */
static void ask_in_pieces(int client, const char *command, int stream)
{
    const char *bar = strchr(command, '|');
    char piece[100];

    if (bar != NULL) {
        snprintf(piece, sizeof(piece), "%.*s ", (int)(bar - command), command);
        say(client, piece);
        expect(stream, piece);
        command = bar + 1;
    }
    say(client, command);
    expect(stream, command);
}

static void the_end_of_a_mailbox_process_is_told(void **state)
{
    static const struct {
        const char *asked;      /* by the client */
        const char *last_words; /* of the mailbox process */
        const char *heard;
    } rows[] = {
        {"b NOOP\r\n", "* 3 EXISTS\r\n", "* 3 EXISTS\r\n" LOST},
        {"b NOOP\r\n", "* BYE Logging out.\r\na OK done\r\n", "* BYE Logging out.\r\na OK done\r\n"},
        {"b NOOP\r\n", "* 3 EXISTS\r\n* B|YE Logging out.\r\n", "* 3 EXISTS\r\n* B|YE Logging out.\r\n"},
        {"b NOOP\r\n", "* 1 FETCH (BODY[] {100}\r\nhalf a line", "half a line"},
        /* nothing in plain among what is compressed */
        {"b COMPRESS DEFLATE\r\n", "b OK DEFLATE active.\r\n\x01\x02\n", "\x01\x02\n"},
        {"b Compress|deflate\r\n", "b OK DEFL|ATE active.\r\n\x01\x02\n", "b OK DEFL|ATE active.\r\n\x01\x02\n"},
        {"b COMPRESS DEFLATE\r\n\x03\n", "b OK DEFLATE active.\r\n\x01\x02\n", "\x01\x02\n"},
        /* a message that says so starts nothing */
        {"b FETCH 1 BODY[]\r\n", " OK DEFLATE active.\r\n)\r\n", " OK DEFLATE active.\r\n)\r\n" LOST},
    };
    struct fixture f;

    (void)state;
    start_gate(&f, plain);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int client = client_open(&f), stream;
        struct id session;

        stream = log_in(&f, client, &session);
        ask_in_pieces(client, rows[i].asked, stream);
        say_and_hear(stream, rows[i].last_words, client, rows[i].heard);
        expect_end(client);
        (void)hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_CLOSE);
        (void)hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_SESSION_CLOSE);
    }
    stop_gate(&f);
}

static void a_refusal_waits_as_long_as_it_is_told(void **state)
{
    struct wire_login_reply login = {.status = WIRE_DENIED, .delay_ms = 200};
    struct wire_message *message;
    struct fixture f;
    int64_t before_ms;
    int client;

    (void)state;
    start_gate(&f, plain);
    client = client_open(&f);
    for (int i = 0; i < 2; i++) {
        say(client, "a LOGIN alice@demo.test wrong\r\n");
        message = hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
        before_ms = clock_monotonic_ms();
        tell(f.keeper, WIRE_LOGIN_REPLY, message->tag, &login, NULL, 0);
        expect(client, "a NO [AUTHENTICATIONFAILED]");
        assert_in_range(clock_monotonic_ms() - before_ms, 195, 2000);
        login.status = WIRE_THROTTLED; /* is told what DENIED is told */
    }
    close(client);
    stop_gate(&f);
}

static void without_its_peers_it_answers(void **state)
{
    struct wire_login_reply login = {.status = WIRE_OK, .mailbox = id_random()};
    struct wire_session_open_reply open = {.status = WIRE_UNAVAILABLE};
    struct wire_message *message;
    struct fixture f;
    int client;

    (void)state;
    start_gate(&f, plain);
    client = client_open(&f);
    /* The mailbox does not open: the session that the keeper keeps is closed. */
    say(client, "a LOGIN alice@demo.test right\r\n");
    message = hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
    tell(f.keeper, WIRE_LOGIN_REPLY, message->tag, &login, NULL, 0);
    message = hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    close(message->fds[0]);
    tell(f.store, WIRE_SESSION_OPEN_REPLY, message->tag, &open, NULL, 0);
    /* Its process may just have died: it is asked for once more. */
    message = hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    close(message->fds[0]);
    tell(f.store, WIRE_SESSION_OPEN_REPLY, message->tag, &open, NULL, 0);
    expect(client, "a NO [UNAVAILABLE]");
    (void)hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_CLOSE);
    (void)hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_SESSION_CLOSE);
    /* The keeper dies before it answers, and no other comes. */
    say(client, "b LOGIN alice@demo.test right\r\n");
    (void)hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
    close(f.keeper);
    expect(client, "b NO [UNAVAILABLE]");
    f.keeper = give_peer(&f, WIRE_ROLE_KEEPER);
    close(client);
    stop_gate(&f);
}

/* A new keeper is asked what the old one was; a new store likewise, without another login. */
static void a_login_waits_for_a_peer_that_restarts(void **state)
{
    struct wire_login_reply login = {.status = WIRE_OK, .mailbox = id_random()};
    struct wire_session_open_reply open = {.status = WIRE_OK};
    struct wire_message *message;
    struct fixture f;
    struct id session;
    int client, stream;

    (void)state;
    start_gate(&f, plain);
    client = client_open(&f);
    say(client, "a LOGIN alice@demo.test right\r\n");
    (void)hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
    close(f.keeper);
    f.keeper = give_peer(&f, WIRE_ROLE_KEEPER);
    message = hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
    assert_true(str_equal(message->body.login.password, STR("right")));
    session = message->body.login.session;
    close(f.store);
    tell(f.keeper, WIRE_LOGIN_REPLY, message->tag, &login, NULL, 0);
    f.store = give_peer(&f, WIRE_ROLE_STORE);
    message = hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    close(message->fds[0]);
    close(f.store); /* this one dies with the question */
    f.store = give_peer(&f, WIRE_ROLE_STORE);
    message = hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    assert_true(id_equal(&message->body.session_open.session, &session));
    stream = message->fds[0];
    tell(f.store, WIRE_SESSION_OPEN_REPLY, message->tag, &open, NULL, 0);
    say(stream, "a OK welcome\r\n");
    expect(client, "a OK welcome\r\n");
    close(client);
    stop_gate(&f);
    close(stream);
}

static void a_trickle_does_not_hold_the_deadline(void **state)
{
    struct fixture f;
    int64_t before_ms;
    int client;

    (void)state;
    start_gate(&f, "login_timeout = 600ms\n");
    before_ms = clock_monotonic_ms();
    client = client_open(&f);
    expect(client, "\r\n");
    while (clock_monotonic_ms() < before_ms + 500) {
        say(client, "x");
        usleep(50 * 1000);
    }
    expect(client, "* BYE");
    expect(client, "\r\n");
    assert_in_range(clock_monotonic_ms() - before_ms, 590, 3000);
    expect_end(client);
    stop_gate(&f);
}

/* The time is up while the keeper is being asked: a session that it may keep by now is closed. */
static void the_deadline_leaves_no_session_behind(void **state)
{
    struct fixture f;
    struct id session;
    int client;

    (void)state;
    start_gate(&f, "plain_login_on_loopback = yes\nlogin_timeout = 200ms\n");
    client = client_open(&f);
    expect(client, "\r\n");
    say(client, "a LOGIN alice@demo.test right\r\n");
    session = hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN)->body.login.session;
    expect_end(client);
    (void)hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_SESSION_CLOSE);
    assert_true(id_equal(&f.message.body.session_close.session, &session));
    stop_gate(&f);
}

static void who_does_not_read_blocks_nobody(void **state)
{
    static char chunk[64 * 1024];
    struct fixture f;
    struct id session;
    int slow, slow_stream, quick, quick_stream;
    size_t taken = 0;

    (void)state;
    memset(chunk, 'x', sizeof(chunk));
    start_gate(&f, plain);
    slow = client_open(&f);
    slow_stream = log_in(&f, slow, &session);
    quick = client_open(&f);
    quick_stream = log_in(&f, quick, &session);
    /* All that the sockets and the gate's bounded buffers take, and not more. */
    for (int idle = 0; idle < 20;) {
        ssize_t sent = send(slow_stream, chunk, sizeof(chunk), MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent > 0) {
            taken += (size_t)sent;
            idle = 0;
        } else {
            idle++;
            usleep(10 * 1000);
        }
        assert_true(taken < 64 * 1024 * 1024);
    }
    say(quick_stream, "* 1 EXISTS\r\n");
    expect(quick, "* 1 EXISTS\r\n");
    say(quick, "b NOOP\r\n");
    expect(quick_stream, "b NOOP\r\n");
    /* It reads after all: everything is there. */
    while (taken > 0) {
        ssize_t got = recv(slow, chunk, sizeof(chunk), 0);

        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++)
            assert_int_equal(chunk[i], 'x');
        taken -= (size_t)got;
    }
    close(slow);
    close(quick);
    stop_gate(&f);
    close(slow_stream);
    close(quick_stream);
}

static void connections_are_limited(void **state)
{
    struct fixture f;
    int clients[4];

    (void)state;
    start_gate(&f, "loopback_is_foreign = yes\nconnections_per_address_max = 2\n"
                   "connections_max = 3\n");
    for (size_t i = 0; i < 2; i++) {
        clients[i] = client_open(&f);
        expect(clients[i], "* OK");
    }
    clients[2] = client_open(&f);
    expect(clients[2], "* BYE too many connections, try again later");
    expect(clients[2], "\r\n");
    expect_end(clients[2]);
    /* One goes, another may come. */
    close(clients[0]);
    usleep(200 * 1000);
    clients[0] = client_open(&f);
    expect(clients[0], "* OK");
    close(clients[0]);
    close(clients[1]);
    stop_gate(&f);
}

static void a_stop_says_bye_to_those_before_login(void **state)
{
    struct wire_stop body = {.grace_ms = 5000};
    struct fixture f;
    struct id session;
    int waiting, client, stream;

    (void)state;
    start_gate(&f, plain);
    waiting = client_open(&f);
    expect(waiting, "\r\n");
    client = client_open(&f);
    stream = log_in(&f, client, &session);
    tell(f.master, WIRE_STOP, 0, &body, NULL, 0);
    expect(waiting, "* BYE");
    expect(waiting, "\r\n");
    expect_end(waiting);
    /* The session goes on until its mailbox process ends it. */
    say(client, "b NOOP\r\n");
    expect(stream, "b NOOP\r\n");
    say(stream, "* BYE the server stops\r\n");
    close(stream);
    expect(client, "* BYE the server stops\r\n");
    expect_end(client);
    await_end(&f);
}

/* ---- Sleep ---- */

/* The mailbox process, through the store, offers a state; the gate's answer. */
static uint64_t offer(struct fixture *f, const struct id *session, uint64_t consumed_bytes)
{
    struct wire_session_hibernate body = {.session = *session,
                                          .mailbox = f->mailbox,
                                          .consumed_bytes = consumed_bytes,
                                          .state = STR("where it stopped")};
    const struct wire_session_hibernate_reply *reply;

    tell(f->store, WIRE_SESSION_HIBERNATE, f->tag, &body, NULL, 0);
    reply = &hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_HIBERNATE_REPLY)
                 ->body.session_hibernate_reply;
    assert_true(id_equal(&reply->session, session));
    assert_true(id_equal(&reply->mailbox, &f->mailbox));
    return reply->status;
}

static void wake(struct fixture *f, const struct id *session, enum wire_status status)
{
    struct wire_session_wake body = {
        .session = *session, .mailbox = f->mailbox, .status = status};

    tell(f->store, WIRE_SESSION_WAKE, f->tag, &body, NULL, 0);
}

/* The gate opens the session again; the new process's end of the stream. */
static int hear_resume(struct fixture *f, const struct id *session, bool is_restless)
{
    struct wire_message *message = hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    const struct wire_session_open *body = &message->body.session_open;
    struct wire_session_open_reply reply = {.status = WIRE_OK};

    assert_true(id_equal(&body->session, session));
    assert_true(id_equal(&body->mailbox, &f->mailbox));
    assert_true(str_equal(body->pass, str_from_c(pass)));
    assert_true(str_equal(body->state, STR("where it stopped")));
    assert_int_equal(body->is_restless, is_restless);
    assert_int_equal(message->fd_count, 1);
    assert_int_equal(message->tag, f->tag);
    assert_int_equal(fcntl(message->fds[0], F_SETFL, 0), 0);
    tell(f->store, WIRE_SESSION_OPEN_REPLY, f->tag, &reply, NULL, 0);
    return message->fds[0];
}

static void hear_close(struct fixture *f)
{
    (void)hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_CLOSE);
    (void)hear(f, f->keeper, WIRE_ROLE_KEEPER, WIRE_SESSION_CLOSE);
}

/* Until the gate has nothing left to do: it answers a client that comes now. */
static void let_settle(struct fixture *f)
{
    int client = client_open(f);

    expect(client, "\r\n");
    say(client, "z NOOP\r\n");
    expect(client, "z OK");
    close(client);
}

static void a_client_sleeps_and_goes_on(void **state)
{
    struct fixture f;
    struct id session;
    int client, stream;

    (void)state;
    start_gate(&f, plain);
    client = client_open(&f);
    stream = log_in(&f, client, &session);
    say(client, "c SELECT INBOX\r\n");
    expect(stream, "c SELECT INBOX\r\n");
    assert_int_equal(offer(&f, &session, 15), WIRE_UNAVAILABLE); /* it sent 16 */
    say(stream, "c OK selected\r\n");
    assert_int_equal(offer(&f, &session, 16), WIRE_OK);
    /* What the process had said comes before the end of its stream, and is no loss. */
    say(stream, "* 3 EXISTS\r\n");
    close(stream);
    expect(client, "c OK selected\r\n* 3 EXISTS\r\n");
    /* What the client says next is in the stream before anybody reads it. */
    say(client, "d NOOP\r\n");
    stream = hear_resume(&f, &session, true);
    expect(stream, "d NOOP\r\n");
    say(stream, "d OK\r\n");
    expect(client, "d OK\r\n");
    /* The count begins anew with the stream. */
    assert_int_equal(offer(&f, &session, 24), WIRE_UNAVAILABLE);
    assert_int_equal(offer(&f, &session, 8), WIRE_OK);
    /* Said while it dozes: read when it sleeps. */
    say(client, "e NOOP\r\n");
    let_settle(&f);
    close(stream);
    stream = hear_resume(&f, &session, true);
    expect(stream, "e NOOP\r\n");
    close(client);
    expect_end(stream);
    hear_close(&f);
    stop_gate(&f);
}

static void the_store_wakes_a_sleeper(void **state)
{
    struct id session, other = id_random();
    struct fixture f;
    int client, stream;

    (void)state;
    start_gate(&f, plain);
    client = client_open(&f);
    stream = log_in(&f, client, &session);
    assert_int_equal(offer(&f, &session, 0), WIRE_OK);
    wake(&f, &session, WIRE_OK); /* it only dozes: as soon as it sleeps */
    let_settle(&f);
    close(stream);
    stream = hear_resume(&f, &session, false);
    say(stream, "* 4 EXISTS\r\n");
    expect(client, "* 4 EXISTS\r\n");
    wake(&f, &session, WIRE_OK); /* it is awake */
    assert_int_equal(offer(&f, &session, 0), WIRE_OK);
    close(stream);
    let_settle(&f);
    wake(&f, &other, WIRE_OK); /* not this session */
    let_settle(&f);
    wake(&f, &session, WIRE_OK);
    stream = hear_resume(&f, &session, false);
    close(client);
    expect_end(stream);
    hear_close(&f);
    stop_gate(&f);
}

/* A mail about IMAP was read: its words are not the mailbox process's last ones. */
static void a_mail_that_says_bye_does_not_end_the_sleep(void **state)
{
    struct fixture f;
    struct id session;
    int client, stream;

    (void)state;
    start_gate(&f, plain);
    client = client_open(&f);
    stream = log_in(&f, client, &session);
    say(stream, "* 1 FETCH (BODY[] {15}\r\n* BYE and so on)\r\nc OK fetched\r\n");
    expect(client, "c OK fetched\r\n");
    assert_int_equal(offer(&f, &session, 0), WIRE_OK);
    close(stream);
    let_settle(&f);
    say(client, "d NOOP\r\n");
    stream = hear_resume(&f, &session, true);
    expect(stream, "d NOOP\r\n");
    /* Real last words, though the state was taken, are. */
    assert_int_equal(offer(&f, &session, 8), WIRE_OK);
    say(stream, "* BYE the server ends this session\r\n");
    close(stream);
    expect(client, "* BYE the server ends this session\r\n");
    expect_end(client);
    hear_close(&f);
    stop_gate(&f);
}

/* Whatever takes a sleeper's mailbox away, it is told in a line of its own. */
static void a_sleeper_is_told_of_its_end(void **state)
{
    static const char *const ends[] = {"expelled", "no mailbox", "no store", "stop", "silence"};
    struct wire_session_open_reply refused = {.status = WIRE_UNAVAILABLE};
    struct wire_stop stop = {.grace_ms = 5000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct fixture f;
        struct id session;
        int client, stream;

        start_gate(&f, i == 4 ? "plain_login_on_loopback = yes\nidle_timeout = 200ms\n" : plain);
        client = client_open(&f);
        stream = log_in(&f, client, &session);
        assert_int_equal(offer(&f, &session, 0), WIRE_OK);
        close(stream);
        if (i == 0) {
            let_settle(&f);
            wake(&f, &session, WIRE_DENIED);
        } else if (i == 1) {
            say(client, "c NOOP\r\n");
            stream = hear_resume(&f, &session, true);
            tell(f.store, WIRE_SESSION_OPEN_REPLY, f.tag, &refused, NULL, 0);
        } else if (i == 2) {
            let_settle(&f);
            close(f.store);
        } else if (i == 3) {
            let_settle(&f);
            tell(f.master, WIRE_STOP, 0, &stop, NULL, 0);
        }
        if (i < 4)
            expect(client, "* BYE ");
        if (i < 4)
            expect(client, "\r\n");
        if (i == 1)
            close(stream);
        expect_end(client);
        if (i != 2)
            (void)hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_CLOSE);
        (void)hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_SESSION_CLOSE);
        if (i == 2)
            f.store = -1;
        if (i == 3)
            await_end(&f);
        else
            stop_gate(&f);
    }
}

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    secret_init();
    return 0;
}

/* The same for POP3, but that nothing is said unasked. */
static void pop3_is_carried(void **state)
{
    struct wire_login_reply login = {.status = WIRE_DENIED};
    struct wire_session_open_reply open = {.status = WIRE_OK};
    struct wire_message *message;
    struct fixture f;
    int client, stream;

    (void)state;
    start_gate(&f, plain);
    client = client_open_at(&f.pop3_address);
    expect(client, "+OK localhost Sealpost is ready.\r\n");
    for (int i = 0; i < 2; i++) {
        say(client, "USER alice@demo.test\r\nPASS pass word\r\nSTAT\r\n");
        message = hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
        assert_int_equal(message->body.login.service, WIRE_SERVICE_POP3);
        assert_true(str_equal(message->body.login.username, STR("alice@demo.test")));
        assert_true(str_equal(message->body.login.password, STR("pass word")));
        tell(f.keeper, WIRE_LOGIN_REPLY, message->tag, &login, NULL, 0);
        expect(client, i == 0 ? "-ERR [AUTH] Authentication failed.\r\n-ERR" : "+OK");
        login = (struct wire_login_reply){.status = WIRE_OK, .mailbox = id_random()};
    }
    message = hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    assert_int_equal(message->body.session_open.service, WIRE_SERVICE_POP3);
    assert_true(str_equal(message->body.session_open.input, STR("STAT\r\n")));
    stream = message->fds[0];
    assert_int_equal(fcntl(stream, F_SETFL, 0), 0);
    tell(f.store, WIRE_SESSION_OPEN_REPLY, message->tag, &open, NULL, 0);
    say(stream, "+OK Logged in\r\n+OK 0 0\r\n");
    expect(client, "\r\n+OK Logged in\r\n+OK 0 0\r\n");
    say(client, "RETR 1\r\n");
    expect(stream, "RETR 1\r\n");
    close(stream); /* the mailbox process dies: the client finds the end, and no words */
    expect_end(client);
    (void)hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_CLOSE);
    (void)hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_SESSION_CLOSE);
    client = client_open_at(&f.pop3_address);
    expect(client, "+OK");
    expect(client, "\r\n");
    stop_gate(&f);
    expect_end(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_carried),
        cmocka_unit_test(a_half_closed_client_gets_its_answers),
        cmocka_unit_test(the_end_of_a_mailbox_process_is_told),
        cmocka_unit_test(a_refusal_waits_as_long_as_it_is_told),
        cmocka_unit_test(without_its_peers_it_answers),
        cmocka_unit_test(a_login_waits_for_a_peer_that_restarts),
        cmocka_unit_test(a_trickle_does_not_hold_the_deadline),
        cmocka_unit_test(the_deadline_leaves_no_session_behind),
        cmocka_unit_test(who_does_not_read_blocks_nobody),
        cmocka_unit_test(connections_are_limited),
        cmocka_unit_test(a_stop_says_bye_to_those_before_login),
        cmocka_unit_test(a_client_sleeps_and_goes_on),
        cmocka_unit_test(the_store_wakes_a_sleeper),
        cmocka_unit_test(a_mail_that_says_bye_does_not_end_the_sleep),
        cmocka_unit_test(a_sleeper_is_told_of_its_end),
        cmocka_unit_test(pop3_is_carried),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
