/* How well a message fits FUZZY keys (RFC 6203 §4): 1 to 100. */
#ifndef IMAP_SEARCH_SCORE_H
#define IMAP_SEARCH_SCORE_H

#include "imap/search_match.h"

/* Does a FUZZY key look at the messages' bytes? */
bool imap_search_scores_content(const struct imap_search_program *program);
/*
 * 100 where the text has the key as it stands; else by how many of its words are there, whole words
 * counting for more than parts. The mean of all FUZZY keys. The candidate has its header columns,
 * and its bytes if they are looked at.
 */
struct imap_search_scoring { /* of one message; begin with all zero */
    /* private */
    uint32_t at, end; /* nodes: the next one; behind the words of the key at hand */
    struct str text;  /* that it looks at */
    bool is_whole;
    unsigned total, parts, words, sum, count;
};
/* Goes on with it; true: that was all. The candidate's arena is to stay until then. */
bool imap_search_score(struct imap_search_candidate *candidate,
                       const struct imap_search_program *program,
                       struct imap_search_scoring *scoring);
uint8_t imap_search_score_of(const struct imap_search_scoring *scoring);

#endif
