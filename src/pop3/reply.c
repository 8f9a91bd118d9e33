#include "pop3/reply.h"

static const struct {
    struct str code; /* may be empty */
    struct str words;
} refusals[] = {
#define R(NAME, code, words) {STR_INIT(code), STR_INIT(words)},
    POP3_REFUSALS(R)
#undef R
};

enum pop3_refusal pop3_refusal_for_error(enum err err)
{
    switch (err) {
    case ERR_CORRUPT:
        return POP3_REFUSAL_DAMAGED;
    case ERR_NOT_FOUND:
        return POP3_REFUSAL_MESSAGE_GONE;
    case ERR_OK:
    case ERR_INVALID:
    case ERR_DENIED:
    case ERR_EXISTS:
    case ERR_LIMIT:
    case ERR_BUSY:
    case ERR_IO:
        break;
    }
    return POP3_REFUSAL_TEMPORARY;
}

struct str pop3_refusal_words(enum pop3_refusal refusal)
{
    return refusals[refusal].words;
}

void pop3_write_refusal(struct buf *out, enum pop3_refusal refusal)
{
    buf_put(out, STR("-ERR "));
    if (refusals[refusal].code.len > 0) {
        buf_put(out, STR("["));
        buf_put(out, refusals[refusal].code);
        buf_put(out, STR("] "));
    }
    buf_put(out, refusals[refusal].words);
    buf_put(out, STR("\r\n"));
}
