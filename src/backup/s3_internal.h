/* What the files of the S3 destination share. */
#ifndef BACKUP_S3_INTERNAL_H
#define BACKUP_S3_INTERNAL_H

#include "backup/s3.h"

struct s3 {
    struct backup_destination base;
    struct net_loop *loop;      /* borrowed */
    const struct log *log;      /* borrowed */
    struct s3_client *client;   /* own */
    char *work_folder;          /* own */
    uint64_t part_bytes;
    int64_t sweep_ms;           /* 0: no limit */
    struct s3_sweep *sweep;     /* own */
};

enum { S3_SLICE_BYTES = 1024 * 1024, S3_DIGEST_HEADER_ROOM = 96 };

struct backup_call *s3_put(struct backup_destination *destination, const struct backup_put *put,
                           backup_on_done on_done, void *owner);
void s3_put_cancel(struct backup_call *call);

struct backup_call *s3_get(struct backup_destination *destination, struct str name,
                           backup_on_done on_done, void *owner);
void s3_get_cancel(struct backup_call *call);

struct backup_call *s3_abandon(struct backup_destination *destination, struct str prefix,
                               backup_on_done on_done, void *owner);

/* Removes uploads that were begun a week ago and not ended, now and then. */
struct s3_sweep;
struct s3_sweep *s3_sweep_new(struct s3 *s3);
void s3_sweep_free(struct s3_sweep **sweep);

/* Metadata with an object's digest, and with an older one's (BLAKE2b-256). */
#define S3_DIGEST "x-amz-meta-sha256"
#define S3_OLD_DIGEST "x-amz-meta-blake2b"

/* S3_DIGEST ": …" */
void s3_digest_header(const unsigned char *digest, char out[static S3_DIGEST_HEADER_ROOM]);

#endif
