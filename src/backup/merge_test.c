/* A mailbox's messages beside another's: folders, flags, keywords, dates; and no duplicates where
 * none are wanted, a message at a time. */
#include "backup/merge.h"

#include "base/clock.h"
#include "base/file.h"
#include "vault/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* `f` is the live mailbox; this is the one that was restored. */
static struct fixture *restored(void)
{
    void *other = NULL;

    assert_int_equal(fixture_set_up(&other), 0);
    return other;
}

static void done(struct fixture *other)
{
    void *state = other;

    assert_int_equal(fixture_tear_down(&state), 0);
}

/* The steps that it took. */
static size_t run(struct fixture *to, struct fixture *from, const struct merge_options *options,
                  struct merge_counts *out_counts)
{
    CLEANUP(merge_free) struct merge *merge = NULL;
    size_t steps = 0;
    bool has_more = true;

    assert_int_equal(merge_begin(&to->task, from->vault, to->vault, options, &merge), ERR_OK);
    while (has_more) {
        uint64_t before = merge_counts(merge)->done;

        if (merge_step(merge, &to->task, &has_more) != ERR_OK)
            fail_msg("%s", to->task.words);
        /* Sessions have their turn between two messages. */
        assert_in_range(merge_counts(merge)->done - before, 0, 1);
        steps++;
    }
    *out_counts = *merge_counts(merge);
    assert_int_equal(out_counts->done, out_counts->total);
    return steps;
}

static uint64_t keyword(struct fixture *f, const char *name)
{
    uint64_t bit = 0;

    assert_int_equal(vault_keyword_bit(f->vault, &f->task, str_from_c(name), true, 0, &bit),
                     ERR_OK);
    return bit;
}

static void folders_flags_keywords_and_dates(void **state)
{
    struct fixture *f = *state, *other = restored();
    const struct merge_options options = {.into = STR("Back")};
    struct vault_append append = {.raw = fixture_message(other, "dated"),
                                  .internal_date_ms = INT64_C(1600000000000),
                                  .internal_zone_minutes = 90};
    struct merge_counts counts;
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    struct vault_message message;
    int64_t back;
    uint32_t uid;
    bool has_row;

    /* The same keyword has another bit on the other side. */
    (void)keyword(f, "$first");
    append.flags = VAULT_FLAG_SEEN | VAULT_FLAG_FLAGGED | keyword(other, "$second");
    assert_int_equal(vault_message_append(other->vault, &other->task, other->inbox, &append, &uid),
                     ERR_OK);
    fixture_append(other, other->archive, fixture_message(other, "archived"), 0);
    fixture_append(f, f->inbox, fixture_message(f, "live"), 0);
    (void)run(f, other, &options, &counts);
    assert_int_equal(counts.total, 2);
    assert_int_equal(counts.skipped, 0);
    assert_string_equal(fixture_uids(f, f->inbox), "1"); /* as it was */
    back = fixture_folder_id(f, "Back/INBOX");
    assert_string_equal(fixture_uids(f, fixture_folder_id(f, "Back/Archive")), "1");
    assert_int_equal(vault_cursor_open(f->vault, &f->task, back, 1, 1,
                                       VAULT_COLUMN_FLAGS | VAULT_COLUMN_DATES, false, &cursor),
                     ERR_OK);
    assert_int_equal(vault_cursor_next(cursor, &f->task, &message, &has_row), ERR_OK);
    assert_true(has_row);
    assert_int_equal(message.internal_date_ms, INT64_C(1600000000000));
    assert_int_equal(message.internal_zone_minutes, 90);
    assert_int_equal(message.flags, VAULT_FLAG_SEEN | VAULT_FLAG_FLAGGED | keyword(f, "$second"));
    vault_cursor_close(&cursor);
    assert_true(str_equal(fixture_read(f, back, 1), append.raw));
    done(other);
}

static void duplicates_are_left_out(void **state)
{
    enum { BOTH = 40, ONLY_THERE = 7, ONLY_HERE = 5 };
    struct fixture *f = *state, *other = restored();
    const struct merge_options options = {
        .into = STR("Back"), .folder = STR("INBOX"), .skip_duplicates = true};
    struct merge_counts counts;
    char subject[32];
    size_t steps;

    for (int i = 0; i < BOTH + ONLY_THERE; i++) {
        snprintf(subject, sizeof(subject), "message %d", i * 7919 % (BOTH + ONLY_THERE));
        fixture_append(other, other->inbox, fixture_message(other, subject), 0);
    }
    for (int i = 0; i < BOTH; i++) {
        snprintf(subject, sizeof(subject), "message %d", i);
        fixture_append(f, f->inbox, fixture_message(f, subject), VAULT_FLAG_SEEN);
    }
    for (int i = 0; i < ONLY_HERE; i++)
        fixture_append(f, f->inbox, fixture_message(f, "only here"), 0);
    /* In another folder it is no duplicate. */
    fixture_append(f, f->archive, fixture_message(f, "message 46"), 0);
    steps = run(f, other, &options, &counts);
    assert_int_equal(counts.total, BOTH + ONLY_THERE);
    assert_int_equal(counts.skipped, BOTH);
    assert_string_equal(fixture_uids(f, fixture_folder_id(f, "Back")), "1 2 3 4 5 6 7");
    /* The live folder's messages are read one at a time, too. */
    assert_true(steps > 2 * BOTH + ONLY_THERE + ONLY_HERE);
    /* Again: all that came is in "Back", which is not where duplicates are looked for. */
    (void)run(f, other, &options, &counts);
    assert_int_equal(counts.skipped, BOTH);
    done(other);
}

static void what_is_expunged_meanwhile(void **state)
{
    struct fixture *f = *state, *other = restored();
    const struct merge_options options = {
        .into = STR("Back"), .folder = STR("INBOX"), .skip_duplicates = true};
    CLEANUP(merge_free) struct merge *merge = NULL;
    bool has_more = true;
    size_t expunged_count;
    uint32_t *expunged;

    for (int i = 0; i < 3; i++) {
        fixture_append(other, other->inbox, fixture_message(other, "same"), 0);
        fixture_append(f, f->inbox, fixture_message(f, "same"), VAULT_FLAG_DELETED);
    }
    assert_int_equal(merge_begin(&f->task, other->vault, f->vault, &options, &merge), ERR_OK);
    assert_int_equal(merge_step(merge, &f->task, &has_more), ERR_OK); /* the folder was listed */
    assert_int_equal(
        vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &expunged, &expunged_count),
        ERR_OK);
    assert_int_equal(expunged_count, 3);
    while (has_more)
        assert_int_equal(merge_step(merge, &f->task, &has_more), ERR_OK);
    assert_int_equal(merge_counts(merge)->done, 3);
    done(other);
}

static void what_is_refused(void **state)
{
    struct fixture *f = *state, *other = restored();
    const struct merge_options none = {.into = STR("Back"), .folder = STR("No such")};
    const struct merge_options bad = {.into = STR("a\x01z")};
    CLEANUP(merge_free) struct merge *merge = NULL;
    bool has_more;

    assert_int_equal(merge_begin(&f->task, other->vault, f->vault, &none, &merge), ERR_NOT_FOUND);
    assert_null(merge);
    task_forgive(&f->task);
    fixture_append(other, other->inbox, fixture_message(other, "one"), 0);
    assert_int_equal(merge_begin(&f->task, other->vault, f->vault, &bad, &merge), ERR_OK);
    assert_int_equal(merge_step(merge, &f->task, &has_more), ERR_INVALID);
    task_forgive(&f->task);
    done(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
        TEST(folders_flags_keywords_and_dates),
        TEST(duplicates_are_left_out),
        TEST(what_is_expunged_meanwhile),
        TEST(what_is_refused),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
