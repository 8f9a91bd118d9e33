#include "imap/sort.h"

#include "imap/engine.h"

enum {
    KEY_UNITS = 1,  /* imap_spend: reading the key of one message, */
    MADE_UNITS = 6, /* and of one that the vault has no row of yet */
    PREFIX_BYTES = 8,
    STEP_COMPARISONS = 20000,
    COMPARISONS_PER_UNIT = 20,
};

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

/* ---- The keys ---- */

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

static struct imap_sort_value value_of(struct arena *arena, enum imap_sort_criterion criterion,
                                       const struct vault_sort_key *key)
{
    struct imap_sort_value value = {0};
    const struct str *text = text_of(criterion, key, &value.number);

    if (text != NULL) {
        value.number = prefix_of(*text);
        value.text = arena_copy(arena, *text);
    }
    return value;
}

static uint64_t on_key(void *owner, size_t at, const struct vault_sort_key *key)
{
    struct imap_sort *sort = owner;
    struct imap_sort_value *values = sort->values + sort->kept * sort->order->count;

    sort->found[sort->kept] = sort->found[at];
    if (sort->modseqs != NULL)
        sort->modseqs[sort->kept] = sort->modseqs[at];
    if (sort->scores != NULL)
        sort->scores[sort->kept] = sort->scores[at];
    for (size_t i = 0; i < sort->order->count; i++) {
        values[i] = value_of(sort->arena, sort->order->keys[i].criterion, key);
        if (sort->order->keys[i].criterion == IMAP_SORT_RELEVANCY)
            values[i].number = -(int64_t)sort->scores[sort->kept];
    }
    sort->kept++;
    return 0;
}

static unsigned fields_of(const struct imap_sort_order *order)
{
    unsigned fields = 0;

    for (size_t i = 0; i < order->count; i++)
        fields |= CRITERIA[order->keys[i].criterion].field;
    return fields;
}

struct loading {
    struct imap_session *s;
    struct imap_sort_source *source;
    size_t end; /* of the stretch */
};

/* False: stop here, with the stretch or the turn. */
static bool on_row(void *owner, const struct vault_sort_key *key)
{
    struct loading *loading = owner;
    struct imap_sort_source *source = loading->source;
    const uint32_t *uids = source->view->uids;
    uint64_t units = key->was_made ? MADE_UNITS : KEY_UNITS;

    while (source->next < loading->end && uids[source->found[source->next]] < key->uid)
        source->next++; /* is gone */
    if (source->next < loading->end && uids[source->found[source->next]] == key->uid) {
        units += source->on_key(source->owner, source->next, key);
        source->next++;
    }
    imap_spend(loading->s, units);
    return source->next < loading->end && !imap_must_give_way(loading->s);
}

enum err imap_sort_load(struct imap_session *s, struct task *task, struct imap_sort_source *source)
{
    const uint32_t *uids = source->view->uids, *found = source->found;
    size_t end = imap_view_stretch(found, source->count, source->next);
    struct loading loading = {.s = s, .source = source, .end = end};
    bool is_end = false;

    imap_spend(s, 10);
    TRY(vault_sort_keys(s->vault, task, source->view->folder_id, uids[found[source->next]],
                        uids[found[end - 1]], source->fields, on_row, &loading, &is_end));
    if (is_end) /* what is left of the stretch is gone */
        source->next = end;
    return ERR_OK;
}

/* ---- The order ---- */

static int compare_values(const struct imap_sort_value *a, const struct imap_sort_value *b)
{
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return a->text.len == 0 ? -(b->text.len > 0) : str_compare(a->text, b->text);
}

static int compare_messages(const void *context, uint32_t a, uint32_t b)
{
    const struct imap_sort *sort = context;
    size_t count = sort->order->count;

    for (size_t i = 0; i < count; i++) {
        int order = compare_values(&sort->values[a * count + i], &sort->values[b * count + i]);

        if (order != 0)
            return sort->order->keys[i].is_reverse ? -order : order;
    }
    return 0;
}

static void apply_order(struct task *task, struct imap_sort *sort)
{
    uint32_t *found = ARENA_ARRAY(&task->arena, uint32_t, sort->found_count);
    uint64_t *modseqs =
        sort->modseqs == NULL ? NULL : ARENA_ARRAY(&task->arena, uint64_t, sort->found_count);
    uint8_t *scores =
        sort->scores == NULL ? NULL : ARENA_ARRAY(&task->arena, uint8_t, sort->found_count);

    for (size_t i = 0; i < sort->found_count; i++) {
        found[i] = sort->found[sort->merge.items[i]];
        if (scores != NULL)
            scores[i] = sort->scores[sort->merge.items[i]];
        if (modseqs != NULL)
            modseqs[i] = sort->modseqs[sort->merge.items[i]];
    }
    sort->found = found;
    sort->modseqs = modseqs;
    sort->scores = scores;
}

enum err imap_sort_run(struct imap_session *s, struct task *task, struct imap_sort *sort)
{
    size_t comparisons;
    bool is_done = false;

    if (!sort->is_started) {
        sort->is_started = true;
        sort->arena = &task->arena;
        sort->values = ARENA_ARRAY(&task->arena, struct imap_sort_value,
                                   sort->found_count * sort->order->count);
        sort->source = (struct imap_sort_source){
            .view = sort->view,
            .found = sort->found,
            .count = sort->found_count,
            .fields = fields_of(sort->order),
            .on_key = on_key,
            .owner = sort,
        };
    }
    while (!is_done) {
        if (imap_must_give_way(s)) {
            imap_give_way(s);
            return ERR_OK;
        }
        if (sort->source.next < sort->source.count) {
            TRY(imap_sort_load(s, task, &sort->source));
            continue;
        }
        if (!sort->is_loaded) {
            sort->is_loaded = true;
            sort->found_count = sort->kept;
            imap_merge_init(&sort->merge, &task->arena, sort->found_count, compare_messages, sort);
        }
        is_done = imap_merge_step(&sort->merge, STEP_COMPARISONS, &comparisons);
        imap_spend(s, comparisons / COMPARISONS_PER_UNIT);
    }
    apply_order(task, sort);
    return ERR_OK;
}
