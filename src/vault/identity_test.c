/* Identifiers: who shares one, who joins a thread, and that they stay. */
#include "vault/identity.h"

#include "vault/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint32_t arrive(struct fixture *f, const char *message_id, const char *fields)
{
    return fixture_append(
        f, f->inbox,
        arena_printf(&f->task.arena, "Message-ID: <%s>\r\n%s\r\nbody\r\n", message_id, fields), 0);
}

static struct vault_message row_of(struct fixture *f, int64_t folder_id, uint32_t uid)
{
    struct vault_cursor *cursor;
    struct vault_message row;
    bool has_row;

    assert_int_equal(vault_cursor_open(f->vault, &f->task, folder_id, uid, uid,
                                       VAULT_COLUMN_IDENTITY, false, &cursor),
                     ERR_OK);
    assert_int_equal(vault_cursor_next(cursor, &f->task, &row, &has_row), ERR_OK);
    assert_true(has_row);
    vault_cursor_close(&cursor);
    return row;
}

static int64_t thread_of(struct fixture *f, uint32_t uid)
{
    return row_of(f, f->inbox, uid).thread_id;
}

static void test_threads(void **state)
{
    struct fixture *f = *state;
    uint32_t root = arrive(f, "root@x", "");
    uint32_t other = arrive(f, "other@x", "");
    uint32_t reply = arrive(f, "reply@x", "In-Reply-To: <root@x>\r\n");
    uint32_t deep = arrive(f, "deep@x", "References: <unknown@x> <root@x> <reply@x>\r\n");
    /* The reply before what it answers. */
    uint32_t early = arrive(f, "early@x", "References: <late@x>\r\n");
    uint32_t late = arrive(f, "late@x", "");
    /* Two threads at once: the nearest one counts, and the others stay apart. */
    uint32_t both = arrive(f, "both@x", "References: <root@x> <other@x>\r\n");
    uint32_t again = arrive(f, "root@x", "");
    uint32_t none = fixture_append(f, f->inbox, STR("Subject: no id\r\n\r\n"), 0);
    uint32_t none_either = fixture_append(f, f->inbox, STR("Subject: no id\r\n\r\n"), 0);

    assert_true(thread_of(f, root) != thread_of(f, other));
    assert_int_equal(thread_of(f, reply), thread_of(f, root));
    assert_int_equal(thread_of(f, deep), thread_of(f, root));
    assert_int_equal(thread_of(f, late), thread_of(f, early));
    assert_int_equal(thread_of(f, both), thread_of(f, other));
    assert_int_equal(thread_of(f, again), thread_of(f, root));
    assert_true(row_of(f, f->inbox, again).email_id != row_of(f, f->inbox, root).email_id);
    assert_true(thread_of(f, none) != thread_of(f, none_either));
    /* The first of a thread has the thread's identifier. */
    assert_int_equal(row_of(f, f->inbox, root).email_id, thread_of(f, root));
}

static void test_copies_and_restarts(void **state)
{
    struct fixture *f = *state;
    uint32_t uid = arrive(f, "a@x", ""), reply = arrive(f, "b@x", "In-Reply-To: <a@x>\r\n");
    struct vault_message row = row_of(f, f->inbox, uid), copy;
    uint32_t *sources, *uids;
    size_t count;

    assert_true(row.email_id > 0);
    assert_int_equal(vault_message_copy(f->vault, &f->task, f->inbox, f->archive, &uid, 1, false,
                                        &sources, &uids, &count),
                     ERR_OK);
    copy = row_of(f, f->archive, uids[0]);
    assert_int_equal(copy.email_id, row.email_id);
    assert_int_equal(copy.thread_id, row.thread_id);
    fixture_reopen(f);
    assert_int_equal(row_of(f, f->inbox, uid).email_id, row.email_id);
    assert_int_equal(row_of(f, f->inbox, reply).thread_id, row.thread_id);
}

/* However many ids a message names, few are kept; the nearest are among them. */
static void test_hostile_references(void **state)
{
    struct fixture *f = *state;
    uint32_t root = arrive(f, "root@x", ""), reply;
    struct buf fields;

    buf_init(&fields, SIZE_MAX);
    buf_put(&fields, STR("References:"));
    for (unsigned i = 0; i < 20000; i++)
        buf_putf(&fields, " <%u@y>\r\n", i);
    buf_put(&fields, STR(" <root@x>\r\n"));
    reply = arrive(f, "reply@x", arena_copy(&f->task.arena, buf_str(&fields)).ptr);
    assert_int_equal(thread_of(f, reply), thread_of(f, root));
    assert_true(fixture_ask(f, "SELECT count(*) FROM thread_reference") <= 20);
    buf_free(&fields);
}

static void test_going(void **state)
{
    struct fixture *f = *state;
    uint32_t uids[2] = {arrive(f, "a@x", ""), arrive(f, "b@x", "In-Reply-To: <a@x>\r\n")};
    uint32_t *gone, *modified, *missing;
    size_t count, modified_count, missing_count;

    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM thread_reference"), 2);
        assert_int_equal(vault_message_store(f->vault, &f->task, f->inbox, &uids[i], 1,
                                             VAULT_STORE_ADD, VAULT_FLAG_DELETED, UINT64_MAX,
                                             &modified, &modified_count, &missing, &missing_count),
                         ERR_OK);
        assert_int_equal(
            vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &gone, &count), ERR_OK);
        fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS + 1);
        assert_int_equal(fixture_ask(f, "SELECT count(*) FROM identity"), 1 - (int64_t)i);
    }
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM thread_reference"), 0);
}

/* A mailbox from before: in the order of arrival, what arrives meanwhile in its turn. */
static void test_older_mailbox(void **state)
{
    struct fixture *f = *state;
    uint32_t first = 0, last, uid;
    bool is_done;

    for (unsigned i = 0; i < 450; i++) {
        char id[16], fields[64];

        snprintf(id, sizeof(id), "%u@x", i);
        snprintf(fields, sizeof(fields), "In-Reply-To: <%u@x>\r\n", i - 1);
        uid = arrive(f, id, i == 0 ? "" : fields);
        first = i == 0 ? uid : first;
    }
    fixture_execute(f, "DELETE FROM identity");
    fixture_execute(f, "DELETE FROM thread_reference");
    fixture_reopen(f);
    last = arrive(f, "new@x", "References: <449@x>\r\n");
    assert_int_equal(row_of(f, f->inbox, last).email_id, 0);
    assert_int_equal(vault_identity_prepare(f->vault, &f->task, &is_done), ERR_OK);
    assert_false(is_done);
    assert_true(thread_of(f, first) > 0);
    assert_int_equal(thread_of(f, last), 0);
    do
        assert_int_equal(vault_identity_prepare(f->vault, &f->task, &is_done), ERR_OK);
    while (!is_done);
    assert_int_equal(thread_of(f, last), thread_of(f, first));
    assert_int_equal(thread_of(f, arrive(f, "z@x", "References: <7@x>\r\n")), thread_of(f, first));
}

static const char *folder_id(struct fixture *f, const char *name)
{
    struct vault_folder folder;
    char text[VAULT_IDENTITY_ROOM];

    assert_int_equal(vault_folder_find(f->vault, &f->task, str_from_c(name), &folder), ERR_OK);
    vault_identity_write_folder(&folder, text);
    return arena_copy(&f->task.arena, str_from_c(text)).ptr;
}

/* RFC 8474 §4: kept through renames, never another mailbox's, nor one's with another UIDVALIDITY.
 */
static void test_folders(void **state)
{
    struct fixture *f = *state;
    const char *archive = folder_id(f, "Archive"), *inbox = folder_id(f, "INBOX"), *again;

    assert_string_not_equal(archive, inbox);
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("Archive"), STR("Old")), ERR_OK);
    assert_string_equal(folder_id(f, "Old"), archive);
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("Old")), ERR_OK);
    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("Old"), VAULT_USE_NONE), ERR_OK);
    again = folder_id(f, "Old");
    assert_string_not_equal(again, archive);
    /* A name that stayed for its children becomes a folder again. */
    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("Old/x"), VAULT_USE_NONE), ERR_OK);
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("Old")), ERR_OK);
    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("Old"), VAULT_USE_NONE), ERR_OK);
    assert_string_not_equal(folder_id(f, "Old"), again);
}

/* A file that was rolled back gives content ids again, but no email's identifier. */
static void test_roll_back(void **state)
{
    struct fixture *f = *state;
    const char *inbox = folder_id(f, "INBOX");
    uint32_t before = arrive(f, "before@x", ""), after;
    struct vault_message old = row_of(f, f->inbox, before), row;
    struct vault_usage usage;

    vault_usage(f->vault, &usage);
    vault_close(&f->vault);
    f->options.epoch_seen = usage.epoch;
    f->options.change_counter_seen = usage.change_counter + 5;
    assert_int_equal(vault_open(&f->task, &f->options, f->key, &f->vault), ERR_OK);
    assert_true(vault_was_rolled_back(f->vault));
    assert_string_not_equal(folder_id(f, "INBOX"), inbox);
    assert_int_equal(row_of(f, f->inbox, before).email_id, old.email_id);
    after = arrive(f, "after@x", "");
    row = row_of(f, f->inbox, after);
    /* What the lost future gave to the content of this id. */
    assert_true(row.email_id != old.email_id - old.content_id + row.content_id);
    assert_true(row.email_id != old.email_id);
}

static void test_text(void **state)
{
    static const char *const bad[] = {"",
                                      "M",
                                      "M1",
                                      "M1-",
                                      "M-1",
                                      "T1-1",
                                      "M01-1",
                                      "M1-01",
                                      "M1-1 ",
                                      "M99999999999-1",
                                      "M1-1099511627776"};
    struct fixture *f = *state;
    uint32_t uid = arrive(f, "a@x", "");
    struct vault_message row = row_of(f, f->inbox, uid);
    char text[VAULT_IDENTITY_ROOM];
    int64_t id = 0, *contents;
    size_t count;

    vault_identity_write(VAULT_IDENTITY_EMAIL, row.email_id, text);
    assert_true(vault_identity_read(VAULT_IDENTITY_EMAIL, str_from_c(text), &id));
    assert_int_equal(id, row.email_id);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (vault_identity_read(VAULT_IDENTITY_EMAIL, str_from_c(bad[i]), &id))
            fail_msg("%s", bad[i]);
    assert_int_equal(vault_identity_contents(f->vault, &f->task, VAULT_IDENTITY_EMAIL, row.email_id,
                                             &contents, &count),
                     ERR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(contents[0], row.content_id);
    assert_int_equal(vault_identity_contents(f->vault, &f->task, VAULT_IDENTITY_THREAD,
                                             row.thread_id, &contents, &count),
                     ERR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(
        vault_identity_contents(f->vault, &f->task, VAULT_IDENTITY_EMAIL, 12345, &contents, &count),
        ERR_OK);
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
        TEST(test_threads),
        TEST(test_copies_and_restarts),
        TEST(test_hostile_references),
        TEST(test_going),
        TEST(test_older_mailbox),
        TEST(test_folders),
        TEST(test_roll_back),
        TEST(test_text),
#undef TEST
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
