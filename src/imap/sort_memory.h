/*
 * What a session remembers of its SORTs while the folder stays selected: by each criterion, where
 * every message stands. What is compared of a message never changes, so this holds until a new
 * message is among those to be sorted; a mail program that sorts again pays for the answer alone.
 */
#ifndef IMAP_SORT_MEMORY_H
#define IMAP_SORT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct imap_view;

/* Kept within IMAP_SORT_MEMORY_BYTES for each session; of a larger folder nothing is remembered. */
enum { IMAP_SORT_MEMORY_BYTES = 2 * 1024 * 1024, IMAP_SORT_MEMORY_CRITERIA = 10 };

struct imap_sort_memory {
    uint32_t *uids; /* own; ascending */
    size_t count;
    uint32_t *ranks[IMAP_SORT_MEMORY_CRITERIA]; /* own; of each UID; NULL: not known */
};

void imap_sort_forget(struct imap_sort_memory *memory);
/*
 * The ranks of messages (ascending indexes in the view): below `memory->count`, equal where the
 * criterion finds them equal. False: not known of all of them.
 */
bool imap_sort_recall(const struct imap_view *view, unsigned criterion, const uint32_t *found,
                      size_t count, uint32_t *out_ranks);
/* The ranks of all messages of the view, in its order; copied. */
void imap_sort_remember(struct imap_view *view, unsigned criterion, const uint32_t *ranks);

#endif
