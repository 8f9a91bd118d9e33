/*
 * LIST (RFC 3501 §6.3.8) with its extended form (RFC 5258), CHILDREN (RFC 3348), SPECIAL-USE
 * (RFC 6154) and STATUS (RFC 5819). The special uses and the children are told in every answer.
 *
 * What may be listed is put together first, as it stands when the command begins: the folders, and
 * where subscriptions select, the subscribed names that have none. Then it is answered in turns.
 */
#include "imap/engine.h"

#include "imap/list_reply.h"
#include "imap/pattern.h"
#include "imap/write.h"

#include <stdlib.h>

enum { UNITS_PER_NAME = 5, STEPS_PER_UNIT = 200 };

/* A name that may be listed. */
struct name {
    struct str text;
    const struct vault_folder *folder; /* NULL: there is none, \NonExistent */
    bool is_subscribed;
    bool has_chosen_below; /* RECURSIVEMATCH: something below it meets the criteria */
};

struct imap_listing {
    struct imap_pattern *patterns;
    struct name *names; /* by text */
    size_t count, next;
};

/* ---- What may be listed ---- */

static int compare_names(const void *a, const void *b)
{
    return str_compare(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static struct name *find_name(struct name *names, size_t count, struct str text)
{
    struct name key = {.text = text};

    return count == 0 ? NULL : bsearch(&key, names, count, sizeof(key), compare_names);
}

/* Sorts, and keeps each name once: a subscribed one before a level above another. */
static size_t sort_names(struct name *names, size_t count)
{
    size_t kept = 0;

    if (count > 1)
        qsort(names, count, sizeof(*names), compare_names);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && str_equal(names[kept - 1].text, names[i].text))
            names[kept - 1].is_subscribed |= names[i].is_subscribed;
        else
            names[kept++] = names[i];
    }
    return kept;
}

static size_t levels_of(struct str name)
{
    size_t count = 1;

    for (size_t i = 0; i < name.len; i++)
        count += name.ptr[i] == '/';
    return count;
}

/*
 * Marks the subscribed folders and adds the subscribed names without one, and with
 * RECURSIVEMATCH the levels above them that have none either (RFC 5258 §3.5).
 */
static void add_subscriptions(struct task *task, const struct imap_list_args *list,
                              const struct str *subscriptions, size_t count,
                              struct imap_listing *listing)
{
    size_t folder_count = listing->count, room = folder_count;
    struct name *names;

    for (size_t i = 0; i < count; i++)
        room += list->is_recursive ? levels_of(subscriptions[i]) : 1;
    names = ARENA_ARRAY(&task->arena, struct name, room);
    for (size_t i = 0; i < folder_count; i++)
        names[i] = listing->names[i];
    for (size_t i = 0; i < count; i++) {
        struct str text = subscriptions[i];
        struct name *found = find_name(names, folder_count, text);

        if (found != NULL) {
            found->is_subscribed = true;
            continue;
        }
        if (!list->select_subscribed)
            continue;
        names[listing->count++] = (struct name){.text = text, .is_subscribed = true};
        for (size_t k = 1; list->is_recursive && k < text.len; k++)
            if (text.ptr[k] == '/' && find_name(names, folder_count, str_upto(text, k)) == NULL)
                names[listing->count++] = (struct name){.text = str_upto(text, k)};
    }
    listing->names = names;
    listing->count = sort_names(names, listing->count);
}

static bool is_chosen(const struct imap_list_args *list, const struct name *name)
{
    if (list->select_subscribed && !name->is_subscribed)
        return false;
    if (list->select_special_use && (name->folder == NULL || name->folder->use == VAULT_USE_NONE))
        return false;
    return name->folder != NULL || name->is_subscribed;
}

/* RFC 5258 §3.5, Note 2: whether the pattern reaches the one below does not matter. */
static void mark_parents(const struct imap_list_args *list, struct imap_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        struct str text = listing->names[i].text;

        if (!is_chosen(list, &listing->names[i]))
            continue;
        for (size_t k = 1; k < text.len; k++) {
            struct name *parent = text.ptr[k] == '/'
                                      ? find_name(listing->names, listing->count, str_upto(text, k))
                                      : NULL;

            if (parent != NULL)
                parent->has_chosen_below = true;
        }
    }
}

static enum err start(struct imap_session *s, struct task *task, struct imap_list_args *list)
{
    struct imap_listing *listing = ARENA_NEW(&task->arena, struct imap_listing);
    struct vault_folder *folders;
    struct str *subscriptions;
    size_t subscription_count;

    TRY(vault_folder_list(s->vault, task, &folders, &listing->count));
    TRY(vault_subscription_list(s->vault, task, &subscriptions, &subscription_count));
    listing->names = ARENA_ARRAY(&task->arena, struct name, listing->count + 1);
    for (size_t i = 0; i < listing->count; i++)
        listing->names[i] = (struct name){.text = folders[i].name, .folder = &folders[i]};
    listing->count = sort_names(listing->names, listing->count);
    if (list->select_subscribed || list->return_subscribed)
        add_subscriptions(task, list, subscriptions, subscription_count, listing);
    if (list->is_recursive)
        mark_parents(list, listing);
    listing->patterns = ARENA_ARRAY(&task->arena, struct imap_pattern, list->pattern_count);
    for (size_t i = 0; i < list->pattern_count; i++)
        imap_pattern_init(&listing->patterns[i], task, list->reference, list->patterns[i],
                          imap_names_are_utf8(s));
    if (list->return_status & IMAP_STATUS_HIGHESTMODSEQ)
        imap_enable_condstore(s);
    imap_spend(s, listing->count);
    list->listing = listing;
    return ERR_OK;
}

/* ---- Answering ---- */

static bool matches(struct imap_session *s, struct imap_listing *listing, size_t pattern_count,
                    struct str name)
{
    /* Each character is a step in all words of a pattern's states (pattern.h). */
    for (size_t i = 0; i < pattern_count; i++)
        imap_spend(s, name.len * listing->patterns[i].words / STEPS_PER_UNIT);
    for (size_t i = 0; i < pattern_count; i++)
        if (imap_pattern_matches(&listing->patterns[i], name))
            return true;
    return false;
}

/* childinfo-extended-item; the selection options are always quoted (RFC 5258 §6). */
static void write_child_info(struct buf *out, const struct imap_list_args *list)
{
    buf_put(out, STR(" (\"CHILDINFO\" ("));
    if (list->select_subscribed)
        buf_put(out, STR("\"SUBSCRIBED\""));
    if (list->select_special_use)
        buf_put(out, list->select_subscribed ? STR(" \"SPECIAL-USE\"") : STR("\"SPECIAL-USE\""));
    buf_put(out, STR("))"));
}

static void write_name(struct imap_session *s, const struct imap_list_args *list,
                       const struct name *name)
{
    imap_write_list_start(s, name->text, name->folder, name->is_subscribed);
    if (list->is_recursive && name->has_chosen_below)
        write_child_info(&s->out, list);
    buf_put(&s->out, STR("\r\n"));
}

static enum err list_one(struct imap_session *s, struct task *task, struct imap_list_args *list,
                         const struct name *name)
{
    imap_spend(s, UNITS_PER_NAME + list->pattern_count);
    if (!is_chosen(list, name) && !name->has_chosen_below)
        return ERR_OK;
    if (!matches(s, list->listing, list->pattern_count, name->text))
        return ERR_OK;
    write_name(s, list, name);
    if (name->folder == NULL)
        return ERR_OK;
    if (list->return_status != 0 && name->folder->is_selectable) /* RFC 5819 §2 */
        TRY(imap_write_status(s, task, name->folder, list->return_status));
    /* A folder that went since the command began has none to tell. */
    if (list->return_metadata.count > 0 && vault_folder_exists(s->vault, name->folder->id))
        TRY(imap_write_metadata(s, name->folder, &list->return_metadata));
    return ERR_OK;
}

/* INBOX is the first of all. */
static const struct name *inbox_of(const struct imap_listing *listing)
{
    return find_name(listing->names, listing->count, STR("INBOX"));
}

IMAP_COMMAND(list)
{
    struct imap_list_args *list = &args->list;
    struct imap_listing *listing;

    /* An empty pattern asks for the delimiter only (RFC 3501 §6.3.8). */
    if (!list->is_extended && list->patterns[0].len == 0) {
        buf_put(&s->out, STR("* LIST (\\Noselect) \"/\" \"\"\r\n"));
        return ERR_OK;
    }
    if (list->return_metadata.is_too_many)
        return imap_refuse(s, task, IMAP_REFUSAL_METADATA_ENTRIES);
    if (list->listing == NULL) {
        TRY(start(s, task, list));
        if (inbox_of(list->listing) != NULL)
            TRY(list_one(s, task, list, inbox_of(list->listing)));
    }
    for (listing = list->listing; listing->next < listing->count; listing->next++) {
        if (imap_must_give_way(s)) {
            imap_give_way(s);
            return ERR_OK;
        }
        if (&listing->names[listing->next] != inbox_of(listing))
            TRY(list_one(s, task, list, &listing->names[listing->next]));
    }
    return ERR_OK;
}
