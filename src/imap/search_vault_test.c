/*
 * SEARCH answers what RFC 3501's substring rule says, whatever the search index makes of the words:
 * random messages and random keys, compared with a look at every message's text.
 */
#include "imap/session.h"
#include "imap/transcript_vault.h"

#include "base/macros.h"
#include "message/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MESSAGES = 60, KEYS = 2500 };

static const int64_t NOW_MS = INT64_C(1795323600000);
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

/* Letters that fold, compose, join or part words in ways that differ between libraries. */
static const char *const LETTERS[] = {
    "a",
    "A",
    "b",
    "e",
    "E",
    "0",
    "7",
    " ",
    " ",
    " ",
    "-",
    "_",
    ".",
    "@",
    "'",
    "\xc3\xa9",  /* é */
    "e\xcc\x81", /* é, decomposed */
    "\xc3\x84",  /* Ä */
    "\xc3\x9f",  /* ß */
    "ss",
    "\xc4\xb0", /* İ */
    "i",
    "\xef\xac\x81",     /* ﬁ */
    "\xe6\x97\xa5",     /* 日 */
    "\xe6\x9c\xac",     /* 本 */
    "\xce\xa3",         /* Σ */
    "\xcf\x82",         /* ς */
    "\xf0\x9f\x93\xa8", /* an emoji */
    "\xe2\x80\x94",     /* a dash */
    "\xc2\xa0",         /* no-break space */
    "\xc2\xad",         /* soft hyphen */
};

static uint32_t seed = 12345;

static uint32_t random_to(uint32_t bound)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % bound;
}

static struct str random_text(struct arena *arena, uint32_t letters)
{
    struct str text;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    for (uint32_t i = 0; i < letters; i++)
        buf_put(&out, str_from_c(LETTERS[random_to(ARRAY_LEN(LETTERS))]));
    text = arena_copy(arena, buf_str(&out));
    buf_free(&out);
    return text;
}

static struct str fold(struct arena *arena, struct str text)
{
    struct str folded;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    message_fold(text, &out);
    folded = arena_copy(arena, buf_str(&out));
    buf_free(&out);
    return folded;
}

static struct str say(struct imap_session *s, struct arena *arena, struct str text)
{
    struct str output;

    imap_session_input(s, text, NOW_MS);
    while (imap_session_wants(s) == IMAP_WANTS_TURN)
        imap_session_resume(s, NOW_MS);
    output = arena_copy(arena, imap_session_output(s));
    imap_session_consume_output(s, SIZE_MAX);
    return output;
}

/* In the order of `fields`, folded. */
enum { SUBJECT, FROM, TAG, BODY, TEXT, FIELDS };
static const char *const fields[FIELDS] = {"SUBJECT", "FROM", "HEADER X-Tag", "BODY", "TEXT"};
struct text {
    struct str of[FIELDS];
};

static struct str tag_of(struct arena *arena, struct str raw)
{
    struct str value, tag;
    size_t position = 0;
    struct buf out;

    assert_true(message_header_next(raw, STR("X-Tag"), &position, &value));
    buf_init(&out, SIZE_MAX);
    message_header_decode(value, &out);
    tag = fold(arena, buf_str(&out));
    buf_free(&out);
    return tag;
}

static struct text append(struct imap_session *s, struct task *task)
{
    struct str subject = random_text(&task->arena, 10), body = random_text(&task->arena, 40);
    struct str from = random_text(&task->arena, 5), tag = random_text(&task->arena, 9);
    struct str raw =
        arena_printf(&task->arena,
                     "From: %.*s <x.y-z@example.org>\r\nSubject: S%.*s\r\nX-Tag: %.*s\r\n"
                     "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%.*s\r\n",
                     STR_ARG(from), STR_ARG(subject), STR_ARG(tag), STR_ARG(body));
    struct message_summary summary;
    struct text text;
    struct buf out;

    message_parse(task, raw, &summary);
    text.of[SUBJECT] = fold(&task->arena, summary.subject);
    text.of[FROM] = fold(&task->arena, summary.from);
    text.of[TAG] = tag_of(&task->arena, raw);
    buf_init(&out, SIZE_MAX);
    message_text(&summary.structure, raw, false, &out);
    text.of[BODY] = fold(&task->arena, buf_str(&out));
    buf_reset(&out);
    message_text(&summary.structure, raw, true, &out);
    text.of[TEXT] = fold(&task->arena, buf_str(&out));
    buf_free(&out);
    say(s, &task->arena,
        arena_printf(&task->arena, "a APPEND INBOX {%zu+}\r\n%.*s\r\n", raw.len, STR_ARG(raw)));
    return text;
}

/* Mostly a piece of what is there. */
static struct str random_key(struct task *task, const struct str from)
{
    size_t start, end;

    if (from.len < 2 || random_to(4) == 0)
        return random_text(&task->arena, 1 + random_to(3));
    start = random_to((uint32_t)from.len);
    end = start + 1 + random_to(12);
    while (start < from.len && ((unsigned char)from.ptr[start] & 0xc0) == 0x80)
        start++;
    while (end < from.len && ((unsigned char)from.ptr[end] & 0xc0) == 0x80)
        end++;
    return str_trim(str_from(str_upto(from, end), start));
}

static void check_key(struct imap_session *s, struct task *task, const struct text *texts)
{
    uint32_t field = random_to(FIELDS);
    struct str key = random_key(task, texts[random_to(MESSAGES)].of[field]);
    struct str folded = fold(&task->arena, key), answer;
    struct buf expected;

    if (str_find(key, STR("\n")) >= 0 || !str_is_utf8(key))
        return;
    buf_init(&expected, SIZE_MAX);
    buf_put(&expected, STR("* SEARCH"));
    for (size_t i = 0; i < MESSAGES; i++)
        if (str_find(texts[i].of[field], folded) >= 0)
            buf_putf(&expected, " %zu", i + 1);
    buf_put(&expected, STR("\r\n"));
    answer = say(s, &task->arena,
                 arena_printf(&task->arena, "c SEARCH %s {%zu+}\r\n%.*s\r\n", fields[field],
                              key.len, STR_ARG(key)));
    if (!str_starts_with(answer, buf_str(&expected)))
        fail_msg("%s, key \"%.*s\": expected %.*s, not %.*s", fields[field], STR_ARG(key),
                 (int)expected.len, expected.ptr, STR_ARG(answer));
    buf_free(&expected);
}

static void make_index(struct transcript_vault *home, struct task *task)
{
    bool has_more = true;

    while (has_more)
        assert_int_equal(vault_housekeeping(transcript_vault(home), task, &has_more), ERR_OK);
}

static void test_the_index_changes_no_answer(void **state)
{
    (void)state;
    struct transcript_vault *home = transcript_vault_new(&quiet);
    struct imap_options options = {
        .hostname = STR("x"), .append_limit_bytes = 100000, .is_secure = true, .log = &quiet};
    struct imap_session *s =
        imap_session_resume_authenticated(&options, transcript_vault(home), STR("L"));
    struct text texts[MESSAGES];
    struct task task;

    task_init(&task, NOW_MS);
    for (size_t i = 0; i < MESSAGES; i++)
        texts[i] = append(s, &task);
    say(s, &task.arena, STR("b SELECT INBOX\r\n"));
    for (size_t k = 0; k < KEYS; k++) {
        if (k == KEYS / 8) /* what came is not indexed before */
            make_index(home, &task);
        check_key(s, &task, texts);
    }
    imap_session_free(&s);
    task_done(&task);
    transcript_vault_free(&home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_index_changes_no_answer)};

    transcript_vault_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
