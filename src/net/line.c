/* A connection of a command that waits. */
#include "net/line.h"

#include "base/file.h"
#include "base/ip.h"
#include "base/memory.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct net_line {
    int fd;           /* own */
    char *host;       /* own */
    SSL_CTX *context; /* own; NULL: no TLS */
    SSL *tls;         /* own */
    bool is_local;
};

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in found;

        memcpy(&found, address, sizeof(found));
        return ntohl(found.sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 found;

        memcpy(&found, address, sizeof(found));
        return IN6_IS_ADDR_LOOPBACK(&found.sin6_addr);
    }
    return false;
}

static int connect_to(const struct addrinfo *address)
{
    const struct timeval wait = {.tv_sec = NET_LINE_TIMEOUT_S};
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) != 0 ||
        connect(fd, address->ai_addr, address->ai_addrlen) != 0)
        fd_close(&fd);
    return fd;
}

enum err net_line_open(struct task *task, const char *host, const char *port,
                       struct net_line **out_line)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *addresses = NULL;
    struct net_line *line;
    int status = getaddrinfo(host, port, &hints, &addresses), fd = -1;
    bool is_local = false;

    if (status != 0)
        return fail(task, ERR_NOT_FOUND, "%s: %s", host, gai_strerror(status));
    for (const struct addrinfo *each = addresses; each != NULL && fd < 0; each = each->ai_next) {
        fd = connect_to(each);
        is_local = is_loopback(each->ai_addr);
    }
    freeaddrinfo(addresses);
    if (fd < 0)
        return fail(task, ERR_BUSY, "%s: %s", host, strerror(errno));
    line = NEW(struct net_line);
    line->fd = fd;
    line->host = mem_copy_text(host, strlen(host));
    line->is_local = is_local;
    *out_line = line;
    return ERR_OK;
}

void net_line_close(struct net_line **line)
{
    if (*line == NULL)
        return;
    SSL_free((*line)->tls);
    SSL_CTX_free((*line)->context);
    fd_close(&(*line)->fd);
    mem_free(&(*line)->host);
    mem_free(line);
}

void net_line_prepare_tls(void)
{
    (void)OPENSSL_init_ssl(0, NULL);
}

bool net_line_is_local(const struct net_line *line)
{
    return line->is_local;
}

static bool set_name(struct net_line *line)
{
    struct ip_address address;

    if (ip_address_parse(str_from_c(line->host), &address))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(line->tls), line->host) == 1;
    return SSL_set1_host(line->tls, line->host) == 1 &&
           SSL_set_tlsext_host_name(line->tls, line->host) == 1;
}

static enum err make_context(struct net_line *line, struct task *task, const char *ca_file)
{
    line->context = SSL_CTX_new(TLS_client_method());
    if (line->context == NULL ||
        SSL_CTX_set_min_proto_version(line->context, TLS1_2_VERSION) != 1 ||
        (ca_file == NULL && SSL_CTX_set_default_verify_paths(line->context) != 1))
        return fail(task, ERR_IO, "TLS cannot be had here");
    if (ca_file != NULL && SSL_CTX_load_verify_file(line->context, ca_file) != 1)
        return fail(task, ERR_INVALID, "%s: no certificates can be read from it", ca_file);
    SSL_CTX_set_verify(line->context, SSL_VERIFY_PEER, NULL);
    return ERR_OK;
}

enum err net_line_start_tls(struct net_line *line, struct task *task, const char *ca_file)
{
    long problem;

    TRY(make_context(line, task, ca_file));
    line->tls = SSL_new(line->context);
    if (line->tls == NULL || !set_name(line) || SSL_set_fd(line->tls, line->fd) != 1)
        return fail(task, ERR_IO, "TLS cannot be had here");
    if (SSL_connect(line->tls) == 1)
        return ERR_OK;
    problem = SSL_get_verify_result(line->tls);
    if (problem == X509_V_OK)
        return fail(task, ERR_DENIED, "%s: no TLS: the handshake failed", line->host);
    return fail(
        task, ERR_DENIED,
        "%s: its certificate is not believed (%s), so no password was sent; if it should be, "
        "name the certificate that it leads back to with --server-ca-file",
        line->host, X509_verify_cert_error_string(problem));
}

enum err net_line_read(struct net_line *line, struct task *task, char *room, size_t len,
                       size_t *out_len)
{
    ssize_t got;

    if (line->tls != NULL) {
        int count = SSL_read(line->tls, room, len > INT_MAX ? INT_MAX : (int)len);

        if (count <= 0 && SSL_get_error(line->tls, count) != SSL_ERROR_ZERO_RETURN)
            return fail(task, ERR_BUSY, "%s: the connection broke", line->host);
        *out_len = count > 0 ? (size_t)count : 0;
        return ERR_OK;
    }
    do
        got = recv(line->fd, room, len, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return fail(task, ERR_BUSY, "%s: %s", line->host, strerror(errno));
    *out_len = (size_t)got;
    return ERR_OK;
}

enum err net_line_write(struct net_line *line, struct task *task, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t sent = line->tls != NULL ? SSL_write(line->tls, bytes.ptr,
                                                     bytes.len > INT_MAX ? INT_MAX : (int)bytes.len)
                                         : send(line->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

        if (sent < 0 && line->tls == NULL && errno == EINTR)
            continue;
        if (sent <= 0)
            return fail(task, ERR_BUSY, "%s: the connection broke", line->host);
        bytes = str_from(bytes, (size_t)sent);
    }
    return ERR_OK;
}
