/*
 * QUOTA (RFC 9208): one quota root, named "", with the storage and the number of messages
 * that the operator gives, where he does. GETQUOTA,
 * GETQUOTAROOT, and SETQUOTA, which is always refused.
 */
#include "imap/engine.h"

#include "imap/write.h"

IMAP_PARSE(getquota)
{
    TRY(imap_parse_space(parser));
    return imap_parse_astring(parser, &args->mailbox.name);
}

/* setquota = "SETQUOTA" SP quota-root SP "(" [resource SP number *(SP …)] ")" */
IMAP_PARSE(setquota)
{
    struct str resource;
    uint64_t limit;

    TRY(imap_parse_getquota(parser, args));
    TRY(imap_parse_space(parser));
    TRY(imap_parse_byte(parser, '('));
    if (imap_take(parser, ')'))
        return ERR_OK;
    do {
        TRY(imap_parse_atom(parser, &resource));
        TRY(imap_parse_space(parser));
        TRY(imap_parse_number64(parser, &limit));
    } while (imap_take(parser, ' '));
    return imap_parse_byte(parser, ')');
}

/* STORAGE is in units of 1,024 octets (RFC 9208 §5.1). */
static void write_quota(struct imap_session *s)
{
    struct vault_usage usage;

    vault_usage(s->vault, &usage);
    buf_put(&s->out, STR("* QUOTA \"\" ("));
    if (usage.limit_bytes != UINT64_MAX) {
        buf_put(&s->out, STR("STORAGE "));
        imap_write_number(&s->out, usage.bytes / 1024 + (usage.bytes % 1024 > 0));
        buf_put(&s->out, STR(" "));
        imap_write_number(&s->out, usage.limit_bytes / 1024);
    }
    if (usage.limit_messages != UINT64_MAX) {
        buf_put(&s->out, usage.limit_bytes != UINT64_MAX ? STR(" MESSAGE ") : STR("MESSAGE "));
        imap_write_number(&s->out, usage.messages);
        buf_put(&s->out, STR(" "));
        imap_write_number(&s->out, usage.limit_messages);
    }
    buf_put(&s->out, STR(")\r\n"));
}

IMAP_COMMAND(getquota)
{
    if (args->mailbox.name.len > 0)
        return imap_refuse(s, task, IMAP_REFUSAL_NO_QUOTA_ROOT);
    write_quota(s);
    return ERR_OK;
}

IMAP_COMMAND(getquotaroot)
{
    struct vault_folder folder;

    TRY(vault_folder_find(s->vault, task, args->mailbox.name, &folder));
    buf_put(&s->out, STR("* QUOTAROOT "));
    imap_write_mailbox(&s->out, folder.name, imap_names_are_utf8(s));
    buf_put(&s->out, STR(" \"\"\r\n"));
    write_quota(s);
    return ERR_OK;
}

IMAP_COMMAND(setquota)
{
    (void)args;
    return imap_refuse(s, task, IMAP_REFUSAL_QUOTA_FIXED);
}
