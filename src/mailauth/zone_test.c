#include "mailauth/zone.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static const char text[] =
    "{\"A.test.\": [[\"A\", \"192.0.2.1\", \"192.0.2.2\"], [\"TXT\", \"x\", \"y\"], [\"TXT\", "
    "[\"z\"]],"
    "              [\"MX\", 10, \"M.a.test.\"], [\"MX\", \"5 n.a.test\"], [\"TIMEOUT\"]],"
    " \"alias.test\": [[\"CNAME\", \"a.test\"]],"
    " \"loop.test\": [[\"CNAME\", \"LOOP.test\"]],"
    " \"b.test\": [[\"AAAA\", \"2001:db8::1\"], [\"TXT\", \"TIMEOUT\"], [\"NAPTR\", 1]],"
    " \"old.test\": [[\"SPF\", \"v=spf1\"]],"
    " \"older.test\": [[\"SPF\", \"v=spf1\"], [\"TXT\", \"NONE\"]],"
    " \"x.y.c.test\": [[\"PTR\", \"P.test\"]]}";

static const struct {
    const char *name;
    enum dns_type type;
    enum dns_status status;
    size_t count;
} questions[] = {
    {"a.test", DNS_TYPE_A, DNS_OK, 2},
    {"a.test.", DNS_TYPE_TXT, DNS_OK, 2},
    {"a.test", DNS_TYPE_MX, DNS_OK, 2},
    {"a.test", DNS_TYPE_AAAA, DNS_FAILED, 0},
    {"ALIAS.test", DNS_TYPE_A, DNS_OK, 2},
    {"loop.test", DNS_TYPE_A, DNS_FAILED, 0},
    {"b.test", DNS_TYPE_AAAA, DNS_OK, 1},
    {"b.test", DNS_TYPE_TXT, DNS_FAILED, 0},
    {"b.test", DNS_TYPE_A, DNS_NO_DATA, 0},
    {"old.test", DNS_TYPE_TXT, DNS_OK, 1},
    {"older.test", DNS_TYPE_TXT, DNS_NO_DATA, 0},
    {"c.test", DNS_TYPE_A, DNS_NO_DATA, 0},
    {"x.y.c.test", DNS_TYPE_PTR, DNS_OK, 1},
    {"d.test", DNS_TYPE_A, DNS_NO_NAME, 0},
};

static void answers(void **state)
{
    json_t *json = json_loads(text, 0, NULL);
    struct mailauth_zone zone;
    struct dns_source dns;
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(mailauth_zone_init(&task, json, &zone), ERR_OK);
    dns = mailauth_zone_source(&zone);
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        struct dns_answer answer;

        dns.ask(dns.owner, &task, str_from_c(questions[i].name), questions[i].type, &answer);
        if (answer.status != questions[i].status || answer.count != questions[i].count)
            fail_msg("%s %d", questions[i].name, (int)questions[i].type);
        if (questions[i].type == DNS_TYPE_MX) {
            assert_int_equal(answer.records[0].preference, 10);
            assert_true(str_equal(answer.records[0].name, STR("m.a.test")));
            assert_true(str_equal(answer.records[1].name, STR("n.a.test")));
        }
    }
    task_done(&task);
    json_decref(json);
}

static void what_is_no_zone(void **state)
{
    static const char *const zones[] = {
        "[]",
        "{\"a\": {}}",
        "{\"a\": [[]]}",
        "{\"a\": [[\"A\"]]}",
        "{\"a\": [[\"A\", \"x\"]]}",
        "{\"a\": [[\"AAAA\", \"192.0.2.1\"]]}",
        "{\"a\": [[\"MX\", -1, \"b\"]]}",
        "{\"a\": [[\"MX\", 1]]}",
        "{\"a\": [[\"TXT\", 1]]}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        json_t *json = json_loads(zones[i], 0, NULL);
        struct mailauth_zone zone;
        struct task task;

        task_init(&task, 0);
        if (mailauth_zone_init(&task, json, &zone) != ERR_INVALID)
            fail_msg("%s", zones[i]);
        task_done(&task);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(what_is_no_zone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
