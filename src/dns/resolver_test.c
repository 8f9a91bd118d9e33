/*
 * The resolver over plain DNS, whose server stands in the same loop and answers as a row says; and
 * with a Redis that is a list of canned bytes. The HTTPS servers are met in tests/dns.
 */
#include "dns/resolver.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/macros.h"
#include "base/memory.h"
#include "net/run_for.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum manner {
    GOOD,
    SILENT,
    WRONG_ID_FIRST, /* then the good one */
    ONLY_WRONG,     /* a wrong name, again and again; over TCP the good one */
    CUT,            /* TC; over TCP the good one */
    CUT_AND_GONE,   /* TC; TCP is closed at once */
    NO_NAME,
    SICK,  /* SERVFAIL */
    LYING, /* AD */
};

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = -1, .role = "test"};

static struct {
    struct net_loop *loop;
    enum manner manner;
    int udp, tcp, stream, redis, redis_stream; /* the servers' */
    struct net_watch *udp_watch, *tcp_watch, *stream_watch, *redis_watch, *redis_stream_watch;
    struct sockaddr_in address, redis_address;
    unsigned datagrams, streams;
    uint32_t ttl_s;
    const char *redis_answer; /* NULL: none */
    struct buf redis_input;
    struct dns_direct *direct;
    struct dns_redis *shared;
    struct dns_resolver *resolver;
} world;

/* ---- A DNS server ---- */

/* The question with an address behind it. */
static size_t reply_to(const unsigned char *message, size_t len, bool is_tcp, unsigned char *out)
{
    static const unsigned char record[] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 7};
    size_t end = 12;
    bool is_cut = !is_tcp && (world.manner == CUT || world.manner == CUT_AND_GONE);
    unsigned code = world.manner == NO_NAME ? 3 : world.manner == SICK ? 2 : 0;

    assert_true(len > 12);
    while (end < len && message[end] != 0)
        end += message[end] + 1u;
    end += 5;
    assert_true(end <= len);
    memcpy(out, message, end);
    memset(out + 6, 0, 6);
    out[2] = 0x81 | (is_cut ? 2 : 0);
    out[3] = (unsigned char)(0x80 | code | (world.manner == LYING ? 0x20 : 0));
    if (is_cut || code != 0)
        return end;
    out[7] = 1;
    memcpy(out + end, record, sizeof(record));
    out[end + 9] = (unsigned char)world.ttl_s;
    return end + sizeof(record);
}

static void on_datagram(void *owner)
{
    unsigned char in[2000], out[2100];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    ssize_t got = recvfrom(world.udp, in, sizeof(in), 0, (struct sockaddr *)&from, &from_len);
    size_t len;

    (void)owner;
    assert_true(got > 0);
    world.datagrams++;
    if (world.manner == SILENT)
        return;
    len = reply_to(in, (size_t)got, false, out);
    if (world.manner == WRONG_ID_FIRST) {
        out[0] ^= 1;
        sendto(world.udp, out, len, 0, (struct sockaddr *)&from, from_len);
        sendto(world.udp, "short", 5, 0, (struct sockaddr *)&from, from_len);
        out[0] ^= 1;
    }
    if (world.manner == ONLY_WRONG)
        out[13] ^= 1; /* the first letter of the name */
    for (unsigned i = 0; i < (world.manner == ONLY_WRONG ? DNS_DIRECT_WRONG_MAX : 1); i++)
        sendto(world.udp, out, len, 0, (struct sockaddr *)&from, from_len);
}

static void on_stream(void *owner)
{
    unsigned char in[2000], out[2100];
    ssize_t got = recv(world.stream, in, sizeof(in), 0);
    size_t len;

    (void)owner;
    if (got <= 2) {
        net_watch_free(&world.stream_watch);
        fd_close(&world.stream);
        return;
    }
    assert_int_equal(in[0] << 8 | in[1], got - 2);
    len = reply_to(in + 2, (size_t)got - 2, true, out + 2);
    out[0] = (unsigned char)(len >> 8);
    out[1] = (unsigned char)len;
    /* In three pieces. */
    assert_int_equal(send(world.stream, out, 1, 0), 1);
    usleep(2000);
    assert_int_equal(send(world.stream, out + 1, 10, 0), 10);
    usleep(2000);
    assert_int_equal(send(world.stream, out + 11, len - 9, 0), len - 9);
}

static void on_connection(void *owner)
{
    (void)owner;
    world.streams++;
    net_watch_free(&world.stream_watch);
    fd_close(&world.stream);
    world.stream = accept(world.tcp, NULL, NULL);
    if (world.manner == CUT_AND_GONE) {
        fd_close(&world.stream);
        return;
    }
    world.stream_watch = net_watch_new(world.loop, world.stream, on_stream, NULL, NULL);
    net_watch_want(world.stream_watch, true, false);
}

/* ---- A Redis ---- */

static void on_redis_input(void *owner)
{
    char room[4096];
    ssize_t got = recv(world.redis_stream, room, sizeof(room), 0);

    (void)owner;
    if (got <= 0) {
        net_watch_free(&world.redis_stream_watch);
        fd_close(&world.redis_stream);
        return;
    }
    buf_put(&world.redis_input, str_make(room, (size_t)got));
    if (world.redis_answer != NULL)
        assert_true(send(world.redis_stream, world.redis_answer, strlen(world.redis_answer),
                         MSG_NOSIGNAL) > 0);
}

static void on_redis_connection(void *owner)
{
    (void)owner;
    net_watch_free(&world.redis_stream_watch);
    fd_close(&world.redis_stream);
    world.redis_stream = accept(world.redis, NULL, NULL);
    world.redis_stream_watch =
        net_watch_new(world.loop, world.redis_stream, on_redis_input, NULL, NULL);
    net_watch_want(world.redis_stream_watch, true, false);
}

static int listen_at(struct sockaddr_in *address, int type)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*address);

    if (bind(fd, (struct sockaddr *)address, len) != 0 ||
        (type == SOCK_STREAM && listen(fd, 8) != 0))
        fd_close(&fd);
    else
        assert_int_equal(getsockname(fd, (struct sockaddr *)address, &len), 0);
    return fd;
}

/* ---- The world ---- */

static void make_resolver(void)
{
    struct dns_resolver_options options = {
        .cache_bytes = 1 << 20, .list = world.direct, .redis = world.shared, .log = &quiet};

    dns_resolver_free(&world.resolver);
    world.resolver = dns_resolver_new(&options);
}

static int set_up(void **state)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage address = {0};

    (void)state;
    memset(&world, 0, sizeof(world));
    world.loop = net_loop_new();
    world.ttl_s = 100;
    world.udp = world.tcp = -1;
    for (unsigned i = 0; i < 50 && world.udp < 0; i++) {
        fd_close(&world.tcp);
        world.address = any;
        world.tcp = listen_at(&world.address, SOCK_STREAM);
        world.udp = listen_at(&world.address, SOCK_DGRAM);
    }
    assert_true(world.udp >= 0);
    world.stream = world.redis_stream = -1;
    world.redis_address = any;
    world.redis = listen_at(&world.redis_address, SOCK_STREAM);
    buf_init(&world.redis_input, SIZE_MAX);
    world.udp_watch = net_watch_new(world.loop, world.udp, on_datagram, NULL, NULL);
    world.tcp_watch = net_watch_new(world.loop, world.tcp, on_connection, NULL, NULL);
    world.redis_watch = net_watch_new(world.loop, world.redis, on_redis_connection, NULL, NULL);
    net_watch_want(world.udp_watch, true, false);
    net_watch_want(world.tcp_watch, true, false);
    net_watch_want(world.redis_watch, true, false);
    world.direct = dns_direct_new(world.loop);
    memcpy(&address, &world.address, sizeof(world.address));
    dns_direct_add(world.direct, &address, sizeof(world.address));
    make_resolver();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dns_resolver_free(&world.resolver);
    dns_direct_free(&world.direct);
    dns_redis_free(&world.shared);
    net_watch_free(&world.udp_watch);
    net_watch_free(&world.tcp_watch);
    net_watch_free(&world.stream_watch);
    net_watch_free(&world.redis_watch);
    net_watch_free(&world.redis_stream_watch);
    fd_close(&world.udp);
    fd_close(&world.tcp);
    fd_close(&world.stream);
    fd_close(&world.redis);
    fd_close(&world.redis_stream);
    buf_free(&world.redis_input);
    net_loop_free(&world.loop);
    return 0;
}

struct heard {
    unsigned count, expected;
    enum dns_status status;
    bool is_secure;
    uint32_t ttl_s;
    uint64_t tag;
};

static void on_result(void *owner, uint64_t tag, const struct dns_result *result)
{
    struct heard *heard = owner;
    struct dns_answer answer;
    struct task task;

    task_init(&task, 0);
    assert_int_equal(dns_answer_decode(&task, result->records, &answer), ERR_OK);
    assert_int_equal(answer.count > 0, result->status == DNS_OK);
    heard->count++;
    heard->status = result->status;
    heard->is_secure = result->is_secure;
    heard->ttl_s = answer.count > 0 ? answer.records[0].ttl_s : 0;
    heard->tag = tag;
    if (heard->count == heard->expected)
        net_loop_stop(world.loop);
    task_done(&task);
}

static struct heard ask(const char *name)
{
    struct heard heard = {.expected = 1};

    dns_resolver_ask(world.resolver, str_from_c(name), DNS_TYPE_A, DNS_SERVICE_LISTS, on_result,
                     &heard, 77);
    if (heard.count == 0)
        net_loop_run(world.loop);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.tag, 77);
    return heard;
}

/* ---- Tests ---- */

static void whatever_the_server_does_the_answer_is_right_or_none(void **state)
{
    static const struct {
        const char *rule;
        enum manner manner;
        enum dns_status status;
        unsigned datagrams, streams;
    } rows[] = {
        {"a plain answer", GOOD, DNS_OK, 1, 0},
        {"others' answers are passed over", WRONG_ID_FIRST, DNS_OK, 1, 0},
        {"many of them: TCP", ONLY_WRONG, DNS_OK, 1, 1},
        {"cut: TCP", CUT, DNS_OK, 1, 1},
        {"no such name", NO_NAME, DNS_NO_NAME, 1, 0},
        {"the server cannot", SICK, DNS_FAILED, 1, 0},
        {"its AD bit proves nothing", LYING, DNS_OK, 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct heard heard;
        char name[32];

        world.manner = rows[i].manner;
        world.datagrams = world.streams = 0;
        snprintf(name, sizeof(name), "n%zu.test", i);
        heard = ask(name);
        if (heard.status != rows[i].status || heard.is_secure ||
            world.datagrams != rows[i].datagrams || world.streams != rows[i].streams)
            fail_msg("%s: status %d, %u datagrams, %u streams", rows[i].rule, heard.status,
                     world.datagrams, world.streams);
    }
}

static void silence_ends(void **state)
{
    int64_t start_ms = clock_monotonic_ms();

    (void)state;
    world.manner = SILENT;
    assert_int_equal(ask("a.test").status, DNS_FAILED);
    assert_in_range(clock_monotonic_ms() - start_ms, DNS_DIRECT_TIMEOUT_MS - 100,
                    DNS_DIRECT_TIMEOUT_MS + 3000);
    assert_in_range(world.datagrams, 3, 6);
}

/* A server that says TC and then does not take TCP: asked again, and not for ever. */
static void a_cut_answer_without_tcp_ends(void **state)
{
    (void)state;
    world.manner = CUT_AND_GONE;
    assert_int_equal(ask("a.test").status, DNS_FAILED);
    assert_in_range(world.streams, 1, 6);
}

static void answers_are_kept(void **state)
{
    struct heard heard;

    (void)state;
    assert_int_equal(ask("a.test").ttl_s, 100);
    net_run_for(world.loop, 1100);
    heard = ask("A.TEST.");
    assert_int_equal(world.datagrams, 1);
    assert_in_range(heard.ttl_s, 97, 99);
    assert_int_equal(dns_resolver_numbers(world.resolver)->cached, 1);
    /* A TTL of 0 is for the one who asked. */
    world.ttl_s = 0;
    (void)ask("b.test");
    (void)ask("b.test");
    assert_int_equal(world.datagrams, 3);
}

/* RFC 9520, and RFC 2308 §5 for a negative answer without a SOA. */
static void failures_are_kept_for_a_moment(void **state)
{
    (void)state;
    world.manner = SICK;
    assert_int_equal(ask("a.test").status, DNS_FAILED);
    world.manner = GOOD;
    assert_int_equal(ask("a.test").status, DNS_FAILED);
    world.manner = NO_NAME;
    assert_int_equal(ask("b.test").status, DNS_NO_NAME);
    assert_int_equal(ask("b.test").status, DNS_NO_NAME);
    assert_int_equal(world.datagrams, 2);
    net_run_for(world.loop, DNS_HOLD_S * 1000 + 50);
    world.manner = GOOD;
    assert_int_equal(ask("a.test").status, DNS_OK);
}

static void one_question_for_all_who_ask_it(void **state)
{
    struct heard heard = {.expected = 10}, other = {.expected = 1};

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        dns_resolver_ask(world.resolver, STR("a.test"), DNS_TYPE_A, DNS_SERVICE_LISTS, on_result,
                         &heard, i);
    dns_resolver_ask(world.resolver, STR("a.test"), DNS_TYPE_AAAA, DNS_SERVICE_LISTS, on_result,
                     &other, 0);
    assert_int_equal(heard.count, 0);
    net_loop_run(world.loop);
    net_run_for(world.loop, 20);
    assert_int_equal(heard.count, 10);
    assert_int_equal(heard.tag, 9);
    assert_int_equal(other.count, 1);
    assert_int_equal(world.datagrams, 2);
}

static void who_is_gone_hears_nothing(void **state)
{
    struct heard gone = {0}, stays = {.expected = 1};

    (void)state;
    dns_resolver_ask(world.resolver, STR("a.test"), DNS_TYPE_A, DNS_SERVICE_LISTS, on_result, &gone,
                     0);
    dns_resolver_ask(world.resolver, STR("a.test"), DNS_TYPE_A, DNS_SERVICE_LISTS, on_result,
                     &stays, 0);
    dns_resolver_forget(world.resolver, &gone);
    net_loop_run(world.loop);
    assert_int_equal(stays.count, 1);
    assert_int_equal(gone.count, 0);
}

static void one_asker_cannot_take_all_the_room(void **state)
{
    struct heard greedy = {0}, modest = {.expected = 1};
    char name[32];

    (void)state;
    world.manner = SILENT;
    for (unsigned i = 0; i < DNS_OPEN_PER_OWNER_MAX + 10; i++) {
        snprintf(name, sizeof(name), "n%u.test", i);
        dns_resolver_ask(world.resolver, str_from_c(name), DNS_TYPE_A, DNS_SERVICE_LISTS, on_result,
                         &greedy, 0);
    }
    assert_int_equal(greedy.count, 10);
    assert_int_equal(greedy.status, DNS_FAILED);
    dns_resolver_ask(world.resolver, STR("modest.test"), DNS_TYPE_A, DNS_SERVICE_LISTS, on_result,
                     &modest, 0);
    assert_int_equal(modest.count, 0); /* it is being asked for him */
    dns_resolver_forget(world.resolver, &greedy);
    dns_resolver_ask(world.resolver, STR("again.test"), DNS_TYPE_A, DNS_SERVICE_LISTS, on_result,
                     &greedy, 0);
    assert_int_equal(greedy.count, 10);
}

static void some_names_are_asked_of_nobody(void **state)
{
    static const char *const names[] = {"invalid", "a.invalid", "x.ONION.", "a..b", ".a"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(ask(names[i]).status, DNS_NO_NAME);
    assert_int_equal(world.datagrams, 0);
    assert_int_equal(ask("notinvalid").status, DNS_OK);
}

/* New servers: what is open is asked of them. */
static void a_reload_loses_no_question(void **state)
{
    struct heard heard = {.expected = 1};
    struct dns_resolver_options options = {.cache_bytes = 1 << 20, .log = &quiet};
    struct dns_direct *old = world.direct;
    struct sockaddr_storage address = {0};

    (void)state;
    world.manner = SILENT;
    dns_resolver_ask(world.resolver, STR("a.test"), DNS_TYPE_A, DNS_SERVICE_LISTS, on_result,
                     &heard, 0);
    net_run_for(world.loop, 20);
    world.manner = GOOD;
    world.direct = dns_direct_new(world.loop);
    memcpy(&address, &world.address, sizeof(world.address));
    dns_direct_add(world.direct, &address, sizeof(world.address));
    options.list = world.direct;
    dns_resolver_reconfigure(world.resolver, &options);
    dns_direct_free(&old);
    net_loop_run(world.loop);
    assert_int_equal(heard.status, DNS_OK);
    assert_int_equal(world.datagrams, 2);
}

/* ---- Redis ---- */

static void start_redis(const char *answer)
{
    struct sockaddr_storage address = {0};

    world.redis_answer = answer;
    memcpy(&address, &world.redis_address, sizeof(world.redis_address));
    world.shared = dns_redis_new(world.loop, &address, sizeof(world.redis_address), STR("word"), &quiet);
    net_run_for(world.loop, 50);
    make_resolver();
}

static void an_answer_is_shared(void **state)
{
    (void)state;
    start_redis("$-1\r\n");
    assert_int_equal(ask("a.test").status, DNS_OK);
    net_run_for(world.loop, 20);
    assert_int_equal(world.datagrams, 1);
    /* AUTH first. */
    assert_true(str_starts_with(buf_str(&world.redis_input),
                                STR("*2\r\n$4\r\nAUTH\r\n$4\r\nword\r\n")));
    buf_consume(&world.redis_input, 24);
    assert_true(str_starts_with(buf_str(&world.redis_input),
                                STR("*2\r\n$3\r\nGET\r\n$28\r\nsealpost:dns:1:list:1:a.test\r\n")));
    assert_true(str_find(buf_str(&world.redis_input), STR("*5\r\n$3\r\nSET\r\n")) > 0);
    assert_true(str_find(buf_str(&world.redis_input), STR("\r\n$2\r\nEX\r\n$3\r\n100\r\n")) > 0);
}

/* What Redis has, in whatever state, or not at all: the answer is right, and not late. */
static void whatever_redis_does_costs_nothing_but_speed(void **state)
{
    static const struct {
        const char *rule, *answer;
    } rows[] = {
        {"does not answer", NULL},
        {"does not know", "$-1\r\n"},
        {"an error", "-ERR no\r\n"},
        {"not Redis", "HTTP/1.1 200 OK\r\n\r\n"},
        {"another type", ":17\r\n"},
        {"an array of any size", "*2000000000\r\n"},
        {"a text of any size", "$2000000000\r\nab"},
        {"a negative size", "$-5\r\n"},
        {"two answers", "$-1\r\n$-1\r\n$-1\r\n$-1\r\n"},
        {"not what we keep", "$3\r\nabc\r\n"},
        {"nothing", "$0\r\n\r\n"},
        {"a value of zeros as large as one of ours", "$16\r\n0000000000000000\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t start_ms;

        start_redis(rows[i].answer);
        world.datagrams = 0;
        start_ms = clock_monotonic_ms();
        if (ask("a.test").status != DNS_OK || world.datagrams != 1)
            fail_msg("%s: no answer", rows[i].rule);
        if (clock_monotonic_ms() - start_ms > DNS_REDIS_TIMEOUT_MS + 500)
            fail_msg("%s: late", rows[i].rule);
        net_run_for(world.loop, 20);
        dns_resolver_free(&world.resolver);
        dns_redis_free(&world.shared);
        make_resolver();
    }
}

static void a_late_redis_is_left_alone(void **state)
{
    int64_t start_ms;

    (void)state;
    start_redis(NULL);
    (void)ask("a.test");
    net_run_for(world.loop, 1000); /* its answer is a second late: the connection is closed */
    assert_int_equal(world.redis_stream, -1);
    start_ms = clock_monotonic_ms();
    (void)ask("b.test");
    assert_in_range(clock_monotonic_ms() - start_ms, 0, DNS_REDIS_TIMEOUT_MS - 10);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(whatever_the_server_does_the_answer_is_right_or_none),
        CASE(silence_ends),
        CASE(a_cut_answer_without_tcp_ends),
        CASE(answers_are_kept),
        CASE(failures_are_kept_for_a_moment),
        CASE(one_question_for_all_who_ask_it),
        CASE(who_is_gone_hears_nothing),
        CASE(one_asker_cannot_take_all_the_room),
        CASE(some_names_are_asked_of_nobody),
        CASE(a_reload_loses_no_question),
        CASE(an_answer_is_shared),
        CASE(whatever_redis_does_costs_nothing_but_speed),
        CASE(a_late_redis_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
