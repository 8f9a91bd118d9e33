/*
 * One message against a search program, with what is known of it so far. What is not known leaves
 * the answer open; search_run.h then looks at the message again with more of it.
 */
#ifndef IMAP_SEARCH_MATCH_H
#define IMAP_SEARCH_MATCH_H

#include "imap/search.h"
#include "imap/view.h"
#include "message/message.h"

struct imap_session;

/* How much of a message a key has to know, cheapest first. */
enum imap_search_level {
    IMAP_SEARCH_BY_NUMBER, /* its place in the folder; what the view knows, or the index said */
    IMAP_SEARCH_BY_ROW,    /* flags, dates, size, of which the view knows none */
    IMAP_SEARCH_BY_HEADER, /* the header columns that were decoded at arrival */
    IMAP_SEARCH_BY_TEXT,   /* its bytes */
    IMAP_SEARCH_BY_REGEX,  /* the same, and the time that regular expressions take */
};

enum { IMAP_SEARCH_BYTES_PER_UNIT = 1000 /* of text that a key is looked for in: 4 us at worst */ };

enum imap_truth { IMAP_TRUTH_NO, IMAP_TRUTH_YES, IMAP_TRUTH_OPEN };

enum imap_search_sight { IMAP_SEARCH_NOT_SEEN, IMAP_SEARCH_MISSING, IMAP_SEARCH_FOUND };

struct imap_search_candidate {
    struct imap_session *s;
    enum imap_search_level level; /* what follows is there as far as it says */
    const struct imap_view *view;
    uint32_t index; /* in the view */
    int64_t now_ms;
    const struct vault_message *row;
    const struct message_structure *structure;
    struct str raw;
    struct arena *arena;                   /* for what is made of it */
    const struct message_text_maker *text; /* ready, if a key looks into it */
    const struct imap_search_node *nodes;  /* the program's */
    /* What was found out of each node in the turns before; NULL: there were none. */
    enum imap_search_sight *sights;
    bool is_unfinished; /* the turn is over: to be asked again in the next one */
    int64_t regex_us;   /* that are left for this message */
    bool is_too_dear;   /* it was not enough: the answer is worth nothing */
};

/* Where `sights` are there, it may give way before it knows: is_unfinished, and OPEN. */
enum imap_truth imap_search_matches(struct imap_search_candidate *candidate,
                                    const struct imap_search_program *program);
/*
 * The same of the messages with the indexes 64 * word … 64 * word + 63, by their numbers alone: a
 * bit for each. Those beyond the folder mean nothing.
 */
struct imap_search_word {
    uint64_t yes, open;
};
struct imap_search_word imap_search_matches_word(const struct imap_view *view,
                                                 const struct imap_search_program *program,
                                                 size_t word);
/* No message of the folder can match, told without a look at any: a flag that none has. */
bool imap_search_matches_none(const struct imap_view *view,
                              const struct imap_search_program *program);
/* A leaf that is decided by number. */
uint64_t imap_search_leaf_word(const struct imap_view *view, const struct imap_search_node *node,
                               size_t word);
/* Can a leaf be decided only with the message's bytes? */
bool imap_search_needs_content(const struct imap_search_node *node);
/* What a leaf needs, and the vault's columns for it. */
enum imap_search_level imap_search_level_of(const struct imap_search_node *node);
unsigned imap_search_columns_of(const struct imap_search_node *node);
/* A leaf that needs the message's bytes, but that the column of message ids, read with those of the
 * header, can show to be true. */
bool imap_search_has_hint(const struct imap_search_node *node);
/* An AND, an OR or a NOT; everything else is a leaf. */
bool imap_search_is_operator(const struct imap_search_program *program, uint32_t at);
/* Is a field's text only in the message's bytes? */
bool imap_search_is_in_content(enum vault_search_field field);
/* The text that a node looks at, folded; of HEADER, the fields of that name. */
struct str imap_search_text(struct imap_search_candidate *candidate,
                            const struct imap_search_node *node);
/* "Disregarding time and timezone" (RFC 3501 §6.4.4): the day as it was where the date was made. */
int64_t imap_search_internal_day(const struct vault_message *row);
/* message_fold's form. */
struct str imap_search_fold(struct arena *arena, struct str text);

#endif
