/*
 * Files under names, wherever they are: in a tar or zip (compressed or not), or in a folder. Only
 * what is a regular file is seen: no links, no devices; and nothing is ever written under a name.
 *
 * What an archive may be is little (tar, zip; gzip, bzip2, xz, zstd), and what it may grow to when
 * it is unpacked is bounded.
 */
#ifndef TRANSFER_TREE_H
#define TRANSFER_TREE_H

#include "base/buf.h"
#include "base/task.h"

#include <stdbool.h>

enum {
    TREE_FILES_MAX = 5 * 1000 * 1000,
    TREE_PATH_MAX = 4096,
    TREE_DEPTH_MAX = 40,
    /* Unpacked against packed; mail in bulk was seen to shrink to a twentieth. */
    TREE_GROWTH_MAX = 400,
};

struct tree;

struct tree_file {
    struct str path; /* without "./" in front; until the next call */
    uint64_t size_bytes;
    int64_t mtime_ms;
    int64_t place; /* for tree_jump */
};

/* `fd` is borrowed, and read from its beginning where it has one. `head`: what was read of it already
 * because it has none. ERR_INVALID: neither an archive nor a folder. */
MUST_CHECK enum err tree_open(struct task *task, int fd, struct str head, struct tree **out_tree);
void tree_close(struct tree **tree);

MUST_CHECK enum err tree_next(struct tree *tree, struct task *task, struct tree_file *out,
                              bool *out_has_file);
/* A piece of the file that came last; empty at its end. */
MUST_CHECK enum err tree_read(struct tree *tree, struct task *task, size_t len, struct buf *out);
/* May it be gone through once more? */
bool tree_can_rewind(const struct tree *tree);
MUST_CHECK enum err tree_rewind(struct tree *tree, struct task *task);
/* May single files be asked for (a folder, a tar that is not compressed)? After tree_next gave one. */
bool tree_can_jump(const struct tree *tree);
/* A file that tree_next gave before becomes the one that is read. */
MUST_CHECK enum err tree_jump(struct tree *tree, struct task *task, const struct tree_file *file);

#endif
