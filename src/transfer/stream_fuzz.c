/* Any bytes as the stream of an import: all that a mailbox's process reads of what is imported. */
#include "transfer/json.h"
#include "transfer/stream.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_content(struct task *task, struct str content)
{
    json_t *object = json_loadb(content.ptr, content.len, 0, NULL), *again;
    struct transfer_folder folder, folder_again;
    struct transfer_message message, message_again;

    if (transfer_json_read_folder(task, object, &folder) == ERR_OK) {
        again = transfer_json_folder(&folder);
        assert(transfer_json_read_folder(task, again, &folder_again) == ERR_OK);
        assert(str_equal(folder.name, folder_again.name) && folder.use == folder_again.use &&
               folder.uidnext == folder_again.uidnext);
        json_decref(again);
    }
    if (transfer_json_read_message(task, object, &message) == ERR_OK) {
        again = transfer_json_message(&message);
        assert(transfer_json_read_message(task, again, &message_again) == ERR_OK);
        assert(message.uid == message_again.uid && message.flags == message_again.flags &&
               message.date_ms == message_again.date_ms &&
               message.keyword_count == message_again.keyword_count);
        json_decref(again);
    }
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_make(data, size);

    while (rest.len > 0) {
        CLEANUP(task_done) struct task task;
        struct str content;
        bool is_whole;
        size_t len;
        char kind;

        task_init(&task, 0);
        if (transfer_frame_parse(&task, rest, &is_whole, &kind, &content, &len) != ERR_OK ||
            !is_whole)
            break;
        assert(len == TRANSFER_FRAME_HEAD + content.len && len <= rest.len);
        read_content(&task, content);
        rest = str_from(rest, len);
    }
    return 0;
}
