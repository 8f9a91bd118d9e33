#include "pop3/engine.h"

POP3_COMMAND(retr)
{
    TRY(pop3_retrieve(s, task, args, POP3_LINES_ALL));
    if (s->pause == POP3_PAUSE_NONE)
        pop3_ahead_note(s, args->message.number);
    return ERR_OK;
}
