/* The program: what is not one of these commands is the administrator's (cli/cli.h). */
#include "base/clock.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/restore_host.h"
#include "cli/spam.h"
#include "mailauth/probe.h"
#include "role/config.h"
#include "role/master.h"
#include "role/premises.h"
#include "role/roles.h"
#include "secret/secret.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

static const char default_config[] = "/etc/sealpost/sealpost.conf";

/* `[--config] FILE`, nothing else; NULL and a message when there is more. */
static const char *config_argument(int argc, char **argv)
{
    const char *file = NULL;

    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            file = argv[++i];
        else if (strncmp(argv[i], "--config=", 9) == 0)
            file = argv[i] + 9;
        else if (argv[i][0] != '-' && file == NULL)
            file = argv[i];
        else {
            fprintf(stderr, "sealpost %s: what does '%s' mean here? Usage: sealpost %s --config FILE\n",
                    argv[1], argv[i], argv[1]);
            return NULL;
        }
    }
    return file != NULL ? file : default_config;
}

static enum err read_config(struct task *task, const char *file, struct buf *problems,
                            struct config *out)
{
    CLEANUP(buf_free) struct buf text;

    buf_init(&text, SIZE_MAX);
    TRY(file_read(task, AT_FDCWD, file, CONFIG_TEXT_MAX, &text));
    return config_parse(task, file, buf_str(&text), problems, out);
}

static int print_failure(const struct buf *problems, const struct task *task)
{
    if (problems->len > 0)
        fwrite(problems->ptr, 1, problems->len, stderr);
    else
        fprintf(stderr, "sealpost: %s\n", task->words);
    return EXIT_FAILURE;
}

static int check_config(const char *file)
{
    CLEANUP(buf_free) struct buf problems;
    struct config config;
    struct task task;
    int status = EXIT_SUCCESS;

    buf_init(&problems, SIZE_MAX);
    task_init(&task, clock_now_ms());
    if (read_config(&task, file, &problems, &config) == ERR_OK) {
        printf("%s: no mistake found\n", file);
        config_done(&config);
    } else {
        status = print_failure(&problems, &task);
    }
    task_done(&task);
    return status;
}

static int make_certificate(const char *file)
{
    CLEANUP(buf_free) struct buf problems;
    struct config config;
    struct task task;
    int status = EXIT_SUCCESS;

    umask(077);
    buf_init(&problems, SIZE_MAX);
    task_init(&task, clock_now_ms());
    if (read_config(&task, file, &problems, &config) != ERR_OK) {
        status = print_failure(&problems, &task);
    } else {
        if (premises_make_certificate(&task, &config) == ERR_OK)
            printf("made %s\n", premises_certificate_path(&config, &task));
        else
            status = print_failure(&problems, &task);
        config_done(&config);
    }
    task_done(&task);
    return status;
}

static int print_template(const char *file)
{
    CLEANUP(buf_free) struct buf text;

    (void)file;
    buf_init(&text, SIZE_MAX);
    config_template(&text);
    fwrite(text.ptr, 1, text.len, stdout);
    return EXIT_SUCCESS;
}

static int probe(const char *file)
{
    (void)file;
    return mailauth_probe(STDIN_FILENO, STDOUT_FILENO) == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int serve(const char *file)
{
    umask(077);
    return master_run(file);
}

static const struct {
    const char *name;
    int (*run)(const char *config_file);
} commands[] = {
    {"serve", serve},
    {"check-config", check_config},
    {"make-certificate", make_certificate},
    {"config-template", print_template},
    {"restore-host", cli_restore_host},
    {"probe", probe},
};

int main(int argc, char **argv)
{
    secret_init();
    /* Before anything uses it: no tidying up at exit, which costs the many short-lived mailbox
     * processes a tenth of their time, for memory that is about to go anyway. */
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++) {
        const char *file;

        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        file = config_argument(argc, argv);
        return file == NULL ? EXIT_USAGE : commands[i].run(file);
    }
    if (argc > 1 && strcmp(argv[1], "spam") == 0)
        return cli_spam(argc, argv);
    return cli_main(argc, argv);
}
