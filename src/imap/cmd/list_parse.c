/* The arguments of LIST (RFC 3501 §6.3.8, RFC 5258 §6). */
#include "imap/engine.h"

enum { PATTERNS_MAX = 100 };

/* "(" [list-select-opt *(SP list-select-opt)] ")" */
static enum err parse_selection(struct imap_parser *parser, struct imap_list_args *list)
{
    list->is_extended = true;
    TRY(imap_parse_byte(parser, '('));
    if (imap_take(parser, ')'))
        return ERR_OK;
    do {
        if (imap_take_word(parser, STR("SUBSCRIBED")))
            list->select_subscribed = true;
        else if (imap_take_word(parser, STR("SPECIAL-USE")))
            list->select_special_use = true;
        else if (imap_take_word(parser, STR("RECURSIVEMATCH")))
            list->is_recursive = true;
        else if (!imap_take_word(parser, STR("REMOTE")))
            return imap_expected(parser, "a selection option of LIST");
    } while (imap_take(parser, ' '));
    /* RFC 5258 §3.1: RECURSIVEMATCH needs an option that selects. */
    if (list->is_recursive && !list->select_subscribed && !list->select_special_use)
        return imap_expected(parser, "RECURSIVEMATCH with another option");
    return imap_parse_byte(parser, ')');
}

/* SP "RETURN" SP "(" [return-option *(SP return-option)] ")"; a set, so what is named again adds
 * what it has that is new. */
static enum err parse_return(struct imap_parser *parser, struct imap_list_args *list)
{
    if (!imap_take(parser, ' '))
        return ERR_OK;
    if (!imap_take_word(parser, STR("RETURN")))
        return imap_expected(parser, "RETURN");
    list->is_extended = true;
    TRY(imap_parse_space(parser));
    TRY(imap_parse_byte(parser, '('));
    if (imap_take(parser, ')'))
        return ERR_OK;
    do {
        if (imap_take_word(parser, STR("STATUS"))) {
            TRY(imap_parse_space(parser));
            TRY(imap_parse_status_items(parser, &list->return_status));
        } else if (imap_take_word(parser, STR("METADATA"))) { /* RFC 9590 §5 */
            TRY(imap_parse_space(parser));
            TRY(imap_parse_metadata_entries(parser, VAULT_METADATA_EXACT, &list->return_metadata));
        } else if (imap_take_word(parser, STR("SUBSCRIBED"))) {
            list->return_subscribed = true;
        } else if (!imap_take_word(parser, STR("CHILDREN")) &&
                   !imap_take_word(parser, STR("SPECIAL-USE"))) {
            return imap_expected(parser, "a return option of LIST");
        }
    } while (imap_take(parser, ' '));
    return imap_parse_byte(parser, ')');
}

/* mbox-or-pat = list-mailbox / "(" list-mailbox *(SP list-mailbox) ")" */
static enum err parse_patterns(struct imap_parser *parser, struct imap_list_args *list)
{
    bool is_list = imap_take(parser, '(');

    list->is_extended |= is_list;
    list->patterns = ARENA_ARRAY(&parser->task->arena, struct str, is_list ? PATTERNS_MAX : 1);
    do {
        if (list->pattern_count == PATTERNS_MAX)
            return imap_expected(parser, "fewer patterns");
        TRY(imap_parse_list_mailbox(parser, &list->patterns[list->pattern_count++]));
    } while (is_list && imap_take(parser, ' '));
    return is_list ? imap_parse_byte(parser, ')') : ERR_OK;
}

/* The reference is a mailbox name, but one that need not exist: it is kept encoded. */
static enum err parse_names(struct imap_parser *parser, struct imap_list_args *list)
{
    TRY(imap_parse_astring(parser, &list->reference));
    TRY(imap_parse_space(parser));
    return parse_patterns(parser, list);
}

/* list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts] */
IMAP_PARSE(list)
{
    TRY(imap_parse_space(parser));
    if (imap_at(parser, '(')) {
        TRY(parse_selection(parser, &args->list));
        TRY(imap_parse_space(parser));
    }
    TRY(parse_names(parser, &args->list));
    return parse_return(parser, &args->list);
}
