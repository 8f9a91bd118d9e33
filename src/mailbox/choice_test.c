/* Which backup is taken of those that a destination lists, and what is said of the others. */
#include "mailbox/choice.h"

#include "base/memory.h"
#include "secret/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MAILBOX "0123456789abcdef01234567"
#define ONE "aaaaaaaaaaaaaaaaaaaaaaaa"
#define TWO "bbbbbbbbbbbbbbbbbbbbbbbb"
#define SECOND INT64_C(1000)

enum { KEY_BYTES = CRYPT_HASH_BYTES };

/* What lies in a generation's place. */
struct lying {
    const char *id;
    int64_t time_ms; /* 0: nothing that makes sense */
    uint64_t epoch, counter;
    bool is_others; /* under another key */
};

struct row {
    const char *name;
    int64_t at_ms;     /* 0: all there is */
    const char *fulls; /* JSON */
    struct lying lying[2];
    bool is_any;
    const char *chosen;     /* of the names; NULL: there is nothing */
    const char *after_that; /* when that is of no use; NULL: nothing */
    const char *gap;        /* a part of the words; NULL: none */
};

#define FULL_OF_TWO "[{\"name\":\"full/19700101T000002.000Z-20.json\"}]"
#define FULLS                                                                                      \
    "[{\"name\":\"full/19700101T000002.000Z-20.json\"},"                                           \
    "{\"name\":\"full/29991231T000000.000Z-10.json\"}]"

static const struct row rows[] = {
    {"the one that has most",
     0,
     "[]",
     {{ONE, 9 * SECOND, 1, 5, false}, {TWO, 5 * SECOND, 1, 9, false}},
     false,
     "base/" TWO,
     "base/" ONE,
     NULL},
    {"an epoch before a counter",
     0,
     "[]",
     {{ONE, 9 * SECOND, 1, 50, false}, {TWO, 5 * SECOND, 2, 9, false}},
     false,
     "base/" TWO,
     "base/" ONE,
     NULL},
    {"up to a time",
     6 * SECOND,
     "[]",
     {{ONE, 9 * SECOND, 1, 5, false}, {TWO, 5 * SECOND, 1, 9, false}},
     false,
     "base/" TWO,
     NULL,
     "is in neither"},
    {"a time before all",
     1 * SECOND,
     "[]",
     {{ONE, 9 * SECOND, 1, 5, false}, {TWO, 5 * SECOND, 1, 9, false}},
     false,
     NULL,
     NULL,
     NULL},
    {"another key's is told",
     0,
     "[]",
     {{ONE, 5 * SECOND, 1, 5, false}, {TWO, 9 * SECOND, 1, 9, true}},
     false,
     "base/" ONE,
     NULL,
     "base/" TWO ", from"},
    {"another key's, by a clock that was set back",
     0,
     "[]",
     {{ONE, 9 * SECOND, 1, 5, false}, {TWO, 5 * SECOND, 1, 9, true}},
     false,
     "base/" ONE,
     NULL,
     "base/" TWO ", from"},
    {"another key's that has less",
     0,
     "[]",
     {{ONE, 5 * SECOND, 1, 5, false}, {TWO, 9 * SECOND, 1, 4, true}},
     false,
     "base/" ONE,
     NULL,
     NULL},
    {"another key's, with its password",
     0,
     "[]",
     {{ONE, 5 * SECOND, 1, 5, false}, {TWO, 9 * SECOND, 1, 9, true}},
     true,
     "base/" TWO,
     "base/" ONE,
     NULL},
    {"nothing but another key's",
     0,
     "[]",
     {{ONE, 5 * SECOND, 1, 5, true}, {TWO, 0, 0, 0, false}},
     false,
     "base/" ONE,
     NULL,
     "cannot be read"},
    {"one that makes no sense",
     0,
     "[]",
     {{ONE, 5 * SECOND, 1, 5, false}, {TWO, 0, 0, 0, false}},
     false,
     "base/" ONE,
     NULL,
     "it was altered"},
    {"full ones: the one that has most",
     0,
     FULLS,
     {{.id = NULL}, {.id = NULL}},
     false,
     "full/19700101T000002.000Z-20",
     NULL,
     NULL},
    {"full ones: up to a time",
     3 * SECOND,
     FULLS,
     {{.id = NULL}, {.id = NULL}},
     false,
     "full/19700101T000002.000Z-20",
     NULL,
     NULL},
    {"a full one behind a log",
     0,
     FULL_OF_TWO,
     {{ONE, 5 * SECOND, 1, 5, false}, {.id = NULL}},
     false,
     "base/" ONE,
     "full/19700101T000002.000Z-20",
     NULL},
    {"a full one, and a later log of another key",
     0,
     FULL_OF_TWO,
     {{ONE, 5 * SECOND, 1, 5, true}, {.id = NULL}},
     false,
     "full/19700101T000002.000Z-20",
     NULL,
     "base/" ONE ", from"},
};

static struct secret *key_of(char letter)
{
    char bytes[KEY_BYTES];

    memset(bytes, letter, sizeof(bytes));
    return secret_copy(str_make(bytes, sizeof(bytes)));
}

static void take(struct mailbox_choice *choice, const struct id *mailbox, const struct lying *lying,
                 const struct secret *ours, const struct secret *others)
{
    struct mailbox_choice_generation *generation = mailbox_choice_next(choice);
    struct manifest manifest = {.mailbox = *mailbox,
                                .time_ms = lying->time_ms,
                                .epoch = lying->epoch,
                                .change_counter = lying->counter};
    CLEANUP(buf_free) struct buf text = {0};

    assert_non_null(generation);
    assert_string_equal(generation->id.text, lying->id);
    buf_init(&text, SIZE_MAX);
    manifest.generation = generation->id;
    if (lying->time_ms != 0)
        manifest_write(&manifest, lying->is_others ? others : ours, &text);
    mailbox_choice_manifest(choice, generation, mailbox, buf_str(&text), ours);
}

static void list(struct mailbox_choice *choice, struct task *task, const struct row *row)
{
    char names[300] = "[";

    assert_int_equal(mailbox_choice_list(choice, task, str_from_c(row->fulls), true, true), ERR_OK);
    choice->last_listed[0] = '\0';
    for (size_t i = 0; i < 2 && row->lying[i].id != NULL; i++)
        snprintf(names + strlen(names), sizeof(names) - strlen(names),
                 "%s{\"name\":\"base/%s.json\"}", i == 0 ? "" : ",", row->lying[i].id);
    snprintf(names + strlen(names), sizeof(names) - strlen(names), "]");
    assert_int_equal(mailbox_choice_list(choice, task, str_from_c(names), false, true), ERR_OK);
}

static void check_name(const struct row *row, const struct mailbox_choice *choice,
                       const char *expected)
{
    char name[MAILBOX_CHOICE_NAME_ROOM];

    mailbox_choice_name(choice, "", name);
    if (strcmp(name, expected) != 0)
        fail_msg("%s: %s, not %s", row->name, name, expected);
}

/* With all that was built reaching as far as what was chosen begins. */
static void check_gap(const struct row *row, const struct mailbox_choice *choice, struct task *task)
{
    int64_t reached_ms = choice->chosen.is_known ? choice->chosen.time_ms : choice->full_ms;
    struct str words = mailbox_choice_gap(choice, task, reached_ms, false, row->is_any);

    if (row->gap == NULL
            ? words.len > 0
            : words.len == 0 ||
                  strstr(arena_printf(&task->arena, "%.*s", STR_ARG(words)).ptr, row->gap) == NULL)
        fail_msg("%s: \"%.*s\"", row->name, STR_ARG(words));
}

static void check_row(const struct row *row)
{
    CLEANUP(secret_free) struct secret *ours = key_of('o');
    CLEANUP(secret_free) struct secret *others = key_of('x');
    struct mailbox_choice choice;
    struct task task;
    struct id mailbox;

    assert_true(id_parse(STR(MAILBOX), &mailbox));
    task_init(&task, 0);
    mailbox_choice_init(&choice, row->at_ms == 0 ? INT64_MAX : row->at_ms, STR(""));
    list(&choice, &task, row);
    for (size_t i = 0; i < 2 && row->lying[i].id != NULL; i++)
        take(&choice, &mailbox, &row->lying[i], ours, others);
    assert_null(mailbox_choice_next(&choice));
    if (mailbox_choice_choose(&choice, &task, row->is_any) != ERR_OK) {
        if (row->chosen != NULL)
            fail_msg("%s: nothing", row->name);
        task_forgive(&task);
    } else {
        if (row->chosen == NULL)
            fail_msg("%s: there is something", row->name);
        check_name(row, &choice, row->chosen);
        check_gap(row, &choice, &task);
        if (choice.chosen.is_known) {
            assert_int_equal(mailbox_choice_discard(&choice, row->is_any), row->after_that != NULL);
            if (row->after_that != NULL) {
                assert_int_equal(mailbox_choice_choose(&choice, &task, row->is_any), ERR_OK);
                check_name(row, &choice, row->after_that);
            }
        }
    }
    mailbox_choice_done(&choice);
    task_done(&task);
}

static void the_one_that_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_row(&rows[i]);
}

static void a_list_that_does_not_go_on(void **state)
{
    struct mailbox_choice choice;
    struct task task;

    (void)state;
    task_init(&task, 0);
    mailbox_choice_init(&choice, INT64_MAX, STR(""));
    assert_int_equal(mailbox_choice_list(&choice, &task, STR(FULLS), true, false), ERR_OK);
    assert_int_equal(mailbox_choice_list(&choice, &task, STR(FULLS), true, false), ERR_CORRUPT);
    task_forgive(&task);
    assert_int_equal(mailbox_choice_list(&choice, &task, STR("not JSON"), true, false),
                     ERR_CORRUPT);
    mailbox_choice_done(&choice);
    task_done(&task);
}

static void the_one_that_was_named(void **state)
{
    struct mailbox_choice choice;
    struct task task;

    (void)state;
    task_init(&task, 0);
    mailbox_choice_init(&choice, INT64_MAX, STR("29991231T000000.000Z-10"));
    assert_int_equal(mailbox_choice_list(&choice, &task, STR(FULLS), true, true), ERR_OK);
    assert_string_equal(choice.full, "full/29991231T000000.000Z-10");
    mailbox_choice_done(&choice);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_one_that_is_taken),
        cmocka_unit_test(a_list_that_does_not_go_on),
        cmocka_unit_test(the_one_that_was_named),
    };

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
