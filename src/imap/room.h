/*
 * What the sessions of a mailbox hold in memory together. Each of them is bounded by itself; this
 * bounds all of them, so that a client which opens hundreds, with the largest folders selected,
 * messages half sent and long sorts under way, takes no more of the host than a few would. One that
 * asks for more is answered NO [UNAVAILABLE], and may try again when others have done.
 *
 * A client that stops in the middle of a message would hold its room for as long as a silent one
 * may stay: mailbox/session.c ends it sooner (append_timeout).
 *
 * Part of the group that the sessions share (session.h); a session gives back what it took at the
 * latest when it is freed.
 */
#ifndef IMAP_ROOM_H
#define IMAP_ROOM_H

#include <stdbool.h>
#include <stdint.h>

struct imap_group;
struct imap_session;

enum imap_room_kind {
    IMAP_ROOM_MESSAGES, /* bytes of messages whose literals were accepted, until they are stored */
    IMAP_ROOM_VIEWS,    /* messages in the folders that are selected: some 40 bytes each */
    IMAP_ROOM_ORDERS,   /* messages that SORT, THREAD and ESEARCH under way put in order: some 100 bytes
                           each, or KB in a folder that was made for it */
    IMAP_ROOM_COUNT,
};

struct imap_room {
    uint64_t used[IMAP_ROOM_COUNT];
    uint64_t limits[IMAP_ROOM_COUNT];
};

void imap_room_init(struct imap_room *room);
/* For tests: others than the usual limits. */
void imap_group_limit(struct imap_group *group, enum imap_room_kind kind, uint64_t limit);

/* False: there is no room for it beside what other sessions have. Alone a session always has. */
bool imap_room_take(struct imap_session *s, enum imap_room_kind kind, uint64_t amount);
/* The same without asking: it is there already. */
void imap_room_note(struct imap_session *s, enum imap_room_kind kind, uint64_t amount);
/* All that the session took of the kind. */
void imap_room_give_back(struct imap_session *s, enum imap_room_kind kind);

#endif
