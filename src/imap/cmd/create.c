#include "imap/engine.h"

/* RFC 3501 §6.3.3 */
IMAP_COMMAND(create)
{
    struct str name = args->mailbox.name;

    /* A trailing delimiter only announces children; parents come by themselves. */
    if (str_ends_with(name, STR("/")))
        name.len--;
    return vault_folder_create(s->vault, task, name, VAULT_USE_NONE);
}
