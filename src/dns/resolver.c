/*
 * An open question:
 *
 *   SHARED ──> SERVERS ──> answered        SHARED: Redis is asked, when there is one
 *
 * It is out of the table before those who asked hear of it, so they may ask again inside.
 */
#include "dns/resolver.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "dns/cache.h"
#include "dns/name.h"

#include <string.h>
#include <sys/queue.h>

enum { BUCKETS = 1024, OWNERS_MAX = 64 };

struct asker {
    struct asker *next; /* own */
    dns_on_result on_result;
    void *owner; /* borrowed; NULL: gone */
    uint64_t tag;
};

struct question {
    struct dns_resolver *resolver; /* borrowed */
    struct dns_name name;
    enum dns_type type;
    enum dns_service service;
    uint64_t hash;
    struct asker *first, **last;  /* own */
    struct dns_redis_get *shared; /* at most one of the three; each ends by itself */
    struct dns_upstream_query *upstream_query;
    struct dns_direct_query *direct_query;
    LIST_ENTRY(question) in_bucket;
};
LIST_HEAD(questions, question);

/* How many answers one of our peers waits for. */
struct owner {
    const void *owner; /* borrowed; NULL: free */
    size_t waiting;
};

struct dns_resolver {
    struct dns_resolver_options options;
    struct dns_cache *cache; /* own */
    struct hash_key hash_key;
    struct questions buckets[BUCKETS]; /* own */
    size_t open_count, asker_count;
    struct owner owners[OWNERS_MAX];
    struct dns_resolver_numbers numbers;
};

static const struct dns_result unknown = {.status = DNS_FAILED};
static const struct dns_result no_name = {.status = DNS_NO_NAME};

struct dns_resolver *dns_resolver_new(const struct dns_resolver_options *options)
{
    struct dns_resolver *resolver = NEW(struct dns_resolver);

    resolver->options = *options;
    resolver->cache = dns_cache_new(options->cache_bytes);
    resolver->hash_key = hash_key_random();
    return resolver;
}

const struct dns_resolver_numbers *dns_resolver_numbers(const struct dns_resolver *resolver)
{
    return &resolver->numbers;
}

/* ---- Those who wait ---- */

static struct owner *owner_place(struct dns_resolver *resolver, const void *owner)
{
    struct owner *place = NULL;

    for (size_t i = 0; i < OWNERS_MAX; i++) {
        if (resolver->owners[i].owner == owner)
            return &resolver->owners[i];
        if (resolver->owners[i].owner == NULL)
            place = &resolver->owners[i];
    }
    if (place != NULL)
        *place = (struct owner){owner, 0};
    return place;
}

static void stop_waiting(struct dns_resolver *resolver, const void *owner)
{
    struct owner *place = owner_place(resolver, owner);

    resolver->asker_count--;
    if (place != NULL && --place->waiting == 0)
        place->owner = NULL;
}

/* False: too many wait already. */
static bool add_asker(struct question *question, dns_on_result on_result, void *owner, uint64_t tag)
{
    struct dns_resolver *resolver = question->resolver;
    struct owner *place = owner_place(resolver, owner);
    struct asker *asker;

    if (place == NULL || place->waiting >= DNS_OPEN_PER_OWNER_MAX ||
        resolver->asker_count >= DNS_ASKERS_MAX) {
        if (place != NULL && place->waiting == 0)
            place->owner = NULL;
        return false;
    }
    place->waiting++;
    resolver->asker_count++;
    asker = NEW(struct asker);
    *asker = (struct asker){NULL, on_result, owner, tag};
    *question->last = asker;
    question->last = &asker->next;
    return true;
}

void dns_resolver_forget(struct dns_resolver *resolver, const void *owner)
{
    struct question *question;

    for (size_t i = 0; i < BUCKETS; i++) {
        LIST_FOREACH (question, &resolver->buckets[i], in_bucket) {
            for (struct asker *asker = question->first; asker != NULL; asker = asker->next) {
                if (asker->owner == owner) {
                    asker->owner = NULL; /* the question goes on, for the next who asks */
                    stop_waiting(resolver, owner);
                }
            }
        }
    }
}

/* ---- Questions ---- */

static struct dns_key key_of(const struct question *question)
{
    return (struct dns_key){dns_name_str(&question->name), question->type, question->service};
}

static struct question *find(struct dns_resolver *resolver, const struct dns_key *key,
                             uint64_t hash)
{
    struct question *question;

    LIST_FOREACH (question, &resolver->buckets[hash % BUCKETS], in_bucket) {
        if (question->hash == hash && question->type == key->type &&
            question->service == key->service &&
            str_equal(dns_name_str(&question->name), key->name))
            return question;
    }
    return NULL;
}

static struct question *question_new(struct dns_resolver *resolver, const struct dns_name *name,
                                     const struct dns_key *key, uint64_t hash)
{
    struct question *question = NEW(struct question);

    question->resolver = resolver;
    question->name = *name;
    question->type = key->type;
    question->service = key->service;
    question->hash = hash;
    question->last = &question->first;
    LIST_INSERT_HEAD(&resolver->buckets[hash % BUCKETS], question, in_bucket);
    resolver->open_count++;
    return question;
}

static void question_unlink(struct question *question)
{
    LIST_REMOVE(question, in_bucket);
    question->resolver->open_count--;
}

static void stop_asking(struct question *question)
{
    dns_redis_get_cancel(&question->shared);
    dns_upstream_query_cancel(&question->upstream_query);
    dns_direct_query_cancel(&question->direct_query);
}

static void question_free(struct question *question)
{
    stop_asking(question);
    while (question->first != NULL) {
        struct asker *asker = question->first;

        question->first = asker->next;
        mem_free(&asker);
    }
    mem_free(&question);
}

void dns_resolver_free(struct dns_resolver **resolver)
{
    if (*resolver == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        struct question *question;

        while ((question = LIST_FIRST(&(*resolver)->buckets[i])) != NULL) {
            question_unlink(question);
            question_free(question);
        }
    }
    dns_cache_free(&(*resolver)->cache);
    mem_free(resolver);
}

/* All who asked hear of it; the question is gone. */
static void answer(struct question *question, const struct dns_result *result)
{
    struct dns_resolver *resolver = question->resolver;

    question_unlink(question);
    for (struct asker *asker = question->first; asker != NULL; asker = asker->next) {
        /* Off his count, then out to him: he may be gone after it, and so may be the others. */
        void *owner = asker->owner;

        if (owner == NULL)
            continue;
        stop_waiting(resolver, owner);
        asker->owner = NULL;
        asker->on_result(owner, asker->tag, result);
    }
    question_free(question);
}

/* ---- What the hosts share ----
 *
 * key:   sealpost:dns:1:<all, list or filter>:<type>:<name>
 * value: status (1 byte), is_secure (1), ttl (4), when it was kept, Unix seconds (8), the records
 */
enum { SHARED_HEADER = 1 + 1 + 4 + 8 };

static void put_number(struct buf *out, uint64_t value, size_t len)
{
    char bytes[8];

    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(value >> (8 * (len - 1 - i)));
    buf_put(out, str_make(bytes, len));
}

static uint64_t get_number(struct str bytes, size_t at, size_t len)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++)
        value = value << 8 | (unsigned char)bytes.ptr[at + i];
    return value;
}

static struct str shared_key(const struct question *question, struct task *task)
{
    static const char *const names[] = {[DNS_SERVICE_GENERAL] = "all",
                                        [DNS_SERVICE_LISTS] = "list",
                                        [DNS_SERVICE_FILTER] = "filter"};

    return arena_printf(&task->arena, "sealpost:dns:1:%s:%u:%.*s", names[question->service],
                        (unsigned)question->type, STR_ARG(dns_name_str(&question->name)));
}

static void share(const struct question *question, struct task *task,
                  const struct dns_cached *answered)
{
    CLEANUP(buf_free) struct buf value;

    buf_init(&value, SIZE_MAX);
    if (question->resolver->options.redis == NULL || answered->status == DNS_FAILED)
        return;
    put_number(&value, answered->status, 1);
    put_number(&value, answered->is_secure, 1);
    put_number(&value, answered->ttl_s, 4);
    put_number(&value, (uint64_t)(task->now_ms / 1000), 8);
    buf_put(&value, answered->records);
    dns_redis_set(question->resolver->options.redis, shared_key(question, task), buf_str(&value),
                  answered->ttl_s);
}

/* False: not there, or not what we put there. */
static bool read_shared(struct task *task, struct str value, struct dns_cached *out)
{
    struct dns_answer decoded;
    int64_t kept_s, now_s = task->now_ms / 1000;

    if (value.len < SHARED_HEADER || get_number(value, 0, 1) >= DNS_FAILED)
        return false;
    kept_s = (int64_t)get_number(value, 6, 8);
    *out = (struct dns_cached){
        .status = (enum dns_status)get_number(value, 0, 1),
        .is_secure = get_number(value, 1, 1) != 0,
        .ttl_s = (uint32_t)get_number(value, 2, 4),
        .records = str_from(value, SHARED_HEADER),
    };
    if (kept_s < 0 || kept_s > now_s + DNS_TTL_MAX_S || out->ttl_s > DNS_TTL_MAX_S)
        return false;
    if (now_s > kept_s)
        out->age_s = now_s - kept_s < DNS_TTL_MAX_S ? (uint32_t)(now_s - kept_s) : DNS_TTL_MAX_S;
    return out->age_s < out->ttl_s && dns_answer_decode(task, out->records, &decoded) == ERR_OK &&
           (decoded.count > 0) == (out->status == DNS_OK);
}

/* ---- The course of a question ---- */

static void give_cached(const struct dns_cached *cached, dns_on_result on_result, void *owner,
                        uint64_t tag)
{
    struct dns_result result = {cached->status, cached->is_secure, cached->records};
    CLEANUP(buf_free) struct buf records;

    buf_init(&records, SIZE_MAX);
    if (cached->records.len > 0 && cached->age_s > 0) {
        buf_put(&records, cached->records);
        dns_answer_age(&records, cached->age_s);
        result.records = buf_str(&records);
    }
    on_result(owner, tag, &result);
}

/* The servers' answer, or that they have none. */
static void on_reply(void *owner, struct task *task, const struct dns_reply *reply)
{
    struct question *question = owner;
    struct dns_resolver *resolver = question->resolver;
    struct dns_key key = key_of(question);
    struct dns_cached kept = {.status = reply->answer.status,
                              .is_secure = reply->answer.is_secure,
                              .ttl_s = reply->ttl_s};
    CLEANUP(buf_free) struct buf records;
    struct dns_result result;

    question->upstream_query = NULL;
    question->direct_query = NULL;
    buf_init(&records, SIZE_MAX);
    dns_answer_encode(&reply->answer, &records);
    kept.records = buf_str(&records);
    if (kept.status == DNS_FAILED)
        resolver->numbers.failed++;
    if (kept.ttl_s == 0 && kept.status != DNS_OK)
        kept.ttl_s = DNS_HOLD_S;
    dns_cache_put(resolver->cache, &key, clock_monotonic_ms(), &kept);
    share(question, task, &kept);
    result = (struct dns_result){kept.status, kept.is_secure, kept.records};
    answer(question, &result);
}

static void ask_servers(struct question *question)
{
    const struct dns_resolver_options *options = &question->resolver->options;
    struct str name = dns_name_str(&question->name);

    struct dns_upstreams *upstreams =
        question->service == DNS_SERVICE_FILTER ? options->filter : options->upstreams;

    if (question->service == DNS_SERVICE_LISTS && options->list != NULL)
        question->direct_query =
            dns_direct_ask(options->list, name, question->type, on_reply, question);
    else
        question->upstream_query =
            dns_upstreams_ask(upstreams, name, question->type, on_reply, question);
}

static void on_shared(void *owner, struct str value)
{
    struct question *question = owner;
    struct dns_resolver *resolver = question->resolver;
    struct dns_key key = key_of(question);
    CLEANUP(buf_free) struct buf records;
    struct dns_cached found;
    struct dns_result result;
    struct task task;

    question->shared = NULL;
    task_init(&task, clock_now_ms());
    buf_init(&records, SIZE_MAX);
    if (value.ptr != NULL && read_shared(&task, value, &found)) {
        resolver->numbers.shared++;
        dns_cache_put(resolver->cache, &key, clock_monotonic_ms(), &found);
        buf_put(&records, found.records);
        dns_answer_age(&records, found.age_s);
        result = (struct dns_result){found.status, found.is_secure, buf_str(&records)};
        answer(question, &result);
    } else {
        ask_servers(question);
    }
    task_done(&task);
}

static void begin(struct question *question)
{
    struct dns_redis *redis = question->resolver->options.redis;
    struct task task;

    if (redis != NULL) {
        task_init(&task, 0);
        question->shared = dns_redis_get(redis, shared_key(question, &task), on_shared, question);
        task_done(&task);
    }
    if (question->shared == NULL)
        ask_servers(question);
}

void dns_resolver_reconfigure(struct dns_resolver *resolver,
                              const struct dns_resolver_options *options)
{
    struct question *question;

    resolver->options = *options;
    for (size_t i = 0; i < BUCKETS; i++) {
        LIST_FOREACH (question, &resolver->buckets[i], in_bucket) {
            stop_asking(question);
            begin(question); /* answers later, so the list stays as it is meanwhile */
        }
    }
}

static bool has_servers(const struct dns_resolver_options *options, enum dns_service service)
{
    switch (service) {
    case DNS_SERVICE_LISTS:
        return options->list != NULL || options->upstreams != NULL;
    case DNS_SERVICE_FILTER:
        return options->filter != NULL;
    case DNS_SERVICE_GENERAL:
        break;
    }
    return options->upstreams != NULL;
}

/* RFC 6761 §6.4, RFC 7686 §2: these do not exist, and nobody is asked about them. */
static bool is_never_there(struct str name)
{
    static const struct str zones[] = {STR_INIT("invalid"), STR_INIT("onion")};

    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        size_t len = zones[i].len;

        if (str_ends_with(name, zones[i]) &&
            (name.len == len || name.ptr[name.len - len - 1] == '.'))
            return true;
    }
    return false;
}

void dns_resolver_ask(struct dns_resolver *resolver, struct str text, enum dns_type type,
                      enum dns_service service, dns_on_result on_result, void *owner, uint64_t tag)
{
    struct dns_key key = {.type = type, .service = service};
    struct dns_cached cached;
    struct question *question;
    struct dns_name name;
    bool is_new;
    uint64_t hash;

    resolver->numbers.asked++;
    if (!dns_name_set(&name, text) || is_never_there(dns_name_str(&name))) {
        on_result(owner, tag, &no_name);
        return;
    }
    if (!has_servers(&resolver->options, service)) {
        on_result(owner, tag, &unknown);
        return;
    }
    key.name = dns_name_str(&name);
    if (dns_cache_get(resolver->cache, &key, clock_monotonic_ms(), &cached)) {
        resolver->numbers.cached++;
        give_cached(&cached, on_result, owner, tag);
        return;
    }
    hash = hash_text(&resolver->hash_key, key.name);
    question = find(resolver, &key, hash);
    is_new = question == NULL;
    if (is_new && resolver->open_count < DNS_OPEN_MAX)
        question = question_new(resolver, &name, &key, hash);
    if (question == NULL || !add_asker(question, on_result, owner, tag)) {
        resolver->numbers.refused++;
        if (question != NULL && is_new) {
            question_unlink(question);
            question_free(question);
        }
        on_result(owner, tag, &unknown);
        return;
    }
    if (is_new)
        begin(question);
    else
        resolver->numbers.joined++;
}
