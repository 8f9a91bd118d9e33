/*
 * `sealpost restore`, and `backup verify`, which is the same without the exchange: what is to be had at
 * the destination, the backup or generation of the time asked for, its log up to then, and then the
 * whole mailbox in its place (its sessions end, this process too), or some of it beside the rest.
 *
 *   FULLS ─> BASES ─> MANIFESTS ─> MANIFEST ─> FILE ─> LOG … ─> BUILT ─┬─> MERGING ─> done
 *   (the lists, and each generation's time)     ^       ^ v       │    └─> exchanged, done
 *                                               │     LOG_REST    v
 *                                               └──────────── FULL_INSTEAD
 *
 * LOG_REST: a segment is not there; is it the log's end, or missing? FULL_INSTEAD: the log ends before
 * the newest full backup, which has more.
 *
 * Also of a mailbox that does not open (mailbox->is_damaged): there is nothing to merge into then.
 */
#include "mailbox/backup.h"
#include "mailbox/jobs.h"

#include "backup/merge.h"
#include "backup/name.h"
#include "backup/restore.h"
#include "backup/segment.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "imap/session.h"

#include <stdio.h>
#include <string.h>

enum { NAME_ROOM = 128, LISTED_ROOM = BACKUP_NAME_MAX + 1, GENERATIONS_MAX = 20000 };

enum phase {
    PHASE_FULLS,
    PHASE_BASES,
    PHASE_MANIFESTS,
    PHASE_MANIFEST,
    PHASE_FILE,
    PHASE_LOG,
    PHASE_LOG_REST,
    PHASE_FULL_INSTEAD,
    PHASE_BUILT,
    PHASE_MERGING,
};

struct restoring {
    enum phase phase;
    bool is_verify;
    int64_t at_ms;
    /* The last answer. */
    bool is_asked, has_answer;
    enum wire_status status;
    struct buf answer; /* of a list, or the words of a refusal */
    int fd;            /* own; of an object; -1 */
    bool is_last;
    /* What there is. */
    char full[NAME_ROOM]; /* the newest up to then, without .json; empty: none */
    uint64_t full_counter; /* as its name has it */
    struct id *generations; /* own */
    size_t generation_count, generation_room, generation_next;
    struct id generation; /* the newest that begins up to then; unset: none */
    struct manifest chosen; /* its manifest */
    int64_t next_generation_ms; /* INT64_MAX: none begins later */
    int64_t unreadable_ms;      /* a generation of then was not to be read; INT64_MIN: none */
    bool is_missing;            /* the segment that is asked for was not there, and later ones are */
    bool is_checked;            /* what was built */
    char last_listed[LISTED_ROOM];
    struct buf manifest;
    struct secret *mac_key;  /* own */
    struct restore *restore; /* own */
    struct vault *restored;  /* own: merging */
    struct merge *merge;     /* own */
};

/* --- Asking --- */

static void on_answer(void *owner, enum wire_status status, struct wire_message *message)
{
    struct mailbox_job *job = owner;
    struct restoring *state = job->state;

    state->has_answer = true;
    state->status = status;
    state->is_last = true;
    buf_truncate(&state->answer, 0);
    if (message != NULL && message->type == WIRE_BACKUP_LIST_REPLY) {
        buf_put(&state->answer, status == WIRE_OK ? message->body.backup_list_reply.json
                                                  : message->body.backup_list_reply.words);
        state->is_last = message->body.backup_list_reply.is_last;
    } else if (message != NULL) {
        buf_put(&state->answer, message->body.backup_get_reply.words);
        if (status == WIRE_OK && message->fd_count == 1) {
            state->fd = message->fds[0];
            message->fds[0] = -1;
        }
    }
    mailbox_job_go_on(job);
}

static void list(struct mailbox_job *job, struct str prefix)
{
    struct restoring *state = job->state;

    state->is_asked = true;
    mailbox_archive_list(job->mailbox, prefix, str_from_c(state->last_listed), on_answer, job);
}

static void get(struct mailbox_job *job, const char *name)
{
    struct restoring *state = job->state;

    state->is_asked = true;
    mailbox_archive_get(job->mailbox, str_from_c(name), on_answer, job);
}

static enum err refused(struct mailbox_job *job)
{
    const struct restoring *state = job->state;
    static const struct {
        enum wire_status status;
        enum err err;
    } rows[] = {{WIRE_UNKNOWN, ERR_NOT_FOUND}, {WIRE_DAMAGED, ERR_CORRUPT},
                {WIRE_DISABLED, ERR_NOT_FOUND}, {WIRE_DENIED, ERR_DENIED}};
    enum err err = ERR_BUSY;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        err = rows[i].status == state->status ? rows[i].err : err;
    return fail(&job->task, err, "the destination: %.*s", STR_ARG(buf_str(&state->answer)));
}

/* --- What there is --- */

static void note_full(struct mailbox_job *job, struct str name)
{
    struct restoring *state = job->state;
    struct str from = mailbox_job_text(job, "from");
    uint64_t counter = 0;
    int64_t ms;

    if (!str_ends_with(name, STR(".json")) || name.len >= NAME_ROOM || name.len < 10 ||
        !backup_stamp_parse(str_from(name, 5), &ms))
        return;
    name = str_upto(name, name.len - 5);
    if (from.len > 0 ? !str_equal(name, from) && !str_equal(str_from(name, 5), from)
                     : ms > state->at_ms)
        return;
    if (!parse_u64(str_from(name, 5 + BACKUP_STAMP_LEN + 1), &counter))
        counter = 0;
    /* Of all, the one that has most, whatever a clock said. */
    if (state->at_ms == INT64_MAX && counter < state->full_counter)
        return;
    state->full_counter = counter;
    snprintf(state->full, sizeof(state->full), "%.*s", STR_ARG(name));
}

static void note_base(struct restoring *state, struct str name)
{
    struct id id;

    if (str_ends_with(name, STR(".json")) && name.len == 5 + ID_TEXT_LEN + 5 &&
        id_parse(str_upto(str_from(name, 5), ID_TEXT_LEN), &id)) {
        if (state->generation_count == state->generation_room) {
            state->generation_room = state->generation_room == 0 ? 64 : 2 * state->generation_room;
            state->generations = mem_resize(state->generations, state->generation_room,
                                            sizeof(*state->generations));
        }
        state->generations[state->generation_count++] = id;
    }
}

/* Pages whose names do not go on would be asked for without end. */
static enum err check_progress(struct mailbox_job *job, const char *before)
{
    const struct restoring *state = job->state;

    if (state->is_last || str_compare(str_from_c(state->last_listed), str_from_c(before)) > 0)
        return state->generation_count <= GENERATIONS_MAX
                   ? ERR_OK
                   : fail(&job->task, ERR_LIMIT, "the destination has too many logs");
    return fail(&job->task, ERR_CORRUPT, "the destination's list does not go on after \"%s\"", before);
}

static enum err take_list(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char before[LISTED_ROOM];
    json_t *objects;
    size_t i;
    json_t *object;

    if (state->status != WIRE_OK)
        return refused(job);
    memcpy(before, state->last_listed, sizeof(before));
    objects = json_loadb(state->answer.ptr, state->answer.len, 0, NULL);
    json_array_foreach(objects, i, object) {
        const char *name = json_string_value(json_object_get(object, "name"));

        if (name == NULL)
            continue;
        snprintf(state->last_listed, sizeof(state->last_listed), "%s", name);
        if (state->phase == PHASE_FULLS)
            note_full(job, str_from_c(name));
        else
            note_base(state, str_from_c(name));
    }
    json_decref(objects);
    return check_progress(job, before);
}

static enum err read_answer(struct mailbox_job *job, struct buf *out)
{
    struct restoring *state = job->state;
    enum err err;

    buf_truncate(out, 0);
    err = fd_read_all(&job->task, state->fd, MANIFEST_BYTES_MAX, out);
    fd_close(&state->fd);
    return err;
}

/* The manifest that was answered is of this generation, and ours. */
static bool read_manifest(struct mailbox_job *job, const struct id *id, struct manifest *out)
{
    struct restoring *state = job->state;
    int64_t claimed_ms = state->at_ms; /* of one that says nothing */

    if (state->status == WIRE_OK && read_answer(job, &state->manifest) == ERR_OK) {
        if (manifest_read(&job->task, buf_str(&state->manifest), state->mac_key, out) == ERR_OK &&
            id_equal(&out->generation, id))
            return true;
        task_forgive(&job->task);
        if (manifest_read(&job->task, buf_str(&state->manifest), NULL, out) == ERR_OK)
            claimed_ms = out->time_ms;
    }
    task_forgive(&job->task);
    if (claimed_ms <= state->at_ms && claimed_ms > state->unreadable_ms)
        state->unreadable_ms = claimed_ms;
    return false;
}

/* Up to a time the one that begins last; for all that there is, the one that has most: clocks are set
 * back and forth, and the counter in the mailbox is not. */
static bool is_newer(const struct restoring *state, const struct manifest *one)
{
    const struct manifest *other = &state->chosen;

    if (!id_is_set(&state->generation))
        return true;
    if (state->at_ms != INT64_MAX || one->epoch != other->epoch)
        return state->at_ms != INT64_MAX ? one->time_ms > other->time_ms : one->epoch > other->epoch;
    return one->change_counter != other->change_counter
               ? one->change_counter > other->change_counter
               : one->time_ms > other->time_ms;
}

/* One that is not ours to read (another password's, altered) is no reason to give up on others, but is
 * told where it may have been the one. */
static enum err take_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    const struct id *id = &state->generations[state->generation_next++];
    struct manifest manifest;

    if (state->status == WIRE_UNKNOWN)
        return ERR_OK;
    if (state->status != WIRE_OK && state->status != WIRE_DAMAGED)
        return refused(job);
    if (!read_manifest(job, id, &manifest))
        return ERR_OK;
    if (manifest.time_ms > state->at_ms) {
        if (manifest.time_ms < state->next_generation_ms)
            state->next_generation_ms = manifest.time_ms;
    } else if (is_newer(state, &manifest)) {
        state->generation = *id;
        state->chosen = manifest;
    }
    return ERR_OK;
}

/* --- Building --- */

static void base_name(const struct restoring *state, const char *suffix, char out[NAME_ROOM])
{
    if (id_is_set(&state->generation))
        snprintf(out, NAME_ROOM, "base/%s%s", state->generation.text, suffix);
    else
        snprintf(out, NAME_ROOM, "%.100s%s", state->full, suffix);
}

static void ask_segment(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[NAME_ROOM];

    snprintf(name, sizeof(name), "log/%s/%012llu.seg", state->generation.text,
             (unsigned long long)restore_next_number(state->restore));
    mailbox_job_progress(job, "segments of the log", restore_next_number(state->restore), 0);
    get(job, name);
}

/* A full backup is the one that its name says: an older one in its place has a good MAC, too. */
static enum err check_name(struct mailbox_job *job)
{
    const struct restoring *state = job->state;
    int64_t ms;

    if (id_is_set(&state->generation) ||
        (backup_stamp_parse(str_from(str_from_c(state->full), 5), &ms) &&
         ms == restore_reached_ms(state->restore)))
        return ERR_OK;
    return fail(&job->task, ERR_CORRUPT, "%s: another backup lies in its place", state->full);
}

static enum err take_file(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    const struct restore_options options = {
        .folder = job->mailbox->start->mail_folder,
        .mailbox = job->mailbox->start->id,
        .key = job->mailbox->key,
        .log = job->mailbox->start->log,
        .until_ms = mailbox_job_text(job, "from").len > 0 ? INT64_MAX : state->at_ms};
    enum err err;

    if (state->status != WIRE_OK)
        return refused(job);
    state->restore = restore_begin(&job->task, &options);
    err = restore_base(state->restore, &job->task, buf_str(&state->manifest), state->fd);
    fd_close(&state->fd);
    TRY(err);
    return check_name(job);
}

/* What was asked for is there already, whatever is wrong with what follows. */
static bool is_reached(const struct restoring *state)
{
    return restore_reached_ms(state->restore) >= state->at_ms;
}

static enum err bad_segment(struct mailbox_job *job, const char *what)
{
    struct restoring *state = job->state;
    char reached[CLOCK_ISO_ROOM];

    if (is_reached(state)) {
        state->phase = PHASE_BUILT;
        return ERR_OK;
    }
    clock_format_iso(restore_reached_ms(state->restore), reached);
    return fail(&job->task, ERR_CORRUPT, "log %s, segment %llu: %s; the log before it is good up to %s",
                state->generation.text, (unsigned long long)restore_next_number(state->restore), what,
                reached);
}

/* None of this number: the end, if none follows it. */
static void look_behind(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char prefix[NAME_ROOM];

    snprintf(prefix, sizeof(prefix), "log/%s/", state->generation.text);
    snprintf(state->last_listed, sizeof(state->last_listed), "%s%012llu.seg", prefix,
             (unsigned long long)restore_next_number(state->restore));
    state->phase = PHASE_LOG_REST;
    list(job, str_from_c(prefix));
}

static enum err ask_next_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[NAME_ROOM];

    if (state->generation_next < state->generation_count) {
        snprintf(name, sizeof(name), "base/%s.json",
                 state->generations[state->generation_next].text);
        state->phase = PHASE_MANIFESTS;
        get(job, name);
        return ERR_OK;
    }
    if (!id_is_set(&state->generation) && state->full[0] == '\0')
        return fail(&job->task, ERR_NOT_FOUND, "there is no such backup");
    state->phase = PHASE_MANIFEST;
    base_name(state, ".json", name);
    get(job, name);
    return ERR_OK;
}

/* Its host ended before what makes its base whole was there: as if it had not begun. */
static enum err choose_another(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    size_t kept = 0;

    for (size_t i = 0; i < state->generation_count; i++) {
        if (!id_equal(&state->generations[i], &state->generation))
            state->generations[kept++] = state->generations[i];
    }
    state->generation_count = kept;
    state->generation_next = 0;
    state->generation = (struct id){""};
    restore_free(&state->restore);
    return ask_next_manifest(job);
}

static enum err take_rest(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    json_t *objects;

    if (state->status != WIRE_OK)
        return refused(job);
    objects = json_loadb(state->answer.ptr, state->answer.len, 0, NULL);
    state->is_missing = json_array_size(objects) > 0;
    json_decref(objects);
    if (!state->is_missing && !restore_is_whole(state->restore))
        return choose_another(job);
    state->phase = state->is_missing ? PHASE_LOG : PHASE_BUILT;
    if (state->is_missing) /* or it came in this moment */
        ask_segment(job);
    return ERR_OK;
}

static enum err take_segment(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    bool is_enough = false;
    enum err err;

    if (state->status == WIRE_UNKNOWN && state->is_missing)
        return bad_segment(job, "it is missing, and later ones are there");
    if (state->status == WIRE_UNKNOWN) {
        look_behind(job);
        return ERR_OK;
    }
    if (state->status == WIRE_DAMAGED)
        return bad_segment(job, "it is not what was put there");
    if (state->status != WIRE_OK)
        return refused(job);
    err = restore_segment(state->restore, &job->task, state->fd, &is_enough);
    fd_close(&state->fd);
    if (err == ERR_CORRUPT && is_reached(state)) {
        task_forgive(&job->task);
        state->phase = PHASE_BUILT;
        return ERR_OK;
    }
    TRY(err);
    state->is_missing = false;
    if (is_enough)
        state->phase = PHASE_BUILT;
    else
        ask_segment(job);
    return ERR_OK;
}

/* --- Into its place, or beside the rest --- */

/* Nothing of the open mailbox is used after this; the process ends when the answer is out. */
static void close_mailbox(struct mailbox *mailbox)
{
    mailbox->is_ending = true;
    mailbox_session_end_all(mailbox, "the mailbox was restored; connect again");
    mailbox_session_free_all(mailbox);
    mailbox_delivery_free_all(mailbox);
    imap_group_free(&mailbox->appends);
    net_timer_stop(mailbox->usage_timer);
    net_timer_stop(mailbox->housekeeping_timer);
    net_timer_stop(mailbox->renewal_timer);
    net_timer_stop(mailbox->hibernate_timer);
    mailbox_backup_before_close(mailbox);
    vault_close(&mailbox->vault);
    mailbox_backup_restored(mailbox);
}

static enum err exchange(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    struct mailbox *mailbox = job->mailbox;
    struct vault_options options = mailbox->vault_options;
    char reached[CLOCK_ISO_ROOM];
    struct vault_usage usage;
    struct str kept;

    if (mailbox->job_count > 1)
        return fail(&job->task, ERR_BUSY, "something else is being done in the mailbox");
    if (mailbox->vault != NULL) {
        imap_group_commit(mailbox->appends, job->task.now_ms);
        vault_usage(mailbox->vault, &usage);
        options.epoch_seen = usage.epoch;
        options.change_counter_seen = usage.change_counter;
    }
    close_mailbox(mailbox);
    TRY(restore_exchange(state->restore, &job->task, &options, mailbox->key, &kept));
    clock_format_iso(restore_reached_ms(state->restore), reached);
    json_object_set_new(job->result, "time", json_string(reached));
    json_object_set_new(job->result, "kept", json_stringn(kept.ptr, kept.len));
    mailbox_job_say(job, "The mailbox is as it was at %s.%s%.*s", reached,
                    kept.len > 0 ? " The one before is kept as " : "", STR_ARG(kept));
    return ERR_OK;
}

static enum err begin_merge(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    const struct merge_options options = {
        .into = mailbox_job_text(job, "into-folder"),
        .folder = mailbox_job_text(job, "folder"),
        .skip_duplicates = mailbox_job_flag(job, "skip-duplicates"),
    };

    TRY(restore_open(state->restore, &job->task, &state->restored));
    return merge_begin(&job->task, state->restored, job->mailbox->vault, &options, &state->merge);
}

static enum err go_on_merging(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;
    const struct merge_counts *counts = merge_counts(state->merge);
    bool has_more = true;

    while (has_more && !mailbox_job_is_slice_over(job))
        TRY(merge_step(state->merge, &job->task, &has_more));
    mailbox_job_progress(job, "messages", counts->done, counts->total);
    *out_next = has_more ? MAILBOX_JOB_MORE : MAILBOX_JOB_DONE;
    if (has_more)
        return ERR_OK;
    json_object_set_new(job->result, "messages",
                        json_integer((json_int_t)(counts->done - counts->skipped)));
    json_object_set_new(job->result, "skipped", json_integer((json_int_t)counts->skipped));
    mailbox_job_say(job, "%llu messages were restored; %llu were there already.",
                    (unsigned long long)(counts->done - counts->skipped),
                    (unsigned long long)counts->skipped);
    return ERR_OK;
}

/* A gap between what the log has and the time asked for is told, never passed over. */
static void tell_gap(struct mailbox_job *job)
{
    const struct restoring *state = job->state;
    bool has_log = id_is_set(&state->generation);
    char reached[CLOCK_ISO_ROOM], next[CLOCK_ISO_ROOM];

    if (state->unreadable_ms >
        (has_log ? state->chosen.time_ms : restore_reached_ms(state->restore)))
        json_object_set_new(job->result, "hint",
                            json_string("A later part of the log cannot be read: it was altered, or "
                                        "made with another password's key."));
    if (!has_log || state->next_generation_ms == INT64_MAX)
        return;
    clock_format_iso(restore_reached_ms(state->restore), reached);
    clock_format_iso(state->next_generation_ms, next);
    json_object_set_new(
        job->result, "hint",
        json_sprintf("The log ends at %s, and the next begins at %s: what was committed between the "
                     "two is in neither.", reached, next));
}

/*
 * Of all that there is, some may not have come to the destination yet, or may have been taken from there:
 * the accounts know up to where the mailbox was seen when it was opened, and an open one knows itself.
 */
static void tell_behind(struct mailbox_job *job)
{
    const struct restoring *state = job->state;
    const struct mailbox *mailbox = job->mailbox;
    struct vault_usage seen = {.epoch = mailbox->vault_options.epoch_seen,
                               .change_counter = mailbox->vault_options.change_counter_seen};
    uint64_t epoch, counter;

    if (state->at_ms != INT64_MAX || mailbox_job_text(job, "from").len > 0)
        return;
    if (mailbox->vault != NULL && !state->is_verify)
        vault_usage(mailbox->vault, &seen);
    restore_state(state->restore, &epoch, &counter);
    if (epoch < seen.epoch || (epoch == seen.epoch && counter < seen.change_counter))
        json_object_set_new(job->result, "hint",
                            json_string("The mailbox has had later changes, which the backups do not "
                                        "have: not yet, or not any more."));
}

/* The full backup's counter, as its name has it, is higher than that of what the log gave. */
static bool has_full_more(const struct restoring *state)
{
    uint64_t epoch, counter;

    restore_state(state->restore, &epoch, &counter);
    return id_is_set(&state->generation) && state->full_counter > counter;
}

/* By its manifest, too: then it is built from that. */
static enum err take_full_instead(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char reached[CLOCK_ISO_ROOM], name[NAME_ROOM];
    struct manifest manifest;
    uint64_t epoch, counter;

    restore_state(state->restore, &epoch, &counter);
    state->phase = PHASE_BUILT;
    if (state->status != WIRE_OK || read_answer(job, &state->manifest) != ERR_OK ||
        manifest_read(&job->task, buf_str(&state->manifest), state->mac_key, &manifest) != ERR_OK ||
        manifest.epoch < epoch ||
        (manifest.epoch == epoch && manifest.change_counter <= counter)) {
        task_forgive(&job->task);
        return ERR_OK;
    }
    clock_format_iso(restore_reached_ms(state->restore), reached);
    json_object_set_new(job->result, "hint",
                        json_sprintf("The log ends at %s; %s has more, and was taken.", reached,
                                     state->full));
    restore_free(&state->restore);
    state->is_checked = false;
    state->generation = (struct id){""};
    state->phase = PHASE_FILE;
    base_name(state, ".sqlite", name);
    get(job, name);
    return ERR_OK;
}

static enum err built(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;
    char reached[CLOCK_ISO_ROOM], name[NAME_ROOM];

    if (!state->is_checked) {
        mailbox_job_progress(job, "checking", 0, 0);
        TRY(restore_finish(state->restore, &job->task));
        state->is_checked = true;
        if (has_full_more(state)) {
            snprintf(name, sizeof(name), "%.100s.json", state->full);
            state->phase = PHASE_FULL_INSTEAD;
            get(job, name);
            *out_next = MAILBOX_JOB_WAITS;
            return ERR_OK;
        }
    }
    tell_behind(job);
    tell_gap(job);
    if (state->is_verify) {
        clock_format_iso(restore_reached_ms(state->restore), reached);
        json_object_set_new(job->result, "time", json_string(reached));
        mailbox_job_say(job, "The backup opens, is whole, and reaches up to %s.", reached);
        return ERR_OK;
    }
    if (mailbox_job_text(job, "into-folder").len == 0)
        return exchange(job);
    state->phase = PHASE_MERGING;
    *out_next = MAILBOX_JOB_MORE;
    return begin_merge(job);
}

/* --- The job --- */

static bool parse_time(struct task *task, struct str text, int64_t *out_ms)
{
    if (str_ends_with(text, STR("Z")) && str_index(text, '.') < 0)
        text = arena_printf(&task->arena, "%.*s.000Z", STR_ARG(str_upto(text, text.len - 1)));
    return clock_parse_iso(text, out_ms);
}

static enum err start(struct mailbox_job *job)
{
    struct restoring *state = NEW(struct restoring);
    struct str at = mailbox_job_text(job, "at");

    job->state = state;
    state->fd = -1;
    state->is_verify = strcmp(job->kind->name, "backup verify") == 0;
    state->at_ms = state->next_generation_ms = INT64_MAX;
    state->unreadable_ms = INT64_MIN;
    buf_init(&state->answer, SIZE_MAX);
    buf_init(&state->manifest, SIZE_MAX); /* the reading is limited */
    if (job->mailbox->backup == NULL) {
        mailbox_job_say(job, "There are no backups here: \"backup\" is not configured.");
        return fail(&job->task, ERR_NOT_FOUND, "no destination is configured");
    }
    if (at.len > 0 && !parse_time(&job->task, at, &state->at_ms))
        return fail(&job->task, ERR_INVALID, "a time is written as 2026-11-21T10:00:00Z");
    if (mailbox_job_text(job, "into-folder").len > 0 && job->mailbox->vault == NULL)
        return fail(&job->task, ERR_INVALID,
                    "the mailbox does not open, so nothing can be put into it");
    state->mac_key = segment_key(job->mailbox->key);
    list(job, STR("full/"));
    return ERR_OK;
}

/* An answer is there. */
static enum err advance(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[NAME_ROOM];

    switch (state->phase) {
    case PHASE_FULLS:
        TRY(take_list(job));
        if (!state->is_last) {
            list(job, STR("full/"));
            return ERR_OK;
        }
        if (mailbox_job_text(job, "from").len > 0)
            return ask_next_manifest(job);
        state->phase = PHASE_BASES;
        state->last_listed[0] = '\0';
        list(job, STR("base/"));
        return ERR_OK;
    case PHASE_BASES:
        TRY(take_list(job));
        if (state->is_last)
            return ask_next_manifest(job);
        list(job, STR("base/"));
        return ERR_OK;
    case PHASE_MANIFESTS:
        TRY(take_manifest(job));
        return ask_next_manifest(job);
    case PHASE_MANIFEST:
        if (state->status != WIRE_OK)
            return refused(job);
        TRY(read_answer(job, &state->manifest));
        state->phase = PHASE_FILE;
        base_name(state, ".sqlite", name);
        mailbox_job_progress(job, "fetching", 0, 0);
        get(job, name);
        return ERR_OK;
    case PHASE_FILE:
        TRY(take_file(job));
        state->phase = id_is_set(&state->generation) ? PHASE_LOG : PHASE_BUILT;
        if (state->phase == PHASE_LOG)
            ask_segment(job);
        return ERR_OK;
    case PHASE_LOG:
        return take_segment(job);
    case PHASE_LOG_REST:
        return take_rest(job);
    case PHASE_FULL_INSTEAD:
        return take_full_instead(job);
    case PHASE_BUILT:
    case PHASE_MERGING:
        break;
    }
    return ERR_OK;
}

static enum err step(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;

    if (state->phase == PHASE_MERGING)
        return go_on_merging(job, out_next);
    if (state->phase == PHASE_BUILT)
        return built(job, out_next);
    if (state->has_answer) {
        state->has_answer = state->is_asked = false;
        TRY(advance(job));
    }
    *out_next = state->phase == PHASE_BUILT || state->has_answer ? MAILBOX_JOB_MORE
                                                                 : MAILBOX_JOB_WAITS;
    return ERR_OK;
}

static void end(struct mailbox_job *job)
{
    struct restoring *state = job->state;

    mailbox_archive_forget(job->mailbox, job);
    if (state == NULL)
        return;
    merge_free(&state->merge);
    vault_close(&state->restored);
    restore_free(&state->restore);
    mem_free(&state->generations);
    secret_free(&state->mac_key);
    buf_free(&state->answer);
    buf_free(&state->manifest);
    fd_close(&state->fd);
    mem_free(&job->state);
}

const struct mailbox_job_kind mailbox_job_restore = {"restore", start, step, end};
const struct mailbox_job_kind mailbox_job_verify = {"backup verify", start, step, end};
