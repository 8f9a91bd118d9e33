/*
 * The search parser over any bytes: it ends, within its limits, and the program it makes is whole:
 * every operator has its operands, every subtree ends inside its parent. Written out again and
 * parsed, it is the same program. What it is asked to return likewise.
 */
#include "imap/search.h"
#include "imap/search_return.h"

#include "base/buf.h"
#include "base/clock.h"
#include "imap/write.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct imap_search_program *search)
{
    assert(search->node_count > 0 && search->node_count <= IMAP_SEARCH_KEYS_MAX);
    assert(search->nodes[0].op == IMAP_SEARCH_AND && search->nodes[0].next == search->node_count);
    for (uint32_t i = 0; i < search->node_count; i++) {
        const struct imap_search_node *node = &search->nodes[i];
        uint32_t operands = 0;

        assert(node->next > i && node->next <= search->node_count);
        for (uint32_t k = i + 1; k < node->next; k = search->nodes[k].next) {
            assert(search->nodes[k].next <= node->next);
            operands++;
        }
        if (node->op == IMAP_SEARCH_OR)
            assert(operands == 2);
        else if (node->op == IMAP_SEARCH_NOT)
            assert(operands == 1);
        else if (node->op == IMAP_SEARCH_FUZZY)
            assert(node->text.len > 0 ? operands >= 1 : operands == 1);
        else
            assert((operands > 0) == (node->op == IMAP_SEARCH_AND));
    }
}

/* ---- Writing a program ---- */

static void write_day(struct buf *out, const char *key, int64_t day)
{
    static const char *const MONTHS[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct clock_date date;

    clock_split(day * 86400000, &date);
    buf_putf(out, "%s %d-%s-%04d", key, date.day, MONTHS[date.month - 1], date.year);
}

static void write_set(struct buf *out, const struct imap_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const uint32_t ends[] = {set->ranges[i].first, set->ranges[i].last};

        for (int k = 0; k < 2; k++) {
            buf_put(out, k == 1 ? STR(":") : i > 0 ? STR(",") : STR(""));
            if (ends[k] == 0)
                buf_put(out, STR("*"));
            else
                imap_write_number(out, ends[k]);
        }
    }
    if (set->has_saved)
        buf_put(out, set->count > 0 ? STR(",$") : STR("$"));
}

static void write_text(struct buf *out, const char *key, const struct imap_search_node *node)
{
    static const char *const FIELDS[] = {
        [VAULT_SEARCH_TEXT] = "TEXT",       [VAULT_SEARCH_BODY] = "BODY",
        [VAULT_SEARCH_SUBJECT] = "SUBJECT", [VAULT_SEARCH_FROM] = "FROM",
        [VAULT_SEARCH_TO] = "TO",           [VAULT_SEARCH_CC] = "CC",
        [VAULT_SEARCH_BCC] = "BCC",         [VAULT_SEARCH_HEADER] = "HEADER",
    };

    buf_putf(out, "%s%s ", key, FIELDS[node->field]);
    if (node->field == VAULT_SEARCH_HEADER) {
        imap_write_string(out, node->name);
        buf_put(out, STR(" "));
    }
    imap_write_string(out, node->text);
}

static void write_flag(struct buf *out, const struct imap_search_node *node)
{
    static const char *const FLAGS[] = {"SEEN", "ANSWERED", "FLAGGED", "DELETED", "DRAFT"};

    for (size_t i = 0; i < 5; i++)
        if (node->number == UINT64_C(1) << i)
            buf_putf(out, "%s%s", node->is_absent ? "UN" : "", FLAGS[i]);
}

static void write_leaf(struct buf *out, const struct imap_search_node *node)
{
    static const char *const NAMES[] = {
        [IMAP_SEARCH_ALL] = "ALL",
        [IMAP_SEARCH_NEW] = "NEW",
        [IMAP_SEARCH_OLD] = "OLD",
        [IMAP_SEARCH_RECENT] = "RECENT",
        [IMAP_SEARCH_BEFORE] = "BEFORE",
        [IMAP_SEARCH_ON] = "ON",
        [IMAP_SEARCH_SINCE] = "SINCE",
        [IMAP_SEARCH_SENTBEFORE] = "SENTBEFORE",
        [IMAP_SEARCH_SENTON] = "SENTON",
        [IMAP_SEARCH_SENTSINCE] = "SENTSINCE",
        [IMAP_SEARCH_SAVEDBEFORE] = "SAVEDBEFORE",
        [IMAP_SEARCH_SAVEDON] = "SAVEDON",
        [IMAP_SEARCH_SAVEDSINCE] = "SAVEDSINCE",
        [IMAP_SEARCH_OLDER] = "OLDER",
        [IMAP_SEARCH_YOUNGER] = "YOUNGER",
        [IMAP_SEARCH_LARGER] = "LARGER",
        [IMAP_SEARCH_SMALLER] = "SMALLER",
        [IMAP_SEARCH_MODSEQ] = "MODSEQ",
        [IMAP_SEARCH_EMAILID] = "EMAILID",
        [IMAP_SEARCH_THREADID] = "THREADID",
    };

    switch (node->op) {
    case IMAP_SEARCH_AND:
    case IMAP_SEARCH_OR:
    case IMAP_SEARCH_NOT:
        break;
    case IMAP_SEARCH_ALL:
    case IMAP_SEARCH_NEW:
    case IMAP_SEARCH_OLD:
    case IMAP_SEARCH_RECENT:
        buf_putf(out, "%s", NAMES[node->op]);
        break;
    case IMAP_SEARCH_FLAG:
        write_flag(out, node);
        break;
    case IMAP_SEARCH_KEYWORD:
        buf_put(out, node->is_absent ? STR("UNKEYWORD ") : STR("KEYWORD "));
        imap_write_string(out, node->text);
        break;
    case IMAP_SEARCH_BEFORE:
    case IMAP_SEARCH_ON:
    case IMAP_SEARCH_SINCE:
    case IMAP_SEARCH_SENTBEFORE:
    case IMAP_SEARCH_SENTON:
    case IMAP_SEARCH_SENTSINCE:
    case IMAP_SEARCH_SAVEDBEFORE:
    case IMAP_SEARCH_SAVEDON:
    case IMAP_SEARCH_SAVEDSINCE:
        write_day(out, NAMES[node->op], node->day);
        break;
    case IMAP_SEARCH_OLDER:
    case IMAP_SEARCH_YOUNGER:
    case IMAP_SEARCH_LARGER:
    case IMAP_SEARCH_SMALLER:
    case IMAP_SEARCH_MODSEQ:
        buf_putf(out, "%s ", NAMES[node->op]);
        imap_write_number(out, node->number);
        break;
    case IMAP_SEARCH_EMAILID:
    case IMAP_SEARCH_THREADID:
        buf_putf(out, "%s %.*s", NAMES[node->op], STR_ARG(node->text));
        break;
    case IMAP_SEARCH_UID:
        buf_put(out, STR("UID "));
        write_set(out, &node->set);
        break;
    case IMAP_SEARCH_SEQUENCE:
        write_set(out, &node->set);
        break;
    case IMAP_SEARCH_FUZZY: /* of a text: its words come of themselves */
    case IMAP_SEARCH_STRING:
    case IMAP_SEARCH_HEADER:
        write_text(out, "", node);
        break;
    case IMAP_SEARCH_REGEX:
        write_text(out, "REGEX ", node);
        break;
    }
}

static bool is_operator(const struct imap_search_node *node)
{
    return node->op == IMAP_SEARCH_AND || node->op == IMAP_SEARCH_OR ||
           node->op == IMAP_SEARCH_NOT || (node->op == IMAP_SEARCH_FUZZY && node->text.len == 0);
}

static void write_program(const struct imap_search_program *search, struct buf *out)
{
    struct {
        uint32_t end;
        bool is_list;
    } stack[IMAP_SEARCH_DEPTH_MAX + 1];
    size_t depth = 0;
    bool is_first = true; /* in its list */

    for (uint32_t i = 1; i < search->node_count;) {
        const struct imap_search_node *node = &search->nodes[i];

        if (!is_first)
            buf_put(out, STR(" "));
        is_first = node->op == IMAP_SEARCH_AND;
        if (is_operator(node)) {
            assert(depth < ARRAY_LEN(stack));
            stack[depth].end = node->next;
            stack[depth++].is_list = node->op == IMAP_SEARCH_AND;
            buf_put(out, node->op == IMAP_SEARCH_AND   ? STR("(")
                         : node->op == IMAP_SEARCH_OR  ? STR("OR")
                         : node->op == IMAP_SEARCH_NOT ? STR("NOT")
                                                       : STR("FUZZY"));
            i++;
            continue;
        }
        write_leaf(out, node);
        i = node->next;
        while (depth > 0 && stack[depth - 1].end == i)
            if (stack[--depth].is_list)
                buf_put(out, STR(")"));
    }
}

/* ---- Comparing two ---- */

static void compare_sets(const struct imap_set *a, const struct imap_set *b)
{
    assert(a->count == b->count && a->has_saved == b->has_saved);
    for (size_t i = 0; i < a->count; i++)
        assert(a->ranges[i].first == b->ranges[i].first && a->ranges[i].last == b->ranges[i].last);
}

static void compare(const struct imap_search_program *a, const struct imap_search_program *b)
{
    assert(a->node_count == b->node_count && a->has_modseq == b->has_modseq);
    assert(a->has_numbers == b->has_numbers && a->has_fuzzy == b->has_fuzzy);
    assert(a->regex_count == b->regex_count);
    for (uint32_t i = 0; i < a->node_count; i++) {
        const struct imap_search_node *x = &a->nodes[i], *y = &b->nodes[i];

        assert(x->op == y->op && x->next == y->next && x->is_absent == y->is_absent);
        assert(x->number == y->number && x->day == y->day && x->field == y->field);
        assert(str_equal(x->text, y->text) && str_equal(x->name, y->name));
        compare_sets(&x->set, &y->set);
    }
}

static void check_again(const struct imap_search_program *search)
{
    struct imap_search_program again = {0};
    struct imap_parser parser;
    struct task task;
    struct buf text;

    if (search->is_wrong_charset)
        return;
    buf_init(&text, SIZE_MAX);
    write_program(search, &text);
    task_init(&task, 0);
    parser = (struct imap_parser){.rest = buf_str(&text), .task = &task};
    assert(imap_search_parse(&parser, &again) == ERR_OK);
    check(&again);
    compare(search, &again);
    task_done(&task);
    buf_free(&text);
}

static void check_return(const struct imap_search_return *wanted)
{
    assert(!wanted->is_extended || wanted->options != 0);
    assert((wanted->options & (IMAP_RETURN_ALL | IMAP_RETURN_PARTIAL)) !=
           (IMAP_RETURN_ALL | IMAP_RETURN_PARTIAL));
    if (wanted->options & IMAP_RETURN_PARTIAL)
        assert(wanted->first != 0 && (wanted->first < 0) == (wanted->last < 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct imap_search_return wanted = {0};
    struct imap_search_program search = {0};
    struct imap_parser parser = {.rest = str_make(data, size)};
    struct task task;

    task_init(&task, 0);
    parser.task = &task;
    if (imap_search_return_parse(&parser, &wanted) == ERR_OK &&
        imap_search_parse(&parser, &search) == ERR_OK) {
        assert(imap_at_end(&parser));
        check_return(&wanted);
        check(&search);
        check_again(&search);
    } else {
        assert(task.words[0] != '\0');
    }
    task_done(&task);
    return 0;
}
