/*
 * Any bytes as a message: judged within bounds; what is written of it is fields of printable ASCII
 * that say what was found; tokens are ascending, and the same again.
 */
#include "spam/spam.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    message_init_library();
    return 0;
}

static void check_fields(const struct spam_verdict *verdict)
{
    struct spam_status status;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    spam_write_fields(verdict, &out);
    for (size_t i = 0; i < out.len; i++) {
        char c = out.ptr[i];

        assert((c >= ' ' && c < 0x7f) || c == '\r' || c == '\n' || c == '\t');
        if (c == '\n' && i + 1 < out.len)
            assert(out.ptr[i + 1] == '\t' || out.ptr[i + 1] == 'X');
    }
    spam_read_status(buf_str(&out), &status);
    assert(status.is_there);
    assert(status.is_junk == (verdict->score >= SPAM_SCORE_JUNK || verdict->refusal != NULL));
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str message = str_make(data, size);
    struct message_summary summary;
    struct spam_request request = {.message = message, .structure = &summary.structure};
    struct spam_verdict verdict;
    struct spam_tokens *first, *second;
    struct task task;
    int64_t sum = 0;

    task_init(&task, 0);
    message_parse(&task, message, &summary);
    spam_judge(&task, &request, &verdict);
    for (size_t i = 0; i < verdict.reason_count; i++)
        sum += verdict.reasons[i].score;
    assert(sum == verdict.score && verdict.reason_count <= SPAM_REASONS_MAX);
    check_fields(&verdict);
    first = ARENA_NEW(&task.arena, struct spam_tokens);
    second = ARENA_NEW(&task.arena, struct spam_tokens);
    spam_tokenize(&task, message, &summary.structure, first);
    spam_tokenize(&task, message, &summary.structure, second);
    assert(first->count <= SPAM_TOKENS_MAX && memcmp(first, second, sizeof(*first)) == 0);
    for (size_t i = 1; i < first->count; i++)
        assert(first->hashes[i] > first->hashes[i - 1]);
    task_done(&task);
    return 0;
}
