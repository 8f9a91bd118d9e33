/*
 * A connection. Invariants:
 *
 * - Whatever SQLite reports passes through db_fail, which turns it into our error and notices the
 *   two kinds after which the connection may not go on as if nothing had happened: a failed sync
 *   (is_broken), and damage (is_damaged: closing must not write the log back over it).
 * - A durable commit is a commit under synchronous=NORMAL followed by a sync of the log: the same
 *   system calls in the same order as synchronous=FULL gives, without the pragma that SQLite does
 *   not take inside a transaction. A commit that nobody waits for leaves the sync out.
 * - Nothing is built on a log whose sync may have failed: opening settles what is in it.
 * - SQLite's own automatic checkpoint hides a failed sync, so ours replaces it.
 *
 * Content never gets into the words of an error: SQLite's own message is used for constant SQL and
 * constraint names only.
 */
#include "sqlite/db.h"

#include "base/file.h"
#include "base/memory.h"
#include "secret/crypt.h"
#include "sqlite/cipher.h"
#include "sqlite/read_around.h"
#include "sqlite/result.h"
#include "sqlite/wal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUSY_TIMEOUT_MS = 5000,
    WAL_PAGES_MAX = 4000, /* then a commit writes the log back */
    HEADER_BYTES = 100,
    LOOKASIDE_SLOT_BYTES = 1200, /* small allocations of one connection: 48 KiB */
    LOOKASIDE_SLOTS = 40,
    STATEMENTS_AT_FIRST = 64, /* a power of two; the table grows */
};

struct cached_statement {
    const char *sql;         /* borrowed, a literal: the key; NULL: the place is free */
    sqlite3_stmt *statement; /* own */
    bool is_used;
};

/* A statement that is out with a caller. */
struct used_statement {
    sqlite3_stmt *statement;
    struct cached_statement *cached; /* NULL: prepared for this use only; finalised after it */
};

struct db {
    sqlite3 *handle;                  /* own */
    struct cached_statement **cached; /* own, and each entry: open addressing by the pointer */
    size_t cached_count, cached_room; /* room: a power of two */
    struct used_statement *used;      /* own; usually released in reverse order */
    size_t used_count, used_room;
    struct wal_file *wal; /* own; NULL: none is open */
    int wal_pages;        /* in the log after the last commit */
    bool is_log_unsynced; /* a commit wrote to the log since its last sync */
    bool is_log_longer;   /* one did since its reader was told of one */
    bool is_broken;
    bool is_damaged;
    bool is_aside; /* DB_CREATE_ASIDE: nothing is synced */
    bool is_beside; /* DB_READ_BESIDE: the log is another connection's */
    unsigned holds; /* of those who want no checkpoint now */
    db_on_log on_log; /* NULL: nobody ships the log */
    void *log_owner;  /* borrowed */
};

static const char client_name[] = "sealpost";

void db_init_library(void)
{
    /* Refused when SQLite is initialised already, which is then as it should be. */
    (void)sqlite3_config(SQLITE_CONFIG_LOOKASIDE, LOOKASIDE_SLOT_BYTES, LOOKASIDE_SLOTS);
    cipher_register();
    read_around_init();
}

/* --- Errors --- */

enum err db_fail(struct db *db, struct task *task, int result_code, const char *what)
{
    enum err err = result_err(db->handle, result_code);
    int kind = result_code & 0xff;

    if (result_code == SQLITE_IOERR_FSYNC || result_code == SQLITE_IOERR_DIR_FSYNC)
        db->is_broken = true;
    if (err == ERR_CORRUPT)
        db->is_damaged = true;
    if (db->is_broken)
        err = ERR_IO;
    if (kind == SQLITE_CONSTRAINT)
        return fail(task, err, "%s: %s", what, sqlite3_errmsg(db->handle));
    return fail(task, err, "%s: %s (%d)", what, sqlite3_errstr(result_code), result_code);
}

static enum err check_usable(const struct db *db, struct task *task)
{
    if (db->is_broken)
        return fail(task, ERR_IO, "database: an earlier sync failed, it must be reopened");
    return ERR_OK;
}

/* --- Opening and closing --- */

static int on_wal_commit(void *data, sqlite3 *handle, const char *name, int pages)
{
    struct db *db = data;

    (void)handle;
    (void)name;
    db->wal_pages = pages;
    db->is_log_unsynced = true;
    db->is_log_longer = true;
    return SQLITE_OK;
}

/* What can be told about a file before its key is tried: something of ours, or damaged. */
static enum err inspect_header(struct task *task, int fd, const struct stat *status)
{
    unsigned char header[HEADER_BYTES];
    uint32_t page_bytes;

    if (pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
        return fail(task, ERR_CORRUPT, "database: shorter than a header");
    page_bytes = (uint32_t)header[16] << 8 | header[17];
    if (page_bytes == 1)
        page_bytes = 65536;
    if (page_bytes < 512 || (page_bytes & (page_bytes - 1)) != 0 ||
        status->st_size < (off_t)page_bytes)
        return fail(task, ERR_CORRUPT, "database: truncated, or its header is damaged");
    /* File format versions, reserved bytes, and the three fixed fractions of the format. */
    if (header[18] < 1 || header[18] > 2 || header[19] < 1 || header[19] > 2 ||
        header[20] != CIPHER_RESERVED_BYTES || header[21] != 64 || header[22] != 32 ||
        header[23] != 32)
        return fail(task, ERR_CORRUPT, "database: its header is damaged");
    return ERR_OK;
}

static enum err prepare_file(struct task *task, const char *path, enum db_mode mode,
                             bool *out_is_new)
{
    int flags = O_RDWR | O_CLOEXEC | (mode == DB_OPEN || mode == DB_READ_BESIDE ? 0 : O_CREAT) |
                (mode == DB_CREATE || mode == DB_CREATE_ASIDE ? O_EXCL : 0);
    CLEANUP(fd_close) int fd = open(path, flags, 0600);
    struct stat status;

    if (fd < 0 && errno == ENOENT)
        return fail(task, ERR_NOT_FOUND, "database: no such file");
    if (fd < 0 && errno == EEXIST)
        return fail(task, ERR_EXISTS, "database: the file exists");
    if (fd < 0 || fstat(fd, &status) != 0)
        return fail(task, result_system(errno, ERR_IO), "database: open: %s", strerror(errno));
    *out_is_new = status.st_size == 0;
    if (!*out_is_new)
        return inspect_header(task, fd, &status);
    if (mode == DB_OPEN || mode == DB_READ_BESIDE)
        return fail(task, ERR_CORRUPT, "database: the file is empty");
    return ERR_OK;
}

/* In design §4's order; journal_mode reads the first page, so the key is known to fit after it. */
static enum err configure(struct db *db, struct task *task, bool is_new)
{
    const char *const pragmas[] = {
        /* A file that is made aside is synced once, when it is whole: not for its log either. */
        db->is_aside ? "PRAGMA synchronous=OFF" : NULL,
        "PRAGMA journal_mode=WAL",
        db->is_aside ? NULL : "PRAGMA synchronous=NORMAL",
        "PRAGMA foreign_keys=ON",
        "PRAGMA encoding='UTF-8'",
        "PRAGMA secure_delete=ON",
        "PRAGMA temp_store=MEMORY",
        "PRAGMA trusted_schema=OFF",
        "PRAGMA cell_size_check=ON",
        "PRAGMA memory_security=fill",
        "PRAGMA cache_size=-8192", /* KiB */
        db->is_beside ? "PRAGMA query_only=ON" : NULL,
    };
    int code;

    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    sqlite3_wal_hook(db->handle, on_wal_commit, db);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    for (size_t i = 0; i < ARRAY_LEN(pragmas); i++) {
        if (pragmas[i] == NULL)
            continue;
        code = sqlite3_exec(db->handle, pragmas[i], NULL, NULL, NULL);
        if (code == SQLITE_NOTADB && !is_new) {
            db->is_damaged = true; /* or the key is wrong: in both cases nothing is written */
            return fail(task, ERR_DENIED, "database: the key does not open it");
        }
        if (code != SQLITE_OK)
            return db_fail(db, task, sqlite3_extended_errcode(db->handle), pragmas[i]);
    }
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return ERR_OK;
}

/*
 * What a predecessor left in the log goes into the file, and the log begins anew, before anything
 * is acknowledged on top of it. After a failed sync the kernel may take the log's pages for clean
 * although the disk lacks them: then a later sync of the log succeeds without them, and a power cut
 * would take everything behind the gap. Written into the file they are on their way once more.
 *
 * Only a failed sync is an error. On a full disk, or beside another reader, the log stays as it is:
 * all can be read, and the next commit tells whether it can be written.
 */
static enum err settle_log(struct db *db, struct task *task)
{
    struct task aside;
    int code;

    sqlite3_busy_timeout(db->handle, 0);
    code = sqlite3_wal_checkpoint_v2(db->handle, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    db->wal_pages = 0;
    if (code == SQLITE_OK || code == SQLITE_BUSY)
        return ERR_OK;
    task_init(&aside, task->now_ms);
    (void)db_fail(db, &aside, code, "database: settling the log");
    task_done(&aside);
    return check_usable(db, task);
}

enum err db_open(struct task *task, const char *path, enum db_mode mode, const struct secret *key,
                 struct db **out_db)
{
    CLEANUP(db_close) struct db *db = NULL;
    struct str key_bytes = secret_str(key);
    bool is_new = false;
    int code;

    if (key_bytes.len != MAILBOX_KEY_BYTES)
        return fail(task, ERR_INVALID, "database: a key has %d bytes", MAILBOX_KEY_BYTES);
    TRY(prepare_file(task, path, mode, &is_new));
    db = NEW(struct db);
    code = sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, NULL);
    if (db->handle == NULL)
        abort();
    if (code != SQLITE_OK)
        return db_fail(db, task, code, "database: open");
    sqlite3_set_clientdata(db->handle, client_name, db, NULL);
    code = sqlite3_key(db->handle, key_bytes.ptr, (int)key_bytes.len);
    if (code != SQLITE_OK)
        return db_fail(db, task, code, "database: key");
    db->is_aside = mode == DB_CREATE_ASIDE;
    db->is_beside = mode == DB_READ_BESIDE;
    TRY(configure(db, task, is_new));
    if (!db->is_aside && !db->is_beside)
        TRY(settle_log(db, task));
    *out_db = db;
    db = NULL;
    return ERR_OK;
}

enum db_file_kind db_file_kind(int fd)
{
    static const char magic[] = "SQLite format 3"; /* with its NUL */
    char head[HEADER_BYTES] = {0};
    struct stat status;
    struct task task;
    enum db_file_kind kind = DB_FILE_OTHER;

    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
        return DB_FILE_OTHER;
    if (memcmp(head, magic, sizeof(magic)) == 0)
        return DB_FILE_CLEAR;
    task_init(&task, 0);
    if (inspect_header(&task, fd, &status) == ERR_OK)
        kind = DB_FILE_ENCRYPTED;
    task_done(&task);
    return kind;
}

static enum err configure_foreign(struct db *db, struct task *task)
{
    static const struct {
        int limit, value;
    } limits[] = {
        {SQLITE_LIMIT_LENGTH, DB_FOREIGN_VALUE_MAX}, {SQLITE_LIMIT_SQL_LENGTH, 1024 * 1024},
        {SQLITE_LIMIT_COLUMN, 100},                  {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 1},             {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100},
    };
    static const struct {
        int option, value;
    } options[] = {
        {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1}, {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},   {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},      {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
    };
    static const char *const pragmas[] = {
        "PRAGMA cell_size_check=ON", "PRAGMA temp_store=MEMORY", "PRAGMA memory_security=fill",
        "PRAGMA cache_size=-2048",   "PRAGMA mmap_size=0",       "PRAGMA query_only=ON",
        "SELECT count(*) FROM sqlite_schema", /* reads the first page: does the key fit? */
    };

    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        sqlite3_limit(db->handle, limits[i].limit, limits[i].value);
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        sqlite3_db_config(db->handle, options[i].option, options[i].value, NULL);
    for (size_t i = 0; i < ARRAY_LEN(pragmas); i++) {
        int code = sqlite3_exec(db->handle, pragmas[i], NULL, NULL, NULL);

        if (code == SQLITE_NOTADB)
            return fail(task, ERR_DENIED, "database: the key does not open it");
        if (code != SQLITE_OK)
            return db_fail(db, task, sqlite3_extended_errcode(db->handle), pragmas[i]);
    }
    return ERR_OK;
}

enum err db_open_foreign(struct task *task, int fd, const struct secret *key, struct db **out_db)
{
    CLEANUP(db_close) struct db *db = NULL;
    struct str key_bytes = secret_str(key);
    /* Immutable: SQLite takes no lock, and reads no log or journal beside it. */
    const char *uri = arena_printf(&task->arena, "file:/proc/self/fd/%d?immutable=1", fd).ptr;
    int code;

    if (key_bytes.len != MAILBOX_KEY_BYTES || db_file_kind(fd) != DB_FILE_ENCRYPTED)
        return fail(task, ERR_INVALID, "database: no encrypted one");
    db = NEW(struct db);
    code = sqlite3_open_v2(uri, &db->handle,
                           SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_EXRESCODE, NULL);
    if (db->handle == NULL)
        abort();
    db->is_beside = true;
    if (code != SQLITE_OK)
        return db_fail(db, task, code, "database: open");
    sqlite3_set_clientdata(db->handle, client_name, db, NULL);
    code = sqlite3_key(db->handle, key_bytes.ptr, (int)key_bytes.len);
    if (code != SQLITE_OK)
        return db_fail(db, task, code, "database: key");
    TRY(configure_foreign(db, task));
    *out_db = db;
    db = NULL;
    return ERR_OK;
}

enum err db_open_memory(struct task *task, struct db **out_db)
{
    CLEANUP(db_close) struct db *db = NEW(struct db);
    int code =
        sqlite3_open_v2(":memory:", &db->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE, NULL);

    if (db->handle == NULL)
        abort();
    if (code != SQLITE_OK)
        return db_fail(db, task, code, "database: memory");
    sqlite3_set_clientdata(db->handle, client_name, db, NULL);
    *out_db = db;
    db = NULL;
    return ERR_OK;
}

/* Whoever ships the log reads what he has put off. */
static void read_log_now(struct db *db)
{
    if (db->on_log != NULL)
        db->on_log(db->log_owner, 0, false);
}

void db_close(struct db **db_place)
{
    struct db *db = *db_place;

    if (db == NULL)
        return;
    *db_place = NULL;
    read_log_now(db);
    while (db->used_count > 0) {
        sqlite3_stmt *statement = db->used[db->used_count - 1].statement;

        db_release(&statement);
    }
    for (size_t i = 0; i < db->cached_room; i++) {
        if (db->cached[i] == NULL)
            continue;
        sqlite3_finalize(db->cached[i]->statement);
        mem_free(&db->cached[i]);
    }
    db_rollback(db);
    /* Closing writes the log back and removes it; but never over a damaged or doubtful file. */
    if (!db->is_broken && !db->is_damaged && !db->is_beside)
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    if (sqlite3_close(db->handle) != SQLITE_OK)
        abort(); /* a statement is open that did not come from db_prepare */
    wal_file_free(&db->wal);
    mem_free(&db->cached);
    mem_free(&db->used);
    mem_free(&db);
}

void db_forget(struct db **db)
{
    if (*db == NULL)
        return;
    (*db)->is_beside = true; /* with it, closing does not even ask for the lock to write */
    (*db)->on_log = NULL;    /* the log is read by the parent */
    db_close(db);
}

sqlite3 *db_handle(struct db *db)
{
    return db->handle;
}

/* --- Statements --- */

static size_t place_of(const struct db *db, const char *sql)
{
    uint64_t mixed = (uint64_t)(uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15);
    size_t place = (size_t)(mixed >> 32) & (db->cached_room - 1);

    while (db->cached[place] != NULL && db->cached[place]->sql != sql)
        place = (place + 1) & (db->cached_room - 1);
    return place;
}

static void cache_grow(struct db *db)
{
    struct cached_statement **old = db->cached;
    size_t old_room = db->cached_room;

    db->cached_room = old_room == 0 ? STATEMENTS_AT_FIRST : old_room * 2;
    db->cached = NEW_ARRAY(struct cached_statement *, db->cached_room);
    for (size_t i = 0; i < old_room; i++) {
        if (old[i] != NULL)
            db->cached[place_of(db, old[i]->sql)] = old[i];
    }
    mem_free(&old);
}

static void note_used(struct db *db, sqlite3_stmt *statement, struct cached_statement *cached)
{
    if (db->used_count == db->used_room) {
        db->used_room = db->used_room == 0 ? 16 : db->used_room * 2;
        db->used = mem_resize(db->used, db->used_room, sizeof(*db->used));
    }
    db->used[db->used_count++] = (struct used_statement){statement, cached};
    if (cached != NULL)
        cached->is_used = true;
}

enum err db_prepare(struct db *db, struct task *task, const char *sql, sqlite3_stmt **out_statement)
{
    struct cached_statement *cached;
    sqlite3_stmt *statement;
    size_t place;
    int code;

    TRY(check_usable(db, task));
    if (db->cached_count * 2 >= db->cached_room)
        cache_grow(db);
    place = place_of(db, sql);
    cached = db->cached[place];
    if (cached != NULL && !cached->is_used) {
        note_used(db, cached->statement, cached);
        *out_statement = cached->statement;
        return ERR_OK;
    }
    code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
    if (code == SQLITE_ERROR) /* a mistake in constant SQL: its words help, and hold no content */
        return fail(task, ERR_IO, "database: %s", sqlite3_errmsg(db->handle));
    if (code != SQLITE_OK)
        return db_fail(db, task, code, "database: prepare");
    if (cached == NULL) {
        cached = NEW(struct cached_statement);
        cached->sql = sql;
        cached->statement = statement;
        db->cached[place] = cached;
        db->cached_count++;
        note_used(db, statement, cached);
    } else {
        note_used(db, statement, NULL);
    }
    *out_statement = statement;
    return ERR_OK;
}

void db_release(sqlite3_stmt **statement_place)
{
    sqlite3_stmt *statement = *statement_place;
    struct db *db;
    size_t i;

    if (statement == NULL)
        return;
    *statement_place = NULL;
    db = sqlite3_get_clientdata(sqlite3_db_handle(statement), client_name);
    for (i = db->used_count; i > 0 && db->used[i - 1].statement != statement; i--)
        ;
    assert(i > 0);
    if (db->used[i - 1].cached != NULL) {
        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement);
        db->used[i - 1].cached->is_used = false;
    } else {
        sqlite3_finalize(statement);
    }
    memmove(&db->used[i - 1], &db->used[i], (db->used_count - i) * sizeof(*db->used));
    db->used_count--;
}

/* A failing bind is a mistake of ours or a lack of memory. */
static void check_bind(int code)
{
    if (code != SQLITE_OK)
        abort();
}

void db_bind_int(sqlite3_stmt *statement, int index, int64_t value)
{
    check_bind(sqlite3_bind_int64(statement, index, value));
}

void db_bind_text(sqlite3_stmt *statement, int index, struct str text)
{
    check_bind(sqlite3_bind_text64(statement, index, text.ptr == NULL ? "" : text.ptr, text.len,
                                   SQLITE_STATIC, SQLITE_UTF8));
}

void db_bind_blob(sqlite3_stmt *statement, int index, struct str bytes)
{
    check_bind(sqlite3_bind_blob64(statement, index, bytes.ptr == NULL ? "" : bytes.ptr, bytes.len,
                                   SQLITE_STATIC));
}

void db_bind_null(sqlite3_stmt *statement, int index)
{
    check_bind(sqlite3_bind_null(statement, index));
}

enum err db_step(struct db *db, struct task *task, sqlite3_stmt *statement, bool *out_has_row)
{
    int code;

    TRY(check_usable(db, task));
    code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        enum err err = db_fail(db, task, code, "database");

        sqlite3_reset(statement);
        return err;
    }
    *out_has_row = code == SQLITE_ROW;
    return ERR_OK;
}

enum err db_run(struct db *db, struct task *task, sqlite3_stmt *statement)
{
    bool has_row;

    do {
        TRY(db_step(db, task, statement, &has_row));
    } while (has_row);
    sqlite3_reset(statement);
    return ERR_OK;
}

int64_t db_column_int(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_int64(statement, column);
}

struct str db_column_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);

    return str_make(text, (size_t)sqlite3_column_bytes(statement, column));
}

struct str db_column_blob(sqlite3_stmt *statement, int column)
{
    const void *bytes = sqlite3_column_blob(statement, column);

    return str_make(bytes, (size_t)sqlite3_column_bytes(statement, column));
}

bool db_column_is_null(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL;
}

enum err db_execute(struct db *db, struct task *task, const char *sql)
{
    int code;

    TRY(check_usable(db, task));
    code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    if (code == SQLITE_ERROR)
        return fail(task, ERR_IO, "database: %s", sqlite3_errmsg(db->handle));
    if (code != SQLITE_OK)
        return db_fail(db, task, code, "database: execute");
    return ERR_OK;
}

/* --- Transactions --- */

static enum err run_constant(struct db *db, struct task *task, const char *sql)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(db, task, sql, &statement));
    return db_run(db, task, statement);
}

/* The log is opened by the first transaction. */
static void take_log(struct db *db)
{
    sqlite3_file *log = NULL;

    if (sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK &&
        sqlite3_db_filename(db->handle, "main")[0] != '\0')
        db->wal = wal_file_new(log);
}

enum err db_begin(struct db *db, struct task *task)
{
    TRY(run_constant(db, task, "BEGIN IMMEDIATE"));
    if (db->wal == NULL)
        take_log(db);
    return ERR_OK;
}

/* The part of synchronous=FULL that NORMAL leaves out. */
static enum err sync_log(struct db *db, struct task *task)
{
    sqlite3_file *log = NULL;
    int code;

    if (!db->is_log_unsynced || db->is_aside)
        return ERR_OK;
    code = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (code == SQLITE_OK && log != NULL && log->pMethods != NULL)
        code = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
    else
        code = SQLITE_IOERR_FSYNC;
    if (code != SQLITE_OK)
        return db_fail(db, task, SQLITE_IOERR_FSYNC, "database: commit");
    db->is_log_unsynced = false;
    return ERR_OK;
}

enum err db_commit(struct db *db, struct task *task, bool is_durable)
{
    enum err err = run_constant(db, task, "COMMIT");

    if (err != ERR_OK) {
        db_rollback(db);
        return err;
    }
    if (is_durable)
        TRY(sync_log(db, task));
    if (db->on_log != NULL && db->is_log_longer) /* not where nothing was changed */
        db->on_log(db->log_owner, db->wal_pages, db->holds == 0 && db->wal_pages < WAL_PAGES_MAX);
    db->is_log_longer = false;
    if (db->wal_pages >= WAL_PAGES_MAX) {
        struct task aside;

        /* What was committed is safe whatever becomes of this; only a failed sync matters, and
         * later calls will tell of it. */
        task_init(&aside, task->now_ms);
        if (db_checkpoint(db, &aside) != ERR_OK)
            task_forgive(&aside);
        task_done(&aside);
    }
    return ERR_OK;
}

enum err db_read_begin(struct db *db, struct task *task, bool *out_is_begun)
{
    *out_is_begun = false;
    if (sqlite3_get_autocommit(db->handle) == 0)
        return ERR_OK;
    TRY(run_constant(db, task, "BEGIN"));
    *out_is_begun = true;
    return ERR_OK;
}

void db_read_end(struct db *db, bool is_begun)
{
    if (is_begun)
        db_rollback(db);
}

void db_rollback(struct db *db)
{
    if (db->handle != NULL && !sqlite3_get_autocommit(db->handle))
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

bool db_is_broken(const struct db *db)
{
    return db->is_broken;
}

/* --- The log, and memory --- */

int db_wal_pages(const struct db *db)
{
    return db->wal_pages;
}

enum err db_checkpoint(struct db *db, struct task *task)
{
    int pages = 0, written = 0, code;

    TRY(check_usable(db, task));
    if (db->holds > 0)
        return ERR_OK;
    read_log_now(db);
    code =
        sqlite3_wal_checkpoint_v2(db->handle, "main", SQLITE_CHECKPOINT_PASSIVE, &pages, &written);
    if (code == SQLITE_BUSY)
        return ERR_OK;
    if (code != SQLITE_OK)
        return db_fail(db, task, code, "database: checkpoint");
    if (pages >= 0 && written == pages) {
        db->wal_pages = 0; /* the next writer starts the log over */
        db->is_log_unsynced = false;
    }
    return ERR_OK;
}

void db_set_log_reader(struct db *db, db_on_log on_log, void *owner)
{
    db->on_log = on_log;
    db->log_owner = owner;
}

void db_hold_checkpoints(struct db *db, bool is_held)
{
    assert(is_held || db->holds > 0);
    if (is_held)
        read_log_now(db);
    db->holds = is_held ? db->holds + 1 : db->holds - 1;
}

bool db_checkpoints_are_held(const struct db *db)
{
    return db->holds > 0;
}

void db_set_cache(struct db *db, int kib)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "PRAGMA cache_size=-%d", kib);
    (void)sqlite3_exec(db->handle, text, NULL, NULL, NULL); /* without it, it is only slower */
}

void db_shrink(struct db *db)
{
    sqlite3_db_release_memory(db->handle);
}

bool db_settle(struct db *db)
{
    int code;

    if (db->holds > 0)
        return false;
    read_log_now(db);
    sqlite3_busy_timeout(db->handle, 0);
    code = sqlite3_wal_checkpoint_v2(db->handle, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    if (code == SQLITE_IOERR_FSYNC)
        db->is_broken = true;
    db->wal_pages = 0;
    return code == SQLITE_OK;
}

bool db_is_used(const struct db *db)
{
    return db->used_count > 0 || sqlite3_get_autocommit(db->handle) == 0;
}
