/*
 * SORT's criteria (RFC 5256 §3, RFC 5957): how they are written, and what each compares of a
 * message. Text is compared by i;unicode-casemap (RFC 5255 §4.6).
 */
#ifndef IMAP_SORT_CRITERIA_H
#define IMAP_SORT_CRITERIA_H

#include "imap/parse.h"
#include "vault/sort.h"

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
bool imap_sort_has_relevancy(const struct imap_sort_order *order);

/* What one criterion compares of one message: the number, then the text. */
struct imap_sort_value {
    int64_t number; /* of a text, its beginning */
    struct str text;
};

/* Which of a message's keys the criterion compares (enum vault_sort_field); RELEVANCY, which is the
 * search's, none. */
unsigned imap_sort_field(enum imap_sort_criterion criterion);
/* The text is the key's, borrowed. */
struct imap_sort_value imap_sort_value_of(enum imap_sort_criterion criterion,
                                          const struct vault_sort_key *key);
int imap_sort_compare(const struct imap_sort_value *a, const struct imap_sort_value *b);

#endif
