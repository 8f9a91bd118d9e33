/*
 * JSON into a descriptor, in bounded memory: a message with its attachments may be larger than what
 * the process may hold. Whatever text is given, what is written is valid UTF-8 without NUL: bytes
 * that are no character, and NUL, become U+FFFD.
 *
 * An error of writing stays until json_end tells it.
 */
#ifndef EXAMINER_JSON_H
#define EXAMINER_JSON_H

#include "base/buf.h"
#include "base/task.h"

#include <stdbool.h>

struct json_writer {
    struct task *task; /* borrowed */
    int fd;            /* borrowed */
    struct buf room;   /* own; written out when it is full */
    enum err err;
    bool needs_comma;
    unsigned char held[3]; /* of a base64 text: bytes that do not fill a group yet */
    size_t held_len;
};

void json_begin(struct json_writer *json, struct task *task, int fd);
/* Writes what is left and frees. ERR_LIMIT, ERR_IO. */
MUST_CHECK enum err json_end(struct json_writer *json);

void json_object_begin(struct json_writer *json);
void json_object_end(struct json_writer *json);
void json_array_begin(struct json_writer *json);
void json_array_end(struct json_writer *json);
/* A member's name; its value follows. */
void json_key(struct json_writer *json, struct str name);

void json_put_text(struct json_writer *json, struct str text);
void json_put_number(struct json_writer *json, uint64_t value);
void json_put_null(struct json_writer *json);
/* The text, or null when it is empty. */
void json_put_text_or_null(struct json_writer *json, struct str text);
/* A value that is JSON already, and known to be. */
void json_put_raw(struct json_writer *json, struct str value);

/* A text of base64 (RFC 4648 §4), of bytes that come in pieces. */
void json_base64_begin(struct json_writer *json);
void json_base64_feed(struct json_writer *json, struct str bytes);
void json_base64_end(struct json_writer *json);

#endif
