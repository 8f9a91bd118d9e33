/*
 * The process of one open mailbox: forked by the nursery, confined to the mailbox's two folders,
 * holding its one key. It serves the sessions and deliveries that the store hands it, and ends when
 * it is idle.
 */
#ifndef ROLE_MAILBOX_H
#define ROLE_MAILBOX_H

#include "base/id.h"
#include "base/log.h"
#include "role/config.h"
#include "role/sandbox.h"

struct mailbox_start {
    struct id id;
    bool is_new;             /* the file is to be made */
    int store_fd;            /* channel to the store; taken over */
    int keeper_fd;           /* channel to the keeper; taken over */
    int nursery_fd;          /* channel to the nursery, for another keeper's; taken over */
    const char *mail_folder; /* <data>/mail/<xx>/<id> */
    const char *drop_folder; /* <data>/drop/<xx>/<id> */
    const struct config *config;
    const struct log *log;
};

/* In the child, right after the fork, with every other descriptor closed. */
_Noreturn void mailbox_run(const struct mailbox_start *start);

/* What the process may do; listed here so that the sandbox's test covers it like the roles. */
void mailbox_sandbox(const struct mailbox_start *start, struct sandbox_rules *rules);

#endif
