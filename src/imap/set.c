#include "imap/set.h"

#include <stdlib.h>

/* seq-number = nz-number / "*" */
static bool parse_number(struct str text, uint32_t *out)
{
    if (str_equal(text, STR("*"))) {
        *out = 0;
        return true;
    }
    return text.len > 0 && text.ptr[0] != '0' && parse_u32(text, out);
}

/* sequence-set = (seq-number / seq-range) *("," sequence-set); seq-range = n ":" n
 * sequence-set =/ seq-last-command; seq-last-command = "$" (RFC 5182 §4), so only at the end */
bool imap_set_parse(struct task *task, struct str text, struct imap_set *out)
{
    struct str part;
    size_t count = 1;

    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == ',';
    out->ranges = ARENA_ARRAY(&task->arena, struct imap_range, count);
    out->count = 0;
    out->has_saved = str_equal(text, STR("$")) || (text.len > 2 && str_ends_with(text, STR(",$")));
    if (out->has_saved)
        text.len -= text.len == 1 ? 1 : 2;
    if (text.len == 0)
        return out->has_saved;
    while (str_split(&text, ',', &part)) {
        struct imap_range *range = &out->ranges[out->count++];
        ptrdiff_t colon = str_index(part, ':');

        if (colon < 0) {
            if (!parse_number(part, &range->first))
                return false;
            range->last = range->first;
        } else if (!parse_number(str_upto(part, (size_t)colon), &range->first) ||
                   !parse_number(str_from(part, (size_t)colon + 1), &range->last)) {
            return false;
        }
    }
    return true;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct imap_range *left = a, *right = b;

    return left->first < right->first ? -1 : left->first > right->first;
}

void imap_set_resolve(struct imap_set *set, uint32_t star)
{
    size_t kept = 0;

    for (size_t i = 0; i < set->count; i++) {
        struct imap_range range = set->ranges[i];

        if (star == 0 && (range.first == 0 || range.last == 0))
            continue;
        if (range.first == 0)
            range.first = star;
        if (range.last == 0)
            range.last = star;
        if (range.first > range.last)
            range = (struct imap_range){range.last, range.first};
        set->ranges[kept++] = range;
    }
    set->count = kept;
    if (kept < 2)
        return;
    qsort(set->ranges, kept, sizeof(*set->ranges), compare_ranges);
    kept = 0;
    for (size_t i = 1; i < set->count; i++) {
        struct imap_range *last = &set->ranges[kept];

        if (last->last == UINT32_MAX || set->ranges[i].first <= last->last + 1) {
            if (set->ranges[i].last > last->last)
                last->last = set->ranges[i].last;
        } else {
            set->ranges[++kept] = set->ranges[i];
        }
    }
    set->count = kept + 1;
}

bool imap_set_contains(const struct imap_set *set, uint32_t number)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->ranges[middle].last < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->count && set->ranges[low].first <= number;
}

bool imap_set_has_star(const struct imap_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->ranges[i].first == 0 || set->ranges[i].last == 0)
            return true;
    return false;
}

void imap_set_intersect(struct task *task, const struct imap_set *a, const struct imap_set *b,
                        struct imap_set *out)
{
    size_t i = 0, k = 0;

    out->ranges = ARENA_ARRAY(&task->arena, struct imap_range, a->count + b->count);
    out->count = 0;
    while (i < a->count && k < b->count) {
        struct imap_range left = a->ranges[i], right = b->ranges[k];
        uint32_t first = left.first > right.first ? left.first : right.first;
        uint32_t last = left.last < right.last ? left.last : right.last;

        if (first <= last)
            out->ranges[out->count++] = (struct imap_range){first, last};
        if (left.last < right.last)
            i++;
        else
            k++;
    }
}

void imap_partial_range(int64_t first, int64_t last, size_t count, size_t *out_start,
                        size_t *out_end)
{
    int64_t total = (int64_t)count, swap;

    if (first < 0) {
        first += total + 1;
        last += total + 1;
    }
    if (first > last) {
        swap = first;
        first = last;
        last = swap;
    }
    first = first < 1 ? 1 : first;
    last = last > total ? total : last;
    *out_start = first > last ? 0 : (size_t)first - 1;
    *out_end = first > last ? 0 : (size_t)last;
}

size_t imap_set_size(const struct imap_set *set)
{
    size_t size = 0;

    for (size_t i = 0; i < set->count; i++)
        size += (size_t)(set->ranges[i].last - set->ranges[i].first) + 1;
    return size;
}

void imap_set_slice(struct imap_set *set, size_t start, size_t end)
{
    size_t kept = 0, at = 0;

    for (size_t i = 0; i < set->count; i++) {
        struct imap_range range = set->ranges[i];
        size_t size = (size_t)(range.last - range.first) + 1;

        if (at < end && at + size > start) {
            if (at + size > end)
                range.last -= (uint32_t)(at + size - end);
            if (at < start)
                range.first += (uint32_t)(start - at);
            set->ranges[kept++] = range;
        }
        at += size;
    }
    set->count = kept;
}
