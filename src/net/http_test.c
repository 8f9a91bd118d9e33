/*
 * The server is a table of raw answers by path, in the same loop: what it says is what stands here,
 * right or wrong. It speaks HTTP/1.1; HTTP/2 is met in tests/dns, with a real server.
 */
#include "net/http.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "net/certificate.h"
#include "net/connection.h"
#include "net/listener.h"
#include "net/run_for.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { PEERS_MAX = 64, LARGE = 300 * 1000 };

struct peer {
    struct server *server;
    struct net_connection *connection;
    struct buf input;
};

struct server {
    struct net_loop *loop;
    struct net_tls *tls;
    struct net_listener *listener, *tls_listener;
    uint16_t port, tls_port;
    struct peer peers[PEERS_MAX];
    size_t peer_count;
    struct buf last_request;
    struct buf certificate;
    struct net_http *http;
};

static struct server server;

static const struct {
    const char *path, *answer;
    bool closes;
} answers[] = {
    {"/ok", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kind: first\r\nX-Kind: second\r\n\r\nhello",
     false},
    {"/empty", "HTTP/1.1 204 No Content\r\n\r\n", false},
    {"/refused", "HTTP/1.1 503 Later\r\nContent-Length: 3\r\n\r\nno\n", false},
    {"/moved", "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", false},
    {"/close", "HTTP/1.1 200 OK\r\n\r\nuntil the end", true},
    {"/cut", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", true},
    {"/nothing", "", true},
    {"/silent", "", false},
    {"/http09", "hello\r\n", true},
    {"/garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", true},
    {"/bad-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n", true},
    {"/bad-length", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", true},
    {"/cookie", "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", false},
};

/* ---- The server ---- */

static void answer(struct peer *peer, struct str path)
{
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        if (str_equal(path, str_from_c(answers[i].path))) {
            net_connection_write(peer->connection, str_from_c(answers[i].answer));
            if (answers[i].closes)
                net_connection_finish(peer->connection);
            return;
        }
    }
    if (str_equal(path, STR("/large")) || str_equal(path, STR("/many-headers"))) {
        bool is_body = str_equal(path, STR("/large"));
        struct buf text;

        buf_init(&text, SIZE_MAX);
        buf_putf(&text, "HTTP/1.1 200 OK\r\n");
        if (is_body)
            buf_putf(&text, "Content-Length: %d\r\n\r\n", LARGE);
        while (text.len < LARGE + 1000)
            buf_putf(&text, is_body ? "0123456789" : "X-Header: 0123456789\r\n");
        net_connection_write(peer->connection, buf_str(&text));
        buf_free(&text);
        return;
    }
    net_connection_write(peer->connection, STR("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"));
}

static void on_input(void *owner, struct net_connection *connection, struct str bytes)
{
    struct peer *peer = owner;
    struct str text, path;
    ptrdiff_t end, length;
    uint32_t body = 0;

    (void)connection;
    buf_put(&peer->input, bytes);
    text = buf_str(&peer->input);
    end = str_find(text, STR("\r\n\r\n"));
    if (end < 0)
        return;
    length = str_find(text, STR("Content-Length: "));
    if (length >= 0) {
        struct str number = str_from(text, (size_t)length + 16);

        assert_true(parse_u32(str_upto(number, (size_t)str_index(number, '\r')), &body));
    }
    if (text.len < (size_t)end + 4 + body)
        return;
    buf_reset(&server.last_request);
    buf_put(&server.last_request, text);
    path = str_from(text, (size_t)str_index(text, ' ') + 1);
    path = str_upto(path, (size_t)str_index(path, ' '));
    answer(peer, path);
    buf_reset(&peer->input);
}

static void on_close(void *owner, struct net_connection *connection, enum net_close_reason reason)
{
    struct peer *peer = owner;

    (void)connection;
    (void)reason;
    net_connection_free(&peer->connection);
    buf_free(&peer->input);
}

static const struct net_connection_events events = {.on_input = on_input, .on_close = on_close};

static void accept_one(int fd, struct net_tls *tls)
{
    struct peer *peer = &server.peers[server.peer_count++];

    assert_true(server.peer_count <= PEERS_MAX);
    buf_init(&peer->input, SIZE_MAX);
    peer->server = &server;
    peer->connection = net_connection_new(server.loop, fd, tls, 1 << 20, &events, peer);
}

static void on_accept(void *owner, int fd)
{
    (void)owner;
    accept_one(fd, NULL);
}

static void on_accept_tls(void *owner, int fd)
{
    (void)owner;
    accept_one(fd, server.tls);
}

static uint16_t listen_somewhere(struct net_listener **out, void (*on_one)(void *owner, int fd))
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *out = net_listener_new(server.loop, fd, on_one, NULL);
    return ntohs(address.sin_port);
}

/* ---- One request ---- */

struct outcome {
    bool is_done;
    enum err err;
    unsigned status;
    bool is_cut, was_connected;
    size_t body_len;
    char body[32], header[32];
};

static void on_done(void *owner, const struct net_http_response *response)
{
    struct outcome *outcome = owner;
    struct str header = net_http_header(response, "x-kind");

    outcome->is_done = true;
    outcome->err = response->err;
    outcome->status = response->status;
    outcome->is_cut = response->is_cut;
    outcome->body_len = response->body.len;
    assert_non_null(response->words);
    outcome->was_connected = response->was_connected;
    snprintf(outcome->body, sizeof(outcome->body), "%.*s", STR_ARG(response->body));
    snprintf(outcome->header, sizeof(outcome->header), "%.*s", STR_ARG(header));
    net_loop_stop(server.loop);
}

static struct outcome run(const char *url, struct net_http_request request)
{
    struct outcome outcome = {.is_done = false};

    request.url = str_from_c(url);
    if (request.address.ptr == NULL)
        request.address = STR("127.0.0.1");
    if (request.response_limit == 0)
        request.response_limit = 1000;
    if (request.timeout_ms == 0)
        request.timeout_ms = 5000;
    assert_non_null(net_http_start(server.http, &request, on_done, &outcome));
    assert_false(outcome.is_done);
    net_loop_run(server.loop);
    assert_true(outcome.is_done);
    return outcome;
}

static const char *url_of(const char *host, uint16_t port, const char *path)
{
    static char url[128];

    snprintf(url, sizeof(url), "%s:%u%s", host, port, path);
    return url;
}

/* ---- The tests ---- */

static void answers_are_what_they_are(void **state)
{
    static const struct {
        const char *path;
        enum err err;
        unsigned status;
        const char *body;
    } rows[] = {
        {"/ok", ERR_OK, 200, "hello"},
        {"/empty", ERR_OK, 204, ""},
        {"/refused", ERR_OK, 503, "no\n"},
        {"/moved", ERR_OK, 302, ""}, /* not followed */
        {"/close", ERR_OK, 200, "until the end"},
        {"/cut", ERR_BUSY, 0, ""},
        {"/nothing", ERR_BUSY, 0, ""},
        {"/http09", ERR_INVALID, 0, ""},
        {"/garbage", ERR_INVALID, 0, ""},
        {"/bad-chunk", ERR_BUSY, 0, ""},
        {"/bad-length", ERR_INVALID, 0, ""},
        {"/large", ERR_LIMIT, 0, ""},
        {"/many-headers", ERR_LIMIT, 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct outcome outcome = run(url_of("http://mail.test", server.port, rows[i].path),
                                     (struct net_http_request){.method = NET_HTTP_GET});

        if (outcome.err != rows[i].err || outcome.status != rows[i].status ||
            strcmp(outcome.body, rows[i].body) != 0)
            fail_msg("%s: %s, status %u, body '%s'", rows[i].path, err_name(outcome.err),
                     outcome.status, outcome.body);
    }
}

static void a_post_has_its_body_and_headers(void **state)
{
    const struct str headers[] = {STR("Content-Type: text/x"), STR("X-One: a\r\nX-Two: b")};
    struct net_http_request request = {.method = NET_HTTP_POST,
                                       .body = str_make("a\0b", 3),
                                       .headers = headers,
                                       .header_count = 2};
    struct outcome outcome = run(url_of("http://mail.test", server.port, "/ok"), request);
    struct str sent = buf_str(&server.last_request);

    (void)state;
    assert_int_equal(outcome.status, 200);
    assert_string_equal(outcome.header, "first");
    assert_true(str_starts_with(sent, STR("POST /ok HTTP/1.1\r\nHost: mail.test:")));
    assert_true(str_find(sent, STR("\r\nContent-Type: text/x\r\n")) > 0);
    assert_true(str_find(sent, STR("\r\nX-One: a\r\n")) > 0);
    assert_true(str_find(sent, STR("X-Two")) < 0); /* a header is one line */
    assert_true(str_find(sent, STR("Expect:")) < 0);
    assert_true(str_find(sent, STR("Cookie:")) < 0);
    assert_true(str_ends_with(sent, str_make("\r\n\r\na\0b", 7)));
}

/* From a memfd, and sent again where a kept connection had died. */
static void a_large_body_comes_from_its_descriptor(void **state)
{
    struct net_http_request request = {.method = NET_HTTP_POST, .has_body_fd = true};
    struct outcome outcome;
    struct buf bytes;
    struct task task;
    int fd;

    (void)state;
    task_init(&task, 0);
    buf_init(&bytes, SIZE_MAX);
    while (bytes.len < 200000)
        buf_putf(&bytes, "%zu,", bytes.len);
    assert_int_equal(memfd_from(&task, buf_str(&bytes), &fd), ERR_OK);
    request.body_fd = fd;
    for (unsigned i = 0; i < 2; i++) {
        outcome = run(url_of("http://mail.test", server.port, "/ok"), request);
        assert_int_equal(outcome.status, 200);
        assert_true(str_ends_with(buf_str(&server.last_request), buf_str(&bytes)));
        /* The server hangs up on the connection that is kept. */
        for (size_t j = 0; j < server.peer_count; j++) {
            if (server.peers[j].connection != NULL)
                net_connection_finish(server.peers[j].connection);
        }
    }
    fd_close(&fd);
    buf_free(&bytes);
    task_done(&task);
}

static void a_long_body_may_be_cut(void **state)
{
    struct outcome outcome =
        run(url_of("http://mail.test", server.port, "/large"),
            (struct net_http_request){.is_cut_allowed = true, .response_limit = 10});

    (void)state;
    assert_int_equal(outcome.err, ERR_OK);
    assert_int_equal(outcome.status, 200);
    assert_true(outcome.is_cut);
    assert_string_equal(outcome.body, "0123456789");
}

/* Nothing is listening on the other addresses; names are never looked up. */
static void only_the_given_address_is_connected_to(void **state)
{
    static const struct {
        const char *rule, *host, *address;
        enum err err;
    } rows[] = {
        {"a name that does not exist", "http://no.such.invalid", "127.0.0.1", ERR_OK},
        {"a host that is another address", "http://192.0.2.1", "127.0.0.1", ERR_OK},
        {"an IPv6 host", "http://[2001:db8::1]", "127.0.0.1", ERR_OK},
        {"localhost is not special", "http://localhost", "127.0.0.9", ERR_BUSY},
        {"the host is up, the address is not", "http://127.0.0.1", "127.0.0.9", ERR_BUSY},
        {"not an address", "http://127.0.0.1", "localhost", ERR_INVALID},
        {"nothing", "http://127.0.0.1", "", ERR_INVALID},
        {"two addresses", "http://127.0.0.1", "127.0.0.1,127.0.0.1", ERR_INVALID},
    };

    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct outcome outcome =
            run(url_of(rows[i].host, server.port, "/ok"),
                (struct net_http_request){.address = str_from_c(rows[i].address)});

        if (outcome.err != rows[i].err)
            fail_msg("%s: %s", rows[i].rule, err_name(outcome.err));
        assert_int_equal(outcome.was_connected, rows[i].err == ERR_OK);
    }
    unsetenv("http_proxy");
    unsetenv("all_proxy");
}

static void other_protocols_do_not_exist(void **state)
{
    static const char *const urls[] = {
        "ftp://127.0.0.1/ok", "file:///etc/passwd", "gopher://a/", "", "mailto:a@b", "http://",
        "http://a b/"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++)
        assert_int_equal(run(urls[i], (struct net_http_request){.timeout_ms = 1000}).err,
                         ERR_INVALID);
}

static void the_certificate_must_lead_back_to_a_trusted_one(void **state)
{
    struct net_http *trusting = server.http, *strict;
    const struct net_http_options none = {.connections_max = 4};
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(net_http_new(server.loop, &task, &none, &strict), ERR_OK);
    assert_int_equal(run(url_of("https://localhost", server.tls_port, "/ok"),
                         (struct net_http_request){.timeout_ms = 0})
                         .status,
                     200);
    assert_int_equal(run(url_of("https://other.test", server.tls_port, "/ok"),
                         (struct net_http_request){.timeout_ms = 0})
                         .err,
                     ERR_DENIED);
    /* Not even on a kept connection to the same address. */
    assert_int_equal(run(url_of("https://other.test", server.tls_port, "/ok"),
                         (struct net_http_request){.timeout_ms = 0})
                         .err,
                     ERR_DENIED);
    server.http = strict;
    assert_int_equal(run(url_of("https://localhost", server.tls_port, "/ok"),
                         (struct net_http_request){.timeout_ms = 0})
                         .err,
                     ERR_DENIED);
    server.http = trusting;
    net_http_free(&strict);
    task_done(&task);
}

static void trust_is_in_pem(void **state)
{
    const struct net_http_options bad = {.trust_pem = STR("no certificate\n")};
    struct net_http *http = NULL;
    struct buf pem;
    struct task task;

    (void)state;
    task_init(&task, 0);
    buf_init(&pem, SIZE_MAX);
    assert_int_equal(net_http_new(server.loop, &task, &bad, &http), ERR_INVALID);
    assert_null(http);
    assert_int_equal(net_http_read_trust(&task, STR("/nonexistent.pem"), &pem), ERR_NOT_FOUND);
    assert_int_equal(net_http_read_trust(&task, STR(""), &pem), ERR_OK);
    assert_true(str_find(buf_str(&pem), STR("BEGIN CERTIFICATE")) >= 0);
    buf_free(&pem);
    task_done(&task);
}

static void time_is_bounded(void **state)
{
    int64_t start_ms = clock_monotonic_ms();
    struct outcome outcome = run(url_of("http://mail.test", server.port, "/silent"),
                                 (struct net_http_request){.timeout_ms = 200});

    (void)state;
    assert_int_equal(outcome.err, ERR_BUSY);
    assert_true(outcome.was_connected);
    assert_in_range(clock_monotonic_ms() - start_ms, 150, 3000);
}

static void connections_are_kept(void **state)
{
    size_t before = server.peer_count;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        (void)run(url_of("http://kept.test", server.port, "/ok"),
                  (struct net_http_request){.timeout_ms = 0});
    assert_int_equal(server.peer_count, before + 1);
}

static void a_cancelled_call_is_not_answered(void **state)
{
    struct net_http_request request = {.address = STR("127.0.0.1"), .response_limit = 10};
    struct outcome outcome = {.is_done = false};
    struct net_http_call *call;
    char url[128];

    (void)state;
    snprintf(url, sizeof(url), "%s", url_of("http://mail.test", server.port, "/silent"));
    request.url = str_from_c(url);
    call = net_http_start(server.http, &request, on_done, &outcome);
    net_run_for(server.loop, 50);
    net_http_cancel(&call);
    assert_null(call);
    net_http_cancel(&call);
    net_run_for(server.loop, 50);
    assert_false(outcome.is_done);
}

static int setup(void **state)
{
    struct net_http_options options = {.connections_max = 0};
    struct buf key;
    struct task task;

    (void)state;
    task_init(&task, 0);
    buf_init(&key, SIZE_MAX);
    buf_init(&server.certificate, SIZE_MAX);
    buf_init(&server.last_request, SIZE_MAX);
    server.loop = net_loop_new();
    assert_int_equal(
        net_certificate_make(&task, STR("localhost"), clock_now_ms(), &server.certificate, &key),
        ERR_OK);
    assert_int_equal(net_tls_new(&task, buf_str(&server.certificate), buf_str(&key), &server.tls),
                     ERR_OK);
    server.port = listen_somewhere(&server.listener, on_accept);
    server.tls_port = listen_somewhere(&server.tls_listener, on_accept_tls);
    options.trust_pem = buf_str(&server.certificate);
    assert_int_equal(net_http_new(server.loop, &task, &options, &server.http), ERR_OK);
    buf_free(&key);
    task_done(&task);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    net_http_free(&server.http);
    for (size_t i = 0; i < server.peer_count; i++) {
        net_connection_free(&server.peers[i].connection);
        buf_free(&server.peers[i].input);
    }
    net_listener_free(&server.listener);
    net_listener_free(&server.tls_listener);
    net_tls_free(&server.tls);
    net_loop_free(&server.loop);
    buf_free(&server.certificate);
    buf_free(&server.last_request);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_what_they_are),
        cmocka_unit_test(a_post_has_its_body_and_headers),
        cmocka_unit_test(a_large_body_comes_from_its_descriptor),
        cmocka_unit_test(a_long_body_may_be_cut),
        cmocka_unit_test(only_the_given_address_is_connected_to),
        cmocka_unit_test(other_protocols_do_not_exist),
        cmocka_unit_test(the_certificate_must_lead_back_to_a_trusted_one),
        cmocka_unit_test(trust_is_in_pem),
        cmocka_unit_test(time_is_bounded),
        cmocka_unit_test(connections_are_kept),
        cmocka_unit_test(a_cancelled_call_is_not_answered),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
