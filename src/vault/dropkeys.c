/* Lane roots, imported records and quarantine: what the mailbox keeps for its drop box. */
#include "vault/dropkeys.h"

#include "base/clock.h"
#include "vault/state.h"

enum { ROOT_BYTES = 32 };

static struct str lane_str(const unsigned char *lane)
{
    return str_make(lane, VAULT_LANE_BYTES);
}

void vault_lane_root_done(struct vault_lane_root *root)
{
    secret_free(&root->boot_key_1);
    secret_free(&root->x25519_secret);
}

static enum err insert_root(struct vault *vault, struct task *task,
                            const struct vault_lane_root *root)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char now[CLOCK_ISO_ROOM];

    clock_format_iso(task->now_ms, now);
    (void)vault_touch(vault);
    TRY(db_prepare(vault->db, task,
                   "INSERT INTO lane_root(lane, generation, boot_key_1, x25519_secret, created) "
                   "VALUES (?1, ?2, ?3, ?4, ?5)",
                   &statement));
    db_bind_blob(statement, 1, lane_str(root->lane));
    db_bind_int(statement, 2, (int64_t)root->generation);
    db_bind_blob(statement, 3, secret_str(root->boot_key_1));
    db_bind_blob(statement, 4, secret_str(root->x25519_secret));
    db_bind_text(statement, 5, str_from_c(now));
    return db_run(vault->db, task, statement);
}

enum err vault_lane_root_add(struct vault *vault, struct task *task,
                             const struct vault_lane_root *root)
{
    if (secret_len(root->boot_key_1) != ROOT_BYTES ||
        secret_len(root->x25519_secret) != ROOT_BYTES || root->generation > INT64_MAX)
        return fail(task, ERR_INVALID, "vault: not a lane root");
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task, insert_root(vault, task, root), VAULT_DURABLE);
}

enum err vault_lane_root_get(struct vault *vault, struct task *task,
                             const unsigned char lane[static VAULT_LANE_BYTES], uint64_t generation,
                             struct vault_lane_root *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct str boot_key_1, x25519_secret;
    bool has_row;

    TRY(vault_check(vault, task));
    TRY(db_prepare(vault->db, task,
                   "SELECT boot_key_1, x25519_secret FROM lane_root "
                   "WHERE lane = ?1 AND generation = ?2",
                   &statement));
    db_bind_blob(statement, 1, lane_str(lane));
    db_bind_int(statement, 2, (int64_t)generation);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "vault: no such lane root");
    boot_key_1 = db_column_blob(statement, 0);
    x25519_secret = db_column_blob(statement, 1);
    if (boot_key_1.len != ROOT_BYTES || x25519_secret.len != ROOT_BYTES)
        return fail(task, ERR_CORRUPT, "vault: a lane root has a wrong length");
    for (size_t i = 0; i < VAULT_LANE_BYTES; i++)
        out->lane[i] = lane[i];
    out->generation = generation;
    out->boot_key_1 = secret_copy(boot_key_1);
    out->x25519_secret = secret_copy(x25519_secret);
    return ERR_OK;
}

enum err vault_lane_generation(struct vault *vault, struct task *task,
                               const unsigned char lane[static VAULT_LANE_BYTES],
                               uint64_t *out_generation)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(vault_check(vault, task));
    TRY(db_prepare(vault->db, task,
                   "SELECT coalesce(max(generation), 0) FROM lane_root WHERE lane = ?1",
                   &statement));
    db_bind_blob(statement, 1, lane_str(lane));
    TRY(db_step(vault->db, task, statement, &has_row));
    *out_generation = (uint64_t)db_column_int(statement, 0);
    return ERR_OK;
}

enum err vault_lane_root_created(struct vault *vault, struct task *task,
                                 const unsigned char lane[static VAULT_LANE_BYTES],
                                 uint64_t generation, int64_t *out_created_ms)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(vault_check(vault, task));
    TRY(db_prepare(vault->db, task,
                   "SELECT created FROM lane_root WHERE lane = ?1 AND generation = ?2",
                   &statement));
    db_bind_blob(statement, 1, lane_str(lane));
    db_bind_int(statement, 2, (int64_t)generation);
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return fail(task, ERR_NOT_FOUND, "vault: no such lane root");
    if (!clock_parse_iso(db_column_text(statement, 0), out_created_ms))
        return fail(task, ERR_CORRUPT, "vault: a lane root has no valid date");
    return ERR_OK;
}

static enum err delete_roots(struct vault *vault, struct task *task, const unsigned char *lane,
                             uint64_t below_generation)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    (void)vault_touch(vault);
    TRY(db_prepare(vault->db, task, "DELETE FROM lane_root WHERE lane = ?1 AND generation < ?2",
                   &statement));
    db_bind_blob(statement, 1, lane_str(lane));
    db_bind_int(statement, 2, (int64_t)below_generation);
    return db_run(vault->db, task, statement);
}

enum err vault_lane_root_forget(struct vault *vault, struct task *task,
                                const unsigned char lane[static VAULT_LANE_BYTES],
                                uint64_t below_generation)
{
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task, delete_roots(vault, task, lane, below_generation),
                           VAULT_DURABLE);
}

static enum err merge_roots(struct vault *vault, struct task *task, struct vault *from)
{
    CLEANUP(db_release) sqlite3_stmt *select = NULL;
    bool has_row;

    (void)vault_touch(vault);
    TRY(db_prepare(from->db, task,
                   "SELECT lane, generation, boot_key_1, x25519_secret, created FROM lane_root",
                   &select));
    for (;;) {
        CLEANUP(db_release) sqlite3_stmt *insert = NULL;

        TRY(db_step(from->db, task, select, &has_row));
        if (!has_row)
            return ERR_OK;
        TRY(db_prepare(vault->db, task,
                       "INSERT OR IGNORE INTO lane_root(lane, generation, boot_key_1, "
                       "x25519_secret, created) VALUES (?1, ?2, ?3, ?4, ?5)",
                       &insert));
        db_bind_blob(insert, 1, db_column_blob(select, 0));
        db_bind_int(insert, 2, db_column_int(select, 1));
        db_bind_blob(insert, 3, db_column_blob(select, 2));
        db_bind_blob(insert, 4, db_column_blob(select, 3));
        db_bind_text(insert, 5, db_column_text(select, 4));
        TRY(db_run(vault->db, task, insert));
    }
}

enum err vault_lane_root_merge(struct vault *vault, struct task *task, struct vault *from)
{
    TRY(vault_check(from, task));
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task, merge_roots(vault, task, from), VAULT_DURABLE);
}

enum err vault_drop_was_imported(struct vault *vault, struct task *task, const struct id *record,
                                 bool *out_was)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(vault_check(vault, task));
    TRY(db_prepare(vault->db, task, "SELECT 1 FROM imported WHERE record = ?1", &statement));
    db_bind_text(statement, 1, id_str(record));
    return db_step(vault->db, task, statement, out_was);
}

static enum err insert_quarantined(struct vault *vault, struct task *task, const struct id *record,
                                   struct str bytes, struct str reason)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char now[CLOCK_ISO_ROOM];

    clock_format_iso(task->now_ms, now);
    (void)vault_touch(vault);
    /* A record that is met again after a crash is kept once. */
    TRY(db_prepare(vault->db, task,
                   "INSERT INTO quarantine(record, reason, quarantined, bytes) "
                   "SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS "
                   "(SELECT 1 FROM quarantine WHERE record = ?1 AND bytes = ?4)",
                   &statement));
    db_bind_text(statement, 1, id_str(record));
    db_bind_text(statement, 2, reason);
    db_bind_text(statement, 3, str_from_c(now));
    db_bind_blob(statement, 4, bytes);
    return db_run(vault->db, task, statement);
}

enum err vault_drop_quarantine(struct vault *vault, struct task *task, const struct id *record,
                               struct str bytes, struct str reason)
{
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task, insert_quarantined(vault, task, record, bytes, reason),
                           VAULT_DURABLE);
}
