/* LIST and UIDL: a line for one message, or a line for each (RFC 1939 §5, §7). */
#include "pop3/engine.h"

typedef void write_entry(struct pop3_session *s, size_t index);

static void write_octets(struct pop3_session *s, size_t index)
{
    buf_putf(&s->out, "%zu %llu\r\n", index + 1,
             (unsigned long long)s->maildrop.messages[index].octets);
}

static void write_uidl(struct pop3_session *s, size_t index)
{
    const struct vault_maildrop_message *message = &s->maildrop.messages[index];
    char own[VAULT_OWN_UIDL_LEN + 1];

    vault_uidl_own(s->maildrop.uidvalidity, message->uid, own);
    buf_putf(&s->out, "%zu %s\r\n", index + 1,
             message->given_uidl == NULL ? own : message->given_uidl);
}

static enum err list(struct pop3_session *s, struct task *task, union pop3_args *args,
                     write_entry *write)
{
    const struct pop3_maildrop *maildrop = &s->maildrop;
    size_t index;

    if (args->list.has_number) {
        TRY(pop3_maildrop_find(s, task, args->list.number, &index));
        buf_put(&s->out, STR("+OK "));
        write(s, index);
        return ERR_OK;
    }
    if (!args->list.has_begun) {
        buf_putf(&s->out, "+OK %zu messages\r\n", maildrop->count - maildrop->deleted_count);
        args->list.has_begun = true;
        s->is_answered = true;
    }
    for (; args->list.next < maildrop->count; args->list.next++) {
        if (pop3_must_give_way(s)) {
            pop3_give_way(s);
            return ERR_OK;
        }
        pop3_spend(s, 1);
        if (!maildrop->is_deleted[args->list.next])
            write(s, args->list.next);
    }
    buf_put(&s->out, STR(".\r\n"));
    return ERR_OK;
}

POP3_COMMAND(list)
{
    return list(s, task, args, write_octets);
}

POP3_COMMAND(uidl)
{
    return list(s, task, args, write_uidl);
}
