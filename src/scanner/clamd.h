/*
 * One conversation with clamd, over a local socket or TCP (clamd(8), "INSTREAM"):
 *
 *   us:     "zINSTREAM" NUL *( length data ) zero        length, zero: 4 bytes, big-endian
 *   clamd:  "stream: OK" NUL  /  "stream: " name " FOUND" NUL  /  … "ERROR" NUL
 *
 * clamd may answer, and close, before it has read all: a message larger than its StreamMaxLength.
 */
#ifndef SCANNER_CLAMD_H
#define SCANNER_CLAMD_H

#include "base/str.h"
#include "net/loop.h"

#include <stdbool.h>
#include <sys/socket.h>

enum { CLAMD_REPLY_MAX = 1024, CLAMD_NAME_MAX = 200 };

struct clamd_reply {
    enum clamd_outcome {
        CLAMD_CLEAN,
        CLAMD_VIRUS,
        CLAMD_NOT_SCANNED, /* it said so, or said nothing that makes sense, or nothing in time */
    } outcome;
    struct str name;   /* of the virus: printable ASCII */
    const char *words; /* NOT_SCANNED: why; constant */
};

/* A whole reply, its NUL included. `name` is a view of it. */
void clamd_reply_parse(struct str reply, struct clamd_reply *out);

struct clamd_scan;
/* The reply holds during the call; the scan is freed behind it. */
typedef void (*clamd_on_done)(void *owner, const struct clamd_reply *reply);

/* `message` stays until on_done, or the scan is cancelled. Always answers later, in time. */
struct clamd_scan *clamd_scan_start(struct net_loop *loop, const struct sockaddr_storage *address,
                                    socklen_t address_len, struct str message, int64_t timeout_ms,
                                    clamd_on_done on_done, void *owner);
/* The answer is not wanted any more; sets the caller's pointer to NULL, which it may be. */
void clamd_scan_cancel(struct clamd_scan **scan);

#endif
