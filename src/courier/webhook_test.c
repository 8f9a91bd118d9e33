/* The rules about targets and replies; attempts as a whole are tests/webhook's. */
#include "courier/webhook_reply.h"
#include "net/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct arena arena;

static const struct {
    const char *url, *addresses, *allow; /* separated by spaces */
    bool allows_http;
    const char *reason; /* a part of it; NULL: allowed */
} targets[] = {
    {"https://a.example/", "93.184.216.34", "", false, NULL},
    {"https://a.example:8443/", "93.184.216.34 2606:2800:220:1::1", "", false, NULL},
    {"https://a.example/", "", "", false, "no address"},
    {"http://a.example/", "93.184.216.34", "", false, "not https"},
    {"http://a.example/", "93.184.216.34", "", true, NULL},
    {"https://a.example:25/", "93.184.216.34", "", false, "port"},
    {"https://a.example:80/", "93.184.216.34", "", false, NULL},
    {"https://a.example:1024/", "93.184.216.34", "", false, NULL},
    /* one of many is enough, wherever it stands */
    {"https://a.example/", "127.0.0.1", "", false, "loopback"},
    {"https://a.example/", "93.184.216.34 10.0.0.1", "", false, "private"},
    {"https://a.example/", "fe80::1 93.184.216.34", "", false, "link-local"},
    {"https://a.example/", "93.184.216.34 ::ffff:93.184.216.34", "", false, "inside an IPv6"},
    {"https://a.example/", "64:ff9b::5db8:d822", "", false, "inside an IPv6"},
    {"https://a.example/", "100.64.0.1", "", false, "shared"},
    {"https://a.example/", "192.0.2.1", "", false, "documentation"},
    {"https://a.example/", "198.18.0.1", "", false, "benchmarks"},
    {"https://a.example/", "224.0.0.1", "", false, "multicast"},
    {"https://a.example/", "0.0.0.0", "", false, "unspecified"},
    {"https://a.example/", "240.0.0.1", "", false, "reserved"},
    /* the list of what is allowed */
    {"http://a.example:81/", "127.0.0.1", "a.example", false, NULL},
    {"http://A.Example.:81/", "127.0.0.1", "a.example", false, NULL},
    {"http://a.example/", "127.0.0.1", "A.EXAMPLE", false, NULL},
    {"http://b.a.example/", "127.0.0.1", "a.example", false, "loopback"},
    {"http://a.example/", "127.0.0.1", "b.example 127.0.0.0/8", false, NULL},
    {"http://127.1/", "127.0.0.1", "127.0.0.1", false, NULL},
    {"http://127.0.0.2/", "127.0.0.2", "127.0.0.1", false, "loopback"},
    {"https://a.example/", "10.1.2.3 127.0.0.1", "10.0.0.0/8", false, "loopback"},
    {"http://a.example/", "10.1.2.3 93.184.216.34", "10.0.0.0/8", false, "not https"},
    {"https://a.example/", "10.1.2.3 93.184.216.34", "10.0.0.0/8", false, NULL},
    {"http://[::1]:8080/", "::1", "::1", false, NULL},
    {"http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1", "127.0.0.0/8", false, "inside an IPv6"},
    {"http://[::1]/", "::1", "::ffff:10.0.0.0/8", false, "loopback"},
    {"http://10.1.2.3/", "10.1.2.3", "::ffff:10.0.0.0/8", false, NULL},
};

static size_t split(const char *text, struct str *out)
{
    struct str rest = str_from_c(text), word;
    size_t count = 0;

    while (str_split(&rest, ' ', &word)) {
        if (word.len > 0)
            out[count++] = word;
    }
    return count;
}

static void each_target(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        struct str allow[8], words[8];
        struct ip_address addresses[8];
        size_t count = split(targets[i].addresses, words);
        struct net_target_rules *rules =
            net_target_rules_new(allow, split(targets[i].allow, allow), targets[i].allows_http);
        struct net_url url;
        const char *reason;

        for (size_t n = 0; n < count; n++)
            assert_true(ip_address_parse(words[n], &addresses[n]));
        assert_null(net_url_parse(&arena, str_from_c(targets[i].url), &url));
        reason = net_target_reason(rules, &url, addresses, count);
        if ((reason == NULL) != (targets[i].reason == NULL) ||
            (reason != NULL && strstr(reason, targets[i].reason) == NULL))
            fail_msg("%s at %s: %s", targets[i].url, targets[i].addresses,
                     reason == NULL ? "allowed" : reason);
        net_target_rules_free(&rules);
        assert_null(rules);
    }
}

static void entries_of_the_list(void **state)
{
    static const struct {
        const char *text;
        bool is_one;
    } rows[] = {
        {"hooks.example", true},
        {"10.0.0.0/8", true},
        {"::1", true},
        {"fd00::/8", true},
        {"b\xc3\xbc"
         "cher.example",
         true},
        {"", false},
        {"https://x/", false},
        {"x:80", false},
        {"a b", false},
        {"10.0.0.0/64", false},
        {"127.1", false},
        {"x/8", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if ((net_target_allow_reason(str_from_c(rows[i].text)) == NULL) != rows[i].is_one)
            fail_msg("'%s'", rows[i].text);
    }
}

/* What is known before anybody was asked where a name leads. */
static void urls_that_are_never_called(void **state)
{
    static const struct {
        const char *url, *allow;
        bool allows_http;
        const char *reason; /* NULL: it may be called */
    } rows[] = {
        {"https://a.example/", "", false, NULL},
        {"https://a.example:8443/", "", false, NULL},
        {"http://a.example/", "", false, "http, not https"},
        {"http://a.example/", "", true, NULL},
        {"https://a.example:25/", "", false, "another service"},
        {"https://a.example:0/", "", false, "port"},
        {"https://a.example:70000/", "", false, "port"},
        {"ftp://a.example/", "", true, ""},
        {"https:///x", "", true, ""},
        {"https://10.0.0.1/", "", false, "private"},
        {"https://127.0.0.1/", "", false, "loopback"},
        {"https://2130706433/", "", false, "loopback"},
        {"https://[::1]/", "", false, "loopback"},
        {"https://[::ffff:10.0.0.1]/", "", false, "inside an IPv6"},
        {"https://8.8.8.8/", "", false, NULL},
        {"http://8.8.8.8/", "", false, "http, not https"},
        /* What the operator allows. */
        {"http://10.0.0.1:25/", "10.0.0.0/8", false, NULL},
        {"http://127.0.0.1/", "10.0.0.0/8", false, "loopback"},
        {"http://a.example:25/", "a.example", false, NULL},
        {"http://b.example/", "a.example", false, "http, not https"},
        {"http://b.example/", "10.0.0.0/8", false, NULL}, /* it may lead there */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str allow = str_from_c(rows[i].allow);
        struct net_target_rules *rules = net_target_rules_new(&allow, 1, rows[i].allows_http);
        const char *reason = net_target_url_reason(rules, str_from_c(rows[i].url));

        if ((reason == NULL) != (rows[i].reason == NULL) ||
            (reason != NULL && strstr(reason, rows[i].reason) == NULL))
            fail_msg("%s: %s", rows[i].url, reason == NULL ? "allowed" : reason);
        net_target_rules_free(&rules);
    }
}

static const struct {
    unsigned status;
    const char *location, *retry_after;
    enum webhook_outcome outcome;
    const char *next; /* NULL: it is not followed */
    int64_t retry_after_ms;
} replies[] = {
    {200, "", "", WEBHOOK_DONE, NULL, 0},
    {204, "https://b.example/", "10", WEBHOOK_DONE, NULL, 0},
    {299, "", "", WEBHOOK_DONE, NULL, 0},
    {100, "", "", WEBHOOK_RETRY, NULL, 0},
    {300, "https://b.example/", "", WEBHOOK_FAILED, NULL, 0},
    {301, "https://b.example/", "", WEBHOOK_FAILED, "https://b.example/", 0},
    {302, "../c?d", "", WEBHOOK_FAILED, "https://a.example/c?d", 0},
    {303, "http://127.1/", "", WEBHOOK_FAILED, "http://127.0.0.1/", 0},
    {304, "", "", WEBHOOK_FAILED, NULL, 0},
    {307, "//[::1]/x", "", WEBHOOK_FAILED, "https://[::1]/x", 0},
    {308, "/x", "", WEBHOOK_FAILED, "https://a.example/x", 0},
    {308, "", "", WEBHOOK_FAILED, NULL, 0},
    {308, "gopher://b.example/", "", WEBHOOK_FAILED, NULL, 0},
    {400, "", "", WEBHOOK_FAILED, NULL, 0},
    {404, "", "60", WEBHOOK_FAILED, NULL, 0},
    {408, "", "", WEBHOOK_RETRY, NULL, 0},
    {410, "", "", WEBHOOK_FAILED, NULL, 0},
    {425, "", "", WEBHOOK_RETRY, NULL, 0},
    {429, "", " 120 ", WEBHOOK_RETRY, NULL, 120000},
    {429, "", "99999999", WEBHOOK_RETRY, NULL, 86400000},
    {429, "", "-1", WEBHOOK_RETRY, NULL, 0},
    {500, "", "soon", WEBHOOK_RETRY, NULL, 0},
    {503, "", "Thu, 26 Nov 2026 10:00:30 GMT", WEBHOOK_RETRY, NULL, 30000},
    {503, "", "Thu, 26 Nov 2026 09:00:00 GMT", WEBHOOK_RETRY, NULL, 0},
    {999, "", "", WEBHOOK_RETRY, NULL, 0},
};

static void each_reply(void **state)
{
    const int64_t now_ms = INT64_C(1795687200000); /* 2026-11-26T10:00:00Z */
    struct net_url base;

    (void)state;
    assert_null(net_url_parse(&arena, STR("https://a.example/a/b"), &base));
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct webhook_reply reply = {.status = replies[i].status,
                                      .location = str_from_c(replies[i].location),
                                      .retry_after = str_from_c(replies[i].retry_after)};
        struct webhook_result result;
        struct net_url next;
        bool is_followed = webhook_reply_read(&arena, &reply, &base, now_ms, &result, &next);

        if (is_followed != (replies[i].next != NULL))
            fail_msg("row %zu: %d", i, (int)is_followed);
        if (is_followed && !str_equal(net_url_text(&arena, &next), str_from_c(replies[i].next)))
            fail_msg("row %zu leads to %.*s", i, STR_ARG(net_url_text(&arena, &next)));
        if (!is_followed && (result.outcome != replies[i].outcome ||
                             result.retry_after_ms != replies[i].retry_after_ms))
            fail_msg("row %zu (%u): %d, %lld", i, reply.status, (int)result.outcome,
                     (long long)result.retry_after_ms);
    }
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_target),
        cmocka_unit_test(entries_of_the_list),
        cmocka_unit_test(urls_that_are_never_called),
        cmocka_unit_test(each_reply),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
