#include "imap/search_run.h"

#include "imap/engine.h"
#include "imap/search_match.h"

enum {
    ROW_UNITS = 4,
    CURSOR_GAP = 64, /* messages between two that are looked at: worth a new cursor */
};

/* ---- Before the first message ---- */

static unsigned column_of(const struct imap_search_node *node)
{
    switch (node->op) {
    case IMAP_SEARCH_FLAG:
    case IMAP_SEARCH_NEW:
    case IMAP_SEARCH_MODSEQ:
        return VAULT_COLUMN_FLAGS;
    case IMAP_SEARCH_BEFORE:
    case IMAP_SEARCH_ON:
    case IMAP_SEARCH_SINCE:
        return VAULT_COLUMN_DATES;
    case IMAP_SEARCH_SENTBEFORE:
    case IMAP_SEARCH_SENTON:
    case IMAP_SEARCH_SENTSINCE:
        return VAULT_COLUMN_SEARCH;
    case IMAP_SEARCH_LARGER:
    case IMAP_SEARCH_SMALLER:
        return VAULT_COLUMN_SIZE;
    case IMAP_SEARCH_STRING:
        return node->is_exact ? 0
               : node->field == VAULT_SEARCH_BODY || node->field == VAULT_SEARCH_TEXT
                   ? VAULT_COLUMN_STRUCTURE
                   : VAULT_COLUMN_SEARCH;
    case IMAP_SEARCH_HEADER:
        return VAULT_COLUMN_STRUCTURE;
    case IMAP_SEARCH_AND:
    case IMAP_SEARCH_OR:
    case IMAP_SEARCH_NOT:
    case IMAP_SEARCH_ALL:
    case IMAP_SEARCH_KEYWORD:
    case IMAP_SEARCH_OLD:
    case IMAP_SEARCH_RECENT:
    case IMAP_SEARCH_SEQUENCE:
    case IMAP_SEARCH_UID:
        return 0;
    }
    return 0;
}

static enum err prepare_keyword(struct imap_session *s, struct task *task,
                                struct imap_search_node *node)
{
    struct imap_flags flags = {.keywords = &node->text, .keyword_count = 1};

    node->op = IMAP_SEARCH_FLAG;
    TRY(imap_flags_bits(&flags, s->vault, task, false, &node->number));
    if (node->number == 0) { /* no message has it */
        node->op = IMAP_SEARCH_NOT;
        if (node->is_absent)
            node->op = IMAP_SEARCH_ALL;
    }
    return ERR_OK;
}

static enum err prepare_node(struct imap_session *s, struct task *task,
                             struct imap_search_node *node)
{
    uint32_t star = s->view.count == 0 ? 0 : s->view.uids[s->view.count - 1];

    switch (node->op) {
    case IMAP_SEARCH_KEYWORD:
        return prepare_keyword(s, task, node);
    case IMAP_SEARCH_SEQUENCE:
        imap_set_resolve(&node->set, (uint32_t)s->view.count);
        return ERR_OK;
    case IMAP_SEARCH_UID:
        imap_set_resolve(&node->set, star);
        return ERR_OK;
    case IMAP_SEARCH_STRING:
    case IMAP_SEARCH_HEADER:
        node->folded = imap_search_fold(task, node->text);
        if (node->folded.len == 0)
            return ERR_OK;
        node->has_candidates = true;
        TRY(vault_search_candidates(s->vault, task, s->view.folder_id, node->field, node->text,
                                    &node->candidates, &node->candidate_count, &node->is_exact));
        /* "Any header field" is not yet the one that was named. */
        node->is_exact = node->is_exact && node->op == IMAP_SEARCH_STRING;
        imap_spend(s, 500);
        return ERR_OK;
    case IMAP_SEARCH_AND:
    case IMAP_SEARCH_OR:
    case IMAP_SEARCH_NOT:
    case IMAP_SEARCH_ALL:
    case IMAP_SEARCH_FLAG:
    case IMAP_SEARCH_NEW:
    case IMAP_SEARCH_OLD:
    case IMAP_SEARCH_RECENT:
    case IMAP_SEARCH_BEFORE:
    case IMAP_SEARCH_ON:
    case IMAP_SEARCH_SINCE:
    case IMAP_SEARCH_SENTBEFORE:
    case IMAP_SEARCH_SENTON:
    case IMAP_SEARCH_SENTSINCE:
    case IMAP_SEARCH_LARGER:
    case IMAP_SEARCH_SMALLER:
    case IMAP_SEARCH_MODSEQ:
        return ERR_OK;
    }
    return ERR_OK;
}

/* The messages worth a look: those that no key of the outermost AND rules out by number alone. */
static void choose(struct imap_session *s, struct task *task, struct imap_search_args *search)
{
    struct imap_view *view = &s->view;
    const struct imap_search_node *nodes = search->nodes, *fewest = NULL;

    for (uint32_t i = 1; i < search->node_count; i = nodes[i].next)
        if (nodes[i].has_candidates &&
            (fewest == NULL || nodes[i].candidate_count < fewest->candidate_count))
            fewest = &nodes[i];
    search->indexes =
        ARENA_ARRAY(&task->arena, uint32_t, fewest == NULL ? view->count : fewest->candidate_count);
    for (size_t i = 0; i < (fewest == NULL ? view->count : fewest->candidate_count); i++) {
        size_t index = fewest == NULL ? i : imap_view_index(view, fewest->candidates[i]);
        bool is_in =
            index < view->count && (fewest == NULL || view->uids[index] == fewest->candidates[i]);

        for (uint32_t k = 1; k < search->node_count && is_in; k = nodes[k].next) {
            if (nodes[k].op == IMAP_SEARCH_SEQUENCE)
                is_in = imap_set_contains(&nodes[k].set, (uint32_t)index + 1);
            else if (nodes[k].op == IMAP_SEARCH_UID)
                is_in = imap_set_contains(&nodes[k].set, view->uids[index]);
        }
        if (is_in)
            search->indexes[search->index_count++] = (uint32_t)index;
    }
    search->found = ARENA_ARRAY(&task->arena, uint32_t, search->index_count);
}

static enum err start(struct imap_session *s, struct task *task, struct imap_search_args *search)
{
    search->is_started = true;
    if (search->has_modseq)
        imap_enable_condstore(s);
    for (uint32_t i = 0; i < search->node_count; i++) {
        TRY(prepare_node(s, task, &search->nodes[i]));
        search->columns |= column_of(&search->nodes[i]);
    }
    if (search->has_modseq)
        search->columns |= VAULT_COLUMN_FLAGS;
    choose(s, task, search);
    return ERR_OK;
}

/* ---- One message ---- */

/* The whole message, for the keys that are still open. */
static enum err load_content(struct imap_search_candidate *c, struct task *task,
                             struct message_structure *structure, struct buf *raw)
{
    CLEANUP(vault_content_close) struct vault_content *content = NULL;
    uint64_t size;

    TRY(vault_content_open(c->s->vault, task, c->row->content_id, &content));
    size = vault_content_size(content);
    TRY(message_structure_decode(c->message_task, c->row->structure, structure));
    TRY(vault_content_read(content, task, 0, (size_t)size, raw));
    c->raw = buf_str(raw);
    c->structure = structure;
    c->has_content = true;
    return ERR_OK;
}

static enum err test_message(struct imap_session *s, struct task *task,
                             struct imap_search_args *search, uint32_t index,
                             const struct vault_message *row)
{
    struct imap_search_candidate c = {.s = s, .row = row, .number = index + 1};
    enum imap_truth truth = imap_search_matches(&c, search);

    imap_spend(s, ROW_UNITS);
    if (truth == IMAP_TRUTH_OPEN) {
        struct message_structure structure;
        struct task message_task;
        struct buf raw;
        enum err err;

        task_init(&message_task, task->now_ms);
        buf_init(&raw, SIZE_MAX);
        c.message_task = &message_task;
        err = load_content(&c, task, &structure, &raw);
        truth = err == ERR_OK ? imap_search_matches(&c, search) : IMAP_TRUTH_NO;
        buf_free(&raw);
        task_done(&message_task);
        if (err == ERR_NOT_FOUND) { /* purged meanwhile */
            task_forgive(task);
            err = ERR_OK;
        }
        TRY(err);
    }
    if (truth == IMAP_TRUTH_YES) {
        search->found[search->found_count++] = imap_is_by_uid(s) ? row->uid : index + 1;
        if (row->modseq > search->found_modseq)
            search->found_modseq = row->modseq;
    }
    return ERR_OK;
}

/* ---- The messages ---- */

/* Keys that need nothing of the message: numbers, UIDs, \Recent. */
static enum err test_numbers(struct imap_session *s, struct task *task,
                             struct imap_search_args *search)
{
    while (search->next < search->index_count && !imap_must_give_way(s)) {
        uint32_t index = search->indexes[search->next++];
        struct vault_message row = {.uid = s->view.uids[index], .sent_day = INT64_MIN};

        TRY(test_message(s, task, search, index, &row));
    }
    return ERR_OK;
}

/* A stretch of messages from one cursor. */
static enum err test_rows(struct imap_session *s, struct task *task,
                          struct imap_search_args *search)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    size_t end = search->next + 1;
    const uint32_t *uids = s->view.uids;

    while (end < search->index_count &&
           search->indexes[end] - search->indexes[end - 1] < CURSOR_GAP)
        end++;
    imap_spend(s, 10);
    TRY(vault_cursor_open(s->vault, task, s->view.folder_id, uids[search->indexes[search->next]],
                          uids[search->indexes[end - 1]], search->columns, true, &cursor));
    while (search->next < end && !imap_must_give_way(s)) {
        struct vault_message row;
        bool has_row;

        TRY(vault_cursor_next(cursor, task, &row, &has_row));
        if (!has_row) {
            search->next = end;
            return ERR_OK;
        }
        while (search->next < end && uids[search->indexes[search->next]] < row.uid)
            search->next++;
        if (search->next == end || uids[search->indexes[search->next]] != row.uid) {
            imap_spend(s, 1);
            continue;
        }
        TRY(test_message(s, task, search, search->indexes[search->next], &row));
        search->next++;
    }
    return ERR_OK;
}

enum err imap_search_run(struct imap_session *s, struct task *task, struct imap_search_args *search)
{
    if (!search->is_started)
        TRY(start(s, task, search));
    while (search->next < search->index_count) {
        if (imap_must_give_way(s)) {
            imap_give_way(s);
            return ERR_OK;
        }
        TRY(search->columns == 0 ? test_numbers(s, task, search) : test_rows(s, task, search));
    }
    return ERR_OK;
}
