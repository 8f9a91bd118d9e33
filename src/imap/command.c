#include "imap/command.h"

#include "base/macros.h"

enum {
    NOT_AUTH = IMAP_IN_NOT_AUTH,
    ANY = IMAP_IN_NOT_AUTH | IMAP_IN_AUTH | IMAP_IN_SELECTED,
    AUTH = IMAP_IN_AUTH | IMAP_IN_SELECTED,
    SELECTED = IMAP_IN_SELECTED,
    FIXED = IMAP_NO_EXPUNGE,
    WRITES = IMAP_WRITES,
    TO_FOLDER = IMAP_TO_FOLDER,
    BY_UID = IMAP_BY_UID,
    NO_SYNC = IMAP_NO_SYNC,
    LARGE = IMAP_IS_LARGE,
};

#define NAME(text) STR_INIT(text)

/* In the order of RFC 3501 §6, then the extensions by RFC. */
const struct imap_command imap_commands[] = {
    {NAME("CAPABILITY"), ANY, imap_parse_none, imap_cmd_capability, "RFC 3501 §6.1.1"},
    {NAME("NOOP"), ANY, imap_parse_none, imap_cmd_noop, "RFC 3501 §6.1.2"},
    {NAME("LOGOUT"), ANY | NO_SYNC, imap_parse_none, imap_cmd_logout, "RFC 3501 §6.1.3"},
    {NAME("STARTTLS"), NOT_AUTH, imap_parse_none, imap_cmd_starttls, "RFC 3501 §6.2.1"},
    {NAME("AUTHENTICATE"), NOT_AUTH, imap_parse_authenticate, imap_cmd_authenticate,
     "RFC 3501 §6.2.2"},
    {NAME("LOGIN"), NOT_AUTH, imap_parse_login, imap_cmd_login, "RFC 3501 §6.2.3"},
    {NAME("SELECT"), AUTH | NO_SYNC, imap_parse_select, imap_cmd_select, "RFC 3501 §6.3.1"},
    {NAME("EXAMINE"), AUTH | NO_SYNC, imap_parse_select, imap_cmd_examine, "RFC 3501 §6.3.2"},
    {NAME("CREATE"), AUTH, imap_parse_create, imap_cmd_create, "RFC 3501 §6.3.3"},
    {NAME("DELETE"), AUTH, imap_parse_one_mailbox, imap_cmd_delete, "RFC 3501 §6.3.4"},
    {NAME("RENAME"), AUTH, imap_parse_rename, imap_cmd_rename, "RFC 3501 §6.3.5"},
    {NAME("SUBSCRIBE"), AUTH, imap_parse_one_mailbox, imap_cmd_subscribe, "RFC 3501 §6.3.6"},
    {NAME("UNSUBSCRIBE"), AUTH, imap_parse_one_mailbox, imap_cmd_unsubscribe, "RFC 3501 §6.3.7"},
    {NAME("LIST"), AUTH, imap_parse_list, imap_cmd_list, "RFC 3501 §6.3.8"},
    {NAME("LSUB"), AUTH, imap_parse_lsub, imap_cmd_lsub, "RFC 3501 §6.3.9"},
    {NAME("STATUS"), AUTH, imap_parse_status, imap_cmd_status, "RFC 3501 §6.3.10"},
    {NAME("APPEND"), AUTH | TO_FOLDER | IMAP_TAKES_MESSAGE, imap_parse_append, imap_cmd_append,
     "RFC 3501 §6.3.11"},
    {NAME("CHECK"), SELECTED, imap_parse_none, imap_cmd_check, "RFC 3501 §6.4.1"},
    {NAME("CLOSE"), SELECTED | NO_SYNC, imap_parse_none, imap_cmd_close, "RFC 3501 §6.4.2"},
    {NAME("EXPUNGE"), SELECTED | WRITES, imap_parse_none, imap_cmd_expunge, "RFC 3501 §6.4.3"},
    {NAME("SEARCH"), SELECTED | FIXED, imap_parse_search, imap_cmd_search, "RFC 3501 §6.4.4"},
    {NAME("UID SEARCH"), SELECTED | BY_UID, imap_parse_search, imap_cmd_search, "RFC 3501 §6.4.8"},
    {NAME("FETCH"), SELECTED | FIXED, imap_parse_fetch, imap_cmd_fetch, "RFC 3501 §6.4.5"},
    {NAME("UID FETCH"), SELECTED | BY_UID, imap_parse_fetch, imap_cmd_fetch, "RFC 3501 §6.4.8"},
    {NAME("STORE"), SELECTED | FIXED | WRITES, imap_parse_store, imap_cmd_store, "RFC 3501 §6.4.6"},
    {NAME("UID STORE"), SELECTED | BY_UID | WRITES, imap_parse_store, imap_cmd_store,
     "RFC 3501 §6.4.8"},
    {NAME("COPY"), SELECTED | TO_FOLDER, imap_parse_copy, imap_cmd_copy, "RFC 3501 §6.4.7"},
    {NAME("UID COPY"), SELECTED | BY_UID | TO_FOLDER, imap_parse_copy, imap_cmd_copy,
     "RFC 3501 §6.4.8"},
    {NAME("IDLE"), AUTH, imap_parse_none, imap_cmd_idle, "RFC 2177 §3"},
    {NAME("NAMESPACE"), AUTH, imap_parse_none, imap_cmd_namespace, "RFC 2342 §5"},
    {NAME("ID"), ANY, imap_parse_id, imap_cmd_id, "RFC 2971 §3.1"},
    {NAME("UNSELECT"), SELECTED | NO_SYNC, imap_parse_none, imap_cmd_unselect, "RFC 3691 §2"},
    {NAME("UID EXPUNGE"), SELECTED | BY_UID | WRITES, imap_parse_one_set, imap_cmd_uid_expunge,
     "RFC 4315 §2.1"},
    {NAME("COMPRESS"), AUTH, imap_parse_compress, imap_cmd_compress, "RFC 4978 §3"},
    {NAME("ENABLE"), AUTH, imap_parse_enable, imap_cmd_enable, "RFC 5161 §3.1"},
    {NAME("NOTIFY"), AUTH, imap_parse_notify, imap_cmd_notify, "RFC 5465 §3.1"},
    {NAME("SORT"), SELECTED | FIXED | LARGE, imap_parse_sort, imap_cmd_sort, "RFC 5256 §3"},
    {NAME("UID SORT"), SELECTED | BY_UID | LARGE, imap_parse_sort, imap_cmd_sort, "RFC 5256 §3"},
    {NAME("THREAD"), SELECTED | FIXED | LARGE, imap_parse_thread, imap_cmd_thread, "RFC 5256 §3"},
    {NAME("UID THREAD"), SELECTED | BY_UID | LARGE, imap_parse_thread, imap_cmd_thread,
     "RFC 5256 §3"},
    {NAME("MOVE"), SELECTED | TO_FOLDER | WRITES, imap_parse_copy, imap_cmd_move, "RFC 6851 §3.1"},
    {NAME("UID MOVE"), SELECTED | BY_UID | TO_FOLDER | WRITES, imap_parse_copy, imap_cmd_move,
     "RFC 6851 §3.2"},
    {NAME("GETMETADATA"), AUTH, imap_parse_getmetadata, imap_cmd_getmetadata, "RFC 5464 §4.2"},
    {NAME("SETMETADATA"), AUTH, imap_parse_setmetadata, imap_cmd_setmetadata, "RFC 5464 §4.3"},
    {NAME("REPLACE"), SELECTED | TO_FOLDER | WRITES | IMAP_TAKES_MESSAGE, imap_parse_replace,
     imap_cmd_replace, "RFC 8508 §3.1"},
    {NAME("UID REPLACE"), SELECTED | BY_UID | TO_FOLDER | WRITES | IMAP_TAKES_MESSAGE,
     imap_parse_replace, imap_cmd_replace, "RFC 8508 §3.2"},
    {NAME("ESEARCH"), AUTH | LARGE, imap_parse_esearch, imap_cmd_esearch, "RFC 7377 §2"},
    {NAME("GETQUOTA"), AUTH, imap_parse_getquota, imap_cmd_getquota, "RFC 9208 §4.1.2"},
    {NAME("GETQUOTAROOT"), AUTH, imap_parse_one_mailbox, imap_cmd_getquotaroot, "RFC 9208 §4.1.3"},
    {NAME("SETQUOTA"), AUTH, imap_parse_setquota, imap_cmd_setquota, "RFC 9208 §4.1.1"},
};
const size_t imap_command_count = ARRAY_LEN(imap_commands);

const struct imap_command *imap_command_find(struct str name)
{
    for (size_t i = 0; i < imap_command_count; i++)
        if (str_equal_nocase(name, imap_commands[i].name))
            return &imap_commands[i];
    return NULL;
}

const struct imap_command *imap_command_of_line(struct str line)
{
    struct str tag, start, name, second;

    if (!str_split(&line, ' ', &tag))
        return NULL;
    start = line;
    if (!str_split(&line, ' ', &name))
        return NULL;
    if (str_equal_nocase(name, STR("UID")) && str_split(&line, ' ', &second))
        name = str_upto(start, name.len + 1 + second.len);
    return imap_command_find(name);
}

bool imap_command_is_by_number(const struct imap_command *command)
{
    if ((command->flags & IMAP_BY_UID) != 0)
        return false;
    for (size_t i = 0; i < imap_command_count; i++)
        if ((imap_commands[i].flags & IMAP_BY_UID) != 0 && imap_commands[i].run == command->run)
            return true;
    return false;
}

enum err imap_parse_none(struct imap_parser *parser, union imap_args *args)
{
    (void)args;
    (void)parser;
    return ERR_OK;
}

/* SP mailbox */
enum err imap_parse_one_mailbox(struct imap_parser *parser, union imap_args *args)
{
    TRY(imap_parse_space(parser));
    return imap_parse_mailbox(parser, &args->mailbox.name);
}

/* SP sequence-set */
enum err imap_parse_one_set(struct imap_parser *parser, union imap_args *args)
{
    TRY(imap_parse_space(parser));
    return imap_parse_set(parser, &args->expunge.set);
}

/* SP sequence-set SP mailbox */
enum err imap_parse_copy(struct imap_parser *parser, union imap_args *args)
{
    TRY(imap_parse_space(parser));
    TRY(imap_parse_set(parser, &args->copy.set));
    TRY(imap_parse_space(parser));
    return imap_parse_mailbox(parser, &args->copy.name);
}
