/* "imap://someone@host:port/folder": another server that mail is taken from. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "net/line.h"
#include "secret/secret.h"
#include "transfer/fetch.h"

struct cli_remote {
    struct str user, host, port, folder; /* in the arena of the task that parsed it */
    struct str name;                     /* without port and folder: what it is remembered by */
    bool is_tls;                         /* imaps: from the beginning */
};

bool cli_remote_is_one(const char *text);
/* ERR_INVALID: words say what is missing. %XX stands for a byte. */
MUST_CHECK enum err cli_remote_parse(struct task *task, struct str text, struct cli_remote *out);
/*
 * In two steps, so that the process is confined before it reads what the server says. Connects; reads
 * the password, the first line of the file (NULL: asked for).
 */
struct cli_remote_session {
    struct net_line *line;   /* own */
    struct secret *password; /* own */
};
MUST_CHECK enum err cli_remote_open(struct task *task, const struct cli_remote *remote,
                                    const char *password_file, struct cli_remote_session *out);
void cli_remote_close(struct cli_remote_session *session);
/* Fetches (transfer/fetch.h). `ca_file`: what the certificate must lead back to; NULL: what the system
 * trusts. */
MUST_CHECK enum err cli_remote_fetch(struct task *task, const struct cli_remote *remote,
                                     struct cli_remote_session *session, const char *ca_file,
                                     struct transfer_feed *feed,
                                     struct transfer_fetched *out_fetched);

#endif
