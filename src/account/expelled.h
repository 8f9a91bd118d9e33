/*
 * When the sessions of a mailbox were ended last, because a password of it opens nothing any more:
 * so that a login which was let in just before, and has not reached the mailbox's process yet, is
 * not taken for one that came behind. Each login and each end gets a serial; a pass (secret/pass.h)
 * carries its login's, and the mailbox's process, which starts anew after an end, takes none from
 * before it.
 *
 * The serials of a keeper are above those of the keepers before it, until the next boot. What those
 * ended this one does not know: but it has no key for any process either until somebody logs in
 * with it.
 */
#ifndef ACCOUNT_EXPELLED_H
#define ACCOUNT_EXPELLED_H

#include "base/id.h"

#include <stdint.h>

enum { ACCOUNT_EXPELLED_MAX = 1024 /* mailboxes; of more, the last ones */ };

struct account_expelled;

struct account_expelled *account_expelled_new(void);
void account_expelled_free(struct account_expelled **expelled);
/* The next serial, for a login; never 0. */
uint64_t account_expelled_serial(struct account_expelled *expelled);
/* Sessions of the mailbox that have a serial end here. */
void account_expelled_note(struct account_expelled *expelled, const struct id *mailbox);
/* Passes of the mailbox with a serial up to this one count no more; 0: none was ended. */
uint64_t account_expelled_since(const struct account_expelled *expelled, const struct id *mailbox);

#endif
