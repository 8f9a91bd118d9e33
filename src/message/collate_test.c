#include "message/collate.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* RFC 5051 §2, by its own words and UnicodeData.txt. */
static void test_casemap(void **state)
{
    (void)state;
    static const struct {
        const char *text, *form;
    } ROWS[] = {
        {"Hello_World 7", "HELLO_WORLD 7"},
        {"", ""},
        {"\xc3\xa9", "E\xcc\x81"},                    /* é: É, decomposed */
        {"e\xcc\x81", "E\xcc\x81"},                   /* so are both spellings one */
        {"\xc3\x9f", "\xc3\x9f"},                     /* ß has no simple title case */
        {"\xc4\xb1", "I"},                            /* dotless i */
        {"\xef\xbc\xa1\xef\xbd\x81", "AA"},           /* full width: compatibility */
        {"\xef\xac\x81", "fi"},                       /* a ligature is decomposed after the case */
        {"\xc7\x84", "Dz\xcc\x8c"},                   /* Ǆ in title case: ǅ */
        {"\xcf\x82\xcf\x83", "\xce\xa3\xce\xa3"},     /* both small sigmas */
        {"\xc2\xa0", " "},                            /* no-break space */
        {"\xea\xb0\x80", "\xe1\x84\x80\xe1\x85\xa1"}, /* Hangul */
        {"a\xff\xc3", "A\xff\xc3"},                   /* not UTF-8 */
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct buf out;

        buf_init(&out, SIZE_MAX);
        collate_casemap(str_from_c(ROWS[i].text), &out);
        if (!str_equal(buf_str(&out), str_from_c(ROWS[i].form)))
            fail_msg("%s: %.*s", ROWS[i].text, (int)out.len, out.ptr);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_casemap)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
