/* Messages by size, and by a digest where a size comes up. */
#include "transfer/duplicates.h"

#include "base/memory.h"
#include "secret/crypt.h"
#include "vault/content.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS_IN_SLICE = 4000, DIGESTS_IN_SLICE = 50, DIGEST_BYTES_IN_SLICE = 4 * 1024 * 1024 };

struct known {
    uint64_t size_bytes;
    int64_t content_id;
    unsigned char digest[16];
    bool has_digest, is_taken;
};

struct duplicates {
    struct vault *vault; /* borrowed */
    int64_t folder_id;
    struct known *known; /* own; by size once is_loaded, those of a size by digest once it has one */
    size_t count, room;
    uint32_t next_uid;
    bool is_loaded;
};

struct duplicates *duplicates_new(struct vault *vault, int64_t folder_id)
{
    struct duplicates *duplicates = NEW(struct duplicates);

    duplicates->vault = vault;
    duplicates->folder_id = folder_id;
    duplicates->next_uid = 1;
    return duplicates;
}

void duplicates_free(struct duplicates **duplicates)
{
    if (*duplicates != NULL)
        mem_free(&(*duplicates)->known);
    mem_free(duplicates);
}

static int compare(const void *a, const void *b)
{
    const struct known *one = a, *other = b;

    if (one->size_bytes != other->size_bytes)
        return one->size_bytes < other->size_bytes ? -1 : 1;
    return memcmp(one->digest, other->digest, sizeof(one->digest));
}

static void add(struct duplicates *duplicates, const struct vault_message *row)
{
    if (duplicates->count == duplicates->room) {
        duplicates->room = duplicates->room * 2 + 64;
        duplicates->known =
            mem_resize(duplicates->known, duplicates->room, sizeof(*duplicates->known));
    }
    duplicates->known[duplicates->count++] =
        (struct known){.size_bytes = row->size_bytes, .content_id = row->content_id};
}

static enum err load_slice(struct duplicates *duplicates, struct task *task)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    struct vault_message row;
    bool has_row = true;

    TRY(vault_cursor_open(duplicates->vault, task, duplicates->folder_id, duplicates->next_uid,
                          UINT32_MAX, VAULT_COLUMN_SIZE, false, &cursor));
    for (size_t i = 0; i < ROWS_IN_SLICE && has_row; i++) {
        TRY(vault_cursor_next(cursor, task, &row, &has_row));
        if (!has_row)
            break;
        add(duplicates, &row);
        duplicates->next_uid = row.uid + 1;
        has_row = row.uid < UINT32_MAX;
    }
    if (has_row)
        return ERR_OK;
    duplicates->is_loaded = true;
    if (duplicates->count > 1)
        qsort(duplicates->known, duplicates->count, sizeof(*duplicates->known), compare);
    return ERR_OK;
}

static void digest_of(struct str raw, unsigned char out[static 16])
{
    unsigned char digest[CRYPT_HASH_BYTES];

    crypt_digest(raw, digest);
    memcpy(out, digest, 16);
}

/* A message that was expunged and purged meanwhile is like no other. */
static enum err digest_known(struct duplicates *duplicates, struct task *task, struct known *known)
{
    CLEANUP(vault_content_close) struct vault_content *content = NULL;
    CLEANUP(buf_free) struct buf raw;
    enum err err = vault_content_open(duplicates->vault, task, known->content_id, &content);

    buf_init(&raw, SIZE_MAX);
    known->has_digest = true;
    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
        known->is_taken = true;
        return ERR_OK;
    }
    TRY(err);
    TRY(vault_content_read(content, task, 0, SIZE_MAX, &raw));
    digest_of(buf_str(&raw), known->digest);
    return ERR_OK;
}

/* The first of this size; `count` when there is none. */
static size_t first_of(const struct duplicates *duplicates, uint64_t size_bytes)
{
    size_t low = 0, high = duplicates->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (duplicates->known[middle].size_bytes < size_bytes)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t end_of(const struct duplicates *duplicates, size_t first, uint64_t size_bytes)
{
    while (first < duplicates->count && duplicates->known[first].size_bytes == size_bytes)
        first++;
    return first;
}

enum err duplicates_prepare(struct duplicates *duplicates, struct task *task, uint64_t size_bytes,
                            bool *out_more)
{
    size_t first, end, done = 0;
    uint64_t bytes = 0;

    *out_more = true;
    if (!duplicates->is_loaded)
        return load_slice(duplicates, task);
    first = first_of(duplicates, size_bytes);
    end = end_of(duplicates, first, size_bytes);
    for (size_t i = first; i < end; i++) {
        if (duplicates->known[i].has_digest)
            continue;
        if (done == DIGESTS_IN_SLICE || bytes > DIGEST_BYTES_IN_SLICE)
            return ERR_OK;
        TRY(digest_known(duplicates, task, &duplicates->known[i]));
        done++;
        bytes += size_bytes;
    }
    if (done > 0 && end - first > 1)
        qsort(duplicates->known + first, end - first, sizeof(*duplicates->known), compare);
    *out_more = false;
    return ERR_OK;
}

bool duplicates_take(struct duplicates *duplicates, struct str raw)
{
    struct known wanted = {.size_bytes = raw.len};
    size_t low = first_of(duplicates, raw.len), high = end_of(duplicates, low, raw.len);
    size_t end = high;

    if (low == high)
        return false;
    digest_of(raw, wanted.digest);
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(&duplicates->known[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < end && compare(&duplicates->known[low], &wanted) == 0; low++) {
        if (!duplicates->known[low].is_taken) {
            duplicates->known[low].is_taken = true;
            return true;
        }
    }
    return false;
}
