#include "dns/cache.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LIMIT = 64 * 1024 };

static struct dns_key key_of(const char *name)
{
    return (struct dns_key){.name = str_from_c(name), .type = DNS_TYPE_A};
}

static void put(struct dns_cache *cache, const char *name, int64_t now_ms, enum dns_status status,
                uint32_t ttl_s, struct str records)
{
    struct dns_key key = key_of(name);
    struct dns_cached answer = {.status = status, .ttl_s = ttl_s, .records = records};

    dns_cache_put(cache, &key, now_ms, &answer);
}

static bool has(struct dns_cache *cache, const char *name, int64_t now_ms)
{
    struct dns_key key = key_of(name);
    struct dns_cached found;

    return dns_cache_get(cache, &key, now_ms, &found);
}

static void an_answer_is_kept_until_its_ttl_ends(void **state)
{
    struct dns_cache *cache = dns_cache_new(LIMIT);
    struct dns_key key = key_of("a.test");
    struct dns_cached found;

    (void)state;
    put(cache, "a.test", 1000, DNS_OK, 10, STR("records"));
    assert_true(dns_cache_get(cache, &key, 1000, &found));
    assert_int_equal(found.age_s, 0);
    assert_true(dns_cache_get(cache, &key, 10999, &found));
    assert_int_equal(found.age_s, 9);
    assert_true(str_equal(found.records, STR("records")));
    assert_false(dns_cache_get(cache, &key, 11000, &found));
    assert_int_equal(dns_cache_count(cache), 0);
    assert_int_equal(dns_cache_bytes(cache), 0);
    dns_cache_free(&cache);
    assert_null(cache);
}

static void what_is_old_already_is_kept_for_the_rest(void **state)
{
    struct dns_cache *cache = dns_cache_new(LIMIT);
    struct dns_key key = key_of("a.test");
    struct dns_cached answer = {.ttl_s = 10, .age_s = 4}, found;

    (void)state;
    dns_cache_put(cache, &key, 0, &answer);
    assert_true(dns_cache_get(cache, &key, 5999, &found));
    assert_int_equal(found.age_s, 9);
    assert_int_equal(found.ttl_s, 10);
    assert_false(dns_cache_get(cache, &key, 6000, &found));
    answer.age_s = 10;
    dns_cache_put(cache, &key, 0, &answer);
    assert_int_equal(dns_cache_count(cache), 0);
    dns_cache_free(&cache);
}

static void name_type_and_resolver_tell_answers_apart(void **state)
{
    struct dns_cache *cache = dns_cache_new(LIMIT);
    struct dns_key a = key_of("a.test"), b = key_of("a.test"), c = key_of("a.test");
    struct dns_cached answer = {.ttl_s = 10, .records = STR("1")}, found;

    (void)state;
    b.type = DNS_TYPE_AAAA;
    c.service = DNS_SERVICE_LISTS;
    dns_cache_put(cache, &a, 0, &answer);
    assert_false(dns_cache_get(cache, &b, 0, &found));
    assert_false(dns_cache_get(cache, &c, 0, &found));
    answer.records = STR("22");
    dns_cache_put(cache, &a, 0, &answer); /* replaces */
    assert_int_equal(dns_cache_count(cache), 1);
    assert_true(dns_cache_get(cache, &a, 0, &found));
    assert_int_equal(found.records.len, 2);
    dns_cache_free(&cache);
}

static void memory_is_bounded_and_the_oldest_goes(void **state)
{
    struct dns_cache *cache = dns_cache_new(LIMIT);
    char name[32], records[200] = {0};

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "n%u.test", i);
        put(cache, name, 0, DNS_OK, 100, str_make(records, sizeof(records)));
        assert_true(has(cache, "n0.test", 0)); /* asked for all the time */
        assert_in_range(dns_cache_bytes(cache), 1, LIMIT);
    }
    assert_in_range(dns_cache_count(cache), 100, 300);
    assert_true(has(cache, "n4999.test", 0));
    assert_false(has(cache, "n1.test", 0));
    dns_cache_free(&cache);
}

static void a_storm_of_made_up_names_pushes_nothing_else_out(void **state)
{
    struct dns_cache *cache = dns_cache_new(LIMIT);
    char name[32];

    (void)state;
    put(cache, "good.test", 0, DNS_OK, 100, STR("records"));
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "n%u.test", i);
        put(cache, name, 0, i % 2 == 0 ? DNS_NO_NAME : DNS_FAILED, 100, STR(""));
    }
    assert_true(has(cache, "good.test", 0));
    assert_true(has(cache, "n9999.test", 0));
    assert_in_range(dns_cache_bytes(cache), 1, LIMIT / 4 + 1000);
    /* What was negative and is positive now stands on the other shelf. */
    put(cache, "n9999.test", 0, DNS_OK, 100, STR("records"));
    assert_true(has(cache, "n9999.test", 0));
    dns_cache_free(&cache);
}

static void what_is_too_large_is_not_kept(void **state)
{
    struct dns_cache *cache = dns_cache_new(LIMIT);
    static char records[LIMIT / 16];

    (void)state;
    put(cache, "a.test", 0, DNS_OK, 100, str_make(records, sizeof(records)));
    assert_int_equal(dns_cache_count(cache), 0);
    put(cache, "a.test", 0, DNS_OK, 0, STR("1"));
    assert_int_equal(dns_cache_count(cache), 0);
    dns_cache_free(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_kept_until_its_ttl_ends),
        cmocka_unit_test(what_is_old_already_is_kept_for_the_rest),
        cmocka_unit_test(name_type_and_resolver_tell_answers_apart),
        cmocka_unit_test(memory_is_bounded_and_the_oldest_goes),
        cmocka_unit_test(a_storm_of_made_up_names_pushes_nothing_else_out),
        cmocka_unit_test(what_is_too_large_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
