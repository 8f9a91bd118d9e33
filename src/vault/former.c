#include "vault/former.h"

#include "secret/crypt.h"

#include <string.h>

enum { ALL_OTHERS = 0 }; /* the row of names that were let go */

static int64_t hash_of(struct str name)
{
    unsigned char digest[CRYPT_HASH_BYTES];
    int64_t hash;

    crypt_digest(name, digest);
    memcpy(&hash, digest, sizeof(hash));
    return hash == ALL_OTHERS ? 1 : hash;
}

static enum err raise(struct vault *vault, struct task *task, int64_t hash, uint32_t uidvalidity,
                      bool *out_is_there)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   "UPDATE former_name SET uidvalidity = max(uidvalidity, ?2) WHERE hash = ?1",
                   &statement));
    db_bind_int(statement, 1, hash);
    db_bind_int(statement, 2, uidvalidity);
    TRY(db_run(vault->db, task, statement));
    *out_is_there = sqlite3_changes64(db_handle(vault->db)) > 0;
    return ERR_OK;
}

static enum err put(struct vault *vault, struct task *task, int64_t hash, uint32_t uidvalidity)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool is_there;

    TRY(raise(vault, task, hash, uidvalidity, &is_there));
    if (is_there)
        return ERR_OK;
    TRY(db_prepare(vault->db, task, "INSERT INTO former_name VALUES (?1, ?2)", &statement));
    db_bind_int(statement, 1, hash);
    db_bind_int(statement, 2, uidvalidity);
    TRY(db_run(vault->db, task, statement));
    vault->former_count++;
    return ERR_OK;
}

/* Once; a folder that is renamed takes many along. */
static enum err count_names(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    if (vault->former_count >= 0)
        return ERR_OK;
    TRY(db_prepare(vault->db, task, "SELECT count(*) FROM former_name", &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    vault->former_count = db_column_int(statement, 0);
    return ERR_OK;
}

/* The oldest quarter counts as one. */
static enum err let_go(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *oldest = NULL;
    CLEANUP(db_release) sqlite3_stmt *removal = NULL;
    uint32_t uidvalidity;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT uidvalidity FROM former_name ORDER BY uidvalidity LIMIT 1 OFFSET ?1",
                   &oldest));
    db_bind_int(oldest, 1, VAULT_FORMER_MAX / 4);
    TRY(db_step(vault->db, task, oldest, &has_row));
    uidvalidity = (uint32_t)db_column_int(oldest, 0);
    db_release(&oldest);
    TRY(db_prepare(vault->db, task, "DELETE FROM former_name WHERE uidvalidity <= ?1", &removal));
    db_bind_int(removal, 1, uidvalidity);
    TRY(db_run(vault->db, task, removal));
    vault->former_count -= sqlite3_changes64(db_handle(vault->db));
    return put(vault, task, ALL_OTHERS, uidvalidity);
}

enum err former_note(struct vault *vault, struct task *task, struct str name, uint32_t uidvalidity)
{
    TRY(count_names(vault, task));
    TRY(put(vault, task, hash_of(name), uidvalidity));
    return vault->former_count > VAULT_FORMER_MAX ? let_go(vault, task) : ERR_OK;
}

enum err former_uidvalidity(struct vault *vault, struct task *task, struct str name, uint32_t *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT coalesce(max(uidvalidity), 0) FROM former_name WHERE hash IN (?1, ?2)",
                   &statement));
    db_bind_int(statement, 1, hash_of(name));
    db_bind_int(statement, 2, ALL_OTHERS);
    TRY(db_step(vault->db, task, statement, &has_row));
    *out = (uint32_t)db_column_int(statement, 0);
    return ERR_OK;
}
