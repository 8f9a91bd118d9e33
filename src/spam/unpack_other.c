/*
 * The formats that are rare in mail, through libarchive: nobody should have to trust readers of
 * cabinets, ISO images and rar that were written here. It gets its bytes a little at a time, and
 * none when the budget is spent. Of rar only the names are read: its decoders take as much memory as
 * an archive asks for.
 */
#include "spam/unpack.h"

#include "base/memory.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PIECE = 4096, NAME_MAX_BYTES = 1024 };

struct source {
    struct spam_budget *budget;
    struct str bytes;
    size_t at;
};

static la_ssize_t on_read(struct archive *reader, void *owner, const void **out)
{
    struct source *source = owner;
    struct str piece = str_upto(str_from(source->bytes, source->at), PIECE);

    /* Dear: a piece may unpack to a thousand times its size. */
    if (!spam_budget_take(source->budget, piece.len * 4)) {
        archive_set_error(reader, EFBIG, "the budget is spent");
        return ARCHIVE_FATAL;
    }
    *out = piece.ptr;
    source->at += piece.len;
    return (la_ssize_t)piece.len;
}

static la_int64_t on_skip(struct archive *reader, void *owner, la_int64_t count)
{
    struct source *source = owner;
    size_t left = source->bytes.len - source->at;

    (void)reader;
    if (count < 0)
        return 0;
    if ((uint64_t)count > left)
        count = (la_int64_t)left;
    source->at += (size_t)count;
    return count;
}

static la_int64_t on_seek(struct archive *reader, void *owner, la_int64_t offset, int whence)
{
    struct source *source = owner;
    la_int64_t base = whence == SEEK_SET   ? 0
                      : whence == SEEK_CUR ? (la_int64_t)source->at
                                           : (la_int64_t)source->bytes.len;

    (void)reader;
    if (!spam_budget_take(source->budget, PIECE))
        return ARCHIVE_FATAL;
    offset += base;
    if (offset < 0)
        offset = 0;
    if (offset > (la_int64_t)source->bytes.len)
        offset = (la_int64_t)source->bytes.len;
    source->at = (size_t)offset;
    return offset;
}

static bool choose(struct archive *reader, enum spam_content kind)
{
    if (kind == SPAM_CONTENT_BZIP2)
        return archive_read_support_filter_bzip2(reader) == ARCHIVE_OK &&
               archive_read_support_format_raw(reader) == ARCHIVE_OK;
    if (kind == SPAM_CONTENT_CAB)
        return archive_read_support_format_cab(reader) == ARCHIVE_OK;
    if (kind == SPAM_CONTENT_ISO)
        return archive_read_support_format_iso9660(reader) == ARCHIVE_OK;
    return kind == SPAM_CONTENT_RAR &&
           archive_read_support_format_rar(reader) == ARCHIVE_OK &&
           archive_read_support_format_rar5(reader) == ARCHIVE_OK;
}

static struct str name_of(struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);

    if (name == NULL)
        name = archive_entry_pathname_utf8(entry);
    return name == NULL ? STR("") : str_upto(str_from_c(name), NAME_MAX_BYTES);
}

static void read_entry(struct spam_archive *archive, struct archive *reader, struct str name,
                       const struct source *source, unsigned depth)
{
    size_t room = unpack_room(archive, SPAM_CONTENT_HEAD), len = 0;
    bool is_whole = false;
    char *out;

    if (room == 0)
        return;
    out = mem_room(room);
    for (;;) {
        la_ssize_t got = archive_read_data(reader, out + len, room - len);
        size_t more;

        if (got <= 0) {
            is_whole = got == 0;
            break;
        }
        len += (size_t)got;
        if (len < room)
            continue;
        unpack_note_growth(archive, source->at, len, source->bytes.len);
        if (archive->is_bomb || room >= SPAM_ARCHIVE_NESTED_MAX ||
            !(unpack_grows_fast(source->at, len) || unpack_wants_all(str_make(out, len))))
            break;
        more = unpack_room(archive, room);
        if (more == 0)
            break;
        out = mem_resize(out, room + more, 1);
        room += more;
    }
    if (!archive->is_bomb)
        unpack_content(archive, name, str_make(out, len), is_whole, depth);
    mem_free(&out);
}

void unpack_other(struct spam_archive *archive, enum spam_content kind, struct str bytes,
                  unsigned depth)
{
    struct source source = {.budget = archive->budget, .bytes = bytes};
    struct archive *reader = archive_read_new();
    struct archive_entry *entry;
    uint64_t claimed = 0;
    int status;

    if (reader == NULL)
        return;
    archive->is_unread |= kind == SPAM_CONTENT_RAR;
    if (!choose(reader, kind) || archive_read_set_read_callback(reader, on_read) != ARCHIVE_OK ||
        archive_read_set_skip_callback(reader, on_skip) != ARCHIVE_OK ||
        archive_read_set_seek_callback(reader, on_seek) != ARCHIVE_OK ||
        archive_read_set_callback_data(reader, &source) != ARCHIVE_OK ||
        archive_read_open1(reader) < ARCHIVE_WARN) {
        archive->is_unread = true;
        archive_read_free(reader);
        return;
    }
    while ((status = archive_read_next_header(reader, &entry)) >= ARCHIVE_WARN &&
           status != ARCHIVE_EOF) {
        struct str name = name_of(entry);

        if (!unpack_name(archive, name))
            break;
        if (archive_entry_size_is_set(entry) && archive_entry_size(entry) > 0)
            claimed += (uint64_t)archive_entry_size(entry);
        if (archive_entry_is_encrypted(entry) == 1)
            archive->is_encrypted = true;
        else if (kind != SPAM_CONTENT_RAR)
            read_entry(archive, reader, name, &source, depth);
        /* A bzip2 file has one entry: asking for the next unpacks all of it. */
        if (archive->is_bomb || archive->budget->is_spent || kind == SPAM_CONTENT_BZIP2)
            break;
    }
    if (status < ARCHIVE_WARN && status != ARCHIVE_EOF)
        archive->is_unread = true;
    if (archive_read_has_encrypted_entries(reader) > 0)
        archive->is_encrypted = true;
    archive_read_free(reader);
    unpack_note_claim(archive, claimed, bytes.len);
}
