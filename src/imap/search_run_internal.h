/*
 * What the files that run a search share: search_run.c takes the messages from sieve to sieve and
 * looks at them one by one, search_bits.c has the sieves that go by number, search_prepare.c what
 * comes before the first message.
 */
#ifndef IMAP_SEARCH_RUN_INTERNAL_H
#define IMAP_SEARCH_RUN_INTERNAL_H

#include "imap/search_run.h"

enum { IMAP_SEARCH_NODES_PER_UNIT = 16 }; /* imap_spend: tested with what is at hand */

/* --- search_run.c --- */

/* The next message of the list goes on, or not. */
void imap_search_put(struct imap_search_run *run, enum imap_truth truth);

/* --- search_prepare.c --- */

/* Resolves keywords, sets and identifiers, folds texts, compiles patterns. ERR_INVALID, or as
 * imap_refuse has it: the client hears of it. */
MUST_CHECK enum err imap_search_prepare(struct imap_session *s, struct task *task,
                                        const struct imap_search_run *run);

/* --- search_bits.c --- */

/* Nothing is known of any message. */
void imap_search_open_all(struct task *task, struct imap_search_run *run);
/* How many bits are open still; before there is a list. */
size_t imap_search_count_open(const struct imap_search_run *run);
/* From here on the messages are looked at one by one: those that match, and those that may. */
void imap_search_make_list(struct task *task, struct imap_search_run *run);
/* A turn of numbers, from run->next on, of bits or of the list. */
void imap_search_sift_numbers(struct imap_session *s, struct imap_search_run *run);
/* What the view's facts lack is read, then the numbers are looked at once more. */
MUST_CHECK enum err imap_search_sift_facts(struct imap_session *s, struct task *task,
                                           struct imap_search_run *run);
/* The key to ask the index for next; NULL: none is left, or there is no room for what it says. */
struct imap_search_node *imap_search_next_index_key(const struct imap_search_run *run);
/* Of so many open messages, or fewer, the index is not asked: they are read. */
size_t imap_search_direct_max(const struct imap_search_run *run);
/* Which of the open messages may have it, in the node; sifting by number follows. */
MUST_CHECK enum err imap_search_ask_index(struct imap_session *s, struct task *task,
                                          struct imap_search_run *run, struct imap_search_node *node);

#endif
