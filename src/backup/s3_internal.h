/* What the files of the S3 destination share. */
#ifndef BACKUP_S3_INTERNAL_H
#define BACKUP_S3_INTERNAL_H

#include "backup/s3.h"
#include "backup/s3_xml.h"

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

/* The list of uploads that are not ended, of names that begin with `prefix`. */
struct s3_exchange *s3_uploads_ask(const struct s3 *s3, struct str prefix, s3_on_reply on_reply,
                                   void *owner);
/*
 * Those of such a reply that were asked for, at most S3_UPLOADS_MAX: each `key` is a name of ours,
 * without the place's prefix. In the task's arena. ERR_INVALID: it is no such list.
 */
MUST_CHECK enum err s3_uploads_read(const struct s3 *s3, struct task *task, struct str prefix,
                                    struct str body, struct s3_upload **out, size_t *out_count);
/* For when the task is over. */
struct s3_upload *s3_uploads_copy(struct arena *arena, const struct s3_upload *uploads,
                                  size_t count);
struct s3_exchange *s3_upload_drop(const struct s3 *s3, struct str name, struct str id,
                                   s3_on_reply on_reply, void *owner);

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
