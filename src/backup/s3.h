/*
 * Backups in S3-compatible storage. The SHA-256 of an object is in its metadata ("x-amz-meta-sha256"; of
 * an older one its BLAKE2b-256, "x-amz-meta-blake2b"); the server checks the SHA-256 that each request is
 * signed with.
 *
 * More than S3_PART_BYTES goes in parts (s3_put.c). A put that failed, or whose process was restarted, is
 * found again by its name, and goes on with the parts that the server has, each compared by its MD5. Of
 * one whose bytes are not those that were promised, they are dropped at once, before it is answered: where
 * the server is away just then, that takes a while. What nobody comes back for is removed after a week.
 *
 * A get keeps its bytes in a nameless file of the work folder, and goes on where the connection broke.
 */
#ifndef BACKUP_S3_H
#define BACKUP_S3_H

#include "backup/destination.h"
#include "backup/s3_client.h"

enum { S3_PART_BYTES = 16 * 1024 * 1024 };

struct backup_s3_options {
    struct s3_client_options client;
    const char *work_folder;  /* exists; what was left in it is removed */
    const struct log *log;    /* borrowed */
    uint64_t part_bytes;      /* 0: S3_PART_BYTES */
    int64_t sweep_ms;         /* how long looking for old uploads may take, once a day; 0: no limit */
};

/* Takes the secret over, whatever it gives. ERR_IO, ERR_NOT_FOUND: the work folder. */
MUST_CHECK enum err backup_s3_new(struct task *task, const struct backup_s3_options *options,
                                  struct backup_destination **out);

/* Another key, for requests from now on; takes the secret over. Only for what backup_s3_new made. */
void backup_s3_set_key(struct backup_destination *destination, struct str key_id,
                       struct secret *secret);

#endif
