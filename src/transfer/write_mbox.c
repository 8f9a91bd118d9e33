/* An mbox for each folder, in a tar, whose files tell their size first: so they are counted first.
 * One folder alone goes without a tar, and in one pass. */
#include "transfer/writer.h"

#include "base/memory.h"
#include "transfer/index.h"
#include "transfer/mbox.h"
#include "transfer/names.h"

/* While a folder is planned, what would be written is counted. */
static enum err emit(void *owner, struct task *task, struct str bytes)
{
    struct transfer_writer *writer = owner;

    return pack_bytes(writer->pack, task, bytes);
}

static enum err count(void *owner, struct task *task, struct str bytes)
{
    struct transfer_writer *writer = owner;

    (void)task;
    writer->mbox_bytes += bytes.len;
    return ERR_OK;
}

static void use_emit(struct transfer_writer *writer,
                     enum err (*function)(void *owner, struct task *task, struct str bytes))
{
    mbox_out_free(&writer->mbox);
    writer->mbox = mbox_out_new(function, writer);
    writer->has_first = false;
}

static enum err take_folder(void *owner, struct task *task, const struct transfer_folder *folder)
{
    struct transfer_writer *writer = owner;

    writer_take_folder(writer, folder);
    if (writer->kind == PACK_PLAIN) {
        use_emit(writer, emit);
        return ERR_OK;
    }
    writer->path = transfer_path(&writer->task.arena, folder->name);
    transfer_index_folder(&writer->index, folder);
    TRY(pack_small(writer->pack, task,
                   arena_printf(&task->arena, "%.*s.mbox.json", STR_ARG(writer->path)),
                   buf_str(&writer->index)));
    use_emit(writer, count);
    return ERR_OK;
}

static enum err take_message(void *owner, struct task *task, const struct transfer_message *message)
{
    struct transfer_writer *writer = owner;
    const struct transfer_folder *folder = writer->has_first ? NULL : &writer->folder;

    writer->has_first = true;
    return mbox_out_begin(writer->mbox, task, folder, message);
}

static enum err take_bytes(void *owner, struct task *task, struct str bytes)
{
    struct transfer_writer *writer = owner;

    return mbox_out_bytes(writer->mbox, task, bytes);
}

static enum err take_end(void *owner, struct task *task)
{
    struct transfer_writer *writer = owner;

    return mbox_out_finish(writer->mbox, task);
}

static enum err planned(void *owner, struct task *task)
{
    struct transfer_writer *writer = owner;

    use_emit(writer, emit);
    if (!writer->folder.is_selectable)
        return ERR_OK;
    return pack_file(writer->pack, task,
                     arena_printf(&task->arena, "%.*s.mbox", STR_ARG(writer->path)),
                     writer->mbox_bytes, task->now_ms);
}

void writer_init_mbox(struct transfer_writer *writer)
{
    writer->sink.folder = take_folder;
    writer->sink.plan = writer->kind == PACK_PLAIN ? TRANSFER_PLAN_NONE : TRANSFER_PLAN_BYTES;
    writer->sink.plan_message = take_message;
    writer->sink.plan_bytes = take_bytes;
    writer->sink.plan_finish = take_end;
    writer->sink.planned = planned;
    writer->sink.message = take_message;
    writer->sink.bytes = take_bytes;
    writer->sink.finish = take_end;
}
