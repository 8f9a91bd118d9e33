/* One mailbox of a host that was lost: its waiting mail, and its file where that is all that there
 * was. */
#include "cli/restored.h"

#include "backup/newest.h"
#include "backup/set_down.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void restored_say(struct restored *restored, const char *words, struct str what)
{
    cli_progress_end(&restored->progress);
    printf("%s: %.*s\n", words, STR_ARG(what));
    (void)fflush(stdout);
}

/* An address that leads to it, for the operator. */
static struct str address_of(struct restored *restored, struct task *task, int64_t row,
                             const struct id *mailbox)
{
    struct account_alias *aliases;
    size_t count = 0;

    if (account_alias_list_mailbox(restored->accounts, task, row, &aliases, &count) != ERR_OK) {
        task_forgive(task);
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (!aliases[i].is_pattern)
            return arena_printf(&task->arena, "%.*s@%.*s", STR_ARG(aliases[i].local),
                                STR_ARG(aliases[i].domain_name));
    }
    return id_str(mailbox);
}

/* `name` as `folder`/`file`, whose folders are made. *out_is_there: it was there. */
static enum err fetch(struct restored *restored, struct task *task, const char *name,
                      const char *folder, const char *file, bool *out_is_there)
{
    CLEANUP(backup_got_done) struct backup_got got = {.fd = -1};
    const char *path = arena_printf(&task->arena, "%s/%s", folder, file).ptr;

    *out_is_there = access(path, F_OK) == 0;
    if (*out_is_there)
        return ERR_OK;
    TRY(dir_make(task, AT_FDCWD, folder, true));
    TRY(backup_ask_get(&restored->ask, task, str_from_c(name), &got));
    return backup_set_down(task, &got, path);
}

/* An object that is damaged, or has just gone, is told and passed over. */
static enum err judge(struct restored *restored, struct task *task, enum err err, const char *name,
                      bool *out_is_damaged)
{
    *out_is_damaged = err == ERR_CORRUPT || err == ERR_NOT_FOUND;
    if (!*out_is_damaged)
        return err;
    restored_say(restored, "damaged", arena_printf(&task->arena, "%s: %s", name, task->words));
    restored->damaged++;
    task_forgive(task);
    return ERR_OK;
}

static const char *folder_of(struct restored *restored, struct task *task, const char *part,
                             const struct id *mailbox)
{
    return config_path(
        restored->config, task,
        arena_printf(&task->arena, "%s/%s/%s", part, mailbox->text + ID_TEXT_LEN - 2, mailbox->text)
            .ptr);
}

static enum err fetch_drop(struct restored *restored, struct task *task, const struct id *mailbox,
                           const char *name)
{
    bool is_there = false, is_damaged;
    enum err err;

    if (name[0] == '\0')
        return ERR_OK;
    err = fetch(restored, task, name, folder_of(restored, task, "drop", mailbox),
                arena_printf(&task->arena, "%s.drop.sqlite", mailbox->text).ptr, &is_there);
    TRY(judge(restored, task, err, name, &is_damaged));
    restored->drops += !is_damaged && !is_there;
    return ERR_OK;
}

/*
 * The accounts have seen a change more than the file has, before it is there: what the mailbox did
 * between its last copy and its end nobody knows, so its UIDs must not be given a second time under
 * one UIDVALIDITY.
 */
static enum err mark(struct restored *restored, struct task *task, const struct id *mailbox,
                     const struct manifest *manifest)
{
    struct account_mailbox row;
    struct account_usage usage;
    enum err err;

    TRY(account_mailbox_find(restored->accounts, task, mailbox, &row));
    usage = (struct account_usage){row.mail_bytes, row.messages, row.epoch, row.change_counter};
    if (usage.epoch < manifest->epoch)
        usage.epoch = manifest->epoch;
    if (usage.change_counter <= manifest->change_counter)
        usage.change_counter = manifest->change_counter + 1;
    TRY(account_begin(restored->accounts, task));
    err = account_mailbox_set_usage(restored->accounts, task, mailbox, &usage);
    if (err == ERR_OK)
        err = account_commit(restored->accounts, task);
    if (err != ERR_OK)
        account_rollback(restored->accounts);
    return err;
}

/* *out_is_done: its file is there. */
static enum err fetch_file(struct restored *restored, struct task *task, const struct id *mailbox,
                           const struct backup_newest *newest, bool *out_is_done)
{
    bool is_there = false, is_damaged;
    enum err err;

    TRY(mark(restored, task, mailbox, &newest->manifest));
    err = fetch(restored, task, newest->full, folder_of(restored, task, "mail", mailbox),
                arena_printf(&task->arena, "%s.sqlite", mailbox->text).ptr, &is_there);
    TRY(judge(restored, task, err, newest->full, &is_damaged));
    restored->files += !is_damaged;
    *out_is_done = !is_damaged;
    return ERR_OK;
}

/* Whose log nobody else can check: it may be altered, or be cut. */
static void leave_to_owner(struct restored *restored, struct task *task,
                           const struct backup_newest *newest, struct str address)
{
    struct str why = STR("there is no full backup, only its log");
    char time[CLOCK_ISO_ROOM];

    if (newest->full[0] != '\0' && newest->is_all) {
        why = STR("its full backup is damaged");
    } else if (newest->full[0] != '\0') {
        clock_format_iso(newest->manifest.time_ms, time);
        why = arena_printf(&task->arena, "its log may have more than its full backup of %s", time);
    }
    restored_say(restored, "to be restored with its owner",
                 arena_printf(&task->arena, "%.*s (%.*s)", STR_ARG(address), STR_ARG(why)));
    buf_put(&restored->commands, STR("    sealpost restore "));
    encode_shell_word(&restored->commands, address);
    buf_put(&restored->commands, STR("\n"));
    restored->later++;
}

enum err restored_mailbox(struct restored *restored, struct task *task, int64_t row,
                          const struct id *mailbox)
{
    struct backup_newest *newest = ARENA_NEW(&task->arena, struct backup_newest);
    const char *file = arena_printf(&task->arena, "%s/%s.sqlite",
                                    folder_of(restored, task, "mail", mailbox), mailbox->text)
                           .ptr;
    struct str address = address_of(restored, task, row, mailbox);
    bool is_done = access(file, F_OK) == 0;

    restored->mailboxes++;
    TRY(backup_newest_find(&restored->ask, task, mailbox, newest));
    TRY(fetch_drop(restored, task, mailbox, newest->drop));
    if (is_done) {
        restored->present++;
        return ERR_OK;
    }
    if (newest->is_all && newest->full[0] != '\0')
        TRY(fetch_file(restored, task, mailbox, newest, &is_done));
    if (is_done)
        return ERR_OK;
    if (newest->has_log || newest->full[0] != '\0') {
        leave_to_owner(restored, task, newest, address);
    } else {
        restored_say(restored, "no backup", address);
        restored->missing++;
    }
    return ERR_OK;
}
