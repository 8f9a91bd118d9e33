/*
 * The keeper as a process, with the test as master, gate, store, nursery, mailbox, sealer, smtp,
 * courier, resolver and administrator: a first start, logins, keys, quotas, a gate that dies, where
 * mail goes, what it is signed with, commands that others answer.
 */
#include "role/roles.h"

#include "account/database.h"
#include "base/clock.h"
#include "base/file.h"
#include "dns/answer.h"
#include "mailauth/sign.h"
#include "mailauth/srs.h"
#include "secret/courier.h"
#include "secret/pass.h"
#include "sqlite/db.h"
#include "wire/channel.h"
#include "wire/socket.h"

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PEERS = 7, REPLY_SECONDS = 20 };

static const enum wire_role peer_roles[PEERS] = {WIRE_ROLE_GATE, WIRE_ROLE_STORE,
                                                 WIRE_ROLE_NURSERY, WIRE_ROLE_SEALER,
                                                 WIRE_ROLE_SMTP, WIRE_ROLE_COURIER,
                                                 WIRE_ROLE_RESOLVER};
enum { GATE, STORE, NURSERY, SEALER, SMTP, COURIER, RESOLVER };

struct fixture {
    char folder[64], socket[96];
    pid_t pid;
    int master, listener, admin;
    int peers[PEERS];
    struct buf storage;
    struct task task;
    struct wire_message message; /* the last received */
    char password[40];
    struct id mailbox;
    unsigned char pass[PASS_BYTES]; /* of the last login */
    struct id slot;                 /* likewise */
};

static void bound_waits(int fd)
{
    struct timeval wait = {.tv_sec = REPLY_SECONDS};

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
}

static void send_to(int fd, enum wire_type type, uint64_t tag, const void *body, const int *fds,
                    size_t fd_count)
{
    struct buf frame;

    buf_init(&frame, SIZE_MAX);
    assert_int_equal(wire_encode(type, tag, body, &frame), ERR_OK);
    assert_int_equal(wire_socket_send(fd, buf_str(&frame), fds, fd_count, 0), WIRE_SOCKET_DONE);
    buf_free(&frame);
}

/* The next message there, which must be of this type. */
static const union wire_body *receive(struct fixture *f, int fd, enum wire_role self,
                                      enum wire_type type)
{
    enum err err = wire_receive_blocking(&f->task, fd, self, WIRE_ROLE_KEEPER, &f->storage,
                                         &f->message);

    assert_int_equal(err, ERR_OK);
    assert_int_equal(f->message.type, type);
    return &f->message.body;
}

/* --- as master ------------------------------------------------------------------------------ */

static void connect_peer(struct fixture *f, size_t peer)
{
    struct wire_peer body = {.role = peer_roles[peer]};
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    send_to(f->master, WIRE_PEER, 0, &body, &ends[1], 1);
    (void)close(ends[1]);
    f->peers[peer] = ends[0];
    bound_waits(ends[0]);
}

static const char host_key_text[] = "0123456789abcdef0123456789abcdef"; /* the host's */

static void configure(struct fixture *f)
{
    struct wire_configure body = {.descriptor_count = 2};
    struct buf text;
    int fds[2];

    buf_init(&text, SIZE_MAX);
    buf_putf(&text,
             "data = \"%s\"\nsandbox_required = no\nlog_level = error\nhostname = \"mx.test\"\n"
             "submission_per_user = 2\nsessions_per_mailbox_max = 10\n"
             "failures_per_address = 5\nfailures_per_account = 8\n",
             f->folder);
    assert_int_equal(memfd_from(&f->task, buf_str(&text), &fds[0]), ERR_OK);
    assert_int_equal(memfd_from(&f->task, str_from_c(host_key_text), &fds[1]), ERR_OK);
    send_to(f->master, WIRE_CONFIGURE, 0, &body, fds, 2);
    (void)close(fds[0]);
    (void)close(fds[1]);
    buf_free(&text);
}

static void listen_for_admin(struct fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct wire_listener body = {.name = STR("admin")};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->socket);
    (void)unlink(f->socket);
    f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(f->listener, 5), 0);
    send_to(f->master, WIRE_LISTENER, 0, &body, &f->listener, 1);
    (void)close(f->listener);
}

static void connect_admin(struct fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->socket);
    f->admin = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(f->admin, (struct sockaddr *)&address, sizeof(address)), 0);
    bound_waits(f->admin);
}

static void start_keeper(struct fixture *f)
{
    struct wire_start start = {.index = 0};
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        (void)close(ends[0]);
        role_run(&role_keeper, ends[1], 0);
    }
    (void)close(ends[1]);
    f->master = ends[0];
    bound_waits(f->master);
    configure(f);
    listen_for_admin(f);
    for (size_t i = 0; i < PEERS; i++)
        connect_peer(f, i);
    send_to(f->master, WIRE_START, 0, &start, NULL, 0);
    assert_int_equal(wire_receive_blocking(&f->task, f->master, WIRE_ROLE_MASTER, WIRE_ROLE_KEEPER,
                                           &f->storage, &f->message),
                     ERR_OK);
    assert_int_equal(f->message.type, WIRE_READY);
    connect_admin(f);
}

static void stop_keeper(struct fixture *f, bool is_orderly)
{
    struct wire_stop stop = {.grace_ms = 1000};
    int status;

    if (is_orderly)
        send_to(f->master, WIRE_STOP, 0, &stop, NULL, 0);
    else
        assert_int_equal(kill(f->pid, SIGKILL), 0);
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    if (is_orderly)
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (size_t i = 0; i < PEERS; i++)
        (void)close(f->peers[i]);
    (void)close(f->master);
    (void)close(f->admin);
}

/* --- as administrator ----------------------------------------------------------------------- */

static void ask(struct fixture *f, const char *json)
{
    char text[512];
    struct wire_admin body;

    (void)snprintf(text, sizeof(text), "%s", json);
    for (char *at = text; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    body.json = str_from_c(text);
    send_to(f->admin, WIRE_ADMIN, 9, &body, NULL, 0);
}

/* The answer's status must be `status`; gives the answer. */
static json_t *answer(struct fixture *f, const char *status)
{
    const union wire_body *body = receive(f, f->admin, WIRE_ROLE_CLI, WIRE_ADMIN_REPLY);
    json_error_t error;
    json_t *json = json_loadb(body->admin_reply.json.ptr, body->admin_reply.json.len, 0, &error);

    assert_int_equal(f->message.tag, 9);
    assert_string_equal(json_string_value(json_object_get(json, "status")), status);
    return json;
}

static void ask_ok(struct fixture *f, const char *json)
{
    ask(f, json);
    json_decref(answer(f, "ok"));
}

/* --- as nursery and mailbox ----------------------------------------------------------------- */

/* A mailbox process starts; gives its channel, on which the key came (or did not). */
static int start_mailbox(struct fixture *f, const struct id *id, bool is_new,
                         enum wire_status expected)
{
    struct wire_mailbox_started body = {.mailbox = *id, .is_new = is_new};
    const struct wire_mailbox_key *key;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    send_to(f->peers[NURSERY], WIRE_MAILBOX_STARTED, 0, &body, &ends[1], 1);
    (void)close(ends[1]);
    bound_waits(ends[0]);
    key = &receive(f, ends[0], WIRE_ROLE_MAILBOX, WIRE_MAILBOX_KEY)->mailbox_key;
    assert_int_equal(key->status, expected);
    assert_int_equal(key->key.len, expected == WIRE_OK ? 48 : 0);
    assert_int_equal(key->drop_key.len, expected == WIRE_OK ? 48 : 0);
    return ends[0];
}

static void tell_usage(int channel, const struct id *id, uint64_t bytes, uint64_t counter)
{
    struct wire_mailbox_usage body = {
        .mailbox = *id, .bytes = bytes, .messages = 1, .epoch = 1, .change_counter = counter};

    send_to(channel, WIRE_MAILBOX_USAGE, 0, &body, NULL, 0);
}

/* `alias add`, with the store's and nursery's parts. */
static void make_alias(struct fixture *f)
{
    struct wire_mailbox_create_reply created = {.status = WIRE_OK};
    json_t *json;
    int channel;

    ask(f, "{'command':'alias add','arguments':{'address':'you@demo.test','user':'ann'}}");
    created.mailbox =
        receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_MAILBOX_CREATE)->mailbox_create.mailbox;
    channel = start_mailbox(f, &created.mailbox, true, WIRE_OK);
    tell_usage(channel, &created.mailbox, 0, 1);
    (void)close(channel);
    send_to(f->peers[STORE], WIRE_MAILBOX_CREATE_REPLY, 0, &created, NULL, 0);
    json = answer(f, "ok");
    (void)snprintf(f->password, sizeof(f->password), "%s",
                   json_string_value(json_object_get(json, "password")));
    json_decref(json);
    f->mailbox = created.mailbox;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/keeper-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->socket, sizeof(f->socket), "%s/admin.sock", f->folder);
    buf_init(&f->storage, SIZE_MAX);
    task_init(&f->task, clock_now_ms());
    start_keeper(f);
    assert_int_equal(
        receive(f, f->peers[SEALER], WIRE_ROLE_SEALER, WIRE_HOST_KEY)->host_key.key.len, 32);
    ask_ok(f, "{'command':'domain add','arguments':{'domain':'demo.test'}}");
    make_alias(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[96];

    stop_keeper(f, true);
    buf_free(&f->storage);
    task_done(&f->task);
    (void)snprintf(command, sizeof(command), "rm -r '%s'", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* --- tests ---------------------------------------------------------------------------------- */

static enum wire_status log_in(struct fixture *f, const struct id *session,
                               enum wire_service service, const char *username,
                               const char *password, const char *address)
{
    struct wire_login body = {
        .session = *session,
        .service = service,
        .username = str_from_c(username),
        .password = str_from_c(password),
        .address = str_from_c(address),
    };
    bool is_submission = service == WIRE_SERVICE_SUBMISSION;
    const struct wire_login_reply *reply;

    send_to(f->peers[is_submission ? SMTP : GATE], WIRE_LOGIN, 4, &body, NULL, 0);
    reply = &receive(f, f->peers[is_submission ? SMTP : GATE],
                     is_submission ? WIRE_ROLE_SMTP : WIRE_ROLE_GATE, WIRE_LOGIN_REPLY)
                 ->login_reply;
    assert_int_equal(f->message.tag, 4);
    if (reply->status == WIRE_OK) {
        assert_true(id_equal(&reply->mailbox, &f->mailbox));
        f->slot = reply->slot;
        assert_int_equal(reply->pass.len, is_submission ? 0 : PASS_BYTES);
        if (!is_submission)
            memcpy(f->pass, reply->pass.ptr, PASS_BYTES);
    } else if (reply->status != WIRE_UNAVAILABLE) {
        assert_true(reply->delay_ms > 200 && reply->delay_ms <= 250);
        assert_int_equal(reply->pass.len, 0);
    }
    return (enum wire_status)reply->status;
}

/* The mailbox process, which has just heard its key, would let this session in. */
static void expect_pass(struct fixture *f, const struct id *session)
{
    CLEANUP(secret_free) struct secret *mailbox_key = secret_copy(f->message.body.mailbox_key.key);
    CLEANUP(secret_free) struct secret *key = pass_key(mailbox_key);
    struct str pass = str_make(f->pass, PASS_BYTES);

    uint64_t since = f->message.body.mailbox_key.passes_since;

    assert_true(pass_is_valid(key, session, WIRE_SERVICE_IMAP, since, pass));
    assert_false(pass_is_valid(key, session, WIRE_SERVICE_POP3, since, pass));
}

static void test_a_key_lives_as_long_as_its_sessions(void **state)
{
    struct fixture *f = *state;
    struct id one = id_random(), two = id_random(), three = id_random();
    struct wire_session_close close_two = {.session = two, .mailbox = f->mailbox};

    (void)close(start_mailbox(f, &f->mailbox, false, WIRE_DENIED));
    (void)close(start_mailbox(f, &f->mailbox, true, WIRE_DENIED)); /* was made already */
    assert_int_equal(log_in(f, &three, WIRE_SERVICE_SUBMISSION, "you@demo.test", f->password,
                            "192.0.2.1"),
                     WIRE_OK);
    (void)close(start_mailbox(f, &f->mailbox, false, WIRE_DENIED)); /* sending needs no key */
    assert_int_equal(log_in(f, &one, WIRE_SERVICE_IMAP, "YOU+x@demo.test", f->password,
                            "192.0.2.1"),
                     WIRE_OK);
    assert_int_equal(
        log_in(f, &two, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "192.0.2.1"), WIRE_OK);
    (void)close(start_mailbox(f, &f->mailbox, false, WIRE_OK));
    expect_pass(f, &two);
    send_to(f->peers[GATE], WIRE_SESSION_CLOSE, 0, &close_two, NULL, 0);
    (void)log_in(f, &three, WIRE_SERVICE_IMAP, "you@demo.test", "x", "192.0.2.1"); /* in order */
    (void)close(start_mailbox(f, &f->mailbox, false, WIRE_OK));
    /* The gate dies, and its sessions with it. */
    (void)close(f->peers[GATE]);
    connect_peer(f, GATE);
    (void)log_in(f, &three, WIRE_SERVICE_IMAP, "you@demo.test", "x", "192.0.2.1");
    (void)close(start_mailbox(f, &f->mailbox, false, WIRE_DENIED));
}

static void test_failures_are_throttled(void **state)
{
    struct fixture *f = *state;
    struct id session = id_random();

    for (int i = 0; i < 5; i++)
        assert_int_equal(log_in(f, &session, WIRE_SERVICE_IMAP,
                                i == 1 ? "no@demo.test" : "you@demo.test", "x", "192.0.2.1"),
                         WIRE_DENIED);
    assert_int_equal(
        log_in(f, &session, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "192.0.2.1"),
        WIRE_THROTTLED);
    assert_int_equal(
        log_in(f, &session, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "192.0.2.2"),
        WIRE_OK);
}

static enum wire_status recipient(struct fixture *f, const char *address, uint64_t size_bytes)
{
    struct wire_recipient body = {.address = str_from_c(address), .size_bytes = size_bytes};

    send_to(f->peers[SMTP], WIRE_RECIPIENT, 5, &body, NULL, 0);
    return (enum wire_status)receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_RECIPIENT_REPLY)
        ->recipient_reply.status;
}

static void test_quota_reaches_smtp_and_mailbox(void **state)
{
    struct fixture *f = *state;
    struct id session = id_random();
    struct wire_mailbox_usage drop = {.mailbox = f->mailbox, .is_drop = true, .bytes = 100};
    int channel;

    assert_int_equal(recipient(f, "you@demo.test", 1000), WIRE_OK);
    assert_int_equal(recipient(f, "no@demo.test", 1000), WIRE_UNKNOWN);
    assert_int_equal(recipient(f, "you@else.test", 1000), WIRE_NOT_LOCAL);
    assert_int_equal(
        log_in(f, &session, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "192.0.2.1"),
        WIRE_OK);
    channel = start_mailbox(f, &f->mailbox, false, WIRE_OK);
    assert_true(f->message.body.mailbox_key.limit_bytes == UINT64_MAX);
    ask_ok(f, "{'command':'user quota','arguments':{'name':'ann','size':'1K'}}");
    assert_int_equal(
        receive(f, channel, WIRE_ROLE_MAILBOX, WIRE_MAILBOX_LIMIT)->mailbox_limit.limit_bytes,
        1024);
    tell_usage(channel, &f->mailbox, 900, 2);
    send_to(f->peers[SEALER], WIRE_MAILBOX_USAGE, 0, &drop, NULL, 0);
    ask_ok(f, "{'command':'alias show','arguments':{'address':'you@demo.test'}}");
    assert_int_equal(recipient(f, "you@demo.test", 25), WIRE_OVER_QUOTA);
    assert_int_equal(recipient(f, "you@demo.test", 24), WIRE_OK);
    ask_ok(f, "{'command':'alias quota','arguments':{'address':'you@demo.test','size':'950'}}");
    assert_int_equal(
        receive(f, channel, WIRE_ROLE_MAILBOX, WIRE_MAILBOX_LIMIT)->mailbox_limit.limit_bytes,
        950);
    (void)close(channel);
}

/* A mailbox process outlives the keeper: the next one hears of its usage and tells it its limit, but
 * has no key to give. */
static void test_a_running_mailbox_meets_a_new_keeper(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_started body = {.mailbox = f->mailbox, .is_running = true};
    int ends[2];

    ask_ok(f, "{'command':'user quota','arguments':{'name':'ann','size':'1K'}}");
    stop_keeper(f, false);
    start_keeper(f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    send_to(f->peers[NURSERY], WIRE_MAILBOX_STARTED, 0, &body, &ends[1], 1);
    (void)close(ends[1]);
    bound_waits(ends[0]);
    assert_int_equal(
        receive(f, ends[0], WIRE_ROLE_MAILBOX, WIRE_MAILBOX_LIMIT)->mailbox_limit.limit_bytes,
        1024);
    tell_usage(ends[0], &f->mailbox, 900, 2);
    ask_ok(f, "{'command':'user quota','arguments':{'name':'ann','size':'2K'}}");
    assert_int_equal(
        receive(f, ends[0], WIRE_ROLE_MAILBOX, WIRE_MAILBOX_LIMIT)->mailbox_limit.limit_bytes,
        2048);
    assert_int_equal(recipient(f, "you@demo.test", 1149), WIRE_OVER_QUOTA);
    assert_int_equal(recipient(f, "you@demo.test", 1148), WIRE_OK);
    (void)close(ends[0]);
    (void)close(start_mailbox(f, &f->mailbox, false, WIRE_DENIED));
}

static void add_app_password(struct fixture *f, char out[static 40])
{
    char text[256];
    json_t *json;

    (void)snprintf(text, sizeof(text),
                   "{'command':'alias app-password add','arguments':{'address':'you@demo.test',"
                   "'name':'phone','password':'%s'}}",
                   f->password);
    ask(f, text);
    json = answer(f, "ok");
    (void)snprintf(out, 40, "%s", json_string_value(json_object_get(json, "password")));
    json_decref(json);
}

static void test_senders(void **state)
{
    struct fixture *f = *state;
    struct wire_sender body = {.mailbox = f->mailbox, .address = STR("You+x@demo.test")};
    struct id session = id_random();
    char app[40];

    add_app_password(f, app);
    assert_int_equal(
        log_in(f, &session, WIRE_SERVICE_SUBMISSION, "you@demo.test", app, "192.0.2.1"), WIRE_OK);
    body.slot = f->slot;
    send_to(f->peers[SMTP], WIRE_SENDER, 6, &body, NULL, 0);
    assert_int_equal(
        receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_SENDER_REPLY)->sender_reply.status,
        WIRE_OK);
    body.address = STR("me@demo.test");
    send_to(f->peers[SMTP], WIRE_SENDER, 6, &body, NULL, 0);
    assert_int_equal(
        receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_SENDER_REPLY)->sender_reply.status,
        WIRE_DENIED);
    /* The password goes: so does whoever logged in with it. */
    ask_ok(f, "{'command':'alias app-password remove','arguments':{'address':'you@demo.test',"
              "'name':'phone'}}");
    body.address = STR("you@demo.test");
    send_to(f->peers[SMTP], WIRE_SENDER, 6, &body, NULL, 0);
    assert_int_equal(
        receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_SENDER_REPLY)->sender_reply.status,
        WIRE_DISABLED);
}

/* Killed between a mailbox's row and its file: the next keeper has it removed. */
static void test_a_crash_while_a_mailbox_is_made(void **state)
{
    struct fixture *f = *state;
    struct wire_mailbox_remove_reply removed = {.status = WIRE_OK};
    struct id session = id_random(), id;

    ask(f, "{'command':'alias add','arguments':{'address':'new@demo.test'}}");
    id = receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_MAILBOX_CREATE)->mailbox_create.mailbox;
    stop_keeper(f, false);
    start_keeper(f);
    removed.mailbox =
        receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_MAILBOX_REMOVE)->mailbox_remove.mailbox;
    assert_true(id_equal(&removed.mailbox, &id));
    send_to(f->peers[STORE], WIRE_MAILBOX_REMOVE_REPLY, 0, &removed, NULL, 0);
    assert_int_equal(recipient(f, "new@demo.test", 0), WIRE_UNKNOWN);
    assert_int_equal(
        log_in(f, &session, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "192.0.2.1"),
        WIRE_OK);
}

/* --- mail beyond the host ------------------------------------------------------------------- */

/* As if the domains were from before there were keys. */
static void remove_keys(struct fixture *f)
{
    CLEANUP(secret_free) struct secret *host_key = secret_copy(str_from_c(host_key_text));
    CLEANUP(secret_free) struct secret *database_key = account_database_key(host_key);
    struct db *db = NULL;
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/account/account.sqlite", f->folder);
    assert_int_equal(db_open(&f->task, path, DB_OPEN, database_key, &db), ERR_OK);
    assert_int_equal(db_execute(db, &f->task, "DELETE FROM dkim_keys"), ERR_OK);
    db_close(&db);
}

/* What the courier is given is what it derives its keys from, and the keeper shares one of them. */
static void test_bounces_to_rewritten_senders_go_back(void **state)
{
    struct fixture *f = *state;
    CLEANUP(secret_free) struct secret *given = secret_copy(
        receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY)->host_key.key);
    CLEANUP(secret_free) struct secret *srs = courier_srs_key(given);
    struct wire_recipient asked = {.sender = STR("")};
    const struct wire_recipient_reply *reply;
    struct buf rewritten;

    buf_init(&rewritten, SIZE_MAX);
    assert_int_equal(srs_rewrite(&f->task, secret_str(srs), STR("Peer@elsewhere.test"),
                                 STR("demo.test"), clock_now_ms(), &rewritten),
                     ERR_OK);
    asked.address = buf_str(&rewritten);
    send_to(f->peers[SMTP], WIRE_RECIPIENT, 5, &asked, NULL, 0);
    reply = &receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_RECIPIENT_REPLY)->recipient_reply;
    assert_int_equal(reply->status, WIRE_OK);
    assert_false(reply->has_mailbox);
    assert_true(str_equal(reply->routes,
                          STR("[{\"kind\":\"return\",\"to\":\"Peer@elsewhere.test\"}]")));
    rewritten.ptr[5] = rewritten.ptr[5] == 'A' ? 'B' : 'A'; /* in the hash */
    asked.address = buf_str(&rewritten);
    send_to(f->peers[SMTP], WIRE_RECIPIENT, 5, &asked, NULL, 0);
    reply = &receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_RECIPIENT_REPLY)->recipient_reply;
    assert_int_equal(reply->status, WIRE_REFUSED);
    buf_free(&rewritten);
}

static const struct wire_signing_keys_reply *signing_keys(struct fixture *f, const char *domain)
{
    struct wire_signing_keys body = {.domain = str_from_c(domain)};

    send_to(f->peers[COURIER], WIRE_SIGNING_KEYS, 8, &body, NULL, 0);
    return &receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_SIGNING_KEYS_REPLY)
                ->signing_keys_reply;
}

/* The status of the next answer to the administrator. */
static bool is_next_found(struct fixture *f)
{
    const union wire_body *body = receive(f, f->admin, WIRE_ROLE_CLI, WIRE_ADMIN_REPLY);

    return str_find(body->admin_reply.json, STR("\"not-found\"")) < 0;
}

/*
 * Five domains want keys when somebody asks for the last of them: he hears that it is not there yet, so
 * he did not wait for them. All six questions are there before the keeper reads the first, and one key
 * is made after the other: so chance has no say in it.
 */
static void test_others_are_answered_while_keys_are_made(void **state)
{
    static const char *const domains[] = {"a1.test", "a2.test", "a3.test", "a4.test", "a5.test"};
    struct buf keys[ARRAY_LEN(domains)];
    struct fixture *f = *state;
    size_t missing = 0;
    char text[128];

    (void)receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
    assert_int_equal(kill(f->pid, SIGSTOP), 0);
    for (size_t i = 0; i < ARRAY_LEN(domains); i++) {
        (void)snprintf(text, sizeof(text), "{'command':'domain add','arguments':{'domain':'%s'}}",
                       domains[i]);
        ask(f, text);
    }
    ask(f, "{'command':'domain show','arguments':{'domain':'a5.test'}}");
    assert_int_equal(kill(f->pid, SIGCONT), 0);
    for (size_t i = 0; i < ARRAY_LEN(domains) + 1; i++)
        missing += !is_next_found(f);
    assert_int_equal(missing, 1);
    /* Each has keys of its own: a child does not go on with its parent's random numbers. */
    for (size_t i = 0; i < ARRAY_LEN(domains); i++) {
        buf_init(&keys[i], SIZE_MAX);
        buf_put(&keys[i], signing_keys(f, domains[i])->rsa_key);
        assert_true(keys[i].len > 1000);
        for (size_t k = 0; k < i; k++)
            assert_false(str_equal(buf_str(&keys[i]), buf_str(&keys[k])));
    }
    for (size_t i = 0; i < ARRAY_LEN(domains); i++)
        buf_free(&keys[i]);
    /* Who has gone meanwhile gets his domain all the same. */
    ask(f, "{'command':'domain add','arguments':{'domain':'gone.test'}}");
    (void)close(f->admin);
    connect_admin(f);
    for (int i = 0; i < 100 && signing_keys(f, "gone.test")->status != WIRE_OK; i++)
        (void)usleep(100 * 1000);
    assert_int_equal(signing_keys(f, "gone.test")->status, WIRE_OK);
    /* A stop does not wait for a key. */
    ask(f, "{'command':'domain add','arguments':{'domain':'late.test'}}");
}

static void test_keys_to_sign_with(void **state)
{
    struct fixture *f = *state;
    const struct wire_signing_keys_reply *keys;
    struct buf record;
    json_t *json;

    (void)receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
    assert_int_equal(signing_keys(f, "elsewhere.test")->status, WIRE_UNKNOWN);
    keys = signing_keys(f, "demo.test");
    assert_int_equal(keys->status, WIRE_OK);
    assert_true(keys->rsa_selector.len > 0 && keys->ed25519_selector.len > 0);
    assert_true(keys->rsa_key.len > 1000 && keys->ed25519_key.len > 32);
    /* They are the very ones whose records are to be published. */
    buf_init(&record, SIZE_MAX);
    assert_int_equal(mailauth_key_record(&f->task, keys->ed25519_key, &record), ERR_OK);
    ask(f, "{'command':'domain dns','arguments':{'domain':'demo.test'}}");
    json = answer(f, "ok");
    assert_true(str_find(str_from_c(json_string_value(json_object_get(json, "message"))),
                         buf_str(&record)) > 0);
    json_decref(json);
    buf_free(&record);
}

/* A domain from before there were keys gets them soon after the start. */
static void test_keys_for_an_old_domain(void **state)
{
    struct fixture *f = *state;

    (void)receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
    stop_keeper(f, true);
    remove_keys(f);
    start_keeper(f);
    (void)receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
    assert_int_equal(signing_keys(f, "demo.test")->rsa_key.len, 0);
    for (int i = 0; i < 100 && signing_keys(f, "demo.test")->rsa_key.len == 0; i++)
        (void)usleep(100 * 1000);
    assert_true(signing_keys(f, "demo.test")->rsa_key.len > 1000);
    assert_true(signing_keys(f, "demo.test")->ed25519_key.len > 32);
}

static void test_commands_for_the_courier(void **state)
{
    struct fixture *f = *state;
    struct wire_admin_reply reply = {.json = STR("{\"status\":\"ok\",\"count\":2}"),
                                     .is_last = true};
    const struct wire_admin *asked;
    json_t *json;

    (void)receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
    ask(f, "{'command':'queue hold','arguments':{'id':'all'}}");
    asked = &receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_ADMIN)->admin;
    assert_true(str_equal(
        asked->json,
        STR("{\"command\":\"queue hold\",\"arguments\":{\"id\":\"all\"}}")));
    send_to(f->peers[COURIER], WIRE_ADMIN_REPLY, f->message.tag, &reply, NULL, 0);
    json = answer(f, "ok");
    assert_int_equal(json_integer_value(json_object_get(json, "count")), 2);
    json_decref(json);
    /* It dies while it is asked; and is not there. */
    ask(f, "{'command':'queue list'}");
    (void)receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_ADMIN);
    (void)close(f->peers[COURIER]);
    json_decref(answer(f, "busy"));
    ask(f, "{'command':'queue list'}");
    json_decref(answer(f, "busy"));
    connect_peer(f, COURIER);
    (void)receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
}

static void test_a_domain_s_records(void **state)
{
    struct fixture *f = *state;
    struct dns_record mx = {.name = STR("mx.test"), .preference = 10};
    const struct dns_answer there = {.records = &mx, .count = 1};
    struct wire_admin_reply policy = {
        .json = STR("{\"status\":\"ok\",\"mode\":\"enforce\",\"unnamed\":\"\"}"), .is_last = true};
    struct buf records;
    json_t *json, *item;
    size_t asked = 0;

    buf_init(&records, SIZE_MAX);
    dns_answer_encode(&there, &records);
    ask(f, "{'command':'domain check','arguments':{'domain':'demo.test'}}");
    do {
        const struct wire_dns_query *query =
            &receive(f, f->peers[RESOLVER], WIRE_ROLE_RESOLVER, WIRE_DNS_QUERY)->dns_query;
        bool is_mx = query->type == DNS_TYPE_MX && str_equal(query->name, STR("demo.test"));
        struct wire_dns_answer body = {.status = is_mx ? DNS_OK : DNS_NO_NAME,
                                       .records = is_mx ? buf_str(&records) : STR("")};

        send_to(f->peers[RESOLVER], WIRE_DNS_ANSWER, f->message.tag, &body, NULL, 0);
    } while (++asked < 13);
    (void)receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_HOST_KEY);
    assert_true(str_equal(receive(f, f->peers[COURIER], WIRE_ROLE_COURIER, WIRE_ADMIN)->admin.json,
                          STR("{\"command\":\"sts policy\",\"arguments\":"
                              "{\"domain\":\"demo.test\",\"hosts\":[\"mx.test\"]}}")));
    send_to(f->peers[COURIER], WIRE_ADMIN_REPLY, f->message.tag, &policy, NULL, 0);
    json = answer(f, "ok");
    assert_int_equal(json_array_size(json_object_get(json, "items")), 14);
    item = json_array_get(json_object_get(json, "items"), 2);
    assert_string_equal(json_string_value(json_object_get(item, "type")), "MX");
    assert_string_equal(json_string_value(json_object_get(item, "state")), "right");
    item = json_array_get(json_object_get(json, "items"), 3);
    assert_string_equal(json_string_value(json_object_get(item, "state")), "missing");
    json_decref(json);
    buf_free(&records);
}

static void test_daily_limits_outlive_the_keeper(void **state)
{
    struct fixture *f = *state;
    struct wire_recipient body = {.address = STR("x@elsewhere.test"),
                                  .login = f->mailbox,
                                  .sender = STR("you@demo.test")};
    static const enum wire_status expected[] = {WIRE_NOT_LOCAL, WIRE_NOT_LOCAL, WIRE_DEFERRED};

    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        send_to(f->peers[SMTP], WIRE_RECIPIENT, 5, &body, NULL, 0);
        assert_int_equal(receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_RECIPIENT_REPLY)
                             ->recipient_reply.status,
                         expected[i]);
    }
    stop_keeper(f, true);
    start_keeper(f);
    send_to(f->peers[SMTP], WIRE_RECIPIENT, 5, &body, NULL, 0);
    assert_int_equal(receive(f, f->peers[SMTP], WIRE_ROLE_SMTP, WIRE_RECIPIENT_REPLY)
                         ->recipient_reply.status,
                     WIRE_DEFERRED);
}

/* Not a wrong password: nothing is counted against it, and one that ends makes room for another. */
static void test_a_mailbox_has_so_many_sessions(void **state)
{
    struct fixture *f = *state;
    struct wire_session_close close_one = {.mailbox = f->mailbox};
    struct id session;

    for (int i = 0; i < 10; i++) {
        session = id_random();
        assert_int_equal(
            log_in(f, &session, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "::1"), WIRE_OK);
    }
    close_one.session = session;
    for (int i = 0; i < 6; i++) {
        session = id_random();
        assert_int_equal(log_in(f, &session, i % 2 == 0 ? WIRE_SERVICE_IMAP : WIRE_SERVICE_POP3,
                                "you@demo.test", f->password, "::1"),
                         WIRE_UNAVAILABLE);
    }
    assert_int_equal(
        log_in(f, &session, WIRE_SERVICE_SUBMISSION, "you@demo.test", f->password, "::1"), WIRE_OK);
    send_to(f->peers[GATE], WIRE_SESSION_CLOSE, 0, &close_one, NULL, 0);
    assert_int_equal(log_in(f, &session, WIRE_SERVICE_POP3, "you@demo.test", f->password, "::1"),
                     WIRE_OK);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

/* The mailbox process, which has just heard its key, would do this job. */
static struct id expect_job(struct fixture *f, const char *json)
{
    const struct wire_job *job = &receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_JOB)->job;
    struct id session = job->session;
    unsigned char pass[PASS_BYTES];
    int channel;

    assert_true(id_equal(&job->mailbox, &f->mailbox));
    assert_true(str_equal(job->kind, STR("alias check")));
    assert_true(str_equal(job->json, str_from_c(json)));
    assert_int_equal(job->pass.len, PASS_BYTES);
    memcpy(pass, job->pass.ptr, PASS_BYTES);
    channel = start_mailbox(f, &f->mailbox, false, WIRE_OK);
    {
        CLEANUP(secret_free) struct secret *mailbox_key =
            secret_copy(f->message.body.mailbox_key.key);
        CLEANUP(secret_free) struct secret *key = pass_key(mailbox_key);

        assert_true(pass_is_valid(key, &session, WIRE_SERVICE_JOB, 0, str_make(pass, PASS_BYTES)));
        assert_false(pass_is_valid(key, &session, WIRE_SERVICE_IMAP, 0, str_make(pass, PASS_BYTES)));
    }
    (void)close(channel);
    return session;
}

/* A job is a session: its mailbox has a key for as long. */
static void test_jobs(void **state)
{
    static const char arguments[] = "{\"address\":\"you@demo.test\"}";
    struct fixture *f = *state;
    struct wire_job_reply reply = {.mailbox = f->mailbox, .json = STR("{\"done\":1}")};
    char command[256];

    (void)snprintf(command, sizeof(command),
                   "{'command':'alias check','arguments':{'address':'you@demo.test',"
                   "'password':'%s'}}",
                   f->password);
    ask(f, "{'command':'alias check','arguments':{'address':'you@demo.test','password':'x'}}");
    json_decref(answer(f, "denied"));
    ask(f, command);
    reply.session = expect_job(f, arguments);
    send_to(f->peers[STORE], WIRE_JOB_REPLY, 0, &reply, NULL, 0);
    assert_false(receive(f, f->admin, WIRE_ROLE_CLI, WIRE_ADMIN_REPLY)->admin_reply.is_last);
    reply.is_last = true;
    send_to(f->peers[STORE], WIRE_JOB_REPLY, 0, &reply, NULL, 0);
    json_decref(answer(f, "ok"));
    (void)close(start_mailbox(f, &f->mailbox, false, WIRE_DENIED));
    /* Who asked goes: it is cancelled, and ends with its last reply. */
    ask(f, command);
    reply.session = expect_job(f, arguments);
    (void)close(f->admin);
    assert_true(id_equal(
        &receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_JOB_CANCEL)->job_cancel.session,
        &reply.session));
    (void)close(start_mailbox(f, &f->mailbox, false, WIRE_OK));
    send_to(f->peers[STORE], WIRE_JOB_REPLY, 0, &reply, NULL, 0);
    connect_admin(f);
    ask_ok(f, "{'command':'status'}"); /* in order */
    (void)close(start_mailbox(f, &f->mailbox, false, WIRE_DENIED));
    /* The store goes. */
    ask(f, command);
    (void)expect_job(f, arguments);
    (void)close(f->peers[STORE]);
    connect_peer(f, STORE);
    json_decref(answer(f, "busy"));
    (void)close(start_mailbox(f, &f->mailbox, false, WIRE_DENIED));
}

static json_t *ask_with(struct fixture *f, const char *command, const char *argument,
                        const char *password)
{
    char text[256];

    (void)snprintf(text, sizeof(text),
                   "{'command':'%s','arguments':{'address':'you@demo.test','%s':'%s'}}", command,
                   argument, password);
    ask(f, text);
    return answer(f, "ok");
}

/* The store's end of a new password: sessions end, and the file is re-encrypted. */
static struct wire_job_reply expect_rekey(struct fixture *f)
{
    struct wire_job_reply reply = {.mailbox = f->mailbox, .is_last = true};
    const struct wire_job *job = &receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_JOB)->job;

    assert_true(str_equal(job->kind, STR("re-encrypt")));
    reply.session = job->session;
    return reply;
}

/* Both keys go to the mailbox's process until it says which of them the file is under. */
static void test_a_new_password(void **state)
{
    struct fixture *f = *state;
    struct id session = id_random(), other = id_random(), third = id_random();
    struct id app_session = id_random();
    struct wire_mailbox_started started = {.mailbox = f->mailbox};
    struct wire_mailbox_rekeyed rekeyed = {.mailbox = f->mailbox};
    const struct wire_mailbox_key *key;
    struct wire_job_reply reply;
    unsigned char check[PASS_CHECK_BYTES], before[PASS_BYTES];
    char app[40], old[40];
    json_t *json;
    int ends[2];

    (void)snprintf(old, sizeof(old), "%s", f->password);
    ask(f, "{'command':'status'}");
    json_decref(answer(f, "ok"));
    add_app_password(f, app);
    json = ask_with(f, "alias password", "old-password", old);
    (void)snprintf(f->password, sizeof(f->password), "%s",
                   json_string_value(json_object_get(json, "password")));
    json_decref(json);
    /* Not seen yet: the old one opens, and nothing is re-encrypted. */
    assert_int_equal(log_in(f, &session, WIRE_SERVICE_IMAP, "you@demo.test", old, "192.0.2.1"), WIRE_OK);
    memcpy(before, f->pass, sizeof(before));
    assert_int_equal(log_in(f, &app_session, WIRE_SERVICE_IMAP, "you@demo.test", app, "192.0.2.1"),
                     WIRE_OK);
    /* Its first use is the confirmation. */
    assert_int_equal(log_in(f, &other, WIRE_SERVICE_IMAP, "you@demo.test", f->password, "192.0.2.1"),
                     WIRE_OK);
    (void)receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_MAILBOX_EXPEL);
    reply = expect_rekey(f);
    assert_int_equal(log_in(f, &third, WIRE_SERVICE_IMAP, "you@demo.test", old, "192.0.2.1"),
                     WIRE_DENIED);
    /* The process gets both keys, also for an app password's session. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    send_to(f->peers[NURSERY], WIRE_MAILBOX_STARTED, 0, &started, &ends[1], 1);
    (void)close(ends[1]);
    bound_waits(ends[0]);
    key = &receive(f, ends[0], WIRE_ROLE_MAILBOX, WIRE_MAILBOX_KEY)->mailbox_key;
    assert_int_equal(key->key.len, 48);
    assert_int_equal(key->next_key.len, 48);
    {
        CLEANUP(secret_free) struct secret *next = secret_copy(key->next_key);
        CLEANUP(secret_free) struct secret *first = secret_copy(key->key);
        CLEANUP(secret_free) struct secret *passes = pass_key(first);

        pass_key_check(next, check);
        /* Who was let in before all sessions were ended, and comes to the process late. */
        assert_true(pass_is_valid(passes, &session, WIRE_SERVICE_IMAP, 0,
                                  str_make(before, sizeof(before))));
        assert_false(pass_is_valid(passes, &session, WIRE_SERVICE_IMAP, key->passes_since,
                                   str_make(before, sizeof(before))));
        assert_true(pass_is_valid(passes, &other, WIRE_SERVICE_IMAP, key->passes_since,
                                  str_make(f->pass, sizeof(f->pass))));
    }
    /* Another key than the one that comes changes nothing. */
    check[0] ^= 1;
    rekeyed.check = str_make(check, sizeof(check));
    send_to(ends[0], WIRE_MAILBOX_REKEYED, 0, &rekeyed, NULL, 0);
    ask(f, "{'command':'status'}");
    json_decref(answer(f, "ok"));
    check[0] ^= 1;
    send_to(ends[0], WIRE_MAILBOX_REKEYED, 0, &rekeyed, NULL, 0);
    reply.status = WIRE_OK;
    send_to(f->peers[STORE], WIRE_JOB_REPLY, 0, &reply, NULL, 0);
    ask(f, "{'command':'status'}");
    json_decref(answer(f, "ok"));
    (void)close(ends[0]);
    /* One key again, the next one, for whoever logs in. */
    assert_int_equal(log_in(f, &third, WIRE_SERVICE_IMAP, "you@demo.test", app, "192.0.2.1"), WIRE_OK);
    (void)close(start_mailbox(f, &f->mailbox, false, WIRE_OK));
    assert_int_equal(f->message.body.mailbox_key.next_key.len, 0);
    {
        CLEANUP(secret_free) struct secret *now = secret_copy(f->message.body.mailbox_key.key);
        unsigned char again[PASS_CHECK_BYTES];

        pass_key_check(now, again);
        assert_memory_equal(again, check, sizeof(check));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_key_lives_as_long_as_its_sessions),
        TEST(test_failures_are_throttled),
        TEST(test_quota_reaches_smtp_and_mailbox),
        TEST(test_a_running_mailbox_meets_a_new_keeper),
        TEST(test_senders),
        TEST(test_a_crash_while_a_mailbox_is_made),
        TEST(test_bounces_to_rewritten_senders_go_back),
        TEST(test_others_are_answered_while_keys_are_made),
        TEST(test_keys_to_sign_with),
        TEST(test_keys_for_an_old_domain),
        TEST(test_commands_for_the_courier),
        TEST(test_a_domain_s_records),
        TEST(test_daily_limits_outlive_the_keeper),
        TEST(test_a_mailbox_has_so_many_sessions),
        TEST(test_jobs),
        TEST(test_a_new_password),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
