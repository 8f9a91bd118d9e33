/* Reading a mailbox as it was at one moment. */
#include "vault/beside.h"

#include "vault/state.h"

enum err vault_open_moment(struct task *task, const struct vault_options *options,
                           const struct secret *key, struct vault **out_vault)
{
    CLEANUP(vault_close) struct vault *vault = NULL;
    bool is_begun;

    TRY(vault_open_beside(task, options, key, &vault));
    TRY(db_read_begin(vault->db, task, &is_begun));
    TRY(vault_state_load(vault, task)); /* of the moment that the reading began with */
    *out_vault = vault;
    vault = NULL;
    return ERR_OK;
}
