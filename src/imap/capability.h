/* The one table of capabilities (RFC 3501 §7.2.1). */
#ifndef IMAP_CAPABILITY_H
#define IMAP_CAPABILITY_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct imap_session;

/* When it is announced. */
enum imap_capability_flags {
    IMAP_CAP_BEFORE_LOGIN = 1 << 0,
    IMAP_CAP_AFTER_LOGIN = 1 << 1,
    IMAP_CAP_IF_PLAIN = 1 << 2,           /* only while login is not allowed yet */
    IMAP_CAP_IF_SECURE = 1 << 3,          /* only while login is allowed */
    IMAP_CAP_IF_NO_TLS = 1 << 4,          /* only while TLS may still be started */
    IMAP_CAP_WITH_APPEND_LIMIT = 1 << 5,  /* "=<number>" follows */
    IMAP_CAP_WITH_MESSAGE_LIMIT = 1 << 6, /* likewise; only if there is one */
};

struct imap_capability {
    struct str name;
    unsigned flags;
    const char *rfc; /* where it is defined */
};

extern const struct imap_capability imap_capabilities[];
extern const size_t imap_capability_count;

/* It is a row of the table. */
bool imap_capability_is_known(struct str name);
/* "CAPABILITY IMAP4rev1 …" as it stands now. */
void imap_write_capabilities(const struct imap_session *s, struct buf *out);

#endif
