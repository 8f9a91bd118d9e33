/* The word indexes: candidates are a superset of what matches, and narrow where they can. */
#include "vault/fixture.h"

#include "base/memory.h"
#include "base/random.h"
#include "message/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *search(struct fixture *f, enum vault_search_field field, const char *key,
                          bool *out_is_exact)
{
    CLEANUP(buf_free) struct buf out = {0};
    struct vault_candidates found;

    buf_init(&out, SIZE_MAX);
    if (vault_search_candidates(f->vault, &f->task, f->inbox, field, STR("X-Strange"),
                                str_from_c(key), NULL, 0, &found) != ERR_OK)
        fail_msg("search: %s", f->task.words);
    *out_is_exact = found.is_exact && found.open_count == 0;
    for (size_t i = 0; i < found.count; i++)
        buf_putf(&out, "%s%u", i > 0 ? " " : "", found.uids[i]);
    return arena_copy(&f->task.arena, buf_str(&out)).ptr;
}

static const char *const messages[] = {
    "From: Ann <ann@example.org>\r\nTo: Bob <bob@example.com>\r\nSubject: Green apples\r\n\r\n"
    "The quick brown fox jumps over the lazy dog.\r\n",
    "From: Bob <bob@example.com>\r\nTo: Ann <ann@example.org>\r\nCc: Zo\xc3\xab "
    "<zoe@example.net>\r\n"
    "Subject: Re: Green apples\r\nX-Strange: unobtainium\r\n\r\n"
    "Stra\xc3\x9f"
    "e und Caf\xc3\xa9, quicker than quick.\r\n",
    "From: x@example.org\r\nBcc: hidden@example.org\r\nSubject: =?utf-8?q?K=C3=B6ln?=\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n\r\nK=C3=B6ln am Rhein, foxglove\r\n",
};

static const struct {
    const char *name;
    enum vault_search_field field;
    const char *key;
    const char *uids;
    bool is_exact;
} rows[] = {
    {"a word", VAULT_SEARCH_BODY, "lazy", "1", true},
    {"without case", VAULT_SEARCH_BODY, "LAZY", "1", true},
    {"within words", VAULT_SEARCH_BODY, "uick", "1 2", true},
    {"the beginning of a word", VAULT_SEARCH_BODY, "fox", "1 3", true},
    {"several words", VAULT_SEARCH_BODY, "brown fox", "1", false},
    {"the end of one and the beginning of another", VAULT_SEARCH_BODY, "own fo", "1", false},
    {"inner words are whole words", VAULT_SEARCH_BODY, "the laz dog", "", false},
    {"with a separator before", VAULT_SEARCH_BODY, " glove", "", false},
    {"with a separator after", VAULT_SEARCH_BODY, "fox ", "1", false},
    {"not there", VAULT_SEARCH_BODY, "unobtainium", "", true},
    {"in a header, by TEXT", VAULT_SEARCH_TEXT, "unobtainium", "2", true},
    {"in a header field", VAULT_SEARCH_HEADER, "unobtainium", "2", true},
    {"in another header field", VAULT_SEARCH_HEADER, "apples", "", true},
    {"having a header field", VAULT_SEARCH_HEADER, "", "2", true},
    {"several words in a header field", VAULT_SEARCH_HEADER, "obtainium x", "", false},
    {"in the text, by TEXT", VAULT_SEARCH_TEXT, "rhein", "3", true},
    {"subject", VAULT_SEARCH_SUBJECT, "apple", "1 2", true},
    {"subject is not the body", VAULT_SEARCH_SUBJECT, "lazy", "", true},
    {"from", VAULT_SEARCH_FROM, "ann", "1", true},
    {"to", VAULT_SEARCH_TO, "ann", "2", true},
    {"cc", VAULT_SEARCH_CC, "zo\xc3\xab", "2", true},
    {"bcc", VAULT_SEARCH_BCC, "hidden", "3", true},
    {"an encoded word", VAULT_SEARCH_SUBJECT, "k\xc3\xb6ln", "3", true},
    {"upper case outside ASCII", VAULT_SEARCH_BODY, "K\xc3\x96LN", "3", true},
    {"decomposed", VAULT_SEARCH_BODY, "Ko\xcc\x88ln", "3", true},
    {"an address", VAULT_SEARCH_FROM, "bob@example.com", "2", true},
    {"a part of addresses", VAULT_SEARCH_FROM, "EXAMPLE.or", "1 3", true},
    {"an address in its brackets", VAULT_SEARCH_FROM, "<bob@example.com>", "2", false},
    {"an address, by TEXT", VAULT_SEARCH_TEXT, "bob@example.com", "1 2", false},
    {"no word at all", VAULT_SEARCH_BODY, ", ", "1 2 3", false},
    {"nothing", VAULT_SEARCH_BODY, "", "1 2 3", false},
    {"not UTF-8", VAULT_SEARCH_BODY, "\xff", "1 2 3", false},
    {"a sign between words that is not ASCII", VAULT_SEARCH_BODY, "am\xe2\x80\x93rhe", "3", false},
    {"quotes and operators are text", VAULT_SEARCH_BODY, "\" OR lazy NOT \"x", "", false},
};

static void test_keys(void **state)
{
    struct fixture *f = *state;
    bool is_exact;

    for (size_t i = 0; i < ARRAY_LEN(messages); i++)
        fixture_append(f, f->inbox, str_from_c(messages[i]), 0);
    /* What came a moment ago is a candidate for every key, and open. */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(search(f, rows[i].field, rows[i].key, &is_exact), "1 2 3");
        assert_false(is_exact);
    }
    fixture_housekeep(f, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *uids = search(f, rows[i].field, rows[i].key, &is_exact);

        if (strcmp(uids, rows[i].uids) != 0 || is_exact != rows[i].is_exact)
            fail_msg("%s: %s%s", rows[i].name, uids, is_exact ? ", exact" : "");
    }
}

static void test_copies_and_purging(void **state)
{
    struct fixture *f = *state;
    uint32_t uid = 1, *modified, *gone, *out, *targets;
    size_t count, gone_count;
    bool is_exact;

    fixture_append(f, f->inbox, str_from_c(messages[0]), 0);
    fixture_append(f, f->inbox, str_from_c(messages[1]), 0);
    assert_int_equal(vault_message_copy(f->vault, &f->task, f->inbox, f->inbox, &uid, 1, false,
                                        &out, &targets, &count),
                     ERR_OK);
    fixture_housekeep(f, 0);
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "lazy", &is_exact), "1 3");
    assert_int_equal(vault_message_store(f->vault, &f->task, f->inbox, &uid, 1, VAULT_STORE_ADD,
                                         VAULT_FLAG_DELETED, UINT64_MAX, &modified, &count, &gone,
                                         &gone_count),
                     ERR_OK);
    assert_int_equal(vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &out, &count),
                     ERR_OK);
    /* Somebody's view may have it yet. */
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "lazy", &is_exact), "1 3");
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "lazy", &is_exact), "3");
    assert_string_equal(search(f, VAULT_SEARCH_TEXT, "quick", &is_exact), "2 3");
}

/* More text, or markup, than is looked at: always candidates, never sure. Long words are. */
/* A folder's rows are kept from one search to the next, but not over a change. */
static void test_again_after_arrivals(void **state)
{
    static const char *const found[] = {"1", "1 2", "1 2 3"};
    struct fixture *f = *state;
    bool is_exact;

    for (size_t i = 0; i < ARRAY_LEN(found); i++) {
        fixture_append(f, f->inbox, fixture_message(f, "needle"), 0);
        for (int time = 0; time < 2; time++)
            assert_string_equal(search(f, VAULT_SEARCH_SUBJECT, "needle", &is_exact), found[i]);
    }
}

static void test_unindexed(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_free) struct buf raw = {0};
    struct vault_candidates found;
    bool is_exact;

    buf_init(&raw, SIZE_MAX);
    fixture_append(f, f->inbox, str_from_c(messages[0]), 0);
    buf_put(&raw, STR("Subject: long\r\n\r\n"));
    for (int i = 0; i < 100; i++)
        buf_putf(&raw, "abcdefgh%d", i);
    fixture_append(f, f->inbox, buf_str(&raw), 0);
    buf_reset(&raw);
    buf_put(&raw, STR("Subject: much\r\n\r\n"));
    for (int i = 0; i < 200000; i++)
        buf_put(&raw, STR("word\r\n"));
    fixture_append(f, f->inbox, buf_str(&raw), 0);
    buf_reset(&raw); /* little text, but behind more markup than is looked at */
    buf_put(&raw, STR("Subject: markup\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n"));
    for (int i = 0; i < 600000; i++)
        buf_put(&raw, STR("<b></b>\r\n"));
    buf_put(&raw, STR("hidden\r\n"));
    fixture_append(f, f->inbox, buf_str(&raw), 0);
    buf_reset(&raw); /* endless words */
    buf_put(&raw, STR("Subject: endless\r\n\r\n"));
    for (int i = 0; i < 20000; i++)
        buf_putf(&raw, "abcdefgh%d", i);
    fixture_append(f, f->inbox, buf_str(&raw), 0);
    fixture_housekeep(f, 0);
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "lazy", &is_exact), "1 3 4 5");
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "hidden", &is_exact), "3 4 5");
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "abcdefgh99", &is_exact), "2 3 4 5");
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "fgh17abcdefgh18", &is_exact), "2 3 4 5");
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "fgh17abcdefgh19", &is_exact), "3 4 5");
    assert_int_equal(vault_search_candidates(f->vault, &f->task, f->inbox, VAULT_SEARCH_BODY,
                                             STR(""), STR("lazy"), NULL, 0, &found),
                     ERR_OK);
    assert_true(found.is_exact);
    assert_int_equal(found.open_count, 3);
    assert_int_equal(found.open_uids[0], 3);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM unindexed"), 3);
}

/* Only headers and texts are read for the index, wherever attachments stand between them. */
static void test_parts(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_free) struct buf raw = {0};
    bool is_exact;

    buf_init(&raw, SIZE_MAX);
    buf_put(&raw, STR("Subject: outside\r\nMIME-Version: 1.0\r\n"
                      "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
                      "preamble\r\n--b\r\n\r\nfirst\r\n--b\r\n"
                      "Content-Type: application/pdf; name=\"plan.pdf\"\r\n"
                      "Content-Transfer-Encoding: base64\r\nContent-Description: drawing\r\n\r\n"));
    for (int i = 0; i < 100000; i++)
        buf_put(&raw, STR("c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldCBzZWNyZXQg\r\n"));
    buf_put(&raw, STR("--b\r\nContent-Type: message/rfc822\r\n\r\n"
                      "Subject: inside\r\n\r\ndeep\r\n--b\r\n\r\nlast\r\n--b--\r\n"));
    fixture_append(f, f->inbox, buf_str(&raw), 0);
    fixture_append(f, f->inbox, str_from_c(messages[0]), 0);
    buf_reset(&raw); /* more header than is looked at */
    buf_put(&raw, STR("Subject: headers\r\n"));
    for (int i = 0; i < 300000; i++)
        buf_put(&raw, STR("X-Filler: filler\r\n"));
    buf_put(&raw, STR("X-Last: hidden\r\n\r\nbody\r\n"));
    fixture_append(f, f->inbox, buf_str(&raw), 0);
    fixture_housekeep(f, 0);
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "first", &is_exact), "1 3");
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "last", &is_exact), "1 3");
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "deep", &is_exact), "1 3");
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "plan.pdf", &is_exact), "1 3");
    assert_string_equal(search(f, VAULT_SEARCH_BODY, "secret", &is_exact), "3");
    assert_string_equal(search(f, VAULT_SEARCH_TEXT, "drawing", &is_exact), "1 3");
    assert_string_equal(search(f, VAULT_SEARCH_TEXT, "inside", &is_exact), "1 3");
    assert_string_equal(search(f, VAULT_SEARCH_TEXT, "hidden", &is_exact), "3");
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM unindexed"), 1);
}

/*
 * The property: whatever is a substring of a message's folded text is found. Texts and keys are
 * made from few letters, so that much nearly matches.
 */
static void put_random(struct buf *out, size_t letters)
{
    static const char *const alphabet[] = {
        "a",
        "b",
        "A",
        "1",
        " ",
        "-",
        "\xc3\xa9",
        "e\xcc\x81",
        "\xc3\x9f",
        "\xce\xa3",
        "\xcf\x82",
        "\xe2\x82\xac",
        "\xe2\x80\x93",
        "\xe4\xb8\xad",
        "_",
        ".",
        "\xf0\x9f\x98\x80",
        "i",
        "\xc4\xb0",
    };

    for (size_t i = 0; i < letters; i++)
        buf_put(out, str_from_c(alphabet[random_below(ARRAY_LEN(alphabet))]));
}

static bool is_candidate(const uint32_t *uids, size_t count, uint32_t uid)
{
    for (size_t i = 0; i < count; i++) {
        if (uids[i] == uid)
            return true;
    }
    return false;
}

static void test_superset(void **state)
{
    enum { TEXTS = 40, KEYS = 400 };
    struct fixture *f = *state;
    struct buf texts[TEXTS], key, folded_key;

    buf_init(&key, SIZE_MAX);
    buf_init(&folded_key, SIZE_MAX);
    for (int i = 0; i < TEXTS; i++) {
        CLEANUP(buf_free) struct buf raw = {0}, text = {0};
        struct message_summary summary;

        buf_init(&raw, SIZE_MAX);
        buf_init(&text, SIZE_MAX);
        buf_init(&texts[i], SIZE_MAX);
        buf_put(&raw, STR("Content-Type: text/plain; charset=utf-8\r\n\r\n"));
        put_random(&raw, 60);
        fixture_append(f, f->inbox, buf_str(&raw), 0);
        message_parse(&f->task, buf_str(&raw), &summary);
        message_text(&summary.structure, buf_str(&raw), false, &text);
        message_fold(buf_str(&text), &texts[i]);
    }
    for (int k = 0; k < KEYS; k++) {
        struct vault_candidates found;

        buf_reset(&key);
        buf_reset(&folded_key);
        put_random(&key, 1 + random_below(4));
        message_fold(buf_str(&key), &folded_key);
        if (k % 100 == 1)
            fixture_housekeep(f, 0);
        assert_int_equal(vault_search_candidates(f->vault, &f->task, f->inbox, VAULT_SEARCH_BODY,
                                                 STR(""), buf_str(&key), NULL, 0, &found),
                         ERR_OK);
        for (uint32_t i = 0; i < TEXTS; i++) {
            bool has = str_find(buf_str(&texts[i]), buf_str(&folded_key)) >= 0;
            bool is_found = is_candidate(found.uids, found.count, i + 1);

            if ((has && !is_found) || (found.is_exact && found.open_count == 0 && has != is_found))
                fail_msg("key <%.*s> text <%.*s>: %d %d", STR_ARG(buf_str(&folded_key)),
                         STR_ARG(buf_str(&texts[i])), has, is_found);
        }
    }
    for (int i = 0; i < TEXTS; i++)
        buf_free(&texts[i]);
    buf_free(&key);
    buf_free(&folded_key);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_keys),      TEST(test_copies_and_purging), TEST(test_again_after_arrivals),
        TEST(test_unindexed), TEST(test_parts),              TEST(test_superset),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
