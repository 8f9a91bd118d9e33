/* libarchive's streaming writer, with our errors. */
#include "transfer/pack.h"

#include "base/file.h"
#include "base/memory.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

struct pack {
    struct archive *archive; /* own; NULL: PACK_PLAIN */
    int fd;
    uint64_t missing_bytes; /* of the file that is being written */
};

static enum err archive_fail(struct pack *pack, struct task *task)
{
    const char *words = archive_error_string(pack->archive);
    int number = archive_errno(pack->archive);

    if (number == ENOSPC || number == EDQUOT || number == EFBIG)
        return fail(task, ERR_LIMIT, "there is no room for the file");
    return fail(task, ERR_IO, "the file cannot be written: %s", words != NULL ? words : "?");
}

enum err pack_open(struct task *task, int fd, enum pack_kind kind, struct pack **out_pack)
{
    CLEANUP(pack_free) struct pack *pack = NEW(struct pack);
    int status = ARCHIVE_OK;

    pack->fd = fd;
    if (kind != PACK_PLAIN) {
        pack->archive = archive_write_new();
        if (pack->archive == NULL)
            return fail(task, ERR_IO, "no memory for an archive");
        status = kind == PACK_TAR ? archive_write_set_format_pax_restricted(pack->archive)
                                  : archive_write_set_format_zip(pack->archive);
        if (status == ARCHIVE_OK && kind == PACK_ZIP)
            status = archive_write_set_options(pack->archive, "hdrcharset=UTF-8");
        /* To a pipe, too, the last block needs no padding. */
        if (status == ARCHIVE_OK)
            status = archive_write_set_bytes_in_last_block(pack->archive, 1);
        if (status == ARCHIVE_OK)
            status = archive_write_open_fd(pack->archive, fd);
    }
    if (status != ARCHIVE_OK)
        return archive_fail(pack, task);
    *out_pack = pack;
    pack = NULL;
    return ERR_OK;
}

static enum err begin_entry(struct pack *pack, struct task *task, struct str path, unsigned type,
                            unsigned mode, uint64_t size_bytes, int64_t mtime_ms)
{
    struct archive_entry *entry;
    int64_t seconds = mtime_ms / 1000 - (mtime_ms % 1000 < 0);
    int status;

    if (pack->missing_bytes > 0)
        return fail(task, ERR_CORRUPT, "a file ended before its size");
    if (pack->archive == NULL)
        return ERR_OK;
    entry = archive_entry_new();
    archive_entry_set_pathname_utf8(entry, arena_copy(&task->arena, path).ptr);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, (mode_t)mode);
    archive_entry_set_size(entry, (int64_t)size_bytes);
    archive_entry_set_mtime(entry, (time_t)seconds, (long)(mtime_ms - seconds * 1000) * 1000000);
    status = archive_write_header(pack->archive, entry);
    archive_entry_free(entry);
    return status < ARCHIVE_WARN ? archive_fail(pack, task) : ERR_OK;
}

enum err pack_file(struct pack *pack, struct task *task, struct str path, uint64_t size_bytes,
                   int64_t mtime_ms)
{
    TRY(begin_entry(pack, task, path, AE_IFREG, 0600, size_bytes, mtime_ms));
    pack->missing_bytes = pack->archive == NULL ? 0 : size_bytes;
    return ERR_OK;
}

enum err pack_folder(struct pack *pack, struct task *task, struct str path)
{
    return begin_entry(pack, task, path, AE_IFDIR, 0700, 0, task->now_ms);
}

enum err pack_bytes(struct pack *pack, struct task *task, struct str bytes)
{
    if (pack->archive == NULL)
        return fd_write_all(task, pack->fd, bytes);
    if (bytes.len > pack->missing_bytes)
        return fail(task, ERR_CORRUPT, "a file is longer than its size");
    pack->missing_bytes -= bytes.len;
    while (bytes.len > 0) {
        ssize_t written = archive_write_data(pack->archive, bytes.ptr, bytes.len);

        if (written <= 0)
            return archive_fail(pack, task);
        bytes = str_from(bytes, (size_t)written);
    }
    return ERR_OK;
}

enum err pack_small(struct pack *pack, struct task *task, struct str path, struct str content)
{
    TRY(pack_file(pack, task, path, content.len, task->now_ms));
    return pack_bytes(pack, task, content);
}

enum err pack_end(struct pack *pack, struct task *task)
{
    if (pack->missing_bytes > 0)
        return fail(task, ERR_CORRUPT, "the last file ended before its size");
    if (pack->archive != NULL && archive_write_close(pack->archive) != ARCHIVE_OK)
        return archive_fail(pack, task);
    return ERR_OK;
}

void pack_free(struct pack **pack)
{
    if (*pack == NULL)
        return;
    if ((*pack)->archive != NULL) {
        (void)archive_write_fail((*pack)->archive); /* else freeing would end it as if whole */
        (void)archive_write_free((*pack)->archive);
    }
    mem_free(pack);
}
