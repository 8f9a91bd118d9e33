#include "imap/engine.h"

/* rename = "RENAME" SP mailbox SP mailbox */
IMAP_PARSE(rename)
{
    TRY(imap_parse_space(parser));
    TRY(imap_parse_mailbox(parser, &args->rename.from));
    TRY(imap_parse_space(parser));
    return imap_parse_mailbox(parser, &args->rename.to);
}

/* RFC 3501 §6.3.5 */
IMAP_COMMAND(rename)
{
    struct str to = args->rename.to;

    if (str_ends_with(to, STR("/")))
        to.len--;
    return vault_folder_rename(s->vault, task, args->rename.from, to);
}
