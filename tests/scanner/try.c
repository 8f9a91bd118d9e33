/*
 * The scanner's process, sandbox and all, asked about files: one line of JSON for each answer, in
 * the order of the files. All are asked at once.
 *
 *   scanner_try SETTINGS CLIENT NAME SENDER FILE…       SETTINGS: lines of a configuration
 */
#include "role/roles.h"

#include "base/clock.h"
#include "base/file.h"
#include "wire/socket.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILES_MAX = 64 };

static struct task task;

_Noreturn static void die(const char *words)
{
    fprintf(stderr, "scanner_try: %s %s\n", words, task.words);
    exit(2);
}

static void tell(int fd, enum wire_type type, uint64_t tag, const void *body, const int *fds,
                 size_t fd_count)
{
    struct buf frame;

    buf_init(&frame, WIRE_FRAME_MAX);
    if (wire_encode(type, tag, body, &frame) != ERR_OK ||
        wire_socket_send(fd, buf_str(&frame), fds, fd_count, 0) != WIRE_SOCKET_DONE)
        die("cannot send");
    buf_free(&frame);
}

static int pair(int *out_other)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        die("socketpair");
    *out_other = fds[1];
    return fds[0];
}

/* Gives the examiner's end of its channel. */
static int start_scanner(const char *settings, pid_t *out_pid, int *out_master)
{
    struct wire_configure configure = {.descriptor_count = 1};
    struct wire_peer peer = {.role = WIRE_ROLE_EXAMINER};
    struct wire_start start = {.index = 0};
    int theirs, examiner, config_fd;

    *out_master = pair(&theirs);
    *out_pid = fork();
    if (*out_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        close(*out_master);
        role_run(&role_scanner, theirs, 0);
    }
    close(theirs);
    if (memfd_from(&task, str_from_c(settings), &config_fd) != ERR_OK)
        die("configuration");
    tell(*out_master, WIRE_CONFIGURE, 0, &configure, &config_fd, 1);
    examiner = pair(&theirs);
    tell(*out_master, WIRE_PEER, 0, &peer, &theirs, 1);
    close(theirs);
    tell(*out_master, WIRE_START, 0, &start, NULL, 0);
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
    struct buf bytes, storage;
    struct wire_stop stop = {.grace_ms = 1000};
    int examiner, master, count = argc - 5, status;
    int64_t before_ms;
    pid_t pid;

    if (count < 1 || count > FILES_MAX)
        die("SETTINGS CLIENT NAME SENDER FILE…");
    task_init(&task, clock_now_ms());
    buf_init(&storage, SIZE_MAX);
    examiner = start_scanner(argv[1], &pid, &master);
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
        tell(examiner, WIRE_SCAN, (uint64_t)i, &body, &fd, 1);
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
    tell(master, WIRE_STOP, 0, &stop, NULL, 0);
    buf_free(&storage);
    task_done(&task);
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 3;
}
