/* For a process without a loop: one frame out, one frame in, waiting. */
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

enum err wire_call_blocking(struct task *task, int fd, enum wire_role self, enum wire_role peer,
                            enum wire_type type, const void *body, struct buf *storage,
                            struct wire_message *out_reply)
{
    enum wire_socket_result result;

    buf_reset(storage);
    if (wire_encode(type, 1, body, storage) != ERR_OK)
        return fail(task, ERR_LIMIT, "%s is too large", wire_type_name(type));
    result = wire_socket_send(fd, buf_str(storage), NULL, 0, 0);
    if (result != WIRE_SOCKET_DONE)
        return fail(task, ERR_IO, "%s closed the connection", wire_role_name(peer));
    return wire_receive_blocking(task, fd, self, peer, storage, out_reply);
}
