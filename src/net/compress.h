/*
 * DEFLATE in both directions of a connection (RFC 1951, RFC 4978). What is written is flushed at
 * once. What is read is inflated in pieces, as it is taken, so that a small packet that expands a
 * thousandfold costs no more memory than any other.
 */
#ifndef NET_COMPRESS_H
#define NET_COMPRESS_H

#include "base/buf.h"

#include <stdbool.h>

enum { NET_COMPRESS_PIECE = 16 * 1024, NET_COMPRESS_SAVED_MAX = 33 * 1024 };

struct net_compress;

struct net_compress *net_compress_new(void);
void net_compress_free(struct net_compress **compress);

/* Appends `plain` compressed, with all that the peer needs to read the whole of it. */
void net_compress_deflate(struct net_compress *compress, struct str plain, struct buf *out);

/* Bytes from the peer; they wait until they are inflated. */
void net_compress_feed(struct net_compress *compress, struct str bytes);
/* There are bytes to inflate, or may be more plain ones of those that were inflated. */
bool net_compress_has_more(const struct net_compress *compress);
/*
 * The next plain bytes, at most NET_COMPRESS_PIECE, valid until the next call; none: feed more.
 * ERR_INVALID: not DEFLATE, or its end, behind which nothing may come.
 */
MUST_CHECK enum err net_compress_inflate(struct net_compress *compress, struct str *out_plain);

/*
 * Going on elsewhere: what the peer's next bytes may refer to (the last 32 KiB that were inflated)
 * is kept as bytes, and what is written goes on without what was written before, as the peer need
 * not know.
 *
 * False: the peer has said the half of something, or there is more to inflate.
 */
bool net_compress_can_save(const struct net_compress *compress);
/* Appends at most NET_COMPRESS_SAVED_MAX bytes; `compress` is as before. Only where it can. */
void net_compress_save(const struct net_compress *compress, struct buf *out);
/* ERR_INVALID: no such bytes. */
MUST_CHECK enum err net_compress_restore(struct str saved, struct net_compress **out);

#endif
