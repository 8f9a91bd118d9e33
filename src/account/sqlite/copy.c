/* A copy of the database in slices, through SQLite's backup interface: what is written meanwhile by this
 * connection, and nobody else writes, goes into the copy, too. */
#include "account/sqlite/driver.h"

#include "base/memory.h"

#include <string.h>
#include <unistd.h>

struct account_copy {
    struct account_database *database; /* borrowed */
    struct db *source;                 /* borrowed; the connection that it began with */
    struct db *db;                     /* own */
    sqlite3_backup *backup;            /* own */
    char *path;                        /* own */
};

int64_t account_changes(const struct account_database *database)
{
    return sqlite3_total_changes64(db_handle(database->db));
}

enum err account_copy_begin(struct account_database *database, struct task *task, const char *path,
                            struct account_copy **out)
{
    CLEANUP(account_copy_free) struct account_copy *copy = NEW(struct account_copy);

    copy->database = database;
    copy->source = database->db;
    copy->path = mem_copy_text(path, strlen(path));
    (void)unlink(path); /* of a process that ended in the middle */
    TRY(db_open(task, path, DB_CREATE_ASIDE, database->key, &copy->db));
    copy->backup = sqlite3_backup_init(db_handle(copy->db), "main", db_handle(database->db), "main");
    if (copy->backup == NULL)
        return fail(task, ERR_IO, "copy of the database: %s",
                    sqlite3_errmsg(db_handle(copy->db)));
    *out = copy;
    copy = NULL;
    return ERR_OK;
}

enum err account_copy_step(struct account_copy *copy, struct task *task, int pages,
                           bool *out_is_done)
{
    int code;

    *out_is_done = false;
    if (copy->database->db != copy->source)
        return fail(task, ERR_BUSY, "the database was opened anew meanwhile");
    TRY(account_flush(copy->database, task));
    code = sqlite3_backup_step(copy->backup, pages);
    if (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED)
        return ERR_OK;
    if (code != SQLITE_DONE)
        return fail(task, code == SQLITE_FULL ? ERR_LIMIT : ERR_IO, "copy of the database: %s",
                    sqlite3_errstr(code));
    *out_is_done = true;
    return ERR_OK;
}

/* Opened with the key, every page of it read. */
static enum err check(struct account_copy *copy, struct task *task)
{
    struct db *db = NULL;
    sqlite3_stmt *statement = NULL;
    bool has_row = false;
    enum err err;

    TRY(db_open(task, copy->path, DB_OPEN, copy->database->key, &db));
    err = db_prepare(db, task, "PRAGMA quick_check(1)", &statement);
    if (err == ERR_OK)
        err = db_step(db, task, statement, &has_row);
    if (err == ERR_OK && (!has_row || !str_equal(db_column_text(statement, 0), STR("ok"))))
        err = fail(task, ERR_CORRUPT, "the copy of the database is damaged");
    db_release(&statement);
    db_close(&db);
    return err;
}

enum err account_copy_end(struct account_copy *copy, struct task *task)
{
    int code = sqlite3_backup_finish(copy->backup);

    copy->backup = NULL;
    if (code != SQLITE_OK)
        return fail(task, ERR_IO, "copy of the database: %s", sqlite3_errstr(code));
    db_close(&copy->db);
    return check(copy, task);
}

void account_copy_free(struct account_copy **copy)
{
    if (*copy == NULL)
        return;
    if ((*copy)->backup != NULL)
        (void)sqlite3_backup_finish((*copy)->backup);
    db_close(&(*copy)->db);
    if ((*copy)->path != NULL)
        (void)unlink((*copy)->path);
    mem_free(&(*copy)->path);
    mem_free(copy);
}
