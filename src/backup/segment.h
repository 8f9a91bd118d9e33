/*
 * A segment: some commits of a mailbox's log, on their way to the backup's destination. All of it is
 * ciphertext, or says nothing but sizes, times and page numbers. Without the mailbox's key nobody
 * can make one, change one, or put one in another's place: each ends with a MAC over all of it, and
 * begins with its mailbox, generation, number and the MAC of the one before.
 *
 *   magic "SPLOG02\n" ‖ mailbox (24) ‖ generation (24) ‖ number (8) ‖ page size (4) ‖ 0 (4)
 *       ‖ MAC of the previous segment (32); of the first one: segment_chain_start
 *   records: page number (4, not 0) ‖ page
 *            0 (4) ‖ pages of the database now (4) ‖ time (8) ‖ change counter (8): a commit
 *   0xffffffff (4) ‖ commits (4) ‖ frames (4) ‖ 0 (4) ‖ first time (8) ‖ last (8) ‖ counter (8)
 *   MAC (32): H(key, "sealpost segment 2", SHA-256 of all that precedes)
 *
 * Integers are little-endian, times Unix milliseconds. The last record is a commit. Older ones, which are
 * read as well, begin with "SPLOG01\n", and their MAC is H(key, "sealpost segment", BLAKE2b-256 of …).
 */
#ifndef BACKUP_SEGMENT_H
#define BACKUP_SEGMENT_H

#include "base/id.h"
#include "base/task.h"
#include "secret/crypt.h"

#include <stdbool.h>
#include <stdint.h>

struct segment_head {
    struct id mailbox;
    struct id generation;
    uint64_t number; /* from 1 */
    uint32_t page_bytes;
    unsigned char previous[CRYPT_HASH_BYTES];
};

struct segment_commit {
    uint32_t db_pages;
    int64_t time_ms;
    uint64_t change_counter;
};

struct segment_summary {
    uint32_t commits, frames;
    int64_t first_ms, last_ms;
    uint64_t change_counter;
    unsigned char mac[CRYPT_HASH_BYTES];
};

/* The key of a mailbox's segments and manifests, derived from the mailbox's. */
struct secret *segment_key(const struct secret *mailbox_key);
/* What the first segment of a generation names as its previous one. */
void segment_chain_start(const struct secret *key, const struct id *generation,
                         unsigned char out[static CRYPT_HASH_BYTES]);

/*
 * --- Writing, into `fd` (borrowed, to be read, too), from its beginning ---
 *
 * Putting costs a copy: it may happen while a client waits for his commit (db_set_log_reader). Hashing,
 * most of what a segment costs, is done when it is finished; of a large one in steps before that.
 */

enum { SEGMENT_HASH_BYTES = 1024 * 1024 }; /* about a millisecond */

struct segment_writer;
/* ERR_LIMIT: no room; ERR_IO. After an error it can only be freed. */
MUST_CHECK enum err segment_writer_new(struct task *task, int fd, const struct segment_head *head,
                                       struct segment_writer **out_writer);
void segment_writer_free(struct segment_writer **writer);
MUST_CHECK enum err segment_put_page(struct segment_writer *writer, struct task *task,
                                     uint32_t page, struct str bytes);
MUST_CHECK enum err segment_put_commit(struct segment_writer *writer, struct task *task,
                                       const struct segment_commit *commit);
/* What finishing has to hash yet, and a step of at most SEGMENT_HASH_BYTES towards it. */
uint64_t segment_unhashed(const struct segment_writer *writer);
MUST_CHECK enum err segment_hash_some(struct segment_writer *writer, struct task *task);
/* Ends it. `out_digest` is the SHA-256 of the whole. At least one commit was put. */
MUST_CHECK enum err segment_finish(struct segment_writer *writer, struct task *task,
                                   const struct secret *key, struct segment_summary *out_summary,
                                   unsigned char out_digest[static CRYPT_HASH_BYTES],
                                   uint64_t *out_size_bytes);
/* Goes on in another file (borrowed), to which what was written so far is copied. */
MUST_CHECK enum err segment_move(struct segment_writer *writer, struct task *task, int fd);
uint32_t segment_commits(const struct segment_writer *writer);
uint64_t segment_size(const struct segment_writer *writer);

/* --- Reading --- */

/*
 * Checks the whole of `fd`: ERR_CORRUPT in words that say what is wrong with it. Nothing of a segment may
 * be used before. `out_head` and `out_summary` tell what it is; whether it is the one that was asked
 * for is the caller's to compare.
 */
MUST_CHECK enum err segment_check(struct task *task, int fd, const struct secret *key,
                                  struct segment_head *out_head,
                                  struct segment_summary *out_summary);

struct segment_sink {
    enum err (*on_page)(void *owner, struct task *task, uint32_t page, struct str bytes);
    enum err (*on_commit)(void *owner, struct task *task, const struct segment_commit *commit);
    /* Before a commit's pages: false ends the reading. The commit is looked up first. */
    bool (*is_wanted)(void *owner, const struct segment_commit *commit);
};
/* Of a segment that was checked: its commits in order, each one's pages and then itself. */
MUST_CHECK enum err segment_read(struct task *task, int fd, const struct segment_head *head,
                                 const struct segment_sink *sink, void *owner, bool *out_is_ended);

#endif
