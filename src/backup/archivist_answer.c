#include "backup/archivist_answer.h"

#include <string.h>

enum wire_status archivist_status_of(enum err err)
{
    switch (err) {
    case ERR_OK:
        return WIRE_OK;
    case ERR_NOT_FOUND:
        return WIRE_UNKNOWN;
    case ERR_CORRUPT:
        return WIRE_DAMAGED;
    case ERR_LIMIT:
        return WIRE_DISK_FULL;
    case ERR_DENIED:
        return WIRE_DENIED;
    case ERR_INVALID:
        return WIRE_INVALID;
    case ERR_EXISTS:
    case ERR_BUSY:
    case ERR_IO:
        return WIRE_UNAVAILABLE;
    }
    return WIRE_UNAVAILABLE;
}

void archivist_answer(const struct log *log, struct wire_channel *asker, uint64_t tag,
                      enum wire_type type, const struct id *mailbox,
                      const struct archivist_answer *answer)
{
    union wire_body body;
    enum wire_type reply;
    struct str words = str_upto(answer->words, ARCHIVIST_WORDS_MAX);

    memset(&body, 0, sizeof(body));
    if (type == WIRE_BACKUP_PUT) {
        reply = WIRE_BACKUP_PUT_REPLY;
        body.backup_put_reply = (struct wire_backup_put_reply){
            .mailbox = *mailbox, .status = answer->status, .words = words};
    } else if (type == WIRE_BACKUP_GET) {
        reply = WIRE_BACKUP_GET_REPLY;
        body.backup_get_reply = (struct wire_backup_get_reply){.mailbox = *mailbox,
                                                               .status = answer->status,
                                                               .size_bytes = answer->size_bytes,
                                                               .words = words};
    } else if (type == WIRE_BACKUP_LIST) {
        reply = WIRE_BACKUP_LIST_REPLY;
        body.backup_list_reply = (struct wire_backup_list_reply){.mailbox = *mailbox,
                                                                 .status = answer->status,
                                                                 .json = answer->json,
                                                                 .is_last = answer->is_last,
                                                                 .words = words};
    } else {
        reply = WIRE_BACKUP_DELETE_REPLY;
        body.backup_delete_reply = (struct wire_backup_delete_reply){
            .mailbox = *mailbox, .status = answer->status, .words = words};
    }
    if (wire_send(asker, reply, tag, &body, &answer->fd, answer->fd >= 0 ? 1 : 0) != ERR_OK)
        log_warning(log, "an answer could not be sent peer=%s",
                    wire_role_name(wire_channel_peer(asker)));
}
