/* How owners' own destinations take turns: others that hang, or are slow, are in nobody's way. */
#include "backup/mirror_fixture.h"

#include "net/run_for.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { OTHERS = 24, OTHERS_QUICK_MS = 60, OTHERS_SLOW_MS = 240 };

static struct id set_other(struct mirror_fixture *s, const char *secret)
{
    struct backup_own own = {.mailbox = id_random(),
                             .place = str_from_c(s->own_folder),
                             .region = STR("r"),
                             .key_id = STR("k"),
                             .secret = str_from_c(secret)};

    backup_mirrors_set(s->mirrors, &own);
    return own.mailbox;
}

static void limit_turns(struct mirror_fixture *s)
{
    static const struct backup_mirrors_limits limits = {.quick_ms = OTHERS_QUICK_MS,
                                                        .slow_ms = OTHERS_SLOW_MS};

    backup_mirrors_set_limits(s->mirrors, &limits);
}

static size_t failing(const struct mirror_fixture *s)
{
    struct backup_mirrors_count count;

    backup_mirrors_count(s->mirrors, &count);
    return count.failing;
}

/* However many there are: each is in the way once, for the time of a step. */
static void test_those_that_hang_are_in_nobodys_way(void **state)
{
    struct mirror_fixture *s = *state;
    int asked;

    limit_turns(s);
    for (int i = 0; i < OTHERS; i++)
        (void)set_other(s, "hangs");
    fixture_set_place(s, s->own_folder, "one");
    fixture_come(s, "log/0/1.seg", 500, 1);
    fixture_settle(s, "up to date");
    fixture_assert_same_lists(s);
    for (unsigned i = 2; i < 40; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "log/0/%u.seg", i);
        fixture_come(s, name, 10, i);
    }
    fixture_settle(s, "up to date");
    fixture_assert_same_lists(s);
    /* They take turns, put off for longer and longer; but for those whose places nobody wants. */
    while (failing(s) < OTHERS - MIRROR_PLACES)
        net_run_for(s->host.loop, 10);
    asked = s->asked;
    net_run_for(s->host.loop, 10 * OTHERS_SLOW_MS);
    assert_in_range(s->asked - asked, 1, 60);
}

/* What takes longer than its turn is not given up while nobody wants its place. */
static void test_a_slow_one(void **state)
{
    struct mirror_fixture *s = *state;

    limit_turns(s);
    s->delay_ms = 2 * OTHERS_SLOW_MS;
    fixture_set_place(s, s->own_folder, "slow");
    fixture_settle(s, "up to date");
    fixture_come(s, "log/0/1.seg", 500, 1);
    fixture_come(s, "log/0/2.seg", 500, 1);
    for (int i = 0; i < 2 * MIRROR_PLACES - 2; i++)
        (void)set_other(s, "hangs");
    fixture_settle(s, "up to date");
    fixture_assert_same_lists(s);
    assert_int_equal(failing(s), 0);
    assert_int_equal(s->slow_answers, 3);
}

/* It has its time among those that hang, and gets on in it. */
static void test_a_slow_one_among_those_that_hang(void **state)
{
    struct mirror_fixture *s = *state;

    limit_turns(s);
    s->delay_ms = OTHERS_QUICK_MS * 3 / 2;
    for (int i = 0; i < OTHERS; i++)
        (void)set_other(s, "hangs");
    fixture_come(s, "log/0/1.seg", 500, 1);
    fixture_come(s, "log/0/2.seg", 500, 1);
    fixture_come(s, "log/0/3.seg", 500, 1);
    fixture_set_place(s, s->own_folder, "slow");
    while (fixture_get(&s->own, fixture_name_of(s, "log/0/3.seg")) != ERR_OK)
        net_run_for(s->host.loop, 10);
    fixture_assert_same_lists(s);
}

/* Those that take just less than what is too long have no more time than others: turn about, they
 * would copy DAWDLERS objects while another copies one. */
static void test_those_that_dawdle(void **state)
{
    enum { DAWDLERS = 8, OBJECTS = 60 };
    struct mirror_fixture *s = *state;
    struct id first = s->mailbox;
    unsigned before;

    limit_turns(s);
    s->delay_ms = OTHERS_QUICK_MS * 2 / 3;
    for (int i = 0; i < DAWDLERS; i++) {
        s->mailbox = id_random();
        for (unsigned n = 0; n < 40; n++) {
            char name[32];

            (void)snprintf(name, sizeof(name), "log/0/%u.seg", n);
            fixture_come(s, name, 10, n);
        }
        fixture_set_place(s, s->own_folder, "slow");
    }
    s->mailbox = first;
    net_run_for(s->host.loop, 4 * OTHERS_QUICK_MS);
    for (unsigned n = 0; n < OBJECTS; n++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "log/0/%u.seg", n);
        fixture_come(s, name, 10, n);
    }
    before = s->slow_answers;
    fixture_set_place(s, s->own_folder, "one");
    fixture_settle(s, "up to date");
    fixture_assert_same_lists(s);
    assert_in_range(s->slow_answers - before, 0, DAWDLERS * OBJECTS / 2);
}

/* The same of those whose objects come one by one, each too slow for its place: they begin anew
 * each time, and would come before whoever has used any time at all. */
static void test_those_that_are_slow_anew_each_time(void **state)
{
    enum { DAWDLERS = 10, OBJECTS = 20 };
    struct mirror_fixture *s = *state;
    struct id first = s->mailbox, dawdlers[DAWDLERS];
    bool has_come = false;
    char name[32];

    fixture_set_place(s, s->own_folder, "one");
    fixture_settle(s, "up to date");
    for (int i = 0; i < DAWDLERS; i++) {
        s->mailbox = dawdlers[i] = id_random();
        fixture_set_place(s, s->own_folder, "slow");
        fixture_settle(s, "up to date");
    }
    limit_turns(s);
    s->delay_ms = OTHERS_QUICK_MS * 5 / 4;
    s->slow_answers = 0;
    for (unsigned next = 0; !has_come || !fixture_is_in_state(s, "up to date");
         net_run_for(s->host.loop, 5)) {
        for (int i = 0; i < DAWDLERS; i++) {
            s->mailbox = dawdlers[i];
            (void)snprintf(name, sizeof(name), "log/0/%u.seg", next++);
            if (fixture_is_in_state(s, "up to date"))
                fixture_come(s, name, 10, next);
        }
        s->mailbox = first;
        for (unsigned n = 0; !has_come && s->slow_answers > 0 && n < OBJECTS; n++) {
            (void)snprintf(name, sizeof(name), "log/1/%u.seg", n);
            fixture_come(s, name, 10, n);
        }
        has_come = has_come || s->slow_answers > 0;
        assert_in_range(s->slow_answers, 0, 10 * OBJECTS);
    }
    fixture_assert_same_lists(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_those_that_hang_are_in_nobodys_way), FIXTURE_TEST(test_a_slow_one),
        FIXTURE_TEST(test_a_slow_one_among_those_that_hang),   FIXTURE_TEST(test_those_that_dawdle),
        FIXTURE_TEST(test_those_that_are_slow_anew_each_time),
    };

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
