#include "store/session.h"

#include "base/memory.h"
#include "store/box.h"

struct store_session *store_session_find(const struct store_box *box, const struct id *id)
{
    struct store_session *session = box->sessions;

    while (session != NULL && !id_equal(&session->id, id))
        session = session->next;
    return session;
}

void store_session_awake(struct store_box *box, const struct id *id, struct wire_channel *gate,
                         uint64_t gate_tag)
{
    struct store_session *session = store_session_find(box, id);

    if (session == NULL) {
        session = NEW(struct store_session);
        session->id = *id;
        session->next = box->sessions;
        box->sessions = session;
    }
    session->gate = gate;
    session->gate_tag = gate_tag;
    session->watched_folder = 0;
    session->is_orphaned = false;
    session->state = STORE_SESSION_AWAKE;
}

void store_session_drop(struct store_box *box, struct store_session *session)
{
    struct store_session **link = &box->sessions;

    while (*link != session)
        link = &(*link)->next;
    *link = session->next;
    mem_free(&session);
}

void store_session_drop_awake(struct store_box *box)
{
    for (struct store_session *session = box->sessions, *next; session != NULL; session = next) {
        next = session->next;
        session->is_orphaned = session->state == STORE_SESSION_ASKED;
        if (session->state == STORE_SESSION_AWAKE)
            store_session_drop(box, session);
    }
}

void store_session_drop_gate(struct store_box *box, const struct wire_channel *gate)
{
    for (struct store_session *session = box->sessions, *next; session != NULL; session = next) {
        struct wire_session_hibernate_reply nobody = {
            .session = session->id, .mailbox = box->id, .status = WIRE_UNAVAILABLE};

        next = session->next;
        if (session->gate != gate)
            continue;
        /* A process that does not hear it is about to go as well. */
        if (session->state == STORE_SESSION_ASKED && !session->is_orphaned &&
            wire_send(box->channel, WIRE_SESSION_HIBERNATE_REPLY, 0, &nobody, NULL, 0) != ERR_OK)
            session->state = STORE_SESSION_AWAKE;
        store_session_drop(box, session);
    }
}

bool store_session_ask(struct store_session *session, const struct wire_session_hibernate *body)
{
    if (session->state != STORE_SESSION_AWAKE ||
        wire_send(session->gate, WIRE_SESSION_HIBERNATE, session->gate_tag, body, NULL, 0) !=
            ERR_OK)
        return false;
    session->state = STORE_SESSION_ASKED;
    session->watched_folder = body->watched_folder;
    return true;
}

bool store_session_answer(struct store_box *box, const struct wire_channel *gate,
                          const struct wire_session_hibernate_reply *body, bool *out_is_heard)
{
    struct store_session *session = store_session_find(box, &body->session);
    bool is_orphaned;

    *out_is_heard = true;

    if (session == NULL || session->gate != gate || session->state != STORE_SESSION_ASKED)
        return false;
    is_orphaned = session->is_orphaned;
    session->is_orphaned = false;
    session->state = body->status == WIRE_OK ? STORE_SESSION_ASLEEP : STORE_SESSION_AWAKE;
    if (!is_orphaned) {
        /* The gate has the session now. A process that does not hear it is about to go. */
        *out_is_heard =
            wire_send(box->channel, WIRE_SESSION_HIBERNATE_REPLY, 0, body, NULL, 0) == ERR_OK;
        return true;
    }
    /* Its process died. What that changed last, it may not have told. */
    if (session->state == STORE_SESSION_AWAKE)
        store_session_drop(box, session);
    else
        store_session_wake(box, -1);
    return true;
}

/* A gate that does not take it is gone or stuck: its own end tells the rest. */
static void tell(const struct store_box *box, struct store_session *session,
                 enum wire_status status)
{
    struct wire_session_wake body = {.session = session->id, .mailbox = box->id, .status = status};

    if (wire_send(session->gate, WIRE_SESSION_WAKE, session->gate_tag, &body, NULL, 0) == ERR_OK)
        session->state = STORE_SESSION_WAKING;
}

void store_session_wake(struct store_box *box, int64_t folder_id)
{
    for (struct store_session *session = box->sessions; session != NULL; session = session->next) {
        if (session->state == STORE_SESSION_ASLEEP && session->watched_folder != 0 &&
            (folder_id == -1 || folder_id == session->watched_folder))
            tell(box, session, WIRE_OK);
    }
}

void store_session_end_asleep(struct store_box *box, enum wire_status status)
{
    for (struct store_session *session = box->sessions, *next; session != NULL; session = next) {
        next = session->next;
        if (session->state == STORE_SESSION_AWAKE)
            continue;
        tell(box, session, status);
        store_session_drop(box, session);
    }
}

bool store_session_has_sleepers(const struct store_box *box, bool *out_is_watched)
{
    bool has_sleepers = false;

    *out_is_watched = false;
    for (const struct store_session *session = box->sessions; session != NULL;
         session = session->next) {
        if (session->state == STORE_SESSION_AWAKE)
            continue;
        has_sleepers = true;
        *out_is_watched = *out_is_watched || session->watched_folder != 0;
    }
    return has_sleepers;
}
