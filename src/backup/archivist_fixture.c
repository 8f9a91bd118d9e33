#include "backup/archivist_fixture.h"

#include "backup/directory.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "net/run_for.h"
#include "secret/hasher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

/* --- a destination whose puts begin when they are let go --- */

struct held {
    struct backup_call base;
    struct holding *holding;
    char *name; /* own */
    int fd;     /* own */
    uint64_t size_bytes;
    unsigned char digest[CRYPT_HASH_BYTES];
    backup_on_done on_done;
    void *owner;
    struct backup_call *call; /* own; the put itself */
};

static void held_free(struct held *held)
{
    for (size_t i = 0; i < held->holding->count; i++) {
        if (held->holding->held[i] == held)
            held->holding->held[i] = held->holding->held[--held->holding->count];
    }
    backup_cancel(&held->call);
    fd_close(&held->fd);
    mem_free(&held->name);
    mem_free(&held);
}

static void held_cancel(struct backup_call *base)
{
    held_free(CONTAINER_OF(base, struct held, base));
}

static const struct backup_destination_kind held_kind = {.cancel = held_cancel};

static void on_held_put(void *owner, struct backup_result *result)
{
    struct held *held = owner;

    held->call = NULL;
    held->on_done(held->owner, result);
    held_free(held);
}

static void held_begin(struct held *held)
{
    struct backup_put what = {.name = str_from_c(held->name),
                              .fd = held->fd,
                              .size_bytes = held->size_bytes,
                              .digest = held->digest};

    held->call = backup_put(held->holding->inner, &what, on_held_put, held);
}

void fixture_let_them_go(struct holding *holding)
{
    struct held *held[FIXTURE_HELD_MAX];
    size_t count = holding->count;

    memcpy(held, holding->held, sizeof(held));
    holding->is_holding = false;
    holding->count = 0;
    for (size_t i = 0; i < count; i++)
        held_begin(held[i]);
}

static struct backup_call *holding_put(struct backup_destination *d, const struct backup_put *what,
                                       backup_on_done on_done, void *owner)
{
    struct holding *holding = CONTAINER_OF(d, struct holding, base);
    struct held *held = NEW(struct held);

    held->base.kind = &held_kind;
    held->holding = holding;
    held->name = mem_copy_text(what->name.ptr, what->name.len);
    held->fd = dup(what->fd);
    held->size_bytes = what->size_bytes;
    memcpy(held->digest, what->digest, CRYPT_HASH_BYTES);
    held->on_done = on_done;
    held->owner = owner;
    if (holding->is_holding) {
        assert_true(holding->count < FIXTURE_HELD_MAX);
        holding->held[holding->count++] = held;
    } else {
        held_begin(held);
    }
    return &held->base;
}

static struct backup_call *holding_get(struct backup_destination *d, struct str name,
                                       backup_on_done on_done, void *owner)
{
    return backup_get(CONTAINER_OF(d, struct holding, base)->inner, name, on_done, owner);
}

static void silent_cancel(struct backup_call *call)
{
    mem_free(&call);
}

static const struct backup_destination_kind silent_kind = {.cancel = silent_cancel};

static struct backup_call *silence(void)
{
    struct backup_call *call = NEW(struct backup_call);

    call->kind = &silent_kind;
    return call;
}

static struct backup_call *holding_list(struct backup_destination *d, struct str prefix,
                                        struct str after, size_t count_max, backup_on_done on_done,
                                        void *owner)
{
    if (CONTAINER_OF(d, struct holding, base)->is_silent)
        return silence();
    return backup_list(CONTAINER_OF(d, struct holding, base)->inner, prefix, after, count_max,
                       on_done, owner);
}

static struct backup_call *holding_remove(struct backup_destination *d, struct str name,
                                          enum backup_gone gone, backup_on_done on_done,
                                          void *owner)
{
    return backup_delete(CONTAINER_OF(d, struct holding, base)->inner, name, gone, on_done, owner);
}

/* --- uploads that are abandoned --- */

struct abandon {
    struct backup_call base;
    struct net_timer *timer; /* own */
    struct holding *holding;
    backup_on_done on_done;
    void *owner;
};

static void abandon_cancel(struct backup_call *base)
{
    struct abandon *call = CONTAINER_OF(base, struct abandon, base);

    net_timer_free(&call->timer);
    mem_free(&call);
}

static void on_abandoned(void *owner)
{
    struct abandon *call = owner;
    struct backup_result result = {.err = call->holding->abandon_err, .words = "", .fd = -1};

    call->on_done(call->owner, &result);
    abandon_cancel(&call->base);
}

static const struct backup_destination_kind abandon_kind = {.cancel = abandon_cancel};

static struct backup_call *holding_abandon(struct backup_destination *d, struct str prefix,
                                           backup_on_done on_done, void *owner)
{
    struct abandon *call = NEW(struct abandon);

    assert_int_equal(prefix.len, ID_TEXT_LEN + 1);
    call->base.kind = &abandon_kind;
    call->holding = CONTAINER_OF(d, struct holding, base);
    call->holding->abandoned++;
    call->on_done = on_done;
    call->owner = owner;
    call->timer = net_timer_new(call->holding->loop, on_abandoned, call);
    net_timer_start(call->timer, 0);
    return &call->base;
}

static int64_t holding_lost_put_ms(const struct backup_destination *d, struct str name)
{
    assert_true(name.len > ID_TEXT_LEN);
    return CONTAINER_OF(d, const struct holding, base)->lost_put_ms;
}

static void holding_free(struct backup_destination *d)
{
    struct holding *holding = CONTAINER_OF(d, struct holding, base);

    backup_destination_free(&holding->inner);
    mem_free(&holding);
}

static const struct backup_destination_kind holding_kind = {.put = holding_put,
                                                            .get = holding_get,
                                                            .list = holding_list,
                                                            .remove = holding_remove,
                                                            .abandon = holding_abandon,
                                                            .lost_put_ms = holding_lost_put_ms,
                                                            .free = holding_free};

/* --- the world --- */

static void copy(struct str text, char *out, size_t room)
{
    (void)snprintf(out, room, "%.*s", STR_ARG(text));
}

static void far_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct peer *peer = owner;
    const union wire_body *body = &message->body;

    (void)channel;
    peer->answers++;
    peer->has_fd = message->fd_count > 0;
    if (message->type == WIRE_BACKUP_PUT_REPLY) {
        peer->status = body->backup_put_reply.status;
        copy(body->backup_put_reply.words, peer->words, sizeof(peer->words));
    } else if (message->type == WIRE_BACKUP_GET_REPLY) {
        peer->status = body->backup_get_reply.status;
        peer->size_bytes = body->backup_get_reply.size_bytes;
    } else if (message->type == WIRE_BACKUP_LIST_REPLY) {
        peer->status = body->backup_list_reply.status;
        peer->is_last = body->backup_list_reply.is_last;
        copy(body->backup_list_reply.json, peer->json, sizeof(peer->json));
    } else if (message->type == WIRE_ADMIN_REPLY) {
        copy(body->admin_reply.json, peer->json, sizeof(peer->json));
    } else {
        assert_int_equal(message->type, WIRE_BACKUP_DELETE_REPLY);
        peer->status = body->backup_delete_reply.status;
    }
}

static void closed(void *owner, struct wire_channel *channel)
{
    (void)owner;
    (void)channel;
}

static void near_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    archivist_message(((struct archivist_fixture *)owner)->archivist, channel, message);
}

static const struct wire_channel_events far_events = {far_message, closed};
static const struct wire_channel_events near_events = {near_message, closed};

static void connect_peer(struct archivist_fixture *s, struct peer *peer, enum wire_role role)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    peer->far = wire_channel_new(s->direct.loop, pair[0], role, WIRE_ROLE_ARCHIVIST, &far_events,
                                 peer, &quiet);
    peer->near = wire_channel_new(s->direct.loop, pair[1], WIRE_ROLE_ARCHIVIST, role, &near_events,
                                  s, &quiet);
}

struct archivist_fixture *fixture_begin(bool has_destination)
{
    struct archivist_fixture *s = NEW(struct archivist_fixture);
    struct task task;

    task_init(&task, clock_now_ms());
    fixture_make_root(s->root, "sealpost-archivist");
    fixture_open(&s->direct, s->root);
    s->mailbox = id_random();
    s->archivist = archivist_new(s->direct.loop, &quiet);
    if (has_destination) {
        s->holding = NEW(struct holding);
        s->holding->base.kind = &holding_kind;
        s->holding->loop = s->direct.loop;
        assert_int_equal(backup_directory_open(s->direct.loop, &task, s->root, &s->holding->inner),
                         ERR_OK);
        archivist_set_destination(s->archivist, &s->holding->base, WIRE_OK, STR(""));
    } else {
        archivist_set_destination(s->archivist, NULL, WIRE_DISABLED, STR("none"));
    }
    connect_peer(s, &s->store, WIRE_ROLE_STORE);
    connect_peer(s, &s->keeper, WIRE_ROLE_KEEPER);
    connect_peer(s, &s->sealer, WIRE_ROLE_SEALER);
    task_done(&task);
    return s;
}

void fixture_end(struct archivist_fixture *s)
{
    struct peer *peers[] = {&s->store, &s->keeper, &s->sealer};

    archivist_free(&s->archivist);
    for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
        wire_channel_free(&peers[i]->far);
        wire_channel_free(&peers[i]->near);
    }
    fixture_done(&s->direct);
    assert_int_equal(fixture_remove_root(s->root), 0);
    mem_free(&s);
}

void fixture_wait_for(struct archivist_fixture *s, const struct peer *peer, size_t answers)
{
    for (int i = 0; i < 400 && peer->answers < answers; i++)
        net_run_for(s->direct.loop, 5);
    assert_int_equal(peer->answers, answers);
}

void fixture_send_put(struct peer *from, const struct id *mailbox, const char *name,
                      struct str bytes)
{
    unsigned char digest[CRYPT_HASH_BYTES];
    CLEANUP(fd_close) int fd = -1;
    struct wire_backup_put body = {
        .mailbox = *mailbox, .name = str_from_c(name), .size_bytes = bytes.len};
    struct task task;

    task_init(&task, 0);
    hasher_sha256(bytes, digest);
    body.digest = str_make(digest, sizeof(digest));
    assert_int_equal(memfd_from(&task, bytes, &fd), ERR_OK);
    assert_int_equal(wire_send(from->far, WIRE_BACKUP_PUT, 1, &body, &fd, 1), ERR_OK);
}

enum wire_status fixture_order_put(struct archivist_fixture *s, struct peer *from,
                                   const struct id *mailbox, const char *name, struct str bytes)
{
    size_t answers = from->answers;

    fixture_send_put(from, mailbox, name, bytes);
    fixture_wait_for(s, from, answers + 1);
    return (enum wire_status)from->status;
}

enum wire_status fixture_order_get(struct archivist_fixture *s, struct peer *from,
                                   const struct id *mailbox, const char *name)
{
    struct wire_backup_get body = {.mailbox = *mailbox, .name = str_from_c(name)};
    size_t answers = from->answers;

    assert_int_equal(wire_send(from->far, WIRE_BACKUP_GET, 1, &body, NULL, 0), ERR_OK);
    fixture_wait_for(s, from, answers + 1);
    return (enum wire_status)from->status;
}

enum wire_status fixture_order_list(struct archivist_fixture *s, struct peer *from,
                                    const struct id *mailbox, const char *prefix, const char *after)
{
    struct wire_backup_list body = {
        .mailbox = *mailbox, .prefix = str_from_c(prefix), .after = str_from_c(after)};
    size_t answers = from->answers;

    assert_int_equal(wire_send(from->far, WIRE_BACKUP_LIST, 1, &body, NULL, 0), ERR_OK);
    fixture_wait_for(s, from, answers + 1);
    return (enum wire_status)from->status;
}
