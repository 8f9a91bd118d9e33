#include "role/gate_fixture.h"

#include "base/clock.h"
#include "base/file.h"
#include "net/certificate.h"
#include "role/roles.h"
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

struct wire_message *fixture_hear(struct fixture *f, int fd, enum wire_role self,
                                  enum wire_type type)
{
    assert_int_equal(
        wire_receive_blocking(&f->task, fd, self, WIRE_ROLE_GATE, &f->storage, &f->message),
        ERR_OK);
    assert_int_equal(f->message.type, type);
    return &f->message;
}

static void give_configuration(struct fixture *f, const char *settings)
{
    CLEANUP(buf_free) struct buf certificate, key;

    buf_init(&certificate, SIZE_MAX);
    buf_init(&key, SIZE_MAX);
    assert_int_equal(
        net_certificate_make(&f->task, STR("localhost"), clock_now_ms(), &certificate, &key),
        ERR_OK);
    role_trial_configure(
        &f->process, (struct str[]){str_from_c(settings), buf_str(&certificate), buf_str(&key)}, 3);
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
    role_trial_send(f->process.master, WIRE_LISTENER, 0, &body, &fd, 1);
    close(fd);
}

void fixture_start(struct fixture *f, const char *settings)
{
    memset(f, 0, sizeof(*f));
    task_init(&f->task, clock_now_ms());
    buf_init(&f->storage, SIZE_MAX);
    role_trial_fork(&f->process, &role_gate);
    give_configuration(f, settings);
    give_listener(f, STR("imap"), &f->address);
    give_listener(f, STR("pop3"), &f->pop3_address);
    f->keeper = role_trial_connect(&f->process, WIRE_ROLE_KEEPER);
    f->store = role_trial_connect(&f->process, WIRE_ROLE_STORE);
    role_trial_start(&f->process);
}

void fixture_await_end(struct fixture *f)
{
    assert_int_equal(role_trial_wait(&f->process), 0);
    fd_close(&f->keeper);
    fd_close(&f->store);
    buf_free(&f->storage);
    task_done(&f->task);
    f->process.pid = 0;
}

void fixture_stop(struct fixture *f)
{
    role_trial_ask_stop(&f->process);
    fixture_await_end(f);
}

int fixture_client_at(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 20};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
    return fd;
}

int fixture_client(struct fixture *f)
{
    return fixture_client_at(&f->address);
}

void fixture_say(int fd, const char *words)
{
    assert_int_equal(send(fd, words, strlen(words), MSG_NOSIGNAL), strlen(words));
}

void fixture_expect(int fd, const char *words)
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

void fixture_expect_end(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

struct fixture_session fixture_log_in(struct fixture *f)
{
    struct wire_login_reply login = {
        .status = WIRE_OK, .mailbox = id_random(), .pass = STR(FIXTURE_PASS)};
    struct wire_session_open_reply open = {.status = WIRE_OK};
    struct fixture_session session = {.client = fixture_client(f)};
    struct wire_message *message;

    fixture_expect(session.client, "* OK");
    fixture_expect(session.client, "\r\n");
    fixture_say(session.client, "a LOGIN alice@demo.test \"pass word\"\r\nb NOOP\r\n");
    message = fixture_hear(f, f->keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
    assert_true(str_equal(message->body.login.username, STR("alice@demo.test")));
    assert_true(str_equal(message->body.login.password, STR("pass word")));
    assert_true(str_equal(message->body.login.address, STR("127.0.0.1")));
    assert_true(message->body.login.is_local);
    session.id = message->body.login.session;
    role_trial_send(f->keeper, WIRE_LOGIN_REPLY, message->tag, &login, NULL, 0);
    message = fixture_hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    assert_true(id_equal(&message->body.session_open.mailbox, &login.mailbox));
    assert_true(id_equal(&message->body.session_open.session, &session.id));
    assert_true(str_equal(message->body.session_open.tag, STR("a")));
    assert_true(str_equal(message->body.session_open.pass, STR(FIXTURE_PASS)));
    assert_true(str_equal(message->body.session_open.input, STR("b NOOP\r\n")));
    assert_int_equal(message->fd_count, 1);
    session.stream = message->fds[0];
    assert_int_equal(fcntl(session.stream, F_SETFL, 0), 0); /* the test waits for what comes */
    f->tag = message->tag;
    f->mailbox = login.mailbox;
    role_trial_send(f->store, WIRE_SESSION_OPEN_REPLY, f->tag, &open, NULL, 0);
    return session;
}

void fixture_hear_close(struct fixture *f, const struct id *session)
{
    struct wire_message *message;

    message = fixture_hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_CLOSE);
    assert_true(id_equal(&message->body.session_close.session, session));
    message = fixture_hear(f, f->keeper, WIRE_ROLE_KEEPER, WIRE_SESSION_CLOSE);
    assert_true(id_equal(&message->body.session_close.session, session));
}

int fixture_set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    secret_init();
    return 0;
}

int fixture_start_plain(void **state)
{
    static struct fixture fixture;

    fixture_start(&fixture, FIXTURE_PLAIN);
    *state = &fixture;
    return 0;
}

int fixture_stop_plain(void **state)
{
    struct fixture *f = *state;

    if (f->process.pid != 0)
        fixture_stop(f);
    return 0;
}
