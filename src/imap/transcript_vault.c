#include "imap/transcript_vault.h"

#include "base/memory.h"
#include "base/scratch.h"
#include "message/message.h"
#include "sqlite/db.h"
#include "vault/vanished.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_LEN = 48 }; /* key and salt */

struct transcript_vault {
    char folder[64];
    struct vault *vault; /* own */
};

static void must(enum err err, const struct task *task)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "%s: %s\n", err_name(err), task->words);
    abort();
}

void transcript_vault_init(void)
{
    secret_init();
    db_init_library();
    message_init_library();
}

struct transcript_vault *transcript_vault_new(const struct log *log)
{
    struct transcript_vault *home = NEW(struct transcript_vault);
    struct vault_options options = {
        .id = id_random(), .limit_bytes = UINT64_MAX, .log = log, .folder = home->folder};
    struct secret *key = secret_new(KEY_LEN);
    struct task task;

    scratch_folder_in_memory(home->folder, sizeof(home->folder), "imap");
    memset(secret_bytes(key), 7, KEY_LEN);
    task_init(&task, 0);
    must(vault_create(&task, &options, key, &home->vault), &task);
    task_done(&task);
    secret_free(&key);
    return home;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

void transcript_vault_free(struct transcript_vault **home)
{
    if (*home == NULL)
        return;
    vault_close(&(*home)->vault);
    nftw((*home)->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    mem_free(home);
}

struct vault *transcript_vault(struct transcript_vault *home)
{
    return home->vault;
}

enum err transcript_vault_deliver(struct transcript_vault *home, struct task *task,
                                  struct str folder, unsigned n)
{
    struct vault_append append = {.internal_date_ms = task->now_ms, .is_delivery = true};
    struct vault_folder found;
    uint32_t uid;

    TRY(vault_folder_find(home->vault, task, folder, &found));
    append.raw = arena_printf(&task->arena,
                              "From: Alice <alice@example.org>\r\n"
                              "To: bob@example.net\r\n"
                              "Subject: Message %u\r\n"
                              "Date: Sun, 22 Nov 2026 05:00:00 +0000\r\n"
                              "Message-ID: <%u@example.org>\r\n"
                              "\r\n"
                              "This is message %u.\r\n",
                              n, n, n);
    return vault_message_append(home->vault, task, found.id, &append, &uid);
}

void transcript_vault_mail(struct transcript_vault *home, struct str folder, unsigned n,
                           int64_t now_ms)
{
    struct task task;

    task_init(&task, now_ms);
    must(transcript_vault_deliver(home, &task, folder, n), &task);
    task_done(&task);
}

void transcript_vault_forget(struct transcript_vault *home, struct str folder, int64_t now_ms)
{
    struct vault_folder found;
    char *words = NULL;
    bool has_more = true;
    struct task task;
    struct str sql;

    task_init(&task, now_ms);
    must(vault_folder_find(home->vault, &task, folder, &found), &task);
    sql = arena_printf(
        &task.arena,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
        "INSERT OR IGNORE INTO expunge SELECT %lld, %llu, 1000000 + 2 * i, 1000000 + 2 * i "
        "FROM n",
        VANISHED_ROWS_MAX + 1, (long long)found.id, (unsigned long long)found.highest_modseq);
    if (sqlite3_exec(db_handle(home->vault->db),
                     arena_printf(&task.arena, "%.*s%c", STR_ARG(sql), 0).ptr, NULL, NULL,
                     &words) != SQLITE_OK)
        abort();
    home->vault->vanished_looked = false;
    while (has_more)
        must(vault_housekeeping(home->vault, &task, &has_more), &task);
    task_done(&task);
}
