#include "imap/engine.h"

/* compress = "COMPRESS" SP "DEFLATE" (RFC 4978 §5) */
IMAP_PARSE(compress)
{
    (void)args;
    TRY(imap_parse_space(parser));
    return imap_take_word(parser, STR("DEFLATE")) ? ERR_OK : imap_expected(parser, "DEFLATE");
}

/*
 * RFC 4978 §3: the tagged answer is the last that goes uncompressed, and what the client sends
 * behind the command is compressed. Who carries the bytes does both (imap_session_compressed).
 */
IMAP_COMMAND(compress)
{
    (void)args;
    if (s->is_compressed)
        return imap_refuse(s, task, IMAP_REFUSAL_COMPRESSED);
    s->is_compressed = true;
    imap_write_words(&s->out, s->tag, STR("OK"), IMAP_COMPRESSING);
    s->pause = IMAP_PAUSE_COMPRESS;
    return ERR_OK;
}
