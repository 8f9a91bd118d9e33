/*
 * `sealpost export`: the mailbox in a form that others read (transfer/write.h), or its own file
 * (transfer/file_out.h), written to the command's file by a child that sees the mailbox of one
 * moment.
 */
#include "mailbox/child.h"

#include "base/memory.h"
#include "secret/crypt.h"
#include "transfer/export.h"
#include "transfer/file_out.h"
#include "transfer/write.h"
#include "vault/beside.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct exporting {
    struct mailbox_child *child; /* own */
    bool is_file;                /* the mailbox's own; else: */
    enum transfer_format format;
    struct secret *copy_key; /* own; of that file, NULL: the mailbox's */
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

/* Under the next key while the mailbox is still to be re-encrypted: the password is that one's. */
static enum err write_file(struct mailbox_child_link *link, struct task *task,
                           const struct vault_options *options, const struct mailbox_job *job,
                           struct transfer_totals *out_totals)
{
    const struct mailbox *mailbox = job->mailbox;
    const struct exporting *exporting = job->state;
    struct transfer_file_out request = {
        .vault = *options,
        .key = mailbox->key,
        .copy_key = mailbox->next_key != NULL ? mailbox->next_key : mailbox->key,
        .fd = job->fds[0],
        .events = {on_progress, is_wanted, link},
    };

    if (exporting->copy_key != NULL)
        request.copy_key = exporting->copy_key;
    return transfer_file_out(task, &request, out_totals);
}

static enum err work(struct mailbox_child_link *link, struct task *task, void *detail)
{
    const struct mailbox_job *job = detail;
    const struct exporting *exporting = job->state;
    const struct vault_options options = {
        .folder = job->mailbox->start->mail_folder,
        .id = job->mailbox->start->id,
        .log = job->mailbox->start->log,
    };
    CLEANUP(vault_close) struct vault *vault = NULL;
    struct transfer_totals totals = {0};

    if (exporting->is_file) {
        TRY(write_file(link, task, &options, job, &totals));
    } else {
        TRY(vault_open_moment(task, &options, job->mailbox->key, &vault));
        TRY(write_all(link, task, vault, job, &totals));
    }
    if (!exporting->is_file)
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

/* What the command derived from the password that was given for the copy; it is in the pipe
 * already. */
static enum err read_copy_key(struct mailbox_job *job, struct secret **out_key)
{
    CLEANUP(secret_free) struct secret *key = secret_new(MAILBOX_KEY_BYTES);
    ssize_t got;

    if (fcntl(job->fds[1], F_SETFL, O_NONBLOCK) != 0)
        return fail(&job->task, ERR_INVALID, "the copy's key cannot be read");
    do {
        got = read(job->fds[1], secret_bytes(key), MAILBOX_KEY_BYTES);
    } while (got < 0 && errno == EINTR);
    if (got != MAILBOX_KEY_BYTES)
        return fail(&job->task, ERR_INVALID, "the copy's key did not come along");
    *out_key = key;
    key = NULL;
    return ERR_OK;
}

/* The file that lies in the mailbox's folder meanwhile has one name. */
static bool is_another_under_way(const struct mailbox_job *job)
{
    for (const struct mailbox_job *other = job->mailbox->jobs; other != NULL; other = other->next) {
        const struct exporting *exporting = other->state;

        if (other != job && other->kind == job->kind && exporting != NULL && exporting->is_file)
            return true;
    }
    return false;
}

static enum err prepare_file(struct mailbox_job *job, struct exporting *exporting)
{
    if (mailbox_job_text(job, "folder").len > 0)
        return fail(
            &job->task, ERR_INVALID,
            "the mailbox's file is all of it: leave --folder out, or choose another format");
    if (is_another_under_way(job))
        return fail(&job->task, ERR_BUSY, "its file is being exported already");
    exporting->is_file = true;
    return job->fd_count == 2 ? read_copy_key(job, &exporting->copy_key) : ERR_OK;
}

static enum err start(struct mailbox_job *job)
{
    struct exporting *exporting = NEW(struct exporting);

    job->state = exporting;
    if (job->fd_count < 1)
        return fail(&job->task, ERR_INVALID, "there is no file to write to");
    if (str_equal(mailbox_job_text(job, "format"), STR("file"))) {
        TRY(prepare_file(job, exporting));
    } else {
        if (job->fd_count != 1)
            return fail(&job->task, ERR_INVALID,
                        "only the mailbox's file (--format file) has a password of its own");
        TRY(choose_format(job, &exporting->format));
    }
    return mailbox_child_start(job, work, job, job->fds, 1, &exporting->child);
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

    if (exporting != NULL) {
        mailbox_child_free(&exporting->child);
        secret_free(&exporting->copy_key);
    }
    mem_free(&exporting);
}

const struct mailbox_job_kind mailbox_job_export = {"export", start, step, end};
