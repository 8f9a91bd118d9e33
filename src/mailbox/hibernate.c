/*
 * Putting sessions to sleep. When all sessions of the mailbox have been silent for the time of
 * `hibernate_after`, none of them is costly (imap/hibernate.h) and the vault has put no work off,
 * each is offered to its gate:
 *
 *   1. its stream is not read any more, and its state goes to the gate, through the store, with
 *      the numbers of bytes that were read from the stream and written there;
 *   2. the gate compares: has it sent just as many? Then it keeps the state, stops reading the
 *      client and says yes; from here on the session is the gate's. Else it says no, and all is
 *      as before;
 *   3. at a yes the session is freed here, its stream closed. What was said on it before the
 *      state was taken comes to the gate before the end of the stream. What was said since are
 *      last words (this process had to end): then the gate ends the session, too;
 *   4. without sessions the process ends, and the store keeps in mind who sleeps.
 *
 * What is left of a kill:
 *   this process   before 2: the stream ends, and the gate says BYE as for any session of a dead
 *                  process. After 2: the session sleeps; the store wakes those in IDLE, because
 *                  a change may not have been told.
 *   the store      this process ends with it. The gate says BYE to its sleepers: no store knows
 *                  of them any more, so that mail would pass them by.
 *   the gate       its clients' connections end. The store answers 1 in its place (no), and
 *                  drops its sleepers.
 *   the nursery    takes this process along. Sleepers sleep on; they wake when there is a new one.
 *   the keeper     the key is gone: sleepers get BYE when next a process would be needed for
 *                  them. A process that runs has it, and from now on puts no session to sleep: it
 *                  could not be woken.
 * No step changes anything on the disk.
 *
 * The state is, for the gate and the store, just bytes (mailbox/sleep_state.h).
 *
 * A client that polls would be put to sleep and woken all the time: one that came back soon
 * (is_restless, the gate's judgement) is given four times as long.
 */
#include "base/clock.h"
#include "mailbox/session.h"
#include "mailbox/sleep_state.h"
#include "net/compress.h"

enum { RESTLESS_FACTOR = 4 };

static void look_again(struct mailbox *mailbox, int64_t delay_ms)
{
    mailbox->is_hibernate_due = true;
    net_timer_start(mailbox->hibernate_timer, delay_ms < 10 ? 10 : delay_ms);
}

static int64_t patience_ms(const struct mailbox *mailbox)
{
    return (int64_t)mailbox->start->config->hibernate_after_ms;
}

void mailbox_hibernate_later(struct mailbox *mailbox)
{
    if (patience_ms(mailbox) > 0 && !mailbox->is_hibernate_due && !mailbox->is_ending)
        look_again(mailbox, patience_ms(mailbox));
}

static bool can_sleep(const struct mailbox_session *session)
{
    const struct net_compress *compress = net_connection_compress(session->connection);

    return session->kind->can_hibernate != NULL && !session->is_input_over &&
           !session->is_finishing && !session->is_offered &&
           net_connection_room(session->connection) == MAILBOX_SESSION_OUTPUT_MAX &&
           session->kind->wants(session->engine) == ENGINE_WANTS_INPUT &&
           session->kind->can_hibernate(session->engine) &&
           (compress == NULL || net_compress_can_save(compress));
}

static void offer(struct mailbox_session *session)
{
    struct mailbox *mailbox = session->mailbox;
    struct wire_session_hibernate body = {
        .session = session->id,
        .mailbox = mailbox->start->id,
        .consumed_bytes = net_connection_received(session->connection),
        .said_bytes = net_connection_written(session->connection),
        .is_compressed = net_connection_compress(session->connection) != NULL,
        .watched_folder = session->kind->watched_folder(session->engine),
    };
    CLEANUP(buf_free) struct buf state;

    buf_init(&state, WIRE_SLEEP_STATE_MAX);
    if (mailbox_sleep_state_pack(session, &state) != ERR_OK)
        return;
    body.state = buf_str(&state);
    if (wire_send(mailbox->store, WIRE_SESSION_HIBERNATE, 0, &body, NULL, 0) != ERR_OK)
        return;
    session->is_offered = true;
    net_connection_want_input(session->connection, false);
}

void mailbox_hibernate_check(void *owner)
{
    struct mailbox *mailbox = owner;
    int64_t now_ms = clock_monotonic_ms(), due_ms = now_ms;
    bool can_all = mailbox->first_delivery == NULL && mailbox->job_count == 0 &&
                   !mailbox->has_housekeeping;

    mailbox->is_hibernate_due = false;
    if (mailbox->is_ending || mailbox->session_count == 0 || mailbox->is_key_only_here)
        return;
    for (struct mailbox_session *session = mailbox->sessions; session != NULL;
         session = session->next) {
        int64_t session_due_ms =
            session->active_ms +
            patience_ms(mailbox) * (session->is_restless ? RESTLESS_FACTOR : 1);

        if (session_due_ms > due_ms)
            due_ms = session_due_ms;
        can_all = can_all && can_sleep(session);
    }
    if (due_ms == now_ms && can_all)
        for (struct mailbox_session *session = mailbox->sessions; session != NULL;
             session = session->next)
            offer(session);
    else if (due_ms == now_ms) /* they stay awake, in silence */
        vault_rest(mailbox->vault);
    look_again(mailbox, due_ms > now_ms ? due_ms - now_ms : patience_ms(mailbox));
}

static void let_go(struct mailbox_session *session)
{
    struct mailbox *mailbox = session->mailbox;
    int64_t watched_folder = session->kind->watched_folder(session->engine);
    bool has_news = session->kind->wants(session->engine) != ENGINE_WANTS_INPUT;

    mailbox_session_free(session);
    if (watched_folder != 0)
        mailbox->is_watched = true;
    /* Committed while the gate was asked. */
    if (has_news)
        mailbox_hibernate_changed(mailbox, watched_folder);
    mailbox_check_idle(mailbox);
    if (mailbox->session_count == 0 && mailbox->first_delivery == NULL &&
        mailbox->job_count == 0 && !mailbox->is_ending)
        net_timer_start(mailbox->idle_timer, 0);
}

void mailbox_hibernate_reply(struct mailbox *mailbox,
                             const struct wire_session_hibernate_reply *body)
{
    struct mailbox_session *session = mailbox->sessions;

    while (session != NULL && !(session->is_offered && id_equal(&session->id, &body->session)))
        session = session->next;
    if (session == NULL)
        return;
    if (body->status == WIRE_OK) {
        let_go(session);
        return;
    }
    session->is_offered = false;
    session->active_ms = clock_monotonic_ms();
    net_timer_start(session->turn, 0);
}

void mailbox_hibernate_changed(struct mailbox *mailbox, int64_t folder_id)
{
    struct wire_mailbox_changed body = {.mailbox = mailbox->start->id, .folder_id = folder_id};

    /* A store that does not take it is about to go, and so is this process then. */
    if (mailbox->is_watched &&
        wire_send(mailbox->store, WIRE_MAILBOX_CHANGED, 0, &body, NULL, 0) != ERR_OK)
        net_loop_stop(mailbox->loop);
}

void mailbox_hibernate_sleepers(struct mailbox *mailbox, bool is_watched)
{
    vault_keep_expunged(mailbox->vault);
    mailbox->is_watched = is_watched;
    if (mailbox->has_imported)
        mailbox_hibernate_changed(mailbox, -1);
}
