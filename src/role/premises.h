/*
 * What `serve` needs in place before it starts a role: the data folder and its lock, the host key,
 * the certificate, the listening sockets.
 */
#ifndef ROLE_PREMISES_H
#define ROLE_PREMISES_H

#include "base/buf.h"
#include "role/config.h"
#include "role/identity.h"
#include "wire/messages.h"

enum { PREMISES_LISTENERS_MAX = 7 * CONFIG_ADDRESSES_MAX + 1 };

/* Makes <data> and its folders where they are missing, and gives them to the identity. */
MUST_CHECK enum err premises_make_folders(struct task *task, const struct config *config,
                                          const struct identity *identity);
/* One `serve` for each data folder. ERR_BUSY when another one runs. The lock goes with *out_fd. */
MUST_CHECK enum err premises_lock(struct task *task, const struct config *config, int *out_fd);

/*
 * The account database while `sealpost restore-host` brings back what belongs to it; it gets its name last.
 * ERR_BUSY: it is there, so that is not done yet, and a service without accounts would be started, whose
 * empty account database would be backed up as the newest.
 */
const char *premises_restoring_path(const struct config *config, struct task *task);
MUST_CHECK enum err premises_check_restored(struct task *task, const struct config *config);

/* Paths as configured or by default; in the task's arena. */
const char *premises_certificate_path(const struct config *config, struct task *task);
const char *premises_key_path(const struct config *config, struct task *task);
const char *premises_host_key_path(const struct config *config, struct task *task);

/* Makes the host key at a first start. ERR_NOT_FOUND when it is missing although there are accounts:
 * only the old one opens them. */
MUST_CHECK enum err premises_make_host_key(struct task *task, const struct config *config);
/* As sealed memfds. The certificate and key were checked. */
MUST_CHECK enum err premises_open_certificate(struct task *task, const struct config *config,
                                              int *out_certificate_fd, int *out_key_fd);
MUST_CHECK enum err premises_open_host_key(struct task *task, const struct config *config,
                                           int *out_fd);
/*
 * What a role that has_trust gets beside the configuration, as it is on disk now, as sealed memfds: the
 * certificates that servers must lead back to (empty: the system has none, and none are set), and a
 * password, the first line of its file (empty: none is set). The role cannot read them itself once it is
 * confined, and they may change while it runs.
 */
MUST_CHECK enum err premises_open_trust(struct task *task, const struct config *config,
                                        enum wire_role kind, int *out_trust_fd,
                                        int *out_password_fd);
/* `sealpost make-certificate`: self-signed, into the default places. ERR_EXISTS. */
MUST_CHECK enum err premises_make_certificate(struct task *task, const struct config *config);

struct premises_listener {
    const char *name; /* the setting's; static */
    bool is_tls;
    int fd;
};

struct premises_listeners {
    struct premises_listener at[PREMISES_LISTENERS_MAX];
    size_t count;
};

/* Binds everything that the configuration names, and the administrator's socket. */
MUST_CHECK enum err premises_listen(struct task *task, const struct config *config,
                                    const struct identity *identity,
                                    struct premises_listeners *out);
/* "imap=127.0.0.1:1143 imaps=…", for the log. */
struct str premises_describe(struct task *task, const struct config *config);

#endif
