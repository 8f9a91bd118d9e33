#include "vault/uidl.h"

#include "vault/maildrop.h"

#include <stdio.h>
#include <string.h>

bool vault_uidl_is_valid(struct str uidl)
{
    if (uidl.len == 0 || uidl.len > VAULT_UIDL_MAX)
        return false;
    for (size_t i = 0; i < uidl.len; i++) {
        if (uidl.ptr[i] < 0x21 || uidl.ptr[i] > 0x7e)
            return false;
    }
    return true;
}

void vault_uidl_own(uint32_t uidvalidity, uint32_t uid, char out[static VAULT_OWN_UIDL_LEN + 1])
{
    snprintf(out, VAULT_OWN_UIDL_LEN + 1, "%08x%08x", (unsigned)uidvalidity, (unsigned)uid);
}

bool uidl_has_own_shape(struct str uidl, uint32_t uidvalidity)
{
    char own[VAULT_OWN_UIDL_LEN + 1];

    vault_uidl_own(uidvalidity, 0, own);
    return uidl.len == VAULT_OWN_UIDL_LEN && memcmp(uidl.ptr, own, VAULT_OWN_UIDL_LEN / 2) == 0;
}

static enum err is_taken(struct vault *vault, struct task *task, int64_t folder_id, struct str uidl,
                         bool *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task,
                   "SELECT 1 FROM given_uidl AS g CROSS JOIN message AS m ON m.key = g.key "
                   "WHERE g.uidl = ?1 AND g.key BETWEEN ?2 AND ?3 AND m.is_expunged = 0",
                   &statement));
    db_bind_text(statement, 1, uidl);
    db_bind_int(statement, 2, message_key(folder_id, 1));
    db_bind_int(statement, 3, message_key(folder_id, UINT32_MAX));
    return db_step(vault->db, task, statement, out);
}

enum err uidl_give(struct vault *vault, struct task *task, int64_t folder_id, uint32_t uid,
                   struct str uidl)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool is_there;

    TRY(is_taken(vault, task, folder_id, uidl, &is_there));
    if (is_there)
        return ERR_OK;
    TRY(db_prepare(vault->db, task, "INSERT INTO given_uidl VALUES (?1, ?2)", &statement));
    db_bind_int(statement, 1, message_key(folder_id, uid));
    db_bind_text(statement, 2, uidl);
    return db_run(vault->db, task, statement);
}

enum err uidl_take_along(struct vault *vault, struct task *task, int64_t from_id, uint32_t from_uid,
                         int64_t to_id, uint32_t to_uid)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT uidl FROM given_uidl WHERE key = ?1", &statement));
    db_bind_int(statement, 1, message_key(from_id, from_uid));
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row)
        return ERR_OK;
    return uidl_give(vault, task, to_id, to_uid,
                     arena_copy(&task->arena, db_column_text(statement, 0)));
}
