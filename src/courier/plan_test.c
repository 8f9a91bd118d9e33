#include "courier/plan.h"

#include "base/buf.h"
#include "courier/fixture.h"
#include "courier/sts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define A DNS_TYPE_A
#define AAAA DNS_TYPE_AAAA
#define MX DNS_TYPE_MX
#define CNAME DNS_TYPE_CNAME
#define TLSA DNS_TYPE_TLSA
#define DIGEST "0000000000000000000000000000000000000000000000000000000000000000"

static const struct fixture_record zone[] = {
    {"plain.test", A, DNS_OK, false, 0, "192.88.10.1"},
    {"plain.test", AAAA, DNS_OK, false, 0, "2600::1"},
    {"one.test", MX, DNS_OK, false, 20, "mx2.one.test"},
    {"one.test", MX, DNS_OK, false, 10, "mx1.one.test"},
    {"mx1.one.test", A, DNS_OK, false, 0, "8.8.1.1"},
    {"mx2.one.test", AAAA, DNS_OK, false, 0, "2600::2"},
    {"mx2.one.test", A, DNS_OK, false, 0, "8.8.1.2"},
    {"mx2.one.test", A, DNS_OK, false, 0, "8.8.1.3"},
    {"null.test", MX, DNS_OK, false, 0, ""},
    {"nothing.test", DNS_TYPE_TXT, DNS_OK, false, 0, "x"},
    {"sick.test", MX, DNS_FAILED, false, 0, NULL},
    {"sickhost.test", MX, DNS_OK, false, 10, "mx.sickhost.test"},
    {"mx.sickhost.test", A, DNS_FAILED, false, 0, NULL},
    {"mx.sickhost.test", AAAA, DNS_NO_DATA, false, 0, NULL},
    {"half.test", MX, DNS_OK, false, 10, "mx.half.test"},
    {"mx.half.test", A, DNS_OK, false, 0, "8.8.1.9"},
    {"mx.half.test", AAAA, DNS_FAILED, false, 0, NULL},
    {"inward.test", MX, DNS_OK, false, 10, "mx.inward.test"},
    {"mx.inward.test", A, DNS_OK, false, 0, "127.0.0.1"},
    {"mx.inward.test", A, DNS_OK, false, 0, "10.0.0.1"},
    {"allowed.test", MX, DNS_OK, false, 10, "mx.allowed.test"},
    {"mx.allowed.test", A, DNS_OK, false, 0, "192.168.7.1"},
    {"mx.allowed.test", A, DNS_OK, false, 0, "192.168.8.1"},
    {"backup.test", MX, DNS_OK, false, 10, "mx1.one.test"},
    {"backup.test", MX, DNS_OK, false, 20, "Mail.Ours.Test"},
    {"backup.test", MX, DNS_OK, false, 20, "mx2.one.test"},
    {"backup.test", MX, DNS_OK, false, 30, "plain.test"},
    {"first.test", MX, DNS_OK, false, 10, "mail.ours.test"},
    {"first.test", MX, DNS_OK, false, 20, "mx2.one.test"},
    {"byaddress.test", MX, DNS_OK, false, 10, "mx1.one.test"},
    {"byaddress.test", MX, DNS_OK, false, 20, "other.ours.test"},
    {"byaddress.test", MX, DNS_OK, false, 30, "mx2.one.test"},
    {"other.ours.test", A, DNS_OK, false, 0, "8.8.9.9"},
    {"dane.test", MX, DNS_OK, true, 10, "mx.dane.test"},
    {"mx.dane.test", A, DNS_OK, true, 0, "8.8.2.1"},
    {"_25._tcp.mx.dane.test", TLSA, DNS_OK, true, 0, "030101" DIGEST},
    {"_25._tcp.mx.dane.test", TLSA, DNS_OK, true, 0, "010101" DIGEST},
    {"unusable.test", MX, DNS_OK, true, 10, "mx.unusable.test"},
    {"mx.unusable.test", A, DNS_OK, true, 0, "8.8.2.2"},
    {"_25._tcp.mx.unusable.test", TLSA, DNS_OK, true, 0, "010101" DIGEST},
    {"sicktlsa.test", MX, DNS_OK, true, 10, "mx.sicktlsa.test"},
    {"mx.sicktlsa.test", A, DNS_OK, true, 0, "8.8.2.3"},
    {"_25._tcp.mx.sicktlsa.test", TLSA, DNS_FAILED, false, 0, NULL},
    {"loose.test", MX, DNS_OK, false, 10, "mx.dane.test"},
    {"looser.test", MX, DNS_OK, true, 10, "mx1.one.test"},
    {"_25._tcp.mx1.one.test", TLSA, DNS_OK, true, 0, "030101" DIGEST},
    {"notlsa.test", MX, DNS_OK, true, 10, "mx.notlsa.test"},
    {"mx.notlsa.test", A, DNS_OK, true, 0, "8.8.2.4"},
    {"_25._tcp.mx.notlsa.test", TLSA, DNS_OK, false, 0, "030101" DIGEST},
    /* Hosts that are aliases: records where the last leads to, at the name itself, at both. */
    {"alias.test", MX, DNS_OK, true, 10, "mx.alias.test"},
    {"mx.alias.test", A, DNS_OK, true, 0, "8.8.4.1"},
    {"mx.alias.test", CNAME, DNS_OK, true, 0, "step.alias.test"},
    {"step.alias.test", CNAME, DNS_OK, true, 0, "host.farm.test"},
    {"host.farm.test", A, DNS_OK, true, 0, "8.8.4.1"},
    {"_25._tcp.host.farm.test", TLSA, DNS_OK, true, 0, "030101" DIGEST},
    {"_25._tcp.host.farm.test", TLSA, DNS_OK, true, 0, "030101" DIGEST},
    {"_25._tcp.mx.alias.test", TLSA, DNS_OK, true, 0, "030101" DIGEST},
    {"alias2.test", MX, DNS_OK, true, 10, "mx.alias2.test"},
    {"mx.alias2.test", A, DNS_OK, true, 0, "8.8.4.2"},
    {"mx.alias2.test", CNAME, DNS_OK, true, 0, "plain.farm.test"},
    {"plain.farm.test", A, DNS_OK, true, 0, "8.8.4.2"},
    {"_25._tcp.mx.alias2.test", TLSA, DNS_OK, true, 0, "030101" DIGEST},
    /* The name is secure, what it leads to is not. */
    {"alias3.test", MX, DNS_OK, true, 10, "mx.alias3.test"},
    {"mx.alias3.test", A, DNS_OK, false, 0, "8.8.4.3"},
    {"mx.alias3.test", CNAME, DNS_OK, true, 0, "host.loose.test"},
    {"_25._tcp.mx.alias3.test", TLSA, DNS_OK, true, 0, "030101" DIGEST},
    {"_25._tcp.host.loose.test", TLSA, DNS_OK, true, 0, "030101" DIGEST},
    /* What it leads to cannot be asked. */
    {"alias4.test", MX, DNS_OK, true, 10, "mx.alias4.test"},
    {"mx.alias4.test", A, DNS_OK, true, 0, "8.8.4.4"},
    {"mx.alias4.test", CNAME, DNS_OK, true, 0, "sick.farm.test"},
    {"sick.farm.test", A, DNS_OK, true, 0, "8.8.4.4"},
    {"_25._tcp.sick.farm.test", TLSA, DNS_FAILED, false, 0, NULL},
    {"_25._tcp.mx.alias4.test", TLSA, DNS_OK, true, 0, "030101" DIGEST},
    {"alias5.test", MX, DNS_OK, true, 10, "mx.alias5.test"},
    {"mx.alias5.test", A, DNS_OK, true, 0, "8.8.4.5"},
    {"mx.alias5.test", CNAME, DNS_FAILED, true, 0, NULL},
    {"_25._tcp.mx.alias5.test", TLSA, DNS_OK, true, 0, "030101" DIGEST},
    {"route.test", A, DNS_OK, true, 0, "10.1.1.1"},
    {"_2525._tcp.route.test", TLSA, DNS_OK, true, 0, "030101" DIGEST},
};

/*
 * A plan as text: hosts, each "name addresses", with "dane", "unusable", "tlsa?" and "!why" where
 * it is so; or "temporary" or "permanent" with the enhanced code. "vouched" in front.
 */
static const struct {
    const char *rule;
    enum courier_target_kind kind;
    const char *host;
    bool is_trusted;
    const char *plan;
} plans[] = {
    {"no MX: the domain itself, IPv6 first", COURIER_TARGET_DOMAIN, "plain.test", false,
     "plain.test 2600::1 192.88.10.1"},
    {"by preference", COURIER_TARGET_DOMAIN, "one.test", false,
     "mx1.one.test 8.8.1.1; mx2.one.test 2600::2 8.8.1.2 8.8.1.3"},
    {"null MX", COURIER_TARGET_DOMAIN, "null.test", false, "permanent 5.1.10"},
    {"no such domain", COURIER_TARGET_DOMAIN, "gone.test", false, "permanent 5.1.2"},
    {"a domain without any host", COURIER_TARGET_DOMAIN, "nothing.test", false,
     "nothing.test !permanent 5.4.4"},
    {"the DNS is sick", COURIER_TARGET_DOMAIN, "sick.test", false, "temporary 4.4.3"},
    {"for a host", COURIER_TARGET_DOMAIN, "sickhost.test", false,
     "mx.sickhost.test !temporary 4.4.3"},
    {"for one family of it", COURIER_TARGET_DOMAIN, "half.test", false, "mx.half.test 8.8.1.9"},
    {"into our own network", COURIER_TARGET_DOMAIN, "inward.test", false,
     "mx.inward.test !permanent 5.4.4"},
    {"which may be allowed", COURIER_TARGET_DOMAIN, "allowed.test", false,
     "mx.allowed.test 192.168.7.1"},
    {"we are the backup: better ones only", COURIER_TARGET_DOMAIN, "backup.test", false,
     "mx1.one.test 8.8.1.1"},
    {"we are the best: a loop", COURIER_TARGET_DOMAIN, "first.test", false, "permanent 5.4.6"},
    {"the same by address", COURIER_TARGET_DOMAIN, "byaddress.test", false, "mx1.one.test 8.8.1.1"},
    {"DANE", COURIER_TARGET_DOMAIN, "dane.test", false, "vouched mx.dane.test 8.8.2.1 dane=1"},
    {"records that nobody can use", COURIER_TARGET_DOMAIN, "unusable.test", false,
     "vouched mx.unusable.test 8.8.2.2 unusable"},
    {"records that cannot be looked up", COURIER_TARGET_DOMAIN, "sicktlsa.test", false,
     "vouched mx.sicktlsa.test 8.8.2.3 tlsa?"},
    {"an MX that is not secure", COURIER_TARGET_DOMAIN, "loose.test", false,
     "mx.dane.test 8.8.2.1"},
    {"an address that is not", COURIER_TARGET_DOMAIN, "looser.test", false,
     "vouched mx1.one.test 8.8.1.1"},
    {"TLSA that is not", COURIER_TARGET_DOMAIN, "notlsa.test", false,
     "vouched mx.notlsa.test 8.8.2.4"},
    {"TLSA where an alias leads", COURIER_TARGET_DOMAIN, "alias.test", false,
     "vouched mx.alias.test 8.8.4.1 dane=2@host.farm.test"},
    {"none there: at the alias itself", COURIER_TARGET_DOMAIN, "alias2.test", false,
     "vouched mx.alias2.test 8.8.4.2 dane=1"},
    {"a secure alias of what is not", COURIER_TARGET_DOMAIN, "alias3.test", false,
     "vouched mx.alias3.test 8.8.4.3 dane=1"},
    {"there they cannot be looked up", COURIER_TARGET_DOMAIN, "alias4.test", false,
     "vouched mx.alias4.test 8.8.4.4 tlsa?"},
    {"nobody knows whether it is one", COURIER_TARGET_DOMAIN, "alias5.test", false,
     "vouched mx.alias5.test 8.8.4.5 tlsa?"},
    {"a literal", COURIER_TARGET_LITERAL, "8.8.3.1", false, "8.8.3.1 8.8.3.1"},
    {"a literal of our own network", COURIER_TARGET_LITERAL, "::1", false, "::1 !permanent 5.4.4"},
    {"a user's route likewise", COURIER_TARGET_HOST, "route.test", false,
     "vouched route.test !permanent 5.4.4"},
    {"an operator's", COURIER_TARGET_HOST, "route.test", true,
     "vouched route.test 10.1.1.1 dane=1"},
};

struct planned {
    struct net_loop *loop;
    struct courier_plan *plan;
};

static void on_plan(void *owner, struct courier_plan *plan)
{
    struct planned *planned = owner;

    planned->plan = plan;
    net_loop_stop(planned->loop);
}

static void write_host(const struct courier_host *host, struct buf *out)
{
    buf_putf(out, "%.*s", STR_ARG(host->name));
    for (size_t i = 0; i < host->address_count; i++) {
        char text[IP_ADDRESS_ROOM];

        ip_address_format(&host->addresses[i], text);
        buf_putf(out, " %s", text);
    }
    if (host->address_count == 0)
        buf_putf(out, " !%s %u.%u.%u", host->is_temporary ? "temporary" : "permanent",
                 host->enhanced.class, host->enhanced.subject, host->enhanced.detail);
    if (host->tlsa_count > 0)
        buf_putf(out, " dane=%zu", host->tlsa_count);
    if (host->tlsa_count > 0 && !str_equal(host->tls_name, host->name))
        buf_putf(out, "@%.*s", STR_ARG(host->tls_name));
    if (host->has_unusable_tlsa)
        buf_put(out, STR(" unusable"));
    if (host->is_tlsa_unknown)
        buf_put(out, STR(" tlsa?"));
    if (!host->is_in_policy)
        buf_put(out, STR(" out"));
}

static void write_plan(const struct courier_plan *plan, struct buf *out)
{
    if (plan->is_vouched && plan->host_count > 0)
        buf_put(out, STR("vouched "));
    if (plan->is_enforced)
        buf_put(out, STR("enforced "));
    for (size_t i = 0; i < plan->host_count; i++) {
        if (i > 0)
            buf_put(out, STR("; "));
        write_host(&plan->hosts[i], out);
    }
    if (plan->host_count == 0)
        buf_putf(out, "%s %u.%u.%u", plan->is_temporary ? "temporary" : "permanent",
                 plan->enhanced.class, plan->enhanced.subject, plan->enhanced.detail);
}

/* One world: zone, policies, what we are. */
struct world {
    struct net_loop *loop;
    struct fixture *fixture;
    struct courier_sts *sts;
    struct ip_network allow;
    struct ip_address own;
    struct log log;
    struct courier_planner planner;
};

static void begin(struct world *world)
{
    struct courier_sts_options sts;

    *world = (struct world){.loop = net_loop_new(),
                            .log = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"}};
    world->fixture = fixture_new(world->loop, zone, ARRAY_LEN(zone));
    assert_true(ip_network_parse(STR("192.168.7.0/24"), &world->allow));
    assert_true(ip_address_parse(STR("8.8.9.9"), &world->own));
    sts = (struct courier_sts_options){
        .loop = world->loop, .dns = fixture_dns(world->fixture), .log = &world->log};
    world->sts = courier_sts_new(&sts);
    world->planner = (struct courier_planner){
        .loop = world->loop,
        .dns = fixture_dns(world->fixture),
        .sts = world->sts,
        .log = &world->log,
        .hostname = STR("mail.ours.test"),
        .own_addresses = &world->own,
        .own_address_count = 1,
        .allow = &world->allow,
        .allow_count = 1,
        .port = 25,
    };
}

static void end(struct world *world)
{
    courier_sts_free(&world->sts);
    fixture_free(&world->fixture);
    net_loop_free(&world->loop);
}

static void expect_plan(struct world *world, const char *rule, const struct courier_target *target,
                        const char *wanted)
{
    struct planned planned = {.loop = world->loop};
    struct buf text;

    courier_plan_start(&world->planner, target, on_plan, &planned);
    assert_null(planned.plan);
    net_loop_run(world->loop);
    buf_init(&text, SIZE_MAX);
    write_plan(planned.plan, &text);
    if (!str_equal(buf_str(&text), str_from_c(wanted)))
        fail_msg("%s: wanted \"%s\", made \"%.*s\"", rule, wanted, STR_ARG(buf_str(&text)));
    buf_free(&text);
    courier_plan_unref(&planned.plan);
}

static void what_the_dns_says(void **state)
{
    struct world world;

    (void)state;
    begin(&world);
    /* Several times: equal preferences come in any order. */
    for (size_t i = 0; i < 10 * ARRAY_LEN(plans); i++) {
        size_t row = i % ARRAY_LEN(plans);
        struct courier_target target = {.kind = plans[row].kind,
                                        .host = str_from_c(plans[row].host),
                                        .port = 2525,
                                        .is_trusted = plans[row].is_trusted};

        expect_plan(&world, plans[row].rule, &target, plans[row].plan);
    }
    end(&world);
}

static void what_a_policy_says(void **state)
{
    static const char text[] = "version: STSv1\nmode: enforce\nmx: mx1.one.test\nmax_age: 1000\n";
    struct courier_target target = {.kind = COURIER_TARGET_DOMAIN, .host = STR("one.test")};
    struct world world;

    (void)state;
    begin(&world);
    courier_sts_restore(world.sts, STR("one.test"), STR("1"), str_from_c(text), INT64_MAX, 0);
    expect_plan(&world, "one of two hosts", &target,
                "vouched enforced mx1.one.test 8.8.1.1; mx2.one.test 2600::2 8.8.1.2 8.8.1.3 out");
    courier_sts_restore(world.sts, STR("plain.test"), STR("1"), str_from_c(text), 1000, 2000);
    target.host = STR("plain.test");
    expect_plan(&world, "it has expired", &target, "plain.test 2600::1 192.88.10.1");
    end(&world);
}

/* Hosts of one preference share the load: each is first now and then. */
static void equal_preferences_are_shuffled(void **state)
{
    static const struct fixture_record equal[] = {
        {"equal.test", MX, DNS_OK, false, 10, "a.test"},
        {"equal.test", MX, DNS_OK, false, 10, "b.test"},
        {"a.test", A, DNS_OK, false, 0, "8.8.1.1"},
        {"b.test", A, DNS_OK, false, 0, "8.8.1.2"},
    };
    struct courier_target target = {.kind = COURIER_TARGET_DOMAIN, .host = STR("equal.test")};
    struct world world;
    size_t first_a = 0;

    (void)state;
    begin(&world);
    fixture_free(&world.fixture);
    world.fixture = fixture_new(world.loop, equal, ARRAY_LEN(equal));
    world.planner.dns = fixture_dns(world.fixture);
    courier_sts_free(&world.sts);
    world.sts = courier_sts_new(&(struct courier_sts_options){
        .loop = world.loop, .dns = world.planner.dns, .log = &world.log});
    world.planner.sts = world.sts;
    for (int i = 0; i < 100; i++) {
        struct planned planned = {.loop = world.loop};

        courier_plan_start(&world.planner, &target, on_plan, &planned);
        net_loop_run(world.loop);
        assert_int_equal(planned.plan->host_count, 2);
        first_a += str_equal(planned.plan->hosts[0].name, STR("a.test"));
        courier_plan_unref(&planned.plan);
    }
    assert_in_range(first_a, 20, 80);
    end(&world);
}

static void a_planning_can_be_given_up(void **state)
{
    struct courier_target target = {.kind = COURIER_TARGET_DOMAIN, .host = STR("one.test")};
    struct planned planned = {0};
    struct courier_planning *planning;
    struct world world;

    (void)state;
    begin(&world);
    planning = courier_plan_start(&world.planner, &target, on_plan, &planned);
    courier_plan_cancel(&planning);
    assert_null(planning);
    expect_plan(&world, "another goes on", &target,
                "mx1.one.test 8.8.1.1; mx2.one.test 2600::2 8.8.1.2 8.8.1.3");
    assert_null(planned.plan);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_dns_says),
        cmocka_unit_test(what_a_policy_says),
        cmocka_unit_test(equal_preferences_are_shuffled),
        cmocka_unit_test(a_planning_can_be_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
