/*
 * What an IMAP server says, for a client: one response at a time, its literals included (RFC 9051 §7).
 * Without I/O. A server is believed as little as a client: everything is bounded, nothing recurses.
 */
#ifndef IMAP_CLIENT_RESPONSE_H
#define IMAP_CLIENT_RESPONSE_H

#include "base/task.h"

#include <stdbool.h>

enum {
    IMAP_RESPONSE_TOKENS_MAX = 200000,
    IMAP_RESPONSE_LINE_MAX = 4 * 1024 * 1024, /* without literals: SEARCH answers with long ones */
};

/* Where a response ends, found without looking at any byte twice, however it comes. */
struct imap_response_scanner {
    size_t at;         /* of the bytes, looked at */
    size_t line_start; /* of the line under way */
    size_t line_bytes; /* outside of literals */
};
/*
 * `bytes` begin with the response under way and only ever get longer; out_len 0: it is not whole yet.
 * Start again from a zeroed scanner behind each. ERR_LIMIT: longer than `limit_bytes`, or a line is.
 */
MUST_CHECK enum err imap_response_scan(struct imap_response_scanner *scanner, struct task *task,
                                       struct str bytes, size_t limit_bytes, size_t *out_len);

enum imap_token_kind {
    IMAP_TOKEN_ATOM, /* also numbers and flags; "BODY[]" as a whole */
    IMAP_TOKEN_STRING,
    IMAP_TOKEN_OPEN,
    IMAP_TOKEN_CLOSE,
};
struct imap_token {
    enum imap_token_kind kind;
    struct str text; /* of a quoted string without its escapes; in the response or the arena */
};

struct imap_response {
    struct str tag; /* "*", "+", or the command's */
    struct imap_token *tokens;
    size_t count;
    struct str text; /* all behind the tag, without the line's end */
};
/* A whole one. ERR_INVALID. */
MUST_CHECK enum err imap_response_parse(struct task *task, struct str bytes,
                                        struct imap_response *out);

/* Is the token at `index` this atom? Case does not matter. */
bool imap_response_is(const struct imap_response *response, size_t index, struct str atom);
/* "[UIDVALIDITY 7]" in a status response's text: the number behind this word. */
bool imap_response_code(const struct imap_response *response, struct str word, uint32_t *out);

#endif
