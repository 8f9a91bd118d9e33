#include "imap/search_facts.h"

#include "imap/engine.h"

enum {
    ROW_UNITS = 1,
    CURSOR_UNITS = 10,
    REMEMBERED_PER_UNIT = 50, /* days */
    WORD_BITS = 64,
    WORTH_FEW = 64,         /* rows: read whatever is open */
    WITH_INDEX_MAX = 20000, /* so many, where the index may leave nothing open */
};

/* ---- Which keys ---- */

static bool compares_flags(const struct imap_search_node *node)
{
    return node->op == IMAP_SEARCH_FLAG || node->op == IMAP_SEARCH_NEW;
}

/* False: it compares none. */
static bool column_of(const struct imap_search_node *node, enum imap_column *out)
{
    if (node->op == IMAP_SEARCH_BEFORE || node->op == IMAP_SEARCH_ON ||
        node->op == IMAP_SEARCH_SINCE)
        *out = IMAP_COLUMN_DAY;
    else if (node->op == IMAP_SEARCH_SENTBEFORE || node->op == IMAP_SEARCH_SENTON ||
             node->op == IMAP_SEARCH_SENTSINCE)
        *out = IMAP_COLUMN_SENT_DAY;
    else if ((node->op == IMAP_SEARCH_LARGER || node->op == IMAP_SEARCH_SMALLER) &&
             node->number < INT32_MAX)
        *out = IMAP_COLUMN_SIZE;
    else
        return false;
    return true;
}

/* While something waits to be told, rows may be gone that the view still has. */
static bool has_facts(const struct imap_session *s, const struct imap_view *view)
{
    return view->facts != NULL && imap_view_is_current(view, s->vault);
}

void imap_search_recall(const struct imap_session *s, struct imap_search_run *run)
{
    const struct imap_facts *facts = run->view->facts;
    enum imap_column column;

    if (!has_facts(s, run->view))
        return;
    for (uint32_t i = 0; i < run->program->node_count; i++) {
        struct imap_search_node *node = &run->program->nodes[i];

        if (compares_flags(node))
            node->is_at_hand = facts->modseq == run->view->modseq;
        else if (column_of(node, &column))
            node->is_at_hand = imap_facts_have(facts, column);
    }
}

void imap_search_remember(const struct imap_session *s, struct imap_search_run *run)
{
    struct imap_facts *facts = run->view->facts;
    unsigned count = 0;

    if (!has_facts(s, run->view) || run->view->count > IMAP_FACTS_MESSAGES_MAX)
        return;
    for (uint32_t i = 0; i < run->program->node_count && count < IMAP_REMEMBERED_MAX; i++) {
        struct imap_search_node *node = &run->program->nodes[i];

        if (node->op != IMAP_SEARCH_HEADER &&
            (node->op != IMAP_SEARCH_STRING || node->folded.len == 0))
            continue;
        node->remembered = imap_facts_remember(facts, node->field, node->name, node->folded);
        node->is_at_hand = imap_facts_know_all(facts, node->remembered);
        count++;
    }
}

void imap_search_note_candidates(const struct imap_search_run *run,
                                 const struct imap_search_node *node)
{
    size_t count = run->view->count;

    for (size_t word = 0; node->remembered != NULL && word * WORD_BITS < count; word++) {
        uint64_t known = node->is_exact ? ~node->open[word] : ~node->candidates[word];

        if (count - word * WORD_BITS < WORD_BITS)
            known &= (UINT64_C(1) << (count % WORD_BITS)) - 1;
        imap_remembered_put(node->remembered, word, known, node->candidates[word]);
    }
}

/* ---- What is missing ---- */

static void extend(struct imap_search_reading *reading, size_t first, size_t end)
{
    if (first >= end)
        return;
    if (reading->next == reading->end)
        reading->next = first;
    if (first < reading->next)
        reading->next = first;
    if (end > reading->end)
        reading->end = end;
}

static void extend_to_changed(const struct imap_session *s, const struct imap_view *view,
                              struct imap_search_reading *reading)
{
    uint32_t first, last;

    reading->has_flags = true;
    reading->modseq = view->modseq;
    vault_changed_range(s->vault, view->folder_id, view->facts->modseq, &first, &last);
    if (first <= last)
        extend(reading, imap_view_index(view, first),
               last == UINT32_MAX ? view->count : imap_view_index(view, last + 1));
}

bool imap_search_lacks_facts(const struct imap_session *s, struct imap_search_run *run)
{
    const struct imap_view *view = run->view;
    struct imap_search_reading reading = {0};
    bool has_index_key = false;
    size_t rows;

    if (!has_facts(s, view))
        return false;
    for (uint32_t i = 0; i < run->program->node_count; i++) {
        const struct imap_search_node *node = &run->program->nodes[i];
        enum imap_column column;

        has_index_key |= imap_search_level_of(node) > IMAP_SEARCH_BY_ROW;
        if (node->is_at_hand)
            continue;
        if (compares_flags(node))
            extend_to_changed(s, view, &reading);
        if (column_of(node, &column) && view->count <= IMAP_FACTS_MESSAGES_MAX) {
            reading.columns |= 1u << column;
            extend(&reading, imap_facts_known(view->facts, column), view->count);
        }
    }
    rows = reading.end - reading.next;
    run->reading = reading;
    return (reading.has_flags || reading.columns != 0) &&
           (rows <= WORTH_FEW || rows <= 2 * run->open_count) &&
           (rows <= WITH_INDEX_MAX || !has_index_key);
}

/* ---- Reading it ---- */

static unsigned columns_of(const struct imap_search_reading *reading)
{
    unsigned columns = VAULT_COLUMN_FLAGS;

    if (reading->columns & 1u << IMAP_COLUMN_DAY)
        columns |= VAULT_COLUMN_DATES;
    if (reading->columns & 1u << IMAP_COLUMN_SENT_DAY)
        columns |= VAULT_COLUMN_SENT;
    if (reading->columns & 1u << IMAP_COLUMN_SIZE)
        columns |= VAULT_COLUMN_SIZE;
    return columns;
}

static int64_t value_of(const struct vault_message *row, enum imap_column column)
{
    switch (column) {
    case IMAP_COLUMN_SENT_DAY:
        return row->sent_day;
    case IMAP_COLUMN_DAY:
        return imap_search_internal_day(row);
    case IMAP_COLUMN_SIZE:
        return row->size_bytes > INT32_MAX ? INT32_MAX : (int64_t)row->size_bytes;
    case IMAP_COLUMN_COUNT:
        break;
    }
    return 0;
}

/* The row of the message that is next. */
static void take_row(const struct imap_view *view, struct imap_search_reading *reading,
                     const struct vault_message *row)
{
    if (reading->has_flags)
        imap_facts_set_flags(view->facts, reading->next, row->flags);
    for (int i = 0; i < IMAP_COLUMN_COUNT; i++)
        if ((reading->columns & 1u << i) != 0 &&
            imap_facts_known(view->facts, (enum imap_column)i) == reading->next)
            imap_facts_put(view->facts, (enum imap_column)i, value_of(row, (enum imap_column)i));
    reading->next++;
}

/* Days that the vault remembers of the folder's list. */
static void take_remembered(struct imap_session *s, const struct imap_view *view,
                            struct imap_search_reading *reading)
{
    size_t at = 0, first = reading->next;
    int32_t day;

    if (reading->has_flags || reading->columns != 1u << IMAP_COLUMN_SENT_DAY)
        return;
    while (
        reading->next < reading->end &&
        vault_message_sent_day(s->vault, view->folder_id, view->uids[reading->next], &at, &day)) {
        imap_facts_put(view->facts, IMAP_COLUMN_SENT_DAY, day);
        reading->next++;
    }
    imap_spend(s, (reading->next - first) / REMEMBERED_PER_UNIT);
}

enum err imap_search_read_facts(struct imap_session *s, struct task *task,
                                struct imap_search_run *run, bool *out_is_done)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    struct imap_search_reading *reading = &run->reading;
    const struct imap_view *view = run->view;

    *out_is_done = false;
    take_remembered(s, view, reading);
    imap_spend(s, CURSOR_UNITS);
    if (reading->next < reading->end)
        TRY(vault_cursor_open(s->vault, task, view->folder_id, view->uids[reading->next],
                              view->uids[reading->end - 1], columns_of(reading), true, &cursor));
    while (reading->next < reading->end && !imap_must_give_way(s)) {
        static const struct vault_message none = {.sent_day = INT64_MIN};
        struct vault_message row;
        bool has_row;

        TRY(vault_cursor_next(cursor, task, &row, &has_row));
        /* What was purged between two turns: the view is not current any more, so it is not looked
         * at. */
        while (reading->next < reading->end && (!has_row || view->uids[reading->next] < row.uid))
            take_row(view, reading, &none);
        if (reading->next < reading->end && view->uids[reading->next] == row.uid)
            take_row(view, reading, &row);
        imap_spend(s, ROW_UNITS);
    }
    if (reading->next < reading->end)
        return ERR_OK;
    if (reading->has_flags)
        view->facts->modseq = reading->modseq;
    imap_search_recall(s, run);
    *out_is_done = true;
    return ERR_OK;
}
