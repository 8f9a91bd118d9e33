#include "store/backup.h"

#include <string.h>

static const struct {
    enum wire_type request, reply;
} kinds[] = {
    {WIRE_BACKUP_PUT, WIRE_BACKUP_PUT_REPLY},
    {WIRE_BACKUP_GET, WIRE_BACKUP_GET_REPLY},
    {WIRE_BACKUP_LIST, WIRE_BACKUP_LIST_REPLY},
};

bool store_backup_is_request(enum wire_type type)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (kinds[i].request == type)
            return true;
    }
    return false;
}

bool store_backup_is_reply(enum wire_type type)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (kinds[i].reply == type)
            return true;
    }
    return false;
}

static const struct id *mailbox_of(enum wire_type type, const union wire_body *body)
{
    if (type == WIRE_BACKUP_PUT)
        return &body->backup_put.mailbox;
    if (type == WIRE_BACKUP_GET)
        return &body->backup_get.mailbox;
    return &body->backup_list.mailbox;
}

enum err store_backup_refuse(const struct store_request *request, enum wire_status status)
{
    const struct id *mailbox = mailbox_of(request->type, &request->body);
    union wire_body body;
    enum wire_type reply;

    memset(&body, 0, sizeof(body));
    if (request->type == WIRE_BACKUP_PUT) {
        reply = WIRE_BACKUP_PUT_REPLY;
        body.backup_put_reply =
            (struct wire_backup_put_reply){.mailbox = *mailbox, .status = status};
    } else if (request->type == WIRE_BACKUP_GET) {
        reply = WIRE_BACKUP_GET_REPLY;
        body.backup_get_reply =
            (struct wire_backup_get_reply){.mailbox = *mailbox, .status = status};
    } else {
        reply = WIRE_BACKUP_LIST_REPLY;
        body.backup_list_reply = (struct wire_backup_list_reply){
            .mailbox = *mailbox, .status = status, .is_last = true};
    }
    return wire_send(request->asker, reply, request->asker_tag, &body, NULL, 0);
}

void store_backup_ask(struct store_requests *all, struct wire_channel *archivist,
                      const struct id *mailbox, struct wire_channel *asker,
                      struct wire_message *message)
{
    struct store_request *request = store_request_new(all, asker, message);

    if (!id_equal(mailbox_of(request->type, &request->body), mailbox))
        store_request_answer(all, &request, WIRE_DENIED);
    else if (archivist == NULL || (request->type == WIRE_BACKUP_PUT && request->fd_count == 0) ||
             store_request_send(request, archivist) != ERR_OK)
        store_request_answer(all, &request, WIRE_UNAVAILABLE);
}

void store_backup_answer(struct store_requests *all, const struct wire_channel *from,
                         struct wire_message *message)
{
    struct store_request *request = store_request_find(all, message->tag);

    if (request == NULL || request->target != from || !store_backup_is_request(request->type))
        return;
    if (request->asker != NULL &&
        wire_send(request->asker, message->type, request->asker_tag, &message->body, message->fds,
                  message->fd_count) != ERR_OK)
        request->asker = NULL;
    store_request_free(all, &request);
}
