/* Another server that mail is taken from. */
#include "cli/remote.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "cli/secret_input.h"

#include <string.h>

bool cli_remote_is_one(const char *text)
{
    return strncmp(text, "imap://", 7) == 0 || strncmp(text, "imaps://", 8) == 0;
}

static int digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_upper(c);
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static struct str decoded(struct task *task, struct str text)
{
    CLEANUP(buf_free) struct buf out;

    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '%' && i + 2 < text.len && digit(text.ptr[i + 1]) >= 0 &&
            digit(text.ptr[i + 2]) >= 0) {
            c = (char)(digit(text.ptr[i + 1]) * 16 + digit(text.ptr[i + 2]));
            i += 2;
        }
        buf_put(&out, str_make(&c, 1));
    }
    return arena_copy(&task->arena, buf_str(&out));
}

enum err cli_remote_parse(struct task *task, struct str text, struct cli_remote *out)
{
    struct cli_remote remote = {.is_tls = str_starts_with(text, STR("imaps://"))};
    struct str rest = str_from(text, remote.is_tls ? 8 : 7), authority, host;
    ptrdiff_t at, colon;

    if (!str_split(&rest, '/', &authority))
        authority = STR("");
    at = str_last_index(authority, '@');
    if (at <= 0)
        return fail(task, ERR_INVALID, "the URL has no user: imaps://someone@mail.example.org/");
    remote.user = decoded(task, str_upto(authority, (size_t)at));
    host = str_from(authority, (size_t)at + 1);
    remote.port = remote.is_tls ? STR("993") : STR("143");
    colon = str_last_index(host, ':');
    if (str_starts_with(host, STR("["))) { /* an IPv6 address */
        ptrdiff_t end = str_index(host, ']');

        if (end < 0)
            return fail(task, ERR_INVALID, "the URL's address has no end");
        if (colon > end)
            remote.port = str_from(host, (size_t)colon + 1);
        host = str_make(host.ptr + 1, (size_t)end - 1);
    } else if (colon >= 0) {
        remote.port = str_from(host, (size_t)colon + 1);
        host = str_upto(host, (size_t)colon);
    }
    if (host.len == 0 || remote.port.len == 0)
        return fail(task, ERR_INVALID, "the URL has no host");
    remote.host = arena_copy(&task->arena, host);
    remote.port = arena_copy(&task->arena, remote.port);
    remote.folder = rest.ptr == NULL ? STR("") : decoded(task, rest);
    remote.name =
        arena_printf(&task->arena, "imap://%.*s@%.*s", STR_ARG(remote.user), STR_ARG(remote.host));
    *out = remote;
    return ERR_OK;
}

struct connection {
    struct net_line *line; /* borrowed */
    const char *ca_file;
};

static enum err on_read(void *owner, struct task *task, char *room, size_t len, size_t *out_len)
{
    const struct connection *connection = owner;

    return net_line_read(connection->line, task, room, len, out_len);
}

static enum err on_write(void *owner, struct task *task, struct str bytes)
{
    const struct connection *connection = owner;

    return net_line_write(connection->line, task, bytes);
}

static enum err on_start_tls(void *owner, struct task *task)
{
    const struct connection *connection = owner;

    return net_line_start_tls(connection->line, task, connection->ca_file);
}

void cli_remote_close(struct cli_remote_session *session)
{
    net_line_close(&session->line);
    secret_free(&session->password);
}

enum err cli_remote_open(struct task *task, const struct cli_remote *remote,
                         const char *password_file, struct cli_remote_session *out)
{
    TRY(cli_secret_input(task, password_file, "Password at the other server: ", &out->password));
    net_line_prepare_tls();
    return net_line_open(task, remote->host.ptr, remote->port.ptr, &out->line);
}

enum err cli_remote_fetch(struct task *task, const struct cli_remote *remote,
                          struct cli_remote_session *session, const char *ca_file,
                          struct transfer_feed *feed, struct transfer_fetched *out_fetched)
{
    struct transfer_server server = {.user = remote->user,
                                     .name = remote->name,
                                     .folder = remote->folder,
                                     .password = secret_str(session->password)};
    struct connection connection = {.line = session->line, .ca_file = ca_file};
    const struct transfer_line functions = {on_read, on_write, on_start_tls, &connection};

    if (remote->is_tls)
        TRY(on_start_tls(&connection, task));
    server.needs_tls = !remote->is_tls && !net_line_is_local(session->line);
    return transfer_fetch(task, &functions, &server, feed, out_fetched);
}
