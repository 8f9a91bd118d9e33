/* A destination is tried before it becomes an owner's: put, delete. */
#include "backup/mirror_internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/hasher.h"

#include <stdio.h>
#include <string.h>

struct backup_trial {
    struct backup_destination *destination; /* own */
    struct backup_call *call;               /* own */
    struct net_timer *timer;                /* own; the time limit, then the end */
    char name[ID_TEXT_LEN + 16];
    int fd; /* own */
    bool is_over;
    enum err err;
    char words[TASK_WORDS_MAX + 32];
    void (*on_done)(void *owner, enum err err, const char *words);
    void *owner; /* borrowed */
};

static const char content[] = "Sealpost tried this destination and could not take this away.\n";

static void trial_free(struct backup_trial **pointer)
{
    struct backup_trial *trial = *pointer;

    backup_cancel(&trial->call);
    backup_destination_free(&trial->destination);
    net_timer_free(&trial->timer);
    fd_close(&trial->fd);
    mem_free(pointer);
}

void backup_trial_cancel(struct backup_trial **trial)
{
    if (*trial != NULL)
        trial_free(trial);
}

/* Told from the loop, behind the last call. */
static void end(struct backup_trial *trial, enum err err, const char *words)
{
    trial->is_over = true;
    trial->err = err;
    (void)snprintf(trial->words, sizeof(trial->words), "%s", words);
    net_timer_start(trial->timer, 0);
}

static void on_time(void *owner)
{
    struct backup_trial *trial = owner;
    void (*on_done)(void *, enum err, const char *) = trial->on_done;
    void *asker = trial->owner;
    char words[sizeof(trial->words)];
    enum err err = trial->is_over ? trial->err : ERR_BUSY;

    (void)snprintf(words, sizeof(words), "%s",
                   trial->is_over ? trial->words : "it does not answer");
    trial_free(&trial);
    on_done(asker, err, words);
}

static void on_deleted(void *owner, struct backup_result *result)
{
    struct backup_trial *trial = owner;

    trial->call = NULL;
    end(trial, result->err, result->words);
}

static void on_put(void *owner, struct backup_result *result)
{
    struct backup_trial *trial = owner;

    trial->call = NULL;
    if (result->err != ERR_OK)
        end(trial, result->err, result->words);
    else
        trial->call = backup_delete(trial->destination, str_from_c(trial->name), BACKUP_GONE_NOW,
                                    on_deleted, trial);
}

static void begin(struct backup_trial *trial)
{
    unsigned char digest[CRYPT_HASH_BYTES];
    struct str bytes = str_make(content, sizeof(content) - 1);
    struct backup_put put = {
        .name = str_from_c(trial->name), .size_bytes = bytes.len, .digest = digest};
    struct task task;

    task_init(&task, clock_now_ms());
    hasher_sha256(bytes, digest);
    if (memfd_from(&task, bytes, &trial->fd) == ERR_OK) {
        put.fd = trial->fd;
        trial->call = backup_put(trial->destination, &put, on_put, trial);
    } else {
        end(trial, task.err, task.words);
    }
    task_done(&task);
}

struct backup_trial *
backup_mirrors_try(struct backup_mirrors *mirrors, const struct backup_own *own,
                   void (*on_done)(void *owner, enum err err, const char *words), void *owner)
{
    struct backup_trial *trial = NEW(struct backup_trial);
    struct task task;

    trial->fd = -1;
    trial->on_done = on_done;
    trial->owner = owner;
    trial->timer = net_timer_new(mirrors_loop(mirrors), on_time, trial);
    (void)snprintf(trial->name, sizeof(trial->name), "%s/trial", own->mailbox.text);
    net_timer_start(trial->timer, MIRROR_TRIAL_MS);
    task_init(&task, clock_now_ms());
    if (mirrors_open(mirrors, &task, own, &trial->destination) == ERR_OK)
        begin(trial);
    else
        end(trial, task.err, task.words);
    task_done(&task);
    return trial;
}
