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

void fixture_tell(int fd, enum wire_type type, uint64_t tag, const void *body, const int *fds,
                  size_t fd_count)
{
    CLEANUP(buf_free) struct buf frame;

    buf_init(&frame, WIRE_FRAME_MAX);
    assert_int_equal(wire_encode(type, tag, body, &frame), ERR_OK);
    assert_int_equal(wire_socket_send(fd, buf_str(&frame), fds, fd_count, 0), WIRE_SOCKET_DONE);
}

struct wire_message *fixture_hear(struct fixture *f, int fd, enum wire_role self,
                                  enum wire_type type)
{
    assert_int_equal(
        wire_receive_blocking(&f->task, fd, self, WIRE_ROLE_GATE, &f->storage, &f->message),
        ERR_OK);
    assert_int_equal(f->message.type, type);
    return &f->message;
}

int fixture_give_peer(struct fixture *f, enum wire_role role)
{
    struct wire_peer body = {.role = role};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    fixture_tell(f->master, WIRE_PEER, 0, &body, &fds[1], 1);
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
    assert_int_equal(
        net_certificate_make(&f->task, STR("localhost"), clock_now_ms(), &certificate, &key),
        ERR_OK);
    assert_int_equal(memfd_from(&f->task, str_from_c(settings), &fds[0]), ERR_OK);
    assert_int_equal(memfd_from(&f->task, buf_str(&certificate), &fds[1]), ERR_OK);
    assert_int_equal(memfd_from(&f->task, buf_str(&key), &fds[2]), ERR_OK);
    fixture_tell(f->master, WIRE_CONFIGURE, 0, &body, fds, 3);
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
    fixture_tell(f->master, WIRE_LISTENER, 0, &body, &fd, 1);
    close(fd);
}

void fixture_start(struct fixture *f, const char *settings)
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
    f->keeper = fixture_give_peer(f, WIRE_ROLE_KEEPER);
    f->store = fixture_give_peer(f, WIRE_ROLE_STORE);
    setsockopt(f->master, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(f->keeper, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(f->store, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    fixture_tell(f->master, WIRE_START, 0, &body, NULL, 0);
    (void)fixture_hear(f, f->master, WIRE_ROLE_MASTER, WIRE_READY);
}

void fixture_await_end(struct fixture *f)
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

void fixture_stop(struct fixture *f)
{
    struct wire_stop body = {.grace_ms = 5000};

    fixture_tell(f->master, WIRE_STOP, 0, &body, NULL, 0);
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

int fixture_log_in(struct fixture *f, int client, struct id *out_session)
{
    struct wire_login_reply login = {
        .status = WIRE_OK, .mailbox = id_random(), .pass = STR(FIXTURE_PASS)};
    struct wire_session_open_reply open = {.status = WIRE_OK};
    struct wire_message *message;
    int stream;

    fixture_expect(client, "* OK");
    fixture_expect(client, "\r\n");
    fixture_say(client, "a LOGIN alice@demo.test \"pass word\"\r\nb NOOP\r\n");
    message = fixture_hear(f, f->keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
    assert_true(str_equal(message->body.login.username, STR("alice@demo.test")));
    assert_true(str_equal(message->body.login.password, STR("pass word")));
    assert_true(str_equal(message->body.login.address, STR("127.0.0.1")));
    assert_true(message->body.login.is_local);
    *out_session = message->body.login.session;
    fixture_tell(f->keeper, WIRE_LOGIN_REPLY, message->tag, &login, NULL, 0);
    message = fixture_hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    assert_true(id_equal(&message->body.session_open.mailbox, &login.mailbox));
    assert_true(id_equal(&message->body.session_open.session, out_session));
    assert_true(str_equal(message->body.session_open.tag, STR("a")));
    assert_true(str_equal(message->body.session_open.pass, STR(FIXTURE_PASS)));
    assert_true(str_equal(message->body.session_open.input, STR("b NOOP\r\n")));
    assert_int_equal(message->fd_count, 1);
    stream = message->fds[0];
    assert_int_equal(fcntl(stream, F_SETFL, 0), 0); /* the test waits for what comes */
    f->tag = message->tag;
    f->mailbox = login.mailbox;
    fixture_tell(f->store, WIRE_SESSION_OPEN_REPLY, f->tag, &open, NULL, 0);
    return stream;
}

int fixture_set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    secret_init();
    return 0;
}
