/* What mailbox processes ask of the archivist, by way of the store. */
#include "store/fixture.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void put_backup(struct fixture *f, const struct id *mailbox, uint64_t tag, bool with_fd)
{
    struct wire_backup_put body = {
        .mailbox = *mailbox, .name = STR("full/x"), .digest = STR("0123")};

    fixture_send(&f->box, WIRE_BACKUP_PUT, tag, &body, with_fd);
    fixture_turn(f);
}

/* To LIVE; what its process was sent so far is forgotten. */
static void make_live(struct fixture *f)
{
    fixture_make_live(f);
    fd_close(&f->box.seen[0].fd);
    f->box.seen_count = 0;
}

static void test_a_process_names_its_own_backups_only(void **state)
{
    struct fixture *f = *state;
    struct id other = id_random(), none = {""};

    make_live(f);
    put_backup(f, &other, 5, true);
    fixture_expect(&f->box, WIRE_BACKUP_PUT_REPLY, 1);
    assert_int_equal(f->box.seen[0].status, WIRE_DENIED);
    put_backup(f, &none, 6, true);
    assert_int_equal(f->box.seen[1].status, WIRE_DENIED);
    put_backup(f, &f->mailbox, 7, false);
    assert_int_equal(f->box.seen[2].status, WIRE_UNAVAILABLE);
    assert_int_equal(f->archivist.seen_count, 0);
}

static void test_backups_go_to_the_archivist_and_answers_back(void **state)
{
    struct fixture *f = *state;
    struct wire_backup_put_reply reply = {.mailbox = f->mailbox, .status = WIRE_DISK_FULL};
    struct wire_backup_get get = {.mailbox = f->mailbox, .name = STR("full/x")};
    struct wire_backup_get_reply got = {.status = WIRE_OK};

    make_live(f);
    put_backup(f, &f->mailbox, 5, true);
    fixture_expect(&f->archivist, WIRE_BACKUP_PUT, 1);
    assert_true(f->archivist.seen[0].fd >= 0);
    /* Only the archivist is heard. */
    fixture_send(&f->archivist, WIRE_BACKUP_PUT_REPLY, f->archivist.seen[0].tag + 100, &reply,
                 false);
    fixture_send(&f->archivist, WIRE_BACKUP_PUT_REPLY, f->archivist.seen[0].tag, &reply, false);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_BACKUP_PUT_REPLY, 1);
    assert_int_equal(f->box.seen[0].tag, 5);
    assert_int_equal(f->box.seen[0].status, WIRE_DISK_FULL);
    fixture_send(&f->box, WIRE_BACKUP_GET, 8, &get, false);
    fixture_turn(f);
    fixture_expect(&f->archivist, WIRE_BACKUP_GET, 2);
    fixture_send(&f->archivist, WIRE_BACKUP_GET_REPLY, f->archivist.seen[1].tag, &got, true);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_BACKUP_GET_REPLY, 2);
    assert_int_equal(f->box.seen[1].tag, 8);
    assert_true(f->box.seen[1].fd >= 0);
}

static void test_backups_when_one_side_goes(void **state)
{
    struct fixture *f = *state;
    struct wire_backup_put_reply reply = {.status = WIRE_OK};

    make_live(f);
    put_backup(f, &f->mailbox, 5, true);
    store_set_peer(f->store, WIRE_ROLE_ARCHIVIST, NULL);
    fixture_turn(f);
    fixture_expect(&f->box, WIRE_BACKUP_PUT_REPLY, 1);
    assert_int_equal(f->box.seen[0].status, WIRE_UNAVAILABLE);
    put_backup(f, &f->mailbox, 6, true);
    assert_int_equal(f->box.seen[1].status, WIRE_UNAVAILABLE);
    store_set_peer(f->store, WIRE_ROLE_ARCHIVIST, f->archivist.near);
    put_backup(f, &f->mailbox, 7, true);
    fixture_end_process(f);
    /* Nobody is there to hear it. */
    fixture_send(&f->archivist, WIRE_BACKUP_PUT_REPLY, f->archivist.seen[1].tag, &reply, false);
    fixture_turn(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_process_names_its_own_backups_only),
        TEST(test_backups_go_to_the_archivist_and_answers_back),
        TEST(test_backups_when_one_side_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
