#include "cli/restore_host.h"

#include "account/admin/command.h"
#include "backup/directory.h"
#include "backup/place.h"
#include "backup/s3.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/lookup.h"
#include "cli/progress.h"
#include "cli/restored.h"
#include "cli/secret_input.h"
#include "dropbox/key.h"
#include "role/premises.h"
#include "role/roles.h"
#include "role/sandbox.h"
#include "sqlite/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct log messages = {
    .level = LOG_LEVEL_WARNING, .fd = STDERR_FILENO, .role = "restore-host"};

enum { HOST_KEY_MAX = 4096, HOST_KEY_MIN = 32, WORDS_MAX = 400 };

/* What it stands on, besides. */
struct ground {
    struct config config;
    struct identity identity;
    struct backup_place place;
    struct cli_lookup lookup;
    struct net_http *http; /* own; NULL: a folder */
    int lock_fd;           /* own */
};

static enum err read_config(struct task *task, const char *file, struct config *out)
{
    CLEANUP(buf_free) struct buf text = {0};

    buf_init(&text, SIZE_MAX);
    TRY(file_read(task, AT_FDCWD, file, CONFIG_TEXT_MAX, &text));
    TRY(config_parse(task, file, buf_str(&text), NULL, out));
    if (out->backup.len == 0)
        return fail(task, ERR_INVALID, "%s has no setting \"backup\": from where?", file);
    return ERR_OK;
}

/* Folders and lock as `serve` has them; no accounts. */
static enum err take_place(struct ground *ground, struct task *task)
{
    const char *accounts;

    TRY(identity_find(task, ground->config.user, &ground->identity));
    TRY(premises_make_folders(task, &ground->config, &ground->identity));
    TRY(premises_lock(task, &ground->config, &ground->lock_fd));
    accounts = config_path(&ground->config, task, "account/account.sqlite");
    if (access(accounts, F_OK) == 0)
        return fail(task, ERR_EXISTS,
                    "%s is there: this command brings back a host that has no accounts, and "
                    "replaces nothing",
                    accounts);
    return ERR_OK;
}

static enum err read_host_key(struct restored *restored, struct task *task)
{
    const char *path = premises_host_key_path(restored->config, task);
    CLEANUP(buf_free) struct buf text = {0};
    CLEANUP(secret_free) struct secret *host_key = NULL;
    CLEANUP(secret_free) struct secret *drop_root = NULL;

    buf_init(&text, SIZE_MAX);
    TRY(file_read(task, AT_FDCWD, path, HOST_KEY_MAX, &text));
    if (text.len < HOST_KEY_MIN)
        return fail(task, ERR_INVALID, "the host key %s is shorter than 32 bytes", path);
    host_key = secret_copy(buf_str(&text));
    explicit_bzero(text.ptr, text.len);
    drop_root = crypt_derive(host_key, STR(DROPBOX_ROOT_PURPOSE), STR(""));
    backup_host_mark(drop_root, restored->mark);
    restored->accounts_key = account_database_key(host_key);
    return ERR_OK;
}

/* ---- The destination ---- */

static enum err open_s3(struct ground *ground, struct restored *restored, struct task *task)
{
    const struct config *config = &ground->config;
    struct net_http_options http = {.connections_max = 4};
    struct backup_s3_options options = {.log = &messages,
                                        .work_folder = config_path(config, task, "archive")};
    CLEANUP(buf_free) struct buf pem = {0};
    struct secret *secret = NULL;

    buf_init(&pem, SIZE_MAX);
    TRY(net_http_read_trust(task, config->backup_ca, &pem));
    http.trust_pem = buf_str(&pem);
    TRY(net_http_new(restored->ask.loop, task, &http, &ground->http));
    TRY(cli_lookup_open(task, restored->ask.loop, &messages, &ground->lookup));
    TRY(cli_secret_input(task, arena_copy(&task->arena, config->backup_key_file).ptr, "", &secret));
    options.client = (struct s3_client_options){
        .loop = restored->ask.loop,
        .http = ground->http,
        .dns = ground->lookup.dns,
        .place = &ground->place,
        .key_id = config->backup_key_id,
        .region = config->backup_region,
        .secret = secret,
    };
    return backup_s3_new(task, &options, &restored->ask.destination);
}

static enum err open_destination(struct ground *ground, struct restored *restored,
                                 struct task *task)
{
    struct config *config = &ground->config;
    const char *reason = backup_place_parse(&config->arena, config->backup, &ground->place);

    if (reason != NULL)
        return fail(task, ERR_INVALID, "backup: %s", reason);
    if (ground->place.is_s3)
        return open_s3(ground, restored, task);
    return backup_directory_open(restored->ask.loop, task, ground->place.path.ptr,
                                 &restored->ask.destination);
}

/*
 * What a server says is parsed from here on: as the service's user, with the data folder, the
 * destination, and what the C library reads to look up a name. Files get their owner by it, too.
 */
static enum err confine(const struct ground *ground, struct task *task)
{
    struct sandbox_rules rules = {.may_connect = ground->place.is_s3};

    TRY(identity_become(task, &ground->identity));
    sandbox_allow_path(&rules, arena_copy(&task->arena, ground->config.data).ptr,
                       SANDBOX_READ_WRITE);
    if (ground->place.is_s3)
        cli_lookup_sandbox(task, "/etc/resolv.conf", &rules);
    else
        sandbox_allow_path(&rules, ground->place.path.ptr, SANDBOX_READ);
    return sandbox_enter(task, &rules, ground->config.sandbox_required, &messages);
}

/* ---- The work ---- */

static void show(struct restored *restored, uint64_t total)
{
    json_t *report = json_object();

    json_object_set_new(report, "what", json_string("mailboxes"));
    json_object_set_new(report, "done", json_integer((json_int_t)restored->mailboxes));
    json_object_set_new(report, "total", json_integer((json_int_t)total));
    cli_progress_show(&restored->progress, report);
    json_decref(report);
}

static enum err restore_mailboxes(struct restored *restored, struct task *task)
{
    struct account_totals totals;
    int64_t row = 0;
    enum err err = ERR_OK;

    TRY(account_totals(restored->accounts, task, &totals));
    cli_progress_init(&restored->progress, false);
    while (err == ERR_OK) {
        struct task one;
        struct id id;

        task_init(&one, clock_now_ms());
        err = account_mailbox_next(restored->accounts, &one, row, &row, &id);
        if (err == ERR_OK && row != 0)
            err = restored_mailbox(restored, &one, row, &id);
        if (err != ERR_OK)
            (void)fail(task, err, "%s", one.words);
        task_done(&one);
        if (err != ERR_OK || row == 0)
            break;
        show(restored, totals.mailboxes);
    }
    cli_progress_end(&restored->progress);
    return err;
}

static void print_end(const struct restored *restored)
{
    printf("mailboxes: %llu; their files brought back: %llu, there already: %llu, to be restored "
           "with their owners: %llu, without a backup: %llu\n",
           (unsigned long long)restored->mailboxes, (unsigned long long)restored->files,
           (unsigned long long)restored->present, (unsigned long long)restored->later,
           (unsigned long long)restored->missing);
    printf("drop boxes brought back: %llu\n", (unsigned long long)restored->drops);
    if (restored->damaged > 0)
        printf("damaged objects: %llu, named above\n", (unsigned long long)restored->damaged);
    printf(
        "\nNext:\n"
        "  where the configuration names no certificate: sealpost make-certificate --config FILE\n"
        "  start the service\n");
    if (restored->later > 0) {
        printf(
            "  with the owner of each of these, since only his password or recovery key opens its\n"
            "  log (until then he cannot log in, and mail for him is put off, not lost):\n");
        (void)fwrite(restored->commands.ptr, 1, restored->commands.len, stdout);
    }
    printf("Be sure that the old host does not come back: two may not use one destination.\n");
}

static enum err run(const char *file, struct ground *ground, struct restored *restored,
                    struct task *task)
{
    TRY(read_config(task, file, &ground->config));
    restored->config = &ground->config;
    TRY(take_place(ground, task));
    TRY(read_host_key(restored, task));
    restored->ask.loop = net_loop_new();
    TRY(open_destination(ground, restored, task));
    TRY(confine(ground, task));
    TRY(restored_open_accounts(restored, task));
    TRY(restore_mailboxes(restored, task));
    TRY(restored_keep_accounts(restored, task));
    print_end(restored);
    return restored->damaged == 0
               ? ERR_OK
               : fail(task, ERR_CORRUPT, "all is done but for the damaged objects");
}

static void done(struct ground *ground, struct restored *restored)
{
    account_database_close(&restored->accounts);
    secret_free(&restored->accounts_key);
    backup_destination_free(&restored->ask.destination);
    if (ground->lookup.dns != NULL)
        cli_lookup_close(&ground->lookup);
    net_http_free(&ground->http);
    if (restored->ask.loop != NULL)
        net_loop_free(&restored->ask.loop);
    fd_close(&ground->lock_fd);
    buf_free(&restored->commands);
    config_done(&ground->config);
}

int cli_restore_host(const char *config_file)
{
    struct ground ground = {.lock_fd = -1};
    struct restored restored = {.mailboxes = 0};
    struct task task;
    enum err err;

    umask(077);
    db_init_library();
    buf_init(&restored.commands, SIZE_MAX);
    task_init(&task, clock_now_ms());
    err = run(config_file, &ground, &restored, &task);
    (void)fflush(stdout);
    if (err != ERR_OK)
        (void)fprintf(stderr, "sealpost: %s\n", task.words);
    if (err == ERR_BUSY)
        (void)fprintf(stderr, "sealpost: run the command again: it goes on where it was\n");
    done(&ground, &restored);
    task_done(&task);
    return err == ERR_OK ? ADMIN_EXIT_OK : ADMIN_EXIT_FAILED;
}
