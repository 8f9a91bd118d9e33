#include "imap/engine.h"

#include "imap/list_reply.h"

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
    struct vault_folder folder;

    if (str_ends_with(to, STR("/")))
        to.len--;
    TRY(vault_folder_rename(s->vault, task, args->rename.from, to));
    if (!imap_has(s, IMAP_EXT_REV2))
        return ERR_OK;
    /* RFC 9051 §6.3.9.7 */
    TRY(vault_folder_find(s->vault, task, to, &folder));
    imap_write_list(s, folder.name, &folder, folder.is_subscribed, args->rename.from);
    return ERR_OK;
}
