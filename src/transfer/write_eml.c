/* A file for each message, "<folder>/0000000003.eml", behind the folder's index. */
#include "transfer/writer.h"

#include "base/memory.h"
#include "transfer/index.h"
#include "transfer/names.h"

#include <inttypes.h>

static struct str file_of(struct task *task, uint32_t uid)
{
    return arena_printf(&task->arena, "%010" PRIu32 ".eml", uid);
}

static enum err take_folder(void *owner, struct task *task, const struct transfer_folder *folder)
{
    struct transfer_writer *writer = owner;

    (void)task;
    writer_take_folder(writer, folder);
    writer->path = transfer_path(&writer->task.arena, folder->name, writer->kind == PACK_ZIP);
    transfer_index_folder(&writer->index, folder);
    return ERR_OK;
}

static enum err plan_message(void *owner, struct task *task, const struct transfer_message *message)
{
    struct transfer_writer *writer = owner;

    TRY(writer_check_index(writer, task));
    transfer_index_message(&writer->index, file_of(task, message->uid), message);
    return ERR_OK;
}

static enum err planned(void *owner, struct task *task)
{
    return writer_put_index(owner, task);
}

static enum err take_message(void *owner, struct task *task, const struct transfer_message *message)
{
    struct transfer_writer *writer = owner;
    struct str path = arena_printf(&task->arena, "%.*s/%.*s", STR_ARG(writer->path),
                                   STR_ARG(file_of(task, message->uid)));

    return pack_file(writer->pack, task, path, message->size_bytes, message->date_ms);
}

void writer_init_eml(struct transfer_writer *writer)
{
    writer->sink.folder = take_folder;
    writer->sink.plan = TRANSFER_PLAN_ROWS;
    writer->sink.plan_message = plan_message;
    writer->sink.planned = planned;
    writer->sink.message = take_message;
    writer->sink.bytes = writer_bytes;
    writer->sink.finish = writer_finish;
}
