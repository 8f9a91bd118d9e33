/*
 * The sealer's work under kills, failing calls and full disks: what was acknowledged is in the drop
 * file, once, without a gap, and opens with the lane root; and what is on the disk opens none of it.
 */
#include "dropbox/sealing.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/scratch.h"
#include "dropbox/faults.h"
#include "dropbox/key.h"
#include "dropbox/lane.h"
#include "dropbox/seal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROOT_ROOM = 512, PATH_ROOM = 1024, MAILS_MAX = 8000 };

/* One mailbox, its owner's half, and what was acknowledged (shared with children). */
struct fixture {
    char root[ROOT_ROOM];
    char folder[PATH_ROOM];
    struct id mailbox;
    struct task task;
    struct log log;
    struct secret *key;
    struct secret *boot_key, *owner_secret;
    struct sealing *sealing;
    struct shared {
        uint32_t sent;
        unsigned char is_acknowledged[MAILS_MAX];
    } *shared;
};

static void open_sealing(struct fixture *f)
{
    struct sealing_options options = {.drop_root = f->root, .key = f->key, .log = &f->log};

    f->sealing = sealing_new(&options);
}

static void set_up(struct fixture *f)
{
    unsigned char public[CRYPT_X25519_BYTES];
    struct lane lane;

    memset(f, 0, sizeof(*f));
    scratch_folder_in_memory(f->root, sizeof(f->root), "sealing-test"); /* kills, not power cuts */
    f->mailbox = id_random();
    snprintf(f->folder, sizeof(f->folder), "%s/%s/%s", f->root, f->mailbox.text + 22,
             f->mailbox.text);
    task_init(&f->task, 1795322096789);
    f->log = (struct log){.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};
    f->key = secret_new(CRYPT_KEY_BYTES);
    f->boot_key = secret_new(CRYPT_KEY_BYTES);
    random_bytes(secret_bytes(f->boot_key), CRYPT_KEY_BYTES);
    f->owner_secret = crypt_x25519_new(public);
    f->shared = mmap(NULL, sizeof(*f->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                     -1, 0);
    assert_int_equal(dir_make(&f->task, AT_FDCWD, f->folder, true), ERR_OK);
    assert_int_equal(lane_create(&f->task, f->folder, &lane), ERR_OK);
    assert_int_equal(lane_write(&lane, &f->task, 1, 1, f->boot_key, public), ERR_OK);
    lane_close(&lane);
    open_sealing(f);
}

static void tear_down(struct fixture *f)
{
    char command[ROOT_ROOM + 16];

    sealing_free(&f->sealing);
    snprintf(command, sizeof(command), "rm -rf %s", f->root);
    assert_int_equal(system(command), 0);
    secret_free(&f->key);
    secret_free(&f->boot_key);
    secret_free(&f->owner_secret);
    munmap(f->shared, sizeof(*f->shared));
    task_done(&f->task);
}

/* Seals `count` numbered mails in one commit, and notes them when they are acknowledged. */
static enum err deliver(struct fixture *f, size_t count)
{
    struct dropbox_mail mails[64];
    uint32_t numbers[64];
    struct records_totals totals;
    struct task task;
    enum err err;

    task_init(&task, f->task.now_ms);
    for (size_t i = 0; i < count; i++) {
        numbers[i] = f->shared->sent++;
        mails[i] = (struct dropbox_mail){
            .sender = STR("a"),
            .recipient = STR("b"),
            .raw = str_make(&numbers[i], sizeof(numbers[i])),
        };
    }
    err = sealing_deliver(f->sealing, &task, &f->mailbox, mails, count, &totals);
    task_done(&task);
    if (err == ERR_OK)
        for (size_t i = 0; i < count; i++)
            f->shared->is_acknowledged[numbers[i]] = 1;
    return err;
}

/* --- The owner's side, without a vault --- */

struct reader {
    struct fixture *f;
    struct chain chain;
    struct secret *boot_key;
    uint64_t next_n, records;
    uint32_t seen[MAILS_MAX];
};

static enum err read_record(void *owner, struct task *task, const struct record *record,
                            bool *out_stop)
{
    struct reader *reader = owner;
    struct dropbox_mail mail;
    struct buf storage;
    uint32_t number;

    (void)out_stop;
    if (reader->chain.key == NULL || record->place.boot != reader->chain.place.boot) {
        struct chain_place place = record->place;

        assert_true(reader->chain.key == NULL || place.boot > reader->chain.place.boot);
        memcpy(secret_bytes(reader->boot_key), secret_str(reader->f->boot_key).ptr,
               CRYPT_KEY_BYTES);
        for (place.boot = 1; place.boot < record->place.boot; place.boot++)
            chain_next_boot(&place, reader->boot_key, reader->boot_key);
        chain_start(&reader->chain, &record->place, reader->boot_key);
        reader->next_n = 0;
    }
    assert_true(record->n == reader->next_n); /* no gap, none twice */
    reader->next_n++;
    buf_init(&storage, SIZE_MAX);
    assert_int_equal(seal_open(record->sealed, task, &reader->chain, reader->f->owner_secret,
                               &storage, &mail),
                     ERR_OK);
    assert_int_equal(mail.raw.len, sizeof(number));
    memcpy(&number, mail.raw.ptr, sizeof(number));
    assert_true(number < reader->f->shared->sent);
    reader->seen[number]++;
    reader->records++;
    chain_step(&reader->chain);
    buf_free(&storage);
    return ERR_OK;
}

/* Every acknowledged mail is there once; others at most once. Gives how many records there are. */
static uint64_t check(struct fixture *f)
{
    struct reader *reader = NEW(struct reader);
    struct secret *key = dropbox_key(f->key, &f->mailbox);
    struct records *records = NULL;
    uint64_t count;

    task_forgive(&f->task);
    sealing_free(&f->sealing);
    reader->f = f;
    reader->boot_key = secret_new(CRYPT_KEY_BYTES);
    assert_int_equal(records_open(&f->task, f->folder, &f->mailbox, key, true, &records), ERR_OK);
    assert_int_equal(records_each(records, &f->task, SIZE_MAX / 2, read_record, reader), ERR_OK);
    for (uint32_t i = 0; i < f->shared->sent; i++) {
        if (f->shared->is_acknowledged[i] ? reader->seen[i] != 1 : reader->seen[i] > 1)
            fail_msg("mail %u was seen %u times", i, reader->seen[i]);
    }
    count = reader->records;
    records_close(&records);
    chain_done(&reader->chain);
    secret_free(&reader->boot_key);
    secret_free(&key);
    mem_free(&reader);
    open_sealing(f);
    return count;
}

static void test_mail_is_sealed_in_order(void **state)
{
    (void)state;
    struct fixture f;

    set_up(&f);
    for (int i = 0; i < 5; i++)
        assert_int_equal(deliver(&f, 1), ERR_OK);
    assert_int_equal(deliver(&f, 10), ERR_OK);
    assert_true(check(&f) == 15);
    assert_int_equal(deliver(&f, 3), ERR_OK); /* another boot: the sealer was restarted */
    sealing_release(f.sealing, &f.mailbox);
    assert_int_equal(deliver(&f, 2), ERR_OK); /* and another */
    sealing_release(f.sealing, &f.mailbox);
    sealing_release(f.sealing, &f.mailbox);
    assert_true(check(&f) == 20);
    tear_down(&f);
}

static void test_no_such_mailbox(void **state)
{
    (void)state;
    struct dropbox_mail mail = {.raw = STR("x")};
    struct id other = id_random();
    struct records_totals totals;
    struct fixture f;
    char path[PATH_ROOM];

    set_up(&f);
    assert_int_equal(sealing_deliver(f.sealing, &f.task, &other, &mail, 1, &totals),
                     ERR_NOT_FOUND);
    snprintf(path, sizeof(path), "%s/%s/%s", f.root, other.text + 22, other.text);
    assert_int_equal(access(path, F_OK), -1); /* and none was made */
    tear_down(&f);
}

/* Drop files and chains beyond the limits are closed, and go on where they were. */
static void test_many_mailboxes_share_few_open_files(void **state)
{
    (void)state;
    enum { COUNT = 8 };
    static struct fixture f[COUNT];
    struct sealing_options options = {.open_max = 2, .chain_max = 4};

    for (size_t i = 0; i < COUNT; i++) {
        set_up(&f[i]);
        sealing_free(&f[i].sealing);
    }
    for (size_t i = 1; i < COUNT; i++) { /* all in the first one's tree */
        char to[PATH_ROOM], command[4 * PATH_ROOM];

        snprintf(to, sizeof(to), "%s/%s", f[0].root, f[i].mailbox.text + 22);
        snprintf(command, sizeof(command), "mkdir -p %s && mv %s %s/", to, f[i].folder, to);
        assert_int_equal(system(command), 0);
        snprintf(command, sizeof(command), "rm -rf %s", f[i].root);
        assert_int_equal(system(command), 0);
        memcpy(f[i].root, f[0].root, sizeof(f[i].root));
        assert_true(snprintf(f[i].folder, sizeof(f[i].folder), "%s/%s", to, f[i].mailbox.text) <
                    (int)sizeof(f[i].folder));
    }
    options.drop_root = f[0].root;
    options.key = f[0].key;
    options.log = &f[0].log;
    f[0].sealing = sealing_new(&options);
    for (int round = 0; round < 6; round++)
        for (size_t i = 0; i < COUNT; i++) {
            f[i].sealing = f[0].sealing;
            assert_int_equal(deliver(&f[i], 1), ERR_OK);
        }
    sealing_free(&f[0].sealing);
    for (size_t i = 0; i < COUNT; i++) {
        f[i].sealing = NULL;
        assert_true(check(&f[i]) == 6);
        sealing_free(&f[i].sealing);
    }
    for (size_t i = COUNT; i-- > 0;)
        tear_down(&f[i]);
}

/* Killed at the K-th call that writes or syncs, again and again on the same drop box. */
static void test_kill_at_every_call(void **state)
{
    (void)state;
    struct fixture f;
    long at;

    set_up(&f);
    for (at = 1; at <= 300; at++) {
        int status;
        pid_t child;

        sealing_free(&f.sealing);
        child = fork();
        if (child == 0) {
            open_sealing(&f);
            faults_set(FAULTS_KILL, at, false);
            for (int i = 0; i < 6; i++) {
                if (deliver(&f, i == 3 ? 4 : 1) != ERR_OK)
                    _exit(2);
                if (i == 4)
                    sealing_release(f.sealing, &f.mailbox);
            }
            sealing_free(&f.sealing);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) || status == 0);
        (void)check(&f);
        if (status == 0)
            break;
    }
    print_message("%ld calls\n", at - 1);
    assert_true(at > 20 && at < 300); /* the loop went through all calls */
    tear_down(&f);
}

/* Killed at a random moment, as the system would. */
static void test_kill_at_random_moments(void **state)
{
    (void)state;
    struct fixture f;

    set_up(&f);
    for (int round = 0; round < 25; round++) {
        int status;
        pid_t child;

        sealing_free(&f.sealing);
        child = fork();
        if (child == 0) {
            open_sealing(&f);
            while (f.shared->sent < MAILS_MAX - 10)
                if (deliver(&f, 1 + f.shared->sent % 5) != ERR_OK)
                    _exit(2);
            for (;;)
                pause();
        }
        usleep(1000 + random_below(20000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        (void)check(&f);
    }
    tear_down(&f);
}

/* A call fails, once or for a while: stored or refused, never half; and then all goes on. */
static void test_failing_calls(void **state)
{
    (void)state;
    static const struct {
        enum faults_kind kind;
        bool is_lasting;
    } rows[] = {
        {FAULTS_EIO, false}, {FAULTS_EIO, true}, {FAULTS_ENOSPC, false}, {FAULTS_ENOSPC, true}};

    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        struct fixture f;

        set_up(&f);
        for (long at = 1; at <= 40; at++) {
            for (int i = 0; i < 4; i++) {
                if (i == 1) {
                    if (at % 2 == 0)
                        sealing_release(f.sealing, &f.mailbox);
                    faults_set(rows[row].kind, at, rows[row].is_lasting);
                }
                enum err err = deliver(&f, i == 2 ? 3 : 1);

                assert_true(err == ERR_OK || err == ERR_IO || err == ERR_LIMIT);
                assert_true(i != 0 || err == ERR_OK); /* service goes on without a restart */
            }
            faults_clear();
        }
        assert_int_equal(deliver(&f, 1), ERR_OK);
        (void)check(&f);
        tear_down(&f);
    }
}

/* What the disk holds after mail was sealed: neither chain nor boot key of what was sealed. */
static void test_the_disk_holds_no_key(void **state)
{
    (void)state;
    struct fixture f;
    struct chain chain = {.key = NULL};
    struct chain_place place = {.generation = 1, .boot = 1};
    struct lane lane;
    struct buf disk;
    char path[PATH_ROOM * 2], hex[LANE_NAME_ROOM];

    set_up(&f);
    assert_int_equal(deliver(&f, 2), ERR_OK);
    assert_int_equal(lane_open(&f.task, f.folder, &lane), ERR_OK);
    memcpy(place.lane, lane.place.lane, sizeof(place.lane));
    lane_close(&lane);
    for (size_t i = 0; i < DROPBOX_LANE_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", place.lane[i]);
    snprintf(path, sizeof(path), "%s/lanes/%s", f.folder, hex);
    buf_init(&disk, SIZE_MAX);
    assert_int_equal(file_read(&f.task, AT_FDCWD, path, SIZE_MAX, &disk), ERR_OK);
    snprintf(path, sizeof(path), "%s/%s.drop.sqlite", f.folder, f.mailbox.text);
    assert_int_equal(file_read(&f.task, AT_FDCWD, path, SIZE_MAX, &disk), ERR_OK);
    snprintf(path, sizeof(path), "%s/%s.drop.sqlite-wal", f.folder, f.mailbox.text);
    assert_int_equal(file_read(&f.task, AT_FDCWD, path, SIZE_MAX, &disk), ERR_OK);
    assert_true(str_find(buf_str(&disk), secret_str(f.boot_key)) < 0);
    chain_start(&chain, &place, f.boot_key);
    for (int n = 0; n <= 2; n++) {
        struct secret *key = chain_message_key(&chain);

        assert_true(str_find(buf_str(&disk), secret_str(chain.key)) < 0);
        assert_true(str_find(buf_str(&disk), secret_str(key)) < 0);
        secret_free(&key);
        chain_step(&chain);
    }
    chain_done(&chain);
    buf_free(&disk);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_is_sealed_in_order),
        cmocka_unit_test(test_no_such_mailbox),
        cmocka_unit_test(test_many_mailboxes_share_few_open_files),
        cmocka_unit_test(test_kill_at_every_call),
        cmocka_unit_test(test_kill_at_random_moments),
        cmocka_unit_test(test_failing_calls),
        cmocka_unit_test(test_the_disk_holds_no_key),
    };

    secret_init();
    secret_set_inherited(true); /* children go on with our keys here */
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
