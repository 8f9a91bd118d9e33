/* Table `known_addresses`: where the owner of a mailbox logs in from, as keyed hashes. */
#include "account/sqlite/driver.h"

static const int64_t KNOWN_FOR_MS = 180LL * 24 * 3600 * 1000;
/* Seeing an address again is written down once a day, not with every login. */
static const int64_t NOTED_EVERY_MS = 24LL * 3600 * 1000;

static enum err last_seen(struct account_database *database, struct task *task, int64_t mailbox,
                          struct str hash, int64_t *out_ms)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task,
                   "SELECT last_seen FROM known_addresses"
                   " WHERE mailbox_id = ?1 AND address_hash = ?2",
                   &statement));
    db_bind_int(statement, 1, mailbox);
    db_bind_blob(statement, 2, hash);
    TRY(db_step(database->db, task, statement, &has_row));
    if (!has_row || !clock_parse_iso(db_column_text(statement, 0), out_ms))
        *out_ms = INT64_MIN;
    return ERR_OK;
}

enum err account_known_has(struct account_database *database, struct task *task, int64_t mailbox,
                           struct str hash, bool *out_is_known)
{
    int64_t seen_ms;

    TRY(last_seen(database, task, mailbox, hash, &seen_ms));
    *out_is_known = seen_ms != INT64_MIN && task->now_ms - seen_ms < KNOWN_FOR_MS;
    return ERR_OK;
}

enum err account_known_note(struct account_database *database, struct task *task, int64_t mailbox,
                            struct str hash)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;
    int64_t seen_ms;

    TRY(last_seen(database, task, mailbox, hash, &seen_ms));
    if (seen_ms != INT64_MIN && task->now_ms >= seen_ms && task->now_ms - seen_ms < NOTED_EVERY_MS)
        return ERR_OK;
    TRY(account_sqlite_note(database, task));
    TRY(db_prepare(database->db, task,
                   "INSERT INTO known_addresses (mailbox_id, address_hash, last_seen)"
                   " VALUES (?1, ?2, ?3) ON CONFLICT (mailbox_id, address_hash)"
                   " DO UPDATE SET last_seen = excluded.last_seen",
                   &statement));
    db_bind_int(statement, 1, mailbox);
    db_bind_blob(statement, 2, hash);
    db_bind_text(statement, 3, account_sqlite_now(task, &now));
    TRY(db_run(database->db, task, statement));
    return account_sqlite_run(
        database, task,
        "DELETE FROM known_addresses WHERE mailbox_id = ?1 AND address_hash NOT IN"
        " (SELECT address_hash FROM known_addresses WHERE mailbox_id = ?1"
        " ORDER BY last_seen DESC LIMIT 64)",
        &mailbox, 1);
}
