#include "imap/sort_extend.h"

#include "imap/engine.h"
#include "imap/sort_criteria.h"
#include "imap/sort_memory.h"

#include <string.h>

enum {
    KEY_UNITS = 3, /* imap_spend: one message's key, read alone */
    ITEMS_PER_UNIT = 100,
};

/* Where a message that came belongs: before the known one at `at`, or it is equal to that one. */
struct placing {
    uint32_t added;
    size_t at;
    bool is_equal;
};

struct extending {
    struct imap_session *s; /* borrowed, as is */
    struct task *task;
    const struct imap_view *view;
    const struct imap_sort_folder *known; /* the memory's, until something is put there */
    unsigned fields;                      /* of all orders that are remembered */
    uint32_t added[IMAP_SORT_EXTEND_MAX]; /* indexes in the view, ascending, */
    size_t added_count;
    struct imap_sort_value *values[IMAP_SORT_MEMORY_CRITERIA]; /* and what is compared of them */
    /* All others: their indexes in the view, and their places in what is known. */
    uint32_t *others, *places;
    size_t other_count;
    bool is_lost; /* a message is gone that must be looked at */
};

/* False: too many came. */
static bool find_added(struct extending *e)
{
    const struct imap_view *view = e->view;
    size_t at = 0;

    for (size_t i = 0; i < view->count; i++) {
        while (at < e->known->count && e->known->uids[at] < view->uids[i])
            at++;
        if (at < e->known->count && e->known->uids[at] == view->uids[i]) {
            e->others[e->other_count] = (uint32_t)i;
            e->places[e->other_count++] = (uint32_t)at;
        } else if (e->added_count < IMAP_SORT_EXTEND_MAX) {
            e->added[e->added_count++] = (uint32_t)i;
        } else {
            return false;
        }
    }
    imap_spend(e->s, view->count / ITEMS_PER_UNIT);
    return true;
}

/* ---- Looking at one message ---- */

struct look {
    struct extending *e;
    unsigned criterion;                 /* it is compared by that */
    const struct imap_sort_value *with; /* NULL: its values are kept, as those of */
    size_t number;                      /* of those that came */
    int order;                          /* of `with` against it */
    bool has_seen;
};

static bool on_key(void *owner, const struct vault_sort_key *key)
{
    struct look *look = owner;
    struct extending *e = look->e;

    look->has_seen = true;
    if (look->with != NULL) {
        struct imap_sort_value value = imap_sort_value_of(look->criterion, key);

        look->order = imap_sort_compare(look->with, &value);
        return false;
    }
    for (unsigned c = 0; c < IMAP_SORT_MEMORY_CRITERIA; c++) {
        if (e->values[c] == NULL)
            continue;
        e->values[c][look->number] = imap_sort_value_of(c, key);
        e->values[c][look->number].text =
            arena_copy(&e->task->arena, e->values[c][look->number].text);
    }
    return false;
}

static enum err look_at(struct extending *e, uint32_t message, unsigned fields, struct look *look)
{
    uint32_t uid = e->view->uids[message];
    bool is_end;

    imap_spend(e->s, KEY_UNITS);
    TRY(vault_sort_keys(e->s->vault, e->task, e->view->folder_id, uid, uid, fields, on_key, look,
                        &is_end));
    e->is_lost = e->is_lost || !look->has_seen;
    return ERR_OK;
}

static enum err load_added(struct extending *e)
{
    for (size_t i = 0; i < e->added_count && !e->is_lost; i++) {
        struct look look = {.e = e, .number = i};

        TRY(look_at(e, e->added[i], e->fields, &look));
    }
    return ERR_OK;
}

/* ---- One order ---- */

/* The others as that criterion orders them: indexes in e->others. */
static uint32_t *order_of_others(struct extending *e, const uint32_t *ranks)
{
    uint32_t *order = ARENA_ARRAY(&e->task->arena, uint32_t, e->other_count + 1);
    uint32_t *starts = ARENA_ARRAY(&e->task->arena, uint32_t, e->known->count + 1);

    memset(starts, 0, (e->known->count + 1) * sizeof(*starts));
    for (size_t i = 0; i < e->other_count; i++)
        starts[ranks[e->places[i]] + 1]++;
    for (size_t i = 1; i <= e->known->count; i++)
        starts[i] += starts[i - 1];
    for (size_t i = 0; i < e->other_count; i++)
        order[starts[ranks[e->places[i]]]++] = (uint32_t)i;
    return order;
}

static enum err place(struct extending *e, unsigned criterion, const uint32_t *order,
                      struct placing *placing)
{
    size_t low = 0, high = e->other_count;

    while (low < high && !placing->is_equal && !e->is_lost) {
        struct look look = {
            .e = e, .criterion = criterion, .with = &e->values[criterion][placing->added]};
        size_t middle = low + (high - low) / 2;

        TRY(look_at(e, e->others[order[middle]], imap_sort_field(criterion), &look));
        placing->is_equal = look.order == 0;
        if (look.order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    placing->at = high;
    return ERR_OK;
}

static int compare_placings(const struct extending *e, unsigned criterion, const struct placing *a,
                            const struct placing *b)
{
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return imap_sort_compare(&e->values[criterion][a->added], &e->values[criterion][b->added]);
}

/* They are few. */
static void sort_placings(const struct extending *e, unsigned criterion, struct placing *placings)
{
    for (size_t i = 1; i < e->added_count; i++) {
        struct placing one = placings[i];
        size_t k = i;

        for (; k > 0 && compare_placings(e, criterion, &placings[k - 1], &one) > 0; k--)
            placings[k] = placings[k - 1];
        placings[k] = one;
    }
}

/* Along the old order, with those that came in their places; `ranks` are the old ones. */
static uint32_t *rank_all(struct extending *e, unsigned criterion, const uint32_t *ranks,
                          const uint32_t *order, const struct placing *placings)
{
    uint32_t *ranked = ARENA_ARRAY(&e->task->arena, uint32_t, e->view->count);
    uint32_t rank = 0; /* the next that is given anew */
    size_t next = 0;

    for (size_t i = 0; i <= e->other_count; i++) {
        size_t first = next;

        for (; next < e->added_count && placings[next].at == i && !placings[next].is_equal;
             next++) {
            if (next == first ||
                compare_placings(e, criterion, &placings[next - 1], &placings[next]) != 0)
                rank++;
            ranked[e->added[placings[next].added]] = rank - 1;
        }
        if (i == e->other_count)
            break;
        if (i == 0 || next > first || ranks[e->places[order[i]]] != ranks[e->places[order[i - 1]]])
            rank++;
        ranked[e->others[order[i]]] = rank - 1;
        for (; next < e->added_count && placings[next].at == i && placings[next].is_equal; next++)
            ranked[e->added[placings[next].added]] = rank - 1;
    }
    return ranked;
}

static enum err extend_order(struct extending *e, unsigned criterion, uint32_t **out_ranks)
{
    struct placing placings[IMAP_SORT_EXTEND_MAX] = {{0}};
    const uint32_t *ranks = e->known->ranks[criterion];
    uint32_t *order = order_of_others(e, ranks);

    for (size_t i = 0; i < e->added_count && !e->is_lost; i++) {
        placings[i].added = (uint32_t)i;
        TRY(place(e, criterion, order, &placings[i]));
    }
    if (e->is_lost)
        return ERR_OK;
    sort_placings(e, criterion, placings);
    *out_ranks = rank_all(e, criterion, ranks, order, placings);
    imap_spend(e->s, e->view->count * 3 / ITEMS_PER_UNIT);
    return ERR_OK;
}

/* ---- All of them ---- */

static enum err extend_orders(struct extending *e, struct imap_sort_memory *memory)
{
    uint32_t *ranks[IMAP_SORT_MEMORY_CRITERIA] = {NULL};

    TRY(load_added(e));
    for (unsigned c = 0; c < IMAP_SORT_MEMORY_CRITERIA && !e->is_lost; c++)
        if (e->values[c] != NULL)
            TRY(extend_order(e, c, &ranks[c]));
    for (unsigned c = 0; c < IMAP_SORT_MEMORY_CRITERIA && !e->is_lost; c++)
        if (ranks[c] != NULL)
            imap_sort_remember(memory, e->view, c, ranks[c]);
    return ERR_OK;
}

enum err imap_sort_extend(struct imap_session *s, struct task *task, const struct imap_view *view)
{
    struct imap_sort_memory *memory = imap_group_memory(s->group);
    struct extending e = {
        .s = s, .task = task, .view = view, .known = imap_sort_known(memory, view)};
    bool has_any = false;

    if (e.known == NULL || view->count == 0)
        return ERR_OK;
    e.others = ARENA_ARRAY(&task->arena, uint32_t, view->count);
    e.places = ARENA_ARRAY(&task->arena, uint32_t, view->count);
    if (!find_added(&e) || e.added_count == 0)
        return ERR_OK;
    for (unsigned c = 0; c < IMAP_SORT_MEMORY_CRITERIA; c++) {
        if (e.known->ranks[c] == NULL)
            continue;
        e.values[c] = ARENA_ARRAY(&task->arena, struct imap_sort_value, e.added_count);
        e.fields |= imap_sort_field(c);
        has_any = true;
    }
    return has_any ? extend_orders(&e, memory) : ERR_OK;
}
