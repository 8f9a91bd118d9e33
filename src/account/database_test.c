/* The account database, resolution, quotas, logins and sessions, on a real encrypted file. */
#include "account/database.h"

#include "account/login.h"
#include "account/router.h"
#include "account/sessions.h"
#include "account/slot.h"
#include "base/scratch.h"
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
    char folder[64], path[96];
    struct secret *host_key, *key, *mailbox_key, *password;
    struct account_database *database;
    struct account_router *router;
    struct task task;
    int64_t user, home, other;        /* rows: a user and two domains */
    int64_t one, two;                 /* mailboxes */
    struct id one_id, two_id;
};

#define OK(call) assert_int_equal((call), ERR_OK)

static struct str c(const char *text)
{
    return str_from_c(text);
}

/*
 * one@home, second@home and one@other lead to the first mailbox; two@home (disabled:
 * off@home) and the catch-all of `other` to the second.
 */
static void fill(struct fixture *f)
{
    struct account_domain domain;
    struct account_alias alias;

    OK(account_begin(f->database, &f->task));
    OK(account_user_add(f->database, &f->task, c("u"), ACCOUNT_UNLIMITED, &f->user));
    OK(account_domain_add(f->database, &f->task, c("home.test"), f->user, ACCOUNT_UNLIMITED));
    OK(account_domain_add(f->database, &f->task, c("other.test"), f->user, ACCOUNT_UNLIMITED));
    OK(account_domain_find(f->database, &f->task, c("home.test"), &domain));
    f->home = domain.row;
    OK(account_domain_row(f->database, &f->task, c("other.test"), &f->other));
    f->one_id = id_random();
    f->two_id = id_random();
    OK(account_mailbox_add(f->database, &f->task, &f->one_id, f->user, f->home, ACCOUNT_UNLIMITED,
                           &f->one));
    OK(account_mailbox_add(f->database, &f->task, &f->two_id, f->user, f->home, ACCOUNT_UNLIMITED,
                           &f->two));
    OK(account_mailbox_activate(f->database, &f->task, f->one));
    OK(account_mailbox_activate(f->database, &f->task, f->two));
    OK(account_alias_add(f->database, &f->task, f->home, c("one"), f->one));
    OK(account_alias_add(f->database, &f->task, f->home, c("second"), f->one));
    OK(account_alias_add(f->database, &f->task, f->home, c("one+special"), f->two));
    OK(account_alias_add(f->database, &f->task, f->other, c("one"), f->one));
    OK(account_alias_add(f->database, &f->task, f->home, c("two"), f->two));
    OK(account_alias_add(f->database, &f->task, f->home, c("off"), f->two));
    OK(account_alias_add(f->database, &f->task, f->other, c("*"), f->two));
    OK(account_alias_find(f->database, &f->task, f->home, c("off"), &alias));
    OK(account_alias_set_enabled(f->database, &f->task, alias.row, false, 550));
    OK(account_commit(f->database, &f->task));
}

static void add_slot(struct fixture *f, enum account_slot_kind kind, const char *name,
                     uint64_t services, const char *password)
{
    struct account_slot slot;

    OK(account_slot_make(&f->task, &f->one_id, kind, c(name), services, c(password),
                         f->mailbox_key, &slot));
    OK(account_begin(f->database, &f->task));
    OK(account_slot_add(f->database, &f->task, f->one, &slot));
    OK(account_commit(f->database, &f->task));
}

static void open_database(struct fixture *f)
{
    static const struct account_router_settings settings = {.greylist = false};

    OK(account_database_open(&f->task, f->path, f->key, &f->database));
    f->router = account_router_new(f->database, f->host_key, NULL, &settings);
}

static void close_database(struct fixture *f)
{
    account_router_free(&f->router);
    account_database_close(&f->database);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    scratch_folder_in_memory(f->folder, sizeof(f->folder), "account-test");
    (void)snprintf(f->path, sizeof(f->path), "%s/account.sqlite", f->folder);
    task_init(&f->task, NOW_MS);
    f->host_key = secret_new(32);
    f->key = account_database_key(f->host_key);
    f->mailbox_key = secret_new(MAILBOX_KEY_BYTES);
    secret_bytes(f->mailbox_key)[7] = 7;
    open_database(f);
    fill(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[128];

    close_database(f);
    secret_free(&f->host_key);
    secret_free(&f->key);
    secret_free(&f->mailbox_key);
    task_done(&f->task);
    (void)snprintf(command, sizeof(command), "rm -r '%s'", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static struct wire_recipient_reply recipient(struct fixture *f, const char *address, uint64_t size)
{
    struct wire_recipient asked = {.address = c(address), .size_bytes = size};
    struct wire_recipient_reply reply;

    OK(account_router_recipient(f->router, &f->task, &asked, 1, &reply));
    return reply;
}

static void test_recipients(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *address;
        enum wire_status verdict;
        int mailbox; /* 1, 2; 0: none */
        const char *detail;
    } rows[] = {
        {"one@home.test", WIRE_OK, 1, ""},
        {"ONE@Home.Test", WIRE_OK, 1, ""},
        {"second@home.test", WIRE_OK, 1, ""},
        {"one@other.test", WIRE_OK, 1, ""},
        {"two@home.test", WIRE_OK, 2, ""},
        {"one+Tag@home.test", WIRE_OK, 1, "Tag"},
        {"one+special@home.test", WIRE_OK, 2, ""}, /* an alias of its own */
        {"one+a+b@home.test", WIRE_OK, 1, "a+b"},
        {"nobody@home.test", WIRE_UNKNOWN, 0, ""},
        {"nobody+one@home.test", WIRE_UNKNOWN, 0, ""},
        {"*@home.test", WIRE_UNKNOWN, 0, ""},
        {"off@home.test", WIRE_DISABLED, 2, ""},
        {"off+x@home.test", WIRE_DISABLED, 2, "x"},
        {"anything@other.test", WIRE_OK, 2, ""}, /* catch-all */
        {"any+thing@other.test", WIRE_OK, 2, ""},
        {"one+x@other.test", WIRE_OK, 1, "x"}, /* the tag before the catch-all */
        {"one@elsewhere.test", WIRE_NOT_LOCAL, 0, ""},
        {"one@sub.home.test", WIRE_NOT_LOCAL, 0, ""},
        {"one@[127.0.0.1]", WIRE_NOT_LOCAL, 0, ""},
        {"one", WIRE_NOT_LOCAL, 0, ""},
        {"", WIRE_NOT_LOCAL, 0, ""},
        {"one' OR 1=1 --@home.test", WIRE_NOT_LOCAL, 0, ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_recipient_reply reply = recipient(f, rows[i].address, 0);

        assert_int_equal(reply.status, rows[i].verdict);
        assert_int_equal(reply.has_mailbox, rows[i].verdict == WIRE_OK);
        if (reply.has_mailbox)
            assert_true(id_equal(&reply.mailbox, rows[i].mailbox == 1 ? &f->one_id : &f->two_id));
        assert_true(str_equal(reply.detail, c(rows[i].detail)));
        assert_int_equal(reply.routes.len, 0);
    }
}

static void test_senders(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *address;
        bool is_one, is_two;
    } rows[] = {
        {"one@home.test", true, false},      {"second+tag@home.test", true, false},
        {"two@home.test", false, true},      {"off@home.test", false, false},
        {"anyone@other.test", false, true},  {"one@other.test", true, false},
        {"nobody@home.test", false, false},  {"one@elsewhere.test", false, false},
        {"not an address", false, false},    {"", false, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool is_own = true;

        OK(account_router_sender(f->router, &f->task, &f->one_id, c(rows[i].address), &is_own));
        assert_int_equal(is_own, rows[i].is_one);
        OK(account_router_sender(f->router, &f->task, &f->two_id, c(rows[i].address), &is_own));
        assert_int_equal(is_own, rows[i].is_two);
    }
}

static enum wire_status verdict_for(struct fixture *f, const char *address, uint64_t size)
{
    return (enum wire_status)recipient(f, address, size).status;
}

static void set_quotas(struct fixture *f, uint64_t user, uint64_t domain, uint64_t mailbox)
{
    OK(account_begin(f->database, &f->task));
    OK(account_user_set_quota(f->database, &f->task, f->user, user));
    OK(account_domain_set_quota(f->database, &f->task, f->home, domain));
    OK(account_mailbox_set_quota(f->database, &f->task, f->one, mailbox));
    OK(account_commit(f->database, &f->task));
}

static void test_quotas(void **state)
{
    struct fixture *f = *state;
    const struct account_usage four = {.mail_bytes = 4000, .messages = 4},
                               three = {.mail_bytes = 3000, .messages = 1};
    struct account_mailbox mailbox;
    struct account_user user;

    OK(account_mailbox_set_usage(f->database, &f->task, &f->one_id, &four));
    OK(account_mailbox_set_usage(f->database, &f->task, &f->two_id, &three));
    OK(account_mailbox_set_drop(f->database, &f->task, &f->two_id, 1000));
    OK(account_user_find(f->database, &f->task, c("u"), &user));
    assert_int_equal(user.used_bytes, 8000);
    set_quotas(f, 10000, ACCOUNT_UNLIMITED, ACCOUNT_UNLIMITED);
    assert_int_equal(verdict_for(f, "one@home.test", 2000), WIRE_OK);
    assert_int_equal(verdict_for(f, "one@home.test", 2001), WIRE_OVER_QUOTA);
    OK(account_mailbox_at(f->database, &f->task, f->one, &mailbox));
    assert_int_equal(account_mailbox_limit(&mailbox), 6000);
    set_quotas(f, 10000, 9000, ACCOUNT_UNLIMITED); /* the domain's limit is the tighter */
    assert_int_equal(verdict_for(f, "two@home.test", 1001), WIRE_OVER_QUOTA);
    set_quotas(f, 10000, 9000, 4000);
    assert_int_equal(verdict_for(f, "one@home.test", 0), WIRE_OVER_QUOTA);
    assert_int_equal(verdict_for(f, "two@home.test", 1000), WIRE_OK);
    set_quotas(f, 100, ACCOUNT_UNLIMITED, ACCOUNT_UNLIMITED); /* far below what is there */
    OK(account_mailbox_at(f->database, &f->task, f->one, &mailbox));
    assert_int_equal(account_mailbox_limit(&mailbox), 0);
    /* A removed mailbox gives its room back. */
    set_quotas(f, 10000, ACCOUNT_UNLIMITED, ACCOUNT_UNLIMITED);
    OK(account_begin(f->database, &f->task));
    OK(account_mailbox_retire(f->database, &f->task, f->two, 0));
    OK(account_commit(f->database, &f->task));
    OK(account_user_find(f->database, &f->task, c("u"), &user));
    assert_int_equal(user.used_bytes, 4000);
}

static void test_it_is_there_after_closing(void **state)
{
    struct fixture *f = *state;
    const struct account_usage usage = {.mail_bytes = 5, .epoch = 3, .change_counter = 99};
    struct account_mailbox mailbox;
    struct secret *wrong = secret_new(MAILBOX_KEY_BYTES);
    struct account_database *none = NULL;

    OK(account_mailbox_set_usage(f->database, &f->task, &f->one_id, &usage));
    close_database(f);
    assert_int_not_equal(account_database_open(&f->task, f->path, wrong, &none), ERR_OK);
    assert_null(none);
    secret_free(&wrong);
    task_forgive(&f->task);
    open_database(f);
    OK(account_mailbox_find(f->database, &f->task, &f->one_id, &mailbox));
    assert_int_equal(mailbox.epoch, 3);
    assert_int_equal(mailbox.change_counter, 99);
    assert_int_equal(verdict_for(f, "one@home.test", 0), WIRE_OK);
}

static void test_rollback_keeps_bookkeeping(void **state)
{
    struct fixture *f = *state;
    const struct account_usage usage = {.mail_bytes = 77};
    struct account_mailbox mailbox;
    int64_t row;

    OK(account_mailbox_set_usage(f->database, &f->task, &f->one_id, &usage));
    OK(account_begin(f->database, &f->task));
    OK(account_user_add(f->database, &f->task, c("gone"), 5, &row));
    assert_int_equal(account_user_add(f->database, &f->task, c("u"), 5, &row), ERR_EXISTS);
    account_rollback(f->database);
    task_forgive(&f->task);
    OK(account_mailbox_find(f->database, &f->task, &f->one_id, &mailbox));
    assert_int_equal(mailbox.mail_bytes, 77);
    {
        struct account_user user;

        assert_int_equal(account_user_find(f->database, &f->task, c("gone"), &user),
                         ERR_NOT_FOUND);
    }
}

static void test_removing_a_domain(void **state)
{
    struct fixture *f = *state;
    struct account_mailbox mailbox;
    struct id id;
    int64_t row;
    bool is_done;

    OK(account_begin(f->database, &f->task));
    OK(account_domain_remove(f->database, &f->task, f->home, 100, 0, &is_done));
    assert_true(is_done);
    OK(account_commit(f->database, &f->task));
    assert_int_equal(verdict_for(f, "one@home.test", 0), WIRE_NOT_LOCAL);
    /* Both mailboxes have an address in the other domain. */
    assert_int_equal(verdict_for(f, "one@other.test", 0), WIRE_OK);
    OK(account_mailbox_unfinished(f->database, &f->task, 0, &row, &id));
    assert_int_equal(row, 0);
    OK(account_begin(f->database, &f->task));
    for (is_done = false; !is_done;)
        OK(account_user_remove(f->database, &f->task, f->user, 1, 0, &is_done));
    OK(account_commit(f->database, &f->task));
    OK(account_mailbox_unfinished(f->database, &f->task, 0, &row, &id));
    assert_int_equal(row, f->one);
    OK(account_mailbox_unfinished(f->database, &f->task, row, &row, &id));
    assert_int_equal(row, f->two);
    OK(account_mailbox_at(f->database, &f->task, row, &mailbox));
    assert_int_equal(mailbox.state, ACCOUNT_MAILBOX_REMOVING);
    OK(account_begin(f->database, &f->task));
    OK(account_mailbox_forget(f->database, &f->task, row));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(account_mailbox_at(f->database, &f->task, row, &mailbox), ERR_NOT_FOUND);
}

static void test_lists_page_on(void **state)
{
    struct fixture *f = *state;
    struct account_alias *aliases;
    struct str next = STR("");
    size_t count, total = 0;
    char local[16];

    OK(account_begin(f->database, &f->task));
    for (int i = 0; i < 450; i++) {
        (void)snprintf(local, sizeof(local), "n%d", i);
        OK(account_alias_add(f->database, &f->task, f->home, c(local), f->one));
    }
    OK(account_commit(f->database, &f->task));
    do {
        OK(account_alias_list(f->database, &f->task, f->home, next, &aliases, &count, &next));
        total += count;
    } while (next.len > 0);
    assert_int_equal(total, 455);
    total = 0;
    do {
        OK(account_alias_list(f->database, &f->task, 0, next, &aliases, &count, &next));
        total += count;
    } while (next.len > 0);
    assert_int_equal(total, 457);
}

/* --- slots and logins ----------------------------------------------------------------------- */

static void test_a_slot_opens_in_its_place_only(void **state)
{
    struct fixture *f = *state;
    struct secret *key = NULL;
    struct account_slot slot;

    OK(account_slot_make(&f->task, &f->one_id, ACCOUNT_SLOT_APP, c("phone"), 1, c("secret"),
                         f->mailbox_key, &slot));
    assert_int_equal(account_slot_open(&f->one_id, &slot, c("Secret"), &key), ERR_DENIED);
    assert_int_equal(account_slot_open(&f->two_id, &slot, c("secret"), &key), ERR_DENIED);
    slot.kind = ACCOUNT_SLOT_PASSWORD;
    assert_int_equal(account_slot_open(&f->one_id, &slot, c("secret"), &key), ERR_DENIED);
    slot.kind = ACCOUNT_SLOT_APP;
    OK(account_slot_open(&f->one_id, &slot, c("secret"), &key));
    assert_true(secret_equal(secret_str(key), secret_str(f->mailbox_key)));
    secret_free(&key);
    slot.id = id_random();
    assert_int_equal(account_slot_open(&f->one_id, &slot, c("secret"), &key), ERR_DENIED);
    assert_null(key);
}

static const struct account_throttle_limits limits = {
    .per_address = 20, .per_account = 40, .window_ms = 60000};

static struct account_login_result attempt(struct fixture *f, struct account_login *login,
                                           enum wire_service service, const char *username,
                                           struct str password, const char *address)
{
    struct account_attempt what = {
        .service = service,
        .username = c(username),
        .password = password,
        .address = c(address),
    };
    struct account_login_result result;

    OK(account_login_check(login, f->database, &f->task, &what, 5000, &result));
    if (result.verdict == ACCOUNT_LOGIN_OK) {
        assert_true(secret_equal(secret_str(result.key), secret_str(f->mailbox_key)));
        assert_true(id_equal(&result.mailbox, &f->one_id));
    } else {
        assert_null(result.key);
    }
    secret_free(&result.key);
    return result;
}

static void add_all_slots(struct fixture *f)
{
    add_slot(f, ACCOUNT_SLOT_PASSWORD, "", ACCOUNT_ALL_SERVICES, "right");
    add_slot(f, ACCOUNT_SLOT_APP, "mail", BIT(WIRE_SERVICE_IMAP), "imap-only");
    add_slot(f, ACCOUNT_SLOT_APP, "scanner", BIT(WIRE_SERVICE_SUBMISSION), "smtp-only");
    add_slot(f, ACCOUNT_SLOT_RECOVERY, "", 0, "recovery");
}

static void test_logins(void **state)
{
    struct fixture *f = *state;
    struct account_login *login = account_login_new(f->host_key, &limits);
    static const struct {
        const char *username;
        struct str password;
        enum wire_service service;
        bool is_ok;
    } rows[] = {
        {"one@home.test", STR_INIT("right"), WIRE_SERVICE_IMAP, true},
        {"ONE+tag@HOME.test", STR_INIT("right"), WIRE_SERVICE_POP3, true},
        {"second@home.test", STR_INIT("right"), WIRE_SERVICE_SUBMISSION, true},
        {"one@other.test", STR_INIT("right"), WIRE_SERVICE_IMAP, true},
        {"one@home.test", STR_INIT("imap-only"), WIRE_SERVICE_IMAP, true},
        {"one@home.test", STR_INIT("imap-only"), WIRE_SERVICE_SUBMISSION, false},
        {"one@home.test", STR_INIT("smtp-only"), WIRE_SERVICE_SUBMISSION, true},
        {"one@home.test", STR_INIT("smtp-only"), WIRE_SERVICE_IMAP, false},
        {"one@home.test", STR_INIT("recovery"), WIRE_SERVICE_IMAP, false},
        {"one@home.test", STR_INIT("wrong"), WIRE_SERVICE_IMAP, false},
        {"one@home.test", STR_INIT("right "), WIRE_SERVICE_IMAP, false},
        {"one@home.test", STR_INIT("right\0"), WIRE_SERVICE_IMAP, false},
        {"one@home.test", STR_INIT(""), WIRE_SERVICE_IMAP, false},
        {"one@home.test", STR_INIT("raw:0000"), WIRE_SERVICE_IMAP, false},
        {"one@home.test", STR_INIT("x'00'"), WIRE_SERVICE_IMAP, false},
        {"two@home.test", STR_INIT("right"), WIRE_SERVICE_IMAP, false}, /* another's password */
        {"anyone@other.test", STR_INIT("right"), WIRE_SERVICE_IMAP, false}, /* a catch-all */
        {"nobody@home.test", STR_INIT("right"), WIRE_SERVICE_IMAP, false},
        {"one@nowhere.test", STR_INIT("right"), WIRE_SERVICE_IMAP, false},
        {"one", STR_INIT("right"), WIRE_SERVICE_IMAP, false},
        {"", STR_INIT("right"), WIRE_SERVICE_IMAP, false},
    };

    add_all_slots(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char address[32];
        struct account_login_result result;

        (void)snprintf(address, sizeof(address), "192.0.2.%zu", i);
        result = attempt(f, login, rows[i].service, rows[i].username, rows[i].password, address);
        assert_int_equal(result.verdict, rows[i].is_ok ? ACCOUNT_LOGIN_OK : ACCOUNT_LOGIN_DENIED);
        /* The same work for every refusal. */
        if (!rows[i].is_ok)
            assert_int_equal(result.slots_tried, ACCOUNT_SLOTS_MAX);
    }
    account_login_free(&login);
}

static void test_login_throttling(void **state)
{
    struct fixture *f = *state;
    struct account_login *login = account_login_new(f->host_key, &limits);
    struct account_login_result result;
    char address[32];

    add_all_slots(f);
    result = attempt(f, login, WIRE_SERVICE_IMAP, "one@home.test", c("right"), "203.0.113.5");
    assert_int_equal(result.verdict, ACCOUNT_LOGIN_OK);
    for (int i = 0; i < 40; i++) { /* spread over its aliases: it is one account */
        (void)snprintf(address, sizeof(address), "198.51.100.%d", i);
        result = attempt(f, login, WIRE_SERVICE_IMAP,
                         i % 2 == 0 ? "one@home.test" : "second@home.test", c("wrong"), address);
        assert_int_equal(result.verdict, ACCOUNT_LOGIN_DENIED);
    }
    result = attempt(f, login, WIRE_SERVICE_IMAP, "one@home.test", c("right"), "192.0.2.9");
    assert_int_equal(result.verdict, ACCOUNT_LOGIN_THROTTLED);
    assert_int_equal(result.slots_tried, ACCOUNT_SLOTS_MAX);
    result = attempt(f, login, WIRE_SERVICE_IMAP, "one@home.test", c("right"), "203.0.113.5");
    assert_int_equal(result.verdict, ACCOUNT_LOGIN_OK);
    /* What was noted survives the process. */
    account_login_free(&login);
    login = account_login_new(f->host_key, &limits);
    for (int i = 0; i < 20; i++)
        (void)attempt(f, login, WIRE_SERVICE_IMAP, "nobody@home.test", c("x"), "192.0.2.77");
    result = attempt(f, login, WIRE_SERVICE_IMAP, "one@home.test", c("right"), "192.0.2.77");
    assert_int_equal(result.verdict, ACCOUNT_LOGIN_THROTTLED);
    account_login_free(&login);
}

static void test_loopback_is_trusted(void **state)
{
    struct fixture *f = *state;
    struct account_login *login = account_login_new(f->host_key, &limits);
    struct account_login_result result;
    struct account_attempt what = {
        .service = WIRE_SERVICE_IMAP,
        .username = c("one@home.test"),
        .password = c("wrong"),
        .address = c("127.0.0.1"),
        .is_local = true,
    };

    add_all_slots(f);
    for (int i = 0; i < 100; i++) {
        OK(account_login_check(login, f->database, &f->task, &what, 1, &result));
        assert_int_equal(result.verdict, ACCOUNT_LOGIN_DENIED);
    }
    what.password = c("right");
    OK(account_login_check(login, f->database, &f->task, &what, 1, &result));
    assert_int_equal(result.verdict, ACCOUNT_LOGIN_OK);
    secret_free(&result.key);
    account_login_free(&login);
}

static void test_sessions(void **state)
{
    struct fixture *f = *state;
    struct account_sessions *sessions = account_sessions_new();
    struct secret *key = NULL;
    struct id ids[500];
    int gate_a, gate_b;

    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        ids[i] = id_random();
        OK(account_sessions_open(sessions, &f->task, &ids[i], i % 2 == 0 ? &f->one_id : &f->two_id,
                                 i < 250 ? &gate_a : &gate_b, f->mailbox_key));
    }
    assert_int_equal(account_sessions_open(sessions, &f->task, &ids[3], &f->one_id, &gate_a,
                                           f->mailbox_key),
                     ERR_EXISTS);
    task_forgive(&f->task);
    assert_int_equal(account_sessions_mailbox_count(sessions), 2);
    assert_int_equal(account_sessions_of(sessions, &f->one_id), 250);
    assert_int_equal(account_sessions_of(sessions, &ids[0]), 0);
    OK(account_sessions_key(sessions, &f->task, &f->two_id, &key));
    assert_true(secret_equal(secret_str(key), secret_str(f->mailbox_key)));
    secret_free(&key);
    account_sessions_close(sessions, &ids[0], &gate_b); /* not his */
    assert_int_equal(account_sessions_count(sessions), 500);
    account_sessions_close(sessions, &ids[0], &gate_a);
    assert_int_equal(account_sessions_count(sessions), 499);
    account_sessions_close_opener(sessions, &gate_a);
    assert_int_equal(account_sessions_count(sessions), 250);
    account_sessions_close_mailbox(sessions, &f->one_id);
    assert_int_equal(account_sessions_key(sessions, &f->task, &f->one_id, &key), ERR_NOT_FOUND);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        account_sessions_close(sessions, &ids[i], &gate_b);
    assert_int_equal(account_sessions_count(sessions), 0);
    assert_int_equal(account_sessions_mailbox_count(sessions), 0);
    account_sessions_free(&sessions);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_recipients),
        TEST(test_senders),
        TEST(test_quotas),
        TEST(test_it_is_there_after_closing),
        TEST(test_rollback_keeps_bookkeeping),
        TEST(test_removing_a_domain),
        TEST(test_lists_page_on),
        TEST(test_a_slot_opens_in_its_place_only),
        TEST(test_logins),
        TEST(test_login_throttling),
        TEST(test_loopback_is_trusted),
        TEST(test_sessions),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
