/* Annotations: depth, removal, limits, folders that move and go, and who hears of them. */
#include "vault/metadata.h"

#include "vault/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static enum err set(struct fixture *f, int64_t folder_id, const char *entry, const char *value)
{
    struct vault_metadata one = {str_from_c(entry),
                                 value == NULL ? (struct str){NULL, 0} : str_from_c(value)};

    return vault_metadata_set(f->vault, &f->task, folder_id, &one, 1);
}

static const char *get(struct fixture *f, int64_t folder_id, const char *entry,
                       enum vault_metadata_depth depth)
{
    CLEANUP(buf_free) struct buf out = {0};
    struct vault_metadata *found;
    size_t count;

    buf_init(&out, SIZE_MAX);
    assert_int_equal(
        vault_metadata_get(f->vault, &f->task, folder_id, str_from_c(entry), depth, &found, &count),
        ERR_OK);
    for (size_t i = 0; i < count; i++)
        buf_putf(&out, "%s%.*s=%.*s", i > 0 ? " " : "", STR_ARG(found[i].entry),
                 STR_ARG(found[i].value));
    return arena_copy(&f->task.arena, buf_str(&out)).ptr;
}

static void test_depth(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(set(f, 0, "/private/a", "1"), ERR_OK);
    assert_int_equal(set(f, 0, "/private/a/b", "2"), ERR_OK);
    assert_int_equal(set(f, 0, "/private/a/b/c", "3"), ERR_OK);
    assert_int_equal(set(f, 0, "/private/ab", "4"), ERR_OK);
    assert_int_equal(set(f, f->inbox, "/private/a", "inbox"), ERR_OK);
    assert_string_equal(get(f, 0, "/private/a", VAULT_METADATA_EXACT), "/private/a=1");
    assert_string_equal(get(f, 0, "/private/a", VAULT_METADATA_CHILDREN),
                        "/private/a=1 /private/a/b=2");
    assert_string_equal(get(f, 0, "/private/a", VAULT_METADATA_ALL_BELOW),
                        "/private/a=1 /private/a/b=2 /private/a/b/c=3");
    assert_string_equal(get(f, 0, "/private", VAULT_METADATA_CHILDREN),
                        "/private/a=1 /private/ab=4");
    assert_string_equal(get(f, f->inbox, "/private", VAULT_METADATA_ALL_BELOW), "/private/a=inbox");
    assert_int_equal(set(f, 0, "/private/a", NULL), ERR_OK);
    assert_int_equal(set(f, 0, "/private/a/b", ""), ERR_OK);
    fixture_reopen(f);
    assert_string_equal(get(f, 0, "/private/a", VAULT_METADATA_ALL_BELOW),
                        "/private/a/b= /private/a/b/c=3");
}

static void test_folders(void **state)
{
    struct fixture *f = *state;
    struct vault_metadata *found;
    size_t count;

    assert_int_equal(set(f, f->archive, "/shared/comment", "x"), ERR_OK);
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("Archive"), STR("Old")), ERR_OK);
    assert_string_equal(get(f, f->archive, "/shared/comment", VAULT_METADATA_EXACT),
                        "/shared/comment=x");
    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("Old/below"), VAULT_USE_NONE),
                     ERR_OK);
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("Old")), ERR_OK);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM metadata"), 0);
    assert_int_equal(set(f, f->archive, "/shared/comment", "y"), ERR_OK); /* of the name alone */
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("Old/below")), ERR_OK);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM metadata"), 0);
    assert_int_equal(set(f, f->archive, "/shared/comment", "x"), ERR_NOT_FOUND);
    assert_int_equal(vault_metadata_get(f->vault, &f->task, 999, STR("/shared/x"),
                                        VAULT_METADATA_EXACT, &found, &count),
                     ERR_NOT_FOUND);
    task_forgive(&f->task);
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    static char large[VAULT_METADATA_VALUE_MAX + 2];
    struct vault_metadata both[2] = {{STR("/private/0"), {NULL, 0}}, {STR("/private/x"), STR("x")}};
    char name[32];

    memset(large, 'x', VAULT_METADATA_VALUE_MAX + 1);
    assert_int_equal(set(f, 0, "/private/large", large), ERR_LIMIT);
    for (int i = 0; i < VAULT_METADATA_ENTRIES_MAX; i++) {
        snprintf(name, sizeof(name), "/private/%d", i);
        assert_int_equal(set(f, 0, name, "v"), ERR_OK);
    }
    assert_int_equal(set(f, f->inbox, "/private/one-more", "v"), ERR_LIMIT);
    assert_string_equal(get(f, f->inbox, "/private", VAULT_METADATA_ALL_BELOW), "");
    /* Room is made in the same change. */
    assert_int_equal(vault_metadata_set(f->vault, &f->task, 0, both, 2), ERR_OK);
    task_forgive(&f->task);
}

struct listener {
    struct vault_subscriber subscriber;
    char heard[200];
};

static void on_change(struct vault_subscriber *subscriber, int64_t folder_id)
{
    (void)subscriber;
    (void)folder_id;
}

static void on_metadata(struct vault_subscriber *subscriber, int64_t folder_id, struct str entry)
{
    struct listener *listener = CONTAINER_OF(subscriber, struct listener, subscriber);
    size_t len = strlen(listener->heard);

    snprintf(listener->heard + len, sizeof(listener->heard) - len, "%lld%.*s ",
             (long long)folder_id, STR_ARG(entry));
}

static void test_hearing(void **state)
{
    struct fixture *f = *state;
    struct listener listener = {.subscriber = {.on_change = on_change, .on_metadata = on_metadata}};
    static char large[VAULT_METADATA_VALUE_MAX + 2];
    struct vault_metadata two[2] = {{STR("/private/a"), STR("1")}, {STR("/private/b"), STR("2")}};
    struct vault_metadata *many =
        ARENA_ARRAY(&f->task.arena, struct vault_metadata, VAULT_METADATA_ENTRIES_MAX + 1);

    for (int i = 0; i <= VAULT_METADATA_ENTRIES_MAX; i++)
        many[i] = (struct vault_metadata){arena_printf(&f->task.arena, "/private/%d", i), STR("x")};
    memset(large, 'x', VAULT_METADATA_VALUE_MAX + 1);
    vault_subscribe(f->vault, &listener.subscriber);
    assert_int_equal(vault_metadata_set(f->vault, &f->task, 0, two, 2), ERR_OK);
    assert_int_equal(set(f, 0, "/private/large", large), ERR_LIMIT);
    /* Refused only when all was written: nobody hears of it. */
    assert_int_equal(
        vault_metadata_set(f->vault, &f->task, 0, many, VAULT_METADATA_ENTRIES_MAX + 1), ERR_LIMIT);
    assert_int_equal(set(f, 0, "/private/a", NULL), ERR_OK);
    assert_string_equal(listener.heard, "0/private/a 0/private/b 0/private/a ");
    vault_unsubscribe(f->vault, &listener.subscriber);
    task_forgive(&f->task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
        TEST(test_depth),
        TEST(test_folders),
        TEST(test_limits),
        TEST(test_hearing),
#undef TEST
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
