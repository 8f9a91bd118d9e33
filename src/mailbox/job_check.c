/* `sealpost alias check`: is the mailbox whole? Read in a child (vault/check.h). */
#include "mailbox/child.h"

#include "base/memory.h"
#include "vault/check.h"

struct checking {
    struct mailbox_child *child; /* own */
};

static void on_progress(void *owner, const char *what, uint64_t done, uint64_t total)
{
    mailbox_child_progress(owner, what, done, total);
}

static bool is_wanted(void *owner)
{
    return mailbox_child_is_wanted(owner);
}

static void put(struct mailbox_child_link *link, const char *name, uint64_t value)
{
    mailbox_child_put(link, name, json_integer((json_int_t)value));
}

static enum err work(struct mailbox_child_link *link, struct task *task, void *detail)
{
    const struct mailbox_job *job = detail;
    const struct vault_options options = mailbox_vault_options(job->mailbox);
    const struct vault_check_events events = {on_progress, is_wanted, link};
    struct vault_checked checked = {0};
    enum err err = vault_check_file(task, &options, job->mailbox->key, &events, &checked);

    put(link, "messages", checked.messages);
    put(link, "mail_bytes", checked.message_bytes);
    put(link, "contents", checked.contents);
    put(link, "attachments", checked.attachments);
    return err;
}

static enum err start(struct mailbox_job *job)
{
    struct checking *checking = NEW(struct checking);

    job->state = checking;
    return mailbox_child_start(job, work, job, NULL, 0, &checking->child);
}

/* First before the child has done anything, then when it is over. */
static enum err step(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct checking *checking = job->state;
    enum err err;

    if (mailbox_child_is_working(checking->child)) {
        *out_next = MAILBOX_JOB_WAITS;
        return ERR_OK;
    }
    err = mailbox_child_result(checking->child, &job->task);
    if (err == ERR_OK)
        mailbox_job_say(job, "The mailbox is whole.");
    else if (err == ERR_CORRUPT)
        mailbox_job_say(job, "The mailbox is damaged: %s.", job->task.words);
    return err;
}

static void end(struct mailbox_job *job)
{
    struct checking *checking = job->state;

    if (checking != NULL)
        mailbox_child_free(&checking->child);
    mem_free(&checking);
}

const struct mailbox_job_kind mailbox_job_check = {"alias check", start, step, end};
