/* Previews at arrival, at need, and for a mailbox from before. */
#include "vault/preview.h"

#include "vault/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct vault_message row_of(struct fixture *f, uint32_t uid, struct vault_cursor **cursor)
{
    struct vault_message row;
    bool has_row;

    assert_int_equal(vault_cursor_open(f->vault, &f->task, f->inbox, uid, uid, VAULT_COLUMN_PREVIEW,
                                       false, cursor),
                     ERR_OK);
    assert_int_equal(vault_cursor_next(*cursor, &f->task, &row, &has_row), ERR_OK);
    assert_true(has_row);
    return row;
}

static void assert_preview(struct fixture *f, uint32_t uid, bool has_preview, const char *text)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    struct vault_message row = row_of(f, uid, &cursor);

    assert_int_equal(row.has_preview, has_preview);
    if (has_preview && !str_equal(row.preview, str_from_c(text)))
        fail_msg("%.*s", STR_ARG(row.preview));
}

static void test_previews(void **state)
{
    struct fixture *f = *state;
    uint32_t one = fixture_append(f, f->inbox, fixture_message(f, "one"), 0);
    uint32_t empty = fixture_append(f, f->inbox, STR("Subject: x\r\n\r\n"), 0);
    uint32_t old[50];
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    CLEANUP(buf_free) struct buf out = {0};
    int64_t content_id;

    assert_preview(f, one, true, "The text of one.");
    assert_preview(f, empty, true, "");
    for (size_t i = 0; i < 50; i++)
        old[i] = fixture_append(f, f->inbox, fixture_message(f, "old"), 0);
    fixture_execute(f, "DELETE FROM preview");
    fixture_reopen(f);
    assert_preview(f, one, false, "");
    /* At need, without keeping it. */
    content_id = row_of(f, one, &cursor).content_id;
    buf_init(&out, SIZE_MAX);
    assert_int_equal(vault_preview_make(f->vault, &f->task, content_id, &out), ERR_OK);
    assert_true(str_equal(buf_str(&out), STR("The text of one.")));
    vault_cursor_close(&cursor);
    /* What arrives now has its own at once; the others get theirs from the newest down. */
    assert_preview(f, fixture_append(f, f->inbox, fixture_message(f, "new"), 0), true,
                   "The text of new.");
    fixture_housekeep(f, 0);
    assert_preview(f, old[49], true, "The text of old.");
    assert_preview(f, old[0], true, "The text of old.");
    assert_preview(f, one, true, "The text of one.");
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM preview"),
                     fixture_ask(f, "SELECT count(*) FROM content"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_previews, fixture_set_up, fixture_tear_down),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
