/*
 * Does the domain's SPF record let our mail pass? It is evaluated as a receiver does it
 * (mailauth/spf.h), for each address that mail goes out from: so whatever it includes, redirects to
 * or names counts.
 *
 * That evaluation asks one question after the other and takes the answers at once; ours come later.
 * So it runs over what is known, "nobody knows now" where something is missing, which is asked
 * then, and runs anew when the answers are there.
 */
#include "account/admin/dns_check.h"

#include "base/ip.h"
#include "mailauth/domain.h"
#include "mailauth/spf.h"

/* For future use ever since (RFC 1112 §4): who lets it pass lets everybody. */
static const struct str nobodys_address = STR_INIT("240.0.0.1");

static void ask(void *owner, struct task *task, struct str name, enum dns_type type,
                struct dns_answer *out)
{
    const struct admin_asked *asked = admin_check_ask(owner, name, type);

    (void)task;
    *out = asked == NULL || !asked->is_answered ? (struct dns_answer){.status = DNS_FAILED}
                                                : asked->answer;
}

static void evaluate(struct admin_check *check, struct admin_sender *sender)
{
    const struct dns_source source = {.owner = check, .ask = ask};
    struct mailauth_lookup lookup = {.dns = &source};
    struct task *task = &check->request->task;
    struct mailauth_spf_request request = {
        .client = sender->address,
        .helo = check->dns->hostname,
        .sender = arena_printf(&task->arena, "postmaster@%.*s", STR_ARG(check->dns->domain)),
        .now_ms = task->now_ms,
    };
    struct mailauth_spf_result result;

    mailauth_spf_check(task, &lookup, &request, &result);
    sender->result = result.result == MAILAUTH_PASS        ? ADMIN_SPF_PASS
                     : result.result == MAILAUTH_TEMPERROR ? ADMIN_SPF_LATER
                     : result.result == MAILAUTH_PERMERROR ? ADMIN_SPF_BROKEN
                                                           : ADMIN_SPF_OTHER;
}

/* ---- whose mail it is ---- */

static void add_sender(struct admin_check *check, const struct ip_address *address)
{
    char text[IP_ADDRESS_ROOM];

    if (check->sender_count == ADMIN_CHECK_SENDERS_MAX)
        return;
    ip_address_format(address, text);
    check->senders[check->sender_count++].address =
        arena_copy(&check->request->task.arena, str_from_c(text));
}

static void add_senders(struct admin_check *check, const struct dns_answer *answer)
{
    struct ip_address address;

    for (size_t i = 0; answer->status == DNS_OK && i < answer->count; i++) {
        if (ip_address_from_bytes(answer->records[i].data, &address))
            add_sender(check, &address);
    }
}

static void add_host(struct admin_check *check, struct str host)
{
    const struct admin_asked *v4 = admin_check_ask(check, host, DNS_TYPE_A), *v6 = NULL;

    if (check->dns->uses_ipv6)
        v6 = admin_check_ask(check, host, DNS_TYPE_AAAA);
    if (v4 != NULL && v4->is_answered)
        add_senders(check, &v4->answer);
    if (v6 != NULL && v6->is_answered)
        add_senders(check, &v6->answer);
}

/* The name of the host that mail goes out from; false: it is an address. */
static bool sending_host(const struct admin_check *check, struct str *out_host,
                         struct ip_address *out_address)
{
    struct str smarthost = check->dns->smarthost;

    *out_host = smarthost.len > 0 ? smarthost : check->dns->hostname;
    return smarthost.len == 0 || !ip_address_parse(smarthost, out_address);
}

static void find_senders(struct admin_check *check)
{
    struct ip_address address;
    struct str host;

    check->sender_count = 0;
    if (sending_host(check, &host, &address))
        add_host(check, host);
    else
        add_sender(check, &address);
    check->senders[check->sender_count].address = nobodys_address;
}

void admin_check_spf(struct admin_check *check)
{
    find_senders(check);
    for (size_t i = 0; i <= check->sender_count; i++)
        evaluate(check, &check->senders[i]);
}

/* ---- what is said of it ---- */

static bool is_of_organization(struct admin_check *check, struct str a, struct str b)
{
    struct arena *arena = &check->request->task.arena;

    return mailauth_domain_normal(arena, a, &a) && mailauth_domain_normal(arena, b, &b) &&
           str_equal(mailauth_domain_organization(a), mailauth_domain_organization(b));
}

/* A smarthost need not send from where it takes mail: its provider's own list tells. */
static bool is_providers(struct admin_check *check, struct str text, struct str *out_name)
{
    struct str term;

    while (text.ptr != NULL && str_split(&text, ' ', &term)) {
        ptrdiff_t at = str_index(term, str_starts_with_nocase(term, STR("redirect=")) ? '=' : ':');

        if (at < 0 || (!str_starts_with_nocase(term, STR("include:")) &&
                       !str_starts_with_nocase(term, STR("+include:")) &&
                       !str_starts_with_nocase(term, STR("redirect="))))
            continue;
        *out_name = str_from(term, (size_t)at + 1);
        if (is_of_organization(check, *out_name, check->dns->smarthost))
            return true;
    }
    return false;
}

/* Others than those whom we print. */
static bool names_others(struct str text)
{
    static const char *const mechanisms[] = {
        "include:", "redirect=", "ip4:", "ip6:", "exists:", "a:", "mx:"};
    struct str term;

    while (text.ptr != NULL && str_split(&text, ' ', &term)) {
        for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++) {
            if (str_starts_with_nocase(term, str_from_c(mechanisms[i])))
                return true;
        }
    }
    return false;
}

static struct admin_finding not_passed(struct admin_check *check, struct str text,
                                       struct str address)
{
    struct arena *arena = &check->request->task.arena;
    struct str smarthost = check->dns->smarthost, name;

    if (smarthost.len == 0)
        return (struct admin_finding){
            ADMIN_FINDING_WRONG,
            arena_printf(arena, "it does not let %.*s send, which is an address of this host",
                         STR_ARG(address))};
    if (is_providers(check, text, &name))
        return (struct admin_finding){
            ADMIN_FINDING_RIGHT,
            arena_printf(arena, "by %.*s, a list of the smarthost's provider", STR_ARG(name))};
    return (struct admin_finding){
        names_others(text) ? ADMIN_FINDING_UNKNOWN : ADMIN_FINDING_WRONG,
        arena_printf(arena,
                     "it does not name %.*s (%.*s), through which mail goes out; its provider says "
                     "what to add, unless that is there",
                     STR_ARG(smarthost), STR_ARG(address))};
}

static struct admin_finding judge_sender(struct admin_check *check, struct str text,
                                         const struct admin_sender *sender)
{
    switch (sender->result) {
    case ADMIN_SPF_PASS:
        break;
    case ADMIN_SPF_LATER:
        return admin_found(ADMIN_FINDING_UNKNOWN, "the DNS did not answer for what it names");
    case ADMIN_SPF_BROKEN:
        return admin_found(ADMIN_FINDING_WRONG,
                           "receivers cannot evaluate it: it, or what it includes, has a mistake, "
                           "does not exist, or needs more than ten look-ups (RFC 7208)");
    case ADMIN_SPF_OTHER:
        return not_passed(check, text, sender->address);
    }
    return admin_found(ADMIN_FINDING_RIGHT, "");
}

/* Whether the DNS kept back addresses that mail may go out from. */
static bool has_unknown_senders(const struct admin_check *check)
{
    struct ip_address address;
    struct str host;

    if (!sending_host(check, &host, &address))
        return false;
    for (size_t i = 0; i < check->asked_count; i++) {
        const struct admin_asked *asked = &check->asked[i];

        if ((asked->type == DNS_TYPE_A ||
             (asked->type == DNS_TYPE_AAAA && check->dns->uses_ipv6)) &&
            asked->answer.status == DNS_FAILED && str_equal_nocase(asked->name, host))
            return true;
    }
    return false;
}

static struct admin_finding no_senders(const struct admin_check *check)
{
    return admin_found(ADMIN_FINDING_UNKNOWN,
                       check->dns->smarthost.len > 0
                           ? "the smarthost's name has no address to try it with"
                           : "this host's name has no address to try it with");
}

struct admin_finding admin_check_judge_spf(struct admin_check *check,
                                           const struct dns_answer *answer)
{
    struct admin_finding finding = no_senders(check);
    struct str text;

    if (!admin_dns_only_one(answer, STR("v=spf1"), &text, &finding))
        return finding;
    if (check->senders[check->sender_count].result == ADMIN_SPF_PASS)
        return admin_found(ADMIN_FINDING_WRONG, "it lets everybody send in the domain's name");
    for (size_t i = 0; i < check->sender_count; i++) {
        finding = judge_sender(check, text, &check->senders[i]);
        if (finding.state != ADMIN_FINDING_RIGHT)
            return finding;
    }
    if (has_unknown_senders(check))
        return admin_found(ADMIN_FINDING_UNKNOWN,
                           "the DNS did not tell all addresses that mail goes out from");
    return finding;
}
