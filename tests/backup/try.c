/*
 * A destination by itself, for store.py:
 *
 *   backup_try PLACE KEY_ID SECRET CA WORK PART_BYTES COMMAND...
 *     put NAME FILE | get NAME FILE | list PREFIX AFTER COUNT | delete NAME
 *
 * prints "ok" or the error's name and its words, and the names of a list. Names in the URL are looked up
 * by a resolver of its own, which says 127.0.0.1 to all.
 */
#include "backup/directory.h"
#include "backup/place.h"
#include "backup/s3.h"
#include "base/clock.h"
#include "base/file.h"
#include "secret/hasher.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct net_loop *loop;
static struct dns_client *dns;
static const struct log messages = {.level = LOG_LEVEL_WARNING, .fd = 2, .role = "try"};

static void die(const char *words)
{
    fprintf(stderr, "%s\n", words);
    exit(2);
}

/* ---- The resolver ---- */

static void on_question(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct dns_record record = {.ttl_s = 1, .data = STR("\x7f\0\0\1")};
    struct dns_answer answer = {.status = DNS_OK, .records = &record, .count = 1};
    CLEANUP(buf_free) struct buf records;
    struct wire_dns_answer body;

    (void)owner;
    buf_init(&records, SIZE_MAX);
    dns_answer_encode(&answer, &records);
    body = (struct wire_dns_answer){.status = DNS_OK, .records = buf_str(&records)};
    if (wire_send(channel, WIRE_DNS_ANSWER, message->tag, &body, NULL, 0) != ERR_OK)
        die("no answer");
}

static void on_answer(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    (void)owner;
    (void)channel;
    dns_client_message(dns, message);
}

static void on_close(void *owner, struct wire_channel *channel)
{
    (void)owner;
    (void)channel;
}

static void make_resolver(void)
{
    static const struct wire_channel_events near = {on_answer, on_close},
                                            far = {on_question, on_close};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        die("socketpair");
    dns = dns_client_new(loop);
    dns_client_set_peer(dns, wire_channel_new(loop, pair[0], WIRE_ROLE_ARCHIVIST,
                                              WIRE_ROLE_RESOLVER, &near, NULL, &messages));
    (void)wire_channel_new(loop, pair[1], WIRE_ROLE_RESOLVER, WIRE_ROLE_ARCHIVIST, &far, NULL,
                           &messages);
}

/* ---- What is to be done ---- */

static int status = 1;

static void copy_to(const char *path, const struct backup_result *result)
{
    int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    static char slice[1 << 20];
    off_t at = 0;
    ssize_t got;
    struct task task;

    task_init(&task, 0);
    while ((got = pread(result->fd, slice, sizeof(slice), at)) > 0) {
        if (fd_write_all(&task, to, str_make(slice, (size_t)got)) != ERR_OK)
            die(task.words);
        at += got;
    }
    if ((uint64_t)at != result->size_bytes)
        die("not of that size");
    task_done(&task);
    close(to);
}

static void on_done(void *owner, struct backup_result *result)
{
    if (result->err == ERR_OK) {
        status = 0;
        if (result->fd >= 0)
            copy_to(owner, result);
        printf("ok%s\n", result->objects != NULL && !result->is_last ? " more" : "");
        for (size_t i = 0; i < result->object_count; i++)
            printf("%.*s %llu %lld\n", STR_ARG(result->objects[i].name),
                   (unsigned long long)result->objects[i].size_bytes,
                   (long long)result->objects[i].modified_ms);
    } else {
        printf("%s: %s\n", err_name(result->err), result->words);
    }
    net_loop_stop(loop);
}

static void digest_of(int fd, unsigned char *out)
{
    struct hasher *hasher = hasher_new(HASHER_SHA256);
    static char slice[1 << 20];
    off_t at = 0;
    ssize_t got;

    while ((got = pread(fd, slice, sizeof(slice), at)) > 0) {
        hasher_add(hasher, str_make(slice, (size_t)got));
        at += got;
    }
    hasher_digest(hasher, out);
    hasher_free(&hasher);
}

static void start(struct backup_destination *destination, char **words)
{
    struct str name = str_from_c(words[1]);

    if (strcmp(words[0], "put") == 0) {
        unsigned char digest[CRYPT_HASH_BYTES];
        int fd = open(words[2], O_RDONLY | O_CLOEXEC);
        struct stat about;
        struct backup_put put = {.name = name, .fd = fd, .digest = digest};

        if (fd < 0 || fstat(fd, &about) != 0)
            die("no such file");
        digest_of(fd, digest);
        put.size_bytes = (uint64_t)about.st_size;
        (void)backup_put(destination, &put, on_done, NULL);
        close(fd);
    } else if (strcmp(words[0], "get") == 0) {
        (void)backup_get(destination, name, on_done, words[2]);
    } else if (strcmp(words[0], "list") == 0) {
        (void)backup_list(destination, name, str_from_c(words[2]),
                          (size_t)strtoul(words[3], NULL, 10), on_done, NULL);
    } else {
        (void)backup_delete(destination, name, BACKUP_GONE_NOW, on_done, NULL);
    }
}

/* BACKUP_TRY_ALLOW, if it is set: the place is a stranger's, and may be there though it is not public. */
static const struct net_target_rules *rules_of_environment(void)
{
    const char *allow = getenv("BACKUP_TRY_ALLOW");
    struct str text = allow == NULL ? STR("") : str_from_c(allow);

    return allow == NULL ? NULL : net_target_rules_new(&text, 1, false);
}

static struct backup_destination *make(struct task *task, char **argv)
{
    struct backup_s3_options options = {.work_folder = argv[5], .log = &messages};
    struct net_http_options http_options = {.connections_max = 0};
    struct backup_destination *destination = NULL;
    struct backup_place place;
    struct net_http *http;
    CLEANUP(buf_free) struct buf pem;
    const char *reason = backup_place_parse(&task->arena, str_from_c(argv[1]), &place);

    buf_init(&pem, SIZE_MAX);
    if (reason != NULL)
        die(reason);
    if (!place.is_s3) {
        if (backup_directory_open(loop, task, place.path.ptr, &destination) != ERR_OK)
            die(task->words);
        return destination;
    }
    if (net_http_read_trust(task, str_from_c(argv[4]), &pem) != ERR_OK)
        die(task->words);
    http_options.trust_pem = buf_str(&pem);
    if (net_http_new(loop, task, &http_options, &http) != ERR_OK)
        die(task->words);
    options.part_bytes = strtoul(argv[6], NULL, 10);
    options.client = (struct s3_client_options){.loop = loop,
                                                .http = http,
                                                .dns = dns,
                                                .place = &place,
                                                .key_id = str_from_c(argv[2]),
                                                .region = STR("us-east-1"),
                                                .secret = secret_copy(str_from_c(argv[3])),
                                                .rules = rules_of_environment()};
    if (backup_s3_new(task, &options, &destination) != ERR_OK)
        die(task->words);
    return destination;
}

int main(int argc, char **argv)
{
    struct task task;

    if (argc < 9)
        die("see the source");
    secret_init();
    task_init(&task, clock_now_ms());
    loop = net_loop_new();
    make_resolver();
    start(make(&task, argv), argv + 7);
    net_loop_run(loop);
    fflush(stdout);
    /* The process ends with what it holds. */
    _exit(status);
}
