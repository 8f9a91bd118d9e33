/* Everything about one message, in the order in which one needs the other. */
#include "mailauth/mailauth.h"

#include "base/hash.h"
#include "mailauth/arc.h"
#include "mailauth/author.h"
#include "mailauth/dkim.h"
#include "mailauth/dmarc.h"
#include "mailauth/domain.h"
#include "mailauth/results.h"
#include "mailauth/spf.h"

enum { SAMPLE_BYTES = 4096, KEYS_EXPECTED_MAX = 4 };

struct examination {
    struct task *task;
    const struct mailauth_request *request;
    struct mailauth_lookup lookup;
    struct mailauth_fields fields;
    struct mailauth_bodies bodies;
    struct mailauth_dkim signatures[MAILAUTH_SIGNATURES_MAX];
    struct mailauth_arc arc;
    struct mailauth_authors authors;
    struct mailauth_dmarc_request dmarc;
};

static void examine_spf(struct examination *e, struct mailauth_verdict *out)
{
    struct mailauth_spf_request request = {
        .client = e->request->client,
        .helo = e->request->helo,
        .sender = e->request->sender,
        .receiver = e->request->authserv,
        .now_ms = e->request->now_ms,
    };
    struct mailauth_spf_result result;

    mailauth_spf_check(e->task, &e->lookup, &request, &result);
    out->spf = result.result;
    out->spf_domain = result.domain;
}

/* From the top: what was added last counts first. */
static void read_signatures(struct examination *e, struct mailauth_verdict *out)
{
    for (size_t i = 0; i < e->fields.count && out->signature_count < MAILAUTH_SIGNATURES_MAX; i++)
        if (str_equal_nocase(e->fields.fields[i].text.name, STR("DKIM-Signature")))
            mailauth_dkim_parse(&e->task->arena, &e->fields.fields[i].text, MAILAUTH_FORM_DKIM,
                                e->request->now_ms, &e->bodies,
                                &e->signatures[out->signature_count++]);
    mailauth_arc_read(&e->task->arena, &e->fields, e->request->now_ms, &e->bodies, &e->arc);
}

/*
 * What nearly every message needs is asked for at once, and answered while the body is hashed: the
 * sender's SPF record, the author's policy, the keys of the first signatures.
 */
static void expect_answers(struct examination *e, const struct mailauth_verdict *verdict)
{
    const struct mailauth_request *request = e->request;
    struct str sender = request->sender.len > 0 ? request->sender : request->helo;
    struct arena *arena = &e->task->arena;

    mailauth_lookup_expect(&e->lookup, e->task,
                           str_from(sender, (size_t)(str_last_index(sender, '@') + 1)),
                           DNS_TYPE_TXT);
    if (e->authors.is_one)
        mailauth_lookup_expect(
            &e->lookup, e->task,
            arena_printf(arena, "_dmarc.%.*s", STR_ARG(e->authors.domains[0])), DNS_TYPE_TXT);
    for (size_t i = 0; i < verdict->signature_count && i < KEYS_EXPECTED_MAX; i++) {
        const struct mailauth_dkim *dkim = &e->signatures[i];

        if (dkim->result == MAILAUTH_NONE)
            mailauth_lookup_expect(&e->lookup, e->task,
                                   arena_printf(arena, "%.*s._domainkey.%.*s",
                                                STR_ARG(dkim->normal_selector),
                                                STR_ARG(dkim->normal_domain)),
                                   DNS_TYPE_TXT);
    }
}

static void examine_signatures(struct examination *e, struct mailauth_verdict *out)
{
    for (size_t i = 0; i < out->signature_count; i++) {
        struct mailauth_dkim *dkim = &e->signatures[i];

        mailauth_dkim_verify(e->task, &e->lookup, &e->fields, &e->bodies, dkim);
        out->signatures[i] =
            (struct mailauth_signature){dkim->result, dkim->domain, dkim->selector, dkim->reason};
    }
    mailauth_arc_verify(e->task, &e->lookup, &e->fields, &e->bodies, &e->arc);
    out->arc = e->arc.result;
    out->arc_domain = e->arc.domain;
}

/* The same for the same message, and anything from 0 to 99: pct= needs no secret. */
static unsigned sample_of(struct str message)
{
    static const struct hash_key key = {{0x736d61, 0x706c65}};

    return (unsigned)(hash_text(&key, str_upto(message, SAMPLE_BYTES)) % 100);
}

static void gather_identities(struct examination *e, const struct mailauth_verdict *verdict)
{
    struct mailauth_dmarc_request *dmarc = &e->dmarc;
    struct str domain;

    dmarc->sample = sample_of(e->request->message);
    if (mailauth_domain_normal(&e->task->arena, verdict->spf_domain, &domain))
        dmarc->identities[dmarc->identity_count++] =
            (struct mailauth_identity){domain, verdict->spf, true};
    for (size_t i = 0; i < verdict->signature_count; i++)
        dmarc->identities[dmarc->identity_count++] = (struct mailauth_identity){
            e->signatures[i].normal_domain, e->signatures[i].result, false};
}

/*
 * Several authors are no pass, whoever of them is right: a reader may see any of them. But each has
 * a policy, and the strictest that is not met holds (RFC 7489 §6.6.1).
 */
static enum mailauth_result examine_several(struct examination *e,
                                            const struct mailauth_authors *authors,
                                            enum mailauth_policy *out_policy)
{
    enum mailauth_result worst = MAILAUTH_PERMERROR;

    *out_policy = MAILAUTH_POLICY_NONE;
    for (size_t i = 0; i < authors->count; i++) {
        enum mailauth_policy policy;
        enum mailauth_result result;

        e->dmarc.author = authors->domains[i];
        result = mailauth_dmarc_check(e->task, &e->lookup, &e->dmarc, &policy);
        if (result == MAILAUTH_FAIL) {
            if (worst != MAILAUTH_FAIL || policy > *out_policy)
                *out_policy = policy;
            worst = MAILAUTH_FAIL;
        } else if (result == MAILAUTH_TEMPERROR && worst != MAILAUTH_FAIL) {
            worst = MAILAUTH_TEMPERROR;
            *out_policy = MAILAUTH_POLICY_UNKNOWN;
        }
    }
    return worst;
}

static void examine_dmarc(struct examination *e, struct mailauth_verdict *out)
{
    gather_identities(e, out);
    if (e->authors.is_one) {
        out->author_domain = e->dmarc.author = e->authors.domains[0];
        out->dmarc = mailauth_dmarc_check(e->task, &e->lookup, &e->dmarc, &out->dmarc_published);
    } else if (e->authors.is_none && !e->fields.is_too_many) {
        out->dmarc = MAILAUTH_NONE;
    } else {
        out->dmarc = examine_several(e, &e->authors, &out->dmarc_published);
    }
    out->dmarc_policy = out->dmarc == MAILAUTH_FAIL ? out->dmarc_published : MAILAUTH_POLICY_NONE;
}

void mailauth_examine(struct task *task, const struct mailauth_request *request,
                      const struct dns_source *dns, struct mailauth_verdict *out)
{
    struct examination *e = ARENA_NEW(&task->arena, struct examination);

    e->task = task;
    e->request = request;
    e->lookup.dns = dns;
    *out = (struct mailauth_verdict){.spf = MAILAUTH_NONE};
    mailauth_fields_read(&task->arena, request->message, &e->fields);
    mailauth_results_find(&task->arena, &e->fields, request->authserv, out);
    if (request->client.len == 0)
        return;
    read_signatures(e, out);
    mailauth_authors_read(&task->arena, &e->fields, &e->authors);
    expect_answers(e, out);
    mailauth_bodies_hash(&e->bodies, e->fields.body);
    examine_spf(e, out);
    examine_signatures(e, out);
    examine_dmarc(e, out);
    out->field = mailauth_results_write(&task->arena, request, out);
}
