/* Where a mailbox's folders are, and how they go. */
#ifndef ROLE_NURSERY_H
#define ROLE_NURSERY_H

#include "base/id.h"
#include "role/config.h"
#include "role/role.h"
#include "role/sandbox.h"

/* <data>/<part>/<xx>/<id>, xx the last two digits of the id; in the task's arena. */
const char *mailbox_folder(const struct config *config, struct task *task, const char *part,
                           const struct id *mailbox);

/*
 * Deletes a mailbox's folder with all files in it (there are no folders in it but one level). What
 * is gone already is fine. After a crash in between, what is left goes with the next attempt.
 */
MUST_CHECK enum err mailbox_folder_remove(struct task *task, const char *path);

/* Removes, from now on, what restores replaced when it was kept as long as restore_keep says. */
void nursery_sweep_start(struct role_process *process);

/* What the nursery may do; its children have less. */
void nursery_sandbox(const struct config *config, struct task *task, struct sandbox_rules *rules);

#endif
