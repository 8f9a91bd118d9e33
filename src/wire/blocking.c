/* For a process without a loop: one message in, one message out, waiting. */
#include "wire/channel.h"

#include "wire/socket.h"

enum err wire_receive_blocking(struct task *task, int fd, enum wire_role self, enum wire_role peer,
                               struct buf *storage, struct wire_message *out_message)
{
    enum wire_socket_result result;
    int fds[WIRE_DESCRIPTORS_MAX];
    size_t len, fd_count;
    char *room;

    buf_reset(storage);
    TRY(buf_reserve(storage, WIRE_FRAME_MAX, &room));
    result = wire_socket_receive(fd, room, &len, fds, &fd_count, 0);
    if (result != WIRE_SOCKET_DONE)
        return fail(task, ERR_IO, "%s closed the connection", wire_role_name(peer));
    if (len > WIRE_FRAME_MAX)
        len = WIRE_FRAME_MAX; /* cut: does not decode */
    buf_commit(storage, len);
    if (wire_socket_check(buf_str(storage), fds, fd_count, self, peer, out_message) != ERR_OK)
        return fail(task, ERR_INVALID, "malformed message from %s", wire_role_name(peer));
    return ERR_OK;
}

enum err wire_send_blocking(struct task *task, int fd, enum wire_role peer, enum wire_type type,
                            uint64_t tag, const void *body, const int *fds, size_t fd_count)
{
    CLEANUP(buf_free) struct buf frame;

    buf_init(&frame, WIRE_FRAME_MAX);
    if (wire_encode(type, tag, body, &frame) != ERR_OK)
        return fail(task, ERR_LIMIT, "a message to %s is too large", wire_role_name(peer));
    if (wire_socket_send(fd, buf_str(&frame), fds, fd_count, 0) != WIRE_SOCKET_DONE)
        return fail(task, ERR_IO, "%s closed the connection", wire_role_name(peer));
    return ERR_OK;
}
