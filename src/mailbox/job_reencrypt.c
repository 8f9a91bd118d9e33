/*
 * The mailbox's file under the key of its new password (docs/passwords.md, vault/rekey.h): copied
 * between the sessions' turns, read back and checked in a child, exchanged. Who writes meanwhile
 * makes it begin again; after some rounds everybody waits for the last one, so that it has an end.
 *
 *   BACKING_UP ──> WAITING ──> COPYING ──> CHECKING ──> EXCHANGING ──> done
 *                     ^                        │             │
 *                     └────────────────────────┴─────────────┘  something was written meanwhile
 *
 * The backup is first, where any are configured; that it fails stops nothing, nor does a
 * destination that does not take it in time. While another process reads the file (an export, a
 * backup), the files cannot change places: that is waited for before a copy is made, and, where it
 * began later, before the exchange.
 */
#include "mailbox/backup.h"
#include "mailbox/child.h"

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/pass.h"
#include "vault/check.h"
#include "vault/rekey.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ROUNDS_BESIDE = 4,    /* then the sessions wait */
    EXCHANGE_TRIES = 200, /* while a statement is open; then it begins again */
    EXCHANGE_PAUSE_MS = 10,
    READER_PAUSE_MS = 200,
};

enum reencrypt_state {
    REENCRYPT_BACKING_UP,
    REENCRYPT_WAITING,
    REENCRYPT_COPYING,
    REENCRYPT_CHECKING,
    REENCRYPT_EXCHANGING,
};

struct reencrypt {
    enum reencrypt_state state;
    struct vault_options options;
    struct vault_rekey *rekey;   /* own */
    struct mailbox_child *child; /* own */
    struct net_timer *pause;     /* own */
    unsigned rounds, tries;
    bool is_backing_up;
    bool is_ours; /* mailbox->is_being_copied */
    uint64_t messages, change_counter; /* as they were when the copy was complete */
};

/* --- the child that reads it back ------------------------------------------------------------ */

static void on_progress(void *owner, const char *what, uint64_t done, uint64_t total)
{
    mailbox_child_progress(owner, what, done, total);
}

static bool is_wanted(void *owner)
{
    return mailbox_child_is_wanted(owner);
}

/* First onto the disk, whatever the kernel has of it. */
static enum err sync_copy(struct task *task, const struct vault_options *options)
{
    const char *path =
        arena_printf(&task->arena, "%s/%s%s", options->folder, options->id.text, options->suffix)
            .ptr;
    CLEANUP(fd_close) int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        return fail(task, ERR_IO, "the copy could not be synced");
    return ERR_OK;
}

static enum err check_copy(struct mailbox_child_link *link, struct task *task, void *detail)
{
    const struct mailbox_job *job = detail;
    const struct reencrypt *r = job->state;
    const struct vault_check_events events = {on_progress, is_wanted, link};
    struct vault_options options = r->options;
    struct vault_checked checked = {0};

    options.suffix = VAULT_REKEY_SUFFIX;
    TRY(sync_copy(task, &options));
    TRY(vault_check_file(task, &options, job->mailbox->next_key, &events, &checked));
    if (checked.messages != r->messages || checked.change_counter != r->change_counter)
        return fail(task, ERR_CORRUPT, "the copy has other messages than the mailbox");
    return ERR_OK;
}

/* --- the steps ------------------------------------------------------------------------------- */

static bool is_being_read(const struct mailbox *mailbox)
{
    return mailbox_backup_is_reading(mailbox) || mailbox_child_is_any_alive();
}

static void pause_job(struct reencrypt *r, int64_t pause_ms, enum mailbox_job_next *out_next)
{
    net_timer_start(r->pause, pause_ms);
    *out_next = MAILBOX_JOB_WAITS;
}

/* The copy, if there is one, is of no use any more. */
static enum err begin_again(struct mailbox_job *job)
{
    struct reencrypt *r = job->state;

    mailbox_child_free(&r->child);
    vault_rekey_free(&r->rekey);
    r->state = REENCRYPT_WAITING;
    return ERR_OK;
}

static enum err begin_round(struct mailbox_job *job)
{
    struct reencrypt *r = job->state;

    r->rounds++;
    r->tries = 0;
    r->state = REENCRYPT_COPYING;
    return vault_rekey_begin(job->mailbox->vault, &job->task, &r->options, job->mailbox->next_key,
                             &r->rekey);
}

static void on_pause_over(void *owner)
{
    mailbox_job_go_on(owner);
}

static void on_backed_up(void *owner, enum err err, const char *words, bool is_new,
                         uint64_t size_bytes)
{
    struct mailbox_job *job = owner;
    struct reencrypt *r = job->state;

    (void)is_new;
    (void)size_bytes;
    if (err != ERR_OK)
        log_warning(job->mailbox->start->log, "no backup before re-encrypting: %s", words);
    r->is_backing_up = false;
    mailbox_job_go_on(job);
}

/* The keeper names the key that all slots have. One that this process heard of, but that was given
 * up since, has no password any more: nobody could open the file again. */
static bool is_the_key_that_comes(const struct mailbox_job *job)
{
    CLEANUP(buf_free) struct buf hex;
    unsigned char check[PASS_CHECK_BYTES];

    buf_init(&hex, SIZE_MAX);
    pass_key_check(job->mailbox->next_key, check);
    return encode_hex(&hex, str_make(check, sizeof(check))) == ERR_OK &&
           str_equal(mailbox_job_text(job, "check"), buf_str(&hex));
}

static enum err start(struct mailbox_job *job)
{
    struct reencrypt *r = NEW(struct reencrypt);

    job->state = r;
    r->options = mailbox_vault_options(job->mailbox);
    r->pause = net_timer_new(job->mailbox->loop, on_pause_over, job);
    if (job->mailbox->next_key == NULL)
        return ERR_OK; /* done already */
    if (!is_the_key_that_comes(job))
        return fail(&job->task, ERR_BUSY, "this process has another next key than the slots");
    if (job->mailbox->is_being_copied)
        return fail(&job->task, ERR_BUSY, "it is being re-encrypted already");
    job->mailbox->is_being_copied = r->is_ours = true;
    r->state = REENCRYPT_BACKING_UP;
    r->is_backing_up = true; /* until on_backed_up, which may be called at once */
    if (mailbox_backup_now(job->mailbox, &job->task, on_backed_up, job) != ERR_OK)
        r->is_backing_up = false;
    task_forgive(&job->task);
    return ERR_OK;
}

static enum err check(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct reencrypt *r = job->state;

    if (mailbox_child_is_working(r->child)) {
        *out_next = MAILBOX_JOB_WAITS;
        return ERR_OK;
    }
    TRY(mailbox_child_result(r->child, &job->task));
    mailbox_child_free(&r->child);
    if (!vault_rekey_is_current(r->rekey))
        return begin_again(job);
    r->state = REENCRYPT_EXCHANGING;
    return ERR_OK;
}

/* The file is under the new key. */
static void finish(struct mailbox *mailbox)
{
    secret_free(&mailbox->key);
    mailbox->key = mailbox->next_key;
    mailbox->next_key = NULL;
    mailbox->is_rekeyed = true;
    mailbox_tell_rekeyed(mailbox);
    mailbox_backup_rekeyed(mailbox);
}

static enum err exchange(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct mailbox *mailbox = job->mailbox;
    struct reencrypt *r = job->state;
    enum err err;

    if (!vault_rekey_is_current(r->rekey))
        return begin_again(job);
    if (is_being_read(mailbox)) {
        pause_job(r, READER_PAUSE_MS, out_next);
        return ERR_OK;
    }
    err = vault_rekey_exchange(r->rekey, &job->task);
    if (!vault_is_open(mailbox->vault)) {
        /* As if it had been killed: the next process looks which of the two files is in place. */
        log_error(mailbox->start->log, "re-encrypting: %s", job->task.words);
        _exit(EXIT_FAILURE);
    }
    if (err == ERR_BUSY) {
        task_forgive(&job->task);
        if (++r->tries > EXCHANGE_TRIES)
            return begin_again(job);
        pause_job(r, EXCHANGE_PAUSE_MS, out_next);
        return ERR_OK;
    }
    TRY(err);
    finish(mailbox);
    *out_next = MAILBOX_JOB_DONE;
    return ERR_OK;
}

static enum err copy(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct reencrypt *r = job->state;
    bool is_last = r->rounds > ROUNDS_BESIDE, is_done = false;
    struct vault_usage usage;
    uint64_t done, total;

    /* A child that reads the file, perhaps for hours, would make this wait in vain, and everybody. */
    if (is_last && is_being_read(job->mailbox)) {
        pause_job(r, READER_PAUSE_MS, out_next);
        return ERR_OK;
    }
    while (!is_done && (is_last || !mailbox_job_is_slice_over(job)))
        TRY(vault_rekey_copy(r->rekey, &job->task, &is_done));
    vault_rekey_progress(r->rekey, &done, &total);
    mailbox_job_progress(job, "pages", done, total);
    if (!is_done)
        return ERR_OK;
    vault_usage(job->mailbox->vault, &usage);
    r->messages = usage.messages;
    r->change_counter = usage.change_counter;
    r->state = REENCRYPT_CHECKING;
    TRY(mailbox_child_start(job, check_copy, job, NULL, 0, &r->child));
    if (!is_last)
        return ERR_OK;
    /* Nothing can be written before it is in place. */
    mailbox_child_wait(r->child);
    TRY(check(job, out_next));
    return r->state == REENCRYPT_EXCHANGING ? exchange(job, out_next) : ERR_OK;
}

static enum err back_up(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct reencrypt *r = job->state;

    if (r->is_backing_up && mailbox_backup_forget_if_slow(job->mailbox, job)) {
        log_warning(job->mailbox->start->log, "no backup before re-encrypting: it takes too long");
        r->is_backing_up = false;
    }
    if (!r->is_backing_up)
        return begin_again(job);
    pause_job(r, READER_PAUSE_MS, out_next);
    return ERR_OK;
}

static enum err step(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct reencrypt *r = job->state;

    *out_next = MAILBOX_JOB_MORE;
    if (job->mailbox->next_key == NULL) {
        *out_next = MAILBOX_JOB_DONE;
        return ERR_OK;
    }
    switch (r->state) {
    case REENCRYPT_BACKING_UP:
        return back_up(job, out_next);
    case REENCRYPT_WAITING:
        if (!is_being_read(job->mailbox))
            return begin_round(job);
        pause_job(r, READER_PAUSE_MS, out_next);
        return ERR_OK;
    case REENCRYPT_COPYING:
        return copy(job, out_next);
    case REENCRYPT_CHECKING:
        return check(job, out_next);
    case REENCRYPT_EXCHANGING:
        return exchange(job, out_next);
    }
    return ERR_OK;
}

static void end(struct mailbox_job *job)
{
    struct reencrypt *r = job->state;

    if (r == NULL)
        return;
    mailbox_backup_forget(job->mailbox, job);
    if (r->is_ours)
        job->mailbox->is_being_copied = false;
    mailbox_child_free(&r->child);
    vault_rekey_free(&r->rekey);
    net_timer_free(&r->pause);
    mem_free(&r);
}

const struct mailbox_job_kind mailbox_job_reencrypt = {"re-encrypt", start, step, end};
