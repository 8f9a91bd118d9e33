/*
 * HTTP requests of our own to other servers (DoH, webhooks, MTA-STS, S3): libcurl's multi interface
 * on the event loop. HTTP/2 where the server speaks it over TLS; connections are kept and shared.
 *
 * Names are never looked up here: whoever asks says which IP address the request goes to, and it
 * goes to no other (a second look-up could answer otherwise). Redirects are answers like any other,
 * nothing is taken from the environment (proxies, .netrc), and only https:// and http:// exist.
 * Works inside a sandbox that may connect: everything that is read from disk was read before.
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "base/buf.h"
#include "base/task.h"
#include "net/loop.h"
#include "secret/secret.h"

enum {
    NET_HTTP_HEADERS_MAX_BYTES = 64 * 1024,    /* of a response, all lines together */
    NET_HTTP_TRUST_MAX_BYTES = 8 * 1024 * 1024, /* of trusted certificates */
};

struct net_http;      /* the connections of this process, and what it trusts */
struct net_http_call; /* one request */

enum net_http_method { NET_HTTP_GET, NET_HTTP_POST, NET_HTTP_PUT, NET_HTTP_DELETE, NET_HTTP_HEAD };

struct net_http_options {
    /* The certificates that servers must lead back to, in PEM (net_http_read_trust); empty: no
     * https:// request succeeds. */
    struct str trust_pem;
    unsigned connections_max;          /* open at once, 0: 64; further requests wait */
    unsigned connections_per_host_max; /* 0: 8; an HTTP/2 connection carries 100 requests */
};

/* ERR_INVALID: no certificate in trust_pem. Make it before the sandbox. */
MUST_CHECK enum err net_http_new(struct net_loop *loop, struct task *task,
                                 const struct net_http_options *options, struct net_http **out);
/* Calls that are under way end without on_done. Not inside on_done. */
void net_http_free(struct net_http **http);

/* Others to trust, for connections that are made from now on. ERR_INVALID: no certificate in it; the old
 * ones stay. Empty: nobody is trusted. */
MUST_CHECK enum err net_http_set_trust(struct net_http *http, struct task *task, struct str pem);
/* As net_http_set_trust would take it, or not. */
MUST_CHECK enum err net_http_check_trust(struct task *task, struct str pem);
/* Reads a PEM file; `path` empty: the system's bundle. ERR_NOT_FOUND, ERR_IO, ERR_LIMIT. */
MUST_CHECK enum err net_http_read_trust(struct task *task, struct str path, struct buf *out_pem);

/*
 * AWS Signature Version 4, by libcurl. The request's own headers are signed with it; it needs an
 * "x-amz-content-sha256" among them. The query is signed as it stands: its names sorted, each with "=".
 */
struct net_http_signing {
    const char *scope; /* "aws:amz:region:s3" */
    struct str key_id;
    const struct secret *secret;
};

/* Bytes of a successful response's body (2xx) as they come; anything but OK ends the call with it. */
typedef enum err (*net_http_on_bytes)(void *owner, struct str bytes);

struct net_http_request {
    struct str url;     /* a stranger's: only as net_url_text writes it (net/url.h) */
    /* Path and query, in place of the URL's; empty: the URL's. Sent as it is and not parsed, which
     * for many requests that differ in it alone is cheaper. Ours, never a stranger's. */
    struct str target;
    struct str address; /* an IP address as text; the only one that is connected to */
    enum net_http_method method;
    const struct str *headers; /* whole lines, "Name: value"; copied */
    size_t header_count;
    /* The body of a POST or PUT: `body`, copied; or, where has_body_fd, the whole content of a memfd or
     * file (duplicated), which takes no memory here; or, where body_len > 0, so much of it from
     * body_start on. */
    struct str body;
    int body_fd;
    bool has_body_fd;
    uint64_t body_start, body_len;
    const struct net_http_signing *signing; /* borrowed for the call of net_http_start; NULL: none */
    net_http_on_bytes on_bytes; /* NULL: the body is collected; a failed response's always is */
    size_t response_limit; /* bytes of the response's body */
    /* Of a longer body the beginning is enough: the response is given as is_cut. Else: ERR_LIMIT.
     */
    bool is_cut_allowed;
    int64_t timeout_ms;         /* for everything; 0: 30 s */
    int64_t stall_ms;           /* and for every byte that is sent or comes; 0: no limit */
    int64_t connect_timeout_ms; /* of it, for the connection and TLS; 0: 10 s */
};

struct net_http_response {
    /*
     * ERR_OK       there is a status, whatever it says
     * ERR_BUSY     not reached, not in time, or the connection broke
     * ERR_DENIED   the server's certificate is not good for this name
     * ERR_INVALID  the URL, or what came is not HTTP
     * ERR_LIMIT    header or body too large
     * any          what on_bytes said
     */
    enum err err;
    const char *words;  /* why it failed, for a log; may name the host */
    bool was_connected; /* the server was reached, with TLS where it is asked for */
    unsigned status;
    struct str body;
    bool is_cut;
    const struct net_http_call *call;
};

/* Called once, from the loop; `response` holds during the call. */
typedef void (*net_http_on_done)(void *owner, const struct net_http_response *response);

/* Always answers later. Gone with on_done: the pointer is no longer valid when that returns. */
struct net_http_call *net_http_start(struct net_http *http, const struct net_http_request *request,
                                     net_http_on_done on_done, void *owner);
/* The response is not wanted any more; sets the caller's pointer to NULL. NULL is fine; inside this
 * call's own on_done it is too late. */
void net_http_cancel(struct net_http_call **call);
/* What the response's first line says; for on_bytes. */
unsigned net_http_status(const struct net_http_call *call);
/* The first header field of that name, in on_bytes and on_done; empty where there is none. The view
 * holds until the next call. */
struct str net_http_call_header(const struct net_http_call *call, const char *name);
struct str net_http_header(const struct net_http_response *response, const char *name);

#endif
