/*
 * What a mailbox process keeps of its log shipping for the next one, in <id>.shipping beside the
 * mailbox's file: which generation, how far the archivist has it, and where in the log that is. Not
 * synced: one that is lost, old or altered costs a new generation, nothing else.
 */
#ifndef BACKUP_SHIPPING_H
#define BACKUP_SHIPPING_H

#include "backup/walfile.h"
#include "base/id.h"
#include "secret/crypt.h"

#include <stdbool.h>

struct shipping {
    struct id generation; /* unset: none */
    int64_t began_ms, last_ms;
    uint64_t next_number;
    unsigned char previous[CRYPT_HASH_BYTES];
    uint64_t change_counter;
    struct walfile_place place; /* up to which the archivist has the log */
    /* The mailbox was closed after that, and its file is this one: its log is gone, and nothing of
     * it that had not been shipped. */
    bool is_closed;
    uint64_t file_inode, file_size;
    int64_t file_changed_ns;
};

/* A failure is not reported: what is missing then is no more than a lost file. */
void shipping_save(const char *path, const struct id *mailbox, const struct secret *key,
                   const struct shipping *shipping);
/* False: there is none that is believed. */
bool shipping_load(const char *path, const struct id *mailbox, const struct secret *key,
                   struct shipping *out);
/* Fills in what the file is now; false: it cannot be told. */
bool shipping_note_file(struct shipping *shipping, const char *mailbox_path);
/* The file is still the one noted. */
bool shipping_is_same_file(const struct shipping *shipping, const char *mailbox_path);

#endif
