/* The peer is a process of its own with blocking sockets: a real client. */
#include "net/connection.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/macros.h"
#include "net/certificate.h"
#include "net/compress.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIMIT = 256 * 1024, LARGE = 12 * 1000 * 1000, OFFERED = 8 * 1024 * 1024 };

/* The server's side of a test. */
struct server {
    struct net_loop *loop;
    struct net_tls *tls;
    struct net_connection *connection;
    struct buf input;
    size_t to_send, largest_queue;
    bool packs, is_packed; /* compresses from the first line on */
    size_t inflated, largest_piece;
    bool is_echo, frees_on_input, finishes_on_input, starts_tls, is_closed, was_secured, with_end,
        is_busy;
    bool is_offering; /* to_send in one piece, once; the rest when there is room */
    bool ends_output; /* its answers are over before the client's words are */
    enum net_close_reason reason;
};

/* As an engine's owner does: what was not taken waits for on_room, which therefore must come. */
static void offer_large(struct server *server)
{
    static char output[OFFERED];
    size_t taken;

    memset(output, 'o', sizeof(output));
    assert_true(server->to_send <= sizeof(output));
    taken = net_connection_offer(server->connection, str_make(output, server->to_send));
    server->to_send -= taken;
    if (server->to_send > 0)
        assert_int_equal(net_connection_room(server->connection), 0);
    else
        net_connection_finish(server->connection);
}

static void send_large(struct server *server)
{
    static char chunk[50 * 1000];

    if (server->is_offering) {
        offer_large(server);
        return;
    }

    while (server->to_send > 0 && net_connection_room(server->connection) > 0) {
        size_t len = server->to_send < sizeof(chunk) ? server->to_send : sizeof(chunk);
        size_t waiting;

        memset(chunk, 'a' + (int)(server->to_send % 26), sizeof(chunk));
        net_connection_write(server->connection, str_make(chunk, len));
        server->to_send -= len;
        waiting = LIMIT - net_connection_room(server->connection);
        if (waiting > server->largest_queue)
            server->largest_queue = waiting;
    }
    if (server->to_send == 0)
        net_connection_finish(server->connection);
}

/* A line in clear begins it; what follows is echoed, but for zeros, which are counted. */
static void on_packed_input(struct server *server, struct net_connection *connection,
                            struct str bytes)
{
    if (!server->is_packed) {
        server->is_packed = true;
        net_connection_write(connection, STR("OK\n"));
        net_connection_start_compression(connection, str_from(bytes, 6));
        return;
    }
    server->inflated += bytes.len;
    if (bytes.len > server->largest_piece)
        server->largest_piece = bytes.len;
    if (bytes.ptr[0] != '\0')
        net_connection_write(connection, bytes);
    /* Whoever is full for a moment loses nothing. */
    net_connection_want_input(connection, false);
    net_connection_want_input(connection, true);
    if (server->inflated == LARGE)
        net_connection_finish(connection);
}

static void on_input(void *owner, struct net_connection *connection, struct str bytes)
{
    struct server *server = owner;

    if (server->packs) {
        on_packed_input(server, connection, bytes);
        return;
    }
    buf_put(&server->input, bytes);
    if (server->frees_on_input) {
        net_connection_free(&server->connection);
        net_loop_stop(server->loop);
        return;
    }
    if (server->starts_tls && !net_connection_is_secure(connection)) {
        buf_reset(&server->input); /* what came with the command is dropped */
        net_connection_write(connection, STR("OK\n"));
        net_connection_start_tls(connection, server->tls);
        return;
    }
    if (server->is_echo)
        net_connection_write(connection, bytes);
    if (server->ends_output)
        net_connection_end_output(connection);
    if (server->finishes_on_input)
        net_connection_finish(connection);
    if (server->to_send > 0)
        send_large(server);
}

static void on_room(void *owner, struct net_connection *connection)
{
    (void)connection;
    send_large(owner);
}

static void on_secure(void *owner, struct net_connection *connection)
{
    struct server *server = owner;

    assert_true(net_connection_is_secure(connection));
    assert_true(
        str_starts_with(net_connection_tls_words(connection), STR("TLSv1.3, TLS_AES_256_GCM")));
    server->was_secured = true;
}

static void on_close(void *owner, struct net_connection *connection, enum net_close_reason reason)
{
    struct server *server = owner;

    assert_ptr_equal(connection, server->connection);
    server->is_closed = true;
    server->reason = reason;
    net_connection_free(&server->connection);
    net_loop_stop(server->loop);
}

static const struct net_connection_events events = {
    .on_input = on_input, .on_room = on_room, .on_secure = on_secure, .on_close = on_close};
static void on_end(void *owner, struct net_connection *connection);
static const struct net_connection_events events_with_end = {
    .on_input = on_input, .on_room = on_room, .on_end = on_end, .on_close = on_close};

typedef int (*client_main)(int fd);

/* Forks `client` on one end of a TCP connection; the server's end is served until the loop stops.
 * The client's verdict is its exit status. */
static void serve(struct server *server, client_main client, bool is_tls)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, status;
    pid_t pid;

    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    pid = fork();
    if (pid == 0) {
        alarm(60);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&address, len) != 0)
            _exit(100);
        _exit(client(fd));
    }
    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    close(listener);
    server->loop = net_loop_new();
    buf_init(&server->input, SIZE_MAX);
    server->connection = net_connection_new(server->loop, fd, is_tls ? server->tls : NULL, LIMIT,
                                            server->with_end ? &events_with_end : &events, server);
    assert_true(str_equal(net_connection_address(server->connection), STR("127.0.0.1")));
    assert_true(net_connection_is_loopback(server->connection));
    if (server->is_closed) /* tells serve to set a time-out */
        net_connection_set_timeout(server->connection, 150);
    server->is_closed = false;
    net_loop_run(server->loop);
    net_connection_free(&server->connection);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    net_loop_free(&server->loop);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the client failed: %d", status);
}

static SSL *client_tls(int fd)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);

    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) != 1)
        _exit(101);
    return ssl;
}

static int plain_hello(int fd)
{
    char reply[6] = "";

    if (write(fd, "hello", 5) != 5 || recv(fd, reply, 5, MSG_WAITALL) != 5)
        return 1;
    return memcmp(reply, "hello", 5) == 0 && read(fd, reply, 1) == 0 ? 0 : 2;
}

static void a_plain_line_is_echoed(void **state)
{
    struct server server = {.is_echo = true, .finishes_on_input = true};

    (void)state;
    serve(&server, plain_hello, false);
    assert_true(str_equal(buf_str(&server.input), STR("hello")));
    assert_int_equal(server.reason, NET_CLOSED_BY_PEER);
    buf_free(&server.input);
}

/* Sees the server's end, and goes on all the same. */
static int talkative_client(int fd)
{
    char answer[8] = "";
    int status;

    if (write(fd, "one\n", 4) != 4)
        return 1;
    for (size_t len = 0; len < 4;) {
        ssize_t got = read(fd, answer + len, sizeof(answer) - len);

        if (got <= 0)
            return 2;
        len += (size_t)got;
    }
    status = read(fd, answer, 1) == 0 && write(fd, "two\n", 4) == 4 ? 0 : 3;
    close(fd);
    return status;
}

static void output_ends_before_input(void **state)
{
    struct server server = {.is_echo = true, .ends_output = true};

    (void)state;
    serve(&server, talkative_client, false);
    assert_true(str_equal(buf_str(&server.input), STR("one\ntwo\n")));
    assert_int_equal(server.reason, NET_CLOSED_BY_PEER);
    buf_free(&server.input);
}

/* The same over TLS, where close_notify ends a half (RFC 8446 §6.1). */
static int half_closing_tls_client(int fd)
{
    SSL *ssl = client_tls(fd);
    char answer[64] = "";
    size_t len = 0;
    int got;

    if (SSL_write(ssl, "late\n", 5) != 5 || SSL_shutdown(ssl) != 0)
        return 1;
    while ((got = SSL_read(ssl, answer + len, (int)(sizeof(answer) - 1 - len))) > 0)
        len += (size_t)got;
    return strcmp(answer, "late\nbye\n") == 0 ? 0 : 2;
}

static void a_half_closed_tls_client_is_answered(void **state)
{
    struct server server = {.tls = *state, .is_echo = true, .with_end = true};

    serve(&server, half_closing_tls_client, true);
    assert_true(server.is_closed);
    assert_int_equal(server.reason, NET_CLOSED_BY_PEER);
    buf_free(&server.input);
}

static int tls_hello(int fd)
{
    SSL *ssl = client_tls(fd);
    char reply[6] = "";

    if (SSL_write(ssl, "hello", 5) != 5 || SSL_read(ssl, reply, 5) != 5)
        return 1;
    if (memcmp(reply, "hello", 5) != 0 || SSL_read(ssl, reply, 1) != 0)
        return 2;
    return SSL_get_shutdown(ssl) == SSL_RECEIVED_SHUTDOWN ? 0 : 3; /* close_notify came */
}

/* What came before the client closed its half is answered; then the connection is over. */
static int half_closing_client(int fd)
{
    char answer[64] = {0};
    size_t len = 0;
    ssize_t got;

    if (write(fd, "late\n", 5) != 5 || shutdown(fd, SHUT_WR) != 0)
        return 1;
    while ((got = read(fd, answer + len, sizeof(answer) - 1 - len)) > 0)
        len += (size_t)got;
    return got == 0 && strcmp(answer, "late\nbye\n") == 0 ? 0 : 2;
}

static void on_end(void *owner, struct net_connection *connection)
{
    const struct server *server = owner;

    if (server->is_busy) /* its answer takes long */
        return;
    net_connection_write(connection, STR("bye\n"));
    net_connection_finish(connection);
}

static void a_half_closed_client_is_answered(void **state)
{
    struct server server = {.is_echo = true, .with_end = true};

    (void)state;
    serve(&server, half_closing_client, false);
    assert_true(server.is_closed);
    assert_int_equal(server.reason, NET_CLOSED_BY_PEER);
    buf_free(&server.input);
}

static void a_tls_line_is_echoed(void **state)
{
    struct server server = {.tls = *state, .is_echo = true, .finishes_on_input = true};

    serve(&server, tls_hello, true);
    assert_true(server.was_secured);
    assert_true(str_equal(buf_str(&server.input), STR("hello")));
    assert_int_equal(server.reason, NET_CLOSED_BY_PEER);
    buf_free(&server.input);
}

static int starttls_with_injection(int fd)
{
    char reply[3];
    SSL *ssl;

    /* An attacker in the middle would add this, to have it taken for what TLS protected. */
    if (write(fd, "STARTTLS\r\nINJECTED\r\n", 20) != 20 || recv(fd, reply, 3, MSG_WAITALL) != 3)
        return 1;
    ssl = client_tls(fd);
    if (SSL_write(ssl, "sealed", 6) != 6 || SSL_read(ssl, reply, 3) <= 0)
        return 2;
    return 0;
}

static void starttls_drops_what_came_before(void **state)
{
    struct server server = {
        .tls = *state, .starts_tls = true, .is_echo = true, .finishes_on_input = true};

    serve(&server, starttls_with_injection, false);
    assert_true(server.was_secured);
    assert_true(str_equal(buf_str(&server.input), STR("sealed")));
    buf_free(&server.input);
}

/* Reads it all, slowly at first, and looks at every byte. */
static int check_large(int fd, SSL *ssl)
{
    static char room[100 * 1000];
    size_t left = LARGE;

    usleep(100 * 1000);
    while (left > 0) {
        ssize_t got =
            ssl == NULL ? read(fd, room, sizeof(room)) : SSL_read(ssl, room, sizeof(room));

        if (got <= 0)
            return 3;
        for (ssize_t i = 0; i < got; i++, left--) {
            size_t chunk_end = left % 50000 == 0 ? left : left - left % 50000 + 50000;

            /* The first chunks are whole, the last one is what is left. */
            if (chunk_end > LARGE)
                chunk_end = LARGE;
            if (room[i] != (char)('a' + (int)(chunk_end % 26)))
                return 4;
        }
    }
    return (ssl == NULL ? read(fd, room, 1) : SSL_read(ssl, room, 1)) == 0 ? 0 : 5;
}

static int plain_large(int fd)
{
    return write(fd, "x", 1) == 1 ? check_large(fd, NULL) : 1;
}

static int tls_large(int fd)
{
    SSL *ssl = client_tls(fd);

    return SSL_write(ssl, "x", 1) == 1 ? check_large(fd, ssl) : 1;
}

static void large_output_waits_in_bounds(void **state)
{
    for (int is_tls = 0; is_tls < 2; is_tls++) {
        struct server server = {.tls = *state, .to_send = LARGE};

        serve(&server, is_tls ? tls_large : plain_large, is_tls);
        assert_int_equal(server.to_send, 0);
        assert_in_range(server.largest_queue, LIMIT / 2, LIMIT);
        assert_int_equal(server.reason, NET_CLOSED_BY_PEER);
        buf_free(&server.input);
    }
}

static int counting_client(int fd)
{
    static char room[70000];
    size_t count = 0;
    ssize_t got;

    if (write(fd, "x", 1) != 1)
        return 1;
    while ((got = read(fd, room, sizeof(room))) > 0)
        count += (size_t)got;
    return got == 0 && count == OFFERED ? 0 : 2;
}

static void an_offer_is_taken_until_there_is_no_room(void **state)
{
    struct server server = {.is_offering = true, .to_send = OFFERED};

    (void)state;
    serve(&server, counting_client, false);
    assert_int_equal(server.to_send, 0);
    assert_int_equal(server.reason, NET_CLOSED_BY_PEER);
    buf_free(&server.input);
}

static int packed_client(int fd)
{
    struct net_compress *compress = net_compress_new();
    static char zeros[100 * 1000], room[1000];
    struct str plain = {NULL, 0};
    struct buf out;
    size_t left = LARGE - 5;
    ssize_t got;

    buf_init(&out, SIZE_MAX);
    /* Pipelined behind the command: compressed already. */
    buf_put(&out, STR("START\n"));
    net_compress_deflate(compress, STR("hello"), &out);
    if (write(fd, out.ptr, out.len) != (ssize_t)out.len)
        return 1;
    if (recv(fd, room, 3, MSG_WAITALL) != 3 || memcmp(room, "OK\n", 3) != 0)
        return 2;
    while (plain.len == 0) {
        if ((got = read(fd, room, sizeof(room))) <= 0)
            return 3;
        net_compress_feed(compress, str_make(room, (size_t)got));
        if (net_compress_inflate(compress, &plain) != ERR_OK)
            return 4;
    }
    if (!str_equal(plain, STR("hello")))
        return 5;
    buf_reset(&out);
    while (left > 0) {
        struct str part = str_upto(str_make(zeros, sizeof(zeros)), left);

        net_compress_deflate(compress, part, &out);
        left -= part.len;
    }
    if (write(fd, out.ptr, out.len) != (ssize_t)out.len)
        return 6;
    return read(fd, room, 1) == 0 ? 0 : 7;
}

static int packed_garbage(int fd)
{
    char reply[100];

    if (write(fd, "START\nplain text\n", 17) != 17)
        return 1;
    while (read(fd, reply, sizeof(reply)) > 0)
        ;
    return 0;
}

static void compression_starts_behind_the_command(void **state)
{
    struct server server = {.packs = true};

    (void)state;
    serve(&server, packed_client, false);
    assert_int_equal(server.inflated, LARGE);
    assert_true(server.largest_piece <= NET_COMPRESS_PIECE);
    assert_int_equal(server.reason, NET_CLOSED_BY_PEER);
    buf_free(&server.input);
}

static void what_is_not_compressed_then_closes(void **state)
{
    struct server server = {.packs = true};

    (void)state;
    serve(&server, packed_garbage, false);
    assert_int_equal(server.inflated, 0);
    assert_int_equal(server.reason, NET_CLOSED_ERROR);
    buf_free(&server.input);
}

static int garbage(int fd)
{
    char reply[100];

    if (write(fd, "GET / HTTP/1.0\r\n\r\n", 18) != 18)
        return 1;
    while (read(fd, reply, sizeof(reply)) > 0)
        ;
    return 0;
}

static void garbage_for_a_handshake_closes(void **state)
{
    struct server server = {.tls = *state};

    serve(&server, garbage, true);
    assert_int_equal(server.reason, NET_CLOSED_TLS);
    assert_int_equal(server.input.len, 0);
    buf_free(&server.input);
}

static int silent(int fd)
{
    char byte;

    return read(fd, &byte, 1) == 0 ? 0 : 1;
}

static void silence_is_timed_out(void **state)
{
    struct server server = {.is_closed = true};
    int64_t before_ms = clock_monotonic_ms();

    (void)state;
    serve(&server, silent, false);
    assert_int_equal(server.reason, NET_CLOSED_TIMEOUT);
    assert_in_range(clock_monotonic_ms() - before_ms, 150, 2000);
    buf_free(&server.input);
}

static int talk_and_wait(int fd)
{
    char byte;

    if (write(fd, "x", 1) != 1)
        return 1;
    return read(fd, &byte, 1) <= 0 ? 0 : 2;
}

static void the_owner_may_free_inside(void **state)
{
    struct server server = {.frees_on_input = true};

    (void)state;
    serve(&server, talk_and_wait, false);
    assert_false(server.is_closed);
    buf_free(&server.input);
}

static int reset(int fd)
{
    struct linger none = {1, 0};

    usleep(20 * 1000);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(fd);
    return 0;
}

static int half_close_and_reset(int fd)
{
    return shutdown(fd, SHUT_WR) == 0 ? reset(fd) : 1;
}

/* Nobody reads any more, and nothing is to be written yet. */
static void a_reset_behind_a_half_is_noticed(void **state)
{
    struct server server = {.with_end = true, .is_busy = true};

    (void)state;
    serve(&server, half_close_and_reset, false);
    assert_true(server.is_closed);
    assert_int_equal(server.reason, NET_CLOSED_BY_PEER);
    buf_free(&server.input);
}

static void a_reset_is_an_error(void **state)
{
    struct server server = {.is_echo = true};

    (void)state;
    serve(&server, reset, false);
    assert_true(server.is_closed);
    assert_int_equal(server.reason, NET_CLOSED_ERROR);
    buf_free(&server.input);
}

static int setup(void **state)
{
    struct buf certificate, key;
    struct net_tls *tls;
    struct task task;

    signal(SIGPIPE, SIG_IGN);
    task_init(&task, 0);
    buf_init(&certificate, SIZE_MAX);
    buf_init(&key, SIZE_MAX);
    if (net_certificate_make(&task, STR("localhost"), clock_now_ms(), &certificate, &key) !=
            ERR_OK ||
        net_tls_new(&task, buf_str(&certificate), buf_str(&key), &tls) != ERR_OK)
        return -1;
    *state = tls;
    buf_free(&certificate);
    buf_free(&key);
    task_done(&task);
    return 0;
}

static int teardown(void **state)
{
    struct net_tls *tls = *state;

    net_tls_free(&tls);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_line_is_echoed),
        cmocka_unit_test(a_half_closed_client_is_answered),
        cmocka_unit_test(a_reset_behind_a_half_is_noticed),
        cmocka_unit_test(a_half_closed_tls_client_is_answered),
        cmocka_unit_test(output_ends_before_input),
        cmocka_unit_test(a_tls_line_is_echoed),
        cmocka_unit_test(starttls_drops_what_came_before),
        cmocka_unit_test(compression_starts_behind_the_command),
        cmocka_unit_test(what_is_not_compressed_then_closes),
        cmocka_unit_test(large_output_waits_in_bounds),
        cmocka_unit_test(an_offer_is_taken_until_there_is_no_room),
        cmocka_unit_test(garbage_for_a_handshake_closes),
        cmocka_unit_test(silence_is_timed_out),
        cmocka_unit_test(the_owner_may_free_inside),
        cmocka_unit_test(a_reset_is_an_error),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
