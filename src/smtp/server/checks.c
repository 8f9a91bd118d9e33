/*
 * All questions are open at the same time, but for the addresses of the client's names, which its
 * PTR tells. Each has its place in a table, so that an answer finds what it is about.
 */
#include "smtp/server/checks.h"

#include "base/ascii.h"
#include "base/ip.h"
#include "base/macros.h"
#include "base/memory.h"

#include <idn2.h>
#include <string.h>

enum {
    NAMES_MAX = 4, /* of a client's, that are tried */
    QUESTIONS_MAX = 1 + NAMES_MAX + SMTP_LISTS_MAX + 1,
};

enum question_kind { ASKED_NAME, ASKED_ADDRESS, ASKED_LIST, ASKED_DOMAIN };

struct question {
    struct smtp_checks *checks;
    struct dns_query *query; /* own; NULL: not open */
    enum question_kind kind;
    uint64_t score;  /* of a list */
    struct buf name; /* of ASKED_ADDRESS */
};

struct smtp_checks {
    struct dns_client *dns; /* borrowed */
    net_callback on_known;
    void *owner;
    struct net_timer *patience; /* own; runs while somebody waits */
    struct ip_address address;
    uint64_t refusal_score;
    bool are_domains_checked;
    bool is_waiting; /* the owner, for on_known */
    struct question questions[QUESTIONS_MAX];
    size_t question_count, open_count;
    size_t domain_question; /* its place, SIZE_MAX: none yet */
    struct buf reverse_name;
    bool is_name_doubtful; /* not all could be asked that would tell whether there is one */
    uint64_t list_score;
    enum smtp_domain sender_domain;
};

/* ---- names to ask for ---- */

/* "1.2.0.192." or the nibbles of an IPv6 address, the last first (RFC 1035 §3.5, RFC 3596 §2.5). */
static void put_reversed(const struct smtp_checks *checks, struct buf *out)
{
    const unsigned char *bytes = checks->address.bytes;

    for (size_t i = ip_address_len(&checks->address); i-- > 0;) {
        if (checks->address.is_v6)
            buf_putf(out, "%x.%x.", bytes[i] & 15u, bytes[i] >> 4);
        else
            buf_putf(out, "%u.", bytes[i]);
    }
}

/* A domain as the DNS knows it; false: it cannot be asked about. */
static bool put_domain(struct str domain, struct buf *out)
{
    char *ascii = NULL;
    int result;

    if (str_is_ascii(domain)) {
        buf_put(out, domain);
    } else {
        CLEANUP(buf_free) struct buf text;

        buf_init(&text, SIZE_MAX);
        buf_put(&text, domain);
        buf_put(&text, str_make("", 1));
        result = idn2_to_ascii_8z(text.ptr, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
        if (result == IDN2_OK)
            buf_put(out, str_from_c(ascii));
        idn2_free(ascii);
        if (result != IDN2_OK)
            return false;
    }
    return out->len > 0 && out->len <= DNS_NAME_MAX;
}

/* ---- questions and answers ---- */

static void on_answer(void *owner, struct task *task, const struct dns_answer *answer);

static struct question *ask(struct smtp_checks *checks, enum question_kind kind, struct str name,
                            enum dns_type type)
{
    struct question *question;

    if (checks->question_count == QUESTIONS_MAX)
        return NULL;
    question = &checks->questions[checks->question_count++];
    question->checks = checks;
    question->kind = kind;
    buf_init(&question->name, SIZE_MAX);
    question->query =
        dns_client_ask(checks->dns, name, type, kind == ASKED_LIST, on_answer, question);
    checks->open_count++;
    return question;
}

static void take_names(struct smtp_checks *checks, const struct dns_answer *answer)
{
    enum dns_type type = checks->address.is_v6 ? DNS_TYPE_AAAA : DNS_TYPE_A;

    checks->is_name_doubtful |= answer->count > NAMES_MAX;
    for (size_t i = 0; i < answer->count && i < NAMES_MAX; i++) {
        struct str name = answer->records[i].name;
        struct question *question;

        if (name.len == 0 || name.len > DNS_NAME_MAX)
            continue;
        question = ask(checks, ASKED_ADDRESS, name, type);
        if (question != NULL)
            buf_put(&question->name, name);
    }
}

static void take_address(struct smtp_checks *checks, const struct question *question,
                         const struct dns_answer *answer)
{
    struct ip_address address;

    for (size_t i = 0; i < answer->count && checks->reverse_name.len == 0; i++) {
        if (ip_address_from_bytes(answer->records[i].data, &address) &&
            ip_address_equal(&address, &checks->address))
            buf_put(&checks->reverse_name, buf_str(&question->name));
    }
}

/* RFC 5782 §2.1: listed is what has an address in 127/8. 127.255.255.x is a list's refusal to
 * answer this resolver. */
static void take_listing(struct smtp_checks *checks, const struct question *question,
                         const struct dns_answer *answer)
{
    for (size_t i = 0; i < answer->count; i++) {
        struct str data = answer->records[i].data;

        if (data.len == 4 && data.ptr[0] == 127 &&
            !str_starts_with(data, str_make("\x7f\xff\xff", 3))) {
            checks->list_score += question->score;
            return;
        }
    }
}

static void take_domain(struct smtp_checks *checks, const struct dns_answer *answer)
{
    if (answer->status == DNS_NO_NAME)
        checks->sender_domain = SMTP_DOMAIN_MISSING;
    else if (answer->status == DNS_OK && answer->count == 1 && answer->records[0].name.len == 0)
        checks->sender_domain = SMTP_DOMAIN_TAKES_NONE; /* RFC 7505 §3 */
}

static void tell(struct smtp_checks *checks)
{
    if (!checks->is_waiting)
        return;
    checks->is_waiting = false;
    net_timer_stop(checks->patience);
    checks->on_known(checks->owner);
}

static void on_answer(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct question *question = owner;
    struct smtp_checks *checks = question->checks;
    bool has_records = answer->status == DNS_OK;

    (void)task;
    question->query = NULL; /* it is freed behind us */
    checks->open_count--;
    switch (question->kind) {
    case ASKED_NAME:
        checks->is_name_doubtful |= answer->status == DNS_FAILED;
        if (has_records)
            take_names(checks, answer);
        break;
    case ASKED_ADDRESS:
        checks->is_name_doubtful |= answer->status == DNS_FAILED;
        if (has_records)
            take_address(checks, question, answer);
        break;
    case ASKED_LIST:
        if (has_records)
            take_listing(checks, question, answer);
        break;
    case ASKED_DOMAIN:
        take_domain(checks, answer);
        break;
    }
    if (checks->open_count == 0)
        tell(checks);
}

static void on_patience(void *owner)
{
    tell(owner);
}

/* ---- a client ---- */

static void ask_about_client(struct smtp_checks *checks, const struct smtp_check_rules *rules)
{
    CLEANUP(buf_free) struct buf name;
    size_t reversed_len;

    buf_init(&name, SIZE_MAX);
    put_reversed(checks, &name);
    reversed_len = name.len;
    for (size_t i = 0; i < rules->list_count; i++) {
        struct question *question;

        buf_truncate(&name, reversed_len);
        buf_put(&name, rules->lists[i].zone);
        question = ask(checks, ASKED_LIST, buf_str(&name), DNS_TYPE_A);
        if (question != NULL)
            question->score = rules->lists[i].score;
    }
    buf_truncate(&name, reversed_len);
    buf_put(&name, checks->address.is_v6 ? STR("ip6.arpa") : STR("in-addr.arpa"));
    ask(checks, ASKED_NAME, buf_str(&name), DNS_TYPE_PTR);
}

struct smtp_checks *smtp_checks_new(struct net_loop *loop, struct dns_client *dns,
                                    const struct smtp_check_rules *rules, struct str client,
                                    net_callback on_known, void *owner)
{
    struct smtp_checks *checks = NEW(struct smtp_checks);

    if (!ip_address_parse(client, &checks->address)) {
        mem_free(&checks);
        return NULL;
    }
    (void)ip_address_unmap(&checks->address);
    checks->dns = dns;
    checks->on_known = on_known;
    checks->owner = owner;
    checks->patience = net_timer_new(loop, on_patience, checks);
    checks->refusal_score = rules->refusal_score;
    checks->are_domains_checked = rules->are_domains_checked;
    checks->domain_question = SIZE_MAX;
    buf_init(&checks->reverse_name, SIZE_MAX);
    ask_about_client(checks, rules);
    return checks;
}

void smtp_checks_free(struct smtp_checks **checks)
{
    struct smtp_checks *c = *checks;

    if (c == NULL)
        return;
    for (size_t i = 0; i < c->question_count; i++) {
        dns_query_cancel(&c->questions[i].query);
        buf_free(&c->questions[i].name);
    }
    buf_free(&c->reverse_name);
    net_timer_free(&c->patience);
    mem_free(checks);
}

/* A domain after another has its question's place. */
static void ask_about_domain(struct smtp_checks *checks, struct str domain)
{
    CLEANUP(buf_free) struct buf name;
    struct question *question;

    checks->sender_domain = SMTP_DOMAIN_FINE;
    if (checks->domain_question != SIZE_MAX) {
        question = &checks->questions[checks->domain_question];
        if (question->query != NULL)
            checks->open_count--;
        dns_query_cancel(&question->query);
    }
    buf_init(&name, SIZE_MAX);
    if (!checks->are_domains_checked || domain.len == 0 || !put_domain(domain, &name))
        return;
    if (checks->domain_question == SIZE_MAX) {
        checks->domain_question = checks->question_count;
        ask(checks, ASKED_DOMAIN, buf_str(&name), DNS_TYPE_MX);
        return;
    }
    question = &checks->questions[checks->domain_question];
    question->query =
        dns_client_ask(checks->dns, buf_str(&name), DNS_TYPE_MX, false, on_answer, question);
    checks->open_count++;
}

bool smtp_checks_sender(struct smtp_checks *checks, struct str domain)
{
    ask_about_domain(checks, domain);
    checks->is_waiting = checks->open_count > 0;
    if (checks->is_waiting)
        net_timer_start(checks->patience, SMTP_CHECKS_WAIT_MS);
    return !checks->is_waiting;
}

/* All that could name the client was asked, and answered. */
static bool is_nameless(const struct smtp_checks *checks)
{
    for (size_t i = 0; i < checks->question_count; i++) {
        const struct question *question = &checks->questions[i];

        if (question->query != NULL &&
            (question->kind == ASKED_NAME || question->kind == ASKED_ADDRESS))
            return false;
    }
    return checks->reverse_name.len == 0 && !checks->is_name_doubtful;
}

void smtp_checks_facts(const struct smtp_checks *checks, struct smtp_facts *out)
{
    *out = (struct smtp_facts){
        .reverse_name = buf_str(&checks->reverse_name),
        .is_nameless = is_nameless(checks),
        .list_score = checks->list_score,
        .is_refused = checks->refusal_score > 0 && checks->list_score >= checks->refusal_score,
        .sender_domain = checks->sender_domain,
    };
}
