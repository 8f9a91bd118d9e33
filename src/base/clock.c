#include "base/clock.h"

#include "base/ascii.h"

#include <stdio.h>
#include <time.h>

enum { MS_PER_DAY = 86400 * 1000 };

/* 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z */
static const int64_t FIRST_MS = INT64_C(-62167219200000), LAST_MS = INT64_C(253402300799999);

static int64_t read_clock_ns(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now) != 0)
        return 0;
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_now_ms(void)
{
    return read_clock_ns(CLOCK_REALTIME) / 1000000;
}

int64_t clock_monotonic_ms(void)
{
    return read_clock_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t clock_processor_us(void)
{
    return read_clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000;
}

int64_t clock_monotonic_us(void)
{
    return read_clock_ns(CLOCK_MONOTONIC) / 1000;
}

/*
 * Days since 1970-01-01 of a date. Years are counted from March, so that the leap day is the last
 * day of a year, in cycles of 400 years (146,097 days).
 */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    int64_t march_year = month <= 2 ? year - 1 : year;
    int64_t cycle = (march_year >= 0 ? march_year : march_year - 399) / 400;
    int64_t year_of_cycle = march_year - cycle * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return cycle * 146097 + year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 +
           day_of_year - 719468;
}

static void date_from_days(int64_t days, struct clock_date *out)
{
    int64_t shifted = days + 719468;
    int64_t cycle = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day_of_cycle = shifted - cycle * 146097;
    int64_t year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36524 - day_of_cycle / 146096) / 365;
    int64_t day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    int64_t march_month = (5 * day_of_year + 2) / 153;

    out->day = (int)(day_of_year - (153 * march_month + 2) / 5 + 1);
    out->month = (int)(march_month < 10 ? march_month + 3 : march_month - 9);
    out->year = (int)(year_of_cycle + cycle * 400 + (out->month <= 2));
}

void clock_split(int64_t ms, struct clock_date *out)
{
    int64_t days = ms / MS_PER_DAY;
    int64_t rest = ms % MS_PER_DAY;

    if (rest < 0) {
        rest += MS_PER_DAY;
        days--;
    }
    date_from_days(days, out);
    out->weekday = (int)(((days + 4) % 7 + 7) % 7);
    out->hour = (int)(rest / 3600000);
    out->minute = (int)(rest / 60000 % 60);
    out->second = (int)(rest / 1000 % 60);
    out->millisecond = (int)(rest % 1000);
}

int64_t clock_join(const struct clock_date *date)
{
    return days_from_date(date->year, date->month, date->day) * MS_PER_DAY +
           (int64_t)date->hour * 3600000 + (int64_t)date->minute * 60000 +
           (int64_t)date->second * 1000 + date->millisecond;
}

void clock_format_iso(int64_t ms, char out[static CLOCK_ISO_ROOM])
{
    struct clock_date date;

    clock_split(ms < FIRST_MS ? FIRST_MS : ms > LAST_MS ? LAST_MS : ms, &date);
    snprintf(out, CLOCK_ISO_ROOM, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
             (unsigned)date.year % 10000u, (unsigned)date.month % 100u, (unsigned)date.day % 100u,
             (unsigned)date.hour % 100u, (unsigned)date.minute % 100u, (unsigned)date.second % 100u,
             (unsigned)date.millisecond % 1000u);
}

enum { NO_PAIR = 10000 }; /* more than any field may be, also where two pairs are one */

/* The number that two digits make; NO_PAIR: they are none. */
static inline int pair(const char *at)
{
    unsigned tens = (unsigned)(unsigned char)at[0] - '0',
             ones = (unsigned)(unsigned char)at[1] - '0';

    return tens > 9 || ones > 9 ? NO_PAIR : (int)(tens * 10 + ones);
}

/* "0000-00-00T00:00:00.000Z" */
bool clock_parse_iso(struct str text, int64_t *out_ms)
{
    enum { ISO_BYTES = 24 };
    const char *at = text.ptr;
    struct clock_date date;

    if (text.len != ISO_BYTES || at[4] != '-' || at[7] != '-' || at[10] != 'T' || at[13] != ':' ||
        at[16] != ':' || at[19] != '.' || at[23] != 'Z' || !ascii_is_digit(at[22]))
        return false;
    date = (struct clock_date){.year = pair(at) * 100 + pair(at + 2),
                               .month = pair(at + 5),
                               .day = pair(at + 8),
                               .hour = pair(at + 11),
                               .minute = pair(at + 14),
                               .second = pair(at + 17),
                               .millisecond = pair(at + 20) * 10 + (at[22] - '0')};
    if (date.year > 9999 || date.month < 1 || date.month > 12 || date.day < 1 || date.day > 31 ||
        date.hour > 23 || date.minute > 59 || date.second > 60 || date.millisecond > 999)
        return false;
    *out_ms = clock_join(&date);
    return true;
}

void clock_format_name(int64_t ms, char out[static CLOCK_ISO_ROOM])
{
    size_t len = 0;

    clock_format_iso(ms, out);
    for (size_t i = 0; out[i] != '\0'; i++)
        if (out[i] != ':')
            out[len++] = out[i];
    out[len] = '\0';
}

bool clock_parse_name(struct str text, int64_t *out_ms)
{
    enum { MINUTE_AT = 13, SECOND_AT = 15 };
    char iso[CLOCK_ISO_ROOM];
    size_t len = 0;

    if (text.len != CLOCK_NAME_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (i == MINUTE_AT || i == SECOND_AT)
            iso[len++] = ':';
        iso[len++] = text.ptr[i];
    }
    return clock_parse_iso(str_make(iso, len), out_ms);
}

void clock_format_rfc5322(int64_t ms, char out[static CLOCK_RFC5322_ROOM])
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct clock_date date;

    clock_split(ms, &date);
    snprintf(out, CLOCK_RFC5322_ROOM, "%s, %02d %s %04d %02d:%02d:%02d +0000", days[date.weekday],
             date.day, months[date.month - 1], date.year, date.hour, date.minute, date.second);
}
