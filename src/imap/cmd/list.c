/*
 * LIST (RFC 3501 §6.3.8) with its extended form (RFC 5258), CHILDREN (RFC 3348), SPECIAL-USE
 * (RFC 6154) and STATUS (RFC 5819). The special uses and the children are told in every answer.
 */
#include "imap/engine.h"

#include "imap/pattern.h"
#include "imap/utf7.h"
#include "imap/write.h"

#include <stdlib.h>

enum { PATTERNS_MAX = 100, UNITS_PER_FOLDER = 5 };

/* ---- Parsing ---- */

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

/* SP "RETURN" SP "(" [return-option *(SP return-option)] ")" */
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

/* ---- Running ---- */

struct listing {
    struct imap_session *s;
    struct imap_list_args *list;
    struct imap_pattern *patterns;
    const struct vault_folder *folders;
    size_t folder_count;
    const struct str *subscriptions; /* sorted */
    size_t subscription_count;
    struct buf encoded; /* scratch */
};

static int compare_names(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static bool is_subscribed(const struct listing *l, struct str name)
{
    return l->subscription_count > 0 && bsearch(&name, l->subscriptions, l->subscription_count,
                                                sizeof(name), compare_names) != NULL;
}

static bool matches(struct listing *l, struct str name)
{
    buf_reset(&l->encoded);
    imap_utf7_encode(name, &l->encoded);
    for (size_t i = 0; i < l->list->pattern_count; i++)
        if (imap_pattern_matches(&l->patterns[i], buf_str(&l->encoded)))
            return true;
    return false;
}

static bool is_chosen(const struct listing *l, struct str name, const struct vault_folder *folder)
{
    if (l->list->select_subscribed && !is_subscribed(l, name))
        return false;
    return !l->list->select_special_use || (folder != NULL && folder->use != VAULT_USE_NONE);
}

static bool is_below(struct str name, struct str parent)
{
    return name.len > parent.len && str_starts_with(name, parent) && name.ptr[parent.len] == '/';
}

/* RECURSIVEMATCH: does something below `name` meet the criteria that is not listed itself? */
static bool has_chosen_below(struct listing *l, struct str name)
{
    for (size_t i = 0; i < l->folder_count; i++)
        if (is_below(l->folders[i].name, name) &&
            is_chosen(l, l->folders[i].name, &l->folders[i]) && !matches(l, l->folders[i].name))
            return true;
    for (size_t i = 0; l->list->select_subscribed && i < l->subscription_count; i++)
        if (is_below(l->subscriptions[i], name) && !matches(l, l->subscriptions[i]))
            return true;
    return false;
}

static struct str use_name(enum vault_special_use use)
{
    switch (use) {
    case VAULT_USE_NONE:
        return STR("");
    case VAULT_USE_DRAFTS:
        return STR("\\Drafts");
    case VAULT_USE_SENT:
        return STR("\\Sent");
    case VAULT_USE_JUNK:
        return STR("\\Junk");
    case VAULT_USE_TRASH:
        return STR("\\Trash");
    case VAULT_USE_ARCHIVE:
        return STR("\\Archive");
    case VAULT_USE_ALL:
        return STR("\\All");
    case VAULT_USE_FLAGGED:
        return STR("\\Flagged");
    }
    return STR("");
}

static void put_attribute(struct buf *out, bool *is_first, struct str attribute)
{
    if (attribute.len == 0)
        return;
    if (!*is_first)
        buf_put(out, STR(" "));
    *is_first = false;
    buf_put(out, attribute);
}

/* `folder` NULL: a subscribed name without a folder. */
static void write_name(struct listing *l, struct str name, const struct vault_folder *folder,
                       bool has_child_info)
{
    struct buf *out = &l->s->out;
    bool is_first = true;

    buf_put(out, STR("* LIST ("));
    if (folder == NULL) {
        put_attribute(out, &is_first, STR("\\NonExistent"));
    } else {
        if (!folder->is_selectable)
            put_attribute(out, &is_first, STR("\\Noselect"));
        put_attribute(out, &is_first,
                      folder->has_children ? STR("\\HasChildren") : STR("\\HasNoChildren"));
        put_attribute(out, &is_first, use_name(folder->use));
    }
    if ((l->list->return_subscribed || l->list->select_subscribed) && is_subscribed(l, name))
        put_attribute(out, &is_first, STR("\\Subscribed"));
    buf_put(out, STR(") \"/\" "));
    imap_write_mailbox(out, name);
    if (has_child_info) {
        buf_put(out, STR(" (\"CHILDINFO\" ("));
        if (l->list->select_subscribed)
            buf_put(out, STR("\"SUBSCRIBED\""));
        if (l->list->select_special_use)
            buf_put(out,
                    l->list->select_subscribed ? STR(" \"SPECIAL-USE\"") : STR("\"SPECIAL-USE\""));
        buf_put(out, STR("))"));
    }
    buf_put(out, STR("\r\n"));
    if (folder != NULL && folder->is_selectable && l->list->return_status != 0)
        imap_write_status(l->s, folder, l->list->return_status);
}

static void list_one(struct listing *l, struct str name, const struct vault_folder *folder)
{
    bool has_child_info;

    imap_spend(l->s, UNITS_PER_FOLDER);
    if (!matches(l, name))
        return;
    has_child_info = l->list->is_recursive && has_chosen_below(l, name);
    if (is_chosen(l, name, folder) || has_child_info)
        write_name(l, name, folder, has_child_info);
}

/* Folders and, where subscriptions are asked for, the names that have none, in one order. */
static void list_all(struct listing *l)
{
    size_t k = 0;

    for (size_t i = 0; i < l->folder_count; i++)
        list_one(l, l->folders[i].name, &l->folders[i]);
    if (!l->list->select_subscribed)
        return;
    for (k = 0; k < l->subscription_count; k++) {
        bool has_folder = false;

        for (size_t i = 0; i < l->folder_count && !has_folder; i++)
            has_folder = str_equal(l->folders[i].name, l->subscriptions[k]);
        if (!has_folder)
            list_one(l, l->subscriptions[k], NULL);
    }
}

IMAP_COMMAND(list)
{
    struct imap_list_args *list = &args->list;
    struct listing l = {.s = s, .list = list};
    struct vault_folder *folders;
    struct str *subscriptions;

    /* An empty pattern asks for the delimiter only (RFC 3501 §6.3.8). */
    if (!list->is_extended && list->patterns[0].len == 0) {
        buf_put(&s->out, STR("* LIST (\\Noselect) \"/\" \"\"\r\n"));
        return ERR_OK;
    }
    TRY(vault_folder_list(s->vault, task, &folders, &l.folder_count));
    l.folders = folders;
    TRY(vault_subscription_list(s->vault, task, &subscriptions, &l.subscription_count));
    qsort(subscriptions, l.subscription_count, sizeof(*subscriptions), compare_names);
    l.subscriptions = subscriptions;
    l.patterns = ARENA_ARRAY(&task->arena, struct imap_pattern, list->pattern_count);
    for (size_t i = 0; i < list->pattern_count; i++)
        imap_pattern_init(&l.patterns[i], task, list->reference, list->patterns[i]);
    if (list->return_status & IMAP_STATUS_HIGHESTMODSEQ)
        imap_enable_condstore(s);
    buf_init(&l.encoded, SIZE_MAX);
    list_all(&l);
    buf_free(&l.encoded);
    return ERR_OK;
}
