/*
 * The index that our own archives have beside the messages, one for each folder: a line of JSON for
 * the folder, then one for each message. It says what the format itself cannot (docs/leaving.md).
 *
 *   {"folder": "Work/Plans", "use": "sent", "subscribed": true, "uidvalidity": 7, "uidnext": 12}
 *   {"file": "0000000003.eml", "uid": 3, "flags": ["\\Seen", "$Forwarded"],
 *    "date": "2026-11-22T05:00:00.000Z", "zone": 60, "size": 1234}
 */
#ifndef TRANSFER_INDEX_H
#define TRANSFER_INDEX_H

#include "base/buf.h"
#include "transfer/transfer.h"

#define TRANSFER_INDEX_NAME "sealpost-index.jsonl"

enum { TRANSFER_INDEX_BYTES_MAX = 128 * 1024 * 1024, TRANSFER_INDEX_LINE_MAX = 32 * 1024 };

/* `out` has no limit. */
void transfer_index_folder(struct buf *out, const struct transfer_folder *folder);
void transfer_index_message(struct buf *out, struct str file,
                            const struct transfer_message *message);

/* One line of either kind; text and arrays in the arena. ERR_INVALID. */
struct transfer_index_line {
    bool is_folder;
    struct transfer_folder folder;
    struct str file;
    struct transfer_message message;
};
MUST_CHECK enum err transfer_index_parse(struct task *task, struct str line,
                                         struct transfer_index_line *out);

#endif
