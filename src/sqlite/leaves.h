/*
 * Which pages of the file some rows of a table lie in, found without reading these pages: only
 * those above them in the table's b-tree, each of which has some 300 below it. So that all of them
 * can be asked for at once, where SQLite would wait for one after the other.
 */
#ifndef SQLITE_LEAVES_H
#define SQLITE_LEAVES_H

#include "sqlite/db.h"

enum { DB_LEAVES_MAX = 1024 };

struct db_keys {
    int64_t first, last;
};

/* Pages, ascending, of which all, or some, are going to be read now; numbered from 1. */
typedef void (*db_on_pages)(void *owner, const uint32_t *pages, size_t count);

/*
 * Goes down from the table's root to the rows with these keys (ascending ranges, none over another)
 * and tells each level's pages before it reads them; last the leaves, of which it reads the first.
 * At most DB_LEAVES_MAX a level, those with the lowest keys. For tables with a rowid; of a value
 * that fills more than its page only the beginning is there. What cannot be made out is left out:
 * nothing but time depends on it.
 */
MUST_CHECK enum err db_find_leaves(struct db *db, struct task *task, const char *table,
                                   const struct db_keys *ranges, size_t range_count,
                                   db_on_pages on_pages, void *owner);

#endif
