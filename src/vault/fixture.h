/* For the tests of this folder: a new mailbox in a folder of its own, and short ways to use it. */
#ifndef VAULT_FIXTURE_H
#define VAULT_FIXTURE_H

#include "vault/change.h"
#include "vault/content.h"
#include "vault/dropkeys.h"
#include "vault/folder.h"
#include "vault/message.h"
#include "vault/search.h"
#include "vault/vault.h"

struct fixture {
    char folder[64];
    char path[128];
    struct log log;
    struct vault_options options;
    struct secret *key;
    struct vault *vault;
    struct task task;
    int64_t inbox, archive;
};

/* cmocka's setup and teardown. Teardown checks the file first: integrity, counters, references. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);
void fixture_init_libraries(void);

void fixture_reopen(struct fixture *f);
/* Whether everything in the file fits together; fails the test where not. */
void fixture_check(struct fixture *f);
/* The single integer a query gives. */
int64_t fixture_ask(struct fixture *f, const char *sql);
void fixture_execute(struct fixture *f, const char *sql);
int64_t fixture_folder_id(struct fixture *f, const char *name);
/* A small message with this subject. */
struct str fixture_message(struct fixture *f, const char *subject);
uint32_t fixture_append(struct fixture *f, int64_t folder_id, struct str raw, uint64_t flags);
/* The bytes of a message, in the task's arena. */
struct str fixture_read(struct fixture *f, int64_t folder_id, uint32_t uid);
/* The live UIDs as text: "1 2 5". */
const char *fixture_uids(struct fixture *f, int64_t folder_id);
/* Housekeeping to the end, as if `ms` had passed. */
void fixture_housekeep(struct fixture *f, int64_t ms);

#endif
