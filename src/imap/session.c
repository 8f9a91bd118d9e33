#include "imap/session.h"

#include "base/memory.h"
#include "imap/engine.h"

#include <assert.h>

enum { COMMIT_UNITS = 1000 /* imap_spend: the disk's, in which nobody else has a turn */ };

static const char *const STATE_NAMES[] = {
    [IMAP_STATE_NOT_AUTH] = "not authenticated",
    [IMAP_STATE_AUTH] = "authenticated",
    [IMAP_STATE_SELECTED] = "selected",
    [IMAP_STATE_LOGOUT] = "logout",
};

static const unsigned NEXT_STATES[] = {
    [IMAP_STATE_NOT_AUTH] = BIT(IMAP_STATE_LOGOUT),
    [IMAP_STATE_AUTH] = BIT(IMAP_STATE_SELECTED) | BIT(IMAP_STATE_LOGOUT),
    [IMAP_STATE_SELECTED] = BIT(IMAP_STATE_AUTH) | BIT(IMAP_STATE_LOGOUT),
    [IMAP_STATE_LOGOUT] = 0,
};

static void enter(struct imap_session *s, enum imap_state next)
{
    assert((NEXT_STATES[s->state] & BIT(next)) != 0);
    log_debug(s->options.log, "imap session from=%s to=%s", STATE_NAMES[s->state],
              STATE_NAMES[next]);
    s->state = next;
}

static struct imap_session *session_new(const struct imap_options *options, enum imap_state state)
{
    struct imap_session *s = NEW(struct imap_session);

    s->options = *options;
    s->options.hostname = arena_copy(&s->arena, options->hostname);
    s->state = state;
    s->budget = IMAP_BUDGET;
    imap_reader_init(&s->reader);
    buf_init(&s->out, SIZE_MAX);
    buf_init(&s->append_name, SIZE_MAX);
    buf_init(&s->metadata_news, SIZE_MAX);
    imap_view_init(&s->view);
    return s;
}

struct imap_session *imap_session_new(const struct imap_options *options)
{
    struct imap_session *s = session_new(options, IMAP_STATE_NOT_AUTH);

    buf_put(&s->out, STR("* OK ["));
    imap_write_capabilities(s, &s->out);
    buf_put(&s->out, STR("] "));
    buf_put(&s->out, s->options.hostname);
    buf_put(&s->out, STR(" Sealpost is ready.\r\n"));
    return s;
}

/* After the commit of any session: this one looks when its protocol lets it speak. */
static void on_change(struct vault_subscriber *subscriber, int64_t folder_id)
{
    struct imap_session *s = CONTAINER_OF(subscriber, struct imap_session, subscriber);

    bool is_selected =
        s->state == IMAP_STATE_SELECTED && (folder_id == -1 || folder_id == s->view.folder_id);

    if (s->is_running)
        imap_spend(s, COMMIT_UNITS);
    if (folder_id == -1)
        buf_free(&s->append_name);
    s->has_changes |= is_selected;
    imap_notify_heard(s, folder_id);
    if (is_selected && s->is_idling && s->on_output != NULL)
        s->on_output(s->on_output_owner);
}

static void on_metadata(struct vault_subscriber *subscriber, int64_t folder_id, struct str entry)
{
    struct imap_session *s = CONTAINER_OF(subscriber, struct imap_session, subscriber);

    if (s->is_running)
        imap_spend(s, COMMIT_UNITS);
    imap_metadata_heard(s, folder_id, entry);
    if (imap_notify_has_news(s) && s->on_output != NULL)
        s->on_output(s->on_output_owner);
    if (s->metadata_news.len == 0 || !s->is_idling)
        return;
    s->has_changes = true;
    if (s->on_output != NULL)
        s->on_output(s->on_output_owner);
}

struct imap_session *imap_session_new_authenticated(const struct imap_options *options,
                                                    struct vault *vault)
{
    struct imap_session *s = session_new(options, IMAP_STATE_AUTH);

    s->vault = vault;
    s->group = options->group == NULL ? imap_group_new(vault) : options->group;
    s->subscriber.on_change = on_change;
    s->subscriber.on_metadata = on_metadata;
    vault_subscribe(vault, &s->subscriber);
    return s;
}

struct imap_session *imap_session_resume_authenticated(const struct imap_options *options,
                                                       struct vault *vault, struct str login_tag)
{
    struct imap_session *s = imap_session_new_authenticated(options, vault);

    buf_put(&s->out, login_tag);
    buf_put(&s->out, STR(" OK ["));
    imap_write_capabilities(s, &s->out);
    buf_put(&s->out, STR("] Logged in.\r\n"));
    return s;
}

void imap_session_free(struct imap_session **session)
{
    struct imap_session *s = *session;

    if (s == NULL)
        return;
    s->on_output = NULL;
    if (s->is_waiting)
        imap_group_flush(s);
    for (unsigned kind = 0; kind < IMAP_ROOM_COUNT; kind++)
        imap_room_give_back(s, (enum imap_room_kind)kind);
    if (s->options.group == NULL)
        imap_group_free(&s->group);
    if (s->vault != NULL)
        vault_unsubscribe(s->vault, &s->subscriber);
    vault_content_close(&s->content);
    message_text_maker_free(&s->text);
    arena_free(&s->message_arena);
    task_done(&s->folder_task);
    imap_view_done(&s->view);
    imap_notify_free(&s->notify);
    imap_reader_free(&s->reader);
    buf_free(&s->out);
    buf_free(&s->append_name);
    buf_free(&s->metadata_news);
    task_done(&s->task);
    arena_free(&s->arena);
    mem_free(session);
}

void imap_session_select(struct imap_session *s)
{
    s->has_changes = false;
    enter(s, IMAP_STATE_SELECTED);
}

void imap_session_deselect(struct imap_session *s)
{
    if (s->state == IMAP_STATE_SELECTED)
        enter(s, IMAP_STATE_AUTH);
    imap_notify_deselecting(s);
    imap_view_done(&s->view);
    imap_room_give_back(s, IMAP_ROOM_VIEWS);
}

void imap_session_end(struct imap_session *s)
{
    if (s->state != IMAP_STATE_LOGOUT)
        enter(s, IMAP_STATE_LOGOUT);
}

void imap_session_bye(struct imap_session *s, const char *words)
{
    if (s->state == IMAP_STATE_LOGOUT)
        return;
    imap_group_flush(s);
    imap_write_words(&s->out, STR("*"), STR("BYE"), words);
    imap_session_end(s);
}

/* The output's storage goes as soon as an idle session's client has read it. */
static void release(struct imap_session *s)
{
    if (s->out.len == 0 && (s->command == NULL || s->pause == IMAP_PAUSE_LINE))
        buf_free(&s->out);
}

/* IDLE (RFC 2177): the mailbox changed. */
static void tell_idle(struct imap_session *s)
{
    struct task task;

    if (!s->is_idling || s->pause != IMAP_PAUSE_LINE || !s->has_changes ||
        s->out.len >= IMAP_OUTPUT_HIGH)
        return;
    s->has_changes = false;
    task_init(&task, s->now_ms);
    if (s->state == IMAP_STATE_SELECTED)
        imap_sync_or_end(s, &task, true);
    imap_metadata_tell(s);
    task_done(&task);
}

void imap_session_input(struct imap_session *s, struct str bytes, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->state == IMAP_STATE_LOGOUT || s->pause == IMAP_PAUSE_TLS)
        return; /* what follows STARTTLS was not encrypted (RFC 3501 §6.2.1) */
    imap_reader_add(&s->reader, bytes);
    if (s->pause != IMAP_PAUSE_NONE && s->pause != IMAP_PAUSE_LINE)
        return;
    s->budget = IMAP_BUDGET;
    imap_dispatch(s);
    release(s);
}

bool imap_session_is_input_full(const struct imap_session *s)
{
    size_t held = s->is_input_held ? s->reader.scanned : 0;

    if (s->state == IMAP_STATE_LOGOUT)
        return true;
    if (s->pause == IMAP_PAUSE_NONE || s->pause == IMAP_PAUSE_LINE)
        return false;
    return s->reader.in.len - held >= IMAP_PENDING_MAX;
}

uint64_t imap_session_receiving(const struct imap_session *s)
{
    bool is_receiving =
        s->taken[IMAP_ROOM_MESSAGES] > 0 && imap_session_wants(s) == IMAP_WANTS_INPUT;

    return is_receiving ? s->literal_count : 0;
}

void imap_session_resume(struct imap_session *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    s->budget = IMAP_BUDGET;
    imap_group_flush(s);
    tell_idle(s);
    imap_notify_tell(s);
    if (s->pause == IMAP_PAUSE_TURN && s->out.len < IMAP_OUTPUT_HIGH)
        imap_dispatch_resume(s);
    release(s);
}

enum imap_want imap_session_wants(const struct imap_session *s)
{
    bool has_work = s->pause == IMAP_PAUSE_TURN || s->is_waiting ||
                    (s->is_idling && s->has_changes) || imap_notify_has_news(s);

    if (s->state == IMAP_STATE_LOGOUT)
        return IMAP_WANTS_CLOSE;
    if (has_work)
        return s->out.len >= IMAP_OUTPUT_HIGH ? IMAP_WANTS_ROOM : IMAP_WANTS_TURN;
    if (s->pause == IMAP_PAUSE_TLS)
        return IMAP_WANTS_TLS;
    if (s->pause == IMAP_PAUSE_LOGIN)
        return IMAP_WANTS_LOGIN;
    if (s->pause == IMAP_PAUSE_COMPRESS)
        return IMAP_WANTS_COMPRESS;
    return IMAP_WANTS_INPUT;
}

struct str imap_session_output(const struct imap_session *s)
{
    return buf_str(&s->out);
}

void imap_session_consume_output(struct imap_session *s, size_t len)
{
    buf_consume(&s->out, len);
    release(s);
}

void imap_session_on_output(struct imap_session *s, void (*on_output)(void *owner), void *owner)
{
    s->on_output = on_output;
    s->on_output_owner = owner;
}

bool imap_session_is_bulk(const struct imap_session *s)
{
    return s->is_bulk;
}

void imap_session_set_bulk(struct imap_session *s, bool is_bulk)
{
    s->is_bulk = is_bulk;
}

void imap_session_ask_load(struct imap_session *s, bool (*is_under_load)(void *owner), void *owner)
{
    s->is_under_load = is_under_load;
    s->load_owner = owner;
}

void imap_session_secured(struct imap_session *s)
{
    assert(s->pause == IMAP_PAUSE_TLS);
    imap_reader_drop(&s->reader);
    s->options.is_secure = true;
    s->options.is_tls = true;
    imap_dispatch_end_quietly(s);
}

void imap_session_compressed(struct imap_session *s)
{
    assert(s->pause == IMAP_PAUSE_COMPRESS);
    imap_reader_drop(&s->reader);
    imap_dispatch_end_quietly(s);
}

void imap_session_login(const struct imap_session *s, struct str *out_tag, struct str *out_username,
                        struct str *out_password)
{
    assert(s->pause == IMAP_PAUSE_LOGIN);
    *out_tag = s->tag;
    *out_username = s->args->login.username;
    *out_password = s->args->login.password;
}

struct str imap_session_pending_input(const struct imap_session *s)
{
    return buf_str(&s->reader.in);
}

void imap_session_login_failed(struct imap_session *s, enum imap_login_result result)
{
    assert(s->pause == IMAP_PAUSE_LOGIN);
    switch (result) {
    case IMAP_LOGIN_DENIED:
        s->login_failures++;
        imap_dispatch_refuse(s, IMAP_REFUSAL_LOGIN_DENIED);
        break;
    case IMAP_LOGIN_UNAVAILABLE:
        imap_dispatch_refuse(s, IMAP_REFUSAL_LOGIN_UNAVAILABLE);
        break;
    }
    if (s->login_failures >= IMAP_LOGIN_FAILURES_MAX)
        imap_session_bye(s, "Too many failed logins.");
    else
        imap_dispatch(s);
}
