#include "dropbox/lane.h"

#include "base/encode.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where the fields of a slot begin. */
enum {
    AT_GENERATION = 8,
    AT_BOOT = 16,
    AT_BOOT_KEY = 24,
    AT_PUBLIC = 56,
    AT_CHECKSUM = 88,
};
_Static_assert(AT_CHECKSUM + CRYPT_HASH_BYTES == LANE_SLOT_BYTES, "slot layout");

static const char magic[8] = {'S', 'P', 'L', 'A', 'N', 'E', '0', '1'};

enum { PATH_ROOM = 4096 };

/* Over the lane's name too, so that a slot moved to another file is not taken for one of it. */
static void checksum(const unsigned char *bytes, const unsigned char *name,
                     unsigned char out[static CRYPT_HASH_BYTES])
{
    crypt_hash(str_make(name, DROPBOX_LANE_BYTES), STR("slot"), str_make(bytes, AT_CHECKSUM), out);
}

bool lane_slot_decode(const unsigned char bytes[static LANE_SLOT_BYTES],
                      const unsigned char name[static DROPBOX_LANE_BYTES], struct lane *out)
{
    unsigned char sum[CRYPT_HASH_BYTES];

    if (memcmp(bytes, magic, sizeof(magic)) != 0)
        return false;
    checksum(bytes, name, sum);
    if (memcmp(sum, bytes + AT_CHECKSUM, sizeof(sum)) != 0)
        return false;
    memcpy(out->place.lane, name, DROPBOX_LANE_BYTES);
    out->place.generation = chain_get_u64(bytes + AT_GENERATION);
    out->place.boot = chain_get_u64(bytes + AT_BOOT);
    memcpy(out->public, bytes + AT_PUBLIC, CRYPT_X25519_BYTES);
    secret_free(&out->boot_key);
    out->boot_key = secret_copy(str_make(bytes + AT_BOOT_KEY, CRYPT_KEY_BYTES));
    return true;
}

static enum err read_slot(struct task *task, int fd, int slot, unsigned char *bytes)
{
    size_t have = 0;

    while (have < LANE_SLOT_BYTES) {
        ssize_t got = pread(fd, bytes + have, LANE_SLOT_BYTES - have,
                            (off_t)slot * LANE_SLOT_STRIDE + (off_t)have);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(task, ERR_IO, "read lane: %s", strerror(errno));
        if (got == 0)
            break; /* cut short by a crash while it was made: no slot */
        have += (size_t)got;
    }
    memset(bytes + have, 0, LANE_SLOT_BYTES - have);
    return ERR_OK;
}

static bool is_newer(const struct chain_place *a, const struct chain_place *b)
{
    return a->generation != b->generation ? a->generation > b->generation : a->boot > b->boot;
}

/* Finds the newest valid slot of an open lane; its name is in lane->place. */
static enum err read_lane(struct lane *lane, struct task *task)
{
    CLEANUP(secret_free) struct secret *bytes = secret_new(LANE_SLOT_BYTES);

    lane->slot = -1;
    for (int slot = 0; slot < LANE_SLOT_COUNT; slot++) {
        CLEANUP(lane_close) struct lane found = {.fd = -1};

        TRY(read_slot(task, lane->fd, slot, secret_bytes(bytes)));
        if (!lane_slot_decode(secret_bytes(bytes), lane->place.lane, &found) ||
            (lane->slot >= 0 && !is_newer(&found.place, &lane->place)))
            continue;
        lane->slot = slot;
        lane->place = found.place;
        memcpy(lane->public, found.public, sizeof(lane->public));
        secret_free(&lane->boot_key);
        lane->boot_key = found.boot_key;
        found.boot_key = NULL;
    }
    return ERR_OK;
}

/* 32 lower-case hex digits, or it is no lane. */
static bool parse_name(const char *text, unsigned char out[static DROPBOX_LANE_BYTES])
{
    struct buf bytes;
    bool is_lane;

    if (strlen(text) != LANE_NAME_ROOM - 1 || strspn(text, "0123456789abcdef") != strlen(text))
        return false;
    buf_init(&bytes, DROPBOX_LANE_BYTES);
    is_lane = decode_hex(&bytes, str_from_c(text)) == ERR_OK;
    if (is_lane)
        memcpy(out, bytes.ptr, DROPBOX_LANE_BYTES);
    buf_free(&bytes);
    return is_lane;
}

static enum err lane_path(struct task *task, const char *drop_folder, const unsigned char *name,
                          char out[static PATH_ROOM])
{
    char hex[LANE_NAME_ROOM];

    for (size_t i = 0; i < DROPBOX_LANE_BYTES; i++)
        snprintf(hex + 2 * i, sizeof(hex) - 2 * i, "%02x", name[i]);
    if (snprintf(out, PATH_ROOM, "%s/lanes/%s", drop_folder, hex) >= PATH_ROOM)
        return fail(task, ERR_INVALID, "path too long");
    return ERR_OK;
}

static enum err open_named(struct task *task, const char *drop_folder, const unsigned char *name,
                           struct lane *out)
{
    char path[PATH_ROOM];

    TRY(lane_path(task, drop_folder, name, path));
    *out = (struct lane){.slot = -1};
    memcpy(out->place.lane, name, DROPBOX_LANE_BYTES);
    out->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (out->fd < 0)
        return fail(task, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open lane: %s",
                    strerror(errno));
    return read_lane(out, task);
}

enum err lane_open(struct task *task, const char *drop_folder, struct lane *out)
{
    CLEANUP(folder_close) DIR *folder = NULL;
    CLEANUP(lane_close) struct lane best = {.fd = -1, .slot = -1};
    unsigned char name[DROPBOX_LANE_BYTES];
    const struct dirent *entry;
    char path[PATH_ROOM];

    if (snprintf(path, sizeof(path), "%s/lanes", drop_folder) >= (int)sizeof(path))
        return fail(task, ERR_INVALID, "path too long");
    folder = opendir(path);
    if (folder == NULL)
        return fail(task, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open lanes: %s",
                    strerror(errno));
    while ((entry = readdir(folder)) != NULL) {
        CLEANUP(lane_close) struct lane lane = {.fd = -1};
        struct lane other;

        if (!parse_name(entry->d_name, name))
            continue;
        TRY(open_named(task, drop_folder, name, &lane));
        if (best.fd >= 0 && ((lane.slot >= 0) < (best.slot >= 0) ||
                             ((lane.slot >= 0) == (best.slot >= 0) &&
                              memcmp(lane.place.lane, best.place.lane, DROPBOX_LANE_BYTES) > 0)))
            continue;
        other = best;
        best = lane;
        lane = other;
    }
    if (best.fd < 0)
        return fail(task, ERR_NOT_FOUND, "no lane");
    *out = best;
    best = (struct lane){.fd = -1};
    return ERR_OK;
}

static enum err write_at(struct task *task, int fd, off_t offset, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t put = pwrite(fd, at, len, offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return fail(task, errno == ENOSPC || errno == EDQUOT ? ERR_LIMIT : ERR_IO,
                        "write lane: %s", strerror(errno));
        at += put;
        offset += put;
        len -= (size_t)put;
    }
    return ERR_OK;
}

static enum err sync_lane(struct task *task, int fd)
{
    if (fdatasync(fd) != 0)
        return fail(task, ERR_IO, "sync lane: %s", strerror(errno));
    return ERR_OK;
}

static enum err wipe_slot(struct task *task, int fd, int slot)
{
    static const unsigned char zeros[LANE_SLOT_STRIDE];

    return write_at(task, fd, (off_t)slot * LANE_SLOT_STRIDE, zeros, sizeof(zeros));
}

enum err lane_create(struct task *task, const char *drop_folder, struct lane *out)
{
    CLEANUP(lane_close) struct lane lane = {.fd = -1, .slot = -1};
    char path[PATH_ROOM], lanes[PATH_ROOM];

    if (snprintf(lanes, sizeof(lanes), "%s/lanes", drop_folder) >= (int)sizeof(lanes))
        return fail(task, ERR_INVALID, "path too long");
    TRY(dir_make(task, AT_FDCWD, lanes, true));
    random_bytes(lane.place.lane, DROPBOX_LANE_BYTES);
    TRY(lane_path(task, drop_folder, lane.place.lane, path));
    lane.fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lane.fd < 0)
        return fail(task, errno == ENOSPC ? ERR_LIMIT : ERR_IO, "create lane: %s", strerror(errno));
    /* Real zeros, not a hole: later writes go to blocks that exist, also on a full disk. */
    for (int slot = 0; slot < LANE_SLOT_COUNT; slot++)
        TRY(wipe_slot(task, lane.fd, slot));
    if (fsync(lane.fd) != 0)
        return fail(task, ERR_IO, "sync lane: %s", strerror(errno));
    TRY(dir_sync(task, AT_FDCWD, lanes));
    *out = lane;
    lane = (struct lane){.fd = -1};
    return ERR_OK;
}

void lane_close(struct lane *lane)
{
    fd_close(&lane->fd);
    secret_free(&lane->boot_key);
    *lane = (struct lane){.fd = -1, .slot = -1};
}

enum err lane_write(struct lane *lane, struct task *task, uint64_t generation, uint64_t boot,
                    const struct secret *boot_key,
                    const unsigned char public[static CRYPT_X25519_BYTES])
{
    CLEANUP(secret_free) struct secret *slot = secret_new(LANE_SLOT_BYTES);
    unsigned char *bytes = secret_bytes(slot);
    int next = lane->slot < 0 ? 0 : 1 - lane->slot;

    assert(secret_len(boot_key) == CRYPT_KEY_BYTES);
    memcpy(bytes, magic, sizeof(magic));
    chain_put_u64(bytes + AT_GENERATION, generation);
    chain_put_u64(bytes + AT_BOOT, boot);
    memcpy(bytes + AT_BOOT_KEY, secret_str(boot_key).ptr, CRYPT_KEY_BYTES);
    memcpy(bytes + AT_PUBLIC, public, CRYPT_X25519_BYTES);
    checksum(bytes, lane->place.lane, bytes + AT_CHECKSUM);

    TRY(write_at(task, lane->fd, (off_t)next * LANE_SLOT_STRIDE, bytes, LANE_SLOT_BYTES));
    TRY(sync_lane(task, lane->fd));
    TRY(wipe_slot(task, lane->fd, 1 - next));
    TRY(sync_lane(task, lane->fd));

    lane->slot = next;
    lane->place.generation = generation;
    lane->place.boot = boot;
    memmove(lane->public, public, CRYPT_X25519_BYTES);
    return ERR_OK;
}

enum err lane_take_boot(struct lane *lane, struct task *task, struct chain *out_chain)
{
    CLEANUP(secret_free) struct secret *next = secret_new(CRYPT_KEY_BYTES);
    CLEANUP(chain_done) struct chain chain = {.key = NULL};
    struct chain_place place = lane->place;

    if (lane->slot < 0)
        return fail(task, ERR_CORRUPT, "no slot of the lane is valid");
    chain_start(&chain, &place, lane->boot_key);
    chain_next_boot(&place, lane->boot_key, next);
    TRY(lane_write(lane, task, place.generation, place.boot + 1, next, lane->public));
    secret_free(&lane->boot_key);
    lane->boot_key = next;
    next = NULL;
    *out_chain = chain;
    chain = (struct chain){.key = NULL};
    return ERR_OK;
}
