#include "dns/upstream.h"

#include "base/clock.h"
#include "base/ip.h"
#include "base/memory.h"
#include "dns/name.h"
#include "net/url.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
    BACKOFF_FIRST_MS = 2 * 1000,
    BACKOFF_MAX_MS = 5 * 60 * 1000,
    STRIKES_MAX = 3,      /* failures and lost races in a row */
    OUTAGE_MS = 2 * 1000, /* when none can be reached: from one try to the next */
    STATUS_OK = 200,
    QUERY_ROOM = 512, /* a header, a name of at most 255 bytes, EDNS's record with its options */
    QUERY_TEXT_ROOM =
        sodium_base64_ENCODED_LEN(QUERY_ROOM, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
};

/*
 * Good ones stand in the configuration's order. A bad one is asked only when all good ones were,
 * until back_ms; then one question tries it (is_probed), and its outcome decides for the rest.
 */
struct endpoint {
    struct str url, target, address; /* own; the second is the first's, before a question */
    unsigned round;          /* which of its server's addresses this is */
    unsigned failures;       /* how often it became bad, in a row; 0: good */
    unsigned strikes;
    bool is_unreachable; /* it is bad for this */
    int64_t back_ms;     /* clock_monotonic_ms */
    bool is_probed;
};

TAILQ_HEAD(upstream_queries, dns_upstream_query);

struct dns_upstreams {
    struct net_loop *loop; /* borrowed */
    struct net_http *http; /* borrowed */
    const struct log *log; /* borrowed */
    struct endpoint endpoints[DNS_ENDPOINTS_MAX];
    size_t endpoint_count;
    int64_t tried_ms;                /* last, while none can be reached */
    struct upstream_queries queries; /* own */
};

/* One request of a question. */
struct attempt {
    struct dns_upstream_query *query; /* borrowed */
    struct endpoint *endpoint;        /* borrowed; NULL: not begun */
    struct net_http_call *call;       /* own; NULL: over */
    bool is_probe;
};

struct dns_upstream_query {
    struct dns_upstreams *upstreams; /* borrowed */
    struct dns_name name;
    enum dns_type type;
    struct net_timer *timer; /* own; the next attempt, or the end */
    int64_t end_ms;
    uint8_t order[DNS_ENDPOINTS_MAX];
    struct attempt attempts[DNS_ENDPOINTS_MAX];
    size_t begun, under_way;
    dns_on_reply on_reply;
    void *owner; /* borrowed */
    TAILQ_ENTRY(dns_upstream_query) in_list;
};

/* ---- Servers ---- */

static const char *add_address(struct dns_upstream_place *place, struct str text)
{
    struct ip_address address;

    if (!ip_address_parse(text, &address))
        return "not an IP address behind the URL";
    if (place->address_count == DNS_UPSTREAM_ADDRESSES_MAX)
        return "too many addresses behind the URL";
    place->addresses[place->address_count++] = text;
    return NULL;
}

const char *dns_upstream_parse(struct arena *arena, struct str text, struct dns_upstream_place *out)
{
    struct dns_upstream_place place = {.address_count = 0};
    struct str rest = str_trim(text), word;
    const char *reason = NULL;
    struct net_url url;

    if (!str_split(&rest, ' ', &word) || net_url_parse(arena, word, &url) != NULL || !url.is_https)
        return "not a server; write it as https://dns.example/dns-query 192.0.2.1 2001:db8::1";
    place.url = net_url_text(arena, &url);
    place.target = url.target;
    place.port = url.port;
    while (reason == NULL && rest.len > 0 && str_split(&rest, ' ', &word)) {
        if (word.len > 0)
            reason = add_address(&place, word);
    }
    if (reason == NULL && place.address_count == 0 && url.is_address)
        reason = add_address(&place, url.host);
    if (reason == NULL && place.address_count == 0)
        reason = "the server's IP addresses are missing; write them behind the URL";
    if (reason == NULL)
        *out = place;
    return reason;
}

struct dns_upstreams *dns_upstreams_new(struct net_loop *loop, struct net_http *http,
                                        const struct log *log)
{
    struct dns_upstreams *upstreams = NEW(struct dns_upstreams);

    upstreams->loop = loop;
    upstreams->http = http;
    upstreams->log = log;
    TAILQ_INIT(&upstreams->queries);
    return upstreams;
}

static struct str copy(struct str text)
{
    return str_make(mem_copy_text(text.ptr, text.len), text.len);
}

/* Every server's first address, then every server's second one, and so on. */
static void insert(struct dns_upstreams *upstreams, const struct endpoint *endpoint)
{
    size_t at = upstreams->endpoint_count++;

    for (; at > 0 && upstreams->endpoints[at - 1].round > endpoint->round; at--)
        upstreams->endpoints[at] = upstreams->endpoints[at - 1];
    upstreams->endpoints[at] = *endpoint;
}

enum err dns_upstreams_add(struct dns_upstreams *upstreams, struct task *task, struct str text)
{
    struct dns_upstream_place place;
    const char *reason = dns_upstream_parse(&task->arena, text, &place);

    if (reason != NULL)
        return fail(task, ERR_INVALID, "%s", reason);
    for (size_t i = 0; i < place.address_count; i++) {
        struct endpoint endpoint = {.round = (unsigned)i};

        if (upstreams->endpoint_count == DNS_ENDPOINTS_MAX)
            return fail(task, ERR_LIMIT, "too many addresses of DNS servers");
        endpoint.url = copy(place.url);
        endpoint.target = copy(place.target);
        endpoint.address = copy(place.addresses[i]);
        insert(upstreams, &endpoint);
    }
    return ERR_OK;
}

void dns_upstreams_free(struct dns_upstreams **upstreams)
{
    struct dns_upstream_query *query;

    if (*upstreams == NULL)
        return;
    while ((query = TAILQ_FIRST(&(*upstreams)->queries)) != NULL)
        dns_upstream_query_cancel(&query);
    for (size_t i = 0; i < (*upstreams)->endpoint_count; i++) {
        mem_free(&(*upstreams)->endpoints[i].url.ptr);
        mem_free(&(*upstreams)->endpoints[i].target.ptr);
        mem_free(&(*upstreams)->endpoints[i].address.ptr);
    }
    mem_free(upstreams);
}

/* ---- Which one ---- */

static void set_good(struct dns_upstreams *upstreams, struct endpoint *endpoint)
{
    if (endpoint->failures > 0)
        log_info(upstreams->log, "a DNS server answers again server=%.*s", STR_ARG(endpoint->url));
    endpoint->failures = 0;
    endpoint->strikes = 0;
    endpoint->is_unreachable = false;
}

static void set_bad(struct dns_upstreams *upstreams, struct endpoint *endpoint, const char *why)
{
    int64_t now_ms = clock_monotonic_ms(), wait_ms = BACKOFF_FIRST_MS;

    /* What was under way when it failed is the same failure. */
    if (endpoint->failures > 0 && now_ms < endpoint->back_ms)
        return;
    for (unsigned i = 0; i < endpoint->failures && wait_ms < BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    if (wait_ms > BACKOFF_MAX_MS)
        wait_ms = BACKOFF_MAX_MS;
    endpoint->failures++;
    endpoint->strikes = 0;
    endpoint->back_ms = now_ms + wait_ms;
    log_warning(upstreams->log, "a DNS server fails server=%.*s for_ms=%lld reason=\"%s\"",
                STR_ARG(endpoint->url), (long long)wait_ms, why);
}

static void add_strike(struct dns_upstreams *upstreams, struct endpoint *endpoint, const char *why)
{
    if (++endpoint->strikes >= STRIKES_MAX)
        set_bad(upstreams, endpoint, why);
}

static void set_unreachable(struct dns_upstreams *upstreams, struct endpoint *endpoint,
                            const char *why)
{
    set_bad(upstreams, endpoint, why);
    endpoint->is_unreachable = true;
}

/* None was reached when it was last tried, and it is too early to try again, or somebody does. */
static bool is_outage(struct dns_upstreams *upstreams)
{
    int64_t now_ms = clock_monotonic_ms();

    for (size_t i = 0; i < upstreams->endpoint_count; i++) {
        const struct endpoint *endpoint = &upstreams->endpoints[i];

        if (!endpoint->is_unreachable || (now_ms >= endpoint->back_ms && !endpoint->is_probed))
            return false;
    }
    if (now_ms - upstreams->tried_ms < OUTAGE_MS)
        return true;
    upstreams->tried_ms = now_ms;
    return false;
}

static bool is_in_front(const struct endpoint *endpoint, int64_t now_ms)
{
    return endpoint->failures == 0 || (now_ms >= endpoint->back_ms && !endpoint->is_probed);
}

/* Good ones and those that are to be tried again, in the configuration's order; then the others. */
static void set_order(struct dns_upstream_query *query)
{
    struct dns_upstreams *upstreams = query->upstreams;
    int64_t now_ms = clock_monotonic_ms();
    size_t count = 0;

    for (unsigned pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < upstreams->endpoint_count; i++) {
            if (is_in_front(&upstreams->endpoints[i], now_ms) == (pass == 0))
                query->order[count++] = (uint8_t)i;
        }
    }
}

/* ---- One question ---- */

static void end_attempt(struct attempt *attempt)
{
    if (attempt->is_probe)
        attempt->endpoint->is_probed = false;
    attempt->is_probe = false;
    attempt->query->under_way--;
}

void dns_upstream_query_cancel(struct dns_upstream_query **query_pointer)
{
    struct dns_upstream_query *query = *query_pointer;

    if (query == NULL)
        return;
    for (size_t i = 0; i < query->begun; i++) {
        if (query->attempts[i].call != NULL) {
            net_http_cancel(&query->attempts[i].call);
            end_attempt(&query->attempts[i]);
        }
    }
    net_timer_free(&query->timer);
    TAILQ_REMOVE(&query->upstreams->queries, query, in_list);
    mem_free(query_pointer);
}

static void finish(struct dns_upstream_query *query, struct task *task,
                   const struct dns_reply *reply)
{
    dns_on_reply on_reply = query->on_reply;
    void *owner = query->owner;

    dns_upstream_query_cancel(&query);
    on_reply(owner, task, reply);
}

static void finish_failed(struct dns_upstream_query *query)
{
    static const struct dns_reply failed = {.answer = {.status = DNS_FAILED}};
    struct task task;

    task_init(&task, clock_now_ms());
    finish(query, &task, &failed);
    task_done(&task);
}

/* Those that were asked before the winner and have still not answered. */
static void count_strikes(struct dns_upstream_query *query, const struct attempt *winner)
{
    for (const struct attempt *attempt = query->attempts; attempt < winner; attempt++) {
        if (attempt->call != NULL)
            add_strike(query->upstreams, attempt->endpoint, "too slow");
    }
}

static void begin_attempt(struct dns_upstream_query *query);

/* RFC 8484 §5.1: what an HTTP cache held for `Age` seconds has that much less to live. */
static void subtract_age(struct dns_reply *reply, struct str age)
{
    uint32_t age_s;

    if (age.len == 0 || !parse_u32(str_trim(age), &age_s))
        return;
    reply->ttl_s = reply->ttl_s > age_s ? reply->ttl_s - age_s : 0;
    for (size_t i = 0; i < reply->answer.count; i++) {
        uint32_t *ttl_s = &reply->answer.records[i].ttl_s;

        *ttl_s = *ttl_s > age_s ? *ttl_s - age_s : 0;
    }
}

/* NULL, or what is wrong with the response. */
static const char *read_response(struct dns_upstream_query *query, struct task *task,
                                 const struct net_http_response *response, struct dns_reply *out)
{
    struct str type, parameters;

    if (response->err != ERR_OK)
        return response->words;
    if (response->status != STATUS_OK)
        return "an HTTP status other than 200";
    parameters = net_http_header(response, "Content-Type");
    if (!str_split(&parameters, ';', &type) ||
        !str_equal_nocase(str_trim(type), STR("application/dns-message")))
        return "not a DNS message";
    if (dns_message_parse(task, response->body, 0, dns_name_str(&query->name), query->type, out) !=
        ERR_OK)
        return task->words;
    if (out->is_truncated)
        return "a truncated DNS message";
    subtract_age(out, net_http_header(response, "Age"));
    return NULL;
}

static void on_response(void *owner, const struct net_http_response *response)
{
    struct attempt *attempt = owner;
    struct dns_upstream_query *query = attempt->query;
    struct dns_reply reply;
    const char *why;
    struct task task;

    attempt->call = NULL;
    end_attempt(attempt);
    task_init(&task, clock_now_ms());
    why = read_response(query, &task, response, &reply);
    if (why != NULL && !response->was_connected)
        set_unreachable(query->upstreams, attempt->endpoint, why);
    else if (why != NULL)
        add_strike(query->upstreams, attempt->endpoint, why);
    else
        set_good(query->upstreams, attempt->endpoint);
    if (why == NULL && reply.answer.status != DNS_FAILED) {
        count_strikes(query, attempt);
        finish(query, &task, &reply);
    } else {
        /* Also when it answered that it does not know: another may. */
        begin_attempt(query);
    }
    task_done(&task);
}

/*
 * RFC 8484 §4.1, §6: the question as the variable `dns` of the server's URI template, and the id 0,
 * so that an HTTP cache can be of use. A POST would be a second frame to send and to read.
 */
static void put_target(struct buf *out, struct str start, const struct dns_upstream_query *query)
{
    CLEANUP(buf_free) struct buf message;
    char text[QUERY_TEXT_ROOM];
    struct str bytes;

    buf_init(&message, QUERY_ROOM);
    dns_message_query(&message, 0, dns_name_str(&query->name), query->type, true);
    bytes = buf_str(&message);
    sodium_bin2base64(text, sizeof(text), (const unsigned char *)bytes.ptr, bytes.len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    buf_put(out, start);
    buf_put(out, memchr(start.ptr, '?', start.len) == NULL ? STR("?dns=") : STR("&dns="));
    buf_put(out, str_from_c(text));
}

static void start_call(struct dns_upstream_query *query, struct attempt *attempt, int64_t left_ms)
{
    static const struct str headers[] = {STR_INIT("Accept: application/dns-message")};
    struct net_http_request request = {
        .url = attempt->endpoint->url,
        .address = attempt->endpoint->address,
        .method = NET_HTTP_GET,
        .headers = headers,
        .header_count = ARRAY_LEN(headers),
        .response_limit = DNS_MESSAGE_MAX,
        .timeout_ms = left_ms < DNS_UPSTREAM_ATTEMPT_MS ? left_ms : DNS_UPSTREAM_ATTEMPT_MS,
        .connect_timeout_ms = DNS_UPSTREAM_CONNECT_MS,
    };
    CLEANUP(buf_free) struct buf target;

    buf_init(&target, SIZE_MAX);
    put_target(&target, attempt->endpoint->target, query);
    request.target = buf_str(&target);
    attempt->call = net_http_start(query->upstreams->http, &request, on_response, attempt);
    query->under_way++;
}

/* The next one of the order is asked, too; with none left and none under way, it is over. */
static void begin_attempt(struct dns_upstream_query *query)
{
    int64_t left_ms = query->end_ms - clock_monotonic_ms();
    struct attempt *attempt = &query->attempts[query->begun];
    bool is_any_left = query->begun < query->upstreams->endpoint_count && left_ms > 0;

    if (!is_any_left) {
        if (query->under_way == 0)
            finish_failed(query);
        else
            net_timer_start(query->timer, left_ms);
        return;
    }
    attempt->query = query;
    attempt->endpoint = &query->upstreams->endpoints[query->order[query->begun]];
    query->begun++;
    if (attempt->endpoint->failures > 0 && !attempt->endpoint->is_probed) {
        attempt->is_probe = true;
        attempt->endpoint->is_probed = true;
    }
    start_call(query, attempt, left_ms);
    net_timer_start(query->timer, left_ms < DNS_UPSTREAM_RACE_MS ? left_ms : DNS_UPSTREAM_RACE_MS);
}

static void on_time(void *owner)
{
    struct dns_upstream_query *query = owner;

    if (clock_monotonic_ms() >= query->end_ms)
        finish_failed(query);
    else
        begin_attempt(query);
}

struct dns_upstream_query *dns_upstreams_ask(struct dns_upstreams *upstreams, struct str name,
                                             enum dns_type type, dns_on_reply on_reply, void *owner)
{
    struct dns_upstream_query *query = NEW(struct dns_upstream_query);
    bool is_name = dns_name_set(&query->name, name);

    query->upstreams = upstreams;
    query->type = type;
    query->on_reply = on_reply;
    query->owner = owner;
    query->timer = net_timer_new(upstreams->loop, on_time, query);
    query->end_ms = clock_monotonic_ms() + DNS_UPSTREAM_TIMEOUT_MS;
    TAILQ_INSERT_TAIL(&upstreams->queries, query, in_list);
    set_order(query);
    if (is_name && upstreams->endpoint_count > 0 && !is_outage(upstreams)) {
        begin_attempt(query);
    } else {
        query->end_ms = 0; /* nobody to ask: over in the next turn */
        net_timer_start(query->timer, 0);
    }
    return query;
}
