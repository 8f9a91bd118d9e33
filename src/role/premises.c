#include "role/premises.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "net/certificate.h"
#include "net/http.h"
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PEM_LIMIT = 60 * 1024, HOST_KEY_BYTES = 32, HOST_KEY_LIMIT = 4096, PASSWORD_LIMIT = 4096 };

static const char *const folders[] = {"", "run", "account", "mail", "drop", "queue", "archive", "tls"};

enum err premises_make_folders(struct task *task, const struct config *config,
                               const struct identity *identity)
{
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        const char *path = config_path(config, task, folders[i]);

        TRY(dir_make(task, AT_FDCWD, path, i == 0));
        TRY(identity_give(task, identity, path));
    }
    return ERR_OK;
}

enum err premises_lock(struct task *task, const struct config *config, int *out_fd)
{
    const char *path = config_path(config, task, "run/master.lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return fail(task, ERR_IO, "%s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return fail(task, ERR_BUSY, "another sealpost serves %.*s already",
                    STR_ARG(config->data));
    }
    *out_fd = fd;
    return ERR_OK;
}

const char *premises_restoring_path(const struct config *config, struct task *task)
{
    return config_path(config, task, "account/restoring.sqlite");
}

enum err premises_check_restored(struct task *task, const struct config *config)
{
    const char *path = premises_restoring_path(config, task);

    if (access(path, F_OK) != 0)
        return ERR_OK;
    return fail(task, ERR_BUSY,
                "sealpost restore-host has not ended: run it again, and start then (or remove %s, "
                "to start with what is there)",
                path);
}

static const char *path_or(const struct config *config, struct task *task, struct str configured,
                           const char *fallback)
{
    return configured.len > 0 ? arena_copy(&task->arena, configured).ptr
                              : config_path(config, task, fallback);
}

const char *premises_certificate_path(const struct config *config, struct task *task)
{
    return path_or(config, task, config->certificate, "tls/certificate.pem");
}

const char *premises_key_path(const struct config *config, struct task *task)
{
    return path_or(config, task, config->key, "tls/key.pem");
}

const char *premises_host_key_path(const struct config *config, struct task *task)
{
    return path_or(config, task, config->host_key, "host.key");
}

enum err premises_make_host_key(struct task *task, const struct config *config)
{
    const char *path = premises_host_key_path(config, task);
    unsigned char key[HOST_KEY_BYTES];
    enum err err;

    if (access(path, F_OK) == 0)
        return ERR_OK;
    if (errno != ENOENT)
        return fail(task, ERR_IO, "%s: %s", path, strerror(errno));
    if (access(config_path(config, task, "account/account.sqlite"), F_OK) == 0)
        return fail(task, ERR_NOT_FOUND,
                    "the host key %s is missing, and the accounts open with the old one only; "
                    "bring it back from where you keep a copy",
                    path);
    if (config->host_key.len > 0)
        return fail(task, ERR_NOT_FOUND, "there is no host key at %s", path);
    random_bytes(key, sizeof(key));
    err = file_replace(task, AT_FDCWD, path, str_make(key, sizeof(key)));
    explicit_bzero(key, sizeof(key));
    return err;
}

enum err premises_open_host_key(struct task *task, const struct config *config, int *out_fd)
{
    const char *path = premises_host_key_path(config, task);
    CLEANUP(buf_free) struct buf key;

    buf_init(&key, SIZE_MAX);
    TRY(file_read(task, AT_FDCWD, path, HOST_KEY_LIMIT, &key));
    if (key.len < HOST_KEY_BYTES)
        return fail(task, ERR_INVALID, "the host key %s is shorter than 32 bytes", path);
    return memfd_from(task, buf_str(&key), out_fd);
}

static enum err read_pem(struct task *task, const char *path, struct buf *out)
{
    enum err err = file_read(task, AT_FDCWD, path, PEM_LIMIT, out);

    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
        return fail(task, ERR_NOT_FOUND,
                    "there is no %s; set `certificate` and `key`, or make a self-signed one: "
                    "sealpost make-certificate --config FILE",
                    path);
    }
    return err;
}

enum err premises_open_certificate(struct task *task, const struct config *config,
                                   int *out_certificate_fd, int *out_key_fd)
{
    CLEANUP(buf_free) struct buf certificate, key;
    CLEANUP(fd_close) int certificate_fd = -1;
    struct net_tls *tls;

    buf_init(&certificate, SIZE_MAX);
    buf_init(&key, SIZE_MAX);
    TRY(read_pem(task, premises_certificate_path(config, task), &certificate));
    TRY(read_pem(task, premises_key_path(config, task), &key));
    TRY(net_tls_new(task, buf_str(&certificate), buf_str(&key), &tls));
    net_tls_free(&tls);
    TRY(memfd_from(task, buf_str(&certificate), &certificate_fd));
    TRY(memfd_from(task, buf_str(&key), out_key_fd));
    *out_certificate_fd = certificate_fd;
    certificate_fd = -1;
    return ERR_OK;
}

/* The setting's name is for the words. */
struct named_path {
    const char *setting;
    struct str path;
};

static enum err name_it(struct task *task, enum err err, const struct named_path *file)
{
    struct str words = arena_copy(&task->arena, str_from_c(task->words));

    if (err == ERR_OK)
        return ERR_OK;
    task_forgive(task);
    return fail(task, err, "%s: %.*s", file->setting, STR_ARG(words));
}

static enum err open_trust(struct task *task, const struct named_path *file, int *out_fd)
{
    CLEANUP(buf_free) struct buf pem;
    enum err err;

    buf_init(&pem, SIZE_MAX);
    err = net_http_read_trust(task, file->path, &pem);
    if (err == ERR_NOT_FOUND && file->path.len == 0)
        task_forgive(task); /* the role says what cannot be done then */
    else
        TRY(name_it(task, err, file));
    if (pem.len > 0)
        TRY(name_it(task, net_http_check_trust(task, buf_str(&pem)), file));
    return memfd_from(task, buf_str(&pem), out_fd);
}

static enum err open_password(struct task *task, const struct named_path *file, int *out_fd)
{
    CLEANUP(buf_free) struct buf text;
    struct str line;
    enum err err;

    buf_init(&text, SIZE_MAX); /* file_read has the limit */
    if (file->path.len == 0)
        return memfd_from(task, STR(""), out_fd);
    TRY(name_it(task,
                file_read(task, AT_FDCWD, arena_copy(&task->arena, file->path).ptr, PASSWORD_LIMIT,
                          &text),
                file));
    line = buf_str(&text);
    if (str_index(line, '\n') >= 0)
        line = str_upto(line, (size_t)str_index(line, '\n'));
    line = str_trim(line);
    if (line.len == 0)
        return fail(task, ERR_INVALID, "%s: the file is empty", file->setting);
    err = memfd_from(task, line, out_fd);
    explicit_bzero(text.ptr, text.len);
    return err;
}

enum err premises_open_trust(struct task *task, const struct config *config, enum wire_role kind,
                             int *out_trust_fd, int *out_password_fd)
{
    bool has_backups = config->backup.len > 0; /* else nobody reads what they would need */
    struct named_path trust = {"dns_upstream_ca", config->dns_upstream_ca};
    struct named_path password = {"redis_password_file", config->redis_password_file};
    CLEANUP(fd_close) int trust_fd = -1;

    if (kind == WIRE_ROLE_COURIER) {
        trust = (struct named_path){"outgoing_ca", config->outgoing_ca};
        password = (struct named_path){"smarthost_password", config->smarthost_password};
    } else if (kind == WIRE_ROLE_ARCHIVIST) {
        trust = (struct named_path){"backup_ca", has_backups ? config->backup_ca : STR("")};
        password = (struct named_path){"backup_key_file",
                                       has_backups ? config->backup_key_file : STR("")};
    }
    TRY(open_trust(task, &trust, &trust_fd));
    TRY(open_password(task, &password, out_password_fd));
    *out_trust_fd = trust_fd;
    trust_fd = -1;
    return ERR_OK;
}

enum err premises_make_certificate(struct task *task, const struct config *config)
{
    const char *certificate_path = premises_certificate_path(config, task);
    const char *key_path = premises_key_path(config, task);
    CLEANUP(buf_free) struct buf certificate, key;

    buf_init(&certificate, SIZE_MAX);
    buf_init(&key, SIZE_MAX);
    if (access(certificate_path, F_OK) == 0 && access(key_path, F_OK) == 0)
        return fail(task, ERR_EXISTS, "%s exists already", certificate_path);
    if (config->certificate.len == 0)
        TRY(dir_make(task, AT_FDCWD, config_path(config, task, "tls"), true));
    TRY(net_certificate_make(task, config->hostname, clock_now_ms(), &certificate, &key));
    /* The key first: with it alone, the next attempt makes both anew. */
    TRY(file_replace(task, AT_FDCWD, key_path, buf_str(&key)));
    return file_replace(task, AT_FDCWD, certificate_path, buf_str(&certificate));
}
