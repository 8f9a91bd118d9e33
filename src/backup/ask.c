#include "backup/ask.h"

#include "base/file.h"

#include <fcntl.h>
#include <string.h>

/* What one call waits for. */
struct answer {
    struct net_loop *loop; /* borrowed, as the next ones */
    struct task *task;
    struct backup_got *got;                        /* get */
    void (*on_name)(void *owner, struct str name); /* list */
    void *owner;
    enum err err;
    char last[BACKUP_NAME_MAX + 1]; /* of the names */
    bool is_last;
};

static void take_object(struct answer *answer, struct backup_result *result)
{
    answer->got->fd = result->fd;
    answer->got->size_bytes = result->size_bytes;
    memcpy(answer->got->digest, result->digest, CRYPT_HASH_BYTES);
    result->fd = -1;
}

static void take_names(struct answer *answer, const struct backup_result *result)
{
    answer->is_last = result->is_last;
    for (size_t i = 0; i < result->object_count; i++) {
        struct str name = result->objects[i].name;

        answer->on_name(answer->owner, name);
        memcpy(answer->last, name.ptr, name.len);
        answer->last[name.len] = '\0';
    }
}

static void on_done(void *owner, struct backup_result *result)
{
    struct answer *answer = owner;

    answer->err = result->err;
    if (result->err != ERR_OK)
        answer->err = fail(answer->task, result->err, "the backup destination: %s", result->words);
    else if (answer->got != NULL)
        take_object(answer, result);
    else
        take_names(answer, result);
    net_loop_stop(answer->loop);
}

enum err backup_ask_get(const struct backup_ask *ask, struct task *task, struct str name,
                        struct backup_got *out)
{
    struct answer answer = {.loop = ask->loop, .task = task, .got = out, .err = ERR_IO};

    (void)backup_get(ask->destination, name, on_done, &answer);
    net_loop_run(ask->loop);
    return answer.err;
}

void backup_got_done(struct backup_got *got)
{
    fd_close(&got->fd);
}

enum err backup_ask_read(const struct backup_ask *ask, struct task *task, struct str name,
                         size_t limit_bytes, struct buf *out)
{
    CLEANUP(backup_got_done) struct backup_got got = {.fd = -1};

    TRY(backup_ask_get(ask, task, name, &got));
    return fd_read_all(task, got.fd, limit_bytes, out);
}

enum err backup_ask_list(const struct backup_ask *ask, struct task *task, struct str prefix,
                         void (*on_name)(void *owner, struct str name), void *owner)
{
    struct answer answer = {.loop = ask->loop, .task = task, .on_name = on_name, .owner = owner};

    while (!answer.is_last) {
        char after[BACKUP_NAME_MAX + 1];

        memcpy(after, answer.last, sizeof(after));
        answer.err = ERR_IO;
        (void)backup_list(ask->destination, prefix, str_from_c(after), BACKUP_PAGE_MAX, on_done,
                          &answer);
        net_loop_run(ask->loop);
        TRY(answer.err);
        if (!answer.is_last && str_compare(str_from_c(answer.last), str_from_c(after)) <= 0)
            return fail(task, ERR_CORRUPT, "the backup destination's list does not go on");
    }
    return ERR_OK;
}
