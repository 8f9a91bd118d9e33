/*
 * What the client is told when something fails: one table from kinds of errors to answers
 * (response codes: RFC 5530, RFC 9208, RFC 9051). Nothing else of a failure reaches the client.
 */
#ifndef IMAP_REPLY_H
#define IMAP_REPLY_H

#include "base/buf.h"
#include "base/err.h"

struct imap_session;

struct imap_reply {
    struct str status; /* "NO", "BAD" */
    struct str code;   /* may be empty */
    struct str words;
};

/* Answers that are not the outcome of a call. */
enum imap_refusal {
    IMAP_REFUSAL_NONE,
    IMAP_REFUSAL_UNKNOWN_COMMAND,
    IMAP_REFUSAL_WRONG_STATE,
    IMAP_REFUSAL_READ_ONLY,
    IMAP_REFUSAL_PRIVACY,
    IMAP_REFUSAL_LITERAL_TOO_BIG,
    IMAP_REFUSAL_MESSAGE_TOO_BIG,
    IMAP_REFUSAL_MESSAGES_TOO_BIG,
    IMAP_REFUSAL_MESSAGES_TOO_MANY,
    IMAP_REFUSAL_NO_MESSAGE,
    IMAP_REFUSAL_LOGIN_DENIED,
    IMAP_REFUSAL_LOGIN_UNAVAILABLE,
    IMAP_REFUSAL_IMPOSSIBLE_NAME,
    IMAP_REFUSAL_USE,
    IMAP_REFUSAL_UNKNOWN_CTE,
    IMAP_REFUSAL_METADATA_SIZE,
    IMAP_REFUSAL_METADATA_ENTRIES, /* too many asked for in one command */
    IMAP_REFUSAL_CHARSET,
    IMAP_REFUSAL_NOT_SAVED,
    IMAP_REFUSAL_PATTERN,
    IMAP_REFUSAL_PATTERN_TOO_DEAR,
    IMAP_REFUSAL_NO_QUOTA_ROOT,
    IMAP_REFUSAL_QUOTA_FIXED,
    IMAP_REFUSAL_EMPTY_MESSAGE,
    IMAP_REFUSAL_NUL,
    IMAP_REFUSAL_CANCELLED,
    IMAP_REFUSAL_MECHANISM,
    IMAP_REFUSAL_UID_REQUIRED,
    IMAP_REFUSAL_COMPRESSED,
    IMAP_REFUSAL_BAD_EVENT, /* the session's `code` names the events */
    IMAP_REFUSAL_NOTIFY_TOO_MUCH,
    IMAP_REFUSAL_MESSAGE_LIMIT,
    IMAP_REFUSAL_EXPUNGED,
    IMAP_REFUSAL_DOUBTFUL, /* a sync failed: nobody knows what the disk has */
    IMAP_REFUSAL_BUSY,
};

/* The answer to an error, in the light of the command that met it. */
const struct imap_reply *imap_reply_for_error(enum err err, struct str command_name,
                                              unsigned command_flags);
const struct imap_reply *imap_reply_for_refusal(enum imap_refusal refusal);

/* "<tag> NO [CODE] words" and a line end. */
void imap_write_reply(struct buf *out, struct str tag, const struct imap_reply *reply);
/* "<tag> <status> words": words of our own. */
void imap_write_words(struct buf *out, struct str tag, struct str status, const char *words);

#endif
