/* Clients before, at and after their login, and who leaves whom (gate_fixture.h). */
#include "role/gate_fixture.h"

#include "base/clock.h"
#include "mailauth/sign.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void a_session_is_carried(void **state)
{
    struct fixture *f = *state;
    struct fixture_session s = fixture_log_in(f);

    fixture_say(s.stream, "a OK welcome\r\n");
    fixture_expect(s.client, "a OK welcome\r\n");
    fixture_say(s.client, "c SELECT INBOX\r\n");
    fixture_expect(s.stream, "c SELECT INBOX\r\n");
    /* What the client says last still arrives, though it goes at once. */
    fixture_say(s.client, "d LOGOUT\r\n");
    close(s.client);
    fixture_expect(s.stream, "d LOGOUT\r\n");
    fixture_expect_end(s.stream);
    fixture_hear_close(f, &s.id);
}

/* `printf '...' | nc -N`: the commands come with the end of the input behind them. */
static void a_half_closed_client_gets_its_answers(void **state)
{
    struct fixture *f = *state;
    struct fixture_session s = fixture_log_in(f);

    fixture_say(s.client, "c SELECT INBOX\r\n");
    shutdown(s.client, SHUT_WR);
    fixture_expect(s.stream, "c SELECT INBOX\r\n");
    assert_int_equal(recv(s.stream, &(char){0}, 1, 0), 0);
    /* The mailbox process answers, and is not said to be missing when it has. */
    fixture_say(s.stream, "a OK welcome\r\nb OK done\r\nc OK selected\r\n");
    close(s.stream);
    fixture_expect(s.client, "c OK selected\r\n");
    fixture_expect_end(s.client);
    fixture_hear_close(f, &s.id);
    /* Before login, too. */
    s.client = fixture_client(f);
    fixture_say(s.client, "a CAPABILITY\r\nb NOOP\r\n");
    shutdown(s.client, SHUT_WR);
    fixture_expect(s.client, "b OK");
    fixture_expect(s.client, "\r\n");
    fixture_expect_end(s.client);
}

#define LOST "* BYE [UNAVAILABLE] the mailbox is not available just now\r\n"

/* The last words come in pieces where there is a "|", each heard before the next. */
static void say_and_hear(int stream, const char *words, int client, const char *heard)
{
    const char *bar = strchr(words, '|');
    char piece[100];

    if (bar != NULL) {
        snprintf(piece, sizeof(piece), "%.*s", (int)(bar - words), words);
        fixture_say(stream, piece);
        fixture_expect(client, piece);
        words = bar + 1;
        heard = strchr(heard, '|') + 1;
    }
    fixture_say(stream, words);
    close(stream);
    fixture_expect(client, heard);
}

/* The command, too, comes in pieces where a "|" stands for its space. */
static void ask_in_pieces(int client, const char *command, int stream)
{
    const char *bar = strchr(command, '|');
    char piece[100];

    if (bar != NULL) {
        snprintf(piece, sizeof(piece), "%.*s ", (int)(bar - command), command);
        fixture_say(client, piece);
        fixture_expect(stream, piece);
        command = bar + 1;
    }
    fixture_say(client, command);
    fixture_expect(stream, command);
}

static void the_end_of_a_mailbox_process_is_told(void **state)
{
    static const struct {
        const char *asked;      /* by the client */
        const char *last_words; /* of the mailbox process */
        const char *heard;
    } rows[] = {
        {"b NOOP\r\n", "* 3 EXISTS\r\n", "* 3 EXISTS\r\n" LOST},
        {"b NOOP\r\n", "* BYE Logging out.\r\na OK done\r\n",
         "* BYE Logging out.\r\na OK done\r\n"},
        {"b NOOP\r\n", "* 3 EXISTS\r\n* B|YE Logging out.\r\n",
         "* 3 EXISTS\r\n* B|YE Logging out.\r\n"},
        {"b NOOP\r\n", "* 1 FETCH (BODY[] {100}\r\nhalf a line", "half a line"},
        /* nothing in plain among what is compressed */
        {"b COMPRESS DEFLATE\r\n", "b OK DEFLATE active.\r\n\x01\x02\n", "\x01\x02\n"},
        {"b Compress|deflate\r\n", "b OK DEFL|ATE active.\r\n\x01\x02\n",
         "b OK DEFL|ATE active.\r\n\x01\x02\n"},
        {"b COMPRESS DEFLATE\r\n\x03\n", "b OK DEFLATE active.\r\n\x01\x02\n", "\x01\x02\n"},
        /* a message that says so starts nothing */
        {"b FETCH 1 BODY[]\r\n", " OK DEFLATE active.\r\n)\r\n",
         " OK DEFLATE active.\r\n)\r\n" LOST},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture_session s = fixture_log_in(f);

        ask_in_pieces(s.client, rows[i].asked, s.stream);
        say_and_hear(s.stream, rows[i].last_words, s.client, rows[i].heard);
        fixture_expect_end(s.client);
        fixture_hear_close(f, &s.id);
    }
}

static void a_refusal_waits_as_long_as_it_is_told(void **state)
{
    struct fixture *f = *state;
    struct wire_login_reply login = {.status = WIRE_DENIED, .delay_ms = 200};
    struct wire_message *message;
    int client = fixture_client(f);
    int64_t before_ms;

    for (int i = 0; i < 2; i++) {
        fixture_say(client, "a LOGIN alice@demo.test wrong\r\n");
        message = fixture_hear(f, f->keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
        before_ms = clock_monotonic_ms();
        role_trial_send(f->keeper, WIRE_LOGIN_REPLY, message->tag, &login, NULL, 0);
        fixture_expect(client, "a NO [AUTHENTICATIONFAILED]");
        assert_in_range(clock_monotonic_ms() - before_ms, 195, 2000);
        login.status = WIRE_THROTTLED; /* is told what DENIED is told */
    }
    close(client);
}

/* The client gives the right password; what the keeper is asked. */
static struct wire_message *ask_to_log_in(struct fixture *f, int client, const char *tag)
{
    char words[64];

    (void)snprintf(words, sizeof(words), "%s LOGIN alice@demo.test right\r\n", tag);
    fixture_say(client, words);
    return fixture_hear(f, f->keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
}

/* The store is asked for the session, and the mailbox does not open. */
static void refuse_to_open(struct fixture *f)
{
    struct wire_session_open_reply open = {.status = WIRE_UNAVAILABLE};
    struct wire_message *message = fixture_hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);

    close(message->fds[0]);
    role_trial_send(f->store, WIRE_SESSION_OPEN_REPLY, message->tag, &open, NULL, 0);
}

static void without_its_peers_it_answers(void **state)
{
    struct fixture *f = *state;
    struct wire_login_reply login = {.status = WIRE_OK, .mailbox = id_random()};
    struct wire_message *message;
    int client = fixture_client(f);
    struct id session;

    /* The mailbox does not open: the session that the keeper keeps is closed. */
    message = ask_to_log_in(f, client, "a");
    session = message->body.login.session;
    role_trial_send(f->keeper, WIRE_LOGIN_REPLY, message->tag, &login, NULL, 0);
    refuse_to_open(f);
    refuse_to_open(f); /* its process may just have died: it is asked for once more */
    fixture_expect(client, "a NO [UNAVAILABLE]");
    fixture_hear_close(f, &session);
    /* The keeper dies before it answers, and no other comes. */
    (void)ask_to_log_in(f, client, "b");
    close(f->keeper);
    fixture_expect(client, "b NO [UNAVAILABLE]");
    f->keeper = role_trial_connect(&f->process, WIRE_ROLE_KEEPER);
    close(client);
}

/* A new keeper is asked what the old one was; a new store likewise, without another login. */
static void a_login_waits_for_a_peer_that_restarts(void **state)
{
    struct fixture *f = *state;
    struct wire_login_reply login = {.status = WIRE_OK, .mailbox = id_random()};
    struct wire_session_open_reply open = {.status = WIRE_OK};
    struct wire_message *message;
    int client = fixture_client(f), stream;
    struct id session;

    (void)ask_to_log_in(f, client, "a");
    close(f->keeper);
    f->keeper = role_trial_connect(&f->process, WIRE_ROLE_KEEPER);
    message = fixture_hear(f, f->keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
    assert_true(str_equal(message->body.login.password, STR("right")));
    session = message->body.login.session;
    close(f->store);
    role_trial_send(f->keeper, WIRE_LOGIN_REPLY, message->tag, &login, NULL, 0);
    f->store = role_trial_connect(&f->process, WIRE_ROLE_STORE);
    message = fixture_hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    close(message->fds[0]);
    close(f->store); /* this one dies with the question */
    f->store = role_trial_connect(&f->process, WIRE_ROLE_STORE);
    message = fixture_hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    assert_true(id_equal(&message->body.session_open.session, &session));
    stream = message->fds[0];
    role_trial_send(f->store, WIRE_SESSION_OPEN_REPLY, message->tag, &open, NULL, 0);
    fixture_say(stream, "a OK welcome\r\n");
    fixture_expect(client, "a OK welcome\r\n");
    close(client);
    close(stream);
}

static void a_trickle_does_not_hold_the_deadline(void **state)
{
    struct fixture f;
    int64_t before_ms;
    int client;

    (void)state;
    fixture_start(&f, "login_timeout = 600ms\n");
    before_ms = clock_monotonic_ms();
    client = fixture_client(&f);
    fixture_expect(client, "\r\n");
    while (clock_monotonic_ms() < before_ms + 500) {
        fixture_say(client, "x");
        usleep(50 * 1000);
    }
    fixture_expect(client, "* BYE");
    fixture_expect(client, "\r\n");
    assert_in_range(clock_monotonic_ms() - before_ms, 590, 3000);
    fixture_expect_end(client);
    fixture_stop(&f);
}

/* The time is up while the keeper is being asked: a session that it may keep by now is closed. */
static void the_deadline_leaves_no_session_behind(void **state)
{
    struct fixture f;
    struct id session;
    int client;

    (void)state;
    fixture_start(&f, "plain_login_on_loopback = yes\nlogin_timeout = 200ms\n");
    client = fixture_client(&f);
    fixture_expect(client, "\r\n");
    session = ask_to_log_in(&f, client, "a")->body.login.session;
    fixture_expect_end(client);
    (void)fixture_hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_SESSION_CLOSE);
    assert_true(id_equal(&f.message.body.session_close.session, &session));
    fixture_stop(&f);
}

static void who_does_not_read_blocks_nobody(void **state)
{
    static char chunk[64 * 1024];
    struct fixture *f = *state;
    struct fixture_session slow = fixture_log_in(f), quick = fixture_log_in(f);
    size_t taken = 0;

    memset(chunk, 'x', sizeof(chunk));
    /* All that the sockets and the gate's bounded buffers take, and not more. */
    for (int idle = 0; idle < 20;) {
        ssize_t sent = send(slow.stream, chunk, sizeof(chunk), MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent > 0) {
            taken += (size_t)sent;
            idle = 0;
        } else {
            idle++;
            usleep(10 * 1000);
        }
        assert_true(taken < 64 * 1024 * 1024);
    }
    fixture_say(quick.stream, "* 1 EXISTS\r\n");
    fixture_expect(quick.client, "* 1 EXISTS\r\n");
    fixture_say(quick.client, "b NOOP\r\n");
    fixture_expect(quick.stream, "b NOOP\r\n");
    /* It reads after all: everything is there. */
    while (taken > 0) {
        ssize_t got = recv(slow.client, chunk, sizeof(chunk), 0);

        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++)
            assert_int_equal(chunk[i], 'x');
        taken -= (size_t)got;
    }
    close(slow.client);
    close(quick.client);
    close(slow.stream);
    close(quick.stream);
}

static void connections_are_limited(void **state)
{
    struct fixture f;
    int clients[4];

    (void)state;
    fixture_start(&f, "loopback_is_foreign = yes\nconnections_per_address_max = 2\n"
                      "connections_max = 3\n");
    for (size_t i = 0; i < 2; i++) {
        clients[i] = fixture_client(&f);
        fixture_expect(clients[i], "* OK");
    }
    clients[2] = fixture_client(&f);
    fixture_expect(clients[2], "* BYE too many connections, try again later");
    fixture_expect(clients[2], "\r\n");
    fixture_expect_end(clients[2]);
    /* One goes, another may come. */
    close(clients[0]);
    usleep(200 * 1000);
    clients[0] = fixture_client(&f);
    fixture_expect(clients[0], "* OK");
    close(clients[0]);
    close(clients[1]);
    fixture_stop(&f);
}

static void a_stop_says_bye_to_those_before_login(void **state)
{
    struct fixture *f = *state;
    struct fixture_session s = fixture_log_in(f);
    int waiting = fixture_client(f);

    fixture_expect(waiting, "\r\n");
    role_trial_ask_stop(&f->process);
    fixture_expect(waiting, "* BYE");
    fixture_expect(waiting, "\r\n");
    fixture_expect_end(waiting);
    /* The session goes on until its mailbox process ends it. */
    fixture_say(s.client, "b NOOP\r\n");
    fixture_expect(s.stream, "b NOOP\r\n");
    fixture_say(s.stream, "* BYE the server stops\r\n");
    close(s.stream);
    fixture_expect(s.client, "* BYE the server stops\r\n");
    fixture_expect_end(s.client);
    fixture_await_end(f);
}

/* The same for POP3, but that nothing is said unasked. */
static void pop3_is_carried(void **state)
{
    struct fixture *f = *state;
    struct wire_login_reply login = {.status = WIRE_DENIED};
    struct wire_session_open_reply open = {.status = WIRE_OK};
    struct wire_message *message;
    int client = fixture_client_at(&f->pop3_address), stream;
    struct id session;

    fixture_expect(client, "+OK localhost Sealpost is ready.\r\n");
    for (int i = 0; i < 2; i++) {
        fixture_say(client, "USER alice@demo.test\r\nPASS pass word\r\nSTAT\r\n");
        message = fixture_hear(f, f->keeper, WIRE_ROLE_KEEPER, WIRE_LOGIN);
        assert_int_equal(message->body.login.service, WIRE_SERVICE_POP3);
        assert_true(str_equal(message->body.login.username, STR("alice@demo.test")));
        assert_true(str_equal(message->body.login.password, STR("pass word")));
        session = message->body.login.session;
        role_trial_send(f->keeper, WIRE_LOGIN_REPLY, message->tag, &login, NULL, 0);
        fixture_expect(client, i == 0 ? "-ERR [AUTH] Authentication failed.\r\n-ERR" : "+OK");
        login = (struct wire_login_reply){.status = WIRE_OK, .mailbox = id_random()};
    }
    message = fixture_hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    assert_int_equal(message->body.session_open.service, WIRE_SERVICE_POP3);
    assert_true(str_equal(message->body.session_open.input, STR("STAT\r\n")));
    stream = message->fds[0];
    assert_int_equal(fcntl(stream, F_SETFL, 0), 0);
    role_trial_send(f->store, WIRE_SESSION_OPEN_REPLY, message->tag, &open, NULL, 0);
    fixture_say(stream, "+OK Logged in\r\n+OK 0 0\r\n");
    fixture_expect(client, "\r\n+OK Logged in\r\n+OK 0 0\r\n");
    fixture_say(client, "RETR 1\r\n");
    fixture_expect(stream, "RETR 1\r\n");
    close(stream); /* the mailbox process dies: the client finds the end, and no words */
    fixture_expect_end(client);
    fixture_hear_close(f, &session);
    client = fixture_client_at(&f->pop3_address);
    fixture_expect(client, "+OK");
    fixture_expect(client, "\r\n");
    fixture_stop(f);
    fixture_expect_end(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST_PLAIN(a_session_is_carried),
        FIXTURE_TEST_PLAIN(a_half_closed_client_gets_its_answers),
        FIXTURE_TEST_PLAIN(the_end_of_a_mailbox_process_is_told),
        FIXTURE_TEST_PLAIN(a_refusal_waits_as_long_as_it_is_told),
        FIXTURE_TEST_PLAIN(without_its_peers_it_answers),
        FIXTURE_TEST_PLAIN(a_login_waits_for_a_peer_that_restarts),
        cmocka_unit_test(a_trickle_does_not_hold_the_deadline),
        cmocka_unit_test(the_deadline_leaves_no_session_behind),
        FIXTURE_TEST_PLAIN(who_does_not_read_blocks_nobody),
        cmocka_unit_test(connections_are_limited),
        FIXTURE_TEST_PLAIN(a_stop_says_bye_to_those_before_login),
        FIXTURE_TEST_PLAIN(pop3_is_carried),
    };

    return cmocka_run_group_tests(tests, fixture_set_up, NULL);
}
