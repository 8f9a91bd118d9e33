/*
 * The state of a sleeping session, written and read (hibernate.h).
 *
 *   version  enabled  flags  bad-count  shape  [tag]
 *     [folder incarnation next-uid modseq keywords recent saved]
 *
 * Numbers are in groups of seven bits, lowest first (LEB128), each in its shortest form; `shape`
 * says what follows. The state comes back from our own gate, and is still read as foreign bytes.
 */
#include "imap/hibernate.h"

#include "base/memory.h"
#include "imap/engine.h"
#include "vault/change.h"

#include <stddef.h>
#include <string.h>

enum { VERSION = 1 };

enum shape {
    SHAPE_IDLING = 1 << 0,
    SHAPE_SELECTED = 1 << 1,
    SHAPE_READ_ONLY = 1 << 2,
    SHAPE_ALL = SHAPE_IDLING | SHAPE_SELECTED | SHAPE_READ_ONLY,
};

/* What holds for the rest of a session. New rows go to the end. */
static const size_t kept_flags[] = {
    offsetof(struct imap_session, is_bulk),
    offsetof(struct imap_session, is_compressed),
};

static const uint64_t all_flags = (UINT64_C(1) << ARRAY_LEN(kept_flags)) - 1;

/* ---- Text ---- */

static void put(struct buf *out, uint64_t number)
{
    char bytes[10];
    size_t len = 0;

    do {
        bytes[len] = (char)(number & 0x7f);
        number >>= 7;
        if (number != 0)
            bytes[len] = (char)(bytes[len] | (char)0x80);
        len++;
    } while (number != 0);
    buf_put(out, str_make(bytes, len));
}

static void put_ranges(struct buf *out, const struct imap_range *ranges, size_t count)
{
    put(out, count);
    for (size_t i = 0; i < count; i++) {
        put(out, ranges[i].first);
        put(out, ranges[i].last);
    }
}

void imap_hibernated_write(const struct imap_hibernated *state, struct buf *out)
{
    put(out, VERSION);
    put(out, state->enabled);
    put(out, state->flags);
    put(out, state->bad_count);
    put(out, (state->is_idling ? (unsigned)SHAPE_IDLING : 0u) |
                 (state->is_selected ? (unsigned)SHAPE_SELECTED : 0u) |
                 (state->is_read_only ? (unsigned)SHAPE_READ_ONLY : 0u));
    if (state->is_idling) {
        put(out, state->idle_tag.len);
        buf_put(out, state->idle_tag);
    }
    if (!state->is_selected)
        return;
    put(out, (uint64_t)state->folder_id);
    put(out, state->incarnation);
    put(out, state->next_uid);
    put(out, state->modseq);
    put(out, state->keywords);
    put_ranges(out, state->recent, state->recent_count);
    put_ranges(out, state->saved, state->saved_count);
}

struct reading {
    struct str rest;
    bool is_bad; /* then all that follows reads as zero */
};

static uint64_t take(struct reading *reading, uint64_t most)
{
    uint64_t number = 0;
    size_t len = 0;
    unsigned char byte = 0x80;

    while (!reading->is_bad && (byte & 0x80) != 0) {
        if (len == reading->rest.len || len == 10) {
            reading->is_bad = true;
            break;
        }
        byte = (unsigned char)reading->rest.ptr[len];
        if (len == 9 && byte > 1) /* beyond 64 bits */
            reading->is_bad = true;
        number |= (uint64_t)(byte & 0x7f) << (7 * len);
        len++;
    }
    /* Only the shortest form: a state has one spelling. */
    if (reading->is_bad || number > most || (byte == 0 && len > 1)) {
        reading->is_bad = true;
        return 0;
    }
    reading->rest = str_from(reading->rest, len);
    return number;
}

static struct str take_text(struct reading *reading, size_t len)
{
    struct str text = str_upto(reading->rest, len);

    if (reading->is_bad || len > reading->rest.len) {
        reading->is_bad = true;
        return (struct str){NULL, 0};
    }
    reading->rest = str_from(reading->rest, len);
    return text;
}

static size_t take_ranges(struct reading *reading,
                          struct imap_range ranges[static IMAP_HIBERNATED_RANGES_MAX])
{
    size_t count = (size_t)take(reading, IMAP_HIBERNATED_RANGES_MAX);
    uint32_t above = 0;

    for (size_t i = 0; i < count; i++) {
        struct imap_range *range = &ranges[i];

        range->first = (uint32_t)take(reading, UINT32_MAX);
        range->last = (uint32_t)take(reading, UINT32_MAX);
        if (range->first <= above || range->last < range->first)
            reading->is_bad = true;
        above = range->last;
    }
    return count;
}

enum err imap_hibernated_read(struct str text, struct task *task, struct imap_hibernated *out)
{
    struct reading reading = {.rest = text, .is_bad = text.len > IMAP_HIBERNATED_MAX};
    struct imap_hibernated state = {0};
    uint64_t shape;

    if (take(&reading, UINT64_MAX) != VERSION)
        return fail(task, ERR_INVALID, "a sleeping session's state has another version");
    state.enabled = (unsigned)take(&reading, IMAP_EXT_ALL);
    state.flags = take(&reading, all_flags);
    state.bad_count = take(&reading, IMAP_BAD_COMMANDS_MAX);
    shape = take(&reading, SHAPE_ALL);
    state.is_idling = (shape & SHAPE_IDLING) != 0;
    state.is_selected = (shape & SHAPE_SELECTED) != 0;
    state.is_read_only = (shape & SHAPE_READ_ONLY) != 0;
    if (state.is_idling)
        state.idle_tag = take_text(&reading, (size_t)take(&reading, IMAP_HIBERNATED_TAG_MAX));
    if (state.is_selected) {
        state.folder_id = (int64_t)take(&reading, INT64_MAX);
        state.incarnation = (uint32_t)take(&reading, UINT32_MAX);
        state.next_uid = (uint32_t)take(&reading, UINT32_MAX);
        state.modseq = take(&reading, INT64_MAX);
        state.keywords = take(&reading, UINT64_MAX);
        state.recent_count = take_ranges(&reading, state.recent);
        state.saved_count = take_ranges(&reading, state.saved);
    }
    if (reading.is_bad || reading.rest.len > 0 || (state.is_read_only && !state.is_selected))
        return fail(task, ERR_INVALID, "a sleeping session's state does not read");
    *out = state;
    return ERR_OK;
}

/* ---- Going to sleep ---- */

bool imap_session_can_hibernate(const struct imap_session *s)
{
    bool is_between_commands = s->command == NULL && s->pause == IMAP_PAUSE_NONE;

    if (s->state != IMAP_STATE_AUTH && s->state != IMAP_STATE_SELECTED)
        return false;
    if (!is_between_commands && !(s->is_idling && s->pause == IMAP_PAUSE_LINE))
        return false;
    if (s->is_idling && (s->has_changes || s->tag.len > IMAP_HIBERNATED_TAG_MAX))
        return false;
    if (s->out.len > 0 || s->is_waiting || s->doom != IMAP_REFUSAL_NONE)
        return false;
    if (s->reader.in.len > 0 || s->reader.to_discard > 0)
        return false;
    /* Which entries changed while it slept, nobody would know (RFC 5464 §4.4.2). */
    if (s->notify != NULL || imap_has(s, IMAP_EXT_METADATA))
        return false;
    return s->view.gone_count == 0 && s->view.saved_count <= IMAP_HIBERNATED_RANGES_MAX;
}

int64_t imap_session_watched_folder(const struct imap_session *s)
{
    return s->is_idling && s->state == IMAP_STATE_SELECTED ? s->view.folder_id : 0;
}

static bool *flag_of(struct imap_session *s, size_t row)
{
    return (bool *)((char *)s + kept_flags[row]);
}

static bool has_flag(const struct imap_session *s, size_t row)
{
    return *(const bool *)((const char *)s + kept_flags[row]);
}

void imap_session_hibernate(const struct imap_session *s, struct buf *out)
{
    const struct imap_view *view = &s->view;
    struct imap_hibernated state = {
        .enabled = s->enabled,
        .bad_count = s->bad_count,
        .is_idling = s->is_idling,
        .idle_tag = s->is_idling ? s->tag : (struct str){NULL, 0},
        .is_selected = s->state == IMAP_STATE_SELECTED,
    };

    for (size_t row = 0; row < ARRAY_LEN(kept_flags); row++)
        state.flags |= has_flag(s, row) ? UINT64_C(1) << row : 0;
    if (state.is_selected) {
        state.is_read_only = view->is_read_only;
        state.folder_id = view->folder_id;
        state.incarnation = view->incarnation;
        state.next_uid = view->next_uid;
        state.modseq = view->modseq;
        state.keywords = view->keywords;
        state.recent_count =
            imap_view_recent_ranges(view, state.recent, IMAP_HIBERNATED_RANGES_MAX);
        state.saved_count = view->saved_count;
        if (view->saved_count > 0)
            memcpy(state.saved, view->saved, view->saved_count * sizeof(*view->saved));
    }
    imap_hibernated_write(&state, out);
}

/* ---- Going on ---- */

/* As it was at that MODSEQ: what is there now and was then, and what went since. */
static enum err restore_messages(struct imap_session *s, struct task *task,
                                 const struct imap_hibernated *state)
{
    struct imap_view *view = &s->view;
    struct vault_uid_range *gone;
    struct vault_uid_flags *now;
    size_t now_count, gone_count, room, n = 0;
    bool is_known;

    TRY(vault_message_list(s->vault, task, state->folder_id, &now, &now_count));
    TRY(vault_vanished_since(s->vault, task, state->folder_id, state->modseq, &is_known, &gone,
                             &gone_count));
    if (!is_known) {
        imap_session_bye(s, "You slept for very long, connect again.");
        return ERR_OK;
    }
    room = now_count;
    for (size_t g = 0; g < gone_count; g++)
        room += (size_t)gone[g].last - gone[g].first + 1;
    view->room = room;
    view->uids = NEW_ARRAY(uint32_t, room);
    view->facts = imap_facts_new();
    view->facts->modseq = state->modseq;
    for (size_t g = 0; g <= gone_count; g++) {
        uint32_t before = g < gone_count ? gone[g].first : UINT32_MAX;

        for (; n < now_count && now[n].uid < before && now[n].uid < state->next_uid; n++) {
            view->uids[view->count++] = now[n].uid;
            imap_facts_add(view->facts, now[n].flags);
        }
        for (uint64_t uid = before; g < gone_count && uid <= gone[g].last; uid++) {
            if (uid >= state->next_uid)
                break;
            view->uids[view->count++] = (uint32_t)uid;
            imap_facts_add(view->facts, 0); /* until it is told to be gone */
        }
    }
    imap_room_note(s, IMAP_ROOM_VIEWS, view->count);
    return ERR_OK;
}

static struct imap_range *copy_ranges(const struct imap_range *ranges, size_t count)
{
    struct imap_range *copy = NEW_ARRAY(struct imap_range, count);

    if (count > 0)
        memcpy(copy, ranges, count * sizeof(*ranges));
    return copy;
}

static void restore_selection(struct imap_session *s, const struct imap_hibernated *state)
{
    struct imap_view *view = &s->view;

    view->folder_id = state->folder_id;
    view->uidvalidity = view->incarnation = state->incarnation;
    view->is_read_only = state->is_read_only;
    view->next_uid = state->next_uid;
    view->modseq = state->modseq;
    view->keywords = state->keywords;
    view->recent_count = state->recent_count;
    view->recent = copy_ranges(state->recent, state->recent_count);
    view->saved_count = state->saved_count;
    view->saved = copy_ranges(state->saved, state->saved_count);
    imap_session_select(s);
}

static enum err restore_selected(struct imap_session *s, struct task *task,
                                 const struct imap_hibernated *state)
{
    struct vault_folder folder;
    enum err err = vault_folder_by_id(s->vault, task, state->folder_id, &folder);

    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    restore_selection(s, state);
    /* Gone, or another one of that id: found out, and told, when the session next looks. */
    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
        return ERR_OK;
    }
    if (folder.incarnation != state->incarnation)
        return ERR_OK;
    s->view.uidvalidity = folder.uidvalidity;
    return restore_messages(s, task, state);
}

/* IDLE's first line was answered before; the next one is read as its end. */
static void restore_idle(struct imap_session *s, const struct task *task, struct str tag)
{
    s->now_ms = task->now_ms;
    task_init(&s->task, task->now_ms);
    s->command = imap_command_find(STR("IDLE"));
    s->args = ARENA_NEW(&s->task.arena, union imap_args);
    s->tag = arena_copy(&s->task.arena, tag);
    s->is_idling = true;
    s->has_changes = true;
    s->pause = IMAP_PAUSE_LINE;
}

enum err imap_session_resume_hibernated(const struct imap_options *options, struct vault *vault,
                                        struct task *task, struct str text,
                                        struct imap_session **out_session)
{
    CLEANUP(imap_session_free) struct imap_session *s = NULL;
    struct imap_hibernated state;

    TRY(imap_hibernated_read(text, task, &state));
    s = imap_session_new_authenticated(options, vault);
    s->enabled = state.enabled;
    s->bad_count = (unsigned)state.bad_count;
    for (size_t row = 0; row < ARRAY_LEN(kept_flags); row++)
        *flag_of(s, row) = (state.flags & UINT64_C(1) << row) != 0;
    if (state.is_selected)
        TRY(restore_selected(s, task, &state));
    if (state.is_idling && s->state != IMAP_STATE_LOGOUT)
        restore_idle(s, task, state.idle_tag);
    *out_session = s;
    s = NULL;
    return ERR_OK;
}
