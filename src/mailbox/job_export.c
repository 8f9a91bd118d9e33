/*
 * `sealpost export`: the mailbox in a form that others read (transfer/write.h), written to the
 * command's file by a child that sees the mailbox of one moment.
 */
#include "mailbox/child.h"

#include "base/memory.h"
#include "transfer/export.h"
#include "transfer/write.h"
#include "vault/beside.h"

struct exporting {
    struct mailbox_child *child; /* own */
    enum transfer_format format;
};

static void on_progress(void *owner, const char *what, uint64_t done, uint64_t total)
{
    mailbox_child_progress(owner, what, done, total);
}

static bool is_wanted(void *owner)
{
    return mailbox_child_is_wanted(owner);
}

static enum err write_all(struct mailbox_child_link *link, struct task *task, struct vault *vault,
                          const struct mailbox_job *job, struct transfer_totals *out_totals)
{
    CLEANUP(transfer_write_free) struct transfer_writer *writer = NULL;
    const struct exporting *exporting = job->state;
    struct str folder = mailbox_job_text(job, "folder");
    const struct transfer_export options = {
        .folders = &folder,
        .folder_count = folder.len > 0,
        .events = {on_progress, is_wanted, link},
    };

    TRY(transfer_write_open(task, job->fds[0], exporting->format, &writer));
    TRY(transfer_export(vault, task, &options, transfer_write_sink(writer), out_totals));
    return transfer_write_end(writer, task);
}

static enum err work(struct mailbox_child_link *link, struct task *task, void *detail)
{
    const struct mailbox_job *job = detail;
    const struct vault_options options = {
        .folder = job->mailbox->start->mail_folder,
        .id = job->mailbox->start->id,
        .log = job->mailbox->start->log,
    };
    CLEANUP(vault_close) struct vault *vault = NULL;
    struct transfer_totals totals = {0};

    TRY(vault_open_moment(task, &options, job->mailbox->key, &vault));
    TRY(write_all(link, task, vault, job, &totals));
    mailbox_child_put(link, "folders", json_integer((json_int_t)totals.folders));
    mailbox_child_put(link, "messages", json_integer((json_int_t)totals.messages));
    mailbox_child_put(link, "bytes", json_integer((json_int_t)totals.bytes));
    return ERR_OK;
}

/* One folder alone needs no archive around its mbox. */
static enum err choose_format(struct mailbox_job *job, enum transfer_format *out)
{
    struct str name = mailbox_job_text(job, "format"), folder = mailbox_job_text(job, "folder");
    struct vault_folder found;

    TRY(transfer_format_named(&job->task, name.len > 0 ? name : STR("maildir"), out));
    if (folder.len == 0)
        return ERR_OK;
    if (vault_folder_find(job->mailbox->vault, &job->task, folder, &found) != ERR_OK) {
        task_forgive(&job->task);
        return fail(&job->task, ERR_NOT_FOUND, "there is no folder of that name");
    }
    if (*out == TRANSFER_MBOX && found.is_selectable && !found.has_children)
        *out = TRANSFER_MBOX_SINGLE;
    return ERR_OK;
}

static enum err start(struct mailbox_job *job)
{
    struct exporting *exporting = NEW(struct exporting);

    job->state = exporting;
    if (job->fd_count != 1)
        return fail(&job->task, ERR_INVALID, "there is no file to write to");
    TRY(choose_format(job, &exporting->format));
    return mailbox_child_start(job, work, job, job->fds, job->fd_count, &exporting->child);
}

static enum err step(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct exporting *exporting = job->state;
    const json_t *messages;

    if (mailbox_child_is_working(exporting->child)) {
        *out_next = MAILBOX_JOB_WAITS;
        return ERR_OK;
    }
    TRY(mailbox_child_result(exporting->child, &job->task));
    messages = json_object_get(job->result, "messages");
    mailbox_job_say(job, "%lld messages were written.", (long long)json_integer_value(messages));
    *out_next = MAILBOX_JOB_DONE;
    return ERR_OK;
}

static void end(struct mailbox_job *job)
{
    struct exporting *exporting = job->state;

    if (exporting != NULL)
        mailbox_child_free(&exporting->child);
    mem_free(&exporting);
}

const struct mailbox_job_kind mailbox_job_export = {"export", start, step, end};
