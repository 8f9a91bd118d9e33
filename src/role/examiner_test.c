/*
 * The examiner's process as it is, sandbox and all. The test is its master, the smtp process that
 * asks, the courier, the resolver and the scanner.
 */
#include "role/roles.h"
#include "role/trial.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/macros.h"
#include "base/scratch.h"
#include "dns/answer.h"
#include "examiner/verdict.h"
#include "spam/model.h"
#include "wire/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SMTP, COURIER, RESOLVER, SCANNER, PEERS, REPLY_SECONDS = 30 };

static const enum wire_role peer_roles[PEERS] = {WIRE_ROLE_SMTP, WIRE_ROLE_COURIER,
                                                 WIRE_ROLE_RESOLVER, WIRE_ROLE_SCANNER};

struct fixture {
    struct role_trial process;
    int peers[PEERS]; /* our ends */
    bool is_resolver_mute, is_scanner_mute;
    bool is_nameless; /* the client that is asked about */
    struct wire_scan_reply scan;
    struct task task;
    struct buf storage;
    struct wire_message message; /* the last received */
    char folder[64];
};

#define MESSAGE                                                                                    \
    "From: Anna <anna@a.example>\r\nTo: me@here.example\r\nSubject: Lunch\r\n"                     \
    "Date: Thu, 26 Nov 2026 09:59:00 +0000\r\nMessage-ID: <1@a.example>\r\n\r\nAt noon?\r\n"

/* ---- The wire ---- */

static enum err hear(struct fixture *f, int fd, enum wire_role self)
{
    for (size_t i = 0; i < f->message.fd_count; i++)
        fd_close(&f->message.fds[i]);
    f->message.fd_count = 0;
    return wire_receive_blocking(&f->task, fd, self, WIRE_ROLE_EXAMINER, &f->storage, &f->message);
}

/* a.example sends from 192.0.2.1 and wants to be believed only then. */
static void answer_query(struct fixture *f)
{
    const struct wire_dns_query *query = &f->message.body.dns_query;
    struct dns_record record = {.ttl_s = 60};
    struct dns_answer answer = {.status = DNS_NO_NAME, .records = &record};
    CLEANUP(buf_free) struct buf encoded;
    struct wire_dns_answer body;

    if (query->type == DNS_TYPE_TXT && str_equal(query->name, STR("a.example")))
        record.data = STR("v=spf1 ip4:192.0.2.1 -all");
    else if (query->type == DNS_TYPE_TXT && str_equal(query->name, STR("_dmarc.a.example")))
        record.data = STR("v=DMARC1; p=reject");
    answer.count = record.data.len > 0 ? 1 : 0;
    answer.status = record.data.len > 0 ? DNS_OK : DNS_NO_NAME;
    buf_init(&encoded, SIZE_MAX);
    dns_answer_encode(&answer, &encoded);
    body = (struct wire_dns_answer){.status = answer.status, .records = buf_str(&encoded)};
    role_trial_send(f->peers[RESOLVER], WIRE_DNS_ANSWER, f->message.tag, &body, NULL, 0);
}

/* With a late answer to an earlier question before it. */
static void answer_scan(struct fixture *f)
{
    struct wire_scan_reply old = {.is_virus = true, .words = STR("of another message")};

    assert_int_equal(f->message.fd_count, 1);
    role_trial_send(f->peers[SCANNER], WIRE_SCAN_REPLY, f->message.tag - 1, &old, NULL, 0);
    role_trial_send(f->peers[SCANNER], WIRE_SCAN_REPLY, f->message.tag, &f->scan, NULL, 0);
}

/* Serves resolver and scanner until this one has an answer. */
static const union wire_body *await_reply(struct fixture *f, int who, enum wire_type type,
                                          uint64_t tag)
{
    for (;;) {
        struct pollfd ready[PEERS];

        for (size_t i = 0; i < PEERS; i++)
            ready[i] = (struct pollfd){.fd = f->peers[i], .events = POLLIN};
        assert_true(poll(ready, PEERS, REPLY_SECONDS * 1000) > 0);
        if (ready[RESOLVER].revents != 0) {
            assert_int_equal(hear(f, f->peers[RESOLVER], WIRE_ROLE_RESOLVER), ERR_OK);
            if (!f->is_resolver_mute)
                answer_query(f);
        } else if (ready[SCANNER].revents != 0) {
            assert_int_equal(hear(f, f->peers[SCANNER], WIRE_ROLE_SCANNER), ERR_OK);
            if (!f->is_scanner_mute)
                answer_scan(f);
        } else {
            assert_int_equal(hear(f, f->peers[who], peer_roles[who]), ERR_OK);
            assert_int_equal(f->message.type, type);
            assert_int_equal(f->message.tag, tag);
            return &f->message.body;
        }
    }
}

static void ask(struct fixture *f, struct str message, const char *client, uint64_t tag)
{
    struct wire_examine body = {.client = str_from_c(client),
                                .helo = STR("a.example"),
                                .sender = STR("anna@a.example"),
                                .reverse_name = f->is_nameless ? STR("") : STR("a.example"),
                                .is_nameless = f->is_nameless,
                                .now_ms = clock_now_ms()};
    int fd;

    assert_int_equal(memfd_from(&f->task, message, &fd), ERR_OK);
    role_trial_send(f->peers[SMTP], WIRE_EXAMINE, tag, &body, &fd, 1);
    close(fd);
}

static const struct wire_examine_reply *verdict(struct fixture *f, uint64_t tag)
{
    return &await_reply(f, SMTP, WIRE_EXAMINE_REPLY, tag)->examine_reply;
}

/* ---- The process ---- */

static void configure(struct fixture *f, const char *settings)
{
    CLEANUP(buf_free) struct buf text;

    buf_init(&text, SIZE_MAX);
    buf_putf(&text, "data = \"%s\"\nhostname = here.example\nlog_level = error\n%s", f->folder,
             settings);
    role_trial_configure(&f->process, (struct str[]){buf_str(&text)}, 1);
}

static void start_examiner(struct fixture *f, const char *settings)
{
    role_trial_fork(&f->process, &role_examiner);
    configure(f, settings);
    for (size_t i = 0; i < PEERS; i++)
        f->peers[i] = role_trial_connect(&f->process, peer_roles[i]);
    role_trial_start(&f->process);
}

static void close_channels(struct fixture *f)
{
    f->process.pid = 0;
    fd_close(&f->process.master);
    for (size_t i = 0; i < PEERS; i++)
        fd_close(&f->peers[i]);
}

static void stop_examiner(struct fixture *f)
{
    int status;

    role_trial_ask_stop(&f->process);
    status = role_trial_wait(&f->process);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close_channels(f);
}

/* ---- What it finds ---- */

static void a_verdict_from_dns_and_scanner(void **state)
{
    struct fixture *f = *state;
    const struct wire_examine_reply *reply;

    start_examiner(f, "clamd = \"127.0.0.1:1\"\n");
    ask(f, STR(MESSAGE), "192.0.2.1", 7);
    reply = verdict(f, 7);
    assert_int_equal(reply->status, WIRE_OK);
    assert_int_equal(reply->action, EXAMINER_ACCEPT);
    assert_true(reply->is_authenticated && reply->may_reply);
    assert_true(str_starts_with(reply->fields, STR("Authentication-Results: here.example")));
    assert_true(str_find(reply->fields, STR("dmarc=pass")) > 0);
    assert_true(str_find(reply->fields, STR("NO_REVERSE_NAME")) < 0);
    f->is_nameless = true;
    ask(f, STR(MESSAGE), "192.0.2.1", 10);
    assert_true(str_find(verdict(f, 10)->fields, STR("NO_REVERSE_NAME")) > 0);
    ask(f, STR(MESSAGE), "192.0.2.66", 8);
    assert_int_equal(verdict(f, 8)->action, EXAMINER_REJECT);
    f->scan = (struct wire_scan_reply){.is_virus = true, .words = STR("Eicar")};
    ask(f, STR(MESSAGE), "192.0.2.1", 9);
    reply = verdict(f, 9);
    assert_int_equal(reply->action, EXAMINER_REJECT);
    assert_true(str_find(reply->words, STR("Eicar")) > 0);
    stop_examiner(f);
}

static void several_wait_in_their_order(void **state)
{
    struct fixture *f = *state;

    start_examiner(f, "");
    for (uint64_t tag = 1; tag <= 20; tag++)
        ask(f, STR(MESSAGE), tag % 2 == 0 ? "192.0.2.66" : "192.0.2.1", tag);
    for (uint64_t tag = 1; tag <= 20; tag++)
        assert_int_equal(verdict(f, tag)->action, tag % 2 == 0 ? EXAMINER_REJECT : EXAMINER_ACCEPT);
    stop_examiner(f);
}

/* Neither one that says nothing nor one that went keeps mail for ever. */
static void resolver_and_scanner_are_silent(void **state)
{
    struct fixture *f = *state;
    int64_t before_ms = clock_monotonic_ms(), used_ms;

    start_examiner(f, "rspamd = \"127.0.0.1:1\"\n");
    f->is_resolver_mute = f->is_scanner_mute = true;
    ask(f, STR(MESSAGE), "192.0.2.1", 1);
    assert_int_equal(verdict(f, 1)->action, EXAMINER_DEFER);
    used_ms = clock_monotonic_ms() - before_ms;
    assert_in_range(used_ms, 4000, 9000);
    fd_close(&f->peers[RESOLVER]);
    fd_close(&f->peers[SCANNER]);
    before_ms = clock_monotonic_ms();
    ask(f, STR(MESSAGE), "192.0.2.1", 2);
    assert_int_equal(verdict(f, 2)->action, EXAMINER_DEFER);
    assert_in_range(clock_monotonic_ms() - before_ms, 0, 3000);
    /* They are back. */
    f->is_resolver_mute = f->is_scanner_mute = false;
    f->peers[RESOLVER] = role_trial_connect(&f->process, WIRE_ROLE_RESOLVER);
    f->peers[SCANNER] = role_trial_connect(&f->process, WIRE_ROLE_SCANNER);
    usleep(200 * 1000);
    ask(f, STR(MESSAGE), "192.0.2.1", 3);
    assert_int_equal(verdict(f, 3)->action, EXAMINER_ACCEPT);
    stop_examiner(f);
}

static void a_message_is_rendered(void **state)
{
    struct fixture *f = *state;
    struct wire_render body = {.envelope = STR("{\"recipient\":\"me@here.example\"}")};
    struct wire_render wrong = {.envelope = STR("[]")};
    CLEANUP(buf_free) struct buf text;
    int fd;

    start_examiner(f, "");
    assert_int_equal(memfd_from(&f->task, STR(MESSAGE), &fd), ERR_OK);
    role_trial_send(f->peers[COURIER], WIRE_RENDER, 5, &body, &fd, 1);
    assert_int_equal(await_reply(f, COURIER, WIRE_RENDER_REPLY, 5)->render_reply.status, WIRE_OK);
    assert_int_equal(f->message.fd_count, 1);
    buf_init(&text, SIZE_MAX);
    assert_int_equal(fd_read_all(&f->task, f->message.fds[0], SIZE_MAX, &text), ERR_OK);
    assert_true(str_starts_with(buf_str(&text), STR("{\"recipient\":\"me@here.example\",")));
    assert_true(str_find(buf_str(&text), STR("\"subject\":\"Lunch\"")) > 0);
    assert_int_equal(write(f->message.fds[0], "x", 1), -1); /* sealed */
    role_trial_send(f->peers[COURIER], WIRE_RENDER, 6, &wrong, &fd, 1);
    assert_int_equal(await_reply(f, COURIER, WIRE_RENDER_REPLY, 6)->render_reply.status,
                     WIRE_INVALID);
    assert_int_equal(f->message.fd_count, 0);
    close(fd);
    stop_examiner(f);
}

/* The host's model is read at the start and with each new configuration, through the sandbox. */
static void a_new_model_counts_after_a_reload(void **state)
{
    struct fixture *f = *state;
    struct spam_trainer *trainer = spam_trainer_new(NULL);
    struct message_summary summary;
    struct spam_tokens *tokens = ARENA_NEW(&f->task.arena, struct spam_tokens);
    CLEANUP(buf_free) struct buf bytes;
    char path[128];

    start_examiner(f, "");
    ask(f, STR(MESSAGE), "192.0.2.1", 1);
    assert_true(str_find(verdict(f, 1)->fields, STR("BAYES")) < 0);
    message_init_library();
    message_parse(&f->task, STR(MESSAGE), &summary);
    spam_tokenize(&f->task, STR(MESSAGE), &summary.structure, tokens);
    for (int i = 0; i < 2 * SPAM_MODEL_LEARNED_MIN; i++) /* of each kind as many as it must have */
        assert_int_equal(spam_trainer_learn(trainer, &f->task, tokens, i % 2 == 0), ERR_OK);
    buf_init(&bytes, SIZE_MAX);
    spam_trainer_write(trainer, &bytes);
    spam_trainer_free(&trainer);
    (void)snprintf(path, sizeof(path), "%s/spam/model", f->folder);
    assert_int_equal(file_replace(&f->task, AT_FDCWD, path, buf_str(&bytes)), ERR_OK);
    configure(f, "");
    usleep(300 * 1000);
    ask(f, STR(MESSAGE), "192.0.2.1", 2);
    assert_true(str_find(verdict(f, 2)->fields, STR("BAYES")) > 0);
    stop_examiner(f);
}

/* ---- What it does not take ---- */

static void messages_that_cannot_be_mapped(void **state)
{
    struct fixture *f = *state;
    struct wire_examine body = {.client = STR("192.0.2.1")};
    int fd;

    start_examiner(f, "");
    assert_int_equal(memfd_new(&f->task, &fd), ERR_OK); /* not sealed */
    role_trial_send(f->peers[SMTP], WIRE_EXAMINE, 1, &body, &fd, 1);
    assert_int_equal(verdict(f, 1)->status, WIRE_INVALID);
    if (!IS_SANITIZED) { /* beyond the 512 MB that it may have */
        assert_int_equal(ftruncate(fd, 600 << 20), 0);
        assert_int_equal(memfd_seal(&f->task, fd), ERR_OK);
        role_trial_send(f->peers[SMTP], WIRE_EXAMINE, 2, &body, &fd, 1);
        assert_int_equal(verdict(f, 2)->status, WIRE_INVALID);
    }
    close(fd);
    role_trial_send(f->peers[SMTP], WIRE_EXAMINE, 3, &body, NULL, 0);
    assert_int_equal(verdict(f, 3)->status, WIRE_UNAVAILABLE);
    ask(f, STR(MESSAGE), "192.0.2.1", 4);
    assert_int_equal(verdict(f, 4)->action, EXAMINER_ACCEPT);
    stop_examiner(f);
}

/* What takes longer than ten seconds ends it; here because it is stopped in the middle. */
static void ten_seconds_end_it(void **state)
{
    struct fixture *f = *state;
    int status;

    start_examiner(f, "");
    f->is_resolver_mute = true;
    ask(f, STR(MESSAGE), "192.0.2.1", 1);
    assert_int_equal(hear(f, f->peers[RESOLVER], WIRE_ROLE_RESOLVER), ERR_OK); /* it is at it */
    assert_int_equal(kill(f->process.pid, SIGSTOP), 0);
    sleep(10);
    assert_int_equal(kill(f->process.pid, SIGCONT), 0);
    status = role_trial_wait(&f->process);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
    assert_int_equal(hear(f, f->peers[SMTP], WIRE_ROLE_SMTP), ERR_IO); /* the channel is gone */
    close_channels(f);
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;

    *f = (struct fixture){.process.master = -1, .peers = {-1, -1, -1, -1}};
    task_init(&f->task, clock_now_ms());
    buf_init(&f->storage, SIZE_MAX);
    scratch_folder(f->folder, sizeof(f->folder), "sealpost-examiner");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    if (f->process.pid > 0)
        kill(f->process.pid, SIGKILL);
    for (size_t i = 0; i < f->message.fd_count; i++)
        fd_close(&f->message.fds[i]);
    buf_free(&f->storage);
    task_done(&f->task);
    (void)snprintf(command, sizeof(command), "rm -rf %s", f->folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_verdict_from_dns_and_scanner, setup, teardown),
        cmocka_unit_test_setup_teardown(several_wait_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(resolver_and_scanner_are_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_is_rendered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_model_counts_after_a_reload, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_that_cannot_be_mapped, setup, teardown),
        cmocka_unit_test_setup_teardown(ten_seconds_end_it, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
