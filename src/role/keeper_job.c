/*
 * Jobs of owners (account/admin/job.c), from here to the store and back. Each is a session of its
 * own, so that its mailbox's process gets its key and can check who asked; it ends with the job's
 * last reply, or with the store.
 */
#include "role/keeper.h"

#include "account/slot.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/memory.h"
#include "secret/pass.h"

enum { JOBS_MAX = 256, REKEY_PAUSE_MS = 250, REKEY_PAUSE_MAX_MS = 10 * 60 * 1000 };

struct keeper_job {
    struct keeper_job *next;
    uint64_t ticket;
    struct id session, mailbox;
    bool is_rekey; /* nobody asked: for a new password */
};

static struct keeper_job **find(struct keeper *keeper, uint64_t ticket, const struct id *session)
{
    struct keeper_job **link = &keeper->jobs;

    while (*link != NULL &&
           (session == NULL ? (*link)->ticket != ticket : !id_equal(&(*link)->session, session)))
        link = &(*link)->next;
    return link;
}

static void end(struct keeper *keeper, struct keeper_job **link)
{
    struct keeper_job *job = *link;

    *link = job->next;
    keeper->job_count--;
    account_sessions_close(keeper->sessions, &job->session, job);
    mem_free(&job);
}

enum err keeper_check_owner(void *owner, struct task *task, int64_t mailbox_row,
                            const struct id *mailbox, struct str password, struct secret **out_key)
{
    struct keeper *keeper = owner;

    return account_login_check_owner(keeper->login, keeper->database, task, mailbox_row, mailbox,
                                     password, clock_monotonic_ms(), out_key);
}

enum err keeper_start_job(void *owner, struct task *task, uint64_t ticket,
                          const struct admin_job *what)
{
    struct keeper *keeper = owner;
    struct wire_channel *store = role_peer(keeper->process, WIRE_ROLE_STORE, 0);
    CLEANUP(secret_free) struct secret *mailbox_key = account_keys_first(what->key);
    CLEANUP(secret_free) struct secret *key = pass_key(mailbox_key);
    struct wire_job body = {.mailbox = what->mailbox, .kind = what->kind, .json = what->json};
    unsigned char pass[PASS_BYTES];
    struct keeper_job *job;
    enum err err;

    if (store == NULL || keeper->job_count >= JOBS_MAX)
        return fail(task, ERR_BUSY, "no store, or too many jobs");
    job = NEW(struct keeper_job);
    job->ticket = ticket;
    job->is_rekey = ticket == 0;
    job->session = body.session = id_random();
    job->mailbox = what->mailbox;
    job->next = keeper->jobs;
    keeper->jobs = job;
    keeper->job_count++;
    err =
        account_sessions_open(keeper->sessions, task, &job->session, &job->mailbox, job, what->key);
    pass_make(key, &job->session, WIRE_SERVICE_JOB, account_expelled_serial(keeper->expelled),
              pass);
    body.pass = str_make(pass, sizeof(pass));
    if (err == ERR_OK)
        err = wire_send(store, WIRE_JOB, 0, &body, what->fds, what->fd_count);
    if (err != ERR_OK)
        end(keeper, &keeper->jobs);
    return err;
}

void keeper_cancel_job(void *owner, uint64_t ticket)
{
    struct keeper *keeper = owner;
    struct wire_channel *store = role_peer(keeper->process, WIRE_ROLE_STORE, 0);
    const struct keeper_job *job = *find(keeper, ticket, NULL);
    struct wire_job_cancel body;

    if (job == NULL || store == NULL)
        return;
    body = (struct wire_job_cancel){.session = job->session, .mailbox = job->mailbox};
    if (wire_send(store, WIRE_JOB_CANCEL, 0, &body, NULL, 0) != ERR_OK)
        log_warning(keeper->log, "a job could not be cancelled mailbox=%s", job->mailbox.text);
}

/* Each failure makes the pause before the next try twice as long. */
static void note_rekey(struct keeper *keeper, bool is_done)
{
    if (is_done)
        keeper->rekey_pause_ms = 0;
    else if (keeper->rekey_pause_ms == 0)
        keeper->rekey_pause_ms = REKEY_PAUSE_MS;
    else if (keeper->rekey_pause_ms < REKEY_PAUSE_MAX_MS)
        keeper->rekey_pause_ms *= 2;
    keeper->rekey_ended_ms = clock_monotonic_ms();
}

void keeper_job_replied(struct keeper *keeper, const struct wire_job_reply *body)
{
    struct keeper_job **link = find(keeper, 0, &body->session);
    uint64_t ticket;

    if (*link == NULL || !id_equal(&(*link)->mailbox, &body->mailbox))
        return;
    ticket = (*link)->ticket;
    if ((*link)->is_rekey && body->is_last)
        note_rekey(keeper, body->status == WIRE_OK);
    if (body->is_last)
        end(keeper, link);
    admin_job_replied(keeper->admin, ticket, (enum wire_status)body->status, body->json,
                      body->is_last);
}

void keeper_job_end_all(struct keeper *keeper)
{
    while (keeper->jobs != NULL)
        end(keeper, &keeper->jobs);
}

static bool is_being_rekeyed(const struct keeper *keeper, const struct id *mailbox)
{
    const struct keeper_job *job = keeper->jobs;

    while (job != NULL && !(job->is_rekey && id_equal(&job->mailbox, mailbox)))
        job = job->next;
    return job != NULL;
}

void keeper_rekey(void *owner, const struct id *mailbox, const struct secret *keys)
{
    struct keeper *keeper = owner;
    CLEANUP(secret_free) struct secret *next_key = account_keys_next(keys);
    CLEANUP(buf_free) struct buf json;
    struct admin_job job = {.mailbox = *mailbox, .key = keys, .kind = STR("re-encrypt")};
    unsigned char check[PASS_CHECK_BYTES];
    struct task task;

    buf_init(&json, SIZE_MAX);
    if (next_key == NULL || is_being_rekeyed(keeper, mailbox) ||
        clock_monotonic_ms() - keeper->rekey_ended_ms < keeper->rekey_pause_ms)
        return;
    /* A process that runs may have heard of another key that was given up since. */
    pass_key_check(next_key, check);
    buf_put(&json, STR("{\"check\":\""));
    if (encode_hex(&json, str_make(check, sizeof(check))) != ERR_OK)
        return;
    buf_put(&json, STR("\"}"));
    job.json = buf_str(&json);
    task_init(&task, clock_now_ms());
    if (keeper_start_job(keeper, &task, 0, &job) != ERR_OK)
        log_failure(keeper->log, "re-encrypting a mailbox", &task);
    task_done(&task);
}
