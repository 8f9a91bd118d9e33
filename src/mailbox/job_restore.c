/*
 * `sealpost restore`, and `backup verify`, which is the same without the exchange: what is to be had at
 * the destination, the backup or generation of the time asked for, its log up to then, and then the
 * whole mailbox in its place (its sessions end, this process too), or some of it beside the rest.
 *
 *   FULLS ─> BASES ─> MANIFESTS ─> MANIFEST ─> FILE ─> BUILDING … ─> BUILT ─┬─> MERGING ─> done
 *   (the lists, and what each generation has) ^   ^  (a child's,     │      └─> exchanged, done
 *                                             │   │  with the log)   │
 *                 the base is not whole ──────┘   └─ FULL_INSTEAD <──┘
 *
 * While BUILDING a segment may not be there: the list behind it says whether that is the log's end, or
 * a hole. FULL_INSTEAD: the log ends before the full backup, which has more.
 *
 * Old backups are let go meanwhile, too (backup/prune.h), the manifest first: so what is not there any
 * more, or a log that ends and has lost its manifest, is looked for anew, from FULLS on, and what is there
 * then is taken. A log whose manifest is there still has lost nothing.
 *
 * Also of a mailbox that does not open (mailbox->is_damaged): there is nothing to merge into then.
 *
 * A backup from before a new password opens with the password of its time only (docs/passwords.md): with
 * --backup-password-file. Which one it is cannot be told before its file is there, since the key is made
 * with the file's salt; so it is chosen by times that nobody vouches for, and the MAC over them is
 * compared as soon as there is a key.
 */
#include "mailbox/backup.h"
#include "mailbox/choice.h"
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

enum { LET_GO_MAX = 5 }; /* so often it begins anew, since what it read was let go */

enum phase {
    PHASE_FULLS,
    PHASE_BASES,
    PHASE_MANIFESTS,
    PHASE_MANIFEST,
    PHASE_FILE,
    PHASE_BUILDING,
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
    struct mailbox_choice choice; /* what there is, and what of it is taken */
    struct mailbox_choice_generation *asked; /* borrowed: its manifest is asked for */
    struct buf manifest;
    struct secret *mac_key;     /* own; from the mailbox's key */
    struct secret *password;    /* own; of the backup's time; NULL: not given */
    struct secret *backup_key;  /* own; from that; NULL: it is under the mailbox's key */
    uint64_t segment_next;      /* from 1 */
    bool is_looking_behind;     /* the list after the segment that was not there is asked for */
    bool is_missing;            /* that was not there, and later ones are */
    bool has_whole_log;         /* there is no segment more */
    bool has_reached_time;      /* no segment more is needed: no gap before the time asked for */
    bool is_looking_at_manifest; /* the log ends or has a hole: is its manifest still there? */
    bool is_beginning_anew;      /* when the child has ended */
    unsigned let_go_count;
    char let_go[MAILBOX_CHOICE_NAME_ROOM]; /* what was, the last time */
    struct mailbox_rebuilt built;
    struct restore *restore;    /* own; what was built */
    struct vault *restored;     /* own: merging */
    struct merge *merge;        /* own */
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
    mailbox_archive_list(job->mailbox, prefix, str_from_c(state->choice.last_listed), on_answer, job);
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

static enum err take_list(struct mailbox_job *job)
{
    struct restoring *state = job->state;

    if (state->status != WIRE_OK)
        return refused(job);
    return mailbox_choice_list(&state->choice, &job->task, buf_str(&state->answer),
                       state->phase == PHASE_FULLS, state->is_last);
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

static enum err take_manifest(struct mailbox_job *job, struct mailbox_choice_generation *generation)
{
    struct restoring *state = job->state;

    if (state->status == WIRE_UNKNOWN)
        return ERR_OK;
    if (state->status != WIRE_OK && state->status != WIRE_DAMAGED)
        return refused(job);
    buf_truncate(&state->manifest, 0);
    if (state->status == WIRE_OK && read_answer(job, &state->manifest) != ERR_OK) {
        task_forgive(&job->task);
        buf_truncate(&state->manifest, 0);
    }
    mailbox_choice_manifest(&state->choice, generation, &job->mailbox->start->id,
                            buf_str(&state->manifest), state->mac_key);
    return ERR_OK;
}

static bool is_manifest(const struct mailbox_job *job, const struct secret *mac_key,
                        struct manifest *out)
{
    const struct restoring *state = job->state;

    return mailbox_choice_is_manifest(&job->mailbox->start->id, buf_str(&state->manifest), mac_key,
                                      out);
}

/* --- What was let go meanwhile --- */

static void list_anew(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    int64_t at_ms = state->choice.at_ms;
    struct str from = state->choice.from;

    mailbox_rebuild_end(job->mailbox, job);
    secret_free(&state->backup_key);
    fd_close(&state->fd);
    mailbox_choice_done(&state->choice);
    mailbox_choice_init(&state->choice, at_ms, from);
    state->is_beginning_anew = false;
    (void)json_object_del(job->result, "hint"); /* of what was taken then */
    state->phase = PHASE_FULLS;
    list(job, STR("full/"));
}

/* An object of the chosen one is not there any more. */
static enum err begin_anew(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char before[MAILBOX_CHOICE_NAME_ROOM];

    memcpy(before, state->let_go, sizeof(before));
    mailbox_choice_name(&state->choice, "", state->let_go);
    if (strcmp(before, state->let_go) == 0) /* it is listed all the same: damage */
        return fail(&job->task, ERR_NOT_FOUND,
                    "the destination lists %s, and has not all of it: %.*s", state->let_go,
                    STR_ARG(buf_str(&state->answer)));
    if (++state->let_go_count > LET_GO_MAX) {
        mailbox_job_say(
            job,
            "What was to be read was removed from the destination while it was read, %d "
            "times running, at last %s. Nothing was changed; try again.",
            LET_GO_MAX + 1, state->let_go);
        return fail(&job->task, ERR_BUSY, "backups are let go faster than they are read");
    }
    log_info(job->mailbox->start->log, "a backup was let go while it was read mailbox=%s name=%s",
             job->mailbox->start->id.text, state->let_go);
    if (state->phase != PHASE_BUILDING) {
        list_anew(job);
        return ERR_OK;
    }
    mailbox_rebuild_give_up(job->mailbox->rebuild);
    state->is_beginning_anew = true;
    return ERR_OK;
}

/* Nothing is there for the time that was asked for: not any more? */
static enum err tell_gone(struct mailbox_job *job)
{
    const struct restoring *state = job->state;

    if (state->let_go_count > 0)
        mailbox_job_say(
            job,
            "%s, which has what was asked for, was removed from the destination while it "
            "was read, and nothing else there has it: old backups go (backup_daily, "
            "backup_hourly). Nothing was changed.",
            state->let_go);
    return ERR_NOT_FOUND;
}

/* What was taken is not what was found at first; before what else is to be told. */
static void tell_let_go(struct mailbox_job *job)
{
    const struct restoring *state = job->state;
    const char *else_told = json_string_value(json_object_get(job->result, "hint"));

    if (state->let_go_count == 0)
        return;
    json_object_set_new(job->result, "hint",
                        json_sprintf("%s was removed from the destination while it was read; of what "
                                     "is there now, this has most of what was asked for.%s%s",
                                     state->let_go, else_told == NULL ? "" : " ",
                                     else_told == NULL ? "" : else_told));
}

/* --- Building --- */

/* Of the one that was chosen. */
static void get_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[MAILBOX_CHOICE_NAME_ROOM];

    mailbox_choice_name(&state->choice, ".json", name);
    get(job, name);
}

static void ask_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;

    state->phase = PHASE_MANIFEST;
    get_manifest(job);
}

/* Which backup, of when, and what it needs. */
static enum err needs_password(struct mailbox_job *job, int64_t time_ms)
{
    const struct restoring *state = job->state;
    char name[MAILBOX_CHOICE_NAME_ROOM], time[CLOCK_ISO_ROOM];

    mailbox_choice_name(&state->choice, "", name);
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
static enum err check_name(struct mailbox_job *job)
{
    const struct mailbox_choice *choice = &((const struct restoring *)job->state)->choice;
    struct manifest manifest;

    if (id_is_set(&choice->chosen.id) ||
        (is_manifest(job, NULL, &manifest) && manifest.time_ms == choice->full_ms))
        return ERR_OK;
    return fail(&job->task, ERR_CORRUPT, "%s: another backup lies in its place", choice->full);
}

/* The mailbox's, or the one that the password of the backup's time gives. */
static enum err take_key(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    CLEANUP(secret_free) struct secret *mac_key = NULL;
    struct manifest manifest;

    if (is_manifest(job, state->mac_key, &manifest))
        return ERR_OK;
    TRY(restore_key(&job->task, secret_str(state->password), state->fd, &state->backup_key));
    mac_key = segment_key(state->backup_key);
    if (is_manifest(job, mac_key, &manifest))
        return ERR_OK;
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
        .until_ms = mailbox_job_text(job, "from").len > 0 ? INT64_MAX : state->choice.at_ms};
}

static enum err take_file(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    struct mailbox_rebuild_order order = {.manifest = buf_str(&state->manifest),
                                          .base_fd = state->fd};
    enum err err;

    if (state->status == WIRE_UNKNOWN)
        return begin_anew(job);
    if (state->status != WIRE_OK)
        return refused(job);
    TRY(take_key(job));
    TRY(check_name(job));
    order.options = options_of(job);
    if (state->backup_key != NULL && is_exchange(job))
        order.present_key = job->mailbox->key;
    state->segment_next = 1;
    state->is_missing = state->is_looking_behind = state->has_reached_time = false;
    state->is_looking_at_manifest = false;
    state->has_whole_log = !id_is_set(&state->choice.chosen.id);
    err = mailbox_rebuild_start(job, &order);
    fd_close(&state->fd);
    TRY(err);
    state->phase = PHASE_BUILDING;
    return ERR_OK;
}

static void ask_segment(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[MAILBOX_CHOICE_NAME_ROOM];

    snprintf(name, sizeof(name), "log/%s/%012llu.seg", state->choice.chosen.id.text,
             (unsigned long long)state->segment_next);
    mailbox_job_progress(job, "segments of the log", state->segment_next, 0);
    get(job, name);
}

/* No segment of this number, or none that is whole: no matter, where what was asked for is there
 * already. */
static enum err bad_segment(struct mailbox_job *job, const char *what)
{
    struct restoring *state = job->state;
    int64_t reached_ms = mailbox_rebuild_reached_ms(job->mailbox->rebuild);
    char reached[CLOCK_ISO_ROOM];

    if (reached_ms >= state->choice.at_ms) {
        state->has_whole_log = state->has_reached_time = true;
        return ERR_OK;
    }
    clock_format_iso(reached_ms, reached);
    return fail(&job->task, ERR_CORRUPT, "log %s, segment %llu: %s; the log before it is good up to %s",
                state->choice.chosen.id.text, (unsigned long long)state->segment_next, what, reached);
}

/* None of this number: the end, if none follows it. */
static void look_behind(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char prefix[MAILBOX_CHOICE_NAME_ROOM];

    snprintf(prefix, sizeof(prefix), "log/%s/", state->choice.chosen.id.text);
    snprintf(state->choice.last_listed, sizeof(state->choice.last_listed), "%s%012llu.seg", prefix,
             (unsigned long long)state->segment_next);
    state->is_looking_behind = true;
    list(job, str_from_c(prefix));
}

/* The log ends here, or has a hole: in its time, or since it is being let go? */
static void look_at_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;

    state->is_looking_at_manifest = true;
    get_manifest(job);
}

static enum err take_end(struct mailbox_job *job)
{
    struct restoring *state = job->state;

    state->is_looking_at_manifest = false;
    fd_close(&state->fd);
    if (state->status == WIRE_UNKNOWN)
        return begin_anew(job);
    if (state->status != WIRE_OK && state->status != WIRE_DAMAGED)
        return refused(job);
    if (state->is_missing)
        return bad_segment(job, "it is missing, and later ones are there");
    state->has_whole_log = true;
    return ERR_OK;
}

static enum err take_rest(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    json_t *objects;

    state->is_looking_behind = false;
    if (state->status != WIRE_OK)
        return refused(job);
    objects = json_loadb(state->answer.ptr, state->answer.len, 0, NULL);
    state->is_missing = json_array_size(objects) > 0;
    json_decref(objects);
    if (state->is_missing) /* or it came in this moment */
        ask_segment(job);
    else
        look_at_manifest(job);
    return ERR_OK;
}

static enum err take_segment(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    enum err err;

    if (state->is_looking_at_manifest)
        return take_end(job);
    if (state->is_looking_behind)
        return take_rest(job);
    if (state->status == WIRE_UNKNOWN) {
        if (state->is_missing)
            look_at_manifest(job);
        else
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
    clock_format_iso(state->built.reached_ms, reached);
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
    struct str words = mailbox_choice_gap(&state->choice, &job->task, state->built.reached_ms,
                                  state->has_reached_time, state->password != NULL);

    if (words.len > 0)
        json_object_set_new(job->result, "hint", json_stringn(words.ptr, words.len));
}

/*
 * Of all that there is, some may not have come to the destination yet, or may have been taken from there:
 * the accounts know up to where the mailbox was seen when it was opened, and an open one knows itself.
 */
static void tell_behind(struct mailbox_job *job)
{
    const struct restoring *state = job->state;
    const struct mailbox *mailbox = job->mailbox;
    const struct mailbox_rebuilt *built = &state->built;
    struct vault_usage seen = {.epoch = mailbox->vault_options.epoch_seen,
                               .change_counter = mailbox->vault_options.change_counter_seen};

    if (state->choice.at_ms != INT64_MAX || state->choice.from.len > 0)
        return;
    if (mailbox->vault != NULL && !state->is_verify)
        vault_usage(mailbox->vault, &seen);
    if (built->epoch < seen.epoch ||
        (built->epoch == seen.epoch && built->change_counter < seen.change_counter))
        json_object_set_new(job->result, "hint",
                            json_string("The mailbox has had later changes, which the backups do not "
                                        "have: not yet, or not any more."));
}

/*
 * The newest generation was beginning when the destination heard of it last: another one, or the full
 * backup, has what it was to begin with. False: there is none.
 */
static bool take_another(struct mailbox_job *job)
{
    struct restoring *state = job->state;

    if (!mailbox_choice_discard(&state->choice, state->password != NULL))
        return false;
    task_forgive(&job->task);
    mailbox_rebuild_end(job->mailbox, job);
    secret_free(&state->backup_key);
    if (mailbox_choice_choose(&state->choice, &job->task, state->password != NULL) != ERR_OK)
        return false;
    ask_manifest(job);
    return true;
}

/* The full backup's counter, as its name has it, is higher than that of what the log gave: by its
 * manifest, too? */
static bool ask_full_instead(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[MAILBOX_CHOICE_NAME_ROOM];

    if (!id_is_set(&state->choice.chosen.id) || state->choice.full[0] == '\0' ||
        state->choice.full_counter <= state->built.change_counter)
        return false;
    snprintf(name, sizeof(name), "%.100s.json", state->choice.full);
    state->phase = PHASE_FULL_INSTEAD;
    get(job, name);
    return true;
}

/* Under the mailbox's key, or that of the log. */
static bool is_readable(const struct mailbox_job *job, struct manifest *out)
{
    const struct restoring *state = job->state;
    CLEANUP(secret_free) struct secret *mac_key = NULL;

    if (is_manifest(job, state->mac_key, out))
        return true;
    if (state->backup_key == NULL)
        return false;
    mac_key = segment_key(state->backup_key);
    return is_manifest(job, mac_key, out);
}

/* Then it is built from that. */
static enum err take_full_instead(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    const struct mailbox_rebuilt *built = &state->built;
    char reached[CLOCK_ISO_ROOM], name[MAILBOX_CHOICE_NAME_ROOM];
    struct manifest manifest;

    state->phase = PHASE_BUILT;
    if (state->status != WIRE_OK)
        return ERR_OK;
    if (read_answer(job, &state->manifest) != ERR_OK || !is_readable(job, &manifest) ||
        manifest.epoch < built->epoch ||
        (manifest.epoch == built->epoch && manifest.change_counter <= built->change_counter)) {
        task_forgive(&job->task);
        return ERR_OK;
    }
    clock_format_iso(built->reached_ms, reached);
    json_object_set_new(job->result, "hint",
                        json_sprintf("The log ends at %s; %s has more, and was taken.", reached,
                                     state->choice.full));
    mailbox_rebuild_end(job->mailbox, job);
    secret_free(&state->backup_key);
    state->choice.chosen = (struct mailbox_choice_generation){.is_known = false};
    state->phase = PHASE_FILE;
    mailbox_choice_name(&state->choice, ".sqlite", name);
    get(job, name);
    return ERR_OK;
}

/* The child has ended. */
static enum err take_built(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;
    enum err err = mailbox_rebuild_result(job->mailbox->rebuild, &job->task, &state->built);

    *out_next = MAILBOX_JOB_WAITS;
    if (err != ERR_OK && state->built.is_unfinished && take_another(job))
        return ERR_OK;
    TRY(err);
    if (ask_full_instead(job))
        return ERR_OK;
    state->phase = PHASE_BUILT;
    *out_next = MAILBOX_JOB_MORE;
    return ERR_OK;
}

static enum err use_built(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;
    struct restore_options options = options_of(job);
    char reached[CLOCK_ISO_ROOM];

    if (is_exchange(job))
        options.key = job->mailbox->key;
    state->restore = restore_resume(&job->task, &options, state->built.reached_ms);
    tell_behind(job);
    tell_gap(job);
    tell_let_go(job);
    if (state->is_verify) {
        clock_format_iso(state->built.reached_ms, reached);
        mailbox_job_say(job, "The backup opens, is whole, and reaches up to %s.", reached);
        return ERR_OK;
    }
    if (is_exchange(job))
        return exchange(job);
    state->phase = PHASE_MERGING;
    *out_next = MAILBOX_JOB_MORE;
    return begin_merge(job);
}

/* Asks, or passes on what was answered, when the child is ready for it. */
static enum err go_on_building(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;
    struct mailbox_rebuild *rebuild = job->mailbox->rebuild;
    enum mailbox_rebuild_state child = mailbox_rebuild_state(rebuild);

    if (child == MAILBOX_REBUILD_ENDED && !state->is_beginning_anew)
        return take_built(job, out_next);
    *out_next = MAILBOX_JOB_WAITS;
    if (child == MAILBOX_REBUILD_ENDED) {
        list_anew(job);
        return ERR_OK;
    }
    if (state->has_answer) {
        state->has_answer = state->is_asked = false;
        TRY(take_segment(job));
        child = mailbox_rebuild_state(rebuild);
    }
    if (child == MAILBOX_REBUILD_WORKING || state->is_asked)
        return ERR_OK;
    if (child == MAILBOX_REBUILD_ENOUGH)
        state->has_reached_time = true;
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
    int64_t at_ms = INT64_MAX;

    job->state = state;
    state->fd = -1;
    state->is_verify = strcmp(job->kind->name, "backup verify") == 0;
    mailbox_choice_init(&state->choice, at_ms, mailbox_job_text(job, "from"));
    buf_init(&state->answer, SIZE_MAX);
    buf_init(&state->manifest, SIZE_MAX); /* the reading is limited */
    TRY(mailbox_job_secret(job, "backup-password", &state->password));
    if (job->mailbox->backup == NULL) {
        mailbox_job_say(job, "There are no backups here: \"backup\" is not configured.");
        return fail(&job->task, ERR_NOT_FOUND, "no destination is configured");
    }
    if (at.len > 0 && !parse_time(&job->task, at, &at_ms))
        return fail(&job->task, ERR_INVALID, "a time is written as 2026-11-21T10:00:00Z");
    state->choice.at_ms = at_ms;
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
    char name[MAILBOX_CHOICE_NAME_ROOM];

    state->asked = mailbox_choice_next(&state->choice);
    if (state->asked == NULL) {
        if (mailbox_choice_choose(&state->choice, &job->task, state->password != NULL) != ERR_OK)
            return tell_gone(job);
        ask_manifest(job);
        return ERR_OK;
    }
    snprintf(name, sizeof(name), "base/%s.json", state->asked->id.text);
    state->phase = PHASE_MANIFESTS;
    get(job, name);
    return ERR_OK;
}

/* An answer is there. */
static enum err advance(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[MAILBOX_CHOICE_NAME_ROOM];

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
        state->choice.last_listed[0] = '\0';
        list(job, STR("base/"));
        return ERR_OK;
    case PHASE_BASES:
        TRY(take_list(job));
        if (state->is_last)
            return ask_next_manifest(job);
        list(job, STR("base/"));
        return ERR_OK;
    case PHASE_MANIFESTS:
        TRY(take_manifest(job, state->asked));
        return ask_next_manifest(job);
    case PHASE_MANIFEST:
        if (state->status == WIRE_UNKNOWN)
            return begin_anew(job);
        if (state->status != WIRE_OK)
            return refused(job);
        TRY(read_answer(job, &state->manifest));
        TRY(check_manifest(job));
        state->phase = PHASE_FILE;
        mailbox_choice_name(&state->choice, ".sqlite", name);
        mailbox_job_progress(job, "fetching", 0, 0);
        get(job, name);
        return ERR_OK;
    case PHASE_FILE:
        return take_file(job);
    case PHASE_FULL_INSTEAD:
        return take_full_instead(job);
    case PHASE_BUILDING:
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
    if (state->phase == PHASE_BUILDING)
        return go_on_building(job, out_next);
    if (state->phase == PHASE_BUILT)
        return use_built(job, out_next);
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
    mailbox_rebuild_end(job->mailbox, job);
    mailbox_choice_done(&state->choice);
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
