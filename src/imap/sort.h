/*
 * SORT's order (RFC 5256 §3, RFC 5957): the criteria, and the messages put in order by them, in
 * turns. Text is compared by i;unicode-casemap (RFC 5255 §4.6); equal messages keep the order of
 * the mailbox.
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
    const struct imap_view *view;
    uint32_t *found; /* indexes in the view, ascending; in order, when it is done */
    size_t found_count;
    uint64_t *modseqs; /* of each, in the same order; may be NULL */
    uint8_t *scores;   /* likewise; there if RELEVANCY is a criterion */
    /* progress */
    bool is_started, is_loaded;
    struct arena *arena;            /* borrowed from the task */
    struct imap_sort_value *values; /* order->count of each message */
    size_t kept;
    struct imap_sort_source source;
    struct imap_merge merge;
};

/* Goes on with it; it is done unless the session was made to give way. */
MUST_CHECK enum err imap_sort_run(struct imap_session *s, struct task *task,
                                  struct imap_sort *sort);

#endif
