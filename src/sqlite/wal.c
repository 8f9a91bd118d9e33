#include "sqlite/wal.h"

#include "base/buf.h"
#include "base/memory.h"

#include <string.h>

enum {
    FRAME_HEADER_BYTES = 24,
    /* SQLite writes at most 131,071 bytes with one call. */
    HELD_BYTES_MAX = 64 * 1024,
};

struct wal_file {
    sqlite3_io_methods methods;     /* the file's, as long as it is open: they lead here */
    const sqlite3_io_methods *real; /* borrowed */
    struct buf held;                /* own; headers and pages, one behind the other */
    sqlite3_int64 held_at;          /* their place in the file */
    bool is_committing;             /* the last header held is that of a commit */
};

static struct wal_file *wal_of(sqlite3_file *file)
{
    return CONTAINER_OF(file->pMethods, struct wal_file, methods);
}

/* On an error they stay held. */
static int write_held(struct wal_file *wal, sqlite3_file *file)
{
    struct str held = buf_str(&wal->held);
    int code;

    if (held.len == 0)
        return SQLITE_OK;
    code = wal->real->xWrite(file, held.ptr, (int)held.len, wal->held_at);
    if (code != SQLITE_OK)
        return code;
    buf_truncate(&wal->held, 0);
    wal->is_committing = false;
    return SQLITE_OK;
}

/*
 * The same while SQLite writes: on an error it takes the transaction back, and the held bytes go,
 * a commit among them. Where it only reads, it may go on with the transaction, and they must not.
 */
static int write_held_or_drop(struct wal_file *wal, sqlite3_file *file)
{
    int code = write_held(wal, file);

    buf_truncate(&wal->held, 0);
    wal->is_committing = false;
    return code;
}

/* Bytes 4 to 7 of a frame's header: the size of the database, in the frame that commits. */
static bool commits(const unsigned char *header)
{
    return (header[4] | header[5] | header[6] | header[7]) != 0;
}

static int write_wal(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    struct wal_file *wal = wal_of(file);
    bool is_next = at == wal->held_at + (sqlite3_int64)wal->held.len;
    bool is_header = len == FRAME_HEADER_BYTES;
    int code;

    /* A commit of one frame has nothing to wait for; its header may be one that is written anew,
     * behind which no page comes. */
    if (wal->held.len == 0 || !is_next) {
        code = write_held_or_drop(wal, file);
        if (code != SQLITE_OK || !is_header || commits(bytes))
            return code != SQLITE_OK ? code : wal->real->xWrite(file, bytes, len, at);
        wal->held_at = at;
    }
    buf_put(&wal->held, str_make(bytes, (size_t)len));
    if (!is_header && (wal->is_committing || wal->held.len >= HELD_BYTES_MAX))
        return write_held_or_drop(wal, file);
    if (is_header)
        wal->is_committing = commits(bytes);
    return SQLITE_OK;
}

static int read_wal(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    int code = write_held(wal_of(file), file);

    return code != SQLITE_OK ? code : wal_of(file)->real->xRead(file, out, len, at);
}

static int truncate_wal(sqlite3_file *file, sqlite3_int64 size)
{
    int code = write_held(wal_of(file), file);

    return code != SQLITE_OK ? code : wal_of(file)->real->xTruncate(file, size);
}

static int sync_wal(sqlite3_file *file, int flags)
{
    int code = write_held(wal_of(file), file);

    return code != SQLITE_OK ? code : wal_of(file)->real->xSync(file, flags);
}

static int size_of_wal(sqlite3_file *file, sqlite3_int64 *out)
{
    int code = write_held(wal_of(file), file);

    return code != SQLITE_OK ? code : wal_of(file)->real->xFileSize(file, out);
}

/* What is held now belongs to no commit, and goes. */
static int close_wal(sqlite3_file *file)
{
    struct wal_file *wal = wal_of(file);

    buf_truncate(&wal->held, 0);
    file->pMethods = wal->real;
    return wal->real->xClose(file);
}

struct wal_file *wal_file_new(sqlite3_file *file)
{
    struct wal_file *wal;

    if (file == NULL || file->pMethods == NULL)
        return NULL;
    wal = NEW(struct wal_file);
    wal->real = file->pMethods;
    wal->methods = *file->pMethods;
    wal->methods.iVersion = 1; /* a log is neither mapped nor shared */
    wal->methods.xClose = close_wal;
    wal->methods.xRead = read_wal;
    wal->methods.xWrite = write_wal;
    wal->methods.xTruncate = truncate_wal;
    wal->methods.xSync = sync_wal;
    wal->methods.xFileSize = size_of_wal;
    buf_init(&wal->held, SIZE_MAX);
    file->pMethods = &wal->methods;
    return wal;
}

void wal_file_free(struct wal_file **wal)
{
    if (*wal == NULL)
        return;
    buf_free(&(*wal)->held);
    mem_free(wal);
}
