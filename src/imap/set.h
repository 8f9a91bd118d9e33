/*
 * Sequence sets (RFC 3501 §9 sequence-set), of message numbers or of UIDs. Kept as ranges, so that
 * 1:4294967295 costs no more than 1.
 */
#ifndef IMAP_SET_H
#define IMAP_SET_H

#include "base/str.h"
#include "base/task.h"

#include <stdbool.h>
#include <stdint.h>

struct imap_range {
    uint32_t first, last; /* inclusive; 0 is "*" until the set is resolved */
};

struct imap_set {
    struct imap_range *ranges; /* in the task's arena */
    size_t count;
    bool has_saved; /* "$" too: the last search result that was saved (RFC 5182); see view.h */
};

/* The whole text, or false. */
bool imap_set_parse(struct task *task, struct str text, struct imap_set *out);
/* Gives "*" its value, puts each range the right way round, sorts and joins. `star` 0: the mailbox
 * is empty, and ranges that reach "*" fall away. */
void imap_set_resolve(struct imap_set *set, uint32_t star);
/* What two resolved sets have in common, in the task's arena. */
void imap_set_intersect(struct task *task, const struct imap_set *a, const struct imap_set *b,
                        struct imap_set *out);
/* A "*" is in it (before it is resolved). */
bool imap_set_has_star(const struct imap_set *set);
/*
 * The part of `count` things that a PARTIAL range wants (RFC 9394 §3.1), as places from 0; `end` is
 * behind the last one. Positions count from 1; both negative: from the end, -1 being the last.
 */
void imap_partial_range(int64_t first, int64_t last, size_t count, size_t *out_start,
                        size_t *out_end);
/* Keeps of a resolved set the numbers at the places start … end - 1. */
void imap_set_slice(struct imap_set *set, size_t start, size_t end);
/* How many numbers a resolved set has. */
size_t imap_set_size(const struct imap_set *set);
/* A resolved set. */
bool imap_set_contains(const struct imap_set *set, uint32_t number);

#endif
