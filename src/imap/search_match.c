#include "imap/search_match.h"

#include "imap/engine.h"

enum { TEXT_BYTES_PER_UNIT = 40 /* decoded, folded and compared */ };

struct str imap_search_fold(struct task *task, struct str text)
{
    struct str folded;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    message_fold(text, &out);
    folded = arena_copy(&task->arena, buf_str(&out));
    buf_free(&out);
    return folded;
}

static bool is_candidate(const struct imap_search_node *node, uint32_t uid)
{
    size_t low = 0, high = node->candidate_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (node->candidates[middle] < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < node->candidate_count && node->candidates[low] == uid;
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
    *kept = imap_search_fold(c->message_task, buf_str(&plain));
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

static enum imap_truth string_matches(struct imap_search_candidate *c,
                                      const struct imap_search_node *node)
{
    const struct vault_message *row = c->row;

    if (node->folded.len == 0 && node->op == IMAP_SEARCH_STRING)
        return IMAP_TRUTH_YES; /* every text contains the empty one */
    if (node->has_candidates && !is_candidate(node, row->uid))
        return IMAP_TRUTH_NO;
    if (node->is_exact)
        return IMAP_TRUTH_YES;
    if (node->op == IMAP_SEARCH_HEADER)
        return !c->has_content ? IMAP_TRUTH_OPEN : (enum imap_truth)header_matches(c, node);
    switch (node->field) {
    case VAULT_SEARCH_SUBJECT:
        return (enum imap_truth)folded_contains(c, row->subject, node->folded);
    case VAULT_SEARCH_FROM:
        return (enum imap_truth)folded_contains(c, row->from, node->folded);
    case VAULT_SEARCH_TO:
        return (enum imap_truth)folded_contains(c, row->to, node->folded);
    case VAULT_SEARCH_CC:
        return (enum imap_truth)folded_contains(c, row->cc, node->folded);
    case VAULT_SEARCH_BCC:
        return (enum imap_truth)folded_contains(c, row->bcc, node->folded);
    case VAULT_SEARCH_BODY:
    case VAULT_SEARCH_TEXT:
        if (!c->has_content)
            return IMAP_TRUTH_OPEN;
        return (enum imap_truth)(
            str_find(text_of(c, node->field == VAULT_SEARCH_TEXT), node->folded) >= 0);
    case VAULT_SEARCH_HEADER:
        return IMAP_TRUTH_NO;
    }
    return IMAP_TRUTH_NO;
}

/* "Disregarding time and timezone" (RFC 3501 §6.4.4): the day as it was where the date was made. */
static int64_t internal_day(const struct vault_message *row)
{
    int64_t ms = row->internal_date_ms + (int64_t)row->internal_zone_minutes * 60000;
    int64_t day_ms = 86400000;

    return (ms < 0 ? ms - day_ms + 1 : ms) / day_ms;
}

static enum imap_truth leaf_matches(struct imap_search_candidate *c,
                                    const struct imap_search_node *node)
{
    const struct vault_message *row = c->row;
    bool is_recent, has_date = row->sent_day != INT64_MIN;

    switch (node->op) {
    case IMAP_SEARCH_AND:
    case IMAP_SEARCH_ALL:
        return IMAP_TRUTH_YES;
    case IMAP_SEARCH_OR:
    case IMAP_SEARCH_NOT:
    case IMAP_SEARCH_KEYWORD:
        return IMAP_TRUTH_NO;
    case IMAP_SEARCH_FLAG:
        return (enum imap_truth)(((row->flags & node->number) != 0) != node->is_absent);
    case IMAP_SEARCH_NEW:
    case IMAP_SEARCH_OLD:
    case IMAP_SEARCH_RECENT:
        is_recent = imap_view_is_recent(&c->s->view, row->uid);
        if (node->op == IMAP_SEARCH_NEW)
            return (enum imap_truth)(is_recent && (row->flags & VAULT_FLAG_SEEN) == 0);
        return (enum imap_truth)(is_recent == (node->op == IMAP_SEARCH_RECENT));
    case IMAP_SEARCH_BEFORE:
        return (enum imap_truth)(internal_day(row) < node->day);
    case IMAP_SEARCH_ON:
        return (enum imap_truth)(internal_day(row) == node->day);
    case IMAP_SEARCH_SINCE:
        return (enum imap_truth)(internal_day(row) >= node->day);
    case IMAP_SEARCH_SENTBEFORE:
        return (enum imap_truth)(has_date && row->sent_day < node->day);
    case IMAP_SEARCH_SENTON:
        return (enum imap_truth)(has_date && row->sent_day == node->day);
    case IMAP_SEARCH_SENTSINCE:
        return (enum imap_truth)(has_date && row->sent_day >= node->day);
    case IMAP_SEARCH_LARGER:
        return (enum imap_truth)(row->size_bytes > node->number);
    case IMAP_SEARCH_SMALLER:
        return (enum imap_truth)(row->size_bytes < node->number);
    case IMAP_SEARCH_SEQUENCE:
        return (enum imap_truth)imap_set_contains(&node->set, c->number);
    case IMAP_SEARCH_UID:
        return (enum imap_truth)imap_set_contains(&node->set, row->uid);
    case IMAP_SEARCH_MODSEQ:
        return (enum imap_truth)(row->modseq >= node->number);
    case IMAP_SEARCH_STRING:
    case IMAP_SEARCH_HEADER:
        return string_matches(c, node);
    }
    return IMAP_TRUTH_NO;
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

static bool is_operator(const struct imap_search_node *nodes, uint32_t at)
{
    /* A NOT without an operand is a keyword that no message has: false as it stands. */
    return nodes[at].op == IMAP_SEARCH_AND || nodes[at].op == IMAP_SEARCH_OR ||
           (nodes[at].op == IMAP_SEARCH_NOT && nodes[at].next > at + 1);
}

/* The parser bounded the depth, so the stack is enough. */
enum imap_truth imap_search_matches(struct imap_search_candidate *c,
                                    const struct imap_search_args *search)
{
    const struct imap_search_node *nodes = search->nodes;
    struct frame stack[IMAP_SEARCH_DEPTH_MAX + 1];
    size_t depth = 0;
    uint32_t at = 0;
    enum imap_truth last = IMAP_TRUTH_YES;

    for (;;) {
        if (is_operator(nodes, at)) {
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
