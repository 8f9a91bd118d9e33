/* Lane roots, imported records, quarantine. */
#include "vault/fixture.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const unsigned char lane_a[VAULT_LANE_BYTES] = "lane a lane a la";
static const unsigned char lane_b[VAULT_LANE_BYTES] = "lane b lane b la";

static void add(struct fixture *f, const unsigned char *lane, uint64_t generation, char fill)
{
    struct vault_lane_root root = {.generation = generation};

    memcpy(root.lane, lane, sizeof(root.lane));
    root.boot_key_1 = secret_new(32);
    root.x25519_secret = secret_new(32);
    memset(secret_bytes(root.boot_key_1), fill, 32);
    memset(secret_bytes(root.x25519_secret), fill + 1, 32);
    assert_int_equal(vault_lane_root_add(f->vault, &f->task, &root), ERR_OK);
    vault_lane_root_done(&root);
    vault_lane_root_done(&root);
}

static void test_roots(void **state)
{
    struct fixture *f = *state;
    struct vault_lane_root root = {0};
    uint64_t generation;
    int64_t first_ms = f->task.now_ms, created_ms;

    assert_int_equal(vault_lane_generation(f->vault, &f->task, lane_a, &generation), ERR_OK);
    assert_int_equal(generation, 0);
    add(f, lane_a, 1, 'a');
    f->task.now_ms += 1234;
    add(f, lane_a, 2, 'c');
    add(f, lane_b, 7, 'e');
    fixture_reopen(f);
    assert_int_equal(vault_lane_generation(f->vault, &f->task, lane_a, &generation), ERR_OK);
    assert_int_equal(generation, 2);
    assert_int_equal(vault_lane_root_created(f->vault, &f->task, lane_a, 1, &created_ms), ERR_OK);
    assert_true(created_ms == first_ms);
    assert_int_equal(vault_lane_root_created(f->vault, &f->task, lane_a, 2, &created_ms), ERR_OK);
    assert_true(created_ms == first_ms + 1234);
    assert_int_equal(vault_lane_root_created(f->vault, &f->task, lane_a, 3, &created_ms),
                     ERR_NOT_FOUND);
    task_forgive(&f->task);
    assert_int_equal(vault_lane_root_get(f->vault, &f->task, lane_a, 2, &root), ERR_OK);
    assert_int_equal(root.generation, 2);
    assert_memory_equal(root.lane, lane_a, sizeof(lane_a));
    assert_int_equal(secret_bytes(root.boot_key_1)[31], 'c');
    assert_int_equal(secret_bytes(root.x25519_secret)[0], 'd');
    vault_lane_root_done(&root);
    assert_int_equal(vault_lane_root_forget(f->vault, &f->task, lane_a, 2), ERR_OK);
    assert_int_equal(vault_lane_root_get(f->vault, &f->task, lane_a, 1, &root), ERR_NOT_FOUND);
    task_forgive(&f->task);
    assert_int_equal(vault_lane_root_get(f->vault, &f->task, lane_a, 2, &root), ERR_OK);
    vault_lane_root_done(&root);
    assert_int_equal(vault_lane_root_get(f->vault, &f->task, lane_b, 7, &root), ERR_OK);
    vault_lane_root_done(&root);
    /* A generation is added once. */
    {
        struct vault_lane_root again = {.generation = 7};

        memcpy(again.lane, lane_b, sizeof(again.lane));
        again.boot_key_1 = secret_new(32);
        again.x25519_secret = secret_new(32);
        assert_int_equal(vault_lane_root_add(f->vault, &f->task, &again), ERR_EXISTS);
        task_forgive(&f->task);
        vault_lane_root_done(&again);
    }
}

static void test_import(void **state)
{
    struct fixture *f = *state;
    struct vault_append append = {.raw = fixture_message(f, "x"), .drop_record = id_random()};
    uint32_t uid;
    bool was;

    assert_int_equal(vault_drop_was_imported(f->vault, &f->task, &append.drop_record, &was),
                     ERR_OK);
    assert_false(was);
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_OK);
    fixture_reopen(f);
    assert_int_equal(vault_drop_was_imported(f->vault, &f->task, &append.drop_record, &was),
                     ERR_OK);
    assert_true(was);
    assert_int_equal(vault_message_append(f->vault, &f->task, f->inbox, &append, &uid), ERR_EXISTS);
    task_forgive(&f->task);
    assert_string_equal(fixture_uids(f, f->inbox), "1");
}

static void test_quarantine(void **state)
{
    struct fixture *f = *state;
    struct id record = id_random();

    for (int i = 0; i < 2; i++) /* the second time after a crash */
        assert_int_equal(vault_drop_quarantine(f->vault, &f->task, &record, STR("\0sealed\xff"),
                                               STR("does not open")),
                         ERR_OK);
    fixture_reopen(f);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM quarantine"), 1);
    assert_int_equal(fixture_ask(f, "SELECT length(bytes) FROM quarantine"), 8);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_roots),
        TEST(test_import),
        TEST(test_quarantine),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
