#include "courier/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void hosts(void **state)
{
    static const struct {
        const char *text, *host; /* NULL: refused */
        uint16_t port;
    } rows[] = {
        {"mx.example.org:25", "mx.example.org", 25},
        {"MX.Example.org:65535", "mx.example.org", 65535},
        {"192.0.2.1:2525", "192.0.2.1", 2525},
        {"[2001:db8::1]:25", "2001:db8::1", 25},
        {"localhost:25", "localhost", 25},
        {"münchen.test:25", "xn--mnchen-3ya.test", 25},
        {"2001:db8::1:25", NULL, 0},
        {"mx.example.org", NULL, 0},
        {"mx.example.org:", NULL, 0},
        {"mx.example.org:0", NULL, 0},
        {"mx.example.org:65536", NULL, 0},
        {":25", NULL, 0},
        {"a..b:25", NULL, 0},
        {"a b:25", NULL, 0},
        {"a\r\nb:25", NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct courier_target target;
        struct task task;
        enum err err;

        task_init(&task, 0);
        err = courier_host_parse(&task, &task.arena, str_from_c(rows[i].text), &target);
        assert_int_equal(err, rows[i].host == NULL ? ERR_INVALID : ERR_OK);
        if (err == ERR_OK) {
            assert_true(str_equal(target.host, str_from_c(rows[i].host)));
            assert_int_equal(target.port, rows[i].port);
        }
        task_done(&task);
    }
}

static void literals(void **state)
{
    static const struct {
        const char *text, *address;
    } rows[] = {
        {"[192.0.2.1]", "192.0.2.1"},
        {"[IPv6:2001:db8::1]", "2001:db8::1"},
        {"[ipv6:::1]", "::1"},
        {"[2001:db8::1]", NULL},
        {"[IPv6:192.0.2.1]", NULL},
        {"[192.0.2.1", NULL},
        {"[x-y:z]", NULL},
        {"[]", NULL},
        {"192.0.2.1", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str address;
        bool is_one = courier_literal_parse(str_from_c(rows[i].text), &address);

        assert_int_equal(is_one, rows[i].address != NULL);
        if (is_one)
            assert_true(str_equal(address, str_from_c(rows[i].address)));
    }
}

static void patterns(void **state)
{
    static const struct {
        const char *pattern, *domain;
        bool matches;
    } rows[] = {
        {"example.com", "example.com", true},
        {"Example.com", "example.COM", true},
        {"example.com", "a.example.com", false},
        {"*.example.com", "a.example.com", true},
        {"*.example.com", "b.a.example.com", true},
        {"*.example.com", "example.com", false},
        {"*.example.com", "xexample.com", false},
        {"*.example.com", ".example.com", false},
        {"*", "anything.test", true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(
            courier_domain_matches(str_from_c(rows[i].pattern), str_from_c(rows[i].domain)),
            rows[i].matches);
}

static void routes(void **state)
{
    struct str domain, host;
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(courier_route_split(&task, STR(" a.test  mx.test:25 "), &domain, &host),
                     ERR_OK);
    assert_true(str_equal(domain, STR("a.test")) && str_equal(host, STR("mx.test:25")));
    assert_int_equal(courier_route_split(&task, STR("a.test"), &domain, &host), ERR_INVALID);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts),
        cmocka_unit_test(literals),
        cmocka_unit_test(patterns),
        cmocka_unit_test(routes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
