/*
 * One message for clamd and rspamd, beside each other; the answer has what both found. That one of
 * them is away is no error: the answer says so, and what the other found is there.
 */
#ifndef SCANNER_SCAN_H
#define SCANNER_SCAN_H

#include "base/log.h"
#include "net/http.h"
#include "net/loop.h"

#include <stdbool.h>
#include <sys/socket.h>

enum { SCAN_TIMEOUT_MS = 6 * 1000 };

struct scanner_options {
    struct net_loop *loop; /* borrowed, as http and log */
    struct net_http *http; /* for rspamd; may be NULL without one */
    const struct log *log;
    struct sockaddr_storage clamd; /* clamd_len 0: there is none */
    socklen_t clamd_len;
    struct str rspamd; /* "address:port"; empty: there is none. Borrowed */
};

struct scanner;
struct scanner *scanner_new(const struct scanner_options *options);
/* Scans under way end without an answer. */
void scanner_free(struct scanner **scanner);

struct scan_request {
    int fd; /* sealed memfd with the message; duplicated */
    struct str client, helo, sender, reverse_name;
};

struct scan_result {
    bool is_complete; /* everyone who is configured answered */
    bool is_virus;
    struct str name;    /* of the virus */
    int64_t score;      /* rspamd's, in thousandths (scanner/rspamd.h) */
    struct str symbols; /* its weightiest reasons */
};

struct scan;
/* The result holds during the call; the scan is freed behind it. */
typedef void (*scan_on_done)(void *owner, const struct scan_result *result);

/* Always answers later, within SCAN_TIMEOUT_MS. */
struct scan *scan_start(struct scanner *scanner, const struct scan_request *request,
                        scan_on_done on_done, void *owner);
/* The answer is not wanted any more; sets the caller's pointer to NULL, which it may be. */
void scan_cancel(struct scan **scan);

#endif
