/* Folders: standard ones, creating, deleting, renaming, subscriptions, \Recent. */
#include "vault/fixture.h"

#include "base/memory.h"
#include "vault/change.h"
#include "vault/former.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *names(struct fixture *f)
{
    CLEANUP(buf_free) struct buf out = {0};
    struct vault_folder *folders;
    size_t count;

    buf_init(&out, SIZE_MAX);
    assert_int_equal(vault_folder_list(f->vault, &f->task, &folders, &count), ERR_OK);
    for (size_t i = 0; i < count; i++)
        buf_putf(&out, "%s%.*s%s%s", i > 0 ? " " : "", STR_ARG(folders[i].name),
                 folders[i].has_children ? "+" : "", folders[i].is_selectable ? "" : "-");
    return arena_copy(&f->task.arena, buf_str(&out)).ptr;
}

static void test_standard_folders(void **state)
{
    static const struct {
        const char *name;
        enum vault_special_use use;
    } rows[] = {
        {"INBOX", VAULT_USE_NONE}, {"Archive", VAULT_USE_ARCHIVE}, {"Drafts", VAULT_USE_DRAFTS},
        {"Junk", VAULT_USE_JUNK},  {"Sent", VAULT_USE_SENT},       {"Trash", VAULT_USE_TRASH},
    };
    struct fixture *f = *state;
    struct vault_folder *folders;
    size_t count;

    for (int round = 0; round < 2; round++) {
        assert_int_equal(vault_folder_list(f->vault, &f->task, &folders, &count), ERR_OK);
        assert_int_equal(count, ARRAY_LEN(rows));
        for (size_t i = 0; i < count; i++) {
            assert_true(str_equal(folders[i].name, str_from_c(rows[i].name)));
            assert_int_equal(folders[i].use, rows[i].use);
            assert_true(folders[i].is_selectable && folders[i].is_subscribed);
            assert_int_equal(folders[i].uidnext, 1);
            assert_true(folders[i].uidvalidity > 0 && folders[i].highest_modseq >= 1);
        }
        fixture_reopen(f);
    }
    /* Made once: one that was renamed or deleted does not come again. */
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("Sent"), STR("Gesendet")), ERR_OK);
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("Junk")), ERR_OK);
    fixture_reopen(f);
    assert_string_equal(names(f), "INBOX Archive Drafts Gesendet Trash");
}

static void test_names(void **state)
{
    static const struct {
        const char *name;
        enum err err;
    } rows[] = {
        {"Simple", ERR_OK},
        {"a/b/c", ERR_OK},
        {"Entw\xc3\xbcrfe", ERR_OK},
        {"INBOX/below", ERR_OK},
        {"with space", ERR_OK},
        {"", ERR_INVALID},
        {"/a", ERR_INVALID},
        {"a/", ERR_INVALID},
        {"a//b", ERR_INVALID},
        {"tab\there", ERR_INVALID},
        {"bad\xff", ERR_INVALID},
        {"inbox", ERR_INVALID},
        {"Simple", ERR_EXISTS},
        {"a", ERR_EXISTS},
        {"INBOX", ERR_EXISTS},
        {"1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26/27/28/29/30/31/32/"
         "33",
         ERR_INVALID},
    };
    struct fixture *f = *state;
    char *long_name = mem_new(VAULT_FOLDER_NAME_MAX + 2, 1);

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum err err =
            vault_folder_create(f->vault, &f->task, str_from_c(rows[i].name), VAULT_USE_NONE);

        if (err != rows[i].err)
            fail_msg("%s: %s", rows[i].name, err_name(err));
        task_forgive(&f->task);
    }
    memset(long_name, 'x', VAULT_FOLDER_NAME_MAX + 1);
    assert_int_equal(vault_folder_create(f->vault, &f->task, str_from_c(long_name), VAULT_USE_NONE),
                     ERR_INVALID);
    long_name[VAULT_FOLDER_NAME_MAX] = '\0';
    assert_int_equal(vault_folder_create(f->vault, &f->task, str_from_c(long_name), VAULT_USE_NONE),
                     ERR_OK);
    mem_free(&long_name);
}

static void test_order_and_children(void **state)
{
    static const char *const made[] = {"b", "a/z", "a-b", "a b", "a/b/c", "A"};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(made); i++)
        assert_int_equal(
            vault_folder_create(f->vault, &f->task, str_from_c(made[i]), VAULT_USE_NONE), ERR_OK);
    assert_string_equal(names(f),
                        "INBOX A Archive Drafts Junk Sent Trash a+ a/b+ a/b/c a/z a b a-b b");
    fixture_reopen(f);
    assert_string_equal(names(f),
                        "INBOX A Archive Drafts Junk Sent Trash a+ a/b+ a/b/c a/z a b a-b b");
}

static void test_delete(void **state)
{
    struct fixture *f = *state;
    struct vault_folder before, after;
    int64_t id;

    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("INBOX")), ERR_DENIED);
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("none")), ERR_NOT_FOUND);
    task_forgive(&f->task);
    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("p/q"), VAULT_USE_NONE), ERR_OK);
    id = fixture_folder_id(f, "p");
    fixture_append(f, id, fixture_message(f, "one"), 0);
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("p"), &before), ERR_OK);
    /* With children it stays as a name. */
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("p")), ERR_OK);
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("p"), &after), ERR_OK);
    assert_false(after.is_selectable);
    assert_int_equal(after.message_count, 0);
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("p")), ERR_EXISTS);
    task_forgive(&f->task);
    /* And can be made a folder again, with another UIDVALIDITY, while old rows are still there. */
    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("p"), VAULT_USE_NONE), ERR_OK);
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("p"), &after), ERR_OK);
    assert_true(after.is_selectable && after.uidvalidity > before.uidvalidity);
    fixture_append(f, after.id, fixture_message(f, "two"), 0);
    fixture_check(f);
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("p/q")), ERR_OK);
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("p")), ERR_OK);
    assert_int_equal(vault_folder_by_id(f->vault, &f->task, id, &after), ERR_NOT_FOUND);
    task_forgive(&f->task);
    fixture_housekeep(f, VAULT_EXPUNGED_GRACE_MS);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM content"), 0);
}

static void test_uidvalidity_never_repeats(void **state)
{
    struct fixture *f = *state;
    uint32_t last = 0;

    for (int i = 0; i < 20; i++) {
        struct vault_folder folder;

        if (i == 10)
            f->task.now_ms -= 365LL * 24 * 3600 * 1000; /* the clock was set back */
        assert_int_equal(vault_folder_create(f->vault, &f->task, STR("again"), VAULT_USE_NONE),
                         ERR_OK);
        assert_int_equal(vault_folder_find(f->vault, &f->task, STR("again"), &folder), ERR_OK);
        assert_true(folder.uidvalidity > last);
        last = folder.uidvalidity;
        assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("again")), ERR_OK);
        if (i % 5 == 0)
            fixture_reopen(f);
    }
}

static void test_rename(void **state)
{
    struct fixture *f = *state;
    struct vault_folder before, after;

    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("a/b/c"), VAULT_USE_NONE), ERR_OK);
    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("ab"), VAULT_USE_NONE), ERR_OK);
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("a/b"), &before), ERR_OK);
    fixture_append(f, before.id, fixture_message(f, "one"), 0);
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("a"), STR("x/y")), ERR_OK);
    assert_string_equal(names(f), "INBOX Archive Drafts Junk Sent Trash ab x+ x/y+ x/y/b+ x/y/b/c");
    fixture_reopen(f);
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("x/y/b"), &after), ERR_OK);
    assert_int_equal(after.id, before.id);
    assert_int_equal(after.uidvalidity, before.uidvalidity);
    assert_int_equal(after.message_count, 1);
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("x"), STR("x/z")), ERR_INVALID);
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("x"), STR("ab")), ERR_EXISTS);
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("q"), STR("r")), ERR_NOT_FOUND);
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("ab"), STR("a//b")), ERR_INVALID);
    task_forgive(&f->task);
}

/* RFC 3501 §6.3.5: INBOX's messages go, INBOX stays. */
static void test_rename_inbox(void **state)
{
    struct fixture *f = *state;
    struct str raw = fixture_message(f, "one");
    int64_t id;

    fixture_append(f, f->inbox, raw, VAULT_FLAG_SEEN);
    fixture_append(f, f->inbox, fixture_message(f, "two"), 0);
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("INBOX"), STR("old/mail")),
                     ERR_OK);
    assert_string_equal(names(f), "INBOX Archive Drafts Junk Sent Trash old+ old/mail");
    assert_string_equal(fixture_uids(f, f->inbox), "");
    id = fixture_folder_id(f, "old/mail");
    assert_string_equal(fixture_uids(f, id), "1 2");
    assert_true(str_equal(fixture_read(f, id, 1), raw));
    /* An empty INBOX too. */
    assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("INBOX"), STR("INBOX/none")),
                     ERR_OK);
    fixture_check(f);
}

static void test_subscriptions(void **state)
{
    struct fixture *f = *state;
    struct str *subscribed;
    size_t count;

    assert_int_equal(vault_folder_subscribe(f->vault, &f->task, STR("nowhere"), true), ERR_OK);
    assert_int_equal(vault_folder_subscribe(f->vault, &f->task, STR("nowhere"), true), ERR_OK);
    assert_int_equal(vault_folder_subscribe(f->vault, &f->task, STR("Junk"), false), ERR_OK);
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("Sent")), ERR_OK);
    fixture_reopen(f);
    assert_int_equal(vault_subscription_list(f->vault, &f->task, &subscribed, &count), ERR_OK);
    assert_int_equal(count, 6);
    assert_true(str_equal(subscribed[0], STR("INBOX")));
    assert_true(str_equal(subscribed[3], STR("Sent")));
    assert_true(str_equal(subscribed[5], STR("nowhere")));
}

static void test_special_use(void **state)
{
    struct fixture *f = *state;
    struct vault_folder folder;

    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("Sent2"), VAULT_USE_SENT),
                     ERR_EXISTS);
    task_forgive(&f->task);
    assert_int_equal(vault_folder_create(f->vault, &f->task, STR("Stars"), VAULT_USE_FLAGGED),
                     ERR_OK);
    fixture_reopen(f);
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("Stars"), &folder), ERR_OK);
    assert_int_equal(folder.use, VAULT_USE_FLAGGED);
}

static void test_recent(void **state)
{
    struct fixture *f = *state;
    struct vault_folder folder;
    uint32_t first;

    for (int i = 0; i < 3; i++)
        fixture_append(f, f->inbox, fixture_message(f, "x"), 0);
    assert_int_equal(vault_folder_take_recent(f->vault, &f->task, f->inbox, true, &first), ERR_OK);
    assert_int_equal(first, 1);
    assert_int_equal(vault_folder_take_recent(f->vault, &f->task, f->inbox, false, &first), ERR_OK);
    assert_int_equal(first, 1);
    fixture_append(f, f->inbox, fixture_message(f, "x"), 0);
    assert_int_equal(vault_folder_by_id(f->vault, &f->task, f->inbox, &folder), ERR_OK);
    assert_int_equal(folder.recent_count, 1);
    fixture_reopen(f);
    assert_int_equal(vault_folder_take_recent(f->vault, &f->task, f->inbox, false, &first), ERR_OK);
    assert_int_equal(first, 4);
    assert_int_equal(vault_folder_by_id(f->vault, &f->task, f->inbox, &folder), ERR_OK);
    assert_int_equal(folder.recent_count, 0);
    fixture_reopen(f); /* what was only noted is written at the end */
    assert_int_equal(vault_folder_by_id(f->vault, &f->task, f->inbox, &folder), ERR_OK);
    assert_int_equal(folder.recent_count, 0);
}

static uint32_t recent_in_inbox(struct fixture *f)
{
    struct vault_folder folder;

    assert_int_equal(vault_folder_by_id(f->vault, &f->task, f->inbox, &folder), ERR_OK);
    return folder.recent_count;
}

/* The count is remembered: it follows what comes, goes, and never came to be, also within a batch.
 */
static void test_recent_follows_changes(void **state)
{
    struct fixture *f = *state;
    uint32_t first, uids[6];

    for (int i = 0; i < 3; i++)
        uids[i] = fixture_append(f, f->inbox, fixture_message(f, "x"), 0);
    assert_int_equal(recent_in_inbox(f), 3);
    assert_int_equal(vault_message_remove(f->vault, &f->task, f->inbox, uids, 1), ERR_OK);
    assert_int_equal(recent_in_inbox(f), 2);
    assert_int_equal(vault_folder_take_recent(f->vault, &f->task, f->inbox, false, &first), ERR_OK);
    assert_int_equal(recent_in_inbox(f), 0);
    for (int i = 3; i < 6; i++)
        uids[i] = fixture_append(f, f->inbox, fixture_message(f, "x"), 0);
    assert_int_equal(recent_in_inbox(f), 3);
    assert_int_equal(vault_message_remove(f->vault, &f->task, f->inbox, uids + 1, 1), ERR_OK);
    assert_int_equal(recent_in_inbox(f), 3);
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    assert_int_equal(vault_message_remove(f->vault, &f->task, f->inbox, uids + 3, 1), ERR_OK);
    assert_int_equal(recent_in_inbox(f), 2);
    fixture_append(f, f->inbox, fixture_message(f, "x"), 0);
    assert_int_equal(recent_in_inbox(f), 3);
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
    assert_int_equal(recent_in_inbox(f), 3);
    fixture_reopen(f);
    assert_int_equal(recent_in_inbox(f), 3);
    /* With what is old gone, all are recent. */
    assert_int_equal(vault_message_remove(f->vault, &f->task, f->inbox, uids + 2, 1), ERR_OK);
    assert_int_equal(recent_in_inbox(f), 3);
}

static uint32_t uidvalidity_of(struct fixture *f, const char *name)
{
    struct vault_folder folder;

    assert_int_equal(vault_folder_find(f->vault, &f->task, str_from_c(name), &folder), ERR_OK);
    return folder.uidvalidity;
}

static void rename_to(struct fixture *f, const char *from, const char *to)
{
    assert_int_equal(vault_folder_rename(f->vault, &f->task, str_from_c(from), str_from_c(to)),
                     ERR_OK);
}

static uint32_t create(struct fixture *f, const char *name)
{
    assert_int_equal(vault_folder_create(f->vault, &f->task, str_from_c(name), VAULT_USE_NONE),
                     ERR_OK);
    return uidvalidity_of(f, name);
}

/* UIDs that messages bring along: not so high that none is left for those that follow. */
static void test_adopted_uids(void **state)
{
    struct fixture *f = *state;
    struct vault_folder folder;

    assert_int_equal(vault_folder_adopt(f->vault, &f->task, f->inbox, 1, UINT32_MAX), ERR_EXISTS);
    task_forgive(&f->task);
    assert_int_equal(vault_folder_adopt(f->vault, &f->task, f->inbox, 1, 7), ERR_OK);
    assert_int_equal(fixture_append(f, f->inbox, fixture_message(f, "x"), 0), 7);
    assert_int_equal(vault_folder_adopt(f->vault, &f->task, f->inbox, 1, UINT32_MAX - 1),
                     ERR_EXISTS);
    task_forgive(&f->task);
    assert_int_equal(fixture_append(f, f->inbox, fixture_message(f, "x"), 0), 8);
    create(f, "again");
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("again")), ERR_OK);
    create(f, "again");
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("again"), &folder), ERR_OK);
    assert_int_equal(vault_folder_adopt(f->vault, &f->task, folder.id, 1, 7), ERR_EXISTS);
    task_forgive(&f->task);
}

/* A folder keeps its UIDVALIDITY with a new name, but where a younger one had that name. */
static void test_a_renamed_folder_is_no_older(void **state)
{
    struct fixture *f = *state;
    struct vault_folder folder;
    uint32_t old = create(f, "old"), below = create(f, "old/below"), young = create(f, "young"),
             now;

    rename_to(f, "old", "other");
    assert_int_equal(uidvalidity_of(f, "other"), old);
    rename_to(f, "other", "old"); /* its own former name */
    assert_int_equal(uidvalidity_of(f, "old"), old);
    assert_int_equal(uidvalidity_of(f, "old/below"), below);
    rename_to(f, "young", "elsewhere");
    rename_to(f, "old", "young");
    now = uidvalidity_of(f, "young");
    assert_int_equal(vault_folder_find(f->vault, &f->task, STR("young"), &folder), ERR_OK);
    assert_true(vault_folder_is_valid(f->vault, folder.id, old)); /* for who had it selected */
    assert_true(now > young);
    assert_int_equal(uidvalidity_of(f, "young/below"), below);
    fixture_reopen(f);
    assert_int_equal(uidvalidity_of(f, "young"), now);
    young = create(f, "x");
    create(f, "x/below");
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("x/below")), ERR_OK);
    assert_int_equal(vault_folder_delete(f->vault, &f->task, STR("x")), ERR_OK);
    rename_to(f, "young", "x"); /* children, too */
    assert_true(uidvalidity_of(f, "x") > young);
    assert_true(uidvalidity_of(f, "x/below") > below);
}

static int64_t former_rows(struct fixture *f)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    assert_int_equal(
        db_prepare(f->vault->db, &f->task, "SELECT count(*) FROM former_name", &statement), ERR_OK);
    assert_int_equal(db_step(f->vault->db, &f->task, statement, &has_row), ERR_OK);
    return db_column_int(statement, 0);
}

/* Of very many names the oldest count as one. */
static void test_former_names_are_bounded(void **state)
{
    struct fixture *f = *state;
    uint32_t found;

    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    for (uint32_t i = 1; i <= VAULT_FORMER_MAX + 1; i++)
        assert_int_equal(
            former_note(f->vault, &f->task, arena_printf(&f->task.arena, "name %u", i), 10 * i),
            ERR_OK);
    assert_true(former_rows(f) <= VAULT_FORMER_MAX);
    for (uint32_t i = 1; i <= VAULT_FORMER_MAX + 1; i++) {
        assert_int_equal(former_uidvalidity(f->vault, &f->task,
                                            arena_printf(&f->task.arena, "name %u", i), &found),
                         ERR_OK);
        assert_true(i <= VAULT_FORMER_MAX / 2 ? found >= 10 * i : found == 10 * i);
    }
    assert_int_equal(former_uidvalidity(f->vault, &f->task, STR("never"), &found), ERR_OK);
    assert_in_range(found, 10, 10 * VAULT_FORMER_MAX / 2);
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
}

enum { FEW = 500, MANY = 4000 };

/* Names compared, and pages looked at. */
static void looks(struct fixture *f, uint64_t out[static 2])
{
    int pages, highest;

    assert_int_equal(
        sqlite3_db_status(db_handle(f->vault->db), SQLITE_DBSTATUS_CACHE_HIT, &pages, &highest, 1),
        SQLITE_OK);
    out[0] = f->vault->names_compared;
    out[1] = (uint64_t)pages;
}

enum folder_command { CREATE_ONE, RENAME_ONE, DELETE_ONE, RENAME_ALL, FOLDER_COMMANDS };

static void command_looks(struct fixture *f, enum folder_command command, uint64_t out[static 2])
{
    uint64_t before[2];
    enum err err = ERR_OK;

    looks(f, before);
    switch (command) {
    case CREATE_ONE:
        err = vault_folder_create(f->vault, &f->task, STR("many/new"), VAULT_USE_NONE);
        break;
    case RENAME_ONE:
        err = vault_folder_rename(f->vault, &f->task, STR("many/new"), STR("many/a/newer"));
        break;
    case DELETE_ONE:
        err = vault_folder_delete(f->vault, &f->task, STR("many/a/newer"));
        break;
    case RENAME_ALL:
        err = vault_folder_rename(f->vault, &f->task, STR("many"), STR("INBOX/below"));
        break;
    case FOLDER_COMMANDS:
        break;
    }
    assert_int_equal(err, ERR_OK);
    looks(f, out);
    out[0] -= before[0];
}

static void make_many(struct fixture *f, unsigned count)
{
    assert_int_equal(vault_batch_begin(f->vault, &f->task), ERR_OK);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(
            vault_folder_create(f->vault, &f->task,
                                arena_printf(&f->task.arena, "many/%u-%u", i * 2654435761u, i),
                                VAULT_USE_NONE),
            ERR_OK);
    assert_int_equal(vault_batch_end(f->vault, &f->task), ERR_OK);
}

/* What is done to one folder costs no more because there are many (log n); what is done to
 * many, by their number. */
static void test_many_cost_what_they_are(void **state)
{
    static const unsigned counts[] = {FEW, MANY};
    struct fixture *f = *state;
    uint64_t cost[2][FOLDER_COMMANDS][2];

    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        make_many(f, counts[i]);
        for (unsigned command = 0; command < FOLDER_COMMANDS; command++)
            command_looks(f, (enum folder_command)command, cost[i][command]);
        /* RENAME of all notes former names, of which there are more the next time. */
        assert_int_equal(vault_folder_rename(f->vault, &f->task, STR("INBOX/below"),
                                             arena_printf(&f->task.arena, "done-%zu", i)),
                         ERR_OK);
    }
    for (unsigned command = 0; command < FOLDER_COMMANDS; command++) {
        for (size_t kind = 0; kind < 2; kind++) {
            uint64_t few = cost[0][command][kind], many = cost[1][command][kind];
            uint64_t times = command == RENAME_ALL ? MANY / FEW : 1;

            if (many > few * times * 3 / 2 + 20)
                fail_msg("command %u, kind %zu: %llu among few, %llu among many", command, kind,
                         (unsigned long long)few, (unsigned long long)many);
        }
    }
}

/* Names in the mirror's order, whatever became of them. */
static void test_order_holds_through_changes(void **state)
{
    static const struct {
        const char *from, *to; /* `to` NULL: deleted; `from` NULL: made */
    } rows[] = {
        {NULL, "a/b/c"},     {NULL, "a/b-c"},   {NULL, "a b"},    {NULL, "z/y"},
        {"a/b", "z/y/x"},    {"z", "A"},        {"a", "INBOX/a"}, {"a b", NULL},
        {"A/y/x", "INBOX!"}, {"A", "zz"},       {NULL, "INBOX"},  {"Sent", "INBOX/a/b-c/d"},
        {"INBOX/a", "0"},    {"0/b-c/d", NULL}, {"zz/y", "y"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str from = rows[i].from == NULL ? STR("") : str_from_c(rows[i].from);
        struct str to = rows[i].to == NULL ? STR("") : str_from_c(rows[i].to);
        enum err err = to.len == 0     ? vault_folder_delete(f->vault, &f->task, from)
                       : from.len == 0 ? vault_folder_create(f->vault, &f->task, to, VAULT_USE_NONE)
                                       : vault_folder_rename(f->vault, &f->task, from, to);

        task_forgive(&f->task);
        assert_int_equal(err, str_equal(to, STR("INBOX")) ? ERR_EXISTS : ERR_OK);
        for (size_t k = 0; k < f->vault->folder_count; k++) {
            struct folder **all = f->vault->folders, **by_name = f->vault->folders_by_name;

            assert_true(k == 0 || all[k - 1]->id < all[k]->id);
            assert_true(k == 0 ||
                        vault_folder_compare_names(by_name[k - 1]->name, by_name[k]->name) < 0);
            assert_ptr_equal(vault_folder_get(f->vault, all[k]->id), all[k]);
            assert_ptr_equal(vault_folder_named(f->vault, all[k]->name), all[k]);
        }
    }
    assert_string_equal(names(f), "INBOX 0+ 0/b-c Archive Drafts INBOX!+ INBOX!/c Junk Trash y zz");
    fixture_reopen(f);
    assert_string_equal(names(f), "INBOX 0+ 0/b-c Archive Drafts INBOX!+ INBOX!/c Junk Trash y zz");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_standard_folders),
        TEST(test_names),
        TEST(test_order_and_children),
        TEST(test_delete),
        TEST(test_rename),
        TEST(test_uidvalidity_never_repeats),
        TEST(test_rename_inbox),
        TEST(test_subscriptions),
        TEST(test_special_use),
        TEST(test_recent),
        TEST(test_adopted_uids),
        TEST(test_recent_follows_changes),
        TEST(test_a_renamed_folder_is_no_older),
        TEST(test_former_names_are_bounded),
        TEST(test_many_cost_what_they_are),
        TEST(test_order_holds_through_changes),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
