/* Backups of removed mailboxes go, whatever comes in between; against an archivist of the test's. */
#include "account/purge.h"

#include "account/bucket.h"
#include "base/scratch.h"
#include "secret/crypt.h"
#include "sqlite/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(call) assert_int_equal((call), ERR_OK)

enum { NOW_MS = 1000000, NAMES = 30, PAGE = 12, QUESTIONS_MAX = 16 };

struct fixture {
    char folder[64], path[96];
    struct secret *host_key, *key;
    struct account_database *database;
    struct account_purge *purge;
    struct log log;
    struct task task;
    int64_t mailbox;
    int64_t user, domain;
    struct id id, other, gone, asked; /* asked: whose the last question was */
    /* The destination. */
    bool has_object[NAMES];
    bool is_deaf;    /* takes no question */
    bool is_broken;  /* deletes nothing, and says so */
    bool is_lying;   /* deletes nothing, and says it did */
    bool is_endless; /* the first mailbox's have other names each time */
    unsigned endless_pages;
    /* Questions that it has not answered yet; of a list the name is empty. */
    struct {
        uint64_t tag;
        char name[16];
    } questions[QUESTIONS_MAX];
    size_t question_count, most_questions, list_count;
};

static enum err ask(struct fixture *f, const struct id *mailbox, struct str name, uint64_t tag)
{
    if (f->is_deaf)
        return ERR_BUSY;
    assert_true(id_equal(mailbox, &f->id) || id_equal(mailbox, &f->other));
    f->asked = *mailbox;
    assert_true(f->question_count < QUESTIONS_MAX);
    f->questions[f->question_count].tag = tag;
    (void)snprintf(f->questions[f->question_count].name, 16, "%.*s", STR_ARG(name));
    if (++f->question_count > f->most_questions)
        f->most_questions = f->question_count;
    return ERR_OK;
}

static enum err list(void *owner, const struct id *mailbox, uint64_t tag)
{
    ((struct fixture *)owner)->list_count++;
    return ask(owner, mailbox, STR(""), tag);
}

static enum err remove_object(void *owner, const struct id *mailbox, struct str name, uint64_t tag)
{
    return ask(owner, mailbox, name, tag);
}

static void gone(void *owner, const struct id *mailbox)
{
    struct fixture *f = owner;

    f->gone = *mailbox;
}

static const struct account_purge_services services = {list, remove_object, gone};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    unsigned char key[CRYPT_KEY_BYTES] = {1};

    scratch_folder_in_memory(f->folder, sizeof(f->folder), "purge-test");
    (void)snprintf(f->path, sizeof(f->path), "%s/account.sqlite", f->folder);
    f->host_key = secret_copy(str_make(key, sizeof(key)));
    f->key = account_database_key(f->host_key);
    f->log = (struct log){.level = LOG_LEVEL_ERROR, .fd = -1, .role = "test"};
    task_init(&f->task, NOW_MS);
    OK(account_database_open(&f->task, f->path, f->key, &f->database));
    f->id = id_random();
    OK(account_begin(f->database, &f->task));
    OK(account_user_add(f->database, &f->task, STR("u"), ACCOUNT_UNLIMITED, &f->user));
    OK(account_domain_add(f->database, &f->task, STR("home.test"), f->user, ACCOUNT_UNLIMITED));
    OK(account_domain_row(f->database, &f->task, STR("home.test"), &f->domain));
    OK(account_mailbox_add(f->database, &f->task, &f->id, f->user, f->domain, ACCOUNT_UNLIMITED,
                           &f->mailbox));
    OK(account_mailbox_activate(f->database, &f->task, f->mailbox));
    OK(account_commit(f->database, &f->task));
    for (size_t i = 0; i < NAMES; i++)
        f->has_object[i] = true;
    f->purge = account_purge_new(f->database, &services, f, &f->log);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    struct fixture *f = *state;
    char path[128];

    account_purge_free(&f->purge);
    account_database_close(&f->database);
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(f->folder), 0);
    secret_free(&f->key);
    secret_free(&f->host_key);
    task_done(&f->task);
    free(f);
    return 0;
}

/* --- The archivist --- */

static void answer_list(struct fixture *f, uint64_t tag)
{
    CLEANUP(buf_free) struct buf json;
    size_t count = 0;

    if (f->is_endless && id_equal(&f->asked, &f->id)) {
        memset(f->has_object, 0, sizeof(f->has_object));
        f->has_object[f->endless_pages++ % NAMES] = true;
    }
    buf_init(&json, SIZE_MAX);
    buf_putf(&json, "[");
    for (size_t i = 0; i < NAMES && count < PAGE; i++)
        if (f->has_object[i])
            buf_putf(&json, "%s{\"name\":\"full/%02zu\",\"size\":1}", count++ > 0 ? "," : "", i);
    buf_putf(&json, "]");
    account_purge_listed(f->purge, tag, WIRE_OK, buf_str(&json), f->task.now_ms);
}

static void answer_one(struct fixture *f)
{
    uint64_t tag = f->questions[0].tag;
    char name[16];
    uint64_t number;

    memcpy(name, f->questions[0].name, sizeof(name));
    memmove(f->questions, f->questions + 1, sizeof(f->questions) - sizeof(f->questions[0]));
    f->question_count--;
    if (name[0] == '\0') {
        answer_list(f, tag);
        return;
    }
    assert_true(parse_u64(str_from_c(name + 5), &number) && number < NAMES);
    if (!f->is_broken && !f->is_lying)
        f->has_object[number] = false;
    account_purge_removed(f->purge, tag, f->is_broken ? WIRE_UNAVAILABLE : WIRE_OK,
                          f->task.now_ms);
}

static void answer_all(struct fixture *f)
{
    for (int i = 0; f->question_count > 0; i++) {
        assert_true(i < 1000);
        answer_one(f);
    }
}

static size_t objects(const struct fixture *f)
{
    size_t count = 0;

    for (size_t i = 0; i < NAMES; i++)
        count += f->has_object[i];
    return count;
}

static uint64_t rows(struct fixture *f)
{
    uint64_t count;

    OK(account_purge_count(f->database, &f->task, &count));
    return count;
}

static void remove_mailbox(struct fixture *f, int64_t keep_ms, bool are_files_gone)
{
    OK(account_begin(f->database, &f->task));
    OK(account_mailbox_retire(f->database, &f->task, f->mailbox, f->task.now_ms + keep_ms));
    if (are_files_gone)
        OK(account_mailbox_forget(f->database, &f->task, f->mailbox));
    OK(account_commit(f->database, &f->task));
}

static void run_at(struct fixture *f, int64_t now_ms)
{
    f->task.now_ms = now_ms;
    account_purge_run(f->purge, now_ms);
    answer_all(f);
}

/* --- Tests --- */

static void test_all_go_and_then_the_row(void **state)
{
    struct fixture *f = *state;

    account_purge_set_peer(f->purge, true, NOW_MS);
    assert_int_equal(f->list_count, 0); /* the mailbox is there */
    remove_mailbox(f, 0, true);
    run_at(f, NOW_MS);
    assert_int_equal(objects(f), 0);
    assert_int_equal(f->most_questions, PURGE_AT_A_TIME);
    assert_int_equal(rows(f), 1); /* to be looked at once more */
    run_at(f, NOW_MS + PURGE_CHECK_MS - 1);
    assert_int_equal(rows(f), 1);
    f->has_object[7] = true; /* was on its way */
    run_at(f, NOW_MS + PURGE_CHECK_MS);
    assert_int_equal(objects(f), 0);
    assert_int_equal(rows(f), 1);
    run_at(f, NOW_MS + 2 * PURGE_CHECK_MS);
    assert_int_equal(rows(f), 0);
}

/* Where its owner had a bucket of his own, it is known until nothing is left there. */
static void test_its_bucket_is_known_until_then(void **state)
{
    struct account_bucket bucket = {.place = STR("s3:https://x.test/b"),
                                    .region = STR("r"),
                                    .key_id = STR("k"),
                                    .sealed = STR("sealed")};
    struct fixture *f = *state;

    bucket.mailbox = f->id;
    OK(account_begin(f->database, &f->task));
    OK(account_bucket_put(f->database, &f->task, &bucket));
    OK(account_commit(f->database, &f->task));
    account_purge_set_peer(f->purge, true, NOW_MS);
    remove_mailbox(f, 0, true);
    run_at(f, NOW_MS);
    OK(account_bucket_find(f->database, &f->task, &f->id, &bucket));
    assert_false(id_is_set(&f->gone));
    run_at(f, NOW_MS + PURGE_CHECK_MS);
    assert_int_equal(rows(f), 0);
    assert_int_equal(account_bucket_find(f->database, &f->task, &f->id, &bucket), ERR_NOT_FOUND);
    assert_true(id_equal(&f->gone, &f->id));
}

static void test_not_before_its_time(void **state)
{
    struct fixture *f = *state;

    remove_mailbox(f, 5000, false);
    account_purge_set_peer(f->purge, true, NOW_MS);
    run_at(f, NOW_MS + 4999);
    assert_int_equal(objects(f), NAMES);
    run_at(f, NOW_MS + 5000); /* its files are there: it may be sending more */
    assert_int_equal(objects(f), NAMES);
    OK(account_begin(f->database, &f->task));
    OK(account_mailbox_forget(f->database, &f->task, f->mailbox));
    OK(account_commit(f->database, &f->task));
    run_at(f, NOW_MS + 5000);
    assert_int_equal(objects(f), 0);
}

/* One that was never finished may have had a process, too. */
static void test_unfinished(void **state)
{
    struct fixture *f = *state;
    int64_t row;
    struct account_mailbox mailbox;
    struct id other = id_random();

    OK(account_mailbox_at(f->database, &f->task, f->mailbox, &mailbox));
    OK(account_begin(f->database, &f->task));
    OK(account_mailbox_add(f->database, &f->task, &other, mailbox.user, mailbox.domain,
                           ACCOUNT_UNLIMITED, &row));
    OK(account_mailbox_forget(f->database, &f->task, row));
    OK(account_commit(f->database, &f->task));
    assert_int_equal(rows(f), 1);
}

/* After each answer the archivist or the keeper goes, and what comes then goes on. */
static void test_interrupted_everywhere(void **state)
{
    struct fixture *f = *state;
    int64_t now_ms = NOW_MS;
    size_t interruptions = 0;

    remove_mailbox(f, 0, true);
    for (; rows(f) > 0 && interruptions < 500; interruptions++) {
        f->question_count = 0; /* nobody answers those */
        if (interruptions % 2 == 0) {
            account_purge_free(&f->purge);
            f->purge = account_purge_new(f->database, &services, f, &f->log);
        } else {
            account_purge_set_peer(f->purge, false, now_ms);
        }
        now_ms += PURGE_CHECK_MS;
        f->task.now_ms = now_ms;
        account_purge_set_peer(f->purge, true, now_ms);
        for (int i = 0; i < 3 && f->question_count > 0; i++)
            answer_one(f);
    }
    assert_int_equal(rows(f), 0);
    assert_int_equal(objects(f), 0);
    assert_true(interruptions > NAMES / 3);
}

static void test_what_fails_is_tried_again(void **state)
{
    struct fixture *f = *state;
    int64_t now_ms = NOW_MS;

    remove_mailbox(f, 0, true);
    account_purge_set_peer(f->purge, true, now_ms);
    f->is_broken = true;
    answer_all(f);
    assert_int_equal(objects(f), NAMES);
    run_at(f, now_ms + PURGE_RETRY_MS - 1);
    assert_int_equal(objects(f), NAMES);
    f->is_broken = false;
    f->is_lying = true;
    f->list_count = 0;
    run_at(f, now_ms += PURGE_RETRY_MS);
    assert_int_equal(f->list_count, 2); /* and not for ever */
    f->is_lying = false;
    f->is_deaf = true;
    run_at(f, now_ms += PURGE_RETRY_MS);
    f->is_deaf = false;
    run_at(f, now_ms += PURGE_RETRY_MS);
    assert_int_equal(objects(f), 0);
}

/* The archivist answers the open question, a list: it has a put of it under way. */
static void defer(struct fixture *f)
{
    assert_int_equal(f->question_count, 1);
    f->question_count = 0;
    account_purge_listed(f->purge, f->questions[0].tag, WIRE_DEFERRED, STR(""), f->task.now_ms);
}

/* So it was not empty, perhaps. */
static void test_what_is_on_its_way_is_waited_for(void **state)
{
    struct fixture *f = *state;
    int64_t now_ms = NOW_MS;

    memset(f->has_object, 0, sizeof(f->has_object));
    remove_mailbox(f, 0, true);
    account_purge_set_peer(f->purge, true, now_ms);
    answer_all(f); /* empty once */
    now_ms += PURGE_CHECK_MS;
    for (int i = 0; i < 3; i++) {
        f->task.now_ms = now_ms;
        account_purge_run(f->purge, now_ms);
        defer(f);
        assert_int_equal(f->question_count, 0); /* not at once */
        now_ms += PURGE_RETRY_MS;
    }
    run_at(f, now_ms); /* empty again, but what was found before does not count */
    assert_int_equal(rows(f), 1);
    run_at(f, now_ms + PURGE_CHECK_MS);
    assert_int_equal(rows(f), 0);
}

/* f->id first, then f->other, which is there for this. */
static void remove_two(struct fixture *f)
{
    remove_mailbox(f, 0, true);
    f->other = id_random();
    OK(account_begin(f->database, &f->task));
    OK(account_mailbox_add(f->database, &f->task, &f->other, f->user, f->domain, ACCOUNT_UNLIMITED,
                           &f->mailbox));
    OK(account_mailbox_activate(f->database, &f->task, f->mailbox));
    OK(account_commit(f->database, &f->task));
    remove_mailbox(f, 1, true);
}

static void test_others_do_not_wait_for_it(void **state)
{
    struct fixture *f = *state;

    remove_two(f);
    f->task.now_ms = NOW_MS + 1;
    account_purge_set_peer(f->purge, true, f->task.now_ms);
    assert_true(id_equal(&f->asked, &f->id));
    defer(f);
    assert_true(id_equal(&f->asked, &f->other));
    defer(f);
    assert_int_equal(f->question_count, 0);
    assert_int_equal(rows(f), 2);
}

/* An owner's bucket is a stranger's server. */
static void test_others_do_not_wait_for_one_without_an_end(void **state)
{
    struct fixture *f = *state;

    remove_two(f);
    f->is_endless = true;
    f->task.now_ms = NOW_MS + 2;
    account_purge_set_peer(f->purge, true, f->task.now_ms);
    assert_true(id_equal(&f->asked, &f->id));
    for (int i = 0; id_equal(&f->asked, &f->id); i++) {
        assert_true(i < 1000);
        answer_one(f);
    }
    f->has_object[0] = false;
    answer_one(f); /* the other has nothing */
    assert_true(id_equal(&f->asked, &f->id));
    f->is_endless = false;
    answer_all(f);
    run_at(f, NOW_MS + PURGE_CHECK_MS + 2);
    assert_int_equal(rows(f), 0);
}

/* Answers that make no sense, that are not ours, or come late. */
static void test_strange_answers(void **state)
{
    static const char *const lists[] = {"", "{}", "[1]", "[{\"name\":1}]", "[{}]", "nonsense"};
    struct fixture *f = *state;
    int64_t now_ms = NOW_MS;
    uint64_t tag;

    account_purge_listed(f->purge, 5, WIRE_OK, STR("[]"), now_ms);
    account_purge_removed(f->purge, 5, WIRE_OK, now_ms);
    remove_mailbox(f, 0, true);
    account_purge_set_peer(f->purge, true, now_ms);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        tag = f->questions[0].tag;
        assert_int_equal(f->question_count, 1);
        f->question_count = 0;
        account_purge_listed(f->purge, tag + 1, WIRE_OK, STR("[]"), now_ms);
        account_purge_removed(f->purge, tag, WIRE_OK, now_ms);
        account_purge_listed(f->purge, tag, WIRE_OK, str_from_c(lists[i]), now_ms);
        assert_int_equal(f->question_count, 0);
        now_ms += PURGE_RETRY_MS;
        f->task.now_ms = now_ms;
        account_purge_run(f->purge, now_ms);
    }
    /* No destination. */
    tag = f->questions[0].tag;
    f->question_count = 0;
    account_purge_listed(f->purge, tag, WIRE_DISABLED, STR(""), now_ms);
    assert_int_equal(rows(f), 1);
    assert_int_equal(objects(f), NAMES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_all_go_and_then_the_row),
        TEST(test_not_before_its_time),
        TEST(test_its_bucket_is_known_until_then),
        TEST(test_not_before_its_time),
        TEST(test_what_is_on_its_way_is_waited_for),
        TEST(test_others_do_not_wait_for_it),
        TEST(test_others_do_not_wait_for_one_without_an_end),
        TEST(test_unfinished),
        TEST(test_interrupted_everywhere),
        TEST(test_what_fails_is_tried_again),
        TEST(test_strange_answers),
    };

    secret_init();
    db_init_library();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
