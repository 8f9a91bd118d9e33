/* A whole file is found whole beside the process that has it open; each kind of damage is named. */
#include "vault/check.h"

#include "vault/fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct heard {
    int calls_left; /* until nobody wants it any more */
    uint64_t done;
};

static void on_progress(void *owner, const char *what, uint64_t done, uint64_t total)
{
    struct heard *heard = owner;

    assert_true(strlen(what) > 0 && (total == 0 || done <= total));
    heard->done = done;
}

static bool is_wanted(void *owner)
{
    struct heard *heard = owner;

    return heard->calls_left-- > 0;
}

static enum err check(struct fixture *f, int calls, struct vault_checked *out)
{
    struct heard heard = {.calls_left = calls};
    const struct vault_check_events events = {on_progress, is_wanted, &heard};
    enum err err;

    *out = (struct vault_checked){0};
    task_forgive(&f->task);
    err = vault_check_file(&f->task, &f->options, f->key, &events, out);
    if (err == ERR_OK)
        assert_true(heard.done == out->attachments);
    return err;
}

static void fill(struct fixture *f)
{
    struct buf raw;

    buf_init(&raw, SIZE_MAX);
    buf_putf(&raw, "Subject: x\r\nContent-Type: application/octet-stream\r\n\r\n");
    for (int i = 0; i < 60000; i++)
        buf_putf(&raw, "%d ", i * 7919);
    (void)fixture_append(f, f->inbox, buf_str(&raw), 0);
    (void)fixture_append(f, f->inbox, STR("Subject: y\r\n\r\nsmall\r\n"), 0);
    (void)fixture_append(f, f->archive, STR(""), 0);
    buf_free(&raw);
}

/* The vault is open all the while, in this process. */
static void test_whole(void **state)
{
    struct fixture *f = *state;
    struct vault_checked checked;

    fill(f);
    assert_int_equal(check(f, 1000000, &checked), ERR_OK);
    assert_int_equal(checked.messages, 3);
    assert_int_equal(checked.contents, 3);
    assert_int_equal(checked.attachments, 1);
    assert_true(checked.message_bytes > 300000 && checked.change_counter > 0);
}

static void test_given_up(void **state)
{
    struct fixture *f = *state;
    struct vault_checked checked;

    fill(f);
    for (int calls = 0; calls < 8; calls++)
        assert_int_equal(check(f, calls, &checked), ERR_BUSY);
}

static void test_damage(void **state)
{
    static const struct {
        const char *damage, *words, *repair;
    } rows[] = {
        {"UPDATE folder SET message_count = message_count + 5 WHERE name = 'INBOX'",
         "a folder counts",
         "UPDATE folder SET message_count = message_count - 5 WHERE name = 'INBOX'"},
        {"UPDATE message SET size_bytes = size_bytes + 1", "parts are not all",
         "UPDATE message SET size_bytes = size_bytes - 1"},
        {"UPDATE message SET content_id = content_id + 100", "",
         "UPDATE message SET content_id = content_id - 100"},
        {"UPDATE sort_key SET base_subject = x'41' WHERE content_id = 2", "is not the message's",
         "UPDATE sort_key SET base_subject = x'59' WHERE content_id = 2"},
        {"UPDATE sort_key SET sent_ms = 5 WHERE content_id = 2", "is not the message's",
         "UPDATE sort_key SET sent_ms = NULL WHERE content_id = 2"},
        {"UPDATE sort_key SET content_id = 9999 WHERE content_id = 2", "there without it",
         "UPDATE sort_key SET content_id = 2 WHERE content_id = 9999"},
        {"UPDATE attachment SET digest = zeroblob(32)", "does not match its digest", NULL},
        {"DELETE FROM attachment", "attachment is missing", NULL},
    };
    struct fixture *f = *state;
    struct vault_checked checked;

    fill(f);
    for (int i = 0; i < 40; i++)
        (void)fixture_append(f, f->inbox, fixture_message(f, "z"), 0);
    fixture_housekeep(f, 0);
    assert_int_equal(check(f, 1000000, &checked), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fixture_execute(f, rows[i].damage);
        assert_int_equal(check(f, 1000000, &checked), ERR_CORRUPT);
        if (strstr(f->task.words, rows[i].words) == NULL)
            fail_msg("row %zu: %s", i, f->task.words);
        if (rows[i].repair != NULL)
            fixture_execute(f, rows[i].repair);
    }
    /* What the last two did is not repaired: teardown's own check is not for this file. */
    fixture_execute(f, "DELETE FROM message; DELETE FROM content; DELETE FROM part;"
                       "DELETE FROM attachment_part; DELETE FROM identity; DELETE FROM preview;"
                       "DELETE FROM sort_key;"
                       "UPDATE folder SET message_count = 0, unseen_count = 0, size_bytes = 0;"
                       "UPDATE mailbox SET message_count = 0, size_bytes = 0");
}

/* As a mailbox process does it: in a child, which lets go of its parent's vault first, while the
 * parent writes. */
static void test_in_a_child(void **state)
{
    struct fixture *f = *state;
    int status;
    pid_t child;

    fill(f);
    secret_set_inherited(true);
    child = fork();
    if (child == 0) {
        struct vault_checked checked;

        vault_forget(&f->vault);
        for (int i = 0; i < 20; i++) {
            if (check(f, 1000000, &checked) != ERR_OK)
                _exit(1);
        }
        _exit(0);
    }
    secret_set_inherited(false);
    for (int i = 0; i < 50; i++)
        (void)fixture_append(f, f->inbox, fixture_message(f, "beside"), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fixture_reopen(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_given_up, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_damage, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_in_a_child, fixture_set_up, fixture_tear_down),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
