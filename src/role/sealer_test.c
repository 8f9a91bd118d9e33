/*
 * The sealer as a process, with the test as master, keeper, store and owner: what it answers with OK
 * is in the drop file and opens with the owner's keys, in whatever order its peers come and go.
 */
#include "role/roles.h"
#include "role/trial.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "base/scratch.h"
#include "dropbox/key.h"
#include "dropbox/lane.h"
#include "dropbox/lock.h"
#include "dropbox/records.h"
#include "dropbox/seal.h"
#include "wire/channel.h"
#include "wire/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAILS_MAX = 2000, PATH_ROOM = 256 };

struct fixture {
    char folder[64], drop[PATH_ROOM];
    struct role_trial process;
    int keeper, store; /* our ends */
    struct buf storage;
    struct task task;
    struct wire_message message; /* the last received */
    struct id mailbox;
    struct secret *drop_root, *boot_key_1, *owner_secret;
    bool is_acknowledged[MAILS_MAX]; /* by tag, which is the message's number */
};

static const union wire_body *receive(struct fixture *f, int fd, enum wire_role self,
                                      enum wire_type type)
{
    enum err err = wire_receive_blocking(&f->task, fd, self, WIRE_ROLE_SEALER, &f->storage,
                                         &f->message);

    assert_int_equal(err, ERR_OK);
    assert_int_equal(f->message.type, type);
    return &f->message.body;
}

/* --- as master --------------------------------------------------------------------------------- */

static void start_sealer(struct fixture *f)
{
    CLEANUP(buf_free) struct buf settings;

    buf_init(&settings, SIZE_MAX);
    buf_putf(&settings, "data = \"%s\"\nsandbox_required = no\nlog_level = error\n", f->folder);
    role_trial_fork(&f->process, &role_sealer);
    role_trial_configure(&f->process, (struct str[]){buf_str(&settings)}, 1);
    f->keeper = role_trial_connect(&f->process, WIRE_ROLE_KEEPER);
    f->store = role_trial_connect(&f->process, WIRE_ROLE_STORE);
    role_trial_start(&f->process);
}

static void stop_sealer(struct fixture *f, bool is_orderly)
{
    int status;

    if (is_orderly)
        role_trial_ask_stop(&f->process);
    else
        assert_int_equal(kill(f->process.pid, SIGKILL), 0);
    status = role_trial_wait(&f->process);
    if (is_orderly)
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)close(f->keeper);
    (void)close(f->store);
}

/* --- as keeper --------------------------------------------------------------------------------- */

static void give_key(struct fixture *f)
{
    struct wire_host_key body = {.key = secret_str(f->drop_root)};

    role_trial_send(f->keeper, WIRE_HOST_KEY, 0, &body, NULL, 0);
}

static uint64_t told_messages(struct fixture *f)
{
    const struct wire_mailbox_usage *usage =
        &receive(f, f->keeper, WIRE_ROLE_KEEPER, WIRE_MAILBOX_USAGE)->mailbox_usage;

    assert_true(usage->is_drop && id_equal(&usage->mailbox, &f->mailbox));
    return usage->messages;
}

/* --- as store ---------------------------------------------------------------------------------- */

/* Message number `tag`, of `size_bytes` or a little more. */
static void send_mail(struct fixture *f, const struct id *mailbox, uint64_t tag, size_t size_bytes)
{
    struct wire_deliver body = {.mailbox = *mailbox, .sender = STR("a@x"), .recipient = STR("b@y"),
                                .received_ms = 1795322096789};
    struct buf text;
    int fd;

    buf_init(&text, SIZE_MAX);
    buf_putf(&text, "number %llu.", (unsigned long long)tag);
    while (text.len < size_bytes)
        buf_putf(&text, "%*s", 64, "");
    body.size_bytes = text.len;
    assert_int_equal(memfd_from(&f->task, buf_str(&text), &fd), ERR_OK);
    role_trial_send(f->store, WIRE_DELIVER, tag, &body, &fd, 1);
    (void)close(fd);
    buf_free(&text);
}

static enum wire_status reply_to(struct fixture *f, uint64_t tag)
{
    enum wire_status status = (enum wire_status)receive(f, f->store, WIRE_ROLE_STORE,
                                                        WIRE_DELIVER_REPLY)
                                  ->deliver_reply.status;

    assert_int_equal(f->message.tag, tag);
    if (status == WIRE_OK)
        f->is_acknowledged[tag] = true;
    return status;
}

static enum wire_status deliver(struct fixture *f, uint64_t tag)
{
    send_mail(f, &f->mailbox, tag, 10);
    return reply_to(f, tag);
}

static void send_release(struct fixture *f, uint64_t tag)
{
    struct wire_lane_release body = {.mailbox = f->mailbox};

    role_trial_send(f->store, WIRE_LANE_RELEASE, tag, &body, NULL, 0);
}

static void expect_released(struct fixture *f, uint64_t tag)
{
    const struct wire_lane_release_reply *reply =
        &receive(f, f->store, WIRE_ROLE_STORE, WIRE_LANE_RELEASE_REPLY)->lane_release_reply;

    assert_int_equal(f->message.tag, tag);
    assert_int_equal(reply->status, WIRE_OK);
    assert_true(id_equal(&reply->mailbox, &f->mailbox));
}

static bool is_silent(int fd)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};

    return poll(&waiting, 1, 200) == 0;
}

/* --- as owner ---------------------------------------------------------------------------------- */

struct reading {
    struct fixture *f;
    bool seen[MAILS_MAX];
    uint64_t last_boot;
};

static enum err read_record(void *owner, struct task *task, const struct record *record,
                            bool *out_stop)
{
    CLEANUP(secret_free) struct secret *boot_key = NULL;
    CLEANUP(buf_free) struct buf storage;
    CLEANUP(chain_done) struct chain chain = {.key = NULL};
    struct chain_place place = record->place;
    struct reading *reading = owner;
    struct dropbox_mail mail;
    struct str number;
    uint32_t value;

    (void)out_stop;
    buf_init(&storage, SIZE_MAX);
    boot_key = secret_copy(secret_str(reading->f->boot_key_1));
    for (place.boot = 1; place.boot < record->place.boot; place.boot++)
        chain_next_boot(&place, boot_key, boot_key);
    chain_start(&chain, &record->place, boot_key);
    while (chain.n < record->n)
        chain_step(&chain);
    TRY(seal_open(record->sealed, task, &chain, reading->f->owner_secret, &storage, &mail));
    number = str_from(mail.raw, strlen("number "));
    assert_true(parse_u32(str_upto(number, (size_t)str_index(number, '.')), &value));
    assert_true(value < MAILS_MAX && !reading->seen[value]);
    reading->seen[value] = true;
    reading->last_boot = record->place.boot;
    return ERR_OK;
}

/* Every acknowledged message is there once and opens. Gives the last boot. */
static uint64_t check_records(struct fixture *f)
{
    CLEANUP(secret_free) struct secret *key = dropbox_key(f->drop_root, &f->mailbox);
    CLEANUP(records_close) struct records *records = NULL;
    struct reading reading = {.f = f};

    task_forgive(&f->task);
    assert_int_equal(records_open(&f->task, f->drop, &f->mailbox, key, false, &records), ERR_OK);
    if (records_each(records, &f->task, MAILS_MAX, read_record, &reading) != ERR_OK)
        fail_msg("%s", f->task.words);
    for (size_t i = 0; i < MAILS_MAX; i++)
        assert_true(reading.seen[i] || !f->is_acknowledged[i]);
    return reading.last_boot;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    unsigned char public[CRYPT_X25519_BYTES];
    struct lane lane;

    scratch_folder(f->folder, sizeof(f->folder), "sealer-test");
    buf_init(&f->storage, SIZE_MAX);
    task_init(&f->task, clock_now_ms());
    f->mailbox = id_random();
    (void)snprintf(f->drop, sizeof(f->drop), "%s/drop/%s/%s", f->folder,
                   f->mailbox.text + ID_TEXT_LEN - 2, f->mailbox.text);
    f->drop_root = secret_new(CRYPT_KEY_BYTES);
    random_bytes(secret_bytes(f->drop_root), CRYPT_KEY_BYTES);
    f->boot_key_1 = secret_new(CRYPT_KEY_BYTES);
    random_bytes(secret_bytes(f->boot_key_1), CRYPT_KEY_BYTES);
    f->owner_secret = crypt_x25519_new(public);
    assert_int_equal(dir_make(&f->task, AT_FDCWD, f->drop, true), ERR_OK);
    assert_int_equal(lane_create(&f->task, f->drop, &lane), ERR_OK);
    assert_int_equal(lane_write(&lane, &f->task, 1, 1, f->boot_key_1, public), ERR_OK);
    lane_close(&lane);
    start_sealer(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[96];

    stop_sealer(f, true);
    buf_free(&f->storage);
    task_done(&f->task);
    secret_free(&f->drop_root);
    secret_free(&f->boot_key_1);
    secret_free(&f->owner_secret);
    (void)snprintf(command, sizeof(command), "rm -r '%s'", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* --- tests ------------------------------------------------------------------------------------- */

/* The keeper is slow: what came before its key waits, and is then answered in order. */
static void test_a_late_key(void **state)
{
    struct fixture *f = *state;

    for (uint64_t tag = 1; tag <= 5; tag++)
        send_mail(f, &f->mailbox, tag, 10);
    send_release(f, 6);
    send_mail(f, &f->mailbox, 7, 10);
    assert_true(is_silent(f->store));
    give_key(f);
    for (uint64_t tag = 1; tag <= 5; tag++)
        assert_int_equal(reply_to(f, tag), WIRE_OK);
    expect_released(f, 6);
    assert_int_equal(reply_to(f, 7), WIRE_OK);
    assert_int_equal(told_messages(f), 5);
    assert_int_equal(told_messages(f), 0);
    assert_int_equal(told_messages(f), 6);
    give_key(f); /* a keeper that was restarted: the same key changes nothing */
    assert_int_equal(deliver(f, 8), WIRE_OK);
    assert_int_equal(told_messages(f), 7);
    send_release(f, 9);
    expect_released(f, 9);
    assert_int_equal(check_records(f), 2); /* one release in between: two boots */
}

/* Each release ends a boot, and stands between what came before it and after. */
static void test_releases_keep_their_place(void **state)
{
    struct fixture *f = *state;

    give_key(f);
    for (uint64_t round = 0; round < 10; round++) {
        uint64_t tag = round * 10;

        send_mail(f, &f->mailbox, tag, 10);
        send_mail(f, &f->mailbox, tag + 1, 10);
        send_release(f, tag + 2);
        send_release(f, tag + 3); /* of nothing */
        assert_int_equal(reply_to(f, tag), WIRE_OK);
        assert_int_equal(reply_to(f, tag + 1), WIRE_OK);
        expect_released(f, tag + 2);
        expect_released(f, tag + 3);
        assert_int_equal(check_records(f), round + 1);
    }
}

static void set_file_limit(struct fixture *f, rlim_t bytes)
{
    struct rlimit limit = {bytes, RLIM_INFINITY};

    assert_int_equal(prlimit(f->process.pid, RLIMIT_FSIZE, &limit, NULL), 0);
}

/* A refusal, nothing half done, and service again without a restart. */
static void test_a_full_disk(void **state)
{
    struct fixture *f = *state;

    give_key(f);
    assert_int_equal(deliver(f, 1), WIRE_OK);
    set_file_limit(f, 100 * 1024);
    send_mail(f, &f->mailbox, 2, 500 * 1024);
    assert_int_equal(reply_to(f, 2), WIRE_DISK_FULL);
    set_file_limit(f, 0);
    assert_int_equal(deliver(f, 3), WIRE_DISK_FULL);
    assert_int_equal(deliver(f, 4), WIRE_DISK_FULL);
    set_file_limit(f, RLIM_INFINITY);
    assert_int_equal(deliver(f, 5), WIRE_OK);
    send_mail(f, &f->mailbox, 6, 500 * 1024);
    assert_int_equal(reply_to(f, 6), WIRE_OK);
    send_release(f, 7);
    expect_released(f, 7);
    (void)check_records(f);
}

/* Killed with mail in flight, again and again: another boot goes on. */
static void test_restarts(void **state)
{
    struct fixture *f = *state;
    uint64_t tag = 0;

    for (int round = 0; round < 8; round++) {
        give_key(f);
        for (int i = 0; i < 3; i++, tag++)
            assert_int_equal(deliver(f, tag), WIRE_OK);
        for (int i = 0; i < 5; i++, tag++)
            send_mail(f, &f->mailbox, tag, 2000); /* nobody hears of these */
        stop_sealer(f, false);
        (void)check_records(f);
        start_sealer(f);
    }
}

/* A store that died: its mail is its own to send again; the next one is served. */
static void test_another_store(void **state)
{
    struct fixture *f = *state;

    for (uint64_t tag = 1; tag <= 5; tag++)
        send_mail(f, &f->mailbox, tag, 10); /* waits for the key */
    (void)close(f->store);
    f->store = role_trial_connect(&f->process, WIRE_ROLE_STORE);
    give_key(f);
    assert_int_equal(deliver(f, 6), WIRE_OK);
    assert_true(is_silent(f->store));
    send_release(f, 7);
    expect_released(f, 7);
    (void)check_records(f);
}

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    struct wire_deliver body = {.mailbox = f->mailbox};
    struct id other = id_random();
    int fd;

    give_key(f);
    send_mail(f, &other, 1, 10);
    assert_int_equal(reply_to(f, 1), WIRE_DAMAGED); /* put off: 550 would send the mail back */
    assert_int_equal(memfd_new(&f->task, &fd), ERR_OK); /* not sealed: it could change under us */
    role_trial_send(f->store, WIRE_DELIVER, 2, &body, &fd, 1);
    (void)close(fd);
    assert_int_equal(reply_to(f, 2), WIRE_INVALID);
    /* Its owner's process has the drop box, and no store said so. */
    assert_int_equal(dropbox_lock_take(&f->task, f->drop, 0, &fd), ERR_OK);
    assert_int_equal(deliver(f, 3), WIRE_UNAVAILABLE);
    fd_close(&fd);
    assert_int_equal(deliver(f, 4), WIRE_OK);
    assert_int_equal(dropbox_lock_take(&f->task, f->drop, 0, &fd), ERR_BUSY);
    send_release(f, 5);
    expect_released(f, 5);
    task_forgive(&f->task);
    assert_int_equal(dropbox_lock_take(&f->task, f->drop, 0, &fd), ERR_OK);
    fd_close(&fd);
    (void)check_records(f);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_late_key),  TEST(test_releases_keep_their_place),
        TEST(test_a_full_disk), TEST(test_restarts),
        TEST(test_another_store), TEST(test_refusals),
    };

    secret_init();
    db_init_library();
    (void)signal(SIGXFSZ, SIG_IGN); /* a file too large shall be an error, like a full disk */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
