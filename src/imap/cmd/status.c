/* STATUS (RFC 3501 §6.3.10, RFC 7162 §3.1.7, RFC 7889 §3, RFC 8438, RFC 9051 §6.3.11, RFC 9208
 * §4.1.4, RFC 8474 §4.3). */
#include "imap/engine.h"

#include "imap/write.h"
#include "vault/identity.h"

static const struct {
    struct str name;
    enum imap_status_item item;
} ITEMS[] = {
    {STR_INIT("MESSAGES"), IMAP_STATUS_MESSAGES},
    {STR_INIT("RECENT"), IMAP_STATUS_RECENT},
    {STR_INIT("UIDNEXT"), IMAP_STATUS_UIDNEXT},
    {STR_INIT("UIDVALIDITY"), IMAP_STATUS_UIDVALIDITY},
    {STR_INIT("UNSEEN"), IMAP_STATUS_UNSEEN},
    {STR_INIT("HIGHESTMODSEQ"), IMAP_STATUS_HIGHESTMODSEQ},
    {STR_INIT("APPENDLIMIT"), IMAP_STATUS_APPENDLIMIT},
    {STR_INIT("SIZE"), IMAP_STATUS_SIZE},
    {STR_INIT("DELETED"), IMAP_STATUS_DELETED},
    {STR_INIT("DELETED-STORAGE"), IMAP_STATUS_DELETED_STORAGE},
    {STR_INIT("MAILBOXID"), IMAP_STATUS_MAILBOXID},
};

/* "(" status-att *(SP status-att) ")" */
enum err imap_parse_status_items(struct imap_parser *parser, unsigned *out_items)
{
    *out_items = 0;
    TRY(imap_parse_byte(parser, '('));
    do {
        unsigned item = 0;

        for (size_t i = 0; i < ARRAY_LEN(ITEMS) && item == 0; i++)
            if (imap_take_word(parser, ITEMS[i].name))
                item = ITEMS[i].item;
        if (item == 0)
            return imap_expected(parser, "a STATUS item");
        *out_items |= item;
    } while (imap_take(parser, ' '));
    return imap_parse_byte(parser, ')');
}

IMAP_PARSE(status)
{
    TRY(imap_parse_space(parser));
    TRY(imap_parse_mailbox(parser, &args->status.name));
    TRY(imap_parse_space(parser));
    return imap_parse_status_items(parser, &args->status.items);
}

static enum err value_of(struct imap_session *s, struct task *task,
                         const struct vault_folder *folder, enum imap_status_item item,
                         uint64_t *out)
{
    *out = 0;
    switch (item) {
    case IMAP_STATUS_MESSAGES:
        *out = folder->message_count;
        break;
    case IMAP_STATUS_RECENT:
        *out = folder->recent_count;
        break;
    case IMAP_STATUS_UIDNEXT:
        *out = folder->uidnext;
        break;
    case IMAP_STATUS_UIDVALIDITY:
        *out = folder->uidvalidity;
        break;
    case IMAP_STATUS_UNSEEN:
        *out = folder->unseen_count;
        break;
    case IMAP_STATUS_HIGHESTMODSEQ:
        *out = folder->highest_modseq;
        break;
    case IMAP_STATUS_APPENDLIMIT:
        *out = s->options.append_limit_bytes;
        break;
    case IMAP_STATUS_SIZE:
        *out = folder->size_bytes;
        break;
    case IMAP_STATUS_DELETED:
        *out = folder->deleted_count;
        break;
    case IMAP_STATUS_DELETED_STORAGE: /* looks at every row, if there is one to be found */
        if (folder->deleted_count > 0)
            imap_spend(s, folder->message_count / 4);
        return vault_folder_deleted_bytes(s->vault, task, folder->id, out);
    case IMAP_STATUS_MAILBOXID: /* no number */
        break;
    }
    return ERR_OK;
}

void imap_write_mailbox_id(struct buf *out, const struct vault_folder *folder)
{
    char text[VAULT_IDENTITY_ROOM];

    vault_identity_write_folder(folder, text);
    buf_put(out, STR("("));
    buf_put(out, str_from_c(text));
    buf_put(out, STR(")"));
}

enum err imap_write_status(struct imap_session *s, struct task *task,
                           const struct vault_folder *folder, unsigned items)
{
    uint64_t values[ARRAY_LEN(ITEMS)];
    struct str separator = STR(" (");

    for (size_t i = 0; i < ARRAY_LEN(ITEMS); i++)
        if (items & ITEMS[i].item)
            TRY(value_of(s, task, folder, ITEMS[i].item, &values[i]));
    buf_put(&s->out, STR("* STATUS "));
    imap_write_mailbox(&s->out, folder->name, imap_names_are_utf8(s));
    for (size_t i = 0; i < ARRAY_LEN(ITEMS); i++) {
        if ((items & ITEMS[i].item) == 0)
            continue;
        buf_put(&s->out, separator);
        separator = STR(" ");
        buf_put(&s->out, ITEMS[i].name);
        buf_put(&s->out, STR(" "));
        if (ITEMS[i].item == IMAP_STATUS_MAILBOXID)
            imap_write_mailbox_id(&s->out, folder);
        else
            imap_write_number(&s->out, values[i]);
    }
    buf_put(&s->out, STR(")\r\n"));
    return ERR_OK;
}

IMAP_COMMAND(status)
{
    struct vault_folder folder;

    TRY(vault_folder_find(s->vault, task, args->status.name, &folder));
    if (!folder.is_selectable)
        return fail(task, ERR_NOT_FOUND, "the folder is \\Noselect");
    if (args->status.items & IMAP_STATUS_HIGHESTMODSEQ)
        imap_enable_condstore(s);
    return imap_write_status(s, task, &folder, args->status.items);
}
