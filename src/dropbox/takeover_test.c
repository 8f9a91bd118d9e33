/* Taking mail over under kills and failing calls, and beside a sealer that knows nothing of it. */
#include "dropbox/fixture.h"

#include "dropbox/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs in a child that is killed at this call, then opens all again. Whether it got to its end. */
static bool run_and_kill(struct fixture *f, long at, int (*run)(struct fixture *f))
{
    int status;
    pid_t child;

    sealing_free(&f->sealing);
    vault_close(&f->vault);
    child = fork();
    if (child == 0) {
        fixture_open_sealing(f);
        fixture_reopen_vault(f);
        faults_set(FAULTS_KILL, at, false);
        _exit(run(f));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || status == 0);
    fixture_open_sealing(f);
    fixture_reopen_vault(f);
    return status == 0;
}

static int run_cycle(struct fixture *f)
{
    uint64_t imported;

    if (fixture_deliver(f, 1) != ERR_OK || fixture_deliver(f, 3) != ERR_OK ||
        fixture_take_over(f, true, &imported) != ERR_OK)
        return 2;
    return 0;
}

static void test_kill_at_every_call(void **state)
{
    struct fixture *f = *state;
    bool is_through = false;
    long at;

    for (at = 1; at <= 400 && !is_through; at++) {
        uint64_t imported;

        is_through = run_and_kill(f, at, run_cycle);
        if (fixture_take_over(f, true, &imported) != ERR_OK)
            fail_msg("a login after a kill at call %ld", at);
        assert_true(fixture_check(f) == 0);
    }
    print_message("%ld calls\n", at - 2);
    assert_true(is_through && at > 41);
}

static int run_take_over(struct fixture *f)
{
    uint64_t imported;

    return fixture_take_over(f, false, &imported) == ERR_OK ? 0 : 2;
}

/* Taken over in part, the rest of a boot is imported later without a false alarm. */
static void test_kill_between_batches(void **state)
{
    struct fixture *f = *state;
    size_t partial = 0;

    for (long at = 5; at < 125; at += 5) { /* a batch makes few calls */
        uint64_t imported;

        for (int i = 0; i < 4; i++)
            assert_int_equal(fixture_deliver(f, 40), ERR_OK);
        (void)run_and_kill(f, at, run_take_over);
        assert_int_equal(fixture_deliver(f, 1), ERR_OK); /* another boot behind it */
        assert_int_equal(fixture_take_over(f, false, &imported), ERR_OK);
        partial += imported > 1 && imported < 161;
        assert_true(fixture_check(f) == 0);
    }
    assert_true(partial > 0);
}

/* A call fails, once or for a while: an error or success, and later all is there. */
static void test_failing_calls(void **state)
{
    (void)state;
    static const struct {
        enum faults_kind kind;
        bool is_lasting;
    } rows[] = {
        {FAULTS_EIO, false}, {FAULTS_EIO, true}, {FAULTS_ENOSPC, false}, {FAULTS_ENOSPC, true}};

    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        struct fixture *f = fixture_new();
        uint64_t imported;

        for (long at = 1; at <= 60; at++) {
            assert_int_equal(fixture_deliver(f, 2), ERR_OK);
            sealing_release(f->sealing, &f->mailbox);
            faults_set(rows[row].kind, at, rows[row].is_lasting);
            (void)!fixture_take_over(f, true, &imported);
            faults_clear();
            if (vault_is_broken(f->vault) || at % 10 == 0)
                fixture_reopen_vault(f);
            task_forgive(&f->task);
        }
        fixture_reopen_vault(f);
        assert_int_equal(fixture_take_over(f, true, &imported), ERR_OK);
        assert_true(fixture_check(f) == 0);
        fixture_free(&f);
    }
}

/* --- A sealer that knows nothing of the owner's process --- */

/* A process of its own that delivers or releases at one byte's word, and says how it went. */
struct other {
    pid_t pid;
    int fd;
    enum err at_hook;
};

static void serve_orders(struct fixture *f, int fd)
{
    unsigned char order;

    fixture_open_sealing(f);
    while (recv(fd, &order, 1, 0) == 1) {
        enum err err = ERR_OK;

        if (order == 'd')
            err = fixture_deliver(f, 1);
        else
            sealing_release(f->sealing, &f->mailbox);
        if (send(fd, &err, sizeof(err), 0) != sizeof(err))
            break;
    }
    _exit(0);
}

static void start_other(struct fixture *f, struct other *other)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    other->pid = fork();
    if (other->pid == 0) {
        (void)close(ends[0]);
        serve_orders(f, ends[1]);
    }
    (void)close(ends[1]);
    other->fd = ends[0];
}

static void stop_other(struct other *other)
{
    int status;

    (void)close(other->fd);
    assert_int_equal(waitpid(other->pid, &status, 0), other->pid);
    assert_int_equal(status, 0);
}

static enum err tell_other(const struct other *other, char order)
{
    enum err err;

    assert_int_equal(send(other->fd, &order, 1, 0), 1);
    assert_int_equal(recv(other->fd, &err, sizeof(err), 0), sizeof(err));
    return err;
}

static void deliver_meanwhile(void *owner)
{
    struct other *other = owner;

    other->at_hook = tell_other(other, 'd');
}

/*
 * A store died and its successor routes mail to the sealer, while the former mailbox process still
 * takes over: at each of its calls in turn. What the sealer acknowledges then is not lost.
 */
static void test_mail_that_comes_while_it_is_taken_over(void **state)
{
    struct fixture *f = *state;
    struct other other;
    long at;

    sealing_release(f->sealing, &f->mailbox);
    start_other(f, &other);
    for (at = 1; at <= 200; at++) {
        struct dropbox_owner owner = fixture_owner(f);
        uint64_t imported;
        long seen;

        assert_int_equal(tell_other(&other, 'd'), ERR_OK);
        assert_int_equal(tell_other(&other, 'r'), ERR_OK);
        other.at_hook = ERR_OK;
        f->task.now_ms += DROPBOX_AGE_AT_LOGIN_MS; /* so that the lane is renewed, too */
        faults_set_hook(deliver_meanwhile, &other, at);
        assert_int_equal(fixture_login(&owner, &f->task), ERR_OK);
        seen = faults_seen();
        faults_clear();
        assert_int_equal(other.at_hook, seen >= at ? ERR_BUSY : ERR_OK);
        assert_int_equal(tell_other(&other, 'r'), ERR_OK);
        assert_int_equal(fixture_take_over(f, true, &imported), ERR_OK);
        assert_true(fixture_check(f) == 0);
        if (seen < at)
            break;
    }
    print_message("%ld calls\n", at - 1);
    assert_true(at > 10 && at < 200);
    stop_other(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_kill_at_every_call),
        TEST(test_kill_between_batches),
        cmocka_unit_test(test_failing_calls),
        TEST(test_mail_that_comes_while_it_is_taken_over),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
