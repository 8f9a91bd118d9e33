/*
 * For tests/outbound/outbound.py: delivers with the real code, without a queue. The file named has
 * a JSON object:
 *
 *   dns, dns_ca          DNS over HTTPS, as in the configuration
 *   web_ca               PEM file; whom policy hosts (MTA-STS) are trusted by
 *   hostname, port, smarthost, smarthost_user, smarthost_password, routes, tls_required, allow,
 *   own_addresses, ca_file, idle_ms, dead_ms, …      struct courier_settings
 *   policies             [[domain, id, text, expires_ms] …] known from before
 *
 * Each line of input is an attempt: {"id", "domain", "via", "sender", "recipients": [address or
 * {address, orcpt, notify}], "message", …}. Each line of output is one's end:
 * {"id", "results": [{outcome, code, enhanced, words, remote, tls, …}]}, or {"policy": …}, which is
 * what a queue would keep. It ends with its input, when all attempts have.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "courier/attempt.h"
#include "dns/client.h"
#include "dns/resolver.h"
#include "net/http.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LIST_MAX = 64, INPUT_MAX = 256 * 1024 * 1024 };

struct kit {
    struct net_loop *loop;
    struct net_watch *watch;
    struct buf input;
    struct task task;
    struct log log;
    struct net_http *dns_http, *web_http;
    struct dns_upstreams *upstreams;
    struct dns_resolver *resolver;
    struct wire_channel *asking, *answering; /* as between the roles */
    struct dns_client *dns;
    struct courier_destinations *destinations;
    size_t under_way;
    bool is_over;
};

struct job {
    struct kit *kit;
    json_t *order; /* own */
    json_int_t id;
};

static void must(struct kit *kit, enum err err)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "kit: %s\n", kit->task.words);
    exit(1);
}

static void print(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    fflush(stdout);
    json_decref(object);
}

static struct str text_of(json_t *object, const char *name)
{
    return str_from_c(json_string_value(json_object_get(object, name)));
}

static json_t *to_json(struct str text)
{
    return json_stringn_nocheck(text.ptr == NULL ? "" : text.ptr, text.len);
}

/* ---- names ---- */

static void on_result(void *owner, uint64_t tag, const struct dns_result *result)
{
    struct kit *kit = owner;
    struct wire_dns_answer answer = {
        .status = result->status, .is_secure = result->is_secure, .records = result->records};

    must(kit, wire_send(kit->answering, WIRE_DNS_ANSWER, tag, &answer, NULL, 0));
}

static void on_question(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct kit *kit = owner;
    const struct wire_dns_query *query = &message->body.dns_query;

    (void)channel;
    dns_resolver_ask(kit->resolver, query->name, (enum dns_type)query->type, false, on_result, kit,
                     message->tag);
}

static void on_answer(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct kit *kit = owner;

    (void)channel;
    dns_client_message(kit->dns, message);
}

static void on_gone(void *owner, struct wire_channel *channel)
{
    (void)owner;
    (void)channel;
    abort();
}

static const struct wire_channel_events question_events = {on_question, on_gone};
static const struct wire_channel_events answer_events = {on_answer, on_gone};

static struct net_http *http_of(struct kit *kit, struct str ca_file)
{
    struct net_http_options options = {0};
    struct net_http *http = NULL;
    struct buf pem;

    buf_init(&pem, SIZE_MAX);
    must(kit, net_http_read_trust(&kit->task, ca_file, &pem));
    options.trust_pem = buf_str(&pem);
    must(kit, net_http_new(kit->loop, &kit->task, &options, &http));
    buf_free(&pem);
    return http;
}

static void open_names(struct kit *kit, json_t *settings)
{
    struct dns_resolver_options options = {.cache_bytes = 1024 * 1024, .log = &kit->log};
    int fds[2];

    kit->dns_http = http_of(kit, text_of(settings, "dns_ca"));
    kit->upstreams = dns_upstreams_new(kit->loop, kit->dns_http, &kit->log);
    must(kit, dns_upstreams_add(kit->upstreams, &kit->task, text_of(settings, "dns")));
    options.upstreams = kit->upstreams;
    kit->resolver = dns_resolver_new(&options);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        abort();
    kit->asking = wire_channel_new(kit->loop, fds[0], WIRE_ROLE_COURIER, WIRE_ROLE_RESOLVER,
                                   &answer_events, kit, &kit->log);
    kit->answering = wire_channel_new(kit->loop, fds[1], WIRE_ROLE_RESOLVER, WIRE_ROLE_COURIER,
                                      &question_events, kit, &kit->log);
    kit->dns = dns_client_new(kit->loop);
    dns_client_set_peer(kit->dns, kit->asking);
}

/* ---- settings ---- */

static size_t list_of(json_t *settings, const char *name, struct str out[LIST_MAX])
{
    json_t *list = json_object_get(settings, name), *one;
    size_t i;

    json_array_foreach(list, i, one) out[i] = str_from_c(json_string_value(one));
    return json_array_size(list);
}

static int64_t number_of(json_t *settings, const char *name)
{
    return json_integer_value(json_object_get(settings, name));
}

static void save_policy(void *owner, struct str domain, struct str id, struct str text,
                        int64_t expires_ms)
{
    (void)owner;
    print(json_pack("{s:[o,o,o,I]}", "policy", to_json(domain), to_json(id), to_json(text),
                    (json_int_t)expires_ms));
}

static void restore_policies(struct kit *kit, json_t *settings)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(settings, "policies"), i, one) courier_destinations_policy(
        kit->destinations, str_from_c(json_string_value(json_array_get(one, 0))),
        str_from_c(json_string_value(json_array_get(one, 1))),
        str_from_c(json_string_value(json_array_get(one, 2))),
        json_integer_value(json_array_get(one, 3)), clock_now_ms());
}

static void open_destinations(struct kit *kit, json_t *from)
{
    struct str routes[LIST_MAX], tls_required[LIST_MAX], allow[LIST_MAX], own[LIST_MAX];
    struct str password = text_of(from, "smarthost_password");
    struct courier_policy_store store = {kit, save_policy};
    int64_t wait_ms = number_of(from, "timeout_ms");
    CLEANUP(buf_free) struct buf trust;
    struct courier_settings settings = {
        .hostname = text_of(from, "hostname"),
        .port = (uint16_t)number_of(from, "port"),
        .smarthost = text_of(from, "smarthost"),
        .smarthost_user = text_of(from, "smarthost_user"),
        .smarthost_password = password.len > 0 ? secret_copy(password) : NULL,
        .routes = routes,
        .route_count = list_of(from, "routes", routes),
        .tls_required = tls_required,
        .tls_required_count = list_of(from, "tls_required", tls_required),
        .allow = allow,
        .allow_count = list_of(from, "allow", allow),
        .own_addresses = own,
        .own_address_count = list_of(from, "own_addresses", own),
        .connections_max = (uint64_t)number_of(from, "connections_max"),
        .connections_per_destination = (uint64_t)number_of(from, "connections_per_destination"),
        .messages_per_connection = (uint64_t)number_of(from, "messages_per_connection"),
        .messages_per_minute = (uint64_t)number_of(from, "messages_per_minute"),
        .idle_ms = number_of(from, "idle_ms"),
        .dead_ms = number_of(from, "dead_ms"),
        .connect_timeout_ms = number_of(from, "connect_timeout_ms"),
        .timeouts = {wait_ms, wait_ms, wait_ms, wait_ms, wait_ms, wait_ms},
    };

    buf_init(&trust, SIZE_MAX);
    must(kit, net_http_read_trust(&kit->task, text_of(from, "ca_file"), &trust));
    settings.trust_pem = buf_str(&trust);
    kit->web_http = http_of(kit, text_of(from, "web_ca"));
    must(kit, courier_destinations_new(&kit->task, kit->loop, kit->dns, kit->web_http, &settings,
                                       &store, &kit->log, &kit->destinations));
    restore_policies(kit, from);
}

/* ---- attempts ---- */

static void end_if_done(struct kit *kit)
{
    if (kit->is_over && kit->under_way == 0)
        net_loop_stop(kit->loop);
}

static json_t *result_json(const struct courier_result *result)
{
    static const char *const outcomes[] = {"delivered", "temporary", "permanent"};

    return json_pack("{s:s, s:b, s:b, s:i, s:o, s:o, s:o, s:o}", "outcome",
                     outcomes[result->outcome], "uncertain", result->is_uncertain, "passes_dsn",
                     result->passes_dsn, "code", (int)result->code, "enhanced",
                     to_json(result->enhanced), "words", to_json(result->words), "remote",
                     to_json(result->remote), "tls", to_json(result->tls));
}

static void on_done(void *owner, const struct courier_result *results, size_t count)
{
    struct job *job = owner;
    struct kit *kit = job->kit;
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, result_json(&results[i]));
    print(json_pack("{s:I, s:o}", "id", job->id, "results", list));
    json_decref(job->order);
    mem_free(&job);
    kit->under_way--;
    end_if_done(kit);
}

static void take_order(struct kit *kit, struct str line)
{
    struct courier_recipient recipients[COURIER_RECIPIENTS_MAX] = {0};
    struct job *job = NEW(struct job);
    json_t *order = json_loadb(line.ptr, line.len, JSON_ALLOW_NUL, NULL), *one;
    struct courier_request request = {.recipients = recipients};

    if (order == NULL)
        abort();
    request.domain = text_of(order, "domain");
    request.via = text_of(order, "via");
    request.sender = text_of(order, "sender");
    request.ret = text_of(order, "ret");
    request.envid = text_of(order, "envid");
    request.fields = text_of(order, "fields");
    request.message = str_make(json_string_value(json_object_get(order, "message")),
                               json_string_length(json_object_get(order, "message")));
    request.require_tls = json_is_true(json_object_get(order, "require_tls"));
    request.tls_optional = json_is_true(json_object_get(order, "tls_optional"));
    request.smtputf8 = json_is_true(json_object_get(order, "smtputf8"));
    request.is_8bit = json_is_true(json_object_get(order, "is_8bit"));
    json_array_foreach(json_object_get(order, "recipients"), request.recipient_count, one)
        recipients[request.recipient_count] = (struct courier_recipient){
            json_is_string(one) ? str_from_c(json_string_value(one)) : text_of(one, "address"),
            text_of(one, "orcpt"), text_of(one, "notify")};
    job->kit = kit;
    job->order = order;
    job->id = json_integer_value(json_object_get(order, "id"));
    kit->under_way++;
    courier_attempt_start(kit->destinations, &request, on_done, job);
}

static void on_input(void *owner)
{
    struct kit *kit = owner;
    char *room;
    ptrdiff_t end;
    ssize_t got;

    if (buf_reserve(&kit->input, 65536, &room) != ERR_OK)
        abort();
    got = read(STDIN_FILENO, room, 65536);
    if (got < 0)
        return;
    buf_commit(&kit->input, (size_t)got);
    while ((end = str_index(buf_str(&kit->input), '\n')) >= 0) {
        take_order(kit, str_upto(buf_str(&kit->input), (size_t)end));
        buf_consume(&kit->input, (size_t)end + 1);
    }
    if (got == 0) {
        kit->is_over = true;
        net_watch_want(kit->watch, false, false);
        end_if_done(kit);
    }
}

static void close_all(struct kit *kit)
{
    courier_destinations_free(&kit->destinations);
    dns_client_free(&kit->dns);
    wire_channel_free(&kit->asking);
    wire_channel_free(&kit->answering);
    dns_resolver_free(&kit->resolver);
    dns_upstreams_free(&kit->upstreams);
    net_http_free(&kit->web_http);
    net_http_free(&kit->dns_http);
    net_watch_free(&kit->watch);
    net_loop_free(&kit->loop);
    buf_free(&kit->input);
    task_done(&kit->task);
}

int main(int argc, char **argv)
{
    static struct kit kit;
    json_t *settings = argc == 2 ? json_load_file(argv[1], 0, NULL) : NULL;

    if (settings == NULL) {
        fprintf(stderr, "kit: no settings\n");
        return 1;
    }
    secret_init();
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    kit.log = (struct log){.level = LOG_LEVEL_DEBUG, .fd = STDERR_FILENO, .role = "kit"};
    kit.loop = net_loop_new();
    task_init(&kit.task, clock_now_ms());
    buf_init(&kit.input, INPUT_MAX);
    open_names(&kit, settings);
    open_destinations(&kit, settings);
    kit.watch = net_watch_new(kit.loop, STDIN_FILENO, on_input, NULL, &kit);
    net_watch_want(kit.watch, true, false);
    net_loop_run(kit.loop);
    close_all(&kit);
    json_decref(settings);
    return 0;
}
