#include "account/signing.h"

#include "account/address.h"
#include "base/clock.h"
#include "base/memory.h"
#include "secret/crypt.h"

#include <string.h>

enum { KEYS_A_DAY_MAX = 20 };

struct account_signing {
    struct secret *key; /* own */
};

struct account_signing *account_signing_new(const struct secret *host_key)
{
    struct account_signing *signing = NEW(struct account_signing);

    signing->key = crypt_derive(host_key, STR("dkim"), STR(""));
    return signing;
}

void account_signing_free(struct account_signing **signing)
{
    if (*signing == NULL)
        return;
    secret_free(&(*signing)->key);
    mem_free(signing);
}

struct str account_signing_selector(struct task *task, enum account_key_algorithm algorithm,
                                    unsigned number)
{
    char letter = algorithm == ACCOUNT_KEY_RSA ? 'r' : 'e';
    struct clock_date date;

    clock_split(task->now_ms, &date);
    if (number == 0)
        return arena_printf(&task->arena, "%c%04d%02d%02d", letter, date.year, date.month,
                            date.day);
    return arena_printf(&task->arena, "%c%04d%02d%02d-%u", letter, date.year, date.month, date.day,
                        number);
}

/* What the seal is bound to. */
static struct str place_of(struct task *task, struct str domain, struct str selector)
{
    return arena_printf(&task->arena, "%.*s._domainkey.%.*s", STR_ARG(selector), STR_ARG(domain));
}

static enum err free_selector(struct account_database *database, struct task *task, int64_t domain,
                              enum account_key_algorithm algorithm, struct str *out_selector)
{
    struct account_key *keys;
    size_t count;

    TRY(account_key_list(database, task, domain, &keys, &count));
    for (unsigned number = 0; number < KEYS_A_DAY_MAX; number++) {
        bool is_free = true;

        *out_selector = account_signing_selector(task, algorithm, number);
        for (size_t i = 0; i < count; i++)
            is_free = is_free && !str_equal(keys[i].selector, *out_selector);
        if (is_free)
            return ERR_OK;
    }
    return fail(task, ERR_LIMIT, "too many keys were made today");
}

enum err account_signing_add(const struct account_signing *signing,
                             struct account_database *database, struct task *task,
                             const struct account_domain *domain,
                             enum account_key_algorithm algorithm, enum account_key_state state,
                             const struct secret *der, struct str record)
{
    struct account_key key = {.algorithm = algorithm, .state = state, .record = record};
    CLEANUP(buf_free) struct buf sealed;

    buf_init(&sealed, SIZE_MAX);
    TRY(free_selector(database, task, domain->row, algorithm, &key.selector));
    TRY(crypt_seal(&sealed, secret_str(signing->key), place_of(task, domain->name, key.selector),
                   secret_str(der)));
    key.sealed = buf_str(&sealed);
    return account_key_add(database, task, domain->row, &key);
}

static enum err open_key(const struct account_signing *signing, struct task *task,
                         struct str domain, const struct account_key *key,
                         struct secret **out_der)
{
    CLEANUP(buf_free) struct buf der;

    buf_init(&der, SECRET_LEN_MAX);
    if (crypt_open(&der, secret_str(signing->key), place_of(task, domain, key->selector),
                   key->sealed) != ERR_OK ||
        der.len == 0)
        return fail(task, ERR_CORRUPT, "account database: a signing key does not open");
    *out_der = secret_copy(buf_str(&der));
    mem_wipe(der.ptr, der.len);
    return ERR_OK;
}

void account_signing_keys_done(struct account_signing_keys *keys)
{
    secret_free(&keys->rsa_key);
    secret_free(&keys->ed25519_key);
}

enum err account_signing_keys(const struct account_signing *signing,
                              struct account_database *database, struct task *task,
                              struct str domain, struct account_signing_keys *out)
{
    CLEANUP(account_signing_keys_done) struct account_signing_keys found = {.rsa_key = NULL};
    struct account_key *keys;
    struct str name;
    int64_t row;
    size_t count;

    if (account_domain_parse(task, domain, &name) != ERR_OK) {
        task_forgive(task);
        return fail(task, ERR_NOT_FOUND, "no such domain");
    }
    TRY(account_domain_row(database, task, name, &row));
    if (row == 0)
        return fail(task, ERR_NOT_FOUND, "no such domain");
    TRY(account_key_list(database, task, row, &keys, &count));
    for (size_t i = count; i-- > 0;) {
        bool is_rsa = keys[i].algorithm == ACCOUNT_KEY_RSA;
        struct secret **der = is_rsa ? &found.rsa_key : &found.ed25519_key;

        if (keys[i].state != ACCOUNT_KEY_ACTIVE || *der != NULL)
            continue;
        TRY(open_key(signing, task, name, &keys[i], der));
        *(is_rsa ? &found.rsa_selector : &found.ed25519_selector) = keys[i].selector;
    }
    *out = found;
    found = (struct account_signing_keys){.rsa_key = NULL};
    return ERR_OK;
}
