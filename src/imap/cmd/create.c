/* CREATE (RFC 3501 §6.3.3) with USE (RFC 6154 §3) and MAILBOXID (RFC 8474 §4.1). */
#include "imap/engine.h"

#include "imap/list_reply.h"

enum { USES_MAX = 16 };

/* create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"] */
IMAP_PARSE(create)
{
    struct str attribute;

    TRY(imap_parse_one_mailbox(parser, args));
    args->create.name = args->mailbox.name;
    args->create.name_as_sent = parser->name_as_sent;
    if (!imap_take(parser, ' '))
        return ERR_OK;
    TRY(imap_parse_byte(parser, '('));
    if (!imap_take_word(parser, STR("USE")))
        return imap_expected(parser, "USE");
    TRY(imap_parse_space(parser));
    TRY(imap_parse_byte(parser, '('));
    args->create.has_use = true;
    args->create.uses = ARENA_ARRAY(&parser->task->arena, struct str, USES_MAX);
    if (!imap_take(parser, ')')) {
        do {
            struct str start = parser->rest;

            if (args->create.use_count == USES_MAX)
                return imap_expected(parser, "fewer attributes");
            TRY(imap_parse_byte(parser, '\\'));
            TRY(imap_parse_atom(parser, &attribute));
            args->create.uses[args->create.use_count++] = str_upto(start, attribute.len + 1);
        } while (imap_take(parser, ' '));
        TRY(imap_parse_byte(parser, ')'));
    }
    return imap_parse_byte(parser, ')');
}

/* RFC 6154 §3: what cannot be had is refused, and no mailbox is made without it. */
static enum err use_of(struct imap_session *s, struct task *task, const union imap_args *args,
                       enum vault_special_use *out)
{
    *out = VAULT_USE_NONE;
    if (args->create.use_count == 0)
        return ERR_OK;
    *out = imap_use_named(args->create.uses[0]);
    for (size_t i = 1; i < args->create.use_count; i++)
        if (!str_equal_nocase(args->create.uses[i], args->create.uses[0]))
            return imap_refuse(s, task, IMAP_REFUSAL_USE);
    if (!imap_use_is_real(*out) || vault_folder_has_use(s->vault, *out))
        return imap_refuse(s, task, IMAP_REFUSAL_USE);
    return ERR_OK;
}

IMAP_COMMAND(create)
{
    struct str name = args->create.name;
    CLEANUP(buf_free) struct buf code = {0};
    enum vault_special_use use;
    struct vault_folder folder;

    /* A trailing delimiter only announces children; parents come by themselves. */
    if (str_ends_with(name, STR("/")))
        name.len--;
    TRY(use_of(s, task, args, &use));
    TRY(vault_folder_create(s->vault, task, name, use));
    TRY(vault_folder_find(s->vault, task, name, &folder));
    /* RFC 9051 §6.3.4: the name is not quite the one that was asked for. */
    if (imap_has(s, IMAP_EXT_REV2) && args->create.name_as_sent.len > 0)
        imap_write_list(s, folder.name, &folder, folder.is_subscribed, args->create.name_as_sent);
    /* RFC 8474 §4.1 */
    buf_init(&code, SIZE_MAX);
    buf_put(&code, STR("MAILBOXID "));
    imap_write_mailbox_id(&code, &folder);
    s->code = arena_copy(&task->arena, buf_str(&code));
    return ERR_OK;
}
