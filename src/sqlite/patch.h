/*
 * Changes integers in many neighbouring rows of a table, a fifth of the work that an UPDATE makes
 * of it: SQLite's virtual machine takes every value of a row out and puts a new row together, of
 * which here all but two integers is copied as it is.
 */
#ifndef SQLITE_PATCH_H
#define SQLITE_PATCH_H

#include "sqlite/db.h"

enum { DB_PATCH_COLUMNS = 2 };

struct db_patch_column {
    const char *name;   /* of an INTEGER column */
    uint64_t keep, set; /* the value becomes value & keep | set */
};

struct db_patch_plan {
    const char *table;
    struct db_patch_column columns[DB_PATCH_COLUMNS]; /* in their order in the table */
    const char *if_zero; /* behind them: rows in which this column is not 0 stay as they are */
};

struct db_patch;

/*
 * Inside a transaction that writes, in which no other statement changes the table until it is
 * closed. The plan is borrowed for the call. *out_patch is NULL where an UPDATE has to do it, as
 * when something else depends on the table's rows (row_cursor.h).
 */
MUST_CHECK enum err db_patch_open(struct db *db, struct task *task,
                                  const struct db_patch_plan *plan, struct db_patch **out_patch);
/*
 * The rows with the keys first … last. *out_is_done false: there is one among them that an UPDATE
 * of these keys has to do, some may be as they shall be already. On an error the transaction must
 * be taken back.
 */
MUST_CHECK enum err db_patch_rows(struct db_patch *patch, struct task *task, int64_t first,
                                  int64_t last, uint64_t *out_count, bool *out_is_done);
void db_patch_close(struct db_patch **patch);

/* The same for one record; false: it is none that could be changed here. *out_has_changed false: it
 * stays as it is (if_zero). For tests. `positions`: which values those columns are. */
enum { DB_PATCH_RECORD_MAX = 4096, DB_PATCH_GROWTH_MAX = DB_PATCH_COLUMNS * 8 };
struct db_patch_positions {
    size_t columns[DB_PATCH_COLUMNS], if_zero;
};
bool db_patch_record(const struct db_patch_plan *plan, const struct db_patch_positions *positions,
                     const unsigned char *record, size_t len,
                     unsigned char out[static DB_PATCH_RECORD_MAX + DB_PATCH_GROWTH_MAX],
                     size_t *out_len, bool *out_has_changed);

#endif
