#include "pop3/engine.h"

POP3_COMMAND(retr)
{
    return pop3_retrieve(s, task, args, POP3_LINES_ALL);
}
