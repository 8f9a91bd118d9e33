/*
 *   SIGNING ──> RESOLVING ──> POSTING ──> done       any ──> done
 *
 *   SIGNING   -> RESOLVING   sign, in slices: a body can have a hundred megabytes
 *   RESOLVING -> POSTING     target_known, once every address of the host was judged
 *   POSTING   -> POSTING     on_reply: not reached at this address, the host has another one
 *   POSTING   -> RESOLVING   on_reply: a redirect
 *   any       -> done        finish, which frees the attempt
 */
#include "courier/webhook.h"

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/memory.h"
#include "courier/webhook_reply.h"
#include "net/target.h"
#include "secret/secret.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
    ADDRESSES_MAX = 32, /* of one host; more are refused, since all must be judged */
    TRIES_MAX = 4,      /* addresses that a connection is tried to */
    SLICE_BYTES = 4 * 1024 * 1024,
    HASH_BYTES = 32,
    HEADERS_MAX = 4,
};

TAILQ_HEAD(attempts, webhook_attempt);

struct webhook_poster {
    struct net_loop *loop; /* borrowed, as the next three */
    struct net_http *http;
    struct dns_client *dns;
    const struct log *log;
    int64_t timeout_ms;
    struct net_target_rules *rules; /* own */
    EVP_MAC *hmac;                  /* own */
    struct attempts attempts;       /* own */
};

/* One of the two questions for a host. */
struct lookup {
    struct webhook_attempt *attempt; /* borrowed */
    struct dns_query *query;         /* own; NULL: answered */
};

struct webhook_attempt {
    struct webhook_poster *poster; /* borrowed */
    webhook_on_done on_done;
    void *owner;             /* borrowed */
    struct arena arena;      /* URLs, words */
    struct net_timer *timer; /* own; the next slice */
    int64_t deadline_ms;     /* monotonic */
    int64_t signed_ms;       /* wall clock */
    struct secret *secret;   /* own; NULL: not signed */
    struct str id;           /* "X-Webhook-Id: …"; empty: none */
    const char *failure;     /* found at the start, told later; NULL: none */
    int body_fd;             /* own */
    const char *body;        /* own, mapped while it is signed; NULL: not */
    size_t body_len, signed_len;
    EVP_MAC_CTX *mac;     /* own */
    struct str signature; /* "X-Webhook-Signature: …"; empty: none */
    struct net_url url;
    unsigned redirects;
    struct lookup lookups[2]; /* A, AAAA */
    bool is_dns_failed;
    struct ip_address addresses[ADDRESSES_MAX];
    size_t address_count, next_address;
    struct net_http_call *call; /* own */
    TAILQ_ENTRY(webhook_attempt) in_attempts;
};

static void resolve(struct webhook_attempt *attempt);

/* ---- The end ---- */

static void unmap_body(struct webhook_attempt *attempt)
{
    if (attempt->body != NULL)
        munmap((void *)(uintptr_t)attempt->body, attempt->body_len);
    attempt->body = NULL;
}

static void attempt_free(struct webhook_attempt *attempt)
{
    TAILQ_REMOVE(&attempt->poster->attempts, attempt, in_attempts);
    for (size_t i = 0; i < ARRAY_LEN(attempt->lookups); i++) {
        if (attempt->lookups[i].query != NULL)
            dns_query_cancel(&attempt->lookups[i].query);
    }
    net_http_cancel(&attempt->call);
    net_timer_free(&attempt->timer);
    secret_free(&attempt->secret);
    unmap_body(attempt);
    EVP_MAC_CTX_free(attempt->mac);
    fd_close(&attempt->body_fd);
    arena_free(&attempt->arena);
    mem_free(&attempt);
}

void webhook_cancel(struct webhook_attempt **attempt)
{
    struct webhook_attempt *gone = *attempt;

    *attempt = NULL;
    if (gone != NULL)
        attempt_free(gone);
}

static void finish(struct webhook_attempt *attempt, const struct webhook_result *result)
{
    log_debug(attempt->poster->log, "webhook attempt reason=%.*s", STR_ARG(result->reason));
    attempt->on_done(attempt->owner, result);
    attempt_free(attempt);
}

static void finish_with(struct webhook_attempt *attempt, enum webhook_outcome outcome,
                        const char *reason)
{
    struct webhook_result result = {.outcome = outcome, .reason = str_from_c(reason)};

    finish(attempt, &result);
}

/* ---- Posting ---- */

static void post(struct webhook_attempt *attempt);

static void follow(struct webhook_attempt *attempt, const struct net_url *next, unsigned status)
{
    struct webhook_result result = {
        .outcome = WEBHOOK_FAILED, .status = status, .reason = STR("too many redirects")};

    if (attempt->redirects == WEBHOOK_REDIRECTS_MAX) {
        finish(attempt, &result);
        return;
    }
    attempt->redirects++;
    attempt->url = *next;
    resolve(attempt);
}

static void on_reply(void *owner, const struct net_http_response *response)
{
    struct webhook_attempt *attempt = owner;
    struct webhook_reply reply = {.status = response->status};
    struct webhook_result result;
    struct net_url next;

    attempt->call = NULL;
    if (response->err == ERR_BUSY && attempt->next_address < attempt->address_count &&
        attempt->next_address < TRIES_MAX) {
        post(attempt);
        return;
    }
    if (response->err != ERR_OK) {
        /* A certificate is renewed, a server repaired: worth another try, whatever it was. */
        finish_with(attempt, WEBHOOK_RETRY, response->words);
        return;
    }
    reply.location = net_http_header(response, "Location");
    reply.retry_after = net_http_header(response, "Retry-After");
    if (webhook_reply_read(&attempt->arena, &reply, &attempt->url, clock_now_ms(), &result, &next))
        follow(attempt, &next, reply.status);
    else
        finish(attempt, &result);
}

/* To the next of the host's addresses. */
static void post(struct webhook_attempt *attempt)
{
    int64_t left_ms = attempt->deadline_ms - clock_monotonic_ms();
    struct str headers[HEADERS_MAX] = {STR("Content-Type: application/json"),
                                       STR("User-Agent: Sealpost-Webhook/1")};
    char address[IP_ADDRESS_ROOM];
    struct net_http_request request = {
        .url = net_url_text(&attempt->arena, &attempt->url),
        .method = NET_HTTP_POST,
        .headers = headers,
        .header_count = 2,
        .body_fd = attempt->body_fd,
        .has_body_fd = true,
        .response_limit = WEBHOOK_REPLY_MAX,
        .is_cut_allowed = true,
        .timeout_ms = left_ms,
        .connect_timeout_ms = WEBHOOK_CONNECT_TIMEOUT_MS,
    };

    if (left_ms <= 0) {
        finish_with(attempt, WEBHOOK_RETRY, "not done in time");
        return;
    }
    ip_address_format(&attempt->addresses[attempt->next_address++], address);
    request.address = str_from_c(address);
    if (attempt->signature.len > 0)
        headers[request.header_count++] = attempt->signature;
    if (attempt->id.len > 0)
        headers[request.header_count++] = attempt->id;
    attempt->call = net_http_start(attempt->poster->http, &request, on_reply, attempt);
}

/* ---- Resolving ---- */

/* Every address that there is. */
static void target_known(struct webhook_attempt *attempt)
{
    const char *reason;

    if (attempt->address_count == 0) {
        finish_with(attempt, WEBHOOK_RETRY,
                    attempt->is_dns_failed ? "the host's name could not be resolved"
                                           : "the host's name has no address");
        return;
    }
    reason = net_target_reason(attempt->poster->rules, &attempt->url, attempt->addresses,
                               attempt->address_count);
    if (reason != NULL)
        finish_with(attempt, WEBHOOK_FAILED, reason);
    else
        post(attempt);
}

static void on_answer(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct lookup *lookup = owner;
    struct webhook_attempt *attempt = lookup->attempt;
    bool has_too_many = false;

    (void)task;
    lookup->query = NULL;
    attempt->is_dns_failed = attempt->is_dns_failed || answer->status == DNS_FAILED;
    for (size_t i = 0; answer->status == DNS_OK && i < answer->count; i++) {
        has_too_many = attempt->address_count == ADDRESSES_MAX;
        if (has_too_many)
            break;
        if (ip_address_from_bytes(answer->records[i].data,
                                  &attempt->addresses[attempt->address_count]))
            attempt->address_count++;
    }
    if (has_too_many) {
        finish_with(attempt, WEBHOOK_FAILED, "the host has too many addresses");
        return;
    }
    if (lookup == &attempt->lookups[0]) { /* IPv4 first, one after the other: in this order */
        lookup = &attempt->lookups[1];
        lookup->query = dns_client_ask(attempt->poster->dns, attempt->url.host, DNS_TYPE_AAAA,
                                       false, on_answer, lookup);
        return;
    }
    target_known(attempt);
}

static void resolve(struct webhook_attempt *attempt)
{
    attempt->address_count = attempt->next_address = 0;
    attempt->is_dns_failed = false;
    if (attempt->url.is_address) {
        attempt->addresses[attempt->address_count++] = attempt->url.address;
        target_known(attempt);
        return;
    }
    attempt->lookups[0].query = dns_client_ask(attempt->poster->dns, attempt->url.host, DNS_TYPE_A,
                                               false, on_answer, &attempt->lookups[0]);
}

/* ---- Signing ---- */

static void write_signature(struct webhook_attempt *attempt)
{
    unsigned char hash[HASH_BYTES];
    CLEANUP(buf_free) struct buf hex;
    size_t len = 0;

    buf_init(&hex, SIZE_MAX);
    if (EVP_MAC_final(attempt->mac, hash, &len, sizeof(hash)) != 1 || len != sizeof(hash) ||
        encode_hex(&hex, str_make(hash, sizeof(hash))) != ERR_OK)
        abort();
    attempt->signature =
        arena_printf(&attempt->arena, "X-Webhook-Signature: t=%lld,v1=%.*s",
                     (long long)(attempt->signed_ms / 1000), STR_ARG(buf_str(&hex)));
    EVP_MAC_CTX_free(attempt->mac);
    attempt->mac = NULL;
}

/* One slice more; nothing where there is no secret. */
static void sign(void *owner)
{
    struct webhook_attempt *attempt = owner;
    size_t len = attempt->body_len - attempt->signed_len;

    if (attempt->mac == NULL) {
        resolve(attempt);
        return;
    }
    if (len > SLICE_BYTES)
        len = SLICE_BYTES;
    if (len > 0 &&
        EVP_MAC_update(attempt->mac, (const unsigned char *)attempt->body + attempt->signed_len,
                       len) != 1)
        abort();
    attempt->signed_len += len;
    if (attempt->signed_len == attempt->body_len) {
        write_signature(attempt);
        unmap_body(attempt);
        resolve(attempt);
        return;
    }
    net_timer_start(attempt->timer, 0);
}

/* HMAC-SHA256 of "<unix time>.<body>", as far as it is known without the body. */
static void begin_signature(struct webhook_attempt *attempt)
{
    char digest[] = "SHA256", prefix[32];
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    struct str secret = secret_str(attempt->secret);
    int len = snprintf(prefix, sizeof(prefix), "%lld.", (long long)(attempt->signed_ms / 1000));

    attempt->mac = EVP_MAC_CTX_new(attempt->poster->hmac);
    if (attempt->mac == NULL ||
        EVP_MAC_init(attempt->mac, (const unsigned char *)secret.ptr, secret.len, params) != 1 ||
        EVP_MAC_update(attempt->mac, (const unsigned char *)prefix, (size_t)len) != 1)
        abort();
}

/* ---- The beginning ---- */

/* NULL, or why not. */
static const char *take_body(struct webhook_attempt *attempt, int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    void *mapped;
    off_t size;

    /* What is not sealed could shrink under our feet. */
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || (seals & F_SEAL_WRITE) == 0)
        return "the body is not sealed";
    attempt->body_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    size = lseek(attempt->body_fd, 0, SEEK_END);
    if (attempt->body_fd < 0 || size < 0)
        return "no descriptor is left";
    attempt->body_len = (size_t)size;
    if (attempt->body_len == 0 || attempt->secret == NULL)
        return NULL;
    mapped = mmap(NULL, attempt->body_len, PROT_READ, MAP_SHARED, attempt->body_fd, 0);
    if (mapped == MAP_FAILED)
        return "the body could not be mapped";
    attempt->body = mapped;
    return NULL;
}

/* Answers later, as all answers do. */
static void fail_later(void *owner)
{
    struct webhook_attempt *attempt = owner;

    /* What we lack may be there the next time; a URL that is none stays so. */
    finish_with(attempt, attempt->body_fd < 0 ? WEBHOOK_RETRY : WEBHOOK_FAILED, attempt->failure);
}

struct webhook_attempt *webhook_post(struct webhook_poster *poster, const struct webhook_job *job,
                                     webhook_on_done on_done, void *owner)
{
    struct webhook_attempt *attempt = NEW(struct webhook_attempt);

    attempt->poster = poster;
    attempt->on_done = on_done;
    attempt->owner = owner;
    attempt->body_fd = -1;
    attempt->deadline_ms = clock_monotonic_ms() + poster->timeout_ms;
    attempt->signed_ms = job->now_ms;
    for (size_t i = 0; i < ARRAY_LEN(attempt->lookups); i++)
        attempt->lookups[i].attempt = attempt;
    TAILQ_INSERT_TAIL(&poster->attempts, attempt, in_attempts);
    if (job->secret.len > 0)
        attempt->secret = secret_copy(job->secret);
    if (job->id.len > 0)
        attempt->id = arena_printf(&attempt->arena, "X-Webhook-Id: %.*s", STR_ARG(job->id));
    attempt->failure = take_body(attempt, job->body_fd);
    if (attempt->failure == NULL)
        attempt->failure = net_url_parse(&attempt->arena, job->url, &attempt->url);
    if (attempt->failure == NULL && attempt->secret != NULL)
        begin_signature(attempt);
    attempt->timer =
        net_timer_new(poster->loop, attempt->failure == NULL ? sign : fail_later, attempt);
    net_timer_start(attempt->timer, 0);
    return attempt;
}

struct webhook_poster *webhook_poster_new(const struct webhook_options *options)
{
    struct webhook_poster *poster = NEW(struct webhook_poster);

    poster->loop = options->loop;
    poster->http = options->http;
    poster->dns = options->dns;
    poster->log = options->log;
    poster->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : WEBHOOK_TIMEOUT_MS;
    poster->rules =
        net_target_rules_new(options->allow, options->allow_count, options->allows_http);
    poster->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    assert(poster->hmac != NULL);
    TAILQ_INIT(&poster->attempts);
    return poster;
}

void webhook_poster_configure(struct webhook_poster *poster, const struct webhook_options *options)
{
    net_target_rules_free(&poster->rules);
    poster->rules = net_target_rules_new(options->allow, options->allow_count, options->allows_http);
}

void webhook_poster_free(struct webhook_poster **poster)
{
    struct webhook_attempt *attempt;

    if (*poster == NULL)
        return;
    while ((attempt = TAILQ_FIRST(&(*poster)->attempts)) != NULL)
        attempt_free(attempt);
    net_target_rules_free(&(*poster)->rules);
    EVP_MAC_free((*poster)->hmac);
    mem_free(poster);
}
