/*
 * Charsets to UTF-8. What comes out is always valid UTF-8 without NUL, whatever went in.
 */
#ifndef MESSAGE_CHARSET_H
#define MESSAGE_CHARSET_H

#include "base/buf.h"
#include "base/str.h"

#include <iconv.h>

/*
 * Loads the usual converters, so that a process which may open no files later still has them
 * (glibc keeps them in shared objects). Once in a process.
 */
void charset_init(void);

/* Writers differ in the signs between a name's letters and digits, and in their case: these do not
 * count (Unicode Technical Standard #22 §1.4). */
bool charset_is_named(struct str name, struct str other);

/*
 * Appends `bytes` as UTF-8. An unknown charset: if they are UTF-8 they stay, else ASCII does and
 * every other byte becomes U+FFFD; so does what is invalid in a known one. NUL becomes U+FFFD. An
 * empty name means US-ASCII.
 */
void charset_to_utf8(struct str charset, struct str bytes, struct buf *out);
/* The same in steps. */
struct charset_reader {
    struct str bytes; /* borrowed */
    size_t at;
    enum charset_kind {
        CHARSET_ASCII,
        CHARSET_UTF8,
        CHARSET_TABLE,
        CHARSET_CONVERTER,
    } kind;
    const uint16_t *high; /* TABLE: of the upper half; NULL: U+FFFD for all of it */
    iconv_t converter;    /* own; CONVERTER */
    size_t error_count;   /* CONVERTER */
    struct buf unpacked;  /* own; HZ: what `bytes` is of then */
};
void charset_reader_open(struct charset_reader *reader, struct str charset, struct str bytes);
/* Reads about `max` bytes on, which may end in the middle of nothing. False: that was all. */
bool charset_reader_step(struct charset_reader *reader, size_t max, struct buf *out);
void charset_reader_close(struct charset_reader *reader);

/* For text that names no charset, such as raw 8-bit header fields: UTF-8 if it is, else
 * windows-1252, which is what most such writers mean. */
void charset_guess_to_utf8(struct str bytes, struct buf *out);

/* The length of a prefix of `text` of at most `max` bytes that splits no UTF-8 character. */
size_t charset_utf8_cut(struct str text, size_t max);

#endif
