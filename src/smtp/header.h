/*
 * What SMTP itself looks at in a message's header: how many servers it passed (RFC 5321 §6.3), and
 * for submission, who it says it is from (RFC 6409 §6.1), what is missing (§8) and what must not go
 * out.
 *
 * The MIME parser is not asked: it comes later, in the mailbox's own process. This reader is
 * stricter about From than mail programs are, so that none of them shows an author that was not
 * seen here.
 */
#ifndef SMTP_HEADER_H
#define SMTP_HEADER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/macros.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { SMTP_AUTHORS_MAX = 32, SMTP_RANGES_MAX = 64 };

/* Bytes of a message that are left out when it is passed on. */
struct smtp_range {
    uint32_t start, len;
    bool is_own; /* its author may see it in his own copy: Bcc */
};

/* Ascending, none touching another of its kind. */
struct smtp_ranges {
    struct smtp_range at[SMTP_RANGES_MAX];
    size_t count;
};

struct smtp_header {
    uint64_t received_count;
    bool has_date;
    bool has_message_id;
    bool is_copy_wanted; /* X-Sealpost-Copy: Sent */
    bool is_automatic;   /* no person waits for an answer (RFC 3834 §2, lists included) */
};

/* The header is all before the first empty line; `text` may go on behind it. */
void smtp_header_scan(struct str text, struct smtp_header *out);

/*
 * The fields that a message from one of our users does not take along: Bcc, what tells his address,
 * and what was for us. ERR_LIMIT: there are too many.
 */
MUST_CHECK enum err smtp_header_private(struct str text, struct smtp_ranges *out);

/*
 * The next field at *position (0 at first): its name, its folded value, and where it begins and ends
 * in `header`; false at the end.
 */
struct smtp_field {
    struct str name, value;
    size_t start, end;
};
bool smtp_header_next(struct str header, size_t *position, struct smtp_field *out);
/* The value of the first field of that name as one line; nothing where there is none. */
void smtp_header_line(struct str header, struct str name, struct buf *out);

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
