/*
 * The scanner's process, sandbox and all, asked about files: one line of JSON for each answer, in
 * the order of the files. All are asked at once.
 *
 *   scanner_try SETTINGS CLIENT NAME SENDER FILE…       SETTINGS: lines of a configuration
 */
#include "role/roles.h"
#include "role/trial.h"

#include "base/clock.h"
#include "base/file.h"
#include "wire/channel.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILES_MAX = 64 };

static struct task task;

_Noreturn static void die(const char *words)
{
    fprintf(stderr, "scanner_try: %s %s\n", words, task.words);
    exit(2);
}

/* Gives the examiner's end of its channel. */
static int start_scanner(const char *settings, struct role_trial *out_process)
{
    int examiner;

    role_trial_fork(out_process, &role_scanner);
    role_trial_configure(out_process, (struct str[]){str_from_c(settings)}, 1);
    examiner = role_trial_connect(out_process, WIRE_ROLE_EXAMINER);
    role_trial_start(out_process);
    return examiner;
}

static json_t *describe(const struct wire_scan_reply *reply, int64_t took_ms)
{
    return json_pack("{s:b, s:b, s:s%, s:I, s:s%, s:I}", "is_complete", reply->status == WIRE_OK,
                     "is_virus", reply->is_virus, "name",
                     reply->words.ptr == NULL ? "" : reply->words.ptr, reply->words.len, "score",
                     (json_int_t)reply->score, "symbols",
                     reply->symbols.ptr == NULL ? "" : reply->symbols.ptr, reply->symbols.len,
                     "took_ms", (json_int_t)took_ms);
}

int main(int argc, char **argv)
{
    json_t *answers[FILES_MAX] = {NULL};
    struct role_trial process;
    struct buf bytes, storage;
    int examiner, count = argc - 5, status;
    int64_t before_ms;

    if (count < 1 || count > FILES_MAX)
        die("SETTINGS CLIENT NAME SENDER FILE…");
    task_init(&task, clock_now_ms());
    buf_init(&storage, SIZE_MAX);
    examiner = start_scanner(argv[1], &process);
    before_ms = clock_monotonic_ms();
    for (int i = 0; i < count; i++) {
        struct wire_scan body = {.client = str_from_c(argv[2]),
                                 .helo = str_from_c(argv[3]),
                                 .sender = str_from_c(argv[4]),
                                 .reverse_name = str_from_c(argv[3])};
        int fd = -1;

        buf_init(&bytes, SIZE_MAX);
        if (file_read(&task, AT_FDCWD, argv[5 + i], SIZE_MAX, &bytes) != ERR_OK ||
            memfd_from(&task, buf_str(&bytes), &fd) != ERR_OK)
            die("cannot read");
        role_trial_send(examiner, WIRE_SCAN, (uint64_t)i, &body, &fd, 1);
        close(fd);
        buf_free(&bytes);
    }
    for (int i = 0; i < count; i++) {
        struct wire_message message;

        if (wire_receive_blocking(&task, examiner, WIRE_ROLE_EXAMINER, WIRE_ROLE_SCANNER, &storage,
                                  &message) != ERR_OK ||
            message.type != WIRE_SCAN_REPLY || message.tag >= (uint64_t)count)
            die("no answer");
        answers[message.tag] = describe(&message.body.scan_reply, clock_monotonic_ms() - before_ms);
    }
    for (int i = 0; i < count; i++) {
        json_dumpf(answers[i], stdout, JSON_COMPACT);
        printf("\n");
        json_decref(answers[i]);
    }
    buf_free(&storage);
    task_done(&task);
    role_trial_ask_stop(&process);
    status = role_trial_wait(&process);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 3;
}
