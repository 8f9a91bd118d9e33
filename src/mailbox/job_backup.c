/* `sealpost backup now`: a full backup, unless nothing changed since the last one. */
#include "mailbox/backup.h"
#include "mailbox/jobs.h"

#include "base/memory.h"

#include <string.h>

struct backing_up {
    bool is_done, is_new;
    enum err err;
    char words[TASK_WORDS_MAX];
    uint64_t size_bytes;
};

static void on_done(void *owner, enum err err, const char *words, bool is_new, uint64_t size_bytes)
{
    struct mailbox_job *job = owner;
    struct backing_up *state = job->state;

    state->is_done = true;
    state->is_new = is_new;
    state->err = err;
    state->size_bytes = size_bytes;
    memcpy(state->words, words, strnlen(words, sizeof(state->words) - 1));
    mailbox_job_go_on(job);
}

static enum err start(struct mailbox_job *job)
{
    enum err err;

    job->state = NEW(struct backing_up);
    err = mailbox_backup_now(job->mailbox, &job->task, on_done, job);
    if (err == ERR_NOT_FOUND)
        mailbox_job_say(job, "No backups are made here: \"backup\" is not configured.");
    return err;
}

static enum err step(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct backing_up *state = job->state;

    if (!state->is_done) {
        mailbox_job_progress(job, "copying", 0, 0);
        *out_next = MAILBOX_JOB_WAITS;
        return ERR_OK;
    }
    if (state->err != ERR_OK)
        return fail(&job->task, state->err, "%s", state->words);
    if (state->is_new) {
        json_object_set_new(job->result, "bytes", json_integer((json_int_t)state->size_bytes));
        mailbox_job_say(job, "The backup was made, opened and checked.");
    } else {
        mailbox_job_say(job, "Nothing has changed since the last backup.");
    }
    return ERR_OK;
}

static void end(struct mailbox_job *job)
{
    mailbox_backup_forget(job->mailbox, job);
    mem_free(&job->state);
}

const struct mailbox_job_kind mailbox_job_backup = {"backup now", start, step, end};
