/*
 * The stream in which a mailbox process gets what is to be imported, whatever it was before: the one
 * thing that it parses of it. Frames: a letter, four bytes of length (little-endian), the content.
 *
 *   F  a folder (JSON, json.h), answered by K; the messages that follow go there
 *   M  a message begins (JSON); D its bytes, in any number of frames; E it is whole
 *   X  a message was left out (too large, unreadable): counted
 *   P  how much there will be (JSON {"total": n}), for whoever waits
 *   Z  the end (JSON {"messages": n}, what was sent), answered by R
 *
 *   K  what is known of the folder's source (JSON {"uidvalidity": n, "uid": n}): up to this UID, all
 *      was taken. Those of one source therefore come in ascending order
 *   R  the totals (JSON), when all of it is on disk
 *
 * Whoever feeds it may go away at any moment: what was committed stays, and is known the next time.
 */
#ifndef TRANSFER_STREAM_H
#define TRANSFER_STREAM_H

#include "base/buf.h"
#include "transfer/transfer.h"

enum {
    TRANSFER_FRAME_HEAD = 5,
    TRANSFER_FRAME_MAX = 256 * 1024, /* of a content */
};

/* --- What feeds: blocking, over a connected pair of sockets --- */

struct transfer_feed;

/* `fd` is borrowed. */
struct transfer_feed *transfer_feed_new(int fd);
void transfer_feed_free(struct transfer_feed **feed);
const struct transfer_sink *transfer_feed_sink(const struct transfer_feed *feed);
/* How the source's server makes unique-ids (uidl.h), as its owner says: it counts before what the
 * source is taken for. Borrowed. */
void transfer_feed_set_uidl(struct transfer_feed *feed, struct str uidl_template);
/* After `folder`: what was imported from its source before. Valid until the next one. */
uint32_t transfer_feed_known_uidvalidity(const struct transfer_feed *feed);
uint32_t transfer_feed_known_uid(const struct transfer_feed *feed);
/* The end: waits until all of it is on disk. ERR_CORRUPT: the counts do not match. */
MUST_CHECK enum err transfer_feed_end(struct transfer_feed *feed, struct task *task,
                                      struct transfer_totals *out_totals);

/* --- Frames --- */

/* Appends one frame. */
void transfer_frame_put(struct buf *out, char kind, struct str content);
/*
 * The first frame in `bytes`: false when it is not all there yet. ERR_INVALID: no such frame.
 * `*out_len` is what it takes.
 */
MUST_CHECK enum err transfer_frame_parse(struct task *task, struct str bytes, bool *out_is_whole,
                                         char *out_kind, struct str *out_content, size_t *out_len);

#endif
