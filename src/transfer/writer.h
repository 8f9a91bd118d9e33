/* Inside write*.c only: what a format is made of. */
#ifndef TRANSFER_WRITER_H
#define TRANSFER_WRITER_H

#include "base/buf.h"
#include "transfer/pack.h"
#include "transfer/write.h"

struct transfer_writer {
    struct transfer_sink sink;
    struct pack *pack; /* own */
    struct task task;  /* as long as the folder under way: its name and paths */
    struct transfer_folder folder;
    struct str path;       /* of the folder, in that task */
    struct buf index;      /* own; of the folder under way */
    struct buf uids;       /* own; Maildir: dovecot-uidlist's lines */
    struct buf subscribed; /* own; Maildir: names, as they go */
    struct buf paths;      /* own; Maildir: those used, each between line feeds */
    struct str keywords[26]; /* own; Maildir: of the folder under way, by letter */
    size_t keyword_count;
    struct mbox_out *mbox; /* own; mbox: the message under way */
    uint64_t mbox_bytes;   /* counted while planning */
    bool has_first;        /* a message of the folder was planned or written */
    enum pack_kind kind;
};

void writer_init_mbox(struct transfer_writer *writer);
void writer_init_maildir(struct transfer_writer *writer);
void writer_init_eml(struct transfer_writer *writer);
void writer_forget_folder(struct transfer_writer *writer);
/* Keeps a copy as the folder under way. */
void writer_take_folder(struct transfer_writer *writer, const struct transfer_folder *folder);
/* Has it room for another line? It is in memory until it is whole, since it goes before the
 * messages and tells its size first; and who reads it has no more. ERR_LIMIT. */
MUST_CHECK enum err writer_check_index(struct transfer_writer *writer, struct task *task);
/* Writes the index beside the folder's messages, at <path>/TRANSFER_INDEX_NAME. */
MUST_CHECK enum err writer_put_index(struct transfer_writer *writer, struct task *task);
/* Bytes and the end of a message that is a file of its own. */
MUST_CHECK enum err writer_bytes(void *owner, struct task *task, struct str bytes);
MUST_CHECK enum err writer_finish(void *owner, struct task *task);
void mbox_out_free(struct mbox_out **out);
MUST_CHECK enum err writer_end_maildir(struct transfer_writer *writer, struct task *task);

#endif
