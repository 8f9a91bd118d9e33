#include "pop3/engine.h"

/* Only marks; QUIT deletes (RFC 1939 §5). */
POP3_COMMAND(dele)
{
    struct pop3_maildrop *maildrop = &s->maildrop;
    size_t index;

    TRY(pop3_maildrop_find(s, task, args->message.number, &index));
    maildrop->is_deleted[index] = true;
    maildrop->deleted_count++;
    maildrop->octets -= maildrop->messages[index].octets;
    pop3_write_ok(s, "Marked.");
    return ERR_OK;
}
