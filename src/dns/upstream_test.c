/* How servers are written. What they do is in tests/dns, with real ones. */
#include "dns/upstream.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void servers_are_a_url_and_addresses(void **state)
{
    static const struct {
        const char *text, *url; /* NULL: none */
        size_t count;
        const char *last;
    } rows[] = {
        {"https://dns.test/dns-query 192.0.2.1", "https://dns.test/dns-query", 1, "192.0.2.1"},
        {"  https://DNS.test:8443/q  192.0.2.1   2001:db8::1 ", "https://dns.test:8443/q", 2,
         "2001:db8::1"},
        {"https://192.0.2.1/dns-query", "https://192.0.2.1/dns-query", 1, "192.0.2.1"},
        {"https://[2001:db8::1]/dns-query", "https://[2001:db8::1]/dns-query", 1, "2001:db8::1"},
        {"https://192.0.2.1/q 192.0.2.2", "https://192.0.2.1/q", 1, "192.0.2.2"},
        {"https://dns.test/dns-query", NULL, 0, NULL},
        {"https://dns.test/dns-query dns.test", NULL, 0, NULL},
        {"https://dns.test/dns-query 192.0.2.1,192.0.2.2", NULL, 0, NULL},
        {"https://dns.test/dns-query 192.0.2.1:443", NULL, 0, NULL},
        {"https://dns.test/q 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5", NULL, 0, NULL},
        {"http://dns.test/dns-query 192.0.2.1", NULL, 0, NULL},
        {"192.0.2.1", NULL, 0, NULL},
        {"dns.test 192.0.2.1", NULL, 0, NULL},
        {"", NULL, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct dns_upstream_place place;
        struct arena arena;
        const char *reason;

        arena_init(&arena);
        reason = dns_upstream_parse(&arena, str_from_c(rows[i].text), &place);
        if ((reason == NULL) != (rows[i].url != NULL))
            fail_msg("%s: %s", rows[i].text, reason == NULL ? "taken" : reason);
        if (reason == NULL &&
            (!str_equal(place.url, str_from_c(rows[i].url)) ||
             place.address_count != rows[i].count ||
             !str_equal(place.addresses[rows[i].count - 1], str_from_c(rows[i].last))))
            fail_msg("%s: %.*s", rows[i].text, STR_ARG(place.url));
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_are_a_url_and_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
