/* The resolver is the other end of a socket, in a process of its own where the client waits for it.
 */
#include "dns/client.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/macros.h"
#include "net/run_for.h"
#include "wire/channel.h"

#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { KEPT_MAX = 8 };

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = -1, .role = "test"};

static struct {
    struct net_loop *loop;
    struct dns_client *client;
    struct wire_channel *channel, *resolver; /* the two ends */
    uint64_t tags[KEPT_MAX];                 /* questions that the resolver kept */
    size_t kept;
    bool answers;
} world;

static void answer(uint64_t tag, enum dns_status status, const char *data)
{
    struct dns_record record = {.ttl_s = 5, .data = str_from_c(data)};
    struct dns_answer given = {
        .status = status, .records = &record, .count = status == DNS_OK ? 1 : 0};
    struct wire_dns_answer body = {.status = status, .is_secure = true};
    struct buf records;

    buf_init(&records, SIZE_MAX);
    dns_answer_encode(&given, &records);
    body.records = buf_str(&records);
    assert_int_equal(wire_send(world.resolver, WIRE_DNS_ANSWER, tag, &body, NULL, 0), ERR_OK);
    buf_free(&records);
}

static void on_question(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    (void)owner;
    (void)channel;
    assert_int_equal(message->type, WIRE_DNS_QUERY);
    if (world.answers)
        answer(message->tag, DNS_OK, "data");
    else
        world.tags[world.kept++] = message->tag;
}

static void on_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    (void)owner;
    (void)channel;
    dns_client_message(world.client, message);
}

static void on_close(void *owner, struct wire_channel *channel)
{
    (void)owner;
    if (channel == world.channel) {
        dns_client_set_peer(world.client, NULL);
        wire_channel_free(&world.channel);
    } else {
        wire_channel_free(&world.resolver);
    }
}

static const struct wire_channel_events client_events = {.on_message = on_message,
                                                         .on_close = on_close};
static const struct wire_channel_events resolver_events = {.on_message = on_question,
                                                           .on_close = on_close};

static void connect_ends(void)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    world.channel = wire_channel_new(world.loop, fds[0], WIRE_ROLE_EXAMINER, WIRE_ROLE_RESOLVER,
                                     &client_events, NULL, &quiet);
    world.resolver = wire_channel_new(world.loop, fds[1], WIRE_ROLE_RESOLVER, WIRE_ROLE_EXAMINER,
                                      &resolver_events, NULL, &quiet);
    dns_client_set_peer(world.client, world.channel);
}

static int set_up(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    world.loop = net_loop_new();
    world.client = dns_client_new(world.loop);
    connect_ends();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dns_client_free(&world.client);
    wire_channel_free(&world.channel);
    wire_channel_free(&world.resolver);
    net_loop_free(&world.loop);
    return 0;
}

struct heard {
    unsigned count;
    enum dns_status status;
    bool is_secure;
    char data[16];
    unsigned asks_again; /* so many times, inside the answer */
};

static void on_answer(void *owner, struct task *task, const struct dns_answer *given)
{
    struct heard *heard = owner;

    (void)task;
    heard->count++;
    heard->status = given->status;
    heard->is_secure = given->is_secure;
    if (given->count > 0) {
        assert_true(given->records[0].data.len < sizeof(heard->data));
        memcpy(heard->data, given->records[0].data.ptr, given->records[0].data.len);
    }
    if (heard->asks_again > 0) {
        heard->asks_again--;
        (void)dns_client_ask(world.client, STR("again.test"), DNS_TYPE_A, false, on_answer, heard);
    }
}

static void ask(struct heard *heard)
{
    (void)dns_client_ask(world.client, STR("a.test"), DNS_TYPE_TXT, false, on_answer, heard);
    assert_int_equal(heard->count, 0); /* always later */
}

static void an_answer_finds_its_question(void **state)
{
    struct heard first = {0}, second = {0};

    (void)state;
    ask(&first);
    ask(&second);
    net_run_for(world.loop, 20);
    assert_int_equal(world.kept, 2);
    answer(world.tags[0] + 256, DNS_OK, "nobody's");
    answer(world.tags[1], DNS_NO_NAME, "");
    answer(world.tags[0], DNS_OK, "one");
    answer(world.tags[0], DNS_OK, "twice");
    answer(12345, DNS_OK, "nobody's");
    net_run_for(world.loop, 20);
    assert_int_equal(first.count, 1);
    assert_int_equal(first.status, DNS_OK);
    assert_true(first.is_secure);
    assert_string_equal(first.data, "one");
    assert_int_equal(second.count, 1);
    assert_int_equal(second.status, DNS_NO_NAME);
}

static void nonsense_is_a_failure(void **state)
{
    struct wire_dns_answer body = {.status = DNS_OK, .records = STR("x")};
    struct heard heard = {0};

    (void)state;
    ask(&heard);
    net_run_for(world.loop, 20);
    assert_int_equal(wire_send(world.resolver, WIRE_DNS_ANSWER, world.tags[0], &body, NULL, 0),
                     ERR_OK);
    net_run_for(world.loop, 20);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.status, DNS_FAILED);
}

static void without_a_resolver_nothing_is_known(void **state)
{
    struct heard under_way = {0}, later = {.asks_again = 3};

    (void)state;
    ask(&under_way);
    net_run_for(world.loop, 20);
    wire_channel_free(&world.resolver);
    net_run_for(world.loop, 20);
    assert_int_equal(under_way.count, 1);
    assert_int_equal(under_way.status, DNS_FAILED);
    ask(&later);
    net_run_for(world.loop, 20);
    assert_int_equal(later.count, 4);
    assert_int_equal(later.status, DNS_FAILED);
    /* Who never gives up leaves the others their turns. */
    later = (struct heard){.asks_again = UINT_MAX};
    ask(&later);
    net_run_for(world.loop, 20);
    assert_in_range(later.count, 2, 1000000);
    later.asks_again = 0;
    net_run_for(world.loop, 20);
    /* With a new one it goes on. */
    later = (struct heard){0};
    world.answers = true;
    connect_ends();
    ask(&later);
    net_run_for(world.loop, 20);
    assert_int_equal(later.status, DNS_OK);
}

static void a_cancelled_question_is_not_answered(void **state)
{
    struct heard heard = {0};
    struct dns_query *query =
        dns_client_ask(world.client, STR("a.test"), DNS_TYPE_A, false, on_answer, &heard);

    (void)state;
    net_run_for(world.loop, 20);
    dns_query_cancel(&query);
    assert_null(query);
    answer(world.tags[0], DNS_OK, "late");
    net_run_for(world.loop, 20);
    /* One that is over already, too. */
    wire_channel_free(&world.resolver);
    net_run_for(world.loop, 20);
    query = dns_client_ask(world.client, STR("a.test"), DNS_TYPE_A, false, on_answer, &heard);
    dns_query_cancel(&query);
    net_run_for(world.loop, 20);
    assert_int_equal(heard.count, 0);
}

/* The other end in a process of its own: keeps the first question, answers the others, goes. */
static pid_t start_slow_resolver(int fd)
{
    pid_t pid = fork();

    if (pid == 0) {
        static const struct wire_dns_answer body = {.status = DNS_NO_DATA};
        struct buf storage;
        struct task task;

        task_init(&task, 0);
        buf_init(&storage, SIZE_MAX);
        for (unsigned i = 0; i < 3; i++) {
            struct wire_message message;

            if (wire_receive_blocking(&task, fd, WIRE_ROLE_RESOLVER, WIRE_ROLE_EXAMINER, &storage,
                                      &message) != ERR_OK)
                _exit(1);
            if (i == 0)
                continue;
            if (i == 2)
                usleep(30000);
            buf_reset(&storage);
            if (wire_encode(WIRE_DNS_ANSWER, message.tag, &body, &storage) != ERR_OK ||
                send(fd, storage.ptr, storage.len, 0) < 0)
                _exit(1);
        }
        _exit(0);
    }
    return pid;
}

static void who_waits_is_answered_or_not_in_time(void **state)
{
    struct dns_waiting waiting = {.client = world.client};
    struct dns_source source = dns_waiting_source(&waiting);
    struct dns_answer given;
    struct task task;
    int64_t start_ms;
    int fds[2];
    pid_t pid;

    (void)state;
    task_init(&task, 0);
    wire_channel_free(&world.resolver);
    net_run_for(world.loop, 20);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    pid = start_slow_resolver(fds[1]);
    fd_close(&fds[1]);
    world.channel = wire_channel_new(world.loop, fds[0], WIRE_ROLE_EXAMINER, WIRE_ROLE_RESOLVER,
                                     &client_events, NULL, &quiet);
    dns_client_set_peer(world.client, world.channel);
    start_ms = clock_monotonic_ms();
    dns_client_ask_blocking(world.client, &task, STR("a.test"), DNS_TYPE_A, DNS_SERVICE_GENERAL,
                            start_ms + 100, &given);
    assert_int_equal(given.status, DNS_FAILED);
    assert_in_range(clock_monotonic_ms() - start_ms, 90, 2000);
    waiting.deadline_ms = clock_monotonic_ms() + 5000;
    for (unsigned i = 0; i < 2; i++) {
        source.ask(source.owner, &task, STR("a.test"), DNS_TYPE_A, &given);
        assert_int_equal(given.status, DNS_NO_DATA);
    }
    /* It is gone now: known at once, and without it also later. */
    for (unsigned i = 0; i < 2; i++) {
        start_ms = clock_monotonic_ms();
        source.ask(source.owner, &task, STR("a.test"), DNS_TYPE_A, &given);
        assert_int_equal(given.status, DNS_FAILED);
        assert_in_range(clock_monotonic_ms() - start_ms, 0, 1000);
    }
    assert_null(world.channel);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    task_done(&task);
}

/* Both questions are on their way before the first answer is waited for; neither is sent twice. */
static void what_is_expected_is_asked_once(void **state)
{
    struct dns_waiting waiting = {.client = world.client};
    struct dns_source source = dns_waiting_source(&waiting);
    struct dns_answer given;
    struct task task;

    (void)state;
    task_init(&task, 0);
    waiting.deadline_ms = clock_monotonic_ms() + 5000;
    source.expect(&waiting, &task, STR("a.test"), DNS_TYPE_TXT);
    source.expect(&waiting, &task, STR("b.test"), DNS_TYPE_TXT);
    source.expect(&waiting, &task, STR("A.test"), DNS_TYPE_TXT);
    source.expect(&waiting, &task, STR("never.test"), DNS_TYPE_TXT);
    net_run_for(world.loop, 20);
    assert_int_equal(world.kept, 3);
    answer(world.tags[1], DNS_NO_NAME, "");
    answer(world.tags[0], DNS_OK, "data");
    for (unsigned i = 0; i < 2; i++) {
        source.ask(&waiting, &task, STR("a.TEST"), DNS_TYPE_TXT, &given);
        assert_int_equal(given.status, DNS_OK);
        assert_true(str_equal(given.records[0].data, STR("data")));
        source.ask(&waiting, &task, STR("b.test"), DNS_TYPE_TXT, &given);
        assert_int_equal(given.status, DNS_NO_NAME);
    }
    dns_waiting_done(&waiting);
    answer(world.tags[2], DNS_OK, "late");
    net_run_for(world.loop, 20);
    assert_int_equal(world.kept, 3);
    waiting.deadline_ms = clock_monotonic_ms() + 50;
    source.expect(&waiting, &task, STR("slow.test"), DNS_TYPE_TXT);
    source.ask(&waiting, &task, STR("slow.test"), DNS_TYPE_TXT, &given);
    assert_int_equal(given.status, DNS_FAILED);
    dns_waiting_done(&waiting);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_finds_its_question, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_is_a_failure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_resolver_nothing_is_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cancelled_question_is_not_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_expected_is_asked_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_waits_is_answered_or_not_in_time, set_up, tear_down),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
