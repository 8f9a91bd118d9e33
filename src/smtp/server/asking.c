/*
 * What connections ask of other roles, and what becomes of the answers. A question's tag names
 * slot, question and target, so that an answer finds its asker at once and one that comes too late
 * finds nobody.
 */
#include "smtp/server/service_state.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/macros.h"
#include "smtp/server/handover.h"

static uint64_t tag_of(const struct connection *connection, size_t target)
{
    return (uint64_t)connection->slot << 40 | (uint64_t)connection->question << 16 |
           (uint64_t)(target & 0xffff);
}

static void begin_question(struct connection *connection)
{
    connection->question = ++connection->server->question_count & SMTP_QUESTION_MASK;
    connection->is_asked = true;
    if (connection->delay != NULL)
        net_timer_stop(connection->delay);
}

/* ---- logins, senders, recipients ---- */

static void answer_login(struct connection *connection, enum wire_status status,
                         const struct id *mailbox)
{
    connection->is_asked = false;
    smtp_session_login_done(connection->session, status, mailbox, clock_monotonic_ms());
}

static void ask_login(struct connection *connection)
{
    struct smtp_server *server = connection->server;
    struct wire_login login = {
        .session = id_random(),
        .service = WIRE_SERVICE_SUBMISSION,
        .address = net_connection_address(connection->net),
        .is_local = smtp_is_trusted(connection),
    };

    smtp_session_login(connection->session, &login.username, &login.password);
    if (server->keeper.channel == NULL ||
        wire_send(server->keeper.channel, WIRE_LOGIN, tag_of(connection, 0), &login, NULL, 0) !=
            ERR_OK)
        answer_login(connection, WIRE_UNAVAILABLE, NULL);
}

static void ask_sender(struct connection *connection)
{
    struct smtp_server *server = connection->server;
    struct wire_sender sender = {
        .mailbox = *smtp_session_mailbox(connection->session),
        .address = smtp_session_address(connection->session),
        .slot = connection->login_slot,
    };

    if (server->keeper.channel != NULL &&
        wire_send(server->keeper.channel, WIRE_SENDER, tag_of(connection, 0), &sender, NULL, 0) ==
            ERR_OK)
        return;
    connection->is_asked = false;
    smtp_session_sender_done(connection->session, WIRE_UNAVAILABLE, clock_monotonic_ms());
}

static void ask_recipient(struct connection *connection)
{
    static const struct wire_recipient_reply unavailable = {.status = WIRE_UNAVAILABLE};
    struct smtp_server *server = connection->server;
    struct wire_recipient recipient;

    smtp_session_recipient(connection->session, &recipient);
    if (server->keeper.channel != NULL &&
        wire_send(server->keeper.channel, WIRE_RECIPIENT, tag_of(connection, 0), &recipient, NULL,
                  0) == ERR_OK)
        return;
    connection->is_asked = false;
    smtp_session_recipient_done(connection->session, &unavailable, clock_monotonic_ms());
}

/* A keeper that is away keeps them counted. */
void smtp_on_unused(void *owner, const struct wire_recipients_unused *unused)
{
    struct smtp_server *server = owner;

    if (server->keeper.channel != NULL &&
        wire_send(server->keeper.channel, WIRE_RECIPIENTS_UNUSED, 0, unused, NULL, 0) != ERR_OK)
        log_warning(server->log, "recipients could not be taken off the count");
}

void smtp_on_late_answer(struct smtp_server *server, const struct wire_message *message)
{
    const struct wire_recipient_reply *reply = &message->body.recipient_reply;

    if (message->type == WIRE_RECIPIENT_REPLY && reply->counted_day != 0)
        smtp_on_unused(server, &(struct wire_recipients_unused){
                                   .login = reply->login,
                                   .sender = reply->sender,
                                   .counted_day = reply->counted_day,
                                   .count = 1,
                               });
}

/* ---- what the DNS knows ---- */

static void answer_check(struct connection *connection)
{
    struct smtp_facts facts = {.list_score = 0};

    connection->is_asked = false;
    if (connection->checks != NULL)
        smtp_checks_facts(connection->checks, &facts);
    smtp_session_check_done(connection->session, &facts, clock_monotonic_ms());
}

static void ask_check(struct connection *connection)
{
    if (connection->checks == NULL ||
        smtp_checks_sender(connection->checks, smtp_session_sender_domain(connection->session)))
        answer_check(connection);
}

void smtp_on_checks_known(void *owner)
{
    struct connection *connection = owner;

    if (connection->is_finishing || !connection->is_asked ||
        smtp_session_wants(connection->session) != SMTP_WANTS_CHECK)
        return;
    answer_check(connection);
    smtp_pump(connection);
}

/* ---- examination ---- */

static void answer_examination(struct connection *connection,
                               const struct wire_examine_reply *reply)
{
    connection->is_asked = false;
    if (!smtp_session_examination_done(connection->session, reply, clock_monotonic_ms()))
        fd_close(&connection->content_fd);
}

/* The content goes into a memfd now that somebody looks at it, and is here no more. */
static bool on_turn(struct smtp_turn *turn, struct wire_channel *channel)
{
    struct connection *connection = CONTAINER_OF(turn, struct connection, turn);
    const struct smtp_content *content;
    struct wire_examine body;
    struct task task;
    bool is_sent = false;

    task_init(&task, clock_now_ms());
    smtp_session_examination(connection->session, &body, &content);
    body.now_ms = task.now_ms;
    fd_close(&connection->content_fd);
    if (smtp_handover_content(&task, content, &connection->content_fd) == ERR_OK) {
        smtp_session_content_taken(connection->session);
        is_sent = wire_send(channel, WIRE_EXAMINE, tag_of(connection, 0), &body,
                            &connection->content_fd, 1) == ERR_OK;
    } else {
        log_failure(connection->server->log, "handing a message over", &task);
    }
    task_done(&task);
    return is_sent;
}

static void on_turn_failed(struct smtp_turn *turn)
{
    struct connection *connection = CONTAINER_OF(turn, struct connection, turn);

    log_warning(connection->server->log, "a message could not be examined");
    if (connection->session == NULL || !connection->is_asked)
        return;
    answer_examination(connection, NULL);
    smtp_pump(connection);
}

const struct smtp_examiners_events smtp_examiners_events = {.on_turn = on_turn,
                                                            .on_failure = on_turn_failed};

/* ---- delivery ---- */

/* The message as it is sent to the targets of one kind. */
struct parcel {
    int fd; /* own; -1: there is none */
    uint64_t size_bytes;
};

static void pack(struct task *task, struct connection *connection,
                 const struct smtp_delivery *delivery, bool with_own, struct parcel *out)
{
    *out = (struct parcel){.fd = -1, .size_bytes = smtp_handover_size(delivery, with_own)};
    if (smtp_handover(task, delivery, connection->content_fd, with_own, &out->fd) != ERR_OK)
        log_failure(connection->server->log, "handing a message over", task);
}

static bool send_to_store(struct connection *connection, const struct smtp_delivery *delivery,
                          size_t index, const struct parcel *parcel, int64_t received_ms)
{
    const struct smtp_target *target = &delivery->targets[index];
    struct wire_channel *store = connection->server->store.channel;
    struct wire_deliver body = {
        .mailbox = target->mailbox,
        .sender = delivery->sender,
        .recipient = target->recipient,
        .folder = target->folder,
        .received_ms = received_ms,
        .size_bytes = parcel->size_bytes,
        .trace_len = delivery->trace.len,
    };

    /* Who writes to himself gets both, so the mailbox must not take one for the other's
     * retransmission: what it compares begins with the trace's last line end in this one. */
    if (target->kind == SMTP_TARGET_COPY)
        body.trace_len -= 2;
    return store != NULL && parcel->fd >= 0 &&
           wire_send(store, WIRE_DELIVER, tag_of(connection, index), &body, &parcel->fd, 1) ==
               ERR_OK;
}

static bool send_to_courier(struct connection *connection, const struct smtp_delivery *delivery,
                            size_t index, const struct parcel *parcel, int64_t received_ms)
{
    struct wire_channel *courier = connection->server->courier.channel;
    const struct wire_queue body = {
        .envelope = delivery->targets[index].envelope,
        .trace_len = delivery->trace.len,
        .received_ms = received_ms,
    };

    return courier != NULL && parcel->fd >= 0 &&
           wire_send(courier, WIRE_QUEUE, tag_of(connection, index), &body, &parcel->fd, 1) ==
               ERR_OK;
}

static bool send_to_target(struct connection *connection, const struct smtp_delivery *delivery,
                           size_t index, const struct parcel parcels[2], int64_t received_ms)
{
    switch (delivery->targets[index].kind) {
    case SMTP_TARGET_MAILBOX:
        return send_to_store(connection, delivery, index, &parcels[0], received_ms);
    case SMTP_TARGET_COPY:
        return send_to_store(connection, delivery, index, &parcels[delivery->has_own ? 1 : 0],
                             received_ms);
    case SMTP_TARGET_QUEUE:
        break;
    }
    return send_to_courier(connection, delivery, index, &parcels[0], received_ms);
}

/* A report has one recipient; should it have more, nobody knows whose message it is about. */
static void tell_of_bounce(struct connection *connection, const struct smtp_delivery *delivery)
{
    struct wire_channel *courier = connection->server->courier.channel;
    const struct wire_bounce body = {.recipient = delivery->targets[0].recipient,
                                     .report = delivery->bounce};

    if (delivery->target_count == 1 && delivery->targets[0].kind == SMTP_TARGET_MAILBOX &&
        courier != NULL &&
        wire_send(courier, WIRE_BOUNCE, tag_of(connection, 0), &body, NULL, 0) != ERR_OK)
        log_warning(connection->server->log, "a report of failure was not passed on");
}

static bool has_copy(const struct smtp_delivery *delivery)
{
    for (size_t i = 0; i < delivery->target_count; i++) {
        if (delivery->targets[i].kind == SMTP_TARGET_COPY)
            return true;
    }
    return false;
}

static void deliver(struct connection *connection)
{
    struct parcel parcels[2] = {{.fd = -1}, {.fd = -1}}; /* for others, for its author */
    struct id trace_id = id_random();
    struct smtp_delivery delivery;
    struct task task;

    task_init(&task, clock_now_ms());
    smtp_session_delivery(connection->session, task.now_ms, &trace_id, &delivery);
    if (delivery.target_count > 0)
        pack(&task, connection, &delivery, false, &parcels[0]);
    if (delivery.has_own && has_copy(&delivery))
        pack(&task, connection, &delivery, true, &parcels[1]);
    fd_close(&connection->content_fd);
    if (delivery.bounce.len > 0)
        tell_of_bounce(connection, &delivery);
    for (size_t i = 0; i == 0 || i < delivery.target_count; i++) {
        if (delivery.target_count > 0 &&
            send_to_target(connection, &delivery, i, parcels, task.now_ms))
            continue;
        /* The last answer ends it all, the targets included; the next message may wait already. */
        if (smtp_session_delivery_done(connection->session, i, WIRE_UNAVAILABLE,
                                       clock_monotonic_ms())) {
            connection->is_asked = false;
            break;
        }
    }
    if (connection->is_asked)
        smtp_session_content_taken(connection->session);
    fd_close(&parcels[0].fd);
    fd_close(&parcels[1].fd);
    task_done(&task);
}

/* ---- which question, which answer ---- */

/* Whether the question is for a role that is not there but is being restarted. */
static bool is_to_wait(const struct connection *connection)
{
    const struct smtp_server *server = connection->server;
    const struct {
        enum wire_role role;
        const struct smtp_peer *peer;
    } peers[] = {{WIRE_ROLE_KEEPER, &server->keeper},
                 {WIRE_ROLE_STORE, &server->store},
                 {WIRE_ROLE_COURIER, &server->courier}};
    int64_t now_ms = clock_monotonic_ms();

    if (server->is_stopping)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
        if (peers[i].peer->channel == NULL &&
            now_ms - peers[i].peer->absent_ms < SMTP_PEER_ABSENCE_MS &&
            smtp_session_needs(connection->session, peers[i].role))
            return true;
    }
    return false;
}

/* Starts what the engine waits for; true if it may be waiting for something else already. */
bool smtp_serve(struct connection *connection, enum smtp_want want)
{
    if (connection->is_asked)
        return false;
    connection->is_postponed = is_to_wait(connection);
    if (connection->is_postponed)
        return false;
    begin_question(connection);
    switch (want) {
    case SMTP_WANTS_LOGIN:
        ask_login(connection);
        break;
    case SMTP_WANTS_SENDER:
        ask_sender(connection);
        break;
    case SMTP_WANTS_CHECK:
        ask_check(connection);
        break;
    case SMTP_WANTS_RECIPIENT:
        ask_recipient(connection);
        break;
    case SMTP_WANTS_EXAMINATION:
        smtp_examiners_enter(connection->server->examiners, &connection->turn,
                             net_connection_address(connection->net), clock_monotonic_ms());
        break;
    case SMTP_WANTS_DELIVERY:
        deliver(connection);
        break;
    case SMTP_WANTS_INPUT:
    case SMTP_WANTS_ROOM:
    case SMTP_WANTS_TLS:
    case SMTP_WANTS_CLOSE:
        connection->is_asked = false;
        break;
    }
    return !connection->is_asked;
}

void smtp_on_delay(void *owner)
{
    struct connection *connection = owner;

    if (!connection->is_asked || connection->is_finishing)
        return;
    answer_login(connection, connection->login_status, NULL);
    smtp_pump(connection);
}

static void on_login_reply(struct connection *connection, const struct wire_login_reply *reply)
{
    struct smtp_server *server = connection->server;

    connection->login_slot = reply->slot;
    if (reply->status == WIRE_OK || reply->delay_ms == 0) {
        answer_login(connection, (enum wire_status)reply->status, &reply->mailbox);
        return;
    }
    if (connection->delay == NULL)
        connection->delay = net_timer_new(server->loop, smtp_on_delay, connection);
    connection->login_status = (enum wire_status)reply->status;
    net_timer_start(connection->delay, (int64_t)reply->delay_ms);
}

/* The answer of an examiner is one whether somebody still waits for it or not. */
void smtp_on_examined(struct smtp_server *server, const struct wire_channel *channel,
                      const struct wire_message *message)
{
    struct smtp_turn *turn = smtp_examiners_answered(server->examiners, channel);

    if (turn != NULL) {
        struct connection *connection = CONTAINER_OF(turn, struct connection, turn);

        answer_examination(connection, tag_of(connection, 0) == message->tag
                                           ? &message->body.examine_reply
                                           : NULL);
        smtp_pump(connection);
    }
    smtp_examiners_run(server->examiners, clock_monotonic_ms());
}

static void on_delivered(struct connection *connection, size_t target, uint64_t status)
{
    connection->is_asked = !smtp_session_delivery_done(
        connection->session, target, (enum wire_status)status, clock_monotonic_ms());
}

void smtp_on_answer(struct connection *connection, const struct wire_message *message)
{
    const union wire_body *body = &message->body;
    enum smtp_want asked = smtp_session_wants(connection->session);
    int64_t now_ms = clock_monotonic_ms();

    if (message->type == WIRE_LOGIN_REPLY && asked == SMTP_WANTS_LOGIN) {
        on_login_reply(connection, &body->login_reply);
    } else if (message->type == WIRE_SENDER_REPLY && asked == SMTP_WANTS_SENDER) {
        connection->is_asked = false;
        smtp_session_sender_done(connection->session, (enum wire_status)body->sender_reply.status,
                                 now_ms);
    } else if (message->type == WIRE_RECIPIENT_REPLY && asked == SMTP_WANTS_RECIPIENT) {
        connection->is_asked = false;
        smtp_session_recipient_done(connection->session, &body->recipient_reply, now_ms);
    } else if (message->type == WIRE_DELIVER_REPLY && asked == SMTP_WANTS_DELIVERY) {
        on_delivered(connection, message->tag & 0xffff, body->deliver_reply.status);
    } else if (message->type == WIRE_QUEUE_REPLY && asked == SMTP_WANTS_DELIVERY) {
        on_delivered(connection, message->tag & 0xffff, body->queue_reply.status);
    } else {
        smtp_on_late_answer(connection->server, message);
    }
    smtp_pump(connection);
}
