/* Any bytes as an archive or mbox: messages are whole, and come within a folder. */
#include "base/file.h"
#include "transfer/read.h"

#include <assert.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    bool has_folder, is_in_message;
    uint64_t missing;
};

static enum err on_folder(void *owner, struct task *task, const struct transfer_folder *folder)
{
    struct seen *seen = owner;

    (void)task;
    assert(folder->name.len > 0 && !seen->is_in_message);
    seen->has_folder = true;
    return ERR_OK;
}

static enum err on_message(void *owner, struct task *task, const struct transfer_message *message)
{
    struct seen *seen = owner;

    (void)task;
    assert(seen->has_folder && !seen->is_in_message);
    seen->is_in_message = true;
    seen->missing = message->size_bytes;
    return ERR_OK;
}

static enum err on_bytes(void *owner, struct task *task, struct str bytes)
{
    struct seen *seen = owner;

    (void)task;
    assert(seen->is_in_message && bytes.len <= seen->missing);
    seen->missing -= bytes.len;
    return ERR_OK;
}

static enum err on_finish(void *owner, struct task *task)
{
    struct seen *seen = owner;

    (void)task;
    assert(seen->is_in_message && seen->missing == 0);
    seen->is_in_message = false;
    return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(task_done) struct task task;
    CLEANUP(fd_close) int fd = -1;
    struct seen seen = {0};
    const struct transfer_sink sink = {.folder = on_folder,
                                       .message = on_message,
                                       .bytes = on_bytes,
                                       .finish = on_finish,
                                       .owner = &seen};

    task_init(&task, 0);
    if (memfd_from(&task, str_make(data, size), &fd) != ERR_OK)
        return 0;
    if (transfer_read(&task, fd, STR("INBOX"), &sink) == ERR_OK)
        assert(seen.has_folder && !seen.is_in_message);
    return 0;
}
