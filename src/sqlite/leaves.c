/*
 * The b-tree of a table as the file has it (SQLite's "Database File Format", 1.6): an interior page
 * has, in ascending order, cells of a page and the greatest key in it, and a last page for greater
 * ones. All leaves are at the same depth.
 */
#include "sqlite/leaves.h"

#include <stdlib.h>
#include <string.h>

enum {
    TYPE_INTERIOR = 5,
    HEADER_BYTES = 12, /* of an interior page */
    DEPTH_MAX = 20,    /* SQLite's own limit */
    VARINT_MAX = 9,
};

struct level {
    uint32_t pages[DB_LEAVES_MAX];
    size_t count;
};

struct walk {
    const struct db_keys *ranges;
    size_t range_count;
    struct level *level, *below; /* in the task's arena */
};

static uint32_t number_at(struct str bytes, size_t at, size_t len)
{
    uint32_t number = 0;

    for (size_t i = 0; i < len; i++)
        number = number << 8 | (unsigned char)bytes.ptr[at + i];
    return number;
}

/* Seven bits a byte, the highest first; a ninth byte has eight. False: it does not end in the page.
 */
static bool key_at(struct str page, size_t at, int64_t *out)
{
    uint64_t key = 0;

    for (size_t i = 0; i < VARINT_MAX && at + i < page.len; i++) {
        unsigned char byte = (unsigned char)page.ptr[at + i];

        key = i == VARINT_MAX - 1 ? key << 8 | byte : key << 7 | (byte & 0x7f);
        if (i == VARINT_MAX - 1 || (byte & 0x80) == 0) {
            *out = (int64_t)key;
            return true;
        }
    }
    return false;
}

/* Passes ranges that end before `first`; whether the next one begins up to `last`. */
static bool wants(const struct walk *walk, size_t *range, int64_t first, int64_t last)
{
    while (*range < walk->range_count && walk->ranges[*range].last < first)
        ++*range;
    return *range < walk->range_count && walk->ranges[*range].first <= last;
}

static void add(struct level *level, uint32_t page)
{
    if (level->count < DB_LEAVES_MAX)
        level->pages[level->count++] = page;
}

/* The pages below an interior one that may have some of the keys; false: it is a leaf. */
static bool add_below(struct walk *walk, struct str page)
{
    int64_t least = INT64_MIN, greatest;
    size_t cells, range = 0;

    if (page.len < HEADER_BYTES || page.ptr[0] != TYPE_INTERIOR)
        return false;
    cells = number_at(page, 3, 2);
    for (size_t i = 0; i < cells && HEADER_BYTES + 2 * i + 2 <= page.len; i++) {
        size_t at = number_at(page, HEADER_BYTES + 2 * i, 2);

        if (!key_at(page, at + 4, &greatest) || greatest == INT64_MAX)
            return true;
        if (wants(walk, &range, least, greatest))
            add(walk->below, number_at(page, at, 4));
        least = greatest + 1;
    }
    if (wants(walk, &range, least, INT64_MAX))
        add(walk->below, number_at(page, 8, 4));
    return true;
}

static enum err root_of(struct db *db, struct task *task, const char *table, uint32_t *out_page)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(db, task,
                   "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?1",
                   &statement));
    db_bind_text(statement, 1, str_from_c(table));
    TRY(db_step(db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "database: no such table");
    *out_page = (uint32_t)db_column_int(statement, 0);
    return ERR_OK;
}

/* From the level at hand to the one below it. False in *out_is_there: these are the leaves. */
static enum err descend(struct db *db, struct task *task, struct walk *walk, bool *out_is_there)
{
    *out_is_there = walk->level->count > 0;
    walk->below->count = 0;
    for (size_t i = 0; i < walk->level->count && *out_is_there; i++) {
        CLEANUP(db_release) sqlite3_stmt *statement = NULL;
        bool has_row;

        TRY(db_prepare(db, task, "SELECT data FROM sqlite_dbpage WHERE pgno = ?1", &statement));
        db_bind_int(statement, 1, walk->level->pages[i]);
        TRY(db_step(db, task, statement, &has_row));
        *out_is_there = has_row && add_below(walk, db_column_blob(statement, 0));
    }
    return ERR_OK;
}

static int compare_pages(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return left < right ? -1 : left > right;
}

enum err db_find_leaves(struct db *db, struct task *task, const char *table,
                        const struct db_keys *ranges, size_t range_count, db_on_pages on_pages,
                        void *owner)
{
    struct walk walk = {.ranges = ranges,
                        .range_count = range_count,
                        .level = ARENA_NEW(&task->arena, struct level),
                        .below = ARENA_NEW(&task->arena, struct level)};
    bool is_there = true;
    uint32_t root = 0;

    TRY(root_of(db, task, table, &root));
    add(walk.level, root);
    for (int depth = 0; depth < DEPTH_MAX && is_there; depth++) {
        struct level *upper = walk.level;

        on_pages(owner, walk.level->pages, walk.level->count);
        TRY(descend(db, task, &walk, &is_there));
        walk.level = walk.below;
        walk.below = upper;
        qsort(walk.level->pages, walk.level->count, sizeof(uint32_t), compare_pages);
    }
    return ERR_OK;
}
