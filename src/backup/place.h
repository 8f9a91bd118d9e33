/*
 * The setting that says where backups go:
 *
 *   place  = path / "s3:" url / "s3-host:" url
 *
 * path: absolute. s3: the URL's path begins with the bucket ("https://host/bucket/prefix"). s3-host: the
 * bucket is in the host's name, the path is the prefix ("https://bucket.host/prefix").
 */
#ifndef BACKUP_PLACE_H
#define BACKUP_PLACE_H

#include "net/url.h"

struct backup_place {
    bool is_s3;
    struct str path;     /* of a directory, NUL-terminated */
    struct net_url url;  /* its target is of no use */
    struct str bucket;   /* empty: in the host's name */
    struct str prefix;   /* empty, or ends in a slash */
};

/* NULL, or why it is none. Texts are in the arena. */
MUST_CHECK const char *backup_place_parse(struct arena *arena, struct str text,
                                          struct backup_place *out);

#endif
