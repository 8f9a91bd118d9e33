/* What POP3 asks of a folder: unique-ids of our own and given ones, octets, removing. */
#include "vault/maildrop.h"

#include "vault/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static enum err append(struct fixture *f, int64_t folder_id, const char *uidl, uint32_t *out_uid)
{
    struct vault_append append = {.raw = fixture_message(f, "imported"),
                                  .internal_date_ms = 1763787600123,
                                  .uidl = str_from_c(uidl)};

    return vault_message_append(f->vault, &f->task, folder_id, &append, out_uid);
}

static uint32_t give(struct fixture *f, int64_t folder_id, const char *uidl)
{
    uint32_t uid = 0;

    assert_int_equal(append(f, folder_id, uidl, &uid), ERR_OK);
    return uid;
}

/* The unique-ids of a folder as POP3 tells them, "own" for those that are ours. */
static const char *uidls(struct fixture *f, int64_t folder_id)
{
    struct vault_maildrop_message *messages;
    struct str text = STR("");
    size_t count;

    assert_int_equal(vault_maildrop_list(f->vault, &f->task, folder_id, &messages, &count), ERR_OK);
    for (size_t i = 0; i < count; i++)
        text = arena_printf(&f->task.arena, "%.*s%s%s", STR_ARG(text), i == 0 ? "" : " ",
                            messages[i].given_uidl == NULL ? "own" : messages[i].given_uidl);
    return text.ptr;
}

static void move(struct fixture *f, int64_t from_id, int64_t to_id, uint32_t uid, bool is_move)
{
    uint32_t *sources, *targets;
    size_t count;

    assert_int_equal(vault_message_copy(f->vault, &f->task, from_id, to_id, &uid, 1, is_move,
                                        &sources, &targets, &count),
                     ERR_OK);
    assert_int_equal(count, 1);
}

static void test_valid_uidls(void **state)
{
    static const struct {
        const char *uidl;
        bool is_valid;
    } rows[] = {
        {"000000a15f3c2d1e", true},                  /* Dovecot's %08Xu%08Xv */
        {"161.1597779230", true},                    /* Dovecot's %u.%v, and Cyrus the other way */
        {"1597779230.161", true},                    /* Cyrus: UIDVALIDITY.UID */
        {"UID161-1597779230", true},                 /* Courier */
        {"1597779230.M7P3V801I9_0.host,S=99", true}, /* Courier before: the Maildir name */
        {"!~", true},                                /* the ends of what RFC 1939 §7 allows */
        {"", false},
        {"two words", false},
        {"\x7f", false},
        {"line\n", false},
        {"\xc3\xbc", false},
        {"0123456789012345678901234567890123456789012345678901234567890123456789", true},
        {"01234567890123456789012345678901234567890123456789012345678901234567890", false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t uid;

        assert_int_equal(vault_uidl_is_valid(str_from_c(rows[i].uidl)), rows[i].is_valid);
        if (rows[i].uidl[0] != '\0')
            assert_int_equal(append(f, f->archive, rows[i].uidl, &uid),
                             rows[i].is_valid ? ERR_OK : ERR_INVALID);
    }
    assert_false(vault_uidl_is_valid(str_make("a\0b", 3)));
}

/* They stay through a restart, and through writing the whole file anew, as re-encryption does. */
static void test_given_uidls_stay(void **state)
{
    struct fixture *f = *state;

    give(f, f->inbox, "UID161-1597779230");
    fixture_append(f, f->inbox, fixture_message(f, "ours"), 0);
    give(f, f->inbox, "161.1597779230");
    assert_string_equal(uidls(f, f->inbox), "UID161-1597779230 own 161.1597779230");
    fixture_reopen(f);
    fixture_execute(f, "VACUUM");
    assert_string_equal(uidls(f, f->inbox), "UID161-1597779230 own 161.1597779230");
}

static void test_uidls_are_unique(void **state)
{
    struct fixture *f = *state;
    struct vault_folder inbox;
    char own[VAULT_OWN_UIDL_LEN + 1], other[VAULT_OWN_UIDL_LEN + 1];

    give(f, f->inbox, "a");
    give(f, f->inbox, "a");
    give(f, f->archive, "a");
    assert_string_equal(uidls(f, f->inbox), "a own");
    assert_string_equal(uidls(f, f->archive), "a");
    /* One that a message of this folder could have by itself is not used; another's is. */
    assert_int_equal(vault_folder_by_id(f->vault, &f->task, f->inbox, &inbox), ERR_OK);
    vault_uidl_own(inbox.uidvalidity, 1, own);
    vault_uidl_own(inbox.uidvalidity + 1, 1, other);
    give(f, f->inbox, own);
    give(f, f->inbox, other);
    assert_string_equal(strrchr(uidls(f, f->inbox), ' ') + 1, other);
    assert_memory_equal(uidls(f, f->inbox), "a own own ", 10);
}

static void test_uidls_go_along(void **state)
{
    struct fixture *f = *state;
    uint32_t uid = give(f, f->inbox, "a");

    move(f, f->inbox, f->archive, uid, true);
    assert_string_equal(uidls(f, f->archive), "a");
    move(f, f->archive, f->inbox, 1, true);
    assert_string_equal(uidls(f, f->inbox), "a");
    move(f, f->inbox, f->inbox, 2, true);
    assert_string_equal(uidls(f, f->inbox), "a");
    /* A copy beside the original is another message; where the original is not, it is the same. */
    move(f, f->inbox, f->inbox, 3, false);
    assert_string_equal(uidls(f, f->inbox), "a own");
    move(f, f->inbox, f->archive, 3, false);
    assert_string_equal(uidls(f, f->archive), "a");
    /* INBOX's renaming moves its messages (RFC 3501 §6.3.5). */
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("INBOX"), STR("Old")), ERR_OK);
    assert_string_equal(uidls(f, fixture_folder_id(f, "Old")), "a own");
    fixture_housekeep(f, 2 * VAULT_EXPUNGED_GRACE_MS);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM given_uidl"), 2);
}

static void test_octets(void **state)
{
    static const struct {
        const char *raw;
        uint64_t more;
    } rows[] = {
        {"A: b\r\n\r\ntext\r\n", 0},
        {"A: b\r\n\r\ntext", 2},
        {"A: b\n\ntext\n", 3},
        {"A: b\n\ntext", 4},
        {"\n", 1},
        {"\r\n\n\r\n", 1},
        {"A: b\r\n\r\nsix\rseven\r\n", 0},
        {"A: b\r\n\r\nend\r", 2},
        {"\r\r\n", 0},
    };
    struct fixture *f = *state;
    struct vault_maildrop_message *messages;
    size_t count;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str raw = str_from_c(rows[i].raw);

        fixture_append(f, f->inbox, raw, 0);
        /* Cut anywhere, the same comes out. */
        for (size_t cut = 0; cut <= raw.len; cut++) {
            struct vault_line_ends ends = {0};

            vault_line_ends_add(&ends, str_upto(raw, cut));
            vault_line_ends_add(&ends, str_from(raw, cut));
            assert_int_equal(vault_line_ends_octets(&ends), rows[i].more);
        }
    }
    move(f, f->inbox, f->inbox, 4, false);
    assert_int_equal(vault_maildrop_list(f->vault, &f->task, f->inbox, &messages, &count), ERR_OK);
    assert_int_equal(count, ARRAY_LEN(rows) + 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(messages[i].octets, strlen(rows[i].raw) + rows[i].more);
    assert_int_equal(messages[count - 1].octets, strlen(rows[3].raw) + rows[3].more);
}

/* A message stored before octets were counted. */
static void test_octets_noted_later(void **state)
{
    struct fixture *f = *state;
    struct vault_maildrop_message *messages;
    size_t count;

    fixture_append(f, f->inbox, STR("A: b\n\n"), 0);
    fixture_append(f, f->inbox, STR("A: b\n\n"), 0);
    fixture_execute(f, "UPDATE message SET line_end_octets = NULL WHERE key & 1");
    assert_int_equal(vault_maildrop_list(f->vault, &f->task, f->inbox, &messages, &count), ERR_OK);
    assert_true(messages[0].octets == VAULT_OCTETS_UNKNOWN);
    assert_int_equal(messages[1].octets, 8);
    messages[0].octets = 8;
    assert_int_equal(vault_maildrop_note_octets(f->vault, &f->task, f->inbox, messages, count),
                     ERR_OK);
    assert_int_equal(vault_maildrop_list(f->vault, &f->task, f->inbox, &messages, &count), ERR_OK);
    assert_int_equal(messages[0].octets, 8);
}

static void test_remove(void **state)
{
    static const uint32_t uids[] = {2, 9, 4, 4, 1};
    struct fixture *f = *state;
    struct vault_folder inbox;

    for (unsigned i = 0; i < 5; i++)
        fixture_append(f, f->inbox, fixture_message(f, "x"),
                       i == 1 ? VAULT_FLAG_DELETED | VAULT_FLAG_SEEN : 0);
    assert_int_equal(vault_message_remove(f->vault, &f->task, f->inbox, uids, 1), ERR_OK);
    assert_string_equal(fixture_uids(f, f->inbox), "1 3 4 5");
    assert_int_equal(vault_message_remove(f->vault, &f->task, f->inbox, uids, ARRAY_LEN(uids)),
                     ERR_OK);
    assert_string_equal(fixture_uids(f, f->inbox), "3 5");
    assert_int_equal(vault_folder_by_id(f->vault, &f->task, f->inbox, &inbox), ERR_OK);
    assert_int_equal(inbox.message_count, 2);
    assert_int_equal(inbox.unseen_count, 2);
    assert_int_equal(inbox.deleted_count, 0);
    assert_int_equal(vault_message_remove(f->vault, &f->task, f->inbox, NULL, 0), ERR_OK);
    assert_int_equal(vault_message_remove(f->vault, &f->task, 999, uids, 1), ERR_NOT_FOUND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_valid_uidls),    TEST(test_given_uidls_stay), TEST(test_uidls_are_unique),
        TEST(test_uidls_go_along), TEST(test_octets),           TEST(test_octets_noted_later),
        TEST(test_remove),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
