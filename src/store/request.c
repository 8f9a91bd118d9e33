#include "store/request.h"

#include "base/file.h"
#include "base/memory.h"
#include "store/backup.h"

#include <search.h>
#include <stdlib.h>

static int compare_tags(const void *a, const void *b)
{
    const struct store_request *left = a, *right = b;

    return left->tag < right->tag ? -1 : left->tag > right->tag;
}

/* The message's fields with their texts copied; only requests are ever kept. */
static void copy_body(struct store_request *request, const union wire_body *body)
{
    request->body = *body;
    if (request->type == WIRE_SESSION_OPEN) {
        struct wire_session_open *open = &request->body.session_open;

        open->tag = arena_copy(&request->arena, open->tag);
        open->input = arena_copy(&request->arena, open->input);
        open->state = arena_copy(&request->arena, open->state);
        open->pass = arena_copy(&request->arena, open->pass);
    } else if (request->type == WIRE_DELIVER) {
        struct wire_deliver *deliver = &request->body.deliver;

        deliver->sender = arena_copy(&request->arena, deliver->sender);
        deliver->recipient = arena_copy(&request->arena, deliver->recipient);
        deliver->folder = arena_copy(&request->arena, deliver->folder);
    } else if (request->type == WIRE_JOB) {
        struct wire_job *job = &request->body.job;

        job->kind = arena_copy(&request->arena, job->kind);
        job->json = arena_copy(&request->arena, job->json);
        job->pass = arena_copy(&request->arena, job->pass);
    }
}

struct store_request *store_request_new(struct store_requests *all, struct wire_channel *asker,
                                        struct wire_message *message)
{
    struct store_request *request = NEW(struct store_request);

    request->type = message->type;
    request->asker = asker;
    request->asker_tag = message->tag;
    request->tag = ++all->last_tag;
    for (size_t i = 0; i < message->fd_count && i < ARRAY_LEN(request->fds); i++) {
        request->fds[request->fd_count++] = message->fds[i];
        message->fds[i] = -1;
    }
    copy_body(request, &message->body);
    if (tsearch(request, &all->by_tag, compare_tags) == NULL)
        abort();
    all->count++;
    return request;
}

struct store_request *store_request_find(struct store_requests *all, uint64_t tag)
{
    struct store_request key = {.tag = tag};
    struct store_request *const *found = tfind(&key, &all->by_tag, compare_tags);

    return found == NULL ? NULL : *found;
}

static void close_descriptors(struct store_request *request)
{
    for (size_t i = 0; i < request->fd_count; i++)
        fd_close(&request->fds[i]);
    request->fd_count = 0;
}

void store_request_free(struct store_requests *all, struct store_request **request)
{
    if (*request == NULL)
        return;
    tdelete(*request, &all->by_tag, compare_tags);
    all->count--;
    close_descriptors(*request);
    arena_free(&(*request)->arena);
    mem_free(request);
}

enum err store_request_send(struct store_request *request, struct wire_channel *target)
{
    TRY(wire_send(target, request->type, request->tag, &request->body, request->fds,
                  request->fd_count));
    request->target = target;
    /* The target has its own copy now; ours would keep the client's stream open. */
    close_descriptors(request);
    return ERR_OK;
}

static enum err send_answer(const struct store_request *request, enum wire_status status)
{
    struct wire_channel *asker = request->asker;
    uint64_t tag = request->asker_tag;

    if (request->type == WIRE_SESSION_OPEN) {
        struct wire_session_open_reply reply = {.status = status};

        return wire_send(asker, WIRE_SESSION_OPEN_REPLY, tag, &reply, NULL, 0);
    }
    if (request->type == WIRE_DELIVER) {
        struct wire_deliver_reply reply = {.status = status};

        return wire_send(asker, WIRE_DELIVER_REPLY, tag, &reply, NULL, 0);
    }
    if (request->type == WIRE_JOB) {
        struct wire_job_reply reply = {.session = request->body.job.session,
                                       .mailbox = request->body.job.mailbox,
                                       .status = status,
                                       .is_last = true};

        return wire_send(asker, WIRE_JOB_REPLY, tag, &reply, NULL, 0);
    }
    if (store_backup_is_request(request->type))
        return store_backup_refuse(request, status);
    if (request->type == WIRE_MAILBOX_CREATE) {
        struct wire_mailbox_create_reply reply = {.mailbox = request->body.mailbox_create.mailbox,
                                                  .status = status};

        return wire_send(asker, WIRE_MAILBOX_CREATE_REPLY, tag, &reply, NULL, 0);
    }
    struct wire_mailbox_remove_reply reply = {.mailbox = request->body.mailbox_remove.mailbox,
                                              .status = status};

    return wire_send(asker, WIRE_MAILBOX_REMOVE_REPLY, tag, &reply, NULL, 0);
}

void store_request_answer(struct store_requests *all, struct store_request **request,
                          enum wire_status status)
{
    /* A full or closed channel: the asker is gone or about to be, and asks again if it cares. */
    if ((*request)->asker != NULL && send_answer(*request, status) != ERR_OK)
        (*request)->asker = NULL;
    store_request_free(all, request);
}

struct visit {
    struct store_request **list;
    size_t count;
};

static void collect(const void *node, VISIT which, void *closure)
{
    struct visit *visit = closure;

    if (which == postorder || which == leaf)
        visit->list[visit->count++] = *(struct store_request *const *)node;
}

void store_requests_each(struct store_requests *all,
                         void (*visit)(void *owner, struct store_request *request), void *owner)
{
    struct visit found = {.list = NEW_ARRAY(struct store_request *, all->count + 1)};

    twalk_r(all->by_tag, collect, &found);
    for (size_t i = 0; i < found.count; i++)
        visit(owner, found.list[i]);
    mem_free(&found.list);
}
