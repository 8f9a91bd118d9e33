#include "wire/socket.h"

#include "base/file.h"
#include "wire/table.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union control {
    struct cmsghdr header; /* for alignment */
    char room[CMSG_SPACE(sizeof(int) * WIRE_DESCRIPTORS_MAX)];
};

static enum wire_socket_result result_of_errno(void)
{
    /* ETOOMANYREFS, ENOBUFS, ENOMEM: the kernel has too much in flight for us; it passes. */
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETOOMANYREFS || errno == ENOBUFS ||
        errno == ENOMEM)
        return WIRE_SOCKET_AGAIN;
    return WIRE_SOCKET_GONE;
}

enum wire_socket_result wire_socket_send(int fd, struct str frame, const int *fds, size_t fd_count,
                                         int flags)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)frame.ptr, .iov_len = frame.len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    ssize_t sent;

    if (fd_count > 0) {
        struct cmsghdr *header;

        memset(&control, 0, sizeof(control));
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    do {
        sent = sendmsg(fd, &message, flags | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? result_of_errno() : WIRE_SOCKET_DONE;
}

static void take_descriptors(struct msghdr *message, int *out_fds, size_t *out_fd_count)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        size_t count;

        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
            if (*out_fd_count < WIRE_DESCRIPTORS_MAX)
                out_fds[(*out_fd_count)++] = fd;
            else
                fd_close(&fd);
        }
    }
}

enum wire_socket_result wire_socket_receive(int fd, char *room, size_t *out_len, int *out_fds,
                                            size_t *out_fd_count, int flags)
{
    struct iovec part = {.iov_base = room, .iov_len = WIRE_FRAME_MAX};
    union control control;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    bool was_reset = false;
    ssize_t got;

    *out_fd_count = 0;
    for (;;) {
        got = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
        /* A peer that ended without having read all from us: the kernel says that once, and before
         * what the peer has said, which is there all the same. */
        if (got < 0 && errno == ECONNRESET && !was_reset)
            was_reset = true;
        else if (got >= 0 || errno != EINTR)
            break;
    }
    if (got < 0)
        return result_of_errno();
    take_descriptors(&message, out_fds, out_fd_count);
    /* The end of a SEQPACKET socket; no frame of ours is empty. */
    if (got == 0)
        return WIRE_SOCKET_GONE;
    *out_len = (message.msg_flags & MSG_TRUNC) != 0 ? WIRE_FRAME_MAX + 1 : (size_t)got;
    return WIRE_SOCKET_DONE;
}

static void close_all(int *fds, size_t fd_count)
{
    for (size_t i = 0; i < fd_count; i++)
        fd_close(&fds[i]);
}

enum err wire_socket_check(struct str frame, int *fds, size_t fd_count, enum wire_role self,
                           enum wire_role peer, struct wire_message *out)
{
    enum err err = wire_decode(frame, out);

    if (err == ERR_OK && fd_count > wire_entry(out->type)->descriptors)
        err = ERR_INVALID;
    if (err == ERR_OK && !wire_is_allowed(out->type, peer, self))
        err = ERR_DENIED;
    if (err != ERR_OK) {
        close_all(fds, fd_count);
        return err;
    }
    memcpy(out->fds, fds, sizeof(*fds) * fd_count);
    out->fd_count = fd_count;
    return ERR_OK;
}

void wire_message_close_fds(struct wire_message *message)
{
    close_all(message->fds, message->fd_count);
}
