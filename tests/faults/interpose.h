/*
 * The interposition library: loaded with LD_PRELOAD in front of the C library, it sees every change
 * that a process makes below one folder, and can make those calls fail. It knows nothing of
 * Sealpost, and works across fork and between processes, because both of its files are mapped
 * MAP_SHARED before anything else runs and are only memory from then on: a sandboxed process
 * needs no further system call for it.
 *
 *   calls.c    the functions put in front of the C library's
 *   track.c    which descriptor is which file below the folder
 *   journal.c  the record of all changes, for simulated power cuts (powercut.py replays it)
 *   control.c  failing calls, the clock, and the page through which a test gives orders
 *
 * Environment: SEALPOST_FAULTS_CONTROL, a file of struct control that the test made (it names the
 * folder); SEALPOST_FAULTS_JOURNAL, a sparse file of the journal's full size. Without the first
 * nothing is intercepted; without the second nothing is recorded.
 */
#ifndef FAULTS_INTERPOSE_H
#define FAULTS_INTERPOSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What can be made to fail; faults.py has the same list. */
enum call_kind {
    CALL_WRITE,      /* write, pwrite, writev, pwritev */
    CALL_SYNC,       /* fsync, fdatasync */
    CALL_OPEN,       /* open, openat, creat, of files below the folder */
    CALL_TRUNCATE,   /* ftruncate, truncate, fallocate */
    CALL_NAME,       /* rename, unlink, link, mkdir, rmdir */
    CALL_DESCRIPTOR, /* accept, memfd_create, socketpair, dup: anywhere */
    CALL_KIND_COUNT
};

enum { CONTROL_MAGIC = 0x5ea1fa17, CONTROL_PATH_MAX = 512, CONTROL_KILL = -1 };

/* Shared with the test, which maps the same file; faults.py packs it by these offsets. */
struct control {
    _Atomic uint32_t magic;
    _Atomic uint32_t is_cut;      /* the power is off: calls that change anything never return */
    _Atomic uint32_t kind;        /* enum call_kind that fails */
    _Atomic int32_t error;        /* errno it fails with; 0: a write is short instead;
                                     CONTROL_KILL: the process dies before the call */
    _Atomic int64_t countdown;    /* calls of the kind until it fails; 0 or less: not armed */
    _Atomic uint32_t is_lasting;  /* the failing call and all after it, until disarmed */
    _Atomic uint32_t given;       /* failures given since it was armed */
    _Atomic int64_t clock_offset; /* added to CLOCK_REALTIME, nanoseconds */
    _Atomic uint64_t calls[8];    /* made so far, by kind */
    char folder[CONTROL_PATH_MAX];
};

/* control.c. NULL when there is no control file. */
struct control *control(void);
/* Counts the call. True: it must fail, with *out_error, or be short where that is 0. */
bool control_fails(enum call_kind kind, int *out_error);
/* Never returns once the power is off. */
void control_wait_if_cut(void);
/* Blocks for good, without relying on any one system call being permitted. */
_Noreturn void control_stop_here(void);

/* track.c. Paths below the folder are absolute; the folder itself counts. */
struct tracked {
    char *path; /* as it was opened */
    uint64_t inode;
    bool is_folder;
};
/* The path that (dir_fd, path) names, in `out`, if it lies below the folder. */
bool track_path(int dir_fd, const char *path, char out[4096]);
void track_add(int fd, const char *path, uint64_t inode, bool is_folder);
void track_copy(int fd, int new_fd);
void track_remove(int fd);
void track_remove_range(unsigned first, unsigned last);
/* NULL: not one of ours. */
const struct tracked *track_find(int fd);

/* journal.c */
enum record_kind {
    RECORD_CREATE = 1, /* path, inode: a new, empty file */
    RECORD_OPEN,       /* path, inode: an existing file, opened for writing */
    RECORD_WRITE,      /* inode, offset, data */
    RECORD_TRUNCATE,   /* inode, size (offset) */
    RECORD_EXTEND,     /* inode, at least this size (offset) */
    RECORD_SYNC,       /* inode; offset: only records before this position are covered */
    RECORD_SYNC_FOLDER,/* path; offset likewise */
    RECORD_RENAME,     /* path; data: the new path */
    RECORD_UNLINK,     /* path */
    RECORD_LINK,       /* path; data: the new path */
    RECORD_MKDIR,      /* path */
    RECORD_RMDIR,      /* path */
    RECORD_UNSEEN,     /* path: something this library cannot follow was done to it */
    RECORD_EXCHANGE,   /* path; data: the other path */
};

bool journal_is_on(void);
/* Where the next record will go: taken before a sync, it bounds what the sync covers. */
uint64_t journal_position(void);
void journal_add(enum record_kind kind, uint64_t inode, uint64_t offset, const char *path,
                 const void *data, size_t data_size);

#endif
