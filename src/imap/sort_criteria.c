#include "imap/sort_criteria.h"

#include "base/macros.h"

enum { PREFIX_BYTES = 8 };

static const struct {
    struct str name;
    unsigned field; /* enum vault_sort_field */
} CRITERIA[] = {
    [IMAP_SORT_ARRIVAL] = {STR_INIT("ARRIVAL"), VAULT_SORT_ARRIVAL},
    [IMAP_SORT_CC] = {STR_INIT("CC"), VAULT_SORT_CC},
    [IMAP_SORT_DATE] = {STR_INIT("DATE"), VAULT_SORT_SENT},
    [IMAP_SORT_FROM] = {STR_INIT("FROM"), VAULT_SORT_FROM},
    [IMAP_SORT_SIZE] = {STR_INIT("SIZE"), VAULT_SORT_SIZE},
    [IMAP_SORT_SUBJECT] = {STR_INIT("SUBJECT"), VAULT_SORT_SUBJECT},
    [IMAP_SORT_TO] = {STR_INIT("TO"), VAULT_SORT_TO},
    [IMAP_SORT_DISPLAYFROM] = {STR_INIT("DISPLAYFROM"), VAULT_SORT_FROM},
    [IMAP_SORT_DISPLAYTO] = {STR_INIT("DISPLAYTO"), VAULT_SORT_TO},
    [IMAP_SORT_RELEVANCY] = {STR_INIT("RELEVANCY"), 0},
};

/* sort-criterion = ["REVERSE" SP] sort-key */
static enum err parse_criterion(struct imap_parser *parser, struct imap_sort_order *out)
{
    bool is_reverse = imap_take_word(parser, STR("REVERSE"));
    bool is_known = false;

    if (is_reverse)
        TRY(imap_parse_space(parser));
    if (out->count == IMAP_SORT_CRITERIA_MAX)
        return imap_expected(parser, "fewer sort criteria");
    for (size_t i = 0; i < ARRAY_LEN(CRITERIA) && !is_known; i++) {
        is_known = imap_take_word(parser, CRITERIA[i].name);
        out->keys[out->count].criterion = (enum imap_sort_criterion)i;
    }
    if (!is_known)
        return imap_expected(parser, "a sort criterion");
    /* A second time it decides nothing, and its keys would take memory for each message. */
    for (size_t i = 0; i < out->count; i++)
        if (out->keys[i].criterion == out->keys[out->count].criterion)
            return ERR_OK;
    out->keys[out->count++].is_reverse = is_reverse;
    return ERR_OK;
}

enum err imap_sort_parse(struct imap_parser *parser, struct imap_sort_order *out)
{
    TRY(imap_parse_byte(parser, '('));
    do
        TRY(parse_criterion(parser, out));
    while (imap_take(parser, ' '));
    return imap_parse_byte(parser, ')');
}

bool imap_sort_has_relevancy(const struct imap_sort_order *order)
{
    for (size_t i = 0; i < order->count; i++)
        if (order->keys[i].criterion == IMAP_SORT_RELEVANCY)
            return true;
    return false;
}

/* ---- What they compare ---- */

unsigned imap_sort_field(enum imap_sort_criterion criterion)
{
    return CRITERIA[criterion].field;
}

/* What the criterion compares: a text, or NULL and *out_number. */
static const struct str *text_of(enum imap_sort_criterion criterion,
                                 const struct vault_sort_key *key, int64_t *out_number)
{
    *out_number = 0;
    switch (criterion) {
    case IMAP_SORT_ARRIVAL:
        *out_number = key->arrival_ms;
        return NULL;
    case IMAP_SORT_DATE:
        *out_number = key->sent_ms;
        return NULL;
    case IMAP_SORT_SIZE:
        *out_number = (int64_t)key->size_bytes;
        return NULL;
    case IMAP_SORT_CC:
        return &key->cc;
    case IMAP_SORT_FROM:
        return &key->from;
    case IMAP_SORT_SUBJECT:
        return &key->base_subject;
    case IMAP_SORT_TO:
        return &key->to;
    case IMAP_SORT_DISPLAYFROM:
        return &key->display_from;
    case IMAP_SORT_DISPLAYTO:
        return &key->display_to;
    case IMAP_SORT_RELEVANCY: /* is not the key's */
        break;
    }
    return NULL;
}

/* The first bytes as a number of the same order, so that most comparisons look at no text. */
static int64_t prefix_of(struct str text)
{
    uint64_t prefix = 0;

    for (size_t i = 0; i < PREFIX_BYTES; i++)
        prefix = prefix << 8 | (i < text.len ? (unsigned char)text.ptr[i] : 0u);
    return (int64_t)(prefix ^ (UINT64_C(1) << 63));
}

struct imap_sort_value imap_sort_value_of(enum imap_sort_criterion criterion,
                                          const struct vault_sort_key *key)
{
    struct imap_sort_value value = {0};
    const struct str *text = text_of(criterion, key, &value.number);

    if (text != NULL) {
        value.number = prefix_of(*text);
        value.text = *text;
    }
    return value;
}

int imap_sort_compare(const struct imap_sort_value *a, const struct imap_sort_value *b)
{
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return a->text.len == 0 ? -(b->text.len > 0) : str_compare(a->text, b->text);
}
