/* Owners' own destinations beside the host's: two directories, of which the owner's fails on
 * demand. */
#include "backup/mirrored.h"

#include "backup/directory.h"
#include "backup/fixture.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/scratch.h"
#include "secret/hasher.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[FIXTURE_ROOT_ROOM];
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

enum { PATIENCE_MS = 20 };

/* --- a destination that fails when told to --- */

struct state;

struct flaky {
    struct backup_destination base;
    struct backup_destination *inner; /* own */
    struct state *state;
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

struct state {
    struct backup_fixture host, own, both; /* the first two directly */
    struct backup_destination *whole;
    struct backup_mirrors *mirrors;
    struct id mailbox;
    enum err down;                 /* what the owner's answers with */
    bool is_silent;                /* it does not answer */
    int opened, asked, deny_after; /* deny_after > 0: the so-many-th call fails */
    int64_t delay_ms;              /* slow ones answer so late */
    unsigned slow_answers;
    char seen_secret[32];
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
    struct state *s = flaky->state;
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
    struct state *s = owner;
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

static char own_folder[120];

static int set_up(void **out)
{
    struct state *s = NEW(struct state);
    char host_folder[120];

    scratch_folder_in_memory(root, sizeof(root), "sealpost-mirror");
    (void)snprintf(host_folder, sizeof(host_folder), "%s/host", root);
    (void)snprintf(own_folder, sizeof(own_folder), "%s/own", root);
    fixture_open(&s->host, host_folder);
    s->own.loop = s->both.loop = s->host.loop;
    fixture_open(&s->own, own_folder);
    s->mailbox = id_random();
    s->mirrors = backup_mirrors_new(s->host.loop, &quiet, s->host.destination, open_own, s);
    s->both.destination = backup_mirrored_new(s->host.loop, s->host.destination, s->mirrors, &quiet,
                                              PATIENCE_MS, false);
    s->whole = backup_mirrored_new(s->host.loop, s->host.destination, s->mirrors, &quiet,
                                   PATIENCE_MS, true);
    *out = s;
    return 0;
}

static int tear_down(void **state)
{
    struct state *s = *state;

    s->own.loop = NULL;
    s->both.loop = NULL;
    backup_destination_free(&s->whole);
    backup_destination_free(&s->both.destination);
    backup_mirrors_free(&s->mirrors);
    fixture_done(&s->both);
    fixture_done(&s->own);
    fixture_done(&s->host);
    mem_free(&s);
    return fixture_remove_root(root);
}

static void set_place(struct state *s, const char *place, const char *secret)
{
    struct backup_own own = {.mailbox = s->mailbox,
                             .place = str_from_c(place),
                             .region = STR("r"),
                             .key_id = STR("k"),
                             .secret = str_from_c(secret)};

    backup_mirrors_set(s->mirrors, &own);
}

static const char *name_of(const struct state *s, const char *inner)
{
    static char names[4][96];
    static unsigned next;
    char *name = names[next++ % 4];

    (void)snprintf(name, sizeof(names[0]), "%s/%s", s->mailbox.text, inner);
    return name;
}

/* As the archivist does: the host has it, then the mirrors hear of it. */
static void come(struct state *s, const char *inner, size_t size, unsigned seed)
{
    CLEANUP(buf_free) struct buf content;
    CLEANUP(fd_close) int fd = -1;
    unsigned char digest[CRYPT_HASH_BYTES];
    struct backup_put what = {
        .name = str_from_c(name_of(s, inner)), .size_bytes = size, .digest = digest};

    buf_init(&content, SIZE_MAX);
    fd = fixture_memfd(size, seed, &content);
    hasher_sha256(buf_str(&content), digest);
    what.fd = fd;
    assert_int_equal(fixture_put(&s->host, what.name.ptr, size, seed), ERR_OK);
    backup_mirrors_put(s->mirrors, &what);
}

static void stop(void *owner)
{
    net_loop_stop(owner);
}

static void run_for(struct state *s, int64_t ms)
{
    struct net_timer *timer = net_timer_new(s->host.loop, stop, s->host.loop);

    net_timer_start(timer, ms);
    net_loop_run(s->host.loop);
    net_timer_free(&timer);
}

static void assert_state(struct state *s, const char *expected)
{
    json_t *object = json_object();

    backup_mirrors_describe(s->mirrors, &s->mailbox, object);
    assert_string_equal(json_string_value(json_object_get(object, "state")), expected);
    json_decref(object);
}

static bool is_in_state(const struct state *s, const char *expected)
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

/* Until it is so; a state that never comes fails the test's own time limit. */
static void settle(struct state *s, const char *expected)
{
    for (int i = 0; i < 2000; i++) {
        if (is_in_state(s, expected))
            return;
        run_for(s, 10);
    }
    assert_state(s, expected);
}

static void assert_same_lists(struct state *s)
{
    assert_int_equal(fixture_list(&s->host, s->mailbox.text, "", 1000), ERR_OK);
    assert_int_equal(fixture_list(&s->own, s->mailbox.text, "", 1000), ERR_OK);
    assert_string_equal(s->host.names.ptr, s->own.names.ptr);
}

/* --- tests --- */

static void test_what_was_there_and_what_comes(void **state)
{
    struct state *s = *state;

    come(s, "base/0.json", 10, 1);
    come(s, "base/0.sqlite", 100000, 2);
    come(s, "log/0/1.seg", 500, 3);
    assert_int_equal(s->opened, 0); /* there is none */
    set_place(s, own_folder, "one");
    assert_string_equal(s->seen_secret, "one");
    settle(s, "up to date");
    assert_same_lists(s);
    come(s, "log/0/2.seg", 500, 4);
    come(s, "full/1.sqlite", 3000000, 5);
    come(s, "full/1.json", 50, 6);
    settle(s, "up to date");
    assert_same_lists(s);
    assert_int_equal(fixture_get(&s->own, name_of(s, "full/1.sqlite")), ERR_OK);
    assert_true(fixture_is(&s->own, 3000000, 5));
    set_place(s, own_folder, "one"); /* the same: nothing begins anew */
    assert_int_equal(s->opened, 1);
}

static void test_a_manifest_is_copied_last(void **state)
{
    struct state *s = *state;

    come(s, "full/1.json", 50, 6);
    come(s, "full/1.sqlite", 100, 5);
    s->deny_after = 3; /* list, one put, and no more */
    set_place(s, own_folder, "one");
    settle(s, "failing");
    assert_int_equal(fixture_list(&s->own, s->mailbox.text, "", 1000), ERR_OK);
    assert_true(str_starts_with(buf_str(&s->own.names), str_from_c(name_of(s, "full/1.sqlite"))));
    assert_int_equal(s->own.names.len, strlen(name_of(s, "full/1.sqlite")) + 1);
}

static void test_one_that_is_away_comes_back(void **state)
{
    struct state *s = *state;
    struct backup_mirrors_count count;
    json_t *object = json_object();

    set_place(s, own_folder, "one");
    settle(s, "up to date");
    s->down = ERR_BUSY;
    come(s, "log/0/1.seg", 500, 1);
    settle(s, "failing");
    for (unsigned i = 2; i < 200; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "log/0/%u.seg", i);
        come(s, name, 10, i);
    }
    backup_mirrors_removed(s->mirrors, str_from_c(name_of(s, "log/0/1.seg")));
    assert_int_equal(fixture_delete(&s->host, name_of(s, "log/0/1.seg")), ERR_OK);
    backup_mirrors_describe(s->mirrors, &s->mailbox, object);
    assert_string_equal(json_string_value(json_object_get(object, "reason")), "down");
    json_decref(object);
    backup_mirrors_count(s->mirrors, &count);
    assert_int_equal(count.all, 1);
    assert_int_equal(count.failing, 1);
    s->down = ERR_OK;
    settle(s, "up to date");
    assert_same_lists(s);
    backup_mirrors_count(s->mirrors, &count);
    assert_int_equal(count.failing, 0);
}

/* What it did not take is not forgotten: nothing else comes that would remind of it. */
static void test_the_one_that_failed(void **state)
{
    struct state *s = *state;

    set_place(s, own_folder, "one");
    settle(s, "up to date");
    s->down = ERR_LIMIT;
    come(s, "log/0/1.seg", 500, 1);
    settle(s, "failing");
    s->down = ERR_OK;
    settle(s, "up to date");
    assert_same_lists(s);
}

/* More at once than waits in memory. */
static void test_a_storm(void **state)
{
    struct state *s = *state;

    set_place(s, own_folder, "one");
    settle(s, "up to date");
    for (unsigned i = 0; i < 300; i++) {
        char name[32];
        CLEANUP(fd_close) int fd = -1;
        CLEANUP(buf_free) struct buf content;
        unsigned char digest[CRYPT_HASH_BYTES];
        struct backup_put what = {.size_bytes = 10, .digest = digest};

        (void)snprintf(name, sizeof(name), "log/0/%u.seg", i);
        what.name = str_from_c(name_of(s, name));
        buf_init(&content, SIZE_MAX);
        fd = fixture_memfd(10, i, &content);
        hasher_sha256(buf_str(&content), digest);
        what.fd = fd;
        assert_int_equal(fixture_put(&s->host, what.name.ptr, 10, i), ERR_OK);
        if (i % 100 == 0)
            s->down = s->down == ERR_OK ? ERR_BUSY : ERR_OK;
        backup_mirrors_put(s->mirrors, &what);
    }
    s->down = ERR_OK;
    settle(s, "up to date");
    assert_same_lists(s);
}

static void test_a_place_that_cannot_be_opened(void **state)
{
    struct state *s = *state;

    set_place(s, "nowhere", "one");
    assert_state(s, "failing");
    come(s, "log/0/1.seg", 500, 1);
    assert_int_equal(fixture_get(&s->both, name_of(s, "log/0/1.seg")), ERR_OK);
    assert_int_equal(fixture_list(&s->both, s->mailbox.text, "", 10), ERR_OK);
    set_place(s, own_folder, "one");
    settle(s, "up to date");
    assert_same_lists(s);
    set_place(s, "", "");
    come(s, "log/0/2.seg", 500, 1);
    run_for(s, 50);
    assert_int_equal(fixture_get(&s->own, name_of(s, "log/0/2.seg")), ERR_NOT_FOUND);
}

static void test_reading_both(void **state)
{
    struct state *s = *state;

    come(s, "full/1.sqlite", 1000, 1);
    come(s, "full/2.sqlite", 1000, 2);
    set_place(s, own_folder, "one");
    settle(s, "up to date");
    assert_int_equal(fixture_delete(&s->host, name_of(s, "full/1.sqlite")), ERR_OK); /* lost */
    assert_int_equal(fixture_put(&s->own, name_of(s, "full/0.sqlite"), 10, 3), ERR_OK);
    assert_int_equal(fixture_put(&s->own, name_of(s, "full/3.sqlite"), 10, 3), ERR_OK);
    assert_int_equal(fixture_get(&s->both, name_of(s, "full/1.sqlite")), ERR_OK);
    assert_true(fixture_is(&s->both, 1000, 1));
    assert_int_equal(fixture_get(&s->both, name_of(s, "full/9.sqlite")), ERR_NOT_FOUND);
    /* In order and in pages, each once. */
    for (size_t size = 1; size <= 5; size++) {
        size_t line = strlen(name_of(s, "full/1.sqlite")) + 1;
        CLEANUP(buf_free) struct buf all;
        char after[96] = "";

        buf_init(&all, SIZE_MAX);
        for (int pages = 0;; pages++) {
            assert_true(pages < 8);
            assert_int_equal(fixture_list(&s->both, name_of(s, ""), after, size), ERR_OK);
            buf_put(&all, buf_str(&s->both.names));
            if (s->both.is_last)
                break;
            assert_true(s->both.names.len > 0);
            (void)snprintf(after, sizeof(after), "%.*s", (int)line - 1,
                           s->both.names.ptr + s->both.names.len - line);
        }
        assert_int_equal(all.len, 4 * line);
        for (int i = 0; i < 4; i++)
            assert_int_equal(all.ptr[(size_t)i * line + 30], '0' + i);
    }
    /* While the owner's is away the host's alone is listed, but not where all is to go. */
    s->down = ERR_BUSY;
    assert_int_equal(fixture_list(&s->both, name_of(s, ""), "", 10), ERR_OK);
    assert_int_equal(s->both.names.len, strlen(name_of(s, "full/1.sqlite")) + 1);
    s->down = ERR_OK;
    s->is_silent = true;
    s->asked = 0;
    for (int i = 0; i < 3; i++) { /* waited for once */
        assert_int_equal(fixture_list(&s->both, name_of(s, ""), "", 10), ERR_OK);
        assert_int_equal(s->both.names.len, strlen(name_of(s, "full/1.sqlite")) + 1);
        assert_int_equal(s->asked, 1);
    }
    /* Nobody waits for ever, where all is to go neither. */
    (void)backup_list(s->whole, str_from_c(name_of(s, "")), STR(""), 10, fixture_on_done, &s->both);
    net_loop_run(s->both.loop);
    assert_int_equal(s->both.err, ERR_IO);
    (void)backup_delete(s->whole, str_from_c(name_of(s, "full/0.sqlite")), BACKUP_GONE_NOW,
                        fixture_on_done, &s->both);
    net_loop_run(s->both.loop);
    assert_int_equal(s->both.err, ERR_IO);
    s->is_silent = false;
    s->down = ERR_BUSY;
    s->host.is_done = false;
    (void)backup_list(s->whole, str_from_c(name_of(s, "")), STR(""), 10, fixture_on_done, &s->both);
    net_loop_run(s->both.loop);
    assert_int_equal(s->both.err, ERR_IO);
    assert_non_null(strstr(s->both.words, "own destination"));
    assert_int_equal(fixture_delete(&s->both, name_of(s, "full/2.sqlite")), ERR_IO);
    assert_int_equal(fixture_get(&s->host, name_of(s, "full/2.sqlite")), ERR_NOT_FOUND);
    s->down = ERR_DENIED; /* no use to wait for it */
    (void)backup_list(s->whole, str_from_c(name_of(s, "")), STR(""), 10, fixture_on_done, &s->both);
    net_loop_run(s->both.loop);
    assert_int_equal(s->both.err, ERR_OK);
    assert_int_equal(fixture_delete(&s->both, name_of(s, "full/2.sqlite")), ERR_OK);
    s->down = ERR_OK;
    assert_int_equal(fixture_delete(&s->both, name_of(s, "full/2.sqlite")), ERR_OK);
    assert_int_equal(fixture_get(&s->own, name_of(s, "full/2.sqlite")), ERR_NOT_FOUND);
}

/* No more than are remembered, though one that failed is behind as many that came meanwhile. */
static void test_what_is_to_be_let_go_is_bounded(void **state)
{
    struct state *s = *state;
    char name[32];
    int asked;

    set_place(s, own_folder, "one");
    settle(s, "up to date");
    s->down = ERR_BUSY;
    for (unsigned i = 0; i <= MIRROR_REMOVALS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "log/0/%u.seg", i);
        backup_mirrors_removed(s->mirrors, str_from_c(name_of(s, name)));
    }
    settle(s, "failing");
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "log/1/%u.seg", i);
        backup_mirrors_removed(s->mirrors, str_from_c(name_of(s, name)));
    }
    s->down = ERR_OK;
    asked = s->asked;
    settle(s, "up to date");
    assert_in_range(s->asked - asked, MIRROR_REMOVALS_MAX, MIRROR_REMOVALS_MAX + 10);
}

/* Removed: what is being copied is told of, the rest is not copied any more. */
static void test_one_that_leaves(void **state)
{
    struct state *s = *state;
    struct str name;

    assert_false(backup_mirrors_end_copying(s->mirrors, str_from_c(name_of(s, ""))));
    set_place(s, own_folder, "one");
    settle(s, "up to date");
    come(s, "full/1.sqlite", 3000000, 1);
    come(s, "full/2.sqlite", 100, 2);
    name = str_from_c(name_of(s, "full/1.sqlite"));
    assert_true(backup_mirrors_end_copying(s->mirrors, name));
    settle(s, "up to date");
    come(s, "full/3.sqlite", 100, 3);
    assert_false(backup_mirrors_end_copying(s->mirrors, name));
    assert_state(s, "up to date");
    assert_int_equal(fixture_list(&s->own, s->mailbox.text, "", 1000), ERR_OK);
    assert_int_equal(s->own.names.len, name.len + 1);
    assert_true(str_starts_with(buf_str(&s->own.names), name));
    backup_mirrors_removed(s->mirrors, name); /* but let go */
    settle(s, "up to date");
    assert_int_equal(fixture_list(&s->own, s->mailbox.text, "", 1000), ERR_OK);
    assert_int_equal(s->own.names.len, 0);
}

/* While all of it is compared, or behind a failure, that ends, too. */
static void test_one_that_leaves_while_it_is_compared(void **state)
{
    struct state *s = *state;

    for (unsigned i = 0; i < 4; i++) {
        char inner[32];

        (void)snprintf(inner, sizeof(inner), "full/%u.sqlite", i);
        come(s, inner, 1000, i);
    }
    s->deny_after = 1;
    set_place(s, own_folder, "one");
    settle(s, "failing");
    s->down = ERR_OK;
    assert_false(backup_mirrors_end_copying(s->mirrors, str_from_c(name_of(s, ""))));
    run_for(s, 1500);
    assert_int_equal(fixture_list(&s->own, s->mailbox.text, "", 1000), ERR_OK);
    assert_int_equal(s->own.names.len, 0);
}

static void test_who_is_not_named_has_none(void **state)
{
    struct state *s = *state;
    struct backup_mirrors_count count;

    backup_mirrors_tell(s->mirrors);
    set_place(s, own_folder, "one");
    backup_mirrors_all_told(s->mirrors);
    backup_mirrors_count(s->mirrors, &count);
    assert_int_equal(count.all, 1);
    backup_mirrors_tell(s->mirrors);
    set_place(s, own_folder, "one");
    backup_mirrors_all_told(s->mirrors);
    backup_mirrors_count(s->mirrors, &count);
    assert_int_equal(count.all, 1);
    backup_mirrors_tell(s->mirrors); /* in the middle of its work, too */
    backup_mirrors_all_told(s->mirrors);
    backup_mirrors_count(s->mirrors, &count);
    assert_int_equal(count.all, 0);
    run_for(s, 20);
}

/* --- what waits --- */

/* In files without names that this process has open, each counted once. */
static uint64_t held_bytes(void)
{
    CLEANUP(folder_close) DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;
    ino_t seen[256];
    size_t count = 0;
    uint64_t bytes = 0;

    while ((entry = readdir(folder)) != NULL) {
        struct stat about;
        char path[64];
        size_t i = 0;

        if (readlinkat(dirfd(folder), entry->d_name, path, sizeof(path)) < 7 ||
            memcmp(path, "/memfd:", 7) != 0 ||
            fstatat(dirfd(folder), entry->d_name, &about, 0) != 0)
            continue;
        while (i < count && seen[i] != about.st_ino)
            i++;
        if (i < count)
            continue;
        assert_true(count < 256);
        seen[count++] = about.st_ino;
        bytes += (uint64_t)about.st_size;
    }
    return bytes;
}

/* What is too much to wait is read from the host's again. */
static void test_what_waits_is_bounded_in_bytes(void **state)
{
    enum { MIB = 1024 * 1024, OBJECTS = 40 };
    struct state *s = *state;

    set_place(s, own_folder, "slow");
    settle(s, "up to date");
    s->delay_ms = 60 * 1000;
    come(s, "full/1.sqlite", 20 * MIB, 1); /* it does not wait: it is on its way at once */
    assert_in_range(held_bytes(), 20 * MIB, 20 * MIB);
    for (unsigned i = 0; i < OBJECTS; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "log/0/%u.seg", i);
        come(s, name, MIB, i);
    }
    assert_in_range(held_bytes(), 20 * MIB + MIRROR_WAITING_OF_ONE_BYTES / 2,
                    20 * MIB + MIRROR_WAITING_OF_ONE_BYTES);
    come(s, "full/2.sqlite", 20 * MIB, 2);
    assert_in_range(held_bytes(), 20 * MIB, 20 * MIB + MIRROR_WAITING_OF_ONE_BYTES);
    set_place(s, own_folder, "one");
    settle(s, "up to date");
    assert_same_lists(s);
    assert_int_equal(held_bytes(), 0);
    /* And without another being set. */
    s->delay_ms = 0;
    set_place(s, own_folder, "slow");
    settle(s, "up to date");
    s->delay_ms = 300;
    for (unsigned i = 0; i < OBJECTS; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "log/1/%u.seg", i);
        come(s, name, MIB, i);
    }
    s->delay_ms = 0;
    settle(s, "up to date");
    assert_same_lists(s);
}

/* --- others in the way --- */

enum { OTHERS = 24, OTHERS_QUICK_MS = 60, OTHERS_SLOW_MS = 240 };

static struct id set_other(struct state *s, const char *secret)
{
    struct backup_own own = {.mailbox = id_random(),
                             .place = str_from_c(own_folder),
                             .region = STR("r"),
                             .key_id = STR("k"),
                             .secret = str_from_c(secret)};

    backup_mirrors_set(s->mirrors, &own);
    return own.mailbox;
}

static void limit_turns(struct state *s)
{
    static const struct backup_mirrors_limits limits = {.quick_ms = OTHERS_QUICK_MS,
                                                        .slow_ms = OTHERS_SLOW_MS};

    backup_mirrors_set_limits(s->mirrors, &limits);
}

static size_t failing(const struct state *s)
{
    struct backup_mirrors_count count;

    backup_mirrors_count(s->mirrors, &count);
    return count.failing;
}

/* However many there are: each is in the way once, for the time of a step. */
static void test_those_that_hang_are_in_nobodys_way(void **state)
{
    struct state *s = *state;
    int asked;

    limit_turns(s);
    for (int i = 0; i < OTHERS; i++)
        (void)set_other(s, "hangs");
    set_place(s, own_folder, "one");
    come(s, "log/0/1.seg", 500, 1);
    settle(s, "up to date");
    assert_same_lists(s);
    for (unsigned i = 2; i < 40; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "log/0/%u.seg", i);
        come(s, name, 10, i);
    }
    settle(s, "up to date");
    assert_same_lists(s);
    /* They take turns, put off for longer and longer; but for those whose places nobody wants. */
    while (failing(s) < OTHERS - MIRROR_PLACES)
        run_for(s, 10);
    asked = s->asked;
    run_for(s, 10 * OTHERS_SLOW_MS);
    assert_in_range(s->asked - asked, 1, 60);
}

/* What takes longer than its turn is not given up while nobody wants its place. */
static void test_a_slow_one(void **state)
{
    struct state *s = *state;

    limit_turns(s);
    s->delay_ms = 2 * OTHERS_SLOW_MS;
    set_place(s, own_folder, "slow");
    settle(s, "up to date");
    come(s, "log/0/1.seg", 500, 1);
    come(s, "log/0/2.seg", 500, 1);
    for (int i = 0; i < 2 * MIRROR_PLACES - 2; i++)
        (void)set_other(s, "hangs");
    settle(s, "up to date");
    assert_same_lists(s);
    assert_int_equal(failing(s), 0);
    assert_int_equal(s->slow_answers, 3);
}

/* It has its time among those that hang, and gets on in it. */
static void test_a_slow_one_among_those_that_hang(void **state)
{
    struct state *s = *state;

    limit_turns(s);
    s->delay_ms = OTHERS_QUICK_MS * 3 / 2;
    for (int i = 0; i < OTHERS; i++)
        (void)set_other(s, "hangs");
    come(s, "log/0/1.seg", 500, 1);
    come(s, "log/0/2.seg", 500, 1);
    come(s, "log/0/3.seg", 500, 1);
    set_place(s, own_folder, "slow");
    while (fixture_get(&s->own, name_of(s, "log/0/3.seg")) != ERR_OK)
        run_for(s, 10);
    assert_same_lists(s);
}

/* Those that take just less than what is too long have no more time than others: turn about, they
 * would copy DAWDLERS objects while another copies one. */
static void test_those_that_dawdle(void **state)
{
    enum { DAWDLERS = 8, OBJECTS = 60 };
    struct state *s = *state;
    struct id first = s->mailbox;
    unsigned before;

    limit_turns(s);
    s->delay_ms = OTHERS_QUICK_MS * 2 / 3;
    for (int i = 0; i < DAWDLERS; i++) {
        s->mailbox = id_random();
        for (unsigned n = 0; n < 40; n++) {
            char name[32];

            (void)snprintf(name, sizeof(name), "log/0/%u.seg", n);
            come(s, name, 10, n);
        }
        set_place(s, own_folder, "slow");
    }
    s->mailbox = first;
    run_for(s, 4 * OTHERS_QUICK_MS);
    for (unsigned n = 0; n < OBJECTS; n++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "log/0/%u.seg", n);
        come(s, name, 10, n);
    }
    before = s->slow_answers;
    set_place(s, own_folder, "one");
    settle(s, "up to date");
    assert_same_lists(s);
    assert_in_range(s->slow_answers - before, 0, DAWDLERS * OBJECTS / 2);
}

/* The same of those whose objects come one by one, each too slow for its place: they begin anew
 * each time, and would come before whoever has used any time at all. */
static void test_those_that_are_slow_anew_each_time(void **state)
{
    enum { DAWDLERS = 10, OBJECTS = 20 };
    struct state *s = *state;
    struct id first = s->mailbox, dawdlers[DAWDLERS];
    bool has_come = false;
    char name[32];

    set_place(s, own_folder, "one");
    settle(s, "up to date");
    for (int i = 0; i < DAWDLERS; i++) {
        s->mailbox = dawdlers[i] = id_random();
        set_place(s, own_folder, "slow");
        settle(s, "up to date");
    }
    limit_turns(s);
    s->delay_ms = OTHERS_QUICK_MS * 5 / 4;
    s->slow_answers = 0;
    for (unsigned next = 0; !has_come || !is_in_state(s, "up to date"); run_for(s, 5)) {
        for (int i = 0; i < DAWDLERS; i++) {
            s->mailbox = dawdlers[i];
            (void)snprintf(name, sizeof(name), "log/0/%u.seg", next++);
            if (is_in_state(s, "up to date"))
                come(s, name, 10, next);
        }
        s->mailbox = first;
        for (unsigned n = 0; !has_come && s->slow_answers > 0 && n < OBJECTS; n++) {
            (void)snprintf(name, sizeof(name), "log/1/%u.seg", n);
            come(s, name, 10, n);
        }
        has_come = has_come || s->slow_answers > 0;
        assert_in_range(s->slow_answers, 0, 10 * OBJECTS);
    }
    assert_same_lists(s);
}

/* --- a trial --- */

static void on_tried(void *owner, enum err err, const char *words)
{
    struct state *s = owner;

    s->own.is_done = true;
    s->own.err = err;
    (void)snprintf(s->own.words, sizeof(s->own.words), "%s", words);
    net_loop_stop(s->host.loop);
}

static enum err try_place(struct state *s, const char *place)
{
    struct backup_own own = {.mailbox = s->mailbox,
                             .place = str_from_c(place),
                             .region = STR("r"),
                             .key_id = STR("k"),
                             .secret = STR("x")};

    (void)backup_mirrors_try(s->mirrors, &own, on_tried, s);
    net_loop_run(s->host.loop);
    return s->own.err;
}

static void test_a_trial(void **state)
{
    struct state *s = *state;

    assert_int_equal(try_place(s, own_folder), ERR_OK);
    assert_int_equal(fixture_list(&s->own, "", "", 10), ERR_OK);
    assert_int_equal(s->own.names.len, 0);
    assert_int_equal(try_place(s, "nowhere"), ERR_INVALID);
    s->down = ERR_DENIED;
    assert_int_equal(try_place(s, own_folder), ERR_DENIED);
    assert_string_equal(s->own.words, "down");
    s->down = ERR_OK;
    s->deny_after = 2; /* it may write and not delete */
    assert_int_equal(try_place(s, own_folder), ERR_DENIED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_there_and_what_comes),
        TEST(test_a_manifest_is_copied_last),
        TEST(test_one_that_is_away_comes_back),
        TEST(test_the_one_that_failed),
        TEST(test_a_storm),
        TEST(test_a_place_that_cannot_be_opened),
        TEST(test_reading_both),
        TEST(test_what_is_to_be_let_go_is_bounded),
        TEST(test_one_that_leaves),
        TEST(test_one_that_leaves_while_it_is_compared),
        TEST(test_who_is_not_named_has_none),
        TEST(test_what_waits_is_bounded_in_bytes),
        TEST(test_those_that_hang_are_in_nobodys_way),
        TEST(test_a_slow_one),
        TEST(test_a_slow_one_among_those_that_hang),
        TEST(test_those_that_dawdle),
        TEST(test_those_that_are_slow_anew_each_time),
        TEST(test_a_trial),
    };

    secret_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
