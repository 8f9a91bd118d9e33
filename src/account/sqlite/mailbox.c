/* Table `mailboxes`: what is known of each mailbox file, and the sums that quotas are judged by. */
#include "account/sqlite/driver.h"

#include "base/clock.h"

enum err account_mailbox_add(struct account_database *database, struct task *task,
                             const struct id *id, int64_t user, int64_t domain,
                             uint64_t quota_bytes, int64_t *out_row)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;

    TRY(db_prepare(database->db, task,
                   "INSERT INTO mailboxes (object_id, user_id, domain_id, state, quota_bytes,"
                   " created) VALUES (?1, ?2, ?3, 'creating', ?4, ?5)",
                   &statement));
    db_bind_text(statement, 1, id_str(id));
    db_bind_int(statement, 2, user);
    db_bind_int(statement, 3, domain);
    account_sqlite_bind_quota(statement, 4, quota_bytes);
    db_bind_text(statement, 5, account_sqlite_now(task, &now));
    TRY(db_run(database->db, task, statement));
    *out_row = sqlite3_last_insert_rowid(db_handle(database->db));
    return ERR_OK;
}

#define MAILBOX_COLUMNS                                                                            \
    "SELECT m.id, m.object_id, m.user_id, m.domain_id, m.state, m.quota_bytes, m.mail_bytes,"      \
    " m.message_count, m.drop_bytes, m.epoch, m.change_counter, u.quota_bytes, u.used_bytes,"      \
    " d.quota_bytes, d.used_bytes FROM mailboxes m LEFT JOIN users u ON u.id = m.user_id"          \
    " LEFT JOIN domains d ON d.id = m.domain_id"

static enum account_mailbox_state state_parse(struct str name)
{
    if (str_equal(name, STR("creating")))
        return ACCOUNT_MAILBOX_CREATING;
    if (str_equal(name, STR("removing")))
        return ACCOUNT_MAILBOX_REMOVING;
    return ACCOUNT_MAILBOX_ACTIVE;
}

static enum err read_one(struct account_database *database, struct task *task,
                         sqlite3_stmt *statement, struct account_mailbox *out_mailbox)
{
    bool has_row = false;
    struct account_mailbox mailbox;

    TRY(db_step(database->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "no such mailbox");
    mailbox = (struct account_mailbox){
        .row = db_column_int(statement, 0),
        .user = db_column_int(statement, 2),
        .domain = db_column_int(statement, 3),
        .state = state_parse(db_column_text(statement, 4)),
        .quota_bytes = account_sqlite_column_quota(statement, 5),
        .mail_bytes = account_sqlite_column_size(statement, 6),
        .messages = account_sqlite_column_size(statement, 7),
        .drop_bytes = account_sqlite_column_size(statement, 8),
        .epoch = account_sqlite_column_size(statement, 9),
        .change_counter = account_sqlite_column_size(statement, 10),
        .user_quota_bytes = account_sqlite_column_quota(statement, 11),
        .user_used_bytes = account_sqlite_column_size(statement, 12),
        .domain_quota_bytes = account_sqlite_column_quota(statement, 13),
        .domain_used_bytes = account_sqlite_column_size(statement, 14),
    };
    if (!id_parse(db_column_text(statement, 1), &mailbox.id))
        return fail(task, ERR_CORRUPT, "account database: a mailbox has no valid id");
    *out_mailbox = mailbox;
    return ERR_OK;
}

enum err account_mailbox_find(struct account_database *database, struct task *task,
                              const struct id *id, struct account_mailbox *out_mailbox)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task, MAILBOX_COLUMNS " WHERE m.object_id = ?1", &statement));
    db_bind_text(statement, 1, id_str(id));
    return read_one(database, task, statement, out_mailbox);
}

enum err account_mailbox_at(struct account_database *database, struct task *task, int64_t row,
                            struct account_mailbox *out_mailbox)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task, MAILBOX_COLUMNS " WHERE m.id = ?1", &statement));
    db_bind_int(statement, 1, row);
    return read_one(database, task, statement, out_mailbox);
}

/* The first row that `sql` gives for its one parameter; *out_row 0: none. */
static enum err first_of(struct account_database *database, struct task *task, const char *sql,
                         int64_t parameter, int64_t *out_row, struct id *out_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row = false;

    TRY(db_prepare(database->db, task, sql, &statement));
    db_bind_int(statement, 1, parameter);
    TRY(db_step(database->db, task, statement, &has_row));
    *out_row = has_row ? db_column_int(statement, 0) : 0;
    if (has_row && !id_parse(db_column_text(statement, 1), out_id))
        return fail(task, ERR_CORRUPT, "account database: a mailbox has no valid id");
    return ERR_OK;
}

enum err account_mailbox_of_postmaster(struct account_database *database, struct task *task,
                                       int64_t domain, int64_t *out_row, struct id *out_id)
{
    TRY(first_of(database, task,
                 "SELECT id, object_id FROM mailboxes WHERE domain_id = ?1 AND state = 'active'"
                 " ORDER BY id LIMIT 1",
                 domain, out_row, out_id));
    if (*out_row == 0)
        TRY(first_of(database, task,
                     "SELECT m.id, m.object_id FROM domains d JOIN mailboxes m"
                     " ON m.user_id = d.user_id WHERE d.id = ?1 AND m.state = 'active'"
                     " ORDER BY m.id LIMIT 1",
                     domain, out_row, out_id));
    return *out_row != 0 ? ERR_OK : fail(task, ERR_NOT_FOUND, "no mailbox for postmaster");
}

enum err account_mailbox_activate(struct account_database *database, struct task *task,
                                  int64_t row)
{
    return account_sqlite_run(database, task,
                              "UPDATE mailboxes SET state = 'active' WHERE id = ?1", &row, 1);
}

enum err account_mailbox_keep(struct account_database *database, struct task *task, int64_t row,
                              int64_t until_ms)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char until[CLOCK_ISO_ROOM];

    clock_format_iso(until_ms, until);
    TRY(db_prepare(database->db, task, "UPDATE mailboxes SET removed_after = ?2 WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, row);
    db_bind_text(statement, 2, str_from_c(until));
    return db_run(database->db, task, statement);
}

enum err account_mailbox_unfinished(struct account_database *database, struct task *task,
                                    int64_t after, int64_t *out_row, struct id *out_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;
    bool has_row = false;

    TRY(db_prepare(database->db, task,
                   "SELECT id, object_id FROM mailboxes INDEXED BY mailboxes_unfinished"
                   " WHERE state <> 'active' AND id > ?1"
                   " AND (removed_after IS NULL OR removed_after <= ?2) ORDER BY id LIMIT 1",
                   &statement));
    db_bind_int(statement, 1, after);
    db_bind_text(statement, 2, account_sqlite_now(task, &now));
    TRY(db_step(database->db, task, statement, &has_row));
    if (!has_row) {
        *out_row = 0;
        return ERR_OK;
    }
    if (!id_parse(db_column_text(statement, 1), out_id))
        return fail(task, ERR_CORRUPT, "account database: a mailbox has no valid id");
    *out_row = db_column_int(statement, 0);
    return ERR_OK;
}

enum err account_mailbox_next(struct account_database *database, struct task *task, int64_t after,
                              int64_t *out_row, struct id *out_id)
{
    return first_of(database, task,
                    "SELECT id, object_id FROM mailboxes WHERE id > ?1 AND state = 'active'"
                    " ORDER BY id LIMIT 1",
                    after, out_row, out_id);
}

enum err account_mailbox_set_quota(struct account_database *database, struct task *task,
                                   int64_t row, uint64_t quota_bytes)
{
    return account_sqlite_set_quota(
        database, task, "UPDATE mailboxes SET quota_bytes = ?2 WHERE id = ?1", row, quota_bytes);
}

enum err account_mailbox_alias_count(struct account_database *database, struct task *task,
                                     int64_t row, uint64_t *out_count)
{
    return account_sqlite_number(database, task,
                                 "SELECT count(*) FROM aliases WHERE mailbox_id = ?1", row,
                                 out_count);
}

/* Adds to the sums of the mailbox's user and home. */
static enum err add_to_sums(struct account_database *database, struct task *task,
                            const struct account_mailbox *mailbox, int64_t delta_bytes)
{
    int64_t of_user[] = {mailbox->user, delta_bytes};
    int64_t of_domain[] = {mailbox->domain, delta_bytes};

    if (delta_bytes == 0)
        return ERR_OK;
    TRY(account_sqlite_run(database, task,
                           "UPDATE users SET used_bytes = max(0, used_bytes + ?2) WHERE id = ?1",
                           of_user, ARRAY_LEN(of_user)));
    return account_sqlite_run(
        database, task, "UPDATE domains SET used_bytes = max(0, used_bytes + ?2) WHERE id = ?1",
        of_domain, ARRAY_LEN(of_domain));
}

enum err account_mailbox_set_usage(struct account_database *database, struct task *task,
                                   const struct id *id, const struct account_usage *usage)
{
    struct account_mailbox mailbox;
    int64_t bytes = account_sqlite_size(usage->mail_bytes);

    TRY(account_mailbox_find(database, task, id, &mailbox));
    if (mailbox.state == ACCOUNT_MAILBOX_REMOVING)
        return ERR_OK;
    TRY(account_sqlite_note(database, task));
    TRY(account_sqlite_run(database, task,
                           "UPDATE mailboxes SET mail_bytes = ?2, message_count = ?3, epoch = ?4,"
                           " change_counter = ?5 WHERE id = ?1",
                           (int64_t[]){mailbox.row, bytes, account_sqlite_size(usage->messages),
                                       account_sqlite_size(usage->epoch),
                                       account_sqlite_size(usage->change_counter)},
                           5));
    return add_to_sums(database, task, &mailbox, bytes - account_sqlite_size(mailbox.mail_bytes));
}

enum err account_mailbox_set_drop(struct account_database *database, struct task *task,
                                  const struct id *id, uint64_t drop_bytes)
{
    struct account_mailbox mailbox;
    int64_t bytes = account_sqlite_size(drop_bytes);

    TRY(account_mailbox_find(database, task, id, &mailbox));
    if (mailbox.state == ACCOUNT_MAILBOX_REMOVING || mailbox.drop_bytes == drop_bytes)
        return ERR_OK;
    TRY(account_sqlite_note(database, task));
    TRY(account_sqlite_run(database, task, "UPDATE mailboxes SET drop_bytes = ?2 WHERE id = ?1",
                           (int64_t[]){mailbox.row, bytes}, 2));
    return add_to_sums(database, task, &mailbox, bytes - account_sqlite_size(mailbox.drop_bytes));
}
