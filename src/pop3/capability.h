/* The one table of capabilities (RFC 2449 §6). */
#ifndef POP3_CAPABILITY_H
#define POP3_CAPABILITY_H

#include "base/buf.h"

struct pop3_session;

/* When it is announced; 0: always. RFC 2449 lets few of them differ between the states. */
enum pop3_capability_flags {
    POP3_CAP_IF_SECURE = 1 << 0, /* only where login is allowed */
    POP3_CAP_IF_NO_TLS = 1 << 1, /* only while TLS is not on */
    POP3_CAP_LOGGED_IN = 1 << 2, /* only after login */
};

struct pop3_capability {
    struct str line;
    unsigned flags;
    const char *rfc; /* where it is defined */
};

extern const struct pop3_capability pop3_capabilities[];
extern const size_t pop3_capability_count;

/* A line each, as it stands now. */
void pop3_write_capabilities(const struct pop3_session *s, struct buf *out);

#endif
