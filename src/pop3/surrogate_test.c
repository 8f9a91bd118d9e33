#include "pop3/surrogate.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define INVALID "<invalid@internationalized-address.invalid>"

static const struct {
    const char *rule, *header, *surrogate;
} cases[] = {
    {"ASCII stays", "From: a@b.test\r\nSubject: =?utf-8?q?=C3=BC?=\r\n",
     "From: a@b.test\r\nSubject: =?utf-8?q?=C3=BC?=\r\n"},
    {"RFC 6858 §2.1: an address beyond ASCII", "From: gr\xc3\xbcn@b.test\r\n",
     "From: =?UTF-8?B?Z3LDvG5AYi50ZXN0?= " INVALID "\r\n"},
    {"its name stays before it", "To: Fred <fred@\xc3\xbc.test>\r\n",
     "To: =?UTF-8?B?RnJlZCBmcmVkQMO8LnRlc3Q=?= " INVALID "\r\n"},
    {"a name beyond ASCII", "Cc: J\xc3\xb6rg <j@b.test>, \"B, C\" <d@e.test>\r\n",
     "Cc: =?UTF-8?B?SsO2cmc=?= <j@b.test>,\r\n \"B, C\" <d@e.test>\r\n"},
    {"a group", "To: Gr\xc3\xbcne: a@b.test, \xc3\xbc@c.test;, d@e.test\r\n",
     "To: =?UTF-8?B?R3LDvG5l?=: <a@b.test>,\r\n =?UTF-8?B?w7xAYy50ZXN0?= " INVALID
     ";,\r\n <d@e.test>\r\n"},
    {"RFC 6858 §2.3: Subject", "subject: gr\xc3\xbc\r\n =?utf-8?q?=C3=9Fe?=\r\n",
     "subject: =?UTF-8?B?Z3LDvCDDn2U=?=\r\n"},
    {"RFC 2047 §5: no word ends inside a character",
     "Subject: 0123456789012345678901234567890123456789abcd\xc3\xbc\xc3\xbc\r\n",
     "Subject: =?UTF-8?B?MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OWFiY2Q=?=\r\n"
     " =?UTF-8?B?w7zDvA==?=\r\n"},
    {"RFC 6858 §2.2: parameters", "Content-Type: text/plain; name=\"\xc3\xbc;\"; charset=utf-8\r\n",
     "Content-Type: text/plain;\r\n charset=utf-8\r\n"},
    {"RFC 6858 §2.4: others go",
     "X-A: \xc3\xbc\r\n \xc3\xbc\r\nX-B: b\r\nReceived: for \xc3\xbc\r\n", "X-B: b\r\n"},
    {"fields that are not valid UTF-8 go (of a long header)", "Subject: \xfc\r\nX-B: b\r\n",
     "X-B: b\r\n"},
    {"what is no field goes", "From \xc3\xbc\r\nX-B: b\r\n", "X-B: b\r\n"},
    {"nothing hidden in a word becomes a field",
     "From: =?utf-8?q?a=0D=0ABcc=3A_x?= <a@b.test>, \xc3\xbc@c.test\r\n",
     "From: \"aBcc: x\" <a@b.test>,\r\n =?UTF-8?B?w7xAYy50ZXN0?= " INVALID "\r\n"},
    {"nor in an address", "From: \"a\\\"b\"@c.test, \xc3\xbc@c.test\r\n",
     "From: <\"a\\\"b\"@c.test>,\r\n =?UTF-8?B?w7xAYy50ZXN0?= " INVALID "\r\n"},
};

static void test_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(buf_free) struct buf out = {0};
        struct arena arena = {0};

        buf_init(&out, SIZE_MAX);
        pop3_surrogate_write(&arena, str_from_c(cases[i].header), &out);
        if (!str_equal(buf_str(&out), str_from_c(cases[i].surrogate)))
            fail_msg("%s: %.*s", cases[i].rule, STR_ARG(buf_str(&out)));
        arena_free(&arena);
    }
}

static void test_which(void **state)
{
    static const struct {
        const char *message;
        bool is_likely, is_needed, is_ruled_out;
    } messages[] = {
        {"Received: from x\r\n\tby y with UTF8SMTPS\r\nSubject: \xc3\xbc\r\n\r\n", true, true,
         false},
        {"Return-Path: <>\nReceived: from x\n\tby y with UTF8SMTP\nSubject: u\n\n\xc3\xbc", true,
         false, true},
        {"Received: by y with UTF8SMTP\r\nSubject: \xfc\r\n\r\n", true, false, false},
        {"Received: by y with ESMTP\r\nReceived: by x with UTF8SMTP\r\nSubject: \xc3\xbc\r\n",
         false, true, false},
        {"Subject: \xc3\xbc\r\n\r\n", false, true, false},
        {"Subject: u\r\n", false, false, false},
        {"", false, false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        struct str message = str_from_c(messages[i].message);
        struct str header = str_upto(message, pop3_surrogate_header_len(message));

        assert_int_equal(pop3_surrogate_is_likely(message), messages[i].is_likely);
        assert_int_equal(pop3_surrogate_is_needed(header), messages[i].is_needed);
        assert_int_equal(pop3_surrogate_is_ruled_out(message), messages[i].is_ruled_out);
    }
}

/* Many short addresses grow most: the field is then left out. */
static void test_bounds(void **state)
{
    CLEANUP(buf_free) struct buf header = {0};
    CLEANUP(buf_free) struct buf out = {0};
    struct arena arena = {0};

    (void)state;
    buf_init(&header, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    buf_put(&header, STR("To: a"));
    while (header.len < POP3_SURROGATE_HEADER_MAX - 100)
        buf_put(&header, STR(",\xc3\xbc"));
    buf_put(&header, STR("\r\nSubject: last\r\n"));
    assert_true(pop3_surrogate_is_needed(buf_str(&header)));
    pop3_surrogate_write(&arena, buf_str(&header), &out);
    assert_true(str_equal(buf_str(&out), STR("Subject: last\r\n")));
    while (header.len <= POP3_SURROGATE_HEADER_MAX)
        buf_put(&header, STR("X: \xfc\r\n"));
    assert_true(pop3_surrogate_is_needed(buf_str(&header)));
    arena_free(&arena);
}

static void test_fields_len(void **state)
{
    const struct str header = STR("A: b\r\n c\r\nD: e\r\n\r\nF: g\r\n");

    (void)state;
    assert_int_equal(pop3_surrogate_fields_len(header, 0), 0);
    assert_int_equal(pop3_surrogate_fields_len(header, 9), 0);
    assert_int_equal(pop3_surrogate_fields_len(header, 10), 10);
    assert_int_equal(pop3_surrogate_fields_len(header, 15), 10);
    assert_int_equal(pop3_surrogate_fields_len(header, 16), 16);
    assert_int_equal(pop3_surrogate_fields_len(header, 100), 16);
}

/* The header, up to its empty line, is masked, wherever it is cut. */
static void test_rest(void **state)
{
    static const struct {
        const char *bytes, *masked;
    } rests[] = {
        {"X: \xc3\xbc\r\n \xfc\r\n\r\n\xc3\xbc\r\n", "X: ??\r\n ?\r\n\r\n\xc3\xbc\r\n"},
        {"X: \xfc\n\n\xfc", "X: ?\n\n\xfc"},
        {"\r\n\xfc", "\r\n\xfc"},
        {"\n\xfc", "\n\xfc"},
        {"\r\r\n\xfc\r\r\n\r\n\xfc", "\r\r\n?\r\r\n\r\n\xfc"},
        {"\xfc\r\n\r\xfc\n\n\xfc", "?\r\n\r?\n\n\xfc"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rests); i++) {
        size_t len = strlen(rests[i].bytes);

        for (size_t cut = 0; cut <= len; cut++) {
            struct pop3_surrogate_rest rest;
            char bytes[64];

            memcpy(bytes, rests[i].bytes, len);
            pop3_surrogate_rest_init(&rest);
            pop3_surrogate_rest_mask(&rest, bytes, cut);
            pop3_surrogate_rest_mask(&rest, bytes + cut, len - cut);
            assert_memory_equal(bytes, rests[i].masked, len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields), cmocka_unit_test(test_which),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_fields_len),
        cmocka_unit_test(test_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
