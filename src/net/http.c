/*
 * libcurl tells which sockets it watches and when its next time-out is; the loop tells it what
 * happened. Finished transfers are collected after each such call, never inside one of libcurl's
 * own callbacks.
 *
 * The address of a request reaches libcurl as CURLOPT_CONNECT_TO with an IP address, which needs no
 * resolver (its threads would not get through the sandbox, either) and is part of what makes two
 * connections the same; on_socket then refuses any other address that libcurl might come up with.
 */
#include "net/http.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/ip.h"
#include "base/memory.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char system_trust[] = "/etc/ssl/certs/ca-certificates.crt";

enum {
    CONNECTIONS_DEFAULT = 64,
    PER_HOST_DEFAULT = 8,
    TIMEOUT_DEFAULT_MS = 30 * 1000,
    CONNECT_TIMEOUT_DEFAULT_MS = 10 * 1000,
    UNACKNOWLEDGED_MS = 10 * 1000,
    SMALL_BUFFER = 4096,
    SMALL_UPLOAD = 16 * 1024, /* libcurl's least */
};

TAILQ_HEAD(calls, net_http_call);

struct net_http {
    struct net_loop *loop;   /* borrowed */
    CURLM *multi;            /* own */
    struct net_timer *timer; /* own; libcurl's next time-out */
    X509_STORE *trust;       /* own */
    struct calls calls;      /* own; those under way */
};

/* One socket that libcurl watches; its only owner is the table inside libcurl. */
struct watched {
    struct net_http *http;   /* borrowed */
    struct net_watch *watch; /* own */
    curl_socket_t fd;        /* borrowed */
};

struct net_http_call {
    struct net_http *http;                   /* borrowed */
    CURL *easy;                              /* own */
    struct curl_slist *headers, *connect_to; /* own */
    struct ip_address address;
    bool has_address;        /* what was given is one */
    struct str request_body; /* own copy */
    int body_fd;             /* own; -1: none */
    off_t body_start, body_offset, body_size; /* the second: of body_size, from body_start on */
    struct buf body; /* of the response */
    size_t header_bytes;
    bool is_cut_allowed, is_cut, is_too_large;
    bool is_second_try;
    net_http_on_bytes on_bytes; /* NULL: none */
    enum err bytes_err;         /* what it said */
    int64_t end_ms; /* clock_monotonic_ms */
    char words[CURL_ERROR_SIZE];
    net_http_on_done on_done;
    void *owner; /* borrowed */
    TAILQ_ENTRY(net_http_call) in_calls;
};

static void must(bool is_done)
{
    if (!is_done) {
        fputs("sealpost: libcurl failed\n", stderr);
        abort();
    }
}

/* An option that libcurl always has: only a mistake of ours, or no memory, makes it fail. */
#define SET(easy, option, value) must(curl_easy_setopt((easy), (option), (value)) == CURLE_OK)
#define SET_MULTI(multi, option, value)                                                            \
    must(curl_multi_setopt((multi), (option), (value)) == CURLM_OK)

/* ---- The end of a call ---- */

static void call_free(struct net_http_call **call_pointer)
{
    struct net_http_call *call = *call_pointer;
    struct net_http *http = call->http;

    TAILQ_REMOVE(&http->calls, call, in_calls);
    must(curl_multi_remove_handle(http->multi, call->easy) == CURLM_OK);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->connect_to);
    mem_free(&call->request_body.ptr);
    fd_close(&call->body_fd);
    buf_free(&call->body);
    mem_free(call_pointer);
}

void net_http_cancel(struct net_http_call **call)
{
    if (*call != NULL)
        call_free(call);
}

static enum err kind_of(const struct net_http_call *call, CURLcode code)
{
    if (code == CURLE_OK || (call->is_cut && code == CURLE_WRITE_ERROR))
        return ERR_OK;
    if (call->is_too_large)
        return ERR_LIMIT;
    if (call->bytes_err != ERR_OK)
        return call->bytes_err;
    switch ((int)code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return ERR_DENIED;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_BAD_CONTENT_ENCODING:
        return ERR_INVALID;
    default: /* libcurl's enumeration, not ours */
        return ERR_BUSY;
    }
}

/*
 * A kept connection that the server closed just as the request went out: no byte of an answer came,
 * and the next connection will do. Once; for a POST, too, as libcurl itself does in the cases that
 * it recognises.
 */
static bool try_again(struct net_http_call *call, CURLcode code)
{
    int64_t left_ms = call->end_ms - clock_monotonic_ms();
    long connections = 1;

    (void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connections);
    if ((code != CURLE_SEND_ERROR && code != CURLE_RECV_ERROR && code != CURLE_GOT_NOTHING &&
         code != CURLE_HTTP2 && code != CURLE_HTTP2_STREAM && code != CURLE_PARTIAL_FILE) ||
        connections != 0 || call->header_bytes > 0 || call->is_second_try || left_ms <= 0)
        return false;
    call->is_second_try = true;
    call->body_offset = 0;
    SET(call->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
    must(curl_multi_remove_handle(call->http->multi, call->easy) == CURLM_OK);
    must(curl_multi_add_handle(call->http->multi, call->easy) == CURLM_OK);
    return true;
}

static void finish(struct net_http_call *call, CURLcode code)
{
    struct net_http_response response = {.err = kind_of(call, code), .call = call};
    curl_off_t connected_us = 0;
    long status = 0;

    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    response.was_connected = connected_us > 0;
    if (response.err == ERR_OK && (status < 100 || status > 999))
        response.err = ERR_INVALID;
    if (response.err == ERR_OK) {
        response.status = (unsigned)status;
        response.body = buf_str(&call->body);
        response.is_cut = call->is_cut;
        response.words = "";
    } else {
        response.words = call->words[0] != '\0' ? call->words : curl_easy_strerror(code);
        if (call->is_too_large)
            response.words = "the response is too large";
        else if (call->bytes_err != ERR_OK)
            response.words = "its bytes could not be kept";
    }
    call->on_done(call->owner, &response);
    call_free(&call);
}

static void collect(struct net_http *http)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        struct net_http_call *call = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (!try_again(call, message->data.result))
            finish(call, message->data.result);
    }
}

/* ---- libcurl and the loop ---- */

static void act(struct net_http *http, curl_socket_t fd, int what)
{
    int running;

    must(curl_multi_socket_action(http->multi, fd, what, &running) == CURLM_OK);
    collect(http);
}

static void on_time(void *owner)
{
    act(owner, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *owner)
{
    struct net_http *http = owner;

    (void)multi;
    if (timeout_ms < 0)
        net_timer_stop(http->timer);
    else
        net_timer_start(http->timer, timeout_ms);
    return 0;
}

/* `watched` may be gone after either. */
static void on_readable(void *owner)
{
    struct watched *watched = owner;

    act(watched->http, watched->fd, CURL_CSELECT_IN);
}

static void on_writable(void *owner)
{
    struct watched *watched = owner;

    act(watched->http, watched->fd, CURL_CSELECT_OUT);
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *owner, void *socket_owner)
{
    struct net_http *http = owner;
    struct watched *watched = socket_owner;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watched != NULL) {
            net_watch_free(&watched->watch);
            mem_free(&watched);
        }
        return 0;
    }
    if (watched == NULL) {
        watched = NEW(struct watched);
        watched->http = http;
        watched->fd = fd;
        watched->watch = net_watch_new(http->loop, fd, on_readable, on_writable, watched);
        must(curl_multi_assign(http->multi, fd, watched) == CURLM_OK);
    }
    net_watch_want(watched->watch, (what & CURL_POLL_IN) != 0, (what & CURL_POLL_OUT) != 0);
    return 0;
}

/* ---- What libcurl asks during a call ---- */

unsigned net_http_status(const struct net_http_call *call)
{
    long status = 0;

    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (unsigned)status;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *owner)
{
    struct net_http_call *call = owner;
    size_t len = size * count, room = call->body.limit - call->body.len;

    if (call->on_bytes != NULL && net_http_status(call) / 100 == 2) {
        call->bytes_err = call->on_bytes(call->owner, str_make(bytes, len));
        return call->bytes_err == ERR_OK ? len : 0;
    }
    if (len <= room) {
        buf_put(&call->body, str_make(bytes, len));
        return len;
    }
    if (call->is_cut_allowed) {
        buf_put(&call->body, str_make(bytes, room));
        call->is_cut = true;
    } else {
        call->is_too_large = true;
    }
    return 0; /* ends the transfer with CURLE_WRITE_ERROR */
}

static size_t on_header(char *bytes, size_t size, size_t count, void *owner)
{
    struct net_http_call *call = owner;
    size_t len = size * count;

    (void)bytes;
    call->header_bytes += len;
    if (call->header_bytes <= NET_HTTP_HEADERS_MAX_BYTES)
        return len;
    call->is_too_large = true;
    return 0;
}

static size_t on_read(char *room, size_t size, size_t count, void *owner)
{
    struct net_http_call *call = owner;
    off_t left = call->body_size - call->body_offset;
    size_t most = size * count;
    ssize_t got;

    if ((off_t)most > left)
        most = (size_t)left;
    got = pread(call->body_fd, room, most, call->body_start + call->body_offset);
    /* What has become shorter meanwhile would let the server wait. */
    if (got < 0 || (got == 0 && left > 0))
        return CURL_READFUNC_ABORT;
    call->body_offset += got;
    return (size_t)got;
}

/* A kept connection turned out to be dead: the request is sent again. */
static int on_seek(void *owner, curl_off_t offset, int origin)
{
    struct net_http_call *call = owner;

    if (origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    call->body_offset = offset;
    return CURL_SEEKFUNC_OK;
}

static bool is_wanted_address(const struct net_http_call *call, const struct sockaddr *address)
{
    struct ip_address found = {.is_v6 = false};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof(v4));
        (void)ip_address_from_bytes(str_make(&v4.sin_addr, sizeof(v4.sin_addr)), &found);
    } else if (address->sa_family == AF_INET6) {
        memcpy(&v6, address, sizeof(v6));
        (void)ip_address_from_bytes(str_make(&v6.sin6_addr, sizeof(v6.sin6_addr)), &found);
    } else {
        return false;
    }
    return call->has_address && ip_address_equal(&found, &call->address);
}

static curl_socket_t on_socket(void *owner, curlsocktype purpose, struct curl_sockaddr *address)
{
    unsigned unacknowledged_ms = UNACKNOWLEDGED_MS;
    int fd;

    (void)purpose;
    if (!is_wanted_address(owner, &address->addr))
        return CURL_SOCKET_BAD;
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                address->protocol);
    /* A kept connection that the network forgot would otherwise take every new request with it, for
     * the quarter of an hour that TCP goes on trying. */
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms,
                         sizeof(unacknowledged_ms));
    return fd;
}

/* Our store, parsed once, in place of a parse for every connection. */
static CURLcode on_tls_context(CURL *easy, void *context, void *owner)
{
    const struct net_http_call *call = owner;

    (void)easy;
    SSL_CTX_set1_cert_store(context, call->http->trust);
    return CURLE_OK;
}

/* ---- The beginning of a call ---- */

static struct curl_slist *add_line(struct curl_slist *list, struct str line)
{
    char *text = mem_copy_text(line.ptr, line.len);
    struct curl_slist *longer;

    text[strcspn(text, "\r\n")] = '\0'; /* a line is a line, whoever made it */
    longer = curl_slist_append(list, text);
    must(longer != NULL);
    mem_free(&text);
    return longer;
}

static void set_address(struct net_http_call *call, struct str address)
{
    char text[IP_ADDRESS_ROOM], line[IP_ADDRESS_ROOM + 8];

    call->has_address = ip_address_parse(address, &call->address);
    if (!call->has_address)
        return;
    ip_address_format(&call->address, text);
    /* For any host and port of the URL: this host, the port unchanged. */
    (void)snprintf(line, sizeof(line), call->address.is_v6 ? "::[%s]:" : "::%s:", text);
    call->connect_to = add_line(NULL, str_from_c(line));
    SET(call->easy, CURLOPT_CONNECT_TO, call->connect_to);
}

static void set_limits(struct net_http_call *call, const struct net_http_request *request)
{
    int64_t timeout_ms = request->timeout_ms > 0 ? request->timeout_ms : TIMEOUT_DEFAULT_MS;
    int64_t connect_ms =
        request->connect_timeout_ms > 0 ? request->connect_timeout_ms : CONNECT_TIMEOUT_DEFAULT_MS;

    call->end_ms = clock_monotonic_ms() + timeout_ms;
    SET(call->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    SET(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    if (request->stall_ms > 0) {
        SET(call->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        SET(call->easy, CURLOPT_LOW_SPEED_TIME, (long)((request->stall_ms + 999) / 1000));
    }
    SET(call->easy, CURLOPT_NOSIGNAL, 1L);
    SET(call->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(call->easy, CURLOPT_PROXY, "");
    SET(call->easy, CURLOPT_FOLLOWLOCATION, 0L);
    SET(call->easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(call->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(call->easy, CURLOPT_PIPEWAIT, 1L);
    SET(call->easy, CURLOPT_HTTP09_ALLOWED, 0L);
    /* Thousands of small ones at a time (DNS); and what is freed is wiped, so a large buffer costs
     * its memory though little of it was used. */
    if (request->response_limit <= UINT16_MAX && !request->has_body_fd) {
        SET(call->easy, CURLOPT_BUFFERSIZE, (long)SMALL_BUFFER);
        SET(call->easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)SMALL_UPLOAD);
    }
}

static void set_tls(struct net_http_call *call)
{
    /* No files: inside the sandbox there are none. */
    SET(call->easy, CURLOPT_CAINFO, NULL);
    SET(call->easy, CURLOPT_CAPATH, NULL);
    SET(call->easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* its cached store would replace ours */
    SET(call->easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
    SET(call->easy, CURLOPT_SSL_CTX_DATA, call);
    SET(call->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

static void set_body_fd(struct net_http_call *call, const struct net_http_request *request)
{
    call->body_fd = fcntl(request->body_fd, F_DUPFD_CLOEXEC, 3);
    if (request->body_len > 0) {
        call->body_start = (off_t)request->body_start;
        call->body_size = (off_t)request->body_len;
        return;
    }
    call->body_size = lseek(call->body_fd, 0, SEEK_END);
    if (call->body_size < 0)
        call->body_size = 0;
}

/* A PUT's length is told apart from a POST's. */
static void set_body_size(struct net_http_call *call, enum net_http_method method, curl_off_t size)
{
    if (method == NET_HTTP_PUT)
        SET(call->easy, CURLOPT_INFILESIZE_LARGE, size);
    else
        SET(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, size);
}

static size_t on_read_text(char *room, size_t size, size_t count, void *owner)
{
    struct net_http_call *call = owner;
    struct str left = str_from(call->request_body, (size_t)call->body_offset);
    struct str part = str_upto(left, size * count);

    if (part.len > 0)
        memcpy(room, part.ptr, part.len);
    call->body_offset += (off_t)part.len;
    return part.len;
}

static void set_body(struct net_http_call *call, const struct net_http_request *request)
{
    if (request->method == NET_HTTP_HEAD) {
        SET(call->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (request->method == NET_HTTP_GET || request->method == NET_HTTP_DELETE) {
        SET(call->easy, CURLOPT_HTTPGET, 1L);
        if (request->method == NET_HTTP_DELETE)
            SET(call->easy, CURLOPT_CUSTOMREQUEST, "DELETE");
        return;
    }
    if (request->method == NET_HTTP_PUT)
        SET(call->easy, CURLOPT_UPLOAD, 1L);
    else
        SET(call->easy, CURLOPT_POST, 1L);
    if (request->has_body_fd) {
        set_body_fd(call, request);
        set_body_size(call, request->method, (curl_off_t)call->body_size);
        SET(call->easy, CURLOPT_READFUNCTION, on_read);
        SET(call->easy, CURLOPT_READDATA, call);
        SET(call->easy, CURLOPT_SEEKFUNCTION, on_seek);
        SET(call->easy, CURLOPT_SEEKDATA, call);
        return;
    }
    call->request_body = str_make(mem_copy_text(request->body.ptr, request->body.len),
                                  request->body.len);
    set_body_size(call, request->method, (curl_off_t)request->body.len);
    if (request->method == NET_HTTP_POST) {
        SET(call->easy, CURLOPT_POSTFIELDS, call->request_body.ptr);
        return;
    }
    SET(call->easy, CURLOPT_READFUNCTION, on_read_text);
    SET(call->easy, CURLOPT_READDATA, call);
    SET(call->easy, CURLOPT_SEEKFUNCTION, on_seek);
    SET(call->easy, CURLOPT_SEEKDATA, call);
}

/* libcurl has its own copies until the call ends. */
static void set_signing(struct net_http_call *call, const struct net_http_signing *signing)
{
    char *key_id = mem_copy_text(signing->key_id.ptr, signing->key_id.len);
    struct str bytes = secret_str(signing->secret);
    char *secret = mem_copy_text(bytes.ptr, bytes.len);

    SET(call->easy, CURLOPT_AWS_SIGV4, signing->scope);
    SET(call->easy, CURLOPT_USERNAME, key_id);
    SET(call->easy, CURLOPT_PASSWORD, secret);
    mem_wipe(secret, bytes.len);
    mem_free(&secret);
    mem_free(&key_id);
}

static void set_headers(struct net_http_call *call, const struct net_http_request *request)
{
    bool has_body = request->method == NET_HTTP_POST || request->method == NET_HTTP_PUT;

    /* Nobody waits for "100 Continue". Where it is signed, libcurl counts this line among what it
     * sends, and the signature is wrong; there the server may say early that it refuses. */
    if (request->signing == NULL && has_body)
        call->headers = add_line(NULL, STR("Expect:"));
    for (size_t i = 0; i < request->header_count; i++)
        call->headers = add_line(call->headers, request->headers[i]);
    SET(call->easy, CURLOPT_HTTPHEADER, call->headers);
}

static void set_callbacks(struct net_http_call *call)
{
    SET(call->easy, CURLOPT_PRIVATE, call);
    SET(call->easy, CURLOPT_ERRORBUFFER, call->words);
    SET(call->easy, CURLOPT_WRITEFUNCTION, on_body);
    SET(call->easy, CURLOPT_WRITEDATA, call);
    SET(call->easy, CURLOPT_HEADERFUNCTION, on_header);
    SET(call->easy, CURLOPT_HEADERDATA, call);
    SET(call->easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(call->easy, CURLOPT_OPENSOCKETDATA, call);
}

static void set_url(struct net_http_call *call, struct str url, struct str target)
{
    char *text = mem_copy_text(url.ptr, url.len);

    /* What has a NUL in it, no scheme (libcurl would guess one), or no address to go to, fails as a
     * malformed URL does, later. */
    if (strlen(text) == url.len && call->has_address &&
        (str_starts_with_nocase(url, STR("http://")) ||
         str_starts_with_nocase(url, STR("https://"))))
        SET(call->easy, CURLOPT_URL, text);
    else
        SET(call->easy, CURLOPT_URL, "");
    mem_free(&text);
    if (target.len > 0) {
        text = mem_copy_text(target.ptr, target.len);
        SET(call->easy, CURLOPT_REQUEST_TARGET, text);
        mem_free(&text);
    }
}

struct net_http_call *net_http_start(struct net_http *http, const struct net_http_request *request,
                                     net_http_on_done on_done, void *owner)
{
    struct net_http_call *call = NEW(struct net_http_call);

    call->http = http;
    /* A new one each time. Debian 12's libcurl (7.88) keeps a pointer to the last header field of
     * the transfer before, also through curl_easy_reset: a response whose first field is folded
     * made it read freed memory (fuzz-seeds/net-http/folded-first). */
    call->easy = curl_easy_init();
    must(call->easy != NULL);
    call->on_done = on_done;
    call->owner = owner;
    call->body_fd = -1;
    call->is_cut_allowed = request->is_cut_allowed;
    call->on_bytes = request->on_bytes;
    buf_init(&call->body, request->response_limit);
    set_limits(call, request);
    set_tls(call);
    set_callbacks(call);
    set_address(call, request->address);
    set_url(call, request->url, request->target);
    set_headers(call, request);
    set_body(call, request);
    if (request->signing != NULL)
        set_signing(call, request->signing);
    TAILQ_INSERT_TAIL(&http->calls, call, in_calls);
    must(curl_multi_add_handle(http->multi, call->easy) == CURLM_OK);
    return call;
}

struct str net_http_call_header(const struct net_http_call *call, const char *name)
{
    struct curl_header *header;

    if (curl_easy_header(call->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return STR("");
    return str_from_c(header->value);
}

struct str net_http_header(const struct net_http_response *response, const char *name)
{
    return net_http_call_header(response->call, name);
}

/* ---- The client ---- */

static void bio_free(BIO **bio)
{
    BIO_free(*bio);
    *bio = NULL;
}

static void store_free(X509_STORE **store)
{
    X509_STORE_free(*store);
    *store = NULL;
}

static enum err load_trust(struct task *task, struct str pem, X509_STORE **out)
{
    CLEANUP(bio_free) BIO *bio = NULL;
    CLEANUP(store_free) X509_STORE *store = X509_STORE_new();
    X509 *certificate;
    size_t count = 0;

    must(store != NULL);
    if (pem.len > NET_HTTP_TRUST_MAX_BYTES)
        return fail(task, ERR_LIMIT, "the trusted certificates are too large");
    bio = BIO_new_mem_buf(pem.len == 0 ? "" : pem.ptr, (int)pem.len);
    must(bio != NULL);
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        must(X509_STORE_add_cert(store, certificate) == 1);
        X509_free(certificate);
        count++;
    }
    ERR_clear_error(); /* "no start line" at the end */
    if (count == 0 && pem.len > 0)
        return fail(task, ERR_INVALID, "no certificate among those that are trusted");
    *out = store;
    store = NULL;
    return ERR_OK;
}

enum err net_http_check_trust(struct task *task, struct str pem)
{
    CLEANUP(store_free) X509_STORE *store = NULL;

    return load_trust(task, pem, &store);
}

enum err net_http_set_trust(struct net_http *http, struct task *task, struct str pem)
{
    X509_STORE *store;

    TRY(load_trust(task, pem, &store));
    X509_STORE_free(http->trust); /* connections have references of their own */
    http->trust = store;
    return ERR_OK;
}

enum err net_http_new(struct net_loop *loop, struct task *task,
                      const struct net_http_options *options, struct net_http **out)
{
    struct net_http *http = NEW(struct net_http);
    enum err err;

    unsetenv("SSLKEYLOGFILE"); /* libcurl would write the keys of its connections there */
    tzset(); /* it asks for the time zone, whose file the sandbox hides */
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    http->loop = loop;
    TAILQ_INIT(&http->calls);
    http->timer = net_timer_new(loop, on_time, http);
    http->multi = curl_multi_init();
    must(http->multi != NULL);
    SET_MULTI(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    SET_MULTI(http->multi, CURLMOPT_SOCKETDATA, http);
    SET_MULTI(http->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    SET_MULTI(http->multi, CURLMOPT_TIMERDATA, http);
    SET_MULTI(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    SET_MULTI(
        http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
        (long)(options->connections_max > 0 ? options->connections_max : CONNECTIONS_DEFAULT));
    SET_MULTI(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
              (long)(options->connections_per_host_max > 0 ? options->connections_per_host_max
                                                           : PER_HOST_DEFAULT));
    err = load_trust(task, options->trust_pem, &http->trust);
    if (err != ERR_OK) {
        net_http_free(&http);
        return err;
    }
    *out = http;
    return ERR_OK;
}

void net_http_free(struct net_http **http_pointer)
{
    struct net_http *http = *http_pointer;
    struct net_http_call *call;

    if (http == NULL)
        return;
    while ((call = TAILQ_FIRST(&http->calls)) != NULL)
        call_free(&call);
    must(curl_multi_cleanup(http->multi) == CURLM_OK);
    curl_global_cleanup();
    net_timer_free(&http->timer);
    X509_STORE_free(http->trust);
    mem_free(http_pointer);
}

enum err net_http_read_trust(struct task *task, struct str path, struct buf *out_pem)
{
    const char *name = path.len == 0 ? system_trust : arena_copy(&task->arena, path).ptr;

    return file_read(task, AT_FDCWD, name, NET_HTTP_TRUST_MAX_BYTES, out_pem);
}
