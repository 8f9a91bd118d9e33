/*
 * One attempt at a webhook, told as one line of JSON: what courier/webhook.c does, without the
 * queue and with a resolver that knows the names of the command line only.
 *
 *   webhook_try [--allow X]… [--http] [--trust PEM] [--secret S] [--id I] [--timeout MS]
 *               [--cancel-after MS] [--free-after MS] [--zone NAME=ADDRESS,ADDRESS/ADDRESS,…]… URL BODY-FILE
 *
 * The answers to the first look-up of NAME stand before the first slash, those to the second behind
 * it, and so on; the last stay. "fail" is the answer that nobody knows, "mute" none.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/ip.h"
#include "base/memory.h"
#include "courier/webhook.h"
#include "secret/secret.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { LIST_MAX = 16, RECORDS_MAX = 64 };

struct zone {
    struct str name, answers; /* those that are still to come */
    unsigned asked;           /* for A */
};

struct trial {
    struct net_loop *loop;
    struct dns_client *dns;
    struct zone zones[LIST_MAX];
    size_t zone_count;
    struct str allow[LIST_MAX];
    size_t allow_count;
    struct webhook_options options;
    struct webhook_job job;
    const char *trust, *body;
    struct webhook_poster *poster;
    struct webhook_attempt *attempt;
    struct net_timer *timer;
    int64_t cancel_after_ms, free_after_ms; /* 0: not */
    bool is_ended;
};

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "try"};

_Noreturn static void die(const char *words)
{
    fprintf(stderr, "webhook_try: %s\n", words);
    exit(2);
}

/* ---- The resolver ---- */

static struct zone *find_zone(struct trial *trial, struct str name)
{
    for (size_t i = 0; i < trial->zone_count; i++) {
        if (str_equal(trial->zones[i].name, name))
            return &trial->zones[i];
    }
    return NULL;
}

/* AAAA is asked behind A, so the answers change with the first. */
static struct str next_answers(struct zone *zone, bool is_a)
{
    struct str rest = zone->answers, group;

    if (is_a && zone->asked++ > 0 && str_index(rest, '/') >= 0) {
        (void)str_split(&rest, '/', &group);
        zone->answers = rest;
    }
    rest = zone->answers;
    (void)str_split(&rest, '/', &group);
    return group;
}

static void answer_query(struct trial *trial, const struct wire_dns_query *query,
                         struct dns_answer *out)
{
    static struct ip_address addresses[RECORDS_MAX];
    struct zone *zone = find_zone(trial, query->name);
    struct str rest, text;

    out->status = DNS_NO_NAME;
    if (zone == NULL)
        return;
    rest = next_answers(zone, query->type == DNS_TYPE_A);
    out->status = str_equal(rest, STR("fail")) ? DNS_FAILED : DNS_NO_DATA;
    while (out->status != DNS_FAILED && out->count < RECORDS_MAX && str_split(&rest, ',', &text)) {
        struct ip_address *address = &addresses[out->count];

        if (!ip_address_parse(text, address) || address->is_v6 != (query->type == DNS_TYPE_AAAA))
            continue;
        out->records[out->count++] = (struct dns_record){
            .ttl_s = 1, .data = str_make(address->bytes, address->is_v6 ? 16 : 4)};
        out->status = DNS_OK;
    }
}

static void on_question(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct dns_record records[RECORDS_MAX];
    struct dns_answer answer = {.records = records};
    struct wire_dns_answer body;
    struct zone *zone = find_zone(owner, message->body.dns_query.name);
    struct buf encoded;

    if (zone != NULL && str_equal(zone->answers, STR("mute")))
        return;
    buf_init(&encoded, SIZE_MAX);
    answer_query(owner, &message->body.dns_query, &answer);
    dns_answer_encode(&answer, &encoded);
    body = (struct wire_dns_answer){.status = answer.status, .records = buf_str(&encoded)};
    if (wire_send(channel, WIRE_DNS_ANSWER, message->tag, &body, NULL, 0) != ERR_OK)
        die("the answer was not sent");
    buf_free(&encoded);
}

static void on_answer(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct trial *trial = owner;

    (void)channel;
    dns_client_message(trial->dns, message);
}

static void on_close(void *owner, struct wire_channel *channel)
{
    (void)owner;
    (void)channel;
}

static const struct wire_channel_events resolver_events = {.on_message = on_question,
                                                           .on_close = on_close};
static const struct wire_channel_events courier_events = {.on_message = on_answer,
                                                          .on_close = on_close};

/* ---- The attempt ---- */

/* In the middle of it; its on_done must not come any more. */
static void on_time_to_end(void *owner)
{
    struct trial *trial = owner;

    if (trial->cancel_after_ms > 0)
        webhook_cancel(&trial->attempt);
    else
        webhook_poster_free(&trial->poster);
    trial->is_ended = true;
    net_timer_start(trial->timer, 300); /* late answers have their time */
}

static void on_timer(void *owner)
{
    struct trial *trial = owner;

    if (!trial->is_ended) {
        on_time_to_end(trial);
        return;
    }
    printf("{\"outcome\":\"ended\"}\n");
    net_loop_stop(trial->loop);
}

static void on_done(void *owner, const struct webhook_result *result)
{
    static const char *const outcomes[] = {
        [WEBHOOK_DONE] = "done", [WEBHOOK_RETRY] = "retry", [WEBHOOK_FAILED] = "failed"};
    struct trial *trial = owner;
    json_t *asked = json_object();
    json_t *line =
        json_pack("{s:s, s:i, s:s%, s:I, s:o}", "outcome", outcomes[result->outcome], "status",
                  (int)result->status, "reason", result->reason.ptr, result->reason.len,
                  "retry_after_ms", (json_int_t)result->retry_after_ms, "asked", asked);

    if (trial->is_ended)
        die("an attempt that was ended answered");
    trial->attempt = NULL;
    for (size_t i = 0; i < trial->zone_count; i++)
        json_object_setn_new(asked, trial->zones[i].name.ptr, trial->zones[i].name.len,
                             json_integer(trial->zones[i].asked));
    json_dumpf(line, stdout, JSON_COMPACT);
    printf("\n");
    json_decref(line);
    net_loop_stop(trial->loop);
}

static const char *take(int *argc, char ***argv)
{
    if (*argc < 2)
        die("a value is missing");
    --*argc;
    ++*argv;
    return (*argv)[0];
}

static void add_zone(struct trial *trial, struct str text)
{
    struct zone *zone = &trial->zones[trial->zone_count++];

    if (trial->zone_count == LIST_MAX || !str_split(&text, '=', &zone->name))
        die("--zone NAME=…");
    zone->answers = text;
}

static void read_arguments(struct trial *trial, int argc, char **argv)
{
    for (argc--, argv++; argc > 0; argc--, argv++) {
        const char *name = argv[0];

        if (strcmp(name, "--allow") == 0 && trial->allow_count < LIST_MAX)
            trial->allow[trial->allow_count++] = str_from_c(take(&argc, &argv));
        else if (strcmp(name, "--http") == 0)
            trial->options.allows_http = true;
        else if (strcmp(name, "--trust") == 0)
            trial->trust = take(&argc, &argv);
        else if (strcmp(name, "--secret") == 0)
            trial->job.secret = str_from_c(take(&argc, &argv));
        else if (strcmp(name, "--id") == 0)
            trial->job.id = str_from_c(take(&argc, &argv));
        else if (strcmp(name, "--timeout") == 0)
            trial->options.timeout_ms = strtoll(take(&argc, &argv), NULL, 10);
        else if (strcmp(name, "--cancel-after") == 0)
            trial->cancel_after_ms = strtoll(take(&argc, &argv), NULL, 10);
        else if (strcmp(name, "--free-after") == 0)
            trial->free_after_ms = strtoll(take(&argc, &argv), NULL, 10);
        else if (strcmp(name, "--zone") == 0)
            add_zone(trial, str_from_c(take(&argc, &argv)));
        else if (trial->job.url.ptr == NULL)
            trial->job.url = str_from_c(name);
        else
            trial->body = name;
    }
    if (trial->body == NULL)
        die("URL and BODY-FILE are needed");
}

static void make_body(struct trial *trial, struct task *task)
{
    struct buf bytes;

    buf_init(&bytes, SIZE_MAX);
    if (file_read(task, AT_FDCWD, trial->body, SIZE_MAX, &bytes) != ERR_OK ||
        memfd_from(task, buf_str(&bytes), &trial->job.body_fd) != ERR_OK)
        die(task->words);
    buf_free(&bytes);
}

static void make_http(struct trial *trial, struct task *task)
{
    struct net_http_options options = {.connections_max = 0};
    struct buf pem;

    buf_init(&pem, SIZE_MAX);
    if (trial->trust != NULL && net_http_read_trust(task, str_from_c(trial->trust), &pem) != ERR_OK)
        die(task->words);
    options.trust_pem = buf_str(&pem);
    if (net_http_new(trial->loop, task, &options, &trial->options.http) != ERR_OK)
        die(task->words);
    buf_free(&pem);
}

int main(int argc, char **argv)
{
    struct trial trial = {.job = {.now_ms = clock_now_ms()}};
    struct wire_channel *courier, *resolver;
    struct task task;
    int fds[2];

    secret_init();
    task_init(&task, clock_now_ms());
    read_arguments(&trial, argc, argv);
    make_body(&trial, &task);
    trial.loop = net_loop_new();
    make_http(&trial, &task);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        die("socketpair");
    trial.dns = dns_client_new(trial.loop);
    courier = wire_channel_new(trial.loop, fds[0], WIRE_ROLE_COURIER, WIRE_ROLE_RESOLVER,
                               &courier_events, &trial, &quiet);
    resolver = wire_channel_new(trial.loop, fds[1], WIRE_ROLE_RESOLVER, WIRE_ROLE_COURIER,
                                &resolver_events, &trial, &quiet);
    dns_client_set_peer(trial.dns, courier);
    trial.options.loop = trial.loop;
    trial.options.dns = trial.dns;
    trial.options.log = &quiet;
    trial.options.allow = trial.allow;
    trial.options.allow_count = trial.allow_count;
    trial.timer = net_timer_new(trial.loop, on_timer, &trial);
    if (trial.cancel_after_ms + trial.free_after_ms > 0)
        net_timer_start(trial.timer, trial.cancel_after_ms + trial.free_after_ms);
    trial.poster = webhook_poster_new(&trial.options);
    trial.attempt = webhook_post(trial.poster, &trial.job, on_done, &trial);
    net_loop_run(trial.loop);
    webhook_poster_free(&trial.poster);
    net_timer_free(&trial.timer);
    net_http_free(&trial.options.http);
    wire_channel_free(&courier);
    wire_channel_free(&resolver);
    dns_client_free(&trial.dns);
    fd_close(&trial.job.body_fd);
    net_loop_free(&trial.loop);
    task_done(&task);
    return 0;
}
