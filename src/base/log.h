/*
 * Structured log lines on standard error: one line an event, as text or JSON. No subject, address
 * book data, password or content ever; addresses (mail and IP) only at debug level.
 *
 *   2026-11-22T05:00:00.000Z info gate: login refused reason=throttled session=6f1c...
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/macros.h"
#include "base/str.h"
#include "base/task.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log {
    enum log_level level;
    enum log_format format;
    int fd;           /* borrowed */
    const char *role; /* borrowed, static: "gate" */
    char context[64]; /* what the lines are about, "session=6f1c..."; may be empty */
};

/* By name; false when there is none such. */
bool log_level_parse(struct str name, enum log_level *out_level);
bool log_format_parse(struct str name, enum log_format *out_format);

/*
 * A message of fixed words first and then `key=value` pairs, in one format string. Control
 * characters and bytes outside ASCII are escaped; a line is at most 1,000 bytes, written at once.
 */
void log_debug(const struct log *log, const char *format, ...) PRINTF_LIKE(2, 3);
void log_info(const struct log *log, const char *format, ...) PRINTF_LIKE(2, 3);
void log_warning(const struct log *log, const char *format, ...) PRINTF_LIKE(2, 3);
void log_error(const struct log *log, const char *format, ...) PRINTF_LIKE(2, 3);

/* "<what> failed: <the task's words> (<kind>)"; error level for IO and CORRUPT, else info. */
void log_failure(const struct log *log, const char *what, const struct task *task);

#endif
