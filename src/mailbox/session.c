/* One client's session: its byte stream (through the gate) on one side, its engine on the other. */
#include "mailbox/session.h"

#include "base/clock.h"
#include "base/memory.h"
#include "imap/hibernate.h"

void mailbox_session_free(struct mailbox_session *session)
{
    struct mailbox *mailbox = session->mailbox;

    if (session->previous != NULL)
        session->previous->next = session->next;
    else
        mailbox->sessions = session->next;
    if (session->next != NULL)
        session->next->previous = session->previous;
    mailbox->session_count--;
    imap_session_free(&session->imap);
    net_timer_free(&session->turn);
    net_connection_free(&session->connection);
    mem_free(&session);
}

/* Until none is left, or the connection has no room and tells us when it has. */
static void send_output(struct mailbox_session *session)
{
    for (;;) {
        struct str output = str_upto(imap_session_output(session->imap),
                                     net_connection_room(session->connection));

        if (output.len == 0)
            return;
        session->active_ms = clock_monotonic_ms();
        net_connection_write(session->connection, output);
        imap_session_consume_output(session->imap, output.len);
    }
}

static void finish(struct mailbox_session *session)
{
    if (session->is_finishing || imap_session_output(session->imap).len > 0)
        return;
    session->is_finishing = true;
    net_connection_finish(session->connection);
}

void mailbox_session_pump(struct mailbox_session *session)
{
    while (!session->is_offered) {
        bool is_full;

        send_output(session);
        if (vault_is_broken(session->mailbox->vault))
            mailbox_end(session->mailbox, "the mailbox file cannot be written");
        is_full = imap_session_is_input_full(session->imap);
        net_connection_want_input(session->connection, !is_full && !session->is_finishing);
        switch (imap_session_wants(session->imap)) {
        case IMAP_WANTS_INPUT:
            return;
        case IMAP_WANTS_ROOM:
            if (imap_session_output(session->imap).len > IMAP_OUTPUT_HIGH / 2)
                return; /* on_room comes back here */
            imap_session_resume(session->imap, clock_now_ms());
            break;
        case IMAP_WANTS_TURN:
            net_timer_start(session->turn, 0);
            return;
        case IMAP_WANTS_TLS:
        case IMAP_WANTS_LOGIN: /* never after login */
        case IMAP_WANTS_CLOSE:
            finish(session);
            return;
        }
    }
}

static void on_turn(void *owner)
{
    struct mailbox_session *session = owner;

    if (!session->is_offered && imap_session_wants(session->imap) == IMAP_WANTS_TURN)
        imap_session_resume(session->imap, clock_now_ms());
    mailbox_session_pump(session);
}

static void on_input(void *owner, struct net_connection *connection, struct str bytes)
{
    struct mailbox_session *session = owner;

    (void)connection;
    session->consumed_bytes += bytes.len;
    session->active_ms = session->spoke_ms = clock_monotonic_ms();
    imap_session_input(session->imap, bytes, clock_now_ms());
    mailbox_session_pump(session);
}

static void on_room(void *owner, struct net_connection *connection)
{
    (void)connection;
    mailbox_session_pump(owner);
}

static void on_close(void *owner, struct net_connection *connection, enum net_close_reason reason)
{
    struct mailbox_session *session = owner;
    struct mailbox *mailbox = session->mailbox;

    (void)connection;
    log_debug(mailbox->start->log, "session ended reason=%d", (int)reason);
    mailbox_session_free(session);
    mailbox_check_idle(mailbox);
}

/* Another session's change reached this one in IDLE: the engine is in the middle of a commit, so
 * the bytes go out in the next turn. */
static void on_output(void *owner)
{
    struct mailbox_session *session = owner;

    net_timer_start(session->turn, 0);
}

static const struct net_connection_events connection_events = {
    .on_input = on_input,
    .on_room = on_room,
    .on_close = on_close,
};

/* The engine of a session that is new, or goes on after a sleep. */
static enum err make_engine(struct mailbox *mailbox, const struct wire_session_open *open,
                            struct imap_session **out_imap)
{
    const struct config *config = mailbox->start->config;
    struct imap_options options = {
        .hostname = config->hostname,
        .append_limit_bytes = config->message_size_max,
        .is_secure = true,
        .is_tls = open->is_secure,
        .log = mailbox->start->log,
        .group = mailbox->appends,
    };
    struct task task;
    enum err err = ERR_OK;

    if (open->state.len == 0) {
        *out_imap = imap_session_resume_authenticated(&options, mailbox->vault, open->tag);
        return ERR_OK;
    }
    task_init(&task, clock_now_ms());
    vault_keep_expunged(mailbox->vault);
    imap_group_commit(mailbox->appends, task.now_ms);
    err = imap_session_resume_hibernated(&options, mailbox->vault, &task, open->state, out_imap);
    if (err != ERR_OK)
        log_failure(mailbox->start->log, "a session that slept", &task);
    task_done(&task);
    return err;
}

enum err mailbox_session_open(struct mailbox *mailbox, const struct wire_session_open *open, int fd)
{
    struct imap_session *imap;
    struct mailbox_session *session;

    if (open->service != WIRE_SERVICE_IMAP)
        return ERR_INVALID;
    if (mailbox->session_count >= MAILBOX_SESSIONS_MAX)
        return ERR_LIMIT;
    TRY(make_engine(mailbox, open, &imap));
    session = NEW(struct mailbox_session);
    session->mailbox = mailbox;
    session->id = open->session;
    session->is_restless = open->is_restless;
    session->active_ms = session->spoke_ms = clock_monotonic_ms();
    session->next = mailbox->sessions;
    if (session->next != NULL)
        session->next->previous = session;
    mailbox->sessions = session;
    mailbox->session_count++;
    session->turn = net_timer_new(mailbox->loop, on_turn, session);
    session->connection = net_connection_new(mailbox->loop, fd, NULL, MAILBOX_SESSION_OUTPUT_MAX,
                                             &connection_events, session);
    session->imap = imap;
    imap_session_on_output(session->imap, on_output, session);
    imap_session_ask_load(session->imap, mailbox_is_under_load, mailbox);
    if (open->is_bulk)
        imap_session_set_bulk(session->imap, true);
    if (open->input.len > 0)
        imap_session_input(session->imap, open->input, clock_now_ms());
    net_timer_start(session->turn, 0);
    mailbox_hibernate_later(mailbox);
    return ERR_OK;
}

void mailbox_session_end_all(struct mailbox *mailbox, const char *words)
{
    for (struct mailbox_session *session = mailbox->sessions; session != NULL;
         session = session->next) {
        session->is_offered = false;
        imap_session_bye(session->imap, words);
        net_timer_start(session->turn, 0);
    }
}

void mailbox_session_free_all(struct mailbox *mailbox)
{
    while (mailbox->sessions != NULL)
        mailbox_session_free(mailbox->sessions);
}
