#include "smtp/server/handover.h"

#include "base/file.h"

enum err smtp_handover(struct task *task, const struct smtp_delivery *delivery, int *out_fd)
{
    CLEANUP(fd_close) int fd = -1;
    const void *position = NULL;
    struct str block;

    TRY(memfd_new(task, &fd));
    TRY(fd_write_all(task, fd, delivery->trace));
    while (smtp_content_next(delivery->content, &position, &block))
        TRY(fd_write_all(task, fd, block));
    TRY(memfd_seal(task, fd));
    *out_fd = fd;
    fd = -1;
    return ERR_OK;
}
