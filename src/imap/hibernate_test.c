/*
 * A sleeping session's state. That nobody notices a sleep is shown by the transcripts, which are
 * all run with sleepers too (transcript_test.c); here is what they cannot show.
 */
#include "imap/hibernate.h"

#include "imap/engine.h"
#include "imap/transcript_vault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int64_t NOW_MS = INT64_C(1795323600000);
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};
static struct transcript_vault *home;

static struct imap_options options(void)
{
    return (struct imap_options){.hostname = STR("mail.example"),
                                 .append_limit_bytes = 100000,
                                 .is_secure = true,
                                 .is_tls = true,
                                 .log = &quiet};
}

static void settle(struct imap_session *s, struct buf *out)
{
    for (;;) {
        struct str output = imap_session_output(s);
        enum imap_want want;

        if (out != NULL)
            buf_put(out, output);
        imap_session_consume_output(s, output.len);
        want = imap_session_wants(s);
        if (want == IMAP_WANTS_TURN || want == IMAP_WANTS_ROOM)
            imap_session_resume(s, NOW_MS);
        else if (imap_session_output(s).len == 0)
            return;
    }
}

static struct imap_session *connect(void)
{
    struct imap_options how = options();
    struct imap_session *s =
        imap_session_resume_authenticated(&how, transcript_vault(home), STR("L"));

    settle(s, NULL);
    return s;
}

static void say(struct imap_session *s, const char *text)
{
    imap_session_input(s, str_from_c(text), NOW_MS);
    settle(s, NULL);
}

/* Sleeps; the state stays in `state`. */
static void go_to_sleep(struct imap_session **s, struct buf *state)
{
    assert_true(imap_session_can_hibernate(*s));
    buf_reset(state);
    imap_session_hibernate(*s, state);
    imap_session_free(s);
}

static struct imap_session *awake(const struct buf *state)
{
    struct imap_options how = options();
    struct imap_session *s = NULL;
    struct task task;

    task_init(&task, NOW_MS);
    assert_int_equal(
        imap_session_resume_hibernated(&how, transcript_vault(home), &task, buf_str(state), &s),
        ERR_OK);
    task_done(&task);
    return s;
}

static void assert_says(struct imap_session *s, const char *input, const char *expected)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    if (input != NULL)
        imap_session_input(s, str_from_c(input), NOW_MS);
    settle(s, &out);
    if (!str_equal(buf_str(&out), str_from_c(expected)))
        fail_msg("said: %.*s", STR_ARG(buf_str(&out)));
    buf_free(&out);
}

static void test_what_cannot_sleep(void **unused)
{
    static const char *const busy[] = {
        "x LOG",                           /* half a line */
        "x APPEND INBOX {5}\r\n",          /* a literal on its way */
        "x APPEND INBOX {900000+}\r\nabc", /* a refused one that is read past */
        "x LOGOUT\r\n",
        "x ENABLE METADATA\r\n", /* what changed meanwhile, nobody would know */
        "x NOTIFY SET (SELECTED (MessageNew MessageExpunge))\r\n",
    };
    struct imap_session *s;

    (void)unused;
    for (size_t i = 0; i < sizeof(busy) / sizeof(busy[0]); i++) {
        s = connect();
        assert_true(imap_session_can_hibernate(s));
        say(s, busy[i]);
        assert_false(imap_session_can_hibernate(s));
        imap_session_free(&s);
    }
    /* Output that nobody took yet. */
    s = connect();
    imap_session_input(s, STR("x NOOP\r\n"), NOW_MS);
    assert_false(imap_session_can_hibernate(s));
    settle(s, NULL);
    assert_true(imap_session_can_hibernate(s));
    imap_session_free(&s);
}

/* RFC 3501 §7.4.1: FETCH may not announce EXPUNGE, so the numbers are not those of the vault. */
static void test_an_unannounced_expunge_keeps_awake(void **unused)
{
    struct imap_session *reader = connect(), *other = connect();

    (void)unused;
    transcript_vault_mail(home, STR("INBOX"), 100, NOW_MS);
    say(reader, "a SELECT INBOX\r\n");
    say(other, "a SELECT INBOX\r\nb STORE 1 FLAGS (\\Deleted)\r\nc EXPUNGE\r\n");
    assert_true(imap_session_can_hibernate(reader)); /* it has not looked yet */
    say(reader, "b FETCH 1 FLAGS\r\n");
    assert_false(imap_session_can_hibernate(reader));
    say(reader, "c NOOP\r\n");
    assert_true(imap_session_can_hibernate(reader));
    imap_session_free(&reader);
    imap_session_free(&other);
}

static void test_numbers_survive_a_sleep(void **unused)
{
    struct imap_session *sleeper = connect(), *other = connect();
    struct buf state;

    (void)unused;
    buf_init(&state, SIZE_MAX);
    for (unsigned n = 0; n < 5; n++)
        transcript_vault_mail(home, STR("Archive"), 200 + n, NOW_MS);
    say(sleeper, "a SELECT Archive\r\n");
    say(other, "a SELECT Archive\r\n");
    go_to_sleep(&sleeper, &state);
    assert_true(state.len <= 40);
    /* While it sleeps: 2 and 4 go, 3 gets a flag, a sixth comes. */
    say(other, "b STORE 2,4 FLAGS (\\Deleted)\r\nc EXPUNGE\r\nd STORE 2 FLAGS (\\Seen)\r\n");
    transcript_vault_mail(home, STR("Archive"), 206, NOW_MS);
    sleeper = awake(&state);
    assert_says(sleeper, NULL, "");
    /* The old numbers hold until EXPUNGE is announced, from the highest down (§7.4.1). */
    assert_says(sleeper, "b NOOP\r\n",
                "* 3 FETCH (FLAGS (\\Seen \\Recent))\r\n* 4 EXPUNGE\r\n* 2 EXPUNGE\r\n"
                "* 4 EXISTS\r\n* 4 RECENT\r\nb OK NOOP completed.\r\n");
    assert_says(sleeper, "c UID SEARCH ALL\r\n",
                "* SEARCH 1 3 5 6\r\nc OK UID SEARCH completed.\r\n");
    imap_session_free(&sleeper);
    imap_session_free(&other);
    buf_free(&state);
}

static void test_an_idler_hears_of_it(void **unused)
{
    struct imap_session *s = connect();
    struct buf state;

    (void)unused;
    buf_init(&state, SIZE_MAX);
    say(s, "a ENABLE CONDSTORE\r\nb EXAMINE Junk\r\n");
    assert_int_equal(imap_session_watched_folder(s), 0);
    say(s, "some.long.tag IDLE\r\n");
    assert_int_equal(imap_session_watched_folder(s), s->view.folder_id);
    go_to_sleep(&s, &state);
    transcript_vault_mail(home, STR("Junk"), 300, NOW_MS);
    s = awake(&state);
    assert_int_equal(s->enabled, IMAP_EXT_CONDSTORE);
    assert_true(s->view.is_read_only);
    assert_false(imap_session_can_hibernate(s)); /* it has something to say */
    assert_says(s, NULL, "* 1 EXISTS\r\n* 1 RECENT\r\n");
    assert_says(s, "DONE\r\n", "some.long.tag OK IDLE completed.\r\n");
    imap_session_free(&s);
    buf_free(&state);
}

/* The folder went, or its UIDs do not mean the same any more. */
static void test_a_folder_that_went(void **unused)
{
    struct imap_session *s = connect(), *other = connect();
    struct buf state;

    (void)unused;
    buf_init(&state, SIZE_MAX);
    say(other, "a CREATE brief\r\n");
    say(s, "a SELECT brief\r\nb IDLE\r\n");
    go_to_sleep(&s, &state);
    say(other, "b DELETE brief\r\nc CREATE brief\r\n");
    s = awake(&state);
    assert_says(s, NULL, "* BYE The selected mailbox was deleted.\r\n");
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_CLOSE);
    imap_session_free(&s);
    s = connect();
    say(s, "a SELECT brief\r\n");
    s->view.incarnation++;
    go_to_sleep(&s, &state);
    s = awake(&state);
    assert_says(s, "b NOOP\r\n", "* BYE The selected mailbox was deleted.\r\nb OK NOOP completed.\r\n");
    imap_session_free(&s);
    imap_session_free(&other);
    buf_free(&state);
}

/* The vault forgot what was expunged while it slept (vault/vanished.c). */
static void test_a_sleep_beyond_memory_ends(void **unused)
{
    struct imap_session *s = connect(), *other = connect();
    struct buf state;

    (void)unused;
    buf_init(&state, SIZE_MAX);
    for (unsigned n = 0; n < 3; n++)
        transcript_vault_mail(home, STR("Drafts"), 400 + n, NOW_MS);
    say(s, "a SELECT Drafts\r\n");
    say(other, "a SELECT Drafts\r\n");
    go_to_sleep(&s, &state);
    say(other, "b STORE 1 FLAGS (\\Deleted)\r\nc EXPUNGE\r\n");
    transcript_vault_forget(home, STR("Drafts"), NOW_MS);
    s = awake(&state);
    assert_says(s, "b NOOP\r\n", "* BYE You slept for very long, connect again.\r\n");
    imap_session_free(&s);
    imap_session_free(&other);
    buf_free(&state);
}

/* RFC 5182: "$" means the same messages after a sleep. */
static void test_a_saved_result_survives(void **unused)
{
    struct imap_session *s = connect();
    struct buf state;

    (void)unused;
    buf_init(&state, SIZE_MAX);
    for (unsigned n = 0; n < 5; n++)
        transcript_vault_mail(home, STR("Sent"), 500 + n, NOW_MS);
    say(s, "a SELECT Sent\r\nb SEARCH RETURN (SAVE) UID 2,4:5\r\n");
    go_to_sleep(&s, &state);
    s = awake(&state);
    assert_says(s, "c UID FETCH $ (UID)\r\n",
                "* 2 FETCH (UID 2)\r\n* 4 FETCH (UID 4)\r\n* 5 FETCH (UID 5)\r\n"
                "c OK UID FETCH completed.\r\n");
    imap_session_free(&s);
    buf_free(&state);
}

/* \Recent at two sessions in turn, a range for each message: of more than fit, the newest. */
static void test_mail_that_was_told_in_turn(void **unused)
{
    struct imap_session *two[2], *other;
    struct buf state;

    (void)unused;
    buf_init(&state, SIZE_MAX);
    say(other = connect(), "a CREATE turns\r\nb SELECT turns\r\n");
    for (size_t i = 0; i < 2; i++)
        say(two[i] = connect(), "a SELECT turns\r\n");
    for (unsigned n = 0; n < 40; n++) {
        transcript_vault_mail(home, STR("turns"), 600 + n, NOW_MS);
        say(two[n % 2], "b NOOP\r\n");
    }
    say(two[1], "c STORE 10,20 FLAGS (\\Deleted)\r\nd EXPUNGE\r\n");
    say(two[0], "c NOOP\r\n");
    assert_says(two[0], "d UID SEARCH RECENT\r\n",
                "* SEARCH 1 3 5 7 9 11 13 15 17 19 21 23 25 27 29 31 33 35 37 39\r\n"
                "d OK UID SEARCH completed.\r\n");
    go_to_sleep(&two[0], &state);
    assert_true(state.len <= 60);
    two[0] = awake(&state);
    /* 9 and 11, and 19 and 21, are neighbours now: 16 ranges, 18 messages. */
    assert_says(two[0], "e UID SEARCH RECENT\r\n",
                "* SEARCH 5 7 9 11 13 15 17 19 21 23 25 27 29 31 33 35 37 39\r\n"
                "e OK UID SEARCH completed.\r\n");
    /* A range of which nothing is left takes no place. */
    say(two[0], "f UID STORE 39 FLAGS (\\Deleted)\r\ng EXPUNGE\r\n");
    go_to_sleep(&two[0], &state);
    two[0] = awake(&state);
    assert_int_equal(two[0]->view.recent_count, 15);
    assert_int_equal(imap_view_recent_count(&two[0]->view), 17);
    for (size_t i = 0; i < 2; i++)
        imap_session_free(&two[i]);
    imap_session_free(&other);
    buf_free(&state);
}

/* However long a session lasts: what it remembers has a limit. */
static void test_mail_that_was_told_in_turn_for_long(void **unused)
{
    struct imap_session *two[2];

    (void)unused;
    say(two[0] = connect(), "a CREATE long\r\nb SELECT long\r\n");
    say(two[1] = connect(), "b SELECT long\r\n");
    for (unsigned n = 0; n < 2 * IMAP_VIEW_RECENT_MAX + 2; n++) {
        transcript_vault_mail(home, STR("long"), 700 + n, NOW_MS);
        say(two[n % 2], "b NOOP\r\n");
    }
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(two[i]->view.recent_count, IMAP_VIEW_RECENT_MAX / 2 + 1);
        assert_true(imap_view_is_recent(&two[i]->view, 2 * IMAP_VIEW_RECENT_MAX + 1 + i));
        assert_true(imap_view_is_recent(&two[i]->view, IMAP_VIEW_RECENT_MAX + 1 + i));
        assert_false(imap_view_is_recent(&two[i]->view, 1 + i));
        imap_session_free(&two[i]);
    }
}

static void test_text_and_back(void **unused)
{
    struct imap_hibernated state = {.enabled = IMAP_EXT_ALL,
                                    .flags = 1,
                                    .bad_count = 3,
                                    .is_idling = true,
                                    .idle_tag = STR("A001"),
                                    .is_selected = true,
                                    .folder_id = INT64_MAX,
                                    .incarnation = UINT32_MAX,
                                    .next_uid = 128,
                                    .modseq = INT64_MAX,
                                    .keywords = UINT64_MAX,
                                    .recent_count = 2,
                                    .recent = {{1, 2}, {4, UINT32_MAX}},
                                    .saved_count = 1,
                                    .saved = {{5, 5}}};
    struct imap_hibernated read;
    struct buf text;
    struct task task;

    (void)unused;
    buf_init(&text, SIZE_MAX);
    imap_hibernated_write(&state, &text);
    task_init(&task, NOW_MS);
    assert_int_equal(imap_hibernated_read(buf_str(&text), &task, &read), ERR_OK);
    assert_true(read.is_idling && read.is_selected && !read.is_read_only);
    assert_true(str_equal(read.idle_tag, STR("A001")));
    assert_int_equal(read.folder_id, INT64_MAX);
    assert_int_equal(read.keywords, UINT64_MAX);
    assert_int_equal(read.recent[1].last, UINT32_MAX);
    assert_int_equal(read.saved_count, 1);
    assert_int_equal(read.saved[0].first, 5);
    /* Neither shorter, nor longer, nor of another version, nor with flags of the future. */
    for (size_t len = 0; len < text.len; len++) {
        assert_int_equal(imap_hibernated_read(str_upto(buf_str(&text), len), &task, &read),
                         ERR_INVALID);
        task_forgive(&task);
    }
    buf_put(&text, STR("x"));
    assert_int_equal(imap_hibernated_read(buf_str(&text), &task, &read), ERR_INVALID);
    task_forgive(&task);
    buf_truncate(&text, text.len - 1);
    text.ptr[0]++;
    assert_int_equal(imap_hibernated_read(buf_str(&text), &task, &read), ERR_INVALID);
    task_forgive(&task);
    text.ptr[0]--;
    text.ptr[2] = 0x7f; /* flags */
    assert_int_equal(imap_hibernated_read(buf_str(&text), &task, &read), ERR_INVALID);
    task_done(&task);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_cannot_sleep),
        cmocka_unit_test(test_an_unannounced_expunge_keeps_awake),
        cmocka_unit_test(test_numbers_survive_a_sleep),
        cmocka_unit_test(test_an_idler_hears_of_it),
        cmocka_unit_test(test_a_folder_that_went),
        cmocka_unit_test(test_a_sleep_beyond_memory_ends),
        cmocka_unit_test(test_a_saved_result_survives),
        cmocka_unit_test(test_mail_that_was_told_in_turn),
        cmocka_unit_test(test_mail_that_was_told_in_turn_for_long),
        cmocka_unit_test(test_text_and_back),
    };
    int failed;

    transcript_vault_init();
    home = transcript_vault_new(&quiet);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    transcript_vault_free(&home);
    return failed;
}
