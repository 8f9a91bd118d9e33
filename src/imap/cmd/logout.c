#include "imap/engine.h"

/* RFC 3501 §6.1.3 */
IMAP_COMMAND(logout)
{
    (void)task;
    (void)args;
    imap_session_bye(s, "Logging out.");
    return ERR_OK;
}
