#include "mailauth/srs.h"

#include "base/macros.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

enum { LONG_LEN = 60 };

static const struct str key = STR_INIT("0123456789abcdef0123456789abcdef");
static const int64_t day_ms = 24 * 60 * 60 * 1000;
static const int64_t now_ms = INT64_C(1795000000000);

struct fixture {
    struct task task;
    struct buf out;
};

static int begin(void **state)
{
    static struct fixture fixture;

    task_init(&fixture.task, now_ms);
    buf_init(&fixture.out, SIZE_MAX);
    *state = &fixture;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    buf_free(&f->out);
    task_done(&f->task);
    return 0;
}

static struct str rewrite(struct fixture *f, struct str sender, struct str domain)
{
    buf_reset(&f->out);
    assert_int_equal(srs_rewrite(&f->task, key, sender, domain, now_ms, &f->out), ERR_OK);
    return arena_copy(&f->task.arena, buf_str(&f->out));
}

static struct str local_of(struct str address)
{
    return str_upto(address, (size_t)str_last_index(address, '@'));
}

static enum err reverse_at(struct fixture *f, struct str local, int64_t at_ms)
{
    enum err err;

    buf_reset(&f->out);
    err = srs_reverse(&f->task, key, local, at_ms, &f->out);
    task_forgive(&f->task);
    return err;
}

static void assert_text(struct str got, struct str expected)
{
    if (!str_equal(got, expected))
        fail_msg("got %.*s, not %.*s", STR_ARG(got), STR_ARG(expected));
}

static void an_address_comes_back(void **state)
{
    static const struct str senders[] = {
        STR_INIT("ann@a.test"),    STR_INIT("ann=b+c@a.test"),     STR_INIT("\"a b\"@a.test"),
        STR_INIT("a@[192.0.2.1]"), STR_INIT("\"a\\\"@b\"@a.test"), STR_INIT("\xc3\xa4@a.test"),
        STR_INIT("Ann@A.Test"),
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
        struct str local = local_of(rewrite(f, senders[i], STR("b.test")));

        assert_true(srs_is_one(local));
        assert_int_equal(reverse_at(f, local, now_ms), ERR_OK);
        assert_text(buf_str(&f->out), senders[i]);
    }
    assert_true(str_starts_with(rewrite(f, STR("ann@a.test"), STR("b.test")), STR("SRS0=")));
    assert_true(
        str_ends_with(rewrite(f, STR("ann@a.test"), STR("b.test")), STR("=a.test=ann@b.test")));
}

static void case_may_change_on_the_way(void **state)
{
    struct fixture *f = *state;
    struct str local = local_of(rewrite(f, STR("Ann@a.test"), STR("b.test")));
    char lower[80];

    for (size_t i = 0; i < local.len; i++)
        lower[i] =
            local.ptr[i] >= 'A' && local.ptr[i] <= 'Z' ? (char)(local.ptr[i] | 32) : local.ptr[i];
    assert_int_equal(reverse_at(f, str_make(lower, local.len), now_ms), ERR_OK);
    assert_text(buf_str(&f->out), STR("ann@a.test"));
}

static void another_forwarders_is_wrapped_once(void **state)
{
    struct fixture *f = *state;
    struct str theirs = STR("SRS0=xyz=AB=a.test=ann@b.test");
    struct str ours = rewrite(f, theirs, STR("c.test")), again;

    assert_true(str_starts_with(ours, STR("SRS1=")));
    assert_true(str_ends_with(ours, STR("=b.test==xyz=AB=a.test=ann@c.test")));
    assert_int_equal(reverse_at(f, local_of(ours), now_ms), ERR_OK);
    assert_text(buf_str(&f->out), theirs);
    /* A third forwarder points back at the first as well. */
    again = rewrite(f, ours, STR("d.test"));
    assert_true(str_ends_with(again, STR("=b.test==xyz=AB=a.test=ann@d.test")));
    assert_int_equal(reverse_at(f, local_of(again), now_ms), ERR_OK);
    assert_text(buf_str(&f->out), theirs);
}

static void the_null_sender_stays(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(rewrite(f, STR(""), STR("b.test")).len, 0);
}

static void old_ones_end(void **state)
{
    struct fixture *f = *state;
    struct str local = local_of(rewrite(f, STR("ann@a.test"), STR("b.test")));

    assert_int_equal(reverse_at(f, local, now_ms + SRS_LIFETIME_DAYS * day_ms), ERR_OK);
    assert_int_equal(reverse_at(f, local, now_ms + (SRS_LIFETIME_DAYS + 1) * day_ms), ERR_DENIED);
    assert_int_equal(reverse_at(f, local, now_ms - day_ms), ERR_OK); /* another host's clock */
    assert_int_equal(reverse_at(f, local, now_ms - 2 * day_ms), ERR_DENIED);
}

static void what_is_not_ours_is_refused(void **state)
{
    static const struct str locals[] = {
        STR_INIT(""),
        STR_INIT("ann"),
        STR_INIT("SRS0="),
        STR_INIT("SRS0=AAAAAA"),
        STR_INIT("SRS0=AAAAAA=AA=a.test=ann"),
        STR_INIT("SRS1=AAAAAA=b.test==xyz=AB=a.test=ann"),
        STR_INIT("SRS2=AAAAAA=AA=a.test=ann"),
        STR_INIT("SRS0=AAAA=AA=a.test=ann"),
    };
    struct fixture *f = *state;
    struct str good = local_of(rewrite(f, STR("ann@a.test"), STR("b.test")));

    for (size_t i = 0; i < ARRAY_LEN(locals); i++)
        assert_int_equal(reverse_at(f, locals[i], now_ms), ERR_DENIED);
    /* Any byte changed, but for its case. */
    for (size_t i = 5; i < good.len; i++) {
        struct str changed = arena_copy(&f->task.arena, good);

        ((char *)changed.ptr)[i] ^= 1;
        assert_int_equal(reverse_at(f, changed, now_ms), ERR_DENIED);
    }
    assert_false(srs_is_one(STR("srs")));
    assert_false(srs_is_one(STR("SRS0")));
    assert_true(srs_is_one(STR("srs0+abc")));
}

static void a_long_one_has_no_room(void **state)
{
    struct fixture *f = *state;
    char local[LONG_LEN + 8];

    for (size_t i = 0; i < LONG_LEN; i++)
        local[i] = 'a';
    local[LONG_LEN] = '@';
    local[LONG_LEN + 1] = 'b';
    assert_int_equal(
        srs_rewrite(&f->task, key, str_make(local, LONG_LEN + 2), STR("c.test"), now_ms, &f->out),
        ERR_LIMIT);
    assert_int_equal(f->out.len, 0);
    task_forgive(&f->task);
    assert_int_equal(srs_rewrite(&f->task, key, STR("ann"), STR("c.test"), now_ms, &f->out),
                     ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_address_comes_back, begin, end),
        cmocka_unit_test_setup_teardown(case_may_change_on_the_way, begin, end),
        cmocka_unit_test_setup_teardown(another_forwarders_is_wrapped_once, begin, end),
        cmocka_unit_test_setup_teardown(the_null_sender_stays, begin, end),
        cmocka_unit_test_setup_teardown(old_ones_end, begin, end),
        cmocka_unit_test_setup_teardown(what_is_not_ours_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_long_one_has_no_room, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
