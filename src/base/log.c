#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1000 };

static const char *const level_names[] = {"debug", "info", "warning", "error"};
static const char *const format_names[] = {"text", "json"};

bool log_level_parse(struct str name, enum log_level *out_level)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (str_equal(name, str_from_c(level_names[i]))) {
            *out_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_format_parse(struct str name, enum log_format *out_format)
{
    for (size_t i = 0; i < ARRAY_LEN(format_names); i++) {
        if (str_equal(name, str_from_c(format_names[i]))) {
            *out_format = (enum log_format)i;
            return true;
        }
    }
    return false;
}

/* Appends `text` with everything escaped that could forge a line or break JSON. */
static size_t escape(char *line, size_t at, const char *text)
{
    for (; *text != '\0' && at < LINE_MAX_BYTES - 12; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte == '"' || byte == '\\') {
            line[at++] = '\\';
            line[at++] = (char)byte;
        } else if (byte < 0x20 || byte >= 0x7f) {
            at += (size_t)snprintf(line + at, 7, "\\u%04x", byte);
        } else {
            line[at++] = (char)byte;
        }
    }
    return at;
}

static void write_line(const struct log *log, enum log_level level, const char *format,
                       va_list args) PRINTF_LIKE(3, 0);

static void write_line(const struct log *log, enum log_level level, const char *format,
                       va_list args)
{
    char message[512], line[LINE_MAX_BYTES], stamp[CLOCK_ISO_ROOM];
    bool is_json = log->format == LOG_FORMAT_JSON;
    size_t at;

    if (level < log->level)
        return;
    vsnprintf(message, sizeof(message), format, args);
    clock_format_iso(clock_now_ms(), stamp);
    at = (size_t)snprintf(line, sizeof(line),
                          is_json ? "{\"time\":\"%s\",\"level\":\"%s\",\"role\":\"%s\","
                                    "\"pid\":%d,\"message\":\""
                                  : "%s %s %s[%d]: ",
                          stamp, level_names[level], log->role, (int)getpid());
    at = escape(line, at, message);
    if (log->context[0] != '\0') {
        line[at++] = ' ';
        at = escape(line, at, log->context);
    }
    at += (size_t)snprintf(line + at, sizeof(line) - at, is_json ? "\"}\n" : "\n");
    /* A log that cannot be written must not stop the mail. */
    if (write(log->fd, line, at) < 0)
        return;
}

void log_debug(const struct log *log, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_line(log, LOG_LEVEL_DEBUG, format, args);
    va_end(args);
}

void log_info(const struct log *log, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_line(log, LOG_LEVEL_INFO, format, args);
    va_end(args);
}

void log_warning(const struct log *log, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_line(log, LOG_LEVEL_WARNING, format, args);
    va_end(args);
}

void log_error(const struct log *log, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_line(log, LOG_LEVEL_ERROR, format, args);
    va_end(args);
}

void log_failure(const struct log *log, const char *what, const struct task *task)
{
    const char *words = task->words[0] == '\0' ? "no details" : task->words;

    if (task->err == ERR_IO || task->err == ERR_CORRUPT)
        log_error(log, "%s failed: %s (%s)", what, words, err_name(task->err));
    else
        log_info(log, "%s failed: %s (%s)", what, words, err_name(task->err));
}
