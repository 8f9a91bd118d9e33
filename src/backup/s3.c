#include "backup/s3.h"

#include "backup/s3_internal.h"
#include "backup/s3_xml.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void s3_digest_header(const unsigned char *digest, char out[static S3_DIGEST_HEADER_ROOM])
{
    static const char digits[] = "0123456789abcdef";
    size_t len = (size_t)snprintf(out, S3_DIGEST_HEADER_ROOM, S3_DIGEST ": ");

    for (size_t i = 0; i < CRYPT_HASH_BYTES; i++) {
        out[len++] = digits[digest[i] >> 4];
        out[len++] = digits[digest[i] & 15];
    }
    out[len] = '\0';
}

/* ---- List ---- */

enum { FOREIGN_PAGES_MAX = 100 };

struct list_call {
    struct backup_call base;
    struct s3 *s3; /* borrowed */
    struct s3_exchange *exchange; /* own */
    struct backup_page *page;     /* own */
    struct arena arena;
    struct str prefix, after;     /* as the server has them */
    size_t count_max;
    unsigned foreign_pages; /* with nothing of ours, so far */
    backup_on_done on_done;
    void *owner; /* borrowed */
};

static void list_free(struct list_call *call)
{
    s3_cancel(&call->exchange);
    backup_page_free(&call->page);
    arena_free(&call->arena);
    mem_free(&call);
}

static void list_cancel(struct backup_call *base)
{
    list_free(CONTAINER_OF(base, struct list_call, base));
}

static void list_page(struct list_call *call);

static void on_listed(void *owner, const struct s3_reply *reply)
{
    struct list_call *call = owner;
    struct backup_result result = {.err = reply->err, .words = reply->words, .fd = -1};
    struct str last_key = STR("");
    struct task task;

    call->exchange = NULL;
    task_init(&task, clock_now_ms());
    if (result.err == ERR_OK)
        result.err = s3_xml_list(&task, reply->body, s3_client_prefix(call->s3->client),
                                 call->page, &last_key);
    result.objects = backup_page_objects(call->page, &result.object_count);
    result.is_last = !backup_page_is_cut(call->page);
    /* A list without an end would be read for ever. */
    if (result.err == ERR_OK && !result.is_last && result.object_count == 0 &&
        (!str_starts_with(last_key, call->prefix) || str_compare(last_key, call->after) <= 0 ||
         ++call->foreign_pages > FOREIGN_PAGES_MAX))
        result.err = fail(&task, ERR_INVALID, "S3: a list of what was not asked for, without an end");
    result.words = result.err == ERR_OK || reply->err != ERR_OK ? reply->words : task.words;
    if (result.err == ERR_OK && !result.is_last && result.object_count == 0) {
        /* A page full of what is none of ours. */
        call->after = arena_copy(&call->arena, last_key);
        list_page(call);
    } else {
        call->on_done(call->owner, &result);
        list_free(call);
    }
    task_done(&task);
}

static void list_page(struct list_call *call)
{
    CLEANUP(buf_free) struct buf query;
    char count[16];
    struct s3_request request = {.method = NET_HTTP_GET, .response_limit = S3_XML_BODY_MAX};
    size_t root_len = s3_client_prefix(call->s3->client).len;

    backup_page_free(&call->page);
    /* What is not asked for is not taken. */
    call->page = backup_page_new(str_from(call->prefix, root_len), str_from(call->after, root_len),
                                 call->count_max);
    buf_init(&query, SIZE_MAX);
    (void)snprintf(count, sizeof(count), "%zu", call->count_max);
    s3_query_put(&query, "list-type", STR("2"));
    s3_query_put(&query, "max-keys", str_from_c(count));
    s3_query_put(&query, "prefix", call->prefix);
    s3_query_put(&query, "start-after", call->after);
    request.query = buf_str(&query);
    call->exchange = s3_start(call->s3->client, &request, on_listed, call);
}

static const struct backup_destination_kind list_kind = {.cancel = list_cancel};

static struct backup_call *list(struct backup_destination *destination, struct str prefix,
                                struct str after, size_t count_max, backup_on_done on_done,
                                void *owner)
{
    struct list_call *call = NEW(struct list_call);
    struct str root;

    call->base.kind = &list_kind;
    call->s3 = CONTAINER_OF(destination, struct s3, base);
    root = s3_client_prefix(call->s3->client);
    call->prefix = arena_printf(&call->arena, "%.*s%.*s", STR_ARG(root), STR_ARG(prefix));
    if (after.len > 0)
        after = arena_printf(&call->arena, "%.*s%.*s", STR_ARG(root), STR_ARG(after));
    call->after = after;
    call->count_max = count_max;
    call->on_done = on_done;
    call->owner = owner;
    list_page(call);
    return &call->base;
}

/* ---- Delete ---- */

struct delete_call {
    struct backup_call base;
    struct s3_exchange *exchange; /* own */
    backup_on_done on_done;
    void *owner; /* borrowed */
};

static void delete_cancel(struct backup_call *base)
{
    struct delete_call *call = CONTAINER_OF(base, struct delete_call, base);

    s3_cancel(&call->exchange);
    mem_free(&call);
}

static void on_deleted(void *owner, const struct s3_reply *reply)
{
    struct delete_call *call = owner;
    struct backup_result result = {.err = reply->err, .words = reply->words, .fd = -1};

    call->exchange = NULL;
    if (reply->err == ERR_NOT_FOUND && !str_equal(reply->code, STR("NoSuchBucket")))
        result = (struct backup_result){.words = "", .fd = -1};
    call->on_done(call->owner, &result);
    mem_free(&call);
}

static const struct backup_destination_kind delete_kind = {.cancel = delete_cancel};

static struct backup_call *remove_call(struct backup_destination *destination, struct str name,
                                       enum backup_gone gone, backup_on_done on_done, void *owner)
{
    struct delete_call *call = NEW(struct delete_call);
    struct s3_request request = {.method = NET_HTTP_DELETE, .name = name};

    (void)gone; /* each is, when it is answered */
    call->base.kind = &delete_kind;
    call->on_done = on_done;
    call->owner = owner;
    call->exchange =
        s3_start(CONTAINER_OF(destination, struct s3, base)->client, &request, on_deleted, call);
    return &call->base;
}

/* ---- The destination ---- */

static void free_s3(struct backup_destination *destination)
{
    struct s3 *s3 = CONTAINER_OF(destination, struct s3, base);

    s3_sweep_free(&s3->sweep);
    s3_client_free(&s3->client);
    mem_free(&s3->work_folder);
    mem_free(&s3);
}

static int64_t lost_put_ms(const struct backup_destination *destination, struct str name)
{
    return s3_client_lost_put_ms(CONTAINER_OF(destination, const struct s3, base)->client, name);
}

static const struct backup_destination_kind kind = {
    .put = s3_put,
    .get = s3_get,
    .list = list,
    .remove = remove_call,
    .abandon = s3_abandon,
    .lost_put_ms = lost_put_ms,
    .free = free_s3,
};

/* Files of gets whose process ended in the moment before they lost their names. */
static enum err clean(struct task *task, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(folder_close) DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (folder == NULL)
        return fail(task, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s: %s", path,
                    strerror(errno));
    while ((entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, "get-", 4) == 0)
            (void)unlinkat(fd, entry->d_name, 0);
    }
    return ERR_OK;
}

enum err backup_s3_new(struct task *task, const struct backup_s3_options *options,
                       struct backup_destination **out)
{
    struct s3 *s3 = NEW(struct s3);
    enum err err;

    s3->base.kind = &kind;
    s3->loop = options->client.loop;
    s3->log = options->log;
    s3->client = s3_client_new(&options->client);
    s3->part_bytes = options->part_bytes > 0 ? options->part_bytes : S3_PART_BYTES;
    s3->sweep_ms = options->sweep_ms;
    s3->work_folder = mem_copy_text(options->work_folder, strlen(options->work_folder));
    err = clean(task, s3->work_folder);
    if (err != ERR_OK) {
        free_s3(&s3->base);
        return err;
    }
    s3->sweep = s3_sweep_new(s3);
    *out = &s3->base;
    return ERR_OK;
}

void backup_s3_set_key(struct backup_destination *destination, struct str key_id,
                       struct secret *secret)
{
    struct s3 *s3 = CONTAINER_OF(destination, struct s3, base);

    assert(destination->kind == &kind);
    s3_client_set_key(s3->client, key_id, secret);
}
