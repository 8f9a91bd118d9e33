/*
 * A connection of a command that waits: to one server, with or without TLS. What serves many is
 * net/connection.h.
 */
#ifndef NET_LINE_H
#define NET_LINE_H

#include "base/task.h"

#include <stdbool.h>

enum { NET_LINE_TIMEOUT_S = 300 }; /* without a byte, either way */

struct net_line;

/* Looks the name up and connects. ERR_NOT_FOUND, ERR_BUSY: nothing answers. */
MUST_CHECK enum err net_line_open(struct task *task, const char *host, const char *port,
                                  struct net_line **out_line);
void net_line_close(struct net_line **line);
/* Before the process is confined: what TLS reads once, of the system's configuration. */
void net_line_prepare_tls(void);
/* The other end is this machine: nobody is in between. */
bool net_line_is_local(const struct net_line *line);
/* The certificate must be for this host, and lead back to one in `ca_file` (PEM), or, where that is
 * NULL, to what the system trusts. ERR_DENIED; ERR_INVALID: the file has no certificates. */
MUST_CHECK enum err net_line_start_tls(struct net_line *line, struct task *task,
                                       const char *ca_file);
/* At least one byte; *out_len 0: the other end closed. ERR_BUSY: it is gone, or silent. */
MUST_CHECK enum err net_line_read(struct net_line *line, struct task *task, char *room, size_t len,
                                  size_t *out_len);
MUST_CHECK enum err net_line_write(struct net_line *line, struct task *task, struct str bytes);

#endif
