/*
 * LIST patterns (RFC 3501 §6.3.8): "*" matches anything, "%" anything but the delimiter. Matched as
 * a set of states, a bit for each place in the pattern, so the time is at most the product of the
 * lengths and no pattern is slower than another.
 *
 * Names are compared as they are kept, in composed UTF-8, so that a wildcard stands for characters
 * and not for pieces of their encoding. What is no name in the client's encoding (a shift of
 * modified UTF-7 that a wildcard cuts short) is compared with the encoded name.
 */
#ifndef IMAP_PATTERN_H
#define IMAP_PATTERN_H

#include "base/str.h"
#include "base/task.h"

#include <stdbool.h>
#include <stdint.h>

enum { IMAP_PATTERN_MAX = 4000 }; /* longer ones match nothing: no name is as long */

struct imap_pattern {
    struct str text;      /* wildcards joined */
    bool is_encoded;      /* ... and in modified UTF-7 */
    size_t words;         /* of a state set */
    uint64_t *after_char; /* [256][words]: places whose character this is */
    uint64_t *stars, *percents;
    uint64_t *now, *next; /* scratch */
};

/*
 * `reference` and `text` joined (RFC 3501 §6.3.8), as the client sent them: `is_utf8`, or in
 * modified UTF-7. In the task's arena.
 */
void imap_pattern_init(struct imap_pattern *pattern, struct task *task, struct str reference,
                       struct str text, bool is_utf8);
/* `name` is UTF-8, as it is kept; INBOX matches in any case. */
bool imap_pattern_matches(struct imap_pattern *pattern, struct str name);

#endif
