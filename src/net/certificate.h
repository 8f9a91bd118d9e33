/* A self-signed certificate for a first start, until the operator brings his own. */
#ifndef NET_CERTIFICATE_H
#define NET_CERTIFICATE_H

#include "base/buf.h"
#include "base/task.h"

/*
 * EC P-256, valid for ten years from now_ms, for `hostname`, localhost and the loopback addresses.
 * Appends PEM to both buffers; the key's is to be wiped.
 */
MUST_CHECK enum err net_certificate_make(struct task *task, struct str hostname, int64_t now_ms,
                                         struct buf *out_certificate, struct buf *out_key);

#endif
