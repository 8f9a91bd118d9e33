/*
 * Whatever a server sends: the request ends once, within its limits. The first byte chooses how it
 * is asked; the rest is what the server says, and then it hangs up. Over a socket of this process.
 */
#include "net/http.h"

#include "base/macros.h"
#include "base/memory.h"
#include "net/listener.h"

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 1000, SENT_MAX = 128 * 1024 };

static struct {
    struct net_loop *loop;
    struct net_http *http;
    struct net_listener *listener;
    struct str says;
    char url[64];
    unsigned answers;
    bool is_cut_allowed;
} world;

static void on_accept(void *owner, int fd)
{
    struct linger none = {.l_onoff = 0};
    int size = SENT_MAX * 2;

    (void)owner;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    if (world.says.len > 0)
        send(fd, world.says.ptr, world.says.len, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    close(fd);
}

static void on_done(void *owner, const struct net_http_response *response)
{
    (void)owner;
    world.answers++;
    assert(response->words != NULL);
    assert(response->body.len <= LIMIT);
    if (response->err == ERR_OK)
        assert(response->status >= 100 && response->status <= 999);
    else
        assert(response->status == 0 && response->body.len == 0);
    assert(!response->is_cut || (world.is_cut_allowed && response->body.len == LIMIT));
    assert(net_http_header(response, "Location").len <= NET_HTTP_HEADERS_MAX_BYTES);
    net_loop_stop(world.loop);
}

static void set_up(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct net_http_options options = {.connections_max = 4};
    socklen_t len = sizeof(address);
    struct task task;
    int fd;

    task_init(&task, 0);
    world.loop = net_loop_new();
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        net_http_new(world.loop, &task, &options, &world.http) != ERR_OK)
        abort();
    snprintf(world.url, sizeof(world.url), "http://fuzz.test:%u/", ntohs(address.sin_port));
    world.listener = net_listener_new(world.loop, fd, on_accept, NULL);
    task_done(&task);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net_http_request request = {.address = STR("127.0.0.1"), .response_limit = LIMIT};

    if (size == 0 || size > SENT_MAX)
        return 0;
    if (world.loop == NULL)
        set_up();
    world.says = str_make(data + 1, size - 1);
    world.is_cut_allowed = (data[0] & 1) != 0;
    request.url = str_from_c(world.url);
    request.is_cut_allowed = world.is_cut_allowed;
    request.method = (data[0] & 2) != 0 ? NET_HTTP_POST : NET_HTTP_GET;
    request.body = STR("{}");
    request.timeout_ms = 2000;
    world.answers = 0;
    (void)net_http_start(world.http, &request, on_done, NULL);
    net_loop_run(world.loop);
    assert(world.answers == 1);
    return 0;
}
