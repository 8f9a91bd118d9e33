/*
 * What the client is told when something fails: one table from kinds of errors to answers (response
 * codes: RFC 2449 §8, RFC 3206). Nothing else of a failure reaches the client.
 */
#ifndef POP3_REPLY_H
#define POP3_REPLY_H

#include "base/buf.h"
#include "base/err.h"

/* R(NAME, code, words) */
#define POP3_REFUSALS(R)                                                                           \
    R(NONE, "", "Failed.")                                                                         \
    R(UNKNOWN_COMMAND, "", "Unknown command.")                                                     \
    R(WRONG_STATE, "", "Not possible in this state.")                                              \
    R(SYNTAX, "", "Syntax error.")                                                                 \
    R(LINE_TOO_LONG, "", "The line is too long.")                                                  \
    R(TOO_MANY_BAD, "", "Too many bad commands.")                                                  \
    R(NO_MESSAGE, "", "There is no such message.")                                                 \
    R(MESSAGE_DELETED, "", "The message is deleted.")                                              \
    R(MESSAGE_GONE, "", "The message is gone: another program deleted it.")                        \
    R(NO_TLS, "", "Start TLS first.")                                                              \
    R(HAS_TLS, "", "TLS is on already.")                                                           \
    R(NO_USER, "", "Give the user name first.")                                                    \
    R(CANCELLED, "", "Authentication was cancelled.")                                              \
    R(NOT_BASE64, "", "That is not base64.")                                                       \
    R(NOT_PLAIN, "", "That is not a PLAIN message.")                                               \
    R(MECHANISM, "", "This mechanism is not offered.")                                             \
    R(LOGIN_DENIED, "AUTH", "Authentication failed.")                                              \
    R(NOT_DELETED, "SYS/TEMP", "Nothing was deleted, try again later.")                            \
    R(TEMPORARY, "SYS/TEMP", "Temporary failure, try again later.")                                \
    R(DAMAGED, "SYS/PERM", "The stored data is damaged; the operator was told.")

enum pop3_refusal {
#define R(NAME, code, words) POP3_REFUSAL_##NAME,
    POP3_REFUSALS(R)
#undef R
        POP3_REFUSAL_COUNT
};

/* The answer to an error that is not a refusal of ours. */
enum pop3_refusal pop3_refusal_for_error(enum err err);
/* The words alone, for the tests' coverage. */
struct str pop3_refusal_words(enum pop3_refusal refusal);

/* "-ERR [CODE] words" and a line end. */
void pop3_write_refusal(struct buf *out, enum pop3_refusal refusal);

#endif
