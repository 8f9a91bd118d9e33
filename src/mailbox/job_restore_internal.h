/*
 * What the files of `sealpost restore` share: job_restore.c chooses (it has the picture, and the
 * job), job_restore_build.c has what was chosen built by a child, segment by segment, and
 * job_restore_use.c does with what was built what was asked for.
 */
#ifndef MAILBOX_JOB_RESTORE_INTERNAL_H
#define MAILBOX_JOB_RESTORE_INTERNAL_H

#include "mailbox/backup.h"
#include "mailbox/choice.h"
#include "mailbox/rebuild.h"

#include "backup/merge.h"
#include "backup/restore.h"

enum restoring_phase {
    RESTORING_FULLS,
    RESTORING_BASES,
    RESTORING_MANIFESTS,
    RESTORING_MANIFEST,
    RESTORING_FILE,
    RESTORING_BUILDING,
    RESTORING_FULL_INSTEAD,
    RESTORING_BUILT,
    RESTORING_MERGING,
};

struct restoring {
    enum restoring_phase phase;
    bool is_verify;
    int64_t at_ms;
    /* The last answer. */
    bool is_asked, has_answer;
    enum wire_status status;
    struct buf answer; /* of a list, or the words of a refusal */
    int fd;            /* own; of an object; -1 */
    bool is_last;
    struct mailbox_choice choice;            /* what there is, and what of it is taken */
    struct mailbox_choice_generation *asked; /* borrowed: its manifest is asked for */
    struct buf manifest;
    struct secret *mac_key;      /* own; from the mailbox's key */
    struct secret *password;     /* own; of the backup's time; NULL: not given */
    struct secret *backup_key;   /* own; from that; NULL: it is under the mailbox's key */
    uint64_t segment_next;       /* from 1 */
    bool is_looking_behind;      /* the list after the segment that was not there is asked for */
    bool is_missing;             /* that was not there, and later ones are */
    bool is_damaged;             /* that is not what was put there */
    bool has_whole_log;          /* there is no segment more */
    bool has_reached_time;       /* no segment more is needed: no gap before the time asked for */
    bool is_looking_at_manifest; /* the log ends or has a hole: is its manifest still there? */
    bool is_beginning_anew;      /* when the child has ended */
    unsigned let_go_count;
    char let_go[MAILBOX_CHOICE_NAME_ROOM]; /* what was, the last time */
    struct mailbox_rebuilt built;
    struct restore *restore; /* own; what was built */
    struct vault *restored;  /* own: merging */
    struct merge *merge;     /* own */
};

/* --- job_restore.c --- */

/* Asks the destination: the next page of a list, behind choice.last_listed; an object. What comes
 * is in `status`, `answer` and `fd` when `has_answer`. */
void restoring_list(struct mailbox_job *job, struct str prefix);
void restoring_get(struct mailbox_job *job, const char *name);
/* The error for the status that came, with its words. */
MUST_CHECK enum err restoring_refused(struct mailbox_job *job);
/* What came as an object: a manifest, small. */
MUST_CHECK enum err restoring_read_answer(struct mailbox_job *job, struct buf *out);
/* That is a whole one of the mailbox's, made with this key (NULL: any). */
bool restoring_is_manifest(const struct mailbox_job *job, const struct secret *mac_key,
                           struct manifest *out);
/* From FULLS on, when no child is at work. */
void restoring_list_anew(struct mailbox_job *job);
/* The same, since an object of the chosen one is not there any more; a child ends first.
 * ERR_NOT_FOUND: it is listed all the same; ERR_BUSY: too often. */
MUST_CHECK enum err restoring_begin_anew(struct mailbox_job *job);
/* The manifest of the one that was chosen; `ask` is the phase MANIFEST. */
void restoring_get_manifest(struct mailbox_job *job);
void restoring_ask_manifest(struct mailbox_job *job);
/* What is put in the mailbox's place has to open with its present password. */
bool restoring_is_exchange(const struct mailbox_job *job);
struct restore_options restoring_options(const struct mailbox_job *job);

/* --- job_restore_build.c --- */

/* The base is there, and a key: -> BUILDING. */
MUST_CHECK enum err restoring_begin_building(struct mailbox_job *job);
/* BUILDING -> BUILT, or MANIFEST (another one), FULL_INSTEAD, FULLS (anew): asks, or passes on what
 * was answered, when the child is ready for it. */
MUST_CHECK enum err restoring_build(struct mailbox_job *job, enum mailbox_job_next *out_next);
/* FULL_INSTEAD -> FILE where that backup has more than the log gave, else BUILT. */
MUST_CHECK enum err restoring_take_full_instead(struct mailbox_job *job);

/* --- job_restore_use.c --- */

/* BUILT -> done, or MERGING; tells what is missing. */
MUST_CHECK enum err restoring_use(struct mailbox_job *job, enum mailbox_job_next *out_next);
/* A slice of MERGING. */
MUST_CHECK enum err restoring_merge(struct mailbox_job *job, enum mailbox_job_next *out_next);

#endif
