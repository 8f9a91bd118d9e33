/*
 * Removing users, domains and mailboxes with all that hangs on them. Aliases and slots go in the
 * caller's transaction; the mailboxes become `removing`, their rows go when their files are gone.
 */
#include "account/sqlite/driver.h"

/* Runs statements that take the same number, in order. */
static enum err run_all(struct account_database *database, struct task *task,
                        const char *const *statements, size_t count, int64_t value)
{
    for (size_t i = 0; i < count; i++)
        TRY(account_sqlite_run(database, task, statements[i], &value, 1));
    return ERR_OK;
}

enum err account_mailbox_retire(struct account_database *database, struct task *task, int64_t row,
                                int64_t backups_until_ms)
{
    static const char *const statements[] = {
        "DELETE FROM key_slots WHERE mailbox_id = ?1",
        "DELETE FROM known_addresses WHERE mailbox_id = ?1",
        "UPDATE users SET used_bytes = used_bytes - m.mail_bytes - m.drop_bytes"
        " FROM mailboxes m WHERE m.id = ?1 AND users.id = m.user_id",
        "UPDATE domains SET used_bytes = used_bytes - m.mail_bytes - m.drop_bytes"
        " FROM mailboxes m WHERE m.id = ?1 AND domains.id = m.domain_id",
        "UPDATE mailboxes SET state = 'removing', user_id = NULL, domain_id = NULL WHERE id = ?1",
    };

    TRY(account_purge_add(database, task, row, backups_until_ms));
    return run_all(database, task, statements, ARRAY_LEN(statements), row);
}

enum err account_mailbox_forget(struct account_database *database, struct task *task, int64_t row)
{
    /* One that was never finished, too: a process of it may have run. */
    TRY(account_purge_add(database, task, row, task->now_ms));
    return account_sqlite_run(database, task,
                              "DELETE FROM mailboxes WHERE id = ?1 AND state <> 'active'", &row,
                              1);
}

/* Takes one alias away, and its mailbox with it when no other alias is left. */
static enum err remove_alias(struct account_database *database, struct task *task, int64_t alias,
                             int64_t mailbox, int64_t backups_until_ms)
{
    uint64_t other = 0;

    TRY(account_alias_remove(database, task, alias));
    if (mailbox == 0)
        return ERR_OK;
    TRY(account_sqlite_number(database, task,
                              "SELECT id FROM aliases WHERE mailbox_id = ?1 LIMIT 1", mailbox,
                              &other));
    return other != 0 ? ERR_OK : account_mailbox_retire(database, task, mailbox, backups_until_ms);
}

/* The first alias of a domain or mailbox; *out_alias 0: it has none. `sql` takes its row. */
static enum err first_alias(struct account_database *database, struct task *task, const char *sql,
                            int64_t of, int64_t *out_alias, int64_t *out_mailbox)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task, sql, &statement));
    db_bind_int(statement, 1, of);
    TRY(db_step(database->db, task, statement, &has_row));
    *out_alias = has_row ? db_column_int(statement, 0) : 0;
    *out_mailbox = has_row ? db_column_int(statement, 1) : 0;
    return ERR_OK;
}

/* A domain that no alias is left of. */
static enum err remove_bare_domain(struct account_database *database, struct task *task,
                                   int64_t domain)
{
    static const char *const statements[] = {
        "UPDATE mailboxes SET domain_id = NULL WHERE domain_id = ?1",
        "DELETE FROM list_entries WHERE domain_id = ?1",
        "DELETE FROM dkim_keys WHERE domain_id = ?1",
        "DELETE FROM domains WHERE id = ?1",
    };

    return run_all(database, task, statements, ARRAY_LEN(statements), domain);
}

enum err account_domain_remove(struct account_database *database, struct task *task,
                               int64_t domain, size_t limit, int64_t backups_until_ms,
                               bool *out_is_done)
{
    *out_is_done = false;
    for (size_t i = 0; i < limit; i++) {
        int64_t alias, mailbox;

        TRY(first_alias(database, task,
                        "SELECT id, mailbox_id FROM aliases WHERE domain_id = ?1 LIMIT 1", domain,
                        &alias, &mailbox));
        if (alias == 0) {
            *out_is_done = true;
            return remove_bare_domain(database, task, domain);
        }
        TRY(remove_alias(database, task, alias, mailbox, backups_until_ms));
    }
    return ERR_OK;
}

/* Up to `limit` aliases of the user's mailboxes; *out_left is what remains of the limit. */
static enum err remove_mailboxes(struct account_database *database, struct task *task,
                                 int64_t user, size_t limit, int64_t backups_until_ms,
                                 size_t *out_left)
{
    while (limit > 0) {
        int64_t alias, mailbox;
        uint64_t row = 0;

        TRY(account_sqlite_number(database, task,
                                  "SELECT id FROM mailboxes WHERE user_id = ?1 LIMIT 1", user,
                                  &row));
        if (row == 0)
            break;
        limit--;
        TRY(first_alias(database, task,
                        "SELECT id, mailbox_id FROM aliases WHERE mailbox_id = ?1 LIMIT 1",
                        (int64_t)row, &alias, &mailbox));
        if (alias == 0)
            TRY(account_mailbox_retire(database, task, (int64_t)row, backups_until_ms));
        else
            TRY(remove_alias(database, task, alias, mailbox, backups_until_ms));
    }
    *out_left = limit;
    return ERR_OK;
}

enum err account_user_remove(struct account_database *database, struct task *task, int64_t user,
                             size_t limit, int64_t backups_until_ms, bool *out_is_done)
{
    size_t left;

    *out_is_done = false;
    TRY(remove_mailboxes(database, task, user, limit, backups_until_ms, &left));
    if (left > 0) {
        bool is_domain_gone;
        uint64_t domain = 0;

        TRY(account_sqlite_number(database, task,
                                  "SELECT id FROM domains WHERE user_id = ?1 LIMIT 1", user,
                                  &domain));
        if (domain != 0)
            return account_domain_remove(database, task, (int64_t)domain, left, backups_until_ms,
                                         &is_domain_gone);
        *out_is_done = true;
        return account_sqlite_run(database, task, "DELETE FROM users WHERE id = ?1", &user, 1);
    }
    return ERR_OK;
}
