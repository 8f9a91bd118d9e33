/* Rows that are asked for come into the kernel's memory, and what reads them then finds the same.
 */
#include "vault/fixture.h"

#include "sqlite/read_around.h"
#include "vault/ahead.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MESSAGES = 1200, PAGE_BYTES = 4096, TRIES = 20000 };

/* Looked at without a read, which would bring it. */
static bool is_in_memory(int fd, uint32_t page)
{
    off_t offset = ((off_t)page - 1) * PAGE_BYTES;
    void *place = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, fd, offset);
    unsigned char state = 0;

    assert_true(place != MAP_FAILED);
    assert_int_equal(mincore(place, PAGE_BYTES, &state), 0);
    assert_int_equal(munmap(place, PAGE_BYTES), 0);
    return (state & 1) != 0;
}

struct leaves {
    uint32_t pages[DB_LEAVES_MAX];
    size_t count;
};

static void on_pages(void *owner, const uint32_t *pages, size_t count)
{
    struct leaves *leaves = owner;

    memcpy(leaves->pages, pages, count * sizeof(*pages));
    leaves->count = count;
}

static struct db_keys rows_of(const struct fixture *f)
{
    return (struct db_keys){message_key(f->inbox, 1), message_key(f->inbox, UINT32_MAX)};
}

/* Between others' contents, so that the rows lie apart. */
static void fill(struct fixture *f)
{
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    for (int i = 0; i < MESSAGES; i++)
        fixture_append(f, f->inbox, fixture_message(f, i % 100 == 7 ? "quillwort" : "meeting"), 0);
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
    fixture_housekeep(f, 0);
}

/* The kernel lets go of the file. False: here it does not (files in memory, for one). */
static bool forget(struct fixture *f)
{
    static struct leaves leaves;
    struct db_keys rows = rows_of(f);

    fixture_reopen(f);
    assert_int_equal(db_find_leaves(f->vault->db, &f->task, "message", &rows, 1, on_pages, &leaves),
                     ERR_OK);
    assert_true(leaves.count > 10);
    assert_int_equal(fsync(f->vault->lock_fd), 0);
    assert_int_equal(posix_fadvise(f->vault->lock_fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    return !is_in_memory(f->vault->lock_fd, leaves.pages[leaves.count / 2]);
}

/* It takes the disk's time. */
static void wait_for(int fd, uint32_t page)
{
    const struct timespec pause = {0, 1000000};

    for (int i = 0; i < TRIES && !is_in_memory(fd, page); i++)
        nanosleep(&pause, NULL);
    assert_true(is_in_memory(fd, page));
}

static void test_rows_come(void **state)
{
    static struct leaves leaves;
    struct fixture *f = *state;
    struct db_keys rows = rows_of(f);
    bool is_cold;

    fill(f);
    if (!forget(f))
        skip();
    ahead_of_rows(f->vault, &f->task, "message", &rows, 1, AHEAD_PAGE, &is_cold);
    assert_true(is_cold);
    assert_int_equal(db_find_leaves(f->vault->db, &f->task, "message", &rows, 1, on_pages, &leaves),
                     ERR_OK);
    for (size_t i = 0; i < leaves.count; i++)
        wait_for(f->vault->lock_fd, leaves.pages[i]);
    ahead_of_rows(f->vault, &f->task, "message", &rows, 1, AHEAD_PAGE, &is_cold);
    assert_false(is_cold);
}

/* A search in a cold file, in all its steps, finds what one in a warm file does. */
static void test_search(void **state)
{
    struct fixture *f = *state;
    struct vault_candidates found;
    struct vault_uid_flags *list;
    size_t count;

    fill(f);
    (void)forget(f);
    assert_int_equal(vault_message_list(f->vault, &f->task, f->inbox, &list, &count), ERR_OK);
    assert_int_equal(count, MESSAGES);
    assert_int_equal(vault_search_candidates(f->vault, &f->task, f->inbox, VAULT_SEARCH_TEXT,
                                             STR(""), STR("uillwor"), NULL, 0, &found),
                     ERR_OK);
    assert_int_equal(found.count, MESSAGES / 100);
    assert_int_equal(found.uids[0], 8);
    f->vault->misses = read_around_misses() + 1; /* something was missing since */
    assert_int_equal(vault_search_ahead(f->vault, &f->task, f->inbox, found.uids, found.count),
                     ERR_OK);
    assert_non_null(strstr(fixture_read(f, f->inbox, found.uids[3]).ptr, "quillwort"));
    /* Messages that are not there. */
    found.uids[0] = UINT32_MAX;
    f->vault->misses = read_around_misses() + 1;
    assert_int_equal(vault_search_ahead(f->vault, &f->task, f->inbox, found.uids, 1), ERR_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {TEST(test_rows_come), TEST(test_search)};
    const char *parent = getenv("TMPDIR");

    /* On a disk, not in memory. */
    assert_int_equal(setenv("SEALPOST_TMPFS", parent == NULL ? "/tmp" : parent, 1), 0);
    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
