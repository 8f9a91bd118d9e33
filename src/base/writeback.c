#include "base/writeback.h"

#include <fcntl.h>

void writeback_init(struct writeback *writeback, int fd)
{
    *writeback = (struct writeback){.fd = fd};
}

/* A file system that cannot, or an error of the disk, is found out by the sync. */
void writeback_go_on(struct writeback *writeback, uint64_t written_bytes)
{
    uint64_t begun = writeback->begun_bytes, previous = writeback->previous_bytes;

    if (written_bytes < begun + WRITEBACK_PIECE_BYTES)
        return;
    (void)sync_file_range(writeback->fd, (off_t)begun, (off_t)(written_bytes - begun),
                          SYNC_FILE_RANGE_WRITE);
    if (begun > previous)
        (void)sync_file_range(writeback->fd, (off_t)previous, (off_t)(begun - previous),
                              SYNC_FILE_RANGE_WAIT_BEFORE);
    writeback->previous_bytes = begun;
    writeback->begun_bytes = written_bytes;
}
