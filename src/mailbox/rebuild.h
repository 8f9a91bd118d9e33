/*
 * The building of a mailbox's file from its backups (backup/restore.h) in a child
 * (mailbox/child.h), so that sessions go on meanwhile: copying, comparing, checking, re-encrypting.
 * The parent asks the archivist, which the child cannot, and passes on what comes.
 *
 *   start: the base ─> WORKING ─> READY ─┬─> segment ─> WORKING ─> READY, or ENOUGH
 *                                        └─> finish  ─> WORKING ─> ENDED: whole and checked, or an
 * error
 *
 * With each change mailbox_job_go_on is called. A mailbox has one at a time: <id>.restored is one
 * name.
 */
#ifndef MAILBOX_REBUILD_H
#define MAILBOX_REBUILD_H

#include "backup/restore.h"
#include "mailbox/jobs.h"

enum mailbox_rebuild_state {
    MAILBOX_REBUILD_WORKING,
    MAILBOX_REBUILD_READY,  /* for a segment, or the end */
    MAILBOX_REBUILD_ENOUGH, /* for the end: no later segment is needed */
    MAILBOX_REBUILD_ENDED,
};

struct mailbox_rebuild_order {
    struct restore_options options;   /* of the restore; `is_wanted` is the child's own */
    struct str manifest;              /* of the base */
    int base_fd;                      /* borrowed */
    const struct secret *present_key; /* put under this one at last; NULL: it stays as it was */
};

struct mailbox_rebuild;

/*
 * What the order has is borrowed as long as the job, its folder as long as the mailbox, which owns
 * what is begun (mailbox->rebuild). ERR_BUSY: the last one's child has not ended yet, or another
 * job has it.
 */
MUST_CHECK enum err mailbox_rebuild_start(struct mailbox_job *job,
                                          const struct mailbox_rebuild_order *order);
/* None of another job's, and no child of an earlier one: <id>.restored is free. */
bool mailbox_rebuild_is_free(struct mailbox *mailbox);
enum mailbox_rebuild_state mailbox_rebuild_state(const struct mailbox_rebuild *rebuild);
/* The log's next segment, and that there is no other; when it is READY, the latter also at ENOUGH.
 */
MUST_CHECK enum err mailbox_rebuild_segment(struct mailbox_rebuild *rebuild, struct task *task,
                                            int fd);
MUST_CHECK enum err mailbox_rebuild_finish(struct mailbox_rebuild *rebuild, struct task *task);
/* It is not wanted any more, when it is READY or ENOUGH: its child ends, with an error that says
 * nothing. */
void mailbox_rebuild_give_up(struct mailbox_rebuild *rebuild);
/* How far what was passed on reaches, when it is READY or ENOUGH. */
int64_t mailbox_rebuild_reached_ms(const struct mailbox_rebuild *rebuild);

struct mailbox_rebuilt {
    bool is_unfinished; /* it failed since the base is not whole without a log that is not there */
    int64_t reached_ms;
    uint64_t epoch, change_counter;
};
/* When it has ended: what came of it; after an error `is_unfinished` alone. */
MUST_CHECK enum err mailbox_rebuild_result(struct mailbox_rebuild *rebuild, struct task *task,
                                           struct mailbox_rebuilt *out);
/* The job is over. Its child finds out and ends, and until then there can be no other. */
void mailbox_rebuild_end(struct mailbox *mailbox, const struct mailbox_job *job);
/* With the process. */
void mailbox_rebuild_free(struct mailbox_rebuild **rebuild);

#endif
