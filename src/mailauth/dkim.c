/*
 * One signature. Where RFC 6376 leaves open how a refusal is called: what the signer did wrong, and
 * a key that is not there, is PERMERROR; what does not match, or is too old, is FAIL; what matches
 * but is not taken is POLICY.
 */
#include "mailauth/dkim.h"

#include "base/ascii.h"
#include "mailauth/domain.h"
#include "mailauth/tags.h"

#include <string.h>

static void refuse(struct mailauth_dkim *dkim, enum mailauth_result result, const char *reason)
{
    if (dkim->result == MAILAUTH_NONE) {
        dkim->result = result;
        dkim->reason = reason;
    }
}

static void parse_algorithm(struct mailauth_dkim *dkim, struct str value)
{
    if (str_equal_nocase(value, STR("rsa-sha256")))
        dkim->kind = MAILAUTH_KEY_RSA;
    else if (str_equal_nocase(value, STR("ed25519-sha256")))
        dkim->kind = MAILAUTH_KEY_ED25519;
    else if (str_equal_nocase(value, STR("rsa-sha1")))
        refuse(dkim, MAILAUTH_PERMERROR, "rsa-sha1 is not safe");
    else
        refuse(dkim, MAILAUTH_PERMERROR, "unknown algorithm");
}

static bool canon_by_name(struct str name, enum mailauth_canon *out)
{
    if (str_equal_nocase(name, STR("simple")))
        *out = MAILAUTH_SIMPLE;
    else if (str_equal_nocase(name, STR("relaxed")))
        *out = MAILAUTH_RELAXED;
    else
        return false;
    return true;
}

/* c = header [ "/" body ]; simple where nothing is said. */
static void parse_canon(struct mailauth_dkim *dkim, struct str value)
{
    struct str header;

    dkim->header_canon = dkim->body_canon = MAILAUTH_SIMPLE;
    if (value.ptr == NULL)
        return;
    if (!str_split(&value, '/', &header) || !canon_by_name(str_trim(header), &dkim->header_canon) ||
        (value.ptr != NULL && !canon_by_name(str_trim(value), &dkim->body_canon)))
        refuse(dkim, MAILAUTH_PERMERROR, "unknown canonicalization");
}

static void parse_domain(struct arena *arena, struct mailauth_dkim *dkim,
                         const struct mailauth_tags *tags)
{
    dkim->domain = mailauth_tag(tags, STR("d"));
    dkim->selector = mailauth_tag(tags, STR("s"));
    if (!mailauth_domain_normal(arena, dkim->domain, &dkim->normal_domain))
        refuse(dkim, MAILAUTH_PERMERROR, "not a domain");
    if (!mailauth_domain_normal(arena, dkim->selector, &dkim->normal_selector))
        refuse(dkim, MAILAUTH_PERMERROR, "not a selector");
}

/* i = [ local part ] "@" domain, which is that of d= or below it. */
static void parse_identity(struct arena *arena, struct mailauth_dkim *dkim, struct str value)
{
    ptrdiff_t at = str_last_index(value, '@');
    struct str domain;

    if (value.ptr == NULL)
        return;
    if (at < 0 ||
        !mailauth_domain_normal(arena, str_trim(str_from(value, (size_t)at + 1)), &domain) ||
        !mailauth_domain_is_within(domain, dkim->normal_domain))
        refuse(dkim, MAILAUTH_PERMERROR, "identity outside the domain");
    else
        dkim->is_subdomain_identity = domain.len != dkim->normal_domain.len;
}

static void parse_names(struct mailauth_dkim *dkim, struct str value)
{
    dkim->names = value;
    if (value.len == 0)
        refuse(dkim, MAILAUTH_PERMERROR, "no fields signed");
    else if (dkim->form == MAILAUTH_FORM_DKIM && !mailauth_list_has(value, ':', STR("From")))
        refuse(dkim, MAILAUTH_PERMERROR, "From is not signed");
    else if (dkim->form == MAILAUTH_FORM_ARC && mailauth_list_has(value, ':', STR("ARC-Seal")))
        refuse(dkim, MAILAUTH_PERMERROR, "a seal is signed"); /* RFC 8617 §4.1.2 */
}

static void parse_times(struct mailauth_dkim *dkim, struct str made, struct str expires,
                        int64_t now_ms)
{
    int64_t made_s = 0, expires_s = 0;

    if ((made.ptr != NULL && (!parse_i64(made, &made_s) || made_s < 0)) ||
        (expires.ptr != NULL && (!parse_i64(expires, &expires_s) || expires_s < 0)))
        refuse(dkim, MAILAUTH_PERMERROR, "not a time");
    else if (made.ptr != NULL && expires.ptr != NULL && expires_s < made_s)
        refuse(dkim, MAILAUTH_PERMERROR, "expires before it was made");
    else if (expires.ptr != NULL && expires_s < now_ms / 1000)
        refuse(dkim, MAILAUTH_FAIL, "signature expired");
}

/* More than 64 bits of length are beyond any body. */
static void parse_limit(struct mailauth_dkim *dkim, struct str value)
{
    if (value.ptr == NULL)
        return;
    dkim->has_limit = true;
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_digit(value.ptr[i]))
            value.len = 0;
    if (value.len == 0)
        refuse(dkim, MAILAUTH_PERMERROR, "not a length");
    else if (!parse_u64(value, &dkim->limit))
        dkim->limit = UINT64_MAX;
}

static void parse_tags(struct arena *arena, struct mailauth_dkim *dkim,
                       const struct mailauth_tags *tags, int64_t now_ms)
{
    struct str query = mailauth_tag(tags, STR("q"));

    if (dkim->form == MAILAUTH_FORM_DKIM && !str_equal(mailauth_tag(tags, STR("v")), STR("1")))
        refuse(dkim, MAILAUTH_PERMERROR, "unknown version");
    parse_domain(arena, dkim, tags);
    parse_algorithm(dkim, mailauth_tag(tags, STR("a")));
    parse_canon(dkim, mailauth_tag(tags, STR("c")));
    parse_names(dkim, mailauth_tag(tags, STR("h")));
    if (dkim->form == MAILAUTH_FORM_DKIM && dkim->normal_domain.len > 0)
        parse_identity(arena, dkim, mailauth_tag(tags, STR("i")));
    if (query.ptr != NULL && !mailauth_list_has(query, ':', STR("dns/txt")))
        refuse(dkim, MAILAUTH_PERMERROR, "unknown query method");
    if (!mailauth_base64(arena, mailauth_tag(tags, STR("b")), &dkim->signature) ||
        dkim->signature.len == 0)
        refuse(dkim, MAILAUTH_PERMERROR, "not base64");
    if (!mailauth_base64(arena, mailauth_tag(tags, STR("bh")), &dkim->body_hash) ||
        dkim->body_hash.len == 0)
        refuse(dkim, MAILAUTH_PERMERROR, "no body hash");
    parse_limit(dkim, mailauth_tag(tags, STR("l")));
    parse_times(dkim, mailauth_tag(tags, STR("t")), mailauth_tag(tags, STR("x")), now_ms);
}

void mailauth_dkim_parse(struct arena *arena, const struct header_field *field,
                         enum mailauth_dkim_form form, int64_t now_ms,
                         struct mailauth_bodies *bodies, struct mailauth_dkim *out)
{
    struct mailauth_tags tags;
    struct mailauth_body_hash *hash;

    *out = (struct mailauth_dkim){.field = field, .form = form, .result = MAILAUTH_NONE};
    if (mailauth_tags_parse(field->value, false, &tags))
        parse_tags(arena, out, &tags, now_ms);
    else
        refuse(out, MAILAUTH_PERMERROR, "not a list of tags");
    if (out->result != MAILAUTH_NONE)
        return;
    hash = &bodies->hashes[out->body_canon];
    bodies->is_wanted[out->body_canon] = true;
    if (!out->has_limit)
        return;
    if (hash->part_count == MAILAUTH_BODY_LIMITS_MAX) {
        refuse(out, MAILAUTH_POLICY, "too many lengths");
        return;
    }
    out->part = hash->part_count++;
    hash->parts[out->part].limit = out->limit;
}

void mailauth_bodies_hash(struct mailauth_bodies *bodies, struct str body)
{
    for (unsigned canon = 0; canon < MAILAUTH_CANON_COUNT; canon++)
        if (bodies->is_wanted[canon])
            mailauth_canon_body((enum mailauth_canon)canon, body, &bodies->hashes[canon]);
}

static bool is_body_good(const struct mailauth_dkim *dkim, const struct mailauth_bodies *bodies)
{
    const struct mailauth_body_hash *hash = &bodies->hashes[dkim->body_canon];
    const unsigned char *digest = hash->whole;

    if (dkim->has_limit) {
        if (!hash->parts[dkim->part].is_there)
            return false;
        digest = hash->parts[dkim->part].digest;
    }
    return str_equal(dkim->body_hash, str_make(digest, MAILAUTH_DIGEST_BYTES));
}

/* The fields that h= names, then the signature's own. */
static void hash_header(struct arena *arena, const struct mailauth_fields *fields,
                        const struct mailauth_dkim *dkim,
                        unsigned char out[static MAILAUTH_DIGEST_BYTES])
{
    EVP_MD_CTX *digest = mailauth_digest_new();
    struct mailauth_taker taker;
    struct str rest = dkim->names, name;

    mailauth_taker_init(arena, fields, &taker);
    while (str_split(&rest, ':', &name)) {
        const struct mailauth_field *field = mailauth_take(&taker, str_trim(name));

        if (field != NULL)
            mailauth_canon_field(digest, dkim->header_canon, &field->text);
    }
    mailauth_canon_signature(digest, dkim->header_canon, dkim->field);
    mailauth_digest_end(&digest, out);
}

void mailauth_dkim_verify(struct task *task, struct mailauth_lookup *lookup,
                          const struct mailauth_fields *fields,
                          const struct mailauth_bodies *bodies, struct mailauth_dkim *dkim)
{
    unsigned char digest[MAILAUTH_DIGEST_BYTES];

    if (dkim->result != MAILAUTH_NONE)
        return;
    if (fields->is_too_many) {
        refuse(dkim, MAILAUTH_PERMERROR, "too many header fields");
        return;
    }
    if (!is_body_good(dkim, bodies)) {
        refuse(dkim, MAILAUTH_FAIL, "body hash did not verify");
        return;
    }
    hash_header(&task->arena, fields, dkim, digest);
    dkim->result =
        mailauth_key_check(task, lookup, dkim->normal_domain, dkim->normal_selector, dkim->kind,
                           dkim->is_subdomain_identity, digest, dkim->signature, &dkim->reason);
    if (dkim->result != MAILAUTH_PASS)
        return;
    if (dkim->has_limit && dkim->limit < bodies->hashes[dkim->body_canon].len) {
        dkim->result = MAILAUTH_POLICY;
        dkim->reason = "l= leaves text unsigned";
    } else if (dkim->form == MAILAUTH_FORM_DKIM &&
               mailauth_fields_count(fields, STR("From")) != 1) {
        dkim->result = MAILAUTH_POLICY;
        dkim->reason = "not one From field";
    }
}
