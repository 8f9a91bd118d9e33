/* LSUB (RFC 3501 §6.3.9): the subscribed names, whether or not there are folders; in turns. */
#include "imap/engine.h"

#include "imap/pattern.h"
#include "imap/write.h"

#include <stdlib.h>

enum { STEPS_PER_UNIT = 200 };

/* lsub = "LSUB" SP mailbox SP list-mailbox */
IMAP_PARSE(lsub)
{
    TRY(imap_parse_space(parser));
    TRY(imap_parse_astring(parser, &args->list.reference));
    TRY(imap_parse_space(parser));
    args->list.patterns = ARENA_ARRAY(&parser->task->arena, struct str, 1);
    args->list.pattern_count = 1;
    return imap_parse_list_mailbox(parser, &args->list.patterns[0]);
}

struct imap_lsub {
    struct imap_pattern pattern;
    struct str *names; /* sorted */
    size_t count, next;
    struct str last_parent; /* what was answered for a deeper name just now */
};

static bool matches(struct imap_session *s, struct imap_lsub *l, struct str name)
{
    imap_spend(s, 1 + name.len * l->pattern.words / STEPS_PER_UNIT);
    return imap_pattern_matches(&l->pattern, name);
}

static void write_name(struct imap_session *s, struct str name, struct str attributes)
{
    buf_put(&s->out, STR("* LSUB ("));
    buf_put(&s->out, attributes);
    buf_put(&s->out, STR(") \"/\" "));
    imap_write_mailbox(&s->out, name, imap_names_are_utf8(s));
    buf_put(&s->out, STR("\r\n"));
}

static int compare_names(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

/*
 * "%" does not reach a deeper name; then the parent that it does reach is answered as \Noselect,
 * unless it is subscribed itself (RFC 3501 §6.3.9).
 */
static void write_parent(struct imap_session *s, struct imap_lsub *l, struct str name)
{
    struct str parent = name;
    ptrdiff_t slash;

    while ((slash = str_last_index(parent, '/')) > 0) {
        parent = str_upto(parent, (size_t)slash);
        if (!matches(s, l, parent))
            continue;
        if (bsearch(&parent, l->names, l->count, sizeof(parent), compare_names) == NULL &&
            !str_equal(parent, l->last_parent)) {
            write_name(s, parent, STR("\\Noselect"));
            l->last_parent = parent;
        }
        return;
    }
}

static enum err start(struct imap_session *s, struct task *task, struct imap_list_args *list)
{
    struct imap_lsub *l = ARENA_NEW(&task->arena, struct imap_lsub);

    TRY(vault_subscription_list(s->vault, task, &l->names, &l->count));
    if (l->count > 1)
        qsort(l->names, l->count, sizeof(*l->names), compare_names);
    imap_pattern_init(&l->pattern, task, list->reference, list->patterns[0],
                      imap_names_are_utf8(s));
    imap_spend(s, l->count);
    list->lsub = l;
    return ERR_OK;
}

IMAP_COMMAND(lsub)
{
    struct imap_lsub *l;

    if (args->list.patterns[0].len == 0) {
        buf_put(&s->out, STR("* LSUB (\\Noselect) \"/\" \"\"\r\n"));
        return ERR_OK;
    }
    if (args->list.lsub == NULL)
        TRY(start(s, task, &args->list));
    for (l = args->list.lsub; l->next < l->count; l->next++) {
        if (imap_must_give_way(s)) {
            imap_give_way(s);
            return ERR_OK;
        }
        if (matches(s, l, l->names[l->next]))
            write_name(s, l->names[l->next], STR(""));
        else
            write_parent(s, l, l->names[l->next]);
    }
    return ERR_OK;
}
