#include "imap/sort_memory.h"

#include "base/memory.h"
#include "imap/view.h"

#include <assert.h>
#include <string.h>

void imap_sort_forget(struct imap_sort_memory *memory)
{
    for (size_t i = 0; i < IMAP_SORT_MEMORY_CRITERIA; i++)
        mem_free(&memory->ranks[i]);
    mem_free(&memory->uids);
    memory->count = 0;
}

bool imap_sort_recall(const struct imap_view *view, unsigned criterion, const uint32_t *found,
                      size_t count, uint32_t *out_ranks)
{
    const struct imap_sort_memory *memory = &view->sorted;
    const uint32_t *ranks = memory->ranks[criterion];
    size_t at = 0;

    if (ranks == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        uint32_t uid = view->uids[found[i]];

        while (at < memory->count && memory->uids[at] < uid)
            at++;
        if (at == memory->count || memory->uids[at] != uid)
            return false;
        out_ranks[i] = ranks[at];
    }
    return true;
}

static uint32_t *copy(const uint32_t *numbers, size_t count)
{
    uint32_t *copied = NEW_ARRAY(uint32_t, count);

    memcpy(copied, numbers, count * sizeof(*copied));
    return copied;
}

/* What is remembered would be of other messages, or too much. */
static bool has_room(const struct imap_sort_memory *memory, const struct imap_view *view)
{
    size_t arrays = 2; /* with the UIDs, and the new one */

    if (memory->count != view->count ||
        memcmp(memory->uids, view->uids, view->count * sizeof(*view->uids)) != 0)
        return false;
    for (size_t i = 0; i < IMAP_SORT_MEMORY_CRITERIA; i++)
        arrays += memory->ranks[i] != NULL;
    return arrays * view->count * sizeof(uint32_t) <= IMAP_SORT_MEMORY_BYTES;
}

void imap_sort_remember(struct imap_view *view, unsigned criterion, const uint32_t *ranks)
{
    struct imap_sort_memory *memory = &view->sorted;

    assert(criterion < IMAP_SORT_MEMORY_CRITERIA);
    if (view->count == 0 || view->count > IMAP_SORT_MEMORY_BYTES / (2 * sizeof(uint32_t)))
        return;
    if (!has_room(memory, view))
        imap_sort_forget(memory);
    if (memory->uids == NULL) {
        memory->uids = copy(view->uids, view->count);
        memory->count = view->count;
    }
    mem_free(&memory->ranks[criterion]);
    memory->ranks[criterion] = copy(ranks, view->count);
}
