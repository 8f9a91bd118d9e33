/* One command: read the line, ask the service, show the answer, give the exit code. */
#include "cli/cli.h"

#include "account/admin/handlers.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "cli/files.h"
#include "cli/help.h"
#include "cli/import.h"
#include "cli/parse.h"
#include "cli/progress.h"
#include "cli/render.h"
#include "cli/secret_input.h"
#include "cli/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The same as that of `serve` (role/main.c). */
static const char default_config[] = "/etc/sealpost/sealpost.conf";

/* Written at once and past stdio, whose buffers would keep a password. False: it was not taken. */
static bool write_out(int fd, struct buf *text)
{
    struct task task;
    bool is_written;

    task_init(&task, 0);
    is_written = fd_write_all(&task, fd, buf_str(text)) == ERR_OK;
    task_done(&task);
    buf_reset(text);
    return is_written;
}

/* A failure that the service had no part in. */
static int give_up(const struct cli_line *line, int exit_code, const char *status,
                   const char *words)
{
    CLEANUP(buf_free) struct buf text;

    buf_init(&text, SIZE_MAX);
    if (line->is_json) {
        json_t *answer = json_object();

        json_object_set_new(answer, "status", json_string(status));
        json_object_set_new(answer, "message", json_string(words));
        cli_render_answer(&text, answer, true);
        json_decref(answer);
        (void)write_out(STDOUT_FILENO, &text);
    }
    buf_putf(&text, "sealpost: %s\n", words);
    (void)write_out(STDERR_FILENO, &text);
    return exit_code;
}

static int show_help(const struct cli_line *line)
{
    CLEANUP(buf_free) struct buf text;

    buf_init(&text, SIZE_MAX);
    if (line->command != NULL)
        cli_help_command(&text, line->command);
    else
        cli_help_overview(&text, line->noun);
    (void)write_out(STDOUT_FILENO, &text);
    return ADMIN_EXIT_OK;
}

/* `out_fd`: the standard output, unless that is where something else went. */
static int show_answer(const struct cli_line *line, const json_t *answer, int out_fd,
                       bool *out_is_shown)
{
    CLEANUP(buf_free) struct buf text;
    int exit_code = cli_render_exit_code(answer);

    buf_init(&text, SIZE_MAX);
    if (line->is_json || exit_code == ADMIN_EXIT_OK) {
        cli_render_answer(&text, answer, line->is_json);
        *out_is_shown = write_out(out_fd, &text);
    }
    if (exit_code != ADMIN_EXIT_OK) {
        cli_render_failure(&text, answer);
        (void)write_out(STDERR_FILENO, &text);
    }
    return exit_code;
}

/* False: it is not to be done. */
static bool is_confirmed(const struct cli_line *line, const char **out_words)
{
    char answer[16] = {0};

    *out_words = NULL;
    if (line->command->question == NULL || line->is_yes)
        return true;
    if (isatty(STDIN_FILENO) != 1) {
        *out_words = "this destroys something, and there is no terminal to ask at: say --yes if "
                     "it is meant";
        return false;
    }
    (void)fprintf(stderr, "%s\nType \"yes\" to go on: ", line->command->question);
    if (fgets(answer, sizeof(answer), stdin) != NULL && strcmp(answer, "yes\n") == 0)
        return true;
    *out_words = "nothing was done";
    return false;
}

/* Not a mailbox's password, but what its owner's bucket is opened with. */
static bool is_bucket(const struct admin_argument *argument)
{
    return strcmp(argument->name, "secret") == 0;
}

/* What is asked for at a terminal. */
static const char *prompt_of(const struct admin_argument *argument)
{
    if (is_bucket(argument))
        return "Secret of the key: ";
    return argument->is_required ? "Password or recovery key of the mailbox: "
                                 : "Password of the mailbox when the backup was made: ";
}

static enum err add_secret(struct task *task, const struct cli_line *line,
                           const struct cli_secret *which)
{
    CLEANUP(secret_free) struct secret *secret = NULL;
    json_t *value;

    TRY(cli_secret_input(task, which->file, prompt_of(which->argument), &secret));
    value = json_stringn(secret_str(secret).ptr, secret_str(secret).len);
    if (value == NULL)
        return fail(task, ERR_DENIED,
                    is_bucket(which->argument)
                        ? "that is not the secret of a key"
                        : "that is not the mailbox's password or recovery key");
    json_object_set_new(line->arguments, which->argument->name, value);
    return ERR_OK;
}

static enum err add_secrets(struct task *task, const struct cli_line *line)
{
    for (size_t i = 0; i < line->secret_count; i++)
        TRY(add_secret(task, line, &line->secrets[i]));
    return ERR_OK;
}

struct connection {
    int fd;
    const struct admin_command *command;
    struct cli_service_job job; /* what goes with the request */
};

static enum err call(void *owner, struct task *task, json_t *arguments, json_t **out_answer)
{
    const struct connection *connection = owner;

    return cli_service_call(task, connection->fd, connection->command, arguments,
                            &connection->job, out_answer);
}

static int run_list(struct task *task, const struct cli_line *line, struct connection *connection)
{
    struct cli_render_list list = {.command = line->command, .is_json = line->is_json};
    CLEANUP(buf_free) struct buf text;

    buf_init(&text, SIZE_MAX);
    if (add_secrets(task, line) != ERR_OK)
        return give_up(line, ADMIN_EXIT_USAGE, "invalid", task->words);
    for (;;) {
        json_t *answer = NULL, *next;
        bool is_shown;
        int exit_code;

        if (call(connection, task, line->arguments, &answer) != ERR_OK)
            return give_up(line, ADMIN_EXIT_FAILED, "failed", task->words);
        exit_code = cli_render_exit_code(answer);
        if (exit_code != ADMIN_EXIT_OK) {
            (void)show_answer(line, answer, STDOUT_FILENO, &is_shown);
            json_decref(answer);
            return exit_code;
        }
        cli_render_list_page(&list, &text, answer);
        (void)write_out(STDOUT_FILENO, &text);
        next = json_object_get(answer, "next");
        if (json_is_string(next))
            json_object_set(line->arguments, "after", next);
        json_decref(answer);
        if (next == NULL)
            break;
    }
    cli_render_list_end(&list, &text);
    (void)write_out(STDOUT_FILENO, &text);
    return ADMIN_EXIT_OK;
}

/*
 * The service says that it cannot do it without another password, which was not given: asked for, where
 * there is somebody to ask. False: there is not.
 */
static bool add_needed_secret(struct task *task, const struct cli_line *line, const json_t *answer)
{
    const char *name = json_string_value(json_object_get(answer, "needs"));
    struct cli_secret needed = {.argument = NULL};
    CLEANUP(buf_free) struct buf text = {0};

    if (name != NULL)
        needed.argument = admin_argument_find(line->command, str_from_c(name));
    if (needed.argument == NULL || needed.argument->kind != ADMIN_SECRET || line->is_json ||
        line->file_count > 0 || json_object_get(line->arguments, name) != NULL ||
        isatty(STDIN_FILENO) != 1)
        return false;
    buf_init(&text, SIZE_MAX);
    buf_putf(&text, "%s\n", json_string_value(json_object_get(answer, "message")));
    (void)write_out(STDERR_FILENO, &text);
    return add_secret(task, line, &needed) == ERR_OK;
}

/* A command with files, which a mailbox's process reads or writes. */
static int run_with_files(struct task *task, const struct cli_line *line,
                          struct connection *connection)
{
    struct cli_progress progress;
    struct cli_files files;
    json_t *answer = NULL;
    enum err err;
    int exit_code;
    bool is_shown;

    cli_progress_init(&progress, line->is_json);
    err = add_secrets(task, line);
    if (err == ERR_OK)
        err = cli_files_open(task, line, &files);
    else
        files = (struct cli_files){.count = 0};
    if (err != ERR_OK) {
        cli_files_done(&files);
        return give_up(line, ADMIN_EXIT_USAGE, "invalid", task->words);
    }
    connection->job = (struct cli_service_job){files.fds, files.count, cli_progress_show,
                                               &progress};
    err = call(connection, task, line->arguments, &answer);
    cli_progress_end(&progress);
    if (err == ERR_OK && add_needed_secret(task, line, answer)) {
        json_decref(answer);
        answer = NULL;
        err = call(connection, task, line->arguments, &answer);
        cli_progress_end(&progress);
    }
    if (err == ERR_OK && cli_render_exit_code(answer) == ADMIN_EXIT_OK)
        err = cli_files_keep(task, line, &files);
    exit_code = err != ERR_OK
                    ? give_up(line, ADMIN_EXIT_FAILED, "failed", task->words)
                    : show_answer(line, answer,
                                  files.has_taken_output ? STDERR_FILENO : STDOUT_FILENO,
                                  &is_shown);
    cli_files_done(&files);
    json_decref(answer);
    return exit_code;
}

/* It was shown to somebody: what the service waits for. */
static enum err confirm(struct task *task, const char *name, const json_t *answer,
                        struct connection *connection)
{
    json_t *arguments = json_object(), *done = NULL;
    enum err err;

    connection->command = admin_command_find(str_from_c(name));
    if (connection->command == NULL) {
        json_decref(arguments);
        return fail(task, ERR_IO, "the service wants a confirmation that is not known here");
    }
    json_object_set(arguments, "address", json_object_get(answer, "address"));
    json_object_set(arguments, "password", json_object_get(answer, "password"));
    err = call(connection, task, arguments, &done);
    if (err == ERR_OK && cli_render_exit_code(done) != ADMIN_EXIT_OK)
        err = fail(task, ERR_IO, "the confirmation was refused; log in with the new password");
    json_decref(done);
    json_decref(arguments);
    return err;
}

static int run_command(struct task *task, const struct cli_line *line,
                       struct connection *connection)
{
    const struct cli_import_portion portion = {call, connection};
    json_t *answer = NULL;
    const char *name;
    bool is_shown = false;
    enum err err;
    int exit_code;

    if (line->command->columns != NULL)
        return run_list(task, line, connection);
    if (line->command->run == admin_job)
        return run_with_files(task, line, connection);
    err = add_secrets(task, line);
    if (err != ERR_OK)
        return give_up(line, ADMIN_EXIT_USAGE, "invalid", task->words);
    if (line->file != NULL)
        err = cli_import(task, line->file, line->is_json, &portion, &answer);
    else
        err = call(connection, task, line->arguments, &answer);
    if (err != ERR_OK)
        return give_up(line, ADMIN_EXIT_FAILED, "failed", task->words);
    exit_code = show_answer(line, answer, STDOUT_FILENO, &is_shown);
    name = json_string_value(json_object_get(answer, "confirm"));
    if (exit_code == ADMIN_EXIT_OK && name != NULL && is_shown)
        err = confirm(task, name, answer, connection);
    json_decref(answer);
    if (err != ERR_OK) {
        (void)fprintf(stderr, "sealpost: %s\n", task->words);
        return ADMIN_EXIT_FAILED;
    }
    return exit_code;
}

static int run(struct task *task, struct cli_line *line)
{
    const char *config = line->config != NULL ? line->config : getenv("SEALPOST_CONFIG");
    struct connection connection = {.fd = -1, .command = line->command};
    struct cli_service_settings settings = {.sandbox_required = true};
    const char *words;
    int exit_code;
    enum err err;

    if (!is_confirmed(line, &words))
        return give_up(line, ADMIN_EXIT_USAGE, "invalid", words);
    err = cli_service_connect(task, config != NULL ? config : default_config, &connection.fd,
                              &settings);
    line->outgoing_ca = settings.outgoing_ca;
    line->is_sandbox_optional = !settings.sandbox_required;
    if (err != ERR_OK)
        return give_up(line, err == ERR_INVALID ? ADMIN_EXIT_USAGE : ADMIN_EXIT_NOT_RUNNING,
                       err == ERR_INVALID ? "invalid" : "not-running", task->words);
    exit_code = run_command(task, line, &connection);
    fd_close(&connection.fd);
    return exit_code;
}

int cli_main(int argc, char **argv)
{
    struct cli_line line;
    struct buf words;
    struct task task;
    int exit_code;

    secret_init();
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* passwords pass through here: no core dumps */
    buf_init(&words, SIZE_MAX);
    task_init(&task, clock_now_ms());
    if (cli_parse(argc, argv, &words, &line) != ERR_OK) {
        (void)write_out(STDERR_FILENO, &words);
        exit_code = ADMIN_EXIT_USAGE;
    } else if (line.wants_help) {
        exit_code = show_help(&line);
    } else {
        exit_code = run(&task, &line);
    }
    cli_line_done(&line);
    task_done(&task);
    buf_free(&words);
    return exit_code;
}
