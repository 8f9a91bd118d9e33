#include "imap/engine.h"

/* RFC 3501 §6.4.1: every commit is a checkpoint here. */
IMAP_COMMAND(check)
{
    (void)s;
    (void)task;
    (void)args;
    return ERR_OK;
}
