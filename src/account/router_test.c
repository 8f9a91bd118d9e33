/*
 * RECIPIENT on a real encrypted database: where mail goes beside mailboxes, rules, lists, limits,
 * greylisting, bounces on their way back; what removal leaves; a database of the version before.
 */
#include "account/router.h"

#include "account/lists.h"
#include "account/signing.h"
#include "base/clock.h"
#include "secret/crypt.h"
#include "sqlite/db.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char schema_0001[] =
#include "account/0001.sql.inc"
    ;

#define OK(call) assert_int_equal((call), ERR_OK)

static const int64_t NOW_MS = INT64_C(1795690000000); /* in November 2026 */
static const int64_t DAY_MS = 24LL * 3600 * 1000;

struct fixture {
    char folder[64], path[96];
    struct secret *host_key, *key;
    struct account_database *database;
    struct account_router *router;
    struct account_router_settings settings;
    struct task task;
    int64_t user, home, mailbox;
    struct id mailbox_id;
    struct wire_recipient asked;
    struct wire_recipient_reply reply;
};

static struct str c(const char *text)
{
    return str_from_c(text);
}

/* --- rewritten senders, played --- */

static bool is_return(struct str local)
{
    return str_starts_with_nocase(local, STR("back="));
}

static enum err go_back(void *owner, struct task *task, struct str local, struct buf *out)
{
    (void)owner;
    (void)task;
    if (!str_equal(local, STR("BACK=Good"))) /* letters' case counts */
        return ERR_DENIED;
    buf_put(out, STR("sender@elsewhere.test"));
    return ERR_OK;
}

static const struct account_return back = {NULL, is_return, go_back};

/* --- the fixture --- */

static void open_database(struct fixture *f)
{
    OK(account_database_open(&f->task, f->path, f->key, &f->database));
    f->router = account_router_new(f->database, f->host_key, &back, &f->settings);
}

static void close_database(struct fixture *f)
{
    account_router_free(&f->router);
    account_database_close(&f->database);
}

/* A user with home.test and one mailbox, one@home.test. */
static void fill(struct fixture *f)
{
    OK(account_begin(f->database, &f->task));
    OK(account_user_add(f->database, &f->task, c("u"), ACCOUNT_UNLIMITED, &f->user));
    OK(account_domain_add(f->database, &f->task, c("home.test"), f->user, ACCOUNT_UNLIMITED));
    OK(account_domain_row(f->database, &f->task, c("home.test"), &f->home));
    f->mailbox_id = id_random();
    OK(account_mailbox_add(f->database, &f->task, &f->mailbox_id, f->user, f->home,
                           ACCOUNT_UNLIMITED, &f->mailbox));
    OK(account_mailbox_activate(f->database, &f->task, f->mailbox));
    OK(account_alias_add(f->database, &f->task, f->home, c("one"), f->mailbox));
    OK(account_commit(f->database, &f->task));
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/router-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->path, sizeof(f->path), "%s/account.sqlite", f->folder);
    task_init(&f->task, NOW_MS);
    f->host_key = secret_new(32);
    f->key = account_database_key(f->host_key);
    f->asked = (struct wire_recipient){.sender = c("peer@elsewhere.test"),
                                       .client = c("192.0.2.7"),
                                       .helo = c("mail.elsewhere.test")};
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
    task_done(&f->task);
    (void)snprintf(command, sizeof(command), "rm -r '%s'", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static enum wire_status ask(struct fixture *f, const char *address)
{
    f->asked.address = c(address);
    OK(account_router_recipient(f->router, &f->task, &f->asked, f->task.now_ms, &f->reply));
    return (enum wire_status)f->reply.status;
}

static void set(struct fixture *f, const struct account_router_settings *settings)
{
    f->settings = *settings;
    account_router_set(f->router, settings);
}

/* An alias without a mailbox, or with the only one; gives its row. */
static int64_t add_alias(struct fixture *f, const char *local, bool has_mailbox)
{
    struct account_alias alias;
    bool is_pattern = account_pattern_is_one(c(local));
    int64_t mailbox = has_mailbox ? f->mailbox : 0;

    OK(account_begin(f->database, &f->task));
    if (is_pattern) {
        OK(account_alias_add_pattern(f->database, &f->task, f->home, c(local), mailbox));
        OK(account_alias_find_pattern(f->database, &f->task, f->home, c(local), &alias));
    } else {
        OK(account_alias_add(f->database, &f->task, f->home, c(local), mailbox));
        OK(account_alias_find(f->database, &f->task, f->home, c(local), &alias));
    }
    OK(account_commit(f->database, &f->task));
    return alias.row;
}

static void add_target(struct fixture *f, int64_t alias, const char *text)
{
    struct account_target_row row = {.kind = ACCOUNT_TARGET_FORWARD, .text = c(text)};

    OK(account_begin(f->database, &f->task));
    OK(account_target_add(f->database, &f->task, alias, &row));
    OK(account_commit(f->database, &f->task));
}

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

/* --- where mail goes --- */

static void test_an_alias_that_only_forwards(void **state)
{
    struct fixture *f = *state;
    int64_t row = add_alias(f, "fwd", false);

    assert_int_equal(ask(f, "fwd@home.test"), WIRE_DISABLED); /* nowhere yet: not lost */
    add_target(f, row, "bob@example.org");
    add_target(f, row, "@example.net");
    add_target(f, row, "mail.example.net:26");
    assert_int_equal(ask(f, "Fwd+Tag@home.test"), WIRE_OK);
    assert_false(f->reply.has_mailbox);
    assert_true(str_equal(f->reply.detail, c("Tag")));
    assert_routes(f, "[{'kind':'forward','to':'bob+Tag@example.org'},"
                     "{'kind':'forward','to':'Fwd+Tag@example.net'},"
                     "{'kind':'forward','to':'Fwd+Tag@home.test','via':'mail.example.net:26'}]");
}

static void test_store_and_forward_and_webhook(void **state)
{
    struct fixture *f = *state;
    struct account_target_row hook = {.kind = ACCOUNT_TARGET_WEBHOOK,
                                      .text = c("https://example.org/h"),
                                      .secret = c("s3cret"),
                                      .is_raw = true};
    int64_t row = add_alias(f, "both", true);

    add_target(f, row, "bob@");
    OK(account_begin(f->database, &f->task));
    OK(account_target_add(f->database, &f->task, row, &hook));
    assert_int_equal(account_target_add(f->database, &f->task, row, &hook), ERR_EXISTS);
    task_forgive(&f->task);
    OK(account_commit(f->database, &f->task));
    assert_int_equal(ask(f, "both@home.test"), WIRE_OK);
    assert_true(f->reply.has_mailbox && f->reply.is_checked);
    assert_true(id_equal(&f->reply.mailbox, &f->mailbox_id));
    assert_routes(f, "[{'kind':'forward','to':'bob@home.test'},{'kind':'webhook',"
                     "'url':'https://example.org/h','secret':'s3cret','raw':true}]");
    OK(account_begin(f->database, &f->task));
    OK(account_alias_set_storing(f->database, &f->task, row, false));
    OK(account_alias_set_junk(f->database, &f->task, row, false));
    OK(account_target_remove(f->database, &f->task, row, ACCOUNT_TARGET_WEBHOOK, hook.text));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(ask(f, "both@home.test"), WIRE_OK);
    assert_false(f->reply.has_mailbox || f->reply.is_checked);
    assert_routes(f, "[{'kind':'forward','to':'bob@home.test'}]");
    OK(account_begin(f->database, &f->task));
    OK(account_target_remove(f->database, &f->task, row, ACCOUNT_TARGET_FORWARD, c("bob@")));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(ask(f, "both@home.test"), WIRE_DISABLED);
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
    int64_t support = add_alias(f, "/^support-(.+)$/", false);
    int64_t sales = add_alias(f, "/^sales$/", false);
    int64_t late = add_alias(f, "/^s/", false);

    add_target(f, support, "$1@example.org");
    add_target(f, sales, "sally@");
    add_target(f, late, "late@");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (ask(f, rows[i].address) != rows[i].status)
            print_error("%s: %d\n", rows[i].address, (int)f->reply.status);
        assert_int_equal(f->reply.status, rows[i].status);
        assert_routes(f, rows[i].routes);
    }
    assert_int_equal(ask(f, "sauce@home.test"), WIRE_OK); /* the third of them */
    /* Before the catch-all; and gone with the alias. */
    add_alias(f, "*", true);
    assert_int_equal(ask(f, "sauce@home.test"), WIRE_OK);
    assert_false(f->reply.has_mailbox);
    OK(account_begin(f->database, &f->task));
    OK(account_alias_remove(f->database, &f->task, late));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(ask(f, "sauce@home.test"), WIRE_OK);
    assert_true(f->reply.has_mailbox);
}

static void test_a_catch_all_may_forward(void **state)
{
    struct fixture *f = *state;

    add_target(f, add_alias(f, "*", false), "example.net");
    assert_int_equal(ask(f, "Any+Thing@home.test"), WIRE_OK);
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
        OK(account_alias_add_pattern(f->database, &f->task, f->home, c(local), f->mailbox));
    }
    assert_int_equal(
        account_alias_add_pattern(f->database, &f->task, f->home, c("/y/"), f->mailbox),
        ERR_LIMIT);
    task_forgive(&f->task);
    OK(account_commit(f->database, &f->task));
    assert_int_equal(ask(f, "x99-a@home.test"), WIRE_OK);
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
    int64_t row = add_alias(f, "off", true);

    add_target(f, row, "bob@example.org");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        OK(account_begin(f->database, &f->task));
        OK(account_alias_set_enabled(f->database, &f->task, row, false, rows[i].answer));
        OK(account_commit(f->database, &f->task));
        assert_int_equal(ask(f, "off@home.test"), rows[i].status);
        assert_int_equal(f->reply.reply_code, rows[i].code);
        assert_false(f->reply.has_mailbox);
        assert_routes(f, "");
    }
}

static void test_vacation(void **state)
{
    struct fixture *f = *state;
    struct account_vacation vacation = {.subject = c("Away"),
                                        .text = c("Back\nin \"May\""),
                                        .starts_ms = NOW_MS + 1000,
                                        .ends_ms = NOW_MS + DAY_MS};
    struct account_alias one;
    char until[CLOCK_ISO_ROOM], expected[256];

    OK(account_alias_find(f->database, &f->task, f->home, c("one"), &one));
    OK(account_begin(f->database, &f->task));
    OK(account_vacation_set(f->database, &f->task, one.row, &vacation));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(ask(f, "one@home.test"), WIRE_OK);
    assert_routes(f, "");
    f->task.now_ms = NOW_MS + 1000;
    assert_int_equal(ask(f, "one+tag@home.test"), WIRE_OK);
    clock_format_iso(vacation.ends_ms, until);
    (void)snprintf(expected, sizeof(expected),
                   "[{'kind':'vacation','from':'one@home.test','subject':'Away','text':"
                   "'Back\\nin \\'May\\'','until':'%s'}]", until);
    assert_routes(f, expected);
    assert_true(f->reply.has_mailbox);
    f->task.now_ms = NOW_MS + DAY_MS;
    assert_int_equal(ask(f, "one@home.test"), WIRE_OK);
    assert_routes(f, "");
    OK(account_begin(f->database, &f->task));
    OK(account_vacation_remove(f->database, &f->task, one.row));
    OK(account_commit(f->database, &f->task));
    OK(account_alias_find(f->database, &f->task, f->home, c("one"), &one));
    assert_false(one.has_routes);
}

static void test_bounces_go_back(void **state)
{
    struct fixture *f = *state;

    f->asked.sender = STR("");
    assert_int_equal(ask(f, "BACK=Good@home.test"), WIRE_OK);
    assert_false(f->reply.has_mailbox);
    assert_routes(f, "[{'kind':'return','to':'sender@elsewhere.test'}]");
    assert_int_equal(ask(f, "BACK=bad@home.test"), WIRE_REFUSED);
    assert_int_equal(f->reply.reply_code, 550);
    assert_true(f->reply.words.len > 0);
    add_alias(f, "back=bad", true); /* whatever aliases there are */
    assert_int_equal(ask(f, "back=bad@home.test"), WIRE_REFUSED);
    assert_int_equal(ask(f, "BACK=Good@elsewhere.test"), WIRE_NOT_LOCAL);
}

static void test_postmaster(void **state)
{
    struct fixture *f = *state;
    const struct account_list_scope host = {0, 0};
    struct account_list_entry all = {
        .verdict = ACCOUNT_LIST_DENY, .kind = ACCOUNT_LIST_DOMAIN, .value = c("elsewhere.test")};

    OK(account_begin(f->database, &f->task));
    OK(account_list_set(f->database, &f->task, &host, &all));
    OK(account_domain_add(f->database, &f->task, c("bare.test"), f->user, ACCOUNT_UNLIMITED));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(ask(f, "one@home.test"), WIRE_REFUSED);
    assert_int_equal(ask(f, "PostMaster@home.test"), WIRE_OK);
    assert_true(id_equal(&f->reply.mailbox, &f->mailbox_id));
    assert_int_equal(ask(f, "abuse@home.test"), WIRE_OK);
    assert_int_equal(ask(f, "Postmaster"), WIRE_OK); /* without a domain */
    assert_true(id_equal(&f->reply.mailbox, &f->mailbox_id));
    assert_int_equal(ask(f, "postmaster@bare.test"), WIRE_OK); /* its user's */
    assert_true(id_equal(&f->reply.mailbox, &f->mailbox_id));
    assert_int_equal(ask(f, "hostmaster@home.test"), WIRE_UNKNOWN);
    add_target(f, add_alias(f, "postmaster", false), "pm@example.org");
    assert_int_equal(ask(f, "postmaster@home.test"), WIRE_OK);
    assert_false(f->reply.has_mailbox);
}

/* --- rules --- */

static void test_tls_where_a_domain_asks(void **state)
{
    struct fixture *f = *state;

    OK(account_begin(f->database, &f->task));
    OK(account_domain_set_requires_tls(f->database, &f->task, f->home, true));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(ask(f, "one@home.test"), WIRE_REFUSED);
    assert_int_equal(f->reply.reply_code, 550);
    f->asked.client = STR(""); /* the courier's own */
    assert_int_equal(ask(f, "one@home.test"), WIRE_OK);
    f->asked.client = c("192.0.2.7");
    f->asked.is_tls = true;
    assert_int_equal(ask(f, "one@home.test"), WIRE_OK);
}

static void put_entry(struct fixture *f, int64_t domain, int64_t alias, bool is_allowed,
                      const char *text)
{
    const struct account_list_scope scope = {domain, alias};
    struct account_list_entry entry = {.verdict =
                                           is_allowed ? ACCOUNT_LIST_ALLOW : ACCOUNT_LIST_DENY};

    OK(account_lists_parse(&f->task, c(text), &entry.kind, &entry.value));
    OK(account_begin(f->database, &f->task));
    OK(account_list_set(f->database, &f->task, &scope, &entry));
    OK(account_commit(f->database, &f->task));
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
        {"GOOD@spam.test", "198.51.100.1", WIRE_OK, 1},   /* the address before the domain */
        {"any@good.spam.test", "198.51.100.1", WIRE_OK, 1}, /* the longer domain */
        {"", "198.51.100.1", WIRE_OK, 0},
        {"", "203.0.113.77", WIRE_REFUSED, 0},
        {"", "203.0.113.129", WIRE_OK, 1}, /* the longer prefix */
        {"", "::ffff:203.0.113.77", WIRE_REFUSED, 0},
        {"GOOD@spam.test", "203.0.113.77", WIRE_OK, 1}, /* an address before a network */
        {"", "2001:db8:1:2::3", WIRE_REFUSED, 0},
        {"", "2001:db8:2::1", WIRE_OK, 0},
        {"friend@alias.test", "198.51.100.1", WIRE_OK, 1}, /* the alias before its domain */
        {"foe@domain.test", "198.51.100.1", WIRE_REFUSED, 0}, /* the domain before the host */
        {"no address", "no client", WIRE_OK, 0},
    };
    struct account_alias one;

    OK(account_alias_find(f->database, &f->task, f->home, c("one"), &one));
    put_entry(f, 0, 0, false, "spam.test");
    put_entry(f, 0, 0, true, "good@SPAM.test");
    put_entry(f, 0, 0, true, "@good.spam.test");
    put_entry(f, 0, 0, false, "203.0.113.0/24");
    put_entry(f, 0, 0, true, "203.0.113.128/25");
    put_entry(f, 0, 0, false, "2001:db8:1::/48");
    put_entry(f, 0, 0, true, "domain.test");
    put_entry(f, f->home, 0, false, "domain.test");
    put_entry(f, f->home, 0, false, "alias.test");
    put_entry(f, 0, one.row, true, "friend@alias.test");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        f->asked.sender = c(rows[i].sender);
        f->asked.client = c(rows[i].client);
        if (ask(f, "one+x@home.test") != rows[i].status)
            print_error("%s %s: %d\n", rows[i].sender, rows[i].client, (int)f->reply.status);
        assert_int_equal(f->reply.status, rows[i].status);
        assert_int_equal(f->reply.trust, rows[i].trust);
    }
    /* A user's mail to another is subject to his lists, too. */
    f->asked.login = f->mailbox_id;
    f->asked.sender = c("any@spam.test");
    assert_int_equal(ask(f, "one@home.test"), WIRE_REFUSED);
}

static void test_entries(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *value;
    } rows[] = {
        {"192.0.2.77/24", "192.0.2.0/24"}, {"192.0.2.77", "192.0.2.77/32"},
        {"0.0.0.0/0", "0.0.0.0/0"},        {"192.0.2.77/25", "192.0.2.0/25"},
        {"2001:DB8::1/33", "2001:db8::/33"}, {"::/0", "::/0"},
        {"::ffff:192.0.2.1", "192.0.2.1/32"}, {"A@B\xc3\x9c.test", "a@xn--b-eha.test"},
        {"Ex.TEST", "ex.test"},            {"@ex.test", "ex.test"},
        {"192.0.2.1/33", NULL},            {"192.0.2.1/", NULL},
        {"::1/129", NULL},                 {"a b", NULL},
        {"", NULL},                        {"a@b@", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum account_list_kind kind;
        struct str value = STR("");
        enum err err = account_lists_parse(&f->task, c(rows[i].text), &kind, &value);

        assert_int_equal(err, rows[i].value == NULL ? ERR_INVALID : ERR_OK);
        if (err == ERR_OK)
            assert_true(str_equal(value, c(rows[i].value)));
        task_forgive(&f->task);
    }
}

static void test_limits_of_incoming_mail(void **state)
{
    struct fixture *f = *state;
    const struct account_router_settings settings = {.client_limit = 20, .sender_limit = 10};

    set(f, &settings);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask(f, "one@home.test"), WIRE_OK);
    assert_int_equal(ask(f, "one@home.test"), WIRE_DEFERRED);
    assert_int_equal(f->reply.reply_code, 450);
    f->asked.client = c("192.0.2.8"); /* the same sender elsewhere is another one */
    assert_int_equal(ask(f, "one@home.test"), WIRE_OK);
    f->asked.client = c("192.0.2.7");
    f->asked.sender = c("two@elsewhere.test");
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask(f, "one@home.test"), WIRE_OK);
    f->asked.sender = c("three@elsewhere.test");
    assert_int_equal(ask(f, "one@home.test"), WIRE_DEFERRED); /* the client's own limit */
    assert_int_equal(ask(f, "postmaster@home.test"), WIRE_OK);
    put_entry(f, 0, 0, true, "192.0.2.7");
    assert_int_equal(ask(f, "one@home.test"), WIRE_OK);
    f->task.now_ms += 3600 * 1000;
    OK(account_begin(f->database, &f->task));
    OK(account_list_remove(f->database, &f->task, &(struct account_list_scope){0, 0},
                           ACCOUNT_LIST_ALLOW, c("192.0.2.7/32")));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(ask(f, "one@home.test"), WIRE_OK);
    f->asked.client = c("127.0.0.1");
    for (int i = 0; i < 50; i++)
        assert_int_equal(ask(f, "one@home.test"), WIRE_OK);
}

static void test_greylisting(void **state)
{
    struct fixture *f = *state;
    const struct account_router_settings settings = {.greylist = true,
                                                     .greylist_delay_ms = 300 * 1000};

    add_alias(f, "two", true);
    set(f, &settings);
    assert_int_equal(ask(f, "one@home.test"), WIRE_DEFERRED);
    assert_int_equal(f->reply.reply_code, 451);
    assert_true(str_equal(f->reply.words, c("Greylisted, try again in 300 seconds")));
    f->task.now_ms += 100 * 1000;
    assert_int_equal(ask(f, "one@home.test"), WIRE_DEFERRED);
    assert_true(str_equal(f->reply.words, c("Greylisted, try again in 200 seconds")));
    f->task.now_ms += 200 * 1000;
    f->asked.client = c("192.0.2.250"); /* a neighbour: the same server farm */
    assert_int_equal(ask(f, "one@home.test"), WIRE_OK);
    /* From now on it is known, whatever it sends; also after a restart. */
    f->asked.sender = STR("");
    assert_int_equal(ask(f, "two@home.test"), WIRE_OK);
    close_database(f);
    open_database(f);
    assert_int_equal(ask(f, "two@home.test"), WIRE_OK);
    f->asked.client = c("192.0.3.1");
    assert_int_equal(ask(f, "two@home.test"), WIRE_DEFERRED);
    /* Who comes back too late begins anew. */
    f->task.now_ms += 3 * DAY_MS;
    assert_int_equal(ask(f, "two@home.test"), WIRE_DEFERRED);
    f->task.now_ms += 300 * 1000;
    assert_int_equal(ask(f, "two@home.test"), WIRE_OK);
    /* A network that is silent for long is forgotten; one that writes is not. */
    for (int i = 0; i < 4; i++) {
        f->task.now_ms += 30 * DAY_MS;
        assert_int_equal(ask(f, "two@home.test"), WIRE_OK);
    }
    f->task.now_ms += 37 * DAY_MS;
    assert_int_equal(ask(f, "two@home.test"), WIRE_DEFERRED);
    assert_int_equal(ask(f, "postmaster@home.test"), WIRE_OK);
    f->asked.client = c("127.0.0.1");
    assert_int_equal(ask(f, "two@home.test"), WIRE_OK);
    f->asked.client = c("192.0.5.1");
    f->asked.login = f->mailbox_id;
    assert_int_equal(ask(f, "two@home.test"), WIRE_OK);
}

static void test_the_greylist_is_bounded(void **state)
{
    struct fixture *f = *state;
    const struct account_router_settings settings = {.greylist = true,
                                                     .greylist_delay_ms = 300 * 1000};
    const struct account_grey old = {.since_ms = NOW_MS - 3 * DAY_MS, .ends_ms = NOW_MS - DAY_MS};
    uint64_t count;

    set(f, &settings);
    for (uint64_t i = 0; i < 2000; i++)
        OK(account_grey_set(f->database, &f->task, str_make(&i, sizeof(i)), &old));
    for (int i = 0; i < 600; i++) {
        char client[32];

        (void)snprintf(client, sizeof(client), "198.%d.%d.1", i / 200, i % 200);
        f->asked.client = c(client);
        assert_int_equal(ask(f, "one@home.test"), WIRE_DEFERRED);
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

    set(f, &settings);
    f->asked.login = f->mailbox_id;
    f->asked.sender = c("one@home.test");
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    assert_int_equal(ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    assert_int_equal(f->reply.reply_code, 450);
    assert_int_equal(ask(f, "one@home.test"), WIRE_OK); /* our own are not counted */
    close_database(f); /* a restart does not help */
    open_database(f);
    assert_int_equal(ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    OK(account_begin(f->database, &f->task));
    OK(account_user_set_limit(f->database, &f->task, f->user, 4));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    assert_int_equal(ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    f->task.now_ms += DAY_MS;
    assert_int_equal(ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    OK(account_begin(f->database, &f->task));
    OK(account_user_set_limit(f->database, &f->task, f->user, ACCOUNT_LIMIT_NONE));
    OK(account_commit(f->database, &f->task));
    set(f, &of_domain);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL);
    assert_int_equal(ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    OK(account_begin(f->database, &f->task));
    OK(account_domain_set_limit(f->database, &f->task, f->home, 0)); /* nobody writes as it */
    OK(account_commit(f->database, &f->task));
    f->task.now_ms += DAY_MS;
    assert_int_equal(ask(f, "x@elsewhere.test"), WIRE_DEFERRED);
    f->asked.login = id_random(); /* removed meanwhile */
    assert_int_equal(ask(f, "x@elsewhere.test"), WIRE_REFUSED);
    f->asked.login = (struct id){0};
    assert_int_equal(ask(f, "x@elsewhere.test"), WIRE_NOT_LOCAL); /* from outside: smtp refuses */
}

/* --- keys --- */

static void test_signing_keys(void **state)
{
    struct fixture *f = *state;
    struct account_signing *signing = account_signing_new(f->host_key), *other;
    struct account_signing_keys keys = {.rsa_key = NULL};
    struct secret *der = secret_new(100), *wrong = secret_new(32);
    struct account_domain home;
    struct account_key *stored;
    struct str name;
    int64_t row;
    size_t count;

    OK(account_domain_find(f->database, &f->task, c("home.test"), &home));
    OK(account_key_missing(f->database, &f->task, 0, &row, &name));
    assert_int_equal(row, f->home);
    secret_bytes(der)[0] = 1;
    OK(account_begin(f->database, &f->task));
    OK(account_signing_add(signing, f->database, &f->task, &home, ACCOUNT_KEY_RSA,
                           ACCOUNT_KEY_ACTIVE, der, c("v=DKIM1; p=1")));
    secret_bytes(der)[0] = 2;
    OK(account_signing_add(signing, f->database, &f->task, &home, ACCOUNT_KEY_RSA,
                           ACCOUNT_KEY_ACTIVE, der, c("v=DKIM1; p=2")));
    secret_bytes(der)[0] = 3;
    OK(account_signing_add(signing, f->database, &f->task, &home, ACCOUNT_KEY_RSA,
                           ACCOUNT_KEY_WAITING, der, c("v=DKIM1; p=3")));
    OK(account_commit(f->database, &f->task));
    OK(account_key_missing(f->database, &f->task, 0, &row, &name));
    assert_int_equal(row, 0);
    OK(account_signing_keys(signing, f->database, &f->task, c("HOME.test"), &keys));
    assert_true(str_equal(keys.rsa_selector, c("r20261126-1")));
    assert_int_equal(secret_bytes(keys.rsa_key)[0], 2);
    assert_null(keys.ed25519_key);
    account_signing_keys_done(&keys);
    assert_int_equal(
        account_signing_keys(signing, f->database, &f->task, c("elsewhere.test"), &keys),
        ERR_NOT_FOUND);
    task_forgive(&f->task);
    /* Sealed: another host key opens nothing, and the key is not in the row. */
    OK(account_key_list(f->database, &f->task, f->home, &stored, &count));
    assert_int_equal(count, 3);
    assert_true(str_find(stored[0].sealed, str_upto(secret_str(der), 32)) < 0);
    secret_bytes(wrong)[0] = 9;
    other = account_signing_new(wrong);
    assert_int_equal(account_signing_keys(other, f->database, &f->task, c("home.test"), &keys),
                     ERR_CORRUPT);
    task_forgive(&f->task);
    account_signing_free(&other);
    account_signing_free(&signing);
    secret_free(&wrong);
    secret_free(&der);
}

/* --- removal, and versions --- */

static uint64_t rows_in(struct fixture *f, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    struct db *db = NULL;
    uint64_t count;
    bool has_row;

    close_database(f);
    OK(db_open(&f->task, f->path, DB_OPEN, f->key, &db));
    OK(db_prepare(db, &f->task, sql, &statement));
    OK(db_step(db, &f->task, statement, &has_row));
    count = (uint64_t)db_column_int(statement, 0);
    db_release(&statement);
    db_close(&db);
    open_database(f);
    return count;
}

static void test_removal_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct account_vacation vacation = {
        .subject = c("s"), .text = c("t"), .starts_ms = INT64_MIN, .ends_ms = INT64_MAX};
    struct account_signing *signing = account_signing_new(f->host_key);
    struct secret *der = secret_new(10);
    struct account_domain home;
    int64_t row = add_alias(f, "full", false);
    bool is_done = false;

    add_target(f, row, "bob@example.org");
    put_entry(f, 0, row, true, "a.test");
    put_entry(f, f->home, 0, true, "b.test");
    OK(account_domain_find(f->database, &f->task, c("home.test"), &home));
    OK(account_begin(f->database, &f->task));
    OK(account_vacation_set(f->database, &f->task, row, &vacation));
    OK(account_signing_add(signing, f->database, &f->task, &home, ACCOUNT_KEY_ED25519,
                           ACCOUNT_KEY_ACTIVE, der, c("p")));
    OK(account_commit(f->database, &f->task));
    OK(account_begin(f->database, &f->task));
    OK(account_domain_remove(f->database, &f->task, f->home, 100, 0, &is_done));
    OK(account_commit(f->database, &f->task));
    assert_true(is_done);
    assert_int_equal(rows_in(f, "SELECT (SELECT count(*) FROM alias_targets)"
                                " + (SELECT count(*) FROM alias_vacations)"
                                " + (SELECT count(*) FROM list_entries)"
                                " + (SELECT count(*) FROM dkim_keys)"
                                " + (SELECT count(*) FROM aliases)"
                                " + (SELECT count(*) FROM domains)"),
                     0);
    account_signing_free(&signing);
    secret_free(&der);
}

/* What the version before wrote is read, aliases and all, and means what it meant. */
static void test_the_version_before(void **state)
{
    struct fixture *f = *state;
    static const char *const rows =
        "INSERT INTO users VALUES (1, 'u', NULL, 0, 'x');"
        "INSERT INTO domains VALUES (1, 'old.test', 1, NULL, 0, 'x');"
        "INSERT INTO mailboxes (id, object_id, user_id, domain_id, state, created)"
        " VALUES (1, '0123456789abcdef01234567', 1, 1, 'active', 'x');"
        "INSERT INTO aliases VALUES (5, 1, 'a', 1, 1, 'x'), (6, 1, 'off', 1, 0, 'x'),"
        " (7, 1, '*', 1, 1, 'x');";
    struct db *db = NULL;

    close_database(f);
    (void)unlink(f->path);
    OK(db_open(&f->task, f->path, DB_CREATE, f->key, &db));
    OK(db_migrate(db, &f->task, (const char *const[]){schema_0001}, 1));
    OK(db_execute(db, &f->task, rows));
    db_close(&db);
    open_database(f);
    assert_int_equal(ask(f, "a@old.test"), WIRE_OK);
    assert_true(f->reply.has_mailbox && f->reply.is_checked);
    assert_string_equal(f->reply.mailbox.text, "0123456789abcdef01234567");
    assert_int_equal(ask(f, "off@old.test"), WIRE_DISABLED);
    assert_int_equal(ask(f, "any@old.test"), WIRE_OK);
    close_database(f);
    open_database(f); /* compared with the expected schema once more */
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
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
        TEST(test_tls_where_a_domain_asks),
        TEST(test_lists),
        TEST(test_entries),
        TEST(test_limits_of_incoming_mail),
        TEST(test_greylisting),
        TEST(test_the_greylist_is_bounded),
        TEST(test_daily_limits),
        TEST(test_signing_keys),
        TEST(test_removal_leaves_nothing),
        TEST(test_the_version_before),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
