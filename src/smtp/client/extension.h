/* What a server's reply to EHLO says it can do (RFC 5321 §4.1.1.1). */
#ifndef SMTP_CLIENT_EXTENSION_H
#define SMTP_CLIENT_EXTENSION_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum smtp_extension {
    SMTP_EXTENSION_STARTTLS,
    SMTP_EXTENSION_PIPELINING,
    SMTP_EXTENSION_SIZE,
    SMTP_EXTENSION_8BITMIME,
    SMTP_EXTENSION_UTF8,
    SMTP_EXTENSION_DSN,
    SMTP_EXTENSION_REQUIRETLS,
    SMTP_EXTENSION_AUTH_PLAIN,
};

struct smtp_extensions {
    unsigned bits;     /* BIT(enum smtp_extension) */
    uint64_t size_max; /* of SIZE; 0: not told */
};

/* `text`: the reply's lines, LF between them; the first is the greeting's. */
void smtp_extensions_parse(struct str text, struct smtp_extensions *out);
bool smtp_extensions_has(const struct smtp_extensions *extensions, enum smtp_extension extension);

#endif
