/*
 * For tests/dropbox/run.py: seals mail with the real code and writes down, in hex, what the
 * independent opener reads. In the folder named:
 *
 *   roots     lane generation boot_key_1 x25519_secret      the owner's half
 *   records   one sealed record a line
 *   disk      what a thief has: `lane <file>` for each lane file, and as if X25519 were broken,
 *             `secret <x25519_secret>` of the owner
 *   mails     arrival trace sender recipient folder length, and the message in hex
 *
 * With `bench COUNT` it seals that many mails of 4 kB one by one and prints the time of each.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "dropbox/key.h"
#include "dropbox/lane.h"
#include "dropbox/sealing.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PATH_ROOM = 4096 };

struct kit {
    const char *folder;
    char drop_folder[PATH_ROOM];
    struct id mailbox;
    struct secret *key, *owner_secret;
    struct sealing *sealing;
    struct task task;
    struct log log;
    FILE *roots, *records, *disk, *mails;
};

static void must(struct kit *kit, enum err err)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "kit: %s\n", kit->task.words);
    exit(1);
}

static void print_hex(FILE *file, struct str bytes)
{
    struct buf hex;

    buf_init(&hex, SIZE_MAX);
    if (encode_hex(&hex, bytes) != ERR_OK)
        abort();
    fwrite(hex.ptr == NULL ? "" : hex.ptr, 1, hex.len, file);
    buf_free(&hex);
}

static FILE *create(const struct kit *kit, const char *name)
{
    char path[PATH_ROOM];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", kit->folder, name);
    file = fopen(path, "w");
    if (file == NULL)
        abort();
    return file;
}

/* As the owner's renewal does it, without a vault. */
static void renew(struct kit *kit, uint64_t generation)
{
    CLEANUP(secret_free) struct secret *boot_key = secret_new(CRYPT_KEY_BYTES);
    unsigned char public[CRYPT_X25519_BYTES];
    struct lane lane;

    sealing_release(kit->sealing, &kit->mailbox);
    if (generation == 1)
        must(kit, lane_create(&kit->task, kit->drop_folder, &lane));
    else
        must(kit, lane_open(&kit->task, kit->drop_folder, &lane));
    random_bytes(secret_bytes(boot_key), CRYPT_KEY_BYTES);
    secret_free(&kit->owner_secret);
    kit->owner_secret = crypt_x25519_new(public);
    must(kit, lane_write(&lane, &kit->task, generation, 1, boot_key, public));
    print_hex(kit->roots, str_make(lane.place.lane, DROPBOX_LANE_BYTES));
    fprintf(kit->roots, " %" PRIu64 " ", generation);
    print_hex(kit->roots, secret_str(boot_key));
    fputc(' ', kit->roots);
    print_hex(kit->roots, secret_str(kit->owner_secret));
    fputc('\n', kit->roots);
    fprintf(kit->disk, "secret ");
    print_hex(kit->disk, secret_str(kit->owner_secret));
    fputc('\n', kit->disk);
    lane_close(&lane);
}

static void deliver(struct kit *kit, const size_t *sizes, size_t count)
{
    struct dropbox_mail mails[16];
    struct records_totals totals;

    for (size_t i = 0; i < count; i++) {
        char *raw = arena_alloc(&kit->task.arena, sizes[i], 1);

        random_bytes(raw, sizes[i]);
        mails[i] = (struct dropbox_mail){
            .sender = STR("sender@example.org"),
            .recipient = STR("box+tag@demo.test"),
            .folder = sizes[i] % 2 == 0 ? STR("Junk") : STR(""),
            .received_ms = kit->task.now_ms + (int64_t)i,
            .trace_len = sizes[i] / 3,
            .raw = str_make(raw, sizes[i]),
        };
        fprintf(kit->mails, "%" PRId64 " %zu sender@example.org box+tag@demo.test %s %zu ",
                mails[i].received_ms, sizes[i] / 3, sizes[i] % 2 == 0 ? "Junk" : "-", sizes[i]);
        print_hex(kit->mails, mails[i].raw);
        fputc('\n', kit->mails);
    }
    must(kit, sealing_deliver(kit->sealing, &kit->task, &kit->mailbox, mails, count, &totals));
}

static enum err print_record(void *owner, struct task *task, const struct record *record,
                             bool *out_stop)
{
    struct kit *kit = owner;

    (void)task;
    (void)out_stop;
    print_hex(kit->records, record->sealed);
    fputc('\n', kit->records);
    return ERR_OK;
}

static void dump(struct kit *kit)
{
    CLEANUP(secret_free) struct secret *key = dropbox_key(kit->key, &kit->mailbox);
    CLEANUP(records_close) struct records *records = NULL;
    CLEANUP(lane_close) struct lane lane = {.fd = -1};
    struct buf content;

    sealing_release(kit->sealing, &kit->mailbox);
    must(kit, records_open(&kit->task, kit->drop_folder, &kit->mailbox, key, false, &records));
    must(kit, records_each(records, &kit->task, 100000, print_record, kit));
    must(kit, lane_open(&kit->task, kit->drop_folder, &lane));
    buf_init(&content, SIZE_MAX);
    must(kit, fd_read_all(&kit->task, lane.fd, SIZE_MAX, &content));
    fprintf(kit->disk, "lane ");
    print_hex(kit->disk, buf_str(&content));
    fputc('\n', kit->disk);
    buf_free(&content);
}

/* Generations, boots, and sizes around the padding steps and the chunk size. */
static void seal_all(struct kit *kit)
{
    static const size_t sizes[] = {1, 500, 983, 984, 2000, 3001, 66001};

    for (uint64_t generation = 1; generation <= 3; generation++) {
        renew(kit, generation);
        for (int boot = 0; boot < 3; boot++) {
            size_t count = generation == 1 && boot == 0 ? ARRAY_LEN(sizes) : 2;

            deliver(kit, sizes, count);
            deliver(kit, sizes + 1, 1);
            sealing_release(kit->sealing, &kit->mailbox);
        }
    }
    dump(kit);
}

static double cpu_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void bench(struct kit *kit, size_t count)
{
    static const size_t batches[] = {1, 16};
    char raw[4000];

    renew(kit, 1);
    random_bytes(raw, sizeof(raw));
    for (size_t b = 0; b < ARRAY_LEN(batches); b++) {
        struct dropbox_mail mails[16];
        struct records_totals totals;
        double cpu;
        int64_t wall;

        for (size_t i = 0; i < batches[b]; i++)
            mails[i] = (struct dropbox_mail){.sender = STR("s@example.org"),
                                             .recipient = STR("r@demo.test"),
                                             .raw = str_make(raw, sizeof(raw))};
        must(kit, sealing_deliver(kit->sealing, &kit->task, &kit->mailbox, mails, 1, &totals));
        cpu = cpu_us();
        wall = clock_monotonic_us();
        for (size_t i = 0; i < count; i += batches[b])
            must(kit, sealing_deliver(kit->sealing, &kit->task, &kit->mailbox, mails, batches[b],
                                      &totals));
        printf("%zu in a commit: %.1f us processor, %.1f us wall time a message\n", batches[b],
               (cpu_us() - cpu) / (double)count,
               (double)(clock_monotonic_us() - wall) / (double)count);
    }
}

int main(int argc, char **argv)
{
    struct sealing_options options = {0};
    struct kit kit = {.log = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "kit"}};
    char drop_root[PATH_ROOM / 2];

    if (argc < 3 || (strcmp(argv[1], "seal") != 0 && argc < 4)) {
        fprintf(stderr, "usage: kit seal FOLDER | kit bench FOLDER COUNT\n");
        return 2;
    }
    secret_init();
    db_init_library();
    kit.folder = argv[2];
    kit.mailbox = id_random();
    kit.key = secret_new(CRYPT_KEY_BYTES);
    task_init(&kit.task, clock_now_ms());
    snprintf(drop_root, sizeof(drop_root), "%s/drop", kit.folder);
    snprintf(kit.drop_folder, sizeof(kit.drop_folder), "%s/%s/%s", drop_root,
             kit.mailbox.text + ID_TEXT_LEN - 2, kit.mailbox.text);
    options = (struct sealing_options){.drop_root = drop_root, .key = kit.key, .log = &kit.log};
    kit.sealing = sealing_new(&options);
    kit.roots = create(&kit, "roots");
    kit.records = create(&kit, "records");
    kit.disk = create(&kit, "disk");
    kit.mails = create(&kit, "mails");
    if (strcmp(argv[1], "seal") == 0)
        seal_all(&kit);
    else
        bench(&kit, (size_t)strtoul(argv[3], NULL, 10));
    sealing_free(&kit.sealing);
    secret_free(&kit.key);
    secret_free(&kit.owner_secret);
    fclose(kit.roots);
    fclose(kit.records);
    fclose(kit.disk);
    fclose(kit.mails);
    task_done(&kit.task);
    return 0;
}
