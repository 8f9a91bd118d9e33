/*
 * Regular expressions for SEARCH's REGEX key: PCRE2 with every bound it has, and a time limit,
 * since a pattern may take time exponential in the text. UTF, caseless, ^ and $ at every line.
 *
 * Not compiled to machine code: mailbox processes may not make memory executable, and PCRE2's
 * limits are about its interpreter.
 */
#ifndef IMAP_REGEX_H
#define IMAP_REGEX_H

#include "base/task.h"

#include <stdbool.h>

enum {
    IMAP_REGEX_PATTERN_MAX = 1024, /* bytes; PCRE2 itself bounds what becomes of it to 64 KiB */
    IMAP_REGEX_NESTING_MAX = 50,
    IMAP_REGEX_HEAP_MAX_KIB = 8192,
    IMAP_REGEX_MESSAGE_US = 80 * 1000, /* processor time that one message may cost */
};

struct imap_regex;

enum imap_regex_answer {
    IMAP_REGEX_NO,
    IMAP_REGEX_YES,
    IMAP_REGEX_TOO_DEAR, /* a limit was reached */
};

/* In the task's arena. ERR_INVALID: it is none, or too large. */
MUST_CHECK enum err imap_regex_compile(struct task *task, struct str pattern,
                                       struct imap_regex **out);
/* Is there a match in the text? What it costs is taken from *left_us. */
enum imap_regex_answer imap_regex_find(struct imap_regex *regex, struct str text, int64_t *left_us);

#endif
