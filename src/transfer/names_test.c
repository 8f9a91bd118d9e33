/* Names of folders as names of files, and back; whatever a source calls a folder, the vault takes
 * it. */
#include "transfer/names.h"
#include "vault/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(struct str found, const char *wanted, const char *of)
{
    if (!str_equal(found, str_from_c(wanted)))
        fail_msg("%s: \"%.*s\" for \"%s\"", of, STR_ARG(found), wanted);
}

static void test_paths(void **state)
{
    static const struct {
        const char *name, *path, *ascii, *maildir;
    } rows[] = {
        {"INBOX", "INBOX", "INBOX", ""},
        {"Work/Plans", "Work/Plans", "Work/Plans", ".Work.Plans"},
        {"a.b", "a.b", "a.b", ".a_b"},
        {".hidden", "%2Ehidden", "%2Ehidden", "._hidden"},
        {"..", "%2E%2E", "%2E%2E", ".__"},
        {"a/../b", "a/%2E%2E/b", "a/%2E%2E/b", ".a.__.b"},
        {"ends. ", "ends.%20", "ends.%20", ".ends_ "},
        {"a:b?<c>|\"\\", "a%3Ab%3F%3Cc%3E%7C%22%5C", "a%3Ab%3F%3Cc%3E%7C%22%5C", ".a:b?<c>|\"\\"},
        {"R\xc3\xa4um", "R\xc3\xa4um", "R%C3%A4um", ".R&AOQ-um"},
        {"a&b", "a&b", "a&b", ".a&-b"},
    };
    struct fixture *f = *state;
    struct arena *arena = &f->task.arena;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str name = str_from_c(rows[i].name);

        expect(transfer_path(arena, name, false), rows[i].path, rows[i].name);
        expect(transfer_path(arena, name, true), rows[i].ascii, rows[i].name);
        expect(transfer_maildir(arena, name), rows[i].maildir, rows[i].name);
        expect(transfer_path_name(arena, transfer_path(arena, name, false)), rows[i].name, "back");
        expect(transfer_path_name(arena, transfer_path(arena, name, true)), rows[i].name, "back");
        if (str_index(name, '.') < 0) /* which a Maildir cannot say */
            expect(transfer_maildir_name(arena, transfer_maildir(arena, name)), rows[i].name,
                   "back");
    }
    expect(transfer_maildir_name(arena, STR(".R\xc3\xa4um.x")), "R\xc3\xa4um/x", "plain UTF-8");
    expect(transfer_path_name(arena, STR("50%")), "50_", "no escape");
}

static void test_clean(void **state)
{
    static const struct {
        const char *name, *clean;
    } rows[] = {
        {"inbox", "INBOX"},
        {"Inbox/a", "INBOX/a"},
        {"//a//b/", "a/b"},
        {"a\tb\x7f", "a_b_"},
        {"100%*", "100__"},
        {"\xff\xfe", "__"},
        {"a\xc2\x85z", "a_z"},
        {"a\xc2\xa0z", "a\xc2\xa0z"},
        {"a\xe2\x80\xa8z", "a_z"},
        {"\xe2\x80\xa9", "_"},
        {"\xe2\x80\xa6", "\xe2\x80\xa6"},
        {"/", ""},
        {"", ""},
    };
    struct fixture *f = *state;
    CLEANUP(buf_free) struct buf deep, long_name, cut;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str clean = transfer_clean_name(&f->task.arena, str_from_c(rows[i].name));
        enum err err;

        expect(clean, rows[i].clean, rows[i].name);
        if (clean.len == 0)
            continue;
        err = vault_folder_create(f->vault, &f->task, clean, VAULT_USE_NONE);
        if (err != ERR_OK && err != ERR_EXISTS)
            fail_msg("%s: the vault does not take it: %s", rows[i].name, f->task.words);
        task_forgive(&f->task);
    }
    buf_init(&deep, SIZE_MAX);
    buf_init(&long_name, SIZE_MAX);
    buf_init(&cut, SIZE_MAX);
    for (int i = 0; i < 5000; i++) {
        buf_put(&deep, STR("d/"));
        buf_put(&long_name, STR("\xc3\xa4"));
        buf_put(&cut,
                i + 1 < VAULT_FOLDER_NAME_MAX ? STR("c") : STR("/")); /* it is cut behind a '/' */
    }
    assert_int_equal(vault_folder_create(f->vault, &f->task,
                                         transfer_clean_name(&f->task.arena, buf_str(&deep)),
                                         VAULT_USE_NONE),
                     ERR_OK);
    assert_int_equal(vault_folder_create(f->vault, &f->task,
                                         transfer_clean_name(&f->task.arena, buf_str(&long_name)),
                                         VAULT_USE_NONE),
                     ERR_OK);
    assert_int_equal(vault_folder_create(f->vault, &f->task,
                                         transfer_clean_name(&f->task.arena, buf_str(&cut)),
                                         VAULT_USE_NONE),
                     ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_paths, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_clean, fixture_set_up, fixture_tear_down),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
