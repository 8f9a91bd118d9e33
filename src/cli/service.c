/* Finding and asking the service. */
#include "cli/service.h"

#include "base/file.h"
#include "base/memory.h"
#include "role/config.h"
#include "wire/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

enum { CONFIG_BYTES_MAX = 1024 * 1024, WAIT_SECONDS = 60 };

static enum err socket_path(struct task *task, const char *config_path, struct str *out_path)
{
    CLEANUP(config_done) struct config config = {0};
    CLEANUP(buf_free) struct buf text;
    enum err err;

    buf_init(&text, SIZE_MAX);
    err = file_read(task, AT_FDCWD, config_path, CONFIG_BYTES_MAX, &text);
    if (err != ERR_OK) {
        task_forgive(task);
        return fail(task, err,
                    "the configuration %s cannot be read; name it with --config FILE or "
                    "SEALPOST_CONFIG",
                    config_path);
    }
    TRY(config_parse(task, config_path, buf_str(&text), NULL, &config));
    *out_path = arena_copy(&task->arena, config.admin_socket);
    return ERR_OK;
}

enum err cli_service_connect(struct task *task, const char *config_path, int *out_fd)
{
    CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = WAIT_SECONDS};
    struct str path;

    if (fd < 0)
        return fail(task, ERR_IO, "no socket: %s", strerror(errno));
    TRY(socket_path(task, config_path, &path));
    if (path.len == 0 || path.len >= sizeof(address.sun_path))
        return fail(task, ERR_INVALID, "%s: the path of admin_socket is too long", config_path);
    memcpy(address.sun_path, path.ptr, path.len);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        if (errno == EACCES || errno == EPERM)
            return fail(task, ERR_DENIED, "only root and the service's own user may use %s",
                        address.sun_path);
        return fail(task, ERR_NOT_FOUND,
                    "the service does not answer at %s (%s); start it with: sealpost serve "
                    "--config %s",
                    address.sun_path, strerror(errno), config_path);
    }
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0)
        return fail(task, ERR_IO, "no time-out: %s", strerror(errno));
    *out_fd = fd;
    fd = -1;
    return ERR_OK;
}

enum err cli_service_call(struct task *task, int fd, const struct admin_command *command,
                          json_t *arguments, json_t **out_answer)
{
    CLEANUP(buf_free) struct buf storage;
    struct wire_message message = {.fd_count = 0};
    json_t *request = json_object();
    json_error_t error;
    struct wire_admin body;
    char *text;
    enum err err;

    json_object_set_new(request, "command", json_string(command->name));
    json_object_set(request, "arguments", arguments);
    text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (text == NULL)
        return fail(task, ERR_INVALID, "the request is not UTF-8 text");
    body.json = str_from_c(text);
    buf_init(&storage, SIZE_MAX);
    err = wire_call_blocking(task, fd, WIRE_ROLE_CLI, WIRE_ROLE_KEEPER, WIRE_ADMIN, &body, &storage,
                             &message);
    mem_wipe(text, strlen(text));
    mem_free(&text);
    TRY(err);
    if (message.type != WIRE_ADMIN_REPLY)
        return fail(task, ERR_IO, "the service answered something else");
    *out_answer = json_loadb(message.body.admin_reply.json.ptr, message.body.admin_reply.json.len,
                             0, &error);
    if (*out_answer == NULL)
        return fail(task, ERR_IO, "the service's answer is not JSON");
    return ERR_OK;
}
