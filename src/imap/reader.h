/*
 * Cuts the client's bytes into commands: a line, with the literals that it announces
 * (RFC 3501 §2.2.1, RFC 7888). Nothing is reserved for a literal before the engine accepted its
 * size; a refused one is read past without being kept.
 */
#ifndef IMAP_READER_H
#define IMAP_READER_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct imap_reader {
    struct buf in;        /* begins with the command being read */
    size_t scanned;       /* up to here no line end is left to be found */
    size_t part_start;    /* where the line's present part began: 0, or after a literal */
    size_t literal_end;   /* the literal that is being received ends here; 0: none */
    size_t literal_bytes; /* literals of this command so far */
    uint64_t to_discard;  /* of a refused literal, still to come */
};

enum imap_read {
    IMAP_READ_MORE,     /* nothing complete yet */
    IMAP_READ_COMMAND,  /* *out is a whole command, without the line end */
    IMAP_READ_LITERAL,  /* *out is the line so far; answer with accept or discard */
    IMAP_READ_TOO_LONG, /* more than line_max bytes outside literals */
};

struct imap_literal {
    uint64_t size;   /* UINT64_MAX: a number beyond any */
    bool is_waiting; /* synchronising: the client waits for "+" */
};

void imap_reader_init(struct imap_reader *reader);
void imap_reader_free(struct imap_reader *reader);
/* What the client sent; copied. */
void imap_reader_add(struct imap_reader *reader, struct str bytes);
/*
 * What comes next; views hold until the reader is touched. `is_raw`: the line is not a command
 * (DONE, an answer to AUTHENTICATE), so it announces no literal.
 */
enum imap_read imap_reader_next(struct imap_reader *reader, size_t line_max, bool is_raw,
                                struct str *out, struct imap_literal *out_literal);
void imap_reader_accept(struct imap_reader *reader, size_t size);
/* Drops the line so far and the `size` octets that follow; the rest comes as a command. */
void imap_reader_discard(struct imap_reader *reader, uint64_t size);
/* Takes the command (or line) that was given off the input, and wipes it. */
void imap_reader_consume(struct imap_reader *reader);
/* All input that is there goes. */
void imap_reader_drop(struct imap_reader *reader);

#endif
