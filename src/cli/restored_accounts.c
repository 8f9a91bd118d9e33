/* The account database of a host that was lost. */
#include "cli/restored.h"

#include "backup/set_down.h"
#include "base/clock.h"
#include "base/file.h"
#include "role/premises.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CANDIDATES_MAX = 64 };

static const char prefix[] = "host/account/";
static const char *const beside[] = {"-wal", "-shm", ""};

/* The newest copies that the host key opens, in a ring. */
struct candidates {
    const char *mark; /* borrowed */
    char names[CANDIDATES_MAX][BACKUP_NAME_MAX + 1];
    size_t count; /* of all that there were */
};

static void on_name(void *owner, struct str name)
{
    struct candidates *all = owner;
    struct str rest = str_from(name, sizeof(prefix) - 1);
    char end[BACKUP_HOST_MARK_LEN + 16];
    int64_t ms;

    (void)snprintf(end, sizeof(end), "-%s.sqlite", all->mark);
    if (!backup_stamp_parse(rest, &ms) ||
        !str_equal(str_from(rest, BACKUP_STAMP_LEN), str_from_c(end)))
        return;
    (void)snprintf(all->names[all->count++ % CANDIDATES_MAX], BACKUP_NAME_MAX + 1, "%.*s",
                   STR_ARG(name));
}

static void forget(const char *path)
{
    for (size_t i = 0; i < ARRAY_LEN(beside); i++) {
        char name[4096];

        (void)snprintf(name, sizeof(name), "%s%s", path, beside[i]);
        (void)unlink(name);
    }
}

/* *out_has: it has a mailbox. */
static enum err open_one(struct restored *restored, struct task *task, const char *path,
                         bool *out_has)
{
    struct id id;
    int64_t row = 0;

    TRY(account_database_open(task, path, restored->accounts_key, &restored->accounts));
    TRY(account_mailbox_next(restored->accounts, task, 0, &row, &id));
    *out_has = row != 0;
    return ERR_OK;
}

static bool is_of_no_use(enum err err)
{
    return err == ERR_CORRUPT || err == ERR_DENIED || err == ERR_NOT_FOUND;
}

/* Takes the copy, if it is of use. */
static enum err try_one(struct restored *restored, struct task *task, const char *name,
                        bool needs_mailboxes, const char *path)
{
    CLEANUP(backup_got_done) struct backup_got got = {.fd = -1};
    bool has_mailboxes = false;
    enum err err = backup_ask_get(&restored->ask, task, str_from_c(name), &got);

    if (err == ERR_OK)
        TRY(backup_set_down(task, &got, path));
    if (err == ERR_OK)
        err = open_one(restored, task, path, &has_mailboxes);
    if (err == ERR_OK && needs_mailboxes && !has_mailboxes)
        err = fail(task, ERR_NOT_FOUND, "it has no mailbox");
    if (err == ERR_OK) {
        restored_say(restored, "accounts", str_from_c(name));
        return ERR_OK;
    }
    account_database_close(&restored->accounts);
    if (is_of_no_use(err)) {
        forget(path);
        restored_say(restored, "passed over",
                     arena_printf(&task->arena, "%s: %s", name, task->words));
        task_forgive(task);
        return ERR_OK;
    }
    return err;
}

/*
 * One without mailboxes comes after all others: so looks the copy of a service that was started on
 * the new host before this command was run.
 */
static enum err choose(struct restored *restored, struct task *task, const char *path)
{
    struct candidates *all = ARENA_NEW(&task->arena, struct candidates);
    size_t oldest;

    all->mark = restored->mark;
    TRY(backup_ask_list(&restored->ask, task, str_from_c(prefix), on_name, all));
    oldest = all->count > CANDIDATES_MAX ? all->count - CANDIDATES_MAX : 0;
    for (int needs_mailboxes = 1; needs_mailboxes >= 0; needs_mailboxes--) {
        for (size_t i = all->count; i > oldest && restored->accounts == NULL; i--)
            TRY(try_one(restored, task, all->names[(i - 1) % CANDIDATES_MAX], needs_mailboxes == 1,
                        path));
    }
    if (restored->accounts != NULL)
        return ERR_OK;
    return fail(task, ERR_NOT_FOUND,
                "%.*s has no copy of an account database that this host key opens (their names end "
                "with %s)",
                STR_ARG(restored->config->backup), restored->mark);
}

enum err restored_open_accounts(struct restored *restored, struct task *task)
{
    const char *path = premises_restoring_path(restored->config, task);
    bool has_mailboxes = false;

    if (access(path, F_OK) == 0) {
        TRY(open_one(restored, task, path, &has_mailboxes));
        if (has_mailboxes) {
            restored_say(restored, "accounts", STR("as they were brought here before"));
            return ERR_OK;
        }
        account_database_close(&restored->accounts);
        forget(path);
    }
    return choose(restored, task, path);
}

enum err restored_keep_accounts(struct restored *restored, struct task *task)
{
    const char *from = premises_restoring_path(restored->config, task);
    const char *to = config_path(restored->config, task, "account/account.sqlite");
    struct stat log;

    account_database_close(&restored->accounts);
    if (stat(arena_printf(&task->arena, "%s-wal", from).ptr, &log) == 0 && log.st_size > 0)
        return fail(task, ERR_IO, "%s could not be closed", from);
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) != 0)
        return fail(task, ERR_IO, "%s: %s", to, strerror(errno));
    forget(from); /* what else had that name */
    return dir_sync(task, AT_FDCWD, config_path(restored->config, task, "account"));
}
