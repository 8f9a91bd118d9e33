/* What a session tells unasked, in IDLE and by NOTIFY: when, how much, and whose doing it is. */
#include "imap/fixture.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void note(void *owner)
{
    ++*(unsigned *)owner;
}

/* The first message of `other`'s folder, again and again, while nothing of `s` is read. */
static void change_without_end(struct imap_session *s, struct imap_session *other)
{
    for (unsigned i = 0; i < 20000; i++) {
        fixture_say(other,
                    i % 2 == 0 ? "d STORE 1 -FLAGS \\Seen\r\n" : "d STORE 1 +FLAGS \\Seen\r\n");
        imap_session_consume_output(other, SIZE_MAX);
        if (imap_session_wants(s) == IMAP_WANTS_TURN)
            imap_session_resume(s, FIXTURE_NOW_MS);
    }
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_ROOM);
    assert_true(imap_session_output(s).len < IMAP_OUTPUT_HIGH + 1024);
}

/* In IDLE the owner is called, nothing is done in the call; a client that does not read is not
 * written to without end. */
static void test_idle_tells_in_the_next_turn(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s, *other = f->other;
    unsigned calls = 0;

    imap_session_on_output(s, note, &calls);
    fixture_converse(other, "a APPEND Sent {3+}\r\nabc\r\nb SELECT Sent\r\n");
    fixture_converse(s, "a SELECT Sent\r\n");
    fixture_say(s, "b IDLE\r\n");
    imap_session_consume_output(s, SIZE_MAX);
    fixture_say(other, "c STORE 1 FLAGS \\Seen\r\n");
    assert_int_equal(calls, 1);
    assert_int_equal(imap_session_output(s).len, 0);
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_TURN);
    imap_session_resume(s, FIXTURE_NOW_MS);
    assert_true(fixture_said(s, "1 FETCH"));
    change_without_end(s, other);
}

/* NOTIFY: many changes are one STATUS, and a client that does not read is not written to without
 * end. */
static void test_notify_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s, *other = f->other;
    unsigned calls = 0;

    imap_session_on_output(s, note, &calls);
    fixture_converse(other, "a APPEND Drafts {3+}\r\nabc\r\nb SELECT Drafts\r\n");
    fixture_converse(s, "a ENABLE CONDSTORE\r\n");
    fixture_converse(s, "b NOTIFY SET (PERSONAL (MessageNew MessageExpunge FlagChange))\r\n");
    fixture_say(other, "c STORE 1 FLAGS \\Seen\r\nc STORE 1 FLAGS \\Draft\r\n");
    assert_int_equal(calls, 2);
    assert_int_equal(imap_session_output(s).len, 0);
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_TURN);
    imap_session_resume(s, FIXTURE_NOW_MS);
    assert_true(str_starts_with(imap_session_output(s), STR("* STATUS Drafts (")));
    assert_int_equal(str_index(imap_session_output(s), '\n') + 1, imap_session_output(s).len);
    change_without_end(s, other);
}

/* RFC 5465 §3.1: more than is reasonable is refused, and what was before holds. */
static void test_notify_has_limits(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s, *other = f->other;

    fixture_converse(s, "a NOTIFY SET (PERSONAL (MessageNew MessageExpunge))\r\n");
    buf_put(&f->command, STR("b NOTIFY SET (MAILBOXES (x"));
    for (int i = 0; i < IMAP_NOTIFY_NAMES_MAX; i++)
        buf_putf(&f->command, " x%d", i);
    buf_put(&f->command, STR(") (MessageNew MessageExpunge))\r\n"));
    imap_session_input(s, buf_str(&f->command), FIXTURE_NOW_MS);
    assert_true(fixture_said(s, "b NO [NOTIFICATIONOVERFLOW] "));
    imap_session_consume_output(s, SIZE_MAX);
    buf_reset(&f->command);
    buf_put(&f->command, STR("c NOTIFY SET"));
    for (int i = 0; i <= IMAP_NOTIFY_GROUPS_MAX; i++)
        buf_put(&f->command, STR(" (PERSONAL NONE)"));
    buf_put(&f->command, STR("\r\n"));
    imap_session_input(s, buf_str(&f->command), FIXTURE_NOW_MS);
    assert_true(fixture_said(s, "c NO [NOTIFICATIONOVERFLOW] "));
    imap_session_consume_output(s, SIZE_MAX);
    fixture_converse(other, "a APPEND Trash {3+}\r\nabc\r\n");
    imap_session_resume(s, FIXTURE_NOW_MS);
    assert_true(fixture_said(s, "* STATUS Trash "));
}

static size_t memory_in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* What a session keeps of NOTIFY, as long as it lasts, is about what the client said. */
static void test_notify_is_small(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;
    size_t before;

    fixture_converse(s, "a NOOP\r\n");
    before = memory_in_use();
    fixture_converse(s,
                     "b NOTIFY SET (SELECTED (MessageNew MessageExpunge)) (PERSONAL (MailboxName))"
                     "\r\n");
    assert_true(memory_in_use() - before < 16 * 1024);
}

/* RFC 5465 §3.1: NOTIFY SET implies a NOOP. What was heard while a command before it ran is told by
 * the rules of then, and the new messages are fetched. */
static void test_notify_anew_loses_nothing(void **state)
{
    static const char rules[] = "NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge)) "
                                "(PERSONAL (MessageNew MessageExpunge FlagChange MailboxName))";
    struct fixture *f = *state;
    struct imap_session *s = f->s, *other = f->other;

    fixture_append_large(s, &f->message, 3000000);
    fixture_converse(other, "a APPEND Sent {3+}\r\nabc\r\nb SELECT Sent\r\n");
    fixture_converse(s, "a SELECT INBOX\r\n");
    buf_reset(&f->command);
    buf_putf(&f->command, "b %s\r\nc FETCH 1 (BODY.PEEK[])\r\nd %s\r\n", rules, rules);
    imap_session_input(s, buf_str(&f->command), FIXTURE_NOW_MS);
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_ROOM);
    fixture_converse(other, "c STORE 1 +FLAGS (\\Seen)\r\nd CREATE New\r\n"
                            "e APPEND INBOX {3+}\r\nabc\r\n");
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, "c OK"));
    assert_true(fixture_heard(f, "\"/\" New\r\n"));
    assert_true(fixture_heard(f, "* STATUS Sent (UIDVALIDITY"));
    assert_true(fixture_heard(f, "d OK"));
    assert_true(fixture_heard(f, "* 2 FETCH (UID 2)\r\n"));
}

/* The FETCH that NOTIFY brings about streams, also inside IDLE, whose end waits behind it. */
static void test_notify_fetch_streams(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s, *other = f->other;
    size_t highest = 0;

    fixture_converse(s, "a SELECT Junk\r\n");
    fixture_converse(s, "b NOTIFY SET (SELECTED (MessageNew (BODY.PEEK[]) MessageExpunge))\r\n");
    fixture_say(s, "c IDLE\r\n");
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    buf_reset(&f->out);
    fixture_append_large(other, &f->message, 3000000);
    fixture_converse(other, "b SELECT INBOX\r\n");
    fixture_converse(other, "c COPY * Junk\r\n");
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_TURN);
    imap_session_resume(s, FIXTURE_NOW_MS);
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_ROOM);
    /* What happens meanwhile is told behind it, not in the middle. */
    fixture_converse(other, "d COPY * Junk\r\n");
    fixture_say(s, "DONE\r\n");
    fixture_hear(s, &f->out, 10000, &highest);
    assert_true(highest < IMAP_OUTPUT_HIGH + 128 * 1024);
    assert_true(
        str_starts_with(buf_str(&f->out), STR("* 1 EXISTS\r\n* 1 RECENT\r\n* 1 FETCH (UID 1 BODY"
                                              "[] {")));
    assert_true(str_equal(
        str_upto(str_from(buf_str(&f->out), (size_t)str_find(buf_str(&f->out), STR("}\r\n")) + 3),
                 f->message.len),
        buf_str(&f->message)));
    assert_true(fixture_heard(f, ")\r\n* 2 EXISTS\r\n"));
    assert_true(fixture_heard(f, "* 2 FETCH (UID 2 BODY[] {"));
    assert_true(fixture_heard(f, "c OK IDLE"));
    /* And a client that goes in the middle of one leaves nothing behind. */
    fixture_say(s, "d IDLE\r\n");
    imap_session_consume_output(s, SIZE_MAX);
    fixture_converse(other, "e COPY * Junk\r\n");
    imap_session_resume(s, FIXTURE_NOW_MS);
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_ROOM);
}

/* A command whose literal was refused is still a command: its rest is read past, whatever is told
 * meanwhile. */
static void test_notify_waits_for_a_refused_literal(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s, *other = f->other;

    fixture_converse(other, "a CREATE doomed\r\n");
    fixture_converse(s, "a SELECT doomed\r\nb NOTIFY SET (SELECTED (MessageNew (FLAGS) "
                        "MessageExpunge))\r\n");
    for (int i = 0; i < 50000; i++)
        buf_put(&f->command, STR("x"));
    fixture_say(s, "c SEARCH TEXT {100000+}\r\n");
    imap_session_input(s, buf_str(&f->command), FIXTURE_NOW_MS);
    fixture_converse(other, "b APPEND doomed {4+}\r\nabc\n\r\n");
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    imap_session_input(s, buf_str(&f->command), FIXTURE_NOW_MS);
    fixture_say(s, " d LOGOUT\r\n");
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, "c BAD [TOOBIG] "));
    assert_true(fixture_heard(f, "* 1 FETCH (UID 1 FLAGS"));
    assert_false(fixture_heard(f, "* BAD "));
}

/* Whose doing a change is does not depend on who commits it: REPLACE commits another's APPEND. */
static void test_notify_tells_of_what_others_commit(void **state)
{
    struct fixture *f = *state;
    struct imap_group *group = imap_group_new(f->vault);
    struct imap_session *s = fixture_connect(f, group), *other = fixture_connect(f, group);

    fixture_converse(s, "a CREATE mine\r\nb CREATE theirs\r\nc APPEND mine {4+}\r\nabc\n\r\n"
                        "d SELECT mine\r\ne NOTIFY SET (SELECTED (MessageNew MessageExpunge)) "
                        "(PERSONAL (MessageNew MessageExpunge))\r\n");
    fixture_say(other, "f APPEND theirs {4+}\r\nabc\n\r\n");
    assert_false(fixture_said(other, "f OK"));
    fixture_say(s, "g REPLACE 1 mine {4+}\r\nxyz\n\r\n");
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_said(other, "f OK"));
    assert_true(fixture_heard(f, "g OK"));
    assert_true(fixture_heard(f, "* STATUS theirs (MESSAGES 1 UIDNEXT 2"));
    assert_false(fixture_heard(f, "* STATUS mine "));
    /* Nor on who waits for the same commit. */
    fixture_converse(s, "h SELECT Archive\r\n");
    buf_reset(&f->out);
    fixture_say(s, "i APPEND mine {4+}\r\nabc\n\r\n");
    fixture_say(other, "i APPEND theirs {4+}\r\nabc\n\r\n");
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, "* STATUS theirs (MESSAGES 2 UIDNEXT 3"));
    assert_false(fixture_heard(f, "* STATUS mine "));
    buf_reset(&f->out);
    fixture_say(s, "k APPEND theirs {4+}\r\nabc\n\r\n");
    fixture_say(other, "k APPEND theirs {4+}\r\nabc\n\r\n");
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, "* STATUS theirs (MESSAGES 4 UIDNEXT 5"));
    buf_reset(&f->out);
    fixture_say(s, "l APPEND theirs {4+}\r\nabc\n\r\n");
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    assert_false(fixture_heard(f, "* STATUS theirs "));
    imap_session_free(&s);
    imap_session_free(&other);
    imap_group_free(&group);
}

/* Children go elsewhere, then their parent is renamed: each must be told before it. What that
 * costs. */
static uint64_t cost_of_telling(struct fixture *f, unsigned count)
{
    struct imap_session *s = f->s, *other = f->other;

    for (unsigned i = 0; i < count; i++)
        assert_int_equal(vault_folder_create(f->vault, &f->task,
                                             arena_printf(&f->task.arena, "top/%u", i),
                                             VAULT_USE_NONE),
                         ERR_OK);
    fixture_converse(s, "a NOTIFY SET (PERSONAL (MailboxName))\r\n");
    for (unsigned i = 0; i < count; i++) {
        buf_reset(&f->command);
        buf_putf(&f->command, i % 2 == 0 ? "b DELETE top/%u\r\n" : "b RENAME top/%u x%u\r\n", i, i);
        imap_session_input(other, buf_str(&f->command), FIXTURE_NOW_MS);
        assert_true(fixture_said(other, "b OK"));
        imap_session_consume_output(other, SIZE_MAX);
    }
    fixture_converse(other, "c RENAME top elsewhere\r\n");
    imap_session_resume(s, FIXTURE_NOW_MS);
    buf_reset(&f->out);
    buf_put(&f->out, imap_session_output(s));
    imap_session_consume_output(s, SIZE_MAX);
    assert_true(str_ends_with(buf_str(&f->out), STR("\"/\" elsewhere (\"OLDNAME\" (top))\r\n")));
    return (uint64_t)(IMAP_BUDGET - s->budget);
}

static void test_notify_of_many_names(void **state)
{
    enum { FEW = 200, MANY = 1600 };
    uint64_t few, many;

    few = cost_of_telling(*state, FEW);
    fixture_tear_down(state);
    fixture_set_up(state);
    many = cost_of_telling(*state, MANY);
    if (many > few * (MANY / FEW) * 3 / 2)
        fail_msg("%llu for few, %llu for many", (unsigned long long)few, (unsigned long long)many);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_idle_tells_in_the_next_turn),
        TEST(test_notify_is_bounded),
        TEST(test_notify_has_limits),
        TEST(test_notify_is_small),
        TEST(test_notify_anew_loses_nothing),
        TEST(test_notify_fetch_streams),
        TEST(test_notify_waits_for_a_refused_literal),
        TEST(test_notify_tells_of_what_others_commit),
        TEST(test_notify_of_many_names),
    };

    transcript_vault_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
