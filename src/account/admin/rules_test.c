/* Requests about where an alias's mail goes, rules, lists and limits; and about the queue. */
#include "account/admin/test_admin.h"

#include "sqlite/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What is answered, one after the other, to demo.test with you@demo.test and its mailbox. */
static const struct {
    const char *request, *status;
} rule_rows[] = {
    /* forwards */
    {"{'command':'alias add','arguments':{'address':'f@demo.test','forward':'b@x.test'}}", "ok"},
    {"{'command':'alias add','arguments':{'address':'g@demo.test','forward':'g@demo.test'}}",
     "invalid"}, /* itself */
    {"{'command':'alias add','arguments':{'address':'g@demo.test','forward':'G@'}}", "invalid"},
    {"{'command':'alias add','arguments':{'address':'g@demo.test','forward':'demo.test'}}",
     "invalid"},
    {"{'command':'alias add','arguments':{'address':'g@demo.test','forward':'g+tag@'}}", "invalid"},
    {"{'command':'alias add','arguments':{'address':'*@demo.test','forward':'demo.test'}}",
     "invalid"},
    {"{'command':'alias add','arguments':{'address':'h+tag@demo.test','forward':'b@x.test'}}", "ok"},
    {"{'command':'alias add','arguments':{'address':'h@demo.test','forward':'h+tag@'}}",
     "ok"}, /* another alias */
    {"{'command':'alias add','arguments':{'address':'g@demo.test','forward':'192.0.2.1'}}",
     "invalid"}, /* neither a domain nor a host and a port */
    {"{'command':'alias add','arguments':{'address':'g@demo.test','forward':'b@192.0.2.1'}}",
     "invalid"},
    {"{'command':'alias add','arguments':{'address':'i@demo.test','forward':'192.0.2.1:25'}}", "ok"},
    {"{'command':'alias add','arguments':{'address':'g@demo.test','forward':'x y'}}", "invalid"},
    {"{'command':'alias show','arguments':{'address':'g@demo.test'}}", "not-found"},
    {"{'command':'alias add','arguments':{'address':'g@demo.test','to':'f@demo.test'}}",
     "invalid"}, /* it has no mailbox */
    {"{'command':'alias add','arguments':{'address':'g@demo.test','forward':'b@x.test',"
     "'quota':'1G'}}", "invalid"},
    {"{'command':'alias forward add','arguments':{'address':'f@demo.test','target':'x.test'}}",
     "ok"},
    {"{'command':'alias forward add','arguments':{'address':'f@demo.test','target':'x.test'}}",
     "exists"},
    {"{'command':'alias forward add','arguments':{'address':'f@demo.test','target':'$1@'}}",
     "ok"}, /* a dollar is a letter like others */
    {"{'command':'alias forward list','arguments':{'address':'f@demo.test'}}", "ok"},
    {"{'command':'alias forward remove','arguments':{'address':'f@demo.test','target':'x.test'}}",
     "ok"},
    {"{'command':'alias forward remove','arguments':{'address':'f@demo.test','target':'x.test'}}",
     "not-found"},
    {"{'command':'alias store off','arguments':{'address':'f@demo.test'}}", "invalid"},
    {"{'command':'alias store off','arguments':{'address':'you@demo.test'}}", "invalid"},
    {"{'command':'alias forward add','arguments':{'address':'you@demo.test','target':'b@x.test'}}",
     "ok"},
    {"{'command':'alias store off','arguments':{'address':'you@demo.test'}}", "ok"},
    {"{'command':'alias store on','arguments':{'address':'you@demo.test'}}", "ok"},
    {"{'command':'alias quota','arguments':{'address':'f@demo.test','size':'1G'}}", "invalid"},
    {"{'command':'alias password','arguments':{'address':'f@demo.test','old-password':'x'}}",
     "denied"},
    /* regular expressions */
    {"{'command':'alias add','arguments':{'address':'/^s-(.+)$/@demo.test'}}", "invalid"},
    {"{'command':'alias add','arguments':{'address':'/^s-(.+)$/@demo.test','forward':'$2@'}}",
     "invalid"},
    {"{'command':'alias add','arguments':{'address':'/^s-(/@demo.test','forward':'$1@'}}",
     "invalid"},
    {"{'command':'alias add','arguments':{'address':'/^s-(.+)$/@demo.test','forward':'$1@'}}",
     "ok"},
    {"{'command':'alias add','arguments':{'address':'/^s-(.+)$/@demo.test','forward':'$1@'}}",
     "exists"},
    {"{'command':'alias add','arguments':{'address':'/^t@u/@demo.test','to':'you@demo.test'}}",
     "ok"}, /* the last @ counts */
    {"{'command':'alias show','arguments':{'address':'/^s-(.+)$/@demo.test'}}", "ok"},
    {"{'command':'alias forward add','arguments':{'address':'/^s-(.+)$/@demo.test',"
     "'target':'${1}@x.test'}}", "ok"},
    {"{'command':'alias disable','arguments':{'address':'/^s-(.+)$/@demo.test'}}", "ok"},
    {"{'command':'alias remove','arguments':{'address':'/^t@u/@demo.test'}}", "ok"},
    {"{'command':'alias remove','arguments':{'address':'/^t@u/@demo.test'}}", "not-found"},
    {"{'command':'domain catch-all','arguments':{'domain':'demo.test','address':'f@demo.test'}}",
     "invalid"},
    {"{'command':'alias add','arguments':{'address':'*@demo.test','forward':'x.test'}}", "ok"},
    {"{'command':'domain show','arguments':{'domain':'demo.test'}}", "ok"},
    {"{'command':'domain catch-all','arguments':{'domain':'demo.test',"
     "'address':'you@demo.test'}}", "ok"},
    {"{'command':'domain catch-all','arguments':{'domain':'demo.test','off':true}}", "ok"},
    /* webhooks */
    {"{'command':'alias webhook add','arguments':{'address':'you@demo.test',"
     "'url':'https://x.test/h','raw':true}}", "ok"},
    {"{'command':'alias webhook add','arguments':{'address':'you@demo.test',"
     "'url':'https://x.test/h'}}", "exists"},
    {"{'command':'alias webhook add','arguments':{'address':'you@demo.test',"
     "'url':'https://10.0.0.1/'}}",
     "invalid"},
    {"{'command':'alias webhook add','arguments':{'address':'you@demo.test','url':'x.test'}}",
     "invalid"},
    {"{'command':'alias webhook list','arguments':{'address':'you@demo.test'}}", "ok"},
    {"{'command':'alias webhook remove','arguments':{'address':'you@demo.test',"
     "'url':'https://x.test/h'}}", "ok"},
    /* rules */
    {"{'command':'alias disable','arguments':{'address':'you@demo.test','answer':'250'}}", "ok"},
    {"{'command':'alias disable','arguments':{'address':'you@demo.test','answer':'251'}}",
     "invalid"},
    {"{'command':'alias disable','arguments':{'address':'you@demo.test','answer':'421'}}", "ok"},
    {"{'command':'alias enable','arguments':{'address':'you@demo.test'}}", "ok"},
    {"{'command':'alias junk off','arguments':{'address':'you@demo.test'}}", "ok"},
    {"{'command':'alias junk on','arguments':{'address':'you@demo.test'}}", "ok"},
    {"{'command':'alias vacation show','arguments':{'address':'you@demo.test'}}", "not-found"},
    {"{'command':'alias vacation on','arguments':{'address':'you@demo.test','subject':'s\\nBcc',"
     "'text':'t'}}", "invalid"}, /* the courier would take none of the alias's mail */
    {"{'command':'alias vacation on','arguments':{'address':'you@demo.test','subject':'s',"
     "'text':'t','until':'1970-01-01'}}", "invalid"}, /* over already */
    {"{'command':'allow add','arguments':{'sender':'300.1.2.3'}}", "invalid"},
    {"{'command':'deny add','arguments':{'sender':'192.0.2'}}", "invalid"},
    {"{'command':'alias vacation on','arguments':{'address':'you@demo.test','subject':'s'}}",
     "invalid"},
    {"{'command':'alias vacation on','arguments':{'address':'you@demo.test','subject':'s',"
     "'text':'a\\nb','start':'2126-12-24','until':'2127-01-06T12:00:00.000Z'}}", "ok"},
    {"{'command':'alias vacation on','arguments':{'address':'you@demo.test','subject':'s',"
     "'text':'t','start':'2127-01-06','until':'2126-12-24'}}", "invalid"},
    {"{'command':'alias vacation on','arguments':{'address':'you@demo.test','subject':'s',"
     "'text':'t','until':'soon'}}", "invalid"},
    {"{'command':'alias vacation show','arguments':{'address':'you@demo.test'}}", "ok"},
    {"{'command':'alias vacation off','arguments':{'address':'you@demo.test'}}", "ok"},
    {"{'command':'allow add','arguments':{'sender':'192.0.2.0/24'}}", "ok"},
    {"{'command':'deny add','arguments':{'sender':'x.test','domain':'demo.test'}}", "ok"},
    {"{'command':'deny add','arguments':{'sender':'a@x.test','alias':'you@demo.test'}}", "ok"},
    {"{'command':'deny add','arguments':{'sender':'x y'}}", "invalid"},
    {"{'command':'deny add','arguments':{'sender':'x.test','domain':'demo.test',"
     "'alias':'you@demo.test'}}", "invalid"},
    {"{'command':'deny add','arguments':{'sender':'x.test','domain':'other.test'}}", "not-found"},
    {"{'command':'deny list'}", "ok"},
    {"{'command':'deny list','arguments':{'domain':'demo.test'}}", "ok"},
    {"{'command':'deny list','arguments':{'after':'x'}}", "invalid"},
    {"{'command':'deny remove','arguments':{'sender':'x.test'}}", "not-found"}, /* another scope */
    {"{'command':'allow remove','arguments':{'sender':'192.0.2.77/24'}}", "ok"},
    {"{'command':'user limit','arguments':{'name':'default','limit':'100'}}", "ok"},
    {"{'command':'user limit','arguments':{'name':'default','limit':'many'}}", "invalid"},
    {"{'command':'user limit','arguments':{'name':'default','limit':'-1'}}", "invalid"},
    {"{'command':'user limit','arguments':{'name':'default'}}", "ok"},
    {"{'command':'domain limit','arguments':{'domain':'demo.test','limit':'none'}}", "ok"},
    {"{'command':'domain limit','arguments':{'domain':'demo.test','limit':'default'}}", "ok"},
    {"{'command':'domain require-tls','arguments':{'domain':'demo.test'}}", "ok"},
    {"{'command':'domain require-tls','arguments':{'domain':'demo.test','off':true}}", "ok"},
    {"{'command':'domain dns','arguments':{'domain':'other.test'}}", "not-found"},
    {"{'command':'domain check','arguments':{'domain':'other.test'}}", "not-found"},
    {"{'command':'domain dkim use','arguments':{'domain':'demo.test'}}", "not-found"},
};

static void test_rules(void **state)
{
    struct test_admin *f = *state;

    test_admin_add_demo(f);
    for (size_t i = 0; i < ARRAY_LEN(rule_rows); i++) {
        const char *status = test_admin_ask(f, rule_rows[i].request);

        if (strcmp(status, rule_rows[i].status) != 0)
            print_error("%s\n", rule_rows[i].request);
        assert_string_equal(status, rule_rows[i].status);
        if (strcmp(status, "ok") != 0)
            assert_true(strlen(test_admin_member(f, "message")) > 0);
    }
}

static void test_a_webhook_s_secret_is_shown_once(void **state)
{
    struct test_admin *f = *state;
    const json_t *item;

    test_admin_add_demo(f);
    assert_string_equal(test_admin_ask(f, "{'command':'alias webhook add','arguments':{'address':"
                               "'you@demo.test','url':'https://x.test/h'}}"),
                        "ok");
    assert_int_equal(strlen(test_admin_member(f, "secret")), 32);
    assert_string_equal(
        test_admin_ask(f, "{'command':'alias webhook list','arguments':{'address':'you@demo.test'}}"), "ok");
    item = json_array_get(json_object_get(f->answer, "items"), 0);
    assert_string_equal(json_string_value(json_object_get(item, "url")), "https://x.test/h");
    assert_null(json_object_get(item, "secret"));
}

static void test_the_queue_s_commands(void **state)
{
    struct test_admin *f = *state;
    const char *request = "{'command':'queue retry','arguments':{'id':'all'}}";

    assert_string_equal(test_admin_ask(f, request), "(none)");
    assert_string_equal(f->courier_json,
                        "{\"command\":\"queue retry\",\"arguments\":{\"id\":\"all\"}}");
    admin_courier_answered(f->admin, f->courier_ticket + 1, STR("{\"status\":\"ok\"}"));
    assert_null(f->answer);
    admin_courier_answered(f->admin, f->courier_ticket, STR("{\"status\":\"ok\",\"count\":3}"));
    assert_string_equal(test_admin_member(f, "status"), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "count")), 3);
    assert_string_equal(test_admin_ask(f, request), "(none)");
    admin_courier_answered(f->admin, f->courier_ticket, STR("{\"status\":\"not-found\"}"));
    assert_string_equal(test_admin_member(f, "status"), "not-found");
    assert_true(strlen(test_admin_member(f, "message")) > 0);
    assert_string_equal(test_admin_ask(f, request), "(none)");
    admin_courier_answered(f->admin, f->courier_ticket, STR("nonsense"));
    assert_string_equal(test_admin_member(f, "status"), "failed");
    assert_string_equal(test_admin_ask(f, request), "(none)");
    admin_courier_gone(f->admin);
    assert_string_equal(test_admin_member(f, "status"), "busy");
    f->is_courier_down = true;
    assert_string_equal(test_admin_ask(f, request), "busy");
    assert_string_equal(test_admin_ask(f, "{'command':'queue list','arguments':{'after':'x'}}"), "busy");
    assert_string_equal(test_admin_ask(f, "{'command':'queue show'}"), "invalid");
}

/* One's own bucket: nothing is stored before the archivist has tried it; the secret is sealed. */
static void test_a_mailbox_s_own_bucket(void **state)
{
    static const char set[] = "{'command':'backup destination set','arguments':{'address':"
                              "'you@demo.test','place':'s3:https://s3.test/b','key-id':'AK',"
                              "'secret':'very secret'}}";
    static const char show[] =
        "{'command':'backup destination show','arguments':{'address':'you@demo.test'}}";
    static const char take_off[] =
        "{'command':'backup destination remove','arguments':{'address':'you@demo.test'}}";
    struct test_admin *f = *state;
    CLEANUP(secret_free) struct secret *secret = NULL;
    struct account_bucket bucket;
    struct account_alias alias;
    struct task task;
    int64_t domain;

    task_init(&task, TEST_ADMIN_NOW_MS);
    test_admin_add_demo(f);
    assert_string_equal(test_admin_ask(f, show), "not-found");
    assert_string_equal(test_admin_ask(f, take_off), "not-found");
    assert_string_equal(
        test_admin_ask(f, "{'command':'backup destination set','arguments':{'address':"
                          "'you@demo.test','place':'/a/folder','key-id':'AK','secret':'x'}}"),
        "invalid");
    assert_string_equal(
        test_admin_ask(f, "{'command':'backup destination set','arguments':{'address':"
                          "'you@demo.test','place':'s3:https://s3.test/b','key-id':'AK',"
                          "'secret':'x','region':'a/b'}}"),
        "invalid");
    assert_string_equal(test_admin_ask(f, set), "(none)");
    assert_non_null(strstr(f->courier_json, "very secret"));
    admin_archivist_answered(f->admin, f->courier_ticket,
                             STR("{\"status\":\"failed\",\"message\":\"no\"}"));
    assert_string_equal(test_admin_member(f, "message"), "no");
    assert_string_equal(test_admin_ask(f, show), "not-found");
    assert_int_equal(f->bucket_changes, 0);
    assert_string_equal(test_admin_ask(f, set), "(none)");
    admin_archivist_answered(f->admin, f->courier_ticket, STR("{\"status\":\"ok\"}"));
    assert_string_equal(test_admin_member(f, "status"), "ok");
    assert_int_equal(f->bucket_changes, 1);
    assert_int_equal(account_domain_row(f->database, &task, STR("demo.test"), &domain), ERR_OK);
    assert_int_equal(account_alias_find(f->database, &task, domain, STR("you"), &alias), ERR_OK);
    assert_true(id_equal(&alias.mailbox_id, &f->bucket_of));
    assert_int_equal(account_bucket_find(f->database, &task, &alias.mailbox_id, &bucket), ERR_OK);
    assert_int_equal(account_bucket_open(f->buckets, &task, &bucket, &secret), ERR_OK);
    assert_true(str_equal(secret_str(secret), STR("very secret")));
    secret_free(&secret);
    bucket.place = STR("s3:https://elsewhere.test/b"); /* the secret does not go there */
    assert_int_equal(account_bucket_open(f->buckets, &task, &bucket, &secret), ERR_CORRUPT);
    assert_string_equal(test_admin_ask(f, show), "(none)");
    assert_null(strstr(f->courier_json, "secret"));
    assert_non_null(strstr(f->courier_json, "s3.test"));
    admin_archivist_answered(f->admin, f->courier_ticket, STR("{\"status\":\"ok\"}"));
    assert_string_equal(test_admin_ask(f, take_off), "ok");
    assert_int_equal(f->bucket_changes, 2);
    assert_string_equal(test_admin_ask(f, show), "not-found");
    task_done(&task);
}

/* It hears when nobody waits for its answer any more, and a late one is nobody's. */
static void test_the_archivist_is_not_asked_for_nothing(void **state)
{
    static const char list[] = "{'command':'backup list','arguments':{'address':'you@demo.test'}}";
    struct test_admin *f = *state;

    test_admin_add_demo(f);
    assert_string_equal(test_admin_ask(f, list), "(none)");
    admin_client_gone(f->admin, f);
    assert_int_equal(f->forgotten_ticket, f->courier_ticket);
    admin_archivist_answered(f->admin, f->courier_ticket, STR("{\"status\":\"ok\"}"));
    assert_null(f->answer);
    assert_string_equal(test_admin_ask(f, list), "(none)");
    assert_int_not_equal(f->forgotten_ticket, f->courier_ticket);
    admin_expire(f->admin, TEST_ADMIN_NOW_MS + 30000, 30000);
    assert_string_equal(test_admin_member(f, "status"), "busy");
    assert_int_equal(f->forgotten_ticket, f->courier_ticket);
    f->forgotten_ticket = 0;
    assert_string_equal(test_admin_ask(f, list), "(none)");
    admin_archivist_answered(f->admin, f->courier_ticket, STR("{\"status\":\"ok\",\"items\":[]}"));
    assert_string_equal(test_admin_member(f, "status"), "ok");
    admin_client_gone(f->admin, f);
    assert_int_equal(f->forgotten_ticket, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rules),
        TEST(test_a_webhook_s_secret_is_shown_once),
        TEST(test_the_queue_s_commands),
        TEST(test_a_mailbox_s_own_bucket),
        TEST(test_the_archivist_is_not_asked_for_nothing),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
