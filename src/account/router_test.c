/* Where mail goes: aliases that store, forward and call, patterns, refusals, vacations, bounces. */
#include "account/fixture.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Routes with single quotes for double ones; "" for none. */
static void assert_routes(const struct fixture *f, const char *expected)
{
    char *text = strndup(f->reply.routes.ptr == NULL ? "" : f->reply.routes.ptr,
                         f->reply.routes.len);

    for (char *at = text; *at != '\0'; at++)
        *at = *at == '"' ? '\'' : *at;
    assert_string_equal(text, expected);
    free(text);
}

static void test_an_alias_that_only_forwards(void **state)
{
    struct fixture *f = *state;
    int64_t row = fixture_add_alias(f, "fwd", false);

    assert_int_equal(fixture_ask(f, "fwd@home.test"), WIRE_DISABLED); /* nowhere yet: not lost */
    fixture_add_target(f, row, "bob@example.org");
    fixture_add_target(f, row, "@example.net");
    fixture_add_target(f, row, "mail.example.net:26");
    assert_int_equal(fixture_ask(f, "Fwd+Tag@home.test"), WIRE_OK);
    assert_false(f->reply.has_mailbox);
    assert_true(str_equal(f->reply.detail, STR("Tag")));
    assert_routes(f, "[{'kind':'forward','to':'bob+Tag@example.org'},"
                     "{'kind':'forward','to':'Fwd+Tag@example.net'},"
                     "{'kind':'forward','to':'Fwd+Tag@home.test','via':'mail.example.net:26'}]");
}

static void test_store_and_forward_and_webhook(void **state)
{
    struct fixture *f = *state;
    struct account_target_row hook = {.kind = ACCOUNT_TARGET_WEBHOOK,
                                      .text = STR("https://example.org/h"),
                                      .secret = STR("s3cret"),
                                      .is_raw = true};
    int64_t row = fixture_add_alias(f, "both", true);

    fixture_add_target(f, row, "bob@");
    OK(account_begin(f->database, &f->task));
    OK(account_target_add(f->database, &f->task, row, &hook));
    assert_int_equal(account_target_add(f->database, &f->task, row, &hook), ERR_EXISTS);
    task_forgive(&f->task);
    OK(account_commit(f->database, &f->task));
    assert_int_equal(fixture_ask(f, "both@home.test"), WIRE_OK);
    assert_true(f->reply.has_mailbox && f->reply.is_checked);
    assert_true(id_equal(&f->reply.mailbox, &f->mailbox_id));
    assert_routes(f, "[{'kind':'forward','to':'bob@home.test'},{'kind':'webhook',"
                     "'url':'https://example.org/h','secret':'s3cret','raw':true}]");
    OK(account_begin(f->database, &f->task));
    OK(account_alias_set_storing(f->database, &f->task, row, false));
    OK(account_alias_set_junk(f->database, &f->task, row, false));
    OK(account_target_remove(f->database, &f->task, row, ACCOUNT_TARGET_WEBHOOK, hook.text));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(fixture_ask(f, "both@home.test"), WIRE_OK);
    assert_false(f->reply.has_mailbox || f->reply.is_checked);
    assert_routes(f, "[{'kind':'forward','to':'bob@home.test'}]");
    OK(account_begin(f->database, &f->task));
    OK(account_target_remove(f->database, &f->task, row, ACCOUNT_TARGET_FORWARD, STR("bob@")));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(fixture_ask(f, "both@home.test"), WIRE_DISABLED);
}

static void test_patterns(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *address;
        enum wire_status status;
        const char *routes;
    } rows[] = {
        {"support-bob@home.test", WIRE_OK, "[{'kind':'forward','to':'bob@example.org'}]"},
        {"Support-bob+t@home.test", WIRE_OK, "[{'kind':'forward','to':'bob+t@example.org'}]"},
        {"sales+t@home.test", WIRE_OK, "[{'kind':'forward','to':'sally+t@home.test'}]"},
        {"support-one@home.test", WIRE_OK, "[{'kind':'forward','to':'one@example.org'}]"},
        {"\"support-a b\"@home.test", WIRE_UNKNOWN, ""}, /* makes no address */
        {"\"/^sales$/\"@home.test", WIRE_UNKNOWN, ""}, /* its name is no address of it */
        {"other@home.test", WIRE_UNKNOWN, ""},
        {"one@home.test", WIRE_OK, ""}, /* an alias goes first */
        {"one+support-x@home.test", WIRE_OK, ""},
    };
    int64_t support = fixture_add_alias(f, "/^support-(.+)$/", false);
    int64_t sales = fixture_add_alias(f, "/^sales$/", false);
    int64_t late = fixture_add_alias(f, "/^s/", false);

    fixture_add_target(f, support, "$1@example.org");
    fixture_add_target(f, sales, "sally@");
    fixture_add_target(f, late, "late@");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (fixture_ask(f, rows[i].address) != rows[i].status)
            print_error("%s: %d\n", rows[i].address, (int)f->reply.status);
        assert_int_equal(f->reply.status, rows[i].status);
        assert_routes(f, rows[i].routes);
    }
    assert_int_equal(fixture_ask(f, "sauce@home.test"), WIRE_OK); /* the third of them */
    /* Before the catch-all; and gone with the alias. */
    fixture_add_alias(f, "*", true);
    assert_int_equal(fixture_ask(f, "sauce@home.test"), WIRE_OK);
    assert_false(f->reply.has_mailbox);
    OK(account_begin(f->database, &f->task));
    OK(account_alias_remove(f->database, &f->task, late));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(fixture_ask(f, "sauce@home.test"), WIRE_OK);
    assert_true(f->reply.has_mailbox);
}

static void test_a_catch_all_may_forward(void **state)
{
    struct fixture *f = *state;

    fixture_add_target(f, fixture_add_alias(f, "*", false), "example.net");
    assert_int_equal(fixture_ask(f, "Any+Thing@home.test"), WIRE_OK);
    assert_int_equal(f->reply.detail.len, 0);
    assert_routes(f, "[{'kind':'forward','to':'Any+Thing@example.net'}]");
}

static void test_patterns_have_a_limit(void **state)
{
    struct fixture *f = *state;
    char local[32];

    OK(account_begin(f->database, &f->task));
    for (int i = 0; i < ACCOUNT_PATTERNS_MAX; i++) {
        (void)snprintf(local, sizeof(local), "/^x%d-(.*)$/", i);
        OK(account_alias_add_pattern(f->database, &f->task, f->home, str_from_c(local),
                                     f->mailbox));
    }
    assert_int_equal(
        account_alias_add_pattern(f->database, &f->task, f->home, STR("/y/"), f->mailbox),
        ERR_LIMIT);
    task_forgive(&f->task);
    OK(account_commit(f->database, &f->task));
    assert_int_equal(fixture_ask(f, "x99-a@home.test"), WIRE_OK);
    assert_true(f->reply.has_mailbox);
}

static void test_disabled_answers(void **state)
{
    struct fixture *f = *state;
    static const struct {
        unsigned answer;
        enum wire_status status;
        unsigned code;
    } rows[] = {{250, WIRE_OK, 0}, {421, WIRE_DEFERRED, 421}, {550, WIRE_DISABLED, 0}};
    int64_t row = fixture_add_alias(f, "off", true);

    fixture_add_target(f, row, "bob@example.org");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        OK(account_begin(f->database, &f->task));
        OK(account_alias_set_enabled(f->database, &f->task, row, false, rows[i].answer));
        OK(account_commit(f->database, &f->task));
        assert_int_equal(fixture_ask(f, "off@home.test"), rows[i].status);
        assert_int_equal(f->reply.reply_code, rows[i].code);
        assert_false(f->reply.has_mailbox);
        assert_routes(f, "");
    }
}

static void test_vacation(void **state)
{
    struct fixture *f = *state;
    struct account_vacation vacation = {.subject = STR("Away"),
                                        .text = STR("Back\nin \"May\""),
                                        .starts_ms = FIXTURE_NOW_MS + 1000,
                                        .ends_ms = FIXTURE_NOW_MS + FIXTURE_DAY_MS};
    struct account_alias one;
    char until[CLOCK_ISO_ROOM], expected[256];

    OK(account_alias_find(f->database, &f->task, f->home, STR("one"), &one));
    OK(account_begin(f->database, &f->task));
    OK(account_vacation_set(f->database, &f->task, one.row, &vacation));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK);
    assert_routes(f, "");
    f->task.now_ms = FIXTURE_NOW_MS + 1000;
    assert_int_equal(fixture_ask(f, "one+tag@home.test"), WIRE_OK);
    clock_format_iso(vacation.ends_ms, until);
    (void)snprintf(expected, sizeof(expected),
                   "[{'kind':'vacation','from':'one@home.test','subject':'Away','text':"
                   "'Back\\nin \\'May\\'','until':'%s'}]", until);
    assert_routes(f, expected);
    assert_true(f->reply.has_mailbox);
    f->task.now_ms = FIXTURE_NOW_MS + FIXTURE_DAY_MS;
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_OK);
    assert_routes(f, "");
    OK(account_begin(f->database, &f->task));
    OK(account_vacation_remove(f->database, &f->task, one.row));
    OK(account_commit(f->database, &f->task));
    OK(account_alias_find(f->database, &f->task, f->home, STR("one"), &one));
    assert_false(one.has_routes);
}

static void test_bounces_go_back(void **state)
{
    struct fixture *f = *state;

    f->asked.sender = STR("");
    assert_int_equal(fixture_ask(f, "BACK=Good@home.test"), WIRE_OK);
    assert_false(f->reply.has_mailbox);
    assert_routes(f, "[{'kind':'return','to':'sender@elsewhere.test'}]");
    assert_int_equal(fixture_ask(f, "BACK=bad@home.test"), WIRE_REFUSED);
    assert_int_equal(f->reply.reply_code, 550);
    assert_true(f->reply.words.len > 0);
    fixture_add_alias(f, "back=bad", true); /* whatever aliases there are */
    assert_int_equal(fixture_ask(f, "back=bad@home.test"), WIRE_REFUSED);
    assert_int_equal(fixture_ask(f, "BACK=Good@elsewhere.test"), WIRE_NOT_LOCAL);
}

static void test_postmaster(void **state)
{
    struct fixture *f = *state;
    const struct account_list_scope host = {0, 0};
    struct account_list_entry all = {
        .verdict = ACCOUNT_LIST_DENY, .kind = ACCOUNT_LIST_DOMAIN, .value = STR("elsewhere.test")};

    OK(account_begin(f->database, &f->task));
    OK(account_list_set(f->database, &f->task, &host, &all));
    OK(account_domain_add(f->database, &f->task, STR("bare.test"), f->user, ACCOUNT_UNLIMITED));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(fixture_ask(f, "one@home.test"), WIRE_REFUSED);
    assert_int_equal(fixture_ask(f, "PostMaster@home.test"), WIRE_OK);
    assert_true(id_equal(&f->reply.mailbox, &f->mailbox_id));
    assert_int_equal(fixture_ask(f, "abuse@home.test"), WIRE_OK);
    assert_int_equal(fixture_ask(f, "Postmaster"), WIRE_OK); /* without a domain */
    assert_true(id_equal(&f->reply.mailbox, &f->mailbox_id));
    assert_int_equal(fixture_ask(f, "postmaster@bare.test"), WIRE_OK); /* its user's */
    assert_true(id_equal(&f->reply.mailbox, &f->mailbox_id));
    assert_int_equal(fixture_ask(f, "hostmaster@home.test"), WIRE_UNKNOWN);
    fixture_add_target(f, fixture_add_alias(f, "postmaster", false), "pm@example.org");
    assert_int_equal(fixture_ask(f, "postmaster@home.test"), WIRE_OK);
    assert_false(f->reply.has_mailbox);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_an_alias_that_only_forwards),
        TEST(test_store_and_forward_and_webhook),
        TEST(test_patterns),
        TEST(test_a_catch_all_may_forward),
        TEST(test_patterns_have_a_limit),
        TEST(test_disabled_answers),
        TEST(test_vacation),
        TEST(test_bounces_go_back),
        TEST(test_postmaster),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
