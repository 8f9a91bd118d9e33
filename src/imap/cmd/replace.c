/*
 * REPLACE and UID REPLACE (RFC 8508): a message comes and another goes, in one change. It does not
 * share a commit: what it tells of the old message must not wait.
 */
#include "imap/append.h"

#include "imap/write.h"

/* replace = "REPLACE" SP seq-number SP mailbox append-message */
IMAP_PARSE(replace)
{
    struct imap_append_args *append = &args->append;

    TRY(imap_parse_space(parser));
    TRY(imap_parse_set(parser, &append->set));
    if (append->set.count != 1 || append->set.ranges[0].first != append->set.ranges[0].last)
        return imap_expected(parser, "one message");
    TRY(imap_parse_space(parser));
    TRY(imap_parse_mailbox(parser, &append->name));
    append->messages = ARENA_NEW(&parser->task->arena, struct imap_append_message);
    append->count = 1;
    return imap_parse_append_message(parser, append->messages);
}

/* Is it there still? One that another session expunged is not (RFC 8508 §3.4). */
static enum err check_old(struct imap_session *s, struct task *task, uint32_t uid)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    struct vault_message row;
    bool has_row;

    TRY(vault_cursor_open(s->vault, task, s->view.folder_id, uid, uid, VAULT_COLUMN_FLAGS, false,
                          &cursor));
    TRY(vault_cursor_next(cursor, task, &row, &has_row));
    return has_row ? ERR_OK : imap_refuse(s, task, IMAP_REFUSAL_NO_MESSAGE);
}

IMAP_COMMAND(replace)
{
    const struct imap_append_args *append = &args->append;
    struct vault_folder target;
    struct vault_append what;
    struct imap_set ranges;
    uint32_t *uids, uid;
    size_t count;

    TRY(imap_command_ranges(s, task, append->set, &ranges));
    imap_view_uids(&s->view, task, &ranges, &uids, &count);
    if (count == 0)
        return imap_refuse(s, task, IMAP_REFUSAL_NO_MESSAGE);
    TRY(vault_folder_find(s->vault, task, append->name, &target));
    if (!target.is_selectable)
        return fail(task, ERR_NOT_FOUND, "the folder is \\Noselect");
    TRY(check_old(s, task, uids[0]));
    TRY(imap_append_prepare(s, task, append->messages, &what));
    TRY(vault_message_replace(s->vault, task, s->view.folder_id, uids[0], target.id, &what, &uid));
    imap_spend(s, 300 + what.raw.len / 64);
    /* Before the EXPUNGE (RFC 8508 §4.3), which the command's end tells. */
    buf_put(&s->out, STR("* OK [APPENDUID "));
    imap_write_number(&s->out, target.uidvalidity);
    buf_put(&s->out, STR(" "));
    imap_write_number(&s->out, uid);
    buf_put(&s->out, STR("] The replacement is there.\r\n"));
    /* As UID EXPUNGE does (§4.5). */
    s->tells_modseq = imap_has(s, IMAP_EXT_CONDSTORE);
    return ERR_OK;
}
