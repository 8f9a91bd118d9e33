/*
 * Group commit: APPENDs that came together share one (session.h). While it is open, nothing but
 * APPEND touches the vault; everything else calls imap_group_flush first. Besides, the group has what
 * the sessions of a vault remember together.
 */
#include "imap/engine.h"

#include "base/memory.h"
#include "imap/sort_memory.h"

#include <assert.h>

enum {
    MESSAGES_MAX = 64, /* in a commit */
    BYTES_MAX = 16 * 1024 * 1024,
};

struct imap_group {
    struct vault *vault; /* borrowed */
    bool is_open;        /* vault_batch_begin was called */
    size_t count;
    size_t bytes;
    struct imap_session *waiting; /* borrowed; a list */
    struct imap_room room;
    struct imap_sort_memory memory;
};

struct imap_group *imap_group_new(struct vault *vault)
{
    struct imap_group *group = NEW(struct imap_group);

    group->vault = vault;
    imap_room_init(&group->room);
    return group;
}

struct imap_room *imap_group_room(struct imap_group *group)
{
    return &group->room;
}

void imap_group_limit(struct imap_group *group, enum imap_room_kind kind, uint64_t limit)
{
    group->room.limits[kind] = limit;
}

void imap_group_free(struct imap_group **group)
{
    if (*group == NULL)
        return;
    assert(!(*group)->is_open && (*group)->waiting == NULL);
    imap_sort_forget(&(*group)->memory);
    mem_free(group);
}

struct imap_sort_memory *imap_group_memory(struct imap_group *group)
{
    return &group->memory;
}

bool imap_group_is_full(const struct imap_group *group)
{
    return group != NULL && (group->count >= MESSAGES_MAX || group->bytes >= BYTES_MAX);
}

enum err imap_group_join(struct imap_session *s, struct task *task, size_t bytes)
{
    struct imap_group *group = s->group;

    if (!group->is_open) {
        TRY(vault_batch_begin(group->vault, task));
        group->is_open = true;
    }
    group->count++;
    group->bytes += bytes;
    if (!s->is_waiting) {
        s->is_waiting = true;
        s->waiting = group->waiting;
        group->waiting = s;
    }
    return ERR_OK;
}

void imap_group_note_folder(struct imap_session *s)
{
    for (struct imap_session *other = s->group->waiting; other != NULL; other = other->waiting) {
        if (other == s || other->append_folder_id != s->append_folder_id)
            continue;
        other->is_append_shared = s->is_append_shared = true;
    }
}

bool imap_group_is_own(const struct imap_session *s, int64_t folder_id)
{
    return s->is_waiting && folder_id == s->append_folder_id && !s->is_append_shared;
}

void imap_group_hold(struct imap_session *s, struct str tag, struct str reply, bool is_ok)
{
    struct imap_held_reply *held = ARENA_NEW(&s->held_arena, struct imap_held_reply);

    held->tag = arena_copy(&s->held_arena, tag);
    held->reply = arena_copy(&s->held_arena, reply);
    held->is_ok = is_ok;
    if (s->last_held != NULL)
        s->last_held->next = held;
    else
        s->first_held = held;
    s->last_held = held;
}

/*
 * After a failed sync the messages are in the log, and may be there when the mailbox is opened
 * again. They are not rolled back: what the disk has of them is not known, and other processes may
 * have read them. The words say so.
 */
static const struct imap_reply *refusal(const struct imap_session *s, enum err err)
{
    return vault_is_broken(s->vault) ? imap_reply_for_refusal(IMAP_REFUSAL_DOUBTFUL)
                                     : imap_reply_for_error(err, STR("APPEND"), IMAP_TO_FOLDER);
}

/* The commit's outcome, to one session. */
static void release(struct imap_session *s, enum err err)
{
    struct task task;

    s->is_waiting = s->is_append_shared = false;
    s->waiting = NULL;
    task_init(&task, s->now_ms);
    if (s->state == IMAP_STATE_SELECTED)
        imap_sync_or_end(s, &task, true);
    task_done(&task);
    for (struct imap_held_reply *held = s->first_held; held != NULL; held = held->next) {
        if (err == ERR_OK || !held->is_ok)
            buf_put(&s->out, held->reply);
        else
            imap_write_reply(&s->out, held->tag, refusal(s, err));
    }
    s->first_held = s->last_held = NULL;
    arena_free(&s->held_arena);
    if (err != ERR_OK && vault_is_broken(s->vault))
        imap_session_bye(s, "[UNAVAILABLE] The mailbox is not available now.");
    if (s->on_output != NULL)
        s->on_output(s->on_output_owner);
}

void imap_group_commit(struct imap_group *group, int64_t now_ms)
{
    struct imap_session *session = group->waiting;
    struct task task;
    enum err err;

    if (!group->is_open)
        return;
    group->is_open = false;
    group->waiting = NULL;
    group->count = group->bytes = 0;
    task_init(&task, now_ms);
    err = vault_batch_end(group->vault, &task);
    if (err != ERR_OK && session != NULL)
        log_failure(session->options.log, "APPEND commit", &task);
    task_done(&task);
    while (session != NULL) {
        struct imap_session *next = session->waiting;

        release(session, err);
        session = next;
    }
}

void imap_group_flush(struct imap_session *s)
{
    if (s->group != NULL)
        imap_group_commit(s->group, s->now_ms);
}
