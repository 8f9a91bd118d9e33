/* Small files and descriptors: whole reads and writes, and durable replacement. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "base/task.h"

#include <dirent.h>

/* Closes *fd unless negative, and leaves -1. Usable with CLEANUP. */
void fd_close(int *fd);
/* The same with a folder that is read, which may be NULL and is NULL then. */
void folder_close(DIR **folder);

/* All of it, up to `limit_bytes`. ERR_NOT_FOUND, ERR_LIMIT, ERR_IO. `dir_fd` may be AT_FDCWD. */
MUST_CHECK enum err file_read(struct task *task, int dir_fd, const char *path, size_t limit_bytes,
                              struct buf *out);
/* An open descriptor's whole content, wherever others that share it are reading (what was passed
 * between processes has one position for all); of a pipe, what is left. */
MUST_CHECK enum err fd_read_all(struct task *task, int fd, size_t limit_bytes, struct buf *out);
/* Writes all, through EINTR and short writes. */
MUST_CHECK enum err fd_write_all(struct task *task, int fd, struct str bytes);

/*
 * Durable and atomic: a temporary file beside it, synced, renamed over it, the folder synced.
 * After a crash the old or the new content is there, whole. Mode 0600.
 */
MUST_CHECK enum err file_replace(struct task *task, int dir_fd, const char *path,
                                 struct str content);
/* Syncs the folder, so that names created or removed in it are durable. */
MUST_CHECK enum err dir_sync(struct task *task, int dir_fd, const char *path);
/* Creates it, mode 0700, with its parents where `with_parents`; an existing one is fine. */
MUST_CHECK enum err dir_make(struct task *task, int dir_fd, const char *path, bool with_parents);

/*
 * An anonymous file in memory (memfd) holding `bytes`, sealed against change; the way a message
 * travels between processes without touching a disk. The caller owns the descriptor.
 */
MUST_CHECK enum err memfd_from(struct task *task, struct str bytes, int *out_fd);
/* The same in steps, for what is not in one piece: an empty one, to be written, then sealed. */
MUST_CHECK enum err memfd_new(struct task *task, int *out_fd);
MUST_CHECK enum err memfd_seal(struct task *task, int fd);

#endif
