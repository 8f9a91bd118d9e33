/*
 * DMARC. The policy is looked for at the author's domain, at its organization's (by the Public
 * Suffix List), and at the suffix, where only a record with psd=y counts: the last is RFC 9989's,
 * whose tree walk finds the same three wherever suffixes publish nothing else.
 */
#include "mailauth/dmarc.h"

#include "mailauth/domain.h"
#include "mailauth/tags.h"

static bool policy_by_name(struct str name, enum mailauth_policy *out)
{
    if (str_equal_nocase(name, STR("none")))
        *out = MAILAUTH_POLICY_NONE;
    else if (str_equal_nocase(name, STR("quarantine")))
        *out = MAILAUTH_POLICY_QUARANTINE;
    else if (str_equal_nocase(name, STR("reject")))
        *out = MAILAUTH_POLICY_REJECT;
    else
        return false;
    return true;
}

/* rua=: somebody wants reports. */
static bool has_report_address(const struct mailauth_tags *tags)
{
    struct str rest = mailauth_tag(tags, STR("rua")), address;

    while (str_split(&rest, ',', &address))
        if (str_index(str_trim(address), ':') > 0)
            return true;
    return false;
}

/* p=, sp= and np=. False: one of them is nothing that we know. */
static bool parse_policies(const struct mailauth_tags *tags, struct mailauth_dmarc_record *out)
{
    struct str subdomains = mailauth_tag(tags, STR("sp"));
    struct str missing = mailauth_tag(tags, STR("np"));

    if (!policy_by_name(mailauth_tag(tags, STR("p")), &out->policy))
        return false;
    out->subdomains = out->policy;
    if (subdomains.ptr != NULL && !policy_by_name(subdomains, &out->subdomains))
        return false;
    out->missing_domains = out->subdomains;
    out->has_missing_domains = missing.ptr != NULL;
    return missing.ptr == NULL || policy_by_name(missing, &out->missing_domains);
}

static bool is_word(const struct mailauth_tags *tags, struct str name, struct str word)
{
    return str_equal_nocase(mailauth_tag(tags, name), word);
}

enum mailauth_dmarc_form mailauth_dmarc_parse(struct str text, struct mailauth_dmarc_record *out)
{
    struct mailauth_tags tags;
    uint32_t percent;

    *out = (struct mailauth_dmarc_record){.percent = 100};
    /* A version is the first tag, or this is something else (RFC 7489 §6.3). */
    if (!str_starts_with(text, STR("v")))
        return MAILAUTH_DMARC_NOT_ONE;
    if (!mailauth_tags_parse(text, true, &tags)) {
        tags.count = tags.count > 0 ? 1 : 0;
        return tags.count > 0 && str_equal(tags.tags[0].value, STR("DMARC1"))
                   ? MAILAUTH_DMARC_INVALID
                   : MAILAUTH_DMARC_NOT_ONE;
    }
    if (!str_equal(tags.tags[0].name, STR("v")) || !str_equal(tags.tags[0].value, STR("DMARC1")))
        return MAILAUTH_DMARC_NOT_ONE;
    if (parse_u32(mailauth_tag(&tags, STR("pct")), &percent) && percent <= 100)
        out->percent = percent;
    out->is_dkim_strict = is_word(&tags, STR("adkim"), STR("s"));
    out->is_spf_strict = is_word(&tags, STR("aspf"), STR("s"));
    out->is_testing = is_word(&tags, STR("t"), STR("y"));
    out->is_suffix = is_word(&tags, STR("psd"), STR("y"));
    if (parse_policies(&tags, out))
        return MAILAUTH_DMARC_VALID;
    /* Reports are wanted, so the domain takes part (RFC 7489 §6.6.3 step 6). */
    out->policy = out->subdomains = out->missing_domains = MAILAUTH_POLICY_NONE;
    return has_report_address(&tags) ? MAILAUTH_DMARC_VALID : MAILAUTH_DMARC_INVALID;
}

/* PASS: a record; NONE: nobody publishes one here; NEUTRAL: several, which count as none at all and
 * end the search; PERMERROR; TEMPERROR. */
static enum mailauth_result find_at(struct task *task, struct mailauth_lookup *lookup,
                                    struct str domain, struct mailauth_dmarc_record *out)
{
    struct str name = arena_printf(&task->arena, "_dmarc.%.*s", STR_ARG(domain));
    struct dns_answer answer = {.status = DNS_NO_NAME};
    enum mailauth_dmarc_form form = MAILAUTH_DMARC_NOT_ONE;
    size_t found = 0;

    if (name.len <= MAILAUTH_DOMAIN_MAX)
        mailauth_lookup_ask(lookup, task, name, DNS_TYPE_TXT, &answer);
    if (answer.status == DNS_FAILED)
        return MAILAUTH_TEMPERROR;
    for (size_t i = 0; answer.status == DNS_OK && i < answer.count; i++) {
        struct mailauth_dmarc_record record;
        enum mailauth_dmarc_form this_form = mailauth_dmarc_parse(answer.records[i].data, &record);

        if (this_form == MAILAUTH_DMARC_NOT_ONE)
            continue;
        form = this_form;
        *out = record;
        found++;
    }
    if (found != 1)
        return found == 0 ? MAILAUTH_NONE : MAILAUTH_NEUTRAL;
    return form == MAILAUTH_DMARC_VALID ? MAILAUTH_PASS : MAILAUTH_PERMERROR;
}

/* As find_at, for the author; *out_is_above: the record is of a domain above his. */
static enum mailauth_result find(struct task *task, struct mailauth_lookup *lookup,
                                 struct str author, struct mailauth_dmarc_record *out,
                                 bool *out_is_above)
{
    struct str organization = mailauth_domain_organization(author);
    enum mailauth_result result = find_at(task, lookup, author, out);
    ptrdiff_t dot = str_index(organization, '.');

    *out_is_above = false;
    if (result != MAILAUTH_NONE)
        return result;
    *out_is_above = true;
    if (organization.len != author.len) {
        result = find_at(task, lookup, organization, out);
        if (result != MAILAUTH_NONE)
            return result;
    }
    if (dot < 0)
        return MAILAUTH_NONE;
    result = find_at(task, lookup, str_from(organization, (size_t)dot + 1), out);
    return result == MAILAUTH_PASS && out->is_suffix ? MAILAUTH_PASS : MAILAUTH_NONE;
}

static bool is_aligned(struct str author, const struct mailauth_identity *identity,
                       const struct mailauth_dmarc_record *record)
{
    bool is_strict = identity->is_spf ? record->is_spf_strict : record->is_dkim_strict;

    if (identity->domain.len == 0)
        return false;
    if (is_strict)
        return str_equal(identity->domain, author);
    return str_equal(mailauth_domain_organization(identity->domain),
                     mailauth_domain_organization(author));
}

/* RFC 9989 §3.2 (there "non-existent"): the DNS says that there is no such name. */
static bool is_missing(struct task *task, struct mailauth_lookup *lookup, struct str domain)
{
    struct dns_answer answer;

    mailauth_lookup_ask(lookup, task, domain, DNS_TYPE_A, &answer);
    return answer.status == DNS_NO_NAME;
}

static enum mailauth_policy one_lower(enum mailauth_policy policy)
{
    return policy == MAILAUTH_POLICY_REJECT ? MAILAUTH_POLICY_QUARANTINE : MAILAUTH_POLICY_NONE;
}

/* What is to be done: what is left out by pct=, or only tried, gets the next lower policy (§6.6.4).
 */
static enum mailauth_policy policy_for(struct task *task, struct mailauth_lookup *lookup,
                                       const struct mailauth_dmarc_request *request,
                                       const struct mailauth_dmarc_record *record, bool is_above)
{
    enum mailauth_policy policy = is_above ? record->subdomains : record->policy;

    if (is_above && record->has_missing_domains && is_missing(task, lookup, request->author))
        policy = record->missing_domains;
    if (record->is_testing || request->sample >= record->percent)
        policy = one_lower(policy);
    return policy;
}

enum mailauth_result mailauth_dmarc_check(struct task *task, struct mailauth_lookup *lookup,
                                          const struct mailauth_dmarc_request *request,
                                          enum mailauth_policy *out_policy)
{
    struct mailauth_dmarc_record record = {0};
    bool is_above, is_unknown = false;
    enum mailauth_result found = find(task, lookup, request->author, &record, &is_above);

    *out_policy = found == MAILAUTH_TEMPERROR ? MAILAUTH_POLICY_UNKNOWN : MAILAUTH_POLICY_NONE;
    if (found != MAILAUTH_PASS)
        return found == MAILAUTH_NEUTRAL ? MAILAUTH_NONE : found;
    *out_policy = policy_for(task, lookup, request, &record, is_above);
    for (size_t i = 0; i < request->identity_count; i++) {
        const struct mailauth_identity *identity = &request->identities[i];

        if (!is_aligned(request->author, identity, &record))
            continue;
        if (identity->result == MAILAUTH_PASS)
            return MAILAUTH_PASS;
        is_unknown = is_unknown || identity->result == MAILAUTH_TEMPERROR;
    }
    return is_unknown ? MAILAUTH_TEMPERROR : MAILAUTH_FAIL;
}
