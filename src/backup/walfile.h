/*
 * Reading SQLite's write-ahead log as it is on disk (https://sqlite.org/walformat.html): its pages
 * are ciphertext already, the very bytes that a checkpoint puts into the database's file.
 *
 * The reader has its own descriptor and takes no lock. It is given only what is committed: while the
 * log's owner is this process, up to what db_set_log_reader said; of a log that a dead process left,
 * up to the last whole commit (walfile_find_end). Each frame's checksum is compared, so bytes that
 * are not (any more) what was committed are noticed.
 */
#ifndef BACKUP_WALFILE_H
#define BACKUP_WALFILE_H

#include "base/task.h"

#include <stdbool.h>
#include <stdint.h>

/* A place in the log's life: the log (its salts, which change each time it begins anew), and how
 * many of its frames were read. */
struct walfile_place {
    uint32_t salt[2];
    uint32_t frames;
};

struct walfile {
    int fd; /* own */
    struct walfile_place place;
    uint32_t page_bytes;
    uint32_t sum[2]; /* the running checksum, up to `place` */
    bool is_big_endian;
    unsigned char *room; /* own */
};

/* One frame; the last of a commit has `db_pages`, the size of the database after it, else 0. */
struct walfile_frame {
    uint32_t page;
    uint32_t db_pages;
    struct str bytes; /* borrowed for the call */
};
typedef enum err (*walfile_on_frame)(void *owner, struct task *task,
                                     const struct walfile_frame *frame);

/* ERR_NOT_FOUND: no log, or an empty one. ERR_IO, ERR_CORRUPT. `*out` is zeroed, or closed, before. */
MUST_CHECK enum err walfile_open(struct task *task, const char *path, struct walfile *out);
void walfile_close(struct walfile *wal);
/* Reads the header again: true when the log has begun anew since; then `place` is its beginning. */
MUST_CHECK enum err walfile_look(struct walfile *wal, struct task *task, bool *out_is_other);
/* Goes to a place that was read before, in this log. ERR_NOT_FOUND: not this log, or not so far. */
MUST_CHECK enum err walfile_seek(struct walfile *wal, struct task *task,
                                 const struct walfile_place *place);
/* Reads on until `frames` are read. ERR_CORRUPT: one of them is not as its checksum says; `place`
 * is before it. */
MUST_CHECK enum err walfile_read(struct walfile *wal, struct task *task, uint32_t frames,
                                 walfile_on_frame on_frame, void *owner);
/* How many frames there are up to the last whole commit from `place` on; `place` stays. */
MUST_CHECK enum err walfile_find_end(struct walfile *wal, struct task *task, uint32_t *out_frames);

#endif
