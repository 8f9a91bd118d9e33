/* Lessons from files. */
#include "spam/train.h"

#include "base/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_mbox(void **state)
{
    static const struct {
        const char *rule;
        struct str mbox;
        size_t messages;
        struct str last;
    } rows[] = {
        {"nothing", STR_INIT(""), 0, STR_INIT("")},
        {"no mbox", STR_INIT("Subject: x\n\nFrom here on\n"), 0, STR_INIT("")},
        {"one", STR_INIT("From a\nS: 1\n\nx\n"), 1, STR_INIT("S: 1\n\nx\n")},
        {"two", STR_INIT("From a\nS: 1\n\nx\n\nFrom b\nS: 2\n\ny\n"), 2, STR_INIT("S: 2\n\ny\n")},
        {"CRLF", STR_INIT("From a\r\nS: 1\r\n\r\nx\r\n\r\nFrom b\r\nS: 2\r\n"), 2, STR_INIT("S: 2\r\n")},
        {"From in a text", STR_INIT("From a\nS: 1\n\nx\nFrom here\n"), 1, STR_INIT("S: 1\n\nx\nFrom here\n")},
        {"empty messages", STR_INIT("From a\n\nFrom b\n\nFrom c\n\n"), 3, STR_INIT("\n")},
        {"a line only", STR_INIT("From a"), 0, STR_INIT("")},
        {"nothing behind", STR_INIT("From a\n"), 1, STR_INIT("")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t position = 0, count = 0;
        struct str message = STR("");

        while (spam_mbox_next(rows[i].mbox, &position, &message))
            count++;
        if (count != rows[i].messages || !str_equal(message, rows[i].last))
            fail_msg("%s: %zu, %.*s", rows[i].rule, count, STR_ARG(message));
    }
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void test_files(void **state)
{
    char folder[64], command[256], path[256];
    struct spam_trainer *trainer = spam_trainer_new(NULL);
    struct spam_trained trained = {0};
    struct task task;

    (void)state;
    task_init(&task, 0);
    scratch_folder(folder, sizeof(folder), "spam-train-test");
    snprintf(command, sizeof(command), "mkdir -p %s/M/cur %s/M/new %s/M/tmp", folder, folder, folder);
    assert_int_equal(system(command), 0);
    write_file(folder, "box", "From a\nSubject: one\n\ntext\n\nFrom b\nSubject: two\n\ntext\n");
    write_file(folder, "x.eml", "Subject: three\n\ntext\n");
    write_file(folder, ".hidden", "Subject: no\n\ntext\n");
    write_file(folder, "empty", "");
    write_file(folder, "M/cur/1:2,S", "Subject: four\n\ntext\n");
    write_file(folder, "M/new/2", "Subject: five\n\ntext\n");
    write_file(folder, "M/tmp/3", "Subject: no\n\ntext\n");
    assert_int_equal(spam_train_path(trainer, &task, folder, true, &trained), ERR_OK);
    assert_int_equal(trained.messages, 5);
    snprintf(path, sizeof(path), "%s/M", folder);
    assert_int_equal(spam_train_path(trainer, &task, path, false, &trained), ERR_OK);
    assert_int_equal(trained.messages, 7);
    assert_int_equal(spam_trainer_total(trainer).spam, 5);
    assert_int_equal(spam_trainer_total(trainer).ham, 2);
    assert_int_equal(spam_train_path(trainer, &task, "/tmp/there/is/none", true, &trained),
                     ERR_NOT_FOUND);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    spam_trainer_free(&trainer);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mbox), cmocka_unit_test(test_files)};

    message_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
