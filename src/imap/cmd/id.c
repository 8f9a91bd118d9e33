#include "imap/engine.h"

enum { PAIRS_MAX = 30 };

/* id = "ID" SP ("(" [string SP nstring *(SP string SP nstring)] ")" / nil); read, not kept. */
IMAP_PARSE(id)
{
    struct str field, value;
    size_t count = 0;

    (void)args;
    TRY(imap_parse_space(parser));
    if (imap_take_word(parser, STR("NIL")))
        return ERR_OK;
    TRY(imap_parse_byte(parser, '('));
    if (imap_take(parser, ')'))
        return ERR_OK;
    do {
        if (count++ == PAIRS_MAX)
            return imap_expected(parser, "at most 30 fields");
        TRY(imap_parse_string(parser, &field));
        TRY(imap_parse_space(parser));
        TRY(imap_parse_nstring(parser, &value));
    } while (imap_take(parser, ' '));
    return imap_parse_byte(parser, ')');
}

/* RFC 2971. No version: it helps nobody but an attacker. */
IMAP_COMMAND(id)
{
    (void)task;
    (void)args;
    buf_put(&s->out, STR("* ID (\"name\" \"Sealpost\")\r\n"));
    return ERR_OK;
}
