/* Learning from moves and keywords, and what it makes of deliveries. */
#include "vault/fixture.h"

#include "message/message.h"
#include "vault/junk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const spam_words[] = {"casino jackpot bonus winner", "cheap replica watches deal",
                                         "miracle pills discount pharmacy"};
static const char *const ham_words[] = {"meeting agenda minutes project", "kitchen garden weekend bread",
                                        "compiler patch review branch"};

static struct str message(struct fixture *f, const char *words, int number)
{
    return arena_printf(&f->task.arena,
                        "From: Ann <ann%d@example.org>\r\nTo: me@example.net\r\nSubject: %s\r\n"
                        "Message-ID: <%d.%.3s@example.org>\r\n"
                        "Date: Thu, 26 Nov 2026 10:00:00 +0000\r\n\r\n%s, number%d\r\n",
                        number, words, number, words, words, number);
}

static void move(struct fixture *f, int64_t from, int64_t to, uint32_t uid, bool is_move)
{
    uint32_t *sources, *uids;
    size_t count;

    assert_int_equal(vault_message_copy(f->vault, &f->task, from, to, &uid, 1, is_move, &sources,
                                        &uids, &count),
                     ERR_OK);
    assert_int_equal(count, 1);
}

static void expect_learned(struct fixture *f, uint32_t spam, uint32_t wanted)
{
    struct vault_junk_training training;

    fixture_housekeep(f, 0);
    vault_junk_training(f->vault, &training);
    assert_int_equal(training.spam, spam);
    assert_int_equal(training.wanted, wanted);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM spam_waiting"), 0);
    assert_int_equal(fixture_ask(f, "SELECT spam FROM spam_total"), spam);
    assert_int_equal(fixture_ask(f, "SELECT ham FROM spam_total"), wanted);
}

static void store(struct fixture *f, int64_t folder, uint32_t uid, const char *keyword,
                  enum vault_store_mode mode)
{
    uint32_t *modified, *gone;
    size_t modified_count, gone_count;
    uint64_t bit;

    assert_int_equal(vault_keyword_bit(f->vault, &f->task, str_from_c(keyword), true, 0, &bit),
                     ERR_OK);
    assert_int_equal(vault_message_store(f->vault, &f->task, folder, &uid, 1, mode, bit, UINT64_MAX,
                                         &modified, &modified_count, &gone, &gone_count),
                     ERR_OK);
}

/* Each move counts once; back again takes back what was learned. */
static void test_moves(void **state)
{
    struct fixture *f = *state;
    int64_t junk = fixture_folder_id(f, "Junk"), trash = fixture_folder_id(f, "Trash");
    uint32_t uid = fixture_append(f, f->inbox, message(f, spam_words[0], 1), 0);

    expect_learned(f, 0, 0);
    move(f, f->inbox, f->archive, uid, false);
    expect_learned(f, 0, 0);
    move(f, f->inbox, junk, uid, true);
    expect_learned(f, 1, 0);
    assert_true(fixture_ask(f, "SELECT sum(spam) FROM spam_token") > 5);
    move(f, junk, f->inbox, 1, false);
    expect_learned(f, 0, 1);
    assert_int_equal(fixture_ask(f, "SELECT sum(spam) FROM spam_token"), 0);
    assert_true(fixture_ask(f, "SELECT sum(ham) FROM spam_token") > 5);
    move(f, junk, f->archive, 1, false); /* the same word about the same content */
    expect_learned(f, 0, 1);
    move(f, junk, trash, 1, true); /* thrown away: says nothing */
    expect_learned(f, 0, 1);
    /* What was appended to Junk was not moved there. */
    uid = fixture_append(f, junk, message(f, spam_words[1], 2), 0);
    expect_learned(f, 0, 1);
    move(f, junk, trash, uid, true); /* nor does throwing it away say that it was wanted */
    expect_learned(f, 0, 1);
    fixture_reopen(f);
    expect_learned(f, 0, 1);
}

static void test_keywords(void **state)
{
    struct fixture *f = *state;
    uint32_t uid = fixture_append(f, f->inbox, message(f, spam_words[0], 1), 0);
    uint32_t other = fixture_append(f, f->inbox, message(f, ham_words[0], 2), 0);

    store(f, f->inbox, uid, "$forwarded", VAULT_STORE_ADD);
    expect_learned(f, 0, 0);
    store(f, f->inbox, uid, "$junk", VAULT_STORE_ADD);
    expect_learned(f, 1, 0);
    store(f, f->inbox, uid, "$Junk", VAULT_STORE_ADD); /* has it already */
    store(f, f->inbox, uid, "$Junk", VAULT_STORE_REMOVE);
    expect_learned(f, 1, 0);
    store(f, f->inbox, other, "$NotJunk", VAULT_STORE_REPLACE);
    expect_learned(f, 1, 1);
    store(f, f->inbox, uid, "$NotJunk", VAULT_STORE_ADD);
    expect_learned(f, 0, 2);
    store(f, f->inbox, uid, "$Junk", VAULT_STORE_ADD); /* both: nobody can tell */
    expect_learned(f, 0, 2);
}

/* What waits survives the process; what was purged before it was learned is forgotten. */
static void test_waiting(void **state)
{
    struct fixture *f = *state;
    int64_t junk = fixture_folder_id(f, "Junk");
    struct vault_junk_training training;
    uint32_t uid = fixture_append(f, f->inbox, message(f, spam_words[0], 1), 0);

    move(f, f->inbox, junk, uid, true);
    vault_junk_training(f->vault, &training);
    assert_int_equal(training.spam, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM spam_waiting"), 1);
    fixture_reopen(f);
    expect_learned(f, 1, 0);
    uid = 1;
    assert_int_equal(vault_message_remove(f->vault, &f->task, junk, &uid, 1), ERR_OK);
    fixture_housekeep(f, 10 * 60 * 1000);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM spam_learned"), 0);
    expect_learned(f, 1, 0);
}

/* Tokens of another form: everything that is there is learned anew. */
static void test_other_form(void **state)
{
    struct fixture *f = *state;
    int64_t junk = fixture_folder_id(f, "Junk");
    uint32_t uid = fixture_append(f, f->inbox, message(f, spam_words[0], 1), 0);
    int64_t tokens;

    move(f, f->inbox, junk, uid, true);
    expect_learned(f, 1, 0);
    tokens = fixture_ask(f, "SELECT count(*) FROM spam_token");
    fixture_execute(f, "UPDATE spam_total SET form = 0; DELETE FROM spam_token;"
                       "INSERT INTO spam_token VALUES (17, 5, 5)");
    fixture_reopen(f);
    expect_learned(f, 1, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM spam_token"), tokens);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM spam_token WHERE hash = 17"), 0);
}

/* --- Filing --- */

static void train(struct fixture *f)
{
    int64_t junk = fixture_folder_id(f, "Junk");

    for (int i = 0; i < 12; i++) {
        uint32_t uid = fixture_append(f, f->inbox, message(f, spam_words[i % 3], i), 0);

        move(f, f->inbox, junk, uid, true);
        uid = fixture_append(f, junk, message(f, ham_words[i % 3], 100 + i), 0);
        move(f, junk, f->inbox, uid, true);
    }
    expect_learned(f, 12, 12);
}

enum shared { SHARED_NONE, SHARED_HAM, SHARED_JUNK, SHARED_HARD };

static const char *const shared_fields[] = {
    [SHARED_NONE] = "",
    [SHARED_HAM] = "X-Spam-Status: No, score=0.000 required=5.000\r\n",
    [SHARED_JUNK] = "X-Spam-Status: Yes, score=6.000 required=5.000\r\n\ttests=BAYES=5.000,"
                    "\r\n\tNO_DATE=1.000\r\n",
    [SHARED_HARD] = "X-Spam-Status: Yes, score=6.000 required=5.000\r\n\ttests=NO_DATE=1.000,"
                    "\r\n\tLINK_HOMOGRAPH=5.000\r\n",
};

/* The name of the folder that a delivery goes to; *out_field: whether the owner's field is in it. */
static const char *file(struct fixture *f, const char *words, enum shared shared,
                        const char *folder, bool *out_field)
{
    CLEANUP(buf_free) struct buf storage = {0};
    const char *trace = arena_printf(&f->task.arena, "Received: by here; now\r\n%s",
                                     shared_fields[shared]).ptr;
    struct str plain = message(f, words, 1000);
    struct str raw = arena_printf(&f->task.arena, "%s%.*s", trace, STR_ARG(plain));
    struct vault_append append = {.raw = raw, .trace_len = strlen(trace), .is_delivery = true};
    struct vault_folder found;
    int64_t folder_id;
    uint32_t uid;

    buf_init(&storage, SIZE_MAX);
    assert_int_equal(vault_junk_file(f->vault, &f->task, str_from_c(folder), &append, &storage,
                                     &folder_id),
                     ERR_OK);
    /* What was received is untouched, and our part in front of it is fields. */
    assert_true(str_equal(str_from(append.raw, append.trace_len), plain));
    assert_true(str_starts_with(append.raw, str_from_c(trace)));
    *out_field = append.trace_len > strlen(trace);
    if (*out_field) {
        struct str value;
        size_t position = 0;

        assert_true(message_header_next(append.raw, STR("X-Spam-Owner"), &position, &value));
        assert_true(append.raw.ptr[append.trace_len - 1] == '\n');
    }
    assert_int_equal(vault_message_append(f->vault, &f->task, folder_id, &append, &uid), ERR_OK);
    assert_int_equal(vault_folder_by_id(f->vault, &f->task, folder_id, &found), ERR_OK);
    return arena_copy(&f->task.arena, found.name).ptr;
}

static void test_untrained(void **state)
{
    struct fixture *f = *state;
    bool has_field;

    assert_string_equal(file(f, spam_words[0], SHARED_HAM, "", &has_field), "INBOX");
    assert_false(has_field);
    assert_string_equal(file(f, ham_words[0], SHARED_JUNK, "Junk", &has_field), "Junk");
    assert_false(has_field);
    assert_string_equal(file(f, ham_words[0], SHARED_JUNK, "", &has_field), "Junk");
    assert_string_equal(file(f, ham_words[1], SHARED_NONE, "Archive", &has_field), "Archive");
    assert_string_equal(file(f, ham_words[2], SHARED_NONE, "Gone", &has_field), "INBOX");
}

static void test_trained(void **state)
{
    static const struct {
        const char *rule;
        bool is_spam;
        enum shared shared;
        const char *folder, *expected;
        bool has_field;
    } rows[] = {
        {"spam to him, unknown to others", true, SHARED_HAM, "", "Junk", true},
        {"spam to him, never examined", true, SHARED_NONE, "", "Junk", true},
        {"spam to all", true, SHARED_JUNK, "Junk", "Junk", true},
        {"wanted", false, SHARED_HAM, "", "INBOX", false},
        {"wanted, and junk to others", false, SHARED_JUNK, "Junk", "INBOX", true},
        {"wanted, but for a hard reason", false, SHARED_HARD, "Junk", "Junk", false},
        {"from a sender on an allow list", true, SHARED_JUNK, "INBOX", "INBOX", false},
        {"filed by its +tag", true, SHARED_HAM, "Archive", "Archive", false},
        {"filed by its +tag, junk to others", true, SHARED_JUNK, "Archive", "Archive", false},
    };
    struct fixture *f = *state;
    struct str renamed;

    train(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *words = rows[i].is_spam ? spam_words[i % 3] : ham_words[i % 3];
        bool has_field;
        const char *found = file(f, words, rows[i].shared, rows[i].folder, &has_field);

        if (strcmp(found, rows[i].expected) != 0 || has_field != rows[i].has_field)
            fail_msg("%s: %s, %s", rows[i].rule, found, has_field ? "a field" : "no field");
    }
    /* Junk is what has that use, whatever it is called now. */
    renamed = STR("Rubbish");
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("Junk"), renamed), ERR_OK);
    bool has_field;
    assert_string_equal(file(f, spam_words[0], SHARED_JUNK, "Junk", &has_field), "Rubbish");
}

/* The same message again, as long as it is remembered: once, whatever was learned meanwhile. */
static void test_retransmission(void **state)
{
    struct fixture *f = *state;
    bool has_field;

    file(f, spam_words[0], SHARED_HAM, "", &has_field);
    train(f);
    file(f, spam_words[0], SHARED_HAM, "", &has_field);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM message AS m JOIN content AS c "
                                    "ON c.id = m.content_id WHERE c.message_id LIKE '1000.%' "
                                    "AND m.is_expunged = 0"),
                     1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_moves),      TEST(test_keywords),  TEST(test_waiting), TEST(test_other_form),
        TEST(test_untrained),  TEST(test_trained),   TEST(test_retransmission),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
