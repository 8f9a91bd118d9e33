#include "pop3/engine.h"

POP3_COMMAND(noop)
{
    (void)task;
    (void)args;
    pop3_write_ok(s, "Nothing done.");
    return ERR_OK;
}
