/*
 * COPY and MOVE (RFC 3501 §6.4.7, RFC 6851), with COPYUID (RFC 4315 §3). All or nothing, so this is
 * one transaction however large the set.
 */
#include "imap/engine.h"

#include "imap/write.h"

/* Of these UIDs, ascending, one was expunged by another session, and its EXPUNGE is held back. */
static bool is_one_gone(const struct imap_view *view, const uint32_t *uids, size_t count)
{
    size_t gone = 0;

    for (size_t i = 0; i < count; i++) {
        while (gone < view->gone_count && view->gone[gone] < uids[i])
            gone++;
        if (gone < view->gone_count && view->gone[gone] == uids[i])
            return true;
    }
    return false;
}

static enum err transfer(struct imap_session *s, struct task *task, union imap_args *args,
                         bool is_move, struct str *out_code)
{
    uint32_t *uids, *from_uids, *to_uids;
    size_t uid_count, count;
    struct vault_folder target;
    struct imap_set ranges;
    struct buf code;

    TRY(imap_command_ranges(s, task, args->copy.set, &ranges));
    imap_limit_ranges(s, &ranges);
    if (s->lowest_uid != 0 && !is_move) /* all or nothing (RFC 9738 §3) */
        return imap_refuse(s, task, IMAP_REFUSAL_MESSAGE_LIMIT);
    TRY(vault_folder_find(s->vault, task, args->copy.name, &target));
    if (!target.is_selectable)
        return fail(task, ERR_NOT_FOUND, "the folder is \\Noselect");
    imap_view_uids(&s->view, task, &ranges, &uids, &uid_count);
    *out_code = (struct str){NULL, 0};
    if (uid_count == 0)
        return ERR_OK;
    /* Who names messages by their numbers believes that they are there: all of them or none (RFC
     * 2180 §4.4.1). UIDs that are gone are left out (RFC 3501 §6.4.8). */
    if (!imap_is_by_uid(s)) {
        TRY(imap_view_sync(s, task, false));
        if (is_one_gone(&s->view, uids, uid_count))
            return imap_refuse(s, task, IMAP_REFUSAL_EXPUNGED);
    }
    TRY(vault_message_copy(s->vault, task, s->view.folder_id, target.id, uids, uid_count, is_move,
                           &from_uids, &to_uids, &count));
    imap_spend(s, count * 10);
    if (count == 0)
        return ERR_OK;
    buf_init(&code, SIZE_MAX);
    buf_put(&code, STR("COPYUID "));
    imap_write_number(&code, target.uidvalidity);
    buf_put(&code, STR(" "));
    imap_write_set(&code, from_uids, count);
    buf_put(&code, STR(" "));
    imap_write_set(&code, to_uids, count);
    *out_code = arena_copy(&task->arena, buf_str(&code));
    buf_free(&code);
    return ERR_OK;
}

IMAP_COMMAND(copy)
{
    return transfer(s, task, args, false, &s->code);
}

/* COPYUID comes before the EXPUNGEs (RFC 6851 §4.3), which the command's end tells. */
IMAP_COMMAND(move)
{
    struct str code;
    enum err err = transfer(s, task, args, true, &code);

    if (err != ERR_OK)
        s->lowest_uid = 0; /* nothing was moved, so the limit left nothing out */
    TRY(err);
    if (code.len == 0)
        return ERR_OK;
    buf_put(&s->out, STR("* OK ["));
    buf_put(&s->out, code);
    buf_put(&s->out, STR("] Moved.\r\n"));
    /* As EXPUNGE does (RFC 7162 §3.2.7): the VANISHED comes before the tagged answer. */
    s->tells_modseq = imap_has(s, IMAP_EXT_CONDSTORE);
    return ERR_OK;
}
