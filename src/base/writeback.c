#include "base/writeback.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

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

/* --- Beside --- */

/* In the helper: a piece for each byte that comes, which is sent back. */
static void see_to(void *owner, int channel)
{
    struct writeback writeback;
    uint64_t written_bytes = 0;
    char word;

    writeback_init(&writeback, *(const int *)owner);
    while (recv(channel, &word, 1, 0) == 1) {
        written_bytes += WRITEBACK_PIECE_BYTES;
        writeback_go_on(&writeback, written_bytes);
        (void)send(channel, &word, 1, MSG_NOSIGNAL);
    }
}

enum err writeback_beside_start(struct writeback_beside *beside, struct task *task, int fd)
{
    *beside = (struct writeback_beside){.told_bytes = 0};
    return helper_start(task, see_to, &fd, &beside->helper);
}

/* Counts what was taken meanwhile; where nothing was, it waits if it has to. */
static void look(struct writeback_beside *beside, int flags)
{
    char words[WRITEBACK_PIECES_AHEAD];
    ssize_t got;

    do {
        got = recv(beside->helper.channel, words, sizeof(words), flags);
    } while (got < 0 && errno == EINTR);
    if (got > 0)
        beside->untaken -= (unsigned)got;
    else if (got == 0 || errno != EAGAIN)
        fd_close(&beside->helper.channel); /* it died */
}

void writeback_beside_go_on(struct writeback_beside *beside, uint64_t written_bytes)
{
    const char word = 0;

    while (beside->helper.channel >= 0 &&
           written_bytes >= beside->told_bytes + WRITEBACK_PIECE_BYTES) {
        look(beside, beside->untaken == WRITEBACK_PIECES_AHEAD ? 0 : MSG_DONTWAIT);
        if (send(beside->helper.channel, &word, 1, MSG_NOSIGNAL) != 1)
            return;
        beside->told_bytes += WRITEBACK_PIECE_BYTES;
        beside->untaken++;
    }
}

void writeback_beside_finish(struct writeback_beside *beside)
{
    fd_close(&beside->helper.channel);
}

void writeback_beside_done(struct writeback_beside *beside)
{
    helper_end(&beside->helper);
}
