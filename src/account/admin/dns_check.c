/*
 * `sealpost domain check`: asks the DNS for every record at once, and judges them together when the
 * last answer is there, since one explains another (SPF may name the host's address).
 */
#include "account/admin/dns.h"

#include "account/admin/handlers.h"
#include "base/ascii.h"

#include <arpa/inet.h>
#include <string.h>

struct admin_check {
    struct admin_dns *dns;
    struct dns_answer answers[ADMIN_DNS_RECORDS_MAX]; /* in the request's arena */
    size_t answered;
};

enum state { STATE_RIGHT, STATE_MISSING, STATE_WRONG, STATE_UNKNOWN };

static const char *const state_names[] = {"right", "missing", "wrong", "unknown"};

struct finding {
    enum state state;
    struct str why;
};

static struct finding found(enum state state, const char *why)
{
    return (struct finding){state, str_from_c(why)};
}

/* "tag=value" of a list with semicolons (RFC 6376 §3.2), without white space around; empty: none. */
static struct str tag_of(struct str text, const char *tag)
{
    struct str rest = text, part;

    while (rest.ptr != NULL && str_split(&rest, ';', &part)) {
        ptrdiff_t equal = str_index(part, '=');

        if (equal > 0 && str_equal_nocase(str_trim(str_upto(part, (size_t)equal)), str_from_c(tag)))
            return str_trim(str_from(part, (size_t)equal + 1));
    }
    return STR("");
}

/* Records that begin with this version; the first of them. */
static size_t of_version(const struct dns_answer *answer, struct str version, struct str *out_text)
{
    size_t count = 0;

    for (size_t i = 0; i < answer->count; i++) {
        struct str text = str_trim(answer->records[i].data), behind;

        if (!str_starts_with_nocase(text, version))
            continue;
        behind = str_from(text, version.len);
        if (behind.len > 0 && behind.ptr[0] != ' ' && behind.ptr[0] != ';')
            continue;
        if (count++ == 0)
            *out_text = text;
    }
    return count;
}

/* One record of that version, or the reason why not. */
static bool only_one(const struct dns_answer *answer, struct str version, struct str *out_text,
                     struct finding *out_finding)
{
    size_t count = of_version(answer, version, out_text);

    if (count == 0)
        *out_finding = found(STATE_MISSING, "there is none");
    else if (count > 1)
        *out_finding = found(STATE_WRONG, "there are several, so that receivers heed none");
    return count == 1;
}

static const struct dns_answer *answer_of(const struct admin_check *check, enum admin_dns_role role)
{
    for (size_t i = 0; i < check->dns->count; i++) {
        if (check->dns->records[i].role == role)
            return &check->answers[i];
    }
    return NULL;
}

/* Is `text` an address that the host has? */
static bool is_host_address(const struct admin_check *check, struct str text, bool is_v6)
{
    const struct dns_answer *answer = answer_of(check, is_v6 ? ADMIN_DNS_HOST6 : ADMIN_DNS_HOST);
    char copy[INET6_ADDRSTRLEN] = {0};
    unsigned char bytes[16];
    struct str address;

    if (answer == NULL || text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    if (inet_pton(is_v6 ? AF_INET6 : AF_INET, copy, bytes) != 1)
        return false;
    address = str_make(bytes, is_v6 ? sizeof(struct in6_addr) : sizeof(struct in_addr));
    for (size_t i = 0; i < answer->count; i++) {
        if (str_equal(answer->records[i].data, address))
            return true;
    }
    return false;
}

/* A term of an SPF record that lets this host send (RFC 7208 §5). */
static bool names_us(const struct admin_check *check, struct str term)
{
    struct str host = check->dns->hostname;

    if (term.len > 0 && term.ptr[0] == '+')
        term = str_from(term, 1);
    if (str_equal_nocase(term, STR("mx")))
        return true;
    if (str_starts_with_nocase(term, STR("a:")))
        return str_equal_nocase(str_from(term, 2), host);
    if (str_starts_with_nocase(term, STR("ip4:")))
        return is_host_address(check, str_from(term, 4), false);
    if (str_starts_with_nocase(term, STR("ip6:")))
        return is_host_address(check, str_from(term, 4), true);
    return false;
}

static struct finding judge_spf(const struct admin_check *check, const struct dns_answer *answer)
{
    bool is_named = false, looks_elsewhere = false;
    struct finding finding;
    struct str text, term;

    if (!only_one(answer, STR("v=spf1"), &text, &finding))
        return finding;
    while (text.ptr != NULL && str_split(&text, ' ', &term)) {
        if (str_equal_nocase(term, STR("+all")) || str_equal_nocase(term, STR("all")))
            return found(STATE_WRONG, "it lets everybody send in the domain's name");
        is_named = is_named || names_us(check, term);
        looks_elsewhere = looks_elsewhere || str_starts_with_nocase(term, STR("include:")) ||
                          str_starts_with_nocase(term, STR("redirect=")) ||
                          str_starts_with_nocase(term, STR("ip4:")) ||
                          str_starts_with_nocase(term, STR("ip6:"));
    }
    if (is_named)
        return found(STATE_RIGHT, "");
    return looks_elsewhere
               ? found(STATE_UNKNOWN, "it names this host neither as mx nor by name; if what it "
                                      "names or includes does, all is well")
               : found(STATE_WRONG, "it does not let this host send");
}

/* The same key, whatever white space its text was given. */
static bool is_same_key(struct str a, struct str b)
{
    size_t i = 0, j = 0;

    for (;;) {
        while (i < a.len && ascii_is_space(a.ptr[i]))
            i++;
        while (j < b.len && ascii_is_space(b.ptr[j]))
            j++;
        if (i == a.len || j == b.len)
            return i == a.len && j == b.len;
        if (a.ptr[i++] != b.ptr[j++])
            return false;
    }
}

static struct finding judge_dkim(const struct admin_dns_record *record,
                                 const struct dns_answer *answer)
{
    if (answer->count == 0)
        return found(STATE_MISSING, "mail is signed with a key that nobody finds");
    if (answer->count > 1)
        return found(STATE_WRONG, "there are several records of this name");
    if (!is_same_key(tag_of(answer->records[0].data, "p"), tag_of(record->text, "p")))
        return found(STATE_WRONG, "another key is published, or a part of it is missing");
    return found(STATE_RIGHT, "");
}

static struct finding judge_dmarc(const struct dns_answer *answer)
{
    struct finding finding;
    struct str text, policy;

    if (!only_one(answer, STR("v=DMARC1"), &text, &finding))
        return finding;
    policy = tag_of(text, "p");
    if (str_equal_nocase(policy, STR("none")))
        return found(STATE_RIGHT, "p=none: forged mail is only reported");
    if (str_equal_nocase(policy, STR("quarantine")) || str_equal_nocase(policy, STR("reject")))
        return found(STATE_RIGHT, "");
    return found(STATE_WRONG, "its p= is none of none, quarantine and reject");
}

static struct finding judge_tagged(const struct dns_answer *answer, struct str version,
                                   const char *tag, const char *lack)
{
    struct finding finding;
    struct str text;

    if (!only_one(answer, version, &text, &finding))
        return finding;
    return tag_of(text, tag).len > 0 ? found(STATE_RIGHT, "") : found(STATE_WRONG, lack);
}

static struct finding judge_mx(const struct admin_dns_record *record,
                               const struct dns_answer *answer)
{
    bool has_others = false, is_named = false;

    for (size_t i = 0; i < answer->count; i++) {
        if (answer->records[i].name.len == 0)
            return found(STATE_WRONG, "it says that the domain takes no mail (null MX)");
        if (str_equal_nocase(answer->records[i].name, record->text))
            is_named = true;
        else
            has_others = true;
    }
    if (answer->count == 0)
        return found(STATE_MISSING, "there is none");
    if (!is_named)
        return found(STATE_WRONG, "it names other hosts, not this one");
    return found(STATE_RIGHT, has_others ? "other hosts are named, too" : "");
}

static struct finding judge_service(const struct admin_dns_record *record,
                                    const struct dns_answer *answer)
{
    if (answer->count == 0)
        return found(STATE_MISSING, "mail programs must be told the server's name");
    for (size_t i = 0; i < answer->count; i++) {
        if (str_equal_nocase(answer->records[i].name, record->text) &&
            answer->records[i].port == record->port)
            return found(STATE_RIGHT, "");
    }
    return found(STATE_WRONG, answer->records[0].name.len == 0
                                  ? "it says that there is no such service"
                                  : "it names another host or port");
}

static struct finding judge_host(const struct admin_check *check, enum admin_dns_role role,
                                 const struct dns_answer *answer)
{
    const struct dns_answer *other =
        answer_of(check, role == ADMIN_DNS_HOST ? ADMIN_DNS_HOST6 : ADMIN_DNS_HOST);

    if (answer->count > 0)
        return found(STATE_RIGHT, "");
    if (other != NULL && other->count > 0)
        return found(STATE_RIGHT, "none, but one of the other kind");
    return found(STATE_MISSING, "this host's name has no address");
}

static struct finding judge(const struct admin_check *check, size_t index)
{
    const struct admin_dns_record *record = &check->dns->records[index];
    const struct dns_answer *answer = &check->answers[index];

    if (answer->status == DNS_FAILED)
        return found(STATE_UNKNOWN, "the DNS did not answer");
    switch (record->role) {
    case ADMIN_DNS_HOST:
    case ADMIN_DNS_HOST6:
        return judge_host(check, record->role, answer);
    case ADMIN_DNS_MX:
        return judge_mx(record, answer);
    case ADMIN_DNS_SPF:
        return judge_spf(check, answer);
    case ADMIN_DNS_DKIM:
        return judge_dkim(record, answer);
    case ADMIN_DNS_DMARC:
        return judge_dmarc(answer);
    case ADMIN_DNS_STS:
        return judge_tagged(answer, STR("v=STSv1"), "id", "it has no id=");
    case ADMIN_DNS_STS_HOST:
        return answer->count > 0
                   ? found(STATE_RIGHT, "")
                   : found(STATE_MISSING, "the MTA-STS policy cannot be fetched from there");
    case ADMIN_DNS_TLS_REPORT:
        return judge_tagged(answer, STR("v=TLSRPTv1"), "rua", "it has no rua=");
    case ADMIN_DNS_SERVICE:
        return judge_service(record, answer);
    }
    return found(STATE_UNKNOWN, "");
}

static void put_findings(struct admin_request *request, const struct admin_check *check)
{
    json_t *items = admin_put_items(request);

    for (size_t i = 0; i < check->dns->count; i++) {
        const struct admin_dns_record *record = &check->dns->records[i];
        struct finding finding = judge(check, i);
        json_t *item = json_object();

        json_object_set_new(item, "state", json_string(state_names[finding.state]));
        json_object_set_new(item, "type", json_string(admin_dns_type_name(record->type)));
        admin_put_text(item, "name", record->name);
        admin_put_text(item, "why", finding.why);
        json_array_append_new(items, item);
    }
}

enum err admin_domain_check(struct admin_request *request)
{
    struct admin_check *check = ARENA_NEW(&request->task.arena, struct admin_check);
    struct admin *admin = request->admin;

    TRY(admin_dns_collect(request, &check->dns));
    request->check = check;
    request->ticket = admin_new_tickets(admin, check->dns->count);
    request->ticket_count = check->dns->count;
    for (size_t i = 0; i < check->dns->count; i++)
        admin->services->ask_dns(admin->owner, request->ticket + i, check->dns->records[i].name,
                                 check->dns->records[i].type);
    return ERR_OK;
}

/* The answer's memory is the caller's: what is judged later is copied. */
static struct dns_answer keep(struct arena *arena, const struct dns_answer *answer)
{
    struct dns_answer kept = {.status = answer->status, .count = answer->count};

    kept.records = ARENA_ARRAY(arena, struct dns_record, answer->count + 1);
    for (size_t i = 0; i < answer->count; i++) {
        kept.records[i] = answer->records[i];
        kept.records[i].name = arena_copy(arena, answer->records[i].name);
        kept.records[i].data = arena_copy(arena, answer->records[i].data);
    }
    return kept;
}

bool admin_check_answered(struct admin_request *request, uint64_t ticket,
                          const struct dns_answer *answer)
{
    struct admin_check *check = request->check;

    check->answers[ticket - request->ticket] = keep(&request->task.arena, answer);
    if (++check->answered < check->dns->count)
        return false;
    put_findings(request, check);
    return true;
}
