/* The archivist's orders, over real channels and a real directory. */
#include "backup/archivist.h"

#include "backup/directory.h"
#include "backup/fixture.h"
#include "backup/prune.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "net/run_for.h"
#include "secret/hasher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static char root[FIXTURE_ROOT_ROOM];
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

/* --- a destination whose puts begin when they are let go --- */

enum { HELD_MAX = 8 };

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

struct holding {
    struct backup_destination base;
    struct backup_destination *inner; /* own */
    struct net_loop *loop;
    bool is_holding, is_silent; /* is_silent: lists are not answered */
    unsigned abandoned;         /* calls */
    enum err abandon_err;       /* of the next one */
    int64_t lost_put_ms;
    struct held *held[HELD_MAX];
    size_t count;
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

static void let_them_go(struct holding *holding)
{
    struct held *held[HELD_MAX];
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
        assert_true(holding->count < HELD_MAX);
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

struct peer {
    struct wire_channel *far, *near; /* own */
    size_t answers;
    uint64_t status;
    char words[256], json[8192];
    bool is_last, has_fd;
    uint64_t size_bytes;
};

struct state {
    struct backup_fixture direct; /* the same directory, without an archivist */
    struct archivist *archivist;
    struct holding *holding; /* the archivist's destination, unless it has none */
    struct peer store, keeper, sealer;
    struct id mailbox;
};

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
    archivist_message(((struct state *)owner)->archivist, channel, message);
}

static const struct wire_channel_events far_events = {far_message, closed};
static const struct wire_channel_events near_events = {near_message, closed};

static void connect_peer(struct state *s, struct peer *peer, enum wire_role role)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    peer->far = wire_channel_new(s->direct.loop, pair[0], role, WIRE_ROLE_ARCHIVIST, &far_events,
                                 peer, &quiet);
    peer->near = wire_channel_new(s->direct.loop, pair[1], WIRE_ROLE_ARCHIVIST, role, &near_events,
                                  s, &quiet);
}

static struct state *begin(bool has_destination)
{
    struct state *s = NEW(struct state);
    struct task task;

    task_init(&task, clock_now_ms());
    fixture_make_root(root, "sealpost-archivist");
    fixture_open(&s->direct, root);
    s->mailbox = id_random();
    s->archivist = archivist_new(s->direct.loop, &quiet);
    if (has_destination) {
        s->holding = NEW(struct holding);
        s->holding->base.kind = &holding_kind;
        s->holding->loop = s->direct.loop;
        assert_int_equal(backup_directory_open(s->direct.loop, &task, root, &s->holding->inner),
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

static void end(struct state *s)
{
    struct peer *peers[] = {&s->store, &s->keeper, &s->sealer};

    archivist_free(&s->archivist);
    for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
        wire_channel_free(&peers[i]->far);
        wire_channel_free(&peers[i]->near);
    }
    fixture_done(&s->direct);
    mem_free(&s);
    assert_int_equal(fixture_remove_root(root), 0);
}

/* Until the peer has so many answers. */
static void wait_for(struct state *s, const struct peer *peer, size_t answers)
{
    for (int i = 0; i < 400 && peer->answers < answers; i++)
        net_run_for(s->direct.loop, 5);
    assert_int_equal(peer->answers, answers);
}

static void send_put(struct peer *from, const struct id *mailbox, const char *name,
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

static enum wire_status put(struct state *s, struct peer *from, const struct id *mailbox,
                            const char *name, struct str bytes)
{
    size_t answers = from->answers;

    send_put(from, mailbox, name, bytes);
    wait_for(s, from, answers + 1);
    return (enum wire_status)from->status;
}

static enum wire_status get(struct state *s, struct peer *from, const struct id *mailbox,
                            const char *name)
{
    struct wire_backup_get body = {.mailbox = *mailbox, .name = str_from_c(name)};
    size_t answers = from->answers;

    assert_int_equal(wire_send(from->far, WIRE_BACKUP_GET, 1, &body, NULL, 0), ERR_OK);
    wait_for(s, from, answers + 1);
    return (enum wire_status)from->status;
}

static enum wire_status list(struct state *s, struct peer *from, const struct id *mailbox,
                             const char *prefix, const char *after)
{
    struct wire_backup_list body = {
        .mailbox = *mailbox, .prefix = str_from_c(prefix), .after = str_from_c(after)};
    size_t answers = from->answers;

    assert_int_equal(wire_send(from->far, WIRE_BACKUP_LIST, 1, &body, NULL, 0), ERR_OK);
    wait_for(s, from, answers + 1);
    return (enum wire_status)from->status;
}

static void ask_admin(struct state *s, uint64_t tag, const char *json)
{
    struct wire_admin body = {.json = str_from_c(json)};

    assert_int_equal(wire_send(s->keeper.far, WIRE_ADMIN, tag, &body, NULL, 0), ERR_OK);
}

/* What nobody waits for any more takes no place of what others ask. */
static void a_list_that_is_given_up(void **unused)
{
    enum { LISTS_MAX = 4 };
    struct state *s = begin(true);
    char ask[200];

    (void)unused;
    (void)snprintf(ask, sizeof(ask),
                   "{\"command\":\"backup list\",\"mailboxes\":[{\"address\":\"a@x.test\","
                   "\"mailbox\":\"%s\"}]}",
                   s->mailbox.text);
    s->holding->is_silent = true;
    for (uint64_t tag = 1; tag <= LISTS_MAX; tag++)
        ask_admin(s, tag, ask);
    ask_admin(s, 5, ask);
    wait_for(s, &s->keeper, 1);
    assert_non_null(strstr(s->keeper.json, "\"busy\""));
    ask_admin(s, 6, "{\"command\":\"cancel\"}"); /* of none */
    ask_admin(s, 3, "{\"command\":\"cancel\"}");
    s->holding->is_silent = false;
    ask_admin(s, 7, ask);
    wait_for(s, &s->keeper, 2);
    assert_non_null(strstr(s->keeper.json, "\"ok\""));
    s->holding->is_silent = true;
    ask_admin(s, 8, ask);
    ask_admin(s, 9, ask);
    wait_for(s, &s->keeper, 3);
    assert_non_null(strstr(s->keeper.json, "\"busy\""));
    end(s);
}

static enum err open_nothing(void *owner, struct task *task, const struct backup_own *own,
                             struct backup_destination **out)
{
    (void)owner;
    (void)own;
    *out = NULL;
    return (fail)(task, ERR_INVALID, "not here");
}

/* Before all owners' destinations are known, a removed mailbox's cannot be said to be empty. */
static void a_list_before_all_is_told(void **unused)
{
    static const struct wire_backup_own no_more = {.place = {0}};
    struct state *s = begin(true);

    (void)unused;
    archivist_allow_own(s->archivist, open_nothing, s);
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_DEFERRED);
    assert_int_equal(list(s, &s->store, &s->mailbox, "", ""), WIRE_OK);
    assert_int_equal(wire_send(s->keeper.far, WIRE_BACKUP_OWN, 0, &no_more, NULL, 0), ERR_OK);
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    archivist_keeper_came(s->archivist); /* what the one before told is known still */
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    end(s);
}

/* Behind the last list of a removed mailbox uploads go that are in none, and what a server may end
 * later is waited for. */
static void what_comes_late(void **unused)
{
    static const int64_t late_ms = 300;
    struct state *s = begin(true);
    struct wire_backup_delete gone = {.mailbox = s->mailbox, .name = STR("full/1.sqlite")};

    (void)unused;
    assert_int_equal(put(s, &s->store, &s->mailbox, "full/1.sqlite", STR("one")), WIRE_OK);
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    assert_int_equal(s->holding->abandoned, 0);
    assert_int_equal(wire_send(s->keeper.far, WIRE_BACKUP_DELETE, 1, &gone, NULL, 0), ERR_OK);
    wait_for(s, &s->keeper, 2);
    assert_int_equal(list(s, &s->store, &s->mailbox, "", ""), WIRE_OK); /* nobody removes it */
    assert_int_equal(s->holding->abandoned, 0);
    s->holding->abandon_err = ERR_IO;
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_UNAVAILABLE);
    s->holding->abandon_err = ERR_OK;
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    assert_string_equal(s->keeper.json, "[]");
    assert_true(s->keeper.is_last);
    assert_int_equal(s->holding->abandoned, 2);
    /* The process before this one may have put something. */
    archivist_set_late(s->archivist, 3600 * 1000);
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_DEFERRED);
    archivist_set_late(s->archivist, late_ms);
    net_run_for(s->direct.loop, late_ms);
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    s->holding->lost_put_ms = clock_monotonic_ms() + 1000;
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_DEFERRED);
    s->holding->lost_put_ms = clock_monotonic_ms() - late_ms;
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    end(s);
}

static void a_mailbox_has_its_part(void **unused)
{
    struct state *s = begin(true);
    struct id other = id_random();

    (void)unused;
    assert_int_equal(put(s, &s->store, &s->mailbox, "full/a.sqlite", STR("abc")), WIRE_OK);
    assert_int_equal(get(s, &s->store, &s->mailbox, "full/a.sqlite"), WIRE_OK);
    assert_true(s->store.has_fd);
    assert_int_equal(s->store.size_bytes, 3);
    assert_int_equal(get(s, &s->store, &other, "full/a.sqlite"), WIRE_UNKNOWN);
    assert_int_equal(list(s, &s->store, &s->mailbox, "full/", ""), WIRE_OK);
    assert_non_null(
        strstr(s->store.json, "{\"name\":\"full/a.sqlite\",\"size\":3,\"modified\":\"2"));
    assert_true(s->store.is_last);
    assert_int_equal(list(s, &s->store, &s->mailbox, "", "full/a.sqlite"), WIRE_OK);
    assert_string_equal(s->store.json, "[]");
    end(s);
}

static void who_may_name_what(void **unused)
{
    struct state *s = begin(true);
    struct id none = {""};
    char longest[BACKUP_NAME_MAX + 1] = "";

    (void)unused;
    memset(longest, 'a', BACKUP_NAME_MAX);
    assert_int_equal(put(s, &s->store, &none, "account/x", STR("abc")), WIRE_DENIED);
    assert_int_equal(put(s, &s->keeper, &none, "account/x.sqlite", STR("abc")), WIRE_OK);
    assert_int_equal(put(s, &s->sealer, &s->mailbox, "full/x", STR("abc")), WIRE_DENIED);
    assert_int_equal(put(s, &s->sealer, &s->mailbox, "drop/x.drop.sqlite", STR("abc")), WIRE_OK);
    assert_int_equal(put(s, &s->store, &s->mailbox, "../full/x", STR("abc")), WIRE_INVALID);
    assert_int_equal(put(s, &s->store, &s->mailbox, "", STR("abc")), WIRE_INVALID);
    assert_int_equal(put(s, &s->store, &s->mailbox, longest, STR("abc")), WIRE_INVALID);
    assert_int_equal(list(s, &s->store, &s->mailbox, "/", ""), WIRE_INVALID);
    assert_int_equal(list(s, &s->store, &s->mailbox, "full/", "../"), WIRE_INVALID);
    end(s);
}

static void without_a_destination_it_says_so(void **unused)
{
    struct state *s = begin(false);

    (void)unused;
    assert_int_equal(put(s, &s->store, &s->mailbox, "full/a.sqlite", STR("abc")), WIRE_DISABLED);
    assert_string_equal(s->store.words, "none");
    end(s);
}

static void what_waits_is_bounded(void **unused)
{
    struct state *s = begin(true);
    struct id other = id_random();
    size_t sent = ARCHIVIST_ORDERS_PER_MAILBOX_MAX + 20;

    (void)unused;
    for (size_t i = 0; i < sent; i++)
        send_put(&s->store, &s->mailbox, "full/a.sqlite", STR("abc"));
    send_put(&s->store, &other, "full/a.sqlite", STR("abc"));
    wait_for(s, &s->store, sent + 1);
    assert_int_equal(s->store.status, WIRE_OK);
    end(s);
}

/* The names below m/full/ after a backup of each of these was put. */
static void put_backups(struct state *s, const char *const *stamps, size_t count,
                        const char *manifest)
{
    char name[128];

    for (size_t i = 0; i < count; i++) {
        (void)snprintf(name, sizeof(name), "full/%s-1.sqlite", stamps[i]);
        assert_int_equal(put(s, &s->store, &s->mailbox, name, STR("copy")), WIRE_OK);
        (void)snprintf(name, sizeof(name), "full/%s-1.json", stamps[i]);
        assert_int_equal(put(s, &s->store, &s->mailbox, name, str_from_c(manifest)), WIRE_OK);
        net_run_for(s->direct.loop, 20);
    }
    assert_int_equal(list(s, &s->store, &s->mailbox, "full/", ""), WIRE_OK);
}

static const char *const stamps[] = {
    "20260101T100000.000Z", "20260102T100000.000Z", "20260103T100000.000Z",
    "20260103T110000.000Z", "20260103T110500.000Z",
};

static void old_ones_go_behind_a_newer_verified_one(void **unused)
{
    struct backup_policy policy = {.daily = 2, .hourly = 2};
    struct state *s = begin(true);

    (void)unused;
    archivist_set_policy(s->archivist, &policy);
    put_backups(s, stamps, ARRAY_LEN(stamps), "{\"verified\":true,\"size\":4}");
    assert_null(strstr(s->store.json, "20260101"));
    assert_non_null(strstr(s->store.json, "20260102T100000.000Z-1.sqlite"));
    assert_non_null(strstr(s->store.json, "20260103T100000.000Z-1.sqlite"));
    assert_null(strstr(s->store.json, "20260103T110000"));
    assert_non_null(strstr(s->store.json, "20260103T110500.000Z-1.json"));
    end(s);
}

static void nothing_goes_behind_an_unverified_one(void **unused)
{
    static const char *const manifests[] = {"{\"verified\":false}", "{}", "no JSON", ""};
    struct backup_policy policy = {.daily = 1, .hourly = 0};

    (void)unused;
    for (size_t i = 0; i < ARRAY_LEN(manifests); i++) {
        struct state *s = begin(true);

        archivist_set_policy(s->archivist, &policy);
        put_backups(s, stamps, ARRAY_LEN(stamps), manifests[i]);
        for (size_t k = 0; k < ARRAY_LEN(stamps); k++)
            assert_non_null(strstr(s->store.json, stamps[k]));
        /* Nor because of an older one that is verified only now. */
        assert_int_equal(put(s, &s->store, &s->mailbox, "full/20260102T100000.000Z-1.json",
                             STR("{\"verified\":true,\"size\":4}")),
                         WIRE_OK);
        net_run_for(s->direct.loop, 20);
        assert_int_equal(list(s, &s->store, &s->mailbox, "full/", ""), WIRE_OK);
        assert_non_null(strstr(s->store.json, stamps[0]));
        end(s);
    }
}

/* The destination said that it has it, and has less. */
static void nothing_goes_behind_one_that_is_not_whole(void **unused)
{
    struct backup_policy policy = {.daily = 1, .hourly = 0};
    struct state *s = begin(true);

    (void)unused;
    archivist_set_policy(s->archivist, &policy);
    put_backups(s, stamps, ARRAY_LEN(stamps), "{\"verified\":true,\"size\":5}");
    for (size_t k = 0; k < ARRAY_LEN(stamps); k++)
        assert_non_null(strstr(s->store.json, stamps[k]));
    end(s);
}

/* A clock was wrong for a while: what is dated into the future stays, and the others go as ever. */
static void old_ones_go_although_one_is_of_the_future(void **unused)
{
    static const char *const future[] = {"20990101T100000.000Z"};
    struct backup_policy policy = {.daily = 1, .hourly = 0};
    struct state *s = begin(true);

    (void)unused;
    archivist_set_policy(s->archivist, &policy);
    put_backups(s, future, 1, "{\"verified\":true,\"size\":4}");
    put_backups(s, stamps, ARRAY_LEN(stamps), "{\"verified\":true,\"size\":4}");
    assert_null(strstr(s->store.json, "20260101T"));
    assert_non_null(strstr(s->store.json, stamps[4]));
    assert_non_null(strstr(s->store.json, future[0]));
    end(s);
}

/* Of a process that died, and of the next one, which has more: the later one stays, however large.
 */
static void puts_of_one_name_stay_in_order(void **unused)
{
    struct state *s = begin(true);
    size_t large_len = ARCHIVIST_SMALL_BYTES + 1, small = 0;
    CLEANUP(mem_free) char *large = mem_new(large_len, 1);

    (void)unused;
    for (; small < 20; small++) {
        struct id other = id_random();

        send_put(&s->store, &other, "log/a", STR("abc"));
    }
    send_put(&s->store, &s->mailbox, "log/a", STR("abc"));
    send_put(&s->store, &s->mailbox, "log/a", str_make(large, large_len));
    wait_for(s, &s->store, small + 2);
    assert_int_equal(get(s, &s->store, &s->mailbox, "log/a"), WIRE_OK);
    assert_int_equal(s->store.size_bytes, large_len);
    end(s);
}

static void generations_of_the_log_go_with_their_backups(void **unused)
{
    static const char *const objects[] = {
        "base/g1.sqlite", "base/g1.json", "log/g1/000000000001.seg", "log/g1/000000000002.seg",
        "base/g2.sqlite", "base/g2.json", "log/g2/000000000001.seg"};
    struct backup_policy policy = {.daily = 1, .hourly = 0};
    struct state *s = begin(true);
    char now[BACKUP_STAMP_ROOM], later[BACKUP_STAMP_ROOM];
    const char *news[] = {now}, *newer[] = {later};

    (void)unused;
    archivist_set_policy(s->archivist, &policy);
    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        assert_int_equal(put(s, &s->store, &s->mailbox, objects[i], STR("x")), WIRE_OK);
        net_run_for(s->direct.loop, 5);
    }
    /* All of g1 is older than this, g2 goes on. */
    backup_stamp_format(clock_now_ms() + 1000, now);
    put_backups(s, news, 1, "{\"verified\":true,\"size\":4}");
    /* But of the policy's one day. */
    assert_int_equal(list(s, &s->store, &s->mailbox, "base/", ""), WIRE_OK);
    assert_non_null(strstr(s->store.json, "base/g1.json"));
    backup_stamp_format(clock_now_ms() + 25 * 60 * 60 * 1000, later);
    put_backups(s, newer, 1, "{\"verified\":true,\"size\":4}");
    net_run_for(s->direct.loop, 100); /* it goes in several turns */
    assert_int_equal(list(s, &s->store, &s->mailbox, "base/", ""), WIRE_OK);
    assert_null(strstr(s->store.json, "base/g1"));
    assert_non_null(strstr(s->store.json, "base/g2.json"));
    assert_int_equal(list(s, &s->store, &s->mailbox, "log/", ""), WIRE_OK);
    assert_null(strstr(s->store.json, "log/g1"));
    assert_non_null(strstr(s->store.json, "log/g2/000000000001.seg"));
    end(s);
}

/* As a destination whose clock says that: of all objects of these names that there are. */
static void put_back(const char *pattern, const char *time)
{
    char command[256];

    (void)snprintf(command, sizeof(command), "find %s -path '*/%s' -exec touch -d '%s' {} +", root,
                   pattern, time);
    assert_int_equal(system(command), 0);
}

static void on_pruned(void *owner)
{
    ((struct state *)owner)->direct.is_done = true;
}

static bool on_removing(void *owner, struct str name)
{
    (void)owner;
    return name.len > 0;
}

static void on_removed(void *owner, struct str name)
{
    (void)owner;
    assert_true(name.len > 0);
}

static void prune_now(struct state *s, const char *newest, uint64_t size_bytes,
                      const struct backup_policy *policy)
{
    static const struct backup_prune_events events = {on_removing, on_removed, on_pruned};
    struct backup_prune *prune;
    char name[128];

    (void)snprintf(name, sizeof(name), "%s/%s", s->mailbox.text, newest);
    s->direct.is_done = false;
    prune = backup_prune_start(s->direct.destination, policy, str_from_c(name), size_bytes, &quiet,
                               &events, s);
    assert_non_null(prune);
    for (int i = 0; i < 400 && !s->direct.is_done; i++)
        net_run_for(s->direct.loop, 5);
    assert_true(s->direct.is_done);
}

/* A store of files whose battery is empty: what it says was put in 1971 was put today. */
static void a_destination_with_a_wrong_clock_keeps_the_log(void **unused)
{
    static const char *const objects[] = {"base/g1.sqlite", "base/g1.json", "log/g1/1.seg",
                                          "base/g2.sqlite", "base/g2.json"};
    struct backup_policy policy = {.daily = 1, .hourly = 0};
    struct state *s = begin(true);
    char now[BACKUP_STAMP_ROOM], name[64];

    (void)unused;
    for (size_t i = 0; i < ARRAY_LEN(objects); i++)
        assert_int_equal(put(s, &s->store, &s->mailbox, objects[i], STR("x")), WIRE_OK);
    backup_stamp_format(clock_now_ms(), now);
    (void)snprintf(name, sizeof(name), "full/%s-1.sqlite", now);
    assert_int_equal(put(s, &s->store, &s->mailbox, name, STR("copy")), WIRE_OK);
    (void)snprintf(name, sizeof(name), "full/%s-1.json", now);
    assert_int_equal(put(s, &s->store, &s->mailbox, name, STR("{}")), WIRE_OK);
    put_back("*", "1971-01-01T10:00:00Z");
    prune_now(s, name, 4, &policy);
    assert_int_equal(list(s, &s->store, &s->mailbox, "base/", ""), WIRE_OK);
    assert_non_null(strstr(s->store.json, "base/g1.json"));
    end(s);
}

/* A base whose process ended before its manifest: it is as large as the mailbox. */
static void a_base_without_a_manifest_goes_after_a_day(void **unused)
{
    static const char *const objects[] = {"base/g1.sqlite", "base/g2.sqlite", "base/g2.json",
                                          "base/g3.sqlite"};
    struct backup_policy policy = {.daily = 7, .hourly = 24};
    struct state *s = begin(true);
    char now[BACKUP_STAMP_ROOM], name[64];

    (void)unused;
    for (size_t i = 0; i < ARRAY_LEN(objects); i++)
        assert_int_equal(put(s, &s->store, &s->mailbox, objects[i], STR("x")), WIRE_OK);
    backup_stamp_format(clock_now_ms(), now);
    (void)snprintf(name, sizeof(name), "full/%s-1.sqlite", now);
    assert_int_equal(put(s, &s->store, &s->mailbox, name, STR("copy")), WIRE_OK);
    (void)snprintf(name, sizeof(name), "full/%s-1.json", now);
    assert_int_equal(put(s, &s->store, &s->mailbox, name, STR("{}")), WIRE_OK);
    put_back("base/g1*", "2 days ago");
    put_back("base/g2*", "2 days ago");
    prune_now(s, name, 4, &policy);
    assert_int_equal(list(s, &s->store, &s->mailbox, "base/", ""), WIRE_OK);
    assert_null(strstr(s->store.json, "base/g1"));
    assert_non_null(strstr(s->store.json, "base/g2.json"));
    assert_non_null(strstr(s->store.json, "base/g3.sqlite"));
    end(s);
}

static void sealed_mail_and_accounts_have_the_same_policy(void **unused)
{
    struct backup_policy policy = {.daily = 1, .hourly = 0};
    struct state *s = begin(true);
    struct id none = {""};

    (void)unused;
    archivist_set_policy(s->archivist, &policy);
    for (size_t i = 0; i < ARRAY_LEN(stamps); i++) {
        char name[64];

        (void)snprintf(name, sizeof(name), "drop/%s.drop.sqlite", stamps[i]);
        assert_int_equal(put(s, &s->sealer, &s->mailbox, name, STR("x")), WIRE_OK);
        (void)snprintf(name, sizeof(name), "account/%s.sqlite", stamps[i]);
        assert_int_equal(put(s, &s->keeper, &none, name, STR("x")), WIRE_OK);
        net_run_for(s->direct.loop, 20);
    }
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "drop/", ""), WIRE_OK);
    assert_null(strstr(s->keeper.json, stamps[0]));
    assert_non_null(strstr(s->keeper.json, stamps[4]));
    assert_int_equal(list(s, &s->keeper, &none, "account/", ""), WIRE_OK);
    assert_null(strstr(s->keeper.json, stamps[3]));
    assert_non_null(strstr(s->keeper.json, stamps[4]));
    end(s);
}

/* One destination for both, against the manual's advice. */
static void another_hosts_accounts_stay(void **unused)
{
    static const char *const names[] = {"account/20260101T100000.000Z-aaaaaaaa.sqlite",
                                        "account/20260101T110000.000Z-bbbbbbbb.sqlite",
                                        "account/20260101T120000.000Z-bbbbbbbb.sqlite"};
    struct backup_policy policy = {.daily = 1, .hourly = 0};
    struct state *s = begin(true);
    struct id none = {""};

    (void)unused;
    archivist_set_policy(s->archivist, &policy);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_int_equal(put(s, &s->keeper, &none, names[i], STR("x")), WIRE_OK);
        net_run_for(s->direct.loop, 20);
    }
    assert_int_equal(list(s, &s->keeper, &none, "account/", ""), WIRE_OK);
    assert_non_null(strstr(s->keeper.json, names[0]));
    assert_null(strstr(s->keeper.json, names[1]));
    assert_non_null(strstr(s->keeper.json, names[2]));
    end(s);
}

static void who_is_gone_is_forgotten(void **unused)
{
    struct state *s = begin(true);

    (void)unused;
    for (size_t i = 0; i < 20; i++)
        send_put(&s->store, &s->mailbox, "full/a.sqlite", STR("abc"));
    net_run_for(s->direct.loop, 0);
    archivist_asker_gone(s->archivist, s->store.near);
    net_run_for(s->direct.loop, 50);
    assert_int_equal(put(s, &s->keeper, &s->mailbox, "full/b", STR("abc")), WIRE_OK);
    end(s);
}

/* Its upload takes longer than the purge: it must not come when all was found to be gone. */
static void puts_of_a_removed_mailbox_are_waited_for_or_dropped(void **unused)
{
    struct state *s = begin(true);
    size_t large_len = ARCHIVIST_SMALL_BYTES + 1;
    CLEANUP(mem_free) char *large = mem_new(large_len, 1);
    struct id other = id_random();
    char name[32];

    (void)unused;
    s->holding->is_holding = true;
    for (int i = 0; i < 5; i++) {
        (void)snprintf(name, sizeof(name), "full/%d.sqlite", i);
        send_put(&s->store, &s->mailbox, name, str_make(large, large_len));
    }
    send_put(&s->store, &other, "full/a.sqlite", str_make(large, large_len));
    /* Its process may ask what it likes. */
    assert_int_equal(list(s, &s->store, &s->mailbox, "", ""), WIRE_OK);
    assert_int_equal(s->store.answers, 1);
    assert_int_equal(s->holding->count, 3); /* the others wait */
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_DEFERRED);
    wait_for(s, &s->store, 3);
    assert_int_equal(s->store.status, WIRE_UNAVAILABLE);
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_DEFERRED);
    let_them_go(s->holding);
    wait_for(s, &s->store, 7);
    assert_int_equal(s->store.status, WIRE_OK);
    assert_int_equal(list(s, &s->keeper, &s->mailbox, "", ""), WIRE_OK);
    assert_non_null(strstr(s->keeper.json, "full/0.sqlite"));
    assert_non_null(strstr(s->keeper.json, "full/2.sqlite"));
    assert_null(strstr(s->keeper.json, "full/3.sqlite"));
    assert_null(strstr(s->keeper.json, "full/4.sqlite"));
    assert_int_equal(get(s, &s->store, &other, "full/a.sqlite"), WIRE_OK);
    end(s);
}

/* The archivist ends with some under way; and another's removal is no matter of theirs. */
static void puts_of_others_are_not_touched(void **unused)
{
    struct state *s = begin(true);
    struct id removed = id_random();

    (void)unused;
    s->holding->is_holding = true;
    for (int i = 0; i < HELD_MAX + 4; i++)
        send_put(&s->store, &s->mailbox, "log/a", STR("abc"));
    send_put(&s->store, &s->mailbox, "log/b", STR("abc"));
    net_run_for(s->direct.loop, 20);
    assert_int_equal(list(s, &s->keeper, &removed, "", ""), WIRE_OK);
    assert_int_equal(s->holding->count, 2); /* one of each name */
    assert_int_equal(s->store.answers, 0);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mailbox_has_its_part),
        cmocka_unit_test(a_list_that_is_given_up),
        cmocka_unit_test(a_list_before_all_is_told),
        cmocka_unit_test(what_comes_late),
        cmocka_unit_test(who_may_name_what),
        cmocka_unit_test(without_a_destination_it_says_so),
        cmocka_unit_test(what_waits_is_bounded),
        cmocka_unit_test(old_ones_go_behind_a_newer_verified_one),
        cmocka_unit_test(nothing_goes_behind_an_unverified_one),
        cmocka_unit_test(nothing_goes_behind_one_that_is_not_whole),
        cmocka_unit_test(old_ones_go_although_one_is_of_the_future),
        cmocka_unit_test(puts_of_one_name_stay_in_order),
        cmocka_unit_test(generations_of_the_log_go_with_their_backups),
        cmocka_unit_test(a_destination_with_a_wrong_clock_keeps_the_log),
        cmocka_unit_test(a_base_without_a_manifest_goes_after_a_day),
        cmocka_unit_test(sealed_mail_and_accounts_have_the_same_policy),
        cmocka_unit_test(another_hosts_accounts_stay),
        cmocka_unit_test(who_is_gone_is_forgotten),
        cmocka_unit_test(puts_of_a_removed_mailbox_are_waited_for_or_dropped),
        cmocka_unit_test(puts_of_others_are_not_touched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
