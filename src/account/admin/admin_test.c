/* The administrator's requests, on a real database, with the store's part played by the test. */
#include "account/admin/dns.h"

#include "account/login.h"
#include "account/router.h"
#include "base/buf.h"
#include "secret/crypt.h"
#include "sqlite/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOW_MS = 1000000 };

struct fixture {
    char folder[64];
    struct secret *host_key, *key;
    struct account_database *database;
    struct admin *admin;
    struct log log;
    json_t *answer; /* the last; own */
    struct id created, removed, expelled;
    int create_count, remove_count, limits_count;
    bool is_store_down, does_not_answer, has_work;
    int portion_count;
    struct account_signing *signing;
    int key_count;
    bool is_courier_down;
    uint64_t courier_ticket;
    char courier_json[512];
    struct {
        uint64_t ticket;
        enum dns_type type;
        char name[128];
    } questions[ADMIN_DNS_RECORDS_MAX];
    size_t question_count;
};

static const char long_key[] =
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA";

/* --- the store and the client --------------------------------------------------------------- */

static enum err create_mailbox(void *owner, const struct id *mailbox)
{
    struct fixture *f = owner;

    f->created = *mailbox;
    f->create_count++;
    return f->is_store_down ? ERR_BUSY : ERR_OK;
}

static enum err remove_mailbox(void *owner, const struct id *mailbox)
{
    struct fixture *f = owner;

    f->removed = *mailbox;
    f->remove_count++;
    return f->is_store_down ? ERR_BUSY : ERR_OK;
}

static void expel(void *owner, const struct id *mailbox)
{
    ((struct fixture *)owner)->expelled = *mailbox;
}

static void limits_changed(void *owner)
{
    ((struct fixture *)owner)->limits_count++;
}

static void describe(void *owner, json_t *reply)
{
    (void)owner;
    json_object_set_new(reply, "sessions", json_integer(0));
}

static void on_reply(void *owner, void *client, uint64_t tag, struct str json)
{
    struct fixture *f = owner;
    json_error_t error;

    (void)client;
    assert_int_equal(tag, 7);
    json_decref(f->answer);
    f->answer = json_loadb(json.ptr, json.len, 0, &error);
    assert_non_null(f->answer);
}

static void work_soon(void *owner)
{
    ((struct fixture *)owner)->has_work = true;
}

static enum err ask_courier(void *owner, uint64_t ticket, struct str json)
{
    struct fixture *f = owner;

    f->courier_ticket = ticket;
    (void)snprintf(f->courier_json, sizeof(f->courier_json), "%.*s", STR_ARG(json));
    return f->is_courier_down ? ERR_BUSY : ERR_OK;
}

static void ask_dns(void *owner, uint64_t ticket, struct str name, enum dns_type type)
{
    struct fixture *f = owner;

    assert_true(f->question_count < ARRAY_LEN(f->questions));
    f->questions[f->question_count].ticket = ticket;
    f->questions[f->question_count].type = type;
    (void)snprintf(f->questions[f->question_count].name, sizeof(f->questions[0].name), "%.*s",
                   STR_ARG(name));
    f->question_count++;
}

/* mailauth makes real ones (role/keeper_test.c); here any bytes do, as long as they differ. */
static enum err make_key(void *owner, struct task *task, enum account_key_algorithm algorithm,
                         struct secret **out_key, struct buf *out_record)
{
    struct fixture *f = owner;

    (void)task;
    *out_key = secret_new(48);
    f->key_count++;
    secret_bytes(*out_key)[0] = (unsigned char)f->key_count;
    buf_putf(out_record, "v=DKIM1; k=%s; p=%s%d",
             algorithm == ACCOUNT_KEY_RSA ? "rsa" : "ed25519",
             algorithm == ACCOUNT_KEY_RSA ? long_key : "", f->key_count);
    return ERR_OK;
}

static struct str hostname(void *owner)
{
    (void)owner;
    return STR("mail.host.test");
}

static const struct admin_services services = {
    .create_mailbox = create_mailbox,
    .remove_mailbox = remove_mailbox,
    .expel = expel,
    .limits_changed = limits_changed,
    .ask_courier = ask_courier,
    .ask_dns = ask_dns,
    .make_key = make_key,
    .hostname = hostname,
    .work_soon = work_soon,
    .describe = describe,
    .reply = on_reply,
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char path[96];
    struct task task;

    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/admin-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(path, sizeof(path), "%s/account.sqlite", f->folder);
    f->log = (struct log){.level = LOG_LEVEL_ERROR, .fd = STDERR_FILENO, .role = "test"};
    f->host_key = secret_new(32);
    f->key = account_database_key(f->host_key);
    task_init(&task, NOW_MS);
    assert_int_equal(account_database_open(&task, path, f->key, &f->database), ERR_OK);
    task_done(&task);
    f->signing = account_signing_new(f->host_key);
    f->admin = admin_new(f->database, f->signing, &services, f, &f->log);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[128];

    admin_free(&f->admin);
    account_signing_free(&f->signing);
    account_database_close(&f->database);
    secret_free(&f->host_key);
    secret_free(&f->key);
    json_decref(f->answer);
    (void)snprintf(command, sizeof(command), "rm -r '%s'", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* Sends and plays the store; gives the status. Single quotes in `json` stand for double ones. */
static const char *ask(struct fixture *f, const char *json)
{
    char *text = strdup(json);

    for (char *at = text; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    json_decref(f->answer);
    f->answer = NULL;
    f->created = f->removed = (struct id){0};
    admin_request(f->admin, str_from_c(text), NOW_MS, f, 7);
    while (f->has_work) {
        f->has_work = false;
        f->portion_count++;
        admin_work(f->admin, NOW_MS);
    }
    if (id_is_set(&f->created) && !f->does_not_answer && !f->is_store_down) {
        assert_null(f->answer);
        assert_non_null(admin_new_key(f->admin, &f->created));
        admin_mailbox_created(f->admin, &f->created, true, NOW_MS);
        assert_null(admin_new_key(f->admin, &f->created));
    }
    if (id_is_set(&f->removed) && !f->does_not_answer && !f->is_store_down)
        admin_mailbox_removed(f->admin, &f->removed, true, NOW_MS);
    free(text);
    return f->answer == NULL ? "(none)"
                             : json_string_value(json_object_get(f->answer, "status"));
}

static const char *member(const struct fixture *f, const char *name)
{
    const char *text = json_string_value(json_object_get(f->answer, name));

    return text == NULL ? "" : text;
}

static enum account_verdict login(struct fixture *f, const char *username, const char *password,
                                  enum wire_service service)
{
    static const struct account_throttle_limits none = {.window_ms = 1};
    struct account_login *checker = account_login_new(f->host_key, &none);
    struct account_attempt attempt = {.service = service,
                                      .username = str_from_c(username),
                                      .password = str_from_c(password),
                                      .address = STR("192.0.2.1")};
    struct account_login_result result;
    struct task task;

    task_init(&task, NOW_MS);
    assert_int_equal(account_login_check(checker, f->database, &task, &attempt, 1, &result),
                     ERR_OK);
    task_done(&task);
    secret_free(&result.key);
    account_login_free(&checker);
    return result.verdict;
}

static void add_demo(struct fixture *f)
{
    assert_string_equal(
        ask(f, "{'command':'domain add','arguments':{'domain':'demo.test'}}"), "ok");
    assert_string_equal(
        ask(f, "{'command':'alias add','arguments':{'address':'you@demo.test'}}"), "ok");
}

/* --- tests ---------------------------------------------------------------------------------- */

static void test_a_first_start(void **state)
{
    struct fixture *f = *state;
    char password[40];

    add_demo(f);
    (void)snprintf(password, sizeof(password), "%s", member(f, "password"));
    assert_int_equal(strlen(password), 32);
    assert_string_equal(member(f, "address"), "you@demo.test");
    assert_int_equal(strlen(member(f, "mailbox")), 24);
    assert_string_equal(member(f, "recovery_key"), "");
    assert_int_equal(login(f, "you@demo.test", password, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_OK);
    assert_int_equal(f->remove_count, 0);
    assert_string_equal(ask(f, "{'command':'status'}"), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "mailboxes")), 1);
}

static void test_statuses(void **state)
{
    struct fixture *f = *state;
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

    add_demo(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *status = ask(f, rows[i].request);

        if (strcmp(status, rows[i].status) != 0)
            print_error("%s\n", rows[i].request);
        assert_string_equal(status, rows[i].status);
        if (strcmp(status, "ok") != 0)
            assert_true(strlen(member(f, "message")) > 0);
    }
    assert_int_equal(f->limits_count, 3);
    assert_int_equal(f->remove_count, 0);
}

static void test_passwords(void **state)
{
    struct fixture *f = *state;
    char first[40], second[40], app[40], recovery[40], request[256];

    add_demo(f);
    (void)snprintf(first, sizeof(first), "%s", member(f, "password"));
    (void)snprintf(request, sizeof(request),
                   "{'command':'alias app-password add','arguments':{'address':'you@demo.test',"
                   "'name':'phone','scope':'IMAP,smtp','password':'%s'}}",
                   first);
    assert_string_equal(ask(f, request), "ok");
    assert_string_equal(member(f, "scope"), "imap,smtp");
    (void)snprintf(app, sizeof(app), "%s", member(f, "password"));
    assert_string_equal(ask(f, request), "exists");
    assert_int_equal(login(f, "you@demo.test", app, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_OK);
    assert_int_equal(login(f, "you@demo.test", app, WIRE_SERVICE_POP3), ACCOUNT_LOGIN_DENIED);
    (void)snprintf(request, sizeof(request),
                   "{'command':'alias recovery-key','arguments':{'address':'you@demo.test',"
                   "'password':'%s'}}",
                   first);
    assert_string_equal(ask(f, request), "ok");
    (void)snprintf(recovery, sizeof(recovery), "%s", member(f, "recovery_key"));
    /* The old password is forgotten; the recovery key is not. */
    (void)snprintf(request, sizeof(request),
                   "{'command':'alias password','arguments':{'address':'you@demo.test',"
                   "'old-password':'%s'}}",
                   recovery);
    assert_string_equal(ask(f, request), "ok");
    assert_true(id_is_set(&f->expelled));
    (void)snprintf(second, sizeof(second), "%s", member(f, "password"));
    assert_string_not_equal(first, second);
    assert_int_equal(login(f, "you@demo.test", first, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_DENIED);
    assert_int_equal(login(f, "you@demo.test", second, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_OK);
    assert_int_equal(login(f, "you@demo.test", app, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_OK);
    assert_string_equal(
        ask(f, "{'command':'alias app-password list','arguments':{'address':'you@demo.test'}}"),
        "ok");
    assert_int_equal(json_array_size(json_object_get(f->answer, "items")), 1);
    assert_string_equal(ask(f, "{'command':'alias app-password remove','arguments':{'address':"
                               "'you@demo.test','name':'phone'}}"),
                        "ok");
    assert_int_equal(login(f, "you@demo.test", app, WIRE_SERVICE_IMAP), ACCOUNT_LOGIN_DENIED);
}

static void test_a_mailbox_that_could_not_be_made(void **state)
{
    struct fixture *f = *state;
    const char *request = "{'command':'alias add','arguments':{'address':'new@demo.test'}}";
    struct id failed;

    add_demo(f);
    f->is_store_down = true;
    assert_string_equal(ask(f, request), "busy");
    f->is_store_down = false;
    f->does_not_answer = true;
    assert_string_equal(ask(f, request), "(none)");
    failed = f->created;
    admin_mailbox_created(f->admin, &failed, false, NOW_MS);
    assert_string_equal(member(f, "status"), "failed");
    /* What was begun is swept up, the first one too, in turn. */
    assert_true(id_is_set(&f->removed));
    admin_mailbox_removed(f->admin, &f->removed, true, NOW_MS);
    assert_true(id_equal(&f->removed, &failed));
    admin_mailbox_removed(f->admin, &failed, true, NOW_MS);
    assert_int_equal(f->remove_count, 2);
    /* The store dies while one waits; another waits too long. */
    assert_string_equal(ask(f, request), "(none)");
    admin_store_changed(f->admin, false, NOW_MS);
    assert_string_equal(member(f, "status"), "failed");
    assert_string_equal(ask(f, request), "(none)");
    admin_expire(f->admin, NOW_MS + 29999, 30000);
    assert_null(f->answer);
    admin_expire(f->admin, NOW_MS + 30000, 30000);
    assert_string_equal(member(f, "status"), "failed");
    admin_store_changed(f->admin, true, NOW_MS);
    admin_mailbox_removed(f->admin, &f->removed, true, NOW_MS);
    admin_mailbox_removed(f->admin, &f->removed, true, NOW_MS);
    f->does_not_answer = false;
    assert_string_equal(ask(f, "{'command':'status'}"), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "unfinished_mailboxes")), 0);
    assert_string_equal(ask(f, request), "ok");
}

static void test_an_administrator_who_goes_away(void **state)
{
    struct fixture *f = *state;

    add_demo(f);
    f->does_not_answer = true;
    (void)ask(f, "{'command':'alias add','arguments':{'address':'new@demo.test'}}");
    admin_client_gone(f->admin, f);
    admin_mailbox_created(f->admin, &f->created, true, NOW_MS);
    assert_null(f->answer);
    assert_true(id_equal(&f->removed, &f->created)); /* nobody knows its password */
    admin_mailbox_removed(f->admin, &f->removed, true, NOW_MS);
    f->does_not_answer = false;
    assert_string_equal(
        ask(f, "{'command':'alias add','arguments':{'address':'new@demo.test'}}"), "ok");
}

static void test_removing(void **state)
{
    struct fixture *f = *state;

    add_demo(f);
    assert_string_equal(
        ask(f, "{'command':'alias add','arguments':{'address':'b@demo.test',"
               "'to':'you@demo.test'}}"),
        "ok");
    assert_string_equal(
        ask(f, "{'command':'alias remove','arguments':{'address':'you@demo.test'}}"), "ok");
    assert_int_equal(f->remove_count, 0);
    assert_string_equal(
        ask(f, "{'command':'alias remove','arguments':{'address':'b@demo.test'}}"), "ok");
    assert_int_equal(f->remove_count, 1);
    assert_true(id_equal(&f->expelled, &f->removed));
    assert_string_equal(
        ask(f, "{'command':'alias add','arguments':{'address':'you@demo.test'}}"), "ok");
}

static void test_import(void **state)
{
    struct fixture *f = *state;
    const char *request =
        "{'command':'alias import','arguments':{'file':['# a comment','','a@demo.test "
        "you@demo.test','b@demo.test, you@demo.test','c@demo.test','d@demo.test x@demo.test',"
        "'e@else.test you@demo.test','A@demo.test\\tyou@demo.test','@ you@demo.test']}}";

    add_demo(f);
    assert_string_equal(ask(f, request), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "added")), 2);
    assert_int_equal(json_integer_value(json_object_get(f->answer, "there_already")), 1);
    assert_int_equal(json_array_size(json_object_get(f->answer, "problems")), 4);
    assert_string_equal(ask(f, request), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "added")), 0);
    assert_int_equal(json_integer_value(json_object_get(f->answer, "there_already")), 3);
}

/* --- where mail goes, rules, keys, the DNS, the queue ----------------------------------------- */

/* What is answered, one after the other, to demo.test with you@demo.test and its mailbox. */
static const struct {
    const char *request, *status;
} rule_rows[] = {
    /* forwards */
    {"{'command':'alias add','arguments':{'address':'f@demo.test','forward':'b@x.test'}}", "ok"},
    {"{'command':'alias add','arguments':{'address':'g@demo.test','forward':'g@demo.test'}}",
     "invalid"}, /* itself */
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
    {"{'command':'alias vacation on','arguments':{'address':'you@demo.test','subject':'s'}}",
     "invalid"},
    {"{'command':'alias vacation on','arguments':{'address':'you@demo.test','subject':'s',"
     "'text':'a\\nb','start':'2026-12-24','until':'2027-01-06T12:00:00.000Z'}}", "ok"},
    {"{'command':'alias vacation on','arguments':{'address':'you@demo.test','subject':'s',"
     "'text':'t','start':'2027-01-06','until':'2026-12-24'}}", "invalid"},
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
    struct fixture *f = *state;

    add_demo(f);
    for (size_t i = 0; i < ARRAY_LEN(rule_rows); i++) {
        const char *status = ask(f, rule_rows[i].request);

        if (strcmp(status, rule_rows[i].status) != 0)
            print_error("%s\n", rule_rows[i].request);
        assert_string_equal(status, rule_rows[i].status);
        if (strcmp(status, "ok") != 0)
            assert_true(strlen(member(f, "message")) > 0);
    }
}

static void test_a_webhook_s_secret_is_shown_once(void **state)
{
    struct fixture *f = *state;
    const json_t *item;

    add_demo(f);
    assert_string_equal(ask(f, "{'command':'alias webhook add','arguments':{'address':"
                               "'you@demo.test','url':'https://x.test/h'}}"),
                        "ok");
    assert_int_equal(strlen(member(f, "secret")), 32);
    assert_string_equal(
        ask(f, "{'command':'alias webhook list','arguments':{'address':'you@demo.test'}}"), "ok");
    item = json_array_get(json_object_get(f->answer, "items"), 0);
    assert_string_equal(json_string_value(json_object_get(item, "url")), "https://x.test/h");
    assert_null(json_object_get(item, "secret"));
}

/* The record of this role and name in the answer of `domain dns`. */
static const char *record_value(const struct fixture *f, const char *name, const char *type)
{
    const json_t *records = json_object_get(f->answer, "records");

    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *record = json_array_get(records, i);

        if (strcmp(json_string_value(json_object_get(record, "name")), name) == 0 &&
            strcmp(json_string_value(json_object_get(record, "type")), type) == 0)
            return json_string_value(json_object_get(record, "value"));
    }
    return "";
}

static void test_records_to_publish(void **state)
{
    struct fixture *f = *state;
    const char *request = "{'command':'domain dns','arguments':{'domain':'demo.test'}}";
    const char *zone;

    add_demo(f);
    assert_int_equal(f->key_count, 2);
    assert_string_equal(ask(f, request), "ok");
    zone = member(f, "message");
    assert_non_null(strstr(zone, "demo.test.\t3600\tIN\tMX\t10 mail.host.test.\n"));
    assert_non_null(strstr(zone, "_pop3s._tcp.demo.test.\t3600\tIN\tSRV\t0 1 995 mail.host.test."));
    assert_string_equal(record_value(f, "demo.test", "TXT"), "v=spf1 mx -all");
    assert_string_equal(record_value(f, "e19700101._domainkey.demo.test", "TXT"),
                        "v=DKIM1; k=ed25519; p=2");
    assert_string_equal(record_value(f, "_dmarc.demo.test", "TXT"),
                        "v=DMARC1; p=quarantine; rua=mailto:postmaster@demo.test");
    assert_true(strlen(record_value(f, "_mta-sts.demo.test", "TXT")) > 12);
    /* A long text is several strings, none above 255 bytes. */
    zone = strstr(zone, "r19700101._domainkey");
    assert_non_null(zone);
    for (const char *quote = strchr(zone, '"'); quote != NULL && quote < strstr(zone, " )");) {
        const char *end = strchr(quote + 1, '"');

        assert_true(end - quote - 1 <= 255);
        quote = strchr(end + 1, '"');
    }
    /* New keys are published before they are used, old ones after. */
    assert_string_equal(
        ask(f, "{'command':'domain dkim rotate','arguments':{'domain':'demo.test'}}"), "ok");
    assert_string_equal(
        ask(f, "{'command':'domain dkim rotate','arguments':{'domain':'demo.test'}}"), "exists");
    assert_string_equal(ask(f, request), "ok");
    assert_string_equal(record_value(f, "e19700101-1._domainkey.demo.test", "TXT"),
                        "v=DKIM1; k=ed25519; p=4");
    assert_string_equal(
        ask(f, "{'command':'domain dkim use','arguments':{'domain':'demo.test'}}"), "ok");
    assert_string_equal(ask(f, request), "ok");
    assert_string_equal(record_value(f, "e19700101._domainkey.demo.test", "TXT"),
                        "v=DKIM1; k=ed25519; p=2");
}

/* One record of the DNS, as the test gives it. */
struct given {
    enum dns_type type;
    const char *name;
    enum dns_status status;
    const char *data[3];
    const char *host; /* of MX, SRV */
    uint16_t port;
};

static void answer_question(struct fixture *f, size_t index, const struct given *given, size_t count)
{
    struct dns_record records[3];
    struct dns_answer answer = {.status = DNS_NO_NAME, .records = records};

    for (size_t i = 0; i < count; i++) {
        if (given[i].type != f->questions[index].type ||
            strcmp(given[i].name, f->questions[index].name) != 0)
            continue;
        answer.status = given[i].status;
        while (answer.count < 3 && given[i].data[answer.count] != NULL) {
            records[answer.count] = (struct dns_record){
                .name = str_from_c(given[i].host),
                .port = given[i].port,
                .data = str_from_c(given[i].data[answer.count]),
            };
            answer.count++;
        }
    }
    admin_dns_answered(f->admin, f->questions[index].ticket, &answer);
}

/* Asks for a check and answers it; "state why" of each record in the order of `domain dns`. */
static void check_domain(struct fixture *f, const struct given *given, size_t count)
{
    f->question_count = 0;
    assert_string_equal(
        ask(f, "{'command':'domain check','arguments':{'domain':'demo.test'}}"), "(none)");
    assert_true(f->question_count > 10);
    for (size_t i = f->question_count; i-- > 0;) {
        assert_null(f->answer);
        answer_question(f, i, given, count);
    }
    assert_non_null(f->answer);
}

static const char *state_of(const struct fixture *f, const char *type, const char *name)
{
    const json_t *items = json_object_get(f->answer, "items");

    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        if (strcmp(json_string_value(json_object_get(item, "name")), name) == 0 &&
            strcmp(json_string_value(json_object_get(item, "type")), type) == 0)
            return json_string_value(json_object_get(item, "state"));
    }
    return "";
}

static void test_a_domain_that_is_right(void **state)
{
    struct fixture *f = *state;
    static const struct given given[] = {
        {DNS_TYPE_A, "mail.host.test", DNS_OK, {"\1\2\3\4"}, NULL, 0},
        {DNS_TYPE_MX, "demo.test", DNS_OK, {""}, "mail.host.test", 0},
        {DNS_TYPE_TXT, "demo.test", DNS_OK, {"v=spf1 ip4:1.2.3.4 -all", "else"}, NULL, 0},
        {DNS_TYPE_TXT, "e19700101._domainkey.demo.test", DNS_OK,
         {"v=DKIM1; p= 2 ;k=ed25519"}, NULL, 0},
        {DNS_TYPE_TXT, "_dmarc.demo.test", DNS_OK, {"v=DMARC1;p=reject"}, NULL, 0},
        {DNS_TYPE_TXT, "_mta-sts.demo.test", DNS_OK, {"v=STSv1; id=1;"}, NULL, 0},
        {DNS_TYPE_TXT, "_smtp._tls.demo.test", DNS_OK, {"v=TLSRPTv1; rua=mailto:a@b"}, NULL, 0},
        {DNS_TYPE_SRV, "_imaps._tcp.demo.test", DNS_OK, {""}, "mail.host.test", 993},
    };

    add_demo(f);
    check_domain(f, given, ARRAY_LEN(given));
    for (size_t i = 0; i < ARRAY_LEN(given); i++)
        assert_string_equal(
            state_of(f, admin_dns_type_name(given[i].type), given[i].name), "right");
    assert_string_equal(state_of(f, "AAAA", "mail.host.test"), "right"); /* A is enough */
    assert_string_equal(state_of(f, "TXT", "r19700101._domainkey.demo.test"), "missing");
    assert_string_equal(state_of(f, "SRV", "_pop3s._tcp.demo.test"), "missing");
}

static void test_a_domain_that_is_wrong(void **state)
{
    struct fixture *f = *state;
    static const struct {
        struct given given;
        const char *state;
    } rows[] = {
        {{DNS_TYPE_MX, "demo.test", DNS_OK, {""}, "mail.other.test", 0}, "wrong"},
        {{DNS_TYPE_MX, "demo.test", DNS_OK, {""}, "", 0}, "wrong"},
        {{DNS_TYPE_MX, "demo.test", DNS_FAILED, {NULL}, NULL, 0}, "unknown"},
        {{DNS_TYPE_TXT, "demo.test", DNS_OK, {"v=spf1 mx -all", "v=spf1 mx -all"}, NULL, 0},
         "wrong"},
        {{DNS_TYPE_TXT, "demo.test", DNS_OK, {"v=spf1 mx +all"}, NULL, 0}, "wrong"},
        {{DNS_TYPE_TXT, "demo.test", DNS_OK, {"v=spf1 -all"}, NULL, 0}, "wrong"},
        {{DNS_TYPE_TXT, "demo.test", DNS_OK, {"v=spf10 mx"}, NULL, 0}, "missing"},
        {{DNS_TYPE_TXT, "demo.test", DNS_OK, {"v=spf1 include:x.test ~all"}, NULL, 0}, "unknown"},
        {{DNS_TYPE_TXT, "demo.test", DNS_OK, {"v=spf1 a:mail.host.test ~all"}, NULL, 0}, "right"},
        {{DNS_TYPE_TXT, "e19700101._domainkey.demo.test", DNS_OK, {"v=DKIM1; p=3"}, NULL, 0},
         "wrong"},
        {{DNS_TYPE_TXT, "e19700101._domainkey.demo.test", DNS_OK, {"v=DKIM1; p="}, NULL, 0},
         "wrong"},
        {{DNS_TYPE_TXT, "_dmarc.demo.test", DNS_OK, {"v=DMARC1; sp=none"}, NULL, 0}, "wrong"},
        {{DNS_TYPE_TXT, "_mta-sts.demo.test", DNS_OK, {"v=STSv1"}, NULL, 0}, "wrong"},
        {{DNS_TYPE_SRV, "_imaps._tcp.demo.test", DNS_OK, {""}, "mail.host.test", 143}, "wrong"},
        {{DNS_TYPE_SRV, "_imaps._tcp.demo.test", DNS_OK, {""}, "", 0}, "wrong"},
    };

    add_demo(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_domain(f, &rows[i].given, 1);
        assert_string_equal(
            state_of(f, admin_dns_type_name(rows[i].given.type), rows[i].given.name),
            rows[i].state);
    }
    check_domain(f, NULL, 0);
    assert_string_equal(state_of(f, "A", "mail.host.test"), "missing");
    /* An administrator who went away, and a resolver that never answers. */
    f->question_count = 0;
    (void)ask(f, "{'command':'domain check','arguments':{'domain':'demo.test'}}");
    admin_client_gone(f->admin, f);
    admin_expire(f->admin, NOW_MS + 30000, 30000);
    assert_null(f->answer);
    answer_question(f, 0, NULL, 0); /* too late */
}

static void test_the_queue_s_commands(void **state)
{
    struct fixture *f = *state;
    const char *request = "{'command':'queue retry','arguments':{'id':'all'}}";

    assert_string_equal(ask(f, request), "(none)");
    assert_string_equal(f->courier_json,
                        "{\"command\":\"queue retry\",\"arguments\":{\"id\":\"all\"}}");
    admin_courier_answered(f->admin, f->courier_ticket + 1, STR("{\"status\":\"ok\"}"));
    assert_null(f->answer);
    admin_courier_answered(f->admin, f->courier_ticket, STR("{\"status\":\"ok\",\"count\":3}"));
    assert_string_equal(member(f, "status"), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "count")), 3);
    assert_string_equal(ask(f, request), "(none)");
    admin_courier_answered(f->admin, f->courier_ticket, STR("{\"status\":\"not-found\"}"));
    assert_string_equal(member(f, "status"), "not-found");
    assert_true(strlen(member(f, "message")) > 0);
    assert_string_equal(ask(f, request), "(none)");
    admin_courier_answered(f->admin, f->courier_ticket, STR("nonsense"));
    assert_string_equal(member(f, "status"), "failed");
    assert_string_equal(ask(f, request), "(none)");
    admin_courier_gone(f->admin);
    assert_string_equal(member(f, "status"), "busy");
    f->is_courier_down = true;
    assert_string_equal(ask(f, request), "busy");
    assert_string_equal(ask(f, "{'command':'queue list','arguments':{'after':'x'}}"), "busy");
    assert_string_equal(ask(f, "{'command':'queue show'}"), "invalid");
}

/* Domains from before there were keys get theirs, one with each call. */
static void test_missing_keys(void **state)
{
    struct fixture *f = *state;
    struct task task;
    int64_t user;

    task_init(&task, NOW_MS);
    assert_int_equal(account_begin(f->database, &task), ERR_OK);
    assert_int_equal(account_user_add(f->database, &task, STR("u"), 0, &user), ERR_OK);
    assert_int_equal(account_domain_add(f->database, &task, STR("a.test"), user, 0), ERR_OK);
    assert_int_equal(account_domain_add(f->database, &task, STR("b.test"), user, 0), ERR_OK);
    assert_int_equal(account_commit(f->database, &task), ERR_OK);
    task_done(&task);
    assert_true(admin_make_missing_key(f->admin, NOW_MS));
    assert_int_equal(f->key_count, 2);
    assert_true(admin_make_missing_key(f->admin, NOW_MS));
    assert_false(admin_make_missing_key(f->admin, NOW_MS));
    assert_int_equal(f->key_count, 4);
}

/* A domain with many aliases goes in portions, with the mailboxes that only it leads to. */
static void test_removing_a_large_domain(void **state)
{
    struct fixture *f = *state;
    char request[4096];
    size_t len;

    add_demo(f);
    assert_string_equal(
        ask(f, "{'command':'domain add','arguments':{'domain':'b.test'}}"), "ok");
    assert_string_equal(
        ask(f, "{'command':'alias add','arguments':{'address':'x@b.test'}}"), "ok");
    for (int page = 0; page < 5; page++) {
        len = (size_t)snprintf(request, sizeof(request),
                               "{'command':'alias import','arguments':{'file':[''");
        for (int i = 0; i < 100; i++)
            len += (size_t)snprintf(request + len, sizeof(request) - len, ",'%d-%d@b.test %s'",
                                    page, i, i % 2 == 0 ? "x@b.test" : "you@demo.test");
        (void)snprintf(request + len, sizeof(request) - len, "]}}");
        assert_string_equal(ask(f, request), "ok");
    }
    assert_string_equal(
        ask(f, "{'command':'domain remove','arguments':{'domain':'b.test'}}"), "ok");
    assert_int_equal(f->portion_count, 3);
    assert_int_equal(f->remove_count, 1);
    assert_string_equal(ask(f, "{'command':'status'}"), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "aliases")), 1);
    assert_int_equal(json_integer_value(json_object_get(f->answer, "mailboxes")), 1);
    assert_string_equal(
        ask(f, "{'command':'user remove','arguments':{'name':'default'}}"), "ok");
    assert_string_equal(ask(f, "{'command':'status'}"), "ok");
    assert_int_equal(json_integer_value(json_object_get(f->answer, "domains")), 0);
    assert_int_equal(json_integer_value(json_object_get(f->answer, "mailboxes")), 0);
    assert_int_equal(json_integer_value(json_object_get(f->answer, "users")), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_first_start),
        TEST(test_statuses),
        TEST(test_passwords),
        TEST(test_a_mailbox_that_could_not_be_made),
        TEST(test_an_administrator_who_goes_away),
        TEST(test_removing),
        TEST(test_import),
        TEST(test_rules),
        TEST(test_a_webhook_s_secret_is_shown_once),
        TEST(test_records_to_publish),
        TEST(test_a_domain_that_is_right),
        TEST(test_a_domain_that_is_wrong),
        TEST(test_the_queue_s_commands),
        TEST(test_missing_keys),
        TEST(test_removing_a_large_domain),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
