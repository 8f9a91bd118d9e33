/*
 * The index against a plain scan of the messages' own text, whatever happened to them: not indexed
 * yet, folded, merged, copied, moved, expunged, purged, the file reopened in the middle.
 */
#include "vault/fixture.h"
#include "vault/index.h"
#include "vault/plain_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct str names[] = {STR_INIT("X-Strange"), STR_INIT("x-STRANGE"), STR_INIT("Cc"),
                                   STR_INIT("Subject"), STR_INIT("X-Absent")};

/* From few letters, so that much nearly matches; with all that folding and cutting treat apart. */
static void put_random(struct buf *out, size_t pieces)
{
    static const char *const alphabet[] = {
        "a",
        "b",
        "ab",
        "A",
        "1",
        " ",
        " ",
        "-",
        ".",
        "_",
        "\t",
        "\x01",
        "\xc3\xa9",                 /* é */
        "e\xcc\x81",                /* the same, decomposed */
        "\xc3\x9f",                 /* ß */
        "\xce\xa3",                 /* Σ */
        "\xcf\x82",                 /* final ς */
        "\xe2\x82\xac",             /* € */
        "\xe2\x80\x93",             /* – */
        "\xc2\xa0",                 /* no-break space */
        "\xe4\xb8\xad\xe6\x96\x87", /* 中文 */
        "\xe6\x96\x87",
        "\xe0\xb8\x81",     /* Thai */
        "\xf0\x9f\x98\x80", /* an emoji */
        "\xea\xb0\x80",     /* Hangul */
        "i",
        "\xc4\xb0", /* İ */
    };

    for (size_t i = 0; i < pieces; i++)
        buf_put(out, str_from_c(alphabet[plain_scan_below(ARRAY_LEN(alphabet))]));
}

static void put_long_word(struct buf *out)
{
    for (uint32_t i = 0, count = 90 + plain_scan_below(200); i < count; i++)
        buf_put(out, str_from_c(plain_scan_below(8) == 0   ? "\xc3\xa9"
                                : plain_scan_below(2) == 0 ? "a"
                                                           : "b"));
}

/* An address, or nearly one: joiners at the edges, doubled, beside what parts and what stands
 * alone; now and then longer than a term. */
static void put_run(struct buf *out)
{
    static const char *const pieces[] = {
        "a", "b", "ab", "A", "1", ".", ".", "-", "_", "@", "@", "\xc3\xa9", "\xc3\x9f",
    };
    uint32_t count =
        plain_scan_below(12) == 0 ? 90 + plain_scan_below(250) : 1 + plain_scan_below(8);

    for (uint32_t i = 0; i < count; i++)
        buf_put(out, str_from_c(pieces[plain_scan_below(ARRAY_LEN(pieces))]));
}

/* In a field: beside signs and other scripts, in folded lines, in encoded words that split it. */
static void put_runs(struct buf *out)
{
    static const char *const between[] = {
        " ", "\r\n ", "<", "+", ",", "\xe4\xb8\xad", "=?utf-8?q?a=2Eb=C3=A9?= =?utf-8?q?=40a-?= ",
    };

    for (uint32_t i = 0, count = plain_scan_below(4); i < count; i++) {
        put_run(out);
        buf_put(out, str_from_c(between[plain_scan_below(ARRAY_LEN(between))]));
    }
}

static void make_message(struct buf *raw)
{
    buf_reset(raw);
    buf_put(raw, STR("From: "));
    put_random(raw, 4);
    put_run(raw);
    buf_put(raw, STR(" <ab@b.a>\r\nTo: a@b, "));
    put_random(raw, 2);
    buf_put(raw, STR(" <aab@b>\r\nSubject: "));
    put_random(raw, 8);
    put_runs(raw);
    if (plain_scan_below(3) == 0) {
        buf_put(raw, STR("\r\nX-Strange: "));
        put_random(raw, 6);
        put_runs(raw);
    }
    if (plain_scan_below(4) == 0)
        buf_put(raw, STR("\r\nX-strange: =?utf-8?q?=C3=A9ab?= b"));
    if (plain_scan_below(3) == 0)
        buf_put(raw, STR("\r\nCc: ba@a"));
    buf_put(raw, STR("\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"));
    put_random(raw, plain_scan_below(40));
    if (plain_scan_below(10) == 0)
        put_long_word(raw);
    put_random(raw, plain_scan_below(40));
}

/* Random keys, and parts of a message's own text, in every field. */
static size_t compare_many(struct fixture *f, int64_t folder_id, int keys, const struct buf *text)
{
    size_t matching = 0;
    struct buf key;

    buf_init(&key, SIZE_MAX);
    for (int k = 0; k < keys; k++) {
        enum vault_search_field field =
            (enum vault_search_field)plain_scan_below(VAULT_SEARCH_HEADER + 1);
        struct str name = names[plain_scan_below(ARRAY_LEN(names))];

        buf_reset(&key);
        if (k % 3 == 0) {
            struct str part =
                str_upto(str_from(buf_str(text), plain_scan_below((uint32_t)text->len)),
                         1 + plain_scan_below(k % 2 == 0 ? 6 : 180));

            buf_put(&key, str_is_utf8(part) ? part : STR("ab"));
        } else if (k % 3 == 1) {
            put_run(&key);
        } else {
            put_random(&key, plain_scan_below(4));
        }
        matching += plain_scan_compare(f, folder_id, field, name, buf_str(&key));
        task_done(&f->task);
        task_init(&f->task, f->task.now_ms);
    }
    buf_free(&key);
    return matching;
}

static void one_slice(struct fixture *f)
{
    bool has_more;

    assert_int_equal(vault_housekeeping(f->vault, &f->task, &has_more), ERR_OK);
}

static void change_some(struct fixture *f)
{
    uint32_t uids[3], *sources, *targets, *modified, *gone, *expunged;
    struct vault_uid_flags *messages;
    size_t count, copied, modified_count, gone_count;

    assert_int_equal(vault_message_list(f->vault, &f->task, f->inbox, &messages, &count), ERR_OK);
    if (count < 10)
        return;
    for (size_t i = 0; i < ARRAY_LEN(uids); i++)
        uids[i] = messages[plain_scan_below((uint32_t)count)].uid;
    assert_int_equal(vault_message_copy(f->vault, &f->task, f->inbox, f->archive, uids, 1,
                                        plain_scan_below(2) == 0, &sources, &targets, &copied),
                     ERR_OK);
    assert_int_equal(vault_message_store(f->vault, &f->task, f->inbox, uids + 1, 2, VAULT_STORE_ADD,
                                         VAULT_FLAG_DELETED, UINT64_MAX, &modified, &modified_count,
                                         &gone, &gone_count),
                     ERR_OK);
    assert_int_equal(
        vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &expunged, &count), ERR_OK);
}

/* As if another version of the program had written the index, or one segment of `part`: what it
 * holds is useless now. */
static void change_form(struct fixture *f, int part)
{
    char sql[128];

    snprintf(sql, sizeof(sql), "UPDATE word_segment SET form = form + 1 WHERE id %% %d = 0", part);
    fixture_execute(f, sql);
    snprintf(sql, sizeof(sql), "UPDATE word_terms SET bytes = x'ff' WHERE (key >> 24) %% %d = 0",
             part);
    fixture_execute(f, sql);
    fixture_reopen(f);
}

static void test_random(void **state)
{
    enum { MESSAGES = 320 };
    struct fixture *f = *state;
    size_t matching = 0;
    struct buf raw;

    buf_init(&raw, SIZE_MAX);
    fixture_append(f, f->inbox, STR("\r\n"), 0); /* without a word */
    fixture_housekeep(f, 0);
    for (int i = 0; i < MESSAGES; i++) {
        make_message(&raw);
        fixture_append(f, f->inbox, buf_str(&raw), 0);
        if (i % 4 != 3)
            one_slice(f);
        if (i % 8 == 7)
            change_some(f);
        if (i % 50 == 20)
            fixture_reopen(f);
        if (i % 50 == 40)
            fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
        if (i == 65 || i == 185)
            change_form(f, i == 65 ? 1 : 2);
        if (i % 20 == 19) {
            matching += compare_many(f, f->inbox, 12, &raw);
            matching += compare_many(f, f->archive, 4, &raw);
        }
    }
    fixture_housekeep(f, 0);
    assert_true(fixture_ask(f, "SELECT max(level) FROM word_segment") >= 1);
    matching += compare_many(f, f->inbox, 60, &raw);
    assert_true(matching > 500); /* else nothing was tried */
    buf_free(&raw);
}

/* Merging goes on where it was, slice after slice, the file reopened in between. */
static void test_slices(void **state)
{
    enum { MESSAGES = 9, WORDS = 12000 };
    struct fixture *f = *state;
    int64_t blocks;
    struct buf raw;

    buf_init(&raw, SIZE_MAX);
    for (int i = 0; i < MESSAGES; i++) {
        buf_reset(&raw);
        buf_putf(&raw, "Subject: number%d\r\n\r\n", i);
        for (int k = 0; k < WORDS; k++)
            buf_putf(&raw, "w%x%s", (unsigned)(i * WORDS / 2 + k) * 2654435761u,
                     k % 9 == 8 ? "\r\n" : " ");
        fixture_append(f, f->inbox, buf_str(&raw), 0);
        while (f->vault->indexed_content_id + 1 < f->vault->next_content_id)
            one_slice(f); /* a segment each */
    }
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM word_segment WHERE state = 1"), MESSAGES);
    for (int i = 0; i < 4; i++) {
        one_slice(f);
        if (i % 3 == 1)
            fixture_reopen(f);
    }
    blocks = fixture_ask(f, "SELECT count(*) FROM word_terms WHERE key >> 24 IN (SELECT id FROM "
                            "word_segment WHERE state = 0)");
    assert_true(blocks > 4); /* in the middle of it */
    assert_true(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("w77")) > 0);
    fixture_housekeep(f, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM word_segment"), 2);
    assert_int_equal(fixture_ask(f, "SELECT max(level) FROM word_segment"), 1);
    assert_true(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("w77")) > 0);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("w0 ")), 1);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_SUBJECT, STR(""), STR("number7")),
                     1);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_SUBJECT, STR(""), STR("mber")),
                     MESSAGES);
    buf_free(&raw);
}

/* Parts of words that are among thousands of blocks' signs, and such as none has. */
static void test_signs(void **state)
{
    enum { MESSAGES = 10, WORDS = 6000, PARTS = 10 };
    struct fixture *f = *state;
    struct buf raw, word;

    buf_init(&raw, SIZE_MAX);
    buf_init(&word, SIZE_MAX);
    for (int i = 0; i < MESSAGES; i++) {
        buf_reset(&raw);
        buf_putf(&raw, "Subject: s\r\nX-N: n%d-same@host\r\n\r\n", i);
        for (int k = 0; k < WORDS; k++)
            buf_putf(&raw, "w%xz%d%s", (unsigned)(i * WORDS + k) * 2654435761u, i,
                     k % 9 == 8 ? "\r\n" : " ");
        fixture_append(f, f->inbox, buf_str(&raw), 0);
    }
    fixture_housekeep(f, 0);
    assert_true(fixture_ask(f, "SELECT count(*) FROM word_terms WHERE (key >> 22) & 3 = 2") > 20);
    for (int i = 0; i < PARTS; i++) {
        int number = i * MESSAGES * WORDS / PARTS + i * 97;

        buf_reset(&word);
        buf_putf(&word, "%xz%d", (unsigned)number * 2654435761u, number / WORDS);
        assert_true(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), buf_str(&word)) >
                    0);
        buf_putf(&word, "y");
        assert_int_equal(
            plain_scan_compare(f, f->inbox, VAULT_SEARCH_TEXT, STR(""), buf_str(&word)), 0);
        buf_truncate(&word, 5);
        (void)plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), buf_str(&word));
    }
    assert_int_equal(
        plain_scan_compare(f, f->inbox, VAULT_SEARCH_HEADER, STR("x-n"), STR("7-same")), 1);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_HEADER, STR("x-n"), STR("same")),
                     MESSAGES);
    buf_free(&raw);
    buf_free(&word);
}

static void append_text(struct fixture *f, int64_t folder_id, const char *text)
{
    struct buf raw;

    buf_init(&raw, SIZE_MAX);
    buf_putf(&raw, "Subject: s\r\n\r\n%s\r\n", text);
    fixture_append(f, folder_id, buf_str(&raw), 0);
    buf_free(&raw);
}

/* Which content a message has is remembered from one search to the next, not longer than it is so.
 */
static void test_contents(void **state)
{
    static const char *const texts[] = {"alpha", "beta", "gamma", "delta"};
    struct fixture *f = *state;
    uint32_t uid, *sources, *targets, *expunged, *modified, *gone;
    struct vault_append append = {.raw = STR("Subject: s\r\n\r\nepsilon\r\n")};
    size_t count, gone_count;

    for (int i = 0; i < 12; i++)
        append_text(f, i % 3 == 2 ? f->archive : f->inbox, texts[i % 4]);
    fixture_housekeep(f, 0);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_int_equal(
            plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), str_from_c(texts[i])), 2);
        assert_int_equal(
            plain_scan_compare(f, f->archive, VAULT_SEARCH_BODY, STR(""), str_from_c(texts[i])), 1);
    }
    /* What a batch that failed had appended; its UID is given again. */
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_OK);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("epsilon")),
                     1);
    db_rollback(f->vault->db); /* as SQLite does */
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_IO);
    task_forgive(&f->task);
    assert_int_equal(vault_message_copy(f->vault, &f->task, f->archive, f->inbox, (uint32_t[]){1},
                                        1, false, &sources, &targets, &count),
                     ERR_OK);
    assert_int_equal(targets[0], uid);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("gamma")), 3);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("epsilon")),
                     0);
    /* Gone from the middle. */
    assert_int_equal(vault_message_store(f->vault, &f->task, f->inbox, (uint32_t[]){3}, 1,
                                         VAULT_STORE_ADD, VAULT_FLAG_DELETED, UINT64_MAX, &modified,
                                         &count, &gone, &gone_count),
                     ERR_OK);
    assert_int_equal(
        vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &expunged, &count), ERR_OK);
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
    append_text(f, f->inbox, "beta");
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("beta")), 3);
    fixture_housekeep(f, 0);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("beta")), 3);
}

/* Pairs that fold.c's table has under one hash; most have the same first eight bytes, the place's
 * among them. */
static void test_one_hash(void **state)
{
    static const char *const words[] = {
        "TVKIHMV",
        "WIUHRIV", /* other heads */
        "TOIJXTO",
        "JIWQKS", /* other lengths */
        "GHIJKLMZRHYTQY",
        "GHIJKLMMUOWQLI", /* within sixteen bytes */
        "GHIJKLMTGQVISG",
        "GHIJKLMWJVNTINQ", /* and of other lengths */
        "GHIJKLMTRSNNPNGISZPS",
        "GHIJKLMILZPIWNZVLHLJ", /* longer */
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        append_text(f, f->inbox, words[i]);
    fixture_housekeep(f, 0);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        assert_int_equal(
            plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), str_from_c(words[i])), 1);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("GHIJKLM")),
                     6);
}

/* Words of what is gone do not stay for ever. */
static void test_gone(void **state)
{
    enum { MESSAGES = 1300 };
    struct fixture *f = *state;
    uint32_t uids[MESSAGES], *modified, *gone, *expunged;
    size_t modified_count, gone_count, count;
    int64_t bytes;
    struct buf raw;

    buf_init(&raw, SIZE_MAX);
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        buf_reset(&raw);
        buf_putf(&raw, "Subject: common unique%u\r\n\r\ntext%u\r\n", i, i);
        uids[i] = fixture_append(f, f->inbox, buf_str(&raw), 0);
    }
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
    fixture_housekeep(f, 0);
    bytes = fixture_ask(f, "SELECT sum(length(bytes)) FROM word_terms");
    assert_int_equal(vault_message_store(f->vault, &f->task, f->inbox, uids, MESSAGES - 10,
                                         VAULT_STORE_ADD, VAULT_FLAG_DELETED, UINT64_MAX, &modified,
                                         &modified_count, &gone, &gone_count),
                     ERR_OK);
    assert_int_equal(
        vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &expunged, &count), ERR_OK);
    assert_int_equal(count, MESSAGES - 10);
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
    assert_true(fixture_ask(f, "SELECT count(*) FROM word_gone") < 400);
    assert_true(fixture_ask(f, "SELECT sum(length(bytes)) FROM word_terms") < bytes / 2);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_SUBJECT, STR(""), STR("common")),
                     10);
    assert_int_equal(
        plain_scan_compare(f, f->inbox, VAULT_SEARCH_SUBJECT, STR(""), STR("unique1299")), 1);
    buf_free(&raw);
}

/* Merging comes to its end also where many terms on end have gone with all that had them. */
static void test_all_gone(void **state)
{
    enum { MESSAGES = 8, WORDS = 3000, SLICES_MAX = 100 };
    struct fixture *f = *state;
    uint32_t uids[MESSAGES], *modified, *gone, *expunged;
    size_t modified_count, gone_count, count;
    bool has_more = true;
    struct buf raw;

    buf_init(&raw, SIZE_MAX);
    for (int i = 0; i < MESSAGES; i++) {
        buf_reset(&raw);
        buf_putf(&raw, "Subject: number%d\r\n\r\n", i);
        for (int k = 0; k < WORDS; k++)
            buf_putf(&raw, "w%x%s", (unsigned)(i * WORDS + k) * 2654435761u,
                     k % 9 == 8 ? "\r\n" : " ");
        uids[i] = fixture_append(f, f->inbox, buf_str(&raw), 0);
        while (f->vault->indexed_content_id + 1 < f->vault->next_content_id)
            one_slice(f); /* a segment each */
    }
    buf_free(&raw);
    assert_int_equal(vault_message_store(f->vault, &f->task, f->inbox, uids, MESSAGES,
                                         VAULT_STORE_ADD, VAULT_FLAG_DELETED, UINT64_MAX, &modified,
                                         &modified_count, &gone, &gone_count),
                     ERR_OK);
    assert_int_equal(
        vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &expunged, &count), ERR_OK);
    f->task.now_ms += VAULT_EXPUNGED_GRACE_MS;
    for (int i = 0; i < SLICES_MAX && has_more; i++)
        assert_int_equal(vault_housekeeping(f->vault, &f->task, &has_more), ERR_OK);
    assert_false(has_more);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM word_gone"), 0);
    assert_true(fixture_ask(f, "SELECT count(*) FROM word_terms") < 10);
}

/* Of what nearly all have, the few that may lack it are left to their text. */
static void test_doubt(void **state)
{
    enum { MESSAGES = 512, WORDS = 280, DIFFERENT = MESSAGES * WORDS / 6, LACKING = 2 };
    struct fixture *f = *state;
    struct vault_candidates found;
    struct buf raw;

    buf_init(&raw, SIZE_MAX);
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    for (int i = 0; i < MESSAGES; i++) {
        bool is_lacking = i == 300 || i == 400;

        buf_reset(&raw);
        buf_putf(&raw, "Subject: s\r\n\r\n%s\r\n", i == 400 ? "zzverz" : "");
        for (int k = 0; k < WORDS && !is_lacking; k++)
            buf_putf(&raw, "%dver%s", (i * WORDS + k) % DIFFERENT, k % 8 == 7 ? "\r\n" : " ");
        buf_put(&raw, is_lacking ? STR("nothing\r\n") : STR("0never everything\r\n"));
        fixture_append(f, f->inbox, buf_str(&raw), 0);
    }
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
    fixture_housekeep(f, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM word_segment"), 1);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("ver")),
                     MESSAGES - LACKING + 1);
    assert_int_equal(vault_search_candidates(f->vault, &f->task, f->inbox, VAULT_SEARCH_BODY,
                                             STR(""), STR("ver"), NULL, 0, &found),
                     ERR_OK);
    assert_true(found.is_exact);
    assert_int_equal(found.open_count, LACKING);
    assert_int_equal(found.count, MESSAGES);
    /* With another word that rules them out nothing is open. */
    assert_int_equal(vault_search_candidates(f->vault, &f->task, f->inbox, VAULT_SEARCH_BODY,
                                             STR(""), STR("ver everything"), NULL, 0, &found),
                     ERR_OK);
    assert_int_equal(found.open_count, 0);
    buf_free(&raw);
}

/* How many match, all of them told without a look at their text; or not, as `is_exact` says. */
static size_t compare_run(struct fixture *f, enum vault_search_field field, struct str key,
                          bool is_exact)
{
    size_t count = plain_scan_compare(f, f->inbox, field, names[0], key);
    struct vault_candidates found;

    assert_int_equal(vault_search_candidates(f->vault, &f->task, f->inbox, field, names[0], key,
                                             NULL, 0, &found),
                     ERR_OK);
    if (found.is_exact != is_exact || found.open_count != 0)
        fail_msg("key <%.*s>: %d, %zu open", STR_ARG(key), found.is_exact, found.open_count);
    return count;
}

/* Addresses and identifiers, and parts of them: told by the index alone in header fields. */
static void test_runs(void **state)
{
    struct fixture *f = *state;
    struct buf raw, run;

    buf_init(&raw, SIZE_MAX);
    buf_init(&run, SIZE_MAX);
    for (int i = 0; i < 90; i++)
        buf_putf(&run, "%d%s", i, i % 3 == 0 ? ".a" : i % 3 == 1 ? "\xd0\xb1-" : "_@");
    buf_putf(&raw,
             "From: Ann <-ann.b@Example.ORG>\r\nX-Strange: (%.*s)\r\nX-Strange: a.\r\n\tb.c\r\n"
             "X-Strange: d.e\r\nSubject: =?utf-8?q?x=2E?= =?utf-8?q?=C3=89y?= - a--b+c.d\r\n\r\n"
             "not.here@example.org\r\n",
             STR_ARG(buf_str(&run)));
    fixture_append(f, f->inbox, buf_str(&raw), 0);
    fixture_append(f, f->inbox, STR("From: ann b, example, org\r\nX-Strange: a b\r\n\r\n"), 0);
    fixture_housekeep(f, 0);
    assert_int_equal(compare_run(f, VAULT_SEARCH_FROM, STR("example.org"), true), 1);
    assert_int_equal(compare_run(f, VAULT_SEARCH_FROM, STR("-aNN.b@ex"), true), 1);
    assert_int_equal(compare_run(f, VAULT_SEARCH_FROM, STR("@"), true), 1);
    assert_int_equal(compare_run(f, VAULT_SEARCH_FROM, STR("n.b@"), true), 1);
    assert_int_equal(compare_run(f, VAULT_SEARCH_FROM, STR("example.org>"), false), 1);
    assert_int_equal(compare_run(f, VAULT_SEARCH_FROM, STR("b.example"), true), 0);
    assert_int_equal(compare_run(f, VAULT_SEARCH_SUBJECT, STR(".\xc3\xa9Y"), true), 1);
    assert_int_equal(compare_run(f, VAULT_SEARCH_SUBJECT, STR("--"), true), 1);
    assert_int_equal(compare_run(f, VAULT_SEARCH_SUBJECT, STR("---"), true), 0);
    assert_int_equal(compare_run(f, VAULT_SEARCH_SUBJECT, STR("b+c.d"), false), 1);
    assert_int_equal(compare_run(f, VAULT_SEARCH_HEADER, STR("a.b"), true), 0);
    assert_int_equal(compare_run(f, VAULT_SEARCH_HEADER, STR("c.d"), true), 0);
    assert_int_equal(compare_run(f, VAULT_SEARCH_BODY, STR("here@example.org"), false), 1);
    /* Of one that is longer than a term, every part that is as long as a key may be. */
    for (size_t start = 0; start + WORD_PIECE_STEP <= run.len; start++) {
        struct str part = str_upto(str_from(buf_str(&run), start), WORD_PIECE_STEP);
        struct str shorter = str_upto(part, 1 + start % WORD_PIECE_STEP);

        if (str_is_utf8(part))
            assert_int_equal(compare_run(f, VAULT_SEARCH_HEADER, part, true), 1);
        if (words_are_run(shorter))
            assert_int_equal(compare_run(f, VAULT_SEARCH_HEADER, shorter, true), 1);
    }
    assert_int_equal(compare_run(f, VAULT_SEARCH_HEADER, str_upto(buf_str(&run), 300), false), 1);
    buf_free(&raw);
    buf_free(&run);
}

/* What lies around a large attachment, which is not read, is indexed as it is. */
static void test_attachment(void **state)
{
    struct fixture *f = *state;
    struct buf raw;

    buf_init(&raw, SIZE_MAX);
    buf_put(&raw, STR("Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
                      "before\r\n--b\r\nContent-Type: image/png; name=\"picture7.png\"\r\n"
                      "Content-Transfer-Encoding: base64\r\n\r\n"));
    for (int i = 0; i < 4000; i++)
        buf_putf(&raw, "%08xAAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHIIIIJJJJ\r\n", (unsigned)i);
    buf_put(&raw, STR("--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\n"
                      "enclosed\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>behind</p>\r\n"
                      "--b--\r\nepilogue\r\n"));
    fixture_append(f, f->inbox, buf_str(&raw), 0);
    fixture_housekeep(f, 0);
    assert_int_equal(f->vault->indexed_content_id + 1, f->vault->next_content_id);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM unindexed"), 0);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("before")), 1);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("picture7")),
                     1);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_TEXT, STR(""), STR("inner")), 1);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("enclosed")),
                     1);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("behind")), 1);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_TEXT, STR(""), STR("AAAABBBB")),
                     0);
    buf_free(&raw);
}

static void append_long(struct fixture *f)
{
    struct buf raw;

    buf_init(&raw, SIZE_MAX);
    buf_put(&raw, STR("Subject: long\r\n\r\n"));
    for (unsigned i = 0; raw.len < WORDS_TEXT_MAX + 4096; i++)
        buf_putf(&raw, "x%x common%s", i * 2654435761u, i % 6 == 5 ? "\r\n" : " ");
    fixture_append(f, f->inbox, buf_str(&raw), 0);
    buf_free(&raw);
}

static void append_short(struct fixture *f, int count)
{
    struct buf raw;

    buf_init(&raw, SIZE_MAX);
    for (int i = 0; i < count; i++) {
        buf_reset(&raw);
        buf_putf(&raw,
                 "Subject: stra\xc3\x9f"
                 "e unique%d\r\n\r\ncommon words\r\n",
                 i);
        fixture_append(f, f->inbox, buf_str(&raw), 0);
    }
    buf_free(&raw);
}

static void compare_forms(struct fixture *f, size_t short_count)
{
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_SUBJECT, STR(""), STR("TRASSE")),
                     0);
    assert_int_equal(
        plain_scan_compare(f, f->inbox, VAULT_SEARCH_SUBJECT, STR(""), STR("tra\xc3\x9f")),
        short_count);
    assert_int_equal(
        plain_scan_compare(f, f->inbox, VAULT_SEARCH_SUBJECT, STR(""), STR("unique77")), 1);
    assert_int_equal(plain_scan_compare(f, f->inbox, VAULT_SEARCH_BODY, STR(""), STR("mmon")),
                     short_count + 1);
}

static void expunge(struct fixture *f, uint32_t first_uid, uint32_t uid_count)
{
    uint32_t uids[32], *modified, *gone, *expunged;
    size_t modified_count, gone_count, count;

    assert_true(uid_count <= ARRAY_LEN(uids));
    for (uint32_t i = 0; i < uid_count; i++)
        uids[i] = first_uid + i;
    assert_int_equal(vault_message_store(f->vault, &f->task, f->inbox, uids, uid_count,
                                         VAULT_STORE_ADD, VAULT_FLAG_DELETED, UINT64_MAX, &modified,
                                         &modified_count, &gone, &gone_count),
                     ERR_OK);
    assert_int_equal(
        vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &expunged, &count), ERR_OK);
    assert_int_equal(count, uid_count);
}

/* One slice after the other, the file reopened after each third one, all searches right. */
static size_t housekeep_with_kills(struct fixture *f, size_t short_count)
{
    bool has_more = true;
    size_t slices = 0;

    f->task.now_ms += VAULT_EXPUNGED_GRACE_MS;
    for (; has_more && slices < 100; slices++) {
        assert_int_equal(vault_housekeeping(f->vault, &f->task, &has_more), ERR_OK);
        if (slices % 3 == 2)
            fixture_reopen(f);
        compare_forms(f, short_count);
        fixture_check(f);
    }
    return slices;
}

/* An index of another form is not read; it is made anew, whenever the program is killed. */
static void test_form(void **state)
{
    enum { MESSAGES = 200, EXPUNGED = 20 };
    struct fixture *f = *state;

    append_long(f); /* goes */
    append_short(f, MESSAGES);
    append_long(f);
    fixture_housekeep(f, 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM unindexed"), 2);
    assert_true(fixture_ask(f, "SELECT count(*) FROM word_segment WHERE state = 1") > 3);
    expunge(f, 10, 1);
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM word_gone"), 1);
    fixture_execute(f, "INSERT INTO unindexed SELECT content_id FROM message WHERE key & 255 = 70");
    change_form(f, 1);
    assert_int_equal(f->vault->indexed_content_id, 0);
    expunge(f, 1, 9);
    expunge(f, 11, EXPUNGED - 10);
    compare_forms(f, MESSAGES + 1 - EXPUNGED);
    assert_true(housekeep_with_kills(f, MESSAGES + 1 - EXPUNGED) > 6);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM word_gone"), 0);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM unindexed"), 1);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM word_segment WHERE state <> 1"), 0);
    assert_int_equal(fixture_ask(f, "SELECT count(DISTINCT form) FROM word_segment"), 1);
    assert_int_equal(fixture_ask(f, "SELECT max(form) FROM word_segment"), index_form());
    assert_int_equal(f->vault->indexed_content_id + 1, f->vault->next_content_id);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_random),   TEST(test_slices),     TEST(test_signs),    TEST(test_contents),
        TEST(test_one_hash), TEST(test_gone),       TEST(test_all_gone), TEST(test_doubt),
        TEST(test_runs),     TEST(test_attachment), TEST(test_form),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
