/* THREAD and UID THREAD (RFC 5256 §3): a search, put in threads. */
#include "imap/engine.h"

#include "imap/write.h"

enum {
    STEPS = 20000, /* of the algorithm at once */
    STEPS_PER_UNIT = 30,
    WRITE_BYTES = 32 * 1024,
    WRITE_BYTES_PER_UNIT = 100,
};

/* thread = "THREAD" SP thread-alg SP search-criteria */
IMAP_PARSE(thread)
{
    TRY(imap_parse_space(parser));
    TRY(imap_thread_parse(parser, &args->thread.algorithm));
    TRY(imap_parse_space(parser));
    return imap_search_parse_with_charset(parser, &args->thread.search.program);
}

static uint64_t on_key(void *owner, size_t at, const struct vault_sort_key *key)
{
    struct imap_thread_args *args = owner;
    struct imap_thread_message message = {
        .sent_ms = key->sent_ms,
        .is_reply = key->is_reply,
        .base_subject = key->base_subject,
        .message_id = key->message_id,
        .ancestors = key->ancestors,
    };
    size_t steps = imap_threads_add(&args->threads, &message);

    args->indexes[args->threads.count - 1] = args->search.run.found[at];
    return 1 + steps / STEPS_PER_UNIT;
}

static void start(struct imap_session *s, struct task *task, struct imap_thread_args *args)
{
    size_t count = args->search.run.found_count;
    bool is_by_subject = args->algorithm == IMAP_THREAD_ORDEREDSUBJECT;

    imap_threads_init(&args->threads, &task->arena, args->algorithm, count);
    args->indexes = ARENA_ARRAY(&task->arena, uint32_t, count);
    args->source = (struct imap_sort_source){
        .view = &s->view,
        .found = args->search.run.found,
        .count = count,
        .fields = VAULT_SORT_SENT | (is_by_subject ? 0 : (unsigned)VAULT_SORT_THREAD) |
                  (args->algorithm == IMAP_THREAD_REFS ? 0 : (unsigned)VAULT_SORT_SUBJECT),
        .on_key = on_key,
        .owner = args,
    };
}

static uint32_t name_of(const void *context, uint32_t message)
{
    const struct imap_session *s = context;
    uint32_t index = s->args->thread.indexes[message];

    return imap_is_by_uid(s) ? s->view.uids[index] : index + 1;
}

/* True: the line is written, but for its end. */
static bool write_threads(struct imap_session *s, struct imap_thread_args *args)
{
    size_t before = s->out.len;
    bool is_done;

    if (!args->threads.has_begun)
        buf_put(&s->out, STR("* THREAD"));
    if (!args->threads.has_begun && args->threads.count > 0)
        buf_put(&s->out, STR(" "));
    is_done = imap_threads_write(&args->threads, &s->out, WRITE_BYTES, name_of, s);
    imap_spend(s, (s->out.len - before) / WRITE_BYTES_PER_UNIT);
    return is_done;
}

IMAP_COMMAND(thread)
{
    struct imap_thread_args *thread = &args->thread;
    bool is_written = false;

    TRY(imap_search_selected(s, task, &thread->search));
    if (s->pause != IMAP_PAUSE_NONE)
        return ERR_OK;
    if (thread->indexes == NULL)
        start(s, task, thread);
    while (!is_written) {
        if (imap_must_give_way(s)) {
            imap_give_way(s);
            return ERR_OK;
        }
        thread->steps = 0;
        if (thread->source.next < thread->source.count)
            TRY(imap_sort_load(s, task, &thread->source));
        else if (imap_threads_step(&thread->threads, STEPS, &thread->steps))
            is_written = write_threads(s, thread);
        imap_spend(s, thread->steps / STEPS_PER_UNIT);
    }
    buf_put(&s->out, STR("\r\n"));
    return ERR_OK;
}
