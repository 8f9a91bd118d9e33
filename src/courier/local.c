/*
 * Is it one of ours? The keeper knows. Then the store gets it, and what routes its alias has are
 * added to the message; otherwise it goes to another server.
 */
#include "courier/state.h"

#include "base/buf.h"
#include "base/file.h"
#include "courier/trace.h"

/* --- The store --- */

static void on_delivered(void *owner, struct wire_message *message)
{
    static const struct {
        enum wire_status status;
        enum courier_ending ending;
        const char *code, *words;
    } endings[] = {
        {WIRE_OK, ENDING_DELIVERED, "2.0.0", "Delivered to the mailbox."},
        {WIRE_UNKNOWN, ENDING_PERMANENT, "5.1.1", "There is no such address here."},
        {WIRE_OVER_QUOTA, ENDING_TEMPORARY, "4.2.2", "The mailbox is full."},
        {WIRE_DISK_FULL, ENDING_POSTPONED, "4.3.1", "The server's disk is full."},
        {WIRE_DAMAGED, ENDING_TEMPORARY, "4.2.0", "The mailbox cannot be opened at present."},
        {WIRE_INVALID, ENDING_TEMPORARY, "4.3.0", "The mailbox did not take it."},
    };
    struct courier_job *job = owner;
    uint64_t status = message == NULL ? WIRE_UNAVAILABLE : message->body.deliver_reply.status;

    job->ask = NULL;
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        if (endings[i].status == (enum wire_status)status) {
            courier_job_end_all(job, endings[i].ending, endings[i].code,
                                str_from_c(endings[i].words));
            return;
        }
    }
    courier_job_end_all(job, ENDING_POSTPONED, "4.3.0", STR("The mailbox is not reachable."));
}

/* Our own messages get a Return-Path at last; what came from outside has one. */
static enum err message_for_mailbox(struct courier_job *job, int *out_fd, uint64_t *out_trace)
{
    struct str content = buf_str(&job->content), path = STR("Return-Path: <>\r\n");
    CLEANUP(fd_close) int fd = -1;

    *out_trace = job->message.trace_bytes;
    TRY(memfd_new(&job->task, &fd));
    if (job->message.source == QUEUE_REPORT || job->message.source == QUEUE_REPLY) {
        *out_trace += path.len;
        TRY(fd_write_all(&job->task, fd, path));
    }
    TRY(fd_write_all(&job->task, fd, content));
    TRY(memfd_seal(&job->task, fd));
    *out_fd = fd;
    fd = -1;
    return ERR_OK;
}

static void deliver(struct courier_job *job, const struct wire_recipient_reply *reply)
{
    CLEANUP(fd_close) int fd = -1;
    struct wire_deliver body = {
        .mailbox = reply->mailbox,
        .sender = job->message.sender,
        .recipient = job->recipients[0].address,
        .folder = job->message.is_junk ? STR("Junk") : reply->detail,
        .received_ms = job->message.received_ms,
        .size_bytes = job->message.size_bytes,
    };

    if (message_for_mailbox(job, &fd, &body.trace_len) == ERR_OK)
        job->ask = asks_send(job->courier->asks, WIRE_ROLE_STORE, WIRE_DELIVER, &body, fd,
                             on_delivered, job);
    if (job->ask == NULL)
        courier_job_end_all(job, ENDING_POSTPONED, "4.3.0", STR("The mailbox is not reachable."));
}

/* --- The keeper --- */

static void refuse(struct courier_job *job, const struct wire_recipient_reply *reply)
{
    static const struct {
        enum wire_status status;
        enum courier_ending ending;
        const char *code, *words;
    } endings[] = {
        {WIRE_UNKNOWN, ENDING_PERMANENT, "5.1.1", "There is no such address here."},
        {WIRE_DISABLED, ENDING_PERMANENT, "5.2.1", "The address takes no mail at present."},
        {WIRE_OVER_QUOTA, ENDING_TEMPORARY, "4.2.2", "The mailbox is full."},
        {WIRE_REFUSED, ENDING_PERMANENT, "5.7.1", "Refused by a rule of the recipient's."},
        {WIRE_DEFERRED, ENDING_TEMPORARY, "4.7.1", "Put off by a rule of the recipient's."},
        {WIRE_DENIED, ENDING_PERMANENT, "5.7.1", "Not allowed."},
        {WIRE_INVALID, ENDING_PERMANENT, "5.1.3", "The address makes no sense."},
    };

    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        if (endings[i].status == (enum wire_status)reply->status) {
            bool is_for_now = reply->reply_code >= 400 && reply->reply_code < 500;

            courier_job_end_all(job, is_for_now ? ENDING_TEMPORARY : endings[i].ending,
                                endings[i].code,
                                reply->words.len > 0 ? reply->words : str_from_c(endings[i].words));
            return;
        }
    }
    courier_job_end_all(job, ENDING_POSTPONED, "4.3.0", STR("The accounts are not reachable."));
}

/* Only the first goes on; the others, should there be any, come back at once. */
static void leave_others(struct courier_job *job)
{
    job->others_back = job->count - 1;
    job->count = 1;
}

static void take_ours(struct courier_job *job, const struct wire_recipient_reply *reply)
{
    leave_others(job);
    job->has_mailbox = reply->has_mailbox;
    if (envelope_routes_parse(&job->task, reply->routes, &job->routes, &job->route_count) !=
        ERR_OK) {
        log_failure(job->courier->log, "an alias's routes", &job->task);
        courier_job_end_all(job, ENDING_TEMPORARY, "4.3.0", STR("The alias cannot be followed."));
    } else if (reply->has_mailbox) {
        deliver(job, reply);
    } else {
        courier_job_end_all(job, ENDING_DELIVERED, "2.0.0", STR("Accepted."));
    }
}

static void go_remote(struct courier_job *job)
{
    bool is_forward = job->recipients[0].kind == QUEUE_FORWARD;
    bool is_ours = job->recipients[0].kind == QUEUE_REMOTE;

    courier_remote_begin(job, is_forward ? courier_forward_sender(job)
                              : is_ours  ? job->message.sender
                                         : STR(""));
}

static void on_recipient(void *owner, struct wire_message *message)
{
    struct courier_job *job = owner;
    struct wire_recipient_reply none = {.status = WIRE_UNAVAILABLE};
    const struct wire_recipient_reply *reply =
        message == NULL ? &none : &message->body.recipient_reply;

    job->ask = NULL;
    if (reply->status == WIRE_NOT_LOCAL) {
        go_remote(job);
    } else if (reply->status == WIRE_OK) {
        take_ours(job, reply);
    } else {
        leave_others(job);
        refuse(job, reply);
    }
}

static bool has_via(struct courier_job *job)
{
    struct envelope_route route = {0};

    if (job->recipients[0].kind != QUEUE_FORWARD)
        return false;
    if (envelope_route_parse(&job->task, job->recipients[0].target, &route) != ERR_OK)
        task_forgive(&job->task);
    return route.via.len > 0;
}

void courier_local_begin(struct courier_job *job)
{
    struct wire_recipient body = {
        .address = job->recipients[0].address,
        .size_bytes = job->message.size_bytes,
        .sender = job->message.sender,
    };

    if (has_via(job)) {
        go_remote(job);
        return;
    }
    job->ask = asks_send(job->courier->asks, WIRE_ROLE_KEEPER, WIRE_RECIPIENT, &body, -1,
                         on_recipient, job);
    if (job->ask == NULL)
        courier_job_end_all(job, ENDING_POSTPONED, "4.3.0", STR("The accounts are not reachable."));
}
