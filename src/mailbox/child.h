/*
 * A forked child of a mailbox process, for what would keep its sessions waiting: reading all of a
 * large file. The child has the parent's sandbox, and of its descriptors only those that it is
 * given and a pipe back. It opens the mailbox file itself, with the parent's key; the parent's
 * connection, channels and sessions are not for it.
 *
 * It dies with its parent (PR_SET_PDEATHSIG), and should look at mailbox_child_is_wanted now and
 * then: the parent forgets it by closing the pipe.
 */
#ifndef MAILBOX_CHILD_H
#define MAILBOX_CHILD_H

#include "mailbox/jobs.h"

struct mailbox_child;      /* in the parent */
struct mailbox_child_link; /* in the child */

/* In the child: an error's words go to the parent. `detail` is the parent's, as it was. */
typedef enum err (*mailbox_child_work)(struct mailbox_child_link *link, struct task *task,
                                       void *detail);

/* In the child: how far it is, at most five times a second. */
void mailbox_child_progress(struct mailbox_child_link *link, const char *what, uint64_t done,
                            uint64_t total);
/* In the child: a member of what the work found out. */
void mailbox_child_put(struct mailbox_child_link *link, const char *name, json_t *value);
bool mailbox_child_is_wanted(const struct mailbox_child_link *link);

/*
 * In the parent: begins the work. Progress becomes the job's; when it is over, mailbox_job_go_on is
 * called. `keep_fds` stay open in the child, all others are closed. ERR_IO: no process.
 */
MUST_CHECK enum err mailbox_child_start(struct mailbox_job *job, mailbox_child_work work,
                                        void *detail, const int *keep_fds, size_t keep_count,
                                        struct mailbox_child **out_child);
/* In the parent: waits for all that it has to say, and nothing else goes on meanwhile. */
void mailbox_child_wait(struct mailbox_child *child);
/* In the parent: not all that it had to say has come yet. */
bool mailbox_child_is_working(const struct mailbox_child *child);
/* After it went on: what came of it; what the child put is put into the job's result. ERR_IO: it
 * died. */
MUST_CHECK enum err mailbox_child_result(struct mailbox_child *child, struct task *task);
/* Ends it where it runs still. */
void mailbox_child_free(struct mailbox_child **child);
/* Is there any process of ours, of a job or of a backup, also one that nobody waits for any more?
 * It may have the mailbox's file open. */
bool mailbox_child_is_any_alive(void);

#endif
