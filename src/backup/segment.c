#include "backup/segment.h"

#include "backup/bytes.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/hasher.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 8 + 24 + 24 + 8 + 4 + 4 + CRYPT_HASH_BYTES,
    COMMIT_BYTES = 4 + 4 + 8 + 8,
    TRAILER_BYTES = 4 + 4 + 4 + 4 + 8 + 8 + 8,
    END_MARK = 0xffffffff,
    ROOM_BYTES = 128 * 1024,
    PAGE_BYTES_MIN = 512,
    PAGE_BYTES_MAX = 65536,
};

static const char magic[8] = "SPLOG02\n", old_magic[8] = "SPLOG01\n";

struct secret *segment_key(const struct secret *mailbox_key)
{
    return crypt_derive(mailbox_key, STR("sealpost log shipping"), STR(""));
}

void segment_chain_start(const struct secret *key, const struct id *generation,
                         unsigned char out[static CRYPT_HASH_BYTES])
{
    crypt_hash(secret_str(key), STR("sealpost generation"), id_str(generation), out);
}

static void mac_of(const struct secret *key, enum hasher_kind kind, const struct hasher *hash,
                   unsigned char out[CRYPT_HASH_BYTES])
{
    struct str label = kind == HASHER_SHA256 ? STR("sealpost segment 2") : STR("sealpost segment");
    unsigned char digest[CRYPT_HASH_BYTES];

    hasher_digest(hash, digest);
    crypt_hash(secret_str(key), label, str_make(digest, CRYPT_HASH_BYTES), out);
}

/* --- Writing --- */

struct segment_writer {
    int fd;           /* borrowed */
    struct buf held;     /* own: not yet written */
    uint64_t size_bytes; /* with what is held */
    struct hasher *hash; /* own: for the MAC, then the object's digest; of the file, up to hashed_bytes */
    uint64_t hashed_bytes;
    uint32_t page_bytes;
    bool is_open_commit; /* pages were put since the last commit */
    struct segment_summary summary;
};

static enum err flush(struct segment_writer *writer, struct task *task)
{
    struct str held = buf_str(&writer->held);

    TRY(fd_write_all(task, writer->fd, held));
    buf_truncate(&writer->held, 0);
    return ERR_OK;
}

static enum err put(struct segment_writer *writer, struct task *task, struct str bytes)
{
    buf_put(&writer->held, bytes);
    writer->size_bytes += bytes.len;
    return writer->held.len >= ROOM_BYTES ? flush(writer, task) : ERR_OK;
}

enum err segment_writer_new(struct task *task, int fd, const struct segment_head *head,
                            struct segment_writer **out_writer)
{
    CLEANUP(segment_writer_free) struct segment_writer *writer = NEW(struct segment_writer);
    unsigned char bytes[HEAD_BYTES] = {0}, *at = bytes;

    writer->fd = fd;
    writer->hash = hasher_new(HASHER_SHA256);
    writer->page_bytes = head->page_bytes;
    buf_init(&writer->held, SIZE_MAX);
    memcpy(at, magic, 8);
    memcpy(at + 8, head->mailbox.text, ID_TEXT_LEN);
    memcpy(at + 32, head->generation.text, ID_TEXT_LEN);
    put_le(at + 56, head->number, 8);
    put_le(at + 64, head->page_bytes, 4);
    memcpy(at + 72, head->previous, CRYPT_HASH_BYTES);
    TRY(put(writer, task, str_make(bytes, sizeof(bytes))));
    *out_writer = writer;
    writer = NULL;
    return ERR_OK;
}

void segment_writer_free(struct segment_writer **writer)
{
    if (*writer == NULL)
        return;
    hasher_free(&(*writer)->hash);
    buf_free(&(*writer)->held);
    mem_free(writer);
}

enum err segment_put_page(struct segment_writer *writer, struct task *task, uint32_t page,
                          struct str bytes)
{
    unsigned char number[4];

    assert(page != 0 && page != END_MARK && bytes.len == writer->page_bytes);
    put_le(number, page, 4);
    TRY(put(writer, task, str_make(number, sizeof(number))));
    TRY(put(writer, task, bytes));
    writer->summary.frames++;
    writer->is_open_commit = true;
    return ERR_OK;
}

enum err segment_put_commit(struct segment_writer *writer, struct task *task,
                            const struct segment_commit *commit)
{
    unsigned char bytes[COMMIT_BYTES] = {0};
    struct segment_summary *summary = &writer->summary;

    put_le(bytes + 4, commit->db_pages, 4);
    put_le(bytes + 8, (uint64_t)commit->time_ms, 8);
    put_le(bytes + 16, commit->change_counter, 8);
    if (summary->commits == 0)
        summary->first_ms = commit->time_ms;
    summary->last_ms = commit->time_ms;
    summary->change_counter = commit->change_counter;
    summary->commits++;
    writer->is_open_commit = false;
    return put(writer, task, str_make(bytes, sizeof(bytes)));
}

uint64_t segment_unhashed(const struct segment_writer *writer)
{
    return writer->size_bytes - writer->hashed_bytes;
}

/* Up to `most` bytes of what is in the file. */
static enum err hash(struct segment_writer *writer, struct task *task, uint64_t most)
{
    uint64_t left = writer->size_bytes - writer->held.len - writer->hashed_bytes;
    CLEANUP(mem_free) char *room = mem_room(ROOM_BYTES);

    if (left > most)
        left = most;
    while (left > 0) {
        size_t len = left < ROOM_BYTES ? (size_t)left : ROOM_BYTES;
        ssize_t got = pread(writer->fd, room, len, (off_t)writer->hashed_bytes);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail(task, ERR_IO, "segment: read: %s",
                        got < 0 ? strerror(errno) : "it became shorter");
        hasher_add(writer->hash, str_make(room, (size_t)got));
        writer->hashed_bytes += (uint64_t)got;
        left -= (uint64_t)got;
    }
    return ERR_OK;
}

enum err segment_hash_some(struct segment_writer *writer, struct task *task)
{
    return hash(writer, task, SEGMENT_HASH_BYTES);
}

enum err segment_finish(struct segment_writer *writer, struct task *task, const struct secret *key,
                        struct segment_summary *out_summary,
                        unsigned char out_digest[static CRYPT_HASH_BYTES], uint64_t *out_size_bytes)
{
    struct segment_summary *summary = &writer->summary;
    unsigned char bytes[TRAILER_BYTES] = {0};

    assert(summary->commits > 0 && !writer->is_open_commit);
    put_le(bytes, END_MARK, 4);
    put_le(bytes + 4, summary->commits, 4);
    put_le(bytes + 8, summary->frames, 4);
    put_le(bytes + 16, (uint64_t)summary->first_ms, 8);
    put_le(bytes + 24, (uint64_t)summary->last_ms, 8);
    put_le(bytes + 32, summary->change_counter, 8);
    TRY(put(writer, task, str_make(bytes, sizeof(bytes))));
    TRY(hash(writer, task, UINT64_MAX));
    hasher_add(writer->hash, buf_str(&writer->held));
    mac_of(key, HASHER_SHA256, writer->hash, summary->mac);
    TRY(put(writer, task, str_make(summary->mac, sizeof(summary->mac))));
    TRY(flush(writer, task));
    hasher_add(writer->hash, str_make(summary->mac, sizeof(summary->mac)));
    hasher_digest(writer->hash, out_digest);
    *out_summary = *summary;
    *out_size_bytes = writer->size_bytes;
    return ERR_OK;
}

enum err segment_move(struct segment_writer *writer, struct task *task, int fd)
{
    CLEANUP(mem_free) char *room = mem_room(ROOM_BYTES);
    off_t at = 0;

    TRY(flush(writer, task));
    for (;;) {
        ssize_t got = pread(writer->fd, room, ROOM_BYTES, at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(task, ERR_IO, "segment: read: %s", strerror(errno));
        if (got == 0)
            break;
        TRY(fd_write_all(task, fd, str_make(room, (size_t)got)));
        at += got;
    }
    writer->fd = fd;
    return ERR_OK;
}

uint32_t segment_commits(const struct segment_writer *writer)
{
    return writer->summary.commits;
}

uint64_t segment_size(const struct segment_writer *writer)
{
    return writer->size_bytes;
}

/* --- Reading --- */

/* A file that is read from its beginning to its end, a piece at a time. */
struct reader {
    int fd;
    uint64_t at, size; /* of what comes next; of what may be read */
    unsigned char *room;
    size_t start, len; /* what is in the room */
};

static void reader_done(struct reader *reader)
{
    mem_free(&reader->room);
}

static enum err reader_init(struct task *task, int fd, struct reader *out)
{
    struct stat status;

    *out = (struct reader){.fd = fd};
    if (fstat(fd, &status) != 0)
        return fail(task, ERR_IO, "segment: %s", strerror(errno));
    out->size = (uint64_t)status.st_size;
    out->room = mem_room(ROOM_BYTES);
    return ERR_OK;
}

/* `len` bytes (at most ROOM_BYTES), borrowed until the next call. */
static enum err take(struct reader *reader, struct task *task, size_t len,
                     const unsigned char **out)
{
    if (reader->size - reader->at + reader->len < len)
        return fail(task, ERR_CORRUPT, "segment: it is cut short");
    if (reader->len < len) {
        memmove(reader->room, reader->room + reader->start, reader->len);
        reader->start = 0;
        while (reader->len < len) {
            size_t most = ROOM_BYTES - reader->len;
            ssize_t got;

            if (reader->size - reader->at < most)
                most = (size_t)(reader->size - reader->at);
            got = pread(reader->fd, reader->room + reader->len, most, (off_t)reader->at);
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0)
                return fail(task, ERR_IO, "segment: read: %s",
                            got < 0 ? strerror(errno) : "it became shorter");
            reader->len += (size_t)got;
            reader->at += (uint64_t)got;
        }
    }
    *out = reader->room + reader->start;
    reader->start += len;
    reader->len -= len;
    return ERR_OK;
}

static enum err read_head(struct reader *reader, struct task *task, struct segment_head *out)
{
    const unsigned char *bytes;

    TRY(take(reader, task, HEAD_BYTES, &bytes));
    if (memcmp(bytes, magic, sizeof(magic)) != 0 && memcmp(bytes, old_magic, sizeof(magic)) != 0)
        return fail(task, ERR_CORRUPT, "segment: not one, or of another version");
    out->number = get_le(bytes + 56, 8);
    out->page_bytes = (uint32_t)get_le(bytes + 64, 4);
    memcpy(out->previous, bytes + 72, CRYPT_HASH_BYTES);
    if (!id_parse(str_make(bytes + 8, ID_TEXT_LEN), &out->mailbox) ||
        !id_parse(str_make(bytes + 32, ID_TEXT_LEN), &out->generation) || out->number == 0 ||
        out->page_bytes < PAGE_BYTES_MIN || out->page_bytes > PAGE_BYTES_MAX ||
        (out->page_bytes & (out->page_bytes - 1)) != 0)
        return fail(task, ERR_CORRUPT, "segment: its head makes no sense");
    return ERR_OK;
}

static enum err check_mac(struct task *task, int fd, const struct secret *key,
                          struct segment_summary *out)
{
    CLEANUP(hasher_free) struct hasher *hash = NULL;
    CLEANUP(reader_done) struct reader reader;
    const unsigned char *bytes;
    enum hasher_kind kind;

    TRY(reader_init(task, fd, &reader));
    if (reader.size < HEAD_BYTES + COMMIT_BYTES + TRAILER_BYTES + CRYPT_HASH_BYTES)
        return fail(task, ERR_CORRUPT, "segment: it is cut short");
    TRY(take(&reader, task, sizeof(magic), &bytes));
    kind = memcmp(bytes, old_magic, sizeof(magic)) == 0 ? HASHER_BLAKE2B : HASHER_SHA256;
    hash = hasher_new(kind);
    hasher_add(hash, str_make(bytes, sizeof(magic)));
    for (uint64_t left = reader.size - sizeof(magic) - CRYPT_HASH_BYTES; left > 0;) {
        size_t len = left < ROOM_BYTES / 2 ? (size_t)left : ROOM_BYTES / 2;

        TRY(take(&reader, task, len, &bytes));
        hasher_add(hash, str_make(bytes, len));
        left -= len;
    }
    mac_of(key, kind, hash, out->mac);
    TRY(take(&reader, task, CRYPT_HASH_BYTES, &bytes));
    if (!secret_equal(str_make(bytes, CRYPT_HASH_BYTES), str_make(out->mac, CRYPT_HASH_BYTES)))
        return fail(task, ERR_CORRUPT, "segment: it was altered, or is not this mailbox's");
    return ERR_OK;
}

/* One record; the trailer is one, too. */
struct record {
    uint32_t page; /* 0: a commit; END_MARK: the end */
    struct str bytes;
    struct segment_commit commit;
};

static enum err read_record(struct reader *reader, struct task *task, uint32_t page_bytes,
                            struct record *out)
{
    const unsigned char *bytes;

    TRY(take(reader, task, 4, &bytes));
    out->page = (uint32_t)get_le(bytes, 4);
    if (out->page == END_MARK)
        return ERR_OK;
    if (out->page == 0) {
        TRY(take(reader, task, COMMIT_BYTES - 4, &bytes));
        out->commit = (struct segment_commit){(uint32_t)get_le(bytes, 4),
                                              (int64_t)get_le(bytes + 4, 8), get_le(bytes + 12, 8)};
        return ERR_OK;
    }
    TRY(take(reader, task, page_bytes, &bytes));
    out->bytes = str_make(bytes, page_bytes);
    return ERR_OK;
}

static enum err read_trailer(struct reader *reader, struct task *task, struct segment_summary *out)
{
    const unsigned char *bytes;

    TRY(take(reader, task, TRAILER_BYTES - 4, &bytes));
    out->commits = (uint32_t)get_le(bytes, 4);
    out->frames = (uint32_t)get_le(bytes + 4, 4);
    out->first_ms = (int64_t)get_le(bytes + 12, 8);
    out->last_ms = (int64_t)get_le(bytes + 20, 8);
    out->change_counter = get_le(bytes + 28, 8);
    TRY(take(reader, task, CRYPT_HASH_BYTES, &bytes));
    if (reader->len > 0 || reader->at < reader->size)
        return fail(task, ERR_CORRUPT, "segment: something follows it");
    return ERR_OK;
}

/* What has a good MAC was made by us; a mistake of ours must not become a wrong page all the same. */
static enum err check_records(struct task *task, int fd, struct segment_head *head,
                              struct segment_summary *summary)
{
    CLEANUP(reader_done) struct reader reader;
    uint32_t commits = 0, frames = 0, db_pages = 0, highest = 0;
    struct record record = {.page = 0};

    TRY(reader_init(task, fd, &reader));
    TRY(read_head(&reader, task, head));
    for (bool is_open = false;;) {
        TRY(read_record(&reader, task, head->page_bytes, &record));
        if (record.page == END_MARK && is_open)
            return fail(task, ERR_CORRUPT, "segment: its last commit is not whole");
        if (record.page == END_MARK)
            break;
        is_open = record.page != 0;
        if (record.page != 0) {
            frames++;
            highest = record.page > highest ? record.page : highest;
            continue;
        }
        commits++;
        db_pages = record.commit.db_pages;
        if (db_pages == 0 || highest > INT32_MAX)
            return fail(task, ERR_CORRUPT, "segment: a commit makes no sense");
        highest = 0;
    }
    TRY(read_trailer(&reader, task, summary));
    if (summary->commits != commits || summary->frames != frames || commits == 0)
        return fail(task, ERR_CORRUPT, "segment: its counts are wrong");
    return ERR_OK;
}

enum err segment_check(struct task *task, int fd, const struct secret *key,
                       struct segment_head *out_head, struct segment_summary *out_summary)
{
    TRY(check_mac(task, fd, key, out_summary));
    return check_records(task, fd, out_head, out_summary);
}

/* Where the commit's own record is: behind its pages. */
static enum err look_ahead(struct task *task, int fd, uint64_t at, uint32_t page_bytes,
                           bool *out_is_end, struct segment_commit *out)
{
    unsigned char bytes[COMMIT_BYTES];

    for (;; at += 4 + (uint64_t)page_bytes) {
        ssize_t got = pread(fd, bytes, sizeof(bytes), (off_t)at);
        uint32_t page;

        if (got != (ssize_t)sizeof(bytes))
            return fail(task, ERR_IO, "segment: read");
        page = (uint32_t)get_le(bytes, 4);
        *out_is_end = page == END_MARK;
        if (page == END_MARK)
            return ERR_OK;
        if (page != 0)
            continue;
        *out = (struct segment_commit){(uint32_t)get_le(bytes + 4, 4),
                                       (int64_t)get_le(bytes + 8, 8), get_le(bytes + 16, 8)};
        return ERR_OK;
    }
}

enum err segment_read(struct task *task, int fd, const struct segment_head *head,
                      const struct segment_sink *sink, void *owner, bool *out_is_ended)
{
    CLEANUP(reader_done) struct reader reader;
    struct segment_head again;
    struct record record;
    bool is_end;

    *out_is_ended = false;
    TRY(reader_init(task, fd, &reader));
    TRY(read_head(&reader, task, &again));
    for (;;) {
        struct segment_commit commit = {0};

        TRY(look_ahead(task, fd, reader.at - reader.len, head->page_bytes, &is_end, &commit));
        if (is_end)
            return ERR_OK;
        if (!sink->is_wanted(owner, &commit)) {
            *out_is_ended = true;
            return ERR_OK;
        }
        for (;;) {
            TRY(read_record(&reader, task, head->page_bytes, &record));
            if (record.page == 0)
                break;
            TRY(sink->on_page(owner, task, record.page, record.bytes));
        }
        TRY(sink->on_commit(owner, task, &commit));
    }
}
