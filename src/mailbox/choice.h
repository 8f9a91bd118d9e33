/*
 * Which backup a restore takes (docs/operating.md, "A backup was altered, cut, or is missing"): the
 * full ones and the generations of the log that the destination lists, and of them the one for the
 * time that was asked for. It does no asking; mailbox/job_restore.c does.
 *
 * Up to a time, that is what begins last; of all that there is, what has most: clocks are set back
 * and forth, and the counter in the mailbox is not.
 */
#ifndef MAILBOX_CHOICE_H
#define MAILBOX_CHOICE_H

#include "backup/name.h"
#include "backup/manifest.h"

enum {
    MAILBOX_CHOICE_NAME_ROOM = 128,
    MAILBOX_CHOICE_LISTED_ROOM = BACKUP_NAME_MAX + 1,
    MAILBOX_CHOICE_GENERATIONS_MAX = 20000,
};

/* A generation of the log, as its manifest has it. */
struct mailbox_choice_generation {
    struct id id;    /* unset: none */
    int64_t time_ms; /* when it begins */
    uint64_t epoch, change_counter;
    bool is_known;    /* its manifest makes sense */
    bool is_ours;     /* and is under the mailbox's key */
    bool is_unusable; /* its base is not whole */
};

struct mailbox_choice {
    int64_t at_ms;                       /* up to then; INT64_MAX: all */
    struct str from;                     /* borrowed; the full backup that is wanted; empty: any */
    char full[MAILBOX_CHOICE_NAME_ROOM]; /* the one of that time, without .json; empty: none */
    int64_t full_ms;                     /* as its name has it, and the counter, too */
    uint64_t full_counter;
    struct mailbox_choice_generation *generations; /* own */
    size_t generation_count, generation_room, generation_next;
    struct mailbox_choice_generation chosen; /* unset: the full backup is */
    bool has_discarded;                      /* one that was chosen before was of no use */
    int64_t next_generation_ms;              /* INT64_MAX: none begins later */
    int64_t unreadable_ms; /* a generation of then, or before, makes no sense; INT64_MIN: none */
    char last_listed[MAILBOX_CHOICE_LISTED_ROOM];
};

void mailbox_choice_init(struct mailbox_choice *choice, int64_t at_ms, struct str from);
void mailbox_choice_done(struct mailbox_choice *choice);

/*
 * A page of a list: what the destination said, JSON. ERR_CORRUPT: its names do
 * not go on, so that it would be asked without end; ERR_LIMIT: too many.
 */
MUST_CHECK enum err mailbox_choice_list(struct mailbox_choice *choice, struct task *task,
                                        struct str json, bool is_full, bool is_last);
/* The next generation without a manifest; NULL: all have been asked for. */
struct mailbox_choice_generation *mailbox_choice_next(struct mailbox_choice *choice);
/* What came for it: `manifest` is empty where none was to be had. `mac_key`: the mailbox's. */
void mailbox_choice_manifest(struct mailbox_choice *choice,
                             struct mailbox_choice_generation *generation, const struct id *mailbox,
                             struct str manifest, const struct secret *mac_key);

/* Chooses: of ours only, unless `is_any`. ERR_NOT_FOUND: there is nothing. */
MUST_CHECK enum err mailbox_choice_choose(struct mailbox_choice *choice, struct task *task,
                                          bool is_any);
/* The chosen generation is of no use: false when there is nothing besides. */
bool mailbox_choice_discard(struct mailbox_choice *choice, bool is_any);
/*
 * Words about what is in none of what was built, which reaches so far; empty: nothing is known to
 * be missing. `is_reached`: it has all up to the time asked for. Valid as long as the task.
 */
struct str mailbox_choice_gap(const struct mailbox_choice *choice, struct task *task,
                              int64_t reached_ms, bool is_reached, bool is_any);
/* An object of the chosen one. */
void mailbox_choice_name(const struct mailbox_choice *choice, const char *suffix,
                         char out[static MAILBOX_CHOICE_NAME_ROOM]);

/* Is it a whole manifest of the mailbox's, made with this key (NULL: any)? */
bool mailbox_choice_is_manifest(const struct id *mailbox, struct str text,
                                const struct secret *mac_key, struct manifest *out);

#endif
