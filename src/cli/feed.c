/* The process that reads what is to be imported. */
#include "cli/feed.h"

#include "base/clock.h"
#include "base/file.h"
#include "cli/remote.h"
#include "cli/secret_input.h"
#include "transfer/file_in.h"
#include "transfer/names.h"
#include "transfer/read.h"
#include "transfer/stream.h"
#include "transfer/uidl.h"

#include <errno.h>
#include <locale.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MEMORY_MAX = 2u * 1024 * 1024 * 1024 - 1,
    FILE_MAX = 1024 * 1024, /* the memory that secrets lie in is one to the kernel */
};

/* Foreign bytes are parsed here: no rights are gained, memory is bounded, nothing large is written. More
 * behind the passwords (enter_sandbox). */
static void confine(void)
{
    const struct rlimit memory = {MEMORY_MAX, MEMORY_MAX}, none = {0, 0};
    const struct rlimit file = {FILE_MAX, FILE_MAX};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)setrlimit(RLIMIT_AS, &memory);
    (void)setrlimit(RLIMIT_FSIZE, &file);
    (void)setrlimit(RLIMIT_CORE, &none);
    /* libarchive converts names in archives by it. */
    (void)setlocale(LC_CTYPE, "C.UTF-8");
}

/* What the command has beside the mail: the mailbox's password, and the connection to the service,
 * which obeys whoever has it. Memory is wiped as it is freed (base/wipe.c). */
static void forget(const struct cli_feed_source *source, int stream_fd)
{
    const int kept[] = {source->fd < stream_fd ? source->fd : stream_fd,
                        source->fd < stream_fd ? stream_fd : source->fd};
    const struct cli_line *line = source->line;
    unsigned next = STDERR_FILENO + 1;

    for (size_t i = 0; i < line->secret_count; i++)
        json_object_del(line->arguments, line->secrets[i].argument->name);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        if (kept[i] > (int)next)
            (void)close_range(next, (unsigned)kept[i] - 1, 0);
        if (kept[i] >= (int)next)
            next = (unsigned)kept[i] + 1;
    }
    (void)close_range(next, ~0u, 0);
}

/* What a program that was killed, or that has the file open, left beside it belongs to it. */
static enum err check_alone(struct task *task, const char *name)
{
    static const char *const suffixes[] = {"-wal", "-journal"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        const char *beside = arena_printf(&task->arena, "%s%s", name, suffixes[i]).ptr;
        struct stat found;

        if (stat(beside, &found) == 0 && found.st_size > 0)
            return fail(
                task, ERR_BUSY,
                "%s holds changes that are not in the file yet: close the program that has it "
                "open, or open and close it once with one that writes it",
                beside);
    }
    return ERR_OK;
}

static void allow_if_there(struct sandbox_rules *rules, const char *path)
{
    if (path != NULL && access(path, R_OK) == 0)
        sandbox_allow_path(rules, path, SANDBOX_READ);
}

/* What OpenSSL reads as a list, with colons; of a longer one the first. */
static void allow_folders(struct task *task, struct sandbox_rules *rules, const char *folders)
{
    enum { FOLDERS_MAX = 4 };
    struct str rest = str_from_c(folders), folder;

    for (size_t i = 0; i < FOLDERS_MAX && str_split(&rest, ':', &folder); i++)
        allow_if_there(rules, arena_copy(&task->arena, folder).ptr);
}

/* Links in the system's folder lead to where Debian, and its administrator, put certificates. */
static void allow_certificates(struct task *task, struct sandbox_rules *rules, const char *ca_file)
{
    const char *folders = getenv(X509_get_default_cert_dir_env());
    const char *file = getenv(X509_get_default_cert_file_env());

    allow_if_there(rules, ca_file);
    if (ca_file != NULL)
        return;
    allow_folders(task, rules, folders != NULL ? folders : X509_get_default_cert_dir());
    allow_if_there(rules, file != NULL ? file : X509_get_default_cert_file());
    allow_if_there(rules, "/usr/share/ca-certificates");
    allow_if_there(rules, "/usr/local/share/ca-certificates");
}

void cli_feed_sandbox(struct task *task, const struct cli_feed_source *source,
                      struct sandbox_rules *out)
{
    struct stat status;

    *out = (struct sandbox_rules){.may_read_others = true};
    if (cli_remote_is_one(source->name))
        allow_certificates(task, out, source->server_ca_file);
    else if (fstat(source->fd, &status) == 0 &&
             (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) /* a pipe has no place */
        sandbox_allow_path(out, arena_printf(&task->arena, "/proc/self/fd/%d", source->fd).ptr,
                           SANDBOX_READ);
}

static enum err enter_sandbox(struct task *task, const struct cli_feed_source *source)
{
    static const struct log log = {.level = LOG_LEVEL_WARNING, .fd = STDERR_FILENO, .role = "import"};
    struct sandbox_rules rules;

    cli_feed_sandbox(task, source, &rules);
    return sandbox_enter(task, &rules, !source->line->is_sandbox_optional, &log);
}

static enum err read_file(struct task *task, const struct cli_feed_source *source,
                          struct transfer_feed *feed)
{
    CLEANUP(secret_free) struct secret *password = NULL;
    bool is_mailbox = transfer_file_is_one(source->fd);

    if (is_mailbox) {
        TRY(check_alone(task, source->name));
        TRY(cli_secret_input(task, source->file_password_file, "Password of the file: ",
                             &password));
    }
    TRY(enter_sandbox(task, source));
    return is_mailbox ? transfer_file_in(task, source->fd, secret_str(password), feed)
                      : transfer_read(task, source->fd, STR("INBOX"), transfer_feed_sink(feed));
}

static enum err read_source(struct task *task, const struct cli_feed_source *source,
                            struct transfer_feed *feed, struct transfer_fetched *out_fetched)
{
    CLEANUP(cli_remote_close) struct cli_remote_session session = {.line = NULL};
    struct cli_remote remote;

    *out_fetched = (struct transfer_fetched){.refused_count = 0};
    if (!cli_remote_is_one(source->name))
        return read_file(task, source, feed);
    TRY(cli_remote_parse(task, str_from_c(source->name), &remote));
    TRY(cli_remote_open(task, &remote, source->server_password_file, &session));
    TRY(enter_sandbox(task, source));
    return cli_remote_fetch(task, &remote, &session, source->server_ca_file, feed, out_fetched);
}

/* What did not come along; names of a stranger's server, on somebody's terminal. */
static void tell(struct task *task, const struct transfer_fetched *fetched)
{
    struct str view = transfer_clean_name(&task->arena, fetched->view);
    struct str refused = transfer_clean_name(&task->arena, fetched->refused);
    struct str lost_in = transfer_clean_name(&task->arena, fetched->lost_in);

    if (view.len > 0)
        (void)fprintf(
            stderr,
            "\rsealpost: \"%.*s\" shows what is in other folders and was passed over. With "
            "some providers it has more, such as archived mail: to take it, write its name "
            "behind the URL's last \"/\".\n",
            STR_ARG(view));
    if (fetched->refused_count > 0)
        (void)fprintf(stderr,
                      "\rsealpost: folders that the server did not give: %zu, the first \"%.*s\"\n",
                      fetched->refused_count, STR_ARG(refused));
    if (fetched->lost_count > 0)
        (void)fprintf(
            stderr,
            "\rsealpost: messages that the server did not give: %zu, the first with UID %u "
            "in \"%.*s\"\n",
            fetched->lost_count, (unsigned)fetched->lost_uid, STR_ARG(lost_in));
}

static int feed_all(const struct cli_feed_source *source, int stream_fd)
{
    CLEANUP(transfer_feed_free) struct transfer_feed *feed = transfer_feed_new(stream_fd);
    CLEANUP(task_done) struct task task;
    struct transfer_fetched fetched;
    struct transfer_totals totals;
    enum err err;

    task_init(&task, clock_now_ms());
    if (source->uidl != NULL)
        transfer_feed_set_uidl(feed, transfer_uidl_template(str_from_c(source->uidl)));
    err = read_source(&task, source, feed, &fetched);
    if (err == ERR_OK)
        err = transfer_feed_end(feed, &task, &totals);
    if (err != ERR_OK && str_find(str_from_c(task.words), STR("the service")) < 0)
        (void)fprintf(stderr, "\rsealpost: %s\n", task.words);
    if (err == ERR_OK)
        tell(&task, &fetched);
    return err == ERR_OK && fetched.refused_count == 0 && fetched.lost_count == 0 ? 0 : 1;
}

enum err cli_feed_start(struct task *task, struct cli_feed *feed,
                        const struct cli_feed_source *source, int *out_fd)
{
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return fail(task, ERR_IO, "no socket: %s", strerror(errno));
    pid = fork();
    if (pid == 0) {
        forget(source, pair[1]);
        confine();
        _exit(feed_all(source, pair[1]));
    }
    (void)close(pair[1]);
    if (pid < 0) {
        (void)close(pair[0]);
        return fail(task, ERR_IO, "no process: %s", strerror(errno));
    }
    feed->pid = pid;
    *out_fd = pair[0];
    return ERR_OK;
}

enum err cli_feed_end(struct task *task, struct cli_feed *feed)
{
    int status = 1;
    pid_t pid = feed->pid;

    if (pid == 0)
        return ERR_OK;
    feed->pid = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status == 0 ? ERR_OK
                       : fail(task, ERR_INVALID,
                              "not all of the mail could be read; what could be is there");
}
