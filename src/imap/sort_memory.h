/*
 * What the sessions of a mailbox remember of their SORTs and THREADs: of a folder, by each criterion,
 * where every message stands, and THREAD's answers. What is compared of a message never changes, so
 * ranks hold, also when messages come (imap/sort_extend.h) and go, and a thread's answer as long as the
 * folder's messages are the same; a mail program that asks again, in this session or the next, pays
 * for the answer alone.
 *
 * One for each vault (imap_group_memory). Any session may replace what is in it between two turns of
 * another's command: what is recalled is copied.
 */
#ifndef IMAP_SORT_MEMORY_H
#define IMAP_SORT_MEMORY_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct imap_view;

enum {
    IMAP_SORT_MEMORY_BYTES = 2 * 1024 * 1024, /* of all folders; of a larger one, nothing is kept */
    IMAP_SORT_MEMORY_FOLDERS = 4,             /* those that were asked for last */
    IMAP_SORT_MEMORY_CRITERIA = 10,
    IMAP_SORT_MEMORY_THREADS = 6, /* algorithms, by message numbers and by UIDs */
};

struct imap_sort_memory {
    /* The one that was asked for last comes first. */
    struct imap_sort_folder {
        int64_t folder_id;
        uint32_t uidvalidity;
        uint32_t *uids; /* own; ascending; NULL: the place is free */
        size_t count;
        uint32_t *ranks[IMAP_SORT_MEMORY_CRITERIA]; /* own; of each UID; NULL: not known */
        struct {
            char *ptr; /* own; NULL: not known */
            size_t len;
        } threads[IMAP_SORT_MEMORY_THREADS];
    } folders[IMAP_SORT_MEMORY_FOLDERS];
};

/* All of it, freed. */
void imap_sort_forget(struct imap_sort_memory *memory);
/* What is remembered of the view's folder, maybe with fewer or other messages than the view's; borrowed until
 * something is remembered. NULL: nothing. */
const struct imap_sort_folder *imap_sort_known(struct imap_sort_memory *memory,
                                               const struct imap_view *view);
/*
 * The ranks of messages (ascending indexes in the view): below *out_end, equal where the criterion
 * finds them equal. False: not known of all of them.
 */
bool imap_sort_recall(struct imap_sort_memory *memory, const struct imap_view *view,
                      unsigned criterion, const uint32_t *found, size_t count, uint32_t *out_ranks,
                      uint32_t *out_end);
/* The ranks of all messages of the view, in its order; copied. */
void imap_sort_remember(struct imap_sort_memory *memory, const struct imap_view *view,
                        unsigned criterion, const uint32_t *ranks);

/* The answer of THREAD for all messages of the view, borrowed until the next call; its ptr is NULL:
 * not known. */
struct str imap_thread_recall(struct imap_sort_memory *memory, const struct imap_view *view,
                              unsigned kind);
void imap_thread_remember(struct imap_sort_memory *memory, const struct imap_view *view,
                          unsigned kind, struct str answer);

#endif
