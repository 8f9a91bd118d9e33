#include "smtp/server/reply.h"

#include "base/ascii.h"
#include "base/macros.h"

enum { WORDS_MAX = 400 }; /* RFC 5321 §4.5.3.1.5: a line of 512 */

static const struct {
    unsigned code;
    const char *enhanced, *words;
} replies[] = {
#define R(NAME, number, enhanced_code, text) {number, enhanced_code, text},
    SMTP_REPLIES(R)
#undef R
};

void smtp_reply_write(struct buf *out, enum smtp_reply reply)
{
    buf_putf(out, "%u %s%s%s\r\n", replies[reply].code, replies[reply].enhanced,
             replies[reply].enhanced[0] == '\0' ? "" : " ", replies[reply].words);
}

/* class "." subject "." detail at the front of `words`, with the class that the code has. */
static bool has_enhanced(struct str words, char class)
{
    size_t dots = 0;

    if (words.len < 2 || words.ptr[0] != class || words.ptr[1] != '.')
        return false;
    for (size_t i = 1; i < words.len; i++) {
        if (words.ptr[i] == '.')
            dots++;
        else if (words.ptr[i] == ' ')
            return dots == 2;
        else if (!ascii_is_digit(words.ptr[i]))
            return false;
    }
    return false;
}

void smtp_reply_write_as(struct buf *out, enum smtp_reply reply, uint64_t code, struct str words)
{
    char class;

    if (words.len == 0)
        words = str_from_c(replies[reply].words);
    if (code < 400 || code > 599)
        code = replies[reply].code;
    class = (char)('0' + code / 100);
    buf_putf(out, "%u ", (unsigned)code);
    if (!has_enhanced(words, class))
        buf_putf(out, "%c%s ", class, replies[reply].enhanced + 1);
    for (size_t i = 0; i < words.len && i < WORDS_MAX; i++) {
        char c = words.ptr[i];

        buf_put(out, ascii_is_control(c) || ascii_is_8bit(c) ? STR("?") : str_make(&c, 1));
    }
    buf_put(out, STR("\r\n"));
}

void smtp_reply_put_words(struct buf *out, enum smtp_reply reply)
{
    buf_put(out, str_from_c(replies[reply].words));
}

unsigned smtp_reply_code(enum smtp_reply reply)
{
    return replies[reply].code;
}

#define REPLY(NAME) SMTP_REPLY_##NAME

/* A row is a status, a column a question in the order of the enumeration. */
static const enum smtp_reply answers[][SMTP_QUESTION_COUNT] = {
    [WIRE_OK] = {REPLY(LOGGED_IN), REPLY(SENDER_OK), REPLY(OK), REPLY(RECIPIENT_OK),
                 REPLY(RECIPIENT_OK), REPLY(OK)},
    [WIRE_DENIED] = {REPLY(LOGIN_DENIED), REPLY(SENDER_NOT_OWN), REPLY(AUTHOR_NOT_OWN),
                     REPLY(NOT_ALLOWED), REPLY(NOT_ALLOWED), REPLY(NOT_ALLOWED)},
    /* Nobody learns by the words that he is being throttled. */
    [WIRE_THROTTLED] = {REPLY(LOGIN_DENIED), REPLY(LATER), REPLY(LATER), REPLY(LATER),
                        REPLY(LATER), REPLY(LATER)},
    [WIRE_UNKNOWN] = {REPLY(LOGIN_DENIED), REPLY(SENDER_NOT_OWN), REPLY(AUTHOR_NOT_OWN),
                      REPLY(UNKNOWN_RECIPIENT), REPLY(UNKNOWN_RECIPIENT),
                      REPLY(UNKNOWN_RECIPIENT)},
    /* A sender's: the login's password opens nothing any more. */
    [WIRE_DISABLED] = {REPLY(LOGIN_DENIED), REPLY(LOGIN_DENIED), REPLY(LOGIN_DENIED),
                       REPLY(RECIPIENT_DISABLED), REPLY(RECIPIENT_DISABLED),
                       REPLY(RECIPIENT_DISABLED)},
    [WIRE_OVER_QUOTA] = {REPLY(LOGIN_UNAVAILABLE), REPLY(UNAVAILABLE), REPLY(UNAVAILABLE),
                         REPLY(OVER_QUOTA), REPLY(OVER_QUOTA), REPLY(OVER_QUOTA)},
    [WIRE_DISK_FULL] = {REPLY(LOGIN_UNAVAILABLE), REPLY(NO_ROOM), REPLY(NO_ROOM), REPLY(NO_ROOM),
                        REPLY(NO_ROOM), REPLY(NO_ROOM)},
    [WIRE_UNAVAILABLE] = {REPLY(LOGIN_UNAVAILABLE), REPLY(UNAVAILABLE), REPLY(UNAVAILABLE),
                          REPLY(UNAVAILABLE), REPLY(UNAVAILABLE), REPLY(UNAVAILABLE)},
    /* An operator must look; the sender keeps the mail meanwhile. */
    [WIRE_DAMAGED] = {REPLY(LOGIN_UNAVAILABLE), REPLY(UNAVAILABLE), REPLY(UNAVAILABLE),
                      REPLY(UNAVAILABLE), REPLY(UNAVAILABLE), REPLY(UNAVAILABLE)},
    [WIRE_INVALID] = {REPLY(LOGIN_DENIED), REPLY(BAD_SENDER), REPLY(BAD_AUTHOR),
                      REPLY(BAD_RECIPIENT), REPLY(BAD_RECIPIENT), REPLY(UNAVAILABLE)},
    [WIRE_EXISTS] = {REPLY(LOGIN_UNAVAILABLE), REPLY(UNAVAILABLE), REPLY(UNAVAILABLE),
                     REPLY(UNAVAILABLE), REPLY(UNAVAILABLE), REPLY(UNAVAILABLE)},
    [WIRE_NOT_LOCAL] = {REPLY(LOGIN_DENIED), REPLY(SENDER_NOT_OWN), REPLY(AUTHOR_NOT_OWN),
                        REPLY(RELAYING), REPLY(RECIPIENT_OK), REPLY(UNKNOWN_RECIPIENT)},
    [WIRE_REFUSED] = {REPLY(LOGIN_DENIED), REPLY(REFUSED), REPLY(REFUSED), REPLY(REFUSED),
                      REPLY(REFUSED), REPLY(REFUSED)},
    [WIRE_DEFERRED] = {REPLY(LOGIN_UNAVAILABLE), REPLY(DEFERRED), REPLY(DEFERRED),
                       REPLY(DEFERRED), REPLY(DEFERRED), REPLY(DEFERRED)},
};

enum smtp_reply smtp_reply_to(enum smtp_question question, enum wire_status status)
{
    if ((size_t)status >= ARRAY_LEN(answers))
        return smtp_reply_to(question, WIRE_UNAVAILABLE);
    return answers[status][question];
}
