#include "imap/engine.h"

/* RFC 3501 §6.4.2: what is \Deleted goes, without a word, unless the mailbox is read-only. */
IMAP_COMMAND(close)
{
    uint32_t *uids;
    size_t count;

    (void)args;
    if (!s->view.is_read_only && vault_folder_modseq(s->vault, s->view.folder_id) != 0)
        TRY(vault_message_expunge(s->vault, task, s->view.folder_id, NULL, 0, &uids, &count));
    imap_session_deselect(s);
    return ERR_OK;
}
