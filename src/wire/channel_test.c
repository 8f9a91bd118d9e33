#include "wire/channel.h"

#include "base/file.h"
#include "base/memory.h"
#include "wire/socket.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* One end of a pair, and what came in there. */
struct end {
    struct net_loop *loop; /* borrowed */
    struct wire_channel *channel;
    size_t received, expected;
    uint64_t last_tag;
    struct buf text;
    int kept_fd;
    bool is_closed;
    bool frees_itself;
};

static void on_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct end *end = owner;

    assert_ptr_equal(channel, end->channel);
    end->received++;
    end->last_tag = message->tag;
    if (message->type == WIRE_RECIPIENT)
        buf_put(&end->text, message->body.recipient.address);
    if (message->type == WIRE_DELIVER && message->fd_count == 1 && end->kept_fd < 0) {
        end->kept_fd = message->fds[0];
        message->fds[0] = -1;
    }
    if (end->frees_itself)
        wire_channel_free(&end->channel);
    if (end->received == end->expected)
        net_loop_stop(end->loop);
}

static void on_close(void *owner, struct wire_channel *channel)
{
    struct end *end = owner;

    assert_ptr_equal(channel, end->channel);
    end->is_closed = true;
    wire_channel_free(&end->channel);
    net_loop_stop(end->loop);
}

static const struct wire_channel_events events = {.on_message = on_message, .on_close = on_close};
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = -1, .role = "test"};

struct pair {
    struct net_loop *loop;
    struct end smtp, other;
};

static void pair_init(struct pair *pair, enum wire_role other)
{
    int fds[2];

    memset(pair, 0, sizeof(*pair));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    pair->loop = net_loop_new();
    pair->smtp = (struct end){.loop = pair->loop, .kept_fd = -1};
    pair->other = (struct end){.loop = pair->loop, .kept_fd = -1};
    buf_init(&pair->smtp.text, SIZE_MAX);
    buf_init(&pair->other.text, SIZE_MAX);
    pair->smtp.channel = wire_channel_new(pair->loop, fds[0], WIRE_ROLE_SMTP, other, &events,
                                          &pair->smtp, &quiet);
    pair->other.channel = wire_channel_new(pair->loop, fds[1], other, WIRE_ROLE_SMTP, &events,
                                           &pair->other, &quiet);
}

static void pair_done(struct pair *pair)
{
    wire_channel_free(&pair->smtp.channel);
    wire_channel_free(&pair->other.channel);
    buf_free(&pair->smtp.text);
    buf_free(&pair->other.text);
    fd_close(&pair->other.kept_fd);
    net_loop_free(&pair->loop);
}

static size_t open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void messages_arrive_in_order(void **state)
{
    struct pair pair;

    (void)state;
    pair_init(&pair, WIRE_ROLE_KEEPER);
    pair.other.expected = 1000;
    for (uint64_t tag = 1; tag <= 1000; tag++) {
        char digit = (char)('0' + tag % 10);
        struct wire_recipient body = {.address = str_make(&digit, 1)};

        assert_int_equal(wire_send(pair.smtp.channel, WIRE_RECIPIENT, tag, &body, NULL, 0),
                         ERR_OK);
    }
    net_loop_run(pair.loop);
    assert_int_equal(pair.other.received, 1000);
    assert_int_equal(pair.other.last_tag, 1000);
    assert_memory_equal(pair.other.text.ptr, "1234567890123456789", 19);
    pair_done(&pair);
}

static void the_largest_frame_passes(void **state)
{
    size_t len = WIRE_FRAME_MAX - 64;
    char *large = mem_new(len, 1);
    struct wire_recipient body = {.address = {large, len}};
    struct pair pair;

    (void)state;
    memset(large, 'x', len);
    pair_init(&pair, WIRE_ROLE_KEEPER);
    pair.other.expected = 20; /* more than the socket's buffer takes: the queue works */
    for (int i = 0; i < 20; i++)
        assert_int_equal(wire_send(pair.smtp.channel, WIRE_RECIPIENT, 1, &body, NULL, 0), ERR_OK);
    net_loop_run(pair.loop);
    assert_int_equal(pair.other.text.len, 20 * len);
    body.address.len += 64;
    assert_int_equal(wire_send(pair.smtp.channel, WIRE_RECIPIENT, 1, &body, NULL, 0), ERR_LIMIT);
    pair_done(&pair);
    mem_free(&large);
}

static void the_queue_is_bounded(void **state)
{
    size_t len = 100 * 1000, taken = 0;
    char *large = mem_new(len, 1);
    struct wire_recipient body = {.address = {large, len}};
    struct pair pair;

    (void)state;
    pair_init(&pair, WIRE_ROLE_KEEPER);
    while (taken < 1000 &&
           wire_send(pair.smtp.channel, WIRE_RECIPIENT, taken, &body, NULL, 0) == ERR_OK)
        taken++;
    /* The queue, and what the socket itself holds. */
    assert_in_range(taken, WIRE_QUEUE_MAX_BYTES / len, WIRE_QUEUE_MAX_BYTES / len + 40);
    pair.other.expected = taken;
    net_loop_run(pair.loop);
    assert_int_equal(pair.other.text.len, taken * len);
    assert_int_equal(wire_send(pair.smtp.channel, WIRE_RECIPIENT, 1, &body, NULL, 0), ERR_OK);
    pair_done(&pair);
    mem_free(&large);
}

static void descriptors_travel_and_do_not_leak(void **state)
{
    size_t before = open_descriptors();
    struct wire_deliver body = {.mailbox = id_random(), .size_bytes = 5};
    struct task task;
    struct buf text;
    struct pair pair;
    int fd;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(memfd_from(&task, STR("hello"), &fd), ERR_OK);
    pair_init(&pair, WIRE_ROLE_STORE);
    pair.other.expected = 2000; /* beyond what is sent at once: the queue keeps copies */
    for (int i = 0; i < 2000; i++)
        assert_int_equal(wire_send(pair.smtp.channel, WIRE_DELIVER, 1, &body, &fd, 1), ERR_OK);
    close(fd);
    net_loop_run(pair.loop);
    /* The first one was taken, the others are closed. */
    assert_true(pair.other.kept_fd >= 0);
    assert_true((fcntl(pair.other.kept_fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(lseek(pair.other.kept_fd, 0, SEEK_SET), 0);
    buf_init(&text, SIZE_MAX);
    assert_int_equal(fd_read_all(&task, pair.other.kept_fd, 100, &text), ERR_OK);
    assert_true(str_equal(buf_str(&text), STR("hello")));
    buf_free(&text);
    pair_done(&pair);
    task_done(&task);
    assert_int_equal(open_descriptors(), before);
}

static void the_owner_may_free_inside(void **state)
{
    struct wire_recipient body = {.address = STR("a")};
    struct pair pair;

    (void)state;
    pair_init(&pair, WIRE_ROLE_KEEPER);
    pair.other.frees_itself = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(wire_send(pair.smtp.channel, WIRE_RECIPIENT, 1, &body, NULL, 0), ERR_OK);
    net_loop_run(pair.loop); /* until smtp's end notices */
    assert_int_equal(pair.other.received, 1);
    assert_true(pair.smtp.is_closed);
    assert_null(pair.smtp.channel);
    pair_done(&pair);
}

static void a_peer_that_is_gone_is_told_once(void **state)
{
    struct wire_recipient body = {.address = STR("a")};
    struct pair pair;

    (void)state;
    pair_init(&pair, WIRE_ROLE_KEEPER);
    wire_channel_free(&pair.other.channel);
    assert_int_equal(wire_send(pair.smtp.channel, WIRE_RECIPIENT, 1, &body, NULL, 0), ERR_BUSY);
    assert_false(pair.smtp.is_closed); /* not inside the call */
    net_loop_run(pair.loop);
    assert_true(pair.smtp.is_closed);
    pair_done(&pair);
}

/* A mailbox process answers and ends, while more comes for it: the answer has to arrive. */
static void the_last_words_of_one_who_did_not_listen(void **state)
{
    struct wire_recipient question = {.address = STR("a")};
    struct wire_recipient_reply answer = {.status = WIRE_OK};
    struct pair pair;

    (void)state;
    pair_init(&pair, WIRE_ROLE_KEEPER);
    assert_int_equal(wire_send(pair.smtp.channel, WIRE_RECIPIENT, 1, &question, NULL, 0), ERR_OK);
    assert_int_equal(wire_send(pair.other.channel, WIRE_RECIPIENT_REPLY, 7, &answer, NULL, 0),
                     ERR_OK);
    wire_channel_free(&pair.other.channel); /* without having read the question */
    net_loop_run(pair.loop);
    assert_int_equal(pair.smtp.received, 1);
    assert_int_equal(pair.smtp.last_tag, 7);
    assert_true(pair.smtp.is_closed);
    pair_done(&pair);
}

/* Frames that a process which was taken over might send. */
static void rule_breakers_are_cut_off(void **state)
{
    static const char recipient[] = {'\x94', WIRE_RECIPIENT, 1, '\xc4', 1, 'a', 5};
    static const struct {
        const char *rule;
        struct str frame;
        size_t fd_count;
    } rows[] = {
        {"garbage", STR_INIT("\xff\xff\xff"), 0},
        {"not for smtp to send: STOP", STR_INIT("\x93\x04\x01\x05"), 0},
        {"a descriptor where none belongs: RECIPIENT", {recipient, sizeof(recipient)}, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t before = open_descriptors();
        struct end end = {.kept_fd = -1};
        struct net_loop *loop = net_loop_new();
        int fds[2], zero = 0;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
        end.loop = loop;
        end.channel = wire_channel_new(loop, fds[1], WIRE_ROLE_KEEPER, WIRE_ROLE_SMTP, &events,
                                       &end, &quiet);
        assert_int_equal(wire_socket_send(fds[0], rows[i].frame, &zero, rows[i].fd_count, 0),
                         WIRE_SOCKET_DONE);
        net_loop_run(loop);
        if (!end.is_closed || end.received != 0)
            fail_msg("%s: was not cut off", rows[i].rule);
        close(fds[0]);
        net_loop_free(&loop);
        assert_int_equal(open_descriptors(), before);
    }
}

static void blocking_calls_see_the_same_rules(void **state)
{
    struct wire_login login = {.username = STR("a"), .password = STR("b")};
    struct wire_message message;
    struct task task;
    struct buf storage;
    int fds[2];

    (void)state;
    task_init(&task, 0);
    buf_init(&storage, SIZE_MAX);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    assert_int_equal(wire_socket_send(fds[1], STR("\x93\x04\x01\x05"), NULL, 0, 0),
                     WIRE_SOCKET_DONE);
    /* A STOP from the keeper: not allowed. */
    assert_int_equal(
        wire_receive_blocking(&task, fds[0], WIRE_ROLE_GATE, WIRE_ROLE_KEEPER, &storage, &message),
        ERR_INVALID);
    task_forgive(&task);
    assert_int_equal(
        wire_send_blocking(&task, fds[0], WIRE_ROLE_KEEPER, WIRE_LOGIN, 1, &login, NULL, 0),
        ERR_OK);
    assert_int_equal(wire_receive_blocking(&task, fds[1], WIRE_ROLE_KEEPER, WIRE_ROLE_GATE,
                                           &storage, &message),
                     ERR_OK);
    assert_true(str_equal(message.body.login.password, STR("b")));
    close(fds[0]);
    assert_int_equal(wire_receive_blocking(&task, fds[1], WIRE_ROLE_KEEPER, WIRE_ROLE_GATE,
                                           &storage, &message),
                     ERR_IO);
    task_forgive(&task);
    assert_int_equal(
        wire_send_blocking(&task, fds[1], WIRE_ROLE_GATE, WIRE_LOGIN, 1, &login, NULL, 0), ERR_IO);
    task_forgive(&task);
    login.password = str_make(storage.ptr, WIRE_FRAME_MAX);
    assert_int_equal(
        wire_send_blocking(&task, fds[1], WIRE_ROLE_KEEPER, WIRE_LOGIN, 1, &login, NULL, 0),
        ERR_LIMIT);
    close(fds[1]);
    buf_free(&storage);
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_arrive_in_order),
        cmocka_unit_test(the_largest_frame_passes),
        cmocka_unit_test(the_queue_is_bounded),
        cmocka_unit_test(descriptors_travel_and_do_not_leak),
        cmocka_unit_test(the_owner_may_free_inside),
        cmocka_unit_test(a_peer_that_is_gone_is_told_once),
        cmocka_unit_test(the_last_words_of_one_who_did_not_listen),
        cmocka_unit_test(rule_breakers_are_cut_off),
        cmocka_unit_test(blocking_calls_see_the_same_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
