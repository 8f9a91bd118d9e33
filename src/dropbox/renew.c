/*
 * A new generation, in this order:
 *
 *   1. the lane root, durably in the vault      a crash: a root without records; the next one is higher
 *   2. the lane file's other slot, synced       a crash: the new generation stands (lane.h)
 *   3. the old slot wiped, synced
 *   4. old roots without records forgotten      a crash: they go at the next renewal
 */
#include "base/file.h"
#include "base/random.h"
#include "dropbox/damaged.h"
#include "dropbox/dropbox.h"
#include "dropbox/lane.h"
#include "dropbox/records.h"
#include "vault/dropkeys.h"

#include <fcntl.h>
#include <string.h>

_Static_assert((int)VAULT_LANE_BYTES == (int)DROPBOX_LANE_BYTES, "one lane");

/* The lowest generation that is still needed: the new one, unless older records wait. */
static enum err lowest_needed(const struct dropbox_owner *owner, struct task *task,
                              const unsigned char *lane, uint64_t generation, uint64_t *out_lowest)
{
    CLEANUP(records_close) struct records *records = NULL;
    uint64_t lowest = UINT64_MAX;
    const char **damaged;
    size_t damaged_count;
    enum err err = records_open(task, owner->folder, &owner->mailbox, owner->drop_key, false,
                                &records);

    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
    } else if (err != ERR_OK) {
        /* What is in a file that does not open, nobody knows: all roots stay. */
        task_forgive(task);
        lowest = 0;
    } else {
        TRY(records_lowest_generation(records, task, lane, &lowest));
    }
    TRY(damaged_list(task, owner->folder, &owner->mailbox, &damaged, &damaged_count));
    if (damaged_count > 0)
        lowest = 0; /* likewise */
    *out_lowest = lowest < generation ? lowest : generation;
    return ERR_OK;
}

enum err dropbox_renew(const struct dropbox_owner *owner, struct task *task)
{
    CLEANUP(lane_close) struct lane lane = {.fd = -1, .slot = -1};
    CLEANUP(vault_lane_root_done) struct vault_lane_root root = {.boot_key_1 = NULL};
    unsigned char public[CRYPT_X25519_BYTES];
    uint64_t newest, lowest;
    enum err err;

    TRY(dir_make(task, AT_FDCWD, owner->folder, true));
    err = lane_open(task, owner->folder, &lane);
    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
        err = lane_create(task, owner->folder, &lane);
    }
    TRY(err);
    TRY(vault_lane_generation(owner->vault, task, lane.place.lane, &newest));
    if (lane.place.generation > newest)
        newest = lane.place.generation;

    memcpy(root.lane, lane.place.lane, DROPBOX_LANE_BYTES);
    root.generation = newest + 1;
    root.boot_key_1 = secret_new(CRYPT_KEY_BYTES);
    random_bytes(secret_bytes(root.boot_key_1), CRYPT_KEY_BYTES);
    root.x25519_secret = crypt_x25519_new(public);
    TRY(vault_lane_root_add(owner->vault, task, &root));
    TRY(lane_write(&lane, task, root.generation, 1, root.boot_key_1, public));

    TRY(lowest_needed(owner, task, root.lane, root.generation, &lowest));
    return vault_lane_root_forget(owner->vault, task, root.lane, lowest);
}

static enum err is_due(const struct dropbox_owner *owner, struct task *task, int64_t age_ms,
                       bool *out_is_due)
{
    CLEANUP(lane_close) struct lane lane = {.fd = -1, .slot = -1};
    enum err err = lane_open(task, owner->folder, &lane);
    uint64_t newest;
    int64_t created_ms;

    *out_is_due = true;
    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
        return ERR_OK;
    }
    TRY(err);
    TRY(vault_lane_generation(owner->vault, task, lane.place.lane, &newest));
    /* Not ours: a lane without a slot, a crash in between, a vault that was rolled back. */
    if (lane.slot < 0 || newest == 0 || lane.place.generation != newest)
        return ERR_OK;
    TRY(vault_lane_root_created(owner->vault, task, lane.place.lane, newest, &created_ms));
    *out_is_due = created_ms > task->now_ms || task->now_ms - created_ms >= age_ms;
    return ERR_OK;
}

enum err dropbox_renew_older(const struct dropbox_owner *owner, struct task *task, int64_t age_ms)
{
    bool must_renew;

    TRY(is_due(owner, task, age_ms, &must_renew));
    return must_renew ? dropbox_renew(owner, task) : ERR_OK;
}
