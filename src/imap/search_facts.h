/*
 * What a search program compares, from the view's facts (facts.h): keys of which the facts know all
 * are at hand, decided by number. What they lack is read once, in a sieve of its own.
 */
#ifndef IMAP_SEARCH_FACTS_H
#define IMAP_SEARCH_FACTS_H

#include "imap/search_run.h"

/* Finds what is remembered of the keys that look for text; when they were prepared. */
void imap_search_remember(const struct imap_session *s, struct imap_search_run *run);
/* Remembers what the index said of such a key. */
void imap_search_note_candidates(const struct imap_search_run *run,
                                 const struct imap_search_node *node);
/* Marks the keys that are at hand. */
void imap_search_recall(const struct imap_session *s, struct imap_search_run *run);
/* Whether a key would be at hand, were the facts complete, and completing them costs about as much
 * as reading the rows of what is open. If so, imap_search_read_facts is to be called. */
bool imap_search_lacks_facts(const struct imap_session *s, struct imap_search_run *run);
/* Goes on with reading. *out_is_done: nothing is left, and keys were marked. */
MUST_CHECK enum err imap_search_read_facts(struct imap_session *s, struct task *task,
                                           struct imap_search_run *run, bool *out_is_done);

#endif
