#include "imap/notify_internal.h"

#include "imap/engine.h"
#include "imap/list_reply.h"

#include <stdlib.h>

/* ---- The snapshot ---- */

static int compare_ids(const void *a, const void *b)
{
    int64_t left = ((const struct vault_folder *)a)->id,
            right = ((const struct vault_folder *)b)->id;

    return left < right ? -1 : left > right;
}

static int compare_names(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

struct vault_folder *imap_notify_list_known(const struct imap_notify *notify, int64_t folder_id)
{
    struct vault_folder key = {.id = folder_id};

    return notify->known_count == 0
               ? NULL
               : bsearch(&key, notify->known, notify->known_count, sizeof(key), compare_ids);
}

static bool is_in(const struct str *names, size_t count, struct str name)
{
    return count > 0 && bsearch(&name, names, count, sizeof(name), compare_names) != NULL;
}

enum err imap_notify_list_read(struct imap_session *s, struct task *task,
                               struct vault_folder **out_folders, size_t *out_count,
                               struct str **out_subscriptions, size_t *out_subscription_count)
{
    TRY(vault_folder_list(s->vault, task, out_folders, out_count));
    TRY(vault_subscription_list(s->vault, task, out_subscriptions, out_subscription_count));
    qsort(*out_folders, *out_count, sizeof(**out_folders), compare_ids);
    if (*out_subscription_count > 1)
        qsort(*out_subscriptions, *out_subscription_count, sizeof(**out_subscriptions),
              compare_names);
    imap_spend(s, *out_count * 4);
    return ERR_OK;
}

void imap_notify_list_keep(struct imap_notify *notify, const struct vault_folder *folders,
                           size_t count, const struct str *subscriptions, size_t subscription_count)
{
    arena_free(&notify->arena);
    notify->known = ARENA_ARRAY(&notify->arena, struct vault_folder, count);
    notify->known_count = count;
    for (size_t i = 0; i < count; i++) {
        notify->known[i] = folders[i];
        notify->known[i].name = arena_copy(&notify->arena, folders[i].name);
    }
    notify->subscriptions = ARENA_ARRAY(&notify->arena, struct str, subscription_count);
    notify->subscription_count = subscription_count;
    for (size_t i = 0; i < subscription_count; i++)
        notify->subscriptions[i] = arena_copy(&notify->arena, subscriptions[i]);
}

/* ---- LIST of names that changed (RFC 5465 §5.4, §5.5) ---- */

struct affected {
    struct str name, old_name; /* the latter empty: not renamed */
    bool is_gone;              /* what had the name; another may have it */
    bool is_told;
    size_t position; /* among them, as they were found */
};

/* Some of them, by the name that the client knows them by, in the order of
 * vault_folder_compare_names. */
struct sources {
    struct source {
        struct str name;
        struct affected *affected;
        size_t next; /* if it is told: those in between are, too */
    } * list;
    size_t count;
};

struct comparison {
    struct imap_session *s;
    struct task *task;
    const struct vault_folder *now;                       /* by id */
    const struct vault_folder **by_name, **known_by_name; /* what is now, and was */
    size_t now_count;
    const struct str *subscriptions;
    size_t subscription_count;
    struct affected *affected;
    size_t affected_count;
    struct sources renamed, gone; /* of the affected; gone: and nothing has the name now */
};

static void add_affected(struct comparison *c, struct affected affected)
{
    affected.position = c->affected_count;
    c->affected[c->affected_count++] = affected;
}

static struct str parent_of(struct str name)
{
    ptrdiff_t slash = str_last_index(name, '/');

    return slash < 0 ? (struct str){NULL, 0} : str_upto(name, (size_t)slash);
}

/* "If a mailbox is created or deleted, the mailbox itself and its direct parent" are. */
static void add_with_parent(struct comparison *c, struct str name, bool is_gone)
{
    struct str parent = parent_of(name);

    add_affected(c, (struct affected){.name = name, .is_gone = is_gone});
    if (parent.len > 0)
        add_affected(c, (struct affected){.name = parent});
}

static int compare_folder_names(const void *a, const void *b)
{
    return compare_names(&(*(const struct vault_folder *const *)a)->name,
                         &(*(const struct vault_folder *const *)b)->name);
}

static const struct vault_folder **sort_by_name(struct task *task,
                                                const struct vault_folder *folders, size_t count)
{
    const struct vault_folder **sorted =
        ARENA_ARRAY(&task->arena, const struct vault_folder *, count + 1);

    for (size_t i = 0; i < count; i++)
        sorted[i] = &folders[i];
    if (count > 1)
        qsort(sorted, count, sizeof(*sorted), compare_folder_names);
    return sorted;
}

static const struct vault_folder *find_named(const struct vault_folder **by_name, size_t count,
                                             struct str name)
{
    const struct vault_folder key = {.name = name}, *wanted = &key, **found;

    if (count == 0)
        return NULL;
    found = bsearch(&wanted, by_name, count, sizeof(wanted), compare_folder_names);
    return found == NULL ? NULL : *found;
}

static const struct vault_folder *now_named(const struct comparison *c, struct str name)
{
    return find_named(c->by_name, c->now_count, name);
}

/* Its parent was renamed and took it along: "No additional MailboxName events are sent". */
static bool went_along(const struct imap_notify *notify, const struct comparison *c,
                       struct str old_name, struct str name)
{
    struct str old_parent = parent_of(old_name), parent = parent_of(name);
    const struct vault_folder *now, *was;

    if (old_parent.len == 0 || parent.len == 0 || str_equal(old_parent, parent) ||
        !str_equal(str_from(old_name, old_parent.len), str_from(name, parent.len)))
        return false;
    now = now_named(c, parent);
    was = now == NULL ? NULL : imap_notify_list_known(notify, now->id);
    return was != NULL && str_equal(was->name, old_parent);
}

static void compare_folders(struct comparison *c)
{
    struct imap_notify *notify = c->s->notify;

    for (size_t i = 0; i < c->now_count; i++) {
        const struct vault_folder *now = &c->now[i];
        const struct vault_folder *was = imap_notify_list_known(notify, now->id);

        if (was != NULL && !str_equal(was->name, now->name) &&
            !went_along(notify, c, was->name, now->name))
            add_affected(c, (struct affected){.name = now->name, .old_name = was->name});
        else if (was == NULL || was->is_selectable != now->is_selectable)
            add_with_parent(c, now->name, false);
    }
    for (size_t i = 0; i < notify->known_count; i++) {
        struct vault_folder key = {.id = notify->known[i].id};

        if (c->now_count == 0 ||
            bsearch(&key, c->now, c->now_count, sizeof(key), compare_ids) == NULL)
            add_with_parent(c, notify->known[i].name, true);
    }
}

/* ---- … in an order that a client can follow ---- */

static int compare_affected_names(const void *a, const void *b)
{
    const struct affected *left = a, *right = b;
    int order = str_compare(left->name, right->name);

    return order != 0 ? order : left->position < right->position ? -1 : 1;
}

static int compare_positions(const void *a, const void *b)
{
    return ((const struct affected *)a)->position < ((const struct affected *)b)->position ? -1 : 1;
}

/* Each name once, where it was found first. */
static void join_affected(struct comparison *c)
{
    size_t kept = 0;

    if (c->affected_count > 1)
        qsort(c->affected, c->affected_count, sizeof(*c->affected), compare_affected_names);
    for (size_t i = 0; i < c->affected_count; i++) {
        struct affected *one = &c->affected[i], *last = kept > 0 ? &c->affected[kept - 1] : NULL;

        if (last == NULL || !str_equal(last->name, one->name)) {
            c->affected[kept++] = *one;
            continue;
        }
        if (one->old_name.len > 0) /* a name is one folder's, so this once */
            last->old_name = one->old_name;
        last->is_gone |= one->is_gone;
    }
    c->affected_count = kept;
    if (kept > 1)
        qsort(c->affected, kept, sizeof(*c->affected), compare_positions);
}

static int compare_sources(const void *a, const void *b)
{
    return vault_folder_compare_names(((const struct source *)a)->name,
                                      ((const struct source *)b)->name);
}

static void sort_sources(struct sources *sources)
{
    if (sources->count > 1)
        qsort(sources->list, sources->count, sizeof(*sources->list), compare_sources);
    for (size_t i = 0; i < sources->count; i++)
        sources->list[i].next = i + 1;
}

static void find_sources(struct comparison *c)
{
    c->renamed.list = ARENA_ARRAY(&c->task->arena, struct source, c->affected_count + 1);
    c->gone.list = ARENA_ARRAY(&c->task->arena, struct source, c->affected_count + 1);
    for (size_t i = 0; i < c->affected_count; i++) {
        struct affected *one = &c->affected[i];

        if (one->old_name.len > 0)
            c->renamed.list[c->renamed.count++] =
                (struct source){.name = one->old_name, .affected = one};
        else if (one->is_gone && now_named(c, one->name) == NULL)
            c->gone.list[c->gone.count++] = (struct source){.name = one->name, .affected = one};
    }
    sort_sources(&c->renamed);
    sort_sources(&c->gone);
}

/* The first that does not come before this name; those at and below it follow. */
static size_t place_of(const struct sources *sources, struct str name)
{
    size_t low = 0, high = sources->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (vault_folder_compare_names(sources->list[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* From this place on. What is told stays so, and is passed once. */
static size_t next_untold(struct imap_session *s, struct sources *sources, size_t place)
{
    size_t found = place;

    for (; found < sources->count && sources->list[found].affected->is_told;
         found = sources->list[found].next)
        imap_spend(s, 1);
    while (place < found) {
        size_t next = sources->list[place].next;

        sources->list[place].next = found;
        place = next;
    }
    return found;
}

static struct affected *untold_at_or_below(struct imap_session *s, struct sources *sources,
                                           struct str top)
{
    size_t place = next_untold(s, sources, place_of(sources, top));

    return place < sources->count && imap_notify_is_at_or_below(sources->list[place].name, top)
               ? sources->list[place].affected
               : NULL;
}

/* Which had this name, or one above it. */
static struct affected *untold_at_or_above(const struct sources *sources, struct str name)
{
    for (size_t len = 1; len <= name.len; len++) {
        size_t place;

        if (len < name.len && name.ptr[len] != '/')
            continue;
        place = place_of(sources, str_upto(name, len));
        if (place < sources->count && str_equal(sources->list[place].name, str_upto(name, len)) &&
            !sources->list[place].affected->is_told)
            return sources->list[place].affected;
    }
    return NULL;
}

static void tell_name(struct comparison *c, const struct affected *affected, unsigned event)
{
    const struct vault_folder *now = now_named(c, affected->name);
    bool is_subscribed = is_in(c->subscriptions, c->subscription_count, affected->name);
    unsigned events = imap_notify_name_events(c->s->notify, affected->name, is_subscribed);

    if (affected->old_name.len > 0)
        events |=
            imap_notify_name_events(c->s->notify, affected->old_name,
                                    is_in(c->s->notify->subscriptions,
                                          c->s->notify->subscription_count, affected->old_name));
    /* A parent that has another name now is told of by that, or by its own parent's. */
    if (event == IMAP_NOTIFY_MAILBOX_NAME && now == NULL && !affected->is_gone)
        return;
    if ((events & event) != 0)
        imap_write_list(c->s, affected->name, now, is_subscribed, affected->old_name);
}

/*
 * What must be told before this, so that a client can follow one after the other: a renaming that
 * takes the name away from what had it, alone or with what is above it; and before what is below
 * goes along with a renaming, what went elsewhere or is gone.
 */
static struct affected *untold_before(struct comparison *c, const struct affected *then)
{
    struct affected *first = untold_at_or_above(&c->renamed, then->name);

    imap_spend(c->s, 1);
    if (first == NULL && then->old_name.len > 0)
        first = untold_at_or_below(c->s, &c->renamed, then->old_name);
    if (first == NULL && then->old_name.len > 0)
        first = untold_at_or_below(c->s, &c->gone, then->old_name);
    return first;
}

static void tell_names(struct comparison *c)
{
    struct affected **waiting;

    join_affected(c);
    find_sources(c);
    waiting = ARENA_ARRAY(&c->task->arena, struct affected *, c->affected_count);
    for (size_t i = 0; i < c->affected_count; i++) {
        struct affected *next = c->affected[i].is_told ? NULL : &c->affected[i];
        size_t count = 0;

        while (next != NULL || count > 0) {
            if (next == NULL) {
                tell_name(c, waiting[--count], IMAP_NOTIFY_MAILBOX_NAME);
            } else {
                next->is_told = true;
                waiting[count++] = next;
            }
            next = count == 0 ? NULL : untold_before(c, waiting[count - 1]);
        }
    }
}

static bool is_heard_of(const struct imap_notify *notify, int64_t folder_id)
{
    for (size_t i = 0; i < notify->heard_count; i++)
        if (notify->heard[i].folder_id == folder_id)
            return notify->heard[i].is_foreign;
    return notify->is_all_heard;
}

/* A new mailbox has messages already, or a name that the client knows as another's. */
static enum err tell_new(struct comparison *c, const struct vault_folder *now)
{
    const struct imap_notify *notify = c->s->notify;
    const struct vault_folder nothing = {.unseen_count = UINT32_MAX};
    bool is_foreign = is_heard_of(notify, now->id);

    if (!is_foreign && notify->is_list_foreign)
        is_foreign = find_named(c->known_by_name, notify->known_count, now->name) != NULL;
    return is_foreign ? imap_notify_tell_status(c->s, c->task, &nothing, now) : ERR_OK;
}

static void tell_subscriptions(struct comparison *c)
{
    struct imap_notify *notify = c->s->notify;
    struct affected affected = {0};

    for (size_t i = 0; i < c->subscription_count; i++) {
        affected.name = c->subscriptions[i];
        if (!is_in(notify->subscriptions, notify->subscription_count, affected.name))
            tell_name(c, &affected, IMAP_NOTIFY_SUBSCRIPTION_CHANGE);
    }
    for (size_t i = 0; i < notify->subscription_count; i++) {
        affected.name = notify->subscriptions[i];
        if (!is_in(c->subscriptions, c->subscription_count, affected.name))
            tell_name(c, &affected, IMAP_NOTIFY_SUBSCRIPTION_CHANGE);
    }
}

enum err imap_notify_list_tell(struct imap_session *s, struct task *task)
{
    struct imap_notify *notify = s->notify;
    struct comparison c = {.s = s, .task = task};
    struct vault_folder *now;
    struct str *subscriptions;

    TRY(imap_notify_list_read(s, task, &now, &c.now_count, &subscriptions, &c.subscription_count));
    c.now = now;
    c.subscriptions = subscriptions;
    c.affected =
        ARENA_ARRAY(&task->arena, struct affected, 2 * (c.now_count + notify->known_count));
    c.by_name = sort_by_name(task, now, c.now_count);
    c.known_by_name = sort_by_name(task, notify->known, notify->known_count);
    if (notify->is_list_foreign) {
        compare_folders(&c);
        tell_names(&c);
        tell_subscriptions(&c);
    }
    /* What changed inside the folders is told by itself, but where nothing was known of them. */
    for (size_t i = 0; i < c.now_count; i++) {
        const struct vault_folder *was = imap_notify_list_known(notify, now[i].id);
        struct vault_folder is = now[i];

        if (was == NULL) {
            TRY(tell_new(&c, &now[i]));
            continue;
        }
        now[i] = *was;
        if (was->uidvalidity != is.uidvalidity && notify->is_list_foreign) {
            TRY(imap_notify_tell_status(s, task, was, &is));
            imap_notify_take_known(s, &now[i], is);
        }
        now[i].name = is.name;
        now[i].is_selectable = is.is_selectable;
        now[i].is_subscribed = is.is_subscribed;
    }
    imap_notify_list_keep(notify, now, c.now_count, subscriptions, c.subscription_count);
    return ERR_OK;
}
