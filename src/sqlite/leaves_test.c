/* Which leaves rows lie in, against all pages of the file. */
#include "sqlite/leaves.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { ROWS = 25000, GAP_MAX = 1000, TYPE_LEAF = 13, TRIES = 300, RANGES_MAX = 40 };

static uint32_t seed = 3;

static uint32_t random_to(uint32_t bound)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % bound;
}

/* What one walk told. */
struct told {
    uint32_t pages[DB_LEAVES_MAX];
    size_t count, levels;
};

static void on_pages(void *owner, const uint32_t *pages, size_t count)
{
    struct told *told = owner;

    assert_true(count <= DB_LEAVES_MAX);
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || pages[i - 1] < pages[i]);
        told->pages[i] = pages[i];
    }
    told->count = count;
    told->levels++;
}

/* Between the others, so that the table's pages are not all that there is. */
static void fill(struct db *db, struct task *task, int64_t first)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    int64_t key = first;

    assert_int_equal(db_execute(db, task,
                                "CREATE TABLE other(bytes BLOB);"
                                "CREATE TABLE wanted(key INTEGER PRIMARY KEY, bytes BLOB)"),
                     ERR_OK);
    assert_int_equal(db_begin(db, task), ERR_OK);
    assert_int_equal(
        db_prepare(db, task, "INSERT INTO wanted VALUES (?1, randomblob(?2))", &statement), ERR_OK);
    for (int i = 0; i < ROWS; i++) {
        db_bind_int(statement, 1, key);
        db_bind_int(statement, 2, random_to(20) == 0 ? random_to(3000) : random_to(60));
        assert_int_equal(db_run(db, task, statement), ERR_OK);
        key += 1 + random_to(GAP_MAX);
        if (i % 50 == 0)
            assert_int_equal(db_execute(db, task, "INSERT INTO other VALUES (randomblob(2000))"),
                             ERR_OK);
    }
    db_release(&statement);
    assert_int_equal(db_commit(db, task, true), ERR_OK);
}

/* Of a page of the table: the least and the greatest key in it. */
struct leaf {
    uint32_t page;
    int64_t least, greatest;
};

static int64_t varint(const unsigned char *at, size_t *len)
{
    int64_t value = 0;

    for (*len = 0; *len < 8 && (at[*len] & 0x80) != 0; ++*len)
        value = value << 7 | (at[*len] & 0x7f);
    return *len == 8 ? value << 8 | at[(*len)++] : value << 7 | at[(*len)++];
}

static int64_t key_of(struct str page, size_t cell)
{
    const unsigned char *bytes = (const unsigned char *)page.ptr;
    size_t at = (size_t)bytes[8 + 2 * cell] << 8 | bytes[9 + 2 * cell], len;

    (void)varint(bytes + at, &len);
    return varint(bytes + at + len, &len);
}

/* All leaves with rows as `wanted` has; those of `other` have small keys, and the schema is page 1.
 */
static size_t read_leaves(struct db *db, struct task *task, int64_t first, struct leaf *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    size_t count = 0;
    bool has_row;

    assert_int_equal(
        db_prepare(db, task, "SELECT pgno, data FROM sqlite_dbpage WHERE pgno > 1", &statement),
        ERR_OK);
    for (;;) {
        struct str page;
        size_t cells;

        assert_int_equal(db_step(db, task, statement, &has_row), ERR_OK);
        if (!has_row)
            return count;
        page = db_column_blob(statement, 1);
        cells = (size_t)(unsigned char)page.ptr[3] << 8 | (unsigned char)page.ptr[4];
        if (page.ptr[0] != TYPE_LEAF || cells == 0 || (key_of(page, 0) < first))
            continue;
        out[count++] = (struct leaf){(uint32_t)db_column_int(statement, 0), key_of(page, 0),
                                     key_of(page, cells - 1)};
    }
}

static bool is_among(const struct told *told, uint32_t page)
{
    for (size_t i = 0; i < told->count; i++)
        if (told->pages[i] == page)
            return true;
    return false;
}

/* A leaf must be told if it has a key of a range; none that lies between the ranges' leaves. */
static void check(const struct leaf *leaves, size_t count, const struct db_keys *ranges,
                  size_t range_count, const struct told *told)
{
    size_t needed = 0;

    for (size_t i = 0; i < count; i++) {
        bool is_needed = false;

        for (size_t r = 0; r < range_count; r++)
            is_needed = is_needed || (leaves[i].least <= ranges[r].last &&
                                      leaves[i].greatest >= ranges[r].first);
        needed += is_needed;
        if (is_needed && !is_among(told, leaves[i].page))
            fail_msg("page %u was not told", leaves[i].page);
    }
    /* Where a range begins or ends between two leaves' keys, one of them more. */
    assert_true(told->count <= needed + 2 * range_count);
}

static size_t choose_ranges(int64_t least, int64_t greatest, struct db_keys *out)
{
    size_t count = 1 + random_to(RANGES_MAX);
    int64_t step = (greatest - least) / (int64_t)count,
            width = 1 + (int64_t)random_to((uint32_t)step);

    for (size_t i = 0; i < count; i++) {
        int64_t first = least + step * (int64_t)i;

        out[i] = (struct db_keys){first, random_to(2) == 0 ? first : first + width - 1};
    }
    return count;
}

/* One key lies in one leaf. */
static void check_key(struct db *db, const struct leaf *leaf, int64_t key)
{
    struct db_keys range = {key, key};
    struct told told = {0};
    struct task task;

    task_init(&task, 0);
    assert_int_equal(db_find_leaves(db, &task, "wanted", &range, 1, on_pages, &told), ERR_OK);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.pages[0], leaf->page);
    task_done(&task);
}

static void check_table(int64_t first)
{
    CLEANUP(db_close) struct db *db = NULL;
    static struct leaf leaves[8 * DB_LEAVES_MAX];
    struct db_keys ranges[RANGES_MAX];
    struct told told = {0};
    struct task task;
    size_t count;

    task_init(&task, 0);
    assert_int_equal(db_open_memory(&task, &db), ERR_OK);
    fill(db, &task, first);
    count = read_leaves(db, &task, first, leaves);
    ranges[0] = (struct db_keys){INT64_MIN, INT64_MAX};
    assert_int_equal(db_find_leaves(db, &task, "wanted", ranges, 1, on_pages, &told), ERR_OK);
    assert_int_equal(told.levels, 3);
    assert_int_equal(told.count, count);
    for (size_t i = 0; i < count; i++) {
        check_key(db, &leaves[i], leaves[i].least);
        check_key(db, &leaves[i], leaves[i].greatest);
    }
    for (int i = 0; i < TRIES; i++) {
        size_t range_count = choose_ranges(first, first + (int64_t)ROWS * GAP_MAX / 2, ranges);

        assert_int_equal(db_find_leaves(db, &task, "wanted", ranges, range_count, on_pages, &told),
                         ERR_OK);
        check(leaves, count, ranges, range_count, &told);
        task_done(&task);
        task_init(&task, 0);
    }
    task_done(&task);
}

static void test_ranges(void **state)
{
    (void)state;
    check_table(INT64_C(1) << 24);
    check_table(INT64_C(5) << 56); /* keys of nine bytes */
}

/* Of one page: it is told, and read as a leaf. */
static void test_small_table(void **state)
{
    CLEANUP(db_close) struct db *db = NULL;
    struct db_keys all = {INT64_MIN, INT64_MAX};
    struct told told = {0};
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(db_open_memory(&task, &db), ERR_OK);
    assert_int_equal(db_execute(db, &task, "CREATE TABLE wanted(key INTEGER PRIMARY KEY)"), ERR_OK);
    assert_int_equal(db_find_leaves(db, &task, "wanted", &all, 1, on_pages, &told), ERR_OK);
    assert_int_equal(told.levels, 1);
    assert_int_equal(told.count, 1);
    assert_int_equal(db_find_leaves(db, &task, "nothing", &all, 1, on_pages, &told), ERR_NOT_FOUND);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_small_table),
    };

    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
