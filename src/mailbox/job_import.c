/*
 * `sealpost import`: takes in what the command reads (cli/feed.h) and passes on as one simple stream,
 * so that no foreign format is parsed here, where the mailbox's key is.
 */
#include "mailbox/jobs.h"

#include "base/memory.h"
#include "transfer/absorb.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct importing {
    struct transfer_absorb *absorb; /* own */
    struct net_watch *watch;        /* own */
};

static void on_ready(void *owner)
{
    struct mailbox_job *job = owner;
    struct importing *importing = job->state;

    net_watch_want(importing->watch, false, false);
    mailbox_job_go_on(job);
}

static enum err start(struct mailbox_job *job)
{
    struct importing *importing = NEW(struct importing);
    const struct transfer_absorb_options options = {
        .skips_duplicates = mailbox_job_flag(job, "skip-duplicates"),
        .below = mailbox_job_text(job, "into"),
    };
    int flags;

    job->state = importing;
    if (job->fd_count != 1)
        return fail(&job->task, ERR_INVALID, "there is nothing to read from");
    flags = fcntl(job->fds[0], F_GETFL);
    if (flags < 0 || fcntl(job->fds[0], F_SETFL, flags | O_NONBLOCK) != 0)
        return fail(&job->task, ERR_INVALID, "what is read cannot be waited for");
    importing->absorb = transfer_absorb_new(job->mailbox->vault, &options);
    importing->watch =
        net_watch_new(job->mailbox->loop, job->fds[0], on_ready, on_ready, job);
    return ERR_OK;
}

/* *out_has_moved: something was sent or came. */
static enum err exchange(struct mailbox_job *job, bool *out_has_moved)
{
    struct importing *importing = job->state;
    struct buf *output = transfer_absorb_output(importing->absorb);
    size_t size, room = transfer_absorb_room(importing->absorb);
    char *scratch = net_loop_scratch(job->mailbox->loop, &size);
    ssize_t got;

    *out_has_moved = false;
    if (output->len > 0) {
        got = write(job->fds[0], output->ptr, output->len);
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return fail(&job->task, ERR_IO, "whoever read the mail is gone");
        if (got > 0)
            buf_consume(output, (size_t)got);
        *out_has_moved = got > 0;
    }
    if (room == 0 || transfer_absorb_is_done(importing->absorb))
        return ERR_OK;
    got = read(job->fds[0], scratch, room < size ? room : size);
    if (got == 0)
        return fail(&job->task, ERR_INVALID, "the mail ended before its end");
    if (got < 0 && errno != EAGAIN && errno != EINTR)
        return fail(&job->task, ERR_IO, "the mail cannot be read: %s", strerror(errno));
    if (got > 0) {
        transfer_absorb_input(importing->absorb, str_make(scratch, (size_t)got));
        mem_wipe(scratch, (size_t)got);
        *out_has_moved = true;
    }
    return ERR_OK;
}

static void put(struct mailbox_job *job, const char *name, uint64_t value)
{
    json_object_set_new(job->result, name, json_integer((json_int_t)value));
}

static void tell(struct mailbox_job *job)
{
    const struct importing *importing = job->state;
    struct transfer_totals totals;

    transfer_absorb_totals(importing->absorb, &totals);
    put(job, "folders", totals.folders);
    put(job, "messages", totals.messages);
    put(job, "bytes", totals.bytes);
    put(job, "skipped", totals.skipped);
    put(job, "left_out", totals.left_out);
    mailbox_job_progress(job, "messages", totals.messages + totals.skipped + totals.left_out,
                         transfer_absorb_expected(importing->absorb));
}

static enum err work(struct mailbox_job *job, bool *out_more)
{
    struct importing *importing = job->state;
    CLEANUP(task_done) struct task piece; /* so that what a batch takes goes with it */
    enum err err;

    task_init(&piece, job->task.now_ms);
    err = transfer_absorb_step(importing->absorb, &piece, out_more);
    tell(job);
    return err == ERR_OK ? ERR_OK : fail(&job->task, err, "%s", piece.words);
}

static enum err step(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct importing *importing = job->state;
    bool has_more = true, has_moved = true;

    do {
        TRY(work(job, &has_more));
        if (!has_more)
            TRY(exchange(job, &has_moved));
    } while ((has_more || has_moved) && !mailbox_job_is_slice_over(job));
    if (transfer_absorb_is_done(importing->absorb) &&
        transfer_absorb_output(importing->absorb)->len == 0) {
        struct transfer_totals totals;

        transfer_absorb_totals(importing->absorb, &totals);
        mailbox_job_say(job,
                        "%llu messages were taken in, %llu were there already, %llu could not be.",
                        (unsigned long long)totals.messages, (unsigned long long)totals.skipped,
                        (unsigned long long)totals.left_out);
        *out_next = MAILBOX_JOB_DONE;
        return ERR_OK;
    }
    *out_next = has_more || has_moved ? MAILBOX_JOB_MORE : MAILBOX_JOB_WAITS;
    if (*out_next == MAILBOX_JOB_WAITS)
        net_watch_want(importing->watch, true,
                       transfer_absorb_output(importing->absorb)->len > 0);
    return ERR_OK;
}

static void end(struct mailbox_job *job)
{
    struct importing *importing = job->state;

    if (importing != NULL) {
        net_watch_free(&importing->watch);
        transfer_absorb_free(&importing->absorb);
    }
    mem_free(&importing);
}

const struct mailbox_job_kind mailbox_job_import = {"import", start, step, end};
