#include "vault/folder_mirror.h"

#include "base/memory.h"
#include "vault/folder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- Names --- */

int vault_folder_compare_names(struct str a, struct str b)
{
    size_t len = a.len < b.len ? a.len : b.len;

    for (size_t i = 0; i < len; i++) {
        int left = a.ptr[i] == '/' ? -1 : (unsigned char)a.ptr[i];
        int right = b.ptr[i] == '/' ? -1 : (unsigned char)b.ptr[i];

        if (left != right)
            return left - right;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

bool vault_folder_is_below(struct str name, struct str parent)
{
    return name.len > parent.len + 1 && name.ptr[parent.len] == '/' &&
           str_starts_with(name, parent);
}

static struct str copy_name(struct str name)
{
    return str_make(mem_copy_text(name.ptr, name.len), name.len);
}

static void free_name(struct folder *folder)
{
    char *name = (char *)(uintptr_t)folder->name.ptr;

    mem_free(&name);
}

/* --- Finding --- */

static size_t place_of_id(const struct vault *vault, int64_t id)
{
    size_t low = 0, high = vault->folder_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (vault->folders[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Of the first whose name is not before this one. */
static size_t place_of_name(struct vault *vault, struct str name)
{
    size_t low = 0, high = vault->folder_count;

    assert(!vault->is_sorting_folders);
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        vault->names_compared++;
        if (vault_folder_compare_names(vault->folders_by_name[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct folder *vault_folder_get(const struct vault *vault, int64_t folder_id)
{
    size_t place = place_of_id(vault, folder_id);

    return place < vault->folder_count && vault->folders[place]->id == folder_id
               ? vault->folders[place]
               : NULL;
}

struct folder *vault_folder_named(struct vault *vault, struct str name)
{
    size_t place = place_of_name(vault, name);

    return place < vault->folder_count && str_equal(vault->folders_by_name[place]->name, name)
               ? vault->folders_by_name[place]
               : NULL;
}

void folder_mirror_at_or_below(struct vault *vault, struct str name, size_t *out_first,
                               size_t *out_count)
{
    size_t first = place_of_name(vault, name), end = first;

    end += end < vault->folder_count && str_equal(vault->folders_by_name[end]->name, name);
    while (end < vault->folder_count &&
           vault_folder_is_below(vault->folders_by_name[end]->name, name))
        end++;
    *out_first = first;
    *out_count = end - first;
}

bool folder_mirror_has_children(struct vault *vault, struct str name)
{
    size_t first = place_of_name(vault, name);

    first += first < vault->folder_count && str_equal(vault->folders_by_name[first]->name, name);
    return first < vault->folder_count &&
           vault_folder_is_below(vault->folders_by_name[first]->name, name);
}

/* --- Changing --- */

static void insert_at(struct folder **places, size_t count, size_t place, struct folder *folder)
{
    memmove(places + place + 1, places + place, (count - place) * sizeof(struct folder *));
    places[place] = folder;
}

static void remove_at(struct folder **places, size_t count, size_t place)
{
    memmove(places + place, places + place + 1, (count - place - 1) * sizeof(struct folder *));
}

struct folder *folder_mirror_add(struct vault *vault, int64_t id, struct str name)
{
    struct folder *folder = NEW(struct folder);
    size_t place = vault->is_sorting_folders ? vault->folder_count : place_of_name(vault, name);

    if (vault->folder_count == vault->folder_room) {
        vault->folder_room = vault->folder_room * 2 + 16;
        vault->folders = mem_resize(vault->folders, vault->folder_room, sizeof(struct folder *));
        vault->folders_by_name =
            mem_resize(vault->folders_by_name, vault->folder_room, sizeof(struct folder *));
    }
    folder->id = id;
    folder->name = copy_name(name);
    insert_at(vault->folders_by_name, vault->folder_count, place, folder);
    insert_at(vault->folders, vault->folder_count, place_of_id(vault, id), folder);
    vault->folder_count++;
    return folder;
}

static void forget_dirty(struct vault *vault, const struct folder *folder)
{
    struct folder **at = &vault->dirty_folders;

    while (*at != folder)
        at = &(*at)->next_dirty;
    *at = folder->next_dirty;
}

void folder_mirror_remove(struct vault *vault, struct folder **folder)
{
    size_t place = place_of_name(vault, (*folder)->name);

    if ((*folder)->is_dirty)
        forget_dirty(vault, *folder);
    remove_at(vault->folders_by_name, vault->folder_count, place);
    remove_at(vault->folders, vault->folder_count, place_of_id(vault, (*folder)->id));
    vault->folder_count--;
    free_name(*folder);
    mem_free(folder);
}

void folder_mirror_clear(struct vault *vault)
{
    for (size_t i = 0; i < vault->folder_count; i++) {
        free_name(vault->folders[i]);
        mem_free(&vault->folders[i]);
    }
    vault->folder_count = 0;
    vault->dirty_folders = NULL;
    vault->is_sorting_folders = false;
}

void folder_mirror_sort_begin(struct vault *vault)
{
    vault->is_sorting_folders = true;
}

void folder_mirror_set_name(struct folder *folder, struct str name)
{
    struct str copy = copy_name(name);

    free_name(folder);
    folder->name = copy;
}

static int compare_folders(const void *a, const void *b)
{
    return vault_folder_compare_names((*(struct folder *const *)a)->name,
                                      (*(struct folder *const *)b)->name);
}

void folder_mirror_sort_end(struct vault *vault)
{
    if (vault->folder_count > 1)
        qsort(vault->folders_by_name, vault->folder_count, sizeof(struct folder *),
              compare_folders);
    vault->is_sorting_folders = false;
}

static bool is_in_order(const struct vault *vault, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        if (i > 0 &&
            compare_folders(&vault->folders_by_name[i - 1], &vault->folders_by_name[i]) > 0)
            return false;
    return true;
}

void folder_mirror_sort_end_of(struct vault *vault, size_t first, size_t count)
{
    size_t others = vault->folder_count - count, place, behind;
    struct folder **moving = NEW_ARRAY(struct folder *, count), **all = vault->folders_by_name;

    /* They stay behind each other, as a rule: what is in front of their names is another. */
    memcpy(moving, all + first, count * sizeof(*moving));
    memmove(all + first, all + first + count, (others - first) * sizeof(*all));
    vault->is_sorting_folders = false;
    vault->folder_count = others;
    place = place_of_name(vault, moving[0]->name);
    vault->folder_count += count;
    memmove(all + place + count, all + place, (others - place) * sizeof(*all));
    memcpy(all + place, moving, count * sizeof(*moving));
    mem_free(&moving);
    behind = place + count < vault->folder_count ? 1 : 0;
    if (!is_in_order(vault, place, count + behind))
        folder_mirror_sort_end(vault);
}

void folder_mirror_soil(struct vault *vault, struct folder *folder)
{
    if (folder->is_dirty)
        return;
    folder->is_dirty = true;
    folder->next_dirty = vault->dirty_folders;
    vault->dirty_folders = folder;
}
