/* The administrator's requests, on a real database, with the store's part played by the test. */
#include "account/admin/test_admin.h"

#include "account/login.h"
#include "secret/pass.h"
#include "sqlite/db.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* *out_is_unconfirmed: as the login found it. */
static enum account_verdict log_in(struct test_admin *f, const char *username, const char *password,
                                   enum wire_service service, bool *out_is_unconfirmed)
{
    static const struct account_throttle_limits none = {.window_ms = 1};
    struct account_login *checker = account_login_new(f->host_key, &none);
    struct account_attempt attempt = {.service = service,
                                      .username = str_from_c(username),
                                      .password = str_from_c(password),
                                      .address = STR("192.0.2.1")};
    struct account_login_result result;
    struct task task;

    task_init(&task, TEST_ADMIN_NOW_MS);
    assert_int_equal(account_login_check(checker, f->database, &task, &attempt, 1, &result),
                     ERR_OK);
    task_done(&task);
    secret_free(&result.key);
    account_login_free(&checker);
    *out_is_unconfirmed = result.is_unconfirmed;
    return result.verdict;
}

static enum account_verdict login(struct test_admin *f, const char *username, const char *password,
                                  enum wire_service service)
{
    bool is_unconfirmed;

    return log_in(f, username, password, service, &is_unconfirmed);
}

static void test_a_first_start(void **state)
{
    struct test_admin *f = *state;
    char password[40];

    test_admin_add_demo(f);
    (void)snprintf(password, sizeof(password), "%s", test_admin_member(f, "password"));
    assert_int_equal(strlen(password), 32);
    assert_string_equal(test_admin_member(f, "address"), "you@demo.test");
    assert_int_equal(strlen(test_admin_member(f, "mailbox")), 24);
    assert_string_equal(test_admin_member(f, "recovery_key"), "");
    assert_int_equal(login(f, "you@demo.test", password, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_OK);
    assert_int_equal(f->remove_count, 0);
    assert_string_equal(test_admin_ask(f, "{'command':'status'}"), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "mailboxes")), 1);
}

static void test_statuses(void **state)
{
    struct test_admin *f = *state;
    static const struct {
        const char *request, *status;
    } rows[] = {
        {"", "invalid"},
        {"[]", "invalid"},
        {"{'command':7}", "invalid"},
        {"{'command':'nothing'}", "invalid"},
        {"{'command':'status','arguments':[]}", "invalid"},
        {"{'command':'status','arguments':{'x':'y'}}", "invalid"},
        {"{'command':'domain add'}", "invalid"},
        {"{'command':'domain add','arguments':{'domain':7}}", "invalid"},
        {"{'command':'domain add','arguments':{'domain':''}}", "invalid"},
        {"{'command':'domain add','arguments':{'domain':'a..b'}}", "invalid"},
        {"{'command':'domain add','arguments':{'domain':'demo.test','domain':'x.test'}}",
         "invalid"},
        {"{'command':'domain add','arguments':{'domain':'DEMO.test'}}", "exists"},
        {"{'command':'domain add','arguments':{'domain':'a.test','user':'nobody'}}", "not-found"},
        {"{'command':'domain add','arguments':{'domain':'a.test','quota':'much'}}", "invalid"},
        {"{'command':'domain add','arguments':{'domain':'a.test','quota':'99999999999T'}}",
         "invalid"},
        {"{'command':'domain show','arguments':{'domain':'a.test'}}", "not-found"},
        {"{'command':'domain show','arguments':{'domain':'demo.test'}}", "ok"},
        {"{'command':'domain quota','arguments':{'domain':'demo.test','size':'10G'}}", "ok"},
        {"{'command':'user add','arguments':{'name':'ann','quota':'1T'}}", "ok"},
        {"{'command':'user add','arguments':{'name':'ann'}}", "exists"},
        {"{'command':'user show','arguments':{'name':'ann'}}", "ok"},
        {"{'command':'user quota','arguments':{'name':'ann','size':'none'}}", "ok"},
        {"{'command':'user list'}", "ok"},
        {"{'command':'alias add','arguments':{'address':'you@demo.test'}}", "exists"},
        {"{'command':'alias add','arguments':{'address':'x@nowhere.test'}}", "not-found"},
        {"{'command':'alias add','arguments':{'address':'nonsense'}}", "invalid"},
        {"{'command':'alias add','arguments':{'address':'a@demo.test','to':'you@demo.test'}}",
         "ok"},
        {"{'command':'alias add','arguments':{'address':'b@demo.test','to':'no@demo.test'}}",
         "not-found"},
        {"{'command':'alias add','arguments':{'address':'b@demo.test','to':'you@demo.test',"
         "'quota':'1G'}}",
         "invalid"},
        {"{'command':'alias show','arguments':{'address':'a@demo.test'}}", "ok"},
        {"{'command':'alias list','arguments':{'domain':'demo.test'}}", "ok"},
        {"{'command':'alias list','arguments':{'domain':'demo.test','after':'you'}}", "ok"},
        {"{'command':'alias list','arguments':{'after':'x'}}", "invalid"},
        {"{'command':'alias disable','arguments':{'address':'a@demo.test'}}", "ok"},
        {"{'command':'alias enable','arguments':{'address':'a@demo.test'}}", "ok"},
        {"{'command':'alias quota','arguments':{'address':'a@demo.test','size':'1G'}}", "ok"},
        {"{'command':'alias password','arguments':{'address':'a@demo.test'}}", "invalid"},
        {"{'command':'alias password','arguments':{'address':'a@demo.test',"
         "'old-password':'wrong'}}",
         "denied"},
        {"{'command':'alias app-password remove','arguments':{'address':'a@demo.test',"
         "'name':'phone'}}",
         "not-found"},
        {"{'command':'domain catch-all','arguments':{'domain':'demo.test'}}", "invalid"},
        {"{'command':'domain catch-all','arguments':{'domain':'demo.test',"
         "'address':'a@demo.test'}}",
         "ok"},
        {"{'command':'domain catch-all','arguments':{'domain':'demo.test','off':true}}", "ok"},
        {"{'command':'alias remove','arguments':{'address':'a@demo.test'}}", "ok"},
        {"{'command':'alias remove','arguments':{'address':'a@demo.test'}}", "not-found"},
    };

    test_admin_add_demo(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *status = test_admin_ask(f, rows[i].request);

        if (strcmp(status, rows[i].status) != 0)
            print_error("%s\n", rows[i].request);
        assert_string_equal(status, rows[i].status);
        if (strcmp(status, "ok") != 0)
            assert_true(strlen(test_admin_member(f, "message")) > 0);
    }
    assert_int_equal(f->limits_count, 3);
    assert_int_equal(f->remove_count, 0);
}

static void test_passwords(void **state)
{
    struct test_admin *f = *state;
    char first[40], second[40], app[40], recovery[40], request[256];
    bool is_unconfirmed;

    test_admin_add_demo(f);
    (void)snprintf(first, sizeof(first), "%s", test_admin_member(f, "password"));
    (void)snprintf(request, sizeof(request),
                   "{'command':'alias app-password add','arguments':{'address':'you@demo.test',"
                   "'name':'phone','scope':'IMAP,smtp','password':'%s'}}",
                   first);
    assert_string_equal(test_admin_ask(f, request), "ok");
    assert_string_equal(test_admin_member(f, "scope"), "imap,smtp");
    (void)snprintf(app, sizeof(app), "%s", test_admin_member(f, "password"));
    assert_string_equal(test_admin_ask(f, request), "exists");
    assert_int_equal(login(f, "you@demo.test", app, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_OK);
    assert_int_equal(login(f, "you@demo.test", app, WIRE_SERVICE_POP3), ACCOUNT_LOGIN_DENIED);
    (void)snprintf(request, sizeof(request),
                   "{'command':'alias recovery-key','arguments':{'address':'you@demo.test',"
                   "'password':'%s'}}",
                   first);
    assert_string_equal(test_admin_ask(f, request), "ok");
    (void)snprintf(recovery, sizeof(recovery), "%s", test_admin_member(f, "recovery_key"));
    /* The old password is forgotten; the recovery key is not. */
    (void)snprintf(request, sizeof(request),
                   "{'command':'alias password','arguments':{'address':'you@demo.test',"
                   "'old-password':'%s'}}",
                   recovery);
    assert_string_equal(test_admin_ask(f, request), "ok");
    /* Nobody saw it: the recovery key makes another one, and the first is no more. */
    (void)snprintf(second, sizeof(second), "%s", test_admin_member(f, "password"));
    assert_string_equal(test_admin_ask(f, request), "ok");
    assert_int_equal(login(f, "you@demo.test", second, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_DENIED);
    (void)snprintf(second, sizeof(second), "%s", test_admin_member(f, "password"));
    assert_string_not_equal(first, second);
    /* Until somebody is known to have seen the new one, the old one opens; whoever logs in with
     * another slot meanwhile, nothing is re-encrypted. */
    assert_int_equal(log_in(f, "you@demo.test", first, WIRE_SERVICE_IMAP, &is_unconfirmed),
                     ACCOUNT_LOGIN_OK);
    assert_true(is_unconfirmed);
    assert_int_equal(log_in(f, "you@demo.test", app, WIRE_SERVICE_IMAP, &is_unconfirmed),
                     ACCOUNT_LOGIN_OK);
    assert_true(is_unconfirmed);
    assert_false(id_is_set(&f->expelled) || id_is_set(&f->rekeyed));
    (void)snprintf(request, sizeof(request),
                   "{'command':'alias password confirm','arguments':{'address':'you@demo.test',"
                   "'password':'%s'}}",
                   second);
    assert_string_equal(test_admin_ask(f, request), "ok");
    assert_true(id_is_set(&f->expelled) && id_is_set(&f->rekeyed));
    assert_int_equal(login(f, "you@demo.test", first, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_DENIED);
    assert_int_equal(login(f, "you@demo.test", second, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_OK);
    assert_int_equal(log_in(f, "you@demo.test", app, WIRE_SERVICE_IMAP, &is_unconfirmed),
                     ACCOUNT_LOGIN_OK);
    assert_false(is_unconfirmed);
    assert_string_equal(
        test_admin_ask(f, "{'command':'alias app-password list','arguments':{'address':'you@demo.test'}}"),
        "ok");
    assert_int_equal(json_array_size(json_object_get(f->answer, "items")), 1);
    assert_string_equal(test_admin_ask(f, "{'command':'alias app-password remove','arguments':{'address':"
                               "'you@demo.test','name':'phone'}}"),
                        "ok");
    assert_int_equal(login(f, "you@demo.test", app, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_DENIED);
}

static void test_a_mailbox_that_could_not_be_made(void **state)
{
    struct test_admin *f = *state;
    const char *request = "{'command':'alias add','arguments':{'address':'new@demo.test'}}";
    struct id failed;

    test_admin_add_demo(f);
    f->is_store_down = true;
    assert_string_equal(test_admin_ask(f, request), "busy");
    f->is_store_down = false;
    f->does_not_answer = true;
    assert_string_equal(test_admin_ask(f, request), "(none)");
    failed = f->created;
    admin_mailbox_created(f->admin, &failed, false, TEST_ADMIN_NOW_MS);
    assert_string_equal(test_admin_member(f, "status"), "failed");
    /* What was begun is swept up, the first one too, in turn. */
    assert_true(id_is_set(&f->removed));
    admin_mailbox_removed(f->admin, &f->removed, true, TEST_ADMIN_NOW_MS);
    assert_true(id_equal(&f->removed, &failed));
    admin_mailbox_removed(f->admin, &failed, true, TEST_ADMIN_NOW_MS);
    assert_int_equal(f->remove_count, 2);
    /* The store dies while one waits; another waits too long. */
    assert_string_equal(test_admin_ask(f, request), "(none)");
    admin_store_changed(f->admin, false, TEST_ADMIN_NOW_MS);
    assert_string_equal(test_admin_member(f, "status"), "failed");
    assert_string_equal(test_admin_ask(f, request), "(none)");
    admin_expire(f->admin, TEST_ADMIN_NOW_MS + 29999, 30000);
    assert_null(f->answer);
    admin_expire(f->admin, TEST_ADMIN_NOW_MS + 30000, 30000);
    assert_string_equal(test_admin_member(f, "status"), "failed");
    admin_store_changed(f->admin, true, TEST_ADMIN_NOW_MS);
    admin_mailbox_removed(f->admin, &f->removed, true, TEST_ADMIN_NOW_MS);
    admin_mailbox_removed(f->admin, &f->removed, true, TEST_ADMIN_NOW_MS);
    f->does_not_answer = false;
    assert_string_equal(test_admin_ask(f, "{'command':'status'}"), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "unfinished_mailboxes")), 0);
    assert_string_equal(test_admin_ask(f, request), "ok");
}

static void test_an_administrator_who_goes_away(void **state)
{
    struct test_admin *f = *state;

    test_admin_add_demo(f);
    f->does_not_answer = true;
    (void)test_admin_ask(f, "{'command':'alias add','arguments':{'address':'new@demo.test'}}");
    admin_client_gone(f->admin, f);
    admin_mailbox_created(f->admin, &f->created, true, TEST_ADMIN_NOW_MS);
    assert_null(f->answer);
    assert_true(id_equal(&f->removed, &f->created)); /* nobody knows its password */
    admin_mailbox_removed(f->admin, &f->removed, true, TEST_ADMIN_NOW_MS);
    f->does_not_answer = false;
    assert_string_equal(
        test_admin_ask(f, "{'command':'alias add','arguments':{'address':'new@demo.test'}}"), "ok");
}

static void test_removing(void **state)
{
    struct test_admin *f = *state;

    test_admin_add_demo(f);
    assert_string_equal(
        test_admin_ask(f, "{'command':'alias add','arguments':{'address':'b@demo.test',"
               "'to':'you@demo.test'}}"),
        "ok");
    assert_string_equal(
        test_admin_ask(f, "{'command':'alias remove','arguments':{'address':'you@demo.test'}}"), "ok");
    assert_int_equal(f->remove_count, 0);
    assert_string_equal(
        test_admin_ask(f, "{'command':'alias remove','arguments':{'address':'b@demo.test'}}"), "ok");
    assert_int_equal(f->remove_count, 1);
    assert_true(id_equal(&f->expelled, &f->removed));
    assert_string_equal(
        test_admin_ask(f, "{'command':'alias add','arguments':{'address':'you@demo.test'}}"), "ok");
}

static void test_import(void **state)
{
    struct test_admin *f = *state;
    const char *request =
        "{'command':'alias import','arguments':{'file':['# a comment','','a@demo.test "
        "you@demo.test','b@demo.test, you@demo.test','c@demo.test','d@demo.test x@demo.test',"
        "'e@else.test you@demo.test','A@demo.test\\tyou@demo.test','@ you@demo.test']}}";

    test_admin_add_demo(f);
    assert_string_equal(test_admin_ask(f, request), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "added")), 2);
    assert_int_equal(json_integer_value(json_object_get(f->answer, "there_already")), 1);
    assert_int_equal(json_array_size(json_object_get(f->answer, "problems")), 4);
    assert_string_equal(test_admin_ask(f, request), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "added")), 0);
    assert_int_equal(json_integer_value(json_object_get(f->answer, "there_already")), 3);
}

/* A domain with many aliases goes in portions, with the mailboxes that only it leads to. */
static void test_removing_a_large_domain(void **state)
{
    struct test_admin *f = *state;
    char request[4096];
    size_t len;

    test_admin_add_demo(f);
    assert_string_equal(
        test_admin_ask(f, "{'command':'domain add','arguments':{'domain':'b.test'}}"), "ok");
    assert_string_equal(
        test_admin_ask(f, "{'command':'alias add','arguments':{'address':'x@b.test'}}"), "ok");
    for (int page = 0; page < 5; page++) {
        len = (size_t)snprintf(request, sizeof(request),
                               "{'command':'alias import','arguments':{'file':[''");
        for (int i = 0; i < 100; i++)
            len += (size_t)snprintf(request + len, sizeof(request) - len, ",'%d-%d@b.test %s'",
                                    page, i, i % 2 == 0 ? "x@b.test" : "you@demo.test");
        (void)snprintf(request + len, sizeof(request) - len, "]}}");
        assert_string_equal(test_admin_ask(f, request), "ok");
    }
    assert_string_equal(
        test_admin_ask(f, "{'command':'domain remove','arguments':{'domain':'b.test'}}"), "ok");
    assert_int_equal(f->portion_count, 3);
    assert_int_equal(f->remove_count, 1);
    assert_string_equal(test_admin_ask(f, "{'command':'status'}"), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "aliases")), 1);
    assert_int_equal(json_integer_value(json_object_get(f->answer, "mailboxes")), 1);
    assert_string_equal(
        test_admin_ask(f, "{'command':'user remove','arguments':{'name':'default'}}"), "ok");
    assert_string_equal(test_admin_ask(f, "{'command':'status'}"), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "domains")), 0);
    assert_int_equal(json_integer_value(json_object_get(f->answer, "mailboxes")), 0);
    assert_int_equal(json_integer_value(json_object_get(f->answer, "users")), 0);
}

static const char *check_with(struct test_admin *f, const char *password)
{
    char json[256];

    (void)snprintf(json, sizeof(json),
                   "{'command':'alias check','arguments':{'address':'you@demo.test',"
                   "'password':'%s'}}",
                   password);
    return test_admin_ask(f, json);
}

static void reply_job(struct test_admin *f, enum wire_status status, const char *json, bool is_last)
{
    admin_job_replied(f->admin, f->job_ticket, status, str_from_c(json), is_last);
}

/* The password stays here; how far it is goes on to who asked, and at last the result. */
static void test_jobs(void **state)
{
    static const struct {
        enum wire_status status;
        const char *json, *answer;
    } rows[] = {
        {WIRE_OK, "{\"message\":\"Whole.\"}", "ok"},
        {WIRE_DAMAGED, "{\"message\":\"Not whole.\"}", "damaged"},
        {WIRE_UNAVAILABLE, "", "busy"},
        {WIRE_OK, "", "busy"},
        {WIRE_DAMAGED, "", "damaged"},
        {WIRE_DISK_FULL, "{}", "limit"},
        {WIRE_EXISTS, "{}", "exists"},
    };
    struct test_admin *f = *state;
    char password[64];

    test_admin_add_demo(f);
    (void)snprintf(password, sizeof(password), "%s", test_admin_member(f, "password"));
    assert_string_equal(check_with(f, "wrong"), "denied");
    assert_int_equal(f->job_ticket, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(check_with(f, password), "(none)");
        assert_string_equal(f->job_kind, "alias check");
        assert_string_equal(f->job_json, "{\"address\":\"you@demo.test\"}");
        reply_job(f, WIRE_OK, "{\"what\":\"pages\",\"done\":1,\"total\":2}", false);
        assert_false(f->is_last);
        assert_string_equal(json_string_value(json_object_get(
                                json_object_get(f->answer, "progress"), "what")),
                            "pages");
        reply_job(f, rows[i].status, rows[i].json, true);
        assert_true(f->is_last);
        assert_string_equal(test_admin_member(f, "status"), rows[i].answer);
    }
}

/* A second password goes to the mailbox's process, and those on the way cannot read it. */
static void test_a_password_of_another_time(void **state)
{
    static const struct str purpose = {"backup-password", 15};
    struct test_admin *f = *state;
    CLEANUP(secret_free) struct secret *key = NULL;
    CLEANUP(secret_free) struct secret *found = NULL;
    char password[64], request[400];
    json_t *arguments;

    test_admin_add_demo(f);
    (void)snprintf(password, sizeof(password), "%s", test_admin_member(f, "password"));
    (void)snprintf(request, sizeof(request),
                   "{'command':'restore','arguments':{'address':'you@demo.test','password':'%s',"
                   "'backup-password':'of an earlier time'}}",
                   password);
    assert_string_equal(test_admin_ask(f, request), "(none)");
    assert_null(strstr(f->job_json, "earlier"));
    assert_null(strstr(f->job_json, password));
    arguments = json_loads(f->job_json, 0, NULL);
    assert_non_null(arguments);
    key = pass_key(f->job_key);
    assert_int_equal(
        pass_open(key, purpose,
                  str_from_c(json_string_value(json_object_get(arguments, "backup-password"))),
                  &found),
        ERR_OK);
    assert_true(str_equal(secret_str(found), STR("of an earlier time")));
    json_decref(arguments);
    reply_job(f, WIRE_OK, "{}", true);
}

static void test_jobs_that_nobody_waits_for(void **state)
{
    struct test_admin *f = *state;
    char password[64];
    int spare[2];

    test_admin_add_demo(f);
    (void)snprintf(password, sizeof(password), "%s", test_admin_member(f, "password"));
    f->is_store_down = true;
    assert_string_equal(check_with(f, password), "busy");
    f->is_store_down = false;
    /* The store goes. */
    assert_string_equal(check_with(f, password), "(none)");
    admin_store_changed(f->admin, false, TEST_ADMIN_NOW_MS);
    assert_string_equal(test_admin_member(f, "status"), "busy");
    /* It waits as long as it takes, but not for a client that is gone. */
    assert_string_equal(check_with(f, password), "(none)");
    admin_expire(f->admin, TEST_ADMIN_NOW_MS + 3600 * 1000, 1000);
    assert_null(f->answer);
    admin_client_gone(f->admin, f);
    assert_int_equal(f->cancelled_ticket, f->job_ticket);
    reply_job(f, WIRE_OK, "{}", false);
    reply_job(f, WIRE_OK, "{}", true);
    assert_null(f->answer);
    /* One that brings a file which the command does not have. */
    assert_int_equal(pipe(spare), 0);
    f->fds[0] = spare[0];
    f->fd_count = 1;
    assert_string_equal(check_with(f, password), "busy");
    assert_int_equal(f->fds[0], -1);
    assert_int_equal(write(spare[1], "x", 1), -1); /* it was closed */
    (void)close(spare[1]);
}

/* A new mailbox for all aliases of the old one, whose files stay for a while. */
static void test_reset(void **state)
{
    static const char ask[] = "{'command':'alias reset','arguments':{'address':'you@demo.test',"
                              "'recovery-key':true}}";
    struct test_admin *f = *state;
    char first[40], second[40], old[40];

    test_admin_add_demo(f);
    (void)snprintf(first, sizeof(first), "%s", test_admin_member(f, "password"));
    (void)snprintf(old, sizeof(old), "%s", test_admin_member(f, "mailbox"));
    assert_string_equal(test_admin_ask(f, "{'command':'alias add','arguments':{'address':"
                                          "'two@demo.test','to':'you@demo.test'}}"),
                        "ok");
    /* The file could not be made: nothing changes. */
    f->is_store_down = true;
    assert_string_equal(test_admin_ask(f, ask), "busy");
    f->is_store_down = false;
    assert_int_equal(login(f, "you@demo.test", first, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_OK);
    assert_string_equal(test_admin_ask(f, ask), "ok");
    (void)snprintf(second, sizeof(second), "%s", test_admin_member(f, "password"));
    assert_string_equal(test_admin_member(f, "old_mailbox"), old);
    assert_string_not_equal(test_admin_member(f, "mailbox"), old);
    assert_int_equal(strlen(test_admin_member(f, "recovery_key")), 32);
    assert_string_equal(f->retired.text, old);
    assert_int_equal(login(f, "you@demo.test", first, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_DENIED);
    assert_int_equal(login(f, "you@demo.test", second, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_OK);
    assert_int_equal(login(f, "two@demo.test", second, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_OK);
    /* Its time comes after 5 seconds. */
    f->removed = (struct id){0};
    admin_store_changed(f->admin, true, TEST_ADMIN_NOW_MS + 4999);
    for (int i = 0; i < 3 && id_is_set(&f->removed); i++) { /* what was left of the failed one */
        assert_string_not_equal(f->removed.text, old);
        struct id gone = f->removed;

        f->removed = (struct id){0};
        admin_mailbox_removed(f->admin, &gone, true, TEST_ADMIN_NOW_MS + 4999);
    }
    assert_false(id_is_set(&f->removed));
    admin_sweep(f->admin, TEST_ADMIN_NOW_MS + 5001);
    assert_string_equal(f->removed.text, old);
}

/* Both made a file; one of them takes the old one's place, and the other leads nowhere. */
static void test_reset_twice_at_once(void **state)
{
    static const char ask[] = "{'command':'alias reset','arguments':{'address':'you@demo.test'}}";
    struct test_admin *f = *state;
    struct id first, second;
    char password[40];

    test_admin_add_demo(f);
    f->does_not_answer = true;
    assert_string_equal(test_admin_ask(f, ask), "(none)");
    first = f->created;
    assert_string_equal(test_admin_ask(f, ask), "(none)");
    second = f->created;
    admin_mailbox_created(f->admin, &first, true, TEST_ADMIN_NOW_MS);
    assert_string_equal(test_admin_member(f, "status"), "ok");
    (void)snprintf(password, sizeof(password), "%s", test_admin_member(f, "password"));
    admin_mailbox_created(f->admin, &second, true, TEST_ADMIN_NOW_MS);
    assert_string_equal(test_admin_member(f, "status"), "not-found");
    assert_string_equal(test_admin_member(f, "password"), "");
    assert_int_equal(login(f, "you@demo.test", password, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_OK);
    assert_string_equal(f->removed.text, second.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_jobs),
        TEST(test_a_password_of_another_time),
        TEST(test_reset),
        TEST(test_reset_twice_at_once),
        TEST(test_jobs_that_nobody_waits_for),
        TEST(test_a_first_start),
        TEST(test_statuses),
        TEST(test_passwords),
        TEST(test_a_mailbox_that_could_not_be_made),
        TEST(test_an_administrator_who_goes_away),
        TEST(test_removing),
        TEST(test_import),
        TEST(test_removing_a_large_domain),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
