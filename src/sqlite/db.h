/*
 * An encrypted SQLite database: opening with our cipher, the pragmas of design §4, statements,
 * transactions, error mapping. The account database, the mailbox file and the drop box all stand on
 * this; the SQL is theirs.
 *
 * The cipher has SQLite3 Multiple Ciphers' `chacha20` format, but OpenSSL does the arithmetic and
 * the kernel gives every page nonce (sqlite/cipher.c).
 */
#ifndef SQLITE_DB_H
#define SQLITE_DB_H

#include "base/task.h"
#include "secret/secret.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct db; /* a connection, with its cache of prepared statements */

enum db_mode {
    DB_OPEN,        /* must exist */
    DB_CREATE,      /* must not exist; made with mode 0600, its folder synced */
    DB_OPEN_CREATE, /* either */
    /* As DB_CREATE, but nothing is ever synced, a durable commit neither: for a file that is made
     * under another name, then closed, synced and renamed. */
    DB_CREATE_ASIDE,
    /* Must exist, and another connection of ours has it: reads only. The log is left alone, at the
     * beginning and at the end: it is the other's. */
    DB_READ_BESIDE,
};

/* Once in a process (before any open): registers the cipher and configures SQLite. */
void db_init_library(void);

/*
 * Opens `path` with `key` (MAILBOX_KEY_BYTES: key ‖ salt, borrowed for the call) and sets the
 * pragmas of design §4. With a wrong key, ERR_DENIED if the file is intact as far as can be told
 * (header present, first page does not authenticate); ERR_NOT_FOUND, ERR_EXISTS, ERR_CORRUPT,
 * ERR_LIMIT (disk full), ERR_IO.
 */
MUST_CHECK enum err db_open(struct task *task, const char *path, enum db_mode mode,
                            const struct secret *key, struct db **out_db);
/*
 * A file of unknown origin, which `fd` (borrowed) has open: read only, whatever is in it. No log or
 * journal beside it is looked at, its schema is not trusted, nothing in it is longer than
 * DB_FOREIGN_VALUE_MAX. Look at db_check_schema before anything else of it. ERR_INVALID: db_file_kind
 * is another; ERR_DENIED: the key; ERR_CORRUPT.
 */
enum { DB_FOREIGN_VALUE_MAX = 16 * 1024 * 1024 };
MUST_CHECK enum err db_open_foreign(struct task *task, int fd, const struct secret *key,
                                    struct db **out_db);

/* What a file is by its first bytes. */
enum db_file_kind {
    DB_FILE_OTHER,
    DB_FILE_ENCRYPTED, /* as ours, and those of SQLite3 Multiple Ciphers' chacha20 */
    DB_FILE_CLEAR,     /* a database of SQLite that is not encrypted */
};
enum db_file_kind db_file_kind(int fd);

/*
 * An empty database in memory, without a cipher: for schema comparison and tests, never for content
 * of a mailbox or account.
 */
MUST_CHECK enum err db_open_memory(struct task *task, struct db **out_db);
/* Finalises all statements; writes the log back and removes it, unless the file is damaged. */
void db_close(struct db **db);

/*
 * In a forked child, for its parent's connection: lets go of it and touches neither file nor log.
 * SQLite keeps, for each file that the process has open, what it has locked; a child inherits that
 * without the locks, so no connection of its own works before this.
 */
void db_forget(struct db **db);

sqlite3 *db_handle(struct db *db);

/*
 * The prepared statement for a constant SQL text, from the connection's cache (keyed by the
 * pointer: pass string literals). It is reset and unbound when db_release is called, which
 * CLEANUP(db_release) on the local does.
 */
MUST_CHECK enum err db_prepare(struct db *db, struct task *task, const char *sql,
                               sqlite3_stmt **out_statement);
void db_release(sqlite3_stmt **statement);

/* Binds by position from 1: bind functions cannot fail but for memory, which aborts. */
void db_bind_int(sqlite3_stmt *statement, int index, int64_t value);
void db_bind_text(sqlite3_stmt *statement, int index, struct str text); /* borrowed until release */
void db_bind_blob(sqlite3_stmt *statement, int index, struct str bytes); /* likewise */
void db_bind_null(sqlite3_stmt *statement, int index);

/* One row: *out_has_row tells. Errors are mapped and worded from the connection. */
MUST_CHECK enum err db_step(struct db *db, struct task *task, sqlite3_stmt *statement,
                            bool *out_has_row);
/* To the end, expecting no row. ERR_EXISTS for a uniqueness violation. */
MUST_CHECK enum err db_run(struct db *db, struct task *task, sqlite3_stmt *statement);

int64_t db_column_int(sqlite3_stmt *statement, int column);
struct str db_column_text(sqlite3_stmt *statement, int column); /* until the next step */
struct str db_column_blob(sqlite3_stmt *statement, int column); /* until the next step */
bool db_column_is_null(sqlite3_stmt *statement, int column);

/* Constant SQL without results: schema files and pragmas. */
MUST_CHECK enum err db_execute(struct db *db, struct task *task, const char *sql);

/*
 * Transactions. Writers use BEGIN IMMEDIATE. A durable commit (acknowledged to someone) runs with
 * synchronous=FULL, another with NORMAL. After a failed sync the handle is not trusted: every later
 * call gives ERR_IO, and the owner must close and reopen it. Not nested.
 */
MUST_CHECK enum err db_begin(struct db *db, struct task *task);
MUST_CHECK enum err db_commit(struct db *db, struct task *task, bool is_durable);
/* Harmless outside a transaction. */
void db_rollback(struct db *db);
/*
 * Many readings of one state, and without taking SQLite's locks for each statement. Nothing may be
 * written before db_read_end. Within a transaction both do nothing.
 */
MUST_CHECK enum err db_read_begin(struct db *db, struct task *task, bool *out_is_begun);
void db_read_end(struct db *db, bool is_begun);
bool db_is_broken(const struct db *db);

/*
 * The write-ahead log goes back into the file when it has grown far enough, at the end of a commit.
 * Whoever has idle moments does it earlier: db_wal_pages says how much waits, db_checkpoint writes
 * it back (passively; what cannot be done now is not an error).
 */
int db_wal_pages(const struct db *db);
MUST_CHECK enum err db_checkpoint(struct db *db, struct task *task);
/* All of the log into the file, if nobody reads it and nothing is being written; false: not now. */
bool db_settle(struct db *db);
/* A statement is with a caller, or a transaction is open. */
bool db_is_used(const struct db *db);
/*
 * For whoever ships the log away: called after every commit that changed something, when its frames are
 * in the log's file, which has `pages` of them now. Where it `may_wait`, they stay there until the next call without
 * that, which comes before anything can write them back and overwrite them: with the commit itself, or
 * with 0 pages before a checkpoint, a closing, or somebody's holding of checkpoints (who may have a
 * child that makes one). It must not use the connection.
 */
typedef void (*db_on_log)(void *owner, int pages, bool may_wait);
void db_set_log_reader(struct db *db, db_on_log on_log, void *owner);
/* While checkpoints are held, the database's file itself does not change. Each who holds them lets go
 * once; not over a closing. */
void db_hold_checkpoints(struct db *db, bool is_held);
bool db_checkpoints_are_held(const struct db *db);
/* At most so much of the file's pages is kept in memory, decrypted; 8 MiB if nobody says. */
void db_set_cache(struct db *db, int kib);
/* Gives page cache back to the allocator: for a connection that will be idle. */
void db_shrink(struct db *db);

/* SQLite's result code as our error, with its words in the task. */
enum err db_fail(struct db *db, struct task *task, int result_code, const char *what);

/*
 * Numbered migrations: `migrations[i]` brings user_version from i to i + 1; those missing are
 * applied in one transaction. Then the live schema is compared with the one that all migrations
 * give on an empty database: missing indexes and nullable columns are added; any other difference
 * is ERR_CORRUPT, its words naming the table and column. A newer user_version is ERR_INVALID.
 */
MUST_CHECK enum err db_migrate(struct db *db, struct task *task, const char *const *migrations,
                               size_t migration_count);
/*
 * Changes nothing: the schema has to be just what the first of these migrations give, as many as the
 * file says that it has (*out_version, at least 1). ERR_INVALID: it has more of them, or none;
 * ERR_CORRUPT: its words name what differs.
 */
MUST_CHECK enum err db_check_schema(struct db *db, struct task *task,
                                    const char *const *migrations, size_t migration_count,
                                    size_t *out_version);

#endif
