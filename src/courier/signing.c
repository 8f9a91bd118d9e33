#include "courier/signing.h"

#include "base/ascii.h"
#include "base/memory.h"
#include "courier/trace.h"
#include "mailauth/sign.h"

static const int64_t KEPT_FOR_MS = 5 * 60 * 1000;

struct key {
    char *selector;                /* own */
    struct mailauth_private *read; /* own; NULL: none */
};

struct domain {
    char *name; /* own; NULL: a free place */
    struct key keys[2];
    int64_t asked_ms;
};

struct signing {
    struct domain domains[SIGNING_DOMAINS_MAX];
};

struct signing *signing_new(void)
{
    return NEW(struct signing);
}

static void clear(struct domain *domain)
{
    mem_free(&domain->name);
    for (size_t i = 0; i < ARRAY_LEN(domain->keys); i++) {
        mem_free(&domain->keys[i].selector);
        mailauth_private_free(&domain->keys[i].read);
    }
}

void signing_forget(struct signing *signing)
{
    for (size_t i = 0; i < SIGNING_DOMAINS_MAX; i++)
        clear(&signing->domains[i]);
}

void signing_free(struct signing **signing)
{
    if (*signing != NULL)
        signing_forget(*signing);
    mem_free(signing);
}

static struct domain *find(struct signing *signing, struct str name)
{
    for (size_t i = 0; i < SIGNING_DOMAINS_MAX; i++) {
        struct domain *domain = &signing->domains[i];

        if (domain->name != NULL && str_equal_nocase(str_from_c(domain->name), name))
            return domain;
    }
    return NULL;
}

enum signing_state signing_look_up(struct signing *signing, struct str name, int64_t now_ms)
{
    const struct domain *domain = find(signing, name);

    if (name.len == 0)
        return SIGNING_NONE;
    if (domain == NULL || now_ms < domain->asked_ms || now_ms - domain->asked_ms > KEPT_FOR_MS)
        return SIGNING_UNKNOWN;
    return domain->keys[0].read == NULL && domain->keys[1].read == NULL ? SIGNING_NONE
                                                                        : SIGNING_READY;
}

static enum err key_of(struct task *task, struct str selector, struct str der, struct key *out)
{
    if (selector.len == 0 || der.len == 0)
        return ERR_OK;
    TRY(mailauth_private_read(task, der, &out->read));
    out->selector = mem_copy_text(selector.ptr, selector.len);
    return ERR_OK;
}

enum err signing_keep(struct signing *signing, struct task *task, struct str name,
                      const struct wire_signing_keys_reply *reply, int64_t now_ms)
{
    enum err err, other;

    struct domain *domain = find(signing, name);

    /* A free place, or that of the one asked about longest ago. */
    for (size_t i = 0; domain == NULL && i < SIGNING_DOMAINS_MAX; i++) {
        if (signing->domains[i].name == NULL)
            domain = &signing->domains[i];
    }
    if (domain == NULL) {
        domain = &signing->domains[0];
        for (size_t i = 1; i < SIGNING_DOMAINS_MAX; i++) {
            if (signing->domains[i].asked_ms < domain->asked_ms)
                domain = &signing->domains[i];
        }
    }
    clear(domain);
    domain->name = mem_copy_text(name.ptr, name.len);
    domain->asked_ms = now_ms;
    if (reply->status != WIRE_OK)
        return ERR_OK;
    err = key_of(task, reply->rsa_selector, reply->rsa_key, &domain->keys[0]);
    other = key_of(task, reply->ed25519_selector, reply->ed25519_key, &domain->keys[1]);
    return err != ERR_OK ? err : other;
}

enum err signing_sign(struct signing *signing, struct task *task, struct str name,
                      struct str message, int64_t now_ms, struct buf *out)
{
    const struct domain *domain = find(signing, name);
    struct mailauth_signer signers[ARRAY_LEN(domain->keys)];
    size_t count = 0;

    for (size_t i = 0; domain != NULL && i < ARRAY_LEN(domain->keys); i++) {
        const struct key *key = &domain->keys[i];

        if (key->read != NULL)
            signers[count++] = (struct mailauth_signer){.domain = str_from_c(domain->name),
                                                        .selector = str_from_c(key->selector),
                                                        .key = key->read};
    }
    return count == 0 ? ERR_OK : mailauth_sign(task, message, signers, count, now_ms, out);
}

/*
 * SMTP saw to it that From has addresses, and the sender may use them all (smtp/header.h): so the
 * last "@" outside of comments and quoted strings is enough to read the last one's domain.
 */
struct str signing_domain_of(struct task *task, struct str message)
{
    size_t start = 0, len = 0;
    bool is_quoted = false, is_reading = false;
    unsigned comments = 0;
    struct str from;

    if (!trace_field(message, STR("From"), &from))
        return STR("");
    for (size_t i = 0; i < from.len; i++) {
        char c = from.ptr[i];
        bool is_of_name = ascii_is_alnum(c) || ascii_is_8bit(c) || c == '-' || c == '.' || c == '_';

        if (is_quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                is_quoted = false;
        } else if (comments > 0 && c == '\\') {
            i++;
        } else if (c == '(') {
            comments++;
        } else if (c == ')' && comments > 0) {
            comments--;
        } else if (comments == 0 && c == '"') {
            is_quoted = true;
        } else if (comments == 0 && c == '@') {
            start = i + 1;
            len = 0;
            is_reading = true;
            continue;
        }
        if (is_reading && is_of_name && comments == 0 && !is_quoted)
            len++;
        else
            is_reading = false;
    }
    return arena_copy(&task->arena, str_upto(str_from(from, start), start == 0 ? 0 : len));
}
