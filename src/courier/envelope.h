/*
 * The JSON of docs/routes.md: what comes with a message for the queue, and where an alias's mail
 * goes. It was made by `smtp` and the keeper, but of what peers said: nothing is taken on trust.
 */
#ifndef COURIER_ENVELOPE_H
#define COURIER_ENVELOPE_H

#include "base/task.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ENVELOPE_RECIPIENTS_MAX = 10000,
    ENVELOPE_ROUTES_MAX = 1000, /* of one recipient */
    ENVELOPE_ADDRESS_MAX = 1024,
    ENVELOPE_TEXT_MAX = 64 * 1024,
};

enum envelope_route_kind { ROUTE_FORWARD, ROUTE_WEBHOOK, ROUTE_VACATION, ROUTE_RETURN };

struct envelope_route {
    enum envelope_route_kind kind;
    struct str to, via;             /* forward, return */
    struct str url, secret;         /* webhook */
    bool is_raw;                    /* webhook */
    struct str from, subject, text; /* vacation */
    int64_t until_ms;               /* vacation; INT64_MAX: open */
    struct str json;                /* the object itself, compact, its members sorted */
};

struct envelope_recipient {
    struct str address, orcpt, notify;
    bool is_stored; /* a mailbox gets it too */
    bool is_held_back; /* it is junk for him, and not passed on: the sender is told, and that is all */
    struct envelope_route *routes;
    size_t route_count;
};

struct envelope {
    bool is_submission; /* recipients are remote; otherwise they are ours, with routes */
    struct str id, mailbox, sender, helo, client, ret, envid, body, auth;
    bool require_tls, is_utf8, may_reply, is_junk;
    struct envelope_recipient *recipients;
    size_t recipient_count;
};

/* Texts in the task's arena. ERR_INVALID, ERR_LIMIT. */
MUST_CHECK enum err envelope_parse(struct task *task, struct str json, struct envelope *out);
/* An array of routes, as the keeper's answer has it; empty text: none. */
MUST_CHECK enum err envelope_routes_parse(struct task *task, struct str json,
                                          struct envelope_route **out, size_t *out_count);
/* One route's object, as it was stored. */
MUST_CHECK enum err envelope_route_parse(struct task *task, struct str json,
                                         struct envelope_route *out);

#endif
