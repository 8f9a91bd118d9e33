#include "imap/engine.h"

/* RFC 3501 §6.3.4 */
IMAP_COMMAND(delete)
{
    TRY(vault_folder_delete(s->vault, task, args->mailbox.name));
    /* It was the one selected here: other sessions are told by BYE, this one knows. */
    if (s->state == IMAP_STATE_SELECTED && vault_folder_modseq(s->vault, s->view.folder_id) == 0) {
        imap_session_deselect(s);
        buf_put(&s->out, STR("* OK [CLOSED] The selected mailbox is deleted.\r\n"));
    }
    return ERR_OK;
}
