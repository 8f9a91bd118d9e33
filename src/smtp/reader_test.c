/* The reader, cut at every place: the text and the verdict must not depend on packets. */
#include "smtp/reader.h"

#include "base/buf.h"
#include "base/macros.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

/* Literals may hold NUL, so that their lengths count. */
static const struct {
    const char *rule;
    struct str input, text; /* the text given out, where it is accepted */
    size_t used;            /* up to the end; 0: there is none */
    bool is_bare, is_false_end, is_nul;
} cases[] = {
    {"an empty message", STR_INIT(".\r\n"), STR_INIT(""), 3, false, false, false},
    {"a line", STR_INIT("a\r\n.\r\n"), STR_INIT("a\r\n"), 6, false, false, false},
    {"what follows is left", STR_INIT("a\r\n.\r\nQUIT"), STR_INIT("a\r\n"), 6, false, false, false},
    {"an added dot", STR_INIT("..a\r\n.\r\n"), STR_INIT(".a\r\n"), 8, false, false, false},
    {"a lone dot", STR_INIT("..\r\n.\r\n"), STR_INIT(".\r\n"), 7, false, false, false},
    {"dots within", STR_INIT("a.\r\nb.c\r\n.\r\n"), STR_INIT("a.\r\nb.c\r\n"), 12, false, false,
     false},
    {"empty lines", STR_INIT("\r\n\r\n.\r\n"), STR_INIT("\r\n\r\n"), 7, false, false, false},
    {"a dot that was not doubled", STR_INIT(".a\r\n.\r\n"), STR_INIT("a\r\n"), 7, false, false,
     false},
    {"no end", STR_INIT("a\r\n.."), STR_INIT("a\r\n."), 0, false, false, false},
    {"8-bit bytes", STR_INIT("\xff\x80\r\n.\r\n"), STR_INIT("\xff\x80\r\n"), 7, false, false, false},
    {"a bare LF", STR_INIT("a\nb\r\n.\r\n"), STR_INIT(""), 8, true, false, false},
    {"a bare CR", STR_INIT("a\rb\r\n.\r\n"), STR_INIT(""), 8, true, false, false},
    {"two CR", STR_INIT("a\r\r\n.\r\n"), STR_INIT(""), 7, true, false, false},
    {"LF . CRLF", STR_INIT("a\n.\r\nb\r\n.\r\n"), STR_INIT(""), 11, true, true, false},
    {"LF . LF", STR_INIT("a\n.\nb\r\n.\r\n"), STR_INIT(""), 10, true, true, false},
    {"CRLF . LF", STR_INIT("a\r\n.\nb\r\n.\r\n"), STR_INIT(""), 11, true, true, false},
    {"CRLF . CR", STR_INIT("a\r\n.\rb\r\n.\r\n"), STR_INIT(""), 11, true, false, false},
    {"CR . CRLF", STR_INIT("a\r.\r\nb\r\n.\r\n"), STR_INIT(""), 11, true, false, false},
    {"CRLF . CR CRLF", STR_INIT("a\r\n.\r\r\n.\r\n"), STR_INIT(""), 10, true, false, false},
    {"LF . CRLF . CRLF", STR_INIT("a\n.\r\n.\r\n"), STR_INIT(""), 8, true, true, false},
    {"LF first", STR_INIT("\n.\r\n"), STR_INIT(""), 0, true, true, false},
    {"a NUL", STR_INIT("a\0b\r\n.\r\n"), STR_INIT(""), 8, false, false, true},
    {"a NUL behind the end", STR_INIT("a\r\n.\r\n\0"), STR_INIT("a\r\n"), 6, false, false, false},
};

static void on_text(void *owner, struct str run)
{
    buf_put(owner, run);
}

static void check(size_t i, const size_t *cuts, size_t cut_count)
{
    struct str input = cases[i].input;
    struct smtp_reader reader;
    struct buf text;
    size_t used = 0, from = 0;

    buf_init(&text, SIZE_MAX);
    smtp_reader_init(&reader, true, on_text, &text);
    for (size_t k = 0; k <= cut_count && !reader.is_ended; k++) {
        size_t to = k < cut_count ? cuts[k] : input.len;

        used += smtp_reader_take(&reader, str_make(input.ptr + from, to - from));
        from = to;
    }
    if (reader.is_ended != (cases[i].used > 0) || (reader.is_ended && used != cases[i].used) ||
        reader.has_bare != cases[i].is_bare || reader.has_false_end != cases[i].is_false_end ||
        reader.has_nul != cases[i].is_nul ||
        (!smtp_reader_is_refused(&reader) && !str_equal(buf_str(&text), cases[i].text)))
        fail_msg("%s, cut at %zu %zu: used %zu, bare %d, false end %d, NUL %d, text \"%.*s\"",
                 cases[i].rule, cuts[0], cuts[1], used, reader.has_bare, reader.has_false_end,
                 reader.has_nul, STR_ARG(buf_str(&text)));
    buf_free(&text);
}

static void test_dots_in_any_packets(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = cases[i].input.len;
        size_t bytes[64];

        for (size_t a = 0; a <= len; a++) {
            for (size_t b = a; b <= len; b++)
                check(i, (size_t[]){a, b}, 2);
        }
        for (size_t a = 0; a < len; a++)
            bytes[a] = a;
        check(i, bytes, len);
    }
}

static void test_chunks(void **state)
{
    static const struct {
        struct str input;
        bool is_bare;
    } chunks[] = {
        {STR_INIT(".\r\n..\r\n.\r\n"), false}, {STR_INIT("no end of line"), false},
        {STR_INIT("a\nb"), true},              {STR_INIT("a\rb"), true},
        {STR_INIT("a\r"), true},               {STR_INIT("\n.\r\n"), true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        struct str input = chunks[i].input;

        for (size_t cut = 0; cut <= input.len; cut++) {
            struct smtp_reader reader;
            struct buf text;

            buf_init(&text, SIZE_MAX);
            smtp_reader_init(&reader, false, on_text, &text);
            assert_int_equal(smtp_reader_take(&reader, str_upto(input, cut)), cut);
            assert_int_equal(smtp_reader_take(&reader, str_from(input, cut)), input.len - cut);
            smtp_reader_finish(&reader);
            assert_false(reader.is_ended);
            assert_int_equal(reader.has_bare, chunks[i].is_bare);
            if (!reader.has_bare)
                assert_true(str_equal(buf_str(&text), input));
            buf_free(&text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dots_in_any_packets),
        cmocka_unit_test(test_chunks),
    };

    return cmocka_run_group_tests_name("smtp/reader", tests, NULL, NULL);
}
