/* Table `key_slots`. The seals are opened in account/slot.c; here they are only bytes. */
#include "account/sqlite/driver.h"

static const struct {
    enum account_slot_kind kind;
    struct str name;
} kinds[] = {
    {ACCOUNT_SLOT_PASSWORD, STR_INIT("password")},
    {ACCOUNT_SLOT_APP, STR_INIT("app")},
    {ACCOUNT_SLOT_RECOVERY, STR_INIT("recovery")},
};

static void bind_or_null(sqlite3_stmt *statement, int index, struct str bytes)
{
    if (bytes.len == 0)
        db_bind_null(statement, index);
    else
        db_bind_blob(statement, index, bytes);
}

enum err account_slot_add(struct account_database *database, struct task *task, int64_t mailbox,
                          const struct account_slot *slot)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;
    uint64_t count;

    TRY(account_sqlite_number(database, task,
                              "SELECT count(*) FROM key_slots WHERE mailbox_id = ?1", mailbox,
                              &count));
    if (count >= ACCOUNT_SLOTS_MAX)
        return fail(task, ERR_LIMIT, "the mailbox has %d key slots already", ACCOUNT_SLOTS_MAX);
    TRY(db_prepare(database->db, task,
                   "INSERT INTO key_slots (object_id, mailbox_id, kind, name, services, sealed,"
                   " created, public_key, wrapping, next_sealed, next_wrapping)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                   &statement));
    db_bind_text(statement, 1, id_str(&slot->id));
    db_bind_int(statement, 2, mailbox);
    db_bind_text(statement, 3, kinds[slot->kind].name);
    db_bind_text(statement, 4, slot->name);
    db_bind_int(statement, 5, account_sqlite_size(slot->services));
    db_bind_blob(statement, 6, slot->sealed);
    db_bind_text(statement, 7, account_sqlite_now(task, &now));
    bind_or_null(statement, 8, slot->public_key);
    bind_or_null(statement, 9, slot->wrapping);
    bind_or_null(statement, 10, slot->next_sealed);
    bind_or_null(statement, 11, slot->next_wrapping);
    return db_run(database->db, task, statement);
}

static enum err read_row(struct task *task, sqlite3_stmt *statement, struct account_slot *out_slot)
{
    struct str kind = db_column_text(statement, 2);
    struct account_slot slot = {
        .row = db_column_int(statement, 0),
        .name = account_sqlite_column_text(task, statement, 3),
        .services = account_sqlite_column_size(statement, 4),
        .sealed = arena_copy(&task->arena, db_column_blob(statement, 5)),
        .created = account_sqlite_column_text(task, statement, 6),
        .last_used = account_sqlite_column_text(task, statement, 7),
        .public_key = arena_copy(&task->arena, db_column_blob(statement, 8)),
        .wrapping = arena_copy(&task->arena, db_column_blob(statement, 9)),
        .next_sealed = arena_copy(&task->arena, db_column_blob(statement, 10)),
        .next_wrapping = arena_copy(&task->arena, db_column_blob(statement, 11)),
    };

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (str_equal(kind, kinds[i].name))
            slot.kind = kinds[i].kind;
    }
    if (!id_parse(db_column_text(statement, 1), &slot.id))
        return fail(task, ERR_CORRUPT, "account database: a key slot has no valid id");
    *out_slot = slot;
    return ERR_OK;
}

enum err account_slot_list(struct account_database *database, struct task *task, int64_t mailbox,
                           struct account_slot *out_slots, size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    size_t count = 0;
    bool has_row = false;

    TRY(db_prepare(database->db, task,
                   "SELECT id, object_id, kind, name, services, sealed, created, last_used,"
                   " public_key, wrapping, next_sealed, next_wrapping"
                   " FROM key_slots WHERE mailbox_id = ?1 ORDER BY id LIMIT ?2",
                   &statement));
    db_bind_int(statement, 1, mailbox);
    db_bind_int(statement, 2, ACCOUNT_SLOTS_MAX);
    for (;;) {
        TRY(db_step(database->db, task, statement, &has_row));
        if (!has_row)
            break;
        TRY(read_row(task, statement, &out_slots[count]));
        count++;
    }
    *out_count = count;
    return ERR_OK;
}

enum err account_slot_is_there(struct account_database *database, struct task *task,
                               const struct id *mailbox, const struct id *slot, bool *out_is_there)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task,
                   "SELECT 1 FROM mailboxes AS m JOIN key_slots AS s ON s.mailbox_id = m.id"
                   " WHERE m.object_id = ?1 AND s.object_id = ?2",
                   &statement));
    db_bind_text(statement, 1, id_str(mailbox));
    db_bind_text(statement, 2, id_str(slot));
    return db_step(database->db, task, statement, out_is_there);
}

enum err account_slot_remove(struct account_database *database, struct task *task, int64_t row)
{
    return account_sqlite_run(database, task, "DELETE FROM key_slots WHERE id = ?1", &row, 1);
}

enum err account_slot_used(struct account_database *database, struct task *task, int64_t row)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct account_sqlite_time now;

    TRY(account_sqlite_note(database, task));
    TRY(db_prepare(database->db, task, "UPDATE key_slots SET last_used = ?2 WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, row);
    db_bind_text(statement, 2, account_sqlite_now(task, &now));
    return db_run(database->db, task, statement);
}

enum err account_slot_set_next(struct account_database *database, struct task *task,
                               const struct account_slot *slot)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task,
                   "UPDATE key_slots SET next_sealed = ?2, next_wrapping = ?3 WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, slot->row);
    db_bind_blob(statement, 2, slot->next_sealed);
    bind_or_null(statement, 3, slot->next_wrapping);
    return db_run(database->db, task, statement);
}

enum err account_mailbox_set_next_key(struct account_database *database, struct task *task,
                                      int64_t mailbox, struct str check)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(database->db, task, "UPDATE mailboxes SET next_key_check = ?2 WHERE id = ?1",
                   &statement));
    db_bind_int(statement, 1, mailbox);
    db_bind_blob(statement, 2, check);
    return db_run(database->db, task, statement);
}

enum err account_slot_advance(struct account_database *database, struct task *task,
                              int64_t mailbox, struct str check)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    uint64_t left_behind = 0;

    TRY(db_prepare(database->db, task,
                   "UPDATE mailboxes SET next_key_check = NULL WHERE id = ?1"
                   " AND next_key_check = ?2",
                   &statement));
    db_bind_int(statement, 1, mailbox);
    db_bind_blob(statement, 2, check);
    TRY(db_run(database->db, task, statement));
    if (sqlite3_changes(db_handle(database->db)) == 0)
        return fail(task, ERR_NOT_FOUND, "no such key is coming");
    TRY(account_sqlite_number(database, task,
                              "SELECT count(*) FROM key_slots WHERE mailbox_id = ?1"
                              " AND next_sealed IS NULL",
                              mailbox, &left_behind));
    if (left_behind > 0)
        return fail(task, ERR_CORRUPT, "account database: a slot lacks the next key");
    return account_sqlite_run(database, task,
                              "UPDATE key_slots SET sealed = next_sealed, wrapping = next_wrapping,"
                              " next_sealed = NULL, next_wrapping = NULL,"
                              " key_generation = key_generation + 1 WHERE mailbox_id = ?1",
                              &mailbox, 1);
}

enum err account_slot_confirm(struct account_database *database, struct task *task,
                              int64_t mailbox)
{
    TRY(account_sqlite_run(database, task,
                           "DELETE FROM key_slots WHERE mailbox_id = ?1 AND kind = 'password'"
                           " AND name = '' AND EXISTS (SELECT 1 FROM key_slots"
                           " WHERE mailbox_id = ?1 AND kind = 'password' AND name = 'new')",
                           &mailbox, 1));
    return account_sqlite_run(database, task,
                              "UPDATE key_slots SET name = '' WHERE mailbox_id = ?1"
                              " AND kind = 'password' AND name = 'new'",
                              &mailbox, 1);
}

enum err account_slot_drop_next(struct account_database *database, struct task *task,
                                int64_t mailbox)
{
    TRY(account_sqlite_run(database, task,
                           "DELETE FROM key_slots WHERE mailbox_id = ?1 AND kind = 'password'"
                           " AND name = 'new'",
                           &mailbox, 1));
    TRY(account_sqlite_run(database, task,
                           "UPDATE key_slots SET next_sealed = NULL, next_wrapping = NULL"
                           " WHERE mailbox_id = ?1",
                           &mailbox, 1));
    return account_sqlite_run(database, task,
                              "UPDATE mailboxes SET next_key_check = NULL WHERE id = ?1", &mailbox,
                              1);
}
