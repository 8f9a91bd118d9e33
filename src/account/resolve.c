/* Addresses to aliases. */
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

/* The first pattern of the domain that matches `local`, or `base` where that is another. */
static enum err find_pattern(struct account_database *database, struct account_patterns *patterns,
                             struct task *task, const struct account_address *address,
                             struct account_resolution *out)
{
    struct account_alias *aliases;
    size_t count;

    TRY(account_alias_patterns(database, task, out->domain.row, &aliases, &count));
    for (size_t i = 0; i < count; i++) {
        const struct account_pattern *pattern;

        if (account_patterns_get(patterns, task, aliases[i].row, aliases[i].local, &pattern) !=
            ERR_OK) {
            task_forgive(task); /* it was checked when it was added: another PCRE2 since */
            continue;
        }
        if (account_pattern_match(pattern, address->local, &out->captures))
            out->match = ACCOUNT_MATCH_PATTERN;
        else if (address->base.len < address->local.len &&
                 account_pattern_match(pattern, address->base, &out->captures))
            out->match = ACCOUNT_MATCH_PATTERN_DETAIL;
        else
            continue;
        out->alias = aliases[i];
        out->group_count = account_pattern_groups(pattern);
        return ERR_OK;
    }
    return ERR_OK;
}

static bool is_postmaster(struct str base)
{
    return str_equal(base, STR("postmaster")) || str_equal(base, STR("abuse"));
}

/* An alias that nobody made; ERR_OK without one when there is no mailbox either. */
static enum err find_postmaster(struct account_database *database, struct task *task,
                                const struct account_address *address,
                                struct account_resolution *out)
{
    struct account_alias alias = {
        .domain = out->domain.row,
        .local = address->base,
        .domain_name = address->domain,
        .is_enabled = true,
        .is_storing = true,
        .files_junk = true,
    };
    enum err err = account_mailbox_of_postmaster(database, task, out->domain.row, &alias.mailbox,
                                                 &alias.mailbox_id);

    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
        return ERR_OK;
    }
    TRY(err);
    out->match = ACCOUNT_MATCH_POSTMASTER;
    out->alias = alias;
    return ERR_OK;
}

enum err account_resolve(struct account_database *database, struct account_patterns *patterns,
                         struct task *task, const struct account_address *address,
                         struct account_resolution *out)
{
    bool is_found = false;

    *out = (struct account_resolution){.match = ACCOUNT_MATCH_NONE};
    TRY(account_domain_facts(database, task, address->domain, &out->domain));
    if (out->domain.row == 0) {
        out->match = ACCOUNT_MATCH_NOT_LOCAL;
        return ERR_OK;
    }
    TRY(find(database, task, out->domain.row, address->local, &is_found, &out->alias));
    if (is_found) {
        out->match = ACCOUNT_MATCH_ALIAS;
        return ERR_OK;
    }
    if (address->base.len < address->local.len) {
        TRY(find(database, task, out->domain.row, address->base, &is_found, &out->alias));
        out->match = is_found ? ACCOUNT_MATCH_DETAIL : ACCOUNT_MATCH_NONE;
    }
    if (!is_found && out->domain.has_patterns) {
        TRY(find_pattern(database, patterns, task, address, out));
        is_found = out->match != ACCOUNT_MATCH_NONE;
    }
    if (!is_found) {
        TRY(find(database, task, out->domain.row, ACCOUNT_CATCH_ALL, &is_found, &out->alias));
        out->match = is_found ? ACCOUNT_MATCH_CATCH_ALL : ACCOUNT_MATCH_NONE;
    }
    if (!is_found && is_postmaster(address->base))
        return find_postmaster(database, task, address, out);
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

enum err account_sender(struct account_database *database, struct account_patterns *patterns,
                        struct task *task, const struct id *mailbox, struct str address,
                        bool *out_is_own)
{
    struct account_resolution resolution;
    struct account_address parsed;

    *out_is_own = false;
    if (account_address_parse(task, address, &parsed) != ERR_OK) {
        task_forgive(task);
        return ERR_OK;
    }
    TRY(account_resolve(database, patterns, task, &parsed, &resolution));
    *out_is_own = resolution.match >= ACCOUNT_MATCH_ALIAS && resolution.alias.is_enabled &&
                  resolution.alias.mailbox != 0 &&
                  id_equal(&resolution.alias.mailbox_id, mailbox);
    return ERR_OK;
}
