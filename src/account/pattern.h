/*
 * Aliases that are regular expressions: "/^support-(.+)$/" stands for every local part that it
 * matches, and $1 … $9 (or ${1}) in a target for what its groups took.
 *
 * PCRE2, interpreted: the sandbox allows no executable memory, and what a peer's local part can make
 * a pattern cost is bounded by PCRE2's limits. A match that reaches one is none. Letters match
 * without case, as in every local part; ^ and $ are the local part's ends.
 */
#ifndef ACCOUNT_PATTERN_H
#define ACCOUNT_PATTERN_H

#include "base/task.h"

#include <stdbool.h>

enum {
    ACCOUNT_PATTERN_TEXT_MAX = 256, /* bytes, with its slashes */
    ACCOUNT_CAPTURES = 10,          /* the whole and nine groups */
};

/* What a match took, views of the local part; an unused group is empty. */
struct account_captures {
    struct str groups[ACCOUNT_CAPTURES];
};

/* Is this local part, as an administrator writes it, a pattern: something between slashes? */
bool account_pattern_is_one(struct str local);

struct account_pattern;

/* ERR_INVALID, the words being for the administrator. */
MUST_CHECK enum err account_pattern_compile(struct task *task, struct str text,
                                            struct account_pattern **out_pattern);
void account_pattern_free(struct account_pattern **pattern);
/* How many groups it has, at most ACCOUNT_CAPTURES - 1 of them counted. */
unsigned account_pattern_groups(const struct account_pattern *pattern);
bool account_pattern_match(const struct account_pattern *pattern, struct str local,
                           struct account_captures *out_captures);

/*
 * `text` with its $1 … $9 replaced; $$ is one dollar. ERR_INVALID: a dollar before anything else, or
 * a group above `group_count`; ERR_LIMIT: longer than `max`.
 */
MUST_CHECK enum err account_pattern_expand(struct task *task, struct str text,
                                           const struct account_captures *captures,
                                           unsigned group_count, size_t max, struct str *out_text);

/*
 * Patterns that were compiled before, by their alias's row; the text is compared, so that a changed
 * one is compiled anew. Bounded: two rows that meet take turns.
 */
struct account_patterns;

struct account_patterns *account_patterns_new(void);
void account_patterns_free(struct account_patterns **patterns);
/* Borrowed until the next call. ERR_INVALID: it does not compile. */
MUST_CHECK enum err account_patterns_get(struct account_patterns *patterns, struct task *task,
                                         int64_t row, struct str text,
                                         const struct account_pattern **out_pattern);

#endif
