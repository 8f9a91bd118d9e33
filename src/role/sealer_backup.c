#include "role/sealer_backup.h"

#include "backup/copy_put.h"
#include "backup/name.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NOTES_MAX = 65536, /* more boxes are noted with their next mail */
    SLICE_BYTES = 1024 * 1024,
    LOOKED_AT_ONCE = 16,
    TOLERANCE_MS = 1000, /* of a file system's times */
};

/* Its time: all that was sealed before is backed up. */
static const char backed[] = ".backed";

/* A box whose backup is due some time. */
struct note {
    struct id mailbox;
    int64_t due_ms; /* monotonic */
    TAILQ_ENTRY(note) in_notes;
};
TAILQ_HEAD(notes, note);

struct sealer_backup {
    struct role_process *process; /* borrowed */
    struct sealing *sealing;      /* borrowed; NULL: no key yet */
    const char *folder;           /* borrowed */
    int64_t after_ms;
    struct notes notes; /* by when they are due */
    size_t note_count;
    struct net_timer *timer; /* own; the first note */
    struct copy_put *put;    /* own; NULL: none under way */
    struct id mailbox;       /* the one in work; unset: none */
    uint64_t last_tag;
    /* The look at all boxes, once. */
    bool was_begun;
    DIR *root, *part;        /* own; <drop> and <drop>/<xx> */
    int64_t since_ms;        /* what is older is backed up */
    struct net_timer *looks; /* own */
};

static void wait_for_next(struct sealer_backup *backup)
{
    const struct note *first = TAILQ_FIRST(&backup->notes);
    int64_t now_ms = clock_monotonic_ms();

    if (first != NULL)
        net_timer_start(backup->timer, first->due_ms > now_ms ? first->due_ms - now_ms : 0);
}

/* Nothing is left to do: the next process need not look at what there is now. */
static void note_all_backed(const struct sealer_backup *backup)
{
    struct task task;

    if (!TAILQ_EMPTY(&backup->notes) || backup->root != NULL)
        return;
    task_init(&task, clock_now_ms());
    fd_close(&(int){open(arena_printf(&task.arena, "%s/%s", backup->folder, backed).ptr,
                         O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)});
    (void)utimensat(AT_FDCWD, arena_printf(&task.arena, "%s/%s", backup->folder, backed).ptr, NULL,
                    0);
    task_done(&task);
}

/* The one in work is done, or not now: `is_again`, later. */
static void end(struct sealer_backup *backup, bool is_again)
{
    struct id mailbox = backup->mailbox;

    backup->mailbox = (struct id){""};
    if (is_again)
        sealer_backup_note(backup, &mailbox);
    note_all_backed(backup);
    wait_for_next(backup);
}

static struct wire_channel *archivist_of(void *owner)
{
    const struct sealer_backup *backup = owner;

    return role_peer(backup->process, WIRE_ROLE_ARCHIVIST, 0);
}

static void warn(const struct sealer_backup *backup, const char *words)
{
    log_warning(role_log(backup->process),
                "waiting mail was not backed up mailbox=%s reason=\"%s\"", backup->mailbox.text,
                words);
}

static void on_put(void *owner, enum err err, const char *words)
{
    struct sealer_backup *backup = owner;

    backup->put = NULL;
    if (err != ERR_OK)
        warn(backup, words);
    end(backup, err != ERR_OK);
}

static enum err begin(struct sealer_backup *backup, struct task *task)
{
    const char *path = arena_printf(&task->arena, "%s/.backup", backup->folder).ptr;
    char stamp[BACKUP_STAMP_ROOM], name[BACKUP_STAMP_ROOM + 32];
    struct copy_put_options options = {.loop = role_loop(backup->process),
                                       .fd = -1,
                                       .mailbox = backup->mailbox,
                                       .name = name,
                                       .slice_bytes = SLICE_BYTES,
                                       .tag = ++backup->last_tag,
                                       .archivist = archivist_of,
                                       .on_done = on_put,
                                       .owner = backup};
    enum err err;

    (void)unlink(path); /* of a process that ended in the middle */
    err = sealing_copy(backup->sealing, task, &backup->mailbox, path);
    if (err == ERR_OK)
        options.fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)unlink(path);
    TRY(err);
    if (options.fd < 0)
        return fail(task, ERR_IO, "the copy: %s", strerror(errno));
    backup_stamp_format(task->now_ms, stamp);
    (void)snprintf(name, sizeof(name), "drop/%s.drop.sqlite", stamp);
    backup->put = copy_put_start(&options);
    return ERR_OK;
}

static void drop_note(struct sealer_backup *backup, struct note *note)
{
    TAILQ_REMOVE(&backup->notes, note, in_notes);
    backup->note_count--;
    mem_free(&note);
}

/* The next one that is due; false: none now. */
static bool take_next(struct sealer_backup *backup)
{
    struct note *first = TAILQ_FIRST(&backup->notes);

    if (first == NULL || first->due_ms > clock_monotonic_ms() || backup->sealing == NULL)
        return false;
    backup->mailbox = first->mailbox;
    drop_note(backup, first);
    return true;
}

static void on_time(void *owner)
{
    struct sealer_backup *backup = owner;
    struct task task;
    enum err err;

    if (backup->put != NULL)
        return;
    if (!take_next(backup)) {
        wait_for_next(backup);
        return;
    }
    task_init(&task, clock_now_ms());
    err = begin(backup, &task);
    if (err != ERR_OK) {
        /* Its owner has it now, or it is empty: nothing to do. */
        bool is_gone = err == ERR_NOT_FOUND;

        if (!is_gone)
            warn(backup, task.words);
        end(backup, !is_gone);
    }
    task_done(&task);
}

void sealer_backup_note(struct sealer_backup *backup, const struct id *mailbox)
{
    struct note *note;

    if (backup == NULL || backup->note_count == NOTES_MAX)
        return;
    TAILQ_FOREACH(note, &backup->notes, in_notes)
    {
        if (id_equal(&note->mailbox, mailbox))
            return;
    }
    note = NEW(struct note);
    note->mailbox = *mailbox;
    note->due_ms = clock_monotonic_ms() + backup->after_ms;
    TAILQ_INSERT_TAIL(&backup->notes, note, in_notes);
    backup->note_count++;
    if (!id_is_set(&backup->mailbox))
        wait_for_next(backup);
}

void sealer_backup_forget(struct sealer_backup *backup, const struct id *mailbox)
{
    struct note *note, *next;

    if (backup == NULL)
        return;
    for (note = TAILQ_FIRST(&backup->notes); note != NULL; note = next) {
        next = TAILQ_NEXT(note, in_notes);
        if (id_equal(&note->mailbox, mailbox))
            drop_note(backup, note);
    }
}

/* ---- What an earlier process did not come to ---- */

static int64_t changed_ms(int dir_fd, const char *name)
{
    struct stat status;

    return fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0
               ? INT64_MIN
               : (int64_t)status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000;
}

static void look_at(struct sealer_backup *backup, const struct id *mailbox)
{
    static const char *const kinds[] = {".drop.sqlite", ".drop.sqlite-wal"};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        char name[2 * ID_TEXT_LEN + 32];

        (void)snprintf(name, sizeof(name), "%s/%s%s", mailbox->text, mailbox->text, kinds[i]);
        if (changed_ms(dirfd(backup->part), name) >= backup->since_ms) {
            sealer_backup_note(backup, mailbox);
            return;
        }
    }
}

/* The next folder with boxes; false: that was all. */
static bool next_part(struct sealer_backup *backup)
{
    const struct dirent *entry;

    folder_close(&backup->part);
    while (backup->part == NULL && (entry = readdir(backup->root)) != NULL) {
        int fd = entry->d_name[0] == '.'
                     ? -1
                     : openat(dirfd(backup->root), entry->d_name,
                              O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        backup->part = fd < 0 ? NULL : fdopendir(fd);
    }
    return backup->part != NULL;
}

static void on_look(void *owner)
{
    struct sealer_backup *backup = owner;
    const struct dirent *entry;
    struct id mailbox;

    for (int i = 0; i < LOOKED_AT_ONCE; i++) {
        entry = backup->part == NULL ? NULL : readdir(backup->part);
        if (entry == NULL && !next_part(backup)) {
            folder_close(&backup->root);
            if (!id_is_set(&backup->mailbox))
                note_all_backed(backup);
            return;
        }
        if (entry != NULL && id_parse(str_from_c(entry->d_name), &mailbox))
            look_at(backup, &mailbox);
    }
    net_timer_start(backup->looks, 0);
}

static void begin_looking(struct sealer_backup *backup)
{
    int64_t since_ms;

    backup->was_begun = true;
    backup->root = opendir(backup->folder);
    if (backup->root == NULL)
        return;
    since_ms = changed_ms(dirfd(backup->root), backed);
    /* One of the future says nothing: a clock was wrong. */
    backup->since_ms = since_ms == INT64_MIN || since_ms > clock_now_ms() ? INT64_MIN + 1
                                                                          : since_ms - TOLERANCE_MS;
    net_timer_start(backup->looks, 0);
}

void sealer_backup_set_sealing(struct sealer_backup *backup, struct sealing *sealing)
{
    if (backup == NULL)
        return;
    backup->sealing = sealing;
    if (!backup->was_begun)
        begin_looking(backup);
}

void sealer_backup_answered(struct sealer_backup *backup, const struct wire_message *message)
{
    if (backup != NULL)
        copy_put_answered(backup->put, message);
}

void sealer_backup_archivist_gone(struct sealer_backup *backup)
{
    if (backup != NULL)
        copy_put_archivist_gone(backup->put);
}

struct sealer_backup *sealer_backup_new(struct role_process *process, const char *folder)
{
    const struct config *config = role_config(process);
    struct sealer_backup *backup;

    if (config->backup.len == 0)
        return NULL;
    backup = NEW(struct sealer_backup);
    backup->process = process;
    backup->folder = folder;
    backup->after_ms = (int64_t)config->backup_drop_after_ms;
    TAILQ_INIT(&backup->notes);
    backup->timer = net_timer_new(role_loop(process), on_time, backup);
    backup->looks = net_timer_new(role_loop(process), on_look, backup);
    return backup;
}

void sealer_backup_free(struct sealer_backup **backup)
{
    if (*backup == NULL)
        return;
    while (!TAILQ_EMPTY(&(*backup)->notes))
        drop_note(*backup, TAILQ_FIRST(&(*backup)->notes));
    copy_put_free(&(*backup)->put);
    net_timer_free(&(*backup)->timer);
    net_timer_free(&(*backup)->looks);
    folder_close(&(*backup)->part);
    folder_close(&(*backup)->root);
    mem_free(backup);
}
