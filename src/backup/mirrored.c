#include "backup/mirrored.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

enum { WORDS_ROOM = 400 };

struct mirrored {
    struct backup_destination base;
    struct backup_destination *host; /* borrowed */
    struct backup_mirrors *mirrors;  /* borrowed */
    const struct log *log;           /* borrowed */
    struct net_loop *loop;           /* borrowed */
    int64_t own_patience_ms;
    bool needs_own;
};

/* A page of a list. */
struct page {
    const struct backup_object *objects; /* in the arena */
    size_t count;
    bool is_last;
};

/* A call that has two halves. */
struct call {
    struct backup_call base;
    struct mirrored *mirrored; /* borrowed */
    struct arena arena;
    struct str name, after; /* of the object; or a list's prefix */
    size_t count_max;
    enum backup_gone gone;       /* delete */
    struct backup_call *half;    /* own; the one under way */
    struct backup_own_use *own;  /* own; NULL: not used, or not yet */
    struct net_timer *patience;  /* own; with the owner's half; NULL: no end to it */
    backup_on_done on_impatient; /* what hears of its end */
    enum err err;                /* of the host's half, and its words */
    char words[WORDS_ROOM];
    struct page host; /* list */
    backup_on_done on_done;
    void *owner; /* borrowed */
};

static void call_free(struct call *call)
{
    net_timer_free(&call->patience);
    backup_cancel(&call->half);
    backup_mirrors_give_back(call->mirrored->mirrors, &call->own);
    arena_free(&call->arena);
    mem_free(&call);
}

static void cancel(struct backup_call *base)
{
    call_free(CONTAINER_OF(base, struct call, base));
}

static const struct backup_destination_kind call_kind = {.cancel = cancel};

static void finish(struct call *call, struct backup_result *result)
{
    call->on_done(call->owner, result);
    call_free(call);
}

static void keep_error(struct call *call, const struct backup_result *result)
{
    call->err = result->err;
    (void)snprintf(call->words, sizeof(call->words), "%.*s", WORDS_ROOM / 2 - 1, result->words);
}

static void add_words(struct call *call, const char *words)
{
    size_t len = strlen(call->words);

    (void)snprintf(call->words + len, sizeof(call->words) - len,
                   "%sthe owner's own destination: %s", len > 0 ? "; " : "", words);
}

static void finish_with(struct call *call, enum err err)
{
    struct backup_result result = {.err = err, .words = call->words, .fd = -1};

    finish(call, &result);
}

static struct call *call_new(struct mirrored *mirrored, struct str name, backup_on_done on_done,
                             void *owner)
{
    struct call *call = NEW(struct call);

    call->base.kind = &call_kind;
    call->mirrored = mirrored;
    call->name = arena_copy(&call->arena, name);
    call->on_done = on_done;
    call->owner = owner;
    return call;
}

static bool use_own(struct call *call, bool is_urgent)
{
    call->own = backup_mirrors_use(call->mirrored->mirrors, call->name, is_urgent);
    return call->own != NULL;
}

static void on_patience_over(void *owner)
{
    struct call *call = owner;
    struct backup_result result = {.err = ERR_BUSY, .words = "it does not answer", .fd = -1};

    backup_cancel(&call->half);
    backup_mirrors_was_silent(call->mirrored->mirrors, call->name);
    call->on_impatient(call, &result);
}

/* The owner's half ends then, whatever its destination does. */
static void limit_patience(struct call *call, int64_t ms, backup_on_done on_impatient)
{
    call->on_impatient = on_impatient;
    call->patience = net_timer_new(call->mirrored->loop, on_patience_over, call);
    net_timer_start(call->patience, ms);
}

/* ---- Put ---- */

static struct backup_call *put(struct backup_destination *destination, const struct backup_put *put,
                               backup_on_done on_done, void *owner)
{
    return backup_put(CONTAINER_OF(destination, struct mirrored, base)->host, put, on_done, owner);
}

/* ---- Get ---- */

static void on_own_got(void *owner, struct backup_result *result)
{
    struct call *call = owner;

    call->half = NULL;
    if (result->err == ERR_OK) {
        log_warning(call->mirrored->log, "read from the owner's own destination name=%.*s: %s",
                    STR_ARG(call->name), call->words);
        finish(call, result);
        return;
    }
    if (result->err != ERR_NOT_FOUND || call->err == ERR_NOT_FOUND)
        add_words(call, result->words);
    finish_with(call, call->err);
}

static void on_host_got(void *owner, struct backup_result *result)
{
    struct call *call = owner;

    call->half = NULL;
    keep_error(call, result);
    if (result->err == ERR_OK || !use_own(call, true)) {
        finish(call, result);
        return;
    }
    call->half = backup_get(call->own->destination, call->name, on_own_got, call);
}

static struct backup_call *get(struct backup_destination *destination, struct str name,
                               backup_on_done on_done, void *owner)
{
    struct call *call =
        call_new(CONTAINER_OF(destination, struct mirrored, base), name, on_done, owner);

    call->half = backup_get(call->mirrored->host, call->name, on_host_got, call);
    return &call->base;
}

/* ---- List ---- */

static void keep_page(struct call *call, const struct backup_result *result)
{
    struct backup_object *objects =
        ARENA_ARRAY(&call->arena, struct backup_object, result->object_count + 1);

    for (size_t i = 0; i < result->object_count; i++) {
        objects[i] = result->objects[i];
        objects[i].name = arena_copy(&call->arena, result->objects[i].name);
    }
    call->host = (struct page){objects, result->object_count, result->is_last};
}

/* Is this name beyond what a page that was cut can tell of? */
static bool is_beyond(const struct page *page, struct str name)
{
    return !page->is_last &&
           (page->count == 0 || str_compare(name, page->objects[page->count - 1].name) > 0);
}

/* Each name once, in order; the host's word counts for its size and time. */
static void finish_merged(struct call *call, const struct page *host, const struct page *own)
{
    struct backup_object *objects =
        ARENA_ARRAY(&call->arena, struct backup_object, host->count + own->count + 1);
    struct backup_result result = {.words = "", .fd = -1, .objects = objects};
    size_t i = 0, k = 0;

    result.is_last = host->is_last && own->is_last;
    while (i < host->count || k < own->count) {
        int order = i == host->count  ? 1
                    : k == own->count ? -1
                                      : str_compare(host->objects[i].name, own->objects[k].name);
        const struct backup_object *next = order <= 0 ? &host->objects[i] : &own->objects[k];

        if (is_beyond(host, next->name) || is_beyond(own, next->name) ||
            result.object_count == call->count_max) {
            result.is_last = false;
            break;
        }
        objects[result.object_count++] = *next;
        i += order <= 0 ? 1 : 0;
        k += order >= 0 ? 1 : 0;
    }
    finish(call, &result);
}

static void on_own_listed(void *owner, struct backup_result *result)
{
    static const struct page nothing = {NULL, 0, true};
    struct call *call = owner;
    struct mirrored *mirrored = call->mirrored;
    struct page own = {result->objects, result->object_count, result->is_last};
    bool is_host_there = call->err == ERR_OK;

    call->half = NULL;
    if (result->err == ERR_OK) {
        finish_merged(call, is_host_there ? &call->host : &nothing, &own);
        return;
    }
    add_words(call, result->words);
    if (!is_host_there) {
        finish_with(call, call->err);
    } else if (mirrored->needs_own &&
               !backup_mirrors_is_lost(mirrored->mirrors, call->name, result->err)) {
        finish_with(call, ERR_IO);
    } else {
        log_warning(mirrored->log, "only this host's backups were listed prefix=%.*s: %s",
                    STR_ARG(call->name), call->words);
        finish_merged(call, &call->host, &nothing);
    }
}

static void on_host_listed(void *owner, struct backup_result *result)
{
    struct call *call = owner;
    bool is_urgent = result->err != ERR_OK || call->mirrored->needs_own;

    call->half = NULL;
    keep_error(call, result);
    if (!use_own(call, is_urgent)) {
        finish(call, result);
        return;
    }
    keep_page(call, result);
    /* What the host has is enough for whoever waits. */
    limit_patience(call,
                   call->err == ERR_OK ? call->mirrored->own_patience_ms : BACKUP_OWN_ALONE_MS,
                   on_own_listed);
    call->half = backup_list(call->own->destination, call->name, call->after, call->count_max,
                             on_own_listed, call);
}

static struct backup_call *list(struct backup_destination *destination, struct str prefix,
                                struct str after, size_t count_max, backup_on_done on_done,
                                void *owner)
{
    struct call *call =
        call_new(CONTAINER_OF(destination, struct mirrored, base), prefix, on_done, owner);

    call->after = arena_copy(&call->arena, after);
    call->count_max = count_max;
    call->half =
        backup_list(call->mirrored->host, call->name, call->after, count_max, on_host_listed, call);
    return &call->base;
}

/* ---- Delete ---- */

static void on_own_deleted(void *owner, struct backup_result *result)
{
    struct call *call = owner;
    struct mirrored *mirrored = call->mirrored;

    call->half = NULL;
    if (result->err == ERR_OK) {
        finish(call, result);
        return;
    }
    add_words(call, result->words);
    if (backup_mirrors_is_lost(mirrored->mirrors, call->name, result->err)) {
        log_warning(mirrored->log, "a backup may stay where its owner has it name=%.*s: %s",
                    STR_ARG(call->name), call->words);
        finish_with(call, ERR_OK);
    } else {
        finish_with(call, ERR_IO);
    }
}

static void on_host_deleted(void *owner, struct backup_result *result)
{
    struct call *call = owner;

    call->half = NULL;
    if (result->err != ERR_OK || !use_own(call, true)) {
        finish(call, result);
        return;
    }
    limit_patience(call, call->mirrored->own_patience_ms, on_own_deleted);
    call->half =
        backup_delete(call->own->destination, call->name, call->gone, on_own_deleted, call);
}

static struct backup_call *remove_call(struct backup_destination *destination, struct str name,
                                       enum backup_gone gone, backup_on_done on_done, void *owner)
{
    struct call *call =
        call_new(CONTAINER_OF(destination, struct mirrored, base), name, on_done, owner);

    call->gone = gone;
    call->half = backup_delete(call->mirrored->host, call->name, gone, on_host_deleted, call);
    return &call->base;
}

/* ---- Abandon ---- */

static void on_own_abandoned(void *owner, struct backup_result *result)
{
    struct call *call = owner;

    call->half = NULL;
    if (result->err != ERR_OK &&
        !backup_mirrors_is_lost(call->mirrored->mirrors, call->name, result->err)) {
        add_words(call, result->words);
        finish_with(call, ERR_IO);
    } else {
        finish_with(call, ERR_OK);
    }
}

/* The owner's, if it has such. */
static bool abandon_own(struct call *call)
{
    if (!use_own(call, true))
        return false;
    call->half = backup_abandon(call->own->destination, call->name, on_own_abandoned, call);
    if (call->half != NULL)
        limit_patience(call, call->mirrored->own_patience_ms, on_own_abandoned);
    return call->half != NULL;
}

static void on_host_abandoned(void *owner, struct backup_result *result)
{
    struct call *call = owner;

    call->half = NULL;
    if (result->err != ERR_OK || !abandon_own(call))
        finish(call, result);
}

static struct backup_call *abandon(struct backup_destination *destination, struct str prefix,
                                   backup_on_done on_done, void *owner)
{
    struct call *call =
        call_new(CONTAINER_OF(destination, struct mirrored, base), prefix, on_done, owner);

    call->half = backup_abandon(call->mirrored->host, call->name, on_host_abandoned, call);
    if (call->half == NULL && !abandon_own(call)) {
        call_free(call);
        return NULL;
    }
    return &call->base;
}

static int64_t lost_put_ms(const struct backup_destination *destination, struct str name)
{
    return backup_lost_put_ms(CONTAINER_OF(destination, const struct mirrored, base)->host, name);
}

/* ---- The destination ---- */

static void free_mirrored(struct backup_destination *destination)
{
    struct mirrored *mirrored = CONTAINER_OF(destination, struct mirrored, base);

    mem_free(&mirrored);
}

static const struct backup_destination_kind kind = {
    .put = put,
    .get = get,
    .list = list,
    .remove = remove_call,
    .abandon = abandon,
    .lost_put_ms = lost_put_ms,
    .free = free_mirrored,
};

struct backup_destination *backup_mirrored_new(struct net_loop *loop,
                                               struct backup_destination *host,
                                               struct backup_mirrors *mirrors,
                                               const struct log *log, int64_t own_patience_ms,
                                               bool needs_own)
{
    struct mirrored *mirrored = NEW(struct mirrored);

    mirrored->base.kind = &kind;
    mirrored->host = host;
    mirrored->mirrors = mirrors;
    mirrored->log = log;
    mirrored->loop = loop;
    mirrored->own_patience_ms = own_patience_ms;
    mirrored->needs_own = needs_own;
    return &mirrored->base;
}
