/* Keywords whose bits were given to others: no message is told with a keyword that it never had. */
#include "imap/fixture.h"

#include "imap/hibernate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { COUNT = IMAP_KEYWORDS_MAX, MESSAGES = 1000 };

/* All bits are taken, by names so long that a STORE is done in slices. A message in Archive has all
 * of them but the last `unused`. */
static void take_all(struct fixture *f, unsigned unused)
{
    struct vault_append append = {.raw = STR("Subject: x\r\n\r\n"),
                                  .internal_date_ms = FIXTURE_NOW_MS};
    struct vault_folder archive;
    uint32_t uid;

    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t bit;

        assert_int_equal(vault_keyword_bit(f->vault, &f->task,
                                           arena_printf(&f->task.arena, "key%02u-%0110u", i, 0),
                                           true, 0, &bit),
                         ERR_OK);
        append.flags |= i < COUNT - unused ? bit : 0;
    }
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("Archive"), &archive), ERR_OK);
    assert_int_equal(vault_message_append(f->vault, &f->task, archive.id, &append, &uid), ERR_OK);
}

static void mail(struct fixture *f)
{
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct vault_append append = {.raw = STR("Subject: x\r\n\r\n"),
                                      .internal_date_ms = FIXTURE_NOW_MS};
        struct vault_folder inbox;
        uint32_t uid;

        assert_int_equal(vault_folder_find(f->vault, &f->task, STR("INBOX"), &inbox), ERR_OK);
        assert_int_equal(vault_message_append(f->vault, &f->task, inbox.id, &append, &uid), ERR_OK);
    }
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
}

/* When unused keywords are looked for once more. */
static void say_later(struct imap_session *s, const char *text, int minutes)
{
    imap_session_input(s, str_from_c(text), FIXTURE_NOW_MS + minutes * 60 * 1000);
}

static void hear(struct fixture *f, struct imap_session *s)
{
    buf_reset(&f->out);
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
}

/* What one command names stays apart, whether it was there or is made. */
static void test_of_one_command(void **state)
{
    struct fixture *f = *state;

    take_all(f, 3);
    fixture_converse(f->s, "a APPEND INBOX {3+}\r\nabc\r\nb SELECT INBOX\r\n");
    buf_putf(&f->command, "c STORE 1 FLAGS (key55-%0110u one two)\r\n", 0);
    imap_session_input(f->s, buf_str(&f->command), FIXTURE_NOW_MS);
    hear(f, f->s);
    buf_reset(&f->command);
    buf_putf(&f->command, "* 1 FETCH (FLAGS (key55-%0110u one two \\Recent))\r\nc OK", 0);
    assert_true(str_find(buf_str(&f->out), buf_str(&f->command)) > 0);
    fixture_say(f->s, "d STORE 1 +FLAGS (three)\r\n");
    hear(f, f->s);
    assert_true(fixture_heard(f, "d NO [LIMIT]"));
}

/* Likewise of two messages of one APPEND: there is room for one keyword, of which the first has
 * one. */
static void test_of_one_append(void **state)
{
    struct fixture *f = *state;

    take_all(f, 1);
    fixture_say(f->s, "a APPEND INBOX (one) {3+}\r\nabc (two) {3+}\r\nabc\r\n");
    hear(f, f->s);
    assert_true(fixture_heard(f, "a NO ["));
    fixture_say(f->s, "b APPEND INBOX (one) {3+}\r\nabc (ONE) {3+}\r\nabc\r\nc EXAMINE INBOX\r\n");
    fixture_say(f->s, "d FETCH 1:2 FLAGS\r\n");
    hear(f, f->s);
    assert_true(fixture_heard(f, "* 1 FETCH (FLAGS (one \\Recent))\r\n"));
    assert_true(fixture_heard(f, "* 2 FETCH (FLAGS (one \\Recent))\r\n"));
}

/* A STORE in slices has found no message yet that it may change, when another one's keyword needs a
 * bit. */
static void test_of_a_store_in_turns(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s, *other = f->other;
    struct vault_folder inbox;

    take_all(f, 1);
    mail(f);
    fixture_converse(s, "a SELECT INBOX\r\nb ENABLE CONDSTORE\r\n");
    fixture_converse(other, "a SELECT INBOX\r\n");
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("INBOX"), &inbox), ERR_OK);
    fixture_converse(other, "b STORE 1:500 +FLAGS.SILENT (\\Draft)\r\n");
    fixture_converse(s, "c NOOP\r\n");
    buf_putf(&f->command, "d STORE 1:%d (UNCHANGEDSINCE %llu) +FLAGS (mine)\r\n", MESSAGES,
             (unsigned long long)inbox.highest_modseq);
    imap_session_input(s, buf_str(&f->command), FIXTURE_NOW_MS);
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_TURN);
    assert_false(fixture_said(s, "d OK"));
    say_later(other, "c STORE 1 +FLAGS (theirs)\r\n", 1);
    hear(f, other);
    assert_true(fixture_heard(f, "c NO [LIMIT]"));
    hear(f, s);
    assert_true(fixture_heard(f, "d OK [MODIFIED 1:500]"));
    fixture_say(s, "e FETCH 1000 FLAGS\r\n");
    hear(f, s);
    assert_true(fixture_heard(f, "FLAGS (mine \\Recent))\r\n"));
}

/* Flags that SELECT read, and tells in turns, while the keyword goes from all messages. */
static void test_of_a_select_in_turns(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s, *other = f->other;
    struct vault_folder inbox;

    take_all(f, 1);
    mail(f);
    fixture_converse(
        other,
        "a SELECT INBOX\r\nb STORE 1:* +FLAGS.SILENT (mine \\Answered \\Flagged \\Seen)\r\n");
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("INBOX"), &inbox), ERR_OK);
    fixture_converse(s, "a ENABLE QRESYNC\r\n");
    buf_putf(&f->command, "b SELECT INBOX (QRESYNC (%u 1))\r\n", inbox.uidvalidity);
    imap_session_input(s, buf_str(&f->command), FIXTURE_NOW_MS);
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_ROOM);
    fixture_converse(other, "c STORE 1:* FLAGS.SILENT ()\r\n");
    say_later(other, "d STORE 1 +FLAGS (theirs)\r\n", 1);
    hear(f, other);
    assert_true(fixture_heard(f, "d NO [LIMIT]"));
    hear(f, s);
    assert_true(fixture_heard(f, "b OK"));
    assert_true(fixture_heard(f, "* 1000 FETCH (UID 1000 MODSEQ ("));
    for (struct str rest = buf_str(&f->out), line; str_split(&rest, '\n', &line);)
        if (str_find(line, STR("FETCH")) > 0)
            assert_true(str_ends_with(line, STR("\\Seen mine))\r")));
    /* It was held for the command only, and is looked for again a little later. */
    say_later(other, "e STORE 1 +FLAGS (theirs)\r\n", 2);
    hear(f, other);
    assert_true(fixture_heard(f, "e OK"));
}

/* Who wants one too many, and goes on asking, is not heard by the others each time. */
static void test_no_room_is_told_once(void **state)
{
    struct fixture *f = *state;

    take_all(f, 0);
    fixture_converse(f->s, "a APPEND INBOX {3+}\r\nabc\r\nb SELECT INBOX\r\n");
    fixture_converse(f->other, "a SELECT INBOX\r\n");
    for (int minute = 1; minute < 4; minute++) {
        say_later(f->s, "c STORE 1 +FLAGS (new)\r\n", 2 * minute);
        hear(f, f->s);
        assert_true(fixture_heard(f, "c NO [LIMIT]"));
        say_later(f->other, "b NOOP\r\n", 2 * minute);
        hear(f, f->other);
        assert_true(fixture_heard(f, "PERMANENTFLAGS") == (minute == 1));
        say_later(f->other, "c NOOP\r\n", 2 * minute + 1);
        hear(f, f->other);
        assert_false(fixture_heard(f, "PERMANENTFLAGS"));
    }
}

static void sleep_and_wake(struct fixture *f)
{
    struct imap_options options = {.hostname = STR("mail.example"), .log = &f->log};

    assert_true(imap_session_can_hibernate(f->s));
    buf_reset(&f->message);
    imap_session_hibernate(f->s, &f->message);
    imap_session_free(&f->s);
    assert_int_equal(
        imap_session_resume_hibernated(&options, f->vault, &f->task, buf_str(&f->message), &f->s),
        ERR_OK);
}

/* The bits that have keywords are the same as before, and one has another: whoever knew the old
 * ones is told, awake or not, and once. */
static void test_same_bits_other_names(void **state)
{
    struct fixture *f = *state;

    for (unsigned round = 0; round < 2; round++) {
        uint64_t bits;

        if (round == 0) {
            take_all(f, 1);
            mail(f);
            fixture_converse(f->other, "a SELECT INBOX\r\n");
            fixture_converse(f->s, "a SELECT INBOX\r\n");
        } else {
            fixture_converse(f->other, "b STORE 1 FLAGS ()\r\n");
            say_later(f->s, "b NOOP\r\n", 2);
            hear(f, f->s);
        }
        bits = vault_keywords(f->vault);
        say_later(f->other, round == 0 ? "c STORE 1 FLAGS (one)\r\n" : "c STORE 2 FLAGS (two)\r\n",
                  round == 0 ? 0 : 2);
        hear(f, f->other);
        assert_true(fixture_heard(f, "c OK"));
        assert_true(vault_keywords(f->vault) == bits);
        if (round == 1)
            sleep_and_wake(f);
        say_later(f->s, "d NOOP\r\n", round == 0 ? 1 : 4);
        hear(f, f->s);
        assert_true(fixture_heard(f, round == 0 ? " one)\r\n" : " two)\r\n"));
        assert_true(str_starts_with(buf_str(&f->out), STR("* FLAGS (")));
        say_later(f->s, "e NOOP\r\n", round == 0 ? 1 : 4);
        hear(f, f->s);
        assert_false(fixture_heard(f, "* FLAGS"));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_of_one_command),       TEST(test_of_one_append),
        TEST(test_of_a_store_in_turns),  TEST(test_of_a_select_in_turns),
        TEST(test_no_room_is_told_once), TEST(test_same_bits_other_names),
    };

    transcript_vault_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
