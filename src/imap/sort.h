/*
 * SORT's order (RFC 5256 §3, RFC 5957): the criteria, and the messages put in order by them, in
 * turns. Text is compared by i;unicode-casemap (RFC 5255 §4.6); equal messages keep the order of
 * the mailbox.
 *
 * First each criterion ranks the messages, by merging or from memory (imap/sort_memory.h); then
 * they are dealt out by the ranks of the last criterion, those again by the last but one, and so
 * on.
 */
#ifndef IMAP_SORT_H
#define IMAP_SORT_H

#include "imap/merge.h"
#include "imap/parse.h"
#include "imap/view.h"
#include "vault/sort.h"

struct imap_session;

enum imap_sort_criterion {
    IMAP_SORT_ARRIVAL,
    IMAP_SORT_CC,
    IMAP_SORT_DATE,
    IMAP_SORT_FROM,
    IMAP_SORT_SIZE,
    IMAP_SORT_SUBJECT,
    IMAP_SORT_TO,
    IMAP_SORT_DISPLAYFROM,
    IMAP_SORT_DISPLAYTO,
    IMAP_SORT_RELEVANCY, /* RFC 6203 §6: the most relevant first */
};
enum { IMAP_SORT_CRITERIA_MAX = 32 };

struct imap_sort_order {
    struct {
        enum imap_sort_criterion criterion;
        bool is_reverse;
    } keys[IMAP_SORT_CRITERIA_MAX];
    size_t count;
};

/* sort-criteria = "(" sort-criterion *(SP sort-criterion) ")" */
MUST_CHECK enum err imap_sort_parse(struct imap_parser *parser, struct imap_sort_order *out);

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
bool imap_sort_has_relevancy(const struct imap_sort_order *order);

/* What one criterion compares of one message: the number, then the text. */
struct imap_sort_value {
    int64_t number; /* of a text, its beginning */
    struct str text;
};

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
