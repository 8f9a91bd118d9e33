/*
 * Any messages, referring to each other in any way: every algorithm ends, its answer has every
 * message exactly once and its parentheses match, and it does not depend on how the turns fall.
 */
#include "imap/thread.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES_MAX = 400, REFERENCES_MAX = 7 };

struct input {
    const uint8_t *at, *end;
};

static uint8_t take(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

/* Ids are letters, so that they meet often. */
static struct str id_text(struct arena *arena, uint8_t byte)
{
    return byte % 64 == 0 ? STR("") : arena_printf(arena, "%c@x", '0' + byte % 64);
}

static struct imap_thread_message message_of(struct arena *arena, struct input *in)
{
    static const char *const SUBJECTS[] = {"", "A", "B", "C"};
    uint8_t shape = take(in);
    struct imap_thread_message message = {
        .sent_ms = take(in) % 16,
        .is_reply = (shape & 1) != 0,
        .base_subject = str_from_c(SUBJECTS[shape >> 1 & 3]),
        .message_id = id_text(arena, take(in)),
    };

    for (int i = 0; i < (shape >> 3 & REFERENCES_MAX); i++)
        message.ancestors = arena_printf(arena, "%.*s%s%.*s", STR_ARG(message.ancestors),
                                         i == 0 ? "" : " ", STR_ARG(id_text(arena, take(in))));
    if ((shape & 0x40) && message.ancestors.len == 0)
        message.ancestors = id_text(arena, take(in));
    return message;
}

static uint32_t name_of(const void *context, uint32_t message)
{
    (void)context;
    return message + 1;
}

static void write_all(struct arena *arena, enum imap_thread_algorithm algorithm,
                      const struct imap_thread_message *messages, size_t count, size_t turn,
                      struct buf *out)
{
    struct imap_threads threads;
    size_t steps;

    imap_threads_init(&threads, arena, algorithm, count);
    for (size_t i = 0; i < count; i++)
        imap_threads_add(&threads, &messages[i]);
    while (!imap_threads_step(&threads, turn, &steps))
        assert(steps > 0);
    while (!imap_threads_write(&threads, out, turn, name_of, NULL))
        continue;
}

static void check(struct str answer, size_t count)
{
    bool seen[MESSAGES_MAX] = {false};
    size_t depth = 0, found = 0;

    for (size_t i = 0; i < answer.len;) {
        char c = answer.ptr[i];
        size_t number = 0;

        if (c == '(' || c == ')' || c == ' ') {
            assert(c != ')' || depth > 0);
            depth += c == '(' ? 1 : 0;
            depth -= c == ')' ? 1 : 0;
            i++;
            continue;
        }
        assert(depth > 0);
        while (i < answer.len && answer.ptr[i] >= '0' && answer.ptr[i] <= '9')
            number = number * 10 + (size_t)(answer.ptr[i++] - '0');
        assert(number >= 1 && number <= count && !seen[number - 1]);
        seen[number - 1] = true;
        found++;
    }
    assert(depth == 0 && found == count);
    assert(str_find(answer, STR("()")) < 0 && str_find(answer, STR("( ")) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct imap_thread_message messages[MESSAGES_MAX];
    struct input in = {data, data + size};
    struct arena arena = {0};
    size_t count = 0;

    while (in.at < in.end && count < MESSAGES_MAX)
        messages[count++] = message_of(&arena, &in);
    for (int i = IMAP_THREAD_ORDEREDSUBJECT; i <= IMAP_THREAD_REFS; i++) {
        struct buf once, turns;

        buf_init(&once, SIZE_MAX);
        buf_init(&turns, SIZE_MAX);
        write_all(&arena, (enum imap_thread_algorithm)i, messages, count, SIZE_MAX, &once);
        write_all(&arena, (enum imap_thread_algorithm)i, messages, count, 1, &turns);
        check(buf_str(&once), count);
        assert(str_equal(buf_str(&once), buf_str(&turns)));
        buf_free(&once);
        buf_free(&turns);
    }
    arena_free(&arena);
    return 0;
}
