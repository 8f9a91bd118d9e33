/* The keeper's keys, sessions, limits and jobs (keeper_fixture.h). */
#include "role/keeper_fixture.h"

#include "secret/pass.h"
#include "secret/secret.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static enum wire_status log_in(struct fixture *f, const struct id *session,
                               enum wire_service service, const char *username,
                               const char *password, const char *address)
{
    struct wire_login body = {
        .session = *session,
        .service = service,
        .username = str_from_c(username),
        .password = str_from_c(password),
        .address = str_from_c(address),
    };
    bool is_submission = service == WIRE_SERVICE_SUBMISSION;
    const struct wire_login_reply *reply;

    role_trial_send(f->peers[is_submission ? SMTP : GATE], WIRE_LOGIN, 4, &body, NULL, 0);
    reply = &fixture_receive(f, f->peers[is_submission ? SMTP : GATE],
                             is_submission ? WIRE_ROLE_SMTP : WIRE_ROLE_GATE, WIRE_LOGIN_REPLY)
                 ->login_reply;
    assert_int_equal(f->message.tag, 4);
    if (reply->status == WIRE_OK) {
        assert_true(id_equal(&reply->mailbox, &f->mailbox));
        f->slot = reply->slot;
        assert_int_equal(reply->pass.len, is_submission ? 0 : PASS_BYTES);
        if (!is_submission)
            memcpy(f->pass, reply->pass.ptr, PASS_BYTES);
    } else if (reply->status != WIRE_UNAVAILABLE) {
        assert_true(reply->delay_ms > 200 && reply->delay_ms <= 250);
        assert_int_equal(reply->pass.len, 0);
    }
    return (enum wire_status)reply->status;
}

/* The mailbox process, which has just heard its key, would let this session in. */
static void expect_pass(struct fixture *f, const struct id *session)
{
    CLEANUP(secret_free) struct secret *mailbox_key = secret_copy(f->message.body.mailbox_key.key);
    CLEANUP(secret_free) struct secret *key = pass_key(mailbox_key);
    struct str pass = str_make(f->pass, PASS_BYTES);

    uint64_t since = f->message.body.mailbox_key.passes_since;

    assert_true(pass_is_valid(key, session, WIRE_SERVICE_IMAP, since, pass));
    assert_false(pass_is_valid(key, session, WIRE_SERVICE_POP3, since, pass));
}

static void test_a_key_lives_as_long_as_its_sessions(void **state)
{
    struct fixture *f = *state;
    struct id one = id_random(), two = id_random(), three = id_random();
    struct wire_session_close close_two = {.session = two, .mailbox = f->mailbox};

    (void)close(fixture_start_mailbox(f, &f->mailbox, false, WIRE_DENIED));
    (void)close(fixture_start_mailbox(f, &f->mailbox, true, WIRE_DENIED)); /* was made already */
    assert_int_equal(
        log_in(f, &three, WIRE_SERVICE_SUBMISSION, "you@demo.test", f->password, "192.0.2.1"),
        WIRE_OK);
    (void)close(
        fixture_start_mailbox(f, &f->mailbox, false, WIRE_DENIED)); /* sending needs no key */
    assert_int_equal(
        log_in(f, &one, WIRE_SERVICE_IMAP, "YOU+x@demo.test", f->password, "192.0.2.1"), WIRE_OK);
    assert_int_equal(log_in(f, &two, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "192.0.2.1"),
                     WIRE_OK);
    (void)close(fixture_start_mailbox(f, &f->mailbox, false, WIRE_OK));
    expect_pass(f, &two);
    role_trial_send(f->peers[GATE], WIRE_SESSION_CLOSE, 0, &close_two, NULL, 0);
    (void)log_in(f, &three, WIRE_SERVICE_IMAP, "you@demo.test", "x", "192.0.2.1"); /* in order */
    (void)close(fixture_start_mailbox(f, &f->mailbox, false, WIRE_OK));
    /* The gate dies, and its sessions with it. */
    (void)close(f->peers[GATE]);
    fixture_connect_peer(f, GATE);
    (void)log_in(f, &three, WIRE_SERVICE_IMAP, "you@demo.test", "x", "192.0.2.1");
    (void)close(fixture_start_mailbox(f, &f->mailbox, false, WIRE_DENIED));
}

static void test_failures_are_throttled(void **state)
{
    struct fixture *f = *state;
    struct id session = id_random();

    for (int i = 0; i < 5; i++)
        assert_int_equal(log_in(f, &session, WIRE_SERVICE_IMAP,
                                i == 1 ? "no@demo.test" : "you@demo.test", "x", "192.0.2.1"),
                         WIRE_DENIED);
    assert_int_equal(
        log_in(f, &session, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "192.0.2.1"),
        WIRE_THROTTLED);
    assert_int_equal(
        log_in(f, &session, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "192.0.2.2"), WIRE_OK);
}

static enum wire_status recipient(struct fixture *f, const char *address, uint64_t size_bytes)
{
    struct wire_recipient body = {.address = str_from_c(address), .size_bytes = size_bytes};

    role_trial_send(f->peers[SMTP], WIRE_RECIPIENT, 5, &body, NULL, 0);
    return (enum wire_status)fixture_receive(f, f->peers[SMTP], WIRE_ROLE_SMTP,
                                             WIRE_RECIPIENT_REPLY)
        ->recipient_reply.status;
}

/* Not a wrong password: nothing is counted against it, and one that ends makes room for another. */
static void test_a_mailbox_has_so_many_sessions(void **state)
{
    struct fixture *f = *state;
    struct wire_session_close close_one = {.mailbox = f->mailbox};
    struct id session;

    for (int i = 0; i < 10; i++) {
        session = id_random();
        assert_int_equal(
            log_in(f, &session, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "::1"), WIRE_OK);
    }
    close_one.session = session;
    for (int i = 0; i < 6; i++) {
        session = id_random();
        assert_int_equal(log_in(f, &session, i % 2 == 0 ? WIRE_SERVICE_IMAP : WIRE_SERVICE_POP3,
                                "you@demo.test", f->password, "::1"),
                         WIRE_UNAVAILABLE);
    }
    assert_int_equal(
        log_in(f, &session, WIRE_SERVICE_SUBMISSION, "you@demo.test", f->password, "::1"), WIRE_OK);
    role_trial_send(f->peers[GATE], WIRE_SESSION_CLOSE, 0, &close_one, NULL, 0);
    assert_int_equal(log_in(f, &session, WIRE_SERVICE_POP3, "you@demo.test", f->password, "::1"),
                     WIRE_OK);
}

static void test_quota_reaches_smtp_and_mailbox(void **state)
{
    struct fixture *f = *state;
    struct id session = id_random();
    struct wire_mailbox_usage drop = {.mailbox = f->mailbox, .is_drop = true, .bytes = 100};
    int channel;

    assert_int_equal(recipient(f, "you@demo.test", 1000), WIRE_OK);
    assert_int_equal(recipient(f, "no@demo.test", 1000), WIRE_UNKNOWN);
    assert_int_equal(recipient(f, "you@else.test", 1000), WIRE_NOT_LOCAL);
    assert_int_equal(
        log_in(f, &session, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "192.0.2.1"), WIRE_OK);
    channel = fixture_start_mailbox(f, &f->mailbox, false, WIRE_OK);
    assert_true(f->message.body.mailbox_key.limit_bytes == UINT64_MAX);
    fixture_ask_ok(f, "{'command':'user quota','arguments':{'name':'ann','size':'1K'}}");
    assert_int_equal(fixture_receive(f, channel, WIRE_ROLE_MAILBOX, WIRE_MAILBOX_LIMIT)
                         ->mailbox_limit.limit_bytes,
                     1024);
    fixture_tell_usage(channel, &f->mailbox, 900, 2);
    role_trial_send(f->peers[SEALER], WIRE_MAILBOX_USAGE, 0, &drop, NULL, 0);
    fixture_ask_ok(f, "{'command':'alias show','arguments':{'address':'you@demo.test'}}");
    assert_int_equal(recipient(f, "you@demo.test", 25), WIRE_OVER_QUOTA);
    assert_int_equal(recipient(f, "you@demo.test", 24), WIRE_OK);
    fixture_ask_ok(
        f, "{'command':'alias quota','arguments':{'address':'you@demo.test','size':'950'}}");
    assert_int_equal(fixture_receive(f, channel, WIRE_ROLE_MAILBOX, WIRE_MAILBOX_LIMIT)
                         ->mailbox_limit.limit_bytes,
                     950);
    (void)close(channel);
}

/* A mailbox process outlives the keeper: the next one hears of its usage and tells it its limit,
 * but has no key to give. */
static void test_a_running_mailbox_meets_a_new_keeper(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_started body = {.mailbox = f->mailbox, .is_running = true};
    int channel;

    fixture_ask_ok(f, "{'command':'user quota','arguments':{'name':'ann','size':'1K'}}");
    fixture_stop(f, false);
    fixture_start(f);
    channel = fixture_connect_mailbox(f, &body);
    assert_int_equal(fixture_receive(f, channel, WIRE_ROLE_MAILBOX, WIRE_MAILBOX_LIMIT)
                         ->mailbox_limit.limit_bytes,
                     1024);
    fixture_tell_usage(channel, &f->mailbox, 900, 2);
    fixture_ask_ok(f, "{'command':'user quota','arguments':{'name':'ann','size':'2K'}}");
    assert_int_equal(fixture_receive(f, channel, WIRE_ROLE_MAILBOX, WIRE_MAILBOX_LIMIT)
                         ->mailbox_limit.limit_bytes,
                     2048);
    assert_int_equal(recipient(f, "you@demo.test", 1149), WIRE_OVER_QUOTA);
    assert_int_equal(recipient(f, "you@demo.test", 1148), WIRE_OK);
    (void)close(channel);
    (void)close(fixture_start_mailbox(f, &f->mailbox, false, WIRE_DENIED));
}

static void add_app_password(struct fixture *f, char out[static 40])
{
    char text[256];
    json_t *json;

    (void)snprintf(text, sizeof(text),
                   "{'command':'alias app-password add','arguments':{'address':'you@demo.test',"
                   "'name':'phone','password':'%s'}}",
                   f->password);
    fixture_ask(f, text);
    json = fixture_answer(f, "ok");
    (void)snprintf(out, 40, "%s", json_string_value(json_object_get(json, "password")));
    json_decref(json);
}

static void test_senders(void **state)
{
    struct fixture *f = *state;
    struct wire_sender body = {.mailbox = f->mailbox, .address = STR("You+x@demo.test")};
    struct id session = id_random();
    char app[40];

    add_app_password(f, app);
    assert_int_equal(
        log_in(f, &session, WIRE_SERVICE_SUBMISSION, "you@demo.test", app, "192.0.2.1"), WIRE_OK);
    body.slot = f->slot;
    role_trial_send(f->peers[SMTP], WIRE_SENDER, 6, &body, NULL, 0);
    assert_int_equal(
        fixture_receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_SENDER_REPLY)->sender_reply.status,
        WIRE_OK);
    body.address = STR("me@demo.test");
    role_trial_send(f->peers[SMTP], WIRE_SENDER, 6, &body, NULL, 0);
    assert_int_equal(
        fixture_receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_SENDER_REPLY)->sender_reply.status,
        WIRE_DENIED);
    /* The password goes: so does whoever logged in with it. */
    fixture_ask_ok(f,
                   "{'command':'alias app-password remove','arguments':{'address':'you@demo.test',"
                   "'name':'phone'}}");
    body.address = STR("you@demo.test");
    role_trial_send(f->peers[SMTP], WIRE_SENDER, 6, &body, NULL, 0);
    assert_int_equal(
        fixture_receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_SENDER_REPLY)->sender_reply.status,
        WIRE_DISABLED);
}

/* Killed between a mailbox's row and its file: the next keeper has it removed. */
static void test_a_crash_while_a_mailbox_is_made(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_remove_reply removed = {.status = WIRE_OK};
    struct id session = id_random(), id;

    fixture_ask(f, "{'command':'alias add','arguments':{'address':'new@demo.test'}}");
    id = fixture_receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_MAILBOX_CREATE)
             ->mailbox_create.mailbox;
    fixture_stop(f, false);
    fixture_start(f);
    removed.mailbox = fixture_receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_MAILBOX_REMOVE)
                          ->mailbox_remove.mailbox;
    assert_true(id_equal(&removed.mailbox, &id));
    role_trial_send(f->peers[STORE], WIRE_MAILBOX_REMOVE_REPLY, 0, &removed, NULL, 0);
    assert_int_equal(recipient(f, "new@demo.test", 0), WIRE_UNKNOWN);
    assert_int_equal(
        log_in(f, &session, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "192.0.2.1"), WIRE_OK);
}

/* The mailbox process, which has just heard its key, would do this job. */
static struct id expect_job(struct fixture *f, const char *json)
{
    const struct wire_job *job =
        &fixture_receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_JOB)->job;
    struct id session = job->session;
    unsigned char pass[PASS_BYTES];
    int channel;

    assert_true(id_equal(&job->mailbox, &f->mailbox));
    assert_true(str_equal(job->kind, STR("alias check")));
    assert_true(str_equal(job->json, str_from_c(json)));
    assert_int_equal(job->pass.len, PASS_BYTES);
    memcpy(pass, job->pass.ptr, PASS_BYTES);
    channel = fixture_start_mailbox(f, &f->mailbox, false, WIRE_OK);
    {
        CLEANUP(secret_free)
        struct secret *mailbox_key = secret_copy(f->message.body.mailbox_key.key);
        CLEANUP(secret_free) struct secret *key = pass_key(mailbox_key);

        assert_true(pass_is_valid(key, &session, WIRE_SERVICE_JOB, 0, str_make(pass, PASS_BYTES)));
        assert_false(
            pass_is_valid(key, &session, WIRE_SERVICE_IMAP, 0, str_make(pass, PASS_BYTES)));
    }
    (void)close(channel);
    return session;
}

/* A job is a session: its mailbox has a key for as long. */
static void test_jobs(void **state)
{
    static const char arguments[] = "{\"address\":\"you@demo.test\"}";
    struct fixture *f = *state;
    struct wire_job_reply reply = {.mailbox = f->mailbox, .json = STR("{\"done\":1}")};
    char command[256];

    (void)snprintf(command, sizeof(command),
                   "{'command':'alias check','arguments':{'address':'you@demo.test',"
                   "'password':'%s'}}",
                   f->password);
    fixture_ask(f,
                "{'command':'alias check','arguments':{'address':'you@demo.test','password':'x'}}");
    json_decref(fixture_answer(f, "denied"));
    fixture_ask(f, command);
    reply.session = expect_job(f, arguments);
    role_trial_send(f->peers[STORE], WIRE_JOB_REPLY, 0, &reply, NULL, 0);
    assert_false(
        fixture_receive(f, f->admin, WIRE_ROLE_CLI, WIRE_ADMIN_REPLY)->admin_reply.is_last);
    reply.is_last = true;
    role_trial_send(f->peers[STORE], WIRE_JOB_REPLY, 0, &reply, NULL, 0);
    json_decref(fixture_answer(f, "ok"));
    (void)close(fixture_start_mailbox(f, &f->mailbox, false, WIRE_DENIED));
    /* Who asked goes: it is cancelled, and ends with its last reply. */
    fixture_ask(f, command);
    reply.session = expect_job(f, arguments);
    (void)close(f->admin);
    assert_true(id_equal(
        &fixture_receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_JOB_CANCEL)->job_cancel.session,
        &reply.session));
    (void)close(fixture_start_mailbox(f, &f->mailbox, false, WIRE_OK));
    role_trial_send(f->peers[STORE], WIRE_JOB_REPLY, 0, &reply, NULL, 0);
    fixture_connect_admin(f);
    fixture_ask_ok(f, "{'command':'status'}"); /* in order */
    (void)close(fixture_start_mailbox(f, &f->mailbox, false, WIRE_DENIED));
    /* The store goes. */
    fixture_ask(f, command);
    (void)expect_job(f, arguments);
    (void)close(f->peers[STORE]);
    fixture_connect_peer(f, STORE);
    json_decref(fixture_answer(f, "busy"));
    (void)close(fixture_start_mailbox(f, &f->mailbox, false, WIRE_DENIED));
}

static json_t *ask_with(struct fixture *f, const char *command, const char *argument,
                        const char *password)
{
    char text[256];

    (void)snprintf(text, sizeof(text),
                   "{'command':'%s','arguments':{'address':'you@demo.test','%s':'%s'}}", command,
                   argument, password);
    fixture_ask(f, text);
    return fixture_answer(f, "ok");
}

/* The store's end of a new password: sessions end, and the file is re-encrypted. */
static struct wire_job_reply expect_rekey(struct fixture *f)
{
    struct wire_job_reply reply = {.mailbox = f->mailbox, .is_last = true};
    const struct wire_job *job =
        &fixture_receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_JOB)->job;

    assert_true(str_equal(job->kind, STR("re-encrypt")));
    reply.session = job->session;
    return reply;
}

/* Until the keeper has done what came before. */
static void let_settle(struct fixture *f)
{
    fixture_ask(f, "{'command':'status'}");
    json_decref(fixture_answer(f, "ok"));
}

/* `alias password`: the new one is f->password, the one before goes to *out_old. */
static void ask_for_new_password(struct fixture *f, char out_old[static 40])
{
    json_t *json;

    (void)snprintf(out_old, 40, "%s", f->password);
    json = ask_with(f, "alias password", "old-password", out_old);
    (void)snprintf(f->password, sizeof(f->password), "%s",
                   json_string_value(json_object_get(json, "password")));
    json_decref(json);
}

/* The key and the next one. Whoever was let in before all sessions were ended, with the pass
 * `before`, and comes to the process late, is none of `after`, whose pass came last. */
static void check_both_keys(struct fixture *f, const struct wire_mailbox_key *key,
                            const struct id *session, const unsigned char before[static PASS_BYTES],
                            const struct id *after, unsigned char out_next[static PASS_CHECK_BYTES])
{
    CLEANUP(secret_free) struct secret *first = NULL, *next = NULL, *passes = NULL;

    assert_int_equal(key->key.len, 48);
    assert_int_equal(key->next_key.len, 48);
    first = secret_copy(key->key);
    next = secret_copy(key->next_key);
    passes = pass_key(first);
    pass_key_check(next, out_next);
    assert_true(pass_is_valid(passes, session, WIRE_SERVICE_IMAP, 0, str_make(before, PASS_BYTES)));
    assert_false(pass_is_valid(passes, session, WIRE_SERVICE_IMAP, key->passes_since,
                               str_make(before, PASS_BYTES)));
    assert_true(pass_is_valid(passes, after, WIRE_SERVICE_IMAP, key->passes_since,
                              str_make(f->pass, sizeof(f->pass))));
}

/* One key again, the one that the check is of. */
static void check_one_key(struct fixture *f, const unsigned char check[static PASS_CHECK_BYTES])
{
    CLEANUP(secret_free) struct secret *now = NULL;
    unsigned char again[PASS_CHECK_BYTES];

    (void)close(fixture_start_mailbox(f, &f->mailbox, false, WIRE_OK));
    assert_int_equal(f->message.body.mailbox_key.next_key.len, 0);
    now = secret_copy(f->message.body.mailbox_key.key);
    pass_key_check(now, again);
    assert_memory_equal(again, check, sizeof(again));
}

/* Whoever logged in before that is one of its sessions still, by the key that comes beside it;
 * whoever did before all sessions were ended is not. */
static void check_former_passes(struct fixture *f, const struct id *session,
                                const unsigned char pass[static PASS_BYTES], const struct id *ended,
                                const unsigned char ended_pass[static PASS_BYTES])
{
    const struct wire_mailbox_key *key = &f->message.body.mailbox_key;
    CLEANUP(secret_free) struct secret *passes = NULL;

    assert_true(key->former_pass_key.len > 0);
    passes = secret_copy(key->former_pass_key);
    assert_true(pass_is_valid(passes, session, WIRE_SERVICE_IMAP, key->passes_since,
                              str_make(pass, PASS_BYTES)));
    assert_false(pass_is_valid(passes, ended, WIRE_SERVICE_IMAP, key->passes_since,
                               str_make(ended_pass, PASS_BYTES)));
}

static enum wire_status log_in_to_imap(struct fixture *f, const struct id *session,
                                       const char *password)
{
    return log_in(f, session, WIRE_SERVICE_IMAP, "you@demo.test", password, "192.0.2.1");
}

/* Both keys go to the mailbox's process until it says which of them the file is under. */
static void test_a_new_password(void **state)
{
    struct fixture *f = *state;
    struct id session = id_random(), other = id_random(), third = id_random();
    struct id app_session = id_random();
    struct wire_mailbox_started started = {.mailbox = f->mailbox};
    struct wire_mailbox_rekeyed rekeyed = {.mailbox = f->mailbox};
    struct wire_job_reply reply;
    unsigned char check[PASS_CHECK_BYTES], before[PASS_BYTES], after[PASS_BYTES];
    char app[40], old[40];
    int channel;

    let_settle(f);
    add_app_password(f, app);
    ask_for_new_password(f, old);
    /* Not seen yet: the old one opens, and nothing is re-encrypted. */
    assert_int_equal(log_in_to_imap(f, &session, old), WIRE_OK);
    memcpy(before, f->pass, sizeof(before));
    assert_int_equal(log_in_to_imap(f, &app_session, app), WIRE_OK);
    /* Its first use is the confirmation. */
    assert_int_equal(log_in_to_imap(f, &other, f->password), WIRE_OK);
    memcpy(after, f->pass, sizeof(after));
    (void)fixture_receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_MAILBOX_EXPEL);
    reply = expect_rekey(f);
    assert_int_equal(log_in_to_imap(f, &third, old), WIRE_DENIED);
    /* The process gets both keys, also for an app password's session. */
    channel = fixture_connect_mailbox(f, &started);
    check_both_keys(f,
                    &fixture_receive(f, channel, WIRE_ROLE_MAILBOX, WIRE_MAILBOX_KEY)->mailbox_key,
                    &session, before, &other, check);
    /* Another key than the one that comes changes nothing. */
    check[0] ^= 1;
    rekeyed.check = str_make(check, sizeof(check));
    role_trial_send(channel, WIRE_MAILBOX_REKEYED, 0, &rekeyed, NULL, 0);
    let_settle(f);
    check[0] ^= 1;
    role_trial_send(channel, WIRE_MAILBOX_REKEYED, 0, &rekeyed, NULL, 0);
    reply.status = WIRE_OK;
    role_trial_send(f->peers[STORE], WIRE_JOB_REPLY, 0, &reply, NULL, 0);
    let_settle(f);
    (void)close(channel);
    /* One key again, the next one, for whoever logs in. */
    assert_int_equal(log_in_to_imap(f, &third, app), WIRE_OK);
    check_one_key(f, check);
    check_former_passes(f, &other, after, &session, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)
        TEST(test_a_key_lives_as_long_as_its_sessions),
        TEST(test_failures_are_throttled),
        TEST(test_a_mailbox_has_so_many_sessions),
        TEST(test_quota_reaches_smtp_and_mailbox),
        TEST(test_a_running_mailbox_meets_a_new_keeper),
        TEST(test_senders),
        TEST(test_a_crash_while_a_mailbox_is_made),
        TEST(test_jobs),
        TEST(test_a_new_password),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
