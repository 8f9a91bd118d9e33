/* Sort keys: what RFC 5256 and RFC 5957 compare, from real messages. */
#include "vault/fixture.h"
#include "vault/sort.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { ALL_FIELDS = 0xff };

static const struct {
    const char *name;
    const char *message;
    const char *base_subject, *from, *to, *cc, *display_from, *display_to;
    const char *message_id, *in_reply_to, *references;
    const char *sent; /* NULL: as arrived */
    bool is_reply;
} rows[] = {
    {.name = "an ordinary message",
     .message = "From: \"Ann \\\"A\\\" B\" <ann@example.org>\r\nTo: bob@example.com, c@d\r\n"
                "Cc: Zoe <zoe@example.net>\r\nSubject: Re: [list] Green apples (fwd)\r\n"
                "Date: Thu, 26 Nov 2026 07:00:00 +0100\r\nMessage-ID: <1@x>\r\n"
                "In-Reply-To: <0@x>\r\nReferences: <r1@x> <0@x>\r\n\r\ntext\r\n",
     .base_subject = "Green apples",
     .is_reply = true,
     .from = "ann",
     .to = "bob",
     .cc = "zoe",
     .display_from = "Ann \"A\" B",
     .display_to = "bob@example.com",
     .message_id = "1@x",
     .in_reply_to = "0@x",
     .references = "r1@x 0@x",
     .sent = "2026-11-26T06:00:00.000Z"},
    {.name = "nothing at all",
     .message = "\r\ntext\r\n",
     .base_subject = "",
     .from = "",
     .to = "",
     .cc = "",
     .display_from = "",
     .display_to = "",
     .message_id = "",
     .in_reply_to = "",
     .references = ""},
    {.name = "encoded words, 8-bit literals, a date that is none",
     .message = "From: =?utf-8?q?J=C3=B6rg?= <j@example.org>\r\nTo: Ren\xc3\xa9 <r@example.org>\r\n"
                "Subject: [list] =?utf-8?q?K=C3=B6ln?=\r\nDate: yesterday\r\n\r\n",
     .base_subject = "K\xc3\xb6ln",
     .from = "j",
     .to = "r",
     .cc = "",
     .display_from = "J\xc3\xb6rg",
     .display_to = "Ren\xc3\xa9",
     .message_id = "",
     .in_reply_to = "",
     .references = ""},
    {.name = "a group",
     .message = "From: a@b\r\nTo: Friends: x@y, z@y;\r\nCc: last@list, more@list\r\n"
                "Subject: [fwd: hello]\r\n\r\n",
     .base_subject = "hello",
     .is_reply = true,
     .from = "a",
     .to = "Friends",
     .cc = "last",
     .display_from = "a@b",
     .display_to = "Friends",
     .message_id = "",
     .in_reply_to = "",
     .references = ""},
};

static void assert_text(const char *name, const char *what, struct str got, const char *expected)
{
    if (!str_equal(got, str_from_c(expected)))
        fail_msg("%s: %s is <%.*s>", name, what, STR_ARG(got));
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    struct vault_sort_key *keys;
    size_t count;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        fixture_append(f, f->inbox, str_from_c(rows[i].message), 0);
    assert_int_equal(vault_sort_keys(f->vault, &f->task, f->inbox, 1, UINT32_MAX, ALL_FIELDS, 100,
                                     &keys, &count),
                     ERR_OK);
    assert_int_equal(count, ARRAY_LEN(rows));
    for (size_t i = 0; i < count; i++) {
        const char *name = rows[i].name;
        int64_t sent_ms = keys[i].arrival_ms;

        assert_int_equal(keys[i].uid, i + 1);
        assert_int_equal(keys[i].size_bytes, strlen(rows[i].message));
        assert_text(name, "base subject", keys[i].base_subject, rows[i].base_subject);
        assert_text(name, "from", keys[i].from, rows[i].from);
        assert_text(name, "to", keys[i].to, rows[i].to);
        assert_text(name, "cc", keys[i].cc, rows[i].cc);
        assert_text(name, "display from", keys[i].display_from, rows[i].display_from);
        assert_text(name, "display to", keys[i].display_to, rows[i].display_to);
        assert_text(name, "message id", keys[i].message_id, rows[i].message_id);
        assert_text(name, "in reply to", keys[i].in_reply_to, rows[i].in_reply_to);
        assert_text(name, "references", keys[i].references, rows[i].references);
        if (rows[i].sent != NULL)
            assert_true(clock_parse_iso(str_from_c(rows[i].sent), &sent_ms));
        assert_int_equal(keys[i].sent_ms, sent_ms);
        if (keys[i].is_reply != rows[i].is_reply)
            fail_msg("%s: is_reply", name);
    }
}

/* In turns, from where the last ended; only what was asked for. */
static void test_turns(void **state)
{
    struct fixture *f = *state;
    struct vault_sort_key *keys;
    uint32_t next_uid = 1;
    size_t count, total = 0;

    for (int i = 0; i < 7; i++)
        fixture_append(f, f->inbox, str_from_c(rows[0].message), 0);
    fixture_append(f, f->archive, str_from_c(rows[0].message), 0);
    do {
        assert_int_equal(vault_sort_keys(f->vault, &f->task, f->inbox, next_uid, UINT32_MAX,
                                         VAULT_SORT_SIZE, 3, &keys, &count),
                         ERR_OK);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(keys[i].uid, ++total);
            assert_int_equal(keys[i].from.len, 0);
            assert_int_equal(keys[i].size_bytes, strlen(rows[0].message));
        }
        next_uid = (uint32_t)total + 1;
    } while (count == 3);
    assert_int_equal(total, 7);
    assert_int_equal(
        vault_sort_keys(f->vault, &f->task, 9999, 1, UINT32_MAX, ALL_FIELDS, 3, &keys, &count),
        ERR_NOT_FOUND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {TEST(test_keys), TEST(test_turns)};

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
