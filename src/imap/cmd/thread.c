/*
 * THREAD and UID THREAD (RFC 5256 §3): a search, put in threads. The answer for all messages of the
 * folder is remembered, as it was written.
 */
#include "imap/engine.h"

#include "imap/sort_memory.h"
#include "imap/write.h"

#include <string.h>

enum {
    STEPS = 20000, /* of the algorithm at once */
    STEPS_PER_UNIT = 30,
    WRITE_BYTES = 32 * 1024,
    WRITE_BYTES_PER_UNIT = 100,
    /* Of an answer, for each message: its number with a space or a parenthesis on either side, and
     * the parentheses of a dummy, which has two messages and more. */
    ANSWER_BYTES_PER_MESSAGE = 16,
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

static unsigned kind_of(const struct imap_session *s, const struct imap_thread_args *args)
{
    return (unsigned)args->algorithm * 2 + imap_is_by_uid(s);
}

static void start(struct imap_session *s, struct task *task, struct imap_thread_args *args)
{
    size_t count = args->search.run.found_count;
    bool is_by_subject = args->algorithm == IMAP_THREAD_ORDEREDSUBJECT;
    struct str known = {0};

    args->has_begun = true;
    if (count > 0 && count == s->view.count)
        known = imap_thread_recall(imap_group_memory(s->group), &s->view, kind_of(s, args));
    if (known.ptr != NULL) {
        args->recalled = arena_copy(&task->arena, known);
        return;
    }
    if (count == s->view.count && count < IMAP_SORT_MEMORY_BYTES / ANSWER_BYTES_PER_MESSAGE) {
        args->answer_room = (count + 1) * ANSWER_BYTES_PER_MESSAGE;
        args->answer = ARENA_ARRAY(&task->arena, char, args->answer_room);
    }
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

static void keep(struct imap_thread_args *args, struct str piece)
{
    if (args->answer == NULL || piece.len > args->answer_room - args->answer_len) {
        args->answer = NULL;
        return;
    }
    memcpy(args->answer + args->answer_len, piece.ptr, piece.len);
    args->answer_len += piece.len;
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
    keep(args, str_from(buf_str(&s->out), before));
    /* Not where one of the messages was gone. */
    if (is_done && args->answer != NULL && args->threads.count == s->view.count)
        imap_thread_remember(imap_group_memory(s->group), &s->view, kind_of(s, args),
                             str_make(args->answer, args->answer_len));
    return is_done;
}

static bool write_recalled(struct imap_session *s, struct imap_thread_args *args)
{
    struct str piece = str_upto(args->recalled, WRITE_BYTES);

    buf_put(&s->out, piece);
    imap_spend(s, piece.len / WRITE_BYTES_PER_UNIT);
    args->recalled = str_from(args->recalled, piece.len);
    return args->recalled.len == 0;
}

IMAP_COMMAND(thread)
{
    struct imap_thread_args *thread = &args->thread;
    bool is_written = false;

    TRY(imap_search_selected(s, task, &thread->search));
    if (s->pause != IMAP_PAUSE_NONE)
        return ERR_OK;
    if (!thread->has_begun)
        start(s, task, thread);
    while (!is_written) {
        if (imap_must_give_way(s)) {
            imap_give_way(s);
            return ERR_OK;
        }
        thread->steps = 0;
        if (thread->recalled.len > 0)
            is_written = write_recalled(s, thread);
        else if (thread->source.next < thread->source.count)
            TRY(imap_sort_load(s, task, &thread->source));
        else if (imap_threads_step(&thread->threads, STEPS, &thread->steps))
            is_written = write_threads(s, thread);
        imap_spend(s, thread->steps / STEPS_PER_UNIT);
    }
    buf_put(&s->out, STR("\r\n"));
    return ERR_OK;
}
