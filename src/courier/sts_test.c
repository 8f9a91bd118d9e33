/* What is remembered, without a way to fetch anything; fetching is tried in tests/outbound/. */
#include "courier/sts.h"

#include "courier/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define TXT DNS_TYPE_TXT
#define ENFORCE "version: STSv1\nmode: enforce\nmx: mx.test\nmax_age: 1000\n"

static const struct fixture_record zone[] = {
    {"_mta-sts.same.test", TXT, DNS_OK, false, 0, "v=STSv1; id=1;"},
    {"_mta-sts.new.test", TXT, DNS_OK, false, 0, "v=STSv1; id=2;"},
    {"_mta-sts.sick.test", TXT, DNS_FAILED, false, 0, NULL},
    {"_mta-sts.two.test", TXT, DNS_OK, false, 0, "v=STSv1; id=1;"},
    {"_mta-sts.two.test", TXT, DNS_OK, false, 0, "v=STSv1; id=3;"},
};

struct world {
    struct net_loop *loop;
    struct fixture *fixture;
    struct courier_sts *sts;
    struct log log;
    bool is_answered, has_policy;
    enum courier_sts_mode mode;
};

static void begin(struct world *world)
{
    struct courier_sts_options options;

    *world = (struct world){.loop = net_loop_new(),
                            .log = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"}};
    world->fixture = fixture_new(world->loop, zone, ARRAY_LEN(zone));
    options = (struct courier_sts_options){
        .loop = world->loop, .dns = fixture_dns(world->fixture), .log = &world->log};
    world->sts = courier_sts_new(&options);
}

static void end(struct world *world)
{
    courier_sts_free(&world->sts);
    fixture_free(&world->fixture);
    net_loop_free(&world->loop);
}

static void on_policy(void *owner, const struct courier_sts_policy *policy)
{
    struct world *world = owner;

    world->is_answered = true;
    world->has_policy = policy != NULL;
    if (policy != NULL)
        world->mode = policy->mode;
    net_loop_stop(world->loop);
}

static const struct {
    const char *rule, *domain;
    const char *text; /* NULL: nothing is known */
    int64_t expires_ms;
    bool holds;
} rows[] = {
    {"nothing is known", "same.test", NULL, 0, false},
    {"nothing is known, and the DNS is sick", "sick.test", NULL, 0, false},
    {"what is known is what there is", "same.test", ENFORCE, INT64_MAX, true},
    {"a new one cannot be fetched: the old one holds", "new.test", ENFORCE, INT64_MAX, true},
    {"the DNS is sick: it holds", "sick.test", ENFORCE, INT64_MAX, true},
    {"the record is gone: it holds", "gone.test", ENFORCE, INT64_MAX, true},
    {"there are two: it holds", "two.test", ENFORCE, INT64_MAX, true},
    {"it has expired", "same.test", ENFORCE, 1, false},
    {"it says that there is none", "same.test", "version: STSv1\nmode: none\nmax_age: 1000\n",
     INT64_MAX, false},
    {"it does not read", "same.test", "version: STSv9\n", INT64_MAX, false},
};

static void what_is_known_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world world;

        begin(&world);
        if (rows[i].text != NULL)
            courier_sts_restore(world.sts, str_from_c(rows[i].domain), STR("1"),
                                str_from_c(rows[i].text), rows[i].expires_ms, 0);
        courier_sts_ask(world.sts, str_from_c(rows[i].domain), on_policy, &world);
        assert_false(world.is_answered);
        net_loop_run(world.loop);
        if (world.has_policy != rows[i].holds)
            fail_msg("%s", rows[i].rule);
        if (rows[i].holds)
            assert_int_equal(world.mode, COURIER_STS_ENFORCE);
        end(&world);
    }
}

static void a_question_can_be_given_up(void **state)
{
    struct courier_sts_question *question, *other;
    struct world world;

    (void)state;
    begin(&world);
    question = courier_sts_ask(world.sts, STR("same.test"), on_policy, &world);
    other = courier_sts_ask(world.sts, STR("new.test"), on_policy, &world);
    courier_sts_cancel(&question);
    assert_null(question);
    courier_sts_cancel(&question);
    (void)other; /* goes with the rest */
    end(&world);
    assert_false(world.is_answered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_holds),
        cmocka_unit_test(a_question_can_be_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
