/*
 * SEARCH (RFC 3501 §6.4.4): a program of keys, parsed here and evaluated in cmd/search.c. The nodes
 * are in the order of the text, each one before its operands, so `next` skips a whole subtree.
 */
#ifndef IMAP_SEARCH_H
#define IMAP_SEARCH_H

#include "imap/parse.h"
#include "imap/set.h"
#include "vault/search.h"

enum {
    IMAP_SEARCH_DEPTH_MAX = 50,
    IMAP_SEARCH_KEYS_MAX = 2000,
};

enum imap_search_op {
    IMAP_SEARCH_AND, /* any number of operands, none is true */
    IMAP_SEARCH_OR,  /* two */
    IMAP_SEARCH_NOT, /* one */
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
    IMAP_SEARCH_LARGER,
    IMAP_SEARCH_SMALLER,
    IMAP_SEARCH_SEQUENCE,
    IMAP_SEARCH_UID,
    IMAP_SEARCH_MODSEQ,
    IMAP_SEARCH_STRING, /* `field` contains `text` */
    IMAP_SEARCH_HEADER, /* the field `name` contains `text` */
};

struct imap_search_node {
    enum imap_search_op op;
    uint32_t next; /* the node behind this one and its operands */
    bool is_absent;
    uint64_t number; /* flag bits, size, MODSEQ */
    int64_t day;
    struct imap_set set;
    enum vault_search_field field;
    struct str name;
    struct str text;   /* as it came */
    struct str folded; /* message_fold of it; made when the command begins */
    /* from the search index, when the command begins: only these UIDs can match */
    bool has_candidates, is_exact;
    uint32_t *candidates;
    size_t candidate_count;
    uint32_t *open_uids; /* of the candidates, if is_exact: those to be confirmed all the same */
    size_t open_count;
};

struct imap_search_args {
    struct imap_search_node *nodes; /* nodes[0] is an AND of all keys */
    uint32_t node_count;
    bool is_wrong_charset; /* NO [BADCHARSET] */
    bool has_modseq;
    /* progress */
    bool is_started;
    unsigned columns;
    uint32_t *indexes; /* of the view, ascending: those that are worth a look */
    size_t index_count, next;
    uint32_t *found; /* message numbers or UIDs */
    size_t found_count;
    uint64_t found_modseq;
};

/* [CHARSET SP astring SP] search-key *(SP search-key), up to the end. */
MUST_CHECK enum err imap_search_parse(struct imap_parser *parser, struct imap_search_args *out);

#endif
