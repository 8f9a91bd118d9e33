/* Keys that mail is signed with: for a new domain, for those that have none yet, and new ones. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

static enum err make_key(struct admin *admin, struct task *task,
                         const struct account_domain *domain,
                         enum account_key_algorithm algorithm, enum account_key_state state)
{
    CLEANUP(secret_free) struct secret *der = NULL;
    CLEANUP(buf_free) struct buf record;

    enum err err;

    buf_init(&record, SIZE_MAX);
    err = admin->services->make_key(admin->owner, task, algorithm, &der, &record);
    admin->is_key_awaited = err == ERR_BUSY;
    TRY(err);
    return account_signing_add(admin->signing, admin->database, task, domain, algorithm, state,
                               der, buf_str(&record));
}

enum err admin_make_keys(struct admin *admin, struct task *task,
                         const struct account_domain *domain, enum account_key_state state)
{
    TRY(make_key(admin, task, domain, ACCOUNT_KEY_RSA, state));
    return make_key(admin, task, domain, ACCOUNT_KEY_ED25519, state);
}

enum err admin_make_keys_where_none(struct admin *admin, struct task *task,
                                    const struct account_domain *domain)
{
    struct account_key *keys;
    size_t count;

    TRY(account_key_list(admin->database, task, domain->row, &keys, &count));
    if (count > 0)
        return ERR_OK;
    TRY(account_begin(admin->database, task));
    TRY(admin_make_keys(admin, task, domain, ACCOUNT_KEY_ACTIVE));
    return account_commit(admin->database, task);
}

static enum err make_missing(struct admin *admin, struct task *task, bool *out_was_one)
{
    enum err err;

    struct account_domain domain;
    struct str name;
    int64_t row;

    TRY(account_key_missing(admin->database, task, admin->keyless_row, &row, &name));
    *out_was_one = row != 0;
    if (row == 0)
        return ERR_OK;
    admin->keyless_row = row; /* one that fails is not tried again before the next start */
    TRY(account_domain_find(admin->database, task, name, &domain));
    err = admin_make_keys_where_none(admin, task, &domain);
    if (err == ERR_BUSY && admin->is_key_awaited) {
        admin->keyless_row = row - 1; /* its turn comes again */
        return ERR_OK;
    }
    return err;
}

bool admin_make_missing_key(struct admin *admin, int64_t now_ms)
{
    bool was_one = false;
    struct task task;
    enum err err;

    task_init(&task, now_ms);
    err = make_missing(admin, &task, &was_one);
    account_rollback(admin->database);
    if (err != ERR_OK)
        log_error(admin->log, "a domain has no key to sign with error=%s: %s", err_name(err),
                  task.words);
    task_done(&task);
    return was_one;
}

/* A domain's keys, and how many of them wait. */
struct keys {
    struct account_key *keys;
    size_t count, waiting;
};

static enum err list_keys(struct admin_request *request, int64_t domain, struct keys *out)
{
    out->waiting = 0;
    TRY(account_key_list(request->admin->database, &request->task, domain, &out->keys,
                         &out->count));
    for (size_t i = 0; i < out->count; i++)
        out->waiting += out->keys[i].state == ACCOUNT_KEY_WAITING;
    return ERR_OK;
}

enum err admin_domain_dkim_rotate(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_domain domain;
    struct keys keys;

    TRY(admin_find_domain(request, &domain));
    TRY(list_keys(request, domain.row, &keys));
    if (keys.waiting > 0) {
        admin_hint(request, "Sign with them with: sealpost domain dkim use %.*s",
                   STR_ARG(domain.name));
        return admin_refuse(request, ERR_EXISTS, "New keys of %.*s are waiting already.",
                            STR_ARG(domain.name));
    }
    TRY(account_begin(database, &request->task));
    for (size_t i = 0; i < keys.count; i++) {
        if (keys.keys[i].state == ACCOUNT_KEY_RETIRED)
            TRY(account_key_remove(database, &request->task, keys.keys[i].row));
    }
    TRY(admin_make_keys(request->admin, &request->task, &domain,
                        keys.count == 0 ? ACCOUNT_KEY_ACTIVE : ACCOUNT_KEY_WAITING));
    TRY(account_commit(database, &request->task));
    admin_say(request, "New keys of %.*s were made; they do not sign yet.", STR_ARG(domain.name));
    admin_hint(request,
               "Publish them (sealpost domain dns %.*s), wait until everybody can see them, then: "
               "sealpost domain dkim use %.*s",
               STR_ARG(domain.name), STR_ARG(domain.name));
    return ERR_OK;
}

enum err admin_domain_dkim_use(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_domain domain;
    struct keys keys;

    TRY(admin_find_domain(request, &domain));
    TRY(list_keys(request, domain.row, &keys));
    if (keys.waiting == 0) {
        admin_hint(request, "Make some with: sealpost domain dkim rotate %.*s",
                   STR_ARG(domain.name));
        return admin_refuse(request, ERR_NOT_FOUND, "No new keys of %.*s are waiting.",
                            STR_ARG(domain.name));
    }
    TRY(account_begin(database, &request->task));
    for (size_t i = 0; i < keys.count; i++) {
        if (keys.keys[i].state == ACCOUNT_KEY_RETIRED)
            continue;
        TRY(account_key_set_state(database, &request->task, keys.keys[i].row,
                                  keys.keys[i].state == ACCOUNT_KEY_WAITING
                                      ? ACCOUNT_KEY_ACTIVE
                                      : ACCOUNT_KEY_RETIRED));
    }
    TRY(account_commit(database, &request->task));
    admin_say(request, "Mail of %.*s is signed with the new keys.", STR_ARG(domain.name));
    admin_hint(request, "Leave the records of the old ones for a week: mail is still under way.");
    return ERR_OK;
}
