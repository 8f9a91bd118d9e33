#include "imap/engine.h"

/* RFC 3691: as CLOSE, but nothing is expunged. */
IMAP_COMMAND(unselect)
{
    (void)task;
    (void)args;
    imap_session_deselect(s);
    return ERR_OK;
}
