/* Tokens: what hides a word is taken back, where it stands tells, and work is bounded. */
#include "spam/model.h"

#include "message/structure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct task task;

static struct spam_tokens *tokens_of(struct str message)
{
    struct spam_tokens *tokens = ARENA_NEW(&task.arena, struct spam_tokens);
    struct message_structure structure;
    struct structure_notes *notes;

    structure_scan(&task.arena, message, &structure, &notes);
    spam_tokenize(&task, message, &structure, tokens);
    for (size_t i = 1; i < tokens->count; i++)
        assert_true(tokens->hashes[i] > tokens->hashes[i - 1]);
    return tokens;
}

static struct spam_tokens *of_body(const char *body)
{
    return tokens_of(arena_printf(&task.arena,
                                  "Content-Type: text/plain; charset=utf-8\r\n\r\n%s", body));
}

static size_t in_common(const struct spam_tokens *a, const struct spam_tokens *b)
{
    size_t count = 0;

    for (size_t i = 0; i < a->count; i++) {
        for (size_t k = 0; k < b->count; k++)
            count += a->hashes[i] == b->hashes[k];
    }
    return count;
}

static bool same(const struct spam_tokens *a, const struct spam_tokens *b)
{
    return a->count == b->count && in_common(a, b) == a->count;
}

static void test_disguises(void **state)
{
    static const struct {
        const char *rule, *plain, *disguised;
    } rows[] = {
        {"case", "Cheap Replica Watches", "CHEAP replica wAtChEs"},
        {"full-width letters", "cheap watches", "ｃｈｅａｐ ｗａｔｃｈｅｓ"},
        {"mathematical letters", "cheap watches", "𝐜𝐡𝐞𝐚𝐩 𝒘𝒂𝒕𝒄𝒉𝒆𝒔"},
        {"accents", "cheap watches", "chéap wàtches"},
        {"invisible characters", "cheap watches", "ch\xe2\x80\x8b" "eap wat\xc2\xad" "ches"},
        {"repetition says nothing new", "cheap watches", "cheap watches cheap watches"},
        {"short words say nothing", "cheap watches", "a cheap to watches of"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spam_tokens *plain = of_body(rows[i].plain);
        struct spam_tokens *disguised = of_body(rows[i].disguised);

        /* The length of the text is a token, too: at most that one differs. */
        if (in_common(plain, disguised) + 1 < plain->count)
            fail_msg("%s: %zu of %zu", rows[i].rule, in_common(plain, disguised), plain->count);
    }
    assert_false(same(of_body("cheap watches"), of_body("dear clocks")));
}

static void test_places(void **state)
{
    struct spam_tokens *in_subject = tokens_of(STR("Subject: jackpot\r\n\r\nnothing here\r\n"));
    struct spam_tokens *in_body = tokens_of(STR("Subject: nothing here\r\n\r\njackpot\r\n"));
    struct spam_tokens *html, *plain;

    (void)state;
    assert_false(same(in_subject, in_body));
    /* The host of a link counts with and without its first labels. */
    html = tokens_of(STR("Content-Type: text/html\r\n\r\n<a href=\"http://x.evil.example/1\">buy</a>"));
    plain = tokens_of(STR("Content-Type: text/html\r\n\r\n<a href=\"http://y.evil.example/2\">buy</a>"));
    assert_true(in_common(html, plain) > tokens_of(STR("Content-Type: text/html\r\n\r\nbuy"))->count - 2);
    /* Our own trace is not looked at. */
    assert_true(same(tokens_of(STR("Subject: a word\r\n\r\nsome text")),
                     tokens_of(STR("Received: by mx.example\r\nX-Spam-Status: Yes\r\nReturn-Path: <a@b>\r\n"
                                   "Subject: a word\r\n\r\nsome text"))));
}

static void test_languages(void **state)
{
    (void)state;
    assert_true(of_body("無料で稼げる副業をご紹介")->count > 10);
    assert_true(in_common(of_body("съешь ещё булок"), of_body("СЪЕШЬ ЕЩЁ БУЛОК")) >= 3);
    assert_true(of_body("\xff\xfe\x80 broken \xf0\x9f")->count > 2);
}

static void test_bounds(void **state)
{
    size_t len = 3 * 1024 * 1024;
    char *text = arena_alloc(&task.arena, len + 1, 1);
    uint32_t random = 1;

    (void)state;
    memcpy(text, "\r\n\r\n", 4);
    for (size_t i = 4; i < len; i++) {
        random = random * 1664525 + 1013904223;
        text[i] = random >> 29 == 0 ? ' ' : (char)('a' + (random >> 24) % 26);
    }
    assert_int_equal(tokens_of(str_make(text, len))->count, SPAM_TOKENS_MAX);
    memset(text + 4, 'x', len - 4);
    assert_true(tokens_of(str_make(text, len))->count < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disguises),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_languages),
        cmocka_unit_test(test_bounds),
    };
    int failed;

    message_init_library();
    task_init(&task, 0);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    task_done(&task);
    return failed;
}
