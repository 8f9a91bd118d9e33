#include "imap/notify_internal.h"

#include "base/memory.h"
#include "imap/engine.h"

/* ---- What is wanted ---- */

bool imap_notify_is_at_or_below(struct str name, struct str top)
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
            if (group->filter == IMAP_NOTIFY_SUBTREE
                    ? imap_notify_is_at_or_below(name, group->names[i])
                    : str_equal(name, group->names[i]))
                return true;
        return false;
    }
    return false;
}

unsigned imap_notify_name_events(const struct imap_notify *notify, struct str name,
                                 bool is_subscribed)
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
    return imap_notify_name_events(s->notify, folder->name, folder->is_subscribed) &
           IMAP_NOTIFY_MESSAGES;
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
        return (imap_notify_name_events(s->notify, folder->name, folder->is_subscribed) &
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
    was = imap_notify_list_known(before, s->view.folder_id);
    now = imap_notify_list_known(notify, s->view.folder_id);
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
    if (i == IMAP_NOTIFY_HEARD_MAX) {
        notify->is_all_heard = true;
        return;
    }
    if (i == notify->heard_count)
        notify->heard[notify->heard_count++] = (struct imap_notify_note){folder_id, false};
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
    known = imap_notify_list_known(notify, s->view.folder_id);
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

enum err imap_notify_tell_status(struct imap_session *s, struct task *task,
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
void imap_notify_take_known(struct imap_session *s, struct vault_folder *known,
                            struct vault_folder now)
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

static enum err tell_folder(struct imap_session *s, struct task *task,
                            struct imap_notify_note heard)
{
    struct imap_notify *notify = s->notify;
    struct vault_folder *known = imap_notify_list_known(notify, heard.folder_id);
    struct vault_folder now;

    /* Not in the list: it is new, or gone, and the list tells. */
    if (known == NULL || vault_folder_modseq(s->vault, heard.folder_id) == 0)
        return ERR_OK;
    TRY(vault_folder_by_id(s->vault, task, heard.folder_id, &now));
    if (heard.is_foreign)
        TRY(imap_notify_tell_status(s, task, known, &now));
    imap_notify_take_known(s, known, now);
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
        err = imap_notify_list_tell(s, task);
    if (notify->is_all_heard) {
        notify->heard_count = 0;
        for (size_t i = 0; i < notify->known_count && err == ERR_OK; i++)
            err = tell_folder(s, task, (struct imap_notify_note){notify->known[i].id, true});
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
        err = imap_notify_list_read(s, task, &folders, &count, &subscriptions, &subscription_count);
    if (err != ERR_OK) {
        imap_notify_free(&notify);
        return err;
    }
    imap_notify_list_keep(notify, folders, count, subscriptions, subscription_count);
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
