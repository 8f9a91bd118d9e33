/*
 * For tests of where mail goes: a real database in a folder of its own, with a user, his domain
 * home.test, one mailbox and its alias one@home.test; and a router that is asked.
 */
#ifndef ACCOUNT_FIXTURE_H
#define ACCOUNT_FIXTURE_H

#include "account/router.h"

#define OK(call) assert_int_equal((call), ERR_OK)

#define FIXTURE_NOW_MS INT64_C(1795690000000) /* in November 2026 */
#define FIXTURE_DAY_MS INT64_C(86400000)

struct fixture {
    char folder[64], path[96];
    struct secret *host_key, *key;
    struct account_database *database;
    struct account_router *router;
    struct account_router_settings settings;
    struct task task;
    int64_t user, home, mailbox; /* rows */
    struct id mailbox_id;
    struct wire_recipient asked; /* who asks next; the address is filled in */
    struct wire_recipient_reply reply;
};

void fixture_init_libraries(void);
/* cmocka's setup and teardown. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);
/* Database and router; the file stays. */
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);

/* RECIPIENT at the task's time; the whole answer is in `reply`. BACK=Good is a rewritten sender. */
enum wire_status fixture_ask(struct fixture *f, const char *address);
void fixture_set(struct fixture *f, const struct account_router_settings *settings);
/* An alias of home.test without a mailbox, or with the only one; gives its row. */
int64_t fixture_add_alias(struct fixture *f, const char *local, bool has_mailbox);
void fixture_add_target(struct fixture *f, int64_t alias, const char *text);
/* Into the list of the host (0, 0), a domain or an alias. */
void fixture_put_entry(struct fixture *f, int64_t domain, int64_t alias, bool is_allowed,
                       const char *text);

#endif
