/*
 * A channel between two roles: messages in, messages out, in order, with descriptors beside them.
 * The carrier here is a local SOCK_SEQPACKET socket; a role does not know which carrier it uses.
 *
 * A frame that is malformed, or that the table does not allow from this peer to this role, closes
 * the channel and is logged. What is queued for a peer that does not read is bounded.
 */
#ifndef WIRE_CHANNEL_H
#define WIRE_CHANNEL_H

#include "base/buf.h"
#include "base/log.h"
#include "base/task.h"
#include "net/loop.h"
#include "wire/messages.h"

enum {
    WIRE_FRAME_MAX = 128 * 1024, /* encoded, without descriptors */
    WIRE_DESCRIPTORS_MAX = 4,
    WIRE_QUEUE_MAX_BYTES = 16 * 1024 * 1024,
};

struct wire_message {
    enum wire_type type;
    uint64_t tag;
    union wire_body body;          /* views into the frame: valid during on_message only */
    int fds[WIRE_DESCRIPTORS_MAX]; /* own unless taken (set to -1): closed after on_message */
    /* At most what the table says; fewer when this process has no descriptors left (EMFILE), so a
     * handler that needs one looks here first and answers UNAVAILABLE. */
    size_t fd_count;
};

struct wire_channel;

struct wire_channel_events {
    void (*on_message)(void *owner, struct wire_channel *channel, struct wire_message *message);
    /* The peer is gone. The channel may be freed inside (the usual thing to do). */
    void (*on_close)(void *owner, struct wire_channel *channel);
};

/*
 * Takes over `fd` (closed with the channel). `self` and `peer` are what the table's checks use.
 * `events`, `owner` and `log` are borrowed for the channel's life.
 */
struct wire_channel *wire_channel_new(struct net_loop *loop, int fd, enum wire_role self,
                                      enum wire_role peer, const struct wire_channel_events *events,
                                      void *owner, const struct log *log);
void wire_channel_free(struct wire_channel **channel);
enum wire_role wire_channel_peer(const struct wire_channel *channel);

/*
 * Queues one message: `body` points to the struct wire_<name> of `type`; `fds` (fd_count of them)
 * are duplicated, the caller keeps his. ERR_BUSY when the queue is full or the peer gone (a caller
 * that cannot wait treats that as UNAVAILABLE), ERR_LIMIT when the frame would be too large.
 */
MUST_CHECK enum err wire_send(struct wire_channel *channel, enum wire_type type, uint64_t tag,
                              const void *body, const int *fds, size_t fd_count);

/*
 * For a role that may wait inside its loop, because it does one thing at a time (the examiner): waits
 * until the peer has sent something or has gone, at most `timeout_ms`, and handles what came, as the
 * loop would. The channel may be gone afterwards (on_close). False: nothing came in time.
 */
bool wire_channel_wait(struct wire_channel *channel, int64_t timeout_ms);

/*
 * For a process that has no loop (the administrator's command, a role before it has one): sends one
 * message to `peer`, waiting until it is on its way. ERR_LIMIT: too large; ERR_IO: the peer is
 * gone.
 */
MUST_CHECK enum err wire_send_blocking(struct task *task, int fd, enum wire_role peer,
                                       enum wire_type type, uint64_t tag, const void *body,
                                       const int *fds, size_t fd_count);
/*
 * Waits for one message; its views are of `storage`, its descriptors the caller's. ERR_IO: the peer
 * is gone, or said nothing for as long as the socket waits; ERR_INVALID: it may not send this.
 */
MUST_CHECK enum err wire_receive_blocking(struct task *task, int fd, enum wire_role self,
                                          enum wire_role peer, struct buf *storage,
                                          struct wire_message *out_message);

/* The codec by itself, for the carriers, the tests and the fuzzer. */
MUST_CHECK enum err wire_encode(enum wire_type type, uint64_t tag, const void *body,
                                struct buf *out);
MUST_CHECK enum err wire_decode(struct str frame, struct wire_message *out);
/* May `sender` send this type to `receiver`? */
bool wire_is_allowed(enum wire_type type, enum wire_role sender, enum wire_role receiver);

#endif
