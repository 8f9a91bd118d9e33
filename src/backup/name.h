/*
 * The names of backup objects, as docs/backups.md lays them out. They become paths and URLs as they
 * are, so little may be in them: parts of [A-Za-z0-9._-], divided by slashes, none of which begins
 * with a dot.
 */
#ifndef BACKUP_NAME_H
#define BACKUP_NAME_H

#include "base/id.h"
#include "base/str.h"
#include "secret/secret.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    BACKUP_NAME_MAX = 200,
    BACKUP_NAME_DEPTH_MAX = 8,
    BACKUP_STAMP_ROOM = 40, /* "20261121T100000.000Z" and a NUL, with room to spare */
    BACKUP_STAMP_LEN = 20,
};

/* Beside an object in a directory lies a file with its digest, named so; no object may be. */
#define BACKUP_DIGEST_SUFFIX ".digest"

/* Of a mailbox, below which nothing is: whoever lists it asks only whether the host's destination
 * answers, and an owner's own bucket has no part in that. */
#define BACKUP_PROBE_PREFIX "none/"

bool backup_name_is_valid(struct str name);
/* The beginning of one: may end in a slash or within a part, and may be empty. */
bool backup_prefix_is_valid(struct str prefix);

/* UTC, so made that texts sort as the times do. */
void backup_stamp_format(int64_t ms, char out[static BACKUP_STAMP_ROOM]);
/* The stamp that the text begins with; what follows it does not begin with a letter or digit. */
bool backup_stamp_parse(struct str text, int64_t *out_ms);

/*
 * "host/account/<UTC>-<mark>.sqlite": which host key opens a copy of the account database, without saying
 * anything of it; and whose it is, should two hosts share a destination. `drop_root`: the key that is
 * derived from the host key by DROPBOX_ROOT_PURPOSE (dropbox/key.h).
 */
enum { BACKUP_HOST_MARK_LEN = 8 };
void backup_host_mark(const struct secret *drop_root, char out[static BACKUP_HOST_MARK_LEN + 1]);

#endif
