#include "pop3/engine.h"

/* RFC 1939 §7: whatever the user name was, only the password decides. */
POP3_COMMAND(pass)
{
    if (!s->options.is_secure)
        return pop3_refuse(s, task, POP3_REFUSAL_NO_TLS);
    if (s->username.len == 0)
        return pop3_refuse(s, task, POP3_REFUSAL_NO_USER);
    s->login_username = buf_str(&s->username);
    s->login_password = args->line.text;
    s->pause = POP3_PAUSE_LOGIN;
    return ERR_OK;
}
