#include "pop3/engine.h"

/* RFC 2449 §5 */
POP3_COMMAND(capa)
{
    (void)task;
    (void)args;
    pop3_write_ok(s, "Capabilities follow.");
    pop3_write_capabilities(s, &s->out);
    buf_put(&s->out, STR(".\r\n"));
    return ERR_OK;
}
