/*
 * SEARCH and UID SEARCH (RFC 3501 §6.4.4, RFC 7162 §3.1.5). Keys are tested in three steps, each
 * more expensive: what the session and the row's flags, dates and sizes tell; the decoded header
 * columns; the message's own text. A message goes on to the next step only while its keys leave the
 * answer open. The search index narrows beforehand which messages are looked at.
 */
#include "imap/engine.h"

#include "imap/write.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROW_UNITS = 4,
    TEXT_BYTES_PER_UNIT = 40, /* decoded, folded and compared */
    CURSOR_GAP = 64,          /* messages between two that are looked at: worth a new cursor */
};

enum truth { NO, YES, OPEN };

/* What is known of the message being tested. */
struct candidate {
    struct imap_session *s;
    struct task *task;
    const struct vault_message *row;
    uint32_t number;
    bool has_content;
    const struct message_structure *structure;
    struct str raw;
    struct str body, text; /* folded, made when first needed */
    struct task *message_task;
};

IMAP_PARSE(search)
{
    TRY(imap_parse_space(parser));
    return imap_search_parse(parser, &args->search);
}

/* ---- Before the first message ---- */

static struct str fold(struct task *task, struct str text)
{
    struct str folded;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    message_fold(text, &out);
    folded = arena_copy(&task->arena, buf_str(&out));
    buf_free(&out);
    return folded;
}

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
        return VAULT_COLUMN_SENT;
    case IMAP_SEARCH_LARGER:
    case IMAP_SEARCH_SMALLER:
        return VAULT_COLUMN_SIZE;
    case IMAP_SEARCH_STRING:
        return node->is_exact && node->open_count == 0 ? 0
               : node->field == VAULT_SEARCH_BODY || node->field == VAULT_SEARCH_TEXT
                   ? VAULT_COLUMN_STRUCTURE
                   : VAULT_COLUMN_SEARCH;
    case IMAP_SEARCH_HEADER:
        return node->is_exact && node->open_count == 0 ? 0 : VAULT_COLUMN_STRUCTURE;
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

static enum err prepare_text(struct imap_session *s, struct task *task,
                             struct imap_search_node *node)
{
    struct vault_candidates candidates;

    node->folded = fold(task, node->text);
    if (node->folded.len == 0 && node->op == IMAP_SEARCH_STRING)
        return ERR_OK;
    node->has_candidates = true;
    TRY(vault_search_candidates(s->vault, task, s->view.folder_id, node->field, node->name,
                                node->text, &candidates));
    node->candidates = candidates.uids;
    node->candidate_count = candidates.count;
    node->is_exact = candidates.is_exact;
    node->open_uids = candidates.open_uids;
    node->open_count = candidates.open_count;
    imap_spend(s, 500);
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
        return prepare_text(s, task, node);
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

static bool is_among(const uint32_t *uids, size_t count, uint32_t uid)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (uids[middle] < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && uids[low] == uid;
}

static bool folded_contains(struct candidate *c, struct str text, struct str folded_key)
{
    bool is_there;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    message_fold(text, &out);
    imap_spend(c->s, text.len / TEXT_BYTES_PER_UNIT);
    is_there = str_find(buf_str(&out), folded_key) >= 0;
    buf_free(&out);
    return is_there;
}

/* The message's searchable text, folded, kept for the other keys. */
static struct str text_of(struct candidate *c, bool with_headers)
{
    struct str *kept = with_headers ? &c->text : &c->body;
    struct buf plain;

    if (kept->ptr != NULL)
        return *kept;
    buf_init(&plain, SIZE_MAX);
    message_text(c->structure, c->raw, with_headers, &plain);
    *kept = fold(c->message_task, buf_str(&plain));
    imap_spend(c->s, (c->raw.len + plain.len) / TEXT_BYTES_PER_UNIT);
    buf_free(&plain);
    return *kept;
}

/* HEADER: any field of the message's own header with that name; an empty string matches them all.
 */
static bool header_matches(struct candidate *c, const struct imap_search_node *node)
{
    struct str value, header = {NULL, 0};
    size_t position = 0;
    bool matches = false;

    if (c->structure->part_count > 0)
        header = str_upto(str_from(c->raw, (size_t)c->structure->parts[0].header_start),
                          (size_t)c->structure->parts[0].header_len);
    while (!matches && message_header_next(header, node->name, &position, &value)) {
        struct buf decoded;

        buf_init(&decoded, SIZE_MAX);
        message_header_decode(value, &decoded);
        matches = folded_contains(c, buf_str(&decoded), node->folded);
        buf_free(&decoded);
    }
    return matches;
}

static enum truth string_matches(struct candidate *c, const struct imap_search_node *node)
{
    const struct vault_message *row = c->row;

    if (node->folded.len == 0 && node->op == IMAP_SEARCH_STRING)
        return YES; /* every text contains the empty one */
    if (node->has_candidates && !is_among(node->candidates, node->candidate_count, row->uid))
        return NO;
    if (node->is_exact && !is_among(node->open_uids, node->open_count, row->uid))
        return YES;
    if (node->op == IMAP_SEARCH_HEADER)
        return !c->has_content ? OPEN : (enum truth)header_matches(c, node);
    switch (node->field) {
    case VAULT_SEARCH_SUBJECT:
        return (enum truth)folded_contains(c, row->subject, node->folded);
    case VAULT_SEARCH_FROM:
        return (enum truth)folded_contains(c, row->from, node->folded);
    case VAULT_SEARCH_TO:
        return (enum truth)folded_contains(c, row->to, node->folded);
    case VAULT_SEARCH_CC:
        return (enum truth)folded_contains(c, row->cc, node->folded);
    case VAULT_SEARCH_BCC:
        return (enum truth)folded_contains(c, row->bcc, node->folded);
    case VAULT_SEARCH_BODY:
    case VAULT_SEARCH_TEXT:
        if (!c->has_content)
            return OPEN;
        return (enum truth)(str_find(text_of(c, node->field == VAULT_SEARCH_TEXT), node->folded) >=
                            0);
    case VAULT_SEARCH_HEADER:
        return NO;
    }
    return NO;
}

/* "Disregarding time and timezone" (RFC 3501 §6.4.4): the day as it was where the date was made. */
static int64_t internal_day(const struct vault_message *row)
{
    int64_t ms = row->internal_date_ms + (int64_t)row->internal_zone_minutes * 60000;
    int64_t day_ms = 86400000;

    return (ms < 0 ? ms - day_ms + 1 : ms) / day_ms;
}

static enum truth leaf_matches(struct candidate *c, const struct imap_search_node *node)
{
    const struct vault_message *row = c->row;
    bool is_recent, has_date = row->sent_day != INT64_MIN;

    switch (node->op) {
    case IMAP_SEARCH_AND:
    case IMAP_SEARCH_ALL:
        return YES;
    case IMAP_SEARCH_OR:
    case IMAP_SEARCH_NOT:
    case IMAP_SEARCH_KEYWORD:
        return NO;
    case IMAP_SEARCH_FLAG:
        return (enum truth)(((row->flags & node->number) != 0) != node->is_absent);
    case IMAP_SEARCH_NEW:
    case IMAP_SEARCH_OLD:
    case IMAP_SEARCH_RECENT:
        is_recent = imap_view_is_recent(&c->s->view, row->uid);
        if (node->op == IMAP_SEARCH_NEW)
            return (enum truth)(is_recent && (row->flags & VAULT_FLAG_SEEN) == 0);
        return (enum truth)(is_recent == (node->op == IMAP_SEARCH_RECENT));
    case IMAP_SEARCH_BEFORE:
        return (enum truth)(internal_day(row) < node->day);
    case IMAP_SEARCH_ON:
        return (enum truth)(internal_day(row) == node->day);
    case IMAP_SEARCH_SINCE:
        return (enum truth)(internal_day(row) >= node->day);
    case IMAP_SEARCH_SENTBEFORE:
        return (enum truth)(has_date && row->sent_day < node->day);
    case IMAP_SEARCH_SENTON:
        return (enum truth)(has_date && row->sent_day == node->day);
    case IMAP_SEARCH_SENTSINCE:
        return (enum truth)(has_date && row->sent_day >= node->day);
    case IMAP_SEARCH_LARGER:
        return (enum truth)(row->size_bytes > node->number);
    case IMAP_SEARCH_SMALLER:
        return (enum truth)(row->size_bytes < node->number);
    case IMAP_SEARCH_SEQUENCE:
        return (enum truth)imap_set_contains(&node->set, c->number);
    case IMAP_SEARCH_UID:
        return (enum truth)imap_set_contains(&node->set, row->uid);
    case IMAP_SEARCH_MODSEQ:
        return (enum truth)(row->modseq >= node->number);
    case IMAP_SEARCH_STRING:
    case IMAP_SEARCH_HEADER:
        return string_matches(c, node);
    }
    return NO;
}

/* What an operator has made of its operands so far. */
struct frame {
    const struct imap_search_node *node;
    enum truth truth;
};

/* Takes an operand's truth in. True: the operator's own truth is certain now. */
static bool take_operand(struct frame *frame, enum truth operand)
{
    if (frame->node->op == IMAP_SEARCH_NOT) {
        frame->truth = operand == OPEN ? OPEN : operand == YES ? NO : YES;
    } else if (frame->node->op == IMAP_SEARCH_OR) {
        if (operand == YES || frame->truth == NO)
            frame->truth = operand;
        return operand == YES;
    } else {
        if (operand == NO || frame->truth == YES)
            frame->truth = operand;
        return operand == NO;
    }
    return false;
}

static bool is_operator(const struct imap_search_node *nodes, uint32_t at)
{
    /* A NOT without an operand is a keyword that no message has: false as it stands. */
    return nodes[at].op == IMAP_SEARCH_AND || nodes[at].op == IMAP_SEARCH_OR ||
           (nodes[at].op == IMAP_SEARCH_NOT && nodes[at].next > at + 1);
}

/* The parser bounded the depth, so the stack is enough. */
static enum truth program_matches(struct candidate *c, const struct imap_search_args *search)
{
    const struct imap_search_node *nodes = search->nodes;
    struct frame stack[IMAP_SEARCH_DEPTH_MAX + 1];
    size_t depth = 0;
    uint32_t at = 0;
    enum truth last = YES;

    for (;;) {
        if (is_operator(nodes, at)) {
            stack[depth++] = (struct frame){&nodes[at], nodes[at].op == IMAP_SEARCH_OR ? NO : YES};
            at++;
            if (at < stack[depth - 1].node->next)
                continue;
            last = stack[--depth].truth;
        } else {
            last = leaf_matches(c, &nodes[at]);
            at = nodes[at].next;
        }
        /* `last` is the truth of what ended at `at`. */
        while (depth > 0) {
            struct frame *top = &stack[depth - 1];

            if (take_operand(top, last))
                at = top->node->next;
            if (at < top->node->next)
                break;
            last = top->truth;
            depth--;
        }
        if (depth == 0)
            return last;
    }
}

/* The whole message, for the keys that are still open. */
static enum err load_content(struct candidate *c, struct message_structure *structure,
                             struct buf *raw)
{
    CLEANUP(vault_content_close) struct vault_content *content = NULL;
    uint64_t size;

    TRY(vault_content_open(c->s->vault, c->task, c->row->content_id, &content));
    size = vault_content_size(content);
    TRY(message_structure_decode(c->message_task, c->row->structure, structure));
    TRY(vault_content_read(content, c->task, 0, (size_t)size, raw));
    c->raw = buf_str(raw);
    c->structure = structure;
    c->has_content = true;
    return ERR_OK;
}

static enum err test_message(struct imap_session *s, struct task *task,
                             struct imap_search_args *search, uint32_t index,
                             const struct vault_message *row)
{
    struct candidate c = {.s = s, .task = task, .row = row, .number = index + 1};
    enum truth truth = program_matches(&c, search);

    imap_spend(s, ROW_UNITS);
    if (truth == OPEN) {
        struct message_structure structure;
        struct task message_task;
        struct buf raw;
        enum err err;

        task_init(&message_task, task->now_ms);
        buf_init(&raw, SIZE_MAX);
        c.message_task = &message_task;
        err = load_content(&c, &structure, &raw);
        truth = err == ERR_OK ? program_matches(&c, search) : NO;
        buf_free(&raw);
        task_done(&message_task);
        if (err == ERR_NOT_FOUND) { /* purged meanwhile */
            task_forgive(task);
            err = ERR_OK;
        }
        TRY(err);
    }
    if (truth == YES) {
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

/* mailbox-data =/ "SEARCH" [1*(SP nz-number) SP search-sort-mod-seq] (RFC 7162 §7) */
static void write_result(struct imap_session *s, const struct imap_search_args *search)
{
    buf_put(&s->out, STR("* SEARCH"));
    for (size_t i = 0; i < search->found_count; i++) {
        buf_put(&s->out, STR(" "));
        imap_write_number(&s->out, search->found[i]);
    }
    if (search->has_modseq && search->found_count > 0) {
        buf_put(&s->out, STR(" (MODSEQ "));
        imap_write_number(&s->out, search->found_modseq);
        buf_put(&s->out, STR(")"));
    }
    buf_put(&s->out, STR("\r\n"));
}

IMAP_COMMAND(search)
{
    struct imap_search_args *search = &args->search;

    if (search->is_wrong_charset)
        return imap_refuse(s, task, IMAP_REFUSAL_CHARSET);
    if (!search->is_started)
        TRY(start(s, task, search));
    while (search->next < search->index_count) {
        if (imap_must_give_way(s)) {
            imap_give_way(s);
            return ERR_OK;
        }
        TRY(search->columns == 0 ? test_numbers(s, task, search) : test_rows(s, task, search));
    }
    write_result(s, search);
    return ERR_OK;
}
