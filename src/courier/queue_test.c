/* The queue's file: what is in it after a crash, whose turn it is, what is remembered for a time.
 */
#include "courier/memory.h"
#include "courier/queue_rows.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/scratch.h"
#include "sqlite/db.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int64_t START_MS = INT64_C(1790000000000);
static const char MARK[] = "Xq7-plain-words-of-a-message";

struct fixture {
    char folder[64];
    struct secret *root;
    struct queue *queue;
    struct task task;
    struct buf content; /* some 700 kB, so that it has several pieces */
};

static void open_queue(struct fixture *f)
{
    assert_int_equal(queue_open(&f->task, f->folder, f->root, &f->queue), ERR_OK);
}

static int setup(void **state)
{
    struct fixture *f = NEW(struct fixture);

    scratch_folder_in_memory(f->folder, sizeof(f->folder), "sealpost-queue");
    f->root = secret_new(32);
    task_init(&f->task, START_MS);
    buf_init(&f->content, SIZE_MAX);
    while (f->content.len < 700 * 1000)
        buf_putf(&f->content, "%s %zu\r\n", MARK, f->content.len);
    open_queue(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    queue_close(&f->queue);
    secret_free(&f->root);
    buf_free(&f->content);
    task_done(&f->task);
    snprintf(command, sizeof(command), "rm -rf %s", f->folder);
    mem_free(&f);
    return system(command);
}

static void begin(struct fixture *f)
{
    assert_int_equal(queue_begin(f->queue, &f->task), ERR_OK);
}

static void commit(struct fixture *f)
{
    assert_int_equal(queue_commit(f->queue, &f->task, true), ERR_OK);
}

static int64_t add_message(struct fixture *f, struct str content)
{
    struct queue_message message = {.trace = STR("trace"),
                                    .sender = STR("a@ours.test"),
                                    .trace_bytes = 10,
                                    .received_ms = START_MS};
    int64_t id = 0;

    assert_int_equal(queue_add(f->queue, &f->task, &message, content, &id), ERR_OK);
    return id;
}

static bool add_recipient(struct fixture *f, int64_t message, struct str address, struct str lane)
{
    struct queue_recipient recipient = {.message_id = message,
                                        .address = address,
                                        .alias = address,
                                        .lane = lane,
                                        .next_ms = START_MS};
    bool is_new = false;

    assert_int_equal(queue_add_recipient(f->queue, &f->task, &recipient, &is_new), ERR_OK);
    return is_new;
}

static size_t take(struct fixture *f, struct str lane, struct queue_recipient **out)
{
    size_t count = 0;

    assert_int_equal(queue_take(f->queue, &f->task, lane, f->task.now_ms, 100, out, &count),
                     ERR_OK);
    return count;
}

static void a_message_survives_its_process(void **state)
{
    struct fixture *f = *state;
    struct queue_message message;
    struct buf content;
    int64_t id;

    begin(f);
    id = add_message(f, buf_str(&f->content));
    commit(f);
    /* What was not committed does not. */
    begin(f);
    add_message(f, STR("lost"));
    queue_close(&f->queue);
    open_queue(f);
    buf_init(&content, SIZE_MAX);
    assert_int_equal(queue_content(f->queue, &f->task, id, &content), ERR_OK);
    assert_true(str_equal(buf_str(&content), buf_str(&f->content)));
    buf_free(&content);
    assert_int_equal(queue_message(f->queue, &f->task, id, &message), ERR_OK);
    assert_true(str_equal(message.sender, STR("a@ours.test")));
    assert_int_equal(message.trace_bytes, 10);
    assert_false(message.is_signed);
    assert_int_equal(queue_message(f->queue, &f->task, id + 1, &message), ERR_NOT_FOUND);
}

/* An empty message has one piece, too. */
static void an_empty_message(void **state)
{
    struct fixture *f = *state;
    struct queue_message message = {.received_ms = START_MS};
    struct buf content;
    int64_t id;

    begin(f);
    assert_int_equal(queue_add(f->queue, &f->task, &message, STR(""), &id), ERR_OK);
    commit(f);
    buf_init(&content, SIZE_MAX);
    assert_int_equal(queue_content(f->queue, &f->task, id, &content), ERR_OK);
    assert_int_equal(content.len, 0);
    buf_free(&content);
}

static void nothing_is_readable_on_disk(void **state)
{
    struct fixture *f = *state;
    struct dirent *entry;
    size_t files = 0;
    DIR *folder;

    begin(f);
    add_message(f, buf_str(&f->content));
    commit(f);
    folder = opendir(f->folder);
    while ((entry = readdir(folder)) != NULL) {
        struct str path = arena_printf(&f->task.arena, "%s/%s", f->folder, entry->d_name);
        struct buf bytes;

        if (entry->d_name[0] == '.')
            continue;
        buf_init(&bytes, SIZE_MAX);
        assert_int_equal(file_read(&f->task, AT_FDCWD, path.ptr, SIZE_MAX, &bytes), ERR_OK);
        assert_int_equal(str_find(buf_str(&bytes), str_from_c(MARK)), -1);
        assert_int_equal(str_find(buf_str(&bytes), STR("ours.test")), -1);
        buf_free(&bytes);
        files++;
    }
    closedir(folder);
    assert_true(files >= 2); /* the file and its log */
}

/* Pieces are bound to their message and place. */
static void pieces_do_not_change_places(void **state)
{
    struct fixture *f = *state;
    struct buf content;
    int64_t id;

    begin(f);
    id = add_message(f, buf_str(&f->content));
    assert_int_equal(db_execute(f->queue->db, &f->task,
                                "UPDATE contents SET piece = piece + 100;"
                                "UPDATE contents SET piece = 1 WHERE piece = 100;"
                                "UPDATE contents SET piece = 0 WHERE piece = 101;"
                                "UPDATE contents SET piece = 2 WHERE piece = 102"),
                     ERR_OK);
    commit(f);
    buf_init(&content, SIZE_MAX);
    assert_int_equal(queue_content(f->queue, &f->task, id, &content), ERR_CORRUPT);
    buf_free(&content);
    begin(f);
    assert_int_equal(
        db_execute(f->queue->db, &f->task, "DELETE FROM contents WHERE piece = 2"), ERR_OK);
    commit(f);
    task_forgive(&f->task);
    buf_init(&content, SIZE_MAX);
    assert_int_equal(queue_content(f->queue, &f->task, id, &content), ERR_CORRUPT);
    buf_free(&content);
}

/* Those that go over one connection go together; of another message, they do not. */
static void what_is_taken_together(void **state)
{
    struct fixture *f = *state;
    struct queue_recipient *rows;
    int64_t first, second, due_ms;

    begin(f);
    first = add_message(f, STR("0123456789 one"));
    second = add_message(f, STR("0123456789 two"));
    assert_true(add_recipient(f, first, STR("a@one.test"), STR("one.test")));
    assert_true(add_recipient(f, first, STR("b@one.test"), STR("one.test")));
    assert_true(add_recipient(f, first, STR("c@two.test"), STR("two.test")));
    assert_true(add_recipient(f, second, STR("a@one.test"), STR("one.test")));
    assert_false(add_recipient(f, second, STR("a@one.test"), STR("one.test")));
    assert_int_equal(take(f, STR("one.test"), &rows), 2);
    assert_true(str_equal(rows[0].address, STR("a@one.test")));
    assert_true(str_equal(rows[1].address, STR("b@one.test")));
    assert_int_equal(queue_lane_due(f->queue, &f->task, STR("one.test"), &due_ms), ERR_OK);
    assert_int_equal(due_ms, START_MS);
    assert_int_equal(take(f, STR("one.test"), &rows), 1);
    assert_int_equal(rows[0].message_id, second);
    assert_int_equal(take(f, STR("one.test"), &rows), 0);
    assert_int_equal(queue_lane_due(f->queue, &f->task, STR("one.test"), &due_ms), ERR_OK);
    assert_true(due_ms == INT64_MAX);
    commit(f);
}

static void what_was_interrupted_is_done_again(void **state)
{
    struct fixture *f = *state;
    struct queue_recipient *rows;
    int64_t id, due_ms;

    begin(f);
    id = add_message(f, STR("0123456789 one"));
    add_recipient(f, id, STR("a@one.test"), STR("one.test"));
    commit(f);
    for (int i = 0; i < 3; i++) {
        begin(f);
        assert_int_equal(take(f, STR("one.test"), &rows), 1);
        commit(f);
        queue_close(&f->queue);
        open_queue(f);
        assert_int_equal(queue_lane_due(f->queue, &f->task, STR("one.test"), &due_ms), ERR_OK);
        /* What ended the process three times running is given time. */
        assert_true(i < 2 ? due_ms == START_MS : due_ms > START_MS + 60 * 1000);
    }
}

static void a_message_goes_with_its_last_recipient(void **state)
{
    struct fixture *f = *state;
    struct queue_recipient *rows;
    struct queue_totals totals;
    bool is_finished;
    int64_t id;

    begin(f);
    id = add_message(f, STR("0123456789 one"));
    add_recipient(f, id, STR("a@one.test"), STR("one.test"));
    add_recipient(f, id, STR("b@one.test"), STR("one.test"));
    assert_int_equal(take(f, STR("one.test"), &rows), 2);
    for (size_t i = 0; i < 2; i++) {
        rows[i].state = i == 0 ? QUEUE_DONE : QUEUE_FAILED;
        rows[i].words = STR("said so");
        assert_int_equal(queue_update(f->queue, &f->task, &rows[i]), ERR_OK);
        assert_int_equal(queue_finish(f->queue, &f->task, id, &is_finished), ERR_OK);
        assert_true(is_finished == (i == 1));
    }
    assert_int_equal(queue_count(f->queue, &f->task, &totals), ERR_OK);
    assert_int_equal(totals.messages, 0);
    commit(f);
}

static void holding_and_releasing(void **state)
{
    struct fixture *f = *state;
    struct queue_entry entries[4];
    struct queue_recipient *rows;
    size_t count = 4;
    uint64_t changed;
    int64_t id;

    begin(f);
    id = add_message(f, STR("0123456789 one"));
    add_recipient(f, id, STR("a@one.test"), STR("one.test"));
    assert_int_equal(
        queue_change(f->queue, &f->task, id, QUEUE_WAITING, QUEUE_HELD, START_MS, &changed),
        ERR_OK);
    assert_int_equal(changed, 1);
    assert_int_equal(take(f, STR("one.test"), &rows), 0);
    assert_int_equal(queue_list(f->queue, &f->task, 0, false, true, entries, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_true(str_equal(entries[0].sender, STR("a@ours.test")));
    count = 4;
    assert_int_equal(queue_list(f->queue, &f->task, 0, true, false, entries, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(
        queue_change(f->queue, &f->task, 0, QUEUE_HELD, QUEUE_WAITING, START_MS, &changed), ERR_OK);
    assert_int_equal(take(f, STR("one.test"), &rows), 1);
    commit(f);
}

static void a_clock_that_was_set_back(void **state)
{
    struct fixture *f = *state;
    struct queue_recipient *rows;
    uint64_t count;

    begin(f);
    add_recipient(f, add_message(f, STR("0123456789 one")), STR("a@one.test"), STR("one.test"));
    f->task.now_ms -= 1000000;
    assert_int_equal(take(f, STR("one.test"), &rows), 0);
    assert_int_equal(queue_straighten(f->queue, &f->task, f->task.now_ms + 2000000, 0, &count),
                     ERR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(queue_straighten(f->queue, &f->task, f->task.now_ms + 500000, 0, &count),
                     ERR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(take(f, STR("one.test"), &rows), 1);
    /* By as much as the clock: what would wait 100 s still does; what is due now stays so. */
    add_recipient(f, add_message(f, STR("0123456789 two")), STR("b@two.test"), STR("two.test"));
    f->task.now_ms = START_MS - 86400123 - 100000;
    assert_int_equal(queue_set_back(f->queue, &f->task, 86400123, &count), ERR_OK);
    assert_int_equal(count, 1);
    f->task.now_ms += 99990;
    assert_int_equal(take(f, STR("two.test"), &rows), 0);
    f->task.now_ms += 20; /* SQLite's dates may be off by one */
    assert_int_equal(take(f, STR("two.test"), &rows), 1);
    f->task.now_ms = START_MS;
    add_recipient(f, add_message(f, STR("0123456789 three")), STR("c@three.test"), STR("three.test"));
    assert_int_equal(queue_set_back(f->queue, &f->task, 86400123, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(take(f, STR("three.test"), &rows), 1);
    commit(f);
}

static void what_is_remembered_for_a_time(void **state)
{
    struct fixture *f = *state;
    struct memory_suppression found;
    unsigned char digest[CRYPT_HASH_BYTES] = {1};
    bool is_first, is_found;

    begin(f);
    assert_int_equal(memory_suppress(f->queue, &f->task, STR("Gone@X.test"), STR("5.1.1"),
                                     STR("no such user"), 1000),
                     ERR_OK);
    assert_int_equal(
        memory_suppression_find(f->queue, &f->task, STR("gone@x.TEST"), &is_found, &found), ERR_OK);
    assert_true(is_found && str_equal(found.words, STR("no such user")));
    assert_int_equal(
        memory_reply_note(f->queue, &f->task, STR("a@o.test"), STR("b@x.test"), 1000, &is_first),
        ERR_OK);
    assert_true(is_first);
    assert_int_equal(
        memory_reply_note(f->queue, &f->task, STR("a@o.test"), STR("B@x.test"), 1000, &is_first),
        ERR_OK);
    assert_false(is_first);
    assert_int_equal(memory_accept_note(f->queue, &f->task, digest, 1000, &is_first), ERR_OK);
    assert_true(is_first);
    assert_int_equal(memory_accept_note(f->queue, &f->task, digest, 1000, &is_first), ERR_OK);
    assert_false(is_first);
    f->task.now_ms += 1001;
    assert_int_equal(memory_accept_note(f->queue, &f->task, digest, 1000, &is_first), ERR_OK);
    assert_true(is_first);
    assert_int_equal(
        memory_reply_note(f->queue, &f->task, STR("a@o.test"), STR("b@x.test"), 1000, &is_first),
        ERR_OK);
    assert_true(is_first);
    assert_int_equal(
        memory_suppression_find(f->queue, &f->task, STR("gone@x.test"), &is_found, &found), ERR_OK);
    assert_false(is_found);
    assert_int_equal(memory_expire(f->queue, &f->task), ERR_OK);
    commit(f);
}

static void count_lane(void *owner, struct str lane, int64_t due_ms)
{
    size_t *lanes = owner;

    (void)lane, (void)due_ms;
    (*lanes)++;
}

/*
 * A long queue costs no more at each turn than a short one: what is due is found by the index, the
 * lanes are read without looking at the messages. QUEUE_TEST_MESSAGES: how many, for measuring.
 */
static void a_long_queue(void **state)
{
    struct fixture *f = *state;
    const char *given = getenv("QUEUE_TEST_MESSAGES");
    uint32_t count = 3000;
    int64_t began_us, filled_us, listed_us, taken_us;
    size_t lanes = 0;

    if (given != NULL)
        assert_true(parse_u32(str_from_c(given), &count));
    began_us = clock_monotonic_us();
    for (uint32_t i = 0; i < count; i++) {
        struct str lane;

        if (i % 500 == 0)
            begin(f);
        lane = i % 2 == 0 ? STR("big.test")
                          : arena_printf(&f->task.arena, "d%u.test", (unsigned)i % 5000);
        add_recipient(f, add_message(f, STR("0123456789 a small message")), STR("a@b.test"), lane);
        if (i % 500 == 499 || i + 1 == count)
            commit(f);
    }
    filled_us = clock_monotonic_us();
    queue_close(&f->queue);
    open_queue(f);
    assert_int_equal(queue_lanes(f->queue, &f->task, count_lane, &lanes), ERR_OK);
    listed_us = clock_monotonic_us();
    assert_true(lanes > 1000);
    begin(f);
    for (int i = 0; i < 100; i++) {
        struct queue_recipient *rows;
        int64_t due_ms;

        assert_int_equal(take(f, STR("big.test"), &rows), 1);
        assert_int_equal(queue_lane_due(f->queue, &f->task, STR("big.test"), &due_ms), ERR_OK);
        assert_int_equal(due_ms, START_MS);
    }
    taken_us = clock_monotonic_us();
    commit(f);
    if (given != NULL)
        print_message("%u messages: %lld us each to add, %lld ms to open, %lld us to take one\n",
                      count, (long long)((filled_us - began_us) / count),
                      (long long)((listed_us - filled_us) / 1000),
                      (long long)((taken_us - listed_us) / 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_survives_its_process, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_message, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_readable_on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(pieces_do_not_change_places, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_taken_together, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_interrupted_is_done_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_goes_with_its_last_recipient, setup, teardown),
        cmocka_unit_test_setup_teardown(holding_and_releasing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clock_that_was_set_back, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_remembered_for_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_queue, setup, teardown),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
