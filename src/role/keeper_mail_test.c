/* What the keeper is for mail beyond the host: keys to sign with, domains' records, limits
 * (keeper_fixture.h). */
#include "role/keeper_fixture.h"

#include "account/database.h"
#include "base/clock.h"
#include "dns/answer.h"
#include "mailauth/sign.h"
#include "mailauth/srs.h"
#include "secret/courier.h"
#include "secret/secret.h"
#include "sqlite/db.h"

#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

/* As if the domains were from before there were keys. */
static void remove_keys(struct fixture *f)
{
    CLEANUP(secret_free) struct secret *host_key = secret_copy(str_from_c(FIXTURE_HOST_KEY));
    CLEANUP(secret_free) struct secret *database_key = account_database_key(host_key);
    struct db *db = NULL;
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/account/account.sqlite", f->folder);
    assert_int_equal(db_open(&f->task, path, DB_OPEN, database_key, &db), ERR_OK);
    assert_int_equal(db_execute(db, &f->task, "DELETE FROM dkim_keys"), ERR_OK);
    db_close(&db);
}

/* What the courier is given is what it derives its keys from, and the keeper shares one of them. */
static void test_bounces_to_rewritten_senders_go_back(void **state)
{
    struct fixture *f = *state;
    CLEANUP(secret_free)
    struct secret *given = secret_copy(
        fixture_receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY)->host_key.key);
    CLEANUP(secret_free) struct secret *srs = courier_srs_key(given);
    struct wire_recipient asked = {.sender = STR("")};
    const struct wire_recipient_reply *reply;
    struct buf rewritten;

    buf_init(&rewritten, SIZE_MAX);
    assert_int_equal(srs_rewrite(&f->task, secret_str(srs), STR("Peer@elsewhere.test"),
                                 STR("demo.test"), clock_now_ms(), &rewritten),
                     ERR_OK);
    asked.address = buf_str(&rewritten);
    role_trial_send(f->peers[SMTP], WIRE_RECIPIENT, 5, &asked, NULL, 0);
    reply =
        &fixture_receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_RECIPIENT_REPLY)->recipient_reply;
    assert_int_equal(reply->status, WIRE_OK);
    assert_false(reply->has_mailbox);
    assert_true(
        str_equal(reply->routes, STR("[{\"kind\":\"return\",\"to\":\"Peer@elsewhere.test\"}]")));
    rewritten.ptr[5] = rewritten.ptr[5] == 'A' ? 'B' : 'A'; /* in the hash */
    asked.address = buf_str(&rewritten);
    role_trial_send(f->peers[SMTP], WIRE_RECIPIENT, 5, &asked, NULL, 0);
    reply =
        &fixture_receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_RECIPIENT_REPLY)->recipient_reply;
    assert_int_equal(reply->status, WIRE_REFUSED);
    buf_free(&rewritten);
}

static const struct wire_signing_keys_reply *signing_keys(struct fixture *f, const char *domain)
{
    struct wire_signing_keys body = {.domain = str_from_c(domain)};

    role_trial_send(f->peers[COURIER], WIRE_SIGNING_KEYS, 8, &body, NULL, 0);
    return &fixture_receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_SIGNING_KEYS_REPLY)
                ->signing_keys_reply;
}

/* The status of the next answer to the administrator. */
static bool is_next_found(struct fixture *f)
{
    const union wire_body *body = fixture_receive(f, f->admin, WIRE_ROLE_CLI, WIRE_ADMIN_REPLY);

    return str_find(body->admin_reply.json, STR("\"not-found\"")) < 0;
}

/*
 * Five domains want keys when somebody asks for the last of them: he hears that it is not there
 * yet, so he did not wait for them. All six questions are there before the keeper reads the first,
 * and one key is made after the other: so chance has no say in it.
 */
static void test_others_are_answered_while_keys_are_made(void **state)
{
    static const char *const domains[] = {"a1.test", "a2.test", "a3.test", "a4.test", "a5.test"};
    struct buf keys[ARRAY_LEN(domains)];
    struct fixture *f = *state;
    size_t missing = 0;
    char text[128];

    (void)fixture_receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
    assert_int_equal(kill(f->process.pid, SIGSTOP), 0);
    for (size_t i = 0; i < ARRAY_LEN(domains); i++) {
        (void)snprintf(text, sizeof(text), "{'command':'domain add','arguments':{'domain':'%s'}}",
                       domains[i]);
        fixture_ask(f, text);
    }
    fixture_ask(f, "{'command':'domain show','arguments':{'domain':'a5.test'}}");
    assert_int_equal(kill(f->process.pid, SIGCONT), 0);
    for (size_t i = 0; i < ARRAY_LEN(domains) + 1; i++)
        missing += !is_next_found(f);
    assert_int_equal(missing, 1);
    /* Each has keys of its own: a child does not go on with its parent's random numbers. */
    for (size_t i = 0; i < ARRAY_LEN(domains); i++) {
        buf_init(&keys[i], SIZE_MAX);
        buf_put(&keys[i], signing_keys(f, domains[i])->rsa_key);
        assert_true(keys[i].len > 1000);
        for (size_t k = 0; k < i; k++)
            assert_false(str_equal(buf_str(&keys[i]), buf_str(&keys[k])));
    }
    for (size_t i = 0; i < ARRAY_LEN(domains); i++)
        buf_free(&keys[i]);
    /* Who has gone meanwhile gets his domain all the same. */
    fixture_ask(f, "{'command':'domain add','arguments':{'domain':'gone.test'}}");
    (void)close(f->admin);
    fixture_connect_admin(f);
    for (int i = 0; i < 100 && signing_keys(f, "gone.test")->status != WIRE_OK; i++)
        (void)usleep(100 * 1000);
    assert_int_equal(signing_keys(f, "gone.test")->status, WIRE_OK);
    /* A stop does not wait for a key. */
    fixture_ask(f, "{'command':'domain add','arguments':{'domain':'late.test'}}");
}

static void test_keys_to_sign_with(void **state)
{
    struct fixture *f = *state;
    const struct wire_signing_keys_reply *keys;
    struct buf record;
    json_t *json;

    (void)fixture_receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
    assert_int_equal(signing_keys(f, "elsewhere.test")->status, WIRE_UNKNOWN);
    keys = signing_keys(f, "demo.test");
    assert_int_equal(keys->status, WIRE_OK);
    assert_true(keys->rsa_selector.len > 0 && keys->ed25519_selector.len > 0);
    assert_true(keys->rsa_key.len > 1000 && keys->ed25519_key.len > 32);
    /* They are the very ones whose records are to be published. */
    buf_init(&record, SIZE_MAX);
    assert_int_equal(mailauth_key_record(&f->task, keys->ed25519_key, &record), ERR_OK);
    fixture_ask(f, "{'command':'domain dns','arguments':{'domain':'demo.test'}}");
    json = fixture_answer(f, "ok");
    assert_true(str_find(str_from_c(json_string_value(json_object_get(json, "message"))),
                         buf_str(&record)) > 0);
    json_decref(json);
    buf_free(&record);
}

/* A domain from before there were keys gets them soon after the start. */
static void test_keys_for_an_old_domain(void **state)
{
    struct fixture *f = *state;

    (void)fixture_receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
    fixture_stop(f, true);
    remove_keys(f);
    fixture_start(f);
    (void)fixture_receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
    assert_int_equal(signing_keys(f, "demo.test")->rsa_key.len, 0);
    for (int i = 0; i < 100 && signing_keys(f, "demo.test")->rsa_key.len == 0; i++)
        (void)usleep(100 * 1000);
    assert_true(signing_keys(f, "demo.test")->rsa_key.len > 1000);
    assert_true(signing_keys(f, "demo.test")->ed25519_key.len > 32);
}

static void test_commands_for_the_courier(void **state)
{
    struct fixture *f = *state;
    struct wire_admin_reply reply = {.json = STR("{\"status\":\"ok\",\"count\":2}"),
                                     .is_last = true};
    const struct wire_admin *asked;
    json_t *json;

    (void)fixture_receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
    fixture_ask(f, "{'command':'queue hold','arguments':{'id':'all'}}");
    asked = &fixture_receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_ADMIN)->admin;
    assert_true(
        str_equal(asked->json, STR("{\"command\":\"queue hold\",\"arguments\":{\"id\":\"all\"}}")));
    role_trial_send(f->peers[COURIER], WIRE_ADMIN_REPLY, f->message.tag, &reply, NULL, 0);
    json = fixture_answer(f, "ok");
    assert_int_equal(json_integer_value(json_object_get(json, "count")), 2);
    json_decref(json);
    /* It dies while it is asked; and is not there. */
    fixture_ask(f, "{'command':'queue list'}");
    (void)fixture_receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_ADMIN);
    (void)close(f->peers[COURIER]);
    json_decref(fixture_answer(f, "busy"));
    fixture_ask(f, "{'command':'queue list'}");
    json_decref(fixture_answer(f, "busy"));
    fixture_connect_peer(f, COURIER);
    (void)fixture_receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
}

static void test_a_domain_s_records(void **state)
{
    struct fixture *f = *state;
    struct dns_record mx = {.name = STR("mx.test"), .preference = 10};
    const struct dns_answer there = {.records = &mx, .count = 1};
    struct wire_admin_reply policy = {
        .json = STR("{\"status\":\"ok\",\"mode\":\"enforce\",\"unnamed\":\"\"}"), .is_last = true};
    struct buf records;
    json_t *json, *item;
    size_t asked = 0;

    buf_init(&records, SIZE_MAX);
    dns_answer_encode(&there, &records);
    fixture_ask(f, "{'command':'domain check','arguments':{'domain':'demo.test'}}");
    do {
        const struct wire_dns_query *query =
            &fixture_receive(f, f->peers[RESOLVER], WIRE_ROLE_RESOLVER, WIRE_DNS_QUERY)->dns_query;
        bool is_mx = query->type == DNS_TYPE_MX && str_equal(query->name, STR("demo.test"));
        struct wire_dns_answer body = {.status = is_mx ? DNS_OK : DNS_NO_NAME,
                                       .records = is_mx ? buf_str(&records) : STR("")};

        role_trial_send(f->peers[RESOLVER], WIRE_DNS_ANSWER, f->message.tag, &body, NULL, 0);
    } while (++asked < 13);
    (void)fixture_receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
    assert_true(
        str_equal(fixture_receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_ADMIN)->admin.json,
                  STR("{\"command\":\"sts policy\",\"arguments\":"
                      "{\"domain\":\"demo.test\",\"hosts\":[\"mx.test\"]}}")));
    role_trial_send(f->peers[COURIER], WIRE_ADMIN_REPLY, f->message.tag, &policy, NULL, 0);
    json = fixture_answer(f, "ok");
    assert_int_equal(json_array_size(json_object_get(json, "items")), 14);
    item = json_array_get(json_object_get(json, "items"), 2);
    assert_string_equal(json_string_value(json_object_get(item, "type")), "MX");
    assert_string_equal(json_string_value(json_object_get(item, "state")), "right");
    item = json_array_get(json_object_get(json, "items"), 3);
    assert_string_equal(json_string_value(json_object_get(item, "state")), "missing");
    json_decref(json);
    buf_free(&records);
}

static void test_daily_limits_outlive_the_keeper(void **state)
{
    struct fixture *f = *state;
    struct wire_recipient body = {
        .address = STR("x@elsewhere.test"), .login = f->mailbox, .sender = STR("you@demo.test")};
    static const enum wire_status expected[] = {WIRE_NOT_LOCAL, WIRE_NOT_LOCAL, WIRE_DEFERRED};

    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        role_trial_send(f->peers[SMTP], WIRE_RECIPIENT, 5, &body, NULL, 0);
        assert_int_equal(fixture_receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_RECIPIENT_REPLY)
                             ->recipient_reply.status,
                         expected[i]);
    }
    fixture_stop(f, true);
    fixture_start(f);
    role_trial_send(f->peers[SMTP], WIRE_RECIPIENT, 5, &body, NULL, 0);
    assert_int_equal(fixture_receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_RECIPIENT_REPLY)
                         ->recipient_reply.status,
                     WIRE_DEFERRED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)
        TEST(test_bounces_to_rewritten_senders_go_back),
        TEST(test_others_are_answered_while_keys_are_made),
        TEST(test_keys_to_sign_with),
        TEST(test_keys_for_an_old_domain),
        TEST(test_commands_for_the_courier),
        TEST(test_a_domain_s_records),
        TEST(test_daily_limits_outlive_the_keeper),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
