/*
 * Greylisting: a client that is not known yet is asked to come back, which a mail server does and
 * most spam programs do not. Known is the triple of the client's network (/24, IPv6 /64), sender and
 * recipient once it came back in time; and then the network as a whole, for whatever it sends.
 *
 * What is kept are keyed hashes, in the account database, as bookkeeping and bounded: beyond
 * ACCOUNT_GREYLIST_MAX what ends next goes.
 */
#ifndef ACCOUNT_GREYLIST_H
#define ACCOUNT_GREYLIST_H

#include "account/database_rules.h"

enum { ACCOUNT_GREYLIST_MAX = 200 * 1000 };

struct account_greylist;

struct account_greylist *account_greylist_new(const struct secret *host_key);
void account_greylist_free(struct account_greylist **greylist);

/* 0: let it in. Else how long it is to wait, in milliseconds. The addresses in normal form or not,
 * as long as it is the same every time; the task's time is what counts. */
MUST_CHECK enum err account_greylist_ask(struct account_greylist *greylist,
                                         struct account_database *database, struct task *task,
                                         struct str client, struct str sender,
                                         struct str recipient, int64_t delay_ms,
                                         int64_t *out_wait_ms);

#endif
