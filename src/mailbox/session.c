/* One client's session: its byte stream (through the gate) on one side, its engine on the other. */
#include "mailbox/session.h"

#include "base/clock.h"
#include "base/memory.h"
#include "imap/session.h"
#include "mailbox/sleep_state.h"
#include "net/compress.h"

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
    session->kind->free(session->engine);
    net_timer_free(&session->turn);
    net_timer_free(&session->stall);
    net_connection_free(&session->connection);
    mem_free(&session);
}

static void send_output(struct mailbox_session *session)
{
    struct str output = session->kind->output(session->engine);

    if (output.len == 0)
        return;
    session->active_ms = clock_monotonic_ms();
    session->kind->consume_output(session->engine,
                                  net_connection_offer(session->connection, output));
}

static void finish(struct mailbox_session *session)
{
    if (session->is_finishing || session->kind->output(session->engine).len > 0)
        return;
    session->is_finishing = true;
    net_connection_finish(session->connection);
}

/* ---- A message that is being sent ---- */

/* As the engine numbers them; 0: none. */
static uint64_t receiving(const struct mailbox_session *session)
{
    if (session->is_finishing || session->kind->receiving == NULL)
        return 0;
    return session->kind->receiving(session->engine);
}

/* Where it is being stored just now, the next wait begins anew. */
static void on_stall(void *owner)
{
    struct mailbox_session *session = owner;

    session->stall_number = 0;
    if (receiving(session) == 0)
        return;
    session->kind->end(session->engine, "Your message did not come on.");
    mailbox_session_pump(session);
}

/* The engine holds room for it that others may want, so it has to come on: a step of it, or its
 * end, in append_timeout. Another silence is the gate's to end. */
static void watch_message(struct mailbox_session *session)
{
    uint64_t number = receiving(session);

    if (number == 0) {
        net_timer_free(&session->stall);
        session->stall_number = 0;
        return;
    }
    if (number == session->stall_number &&
        session->consumed_bytes - session->stall_bytes < MAILBOX_SESSION_STEP_BYTES)
        return;
    if (session->stall == NULL)
        session->stall = net_timer_new(session->mailbox->loop, on_stall, session);
    session->stall_number = number;
    session->stall_bytes = session->consumed_bytes;
    net_timer_start(session->stall, (int64_t)session->mailbox->start->config->append_timeout_ms);
}

/* ---- Bytes in and out ---- */

void mailbox_session_pump(struct mailbox_session *session)
{
    while (!session->is_offered) {
        bool is_full;

        send_output(session);
        if (vault_is_broken(session->mailbox->vault))
            mailbox_end(session->mailbox, "the mailbox file cannot be written");
        is_full = session->kind->is_input_full(session->engine);
        net_connection_want_input(session->connection, !is_full && !session->is_finishing);
        switch (session->kind->wants(session->engine)) {
        case ENGINE_WANTS_INPUT:
            watch_message(session);
            if (session->is_input_over)
                finish(session);
            return;
        case ENGINE_WANTS_ROOM:
            if (session->kind->output(session->engine).len > session->kind->output_high / 2)
                return; /* on_room comes back here */
            session->kind->resume(session->engine, clock_now_ms());
            break;
        case ENGINE_WANTS_TURN:
            net_timer_start(session->turn, 0);
            return;
        case ENGINE_WANTS_COMPRESS:
            if (session->kind->output(session->engine).len > 0)
                return; /* on_room comes back here */
            net_connection_start_compression(session->connection,
                                             session->kind->pending_input(session->engine));
            session->kind->compressed(session->engine);
            break;
        case ENGINE_WANTS_TLS:
        case ENGINE_WANTS_LOGIN: /* never after login */
        case ENGINE_WANTS_CLOSE:
            finish(session);
            return;
        }
    }
}

static void on_turn(void *owner)
{
    struct mailbox_session *session = owner;

    if (!session->is_offered && session->kind->wants(session->engine) == ENGINE_WANTS_TURN) {
        session->is_running = true;
        session->kind->resume(session->engine, clock_now_ms());
        session->is_running = false;
    }
    mailbox_session_pump(session);
}

static void on_input(void *owner, struct net_connection *connection, struct str bytes)
{
    struct mailbox_session *session = owner;

    (void)connection;
    session->consumed_bytes += bytes.len;
    session->active_ms = session->spoke_ms = clock_monotonic_ms();
    session->kind->input(session->engine, bytes, clock_now_ms());
    mailbox_session_pump(session);
}

static void on_room(void *owner, struct net_connection *connection)
{
    (void)connection;
    mailbox_session_pump(owner);
}

static void on_end(void *owner, struct net_connection *connection)
{
    struct mailbox_session *session = owner;

    (void)connection;
    session->is_input_over = true;
    mailbox_session_pump(session);
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
 * the bytes go out in the next turn. Not so the session's own commit. */
static void on_output(void *owner)
{
    struct mailbox_session *session = owner;

    if (!session->is_running)
        net_timer_start(session->turn, 0);
}

static const struct net_connection_events connection_events = {
    .on_input = on_input,
    .on_room = on_room,
    .on_end = on_end,
    .on_close = on_close,
};

/* The engine of a session that is new, or goes on after a sleep, from `state`. */
static enum err make_engine(struct mailbox *mailbox, const struct wire_session_open *open,
                            const struct engine_kind *kind, struct str state, void **out_engine)
{
    struct engine_options options = {
        .config = mailbox->start->config,
        .log = mailbox->start->log,
        .may_log_in = true,
        .is_tls = open->is_secure,
        .vault = mailbox->vault,
        .appends = mailbox->appends,
        .login_tag = open->tag,
    };
    struct task task;
    enum err err;

    if (state.len == 0) {
        *out_engine = kind->resume_authenticated(&options);
        return ERR_OK;
    }
    if (kind->resume_hibernated == NULL)
        return ERR_INVALID;
    task_init(&task, clock_now_ms());
    vault_keep_expunged(mailbox->vault);
    imap_group_commit(mailbox->appends, task.now_ms);
    err = kind->resume_hibernated(&options, &task, state, out_engine);
    if (err != ERR_OK)
        log_failure(mailbox->start->log, "a session that slept", &task);
    task_done(&task);
    return err;
}

enum err mailbox_session_open(struct mailbox *mailbox, const struct wire_session_open *open, int fd)
{
    const struct engine_kind *kind = engine_for_service(open->service);
    CLEANUP(net_compress_free) struct net_compress *compress = NULL;
    struct mailbox_session *session;
    struct str state;
    void *engine;

    if (kind == NULL)
        return ERR_INVALID;
    if (!mailbox_pass_is_valid(mailbox, &open->session, open->service, open->pass)) {
        log_error(mailbox->start->log,
                  "a session that the keeper did not open, or has ended since session=%s",
                  open->session.text);
        return ERR_DENIED;
    }
    if (mailbox->session_count >= MAILBOX_SESSIONS_MAX)
        return ERR_LIMIT;
    if (mailbox_sleep_state_unpack(mailbox, open, &state, &compress) != ERR_OK) {
        log_error(mailbox->start->log,
                  "a session that slept with a state that is not ours session=%s",
                  open->session.text);
        return ERR_INVALID;
    }
    TRY(make_engine(mailbox, open, kind, state, &engine));
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
    if (compress != NULL)
        net_connection_go_on_compressed(session->connection, compress);
    compress = NULL;
    session->kind = kind;
    session->engine = engine;
    kind->on_output(session->engine, on_output, session);
    if (kind->ask_load != NULL)
        kind->ask_load(session->engine, mailbox_is_under_load, mailbox);
    if (open->is_bulk && kind->set_bulk != NULL)
        kind->set_bulk(session->engine, true);
    if (open->input.len > 0)
        kind->input(session->engine, open->input, clock_now_ms());
    net_timer_start(session->turn, 0);
    mailbox_hibernate_later(mailbox);
    return ERR_OK;
}

void mailbox_session_end_all(struct mailbox *mailbox, const char *words)
{
    for (struct mailbox_session *session = mailbox->sessions; session != NULL;
         session = session->next) {
        session->is_offered = false;
        session->kind->end(session->engine, words);
        net_timer_start(session->turn, 0);
    }
}

bool mailbox_session_is_one_busy(const struct mailbox *mailbox)
{
    for (const struct mailbox_session *session = mailbox->sessions; session != NULL;
         session = session->next) {
        enum engine_want want = session->kind->wants(session->engine);

        if (want == ENGINE_WANTS_TURN || want == ENGINE_WANTS_ROOM)
            return true;
    }
    return false;
}

void mailbox_session_free_all(struct mailbox *mailbox)
{
    while (mailbox->sessions != NULL)
        mailbox_session_free(mailbox->sessions);
}
