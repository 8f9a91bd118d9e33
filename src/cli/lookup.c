#include "cli/lookup.h"

#include "base/memory.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORDS_MAX = 16 };

static struct str bytes_of(const struct addrinfo *found)
{
    if (found->ai_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)found->ai_addr;

        return str_make((const char *)&v4->sin_addr, sizeof(v4->sin_addr));
    } else {
        const struct sockaddr_in6 *v6 = (const void *)found->ai_addr;

        return str_make((const char *)&v6->sin6_addr, sizeof(v6->sin6_addr));
    }
}

/* One family in one question: the C library then asks with calls that a confined process has. */
static enum dns_status look_up(struct task *task, struct str name, bool is_v6, struct buf *out)
{
    struct addrinfo hints = {.ai_family = is_v6 ? AF_INET6 : AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    struct dns_record records[RECORDS_MAX] = {{.ttl_s = 0}};
    struct dns_answer answer = {.status = DNS_OK, .records = records};
    int status = getaddrinfo(arena_copy(&task->arena, name).ptr, NULL, &hints, &found);

    if (status != 0)
        return status == EAI_NONAME ? DNS_NO_DATA : DNS_FAILED;
    for (const struct addrinfo *each = found; each != NULL && answer.count < RECORDS_MAX;
         each = each->ai_next)
        records[answer.count++].data = bytes_of(each);
    dns_answer_encode(&answer, out);
    freeaddrinfo(found);
    return DNS_OK;
}

static void on_question(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    const struct wire_dns_query *query = &message->body.dns_query;
    struct wire_dns_answer body = {.status = DNS_NO_DATA};
    CLEANUP(task_done) struct task task;
    CLEANUP(buf_free) struct buf records = {0};

    (void)owner;
    task_init(&task, 0);
    buf_init(&records, SIZE_MAX);
    if (query->type == DNS_TYPE_A || query->type == DNS_TYPE_AAAA)
        body.status = look_up(&task, query->name, query->type == DNS_TYPE_AAAA, &records);
    body.records = buf_str(&records);
    /* Not sent, it is asked for again. */
    if (wire_send(channel, WIRE_DNS_ANSWER, message->tag, &body, NULL, 0) != ERR_OK)
        return;
}

static void on_answer(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct cli_lookup *lookup = owner;

    (void)channel;
    dns_client_message(lookup->dns, message);
}

/* Both ends are in this process. */
static void on_close(void *owner, struct wire_channel *channel)
{
    (void)owner;
    (void)channel;
}

enum err cli_lookup_open(struct task *task, struct net_loop *loop, const struct log *log,
                         struct cli_lookup *out)
{
    static const struct wire_channel_events near = {on_answer, on_close},
                                            far = {on_question, on_close};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return fail(task, ERR_IO, "no socket: %s", strerror(errno));
    out->dns = dns_client_new(loop);
    out->near =
        wire_channel_new(loop, pair[0], WIRE_ROLE_ARCHIVIST, WIRE_ROLE_RESOLVER, &near, out, log);
    out->far =
        wire_channel_new(loop, pair[1], WIRE_ROLE_RESOLVER, WIRE_ROLE_ARCHIVIST, &far, out, log);
    dns_client_set_peer(out->dns, out->near);
    return ERR_OK;
}

void cli_lookup_close(struct cli_lookup *lookup)
{
    wire_channel_free(&lookup->near);
    wire_channel_free(&lookup->far);
    dns_client_free(&lookup->dns);
}

void cli_lookup_sandbox(struct task *task, const char *resolv_conf, struct sandbox_rules *rules)
{
    static const char *const folders[] = {"/etc", "/usr/lib", "/lib", "/lib64"};
    char *target = realpath(resolv_conf, NULL);

    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        if (access(folders[i], R_OK | X_OK) == 0)
            sandbox_allow_path(rules, folders[i], SANDBOX_READ);
    }
    if (target != NULL && access(target, R_OK) == 0)
        sandbox_allow_path(rules, arena_copy(&task->arena, str_from_c(target)).ptr, SANDBOX_READ);
    free(target);
}
