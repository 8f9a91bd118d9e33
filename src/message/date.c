/*
 * Dates: by the look of each word, not by their order, since writers differ. A word with ':' is the
 * time, three letters of a month are the month, the first small number is the day, the next number
 * the year, a sign begins the zone. Not GMime's reader: it goes through time zone files, which the
 * processes that call this may not open.
 */
#include "message/date.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "message/mime.h"

#include <string.h>

enum { DATE_WORDS_MAX = 32, MS_PER_DAY = 86400000 };

static const struct {
    struct str name;
    int minutes;
} zones[] = {
    {STR_INIT("UT"), 0},     {STR_INIT("GMT"), 0},    {STR_INIT("UTC"), 0},
    {STR_INIT("Z"), 0},      {STR_INIT("EST"), -300}, {STR_INIT("EDT"), -240},
    {STR_INIT("CST"), -360}, {STR_INIT("CDT"), -300}, {STR_INIT("MST"), -420},
    {STR_INIT("MDT"), -360}, {STR_INIT("PST"), -480}, {STR_INIT("PDT"), -420},
    {STR_INIT("BST"), 60},   {STR_INIT("CET"), 60},   {STR_INIT("CEST"), 120},
    {STR_INIT("MET"), 60},   {STR_INIT("EET"), 120},  {STR_INIT("JST"), 540},
};

struct reading {
    struct clock_date date;
    int zone_minutes;
    bool has_day, has_month, has_year, has_time, has_zone;
    bool is_behind_time; /* or what was meant to be one: a zone may follow */
};

/* The next word: up to a blank, a comma, or a '-' between the parts of "22-Nov-2026". */
static bool next_word(struct str text, size_t *position, bool may_be_zone, struct str *out)
{
    size_t start, end;

    for (;;) {
        mime_skip_cfws(text, position);
        if (*position >= text.len)
            return false;
        if (text.ptr[*position] != ',')
            break;
        *position += 1;
    }
    start = end = *position;
    do {
        end++;
    } while (end < text.len && !ascii_is_space(text.ptr[end]) && text.ptr[end] != ',' &&
             text.ptr[end] != '(' && text.ptr[end] != '-' && text.ptr[end] != '+');
    *position = end;
    *out = str_make(text.ptr + start, end - start);
    /* The '-' of 22-Nov-2026 is a blank, that of -0500, behind the time, a sign. */
    if (out->ptr[0] == '-' && !may_be_zone)
        *out = str_from(*out, 1);
    return true;
}

/* Of an invalid time no part is taken: it counts as 00:00:00 (RFC 5256 §2.2). */
static bool read_time(struct str word, struct clock_date *date)
{
    int parts[3] = {0};
    struct str part;
    size_t count = 0;

    while (count < 3 && str_split(&word, ':', &part)) {
        uint32_t value;

        part = str_upto(
            part, (size_t)(str_index(part, '.') < 0 ? (ptrdiff_t)part.len : str_index(part, '.')));
        if (part.len > 2 || !parse_u32(part, &value) || value > (count == 0 ? 23u : 60u))
            return false;
        parts[count++] = (int)value;
    }
    if (count < 2 || parts[1] > 59)
        return false;
    date->hour = parts[0];
    date->minute = parts[1];
    date->second = parts[2] > 59 ? 59 : parts[2]; /* a leap second */
    return true;
}

static bool read_month(struct str word, int *out_month)
{
    static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

    for (int i = 0; i < 12 && word.len >= 3; i++) {
        if (str_equal_nocase(str_upto(word, 3), str_make(names + i * 3, 3))) {
            *out_month = i + 1;
            return true;
        }
    }
    return false;
}

static bool read_zone(struct str word, int *out_minutes)
{
    uint32_t value;

    if (word.len == 5 && (word.ptr[0] == '+' || word.ptr[0] == '-') &&
        parse_u32(str_from(word, 1), &value) && value / 100 < 24 && value % 100 < 60) {
        *out_minutes = (int)(value / 100 * 60 + value % 100);
        if (word.ptr[0] == '-')
            *out_minutes = -*out_minutes;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        if (str_equal_nocase(zones[i].name, word)) {
            *out_minutes = zones[i].minutes;
            return true;
        }
    }
    return false;
}

static void read_number(struct str word, struct reading *reading)
{
    uint32_t value;

    if (word.len > 4 || !parse_u32(word, &value))
        return;
    if (!reading->has_day && word.len <= 2 && value >= 1 && value <= 31) {
        reading->date.day = (int)value;
        reading->has_day = true;
    } else if (!reading->has_year && word.len >= 2) {
        /* Two and three digits: RFC 5322 §4.3. */
        if (word.len == 2)
            value += value < 50 ? 2000 : 1900;
        else if (word.len == 3)
            value += 1900;
        reading->date.year = (int)value;
        reading->has_year = true;
    }
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && is_leap ? 1 : 0);
}

bool date_parse(struct str value, int64_t *out_ms, int64_t *out_day)
{
    struct reading reading = {0};
    struct clock_date day;
    struct str word;
    size_t position = 0;

    value = str_upto(value, 1000);
    for (size_t i = 0; i < DATE_WORDS_MAX; i++) {
        if (!next_word(value, &position, reading.is_behind_time, &word))
            break;
        if (str_index(word, ':') >= 0) {
            if (!reading.has_time)
                reading.has_time = read_time(word, &reading.date);
            reading.is_behind_time = reading.is_behind_time || word.len > 1; /* no lone colon */
        } else if (reading.is_behind_time && !reading.has_zone &&
                   read_zone(word, &reading.zone_minutes)) {
            reading.has_zone = true;
        } else if (!reading.has_month && read_month(word, &reading.date.month)) {
            reading.has_month = true;
        } else {
            read_number(word, &reading);
        }
    }
    if (!reading.has_day || !reading.has_month || !reading.has_year)
        return false;
    if (reading.date.day > days_in_month(reading.date.year, reading.date.month))
        return false;
    day = (struct clock_date){
        .year = reading.date.year, .month = reading.date.month, .day = reading.date.day};
    /* 1970 began a day: rounding down also for the years before it. */
    *out_day = clock_join(&day) / MS_PER_DAY;
    if (clock_join(&day) % MS_PER_DAY < 0)
        *out_day -= 1;
    *out_ms = clock_join(&reading.date) - (int64_t)reading.zone_minutes * 60000;
    return true;
}
