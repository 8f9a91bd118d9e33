/*
 * A message as the JSON of a webhook (docs/webhooks.md has its members). Streams: beside the
 * message and what is being written, a few megabytes of memory, whatever the message is. Nothing
 * fails for bad input; the result is always valid JSON in UTF-8.
 */
#ifndef EXAMINER_RENDER_H
#define EXAMINER_RENDER_H

#include "base/task.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RENDER_TEXT_MAX = 4 * 1024 * 1024, /* of text, and of html, encoded; more is an attachment */
    RENDER_FIELDS_MAX = 5000,          /* header fields */
    RENDER_HEADER_BUDGET = 4 * 1024 * 1024,
};

struct render_request {
    struct str message;  /* with our trace before it */
    uint64_t trace_len;  /* how much of it is ours */
    struct str envelope; /* a JSON object, whose members are added; empty: none */
    bool with_raw;
};

/* To `fd`. ERR_INVALID: the envelope is no object; ERR_LIMIT, ERR_IO: it cannot be written. */
MUST_CHECK enum err render_message(struct task *task, const struct render_request *request, int fd);

#endif
