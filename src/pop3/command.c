#include "pop3/command.h"

#include "base/ascii.h"
#include "base/macros.h"

enum { BEFORE = POP3_IN_AUTHORIZATION, AFTER = POP3_IN_TRANSACTION, BOTH = BEFORE | AFTER };

static bool parse_none(struct str text, union pop3_args *args)
{
    (void)args;
    return str_trim(text).len == 0;
}

/* All that follows the one space, further spaces included (RFC 1939 §7, PASS); it may be nothing,
 * so that an empty password is refused like a wrong one. */
static bool parse_line(struct str text, union pop3_args *args)
{
    args->line.text = text;
    return text.ptr != NULL;
}

/* RFC 5034 §4: mechanism [initial-response]; "=" is an empty one. */
static bool parse_auth(struct str text, union pop3_args *args)
{
    text = str_trim(text);
    str_split(&text, ' ', &args->auth.mechanism);
    args->auth.has_initial = text.ptr != NULL;
    args->auth.initial = str_trim(text);
    return args->auth.mechanism.len > 0;
}

/* [msg] */
static bool parse_list(struct str text, union pop3_args *args)
{
    text = str_trim(text);
    args->list.has_number = text.len > 0;
    return text.len == 0 || parse_u32(text, &args->list.number);
}

/* msg */
static bool parse_message(struct str text, union pop3_args *args)
{
    return parse_u32(str_trim(text), &args->message.number);
}

/* n: "non-negative number of lines" (RFC 1939 §7), of any length. More than a message has is all of
 * them. */
static bool parse_lines(struct str text, uint32_t *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.ptr[i]))
            return false;
    }
    if (!parse_u32(text, out))
        *out = UINT32_MAX;
    return text.len > 0;
}

/* msg n */
static bool parse_top(struct str text, union pop3_args *args)
{
    struct str number, rest = str_trim(text);

    return str_split(&rest, ' ', &number) && parse_u32(number, &args->message.number) &&
           parse_lines(str_trim(rest), &args->message.lines);
}

#define NAME(text) STR_INIT(text)

/* In the order of RFC 1939 §5 to §7, then the extensions by RFC. */
const struct pop3_command pop3_commands[] = {
    {NAME("QUIT"), BOTH, parse_none, pop3_cmd_quit, "RFC 1939 §4, §6"},
    {NAME("STAT"), AFTER, parse_none, pop3_cmd_stat, "RFC 1939 §5"},
    {NAME("LIST"), AFTER, parse_list, pop3_cmd_list, "RFC 1939 §5"},
    {NAME("RETR"), AFTER, parse_message, pop3_cmd_retr, "RFC 1939 §5"},
    {NAME("DELE"), AFTER, parse_message, pop3_cmd_dele, "RFC 1939 §5"},
    {NAME("NOOP"), AFTER, parse_none, pop3_cmd_noop, "RFC 1939 §5"},
    {NAME("RSET"), AFTER, parse_none, pop3_cmd_rset, "RFC 1939 §5"},
    {NAME("TOP"), AFTER, parse_top, pop3_cmd_top, "RFC 1939 §7"},
    {NAME("UIDL"), AFTER, parse_list, pop3_cmd_uidl, "RFC 1939 §7"},
    {NAME("USER"), BEFORE, parse_line, pop3_cmd_user, "RFC 1939 §7"},
    {NAME("PASS"), BEFORE, parse_line, pop3_cmd_pass, "RFC 1939 §7"},
    {NAME("CAPA"), BOTH, parse_none, pop3_cmd_capa, "RFC 2449 §5"},
    {NAME("STLS"), BEFORE, parse_none, pop3_cmd_stls, "RFC 2595 §4"},
    {NAME("AUTH"), BEFORE, parse_auth, pop3_cmd_auth, "RFC 5034 §4"},
    {NAME("UTF8"), BEFORE, parse_none, pop3_cmd_utf8, "RFC 6856 §2.1"},
};
const size_t pop3_command_count = ARRAY_LEN(pop3_commands);

const struct pop3_command *pop3_command_find(struct str name)
{
    for (size_t i = 0; i < pop3_command_count; i++) {
        if (str_equal_nocase(name, pop3_commands[i].name))
            return &pop3_commands[i];
    }
    return NULL;
}
