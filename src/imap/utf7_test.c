#include "imap/utf7.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_names_both_ways(void **state)
{
    (void)state;
    static const struct {
        const char *name, *encoded;
    } ROWS[] = {
        {"", ""},
        {"INBOX", "INBOX"},
        {"a & b", "a &- b"},
        {"&&", "&-&-"},
        {"Entw\xc3\xbcrfe", "Entw&APw-rfe"},
        /* RFC 3501 §5.1.3's own example. */
        {"~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
         "~peter/mail/&U,BTFw-/&ZeVnLIqe-"},
        {"\xf0\x9f\x93\xa8", "&2D3c6A-"},
        {"\xc3\xa4&\xc3\xb6", "&AOQ-&-&APY-"},
        {"tab\there", "tab&AAk-here"},
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct buf out;

        buf_init(&out, SIZE_MAX);
        imap_utf7_encode(str_from_c(ROWS[i].name), &out);
        assert_true(str_equal(buf_str(&out), str_from_c(ROWS[i].encoded)));
        buf_reset(&out);
        assert_int_equal(imap_utf7_decode(str_from_c(ROWS[i].encoded), &out), ERR_OK);
        assert_true(str_equal(buf_str(&out), str_from_c(ROWS[i].name)));
        buf_free(&out);
    }
}

/* One name, one encoding: whatever is not the canonical form is refused. */
static void test_other_encodings_are_refused(void **state)
{
    (void)state;
    static const char *const ROWS[] = {
        "&",               /* unfinished */
        "&APw",            /* unfinished */
        "a&APw.rfe",       /* a byte outside the alphabet */
        "&AGE-",           /* "a" needs no shift */
        "&APw-&APY-",      /* two shifts side by side */
        "&APx-",           /* bits left over that are not zero */
        "&APwA-",          /* a whole digit too many */
        "&2D0-",           /* half of a surrogate pair */
        "&3AA-",           /* the wrong half */
        "&AAA-",           /* NUL */
        "Entw\xc3\xbcrfe", /* raw UTF-8 */
        "a\x01",
        "a\x7f",
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct buf out;

        buf_init(&out, SIZE_MAX);
        assert_int_equal(imap_utf7_decode(str_from_c(ROWS[i]), &out), ERR_INVALID);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_both_ways),
        cmocka_unit_test(test_other_encodings_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
