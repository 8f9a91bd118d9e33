/*
 * The mailbox's process as it is. The test is its store, its keeper and its nursery, over the real
 * channels.
 */
#include "role/mailbox.h"
#include "role/trial.h"

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/random.h"
#include "base/scratch.h"
#include "message/message.h"
#include "net/compress.h"
#include "secret/crypt.h"
#include "secret/pass.h"
#include "sqlite/db.h"
#include "vault/message.h"
#include "vault/state.h"
#include "vault/vault.h"
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SESSIONS_ENDED = 5 /* passes up to this serial count no more */ };

struct fixture {
    pid_t pid;
    int store, keeper, nursery; /* our ends */
    char folder[64], mail[80], drop[80];
    struct id id;
    unsigned char key[MAILBOX_KEY_BYTES];
    const char *settings; /* of the next process; NULL: none */
    struct task task;
    struct buf storage; /* of the message received last */
    struct wire_message message;
};

static const union wire_body *hear(struct fixture *f, int fd, enum wire_role self,
                                   enum wire_type type)
{
    assert_int_equal(wire_receive_blocking(&f->task, fd, self, WIRE_ROLE_MAILBOX, &f->storage,
                                           &f->message),
                     ERR_OK);
    assert_int_equal(f->message.type, type);
    return &f->message.body;
}

static void run_process(const struct fixture *f, const int far[static 3], bool is_new)
{
    static const struct log log = {
        .level = LOG_LEVEL_ERROR, .fd = STDERR_FILENO, .role = "mailbox"};
    struct mailbox_start start = {.id = f->id,
                                  .is_new = is_new,
                                  .store_fd = far[0],
                                  .keeper_fd = far[1],
                                  .nursery_fd = far[2],
                                  .mail_folder = f->mail,
                                  .drop_folder = f->drop,
                                  .log = &log};
    struct config config;
    struct task task;
    char settings[128];

    (void)snprintf(settings, sizeof(settings), "sandbox_required = no\n%s",
                   f->settings == NULL ? "" : f->settings);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    task_init(&task, clock_now_ms());
    if (config_parse(&task, "test", str_from_c(settings), NULL, &config) != ERR_OK)
        _exit(1);
    start.config = &config;
    mailbox_run(&start);
}

/* As the nursery does. */
static void connect_process(struct fixture *f, bool is_new)
{
    int far[3], *near[3] = {&f->store, &f->keeper, &f->nursery};

    for (size_t i = 0; i < 3; i++) {
        int pair[2];

        assert_int_equal(
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(fcntl(pair[0], F_SETFL, 0), 0);
        role_trial_bound_waits(pair[0]);
        *near[i] = pair[0];
        far[i] = pair[1];
    }
    f->pid = fork();
    if (f->pid == 0) {
        close(f->store);
        close(f->keeper);
        close(f->nursery);
        run_process(f, far, is_new);
    }
    for (size_t i = 0; i < 3; i++)
        close(far[i]);
}

/* The keeper gives the key, and the file is made. */
static void start_mailbox(struct fixture *f)
{
    struct wire_mailbox_key key = {.limit_bytes = UINT64_MAX, .passes_since = SESSIONS_ENDED};

    memset(f, 0, sizeof(*f));
    f->id = id_random();
    task_init(&f->task, clock_now_ms());
    buf_init(&f->storage, SIZE_MAX);
    random_bytes(f->key, sizeof(f->key));
    scratch_folder(f->folder, sizeof(f->folder), "sealpost-mailbox");
    (void)snprintf(f->mail, sizeof(f->mail), "%s/mail", f->folder);
    (void)snprintf(f->drop, sizeof(f->drop), "%s/drop", f->folder);
    assert_int_equal(mkdir(f->mail, 0700), 0);
    assert_int_equal(mkdir(f->drop, 0700), 0);
    connect_process(f, true);
    key.key = str_make(f->key, sizeof(f->key));
    key.drop_key = key.key;
    role_trial_send(f->keeper, WIRE_MAILBOX_KEY, 0, &key, NULL, 0);
    assert_int_equal(
        hear(f, f->store, WIRE_ROLE_STORE, WIRE_MAILBOX_OPENED)->mailbox_opened.status, WIRE_OK);
}

/* Without a store it ends. */
static void end_mailbox(struct fixture *f)
{
    char command[128];
    int status;

    close(f->store);
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    assert_int_equal(status, 0);
    close(f->keeper);
    close(f->nursery);
    buf_free(&f->storage);
    task_done(&f->task);
    (void)snprintf(command, sizeof(command), "rm -r %s", f->folder);
    assert_int_equal(system(command), 0);
}

static uint64_t open_session(struct fixture *f, const struct wire_session_open *body)
{
    int fds[2];
    char text[5] = "";
    uint64_t status;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    role_trial_bound_waits(fds[0]);
    role_trial_send(f->store, WIRE_SESSION_OPEN, 5, body, &fds[1], 1);
    close(fds[1]);
    status = hear(f, f->store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN_REPLY)->session_open_reply.status;
    /* Who is refused finds the end of the stream, and nothing before it. */
    if (status == WIRE_OK) {
        assert_int_equal(recv(fds[0], text, 4, MSG_WAITALL), 4);
        assert_string_equal(text, "a OK");
    } else {
        assert_int_equal(recv(fds[0], text, 4, 0), 0);
    }
    close(fds[0]);
    return status;
}

/* States of a session that is authenticated, nothing selected: plain; of a compressed one, without
 * what its stream goes on with (mailbox/hibernate.c). */
static const struct str ASLEEP = {"\0\5\1\0\0\0\0", 7},
                        ASLEEP_COMPRESSED = {"\0\5\1\0\2\0\0", 7};

/* Whoever brings a session, a gate that was taken over for one, must have its pass from the keeper:
 * that of this session, this mailbox and this protocol. */
static void only_with_its_pass_is_a_session_opened(void **state)
{
    enum { GOOD, NONE, OTHER_SESSION, OTHER_MAILBOX, OTHER_SERVICE, CUT,
           BEFORE_THE_END, AFTER_A_SLEEP, CASES };
    struct fixture f;

    (void)state;
    start_mailbox(&f);
    for (int i = 0; i < CASES; i++) {
        CLEANUP(secret_free) struct secret *mailbox_key =
            secret_copy(str_make(f.key, sizeof(f.key)));
        CLEANUP(secret_free) struct secret *key = NULL;
        struct wire_session_open body = {
            .session = id_random(), .mailbox = f.id, .tag = STR("a"), .is_secure = true};
        const struct id other = id_random();
        unsigned char pass[PASS_BYTES];

        if (i == OTHER_MAILBOX)
            secret_bytes(mailbox_key)[0] ^= 1;
        key = pass_key(mailbox_key);
        pass_make(key, i == OTHER_SESSION ? &other : &body.session,
                  i == OTHER_SERVICE ? WIRE_SERVICE_POP3 : WIRE_SERVICE_IMAP,
                  i == BEFORE_THE_END ? SESSIONS_ENDED : SESSIONS_ENDED + 1, pass);
        body.pass = str_make(pass, i == NONE ? 0 : sizeof(pass) - (i == CUT));
        if (i == AFTER_A_SLEEP) {
            body.state = ASLEEP;
            body.pass.len = 0;
        }
        if (open_session(&f, &body) != (i == GOOD ? WIRE_OK : WIRE_UNAVAILABLE))
            fail_msg("case %d", i);
    }
    end_mailbox(&f);
}

/* The client says NOOP, and hears that it is done: a session that slept goes on. */
static void try_noop(int fd, struct net_compress *client)
{
    const struct str noop = STR("x NOOP\r\n");
    struct str plain = {NULL, 0};
    struct buf packed;
    char text[256];
    ssize_t got;

    buf_init(&packed, SIZE_MAX);
    if (client != NULL)
        net_compress_deflate(client, noop, &packed);
    else
        buf_put(&packed, noop);
    assert_int_equal(write(fd, packed.ptr, packed.len), packed.len);
    got = read(fd, text, sizeof(text));
    assert_true(got > 0);
    plain = str_make(text, (size_t)got);
    if (client != NULL) {
        net_compress_feed(client, plain);
        assert_int_equal(net_compress_inflate(client, &plain), ERR_OK);
    }
    assert_true(str_starts_with(plain, STR("x OK")));
    buf_free(&packed);
}

enum asleep {
    SLEPT_PLAIN,
    SLEPT_COMPRESSED,
    /* and what is none of ours: */
    STATE_OF_ANOTHER_SESSION,
    STATE_OF_ANOTHER_MAILBOX,
    STATE_ALTERED,
    STATE_CUT,
    STATE_CUT_IN_ENGINE,
    STATE_OF_A_BYTE,
    STATE_WITHOUT_ENGINE,
    STATE_OF_NO_WINDOW,
    ASLEEP_CASES,
};

/* What a gate might give back, `out`. */
static void make_state(struct fixture *f, enum asleep which, const struct id *session,
                       struct net_compress *process, struct buf *out)
{
    CLEANUP(secret_free)
    struct secret *mailbox_key = secret_copy(str_make(f->key, sizeof(f->key)));
    CLEANUP(secret_free) struct secret *passes = NULL;
    CLEANUP(secret_free) struct secret *key = NULL;
    const struct id other = id_random();
    struct buf window;

    if (which == STATE_OF_ANOTHER_MAILBOX)
        secret_bytes(mailbox_key)[0] ^= 1;
    passes = pass_key(mailbox_key);
    key = crypt_derive(passes, STR("sleeping-stream"),
                       str_from_c(which == STATE_OF_ANOTHER_SESSION ? other.text : session->text));
    buf_init(&window, NET_COMPRESS_SAVED_MAX);
    if (which == STATE_OF_NO_WINDOW)
        buf_put(&window, STR("no such bytes"));
    else
        net_compress_save(process, &window);
    buf_put(out, which == SLEPT_PLAIN ? ASLEEP : ASLEEP_COMPRESSED);
    if (which != SLEPT_PLAIN)
        assert_int_equal(
            crypt_seal(out, secret_str(key), STR("sleeping-stream"), buf_str(&window)), ERR_OK);
    if (which == STATE_ALTERED)
        out->ptr[out->len - 1] ^= 1;
    else if (which == STATE_CUT)
        buf_truncate(out, out->len - 1);
    else if (which == STATE_CUT_IN_ENGINE)
        buf_truncate(out, ASLEEP.len - 1);
    else if (which == STATE_OF_A_BYTE)
        buf_truncate(out, 1);
    else if (which == STATE_WITHOUT_ENGINE)
        out->ptr[1] = 0;
    buf_free(&window);
}

static void only_with_its_state_does_a_session_wake(void **state)
{
    struct fixture f;

    (void)state;
    start_mailbox(&f);
    for (enum asleep i = 0; i < ASLEEP_CASES; i++) {
        CLEANUP(secret_free)
        struct secret *mailbox_key = secret_copy(str_make(f.key, sizeof(f.key)));
        CLEANUP(secret_free) struct secret *key = pass_key(mailbox_key);
        struct wire_session_open body = {
            .session = id_random(), .mailbox = f.id, .tag = STR("a"), .is_secure = true};
        struct net_compress *client = net_compress_new(), *process = net_compress_new();
        unsigned char pass[PASS_BYTES];
        struct buf asleep;

        buf_init(&asleep, WIRE_SLEEP_STATE_MAX);
        make_state(&f, i, &body.session, process, &asleep);
        pass_make(key, &body.session, WIRE_SERVICE_IMAP, SESSIONS_ENDED + 1, pass);
        body.pass = str_make(pass, sizeof(pass));
        body.state = buf_str(&asleep);
        if (i <= SLEPT_COMPRESSED) {
            int fds[2];

            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
            assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
            role_trial_bound_waits(fds[0]);
            role_trial_send(f.store, WIRE_SESSION_OPEN, 5, &body, &fds[1], 1);
            close(fds[1]);
            assert_int_equal(hear(&f, f.store, WIRE_ROLE_STORE, WIRE_SESSION_OPEN_REPLY)
                                 ->session_open_reply.status,
                             WIRE_OK);
            try_noop(fds[0], i == SLEPT_COMPRESSED ? client : NULL);
            close(fds[0]);
        } else if (open_session(&f, &body) != WIRE_UNAVAILABLE) {
            fail_msg("case %d", (int)i);
        }
        net_compress_free(&client);
        net_compress_free(&process);
        buf_free(&asleep);
    }
    end_mailbox(&f);
}

enum job_pass { JOB_PASS_GOOD, JOB_PASS_OF_IMAP, JOB_PASS_NONE };

/* `fd`: what the command's file is; -1: it has none. */
static void ask_job_with(struct fixture *f, const struct id *session, const char *kind,
                         const char *json, enum job_pass which, int fd)
{
    CLEANUP(secret_free) struct secret *mailbox_key = secret_copy(str_make(f->key, sizeof(f->key)));
    CLEANUP(secret_free) struct secret *key = pass_key(mailbox_key);
    struct wire_job body = {.session = *session,
                            .mailbox = f->id,
                            .kind = str_from_c(kind),
                            .json = str_from_c(json)};
    unsigned char pass[PASS_BYTES];

    pass_make(key, session, which == JOB_PASS_OF_IMAP ? WIRE_SERVICE_IMAP : WIRE_SERVICE_JOB,
              SESSIONS_ENDED + 1, pass);
    body.pass = str_make(pass, which == JOB_PASS_NONE ? 0 : sizeof(pass));
    role_trial_send(f->store, WIRE_JOB, 6, &body, fd < 0 ? NULL : &fd, fd >= 0);
}

static void ask_job(struct fixture *f, const struct id *session, const char *kind, const char *json,
                    enum job_pass which)
{
    ask_job_with(f, session, kind, json, which, -1);
}

/* The last reply; how far it was before is passed over. */
static const struct wire_job_reply *hear_job(struct fixture *f)
{
    const struct wire_job_reply *reply;

    do {
        reply = &hear(f, f->store, WIRE_ROLE_STORE, WIRE_JOB_REPLY)->job_reply;
        assert_int_equal(f->message.tag, 6);
    } while (!reply->is_last);
    return reply;
}

static void jobs_are_for_those_whom_the_keeper_let_in(void **state)
{
    static const struct {
        const char *kind, *json;
        enum job_pass pass;
        enum wire_status status;
    } rows[] = {
        {"alias check", "{}", JOB_PASS_GOOD, WIRE_OK},
        {"alias check", "{}", JOB_PASS_OF_IMAP, WIRE_DENIED},
        {"alias check", "{}", JOB_PASS_NONE, WIRE_DENIED},
        {"alias check", "[]", JOB_PASS_GOOD, WIRE_INVALID},
        {"alias check", "", JOB_PASS_GOOD, WIRE_INVALID},
        {"no such", "{}", JOB_PASS_GOOD, WIRE_INVALID},
    };
    struct fixture f;

    (void)state;
    start_mailbox(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct id session = id_random();
        const struct wire_job_reply *reply;

        ask_job(&f, &session, rows[i].kind, rows[i].json, rows[i].pass);
        reply = hear_job(&f);
        if (reply->status != rows[i].status || !id_equal(&reply->session, &session))
            fail_msg("row %zu: %llu", i, (unsigned long long)reply->status);
    }
    end_mailbox(&f);
}

static void a_job_that_is_cancelled_is_answered(void **state)
{
    struct wire_job_cancel cancel;
    struct wire_stop stop = {.grace_ms = 1000};
    const struct id session = id_random(), other = id_random();
    struct fixture f;

    (void)state;
    start_mailbox(&f);
    ask_job(&f, &session, "alias check", "{}", JOB_PASS_GOOD);
    cancel = (struct wire_job_cancel){.session = session, .mailbox = f.id};
    role_trial_send(f.store, WIRE_JOB_CANCEL, 0, &cancel, NULL, 0);
    /* It was done before it heard, or was not. */
    assert_true(hear_job(&f)->status == WIRE_UNAVAILABLE ||
                f.message.body.job_reply.status == WIRE_OK);
    /* So with the process's end. */
    ask_job(&f, &other, "alias check", "{}", JOB_PASS_GOOD);
    role_trial_send(f.store, WIRE_STOP, 0, &stop, NULL, 0);
    assert_true(hear_job(&f)->status == WIRE_UNAVAILABLE ||
                f.message.body.job_reply.status == WIRE_OK);
    end_mailbox(&f);
}

/* The next process of the same mailbox: with these keys, as the keeper has them. */
static void start_again(struct fixture *f, const unsigned char *key_bytes,
                        const unsigned char *next_bytes)
{
    struct wire_mailbox_key key = {.limit_bytes = UINT64_MAX, .passes_since = SESSIONS_ENDED};

    connect_process(f, false);
    key.key = str_make(key_bytes, MAILBOX_KEY_BYTES);
    key.next_key = str_make(next_bytes, next_bytes == NULL ? 0 : MAILBOX_KEY_BYTES);
    key.drop_key = str_make(f->key, sizeof(f->key));
    role_trial_send(f->keeper, WIRE_MAILBOX_KEY, 0, &key, NULL, 0);
}

static void stop_process(struct fixture *f)
{
    int status;

    close(f->store);
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    assert_int_equal(status, 0);
    close(f->keeper);
    close(f->nursery);
}

/* The keeper hears that the file is under the key of this check, behind whatever else it hears. */
static void expect_rekeyed(struct fixture *f, const unsigned char *next_bytes)
{
    CLEANUP(secret_free) struct secret *next = secret_copy(str_make(next_bytes, MAILBOX_KEY_BYTES));
    unsigned char check[PASS_CHECK_BYTES];

    pass_key_check(next, check);
    do {
        assert_int_equal(wire_receive_blocking(&f->task, f->keeper, WIRE_ROLE_KEEPER,
                                               WIRE_ROLE_MAILBOX, &f->storage, &f->message),
                         ERR_OK);
    } while (f->message.type != WIRE_MAILBOX_REKEYED);
    assert_true(str_equal(f->message.body.mailbox_rekeyed.check, str_make(check, sizeof(check))));
}

static uint64_t opened_status(struct fixture *f)
{
    return hear(f, f->store, WIRE_ROLE_STORE, WIRE_MAILBOX_OPENED)->mailbox_opened.status;
}

/* As the keeper names the key that the file is to be under. */
static const char *names_key(struct fixture *f, const unsigned char *next_bytes)
{
    CLEANUP(secret_free) struct secret *next = secret_copy(str_make(next_bytes, MAILBOX_KEY_BYTES));
    CLEANUP(buf_free) struct buf json;
    unsigned char check[PASS_CHECK_BYTES];

    buf_init(&json, SIZE_MAX);
    pass_key_check(next, check);
    buf_put(&json, STR("{\"check\":\""));
    assert_int_equal(encode_hex(&json, str_make(check, sizeof(check))), ERR_OK);
    buf_put(&json, STR("\"}"));
    return arena_copy(&f->task.arena, buf_str(&json)).ptr;
}

/* A process opens the file with either key, and says so when it is the next one. */
static void a_file_is_put_under_the_next_key(void **state)
{
    const struct id session = id_random(), again = id_random();
    unsigned char next[MAILBOX_KEY_BYTES], other[MAILBOX_KEY_BYTES];
    struct fixture f;

    (void)state;
    start_mailbox(&f);
    stop_process(&f);
    random_bytes(next, sizeof(next));
    random_bytes(other, sizeof(other));
    /* The keeper asks for it; a second request finds nothing left to do. */
    start_again(&f, f.key, next);
    assert_int_equal(opened_status(&f), WIRE_OK);
    /* Never under a key that it heard of, but that the slots have no more. */
    ask_job(&f, &session, "re-encrypt", names_key(&f, other), JOB_PASS_GOOD);
    assert_int_equal(hear_job(&f)->status, WIRE_UNAVAILABLE);
    ask_job(&f, &session, "re-encrypt", "{}", JOB_PASS_GOOD);
    assert_int_equal(hear_job(&f)->status, WIRE_UNAVAILABLE);
    ask_job(&f, &session, "re-encrypt", names_key(&f, next), JOB_PASS_GOOD);
    assert_int_equal(hear_job(&f)->status, WIRE_OK);
    expect_rekeyed(&f, next);
    ask_job(&f, &again, "re-encrypt", names_key(&f, next), JOB_PASS_GOOD);
    assert_int_equal(hear_job(&f)->status, WIRE_OK);
    stop_process(&f);
    /* The keeper did not hear it, and gives both: it is told again. */
    start_again(&f, f.key, next);
    assert_int_equal(opened_status(&f), WIRE_OK);
    expect_rekeyed(&f, next);
    ask_job(&f, &session, "alias check", "{}", JOB_PASS_GOOD); /* a pass of the first key */
    assert_int_equal(hear_job(&f)->status, WIRE_OK);
    stop_process(&f);
    /* Neither the old key alone nor two others open it. */
    start_again(&f, f.key, NULL);
    assert_int_equal(opened_status(&f), WIRE_DAMAGED);
    stop_process(&f);
    start_again(&f, f.key, other);
    assert_int_equal(opened_status(&f), WIRE_DAMAGED);
    stop_process(&f);
    memcpy(f.key, next, sizeof(next));
    start_again(&f, f.key, NULL);
    assert_int_equal(opened_status(&f), WIRE_OK);
    end_mailbox(&f);
}

/* An export that nobody reads on: its process has the file open, at a place where it stays. */
static int start_an_export(struct fixture *f, const struct id *session)
{
    int ends[2];
    struct pollfd output;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) > 0);
    ask_job_with(f, session, "export", "{\"format\":\"maildir\"}", JOB_PASS_GOOD, ends[1]);
    close(ends[1]);
    output = (struct pollfd){.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&output, 1, 20 * 1000), 1);
    return ends[0];
}

/* The files change places when nobody reads the old one, and not before; nor does the process end.
 */
static void the_exchange_waits_for_who_reads_the_file(void **state)
{
    const struct id reading = id_random(), rekeying = id_random();
    unsigned char next[MAILBOX_KEY_BYTES];
    char bytes[4096];
    struct fixture f;
    int fd;

    (void)state;
    start_mailbox(&f);
    stop_process(&f);
    random_bytes(next, sizeof(next));
    start_again(&f, f.key, next);
    assert_int_equal(opened_status(&f), WIRE_OK);
    fd = start_an_export(&f, &reading);
    ask_job(&f, &rekeying, "re-encrypt", names_key(&f, next), JOB_PASS_GOOD);
    (void)usleep(500 * 1000); /* so that it comes as far as it can */
    while (read(fd, bytes, sizeof(bytes)) > 0)
        ;
    close(fd);
    for (int i = 0; i < 2; i++)
        assert_int_equal(hear_job(&f)->status, WIRE_OK);
    expect_rekeyed(&f, next);
    stop_process(&f);
    memcpy(f.key, next, sizeof(next));
    start_again(&f, f.key, NULL);
    assert_int_equal(opened_status(&f), WIRE_OK);
    end_mailbox(&f);
}

static struct vault *open_vault(struct fixture *f)
{
    CLEANUP(secret_free) struct secret *key = secret_copy(str_make(f->key, sizeof(f->key)));
    struct vault_options options = {.folder = f->mail, .id = f->id, .limit_bytes = UINT64_MAX};
    struct vault *vault = NULL;

    assert_int_equal(vault_open(&f->task, &options, key, &vault), ERR_OK);
    return vault;
}

static void append_many(struct fixture *f, int count)
{
    struct vault *vault = open_vault(f);
    struct vault_folder inbox;

    assert_int_equal(vault_folder_find(vault, &f->task, STR("INBOX"), &inbox), ERR_OK);
    assert_int_equal(vault_batch_begin(vault, &f->task), ERR_OK);
    for (int i = 0; i < count; i++) {
        struct vault_append append = {.raw = STR("Subject: s\r\n\r\nsome words\r\n")};
        uint32_t uid;

        assert_int_equal(vault_message_append(vault, &f->task, inbox.id, &append, &uid), ERR_OK);
    }
    assert_int_equal(vault_batch_end(vault, &f->task), ERR_OK);
    vault_close(&vault);
}

/* What a process that was killed behind an import had put off, the next one does before it asks
 * whether it may end, though nothing changes any more. */
static void nothing_is_put_off_at_the_end(void **state)
{
    enum { MESSAGES = 560 }; /* nine segments, of which eight are merged */
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct fixture f;
    struct vault *vault;
    bool has_row;

    (void)state;
    start_mailbox(&f);
    stop_process(&f);
    append_many(&f, MESSAGES);
    f.settings = "mailbox_linger = 50ms\n";
    start_again(&f, f.key, NULL);
    assert_int_equal(opened_status(&f), WIRE_OK);
    (void)hear(&f, f.store, WIRE_ROLE_STORE, WIRE_MAILBOX_IDLE);
    stop_process(&f);
    vault = open_vault(&f);
    assert_false(vault_is_unfinished(vault));
    assert_int_equal(
        db_prepare(vault->db, &f.task, "SELECT count(*) FROM word_segment", &statement), ERR_OK);
    assert_int_equal(db_step(vault->db, &f.task, statement, &has_row), ERR_OK);
    assert_int_equal(db_column_int(statement, 0), 2);
    db_release(&statement);
    vault_close(&vault);
    start_again(&f, f.key, NULL); /* for end_mailbox */
    assert_int_equal(opened_status(&f), WIRE_OK);
    end_mailbox(&f);
}

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    secret_init();
    db_init_library();
    message_init_library();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_with_its_pass_is_a_session_opened),
        cmocka_unit_test(only_with_its_state_does_a_session_wake),
        cmocka_unit_test(jobs_are_for_those_whom_the_keeper_let_in),
        cmocka_unit_test(a_job_that_is_cancelled_is_answered),
        cmocka_unit_test(a_file_is_put_under_the_next_key),
        cmocka_unit_test(the_exchange_waits_for_who_reads_the_file),
        cmocka_unit_test(nothing_is_put_off_at_the_end),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
