/*
 * What restores replaced goes from the mailboxes' folders when its time is over (backup/kept.h).
 * The nursery does it, which may write there without any mailbox's key: so it goes also where
 * nobody logs in. A 256th of all mailboxes at a time, in turns, as the last two digits of their ids
 * are: however many there are, one turn is short.
 */
#include "role/nursery.h"

#include "backup/kept.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    PARTS = 256,
    ROUND_MS = 60 * 60 * 1000, /* all of them, or */
    ROUNDS_A_KEEP = 4,         /* so often while a file is kept, where that is sooner */
    PAUSE_MIN_MS = 4,
};

struct nursery_sweep {
    const struct role_process *process; /* borrowed */
    struct net_timer *timer;            /* own */
    unsigned part;                      /* the next */
};

static int64_t pause_ms(const struct config *config)
{
    int64_t round_ms = (int64_t)config->restore_keep_ms / ROUNDS_A_KEEP;

    round_ms = round_ms > ROUND_MS ? ROUND_MS : round_ms;
    return round_ms / PARTS > PAUSE_MIN_MS ? round_ms / PARTS : PAUSE_MIN_MS;
}

static void sweep_mailbox(const struct log *log, int dir_fd, const struct id *mailbox,
                          int64_t until_ms)
{
    size_t removed = 0;
    struct task task;

    task_init(&task, clock_now_ms());
    if (kept_remove(&task, dir_fd, mailbox->text, mailbox, until_ms, &removed) != ERR_OK)
        log_failure(log, "removing what a restore replaced", &task);
    if (removed > 0)
        log_info(log,
                 "what a restore replaced was kept long enough, and removed mailbox=%s files=%zu",
                 mailbox->text, removed);
    task_done(&task);
}

static void sweep_part(const struct role_process *process, const char *path, int64_t until_ms)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP(folder_close) DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct id mailbox;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (id_parse(str_from_c(entry->d_name), &mailbox))
            sweep_mailbox(role_log(process), dirfd(folder), &mailbox, until_ms);
    }
    if (folder == NULL && fd >= 0)
        (void)close(fd);
}

static void on_time(void *owner)
{
    struct nursery_sweep *sweep = owner;
    const struct config *config = role_config(sweep->process);
    int64_t until_ms = clock_now_ms() - (int64_t)config->restore_keep_ms;
    struct task task;

    task_init(&task, clock_now_ms());
    sweep_part(sweep->process,
               config_path(config, &task, arena_printf(&task.arena, "mail/%02x", sweep->part).ptr),
               until_ms);
    task_done(&task);
    sweep->part = (sweep->part + 1) % PARTS;
    net_timer_start(sweep->timer, pause_ms(config));
}

void nursery_sweep_start(struct role_process *process)
{
    struct nursery_sweep *sweep = NEW(struct nursery_sweep);

    sweep->process = process;
    sweep->timer = net_timer_new(role_loop(process), on_time, sweep);
    net_timer_start(sweep->timer, pause_ms(role_config(process)));
}
