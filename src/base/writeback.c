#include "base/writeback.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

void writeback_init(struct writeback *writeback, int fd)
{
    *writeback = (struct writeback){.fd = fd};
}

/* Waits for what is on its way there. A file system, or a sandbox, that cannot does no harm. */
static void wait_for(struct writeback *writeback, uint64_t from, uint64_t to)
{
    if (sync_file_range(writeback->fd, (off_t)from, (off_t)(to - from),
                        SYNC_FILE_RANGE_WAIT_BEFORE) == 0 ||
        errno == EINVAL || errno == ESPIPE || errno == ENOSYS || errno == EPERM)
        return;
    writeback->failure = errno;
}

void writeback_go_on(struct writeback *writeback, uint64_t written_bytes)
{
    uint64_t begun = writeback->begun_bytes, previous = writeback->previous_bytes;

    if (written_bytes < begun + WRITEBACK_PIECE_BYTES)
        return;
    (void)sync_file_range(writeback->fd, (off_t)begun, (off_t)(written_bytes - begun),
                          SYNC_FILE_RANGE_WRITE);
    if (begun > previous)
        wait_for(writeback, previous, begun);
    writeback->previous_bytes = begun;
    writeback->begun_bytes = written_bytes;
}

int writeback_sync(const struct writeback *writeback)
{
    int done = fsync(writeback->fd);

    if (done == 0 && writeback->failure != 0) {
        errno = writeback->failure;
        return -1;
    }
    return done;
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
