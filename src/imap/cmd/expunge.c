/* EXPUNGE (RFC 3501 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1). The sync at the command's end tells.
 */
#include "imap/engine.h"

static enum err expunge(struct imap_session *s, struct task *task, const uint32_t *uids,
                        size_t uid_count)
{
    uint32_t *gone;
    size_t gone_count;

    TRY(vault_message_expunge(s->vault, task, s->view.folder_id, uids, uid_count, &gone,
                              &gone_count));
    imap_spend(s, gone_count * 10);
    s->tells_modseq = imap_has(s, IMAP_EXT_CONDSTORE) && gone_count > 0;
    return ERR_OK;
}

IMAP_COMMAND(expunge)
{
    (void)args;
    return expunge(s, task, NULL, 0);
}

IMAP_COMMAND(uid_expunge)
{
    struct imap_set ranges;
    uint32_t *uids;
    size_t count;

    TRY(imap_command_ranges(s, task, args->expunge.set, &ranges));
    imap_view_uids(&s->view, task, &ranges, &uids, &count);
    return count == 0 ? ERR_OK : expunge(s, task, uids, count);
}
