/* A webhook: the examiner makes the JSON of the message, the poster posts it. */
#include "courier/state.h"

#include "base/clock.h"
#include "base/file.h"

#include <jansson.h>
#include <stdlib.h>

static void on_posted(void *owner, const struct webhook_result *result)
{
    static const enum courier_ending endings[] = {
        [WEBHOOK_DONE] = ENDING_DELIVERED,
        [WEBHOOK_RETRY] = ENDING_TEMPORARY,
        [WEBHOOK_FAILED] = ENDING_PERMANENT,
    };
    static const char *const codes[] = {
        [WEBHOOK_DONE] = "2.0.0", [WEBHOOK_RETRY] = "4.4.0", [WEBHOOK_FAILED] = "5.4.0"};
    struct courier_job *job = owner;

    job->hook = NULL;
    job->verdicts[0] = (struct courier_verdict){
        .ending = endings[result->outcome],
        .status = str_from_c(codes[result->outcome]),
        .words = arena_copy(&job->task.arena, result->reason),
        .wait_ms = result->retry_after_ms,
    };
    courier_job_end(job);
}

static void post(struct courier_job *job, int body_fd)
{
    struct queue_recipient *r = &job->recipients[0];
    struct envelope_route route;
    struct webhook_job hook = {.body_fd = body_fd, .now_ms = clock_now_ms()};

    if (envelope_route_parse(&job->task, r->target, &route) != ERR_OK) {
        courier_job_end_all(job, ENDING_PERMANENT, "5.4.0", STR("The webhook makes no sense."));
        return;
    }
    hook.url = route.url;
    hook.secret = route.secret;
    hook.id =
        arena_printf(&job->task.arena, "%.*s-%lld", STR_ARG(job->message.name), (long long)r->id);
    job->hook = webhook_post(job->courier->ways->poster, &hook, on_posted, job);
}

static void on_rendered(void *owner, struct wire_message *message)
{
    struct courier_job *job = owner;

    job->ask = NULL;
    if (message != NULL && message->body.render_reply.status == WIRE_OK && message->fd_count > 0)
        post(job, message->fds[0]);
    else if (message != NULL && message->body.render_reply.status == WIRE_INVALID)
        courier_job_end_all(job, ENDING_PERMANENT, "5.6.0",
                            STR("The message could not be made into JSON."));
    else /* it may be this message that the examiner ends with, so it counts as an attempt */
        courier_job_end_all(job, ENDING_TEMPORARY, "4.3.0",
                            STR("The message was not made into JSON yet."));
}

/* docs/routes.md, "The envelope of a webhook". */
static struct str envelope_of(struct courier_job *job)
{
    const struct queue_message *message = &job->message;
    struct str recipient = job->recipients[0].alias;
    char received[CLOCK_ISO_ROOM];
    struct str result = STR("{}");
    json_t *object;
    char *text;

    clock_format_iso(message->received_ms, received);
    object =
        json_pack("{s:s%,s:s%,s:s%,s:s%,s:s,s:s%}", "recipient", recipient.ptr, recipient.len,
                  "sender", message->sender.ptr, message->sender.len, "client", message->client.ptr,
                  message->client.len, "helo", message->helo.ptr, message->helo.len, "received",
                  received, "auth", message->auth.ptr, message->auth.len);
    text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    if (text != NULL)
        result = arena_copy(&job->task.arena, str_from_c(text));
    free(text);
    json_decref(object);
    return result;
}

void courier_hook_begin(struct courier_job *job)
{
    CLEANUP(fd_close) int fd = -1;
    struct envelope_route route = {0};
    struct wire_render body = {.trace_len = job->message.trace_bytes};

    if (envelope_route_parse(&job->task, job->recipients[0].target, &route) != ERR_OK) {
        courier_job_end_all(job, ENDING_PERMANENT, "5.4.0", STR("The webhook makes no sense."));
        return;
    }
    body.envelope = envelope_of(job);
    body.with_raw = route.is_raw;
    if (memfd_from(&job->task, buf_str(&job->content), &fd) == ERR_OK)
        job->ask = asks_send(job->courier->asks, WIRE_ROLE_EXAMINER, WIRE_RENDER, &body, fd,
                             on_rendered, job);
    if (job->ask == NULL)
        courier_job_end_all(job, ENDING_POSTPONED, "4.3.0",
                            STR("The message cannot be made into JSON now."));
}
