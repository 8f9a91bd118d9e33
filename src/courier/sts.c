/*
 * A question goes: TXT at _mta-sts.<domain> ──> (another id than the one that is known) A and AAAA
 * of mta-sts.<domain> ──> https://mta-sts.<domain>/.well-known/mta-sts.txt. Where a step fails,
 * what is known holds while it has not expired (§5.1); with nothing known, the domain has no
 * policy.
 *
 * A policy's host is a stranger's word, so its addresses are judged as an MX host's are.
 */
#include "courier/sts.h"

#include "base/clock.h"
#include "base/memory.h"
#include "courier/table.h"
#include "net/address_class.h"
#include "net/http.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    POLICIES_MAX = 10 * 1000,
    FETCH_MS = 15 * 1000,
    FETCH_PAUSE_MS = 5 * 60 * 1000, /* behind one that failed (§3.3) */
    REFRESH_MS = 24 * 3600 * 1000,  /* a policy that is older is asked for again (§10.2) */
    DOMAIN_MAX = 253,
};

/* What is known of a domain. */
struct known {
    struct courier_node node; /* by domain */
    struct arena arena;
    struct courier_sts_policy policy;
    char id[COURIER_STS_ID_MAX + 1];
    bool has_policy;
    int64_t expires_ms;     /* wall clock; max_age behind when it was fetched */
    int64_t fetch_again_ms; /* monotonic; not before */
};

struct courier_sts {
    struct courier_sts_options options;
    const struct ip_network *allow;
    size_t allow_count;
    struct courier_table known;
    struct courier_sts_question *questions; /* under way */
};

enum { FAMILY_V4, FAMILY_V6, FAMILY_COUNT };

struct courier_sts_question {
    struct courier_sts *sts;
    struct courier_sts_question *next;
    char domain[DOMAIN_MAX + 1];
    char id[COURIER_STS_ID_MAX + 1];
    struct dns_query *record, *addresses[FAMILY_COUNT];
    struct ip_address address;          /* of the policy's host */
    bool has_address, is_address_known; /* there is one that we may go to; there is any */
    bool is_dns_sick;                   /* there may be others, the DNS did not say */
    struct net_http_call *fetch;
    courier_sts_on_policy on_policy; /* NULL: nobody waits for it */
    courier_sts_on_look on_look;     /* not NULL: this is only a look */
    void *owner;
};

static struct known *find(const struct courier_sts *sts, struct str domain)
{
    struct courier_node *node = courier_table_find(&sts->known, domain);

    return node == NULL ? NULL : CONTAINER_OF(node, struct known, node);
}

static void forget(struct courier_sts *sts, struct known *known)
{
    courier_table_remove(&sts->known, &known->node);
    arena_free(&known->arena);
    mem_free(&known);
}

struct sweep {
    struct courier_sts *sts;
    int64_t now_ms, monotonic_ms;
};

static void sweep_one(void *owner, struct courier_node *node)
{
    struct sweep *sweep = owner;
    struct known *known = CONTAINER_OF(node, struct known, node);

    if (known->has_policy ? known->expires_ms <= sweep->now_ms
                          : known->fetch_again_ms <= sweep->monotonic_ms)
        forget(sweep->sts, known);
}

/* A place for what is known of the domain; when there are too many, those that mean nothing any
 * more go, and if that is not enough, some one. */
static struct known *place(struct courier_sts *sts, struct str domain)
{
    struct known *known = find(sts, domain);

    if (known != NULL)
        return known;
    if (sts->known.count >= POLICIES_MAX) {
        struct sweep sweep = {sts, clock_now_ms(), clock_monotonic_ms()};

        courier_table_each(&sts->known, sweep_one, &sweep);
        if (sts->known.count >= POLICIES_MAX)
            forget(sts, CONTAINER_OF(courier_table_any(&sts->known), struct known, node));
    }
    known = NEW(struct known);
    courier_table_add(&sts->known, &known->node, domain);
    return known;
}

static bool learn(struct courier_sts *sts, struct str domain, struct str id, struct str text,
                  int64_t expires_ms, int64_t now_ms)
{
    struct courier_sts_policy policy;
    struct arena arena = {NULL};
    struct known *known;
    struct task task;
    bool is_fine;

    task_init(&task, now_ms);
    is_fine = courier_sts_policy_parse(&task, &arena, text, &policy) == ERR_OK;
    task_done(&task);
    if (!is_fine) {
        arena_free(&arena);
        return false;
    }
    known = place(sts, domain);
    arena_free(&known->arena);
    known->arena = arena;
    known->policy = policy;
    known->has_policy = true;
    known->expires_ms = expires_ms > 0 ? expires_ms : now_ms + (int64_t)policy.max_age_s * 1000;
    snprintf(known->id, sizeof(known->id), "%.*s", STR_ARG(id));
    return true;
}

void courier_sts_restore(struct courier_sts *sts, struct str domain, struct str id, struct str text,
                         int64_t expires_ms, int64_t now_ms)
{
    if (expires_ms > now_ms && id.len <= COURIER_STS_ID_MAX)
        (void)learn(sts, domain, id, text, expires_ms, now_ms);
}

static struct known *in_force(const struct courier_sts_question *question)
{
    struct known *known = find(question->sts, str_from_c(question->domain));

    return known != NULL && known->has_policy && known->expires_ms > clock_now_ms() ? known : NULL;
}

void courier_sts_cancel(struct courier_sts_question **question)
{
    struct courier_sts_question *gone = *question, **at;

    *question = NULL;
    if (gone == NULL)
        return;
    for (at = &gone->sts->questions; *at != gone; at = &(*at)->next)
        assert(*at != NULL);
    *at = gone->next;
    dns_query_cancel(&gone->record);
    for (int i = 0; i < FAMILY_COUNT; i++)
        dns_query_cancel(&gone->addresses[i]);
    if (gone->fetch != NULL)
        net_http_cancel(&gone->fetch);
    mem_free(&gone);
}

/* With what is known now. */
static void answer(struct courier_sts_question *question)
{
    struct known *known = in_force(question);
    courier_sts_on_policy on_policy = question->on_policy;
    void *owner = question->owner;
    const struct courier_sts_policy *policy =
        known == NULL || known->policy.mode == COURIER_STS_NONE ? NULL : &known->policy;

    courier_sts_cancel(&question);
    if (on_policy != NULL)
        on_policy(owner, policy);
}

static void show(struct courier_sts_question *question, enum err err,
                 const struct courier_sts_policy *policy, const char *why)
{
    courier_sts_on_look on_look = question->on_look;
    void *owner = question->owner;

    courier_sts_cancel(&question);
    on_look(owner, err, policy, why);
}

/* `err`: as courier_sts_on_look has it. */
static void fetch_failed(struct courier_sts_question *question, enum err err, const char *why)
{
    struct known *known;

    if (question->on_look != NULL) {
        show(question, err, NULL, why);
        return;
    }
    known = place(question->sts, str_from_c(question->domain));
    known->fetch_again_ms = clock_monotonic_ms() + FETCH_PAUSE_MS;
    log_info(question->sts->options.log, "no MTA-STS policy could be had reason=\"%s\"", why);
    answer(question);
}

/* media-type "text/plain", parameters or not (§3.3). */
static bool is_plain_text(struct str type)
{
    struct str media;

    return str_split(&type, ';', &media) && str_equal_nocase(str_trim(media), STR("text/plain"));
}

/* Whoever looked at it sees it, and that is all. */
static void show_text(struct courier_sts_question *question, struct str text)
{
    struct courier_sts_policy policy;
    struct task task;

    task_init(&task, clock_now_ms());
    if (courier_sts_policy_parse(&task, &task.arena, text, &policy) == ERR_OK)
        show(question, ERR_OK, &policy, NULL);
    else
        show(question, ERR_INVALID, NULL, task.words);
    task_done(&task);
}

/* Only 200 brings a policy, and no redirect leads to one (§3.3). */
static void refused(struct courier_sts_question *question, unsigned status)
{
    char why[64];

    snprintf(why, sizeof(why), "its host answered %u, not 200", status);
    fetch_failed(question,
                 status >= 500                    ? ERR_BUSY
                 : status == 404 || status == 410 ? ERR_NOT_FOUND
                                                  : ERR_INVALID,
                 why);
}

static void on_fetched(void *owner, const struct net_http_response *response)
{
    struct courier_sts_question *question = owner;
    struct courier_sts *sts = question->sts;
    struct str domain = str_from_c(question->domain), id = str_from_c(question->id);
    struct known *known;

    question->fetch = NULL;
    if (response->err != ERR_OK) {
        fetch_failed(question, response->err == ERR_BUSY ? ERR_BUSY : ERR_INVALID,
                     response->words == NULL ? "not fetched" : response->words);
    } else if (response->status != 200) {
        refused(question, response->status);
    } else if (!is_plain_text(net_http_header(response, "Content-Type"))) {
        fetch_failed(question, ERR_INVALID, "it is not text/plain");
    } else if (question->on_look != NULL) {
        show_text(question, response->body);
    } else if (!learn(sts, domain, id, response->body, 0, clock_now_ms())) {
        fetch_failed(question, ERR_INVALID, "it is malformed");
    } else {
        known = find(sts, domain);
        if (sts->options.store.save != NULL)
            sts->options.store.save(sts->options.store.owner, domain, id, response->body,
                                    known->expires_ms);
        answer(question);
    }
}

static bool is_reachable(const struct courier_sts *sts, const struct ip_address *address)
{
    if (net_address_class(address) == NET_ADDRESS_PUBLIC)
        return true;
    for (size_t i = 0; i < sts->allow_count; i++)
        if (ip_network_has(&sts->allow[i], address))
            return true;
    return false;
}

static void no_address(struct courier_sts_question *question)
{
    if (question->is_dns_sick)
        fetch_failed(question, ERR_BUSY, "the DNS did not tell its host's address");
    else if (question->is_address_known)
        fetch_failed(question, ERR_INVALID, "its host has no address on the public Internet");
    else
        fetch_failed(question, ERR_NOT_FOUND, "its host has no address to go to");
}

static void fetch(struct courier_sts_question *question)
{
    char url[DOMAIN_MAX + 64], address[IP_ADDRESS_ROOM];
    struct net_http_request request = {
        .method = NET_HTTP_GET,
        .response_limit = COURIER_STS_TEXT_MAX,
        .timeout_ms = FETCH_MS,
    };

    if (!question->has_address) {
        no_address(question);
        return;
    }
    snprintf(url, sizeof(url), "https://mta-sts.%s/.well-known/mta-sts.txt", question->domain);
    ip_address_format(&question->address, address);
    request.url = str_from_c(url);
    request.address = str_from_c(address);
    question->fetch = net_http_start(question->sts->options.http, &request, on_fetched, question);
}

static void take_address(struct courier_sts_question *question, const struct dns_answer *answer)
{
    question->is_dns_sick |= answer->status == DNS_FAILED;
    for (size_t i = 0; answer->status == DNS_OK && i < answer->count; i++) {
        struct ip_address address;

        if (!ip_address_from_bytes(answer->records[i].data, &address))
            continue;
        question->is_address_known = true;
        /* IPv4 if there is one: not every host that may send has IPv6. */
        if ((!question->has_address || (question->address.is_v6 && !address.is_v6)) &&
            is_reachable(question->sts, &address)) {
            question->address = address;
            question->has_address = true;
        }
    }
}

static void on_v4(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct courier_sts_question *question = owner;

    (void)task;
    question->addresses[FAMILY_V4] = NULL;
    take_address(question, answer);
    if (question->addresses[FAMILY_V6] == NULL)
        fetch(question);
}

static void on_v6(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct courier_sts_question *question = owner;

    (void)task;
    question->addresses[FAMILY_V6] = NULL;
    take_address(question, answer);
    if (question->addresses[FAMILY_V4] == NULL)
        fetch(question);
}

static void begin_fetch(struct courier_sts_question *question)
{
    struct dns_client *dns = question->sts->options.dns;
    char host[DOMAIN_MAX + 16];

    snprintf(host, sizeof(host), "mta-sts.%s", question->domain);
    question->addresses[FAMILY_V4] =
        dns_client_ask(dns, str_from_c(host), DNS_TYPE_A, false, on_v4, question);
    question->addresses[FAMILY_V6] =
        dns_client_ask(dns, str_from_c(host), DNS_TYPE_AAAA, false, on_v6, question);
}

/* The one record of the right version: with several, the domain has no policy (§3.1). */
static bool find_id(const struct dns_answer *answer, struct str *out_id)
{
    size_t count = 0;

    for (size_t i = 0; answer->status == DNS_OK && i < answer->count; i++) {
        if (!str_starts_with(answer->records[i].data, STR("v=STSv1")))
            continue;
        if (++count > 1 || !courier_sts_record_parse(answer->records[i].data, out_id))
            return false;
    }
    return count == 1;
}

static struct courier_sts_question *question_new(struct courier_sts *sts, struct str domain)
{
    struct courier_sts_question *question = NEW(struct courier_sts_question);

    question->sts = sts;
    question->next = sts->questions;
    sts->questions = question;
    snprintf(question->domain, sizeof(question->domain), "%.*s", STR_ARG(domain));
    return question;
}

/* In the background, so that a policy does not run out between two messages: whoever could keep us
 * from it just then would be rid of it. */
static void refresh(struct courier_sts *sts, struct known *known, struct str domain)
{
    int64_t fetched_ms = known->expires_ms - (int64_t)known->policy.max_age_s * 1000;
    struct courier_sts_question *question;

    if (sts->options.http == NULL || clock_now_ms() < fetched_ms + REFRESH_MS ||
        known->fetch_again_ms > clock_monotonic_ms())
        return;
    known->fetch_again_ms = clock_monotonic_ms() + FETCH_PAUSE_MS;
    question = question_new(sts, domain);
    memcpy(question->id, known->id, sizeof(question->id));
    begin_fetch(question);
}

static void on_record(void *owner, struct task *task, const struct dns_answer *found)
{
    struct courier_sts_question *question = owner;
    struct known *known = in_force(question);
    struct str id;

    (void)task;
    question->record = NULL;
    if (!find_id(found, &id) || question->sts->options.http == NULL) {
        answer(question);
        return;
    }
    if (known != NULL && str_equal(id, str_from_c(known->id))) {
        refresh(question->sts, known, str_from_c(question->domain));
        answer(question);
        return;
    }
    known = find(question->sts, str_from_c(question->domain));
    if (known != NULL && known->fetch_again_ms > clock_monotonic_ms()) {
        answer(question);
        return;
    }
    snprintf(question->id, sizeof(question->id), "%.*s", STR_ARG(id));
    begin_fetch(question);
}

struct courier_sts_question *courier_sts_ask(struct courier_sts *sts, struct str domain,
                                             courier_sts_on_policy on_policy, void *owner)
{
    struct courier_sts_question *question = question_new(sts, domain);
    char name[DOMAIN_MAX + 16];

    question->on_policy = on_policy;
    question->owner = owner;
    snprintf(name, sizeof(name), "_mta-sts.%s", question->domain);
    question->record = dns_client_ask(sts->options.dns, str_from_c(name), DNS_TYPE_TXT, false,
                                      on_record, question);
    return question;
}

struct courier_sts_question *courier_sts_look(struct courier_sts *sts, struct str domain,
                                              courier_sts_on_look on_look, void *owner)
{
    struct courier_sts_question *question = question_new(sts, domain);

    question->on_look = on_look;
    question->owner = owner;
    begin_fetch(question);
    return question;
}

struct courier_sts *courier_sts_new(const struct courier_sts_options *options)
{
    struct courier_sts *sts = NEW(struct courier_sts);

    sts->options = *options;
    courier_table_init(&sts->known);
    return sts;
}

void courier_sts_allow(struct courier_sts *sts, const struct ip_network *allow, size_t count)
{
    sts->allow = allow;
    sts->allow_count = count;
}

void courier_sts_free(struct courier_sts **sts)
{
    struct courier_node *node;

    if (*sts == NULL)
        return;
    while ((*sts)->questions != NULL) {
        struct courier_sts_question *question = (*sts)->questions;

        courier_sts_cancel(&question);
    }
    while ((node = courier_table_any(&(*sts)->known)) != NULL)
        forget(*sts, CONTAINER_OF(node, struct known, node));
    mem_free(sts);
}
