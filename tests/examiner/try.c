/*
 * The examiner's process, sandbox and all, shown messages: one line of JSON for each file, with its
 * verdict and what it cost. Each is shown to a process of its own, unless they are to be many.
 *
 *   examiner_try [--render] [--repeat N] FILE…
 *
 * Questions to the DNS are answered at once: every selector has a key, no other name exists.
 */
#include "role/roles.h"
#include "role/trial.h"

#include "base/clock.h"
#include "base/file.h"
#include "dns/answer.h"
#include "wire/channel.h"

#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAMPLE_MS = 3 };

struct trial {
    struct role_trial process;
    int asker, resolver; /* our ends */
    bool is_render;
    long most_kb; /* of its own memory */
    char folder[64];
};

/* For every selector: a key whose other half nobody has. Signatures are checked to their end. */
static const char key_record[] =
    "v=DKIM1; k=rsa; p="
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAqVdwQnq7WN8KatUfYLUVGoTItzXlE9Sj"
    "cFQw1ynX35GRMCgx3QKbtMMNZOUdMckAt0enA7eE4mLnet3Nx70gcb1ruW2EJcabcdh8OkFcH/K0"
    "bC4y7rbf2l47+mciZexqXYdMqVgVM/N71R8DIYQJ0X5gHcp/B8/7K8j2YlTeg+VtDBdZvy933Xkw"
    "1C0MYLnsLvd1euCrCPwmnZbAZhKktOeYIKnHYunTQUPPgfUUOP8YD3zdPjyoLWeFanA+4NNywt77"
    "PwrXE8mIwS9EyOvCPQKZDBXDc0riBEUBxsf4MqP/ZHWsQHOy3z76m5pneIz2CoRWrgAl3ez/Xpx6"
    "vCkbKQIDAQAB";

static struct task task;
static struct buf storage;

_Noreturn static void die(const char *words)
{
    fprintf(stderr, "examiner_try: %s %s\n", words, task.words);
    exit(2);
}

static void start(struct trial *trial)
{
    char settings[256];

    snprintf(settings, sizeof(settings), "data = \"%s\"\nhostname = here.example\n", trial->folder);
    role_trial_fork(&trial->process, &role_examiner);
    role_trial_configure(&trial->process, (struct str[]){str_from_c(settings)}, 1);
    trial->asker =
        role_trial_connect(&trial->process, trial->is_render ? WIRE_ROLE_COURIER : WIRE_ROLE_SMTP);
    trial->resolver = role_trial_connect(&trial->process, WIRE_ROLE_RESOLVER);
    role_trial_start(&trial->process);
}

static void answer_question(struct trial *trial)
{
    struct wire_dns_answer body = {.status = DNS_NO_NAME};
    struct dns_record key = {.data = str_from_c(key_record), .ttl_s = 60};
    struct dns_answer answer = {.status = DNS_NO_NAME, .records = &key};
    struct wire_message message;
    struct buf encoded;

    if (wire_receive_blocking(&task, trial->resolver, WIRE_ROLE_RESOLVER, WIRE_ROLE_EXAMINER,
                              &storage, &message) != ERR_OK)
        return;
    if (str_find(message.body.dns_query.name, STR("._domainkey.")) > 0) {
        answer.status = DNS_OK;
        answer.count = 1;
    }
    buf_init(&encoded, SIZE_MAX);
    dns_answer_encode(&answer, &encoded);
    body.status = answer.status;
    body.records = buf_str(&encoded);
    role_trial_send(trial->resolver, WIRE_DNS_ANSWER, message.tag, &body, NULL, 0);
    buf_free(&encoded);
}

/* In kB, from /proc. */
static long memory_of(pid_t pid, const char *name)
{
    char path[64], line[256];
    long value = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name) + 1, NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    return value;
}

/* Meanwhile its own memory is looked at every few milliseconds, for there is no peak of it to be
 * had: what the kernel keeps counts the message's pages, too. False: the process ended. */
static bool await_reply(struct trial *trial, struct wire_message *out)
{
    int64_t end_ms = clock_monotonic_ms() + 30000;

    for (;;) {
        struct pollfd ready[2] = {{.fd = trial->asker, .events = POLLIN},
                                  {.fd = trial->resolver, .events = POLLIN}};
        long now_kb = memory_of(trial->process.pid, "RssAnon:");

        trial->most_kb = now_kb > trial->most_kb ? now_kb : trial->most_kb;
        if (poll(ready, 2, SAMPLE_MS) < 0 || clock_monotonic_ms() > end_ms)
            die("no answer");
        if (ready[1].revents & POLLIN)
            answer_question(trial);
        else if (ready[0].revents != 0)
            return wire_receive_blocking(&task, trial->asker,
                                         trial->is_render ? WIRE_ROLE_COURIER : WIRE_ROLE_SMTP,
                                         WIRE_ROLE_EXAMINER, &storage, out) == ERR_OK;
    }
}

static void ask(struct trial *trial, int fd)
{
    struct wire_examine examine = {.client = STR("192.0.2.1"),
                                   .helo = STR("mail.a.example"),
                                   .sender = STR("anna@a.example"),
                                   .reverse_name = STR("mail.a.example"),
                                   .now_ms = task.now_ms};
    struct wire_render render = {.with_raw = true};

    if (trial->is_render)
        role_trial_send(trial->asker, WIRE_RENDER, 1, &render, &fd, 1);
    else
        role_trial_send(trial->asker, WIRE_EXAMINE, 1, &examine, &fd, 1);
}

static json_t *describe(struct trial *trial, struct wire_message *message)
{
    json_t *result = json_object();
    const struct wire_examine_reply *reply = &message->body.examine_reply;

    if (trial->is_render) {
        off_t size = message->fd_count > 0 ? lseek(message->fds[0], 0, SEEK_END) : -1;

        json_object_set_new(result, "bytes", json_integer(size));
        for (size_t i = 0; i < message->fd_count; i++)
            fd_close(&message->fds[i]);
        return result;
    }
    json_object_set_new(result, "action", json_integer((json_int_t)reply->action));
    json_object_set_new(result, "score", json_integer(reply->score));
    json_object_set_new(result, "words", json_stringn(reply->words.ptr, reply->words.len));
    return result;
}

static void show(struct trial *trial, const char *path, long repeat)
{
    json_t *result = json_object();
    struct wire_message message;
    struct rusage usage;
    struct buf bytes;
    int64_t before_ms;
    long base_kb;
    int fd = -1, status;

    buf_init(&bytes, SIZE_MAX);
    if (file_read(&task, AT_FDCWD, path, SIZE_MAX, &bytes) != ERR_OK ||
        memfd_from(&task, buf_str(&bytes), &fd) != ERR_OK)
        die("cannot read");
    buf_free(&bytes);
    start(trial);
    base_kb = memory_of(trial->process.pid, "RssAnon:");
    trial->most_kb = base_kb;
    before_ms = clock_monotonic_ms();
    for (long i = 0; i < repeat; i++) {
        ask(trial, fd);
        if (!await_reply(trial, &message))
            break;
        json_decref(result);
        result = describe(trial, &message);
    }
    json_object_set_new(result, "took_ms", json_integer(clock_monotonic_ms() - before_ms));
    json_object_set_new(result, "grown_kb", json_integer(trial->most_kb - base_kb));
    close(trial->process.master); /* it ends */
    if (wait4(trial->process.pid, &status, 0, &usage) != trial->process.pid)
        die("wait");
    json_object_set_new(result, "signal", json_integer(WIFSIGNALED(status) ? WTERMSIG(status) : 0));
    json_object_set_new(result, "cpu_ms",
                        json_integer(usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000 +
                                     usage.ru_stime.tv_sec * 1000 + usage.ru_stime.tv_usec / 1000));
    close(trial->asker);
    close(trial->resolver);
    close(fd);
    json_dumpf(result, stdout, JSON_COMPACT);
    printf("\n");
    fflush(stdout);
    json_decref(result);
}

int main(int argc, char **argv)
{
    struct trial trial = {.folder = "/tmp/sealpost-examiner-XXXXXX"};
    long repeat = 1;
    char command[128];

    task_init(&task, clock_now_ms());
    buf_init(&storage, SIZE_MAX);
    if (mkdtemp(trial.folder) == NULL)
        die("mkdtemp");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--render") == 0)
            trial.is_render = true;
        else if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc)
            repeat = strtol(argv[++i], NULL, 10);
        else
            show(&trial, argv[i], repeat);
    }
    snprintf(command, sizeof(command), "rm -rf %s", trial.folder);
    return system(command) == 0 ? 0 : 2;
}
