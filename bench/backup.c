/*
 * What backups cost: a mailbox of SIZE megabytes in FOLDER, then
 *
 *   how fast a full backup is made, beside copying the file and syncing the copy;
 *   how long a session waits while it is made (an APPEND of a small message and a reading, over and over);
 *   what log shipping adds to appending.
 *
 *     backup_bench FOLDER [SIZE_MB [MESSAGE_KB]]
 */
#include "backup/shipper.h"
#include "backup/snapshot.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "message/message.h"
#include "sqlite/db.h"
#include "vault/folder.h"
#include "vault/message.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { APPENDS = 300, ROUNDS = 3 };

static struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "bench"};
static struct vault_options options;
static struct vault *vault;
static struct secret *key;
static int64_t inbox;

static void check(struct task *task, enum err err)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "%s\n", task->words);
    exit(1);
}

/* Half of it is text that compresses, half is not. */
static void append(size_t bytes)
{
    static char body[4 * 1024 * 1024];
    struct vault_append message = {.internal_date_ms = 1};
    struct task task;
    uint32_t uid;
    int head;

    task_init(&task, clock_now_ms());
    head = snprintf(body, sizeof(body), "Subject: one of many %u\r\nFrom: a@example.org\r\n\r\n",
                    random_below(1000000));
    random_bytes(body + head, bytes / 2);
    for (size_t i = (size_t)head; i < bytes / 2 + (size_t)head; i++)
        body[i] = (char)('a' + (body[i] & 15));
    for (size_t i = bytes / 2 + (size_t)head; i < bytes; i++)
        body[i] = i % 70 == 0 ? '\n' : "lorem ipsum dolor sit amet "[i % 27];
    message.raw = str_make(body, bytes);
    message.internal_date_ms = task.now_ms;
    check(&task, vault_message_append(vault, &task, inbox, &message, &uid));
    task_done(&task);
}

static void fill(uint64_t bytes)
{
    struct vault_usage usage = {.bytes = 0};
    struct task task;

    while (usage.bytes < bytes) {
        task_init(&task, clock_now_ms());
        check(&task, vault_batch_begin(vault, &task));
        for (int i = 0; i < 32; i++)
            append(1024 * 1024);
        check(&task, vault_batch_end(vault, &task));
        task_done(&task);
        vault_usage(vault, &usage);
    }
}

static double seconds_since(int64_t begin_us)
{
    return (double)(clock_monotonic_us() - begin_us) / 1e6;
}

static double copy_and_sync(const char *from, const char *to)
{
    int64_t begin_us = clock_monotonic_us();
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    static char room[1024 * 1024];
    ssize_t got;

    while ((got = read(in, room, sizeof(room))) > 0) {
        if (write(out, room, (size_t)got) != got)
            exit(1);
    }
    if (fsync(out) != 0)
        exit(1);
    close(in);
    close(out);
    unlink(to);
    return seconds_since(begin_us);
}

/* An APPEND and a list of the folder, as a session waits for them; the longest. */
static double one_command_ms(void)
{
    int64_t begin_us = clock_monotonic_us();

    append(4096);
    return seconds_since(begin_us) * 1000;
}

static void measure_backup(const char *path, const char *target)
{
    struct snapshot_request request = {.kind = SNAPSHOT_FULL,
                                       .path = path,
                                       .target = target,
                                       .key = key,
                                       .vault = vault,
                                       .timeout_ms = 3600 * 1000};
    double copy_s = copy_and_sync(path, target), longest_ms = 0, sum_ms = 0, idle_ms = 0, took_s;
    struct snapshot_result result;
    struct snapshot *snapshot;
    struct stat status;
    struct task task;
    int64_t begin_us;
    long commands = 0;
    int fd;

    for (int i = 0; i < 200; i++) {
        double ms = one_command_ms();

        idle_ms = ms > idle_ms ? ms : idle_ms;
        usleep(2000);
    }
    task_init(&task, clock_now_ms());
    begin_us = clock_monotonic_us();
    check(&task, snapshot_start(&task, &request, &snapshot));
    longest_ms = seconds_since(begin_us) * 1000;
    printf("fork: %.1f ms\n", longest_ms);
    for (;;) {
        struct pollfd pipe_end = {.fd = snapshot_fd(snapshot), .events = POLLIN};
        double ms;

        if (poll(&pipe_end, 1, 2) > 0)
            break;
        ms = one_command_ms();
        longest_ms = ms > longest_ms ? ms : longest_ms;
        sum_ms += ms;
        commands++;
    }
    snapshot_collect(snapshot, &result);
    snapshot_free(&snapshot);
    fd = open(target, O_RDONLY);
    if (result.err != ERR_OK || fd < 0 || fsync(fd) != 0) {
        fprintf(stderr, "%s\n", result.words);
        exit(1);
    }
    close(fd);
    took_s = seconds_since(begin_us);
    if (stat(target, &status) != 0)
        exit(1);
    unlink(target);
    printf("file %.0f MB; copy and sync %.2f s (%.0f MB/s)\n", (double)status.st_size / 1e6, copy_s,
           (double)status.st_size / 1e6 / copy_s);
    printf("full backup, checked, synced: %.2f s (%.0f MB/s), %.0f %% of copying\n", took_s,
           (double)status.st_size / 1e6 / took_s, copy_s / took_s * 100);
    printf("a session meanwhile: %ld commands, %.2f ms on average, longest %.1f ms (without a backup "
           "%.1f ms)\n", commands, sum_ms / (double)(commands ? commands : 1), longest_ms, idle_ms);
    task_done(&task);
}

static void put(void *owner, const char *name, int fd, uint64_t size, const unsigned char *digest)
{
    (void)name;
    (void)fd;
    (void)size;
    (void)digest;
    *(bool *)owner = true;
}

static void on_work(void *owner)
{
    (void)owner;
}

/* Until what is due is done; the destination answers at once. */
static void run(struct shipper *shipper, bool *has_question)
{
    while (shipper_run(shipper, clock_now_ms()) == 0 || *has_question) {
        if (*has_question) {
            *has_question = false;
            shipper_answered(shipper, SHIPPER_STORED, clock_now_ms());
        }
    }
}

/* Processor time, in microseconds: what it costs however busy the machine and its disk are. */
static double appending(size_t bytes, struct shipper *shipper, bool *has_question)
{
    int64_t begin_us = clock_processor_us();

    for (int i = 0; i < APPENDS; i++) {
        append(bytes);
        if (shipper != NULL)
            run(shipper, has_question);
    }
    return (double)(clock_processor_us() - begin_us) / APPENDS;
}

static void measure_shipping(const char *folder, size_t bytes)
{
    bool has_question = false;
    struct shipper_options shipping = {.folder = folder,
                                       .mailbox = options.id,
                                       .key = key,
                                       .log = &quiet,
                                       .pending_max = SHIPPER_PENDING_MAX,
                                       .put = put,
                                       .on_work = on_work,
                                       .owner = &has_question};
    double without = 1e9, with = 1e9;
    struct shipper *shipper;
    struct task task;

    task_init(&task, clock_now_ms());
    shipper = shipper_new(&task, &shipping);
    for (int i = 0; i < ROUNDS; i++) { /* in turns, and the best of each */
        double us;

        vault_set_log_reader(vault, NULL, NULL);
        us = appending(bytes, NULL, NULL);
        without = us < without ? us : without;
        shipper_end_generation(shipper, "a round");
        shipper_attach(shipper, vault);
        do {
            run(shipper, &has_question);
        } while (!shipper_is_done(shipper) || shipper_is_copying(shipper));
        us = appending(bytes, shipper, &has_question);
        with = us < with ? us : with;
    }
    printf("APPEND of %zu bytes: %.0f us of processor time, with log shipping %.0f us: %+.1f %%\n", bytes, without, with,
           (with / without - 1) * 100);
    shipper_before_close(shipper);
    vault_set_log_reader(vault, NULL, NULL);
    shipper_after_close(shipper);
    shipper_close(&shipper);
    task_done(&task);
}

int main(int argc, char **argv)
{
    uint64_t size_mb = argc > 2 ? strtoull(argv[2], NULL, 10) : 2048;
    unsigned char salt[MAILBOX_SALT_BYTES];
    struct vault_folder folder;
    const char *path;
    struct task task;

    if (argc < 2)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    secret_init();
    message_init_library();
    db_init_library();
    task_init(&task, clock_now_ms());
    random_bytes(salt, sizeof(salt));
    key = crypt_mailbox_key(STR("bench"), salt);
    options = (struct vault_options){
        .folder = argv[1], .id = id_random(), .limit_bytes = UINT64_MAX, .log = &quiet};
    check(&task, vault_create(&task, &options, key, &vault));
    check(&task, vault_folder_find(vault, &task, STR("INBOX"), &folder));
    inbox = folder.id;
    path = arena_printf(&task.arena, "%s/%s.sqlite", argv[1], options.id.text).ptr;
    measure_shipping(argv[1], 8 * 1024);
    measure_shipping(argv[1], 64 * 1024);
    fill(size_mb * 1024 * 1024);
    measure_backup(path, arena_printf(&task.arena, "%s/copy", argv[1]).ptr);
    vault_close(&vault);
    unlink(path);
    task_done(&task);
    return 0;
}
