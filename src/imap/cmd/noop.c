#include "imap/engine.h"

/* RFC 3501 §6.1.2: the dispatcher tells what changed, as after every command. */
IMAP_COMMAND(noop)
{
    (void)s;
    (void)task;
    (void)args;
    return ERR_OK;
}
