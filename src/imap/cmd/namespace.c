#include "imap/engine.h"

/* RFC 2342: one personal namespace. */
IMAP_COMMAND(namespace)
{
    (void)task;
    (void)args;
    buf_put(&s->out, STR("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"));
    return ERR_OK;
}
