/*
 * Writing a large file without others waiting for it: what was written goes to the disk meanwhile, a
 * piece after the other, and whoever writes waits for the piece before the last. So never more than a
 * few megabytes are on their way, in front of somebody else's sync, and the sync at the end is short.
 * It makes nothing durable; only fsync does.
 */
#ifndef BASE_WRITEBACK_H
#define BASE_WRITEBACK_H

#include <stdint.h>

enum { WRITEBACK_PIECE_BYTES = 1024 * 1024 };

struct writeback {
    int fd; /* borrowed */
    uint64_t begun_bytes, previous_bytes; /* the last piece begins at the second and ends at the first */
};

void writeback_init(struct writeback *writeback, int fd);
/* The file has been written up to there. Often called, it does something once a piece is full. */
void writeback_go_on(struct writeback *writeback, uint64_t written_bytes);

#endif
