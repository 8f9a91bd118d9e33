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
                   " created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                   &statement));
    db_bind_text(statement, 1, id_str(&slot->id));
    db_bind_int(statement, 2, mailbox);
    db_bind_text(statement, 3, kinds[slot->kind].name);
    db_bind_text(statement, 4, slot->name);
    db_bind_int(statement, 5, account_sqlite_size(slot->services));
    db_bind_blob(statement, 6, slot->sealed);
    db_bind_text(statement, 7, account_sqlite_now(task, &now));
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
                   "SELECT id, object_id, kind, name, services, sealed, created, last_used"
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
