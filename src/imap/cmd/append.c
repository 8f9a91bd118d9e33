/* APPEND (RFC 3501 §6.3.11, RFC 4315 §3). Its answer waits for the commit it shares (group.c). */
#include "imap/engine.h"

/* append = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP literal */
IMAP_PARSE(append)
{
    TRY(imap_parse_space(parser));
    TRY(imap_parse_mailbox(parser, &args->append.name));
    TRY(imap_parse_space(parser));
    if (imap_at(parser, '(')) {
        TRY(imap_parse_flags(parser, false, &args->append.flags));
        TRY(imap_parse_space(parser));
    }
    if (imap_at(parser, '"')) {
        args->append.has_date = true;
        TRY(imap_parse_date_time(parser, &args->append.date_ms, &args->append.zone_minutes));
        TRY(imap_parse_space(parser));
    }
    if (imap_at(parser, '~')) /* RFC 3516 §4.4; what has no NUL is no different */
        return imap_parse_literal8(parser, &args->append.message);
    return imap_parse_literal(parser, &args->append.message);
}

static enum err find_folder(struct imap_session *s, struct task *task, struct str name)
{
    struct vault_folder folder;

    if (s->append_name.len > 0 && str_equal(name, buf_str(&s->append_name)))
        return ERR_OK;
    TRY(vault_folder_find(s->vault, task, name, &folder));
    if (!folder.is_selectable)
        return fail(task, ERR_NOT_FOUND, "the folder is \\Noselect");
    buf_reset(&s->append_name);
    buf_put(&s->append_name, name);
    s->append_folder_id = folder.id;
    s->append_uidvalidity = folder.uidvalidity;
    return ERR_OK;
}

IMAP_COMMAND(append)
{
    const struct imap_append_args *append = &args->append;
    struct vault_append what = {
        .raw = append->message,
        .internal_date_ms = append->has_date ? append->date_ms : s->now_ms,
        .internal_zone_minutes = append->zone_minutes,
    };
    uint32_t uid = 0;

    if (append->message.len == 0)
        return imap_refuse(s, task, IMAP_REFUSAL_EMPTY_MESSAGE);
    if (append->message.len > s->options.append_limit_bytes)
        return imap_refuse(s, task, IMAP_REFUSAL_MESSAGE_TOO_BIG);
    TRY(imap_group_join(s, task, append->message.len));
    TRY(find_folder(s, task, append->name));
    TRY(imap_flags_bits(&append->flags, s->vault, task, true, &what.flags));
    TRY(vault_message_append(s->vault, task, s->append_folder_id, &what, &uid));
    imap_spend(s, 200 + append->message.len / 64);
    s->code = arena_printf(&task->arena, "APPENDUID %u %u", s->append_uidvalidity, uid);
    return ERR_OK;
}
