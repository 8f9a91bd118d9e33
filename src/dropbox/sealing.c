#include "dropbox/sealing.h"

#include "base/file.h"
#include "base/memory.h"
#include "dropbox/damaged.h"
#include "dropbox/key.h"
#include "dropbox/lane.h"
#include "dropbox/lock.h"
#include "dropbox/seal.h"

#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

enum {
    OPEN_MAX_DEFAULT = 128,
    CHAIN_MAX_DEFAULT = 16384,
    BUCKETS = 4096,
    PATH_ROOM = 4096,
    CATCH_UP_MAX = 100000, /* more than any batch: another n is not the outcome of a commit of ours */
};

/* A mailbox that mail came for. */
struct box {
    struct id mailbox;
    struct chain chain; /* key NULL: none is running */
    unsigned char owner_public[CRYPT_X25519_BYTES];
    struct records *records; /* own; NULL: closed */
    int lock_fd;             /* own; of the drop folder, while `records` is open; else -1 */
    struct records_totals totals;
    bool is_uncertain; /* a commit failed: the records may be there all the same */
    LIST_ENTRY(box) in_bucket;
    TAILQ_ENTRY(box) in_order; /* most recently used first */
    TAILQ_ENTRY(box) in_open;  /* likewise, those with records open */
};
LIST_HEAD(bucket, box);
TAILQ_HEAD(box_order, box);

struct sealing {
    char *drop_root;    /* own */
    struct secret *key; /* own */
    size_t open_max, chain_max;
    size_t open_count, box_count;
    const struct log *log;
    struct bucket buckets[BUCKETS];
    struct box_order order, open;
};

struct sealing *sealing_new(const struct sealing_options *options)
{
    struct sealing *sealing = NEW(struct sealing);

    sealing->drop_root = mem_copy_text(options->drop_root, strlen(options->drop_root));
    sealing->key = secret_copy(secret_str(options->key));
    sealing->open_max = options->open_max > 0 ? options->open_max : OPEN_MAX_DEFAULT;
    sealing->chain_max = options->chain_max > 0 ? options->chain_max : CHAIN_MAX_DEFAULT;
    sealing->log = options->log;
    TAILQ_INIT(&sealing->order);
    TAILQ_INIT(&sealing->open);
    return sealing;
}

/* --- The boxes that are remembered --- */

static struct bucket *bucket_of(struct sealing *sealing, const struct id *mailbox)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < ID_TEXT_LEN; i++)
        hash = (hash ^ (unsigned char)mailbox->text[i]) * 16777619u;
    return &sealing->buckets[hash % BUCKETS];
}

/* The file alone: the lock stays. */
static void close_file(struct sealing *sealing, struct box *box)
{
    if (box->records == NULL)
        return;
    records_close(&box->records);
    TAILQ_REMOVE(&sealing->open, box, in_open);
    sealing->open_count--;
}

/* Also what is half open: the lock without the file. */
static void close_records(struct sealing *sealing, struct box *box)
{
    close_file(sealing, box);
    fd_close(&box->lock_fd);
}

static void forget_box(struct sealing *sealing, struct box *box)
{
    close_records(sealing, box);
    chain_done(&box->chain);
    LIST_REMOVE(box, in_bucket);
    TAILQ_REMOVE(&sealing->order, box, in_order);
    sealing->box_count--;
    mem_free(&box);
}

static struct box *find_box(struct sealing *sealing, const struct id *mailbox)
{
    struct box *box;

    LIST_FOREACH(box, bucket_of(sealing, mailbox), in_bucket)
        if (id_equal(&box->mailbox, mailbox))
            return box;
    return NULL;
}

/* Found or new, and moved to the front; the one that was not used for longest may go for it. */
static struct box *use_box(struct sealing *sealing, const struct id *mailbox)
{
    struct box *box = find_box(sealing, mailbox);

    if (box != NULL) {
        TAILQ_REMOVE(&sealing->order, box, in_order);
    } else {
        if (sealing->box_count >= sealing->chain_max)
            forget_box(sealing, TAILQ_LAST(&sealing->order, box_order));
        box = NEW(struct box);
        box->mailbox = *mailbox;
        box->lock_fd = -1;
        LIST_INSERT_HEAD(bucket_of(sealing, mailbox), box, in_bucket);
        sealing->box_count++;
    }
    TAILQ_INSERT_HEAD(&sealing->order, box, in_order);
    return box;
}

void sealing_free(struct sealing **sealing)
{
    struct sealing *gone = *sealing;

    if (gone == NULL)
        return;
    while (!TAILQ_EMPTY(&gone->order))
        forget_box(gone, TAILQ_FIRST(&gone->order));
    secret_free(&gone->key);
    mem_free(&gone->drop_root);
    mem_free(sealing);
}

/* --- Making a box ready --- */

static enum err folder_of(const struct sealing *sealing, struct task *task,
                          const struct id *mailbox, char out[static PATH_ROOM])
{
    if (snprintf(out, PATH_ROOM, "%s/%s/%s", sealing->drop_root,
                 mailbox->text + ID_TEXT_LEN - 2, mailbox->text) >= PATH_ROOM)
        return fail(task, ERR_INVALID, "path too long");
    return ERR_OK;
}

static enum err open_file(struct sealing *sealing, struct task *task, struct box *box,
                          const char *folder)
{
    CLEANUP(secret_free) struct secret *key = dropbox_key(sealing->key, &box->mailbox);

    TRY(records_open(task, folder, &box->mailbox, key, true, &box->records));
    TAILQ_INSERT_HEAD(&sealing->open, box, in_open);
    sealing->open_count++;
    return records_totals(box->records, task, &box->totals);
}

/*
 * A drop file that does not open is kept under another name, so that mail goes on into a fresh one.
 * The chain ends with it: the next record begins a boot, and no gap is seen in front of it.
 */
static enum err set_aside(struct sealing *sealing, struct task *task, struct box *box,
                          const char *folder)
{
    const char *reason = arena_printf(&task->arena, "%s", task->words).ptr;
    const char *name;

    close_file(sealing, box);
    task_forgive(task);
    TRY(damaged_set_aside(task, folder, &box->mailbox, &name));
    log_error(sealing->log, "a drop file is damaged and was set aside mailbox=%s file=%s reason=%s",
              box->mailbox.text, name, reason);
    chain_done(&box->chain);
    box->is_uncertain = false;
    return ERR_OK;
}

static enum err open_records(struct sealing *sealing, struct task *task, struct box *box,
                             const char *folder)
{
    enum err err;

    if (sealing->open_count >= sealing->open_max)
        close_records(sealing, TAILQ_LAST(&sealing->open, box_order));
    err = open_file(sealing, task, box, folder);
    if (err == ERR_CORRUPT || err == ERR_DENIED) {
        TRY(set_aside(sealing, task, box, folder));
        err = open_file(sealing, task, box, folder);
    }
    return err;
}

/* After a commit whose outcome is not known: the chain goes on behind what is there. */
static enum err catch_up(struct task *task, struct box *box)
{
    uint64_t next_n;

    TRY(records_next_n(box->records, task, &box->chain.place, &next_n));
    if (next_n > box->chain.n + CATCH_UP_MAX)
        return fail(task, ERR_CORRUPT, "a record of this boot that was never sealed");
    while (box->chain.n < next_n)
        chain_step(&box->chain);
    TRY(records_totals(box->records, task, &box->totals));
    box->is_uncertain = false;
    return ERR_OK;
}

/*
 * A chain that goes on while the file was closed, and with it unlocked, may have missed a renewal:
 * what it would seal now, nobody could open for lack of the root.
 */
static void check_chain(struct box *box, const struct lane *lane)
{
    const struct chain_place *place = &box->chain.place;

    if (box->chain.key == NULL ||
        (memcmp(place->lane, lane->place.lane, DROPBOX_LANE_BYTES) == 0 && lane->slot >= 0 &&
         place->generation == lane->place.generation && place->boot + 1 == lane->place.boot))
        return;
    chain_done(&box->chain);
    box->is_uncertain = false;
}

/* With the lock: the lane, the file, and a chain that belongs to both. */
static enum err open_box(struct sealing *sealing, struct task *task, struct box *box)
{
    CLEANUP(lane_close) struct lane lane = {.fd = -1};
    char folder[PATH_ROOM];

    TRY(folder_of(sealing, task, &box->mailbox, folder));
    TRY(dropbox_lock_take(task, folder, 0, &box->lock_fd));
    TRY(lane_open(task, folder, &lane));
    check_chain(box, &lane);
    /* The file before the boot, so that a file that does not open costs none. */
    TRY(open_records(sealing, task, box, folder));
    if (box->chain.key != NULL)
        return box->is_uncertain ? catch_up(task, box) : ERR_OK;
    TRY(lane_take_boot(&lane, task, &box->chain));
    memcpy(box->owner_public, lane.public, CRYPT_X25519_BYTES);
    return ERR_OK;
}

static enum err make_ready(struct sealing *sealing, struct task *task, struct box *box)
{
    if (box->records == NULL)
        return open_box(sealing, task, box);
    TAILQ_REMOVE(&sealing->open, box, in_open);
    TAILQ_INSERT_HEAD(&sealing->open, box, in_open);
    return ERR_OK;
}

/* --- Sealing --- */

static enum err seal_one(struct task *task, struct box *box, const struct dropbox_mail *mail)
{
    CLEANUP(buf_free) struct buf sealed;
    struct record record = {.place = box->chain.place, .n = box->chain.n};

    buf_init(&sealed, SIZE_MAX);
    TRY(seal_record(&sealed, task, &box->chain, box->owner_public, mail));
    record.sealed = buf_str(&sealed);
    TRY(records_add(box->records, task, &record));
    chain_step(&box->chain);
    box->totals.count++;
    box->totals.bytes += sealed.len;
    return ERR_OK;
}

static enum err seal_all(struct task *task, struct box *box, const struct dropbox_mail *mails,
                         size_t count)
{
    TRY(records_begin(box->records, task));
    for (size_t i = 0; i < count; i++)
        TRY(seal_one(task, box, &mails[i]));
    return records_commit(box->records, task, true);
}

/* A page of the open file is damaged: the sender's next attempt finds a fresh file. */
static enum err leave_damaged(struct sealing *sealing, struct task *task, struct box *box)
{
    char folder[PATH_ROOM];

    TRY(folder_of(sealing, task, &box->mailbox, folder));
    TRY(set_aside(sealing, task, box, folder));
    return fail(task, ERR_IO, "the drop file is damaged");
}

enum err sealing_deliver(struct sealing *sealing, struct task *task, const struct id *mailbox,
                         const struct dropbox_mail *mails, size_t count,
                         struct records_totals *out_totals)
{
    CLEANUP(chain_done) struct chain before = {.key = NULL};
    struct box *box = use_box(sealing, mailbox);
    enum err err = make_ready(sealing, task, box);

    if (err != ERR_OK) {
        if (box->chain.key == NULL)
            forget_box(sealing, box); /* names of mailboxes that are none are not collected */
        else
            close_records(sealing, box);
        return err;
    }
    chain_copy(&before, &box->chain);
    err = seal_all(task, box, mails, count);
    if (err != ERR_OK) {
        records_rollback(box->records);
        chain_copy(&box->chain, &before);
        box->is_uncertain = true;
        if (err == ERR_CORRUPT)
            err = leave_damaged(sealing, task, box);
        close_records(sealing, box);
        return err;
    }
    *out_totals = box->totals;
    return ERR_OK;
}

/* Of a file that is not open here. */
static enum err copy_closed(const struct sealing *sealing, struct task *task, const struct id *mailbox,
                            const char *path)
{
    CLEANUP(secret_free) struct secret *key = dropbox_key(sealing->key, mailbox);
    CLEANUP(fd_close) int lock_fd = -1;
    CLEANUP(records_close) struct records *records = NULL;
    char folder[PATH_ROOM];
    enum err err;

    TRY(folder_of(sealing, task, mailbox, folder));
    err = dropbox_lock_take(task, folder, 0, &lock_fd);
    if (err == ERR_BUSY)
        return ERR_NOT_FOUND;
    TRY(err);
    TRY(records_open(task, folder, mailbox, key, false, &records));
    return records_copy(records, task, path);
}

enum err sealing_copy(struct sealing *sealing, struct task *task, const struct id *mailbox,
                      const char *path)
{
    struct box *box = find_box(sealing, mailbox);

    return box != NULL && box->records != NULL ? records_copy(box->records, task, path)
                                               : copy_closed(sealing, task, mailbox, path);
}

void sealing_release(struct sealing *sealing, const struct id *mailbox)
{
    struct box *box = find_box(sealing, mailbox);

    if (box != NULL)
        forget_box(sealing, box);
}
