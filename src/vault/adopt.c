/* UIDs that messages bring along from elsewhere (an import): kept where that cannot mislead a client
 * that knows this mailbox. */
#include "vault/folder.h"

#include "base/clock.h"
#include "vault/folder_mirror.h"
#include "vault/former.h"
#include "vault/state.h"

/* Whoever brings UIDs along, by mistake or in malice, must not use them up: where none is left, the
 * folder takes no mail any more, and for INBOX that is the mailbox. */
enum { UID_ADOPTED_MAX = INT32_MAX };

/* Those given here are never below the time at which the mailbox was made (vault_next_uidvalidity). */
static enum err is_older_than_mailbox(struct vault *vault, struct task *task, uint32_t uidvalidity,
                                      bool *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    int64_t created_ms = 0;
    bool has_row;

    TRY(db_prepare(vault->db, task, "SELECT created FROM mailbox", &statement));
    TRY(db_step(vault->db, task, statement, &has_row));
    if (!has_row || !clock_parse_iso(db_column_text(statement, 0), &created_ms))
        return fail(task, ERR_CORRUPT, "vault: the mailbox has no date");
    *out = uidvalidity != 0 && uidvalidity < created_ms / 1000;
    return ERR_OK;
}

/* A client that remembers the name must not take it for what it had then. */
static enum err had_younger(struct vault *vault, struct task *task, const struct folder *folder,
                            uint32_t uidvalidity, bool *out)
{
    uint32_t former;

    TRY(former_uidvalidity(vault, task, folder->name, &former));
    *out = former > uidvalidity;
    return ERR_OK;
}

static enum err adopt(struct vault *vault, struct task *task, int64_t folder_id,
                      uint32_t uidvalidity, uint32_t uidnext)
{
    struct folder *folder = vault_folder_get(vault, folder_id);
    bool is_new = folder != NULL && folder->uidnext == 1, is_older = false, has_younger = false;

    if (folder == NULL || !folder->is_selectable)
        return fail(task, ERR_NOT_FOUND, "vault: no such folder");
    if (uidnext < folder->uidnext || uidnext == 0)
        return fail(task, ERR_EXISTS, "vault: the folder is past that UID");
    if (uidnext > UID_ADOPTED_MAX)
        return fail(task, ERR_EXISTS, "vault: that UID leaves no room for others behind it");
    if (uidvalidity != folder->uidvalidity) {
        if (is_new)
            TRY(is_older_than_mailbox(vault, task, uidvalidity, &is_older));
        if (!is_older)
            return fail(task, ERR_EXISTS, "vault: the folder has another UIDVALIDITY");
        TRY(had_younger(vault, task, folder, uidvalidity, &has_younger));
        if (has_younger)
            return fail(task, ERR_EXISTS, "vault: a younger folder had the name");
    }
    if (uidvalidity == folder->uidvalidity && uidnext == folder->uidnext)
        return ERR_OK;
    (void)vault_touch(vault);
    if (uidvalidity != folder->uidvalidity) {
        vault_note(vault, -1);
        folder->uidvalidity = folder->incarnation = uidvalidity;
    }
    folder->uidnext = uidnext;
    folder_mirror_soil(vault, folder);
    return ERR_OK;
}

enum err vault_folder_adopt(struct vault *vault, struct task *task, int64_t folder_id,
                            uint32_t uidvalidity, uint32_t uidnext)
{
    TRY(vault_write_begin(vault, task));
    return vault_write_end(vault, task, adopt(vault, task, folder_id, uidvalidity, uidnext),
                           VAULT_DURABLE);
}
