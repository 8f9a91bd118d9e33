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
    IMAP_SEARCH_BY_NUMBER, /* its place in the folder; what the search index said */
    IMAP_SEARCH_BY_ROW,    /* flags, dates, size */
    IMAP_SEARCH_BY_HEADER, /* the header columns that were decoded at arrival */
    IMAP_SEARCH_BY_TEXT,   /* its bytes */
    IMAP_SEARCH_BY_REGEX,  /* the same, and the time that regular expressions take */
};

enum imap_truth { IMAP_TRUTH_NO, IMAP_TRUTH_YES, IMAP_TRUTH_OPEN };

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
    int64_t regex_us;                      /* that are left for this message */
    bool is_too_dear;                      /* it was not enough: the answer is worth nothing */
};

enum imap_truth imap_search_matches(struct imap_search_candidate *candidate,
                                    const struct imap_search_program *program);
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
/* message_fold's form. */
struct str imap_search_fold(struct arena *arena, struct str text);

#endif
