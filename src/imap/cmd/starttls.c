#include "imap/engine.h"

/*
 * RFC 3501 §6.2.1. The tagged answer goes in clear, then TLS begins; what came behind the command
 * in the same packet was not encrypted and is dropped (imap_session_secured).
 */
IMAP_COMMAND(starttls)
{
    (void)args;
    if (s->options.is_tls)
        return imap_bad(s, task, "TLS is on already.");
    imap_reader_drop(&s->reader);
    imap_write_words(&s->out, s->tag, STR("OK"), "Begin TLS now.");
    s->pause = IMAP_PAUSE_TLS;
    return ERR_OK;
}
