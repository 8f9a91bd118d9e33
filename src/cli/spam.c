#include "cli/spam.h"

#include "account/admin/command.h"
#include "base/clock.h"
#include "base/file.h"
#include "role/config.h"
#include "spam/train.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFIG_BYTES_MAX = 1024 * 1024 };

static const char default_config[] = "/etc/sealpost/sealpost.conf";

struct spam_line {
    const char *config;
    bool is_json, wants_help;
    char **words; /* the rest, borrowed from argv, which is sorted for it */
    int word_count;
};

struct spam_paths {
    const char *data, *folder, *model;
};

static int usage(FILE *out)
{
    (void)fputs("Usage: sealpost spam train spam|ham FILE... [--config FILE] [--json]\n"
                "       sealpost spam status [--config FILE] [--json]\n\n"
                "The shared model weighs the words of mail for everybody. FILE is an mbox, a\n"
                "Maildir, a message, or a folder of them; what was learned before stays. The\n"
                "service need not run; one that runs takes the model over at its next SIGHUP.\n",
                out);
    return out == stdout ? ADMIN_EXIT_OK : ADMIN_EXIT_USAGE;
}

static bool parse(int argc, char **argv, struct spam_line *out)
{
    *out = (struct spam_line){.config = getenv("SEALPOST_CONFIG"), .words = argv};
    if (out->config == NULL)
        out->config = default_config;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            out->config = argv[++i];
        else if (strncmp(argv[i], "--config=", 9) == 0)
            out->config = argv[i] + 9;
        else if (strcmp(argv[i], "--json") == 0)
            out->is_json = true;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            out->wants_help = true;
        else if (strncmp(argv[i], "--", 2) == 0)
            return false;
        else
            argv[out->word_count++] = argv[i];
    }
    return true;
}

static enum err find_paths(struct task *task, const char *config_file, struct spam_paths *out)
{
    CLEANUP(config_done) struct config config = {0};
    CLEANUP(buf_free) struct buf text = {0};

    buf_init(&text, SIZE_MAX);
    TRY(file_read(task, AT_FDCWD, config_file, CONFIG_BYTES_MAX, &text));
    TRY(config_parse(task, config_file, buf_str(&text), NULL, &config));
    out->data = arena_copy(&task->arena, config.data).ptr;
    out->folder = config_path(&config, task, "spam");
    out->model = config_path(&config, task, "spam/model");
    return ERR_OK;
}

/* None yet, or one of another version, which cannot be gone on with: *out_model is NULL. */
static enum err open_model(struct task *task, const struct spam_paths *paths,
                           struct spam_model **out_model)
{
    enum err err = spam_model_open(task, paths->model, out_model);

    if (err == ERR_INVALID)
        (void)fprintf(stderr, "sealpost: %s; beginning anew\n", task->words);
    if (err != ERR_INVALID && err != ERR_NOT_FOUND)
        return err;
    *out_model = NULL;
    task_forgive(task);
    return ERR_OK;
}

/* Made by root, read by the service's user: it gets what its data folder has. */
static enum err give(struct task *task, const char *path, const struct stat *data)
{
    if (geteuid() == 0 && chown(path, data->st_uid, data->st_gid) != 0)
        return fail(task, ERR_IO, "%s: %s", path, strerror(errno));
    return ERR_OK;
}

static enum err save(struct task *task, const struct spam_paths *paths, const struct stat *data,
                     const struct spam_trainer *trainer)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    const char *next = arena_printf(&task->arena, "%s.next", paths->model).ptr;

    buf_init(&bytes, SIZE_MAX);
    spam_trainer_write(trainer, &bytes);
    /* Twice durable, so that the service never meets a model that it may not read. */
    TRY(file_replace(task, AT_FDCWD, next, buf_str(&bytes)));
    TRY(give(task, next, data));
    if (rename(next, paths->model) != 0)
        return fail(task, ERR_IO, "%s: %s", paths->model, strerror(errno));
    return dir_sync(task, AT_FDCWD, paths->folder);
}

static enum err train(struct task *task, const struct spam_line *line,
                      const struct spam_paths *paths, struct spam_trained *trained,
                      struct spam_count *total)
{
    CLEANUP(spam_model_close) struct spam_model *model = NULL;
    CLEANUP(spam_trainer_free) struct spam_trainer *trainer = NULL;
    CLEANUP(fd_close) int lock_fd = -1;
    bool is_spam = strcmp(line->words[1], "spam") == 0;
    struct stat data;

    if (stat(paths->data, &data) != 0)
        return fail(task, ERR_NOT_FOUND, "the data folder %s: %s", paths->data, strerror(errno));
    TRY(dir_make(task, AT_FDCWD, paths->folder, false));
    TRY(give(task, paths->folder, &data));
    lock_fd = open(paths->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock_fd < 0 || flock(lock_fd, LOCK_EX) != 0)
        return fail(task, ERR_IO, "%s: %s", paths->folder, strerror(errno));
    TRY(open_model(task, paths, &model));
    trainer = spam_trainer_new(model);
    spam_model_close(&model);
    for (int i = 2; i < line->word_count; i++)
        TRY(spam_train_path(trainer, task, line->words[i], is_spam, trained));
    *total = spam_trainer_total(trainer);
    return save(task, paths, &data, trainer);
}

static void print_counts(const struct spam_line *line, const char *first, uint64_t first_value,
                         struct spam_count total)
{
    bool is_enough = total.spam >= SPAM_MODEL_LEARNED_MIN && total.ham >= SPAM_MODEL_LEARNED_MIN;

    if (line->is_json)
        printf("{\"status\": \"ok\", \"%s\": %llu, \"spam\": %u, \"ham\": %u}\n", first,
               (unsigned long long)first_value, total.spam, total.ham);
    else
        printf("%s: %llu\nspam messages learned: %u\nham messages learned: %u\n%s", first,
               (unsigned long long)first_value, total.spam, total.ham,
               is_enough ? "" : "That is too little to count: it needs 50 of each, better some hundred.\n");
}

static enum err run(struct task *task, const struct spam_line *line)
{
    CLEANUP(spam_model_close) struct spam_model *model = NULL;
    struct spam_trained trained = {0};
    struct spam_count total;
    struct spam_paths paths;

    TRY(find_paths(task, line->config, &paths));
    if (strcmp(line->words[0], "train") == 0) {
        TRY(train(task, line, &paths, &trained, &total));
        print_counts(line, "learned", trained.messages, total);
        return ERR_OK;
    }
    TRY(open_model(task, &paths, &model));
    if (model == NULL)
        print_counts(line, "tokens", 0, (struct spam_count){0, 0});
    else
        print_counts(line, "tokens", spam_model_token_count(model), spam_model_total(model));
    return ERR_OK;
}

static bool is_complete(const struct spam_line *line)
{
    if (line->word_count == 1 && strcmp(line->words[0], "status") == 0)
        return true;
    return line->word_count >= 3 && strcmp(line->words[0], "train") == 0 &&
           (strcmp(line->words[1], "spam") == 0 || strcmp(line->words[1], "ham") == 0);
}

static int exit_code_of(enum err err)
{
    for (size_t i = 0; i < admin_status_count; i++) {
        if (admin_statuses[i].err == err)
            return admin_statuses[i].exit_code;
    }
    return err == ERR_OK ? ADMIN_EXIT_OK : ADMIN_EXIT_FAILED;
}

int cli_spam(int argc, char **argv)
{
    struct spam_line line;
    struct task task;
    enum err err;

    if (!parse(argc, argv, &line))
        return usage(stderr);
    if (line.wants_help)
        return usage(stdout);
    if (!is_complete(&line))
        return usage(stderr);
    umask(077);
    message_init_library();
    task_init(&task, clock_now_ms());
    err = run(&task, &line);
    if (err != ERR_OK)
        (void)fprintf(stderr, "sealpost: %s\n", task.words);
    task_done(&task);
    return exit_code_of(err);
}
