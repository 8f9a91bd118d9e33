/*
 * What is answered to "may this mail go there, and where to?": the whole of RECIPIENT (wire/messages.h)
 * for mail from outside and from our own users. In order:
 *
 *   the domain is not ours    outside: NOT_LOCAL; a login: its daily limits, then NOT_LOCAL (the
 *                             message goes to the queue)
 *   a bounce to a rewritten   on its way back, whatever aliases there are
 *   sender (SRS)
 *   the domain asks for TLS   REFUSED without it
 *   no alias                  UNKNOWN
 *   a disabled alias          as it is set: 250 (dropped), 421, 550
 *   allow and deny lists      account/lists.h
 *   limits, greylisting       of mail from outside that no list lets in; loopback is trusted
 *   the mailbox's quota       OVER_QUOTA
 *   OK                        mailbox, routes (docs/routes.md)
 *
 * postmaster and abuse are reached past lists, limits and greylisting: those are whom one complains to.
 */
#ifndef ACCOUNT_ROUTER_H
#define ACCOUNT_ROUTER_H

#include "account/greylist.h"
#include "account/resolve.h"
#include "base/buf.h"
#include "wire/messages.h"

struct account_router_settings {
    bool greylist;
    int64_t greylist_delay_ms;
    /* Recipients in an hour from one client (IPv6: /64), and from one sender at it; 0: no limit. */
    uint64_t client_limit, sender_limit;
    /* Recipients elsewhere in a day, unless the user or domain has its own; 0: no limit. */
    uint64_t user_daily_limit, domain_daily_limit;
    bool loopback_is_foreign;
};

/* Rewritten senders (mailauth/srs.h, which is below this folder). */
struct account_return {
    void *owner;
    bool (*is_one)(struct str local);
    enum err (*reverse)(void *owner, struct task *task, struct str local, struct buf *out);
};

struct account_router; /* one in a process */

/* `database` and `back` are borrowed; `back` NULL: there are none. */
struct account_router *account_router_new(struct account_database *database,
                                          const struct secret *host_key,
                                          const struct account_return *back,
                                          const struct account_router_settings *settings);
void account_router_free(struct account_router **router);
/* New settings (SIGHUP); what was counted stays. */
void account_router_set(struct account_router *router,
                        const struct account_router_settings *settings);

/* `monotonic_ms` is what limits are counted by. Texts of the answer live in the task's arena or
 * for ever. An error is one of the database. */
MUST_CHECK enum err account_router_recipient(struct account_router *router, struct task *task,
                                             const struct wire_recipient *asked,
                                             int64_t monotonic_ms,
                                             struct wire_recipient_reply *out);
/* Recipients elsewhere that were counted for a message which did not come to be: they count no
 * more. Nobody learns anything by naming them, so nothing is won by naming them in vain. */
MUST_CHECK enum err account_router_unused(struct account_router *router, struct task *task,
                                          const struct wire_recipients_unused *unused);
/* account_sender. */
MUST_CHECK enum err account_router_sender(struct account_router *router, struct task *task,
                                          const struct id *mailbox, struct str address,
                                          bool *out_is_own);

#endif
