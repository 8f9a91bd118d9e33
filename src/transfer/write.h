/*
 * Sinks that write what a user takes along (docs/leaving.md has the formats): to one descriptor,
 * front to back, in memory that does not grow with the messages' sizes (for one folder at a time,
 * about 200 bytes a message where the format wants an index).
 */
#ifndef TRANSFER_WRITE_H
#define TRANSFER_WRITE_H

#include "transfer/transfer.h"

enum transfer_format {
    TRANSFER_MBOX,        /* one file for each folder, in a tar */
    TRANSFER_MBOX_SINGLE, /* one folder, not in an archive */
    TRANSFER_MAILDIR,     /* Maildir++ in a tar */
    TRANSFER_EML,         /* a file for each message, in a tar */
    TRANSFER_ZIP,         /* the same in a zip */
};

/* "mbox", "maildir", "eml", "zip"; ERR_INVALID. */
MUST_CHECK enum err transfer_format_named(struct task *task, struct str name,
                                          enum transfer_format *out);

struct transfer_writer;

MUST_CHECK enum err transfer_write_open(struct task *task, int fd, enum transfer_format format,
                                        struct transfer_writer **out_writer);
const struct transfer_sink *transfer_write_sink(const struct transfer_writer *writer);
/* What makes it whole. */
MUST_CHECK enum err transfer_write_end(struct transfer_writer *writer, struct task *task);
void transfer_write_free(struct transfer_writer **writer);

#endif
