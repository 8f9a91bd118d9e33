#include "backup/fixture.h"

#include "backup/directory.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/scratch.h"
#include "secret/hasher.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONTENT_MAX = 256 * 1024 * 1024 };

void fixture_make_root(char out[static FIXTURE_ROOT_ROOM], const char *name)
{
    scratch_folder(out, FIXTURE_ROOT_ROOM, name);
}

int fixture_remove_root(const char *root)
{
    char command[FIXTURE_ROOT_ROOM + 10];

    (void)snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command);
}

void fixture_open(struct backup_fixture *fixture, const char *folder)
{
    struct task task;

    task_init(&task, clock_now_ms());
    if (fixture->loop == NULL)
        fixture->loop = net_loop_new();
    if ((mkdir(folder, 0700) != 0 && errno != EEXIST) ||
        backup_directory_open(fixture->loop, &task, folder, &fixture->destination) != ERR_OK)
        abort();
    task_done(&task);
}

void fixture_done(struct backup_fixture *fixture)
{
    backup_destination_free(&fixture->destination);
    net_loop_free(&fixture->loop);
    buf_free(&fixture->content);
    buf_free(&fixture->names);
}

/* Text of numbers; any two seeds differ everywhere. */
static void put_content(struct buf *out, size_t size, unsigned seed)
{
    size_t start = out->len;
    char *room;

    if (buf_reserve(out, size + 1, &room) != ERR_OK)
        abort();
    for (size_t i = 0; i < size; i++)
        room[i] = (char)((i * 31 + (i >> 9) + seed * 7) & 0xff);
    buf_commit(out, size);
    assert(out->len == start + size);
}

int fixture_memfd(size_t size, unsigned seed, struct buf *copy)
{
    CLEANUP(buf_free) struct buf content;
    struct task task;
    int fd = memfd_create("object", MFD_CLOEXEC);

    task_init(&task, 0);
    buf_init(&content, SIZE_MAX);
    put_content(&content, size, seed);
    if (fd < 0 || fd_write_all(&task, fd, buf_str(&content)) != ERR_OK)
        abort();
    if (copy != NULL)
        buf_put(copy, buf_str(&content));
    task_done(&task);
    return fd;
}

void fixture_on_done(void *owner, struct backup_result *result)
{
    struct backup_fixture *fixture = owner;
    struct task task;

    task_init(&task, 0);
    buf_reset(&fixture->content);
    buf_reset(&fixture->names);
    fixture->is_done = true;
    fixture->err = result->err;
    (void)snprintf(fixture->words, sizeof(fixture->words), "%s", result->words);
    if (result->err == ERR_OK && result->fd >= 0) {
        if (fd_read_all(&task, result->fd, CONTENT_MAX, &fixture->content) != ERR_OK ||
            fixture->content.len != result->size_bytes)
            abort();
        memcpy(fixture->digest, result->digest, sizeof(fixture->digest));
    }
    for (size_t i = 0; i < result->object_count; i++)
        buf_putf(&fixture->names, "%.*s\n", STR_ARG(result->objects[i].name));
    buf_put(&fixture->names, str_make("", 1)); /* a C string, too */
    buf_truncate(&fixture->names, fixture->names.len - 1);
    fixture->is_last = result->is_last;
    task_done(&task);
    net_loop_stop(fixture->loop);
}

static enum err wait_for(struct backup_fixture *fixture)
{
    net_loop_run(fixture->loop);
    assert(fixture->is_done);
    return fixture->err;
}

static void begin(struct backup_fixture *fixture)
{
    if (fixture->content.limit == 0) {
        buf_init(&fixture->content, CONTENT_MAX);
        buf_init(&fixture->names, SIZE_MAX);
    }
    fixture->is_done = false;
}

enum err fixture_put_fd(struct backup_fixture *fixture, const char *name, int fd, uint64_t size,
                        const unsigned char *digest)
{
    struct backup_put put = {
        .name = str_from_c(name), .fd = fd, .size_bytes = size, .digest = digest};

    begin(fixture);
    (void)backup_put(fixture->destination, &put, fixture_on_done, fixture);
    return wait_for(fixture);
}

enum err fixture_put(struct backup_fixture *fixture, const char *name, size_t size, unsigned seed)
{
    CLEANUP(buf_free) struct buf content;
    CLEANUP(fd_close) int fd = -1;
    unsigned char digest[CRYPT_HASH_BYTES];

    buf_init(&content, SIZE_MAX);
    fd = fixture_memfd(size, seed, &content);
    hasher_sha256(buf_str(&content), digest);
    return fixture_put_fd(fixture, name, fd, size, digest);
}

enum err fixture_get(struct backup_fixture *fixture, const char *name)
{
    begin(fixture);
    (void)backup_get(fixture->destination, str_from_c(name), fixture_on_done, fixture);
    return wait_for(fixture);
}

bool fixture_is(const struct backup_fixture *fixture, size_t size, unsigned seed)
{
    CLEANUP(buf_free) struct buf content;

    buf_init(&content, SIZE_MAX);
    put_content(&content, size, seed);
    return str_equal(buf_str(&content), buf_str(&fixture->content));
}

enum err fixture_list(struct backup_fixture *fixture, const char *prefix, const char *after,
                      size_t count_max)
{
    begin(fixture);
    (void)backup_list(fixture->destination, str_from_c(prefix), str_from_c(after), count_max,
                      fixture_on_done, fixture);
    return wait_for(fixture);
}

enum err fixture_delete(struct backup_fixture *fixture, const char *name)
{
    begin(fixture);
    (void)backup_delete(fixture->destination, str_from_c(name), BACKUP_GONE_NOW, fixture_on_done,
                        fixture);
    return wait_for(fixture);
}
