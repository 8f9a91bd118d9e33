#include "imap/search_match.h"

#include "base/ascii.h"
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
    case IMAP_SEARCH_FUZZY:
    case IMAP_SEARCH_ALL:
    case IMAP_SEARCH_KEYWORD:
    case IMAP_SEARCH_OLD:
    case IMAP_SEARCH_RECENT:
    case IMAP_SEARCH_SEQUENCE:
    case IMAP_SEARCH_UID:
        return IMAP_SEARCH_BY_NUMBER;
    case IMAP_SEARCH_FLAG:
    case IMAP_SEARCH_NEW:
    case IMAP_SEARCH_BEFORE:
    case IMAP_SEARCH_ON:
    case IMAP_SEARCH_SINCE:
    case IMAP_SEARCH_SENTBEFORE:
    case IMAP_SEARCH_SENTON:
    case IMAP_SEARCH_SENTSINCE:
    case IMAP_SEARCH_LARGER:
    case IMAP_SEARCH_SMALLER:
        return node->is_at_hand ? IMAP_SEARCH_BY_NUMBER : IMAP_SEARCH_BY_ROW;
    case IMAP_SEARCH_MODSEQ:
    case IMAP_SEARCH_EMAILID: /* the row has the content's id */
    case IMAP_SEARCH_THREADID:
    case IMAP_SEARCH_SAVEDBEFORE:
    case IMAP_SEARCH_SAVEDON:
    case IMAP_SEARCH_SAVEDSINCE:
    case IMAP_SEARCH_OLDER:
    case IMAP_SEARCH_YOUNGER:
        return IMAP_SEARCH_BY_ROW;
    case IMAP_SEARCH_STRING:
        if ((node->is_exact && !node->has_open) || node->folded.len == 0 || node->is_at_hand)
            return IMAP_SEARCH_BY_NUMBER;
        return node->field == VAULT_SEARCH_BODY || node->field == VAULT_SEARCH_TEXT
                   ? IMAP_SEARCH_BY_TEXT
                   : IMAP_SEARCH_BY_HEADER;
    case IMAP_SEARCH_HEADER:
        return (node->is_exact && !node->has_open) || node->is_at_hand ? IMAP_SEARCH_BY_NUMBER
                                                                       : IMAP_SEARCH_BY_TEXT;
    case IMAP_SEARCH_REGEX:
        return IMAP_SEARCH_BY_REGEX;
    }
    return IMAP_SEARCH_BY_NUMBER;
}

bool imap_search_is_in_content(enum vault_search_field field)
{
    return field == VAULT_SEARCH_BODY || field == VAULT_SEARCH_TEXT || field == VAULT_SEARCH_HEADER;
}

bool imap_search_needs_content(const struct imap_search_node *node)
{
    enum imap_search_level level = imap_search_level_of(node);

    return level == IMAP_SEARCH_BY_TEXT ||
           (level == IMAP_SEARCH_BY_REGEX && imap_search_is_in_content(node->field));
}

static unsigned row_column_of(enum imap_search_op op)
{
    if (op == IMAP_SEARCH_LARGER || op == IMAP_SEARCH_SMALLER)
        return VAULT_COLUMN_SIZE;
    if (op == IMAP_SEARCH_SENTBEFORE || op == IMAP_SEARCH_SENTON || op == IMAP_SEARCH_SENTSINCE)
        return VAULT_COLUMN_SENT;
    if (op == IMAP_SEARCH_FLAG || op == IMAP_SEARCH_NEW || op == IMAP_SEARCH_MODSEQ ||
        op == IMAP_SEARCH_EMAILID || op == IMAP_SEARCH_THREADID)
        return VAULT_COLUMN_FLAGS;
    return VAULT_COLUMN_DATES;
}

unsigned imap_search_columns_of(const struct imap_search_node *node)
{
    switch (imap_search_level_of(node)) {
    case IMAP_SEARCH_BY_NUMBER:
        return 0;
    case IMAP_SEARCH_BY_ROW:
        return row_column_of(node->op);
    case IMAP_SEARCH_BY_HEADER:
        return VAULT_COLUMN_SEARCH;
    case IMAP_SEARCH_BY_TEXT:
        return VAULT_COLUMN_STRUCTURE;
    case IMAP_SEARCH_BY_REGEX:
        return imap_search_is_in_content(node->field) ? VAULT_COLUMN_STRUCTURE
                                                      : VAULT_COLUMN_SEARCH;
    }
    return 0;
}

bool imap_search_has_hint(const struct imap_search_node *node)
{
    return node->op == IMAP_SEARCH_HEADER && imap_search_level_of(node) == IMAP_SEARCH_BY_TEXT &&
           node->folded.len > 0 && str_equal_nocase(node->name, STR("Message-ID"));
}

static bool has_bit(const uint64_t *bits, uint32_t index)
{
    return (bits[index / 64] >> (index % 64) & 1) != 0;
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

static struct str own_header(const struct imap_search_candidate *c)
{
    const struct message_part *part = c->structure->parts;

    if (c->structure->part_count == 0)
        return STR("");
    return str_upto(str_from(c->raw, (size_t)part->header_start), (size_t)part->header_len);
}

static bool regex_finds(struct imap_search_candidate *c, struct imap_regex *regex, struct str text)
{
    int64_t before_us = c->regex_us;
    enum imap_regex_answer answer = imap_regex_find(regex, text, &c->regex_us);

    imap_spend(c->s, 1 + (uint64_t)(before_us - c->regex_us));
    if (answer == IMAP_REGEX_TOO_DEAR)
        c->is_too_dear = true;
    return answer == IMAP_REGEX_YES;
}

/* What is in an id is in the field, as long as decoding the field leaves the id as it is; a
 * question mark stands in an id for NUL, too. */
static bool is_in_message_id(struct imap_search_candidate *c, const struct imap_search_node *node)
{
    struct str id = c->row->message_id;

    for (size_t i = 0; i < id.len; i++)
        if (ascii_is_control(id.ptr[i]) || ascii_is_8bit(id.ptr[i]) || ascii_is_space(id.ptr[i]))
            return false;
    return str_index(id, '?') < 0 && folded_contains(c, id, node->folded);
}

/* HEADER: any field of the message's own header with that name; an empty string matches them all.
 */
static bool header_matches(struct imap_search_candidate *c, const struct imap_search_node *node)
{
    struct str value, header = own_header(c);
    size_t position = 0;
    bool matches = false;

    while (!matches && message_header_next(header, node->name, &position, &value)) {
        struct buf decoded;

        buf_init(&decoded, SIZE_MAX);
        message_header_decode(value, &decoded);
        matches = node->regex != NULL ? regex_finds(c, node->regex, buf_str(&decoded))
                                      : folded_contains(c, buf_str(&decoded), node->folded);
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

/* The values of all fields of the name, one in a line. */
static struct str named_fields(struct imap_search_candidate *c, const struct imap_search_node *node)
{
    struct str value, header = own_header(c), folded;
    size_t position = 0;
    struct buf values;

    buf_init(&values, SIZE_MAX);
    while (message_header_next(header, node->name, &position, &value)) {
        message_header_decode(value, &values);
        buf_put(&values, STR("\n"));
    }
    folded = imap_search_fold(c->arena, buf_str(&values));
    buf_free(&values);
    return folded;
}

struct str imap_search_text(struct imap_search_candidate *c, const struct imap_search_node *node)
{
    if (node->field == VAULT_SEARCH_HEADER)
        return named_fields(c, node);
    if (imap_search_is_in_content(node->field))
        return message_text_maker_text(c->text, node->field == VAULT_SEARCH_TEXT);
    return imap_search_fold(c->arena, column_of(c->row, node->field));
}

static bool string_matches(struct imap_search_candidate *c, const struct imap_search_node *node)
{
    struct str text;

    if (node->op == IMAP_SEARCH_HEADER)
        return header_matches(c, node);
    if (node->field != VAULT_SEARCH_BODY && node->field != VAULT_SEARCH_TEXT)
        return folded_contains(c, column_of(c->row, node->field), node->folded);
    text = message_text_maker_text(c->text, node->field == VAULT_SEARCH_TEXT);
    imap_spend(c->s, text.len / IMAP_SEARCH_BYTES_PER_UNIT);
    return str_find(text, node->folded) >= 0;
}

static bool regex_matches(struct imap_search_candidate *c, const struct imap_search_node *node)
{
    if (node->field == VAULT_SEARCH_HEADER)
        return header_matches(c, node);
    if (imap_search_is_in_content(node->field))
        return regex_finds(c, node->regex,
                           message_text_maker_plain(c->text, node->field == VAULT_SEARCH_TEXT));
    return regex_finds(c, node->regex, column_of(c->row, node->field));
}

static int64_t day_of(int64_t ms)
{
    return (ms < 0 ? ms - DAY_MS + 1 : ms) / DAY_MS;
}

int64_t imap_search_internal_day(const struct vault_message *row)
{
    return day_of(row->internal_date_ms + (int64_t)row->internal_zone_minutes * 60000);
}

/* RFC 5032 §3: OLDER is at or before the moment so long ago, YOUNGER at or after it. */
static int64_t moment_ago(const struct imap_search_candidate *c,
                          const struct imap_search_node *node)
{
    return c->now_ms - (int64_t)node->number * 1000;
}

static bool has_content_id(const struct imap_search_node *node, int64_t content_id)
{
    size_t low = 0, high = node->content_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (node->content_ids[middle] < content_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < node->content_count && node->content_ids[low] == content_id;
}

static bool leaf_is_true(struct imap_search_candidate *c, const struct imap_search_node *node)
{
    const struct vault_message *row = c->row;
    bool is_recent;

    switch (node->op) {
    case IMAP_SEARCH_AND:
    case IMAP_SEARCH_FUZZY:
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
        return imap_search_internal_day(row) < node->day;
    case IMAP_SEARCH_ON:
        return imap_search_internal_day(row) == node->day;
    case IMAP_SEARCH_SINCE:
        return imap_search_internal_day(row) >= node->day;
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
    case IMAP_SEARCH_EMAILID:
    case IMAP_SEARCH_THREADID:
        return has_content_id(node, row->content_id);
    case IMAP_SEARCH_STRING:
    case IMAP_SEARCH_HEADER:
        return string_matches(c, node);
    case IMAP_SEARCH_REGEX:
        return regex_matches(c, node);
    }
    return false;
}

/* A leaf whose text, or row, is there; a text's truth is remembered. */
static enum imap_truth judge(struct imap_search_candidate *c, const struct imap_search_node *node)
{
    bool is_true = leaf_is_true(c, node);

    if (node->remembered != NULL)
        imap_remembered_put(node->remembered, c->index / 64, UINT64_C(1) << (c->index % 64),
                            is_true ? UINT64_MAX : 0);
    return is_true ? IMAP_TRUTH_YES : IMAP_TRUTH_NO;
}

/*
 * Likewise, of a message whose text may have 50 MB, by a program that may have 2,000 keys: it gives
 * way between two of them, and does not judge again what it did before.
 */
static enum imap_truth judge_in_turn(struct imap_search_candidate *c,
                                     const struct imap_search_node *node)
{
    enum imap_search_sight *sight = &c->sights[node - c->nodes];

    if (*sight == IMAP_SEARCH_NOT_SEEN && imap_must_give_way(c->s)) {
        c->is_unfinished = true;
        return IMAP_TRUTH_OPEN;
    }
    if (*sight == IMAP_SEARCH_NOT_SEEN)
        *sight = judge(c, node) == IMAP_TRUTH_YES ? IMAP_SEARCH_FOUND : IMAP_SEARCH_MISSING;
    return *sight == IMAP_SEARCH_FOUND ? IMAP_TRUTH_YES : IMAP_TRUTH_NO;
}

static bool word_has(uint64_t word, uint32_t index)
{
    return (word >> (index % 64) & 1) != 0;
}

static enum imap_truth leaf_matches(struct imap_search_candidate *c,
                                    const struct imap_search_node *node)
{
    size_t word = c->index / 64;

    /* Every text contains the empty one; but a field of that name must be there. */
    if (node->op == IMAP_SEARCH_STRING && node->folded.len == 0)
        return IMAP_TRUTH_YES;
    if (node->remembered != NULL &&
        word_has(imap_remembered_known(node->remembered, word), c->index))
        return word_has(imap_remembered_matches(node->remembered, word), c->index) ? IMAP_TRUTH_YES
                                                                                   : IMAP_TRUTH_NO;
    if (node->has_candidates && !has_bit(node->candidates, c->index))
        return IMAP_TRUTH_NO;
    if (node->is_exact && !has_bit(node->open, c->index))
        return IMAP_TRUTH_YES;
    if (c->level == IMAP_SEARCH_BY_HEADER && imap_search_has_hint(node) &&
        is_in_message_id(c, node)) {
        if (node->remembered != NULL)
            imap_remembered_put(node->remembered, word, UINT64_C(1) << (c->index % 64), UINT64_MAX);
        return IMAP_TRUTH_YES;
    }
    if (imap_search_level_of(node) > c->level)
        return IMAP_TRUTH_OPEN;
    if (node->is_at_hand) /* as it was when the command began */
        return word_has(imap_search_leaf_word(c->view, node, word), c->index) ? IMAP_TRUTH_YES
                                                                              : IMAP_TRUTH_NO;
    return c->sights == NULL ? judge(c, node) : judge_in_turn(c, node);
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
           nodes[at].op == IMAP_SEARCH_FUZZY ||
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

    c->nodes = nodes;
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
