/*
 * Webhooks: one attempt to POST a message's JSON to a URL that the owner of an alias chose. What
 * the receiver sees is in docs/webhooks.md. The queue, its schedule and the rendering are
 * elsewhere.
 *
 * The URL is hostile: it must not lead into our own network (net/target.h). Its host is
 * resolved once, every address is judged, and the connection is made to the very address that was
 * judged; so again for each redirect. Of the reply only the status and two header fields are read.
 */
#ifndef COURIER_WEBHOOK_H
#define COURIER_WEBHOOK_H

#include "base/log.h"
#include "base/str.h"
#include "dns/client.h"
#include "net/http.h"
#include "net/loop.h"

enum {
    WEBHOOK_REDIRECTS_MAX = 5,
    WEBHOOK_TIMEOUT_MS = 60 * 1000,
    WEBHOOK_CONNECT_TIMEOUT_MS = 10 * 1000,
    WEBHOOK_REPLY_MAX = 64 * 1024, /* of a reply's body; what is beyond it is not read */
};

struct webhook_options {
    struct net_loop *loop;  /* borrowed */
    struct net_http *http;  /* borrowed; its trust decides about certificates */
    struct dns_client *dns; /* borrowed */
    const struct log *log;  /* borrowed */
    /* `webhook_allow` of the configuration (net/target.h); an empty text ends it. */
    const struct str *allow;
    size_t allow_count;
    bool allows_http;   /* the configuration's `webhook_http` */
    int64_t timeout_ms; /* for the whole attempt, redirects included; 0: WEBHOOK_TIMEOUT_MS */
};

struct webhook_poster;
struct webhook_poster *webhook_poster_new(const struct webhook_options *options);
/* Attempts under way are dropped; their on_done is not called. */
/* Other rules of where may be posted to, for targets that are judged from now on; the rest of `options`
 * is not looked at. */
void webhook_poster_configure(struct webhook_poster *poster, const struct webhook_options *options);
void webhook_poster_free(struct webhook_poster **poster);

struct webhook_job {
    struct str url;    /* copied */
    struct str secret; /* for the signature; copied to guarded memory; empty: not signed */
    struct str id;     /* of this delivery, the same at each attempt: X-Webhook-Id; copied */
    int body_fd;       /* sealed memfd with the JSON (render_reply); borrowed for the call */
    int64_t now_ms;    /* wall clock, for the signature */
};

enum webhook_outcome {
    WEBHOOK_DONE,   /* 2xx: the receiver has it */
    WEBHOOK_RETRY,  /* try again later: no connection, time-out, 5xx, 408, 425, 429, DNS failure */
    WEBHOOK_FAILED, /* for good: other 4xx (410 among them), a target that is forbidden or none */
};

struct webhook_result {
    enum webhook_outcome outcome;
    unsigned status;        /* of the last HTTP reply; 0: there was none */
    int64_t retry_after_ms; /* what the receiver asked for (Retry-After); 0: nothing */
    struct str reason;      /* ASCII words for the log and the queue's listing; for the call */
};

typedef void (*webhook_on_done)(void *owner, const struct webhook_result *result);

/*
 * Starts an attempt. on_done is called once, later, from the loop; the attempt is freed behind it.
 * Within it the poster must not be freed.
 */
struct webhook_attempt;
struct webhook_attempt *webhook_post(struct webhook_poster *poster, const struct webhook_job *job,
                                     webhook_on_done on_done, void *owner);
/* The result is not wanted any more; sets the caller's pointer to NULL. */
void webhook_cancel(struct webhook_attempt **attempt);

#endif
