#include "imap/engine.h"

/* RFC 3501 §6.3.6, §6.3.7 */
IMAP_COMMAND(subscribe)
{
    return vault_folder_subscribe(s->vault, task, args->mailbox.name, true);
}

IMAP_COMMAND(unsubscribe)
{
    return vault_folder_subscribe(s->vault, task, args->mailbox.name, false);
}
