/*
 * Writing a large file without others waiting for it: what was written goes to the disk meanwhile, a
 * piece after the other, and whoever writes waits for the piece before the last. So never more than a
 * few megabytes are on their way, in front of somebody else's sync, and the sync at the end is short.
 * It makes nothing durable; only a sync does. That is to be writeback_sync: the kernel tells a failure
 * to write a piece once only, and it may have told it here.
 */
#ifndef BASE_WRITEBACK_H
#define BASE_WRITEBACK_H

#include "base/helper.h"

#include <stdint.h>

enum {
    WRITEBACK_PIECE_BYTES = 1024 * 1024,
    WRITEBACK_PIECES_AHEAD = 64, /* written, and neither on the disk nor on their way to it */
};

struct writeback {
    int fd; /* borrowed */
    uint64_t begun_bytes, previous_bytes; /* the last piece begins at the second and ends at the first */
    int failure; /* errno, of a piece that did not come to the disk; 0: none is known */
};

void writeback_init(struct writeback *writeback, int fd);
/* The file has been written up to there. Often called, it does something once a piece is full. */
void writeback_go_on(struct writeback *writeback, uint64_t written_bytes);
/* fsync, of all that was written: like it, -1 and errno if any of it did not come to the disk. */
MUST_CHECK int writeback_sync(const struct writeback *writeback);

/*
 * The same by a helper, so that whoever writes goes on while the disk is busy, up to
 * WRITEBACK_PIECES_AHEAD, and the disk does while he is. A helper that died is not missed, nor is a
 * failure that it met told to anybody: for files that are not synced, but read again and compared.
 */
struct writeback_beside {
    struct helper helper;
    uint64_t told_bytes;
    unsigned untaken; /* pieces that are not on their way, as far as is known here */
};

/* `fd` is borrowed for the call. */
MUST_CHECK enum err writeback_beside_start(struct writeback_beside *beside, struct task *task, int fd);
/* By one process: this one, or one that was forked since. */
void writeback_beside_go_on(struct writeback_beside *beside, uint64_t written_bytes);
/* No more is told by this process. What was is sent on its way. */
void writeback_beside_finish(struct writeback_beside *beside);
/* Waits until it is. */
void writeback_beside_done(struct writeback_beside *beside);

#endif
