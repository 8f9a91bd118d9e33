/*
 * The keys of SEARCH (RFC 3501 §6.4.4 and extensions): a program, parsed here; search_match.h has
 * one message tested by it, search_run.h a folder. The nodes are in the order of the text, each one
 * before its operands, so `next` skips a whole subtree.
 */
#ifndef IMAP_SEARCH_H
#define IMAP_SEARCH_H

#include "imap/facts.h"
#include "imap/parse.h"
#include "imap/regex.h"
#include "imap/set.h"
#include "vault/search.h"

enum {
    IMAP_SEARCH_DEPTH_MAX = 50,
    IMAP_SEARCH_KEYS_MAX = 2000,
    IMAP_SEARCH_REGEXES_MAX = 16,
};

enum imap_search_op {
    IMAP_SEARCH_AND,   /* any number of operands, none is true */
    IMAP_SEARCH_OR,    /* two */
    IMAP_SEARCH_NOT,   /* one */
    IMAP_SEARCH_FUZZY, /* one or more, all to be true; scored by search_score.h (RFC 6203) */
    IMAP_SEARCH_ALL,
    IMAP_SEARCH_FLAG,    /* flag bits, wanted or (is_absent) not */
    IMAP_SEARCH_KEYWORD, /* becomes FLAG when the command begins */
    IMAP_SEARCH_NEW,     /* RECENT UNSEEN */
    IMAP_SEARCH_OLD,
    IMAP_SEARCH_RECENT,
    IMAP_SEARCH_BEFORE, /* internal date */
    IMAP_SEARCH_ON,
    IMAP_SEARCH_SINCE,
    IMAP_SEARCH_SENTBEFORE, /* Date: */
    IMAP_SEARCH_SENTON,
    IMAP_SEARCH_SENTSINCE,
    IMAP_SEARCH_SAVEDBEFORE, /* RFC 8514 §4.3 */
    IMAP_SEARCH_SAVEDON,
    IMAP_SEARCH_SAVEDSINCE,
    IMAP_SEARCH_OLDER, /* RFC 5032 §3; `number` seconds */
    IMAP_SEARCH_YOUNGER,
    IMAP_SEARCH_LARGER,
    IMAP_SEARCH_SMALLER,
    IMAP_SEARCH_SEQUENCE,
    IMAP_SEARCH_UID,
    IMAP_SEARCH_MODSEQ,
    IMAP_SEARCH_EMAILID, /* RFC 8474 §6 */
    IMAP_SEARCH_THREADID,
    IMAP_SEARCH_STRING, /* `field` contains `text` */
    IMAP_SEARCH_HEADER, /* the field `name` contains `text` */
    IMAP_SEARCH_REGEX,  /* `field` matches the regular expression `text` (XREGEX, ours) */
};

struct imap_search_node {
    enum imap_search_op op;
    uint32_t next; /* the node behind this one and its operands */
    bool is_absent;
    uint64_t number; /* flag bits, size, MODSEQ, seconds */
    int64_t day;
    struct imap_set set; /* when the command begins it becomes one of indexes in the folder */
    enum vault_search_field field;
    struct str name;
    struct str text; /* as it came; of a FUZZY, what its operands are the words of */
    /* when the command begins: */
    struct str folded; /* message_fold of `text` */
    struct imap_regex *regex;
    int64_t *content_ids; /* that have the identifier, ascending */
    size_t content_count;
    struct imap_remembered *remembered; /* what the view knows of a text; NULL: nothing is kept */
    bool is_at_hand;                    /* what it compares is in the view's facts, all of it */
    /* From the search index, bits for each index in the folder: only the candidates can match, and
     * (is_exact) all of them do but for the open ones, which may. */
    bool has_candidates, is_exact, has_open;
    uint64_t *candidates, *open;
};

struct imap_search_program {
    struct imap_search_node *nodes; /* nodes[0] is an AND of all keys */
    uint32_t node_count;
    bool is_wrong_charset; /* NO [BADCHARSET] */
    bool has_modseq;
    uint32_t regex_count;
    bool has_fuzzy;
    bool has_identity; /* EMAILID or THREADID */
    bool has_numbers;  /* a key that means nothing outside the selected mailbox: numbers, "$" */
};

/* [CHARSET SP astring SP] search-key *(SP search-key), up to the end. */
MUST_CHECK enum err imap_search_parse(struct imap_parser *parser, struct imap_search_program *out);
/* charset SP search-key *(SP search-key): SORT and THREAD (RFC 5256 §5 search-criteria). */
MUST_CHECK enum err imap_search_parse_with_charset(struct imap_parser *parser,
                                                   struct imap_search_program *out);

#endif
