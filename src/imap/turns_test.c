/* Large answers and dear commands: in pieces and in turns, and in bounded memory. */
#include "imap/fixture.h"

#include "vault/state.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A client that takes little at a time: the output stays bounded, the bytes come back as they came,
 * although the message is expunged meanwhile. */
static void test_fetch_streams(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s, *other = f->other;
    size_t highest = 0;
    ptrdiff_t start;

    fixture_append_large(s, &f->message, 3000000);
    fixture_converse(s, "b SELECT INBOX\r\n");
    fixture_converse(other, "b SELECT INBOX\r\n");
    fixture_say(s, "c FETCH * BODY.PEEK[]\r\nd NOOP\r\n");
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_ROOM);
    fixture_converse(other, "c STORE * FLAGS.SILENT (\\Deleted)\r\nd EXPUNGE\r\n");
    fixture_hear(s, &f->out, 10000, &highest);
    assert_true(highest < IMAP_OUTPUT_HIGH + 128 * 1024);
    start = str_find(buf_str(&f->out), STR("}\r\n"));
    assert_true(start > 0);
    assert_true(str_equal(str_upto(str_from(buf_str(&f->out), (size_t)start + 3), f->message.len),
                          buf_str(&f->message)));
    assert_true(fixture_heard(f, "c OK"));
    assert_true(fixture_heard(f, "EXPUNGE\r\nd OK"));
}

/* RFC 3516: a part is decoded in pieces, although its size is told before its first byte. */
static void test_binary_streams(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;
    size_t highest = 0, decoded = 3000000;
    ptrdiff_t start;

    buf_put(&f->message, STR("Content-Transfer-Encoding: base64\r\n\r\n"));
    for (size_t i = 0; i < decoded / 3; i += 25) {
        for (size_t k = 0; k < 25; k++)
            buf_put(&f->message, STR("YWJj"));
        buf_put(&f->message, STR("\r\n"));
    }
    buf_putf(&f->command, "a APPEND Drafts {%zu+}\r\n", f->message.len);
    buf_put(&f->command, buf_str(&f->message));
    buf_put(&f->command, STR("\r\n"));
    imap_session_input(s, buf_str(&f->command), FIXTURE_NOW_MS);
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    fixture_converse(s, "b SELECT Drafts\r\n");
    buf_reset(&f->out);
    fixture_say(s, "c FETCH * (BINARY.SIZE[1] BINARY.PEEK[1])\r\n");
    fixture_hear(s, &f->out, 10000, &highest);
    assert_true(highest < IMAP_OUTPUT_HIGH + 128 * 1024);
    assert_true(fixture_heard(f, "BINARY.SIZE[1] 3000000 BINARY[1] {3000000}\r\nabc"));
    start = str_find(buf_str(&f->out), STR("}\r\n"));
    assert_true(f->out.len > decoded + (size_t)start + 3);
    for (size_t i = 0; i < decoded; i++)
        assert_int_equal(f->out.ptr[(size_t)start + 3 + i], "abc"[i % 3]);
    assert_true(
        str_starts_with(str_from(buf_str(&f->out), (size_t)start + 3 + decoded), STR(")\r\nc OK")));
}

/* SELECT with QRESYNC tells of thousands of messages without keeping them in memory. */
static void test_a_resynchronisation_streams(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;
    size_t highest = 0, told = 0;
    struct vault_folder folder;

    fixture_converse(s, "a CREATE Many\r\nb APPEND Many {3+}\r\nabc\r\nc SELECT Many\r\n");
    for (int i = 0; i < 13; i++)
        fixture_converse(s, "d COPY 1:* Many\r\n");
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("Many"), &folder), ERR_OK);
    fixture_converse(s, "e ENABLE QRESYNC\r\n");
    buf_putf(&f->out, "f SELECT Many (QRESYNC (%u 1 1:8000))\r\ng NOOP\r\n", folder.uidvalidity);
    imap_session_input(s, buf_str(&f->out), FIXTURE_NOW_MS);
    buf_reset(&f->out);
    fixture_hear(s, &f->out, 10000, &highest);
    assert_true(highest < IMAP_OUTPUT_HIGH + 4096);
    for (struct str rest = buf_str(&f->out), line; str_split(&rest, '\n', &line);)
        told += str_find(line, STR(" FETCH (UID ")) > 0;
    assert_int_equal(told, 8000);
    assert_true(fixture_heard(f, "f OK [READ-WRITE]"));
    assert_true(fixture_heard(f, "g OK"));
}

/* What was opened for a message that then cannot be answered is closed before the next one is. */
static void test_fetch_of_damaged_messages(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;

    fixture_converse(s, "a CREATE damaged\r\nb SELECT damaged\r\n");
    for (int i = 0; i < 3; i++) {
        buf_reset(&f->message);
        buf_put(&f->message, STR("c APPEND damaged {2014+}\r\nSubject: x\r\n\r\n"));
        for (int k = 0; k < 2000; k++)
            buf_put(&f->message, STR("a"));
        buf_put(&f->message, STR("\r\n"));
        imap_session_input(s, buf_str(&f->message), FIXTURE_NOW_MS);
        fixture_hear(s, &f->out, SIZE_MAX, NULL);
    }
    assert_int_equal(
        db_execute(f->vault->db, &f->task,
                   "DELETE FROM preview; UPDATE part SET bytes = x'00' WHERE kind = 1"),
        ERR_OK);
    buf_reset(&f->out);
    fixture_say(s, "d FETCH 1:* (PREVIEW BODY.PEEK[TEXT])\r\n");
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    assert_true(str_starts_with(buf_str(&f->out), STR("d NO ")));
    /* They are seen all the same: that was done before they were read, and is told. */
    buf_reset(&f->out);
    fixture_say(s, "e FETCH 1:* (PREVIEW BODY[TEXT])\r\n");
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, "* 1 FETCH (FLAGS (\\Seen \\Recent))\r\n"));
    assert_true(fixture_heard(f, "* 3 FETCH (FLAGS (\\Seen \\Recent))\r\ne NO [CORRUPTION]"));
}

/* RFC 3501 §6.4.5: FETCH tells the flags that it changed, also where it comes to nothing before it
 * has told of all the messages that it marked as seen. */
static void test_a_failing_fetch_tells_what_it_did(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s, *other = f->other;

    fixture_append_large(s, &f->message, 3000000);
    for (int i = 0; i < 3; i++)
        fixture_converse(s, "b APPEND INBOX {3+}\r\nabc\r\n");
    fixture_converse(s, "c SELECT INBOX\r\nd STORE 3 +FLAGS (\\Seen \\Flagged)\r\n");
    fixture_converse(other, "c ENABLE CONDSTORE\r\nd SELECT INBOX\r\n");
    fixture_say(s, "e FETCH 1:* (EMAILID BODY[])\r\n");
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_ROOM);
    assert_int_equal(db_execute(f->vault->db, &f->task, "ALTER TABLE identity RENAME TO gone"),
                     ERR_OK);
    /* Others hear of it as of any change; what they do to them meanwhile is told behind it. */
    fixture_say(other, "e STORE 4 +FLAGS ($Mark)\r\n");
    fixture_hear(other, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, "* 1 FETCH (UID 1 MODSEQ ("));
    assert_true(fixture_heard(f, "* 2 FETCH (UID 2 MODSEQ ("));
    assert_true(fixture_heard(f, "FLAGS (\\Seen $Mark))\r\ne OK"));
    buf_reset(&f->out);
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, ")\r\n* 2 FETCH (FLAGS (\\Seen \\Recent))\r\n"
                                 "* 4 FETCH (FLAGS (\\Seen \\Recent))\r\n* FLAGS ("));
    assert_true(fixture_heard(f, "] Flags permitted.\r\n"
                                 "* 4 FETCH (FLAGS (\\Seen $Mark \\Recent))\r\ne NO "));
    buf_reset(&f->out);
    fixture_say(other, "f NOOP\r\n");
    fixture_say(s, "f NOOP\r\n");
    assert_true(str_starts_with(imap_session_output(s), STR("f OK")));
    fixture_hear(other, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, "f OK"));
    assert_int_equal(db_execute(f->vault->db, &f->task, "ALTER TABLE gone RENAME TO identity"),
                     ERR_OK);
}

/* Turns that this command takes, and memory (0 under a sanitizer); nobody looks at its output. */
static size_t turns_of(struct imap_session *s, struct str command, size_t *out_highest)
{
    size_t before = mallinfo2().uordblks, turns = 0;

    *out_highest = 0;
    imap_session_input(s, command, FIXTURE_NOW_MS);
    while (imap_session_wants(s) != IMAP_WANTS_INPUT) {
        size_t now = mallinfo2().uordblks;

        if (now > before && now - before > *out_highest)
            *out_highest = now - before;
        imap_session_consume_output(s, SIZE_MAX);
        imap_session_resume(s, FIXTURE_NOW_MS);
        turns++;
    }
    return turns;
}

static void create_folders(struct fixture *f, const char *parent, unsigned count)
{
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(
            vault_folder_create(f->vault, &f->task,
                                arena_printf(&f->task.arena, "%s/folder %u", parent, i),
                                VAULT_USE_NONE),
            ERR_OK);
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
}

/* Many folders and dear patterns: in turns, and each folder once. */
static void test_list_gives_way(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;
    size_t turns = 0, lines = 0;
    struct str rest, line;

    create_folders(f, "many", 600);
    buf_put(&f->command, STR("a LIST \"\" (many/*"));
    for (unsigned i = 0; i < 90; i++)
        buf_putf(&f->command, " \"many/*f*o*l*d*e*r*%u*x\"", i);
    buf_put(&f->command, STR(") RETURN (STATUS (MESSAGES))\r\n"));
    imap_session_input(s, buf_str(&f->command), FIXTURE_NOW_MS);
    while (imap_session_wants(s) != IMAP_WANTS_INPUT) {
        struct str output = imap_session_output(s);

        assert_true(output.len < IMAP_OUTPUT_HIGH + 4096);
        buf_put(&f->out, output);
        imap_session_consume_output(s, output.len);
        imap_session_resume(s, FIXTURE_NOW_MS);
        turns++;
    }
    buf_put(&f->out, imap_session_output(s));
    assert_true(turns > 5);
    for (rest = buf_str(&f->out); str_split(&rest, '\n', &line);)
        lines += str_starts_with(line, STR("* LIST ("));
    assert_int_equal(lines, 600);
}

/* A folder that goes in the middle of it has no annotations to tell: nothing fails. One that
 * becomes \Noselect is still there. */
static void test_list_of_what_goes_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;

    create_folders(f, "a", 600);
    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("x/y"), VAULT_USE_NONE), ERR_OK);
    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("z"), VAULT_USE_NONE), ERR_OK);
    imap_session_input(s, STR("a LIST \"\" * RETURN (METADATA (/private/comment))\r\n"),
                       FIXTURE_NOW_MS);
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_TURN);
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("x")), ERR_OK);
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("z")), ERR_OK);
    fixture_hear(s, &f->out, 4096, NULL);
    assert_true(fixture_heard(f, "* METADATA x (/private/comment NIL)\r\n"));
    assert_true(fixture_heard(f, "* METADATA x/y (/private/comment NIL)\r\n"));
    assert_false(fixture_heard(f, "* METADATA z"));
    assert_true(fixture_heard(f, "a OK"));
}

/* What a pattern costs counts for LSUB as it does for LIST. */
static void test_lsub_gives_way(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;
    size_t highest;

    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(vault_folder_subscribe(
                             f->vault, &f->task,
                             arena_printf(&f->task.arena,
                                          "sub%u/aaaaaaaaaaaaaaaaaaaaaaaa/aaaaaaaaaaaaaaaaaaaa", i),
                             true),
                         ERR_OK);
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
    buf_put(&f->command, STR("a LSUB \"\" \""));
    for (unsigned i = 0; i < 1900; i++)
        buf_put(&f->command, STR("*a"));
    buf_put(&f->command, STR("\"\r\n"));
    assert_true(turns_of(s, buf_str(&f->command), &highest) > 0);
}

/* What is said again and again in one line takes no more than the line: its return options, and
 * their entries. */
static void test_repeated_options_are_small(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;
    size_t highest;

    create_folders(f, "wide", 1000);
    buf_put(&f->command, STR("a LIST \"\" * RETURN ("));
    for (unsigned i = 0; i < 2400; i++)
        buf_put(&f->command, STR("METADATA (/private/none) "));
    buf_put(&f->command, STR("METADATA (/private/none))\r\n"));
    assert_true(f->command.len < IMAP_LINE_MAX);
    assert_true(turns_of(s, buf_str(&f->command), &highest) > 0);
    assert_true(highest < 2 * 1024 * 1024);
}

/* Waiting for the disk is a part of the turn: what is pipelined takes several. */
static void test_commits_give_way(void **state)
{
    struct fixture *f = *state;
    static const char *const COMMANDS[] = {"SUBSCRIBE disk%u", "CREATE disk%u", "DELETE disk%u",
                                           "SETMETADATA \"\" (/private/x \"%u\")",
                                           "SETMETADATA \"\" (/private/x NIL)"};
    struct imap_session *s = f->s;
    size_t highest;

    for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++) {
        struct str before, after = str_from_c(COMMANDS[i]);
        bool has_number = str_find(after, STR("%u")) >= 0;

        str_split(&after, '%', &before);
        buf_reset(&f->command);
        for (unsigned n = 0; n < 100; n++) {
            buf_put(&f->command, STR("a "));
            buf_put(&f->command, before);
            if (has_number)
                buf_putf(&f->command, "%u", n);
            buf_put(&f->command, str_from(after, has_number ? 1 : 0));
            buf_put(&f->command, STR("\r\n"));
        }
        assert_true(turns_of(s, buf_str(&f->command), &highest) > 5);
    }
}

/* A program of many keys is copied for each mailbox that it runs over, one at a time. */
static void test_esearch_is_small(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;
    size_t highest;

    create_folders(f, "wide", 100);
    buf_put(&f->command, STR("a ESEARCH IN (PERSONAL) RETURN (COUNT)"));
    for (unsigned i = 0; i < 1990; i++)
        buf_put(&f->command, STR(" SEEN"));
    buf_put(&f->command, STR("\r\n"));
    assert_true(turns_of(s, buf_str(&f->command), &highest) > 5);
    assert_true(highest < 8 * 1024 * 1024);
}

/* What the index says of each key takes two bits a message: of so many keys the last ones are not
 * looked for there. */
static void test_search_of_many_keys_is_small(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;
    size_t highest;

    fixture_converse(s, "a CREATE Crowd\r\nb APPEND Crowd {5+}\r\n\r\nabc\r\nc SELECT Crowd\r\n");
    for (int i = 0; i < 13; i++)
        fixture_converse(s, "d COPY 1:* Crowd\r\ne NOOP\r\n");
    buf_put(&f->command, STR("f SEARCH RETURN (COUNT)"));
    for (unsigned i = 0; i < 1990; i++)
        buf_put(&f->command, STR(" BODY abc"));
    buf_put(&f->command, STR("\r\n"));
    assert_true(turns_of(s, buf_str(&f->command), &highest) > 5);

    assert_true(highest < 4 * 1024 * 1024);
    buf_reset(&f->out);
    fixture_say(s, "g SEARCH RETURN (COUNT) BODY abc\r\n");
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, "COUNT 8192"));
}

/* Between two keys, and two words of a FUZZY; and a long word is not looked for at each of a
 * million places where it is only a part of another. */
static void test_search_in_a_large_text_gives_way(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;
    size_t highest, size = 1000000;

    fixture_converse(s, "a CREATE Large\r\nb SELECT Large\r\n");
    buf_putf(&f->message, "c APPEND Large {%zu+}\r\n\r\n", size + 4);
    for (size_t i = 0; i < size / 10; i++)
        buf_put(&f->message, STR("aaaaaaaaaa"));
    buf_put(&f->message, STR(" x\r\n"));
    (void)turns_of(s, buf_str(&f->message), &highest);
    buf_put(&f->command, STR("d SEARCH"));
    for (unsigned i = 0; i < 300; i++)
        buf_putf(&f->command, " NOT BODY aab%u", i);
    buf_put(&f->command, STR("\r\n"));
    assert_true(turns_of(s, buf_str(&f->command), &highest) > 30);
    buf_reset(&f->command);
    buf_put(&f->command, STR("e SEARCH RETURN (RELEVANCY) FUZZY BODY {30002+}\r\nx "));
    for (int i = 0; i < 3000; i++)
        buf_put(&f->command, STR("aaaaaaaaaa"));
    buf_put(&f->command, STR("\r\n"));
    buf_reset(&f->out);
    imap_session_input(s, buf_str(&f->command), FIXTURE_NOW_MS);
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, "RELEVANCY (65)"));
}

/* A large thread is looked up once, however often it is asked for. */
static void test_search_for_a_large_thread_is_small(void **state)
{
    struct fixture *f = *state;
    struct imap_session *s = f->s;
    ptrdiff_t at;
    size_t highest;
    struct str id;

    fixture_converse(s, "a CREATE threads\r\nb SELECT threads\r\n");
    for (int i = 0; i < 4; i++) {
        buf_reset(&f->command);
        buf_put(&f->command, STR("c APPEND threads"));
        for (int k = 0; k < 200; k++)
            buf_put(&f->command, STR(" {25+}\r\nReferences: <large@x>\r\n\r\n"));
        buf_put(&f->command, STR("\r\n"));
        (void)turns_of(s, buf_str(&f->command), &highest);
    }
    fixture_say(s, "d FETCH 1 (THREADID)\r\n");
    fixture_hear(s, &f->out, SIZE_MAX, NULL);
    at = str_find(buf_str(&f->out), STR("THREADID ("));
    assert_true(at > 0);
    id = str_from(buf_str(&f->out), (size_t)at + 10);
    id = str_upto(id, (size_t)str_index(id, ')'));
    buf_reset(&f->command);
    buf_put(&f->command, STR("e SEARCH"));
    for (int i = 0; i < 1990; i++) {
        buf_put(&f->command, STR(" THREADID "));
        buf_put(&f->command, id);
    }
    buf_put(&f->command, STR("\r\n"));
    (void)turns_of(s, buf_str(&f->command), &highest);
    assert_true(highest < 4 * 1024 * 1024);
}

/* Of what takes much memory a few are under way at a time, as many as their messages are few, and
 * each lets another in when it is done. */
static void test_long_sorts_do_not_add_up(void **state)
{
    struct fixture *f = *state;
    struct imap_group *group = imap_group_new(f->vault);
    struct imap_session *first = fixture_connect(f, group), *second = fixture_connect(f, group);

    imap_group_limit(group, IMAP_ROOM_ORDERS, 10000);
    fixture_converse(first, "a CREATE Many\r\nb APPEND Many {3+}\r\nabc\r\nc SELECT Many\r\n");
    for (int i = 0; i < 13; i++)
        fixture_converse(first, "d COPY 1:* Many\r\n");
    fixture_converse(second, "e SELECT Many\r\n");
    fixture_say(first, "f SORT (SUBJECT) UTF-8 ALL\r\n");
    assert_int_equal(imap_session_wants(first), IMAP_WANTS_TURN);
    fixture_say(second, "f THREAD REFERENCES UTF-8 ALL\r\ng SEARCH 1\r\n");
    fixture_hear(second, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, "f NO [UNAVAILABLE]"));
    assert_true(fixture_heard(f, "g OK"));
    buf_reset(&f->out);
    fixture_hear(first, &f->out, SIZE_MAX, NULL);
    assert_true(fixture_heard(f, "f OK"));
    imap_group_limit(group, IMAP_ROOM_ORDERS, 20000);
    fixture_say(first, "f SORT (SIZE) UTF-8 ALL\r\n");
    assert_int_equal(imap_session_wants(first), IMAP_WANTS_TURN);
    fixture_converse(second, "f THREAD REFERENCES UTF-8 ALL\r\n");
    fixture_hear(first, &f->out, SIZE_MAX, NULL);
    fixture_converse(second, "h THREAD REFERENCES UTF-8 ALL\r\n");
    fixture_say(first, "h SORT (SUBJECT) UTF-8 ALL\r\n");
    imap_session_free(&first); /* in the middle of it */
    fixture_converse(second, "i SORT (SUBJECT) UTF-8 ALL\r\n");
    imap_session_free(&second);
    imap_group_free(&group);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_fetch_streams),
        TEST(test_binary_streams),
        TEST(test_a_resynchronisation_streams),
        TEST(test_fetch_of_damaged_messages),
        TEST(test_a_failing_fetch_tells_what_it_did),
        TEST(test_list_gives_way),
        TEST(test_repeated_options_are_small),
        TEST(test_list_of_what_goes_meanwhile),
        TEST(test_lsub_gives_way),
        TEST(test_commits_give_way),
        TEST(test_esearch_is_small),
        TEST(test_search_of_many_keys_is_small),
        TEST(test_search_in_a_large_text_gives_way),
        TEST(test_long_sorts_do_not_add_up),
        TEST(test_search_for_a_large_thread_is_small),
    };

    transcript_vault_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
