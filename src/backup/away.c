#include "backup/away.h"

#include "backup/segment.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/hasher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void store(struct away *away, const char *name, int fd, uint64_t size,
                  const unsigned char *digest)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    unsigned char found[CRYPT_HASH_BYTES];
    size_t at = 0;
    struct task task;

    task_init(&task, 0);
    buf_init(&bytes, SIZE_MAX);
    assert_int_equal(fd_read_all(&task, fd, SIZE_MAX / 2, &bytes), ERR_OK);
    assert_int_equal(bytes.len, size);
    hasher_sha256(buf_str(&bytes), found);
    assert_memory_equal(found, digest, sizeof(found));
    while (at < away->count && strcmp(away->objects[at].name, name) != 0)
        at++;
    if (at == away->count) {
        assert_in_range(away->count, 0, AWAY_OBJECTS_MAX - 1);
        away->count++;
        snprintf(away->objects[at].name, sizeof(away->objects[at].name), "%s", name);
    } else {
        close(away->objects[at].fd);
    }
    assert_int_equal(memfd_from(&task, buf_str(&bytes), &away->objects[at].fd), ERR_OK);
    task_done(&task);
}

static void put(void *owner, const char *name, int fd, uint64_t size, const unsigned char *digest)
{
    struct away *away = owner;

    away->puts++;
    fd_close(&away->last_fd);
    away->last_fd = dup(fd);
    away->answer = away->is_down ? SHIPPER_AGAIN : SHIPPER_STORED;
    if (!away->is_down)
        store(away->into != NULL ? away->into : away, name, fd, size, digest);
    away->has_question = !away->is_lossy;
}

static void on_work(void *owner)
{
    (void)owner;
}

int64_t away_wait_to_begin(void *owner)
{
    return ((struct away *)owner)->wait_to_begin_ms;
}

int64_t away_last_size(const struct away *away)
{
    struct stat status;

    assert_int_equal(fstat(away->last_fd, &status), 0);
    return status.st_size;
}

void away_init(struct away *away, struct fixture *f)
{
    memset(away, 0, sizeof(*away));
    away->last_fd = -1;
    away->options = (struct shipper_options){.folder = f->folder,
                                             .mailbox = f->options.id,
                                             .key = f->key,
                                             .log = &f->log,
                                             .pending_max = SHIPPER_PENDING_MAX,
                                             .put = put,
                                             .on_work = on_work,
                                             .owner = away};
}

void away_done(struct away *away)
{
    for (size_t i = 0; i < away->count; i++)
        close(away->objects[i].fd);
    away->count = 0;
    fd_close(&away->last_fd);
}

void away_open(struct away *away, struct fixture *f)
{
    away->shipper = shipper_new(&f->task, &away->options);
    if (f->vault == NULL && vault_open(&f->task, &f->options, f->key, &f->vault) != ERR_OK)
        fail_msg("%s", f->task.words);
    shipper_attach(away->shipper, f->vault);
}

void away_settle(struct away *away, struct fixture *f)
{
    int64_t now_ms = clock_now_ms();

    (void)f;
    for (int i = 0; i < 5000; i++) {
        int64_t wait_ms;

        if (away->has_question) {
            away->has_question = false;
            shipper_answered(away->shipper, away->answer, now_ms);
        }
        wait_ms = shipper_run(away->shipper, now_ms);
        if (away->has_question)
            continue;
        if (wait_ms < 0 || (away->is_down && wait_ms > 0))
            return;
        if (shipper_is_copying(away->shipper))
            usleep(1000); /* a real child */
        else
            now_ms += wait_ms;
    }
    fail_msg("the shipper does not come to rest");
}

void away_close(struct away *away, struct fixture *f)
{
    shipper_before_close(away->shipper);
    vault_close(&f->vault);
    shipper_after_close(away->shipper);
    away_settle(away, f);
    shipper_close(&away->shipper);
}

int away_find(const struct away *away, const char *name)
{
    for (size_t i = 0; i < away->count; i++) {
        if (strcmp(away->objects[i].name, name) == 0)
            return away->objects[i].fd;
    }
    return -1;
}

size_t away_count(const struct away *away, const char *prefix)
{
    size_t count = 0;

    for (size_t i = 0; i < away->count; i++)
        count += strncmp(away->objects[i].name, prefix, strlen(prefix)) == 0;
    return count;
}

const char *away_generation(const struct away *away, size_t n)
{
    static char id[ID_TEXT_LEN + 1];

    for (size_t i = 0; i < away->count; i++) {
        const char *name = away->objects[i].name;

        if (strncmp(name, "base/", 5) == 0 && strstr(name, ".json") != NULL && n-- == 0) {
            memcpy(id, name + 5, ID_TEXT_LEN);
            return id;
        }
    }
    fail_msg("no such generation");
    return NULL;
}

enum err away_restore(const struct away *away, struct fixture *f, struct task *task,
                      const char *generation, int64_t until_ms, struct restore **out)
{
    struct restore_options options = {.folder = f->folder,
                                      .mailbox = f->options.id,
                                      .key = f->key,
                                      .log = &f->log,
                                      .until_ms = until_ms};
    CLEANUP(restore_free) struct restore *restore = restore_begin(task, &options);
    CLEANUP(buf_free) struct buf manifest = {0};
    bool is_enough = false;
    char name[96];
    int fd;

    buf_init(&manifest, SIZE_MAX);
    snprintf(name, sizeof(name), "base/%s.json", generation);
    TRY(fd_read_all(task, away_find(away, name), MANIFEST_BYTES_MAX, &manifest));
    snprintf(name, sizeof(name), "base/%s.sqlite", generation);
    TRY(restore_base(restore, task, buf_str(&manifest), away_find(away, name)));
    while (!is_enough) {
        snprintf(name, sizeof(name), "log/%s/%012llu.seg", generation,
                 (unsigned long long)restore_next_number(restore));
        fd = away_find(away, name);
        if (fd < 0)
            break;
        TRY(restore_segment(restore, task, fd, &is_enough));
    }
    TRY(restore_finish(restore, task));
    *out = restore;
    restore = NULL;
    return ERR_OK;
}

char *away_content(struct fixture *f, struct vault *vault)
{
    struct vault *own = f->vault;
    struct buf out;
    char *text;

    buf_init(&out, SIZE_MAX);
    f->vault = vault;
    for (int64_t folder_id = 1; folder_id <= 6; folder_id++) {
        struct vault_uid_flags *messages;
        size_t count;

        assert_int_equal(vault_message_list(vault, &f->task, folder_id, &messages, &count), ERR_OK);
        for (size_t i = 0; i < count; i++) {
            struct str raw = fixture_read(f, folder_id, messages[i].uid);

            buf_putf(&out, "%lld %u %llx ", (long long)folder_id, messages[i].uid,
                     (unsigned long long)messages[i].flags);
            buf_put(&out, raw);
        }
    }
    f->vault = own;
    text = mem_copy_text(out.ptr == NULL ? "" : out.ptr, out.len);
    buf_free(&out);
    return text;
}

char *away_restored(const struct away *away, struct fixture *f, const char *generation,
                    int64_t until_ms)
{
    CLEANUP(restore_free) struct restore *restore = NULL;
    CLEANUP(vault_close) struct vault *vault = NULL;

    if (away_restore(away, f, &f->task, generation, until_ms, &restore) != ERR_OK ||
        restore_open(restore, &f->task, &vault) != ERR_OK)
        fail_msg("%s", f->task.words);
    return away_content(f, vault);
}

bool away_has_note(const struct fixture *f, const struct secret *key, struct shipping *out)
{
    CLEANUP(secret_free) struct secret *own = segment_key(key);
    char path[160];

    (void)snprintf(path, sizeof(path), "%s/%s.shipping", f->folder, f->options.id.text);
    return shipping_load(path, &f->options.id, own, out);
}

void away_keep_files(const struct fixture *f)
{
    char command[500];

    snprintf(command, sizeof(command), "cp -a %s %s.kept", f->folder, f->folder);
    assert_int_equal(system(command), 0);
}

void away_bring_files_back(const struct fixture *f)
{
    char command[500];

    snprintf(command, sizeof(command), "rm %s/%s.* && cp -a %s.kept/. %s && rm -r %s.kept", f->folder,
             f->options.id.text, f->folder, f->folder, f->folder);
    assert_int_equal(system(command), 0);
}

void away_tear_down(struct away *away, struct fixture *f)
{
    char path[160];

    if (away->shipper != NULL)
        away_close(away, f);
    away_done(away);
    snprintf(path, sizeof(path), "%s/%s.shipping", f->folder, f->options.id.text);
    (void)unlink(path);
}
