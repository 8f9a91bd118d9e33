/*
 * What the files about owners' destinations share: mirror.c knows who has one, and is asked and
 * told; mirror_turn.c says whose turn it is; mirror_work.c compares and copies, a step in each
 * turn; mirror_trial.c tries one before it is set.
 */
#ifndef BACKUP_MIRROR_INTERNAL_H
#define BACKUP_MIRROR_INTERNAL_H

#include "backup/mirror.h"
#include "base/arena.h"
#include "secret/crypt.h"

#include <sys/queue.h>

enum {
    MIRROR_OPEN_MS = 10 * 60 * 1000, /* one that rests stays open for so long */
    MIRROR_WORDS_ROOM = 200,
};

enum mirror_stage {
    MIRROR_STAGE_NONE,
    MIRROR_STAGE_LISTING,   /* the next page of the host's */
    MIRROR_STAGE_COMPARING, /* and what of it is at the owner's */
    MIRROR_STAGE_COPYING,   /* what is not */
};

/* Where it waits for its turn, and works. */
enum mirror_lane { MIRROR_LANE_QUICK, MIRROR_LANE_SLOW, MIRROR_LANE_COUNT };

/* An object that is to be copied, or deleted. */
struct mirror_item {
    char *name; /* own */
    bool is_removal;
    int fd; /* own; -1: a removal, or not fetched yet */
    uint64_t size_bytes;
    unsigned char digest[CRYPT_HASH_BYTES];
    TAILQ_ENTRY(mirror_item) in_items;
};
TAILQ_HEAD(mirror_items, mirror_item);

/* An open destination. */
struct mirror_use {
    struct backup_own_use public;
    unsigned count;           /* who uses it */
    struct net_timer *ending; /* own; it is freed behind its last call */
    struct backup_mirrors *mirrors;
    LIST_ENTRY(mirror_use) in_uses;
};
LIST_HEAD(mirror_uses, mirror_use);

/* A page of the host's list. */
struct mirror_page {
    struct arena arena;
    struct mirror_entry {
        const char *name;
        uint64_t size_bytes;
        bool is_there;
    } * entries;        /* own */
    size_t count, next; /* next: compared, or copied, up to here */
    bool is_last, are_manifests;
};

struct mirror {
    struct backup_mirrors *mirrors; /* borrowed */
    struct id mailbox;
    char *place, *region, *key_id; /* own */
    struct secret *secret;         /* own */
    unsigned told;                 /* backup_mirrors.told when it was named last */
    struct mirror_use *use;        /* NULL: not open */
    enum mirror_lane lane;
    bool is_working, is_ready; /* is_ready: waits for its turn */
    bool is_overdue;           /* others may have its place */
    bool keeps_place;          /* its turn goes on with the next step */
    struct net_timer *limit;   /* own; until it is overdue */
    int64_t began_ms;          /* its turn; monotonic */
    int64_t served_ms;         /* mirror_turn.c */
    bool must_compare, must_compare_again;
    bool is_leaving; /* nothing is compared or copied any more */
    enum mirror_stage stage;
    struct mirror_page page;
    char *after;              /* own; compared up to this name; NULL: from the first on */
    struct mirror_item *item; /* own; that is being copied or deleted */
    struct mirror_items items;
    size_t copy_count, removal_count; /* of them */
    uint64_t copy_bytes;
    struct backup_call *call; /* own */
    struct net_timer *timer;  /* own; the next attempt, or the end of a rest */
    bool is_waiting;          /* it is the next attempt */
    unsigned failures;
    int64_t failing_since_ms, lost_since_ms, last_copied_ms; /* 0: not */
    int64_t silent_until_ms;                                 /* monotonic */
    int64_t lost_put_ms; /* monotonic; of destinations that it had */
    uint64_t copied_count;
    char words[MIRROR_WORDS_ROOM];
    TAILQ_ENTRY(mirror) in_lane; /* of those that are ready, or that work */
};
TAILQ_HEAD(mirror_queue, mirror);

struct mirror_places {
    struct mirror_queue ready, working;
    size_t taken; /* of MIRROR_PLACES; by those that work */
};

struct backup_mirrors {
    struct net_loop *loop; /* borrowed, as the next two */
    const struct log *log;
    struct backup_destination *host;
    backup_own_open open;
    void *owner;         /* borrowed */
    struct mirror **all; /* own; by mailbox */
    size_t count, room;
    unsigned told;
    struct mirror_places lanes[MIRROR_LANE_COUNT];
    struct backup_mirrors_limits limits;
    int64_t served_ms; /* what the one whose turn began last had been served */
    size_t copies;     /* that wait, of all */
    uint64_t copy_bytes;
    bool is_running;
    struct mirror_uses uses;
};

/* --- mirror.c --- */

struct net_loop *mirrors_loop(const struct backup_mirrors *mirrors);
MUST_CHECK enum err mirrors_open(const struct backup_mirrors *mirrors, struct task *task,
                                 const struct backup_own *own, struct backup_destination **out);
/* mirror->use is there then. ERR_INVALID, ERR_IO. */
MUST_CHECK enum err mirror_open(struct mirror *mirror, struct task *task);
/* Nothing of it is under way; it goes behind the last call of the last who uses it. */
void mirror_close(struct mirror *mirror);

/* --- mirror_turn.c --- */

void mirrors_init_turns(struct backup_mirrors *mirrors);
void mirror_init_turns(struct mirror *mirror);
void mirror_done_turns(struct mirror *mirror);
/* It has work, perhaps: it waits for its turn. mirrors_run is to follow. */
void mirror_get_ready(struct mirror *mirror);
/* Whatever it is to do next does not wait. */
bool mirror_begins_at_once(const struct mirror *mirror);
/* Those whose turn it is begin. */
void mirrors_run(struct backup_mirrors *mirrors);
/* Its step is done, and nothing of it is under way: others have their turns. */
void mirror_end_turn(struct mirror *mirror);
/* It neither works nor waits for its turn any more. */
void mirror_leave_turns(struct mirror *mirror);

/* --- mirror_work.c --- */

/* To be copied, or to be removed; waits where it is told so, behind the others. */
struct mirror_item *mirror_item_new(struct str name);
void mirror_add(struct mirror *mirror, struct mirror_item *item);
/* Copies that wait are dropped: comparing finds them. */
void mirror_drop_copies(struct mirror *mirror, bool with_removals);
bool mirror_has_work(const struct mirror *mirror);
/* Of its turn: the next step begins. */
void mirror_go_on(struct mirror *mirror);
/* The step under way is given up; what it was about is found again. Its turn is not ended. */
void mirror_give_up(struct mirror *mirror);
/* The same as a failure: the turn ends, and it waits. */
void mirror_put_off(struct mirror *mirror, const char *words);
/* Of its timer: the next attempt, or the end of a rest. */
void mirror_on_time(void *owner);
/* Nothing of it is under way any more, and it is closed. What waits stays. */
void mirror_stop(struct mirror *mirror);

#endif
