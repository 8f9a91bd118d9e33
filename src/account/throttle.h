/*
 * How many failed logins are too many. Failures are counted for a client's address (an IPv6 client
 * by its /64, which is what one subscriber has) and for an account over all addresses, in a window
 * that begins with the first. Memory is bounded: a full set of the table forgets its least
 * important entry. The clock is a parameter.
 */
#ifndef ACCOUNT_THROTTLE_H
#define ACCOUNT_THROTTLE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct account_throttle_limits {
    uint64_t per_address; /* failures; 0: no limit */
    uint64_t per_account;
    int64_t window_ms;
};

struct account_throttle;

struct account_throttle *account_throttle_new(const struct account_throttle_limits *limits);
void account_throttle_free(struct account_throttle **throttle);
/* New limits (SIGHUP); what was counted stays. */
void account_throttle_set(struct account_throttle *throttle,
                          const struct account_throttle_limits *limits);

/*
 * Must this attempt be refused unseen? `account` is any text that is the same for one account.
 * From an address that is known to belong to the account's owner, failures of others do not count:
 * only those from the address itself.
 */
bool account_throttle_is_blocked(struct account_throttle *throttle, struct str address,
                                 struct str account, bool is_known_address, int64_t now_ms);
void account_throttle_failed(struct account_throttle *throttle, struct str address,
                             struct str account, int64_t now_ms);

#endif
