/* Rows that are asked for come into the kernel's memory, and what reads them then finds the same.
 */
#include "vault/fixture.h"

#include "sqlite/read_around.h"
#include "vault/ahead.h"
#include "vault/index.h"
#include "vault/segment_ahead.h"

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

/* --- The index --- */

enum { SEGMENTS = 16, PAGES_MAX = 2 * SEGMENTS, WORDS_EACH = 40 };

/* Where a word stands in each segment: the pages of its blocks, and of its postings. */
struct places {
    uint32_t pages[PAGES_MAX];
    size_t count;
};

static void on_place(void *owner, const uint32_t *pages, size_t count)
{
    struct places *places = owner;

    if (count > 0) /* the last level of each is what is wanted */
        places->pages[places->count] = pages[0];
}

static void add_place(struct fixture *f, const char *table, const struct segment *segment,
                      int64_t number, struct places *places)
{
    struct db_keys row = {segment_key(segment, number), segment_key(segment, number)};

    assert_true(places->count < PAGES_MAX);
    assert_int_equal(db_find_leaves(f->vault->db, &f->task, table, &row, 1, on_place, places),
                     ERR_OK);
    places->count++;
}

static void find_places(struct fixture *f, struct segment_cursor *cursors, size_t count,
                        struct str prefix, const char *word, struct places *places)
{
    char room[TERM_BYTES_MAX + 16];
    struct str term = str_make(room, prefix.len + strlen(word));
    bool has_entry;

    memcpy(room, prefix.ptr, prefix.len);
    memcpy(room + prefix.len, word, strlen(word));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(segment_cursor_seek(&cursors[i], &f->task, term), ERR_OK);
        assert_int_equal(segment_cursor_next(&cursors[i], &f->task, &has_entry), ERR_OK);
        assert_true(has_entry && str_equal(segment_cursor_term(&cursors[i]), term));
        assert_true(cursors[i].postings_len > 0);
        add_place(f, "word_terms", &cursors[i].segment, cursors[i].block_number, places);
        add_place(f, "word_postings", &cursors[i].segment,
                  (int64_t)(cursors[i].postings_at / SEGMENT_ROW_BYTES), places);
    }
}

static size_t open_cursors(struct fixture *f, struct segment_cursor cursors[static SEGMENTS])
{
    struct segment *segments;
    size_t count;

    assert_int_equal(index_segments(f->vault, &f->task, &segments, &count), ERR_OK);
    assert_in_range(count, 2, SEGMENTS);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(segment_cursor_open(&cursors[i], f->vault, &f->task, &segments[i]),
                         ERR_OK);
    return count;
}

static void close_cursors(struct segment_cursor *cursors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        segment_cursor_close(&cursors[i]);
}

/* A blank and eight letters, none of them a hexadecimal digit. */
static void put_word(char *out, uint32_t number)
{
    *out = ' ';
    for (int i = 0; i < 8; i++)
        out[1 + i] = (char)('g' + (number * 2654435761U >> 4 * i & 15));
    out[9] = '\0';
}

/* One word that all have, among so many others that each segment has many blocks of them. */
static void fill_with_words(struct fixture *f)
{
    char subject[sizeof("meeting") + WORDS_EACH * 9] = "meeting";

    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        for (uint32_t k = 0; k < WORDS_EACH; k++)
            put_word(subject + strlen("meeting") + k * 9, i * WORDS_EACH + k);
        fixture_append(f, f->inbox, fixture_message(f, subject), 0);
    }
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
    fixture_housekeep(f, 0);
}

/* Asks for what is looked for, and waits for what that must have brought. */
static void check_words_come(struct fixture *f, struct str prefix, struct str text, bool is_part,
                             const uint32_t *pages, size_t step, size_t count)
{
    struct segment_cursor cursors[SEGMENTS];
    size_t cursor_count = open_cursors(f, cursors), cold = 0;
    struct segment_word word = {
        .prefixes = &prefix, .prefix_count = 1, .text = text, .is_part = is_part};

    for (size_t i = 0; i < count; i += step)
        cold += !is_in_memory(f->vault->lock_fd, pages[i]);
    assert_true(cold > 0);
    segments_ask_ahead(cursors, cursor_count, &f->task, &word);
    for (size_t i = 0; i < count; i += step)
        wait_for(f->vault->lock_fd, pages[i]);
    close_cursors(cursors, cursor_count);
}

/* A word, and a part of one, with its postings; of a part that any block may have, the blocks. */
static void test_words_come(void **state)
{
    struct fixture *f = *state;
    struct segment_cursor cursors[SEGMENTS];
    char room[TERM_BYTES_MAX];
    struct str prefix = words_prefix(WORDS_BODY, STR(""), room);
    struct places places = {.count = 0};
    size_t count;

    fill_with_words(f);
    count = open_cursors(f, cursors);
    find_places(f, cursors, count, prefix, "MEETING", &places);
    close_cursors(cursors, count);
    assert_true(places.count >= 4);
    if (!forget(f))
        skip();
    check_words_come(f, prefix, STR("MEETING"), false, places.pages, 1, places.count);
    assert_true(forget(f));
    check_words_come(f, prefix, STR("EETIN"), true, places.pages, 1, places.count);
    assert_true(forget(f));
    check_words_come(f, prefix, STR("EET"), true, places.pages, 2, places.count);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {TEST(test_rows_come), TEST(test_search),
                                       TEST(test_words_come)};
    const char *parent = getenv("TMPDIR");

    /* On a disk, not in memory. */
    assert_int_equal(setenv("SEALPOST_TMPFS", parent == NULL ? "/tmp" : parent, 1), 0);
    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
