/* The list of a folder, and what is noted with it, against its table, while messages come, change
 * and go. */
#include "vault/fixture.h"

#include "vault/folder_contents.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { ROUNDS = 800, MESSAGES_MAX = 400, MESSAGES_ENOUGH = 120, MESSAGES_FEW = 20 };

struct listed {
    struct fixture *f;
    int64_t folder_id;
    uint32_t uids[MESSAGES_MAX];
    size_t count;
};

static uint32_t seed = 7;
static unsigned stores, stores_from_list;

static uint32_t random_to(size_t bound)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % (uint32_t)bound;
}

/* What the search goes by is the table's. */
static void check_contents(struct fixture *f, int64_t folder_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    const struct folder *folder = vault_folder_get(f->vault, folder_id);
    struct folder_contents_walk walk = {0};
    struct folder_contents_stretch stretch = {0};
    uint32_t at = 0;
    bool has_row;

    assert_int_equal(folder_contents_read(f->vault, &f->task, folder), ERR_OK);
    assert_int_equal(
        db_prepare(f->vault->db, &f->task,
                   "SELECT key, content_id FROM message WHERE key >> 32 = ?1 ORDER BY key",
                   &statement),
        ERR_OK);
    db_bind_int(statement, 1, folder_id);
    for (;; at++) {
        assert_int_equal(db_step(f->vault->db, &f->task, statement, &has_row), ERR_OK);
        if (at == stretch.count) {
            at = 0;
            assert_int_equal(folder_contents_next(f->vault, &walk, &stretch), has_row);
        }
        if (!has_row)
            return;
        assert_int_equal(stretch.uid + at, key_uid(db_column_int(statement, 0)));
        assert_int_equal(stretch.content_id + at, db_column_int(statement, 1));
    }
}

/* Of a message in the list; it may be one that is kept from before, without days. */
static size_t check_sent_day(const struct listed *listed, uint32_t uid, size_t *at,
                             sqlite3_stmt *statement, int column)
{
    int32_t day;

    if (!vault_message_sent_day(listed->f->vault, listed->folder_id, uid, at, &day))
        return 0;
    assert_int_equal(day, db_column_is_null(statement, column) ? INT32_MIN
                                                               : db_column_int(statement, column));
    return 1;
}

static size_t days_seen;

static void list(struct fixture *f, int64_t folder_id, struct listed *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct vault_uid_flags *messages;
    size_t at = 0, days = 0;
    bool has_row, is_selected = random_to(2) == 0;

    *out = (struct listed){.f = f, .folder_id = folder_id};
    assert_int_equal((is_selected ? vault_message_list_selected : vault_message_list)(
                         f->vault, &f->task, folder_id, &messages, &out->count),
                     ERR_OK);
    assert_true(out->count <= MESSAGES_MAX);
    assert_int_equal(db_prepare(f->vault->db, &f->task,
                                "SELECT key, flags, modseq, sent_day FROM message "
                                "WHERE key >> 32 = ?1 AND is_expunged = 0 ORDER BY key",
                                &statement),
                     ERR_OK);
    db_bind_int(statement, 1, folder_id);
    for (size_t i = 0; i <= out->count; i++) {
        assert_int_equal(db_step(f->vault->db, &f->task, statement, &has_row), ERR_OK);
        assert_int_equal(has_row, i < out->count);
        if (!has_row)
            break;
        assert_int_equal(messages[i].uid, key_uid(db_column_int(statement, 0)));
        assert_int_equal(messages[i].flags, db_column_int(statement, 1));
        assert_int_equal(messages[i].modseq, db_column_int(statement, 2));
        out->uids[i] = messages[i].uid;
        days += check_sent_day(out, out->uids[i], &at, statement, 3);
    }
    assert_true(days == 0 || days == out->count);
    days_seen += days;
    if (random_to(3) == 0)
        check_contents(f, folder_id);
}

/* Of another day than the one before, or of none. */
static void append_one(struct fixture *f, int64_t folder_id)
{
    uint32_t day = random_to(30);
    struct str raw = day == 0 ? STR("Subject: x\r\n\r\ny\r\n")
                              : arena_printf(&f->task.arena,
                                             "Date: %u Nov 2026 05:00:00 +0100\r\n\r\ny\r\n", day);

    fixture_append(f, folder_id, raw, 0);
}

/* Some neighbours; they may be gone since the list. */
static size_t choose(const struct listed *listed, const uint32_t **out)
{
    size_t start = listed->count == 0 ? 0 : random_to(listed->count), left = listed->count - start;

    *out = listed->uids + start;
    return left == 0 ? 0 : 1 + random_to(left < 5 ? left : 5);
}

/* The row of a message, by the table; false: it is gone. */
static bool read_row(const struct listed *listed, uint32_t uid, struct vault_uid_flags *out)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    assert_int_equal(db_prepare(listed->f->vault->db, &listed->f->task,
                                "SELECT flags, modseq FROM message WHERE key = ?1 AND is_expunged = 0",
                                &statement),
                     ERR_OK);
    db_bind_int(statement, 1, message_key(listed->folder_id, uid));
    assert_int_equal(db_step(listed->f->vault->db, &listed->f->task, statement, &has_row), ERR_OK);
    if (has_row)
        *out = (struct vault_uid_flags){.uid = uid,
                                        .flags = (uint64_t)db_column_int(statement, 0),
                                        .modseq = (uint64_t)db_column_int(statement, 1)};
    return has_row;
}

/* Each message is gone, refused or told of, as the table has it. */
static void change_flags(const struct listed *listed)
{
    struct fixture *f = listed->f;
    const struct folder *folder = vault_folder_get(f->vault, listed->folder_id);
    size_t modified = 0, gone = 0, now = 0, count, at_count = 0;
    struct vault_uid_flags before[5] = {0}, after;
    bool is_there[5] = {0};
    const uint32_t *chosen;
    enum vault_store_mode mode = random_to(2) == 0 ? VAULT_STORE_ADD : VAULT_STORE_REMOVE;
    uint64_t unchanged_since = random_to(2) == 0 ? UINT64_MAX : folder->highest_modseq - random_to(10);
    struct vault_stored stored;

    count = choose(listed, &chosen);
    for (size_t i = 0; i < count; i++)
        is_there[i] = read_row(listed, chosen[i], &before[i]);
    stores_from_list += message_list_current(f->vault, folder, &at_count) != NULL;
    stores++;
    assert_int_equal(vault_message_store_telling(f->vault, &f->task, listed->folder_id, chosen, count,
                                                 mode, VAULT_FLAG_FLAGGED, unchanged_since, &stored),
                     ERR_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(read_row(listed, chosen[i], &after), is_there[i]);
        if (!is_there[i]) {
            assert_int_equal(stored.gone[gone++], chosen[i]);
        } else if (before[i].modseq > unchanged_since) {
            assert_int_equal(stored.modified[modified++], chosen[i]);
            assert_int_equal(after.flags, before[i].flags);
        } else {
            assert_int_equal(after.flags & VAULT_FLAG_FLAGGED,
                             mode == VAULT_STORE_ADD ? VAULT_FLAG_FLAGGED : 0);
            assert_int_equal(stored.now[now].uid, chosen[i]);
            assert_int_equal(stored.now[now].flags, after.flags);
            assert_int_equal(stored.now[now++].modseq, after.modseq);
        }
    }
    assert_int_equal(stored.gone_count, gone);
    assert_int_equal(stored.modified_count, modified);
    assert_int_equal(stored.now_count, now);
}

static void remove_some(const struct listed *listed)
{
    const uint32_t *chosen;
    size_t count = choose(listed, &chosen);

    if (listed->count > MESSAGES_FEW)
        assert_int_equal(vault_message_remove(listed->f->vault, &listed->f->task,
                                              listed->folder_id, chosen, count),
                         ERR_OK);
}

static void copy_to(const struct listed *listed, int64_t to_id)
{
    const uint32_t *chosen;
    uint32_t *sources, *copies;
    size_t count = choose(listed, &chosen);

    if (count > 0)
        assert_int_equal(vault_message_copy(listed->f->vault, &listed->f->task, listed->folder_id,
                                            to_id, chosen, count,
                                            listed->count > MESSAGES_FEW && random_to(2) == 0,
                                            &sources, &copies, &count),
                         ERR_OK);
}

static void change(const struct listed *listed)
{
    switch (random_to(4)) {
    case 0:
        if (listed->count < MESSAGES_ENOUGH)
            append_one(listed->f, listed->folder_id);
        break;
    case 1:
        remove_some(listed);
        break;
    default:
        change_flags(listed);
    }
}

static void test_follows_changes(void **state)
{
    struct fixture *f = *state;
    struct listed here, there;

    for (int i = 0; i < 60; i++)
        append_one(f, f->inbox);
    for (int round = 0; round < ROUNDS; round++) {
        bool is_inbox = random_to(4) > 0;

        list(f, is_inbox ? f->inbox : f->archive, &here);
        if (random_to(4) == 0 && here.count < MESSAGES_ENOUGH) {
            copy_to(&here, is_inbox ? f->archive : f->inbox);
            list(f, is_inbox ? f->archive : f->inbox, &there);
            while (there.count >= MESSAGES_ENOUGH) { /* it does not grow for ever */
                remove_some(&there);
                list(f, there.folder_id, &there);
            }
        }
        for (uint32_t changes = random_to(4); changes > 0; changes--)
            change(&here);
        if (random_to(100) == 0)
            fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
        if (random_to(100) == 0)
            fixture_reopen(f);
    }
    assert_true(days_seen > ROUNDS);
    assert_in_range(stores_from_list, stores / 4, stores - stores / 4);
}

/* What is read within a change that is undone is not kept. */
static void test_forgets_what_was_undone(void **state)
{
    struct fixture *f = *state;
    struct vault_uid_flags *messages;
    struct listed listed;
    size_t count;

    fixture_append(f, f->inbox, fixture_message(f, "x"), 0);
    list(f, f->inbox, &listed);
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    fixture_append(f, f->inbox, fixture_message(f, "y"), 0);
    assert_int_equal(vault_message_list(f->vault, &f->task, f->inbox, &messages, &count), ERR_OK);
    assert_int_equal(count, 2);
    fixture_execute(f, "ROLLBACK"); /* so that the batch's end fails */
    assert_int_not_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
    task_forgive(&f->task);
    list(f, f->inbox, &listed);
    assert_int_equal(listed.count, 1);
}

/* Flags that a batch changed, or took back, without the list's knowing. */
static void test_follows_batches(void **state)
{
    struct fixture *f = *state;
    struct listed listed;

    for (int i = 0; i < 12; i++)
        append_one(f, f->inbox);
    for (int round = 0; round < 40; round++) {
        list(f, f->inbox, &listed);
        change_flags(&listed);
        assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
        change_flags(&listed);
        change_flags(&listed);
        if (random_to(2) == 0) {
            fixture_execute(f, "ROLLBACK");
            assert_int_not_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
            task_forgive(&f->task);
        } else {
            assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
        }
        change_flags(&listed);
        list(f, f->inbox, &listed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_follows_changes, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_forgets_what_was_undone, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_follows_batches, fixture_set_up, fixture_tear_down),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
