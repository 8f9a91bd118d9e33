#include "imap/engine.h"

/* login = "LOGIN" SP userid SP password */
IMAP_PARSE(login)
{
    TRY(imap_parse_space(parser));
    TRY(imap_parse_astring(parser, &args->login.username));
    TRY(imap_parse_space(parser));
    return imap_parse_astring(parser, &args->login.password);
}

/* RFC 3501 §6.2.3. The gate asks the keeper (imap_session_login); the mailbox process answers. */
IMAP_COMMAND(login)
{
    (void)args;
    if (!s->options.is_secure)
        return imap_refuse(s, task, IMAP_REFUSAL_PRIVACY);
    s->pause = IMAP_PAUSE_LOGIN;
    return ERR_OK;
}
