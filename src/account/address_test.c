/* Normal forms of addresses and domains. */
#include "account/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_domains(void **state)
{
    (void)state;
    static const struct {
        const char *text, *normal; /* NULL: refused */
    } rows[] = {
        {"demo.test", "demo.test"},
        {"DeMo.TEST.", "demo.test"},
        {"b\xc3\xbc" "cher.example", "xn--bcher-kva.example"},
        {"B\xc3\x9c" "CHER.example", "xn--bcher-kva.example"},
        {"bu\xcc\x88" "cher.example", "xn--bcher-kva.example"}, /* decomposed */
        {"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
        {"stra\xc3\x9f" "e.example", "xn--strae-oqa.example"}, /* IDNA2008, not "strasse" */
        {"localhost", "localhost"},
        {"", NULL},
        {".", NULL},
        {"a..b", NULL},
        {"-a.test", NULL},
        {"a b.test", NULL},
        {"a_b.test", NULL},
        {"[127.0.0.1]", NULL},
        {"xn--\xff", NULL},
        {"xn--a.test", NULL},
        {"*.test", NULL},
        {"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg.test", NULL},
    };
    struct task task;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str normal = STR("");
        enum err err;

        task_init(&task, 0);
        err = account_domain_parse(&task, str_from_c(rows[i].text), &normal);
        if (rows[i].normal == NULL) {
            assert_int_equal(err, ERR_INVALID);
        } else {
            assert_int_equal(err, ERR_OK);
            assert_true(str_equal(normal, str_from_c(rows[i].normal)));
        }
        task_done(&task);
    }
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *local, *base, *detail; /* local NULL: refused */
    } rows[] = {
        {"You@Demo.test", "you", "you", ""},
        {"you+Lists@demo.test", "you+lists", "you", "Lists"},
        {"you+a+b@demo.test", "you+a+b", "you", "a+b"},
        {"you+@demo.test", "you+", "you", ""},
        {"+you@demo.test", "+you", "+you", ""},
        {"gru\xcc\x88n@demo.test", "gr\xc3\xbcn", "gr\xc3\xbcn", ""},       /* NFC */
        {"GR\xc3\x9cN@demo.test", "gr\xc3\x9cn", "gr\xc3\x9cn", ""},        /* case: ASCII only */
        {"\"you\"@demo.test", "you", "you", ""},                           /* RFC 5321 §4.1.2 */
        {"\"a b\"@demo.test", "a b", "a b", ""},
        {"\"a\\\"b@c\"@demo.test", "a\"b@c", "a\"b@c", ""},
        {"*@demo.test", "*", "*", ""},
        {"@demo.test", NULL, NULL, NULL},
        {"demo.test", NULL, NULL, NULL},
        {"a b@demo.test", NULL, NULL, NULL},
        {"a..b@demo.test", NULL, NULL, NULL},
        {".a@demo.test", NULL, NULL, NULL},
        {"a@b@demo.test", NULL, NULL, NULL},
        {"\"a@demo.test", NULL, NULL, NULL},
        {"\"\"@demo.test", NULL, NULL, NULL},
        {"\"a\\\"@demo.test", NULL, NULL, NULL},
        {"\"a\nb\"@demo.test", NULL, NULL, NULL},
        {"a\xff@demo.test", NULL, NULL, NULL},
        {"", NULL, NULL, NULL},
        {"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff12345@demo.test", NULL, NULL,
         NULL},
    };
    struct task task;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct account_address address;
        enum err err;

        task_init(&task, 0);
        err = account_address_parse(&task, str_from_c(rows[i].text), &address);
        if (rows[i].local == NULL) {
            assert_int_equal(err, ERR_INVALID);
        } else {
            struct account_address again;
            struct str text;

            assert_int_equal(err, ERR_OK);
            assert_true(str_equal(address.local, str_from_c(rows[i].local)));
            assert_true(str_equal(address.base, str_from_c(rows[i].base)));
            assert_true(str_equal(address.detail, str_from_c(rows[i].detail)));
            assert_true(str_equal(address.domain, STR("demo.test")));
            text = account_address_text(&task, address.local, address.domain);
            assert_int_equal(account_address_parse(&task, text, &again), ERR_OK);
            assert_true(str_equal(again.local, address.local));
        }
        task_done(&task);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
