#include "pop3/engine.h"

POP3_COMMAND(stat)
{
    const struct pop3_maildrop *maildrop = &s->maildrop;

    (void)task;
    (void)args;
    buf_putf(&s->out, "+OK %zu %llu\r\n", maildrop->count - maildrop->deleted_count,
             (unsigned long long)maildrop->octets);
    return ERR_OK;
}
