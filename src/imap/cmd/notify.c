/* NOTIFY (RFC 5465 §3, §8): its grammar, and the STATUS answers it begins with. */
#include "imap/engine.h"

#include "imap/notify.h"

static const struct {
    struct str name;
    unsigned event;
} EVENTS[] = {
    {STR_INIT("MessageNew"), IMAP_NOTIFY_MESSAGE_NEW},
    {STR_INIT("MessageExpunge"), IMAP_NOTIFY_MESSAGE_EXPUNGE},
    {STR_INIT("FlagChange"), IMAP_NOTIFY_FLAG_CHANGE},
    {STR_INIT("MailboxName"), IMAP_NOTIFY_MAILBOX_NAME},
    {STR_INIT("SubscriptionChange"), IMAP_NOTIFY_SUBSCRIPTION_CHANGE},
    {STR_INIT("MailboxMetadataChange"), IMAP_NOTIFY_MAILBOX_METADATA},
    {STR_INIT("ServerMetadataChange"), IMAP_NOTIFY_SERVER_METADATA},
};

static const struct {
    struct str name;
    enum imap_notify_filter filter;
} FILTERS[] = {
    {STR_INIT("SELECTED-DELAYED"), IMAP_NOTIFY_SELECTED_DELAYED},
    {STR_INIT("SELECTED"), IMAP_NOTIFY_SELECTED},
    {STR_INIT("INBOXES"), IMAP_NOTIFY_PERSONAL},
    {STR_INIT("PERSONAL"), IMAP_NOTIFY_PERSONAL},
    {STR_INIT("SUBSCRIBED"), IMAP_NOTIFY_SUBSCRIBED},
    {STR_INIT("SUBTREE"), IMAP_NOTIFY_SUBTREE},
    {STR_INIT("MAILBOXES"), IMAP_NOTIFY_MAILBOXES},
};

/* ---- Parsing ---- */

/* one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")" */
static enum err parse_names(struct imap_parser *parser, struct imap_notify_args *notify,
                            struct imap_notify_group *group)
{
    bool is_list;
    size_t room = 0;

    TRY(imap_parse_space(parser));
    is_list = imap_take(parser, '(');
    do {
        struct str name;

        TRY(imap_parse_mailbox(parser, &name));
        if (notify->name_count == IMAP_NOTIFY_NAMES_MAX) {
            notify->is_too_much = true;
            continue;
        }
        if (group->name_count == room)
            group->names =
                arena_grow(&parser->task->arena, group->names, &room, 4, sizeof(*group->names));
        notify->name_count++;
        group->names[group->name_count++] = name;
    } while (is_list && imap_take(parser, ' '));
    return is_list ? imap_parse_byte(parser, ')') : ERR_OK;
}

static bool is_selected(const struct imap_notify_group *group)
{
    return group->filter == IMAP_NOTIFY_SELECTED || group->filter == IMAP_NOTIFY_SELECTED_DELAYED;
}

/* event; one that is none of ours is an atom, and the command is answered with BADEVENT (§3.1). */
static enum err parse_event(struct imap_parser *parser, struct imap_notify_args *notify,
                            struct imap_notify_group *group)
{
    struct str name;

    for (size_t i = 0; i < ARRAY_LEN(EVENTS); i++) {
        if (!imap_take_word(parser, EVENTS[i].name))
            continue;
        group->events |= EVENTS[i].event;
        if (EVENTS[i].event != IMAP_NOTIFY_MESSAGE_NEW || !str_starts_with(parser->rest, STR(" (")))
            return ERR_OK;
        if (!is_selected(group))
            return imap_expected(parser, "FETCH items for the selected mailbox only");
        group->has_fetch = true;
        TRY(imap_parse_space(parser));
        return imap_parse_fetch_items(parser, &group->fetch);
    }
    TRY(imap_parse_atom(parser, &name));
    notify->is_unsupported = true;
    return ERR_OK;
}

/* events = "(" event *(SP event) ")" / "NONE" */
static enum err parse_events(struct imap_parser *parser, struct imap_notify_args *notify,
                             struct imap_notify_group *group)
{
    unsigned both = IMAP_NOTIFY_MESSAGE_NEW | IMAP_NOTIFY_MESSAGE_EXPUNGE;

    if (imap_take_word(parser, STR("NONE")))
        return ERR_OK;
    TRY(imap_parse_byte(parser, '('));
    do
        TRY(parse_event(parser, notify, group));
    while (imap_take(parser, ' '));
    TRY(imap_parse_byte(parser, ')'));
    /* §5: both or none of these, and FlagChange only with them. */
    if ((group->events & IMAP_NOTIFY_MESSAGES) != 0 && (group->events & both) != both)
        return imap_expected(parser, "MessageNew and MessageExpunge together");
    if (is_selected(group) && (group->events & ~(unsigned)IMAP_NOTIFY_MESSAGES) != 0)
        return imap_expected(parser, "only message events of the selected mailbox"); /* §6.1 */
    return ERR_OK;
}

/* event-group = "(" filter-mailboxes SP events ")" */
static enum err parse_group(struct imap_parser *parser, struct imap_notify_args *notify,
                            struct imap_notify_group *group)
{
    size_t i = 0;

    TRY(imap_parse_byte(parser, '('));
    while (i < ARRAY_LEN(FILTERS) && !imap_take_word(parser, FILTERS[i].name))
        i++;
    if (i == ARRAY_LEN(FILTERS))
        return imap_expected(parser, "which mailboxes");
    group->filter = FILTERS[i].filter;
    if (group->filter == IMAP_NOTIFY_SUBTREE || group->filter == IMAP_NOTIFY_MAILBOXES)
        TRY(parse_names(parser, notify, group));
    TRY(imap_parse_space(parser));
    TRY(parse_events(parser, notify, group));
    return imap_parse_byte(parser, ')');
}

/* Behind those that there are; they are large, and the session keeps them. */
static struct imap_notify_group *next_group(struct imap_parser *parser,
                                            struct imap_notify_args *notify, size_t *room)
{
    if (notify->group_count == *room)
        notify->groups =
            arena_grow(&parser->task->arena, notify->groups, room, 2, sizeof(*notify->groups));
    notify->groups[notify->group_count] = (struct imap_notify_group){0};
    return &notify->groups[notify->group_count];
}

/* notify = "NOTIFY" SP ("SET" [SP "STATUS"] SP event-group *(SP event-group) / "NONE") */
IMAP_PARSE(notify)
{
    struct imap_notify_args *notify = &args->notify;
    bool has_selected = false;
    size_t room = 0;

    notify->text = parser->rest;
    TRY(imap_parse_space(parser));
    if (imap_take_word(parser, STR("NONE"))) {
        notify->is_none = true;
        return ERR_OK;
    }
    if (!imap_take_word(parser, STR("SET")))
        return imap_expected(parser, "SET or NONE");
    TRY(imap_parse_space(parser));
    if (imap_take_word(parser, STR("STATUS"))) {
        notify->has_status = true;
        TRY(imap_parse_space(parser));
    }
    do {
        struct imap_notify_group *group = next_group(parser, notify, &room);

        TRY(parse_group(parser, notify, group));
        if (is_selected(group) && has_selected)
            return imap_expected(parser, "the selected mailbox once"); /* §6.1 */
        has_selected |= is_selected(group);
        if (notify->group_count == IMAP_NOTIFY_GROUPS_MAX)
            notify->is_too_much = true;
        else
            notify->group_count++;
    } while (imap_take(parser, ' '));
    return ERR_OK;
}

/* ---- Running ---- */

/* "BADEVENT (…)": the events that there are (§3.1). */
static enum err refuse_events(struct imap_session *s, struct task *task)
{
    struct buf code;

    buf_init(&code, SIZE_MAX);
    buf_put(&code, STR("BADEVENT ("));
    for (size_t i = 0; i < ARRAY_LEN(EVENTS); i++) {
        buf_put(&code, i == 0 ? STR("") : STR(" "));
        buf_put(&code, EVENTS[i].name);
    }
    buf_put(&code, STR(")"));
    s->code = arena_copy(&task->arena, buf_str(&code));
    buf_free(&code);
    return imap_refuse(s, task, IMAP_REFUSAL_BAD_EVENT);
}

static enum err begin(struct imap_session *s, struct task *task, struct imap_notify_args *notify)
{
    if (notify->is_unsupported)
        return refuse_events(s, task);
    if (notify->is_too_much)
        return imap_refuse(s, task, IMAP_REFUSAL_NOTIFY_TOO_MUCH);
    notify->is_started = true;
    /* "A successful NOTIFY SET command implies an implicit NOOP": by the rules of before. */
    if (s->state == IMAP_STATE_SELECTED && !notify->is_none)
        imap_sync_or_end(s, task, true);
    TRY(imap_notify_set(s, task, notify));
    if (notify->has_status)
        TRY(vault_folder_list(s->vault, task, &notify->folders, &notify->folder_count));
    return ERR_OK;
}

IMAP_COMMAND(notify)
{
    struct imap_notify_args *notify = &args->notify;

    if (!notify->is_started)
        TRY(begin(s, task, notify));
    for (; notify->next < notify->folder_count; notify->next++) {
        const struct vault_folder *folder = &notify->folders[notify->next];
        unsigned events = imap_notify_events(s, folder);

        if (imap_must_give_way(s)) {
            imap_give_way(s);
            return ERR_OK;
        }
        imap_spend(s, 2);
        if (events != 0)
            TRY(imap_write_status(s, task, folder, imap_notify_status_items(events)));
    }
    return ERR_OK;
}
