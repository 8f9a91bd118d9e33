/* Messages: arrival, cursors, flags, keywords, copying, moving, expunging, changes. */
#include "vault/fixture.h"

#include "base/memory.h"
#include "message/message.h"
#include "vault/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 300 };

static void append_many(struct fixture *f, int64_t folder_id, unsigned count)
{
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    for (unsigned i = 0; i < count; i++)
        fixture_append(f, folder_id, fixture_message(f, "many"), 0);
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
}

static struct vault_message load(struct fixture *f, int64_t folder_id, uint32_t uid,
                                 unsigned columns)
{
    struct vault_cursor *cursor;
    struct vault_message message;
    bool has_row;

    assert_int_equal(
        vault_cursor_open(f->vault, &f->task, folder_id, uid, uid, columns, false, &cursor),
        ERR_OK);
    assert_int_equal(vault_cursor_next(cursor, &f->task, &message, &has_row), ERR_OK);
    assert_true(has_row);
    message.envelope = arena_copy(&f->task.arena, message.envelope);
    message.bodystructure = arena_copy(&f->task.arena, message.bodystructure);
    message.body = arena_copy(&f->task.arena, message.body);
    message.structure = arena_copy(&f->task.arena, message.structure);
    message.subject = arena_copy(&f->task.arena, message.subject);
    message.from = arena_copy(&f->task.arena, message.from);
    message.to = arena_copy(&f->task.arena, message.to);
    message.cc = arena_copy(&f->task.arena, message.cc);
    message.bcc = arena_copy(&f->task.arena, message.bcc);
    message.message_id = arena_copy(&f->task.arena, message.message_id);
    vault_cursor_close(&cursor);
    return message;
}

static void test_append(void **state)
{
    struct fixture *f = *state;
    struct str raw = fixture_message(f, "the subject");
    struct message_summary summary;
    struct message_structure structure;
    struct vault_message message;
    struct vault_folder folder;

    assert_int_equal(fixture_append(f, f->inbox, raw, VAULT_FLAG_FLAGGED), 1);
    fixture_reopen(f);
    assert_int_equal(fixture_append(f, f->inbox, raw, VAULT_FLAG_SEEN | VAULT_FLAG_DELETED), 2);
    message = load(f, f->inbox, 1, ~0u);
    assert_int_equal(message.flags, VAULT_FLAG_FLAGGED);
    assert_int_equal(message.size_bytes, raw.len);
    assert_int_equal(message.internal_date_ms, 1763787600123);
    assert_int_equal(message.internal_zone_minutes, -90);
    assert_int_equal(message.save_date_ms, f->task.now_ms);
    message_parse(&f->task, raw, &summary);
    assert_true(str_equal(message.envelope, summary.envelope));
    assert_true(str_equal(message.bodystructure, summary.bodystructure));
    assert_true(str_equal(message.body, summary.body));
    assert_true(str_equal(message.subject, STR("the subject")));
    assert_int_equal(message.sent_day, summary.sent_day);
    assert_int_equal(message_structure_decode(&f->task, message.structure, &structure), ERR_OK);
    assert_int_equal(structure.part_count, 1);
    assert_int_equal(vault_folder_by_id(f->vault, &f->task, f->inbox, &folder), ERR_OK);
    assert_int_equal(folder.message_count, 2);
    assert_int_equal(folder.unseen_count, 1);
    assert_int_equal(folder.deleted_count, 1);
    assert_int_equal(folder.recent_count, 2);
    assert_int_equal(folder.uidnext, 3);
    assert_int_equal(folder.size_bytes, 2 * raw.len);
}

static void test_append_refused(void **state)
{
    struct fixture *f = *state;
    struct vault_append append = {.raw = fixture_message(f, "x")};
    struct vault_usage usage;
    uint32_t uid;

    assert_int_equal(vault_message_append(f->vault, &f->task, 999, &append, &uid), ERR_NOT_FOUND);
    append.trace_len = append.raw.len + 1;
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid),
                     ERR_INVALID);
    append.trace_len = 0;
    vault_set_limit(f->vault, append.raw.len * 2 + 1);
    fixture_append(f, f->inbox, append.raw, 0);
    fixture_append(f, f->inbox, append.raw, 0);
    task_forgive(&f->task);
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_LIMIT);
    task_forgive(&f->task);
    vault_usage(f->vault, &usage);
    assert_int_equal(usage.messages, 2);
    assert_int_equal(usage.bytes, append.raw.len * 2);
    /* Copies count, moves do not. */
    {
        uint32_t uids[] = {1}, *sources, *targets;
        size_t count;

        assert_int_equal(vault_message_copy(f->vault, &f->task, f->inbox, f->archive, uids, 1,
                                            false, &sources, &targets, &count),
                         ERR_LIMIT);
        task_forgive(&f->task);
        assert_int_equal(vault_message_copy(f->vault, &f->task, f->inbox, f->archive, uids, 1, true,
                                            &sources, &targets, &count),
                         ERR_OK);
    }
    vault_set_limit(f->vault, 0);
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_LIMIT);
    task_forgive(&f->task);
}

/* Design §1.1: a retransmission within a day is acknowledged and not stored again. */
static void test_retransmission(void **state)
{
    struct fixture *f = *state;
    struct str first = STR("Received: from a\r\nSubject: x\r\n\r\nBody\r\n");
    struct str again = STR("Received: from b, later\r\nSubject: x\r\n\r\nBody\r\n");
    struct vault_append append = {.raw = first, .trace_len = 18, .is_delivery = true};
    uint32_t uid;

    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_OK);
    assert_int_equal(uid, 1);
    append.raw = again;
    append.trace_len = 25;
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_OK);
    assert_int_equal(uid, 0);
    /* Also from the drop box, where its record is noted as imported. */
    append.drop_record = id_random();
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_OK);
    assert_int_equal(uid, 0);
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_EXISTS);
    task_forgive(&f->task);
    append.drop_record = (struct id){{0}};
    /* An APPEND of the same bytes is the user's wish. */
    append.is_delivery = false;
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_OK);
    assert_int_equal(uid, 2);
    /* A day later it is another message. */
    append.is_delivery = true;
    f->task.now_ms += VAULT_DELIVERY_MEMORY_MS + 1;
    fixture_housekeep(f, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM delivery"), 0);
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_OK);
    assert_int_equal(uid, 3);
}

static void test_keywords(void **state)
{
    /* They would end the list that they stand in, or the line. */
    static const char *const bad_names[] = {
        "",     "two words", "a)",  "(a", "a\r\n* BYE", "a\n",  "\\Recent",
        "a\"b", "a]",        "{5}", "a%", "*",          "\x7f", "\xc3\xa4",
    };
    struct fixture *f = *state;
    uint64_t bit, same, all = 0;
    char name[32];

    assert_int_equal(vault_keyword_bit(f->vault, &f->task, STR("$Label"), false, 0, &bit),
                     ERR_NOT_FOUND);
    task_forgive(&f->task);
    assert_int_equal(vault_keyword_bit(f->vault, &f->task, STR("$Label"), true, 0, &bit), ERR_OK);
    assert_int_equal(bit, UINT64_C(1) << VAULT_KEYWORD_FIRST);
    fixture_append(f, f->inbox, fixture_message(f, "x"), bit | VAULT_FLAG_SEEN);
    fixture_reopen(f);
    assert_int_equal(vault_keyword_bit(f->vault, &f->task, STR("$LABEL"), true, 0, &same), ERR_OK);
    assert_int_equal(bit, same);
    assert_true(str_equal(vault_keyword_name(f->vault, VAULT_KEYWORD_FIRST), STR("$Label")));
    assert_int_equal(vault_keyword_name(f->vault, 40).len, 0);
    assert_int_equal(load(f, f->inbox, 1, 0).flags, bit | VAULT_FLAG_SEEN);
    for (size_t i = 0; i < ARRAY_LEN(bad_names); i++) {
        if (vault_keyword_bit(f->vault, &f->task, str_from_c(bad_names[i]), true, 0, &same) !=
            ERR_LIMIT)
            fail_msg("%s", bad_names[i]);
        task_forgive(&f->task);
    }
    for (int i = VAULT_KEYWORD_FIRST + 1; i < VAULT_KEYWORD_END; i++) {
        snprintf(name, sizeof(name), "key%d", i);
        assert_int_equal(vault_keyword_bit(f->vault, &f->task, str_from_c(name), true, 0, &bit),
                         ERR_OK);
        all |= bit;
    }
    assert_true(vault_keywords(f->vault) == (all | same));
    fixture_append(f, f->inbox, fixture_message(f, "x"), all);
    assert_true(load(f, f->inbox, 2, 0).flags == all);
    assert_int_equal(vault_keyword_bit(f->vault, &f->task, STR("more"), true, 0, &bit), ERR_LIMIT);
    task_forgive(&f->task);
    assert_string_equal(fixture_uids(f, f->inbox), "1 2");
}

/* What it tells of the messages is what their rows say. */
static void check_told(struct fixture *f, const struct vault_stored *stored)
{
    for (size_t i = 0; i < stored->now_count; i++) {
        struct vault_message row = load(f, f->inbox, stored->now[i].uid, 0);

        assert_true(i == 0 || stored->now[i].uid > stored->now[i - 1].uid);
        assert_true(row.flags == stored->now[i].flags);
        assert_true(row.modseq == stored->now[i].modseq);
    }
}

static struct vault_stored store(struct fixture *f, const uint32_t *uids, size_t count,
                                 enum vault_store_mode mode, uint64_t flags,
                                 uint64_t unchanged_since)
{
    struct vault_stored out;

    if (vault_message_store_telling(f->vault, &f->task, f->inbox, uids, count, mode, flags,
                                    unchanged_since, &out) != ERR_OK)
        fail_msg("store: %s", f->task.words);
    check_told(f, &out);
    return out;
}

static void test_store(void **state)
{
    struct fixture *f = *state;
    uint32_t uids[] = {5, 1, 3, 3, 99, 2};
    struct vault_stored out;
    uint64_t modseq, before;

    append_many(f, f->inbox, 6);
    before = vault_folder_modseq(f->vault, f->inbox);
    out = store(f, uids, ARRAY_LEN(uids), VAULT_STORE_ADD, VAULT_FLAG_SEEN, UINT64_MAX);
    assert_int_equal(out.modified_count, 0);
    assert_int_equal(out.gone_count, 1);
    assert_int_equal(out.gone[0], 99);
    assert_int_equal(out.now_count, 4);
    modseq = vault_folder_modseq(f->vault, f->inbox);
    assert_int_equal(modseq, before + 1);
    assert_int_equal(load(f, f->inbox, 3, 0).modseq, modseq);
    assert_int_equal(load(f, f->inbox, 5, 0).flags, VAULT_FLAG_SEEN);
    assert_int_equal(load(f, f->inbox, 4, 0).flags, 0);
    assert_true(load(f, f->inbox, 4, 0).modseq <= before);
    /* As asked already: nothing changes, not even the counter. */
    store(f, uids, ARRAY_LEN(uids), VAULT_STORE_ADD, VAULT_FLAG_SEEN, UINT64_MAX);
    assert_int_equal(vault_folder_modseq(f->vault, f->inbox), modseq);
    /* UNCHANGEDSINCE: 4 and 6 are older, the others are refused. */
    {
        uint32_t all[] = {1, 2, 3, 4, 5, 6};

        out = store(f, all, 6, VAULT_STORE_REPLACE, VAULT_FLAG_DELETED, before);
        assert_int_equal(out.modified_count, 4);
        assert_int_equal(out.modified[3], 5);
        assert_int_equal(load(f, f->inbox, 6, 0).flags, VAULT_FLAG_DELETED);
        assert_int_equal(load(f, f->inbox, 5, 0).flags, VAULT_FLAG_SEEN);
        store(f, all, 6, VAULT_STORE_REMOVE, VAULT_FLAG_DELETED | VAULT_FLAG_DRAFT, UINT64_MAX);
        assert_int_equal(load(f, f->inbox, 6, 0).flags, 0);
    }
    fixture_check(f);
}

static void copy(struct fixture *f, int64_t from, int64_t to, const uint32_t *uids, size_t count,
                 bool is_move, const char *sources, const char *targets)
{
    CLEANUP(buf_free) struct buf a = {0}, b = {0};
    uint32_t *source_uids, *target_uids;
    size_t copied;

    buf_init(&a, SIZE_MAX);
    buf_init(&b, SIZE_MAX);
    if (vault_message_copy(f->vault, &f->task, from, to, uids, count, is_move, &source_uids,
                           &target_uids, &copied) != ERR_OK)
        fail_msg("copy: %s", f->task.words);
    for (size_t i = 0; i < copied; i++) {
        buf_putf(&a, "%s%u", i > 0 ? " " : "", source_uids[i]);
        buf_putf(&b, "%s%u", i > 0 ? " " : "", target_uids[i]);
    }
    assert_true(str_equal(buf_str(&a), str_from_c(sources)));
    assert_true(str_equal(buf_str(&b), str_from_c(targets)));
}

static void test_copy_and_move(void **state)
{
    struct fixture *f = *state;
    uint32_t some[] = {4, 2, 77, 3}, one[] = {1, 1};
    struct vault_message message;
    struct str raw = fixture_message(f, "shared");

    fixture_append(f, f->inbox, raw, VAULT_FLAG_FLAGGED);
    append_many(f, f->inbox, 4);
    copy(f, f->inbox, f->archive, some, 4, false, "4 2 3", "1 2 3");
    copy(f, f->inbox, f->archive, one, 2, false, "1", "4");
    copy(f, f->archive, f->archive, one, 1, false, "1", "5");
    fixture_check(f);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM content"), 5);
    message = load(f, f->archive, 4, VAULT_COLUMN_DATES | VAULT_COLUMN_ENVELOPE);
    assert_int_equal(message.flags, VAULT_FLAG_FLAGGED);
    assert_int_equal(message.internal_date_ms, 1763787600123);
    assert_int_equal(message.internal_zone_minutes, -90);
    assert_true(str_equal(fixture_read(f, f->archive, 4), raw));
    copy(f, f->inbox, f->archive, one, 2, true, "1", "6");
    assert_string_equal(fixture_uids(f, f->inbox), "2 3 4 5");
    assert_string_equal(fixture_uids(f, f->archive), "1 2 3 4 5 6");
    fixture_check(f);
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
    assert_true(str_equal(fixture_read(f, f->archive, 4), raw));
    assert_true(str_equal(fixture_read(f, f->archive, 6), raw));
    /* A folder that is not there: nothing happens. */
    {
        uint32_t *sources, *targets;
        size_t count;

        assert_int_equal(vault_message_copy(f->vault, &f->task, f->inbox, 4711, some, 1, true,
                                            &sources, &targets, &count),
                         ERR_NOT_FOUND);
        task_forgive(&f->task);
    }
    assert_string_equal(fixture_uids(f, f->inbox), "2 3 4 5");
}

static void expunge(struct fixture *f, const uint32_t *uids, size_t uid_count, const char *expected)
{
    CLEANUP(buf_free) struct buf out = {0};
    uint32_t *gone;
    size_t count;

    buf_init(&out, SIZE_MAX);
    if (vault_message_expunge(f->vault, &f->task, f->inbox, uids, uid_count, &gone, &count) !=
        ERR_OK)
        fail_msg("expunge: %s", f->task.words);
    for (size_t i = 0; i < count; i++)
        buf_putf(&out, "%s%u", i > 0 ? " " : "", gone[i]);
    assert_true(str_equal(buf_str(&out), str_from_c(expected)));
}

static void test_expunge(void **state)
{
    struct fixture *f = *state;
    uint32_t deleted[] = {2, 3, 5, 6}, named[] = {6, 3, 4, 99};
    struct str raw;

    append_many(f, f->inbox, 6);
    raw = fixture_read(f, f->inbox, 3);
    store(f, deleted, 4, VAULT_STORE_ADD, VAULT_FLAG_DELETED, UINT64_MAX);
    expunge(f, named, 4, "3 6");
    assert_string_equal(fixture_uids(f, f->inbox), "1 2 4 5");
    expunge(f, NULL, 0, "2 5");
    expunge(f, NULL, 0, "");
    assert_string_equal(fixture_uids(f, f->inbox), "1 4");
    /* Readable until the grace is over. */
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS - 1);
    assert_true(str_equal(fixture_read(f, f->inbox, 3), raw));
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), 2);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM content"), 2);
    assert_int_equal(fixture_append(f, f->inbox, raw, 0), 7);
}

/* Expunged in an earlier session, or by a killed process: purged at once. */
static void test_expunged_before_reopening(void **state)
{
    struct fixture *f = *state;
    uint32_t all[] = {1, 2, 3};

    append_many(f, f->inbox, 3);
    store(f, all, 3, VAULT_STORE_ADD, VAULT_FLAG_DELETED, UINT64_MAX);
    expunge(f, NULL, 0, "1 2 3");
    fixture_reopen(f);
    assert_string_equal(fixture_uids(f, f->inbox), "");
    fixture_housekeep(f, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM part"), 0);
}

/* But not while sessions of before sleep: they may still ask. */
static void test_expunged_before_reopening_for_sleepers(void **state)
{
    struct fixture *f = *state;
    uint32_t all[] = {1, 2, 3};

    append_many(f, f->inbox, 3);
    store(f, all, 3, VAULT_STORE_ADD, VAULT_FLAG_DELETED, UINT64_MAX);
    expunge(f, NULL, 0, "1 2 3");
    fixture_reopen(f);
    vault_keep_expunged(f->vault);
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS - 1);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), 3);
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), 0);
}

static void test_many(void **state)
{
    struct fixture *f = *state;
    uint32_t uids[MANY / 2], *sources, *targets;
    size_t count;

    append_many(f, f->inbox, MANY);
    for (unsigned i = 0; i < MANY / 2; i++)
        uids[i] = MANY - 2 * i;
    store(f, uids, MANY / 2, VAULT_STORE_ADD, VAULT_FLAG_DELETED | VAULT_FLAG_SEEN, UINT64_MAX);
    assert_int_equal(vault_message_copy(f->vault, &f->task, f->inbox, f->archive, uids, MANY / 2,
                                        false, &sources, &targets, &count),
                     ERR_OK);
    assert_int_equal(count, MANY / 2);
    assert_int_equal(sources[0], MANY);
    assert_int_equal(vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &sources, &count),
                     ERR_OK);
    assert_int_equal(count, MANY / 2);
    fixture_check(f);
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
    fixture_check(f);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM content"), MANY);
}

/* --- Changes --- */

struct listener {
    struct vault_subscriber subscriber;
    char heard[64];
    struct fixture *f;
};

static void on_change(struct vault_subscriber *subscriber, int64_t folder_id)
{
    struct listener *listener = (struct listener *)(void *)subscriber;
    size_t len = strlen(listener->heard);

    snprintf(listener->heard + len, sizeof(listener->heard) - len, "%s",
             folder_id == -1                   ? "L"
             : folder_id == listener->f->inbox ? "I"
                                               : "A");
}

static void test_subscribers(void **state)
{
    struct fixture *f = *state;
    struct listener one = {.subscriber = {.on_change = on_change}, .f = f};
    struct listener two = one;
    uint32_t uids[] = {1};

    vault_subscribe(f->vault, &one.subscriber);
    vault_subscribe(f->vault, &two.subscriber);
    fixture_append(f, f->inbox, fixture_message(f, "x"), 0);
    assert_string_equal(one.heard, "I");
    copy(f, f->inbox, f->archive, uids, 1, false, "1", "1");
    assert_string_equal(one.heard, "IA");
    vault_unsubscribe(f->vault, &two.subscriber);
    copy(f, f->inbox, f->archive, uids, 1, true, "1", "2");
    assert_string_equal(one.heard, "IAAI");
    assert_string_equal(two.heard, "IA");
    /* A batch is told of once, at its end. */
    one.heard[0] = '\0';
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    fixture_append(f, f->inbox, fixture_message(f, "x"), 0);
    fixture_append(f, f->inbox, fixture_message(f, "x"), 0);
    assert_string_equal(one.heard, "");
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
    assert_string_equal(one.heard, "I");
    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("new"), VAULT_USE_NONE), ERR_OK);
    assert_string_equal(one.heard, "IL");
    vault_unsubscribe(f->vault, &one.subscriber);
}

static void check_changes(struct fixture *f, uint64_t since, const char *changed,
                          const char *expunged)
{
    CLEANUP(buf_free) struct buf a = {0}, b = {0};
    struct vault_changes changes;

    buf_init(&a, SIZE_MAX);
    buf_init(&b, SIZE_MAX);
    assert_int_equal(vault_changes_since(f->vault, &f->task, f->inbox, since, &changes), ERR_OK);
    for (size_t i = 0; i < changes.changed_count; i++)
        buf_putf(&a, "%s%u", i > 0 ? " " : "", changes.changed[i].uid);
    for (size_t i = 0; i < changes.expunged_count; i++)
        buf_putf(&b, "%s%u", i > 0 ? " " : "", changes.expunged[i]);
    if (!str_equal(buf_str(&a), str_from_c(changed)) ||
        !str_equal(buf_str(&b), str_from_c(expunged)))
        fail_msg("since %llu: %.*s / %.*s", (unsigned long long)since, STR_ARG(buf_str(&a)),
                 STR_ARG(buf_str(&b)));
    assert_true(changes.modseq == vault_folder_modseq(f->vault, f->inbox));
}

static void test_changes_since(void **state)
{
    struct fixture *f = *state;
    uint32_t two[] = {2, 5}, three[] = {3, 4};
    uint64_t start, appended, stored, expunged;

    start = vault_folder_modseq(f->vault, f->inbox);
    append_many(f, f->inbox, 6);
    appended = vault_folder_modseq(f->vault, f->inbox);
    store(f, two, 2, VAULT_STORE_ADD, VAULT_FLAG_SEEN, UINT64_MAX);
    stored = vault_folder_modseq(f->vault, f->inbox);
    store(f, three, 2, VAULT_STORE_ADD, VAULT_FLAG_DELETED, UINT64_MAX);
    expunge(f, NULL, 0, "3 4");
    expunged = vault_folder_modseq(f->vault, f->inbox);
    for (int round = 0; round < 3; round++) {
        check_changes(f, start, "1 2 5 6", "3 4");
        check_changes(f, appended, "2 5", "3 4");
        check_changes(f, stored, "", "3 4");
        check_changes(f, expunged, "", "");
        check_changes(f, 0, "1 2 5 6", "3 4");
        if (round == 0)
            fixture_reopen(f); /* without what was in memory */
        /* And when the ring has been round. */
        for (int i = 0; round == 1 && i < VAULT_CHANGES_KEPT + 10; i++)
            copy(f, f->inbox, f->archive, three, 0, false, "", "");
    }
    for (int i = 0; i < VAULT_CHANGES_KEPT + 10; i++)
        store(f, two, 1, i % 2 == 0 ? VAULT_STORE_ADD : VAULT_STORE_REMOVE, VAULT_FLAG_FLAGGED,
              UINT64_MAX);
    check_changes(f, expunged, "2", "");
    check_changes(f, appended, "2 5", "3 4");
    /* What came and went in between is only among the expunged. */
    fixture_append(f, f->inbox, fixture_message(f, "x"), VAULT_FLAG_DELETED);
    expunge(f, NULL, 0, "7");
    check_changes(f, expunged, "2", "7");
}

/* A folder's log of expunges keeps its newer half, and says that it is not whole. */
static void test_the_log_of_expunges_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct vault_uid_range *ranges;
    struct vault_changes changes;
    uint64_t start, middle;
    bool is_known;
    size_t count;

    append_many(f, f->inbox, 6);
    start = vault_folder_modseq(f->vault, f->inbox);
    fixture_execute(f, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                       "WHERE i < 12000) INSERT INTO expunge "
                       "SELECT (SELECT id FROM folder WHERE name = 'INBOX'), 1000000 + i, "
                       "2000000 - 2 * i, 2000000 - 2 * i FROM n");
    assert_int_equal(
        vault_vanished_since(f->vault, &f->task, f->inbox, start, &is_known, &ranges, &count),
        ERR_OK);
    assert_true(is_known);
    assert_int_equal(count, 12000);
    assert_int_equal(ranges[0].first, 2000000 - 24000);
    fixture_reopen(f); /* looked at again after opening */
    fixture_housekeep(f, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM expunge"), 12000 - 5001 + 1);
    middle = 1000000 + 5001;
    assert_int_equal(
        vault_vanished_since(f->vault, &f->task, f->inbox, middle, &is_known, &ranges, &count),
        ERR_OK);
    assert_true(is_known);
    assert_int_equal(count, 12000 - 5001);
    assert_int_equal(
        vault_vanished_since(f->vault, &f->task, f->inbox, middle - 1, &is_known, &ranges, &count),
        ERR_OK);
    assert_false(is_known);
    assert_int_equal(count, 0);
    assert_int_equal(vault_changes_since(f->vault, &f->task, f->inbox, 0, &changes), ERR_OK);
    assert_true(changes.is_expunged_unknown);
    assert_int_equal(changes.expunged_count, 0);
    fixture_housekeep(f, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM expunge"), 12000 - 5001 + 1);
}

static void test_cursor_ranges(void **state)
{
    static const struct {
        uint32_t first, last;
        bool is_with_expunged;
        unsigned count;
    } rows[] = {
        {1, UINT32_MAX, false, 4}, {1, UINT32_MAX, true, 6}, {2, 4, false, 2},
        {2, 4, true, 3},           {5, 2, false, 0},         {7, 9, true, 0},
    };
    struct fixture *f = *state;
    uint32_t gone[] = {3, 6};

    append_many(f, f->inbox, 6);
    store(f, gone, 2, VAULT_STORE_ADD, VAULT_FLAG_DELETED, UINT64_MAX);
    expunge(f, NULL, 0, "3 6");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct vault_cursor *cursor;
        struct vault_message message;
        unsigned count = 0;
        uint32_t last = 0;
        bool has_row;

        assert_int_equal(vault_cursor_open(f->vault, &f->task, f->inbox, rows[i].first,
                                           rows[i].last, VAULT_COLUMN_ENVELOPE,
                                           rows[i].is_with_expunged, &cursor),
                         ERR_OK);
        for (;; count++) {
            assert_int_equal(vault_cursor_next(cursor, &f->task, &message, &has_row), ERR_OK);
            if (!has_row)
                break;
            assert_true(message.uid > last && message.envelope.len > 0);
            last = message.uid;
        }
        assert_int_equal(count, rows[i].count);
        vault_cursor_close(&cursor);
    }
}

static void check_text(unsigned columns, unsigned column, struct str text, struct str whole)
{
    assert_true(str_equal(text, (columns & column) != 0 ? whole : STR("")));
}

/* Whatever else is asked for: what a column gives, and that it gives nothing where it was not asked
 * for. */
static void test_cursor_columns(void **state)
{
    struct fixture *f = *state;
    struct vault_message all;

    fixture_append(f, f->inbox,
                   STR("From: f@a.test\r\nTo: t@b.test\r\nCc: c@c.test\r\nBcc: b@d.test\r\n"
                       "Subject: s\r\nMessage-ID: <i@e.test>\r\nDate: Mon, 6 Jul 2026 10:00:00 "
                       "+0200\r\n\r\ntext\r\n"),
                   VAULT_FLAG_SEEN);
    all = load(f, f->inbox, 1, ~0u);
    assert_true(all.envelope.len > 0 && all.bodystructure.len > 0 && all.body.len > 0);
    assert_false(str_equal(all.body, all.bodystructure));
    assert_true(str_starts_with(all.envelope, STR("(\"Mon, 6 Jul 2026")));
    for (unsigned columns = 0; columns < VAULT_COLUMN_MESSAGE_ID << 1; columns++) {
        struct vault_message one = load(f, f->inbox, 1, columns);
        bool has_dates = (columns & VAULT_COLUMN_DATES) != 0;

        assert_int_equal(one.flags, VAULT_FLAG_SEEN);
        assert_int_equal(one.modseq, all.modseq);
        assert_int_equal(one.content_id, all.content_id);
        assert_int_equal(one.size_bytes, all.size_bytes);
        assert_int_equal(one.internal_date_ms, has_dates ? all.internal_date_ms : 0);
        assert_int_equal(one.internal_zone_minutes, has_dates ? -90 : 0);
        assert_int_equal(one.save_date_ms, has_dates ? all.save_date_ms : 0);
        assert_int_equal(one.sent_day,
                         (columns & VAULT_COLUMN_SENT) != 0 ? all.sent_day : INT64_MIN);
        check_text(columns, VAULT_COLUMN_ENVELOPE, one.envelope, all.envelope);
        check_text(columns, VAULT_COLUMN_BODYSTRUCTURE, one.bodystructure, all.bodystructure);
        check_text(columns, VAULT_COLUMN_BODY, one.body, all.body);
        check_text(columns, VAULT_COLUMN_STRUCTURE, one.structure, all.structure);
        check_text(columns, VAULT_COLUMN_SEARCH, one.subject, STR("s"));
        check_text(columns, VAULT_COLUMN_SEARCH, one.from, all.from);
        check_text(columns, VAULT_COLUMN_SEARCH, one.to, all.to);
        check_text(columns, VAULT_COLUMN_SEARCH, one.cc, all.cc);
        check_text(columns, VAULT_COLUMN_SEARCH, one.bcc, all.bcc);
        check_text(columns, VAULT_COLUMN_MESSAGE_ID, one.message_id, STR("i@e.test"));
    }
    assert_true(str_find(all.to, STR("t@b.test")) >= 0 && str_find(all.cc, STR("c@c.test")) >= 0);
}

static void test_append_all(void **state)
{
    struct fixture *f = *state;
    struct vault_append appends[3];
    struct vault_usage usage;
    uint32_t uids[3];

    for (size_t i = 0; i < 3; i++)
        appends[i] = (struct vault_append){.raw = fixture_message(f, i == 1 ? "two" : "one"),
                                           .flags = i == 2 ? VAULT_FLAG_SEEN : 0};
    assert_int_equal(vault_message_append_all(f->vault, &f->task, f->inbox, appends, 3, uids),
                     ERR_OK);
    assert_int_equal(uids[0], 1);
    assert_int_equal(uids[2], 3);
    assert_true(str_equal(fixture_read(f, f->inbox, 2), appends[1].raw));
    /* Room for two is none for three. */
    vault_usage(f->vault, &usage);
    vault_set_limit(f->vault, usage.bytes + 2 * appends[0].raw.len + 10);
    assert_int_equal(vault_message_append_all(f->vault, &f->task, f->inbox, appends, 3, uids),
                     ERR_LIMIT);
    assert_string_equal(fixture_uids(f, f->inbox), "1 2 3");
    assert_int_equal(vault_message_append_all(f->vault, &f->task, f->inbox, appends, 2, uids),
                     ERR_OK);
    assert_string_equal(fixture_uids(f, f->inbox), "1 2 3 4 5");
    assert_int_equal(vault_message_append_all(f->vault, &f->task, 999, appends, 2, uids),
                     ERR_NOT_FOUND);
    task_forgive(&f->task);
}

static void test_replace(void **state)
{
    struct fixture *f = *state;
    struct vault_append append = {.raw = fixture_message(f, "new")};
    uint32_t old = fixture_append(f, f->inbox, fixture_message(f, "old"), VAULT_FLAG_DELETED);
    struct vault_usage before, usage;
    struct vault_changes changes;
    uint64_t since = vault_folder_modseq(f->vault, f->inbox);
    uint32_t uid;

    vault_usage(f->vault, &before);
    /* No room but that of the old one. */
    vault_set_limit(f->vault, before.bytes);
    assert_int_equal(
        vault_message_replace(f->vault, &f->task, f->inbox, old, f->inbox, &append, &uid), ERR_OK);
    assert_int_equal(uid, 2);
    assert_string_equal(fixture_uids(f, f->inbox), "2");
    vault_usage(f->vault, &usage);
    assert_int_equal(usage.bytes, before.bytes);
    assert_int_equal(vault_changes_since(f->vault, &f->task, f->inbox, since, &changes), ERR_OK);
    assert_int_equal(changes.changed_count, 1);
    assert_int_equal(changes.expunged_count, 1);
    /* Into another folder; too large, gone, and no folder: nothing happens. */
    append.raw = fixture_message(f, "a much longer one than the one before");
    assert_int_equal(
        vault_message_replace(f->vault, &f->task, f->inbox, 2, f->archive, &append, &uid),
        ERR_LIMIT);
    vault_set_limit(f->vault, UINT64_MAX);
    assert_int_equal(
        vault_message_replace(f->vault, &f->task, f->inbox, old, f->archive, &append, &uid),
        ERR_NOT_FOUND);
    assert_int_equal(vault_message_replace(f->vault, &f->task, f->inbox, 2, 999, &append, &uid),
                     ERR_NOT_FOUND);
    assert_string_equal(fixture_uids(f, f->inbox), "2");
    assert_int_equal(
        vault_message_replace(f->vault, &f->task, f->inbox, 2, f->archive, &append, &uid), ERR_OK);
    assert_string_equal(fixture_uids(f, f->inbox), "");
    assert_true(str_equal(fixture_read(f, f->archive, uid), append.raw));
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS + 1);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM content"), 1);
    task_forgive(&f->task);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_append_all),
        TEST(test_replace),
        TEST(test_append),
        TEST(test_append_refused),
        TEST(test_retransmission),
        TEST(test_keywords),
        TEST(test_store),
        TEST(test_copy_and_move),
        TEST(test_the_log_of_expunges_is_bounded),
        TEST(test_expunge),
        TEST(test_many),
        TEST(test_expunged_before_reopening),
        TEST(test_expunged_before_reopening_for_sleepers),
        TEST(test_subscribers),
        TEST(test_changes_since),
        TEST(test_cursor_ranges),
        TEST(test_cursor_columns),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
