#include "imap/engine.h"

/* enable = "ENABLE" 1*(SP capability) */
IMAP_PARSE(enable)
{
    struct str name;

    TRY(imap_parse_space(parser));
    do {
        TRY(imap_parse_atom(parser, &name));
        if (str_equal_nocase(name, STR("CONDSTORE")))
            args->enable.has_condstore = true;
        if (str_equal_nocase(name, STR("METADATA")))
            args->enable.has_metadata = true;
    } while (imap_take(parser, ' '));
    return ERR_OK;
}

/* RFC 5161: what is not known is passed over. */
IMAP_COMMAND(enable)
{
    (void)task;
    buf_put(&s->out, STR("* ENABLED"));
    if (args->enable.has_condstore && !s->is_condstore)
        buf_put(&s->out, STR(" CONDSTORE"));
    if (args->enable.has_metadata && !s->wants_metadata)
        buf_put(&s->out, STR(" METADATA"));
    s->wants_metadata |= args->enable.has_metadata;
    buf_put(&s->out, STR("\r\n"));
    if (args->enable.has_condstore)
        imap_enable_condstore(s);
    return ERR_OK;
}
