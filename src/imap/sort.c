#include "imap/sort.h"

#include "imap/engine.h"
#include "imap/sort_extend.h"
#include "imap/sort_memory.h"

#include <string.h>

enum {
    KEY_UNITS = 1,  /* imap_spend: reading the key of one message, */
    MADE_UNITS = 6, /* and of one that the vault has no row of yet; */
    TEXT_BYTES_PER_UNIT = 100,
    STEP_COMPARISONS = 20000,
    COMPARISONS_PER_UNIT = 20,
    STEP_ITEMS = 20000,
    ITEMS_PER_UNIT = 100,
};

/* ---- The keys ---- */

static struct imap_sort_value copied_value(struct arena *arena, enum imap_sort_criterion criterion,
                                           const struct vault_sort_key *key)
{
    struct imap_sort_value value = imap_sort_value_of(criterion, key);

    value.text = arena_copy(arena, value.text);
    return value;
}

static uint64_t on_key(void *owner, size_t at, const struct vault_sort_key *key)
{
    struct imap_sort *sort = owner;
    size_t kept = sort->kept++;

    sort->found[kept] = sort->found[at];
    if (sort->modseqs != NULL)
        sort->modseqs[kept] = sort->modseqs[at];
    if (sort->scores != NULL)
        sort->scores[kept] = sort->scores[at];
    for (size_t i = 0; i < sort->order->count; i++) {
        enum imap_sort_criterion criterion = sort->order->keys[i].criterion;

        if (sort->keys[i].values == NULL)
            sort->keys[i].ranks[kept] = sort->keys[i].ranks[at];
        else if (criterion == IMAP_SORT_RELEVANCY)
            sort->keys[i].values[kept].number = -(int64_t)sort->scores[kept];
        else
            sort->keys[i].values[kept] = copied_value(sort->arena, criterion, key);
    }
    return 0;
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
    uint64_t units =
        (key->was_made ? MADE_UNITS : KEY_UNITS) + key->text_bytes / TEXT_BYTES_PER_UNIT;

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

/* ---- One criterion ---- */

static int compare_messages(const void *context, uint32_t a, uint32_t b)
{
    const struct imap_sort *sort = context;
    const struct imap_sort_value *values = sort->keys[sort->at_key].values;

    return imap_sort_compare(&values[a], &values[b]);
}

/* A loop over messages or ranks that gives way now and then. */
static size_t step_end(struct imap_session *s, const struct imap_sort *sort, size_t count)
{
    size_t end = count - sort->at < STEP_ITEMS ? count : sort->at + STEP_ITEMS;

    imap_spend(s, (end - sort->at) / ITEMS_PER_UNIT);
    return end;
}

/* Along the merged order: equal messages have the same rank. */
static bool rank_some(struct imap_session *s, struct imap_sort *sort)
{
    const uint32_t *merged = sort->merge.items;
    size_t end = step_end(s, sort, sort->found_count);

    for (; sort->at < end; sort->at++) {
        if (sort->at > 0 && compare_messages(sort, merged[sort->at - 1], merged[sort->at]) != 0)
            sort->rank++;
        sort->keys[sort->at_key].ranks[merged[sort->at]] = sort->rank;
    }
    return end == sort->found_count;
}

/* ---- All of them ---- */

static uint32_t place_of(const struct imap_sort *sort, uint32_t message)
{
    uint32_t rank = sort->keys[sort->at_key].ranks[message];

    return sort->order->keys[sort->at_key].is_reverse ? sort->rank_end - 1 - rank : rank;
}

static bool count_some(struct imap_session *s, struct imap_sort *sort)
{
    size_t end = step_end(s, sort, sort->found_count);

    for (; sort->at < end; sort->at++)
        sort->places[place_of(sort, (uint32_t)sort->at)]++;
    return end == sort->found_count;
}

static bool sum_some(struct imap_session *s, struct imap_sort *sort)
{
    size_t end = step_end(s, sort, sort->rank_end);

    for (; sort->at < end; sort->at++) {
        uint32_t count = sort->places[sort->at];

        sort->places[sort->at] = sort->rank;
        sort->rank += count;
    }
    return end == sort->rank_end;
}

static bool deal_some(struct imap_session *s, struct imap_sort *sort)
{
    size_t end = step_end(s, sort, sort->found_count);

    for (; sort->at < end; sort->at++)
        sort->dealt[sort->places[place_of(sort, sort->items[sort->at])]++] = sort->items[sort->at];
    return end == sort->found_count;
}

static void apply_order(struct imap_sort *sort)
{
    uint32_t *found = ARENA_ARRAY(sort->arena, uint32_t, sort->found_count);
    uint64_t *modseqs =
        sort->modseqs == NULL ? NULL : ARENA_ARRAY(sort->arena, uint64_t, sort->found_count);
    uint8_t *scores =
        sort->scores == NULL ? NULL : ARENA_ARRAY(sort->arena, uint8_t, sort->found_count);

    for (size_t i = 0; i < sort->found_count; i++) {
        found[i] = sort->found[sort->items[i]];
        if (scores != NULL)
            scores[i] = sort->scores[sort->items[i]];
        if (modseqs != NULL)
            modseqs[i] = sort->modseqs[sort->items[i]];
    }
    sort->found = found;
    sort->modseqs = modseqs;
    sort->scores = scores;
}

/* ---- The phases ---- */

static void enter(struct imap_sort *sort, enum imap_sort_phase phase)
{
    sort->phase = phase;
    sort->at = 0;
    sort->rank = 0;
}

/* What is not remembered is loaded. */
static void begin(struct imap_session *s, struct imap_sort *sort)
{
    struct imap_sort_memory *memory = imap_group_memory(s->group);
    size_t count = sort->found_count;
    unsigned fields = 0;
    bool has_all = true;

    for (size_t i = 0; i < sort->order->count; i++) {
        enum imap_sort_criterion criterion = sort->order->keys[i].criterion;

        sort->keys[i].ranks = ARENA_ARRAY(sort->arena, uint32_t, count);
        if (imap_sort_recall(memory, sort->view, criterion, sort->found, count,
                             sort->keys[i].ranks, &sort->rank_end))
            continue;
        sort->keys[i].values = ARENA_ARRAY(sort->arena, struct imap_sort_value, count);
        fields |= imap_sort_field(criterion);
        has_all = false;
    }
    imap_spend(s, count * sort->order->count / ITEMS_PER_UNIT);
    sort->source = (struct imap_sort_source){
        .view = sort->view,
        .found = sort->found,
        .count = has_all ? 0 : count,
        .fields = fields,
        .on_key = on_key,
        .owner = sort,
    };
    sort->kept = has_all ? count : 0;
    enter(sort, IMAP_SORT_LOADING);
}

/* All is loaded; what vanished meanwhile is left out. */
static void begin_order(struct imap_sort *sort)
{
    size_t count = sort->kept;

    sort->found_count = count;
    if (sort->rank_end < count)
        sort->rank_end = (uint32_t)count;
    sort->items = ARENA_ARRAY(sort->arena, uint32_t, count);
    sort->dealt = ARENA_ARRAY(sort->arena, uint32_t, count);
    sort->places = ARENA_ARRAY(sort->arena, uint32_t, sort->rank_end);
    for (size_t i = 0; i < count; i++)
        sort->items[i] = (uint32_t)i;
    sort->at_key = sort->order->count;
}

/* The next criterion, from the last to the first; when there is none, the order is found. */
static void begin_key(struct imap_sort *sort)
{
    if (sort->at_key == 0) {
        apply_order(sort);
        enter(sort, IMAP_SORT_DONE);
        return;
    }
    sort->at_key--;
    memset(sort->places, 0, sort->rank_end * sizeof(*sort->places));
    if (sort->keys[sort->at_key].values == NULL) {
        enter(sort, IMAP_SORT_COUNTING);
        return;
    }
    imap_merge_init(&sort->merge, sort->arena, sort->found_count, compare_messages, sort);
    enter(sort, IMAP_SORT_MERGING);
}

static void end_ranking(struct imap_session *s, struct imap_sort *sort)
{
    enum imap_sort_criterion criterion = sort->order->keys[sort->at_key].criterion;

    /* Of a part of the folder it is not worth it, and RELEVANCY is the search's. */
    if (sort->found_count == sort->view->count && criterion != IMAP_SORT_RELEVANCY)
        imap_sort_remember(imap_group_memory(s->group), sort->view, criterion,
                           sort->keys[sort->at_key].ranks);
    enter(sort, IMAP_SORT_COUNTING);
}

static void end_dealing(struct imap_sort *sort)
{
    uint32_t *swap = sort->items;

    sort->items = sort->dealt;
    sort->dealt = swap;
    begin_key(sort);
}

static enum err step(struct imap_session *s, struct task *task, struct imap_sort *sort)
{
    size_t comparisons;

    switch (sort->phase) {
    case IMAP_SORT_BEGINNING:
        sort->arena = &task->arena;
        TRY(imap_sort_extend(s, task, sort->view));
        begin(s, sort);
        break;
    case IMAP_SORT_LOADING:
        if (sort->source.next < sort->source.count)
            return imap_sort_load(s, task, &sort->source);
        begin_order(sort);
        begin_key(sort);
        break;
    case IMAP_SORT_MERGING:
        if (imap_merge_step(&sort->merge, STEP_COMPARISONS, &comparisons))
            enter(sort, IMAP_SORT_RANKING);
        imap_spend(s, comparisons / COMPARISONS_PER_UNIT);
        break;
    case IMAP_SORT_RANKING:
        if (rank_some(s, sort))
            end_ranking(s, sort);
        break;
    case IMAP_SORT_COUNTING:
        if (count_some(s, sort))
            enter(sort, IMAP_SORT_SUMMING);
        break;
    case IMAP_SORT_SUMMING:
        if (sum_some(s, sort))
            enter(sort, IMAP_SORT_DEALING);
        break;
    case IMAP_SORT_DEALING:
        if (deal_some(s, sort))
            end_dealing(sort);
        break;
    case IMAP_SORT_DONE:
        break;
    }
    return ERR_OK;
}

enum err imap_sort_run(struct imap_session *s, struct task *task, struct imap_sort *sort)
{
    while (sort->phase != IMAP_SORT_DONE) {
        if (imap_must_give_way(s)) {
            imap_give_way(s);
            return ERR_OK;
        }
        TRY(step(s, task, sort));
    }
    return ERR_OK;
}
