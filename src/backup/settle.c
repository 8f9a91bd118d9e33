#include "backup/settle.h"

#include "base/file.h"
#include "base/macros.h"
#include "base/writeback.h"
#include "sqlite/db.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* The database's file as SQLite has it open, with writing led through here. */
struct paced_file {
    sqlite3_io_methods methods;
    const sqlite3_io_methods *real; /* borrowed */
    int fd;                         /* borrowed; the same file */
    int64_t written_bytes;          /* since it was last seen to */
    bool (*is_over)(void *owner);
    void *owner; /* borrowed */
};

static struct paced_file *paced_of(sqlite3_file *file)
{
    return CONTAINER_OF(file->pMethods, struct paced_file, methods);
}

/* The pages lie all over the file: what was begun is waited for, and the rest begun. */
static int write_paced(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    struct paced_file *paced = paced_of(file);
    int code = paced->real->xWrite(file, bytes, len, at);

    paced->written_bytes += len;
    if (paced->written_bytes >= WRITEBACK_PIECE_BYTES) {
        paced->written_bytes = 0;
        (void)sync_file_range(paced->fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE);
        if (code == SQLITE_OK && paced->is_over(paced->owner))
            code = SQLITE_INTERRUPT;
    }
    return code;
}

/*
 * A checkpoint and nothing else: by the file's methods SQLite3 Multiple Ciphers knows a file that
 * is encrypted, and a page that were committed meanwhile would go into the log in clear. A
 * checkpoint writes through the methods, which encrypt; and the connection is one that only reads.
 */
static enum err checkpoint_paced(struct db *db, struct task *task, struct paced_file *paced)
{
    sqlite3_file *file = NULL;
    enum err err;

    if (sqlite3_file_control(db_handle(db), "main", SQLITE_FCNTL_FILE_POINTER, &file) !=
            SQLITE_OK ||
        file == NULL || file->pMethods == NULL)
        return fail(task, ERR_IO, "backup: no file to write the log back into");
    paced->real = file->pMethods;
    paced->methods = *file->pMethods;
    paced->methods.xWrite = write_paced;
    file->pMethods = &paced->methods;
    err = db_checkpoint(db, task);
    file->pMethods = paced->real;
    return err;
}

enum err settle_log(struct task *task, const char *path, const struct secret *key,
                    bool (*is_over)(void *owner), void *owner)
{
    /* Closed last: the locks go with it. */
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct paced_file paced = {.fd = fd, .is_over = is_over, .owner = owner};
    CLEANUP(db_close) struct db *db = NULL;

    if (fd < 0)
        return fail(task, ERR_IO, "backup: open: %s", strerror(errno));
    TRY(db_open(task, path, DB_READ_BESIDE, key, &db));
    return checkpoint_paced(db, task, &paced);
}
