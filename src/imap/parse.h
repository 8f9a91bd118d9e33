/*
 * The lexical grammar of IMAP (RFC 3501 §9) over one whole command, literals in place. Each
 * function takes what it reads off the front; on failure it records what was expected in the task,
 * in words that hold no byte of the peer's, and gives ERR_INVALID.
 */
#ifndef IMAP_PARSE_H
#define IMAP_PARSE_H

#include "base/str.h"
#include "base/task.h"
#include "imap/set.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    IMAP_LIST_ITEMS_MAX = 10000, /* in any parenthesised list */
    IMAP_MAILBOX_NAME_MAX = 4096 /* encoded */
};

struct imap_parser {
    struct str rest;         /* borrowed: the command */
    struct task *task;       /* borrowed; results are in its arena or in the command */
    bool is_utf8;            /* mailbox names come in UTF-8, not in modified UTF-7 */
    bool is_charset_fixed;   /* strings are UTF-8, and SEARCH names no charset (RFC 6855 §3) */
    struct str name_as_sent; /* the last mailbox name, if it was not in its normal form */
    bool is_name_impossible; /* it failed at a mailbox name that cannot exist: NO, not BAD */
};

/* ATOM-CHAR and ASTRING-CHAR (RFC 3501 §9). */
bool imap_is_atom_char(char c);
bool imap_is_astring_char(char c);

/* Records "expected <what>" and gives ERR_INVALID. */
enum err imap_expected(struct imap_parser *parser, const char *what);

/* Looks without taking. */
bool imap_at(const struct imap_parser *parser, char c);
bool imap_at_end(const struct imap_parser *parser);
/* Takes the byte if it is there. */
bool imap_take(struct imap_parser *parser, char c);
/* Takes the word, compared without case, if it is there and no atom character follows. */
bool imap_take_word(struct imap_parser *parser, struct str word);

MUST_CHECK enum err imap_parse_byte(struct imap_parser *parser, char c);
MUST_CHECK enum err imap_parse_space(struct imap_parser *parser);
MUST_CHECK enum err imap_parse_end(struct imap_parser *parser);
MUST_CHECK enum err imap_parse_tag(struct imap_parser *parser, struct str *out);
MUST_CHECK enum err imap_parse_atom(struct imap_parser *parser, struct str *out);
/* string = quoted / literal */
MUST_CHECK enum err imap_parse_string(struct imap_parser *parser, struct str *out);
MUST_CHECK enum err imap_parse_literal(struct imap_parser *parser, struct str *out);
/* literal8 = "~{" number ["+"] "}" CRLF *OCTET (RFC 3516 §7) */
MUST_CHECK enum err imap_parse_literal8(struct imap_parser *parser, struct str *out);
/* astring = 1*ASTRING-CHAR / string */
MUST_CHECK enum err imap_parse_astring(struct imap_parser *parser, struct str *out);
/* nstring; NIL gives {NULL, 0} */
MUST_CHECK enum err imap_parse_nstring(struct imap_parser *parser, struct str *out);
MUST_CHECK enum err imap_parse_number(struct imap_parser *parser, uint32_t *out);
MUST_CHECK enum err imap_parse_number64(struct imap_parser *parser, uint64_t *out);
/* mod-sequence-value, which is not 0 (RFC 7162 §7); mod-sequence-valzer is a number64. */
MUST_CHECK enum err imap_parse_modseq(struct imap_parser *parser, uint64_t *out);
/* A mailbox name in UTF-8; INBOX in any case becomes INBOX, also as the first level. */
MUST_CHECK enum err imap_parse_mailbox(struct imap_parser *parser, struct str *out);
/* list-mailbox = 1*list-char / string */
MUST_CHECK enum err imap_parse_list_mailbox(struct imap_parser *parser, struct str *out);
MUST_CHECK enum err imap_parse_set(struct imap_parser *parser, struct imap_set *out);
/* partial-range = nz-number ":" nz-number / MINUS nz-number ":" MINUS nz-number (RFC 9394 §4) */
MUST_CHECK enum err imap_parse_partial(struct imap_parser *parser, int64_t *out_first,
                                       int64_t *out_last);
/* date = [DQUOTE] d-Mon-yyyy [DQUOTE], as days since 1970 */
MUST_CHECK enum err imap_parse_date(struct imap_parser *parser, int64_t *out_day);
/* date-time, quoted */
MUST_CHECK enum err imap_parse_date_time(struct imap_parser *parser, int64_t *out_ms,
                                         int16_t *out_zone_minutes);

#endif
