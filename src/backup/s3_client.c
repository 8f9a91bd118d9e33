#include "backup/s3_client.h"

#include "backup/s3_xml.h"
#include "base/ascii.h"
#include "base/clock.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

/* SHA-256 of no bytes. */
static const char nothing_hex[] =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

enum {
    TRIES_MAX = 4,
    ADDRESSES_MAX = 8,
    FIRST_WAIT_MS = 500,
    STALL_MS = 30 * 1000,
    TIMEOUT_MS = 60 * 60 * 1000,
    RESPONSE_LIMIT = 64 * 1024,
    WORDS_ROOM = 200,
    LOST_MAX = 64,
};

struct s3_client {
    struct net_loop *loop;  /* borrowed */
    struct net_http *http;  /* borrowed */
    struct dns_client *dns; /* borrowed */
    struct arena arena;
    struct backup_place place;
    struct buf key_id;
    struct str origin;  /* "https://host:port" */
    const char *scope;  /* "aws:amz:region:s3" */
    struct secret *secret; /* own */
    const struct net_target_rules *rules; /* borrowed; NULL: any address */
    int64_t first_wait_ms;
    /* Mailboxes of which a put was lost; those that are not among them any more: all at once. */
    struct lost {
        struct id mailbox;
        int64_t at_ms; /* monotonic; 0: nothing */
    } lost[LOST_MAX];
    size_t next_lost;
    int64_t others_lost_ms;
};

struct s3_exchange {
    struct s3_client *client; /* borrowed */
    struct arena arena;
    struct s3_request request; /* texts in the arena */
    struct str url;
    struct str headers[S3_HEADERS_MAX];
    struct ip_address addresses[ADDRESSES_MAX];
    size_t address_count, next_address;
    bool is_asked_v6;
    struct dns_query *query;    /* own */
    struct net_http_call *call; /* own */
    struct net_timer *timer;    /* own */
    unsigned tries;
    s3_on_reply on_reply;
    void *owner; /* borrowed */
};

static void send_request(struct s3_exchange *exchange);

void s3_client_set_key(struct s3_client *client, struct str key_id, struct secret *secret)
{
    buf_reset(&client->key_id);
    buf_put(&client->key_id, key_id);
    secret_free(&client->secret);
    client->secret = secret;
}

struct s3_client *s3_client_new(const struct s3_client_options *options)
{
    struct s3_client *client = NEW(struct s3_client);
    const struct backup_place *place = options->place;
    struct str text;

    client->loop = options->loop;
    client->http = options->http;
    client->dns = options->dns;
    client->place = *place;
    client->place.bucket = arena_copy(&client->arena, place->bucket);
    client->place.prefix = arena_copy(&client->arena, place->prefix);
    client->place.url.host = arena_copy(&client->arena, place->url.host);
    client->place.url.target = STR("/");
    text = net_url_text(&client->arena, &client->place.url);
    client->origin = str_upto(text, text.len - 1);
    client->scope =
        arena_printf(&client->arena, "aws:amz:%.*s:s3", STR_ARG(options->region)).ptr;
    buf_init(&client->key_id, SIZE_MAX);
    s3_client_set_key(client, options->key_id, options->secret);
    client->rules = options->rules;
    client->first_wait_ms = options->first_wait_ms > 0 ? options->first_wait_ms : FIRST_WAIT_MS;
    return client;
}

void s3_client_free(struct s3_client **client)
{
    if (*client == NULL)
        return;
    secret_free(&(*client)->secret);
    buf_free(&(*client)->key_id);
    arena_free(&(*client)->arena);
    mem_free(client);
}

struct str s3_client_prefix(const struct s3_client *client)
{
    return client->place.prefix;
}

/* RFC 3986 §2.3; everything else is encoded, as the signature wants it. */
void s3_query_put(struct buf *query, const char *name, struct str value)
{
    buf_putf(query, "%s%s=", query->len > 0 ? "&" : "", name);
    for (size_t i = 0; i < value.len; i++) {
        char byte = value.ptr[i];

        if (ascii_is_alnum(byte) || byte == '-' || byte == '.' || byte == '_' || byte == '~')
            buf_put(query, str_make(&byte, 1));
        else
            buf_putf(query, "%%%02X", (unsigned)(unsigned char)byte);
    }
}

/* ---- Puts that were lost ---- */

static bool read_mailbox(struct str name, struct id *out)
{
    return id_parse(str_upto(name, ID_TEXT_LEN), out);
}

static size_t find_lost(const struct s3_client *client, const struct id *mailbox)
{
    size_t i = 0;

    while (i < LOST_MAX && (client->lost[i].at_ms == 0 || !id_equal(&client->lost[i].mailbox, mailbox)))
        i++;
    return i;
}

int64_t s3_client_lost_put_ms(const struct s3_client *client, struct str name)
{
    int64_t at_ms = client->others_lost_ms;
    struct id mailbox;
    size_t i;

    if (!read_mailbox(name, &mailbox))
        return at_ms;
    i = find_lost(client, &mailbox);
    return i < LOST_MAX && client->lost[i].at_ms > at_ms ? client->lost[i].at_ms : at_ms;
}

/* Its answer is not known: if it was to put something there, the server may do so yet. */
static void lose(struct s3_exchange *exchange)
{
    struct s3_client *client = exchange->client;
    struct id mailbox;
    size_t i;

    if ((exchange->request.method != NET_HTTP_PUT && exchange->request.method != NET_HTTP_POST) ||
        !read_mailbox(exchange->request.name, &mailbox))
        return;
    i = find_lost(client, &mailbox);
    if (i == LOST_MAX) {
        i = client->next_lost++ % LOST_MAX;
        if (client->lost[i].at_ms > client->others_lost_ms)
            client->others_lost_ms = client->lost[i].at_ms;
    }
    client->lost[i] = (struct lost){.mailbox = mailbox, .at_ms = clock_monotonic_ms()};
}

/* A gateway's word is none of the server's behind it. */
static bool is_answer(const struct net_http_response *response)
{
    return response->err == ERR_OK && response->status != 500 && response->status != 502 &&
           response->status != 504;
}

/* ---- The end of an exchange ---- */

static void exchange_free(struct s3_exchange **pointer)
{
    struct s3_exchange *exchange = *pointer;

    if (exchange->call != NULL)
        lose(exchange);
    dns_query_cancel(&exchange->query);
    net_http_cancel(&exchange->call);
    net_timer_free(&exchange->timer);
    arena_free(&exchange->arena);
    mem_free(pointer);
}

void s3_cancel(struct s3_exchange **exchange)
{
    if (*exchange != NULL)
        exchange_free(exchange);
}

unsigned s3_status(const struct s3_exchange *exchange)
{
    return exchange->call == NULL ? 0 : net_http_status(exchange->call);
}

struct str s3_header(const struct s3_exchange *exchange, const char *name)
{
    return exchange->call == NULL ? STR("") : net_http_call_header(exchange->call, name);
}

static void finish(struct s3_exchange *exchange, const struct s3_reply *reply)
{
    exchange->on_reply(exchange->owner, reply);
    exchange_free(&exchange);
}

/* Again in a while, if that may help. */
static bool try_again(struct s3_exchange *exchange, enum err err)
{
    if (err != ERR_BUSY || exchange->tries >= TRIES_MAX || exchange->request.on_bytes != NULL)
        return false;
    net_timer_start(exchange->timer,
                    exchange->client->first_wait_ms << (exchange->tries > 0 ? exchange->tries - 1
                                                                            : 0));
    return true;
}

static void finish_with(struct s3_exchange *exchange, enum err err, const char *words)
{
    struct s3_reply reply = {.err = err, .words = words, .code = STR(""), .body = STR("")};

    finish(exchange, &reply);
}

/* What a status without success means (S3's API reference, "Error responses"). */
static enum err err_of(unsigned status, struct str code)
{
    if (str_equal(code, STR("QuotaExceeded")) || str_equal(code, STR("EntityTooLarge")) ||
        status == 413 || status == 507)
        return ERR_LIMIT;
    if (str_equal(code, STR("RequestTimeout")) || str_equal(code, STR("BadDigest")) ||
        str_equal(code, STR("XAmzContentSHA256Mismatch")) || str_equal(code, STR("IncompleteBody")))
        return ERR_BUSY;
    if (status == 404)
        return ERR_NOT_FOUND;
    if (status == 401 || status == 403)
        return ERR_DENIED;
    if (status == 408 || status == 409 || status == 425 || status == 429 ||
        (status >= 500 && status != 501))
        return ERR_BUSY;
    return ERR_INVALID;
}

static void on_response(void *owner, const struct net_http_response *response)
{
    struct s3_exchange *exchange = owner;
    char words[WORDS_ROOM] = "";
    struct s3_reply reply = {.err = response->err,
                             .words = words,
                             .status = response->status,
                             .code = STR(""),
                             .body = response->body,
                             .response = response};
    struct task task;

    exchange->call = NULL;
    task_init(&task, clock_now_ms());
    if (response->err != ERR_OK) {
        (void)snprintf(words, sizeof(words), "S3: %s", response->words);
    } else if (response->status / 100 != 2) {
        reply.code = s3_xml_error_code(&task, response->body);
        reply.err = err_of(response->status, reply.code);
        (void)snprintf(words, sizeof(words), "S3: status %u %.*s", response->status,
                       STR_ARG(reply.code));
    }
    if (!is_answer(response))
        lose(exchange);
    if (!try_again(exchange, reply.err))
        finish(exchange, &reply);
    task_done(&task);
}

static enum err on_bytes(void *owner, struct str bytes)
{
    struct s3_exchange *exchange = owner;

    return exchange->request.on_bytes(exchange->owner, bytes);
}

/* ---- Where to ---- */

/* The addresses are known: judged all together, then connected to one of them and no other. */
static void go_there(struct s3_exchange *exchange)
{
    const struct s3_client *client = exchange->client;
    const char *reason = client->rules == NULL
                             ? NULL
                             : net_target_reason(client->rules, &client->place.url,
                                                 exchange->addresses, exchange->address_count);
    char words[WORDS_ROOM];

    if (reason == NULL) {
        send_request(exchange);
        return;
    }
    (void)snprintf(words, sizeof(words), "S3: %s", reason);
    finish_with(exchange, ERR_DENIED, words);
}

static void on_addresses(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct s3_exchange *exchange = owner;

    (void)task;
    exchange->query = NULL;
    for (size_t i = 0; i < answer->count && exchange->address_count < ADDRESSES_MAX; i++) {
        if (ip_address_from_bytes(answer->records[i].data,
                                  &exchange->addresses[exchange->address_count]))
            exchange->address_count++;
    }
    if (!exchange->is_asked_v6 && exchange->address_count == 0) {
        exchange->is_asked_v6 = true;
        exchange->query = dns_client_ask(exchange->client->dns, exchange->client->place.url.host,
                                         DNS_TYPE_AAAA, false, on_addresses, exchange);
    } else if (exchange->address_count > 0) {
        go_there(exchange);
    } else if (!try_again(exchange, ERR_BUSY)) {
        finish_with(exchange, ERR_BUSY, "S3: the host's name has no address now");
    }
}

/* The host's addresses in turn; found anew when all were tried. */
static void attempt(void *owner)
{
    struct s3_exchange *exchange = owner;
    const struct net_url *url = &exchange->client->place.url;

    exchange->tries++;
    if (url->is_address) {
        exchange->addresses[0] = url->address;
        exchange->address_count = 1;
        exchange->next_address = 0;
    }
    if (exchange->next_address < exchange->address_count) {
        go_there(exchange);
        return;
    }
    exchange->address_count = exchange->next_address = 0;
    exchange->is_asked_v6 = false;
    exchange->query = dns_client_ask(exchange->client->dns, url->host, DNS_TYPE_A, false,
                                     on_addresses, exchange);
}

static void send_request(struct s3_exchange *exchange)
{
    struct s3_client *client = exchange->client;
    const struct s3_request *request = &exchange->request;
    struct net_http_signing signing = {
        .scope = client->scope, .key_id = buf_str(&client->key_id), .secret = client->secret};
    char address[IP_ADDRESS_ROOM];
    struct net_http_request http = {
        .url = exchange->url,
        .method = request->method,
        .headers = exchange->headers,
        .header_count = request->header_count,
        .body = request->body,
        .body_fd = request->body_fd,
        .has_body_fd = request->body_len > 0,
        .body_start = request->body_start,
        .body_len = request->body_len,
        .signing = &signing,
        .on_bytes = request->on_bytes == NULL ? NULL : on_bytes,
        .response_limit = request->response_limit > 0 ? request->response_limit : RESPONSE_LIMIT,
        .timeout_ms = TIMEOUT_MS,
        .stall_ms = STALL_MS,
    };

    ip_address_format(&exchange->addresses[exchange->next_address++], address);
    http.address = str_from_c(address);
    exchange->call = net_http_start(client->http, &http, on_response, exchange);
}

/* ---- The beginning ---- */

/* "https://host/bucket/prefix/name?query" */
static struct str make_url(struct s3_exchange *exchange, const struct s3_request *request)
{
    const struct s3_client *client = exchange->client;
    const struct backup_place *place = &client->place;
    struct str path = place->bucket;

    if (request->name.len > 0)
        path = arena_printf(&exchange->arena, "%.*s%s%.*s%.*s", STR_ARG(place->bucket),
                            place->bucket.len > 0 ? "/" : "", STR_ARG(place->prefix),
                            STR_ARG(request->name));
    return arena_printf(&exchange->arena, "%.*s/%.*s%s%.*s", STR_ARG(client->origin),
                        STR_ARG(path), request->query.len > 0 ? "?" : "",
                        STR_ARG(request->query));
}

struct s3_exchange *s3_start(struct s3_client *client, const struct s3_request *request,
                             s3_on_reply on_reply, void *owner)
{
    struct s3_exchange *exchange = NEW(struct s3_exchange);
    struct arena *arena = &exchange->arena;
    size_t count = 0;

    exchange->client = client;
    exchange->request = *request;
    exchange->request.body = arena_copy(arena, request->body);
    exchange->headers[count++] =
        arena_printf(arena, "x-amz-content-sha256: %s",
                     request->sha256 == NULL ? nothing_hex : request->sha256);
    for (size_t i = 0; i < request->header_count && count < S3_HEADERS_MAX; i++)
        exchange->headers[count++] = arena_copy(arena, request->headers[i]);
    exchange->request.header_count = count;
    exchange->url = make_url(exchange, request);
    exchange->on_reply = on_reply;
    exchange->owner = owner;
    exchange->timer = net_timer_new(client->loop, attempt, exchange);
    net_timer_start(exchange->timer, 0);
    return exchange;
}
