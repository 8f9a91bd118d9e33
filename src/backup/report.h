/* `sealpost backup list`: what there is of some mailboxes, for an administrator. */
#ifndef BACKUP_REPORT_H
#define BACKUP_REPORT_H

#include "backup/destination.h"

#include <jansson.h>

struct backup_report;

/*
 * `mailboxes`: [{"address", "mailbox"}, …], borrowed for the report's life. The newest full backup of
 * each; with `has_details` all of them, the drop boxes and the log's generations. on_done gets the items
 * ({"address", "time", "kind", "size", "verified", "name"}), his own; or why there are none.
 */
struct backup_report *backup_report_start(struct backup_destination *destination,
                                          const json_t *mailboxes, bool has_details,
                                          void (*on_done)(void *owner, json_t *items,
                                                          const char *words),
                                          void *owner);
void backup_report_cancel(struct backup_report **report);

#endif
