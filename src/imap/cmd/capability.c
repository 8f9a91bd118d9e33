#include "imap/engine.h"

/* RFC 3501 §6.1.1 */
IMAP_COMMAND(capability)
{
    (void)task;
    (void)args;
    buf_put(&s->out, STR("* "));
    imap_write_capabilities(s, &s->out);
    buf_put(&s->out, STR("\r\n"));
    return ERR_OK;
}
