/*
 * The resolver as its process, confined as ever, with this program as master and as a peer that
 * asks:
 *
 *   dns_kit CONFIG
 *
 * reads a command a line, and answers each with a line of JSON, not always in the order asked:
 *
 *   ask NAME TYPE [list]        a question; "@" is the root. {"ask": "NAME", "status": …, …}
 *   wait NAME TYPE MS [filter]  the same with dns_client_ask_blocking
 *   burst COUNT OPEN TYPE NAME  COUNT questions, OPEN of them at a time; "%" in NAME is their
 * number,
 *                               "%100%" that modulo 100
 *   fetch COUNT OPEN TYPE NAME  the same without a peer's part in the client: raw messages, for the
 *                               benchmark
 *   reload                      CONFIG is read again (SIGHUP)
 *   again                       the peer is another one from here on: what it had asked is
 * forgotten sync                        {"sync": true}, behind all that came before
 *
 * At the end of its input it waits for what is open, stops the resolver, and ends with its status.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/memory.h"
#include "dns/client.h"
#include "role/premises.h"
#include "role/roles.h"
#include "wire/channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, WORDS_MAX = 5, MASTER_FD = 3, SOCKET_BYTES = 1 << 20 };

static struct {
    const char *config;
    pid_t pid;
    struct net_loop *loop;
    struct wire_channel *master, *peer;
    struct dns_client *client;
    struct net_watch *input;
    struct buf lines;
    size_t open;
    bool is_ending, is_ready;
    struct log log;
} kit;

/* COUNT questions, some at a time. */
static struct burst {
    unsigned long count, open_max, sent, done;
    unsigned long by_status[DNS_FAILED + 1];
    enum dns_type type;
    char name[512];
    bool is_raw;
    int64_t start_us;
} burst;

static void die(const char *what)
{
    fprintf(stderr, "dns_kit: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* ---- Names ---- */

static const struct {
    const char *name;
    enum dns_type type;
} types[] = {
    {"A", DNS_TYPE_A},         {"AAAA", DNS_TYPE_AAAA}, {"MX", DNS_TYPE_MX},
    {"TXT", DNS_TYPE_TXT},     {"PTR", DNS_TYPE_PTR},   {"NS", DNS_TYPE_NS},
    {"CNAME", DNS_TYPE_CNAME}, {"SRV", DNS_TYPE_SRV},   {"TLSA", DNS_TYPE_TLSA},
    {"SOA", DNS_TYPE_SOA},
};

static enum dns_type type_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    }
    fprintf(stderr, "dns_kit: no such type: %s\n", name);
    exit(EXIT_FAILURE);
}

static struct str name_of(const char *word)
{
    return strcmp(word, "@") == 0 ? STR("") : str_from_c(word);
}

static const char *status_name(enum dns_status status)
{
    static const char *const names[] = {"ok", "no-name", "no-data", "failed"};

    return names[status];
}

/* ---- Answers ---- */

static void print(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    if (text == NULL)
        die("an answer that is no JSON");
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(object);
}

static json_t *text_of(struct str bytes)
{
    json_t *text = json_stringn(bytes.ptr == NULL ? "" : bytes.ptr, bytes.len);
    struct buf hex;

    if (text != NULL)
        return text;
    buf_init(&hex, SIZE_MAX);
    if (encode_hex(&hex, bytes) != ERR_OK)
        abort();
    text = json_pack("{s:s#}", "hex", hex.ptr, (int)hex.len);
    buf_free(&hex);
    return text;
}

static json_t *data_of(enum dns_type type, struct str data)
{
    char address[INET6_ADDRSTRLEN];
    struct buf hex;
    json_t *text;

    if ((type == DNS_TYPE_A && data.len == 4) || (type == DNS_TYPE_AAAA && data.len == 16))
        return json_string(
            inet_ntop(type == DNS_TYPE_A ? AF_INET : AF_INET6, data.ptr, address, sizeof(address)));
    if (type == DNS_TYPE_TXT)
        return text_of(data);
    buf_init(&hex, SIZE_MAX);
    if (encode_hex(&hex, data) != ERR_OK)
        abort();
    text = json_stringn(hex.ptr == NULL ? "" : hex.ptr, hex.len);
    buf_free(&hex);
    return text;
}

static json_t *record_of(enum dns_type type, const struct dns_record *record)
{
    json_t *fields = json_array();

    if (type == DNS_TYPE_MX || type == DNS_TYPE_SRV)
        json_array_append_new(fields, json_integer(record->preference));
    if (type == DNS_TYPE_SRV) {
        json_array_append_new(fields, json_integer(record->weight));
        json_array_append_new(fields, json_integer(record->port));
    }
    if (record->data.len == 0 && type != DNS_TYPE_TXT)
        json_array_append_new(fields, text_of(record->name));
    else
        json_array_append_new(fields, data_of(type, record->data));
    return fields;
}

struct question {
    char name[512];
    enum dns_type type;
    int64_t start_us;
};

static void print_answer(const struct question *question, const char *how,
                         const struct dns_answer *answer)
{
    json_t *records = json_array();
    json_int_t ttl = -1;

    for (size_t i = 0; i < answer->count; i++) {
        json_array_append_new(records, record_of(question->type, &answer->records[i]));
        if (ttl < 0 || answer->records[i].ttl_s < ttl)
            ttl = answer->records[i].ttl_s;
    }
    print(json_pack("{s:s, s:s, s:b, s:I, s:f, s:o}", how, question->name, "status",
                    status_name(answer->status), "secure", answer->is_secure, "ttl", ttl, "ms",
                    (double)(clock_monotonic_us() - question->start_us) / 1000.0, "records",
                    records));
}

static void end_if_done(void)
{
    struct wire_stop stop = {.grace_ms = 1000};

    if (!kit.is_ending || kit.open > 0 || kit.master == NULL)
        return;
    if (wire_send(kit.master, WIRE_STOP, 0, &stop, NULL, 0) != ERR_OK)
        die("stop");
    kit.is_ending = false;
}

static void on_answer(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct question *question = owner;

    (void)task;
    print_answer(question, "ask", answer);
    mem_free(&question);
    kit.open--;
    end_if_done();
}

/* ---- Many at once ---- */

static void send_next(void);

static void finish_burst(void)
{
    double seconds = (double)(clock_monotonic_us() - burst.start_us) / 1e6;

    print(json_pack("{s:s, s:f, s:I, s:I, s:I, s:I}", "burst", burst.name, "seconds", seconds, "ok",
                    (json_int_t)burst.by_status[DNS_OK], "no-name",
                    (json_int_t)burst.by_status[DNS_NO_NAME], "no-data",
                    (json_int_t)burst.by_status[DNS_NO_DATA], "failed",
                    (json_int_t)burst.by_status[DNS_FAILED]));
    kit.open--;
    end_if_done();
}

static void count_one(enum dns_status status)
{
    burst.by_status[status]++;
    burst.done++;
    if (burst.sent < burst.count)
        send_next();
    else if (burst.done == burst.count)
        finish_burst();
}

static void on_burst_answer(void *owner, struct task *task, const struct dns_answer *answer)
{
    (void)owner;
    (void)task;
    count_one(answer->status);
}

static void send_next(void)
{
    const char *percent = strchr(burst.name, '%');
    unsigned long number = burst.sent++, modulus;
    char name[640];

    if (percent == NULL) {
        snprintf(name, sizeof(name), "%s", burst.name);
    } else {
        char *rest = NULL;

        modulus = strtoul(percent + 1, &rest, 10);
        if (*rest == '%' && modulus > 0)
            number %= modulus;
        snprintf(name, sizeof(name), "%.*s%lu%s", (int)(percent - burst.name), burst.name, number,
                 *rest == '%' ? rest + 1 : percent + 1);
    }
    if (burst.is_raw) {
        struct wire_dns_query body = {.name = str_from_c(name), .type = burst.type};

        if (wire_send(kit.peer, WIRE_DNS_QUERY, 0, &body, NULL, 0) != ERR_OK)
            die("a question that cannot be sent");
    } else {
        (void)dns_client_ask(kit.client, str_from_c(name), burst.type, false, on_burst_answer,
                             NULL);
    }
}

static void start_burst(char **words, bool is_raw)
{
    memset(&burst, 0, sizeof(burst));
    burst.count = strtoul(words[1], NULL, 10);
    burst.open_max = strtoul(words[2], NULL, 10);
    burst.type = type_of(words[3]);
    burst.is_raw = is_raw;
    snprintf(burst.name, sizeof(burst.name), "%s", words[4]);
    burst.start_us = clock_monotonic_us();
    kit.open++;
    for (unsigned long i = 0; i < burst.open_max && burst.sent < burst.count; i++)
        send_next();
}

/* ---- The peer's channel ---- */

static void on_peer_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    (void)owner;
    (void)channel;
    if (message->tag == 0 && message->type == WIRE_DNS_ANSWER)
        count_one((enum dns_status)message->body.dns_answer.status);
    else
        dns_client_message(kit.client, message);
}

static void on_peer_close(void *owner, struct wire_channel *channel)
{
    (void)owner;
    (void)channel;
    dns_client_set_peer(kit.client, NULL);
    wire_channel_free(&kit.peer);
}

static const struct wire_channel_events peer_events = {.on_message = on_peer_message,
                                                       .on_close = on_peer_close};

static void on_master_message(void *owner, struct wire_channel *channel,
                              struct wire_message *message)
{
    (void)owner;
    (void)channel;
    if (message->type == WIRE_READY && !kit.is_ready) {
        kit.is_ready = true;
        net_watch_want(kit.input, true, false);
    }
}

static void on_master_close(void *owner, struct wire_channel *channel)
{
    (void)owner;
    (void)channel;
    wire_channel_free(&kit.master);
    net_loop_stop(kit.loop);
}

static const struct wire_channel_events master_events = {.on_message = on_master_message,
                                                         .on_close = on_master_close};

static void make_pair(int fds[2])
{
    int size = SOCKET_BYTES;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        die("socketpair");
    for (unsigned i = 0; i < 2; i++)
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static void give_peer(void)
{
    struct wire_peer body = {.role = WIRE_ROLE_SMTP, .index = 0};
    int fds[2];

    make_pair(fds);
    wire_channel_free(&kit.peer);
    kit.peer = wire_channel_new(kit.loop, fds[0], WIRE_ROLE_SMTP, WIRE_ROLE_RESOLVER, &peer_events,
                                NULL, &kit.log);
    if (wire_send(kit.master, WIRE_PEER, 0, &body, &fds[1], 1) != ERR_OK)
        die("a peer that cannot be sent");
    fd_close(&fds[1]);
    dns_client_set_peer(kit.client, kit.peer);
}

static void give_config(void)
{
    struct wire_configure body = {.descriptor_count = 3};
    struct config config;
    struct buf text;
    struct task task;
    int fds[3];

    task_init(&task, 0);
    buf_init(&text, SIZE_MAX);
    if (file_read(&task, AT_FDCWD, kit.config, 1 << 20, &text) != ERR_OK ||
        memfd_from(&task, buf_str(&text), &fds[0]) != ERR_OK ||
        config_parse(&task, kit.config, buf_str(&text), NULL, &config) != ERR_OK ||
        premises_open_trust(&task, &config, WIRE_ROLE_RESOLVER, &fds[1], &fds[2]) != ERR_OK)
        die(kit.config);
    if (wire_send(kit.master, WIRE_CONFIGURE, 0, &body, fds, 3) != ERR_OK)
        die("configure");
    for (size_t i = 0; i < 3; i++)
        fd_close(&fds[i]);
    config_done(&config);
    buf_free(&text);
    task_done(&task);
}

/* ---- Commands ---- */

static struct question *question_new(char **words)
{
    struct question *question = NEW(struct question);

    snprintf(question->name, sizeof(question->name), "%s", words[1]);
    question->type = type_of(words[2]);
    question->start_us = clock_monotonic_us();
    return question;
}

static void ask_blocking(char **words)
{
    struct question *question = question_new(words);
    struct dns_answer answer;
    struct task task;

    task_init(&task, 0);
    dns_client_ask_blocking(kit.client, &task, name_of(words[1]), question->type,
                            words[4] != NULL ? DNS_SERVICE_FILTER : DNS_SERVICE_GENERAL,
                            clock_monotonic_ms() + strtol(words[3], NULL, 10), &answer);
    print_answer(question, "wait", &answer);
    mem_free(&question);
    task_done(&task);
}

static void run_command(char *line)
{
    char *words[WORDS_MAX] = {NULL}, *rest = line;
    size_t count = 0;

    while (count < WORDS_MAX && (words[count] = strsep(&rest, " ")) != NULL)
        count++;
    if (count >= 3 && strcmp(words[0], "ask") == 0) {
        kit.open++;
        (void)dns_client_ask(kit.client, name_of(words[1]), type_of(words[2]), count > 3, on_answer,
                             question_new(words));
    } else if (count >= 4 && strcmp(words[0], "wait") == 0) {
        ask_blocking(words);
    } else if (count == 5 && strcmp(words[0], "burst") == 0) {
        start_burst(words, false);
    } else if (count == 5 && strcmp(words[0], "fetch") == 0) {
        start_burst(words, true);
    } else if (count == 1 && strcmp(words[0], "reload") == 0) {
        give_config();
    } else if (count == 1 && strcmp(words[0], "again") == 0) {
        give_peer();
    } else if (count == 1 && strcmp(words[0], "sync") == 0) {
        print(json_pack("{s:b}", "sync", 1));
    } else {
        fprintf(stderr, "dns_kit: no such command: %s\n", line);
        exit(EXIT_FAILURE);
    }
}

static void on_input(void *owner)
{
    char room[LINE_MAX_BYTES];
    ssize_t got = read(STDIN_FILENO, room, sizeof(room));
    ptrdiff_t end;

    (void)owner;
    if (got <= 0) {
        net_watch_want(kit.input, false, false);
        kit.is_ending = true;
        end_if_done();
        return;
    }
    buf_put(&kit.lines, str_make(room, (size_t)got));
    while ((end = str_index(buf_str(&kit.lines), '\n')) >= 0) {
        char *line = mem_copy_text(kit.lines.ptr, (size_t)end);

        buf_consume(&kit.lines, (size_t)end + 1);
        run_command(line);
        mem_free(&line);
    }
}

static void start_resolver(void)
{
    struct wire_start body = {.index = 0};
    int fds[2];

    make_pair(fds);
    kit.pid = fork();
    if (kit.pid == 0) {
        close(fds[0]);
        role_run(&role_resolver, fds[1], 0);
    }
    fd_close(&fds[1]);
    kit.loop = net_loop_new();
    kit.client = dns_client_new(kit.loop);
    kit.input = net_watch_new(kit.loop, STDIN_FILENO, on_input, NULL, NULL);
    kit.master = wire_channel_new(kit.loop, fds[0], WIRE_ROLE_MASTER, WIRE_ROLE_RESOLVER,
                                  &master_events, NULL, &kit.log);
    give_config();
    give_peer();
    if (wire_send(kit.master, WIRE_START, 0, &body, NULL, 0) != ERR_OK)
        die("start");
}

int main(int argc, char **argv)
{
    int status;

    if (argc != 2) {
        fputs("usage: dns_kit CONFIG\n", stderr);
        return EXIT_FAILURE;
    }
    kit.config = argv[1];
    kit.log = (struct log){.level = LOG_LEVEL_INFO, .fd = STDERR_FILENO, .role = "kit"};
    buf_init(&kit.lines, SIZE_MAX);
    start_resolver();
    net_loop_run(kit.loop);
    if (waitpid(kit.pid, &status, 0) != kit.pid)
        die("waitpid");
    dns_client_free(&kit.client);
    wire_channel_free(&kit.peer);
    net_watch_free(&kit.input);
    net_loop_free(&kit.loop);
    buf_free(&kit.lines);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
