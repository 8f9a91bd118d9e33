#include "backup/prune.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>

enum {
    OBJECTS_MAX = 20000, /* of one series; more is not looked at */
    DAY_MS = 24 * 60 * 60 * 1000,
    ORPHAN_MS = DAY_MS,
};

/*
 *   SERIES ──> REMOVING ──> (done)
 *                 │  full/ only
 *                 v
 *               BASES ──> REMOVING_MANIFEST ──> LOG <──> REMOVING_LOG
 *                              ^                 │
 *                              │                 v
 *                              └─ the next ── REMOVING_BASE ──> (done)
 *                                 generation
 */
enum stage {
    STAGE_SERIES,
    STAGE_REMOVING,
    STAGE_BASES,
    STAGE_REMOVING_MANIFEST,
    STAGE_LOG,
    STAGE_REMOVING_LOG,
    STAGE_REMOVING_BASE,
};

struct item {
    struct str name; /* in the arena */
    int64_t ms;      /* by its name; of a base: when it was put */
    int64_t modified_ms; /* when it was put, by the destination's clock */
    uint64_t size_bytes;
};

struct items {
    struct item *at; /* own */
    size_t count, room;
};

struct backup_prune {
    struct backup_destination *destination; /* borrowed */
    struct backup_policy policy;
    const struct log *log; /* borrowed */
    struct arena arena;
    struct str series; /* "<mailbox>/full/" */
    struct str root;   /* "<mailbox>/" */
    struct str newest; /* its stem */
    uint64_t newest_bytes;
    bool has_manifests; /* full/ */
    enum stage stage;
    struct backup_call *call; /* own */
    struct items found;   /* of the series, or the bases */
    struct items doomed;  /* objects to remove, the first first */
    struct items segments; /* of the generation that goes */
    size_t next, next_segment;
    bool has_more_segments; /* than those */
    bool has_removed_log;   /* of this generation */
    size_t removed_count;
    struct str removing; /* the object that goes */
    int64_t oldest_kept_ms;
    int64_t skew_ms; /* so much the destination's clock is ahead of ours, by what was just put */
    const struct backup_prune_events *events; /* borrowed */
    void *owner; /* borrowed */
};

static void step(struct backup_prune *prune);

static struct item *add(struct backup_prune *prune, struct items *items, struct str name, int64_t ms)
{
    if (items->count == items->room) {
        items->room = items->room == 0 ? 64 : 2 * items->room;
        items->at = mem_resize(items->at, items->room, sizeof(*items->at));
    }
    items->at[items->count++] =
        (struct item){.name = arena_copy(&prune->arena, name), .ms = ms};
    return &items->at[items->count - 1];
}

static void prune_free(struct backup_prune **pointer)
{
    struct backup_prune *prune = *pointer;

    backup_cancel(&prune->call);
    mem_free(&prune->found.at);
    mem_free(&prune->doomed.at);
    mem_free(&prune->segments.at);
    arena_free(&prune->arena);
    mem_free(pointer);
}

void backup_prune_cancel(struct backup_prune **prune)
{
    if (*prune != NULL)
        prune_free(prune);
}

static void finish(struct backup_prune *prune)
{
    const struct backup_prune_events *events = prune->events;
    void *owner = prune->owner;

    if (prune->removed_count > 0)
        log_info(prune->log, "old backups removed series=%.*s objects=%zu",
                 STR_ARG(prune->series), prune->removed_count);
    prune_free(&prune);
    events->on_done(owner);
}

/* ---- What a name says ---- */

/* Without its kind: what a backup and its manifest have in common. */
static struct str stem_of(struct str name)
{
    static const struct str kinds[] = {STR_INIT(".json"), STR_INIT(".sqlite")};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (str_ends_with(name, kinds[i]))
            return str_upto(name, name.len - kinds[i].len);
    }
    return name;
}

static bool is_manifest(struct str name)
{
    return str_ends_with(name, STR(".json"));
}

/* How many items from `i` on are of one backup. They stand beside each other: sorted by name. */
static size_t group_len(const struct items *items, size_t i)
{
    size_t end = i + 1;

    while (end < items->count &&
           str_equal(stem_of(items->at[end].name), stem_of(items->at[i].name)))
        end++;
    return end - i;
}

static bool group_has(const struct items *items, size_t i, size_t len, bool manifest)
{
    for (size_t k = i; k < i + len; k++) {
        if (is_manifest(items->at[k].name) == manifest)
            return true;
    }
    return false;
}

/* ---- Deciding ---- */

/* The manifest first. */
static void doom(struct backup_prune *prune, const struct items *items, size_t i, size_t len)
{
    for (int manifest = 1; manifest >= 0; manifest--) {
        for (size_t k = i; k < i + len; k++) {
            if (is_manifest(items->at[k].name) == (manifest == 1))
                add(prune, &prune->doomed, items->at[k].name, items->at[k].ms);
        }
    }
}

struct whole {
    size_t first, len; /* of `found` */
};

/* Whole backups, ascending; parts of others that are a day old go. */
static size_t collect_whole(struct backup_prune *prune, struct whole *out)
{
    const struct items *items = &prune->found;
    size_t count = 0, len;

    for (size_t i = 0; i < items->count; i += len) {
        len = group_len(items, i);
        if (group_has(items, i, len, false) &&
            (!prune->has_manifests || group_has(items, i, len, true)))
            out[count++] = (struct whole){i, len};
        else if (clock_now_ms() - items->at[i].ms > ORPHAN_MS)
            doom(prune, items, i, len);
    }
    return count;
}

static struct str stem_at(const struct backup_prune *prune, const struct whole *whole)
{
    return stem_of(prune->found.at[whole->first].name);
}

/* The destination has all of it: it may have said so of less. */
static bool is_all_there(struct backup_prune *prune, const struct whole *newest)
{
    for (size_t k = newest->first; k < newest->first + newest->len; k++) {
        const struct item *item = &prune->found.at[k];

        if (!is_manifest(item->name) && item->size_bytes == prune->newest_bytes) {
            prune->skew_ms = item->modified_ms - clock_now_ms();
            return true;
        }
    }
    log_warning(prune->log,
                "no old backup is removed, as the newest is not whole where it is kept name=%.*s",
                STR_ARG(prune->newest));
    return false;
}

/*
 * How many of the backups are up to the newest one; 0: nothing may go. Those that a clock which was wrong
 * has dated into the future are behind it: they stay until their time comes, and hold nothing up.
 */
static size_t count_to_newest(struct backup_prune *prune, const struct whole *wholes, size_t count)
{
    while (count > 0 && !str_equal(stem_at(prune, &wholes[count - 1]), prune->newest)) {
        if (prune->found.at[wholes[count - 1].first].ms < clock_now_ms() + DAY_MS)
            return 0;
        count--;
    }
    return count > 0 && is_all_there(prune, &wholes[count - 1]) ? count : 0;
}

/* False: nothing may go. */
static bool decide(struct backup_prune *prune)
{
    size_t room = prune->found.count + 1, count;
    struct whole *wholes = NEW_ARRAY(struct whole, room);
    int64_t *times = NEW_ARRAY(int64_t, room);
    bool *is_kept = NEW_ARRAY(bool, room);

    count = count_to_newest(prune, wholes, collect_whole(prune, wholes));
    for (size_t i = 0; i < count; i++)
        times[i] = prune->found.at[wholes[i].first].ms;
    backup_retain(&prune->policy, times, count, is_kept);
    prune->oldest_kept_ms = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!is_kept[i])
            doom(prune, &prune->found, wholes[i].first, wholes[i].len);
        else if (times[i] < prune->oldest_kept_ms)
            prune->oldest_kept_ms = times[i];
    }
    /* The log of the last days stays in any case: a mailbox's first full backup may be younger. */
    if (count > 0 && prune->oldest_kept_ms != INT64_MAX &&
        times[count - 1] - (int64_t)prune->policy.daily * DAY_MS < prune->oldest_kept_ms)
        prune->oldest_kept_ms = times[count - 1] - (int64_t)prune->policy.daily * DAY_MS;
    mem_free(&wholes);
    mem_free(&times);
    mem_free(&is_kept);
    return count > 0;
}

static int compare_ms(const void *a, const void *b)
{
    const struct item *left = a, *right = b;

    return left->ms < right->ms ? -1 : left->ms > right->ms;
}

static int64_t newest_of(const struct items *items)
{
    int64_t newest_ms = INT64_MIN;

    for (size_t i = 0; i < items->count; i++)
        newest_ms = items->at[i].ms > newest_ms ? items->at[i].ms : newest_ms;
    return newest_ms;
}

/* A base without a manifest, which has come right behind it or never will. */
static bool is_orphan(const struct items *items, size_t i, size_t len, int64_t newest_ms)
{
    return !group_has(items, i, len, true) && newest_ms - items->at[i].ms > ORPHAN_MS;
}

/* A generation ends where the next one begins, by when their bases were put. */
static void decide_bases(struct backup_prune *prune)
{
    struct items *items = &prune->found;
    struct items begins = {.count = 0};
    int64_t newest_ms = newest_of(items);
    size_t len;

    for (size_t i = 0; i < items->count; i += len) {
        len = group_len(items, i);
        if (is_orphan(items, i, len, newest_ms))
            add(prune, &prune->doomed, stem_of(items->at[i].name), items->at[i].ms);
        else
            add(prune, &begins, items->at[i].name, items->at[i].ms);
    }
    if (begins.count > 0)
        qsort(begins.at, begins.count, sizeof(*begins.at), compare_ms);
    for (size_t i = 0; i + 1 < begins.count; i++) {
        if (begins.at[i + 1].ms - prune->skew_ms <= prune->oldest_kept_ms)
            add(prune, &prune->doomed, stem_of(begins.at[i].name), begins.at[i].ms);
    }
    mem_free(&begins.at);
}

/* ---- Doing ---- */

/* Behind the time, host/account/ has which host's it is: another's are not ours to let go. */
static bool is_of_same_host(const struct backup_prune *prune, struct str name)
{
    size_t start = prune->series.len + BACKUP_STAMP_LEN;

    return !str_equal(prune->root, STR("host/")) ||
           str_equal(str_from(stem_of(name), start), str_from(prune->newest, start));
}

static void on_listed(void *owner, struct backup_result *result)
{
    struct backup_prune *prune = owner;
    struct items *into = prune->stage == STAGE_LOG ? &prune->segments : &prune->found;
    struct str last = STR("");

    prune->call = NULL;
    if (result->err != ERR_OK) {
        log_warning(prune->log, "old backups could not be listed series=%.*s reason=\"%s\"",
                    STR_ARG(prune->series), result->words);
        finish(prune);
        return;
    }
    for (size_t i = 0; i < result->object_count; i++) {
        const struct backup_object *object = &result->objects[i];
        int64_t ms = object->modified_ms;
        struct item *item;

        last = object->name;
        /* What bears no time in a series is none of ours. */
        if (prune->stage == STAGE_SERIES &&
            (!backup_stamp_parse(str_from(object->name, prune->series.len), &ms) ||
             !is_of_same_host(prune, object->name)))
            continue;
        item = add(prune, into, object->name, ms);
        item->modified_ms = object->modified_ms;
        item->size_bytes = object->size_bytes;
    }
    prune->has_more_segments = !result->is_last;
    /* Segments go a page at a time. */
    if (!result->is_last && prune->stage != STAGE_LOG && into->count < OBJECTS_MAX &&
        last.len > 0) {
        struct str prefix = prune->series;

        if (prune->stage == STAGE_BASES)
            prefix = arena_printf(&prune->arena, "%.*sbase/", STR_ARG(prune->root));
        prune->call = backup_list(prune->destination, prefix, last, BACKUP_PAGE_MAX, on_listed,
                                  prune);
        return;
    }
    step(prune);
}

static void list(struct backup_prune *prune, struct str prefix, struct str after)
{
    prune->call = backup_list(prune->destination, prefix, after, BACKUP_PAGE_MAX, on_listed, prune);
}

static void on_removed(void *owner, struct backup_result *result)
{
    struct backup_prune *prune = owner;

    prune->call = NULL;
    if (result->err != ERR_OK) {
        log_warning(prune->log, "an old backup could not be removed series=%.*s reason=\"%s\"",
                    STR_ARG(prune->series), result->words);
        finish(prune);
        return;
    }
    prune->removed_count++;
    prune->events->on_removed(prune->owner, prune->removing);
    step(prune);
}

static void remove_one(struct backup_prune *prune, struct str name, enum backup_gone gone)
{
    prune->removing = name;
    if (!prune->events->on_removing(prune->owner, name)) {
        finish(prune);
        return;
    }
    prune->call = backup_delete(prune->destination, name, gone, on_removed, prune);
}

/* One of the two objects of the generation that goes. */
static void remove_of_base(struct backup_prune *prune, enum stage stage, const char *kind)
{
    struct str base = prune->doomed.at[prune->next].name; /* "<mailbox>/base/<generation>" */

    prune->stage = stage;
    remove_one(prune, arena_printf(&prune->arena, "%.*s%s", STR_ARG(base), kind), BACKUP_GONE_NOW);
}

/* "<mailbox>/log/<generation>/" of the generation that goes. */
static struct str log_of(struct backup_prune *prune)
{
    struct str base = prune->doomed.at[prune->next].name;
    struct str generation = str_from(base, prune->root.len + STR("base/").len);

    return arena_printf(&prune->arena, "%.*slog/%.*s/", STR_ARG(prune->root), STR_ARG(generation));
}

static void on_folder_removed(void *owner, struct backup_result *result)
{
    struct backup_prune *prune = owner;

    prune->call = NULL;
    if (result->err != ERR_OK)
        log_warning(prune->log,
                    "the folder of an old log could not be removed series=%.*s reason=\"%s\"",
                    STR_ARG(prune->series), result->words);
    remove_of_base(prune, STAGE_REMOVING_BASE, ".sqlite");
}

/* There are no segments: whoever died behind the last one has left a folder, where there are
 * folders. It goes with any name in it that is deleted. */
static void remove_folder_of_log(struct backup_prune *prune)
{
    struct str name = arena_printf(&prune->arena, "%.*s0", STR_ARG(log_of(prune)));

    prune->call =
        backup_delete(prune->destination, name, BACKUP_GONE_NOW, on_folder_removed, prune);
}

/* Its segments, behind those that went. */
static void list_log(struct backup_prune *prune, struct str after)
{
    prune->stage = STAGE_LOG;
    prune->segments.count = 0;
    prune->next_segment = 0;
    list(prune, log_of(prune), after);
}

static void begin_bases(struct backup_prune *prune)
{
    prune->stage = STAGE_BASES;
    prune->found.count = 0;
    prune->doomed.count = 0;
    prune->next = 0;
    list(prune, arena_printf(&prune->arena, "%.*sbase/", STR_ARG(prune->root)), STR(""));
}

static void begin_generation(struct backup_prune *prune)
{
    prune->has_removed_log = false;
    if (prune->next < prune->doomed.count)
        remove_of_base(prune, STAGE_REMOVING_MANIFEST, ".json");
    else
        finish(prune);
}

/* The last of all is gone for good, and all with it, before the copy goes by which they are found.
 */
static void remove_segment(struct backup_prune *prune)
{
    struct str name;

    prune->stage = STAGE_REMOVING_LOG;
    prune->has_removed_log = true;
    if (prune->next_segment < prune->segments.count) {
        name = prune->segments.at[prune->next_segment++].name;
        remove_one(prune, name,
                   prune->has_more_segments || prune->next_segment < prune->segments.count
                       ? BACKUP_GONE_LATER
                       : BACKUP_GONE_NOW);
    } else {
        list_log(prune, prune->segments.at[prune->segments.count - 1].name); /* more of them? */
    }
}

static void remove_next(struct backup_prune *prune)
{
    prune->stage = STAGE_REMOVING;
    if (prune->next < prune->doomed.count)
        remove_one(prune, prune->doomed.at[prune->next++].name, BACKUP_GONE_NOW);
    else if (prune->has_manifests)
        begin_bases(prune);
    else
        finish(prune);
}

/* What was asked for is there. */
static void step(struct backup_prune *prune)
{
    switch (prune->stage) {
    case STAGE_SERIES:
        if (decide(prune))
            remove_next(prune);
        else
            finish(prune);
        return;
    case STAGE_REMOVING:
        remove_next(prune);
        return;
    case STAGE_BASES:
        decide_bases(prune);
        begin_generation(prune);
        return;
    case STAGE_REMOVING_MANIFEST:
        list_log(prune, STR(""));
        return;
    case STAGE_LOG:
        if (prune->segments.count > 0)
            remove_segment(prune);
        else if (!prune->has_removed_log)
            remove_folder_of_log(prune);
        else
            remove_of_base(prune, STAGE_REMOVING_BASE, ".sqlite");
        return;
    case STAGE_REMOVING_LOG:
        remove_segment(prune);
        return;
    case STAGE_REMOVING_BASE:
        prune->next++;
        begin_generation(prune);
        return;
    }
}

struct backup_prune *backup_prune_start(struct backup_destination *destination,
                                        const struct backup_policy *policy, struct str newest,
                                        uint64_t size_bytes, const struct log *log,
                                        const struct backup_prune_events *events, void *owner)
{
    struct backup_prune *prune = NEW(struct backup_prune);
    ptrdiff_t slash = str_last_index(newest, '/');

    assert(slash > 0);
    prune->destination = destination;
    prune->policy = *policy;
    prune->log = log;
    prune->series = arena_copy(&prune->arena, str_upto(newest, (size_t)slash + 1));
    prune->root = str_upto(prune->series, (size_t)str_index(prune->series, '/') + 1);
    prune->newest = stem_of(arena_copy(&prune->arena, newest));
    prune->newest_bytes = size_bytes;
    prune->has_manifests = str_ends_with(prune->series, STR("/full/"));
    prune->events = events;
    prune->owner = owner;
    list(prune, prune->series, STR(""));
    return prune;
}
