#include "imap/reader.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { LINE_MAX = 60 };

/* What came out, one event a line; literals up to 20 octets are accepted, larger ones discarded. */
static void read_all(struct imap_reader *reader, struct buf *out)
{
    for (;;) {
        struct imap_literal literal;
        struct str text;

        switch (imap_reader_next(reader, LINE_MAX, false, &text, &literal)) {
        case IMAP_READ_MORE:
            return;
        case IMAP_READ_TOO_LONG:
            buf_putf(out, "too long\n");
            return;
        case IMAP_READ_LITERAL:
            buf_putf(out, "literal %s%ju\n", literal.is_waiting ? "waiting " : "",
                     (uintmax_t)literal.size);
            if (literal.size <= 20)
                imap_reader_accept(reader, (size_t)literal.size);
            else
                imap_reader_discard(reader, literal.size);
            break;
        case IMAP_READ_COMMAND:
            buf_putf(out, "<");
            buf_put(out, text);
            buf_putf(out, ">\n");
            imap_reader_consume(reader);
            break;
        }
    }
}

static const struct {
    const char *in, *out;
} ROWS[] = {
    {"a NOOP\r\nb NOOP\nc", "<a NOOP>\n<b NOOP>\n"},
    {"\r\n", "<>\n"},
    {"a x {3}\r\nabc d\r\n", "literal waiting 3\n<a x {3}\r\nabc d>\n"},
    {"a x {3+}\r\na\nb\r\n", "literal 3\n<a x {3+}\r\na\nb>\n"},
    {"a x {0}\r\n\r\n", "literal waiting 0\n<a x {0}\r\n>\n"},
    {"a {1}\r\nx{2}\r\n\r\n\r\n",
     "literal waiting 1\nliteral waiting 2\n<a {1}\r\nx{2}\r\n\r\n>\n"},
    {"a {25+}\r\n1234567890123456789012345 tail\r\nb NOOP\r\n", "literal 25\n< tail>\n<b NOOP>\n"},
    {"a {99999999999999999999999}\r\n", "literal waiting 18446744073709551615\n"},
    {"a {x}\r\n", "<a {x}>\n"},
    {"a {}\r\n", "<a {}>\n"},
    {"a 3}\r\n", "<a 3}>\n"},
    {"a {3} \r\n", "<a {3} >\n"},
    {"a 45678901234567890123456789012345678901234567890123456789\r\n",
     "<a 45678901234567890123456789012345678901234567890123456789>\n"},
    {"a 4567890123456789012345678901234567890123456789012345678901234567890", "too long\n"},
};

/* The same, however the bytes are cut into packets. */
static void test_any_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        for (size_t cut = 1; cut <= strlen(ROWS[i].in); cut++) {
            struct str in = str_from_c(ROWS[i].in);
            struct imap_reader reader;
            struct buf out;

            imap_reader_init(&reader);
            buf_init(&out, SIZE_MAX);
            while (in.len > 0 && (out.len == 0 || out.ptr[0] != 't')) {
                imap_reader_add(&reader, str_upto(in, cut));
                in = str_from(in, cut);
                read_all(&reader, &out);
            }
            if (!str_equal(buf_str(&out), str_from_c(ROWS[i].out)))
                fail_msg("row %zu cut %zu: %.*s", i, cut, (int)out.len, out.ptr);
            imap_reader_free(&reader);
            buf_free(&out);
        }
    }
}

static void test_a_refused_literal_is_not_kept(void **state)
{
    (void)state;
    static char octets[100000];
    struct imap_literal literal;
    struct imap_reader reader;
    struct str text;

    imap_reader_init(&reader);
    imap_reader_add(&reader, STR("a {4000000000+}\r\n"));
    assert_int_equal(imap_reader_next(&reader, LINE_MAX, false, &text, &literal),
                     IMAP_READ_LITERAL);
    imap_reader_discard(&reader, literal.size);
    for (size_t i = 0; i < 10; i++) {
        imap_reader_add(&reader, str_make(octets, sizeof(octets)));
        assert_int_equal(imap_reader_next(&reader, LINE_MAX, false, &text, &literal),
                         IMAP_READ_MORE);
        assert_int_equal(reader.in.room, 0);
    }
    assert_int_equal(reader.to_discard, 4000000000u - 10 * sizeof(octets));
    imap_reader_free(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut),
        cmocka_unit_test(test_a_refused_literal_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
