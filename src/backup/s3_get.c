/* Fetching an object: into a nameless file, going on after the connection broke, compared with its digest
 * at the end. */
#include "backup/s3_internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "secret/hasher.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    TRIES_MAX = 5, /* in a row that brought no byte */
    WAIT_MS = 500,
    ETAG_MAX = 200,
    WORDS_ROOM = TASK_WORDS_MAX,
    LOOK_BYTES = 64 * 1024, /* between two looks at the room that is left */
    RESERVE_BYTES = 1024 * 1024 * 1024,
};

struct get_call {
    struct backup_call base;
    struct s3 *s3;    /* borrowed */
    char *name;       /* own */
    int to_fd, fd;    /* own; to write, and to read for whoever asked */
    uint64_t offset;  /* so much is there */
    uint64_t offset_before; /* the last try */
    struct hasher *hasher, *old_hasher; /* own; the second where the object has an old digest alone */
    char etag[ETAG_MAX];   /* of the first response; "": none yet */
    char digest[S3_DIGEST_HEADER_ROOM], old_digest[S3_DIGEST_HEADER_ROOM]; /* its metadata */
    unsigned char hash[CRYPT_HASH_BYTES]; /* of what came, at the end */
    uint64_t looked_at;    /* the offset of the last look at the room */
    unsigned tries;
    char words[WORDS_ROOM];       /* why a byte could not be kept */
    struct net_timer *timer;      /* own */
    struct s3_exchange *exchange; /* own */
    backup_on_done on_done;
    void *owner; /* borrowed */
};

static void get_free(struct get_call *call)
{
    s3_cancel(&call->exchange);
    net_timer_free(&call->timer);
    hasher_free(&call->hasher);
    hasher_free(&call->old_hasher);
    fd_close(&call->to_fd);
    fd_close(&call->fd);
    mem_free(&call->name);
    mem_free(&call);
}

static void finish(struct get_call *call, struct backup_result *result)
{
    call->on_done(call->owner, result);
    fd_close(&result->fd);
    get_free(call);
}

static void finish_with(struct get_call *call, enum err err, const char *words)
{
    struct backup_result result = {.err = err, .words = words, .fd = -1};

    finish(call, &result);
}

static enum err open_files(struct get_call *call, struct task *task)
{
    struct str name;
    uint64_t unique;

    random_bytes(&unique, sizeof(unique));
    name = arena_printf(&task->arena, "%s/get-%016" PRIx64, call->s3->work_folder, unique);
    call->to_fd = open(name.ptr, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    call->fd = open(name.ptr, O_RDONLY | O_CLOEXEC);
    (void)unlink(name.ptr);
    if (call->to_fd < 0 || call->fd < 0)
        return fail(task, errno == ENOSPC ? ERR_LIMIT : ERR_IO, "temporary file: %s",
                    strerror(errno));
    return ERR_OK;
}

/* From the beginning again. */
static enum err start_over(struct get_call *call)
{
    if (ftruncate(call->to_fd, 0) != 0 || lseek(call->to_fd, 0, SEEK_SET) != 0)
        return ERR_IO;
    call->offset = call->looked_at = 0;
    hasher_free(&call->old_hasher);
    hasher_free(&call->hasher);
    call->hasher = hasher_new(HASHER_SHA256);
    return ERR_OK;
}

/* How much comes is the server's word, and mail needs the same disk: a twentieth of it, at most a GiB, is
 * left alone. */
static enum err look_at_room(struct get_call *call, struct task *task)
{
    struct statvfs about;
    uint64_t whole, left;

    if (call->offset - call->looked_at < LOOK_BYTES)
        return ERR_OK;
    call->looked_at = call->offset;
    if (fstatvfs(call->to_fd, &about) != 0)
        return ERR_OK;
    whole = (uint64_t)about.f_blocks * about.f_frsize;
    left = (uint64_t)about.f_bavail * about.f_frsize;
    if (left >= (whole / 20 < RESERVE_BYTES ? whole / 20 : RESERVE_BYTES))
        return ERR_OK;
    return fail(task, ERR_LIMIT, "the object would fill the disk, which mail needs");
}

static enum err on_bytes(void *owner, struct str bytes)
{
    struct get_call *call = owner;
    struct task task;
    enum err err;

    /* A server that does not know ranges sends all of it. */
    if (call->offset > 0 && call->offset == call->offset_before &&
        s3_status(call->exchange) != 206)
        TRY(start_over(call));
    task_init(&task, clock_now_ms());
    err = look_at_room(call, &task);
    if (err == ERR_OK)
        err = fd_write_all(&task, call->to_fd, bytes);
    (void)snprintf(call->words, sizeof(call->words), "%s", task.words);
    task_done(&task);
    TRY(err);
    hasher_add(call->hasher, bytes);
    /* The header, which is there before the first byte, says what will be compared. */
    if (call->offset == 0 && s3_header(call->exchange, S3_DIGEST).len == 0)
        call->old_hasher = hasher_new(HASHER_BLAKE2B);
    if (call->old_hasher != NULL)
        hasher_add(call->old_hasher, bytes);
    call->offset += bytes.len;
    return ERR_OK;
}

static void note(char *out, size_t room, struct str text)
{
    if (out[0] == '\0' && text.len > 0 && text.len < room) {
        memcpy(out, text.ptr, text.len);
        out[text.len] = '\0';
    }
}

static bool is_hex_of(const char *text, const unsigned char *digest)
{
    char line[S3_DIGEST_HEADER_ROOM];

    s3_digest_header(digest, line);
    return strcmp(strchr(line, ' ') + 1, text) == 0;
}

static bool is_right(struct get_call *call)
{
    unsigned char old[CRYPT_HASH_BYTES];

    hasher_digest(call->hasher, call->hash);
    if (call->digest[0] != '\0')
        return is_hex_of(call->digest, call->hash);
    if (call->offset == 0 && call->old_hasher == NULL)
        call->old_hasher = hasher_new(HASHER_BLAKE2B); /* of no bytes */
    if (call->old_hasher == NULL)
        return false;
    hasher_digest(call->old_hasher, old);
    return is_hex_of(call->old_digest, old);
}

static void ended(struct get_call *call)
{
    struct backup_result result = {.words = "", .fd = call->fd, .size_bytes = call->offset, .digest = call->hash};

    if (!is_right(call)) {
        finish_with(call, ERR_CORRUPT,
                    call->digest[0] == '\0' && call->old_digest[0] == '\0' ? "the object has no digest"
                                            : "not the bytes that were put there");
        return;
    }
    call->fd = -1;
    finish(call, &result);
}

static void on_reply(void *owner, const struct s3_reply *reply)
{
    struct get_call *call = owner;

    call->exchange = NULL;
    if (reply->response != NULL && (reply->status / 100 == 2 || reply->err != ERR_OK)) {
        note(call->etag, sizeof(call->etag), net_http_header(reply->response, "ETag"));
        note(call->digest, sizeof(call->digest), net_http_header(reply->response, S3_DIGEST));
        note(call->old_digest, sizeof(call->old_digest),
             net_http_header(reply->response, S3_OLD_DIGEST));
    }
    if (call->offset > call->offset_before)
        call->tries = 0;
    if (reply->err == ERR_OK) {
        ended(call);
    } else if (reply->status == 412 || reply->status == 416) {
        finish_with(call, ERR_BUSY, "S3: the object was replaced meanwhile");
    } else if (reply->err == ERR_BUSY && ++call->tries < TRIES_MAX) {
        net_timer_start(call->timer, (int64_t)WAIT_MS << call->tries);
    } else {
        finish_with(call, reply->err, call->words[0] != '\0' ? call->words : reply->words);
    }
}

static void attempt(void *owner)
{
    struct get_call *call = owner;
    char range[64], match[ETAG_MAX + 16];
    struct str headers[2];
    struct s3_request request = {.method = NET_HTTP_GET,
                                 .name = str_from_c(call->name),
                                 .headers = headers,
                                 .on_bytes = on_bytes};
    struct task task;
    enum err err = ERR_OK;

    task_init(&task, clock_now_ms());
    if (call->to_fd < 0)
        err = open_files(call, &task);
    if (err != ERR_OK) {
        finish_with(call, err, task.words);
        task_done(&task);
        return;
    }
    task_done(&task);
    call->offset_before = call->offset;
    if (call->offset > 0) {
        (void)snprintf(range, sizeof(range), "Range: bytes=%" PRIu64 "-", call->offset);
        headers[request.header_count++] = str_from_c(range);
        if (call->etag[0] != '\0') {
            (void)snprintf(match, sizeof(match), "If-Match: %s", call->etag);
            headers[request.header_count++] = str_from_c(match);
        }
    }
    call->exchange = s3_start(call->s3->client, &request, on_reply, call);
}

void s3_get_cancel(struct backup_call *base)
{
    get_free(CONTAINER_OF(base, struct get_call, base));
}

static const struct backup_destination_kind get_kind = {.cancel = s3_get_cancel};

struct backup_call *s3_get(struct backup_destination *destination, struct str name,
                           backup_on_done on_done, void *owner)
{
    struct get_call *call = NEW(struct get_call);

    call->base.kind = &get_kind;
    call->s3 = CONTAINER_OF(destination, struct s3, base);
    call->name = mem_copy_text(name.ptr, name.len);
    call->to_fd = -1;
    call->fd = -1;
    call->hasher = hasher_new(HASHER_SHA256);
    call->on_done = on_done;
    call->owner = owner;
    call->timer = net_timer_new(call->s3->loop, attempt, call);
    net_timer_start(call->timer, 0);
    return &call->base;
}
