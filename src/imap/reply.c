#include "imap/reply.h"

#include "base/macros.h"
#include "imap/command.h"

#include <assert.h>

/* The first row that fits wins: those with a command or flags come before the general ones. */
static const struct {
    enum err err;
    struct str command; /* empty: any */
    unsigned flags;     /* any of these; 0: any command */
    struct imap_reply reply;
} ERRORS[] = {
#define ROW(err, command, flags, code, words)                                                      \
    {                                                                                              \
        err, STR_INIT(command), flags,                                                             \
        {                                                                                          \
            STR_INIT("NO"), STR_INIT(code), STR_INIT(words)                                        \
        }                                                                                          \
    }
    ROW(ERR_NOT_FOUND, "", IMAP_TO_FOLDER, "TRYCREATE", "There is no such mailbox."),
    ROW(ERR_NOT_FOUND, "", 0, "NONEXISTENT", "There is no such mailbox."),
    ROW(ERR_EXISTS, "DELETE", 0, "HASCHILDREN", "The mailbox has children."),
    ROW(ERR_EXISTS, "", 0, "ALREADYEXISTS", "There is a mailbox of this name."),
    ROW(ERR_LIMIT, "CREATE", 0, "LIMIT", "There are too many mailboxes."),
    ROW(ERR_LIMIT, "RENAME", 0, "LIMIT", "There are too many mailboxes, or annotations."),
    ROW(ERR_LIMIT, "SUBSCRIBE", 0, "LIMIT", "There are too many subscriptions."),
    ROW(ERR_LIMIT, "STORE", 0, "LIMIT", "No more keywords fit, or no room is left."),
    ROW(ERR_LIMIT, "UID STORE", 0, "LIMIT", "No more keywords fit, or no room is left."),
    ROW(ERR_LIMIT, "SETMETADATA", 0, "METADATA TOOMANY", "There are too many annotations."),
    ROW(ERR_LIMIT, "", 0, "OVERQUOTA", "The mailbox is full."),
    ROW(ERR_INVALID, "", 0, "CANNOT", "This is not possible."),
    ROW(ERR_DENIED, "", 0, "CANNOT", "This is not allowed."),
    ROW(ERR_BUSY, "", 0, "INUSE", "The mailbox is in use, try again."),
    ROW(ERR_IO, "", 0, "UNAVAILABLE", "Temporary failure, try again later."),
    ROW(ERR_CORRUPT, "", 0, "CORRUPTION", "The stored data is damaged; the operator was told."),
#undef ROW
};

static const struct imap_reply REFUSALS[] = {
#define ROW(refusal, status, code, words)                                                          \
    [refusal] = {STR_INIT(status), STR_INIT(code), STR_INIT(words)}
    ROW(IMAP_REFUSAL_NONE, "NO", "", "Failed."),
    ROW(IMAP_REFUSAL_UNKNOWN_COMMAND, "BAD", "", "Unknown command."),
    ROW(IMAP_REFUSAL_WRONG_STATE, "BAD", "", "Not possible in this state."),
    ROW(IMAP_REFUSAL_READ_ONLY, "NO", "", "The mailbox is selected read-only."),
    ROW(IMAP_REFUSAL_PRIVACY, "NO", "PRIVACYREQUIRED", "Start TLS first."),
    ROW(IMAP_REFUSAL_LITERAL_TOO_BIG, "BAD", "TOOBIG", "The literal is too long."),
    ROW(IMAP_REFUSAL_MESSAGE_TOO_BIG, "NO", "TOOBIG", "The message is too large."),
    ROW(IMAP_REFUSAL_MESSAGES_TOO_BIG, "NO", "LIMIT", "The messages are too large together."),
    ROW(IMAP_REFUSAL_MESSAGES_TOO_MANY, "NO", "LIMIT",
        "There are too many messages in one command."),
    ROW(IMAP_REFUSAL_NO_MESSAGE, "NO", "", "There is no such message any more."),
    ROW(IMAP_REFUSAL_LOGIN_DENIED, "NO", "AUTHENTICATIONFAILED", "Authentication failed."),
    ROW(IMAP_REFUSAL_LOGIN_UNAVAILABLE, "NO", "UNAVAILABLE", "Temporary failure, try again later."),
    ROW(IMAP_REFUSAL_IMPOSSIBLE_NAME, "NO", "CANNOT", "No mailbox can have this name."),
    ROW(IMAP_REFUSAL_USE, "NO", "USEATTR", "No mailbox can be made for this use."),
    ROW(IMAP_REFUSAL_METADATA_SIZE, "NO", "METADATA MAXSIZE 32768", "The value is too large."),
    ROW(IMAP_REFUSAL_METADATA_ENTRIES, "NO", "LIMIT", "There are too many entries in one command."),
    ROW(IMAP_REFUSAL_UNKNOWN_CTE, "NO", "UNKNOWN-CTE", "A part has an encoding that nobody knows."),
    ROW(IMAP_REFUSAL_CHARSET, "NO", "BADCHARSET (US-ASCII UTF-8)", "Unknown charset."),
    ROW(IMAP_REFUSAL_NOT_SAVED, "NO", "NOTSAVED", "The result is too scattered to be saved."),
    ROW(IMAP_REFUSAL_PATTERN, "NO", "CANNOT", "This is no regular expression, or too large a one."),
    ROW(IMAP_REFUSAL_PATTERN_TOO_DEAR, "NO", "LIMIT", "The pattern takes too long on a message."),
    ROW(IMAP_REFUSAL_NO_QUOTA_ROOT, "NO", "NONEXISTENT", "There is no such quota root."),
    ROW(IMAP_REFUSAL_QUOTA_FIXED, "NO", "NOPERM", "The quota is the operator's."),
    ROW(IMAP_REFUSAL_EMPTY_MESSAGE, "NO", "CANNOT", "The message is empty."),
    ROW(IMAP_REFUSAL_NUL, "NO", "CANNOT", "NUL bytes come in a literal8 only (RFC 3516)."),
    ROW(IMAP_REFUSAL_CANCELLED, "BAD", "", "Authentication was cancelled."),
    ROW(IMAP_REFUSAL_MECHANISM, "NO", "CANNOT", "This mechanism is not offered."),
    ROW(IMAP_REFUSAL_UID_REQUIRED, "BAD", "UIDREQUIRED", "Message numbers are off (UIDONLY)."),
    ROW(IMAP_REFUSAL_DOUBTFUL, "NO", "UNAVAILABLE",
        "The disk failed: this may have been done all the same, look before you try again."),
    ROW(IMAP_REFUSAL_COMPRESSED, "BAD", "COMPRESSIONACTIVE", "DEFLATE is active already."),
    ROW(IMAP_REFUSAL_BAD_EVENT, "NO", "BADEVENT", "There is no such event."),
    ROW(IMAP_REFUSAL_NOTIFY_TOO_MUCH, "NO", "NOTIFICATIONOVERFLOW", "That is too much to watch."),
    ROW(IMAP_REFUSAL_MESSAGE_LIMIT, "NO", "MESSAGELIMIT", "These are too many messages at once."),
    ROW(IMAP_REFUSAL_EXPUNGED, "NO", "EXPUNGEISSUED",
        "Some of these messages are expunged, and nothing was done with the others."),
    ROW(IMAP_REFUSAL_BUSY, "NO", "UNAVAILABLE", "Busy, try again later."),
#undef ROW
};

/* The table names it. */
static_assert(VAULT_METADATA_VALUE_MAX == 32768, "METADATA MAXSIZE in the refusals");

const struct imap_reply *imap_reply_for_error(enum err err, struct str command_name,
                                              unsigned command_flags)
{
    for (size_t i = 0; i < ARRAY_LEN(ERRORS); i++) {
        if (ERRORS[i].err == err &&
            (ERRORS[i].command.len == 0 || str_equal(ERRORS[i].command, command_name)) &&
            (ERRORS[i].flags == 0 || (ERRORS[i].flags & command_flags) != 0))
            return &ERRORS[i].reply;
    }
    return &REFUSALS[IMAP_REFUSAL_NONE];
}

const struct imap_reply *imap_reply_for_refusal(enum imap_refusal refusal)
{
    return &REFUSALS[refusal];
}

void imap_write_reply(struct buf *out, struct str tag, const struct imap_reply *reply)
{
    buf_put(out, tag);
    buf_put(out, STR(" "));
    buf_put(out, reply->status);
    if (reply->code.len > 0) {
        buf_put(out, STR(" ["));
        buf_put(out, reply->code);
        buf_put(out, STR("]"));
    }
    buf_put(out, STR(" "));
    buf_put(out, reply->words);
    buf_put(out, STR("\r\n"));
}

void imap_write_words(struct buf *out, struct str tag, struct str status, const char *words)
{
    buf_put(out, tag);
    buf_put(out, STR(" "));
    buf_put(out, status);
    buf_put(out, STR(" "));
    buf_put(out, str_from_c(words));
    buf_put(out, STR("\r\n"));
}
