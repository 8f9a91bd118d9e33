/*
 * What lies beside a backup's file: JSON that says what the file is, with a MAC under the mailbox's
 * key over every field, so that nobody without the key can pass off one file for another, or an older
 * one for a newer. Of a full backup it is written only after the copy was opened and checked:
 * "verified" tells the archivist so, which cannot look itself.
 *
 * The file's digest is in the field "sha256"; an older manifest has a BLAKE2b-256 in "digest". The MAC is over
 * which it is, too.
 */
#ifndef BACKUP_MANIFEST_H
#define BACKUP_MANIFEST_H

#include "base/buf.h"
#include "base/id.h"
#include "base/task.h"
#include "secret/hasher.h"

enum { MANIFEST_BYTES_MAX = 4096 };

struct manifest {
    struct id mailbox;
    struct id generation; /* of a base; unset: a full backup */
    int64_t time_ms;      /* the state it holds; of a base: the earliest that it leads to */
    uint64_t size_bytes;
    enum hasher_kind digest_kind;
    unsigned char digest[CRYPT_HASH_BYTES]; /* of the file */
    uint64_t epoch, change_counter, schema;
    uint64_t commits; /* of a base: without so many of its log's it is not whole */
};

/* `key` as segment_key gives it; the digest is SHA-256. */
void manifest_write(const struct manifest *manifest, const struct secret *key, struct buf *out);
/* ERR_CORRUPT: not one, or altered, or another mailbox's; `key` NULL: its MAC is not looked at. */
MUST_CHECK enum err manifest_read(struct task *task, struct str json, const struct secret *key,
                                  struct manifest *out);

#endif
