#include "imap/notify.h"

#include "base/memory.h"
#include "imap/engine.h"
#include "imap/list_reply.h"

#include <stdlib.h>

enum { HEARD_MAX = 64 /* mailboxes at a time; with more, all are looked at */ };

struct heard {
    int64_t folder_id;
    bool is_foreign; /* not only this session's own doing, which is not told (RFC 5465 §5) */
};

struct imap_notify {
    struct task task; /* its arena holds what follows */
    struct imap_notify_args args;
    const struct imap_notify_group *selected; /* in args; NULL: none */

    /* What the client knows, or would if it had asked. */
    struct arena arena;         /* of the names */
    struct vault_folder *known; /* own; by id */
    size_t known_count;
    struct str *subscriptions; /* in the arena; sorted */
    size_t subscription_count;

    /* What was heard since. */
    struct heard heard[HEARD_MAX];
    size_t heard_count;
    bool is_all_heard, is_list_heard;
    bool is_list_foreign, is_selected_foreign;
    bool is_selected_missed; /* others changed it, and not all is told: `known` has it as before */
    uint32_t first_new, last_new; /* UIDs to FETCH in the selected mailbox; 0: none */

    /* IDLE, while a FETCH runs inside it. */
    bool is_fetching, has_idle;
    const struct imap_command *idle_command;
    struct task idle_task;
    union imap_args *idle_args;
    struct str idle_tag;
};

/* ---- What is wanted ---- */

static bool is_at_or_below(struct str name, struct str top)
{
    return str_equal(name, top) ||
           (name.len > top.len && str_starts_with(name, top) && name.ptr[top.len] == '/');
}

static bool group_matches(const struct imap_notify_group *group, struct str name,
                          bool is_subscribed)
{
    switch (group->filter) {
    case IMAP_NOTIFY_SELECTED:
    case IMAP_NOTIFY_SELECTED_DELAYED:
        return false;
    case IMAP_NOTIFY_PERSONAL:
        return true;
    case IMAP_NOTIFY_SUBSCRIBED:
        return is_subscribed;
    case IMAP_NOTIFY_SUBTREE:
    case IMAP_NOTIFY_MAILBOXES:
        for (size_t i = 0; i < group->name_count; i++)
            if (group->filter == IMAP_NOTIFY_SUBTREE ? is_at_or_below(name, group->names[i])
                                                     : str_equal(name, group->names[i]))
                return true;
        return false;
    }
    return false;
}

static unsigned events_of(const struct imap_notify *notify, struct str name, bool is_subscribed)
{
    unsigned events = 0;

    for (size_t i = 0; i < notify->args.group_count; i++)
        if (group_matches(&notify->args.groups[i], name, is_subscribed))
            events |= notify->args.groups[i].events;
    return events;
}

unsigned imap_notify_events(const struct imap_session *s, const struct vault_folder *folder)
{
    if (s->notify == NULL || !folder->is_selectable ||
        (s->state == IMAP_STATE_SELECTED && s->view.folder_id == folder->id))
        return 0;
    return events_of(s->notify, folder->name, folder->is_subscribed) & IMAP_NOTIFY_MESSAGES;
}

unsigned imap_notify_status_items(unsigned events)
{
    unsigned items = 0;

    if ((events & IMAP_NOTIFY_MESSAGE_NEW) != 0)
        items |= IMAP_STATUS_MESSAGES | IMAP_STATUS_UIDNEXT | IMAP_STATUS_UIDVALIDITY;
    if ((events & IMAP_NOTIFY_FLAG_CHANGE) != 0)
        items |= IMAP_STATUS_UIDVALIDITY | IMAP_STATUS_HIGHESTMODSEQ;
    return items;
}

static bool is_selected_unwanted(const struct imap_notify *notify)
{
    return notify->selected == NULL || notify->selected->events == 0;
}

bool imap_notify_is_muted(const struct imap_session *s)
{
    /* What goes by numbers, and refuses those that are expunged, has to say which. */
    bool may_expunge = s->command != NULL && s->command->run != imap_cmd_store &&
                       ((s->command->flags & IMAP_WRITES) != 0 ||
                        (s->command->run == imap_cmd_copy && !imap_is_by_uid(s)));

    return s->notify != NULL && !may_expunge && is_selected_unwanted(s->notify);
}

bool imap_notify_expunges_at_once(const struct imap_session *s)
{
    return s->notify != NULL && s->notify->selected != NULL && s->notify->selected->events != 0 &&
           s->notify->selected->filter == IMAP_NOTIFY_SELECTED;
}

static bool wants_flags(const struct imap_notify *notify)
{
    return notify->selected != NULL && (notify->selected->events & IMAP_NOTIFY_FLAG_CHANGE) != 0;
}

bool imap_notify_wants_flags(const struct imap_session *s)
{
    return s->notify == NULL || wants_flags(s->notify);
}

bool imap_notify_wants_metadata(const struct imap_session *s, const struct vault_folder *folder)
{
    unsigned events = 0;

    if (s->notify == NULL)
        return false;
    if (folder->id != 0)
        return (events_of(s->notify, folder->name, folder->is_subscribed) &
                IMAP_NOTIFY_MAILBOX_METADATA) != 0;
    for (size_t i = 0; i < s->notify->args.group_count; i++)
        events |= s->notify->args.groups[i].events;
    return (events & IMAP_NOTIFY_SERVER_METADATA) != 0;
}

void imap_notify_arrived(struct imap_session *s, uint32_t first_uid)
{
    struct imap_notify *notify = s->notify;

    if (notify == NULL || notify->selected == NULL || !notify->selected->has_fetch ||
        !notify->is_selected_foreign)
        return;
    if (notify->first_new == 0)
        notify->first_new = first_uid;
    notify->last_new = s->view.uids[s->view.count - 1];
}

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

static struct vault_folder *find_known(struct vault_folder *known, size_t count, int64_t id)
{
    struct vault_folder key = {.id = id};

    return count == 0 ? NULL : bsearch(&key, known, count, sizeof(key), compare_ids);
}

static bool is_in(const struct str *names, size_t count, struct str name)
{
    return count > 0 && bsearch(&name, names, count, sizeof(name), compare_names) != NULL;
}

/* The folders by id, and the subscriptions sorted, as they are now; in the task's arena. */
static enum err read_lists(struct imap_session *s, struct task *task,
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

static void keep_lists(struct imap_notify *notify, const struct vault_folder *folders, size_t count,
                       const struct str *subscriptions, size_t subscription_count)
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

void imap_notify_free(struct imap_notify **notify)
{
    struct imap_notify *gone = *notify;

    if (gone == NULL)
        return;
    arena_free(&gone->arena);
    task_done(&gone->task);
    task_done(&gone->idle_task);
    mem_free(notify);
}

/* What the command said, parsed again into memory that stays. */
static enum err keep_args(struct imap_session *s, struct imap_notify *notify, struct str text)
{
    union imap_args *args = ARENA_NEW(&notify->task.arena, union imap_args);
    struct imap_parser parser =
        imap_parser(s, &notify->task, arena_copy(&notify->task.arena, text));

    TRY(imap_parse_notify(&parser, args));
    notify->args = args->notify;
    for (size_t i = 0; i < notify->args.group_count; i++) {
        const struct imap_notify_group *group = &notify->args.groups[i];

        if (group->filter == IMAP_NOTIFY_SELECTED || group->filter == IMAP_NOTIFY_SELECTED_DELAYED)
            notify->selected = group;
    }
    return ERR_OK;
}

/* What was missed of the selected mailbox is missed still, unless the new rules have it told. */
static void keep_missed(const struct imap_session *s, struct imap_notify *notify)
{
    const struct imap_notify *before = s->notify;
    struct vault_folder *was, *now;
    struct str name;

    if (before == NULL || !before->is_selected_missed || wants_flags(notify))
        return;
    was = find_known(before->known, before->known_count, s->view.folder_id);
    now = find_known(notify->known, notify->known_count, s->view.folder_id);
    if (was == NULL || now == NULL)
        return;
    name = now->name;
    *now = *was;
    now->name = name;
    notify->is_selected_missed = true;
}

/* ---- Hearing ---- */

static void note_folder(struct imap_notify *notify, int64_t folder_id, bool is_foreign)
{
    size_t i = 0;

    while (i < notify->heard_count && notify->heard[i].folder_id != folder_id)
        i++;
    if (i == HEARD_MAX) {
        notify->is_all_heard = true;
        return;
    }
    if (i == notify->heard_count)
        notify->heard[notify->heard_count++] = (struct heard){folder_id, false};
    notify->heard[i].is_foreign |= is_foreign;
}

void imap_notify_heard(struct imap_session *s, int64_t folder_id)
{
    struct imap_notify *notify = s->notify;
    bool is_foreign = !s->is_running && !imap_group_is_own(s, folder_id);

    if (notify == NULL)
        return;
    if (s->state == IMAP_STATE_SELECTED && folder_id == s->view.folder_id) {
        notify->is_selected_foreign |= is_foreign;
        notify->is_selected_missed |= is_foreign && !imap_notify_wants_flags(s);
    }
    if (folder_id == -1) {
        notify->is_list_heard = true;
        notify->is_list_foreign |= is_foreign;
    } else {
        note_folder(notify, folder_id, is_foreign);
    }
    if (imap_notify_has_news(s) && s->on_output != NULL)
        s->on_output(s->on_output_owner);
}

void imap_notify_deselecting(struct imap_session *s)
{
    struct imap_notify *notify = s->notify;
    struct vault_folder *known;

    if (notify == NULL)
        return;
    if (notify->is_selected_missed)
        note_folder(notify, s->view.folder_id, true);
    notify->first_new = notify->last_new = 0;
    notify->is_selected_foreign = notify->is_selected_missed = false;
    known = find_known(notify->known, notify->known_count, s->view.folder_id);
    if (s->view.gone_count == 0 || known == NULL)
        return;
    /* The EXPUNGEs can be told no more: whatever the folder's numbers are now, they are news. */
    known->message_count = known->unseen_count = UINT32_MAX;
    note_folder(notify, s->view.folder_id, true);
}

bool imap_notify_has_news(const struct imap_session *s)
{
    const struct imap_notify *notify = s->notify;

    /* A command whose literal was refused runs too, until its rest is read past. */
    if (notify == NULL || notify->is_fetching || (s->command != NULL && !s->is_idling) ||
        s->doom != IMAP_REFUSAL_NONE || s->is_running || s->state == IMAP_STATE_LOGOUT)
        return false;
    return notify->heard_count > 0 || notify->is_list_heard || notify->is_all_heard ||
           s->metadata_news.len > 0 ||
           (notify->first_new != 0 && s->state == IMAP_STATE_SELECTED) ||
           (s->state == IMAP_STATE_SELECTED && s->has_changes && !imap_notify_is_muted(s));
}

/* ---- STATUS of other mailboxes (RFC 5465 §5.1 to §5.3) ---- */

static enum err tell_status(struct imap_session *s, struct task *task,
                            const struct vault_folder *was, const struct vault_folder *now)
{
    unsigned events = imap_notify_events(s, now), items = 0;

    if ((events & IMAP_NOTIFY_MESSAGE_NEW) != 0 &&
        (now->message_count != was->message_count || now->uidnext != was->uidnext))
        items |= IMAP_STATUS_UIDNEXT | IMAP_STATUS_MESSAGES;
    if ((events & IMAP_NOTIFY_FLAG_CHANGE) != 0) {
        if (now->unseen_count != was->unseen_count)
            items |= IMAP_STATUS_UIDVALIDITY | IMAP_STATUS_UNSEEN;
        if (imap_has(s, IMAP_EXT_CONDSTORE) && now->highest_modseq != was->highest_modseq)
            items |= IMAP_STATUS_UIDVALIDITY | IMAP_STATUS_HIGHESTMODSEQ;
    }
    if (now->uidvalidity != was->uidvalidity && events != 0) /* it came with another name */
        items |= IMAP_STATUS_UIDVALIDITY;
    if (items == 0)
        return ERR_OK;
    if (imap_has(s, IMAP_EXT_CONDSTORE))
        items |= IMAP_STATUS_HIGHESTMODSEQ;
    return imap_write_status(s, task, now, items);
}

/* The client knows this now: but of the selected mailbox no more than it is told of that. */
static void take_known(struct imap_session *s, struct vault_folder *known, struct vault_folder now)
{
    bool is_missed = s->state == IMAP_STATE_SELECTED && known->id == s->view.folder_id &&
                     s->notify->is_selected_missed;

    if (is_missed && is_selected_unwanted(s->notify))
        return;
    if (is_missed) {
        now.unseen_count = known->unseen_count;
        now.highest_modseq = known->highest_modseq;
    }
    now.name = known->name;
    *known = now;
}

static enum err tell_folder(struct imap_session *s, struct task *task, struct heard heard)
{
    struct imap_notify *notify = s->notify;
    struct vault_folder *known = find_known(notify->known, notify->known_count, heard.folder_id);
    struct vault_folder now;

    /* Not in the list: it is new, or gone, and the list tells. */
    if (known == NULL || vault_folder_modseq(s->vault, heard.folder_id) == 0)
        return ERR_OK;
    TRY(vault_folder_by_id(s->vault, task, heard.folder_id, &now));
    if (heard.is_foreign)
        TRY(tell_status(s, task, known, &now));
    take_known(s, known, now);
    return ERR_OK;
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
    was = now == NULL ? NULL : find_known(notify->known, notify->known_count, now->id);
    return was != NULL && str_equal(was->name, old_parent);
}

static void compare_folders(struct comparison *c)
{
    struct imap_notify *notify = c->s->notify;

    for (size_t i = 0; i < c->now_count; i++) {
        const struct vault_folder *now = &c->now[i];
        const struct vault_folder *was = find_known(notify->known, notify->known_count, now->id);

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

    return place < sources->count && is_at_or_below(sources->list[place].name, top)
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
    unsigned events = events_of(c->s->notify, affected->name, is_subscribed);

    if (affected->old_name.len > 0)
        events |= events_of(c->s->notify, affected->old_name,
                            is_in(c->s->notify->subscriptions, c->s->notify->subscription_count,
                                  affected->old_name));
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
    return is_foreign ? tell_status(c->s, c->task, &nothing, now) : ERR_OK;
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

static enum err tell_list(struct imap_session *s, struct task *task)
{
    struct imap_notify *notify = s->notify;
    struct comparison c = {.s = s, .task = task};
    struct vault_folder *now;
    struct str *subscriptions;

    TRY(read_lists(s, task, &now, &c.now_count, &subscriptions, &c.subscription_count));
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
        const struct vault_folder *was = find_known(notify->known, notify->known_count, now[i].id);
        struct vault_folder is = now[i];

        if (was == NULL) {
            TRY(tell_new(&c, &now[i]));
            continue;
        }
        now[i] = *was;
        if (was->uidvalidity != is.uidvalidity && notify->is_list_foreign) {
            TRY(tell_status(s, task, was, &is));
            take_known(s, &now[i], is);
        }
        now[i].name = is.name;
        now[i].is_selectable = is.is_selectable;
        now[i].is_subscribed = is.is_subscribed;
    }
    keep_lists(notify, now, c.now_count, subscriptions, c.subscription_count);
    return ERR_OK;
}

/* ---- The selected mailbox ---- */

static const struct imap_command unasked_fetch = {
    .name = STR_INIT("NOTIFY"),
    .flags = IMAP_IN_SELECTED | IMAP_BY_UID | IMAP_NO_SYNC,
    .run = imap_cmd_fetch,
};

/* The FETCH of §5.2, run as a command is, so that it can give way; nobody gets a tagged answer. */
static void start_fetch(struct imap_session *s)
{
    struct imap_notify *notify = s->notify;
    struct imap_fetch_args *fetch;

    notify->is_fetching = true;
    notify->has_idle = s->is_idling;
    if (s->is_idling) {
        notify->idle_command = s->command;
        notify->idle_task = s->task;
        notify->idle_args = s->args;
        notify->idle_tag = s->tag;
    }
    task_init(&s->task, s->now_ms);
    s->command = &unasked_fetch;
    s->tag = (struct str){NULL, 0};
    s->args = ARENA_NEW(&s->task.arena, union imap_args);
    fetch = &s->args->fetch;
    *fetch = notify->selected->fetch;
    if (imap_has(s, IMAP_EXT_CONDSTORE)) /* as every FETCH that was not asked for */
        fetch->items |= IMAP_FETCH_UID | IMAP_FETCH_MODSEQ;
    fetch->set.ranges = ARENA_NEW(&s->task.arena, struct imap_range);
    fetch->set.ranges[0] = (struct imap_range){notify->first_new, notify->last_new};
    fetch->set.count = 1;
    notify->first_new = notify->last_new = 0;
    s->pause = IMAP_PAUSE_TURN;
}

void imap_notify_fetched(struct imap_session *s)
{
    struct imap_notify *notify = s->notify;

    notify->is_fetching = false;
    if (!notify->has_idle)
        return;
    s->command = notify->idle_command;
    s->task = notify->idle_task;
    s->args = notify->idle_args;
    s->tag = notify->idle_tag;
    s->pause = IMAP_PAUSE_LINE;
    notify->has_idle = false;
    task_init(&notify->idle_task, s->now_ms);
}

static void tell_selected(struct imap_session *s, struct task *task)
{
    /* §6.1.2; IDLE is a command during which EXPUNGE may be told. */
    bool may_expunge = s->is_idling || imap_notify_expunges_at_once(s);

    if (s->state != IMAP_STATE_SELECTED || !s->has_changes)
        return;
    s->has_changes = false;
    imap_sync_or_end(s, task, may_expunge);
    if (s->state == IMAP_STATE_SELECTED && s->view.is_modseq_told)
        imap_view_tell_safe_modseq(s);
}

/* ---- All of it ---- */

/* All that was heard, but of the selected mailbox. */
static enum err tell_heard(struct imap_session *s, struct task *task)
{
    struct imap_notify *notify = s->notify;
    enum err err = ERR_OK;

    if (notify->is_list_heard) /* the names first: the rest is told by them */
        err = tell_list(s, task);
    if (notify->is_all_heard) {
        notify->heard_count = 0;
        for (size_t i = 0; i < notify->known_count && err == ERR_OK; i++)
            err = tell_folder(s, task, (struct heard){notify->known[i].id, true});
    }
    for (size_t i = 0; i < notify->heard_count && err == ERR_OK; i++)
        err = tell_folder(s, task, notify->heard[i]);
    notify->heard_count = 0;
    notify->is_all_heard = notify->is_list_heard = notify->is_list_foreign = false;
    return err;
}

/* New messages that were to be fetched are still, where the new rules have it. */
static void keep_new(const struct imap_session *s, struct imap_notify *notify)
{
    if (s->notify == NULL || notify->selected == NULL || !notify->selected->has_fetch)
        return;
    notify->first_new = s->notify->first_new;
    notify->last_new = s->notify->last_new;
}

enum err imap_notify_set(struct imap_session *s, struct task *task,
                         const struct imap_notify_args *args)
{
    struct imap_notify *notify = NEW(struct imap_notify);
    struct vault_folder *folders;
    struct str *subscriptions;
    size_t count, subscription_count;
    enum err err;

    task_init(&notify->task, task->now_ms);
    err = keep_args(s, notify, args->text);
    /* "A successful NOTIFY SET command implies an implicit NOOP" (§3.1), by the rules of before. */
    if (err == ERR_OK && s->notify != NULL && !args->is_none && s->state != IMAP_STATE_LOGOUT)
        err = tell_heard(s, task);
    if (err == ERR_OK)
        err = read_lists(s, task, &folders, &count, &subscriptions, &subscription_count);
    if (err != ERR_OK) {
        imap_notify_free(&notify);
        return err;
    }
    keep_lists(notify, folders, count, subscriptions, subscription_count);
    keep_missed(s, notify);
    keep_new(s, notify);
    imap_notify_free(&s->notify);
    s->notify = notify;
    return ERR_OK;
}

void imap_notify_tell(struct imap_session *s)
{
    struct imap_notify *notify = s->notify;
    enum err err;
    struct task task;

    if (!imap_notify_has_news(s) || s->out.len >= IMAP_OUTPUT_HIGH)
        return;
    task_init(&task, s->now_ms);
    tell_selected(s, &task);
    if (s->state == IMAP_STATE_LOGOUT) { /* BYE is the last word */
        task_done(&task);
        return;
    }
    notify->is_selected_foreign = false;
    err = tell_heard(s, &task);
    imap_metadata_tell(s);
    if (err != ERR_OK)
        log_failure(s->options.log, "telling of changes", &task);
    task_done(&task);
    if (notify->first_new != 0 && s->state == IMAP_STATE_SELECTED)
        start_fetch(s);
}
