#include "backup/mirror_fixture.h"

#include "backup/directory.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/scratch.h"
#include "net/run_for.h"
#include "secret/hasher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

enum { PATIENCE_MS = 20 };

/* --- a destination that fails when told to --- */

struct flaky {
    struct backup_destination base;
    struct backup_destination *inner; /* own */
    struct mirror_fixture *state;
    bool hangs;   /* its secret is "hangs": it never answers */
    bool is_slow; /* its secret is "slow" */
};

struct failing {
    struct backup_call base;
    struct net_timer *timer;
    backup_on_done on_done;
    void *owner;
    enum err err;
};

/* A call that begins late. */
struct late {
    struct backup_call base;
    struct flaky *flaky;
    struct net_timer *timer;  /* own */
    struct backup_call *call; /* own; once it has begun */
    char *name, *after;       /* own; the second of a list */
    int fd;                   /* own; of a put */
    struct backup_put what;
    unsigned char digest[CRYPT_HASH_BYTES];
    size_t count_max;
    backup_on_done on_done;
    void *owner;
};

static void on_failing(void *owner)
{
    struct failing *call = owner;
    struct backup_result result = {.err = call->err, .words = "down", .fd = -1};
    backup_on_done on_done = call->on_done;
    void *asker = call->owner;

    net_timer_free(&call->timer);
    mem_free(&call);
    on_done(asker, &result);
}

static void cancel_failing(struct backup_call *base)
{
    struct failing *call = CONTAINER_OF(base, struct failing, base);

    net_timer_free(&call->timer);
    mem_free(&call);
}

static const struct backup_destination_kind failing_kind = {.cancel = cancel_failing};

static struct backup_call *maybe_fail(struct flaky *flaky, backup_on_done on_done, void *owner)
{
    struct mirror_fixture *s = flaky->state;
    struct failing *call;

    s->asked++;
    if (s->deny_after > 0 && --s->deny_after == 0)
        s->down = ERR_DENIED;
    if (s->down == ERR_OK && !s->is_silent && !flaky->hangs)
        return NULL;
    call = NEW(struct failing);
    call->base.kind = &failing_kind;
    call->on_done = on_done;
    call->owner = owner;
    call->err = s->down;
    call->timer = net_timer_new(s->host.loop, on_failing, call);
    if (!s->is_silent && !flaky->hangs)
        net_timer_start(call->timer, 0);
    return &call->base;
}

static void late_free(struct late *late)
{
    backup_cancel(&late->call);
    net_timer_free(&late->timer);
    fd_close(&late->fd);
    mem_free(&late->name);
    mem_free(&late->after);
    mem_free(&late);
}

static void late_cancel(struct backup_call *base)
{
    late_free(CONTAINER_OF(base, struct late, base));
}

static const struct backup_destination_kind late_kind = {.cancel = late_cancel};

static void on_late_done(void *owner, struct backup_result *result)
{
    struct late *late = owner;

    late->call = NULL;
    late->flaky->state->slow_answers++;
    late->on_done(late->owner, result);
    late_free(late);
}

static void late_begin(void *owner)
{
    struct late *late = owner;
    struct backup_destination *inner = late->flaky->inner;

    late->what.name = str_from_c(late->name);
    late->what.fd = late->fd;
    late->what.digest = late->digest;
    late->call = late->fd >= 0 ? backup_put(inner, &late->what, on_late_done, late)
                               : backup_list(inner, late->what.name, str_from_c(late->after),
                                             late->count_max, on_late_done, late);
}

/* NULL: at once. */
static struct late *maybe_late(struct flaky *flaky, struct str name, backup_on_done on_done,
                               void *owner)
{
    struct late *late;

    if (!flaky->is_slow)
        return NULL;
    late = NEW(struct late);
    late->base.kind = &late_kind;
    late->flaky = flaky;
    late->fd = -1;
    late->name = mem_copy_text(name.ptr, name.len);
    late->on_done = on_done;
    late->owner = owner;
    late->timer = net_timer_new(flaky->state->host.loop, late_begin, late);
    net_timer_start(late->timer, flaky->state->delay_ms);
    return late;
}

static struct flaky *flaky_of(struct backup_destination *destination)
{
    return CONTAINER_OF(destination, struct flaky, base);
}

static struct backup_call *put(struct backup_destination *d, const struct backup_put *what,
                               backup_on_done on_done, void *owner)
{
    struct backup_call *call = maybe_fail(flaky_of(d), on_done, owner);
    struct late *late = call != NULL ? NULL : maybe_late(flaky_of(d), what->name, on_done, owner);

    if (late != NULL) {
        late->fd = dup(what->fd);
        late->what.size_bytes = what->size_bytes;
        memcpy(late->digest, what->digest, CRYPT_HASH_BYTES);
        return &late->base;
    }
    return call != NULL ? call : backup_put(flaky_of(d)->inner, what, on_done, owner);
}

static struct backup_call *get(struct backup_destination *d, struct str name,
                               backup_on_done on_done, void *owner)
{
    struct backup_call *call = maybe_fail(flaky_of(d), on_done, owner);

    return call != NULL ? call : backup_get(flaky_of(d)->inner, name, on_done, owner);
}

static struct backup_call *list(struct backup_destination *d, struct str prefix, struct str after,
                                size_t count_max, backup_on_done on_done, void *owner)
{
    struct backup_call *call = maybe_fail(flaky_of(d), on_done, owner);
    struct late *late = call != NULL ? NULL : maybe_late(flaky_of(d), prefix, on_done, owner);

    if (late != NULL) {
        late->after = mem_copy_text(after.ptr, after.len);
        late->count_max = count_max;
        return &late->base;
    }
    return call != NULL ? call
                        : backup_list(flaky_of(d)->inner, prefix, after, count_max, on_done, owner);
}

static struct backup_call *take_away(struct backup_destination *d, struct str name,
                                     enum backup_gone gone, backup_on_done on_done, void *owner)
{
    struct backup_call *call = maybe_fail(flaky_of(d), on_done, owner);

    return call != NULL ? call : backup_delete(flaky_of(d)->inner, name, gone, on_done, owner);
}

static void free_flaky(struct backup_destination *d)
{
    struct flaky *flaky = flaky_of(d);

    backup_destination_free(&flaky->inner);
    mem_free(&flaky);
}

static const struct backup_destination_kind flaky_kind = {
    .put = put, .get = get, .list = list, .remove = take_away, .free = free_flaky};

static enum err open_own(void *owner, struct task *task, const struct backup_own *own,
                         struct backup_destination **out)
{
    struct mirror_fixture *s = owner;
    struct flaky *flaky;

    s->opened++;
    (void)snprintf(s->seen_secret, sizeof(s->seen_secret), "%.*s", STR_ARG(own->secret));
    if (str_equal(own->place, STR("nowhere")))
        return (fail)(task, ERR_INVALID, "no such place");
    flaky = NEW(struct flaky);
    flaky->base.kind = &flaky_kind;
    flaky->state = s;
    flaky->hangs = str_equal(own->secret, STR("hangs"));
    flaky->is_slow = str_equal(own->secret, STR("slow"));
    TRY(backup_directory_open(s->host.loop, task, arena_copy(&task->arena, own->place).ptr,
                              &flaky->inner));
    *out = &flaky->base;
    return ERR_OK;
}

/* --- the world --- */

int fixture_set_up(void **out)
{
    struct mirror_fixture *s = NEW(struct mirror_fixture);
    char host_folder[120];

    scratch_folder_in_memory(s->root, sizeof(s->root), "sealpost-mirror");
    (void)snprintf(host_folder, sizeof(host_folder), "%s/host", s->root);
    (void)snprintf(s->own_folder, sizeof(s->own_folder), "%s/own", s->root);
    fixture_open(&s->host, host_folder);
    s->own.loop = s->both.loop = s->host.loop;
    fixture_open(&s->own, s->own_folder);
    s->mailbox = id_random();
    s->mirrors = backup_mirrors_new(s->host.loop, &quiet, s->host.destination, open_own, s);
    s->both.destination = backup_mirrored_new(s->host.loop, s->host.destination, s->mirrors, &quiet,
                                              PATIENCE_MS, false);
    s->whole = backup_mirrored_new(s->host.loop, s->host.destination, s->mirrors, &quiet,
                                   PATIENCE_MS, true);
    *out = s;
    return 0;
}

int fixture_tear_down(void **state)
{
    struct mirror_fixture *s = *state;
    int status;

    s->own.loop = NULL;
    s->both.loop = NULL;
    backup_destination_free(&s->whole);
    backup_destination_free(&s->both.destination);
    backup_mirrors_free(&s->mirrors);
    fixture_done(&s->both);
    fixture_done(&s->own);
    fixture_done(&s->host);
    status = fixture_remove_root(s->root);
    mem_free(&s);
    return status;
}

void fixture_set_place(struct mirror_fixture *s, const char *place, const char *secret)
{
    struct backup_own own = {.mailbox = s->mailbox,
                             .place = str_from_c(place),
                             .region = STR("r"),
                             .key_id = STR("k"),
                             .secret = str_from_c(secret)};

    backup_mirrors_set(s->mirrors, &own);
}

const char *fixture_name_of(const struct mirror_fixture *s, const char *inner)
{
    static char names[4][96];
    static unsigned next;
    char *name = names[next++ % 4];

    (void)snprintf(name, sizeof(names[0]), "%s/%s", s->mailbox.text, inner);
    return name;
}

void fixture_come(struct mirror_fixture *s, const char *inner, size_t size, unsigned seed)
{
    CLEANUP(buf_free) struct buf content;
    CLEANUP(fd_close) int fd = -1;
    unsigned char digest[CRYPT_HASH_BYTES];
    struct backup_put what = {
        .name = str_from_c(fixture_name_of(s, inner)), .size_bytes = size, .digest = digest};

    buf_init(&content, SIZE_MAX);
    fd = fixture_memfd(size, seed, &content);
    hasher_sha256(buf_str(&content), digest);
    what.fd = fd;
    assert_int_equal(fixture_put(&s->host, what.name.ptr, size, seed), ERR_OK);
    backup_mirrors_put(s->mirrors, &what);
}

void fixture_assert_state(struct mirror_fixture *s, const char *expected)
{
    json_t *object = json_object();

    backup_mirrors_describe(s->mirrors, &s->mailbox, object);
    assert_string_equal(json_string_value(json_object_get(object, "state")), expected);
    json_decref(object);
}

bool fixture_is_in_state(const struct mirror_fixture *s, const char *expected)
{
    json_t *object = json_object();
    const char *found;
    bool is_it;

    backup_mirrors_describe(s->mirrors, &s->mailbox, object);
    found = json_string_value(json_object_get(object, "state"));
    is_it = found != NULL && strcmp(found, expected) == 0;
    json_decref(object);
    return is_it;
}

void fixture_settle(struct mirror_fixture *s, const char *expected)
{
    for (int i = 0; i < 2000; i++) {
        if (fixture_is_in_state(s, expected))
            return;
        net_run_for(s->host.loop, 10);
    }
    fixture_assert_state(s, expected);
}

void fixture_assert_same_lists(struct mirror_fixture *s)
{
    assert_int_equal(fixture_list(&s->host, s->mailbox.text, "", 1000), ERR_OK);
    assert_int_equal(fixture_list(&s->own, s->mailbox.text, "", 1000), ERR_OK);
    assert_string_equal(s->host.names.ptr, s->own.names.ptr);
}
