#include "imap/engine.h"

/* RFC 3501 §6.3.4 */
IMAP_COMMAND(delete)
{
    struct vault_folder folder;

    TRY(vault_folder_find(s->vault, task, args->mailbox.name, &folder));
    TRY(vault_folder_delete(s->vault, task, args->mailbox.name));
    /* It was the one selected here: other sessions are told by BYE (RFC 2180 §3.3), this one knows.
     */
    if (s->state == IMAP_STATE_SELECTED && s->view.folder_id == folder.id) {
        imap_session_deselect(s);
        buf_put(&s->out, STR("* OK [CLOSED] The selected mailbox is deleted.\r\n"));
    }
    return ERR_OK;
}
