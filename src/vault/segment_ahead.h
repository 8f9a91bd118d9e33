/*
 * Inside the vault only: what a word will be looked for in, of many segments, is asked for together
 * (ahead.h), where the scans that follow would wait for the disk in each of them in turn.
 */
#ifndef VAULT_SEGMENT_AHEAD_H
#define VAULT_SEGMENT_AHEAD_H

#include "vault/segment.h"

enum { SEGMENT_AHEAD_MAX = 32 }; /* segments that are asked about together */

struct segment_word {
    const struct str *prefixes; /* of the places; borrowed */
    size_t prefix_count;
    struct str text;
    bool is_beginning; /* also the words that begin with it */
    bool is_part;      /* also those that have it as a part */
};

/* The blocks of terms that may have it, then the postings of the word itself. The cursors' own
 * places are lost. True: something was not in memory. Nothing but time depends on it: what is wrong
 * is for the reading itself to find. */
bool segments_ask_ahead(struct segment_cursor *cursors, size_t cursor_count, struct task *task,
                        const struct segment_word *word);

#endif
