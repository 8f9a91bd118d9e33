/* What a receiver's reply means: the status, Location and Retry-After, which are foreign bytes. */
#ifndef COURIER_WEBHOOK_REPLY_H
#define COURIER_WEBHOOK_REPLY_H

#include "courier/webhook.h"
#include "net/url.h"

enum { WEBHOOK_RETRY_AFTER_MAX_MS = 24 * 3600 * 1000 };

struct webhook_reply {
    unsigned status;
    struct str location;    /* of a redirect; empty: none */
    struct str retry_after; /* empty: none */
};

/*
 * DONE for 2xx. RETRY for 408, 425, 429, 5xx and what is no final status. FAILED for the rest, and
 * for a redirect that leads nowhere. A redirect that may be followed gives true, and its target:
 * 301, 302, 303, 307 and 308 alike, since what is posted stays what it is.
 */
bool webhook_reply_read(struct arena *arena, const struct webhook_reply *reply,
                        const struct net_url *base, int64_t now_ms, struct webhook_result *out,
                        struct net_url *out_next);

#endif
