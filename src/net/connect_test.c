/* Addresses of 127.0.0.0/8, all of them this machine's: one listens, others refuse or are full. */
#include "net/connect.h"

#include "base/clock.h"
#include "base/macros.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct result {
    struct net_loop *loop;
    int fd, error;
    size_t index;
    bool is_called;
};

static void on_connect(void *owner, int fd, size_t index, int error)
{
    struct result *result = owner;

    result->fd = fd;
    result->index = index;
    result->error = error;
    result->is_called = true;
    net_loop_stop(result->loop);
}

/* Listens there on a port of its own, or on *port when that is not 0. */
static int listen_on(const char *address, uint16_t *port, int backlog)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    assert_int_equal(inet_pton(AF_INET, address, &name.sin_addr), 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    *port = ntohs(name.sin_port);
    return fd;
}

/* A listener whose queue is full answers no SYN: as silent as a host that is gone. */
static void fill(const char *address, uint16_t port, int *out_fds, size_t count)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};

    assert_int_equal(inet_pton(AF_INET, address, &name.sin_addr), 1);
    for (size_t i = 0; i < count; i++) {
        out_fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(out_fds[i], (struct sockaddr *)&name, sizeof(name));
    }
    usleep(50 * 1000);
}

static struct result dial(const char *const *texts, size_t count, uint16_t port, int64_t stagger_ms,
                          int64_t timeout_ms)
{
    struct result result = {.loop = net_loop_new(), .fd = -1};
    struct ip_address addresses[NET_CONNECT_ADDRESSES_MAX];
    struct net_connect_options options = {.addresses = addresses,
                                          .address_count = count,
                                          .port = port,
                                          .stagger_ms = stagger_ms,
                                          .timeout_ms = timeout_ms};

    for (size_t i = 0; i < count; i++)
        assert_true(ip_address_parse(str_from_c(texts[i]), &addresses[i]));
    net_connect_start(result.loop, &options, on_connect, &result);
    assert_false(result.is_called);
    net_loop_run(result.loop);
    net_loop_free(&result.loop);
    if (result.fd >= 0)
        close(result.fd);
    return result;
}

static void refused_addresses_are_passed_over_at_once(void **state)
{
    static const char *const texts[] = {"127.0.0.7", "::1", "127.0.0.8"};
    uint16_t port = 0;
    int listener = listen_on("127.0.0.8", &port, 8);
    int64_t start_ms = clock_monotonic_ms();
    struct result result = dial(texts, 3, port, 60 * 1000, 60 * 1000);

    (void)state;
    assert_true(result.fd >= 0);
    assert_int_equal(result.index, 2);
    assert_true(clock_monotonic_ms() - start_ms < 5000);
    close(listener);
    result = dial(texts, 3, port, 60 * 1000, 60 * 1000);
    assert_int_equal(result.fd, -1);
    assert_int_equal(result.error, ECONNREFUSED);
}

static void a_silent_address_delays_the_next_but_a_little(void **state)
{
    static const char *const texts[] = {"127.0.0.9", "127.0.0.10"};
    static const char *const with_refusal[] = {"127.0.0.9", "127.0.0.12", "127.0.0.10"};
    uint16_t port = 0;
    int silent = listen_on("127.0.0.9", &port, 0), listener = listen_on("127.0.0.10", &port, 8);
    int fds[8];
    int64_t start_ms = clock_monotonic_ms();
    struct result result;

    (void)state;
    fill("127.0.0.9", port, fds, ARRAY_LEN(fds));
    result = dial(texts, 2, port, 100, 60 * 1000);
    assert_true(result.fd >= 0);
    assert_int_equal(result.index, 1);
    assert_true(clock_monotonic_ms() - start_ms >= 100);
    /* One that refuses in between delays it no further. */
    start_ms = clock_monotonic_ms();
    result = dial(with_refusal, 3, port, 400, 60 * 1000);
    assert_int_equal(result.index, 2);
    assert_in_range(clock_monotonic_ms() - start_ms, 400, 790);
    /* Alone, it ends with its time. */
    start_ms = clock_monotonic_ms();
    result = dial(texts, 1, port, 100, 200);
    assert_int_equal(result.fd, -1);
    assert_int_equal(result.error, ETIMEDOUT);
    assert_true(clock_monotonic_ms() - start_ms >= 200);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    close(silent);
    close(listener);
}

static void nobody_is_told_after_a_cancel(void **state)
{
    struct result result = {.loop = net_loop_new()};
    struct ip_address address = {.bytes = {127, 0, 0, 11}};
    struct net_connect_options options = {.addresses = &address, .address_count = 1, .port = 9};
    struct net_connect *dialing = net_connect_start(result.loop, &options, on_connect, &result);

    (void)state;
    net_connect_cancel(&dialing);
    assert_null(dialing);
    net_connect_cancel(&dialing);
    net_loop_free(&result.loop);
    assert_false(result.is_called);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_addresses_are_passed_over_at_once),
        cmocka_unit_test(a_silent_address_delays_the_next_but_a_little),
        cmocka_unit_test(nobody_is_told_after_a_cancel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
