/* The stream into a mailbox: what is none, what is too much, and what is remembered of it. */
#include "transfer/absorb.h"

#include "transfer/stream.h"
#include "vault/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER                                                                                     \
    "{\"folder\":\"INBOX\",\"source\":\"imap://a@b/INBOX\",\"uidvalidity\":7,\"uidnext\":99}"
#define MESSAGE "{\"flags\":[],\"date\":\"2026-01-01T00:00:00.000Z\",\"zone\":0}"

struct stream {
    struct buf bytes;
    struct buf answer;
    struct transfer_totals totals;
};

static void stream_init(struct stream *stream)
{
    *stream = (struct stream){.totals = {0}};
    buf_init(&stream->bytes, SIZE_MAX);
    buf_init(&stream->answer, SIZE_MAX);
}

static void stream_done(struct stream *stream)
{
    buf_free(&stream->bytes);
    buf_free(&stream->answer);
}

static void put(struct stream *stream, char kind, const char *content)
{
    transfer_frame_put(&stream->bytes, kind, str_from_c(content));
}

static void put_message(struct stream *stream, uint32_t uid, const char *text)
{
    char head[200];

    (void)snprintf(head, sizeof(head),
                   "{\"uid\":%u,\"flags\":[\"\\\\Seen\"],\"date\":\"2026-01-01T00:00:00.000Z\","
                   "\"zone\":60,\"size\":%zu}",
                   uid, strlen(text));
    put(stream, 'M', head);
    put(stream, 'D', text);
    put(stream, 'E', "");
}

/* All of it, `piece` bytes at a time. */
static enum err run(struct fixture *f, struct stream *stream, size_t piece)
{
    const struct transfer_absorb_options options = {.skips_duplicates = false};
    CLEANUP(transfer_absorb_free)
    struct transfer_absorb *absorb = transfer_absorb_new(f->vault, &options);
    struct str rest = buf_str(&stream->bytes);
    bool has_more = true;
    enum err err = ERR_OK;

    while (err == ERR_OK && (rest.len > 0 || has_more)) {
        size_t room = transfer_absorb_room(absorb);

        room = room < piece ? room : piece;
        room = room < rest.len ? room : rest.len;
        if (room > 0)
            transfer_absorb_input(absorb, str_upto(rest, room));
        rest = str_from(rest, room);
        err = transfer_absorb_step(absorb, &f->task, &has_more);
    }
    transfer_absorb_totals(absorb, &stream->totals);
    buf_put(&stream->answer, buf_str(transfer_absorb_output(absorb)));
    return err;
}

static bool has_answer(const struct stream *stream, const char *words)
{
    return str_find(buf_str(&stream->answer), str_from_c(words)) >= 0;
}

static void test_what_is_none(void **state)
{
    static const struct {
        const char *rule;
        struct {
            char kind;
            const char *content;
        } frames[6];
    } rows[] = {
        {"a message without a folder", {{'M', MESSAGE}}},
        {"bytes of no message", {{'F', FOLDER}, {'D', "x"}}},
        {"an end of no message", {{'F', FOLDER}, {'E', ""}}},
        {"a message in a message", {{'F', FOLDER}, {'M', MESSAGE}, {'M', MESSAGE}}},
        {"a folder in a message", {{'F', FOLDER}, {'M', MESSAGE}, {'F', FOLDER}}},
        {"an end in a message", {{'F', FOLDER}, {'M', MESSAGE}, {'Z', "{\"messages\":0}"}}},
        {"another count", {{'F', FOLDER}, {'Z', "{\"messages\":1}"}}},
        {"no count", {{'F', FOLDER}, {'Z', "{}"}}},
        {"a count below nothing", {{'F', FOLDER}, {'P', "{\"total\":-1}"}}},
        {"an answer", {{'K', "{}"}}},
        {"a folder without a name", {{'F', "{\"uidvalidity\":7}"}}},
        {"a folder whose name is nothing", {{'F', "{\"folder\":\"/\"}"}}},
        {"a folder that is no JSON", {{'F', "INBOX"}}},
        {"a folder that is a list", {{'F', "[]"}}},
        {"a UIDVALIDITY of 33 bits", {{'F', "{\"folder\":\"a\",\"uidvalidity\":4294967296}"}}},
        {"a message without a date", {{'F', FOLDER}, {'M', "{\"flags\":[]}"}}},
        {"a time zone that does not exist",
         {{'F', FOLDER}, {'M', "{\"date\":\"2026-01-01T00:00:00.000Z\",\"zone\":9999}"}}},
        {"another size",
         {{'F', FOLDER},
          {'M', "{\"flags\":[],\"date\":\"2026-01-01T00:00:00.000Z\",\"zone\":0,\"size\":2}"},
          {'D', "x"},
          {'E', ""}}},
        {"a message into a name without a folder",
         {{'F', "{\"folder\":\"Nowhere\",\"selectable\":false}"}, {'M', MESSAGE}}},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(stream_done) struct stream stream;

        stream_init(&stream);
        for (size_t j = 0; rows[i].frames[j].kind != 0; j++)
            put(&stream, rows[i].frames[j].kind, rows[i].frames[j].content);
        if (run(f, &stream, SIZE_MAX) != ERR_INVALID)
            fail_msg("%s: %s", rows[i].rule, f->task.words);
        task_forgive(&f->task);
    }
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), 0);
}

static void test_frames(void **state)
{
    static const char unknown[] = "Y\0\0\0\0", large[] = "D\1\0\4\0";
    struct fixture *f = *state;

    for (int i = 0; i < 2; i++) {
        CLEANUP(stream_done) struct stream stream;

        stream_init(&stream);
        buf_put(&stream.bytes, str_make(i == 0 ? unknown : large, 5));
        assert_int_equal(run(f, &stream, SIZE_MAX), ERR_INVALID);
        task_forgive(&f->task);
    }
}

/* Whatever pieces it comes in; what was taken of a source is known the next time. */
static void test_remembers(void **state)
{
    struct fixture *f = *state;

    for (size_t piece = 1; piece < 100; piece += 49) {
        CLEANUP(stream_done) struct stream stream;
        char uid[40];

        stream_init(&stream);
        put(&stream, 'F', FOLDER);
        for (unsigned i = 0; i < 40; i++)
            put_message(&stream, (unsigned)piece * 40 + i, "Subject: x\r\n\r\nx\r\n");
        put(&stream, 'Z', "{\"messages\":40}");
        if (run(f, &stream, piece) != ERR_OK)
            fail_msg("%s", f->task.words);
        assert_int_equal(stream.totals.messages, 40);
        assert_true(has_answer(&stream, "\"messages\":40"));
        stream_done(&stream);
        stream_init(&stream);
        put(&stream, 'F', FOLDER);
        assert_int_equal(run(f, &stream, SIZE_MAX), ERR_OK);
        (void)snprintf(uid, sizeof(uid), "\"uidvalidity\":7,\"uid\":%zu}", piece * 40 + 39);
        assert_true(has_answer(&stream, uid));
    }
}

/* Stopped behind a batch: it is there and known; what came of the next one is neither. */
static void test_stopped(void **state)
{
    CLEANUP(stream_done) struct stream stream, next;
    struct fixture *f = *state;
    char uid[40];

    stream_init(&stream);
    put(&stream, 'F', FOLDER);
    for (unsigned i = 1; i <= TRANSFER_BATCH_MESSAGES + 5; i++)
        put_message(&stream, i, "Subject: x\r\n\r\nx\r\n");
    assert_int_equal(run(f, &stream, SIZE_MAX), ERR_OK);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), TRANSFER_BATCH_MESSAGES);
    stream_init(&next);
    put(&next, 'F', FOLDER);
    assert_int_equal(run(f, &next, SIZE_MAX), ERR_OK);
    (void)snprintf(uid, sizeof(uid), "\"uid\":%d}", TRANSFER_BATCH_MESSAGES);
    assert_true(has_answer(&next, uid));
}

/* What does not fit any more stops it; what came before is kept, counted and known. */
static void test_over_quota(void **state)
{
    CLEANUP(stream_done) struct stream stream, next;
    struct fixture *f = *state;

    vault_set_limit(f->vault, 60);
    stream_init(&stream);
    put(&stream, 'F', FOLDER);
    for (unsigned i = 1; i <= 10; i++)
        put_message(&stream, i, "Subject: x\r\n\r\n12345\r\n"); /* 21 bytes */
    put(&stream, 'Z', "{\"messages\":10}");
    assert_int_equal(run(f, &stream, SIZE_MAX), ERR_LIMIT);
    task_forgive(&f->task);
    assert_int_equal(stream.totals.messages, 2);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), 2);
    vault_set_limit(f->vault, UINT64_MAX);
    stream_init(&next);
    put(&next, 'F', FOLDER);
    assert_int_equal(run(f, &next, SIZE_MAX), ERR_OK);
    assert_true(has_answer(&next, "\"uid\":2}"));
}

/* A mailbox has room for 58 keywords; a message comes without those beyond. */
static void test_too_many_keywords(void **state)
{
    CLEANUP(stream_done) struct stream stream;
    struct fixture *f = *state;
    char head[200];

    stream_init(&stream);
    put(&stream, 'F', FOLDER);
    for (int i = 0; i < 70; i++) {
        (void)snprintf(head, sizeof(head),
                       "{\"flags\":[\"Key%d\"],\"date\":\"2026-01-01T00:00:00.000Z\",\"zone\":0}",
                       i);
        put(&stream, 'M', head);
        put(&stream, 'D', "Subject: x\r\n\r\n");
        put(&stream, 'E', "");
    }
    put(&stream, 'Z', "{\"messages\":70}");
    if (run(f, &stream, SIZE_MAX) != ERR_OK)
        fail_msg("%s", f->task.words);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message"), 70);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message WHERE flags <> 0"), 58);
}

/* A source's Sent is ours, whatever it is called; views that we do not have are folders. */
static void test_uses(void **state)
{
    CLEANUP(stream_done) struct stream stream;
    struct fixture *f = *state;

    stream_init(&stream);
    put(&stream, 'F', "{\"folder\":\"Gesendete Objekte\",\"use\":\"sent\",\"subscribed\":true}");
    put_message(&stream, 1, "Subject: sent\r\n\r\n");
    put(&stream, 'F', "{\"folder\":\"Everything\",\"use\":\"all\"}");
    put_message(&stream, 1, "Subject: all\r\n\r\n");
    put(&stream, 'Z', "{\"messages\":2}");
    if (run(f, &stream, SIZE_MAX) != ERR_OK)
        fail_msg("%s", f->task.words);
    assert_int_equal(fixture_ask(f, "SELECT message_count FROM folder WHERE name = 'Sent'"), 1);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM folder WHERE name = 'Gesendete Objekte'"),
                     0);
    assert_int_equal(
        fixture_ask(f, "SELECT count(*) FROM folder WHERE name = 'Everything' AND special_use = 0"),
        1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_none), TEST(test_frames),     TEST(test_remembers),
        TEST(test_stopped),      TEST(test_over_quota), TEST(test_too_many_keywords),
        TEST(test_uses),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
