/* Asking the kernel for pages (ahead.h), by the descriptor that has the vault's lock. */
#include "vault/ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>

enum {
    PAGE_BYTES = 4096,
    GAP_PAGES = 8, /* between two that are asked for together */
    AROUND_PAGES = 16,
    LOOKED_AT_MAX = 64,
};

struct ahead {
    int fd;
    uint32_t extent_pages;
    bool is_cold;
};

static off_t offset_of(uint32_t page)
{
    return ((off_t)page - 1) * PAGE_BYTES;
}

static bool is_in_memory(const struct ahead *ahead, uint32_t page)
{
    char byte;
    struct iovec vector = {&byte, 1};

    return preadv2(ahead->fd, &vector, 1, offset_of(page), RWF_NOWAIT) >= 0 || errno != EAGAIN;
}

/* Of many the first, the last and one in the middle stand for all. */
static bool are_in_memory(const struct ahead *ahead, const uint32_t *pages, size_t count)
{
    if (count > LOOKED_AT_MAX)
        return is_in_memory(ahead, pages[0]) && is_in_memory(ahead, pages[count / 2]) &&
               is_in_memory(ahead, pages[count - 1]);
    for (size_t i = 0; i < count; i++)
        if (!is_in_memory(ahead, pages[i]))
            return false;
    return true;
}

static void on_pages(void *owner, const uint32_t *pages, size_t count)
{
    struct ahead *ahead = owner;

    if (count == 0 || are_in_memory(ahead, pages, count))
        return;
    ahead->is_cold = true;
    for (size_t i = 0, next; i < count; i = next) {
        uint32_t end = pages[i] + ahead->extent_pages;

        for (next = i + 1; next < count && pages[next] <= end + GAP_PAGES; next++)
            end = pages[next] + ahead->extent_pages;
        (void)posix_fadvise(ahead->fd, offset_of(pages[i]), (off_t)(end - pages[i]) * PAGE_BYTES,
                            POSIX_FADV_WILLNEED);
    }
}

static int compare_keys(const void *a, const void *b)
{
    const struct db_keys *left = a, *right = b;

    return left->first < right->first ? -1 : left->first > right->first;
}

void ahead_sort(struct db_keys *ranges, size_t range_count)
{
    qsort(ranges, range_count, sizeof(*ranges), compare_keys);
}

void ahead_of_rows(struct vault *vault, struct task *task, const char *table,
                   const struct db_keys *ranges, size_t range_count, enum ahead_extent extent,
                   bool *out_is_cold)
{
    struct ahead ahead = {.fd = vault->lock_fd,
                          .extent_pages = extent == AHEAD_AROUND ? AROUND_PAGES : 1};

    *out_is_cold = false;
    if (ahead.fd < 0 || range_count == 0)
        return;
    if (db_find_leaves(vault->db, task, table, ranges, range_count, on_pages, &ahead) != ERR_OK)
        task_forgive(task);
    *out_is_cold = ahead.is_cold;
}
