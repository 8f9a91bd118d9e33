/*
 * Jobs: what the owner of a mailbox asked for with his password (JOB), done in his mailbox's
 * process beside its sessions. jobs.c has the one table of kinds; a kind is the name of the
 * administrator's command that asks for it, or, of re-encryption, what the keeper asks for by
 * itself.
 *
 *   JOB ──> start ──> step, step, …  ──> end, and the last JOB_REPLY
 *                      └── MAILBOX_JOB_WAITS: until mailbox_job_go_on
 *
 * A step takes at most MAILBOX_JOB_SLICE_MS (mailbox_job_is_slice_over), since whoever is logged in
 * waits for it; what takes longer runs in a forked child (mailbox/child.h). Whatever was appended
 * is committed before a step. A job keeps the process alive as a session does.
 *
 * It ends early with JOB_CANCEL, and with the process: then `end` is called without another step,
 * and has to leave nothing half-made.
 */
#ifndef MAILBOX_JOBS_H
#define MAILBOX_JOBS_H

#include "mailbox/mailbox.h"

#include <jansson.h>

enum {
    MAILBOX_JOBS_MAX = 8, /* of one mailbox at a time */
    MAILBOX_JOB_SLICE_MS = 10,
    MAILBOX_JOB_PROGRESS_MS = 200,   /* between two reports */
    MAILBOX_JOB_HEARTBEAT_MS = 5000, /* after which one is repeated, so that nobody gives up */
    MAILBOX_JOB_DESCRIPTORS_MAX = 2,
};

enum mailbox_job_next {
    MAILBOX_JOB_MORE,  /* another step, when others had their turn */
    MAILBOX_JOB_WAITS, /* mailbox_job_go_on will be called */
    MAILBOX_JOB_DONE,
};

struct mailbox_job;

struct mailbox_job_kind {
    const char *name; /* of the administrator's command: "alias check" */
    /* Once; NULL: nothing to prepare. After an error nothing but `end` is called. */
    enum err (*start)(struct mailbox_job *job);
    enum err (*step)(struct mailbox_job *job, enum mailbox_job_next *out_next);
    /* Frees `state`, whatever became of it. NULL: there is nothing. */
    void (*end)(struct mailbox_job *job);
};

struct mailbox_job {
    struct mailbox *mailbox; /* borrowed */
    const struct mailbox_job_kind *kind;
    json_t *arguments;                    /* own; the command's, without "password" */
    int fds[MAILBOX_JOB_DESCRIPTORS_MAX]; /* own; in the order of the command's arguments */
    size_t fd_count;
    struct task task; /* as long as the job: `now_ms` is renewed with each step; an error's words
                         become the answer's */
    json_t *result;   /* own; of the answer, empty at first: "message", "hint" and members */
    void *state;      /* the kind's own */

    /* jobs.c's own. */
    struct mailbox_job *next;
    struct id session;
    uint64_t tag;
    struct net_timer *turn;          /* own */
    struct net_timer *heartbeat;     /* own */
    int64_t slice_began_ms, told_ms; /* monotonic */
    json_t *progress;                /* own; the last report */
};

/* Has this step taken its time? */
bool mailbox_job_is_slice_over(const struct mailbox_job *job);
/* How far it is; not every call is reported, but the end of each `what`. `what` is shown to people:
 * "messages". `total` 0: not known. */
void mailbox_job_progress(struct mailbox_job *job, const char *what, uint64_t done, uint64_t total);
/* What a job that waits waited for is there. */
void mailbox_job_go_on(struct mailbox_job *job);
/* The answer's words; the last count. */
void mailbox_job_say(struct mailbox_job *job, const char *format, ...) PRINTF_LIKE(2, 3);
/* A text argument; empty when it was not given. Valid as long as the job. */
struct str mailbox_job_text(const struct mailbox_job *job, const char *name);
bool mailbox_job_flag(const struct mailbox_job *job, const char *name);
/* A password beside the mailbox's own, which the keeper sealed (secret/pass.h); NULL when it was not
 * given. ERR_DENIED: somebody else sealed it. */
MUST_CHECK enum err mailbox_job_secret(struct mailbox_job *job, const char *name,
                                       struct secret **out_secret);

/* One that brings in many messages is under way. */
bool mailbox_job_is_bulk(const struct mailbox *mailbox);
/* One that looks whether the backups have all that was changed is under way. */
bool mailbox_job_is_restoring(const struct mailbox *mailbox);
/* A JOB from the store, whose descriptors are taken; answered at once or later. */
void mailbox_job_begin(struct mailbox *mailbox, struct wire_message *message);
void mailbox_job_cancel(struct mailbox *mailbox, const struct id *session);
/* All of them, answered with UNAVAILABLE. */
void mailbox_job_end_all(struct mailbox *mailbox);

/* The kinds. */
extern const struct mailbox_job_kind mailbox_job_export; /* job_export.c */
extern const struct mailbox_job_kind mailbox_job_import; /* job_import.c */
extern const struct mailbox_job_kind mailbox_job_check; /* job_check.c */
extern const struct mailbox_job_kind mailbox_job_backup; /* job_backup.c */
extern const struct mailbox_job_kind mailbox_job_restore; /* job_restore.c */
extern const struct mailbox_job_kind mailbox_job_verify; /* likewise */
extern const struct mailbox_job_kind mailbox_job_undelete_list, /* job_undelete.c */
    mailbox_job_undelete_restore;
extern const struct mailbox_job_kind mailbox_job_reencrypt; /* job_reencrypt.c */

#endif
