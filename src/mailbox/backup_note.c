#include "mailbox/backup_note.h"

#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NOTE_MAX = 100 };

/* Before 2026-11-28 the last two numbers were not there. */
static void parse(struct str text, struct mailbox_backup_note *out)
{
    struct str time, counter, failed, put_off;

    if (!str_split(&text, ' ', &time) || !str_split(&text, ' ', &counter) ||
        !parse_i64(time, &out->last_ms) || !parse_u64(counter, &out->last_counter)) {
        *out = (struct mailbox_backup_note){0};
        return;
    }
    if (!str_split(&text, ' ', &failed) || !str_split(&text, ' ', &put_off) ||
        !parse_i64(failed, &out->failed_ms) || !parse_i64(put_off, &out->put_off_ms) ||
        out->put_off_ms < 0)
        out->failed_ms = out->put_off_ms = 0;
}

void mailbox_backup_note_read(const char *path, struct mailbox_backup_note *out)
{
    CLEANUP(buf_free) struct buf text;
    struct task task;

    *out = (struct mailbox_backup_note){0};
    buf_init(&text, SIZE_MAX);
    task_init(&task, 0);
    if (file_read(&task, AT_FDCWD, path, NOTE_MAX, &text) == ERR_OK)
        parse(str_trim(buf_str(&text)), out);
    task_done(&task);
}

static enum err write_aside(struct task *task, const char *path, const char *aside, struct str text)
{
    CLEANUP(fd_close) int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail(task, ERR_IO, "create: %s", strerror(errno));
    TRY(fd_write_all(task, fd, text));
    if (rename(aside, path) != 0)
        return fail(task, ERR_IO, "rename: %s", strerror(errno));
    return ERR_OK;
}

enum err mailbox_backup_note_write(struct task *task, const char *path,
                                   const struct mailbox_backup_note *note)
{
    const char *aside = arena_printf(&task->arena, "%s.new", path).ptr;
    struct str text = arena_printf(&task->arena, "%lld %llu %lld %lld\n", (long long)note->last_ms,
                                   (unsigned long long)note->last_counter,
                                   (long long)note->failed_ms, (long long)note->put_off_ms);
    enum err err = write_aside(task, path, aside, text);

    if (err != ERR_OK)
        (void)unlink(aside);
    return err;
}
