/* When an alias answers by itself (RFC 3834), and what is written down; the text is in reply.c. */
#include "courier/reply.h"
#include "courier/state.h"
#include "courier/trace.h"

#include "base/id.h"

static const int64_t ONCE_IN_MS = 4LL * 24 * 3600 * 1000;

static bool is_answered(const struct courier_job *job, const struct envelope_route *route,
                        struct str given, int64_t now_ms)
{
    const struct queue_message *message = &job->message;
    struct str alias = job->recipients[0].alias;

    return message->may_reply && !message->is_junk && now_ms <= route->until_ms &&
           reply_may_go_to(message->sender, route->from) &&
           reply_may_go_to(message->sender, alias) &&
           (reply_is_addressed_to(given, alias) || reply_is_addressed_to(given, route->from));
}

enum err courier_reply(struct courier *courier, struct task *task, struct courier_job *job)
{
    struct str given = str_from(buf_str(&job->content), job->message.trace_bytes);
    struct queue_message own = {
        .source = QUEUE_REPLY, .body = STR("7BIT"), .received_ms = task->now_ms};
    struct envelope_route route;
    CLEANUP(buf_free) struct buf out;
    struct id name = id_random();
    struct reply reply;
    bool is_first = false;

    buf_init(&out, SIZE_MAX);
    TRY(envelope_route_parse(task, job->recipients[0].target, &route));
    if (route.from.len == 0)
        route.from = job->recipients[0].alias;
    if (!is_answered(job, &route, given, task->now_ms))
        return ERR_OK;
    TRY(memory_reply_note(courier->queue, task, route.from, job->message.sender, ONCE_IN_MS,
                          &is_first));
    if (!is_first)
        return ERR_OK;
    reply = (struct reply){
        .from = route.from,
        .to = job->message.sender,
        .subject = route.subject,
        .text = route.text,
        .name = id_str(&name),
        .now_ms = task->now_ms,
        .message = given,
    };
    reply_write(&reply, &out);
    own.trace = reply.name;
    own.is_utf8 = !str_is_ascii(reply.from) || !str_is_ascii(reply.to);
    return courier_add_own(courier, task, &own, buf_str(&out), reply.to);
}
