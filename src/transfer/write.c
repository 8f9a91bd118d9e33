/* Opening and ending a writer; what the formats have in common. */
#include "transfer/write.h"

#include "base/memory.h"
#include "transfer/index.h"
#include "transfer/writer.h"

enum err transfer_format_named(struct task *task, struct str name, enum transfer_format *out)
{
    static const struct {
        struct str name;
        enum transfer_format format;
    } formats[] = {
        {STR_INIT("mbox"), TRANSFER_MBOX},
        {STR_INIT("maildir"), TRANSFER_MAILDIR},
        {STR_INIT("eml"), TRANSFER_EML},
        {STR_INIT("zip"), TRANSFER_ZIP},
    };

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        if (str_equal(formats[i].name, name)) {
            *out = formats[i].format;
            return ERR_OK;
        }
    }
    return fail(task, ERR_INVALID, "the format is mbox, maildir, eml, zip or file");
}

enum err transfer_write_open(struct task *task, int fd, enum transfer_format format,
                             struct transfer_writer **out_writer)
{
    CLEANUP(transfer_write_free) struct transfer_writer *writer = NEW(struct transfer_writer);

    task_init(&writer->task, task->now_ms);
    buf_init(&writer->index, TRANSFER_INDEX_BYTES_MAX);
    buf_init(&writer->uids, TRANSFER_INDEX_BYTES_MAX);
    buf_init(&writer->subscribed, SIZE_MAX);
    buf_init(&writer->paths, SIZE_MAX);
    writer->kind = PACK_TAR;
    writer->sink.owner = writer;
    switch (format) {
    case TRANSFER_MBOX_SINGLE:
        writer->kind = PACK_PLAIN;
        writer_init_mbox(writer);
        break;
    case TRANSFER_MBOX:
        writer_init_mbox(writer);
        break;
    case TRANSFER_MAILDIR:
        writer_init_maildir(writer);
        break;
    case TRANSFER_ZIP:
        writer->kind = PACK_ZIP;
        writer_init_eml(writer);
        break;
    case TRANSFER_EML:
        writer_init_eml(writer);
        break;
    }
    TRY(pack_open(task, fd, writer->kind, &writer->pack));
    *out_writer = writer;
    writer = NULL;
    return ERR_OK;
}

const struct transfer_sink *transfer_write_sink(const struct transfer_writer *writer)
{
    return &writer->sink;
}

enum err transfer_write_end(struct transfer_writer *writer, struct task *task)
{
    if (writer->subscribed.len > 0)
        TRY(writer_end_maildir(writer, task));
    return pack_end(writer->pack, task);
}

void transfer_write_free(struct transfer_writer **writer)
{
    struct transfer_writer *old = *writer;

    if (old == NULL)
        return;
    writer_forget_folder(old);
    mbox_out_free(&old->mbox);
    pack_free(&old->pack);
    buf_free(&old->index);
    buf_free(&old->uids);
    buf_free(&old->subscribed);
    buf_free(&old->paths);
    task_done(&old->task);
    mem_free(writer);
}

void writer_forget_folder(struct transfer_writer *writer)
{
    buf_reset(&writer->index);
    buf_reset(&writer->uids);
    writer->keyword_count = 0;
    writer->mbox_bytes = 0;
    writer->has_first = false;
    arena_free(&writer->task.arena);
}

void writer_take_folder(struct transfer_writer *writer, const struct transfer_folder *folder)
{
    writer_forget_folder(writer);
    writer->folder = *folder;
    writer->folder.name = arena_copy(&writer->task.arena, folder->name);
    writer->folder.source = STR("");
}

enum err writer_check_index(struct transfer_writer *writer, struct task *task)
{
    if (writer->index.len + TRANSFER_INDEX_LINE_MAX <= TRANSFER_INDEX_BYTES_MAX)
        return ERR_OK;
    return fail(task, ERR_LIMIT,
                "folder \"%.*s\" has more messages than the index beside them may tell of (%d MiB, "
                "some 750,000 messages of INBOX); --format mbox and --format file have no such limit",
                STR_ARG(str_upto(writer->folder.name, 200)), TRANSFER_INDEX_BYTES_MAX >> 20);
}

enum err writer_put_index(struct transfer_writer *writer, struct task *task)
{
    struct str path = arena_printf(&task->arena, "%.*s%s" TRANSFER_INDEX_NAME,
                                   STR_ARG(writer->path), writer->path.len > 0 ? "/" : "");

    return pack_small(writer->pack, task, path, buf_str(&writer->index));
}

enum err writer_bytes(void *owner, struct task *task, struct str bytes)
{
    struct transfer_writer *writer = owner;

    return pack_bytes(writer->pack, task, bytes);
}

enum err writer_finish(void *owner, struct task *task)
{
    (void)owner;
    (void)task;
    return ERR_OK;
}
