/* What happens around the sessions of a vault, in the transcripts' words; also for the fuzzer. */
#ifndef IMAP_TRANSCRIPT_WORLD_H
#define IMAP_TRANSCRIPT_WORLD_H

#include "imap/transcript_vault.h"

struct imap_group;

/* A vault, and what happens around its sessions. All-zero but for `home`, `group` and the time. */
struct transcript_world {
    struct transcript_vault *home; /* borrowed, or whose it is */
    struct imap_group *group;      /* borrowed, or whose it is */
    uint32_t message_limit;        /* for sessions from here on; 0: none */
    unsigned mails;                /* that arrived */
    unsigned mails_max;            /* 0: any number */
    int64_t now_ms;
};

/*
 * What a line behind "@ " says. False: it says nothing, or cannot happen (no such folder, no room).
 *
 *   mail INBOX 3          three simple messages arrive
 *   quota 5000            the mailbox's limit in bytes
 *   messages-max 5        ... and in messages
 *   limit 3               messages of one command, for connections from here on
 *   room views 5          what all may hold together (imap/room.h): messages, views, orders
 *   forget INBOX          its log of expunges is cut short
 *   later 10              so many seconds pass
 */
bool transcript_world_act(struct transcript_world *world, struct str text);

#endif
