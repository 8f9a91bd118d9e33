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

enum err account_mailbox_retire(struct account_database *database, struct task *task, int64_t row)
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

    return run_all(database, task, statements, ARRAY_LEN(statements), row);
}

enum err account_mailbox_forget(struct account_database *database, struct task *task, int64_t row)
{
    return account_sqlite_run(database, task,
                              "DELETE FROM mailboxes WHERE id = ?1 AND state <> 'active'", &row,
                              1);
}

/* The next mailbox that is to be retired with `owner`; 0 when none is left. */
static enum err retire_each(struct account_database *database, struct task *task, const char *sql,
                            int64_t owner)
{
    for (;;) {
        uint64_t row = 0;

        TRY(account_sqlite_number(database, task, sql, owner, &row));
        if (row == 0)
            return ERR_OK;
        TRY(account_mailbox_retire(database, task, (int64_t)row));
    }
}

enum err account_domain_remove(struct account_database *database, struct task *task,
                               int64_t domain)
{
    /* A mailbox that only this domain's aliases name is either at home here or has lost its home
     * or was given an alias here later: the aliases say which, so they are asked first. */
    CLEANUP(db_release) sqlite3_stmt *orphans = NULL;
    struct arena *arena = &task->arena;
    int64_t *rows = NULL;
    size_t count = 0, room = 0;
    bool has_row = false;

    TRY(db_prepare(database->db, task,
                   "SELECT DISTINCT a.mailbox_id FROM aliases a WHERE a.domain_id = ?1"
                   " AND NOT EXISTS (SELECT 1 FROM aliases o WHERE o.mailbox_id = a.mailbox_id"
                   " AND o.domain_id <> ?1)",
                   &orphans));
    db_bind_int(orphans, 1, domain);
    for (;;) {
        TRY(db_step(database->db, task, orphans, &has_row));
        if (!has_row)
            break;
        if (count == room) {
            int64_t *grown = ARENA_ARRAY(arena, int64_t, room * 2 + 64);

            for (size_t i = 0; i < count; i++)
                grown[i] = rows[i];
            rows = grown;
            room = room * 2 + 64;
        }
        rows[count++] = db_column_int(orphans, 0);
    }
    TRY(account_sqlite_run(database, task, "DELETE FROM aliases WHERE domain_id = ?1", &domain,
                           1));
    for (size_t i = 0; i < count; i++)
        TRY(account_mailbox_retire(database, task, rows[i]));
    TRY(account_sqlite_run(database, task,
                           "UPDATE mailboxes SET domain_id = NULL WHERE domain_id = ?1", &domain,
                           1));
    return account_sqlite_run(database, task, "DELETE FROM domains WHERE id = ?1", &domain, 1);
}

enum err account_user_remove(struct account_database *database, struct task *task, int64_t user)
{
    static const char *const aliases =
        "DELETE FROM aliases WHERE mailbox_id IN (SELECT id FROM mailboxes WHERE user_id = ?1)";

    TRY(account_sqlite_run(database, task, aliases, &user, 1));
    TRY(retire_each(database, task,
                    "SELECT id FROM mailboxes WHERE user_id = ?1 LIMIT 1", user));
    for (;;) {
        uint64_t domain = 0;

        TRY(account_sqlite_number(database, task,
                                  "SELECT id FROM domains WHERE user_id = ?1 LIMIT 1", user,
                                  &domain));
        if (domain == 0)
            break;
        TRY(account_domain_remove(database, task, (int64_t)domain));
    }
    return account_sqlite_run(database, task, "DELETE FROM users WHERE id = ?1", &user, 1);
}
