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

/* `len` digits at `at`, or -1. */
static int digits(struct str text, size_t at, size_t len)
{
    int value = 0;

    for (size_t i = at; i < at + len; i++) {
        if (!ascii_is_digit(text.ptr[i]))
            return -1;
        value = value * 10 + (text.ptr[i] - '0');
    }
    return value;
}

bool clock_parse_iso(struct str text, int64_t *out_ms)
{
    static const char shape[] = "0000-00-00T00:00:00.000Z";
    struct clock_date date;

    if (text.len != sizeof(shape) - 1)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (shape[i] != '0' ? text.ptr[i] != shape[i] : !ascii_is_digit(text.ptr[i]))
            return false;
    date = (struct clock_date){.year = digits(text, 0, 4),
                               .month = digits(text, 5, 2),
                               .day = digits(text, 8, 2),
                               .hour = digits(text, 11, 2),
                               .minute = digits(text, 14, 2),
                               .second = digits(text, 17, 2),
                               .millisecond = digits(text, 20, 3)};
    if (date.month < 1 || date.month > 12 || date.day < 1 || date.day > 31 || date.hour > 23 ||
        date.minute > 59 || date.second > 60)
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
