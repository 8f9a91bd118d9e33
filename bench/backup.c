/*
 * What backups cost: a mailbox of SIZE megabytes in FOLDER, then
 *
 *   how fast a full backup is made, beside copying the file and syncing the copy, in turns;
 *   how long a session waits alone, while the file is only copied and synced (what the disk does to it
 *   without us), while a backup is made, and in the seconds after it (an APPEND of a small message and a
 *   look at the folder, over and over);
 *   what log shipping adds to appending.
 *
 *     backup_bench FOLDER [SIZE_MB [ROUNDS]]
 *
 * Of several rounds all are printed, so that the spread can be seen. Processor time is that of the child
 * that makes the copy: it says the same on a busy machine, where seconds do not.
 */
#include "backup/settle.h"
#include "backup/shipper.h"
#include "backup/snapshot.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    APPENDS = 100, /* in a row: they fit into the log, so none writes it back */
    SHIPPING_ROUNDS = 7,
    BACKUP_ROUNDS = 3,
    ALONE_S = 10,
    AFTER_S = 5,
    PAUSE_MS = 2, /* between two commands of the session */
    TOO_LONG_MS = 50,
};

static struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "bench"};
static struct vault_options options;
static struct vault *vault;
static struct secret *key;
static int64_t inbox;
static const char *path; /* borrowed from main */

static void check(struct task *task, enum err err)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "%s\n", task->words);
    exit(1);
}

/* `noise` bytes of it do not compress well, the rest does. */
static void append_with(size_t bytes, size_t noise, unsigned mask)
{
    static char body[4 * 1024 * 1024];
    struct vault_append message = {.internal_date_ms = 1};
    struct task task;
    uint32_t uid;
    int head;

    task_init(&task, clock_now_ms());
    head = snprintf(body, sizeof(body), "Subject: one of many %u\r\nFrom: a@example.org\r\n\r\n",
                    random_below(1000000));
    noise -= (size_t)head < noise ? (size_t)head : noise;
    random_bytes(body + head, noise);
    for (size_t i = (size_t)head; i < noise + (size_t)head; i++)
        body[i] = (char)('0' + ((unsigned char)body[i] & mask));
    for (size_t i = noise + (size_t)head; i < bytes; i++)
        body[i] = i % 70 == 0 ? '\n' : "lorem ipsum dolor sit amet "[i % 27];
    message.raw = str_make(body, bytes);
    message.internal_date_ms = task.now_ms;
    check(&task, vault_message_append(vault, &task, inbox, &message, &uid));
    task_done(&task);
}

static void append(size_t bytes)
{
    append_with(bytes, bytes / 2, 15);
}

static uint64_t size_of_file(void)
{
    struct stat status;

    return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

/* Small messages and large ones, until the file has that size. */
static void fill(uint64_t bytes)
{
    static const size_t sizes[] = {12 * 1024, 2 * 1024 * 1024};
    struct task task;

    while (size_of_file() < bytes) {
        task_init(&task, clock_now_ms());
        check(&task, vault_batch_begin(vault, &task));
        for (int i = 0; i < 32; i++)
            append_with(sizes[i % 8 == 0], sizes[i % 8 == 0], 63);
        check(&task, vault_batch_end(vault, &task));
        task_done(&task);
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

/* --- How long a session waits --- */

struct waits {
    double *ms; /* own */
    size_t count, room;
    double processor_ms, longest_processor_ms; /* of the session's own process */
};

static void waits_add(struct waits *waits, double ms, double processor_ms)
{
    waits->processor_ms += processor_ms;
    if (processor_ms > waits->longest_processor_ms)
        waits->longest_processor_ms = processor_ms;
    if (waits->count == waits->room) {
        waits->room = waits->room == 0 ? 1024 : waits->room * 2;
        waits->ms = mem_resize(waits->ms, waits->room, sizeof(*waits->ms));
    }
    waits->ms[waits->count++] = ms;
}

static int compare(const void *a, const void *b)
{
    double one = *(const double *)a, other = *(const double *)b;

    return (one > other) - (one < other);
}

static void waits_print(struct waits *waits, const char *when)
{
    size_t long_count = 0;
    double sum = 0;

    if (waits->count == 0)
        return;
    qsort(waits->ms, waits->count, sizeof(*waits->ms), compare);
    for (size_t i = 0; i < waits->count; i++) {
        sum += waits->ms[i];
        long_count += waits->ms[i] > TOO_LONG_MS;
    }
    printf("  a session %s: %zu commands, %.2f ms on average, median %.2f, 99 %% within %.1f,\n"
           "    longest %.1f %.1f %.1f; over %d ms: %zu; processor time %.2f ms, the most %.1f\n",
           when, waits->count, sum / (double)waits->count, waits->ms[waits->count / 2],
           waits->ms[waits->count * 99 / 100], waits->ms[waits->count - 1],
           waits->ms[waits->count > 1 ? waits->count - 2 : 0],
           waits->ms[waits->count > 2 ? waits->count - 3 : 0], TOO_LONG_MS, long_count,
           waits->processor_ms / (double)waits->count, waits->longest_processor_ms);
    mem_free(&waits->ms);
    *waits = (struct waits){.count = 0};
}

static void one_command(struct waits *waits)
{
    int64_t begin_us = clock_monotonic_us(), processor_us = clock_processor_us();
    struct vault_folder folder;
    struct task task;

    append(4096);
    task_init(&task, clock_now_ms());
    check(&task, vault_folder_find(vault, &task, STR("INBOX"), &folder));
    task_done(&task);
    waits_add(waits, seconds_since(begin_us) * 1000,
              (double)(clock_processor_us() - processor_us) / 1000);
}

/* Until `fd` is readable, or that many seconds are over. */
static void be_a_session(struct waits *waits, int fd, double seconds)
{
    struct pollfd pipe_end = {.fd = fd, .events = POLLIN};
    int64_t begin_us = clock_monotonic_us();

    while (seconds_since(begin_us) < seconds && poll(&pipe_end, 1, PAUSE_MS) == 0)
        one_command(waits);
}

/* --- A full backup --- */

static double processor_s(int who)
{
    struct rusage usage;

    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void sync_target(const char *target)
{
    int fd = open(target, O_RDONLY);

    if (fd < 0 || fsync(fd) != 0)
        exit(1);
    close(fd);
}

/* What the disk makes a session wait for when somebody else writes as much. */
static void measure_copy(const char *target)
{
    struct waits waits = {.count = 0};
    int ends[2];
    pid_t child;

    if (pipe(ends) != 0 || (child = fork()) < 0)
        exit(1);
    if (child == 0) {
        (void)setpriority(PRIO_PROCESS, 0, SNAPSHOT_NICENESS);
        (void)copy_and_sync(path, target);
        _exit(0);
    }
    close(ends[1]);
    be_a_session(&waits, ends[0], 3600);
    close(ends[0]);
    (void)waitpid(child, NULL, 0);
    waits_print(&waits, "beside a mere copy");
}

static void measure_backup(const char *target)
{
    struct snapshot_request request = {.kind = SNAPSHOT_FULL,
                                       .path = path,
                                       .target = target,
                                       .key = key,
                                       .vault = vault,
                                       .timeout_ms = 3600 * 1000};
    double copy_s, took_s, child_s = processor_s(RUSAGE_CHILDREN), megabytes;
    struct waits waits = {.count = 0};
    struct snapshot_result result;
    struct snapshot *snapshot;
    struct task task;
    int64_t begin_us;

    sync();
    copy_s = copy_and_sync(path, target);
    sync();
    measure_copy(target);
    sync();
    task_init(&task, clock_now_ms());
    begin_us = clock_monotonic_us();
    check(&task, snapshot_start(&task, &request, &snapshot));
    waits_add(&waits, seconds_since(begin_us) * 1000, 0); /* the fork */
    printf("fork: %.1f ms\n", waits.ms[0]);
    be_a_session(&waits, snapshot_fd(snapshot), 3600);
    snapshot_collect(snapshot, &result);
    snapshot_free(&snapshot);
    if (result.err != ERR_OK) {
        fprintf(stderr, "%s\n", result.words);
        exit(1);
    }
    sync_target(target);
    took_s = seconds_since(begin_us);
    child_s = processor_s(RUSAGE_CHILDREN) - child_s;
    megabytes = (double)result.size_bytes / 1e6;
    printf("copy of %.0f MB and sync: %.2f s (%.0f MB/s)\n", megabytes, copy_s, megabytes / copy_s);
    printf("full backup, checked, synced: %.2f s (%.0f MB/s), %.0f %% of copying; %.1f ms of processor "
           "time a MB\n", took_s, megabytes / took_s, copy_s / took_s * 100, child_s * 1000 / megabytes);
    waits_print(&waits, "meanwhile");
    unlink(target);
    be_a_session(&waits, -1, AFTER_S);
    waits_print(&waits, "after it");
    task_done(&task);
}

/* --- Log shipping --- */

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

/* Of one APPEND, in microseconds. */
struct cost {
    double all;       /* processor time, with what follows when its client has the answer */
    double processor; /* processor time until then */
    double wall;      /* how long that is */
};

static bool never(void *owner)
{
    (void)owner;
    return false;
}

/* The log begins anew: what it costs to write it back, once in some hundred commits, is nobody's here. */
static void empty_log(void)
{
    struct task task;

    task_init(&task, clock_now_ms());
    vault_hold_checkpoints(vault, true);
    check(&task, settle_log(&task, path, key, never, NULL));
    vault_hold_checkpoints(vault, false);
    task_done(&task);
}

static struct cost appending(size_t bytes, struct shipper *shipper, bool *has_question)
{
    int64_t all_us, processor_us = 0, wall_us = 0;

    empty_log();
    append(bytes); /* and what its beginning costs, neither */
    all_us = clock_processor_us();
    for (int i = 0; i < APPENDS; i++) {
        int64_t begin_us = clock_monotonic_us(), begin_processor_us = clock_processor_us();

        append(bytes);
        processor_us += clock_processor_us() - begin_processor_us;
        wall_us += clock_monotonic_us() - begin_us;
        if (shipper != NULL)
            run(shipper, has_question);
    }
    return (struct cost){(double)(clock_processor_us() - all_us) / APPENDS,
                         (double)processor_us / APPENDS,
                         (double)wall_us / APPENDS};
}

static struct cost between(struct cost one, struct cost other)
{
    return (struct cost){(one.all + other.all) / 2, (one.processor + other.processor) / 2,
                         (one.wall + other.wall) / 2};
}

static double more(double with, double without)
{
    return (with / without - 1) * 100;
}

/* A generation of the log begins, and all of it is taken. */
static void begin_shipping(struct shipper *shipper, bool *has_question)
{
    shipper_end_generation(shipper, "a round");
    shipper_attach(shipper, vault);
    do {
        run(shipper, has_question);
    } while (!shipper_is_done(shipper) || shipper_is_copying(shipper));
}

/* Without; with log shipping and without again, over and over. What an APPEND costs grows with the mailbox,
 * so each is compared with those around it; and the first ones of each are not counted: the child that copied
 * the base shares this process's memory until it is written to. */
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
    double walls[SHIPPING_ROUNDS], processors[SHIPPING_ROUNDS], alls[SHIPPING_ROUNDS];
    struct cost before, with, after;
    struct shipper *shipper;
    struct task task;

    task_init(&task, clock_now_ms());
    shipper = shipper_new(&task, &shipping);
    (void)appending(bytes, NULL, NULL);
    before = appending(bytes, NULL, NULL);
    for (int i = 0; i < SHIPPING_ROUNDS; i++) {
        begin_shipping(shipper, &has_question);
        (void)appending(bytes, shipper, &has_question);
        with = appending(bytes, shipper, &has_question);
        vault_set_log_reader(vault, NULL, NULL);
        (void)appending(bytes, NULL, NULL);
        after = appending(bytes, NULL, NULL);
        before = between(before, after);
        walls[i] = more(with.wall, before.wall);
        processors[i] = more(with.processor, before.processor);
        alls[i] = more(with.all, before.all);
        printf("  without %.0f us, processor time %.0f of %.0f; with log shipping %.0f us, %.0f of %.0f\n",
               before.wall, before.processor, before.all, with.wall, with.processor, with.all);
        before = after;
    }
    qsort(walls, SHIPPING_ROUNDS, sizeof(*walls), compare);
    qsort(processors, SHIPPING_ROUNDS, sizeof(*processors), compare);
    qsort(alls, SHIPPING_ROUNDS, sizeof(*alls), compare);
    printf("APPEND of %zu bytes with log shipping, the median of %d: until the answer %+.1f %% (%+.1f to %+.1f), its "
           "processor time %+.1f %% (%+.1f to %+.1f), and after it %+.1f %%\n",
           bytes, SHIPPING_ROUNDS, walls[SHIPPING_ROUNDS / 2], walls[0], walls[SHIPPING_ROUNDS - 1],
           processors[SHIPPING_ROUNDS / 2], processors[0], processors[SHIPPING_ROUNDS - 1],
           alls[SHIPPING_ROUNDS / 2]);
    shipper_before_close(shipper);
    shipper_after_close(shipper);
    shipper_close(&shipper);
    task_done(&task);
}

/* What the figures were seen on. */
static void print_machine(const char *folder)
{
    struct statfs place;
    double load[3];
    struct utsname name;

    if (uname(&name) != 0 || statfs(folder, &place) != 0 || getloadavg(load, 3) != 3)
        exit(1);
    printf("Linux %s, %ld processors, load average %.2f %.2f %.2f; file system %lx\n", name.release,
           sysconf(_SC_NPROCESSORS_ONLN), load[0], load[1], load[2], (long)place.f_type);
}

int main(int argc, char **argv)
{
    uint64_t size_mb = argc > 2 ? strtoull(argv[2], NULL, 10) : 2048;
    unsigned long rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : BACKUP_ROUNDS;
    struct waits alone = {.count = 0};
    unsigned char salt[MAILBOX_SALT_BYTES];
    struct vault_folder folder;
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
    print_machine(argv[1]);
    measure_shipping(argv[1], 8 * 1024);
    measure_shipping(argv[1], 64 * 1024);
    fill(size_mb * 1024 * 1024);
    sync();
    be_a_session(&alone, -1, ALONE_S);
    waits_print(&alone, "alone");
    for (unsigned long i = 0; i < rounds; i++)
        measure_backup(arena_printf(&task.arena, "%s/copy", argv[1]).ptr);
    print_machine(argv[1]);
    vault_close(&vault);
    unlink(path);
    task_done(&task);
    return 0;
}
