/* The keys of a search program before the first message: what of them the folder and the vault
 * decide. */
#include "imap/search_run_internal.h"

#include "imap/engine.h"
#include "imap/flags.h"
#include "vault/identity.h"

static enum err prepare_keyword(struct imap_session *s, struct task *task,
                                struct imap_search_node *node)
{
    struct imap_flags flags = {.keywords = &node->text, .keyword_count = 1};

    node->op = IMAP_SEARCH_FLAG;
    TRY(imap_flags_bits(s, task, &flags, false, &node->number));
    if (node->number == 0) { /* no message has it */
        node->op = IMAP_SEARCH_NOT;
        if (node->is_absent)
            node->op = IMAP_SEARCH_ALL;
    }
    return ERR_OK;
}

/* A number beyond the folder matches nothing; "*" is its last message. */
static void cut_numbers(struct imap_set *set, uint32_t count)
{
    size_t kept = 0;

    imap_set_resolve(set, count);
    for (size_t i = 0; i < set->count && set->ranges[i].first <= count; i++) {
        set->ranges[kept] = set->ranges[i];
        if (set->ranges[kept].last > count)
            set->ranges[kept].last = count;
        kept++;
    }
    set->count = kept;
}

/* The set as indexes. */
static enum err prepare_set(struct imap_session *s, struct task *task,
                            const struct imap_search_run *run, struct imap_search_node *node)
{
    bool is_uid = node->op == IMAP_SEARCH_UID;

    if (!is_uid && node->set.count > 0 && imap_has(s, IMAP_EXT_UIDONLY)) /* RFC 9586 §3 */
        return imap_refuse(s, task, IMAP_REFUSAL_UID_REQUIRED);
    if (!is_uid && run->view == &s->view) /* RFC 9051 §7.5.1: also in UID SEARCH */
        s->has_numbers |= node->set.count > 0;
    if (!is_uid)
        cut_numbers(&node->set, (uint32_t)run->view->count);
    if (!imap_view_ranges(run->view, task, node->set, is_uid, &node->set))
        return fail(task, ERR_INVALID, "a number is beyond the folder");
    return ERR_OK;
}

/* What was asked for before is not looked up again: a thread may be as large as the mailbox. */
static enum err prepare_identity(struct imap_session *s, struct task *task,
                                 const struct imap_search_run *run, struct imap_search_node *node)
{
    enum vault_identity_kind kind =
        node->op == IMAP_SEARCH_EMAILID ? VAULT_IDENTITY_EMAIL : VAULT_IDENTITY_THREAD;
    int64_t id;

    for (const struct imap_search_node *other = run->program->nodes; other != node; other++) {
        if (other->op != node->op || !str_equal(other->text, node->text))
            continue;
        node->content_ids = other->content_ids;
        node->content_count = other->content_count;
        return ERR_OK;
    }
    if (!vault_identity_read(kind, node->text, &id)) /* never one of ours: no message has it */
        return ERR_OK;
    return vault_identity_contents(s->vault, task, kind, id, &node->content_ids,
                                   &node->content_count);
}

static enum err prepare_node(struct imap_session *s, struct task *task,
                             const struct imap_search_run *run, struct imap_search_node *node)
{
    if (node->op == IMAP_SEARCH_KEYWORD)
        return prepare_keyword(s, task, node);
    if (node->op == IMAP_SEARCH_SEQUENCE || node->op == IMAP_SEARCH_UID)
        return prepare_set(s, task, run, node);
    if (node->op == IMAP_SEARCH_STRING || node->op == IMAP_SEARCH_HEADER)
        node->folded = imap_search_fold(&task->arena, node->text);
    if (node->op == IMAP_SEARCH_EMAILID || node->op == IMAP_SEARCH_THREADID)
        return prepare_identity(s, task, run, node);
    if (node->op == IMAP_SEARCH_FUZZY)
        node->folded = imap_search_fold(&task->arena, node->text);
    if (node->op == IMAP_SEARCH_REGEX &&
        imap_regex_compile(task, node->text, &node->regex) != ERR_OK)
        return imap_refuse(s, task, IMAP_REFUSAL_PATTERN);
    return ERR_OK;
}

enum err imap_search_prepare(struct imap_session *s, struct task *task,
                             const struct imap_search_run *run)
{
    for (uint32_t i = 0; i < run->program->node_count; i++)
        TRY(prepare_node(s, task, run, &run->program->nodes[i]));
    return ERR_OK;
}
