/*
 * Backups of drop boxes, sealed as they are: some time after mail was sealed for an absent owner, one box
 * at a time. What his lane has never leaves the host. A box that changes hands meanwhile is in its
 * owner's own backup.
 */
#ifndef ROLE_SEALER_BACKUP_H
#define ROLE_SEALER_BACKUP_H

#include "dropbox/sealing.h"
#include "role/role.h"

struct sealer_backup;

/* NULL where no backups are configured. `folder`: for the copies, borrowed. */
struct sealer_backup *sealer_backup_new(struct role_process *process, const char *folder);
void sealer_backup_free(struct sealer_backup **backup);

/* All of these take NULL for `backup`, and do nothing then. */

/* The box has new mail. */
void sealer_backup_note(struct sealer_backup *backup, const struct id *mailbox);
/* Its owner takes it over. */
void sealer_backup_forget(struct sealer_backup *backup, const struct id *mailbox);
/* `sealing` of now; borrowed. With the first one begins a look at all boxes, for those that an earlier
 * process did not come to. */
void sealer_backup_set_sealing(struct sealer_backup *backup, struct sealing *sealing);
/* A BACKUP_PUT_REPLY; or the archivist went. */
void sealer_backup_answered(struct sealer_backup *backup, const struct wire_message *message);
void sealer_backup_archivist_gone(struct sealer_backup *backup);

#endif
