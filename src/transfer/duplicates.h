/*
 * Is a message in a folder already, byte for byte? Each of those that are there is found once only,
 * so of two equal ones in a source, two stay. Reads the folder in slices.
 */
#ifndef TRANSFER_DUPLICATES_H
#define TRANSFER_DUPLICATES_H

#include "vault/message.h"

struct duplicates;

/* Of the messages that the folder has now. */
struct duplicates *duplicates_new(struct vault *vault, int64_t folder_id);
void duplicates_free(struct duplicates **duplicates);
/* One slice of getting ready to look up messages of this size (UINT64_MAX: the folder only). */
MUST_CHECK enum err duplicates_prepare(struct duplicates *duplicates, struct task *task,
                                       uint64_t size_bytes, bool *out_more);
/* After it. */
bool duplicates_take(struct duplicates *duplicates, struct str raw);

#endif
