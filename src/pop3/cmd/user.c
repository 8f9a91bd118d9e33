#include "pop3/engine.h"

/* RFC 1939 §7: +OK whether or not there is such a user, so that nobody learns who has a mailbox. */
POP3_COMMAND(user)
{
    if (!s->options.is_secure)
        return pop3_refuse(s, task, POP3_REFUSAL_NO_TLS);
    buf_reset(&s->username);
    buf_put(&s->username, args->line.text);
    pop3_write_ok(s, "Send the password.");
    return ERR_OK;
}
