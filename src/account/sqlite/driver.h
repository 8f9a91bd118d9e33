/* What the files of the SQLite driver share; nobody else includes this. */
#ifndef ACCOUNT_SQLITE_DRIVER_H
#define ACCOUNT_SQLITE_DRIVER_H

#include "account/database.h"
#include "base/clock.h"
#include "sqlite/db.h"

struct account_database {
    struct db *db;       /* own */
    char *path;          /* own */
    struct secret *key;  /* own */
    bool is_noting;      /* a transaction with bookkeeping is open */
    bool is_transacting; /* account_begin was called */
};

/* Opens the bookkeeping transaction unless one is open. */
MUST_CHECK enum err account_sqlite_note(struct account_database *database, struct task *task);

struct account_sqlite_time {
    char text[CLOCK_ISO_ROOM];
};
/* The task's time as stored; views into *room. */
struct str account_sqlite_now(const struct task *task, struct account_sqlite_time *room);

/* ACCOUNT_UNLIMITED is NULL in the tables; sizes are clamped to what SQLite's integers hold. */
void account_sqlite_bind_quota(sqlite3_stmt *statement, int index, uint64_t quota_bytes);
uint64_t account_sqlite_column_quota(sqlite3_stmt *statement, int column);
/* Runs a statement that gives a row (?1) a quota (?2). */
MUST_CHECK enum err account_sqlite_set_quota(struct account_database *database, struct task *task,
                                             const char *sql, int64_t row, uint64_t quota_bytes);
uint64_t account_sqlite_column_size(sqlite3_stmt *statement, int column);
int64_t account_sqlite_size(uint64_t bytes);

/* A text column, copied into the task's arena. */
struct str account_sqlite_column_text(struct task *task, sqlite3_stmt *statement, int column);

/* Runs a statement that has only integer parameters, in order. */
MUST_CHECK enum err account_sqlite_run(struct account_database *database, struct task *task,
                                       const char *sql, const int64_t *values, size_t count);
/* The one integer that a query with one integer parameter gives; 0 without a row. */
MUST_CHECK enum err account_sqlite_number(struct account_database *database, struct task *task,
                                          const char *sql, int64_t value, uint64_t *out_number);

#endif
