#include "courier/sts_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void records(void **state)
{
    static const struct {
        const char *text, *id; /* NULL: none */
    } rows[] = {
        {"v=STSv1; id=20160831085700Z;", "20160831085700Z"},
        {"v=STSv1;id=1", "1"},
        {"v=STSv1 ; id=a ; x=y", "a"},
        {"v=STSv1; id=", NULL},
        {"v=STSv1; id=a-b", NULL},
        {"v=STSv1; id=a; id=b", NULL},
        {"v=STSv1; id=012345678901234567890123456789012", NULL},
        {"v=STSv1", NULL},
        {"v=STSv2; id=1", NULL},
        {"V=STSv1; id=1", NULL},
        {"id=1; v=STSv1", NULL},
        {"v=spf1 -all", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str id = STR("");
        bool is_one = courier_sts_record_parse(str_from_c(rows[i].text), &id);

        assert_int_equal(is_one, rows[i].id != NULL);
        if (is_one)
            assert_true(str_equal(id, str_from_c(rows[i].id)));
    }
}

static void policies(void **state)
{
    static const struct {
        const char *text;
        bool is_fine;
        enum courier_sts_mode mode;
        uint64_t max_age_s;
        size_t mx_count;
    } rows[] = {
        {"version: STSv1\r\nmode: enforce\r\nmx: a.test\r\nmx: *.b.test\r\nmax_age: 604800\r\n",
         true, COURIER_STS_ENFORCE, 604800, 2},
        {"version:STSv1\nmode:testing\nmx:a.test\nmax_age:1\nfuture: x\n", true,
         COURIER_STS_TESTING, 1, 1},
        {"version: STSv1\nmode: none\nmax_age: 0", true, COURIER_STS_NONE, 0, 0},
        {"version: STSv1\nmode: none\nmode: enforce\nmax_age: 5\nmax_age: 6", true,
         COURIER_STS_NONE, 5, 0},
        {"version: STSv1\nmode: none\nmax_age: 9999999999", true, COURIER_STS_NONE,
         COURIER_STS_AGE_MAX_S, 0},
        {"version: STSv1\nmode: none\nmax_age: 99999999999", false, 0, 0, 0},
        {"version: STSv1\nmode: enforce\nmax_age: 5", false, 0, 0, 0},
        {"version: STSv1\nmode: Enforce\nmx: a\nmax_age: 5", false, 0, 0, 0},
        {"version: STSv2\nmode: none\nmax_age: 5", false, 0, 0, 0},
        {"mode: none\nmax_age: 5", false, 0, 0, 0},
        {"version: STSv1\nmax_age: 5", false, 0, 0, 0},
        {"version: STSv1\nmode: none", false, 0, 0, 0},
        {"version: STSv1\nmode: none\nmax_age: -5", false, 0, 0, 0},
        {"<html>", false, 0, 0, 0},
        {"", false, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct courier_sts_policy policy;
        struct task task;
        enum err err;

        task_init(&task, 0);
        err = courier_sts_policy_parse(&task, &task.arena, str_from_c(rows[i].text), &policy);
        assert_int_equal(err, rows[i].is_fine ? ERR_OK : ERR_INVALID);
        if (err == ERR_OK) {
            assert_int_equal(policy.mode, rows[i].mode);
            assert_int_equal(policy.max_age_s, rows[i].max_age_s);
            assert_int_equal(policy.mx_count, rows[i].mx_count);
        }
        task_done(&task);
    }
}

static void hosts(void **state)
{
    struct str patterns[] = {STR("mail.example.com"), STR("*.example.net")};
    struct courier_sts_policy policy = {.mx = patterns, .mx_count = 2};
    static const struct {
        const char *host;
        bool is_in;
    } rows[] = {
        {"mail.example.com", true},   {"MAIL.example.COM", true},    {"a.example.net", true},
        {"A.Example.NET", true},      {"example.net", false},        {"a.b.example.net", false},
        {".example.net", false},      {"mail.example.com.x", false}, {"", false},
        {"xmail.example.com", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(courier_sts_policy_has(&policy, str_from_c(rows[i].host)), rows[i].is_in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records),
        cmocka_unit_test(policies),
        cmocka_unit_test(hosts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
