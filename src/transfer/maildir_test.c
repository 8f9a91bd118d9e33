/* What a Maildir says in its names, and in the files that Dovecot keeps in it. */
#include "transfer/maildir.h"

#include "vault/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_file_names(void **state)
{
    static const struct {
        const char *file, *base;
        uint64_t flags;
        int64_t time_ms;
        size_t keywords;
    } rows[] = {
        {"1763787600.M1P2.host,S=12:2,FS", "1763787600.M1P2.host,S=12",
         VAULT_FLAG_FLAGGED | VAULT_FLAG_SEEN, 1763787600000, 0},
        {"1763787600.x:2,DRT", "1763787600.x",
         VAULT_FLAG_DRAFT | VAULT_FLAG_ANSWERED | VAULT_FLAG_DELETED, 1763787600000, 0},
        {"1763787600.x:2,Sac", "1763787600.x", VAULT_FLAG_SEEN, 1763787600000,
         1}, /* b and c have no name */
        {"1763787600.x;2,S", "1763787600.x", VAULT_FLAG_SEEN, 1763787600000, 0},
        {"1763787600.x!2,S", "1763787600.x", VAULT_FLAG_SEEN, 1763787600000, 0},
        {"1763787600.x:1,S", "1763787600.x:1,S", 0, 1763787600000, 0},
        {"new.mail", "new.mail", 0, 0, 0},
        {"99999999999.x", "99999999999.x", 0, 0, 0},
        {"a:2,S:2,F", "a:2,S", VAULT_FLAG_FLAGGED, 0, 0}, /* the last one counts */
        {"", "", 0, 0, 0},
        {":2,", "", 0, 0, 0},
    };
    struct str keywords[MAILDIR_KEYWORDS] = {STR("$Forwarded"), STR("")}, found[MAILDIR_KEYWORDS];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str file = str_from_c(rows[i].file);
        size_t count;

        if (!str_equal(maildir_base(file), str_from_c(rows[i].base)) ||
            maildir_flags(file, keywords, found, &count) != rows[i].flags ||
            maildir_time(file) != rows[i].time_ms || count != rows[i].keywords)
            fail_msg("%s", rows[i].file);
    }
}

static void test_keywords(void **state)
{
    struct str found[MAILDIR_KEYWORDS];

    (void)state;
    maildir_parse_keywords(
        STR("0 $Forwarded\n1 Later\n25 Last\n26 none\n-1 none\nx none\n2 \xff\n3 \n"), found);
    assert_true(str_equal(found[0], STR("$Forwarded")));
    assert_true(str_equal(found[1], STR("Later")));
    assert_true(str_equal(found[25], STR("Last")));
    assert_int_equal(found[2].len + found[3].len, 0);
}

static uint32_t uid_of(const struct maildir_uids *uids, struct str base)
{
    const struct maildir_uid *found = maildir_uid_of(uids, base);

    return found == NULL ? 0 : found->uid;
}

static void check_uidl(const struct maildir_uids *uids, const char *base, const char *uidl)
{
    const struct maildir_uid *found = maildir_uid_of(uids, str_from_c(base));

    if (found == NULL || !str_equal(found->uidl, str_from_c(uidl)))
        fail_msg("%s: %.*s", base, found == NULL ? 0 : (int)found->uidl.len,
                 found == NULL ? "" : found->uidl.ptr);
}

/* As Dovecot keeps those of the servers that were there before it, and as Courier keeps its own. */
static void test_unique_ids(void **state)
{
    struct maildir_uids uids = {0};
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_true(maildir_parse_uids(&task.arena,
                                   STR("3 V1763 N9 G0123\n1 PUID7-99 W12 :a\n2 W12 P S3 :b:2,S\n"
                                       "3 W12 :c P9\n4 :d\n"),
                                   &uids));
    check_uidl(&uids, "a", "UID7-99");
    check_uidl(&uids, "b", "b");
    check_uidl(&uids, "c P9", "");
    check_uidl(&uids, "d", "");
    assert_int_equal(uid_of(&uids, STR("b")), 2);
    assert_true(maildir_parse_courier(&task.arena,
                                      STR("/3 9 1763\n1.a:2,S 100 3:1763:0\n2.b 1 4:0:1\n"
                                          "3.c+'d 1 0:0:0\n4 d 1 5:6\nnothing\n5.e 1\n6.f 1 x:1:0\n"
                                          " 1 1:1\n7.g 1 1\n"),
                                      &uids));
    assert_int_equal(uids.count, 4);
    check_uidl(&uids, "1.a", "UID3-1763");
    check_uidl(&uids, "2.b", "UID4");
    check_uidl(&uids, "3.c+'d", "3.c+2B+27d");
    check_uidl(&uids, "4 d", "UID5-6");
    assert_false(maildir_parse_courier(&task.arena, STR("/1 9\n1.a 1 3:4\n"), &uids));
    assert_false(maildir_parse_courier(&task.arena, STR(""), &uids));
    task_done(&task);
}

static void test_uid_lists(void **state)
{
    struct maildir_uids uids = {0};
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_true(maildir_parse_uids(&task.arena,
                                   STR("3 V1763 N9 G0123\n5 W99 :b.host:2,S\n3 :a.host\n0 :zero\n"
                                       "x :word\n7 no colon\n4294967296 :large\n"),
                                   &uids));
    assert_int_equal(uids.uidvalidity, 1763);
    assert_int_equal(uids.uidnext, 9);
    assert_int_equal(uids.count, 2);
    assert_int_equal(uid_of(&uids, STR("a.host")), 3);
    assert_int_equal(uid_of(&uids, STR("b.host")), 5);
    assert_int_equal(uid_of(&uids, STR("c.host")), 0);
    assert_true(maildir_parse_uids(&task.arena, STR("1 1763 9\n3 a.host\n"), &uids));
    assert_int_equal(uid_of(&uids, STR("a.host")), 3);
    assert_false(maildir_parse_uids(&task.arena, STR("2 V1 N2\n"), &uids));
    assert_false(maildir_parse_uids(&task.arena, STR("3 Vx N2\n"), &uids));
    assert_false(maildir_parse_uids(&task.arena, STR("3 N2\n"), &uids));
    assert_false(maildir_parse_uids(&task.arena, STR(""), &uids));
    task_done(&task);
}

static void test_subscriptions(void **state)
{
    struct str *names;
    struct task task;
    size_t count;

    (void)state;
    task_init(&task, 0);
    maildir_parse_subscriptions(&task.arena, STR("inbox\nWork.Plans\nR&AOQ-um\n\n"), &names,
                                &count);
    assert_int_equal(count, 3);
    assert_true(str_equal(names[0], STR("INBOX")));
    assert_true(str_equal(names[1], STR("Work/Plans")));
    assert_true(str_equal(names[2], STR("R\xc3\xa4um")));
    maildir_parse_subscriptions(&task.arena, STR("V\t2\n\nWork\tPlans.2\n"), &names, &count);
    assert_int_equal(count, 1);
    assert_true(str_equal(names[0], STR("Work/Plans.2")));
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_names),    cmocka_unit_test(test_keywords),
        cmocka_unit_test(test_uid_lists),     cmocka_unit_test(test_unique_ids),
        cmocka_unit_test(test_subscriptions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
