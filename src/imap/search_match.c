#include "imap/search_match.h"

#include "imap/engine.h"

enum { TEXT_BYTES_PER_UNIT = 40 /* decoded, folded and compared */ };

static const int64_t DAY_MS = 86400000;

struct str imap_search_fold(struct arena *arena, struct str text)
{
    struct str folded;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    message_fold(text, &out);
    folded = arena_copy(arena, buf_str(&out));
    buf_free(&out);
    return folded;
}

enum imap_search_level imap_search_level_of(const struct imap_search_node *node)
{
    switch (node->op) {
    case IMAP_SEARCH_AND:
    case IMAP_SEARCH_OR:
    case IMAP_SEARCH_NOT:
    case IMAP_SEARCH_ALL:
    case IMAP_SEARCH_KEYWORD:
    case IMAP_SEARCH_OLD:
    case IMAP_SEARCH_RECENT:
    case IMAP_SEARCH_SEQUENCE:
    case IMAP_SEARCH_UID:
        return IMAP_SEARCH_BY_NUMBER;
    case IMAP_SEARCH_FLAG:
    case IMAP_SEARCH_NEW:
    case IMAP_SEARCH_MODSEQ:
    case IMAP_SEARCH_BEFORE:
    case IMAP_SEARCH_ON:
    case IMAP_SEARCH_SINCE:
    case IMAP_SEARCH_SAVEDBEFORE:
    case IMAP_SEARCH_SAVEDON:
    case IMAP_SEARCH_SAVEDSINCE:
    case IMAP_SEARCH_OLDER:
    case IMAP_SEARCH_YOUNGER:
    case IMAP_SEARCH_LARGER:
    case IMAP_SEARCH_SMALLER:
        return IMAP_SEARCH_BY_ROW;
    case IMAP_SEARCH_SENTBEFORE:
    case IMAP_SEARCH_SENTON:
    case IMAP_SEARCH_SENTSINCE:
        return IMAP_SEARCH_BY_HEADER;
    case IMAP_SEARCH_STRING:
        if (node->is_exact || node->folded.len == 0)
            return IMAP_SEARCH_BY_NUMBER;
        return node->field == VAULT_SEARCH_BODY || node->field == VAULT_SEARCH_TEXT
                   ? IMAP_SEARCH_BY_TEXT
                   : IMAP_SEARCH_BY_HEADER;
    case IMAP_SEARCH_HEADER:
        return IMAP_SEARCH_BY_TEXT;
    }
    return IMAP_SEARCH_BY_NUMBER;
}

unsigned imap_search_columns_of(const struct imap_search_node *node)
{
    switch (imap_search_level_of(node)) {
    case IMAP_SEARCH_BY_NUMBER:
        return 0;
    case IMAP_SEARCH_BY_ROW: /* flags always come along */
        return node->op == IMAP_SEARCH_LARGER || node->op == IMAP_SEARCH_SMALLER ? VAULT_COLUMN_SIZE
               : node->op == IMAP_SEARCH_FLAG || node->op == IMAP_SEARCH_NEW ||
                       node->op == IMAP_SEARCH_MODSEQ
                   ? VAULT_COLUMN_FLAGS
                   : VAULT_COLUMN_DATES;
    case IMAP_SEARCH_BY_HEADER:
        return VAULT_COLUMN_SEARCH;
    case IMAP_SEARCH_BY_TEXT:
        return VAULT_COLUMN_STRUCTURE;
    }
    return 0;
}

static bool is_candidate(const struct imap_search_node *node, uint32_t index)
{
    return (node->candidates[index / 64] >> (index % 64) & 1) != 0;
}

static bool folded_contains(struct imap_search_candidate *c, struct str text, struct str folded_key)
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
static struct str text_of(struct imap_search_candidate *c, bool with_headers)
{
    struct str *kept = with_headers ? &c->text : &c->body;
    struct buf plain;

    if (kept->ptr != NULL)
        return *kept;
    buf_init(&plain, SIZE_MAX);
    message_text(c->structure, c->raw, with_headers, &plain);
    *kept = imap_search_fold(c->arena, buf_str(&plain));
    imap_spend(c->s, (c->raw.len + plain.len) / TEXT_BYTES_PER_UNIT);
    buf_free(&plain);
    return *kept;
}

/* HEADER: any field of the message's own header with that name; an empty string matches them all.
 */
static bool header_matches(struct imap_search_candidate *c, const struct imap_search_node *node)
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

static struct str column_of(const struct vault_message *row, enum vault_search_field field)
{
    switch (field) {
    case VAULT_SEARCH_SUBJECT:
        return row->subject;
    case VAULT_SEARCH_FROM:
        return row->from;
    case VAULT_SEARCH_TO:
        return row->to;
    case VAULT_SEARCH_CC:
        return row->cc;
    case VAULT_SEARCH_BCC:
        return row->bcc;
    case VAULT_SEARCH_BODY:
    case VAULT_SEARCH_TEXT:
    case VAULT_SEARCH_HEADER:
        break;
    }
    return STR("");
}

static bool string_matches(struct imap_search_candidate *c, const struct imap_search_node *node)
{
    if (node->op == IMAP_SEARCH_HEADER)
        return header_matches(c, node);
    if (node->field == VAULT_SEARCH_BODY || node->field == VAULT_SEARCH_TEXT)
        return str_find(text_of(c, node->field == VAULT_SEARCH_TEXT), node->folded) >= 0;
    return folded_contains(c, column_of(c->row, node->field), node->folded);
}

static int64_t day_of(int64_t ms)
{
    return (ms < 0 ? ms - DAY_MS + 1 : ms) / DAY_MS;
}

/* "Disregarding time and timezone" (RFC 3501 §6.4.4): the day as it was where the date was made. */
static int64_t internal_day(const struct vault_message *row)
{
    return day_of(row->internal_date_ms + (int64_t)row->internal_zone_minutes * 60000);
}

/* RFC 5032 §3: OLDER is at or before the moment so long ago, YOUNGER at or after it. */
static int64_t moment_ago(const struct imap_search_candidate *c,
                          const struct imap_search_node *node)
{
    return c->now_ms - (int64_t)node->number * 1000;
}

static bool leaf_is_true(struct imap_search_candidate *c, const struct imap_search_node *node)
{
    const struct vault_message *row = c->row;
    bool is_recent;

    switch (node->op) {
    case IMAP_SEARCH_AND:
    case IMAP_SEARCH_ALL:
        return true;
    case IMAP_SEARCH_OR:
    case IMAP_SEARCH_NOT:
    case IMAP_SEARCH_KEYWORD:
        return false;
    case IMAP_SEARCH_FLAG:
        return ((row->flags & node->number) != 0) != node->is_absent;
    case IMAP_SEARCH_NEW:
    case IMAP_SEARCH_OLD:
    case IMAP_SEARCH_RECENT:
        is_recent = imap_view_is_recent(c->view, c->view->uids[c->index]);
        if (node->op == IMAP_SEARCH_NEW)
            return is_recent && (row->flags & VAULT_FLAG_SEEN) == 0;
        return is_recent == (node->op == IMAP_SEARCH_RECENT);
    case IMAP_SEARCH_BEFORE:
        return internal_day(row) < node->day;
    case IMAP_SEARCH_ON:
        return internal_day(row) == node->day;
    case IMAP_SEARCH_SINCE:
        return internal_day(row) >= node->day;
    case IMAP_SEARCH_SENTBEFORE:
        return row->sent_day != INT64_MIN && row->sent_day < node->day;
    case IMAP_SEARCH_SENTON:
        return row->sent_day == node->day;
    case IMAP_SEARCH_SENTSINCE:
        return row->sent_day >= node->day;
    case IMAP_SEARCH_SAVEDBEFORE:
        return day_of(row->save_date_ms) < node->day;
    case IMAP_SEARCH_SAVEDON:
        return day_of(row->save_date_ms) == node->day;
    case IMAP_SEARCH_SAVEDSINCE:
        return day_of(row->save_date_ms) >= node->day;
    case IMAP_SEARCH_OLDER:
        return row->internal_date_ms <= moment_ago(c, node);
    case IMAP_SEARCH_YOUNGER:
        return row->internal_date_ms >= moment_ago(c, node);
    case IMAP_SEARCH_LARGER:
        return row->size_bytes > node->number;
    case IMAP_SEARCH_SMALLER:
        return row->size_bytes < node->number;
    case IMAP_SEARCH_SEQUENCE:
    case IMAP_SEARCH_UID:
        return imap_set_contains(&node->set, c->index);
    case IMAP_SEARCH_MODSEQ:
        return row->modseq >= node->number;
    case IMAP_SEARCH_STRING:
    case IMAP_SEARCH_HEADER:
        return string_matches(c, node);
    }
    return false;
}

static enum imap_truth leaf_matches(struct imap_search_candidate *c,
                                    const struct imap_search_node *node)
{
    /* Every text contains the empty one; but a field of that name must be there. */
    if (node->op == IMAP_SEARCH_STRING && node->folded.len == 0)
        return IMAP_TRUTH_YES;
    if (node->has_candidates && !is_candidate(node, c->index))
        return IMAP_TRUTH_NO;
    if (node->has_candidates && node->is_exact)
        return IMAP_TRUTH_YES;
    if (imap_search_level_of(node) > c->level)
        return IMAP_TRUTH_OPEN;
    return leaf_is_true(c, node) ? IMAP_TRUTH_YES : IMAP_TRUTH_NO;
}

/* What an operator has made of its operands so far. */
struct frame {
    const struct imap_search_node *node;
    enum imap_truth truth;
};

/* Takes an operand's truth in. True: the operator's own truth is certain now. */
static bool take_operand(struct frame *frame, enum imap_truth operand)
{
    if (frame->node->op == IMAP_SEARCH_NOT) {
        frame->truth = operand == IMAP_TRUTH_OPEN  ? IMAP_TRUTH_OPEN
                       : operand == IMAP_TRUTH_YES ? IMAP_TRUTH_NO
                                                   : IMAP_TRUTH_YES;
    } else if (frame->node->op == IMAP_SEARCH_OR) {
        if (operand == IMAP_TRUTH_YES || frame->truth == IMAP_TRUTH_NO)
            frame->truth = operand;
        return operand == IMAP_TRUTH_YES;
    } else {
        if (operand == IMAP_TRUTH_NO || frame->truth == IMAP_TRUTH_YES)
            frame->truth = operand;
        return operand == IMAP_TRUTH_NO;
    }
    return false;
}

bool imap_search_is_operator(const struct imap_search_program *program, uint32_t at)
{
    const struct imap_search_node *nodes = program->nodes;

    /* A NOT without an operand is a keyword that no message has: false as it stands. */
    return nodes[at].op == IMAP_SEARCH_AND || nodes[at].op == IMAP_SEARCH_OR ||
           (nodes[at].op == IMAP_SEARCH_NOT && nodes[at].next > at + 1);
}

/* The parser bounded the depth, so the stack is enough. */
enum imap_truth imap_search_matches(struct imap_search_candidate *c,
                                    const struct imap_search_program *program)
{
    const struct imap_search_node *nodes = program->nodes;
    struct frame stack[IMAP_SEARCH_DEPTH_MAX + 1];
    size_t depth = 0;
    uint32_t at = 0;
    enum imap_truth last = IMAP_TRUTH_YES;

    for (;;) {
        if (imap_search_is_operator(program, at)) {
            stack[depth++] = (struct frame){
                &nodes[at], nodes[at].op == IMAP_SEARCH_OR ? IMAP_TRUTH_NO : IMAP_TRUTH_YES};
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
