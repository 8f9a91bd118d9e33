#include "role/keeper_fixture.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/scratch.h"
#include "role/roles.h"
#include "secret/secret.h"
#include "sqlite/db.h"
#include "wire/socket.h"

#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const enum wire_role peer_roles[FIXTURE_PEERS] = {
    WIRE_ROLE_GATE, WIRE_ROLE_STORE,   WIRE_ROLE_NURSERY, WIRE_ROLE_SEALER,
    WIRE_ROLE_SMTP, WIRE_ROLE_COURIER, WIRE_ROLE_RESOLVER};

const union wire_body *fixture_receive(struct fixture *f, int fd, enum wire_role self,
                                       enum wire_type type)
{
    enum err err =
        wire_receive_blocking(&f->task, fd, self, WIRE_ROLE_KEEPER, &f->storage, &f->message);

    assert_int_equal(err, ERR_OK);
    assert_int_equal(f->message.type, type);
    return &f->message.body;
}

/* --- as master ------------------------------------------------------------------------------ */

void fixture_connect_peer(struct fixture *f, size_t peer)
{
    f->peers[peer] = role_trial_connect(&f->process, peer_roles[peer]);
}

static void configure(struct fixture *f)
{
    CLEANUP(buf_free) struct buf settings;

    buf_init(&settings, SIZE_MAX);
    buf_putf(&settings,
             "data = \"%s\"\nsandbox_required = no\nlog_level = error\nhostname = \"mx.test\"\n"
             "submission_per_user = 2\nsessions_per_mailbox_max = 10\n"
             "failures_per_address = 5\nfailures_per_account = 8\n",
             f->folder);
    role_trial_configure(&f->process, (struct str[]){buf_str(&settings), STR(FIXTURE_HOST_KEY)}, 2);
}

static void listen_for_admin(struct fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct wire_listener body = {.name = STR("admin")};
    int listener;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->socket);
    (void)unlink(f->socket);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 5), 0);
    role_trial_send(f->process.master, WIRE_LISTENER, 0, &body, &listener, 1);
    (void)close(listener);
}

void fixture_connect_admin(struct fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->socket);
    f->admin = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(f->admin, (struct sockaddr *)&address, sizeof(address)), 0);
    role_trial_bound_waits(f->admin);
}

void fixture_start(struct fixture *f)
{
    role_trial_fork(&f->process, &role_keeper);
    configure(f);
    listen_for_admin(f);
    for (size_t i = 0; i < FIXTURE_PEERS; i++)
        fixture_connect_peer(f, i);
    role_trial_start(&f->process);
    fixture_connect_admin(f);
}

void fixture_stop(struct fixture *f, bool is_orderly)
{
    int status;

    if (is_orderly)
        role_trial_ask_stop(&f->process);
    else
        assert_int_equal(kill(f->process.pid, SIGKILL), 0);
    status = role_trial_wait(&f->process);
    if (is_orderly)
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (size_t i = 0; i < FIXTURE_PEERS; i++)
        (void)close(f->peers[i]);
    (void)close(f->admin);
}

/* --- as administrator ----------------------------------------------------------------------- */

void fixture_ask(struct fixture *f, const char *json)
{
    char text[512];
    struct wire_admin body;

    (void)snprintf(text, sizeof(text), "%s", json);
    for (char *at = text; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    body.json = str_from_c(text);
    role_trial_send(f->admin, WIRE_ADMIN, 9, &body, NULL, 0);
}

json_t *fixture_answer(struct fixture *f, const char *status)
{
    const union wire_body *body = fixture_receive(f, f->admin, WIRE_ROLE_CLI, WIRE_ADMIN_REPLY);
    json_error_t error;
    json_t *json = json_loadb(body->admin_reply.json.ptr, body->admin_reply.json.len, 0, &error);

    assert_int_equal(f->message.tag, 9);
    assert_string_equal(json_string_value(json_object_get(json, "status")), status);
    return json;
}

void fixture_ask_ok(struct fixture *f, const char *json)
{
    fixture_ask(f, json);
    json_decref(fixture_answer(f, "ok"));
}

/* --- as nursery and mailbox ----------------------------------------------------------------- */

int fixture_connect_mailbox(struct fixture *f, const struct wire_mailbox_started *started)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    role_trial_send(f->peers[NURSERY], WIRE_MAILBOX_STARTED, 0, started, &ends[1], 1);
    (void)close(ends[1]);
    role_trial_bound_waits(ends[0]);
    return ends[0];
}

int fixture_start_mailbox(struct fixture *f, const struct id *id, bool is_new,
                          enum wire_status expected)
{
    struct wire_mailbox_started body = {.mailbox = *id, .is_new = is_new};
    const struct wire_mailbox_key *key;
    int channel = fixture_connect_mailbox(f, &body);

    key = &fixture_receive(f, channel, WIRE_ROLE_MAILBOX, WIRE_MAILBOX_KEY)->mailbox_key;
    assert_int_equal(key->status, expected);
    assert_int_equal(key->key.len, expected == WIRE_OK ? 48 : 0);
    assert_int_equal(key->drop_key.len, expected == WIRE_OK ? 48 : 0);
    return channel;
}

void fixture_tell_usage(int channel, const struct id *id, uint64_t bytes, uint64_t counter)
{
    struct wire_mailbox_usage body = {
        .mailbox = *id, .bytes = bytes, .messages = 1, .epoch = 1, .change_counter = counter};

    role_trial_send(channel, WIRE_MAILBOX_USAGE, 0, &body, NULL, 0);
}

/* `alias add`, with the store's and nursery's parts. */
static void make_alias(struct fixture *f)
{
    struct wire_mailbox_create_reply created = {.status = WIRE_OK};
    json_t *json;
    int channel;

    fixture_ask(f, "{'command':'alias add','arguments':{'address':'you@demo.test','user':'ann'}}");
    created.mailbox = fixture_receive(f, f->peers[STORE], WIRE_ROLE_STORE, WIRE_MAILBOX_CREATE)
                          ->mailbox_create.mailbox;
    channel = fixture_start_mailbox(f, &created.mailbox, true, WIRE_OK);
    fixture_tell_usage(channel, &created.mailbox, 0, 1);
    (void)close(channel);
    role_trial_send(f->peers[STORE], WIRE_MAILBOX_CREATE_REPLY, 0, &created, NULL, 0);
    json = fixture_answer(f, "ok");
    (void)snprintf(f->password, sizeof(f->password), "%s",
                   json_string_value(json_object_get(json, "password")));
    json_decref(json);
    f->mailbox = created.mailbox;
}

int fixture_set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    scratch_folder(f->folder, sizeof(f->folder), "keeper-test");
    (void)snprintf(f->socket, sizeof(f->socket), "%s/admin.sock", f->folder);
    buf_init(&f->storage, SIZE_MAX);
    task_init(&f->task, clock_now_ms());
    fixture_start(f);
    assert_int_equal(
        fixture_receive(f, f->peers[SEALER], WIRE_ROLE_SEALER, WIRE_HOST_KEY)->host_key.key.len,
        32);
    fixture_ask_ok(f, "{'command':'domain add','arguments':{'domain':'demo.test'}}");
    make_alias(f);
    *state = f;
    return 0;
}

int fixture_tear_down(void **state)
{
    struct fixture *f = *state;
    char command[96];

    fixture_stop(f, true);
    buf_free(&f->storage);
    task_done(&f->task);
    (void)snprintf(command, sizeof(command), "rm -r '%s'", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

void fixture_init_libraries(void)
{
    secret_init();
    db_init_library();
}
