/*
 * Time. Engines take the time as a parameter (`now_ms`), so that a test can set it; only roles and
 * the log read the clocks. All times are Unix milliseconds, int64_t.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CLOCK_ISO_ROOM = 28, /* "2026-11-22T05:00:00.000Z" and a NUL, with room for far years */
    CLOCK_RFC5322_ROOM = 40,
};

/* The wall clock; may jump. */
int64_t clock_now_ms(void);
/* Never goes back; its zero means nothing. For intervals and time-outs. */
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
/* Processor time that this process has used: what work costs, however busy the machine is. */
int64_t clock_processor_us(void);

struct clock_date {
    int year, month, day; /* month and day from 1 */
    int hour, minute, second, millisecond;
    int weekday; /* 0 is Sunday */
};

/* UTC, proleptic Gregorian; both directions, without the C library's time zones. */
void clock_split(int64_t ms, struct clock_date *out_date);
int64_t clock_join(const struct clock_date *date);

/*
 * ISO 8601 UTC with milliseconds, the form in which dates are stored. Years have four digits: what
 * lies before 0000 or behind 9999, as a peer's date with a zone can, becomes the first or last
 * moment of these.
 */
void clock_format_iso(int64_t ms, char out[static CLOCK_ISO_ROOM]);
bool clock_parse_iso(struct str text, int64_t *out_ms);
/* The same without colons, as some file systems want their names: "2026-11-22T050000.000Z". Texts
 * sort as the times do. Parsing takes years of four digits. */
enum { CLOCK_NAME_LEN = 22 };
void clock_format_name(int64_t ms, char out[static CLOCK_ISO_ROOM]);
bool clock_parse_name(struct str text, int64_t *out_ms);
/* RFC 5322 §3.3 date-time in UTC: "Sun, 22 Nov 2026 05:00:00 +0000". */
void clock_format_rfc5322(int64_t ms, char out[static CLOCK_RFC5322_ROOM]);

#endif
