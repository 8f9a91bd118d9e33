/* The beginning of a generation of the log: the copy of the file, its base, the manifest. */
#include "backup/shipper_internal.h"

#include "backup/nameless.h"
#include "base/file.h"
#include "base/memory.h"
#include "secret/hasher.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    BEHIND_MS = 1000, /* a follower that has this much to put has not caught up */
    BEHIND_MAX = 8,   /* so many segments at most before its manifest */
};

static bool must_wait(struct shipper *shipper, int64_t now_ms)
{
    const struct shipper_options *options = &shipper->options;
    int64_t wait_ms = options->wait_to_begin == NULL ? 0 : options->wait_to_begin(options->owner);

    if (wait_ms > 0)
        shipper->retry_at_ms = now_ms + wait_ms;
    else if (wait_ms < 0)
        shipper_put_off(shipper, now_ms);
    return wait_ms != 0;
}

enum err shipper_begin(struct shipper *shipper, struct task *task)
{
    struct snapshot_request request = {.kind = SNAPSHOT_BASE,
                                       .path = shipper->path,
                                       .vault = shipper->vault,
                                       .timeout_ms = SHIPPER_COPY_TIMEOUT_MS};
    struct vault_usage usage;
    char target[SHIPPER_PATH_ROOM];

    if (vault_checkpoints_are_held(shipper->vault)) { /* a full backup may write the log back */
        shipper->retry_at_ms = task->now_ms + SHIPPER_RETRY_MS;
        shipper->is_held_up = true;
        return ERR_OK;
    }
    shipper->is_held_up = false;
    if (must_wait(shipper, task->now_ms))
        return ERR_OK;
    shipper_forget(shipper);
    memset(&shipper->sealed, 0, sizeof(shipper->sealed));
    shipper->sealed.generation = id_random();
    shipper->sealed.began_ms = task->now_ms;
    shipper->sealed.next_number = 1;
    segment_chain_start(shipper->key, &shipper->sealed.generation, shipper->sealed.previous);
    if (shipper->last_ms < task->now_ms)
        shipper->last_ms = task->now_ms;
    vault_usage(shipper->vault, &usage);
    shipper->manifest = (struct manifest){.mailbox = shipper->options.mailbox,
                                          .generation = shipper->sealed.generation,
                                          .time_ms = shipper->last_ms,
                                          .epoch = usage.epoch,
                                          .change_counter = usage.change_counter};
    shipper_path(shipper, ".base", target);
    request.target = target;
    TRY(shipper_read_so_far(shipper, task));
    if (shipper->pending != NULL)
        shipper->manifest.commits = segment_commits(shipper->pending);
    TRY(snapshot_start(task, &request, &shipper->copy));
    shipper_hold(shipper, true);
    shipper->state = SHIPPER_STATE_COPYING;
    return ERR_OK;
}

bool shipper_begin_is_copied(const struct shipper *shipper)
{
    struct pollfd pipe_end = {.fd = snapshot_fd(shipper->copy), .events = POLLIN};

    return poll(&pipe_end, 1, 0) > 0;
}

enum err shipper_begin_base(struct shipper *shipper, struct task *task)
{
    struct snapshot_result result;
    struct shipper_flight *flight = &shipper->flight;
    char target[SHIPPER_PATH_ROOM];

    snapshot_collect(shipper->copy, &result);
    snapshot_free(&shipper->copy);
    shipper_hold(shipper, false);
    if (result.err != ERR_OK)
        return fail(task, result.err, "%s", result.words);
    shipper_path(shipper, ".base", target);
    TRY(nameless_take(task, target, &flight->fd, &flight->own_fd));
    shipper->manifest.size_bytes = result.size_bytes;
    memcpy(shipper->manifest.digest, result.digest, sizeof(result.digest));
    snprintf(flight->name, sizeof(flight->name), "base/%s.sqlite", shipper->sealed.generation.text);
    flight->size_bytes = result.size_bytes;
    memcpy(flight->digest, result.digest, sizeof(result.digest));
    shipper->state = SHIPPER_STATE_BASE;
    shipper_send(shipper);
    return ERR_OK;
}

/*
 * Once the manifest may be there, restoring takes this generation, and what any before it got from
 * then on would never be found: so no process may go on with one, not after a power cut either.
 */
static enum err forget_note(const struct shipper *shipper, struct task *task)
{
    char path[SHIPPER_PATH_ROOM];

    assert(shipper->before == NULL);
    if (shipper->has_left) /* it is the next one's, of the file under its new key */
        return ERR_OK;
    shipper_path(shipper, ".shipping", path);
    if (unlink(path) != 0 && errno != ENOENT)
        return fail(task, ERR_IO, "log shipping: %s", strerror(errno));
    return dir_sync(task, AT_FDCWD, shipper->options.folder);
}

enum err shipper_begin_manifest(struct shipper *shipper, struct task *task)
{
    CLEANUP(buf_free) struct buf json = {0};
    struct shipper_flight *flight = &shipper->flight;

    TRY(forget_note(shipper, task));
    buf_init(&json, MANIFEST_BYTES_MAX);
    manifest_write(&shipper->manifest, shipper->key, &json);
    TRY(memfd_from(task, buf_str(&json), &flight->fd));
    hasher_sha256(buf_str(&json), flight->digest);
    flight->size_bytes = json.len;
    snprintf(flight->name, sizeof(flight->name), "base/%s.json", shipper->sealed.generation.text);
    shipper->state = SHIPPER_STATE_MANIFEST;
    shipper_send(shipper);
    return ERR_OK;
}

/* A follower is found by its manifest only when it has what the one before has, but for a second.
 */
static bool is_behind(const struct shipper *shipper, int64_t now_ms)
{
    return shipper->pending != NULL && now_ms - shipper->pending_since_ms > BEHIND_MS &&
           shipper->sealed.next_number <= BEHIND_MAX;
}

enum err shipper_begin_on(struct shipper *shipper, struct task *task)
{
    if (shipper->before == NULL)
        return shipper_begin_manifest(shipper, task);
    shipper->state =
        is_behind(shipper, task->now_ms) ? SHIPPER_STATE_CATCHING_UP : SHIPPER_STATE_READY;
    return ERR_OK;
}
