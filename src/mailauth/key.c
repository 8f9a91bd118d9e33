/* Public keys in the DNS. */
#include "mailauth/key.h"

#include "mailauth/domain.h"
#include "mailauth/tags.h"

enum { RECORDS_TRIED_MAX = 4 };

static bool is_for_email(struct str services)
{
    return services.ptr == NULL || mailauth_list_has(services, ':', STR("*")) ||
           mailauth_list_has(services, ':', STR("email"));
}

static bool is_of_kind(struct str name, enum mailauth_key_kind kind)
{
    if (kind == MAILAUTH_KEY_RSA)
        return name.ptr == NULL || str_equal_nocase(name, STR("rsa"));
    return str_equal_nocase(name, STR("ed25519"));
}

enum mailauth_key_problem mailauth_key_parse(struct arena *arena, struct str record,
                                             enum mailauth_key_kind kind, EVP_PKEY **out_key,
                                             bool *out_is_exact)
{
    struct mailauth_tags tags;
    struct str hashes, flags, data;

    if (!mailauth_tags_parse(record, false, &tags))
        return MAILAUTH_KEY_NOT_ONE;
    /* v=, when it is there, is the first tag (§3.6.1). */
    if (mailauth_tag(&tags, STR("v")).ptr != NULL &&
        (!str_equal(tags.tags[0].name, STR("v")) || !str_equal(tags.tags[0].value, STR("DKIM1"))))
        return MAILAUTH_KEY_NOT_ONE;
    data = mailauth_tag(&tags, STR("p"));
    if (data.ptr == NULL)
        return MAILAUTH_KEY_NOT_ONE;
    hashes = mailauth_tag(&tags, STR("h"));
    if (!is_of_kind(mailauth_tag(&tags, STR("k")), kind) ||
        !is_for_email(mailauth_tag(&tags, STR("s"))) ||
        (hashes.ptr != NULL && !mailauth_list_has(hashes, ':', STR("sha256"))))
        return MAILAUTH_KEY_OTHER;
    if (data.len == 0)
        return MAILAUTH_KEY_REVOKED;
    *out_key = mailauth_base64(arena, data, &data) ? mailauth_public_key(kind, data) : NULL;
    if (*out_key == NULL)
        return MAILAUTH_KEY_UNUSABLE;
    flags = mailauth_tag(&tags, STR("t"));
    *out_is_exact = flags.ptr != NULL && mailauth_list_has(flags, ':', STR("s"));
    return MAILAUTH_KEY_GOOD;
}

/* What one record says of the signature. */
static enum mailauth_result check_record(struct task *task, struct str record,
                                         enum mailauth_key_kind kind, bool is_subdomain,
                                         const unsigned char *digest, struct str signature,
                                         const char **out_reason)
{
    static const char *const problems[] = {
        [MAILAUTH_KEY_GOOD] = NULL,
        [MAILAUTH_KEY_NOT_ONE] = "no key",
        [MAILAUTH_KEY_REVOKED] = "key revoked",
        [MAILAUTH_KEY_OTHER] = "key for something else",
        [MAILAUTH_KEY_UNUSABLE] = "key unusable",
    };
    CLEANUP(mailauth_key_free) EVP_PKEY *key = NULL;
    bool is_exact = false;

    *out_reason = problems[mailauth_key_parse(&task->arena, record, kind, &key, &is_exact)];
    if (*out_reason != NULL)
        return MAILAUTH_PERMERROR;
    if (is_exact && is_subdomain) {
        *out_reason = "key not for subdomains";
        return MAILAUTH_PERMERROR;
    }
    if (!mailauth_signature_is_good(key, kind, digest, signature)) {
        *out_reason = "signature did not verify";
        return MAILAUTH_FAIL;
    }
    if (mailauth_key_is_short(key)) {
        *out_reason = "key too short";
        return MAILAUTH_POLICY;
    }
    return MAILAUTH_PASS;
}

/* Which result tells more, where several records disagree. */
static unsigned rank(enum mailauth_result result)
{
    return result == MAILAUTH_PASS     ? 3
           : result == MAILAUTH_POLICY ? 2
           : result == MAILAUTH_FAIL   ? 1
                                       : 0;
}

enum mailauth_result mailauth_key_check(struct task *task, struct mailauth_lookup *lookup,
                                        struct str domain, struct str selector,
                                        enum mailauth_key_kind kind, bool is_subdomain,
                                        const unsigned char digest[static MAILAUTH_DIGEST_BYTES],
                                        struct str signature, const char **out_reason)
{
    struct str name =
        arena_printf(&task->arena, "%.*s._domainkey.%.*s", STR_ARG(selector), STR_ARG(domain));
    enum mailauth_result best = MAILAUTH_PERMERROR;
    struct dns_answer answer = {.status = DNS_NO_NAME};

    *out_reason = "no key";
    if (name.len <= MAILAUTH_DOMAIN_MAX)
        mailauth_lookup_ask(lookup, task, name, DNS_TYPE_TXT, &answer);
    if (answer.status == DNS_FAILED) {
        *out_reason = "key not found now";
        return MAILAUTH_TEMPERROR;
    }
    if (answer.status != DNS_OK)
        return MAILAUTH_PERMERROR;
    for (size_t i = 0; i < answer.count && i < RECORDS_TRIED_MAX && best != MAILAUTH_PASS; i++) {
        const char *reason = NULL;
        enum mailauth_result result = check_record(task, answer.records[i].data, kind, is_subdomain,
                                                   digest, signature, &reason);

        if (i == 0 || rank(result) > rank(best)) {
            best = result;
            *out_reason = reason;
        }
    }
    return best;
}
