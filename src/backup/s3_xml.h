/*
 * What an S3 server answers: XML of a few known shapes, read strictly with expat. No document type
 * (and so no entities), no depth, no long texts; what is not asked for is passed over.
 */
#ifndef BACKUP_S3_XML_H
#define BACKUP_S3_XML_H

#include "backup/walk.h"
#include "base/arena.h"
#include "base/task.h"

enum {
    S3_XML_DEPTH_MAX = 16,
    S3_XML_TEXT_MAX = 2048, /* of one element */
    S3_XML_BODY_MAX = 8 * 1024 * 1024,
    S3_PARTS_MAX = 10000,
};

/* Texts are in the arena of the task in all of them. All: ERR_INVALID when it is no such reply. */

/* ListBucketResult: the keys below `root` ("" or "…/") that are names of ours go to the page without it. */
MUST_CHECK enum err s3_xml_list(struct task *task, struct str body, struct str root,
                                struct backup_page *page, struct str *out_last_key);

/* InitiateMultipartUploadResult. */
MUST_CHECK enum err s3_xml_upload_id(struct task *task, struct str body, struct str *out_id);

struct s3_upload {
    struct str key, id;
    int64_t initiated_ms;
};
enum { S3_UPLOADS_MAX = 1000 };
/* ListMultipartUploadsResult: at most S3_UPLOADS_MAX of them. */
MUST_CHECK enum err s3_xml_uploads(struct task *task, struct str body, struct s3_upload **out,
                                   size_t *out_count);

struct s3_part {
    struct str etag;
    uint64_t size_bytes;
};
/*
 * ListPartsResult: those with a number above `after`, which was asked for, into parts[number - 1] of
 * S3_PARTS_MAX (their texts in the task's arena); the highest number; is there more?
 */
MUST_CHECK enum err s3_xml_parts(struct task *task, struct str body, uint32_t after,
                                 struct s3_part *parts, uint32_t *out_highest, bool *out_is_last);

/* CompleteMultipartUploadResult. An Error comes with status 200, too: ERR_BUSY then. */
MUST_CHECK enum err s3_xml_completed(struct task *task, struct str body);

/* The Code of an Error, letters and digits only; "" where there is none. */
struct str s3_xml_error_code(struct task *task, struct str body);

#endif
