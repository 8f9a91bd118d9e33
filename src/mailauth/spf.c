/*
 * check_host(). A record is read through for its syntax, then evaluated term by term; "redirect"
 * goes round in a loop, "include" recurses, and both count as look-ups, of which there are ten
 * (§4.6.4): so neither goes deep.
 */
#include "mailauth/spf.h"

#include "base/ascii.h"
#include "base/ip.h"
#include "mailauth/domain.h"
#include "mailauth/spf_macro.h"
#include "mailauth/spf_term.h"

#include <string.h>

enum {
    TERMS_MAX = 10, /* that ask the DNS */
    VOIDS_MAX = 2,  /* answers with nothing in them */
    NAMES_MAX = 10, /* of an MX or PTR */
    LABELS6_LEN = 64,
};

/* The names that the client's address has, and that have the address; asked for once. */
struct confirmed {
    bool is_known;
    struct str names[NAMES_MAX];
    size_t count;
};

struct check {
    struct task *task;
    struct mailauth_lookup *lookup;
    struct ip_address address;
    struct spf_macros macros; /* `domain` is the one whose record is evaluated */
    unsigned terms, voids;
    struct confirmed confirmed;
};

enum match { MATCH_YES, MATCH_NO, MATCH_TEMPERROR, MATCH_PERMERROR };

/* A domain that can be asked for. */
static bool is_askable(struct str domain)
{
    struct str rest = domain, label;

    if (domain.len == 0 || domain.len > MAILAUTH_DOMAIN_MAX)
        return false;
    while (str_split(&rest, '.', &label))
        if (label.len == 0 || label.len > MAILAUTH_LABEL_MAX)
            return false;
    return true;
}

/* The expansion of a domain-spec as a name: no dot at its end, cut from the left (§7.3). ERR_LIMIT.
 */
static enum err target(struct check *check, struct str spec, struct str *out)
{
    CLEANUP(buf_free) struct buf text;
    struct str name;

    buf_init(&text, SPF_EXPANSION_MAX);
    if (spec.len == 0) {
        *out = check->macros.domain;
        return ERR_OK;
    }
    TRY(spf_macro_expand(&check->macros, spec, &text));
    name = buf_str(&text);
    if (str_ends_with(name, STR(".")))
        name.len--;
    while (name.len > MAILAUTH_DOMAIN_MAX) {
        ptrdiff_t dot = str_index(name, '.');

        if (dot < 0)
            break;
        name = str_from(name, (size_t)dot + 1);
    }
    *out = arena_copy(&check->task->arena, name);
    for (size_t i = 0; i < out->len; i++)
        ((char *)out->ptr)[i] = ascii_lower(out->ptr[i]);
    return ERR_OK;
}

/* A question of a term. False: there is nothing, or *out_problem says what is wrong. */
static bool ask(struct check *check, struct str name, enum dns_type type, struct dns_answer *out,
                enum match *out_problem)
{
    *out_problem = MATCH_NO;
    if (!is_askable(name))
        return false;
    mailauth_lookup_ask(check->lookup, check->task, name, type, out);
    switch (out->status) {
    case DNS_OK:
        return true;
    case DNS_NO_NAME:
    case DNS_NO_DATA:
        if (++check->voids > VOIDS_MAX)
            *out_problem = MATCH_PERMERROR;
        return false;
    case DNS_FAILED:
        *out_problem = MATCH_TEMPERROR;
        return false;
    }
    return false;
}

static enum dns_type address_type(const struct check *check)
{
    return check->address.is_v6 ? DNS_TYPE_AAAA : DNS_TYPE_A;
}

/* Are as many bits of the client's address the same? */
static bool is_like(const struct check *check, const struct ip_address *address, unsigned bits4,
                    unsigned bits6)
{
    struct ip_network network = {*address, address->is_v6 ? bits6 : bits4};

    return ip_network_has(&network, &check->address);
}

static bool has_address(const struct check *check, const struct dns_answer *answer, unsigned bits4,
                        unsigned bits6)
{
    struct ip_address address;

    for (size_t i = 0; i < answer->count; i++) {
        if (ip_address_from_bytes(answer->records[i].data, &address) &&
            is_like(check, &address, bits4, bits6))
            return true;
    }
    return false;
}

/* Does the name have an address like the client's? */
static enum match match_host(struct check *check, struct str name, const struct spf_term *term)
{
    struct dns_answer answer;
    enum match problem;

    if (!ask(check, name, address_type(check), &answer, &problem))
        return problem;
    return has_address(check, &answer, term->bits4, term->bits6) ? MATCH_YES : MATCH_NO;
}

static enum match match_mx(struct check *check, struct str name, const struct spf_term *term)
{
    struct dns_answer answer;
    enum match match;

    if (!ask(check, name, DNS_TYPE_MX, &answer, &match))
        return match;
    if (answer.count > NAMES_MAX)
        return MATCH_PERMERROR;
    for (size_t i = 0; i < answer.count; i++) {
        match = match_host(check, answer.records[i].name, term);
        if (match != MATCH_NO)
            return match;
    }
    return MATCH_NO;
}

/* The name below in-addr.arpa or ip6.arpa: the labels of the address from back to front. */
static struct str reverse_name(const struct check *check)
{
    char *name = arena_alloc(&check->task->arena, LABELS6_LEN + 16, 1);
    struct str labels = check->macros.labels, rest = labels, label;
    size_t at = labels.len;

    /* "a.b.c" from its end: each label goes before those that were written. */
    while (str_split(&rest, '.', &label)) {
        at -= label.len;
        memcpy(name + at, label.ptr, label.len);
        if (at > 0)
            name[--at] = '.';
    }
    return arena_printf(&check->task->arena, "%.*s.%.*s.arpa", (int)labels.len, name,
                        STR_ARG(check->macros.family));
}

/* Errors leave a name out, or all of them (§5.5); nothing here counts as void. */
static const struct confirmed *confirmed_names(struct check *check)
{
    struct confirmed *confirmed = &check->confirmed;
    struct dns_answer names;

    if (confirmed->is_known)
        return confirmed;
    confirmed->is_known = true;
    mailauth_lookup_ask(check->lookup, check->task, reverse_name(check), DNS_TYPE_PTR, &names);
    if (names.status != DNS_OK)
        return confirmed;
    for (size_t i = 0; i < names.count && i < NAMES_MAX; i++) {
        struct str name = names.records[i].name;
        struct dns_answer answer;

        if (!is_askable(name))
            continue;
        mailauth_lookup_ask(check->lookup, check->task, name, address_type(check), &answer);
        if (answer.status == DNS_OK && has_address(check, &answer, IP_V4_BITS, IP_V6_BITS))
            confirmed->names[confirmed->count++] = name;
    }
    return confirmed;
}

static bool is_within(struct str name, struct str parent)
{
    if (name.len < parent.len || !str_equal_nocase(str_from(name, name.len - parent.len), parent))
        return false;
    return name.len == parent.len || name.ptr[name.len - parent.len - 1] == '.';
}

/* %{p}: the domain itself, else a name below it, else any (§7.3). */
static struct str confirmed_name(void *owner)
{
    struct check *check = owner;
    const struct confirmed *confirmed = confirmed_names(check);
    struct str best = STR("unknown");

    for (size_t i = 0; i < confirmed->count; i++) {
        if (str_equal_nocase(confirmed->names[i], check->macros.domain))
            return confirmed->names[i];
        if (i == 0 || (is_within(confirmed->names[i], check->macros.domain) &&
                       !is_within(best, check->macros.domain)))
            best = confirmed->names[i];
    }
    return best;
}

static enum match match_ptr(struct check *check, struct str name)
{
    const struct confirmed *confirmed = confirmed_names(check);

    for (size_t i = 0; i < confirmed->count; i++)
        if (is_within(confirmed->names[i], name))
            return MATCH_YES;
    return MATCH_NO;
}

static enum match match_exists(struct check *check, struct str name)
{
    struct dns_answer answer;
    enum match problem;

    return ask(check, name, DNS_TYPE_A, &answer, &problem) ? MATCH_YES : problem;
}

static enum mailauth_result check_host(struct check *check, struct str domain,
                                       struct str *out_explanation);

/* What the other record says is a match or none (§5.2). */
static enum match match_include(struct check *check, struct str name)
{
    struct str domain = check->macros.domain, explanation;
    enum mailauth_result result = check_host(check, name, &explanation);

    check->macros.domain = domain;
    switch (result) {
    case MAILAUTH_PASS:
        return MATCH_YES;
    case MAILAUTH_FAIL:
    case MAILAUTH_SOFTFAIL:
    case MAILAUTH_NEUTRAL:
        return MATCH_NO;
    case MAILAUTH_TEMPERROR:
        return MATCH_TEMPERROR;
    case MAILAUTH_NONE:
    case MAILAUTH_POLICY:
    case MAILAUTH_PERMERROR:
        return MATCH_PERMERROR;
    }
    return MATCH_PERMERROR;
}

/* Those that ask the DNS, for a name. */
static enum match match_by_name(struct check *check, const struct spf_term *term)
{
    struct str name;

    if (++check->terms > TERMS_MAX)
        return MATCH_PERMERROR;
    if (target(check, term->domain, &name) != ERR_OK)
        return MATCH_PERMERROR;
    if (term->kind == SPF_INCLUDE)
        return match_include(check, name);
    if (term->kind == SPF_A)
        return match_host(check, name, term);
    if (term->kind == SPF_MX)
        return match_mx(check, name, term);
    return term->kind == SPF_PTR ? match_ptr(check, name) : match_exists(check, name);
}

static enum match match(struct check *check, const struct spf_term *term)
{
    switch (term->kind) {
    case SPF_ALL:
        return MATCH_YES;
    case SPF_IP4:
    case SPF_IP6:
        return is_like(check, &term->network, term->bits4, term->bits6) ? MATCH_YES : MATCH_NO;
    case SPF_INCLUDE:
    case SPF_A:
    case SPF_MX:
    case SPF_PTR:
    case SPF_EXISTS:
        return match_by_name(check, term);
    case SPF_REDIRECT:
    case SPF_EXP:
    case SPF_UNKNOWN_MODIFIER:
        break;
    }
    return MATCH_NO;
}

/* The record of a domain (§4.5): PASS and its terms; NONE when there is none; else what is wrong.
 */
static enum mailauth_result find_record(struct check *check, struct str domain,
                                        struct str *out_terms)
{
    struct dns_answer answer;
    size_t found = 0;

    mailauth_lookup_ask(check->lookup, check->task, domain, DNS_TYPE_TXT, &answer);
    if (answer.status == DNS_FAILED)
        return MAILAUTH_TEMPERROR;
    for (size_t i = 0; answer.status == DNS_OK && i < answer.count; i++) {
        struct str terms;

        if (spf_record_is_one(answer.records[i].data, &terms)) {
            *out_terms = terms;
            found++;
        }
    }
    if (found == 0)
        return MAILAUTH_NONE;
    return found == 1 && spf_terms_are_valid(*out_terms) ? MAILAUTH_PASS : MAILAUTH_PERMERROR;
}

/* A record's mechanisms. NONE: none of them matched; `*out_redirect`, `*out_exp`: its modifiers. */
static enum mailauth_result evaluate(struct check *check, struct str terms,
                                     struct str *out_redirect, struct str *out_exp)
{
    enum mailauth_result result = MAILAUTH_NONE;
    struct spf_term term;

    while (spf_term_next(&terms, &term) == ERR_OK) {
        if (term.kind == SPF_REDIRECT)
            *out_redirect = term.domain;
        if (term.kind == SPF_EXP)
            *out_exp = term.domain;
        if (result != MAILAUTH_NONE)
            continue; /* exp= may come behind what matched */
        switch (match(check, &term)) {
        case MATCH_YES:
            result = term.qualifier;
            break;
        case MATCH_NO:
            break;
        case MATCH_TEMPERROR:
            return MAILAUTH_TEMPERROR;
        case MATCH_PERMERROR:
            return MAILAUTH_PERMERROR;
        }
    }
    return result;
}

static enum mailauth_result check_host(struct check *check, struct str domain,
                                       struct str *out_explanation)
{
    bool is_redirected = false;

    for (;;) {
        struct str terms = STR(""), redirect = {0};
        enum mailauth_result result;

        *out_explanation = (struct str){0};
        check->macros.domain = domain;
        result = is_askable(domain) ? find_record(check, domain, &terms) : MAILAUTH_NONE;
        if (result == MAILAUTH_NONE)
            return is_redirected ? MAILAUTH_PERMERROR : MAILAUTH_NONE; /* §6.1 */
        if (result != MAILAUTH_PASS)
            return result;
        result = evaluate(check, terms, &redirect, out_explanation);
        if (result != MAILAUTH_NONE)
            return result;
        if (redirect.ptr == NULL)
            return MAILAUTH_NEUTRAL;
        if (++check->terms > TERMS_MAX || target(check, redirect, &domain) != ERR_OK)
            return MAILAUTH_PERMERROR;
        is_redirected = true;
    }
}

/* exp= (§6.2): whatever goes wrong, there is no explanation. */
static struct str explain(struct check *check, struct str spec)
{
    CLEANUP(buf_free) struct buf text;
    struct dns_answer answer;
    struct str name;

    buf_init(&text, SPF_EXPANSION_MAX);
    if (spec.len == 0 || target(check, spec, &name) != ERR_OK || !is_askable(name))
        return STR("");
    mailauth_lookup_ask(check->lookup, check->task, name, DNS_TYPE_TXT, &answer);
    if (answer.status != DNS_OK || answer.count != 1 ||
        !spf_macro_is_valid(answer.records[0].data, true) ||
        spf_macro_expand(&check->macros, answer.records[0].data, &text) != ERR_OK)
        return STR("");
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < ' ' || text.ptr[i] > '~')
            return STR("");
    return arena_copy(&check->task->arena, buf_str(&text));
}

/* "1.2.3.4", or the nibbles of an IPv6 address: "2.0.0.1.…" (§7.3). */
static struct str address_labels(struct check *check, struct str address)
{
    static const char hex[] = "0123456789ABCDEF";
    char *labels;

    if (!check->address.is_v6)
        return address;
    labels = arena_alloc(&check->task->arena, LABELS6_LEN, 1);
    for (size_t i = 0; i < 16; i++) {
        labels[4 * i] = hex[check->address.bytes[i] >> 4];
        labels[4 * i + 1] = labels[4 * i + 3] = '.';
        labels[4 * i + 2] = hex[check->address.bytes[i] & 15];
    }
    return str_make(labels, LABELS6_LEN - 1);
}

/* IPv4 that is mapped into IPv6 is IPv4 (§5). False: not an address. */
static bool set_address(struct check *check, struct str client)
{
    char text[IP_ADDRESS_ROOM];

    if (!ip_address_parse(client, &check->address))
        return false;
    (void)ip_address_unmap(&check->address);
    ip_address_format(&check->address, text);
    check->macros.address = arena_copy(&check->task->arena, str_from_c(text));
    check->macros.labels = address_labels(check, check->macros.address);
    check->macros.family = check->address.is_v6 ? STR("ip6") : STR("in-addr");
    return true;
}

/* The identity that is checked: of the sender, else of HELO (§2.4). */
static void set_identity(struct check *check, const struct mailauth_spf_request *request)
{
    struct str sender = request->sender;
    ptrdiff_t at = str_last_index(sender, '@');

    check->macros.local = STR("");
    check->macros.sender_domain = sender.len == 0 ? request->helo : sender;
    if (at >= 0) {
        check->macros.local = str_upto(sender, (size_t)at);
        check->macros.sender_domain = str_from(sender, (size_t)at + 1);
    }
    if (str_ends_with(check->macros.sender_domain, STR(".")))
        check->macros.sender_domain.len--;
    if (check->macros.local.len == 0)
        check->macros.local = STR("postmaster"); /* §4.3 */
}

/* §4.3: a name of several labels; not an address literal. */
static bool is_checkable(struct str domain)
{
    return is_askable(domain) && str_index(domain, '.') >= 0 && domain.ptr[0] != '[';
}

void mailauth_spf_check(struct task *task, struct mailauth_lookup *lookup,
                        const struct mailauth_spf_request *request, struct mailauth_spf_result *out)
{
    struct check *check = ARENA_NEW(&task->arena, struct check);
    struct str explanation;

    check->task = task;
    check->lookup = lookup;
    check->macros.helo = request->helo;
    check->macros.receiver = request->receiver.len > 0 ? request->receiver : STR("unknown");
    check->macros.now_s = request->now_ms / 1000;
    check->macros.confirmed_name = confirmed_name;
    check->macros.owner = check;
    check->macros.parts = ARENA_ARRAY(&task->arena, struct str, SPF_VALUE_MAX + 1);
    set_identity(check, request);
    *out =
        (struct mailauth_spf_result){.domain = check->macros.sender_domain, .explanation = STR("")};
    if (request->sender.len > SPF_VALUE_MAX || request->helo.len > SPF_VALUE_MAX ||
        !is_checkable(out->domain) || !set_address(check, request->client))
        return;
    out->result = check_host(check, out->domain, &explanation);
    if (out->result == MAILAUTH_FAIL && request->wants_explanation)
        out->explanation = explain(check, explanation);
}
