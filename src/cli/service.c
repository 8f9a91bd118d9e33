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

static enum err read_config(struct task *task, const char *config_path, struct str *out_path,
                            struct cli_service_settings *out_settings)
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
    out_settings->outgoing_ca =
        config.outgoing_ca.len == 0
            ? NULL
            : arena_printf(&task->arena, "%.*s", STR_ARG(config.outgoing_ca)).ptr;
    out_settings->sandbox_required = config.sandbox_required;
    return ERR_OK;
}

enum err cli_service_connect(struct task *task, const char *config_path, int *out_fd,
                             struct cli_service_settings *out_settings)
{
    CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = WAIT_SECONDS};
    struct str path;

    if (fd < 0)
        return fail(task, ERR_IO, "no socket: %s", strerror(errno));
    TRY(read_config(task, config_path, &path, out_settings));
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

static enum err send_request(struct task *task, int fd, const struct admin_command *command,
                             json_t *arguments, const struct cli_service_job *job)
{
    json_t *request = json_object();
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
    err = wire_send_blocking(task, fd, WIRE_ROLE_KEEPER, WIRE_ADMIN, 1, &body, job->fds,
                             job->fd_count);
    mem_wipe(text, strlen(text));
    mem_free(&text);
    return err;
}

enum err cli_service_call(struct task *task, int fd, const struct admin_command *command,
                          json_t *arguments, const struct cli_service_job *job,
                          json_t **out_answer)
{
    CLEANUP(buf_free) struct buf storage;

    buf_init(&storage, SIZE_MAX);
    TRY(send_request(task, fd, command, arguments, job));
    for (;;) {
        struct wire_message message = {.fd_count = 0};
        const struct wire_admin_reply *reply = &message.body.admin_reply;
        json_error_t error;
        json_t *answer;

        TRY(wire_receive_blocking(task, fd, WIRE_ROLE_CLI, WIRE_ROLE_KEEPER, &storage, &message));
        if (message.type != WIRE_ADMIN_REPLY)
            return fail(task, ERR_IO, "the service answered something else");
        answer = json_loadb(reply->json.ptr, reply->json.len, 0, &error);
        if (answer == NULL)
            return fail(task, ERR_IO, "the service's answer is not JSON");
        if (reply->is_last) {
            *out_answer = answer;
            return ERR_OK;
        }
        if (job->on_progress != NULL)
            job->on_progress(job->owner, json_object_get(answer, "progress"));
        json_decref(answer);
    }
}
