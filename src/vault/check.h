/*
 * Is a mailbox file whole? Reads all of it, beside the process that has it open or of a copy: its
 * pages and indexes, and every message and attachment to its last byte. Changes nothing. A process
 * that serves sessions does it in a child.
 */
#ifndef VAULT_CHECK_H
#define VAULT_CHECK_H

#include "vault/vault.h"

struct vault_check_events {
    void (*on_progress)(void *owner, const char *what, uint64_t done, uint64_t total);
    bool (*is_wanted)(void *owner); /* false: give up, ERR_BUSY */
    void *owner;
};

struct vault_checked {
    uint64_t messages, message_bytes; /* in all folders, their copies too */
    uint64_t contents, attachments;   /* that were read */
    uint64_t epoch, change_counter;
};

/* ERR_CORRUPT: the words say what is not whole. Other errors as vault_open's. */
MUST_CHECK enum err vault_check_file(struct task *task, const struct vault_options *options,
                                     const struct secret *key,
                                     const struct vault_check_events *events,
                                     struct vault_checked *out_checked);

#endif
