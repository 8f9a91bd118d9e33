/*
 * The chain. Every seal signs what the one before signed and a little more: the hash goes on from
 * seal to seal, so that a chain of fifty is not hashed fifty times.
 */
#include "mailauth/arc.h"

#include "mailauth/domain.h"
#include "mailauth/tags.h"
#include "message/mime.h"

static void refuse(struct mailauth_arc *arc, const char *reason)
{
    if (arc->result != MAILAUTH_FAIL) {
        arc->result = MAILAUTH_FAIL;
        arc->reason = reason;
    }
}

/* 1 … 50 in one or two digits, else 0. */
static uint32_t parse_instance(struct str text)
{
    uint32_t instance;

    if (text.len > 2 || !parse_u32(text, &instance) || instance > MAILAUTH_ARC_SETS_MAX)
        return 0;
    return instance;
}

/* instance = [CFWS] "i" [CFWS] "=" [CFWS] 1*2DIGIT [CFWS] ";" at the front (§4.1.1) */
static uint32_t results_instance(struct str value)
{
    size_t i = 0, start;
    uint32_t instance;

    mime_skip_cfws(value, &i);
    if (i >= value.len || value.ptr[i] != 'i')
        return 0;
    i++;
    mime_skip_cfws(value, &i);
    if (i >= value.len || value.ptr[i] != '=')
        return 0;
    i++;
    mime_skip_cfws(value, &i);
    start = i;
    while (i < value.len && value.ptr[i] >= '0' && value.ptr[i] <= '9')
        i++;
    instance = parse_instance(str_make(value.ptr + start, i - start));
    mime_skip_cfws(value, &i);
    return i < value.len && value.ptr[i] == ';' ? instance : 0;
}

static uint32_t tags_instance(struct str value)
{
    struct mailauth_tags tags;

    return mailauth_tags_parse(value, false, &tags) ? parse_instance(mailauth_tag(&tags, STR("i")))
                                                    : 0;
}

/* Puts the fields of one name into their sets; a place that is taken, or none, ends the chain. */
static void collect(const struct mailauth_fields *fields, struct str name,
                    uint32_t (*instance_of)(struct str value),
                    const struct header_field **(*place)(struct mailauth_arc_set *set),
                    struct arena *arena, struct mailauth_arc *arc)
{
    const struct mailauth_field *field;
    struct mailauth_taker taker;

    mailauth_taker_init(arena, fields, &taker);
    while ((field = mailauth_take(&taker, name)) != NULL) {
        uint32_t instance = instance_of(field->text.value);
        const struct header_field **at;

        if (instance == 0) {
            refuse(arc, "a field without its instance");
            return;
        }
        at = place(&arc->sets[instance - 1]);
        if (*at != NULL) {
            refuse(arc, "an instance twice");
            return;
        }
        *at = &field->text;
        if (instance > arc->count)
            arc->count = instance;
    }
}

static const struct header_field **results_place(struct mailauth_arc_set *set)
{
    return &set->results;
}

static const struct header_field **signature_place(struct mailauth_arc_set *set)
{
    return &set->message_signature;
}

static const struct header_field **seal_place(struct mailauth_arc_set *set)
{
    return &set->seal;
}

/* Each seal says of the chain before it what must be so: none for the first, pass for the others.
 */
static void check_states(struct mailauth_arc *arc)
{
    for (size_t i = 0; i < arc->count && arc->result == MAILAUTH_NONE; i++) {
        struct str wanted = i == 0 ? STR("none") : STR("pass");
        struct mailauth_tags tags;

        if (!mailauth_tags_parse(arc->sets[i].seal->value, false, &tags) ||
            !str_equal_nocase(mailauth_tag(&tags, STR("cv")), wanted))
            refuse(arc, "broken before");
        else if (mailauth_tag(&tags, STR("h")).ptr != NULL)
            refuse(arc, "a seal with h="); /* §4.1.3 */
    }
}

void mailauth_arc_read(struct arena *arena, const struct mailauth_fields *fields, int64_t now_ms,
                       struct mailauth_bodies *bodies, struct mailauth_arc *out)
{
    *out = (struct mailauth_arc){.result = MAILAUTH_NONE};
    collect(fields, STR("ARC-Authentication-Results"), results_instance, results_place, arena, out);
    collect(fields, STR("ARC-Message-Signature"), tags_instance, signature_place, arena, out);
    collect(fields, STR("ARC-Seal"), tags_instance, seal_place, arena, out);
    if (fields->is_too_many && out->count > 0)
        refuse(out, "too many header fields");
    for (size_t i = 0; i < out->count; i++)
        if (out->sets[i].results == NULL || out->sets[i].message_signature == NULL ||
            out->sets[i].seal == NULL)
            refuse(out, "a set that is not whole");
    check_states(out);
    if (out->result != MAILAUTH_NONE || out->count == 0)
        return;
    mailauth_dkim_parse(arena, out->sets[out->count - 1].message_signature, MAILAUTH_FORM_ARC,
                        now_ms, bodies, &out->message_signature);
}

/* What a seal has to say, and what it signs. */
struct seal {
    struct str domain, selector; /* normal */
    enum mailauth_key_kind kind;
    struct str signature;
    unsigned char digest[MAILAUTH_DIGEST_BYTES];
};

static bool seal_parse(struct arena *arena, struct str value, struct seal *out)
{
    struct mailauth_tags tags;
    struct str algorithm, made;
    uint64_t made_s;

    if (!mailauth_tags_parse(value, false, &tags))
        return false;
    algorithm = mailauth_tag(&tags, STR("a"));
    made = mailauth_tag(&tags, STR("t"));
    out->kind = MAILAUTH_KEY_RSA;
    if (str_equal_nocase(algorithm, STR("ed25519-sha256")))
        out->kind = MAILAUTH_KEY_ED25519;
    else if (!str_equal_nocase(algorithm, STR("rsa-sha256")))
        return false;
    return (made.ptr == NULL || parse_u64(made, &made_s)) &&
           mailauth_domain_normal(arena, mailauth_tag(&tags, STR("d")), &out->domain) &&
           mailauth_domain_normal(arena, mailauth_tag(&tags, STR("s")), &out->selector) &&
           mailauth_base64(arena, mailauth_tag(&tags, STR("b")), &out->signature) &&
           out->signature.len > 0;
}

/* The hashes that the seals sign, one after the other (§5.1.1): always relaxed. */
static bool hash_seals(struct arena *arena, const struct mailauth_arc *arc, struct seal *seals)
{
    CLEANUP(mailauth_digest_free) EVP_MD_CTX *digest = mailauth_digest_new();

    for (size_t i = 0; i < arc->count; i++) {
        const struct mailauth_arc_set *set = &arc->sets[i];
        EVP_MD_CTX *end;

        if (!seal_parse(arena, set->seal->value, &seals[i]))
            return false;
        mailauth_canon_field(digest, MAILAUTH_RELAXED, set->results);
        mailauth_canon_field(digest, MAILAUTH_RELAXED, set->message_signature);
        end = mailauth_digest_copy(digest);
        mailauth_canon_signature(end, MAILAUTH_RELAXED, set->seal);
        mailauth_digest_end(&end, seals[i].digest);
        mailauth_canon_field(digest, MAILAUTH_RELAXED, set->seal);
    }
    return true;
}

void mailauth_arc_verify(struct task *task, struct mailauth_lookup *lookup,
                         const struct mailauth_fields *fields, const struct mailauth_bodies *bodies,
                         struct mailauth_arc *arc)
{
    struct seal *seals;

    if (arc->result != MAILAUTH_NONE || arc->count == 0)
        return;
    mailauth_dkim_verify(task, lookup, fields, bodies, &arc->message_signature);
    if (arc->message_signature.result != MAILAUTH_PASS) {
        refuse(arc, "the message was changed since");
        return;
    }
    seals = ARENA_ARRAY(&task->arena, struct seal, arc->count);
    if (!hash_seals(&task->arena, arc, seals)) {
        refuse(arc, "a seal that does not read");
        return;
    }
    for (size_t i = arc->count; i > 0; i--) {
        const char *reason;
        struct seal *seal = &seals[i - 1];

        if (mailauth_key_check(task, lookup, seal->domain, seal->selector, seal->kind, false,
                               seal->digest, seal->signature, &reason) != MAILAUTH_PASS) {
            refuse(arc, "a seal did not verify");
            return;
        }
    }
    arc->result = MAILAUTH_PASS;
    arc->domain = seals[arc->count - 1].domain;
}
