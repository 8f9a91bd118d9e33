/* Writing an archive to a descriptor as it comes, front to back: tar or zip (libarchive). */
#ifndef TRANSFER_PACK_H
#define TRANSFER_PACK_H

#include "base/task.h"

#include <stdbool.h>

enum pack_kind {
    PACK_TAR,
    PACK_ZIP,
    PACK_PLAIN, /* no archive: the bytes of its entries, one after the other */
};

struct pack;

/* `fd` is borrowed; it may block. */
MUST_CHECK enum err pack_open(struct task *task, int fd, enum pack_kind kind,
                              struct pack **out_pack);
/* Begins a file of exactly `size_bytes`, after the one before was written in full. */
MUST_CHECK enum err pack_file(struct pack *pack, struct task *task, struct str path,
                              uint64_t size_bytes, int64_t mtime_ms);
MUST_CHECK enum err pack_folder(struct pack *pack, struct task *task, struct str path);
MUST_CHECK enum err pack_bytes(struct pack *pack, struct task *task, struct str bytes);
/* A whole file at once. */
MUST_CHECK enum err pack_small(struct pack *pack, struct task *task, struct str path,
                               struct str content);
/* Writes the archive's end. Without it what was written is not an archive. */
MUST_CHECK enum err pack_end(struct pack *pack, struct task *task);
void pack_free(struct pack **pack);

#endif
