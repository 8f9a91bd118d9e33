/* Dates as text: what is written is read, and nothing else is. */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { ISO_BYTES = 24, ROUNDS = 20000 };

static uint64_t seed = 5;

static uint64_t random_bits(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* From the year 0 to 9999. */
static int64_t random_ms(void)
{
    return (int64_t)(random_bits() % UINT64_C(315569519999999)) - INT64_C(62167219200000);
}

static void test_round_trip(void **state)
{
    char text[CLOCK_ISO_ROOM];
    int64_t ms;

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t expected = random_ms();

        clock_format_iso(expected, text);
        assert_int_equal(strlen(text), ISO_BYTES);
        assert_true(clock_parse_iso(str_from_c(text), &ms));
        assert_int_equal(ms, expected);
    }
}

/* A valid text with one byte changed: read only if the byte's place takes it, and then as it
 * stands. */
static void test_other_bytes(void **state)
{
    static const char shape[] = "0000-00-00T00:00:00.000Z";
    char text[CLOCK_ISO_ROOM], again[CLOCK_ISO_ROOM];
    int64_t ms;

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        size_t at = (size_t)(random_bits() % ISO_BYTES);
        char byte = (char)(random_bits() % 256);
        bool is_digit = byte >= '0' && byte <= '9';

        clock_format_iso(random_ms(), text);
        text[at] = byte;
        if (!clock_parse_iso(str_make(text, ISO_BYTES), &ms)) {
            /* Digits of the year and of milliseconds may be any. */
            assert_false(is_digit && (at < 4 || (at >= 20 && at < 23)));
            continue;
        }
        assert_true(shape[at] == '0' ? is_digit : byte == shape[at]);
        clock_format_iso(ms, again);
        /* But for days behind a month's end, and leap seconds, which are those that follow. */
        if (memcmp(text + 8, "29", 2) < 0 && memcmp(text + 17, "60", 2) < 0)
            assert_memory_equal(again, text, ISO_BYTES);
    }
}

static void test_not_a_date(void **state)
{
    static const char *const texts[] = {
        "",
        "2026-11-27T01:02:03.004",
        "2026-11-27T01:02:03.004Z0",
        "2026-00-27T01:02:03.004Z",
        "2026-13-27T01:02:03.004Z",
        "2026-11-00T01:02:03.004Z",
        "2026-11-32T01:02:03.004Z",
        "2026-11-27T24:02:03.004Z",
        "2026-11-27T01:60:03.004Z",
        "2026-11-27T01:02:61.004Z",
        "2026-11-27 01:02:03.004Z",
        "-026-11-27T01:02:03.004Z",
        "2026-+1-27T01:02:03.004Z",
    };
    int64_t ms;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (clock_parse_iso(str_from_c(texts[i]), &ms))
            fail_msg("taken: %s", texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_other_bytes),
        cmocka_unit_test(test_not_a_date),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
