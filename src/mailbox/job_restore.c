/*
 * `sealpost restore`, and `backup verify`, which is the same without the exchange: what is to be had at
 * the destination, the backup or generation of the time asked for, its log up to then, and then the
 * whole mailbox in its place (its sessions end, this process too), or some of it beside the rest.
 *
 *   FULLS ─> BASES ─> MANIFESTS ─> MANIFEST ─> FILE ─> BUILDING … ─> BUILT ─┬─> MERGING ─> done
 *   (the lists, and each generation's time)   (a child's, with the log)  │  └─> exchanged, done
 *                                             ^                           v
 *                                             └──────────────────── FULL_INSTEAD
 *
 * A segment that is not there is the log's end, or missing: the list behind it tells. FULL_INSTEAD: the
 * log ends before the newest full backup, which has more.
 *
 * Also of a mailbox that does not open (mailbox->is_damaged): there is nothing to merge into then.
 *
 * A backup from before a new password opens with the password of its time only (docs/passwords.md): with
 * --backup-password-file. Which one it is cannot be told before its file is there, since the key is made
 * with the file's salt; so it is chosen by times that nobody vouches for, and the MAC over them is
 * compared as soon as there is a key.
 */
#include "mailbox/backup.h"
#include "mailbox/rebuild.h"

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
    PHASE_BUILDING,
    PHASE_FULL_INSTEAD,
    PHASE_MERGING,
};

/* A generation of the log, as its manifest has it. */
struct generation {
    struct id id;    /* unset: none */
    int64_t time_ms; /* when it begins */
    uint64_t epoch, change_counter;
    bool is_known;   /* its manifest makes sense */
    bool is_ours;    /* and is under the mailbox's key */
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
    int64_t full_ms;
    uint64_t full_counter; /* as its name has it */
    struct generation *generations; /* own */
    size_t generation_count, generation_room, generation_next;
    bool is_unfinished;         /* a generation was left out since it was just beginning */
    int64_t unreadable_ms;      /* a generation of then makes no sense; INT64_MIN: none */
    struct generation chosen;   /* unset: the full backup is */
    int64_t next_generation_ms; /* INT64_MAX: none begins later */
    char last_listed[LISTED_ROOM];
    struct buf manifest;
    struct secret *mac_key;     /* own; from the mailbox's key */
    struct secret *password;    /* own; of the backup's time; NULL: not given */
    struct secret *backup_key;  /* own; from that; NULL: it is under the mailbox's key */
    uint64_t segment_next;      /* from 1 */
    bool is_looking_behind;     /* is there one behind the segment that is not there? */
    bool is_missing;            /* there is */
    bool has_whole_log;         /* there is no segment more */
    struct mailbox_rebuilt built;
    bool has_reached_time;      /* no segment more is needed: no gap before the time asked for */
    struct restore *restore;    /* own; what was built */
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
    state->full_ms = ms;
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
        state->generations[state->generation_count++] = (struct generation){.id = id};
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

/* Is it whole, and made with this key? A failure is forgotten. */
static bool is_manifest(struct mailbox_job *job, const struct secret *mac_key, struct manifest *out)
{
    const struct restoring *state = job->state;
    struct task aside;
    bool is_one;

    task_init(&aside, job->task.now_ms);
    is_one = manifest_read(&aside, buf_str(&state->manifest), mac_key, out) == ERR_OK &&
             id_equal(&out->mailbox, &job->mailbox->start->id);
    task_done(&aside);
    return is_one;
}

/* One that makes no sense is no reason to give up on others. */
static enum err take_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    struct generation *generation = &state->generations[state->generation_next++];
    struct manifest manifest, ours;

    if (state->status == WIRE_UNKNOWN)
        return ERR_OK;
    if (state->status != WIRE_OK && state->status != WIRE_DAMAGED)
        return refused(job);
    if (state->status == WIRE_OK)
        TRY(read_answer(job, &state->manifest));
    generation->is_known = state->status == WIRE_OK && is_manifest(job, NULL, &manifest) &&
                           id_equal(&manifest.generation, &generation->id);
    if (!generation->is_known) {
        state->unreadable_ms = state->at_ms; /* it may have been the one */
        return ERR_OK;
    }
    generation->is_ours = is_manifest(job, state->mac_key, &ours);
    generation->time_ms = manifest.time_ms;
    generation->epoch = manifest.epoch;
    generation->change_counter = manifest.change_counter;
    if (manifest.time_ms > state->at_ms && manifest.time_ms < state->next_generation_ms)
        state->next_generation_ms = manifest.time_ms;
    return ERR_OK;
}

/* --- Which one --- */

/* Up to a time the one that begins last; for all that there is, the one that has most: clocks are set
 * back and forth, and the counter in the mailbox is not. */
static bool is_newer(const struct restoring *state, const struct generation *one,
                     const struct generation *other)
{
    if (state->at_ms != INT64_MAX)
        return one->time_ms > other->time_ms;
    if (one->epoch != other->epoch)
        return one->epoch > other->epoch;
    return one->change_counter != other->change_counter
               ? one->change_counter > other->change_counter
               : one->time_ms > other->time_ms;
}

/* Of those up to the time asked for. */
static struct generation newest(const struct restoring *state, bool is_ours)
{
    struct generation found = {.is_known = false};

    for (size_t i = 0; i < state->generation_count; i++) {
        const struct generation *each = &state->generations[i];

        if (each->is_known && (each->is_ours || !is_ours) && each->time_ms <= state->at_ms &&
            (!found.is_known || is_newer(state, each, &found)))
            found = *each;
    }
    return found;
}

static enum err choose(struct mailbox_job *job)
{
    struct restoring *state = job->state;

    state->chosen = newest(state, state->password == NULL);
    if (!state->chosen.is_known && state->full[0] == '\0')
        state->chosen = newest(state, false);
    if (!state->chosen.is_known && state->full[0] == '\0')
        return fail(&job->task, ERR_NOT_FOUND, "there is no such backup");
    return ERR_OK;
}

/* --- Building --- */

static void base_name(const struct restoring *state, const char *suffix, char out[NAME_ROOM])
{
    if (id_is_set(&state->chosen.id))
        snprintf(out, NAME_ROOM, "base/%s%s", state->chosen.id.text, suffix);
    else
        snprintf(out, NAME_ROOM, "%.100s%s", state->full, suffix);
}

/* Of the one that was chosen. */
static void ask_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[NAME_ROOM];

    state->phase = PHASE_MANIFEST;
    base_name(state, ".json", name);
    get(job, name);
}

/* Which backup, of when, and what it needs. */
static enum err needs_password(struct mailbox_job *job, int64_t time_ms)
{
    const struct restoring *state = job->state;
    char name[NAME_ROOM], time[CLOCK_ISO_ROOM];

    base_name(state, "", name);
    clock_format_iso(time_ms, time);
    json_object_set_new(job->result, "needs", json_string("backup-password"));
    json_object_set_new(job->result, "backup", json_string(name));
    json_object_set_new(job->result, "time", json_string(time));
    if (state->password != NULL) {
        mailbox_job_say(job, "The backup %s, of %s, does not open with that password: it was made "
                        "under another one, or its manifest was altered. Nothing was changed.",
                        name, time);
        json_object_set_new(job->result, "hint", json_string(
            "Give the password that the mailbox had then, or choose another backup with --at or "
            "--from."));
    } else {
        mailbox_job_say(job, "The backup %s, of %s, was not made under the mailbox's present "
                        "password: it opens with the password of that time. Nothing was changed.",
                        name, time);
        json_object_set_new(job->result, "hint", json_string(
            "Give that password with --backup-password-file FILE; the recovery key and the present "
            "password do not open it."));
    }
    return fail(&job->task, ERR_DENIED, "backup %s is under another key", name);
}

/* The manifest is there, perhaps not yet the file. */
static enum err check_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    struct manifest manifest;

    if (!is_manifest(job, NULL, &manifest))
        return fail(&job->task, ERR_CORRUPT, "the backup's manifest was altered or cut");
    if (!is_manifest(job, state->mac_key, &manifest) && state->password == NULL)
        return needs_password(job, manifest.time_ms);
    return ERR_OK;
}

/* A full backup is the one that its name says: an older one in its place has a good MAC, too. */
static enum err check_name(struct mailbox_job *job, const struct manifest *manifest)
{
    const struct restoring *state = job->state;

    if (id_is_set(&state->chosen.id) || manifest->time_ms == state->full_ms)
        return ERR_OK;
    return fail(&job->task, ERR_CORRUPT, "%s: another backup lies in its place", state->full);
}

/* The mailbox's, or the one that the password of the backup's time gives. */
static enum err take_key(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    CLEANUP(secret_free) struct secret *mac_key = NULL;
    struct manifest manifest;

    if (is_manifest(job, state->mac_key, &manifest))
        return check_name(job, &manifest);
    TRY(restore_key(&job->task, secret_str(state->password), state->fd, &state->backup_key));
    mac_key = segment_key(state->backup_key);
    if (is_manifest(job, mac_key, &manifest))
        return check_name(job, &manifest);
    return is_manifest(job, NULL, &manifest)
               ? needs_password(job, manifest.time_ms)
               : fail(&job->task, ERR_CORRUPT, "the backup's manifest was altered or cut");
}

/* What is put in the mailbox's place has to open with its present password. */
static bool is_exchange(const struct mailbox_job *job)
{
    const struct restoring *state = job->state;

    return !state->is_verify && mailbox_job_text(job, "into-folder").len == 0;
}

static struct restore_options options_of(const struct mailbox_job *job)
{
    const struct restoring *state = job->state;

    return (struct restore_options){
        .folder = job->mailbox->start->mail_folder,
        .mailbox = job->mailbox->start->id,
        .key = state->backup_key != NULL ? state->backup_key : job->mailbox->key,
        .log = job->mailbox->start->log,
        .until_ms = mailbox_job_text(job, "from").len > 0 ? INT64_MAX : state->at_ms};
}

static enum err take_file(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    struct mailbox_rebuild_order order = {.manifest = buf_str(&state->manifest),
                                          .base_fd = state->fd};
    enum err err;

    if (state->status != WIRE_OK)
        return refused(job);
    TRY(take_key(job));
    order.options = options_of(job);
    if (state->backup_key != NULL && is_exchange(job))
        order.present_key = job->mailbox->key;
    state->segment_next = 1;
    state->has_whole_log = !id_is_set(&state->chosen.id);
    state->is_missing = state->is_looking_behind = false;
    err = mailbox_rebuild_start(job, &order);
    fd_close(&state->fd);
    TRY(err);
    state->phase = PHASE_BUILDING;
    return ERR_OK;
}

static void ask_segment(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[NAME_ROOM];

    snprintf(name, sizeof(name), "log/%s/%012llu.seg", state->chosen.id.text,
             (unsigned long long)state->segment_next);
    mailbox_job_progress(job, "segments of the log", state->segment_next, 0);
    get(job, name);
}

/* What was asked for may be there already, whatever is wrong with what follows. */
static enum err bad_segment(struct mailbox_job *job, const char *what)
{
    struct restoring *state = job->state;
    int64_t reached_ms = mailbox_rebuild_reached_ms(job->mailbox->rebuild);
    char reached[CLOCK_ISO_ROOM];

    if (reached_ms >= state->at_ms) {
        state->has_whole_log = true;
        return ERR_OK;
    }
    clock_format_iso(reached_ms, reached);
    return fail(&job->task, ERR_CORRUPT,
                "log %s, segment %llu: %s; the log before it is good up to %s",
                state->chosen.id.text, (unsigned long long)state->segment_next, what, reached);
}

/* None of this number: the end, if none follows it. */
static void look_behind(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char prefix[NAME_ROOM];

    snprintf(prefix, sizeof(prefix), "log/%s/", state->chosen.id.text);
    snprintf(state->last_listed, sizeof(state->last_listed), "%s%012llu.seg", prefix,
             (unsigned long long)state->segment_next);
    state->is_looking_behind = true;
    list(job, str_from_c(prefix));
}

static enum err take_rest(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    json_t *objects;

    if (state->status != WIRE_OK)
        return refused(job);
    objects = json_loadb(state->answer.ptr, state->answer.len, 0, NULL);
    state->is_looking_behind = false;
    state->is_missing = json_array_size(objects) > 0; /* or it came in this moment */
    state->has_whole_log = !state->is_missing;
    json_decref(objects);
    return ERR_OK;
}

static enum err take_segment(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    enum err err;

    if (state->is_looking_behind)
        return take_rest(job);
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
    err = mailbox_rebuild_segment(job->mailbox->rebuild, &job->task, state->fd);
    fd_close(&state->fd);
    state->is_missing = false;
    state->segment_next++;
    return err;
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
    mailbox_stop_timers(mailbox);
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

/* One that is not the mailbox's, and goes on where the chosen one ends. */
static bool is_later(const struct restoring *state, struct generation *out)
{
    *out = newest(state, false);
    return out->is_known && !out->is_ours &&
           (state->chosen.is_known ? is_newer(state, out, &state->chosen)
                                   : out->time_ms > state->full_ms);
}

/* A gap between what the log has and the time asked for is told, never passed over. */
static void tell_gap(struct mailbox_job *job)
{
    const struct restoring *state = job->state;
    char reached[CLOCK_ISO_ROOM], next[CLOCK_ISO_ROOM];
    struct generation other;

    if (state->password == NULL && is_later(state, &other)) {
        clock_format_iso(other.time_ms, next);
        json_object_set_new(
            job->result, "hint",
            json_sprintf("A later part of the log, base/%s, from %s on, cannot be read: it is under "
                         "another password, or was altered. --backup-password-file FILE takes that "
                         "password.", other.id.text, next));
        return;
    }
    if (state->unreadable_ms > (state->chosen.is_known ? state->chosen.time_ms : state->full_ms))
        json_object_set_new(job->result, "hint",
                            json_string("A later part of the log cannot be read: it was altered."));
    if (state->next_generation_ms == INT64_MAX || state->has_reached_time ||
        (!id_is_set(&state->chosen.id) && !state->is_unfinished))
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

    if (state->at_ms != INT64_MAX || mailbox_job_text(job, "from").len > 0)
        return;
    if (mailbox->vault != NULL && !state->is_verify)
        vault_usage(mailbox->vault, &seen);
    if (state->built.epoch < seen.epoch ||
        (state->built.epoch == seen.epoch && state->built.change_counter < seen.change_counter))
        json_object_set_new(job->result, "hint",
                            json_string("The mailbox has had later changes, which the backups do not "
                                        "have: not yet, or not any more."));
}

/*
 * The newest generation was beginning when the destination heard of it last: the one before it, or the
 * full backup, has what it was to begin with. False: there is none.
 */
static bool take_earlier(struct mailbox_job *job)
{
    struct restoring *state = job->state;

    state->next_generation_ms = state->chosen.time_ms;
    for (size_t i = 0; i < state->generation_count; i++) {
        if (id_equal(&state->generations[i].id, &state->chosen.id))
            state->generations[i].is_known = false;
    }
    if (!newest(state, state->password == NULL).is_known && state->full[0] == '\0')
        return false;
    task_forgive(&job->task);
    mailbox_rebuild_end(job->mailbox, job);
    secret_free(&state->backup_key);
    state->is_unfinished = true;
    if (choose(job) != ERR_OK)
        return false;
    ask_manifest(job);
    return true;
}

/* The full backup's counter, as its name has it, is higher than that of what the log gave. */
static bool has_full_more(const struct restoring *state)
{
    return id_is_set(&state->chosen.id) && state->full_counter > state->built.change_counter;
}

static enum err finish_built(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;
    struct restore_options options = options_of(job);
    char reached[CLOCK_ISO_ROOM];

    if (is_exchange(job))
        options.key = job->mailbox->key;
    state->restore = restore_resume(&job->task, &options, state->built.reached_ms);
    tell_behind(job);
    tell_gap(job);
    if (state->is_verify) {
        clock_format_iso(state->built.reached_ms, reached);
        mailbox_job_say(job, "The backup opens, is whole, and reaches up to %s.", reached);
        *out_next = MAILBOX_JOB_DONE;
        return ERR_OK;
    }
    *out_next = is_exchange(job) ? MAILBOX_JOB_DONE : MAILBOX_JOB_MORE;
    if (is_exchange(job))
        return exchange(job);
    state->phase = PHASE_MERGING;
    return begin_merge(job);
}

/* By its manifest, too: then it is built from that. */
static enum err take_full_instead(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;
    CLEANUP(secret_free) struct secret *mac_key = NULL;
    char reached[CLOCK_ISO_ROOM], name[NAME_ROOM];
    struct manifest manifest;

    mac_key = segment_key(state->backup_key != NULL ? state->backup_key : job->mailbox->key);
    if (state->status != WIRE_OK || read_answer(job, &state->manifest) != ERR_OK ||
        !is_manifest(job, mac_key, &manifest) || manifest.epoch < state->built.epoch ||
        (manifest.epoch == state->built.epoch &&
         manifest.change_counter <= state->built.change_counter)) {
        task_forgive(&job->task);
        return finish_built(job, out_next);
    }
    clock_format_iso(state->built.reached_ms, reached);
    json_object_set_new(job->result, "hint",
                        json_sprintf("The log ends at %s; %s has more, and was taken.", reached,
                                     state->full));
    mailbox_rebuild_end(job->mailbox, job);
    secret_free(&state->backup_key);
    state->chosen = (struct generation){.is_known = false};
    state->phase = PHASE_FILE;
    base_name(state, ".sqlite", name);
    get(job, name);
    *out_next = MAILBOX_JOB_WAITS;
    return ERR_OK;
}

static enum err built(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;
    enum err err = mailbox_rebuild_result(job->mailbox->rebuild, &job->task, &state->built);
    char name[NAME_ROOM];

    *out_next = MAILBOX_JOB_WAITS;
    if (err != ERR_OK && state->built.is_unfinished && take_earlier(job))
        return ERR_OK;
    TRY(err);
    if (!has_full_more(state))
        return finish_built(job, out_next);
    snprintf(name, sizeof(name), "%.100s.json", state->full);
    state->phase = PHASE_FULL_INSTEAD;
    get(job, name);
    return ERR_OK;
}

/* Asks, or passes on what was answered, when the child is ready for it. */
static enum err go_on_building(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;
    struct mailbox_rebuild *rebuild = job->mailbox->rebuild;
    enum mailbox_rebuild_state child = mailbox_rebuild_state(rebuild);

    if (child == MAILBOX_REBUILD_ENDED)
        return built(job, out_next);
    *out_next = MAILBOX_JOB_WAITS;
    if (state->has_answer) {
        state->has_answer = state->is_asked = false;
        TRY(take_segment(job));
        child = mailbox_rebuild_state(rebuild);
    }
    if (child == MAILBOX_REBUILD_WORKING || state->is_asked)
        return ERR_OK;
    state->has_reached_time = child == MAILBOX_REBUILD_ENOUGH;
    if (state->has_reached_time || state->has_whole_log)
        return mailbox_rebuild_finish(rebuild, &job->task);
    ask_segment(job);
    return ERR_OK;
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
    TRY(mailbox_job_secret(job, "backup-password", &state->password));
    if (job->mailbox->backup == NULL) {
        mailbox_job_say(job, "There are no backups here: \"backup\" is not configured.");
        return fail(&job->task, ERR_NOT_FOUND, "no destination is configured");
    }
    if (at.len > 0 && !parse_time(&job->task, at, &state->at_ms))
        return fail(&job->task, ERR_INVALID, "a time is written as 2026-11-21T10:00:00Z");
    if (mailbox_job_text(job, "into-folder").len > 0 && job->mailbox->vault == NULL)
        return fail(&job->task, ERR_INVALID,
                    "the mailbox does not open, so nothing can be put into it");
    if (!mailbox_rebuild_is_free(job->mailbox))
        return fail(&job->task, ERR_BUSY, "another backup of the mailbox is being looked at");
    state->mac_key = segment_key(job->mailbox->key);
    list(job, STR("full/"));
    return ERR_OK;
}

static enum err ask_next_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[NAME_ROOM];

    if (state->generation_next == state->generation_count) {
        TRY(choose(job));
        ask_manifest(job);
        return ERR_OK;
    }
    snprintf(name, sizeof(name), "base/%s.json",
             state->generations[state->generation_next].id.text);
    state->phase = PHASE_MANIFESTS;
    get(job, name);
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
        TRY(check_manifest(job));
        state->phase = PHASE_FILE;
        base_name(state, ".sqlite", name);
        mailbox_job_progress(job, "fetching", 0, 0);
        get(job, name);
        return ERR_OK;
    case PHASE_FILE:
        return take_file(job);
    case PHASE_BUILDING:
    case PHASE_FULL_INSTEAD:
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
    if (state->phase == PHASE_BUILDING)
        return go_on_building(job, out_next);
    if (state->phase == PHASE_FULL_INSTEAD && state->has_answer) {
        state->has_answer = state->is_asked = false;
        return take_full_instead(job, out_next);
    }
    if (state->has_answer) {
        state->has_answer = state->is_asked = false;
        TRY(advance(job));
    }
    *out_next = state->has_answer ? MAILBOX_JOB_MORE : MAILBOX_JOB_WAITS;
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
    mailbox_rebuild_end(job->mailbox, job);
    mem_free(&state->generations);
    secret_free(&state->mac_key);
    secret_free(&state->password);
    secret_free(&state->backup_key);
    buf_free(&state->answer);
    buf_free(&state->manifest);
    fd_close(&state->fd);
    mem_free(&job->state);
}

const struct mailbox_job_kind mailbox_job_restore = {"restore", start, step, end};
const struct mailbox_job_kind mailbox_job_verify = {"backup verify", start, step, end};
