#include "imap/engine.h"

/*
 * RFC 2177. Until "DONE" comes, changes are told as they are committed (session.c, tell_idle). A
 * client idles in the authenticated state too; there is nothing to tell then.
 */
IMAP_COMMAND(idle)
{
    (void)args;
    if (!s->is_idling) {
        s->is_idling = true;
        if (s->view.facts != NULL)
            imap_facts_rest(s->view.facts);
        s->has_changes = true; /* of before: told by the first turn */
        s->pause = IMAP_PAUSE_LINE;
        buf_put(&s->out, STR("+ idling\r\n"));
        if (s->state == IMAP_STATE_SELECTED)
            imap_sync_or_end(s, task, true);
        s->has_changes = false;
        return ERR_OK;
    }
    s->is_idling = false;
    if (!str_equal_nocase(s->line, STR("DONE")))
        return imap_bad(s, task, "Expected DONE.");
    return ERR_OK;
}
