/* ENABLE (RFC 5161; RFC 9051 §6.3.1). */
#include "imap/engine.h"

/* What may be enabled: each is also a row of the capabilities, and only what is announced counts.
 */
static const struct {
    struct str name;
    unsigned extension, implies;
} EXTENSIONS[] = {
    {STR_INIT("CONDSTORE"), IMAP_EXT_CONDSTORE, 0},
    {STR_INIT("QRESYNC"), IMAP_EXT_QRESYNC, IMAP_EXT_CONDSTORE}, /* RFC 7162 §3.2.3 */
    {STR_INIT("UIDONLY"), IMAP_EXT_UIDONLY, 0},                  /* RFC 9586 §3 */
    {STR_INIT("UTF8=ACCEPT"), IMAP_EXT_UTF8, 0},                 /* RFC 6855 §3 */
    {STR_INIT("IMAP4rev2"), IMAP_EXT_REV2, 0},                   /* RFC 9051 §6.3.1 */
    {STR_INIT("METADATA"), IMAP_EXT_METADATA, 0},                /* RFC 5464 §4.4.2 */
};

/* enable = "ENABLE" 1*(SP capability) */
IMAP_PARSE(enable)
{
    struct str name;

    TRY(imap_parse_space(parser));
    do {
        TRY(imap_parse_atom(parser, &name));
        for (size_t i = 0; i < ARRAY_LEN(EXTENSIONS); i++)
            if (str_equal_nocase(name, EXTENSIONS[i].name) &&
                imap_capability_is_known(EXTENSIONS[i].name))
                args->enable.extensions |= EXTENSIONS[i].extension;
    } while (imap_take(parser, ' '));
    return ERR_OK;
}

/* RFC 5161 §3.1: what is not known is passed over; what is on already is not named again. */
IMAP_COMMAND(enable)
{
    unsigned wanted = args->enable.extensions & ~s->enabled;

    (void)task;
    buf_put(&s->out, STR("* ENABLED"));
    for (size_t i = 0; i < ARRAY_LEN(EXTENSIONS); i++) {
        if ((wanted & EXTENSIONS[i].extension) == 0)
            continue;
        buf_put(&s->out, STR(" "));
        buf_put(&s->out, EXTENSIONS[i].name);
        wanted |= EXTENSIONS[i].implies;
    }
    buf_put(&s->out, STR("\r\n"));
    s->enabled |= wanted & ~(unsigned)IMAP_EXT_CONDSTORE;
    if ((wanted & IMAP_EXT_CONDSTORE) != 0)
        imap_enable_condstore(s);
    return ERR_OK;
}
