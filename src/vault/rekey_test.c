/* A file is put under another key while it is written; before the exchange it is the old one, after
 * it the new, and nothing is missing in either. */
#include "vault/rekey.h"

#include "vault/fixture.h"
#include "vault/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct secret *other_key(const struct fixture *f)
{
    struct secret *key = secret_copy(secret_str(f->key));

    secret_bytes(key)[0] ^= 1;
    secret_bytes(key)[40] ^= 1; /* of the salt */
    return key;
}

static void fill(struct fixture *f, int count)
{
    for (int i = 0; i < count; i++)
        (void)fixture_append(f, f->inbox, fixture_message(f, "filled"), 0);
}

/* Copies to the end; with `written` messages that come in while it does. */
static void copy(struct fixture *f, struct vault_rekey *rekey, int written)
{
    uint64_t done = 0, total = 0;
    bool is_done = false;

    while (!is_done) {
        assert_int_equal(vault_rekey_copy(rekey, &f->task, &is_done), ERR_OK);
        vault_rekey_progress(rekey, &done, &total);
        assert_true(done <= total);
        if (!is_done && written-- > 0)
            fill(f, 1);
    }
    assert_true(done == total && total > 0);
}

/* The file opens with this key and not with the other. */
static void expect_key(struct fixture *f, const struct secret *key, const struct secret *other,
                       int64_t messages)
{
    struct vault *none = NULL;

    vault_close(&f->vault);
    assert_int_equal(vault_open(&f->task, &f->options, other, &none), ERR_DENIED);
    task_forgive(&f->task);
    assert_int_equal(vault_open(&f->task, &f->options, key, &f->vault), ERR_OK);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), messages);
}

static bool has_rest(const struct fixture *f)
{
    char path[160];

    (void)snprintf(path, sizeof(path), "%s/%s%s", f->options.folder, f->options.id.text,
                   VAULT_REKEY_SUFFIX);
    return access(path, F_OK) == 0;
}

static void test_exchanged(void **state)
{
    struct fixture *f = *state;
    struct secret *key = other_key(f);
    struct vault_rekey *rekey;

    fill(f, 300);
    assert_int_equal(vault_rekey_begin(f->vault, &f->task, &f->options, key, &rekey), ERR_OK);
    assert_false(vault_rekey_is_current(rekey));
    copy(f, rekey, 0);
    assert_true(vault_rekey_is_current(rekey));
    assert_int_equal(vault_rekey_exchange(rekey, &f->task), ERR_OK);
    vault_rekey_free(&rekey);
    assert_false(has_rest(f));
    fill(f, 5); /* it goes on with the new file */
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), 305);
    expect_key(f, key, f->key, 305);
    secret_free(&f->key);
    f->key = key;
}

/* What is written while pages are copied is in the copy; what comes after it is noticed. */
static void test_written_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct secret *key = other_key(f);
    struct vault_rekey *rekey;
    int64_t count;

    fill(f, 1500);
    assert_int_equal(vault_rekey_begin(f->vault, &f->task, &f->options, key, &rekey), ERR_OK);
    copy(f, rekey, 5);
    count = fixture_ask(f, "SELECT count(*) FROM message");
    assert_true(count > 1500);
    fill(f, 1);
    assert_false(vault_rekey_is_current(rekey));
    assert_int_equal(vault_rekey_exchange(rekey, &f->task), ERR_BUSY);
    task_forgive(&f->task);
    vault_rekey_free(&rekey);
    assert_false(has_rest(f));
    /* The next round. */
    assert_int_equal(vault_rekey_begin(f->vault, &f->task, &f->options, key, &rekey), ERR_OK);
    copy(f, rekey, 3);
    assert_int_equal(vault_rekey_exchange(rekey, &f->task), ERR_OK);
    vault_rekey_free(&rekey);
    count = fixture_ask(f, "SELECT count(*) FROM message");
    assert_true(count > 1502);
    fixture_check(f);
    expect_key(f, key, f->key, count);
    secret_free(&f->key);
    f->key = key;
}

/* Not while somebody reads: nothing changes, and a moment later it works. */
static void test_in_use(void **state)
{
    struct fixture *f = *state;
    struct secret *key = other_key(f);
    struct vault *reader = NULL;
    struct vault_cursor *cursor;
    struct vault_rekey *rekey;

    fill(f, 10);
    assert_int_equal(vault_rekey_begin(f->vault, &f->task, &f->options, key, &rekey), ERR_OK);
    copy(f, rekey, 0);
    assert_int_equal(vault_cursor_open(f->vault, &f->task, f->inbox, 1, 10, 0, false, &cursor),
                     ERR_OK);
    assert_int_equal(vault_rekey_exchange(rekey, &f->task), ERR_BUSY);
    vault_cursor_close(&cursor);
    assert_int_equal(vault_open_beside(&f->task, &f->options, f->key, &reader), ERR_OK);
    assert_int_equal(db_execute(reader->db, &f->task, "BEGIN; SELECT count(*) FROM message"),
                     ERR_OK);
    fill(f, 1);
    assert_int_equal(vault_rekey_exchange(rekey, &f->task), ERR_BUSY);
    vault_close(&reader);
    task_forgive(&f->task);
    vault_rekey_free(&rekey);
    expect_key(f, f->key, key, 11);
    secret_free(&key);
}

/* A child can let go of a vault that is being copied, and the copy is whole in the end. */
static void test_fork_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct secret *key = other_key(f);
    struct vault_rekey *rekey;
    bool is_done;
    int status;
    pid_t child;

    fill(f, 1000);
    assert_int_equal(vault_rekey_begin(f->vault, &f->task, &f->options, key, &rekey), ERR_OK);
    assert_int_equal(vault_rekey_copy(rekey, &f->task, &is_done), ERR_OK);
    assert_false(is_done);
    vault_prepare_fork(f->vault);
    assert_false(vault_rekey_is_current(rekey));
    secret_set_inherited(true);
    child = fork();
    if (child == 0) {
        vault_forget(&f->vault);
        _exit(0);
    }
    secret_set_inherited(false);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    copy(f, rekey, 3);
    vault_prepare_fork(f->vault); /* which leaves a complete one alone */
    assert_int_equal(vault_rekey_exchange(rekey, &f->task), ERR_OK);
    vault_rekey_free(&rekey);
    vault_prepare_fork(f->vault);
    fixture_check(f);
    expect_key(f, key, f->key, fixture_ask(f, "SELECT count(*) FROM message"));
    secret_free(&f->key);
    f->key = key;
}

/* What a crash left is removed with the next opening. */
static void test_rest(void **state)
{
    struct fixture *f = *state;
    struct secret *key = other_key(f);
    struct vault_rekey *rekey;
    bool is_done;

    fill(f, 1000);
    assert_int_equal(vault_rekey_begin(f->vault, &f->task, &f->options, key, &rekey), ERR_OK);
    assert_int_equal(vault_rekey_copy(rekey, &f->task, &is_done), ERR_OK);
    assert_true(has_rest(f));
    vault_rekey_free(&rekey);
    assert_false(has_rest(f));
    assert_int_equal(vault_rekey_begin(f->vault, &f->task, &f->options, key, &rekey), ERR_OK);
    assert_true(has_rest(f));
    vault_rekey_free(&rekey);
    expect_key(f, f->key, key, 1000);
    assert_false(has_rest(f));
    secret_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_exchanged, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_written_meanwhile, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_in_use, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_fork_meanwhile, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_rest, fixture_set_up, fixture_tear_down),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
