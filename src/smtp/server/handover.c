#include "smtp/server/handover.h"

#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Writes what is kept of a content that comes piece by piece. */
struct cutter {
    int fd;
    const struct smtp_ranges *removals;
    bool with_own;
    size_t position; /* in the content, of the next piece */
    size_t next;     /* the first range that does not end before it */
};

/* The next range that is left out; NULL: there is none. */
static const struct smtp_range *next_range(struct cutter *cutter)
{
    const struct smtp_ranges *removals = cutter->removals;

    while (cutter->next < removals->count && removals->at[cutter->next].is_own && cutter->with_own)
        cutter->next++;
    return cutter->next == removals->count ? NULL : &removals->at[cutter->next];
}

static enum err put_piece(struct task *task, struct cutter *cutter, struct str piece)
{
    while (piece.len > 0) {
        const struct smtp_range *range = next_range(cutter);
        bool is_left_out = range != NULL && cutter->position >= range->start;
        size_t end = SIZE_MAX, len; /* where this changes */

        if (range != NULL)
            end = is_left_out ? (size_t)range->start + range->len : range->start;
        len = end - cutter->position < piece.len ? end - cutter->position : piece.len;
        if (!is_left_out)
            TRY(fd_write_all(task, cutter->fd, str_upto(piece, len)));
        cutter->position += len;
        if (is_left_out && cutter->position == end)
            cutter->next++;
        piece = str_from(piece, len);
    }
    return ERR_OK;
}

static enum err put_blocks(struct task *task, struct cutter *cutter,
                           const struct smtp_content *content)
{
    const void *position = NULL;
    struct str block;

    while (smtp_content_next(content, &position, &block))
        TRY(put_piece(task, cutter, block));
    return ERR_OK;
}

static enum err put_file(struct task *task, struct cutter *cutter, int fd, size_t len)
{
    void *bytes;
    enum err err;

    if (len == 0)
        return ERR_OK;
    bytes = mmap(NULL, len, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED)
        return fail(task, ERR_IO, "map a message: %s", strerror(errno));
    err = put_piece(task, cutter, str_make(bytes, len));
    munmap(bytes, len);
    return err;
}

enum err smtp_handover_content(struct task *task, const struct smtp_content *content, int *out_fd)
{
    static const struct smtp_ranges none = {.count = 0};
    CLEANUP(fd_close) int fd = -1;
    struct cutter cutter = {.removals = &none};

    TRY(memfd_new(task, &fd));
    cutter.fd = fd;
    TRY(put_blocks(task, &cutter, content));
    TRY(memfd_seal(task, fd));
    *out_fd = fd;
    fd = -1;
    return ERR_OK;
}

enum err smtp_handover(struct task *task, const struct smtp_delivery *delivery, int content_fd,
                       bool with_own, int *out_fd)
{
    CLEANUP(fd_close) int fd = -1;
    struct cutter cutter = {.removals = delivery->removals, .with_own = with_own};

    TRY(memfd_new(task, &fd));
    cutter.fd = fd;
    TRY(fd_write_all(task, fd, delivery->trace));
    if (content_fd < 0)
        TRY(put_blocks(task, &cutter, delivery->content));
    else
        TRY(put_file(task, &cutter, content_fd, delivery->content->len));
    TRY(memfd_seal(task, fd));
    *out_fd = fd;
    fd = -1;
    return ERR_OK;
}

uint64_t smtp_handover_size(const struct smtp_delivery *delivery, bool with_own)
{
    uint64_t size = delivery->trace.len + delivery->content->len;

    for (size_t i = 0; i < delivery->removals->count; i++) {
        const struct smtp_range *range = &delivery->removals->at[i];

        if (!range->is_own || !with_own)
            size -= range->len;
    }
    return size;
}
