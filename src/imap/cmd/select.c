/* SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2; RFC 7162 §3.1.8, §3.2.5). */
#include "imap/engine.h"

#include "imap/list_reply.h"
#include "imap/vanished.h"
#include "imap/write.h"

/* ---- Parsing ---- */

/* A set without "*" and "$", which here would mean nothing (RFC 7162 §7 known-uids). */
static enum err parse_known_set(struct imap_parser *parser, struct imap_set *out)
{
    TRY(imap_parse_set(parser, out));
    return imap_set_has_star(out) || out->has_saved
               ? imap_expected(parser, "a set without \"*\" and \"$\"")
               : ERR_OK;
}

/* "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"
 * seq-match-data = "(" known-sequence-set SP known-uid-set ")" (RFC 7162 §7) */
static enum err parse_qresync(struct imap_parser *parser, struct imap_select_args *select)
{
    TRY(imap_parse_space(parser));
    TRY(imap_parse_byte(parser, '('));
    TRY(imap_parse_number(parser, &select->uidvalidity));
    if (select->uidvalidity == 0) /* uidvalidity = nz-number */
        return imap_expected(parser, "a UIDVALIDITY");
    TRY(imap_parse_space(parser));
    TRY(imap_parse_modseq(parser, &select->modseq));
    select->has_qresync = true;
    if (imap_take(parser, ')'))
        return ERR_OK;
    TRY(imap_parse_space(parser));
    if (!imap_at(parser, '(')) {
        TRY(parse_known_set(parser, &select->known_uids));
        if (imap_take(parser, ')'))
            return ERR_OK;
        TRY(imap_parse_space(parser));
    }
    TRY(imap_parse_byte(parser, '('));
    TRY(parse_known_set(parser, &select->match_numbers));
    TRY(imap_parse_space(parser));
    TRY(parse_known_set(parser, &select->match_uids));
    TRY(imap_parse_byte(parser, ')'));
    return imap_parse_byte(parser, ')');
}

/* select = "SELECT" SP mailbox [SP "(" select-param *(SP select-param) ")"] */
IMAP_PARSE(select)
{
    struct imap_select_args *select = &args->select;

    TRY(imap_parse_space(parser));
    TRY(imap_parse_mailbox(parser, &select->name));
    select->name_as_sent = parser->name_as_sent;
    if (!imap_take(parser, ' '))
        return ERR_OK;
    TRY(imap_parse_byte(parser, '('));
    do {
        if (imap_take_word(parser, STR("CONDSTORE")))
            select->is_condstore = true;
        else if (imap_take_word(parser, STR("QRESYNC")) && !select->has_qresync)
            TRY(parse_qresync(parser, select));
        else
            return imap_expected(parser, "CONDSTORE or QRESYNC");
    } while (imap_take(parser, ' '));
    return imap_parse_byte(parser, ')');
}

/* ---- What SELECT always says ---- */

void imap_write_permanent_flags(struct imap_session *s)
{
    uint64_t all = vault_keywords(s->vault) | ((UINT64_C(1) << VAULT_KEYWORD_FIRST) - 1);

    if (s->view.is_read_only) {
        buf_put(&s->out, STR("()"));
        return;
    }
    imap_write_flags(&s->out, s->vault, all, false);
    /* "\*": keywords may be made; without it, they are as many as there may be (RFC 9051 §7.1). */
    if (!vault_keywords_can_grow(s->vault, s->now_ms))
        return;
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
    imap_write_flags(&s->out, s->vault, vault_keywords(s->vault) | system, false);
    buf_put(&s->out, STR("\r\n* OK [PERMANENTFLAGS "));
    imap_write_permanent_flags(s);
    buf_put(&s->out, STR("] Flags permitted.\r\n* "));
    imap_write_number(&s->out, view->count);
    buf_put(&s->out, STR(" EXISTS\r\n"));
    imap_write_recent(s);
    /* A message number; and IMAP4rev2 has it no more (RFC 9051 Appendix E). */
    if (first_unseen > 0 && !imap_has(s, IMAP_EXT_UIDONLY | IMAP_EXT_REV2))
        put_code(s, STR("UNSEEN"), first_unseen, STR("First unseen."));
    put_code(s, STR("UIDVALIDITY"), view->uidvalidity, STR("UIDs valid."));
    put_code(s, STR("UIDNEXT"), view->next_uid, STR("Predicted next UID."));
    put_code(s, STR("HIGHESTMODSEQ"), view->modseq, STR("Highest."));
}

static enum err open_folder(struct imap_session *s, struct task *task,
                            struct imap_select_args *select, bool is_read_only)
{
    struct vault_folder folder;
    size_t first_unseen;

    /* A failed SELECT leaves no mailbox selected (RFC 3501 §6.3.1). */
    if (s->state == IMAP_STATE_SELECTED) {
        imap_session_deselect(s);
        buf_put(&s->out, STR("* OK [CLOSED] The mailbox selected before is closed.\r\n"));
    }
    TRY(vault_folder_find(s->vault, task, select->name, &folder));
    if (!folder.is_selectable)
        return fail(task, ERR_NOT_FOUND, "the folder is \\Noselect");
    imap_room_give_back(s, IMAP_ROOM_VIEWS); /* of an attempt that failed */
    if (!imap_room_take(s, IMAP_ROOM_VIEWS, folder.message_count))
        return imap_refuse(s, task, IMAP_REFUSAL_BUSY);
    TRY(imap_view_open(&s->view, s->vault, task, &folder, is_read_only, &select->changed,
                       &first_unseen));
    imap_spend(s, s->view.count / 4);
    if (select->is_condstore)
        imap_enable_condstore(s);
    imap_session_select(s);
    describe(s, first_unseen);
    buf_put(&s->out, STR("* OK [MAILBOXID ")); /* RFC 8474 §4.2 */
    imap_write_mailbox_id(&s->out, &folder);
    buf_put(&s->out, STR("] The mailbox's identifier.\r\n"));
    if (imap_has(s, IMAP_EXT_REV2)) /* RFC 9051 §6.3.2 */
        imap_write_list(s, folder.name, &folder, folder.is_subscribed, select->name_as_sent);
    s->code = is_read_only ? STR("READ-ONLY") : STR("READ-WRITE");
    return ERR_OK;
}

/* ---- QRESYNC (RFC 7162 §3.2.5) ---- */

/* What vanished, and which messages have other flags than the client knows: of the list that was
 * read for the view, those that changed since. */
static enum err begin_resync(struct imap_session *s, struct task *task,
                             struct imap_select_args *select)
{
    /* Other UIDs: nothing of what the client knows is of use (§3.2.5.1). */
    if (select->uidvalidity != s->view.uidvalidity)
        return ERR_OK;
    if (select->known_uids.count == 0) {
        select->known_uids.ranges = ARENA_NEW(&task->arena, struct imap_range);
        select->known_uids.ranges[0] = (struct imap_range){1, UINT32_MAX};
        select->known_uids.count = 1;
    }
    imap_set_resolve(&select->known_uids, UINT32_MAX);
    TRY(imap_tell_vanished(s, task, select->modseq, &select->known_uids,
                           imap_match_sequence(s, &select->match_numbers, &select->match_uids)));
    for (size_t i = 0; i < s->view.count; i++)
        if (select->changed[i].modseq > select->modseq)
            select->changed[select->changed_count++] = select->changed[i];
    return ERR_OK;
}

static enum err run_select(struct imap_session *s, struct task *task,
                           struct imap_select_args *select, bool is_read_only)
{
    if (!select->is_started) {
        if (select->has_qresync && !imap_has(s, IMAP_EXT_QRESYNC))
            return imap_bad(s, task, "QRESYNC is not enabled.");
        if (select->match_numbers.count > 0 && imap_has(s, IMAP_EXT_UIDONLY))
            return imap_refuse(s, task, IMAP_REFUSAL_UID_REQUIRED);
        select->is_started = true;
        TRY(open_folder(s, task, select, is_read_only));
        if (select->has_qresync)
            TRY(begin_resync(s, task, select));
        /* Flags that were read just now are told in later turns. */
        s->subscriber.keywords_held = select->has_qresync ? vault_keywords(s->vault) : 0;
    }
    for (; select->next < select->changed_count; select->next++) {
        const struct vault_uid_flags *now = &select->changed[select->next];

        if (imap_must_give_way(s)) {
            imap_give_way(s);
            return ERR_OK;
        }
        imap_spend(s, 1);
        if (imap_set_contains(&select->known_uids, now->uid) && imap_view_has(&s->view, now->uid))
            imap_view_tell_flags(s, now);
    }
    return ERR_OK;
}

IMAP_COMMAND(select)
{
    return run_select(s, task, &args->select, false);
}

IMAP_COMMAND(examine)
{
    return run_select(s, task, &args->select, true);
}
