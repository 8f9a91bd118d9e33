/* Keywords when all bits are taken: those that no message carries give way, and no other. */
#include "vault/fixture.h"

#include "vault/state.h"
#include "vault/undelete.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { COUNT = VAULT_KEYWORD_END - VAULT_KEYWORD_FIRST };

static const int64_t day_ms = INT64_C(24) * 60 * 60 * 1000;

static struct str name_of(struct fixture *f, unsigned number)
{
    return arena_printf(&f->task.arena, "key%u", number);
}

static enum err make(struct fixture *f, struct str name, uint64_t kept, uint64_t *out_bit)
{
    enum err err = vault_keyword_bit(f->vault, &f->task, name, true, kept, out_bit);

    task_forgive(&f->task);
    return err;
}

/* "key0" to "key57": all bits. */
static void make_all(struct fixture *f, uint64_t bits[static COUNT])
{
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(make(f, name_of(f, i), 0, &bits[i]), ERR_OK);
}

/* Bit by bit, "-": none; without those at the end. */
static const char *keywords(struct fixture *f)
{
    CLEANUP(buf_free) struct buf out = {0};
    size_t len = 0;

    buf_init(&out, SIZE_MAX);
    for (unsigned bit = VAULT_KEYWORD_FIRST; bit < VAULT_KEYWORD_END; bit++) {
        struct str name = vault_keyword_name(f->vault, bit);

        buf_putf(&out, "%s%.*s", out.len > 0 ? " " : "", STR_ARG(name.len > 0 ? name : STR("-")));
        if (name.len > 0)
            len = out.len;
    }
    buf_truncate(&out, len);
    return arena_copy(&f->task.arena, buf_str(&out)).ptr;
}

static void assert_has(struct fixture *f, uint64_t bit, unsigned number)
{
    assert_true(str_equal(vault_keyword_name(f->vault, (unsigned)__builtin_ctzll(bit)),
                          name_of(f, number)));
}

static void take_away(struct fixture *f, uint32_t uid)
{
    assert_int_equal(vault_message_remove(f->vault, &f->task, f->inbox, &uid, 1), ERR_OK);
}

static void on_change(struct vault_subscriber *subscriber, int64_t folder_id)
{
    (void)subscriber;
    (void)folder_id;
}

/* Carried by a message, by one that is expunged, by one that is kept for its owner; wanted by
 * whoever asks; held by a session. */
static void test_unused_give_way(void **state)
{
    struct fixture *f = *state;
    struct vault_subscriber session = {.on_change = on_change};
    uint64_t bits[COUNT], new_bit, before;

    make_all(f, bits);
    before = vault_keywords_state(f->vault);
    vault_set_undelete(f->vault, 14 * day_ms, UINT64_MAX);
    fixture_append(f, f->archive, fixture_message(f, "live"), bits[57]);
    fixture_append(f, f->inbox, fixture_message(f, "kept"), bits[56] | VAULT_FLAG_SEEN);
    take_away(f, 1);
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS * 2);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hidden"), 1);
    fixture_append(f, f->inbox, fixture_message(f, "gone"), bits[55]);
    take_away(f, 2);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message WHERE is_expunged = 1"), 1);
    session.keywords_held = bits[54] | VAULT_FLAG_SEEN;
    vault_subscribe(f->vault, &session);
    assert_int_equal(make(f, STR("new"), bits[53], &new_bit), ERR_OK);
    vault_unsubscribe(f->vault, &session);
    assert_true(new_bit == UINT64_C(1) << VAULT_KEYWORD_FIRST);
    for (unsigned i = 53; i <= 57; i++)
        assert_has(f, bits[i], i);
    assert_true(vault_keywords(f->vault) ==
                (new_bit | bits[53] | bits[54] | bits[55] | bits[56] | bits[57]));
    assert_true(vault_keywords_state(f->vault) != before);
    before = vault_keywords_state(f->vault);
    fixture_reopen(f);
    assert_has(f, bits[53], 53);
    assert_true(vault_keywords_state(f->vault) == before);
    assert_int_equal(make(f, STR("NEW"), 0, &bits[0]), ERR_OK);
    assert_true(bits[0] == new_bit);
    assert_int_equal(make(f, STR("key1"), 0, &bits[1]), ERR_OK); /* once more, with another bit */
    assert_true(bits[1] == UINT64_C(1) << (VAULT_KEYWORD_FIRST + 1));
}

static int pages_looked_at(struct fixture *f)
{
    int pages, highest;

    assert_int_equal(
        sqlite3_db_status(db_handle(f->vault->db), SQLITE_DBSTATUS_CACHE_HIT, &pages, &highest, 1),
        SQLITE_OK);
    return pages;
}

/* When messages carry all of them, asking again and again costs no look each time; nor does it when
 * each look finds one. */
static void test_looks_are_seldom(void **state)
{
    struct fixture *f = *state;
    uint64_t bits[COUNT], bit, all = 0;
    uint32_t *modified, *gone, uid = 1;
    size_t modified_count, gone_count;
    int first;

    make_all(f, bits);
    for (unsigned i = 0; i < COUNT; i++)
        all |= bits[i];
    for (unsigned i = 0; i < 1000; i++)
        fixture_append(f, f->inbox, fixture_message(f, "x"),
                       i == 0 ? all & ~bits[7] : VAULT_FLAG_SEEN);
    fixture_append(f, f->inbox, fixture_message(f, "x"), bits[7]);
    assert_true(vault_keywords_can_grow(f->vault, f->task.now_ms));
    (void)pages_looked_at(f);
    assert_int_equal(make(f, STR("new"), 0, &bit), ERR_LIMIT);
    first = pages_looked_at(f);
    assert_true(vault_keywords(f->vault) == all);
    assert_false(vault_keywords_can_grow(f->vault, f->task.now_ms));
    uid = 1001; /* and now the last message has it no more */
    assert_int_equal(vault_message_store(f->vault, &f->task, f->inbox, &uid, 1, VAULT_STORE_REPLACE,
                                         0, UINT64_MAX, &modified, &modified_count, &gone,
                                         &gone_count),
                     ERR_OK);
    (void)pages_looked_at(f);
    for (int i = 0; i < 10; i++)
        assert_int_equal(make(f, STR("new"), 0, &bit), ERR_LIMIT);
    assert_true(pages_looked_at(f) < first);
    f->task.now_ms += 60 * 1000;
    assert_true(vault_keywords_can_grow(f->vault, f->task.now_ms));
    assert_int_equal(make(f, STR("new"), 0, &bit), ERR_OK);
    assert_true(bit == bits[7]);
    assert_int_equal(make(f, STR("another"), 0, &bit), ERR_LIMIT);
    f->task.now_ms += 60 * 1000;
    assert_int_equal(make(f, STR("another"), 0, &bit), ERR_OK);
    f->task.now_ms -= 3600 * 1000; /* a clock that was set back makes nobody wait */
    assert_int_equal(make(f, STR("one more"), 0, &bit), ERR_LIMIT); /* no atom */
    assert_int_equal(make(f, STR("one-more"), 0, &bit), ERR_OK);
    assert_true(bit == bits[7]);
}

/* What is not committed has not happened, in the file or in memory. */
static void test_failed_commit(void **state)
{
    struct fixture *f = *state;
    uint64_t bits[COUNT], bit, before;
    const char *names;

    make_all(f, bits);
    fixture_append(f, f->inbox, fixture_message(f, "x"), bits[3]);
    before = vault_keywords_state(f->vault);
    names = keywords(f);
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    assert_int_equal(make(f, STR("new"), 0, &bit), ERR_OK);
    assert_string_equal(keywords(f), "new - - key3");
    fixture_execute(f, "ROLLBACK"); /* so that the batch's end fails */
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_IO);
    task_forgive(&f->task);
    assert_string_equal(keywords(f), names);
    assert_true(vault_keywords_state(f->vault) == before);
    fixture_reopen(f);
    assert_string_equal(keywords(f), names);
    assert_int_equal(make(f, STR("new"), 0, &bit), ERR_OK);
    assert_string_equal(keywords(f), "new - - key3");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_unused_give_way),
        TEST(test_looks_are_seldom),
        TEST(test_failed_commit),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
