/* Addresses to mailboxes. */
#include "account/resolve.h"

/* ERR_NOT_FOUND is an answer here, not a failure. */
static enum err find(struct account_database *database, struct task *task, int64_t domain,
                     struct str local, bool *out_is_found, struct account_alias *out_alias)
{
    enum err err = account_alias_find(database, task, domain, local, out_alias);

    *out_is_found = err == ERR_OK;
    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
        err = ERR_OK;
    }
    return err;
}

enum err account_resolve_login(struct account_database *database, struct task *task,
                               const struct account_address *address,
                               enum account_match *out_match, struct account_alias *out_alias)
{
    struct account_alias alias;
    int64_t domain;
    bool is_whole = false, is_base = false;

    /* All three look-ups are made in any case: how long it takes tells nobody which one failed. */
    TRY(account_domain_row(database, task, address->domain, &domain));
    TRY(find(database, task, domain, address->local, &is_whole, out_alias));
    TRY(find(database, task, domain, address->base, &is_base, &alias));
    if (domain == 0)
        *out_match = ACCOUNT_MATCH_NOT_LOCAL;
    else if (is_whole)
        *out_match = ACCOUNT_MATCH_ALIAS;
    else if (is_base)
        *out_match = ACCOUNT_MATCH_DETAIL;
    else
        *out_match = ACCOUNT_MATCH_NONE;
    if (*out_match == ACCOUNT_MATCH_DETAIL)
        *out_alias = alias;
    return ERR_OK;
}

enum err account_resolve(struct account_database *database, struct task *task,
                         const struct account_address *address, enum account_match *out_match,
                         struct account_alias *out_alias)
{
    bool is_found = false;
    int64_t domain;

    TRY(account_domain_row(database, task, address->domain, &domain));
    if (domain == 0) {
        *out_match = ACCOUNT_MATCH_NOT_LOCAL;
        return ERR_OK;
    }
    *out_match = ACCOUNT_MATCH_ALIAS;
    TRY(find(database, task, domain, address->local, &is_found, out_alias));
    if (!is_found && address->base.len < address->local.len) {
        *out_match = ACCOUNT_MATCH_DETAIL;
        TRY(find(database, task, domain, address->base, &is_found, out_alias));
    }
    if (!is_found) {
        *out_match = ACCOUNT_MATCH_CATCH_ALL;
        TRY(find(database, task, domain, ACCOUNT_CATCH_ALL, &is_found, out_alias));
    }
    if (!is_found)
        *out_match = ACCOUNT_MATCH_NONE;
    return ERR_OK;
}

/* What a pool's quota leaves a mailbox that holds `own` of the `used`. */
static uint64_t share(uint64_t quota, uint64_t used, uint64_t own)
{
    uint64_t others = used > own ? used - own : 0;

    if (quota == ACCOUNT_UNLIMITED)
        return ACCOUNT_UNLIMITED;
    return quota > others ? quota - others : 0;
}

uint64_t account_mailbox_limit(const struct account_mailbox *mailbox)
{
    uint64_t own = mailbox->mail_bytes + mailbox->drop_bytes;
    uint64_t limit = mailbox->quota_bytes;
    uint64_t of_user = share(mailbox->user_quota_bytes, mailbox->user_used_bytes, own);
    uint64_t of_domain = share(mailbox->domain_quota_bytes, mailbox->domain_used_bytes, own);

    if (of_user < limit)
        limit = of_user;
    return of_domain < limit ? of_domain : limit;
}

enum err account_recipient(struct account_database *database, struct task *task,
                           struct str address, uint64_t size_bytes,
                           enum account_recipient *out_verdict, struct id *out_mailbox,
                           struct str *out_detail)
{
    struct account_address parsed;
    struct account_alias alias;
    struct account_mailbox mailbox;
    enum account_match match;
    uint64_t limit, used;

    if (account_address_parse(task, address, &parsed) != ERR_OK) {
        task_forgive(task);
        *out_verdict = ACCOUNT_RECIPIENT_NOT_LOCAL;
        return ERR_OK;
    }
    TRY(account_resolve(database, task, &parsed, &match, &alias));
    switch (match) {
    case ACCOUNT_MATCH_NONE:
        *out_verdict = ACCOUNT_RECIPIENT_UNKNOWN;
        return ERR_OK;
    case ACCOUNT_MATCH_NOT_LOCAL:
        *out_verdict = ACCOUNT_RECIPIENT_NOT_LOCAL;
        return ERR_OK;
    case ACCOUNT_MATCH_ALIAS:
    case ACCOUNT_MATCH_DETAIL:
    case ACCOUNT_MATCH_CATCH_ALL:
        break;
    }
    *out_mailbox = alias.mailbox_id;
    *out_detail = match == ACCOUNT_MATCH_DETAIL ? parsed.detail : STR("");
    if (!alias.is_enabled) {
        *out_verdict = ACCOUNT_RECIPIENT_DISABLED;
        return ERR_OK;
    }
    TRY(account_mailbox_at(database, task, alias.mailbox, &mailbox));
    limit = account_mailbox_limit(&mailbox);
    used = mailbox.mail_bytes + mailbox.drop_bytes;
    *out_verdict = ACCOUNT_RECIPIENT_OK;
    if (limit != ACCOUNT_UNLIMITED && (used >= limit || size_bytes > limit - used))
        *out_verdict = ACCOUNT_RECIPIENT_OVER_QUOTA;
    return ERR_OK;
}

enum err account_sender(struct account_database *database, struct task *task,
                        const struct id *mailbox, struct str address, bool *out_is_own)
{
    struct account_address parsed;
    struct account_alias alias = {0};
    enum account_match match;

    *out_is_own = false;
    if (account_address_parse(task, address, &parsed) != ERR_OK) {
        task_forgive(task);
        return ERR_OK;
    }
    TRY(account_resolve(database, task, &parsed, &match, &alias));
    *out_is_own = match >= ACCOUNT_MATCH_ALIAS && alias.is_enabled &&
                  id_equal(&alias.mailbox_id, mailbox);
    return ERR_OK;
}
