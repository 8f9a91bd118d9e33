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

static enum err put(struct vault *vault, struct task *task, int64_t hash, uint32_t uidvalidity)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   "INSERT INTO former_name VALUES (?1, ?2) ON CONFLICT (hash) DO UPDATE "
                   "SET uidvalidity = max(uidvalidity, excluded.uidvalidity)",
                   &statement));
    db_bind_int(statement, 1, hash);
    db_bind_int(statement, 2, uidvalidity);
    return db_run(vault->db, task, statement);
}

static enum err count_names(struct vault *vault, struct task *task, int64_t *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT count(*) FROM former_name", &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    *out = db_column_int(statement, 0);
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
    return put(vault, task, ALL_OTHERS, uidvalidity);
}

enum err former_note(struct vault *vault, struct task *task, struct str name, uint32_t uidvalidity)
{
    int64_t count;

    TRY(put(vault, task, hash_of(name), uidvalidity));
    TRY(count_names(vault, task, &count));
    return count > VAULT_FORMER_MAX ? let_go(vault, task) : ERR_OK;
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
