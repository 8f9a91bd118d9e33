#include "imap/engine.h"

enum { PAIRS_MAX = 30 };

/* What iOS says of the connections over which it loads everything again, with no one waiting. */
struct bulk_signs {
    bool is_apple, is_bulk;
};

static void look_for_bulk(struct str field, struct str value, struct bulk_signs *signs)
{
    if (str_equal_nocase(field, STR("name")))
        signs->is_apple = str_starts_with(value, STR("com.apple."));
    else if (str_equal_nocase(field, STR("event")))
        signs->is_bulk =
            str_equal_nocase(value, STR("back-fill")) || str_equal_nocase(value, STR("indexer"));
}

/* id = "ID" SP ("(" [string SP nstring *(SP string SP nstring)] ")" / nil); nothing else is kept.
 */
IMAP_PARSE(id)
{
    struct bulk_signs signs = {0};
    struct str field, value;
    size_t count = 0;

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
        look_for_bulk(field, value, &signs);
    } while (imap_take(parser, ' '));
    args->id.is_bulk = signs.is_apple && signs.is_bulk;
    return imap_parse_byte(parser, ')');
}

/* RFC 2971. No version: it helps nobody but an attacker. */
IMAP_COMMAND(id)
{
    (void)task;
    s->is_bulk = args->id.is_bulk;
    buf_put(&s->out, STR("* ID (\"name\" \"Sealpost\")\r\n"));
    return ERR_OK;
}
