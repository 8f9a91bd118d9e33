/* The items of FETCH that the vault keeps beside a message: RFC 8474, RFC 8514, RFC 8970. */
#include "imap/cmd/fetch.h"
#include "imap/write.h"
#include "vault/identity.h"
#include "vault/preview.h"

enum {
    FACTS_TURN = IMAP_BUDGET + 1, /* a slice of preparing is a turn */
    PREVIEW_UNITS = 500,          /* of one that is made now */
};

enum err imap_fetch_prepare_facts(struct imap_session *s, struct task *task,
                                  const struct imap_fetch_args *fetch, bool *out_done)
{
    *out_done = true;
    if ((fetch->items & (IMAP_FETCH_EMAILID | IMAP_FETCH_THREADID)) == 0)
        return ERR_OK;
    TRY(vault_identity_prepare(s->vault, task, out_done));
    if (!*out_done)
        imap_spend(s, FACTS_TURN);
    return ERR_OK;
}

enum err imap_fetch_read_facts(struct imap_session *s, struct task *task,
                               struct imap_fetch_args *fetch, const struct vault_message *row)
{
    CLEANUP(buf_free) struct buf text = {0};
    struct task reading; /* its own: what is read for one message does not add up */
    enum err err;

    fetch->preview = row->preview;
    fetch->has_preview = row->has_preview;
    if ((fetch->items & IMAP_FETCH_PREVIEW) == 0 || row->has_preview || fetch->is_preview_lazy)
        return ERR_OK;
    task_init(&reading, task->now_ms);
    buf_init(&text, SIZE_MAX);
    err = vault_preview_make(s->vault, &reading, row->content_id, &text);
    if (err != ERR_OK)
        (void)fail(task, err, "%s", reading.words);
    task_done(&reading);
    imap_spend(s, PREVIEW_UNITS);
    TRY(err);
    fetch->preview = arena_copy(&s->message_arena, buf_str(&text));
    fetch->has_preview = true;
    return ERR_OK;
}

static void put_name(struct imap_session *s, bool *is_first, struct str name)
{
    if (!*is_first)
        buf_put(&s->out, STR(" "));
    buf_put(&s->out, name);
    *is_first = false;
}

static void put_identity(struct imap_session *s, enum vault_identity_kind kind, int64_t id)
{
    char text[VAULT_IDENTITY_ROOM];

    vault_identity_write(kind, id, text);
    buf_put(&s->out, STR("("));
    buf_put(&s->out, str_from_c(text));
    buf_put(&s->out, STR(")"));
}

void imap_fetch_write_facts(struct imap_session *s, const struct imap_fetch_args *fetch,
                            const struct vault_message *row, bool *is_first)
{
    /* A message that arrived since the command began may wait for its turn, if others do. */
    if ((fetch->items & IMAP_FETCH_EMAILID) && row->email_id != 0) {
        put_name(s, is_first, STR("EMAILID "));
        put_identity(s, VAULT_IDENTITY_EMAIL, row->email_id);
    }
    if (fetch->items & IMAP_FETCH_THREADID) {
        put_name(s, is_first, STR("THREADID "));
        if (row->thread_id != 0)
            put_identity(s, VAULT_IDENTITY_THREAD, row->thread_id);
        else
            buf_put(&s->out, STR("NIL"));
    }
    if (fetch->items & IMAP_FETCH_SAVEDATE) {
        put_name(s, is_first, STR("SAVEDATE "));
        imap_write_date_time(&s->out, row->save_date_ms, 0);
    }
    if (fetch->items & IMAP_FETCH_PREVIEW) {
        put_name(s, is_first, STR("PREVIEW "));
        if (fetch->has_preview)
            imap_write_string(&s->out, fetch->preview);
        else
            buf_put(&s->out, STR("NIL"));
    }
}
