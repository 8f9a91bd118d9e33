/* What a transcript cannot show: pauses, bounds, and a disk that fails. */
#include "pop3/engine.h"

#include "imap/transcript_vault.h"
#include "vault/state.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

static const int64_t NOW_MS = INT64_C(1795323600000);
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = -1, .role = "test"};
static struct transcript_vault *home;
static unsigned vault_uses;

static void count_use(void *owner, int64_t now_ms)
{
    (void)now_ms;
    ++*(unsigned *)owner;
}

static struct pop3_session *connect(void)
{
    struct pop3_options options = {.hostname = STR("mail.example"),
                                   .is_secure = true,
                                   .is_tls = true,
                                   .log = &quiet,
                                   .before_vault = count_use,
                                   .owner = &vault_uses};

    return pop3_session_resume_authenticated(&options, transcript_vault(home), NOW_MS);
}

static void say(struct pop3_session *s, const char *text)
{
    pop3_session_input(s, str_from_c(text), NOW_MS);
}

/* All that comes until the session waits for input, taken a piece at a time. */
static void hear(struct pop3_session *s, struct buf *out, size_t piece, size_t *out_highest)
{
    for (;;) {
        struct str output = pop3_session_output(s);
        enum pop3_want want;

        if (out_highest != NULL && output.len > *out_highest)
            *out_highest = output.len;
        output = str_upto(output, piece);
        buf_put(out, output);
        pop3_session_consume_output(s, output.len);
        want = pop3_session_wants(s);
        if (want == POP3_WANTS_TURN || want == POP3_WANTS_ROOM)
            pop3_session_resume(s, NOW_MS);
        else if (pop3_session_output(s).len == 0)
            return;
    }
}

static void expect(struct pop3_session *s, const char *text, const char *answer)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    say(s, text);
    hear(s, &out, SIZE_MAX, NULL);
    if (!str_starts_with(buf_str(&out), str_from_c(answer)))
        fail_msg("%s: %.*s", text, STR_ARG(buf_str(&out)));
    buf_free(&out);
}

static void append(struct str raw)
{
    struct vault_append append = {.raw = raw, .internal_date_ms = NOW_MS};
    struct vault *vault = transcript_vault(home);
    struct task task;
    int64_t inbox;
    uint32_t uid;

    task_init(&task, NOW_MS);
    assert_int_equal(vault_folder_id(vault, &task, STR("INBOX"), &inbox), ERR_OK);
    assert_int_equal(vault_message_append(vault, &task, inbox, &append, &uid), ERR_OK);
    task_done(&task);
}

static void append_large(struct buf *message, size_t size)
{
    buf_put(message, STR("Subject: large\r\n\r\n"));
    for (uint32_t i = 0; message->len < size; i++)
        buf_putf(message, "line %u of a large message %u\r\n", i, i * 2654435761u);
    append(buf_str(message));
}

/* A client that takes little at a time: the output stays bounded, and so does what it sends. */
static void test_retr_streams(void **state)
{
    (void)state;
    struct pop3_session *s;
    struct buf message, out;
    size_t highest = 0;
    struct str sent;

    buf_init(&message, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    append_large(&message, 3000000);
    s = connect();
    expect(s, "", "+OK Logged in, 1 messages.\r\n");
    say(s, "RETR 1\r\nRETR 1\r\nNOOP\r\n");
    assert_int_equal(pop3_session_wants(s), POP3_WANTS_ROOM);
    assert_false(pop3_session_is_input_full(s));
    for (size_t i = 0; i < POP3_PENDING_MAX / 16; i++)
        say(s, "NOOP\r\nNOOP\r\nNO\r\n");
    assert_true(pop3_session_is_input_full(s));
    hear(s, &out, 10000, &highest);
    assert_true(highest < POP3_OUTPUT_HIGH + 3 * POP3_PIECE_BYTES);
    sent = str_from(buf_str(&out), (size_t)str_index(buf_str(&out), '\n') + 1);
    assert_true(str_equal(str_upto(sent, message.len), buf_str(&message)));
    sent = str_from(sent, message.len);
    assert_true(str_starts_with(sent, STR(".\r\n+OK ")));
    assert_true(str_ends_with(sent, STR("\r\n-ERR Unknown command.\r\n")));
    assert_false(pop3_session_is_input_full(s));
    /* Idle, it keeps no buffers. */
    assert_null(s->out.start);
    assert_null(s->reader.in.start);
    assert_null(s->piece.start);
    pop3_session_free(&s);
    buf_free(&message);
    buf_free(&out);
}

/* A header too long to be read at once is sent in ASCII all the same; `last` is its last field. */
static void check_long_header(const char *last, const char *last_sent)
{
    struct pop3_session *s;
    struct buf message, surrogate, out;

    buf_init(&message, SIZE_MAX);
    buf_init(&surrogate, SIZE_MAX);
    buf_put(&message, STR("Received: by y with UTF8SMTP\r\nSubject: gr\xc3\xbc\r\n"));
    buf_put(&surrogate, STR("Received: by y with UTF8SMTP\r\nSubject: =?UTF-8?B?Z3LDvA==?=\r\n"));
    for (unsigned i = 0; message.len < 3 * POP3_SURROGATE_HEADER_MAX; i++) {
        buf_putf(&message, "X-%u: a field that is ASCII\r\n", i);
        buf_putf(&surrogate, "X-%u: a field that is ASCII\r\n", i);
    }
    buf_putf(&message, "%s\r\n\r\n.\xc3\xbc\r\n", last);
    buf_putf(&surrogate, "%s\r\n\r\n..\xc3\xbc\r\n.\r\n", last_sent);
    append(buf_str(&message));
    for (int is_top = 0; is_top < 2; is_top++) {
        buf_init(&out, SIZE_MAX);
        s = connect();
        expect(s, "", "+OK Logged in");
        say(s, is_top ? "TOP 1 1\r\n" : "RETR 1\r\n");
        hear(s, &out, SIZE_MAX, NULL);
        assert_true(str_starts_with(buf_str(&out), STR("+OK In ASCII")));
        assert_true(str_equal(str_from(buf_str(&out), (size_t)str_index(buf_str(&out), '\n') + 1),
                              buf_str(&surrogate)));
        pop3_session_free(&s);
        buf_free(&out);
    }
    buf_free(&message);
    buf_free(&surrogate);
}

static void test_a_long_header(void **state)
{
    (void)state;
    check_long_header("X-A: \xc3\xbc", "X-A: ??");
}

/* It may not be valid UTF-8 in the end: of what was sent nothing can be taken back. */
static void test_a_long_header_in_latin1(void **state)
{
    (void)state;
    check_long_header("X-A: \xfc", "X-A: ?");
}

/* What did not come with SMTPUTF8 is sent as it came, however long its header is. */
static void test_a_long_header_of_old(void **state)
{
    struct pop3_session *s;
    struct buf message, out;

    (void)state;
    buf_init(&message, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    buf_put(&message, STR("Received: by y with ESMTP\r\nSubject: gr\xc3\xbc\r\n"));
    while (message.len < 3 * POP3_SURROGATE_HEADER_MAX)
        buf_put(&message, STR("X-A: \xc3\xbc \xfc\r\n"));
    buf_put(&message, STR("\r\nbody\r\n"));
    append(buf_str(&message));
    s = connect();
    expect(s, "", "+OK Logged in");
    say(s, "RETR 1\r\n");
    hear(s, &out, SIZE_MAX, NULL);
    buf_consume(&out, (size_t)str_index(buf_str(&out), '\n') + 1);
    buf_put(&message, STR(".\r\n"));
    assert_true(str_equal(buf_str(&out), buf_str(&message)));
    pop3_session_free(&s);
    buf_free(&message);
    buf_free(&out);
}

/* A client that sends many commands without reading the answers gives others their turn. */
static void test_commands_give_way(void **state)
{
    (void)state;
    struct pop3_session *s = connect();
    struct buf input, out;
    unsigned turns = 0, answers = 0;

    buf_init(&input, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    for (unsigned i = 0; i < 2000; i++)
        buf_put(&input, STR("NOOP\r\n"));
    pop3_session_input(s, buf_str(&input), NOW_MS);
    while (pop3_session_wants(s) == POP3_WANTS_TURN) {
        turns++;
        pop3_session_resume(s, NOW_MS);
    }
    assert_true(turns >= 3);
    hear(s, &out, SIZE_MAX, NULL);
    for (size_t i = 0; i < out.len; i++)
        answers += out.ptr[i] == '\n';
    assert_int_equal(answers, 2001);
    pop3_session_free(&s);
    buf_free(&input);
    buf_free(&out);
}

/* As an older version left them. */
static void forget_octets(void)
{
    struct task task;

    task_init(&task, NOW_MS);
    assert_int_equal(
        db_execute(transcript_vault(home)->db, &task, "UPDATE message SET line_end_octets = NULL"),
        ERR_OK);
    task_done(&task);
}

/* Messages from before octets were counted at arrival: counted at login, in turns, and kept. */
static void test_octets_are_counted_once(void **state)
{
    (void)state;
    struct pop3_session *s;
    struct buf message;
    unsigned turns = 0, uses;

    buf_init(&message, SIZE_MAX);
    append(STR("A: b\n\nx"));
    append_large(&message, 9000000);
    s = connect();
    expect(s, "LIST 1\r\n", "+OK Logged in, 2 messages.\r\n+OK 1 11\r\n");
    forget_octets();
    pop3_session_free(&s);

    /* A client that waits for the answer to its login, as most do, gets it. */
    s = connect();
    assert_int_equal(pop3_session_wants(s), POP3_WANTS_TURN);
    expect(s, "", "+OK Logged in, 2 messages.\r\n");
    expect(s, "LIST 1\r\n", "+OK 1 11\r\n");
    pop3_session_free(&s);
    forget_octets();

    uses = vault_uses;
    s = connect();
    say(s, "STAT\r\nLIST 1\r\n");
    while (pop3_session_wants(s) == POP3_WANTS_TURN) {
        turns++;
        pop3_session_resume(s, NOW_MS);
    }
    assert_true(turns >= 2);
    assert_int_equal(vault_uses, uses + 2);
    expect(s, "", "+OK Logged in, 2 messages.\r\n+OK 2 ");
    pop3_session_free(&s);
    s = connect();
    assert_int_equal(pop3_session_wants(s), POP3_WANTS_INPUT);
    expect(s, "LIST 1\r\n", "+OK Logged in, 2 messages.\r\n+OK 1 11\r\n");
    pop3_session_free(&s);
    buf_free(&message);
}

/* One message that cannot be read does not hide the others. */
static void test_a_damaged_message(void **state)
{
    (void)state;
    struct pop3_session *s;
    struct task task;

    append(STR("A: b\r\n\r\none\r\n"));
    append(STR("A: b\r\n\r\ntwo\n"));
    task_init(&task, NOW_MS);
    assert_int_equal(db_execute(transcript_vault(home)->db, &task,
                                "UPDATE part SET bytes = x'00' WHERE key = (SELECT min(key) FROM "
                                "part)"),
                     ERR_OK);
    task_done(&task);
    for (int i = 0; i < 2; i++) {
        s = connect();
        expect(s, "LIST\r\n", "+OK Logged in, 2 messages.\r\n+OK 2 messages\r\n1 13\r\n2 13\r\n.");
        expect(s, "RETR 2\r\n", "+OK 13 octets\r\nA: b\r\n\r\ntwo\r\n.\r\n");
        expect(s, "RETR 1\r\n", "-ERR [SYS/PERM] The stored data is damaged");
        expect(s, "TOP 1 0\r\n", "-ERR [SYS/PERM] The stored data is damaged");
        expect(s, "NOOP\r\n", "+OK");
        pop3_session_free(&s);
        forget_octets();
    }
}

/* Damage in the middle ends the session: without its dot nobody takes the message for whole. */
static void test_damage_in_the_middle(void **state)
{
    (void)state;
    struct pop3_session *s;
    struct buf message, out;
    struct task task;

    buf_init(&message, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    append_large(&message, 3000000);
    task_init(&task, NOW_MS);
    assert_int_equal(db_execute(transcript_vault(home)->db, &task,
                                "UPDATE part SET bytes = x'00' WHERE key = (SELECT max(key) FROM "
                                "part)"),
                     ERR_OK);
    task_done(&task);
    s = connect();
    say(s, "RETR 1\r\nNOOP\r\n");
    hear(s, &out, SIZE_MAX, NULL);
    assert_int_equal(pop3_session_wants(s), POP3_WANTS_CLOSE);
    assert_true(out.len > 1000000 && out.len < message.len);
    assert_true(str_find(buf_str(&out), STR("\r\n.\r\n")) < 0);
    assert_true(str_find(buf_str(&out), STR("-ERR")) < 0);
    pop3_session_free(&s);
    buf_free(&message);
    buf_free(&out);
}

/* A maildrop that cannot be listed: the login is answered so, and the session is over. */
static void test_a_login_that_fails(void **state)
{
    (void)state;
    struct pop3_session *s;
    struct task task;

    task_init(&task, NOW_MS);
    assert_int_equal(
        db_execute(transcript_vault(home)->db, &task, "ALTER TABLE given_uidl RENAME TO gone"),
        ERR_OK);
    task_done(&task);
    s = connect();
    assert_true(str_starts_with(pop3_session_output(s), STR("-ERR [SYS/")));
    say(s, "STAT\r\n");
    assert_int_equal(pop3_session_wants(s), POP3_WANTS_CLOSE);
    assert_true(str_ends_with(pop3_session_output(s), STR(".\r\n")));
    pop3_session_free(&s);
}

/* QUIT on a disk that takes nothing: told so, and nothing is deleted. */
static void test_quit_on_a_full_disk(void **state)
{
    (void)state;
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = RLIM_INFINITY};
    struct rlimit before;
    struct pop3_session *s;

    append(STR("A: b\r\n\r\none\r\n"));
    append(STR("A: b\r\n\r\ntwo\r\n"));
    s = connect();
    expect(s, "DELE 1\r\nDELE 2\r\n", "+OK Logged in, 2 messages.\r\n+OK Marked.\r\n+OK");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    expect(s, "QUIT\r\n", "-ERR [SYS/TEMP] Nothing was deleted, try again later.\r\n");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(pop3_session_wants(s), POP3_WANTS_CLOSE);
    pop3_session_free(&s);
    s = connect();
    vault_uses = 0;
    expect(s, "DELE 1\r\nQUIT\r\n", "+OK Logged in, 2 messages.\r\n+OK Marked.\r\n+OK Bye.\r\n");
    assert_int_equal(vault_uses, 1);
    pop3_session_free(&s);
    s = connect();
    expect(s, "", "+OK Logged in, 1 messages.\r\n");
    pop3_session_free(&s);
}

static int set_up(void **state)
{
    (void)state;
    home = transcript_vault_new(&quiet);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    transcript_vault_free(&home);
    return 0;
}

/* Behind the vault's back: what is told right was read before. */
static void damage_contents(void)
{
    struct task task;

    task_init(&task, NOW_MS);
    assert_int_equal(db_execute(transcript_vault(home)->db, &task, "UPDATE part SET bytes = x'00'"), ERR_OK);
    task_done(&task);
}

/* Messages 1 to 5; number 4 is not prepared. */
static void append_five(void)
{
    struct buf large;

    buf_init(&large, SIZE_MAX);
    append(STR("A: b\r\n\r\none\r\n"));
    append(STR("A: b\r\n\r\ntwo\r\n"));
    append(STR("A: b\r\n\r\n.three\n\n.\n"));
    append_large(&large, POP3_AHEAD_BYTES + 1);
    append(STR("Received: by a with UTF8SMTP; now\r\nA: \xc3\xbc\r\n\r\nfive\r\n"));
    buf_free(&large);
}

#define THREE "+OK 21 octets\r\nA: b\r\n\r\n..three\r\n\r\n..\r\n.\r\n"
#define FIVE "+OK In ASCII"

/* Behind two messages in a row the answer to the next is there before it is asked for, and is the same. */
static void test_the_next_message_is_prepared(void **state)
{
    static const struct {
        const char *before; /* the contents are damaged */
        const char *then;
        int64_t later_ms;
        const char *answer;
    } rows[] = {
        {"RETR 1\r\nRETR 2\r\n", "RETR 3\r\n", 0, THREE},
        {"RETR 1\r\nRETR 2\r\nDELE 1\r\nNOOP\r\n", "RETR 3\r\n", POP3_AHEAD_MS - 1, THREE},
        {"RETR 1\r\nRETR 2\r\n", "NOOP\r\nRETR 3\r\n", 0, "+OK Nothing done.\r\n" THREE},
        {"RETR 4\r\n", "RETR 5\r\n", 0, "-ERR"},
        {"RETR 3\r\nRETR 4\r\n", "RETR 5\r\n", 0, FIVE},
        {"RETR 1\r\nRETR 2\r\n", "RETR 3\r\n", POP3_AHEAD_MS, "-ERR"}, /* too old */
        {"RETR 1\r\nRETR 2\r\n", "TOP 3 0\r\nRETR 3\r\n", 0, "-ERR"},
        {"RETR 1\r\nRETR 2\r\n", "RETR 1\r\nRETR 3\r\n", 0, "-ERR"}, /* another one */
        {"RETR 2\r\nRETR 3\r\n", "RETR 4\r\n", 0, "-ERR"},           /* it is large */
        {"RETR 4\r\nRETR 5\r\n", "RETR 6\r\n", 0, "-ERR There is no such"},
        {"DELE 3\r\nRETR 1\r\nRETR 2\r\n", "RETR 3\r\n", 0, "-ERR"},
        {"RETR 1\r\nRETR 2\r\nDELE 3\r\n", "RETR 3\r\n", 0, "-ERR"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pop3_session *s;
        struct buf out;

        tear_down(state);
        set_up(state);
        append_five();
        s = connect();
        expect(s, rows[i].before, "+OK");
        damage_contents();
        buf_init(&out, SIZE_MAX);
        pop3_session_input(s, str_from_c(rows[i].then), NOW_MS + rows[i].later_ms);
        hear(s, &out, SIZE_MAX, NULL);
        if (!str_starts_with(buf_str(&out), str_from_c(rows[i].answer)))
            fail_msg("row %zu: %.*s", i, STR_ARG(buf_str(&out)));
        buf_free(&out);
        pop3_session_free(&s);
    }
}

/* As soon as the client's answer was taken, all of it; that costs the session no turn. */
static void test_the_next_message_waits_for_the_answer(void **state)
{
    (void)state;
    struct pop3_session *s;

    append_five();
    s = connect();
    expect(s, "RETR 1\r\n", "+OK");
    say(s, "RETR 2\r\n");
    assert_int_equal(pop3_session_wants(s), POP3_WANTS_INPUT);
    pop3_session_consume_output(s, pop3_session_output(s).len - 1);
    assert_false(s->ahead.is_ready);
    pop3_session_consume_output(s, 1);
    assert_true(s->ahead.is_ready);
    assert_int_equal(pop3_session_wants(s), POP3_WANTS_INPUT);
    assert_int_equal(pop3_session_output(s).len, 0);
    expect(s, "RETR 3\r\n", THREE);
    pop3_session_free(&s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_retr_streams),
        TEST(test_a_long_header),
        TEST(test_a_long_header_in_latin1),
        TEST(test_a_long_header_of_old),
        TEST(test_commands_give_way),
        TEST(test_octets_are_counted_once),
        TEST(test_a_damaged_message),
        TEST(test_damage_in_the_middle),
        TEST(test_a_login_that_fails),
        TEST(test_quit_on_a_full_disk),
        TEST(test_the_next_message_is_prepared),
        TEST(test_the_next_message_waits_for_the_answer),
    };

    transcript_vault_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
