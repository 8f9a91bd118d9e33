/* Damaged drop files: set aside, told of once, and taken over when they open again. */
#include "dropbox/fixture.h"

#include "dropbox/damaged.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

/* Changes one byte of the drop file, or of the one set aside; the second time it is as it was. */
static void flip_byte(struct fixture *f, const char *name, off_t at)
{
    int fd = open(fixture_path(f, name), O_RDWR);
    unsigned char byte;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x5a;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

/* The one file that was set aside; NULL: none. */
static const char *damaged_name(struct fixture *f)
{
    const char **names;
    size_t count;

    assert_int_equal(damaged_list(&f->task, f->drop, &f->mailbox, &names, &count), ERR_OK);
    assert_true(count <= 1);
    return count == 1 ? names[0] : NULL;
}

static void set_acknowledged(struct fixture *f, uint32_t first, uint32_t count, bool is)
{
    for (uint32_t i = 0; i < count; i++)
        f->shared->is_acknowledged[first + i] = is;
}

/* A file that does not open blocks no mail, is kept, told of once, and taken over when it opens. */
static void test_a_damaged_file_is_set_aside(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        off_t at;
        bool sealer_first; /* new mail finds the damage, else the owner does */
    } rows[] = {
        {"the salt", 3, true},
        {"the salt, at the login", 3, false},
        {"the page size", 16, true},
        {"the page size, at the login", 16, false},
        {"the first page", 200, true},
        {"the first page, at the login", 200, false},
        {"a page inside", 5 * 4096 + 100, true},
        {"a page inside, at the login", 5 * 4096 + 100, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture *f = fixture_new();
        uint64_t imported = 0, rescued;
        size_t notices;

        assert_int_equal(fixture_deliver(f, 20), ERR_OK);
        sealing_release(f->sealing, &f->mailbox);
        flip_byte(f, fixture_drop_name(f), rows[i].at);
        if (rows[i].sealer_first) {
            assert_int_equal(fixture_deliver(f, 2), ERR_OK);
            assert_int_equal(fixture_deliver(f, 1), ERR_OK);
        }
        set_acknowledged(f, 0, 20, false);
        f->task.now_ms += DROPBOX_AGE_AT_LOGIN_MS;
        assert_int_equal(fixture_take_over(f, true, &imported), ERR_OK);
        rescued = imported - (rows[i].sealer_first ? 3 : 0);
        assert_true(rescued < 20);
        assert_non_null(damaged_name(f));
        assert_false(fixture_has_drop_file(f));
        notices = fixture_check(f);
        if (notices != 1)
            fail_msg("%s: %zu notices", rows[i].name, notices);
        for (int login = 0; login < 3; login++) { /* renewed, and not told again */
            assert_int_equal(fixture_deliver(f, 1), ERR_OK);
            f->task.now_ms += DROPBOX_AGE_AT_LOGIN_MS;
            assert_int_equal(fixture_take_over(f, true, &imported), ERR_OK);
            assert_true(imported == 1 && fixture_check(f) == 1);
        }
        flip_byte(f, damaged_name(f), rows[i].at); /* mended */
        set_acknowledged(f, 0, 20, true);
        assert_int_equal(fixture_take_over(f, true, &imported), ERR_OK);
        assert_true(imported == 20 - rescued && fixture_check(f) == 1);
        assert_null(damaged_name(f));
        fixture_free(&f);
    }
}

/* Damage in the index, which opening does not meet: one delivery fails, the next has a new file. */
static void test_damage_that_a_delivery_meets(void **state)
{
    struct fixture *f = *state;
    static const off_t in_index = 2 * 4096 + 100;
    uint64_t imported;

    assert_int_equal(fixture_deliver(f, 20), ERR_OK);
    sealing_release(f->sealing, &f->mailbox);
    flip_byte(f, fixture_drop_name(f), in_index);
    assert_int_equal(fixture_deliver(f, 2), ERR_IO);
    assert_int_equal(fixture_deliver(f, 2), ERR_OK);
    assert_non_null(damaged_name(f));
    flip_byte(f, damaged_name(f), in_index);
    assert_int_equal(fixture_take_over(f, true, &imported), ERR_OK);
    assert_true(imported == 22 && fixture_check(f) == 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_damaged_file_is_set_aside),
        TEST(test_damage_that_a_delivery_meets),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
