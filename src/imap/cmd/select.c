/* SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2; RFC 7162 §3.1.8). */
#include "imap/engine.h"

#include "imap/write.h"

/* select = "SELECT" SP mailbox [SP "(" select-param *(SP select-param) ")"] */
IMAP_PARSE(select)
{
    TRY(imap_parse_space(parser));
    TRY(imap_parse_mailbox(parser, &args->select.name));
    if (!imap_take(parser, ' '))
        return ERR_OK;
    TRY(imap_parse_byte(parser, '('));
    if (!imap_take_word(parser, STR("CONDSTORE")))
        return imap_expected(parser, "CONDSTORE");
    args->select.is_condstore = true;
    return imap_parse_byte(parser, ')');
}

void imap_write_permanent_flags(struct imap_session *s)
{
    uint64_t all = vault_keywords(s->vault) | ((UINT64_C(1) << VAULT_KEYWORD_FIRST) - 1);

    if (s->view.is_read_only) {
        buf_put(&s->out, STR("()"));
        return;
    }
    imap_write_flags(&s->out, s->vault, all, false);
    /* "\*": keywords may be made (RFC 3501 §7.1). */
    buf_truncate(&s->out, s->out.len - 1);
    buf_put(&s->out, STR(" \\*)"));
}

static void put_code(struct imap_session *s, struct str code, uint64_t number, struct str words)
{
    buf_put(&s->out, STR("* OK ["));
    buf_put(&s->out, code);
    buf_put(&s->out, STR(" "));
    imap_write_number(&s->out, number);
    buf_put(&s->out, STR("] "));
    buf_put(&s->out, words);
    buf_put(&s->out, STR("\r\n"));
}

static void describe(struct imap_session *s, size_t first_unseen)
{
    const struct imap_view *view = &s->view;
    uint64_t system = (UINT64_C(1) << VAULT_KEYWORD_FIRST) - 1;

    buf_put(&s->out, STR("* FLAGS "));
    imap_write_flags(&s->out, s->vault, view->keywords | system, false);
    buf_put(&s->out, STR("\r\n* OK [PERMANENTFLAGS "));
    imap_write_permanent_flags(s);
    buf_put(&s->out, STR("] Flags permitted.\r\n* "));
    imap_write_number(&s->out, view->count);
    buf_put(&s->out, STR(" EXISTS\r\n* "));
    imap_write_number(&s->out, imap_view_recent_count(view));
    buf_put(&s->out, STR(" RECENT\r\n"));
    if (first_unseen > 0)
        put_code(s, STR("UNSEEN"), first_unseen, STR("First unseen."));
    put_code(s, STR("UIDVALIDITY"), view->uidvalidity, STR("UIDs valid."));
    put_code(s, STR("UIDNEXT"), view->next_uid, STR("Predicted next UID."));
    put_code(s, STR("HIGHESTMODSEQ"), view->modseq, STR("Highest."));
}

static enum err open_folder(struct imap_session *s, struct task *task, union imap_args *args,
                            bool is_read_only)
{
    struct vault_folder folder;
    size_t first_unseen;

    /* A failed SELECT leaves no mailbox selected (RFC 3501 §6.3.1). */
    if (s->state == IMAP_STATE_SELECTED) {
        imap_session_deselect(s);
        buf_put(&s->out, STR("* OK [CLOSED] The mailbox selected before is closed.\r\n"));
    }
    TRY(vault_folder_find(s->vault, task, args->select.name, &folder));
    if (!folder.is_selectable)
        return fail(task, ERR_NOT_FOUND, "the folder is \\Noselect");
    TRY(imap_view_open(&s->view, s->vault, task, &folder, is_read_only, &first_unseen));
    imap_spend(s, s->view.count / 4);
    if (args->select.is_condstore)
        imap_enable_condstore(s);
    imap_session_select(s);
    describe(s, first_unseen);
    buf_put(&s->out, STR("* OK [MAILBOXID ")); /* RFC 8474 §4.2 */
    imap_write_mailbox_id(&s->out, &folder);
    buf_put(&s->out, STR("] The mailbox's identifier.\r\n"));
    s->code = is_read_only ? STR("READ-ONLY") : STR("READ-WRITE");
    return ERR_OK;
}

IMAP_COMMAND(select)
{
    return open_folder(s, task, args, false);
}

IMAP_COMMAND(examine)
{
    return open_folder(s, task, args, true);
}
