/*
 * SORT's order (RFC 5256 §3, RFC 5957): messages put in order by its criteria (imap/sort_criteria.h),
 * in turns. Equal messages keep the order of the mailbox.
 *
 * First each criterion ranks the messages, by merging or from memory (imap/sort_memory.h), to which
 * those that came since are added (imap/sort_extend.h); then they are dealt out by the ranks of the
 * last criterion, those again by the last but one, and so on.
 */
#ifndef IMAP_SORT_H
#define IMAP_SORT_H

#include "imap/merge.h"
#include "imap/sort_criteria.h"
#include "imap/view.h"

struct imap_session;

/*
 * Reads the keys of messages in turns. on_key gets those that are still there, with their place in
 * `found`; the key's texts hold until it returns.
 */
struct imap_sort_source {
    const struct imap_view *view;
    const uint32_t *found; /* indexes in the view, ascending */
    size_t count, next;    /* done when `next` is `count` */
    unsigned fields;       /* enum vault_sort_field */
    /* Gives what it spends beyond the reading (imap_spend). */
    uint64_t (*on_key)(void *owner, size_t at, const struct vault_sort_key *key);
    void *owner;
};
MUST_CHECK enum err imap_sort_load(struct imap_session *s, struct task *task,
                                   struct imap_sort_source *source);

struct imap_sort {
    /* To be set beforehand; borrowed. What is gone meanwhile leaves `found`. */
    const struct imap_sort_order *order;
    struct imap_view *view;
    uint32_t *found; /* indexes in the view, ascending; in order, when it is done */
    size_t found_count;
    uint64_t *modseqs; /* of each, in the same order; may be NULL */
    uint8_t *scores;   /* likewise; there if RELEVANCY is a criterion */
    /* progress; all in the task's arena */
    enum imap_sort_phase {
        IMAP_SORT_BEGINNING,
        IMAP_SORT_LOADING,
        IMAP_SORT_MERGING, /* by one criterion */
        IMAP_SORT_RANKING,
        IMAP_SORT_COUNTING, /* the ranks of one criterion, */
        IMAP_SORT_SUMMING,  /* where the messages of each begin, */
        IMAP_SORT_DEALING,  /* and each message to its place */
        IMAP_SORT_DONE,
    } phase;
    struct arena *arena; /* borrowed from the task */
    struct imap_sort_source source;
    size_t kept;
    struct {
        struct imap_sort_value *values; /* NULL: the ranks were remembered */
        uint32_t *ranks;
    } keys[IMAP_SORT_CRITERIA_MAX]; /* as in `order`; of the messages, in the order of the mailbox
                                     */
    struct imap_merge merge;
    size_t at_key, at;
    uint32_t rank, rank_end; /* all ranks, made or recalled, are below it */
    uint32_t *items, *dealt; /* the messages in their order so far; being made */
    uint32_t *places;        /* of each rank */
};

/* Goes on with it; it is done unless the session was made to give way. */
MUST_CHECK enum err imap_sort_run(struct imap_session *s, struct task *task,
                                  struct imap_sort *sort);

#endif
