/* Frames on a local SOCK_SEQPACKET socket, with descriptors: what channel.c and blocking.c share. */
#ifndef WIRE_SOCKET_H
#define WIRE_SOCKET_H

#include "wire/channel.h"

enum wire_socket_result {
    WIRE_SOCKET_DONE,
    WIRE_SOCKET_AGAIN, /* would wait */
    WIRE_SOCKET_GONE,  /* the peer is gone, or the socket failed */
};

/* `flags` as for sendmsg and recvmsg, MSG_DONTWAIT for channels. */
enum wire_socket_result wire_socket_send(int fd, struct str frame, const int *fds, size_t fd_count,
                                         int flags);

/*
 * One frame into `room` (at least WIRE_FRAME_MAX bytes). `out_fds` has WIRE_DESCRIPTORS_MAX places;
 * fewer may come than were sent when this process has no descriptors left. *out_len is larger than
 * WIRE_FRAME_MAX for a frame that was cut.
 */
enum wire_socket_result wire_socket_receive(int fd, char *room, size_t *out_len, int *out_fds,
                                            size_t *out_fd_count, int flags);

/* Decodes a received frame and checks it against the table. Takes the descriptors: they are in
 * *out, or closed on ERR_INVALID (malformed) and ERR_DENIED (not for this peer to send). */
MUST_CHECK enum err wire_socket_check(struct str frame, int *fds, size_t fd_count,
                                      enum wire_role self, enum wire_role peer,
                                      struct wire_message *out);

/* Those that came with it and that nobody took. */
void wire_message_close_fds(struct wire_message *message);

#endif
