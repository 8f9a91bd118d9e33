/*
 * APPEND (RFC 3501 §6.3.11, RFC 4315 §3) of one message or several (RFC 3502), which are all there
 * or none. Its answer waits for the commit it shares (group.c).
 */
#include "imap/append.h"

#include "imap/write.h"

/* utf8-literal = "UTF8" SP "(" literal8 ")" (RFC 6855 §4); the plain forms take UTF-8 as well
 * (RFC 9755). */
static enum err parse_utf8_literal(struct imap_parser *parser, struct str *out)
{
    TRY(imap_parse_space(parser));
    TRY(imap_parse_byte(parser, '('));
    TRY(imap_parse_literal8(parser, out));
    return imap_parse_byte(parser, ')');
}

/* literal / literal8 (RFC 3516 §4.4) / utf8-literal */
static enum err parse_bytes(struct imap_parser *parser, struct imap_append_message *out)
{
    out->is_literal8 = true;
    out->is_utf8 = imap_take_word(parser, STR("UTF8"));
    if (out->is_utf8)
        return parse_utf8_literal(parser, &out->bytes);
    if (imap_at(parser, '~'))
        return imap_parse_literal8(parser, &out->bytes);
    out->is_literal8 = false;
    return imap_parse_literal(parser, &out->bytes);
}

/*
 * [SP flag-list] [SP date-time] SP (literal / literal8 / utf8-literal)
 *
 * RFC 6855 §4 has a server refuse 8-bit header fields from a client that did not enable
 * UTF8=ACCEPT. We take them: such mail is old and plentiful, the programs that move mailboxes send
 * it so, and who moves in with it must not lose it.
 */
enum err imap_parse_append_message(struct imap_parser *parser, struct imap_append_message *out)
{
    TRY(imap_parse_space(parser));
    if (imap_at(parser, '(')) {
        TRY(imap_parse_flags(parser, false, &out->flags));
        TRY(imap_parse_space(parser));
    }
    if (imap_at(parser, '"')) {
        out->has_date = true;
        TRY(imap_parse_date_time(parser, &out->date_ms, &out->zone_minutes));
        TRY(imap_parse_space(parser));
    }
    return parse_bytes(parser, out);
}

/* The next of the messages; beyond the most that there may be, one that is forgotten. */
static struct imap_append_message *next_message(struct imap_parser *parser,
                                                struct imap_append_args *append, size_t *room,
                                                struct imap_append_message *forgotten)
{
    if (append->count == IMAP_APPEND_MESSAGES_MAX) {
        append->is_too_many = true;
        *forgotten = (struct imap_append_message){0};
        return forgotten;
    }
    if (append->count == *room)
        append->messages =
            arena_grow(&parser->task->arena, append->messages, room, 1, sizeof(*append->messages));
    return &append->messages[append->count++];
}

/* append = "APPEND" SP mailbox 1*append-message */
IMAP_PARSE(append)
{
    struct imap_append_message forgotten;
    size_t room = 0;

    TRY(imap_parse_space(parser));
    TRY(imap_parse_mailbox(parser, &args->append.name));
    do
        TRY(imap_parse_append_message(parser,
                                      next_message(parser, &args->append, &room, &forgotten)));
    while (imap_at(parser, ' '));
    return ERR_OK;
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

enum err imap_append_prepare(struct imap_session *s, struct task *task,
                             const struct imap_append_message *message, struct vault_append *out)
{
    *out = (struct vault_append){
        .raw = message->bytes,
        .internal_date_ms = message->has_date ? message->date_ms : s->now_ms,
        .internal_zone_minutes = message->zone_minutes,
        .is_utf8 = message->is_utf8 || imap_has(s, IMAP_EXT_UTF8),
    };
    if (message->bytes.len == 0)
        return imap_refuse(s, task, IMAP_REFUSAL_EMPTY_MESSAGE);
    if (message->bytes.len > s->options.append_limit_bytes)
        return imap_refuse(s, task, IMAP_REFUSAL_MESSAGE_TOO_BIG);
    /* CHAR8 = %x01-ff; an "error in … message text" is a NO (RFC 3501 §6.3.11, §9). */
    if (!message->is_literal8 && str_index(message->bytes, '\0') >= 0)
        return imap_refuse(s, task, IMAP_REFUSAL_NUL);
    return imap_flags_bits(s, task, &message->flags, true, &out->flags);
}

/* Before any of them is written: what is refused of one is refused of all. */
static enum err prepare_all(struct imap_session *s, struct task *task,
                            const struct imap_append_args *append, struct vault_append *out)
{
    for (size_t i = 0; i < append->count; i++)
        TRY(imap_append_prepare(s, task, &append->messages[i], &out[i]));
    return ERR_OK;
}

/* All or nothing, and done in one turn: no more than that allows, nor than MESSAGELIMIT says. */
static uint32_t messages_max(const struct imap_session *s)
{
    uint32_t limit = s->options.message_limit;

    return limit != 0 && limit < IMAP_APPEND_MESSAGES_MAX ? limit : IMAP_APPEND_MESSAGES_MAX;
}

/*
 * "NO [MESSAGELIMIT 256]" (RFC 9738 §3.1), with the number that APPEND goes by, since that is
 * what tells the client how to cut its messages up; where no limit is announced, LIMIT (RFC 5530).
 */
static enum err refuse_count(struct imap_session *s, struct task *task)
{
    if (s->options.message_limit == 0)
        return imap_refuse(s, task, IMAP_REFUSAL_MESSAGES_TOO_MANY);
    s->code = arena_printf(&task->arena, "MESSAGELIMIT %u", messages_max(s));
    return imap_refuse(s, task, IMAP_REFUSAL_MESSAGE_LIMIT);
}

IMAP_COMMAND(append)
{
    const struct imap_append_args *append = &args->append;
    struct vault_append *what = ARENA_ARRAY(&task->arena, struct vault_append, append->count);
    uint32_t *uids = ARENA_ARRAY(&task->arena, uint32_t, append->count);
    CLEANUP(buf_free) struct buf code = {0};
    size_t bytes = 0;

    if (append->is_too_many || append->count > messages_max(s))
        return refuse_count(s, task);
    for (size_t i = 0; i < append->count; i++) {
        bytes += append->messages[i].bytes.len;
        if (append->messages[i].bytes.len == 0)
            return imap_refuse(s, task, IMAP_REFUSAL_EMPTY_MESSAGE);
    }
    TRY(imap_group_join(s, task, bytes));
    TRY(find_folder(s, task, append->name));
    imap_group_note_folder(s);
    TRY(prepare_all(s, task, append, what));
    if (append->count == 1)
        TRY(vault_message_append(s->vault, task, s->append_folder_id, what, uids));
    else
        TRY(vault_message_append_all(s->vault, task, s->append_folder_id, what, append->count,
                                     uids));
    imap_spend(s, 200 * append->count + bytes / 64);
    buf_init(&code, SIZE_MAX);
    buf_put(&code, STR("APPENDUID "));
    imap_write_number(&code, s->append_uidvalidity);
    buf_put(&code, STR(" "));
    imap_write_set(&code, uids, append->count);
    s->code = arena_copy(&task->arena, buf_str(&code));
    return ERR_OK;
}
