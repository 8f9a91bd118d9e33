/*
 * The queue is a fair one: a message's time is that of its client's last message in it plus one, or
 * the queue's, whichever is later; the earliest time goes first, and among equals who came first.
 * So a client with a thousand messages delays one with a single message by one.
 *
 * An examiner that was given up stays busy until it answers or is replaced: it cannot be called
 * back.
 */
#include "smtp/server/examiners.h"

#include "base/memory.h"

struct smtp_examiner {
    struct wire_channel *channel; /* borrowed; NULL: this place is free */
    struct smtp_turn *turn;       /* whose message it looks at; NULL: nobody's that is wanted */
    bool is_busy;
};

struct smtp_examiners {
    const struct smtp_examiners_events *events;
    struct smtp_examiner at[SMTP_EXAMINERS_MAX];
    size_t count;              /* of those that are there */
    size_t next;               /* where to look first, so that all have work */
    int64_t absent_ms;         /* since when none is there */
    uint64_t now;              /* the queue's time: of the last message that had its turn */
    struct smtp_turns waiting; /* in the order in which they came */
    struct smtp_turns failed;  /* could not be sent; told of with the next run */
};

struct smtp_examiners *smtp_examiners_new(const struct smtp_examiners_events *events)
{
    struct smtp_examiners *examiners = NEW(struct smtp_examiners);

    examiners->events = events;
    return examiners;
}

void smtp_examiners_free(struct smtp_examiners **examiners)
{
    mem_free(examiners);
}

static void append(struct smtp_turns *list, struct smtp_turn *turn)
{
    turn->list = list;
    turn->previous = list->last;
    turn->next = NULL;
    if (list->last == NULL)
        list->first = turn;
    else
        list->last->next = turn;
    list->last = turn;
}

static void unlink_turn(struct smtp_turn *turn)
{
    struct smtp_turns *list = turn->list;

    if (list == NULL)
        return;
    if (turn->previous == NULL)
        list->first = turn->next;
    else
        turn->previous->next = turn->next;
    if (turn->next == NULL)
        list->last = turn->previous;
    else
        turn->next->previous = turn->previous;
    turn->list = NULL;
    turn->previous = turn->next = NULL;
}

void smtp_examiners_leave(struct smtp_turn *turn)
{
    unlink_turn(turn);
    if (turn->examiner != NULL)
        turn->examiner->turn = NULL;
    *turn = (struct smtp_turn){.list = NULL};
}

static void give_up(struct smtp_examiners *examiners, struct smtp_turn *turn)
{
    smtp_examiners_leave(turn);
    examiners->events->on_failure(turn);
}

/* ---- turns ---- */

static struct smtp_examiner *find_idle(struct smtp_examiners *examiners)
{
    for (size_t i = 0; i < SMTP_EXAMINERS_MAX; i++) {
        struct smtp_examiner *examiner = &examiners->at[(examiners->next + i) % SMTP_EXAMINERS_MAX];

        if (examiner->channel != NULL && !examiner->is_busy)
            return examiner;
    }
    return NULL;
}

static struct smtp_turn *earliest(const struct smtp_examiners *examiners)
{
    struct smtp_turn *found = examiners->waiting.first;

    for (struct smtp_turn *turn = found; turn != NULL; turn = turn->next) {
        if (turn->start < found->start)
            found = turn;
    }
    return found;
}

static void give_turns(struct smtp_examiners *examiners, int64_t now_ms)
{
    struct smtp_examiner *examiner;

    while (examiners->waiting.first != NULL && (examiner = find_idle(examiners)) != NULL) {
        struct smtp_turn *turn = earliest(examiners);

        unlink_turn(turn);
        examiners->now = turn->start;
        examiners->next = (size_t)(examiner - examiners->at) + 1;
        turn->examiner = examiner;
        turn->since_ms = now_ms;
        examiner->turn = turn;
        examiner->is_busy = true;
        if (examiners->events->on_turn(turn, examiner->channel))
            continue;
        *examiner = (struct smtp_examiner){.channel = examiner->channel};
        turn->examiner = NULL;
        append(&examiners->failed, turn);
    }
}

void smtp_examiners_enter(struct smtp_examiners *examiners, struct smtp_turn *turn,
                          struct str client, int64_t now_ms)
{
    uint64_t start = examiners->now;

    for (const struct smtp_turn *other = examiners->waiting.first; other != NULL;
         other = other->next) {
        if (other->start >= start && str_equal(other->client, client))
            start = other->start + 1;
    }
    *turn = (struct smtp_turn){.client = client, .start = start, .since_ms = now_ms};
    append(&examiners->waiting, turn);
    give_turns(examiners, now_ms);
}

/* ---- examiners ---- */

void smtp_examiners_add(struct smtp_examiners *examiners, struct wire_channel *channel)
{
    for (size_t i = 0; i < SMTP_EXAMINERS_MAX; i++) {
        if (examiners->at[i].channel != NULL)
            continue;
        examiners->at[i] = (struct smtp_examiner){.channel = channel};
        examiners->count++;
        return;
    }
}

static struct smtp_examiner *find(struct smtp_examiners *examiners,
                                  const struct wire_channel *channel)
{
    for (size_t i = 0; i < SMTP_EXAMINERS_MAX; i++) {
        if (examiners->at[i].channel == channel)
            return &examiners->at[i];
    }
    return NULL;
}

void smtp_examiners_remove(struct smtp_examiners *examiners, struct wire_channel *channel,
                           int64_t now_ms)
{
    struct smtp_examiner *examiner = find(examiners, channel);
    struct smtp_turn *turn;

    if (examiner == NULL)
        return;
    turn = examiner->turn;
    if (turn != NULL)
        smtp_examiners_leave(turn);
    *examiner = (struct smtp_examiner){.channel = NULL};
    if (--examiners->count == 0)
        examiners->absent_ms = now_ms;
    if (turn != NULL)
        examiners->events->on_failure(turn);
}

struct smtp_turn *smtp_examiners_answered(struct smtp_examiners *examiners,
                                          const struct wire_channel *channel)
{
    struct smtp_examiner *examiner = find(examiners, channel);
    struct smtp_turn *turn;

    if (examiner == NULL)
        return NULL;
    turn = examiner->turn;
    if (turn != NULL)
        smtp_examiners_leave(turn);
    examiner->is_busy = false;
    return turn;
}

static void give_up_waiting(struct smtp_examiners *examiners, int64_t now_ms)
{
    const struct smtp_turns *waiting = &examiners->waiting;
    bool is_hopeless =
        examiners->count == 0 && now_ms - examiners->absent_ms >= SMTP_EXAMINER_ABSENCE_MS;

    while (waiting->first != NULL &&
           (is_hopeless || now_ms - waiting->first->since_ms >= SMTP_EXAMINATION_WAIT_MS))
        give_up(examiners, waiting->first);
}

void smtp_examiners_run(struct smtp_examiners *examiners, int64_t now_ms)
{
    for (size_t i = 0; i < SMTP_EXAMINERS_MAX; i++) {
        struct smtp_turn *turn = examiners->at[i].turn;

        if (turn != NULL && now_ms - turn->since_ms >= SMTP_EXAMINATION_MS)
            give_up(examiners, turn);
    }
    give_up_waiting(examiners, now_ms);
    while (examiners->failed.first != NULL)
        give_up(examiners, examiners->failed.first);
    give_turns(examiners, now_ms);
}
