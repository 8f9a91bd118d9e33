/*
 * Running a search program over one folder, in turns.
 *
 * A combination of keys costs no more than its most selective one (and the work that this one
 * leaves): the folder's messages pass through sieves, each dearer than the one before, and a sieve
 * sees only what the ones before left open. numbers -> rows -> search index -> rows -> header
 * columns -> the messages' own text -> regular expressions. Flags, days and sizes are numbers where
 * the view knows them; where it could know more, that is read behind the numbers (search_facts.h).
 * Where the first rows show that they rule out little, the index comes before them; once so few
 * messages are open that reading them is cheaper, it is not asked.
 */
#ifndef IMAP_SEARCH_RUN_H
#define IMAP_SEARCH_RUN_H

#include "imap/search_match.h"
#include "imap/search_score.h"

struct imap_session;

enum imap_search_sieve {
    IMAP_SIEVE_NUMBERS,
    IMAP_SIEVE_FACTS,
    IMAP_SIEVE_FIRST_ROWS,
    IMAP_SIEVE_INDEX,
    IMAP_SIEVE_ROWS,
    IMAP_SIEVE_HEADERS,
    IMAP_SIEVE_TEXTS,
    IMAP_SIEVE_REGEXES,
    IMAP_SIEVE_SCORES, /* these drop nothing: they find what the answer has to tell */
    IMAP_SIEVE_MODSEQS,
    IMAP_SIEVE_DONE,
};

/* Rows whose facts the view lacks: indexes from `next` on. */
struct imap_search_reading {
    size_t next, end;
    bool has_flags;
    uint64_t modseq;  /* up to which they are right afterwards */
    unsigned columns; /* a set of 1 << enum imap_column */
};

struct imap_search_run {
    /* To be set beforehand; borrowed, and unchanged until it is done. */
    struct imap_search_program *program;
    const struct imap_view *view; /* the folder; \Recent and "$" are what it says */
    bool wants_scores;
    /* The result, when it is done. */
    uint32_t *found; /* indexes in the view, ascending */
    size_t found_count;
    uint64_t *modseqs; /* of each one found; only if the program has a MODSEQ key */
    uint8_t *scores;   /* likewise, if they are wanted */
    /* progress */
    bool is_started, has_begun, has_facts;
    enum imap_search_sieve sieve;
    size_t index_keys; /* that the index was asked for */
    /* As long as they are sifted by number, bits for all indexes: those that match for certain, and
     * those that may. Then the list: `found`, of which these match for certain. */
    uint64_t *decided, *open;
    bool is_listed;
    bool *is_decided;
    size_t next, kept, open_count;
    struct imap_search_reading reading;
    /* the message whose text is looked at; its parts are in the session's message_arena */
    bool has_message, has_text;
    enum imap_search_sight *sights;
    struct imap_search_scoring scoring;
    int64_t regex_us; /* that are left for it */
    struct vault_message row;
    struct message_structure structure;
    char *raw;
    uint64_t raw_len, raw_size;
};

/* Goes on with the search; it is done unless the session was made to give way. */
MUST_CHECK enum err imap_search_run(struct imap_session *s, struct task *task,
                                    struct imap_search_run *run);

#endif
