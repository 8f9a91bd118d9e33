/*
 * The examiners that this process shows messages to: each looks at one at a time. What waits does so
 * in a queue in which every client has his turn, however many messages he has in it.
 */
#ifndef SMTP_SERVER_EXAMINERS_H
#define SMTP_SERVER_EXAMINERS_H

#include "base/str.h"
#include "wire/channel.h"

enum {
    SMTP_EXAMINERS_MAX = 32,
    SMTP_EXAMINATION_MS = 15 * 1000,   /* one that takes longer is given up */
    SMTP_EXAMINATION_WAIT_MS = 60 * 1000, /* for its turn */
    SMTP_EXAMINER_ABSENCE_MS = 3000,   /* without any examiner: one is being restarted */
};

struct smtp_examiner;

struct smtp_turns {
    struct smtp_turn *first, *last;
};

/* A message's place, part of whoever has it; all zero: it has none. */
struct smtp_turn {
    struct smtp_turns *list;           /* in which it waits; NULL: in none */
    struct smtp_turn *previous, *next; /* there */
    struct smtp_examiner *examiner;    /* that looks at it now; NULL: none */
    struct str client;                 /* borrowed: whose message it is */
    uint64_t start;                    /* its time in the queue */
    int64_t since_ms;
};

struct smtp_examiners_events {
    /* Sends the message to this examiner; nothing else may happen inside. False: it cannot be sent;
     * on_failure follows. */
    bool (*on_turn)(struct smtp_turn *turn, struct wire_channel *channel);
    /* Nobody looks at it: in time, or at all. The turn was left. Never inside smtp_examiners_enter. */
    void (*on_failure)(struct smtp_turn *turn);
};

struct smtp_examiners;

/* `events` are borrowed. */
struct smtp_examiners *smtp_examiners_new(const struct smtp_examiners_events *events);
/* Nobody may be in it. */
void smtp_examiners_free(struct smtp_examiners **examiners);

void smtp_examiners_add(struct smtp_examiners *examiners, struct wire_channel *channel);
/* What it was looking at fails. */
void smtp_examiners_remove(struct smtp_examiners *examiners, struct wire_channel *channel,
                           int64_t now_ms);

/* The message is to be examined: now, or when it is its turn. */
void smtp_examiners_enter(struct smtp_examiners *examiners, struct smtp_turn *turn,
                          struct str client, int64_t now_ms);
/* Its owner does not want it any more. Allowed at any time. */
void smtp_examiners_leave(struct smtp_turn *turn);
/* An examiner answered, whatever and to whom: it has time for the next one. The turn that it had, if
 * it is still wanted, is left; NULL otherwise. */
struct smtp_turn *smtp_examiners_answered(struct smtp_examiners *examiners,
                                          const struct wire_channel *channel);
/* Gives out turns after an answer was dealt with, and what took too long fails: call it then, and
 * every second. */
void smtp_examiners_run(struct smtp_examiners *examiners, int64_t now_ms);

#endif
