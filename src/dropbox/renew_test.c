/* A lane and its generations: when a new one begins, and what is left of the old ones. */
#include "dropbox/fixture.h"

#include "dropbox/faults.h"
#include "dropbox/lane.h"
#include "vault/dropkeys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The old root goes when nothing needs it any more. */
static void test_old_roots_are_forgotten(void **state)
{
    struct fixture *f = *state;
    struct dropbox_owner owner = fixture_owner(f);
    struct vault_lane_root root = {.generation = 0};
    struct lane lane;
    uint64_t imported;

    assert_int_equal(fixture_deliver(f, 3), ERR_OK);
    sealing_release(f->sealing, &f->mailbox);
    assert_int_equal(dropbox_renew(&owner, &f->task), ERR_OK); /* with records waiting */
    assert_int_equal(lane_open(&f->task, f->drop, &lane), ERR_OK);
    assert_true(lane.place.generation == 2 && lane.place.boot == 1);
    assert_int_equal(vault_lane_root_get(f->vault, &f->task, lane.place.lane, 1, &root), ERR_OK);
    vault_lane_root_done(&root);
    assert_int_equal(fixture_deliver(f, 3), ERR_OK);
    assert_int_equal(fixture_take_over(f, true, &imported), ERR_OK);
    assert_true(imported == 6 && fixture_check(f) == 0);
    for (uint64_t generation = 1; generation <= 2; generation++)
        assert_int_equal(
            vault_lane_root_get(f->vault, &f->task, lane.place.lane, generation, &root),
            ERR_NOT_FOUND);
    task_forgive(&f->task);
    assert_int_equal(vault_lane_root_get(f->vault, &f->task, lane.place.lane, 3, &root), ERR_OK);
    vault_lane_root_done(&root);
    lane_close(&lane);
}

static uint64_t generation_after(struct fixture *f,
                                 enum err (*turn)(const struct dropbox_owner *, struct task *))
{
    struct dropbox_owner owner = fixture_owner(f);
    uint64_t generation;
    struct lane lane;

    assert_int_equal(turn(&owner, &f->task), ERR_OK);
    assert_int_equal(lane_open(&f->task, f->drop, &lane), ERR_OK);
    generation = lane.place.generation;
    lane_close(&lane);
    return generation;
}

static enum err stay(const struct dropbox_owner *owner, struct task *task)
{
    return dropbox_renew_if_due(owner, task, DROPBOX_AGE_IN_SESSION_MS);
}

/* At a login at most hourly, in a session daily; and a clock that is wrong holds nothing off. */
static void test_when_a_generation_is_due(void **state)
{
    struct fixture *f = *state;
    static const int64_t hour = 60 * 60 * 1000, day = 24 * hour;

    assert_int_equal(generation_after(f, fixture_login), 1);
    f->task.now_ms += hour - 1;
    assert_int_equal(generation_after(f, fixture_login), 1);
    f->task.now_ms += 1;
    assert_int_equal(generation_after(f, stay), 1);
    assert_int_equal(generation_after(f, fixture_login), 2);
    f->task.now_ms += day - 1;
    assert_int_equal(generation_after(f, stay), 2);
    f->task.now_ms += 1;
    assert_int_equal(generation_after(f, stay), 3);
    f->task.now_ms -= 1; /* from the future */
    assert_int_equal(generation_after(f, fixture_login), 4);
    f->task.now_ms -= 100 * day;
    assert_int_equal(generation_after(f, stay), 5);
    assert_int_equal(generation_after(f, fixture_login), 5);

    /* With mail in between, which is taken over all the same; another boot, the same generation. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_deliver(f, 2), ERR_OK);
        sealing_release(f->sealing, &f->mailbox);
        assert_int_equal(generation_after(f, fixture_login), 5);
        assert_true(fixture_check(f) == 0 && !fixture_has_drop_file(f));
    }
}

/* Of root and lane file one may be ahead after a failure; the next login makes them meet. */
static void test_a_renewal_that_failed(void **state)
{
    struct fixture *f = *state;
    size_t failed = 0;

    for (long at = 1; at <= 16; at++) {
        struct dropbox_owner owner = fixture_owner(f);
        uint64_t generation;
        struct lane lane;

        faults_set(FAULTS_EIO, at, true);
        failed += dropbox_renew(&owner, &f->task) != ERR_OK;
        faults_clear();
        fixture_reopen_vault(f);
        owner = fixture_owner(f);
        assert_int_equal(fixture_deliver(f, 1), ERR_OK);
        sealing_release(f->sealing, &f->mailbox);
        assert_int_equal(fixture_login(&owner, &f->task), ERR_OK);
        assert_int_equal(lane_open(&f->task, f->drop, &lane), ERR_OK);
        assert_int_equal(vault_lane_generation(f->vault, &f->task, lane.place.lane, &generation),
                         ERR_OK);
        assert_true(lane.slot >= 0 && lane.place.generation == generation);
        lane_close(&lane);
        assert_true(fixture_check(f) == 0);
    }
    assert_true(failed > 4);
}

/* A chain that goes on over a closed file notices that the owner was there and renewed the lane. */
static void test_a_chain_outlived_by_its_lane(void **state)
{
    struct fixture *f = *state;

    for (int round = 0; round < 3; round++) {
        struct dropbox_owner owner = fixture_owner(f);
        uint64_t imported;

        assert_int_equal(fixture_deliver(f, 1), ERR_OK);
        faults_set(FAULTS_EIO, 1, false); /* closes the file and keeps the chain */
        assert_int_not_equal(fixture_deliver(f, 1), ERR_OK);
        faults_clear();
        f->task.now_ms += DROPBOX_AGE_AT_LOGIN_MS;
        assert_int_equal(fixture_login(&owner, &f->task), ERR_OK);
        assert_int_equal(fixture_deliver(f, 2), ERR_OK);
        sealing_release(f->sealing, &f->mailbox);
        assert_int_equal(dropbox_take_over(&owner, &f->task, &imported), ERR_OK);
        assert_true(imported == 2 && fixture_check(f) == 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_old_roots_are_forgotten),
        TEST(test_when_a_generation_is_due),
        TEST(test_a_renewal_that_failed),
        TEST(test_a_chain_outlived_by_its_lane),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
