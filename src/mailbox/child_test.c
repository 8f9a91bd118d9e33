/* Work in a forked child of a mailbox process: what comes back, what it has, and how it ends. */
#include "mailbox/child.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct log log;
    struct mailbox_start start;
    struct mailbox mailbox;
    struct mailbox_job job;
    struct mailbox_child *child;
    int store;   /* the other end of the store's channel: nobody reads it */
    int line[2]; /* a pipe of the test's own; the child gets its second end */
    struct secret *secret;
};

static void on_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    (void)owner;
    (void)channel;
    (void)message;
}

static void on_close(void *owner, struct wire_channel *channel)
{
    (void)owner;
    (void)channel;
}

/* mailbox_job_go_on */
static void on_turn(void *owner)
{
    struct fixture *f = owner;

    net_loop_stop(f->mailbox.loop);
}

static void on_heartbeat(void *owner)
{
    (void)owner;
}

static int set_up(void **state)
{
    static const struct wire_channel_events events = {on_message, on_close};
    struct fixture *f = NEW(struct fixture);
    int ends[2];

    *state = f;
    f->log = (struct log){.level = LOG_LEVEL_ERROR, .fd = STDERR_FILENO, .role = "test"};
    f->start.log = &f->log;
    f->mailbox.start = &f->start;
    f->mailbox.loop = net_loop_new();
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    f->store = ends[1];
    f->mailbox.store = wire_channel_new(f->mailbox.loop, ends[0], WIRE_ROLE_MAILBOX,
                                        WIRE_ROLE_STORE, &events, f, &f->log);
    f->job.mailbox = &f->mailbox;
    f->job.session = id_random();
    f->start.id = id_random();
    f->job.result = json_object();
    f->job.progress = json_object();
    f->job.turn = net_timer_new(f->mailbox.loop, on_turn, f);
    f->job.heartbeat = net_timer_new(f->mailbox.loop, on_heartbeat, f);
    task_init(&f->job.task, clock_now_ms());
    assert_int_equal(pipe2(f->line, O_CLOEXEC), 0);
    f->secret = secret_copy(STR("the mailbox's key"));
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    mailbox_child_free(&f->child);
    net_timer_free(&f->job.turn);
    net_timer_free(&f->job.heartbeat);
    json_decref(f->job.result);
    json_decref(f->job.progress);
    task_done(&f->job.task);
    wire_channel_free(&f->mailbox.store);
    net_loop_free(&f->mailbox.loop);
    fd_close(&f->store);
    fd_close(&f->line[0]);
    fd_close(&f->line[1]);
    secret_free(&f->secret);
    mem_free(&f);
    return 0;
}

static void start(struct fixture *f, mailbox_child_work work)
{
    assert_int_equal(mailbox_child_start(&f->job, work, f, &f->line[1], 1, &f->child), ERR_OK);
    assert_true(mailbox_child_is_working(f->child));
}

/* As a job does: until it has said all. */
static enum err run(struct fixture *f, mailbox_child_work work)
{
    start(f, work);
    while (mailbox_child_is_working(f->child))
        net_loop_run(f->mailbox.loop);
    return mailbox_child_result(f->child, &f->job.task);
}

/* --- what comes back ------------------------------------------------------------------------- */

static enum err find_out(struct mailbox_child_link *link, struct task *task, void *detail)
{
    const struct fixture *f = detail;

    (void)task;
    for (uint64_t i = 1; i <= 1000; i++)
        mailbox_child_progress(link, "pieces", i, 1000);
    mailbox_child_put(link, "number", json_integer(42));
    mailbox_child_put(link, "knows_key",
                      json_boolean(str_equal(secret_str(f->secret), STR("the mailbox's key"))));
    return ERR_OK;
}

static void what_it_found(void **state)
{
    struct fixture *f = *state;

    json_object_set_new(f->job.result, "before", json_true());
    assert_int_equal(run(f, find_out), ERR_OK);
    assert_int_equal(json_integer_value(json_object_get(f->job.result, "number")), 42);
    assert_true(json_is_true(json_object_get(f->job.result, "knows_key")));
    assert_true(json_is_true(json_object_get(f->job.result, "before")));
    assert_int_equal(json_integer_value(json_object_get(f->job.progress, "done")), 1000);
}

static void waited_for(void **state)
{
    struct fixture *f = *state;

    start(f, find_out);
    mailbox_child_wait(f->child);
    assert_false(mailbox_child_is_working(f->child));
    assert_int_equal(mailbox_child_result(f->child, &f->job.task), ERR_OK);
    assert_int_equal(json_integer_value(json_object_get(f->job.result, "number")), 42);
}

/* cmocka has a macro of the name. */
static enum err find_it_damaged(struct mailbox_child_link *link, struct task *task, void *detail)
{
    (void)detail;
    mailbox_child_put(link, "where", json_string("page 7"));
    return (fail)(task, ERR_CORRUPT, "page %d is \"damaged\"\n", 7);
}

static void what_went_wrong(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, find_it_damaged), ERR_CORRUPT);
    assert_string_equal(f->job.task.words, "page 7 is \"damaged\"\n");
    assert_string_equal(json_string_value(json_object_get(f->job.result, "where")), "page 7");
}

static enum err die(struct mailbox_child_link *link, struct task *task, void *detail)
{
    (void)task;
    (void)detail;
    mailbox_child_put(link, "number", json_integer(42));
    (void)raise(SIGKILL);
    return ERR_OK;
}

static void one_that_dies(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, die), ERR_IO);
    assert_non_null(strstr(f->job.task.words, "died"));
    assert_null(json_object_get(f->job.result, "number"));
}

static enum err say_too_much(struct mailbox_child_link *link, struct task *task, void *detail)
{
    CLEANUP(mem_free) char *text = mem_room(1024 * 1024);

    (void)task;
    (void)detail;
    memset(text, 'x', 1024 * 1024);
    mailbox_child_put(link, "text", json_stringn(text, 1024 * 1024));
    return ERR_OK;
}

/* It would fill our memory: no answer. */
static void one_that_says_too_much(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, say_too_much), ERR_IO);
    assert_null(json_object_get(f->job.result, "text"));
}

/* --- what it has ----------------------------------------------------------------------------- */

static enum err count_descriptors(struct mailbox_child_link *link, struct task *task, void *detail)
{
    const struct fixture *f = detail;
    DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;
    uint64_t number;
    int count = 0;

    while ((entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.' && parse_u64(str_from_c(entry->d_name), &number) &&
                         number > STDERR_FILENO
                     ? 1
                     : 0;
    closedir(folder);
    mailbox_child_put(link, "open", json_integer(count - 1)); /* but the folder itself */
    return fd_write_all(task, f->line[1], STR("given"));
}

static void what_it_was_given_and_no_more(void **state)
{
    struct fixture *f = *state;
    char bytes[5];

    assert_int_equal(run(f, count_descriptors), ERR_OK);
    /* The pipe back, and the one that it was given. */
    assert_int_equal(json_integer_value(json_object_get(f->job.result, "open")), 2);
    assert_int_equal(read(f->line[0], bytes, sizeof(bytes)), sizeof(bytes));
    assert_memory_equal(bytes, "given", sizeof(bytes));
}

/* --- its end --------------------------------------------------------------------------------- */

static enum err work_while_wanted(struct mailbox_child_link *link, struct task *task, void *detail)
{
    const struct fixture *f = detail;

    TRY(fd_write_all(task, f->line[1], STR("b")));
    while (mailbox_child_is_wanted(link))
        usleep(1000);
    return fd_write_all(task, f->line[1], STR("e"));
}

static void one_that_nobody_waits_for(void **state)
{
    struct fixture *f = *state;
    char byte;

    start(f, work_while_wanted);
    fd_close(&f->line[1]); /* the child has the other one */
    assert_int_equal(read(f->line[0], &byte, 1), 1);
    assert_int_equal(byte, 'b');
    mailbox_child_free(&f->child);
    assert_int_equal(read(f->line[0], &byte, 1), 1); /* it found out */
    assert_int_equal(byte, 'e');
    assert_int_equal(read(f->line[0], &byte, 1), 0); /* and is gone */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(what_it_found),
        TEST(waited_for),
        TEST(what_went_wrong),
        TEST(one_that_dies),
        TEST(one_that_says_too_much),
        TEST(what_it_was_given_and_no_more),
        TEST(one_that_nobody_waits_for),
    };

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
