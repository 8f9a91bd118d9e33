/*
 * Sort keys: what RFC 5256 and RFC 5957 compare, from real messages; the same whether they are read
 * from their own rows or made from the contents', whatever happened to the messages meanwhile.
 */
#include "vault/fixture.h"
#include "vault/sort_keep.h"

#include "base/clock.h"
#include "base/macros.h"
#include "message/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ALL_FIELDS = 0xff };

static const struct {
    const char *name;
    const char *message;
    const char *base_subject, *from, *to, *cc, *display_from, *display_to;
    const char *message_id, *ancestors;
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
     .ancestors = "r1@x 0@x",
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
     .ancestors = ""},
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
     .ancestors = ""},
    {.name = "8-bit names that are not UTF-8",
     .message = "From: \"J\xf6rg\" <j@example.org>\r\nTo: Ren\xe9 <r@example.org>\r\n"
                "Subject: K\xf6ln\r\n\r\n",
     .base_subject = "K\xc3\xb6ln",
     .from = "j",
     .to = "r",
     .cc = "",
     .display_from = "J\xc3\xb6rg",
     .display_to = "Ren\xc3\xa9",
     .message_id = "",
     .ancestors = ""},
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
     .ancestors = ""},
};

/* --- Keys as a list --- */

enum { KEYS_MAX = 300 };

struct keys {
    struct arena *arena;
    struct vault_sort_key list[KEYS_MAX];
    size_t count, max;
    bool is_end;
    size_t made; /* of those, without a row of their own */
};

static struct str copied(struct arena *arena, struct str text)
{
    return text.len == 0 ? STR("") : arena_copy(arena, text);
}

static bool on_key(void *owner, const struct vault_sort_key *key)
{
    struct keys *keys = owner;
    struct vault_sort_key *copy = &keys->list[keys->count++];

    *copy = *key;
    copy->base_subject = copied(keys->arena, key->base_subject);
    copy->from = copied(keys->arena, key->from);
    copy->to = copied(keys->arena, key->to);
    copy->cc = copied(keys->arena, key->cc);
    copy->display_from = copied(keys->arena, key->display_from);
    copy->display_to = copied(keys->arena, key->display_to);
    copy->message_id = copied(keys->arena, key->message_id);
    copy->ancestors = copied(keys->arena, key->ancestors);
    keys->made += key->was_made;
    return keys->count < keys->max;
}

static struct keys *read_keys(struct fixture *f, int64_t folder_id, unsigned fields)
{
    struct keys *keys = ARENA_NEW(&f->task.arena, struct keys);

    *keys = (struct keys){.arena = &f->task.arena, .max = KEYS_MAX};
    if (vault_sort_keys(f->vault, &f->task, folder_id, 1, UINT32_MAX, fields, on_key, keys,
                        &keys->is_end) != ERR_OK)
        fail_msg("sort keys: %s", f->task.words);
    assert_true(keys->is_end);
    return keys;
}

static void assert_equal_texts(struct str a, struct str b)
{
    if (!str_equal(a, b))
        fail_msg("<%.*s>, <%.*s>", STR_ARG(a), STR_ARG(b));
}

static void assert_equal_keys(const struct vault_sort_key *a, const struct vault_sort_key *b)
{
    assert_int_equal(a->is_reply, b->is_reply);
    assert_true(a->sent_ms == b->sent_ms && a->size_bytes == b->size_bytes);
    assert_equal_texts(a->base_subject, b->base_subject);
    assert_equal_texts(a->from, b->from);
    assert_equal_texts(a->to, b->to);
    assert_equal_texts(a->cc, b->cc);
    assert_equal_texts(a->display_from, b->display_from);
    assert_equal_texts(a->display_to, b->display_to);
    assert_equal_texts(a->message_id, b->message_id);
    assert_equal_texts(a->ancestors, b->ancestors);
}

/* --- What they are --- */

static void assert_text(struct fixture *f, const char *name, const char *what, struct str got,
                        const char *expected)
{
    struct str folded;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    if (strcmp(what, "message id") == 0 || strcmp(what, "ancestors") == 0)
        buf_put(&out, str_from_c(expected));
    else
        message_fold(str_from_c(expected), &out);
    folded = arena_copy(&f->task.arena, buf_str(&out));
    buf_free(&out);
    if (!str_equal(got, folded))
        fail_msg("%s: %s is <%.*s>", name, what, STR_ARG(got));
}

static void check_rows(struct fixture *f, const struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        const struct vault_sort_key *key = &keys->list[i];
        size_t row = i % ARRAY_LEN(rows);
        const char *name = rows[row].name;
        int64_t sent_ms = key->arrival_ms;

        assert_int_equal(key->uid, i + 1);
        assert_int_equal(key->size_bytes, strlen(rows[row].message));
        assert_text(f, name, "base subject", key->base_subject, rows[row].base_subject);
        assert_text(f, name, "from", key->from, rows[row].from);
        assert_text(f, name, "to", key->to, rows[row].to);
        assert_text(f, name, "cc", key->cc, rows[row].cc);
        assert_text(f, name, "display from", key->display_from, rows[row].display_from);
        assert_text(f, name, "display to", key->display_to, rows[row].display_to);
        assert_text(f, name, "message id", key->message_id, rows[row].message_id);
        assert_text(f, name, "ancestors", key->ancestors, rows[row].ancestors);
        if (rows[row].sent != NULL)
            assert_true(clock_parse_iso(str_from_c(rows[row].sent), &sent_ms));
        assert_true(sent_ms != 0 && key->sent_ms == sent_ms);
        if (key->is_reply != rows[row].is_reply)
            fail_msg("%s: is_reply", name);
    }
}

/* From the contents' rows, and from those of their own. */
static void test_keys(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 10 * ARRAY_LEN(rows) };
    struct keys *keys;

    for (size_t i = 0; i < COUNT; i++)
        fixture_append(f, f->inbox, str_from_c(rows[i % ARRAY_LEN(rows)].message), 0);
    keys = read_keys(f, f->inbox, ALL_FIELDS);
    assert_int_equal(keys->count, COUNT);
    assert_int_equal(keys->made, COUNT);
    check_rows(f, keys);
    fixture_housekeep(f, 0);
    keys = read_keys(f, f->inbox, ALL_FIELDS);
    assert_int_equal(keys->count, COUNT);
    assert_int_equal(keys->made, 0);
    check_rows(f, keys);
}

/* Of a long References the last ids, wherever they are read from. */
static void test_many_ancestors(void **state)
{
    struct fixture *f = *state;
    struct buf raw, expected;

    buf_init(&raw, SIZE_MAX);
    buf_init(&expected, SIZE_MAX);
    buf_put(&raw, STR("References:"));
    for (int i = 1; i <= VAULT_SORT_ANCESTORS_MAX + 100; i++) {
        buf_putf(&raw, "\r\n <%d@x>", i);
        if (i > 100)
            buf_putf(&expected, "%s%d@x", i == 101 ? "" : " ", i);
    }
    buf_put(&raw, STR("\r\nIn-Reply-To: <0@x>\r\n\r\n"));
    for (int i = 0; i < 32; i++)
        fixture_append(f, f->inbox, buf_str(&raw), 0);
    for (int is_kept = 0; is_kept < 2; is_kept++) {
        const struct keys *keys = read_keys(f, f->inbox, ALL_FIELDS);

        assert_int_equal(keys->made, is_kept ? 0 : 32);
        assert_equal_texts(keys->list[0].ancestors, buf_str(&expected));
        fixture_housekeep(f, 0);
    }
    buf_free(&raw);
    buf_free(&expected);
}

/* In turns, from where the last ended; only what was asked for. */
static void test_turns(void **state)
{
    struct fixture *f = *state;
    struct keys keys = {.arena = &f->task.arena, .max = 3};
    uint32_t total = 0;

    for (int i = 0; i < 7; i++)
        fixture_append(f, f->inbox, str_from_c(rows[0].message), 0);
    fixture_append(f, f->archive, str_from_c(rows[0].message), 0);
    do {
        keys.count = 0;
        assert_int_equal(vault_sort_keys(f->vault, &f->task, f->inbox, total + 1, UINT32_MAX,
                                         VAULT_SORT_SIZE, on_key, &keys, &keys.is_end),
                         ERR_OK);
        for (size_t i = 0; i < keys.count; i++) {
            assert_int_equal(keys.list[i].uid, ++total);
            assert_int_equal(keys.list[i].from.len, 0);
            assert_int_equal(keys.list[i].size_bytes, strlen(rows[0].message));
        }
        assert_int_equal(keys.count, keys.is_end ? 1 : 3);
    } while (!keys.is_end);
    assert_int_equal(total, 7);
    assert_int_equal(vault_sort_keys(f->vault, &f->task, 9999, 1, UINT32_MAX, ALL_FIELDS, on_key,
                                     &keys, &keys.is_end),
                     ERR_NOT_FOUND);
}

/* --- Kept and made are the same --- */

static uint32_t seed = 4711;

static uint32_t random_to(uint32_t bound)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % bound;
}

static const char *choice(const char *const *choices, size_t count)
{
    return choices[random_to((uint32_t)count)];
}
#define CHOICE(choices) choice(choices, ARRAY_LEN(choices))

/* Headers with all that a key is made of, often strange; some very long. */
static struct str random_message(struct arena *arena)
{
    static const char *const addresses[] = {
        "",
        "a@b",
        "Zo\xc3\xab \xef\xac\x81 <zoe@example.org>",
        "=?utf-8?q?=C3=84rger?= <x@y>, b@c",
        "\"q\\\"uoted\" <\"odd local\"@example.net>",
        "Group: one@x, two@y;",
        "<",
        "\xff\xfe <bytes@x>",
    };
    static const char *const subjects[] = {"",
                                           "Re: x",
                                           "[list] Re: \xce\xa3\xcf\x82 (fwd)",
                                           "=?utf-8?b?4pyT?= done",
                                           "Fwd: [fwd: deep]",
                                           "plain"};
    static const char *const dates[] = {"Thu, 26 Nov 2026 07:00:00 +0100", "yesterday", "",
                                        "1 Jan 1970 00:00:00 +0000", "31 Dec 1969 23:59:58 +0000"};
    static const char *const ids[] = {"", "<1@x>", "<\"q\"@x> <2@y>", "<3@z>\r\n\t<4@z>", "none"};
    static const char filler[] = "abcdefghijklmnopqrstuvwxyz \xc3\x9f";
    struct str text;
    struct buf raw;

    buf_init(&raw, SIZE_MAX);
    buf_putf(&raw, "From: %s\r\nTo: %s\r\nCc: %s\r\n", CHOICE(addresses), CHOICE(addresses),
             CHOICE(addresses));
    buf_putf(&raw, "Subject: %s", CHOICE(subjects));
    for (uint32_t i = random_to(40) == 0 ? 30 : 0; i > 0; i--)
        buf_putf(&raw, "%s", filler);
    buf_putf(&raw, "\r\nDate: %s\r\nMessage-ID: %s\r\n", CHOICE(dates), CHOICE(ids));
    buf_putf(&raw, "References: %s\r\nIn-Reply-To: %s\r\n\r\n%u\r\n", CHOICE(ids), CHOICE(ids),
             random_to(1000000));
    text = arena_copy(arena, buf_str(&raw));
    buf_free(&raw);
    return text;
}

/* Makes them all anew: rows are not looked at. */
static struct keys *make_keys(struct fixture *f, int64_t folder_id)
{
    int64_t next = f->vault->sort_next_id;
    struct keys *keys;

    f->vault->sort_next_id = 1;
    keys = read_keys(f, folder_id, ALL_FIELDS);
    f->vault->sort_next_id = next;
    assert_int_equal(keys->made, keys->count);
    return keys;
}

/* Both ways, in a folder; gives how many have no row. */
static size_t compare(struct fixture *f, int64_t folder_id)
{
    const struct keys *made = make_keys(f, folder_id);
    const struct keys *kept = read_keys(f, folder_id, ALL_FIELDS);

    assert_int_equal(kept->count, made->count);
    for (size_t i = 0; i < kept->count; i++)
        assert_equal_keys(&kept->list[i], &made->list[i]);
    return kept->made;
}

static void append_random(struct fixture *f, int count)
{
    for (int i = 0; i < count; i++)
        fixture_append(f, f->inbox, random_message(&f->task.arena), 0);
}

/* Copied, moved, expunged, purged; some still without a row. */
static void test_changes(void **state)
{
    struct fixture *f = *state;
    uint32_t uids[40], gone = 120, *sources, *targets, *expunged;
    size_t count;

    append_random(f, 120);
    fixture_housekeep(f, 0);
    assert_int_equal(compare(f, f->inbox), 0);
    append_random(f, 20); /* too few for a slice */
    fixture_housekeep(f, 0);
    assert_int_equal(compare(f, f->inbox), 20);
    for (uint32_t i = 0; i < ARRAY_LEN(uids); i++)
        uids[i] = 1 + i * 3;
    assert_int_equal(vault_message_copy(f->vault, &f->task, f->inbox, f->archive, uids,
                                        ARRAY_LEN(uids), false, &sources, &targets, &count),
                     ERR_OK);
    assert_int_equal(vault_message_copy(f->vault, &f->task, f->inbox, f->archive, &gone, 1, true,
                                        &sources, &targets, &count),
                     ERR_OK);
    assert_int_equal(compare(f, f->archive), 0);
    for (uint32_t i = 0; i < ARRAY_LEN(uids); i++)
        uids[i] = 2 + i * 3;
    assert_int_equal(vault_message_store(f->vault, &f->task, f->inbox, uids, ARRAY_LEN(uids),
                                         VAULT_STORE_ADD, VAULT_FLAG_DELETED, UINT64_MAX, &targets,
                                         &count, &sources, &count),
                     ERR_OK);
    assert_int_equal(
        vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &expunged, &count), ERR_OK);
    fixture_housekeep(f, 10 * 24 * 3600 * INT64_C(1000));
    assert_int_equal(compare(f, f->inbox), 20);
    assert_int_equal(compare(f, f->archive), 0);
    /* One for each content that has its row; teardown asks for rows without a content. */
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM sort_key"),
                     fixture_ask(f, "SELECT count(*) FROM content") - 20);
    fixture_reopen(f);
    append_random(f, 12);
    fixture_housekeep(f, 0);
    assert_int_equal(compare(f, f->inbox), 0);
}

/* Killed after any slice, or within: what is there is right, and the rest follows. */
static void test_killed(void **state)
{
    struct fixture *f = *state;
    int status;
    pid_t child;

    append_random(f, 230);
    vault_close(&f->vault);
    secret_set_inherited(true);
    child = fork();
    if (child == 0) {
        bool did = false;

        if (vault_open(&f->task, &f->options, f->key, &f->vault) != ERR_OK ||
            vault_write_begin(f->vault, &f->task) != ERR_OK ||
            vault_write_end(f->vault, &f->task, sort_slice(f->vault, &f->task, &did),
                            VAULT_RELAXED) != ERR_OK ||
            vault_write_begin(f->vault, &f->task) != ERR_OK ||
            sort_slice(f->vault, &f->task, &did) != ERR_OK)
            _exit(1);
        (void)kill(getpid(), SIGKILL);
    }
    secret_set_inherited(false);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    if (vault_open(&f->task, &f->options, f->key, &f->vault) != ERR_OK)
        fail_msg("open: %s", f->task.words);
    assert_int_equal(compare(f, f->inbox), 30);
    append_random(f, 2);
    fixture_housekeep(f, 0);
    assert_int_equal(compare(f, f->inbox), 0);
}

/* Rows of another form of folding are as none, and are replaced. */
static void test_another_form(void **state)
{
    struct fixture *f = *state;

    append_random(f, 250);
    fixture_housekeep(f, 0);
    fixture_execute(f, "UPDATE sort_progress SET form = form - 1;"
                       "UPDATE sort_key SET base_subject = x'00', is_reply = 0, sent_ms = 7");
    fixture_reopen(f);
    assert_int_equal(compare(f, f->inbox), 250);
    fixture_housekeep(f, 0);
    assert_int_equal(compare(f, f->inbox), 0);
    fixture_reopen(f);
    assert_int_equal(compare(f, f->inbox), 0);
    assert_false(vault_is_behind(f->vault, VAULT_BEHIND_CONTENTS));
    f->vault->sort_next_id -= 1100; /* as of a large file */
    assert_true(vault_is_behind(f->vault, VAULT_BEHIND_CONTENTS));
    assert_false(vault_is_behind(f->vault, VAULT_BEHIND_IN_BULK_CONTENTS));
    f->vault->sort_next_id += 1100;
}

/* A content of which no key can be made stops neither the others nor itself from being told. */
static void test_damaged(void **state)
{
    struct fixture *f = *state;
    struct keys keys = {.arena = &f->task.arena, .max = KEYS_MAX};

    append_random(f, 50);
    fixture_execute(f, "UPDATE content SET envelope = 'none' WHERE id = 10");
    fixture_housekeep(f, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM sort_key"), 49);
    assert_int_equal(read_keys(f, f->inbox, VAULT_SORT_SUBJECT)->made, 1);
    assert_int_equal(vault_sort_keys(f->vault, &f->task, f->inbox, 1, UINT32_MAX, ALL_FIELDS,
                                     on_key, &keys, &keys.is_end),
                     ERR_CORRUPT);
    assert_int_equal(keys.count, 9);
    /* Nor is it told what was right in another form. */
    fixture_execute(f, "UPDATE sort_progress SET form = form - 1;"
                       "UPDATE content SET envelope = 'none' WHERE id = 5");
    fixture_reopen(f);
    fixture_housekeep(f, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM sort_key"), 48);
    assert_int_equal(vault_sort_keys(f->vault, &f->task, f->inbox, 5, 5, ALL_FIELDS, on_key, &keys,
                                     &keys.is_end),
                     ERR_CORRUPT);
}

/* A header as long as its sender liked does not make a slice as long. */
static void test_long_headers(void **state)
{
    enum { MESSAGES = 40, IDS = 1000 };
    struct fixture *f = *state;
    struct buf raw;
    bool has_more;

    buf_init(&raw, SIZE_MAX);
    for (int i = 0; i < MESSAGES; i++) {
        buf_reset(&raw);
        buf_put(&raw, STR("Subject: long\r\nReferences:"));
        for (int k = 0; k < IDS; k++)
            buf_putf(&raw, " <%032d.%d@example.org>\r\n", k, i);
        buf_put(&raw, STR("\r\n"));
        fixture_append(f, f->inbox, buf_str(&raw), 0);
    }
    buf_free(&raw);
    assert_true(read_keys(f, f->inbox, VAULT_SORT_ARRIVAL)->list[0].text_bytes == 0);
    assert_true(read_keys(f, f->inbox, VAULT_SORT_CC)->list[0].text_bytes > (size_t)IDS * 32);
    assert_int_equal(vault_housekeeping(f->vault, &f->task, &has_more), ERR_OK);
    assert_in_range(compare(f, f->inbox), MESSAGES / 2, MESSAGES - 1);
    append_random(f, 40); /* so that the last slice is worth it */
    fixture_housekeep(f, 0);
    assert_int_equal(compare(f, f->inbox), 0);
    assert_true(read_keys(f, f->inbox, VAULT_SORT_CC)->list[0].text_bytes == 0);
    assert_in_range(read_keys(f, f->inbox, VAULT_SORT_THREAD)->list[0].text_bytes,
                    VAULT_SORT_ANCESTORS_MAX * 32, VAULT_SORT_ANCESTORS_MAX * 64);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {TEST(test_keys),           TEST(test_turns),
                                       TEST(test_many_ancestors), TEST(test_changes),
                                       TEST(test_killed),         TEST(test_another_form),
                                       TEST(test_damaged),        TEST(test_long_headers)};

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
