/*
 * <id>.drop.sqlite: the sealed records in an encrypted database under the drop key, which is the
 * host's. It hides sizes and days from a thief of the disk; the records themselves are sealed.
 */
#ifndef DROPBOX_RECORDS_H
#define DROPBOX_RECORDS_H

#include "base/id.h"
#include "dropbox/chain.h"
#include "sqlite/db.h"

struct records;

struct record {
    int64_t id; /* in order of arrival */
    struct chain_place place;
    uint64_t n;
    struct str sealed; /* view */
};

struct records_totals {
    uint64_t count;
    uint64_t bytes; /* of the sealed records: messages, padded */
};

/*
 * Opens, or makes, the file in `drop_folder`. ERR_NOT_FOUND only without `may_create`; ERR_DENIED
 * another key; ERR_CORRUPT, ERR_LIMIT, ERR_IO.
 */
MUST_CHECK enum err records_open(struct task *task, const char *drop_folder,
                                 const struct id *mailbox, const struct secret *drop_key,
                                 bool may_create, struct records **out_records);
/* One of those set aside (dropbox/damaged.h). The same errors. */
MUST_CHECK enum err records_open_damaged(struct task *task, const char *drop_folder,
                                         const char *name, const struct secret *drop_key,
                                         struct records **out_records);
void records_close(struct records **records);
/*
 * Closes and deletes the file, of whose records none is needed any more. Not durably: what a power
 * cut brings back is the whole file, whose records are known to be imported; and a new file in its
 * place is made durable together with this.
 */
MUST_CHECK enum err records_remove(struct records **records, struct task *task);
/* All of it in a new file, under the same key. */
MUST_CHECK enum err records_copy(struct records *records, struct task *task, const char *path);

/* A transaction; records_commit is durable when it returns, unless told otherwise. */
MUST_CHECK enum err records_begin(struct records *records, struct task *task);
MUST_CHECK enum err records_commit(struct records *records, struct task *task, bool is_durable);
void records_rollback(struct records *records);

/* Inside a transaction; record->id is given by the database. */
MUST_CHECK enum err records_add(struct records *records, struct task *task,
                                const struct record *record);
MUST_CHECK enum err records_delete(struct records *records, struct task *task, int64_t id);

/* The n that follows the highest one of this place; 0 when it has no record. */
MUST_CHECK enum err records_next_n(struct records *records, struct task *task,
                                   const struct chain_place *place, uint64_t *out_n);
MUST_CHECK enum err records_totals(struct records *records, struct task *task,
                                   struct records_totals *out);
/* The lowest generation that a record of this lane has; UINT64_MAX: none. */
MUST_CHECK enum err records_lowest_generation(struct records *records, struct task *task,
                                              const unsigned char lane[static DROPBOX_LANE_BYTES],
                                              uint64_t *out_generation);

/*
 * Calls `take` for the first `limit` records in (lane, generation, boot, n, arrival) order, until it
 * says stop or fails. It must not change this database.
 */
typedef enum err (*records_take)(void *owner, struct task *task, const struct record *record,
                                 bool *out_stop);
MUST_CHECK enum err records_each(struct records *records, struct task *task, size_t limit,
                                 records_take take, void *owner);

/* The owner's mark of how far he took a boot's records (schema/0001.sql). Not found: *out_n is 0. */
MUST_CHECK enum err records_taken(struct records *records, struct task *task,
                                  const struct chain_place *place, uint64_t *out_n,
                                  unsigned char out_proof[static CRYPT_HASH_BYTES]);
MUST_CHECK enum err records_set_taken(struct records *records, struct task *task,
                                      const struct chain_place *place, uint64_t n,
                                      const unsigned char proof[static CRYPT_HASH_BYTES]);

#endif
