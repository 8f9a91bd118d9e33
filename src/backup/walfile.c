#include "backup/walfile.h"

#include "backup/bytes.h"
#include "base/file.h"
#include "base/memory.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 32,
    FRAME_HEADER_BYTES = 24,
    MAGIC = 0x377f0682, /* the lowest bit: checksums of big-endian words */
    PAGE_BYTES_MIN = 512,
    PAGE_BYTES_MAX = 65536,
    ROOM_BYTES = 256 * 1024, /* frames are read so many at once */
};

static void add_sum(const struct walfile *wal, const unsigned char *bytes, size_t len,
                    uint32_t sum[2])
{
    uint32_t s1 = sum[0], s2 = sum[1];

    if (wal->is_big_endian) {
        for (size_t i = 0; i < len; i += 8) {
            s1 += get_be32(bytes + i) + s2;
            s2 += get_be32(bytes + i + 4) + s1;
        }
    } else {
        for (size_t i = 0; i < len; i += 8) {
            uint32_t words[2]; /* one load, not eight: this is most of what reading costs */

            memcpy(words, bytes + i, sizeof(words));
            s1 += le32toh(words[0]) + s2;
            s2 += le32toh(words[1]) + s1;
        }
    }
    sum[0] = s1;
    sum[1] = s2;
}

/* Of a file that may be shorter: *out_len is what there was. */
static enum err read_at(struct walfile *wal, struct task *task, uint64_t at, size_t len,
                        size_t *out_len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t got = pread(wal->fd, wal->room + done, len - done, (off_t)(at + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(task, ERR_IO, "log: read: %s", strerror(errno));
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *out_len = done;
    return ERR_OK;
}

/* Puts `place` to the log's beginning. */
static enum err read_header(struct walfile *wal, struct task *task)
{
    const unsigned char *header = wal->room;
    uint32_t magic, sum[2] = {0, 0};
    size_t len;

    TRY(read_at(wal, task, 0, HEADER_BYTES, &len));
    if (len == 0)
        return fail(task, ERR_NOT_FOUND, "log: it is empty");
    magic = get_be32(header);
    if (len < HEADER_BYTES || (magic & ~1u) != MAGIC)
        return fail(task, ERR_CORRUPT, "log: not SQLite's");
    wal->is_big_endian = (magic & 1) != 0;
    wal->page_bytes = get_be32(header + 8);
    if (wal->page_bytes < PAGE_BYTES_MIN || wal->page_bytes > PAGE_BYTES_MAX ||
        (wal->page_bytes & (wal->page_bytes - 1)) != 0)
        return fail(task, ERR_CORRUPT, "log: an impossible page size");
    add_sum(wal, header, 24, sum);
    if (sum[0] != get_be32(header + 24) || sum[1] != get_be32(header + 28))
        return fail(task, ERR_CORRUPT, "log: its header does not match its checksum");
    wal->place = (struct walfile_place){{get_be32(header + 16), get_be32(header + 20)}, 0};
    memcpy(wal->sum, sum, sizeof(sum));
    return ERR_OK;
}

enum err walfile_open(struct task *task, const char *path, struct walfile *out)
{
    enum err err;

    memset(out, 0, sizeof(*out));
    out->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (out->fd < 0 && errno == ENOENT)
        return fail(task, ERR_NOT_FOUND, "log: there is none");
    if (out->fd < 0)
        return fail(task, ERR_IO, "log: open: %s", strerror(errno));
    out->room = mem_room(ROOM_BYTES);
    err = read_header(out, task);
    if (err != ERR_OK)
        walfile_close(out);
    return err;
}

void walfile_close(struct walfile *wal)
{
    if (wal->room != NULL)
        fd_close(&wal->fd);
    mem_free(&wal->room);
    wal->fd = -1;
}

enum err walfile_look(struct walfile *wal, struct task *task, bool *out_is_other)
{
    const struct walfile before = *wal;

    TRY(read_header(wal, task));
    *out_is_other = wal->place.salt[0] != before.place.salt[0] ||
                    wal->place.salt[1] != before.place.salt[1];
    if (!*out_is_other)
        *wal = before;
    return ERR_OK;
}

static uint64_t frame_at(const struct walfile *wal, uint32_t frame)
{
    return HEADER_BYTES + (uint64_t)frame * (FRAME_HEADER_BYTES + wal->page_bytes);
}

/* The frame is this log's, and what was committed. Goes on past it. */
static bool take_frame(struct walfile *wal, const unsigned char *header)
{
    uint32_t sum[2] = {wal->sum[0], wal->sum[1]};

    if (get_be32(header) == 0 || get_be32(header + 8) != wal->place.salt[0] ||
        get_be32(header + 12) != wal->place.salt[1])
        return false;
    add_sum(wal, header, 8, sum);
    add_sum(wal, header + FRAME_HEADER_BYTES, wal->page_bytes, sum);
    if (sum[0] != get_be32(header + 16) || sum[1] != get_be32(header + 20))
        return false;
    memcpy(wal->sum, sum, sizeof(sum));
    wal->place.frames++;
    return true;
}

enum err walfile_read(struct walfile *wal, struct task *task, uint32_t frames,
                      walfile_on_frame on_frame, void *owner)
{
    size_t frame_bytes = FRAME_HEADER_BYTES + wal->page_bytes;
    uint32_t most = (uint32_t)(ROOM_BYTES / frame_bytes);

    while (wal->place.frames < frames) {
        uint32_t count = frames - wal->place.frames < most ? frames - wal->place.frames : most;
        size_t len;

        TRY(read_at(wal, task, frame_at(wal, wal->place.frames), count * frame_bytes, &len));
        for (uint32_t i = 0; i < count; i++) {
            const unsigned char *header = wal->room + i * frame_bytes;
            struct walfile_frame frame;

            if ((i + 1) * frame_bytes > len || !take_frame(wal, header))
                return fail(task, ERR_CORRUPT, "log: frame %u is not what was committed",
                            wal->place.frames + 1);
            frame.page = get_be32(header);
            frame.db_pages = get_be32(header + 4);
            frame.bytes = str_make(header + FRAME_HEADER_BYTES, wal->page_bytes);
            TRY(on_frame(owner, task, &frame));
        }
    }
    return ERR_OK;
}

static enum err pass_over(void *owner, struct task *task, const struct walfile_frame *frame)
{
    (void)owner;
    (void)task;
    (void)frame;
    return ERR_OK;
}

/* Every frame before it is compared, too: after a power cut one of them may be lost though later ones are
 * there, and then SQLite's log ends before it. */
enum err walfile_seek(struct walfile *wal, struct task *task, const struct walfile_place *place)
{
    enum err err;

    TRY(read_header(wal, task));
    if (memcmp(wal->place.salt, place->salt, sizeof(place->salt)) != 0)
        return fail(task, ERR_NOT_FOUND, "log: it has begun anew");
    err = walfile_read(wal, task, place->frames, pass_over, NULL);
    if (err != ERR_CORRUPT)
        return err;
    task_forgive(task);
    return fail(task, ERR_NOT_FOUND, "log: it ends before what was read");
}

enum err walfile_find_end(struct walfile *wal, struct task *task, uint32_t *out_frames)
{
    size_t frame_bytes = FRAME_HEADER_BYTES + wal->page_bytes;
    const struct walfile before = *wal;
    uint32_t end = wal->place.frames;
    enum err err;
    size_t len;

    while ((err = read_at(wal, task, frame_at(wal, wal->place.frames), frame_bytes, &len)) ==
               ERR_OK &&
           len == frame_bytes && take_frame(wal, wal->room)) {
        if (get_be32(wal->room + 4) != 0)
            end = wal->place.frames;
    }
    *wal = before;
    *out_frames = end;
    return err;
}
