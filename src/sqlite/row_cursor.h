/*
 * A cursor over the rows of a table that also writes, below SQL, inside the transaction that its
 * connection is in; for patch.c, which knows what a row looks like. The codes are SQLite's. Between
 * opening and closing it no statement changes the table.
 */
#ifndef SQLITE_ROW_CURSOR_H
#define SQLITE_ROW_CURSOR_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct row_cursor;

/*
 * *out is NULL where only a statement may change the table or can tell why it may not be changed:
 * the connection is in no transaction that writes, or has not read the schema as it is now; or an
 * index, a check, a trigger, a foreign key of the table, a generated column depends on what is in
 * its rows.
 */
int row_cursor_open(sqlite3 *handle, const char *table_name, struct row_cursor **out);
void row_cursor_close(struct row_cursor **row);

/* Which value of a record, from 0, an INTEGER column is; -1: it is not there, or the row's key. */
int row_cursor_column(const struct row_cursor *row, const char *name);

/* To the first row whose key is not below this one, and to the one behind the present one. */
int row_cursor_seek(struct row_cursor *row, int64_t key, bool *out_has_row);
int row_cursor_next(struct row_cursor *row, bool *out_has_row);

/* Of the row that it is at. The record holds until the next call; NULL: it fills more than its
 * page. */
int64_t row_cursor_key(struct row_cursor *row);
const unsigned char *row_cursor_record(struct row_cursor *row, uint32_t *out_len);
/* The row gets this record; the cursor stays at it, and only row_cursor_next may follow. */
int row_cursor_replace(struct row_cursor *row, const unsigned char *record, uint32_t len);

#endif
