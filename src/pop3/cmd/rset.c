#include "pop3/engine.h"

POP3_COMMAND(rset)
{
    struct pop3_maildrop *maildrop = &s->maildrop;

    (void)task;
    (void)args;
    for (size_t i = 0; i < maildrop->count; i++) {
        if (maildrop->is_deleted[i])
            maildrop->octets += maildrop->messages[i].octets;
        maildrop->is_deleted[i] = false;
    }
    maildrop->deleted_count = 0;
    pop3_write_ok(s, "No message is marked.");
    return ERR_OK;
}
