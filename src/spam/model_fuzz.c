/* Any bytes as a model file: what is read is written back the same. */
#include "spam/model.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spam_model *model = NULL;
    struct spam_trainer *trainer;
    struct spam_tokens tokens = {.count = 2, .hashes = {1, 2}};
    struct task task;
    struct buf out;

    task_init(&task, 0);
    if (spam_model_read(&task, str_make(data, size), &model) == ERR_OK) {
        assert(spam_model_probability(model, &tokens) <= 1000);
        buf_init(&out, SIZE_MAX);
        trainer = spam_trainer_new(model);
        spam_trainer_write(trainer, &out);
        assert(out.len <= size);
        spam_trainer_free(&trainer);
        buf_free(&out);
    }
    spam_model_close(&model);
    task_done(&task);
    return 0;
}
