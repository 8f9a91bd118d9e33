#include "imap/write.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "imap/parse.h"
#include "imap/utf7.h"

#include <stdlib.h>
#include <string.h>

static const char MONTHS[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

char *imap_write_room(struct buf *out, size_t len)
{
    char *room;

    if (buf_reserve(out, len, &room) != ERR_OK)
        abort();
    return room;
}

static const char PAIRS[] = "00010203040506070809101112131415161718192021222324"
                            "25262728293031323334353637383940414243444546474849"
                            "50515253545556575859606162636465666768697071727374"
                            "75767778798081828384858687888990919293949596979899";

static size_t digits_of(uint64_t number)
{
    size_t digits = 1;

    for (; number >= 100; number /= 100)
        digits += 2;
    return digits + (number >= 10);
}

char *imap_write_digits(char *room, uint64_t number)
{
    char *end = room + digits_of(number), *at = end;

    for (; number >= 10; number /= 100) {
        at -= 2;
        memcpy(at, PAIRS + number % 100 * 2, 2);
    }
    if (at > room)
        *room = (char)('0' + number);
    return end;
}

void imap_write_number(struct buf *out, uint64_t number)
{
    char *room = imap_write_room(out, IMAP_DIGITS_MAX);

    buf_commit(out, (size_t)(imap_write_digits(room, number) - room));
}

/* quoted, with UTF-8 in it only where the client reads that (RFC 6855 §3 utf8-quoted). */
static bool is_quotable(struct str text, bool is_utf8)
{
    if (text.len > 1000)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (ascii_is_control(text.ptr[i]) || (!is_utf8 && ascii_is_8bit(text.ptr[i])))
            return false;
    return true;
}

static void write_string(struct buf *out, struct str text, bool is_utf8)
{
    if (!is_quotable(text, is_utf8)) {
        buf_put(out, STR("{"));
        imap_write_number(out, text.len);
        buf_put(out, STR("}\r\n"));
        buf_put(out, text);
        return;
    }
    buf_put(out, STR("\""));
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            buf_put(out, STR("\\"));
        buf_put(out, str_make(text.ptr + i, 1));
    }
    buf_put(out, STR("\""));
}

static void write_astring(struct buf *out, struct str text, bool is_utf8)
{
    bool is_atom = text.len > 0 && !str_equal_nocase(text, STR("NIL"));

    for (size_t i = 0; i < text.len && is_atom; i++)
        is_atom = imap_is_astring_char(text.ptr[i]);
    if (is_atom)
        buf_put(out, text);
    else
        write_string(out, text, is_utf8);
}

void imap_write_string(struct buf *out, struct str text)
{
    write_string(out, text, false);
}

void imap_write_astring(struct buf *out, struct str text)
{
    write_astring(out, text, false);
}

void imap_write_mailbox(struct buf *out, struct str name, bool is_utf8)
{
    struct buf encoded;

    if (is_utf8) {
        write_astring(out, name, true);
        return;
    }
    buf_init(&encoded, SIZE_MAX);
    imap_utf7_encode(name, &encoded);
    write_astring(out, buf_str(&encoded), false);
    buf_free(&encoded);
}

void imap_set_writer_end(struct imap_set_writer *writer, struct buf *out)
{
    if (writer->first == 0)
        return;
    if (writer->has_written)
        buf_put(out, STR(","));
    imap_write_number(out, writer->first);
    if (writer->last > writer->first) {
        buf_put(out, STR(":"));
        imap_write_number(out, writer->last);
    }
    writer->has_written = true;
    writer->first = 0;
}

void imap_set_writer_put(struct imap_set_writer *writer, struct buf *out, uint32_t number)
{
    if (writer->first != 0 && number == writer->last + 1) {
        writer->last = number;
        return;
    }
    imap_set_writer_end(writer, out);
    writer->first = writer->last = number;
}

void imap_write_set(struct buf *out, const uint32_t *numbers, size_t count)
{
    struct imap_set_writer writer = {0};

    for (size_t i = 0; i < count; i++)
        imap_set_writer_put(&writer, out, numbers[i]);
    imap_set_writer_end(&writer, out);
}

void imap_write_ranges(struct buf *out, const struct imap_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (i > 0)
            buf_put(out, STR(","));
        imap_write_number(out, set->ranges[i].first);
        if (set->ranges[i].last > set->ranges[i].first) {
            buf_put(out, STR(":"));
            imap_write_number(out, set->ranges[i].last);
        }
    }
}

static char *two_digits(char *at, int number)
{
    at[0] = (char)('0' + number / 10 % 10);
    at[1] = (char)('0' + number % 10);
    return at + 2;
}

void imap_write_date_time(struct buf *out, int64_t ms, int zone_minutes)
{
    struct clock_date date;
    int zone = zone_minutes < 0 ? -zone_minutes : zone_minutes;
    char *start = imap_write_room(out, 40), *at = start;

    clock_split(ms + (int64_t)zone_minutes * 60000, &date);
    *at++ = '"';
    if (date.day < 10) { /* date-day-fixed = (SP DIGIT) / 2DIGIT */
        *at++ = ' ';
        *at++ = (char)('0' + date.day);
    } else {
        at = two_digits(at, date.day);
    }
    *at++ = '-';
    memcpy(at, MONTHS[date.month - 1], 3);
    at += 3;
    *at++ = '-';
    at = two_digits(at, date.year / 100);
    at = two_digits(at, date.year % 100);
    *at++ = ' ';
    at = two_digits(at, date.hour);
    *at++ = ':';
    at = two_digits(at, date.minute);
    *at++ = ':';
    at = two_digits(at, date.second);
    *at++ = ' ';
    *at++ = zone_minutes < 0 ? '-' : '+';
    at = two_digits(at, zone / 60);
    at = two_digits(at, zone % 60);
    *at++ = '"';
    buf_commit(out, (size_t)(at - start));
}
