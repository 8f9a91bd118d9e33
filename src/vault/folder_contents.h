/*
 * Inside the vault only: which content each message of a folder has, for a search, whose index
 * knows contents. Mail arrives in order, so both numbers mostly count up together: it is kept as
 * stretches, in a few bytes each, for the folder that was asked for last, unless it takes more than
 * CONTENTS_KEPT_MAX. Reading it from the rows took 5 ms for 20,000 messages, most of many a search;
 * so whoever reads all rows of a folder notes it on the way: SELECT, and then a search.
 *
 * It is a part of the mirror (state.h): a message's content never changes, new ones are read when
 * it is asked for, and it is dropped when rows go or a change is undone.
 */
#ifndef VAULT_FOLDER_CONTENTS_H
#define VAULT_FOLDER_CONTENTS_H

#include "vault/state.h"

enum { CONTENTS_KEPT_MAX = 128 * 1024 };

/* Messages with UIDs one behind the other, whose contents are so, too. */
struct folder_contents_stretch {
    uint32_t uid;
    int64_t content_id; /* of the first */
    uint32_t count;
};

/* Those of the folder, also of those expunged and not purged. Within a reading. */
MUST_CHECK enum err folder_contents_read(struct vault *vault, struct task *task,
                                         const struct folder *folder);
/* Instead: somebody reads all rows of the folder and adds each, ascending, also those that are
 * expunged. If he cannot end it, he forgets it. */
void folder_contents_begin(struct vault *vault, const struct folder *folder);
void folder_contents_add(struct vault *vault, uint32_t uid, int64_t content_id);
struct folder_contents_walk {
    size_t at;
    struct folder_contents_stretch last;
};
/* The next stretch of what was read; start with an empty walk. False: that was all. */
bool folder_contents_next(const struct vault *vault, struct folder_contents_walk *walk,
                          struct folder_contents_stretch *out);
/* What was read is this folder's. */
bool folder_contents_are_of(const struct vault *vault, int64_t folder_id);
/* How many messages were read. */
size_t folder_contents_count(const struct vault *vault);
/* They were looked at: what takes much memory goes. */
void folder_contents_rest(struct vault *vault);
/* Rows went, or the mirror is read anew. */
void folder_contents_forget(struct vault *vault);

#endif
