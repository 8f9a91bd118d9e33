#include "vault/undelete.h"

#include "vault/fixture.h"
#include "vault/maildrop.h"
#include "vault/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const int64_t day_ms = INT64_C(24) * 3600 * 1000;

static const struct vault_undelete_filter everything = {.since_ms = INT64_MIN};

static int set_up(void **state)
{
    struct fixture *f;

    if (fixture_set_up(state) != 0)
        return -1;
    f = *state;
    vault_set_undelete(f->vault, 14 * day_ms, UINT64_MAX);
    return 0;
}

static void reopen(struct fixture *f)
{
    fixture_reopen(f);
    vault_set_undelete(f->vault, 14 * day_ms, UINT64_MAX);
}

static void expunge(struct fixture *f, int64_t folder_id, uint32_t uid)
{
    if (vault_message_remove(f->vault, &f->task, folder_id, &uid, 1) != ERR_OK)
        fail_msg("remove: %s", f->task.words);
}

static void prepare(struct fixture *f)
{
    bool is_done = false;

    while (!is_done)
        assert_int_equal(vault_undelete_prepare(f->vault, &f->task, &is_done), ERR_OK);
}

/* The subjects that the filter lets through, with their folders: "INBOX:one Archive:two". */
static const char *list(struct fixture *f, const struct vault_undelete_filter *filter)
{
    struct vault_undelete_run run = {0};
    CLEANUP(buf_free) struct buf out = {0};

    buf_init(&out, SIZE_MAX);
    prepare(f);
    while (!run.is_done) {
        struct vault_hidden *messages;
        size_t count;

        assert_int_equal(vault_undelete_list(f->vault, &f->task, filter, &run, &messages, &count),
                         ERR_OK);
        for (size_t i = 0; i < count; i++)
            buf_putf(&out, "%s%.*s:%.*s", out.len > 0 ? " " : "", STR_ARG(messages[i].folder),
                     STR_ARG(messages[i].subject));
    }
    return arena_copy(&f->task.arena, buf_str(&out)).ptr;
}

static enum err restore(struct fixture *f, const struct vault_undelete_filter *filter,
                        uint64_t *out_restored)
{
    struct vault_undelete_run run = {0};
    enum err err = ERR_OK;

    prepare(f);
    while (err == ERR_OK && !run.is_done)
        err = vault_undelete_restore(f->vault, &f->task, filter, &run);
    *out_restored = run.restored;
    return err;
}

static uint64_t restore_all(struct fixture *f)
{
    uint64_t restored;

    if (restore(f, &everything, &restored) != ERR_OK)
        fail_msg("restore: %s", f->task.words);
    return restored;
}

/* --- There and back --- */

static void check_restored(struct fixture *f, struct str raw, uint64_t flags)
{
    struct vault_cursor *cursor;
    struct vault_message message;
    bool has_row;

    assert_true(str_equal(fixture_read(f, f->inbox, 2), raw));
    assert_int_equal(vault_cursor_open(f->vault, &f->task, f->inbox, 2, 2,
                                       VAULT_COLUMN_DATES | VAULT_COLUMN_SIZE | VAULT_COLUMN_SENT,
                                       false, &cursor),
                     ERR_OK);
    assert_int_equal(vault_cursor_next(cursor, &f->task, &message, &has_row), ERR_OK);
    assert_true(has_row);
    assert_true(message.flags == flags);
    assert_int_equal(message.internal_date_ms, 1763787600123);
    assert_int_equal(message.internal_zone_minutes, -90);
    assert_int_equal(message.save_date_ms, f->task.now_ms - day_ms);
    assert_int_equal(message.size_bytes, raw.len);
    vault_cursor_close(&cursor);
}

static void test_flags_and_dates(void **state)
{
    struct fixture *f = *state;
    struct str raw = fixture_message(f, "kept");
    struct vault_append append = {.raw = raw,
                                  .flags = VAULT_FLAG_SEEN | VAULT_FLAG_DELETED,
                                  .internal_date_ms = 1763787600123,
                                  .internal_zone_minutes = -90,
                                  .uidl = STR("from-another")};
    struct vault_maildrop_message *drop;
    uint64_t keyword;
    uint32_t uid, *uids;
    size_t count;

    assert_int_equal(vault_keyword_bit(f->vault, &f->task, STR("Important"), true, 0, &keyword),
                     ERR_OK);
    append.flags |= keyword;
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_OK);
    assert_int_equal(vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &uids, &count),
                     ERR_OK);
    assert_int_equal(count, 1);
    /* Sessions may read it still, and it counts no more. */
    assert_true(str_equal(fixture_read(f, f->inbox, 1), raw));
    assert_string_equal(fixture_uids(f, f->inbox), "");
    assert_int_equal(f->vault->size_bytes, 0);
    f->task.now_ms += day_ms;
    fixture_housekeep(f, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), 0);
    assert_int_equal(f->vault->hidden_bytes, raw.len);
    reopen(f);
    assert_int_equal(f->vault->hidden_count, 1);
    assert_int_equal(restore_all(f), 1);
    fixture_check(f);
    check_restored(f, raw, VAULT_FLAG_SEEN | keyword);
    assert_int_equal(f->vault->hidden_count, 0);
    assert_int_equal(f->vault->size_bytes, raw.len);
    assert_int_equal(vault_maildrop_list(f->vault, &f->task, f->inbox, &drop, &count), ERR_OK);
    assert_string_equal(drop[0].given_uidl, "from-another");
    assert_int_equal(restore_all(f), 0);
}

/* Moved mail is elsewhere, and what has a copy keeps its content. */
static void test_what_is_kept(void **state)
{
    struct fixture *f = *state;
    uint32_t uid, *sources, *uids;
    size_t count;

    uid = fixture_append(f, f->inbox, fixture_message(f, "moved"), 0);
    assert_int_equal(vault_message_copy(f->vault, &f->task, f->inbox, f->archive, &uid, 1, true,
                                        &sources, &uids, &count),
                     ERR_OK);
    uid = fixture_append(f, f->inbox, fixture_message(f, "copied"), 0);
    assert_int_equal(vault_message_copy(f->vault, &f->task, f->inbox, f->archive, &uid, 1, false,
                                        &sources, &uids, &count),
                     ERR_OK);
    expunge(f, f->inbox, uid);
    uid = fixture_append(f, f->inbox, fixture_message(f, "replaced"), 0);
    assert_int_equal(
        vault_message_replace(f->vault, &f->task, f->inbox, uid, f->archive,
                              &(struct vault_append){.raw = fixture_message(f, "newer")}, &uid),
        ERR_OK);
    assert_string_equal(list(f, &everything), "INBOX:copied INBOX:replaced");
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM purge"), 0);
    fixture_check(f);
    assert_int_equal(restore_all(f), 2);
    assert_string_equal(fixture_uids(f, f->inbox), "4 5");
    assert_string_equal(fixture_uids(f, f->archive), "1 2 3");
    fixture_check(f);
}

struct listener {
    struct vault_subscriber subscriber;
    int64_t folder_ids[8];
    size_t count;
};

static void on_change(struct vault_subscriber *subscriber, int64_t folder_id)
{
    struct listener *listener = (struct listener *)subscriber;

    if (listener->count < ARRAY_LEN(listener->folder_ids))
        listener->folder_ids[listener->count++] = folder_id;
}

/* Sessions hear of what came back as they do of new mail. */
static void test_announced(void **state)
{
    struct fixture *f = *state;
    struct listener listener = {.subscriber.on_change = on_change};
    struct vault_changes changes;
    uint64_t modseq;

    fixture_append(f, f->inbox, fixture_message(f, "one"), 0);
    fixture_append(f, f->inbox, fixture_message(f, "two"), 0);
    expunge(f, f->inbox, 1);
    modseq = vault_folder_modseq(f->vault, f->inbox);
    vault_subscribe(f->vault, &listener.subscriber);
    assert_int_equal(restore_all(f), 1);
    vault_unsubscribe(f->vault, &listener.subscriber);
    assert_int_equal(listener.count, 1);
    assert_int_equal(listener.folder_ids[0], f->inbox);
    assert_int_equal(vault_changes_since(f->vault, &f->task, f->inbox, modseq, &changes), ERR_OK);
    assert_int_equal(changes.changed_count, 1);
    assert_int_equal(changes.changed[0].uid, 3);
    assert_int_equal(changes.expunged_count, 0);
}

/* --- Folders that are gone --- */

static void create(struct fixture *f, const char *name, enum vault_special_use use)
{
    assert_int_equal(vault_folder_create(f->vault, &f->task, str_from_c(name), use), ERR_OK);
}

static void delete (struct fixture *f, const char *name)
{
    assert_int_equal(vault_folder_delete(f->vault, &f->task, str_from_c(name)), ERR_OK);
}

static void test_folder_made_again(void **state)
{
    struct fixture *f = *state;
    struct vault_folder folder;

    create(f, "Work/Old", VAULT_USE_FLAGGED);
    fixture_append(f, fixture_folder_id(f, "Work/Old"), fixture_message(f, "early"), 0);
    expunge(f, fixture_folder_id(f, "Work/Old"), 1);
    fixture_append(f, fixture_folder_id(f, "Work/Old"), fixture_message(f, "late"), 0);
    fixture_housekeep(f, day_ms);
    delete (f, "Work/Old");
    delete (f, "Work");
    reopen(f);
    assert_string_equal(list(f, &everything), "Work/Old:early Work/Old:late");
    assert_int_equal(restore_all(f), 2);
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("Work/Old"), &folder), ERR_OK);
    assert_int_equal(folder.use, VAULT_USE_FLAGGED);
    assert_int_equal(folder.message_count, 2);
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("Work"), &folder), ERR_OK);
    fixture_check(f);
    fixture_housekeep(f, day_ms * 2);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM former_folder"), 0);
}

/* Deleted and made by the owner himself: into the new one. */
static void test_folder_of_the_same_name(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 2; i++) {
        create(f, "Work", VAULT_USE_NONE);
        fixture_append(f, fixture_folder_id(f, "Work"), fixture_message(f, i ? "b" : "a"), 0);
        delete (f, "Work");
    }
    create(f, "Work", VAULT_USE_NONE);
    assert_string_equal(list(f, &everything), "Work:a Work:b");
    assert_int_equal(restore_all(f), 2);
    assert_string_equal(fixture_uids(f, fixture_folder_id(f, "Work")), "1 2");
}

static void test_noselect_and_renamed(void **state)
{
    struct fixture *f = *state;
    struct vault_folder folder;

    create(f, "A/B", VAULT_USE_NONE);
    fixture_append(f, fixture_folder_id(f, "A"), fixture_message(f, "parent"), 0);
    fixture_append(f, fixture_folder_id(f, "A/B"), fixture_message(f, "child"), 0);
    expunge(f, fixture_folder_id(f, "A/B"), 1);
    delete (f, "A"); /* \Noselect, because of its child */
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("A"), STR("C")), ERR_OK);
    assert_string_equal(list(f, &everything), "C/B:child C:parent");
    assert_int_equal(restore_all(f), 2);
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("C"), &folder), ERR_OK);
    assert_true(folder.is_selectable);
    assert_int_equal(folder.message_count, 1);
    assert_string_equal(fixture_uids(f, folder.id), "2");
}

/* --- Which --- */

static void test_filter(void **state)
{
    struct fixture *f = *state;
    struct vault_undelete_filter filter = everything;
    uint64_t restored;

    create(f, "Work/Old", VAULT_USE_NONE);
    create(f, "Workshop", VAULT_USE_NONE);
    fixture_append(f, f->inbox, fixture_message(f, "The Bill"), 0);
    fixture_append(f, fixture_folder_id(f, "Work"), fixture_message(f, "Straße"), 0);
    expunge(f, f->inbox, 1);
    expunge(f, fixture_folder_id(f, "Work"), 1);
    f->task.now_ms += day_ms;
    fixture_append(f, fixture_folder_id(f, "Work/Old"), fixture_message(f, "billing"), 0);
    fixture_append(f, fixture_folder_id(f, "Workshop"), fixture_message(f, "tools"), 0);
    expunge(f, fixture_folder_id(f, "Work/Old"), 1);
    expunge(f, fixture_folder_id(f, "Workshop"), 1);

    filter.subject = STR("bill");
    assert_string_equal(list(f, &filter), "INBOX:The Bill Work/Old:billing");
    filter = everything;
    filter.folder = STR("Work");
    assert_string_equal(list(f, &filter), "Work:Straße Work/Old:billing");
    filter = everything;
    filter.since_ms = f->task.now_ms - day_ms / 2;
    assert_string_equal(list(f, &filter), "Work/Old:billing Workshop:tools");
    filter.subject = STR("BILL");
    filter.folder = STR("Work");
    assert_int_equal(restore(f, &filter, &restored), ERR_OK);
    assert_int_equal(restored, 1);
    assert_string_equal(list(f, &everything), "INBOX:The Bill Work:Straße Workshop:tools");
}

/* More than a slice, a quota in the middle, and what comes in between is not of the run. */
static void test_many(void **state)
{
    struct fixture *f = *state;
    struct vault_undelete_run run = {0};
    struct str raw = fixture_message(f, "many");
    uint32_t uids[250];
    uint64_t restored;

    for (uint32_t i = 0; i < 250; i++)
        uids[i] = fixture_append(f, f->inbox, raw, 0);
    assert_int_equal(vault_message_remove(f->vault, &f->task, f->inbox, uids, 250), ERR_OK);
    prepare(f);
    vault_set_limit(f->vault, raw.len * 130);
    assert_int_equal(restore(f, &everything, &restored), ERR_LIMIT);
    assert_int_equal(restored, 130);
    assert_int_equal(f->vault->message_count, 130);
    fixture_check(f);
    vault_set_limit(f->vault, UINT64_MAX);
    assert_int_equal(vault_undelete_restore(f->vault, &f->task, &everything, &run), ERR_OK);
    assert_false(run.is_done);
    expunge(f, f->inbox, 251); /* the first that came back */
    prepare(f);
    while (!run.is_done)
        assert_int_equal(vault_undelete_restore(f->vault, &f->task, &everything, &run), ERR_OK);
    assert_int_equal(run.restored, 120);
    assert_int_equal(f->vault->message_count, 249);
    assert_int_equal(f->vault->hidden_count, 1);
}

/* --- How long, and how much --- */

static void test_expiry(void **state)
{
    struct fixture *f = *state;

    fixture_append(f, f->inbox, fixture_message(f, "old"), 0);
    fixture_append(f, f->inbox, fixture_message(f, "new"), 0);
    expunge(f, f->inbox, 1);
    f->task.now_ms += day_ms;
    expunge(f, f->inbox, 2);
    f->task.now_ms += 13 * day_ms - 1;
    fixture_housekeep(f, 0);
    assert_string_equal(list(f, &everything), "INBOX:old INBOX:new");
    f->task.now_ms += 1;
    assert_true(vault_undelete_is_due(f->vault, &f->task));
    fixture_housekeep(f, 0);
    assert_string_equal(list(f, &everything), "INBOX:new");
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM content"), 1);
    /* Nobody said how long: what there is stays. */
    fixture_reopen(f);
    fixture_housekeep(f, 100 * day_ms);
    assert_string_equal(list(f, &everything), "INBOX:new");
    vault_set_undelete(f->vault, 0, UINT64_MAX);
    fixture_housekeep(f, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM content"), 0);
    fixture_append(f, f->inbox, fixture_message(f, "not kept"), 0);
    expunge(f, f->inbox, 3);
    fixture_housekeep(f, day_ms);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM content"), 0);
}

static void test_limit(void **state)
{
    struct fixture *f = *state;
    struct str raw = fixture_message(f, "m00");
    struct vault_undelete_usage usage;
    char subject[8];

    vault_set_undelete(f->vault, 14 * day_ms, raw.len * 3);
    for (uint32_t i = 1; i <= 5; i++) {
        snprintf(subject, sizeof(subject), "m%02u", i);
        fixture_append(f, f->inbox, fixture_message(f, subject), 0);
        expunge(f, f->inbox, i);
    }
    fixture_housekeep(f, 2 * VAULT_EXPUNGED_GRACE_MS);
    assert_string_equal(list(f, &everything), "INBOX:m03 INBOX:m04 INBOX:m05");
    vault_undelete_usage(f->vault, &usage);
    assert_int_equal(usage.bytes, raw.len * 3);
    assert_int_equal(usage.messages, 3);
    vault_set_undelete(f->vault, 14 * day_ms, 0);
    fixture_housekeep(f, 0);
    assert_string_equal(list(f, &everything), "");
}

/* A search never names what is hidden, and what came back is found. */
static void test_search(void **state)
{
    struct fixture *f = *state;

    fixture_append(f, f->inbox, fixture_message(f, "needle"), 0);
    expunge(f, f->inbox, 1);
    fixture_housekeep(f, day_ms);
    assert_string_equal(fixture_uids(f, f->inbox), "");
    assert_int_equal(restore_all(f), 1);
    fixture_housekeep(f, day_ms);
    assert_string_equal(fixture_uids(f, f->inbox), "2");
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM word_gone"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_flags_and_dates),
        TEST(test_what_is_kept),
        TEST(test_announced),
        TEST(test_folder_made_again),
        TEST(test_folder_of_the_same_name),
        TEST(test_noselect_and_renamed),
        TEST(test_filter),
        TEST(test_many),
        TEST(test_expiry),
        TEST(test_limit),
        TEST(test_search),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
