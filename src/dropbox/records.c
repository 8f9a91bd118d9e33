#include "dropbox/records.h"

#include "base/file.h"
#include "base/memory.h"
#include "dropbox/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 4096 };

struct records {
    struct db *db;       /* own */
    char *path, *folder; /* own */
};

static const char *const migrations[] = {DROPBOX_SCHEMA_0001};

static void bind_place(sqlite3_stmt *statement, const struct chain_place *place)
{
    /* SQLite's integers are signed; the bits are what counts. */
    db_bind_blob(statement, 1, str_make(place->lane, DROPBOX_LANE_BYTES));
    db_bind_int(statement, 2, (int64_t)place->generation);
    db_bind_int(statement, 3, (int64_t)place->boot);
}

/* A database's files: the main one last, since SQLite ignores a log without its file. */
static enum err remove_files(struct task *task, const char *path)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal", ""};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char name[PATH_ROOM];

        if (snprintf(name, sizeof(name), "%s%s", path, suffixes[i]) >= (int)sizeof(name))
            return fail(task, ERR_INVALID, "path too long");
        if (unlink(name) != 0 && errno != ENOENT)
            return fail(task, ERR_IO, "remove drop file: %s", strerror(errno));
    }
    return ERR_OK;
}

static enum err fill_new(struct task *task, const char *path, const struct secret *drop_key)
{
    CLEANUP(db_close) struct db *db = NULL;

    TRY(db_open(task, path, DB_CREATE_ASIDE, drop_key, &db));
    TRY(db_migrate(db, task, migrations, ARRAY_LEN(migrations)));
    return db_checkpoint(db, task); /* closing would not tell when it fails */
}

/*
 * Made whole under another name, synced once and then renamed, so that a crash at any moment leaves
 * no file or a good one: a half-made database could not be told from a damaged one.
 */
static enum err create(struct task *task, const struct records *records,
                       const struct secret *drop_key)
{
    CLEANUP(fd_close) int fd = -1;
    char path[PATH_ROOM];

    if (snprintf(path, sizeof(path), "%s.new", records->path) >= (int)sizeof(path))
        return fail(task, ERR_INVALID, "path too long");
    TRY(remove_files(task, path));
    TRY(fill_new(task, path, drop_key));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return fail(task, ERR_IO, "sync drop file: %s", strerror(errno));
    if (rename(path, records->path) != 0)
        return fail(task, errno == ENOSPC ? ERR_LIMIT : ERR_IO, "rename drop file: %s",
                    strerror(errno));
    return dir_sync(task, AT_FDCWD, records->folder);
}

static enum err open_path(struct task *task, const char *drop_folder, const char *path,
                          const struct secret *drop_key, bool may_create,
                          struct records **out_records)
{
    CLEANUP(records_close) struct records *records = NEW(struct records);

    records->path = mem_copy_text(path, strlen(path));
    records->folder = mem_copy_text(drop_folder, strlen(drop_folder));
    if (may_create && access(path, F_OK) != 0 && errno == ENOENT)
        TRY(create(task, records, drop_key));
    TRY(db_open(task, path, DB_OPEN, drop_key, &records->db));
    TRY(db_migrate(records->db, task, migrations, ARRAY_LEN(migrations)));
    *out_records = records;
    records = NULL;
    return ERR_OK;
}

enum err records_open(struct task *task, const char *drop_folder, const struct id *mailbox,
                      const struct secret *drop_key, bool may_create, struct records **out_records)
{
    char path[PATH_ROOM];

    if (snprintf(path, sizeof(path), "%s/%s.drop.sqlite", drop_folder, mailbox->text) >=
        (int)sizeof(path))
        return fail(task, ERR_INVALID, "path too long");
    return open_path(task, drop_folder, path, drop_key, may_create, out_records);
}

enum err records_open_damaged(struct task *task, const char *drop_folder, const char *name,
                              const struct secret *drop_key, struct records **out_records)
{
    char path[PATH_ROOM];

    if (snprintf(path, sizeof(path), "%s/%s", drop_folder, name) >= (int)sizeof(path))
        return fail(task, ERR_INVALID, "path too long");
    return open_path(task, drop_folder, path, drop_key, false, out_records);
}

void records_close(struct records **records)
{
    if (*records == NULL)
        return;
    db_close(&(*records)->db);
    mem_free(&(*records)->path);
    mem_free(&(*records)->folder);
    mem_free(records);
}

enum err records_remove(struct records **records, struct task *task)
{
    CLEANUP(records_close) struct records *gone = *records;

    *records = NULL;
    db_close(&gone->db); /* writes the log back, so that nothing is lost between the removals */
    return remove_files(task, gone->path);
}

enum err records_copy(struct records *records, struct task *task, const char *path)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(records->db, task, "VACUUM INTO ?1", &statement));
    db_bind_text(statement, 1, str_from_c(path));
    return db_run(records->db, task, statement);
}

enum err records_begin(struct records *records, struct task *task)
{
    return db_begin(records->db, task);
}

enum err records_commit(struct records *records, struct task *task, bool is_durable)
{
    return db_commit(records->db, task, is_durable);
}

void records_rollback(struct records *records)
{
    db_rollback(records->db);
}

enum err records_add(struct records *records, struct task *task, const struct record *record)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(records->db, task,
                   "INSERT INTO record (lane, generation, boot, n, sealed) VALUES (?, ?, ?, ?, ?)",
                   &statement));
    bind_place(statement, &record->place);
    db_bind_int(statement, 4, (int64_t)record->n);
    db_bind_blob(statement, 5, record->sealed);
    return db_run(records->db, task, statement);
}

enum err records_delete(struct records *records, struct task *task, int64_t id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(records->db, task, "DELETE FROM record WHERE id = ?", &statement));
    db_bind_int(statement, 1, id);
    return db_run(records->db, task, statement);
}

enum err records_next_n(struct records *records, struct task *task, const struct chain_place *place,
                        uint64_t *out_n)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(records->db, task,
                   "SELECT max(n) FROM record WHERE lane = ? AND generation = ? AND boot = ?",
                   &statement));
    bind_place(statement, place);
    TRY(db_step(records->db, task, statement, &has_row));
    *out_n =
        !has_row || db_column_is_null(statement, 0) ? 0 : (uint64_t)db_column_int(statement, 0) + 1;
    return ERR_OK;
}

enum err records_totals(struct records *records, struct task *task, struct records_totals *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(records->db, task,
                   "SELECT count(*), coalesce(sum(length(sealed)), 0) FROM record", &statement));
    TRY(db_step(records->db, task, statement, &has_row));
    *out = (struct records_totals){0};
    if (has_row) {
        out->count = (uint64_t)db_column_int(statement, 0);
        out->bytes = (uint64_t)db_column_int(statement, 1);
    }
    return ERR_OK;
}

enum err records_lowest_generation(struct records *records, struct task *task,
                                   const unsigned char lane[static DROPBOX_LANE_BYTES],
                                   uint64_t *out_generation)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(records->db, task, "SELECT min(generation) FROM record WHERE lane = ?",
                   &statement));
    db_bind_blob(statement, 1, str_make(lane, DROPBOX_LANE_BYTES));
    TRY(db_step(records->db, task, statement, &has_row));
    *out_generation = !has_row || db_column_is_null(statement, 0)
                          ? UINT64_MAX
                          : (uint64_t)db_column_int(statement, 0);
    return ERR_OK;
}

enum err records_each(struct records *records, struct task *task, size_t limit, records_take take,
                      void *owner)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row, is_stopped = false;

    TRY(db_prepare(records->db, task,
                   "SELECT id, lane, generation, boot, n, sealed FROM record"
                   " ORDER BY lane, generation, boot, n, id LIMIT ?",
                   &statement));
    db_bind_int(statement, 1, (int64_t)limit);
    for (;;) {
        struct record record;
        struct str lane;

        TRY(db_step(records->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        record = (struct record){.id = db_column_int(statement, 0)};
        lane = db_column_blob(statement, 1);
        if (lane.len == DROPBOX_LANE_BYTES) /* another is no lane of ours; the header will differ */
            memcpy(record.place.lane, lane.ptr, DROPBOX_LANE_BYTES);
        record.place.generation = (uint64_t)db_column_int(statement, 2);
        record.place.boot = (uint64_t)db_column_int(statement, 3);
        record.n = (uint64_t)db_column_int(statement, 4);
        record.sealed = db_column_blob(statement, 5);
        TRY(take(owner, task, &record, &is_stopped));
        if (is_stopped)
            return ERR_OK;
    }
}

enum err records_taken(struct records *records, struct task *task, const struct chain_place *place,
                       uint64_t *out_n, unsigned char out_proof[static CRYPT_HASH_BYTES])
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct str proof;
    bool has_row;

    TRY(db_prepare(records->db, task,
                   "SELECT n, proof FROM taken WHERE lane = ? AND generation = ? AND boot = ?",
                   &statement));
    bind_place(statement, place);
    TRY(db_step(records->db, task, statement, &has_row));
    memset(out_proof, 0, CRYPT_HASH_BYTES);
    *out_n = 0;
    if (!has_row)
        return ERR_OK;
    proof = db_column_blob(statement, 1);
    if (proof.len == CRYPT_HASH_BYTES)
        memcpy(out_proof, proof.ptr, CRYPT_HASH_BYTES);
    *out_n = (uint64_t)db_column_int(statement, 0);
    return ERR_OK;
}

enum err records_set_taken(struct records *records, struct task *task,
                           const struct chain_place *place, uint64_t n,
                           const unsigned char proof[static CRYPT_HASH_BYTES])
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(records->db, task,
                   "INSERT OR REPLACE INTO taken (lane, generation, boot, n, proof)"
                   " VALUES (?, ?, ?, ?, ?)",
                   &statement));
    bind_place(statement, place);
    db_bind_int(statement, 4, (int64_t)n);
    db_bind_blob(statement, 5, str_make(proof, CRYPT_HASH_BYTES));
    return db_run(records->db, task, statement);
}
