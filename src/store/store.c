#include "store/store.h"

#include "base/file.h"
#include "base/memory.h"
#include "store/backup.h"
#include "store/box.h"
#include "store/retired.h"
#include "store/unsealed.h"

#include <search.h>
#include <stdlib.h>
#include <sys/socket.h>

struct store {
    struct net_loop *loop;                          /* borrowed */
    const struct log *log;                          /* borrowed */
    struct wire_channel *peers[WIRE_ROLE_COUNT];    /* borrowed */
    struct store_requests requests;
    struct store_unsealed *unsealed; /* own */
    void *boxes; /* tsearch by id */
    struct store_retired retired;
    size_t box_count;
    bool is_stopping;
    net_callback on_done;
    void *on_done_owner;
};

static void on_late(void *owner, struct store_request *request)
{
    struct store *store = owner;

    store_request_answer(&store->requests, &request, WIRE_UNAVAILABLE);
}

struct store *store_new(struct net_loop *loop, const struct log *log)
{
    struct store *store = NEW(struct store);

    store->loop = loop;
    store->log = log;
    store->unsealed = store_unsealed_new(loop, on_late, store);
    return store;
}

/* --- boxes ------------------------------------------------------------------------------------ */

static int compare_ids(const void *a, const void *b)
{
    const struct store_box *left = a, *right = b;

    return str_compare(id_str(&left->id), id_str(&right->id));
}

static struct store_box *find_box(struct store *store, const struct id *id)
{
    struct store_box key = {.id = *id};
    struct store_box *const *found = tfind(&key, &store->boxes, compare_ids);

    return found == NULL ? NULL : *found;
}

static struct store_box *add_box(struct store *store, const struct id *id)
{
    struct store_box *box = NEW(struct store_box);

    box->id = *id;
    box->store = store;
    if (tsearch(box, &store->boxes, compare_ids) == NULL)
        abort();
    store->box_count++;
    return box;
}

static void tell_if_done(struct store *store)
{
    net_callback on_done = store->on_done;

    if (!store->is_stopping || store->box_count > 0 || on_done == NULL)
        return;
    store->on_done = NULL;
    on_done(store->on_done_owner);
}

/* The box goes; what waits in it was dealt with. */
static void drop_box(struct store *store, struct store_box *box)
{
    tdelete(box, &store->boxes, compare_ids);
    store->box_count--;
    while (box->sessions != NULL)
        store_session_drop(box, box->sessions);
    wire_channel_free(&box->channel);
    mem_free(&box);
    tell_if_done(store);
}

/* A delivery for an absent owner. */
static void seal(struct store *store, struct store_request *request)
{
    struct wire_channel *sealer = store->peers[WIRE_ROLE_SEALER];
    bool is_retired_now = store_retired_has(&store->retired, &request->body.deliver.mailbox);

    if (sealer == NULL && !is_retired_now && !store->is_stopping &&
        store_unsealed_add(store->unsealed, request))
        return;
    if (is_retired_now || sealer == NULL || store_request_send(request, sealer) != ERR_OK)
        store_request_answer(&store->requests, &request, WIRE_UNAVAILABLE);
}

/* Everything that waits gets its answer, but deliveries go to the sealer: nothing is lost because
 * a mailbox does not open. */
static void refuse_waiting(struct store *store, struct store_box *box, enum wire_status status)
{
    struct store_request *request;

    while ((request = store_box_next(box)) != NULL) {
        if (request->type == WIRE_DELIVER && box->removal == NULL && !box->is_new)
            seal(store, request);
        else
            store_request_answer(&store->requests, &request, status);
    }
}

static enum err ask_release(struct store *store, struct store_box *box)
{
    struct wire_lane_release release = {.mailbox = box->id};

    if (store->peers[WIRE_ROLE_SEALER] == NULL)
        return ERR_BUSY;
    return wire_send(store->peers[WIRE_ROLE_SEALER], WIRE_LANE_RELEASE, 0, &release, NULL, 0);
}

/* No process and none coming: answers what waits, ends what sleeps and drops the box. */
static void give_up(struct store *store, struct store_box *box, enum wire_status status)
{
    refuse_waiting(store, box, status);
    store_session_end_asleep(box, status);
    if (box->removal != NULL)
        store_request_answer(&store->requests, &box->removal, status);
    drop_box(store, box);
}

static void begin_release(struct store *store, struct store_box *box)
{
    store_box_enter(box, BOX_RELEASING, store->log);
    if (ask_release(store, box) != ERR_OK)
        give_up(store, box, WIRE_UNAVAILABLE);
}

static void continue_removal(struct store *store, struct store_box *box)
{
    struct wire_channel *nursery = store->peers[WIRE_ROLE_NURSERY];
    struct wire_mailbox_remove remove = {.mailbox = box->id};
    enum err err;

    if (!box->is_released)
        err = ask_release(store, box);
    else if (nursery == NULL)
        err = ERR_BUSY;
    else
        err = wire_send(nursery, WIRE_MAILBOX_REMOVE, 0, &remove, NULL, 0);
    if (err != ERR_OK)
        give_up(store, box, WIRE_UNAVAILABLE);
}

/* --- the mailbox process ---------------------------------------------------------------------- */

struct lost {
    struct store *store;
    struct wire_channel *target;
};

/* What was sent to a process that is gone may or may not have happened: the asker tries again, and
 * a delivery that did happen is recognised in the mailbox. */
static void fail_sent_to(void *owner, struct store_request *request)
{
    struct lost *lost = owner;

    if (request->target == lost->target)
        store_request_answer(&lost->store->requests, &request, WIRE_UNAVAILABLE);
}

static void fail_all_sent_to(struct store *store, struct wire_channel *target)
{
    struct lost lost = {store, target};

    store_requests_each(&store->requests, fail_sent_to, &lost);
}

/* What waits for a process is refused, and who sleeps is told that there is none: a delivery went
 * elsewhere, of which a sleeper in IDLE would not hear. */
static void refuse_all(struct store *store, struct store_box *box, enum wire_status status)
{
    refuse_waiting(store, box, status);
    store_session_end_asleep(box, status);
}

static void on_unexpected_end(struct store *store, struct store_box *box)
{
    log_warning(store->log, "mailbox process ended unexpectedly mailbox=%s", box->id.text);
    /* Those that waited for its start are refused, so that a file which kills its process is not
     * tried again and again. Else sleepers look: it may have died before it told of a change. */
    if (box->state == BOX_STARTING)
        refuse_all(store, box, WIRE_UNAVAILABLE);
    else
        store_session_wake(box, -1);
    store_box_enter(box, BOX_ENDING, store->log);
}

static void forget_asker(void *owner, struct store_request *request)
{
    if (request->asker == owner)
        request->asker = NULL;
}

static void on_box_close(void *owner, struct wire_channel *channel)
{
    struct store_box *box = owner;
    struct store *store = box->store;

    fail_all_sent_to(store, channel);
    store_requests_each(&store->requests, forget_asker, channel);
    box->sent_count = 0;
    wire_channel_free(&box->channel);
    store_session_drop_awake(box);
    if (box->state != BOX_ENDING)
        on_unexpected_end(store, box);
    if (box->removal != NULL) {
        store_box_enter(box, BOX_REMOVING, store->log);
        continue_removal(store, box);
    } else if (!store->is_stopping &&
               (store_box_awaits_process(box) ||
                (box->sessions != NULL && box->first != NULL))) {
        box->is_new = false;
        begin_release(store, box);
    } else if (!store->is_stopping && box->sessions != NULL) {
        box->is_new = false;
        store_box_enter(box, BOX_DORMANT, store->log);
    } else {
        give_up(store, box, WIRE_UNAVAILABLE);
    }
}

/* Sends on what waited, in order. */
static void flush_waiting(struct store *store, struct store_box *box)
{
    struct store_request *request;

    while (box->state == BOX_LIVE && (request = store_box_next(box)) != NULL) {
        if (request->type == WIRE_MAILBOX_CREATE)
            store_request_answer(&store->requests, &request, WIRE_OK);
        else if (request->is_cancelled)
            store_request_answer(&store->requests, &request, WIRE_UNAVAILABLE);
        else if (store_request_send(request, box->channel) != ERR_OK)
            store_request_answer(&store->requests, &request, WIRE_UNAVAILABLE);
        else
            box->sent_count++;
    }
}

static void end_box(struct store *store, struct store_box *box)
{
    struct wire_stop stop = {.grace_ms = 3000};

    if (box->state == BOX_LIVE || box->state == BOX_STARTING)
        store_box_enter(box, BOX_ENDING, store->log);
    /* If it does not hear us, closing the channel tells it the same. */
    if (box->channel != NULL && wire_send(box->channel, WIRE_STOP, 0, &stop, NULL, 0) != ERR_OK)
        log_warning(store->log, "mailbox process does not listen mailbox=%s", box->id.text);
}

/* Before anything that it could change. */
static void tell_of_sleepers(struct store *store, struct store_box *box)
{
    struct wire_mailbox_sleepers body = {.mailbox = box->id};

    if (store_session_has_sleepers(box, &body.is_watched) &&
        wire_send(box->channel, WIRE_MAILBOX_SLEEPERS, 0, &body, NULL, 0) != ERR_OK)
        log_warning(store->log, "mailbox process does not listen mailbox=%s", box->id.text);
}

static void on_opened(struct store *store, struct store_box *box,
                      const struct wire_mailbox_opened *opened)
{
    bool was_new = box->is_new;

    if (box->state != BOX_STARTING)
        return;
    if (opened->status != WIRE_OK) {
        log_warning(store->log, "mailbox did not open mailbox=%s status=%u", box->id.text,
                    (unsigned)opened->status);
        refuse_all(store, box, (enum wire_status)opened->status);
        end_box(store, box);
        return;
    }
    store_box_enter(box, BOX_LIVE, store->log);
    box->is_new = false;
    tell_of_sleepers(store, box);
    flush_waiting(store, box);
    if (was_new && box->sent_count == 0)
        end_box(store, box);
}

/* Tags can be guessed: only who was asked is heard. */
static void on_answer(struct store *store, struct store_box *box, const struct wire_channel *from,
                      uint64_t tag, enum wire_status status)
{
    struct store_request *request = store_request_find(&store->requests, tag);

    if (request == NULL || request->target != from)
        return;
    if (box != NULL && box->sent_count > 0)
        box->sent_count--;
    if (box != NULL && request->type == WIRE_SESSION_OPEN && status == WIRE_OK &&
        request->asker != NULL)
        store_session_awake(box, &request->body.session_open.session, request->asker,
                            request->asker_tag);
    store_request_answer(&store->requests, &request, status);
}

/* How far a job is, to who asked; its last word is an answer like any other, but with the words. */
static void on_job_reply(struct store *store, struct store_box *box,
                         const struct wire_channel *from, uint64_t tag,
                         const struct wire_job_reply *body)
{
    struct store_request *request = store_request_find(&store->requests, tag);
    struct wire_job_reply reply = *body;

    if (request == NULL || request->target != from || request->type != WIRE_JOB)
        return;
    reply.session = request->body.job.session;
    reply.mailbox = box->id;
    if (request->asker != NULL && wire_send(request->asker, WIRE_JOB_REPLY, request->asker_tag,
                                            &reply, NULL, 0) == ERR_OK &&
        body->is_last)
        request->asker = NULL; /* it has its answer */
    if (body->is_last)
        on_answer(store, box, from, tag, WIRE_UNAVAILABLE);
}

/* The process wants a session to sleep. */
static void on_hibernate(struct store_box *box, const struct wire_session_hibernate *body)
{
    struct store_session *session = store_session_find(box, &body->session);
    struct wire_session_hibernate_reply refused = {
        .session = body->session, .mailbox = box->id, .status = WIRE_UNAVAILABLE};

    if (session != NULL && store_session_ask(session, body))
        return;
    if (wire_send(box->channel, WIRE_SESSION_HIBERNATE_REPLY, 0, &refused, NULL, 0) != ERR_OK)
        log_warning(box->store->log, "mailbox process does not listen mailbox=%s", box->id.text);
}

static void on_box_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct store_box *box = owner;
    struct store *store = box->store;

    if (message->type == WIRE_MAILBOX_OPENED)
        on_opened(store, box, &message->body.mailbox_opened);
    else if (message->type == WIRE_SESSION_OPEN_REPLY)
        on_answer(store, box, channel, message->tag,
                  (enum wire_status)message->body.session_open_reply.status);
    else if (message->type == WIRE_DELIVER_REPLY)
        on_answer(store, box, channel, message->tag,
                  (enum wire_status)message->body.deliver_reply.status);
    else if (message->type == WIRE_JOB_REPLY)
        on_job_reply(store, box, channel, message->tag, &message->body.job_reply);
    else if (message->type == WIRE_SESSION_HIBERNATE)
        on_hibernate(box, &message->body.session_hibernate);
    else if (message->type == WIRE_MAILBOX_CHANGED)
        store_session_wake(box, message->body.mailbox_changed.folder_id);
    else if (store_backup_is_request(message->type))
        store_backup_ask(&store->requests, store->peers[WIRE_ROLE_ARCHIVIST], &box->id, channel,
                         message);
    else if (message->type == WIRE_MAILBOX_IDLE && box->state == BOX_LIVE && box->sent_count == 0)
        end_box(store, box);
}

static const struct wire_channel_events box_events = {on_box_message, on_box_close};

static enum err spawn(struct store *store, struct store_box *box)
{
    struct wire_mailbox_spawn body = {.mailbox = box->id, .is_new = box->is_new};
    struct wire_channel *nursery = store->peers[WIRE_ROLE_NURSERY];
    int pair[2];
    enum err err;

    if (nursery == NULL)
        return ERR_BUSY;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return ERR_IO;
    err = wire_send(nursery, WIRE_MAILBOX_SPAWN, 0, &body, &pair[1], 1);
    fd_close(&pair[1]);
    if (err != ERR_OK) {
        fd_close(&pair[0]);
        return err;
    }
    box->channel = wire_channel_new(store->loop, pair[0], WIRE_ROLE_STORE, WIRE_ROLE_MAILBOX,
                                    &box_events, box, store->log);
    return ERR_OK;
}

static void start_process(struct store *store, struct store_box *box)
{
    if (store->is_stopping || spawn(store, box) != ERR_OK) {
        give_up(store, box, WIRE_UNAVAILABLE);
        return;
    }
    store_box_enter(box, BOX_STARTING, store->log);
}

/* The sealer let go of the drop box, or died, which is the same. */
static void on_lane_released(struct store *store, struct store_box *box)
{
    if (box->state == BOX_RELEASING && box->removal == NULL) {
        start_process(store, box);
        return;
    }
    if (box->state == BOX_RELEASING)
        store_box_enter(box, BOX_REMOVING, store->log);
    if (box->state == BOX_REMOVING && !box->is_released) {
        box->is_released = true;
        continue_removal(store, box);
    }
}

/* --- requests --------------------------------------------------------------------------------- */

static void queue_or_refuse(struct store *store, struct store_box *box,
                            struct store_request *request)
{
    if (!store_box_queue(box, request))
        store_request_answer(&store->requests, &request, WIRE_UNAVAILABLE);
}

static void pass_to_box(struct store *store, struct store_box *box, struct store_request *request)
{
    queue_or_refuse(store, box, request);
    if (box->state == BOX_DORMANT)
        begin_release(store, box);
    else
        flush_waiting(store, box);
}

static void on_deliver(struct store *store, struct store_request *request)
{
    struct store_box *box = find_box(store, &request->body.deliver.mailbox);

    if (box == NULL || store_retired_has(&store->retired, &box->id))
        seal(store, request);
    else if (box->removal != NULL)
        store_request_answer(&store->requests, &request, WIRE_UNKNOWN);
    else
        pass_to_box(store, box, request);
}

/* A session or a job: a process is started for it. */
static void on_owner(struct store *store, struct store_request *request, struct id id)
{
    struct store_box *box = find_box(store, &id);

    if (store->is_stopping || (box != NULL && box->removal != NULL)) {
        store_request_answer(&store->requests, &request, WIRE_UNAVAILABLE);
        return;
    }
    if (box != NULL) {
        pass_to_box(store, box, request);
        return;
    }
    box = add_box(store, &id);
    queue_or_refuse(store, box, request);
    begin_release(store, box);
}

struct cancelled {
    const struct wire_channel *asker;
    const struct id *session; /* NULL: all of this asker */
};

static void cancel_job(void *owner, struct store_request *request)
{
    const struct cancelled *cancelled = owner;
    struct wire_job_cancel body = {.session = request->body.job.session,
                                   .mailbox = request->body.job.mailbox};

    if (request->type != WIRE_JOB || request->asker != cancelled->asker ||
        (cancelled->session != NULL && !id_equal(&body.session, cancelled->session)))
        return;
    request->is_cancelled = true;
    /* A process that does not hear it is about to go. */
    if (request->target != NULL &&
        wire_send(request->target, WIRE_JOB_CANCEL, 0, &body, NULL, 0) != ERR_OK)
        request->asker = NULL;
}

static void cancel_jobs(struct store *store, const struct wire_channel *asker,
                        const struct id *session)
{
    struct cancelled cancelled = {asker, session};

    store_requests_each(&store->requests, cancel_job, &cancelled);
}

static void on_create(struct store *store, struct store_request *request)
{
    struct id id = request->body.mailbox_create.mailbox;
    struct store_box *box = find_box(store, &id);

    if (box != NULL || store->is_stopping) {
        store_request_answer(&store->requests, &request,
                             box != NULL ? WIRE_EXISTS : WIRE_UNAVAILABLE);
        return;
    }
    box = add_box(store, &id);
    box->is_new = true;
    queue_or_refuse(store, box, request);
    start_process(store, box);
}

static void on_remove(struct store *store, struct store_request *request)
{
    struct id id = request->body.mailbox_remove.mailbox;
    struct store_box *box = find_box(store, &id);

    if (box == NULL)
        box = add_box(store, &id);
    if (box->removal != NULL) {
        store_request_answer(&store->requests, &request, WIRE_EXISTS);
        return;
    }
    box->removal = request;
    refuse_all(store, box, WIRE_UNKNOWN);
    if (box->state == BOX_NEW || box->state == BOX_DORMANT) {
        store_box_enter(box, BOX_REMOVING, store->log);
        continue_removal(store, box);
    } else {
        end_box(store, box);
    }
}

static void on_removed(struct store *store, const struct wire_mailbox_remove_reply *reply)
{
    struct store_box *box = find_box(store, &reply->mailbox);

    if (box != NULL && box->state == BOX_REMOVING && box->is_released)
        give_up(store, box, (enum wire_status)reply->status);
}

/* Sessions that wait for a process; who logged in since logs in again. */
static void refuse_sessions(struct store *store, struct store_box *box)
{
    for (size_t count = box->waiting_count; count > 0; count--) {
        struct store_request *request = store_box_next(box);

        /* The rest keeps its order: what is taken off comes back behind the others. */
        if (request->type == WIRE_SESSION_OPEN || request->type == WIRE_JOB ||
            !store_box_queue(box, request))
            store_request_answer(&store->requests, &request, WIRE_UNAVAILABLE);
    }
}

static void on_expel(struct store *store, const struct wire_mailbox_expel *body)
{
    struct store_box *box = find_box(store, &body->mailbox);

    if (body->is_for_good)
        store_retired_add(&store->retired, &body->mailbox);
    if (box == NULL)
        return;
    if (body->is_for_good)
        refuse_waiting(store, box, WIRE_UNAVAILABLE);
    else
        refuse_sessions(store, box);
    store_session_end_asleep(box, WIRE_DENIED);
    if (box->state == BOX_DORMANT)
        drop_box(store, box);
    else
        end_box(store, box);
}

/* Nobody is left to wake. */
static void drop_if_deserted(struct store *store, struct store_box *box)
{
    if (box->state == BOX_DORMANT && box->sessions == NULL)
        drop_box(store, box);
}

static void on_session_close(struct store *store, const struct wire_channel *from,
                             const struct wire_session_close *body)
{
    struct store_box *box = find_box(store, &body->mailbox);
    struct store_session *session = box == NULL ? NULL : store_session_find(box, &body->session);

    if (session == NULL || session->gate != from)
        return;
    store_session_close(box, session);
    drop_if_deserted(store, box);
}

/* Its gate holds the session's state now, or does not; the process that offered it is told. */
static void on_hibernate_reply(struct store *store, const struct wire_channel *from,
                               const struct wire_session_hibernate_reply *body)
{
    struct store_box *box = find_box(store, &body->mailbox);
    bool is_heard = true;

    if (box == NULL || !store_session_answer(box, from, body, &is_heard))
        return;
    if (!is_heard)
        log_warning(store->log, "mailbox process does not listen mailbox=%s", box->id.text);
    drop_if_deserted(store, box);
}

/* The kernel leaves out what we have no room for: without its message or stream nobody can do the
 * request, and the asker may try again. */
static bool lost_its_descriptor(const struct wire_message *message)
{
    return (message->type == WIRE_DELIVER || message->type == WIRE_SESSION_OPEN) &&
           message->fd_count == 0;
}

void store_message(struct store *store, struct wire_channel *from, struct wire_message *message)
{
    struct store_box *box;

    if (store_backup_is_reply(message->type)) {
        store_backup_answer(&store->requests, from, message);
    } else if (lost_its_descriptor(message)) {
        struct store_request *request = store_request_new(&store->requests, from, message);

        log_warning(store->log, "a request came without its descriptor");
        store_request_answer(&store->requests, &request, WIRE_UNAVAILABLE);
    } else if (message->type == WIRE_DELIVER) {
        on_deliver(store, store_request_new(&store->requests, from, message));
    } else if (message->type == WIRE_SESSION_OPEN) {
        on_owner(store, store_request_new(&store->requests, from, message),
                 message->body.session_open.mailbox);
    } else if (message->type == WIRE_JOB) {
        on_owner(store, store_request_new(&store->requests, from, message),
                 message->body.job.mailbox);
    } else if (message->type == WIRE_JOB_CANCEL) {
        cancel_jobs(store, from, &message->body.job_cancel.session);
    } else if (message->type == WIRE_SESSION_CLOSE) {
        on_session_close(store, from, &message->body.session_close);
    } else if (message->type == WIRE_SESSION_HIBERNATE_REPLY) {
        on_hibernate_reply(store, from, &message->body.session_hibernate_reply);
    } else if (message->type == WIRE_MAILBOX_CREATE) {
        on_create(store, store_request_new(&store->requests, from, message));
    } else if (message->type == WIRE_MAILBOX_REMOVE) {
        on_remove(store, store_request_new(&store->requests, from, message));
    } else if (message->type == WIRE_MAILBOX_REMOVE_REPLY) {
        on_removed(store, &message->body.mailbox_remove_reply);
    } else if (message->type == WIRE_MAILBOX_EXPEL) {
        on_expel(store, &message->body.mailbox_expel);
    } else if (message->type == WIRE_DELIVER_REPLY) {
        on_answer(store, NULL, from, message->tag,
                  (enum wire_status)message->body.deliver_reply.status);
    } else if (message->type == WIRE_LANE_RELEASE_REPLY) {
        box = find_box(store, &message->body.lane_release_reply.mailbox);
        if (box != NULL)
            on_lane_released(store, box);
    } else if (message->type == WIRE_MAILBOX_EXITED) {
        const struct wire_mailbox_exited *exited = &message->body.mailbox_exited;

        if (exited->wait_status != 0)
            log_warning(store->log, "mailbox process died mailbox=%s pid=%lld wait_status=%lld",
                        exited->mailbox.text, (long long)exited->pid,
                        (long long)exited->wait_status);
    }
}

/* --- peers and the end ------------------------------------------------------------------------ */

struct box_list {
    struct store_box **boxes;
    size_t count;
};

static void collect_box(const void *node, VISIT which, void *closure)
{
    struct box_list *list = closure;

    if (which == postorder || which == leaf)
        list->boxes[list->count++] = *(struct store_box *const *)node;
}

/* A copy of the tree's content: visiting may drop boxes. */
static struct box_list all_boxes(struct store *store)
{
    struct box_list list = {.boxes = NEW_ARRAY(struct store_box *, store->box_count + 1)};

    twalk_r(store->boxes, collect_box, &list);
    return list;
}

/* What waited may be for a mailbox that has a process by now. */
static void sealer_changed(struct store *store)
{
    struct store_request *request;

    if (store->peers[WIRE_ROLE_SEALER] == NULL) {
        store_unsealed_begin(store->unsealed);
        return;
    }
    while ((request = store_unsealed_next(store->unsealed)) != NULL)
        on_deliver(store, request);
}

void store_set_peer(struct store *store, enum wire_role peer, struct wire_channel *channel)
{
    struct wire_channel *earlier = store->peers[peer];
    struct box_list list;

    store->peers[peer] = channel;
    if (peer == WIRE_ROLE_SEALER)
        sealer_changed(store);
    if (earlier == NULL)
        return;
    fail_all_sent_to(store, earlier);
    store_asker_gone(store, earlier);
    list = all_boxes(store);
    for (size_t i = 0; i < list.count; i++) {
        if (peer == WIRE_ROLE_SEALER)
            on_lane_released(store, list.boxes[i]);
        else if (peer == WIRE_ROLE_NURSERY && list.boxes[i]->state == BOX_REMOVING)
            give_up(store, list.boxes[i], WIRE_UNAVAILABLE);
    }
    mem_free(&list.boxes);
}

void store_asker_gone(struct store *store, struct wire_channel *asker)
{
    struct box_list list = all_boxes(store);

    cancel_jobs(store, asker, NULL);
    store_requests_each(&store->requests, forget_asker, asker);
    for (size_t i = 0; i < list.count; i++) {
        store_session_drop_gate(list.boxes[i], asker);
        drop_if_deserted(store, list.boxes[i]);
    }
    mem_free(&list.boxes);
}

void store_stop(struct store *store, net_callback on_done, void *owner)
{
    struct box_list list = all_boxes(store);

    store->is_stopping = true;
    store->on_done = on_done;
    store->on_done_owner = owner;
    for (size_t i = 0; i < list.count; i++) {
        if (list.boxes[i]->state == BOX_DORMANT)
            drop_box(store, list.boxes[i]);
        else
            end_box(store, list.boxes[i]);
    }
    mem_free(&list.boxes);
    tell_if_done(store);
}

static void free_request(void *owner, struct store_request *request)
{
    store_request_free(owner, &request);
}

void store_free(struct store **store)
{
    struct box_list list;

    if (*store == NULL)
        return;
    list = all_boxes(*store);
    store_requests_each(&(*store)->requests, free_request, &(*store)->requests);
    (*store)->on_done = NULL;
    for (size_t i = 0; i < list.count; i++)
        drop_box(*store, list.boxes[i]);
    mem_free(&list.boxes);
    store_retired_done(&(*store)->retired);
    store_unsealed_free(&(*store)->unsealed);
    mem_free(store);
}
