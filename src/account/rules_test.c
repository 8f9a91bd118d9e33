/* Who may write to an alias, and how much: TLS, lists, limits, greylisting. */
#include "account/fixture.h"

#include "account/lists.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void test_tls_where_a_domain_asks(void **state)
{
    struct fixture *f = *state;

    OK(account_begin(f->database, &f->task));
    OK(account_domain_set_requires_tls(f->database, &f->task, f->home, true));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_REFUSED);
    assert_int_equal(f->reply.reply_code, 550);
    f->asked.client = STR(""); /* the courier's own */
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK);
    f->asked.client = STR("192.0.2.7");
    f->asked.is_tls = true;
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK);
}

static void test_lists(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *sender, *client;
        enum wire_status status;
        uint64_t trust;
    } rows[] = {
        {"peer@elsewhere.test", "198.51.100.1", WIRE_OK, 0},
        {"any@spam.test", "198.51.100.1", WIRE_REFUSED, 0},
        {"any@deep.below.spam.test", "198.51.100.1", WIRE_REFUSED, 0},
        {"any@notspam.test", "198.51.100.1", WIRE_OK, 0},
        {"GOOD@spam.test", "198.51.100.1", WIRE_OK, 1},     /* the address before the domain */
        {"any@good.spam.test", "198.51.100.1", WIRE_OK, 1}, /* the longer domain */
        {"", "198.51.100.1", WIRE_OK, 0},
        {"", "203.0.113.77", WIRE_REFUSED, 0},
        {"", "203.0.113.129", WIRE_OK, 1}, /* the longer prefix */
        {"", "::ffff:203.0.113.77", WIRE_REFUSED, 0},
        {"GOOD@spam.test", "203.0.113.77", WIRE_OK, 1}, /* an address before a network */
        {"", "2001:db8:1:2::3", WIRE_REFUSED, 0},
        {"", "2001:db8:2::1", WIRE_OK, 0},
        {"friend@alias.test", "198.51.100.1", WIRE_OK, 1},    /* the alias before its domain */
        {"foe@domain.test", "198.51.100.1", WIRE_REFUSED, 0}, /* the domain before the host */
        {"no address", "no client", WIRE_OK, 0},
    };
    struct account_alias one;

    OK(account_alias_find(f->database, &f->task, f->home, STR("one"), &one));
    fixture_put_entry(f, 0, 0, false, "spam.test");
    fixture_put_entry(f, 0, 0, true, "good@SPAM.test");
    fixture_put_entry(f, 0, 0, true, "@good.spam.test");
    fixture_put_entry(f, 0, 0, false, "203.0.113.0/24");
    fixture_put_entry(f, 0, 0, true, "203.0.113.128/25");
    fixture_put_entry(f, 0, 0, false, "2001:db8:1::/48");
    fixture_put_entry(f, 0, 0, true, "domain.test");
    fixture_put_entry(f, f->home, 0, false, "domain.test");
    fixture_put_entry(f, f->home, 0, false, "alias.test");
    fixture_put_entry(f, 0, one.row, true, "friend@alias.test");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        f->asked.sender = str_from_c(rows[i].sender);
        f->asked.client = str_from_c(rows[i].client);
        if (fixture_ask(f, "one+x@home.test") != rows[i].status)
            print_error("%s %s: %d\n", rows[i].sender, rows[i].client, (int)f->reply.status);
        assert_int_equal(f->reply.status, rows[i].status);
        assert_int_equal(f->reply.trust, rows[i].trust);
    }
    /* A user's mail to another is subject to his lists, too. */
    f->asked.login = f->mailbox_id;
    f->asked.sender = STR("any@spam.test");
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_REFUSED);
}

static void test_entries(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *value;
    } rows[] = {
        {"192.0.2.77/24", "192.0.2.0/24"},
        {"192.0.2.77", "192.0.2.77/32"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"192.0.2.77/25", "192.0.2.0/25"},
        {"2001:DB8::1/33", "2001:db8::/33"},
        {"::/0", "::/0"},
        {"::ffff:192.0.2.1", "192.0.2.1/32"},
        {"::ffff:192.0.2.1/24", "192.0.2.0/24"},
        {"::ffff:192.0.2.1/120", "192.0.2.0/24"},
        {"::ffff:192.0.2.1/64", NULL},
        {"A@B\xc3\x9c.test", "a@xn--b-eha.test"},
        {"Ex.TEST", "ex.test"},
        {"@ex.test", "ex.test"},
        {"192.0.2.1/33", NULL},
        {"192.0.2.1/", NULL},
        {"::1/129", NULL},
        {"a b", NULL},
        {"", NULL},
        {"a@b@", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum account_list_kind kind;
        struct str value = STR("");
        enum err err = account_lists_parse(&f->task, str_from_c(rows[i].text), &kind, &value);

        assert_int_equal(err, rows[i].value == NULL ? ERR_INVALID : ERR_OK);
        if (err == ERR_OK)
            assert_true(str_equal(value, str_from_c(rows[i].value)));
        task_forgive(&f->task);
    }
}

static void test_limits_of_incoming_mail(void **state)
{
    struct fixture *f = *state;
    const struct account_router_settings settings = {.client_limit = 20, .sender_limit = 10};

    fixture_set(f, &settings);
    for (int i = 0; i < 10; i++)
        assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK);
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_DEFERRED);
    assert_int_equal(f->reply.reply_code, 450);
    f->asked.client = STR("192.0.2.8"); /* the same sender elsewhere is another one */
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK);
    f->asked.client = STR("192.0.2.7");
    f->asked.sender = STR("two@elsewhere.test");
    for (int i = 0; i < 10; i++)
        assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK);
    f->asked.sender = STR("three@elsewhere.test");
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_DEFERRED); /* the client's own limit */
    assert_int_equal(fixture_ask(f, "postmaster@home.test"), WIRE_OK);
    fixture_put_entry(f, 0, 0, true, "192.0.2.7");
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK);
    f->task.now_ms += 3600 * 1000;
    OK(account_begin(f->database, &f->task));
    OK(account_list_remove(f->database, &f->task, &(struct account_list_scope){0, 0},
                           ACCOUNT_LIST_ALLOW, STR("192.0.2.7/32")));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK);
    f->asked.client = STR("127.0.0.1");
    for (int i = 0; i < 50; i++)
        assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK);
}

static void test_greylisting(void **state)
{
    struct fixture *f = *state;
    const struct account_router_settings settings = {.greylist = true,
                                                     .greylist_delay_ms = 300 * 1000};

    fixture_add_alias(f, "two", true);
    fixture_set(f, &settings);
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_DEFERRED);
    assert_int_equal(f->reply.reply_code, 451);
    assert_true(str_equal(f->reply.words, STR("Greylisted, try again in 300 seconds")));
    f->task.now_ms += 100 * 1000;
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_DEFERRED);
    assert_true(str_equal(f->reply.words, STR("Greylisted, try again in 200 seconds")));
    f->task.now_ms += 200 * 1000;
    f->asked.client = STR("192.0.2.250"); /* a neighbour: the same server farm */
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK);
    /* From now on it is known, whatever it sends; also after a restart. */
    f->asked.sender = STR("");
    assert_int_equal(fixture_ask(f, "two@home.test"), WIRE_OK);
    fixture_close(f);
    fixture_open(f);
    assert_int_equal(fixture_ask(f, "two@home.test"), WIRE_OK);
    f->asked.client = STR("192.0.3.1");
    assert_int_equal(fixture_ask(f, "two@home.test"), WIRE_DEFERRED);
    /* Who comes back too late begins anew. */
    f->task.now_ms += 3 * FIXTURE_DAY_MS;
    assert_int_equal(fixture_ask(f, "two@home.test"), WIRE_DEFERRED);
    f->task.now_ms += 300 * 1000;
    assert_int_equal(fixture_ask(f, "two@home.test"), WIRE_OK);
    /* A network that is silent for long is forgotten; one that writes is not. */
    for (int i = 0; i < 4; i++) {
        f->task.now_ms += 30 * FIXTURE_DAY_MS;
        assert_int_equal(fixture_ask(f, "two@home.test"), WIRE_OK);
    }
    f->task.now_ms += 37 * FIXTURE_DAY_MS;
    assert_int_equal(fixture_ask(f, "two@home.test"), WIRE_DEFERRED);
    assert_int_equal(fixture_ask(f, "postmaster@home.test"), WIRE_OK);
    f->asked.client = STR("127.0.0.1");
    assert_int_equal(fixture_ask(f, "two@home.test"), WIRE_OK);
    f->asked.client = STR("192.0.5.1");
    f->asked.login = f->mailbox_id;
    assert_int_equal(fixture_ask(f, "two@home.test"), WIRE_OK);
}

static void test_the_greylist_is_bounded(void **state)
{
    struct fixture *f = *state;
    const struct account_router_settings settings = {.greylist = true,
                                                     .greylist_delay_ms = 300 * 1000};
    const struct account_grey old = {.since_ms = FIXTURE_NOW_MS - 3 * FIXTURE_DAY_MS,
                                     .ends_ms = FIXTURE_NOW_MS - FIXTURE_DAY_MS};
    uint64_t count;

    fixture_set(f, &settings);
    for (uint64_t i = 0; i < 2000; i++)
        OK(account_grey_set(f->database, &f->task, str_make(&i, sizeof(i)), &old));
    for (int i = 0; i < 600; i++) {
        char client[32];

        (void)snprintf(client, sizeof(client), "198.%d.%d.1", i / 200, i % 200);
        f->asked.client = str_from_c(client);
        assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_DEFERRED);
    }
    OK(account_grey_count(f->database, &f->task, &count));
    assert_int_equal(count, 600); /* what was over went with two sweeps */
    OK(account_grey_sweep(f->database, &f->task, 100, true));
    OK(account_grey_count(f->database, &f->task, &count));
    assert_int_equal(count, 500);
}

static void test_daily_limits(void **state)
{
    struct fixture *f = *state;
    const struct account_router_settings settings = {.user_daily_limit = 3};
    const struct account_router_settings of_domain = {.domain_daily_limit = 4};

    fixture_set(f, &settings);
    f->asked.login = f->mailbox_id;
    f->asked.sender = STR("one@home.test");
    for (int i = 0; i < 3; i++)
        assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    assert_int_equal(f->reply.reply_code, 450);
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK); /* our own are not counted */
    fixture_close(f);                                           /* a restart does not help */
    fixture_open(f);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    OK(account_begin(f->database, &f->task));
    OK(account_daily_set_limit(f->database, &f->task, ACCOUNT_DAILY_USER, f->user, 4));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    f->task.now_ms += FIXTURE_DAY_MS;
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    OK(account_begin(f->database, &f->task));
    OK(account_daily_set_limit(f->database, &f->task, ACCOUNT_DAILY_USER, f->user,
                               ACCOUNT_LIMIT_NONE));
    OK(account_commit(f->database, &f->task));
    fixture_set(f, &of_domain);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    OK(account_begin(f->database, &f->task));
    /* nobody writes as it */
    OK(account_daily_set_limit(f->database, &f->task, ACCOUNT_DAILY_DOMAIN, f->home, 0));
    OK(account_commit(f->database, &f->task));
    f->task.now_ms += FIXTURE_DAY_MS;
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    f->asked.login = id_random(); /* removed meanwhile */
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_REFUSED);
    f->asked.login = (struct id){0};
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"),
                     WIRE_NOT_LOCAL); /* from outside: smtp refuses */
}

static void give_back(struct fixture *f, uint64_t day, uint64_t count)
{
    const struct wire_recipients_unused unused = {
        .login = f->asked.login, .sender = f->asked.sender, .counted_day = day, .count = count};

    OK(account_router_unused(f->router, &f->task, &unused));
}

/* Those of messages that did not come to be; of the same day, and never more than there are. */
static void test_what_was_counted_for_nothing(void **state)
{
    struct fixture *f = *state;
    const struct account_router_settings settings = {.user_daily_limit = 2,
                                                     .domain_daily_limit = 3};
    uint64_t day;

    fixture_set(f, &settings);
    f->asked.login = f->mailbox_id;
    f->asked.sender = STR("one@home.test");
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    day = f->reply.counted_day;
    assert_true(day > 0);
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK);
    assert_int_equal(f->reply.counted_day, 0);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    assert_int_equal(f->reply.counted_day, 0);
    give_back(f, day - 1, 2);
    give_back(f, day + 1, 2);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    give_back(f, day, 1);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    give_back(f, day, UINT64_MAX);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    fixture_close(f); /* as lasting as the count */
    fixture_open(f);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    f->asked.login = id_random();
    give_back(f, day, 1); /* nobody's */
    f->asked.login = f->mailbox_id;
    f->asked.sender = STR("");
    give_back(f, day, 1); /* of no domain of ours: the user's all the same */
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    assert_int_equal(fixture_ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_tls_where_a_domain_asks),
        TEST(test_lists),
        TEST(test_entries),
        TEST(test_limits_of_incoming_mail),
        TEST(test_greylisting),
        TEST(test_the_greylist_is_bounded),
        TEST(test_daily_limits),
        TEST(test_what_was_counted_for_nothing),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
