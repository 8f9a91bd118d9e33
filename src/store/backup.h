/*
 * What mailbox processes ask of the archivist: it goes through the store, which alone knows whose
 * process is asking, and sees to it that each names its own mailbox.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include "store/request.h"

/* BACKUP_PUT, BACKUP_GET, … as a mailbox process sends them. */
bool store_backup_is_request(enum wire_type type);
/* Passes it on to the archivist (NULL: it is away), or refuses. Takes the message's descriptor. */
void store_backup_ask(struct store_requests *all, struct wire_channel *archivist,
                      const struct id *mailbox, struct wire_channel *asker,
                      struct wire_message *message);

/* What the archivist answers them with. */
bool store_backup_is_reply(enum wire_type type);
/* The archivist's answer goes to who asked, if he is still there. */
void store_backup_answer(struct store_requests *all, const struct wire_channel *from,
                         struct wire_message *message);
/* An answer of our own. */
MUST_CHECK enum err store_backup_refuse(const struct store_request *request,
                                        enum wire_status status);

#endif
