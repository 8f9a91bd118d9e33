/* The shared model's file: what is written is read again, and damage is noticed. */
#include "spam/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct task task;

static void learn(struct spam_trainer *trainer, uint64_t first, size_t count, bool is_spam)
{
    static struct spam_tokens tokens;

    tokens.count = count;
    for (size_t i = 0; i < count; i++)
        tokens.hashes[i] = (first + i) * UINT64_C(0x9e3779b97f4a7c15);
    assert_int_equal(spam_trainer_learn(trainer, &task, &tokens, is_spam), ERR_OK);
}

static unsigned ask(const struct spam_model *model, uint64_t first, size_t count)
{
    static struct spam_tokens tokens;

    tokens.count = count;
    for (size_t i = 0; i < count; i++)
        tokens.hashes[i] = (first + i) * UINT64_C(0x9e3779b97f4a7c15);
    return spam_model_probability(model, &tokens);
}

static struct spam_trainer *trained(void)
{
    struct spam_trainer *trainer = spam_trainer_new(NULL);

    for (uint64_t i = 0; i < 20; i++) {
        learn(trainer, 1000 + i, 100, true);
        learn(trainer, 2000 + i, 100, false);
    }
    return trainer;
}

static void test_round_trip(void **state)
{
    struct spam_trainer *trainer = trained(), *more;
    struct spam_model *model = NULL, *again = NULL;
    struct buf first, second;
    struct spam_count total;

    (void)state;
    buf_init(&first, SIZE_MAX);
    buf_init(&second, SIZE_MAX);
    spam_trainer_write(trainer, &first);
    assert_int_equal(spam_model_read(&task, buf_str(&first), &model), ERR_OK);
    total = spam_model_total(model);
    assert_int_equal(total.spam, 20);
    assert_int_equal(total.ham, 20);
    assert_int_equal(spam_model_token_count(model), 2 * 119);
    assert_true(ask(model, 1010, 50) > 990);
    assert_true(ask(model, 2010, 50) < 10);
    assert_int_equal(ask(model, 5000, 50), 500);
    /* A trainer that goes on from it writes the same, and learns more. */
    more = spam_trainer_new(model);
    spam_trainer_write(more, &second);
    assert_true(str_equal(buf_str(&first), buf_str(&second)));
    learn(more, 5000, 60, true);
    learn(more, 5000, 60, true);
    buf_reset(&second);
    spam_trainer_write(more, &second);
    assert_int_equal(spam_model_read(&task, buf_str(&second), &again), ERR_OK);
    assert_true(ask(again, 5000, 50) > 900);
    spam_model_close(&model);
    spam_model_close(&again);
    spam_trainer_free(&trainer);
    spam_trainer_free(&more);
    buf_free(&first);
    buf_free(&second);
}

static void test_empty(void **state)
{
    struct spam_trainer *trainer = spam_trainer_new(NULL);
    struct spam_model *model = NULL;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, SIZE_MAX);
    spam_trainer_write(trainer, &bytes);
    assert_int_equal(spam_model_read(&task, buf_str(&bytes), &model), ERR_OK);
    assert_int_equal(ask(model, 1, 100), 500);
    spam_model_close(&model);
    spam_trainer_free(&trainer);
    buf_free(&bytes);
}

/* Whatever byte is changed or missing, it is noticed. */
static void test_damage(void **state)
{
    struct spam_trainer *trainer = trained();
    struct spam_model *model = NULL;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, SIZE_MAX);
    spam_trainer_write(trainer, &bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        enum err err;

        bytes.ptr[i] ^= 0x40;
        err = spam_model_read(&task, buf_str(&bytes), &model);
        assert_true(err == ERR_CORRUPT || err == ERR_INVALID);
        assert_null(model);
        bytes.ptr[i] ^= 0x40;
        assert_int_not_equal(spam_model_read(&task, str_upto(buf_str(&bytes), i), &model), ERR_OK);
    }
    task_forgive(&task);
    spam_trainer_free(&trainer);
    buf_free(&bytes);
}

static void test_open(void **state)
{
    struct spam_model *model = NULL;
    char path[] = "/tmp/spam-model-test-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(spam_model_open(&task, "/tmp/there/is/none", &model), ERR_NOT_FOUND);
    assert_int_equal(spam_model_open(&task, path, &model), ERR_CORRUPT);
    task_forgive(&task);
    assert_int_equal(unlink(path), 0);
    close(fd);
}

/* The rarest tokens go when there are too many. */
static void test_too_many(void **state)
{
    struct spam_trainer *trainer = spam_trainer_new(NULL);
    struct spam_model *model = NULL;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, SIZE_MAX);
    learn(trainer, 1, 100, true);
    learn(trainer, 1, 100, true);
    for (uint64_t i = 0; i < SPAM_MODEL_TOKENS_MAX / SPAM_TOKENS_MAX + 2; i++)
        learn(trainer, 1000 + i * SPAM_TOKENS_MAX, SPAM_TOKENS_MAX, false);
    spam_trainer_write(trainer, &bytes);
    assert_int_equal(spam_model_read(&task, buf_str(&bytes), &model), ERR_OK);
    assert_int_equal(spam_model_token_count(model), 100);
    assert_true(ask(model, 1, 100) > 990);
    spam_model_close(&model);
    spam_trainer_free(&trainer);
    buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_open),
        cmocka_unit_test(test_too_many),
    };
    int failed;

    task_init(&task, 0);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    task_done(&task);
    return failed;
}
