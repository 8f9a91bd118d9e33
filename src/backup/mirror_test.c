/* What is copied to owners' own destinations, and read from there. */
#include "backup/mirror_fixture.h"

#include "base/file.h"
#include "net/run_for.h"
#include "secret/hasher.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_what_was_there_and_what_comes(void **state)
{
    struct mirror_fixture *s = *state;

    fixture_come(s, "base/0.json", 10, 1);
    fixture_come(s, "base/0.sqlite", 100000, 2);
    fixture_come(s, "log/0/1.seg", 500, 3);
    assert_int_equal(s->opened, 0); /* there is none */
    fixture_set_place(s, s->own_folder, "one");
    assert_string_equal(s->seen_secret, "one");
    fixture_settle(s, "up to date");
    fixture_assert_same_lists(s);
    fixture_come(s, "log/0/2.seg", 500, 4);
    fixture_come(s, "full/1.sqlite", 3000000, 5);
    fixture_come(s, "full/1.json", 50, 6);
    fixture_settle(s, "up to date");
    fixture_assert_same_lists(s);
    assert_int_equal(fixture_get(&s->own, fixture_name_of(s, "full/1.sqlite")), ERR_OK);
    assert_true(fixture_is(&s->own, 3000000, 5));
    fixture_set_place(s, s->own_folder, "one"); /* the same: nothing begins anew */
    assert_int_equal(s->opened, 1);
}

static void test_a_manifest_is_copied_last(void **state)
{
    struct mirror_fixture *s = *state;

    fixture_come(s, "full/1.json", 50, 6);
    fixture_come(s, "full/1.sqlite", 100, 5);
    s->deny_after = 3; /* list, one put, and no more */
    fixture_set_place(s, s->own_folder, "one");
    fixture_settle(s, "failing");
    assert_int_equal(fixture_list(&s->own, s->mailbox.text, "", 1000), ERR_OK);
    assert_true(
        str_starts_with(buf_str(&s->own.names), str_from_c(fixture_name_of(s, "full/1.sqlite"))));
    assert_int_equal(s->own.names.len, strlen(fixture_name_of(s, "full/1.sqlite")) + 1);
}

static void test_one_that_is_away_comes_back(void **state)
{
    struct mirror_fixture *s = *state;
    struct backup_mirrors_count count;
    json_t *object = json_object();

    fixture_set_place(s, s->own_folder, "one");
    fixture_settle(s, "up to date");
    s->down = ERR_BUSY;
    fixture_come(s, "log/0/1.seg", 500, 1);
    fixture_settle(s, "failing");
    for (unsigned i = 2; i < 200; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "log/0/%u.seg", i);
        fixture_come(s, name, 10, i);
    }
    backup_mirrors_removed(s->mirrors, str_from_c(fixture_name_of(s, "log/0/1.seg")));
    assert_int_equal(fixture_delete(&s->host, fixture_name_of(s, "log/0/1.seg")), ERR_OK);
    backup_mirrors_describe(s->mirrors, &s->mailbox, object);
    assert_string_equal(json_string_value(json_object_get(object, "reason")), "down");
    json_decref(object);
    backup_mirrors_count(s->mirrors, &count);
    assert_int_equal(count.all, 1);
    assert_int_equal(count.failing, 1);
    s->down = ERR_OK;
    fixture_settle(s, "up to date");
    fixture_assert_same_lists(s);
    backup_mirrors_count(s->mirrors, &count);
    assert_int_equal(count.failing, 0);
}

/* What it did not take is not forgotten: nothing else comes that would remind of it. */
static void test_the_one_that_failed(void **state)
{
    struct mirror_fixture *s = *state;

    fixture_set_place(s, s->own_folder, "one");
    fixture_settle(s, "up to date");
    s->down = ERR_LIMIT;
    fixture_come(s, "log/0/1.seg", 500, 1);
    fixture_settle(s, "failing");
    s->down = ERR_OK;
    fixture_settle(s, "up to date");
    fixture_assert_same_lists(s);
}

/* More at once than waits in memory. */
static void test_a_storm(void **state)
{
    struct mirror_fixture *s = *state;

    fixture_set_place(s, s->own_folder, "one");
    fixture_settle(s, "up to date");
    for (unsigned i = 0; i < 300; i++) {
        char name[32];
        CLEANUP(fd_close) int fd = -1;
        CLEANUP(buf_free) struct buf content;
        unsigned char digest[CRYPT_HASH_BYTES];
        struct backup_put what = {.size_bytes = 10, .digest = digest};

        (void)snprintf(name, sizeof(name), "log/0/%u.seg", i);
        what.name = str_from_c(fixture_name_of(s, name));
        buf_init(&content, SIZE_MAX);
        fd = fixture_memfd(10, i, &content);
        hasher_sha256(buf_str(&content), digest);
        what.fd = fd;
        assert_int_equal(fixture_put(&s->host, what.name.ptr, 10, i), ERR_OK);
        if (i % 100 == 0)
            s->down = s->down == ERR_OK ? ERR_BUSY : ERR_OK;
        backup_mirrors_put(s->mirrors, &what);
    }
    s->down = ERR_OK;
    fixture_settle(s, "up to date");
    fixture_assert_same_lists(s);
}

static void test_a_place_that_cannot_be_opened(void **state)
{
    struct mirror_fixture *s = *state;

    fixture_set_place(s, "nowhere", "one");
    fixture_assert_state(s, "failing");
    fixture_come(s, "log/0/1.seg", 500, 1);
    assert_int_equal(fixture_get(&s->both, fixture_name_of(s, "log/0/1.seg")), ERR_OK);
    assert_int_equal(fixture_list(&s->both, s->mailbox.text, "", 10), ERR_OK);
    fixture_set_place(s, s->own_folder, "one");
    fixture_settle(s, "up to date");
    fixture_assert_same_lists(s);
    fixture_set_place(s, "", "");
    fixture_come(s, "log/0/2.seg", 500, 1);
    net_run_for(s->host.loop, 50);
    assert_int_equal(fixture_get(&s->own, fixture_name_of(s, "log/0/2.seg")), ERR_NOT_FOUND);
}

static void test_reading_both(void **state)
{
    struct mirror_fixture *s = *state;

    fixture_come(s, "full/1.sqlite", 1000, 1);
    fixture_come(s, "full/2.sqlite", 1000, 2);
    fixture_set_place(s, s->own_folder, "one");
    fixture_settle(s, "up to date");
    assert_int_equal(fixture_delete(&s->host, fixture_name_of(s, "full/1.sqlite")),
                     ERR_OK); /* lost */
    assert_int_equal(fixture_put(&s->own, fixture_name_of(s, "full/0.sqlite"), 10, 3), ERR_OK);
    assert_int_equal(fixture_put(&s->own, fixture_name_of(s, "full/3.sqlite"), 10, 3), ERR_OK);
    assert_int_equal(fixture_get(&s->both, fixture_name_of(s, "full/1.sqlite")), ERR_OK);
    assert_true(fixture_is(&s->both, 1000, 1));
    assert_int_equal(fixture_get(&s->both, fixture_name_of(s, "full/9.sqlite")), ERR_NOT_FOUND);
    /* In order and in pages, each once. */
    for (size_t size = 1; size <= 5; size++) {
        size_t line = strlen(fixture_name_of(s, "full/1.sqlite")) + 1;
        CLEANUP(buf_free) struct buf all;
        char after[96] = "";

        buf_init(&all, SIZE_MAX);
        for (int pages = 0;; pages++) {
            assert_true(pages < 8);
            assert_int_equal(fixture_list(&s->both, fixture_name_of(s, ""), after, size), ERR_OK);
            buf_put(&all, buf_str(&s->both.names));
            if (s->both.is_last)
                break;
            assert_true(s->both.names.len > 0);
            (void)snprintf(after, sizeof(after), "%.*s", (int)line - 1,
                           s->both.names.ptr + s->both.names.len - line);
        }
        assert_int_equal(all.len, 4 * line);
        for (int i = 0; i < 4; i++)
            assert_int_equal(all.ptr[(size_t)i * line + 30], '0' + i);
    }
    /* While the owner's is away the host's alone is listed, but not where all is to go. */
    s->down = ERR_BUSY;
    assert_int_equal(fixture_list(&s->both, fixture_name_of(s, ""), "", 10), ERR_OK);
    assert_int_equal(s->both.names.len, strlen(fixture_name_of(s, "full/1.sqlite")) + 1);
    s->down = ERR_OK;
    s->is_silent = true;
    s->asked = 0;
    for (int i = 0; i < 3; i++) { /* waited for once */
        assert_int_equal(fixture_list(&s->both, fixture_name_of(s, ""), "", 10), ERR_OK);
        assert_int_equal(s->both.names.len, strlen(fixture_name_of(s, "full/1.sqlite")) + 1);
        assert_int_equal(s->asked, 1);
    }
    /* Nobody waits for ever, where all is to go neither. */
    (void)backup_list(s->whole, str_from_c(fixture_name_of(s, "")), STR(""), 10, fixture_on_done,
                      &s->both);
    net_loop_run(s->both.loop);
    assert_int_equal(s->both.err, ERR_IO);
    (void)backup_delete(s->whole, str_from_c(fixture_name_of(s, "full/0.sqlite")), BACKUP_GONE_NOW,
                        fixture_on_done, &s->both);
    net_loop_run(s->both.loop);
    assert_int_equal(s->both.err, ERR_IO);
    s->is_silent = false;
    s->down = ERR_BUSY;
    s->host.is_done = false;
    (void)backup_list(s->whole, str_from_c(fixture_name_of(s, "")), STR(""), 10, fixture_on_done,
                      &s->both);
    net_loop_run(s->both.loop);
    assert_int_equal(s->both.err, ERR_IO);
    assert_non_null(strstr(s->both.words, "own destination"));
    assert_int_equal(fixture_delete(&s->both, fixture_name_of(s, "full/2.sqlite")), ERR_IO);
    assert_int_equal(fixture_get(&s->host, fixture_name_of(s, "full/2.sqlite")), ERR_NOT_FOUND);
    s->down = ERR_DENIED; /* no use to wait for it */
    (void)backup_list(s->whole, str_from_c(fixture_name_of(s, "")), STR(""), 10, fixture_on_done,
                      &s->both);
    net_loop_run(s->both.loop);
    assert_int_equal(s->both.err, ERR_OK);
    assert_int_equal(fixture_delete(&s->both, fixture_name_of(s, "full/2.sqlite")), ERR_OK);
    s->down = ERR_OK;
    assert_int_equal(fixture_delete(&s->both, fixture_name_of(s, "full/2.sqlite")), ERR_OK);
    assert_int_equal(fixture_get(&s->own, fixture_name_of(s, "full/2.sqlite")), ERR_NOT_FOUND);
}

/* No more than are remembered, though one that failed is behind as many that came meanwhile. */
static void test_what_is_to_be_let_go_is_bounded(void **state)
{
    struct mirror_fixture *s = *state;
    char name[32];
    int asked;

    fixture_set_place(s, s->own_folder, "one");
    fixture_settle(s, "up to date");
    s->down = ERR_BUSY;
    for (unsigned i = 0; i <= MIRROR_REMOVALS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "log/0/%u.seg", i);
        backup_mirrors_removed(s->mirrors, str_from_c(fixture_name_of(s, name)));
    }
    fixture_settle(s, "failing");
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "log/1/%u.seg", i);
        backup_mirrors_removed(s->mirrors, str_from_c(fixture_name_of(s, name)));
    }
    s->down = ERR_OK;
    asked = s->asked;
    fixture_settle(s, "up to date");
    assert_in_range(s->asked - asked, MIRROR_REMOVALS_MAX, MIRROR_REMOVALS_MAX + 10);
}

/* Removed: what is being copied is told of, the rest is not copied any more. */
static void test_one_that_leaves(void **state)
{
    struct mirror_fixture *s = *state;
    struct str name;

    assert_false(backup_mirrors_end_copying(s->mirrors, str_from_c(fixture_name_of(s, ""))));
    fixture_set_place(s, s->own_folder, "one");
    fixture_settle(s, "up to date");
    fixture_come(s, "full/1.sqlite", 3000000, 1);
    fixture_come(s, "full/2.sqlite", 100, 2);
    name = str_from_c(fixture_name_of(s, "full/1.sqlite"));
    assert_true(backup_mirrors_end_copying(s->mirrors, name));
    fixture_settle(s, "up to date");
    fixture_come(s, "full/3.sqlite", 100, 3);
    assert_false(backup_mirrors_end_copying(s->mirrors, name));
    fixture_assert_state(s, "up to date");
    assert_int_equal(fixture_list(&s->own, s->mailbox.text, "", 1000), ERR_OK);
    assert_int_equal(s->own.names.len, name.len + 1);
    assert_true(str_starts_with(buf_str(&s->own.names), name));
    backup_mirrors_removed(s->mirrors, name); /* but let go */
    fixture_settle(s, "up to date");
    assert_int_equal(fixture_list(&s->own, s->mailbox.text, "", 1000), ERR_OK);
    assert_int_equal(s->own.names.len, 0);
}

/* While all of it is compared, or behind a failure, that ends, too. */
static void test_one_that_leaves_while_it_is_compared(void **state)
{
    struct mirror_fixture *s = *state;

    for (unsigned i = 0; i < 4; i++) {
        char inner[32];

        (void)snprintf(inner, sizeof(inner), "full/%u.sqlite", i);
        fixture_come(s, inner, 1000, i);
    }
    s->deny_after = 1;
    fixture_set_place(s, s->own_folder, "one");
    fixture_settle(s, "failing");
    s->down = ERR_OK;
    assert_false(backup_mirrors_end_copying(s->mirrors, str_from_c(fixture_name_of(s, ""))));
    net_run_for(s->host.loop, 1500);
    assert_int_equal(fixture_list(&s->own, s->mailbox.text, "", 1000), ERR_OK);
    assert_int_equal(s->own.names.len, 0);
}

static void test_who_is_not_named_has_none(void **state)
{
    struct mirror_fixture *s = *state;
    struct backup_mirrors_count count;

    backup_mirrors_tell(s->mirrors);
    fixture_set_place(s, s->own_folder, "one");
    backup_mirrors_all_told(s->mirrors);
    backup_mirrors_count(s->mirrors, &count);
    assert_int_equal(count.all, 1);
    backup_mirrors_tell(s->mirrors);
    fixture_set_place(s, s->own_folder, "one");
    backup_mirrors_all_told(s->mirrors);
    backup_mirrors_count(s->mirrors, &count);
    assert_int_equal(count.all, 1);
    backup_mirrors_tell(s->mirrors); /* in the middle of its work, too */
    backup_mirrors_all_told(s->mirrors);
    backup_mirrors_count(s->mirrors, &count);
    assert_int_equal(count.all, 0);
    net_run_for(s->host.loop, 20);
}

/* --- what waits --- */

/* In files without names that this process has open, each counted once. */
static uint64_t held_bytes(void)
{
    CLEANUP(folder_close) DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;
    ino_t seen[256];
    size_t count = 0;
    uint64_t bytes = 0;

    while ((entry = readdir(folder)) != NULL) {
        struct stat about;
        char path[64];
        size_t i = 0;

        if (readlinkat(dirfd(folder), entry->d_name, path, sizeof(path)) < 7 ||
            memcmp(path, "/memfd:", 7) != 0 ||
            fstatat(dirfd(folder), entry->d_name, &about, 0) != 0)
            continue;
        while (i < count && seen[i] != about.st_ino)
            i++;
        if (i < count)
            continue;
        assert_true(count < 256);
        seen[count++] = about.st_ino;
        bytes += (uint64_t)about.st_size;
    }
    return bytes;
}

/* What is too much to wait is read from the host's again. */
static void test_what_waits_is_bounded_in_bytes(void **state)
{
    enum { MIB = 1024 * 1024, OBJECTS = 40 };
    struct mirror_fixture *s = *state;

    fixture_set_place(s, s->own_folder, "slow");
    fixture_settle(s, "up to date");
    s->delay_ms = 60 * 1000;
    fixture_come(s, "full/1.sqlite", 20 * MIB, 1); /* it does not wait: it is on its way at once */
    assert_in_range(held_bytes(), 20 * MIB, 20 * MIB);
    for (unsigned i = 0; i < OBJECTS; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "log/0/%u.seg", i);
        fixture_come(s, name, MIB, i);
    }
    assert_in_range(held_bytes(), 20 * MIB + MIRROR_WAITING_OF_ONE_BYTES / 2,
                    20 * MIB + MIRROR_WAITING_OF_ONE_BYTES);
    fixture_come(s, "full/2.sqlite", 20 * MIB, 2);
    assert_in_range(held_bytes(), 20 * MIB, 20 * MIB + MIRROR_WAITING_OF_ONE_BYTES);
    fixture_set_place(s, s->own_folder, "one");
    fixture_settle(s, "up to date");
    fixture_assert_same_lists(s);
    assert_int_equal(held_bytes(), 0);
    /* And without another being set. */
    s->delay_ms = 0;
    fixture_set_place(s, s->own_folder, "slow");
    fixture_settle(s, "up to date");
    s->delay_ms = 300;
    for (unsigned i = 0; i < OBJECTS; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "log/1/%u.seg", i);
        fixture_come(s, name, MIB, i);
    }
    s->delay_ms = 0;
    fixture_settle(s, "up to date");
    fixture_assert_same_lists(s);
}

/* --- a trial --- */

static void on_tried(void *owner, enum err err, const char *words)
{
    struct mirror_fixture *s = owner;

    s->own.is_done = true;
    s->own.err = err;
    (void)snprintf(s->own.words, sizeof(s->own.words), "%s", words);
    net_loop_stop(s->host.loop);
}

static enum err try_place(struct mirror_fixture *s, const char *place)
{
    struct backup_own own = {.mailbox = s->mailbox,
                             .place = str_from_c(place),
                             .region = STR("r"),
                             .key_id = STR("k"),
                             .secret = STR("x")};

    (void)backup_mirrors_try(s->mirrors, &own, on_tried, s);
    net_loop_run(s->host.loop);
    return s->own.err;
}

static void test_a_trial(void **state)
{
    struct mirror_fixture *s = *state;

    assert_int_equal(try_place(s, s->own_folder), ERR_OK);
    assert_int_equal(fixture_list(&s->own, "", "", 10), ERR_OK);
    assert_int_equal(s->own.names.len, 0);
    assert_int_equal(try_place(s, "nowhere"), ERR_INVALID);
    s->down = ERR_DENIED;
    assert_int_equal(try_place(s, s->own_folder), ERR_DENIED);
    assert_string_equal(s->own.words, "down");
    s->down = ERR_OK;
    s->deny_after = 2; /* it may write and not delete */
    assert_int_equal(try_place(s, s->own_folder), ERR_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_what_was_there_and_what_comes),
        FIXTURE_TEST(test_a_manifest_is_copied_last),
        FIXTURE_TEST(test_one_that_is_away_comes_back),
        FIXTURE_TEST(test_the_one_that_failed),
        FIXTURE_TEST(test_a_storm),
        FIXTURE_TEST(test_a_place_that_cannot_be_opened),
        FIXTURE_TEST(test_reading_both),
        FIXTURE_TEST(test_what_is_to_be_let_go_is_bounded),
        FIXTURE_TEST(test_one_that_leaves),
        FIXTURE_TEST(test_one_that_leaves_while_it_is_compared),
        FIXTURE_TEST(test_who_is_not_named_has_none),
        FIXTURE_TEST(test_what_waits_is_bounded_in_bytes),
        FIXTURE_TEST(test_a_trial),
    };

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
