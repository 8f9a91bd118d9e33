#include "imap/sort_memory.h"

#include "base/memory.h"
#include "imap/view.h"

#include <assert.h>
#include <string.h>

static void forget_folder(struct imap_sort_folder *folder)
{
    for (size_t i = 0; i < IMAP_SORT_MEMORY_CRITERIA; i++)
        mem_free(&folder->ranks[i]);
    for (size_t i = 0; i < IMAP_SORT_MEMORY_THREADS; i++)
        mem_free(&folder->threads[i].ptr);
    mem_free(&folder->uids);
    *folder = (struct imap_sort_folder){0};
}

void imap_sort_forget(struct imap_sort_memory *memory)
{
    for (size_t i = 0; i < IMAP_SORT_MEMORY_FOLDERS; i++)
        forget_folder(&memory->folders[i]);
}

static size_t bytes_of(const struct imap_sort_folder *folder)
{
    size_t arrays = folder->uids != NULL, bytes = 0;

    for (size_t i = 0; i < IMAP_SORT_MEMORY_CRITERIA; i++)
        arrays += folder->ranks[i] != NULL;
    for (size_t i = 0; i < IMAP_SORT_MEMORY_THREADS; i++)
        bytes += folder->threads[i].len;
    return bytes + arrays * folder->count * sizeof(uint32_t);
}

static bool is_of(const struct imap_sort_folder *folder, const struct imap_view *view)
{
    return folder->uids != NULL && folder->folder_id == view->folder_id &&
           folder->uidvalidity == view->uidvalidity;
}

/* The view's folder, moved to the front; NULL: nothing is known of it. */
static struct imap_sort_folder *find_folder(struct imap_sort_memory *memory,
                                            const struct imap_view *view)
{
    for (size_t i = 0; i < IMAP_SORT_MEMORY_FOLDERS; i++) {
        struct imap_sort_folder found = memory->folders[i];

        if (!is_of(&found, view))
            continue;
        memmove(memory->folders + 1, memory->folders, i * sizeof(found));
        memory->folders[0] = found;
        return &memory->folders[0];
    }
    return NULL;
}

const struct imap_sort_folder *imap_sort_known(struct imap_sort_memory *memory,
                                               const struct imap_view *view)
{
    return find_folder(memory, view);
}

static bool has_messages_of(const struct imap_sort_folder *folder, const struct imap_view *view)
{
    return folder->count == view->count &&
           memcmp(folder->uids, view->uids, view->count * sizeof(*view->uids)) == 0;
}

/* From the back on, until there is room for so many bytes more; the first folder, which they are
 * for, stays. */
static void make_room(struct imap_sort_memory *memory, size_t bytes)
{
    size_t total = bytes;

    for (size_t i = 0; i < IMAP_SORT_MEMORY_FOLDERS; i++)
        total += bytes_of(&memory->folders[i]);
    for (size_t i = IMAP_SORT_MEMORY_FOLDERS; --i > 0 && total > IMAP_SORT_MEMORY_BYTES;) {
        total -= bytes_of(&memory->folders[i]);
        forget_folder(&memory->folders[i]);
    }
}

static uint32_t *copy(const uint32_t *numbers, size_t count)
{
    uint32_t *copied = NEW_ARRAY(uint32_t, count);

    memcpy(copied, numbers, count * sizeof(*copied));
    return copied;
}

/* The first place, with the view's messages and room for so many bytes; NULL: it is too much. */
static struct imap_sort_folder *folder_for(struct imap_sort_memory *memory,
                                           const struct imap_view *view, size_t bytes)
{
    struct imap_sort_folder *folder = find_folder(memory, view);
    size_t uids_bytes = view->count * sizeof(uint32_t);

    if (view->count == 0 || view->count > IMAP_SORT_MEMORY_BYTES / sizeof(uint32_t) ||
        bytes > IMAP_SORT_MEMORY_BYTES - uids_bytes)
        return NULL;
    /* What is known would be of other messages, or too much. */
    if (folder != NULL && (!has_messages_of(folder, view) ||
                           bytes_of(folder) + bytes > IMAP_SORT_MEMORY_BYTES))
        forget_folder(folder);
    if (folder == NULL) {
        folder = &memory->folders[IMAP_SORT_MEMORY_FOLDERS - 1];
        forget_folder(folder);
        memmove(memory->folders + 1, memory->folders,
                (IMAP_SORT_MEMORY_FOLDERS - 1) * sizeof(*folder));
        folder = &memory->folders[0];
        *folder = (struct imap_sort_folder){0};
    }
    make_room(memory, bytes + (folder->uids == NULL ? uids_bytes : 0));
    if (folder->uids == NULL) {
        folder->folder_id = view->folder_id;
        folder->uidvalidity = view->uidvalidity;
        folder->uids = copy(view->uids, view->count);
        folder->count = view->count;
    }
    return folder;
}

/* ---- SORT ---- */

bool imap_sort_recall(struct imap_sort_memory *memory, const struct imap_view *view,
                      unsigned criterion, const uint32_t *found, size_t count, uint32_t *out_ranks,
                      uint32_t *out_end)
{
    const struct imap_sort_folder *folder = find_folder(memory, view);
    const uint32_t *ranks = folder == NULL ? NULL : folder->ranks[criterion];
    size_t at = 0;

    if (ranks == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        uint32_t uid = view->uids[found[i]];

        while (at < folder->count && folder->uids[at] < uid)
            at++;
        if (at == folder->count || folder->uids[at] != uid)
            return false;
        out_ranks[i] = ranks[at];
    }
    *out_end = (uint32_t)folder->count;
    return true;
}

void imap_sort_remember(struct imap_sort_memory *memory, const struct imap_view *view,
                        unsigned criterion, const uint32_t *ranks)
{
    struct imap_sort_folder *folder;

    assert(criterion < IMAP_SORT_MEMORY_CRITERIA);
    folder = folder_for(memory, view, view->count * sizeof(*ranks));
    if (folder == NULL)
        return;
    mem_free(&folder->ranks[criterion]);
    folder->ranks[criterion] = copy(ranks, view->count);
}

/* ---- THREAD ---- */

struct str imap_thread_recall(struct imap_sort_memory *memory, const struct imap_view *view,
                              unsigned kind)
{
    const struct imap_sort_folder *folder = find_folder(memory, view);

    assert(kind < IMAP_SORT_MEMORY_THREADS);
    if (folder == NULL || folder->threads[kind].ptr == NULL || !has_messages_of(folder, view))
        return (struct str){0};
    return str_make(folder->threads[kind].ptr, folder->threads[kind].len);
}

void imap_thread_remember(struct imap_sort_memory *memory, const struct imap_view *view,
                          unsigned kind, struct str answer)
{
    struct imap_sort_folder *folder;

    assert(kind < IMAP_SORT_MEMORY_THREADS);
    folder = folder_for(memory, view, answer.len);
    if (folder == NULL || answer.len == 0)
        return;
    mem_free(&folder->threads[kind].ptr);
    folder->threads[kind].ptr = mem_copy_text(answer.ptr, answer.len);
    folder->threads[kind].len = answer.len;
}
