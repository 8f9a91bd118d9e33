/*
 * `sealpost probe`: the checks of this folder, from outside. JSON lines in, one JSON line out for
 * each; DNS comes from the zone that a line brings (zone.h), so that any suite can be run.
 *
 *   {"op": "spf", "ip", "helo", "mailfrom", "zone"}          → {"spf"}
 *   {"op": "message", …, "message": base64, "now": seconds}  → {"spf", "dkim": [{"d", "result"},
 * …], "dmarc", "policy", "arc"}
 *
 * "policy" is what the author's domain wants done where DMARC fails, whether it does or not.
 * Wanted explicitly: "explain": true adds "explanation" (RFC 7208 §6.2) to the first; "authserv"
 * adds "field", the Authentication-Results in that name, and "removals", pairs of start and length,
 * to the second. Without "now": the clock's time. A bare LF in a message is a line end. A line that
 * is not understood: {"error"}.
 */
#ifndef MAILAUTH_PROBE_H
#define MAILAUTH_PROBE_H

#include "base/buf.h"
#include "base/task.h"

enum { MAILAUTH_PROBE_LINE_MAX = 96 * 1024 * 1024 };

/* Appends the answer to one line, with its line end. */
void mailauth_probe_line(struct task *task, struct str line, struct buf *out);

/* Answers line after line until the input ends. ERR_IO. */
MUST_CHECK enum err mailauth_probe(int in_fd, int out_fd);

#endif
