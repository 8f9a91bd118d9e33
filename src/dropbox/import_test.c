/* Mail from the drop box into a mailbox, also from one that somebody with the host key changed. */
#include "dropbox/fixture.h"

#include "base/memory.h"
#include "dropbox/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_waiting_mail_is_taken_over(void **state)
{
    struct fixture *f = *state;
    uint64_t imported = 7;

    assert_int_equal(fixture_take_over(f, false, &imported), ERR_OK);
    assert_true(imported == 0);
    for (int login = 0; login < 4; login++) {
        assert_int_equal(fixture_deliver(f, 1), ERR_OK);
        assert_int_equal(fixture_deliver(f, 5), ERR_OK);
        sealing_free(&f->sealing); /* another boot */
        fixture_open_sealing(f);
        assert_int_equal(fixture_deliver(f, 2), ERR_OK);
        assert_true(fixture_has_drop_file(f));
        assert_int_equal(fixture_take_over(f, login != 2, &imported), ERR_OK);
        assert_true(imported == 8);
        assert_false(fixture_has_drop_file(f));
        assert_true(fixture_check(f) == 0);
    }
    /* More than one batch. */
    for (int i = 0; i < 5; i++)
        assert_int_equal(fixture_deliver(f, 40), ERR_OK);
    assert_int_equal(fixture_take_over(f, true, &imported), ERR_OK);
    assert_true(imported == 200 && fixture_check(f) == 0);
    fixture_reopen_vault(f);
    assert_true(fixture_check(f) == 0);
}

static void test_folders_and_retransmissions(void **state)
{
    struct fixture *f = *state;
    struct records_totals totals;
    struct dropbox_mail mails[4] = {{.folder = STR("Junk")},
                                    {.folder = STR("no such folder")},
                                    {.folder = STR("")},
                                    {.folder = STR("../x//")}};
    uint32_t *seen = NEW_ARRAY(uint32_t, FIXTURE_MAILS_MAX);
    uint64_t imported;

    for (uint32_t i = 0; i < 4; i++) {
        mails[i].raw = fixture_message(&f->task, i);
        mails[i].trace_len = 17;
        mails[i].received_ms = f->task.now_ms;
    }
    f->shared->sent = 4;
    for (int again = 0; again < 2; again++)
        assert_int_equal(sealing_deliver(f->sealing, &f->task, &f->mailbox, mails, 4, &totals),
                         ERR_OK);
    assert_int_equal(fixture_take_over(f, true, &imported), ERR_OK);
    (void)fixture_count(f, STR("Junk"), seen);
    assert_true(seen[0] == 1 && seen[1] == 0);
    (void)fixture_count(f, STR("INBOX"), seen);
    assert_true(seen[0] == 1 && seen[1] == 1 && seen[2] == 1 && seen[3] == 1);
    mem_free(&seen);
}

/* Where nothing waits and nothing is due, a login writes and syncs nothing. */
static void test_an_empty_drop_box_costs_nothing(void **state)
{
    struct fixture *f = *state;
    struct dropbox_owner owner;

    fixture_reopen_vault(f);
    faults_clear();
    owner = fixture_owner(f);
    assert_int_equal(fixture_login(&owner, &f->task), ERR_OK);
    assert_int_equal(faults_seen(), 0);
}

/* --- Tampering, by somebody with the host key --- */

static void tamper(struct fixture *f, const char *sql)
{
    struct db *db = NULL;

    sealing_release(f->sealing, &f->mailbox);
    assert_int_equal(
        db_open(&f->task, fixture_path(f, fixture_drop_name(f)), DB_OPEN, f->drop_key, &db),
        ERR_OK);
    if (db_execute(db, &f->task, sql) != ERR_OK)
        fail_msg("%s: %s", sql, f->task.words);
    db_close(&db);
}

static void test_what_does_not_open_is_kept_and_told(void **state)
{
    (void)state;
    static const struct {
        const char *name, *sql;
        uint32_t lost_first, lost_count; /* not in INBOX afterwards */
        size_t notices;
    } rows[] = {
        {"a changed byte",
         "UPDATE record SET sealed = cast(substr(sealed, 1, 300) || "
         "CASE substr(sealed, 301, 1) WHEN x'00' THEN x'01' ELSE x'00' END || "
         "substr(sealed, 302) AS BLOB) WHERE n = 3",
         3, 1, 1},
        {"a changed header",
         "UPDATE record SET sealed = cast(substr(sealed, 1, 101) || "
         "CASE substr(sealed, 102, 1) WHEN x'ff' THEN x'00' ELSE x'ff' END || "
         "substr(sealed, 103) AS BLOB) WHERE n = 2",
         2, 1, 1},
        {"a record cut short", "UPDATE record SET sealed = substr(sealed, 1, 50) WHERE n = 4", 4, 1,
         2}, /* and with it the place is empty */
        {"no record at all", "UPDATE record SET sealed = x'' WHERE n = 5", 5, 1, 1},
        {"columns that say otherwise", "UPDATE record SET n = 77 WHERE n = 5", 5, 1, 1},
        {"one in the middle is gone", "DELETE FROM record WHERE n = 2", 2, 1, 1},
        {"three in the middle are gone", "DELETE FROM record WHERE n IN (1, 2, 3)", 1, 3, 1},
        {"the first are gone", "DELETE FROM record WHERE n < 2", 0, 2, 1},
        {"the first, with a mark that they were taken",
         "DELETE FROM record WHERE n < 2; INSERT INTO taken SELECT lane, generation, boot, 2, "
         "zeroblob(32) FROM record LIMIT 1",
         0, 2, 1},
        {"of an unknown generation",
         "UPDATE record SET generation = 9, sealed = cast(substr(sealed, 1, 19) || x'09' || "
         "substr(sealed, 21) AS BLOB) WHERE n = 5",
         5, 1, 1},
        {"of a far boot",
         "UPDATE record SET boot = 281474976710657, sealed = cast(substr(sealed, 1, 33) || x'01' "
         "|| substr(sealed, 35) AS BLOB) WHERE n = 5",
         5, 1, 1},
        {"of a far n",
         "UPDATE record SET n = 281474976710661, sealed = cast(substr(sealed, 1, 41) || x'01' || "
         "substr(sealed, 43) AS BLOB) WHERE n = 5",
         5, 1, 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture *f = fixture_new();
        uint64_t imported;
        size_t notices;

        assert_int_equal(fixture_deliver(f, 6), ERR_OK);
        tamper(f, rows[i].sql);
        for (uint32_t n = 0; n < rows[i].lost_count; n++)
            f->shared->is_acknowledged[rows[i].lost_first + n] = 0;
        assert_int_equal(fixture_take_over(f, true, &imported), ERR_OK);
        assert_true(imported == 6 - rows[i].lost_count);
        notices = fixture_check(f);
        if (notices != rows[i].notices)
            fail_msg("%s: %zu notices", rows[i].name, notices);
        assert_false(fixture_has_drop_file(f));
        assert_int_equal(fixture_deliver(f, 2), ERR_OK); /* and mail goes on */
        assert_int_equal(fixture_take_over(f, true, &imported), ERR_OK);
        assert_true(imported == 2 && fixture_check(f) == rows[i].notices);
        fixture_free(&f);
    }
}

/* A record that comes back after it was imported is known, and only deleted. */
static void test_replayed_records_are_not_stored_twice(void **state)
{
    struct fixture *f = *state;
    const char *copy;
    uint64_t imported;

    assert_int_equal(fixture_deliver(f, 5), ERR_OK);
    sealing_release(f->sealing, &f->mailbox);
    copy = arena_printf(&f->task.arena, "cp -r %s %s/copy", f->drop, f->root).ptr;
    assert_int_equal(system(copy), 0);
    assert_int_equal(fixture_take_over(f, false, &imported), ERR_OK);
    copy = arena_printf(&f->task.arena, "cp %s/copy/*.sqlite %s/", f->root, f->drop).ptr;
    assert_int_equal(system(copy), 0);
    assert_int_equal(fixture_take_over(f, true, &imported), ERR_OK);
    assert_true(imported == 0 && fixture_check(f) == 0);
    assert_false(fixture_has_drop_file(f));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_waiting_mail_is_taken_over),
        TEST(test_folders_and_retransmissions),
        TEST(test_an_empty_drop_box_costs_nothing),
        cmocka_unit_test(test_what_does_not_open_is_kept_and_told),
        TEST(test_replayed_records_are_not_stored_twice),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
