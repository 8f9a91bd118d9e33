/*
 * Segments of a destination that is not ours to trust. One is read only after its MAC; so the target
 * has two halves: the bytes as they are, which must be refused in words, and the same bytes under a
 * MAC that fits, whose records must be taken or refused without reading past anything.
 */
#include "backup/segment.h"
#include "base/clock.h"
#include "base/file.h"
#include "secret/hasher.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err on_page(void *owner, struct task *task, uint32_t page, struct str bytes)
{
    (void)task;
    if (page == 0 || bytes.len < 512)
        abort();
    ++*(uint32_t *)owner;
    return ERR_OK;
}

static enum err on_commit(void *owner, struct task *task, const struct segment_commit *commit)
{
    (void)owner;
    (void)task;
    if (commit->db_pages == 0)
        abort();
    return ERR_OK;
}

static bool is_wanted(void *owner, const struct segment_commit *commit)
{
    (void)owner;
    (void)commit;
    return true;
}

static void try(const struct secret *key, struct str bytes)
{
    static const struct segment_sink sink = {on_page, on_commit, is_wanted};
    CLEANUP(fd_close) int fd = -1;
    struct segment_summary summary;
    struct segment_head head;
    uint32_t frames = 0;
    bool is_ended;
    struct task task;

    task_init(&task, 0);
    if (memfd_from(&task, bytes, &fd) == ERR_OK &&
        segment_check(&task, fd, key, &head, &summary) == ERR_OK) {
        if (segment_read(&task, fd, &head, &sink, &frames, &is_ended) != ERR_OK ||
            frames != summary.frames)
            abort();
    }
    task_done(&task);
}

static void try_signed(const struct secret *key, struct str bytes, struct str label,
                       enum hasher_kind kind)
{
    CLEANUP(hasher_free) struct hasher *hash = hasher_new(kind);
    unsigned char digest[CRYPT_HASH_BYTES], mac[CRYPT_HASH_BYTES];
    CLEANUP(buf_free) struct buf all;

    buf_init(&all, SIZE_MAX);
    hasher_add(hash, bytes);
    hasher_digest(hash, digest);
    crypt_hash(secret_str(key), label, str_make(digest, sizeof(digest)), mac);
    buf_put(&all, bytes);
    buf_put(&all, str_make(mac, sizeof(mac)));
    try(key, buf_str(&all));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct secret *key;
    struct str bytes = str_make(data, size);

    if (key == NULL) {
        secret_init();
        key = secret_copy(STR("a key of thirty-two bytes ......"));
    }
    if (size > 1024 * 1024)
        return 0;
    try(key, bytes);
    if (str_starts_with(bytes, STR("SPLOG01\n")))
        try_signed(key, bytes, STR("sealpost segment"), HASHER_BLAKE2B);
    else
        try_signed(key, bytes, STR("sealpost segment 2"), HASHER_SHA256);
    return 0;
}
