#include "pop3/engine.h"

/* RFC 2595 §4 */
POP3_COMMAND(stls)
{
    (void)args;
    if (s->options.is_tls)
        return pop3_refuse(s, task, POP3_REFUSAL_HAS_TLS);
    pop3_write_ok(s, "Begin TLS negotiation.");
    s->pause = POP3_PAUSE_TLS;
    return ERR_OK;
}
