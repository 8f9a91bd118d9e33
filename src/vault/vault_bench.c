/*
 * Not a test: how long the vault takes for its work, in processor time and wall time.
 *   vault_bench [FOLDER [MESSAGES [TEXT]]]
 * A new mailbox is made in FOLDER, and removed. The messages are slices of the file TEXT, or of
 * made-up words.
 */
#include "vault/change.h"
#include "vault/content.h"
#include "vault/search.h"
#include "vault/vault.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "message/message.h"
#include "secret/crypt.h"
#include "sqlite/db.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double started_cpu, started_wall;

static void start(void)
{
    started_cpu = cpu_us();
    started_wall = (double)clock_monotonic_us();
}

static void report(const char *what, size_t operations)
{
    double cpu = cpu_us() - started_cpu, wall = (double)clock_monotonic_us() - started_wall;

    printf("%-34s %8zu  cpu %9.1f us each  %9.1f ms all  wall %9.1f ms\n", what, operations,
           cpu / (double)operations, cpu / 1e3, wall / 1e3);
}

static void must(enum err err, const struct task *task)
{
    if (err != ERR_OK) {
        fprintf(stderr, "%s: %s\n", err_name(err), task->words);
        exit(1);
    }
}

static uint32_t cheap_random(uint32_t bound)
{
    static uint64_t state = 88172645463325252u;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % bound;
}

/* About 12 KB of words with the frequencies of a language, more or less. */
static void make_message(struct buf *out, unsigned number, struct str text)
{
    buf_reset(out);
    buf_putf(out,
             "Received: from mx%u.example.org by mail.example.com with ESMTPS id %08x\r\n"
             "\tfor <somebody@example.com>; Sun, 22 Nov 2026 05:00:00 +0000\r\n"
             "Message-ID: <%08x.%u@example.org>\r\nDate: Sun, 22 Nov 2026 05:00:00 +0000\r\n"
             "From: Sender Number %u <sender%u@example.org>\r\n"
             "To: Some Body <somebody@example.com>\r\nSubject: Message number %u of the bench\r\n"
             "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
             number % 7, number * 2654435761u, number * 40503u, number, number % 97, number % 97,
             number);
    if (text.len > 20000)
        buf_put(out, str_upto(str_from(text, cheap_random((uint32_t)text.len - 12000)), 11500));
    while (out->len < 12000) {
        for (int i = 0; i < 12; i++) {
            uint32_t rank = cheap_random(1 + cheap_random(1 + cheap_random(20000)));

            buf_putf(out, "%c%c%c%c%s", 'a' + (int)(rank % 26), 'a' + (int)(rank / 26 % 26),
                     'a' + (int)(rank / 676 % 26), "aeiou"[rank % 5], i == 11 ? "\r\n" : " ");
        }
    }
}

static void append_all(struct vault *vault, int64_t folder_id, const struct buf *messages,
                       unsigned count, unsigned in_batch)
{
    start();
    for (unsigned i = 0; i < count;) {
        struct task task;

        task_init(&task, clock_now_ms());
        if (in_batch > 1)
            must(vault_batch_begin(vault, &task), &task);
        for (unsigned k = 0; k < in_batch && i < count; k++, i++) {
            struct vault_append append = {.internal_date_ms = task.now_ms};
            uint32_t uid;

            append.raw = buf_str(&messages[i]);
            must(vault_message_append(vault, &task, folder_id, &append, &uid), &task);
        }
        if (in_batch > 1)
            must(vault_batch_end(vault, &task), &task);
        task_done(&task);
    }
    report(in_batch > 1 ? "append, in batches of 50" : "append 12 KB, one by one", count);
}

static void housekeep(struct vault *vault)
{
    size_t slices = 0;
    bool more = true;

    start();
    while (more && slices < 100000) {
        struct task task;

        task_init(&task, clock_now_ms());
        must(vault_housekeeping(vault, &task, &more), &task);
        task_done(&task);
        slices++;
    }
    report("housekeeping slices", slices);
}

static void read_columns(struct vault *vault, int64_t folder_id, unsigned columns, const char *what)
{
    struct vault_cursor *cursor;
    struct vault_message message;
    struct task task;
    size_t count = 0;
    bool has_row;

    task_init(&task, clock_now_ms());
    start();
    must(vault_cursor_open(vault, &task, folder_id, 1, UINT32_MAX, columns, false, &cursor), &task);
    for (;;) {
        must(vault_cursor_next(cursor, &task, &message, &has_row), &task);
        if (!has_row)
            break;
        count++;
    }
    vault_cursor_close(&cursor);
    report(what, count);
    task_done(&task);
}

static void read_bodies(struct vault *vault, int64_t folder_id)
{
    CLEANUP(buf_free) struct buf out = {0};
    struct vault_cursor *cursor;
    struct vault_message message;
    struct task task;
    size_t count = 0;
    bool has_row;

    buf_init(&out, SIZE_MAX);
    task_init(&task, clock_now_ms());
    start();
    must(vault_cursor_open(vault, &task, folder_id, 1, UINT32_MAX, 0, false, &cursor), &task);
    for (;;) {
        struct vault_content *content;

        must(vault_cursor_next(cursor, &task, &message, &has_row), &task);
        if (!has_row)
            break;
        buf_reset(&out);
        must(vault_content_open(vault, &task, message.content_id, &content), &task);
        must(vault_content_read(content, &task, 0, SIZE_MAX, &out), &task);
        vault_content_close(&content);
        count++;
    }
    vault_cursor_close(&cursor);
    report("read all bodies", count);
    task_done(&task);
}

static void search(struct vault *vault, int64_t folder_id, const char *key, const char *what)
{
    struct task task;
    struct vault_candidates found;

    task_init(&task, clock_now_ms());
    start();
    must(vault_search_candidates(vault, &task, folder_id, VAULT_SEARCH_TEXT, STR(""),
                                 str_from_c(key), NULL, 0, &found),
         &task);
    report(what, 1);
    printf("    %zu found, %s\n", found.count, found.is_exact ? "exact" : "to be confirmed");
    task_done(&task);
}

static void many(struct vault *vault, int64_t inbox, int64_t archive)
{
    struct vault_uid_flags *messages;
    uint32_t *uids, *sources, *targets, *modified, *gone;
    size_t count, copied, modified_count, gone_count;
    struct task task;

    task_init(&task, clock_now_ms());
    start();
    must(vault_message_list(vault, &task, inbox, &messages, &count), &task);
    report("list", count);
    uids = ARENA_ARRAY(&task.arena, uint32_t, count + 1);
    for (size_t i = 0; i < count; i++)
        uids[i] = messages[i].uid;
    start();
    must(vault_message_store(vault, &task, inbox, uids, count, VAULT_STORE_ADD, VAULT_FLAG_SEEN,
                             UINT64_MAX, &modified, &modified_count, &gone, &gone_count),
         &task);
    report("store, all", count);
    start();
    must(vault_message_copy(vault, &task, inbox, archive, uids, count, false, &sources, &targets,
                            &copied),
         &task);
    report("copy, all", copied);
    for (size_t i = 0; i < count / 2; i++)
        uids[i] = messages[i * 2].uid;
    start();
    must(vault_message_store(vault, &task, inbox, uids, count / 2, VAULT_STORE_ADD,
                             VAULT_FLAG_DELETED, UINT64_MAX, &modified, &modified_count, &gone,
                             &gone_count),
         &task);
    report("store, every other", count / 2);
    start();
    must(vault_message_expunge(vault, &task, inbox, NULL, 0, &uids, &copied), &task);
    report("expunge, every other", copied);
    task_done(&task);
}

int main(int argc, char **argv)
{
    const char *parent = argc > 1 ? argv[1] : "/tmp";
    unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2000;
    struct log log = {.level = LOG_LEVEL_WARNING, .fd = 2, .role = "bench"};
    unsigned char salt[MAILBOX_SALT_BYTES] = {1};
    struct vault_options options = {.limit_bytes = UINT64_MAX, .log = &log};
    struct vault_folder inbox, archive;
    struct vault *vault = NULL;
    struct secret *key;
    struct task task;
    struct stat status;
    struct buf *messages;
    struct buf text;
    char folder[512], path[600];

    buf_init(&text, SIZE_MAX);
    secret_init();
    message_init_library();
    db_init_library();
    snprintf(folder, sizeof(folder), "%s/vault-bench-XXXXXX", parent);
    if (mkdtemp(folder) == NULL)
        return 1;
    options.folder = folder;
    options.id = id_random();
    key = crypt_mailbox_key(STR("password"), salt);
    task_init(&task, clock_now_ms());
    start();
    if (argc > 3)
        must(file_read(&task, AT_FDCWD, argv[3], SIZE_MAX, &text), &task);
    must(vault_create(&task, &options, key, &vault), &task);
    report("create", 1);
    vault_close(&vault);
    start();
    must(vault_open(&task, &options, key, &vault), &task);
    report("open", 1);
    vault_close(&vault);
    start();
    for (int i = 0; i < 200; i++) {
        must(vault_open(&task, &options, key, &vault), &task);
        vault_close(&vault);
    }
    report("open and close", 200);
    must(vault_open(&task, &options, key, &vault), &task);
    must(vault_folder_find(vault, &task, STR("INBOX"), &inbox), &task);
    must(vault_folder_find(vault, &task, STR("Archive"), &archive), &task);
    messages = NEW_ARRAY(struct buf, count);
    for (unsigned i = 0; i < count; i++) {
        buf_init(&messages[i], SIZE_MAX);
        make_message(&messages[i], i, buf_str(&text));
    }
    append_all(vault, inbox.id, messages, count, 1);
    append_all(vault, inbox.id, messages, count, 50);
    snprintf(path, sizeof(path), "%s/%s.sqlite", folder, options.id.text);
    housekeep(vault);
    stat(path, &status);
    printf("file: %.1f MB for %.1f MB of mail\n", (double)status.st_size / 1e6, count * 2 * 0.012);
    read_columns(vault, inbox.id, VAULT_COLUMN_FLAGS | VAULT_COLUMN_SIZE, "cursor: flags, size");
    read_columns(vault, inbox.id, VAULT_COLUMN_DATES, "cursor: dates");
    read_columns(vault, inbox.id,
                 VAULT_COLUMN_DATES | VAULT_COLUMN_ENVELOPE | VAULT_COLUMN_BODYSTRUCTURE,
                 "cursor: envelope, bodystructure");
    read_bodies(vault, inbox.id);
    search(vault, inbox.id, "bench", "search: a word");
    search(vault, inbox.id, "ab", "search: within words");
    search(vault, inbox.id, "nowhere at all", "search: a phrase that is not there");
    many(vault, inbox.id, archive.id);
    task.now_ms += 3600 * 1000;
    housekeep(vault);
    vault_close(&vault);
    start();
    must(vault_open(&task, &options, key, &vault), &task);
    report("open again", 1);
    housekeep(vault);
    vault_close(&vault);
    unlink(path);
    rmdir(folder);
    for (unsigned i = 0; i < count; i++)
        buf_free(&messages[i]);
    mem_free(&messages);
    buf_free(&text);
    secret_free(&key);
    task_done(&task);
    return 0;
}
