/*
 * QUOTA (RFC 9208): one quota root, named "", with the storage and the number of messages
 * that the operator gives; where he gives neither, none. GETQUOTA,
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

/* quota-list has one resource at least (§7), so a root without any is none. */
static bool has_root(const struct vault_usage *usage)
{
    return usage->limit_bytes != UINT64_MAX || usage->limit_messages != UINT64_MAX;
}

/* STORAGE is in units of 1,024 octets (RFC 9208 §5.1). */
static void write_quota(struct imap_session *s, const struct vault_usage *usage)
{
    buf_put(&s->out, STR("* QUOTA \"\" ("));
    if (usage->limit_bytes != UINT64_MAX) {
        buf_put(&s->out, STR("STORAGE "));
        imap_write_number(&s->out, usage->bytes / 1024 + (usage->bytes % 1024 > 0));
        buf_put(&s->out, STR(" "));
        imap_write_number(&s->out, usage->limit_bytes / 1024);
    }
    if (usage->limit_messages != UINT64_MAX) {
        buf_put(&s->out, usage->limit_bytes != UINT64_MAX ? STR(" MESSAGE ") : STR("MESSAGE "));
        imap_write_number(&s->out, usage->messages);
        buf_put(&s->out, STR(" "));
        imap_write_number(&s->out, usage->limit_messages);
    }
    buf_put(&s->out, STR(")\r\n"));
}

IMAP_COMMAND(getquota)
{
    struct vault_usage usage;

    vault_usage(s->vault, &usage);
    if (args->mailbox.name.len > 0 || !has_root(&usage))
        return imap_refuse(s, task, IMAP_REFUSAL_NO_QUOTA_ROOT);
    write_quota(s, &usage);
    return ERR_OK;
}

/* The mailbox need not exist: "which quota root would apply to a mailbox when it gets created"
 * (RFC 9208 §4.1.3). */
IMAP_COMMAND(getquotaroot)
{
    struct str name = args->mailbox.name;
    struct vault_usage usage;

    TRY(vault_folder_check_name(task, name));
    vault_usage(s->vault, &usage);
    buf_put(&s->out, STR("* QUOTAROOT "));
    imap_write_mailbox(&s->out, name, imap_names_are_utf8(s));
    buf_put(&s->out, has_root(&usage) ? STR(" \"\"\r\n") : STR("\r\n"));
    if (has_root(&usage))
        write_quota(s, &usage);
    return ERR_OK;
}

IMAP_COMMAND(setquota)
{
    (void)args;
    return imap_refuse(s, task, IMAP_REFUSAL_QUOTA_FIXED);
}
