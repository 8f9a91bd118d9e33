#include "pop3/engine.h"

/* RFC 6856 §2.1: before login only; saying it again changes nothing. */
POP3_COMMAND(utf8)
{
    (void)task;
    (void)args;
    s->options.is_utf8 = true;
    pop3_write_ok(s, "UTF-8 mode is on.");
    return ERR_OK;
}
