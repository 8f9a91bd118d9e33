/* Running jobs, a step at a time (jobs.h). */
#include "mailbox/jobs.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "imap/session.h"
#include "secret/pass.h"

#include <stdarg.h>
#include <string.h>

static const struct mailbox_job_kind *const kinds[] = {
    &mailbox_job_check,
    &mailbox_job_export,
    &mailbox_job_import,
    &mailbox_job_backup,
    &mailbox_job_restore,
    &mailbox_job_verify,
    &mailbox_job_undelete_list,
    &mailbox_job_undelete_restore,
    &mailbox_job_reencrypt,
};

static const struct mailbox_job_kind *find_kind(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (str_equal(name, str_from_c(kinds[i]->name)))
            return kinds[i];
    }
    return NULL;
}

/* --- what goes to the store ------------------------------------------------------------------ */

static void send_reply(struct mailbox *mailbox, uint64_t tag, const struct id *session,
                       enum wire_status status, const json_t *json, bool is_last)
{
    struct wire_job_reply body = {
        .session = *session, .mailbox = mailbox->start->id, .status = status, .is_last = is_last};
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    enum err err;

    body.json = text == NULL ? STR("") : str_from_c(text);
    err = wire_send(mailbox->store, WIRE_JOB_REPLY, tag, &body, NULL, 0);
    if (err == ERR_LIMIT) { /* longer than a frame: without it */
        body.json = STR("");
        err = wire_send(mailbox->store, WIRE_JOB_REPLY, tag, &body, NULL, 0);
    }
    /* Progress may be lost in a full queue; without the last reply the asker would wait for ever.
     */
    if (err != ERR_OK && is_last)
        net_loop_stop(mailbox->loop);
    if (text != NULL) {
        mem_wipe(text, strlen(text));
        mem_free(&text);
    }
}

static void tell(struct mailbox_job *job)
{
    job->told_ms = clock_monotonic_ms();
    net_timer_start(job->heartbeat, MAILBOX_JOB_HEARTBEAT_MS);
    send_reply(job->mailbox, job->tag, &job->session, WIRE_OK, job->progress, false);
}

static void on_heartbeat(void *owner)
{
    tell(owner);
}

void mailbox_job_progress(struct mailbox_job *job, const char *what, uint64_t done, uint64_t total)
{
    json_object_set_new(job->progress, "what", json_string(what));
    json_object_set_new(job->progress, "done", json_integer((json_int_t)done));
    json_object_set_new(job->progress, "total", json_integer((json_int_t)total));
    /* The end of each part is told, too: people see that it was all. */
    if (clock_monotonic_ms() - job->told_ms >= MAILBOX_JOB_PROGRESS_MS ||
        (total > 0 && done == total))
        tell(job);
}

void mailbox_job_say(struct mailbox_job *job, const char *format, ...)
{
    CLEANUP(buf_free) struct buf words;
    va_list args;

    buf_init(&words, SIZE_MAX);
    va_start(args, format);
    if (buf_vprintf(&words, format, args) == ERR_OK)
        json_object_set_new(job->result, "message", json_stringn(words.ptr, words.len));
    va_end(args);
}

struct str mailbox_job_text(const struct mailbox_job *job, const char *name)
{
    const json_t *value = json_object_get(job->arguments, name);

    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : STR("");
}

bool mailbox_job_flag(const struct mailbox_job *job, const char *name)
{
    return json_is_true(json_object_get(job->arguments, name));
}

enum err mailbox_job_secret(struct mailbox_job *job, const char *name, struct secret **out_secret)
{
    struct str text = mailbox_job_text(job, name);
    const struct mailbox *mailbox = job->mailbox;

    *out_secret = NULL;
    if (text.len == 0)
        return ERR_OK;
    if (pass_open(mailbox->pass_key, str_from_c(name), text, out_secret) == ERR_OK ||
        (mailbox->next_pass_key != NULL &&
         pass_open(mailbox->next_pass_key, str_from_c(name), text, out_secret) == ERR_OK))
        return ERR_OK;
    return fail(&job->task, ERR_DENIED, "what came as \"%s\" was not sealed by the keeper", name);
}

static bool is_import(const struct mailbox_job_kind *kind)
{
    return kind == &mailbox_job_import;
}

static bool is_restore(const struct mailbox_job_kind *kind)
{
    return kind == &mailbox_job_restore || kind == &mailbox_job_verify;
}

static bool is_under_way(const struct mailbox *mailbox,
                         bool (*is_one)(const struct mailbox_job_kind *kind))
{
    for (const struct mailbox_job *job = mailbox->jobs; job != NULL; job = job->next) {
        if (is_one(job->kind))
            return true;
    }
    return false;
}

bool mailbox_job_is_bulk(const struct mailbox *mailbox)
{
    return is_under_way(mailbox, is_import);
}

bool mailbox_job_is_restoring(const struct mailbox *mailbox)
{
    return is_under_way(mailbox, is_restore);
}

/* --- a job's life ---------------------------------------------------------------------------- */

static void unlink_and_free(struct mailbox_job *job)
{
    struct mailbox_job **link = &job->mailbox->jobs;

    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    job->mailbox->job_count--;
    net_timer_free(&job->turn);
    net_timer_free(&job->heartbeat);
    json_decref(job->arguments);
    json_decref(job->result);
    json_decref(job->progress);
    for (size_t i = 0; i < job->fd_count; i++)
        fd_close(&job->fds[i]);
    task_done(&job->task);
    mem_free(&job);
}

/* Its state goes before its answer: who is answered may look for what it left. */
static void finish(struct mailbox_job *job, enum err err)
{
    struct mailbox *mailbox = job->mailbox;

    if (job->kind->end != NULL)
        job->kind->end(job);
    if (err != ERR_OK && json_object_get(job->result, "message") == NULL)
        mailbox_job_say(job, "It did not work: %s.", job->task.words);
    if (err == ERR_OK)
        log_info(mailbox->start->log, "job done: %s", job->kind->name);
    else
        log_warning(mailbox->start->log, "job failed: %s error=%s: %s", job->kind->name,
                    err_name(err), job->task.words);
    send_reply(mailbox, job->tag, &job->session, mailbox_status(mailbox, err, 0), job->result,
               true);
    unlink_and_free(job);
    mailbox_check_idle(mailbox);
}

bool mailbox_job_is_slice_over(const struct mailbox_job *job)
{
    return clock_monotonic_ms() - job->slice_began_ms >= MAILBOX_JOB_SLICE_MS;
}

static void begin_slice(struct mailbox_job *job)
{
    job->slice_began_ms = clock_monotonic_ms();
    job->task.now_ms = clock_now_ms();
    if (job->mailbox->appends != NULL)
        imap_group_commit(job->mailbox->appends, job->task.now_ms);
}

static void on_turn(void *owner)
{
    struct mailbox_job *job = owner;
    enum mailbox_job_next next = MAILBOX_JOB_DONE;
    enum err err;

    begin_slice(job);
    err = job->kind->step(job, &next);
    if (err != ERR_OK || next == MAILBOX_JOB_DONE)
        finish(job, err);
    else if (next == MAILBOX_JOB_MORE)
        net_timer_start(job->turn, 0);
}

void mailbox_job_go_on(struct mailbox_job *job)
{
    net_timer_start(job->turn, 0);
}

static struct mailbox_job *job_new(struct mailbox *mailbox, struct wire_message *message,
                                   const struct mailbox_job_kind *kind, json_t *arguments)
{
    struct mailbox_job *job = NEW(struct mailbox_job);

    job->mailbox = mailbox;
    job->kind = kind;
    job->arguments = arguments;
    job->result = json_object();
    job->progress = json_object();
    job->session = message->body.job.session;
    job->tag = message->tag;
    for (size_t i = 0; i < message->fd_count && i < ARRAY_LEN(job->fds); i++) {
        job->fds[job->fd_count++] = message->fds[i];
        message->fds[i] = -1;
    }
    task_init(&job->task, clock_now_ms());
    job->turn = net_timer_new(mailbox->loop, on_turn, job);
    job->heartbeat = net_timer_new(mailbox->loop, on_heartbeat, job);
    net_timer_start(job->heartbeat, MAILBOX_JOB_HEARTBEAT_MS);
    job->next = mailbox->jobs;
    mailbox->jobs = job;
    mailbox->job_count++;
    return job;
}

static enum wire_status judge(const struct mailbox *mailbox, const struct wire_job *body,
                              const struct mailbox_job_kind *kind)
{
    if (mailbox->is_damaged && !is_restore(kind))
        return WIRE_DAMAGED;
    if ((mailbox->vault == NULL && !mailbox->is_damaged) || mailbox->is_ending || mailbox->job_count >= MAILBOX_JOBS_MAX)
        return WIRE_UNAVAILABLE;
    if (kind == NULL)
        return WIRE_INVALID;
    if (mailbox_pass_is_valid(mailbox, &body->session, WIRE_SERVICE_JOB, body->pass))
        return WIRE_OK;
    log_error(mailbox->start->log, "a job that the keeper did not ask for session=%s",
              body->session.text);
    return WIRE_DENIED;
}

void mailbox_job_begin(struct mailbox *mailbox, struct wire_message *message)
{
    const struct wire_job *body = &message->body.job;
    const struct mailbox_job_kind *kind = find_kind(body->kind);
    enum wire_status status = judge(mailbox, body, kind);
    json_t *arguments = NULL;
    struct mailbox_job *job;
    json_error_t error;
    enum err err = ERR_OK;

    if (status == WIRE_OK) {
        arguments = json_loadb(body->json.ptr, body->json.len, JSON_REJECT_DUPLICATES, &error);
        if (!json_is_object(arguments))
            status = WIRE_INVALID;
    }
    if (status != WIRE_OK) {
        json_decref(arguments);
        send_reply(mailbox, message->tag, &body->session, status, NULL, true);
        return;
    }
    job = job_new(mailbox, message, kind, arguments);
    begin_slice(job);
    if (kind->start != NULL)
        err = kind->start(job);
    if (err != ERR_OK)
        finish(job, err);
    else
        net_timer_start(job->turn, 0);
}

void mailbox_job_cancel(struct mailbox *mailbox, const struct id *session)
{
    struct mailbox_job *job = mailbox->jobs;

    while (job != NULL && !id_equal(&job->session, session))
        job = job->next;
    if (job != NULL)
        finish(job, fail(&job->task, ERR_BUSY, "who asked for it went away"));
}

void mailbox_job_end_all(struct mailbox *mailbox)
{
    while (mailbox->jobs != NULL)
        finish(mailbox->jobs, fail(&mailbox->jobs->task, ERR_BUSY, "the mailbox's process ends"));
}
