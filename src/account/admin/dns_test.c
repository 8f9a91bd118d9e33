/* The records that a domain should publish, what is said of those that are there, and its keys. */
#include "account/admin/dns.h"

#include "account/admin/test_admin.h"
#include "sqlite/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A member of the element of this name and type in a list of the answer; "": there is none. */
static const char *element(const struct test_admin *f, const char *list, const char *name,
                           const char *type, const char *member)
{
    const json_t *items = json_object_get(f->answer, list);

    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        if (strcmp(json_string_value(json_object_get(item, "name")), name) == 0 &&
            strcmp(json_string_value(json_object_get(item, "type")), type) == 0)
            return json_string_value(json_object_get(item, member));
    }
    return "";
}

/* The record of this type and name in the answer of `domain dns`. */
static const char *record_value(const struct test_admin *f, const char *name, const char *type)
{
    return element(f, "records", name, type, "value");
}

static void test_records_to_publish(void **state)
{
    struct test_admin *f = *state;
    const char *request = "{'command':'domain dns','arguments':{'domain':'demo.test'}}";
    const char *zone;

    test_admin_add_demo(f);
    assert_int_equal(f->key_count, 2);
    assert_string_equal(test_admin_ask(f, request), "ok");
    zone = test_admin_member(f, "message");
    assert_non_null(strstr(zone, "demo.test.\t3600\tIN\tMX\t10 mail.host.test.\n"));
    assert_non_null(strstr(zone, "_pop3s._tcp.demo.test.\t3600\tIN\tSRV\t0 1 995 mail.host.test."));
    assert_string_equal(record_value(f, "demo.test", "TXT"), "v=spf1 mx -all");
    assert_string_equal(record_value(f, "e19700101._domainkey.demo.test", "TXT"),
                        "v=DKIM1; k=ed25519; p=2");
    assert_string_equal(record_value(f, "_dmarc.demo.test", "TXT"),
                        "v=DMARC1; p=quarantine; rua=mailto:postmaster@demo.test");
    assert_true(strlen(record_value(f, "_mta-sts.demo.test", "TXT")) > 12);
    /* A long text is several strings, none above 255 bytes. */
    zone = strstr(zone, "r19700101._domainkey");
    assert_non_null(zone);
    for (const char *quote = strchr(zone, '"'); quote != NULL && quote < strstr(zone, " )");) {
        const char *end = strchr(quote + 1, '"');

        assert_true(end - quote - 1 <= 255);
        quote = strchr(end + 1, '"');
    }
    /* New keys are published before they are used, old ones after. */
    assert_string_equal(
        test_admin_ask(f, "{'command':'domain dkim rotate','arguments':{'domain':'demo.test'}}"), "ok");
    assert_string_equal(
        test_admin_ask(f, "{'command':'domain dkim rotate','arguments':{'domain':'demo.test'}}"), "exists");
    assert_string_equal(test_admin_ask(f, request), "ok");
    assert_string_equal(record_value(f, "e19700101-1._domainkey.demo.test", "TXT"),
                        "v=DKIM1; k=ed25519; p=4");
    assert_string_equal(
        test_admin_ask(f, "{'command':'domain dkim use','arguments':{'domain':'demo.test'}}"), "ok");
    assert_string_equal(test_admin_ask(f, request), "ok");
    assert_string_equal(record_value(f, "e19700101._domainkey.demo.test", "TXT"),
                        "v=DKIM1; k=ed25519; p=2");
}

/* One record of the DNS, as the test gives it. */
struct given {
    enum dns_type type;
    const char *name;
    enum dns_status status;
    const char *data[3];
    const char *host; /* of MX, SRV */
    uint16_t port;
};

static void answer_question(struct test_admin *f, size_t index, const struct given *given, size_t count)
{
    struct dns_record records[3];
    struct dns_answer answer = {.status = DNS_NO_NAME, .records = records};

    for (size_t i = 0; i < count; i++) {
        if (given[i].type != f->questions[index].type ||
            strcmp(given[i].name, f->questions[index].name) != 0)
            continue;
        answer.status = given[i].status;
        while (answer.count < 3 && given[i].data[answer.count] != NULL) {
            records[answer.count] = (struct dns_record){
                .name = str_from_c(given[i].host),
                .port = given[i].port,
                .data = str_from_c(given[i].data[answer.count]),
            };
            answer.count++;
        }
    }
    admin_dns_answered(f->admin, f->questions[index].ticket, &answer);
}

/* Asks for a check, and plays resolver and courier until it is answered; the policy as the latter tells
 * of it (NULL: it is away). */
static void check_domain_with(struct test_admin *f, const struct given *given, size_t count,
                              const char *policy)
{
    size_t answered = 0;

    f->question_count = 0;
    f->courier_ticket = 0;
    f->is_courier_down = policy == NULL;
    assert_string_equal(
        test_admin_ask(f, "{'command':'domain check','arguments':{'domain':'demo.test'}}"), "(none)");
    assert_true(f->question_count > 10);
    while (answered < f->question_count) {
        size_t end = f->question_count; /* what is asked meanwhile comes in the next turn */

        for (size_t i = end; i-- > answered;) {
            assert_null(f->answer);
            answer_question(f, i, given, count);
        }
        answered = end;
    }
    if (policy != NULL) {
        assert_null(f->answer);
        assert_non_null(strstr(f->courier_json, "\"sts policy\""));
        admin_courier_answered(f->admin, f->courier_ticket, str_from_c(policy));
    }
    assert_non_null(f->answer);
}

static void check_domain(struct test_admin *f, const struct given *given, size_t count)
{
    check_domain_with(f, given, count, "{\"status\":\"ok\",\"mode\":\"testing\",\"unnamed\":\"\"}");
}

static const char *state_of(const struct test_admin *f, const char *type, const char *name)
{
    return element(f, "items", name, type, "state");
}

static const char *why_of(const struct test_admin *f, const char *type, const char *name)
{
    return element(f, "items", name, type, "why");
}

static void test_a_domain_that_is_right(void **state)
{
    struct test_admin *f = *state;
    static const struct given given[] = {
        {DNS_TYPE_A, "mail.host.test", DNS_OK, {"\1\2\3\4"}, NULL, 0},
        {DNS_TYPE_MX, "demo.test", DNS_OK, {""}, "mail.host.test", 0},
        {DNS_TYPE_TXT, "demo.test", DNS_OK, {"v=spf1 ip4:1.2.3.4 -all", "else"}, NULL, 0},
        {DNS_TYPE_TXT, "e19700101._domainkey.demo.test", DNS_OK,
         {"v=DKIM1; p= 2 ;k=ed25519"}, NULL, 0},
        {DNS_TYPE_TXT, "_dmarc.demo.test", DNS_OK, {"v=DMARC1;p=reject"}, NULL, 0},
        {DNS_TYPE_TXT, "_mta-sts.demo.test", DNS_OK, {"v=STSv1; id=1;"}, NULL, 0},
        {DNS_TYPE_TXT, "_smtp._tls.demo.test", DNS_OK, {"v=TLSRPTv1; rua=mailto:a@b"}, NULL, 0},
        {DNS_TYPE_SRV, "_imaps._tcp.demo.test", DNS_OK, {""}, "mail.host.test", 993},
    };

    test_admin_add_demo(f);
    check_domain(f, given, ARRAY_LEN(given));
    for (size_t i = 0; i < ARRAY_LEN(given); i++)
        assert_string_equal(
            state_of(f, admin_dns_type_name(given[i].type), given[i].name), "right");
    assert_string_equal(state_of(f, "AAAA", "mail.host.test"), "right"); /* A is enough */
    assert_string_equal(state_of(f, "TXT", "r19700101._domainkey.demo.test"), "missing");
    assert_string_equal(state_of(f, "SRV", "_pop3s._tcp.demo.test"), "missing");
}

static void test_a_domain_that_is_wrong(void **state)
{
    struct test_admin *f = *state;
    static const struct {
        struct given given;
        const char *state;
    } rows[] = {
        {{DNS_TYPE_MX, "demo.test", DNS_OK, {""}, "mail.other.test", 0}, "wrong"},
        {{DNS_TYPE_MX, "demo.test", DNS_OK, {""}, "", 0}, "wrong"},
        {{DNS_TYPE_MX, "demo.test", DNS_FAILED, {NULL}, NULL, 0}, "unknown"},
        {{DNS_TYPE_TXT, "demo.test", DNS_OK, {"v=spf1 mx -all", "v=spf1 mx -all"}, NULL, 0},
         "wrong"},
        {{DNS_TYPE_TXT, "demo.test", DNS_OK, {"v=spf10 mx"}, NULL, 0}, "missing"},
        {{DNS_TYPE_TXT, "e19700101._domainkey.demo.test", DNS_OK, {"v=DKIM1; p=3"}, NULL, 0},
         "wrong"},
        {{DNS_TYPE_TXT, "e19700101._domainkey.demo.test", DNS_OK, {"v=DKIM1; p="}, NULL, 0},
         "wrong"},
        {{DNS_TYPE_TXT, "_dmarc.demo.test", DNS_OK, {"v=DMARC1; sp=none"}, NULL, 0}, "wrong"},
        {{DNS_TYPE_TXT, "_mta-sts.demo.test", DNS_OK, {"v=STSv1"}, NULL, 0}, "wrong"},
        {{DNS_TYPE_SRV, "_imaps._tcp.demo.test", DNS_OK, {""}, "mail.host.test", 143}, "wrong"},
        {{DNS_TYPE_SRV, "_imaps._tcp.demo.test", DNS_OK, {""}, "", 0}, "wrong"},
    };

    test_admin_add_demo(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_domain(f, &rows[i].given, 1);
        assert_string_equal(
            state_of(f, admin_dns_type_name(rows[i].given.type), rows[i].given.name),
            rows[i].state);
    }
    check_domain(f, NULL, 0);
    assert_string_equal(state_of(f, "A", "mail.host.test"), "missing");
    check_domain(f, &(struct given){DNS_TYPE_A, "mail.host.test", DNS_FAILED, {NULL}, NULL, 0}, 1);
    assert_string_equal(state_of(f, "A", "mail.host.test"), "unknown");
    assert_string_equal(state_of(f, "AAAA", "mail.host.test"), "unknown");
    /* An administrator who went away, and a resolver that never answers. */
    f->question_count = 0;
    (void)test_admin_ask(f, "{'command':'domain check','arguments':{'domain':'demo.test'}}");
    admin_client_gone(f->admin, f);
    admin_expire(f->admin, TEST_ADMIN_NOW_MS + 30000, 30000);
    assert_null(f->answer);
    answer_question(f, 0, NULL, 0); /* too late */
}

/* Each record is evaluated for every address that mail goes out from. */
static void test_what_spf_lets_pass(void **state)
{
    struct test_admin *f = *state;
    /* The world: this host, a smarthost and its provider's list, lists of others. */
    static const struct given world[] = {
        {DNS_TYPE_A, "mail.host.test", DNS_OK, {"\1\2\3\4"}, NULL, 0},
        {DNS_TYPE_AAAA, "six.host.test", DNS_OK, {"0123456789abcdef"}, NULL, 0},
        {DNS_TYPE_MX, "demo.test", DNS_OK, {""}, "mail.host.test", 0},
        {DNS_TYPE_A, "out.provider.test", DNS_OK, {"\5\6\7\10"}, NULL, 0},
        {DNS_TYPE_TXT, "ours.test", DNS_OK, {"v=spf1 a:mail.host.test -all"}, NULL, 0},
        {DNS_TYPE_TXT, "nested.test", DNS_OK, {"v=spf1 include:ours.test -all"}, NULL, 0},
        {DNS_TYPE_TXT, "others.test", DNS_OK, {"v=spf1 ip4:9.9.9.9 -all"}, NULL, 0},
        {DNS_TYPE_TXT, "open.test", DNS_OK, {"v=spf1 +all"}, NULL, 0},
        {DNS_TYPE_TXT, "sick.test", DNS_FAILED, {NULL}, NULL, 0},
        {DNS_TYPE_A, "sick.provider.test", DNS_FAILED, {NULL}, NULL, 0},
        {DNS_TYPE_TXT, "loop.test", DNS_OK, {"v=spf1 include:loop.test -all"}, NULL, 0},
        {DNS_TYPE_TXT, "spf.provider.test", DNS_OK, {"v=spf1 ip4:5.6.9.0/24 -all"}, NULL, 0},
        {DNS_TYPE_TXT, "_all.provider.test", DNS_OK, {"v=spf1 ip4:5.6.7.0/24 -all"}, NULL, 0},
    };
    static const struct {
        const char *record, *smarthost, *state, *why;
    } rows[] = {
        {"v=spf1 mx -all", NULL, "right", ""},
        {"v=spf1 a:mail.host.test ~all", NULL, "right", ""},
        {"v=spf1 ip4:1.2.3.0/24 ?all", NULL, "right", ""},
        {"v=spf1 include:ours.test -all", NULL, "right", ""},
        {"v=spf1 include:nested.test -all", NULL, "right", ""},
        {"v=spf1 redirect=nested.test", NULL, "right", ""},
        {"v=spf1 include:others.test -all", NULL, "wrong", "1.2.3.4"},
        {"v=spf1 -ip4:1.2.3.4 mx -all", NULL, "wrong", "1.2.3.4"},
        {"v=spf1 -all", NULL, "wrong", "1.2.3.4"},
        {"v=spf1 ~all", NULL, "wrong", "1.2.3.4"},
        {"v=spf1 mx +all", NULL, "wrong", "everybody"},
        {"v=spf1 mx include:open.test -all", NULL, "wrong", "everybody"},
        {"v=spf1 mx ip4:0.0.0.0/0 -all", NULL, "wrong", "everybody"},
        {"v=spf1 include:nothing.test mx -all", NULL, "wrong", "cannot evaluate"},
        {"v=spf1 include:loop.test mx -all", NULL, "wrong", "cannot evaluate"},
        {"v=spf1 mx ip4:1.2.3 -all", NULL, "wrong", "cannot evaluate"},
        {"v=spf1 include:sick.test mx -all", NULL, "unknown", "DNS"},
        {"v=spf1 mx include:sick.test -all", NULL, "right", ""}, /* it is not come to */
        /* Through a smarthost: this host's own address does not matter. */
        {"v=spf1 mx -all", "out.provider.test", "wrong", "out.provider.test"},
        {"v=spf1 mx a:out.provider.test ~all", "out.provider.test", "right", ""},
        {"v=spf1 include:_all.provider.test -all", "out.provider.test", "right", ""},
        {"v=spf1 include:spf.provider.test -all", "out.provider.test", "right", "provider"},
        {"v=spf1 redirect=spf.provider.test", "out.provider.test", "right", "provider"},
        {"v=spf1 include:others.test -all", "out.provider.test", "unknown", "5.6.7.8"},
        {"v=spf1 ip4:5.6.7.8 -all", "5.6.7.8", "right", ""},
        {"v=spf1 mx -all", "5.6.7.8", "wrong", "5.6.7.8"},
        {"v=spf1 mx -all", "gone.provider.test", "unknown", "smarthost"},
        {"v=spf1 mx -all", "sick.provider.test", "unknown", "DNS did not tell"},
        /* Both families count where both are used. */
        {"v=spf1 ip6:3031:3233:3435:3637:3839:6162:6364:6566 -all", "six.host.test", "right", ""},
        {"v=spf1 mx -all", "six.host.test", "wrong", "3031:3233"},
    };

    test_admin_add_demo(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct given given[ARRAY_LEN(world) + 1];
        const char *why;

        memcpy(given, world, sizeof(world));
        given[ARRAY_LEN(world)] =
            (struct given){DNS_TYPE_TXT, "demo.test", DNS_OK, {rows[i].record}, NULL, 0};
        f->smarthost = rows[i].smarthost;
        check_domain(f, given, ARRAY_LEN(given));
        why = why_of(f, "TXT", "demo.test");
        if (strcmp(state_of(f, "TXT", "demo.test"), rows[i].state) != 0 ||
            strstr(why, rows[i].why) == NULL)
            fail_msg("%s: %s (%s)", rows[i].record, state_of(f, "TXT", "demo.test"), why);
    }
    f->smarthost = NULL;
}

/* A record that leads to very many names ends, and is told as what it is to receivers. */
static void test_spf_that_asks_for_too_much(void **state)
{
    struct test_admin *f = *state;
    struct given given[130];
    char names[128][32];
    size_t count = 0;

    test_admin_add_demo(f);
    given[count++] = (struct given){DNS_TYPE_A, "mail.host.test", DNS_OK, {"\1\2\3\4"}, NULL, 0};
    given[count++] = (struct given){DNS_TYPE_TXT, "demo.test", DNS_OK,
                                    {"v=spf1 mx:m0.test mx:m1.test mx:m2.test mx:m3.test mx:m4.test "
                                     "mx:m5.test mx:m6.test mx:m7.test mx:m8.test mx:m9.test "
                                     "mx:m10.test -all"}, NULL, 0};
    for (size_t i = 0; i < 11; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "m%zu.test", i);
        given[count++] =
            (struct given){DNS_TYPE_MX, names[i], DNS_OK, {"", "", ""}, "mail.other.test", 0};
    }
    given[count++] = (struct given){DNS_TYPE_A, "mail.other.test", DNS_OK, {"\7\7\7\7"}, NULL, 0};
    check_domain(f, given, count);
    assert_string_equal(state_of(f, "TXT", "demo.test"), "wrong");
    assert_non_null(strstr(why_of(f, "TXT", "demo.test"), "ten look-ups"));
    assert_true(f->question_count <= ADMIN_CHECK_ASKED_MAX);
}

static void test_the_record_to_publish_names_the_smarthost(void **state)
{
    static const struct {
        const char *smarthost, *record;
    } rows[] = {
        {"smtp.provider.test", "v=spf1 mx a:smtp.provider.test ~all"},
        {"192.0.2.7", "v=spf1 mx ip4:192.0.2.7 ~all"},
        {"2001:db8::7", "v=spf1 mx ip6:2001:db8::7 ~all"},
        {NULL, "v=spf1 mx -all"},
    };
    struct test_admin *f = *state;

    test_admin_add_demo(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        f->smarthost = rows[i].smarthost;
        assert_string_equal(
            test_admin_ask(f, "{'command':'domain dns','arguments':{'domain':'demo.test'}}"), "ok");
        assert_string_equal(record_value(f, "demo.test", "TXT"), rows[i].record);
        assert_int_equal(strstr(test_admin_member(f, "message"), "its provider says") != NULL,
                         rows[i].smarthost != NULL);
    }
}

/* What the courier fetched, or why it did not. */
static void test_the_policy_is_looked_at(void **state)
{
    static const struct {
        const char *answer, *state, *why;
    } rows[] = {
        {"{\"status\":\"ok\",\"mode\":\"enforce\",\"unnamed\":\"\"}", "right", ""},
        {"{\"status\":\"ok\",\"mode\":\"testing\",\"unnamed\":\"\"}", "right", "testing"},
        {"{\"status\":\"ok\",\"mode\":\"none\",\"unnamed\":\"mail.host.test\"}", "right", "none"},
        {"{\"status\":\"ok\",\"mode\":\"enforce\",\"unnamed\":\"mail.host.test\"}", "wrong",
         "does not name mail.host.test; others do not deliver"},
        {"{\"status\":\"failed\",\"state\":\"missing\",\"message\":\"its host answered 404\"}",
         "missing", "cannot be fetched: its host answered 404"},
        {"{\"status\":\"failed\",\"state\":\"wrong\",\"message\":\"it is malformed\"}", "wrong",
         "cannot be fetched: it is malformed"},
        {"{\"status\":\"failed\",\"state\":\"unknown\",\"message\":\"time is up\"}", "unknown",
         "could not be asked for: time is up"},
        {"nonsense", "unknown", "could not be asked for"},
        {NULL, "unknown", "away"},
    };
    static const struct given given[] = {
        {DNS_TYPE_MX, "demo.test", DNS_OK, {"", NULL}, "mail.host.test", 0}};
    const char *url = "https://mta-sts.demo.test/.well-known/mta-sts.txt";
    struct test_admin *f = *state;

    test_admin_add_demo(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_domain_with(f, given, ARRAY_LEN(given), rows[i].answer);
        if (rows[i].answer != NULL)
            assert_non_null(strstr(f->courier_json, "[\"mail.host.test\"]"));
        assert_string_equal(state_of(f, "HTTPS", url), rows[i].state);
        assert_non_null(strstr(why_of(f, "HTTPS", url), rows[i].why));
    }
    /* Whom it must name is not known. */
    check_domain_with(f, &(struct given){DNS_TYPE_MX, "demo.test", DNS_FAILED, {NULL}, NULL, 0}, 1,
                      rows[0].answer);
    assert_string_equal(state_of(f, "HTTPS", url), "unknown");
    assert_non_null(strstr(why_of(f, "HTTPS", url), "DNS did not tell"));
    /* Its host has an address of the other kind. */
    check_domain(f, given, ARRAY_LEN(given));
    assert_string_equal(state_of(f, "A", "mta-sts.demo.test"), "right");
    check_domain_with(f, given, ARRAY_LEN(given), rows[4].answer);
    assert_string_equal(state_of(f, "A", "mta-sts.demo.test"), "missing");
    /* The courier dies while it is asked. */
    f->question_count = 0;
    f->is_courier_down = false;
    (void)test_admin_ask(f, "{'command':'domain check','arguments':{'domain':'demo.test'}}");
    for (size_t i = 0; i < f->question_count; i++)
        answer_question(f, i, given, ARRAY_LEN(given));
    assert_null(f->answer);
    admin_courier_gone(f->admin);
    assert_non_null(f->answer);
    assert_string_equal(state_of(f, "HTTPS", url), "unknown");
    assert_string_equal(state_of(f, "MX", "demo.test"), "right");
}

/* Domains from before there were keys get theirs, one with each call. */
static void test_missing_keys(void **state)
{
    struct test_admin *f = *state;
    struct task task;
    int64_t user;

    task_init(&task, TEST_ADMIN_NOW_MS);
    assert_int_equal(account_begin(f->database, &task), ERR_OK);
    assert_int_equal(account_user_add(f->database, &task, STR("u"), 0, &user), ERR_OK);
    assert_int_equal(account_domain_add(f->database, &task, STR("a.test"), user, 0), ERR_OK);
    assert_int_equal(account_domain_add(f->database, &task, STR("b.test"), user, 0), ERR_OK);
    assert_int_equal(account_commit(f->database, &task), ERR_OK);
    task_done(&task);
    assert_true(admin_make_missing_key(f->admin, TEST_ADMIN_NOW_MS));
    assert_int_equal(f->key_count, 2);
    assert_true(admin_make_missing_key(f->admin, TEST_ADMIN_NOW_MS));
    assert_false(admin_make_missing_key(f->admin, TEST_ADMIN_NOW_MS));
    assert_int_equal(f->key_count, 4);
}

/* Whoever asks what to publish need not wait for that. */
static void test_keys_are_there_when_they_are_asked_for(void **state)
{
    struct test_admin *f = *state;
    struct task task;
    int64_t user;

    task_init(&task, TEST_ADMIN_NOW_MS);
    assert_int_equal(account_begin(f->database, &task), ERR_OK);
    assert_int_equal(account_user_add(f->database, &task, STR("u"), 0, &user), ERR_OK);
    assert_int_equal(account_domain_add(f->database, &task, STR("a.test"), user, 0), ERR_OK);
    assert_int_equal(account_commit(f->database, &task), ERR_OK);
    task_done(&task);
    assert_string_equal(
        test_admin_ask(f, "{'command':'domain dns','arguments':{'domain':'a.test'}}"), "ok");
    assert_int_equal(f->key_count, 2);
    assert_string_equal(record_value(f, "e19700101._domainkey.a.test", "TXT"),
                        "v=DKIM1; k=ed25519; p=2");
    assert_false(admin_make_missing_key(f->admin, TEST_ADMIN_NOW_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_records_to_publish),
        TEST(test_a_domain_that_is_right),
        TEST(test_a_domain_that_is_wrong),
        TEST(test_what_spf_lets_pass),
        TEST(test_spf_that_asks_for_too_much),
        TEST(test_the_record_to_publish_names_the_smarthost),
        TEST(test_the_policy_is_looked_at),
        TEST(test_missing_keys),
        TEST(test_keys_are_there_when_they_are_asked_for),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
