/* The small things everything stands on: text, buffers, arenas, time, encodings, ids. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/macros.h"
#include "base/str.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#if IS_SANITIZED
#include <sanitizer/asan_interface.h>

static bool is_out_of_bounds(const void *byte)
{
    return __asan_address_is_poisoned(byte) != 0;
}
#else
/* Nobody can tell. */
static bool is_out_of_bounds(const void *byte)
{
    (void)byte;
    return true;
}
#endif

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_valid;
        uint64_t value;
    } rows[] = {
        {"0", true, 0},    {"18446744073709551615", true, UINT64_MAX},
        {"", false, 0},    {"18446744073709551616", false, 0},
        {"12x", false, 0}, {"-1", false, 0},
        {" 1", false, 0},  {"99999999999999999999999", false, 0},
        {"007", true, 7},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t value = 0;

        assert_int_equal(parse_u64(str_from_c(rows[i].text), &value), rows[i].is_valid);
        assert_true(value == rows[i].value);
    }
}

static void test_utf8(void **state)
{
    (void)state;
    for (size_t i = 0; i <= 20; i++) {
        char text[21] = "twenty ASCII bytes\0\x7f";

        if (i < 20)
            text[i] = (char)0x80;
        assert_int_equal(str_is_ascii(str_make(text, 20)), i == 20);
        assert_true(str_is_ascii(str_make(text, i < 20 ? i : 20)));
    }
    assert_true(str_is_ascii(STR("")));
    assert_true(str_is_utf8(STR("gr\xc3\xbc\xc3\x9f \xf0\x9f\x93\xac")));
    assert_false(str_is_utf8(STR("\xc0\x80")));         /* overlong */
    assert_false(str_is_utf8(STR("\xed\xa0\x80")));     /* surrogate */
    assert_false(str_is_utf8(STR("\xf4\x90\x80\x80"))); /* past U+10FFFF */
    assert_false(str_is_utf8(STR("\xc3")));             /* cut off */
    assert_false(str_is_utf8(STR("a\0b")));
}

static void test_buf_limit_leaves_it_unchanged(void **state)
{
    (void)state;
    struct buf buf;

    buf_init(&buf, 10);
    assert_int_equal(buf_append(&buf, STR("12345")), ERR_OK);
    assert_int_equal(buf_append(&buf, STR("678901")), ERR_LIMIT);
    assert_int_equal(buf_printf(&buf, "%s", "678901"), ERR_LIMIT);
    assert_int_equal(buf_printf(&buf, "%s", "67890"), ERR_OK);
    assert_true(str_equal(buf_str(&buf), STR("1234567890")));
    buf_consume(&buf, 4);
    assert_int_equal(buf_append(&buf, STR("abcd")), ERR_OK);
    assert_true(str_equal(buf_str(&buf), STR("567890abcd")));
    buf_free(&buf);
}

/* A queue that is filled and emptied for long neither grows nor loses bytes. */
static void test_buf_as_queue(void **state)
{
    (void)state;
    struct buf buf;
    uint8_t next_in = 0, next_out = 0;

    buf_init(&buf, 4096);
    for (int round = 0; round < 20000; round++) {
        for (int i = 0; i < round % 7; i++)
            assert_int_equal(buf_append_byte(&buf, (char)next_in++), ERR_OK);
        while (buf.len > (size_t)(round % 50)) {
            assert_int_equal((uint8_t)buf.ptr[0], next_out);
            next_out++;
            buf_consume(&buf, 1);
        }
    }
    assert_true(buf.room <= 512);
    buf_free(&buf);
}

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *iso;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {1795322096789, "2026-11-22T04:34:56.789Z"},
        {4107542400000, "2100-03-01T00:00:00.000Z"},
    };
    char text[CLOCK_ISO_ROOM], mail[CLOCK_RFC5322_ROOM];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = 7;

        clock_format_iso(rows[i].ms, text);
        assert_string_equal(text, rows[i].iso);
        assert_true(clock_parse_iso(str_from_c(text), &ms));
        assert_true(ms == rows[i].ms);
        clock_format_name(rows[i].ms, text);
        assert_int_equal(strlen(text), CLOCK_NAME_LEN);
        assert_null(strchr(text, ':'));
        ms = 7;
        assert_true(clock_parse_name(str_from_c(text), &ms));
        assert_true(ms == rows[i].ms);
        assert_false(clock_parse_name(str_from_c(rows[i].iso), &ms));
    }
    /* Beyond years of four digits: the nearest moment in them, so that texts sort as times do. */
    clock_format_iso(253402300799999 + 86340000, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    clock_format_iso(-62167219200000 - 86340000, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
    clock_format_rfc5322(1795322096789, mail);
    assert_string_equal(mail, "Sun, 22 Nov 2026 04:34:56 +0000");
    assert_false(clock_parse_iso(STR("2026-11-22 04:34:56.789Z"), &(int64_t){0}));
}

static void test_encodings(void **state)
{
    (void)state;
    static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    static const char *const coded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"}; /* RFC 4648 §10 */
    static const char *const wrong[] = {"Zg=", "Zh==", "Zg==Zg==", "Z===", "Zm 9v", "Zm9_"};
    struct buf buf;

    buf_init(&buf, 100);
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        buf_reset(&buf);
        assert_int_equal(encode_base64(&buf, str_from_c(plain[i])), ERR_OK);
        assert_true(str_equal(buf_str(&buf), str_from_c(coded[i])));
        buf_reset(&buf);
        assert_int_equal(decode_base64(&buf, str_from_c(coded[i])), ERR_OK);
        assert_true(str_equal(buf_str(&buf), str_from_c(plain[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(decode_base64(&buf, str_from_c(wrong[i])), ERR_INVALID);
    buf_reset(&buf);
    assert_int_equal(decode_hex(&buf, STR("00fFa5")), ERR_OK);
    assert_true(str_equal(buf_str(&buf), STR("\0\xff\xa5")));
    assert_int_equal(decode_hex(&buf, STR("0")), ERR_INVALID);
    buf_free(&buf);
}

static void test_words_for_a_shell(void **state)
{
    static const char *const words[][2] = {
        {"ann.b+c@example.test", "ann.b+c@example.test"},
        {"", "''"},
        {"a b", "'a b'"},
        {"$(id)`id`&|;\"*", "'$(id)`id`&|;\"*'"},
        {"o'brien@example.test", "'o'\\''brien@example.test'"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        CLEANUP(buf_free) struct buf out = {0};

        buf_init(&out, SIZE_MAX);
        encode_shell_word(&out, str_from_c(words[i][0]));
        assert_true(str_equal(buf_str(&out), str_from_c(words[i][1])));
    }
}

static void test_ids_never_become_paths(void **state)
{
    (void)state;
    struct id id = id_random(), again;

    assert_true(id_parse(id_str(&id), &again));
    assert_true(id_equal(&id, &again));
    assert_false(id_parse(STR("../../../../etc/passwd/."), &again));
    assert_false(id_parse(STR("0123456789ABCDEF01234567"), &again));
    assert_false(id_parse(STR("0123456789abcdef0123456"), &again));
}

static void test_arena(void **state)
{
    (void)state;
    struct arena arena;

    arena_init(&arena);
    for (size_t i = 1; i < 3000; i++) {
        unsigned char *bytes = arena_alloc(&arena, i, 1);

        assert_true((uintptr_t)bytes % _Alignof(max_align_t) == 0);
        assert_int_equal(bytes[i - 1], 0);
        memset(bytes, 0xff, i);
        /* At the end of eight bytes there may be what the sanitizer has not mapped yet. */
        assert_true(i % 8 == 0 || is_out_of_bounds(bytes + i));
    }
    assert_true(str_equal(arena_printf(&arena, "%d-%s", 7, "x"), STR("7-x")));
    arena_free(&arena);
}

static void test_arena_grow(void **state)
{
    (void)state;
    static const size_t rooms[] = {3, 6, 12, 24, 48, 96, 192, 384, 768, 1536};
    struct arena arena;
    uint32_t *numbers = NULL, *before;
    size_t count = 0, room = 0;

    arena_init(&arena);
    for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
        before = numbers;
        numbers = arena_grow(&arena, numbers, &room, 3, sizeof(*numbers));
        assert_int_equal(room, rooms[i]);
        for (size_t k = 0; k < room; k++)
            assert_int_equal(numbers[k], k < count ? k + 1 : 0);
        /* What pointed into the array before may still be read, and is apart. */
        if (count > 0)
            numbers[0] = 7;
        for (size_t k = 0; k < count; k++)
            assert_int_equal(before[k], k + 1);
        numbers[0] = 1;
        for (; count < room; count++)
            numbers[count] = (uint32_t)count + 1;
    }
    arena_free(&arena);
}

/* Twice the room is no number, or no number of bytes: no array that is smaller than was asked for.
 */
static void test_arena_grow_overflows(void **state)
{
    (void)state;
    static const struct {
        size_t room, size;
    } rows[] = {{SIZE_MAX / 2 + 1, 1}, {SIZE_MAX, 1}, {SIZE_MAX / 4, 4}, {SIZE_MAX / 4 + 1, 2}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0) {
            size_t room = rows[i].room;
            struct arena arena = {0};
            uint32_t array[1] = {0};

            signal(SIGABRT, SIG_DFL);
            _exit(arena_grow(&arena, array, &room, 1, rows[i].size) == NULL);
        }
        assert_true(waitpid(child, &status, 0) == child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

/* The vectors of the paper and of its reference code. */
static void test_hash(void **state)
{
    (void)state;
    const struct hash_key key = {{UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};
    char bytes[15];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    assert_true(hash_text(&key, str_make(bytes, 15)) == UINT64_C(0xa129ca6149be45e5));
    assert_true(hash_text(&key, str_make(bytes, 8)) == UINT64_C(0x93f5f5799a932462));
    assert_true(hash_text(&key, STR("")) == UINT64_C(0x726fdb47dd0e0e31));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_buf_limit_leaves_it_unchanged),
        cmocka_unit_test(test_buf_as_queue),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_words_for_a_shell),
        cmocka_unit_test(test_ids_never_become_paths),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_grow),
        cmocka_unit_test(test_arena_grow_overflows),
        cmocka_unit_test(test_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
