/* Sessions that sleep: what the gate keeps of them, and who wakes them (gate_fixture.h). */
#include "base/memory.h"
#include "net/compress.h"
#include "role/gate_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

/* The mailbox process, through the store, offers a state; the gate's answer. */
static uint64_t offer_as(struct fixture *f, struct wire_session_hibernate body)
{
    const struct wire_session_hibernate_reply *reply;

    body.mailbox = f->mailbox;
    body.state = STR("where it stopped");
    role_trial_send(f->store, WIRE_SESSION_HIBERNATE, f->tag, &body, NULL, 0);
    reply = &fixture_hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_HIBERNATE_REPLY)
                 ->body.session_hibernate_reply;
    assert_true(id_equal(&reply->session, &body.session));
    assert_true(id_equal(&reply->mailbox, &f->mailbox));
    return reply->status;
}

/* `consumed_bytes`, `said_bytes`: of the stream. */
static uint64_t offer(struct fixture *f, const struct id *session, uint64_t consumed_bytes,
                      uint64_t said_bytes)
{
    return offer_as(f, (struct wire_session_hibernate){.session = *session,
                                                       .consumed_bytes = consumed_bytes,
                                                       .said_bytes = said_bytes});
}

static uint64_t offer_compressed(struct fixture *f, const struct id *session,
                                 uint64_t consumed_bytes, uint64_t said_bytes)
{
    return offer_as(f, (struct wire_session_hibernate){.session = *session,
                                                       .consumed_bytes = consumed_bytes,
                                                       .said_bytes = said_bytes,
                                                       .is_compressed = true});
}

static void wake(struct fixture *f, const struct id *session, enum wire_status status)
{
    struct wire_session_wake body = {.session = *session, .mailbox = f->mailbox, .status = status};

    role_trial_send(f->store, WIRE_SESSION_WAKE, f->tag, &body, NULL, 0);
}

/* The gate opens the session again; the new process's end of the stream. */
static int hear_resume(struct fixture *f, const struct id *session, bool is_restless)
{
    struct wire_message *message = fixture_hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN);
    const struct wire_session_open *body = &message->body.session_open;
    struct wire_session_open_reply reply = {.status = WIRE_OK};

    assert_true(id_equal(&body->session, session));
    assert_true(id_equal(&body->mailbox, &f->mailbox));
    assert_true(str_equal(body->pass, STR(FIXTURE_PASS)));
    assert_true(str_equal(body->state, STR("where it stopped")));
    assert_int_equal(body->is_restless, is_restless);
    assert_int_equal(message->fd_count, 1);
    assert_int_equal(message->tag, f->tag);
    assert_int_equal(fcntl(message->fds[0], F_SETFL, 0), 0);
    role_trial_send(f->store, WIRE_SESSION_OPEN_REPLY, f->tag, &reply, NULL, 0);
    return message->fds[0];
}

/* Until the gate has nothing left to do: it answers a client that comes now. */
static void let_settle(struct fixture *f)
{
    int client = fixture_client(f);

    fixture_expect(client, "\r\n");
    fixture_say(client, "z NOOP\r\n");
    fixture_expect(client, "z OK");
    close(client);
}

static void a_client_sleeps_and_goes_on(void **state)
{
    struct fixture *f = *state;
    struct fixture_session s = fixture_log_in(f);

    fixture_say(s.client, "c SELECT INBOX\r\n");
    fixture_expect(s.stream, "c SELECT INBOX\r\n");
    assert_int_equal(offer(f, &s.id, 15, 0), WIRE_UNAVAILABLE); /* it sent 16 */
    fixture_say(s.stream, "c OK selected\r\n");
    assert_int_equal(offer(f, &s.id, 16, 27), WIRE_OK);
    /* What the process had said comes before the end of its stream, and is no loss. */
    fixture_say(s.stream, "* 3 EXISTS\r\n");
    close(s.stream);
    fixture_expect(s.client, "c OK selected\r\n* 3 EXISTS\r\n");
    /* What the client says next is in the stream before anybody reads it. */
    fixture_say(s.client, "d NOOP\r\n");
    s.stream = hear_resume(f, &s.id, true);
    fixture_expect(s.stream, "d NOOP\r\n");
    fixture_say(s.stream, "d OK\r\n");
    fixture_expect(s.client, "d OK\r\n");
    /* The count begins anew with the stream. */
    assert_int_equal(offer(f, &s.id, 24, 6), WIRE_UNAVAILABLE);
    assert_int_equal(offer(f, &s.id, 8, 6), WIRE_OK);
    /* Said while it dozes: read when it sleeps. */
    fixture_say(s.client, "e NOOP\r\n");
    let_settle(f);
    close(s.stream);
    s.stream = hear_resume(f, &s.id, true);
    fixture_expect(s.stream, "e NOOP\r\n");
    close(s.client);
    fixture_expect_end(s.stream);
    fixture_hear_close(f, &s.id);
}

static void the_store_wakes_a_sleeper(void **state)
{
    struct fixture *f = *state;
    struct fixture_session s = fixture_log_in(f);
    struct id other = id_random();

    assert_int_equal(offer(f, &s.id, 0, 0), WIRE_OK);
    wake(f, &s.id, WIRE_OK); /* it only dozes: as soon as it sleeps */
    let_settle(f);
    close(s.stream);
    s.stream = hear_resume(f, &s.id, false);
    fixture_say(s.stream, "* 4 EXISTS\r\n");
    fixture_expect(s.client, "* 4 EXISTS\r\n");
    wake(f, &s.id, WIRE_OK); /* it is awake */
    assert_int_equal(offer(f, &s.id, 0, 12), WIRE_OK);
    close(s.stream);
    let_settle(f);
    wake(f, &other, WIRE_OK); /* not this session */
    let_settle(f);
    wake(f, &s.id, WIRE_OK);
    s.stream = hear_resume(f, &s.id, false);
    close(s.client);
    fixture_expect_end(s.stream);
    fixture_hear_close(f, &s.id);
}

/* A mail about IMAP was read: its words are not the mailbox process's last ones. */
static void a_mail_that_says_bye_does_not_end_the_sleep(void **state)
{
    struct fixture *f = *state;
    struct fixture_session s = fixture_log_in(f);

    fixture_say(s.stream, "* 1 FETCH (BODY[] {15}\r\n* BYE and so on)\r\nc OK fetched\r\n");
    fixture_expect(s.client, "c OK fetched\r\n");
    assert_int_equal(offer(f, &s.id, 0, 56), WIRE_OK);
    close(s.stream);
    let_settle(f);
    fixture_say(s.client, "d NOOP\r\n");
    s.stream = hear_resume(f, &s.id, true);
    fixture_expect(s.stream, "d NOOP\r\n");
    /* Real last words, though the state was taken, are. */
    assert_int_equal(offer(f, &s.id, 8, 0), WIRE_OK);
    fixture_say(s.stream, "* BYE the server ends this session\r\n");
    close(s.stream);
    fixture_expect(s.client, "* BYE the server ends this session\r\n");
    fixture_expect_end(s.client);
    fixture_hear_close(f, &s.id);
}

/* Whatever takes a sleeper's mailbox away, it is told in a line of its own. */
static void a_sleeper_is_told_of_its_end(void **state)
{
    static const char *const ends[] = {"expelled", "no mailbox", "no store", "stop", "silence"};
    struct wire_session_open_reply refused = {.status = WIRE_UNAVAILABLE};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct fixture f;
        struct fixture_session s;

        fixture_start(&f, i == 4 ? FIXTURE_PLAIN "idle_timeout = 200ms\n" : FIXTURE_PLAIN);
        s = fixture_log_in(&f);
        assert_int_equal(offer(&f, &s.id, 0, 0), WIRE_OK);
        close(s.stream);
        if (i == 0) {
            let_settle(&f);
            wake(&f, &s.id, WIRE_DENIED);
        } else if (i == 1) {
            fixture_say(s.client, "c NOOP\r\n");
            s.stream = hear_resume(&f, &s.id, true);
            role_trial_send(f.store, WIRE_SESSION_OPEN_REPLY, f.tag, &refused, NULL, 0);
        } else if (i == 2) {
            let_settle(&f);
            close(f.store);
        } else if (i == 3) {
            let_settle(&f);
            role_trial_ask_stop(&f.process);
        }
        if (i < 4)
            fixture_expect(s.client, "* BYE ");
        if (i < 4)
            fixture_expect(s.client, "\r\n");
        if (i == 1)
            close(s.stream);
        fixture_expect_end(s.client);
        if (i != 2)
            (void)fixture_hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_CLOSE);
        (void)fixture_hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_SESSION_CLOSE);
        if (i == 2)
            f.store = -1;
        if (i == 3)
            fixture_await_end(&f);
        else
            fixture_stop(&f);
    }
}

/* ---- Compressed sessions ---- */

static const char ACTIVE[] = "c OK DEFLATE active.\r\n";

/* Both ends of the stream heard of it, and nothing was said since. */
static struct fixture_session log_in_compressed(struct fixture *f)
{
    struct fixture_session s = fixture_log_in(f);

    fixture_say(s.client, "c COMPRESS DEFLATE\r\n");
    fixture_expect(s.stream, "c COMPRESS DEFLATE\r\n");
    fixture_say(s.stream, ACTIVE);
    fixture_expect(s.client, ACTIVE);
    return s;
}

static void say_compressed(int fd, const char *words, struct net_compress *compress)
{
    struct buf packed;

    buf_init(&packed, SIZE_MAX);
    net_compress_deflate(compress, str_from_c(words), &packed);
    assert_int_equal(write(fd, packed.ptr, packed.len), packed.len);
    buf_free(&packed);
}

/* All that comes until the end, inflated. */
static void expect_last(int client, const char *words)
{
    struct net_compress *compress = net_compress_new();
    struct buf heard;
    struct str plain;
    ssize_t got;
    char byte;

    buf_init(&heard, SIZE_MAX);
    while ((got = read(client, &byte, 1)) == 1) {
        net_compress_feed(compress, str_make(&byte, 1));
        assert_int_equal(net_compress_inflate(compress, &plain), ERR_OK);
        buf_put(&heard, plain);
    }
    assert_int_equal(got, 0);
    close(client);
    if (!str_starts_with(buf_str(&heard), str_from_c(words)))
        fail_msg("heard: %.*s", STR_ARG(buf_str(&heard)));
    assert_true(str_ends_with(buf_str(&heard), STR("\r\n")));
    net_compress_free(&compress);
    buf_free(&heard);
}

static void a_compressed_sleeper_is_told_of_its_end(void **state)
{
    static const char *const ends[] = {"expelled", "expelled while it dozes", "no mailbox", "died",
                                       "stop while it dozes"};
    struct wire_session_open_reply refused = {.status = WIRE_UNAVAILABLE};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct fixture f;
        struct fixture_session s;

        fixture_start(&f, FIXTURE_PLAIN);
        s = log_in_compressed(&f);
        assert_int_equal(offer_compressed(&f, &s.id, 20, sizeof(ACTIVE) - 1), WIRE_OK);
        if (i == 1)
            wake(&f, &s.id, WIRE_DENIED);
        if (i == 4)
            role_trial_ask_stop(&f.process);
        else
            let_settle(&f);
        close(s.stream);
        if (i == 0) {
            let_settle(&f);
            wake(&f, &s.id, WIRE_DENIED);
        } else if (i == 2 || i == 3) {
            fixture_say(s.client, "c NOOP, so to say\r\n");
            s.stream = hear_resume(&f, &s.id, true);
            if (i == 2)
                role_trial_send(f.store, WIRE_SESSION_OPEN_REPLY, f.tag, &refused, NULL, 0);
            else
                close(s.stream);
        }
        expect_last(s.client, "* BYE ");
        if (i == 2)
            close(s.stream);
        (void)fixture_hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_CLOSE);
        (void)fixture_hear(&f, f.keeper, WIRE_ROLE_KEEPER, WIRE_SESSION_CLOSE);
        if (i == 4)
            fixture_await_end(&f);
        else
            fixture_stop(&f);
    }
}

/* The gate cannot read them; the session is over all the same, and nothing is said behind them. */
static void compressed_last_words_end_a_session_that_dozes(void **state)
{
    static const char BYE[] = "* BYE the server ends this session\r\n";
    struct fixture *f = *state;
    struct fixture_session s = log_in_compressed(f);
    struct net_compress *process = net_compress_new();

    assert_int_equal(offer_compressed(f, &s.id, 20, sizeof(ACTIVE) - 1), WIRE_OK);
    say_compressed(s.stream, BYE, process);
    close(s.stream);
    expect_last(s.client, BYE);
    fixture_hear_close(f, &s.id);
    net_compress_free(&process);
}

/* A mail about IMAP was read by a client that asked for compression and did not get it. */
static void a_mail_about_compression_compresses_nothing(void **state)
{
    struct fixture *f = *state;
    struct fixture_session s = log_in_compressed(f);

    assert_int_equal(offer(f, &s.id, 20, sizeof(ACTIVE) - 1), WIRE_OK);
    close(s.stream);
    let_settle(f);
    wake(f, &s.id, WIRE_DENIED);
    fixture_expect(s.client, "* BYE ");
    fixture_expect(s.client, "\r\n");
    fixture_expect_end(s.client);
    fixture_hear_close(f, &s.id);
}

/* Its command was not noticed, among many. */
static void an_unnoticed_compression_is_known_to_a_sleeper(void **state)
{
    struct fixture *f = *state;
    struct fixture_session s = fixture_log_in(f);

    assert_int_equal(offer_compressed(f, &s.id, 0, 0), WIRE_OK);
    close(s.stream);
    let_settle(f);
    wake(f, &s.id, WIRE_DENIED);
    expect_last(s.client, "* BYE ");
    fixture_hear_close(f, &s.id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST_PLAIN(a_client_sleeps_and_goes_on),
        FIXTURE_TEST_PLAIN(the_store_wakes_a_sleeper),
        FIXTURE_TEST_PLAIN(a_mail_that_says_bye_does_not_end_the_sleep),
        cmocka_unit_test(a_sleeper_is_told_of_its_end),
        cmocka_unit_test(a_compressed_sleeper_is_told_of_its_end),
        FIXTURE_TEST_PLAIN(compressed_last_words_end_a_session_that_dozes),
        FIXTURE_TEST_PLAIN(a_mail_about_compression_compresses_nothing),
        FIXTURE_TEST_PLAIN(an_unnoticed_compression_is_known_to_a_sleeper),
    };

    return cmocka_run_group_tests(tests, fixture_set_up, NULL);
}
