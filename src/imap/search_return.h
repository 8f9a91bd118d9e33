/*
 * What a search is asked to return, and its answer: SEARCH (RFC 3501 §7.2.5, RFC 7162 §3.1.5) or
 * ESEARCH (RFC 4731), with PARTIAL (RFC 9394) and what SAVE keeps (RFC 5182). Also for SORT, whose
 * order is then that of the answer (RFC 5267 §3).
 */
#ifndef IMAP_SEARCH_RETURN_H
#define IMAP_SEARCH_RETURN_H

#include "imap/parse.h"

struct imap_session;
struct imap_view;

enum imap_search_return_option { /* a set */
                                 IMAP_RETURN_MIN = 1 << 0,
                                 IMAP_RETURN_MAX = 1 << 1,
                                 IMAP_RETURN_ALL = 1 << 2,
                                 IMAP_RETURN_COUNT = 1 << 3,
                                 IMAP_RETURN_PARTIAL = 1 << 4,
                                 IMAP_RETURN_SAVE = 1 << 5,
                                 IMAP_RETURN_RELEVANCY = 1 << 6, /* RFC 6203 §4 */
};

struct imap_search_return {
    bool is_extended; /* RETURN was there: the answer is ESEARCH */
    unsigned options;
    /* PARTIAL: positions in the result, from 1; both negative: from its end. As they came. */
    int64_t first, last;
};

/* SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")", if it is there. */
MUST_CHECK enum err imap_search_return_parse(struct imap_parser *parser,
                                             struct imap_search_return *out);

/* A result: indexes in the view, in the order of the answer. */
struct imap_search_result {
    bool is_search; /* not SORT: in IMAP4rev2 its answer is always ESEARCH (RFC 9051 §6.4.4) */
    const struct imap_view *view;
    const uint32_t *found;
    size_t count;
    const uint64_t *modseqs; /* of each; NULL: not to be told */
    const uint8_t *scores;   /* of each, for RELEVANCY */
    struct str mailbox;      /* empty: the selected one, of which nothing is told */
    uint32_t uidvalidity; /* of that mailbox as it is now: the view's may be of its former name */
};

/* The one line that answers a search: ESEARCH if RETURN was given or IMAP4rev2 is enabled. */
void imap_search_write_result(struct imap_session *s, const struct imap_search_return *wanted,
                              const struct imap_search_result *result);
/* SAVE, where it was asked for: "$" becomes what the options say. A failure is NOTSAVED. */
MUST_CHECK enum err imap_search_save(struct imap_session *s, struct task *task,
                                     const struct imap_search_return *wanted,
                                     const struct imap_search_result *result);

#endif
