/*
 * Attempts, their turns and their connections, against a server in the same loop. What servers and
 * policies can do to a message is tried at length in tests/outbound/; here it is what the callers
 * do: many at once, giving up at any moment, starting from within an answer.
 */
#include "courier/attempt.h"

#include "base/memory.h"
#include "courier/fixture.h"
#include "net/connection.h"
#include "net/listener.h"
#include "net/run_for.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { CLIENTS_MAX = 64, RESULTS_MAX = 256 };

static const struct fixture_record zone[] = {
    {"good.test", DNS_TYPE_A, DNS_OK, false, 0, "127.0.0.1"},
    {"two.test", DNS_TYPE_MX, DNS_OK, false, 10, "good.test"},
    {"two.test", DNS_TYPE_MX, DNS_OK, false, 20, "other.test"},
    {"other.test", DNS_TYPE_A, DNS_OK, false, 0, "127.0.0.1"},
};

/* A server that says yes to everything, but for what `hangs_at` says: there it is silent. */
struct server_client {
    struct world *world;
    struct net_connection *connection;
    struct buf input;
    bool is_text;
    size_t mails;
};

struct world {
    struct net_loop *loop;
    struct net_listener *listener;
    struct server_client clients[CLIENTS_MAX];
    size_t client_count, open, most_open, mails, quits;
    const char *hangs_at;  /* a verb, "GREETING" or "END" */
    const char *closes_at; /* likewise: it closes; of a connection's second mail only */
    struct fixture *fixture;
    struct courier_destinations *destinations;
    struct log log;
    struct net_timer *watchdog;
    /* Answers. */
    size_t waiting, done;
    enum courier_outcome outcomes[RESULTS_MAX];
    struct courier_attempt *cancelled_by_first;
    bool starts_another;
};

static bool is_at(const char *place, struct str verb)
{
    return place != NULL && str_equal(str_from_c(place), verb);
}

/* Says it, unless it is to do otherwise there. */
static void say(struct server_client *client, struct str verb, const char *words)
{
    struct world *world = client->world;

    if (is_at(world->hangs_at, verb))
        return;
    if (client->mails > 0 && is_at(world->closes_at, verb)) {
        net_connection_finish(client->connection);
        return;
    }
    net_connection_write(client->connection, str_from_c(words));
}

static void take_line(struct server_client *client, struct str line)
{
    if (client->is_text) {
        if (!str_equal(line, STR(".")))
            return;
        client->is_text = false;
        client->world->mails++;
        say(client, STR("END"), "250 2.0.0 ok\r\n");
        client->mails++;
    } else if (str_starts_with(line, STR("EHLO"))) {
        say(client, STR("EHLO"), "250-x\r\n250 PIPELINING\r\n");
    } else if (str_equal(line, STR("DATA"))) {
        client->is_text = !is_at(client->world->hangs_at, STR("DATA"));
        say(client, STR("DATA"), "354 go\r\n");
    } else if (str_equal(line, STR("QUIT"))) {
        client->world->quits++;
        net_connection_write(client->connection, STR("221 bye\r\n"));
        net_connection_finish(client->connection);
    } else {
        say(client, str_upto(line, 4), "250 ok\r\n");
    }
}

static void on_input(void *owner, struct net_connection *connection, struct str bytes)
{
    struct server_client *client = owner;
    ptrdiff_t end;

    (void)connection;
    buf_put(&client->input, bytes);
    while ((end = str_find(buf_str(&client->input), STR("\r\n"))) >= 0) {
        take_line(client, str_upto(buf_str(&client->input), (size_t)end));
        buf_consume(&client->input, (size_t)end + 2);
    }
}

static void on_close(void *owner, struct net_connection *connection, enum net_close_reason reason)
{
    struct server_client *client = owner;

    (void)connection;
    (void)reason;
    net_connection_free(&client->connection);
    client->world->open--;
}

static const struct net_connection_events server_events = {.on_input = on_input,
                                                           .on_close = on_close};

static void on_accept(void *owner, int fd)
{
    struct world *world = owner;
    struct server_client *client = &world->clients[world->client_count++];

    assert_true(world->client_count <= CLIENTS_MAX);
    client->world = world;
    buf_init(&client->input, SIZE_MAX);
    client->connection =
        net_connection_new(world->loop, fd, NULL, 64 * 1024, &server_events, client);
    if (++world->open > world->most_open)
        world->most_open = world->open;
    say(client, STR("GREETING"), "220 x\r\n");
}

static void on_watchdog(void *owner)
{
    (void)owner;
    fail_msg("it hangs");
}

static uint16_t listen_here(struct world *world)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    world->listener = net_listener_new(world->loop, fd, on_accept, world);
    return ntohs(name.sin_port);
}

static void begin(struct world *world, const struct courier_settings *wanted)
{
    static const struct str allow[] = {STR_INIT("127.0.0.0/8")};
    struct courier_settings settings = *wanted;
    struct task task;

    *world = (struct world){.loop = net_loop_new(),
                            .log = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"}};
    settings.hostname = STR("us.test");
    settings.port = listen_here(world);
    settings.allow = allow;
    settings.allow_count = 1;
    world->fixture = fixture_new(world->loop, zone, ARRAY_LEN(zone));
    task_init(&task, 0);
    assert_int_equal(courier_destinations_new(&task, world->loop, fixture_dns(world->fixture), NULL,
                                              &settings, NULL, &world->log, &world->destinations),
                     ERR_OK);
    task_done(&task);
    world->watchdog = net_timer_new(world->loop, on_watchdog, world);
    net_timer_start(world->watchdog, 20 * 1000);
}

static void end(struct world *world)
{
    courier_destinations_free(&world->destinations);
    fixture_free(&world->fixture);
    net_listener_free(&world->listener);
    for (size_t i = 0; i < world->client_count; i++) {
        net_connection_free(&world->clients[i].connection);
        buf_free(&world->clients[i].input);
    }
    net_timer_free(&world->watchdog);
    net_loop_free(&world->loop);
}

static struct courier_attempt *start(struct world *world, const char *domain);

static void on_done(void *owner, const struct courier_result *results, size_t count)
{
    struct world *world = owner;

    assert_int_equal(count, 1);
    assert_true(results[0].enhanced.len >= 5 && results[0].words.len > 0);
    world->outcomes[world->done++] = results[0].outcome;
    if (world->cancelled_by_first != NULL)
        courier_attempt_cancel(&world->cancelled_by_first);
    if (world->starts_another) {
        world->starts_another = false;
        start(world, "good.test");
    }
    if (world->done == world->waiting)
        net_loop_stop(world->loop);
}

static struct courier_attempt *start(struct world *world, const char *domain)
{
    struct courier_recipient recipient = {.address = STR("ann@good.test")};
    struct courier_request request = {.domain = str_from_c(domain),
                                      .sender = STR("a@us.test"),
                                      .recipients = &recipient,
                                      .recipient_count = 1,
                                      .message = STR("Subject: x\r\n\r\nx\r\n")};

    world->waiting++;
    return courier_attempt_start(world->destinations, &request, on_done, world);
}

static void expect_all(const struct world *world, enum courier_outcome outcome, size_t count)
{
    assert_int_equal(world->done, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(world->outcomes[i], outcome);
}

static void many_share_few_connections(void **state)
{
    struct courier_settings settings = {.connections_per_destination = 3,
                                        .messages_per_connection = 10};
    struct world world;

    (void)state;
    begin(&world, &settings);
    for (int i = 0; i < 100; i++)
        start(&world, "good.test");
    assert_int_equal(world.done, 0);
    net_loop_run(world.loop);
    expect_all(&world, COURIER_DELIVERED, 100);
    assert_int_equal(world.mails, 100);
    assert_true(world.most_open <= 4); /* one that says QUIT, beside three */
    assert_in_range(world.client_count, 10, 12);
    assert_true(world.quits >= 7);                  /* those that were done before the end */
    assert_true(fixture_asked(world.fixture) <= 4); /* one plan for all */
    end(&world);
}

static void all_destinations_have_their_turn(void **state)
{
    struct courier_settings settings = {.connections_max = 4, .connections_per_destination = 3};
    struct world world;

    (void)state;
    begin(&world, &settings);
    for (int i = 0; i < 50; i++) {
        start(&world, "good.test");
        start(&world, "other.test");
        start(&world, "nowhere.test");
    }
    net_loop_run(world.loop);
    assert_int_equal(world.done, 150);
    assert_int_equal(world.mails, 100);
    assert_true(world.most_open <= 6);
    end(&world);
}

static size_t count_of(const struct world *world, enum courier_outcome outcome)
{
    size_t count = 0;

    for (size_t i = 0; i < world->done; i++)
        count += world->outcomes[i] == outcome;
    return count;
}

static void run_until_mail(struct world *world)
{
    while (world->mails == 0)
        net_run_for(world->loop, 0);
}

/* In every state it can be in: the server is silent at each place in turn. */
static void giving_up_at_any_moment(void **state)
{
    static const char *const places[] = {NULL, "GREETING", "EHLO", "MAIL", "RCPT", "DATA", "END"};
    struct courier_settings settings = {.connections_per_destination = 1};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        for (int turns = 0; turns < 30; turns++) {
            struct courier_attempt *attempt, *behind;
            struct world world;

            begin(&world, &settings);
            world.hangs_at = places[i];
            attempt = start(&world, "good.test");
            behind = start(&world, "good.test");
            for (int turn = 0; turn < turns && world.done == 0; turn++)
                net_run_for(world.loop, 0);
            if (world.done == 0)
                courier_attempt_cancel(&attempt);
            if (world.done < 2)
                courier_attempt_cancel(&behind);
            world.hangs_at = NULL;
            world.waiting = world.done + 1;
            start(&world, "other.test");
            world.waiting = world.done + 1;
            net_loop_run(world.loop);
            end(&world);
        }
    }
}

static void from_within_an_answer(void **state)
{
    struct courier_settings settings = {.connections_per_destination = 1};
    struct world world;

    (void)state;
    begin(&world, &settings);
    start(&world, "good.test");
    world.cancelled_by_first = start(&world, "good.test");
    world.waiting--;
    world.starts_another = true;
    net_loop_run(world.loop);
    expect_all(&world, COURIER_DELIVERED, 2);
    assert_int_equal(world.mails, 2);
    assert_int_equal(world.client_count, 1);
    end(&world);
}

/* What was kept has died meanwhile, and shows it only when it is used: nobody is the worse for it.
 */
static void a_connection_that_died_while_it_waited(void **state)
{
    static const char *const places[] = {"MAIL", "RCPT"};
    struct courier_settings settings = {.idle_ms = 60 * 1000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct world world;

        begin(&world, &settings);
        world.closes_at = places[i];
        start(&world, "good.test");
        net_loop_run(world.loop);
        start(&world, "good.test");
        net_loop_run(world.loop);
        expect_all(&world, COURIER_DELIVERED, 2);
        assert_int_equal(world.client_count, 2);
        end(&world);
    }
}

/* The last reply is lost: it is not tried again here, and the caller knows that nobody knows. */
static void a_lost_reply_is_no_second_try(void **state)
{
    struct courier_settings settings = {.timeouts = {200, 200, 200, 200, 200, 200}};
    struct world world;

    (void)state;
    begin(&world, &settings);
    world.hangs_at = "END";
    start(&world, "two.test");
    net_loop_run(world.loop);
    expect_all(&world, COURIER_TEMPORARY, 1);
    assert_int_equal(world.mails, 1);
    assert_int_equal(world.client_count, 1);
    end(&world);
}

static void a_host_that_did_not_answer_is_spared(void **state)
{
    struct courier_settings settings = {.timeouts = {100, 100, 100, 100, 100, 100}};
    struct world world;

    (void)state;
    begin(&world, &settings);
    world.hangs_at = "GREETING";
    start(&world, "good.test");
    net_loop_run(world.loop);
    start(&world, "good.test");
    net_loop_run(world.loop);
    expect_all(&world, COURIER_TEMPORARY, 2);
    assert_int_equal(world.client_count, 1);
    world.hangs_at = NULL;
    courier_destinations_revive(world.destinations);
    start(&world, "good.test");
    net_loop_run(world.loop);
    assert_int_equal(world.outcomes[2], COURIER_DELIVERED);
    end(&world);
}

/* While attempts are under way: those go on as they began, the next ones follow the new rules. */
static void settings_that_change(void **state)
{
    static const struct str bad[] = {STR_INIT("x/8")};
    struct courier_settings settings = {.connections_per_destination = 1};
    struct world world;
    struct task task;

    (void)state;
    begin(&world, &settings);
    world.hangs_at = "END";
    start(&world, "good.test");
    run_until_mail(&world);
    task_init(&task, 0);
    settings.allow = bad;
    settings.allow_count = 1;
    assert_int_equal(courier_destinations_configure(world.destinations, &task, &settings),
                     ERR_INVALID);
    task_forgive(&task);
    /* Loopback is not allowed any more. */
    settings = (struct courier_settings){.hostname = STR("us.test"), .port = 25};
    assert_int_equal(courier_destinations_configure(world.destinations, &task, &settings), ERR_OK);
    start(&world, "good.test");
    start(&world, "other.test");
    world.hangs_at = NULL;
    net_connection_write(world.clients[0].connection, STR("250 ok\r\n"));
    net_loop_run(world.loop);
    assert_int_equal(world.done, 3);
    assert_int_equal(world.mails, 1);
    assert_int_equal(count_of(&world, COURIER_DELIVERED), 1);
    assert_int_equal(count_of(&world, COURIER_PERMANENT), 2);
    task_done(&task);
    end(&world);
}

static void settings_that_are_wrong(void **state)
{
    static const struct str bad_route[] = {STR_INIT("a.test")}, bad_network[] = {STR_INIT("x/8")};
    static const struct courier_settings rows[] = {
        {.routes = bad_route, .route_count = 1},
        {.allow = bad_network, .allow_count = 1},
        {.own_addresses = bad_network, .own_address_count = 1},
        {.smarthost = STR_INIT("mail.test")},
        {.trust_pem = STR_INIT("no certificate")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_loop *loop = net_loop_new();
        struct courier_destinations *destinations = NULL;
        struct task task;

        task_init(&task, 0);
        assert_int_not_equal(
            courier_destinations_new(&task, loop, NULL, NULL, &rows[i], NULL, NULL, &destinations),
            ERR_OK);
        assert_null(destinations);
        task_done(&task);
        net_loop_free(&loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_share_few_connections),
        cmocka_unit_test(all_destinations_have_their_turn),
        cmocka_unit_test(giving_up_at_any_moment),
        cmocka_unit_test(from_within_an_answer),
        cmocka_unit_test(a_connection_that_died_while_it_waited),
        cmocka_unit_test(a_lost_reply_is_no_second_try),
        cmocka_unit_test(a_host_that_did_not_answer_is_spared),
        cmocka_unit_test(settings_that_change),
        cmocka_unit_test(settings_that_are_wrong),
    };

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
