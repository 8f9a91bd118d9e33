/*
 * Checking a password. A refusal tells nothing by its words or its time: an unknown domain, an
 * unknown alias and a wrong password cost the same look-ups and the same number of trials of
 * slots, and whoever passes it on waits ACCOUNT_REFUSAL_MS from when the attempt came.
 */
#ifndef ACCOUNT_LOGIN_H
#define ACCOUNT_LOGIN_H

#include "account/database.h"
#include "account/throttle.h"
#include "wire/messages.h"

enum {
    ACCOUNT_REFUSAL_MS = 250,
    ACCOUNT_PASSWORD_MAX = 1024, /* a longer one is wrong */
};

struct account_login; /* the means of checking; one in a process */

struct account_login *account_login_new(const struct secret *host_key,
                                        const struct account_throttle_limits *limits);
void account_login_free(struct account_login **login);
/* New limits (SIGHUP). */
void account_login_set_limits(struct account_login *login,
                              const struct account_throttle_limits *limits);

struct account_attempt {
    enum wire_service service;
    struct str username; /* an address, any alias of the mailbox, with or without +tag */
    struct str password;
    struct str address; /* the client's IP address */
    bool is_local;      /* loopback and trusted so: not throttled */
};

enum account_verdict { ACCOUNT_LOGIN_OK, ACCOUNT_LOGIN_DENIED, ACCOUNT_LOGIN_THROTTLED };

struct account_login_result {
    enum account_verdict verdict;
    struct id mailbox;         /* with OK, as the rest */
    struct id slot;            /* whose password it was */
    struct secret *key;        /* own: the caller frees it; the keys, as account/slot.h says */
    bool has_replaced_password; /* a new one, with its first use: sessions of the old one are to end */
    /* There is a new password that nobody is known to have seen (an app password logged in, or this
     * could not be written down): the old one still opens, and may be all that its owner has, so
     * the file must stay under the key that it is under. */
    bool is_unconfirmed;
    unsigned slots_tried;      /* the same for every refusal */
};

/*
 * `monotonic_ms` is what failures are counted by. Notes the slot's last use and the address with a
 * success. An error is one of the database, never of the peer.
 */
MUST_CHECK enum err account_login_check(struct account_login *login,
                                        struct account_database *database, struct task *task,
                                        const struct account_attempt *attempt,
                                        int64_t monotonic_ms,
                                        struct account_login_result *out_result);

/*
 * For what an owner asks for over the administrator's commands: the key, if this is the mailbox's
 * password or recovery key. Failures count as those of a login do, for the account, and for all
 * commands together in place of an address. ERR_DENIED; ERR_LIMIT: too many.
 */
MUST_CHECK enum err account_login_check_owner(struct account_login *login,
                                              struct account_database *database,
                                              struct task *task, int64_t mailbox_row,
                                              const struct id *mailbox, struct str password,
                                              int64_t monotonic_ms, struct secret **out_key);

#endif
