/* LSUB (RFC 3501 §6.3.9): the subscribed names, whether or not there are folders. */
#include "imap/engine.h"

#include "imap/pattern.h"
#include "imap/write.h"

#include <stdlib.h>

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

struct lsub {
    struct imap_session *s;
    struct task *task;
    struct imap_pattern pattern;
    struct str last_parent; /* what was answered for a deeper name just now */
};

static bool matches(struct lsub *l, struct str name)
{
    struct buf encoded;
    bool is_match;

    buf_init(&encoded, SIZE_MAX);
    imap_encode_mailbox(&encoded, name, imap_names_are_utf8(l->s));
    is_match = imap_pattern_matches(&l->pattern, buf_str(&encoded));
    buf_free(&encoded);
    return is_match;
}

static void write_name(struct lsub *l, struct str name, struct str attributes)
{
    buf_put(&l->s->out, STR("* LSUB ("));
    buf_put(&l->s->out, attributes);
    buf_put(&l->s->out, STR(") \"/\" "));
    imap_write_mailbox(&l->s->out, name, imap_names_are_utf8(l->s));
    buf_put(&l->s->out, STR("\r\n"));
}

static int compare_names(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

/*
 * "%" does not reach a deeper name; then the parent that it does reach is answered as \Noselect,
 * unless it is subscribed itself (RFC 3501 §6.3.9).
 */
static void write_parent(struct lsub *l, struct str name, const struct str *names, size_t count)
{
    struct str parent = name;
    ptrdiff_t slash;

    while ((slash = str_last_index(parent, '/')) > 0) {
        parent = str_upto(parent, (size_t)slash);
        if (!matches(l, parent))
            continue;
        if (bsearch(&parent, names, count, sizeof(parent), compare_names) == NULL &&
            !str_equal(parent, l->last_parent)) {
            write_name(l, parent, STR("\\Noselect"));
            l->last_parent = parent;
        }
        return;
    }
}

IMAP_COMMAND(lsub)
{
    struct lsub l = {.s = s, .task = task};
    struct str *names;
    size_t count;

    if (args->list.patterns[0].len == 0) {
        buf_put(&s->out, STR("* LSUB (\\Noselect) \"/\" \"\"\r\n"));
        return ERR_OK;
    }
    TRY(vault_subscription_list(s->vault, task, &names, &count));
    qsort(names, count, sizeof(*names), compare_names);
    imap_pattern_init(&l.pattern, task, args->list.reference, args->list.patterns[0]);
    imap_spend(s, count);
    for (size_t i = 0; i < count; i++) {
        if (matches(&l, names[i]))
            write_name(&l, names[i], STR(""));
        else
            write_parent(&l, names[i], names, count);
    }
    return ERR_OK;
}
