#include "backup/copy_put.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/hasher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct copy_put {
    struct copy_put_options options;
    char *name;              /* own */
    struct net_timer *timer; /* own; the next slice */
    struct hasher *hasher;   /* own */
    uint64_t size_bytes, hashed;
    bool is_asked; /* the answer will come */
};

void copy_put_free(struct copy_put **put)
{
    if (*put == NULL)
        return;
    hasher_free(&(*put)->hasher);
    net_timer_free(&(*put)->timer);
    fd_close(&(*put)->options.fd);
    mem_free(&(*put)->name);
    mem_free(put);
}

static void finish(struct copy_put *put, enum err err, const char *words)
{
    struct copy_put_options options = put->options;

    copy_put_free(&put);
    options.on_done(options.owner, err, words);
}

static enum err send_it(struct copy_put *put, struct task *task)
{
    struct wire_channel *archivist = put->options.archivist(put->options.owner);
    unsigned char digest[CRYPT_HASH_BYTES];
    struct wire_backup_put body = {.mailbox = put->options.mailbox,
                                   .name = str_from_c(put->name),
                                   .size_bytes = put->size_bytes,
                                   .digest = str_make(digest, sizeof(digest))};

    hasher_digest(put->hasher, digest);
    if (archivist == NULL || wire_send(archivist, WIRE_BACKUP_PUT, put->options.tag, &body,
                                       &put->options.fd, 1) != ERR_OK)
        return fail(task, ERR_BUSY, "the archivist is away");
    put->is_asked = true;
    fd_close(&put->options.fd);
    return ERR_OK;
}

static enum err look(struct copy_put *put, struct task *task)
{
    struct stat status;

    if (fstat(put->options.fd, &status) != 0)
        return fail(task, ERR_IO, "the copy: %s", strerror(errno));
    put->size_bytes = (uint64_t)status.st_size;
    put->hasher = hasher_new(HASHER_SHA256);
    return ERR_OK;
}

static enum err hash_slice(struct copy_put *put, struct task *task)
{
    CLEANUP(buf_free) struct buf slice;
    char *room;
    ssize_t got;

    buf_init(&slice, SIZE_MAX);
    TRY(buf_reserve(&slice, put->options.slice_bytes, &room));
    got = pread(put->options.fd, room, put->options.slice_bytes, (off_t)put->hashed);
    if (got <= 0)
        return fail(task, ERR_IO, "the copy cannot be read");
    hasher_add(put->hasher, str_make(room, (size_t)got));
    put->hashed += (uint64_t)got;
    return put->hashed < put->size_bytes ? ERR_OK : send_it(put, task);
}

static void on_time(void *owner)
{
    struct copy_put *put = owner;
    char words[TASK_WORDS_MAX];
    struct task task;
    enum err err;

    task_init(&task, clock_now_ms());
    err = put->hasher == NULL ? look(put, &task) : hash_slice(put, &task);
    (void)snprintf(words, sizeof(words), "%s", task.words);
    task_done(&task);
    if (err != ERR_OK)
        finish(put, err, words);
    else if (!put->is_asked)
        net_timer_start(put->timer, put->options.pause_ms);
}

void copy_put_answered(struct copy_put *put, const struct wire_message *message)
{
    const struct wire_backup_put_reply *reply = &message->body.backup_put_reply;
    char words[TASK_WORDS_MAX];

    if (put == NULL || !put->is_asked || message->tag != put->options.tag)
        return;
    (void)snprintf(words, sizeof(words), "%.*s", STR_ARG(str_upto(reply->words, 200)));
    finish(put, reply->status == WIRE_OK ? ERR_OK : ERR_BUSY, words);
}

void copy_put_archivist_gone(struct copy_put *put)
{
    if (put != NULL && put->is_asked)
        finish(put, ERR_BUSY, "the archivist ended");
}

struct copy_put *copy_put_start(const struct copy_put_options *options)
{
    struct copy_put *put = NEW(struct copy_put);

    put->options = *options;
    put->name = mem_copy_text(options->name, strlen(options->name));
    put->timer = net_timer_new(options->loop, on_time, put);
    net_timer_start(put->timer, 0);
    return put;
}
