/* STATUS (RFC 3501 §6.3.10, RFC 7162 §3.1.7, RFC 7889 §3). */
#include "imap/engine.h"

#include "imap/write.h"

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

static uint64_t value_of(const struct imap_session *s, const struct vault_folder *folder,
                         enum imap_status_item item)
{
    switch (item) {
    case IMAP_STATUS_MESSAGES:
        return folder->message_count;
    case IMAP_STATUS_RECENT:
        return folder->recent_count;
    case IMAP_STATUS_UIDNEXT:
        return folder->uidnext;
    case IMAP_STATUS_UIDVALIDITY:
        return folder->uidvalidity;
    case IMAP_STATUS_UNSEEN:
        return folder->unseen_count;
    case IMAP_STATUS_HIGHESTMODSEQ:
        return folder->highest_modseq;
    case IMAP_STATUS_APPENDLIMIT:
        return s->options.append_limit_bytes;
    }
    return 0;
}

void imap_write_status(struct imap_session *s, const struct vault_folder *folder, unsigned items)
{
    struct str separator = STR(" (");

    buf_put(&s->out, STR("* STATUS "));
    imap_write_mailbox(&s->out, folder->name);
    for (size_t i = 0; i < ARRAY_LEN(ITEMS); i++) {
        if ((items & ITEMS[i].item) == 0)
            continue;
        buf_put(&s->out, separator);
        separator = STR(" ");
        buf_put(&s->out, ITEMS[i].name);
        buf_put(&s->out, STR(" "));
        imap_write_number(&s->out, value_of(s, folder, ITEMS[i].item));
    }
    buf_put(&s->out, STR(")\r\n"));
}

IMAP_COMMAND(status)
{
    struct vault_folder folder;

    TRY(vault_folder_find(s->vault, task, args->status.name, &folder));
    if (!folder.is_selectable)
        return fail(task, ERR_NOT_FOUND, "the folder is \\Noselect");
    if (args->status.items & IMAP_STATUS_HIGHESTMODSEQ)
        imap_enable_condstore(s);
    imap_write_status(s, &folder, args->status.items);
    return ERR_OK;
}
