/* Folders and messages as JSON objects: what the index and the stream have in common. */
#ifndef TRANSFER_JSON_H
#define TRANSFER_JSON_H

#include "transfer/transfer.h"

#include <jansson.h>

/* Never NULL; the caller's. */
json_t *transfer_json_folder(const struct transfer_folder *folder);
json_t *transfer_json_message(const struct transfer_message *message);
/* Views are in the task's arena. ERR_INVALID: a member is missing or has no such value. */
MUST_CHECK enum err transfer_json_read_folder(struct task *task, const json_t *object,
                                              struct transfer_folder *out);
MUST_CHECK enum err transfer_json_read_message(struct task *task, const json_t *object,
                                               struct transfer_message *out);

#endif
