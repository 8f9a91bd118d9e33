/*
 * Drop files that do not open. They are never deleted, only set aside, so that new mail is accepted
 * into a fresh file: <id>.drop.damaged-<time>, its log beside it. At each login their records are
 * tried again (an operator may have put back a page, or the host key), and the owner is told.
 */
#ifndef DROPBOX_DAMAGED_H
#define DROPBOX_DAMAGED_H

#include "base/id.h"
#include "base/task.h"

/* Renames the drop file, which nobody has open, durably. *out_name: of the file, in the arena. */
MUST_CHECK enum err damaged_set_aside(struct task *task, const char *drop_folder,
                                      const struct id *mailbox, const char **out_name);
/* The names of those set aside, in the arena; oldest first. A folder that is not there has none. */
MUST_CHECK enum err damaged_list(struct task *task, const char *drop_folder,
                                 const struct id *mailbox, const char ***out_names,
                                 size_t *out_count);

#endif
