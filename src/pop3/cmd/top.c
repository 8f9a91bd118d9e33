#include "pop3/engine.h"

POP3_COMMAND(top)
{
    return pop3_retrieve(s, task, args, args->message.lines);
}
