#include "courier/demand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { DANE = 1, UNUSABLE = 2, UNKNOWN = 4, ENFORCED = 8, NAMED = 16, VOUCHED = 32 };
enum { REQUIRE = 1, OPTIONAL = 2, SETTING = 4 };

static const struct {
    const char *rule;
    unsigned facts, wishes;
    enum smtp_client_tls tls;
    enum net_tls_trust trust;
    const char *problem; /* its enhanced code */
} rows[] = {
    {"nothing known: if it is offered", NAMED, 0, SMTP_CLIENT_TLS_OFFERED, NET_TLS_TRUST_ANY, NULL},
    {"DANE", DANE | NAMED, 0, SMTP_CLIENT_TLS_REQUIRED, NET_TLS_TRUST_DANE, NULL},
    {"unusable records", UNUSABLE | NAMED, 0, SMTP_CLIENT_TLS_REQUIRED, NET_TLS_TRUST_ANY, NULL},
    {"unknown records", UNKNOWN | NAMED, 0, 0, 0, "4.7.5"},
    {"MTA-STS", ENFORCED | NAMED, 0, SMTP_CLIENT_TLS_REQUIRED, NET_TLS_TRUST_NAME, NULL},
    {"a host that it does not name", ENFORCED, 0, 0, 0, "4.7.5"},
    {"DANE goes before it", DANE | ENFORCED, 0, SMTP_CLIENT_TLS_REQUIRED, NET_TLS_TRUST_DANE, NULL},
    {"unusable records do not", UNUSABLE | ENFORCED | NAMED, 0, SMTP_CLIENT_TLS_REQUIRED,
     NET_TLS_TRUST_NAME, NULL},
    {"TLS-Required: No", DANE | ENFORCED, OPTIONAL, SMTP_CLIENT_TLS_OFFERED, NET_TLS_TRUST_ANY,
     NULL},
    {"even with unknown records", UNKNOWN | NAMED, OPTIONAL, SMTP_CLIENT_TLS_OFFERED,
     NET_TLS_TRUST_ANY, NULL},
    {"our own setting stays", NAMED, OPTIONAL | SETTING, SMTP_CLIENT_TLS_REQUIRED,
     NET_TLS_TRUST_NAME, NULL},
    {"our own setting", NAMED, SETTING, SMTP_CLIENT_TLS_REQUIRED, NET_TLS_TRUST_NAME, NULL},
    {"is satisfied by DANE", DANE | NAMED, SETTING, SMTP_CLIENT_TLS_REQUIRED, NET_TLS_TRUST_DANE,
     NULL},
    {"is more than unusable records", UNUSABLE | NAMED, SETTING, SMTP_CLIENT_TLS_REQUIRED,
     NET_TLS_TRUST_NAME, NULL},
    {"REQUIRETLS", VOUCHED | NAMED, REQUIRE, SMTP_CLIENT_TLS_REQUIRED, NET_TLS_TRUST_NAME, NULL},
    {"with DANE", VOUCHED | DANE | NAMED, REQUIRE, SMTP_CLIENT_TLS_REQUIRED, NET_TLS_TRUST_DANE,
     NULL},
    {"beats the header field", VOUCHED | DANE | NAMED, REQUIRE | OPTIONAL, SMTP_CLIENT_TLS_REQUIRED,
     NET_TLS_TRUST_DANE, NULL},
    {"where nobody vouches for the host", NAMED, REQUIRE, 0, 0, "5.7.10"},
    {"another reason goes first", UNKNOWN | NAMED, REQUIRE, 0, 0, "4.7.5"},
};

static void what_is_asked_of_tls(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct courier_plan plan = {.is_enforced = rows[i].facts & ENFORCED,
                                    .is_vouched = rows[i].facts & VOUCHED};
        struct courier_host host = {.tlsa_count = rows[i].facts & DANE ? 1 : 0,
                                    .has_unusable_tlsa = rows[i].facts & UNUSABLE,
                                    .is_tlsa_unknown = rows[i].facts & UNKNOWN,
                                    .is_in_policy = rows[i].facts & NAMED};
        struct courier_wish wish = {.require_tls = rows[i].wishes & REQUIRE,
                                    .tls_optional = rows[i].wishes & OPTIONAL,
                                    .is_tls_required = rows[i].wishes & SETTING};
        struct courier_demand demand;
        char code[32];

        courier_demand_of(&plan, &host, &wish, &demand);
        if ((demand.problem != NULL) != (rows[i].problem != NULL))
            fail_msg("%s: %s", rows[i].rule, demand.problem == NULL ? "let pass" : demand.problem);
        if (rows[i].problem == NULL) {
            if (demand.tls != rows[i].tls || demand.trust != rows[i].trust)
                fail_msg("%s: %d %d", rows[i].rule, demand.tls, demand.trust);
            continue;
        }
        snprintf(code, sizeof(code), "%u.%u.%u", demand.enhanced.class, demand.enhanced.subject,
                 demand.enhanced.detail);
        assert_string_equal(code, rows[i].problem);
        assert_int_equal(demand.is_permanent, code[0] == '5');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_asked_of_tls)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
