/* A session as a transcript cannot show it: what it keeps, who commits when, and its clock. */
#include "imap/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* What the client sent behind its login goes along to the mailbox process. */
static void test_the_gate_keeps_what_follows_a_login(void **state)
{
    struct fixture *f = *state;
    struct imap_options options = {
        .hostname = STR("mail.example"), .is_secure = true, .is_tls = true, .log = &f->log};
    struct imap_session *s = imap_session_new(&options);
    struct str tag, username, password;

    fixture_say(s, "a LOGIN bob secret\r\nb SELECT INBOX\r\nc FETCH");
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_LOGIN);
    imap_session_login(s, &tag, &username, &password);
    assert_true(str_equal(tag, STR("a")));
    assert_true(str_equal(imap_session_pending_input(s), STR("b SELECT INBOX\r\nc FETCH")));
    imap_session_free(&s);
}

/* Nothing large is left with a session that waits. */
static void test_an_idle_session_is_small(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;

    fixture_append_large(s, &f->message, 2000000);
    fixture_converse(s, "b SELECT INBOX\r\nc FETCH 1:* BODY[]\r\nd IDLE\r\n");
    assert_int_equal(s->out.room, 0);
    assert_int_equal(s->reader.in.room, 0);
    assert_null(s->message_arena.blocks);
    assert_true(sizeof(*s) < 2048);
}

/* Two sessions' APPENDs wait for one commit; any other command brings it about. */
static void test_a_group_commits_once(void **state)
{
    struct fixture *f = *state;
    struct imap_group *group = imap_group_new(f->vault);
    struct imap_session *one = fixture_connect(f, group);
    struct imap_session *two = fixture_connect(f, group);
    struct imap_session *third = fixture_connect(f, group);

    fixture_say(one, "a APPEND Archive {3+}\r\nabc\r\n");
    fixture_say(two, "a APPEND Archive {3+}\r\ndef\r\nb APPEND None {1+}\r\nx\r\n");
    assert_int_equal(imap_session_output(one).len, 0);
    assert_int_equal(imap_session_output(two).len, 0);
    assert_int_equal(imap_session_wants(one), IMAP_WANTS_TURN);
    imap_session_resume(one, FIXTURE_NOW_MS);
    assert_true(fixture_said(one, "a OK [APPENDUID"));
    assert_true(fixture_said(two, "a OK [APPENDUID"));
    assert_true(fixture_said(two, "b NO [TRYCREATE]"));
    assert_int_equal(imap_session_wants(two), IMAP_WANTS_INPUT);
    imap_session_consume_output(one, SIZE_MAX);

    fixture_say(one, "c APPEND Archive {3+}\r\nghi\r\n");
    assert_int_equal(imap_session_output(one).len, 0);
    fixture_say(third, "a STATUS Archive (MESSAGES)\r\n");
    assert_true(fixture_said(one, "c OK [APPENDUID"));
    assert_true(fixture_said(third, "MESSAGES 3"));

    fixture_say(one, "d APPEND Archive {3+}\r\njkl\r\n");
    imap_session_free(&one); /* the client went: its message stays */
    fixture_say(third, "b STATUS Archive (MESSAGES)\r\n");
    assert_true(fixture_said(third, "MESSAGES 4"));
    imap_session_free(&two);
    imap_session_free(&third);
    imap_group_free(&group);
}

/* RFC 9585: who waits for long is told how far it is, between lines, at most every ten seconds. */
static void test_long_commands_tell_their_progress(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;
    int64_t now_ms;
    size_t told = 0;

    fixture_converse(s, "a CREATE Long\r\nb SELECT INBOX\r\n");
    fixture_append_large(s, &f->message, 1000000);
    for (int i = 0; i < 12; i++)
        fixture_converse(s, "c COPY * Long\r\n");
    fixture_converse(s, "d SELECT Long\r\n");
    fixture_say(s, "tag] SEARCH TEXT \"large message 12\"\r\n");
    /* Each turn takes six tenths of a second. */
    for (now_ms = FIXTURE_NOW_MS; imap_session_wants(s) == IMAP_WANTS_TURN; now_ms += 600) {
        imap_session_resume(s, now_ms);
        buf_put(&f->out, imap_session_output(s));
        imap_session_consume_output(s, SIZE_MAX);
    }
    for (struct str rest = buf_str(&f->out), line; str_split(&rest, '\n', &line);)
        told += str_starts_with(line, STR("* OK [INPROGRESS (\"tag]\" "));
    assert_true(now_ms - FIXTURE_NOW_MS >= 30000); /* there was something to tell */
    assert_in_range(told, (now_ms - FIXTURE_NOW_MS) / 15000, (now_ms - FIXTURE_NOW_MS) / 10000);
    assert_true(fixture_heard(f, " 12)] "));
    assert_true(fixture_heard(f, "tag] OK"));
    /* Inside a message nothing is said. */
    buf_reset(&f->out);
    fixture_say(s, "e FETCH 1:2 BODY.PEEK[]\r\n");
    for (now_ms = FIXTURE_NOW_MS; imap_session_wants(s) != IMAP_WANTS_INPUT; now_ms += 11000) {
        buf_put(&f->out, imap_session_output(s));
        imap_session_consume_output(s, SIZE_MAX);
        imap_session_resume(s, now_ms);
    }
    assert_true(str_find(buf_str(&f->out), buf_str(&f->message)) > 0);
}

/* Runs the command with eleven seconds to a turn. How often the client was told how far it is:
 * always of `goal`, less than it, and never less than before. */
static size_t count_told(struct fixture *f, const char *command, uint64_t goal)
{
    struct imap_session *s = f->s;
    struct str rest, line, word;
    uint64_t last = 0, number;
    size_t told = 0;

    buf_reset(&f->out);
    fixture_say(s, command);
    for (int64_t now_ms = FIXTURE_NOW_MS; imap_session_wants(s) != IMAP_WANTS_INPUT;
         now_ms += 11000) {
        buf_put(&f->out, imap_session_output(s));
        imap_session_consume_output(s, SIZE_MAX);
        imap_session_resume(s, now_ms);
    }
    buf_put(&f->out, imap_session_output(s));
    imap_session_consume_output(s, SIZE_MAX);
    assert_true(fixture_heard(f, "tag OK"));
    rest = buf_str(&f->out);
    while (str_split(&rest, '\n', &line)) {
        if (!str_starts_with(line, STR("* OK [INPROGRESS (\"tag\" ")))
            continue;
        line = str_from(line, strlen("* OK [INPROGRESS (\"tag\" "));
        str_split(&line, ' ', &word);
        assert_true(parse_u64(word, &number));
        assert_in_range(number, last, goal - 1);
        last = number;
        str_split(&line, ')', &word);
        assert_true(parse_u64(word, &number));
        assert_int_equal(number, goal);
        told++;
    }
    return told;
}

/* RFC 9585 §4: the goal does not change, and is what the progress will reach. */
static void test_progress_goes_towards_one_goal(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;

    fixture_converse(s, "a CREATE Long\r\nb SELECT INBOX\r\n");
    fixture_append_large(s, &f->message, 1000000);
    for (int i = 0; i < 12; i++)
        fixture_converse(s, "c COPY * Long\r\n");
    fixture_converse(s, "d SELECT Long\r\n");
    assert_true(count_told(f, "tag UID SEARCH 2:4 TEXT \"large message 12\"\r\n", 12) > 2);
    assert_true(count_told(f, "tag SEARCH RETURN (RELEVANCY ALL) FUZZY TEXT large\r\n", 12) > 10);
    assert_true(count_told(f,
                           "tag ESEARCH IN (mailboxes (INBOX Long)) TEXT \"large message 12\"\r\n",
                           13) > 10);
    fixture_converse(s, "a CREATE Many\r\nb APPEND Many {3+}\r\nabc\r\nc SELECT Many\r\n");
    for (int i = 0; i < 14; i++)
        fixture_converse(s, "d COPY 1:* Many\r\n");
    assert_true(count_told(f, "tag FETCH 1001:3000,5001:16000 FLAGS\r\n", 13000) > 2);
}

/* Searches INBOX and another mailbox; when it has found one message there, another client says
 * this. */
static void search_meanwhile(struct fixture *f, const char *name, const char *other)
{
    struct imap_session *s = f->s;

    buf_reset(&f->out);
    buf_reset(&f->command);
    buf_putf(&f->command, "tag ESEARCH IN (mailboxes (INBOX %s)) OR SEEN TEXT large\r\n", name);
    buf_put(&f->command, (struct str){"", 1});
    fixture_say(s, f->command.ptr);
    while (!fixture_said(s, "MAILBOX INBOX")) {
        assert_int_equal(imap_session_wants(s), IMAP_WANTS_TURN);
        imap_session_resume(s, FIXTURE_NOW_MS);
    }
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_TURN);
    fixture_converse(f->other, other);
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, "tag OK"));
}

/* RFC 7377 §2: MAILBOX is its name, not one that it had when the search began. */
static void test_esearch_tells_names_as_they_are(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;

    fixture_converse(s, "a CREATE Long\r\nb SELECT INBOX\r\n");
    fixture_append_large(s, &f->message, 1000000);
    fixture_converse(s, "c COPY * Long\r\nd STORE * +FLAGS (\\Seen)\r\ne COPY * Long\r\n");
    search_meanwhile(f, "Long", "a RENAME Long Longer\r\n");
    assert_true(fixture_heard(f, "MAILBOX Longer UIDVALIDITY"));
    assert_false(fixture_heard(f, "MAILBOX Long "));
    /* It is gone, or is another one of that name: there is nothing to say of it. */
    search_meanwhile(f, "Longer", "b DELETE Longer\r\n");
    assert_false(fixture_heard(f, "MAILBOX Longer"));
    fixture_converse(s, "a CREATE Long/child\r\nb COPY * Long\r\nc STORE * -FLAGS (\\Seen)\r\n"
                        "d COPY * Long\r\n");
    search_meanwhile(f, "Long", "b DELETE Long\r\nc CREATE Long\r\n");
    assert_false(fixture_heard(f, "MAILBOX Long"));
}

static bool is_under_load(void *owner)
{
    return *(const bool *)owner;
}

/* What is refused with NO empties "$", where it was to be saved (RFC 5182 §2.1); with BAD, or where
 * nothing was to be saved, it stays. */
static void test_a_refused_search_saves_nothing(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = fixture_connect(f, NULL);
    static const struct {
        const char *command;
        bool is_kept, is_refused_anyway;
    } rows[] = {
        {"c SEARCH RETURN (SAVE) ALL\r\n", false, false},
        {"c UID SORT RETURN (SAVE COUNT) (DATE) UTF-8 ALL\r\n", false, false},
        {"c ESEARCH IN (selected) RETURN (SAVE) ALL\r\n", false, false},
        {"c SEARCH RETURN (SAVE) NONSENSE\r\n", true, false},
        {"c SEARCH RETURN (COUNT) ALL\r\n", true, false},
        {"c THREAD REFERENCES UTF-8 ALL\r\n", true, false},
        {"c STATUS INBOX (MESSAGES)\r\n", true, false},
        /* Refused at a literal, before the rest is there. */
        {"c SEARCH RETURN (SAVE) SUBJECT {3}\r\n", false, false},
        {"c UID SEARCH RETURN (COUNT SAVE) SUBJECT {3+}\r\nabc\r\n", false, false},
        {"c SEARCH RETURN (SAVE) SUBJECT {3+}\r\nabc TEXT {3+}\r\nabc\r\n", false, false},
        {"c SORT RETURN (SAVE) (DATE) UTF-8 SUBJECT {3}\r\n", false, false},
        {"c ESEARCH RETURN (SAVE) SUBJECT {3}\r\n", false, false},
        {"c SEARCH RETURN (COUNT) SUBJECT {3}\r\n", true, false},
        {"c SEARCH SUBJECT {3+}\r\nabc\r\n", true, false},
        {"c STATUS {5}\r\n", true, false},
        {"c SEARCH RETURN (SAVE) SUBJECT {100000}\r\n", true, true},
        {"c SEARCH RETURN (SAVE) CHARSET X SUBJECT {3+}\r\nabc\r\n", false, true},
    };
    bool is_busy = false;

    imap_session_ask_load(s, is_under_load, &is_busy);
    fixture_converse(s, "a ID (\"event\" \"Indexer\" \"name\" \"com.apple.mobilemail\")\r\n"
                        "b APPEND INBOX {3+}\r\nabc\r\nc SELECT INBOX\r\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fixture_converse(s, "b SEARCH RETURN (SAVE) ALL\r\n");
        is_busy = !rows[i].is_refused_anyway;
        fixture_say(s, rows[i].command);
        assert_true(fixture_said(s, is_busy ? "c NO [UNAVAILABLE]" : "c NO [BADCHARSET ") ||
                    fixture_said(s, "c BAD "));
        imap_session_consume_output(s, SIZE_MAX);
        is_busy = false;
        fixture_say(s, "d SEARCH RETURN (COUNT) $\r\n");
        assert_int_equal(fixture_said(s, "COUNT 1\r\n"), rows[i].is_kept);
        imap_session_consume_output(s, SIZE_MAX);
    }
    imap_session_free(&s);
}

/* iOS's bulk downloads: NO [UNAVAILABLE] under load (RFC 5530 §3), to what costs something. */
static void test_bulk_downloads_wait_under_load(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *id;
        bool is_bulk;
    } rows[] = {
        {"(\"name\" \"com.apple.email.maild\" \"event\" \"back-fill\")", true},
        {"(\"event\" \"Indexer\" \"NAME\" \"com.apple.mobilemail\")", true},
        {"(\"name\" \"com.apple.email.maild\" \"os\" \"iOS\")", false},
        {"(\"name\" \"com.apple.email.maild\" \"event\" \"open\")", false},
        {"(\"name\" \"Another\" \"event\" \"back-fill\")", false},
        {"(\"name\" NIL \"event\" NIL)", false},
        {"NIL", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct imap_session *s = fixture_connect(f, NULL);
        bool is_busy = false;
        char line[200];

        imap_session_ask_load(s, is_under_load, &is_busy);
        snprintf(line, sizeof(line), "a ID %s\r\n", rows[i].id);
        fixture_converse(s, line);
        assert_int_equal(imap_session_is_bulk(s), rows[i].is_bulk);
        fixture_converse(s, "b SELECT INBOX\r\n");
        is_busy = true;
        fixture_say(s, "c STATUS INBOX (MESSAGES)\r\n");
        assert_int_equal(fixture_said(s, "c NO [UNAVAILABLE]"), rows[i].is_bulk);
        imap_session_consume_output(s, SIZE_MAX);
        /* Not even the literal is asked for. */
        fixture_say(s, "d APPEND INBOX {10}\r\n");
        assert_int_equal(fixture_said(s, "d NO [UNAVAILABLE]"), rows[i].is_bulk);
        imap_session_consume_output(s, SIZE_MAX);
        if (rows[i].is_bulk)
            fixture_converse(s, "e NOOP\r\n");
        imap_session_free(&s);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_the_gate_keeps_what_follows_a_login),
        TEST(test_an_idle_session_is_small),
        TEST(test_a_group_commits_once),
        TEST(test_long_commands_tell_their_progress),
        TEST(test_progress_goes_towards_one_goal),
        TEST(test_esearch_tells_names_as_they_are),
        TEST(test_bulk_downloads_wait_under_load),
        TEST(test_a_refused_search_saves_nothing),
    };

    transcript_vault_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
