/* The listening sockets (premises.h). */
#include "role/premises.h"

#include "base/file.h"
#include "role/config_value.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, ADMIN_BACKLOG = 32 };

static const struct {
    const char *name;
    size_t offset;
    bool is_tls;
} services[] = {
    {"imap", offsetof(struct config, imap), false},
    {"imaps", offsetof(struct config, imaps), true},
    {"pop3", offsetof(struct config, pop3), false},
    {"pop3s", offsetof(struct config, pop3s), true},
    {"mx", offsetof(struct config, mx), false},
    {"submission", offsetof(struct config, submission), false},
    {"submissions", offsetof(struct config, submissions), true},
};

static const struct str *addresses_of(const struct config *config, size_t service)
{
    return (const struct str *)(const void *)((const char *)config + services[service].offset);
}

static enum err bind_address(struct task *task, const char *name, struct str text, int *out_fd)
{
    CLEANUP(fd_close) int fd = -1;
    struct sockaddr_storage address;
    socklen_t len;
    const char *reason = config_parse_address(text, &address, &len);
    int on = 1;

    if (reason != NULL)
        return fail(task, ERR_INVALID, "%s: %s", name, reason);
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (address.ss_family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
        bind(fd, (const struct sockaddr *)&address, len) == 0 && listen(fd, BACKLOG) == 0) {
        *out_fd = fd;
        fd = -1;
        return ERR_OK;
    }
    return fail(task, ERR_IO, "%s: cannot listen on %.*s: %s", name, STR_ARG(text),
                strerror(errno));
}

/* The lock on the data folder is ours: a socket that lies there is a dead service's. */
static enum err bind_admin(struct task *task, const struct config *config,
                           const struct identity *identity, int *out_fd)
{
    const char *path = arena_copy(&task->arena, config->admin_socket).ptr;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    size_t len = strlen(path);

    if (len >= sizeof(address.sun_path))
        return fail(task, ERR_INVALID, "the path of the admin_socket has more than %zu bytes: %s",
                    sizeof(address.sun_path) - 1, path);
    memcpy(address.sun_path, path, len);
    (void)unlink(path);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(path, 0600) != 0 || listen(fd, ADMIN_BACKLOG) != 0)
        return fail(task, ERR_IO, "admin_socket: cannot listen on %s: %s", path, strerror(errno));
    TRY(identity_give(task, identity, path));
    *out_fd = fd;
    fd = -1;
    return ERR_OK;
}

enum err premises_listen(struct task *task, const struct config *config,
                         const struct identity *identity, struct premises_listeners *out)
{
    out->count = 0;
    for (size_t service = 0; service < ARRAY_LEN(services); service++) {
        const struct str *addresses = addresses_of(config, service);

        for (size_t i = 0; i < CONFIG_ADDRESSES_MAX && addresses[i].len > 0; i++) {
            int fd = -1;

            TRY(bind_address(task, services[service].name, addresses[i], &fd));
            out->at[out->count++] = (struct premises_listener){
                .name = services[service].name, .is_tls = services[service].is_tls, .fd = fd};
        }
    }
    if (out->count == 0)
        return fail(task, ERR_INVALID,
                    "no service is configured: set imap, imaps, pop3, pop3s, mx, submission or "
                    "submissions");
    out->at[out->count] = (struct premises_listener){.name = "admin", .fd = -1};
    TRY(bind_admin(task, config, identity, &out->at[out->count].fd));
    out->count++;
    return ERR_OK;
}

struct str premises_describe(struct task *task, const struct config *config)
{
    struct str text = STR("");

    for (size_t service = 0; service < ARRAY_LEN(services); service++) {
        const struct str *addresses = addresses_of(config, service);

        for (size_t i = 0; i < CONFIG_ADDRESSES_MAX && addresses[i].len > 0; i++)
            text = arena_printf(&task->arena, "%.*s%s%s=%.*s", STR_ARG(text),
                                text.len == 0 ? "" : " ", services[service].name,
                                STR_ARG(addresses[i]));
    }
    return text;
}
