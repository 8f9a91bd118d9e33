/* The tables: keys that sign are sealed, a removal leaves nothing, the version before is read. */
#include "account/fixture.h"

#include "account/signing.h"
#include "secret/crypt.h"
#include "sqlite/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

static const char schema_0001[] =
#include "account/0001.sql.inc"
    ;

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

    OK(account_domain_find(f->database, &f->task, STR("home.test"), &home));
    OK(account_key_missing(f->database, &f->task, 0, &row, &name));
    assert_int_equal(row, f->home);
    secret_bytes(der)[0] = 1;
    OK(account_begin(f->database, &f->task));
    OK(account_signing_add(signing, f->database, &f->task, &home, ACCOUNT_KEY_RSA,
                           ACCOUNT_KEY_ACTIVE, der, STR("v=DKIM1; p=1")));
    secret_bytes(der)[0] = 2;
    OK(account_signing_add(signing, f->database, &f->task, &home, ACCOUNT_KEY_RSA,
                           ACCOUNT_KEY_ACTIVE, der, STR("v=DKIM1; p=2")));
    secret_bytes(der)[0] = 3;
    OK(account_signing_add(signing, f->database, &f->task, &home, ACCOUNT_KEY_RSA,
                           ACCOUNT_KEY_WAITING, der, STR("v=DKIM1; p=3")));
    OK(account_commit(f->database, &f->task));
    OK(account_key_missing(f->database, &f->task, 0, &row, &name));
    assert_int_equal(row, 0);
    OK(account_signing_keys(signing, f->database, &f->task, STR("HOME.test"), &keys));
    assert_true(str_equal(keys.rsa_selector, STR("r20261126-1")));
    assert_int_equal(secret_bytes(keys.rsa_key)[0], 2);
    assert_null(keys.ed25519_key);
    account_signing_keys_done(&keys);
    assert_int_equal(
        account_signing_keys(signing, f->database, &f->task, STR("elsewhere.test"), &keys),
        ERR_NOT_FOUND);
    task_forgive(&f->task);
    /* Sealed: another host key opens nothing, and the key is not in the row. */
    OK(account_key_list(f->database, &f->task, f->home, &stored, &count));
    assert_int_equal(count, 3);
    assert_true(str_find(stored[0].sealed, str_upto(secret_str(der), 32)) < 0);
    secret_bytes(wrong)[0] = 9;
    other = account_signing_new(wrong);
    assert_int_equal(account_signing_keys(other, f->database, &f->task, STR("home.test"), &keys),
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

    fixture_close(f);
    OK(db_open(&f->task, f->path, DB_OPEN, f->key, &db));
    OK(db_prepare(db, &f->task, sql, &statement));
    OK(db_step(db, &f->task, statement, &has_row));
    count = (uint64_t)db_column_int(statement, 0);
    db_release(&statement);
    db_close(&db);
    fixture_open(f);
    return count;
}

static void test_removal_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct account_vacation vacation = {
        .subject = STR("s"), .text = STR("t"), .starts_ms = INT64_MIN, .ends_ms = INT64_MAX};
    struct account_signing *signing = account_signing_new(f->host_key);
    struct secret *der = secret_new(10);
    struct account_domain home;
    int64_t row = fixture_add_alias(f, "full", false);
    bool is_done = false;

    fixture_add_target(f, row, "bob@example.org");
    fixture_put_entry(f, 0, row, true, "a.test");
    fixture_put_entry(f, f->home, 0, true, "b.test");
    OK(account_domain_find(f->database, &f->task, STR("home.test"), &home));
    OK(account_begin(f->database, &f->task));
    OK(account_vacation_set(f->database, &f->task, row, &vacation));
    OK(account_signing_add(signing, f->database, &f->task, &home, ACCOUNT_KEY_ED25519,
                           ACCOUNT_KEY_ACTIVE, der, STR("p")));
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

    fixture_close(f);
    (void)unlink(f->path);
    OK(db_open(&f->task, f->path, DB_CREATE, f->key, &db));
    OK(db_migrate(db, &f->task, (const char *const[]){schema_0001}, 1));
    OK(db_execute(db, &f->task, rows));
    db_close(&db);
    fixture_open(f);
    assert_int_equal(fixture_ask(f, "a@old.test"), WIRE_OK);
    assert_true(f->reply.has_mailbox && f->reply.is_checked);
    assert_string_equal(f->reply.mailbox.text, "0123456789abcdef01234567");
    assert_int_equal(fixture_ask(f, "off@old.test"), WIRE_DISABLED);
    assert_int_equal(fixture_ask(f, "any@old.test"), WIRE_OK);
    fixture_close(f);
    fixture_open(f); /* compared with the expected schema once more */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_signing_keys),
        TEST(test_removal_leaves_nothing),
        TEST(test_the_version_before),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
