/*
 * Writing IMAP's own syntax into an output buffer, without printf where it is hot.
 */
#ifndef IMAP_WRITE_H
#define IMAP_WRITE_H

#include "base/buf.h"
#include "base/str.h"
#include "imap/set.h"

#include <stdbool.h>
#include <stdint.h>

void imap_write_number(struct buf *out, uint64_t number);
/* Room for so many bytes more, to be followed by buf_commit. */
char *imap_write_room(struct buf *out, size_t len);
/* A number into so much room; where it ends. */
enum { IMAP_DIGITS_MAX = 20 };
char *imap_write_digits(char *room, uint64_t number);
/* A quoted string where the grammar allows, else a literal (RFC 3501 §4.3). */
void imap_write_string(struct buf *out, struct str text);
/* The same, but an atom stays bare (astring). */
void imap_write_astring(struct buf *out, struct str text);
/* A folder's name as an astring: in modified UTF-7, or in UTF-8 for who enabled that (engine.h,
 * imap_names_are_utf8). */
void imap_write_mailbox(struct buf *out, struct str name, bool is_utf8);
/* Ascending or not: "1:3,7", neighbours joined as they come (RFC 4315 §4 uid-set). */
void imap_write_set(struct buf *out, const uint32_t *numbers, size_t count);
/* The same, one number after the other: begin with all zero, end with imap_set_writer_end. */
struct imap_set_writer {
    uint32_t first, last; /* not written yet; 0: none */
    bool has_written;
};
void imap_set_writer_put(struct imap_set_writer *writer, struct buf *out, uint32_t number);
void imap_set_writer_end(struct imap_set_writer *writer, struct buf *out);
/* The same of a resolved set. */
void imap_write_ranges(struct buf *out, const struct imap_set *set);
/* "22-Nov-2026 05:00:00 +0100", quotes included (RFC 3501 §9 date-time). */
void imap_write_date_time(struct buf *out, int64_t ms, int zone_minutes);

#endif
