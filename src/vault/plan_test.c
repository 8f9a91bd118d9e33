/*
 * How SQLite finds what a search asks for: no statement that any key needs goes through all
 * messages or contents. The statements are those that were really prepared.
 */
#include "vault/ahead.h"
#include "vault/fixture.h"
#include "vault/sort.h"
#include "vault/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Tables of a few rows, which may be read as a whole. */
static const char *const small_tables[] = {"unindexed", "word_segment", "folder", "mailbox",
                                           "keyword", "purge", "sqlite_schema", "sort_progress",
                                           /* one page of it */
                                           "sqlite_dbpage VIRTUAL TABLE INDEX 1:"};

static bool is_small(const char *detail)
{
    for (size_t i = 0; i < ARRAY_LEN(small_tables); i++) {
        char scan[64];

        snprintf(scan, sizeof(scan), "SCAN %s", small_tables[i]);
        if (strncmp(detail, scan, strlen(scan)) == 0)
            return true;
    }
    return false;
}

/* Whether a plan has a row that reads a whole table which is not small. */
static bool scans(sqlite3 *handle, const char *sql)
{
    char explain[2048];
    sqlite3_stmt *statement;
    bool is_scanning = false;

    snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", sql);
    assert_int_equal(sqlite3_prepare_v2(handle, explain, -1, &statement, NULL), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(statement, 3);

        if (strncmp(detail, "SCAN", 4) == 0 && !is_small(detail) &&
            strcmp(detail, "SCAN CONSTANT ROW") != 0)
            is_scanning = true;
    }
    sqlite3_finalize(statement);
    return is_scanning;
}

static bool is_query(const char *sql)
{
    return strncmp(sql, "SELECT", 6) == 0 || strncmp(sql, "WITH", 4) == 0;
}

static size_t check_statements(struct fixture *f)
{
    sqlite3 *handle = db_handle(f->vault->db);
    size_t count = 0;

    for (sqlite3_stmt *s = sqlite3_next_stmt(handle, NULL); s != NULL;
         s = sqlite3_next_stmt(handle, s)) {
        const char *sql = sqlite3_sql(s);

        if (!is_query(sql))
            continue;
        count++;
        if (scans(handle, sql))
            fail_msg("reads a whole table: %s", sql);
    }
    return count;
}

static void run_cursor(struct fixture *f, unsigned columns)
{
    struct vault_cursor *cursor;
    struct vault_message message;
    bool has_row;

    assert_int_equal(
        vault_cursor_open(f->vault, &f->task, f->inbox, 1, UINT32_MAX, columns, true, &cursor),
        ERR_OK);
    assert_int_equal(vault_cursor_next(cursor, &f->task, &message, &has_row), ERR_OK);
    assert_true(has_row);
    vault_cursor_close(&cursor);
}

static bool on_sort_key(void *owner, const struct vault_sort_key *key)
{
    (void)owner;
    return key->uid > 0;
}

static void test_plans(void **state)
{
    static const char *const keys[] = {"", "subject", "a phrase", "-", "\xe4\xb8\xad"};
    struct fixture *f = *state;
    struct vault_uid_flags *list;
    struct db_keys rows = {1, INT64_MAX};
    size_t count;
    bool is_end;

    for (int i = 0; i < 20; i++)
        fixture_append(f, f->inbox, fixture_message(f, "the subject of a phrase"), 0);
    fixture_housekeep(f, 0);
    fixture_append(f, f->inbox, fixture_message(f, "not indexed yet"), 0);
    fixture_reopen(f); /* only what follows is prepared */
    for (int field = 0; field <= VAULT_SEARCH_HEADER; field++) {
        for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
            struct vault_candidates found;

            assert_int_equal(vault_search_candidates(f->vault, &f->task, f->inbox,
                                                     (enum vault_search_field)field, STR("Subject"),
                                                     str_from_c(keys[k]), NULL, 0, &found),
                             ERR_OK);
        }
    }
    /* Flags, dates and sizes; header columns; what confirming opens. */
    run_cursor(f, VAULT_COLUMN_FLAGS | VAULT_COLUMN_DATES | VAULT_COLUMN_SIZE | VAULT_COLUMN_SENT);
    run_cursor(f, VAULT_COLUMN_SEARCH | VAULT_COLUMN_STRUCTURE);
    run_cursor(f, VAULT_COLUMN_FLAGS);
    run_cursor(f, VAULT_COLUMN_ENVELOPE | VAULT_COLUMN_BODYSTRUCTURE);
    run_cursor(f, VAULT_COLUMN_ENVELOPE | VAULT_COLUMN_DATES);
    run_cursor(f, ~0u);
    (void)fixture_read(f, f->inbox, 1);
    assert_int_equal(vault_message_list(f->vault, &f->task, f->inbox, &list, &count), ERR_OK);
    for (unsigned field = 1; field <= VAULT_SORT_THREAD; field <<= 1)
        assert_int_equal(vault_sort_keys(f->vault, &f->task, f->inbox, 1, UINT32_MAX, field,
                                         on_sort_key, NULL, &is_end),
                         ERR_OK);
    ahead_of_rows(f->vault, &f->task, "message", &rows, 1, AHEAD_PAGE, &is_end);
    assert_true(check_statements(f) >= 14);
}

/* The check can fail. */
static void test_scan_is_noticed(void **state)
{
    struct fixture *f = *state;
    sqlite3 *handle = db_handle(f->vault->db);

    assert_true(scans(handle, "SELECT count(*) FROM message WHERE size_bytes > 5"));
    assert_true(scans(handle, "SELECT id FROM content WHERE subject LIKE '%a%'"));
    assert_true(scans(handle, "SELECT m.key FROM message AS m JOIN content AS c "
                              "ON c.id = m.content_id"));
    assert_false(scans(handle, "SELECT key FROM message WHERE key BETWEEN 1 AND 5"));
}

static bool is_prepared(struct fixture *f, const char *start)
{
    sqlite3 *handle = db_handle(f->vault->db);

    for (sqlite3_stmt *s = sqlite3_next_stmt(handle, NULL); s != NULL;
         s = sqlite3_next_stmt(handle, s))
        if (strncmp(sqlite3_sql(s), start, strlen(start)) == 0)
            return true;
    return false;
}

/* Of the five messages in INBOX all but the fourth have these flags, since the last change. */
static void check_rows(struct fixture *f, uint64_t flags)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    int64_t modseq = (int64_t)vault_folder_modseq(f->vault, f->inbox);
    bool has_row;

    assert_int_equal(
        db_prepare(f->vault->db, &f->task, "SELECT flags, modseq FROM message", &statement),
        ERR_OK);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(db_step(f->vault->db, &f->task, statement, &has_row), ERR_OK);
        assert_true(has_row);
        assert_int_equal(db_column_int(statement, 0), i == 3 ? VAULT_FLAG_DRAFT : flags);
        assert_int_equal(db_column_int(statement, 1) == modseq, i != 3);
    }
}

static void store_in_each_way(struct fixture *f)
{
    static const struct {
        enum vault_store_mode mode;
        uint64_t flags, after;
    } steps[] = {{VAULT_STORE_ADD, VAULT_FLAG_FLAGGED, VAULT_FLAG_SEEN | VAULT_FLAG_FLAGGED},
                 {VAULT_STORE_REMOVE, VAULT_FLAG_SEEN, VAULT_FLAG_FLAGGED},
                 {VAULT_STORE_REPLACE, VAULT_FLAG_SEEN, VAULT_FLAG_SEEN}};
    static const uint32_t uids[] = {1, 2, 3, 5}; /* 4 has other flags */
    uint32_t *modified, *gone;
    size_t modified_count, gone_count;

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        assert_int_equal(vault_message_store(f->vault, &f->task, f->inbox, uids, ARRAY_LEN(uids),
                                             steps[i].mode, steps[i].flags, UINT64_MAX, &modified,
                                             &modified_count, &gone, &gone_count),
                         ERR_OK);
        check_rows(f, steps[i].after);
    }
}

/* Flags are changed without a statement for the rows, unless something depends on these. */
static void test_store(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 5; i++)
        fixture_append(f, f->inbox, fixture_message(f, "a message"),
                       i == 3 ? VAULT_FLAG_DRAFT : VAULT_FLAG_SEEN);
    fixture_reopen(f); /* only what follows is prepared */
    for (int round = 0; round < 2; round++) {
        store_in_each_way(f);
        assert_int_equal(is_prepared(f, "UPDATE OR FAIL message"), round == 1);
        if (round == 0)
            assert_int_equal(
                db_execute(f->vault->db, &f->task, "CREATE INDEX flagged ON message(flags)"),
                ERR_OK);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {TEST(test_plans), TEST(test_scan_is_noticed),
                                       TEST(test_store)};

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
