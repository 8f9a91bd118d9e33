/*
 * What SMTP itself looks at in a message's header: how many servers it passed (RFC 5321 §6.3), and
 * for submission, who it says it is from (RFC 6409 §6.1) and what is missing (§8).
 *
 * The MIME parser is not asked: it comes later, in the mailbox's own process. This reader is
 * stricter about From than mail programs are, so that none of them shows an author that was not
 * seen here.
 */
#ifndef SMTP_HEADER_H
#define SMTP_HEADER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/macros.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { SMTP_AUTHORS_MAX = 32 };

struct smtp_header {
    uint64_t received_count;
    bool has_date;
    bool has_message_id;
};

/* The header is all before the first empty line; `text` may go on behind it. */
void smtp_header_scan(struct str text, struct smtp_header *out);

struct smtp_authors {
    struct str addresses[SMTP_AUTHORS_MAX]; /* canonical, in the arena */
    size_t count;
};

/*
 * Every address of every From and Sender field. ERR_INVALID for a field that is not a list of
 * addresses, ERR_LIMIT for more than SMTP_AUTHORS_MAX.
 */
MUST_CHECK enum err smtp_header_authors(struct arena *arena, struct str text,
                                        struct smtp_authors *out);

/* The length of the header with the empty line that ends it; the whole text if there is none. */
size_t smtp_header_len(struct str text);

#endif
