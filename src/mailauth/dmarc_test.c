#include "mailauth/dmarc.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define N MAILAUTH_POLICY_NONE
#define Q MAILAUTH_POLICY_QUARANTINE
#define R MAILAUTH_POLICY_REJECT

static const struct {
    struct str text;
    enum mailauth_dmarc_form form;
    enum mailauth_policy policy, subdomains, missing;
    unsigned percent;
} records[] = {
    {STR_INIT("v=DMARC1; p=none"), MAILAUTH_DMARC_VALID, N, N, N, 100},
    {STR_INIT("v = DMARC1 ; p = Reject ; sp=quarantine"), MAILAUTH_DMARC_VALID, R, Q, Q, 100},
    {STR_INIT("v=DMARC1; p=reject; np=none; pct=7"), MAILAUTH_DMARC_VALID, R, R, N, 7},
    {STR_INIT("v=DMARC1; p=reject; pct=101"), MAILAUTH_DMARC_VALID, R, R, R, 100},
    {STR_INIT("v=DMARC1;; p=reject; junk"), MAILAUTH_DMARC_VALID, R, R, R, 100},
    {STR_INIT("v=DMARC1; p=reject; sp=x"), MAILAUTH_DMARC_INVALID, N, N, N, 100},
    {STR_INIT("v=DMARC1; p=reject; sp=x; rua=mailto:a@b"), MAILAUTH_DMARC_VALID, N, N, N, 100},
    {STR_INIT("v=DMARC1; rua=nobody"), MAILAUTH_DMARC_INVALID, N, N, N, 100},
    {STR_INIT("v=DMARC1"), MAILAUTH_DMARC_INVALID, N, N, N, 100},
    {STR_INIT("v=DMARC1; p=none; p=reject"), MAILAUTH_DMARC_INVALID, N, N, N, 100},
    {STR_INIT("v=DMARC10; p=none"), MAILAUTH_DMARC_NOT_ONE, N, N, N, 100},
    {STR_INIT("v=dmarc1; p=none"), MAILAUTH_DMARC_NOT_ONE, N, N, N, 100},
    {STR_INIT("p=none; v=DMARC1"), MAILAUTH_DMARC_NOT_ONE, N, N, N, 100},
    {STR_INIT("v=spf1 -all"), MAILAUTH_DMARC_NOT_ONE, N, N, N, 100},
    {STR_INIT(""), MAILAUTH_DMARC_NOT_ONE, N, N, N, 100},
};

static void records_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        struct mailauth_dmarc_record record;
        enum mailauth_dmarc_form form = mailauth_dmarc_parse(records[i].text, &record);

        if (form != records[i].form || record.percent != records[i].percent ||
            (form == MAILAUTH_DMARC_VALID &&
             (record.policy != records[i].policy || record.subdomains != records[i].subdomains ||
              record.missing_domains != records[i].missing)))
            fail_msg("%.*s", STR_ARG(records[i].text));
    }
}

/* One record for every name; `asked` counts. */
static void ask(void *owner, struct task *task, struct str name, enum dns_type type,
                struct dns_answer *out)
{
    (void)name;
    (void)type;
    *out = (struct dns_answer){.status = DNS_OK, .count = 1};
    out->records = ARENA_NEW(&task->arena, struct dns_record);
    out->records->data = *(const struct str *)owner;
}

static void a_part_of_the_mail(void **state)
{
    struct str record = STR("v=DMARC1; p=reject; pct=30");
    struct dns_source dns = {.owner = &record, .ask = ask};
    unsigned rejected = 0;

    (void)state;
    for (unsigned sample = 0; sample < 100; sample++) {
        struct mailauth_lookup lookup = {&dns, 0};
        struct mailauth_dmarc_request request = {.author = STR("a.test"), .sample = sample};
        enum mailauth_policy policy;
        struct task task;

        task_init(&task, 0);
        assert_int_equal(mailauth_dmarc_check(&task, &lookup, &request, &policy), MAILAUTH_FAIL);
        assert_true(policy == R || policy == Q);
        rejected += policy == R;
        task_done(&task);
    }
    assert_int_equal(rejected, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read),
        cmocka_unit_test(a_part_of_the_mail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
