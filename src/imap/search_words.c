/* The program over a word of messages, 64 at once; one message with its texts is search_match.c. */
#include "imap/search_match.h"

enum { WORD_BITS = 64 };

static const uint64_t ALL = UINT64_MAX;

/* ---- Leaves ---- */

/* Of a resolved set of indexes. */
static uint64_t in_set(const struct imap_set *set, size_t word)
{
    uint64_t start = (uint64_t)word * WORD_BITS, end = start + WORD_BITS, bits = 0;
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->ranges[middle].last < start)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < set->count && set->ranges[low].first < end; low++) {
        uint64_t first = set->ranges[low].first, last = set->ranges[low].last;

        bits |= (first > start ? ALL << (first - start) : ALL) &
                (last + 1 < end ? (UINT64_C(1) << (last + 1 - start)) - 1 : ALL);
    }
    return bits;
}

static uint64_t recent(const struct imap_view *view, size_t word)
{
    uint64_t bits = 0;

    for (size_t i = word * WORD_BITS; view->recent_count > 0 && i < view->count; i++) {
        if (i / WORD_BITS != word)
            break;
        bits |= (uint64_t)imap_view_is_recent(view, view->uids[i]) << (i % WORD_BITS);
    }
    return bits;
}

static uint64_t on_day(const struct imap_facts *facts, enum imap_column column, int64_t day,
                       size_t word)
{
    return imap_facts_from(facts, column, day, word) & imap_facts_to(facts, column, day, word);
}

uint64_t imap_search_leaf_word(const struct imap_view *view, const struct imap_search_node *node,
                               size_t word)
{
    const struct imap_facts *facts = view->facts;
    uint64_t bits;

    switch (node->op) {
    case IMAP_SEARCH_AND:
    case IMAP_SEARCH_FUZZY:
    case IMAP_SEARCH_ALL:
        return ALL;
    case IMAP_SEARCH_FLAG:
        bits = imap_facts_with_flags(facts, node->number, word);
        return node->is_absent ? ~bits : bits;
    case IMAP_SEARCH_NEW:
        return recent(view, word) & ~imap_facts_with_flags(facts, VAULT_FLAG_SEEN, word);
    case IMAP_SEARCH_OLD:
        return ~recent(view, word);
    case IMAP_SEARCH_RECENT:
        return recent(view, word);
    case IMAP_SEARCH_BEFORE:
        return imap_facts_to(facts, IMAP_COLUMN_DAY, node->day - 1, word);
    case IMAP_SEARCH_ON:
        return on_day(facts, IMAP_COLUMN_DAY, node->day, word);
    case IMAP_SEARCH_SINCE:
        return imap_facts_from(facts, IMAP_COLUMN_DAY, node->day, word);
    case IMAP_SEARCH_SENTBEFORE: /* what has no date is before none */
        return imap_facts_to(facts, IMAP_COLUMN_SENT_DAY, node->day - 1, word) &
               imap_facts_from(facts, IMAP_COLUMN_SENT_DAY, (int64_t)INT32_MIN + 1, word);
    case IMAP_SEARCH_SENTON:
        return on_day(facts, IMAP_COLUMN_SENT_DAY, node->day, word);
    case IMAP_SEARCH_SENTSINCE:
        return imap_facts_from(facts, IMAP_COLUMN_SENT_DAY, node->day, word);
    case IMAP_SEARCH_LARGER:
        return imap_facts_from(facts, IMAP_COLUMN_SIZE, (int64_t)node->number + 1, word);
    case IMAP_SEARCH_SMALLER:
        return imap_facts_to(facts, IMAP_COLUMN_SIZE, (int64_t)node->number - 1, word);
    case IMAP_SEARCH_SEQUENCE:
    case IMAP_SEARCH_UID:
        return in_set(&node->set, word);
    case IMAP_SEARCH_STRING:
    case IMAP_SEARCH_HEADER:
        return node->is_at_hand ? imap_remembered_matches(node->remembered, word) : 0;
    case IMAP_SEARCH_OR:
    case IMAP_SEARCH_NOT:
    case IMAP_SEARCH_KEYWORD:
    case IMAP_SEARCH_SAVEDBEFORE:
    case IMAP_SEARCH_SAVEDON:
    case IMAP_SEARCH_SAVEDSINCE:
    case IMAP_SEARCH_OLDER:
    case IMAP_SEARCH_YOUNGER:
    case IMAP_SEARCH_MODSEQ:
    case IMAP_SEARCH_EMAILID:
    case IMAP_SEARCH_THREADID:
    case IMAP_SEARCH_REGEX:
        break;
    }
    return 0;
}

/* ---- The tree ---- */

/* Bits: those that match for certain, and those that may. */
struct truths {
    uint64_t yes, may;
};

static struct truths leaf_truths(const struct imap_view *view, const struct imap_search_node *node,
                                 size_t word)
{
    struct truths truths = {0, ALL};

    /* Every text contains the empty one; but a field of that name must be there. */
    if (node->op == IMAP_SEARCH_STRING && node->folded.len == 0)
        return (struct truths){ALL, ALL};
    if (node->has_candidates)
        truths.may = node->candidates[word];
    if (node->is_exact)
        truths.yes = truths.may & ~node->open[word];
    if (node->remembered != NULL) {
        uint64_t known = imap_remembered_known(node->remembered, word);
        uint64_t matches = known & imap_remembered_matches(node->remembered, word);

        truths.yes = (truths.yes & ~known) | matches;
        truths.may = (truths.may & ~known) | matches;
    }
    if (imap_search_level_of(node) == IMAP_SEARCH_BY_NUMBER) {
        truths.yes |= truths.may & imap_search_leaf_word(view, node, word);
        truths.may = truths.yes;
    }
    return truths;
}

/* The same for all messages of the folder, as far as no look at them is needed. */
static struct truths truths_of_all(const struct imap_view *view,
                                   const struct imap_search_node *node, size_t word)
{
    (void)word;
    if (node->op == IMAP_SEARCH_NOT) /* a keyword that no folder knows */
        return (struct truths){0, 0};
    if (node->op == IMAP_SEARCH_FLAG && node->is_at_hand &&
        (node->number & view->facts->flags) == 0)
        return node->is_absent ? (struct truths){ALL, ALL} : (struct truths){0, 0};
    if ((node->op == IMAP_SEARCH_RECENT || node->op == IMAP_SEARCH_NEW) && view->recent_count == 0)
        return (struct truths){0, 0};
    return (struct truths){0, ALL};
}

typedef struct truths (*leaf_reader)(const struct imap_view *view,
                                     const struct imap_search_node *node, size_t word);

struct frame {
    const struct imap_search_node *node;
    struct truths truths;
};

/* Takes an operand's truths in. True: the operator's own are certain now. */
static bool take_operand(struct frame *frame, struct truths operand)
{
    if (frame->node->op == IMAP_SEARCH_NOT) {
        frame->truths = (struct truths){~operand.may, ~operand.yes};
        return false;
    }
    if (frame->node->op == IMAP_SEARCH_OR) {
        frame->truths.yes |= operand.yes;
        frame->truths.may |= operand.may;
        return frame->truths.yes == ALL;
    }
    frame->truths.yes &= operand.yes;
    frame->truths.may &= operand.may;
    return frame->truths.may == 0;
}

/* The parser bounded the depth, so the stack is enough. */
static struct truths tree_truths(const struct imap_view *view,
                                 const struct imap_search_program *program, leaf_reader read_leaf,
                                 size_t word)
{
    const struct imap_search_node *nodes = program->nodes;
    struct frame stack[IMAP_SEARCH_DEPTH_MAX + 1];
    size_t depth = 0;
    uint32_t at = 0;
    struct truths last;

    for (;;) {
        if (imap_search_is_operator(program, at)) {
            stack[depth++] = (struct frame){&nodes[at], nodes[at].op == IMAP_SEARCH_OR
                                                            ? (struct truths){0, 0}
                                                            : (struct truths){ALL, ALL}};
            at++;
            if (at < stack[depth - 1].node->next)
                continue;
            last = stack[--depth].truths;
        } else {
            last = read_leaf(view, &nodes[at], word);
            at = nodes[at].next;
        }
        /* `last` are the truths of what ended at `at`. */
        while (depth > 0) {
            struct frame *top = &stack[depth - 1];

            if (take_operand(top, last))
                at = top->node->next;
            if (at < top->node->next)
                break;
            last = top->truths;
            depth--;
        }
        if (depth == 0)
            return last;
    }
}

struct imap_search_word imap_search_matches_word(const struct imap_view *view,
                                                 const struct imap_search_program *program,
                                                 size_t word)
{
    struct truths truths = tree_truths(view, program, leaf_truths, word);

    return (struct imap_search_word){truths.yes, truths.may & ~truths.yes};
}

bool imap_search_matches_none(const struct imap_view *view,
                              const struct imap_search_program *program)
{
    return tree_truths(view, program, truths_of_all, 0).may == 0;
}
