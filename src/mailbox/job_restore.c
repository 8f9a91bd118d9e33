/*
 * `sealpost restore`, and `backup verify`, which is the same without the exchange: what is to be
 * had at the destination, the backup or generation of the time asked for, its log up to then, and
 * then the whole mailbox in its place (its sessions end, this process too), or some of it beside
 * the rest.
 *
 *   FULLS ─> BASES ─> MANIFESTS ─> MANIFEST ─> FILE ─> BUILDING … ─> BUILT ─┬─> MERGING ─> done
 *   (the lists, and what each generation has) ^   ^  (a child's,     │      └─> exchanged, done
 *                                             │   │  with the log)   │
 *                 the base is not whole ──────┘   └─ FULL_INSTEAD <──┘
 *
 * While BUILDING a segment may not be there: the list behind it says whether that is the log's end,
 * or a hole. FULL_INSTEAD: the log ends before the full backup, which has more.
 *
 * Old backups are let go meanwhile, too (backup/prune.h), the manifest first: so what is not there
 * any more, or a log that ends and has lost its manifest, is looked for anew, from FULLS on, and
 * what is there then is taken. A log whose manifest is there still has lost nothing.
 *
 * Also of a mailbox that does not open (mailbox->is_damaged): there is nothing to merge into then.
 *
 * A backup from before a new password opens with the password of its time only (docs/passwords.md):
 * with
 * --backup-password-file. Which one it is cannot be told before its file is there, since the key is
 * made with the file's salt; so it is chosen by times that nobody vouches for, and the MAC over
 * them is compared as soon as there is a key.
 */
#include "mailbox/job_restore_internal.h"

#include "backup/segment.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

enum { LET_GO_MAX = 5 }; /* so often it begins anew, since what it read was let go */

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

void restoring_list(struct mailbox_job *job, struct str prefix)
{
    struct restoring *state = job->state;

    state->is_asked = true;
    mailbox_archive_list(job->mailbox, prefix, str_from_c(state->choice.last_listed), on_answer,
                         job);
}

void restoring_get(struct mailbox_job *job, const char *name)
{
    struct restoring *state = job->state;

    state->is_asked = true;
    mailbox_archive_get(job->mailbox, str_from_c(name), on_answer, job);
}

enum err restoring_refused(struct mailbox_job *job)
{
    const struct restoring *state = job->state;
    static const struct {
        enum wire_status status;
        enum err err;
    } rows[] = {{WIRE_UNKNOWN, ERR_NOT_FOUND},
                {WIRE_DAMAGED, ERR_CORRUPT},
                {WIRE_DISABLED, ERR_NOT_FOUND},
                {WIRE_DENIED, ERR_DENIED}};
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
        return restoring_refused(job);
    return mailbox_choice_list(&state->choice, &job->task, buf_str(&state->answer),
                               state->phase == RESTORING_FULLS, state->is_last);
}

enum err restoring_read_answer(struct mailbox_job *job, struct buf *out)
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
        return restoring_refused(job);
    buf_truncate(&state->manifest, 0);
    if (state->status == WIRE_OK && restoring_read_answer(job, &state->manifest) != ERR_OK) {
        task_forgive(&job->task);
        buf_truncate(&state->manifest, 0);
    }
    mailbox_choice_manifest(&state->choice, generation, &job->mailbox->start->id,
                            buf_str(&state->manifest), state->mac_key);
    return ERR_OK;
}

bool restoring_is_manifest(const struct mailbox_job *job, const struct secret *mac_key,
                           struct manifest *out)
{
    const struct restoring *state = job->state;

    return mailbox_choice_is_manifest(&job->mailbox->start->id, buf_str(&state->manifest), mac_key,
                                      out);
}

/* --- What was let go meanwhile --- */

void restoring_list_anew(struct mailbox_job *job)
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
    state->phase = RESTORING_FULLS;
    restoring_list(job, STR("full/"));
}

/* An object of the chosen one is not there any more. */
enum err restoring_begin_anew(struct mailbox_job *job)
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
    if (state->phase != RESTORING_BUILDING) {
        restoring_list_anew(job);
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

/* --- What was chosen --- */

/* Of the one that was chosen. */
void restoring_get_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[MAILBOX_CHOICE_NAME_ROOM];

    mailbox_choice_name(&state->choice, ".json", name);
    restoring_get(job, name);
}

void restoring_ask_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;

    state->phase = RESTORING_MANIFEST;
    restoring_get_manifest(job);
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
        mailbox_job_say(job,
                        "The backup %s, of %s, does not open with that password: it was made "
                        "under another one, or its manifest was altered. Nothing was changed.",
                        name, time);
        json_object_set_new(job->result, "hint",
                            json_string("Give the password that the mailbox had then, or choose "
                                        "another backup with --at or "
                                        "--from."));
    } else {
        mailbox_job_say(job,
                        "The backup %s, of %s, was not made under the mailbox's present "
                        "password: it opens with the password of that time. Nothing was changed.",
                        name, time);
        json_object_set_new(job->result, "hint",
                            json_string("Give that password with --backup-password-file FILE; the "
                                        "recovery key and the present "
                                        "password do not open it."));
    }
    return fail(&job->task, ERR_DENIED, "backup %s is under another key", name);
}

/* The manifest is there, perhaps not yet the file. */
static enum err check_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    struct manifest manifest;

    if (!restoring_is_manifest(job, NULL, &manifest))
        return fail(&job->task, ERR_CORRUPT, "the backup's manifest was altered or cut");
    if (!restoring_is_manifest(job, state->mac_key, &manifest) && state->password == NULL)
        return needs_password(job, manifest.time_ms);
    return ERR_OK;
}

/* A full backup is the one that its name says: an older one in its place has a good MAC, too. */
static enum err check_name(struct mailbox_job *job)
{
    const struct mailbox_choice *choice = &((const struct restoring *)job->state)->choice;
    struct manifest manifest;

    if (id_is_set(&choice->chosen.id) ||
        (restoring_is_manifest(job, NULL, &manifest) && manifest.time_ms == choice->full_ms))
        return ERR_OK;
    return fail(&job->task, ERR_CORRUPT, "%s: another backup lies in its place", choice->full);
}

/* The mailbox's, or the one that the password of the backup's time gives. */
static enum err take_key(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    CLEANUP(secret_free) struct secret *mac_key = NULL;
    struct manifest manifest;

    if (restoring_is_manifest(job, state->mac_key, &manifest))
        return ERR_OK;
    TRY(restore_key(&job->task, secret_str(state->password), state->fd, &state->backup_key));
    mac_key = segment_key(state->backup_key);
    if (restoring_is_manifest(job, mac_key, &manifest))
        return ERR_OK;
    return restoring_is_manifest(job, NULL, &manifest)
               ? needs_password(job, manifest.time_ms)
               : fail(&job->task, ERR_CORRUPT, "the backup's manifest was altered or cut");
}

/* What is put in the mailbox's place has to open with its present password. */
bool restoring_is_exchange(const struct mailbox_job *job)
{
    const struct restoring *state = job->state;

    return !state->is_verify && mailbox_job_text(job, "into-folder").len == 0;
}

struct restore_options restoring_options(const struct mailbox_job *job)
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
    const struct restoring *state = job->state;

    if (state->status == WIRE_UNKNOWN)
        return restoring_begin_anew(job);
    if (state->status != WIRE_OK)
        return restoring_refused(job);
    TRY(take_key(job));
    TRY(check_name(job));
    return restoring_begin_building(job);
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
    restoring_list(job, STR("full/"));
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
        restoring_ask_manifest(job);
        return ERR_OK;
    }
    snprintf(name, sizeof(name), "base/%s.json", state->asked->id.text);
    state->phase = RESTORING_MANIFESTS;
    restoring_get(job, name);
    return ERR_OK;
}

/* An answer is there. */
static enum err advance(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[MAILBOX_CHOICE_NAME_ROOM];

    switch (state->phase) {
    case RESTORING_FULLS:
        TRY(take_list(job));
        if (!state->is_last) {
            restoring_list(job, STR("full/"));
            return ERR_OK;
        }
        if (mailbox_job_text(job, "from").len > 0)
            return ask_next_manifest(job);
        state->phase = RESTORING_BASES;
        state->choice.last_listed[0] = '\0';
        restoring_list(job, STR("base/"));
        return ERR_OK;
    case RESTORING_BASES:
        TRY(take_list(job));
        if (state->is_last)
            return ask_next_manifest(job);
        restoring_list(job, STR("base/"));
        return ERR_OK;
    case RESTORING_MANIFESTS:
        TRY(take_manifest(job, state->asked));
        return ask_next_manifest(job);
    case RESTORING_MANIFEST:
        if (state->status == WIRE_UNKNOWN)
            return restoring_begin_anew(job);
        if (state->status != WIRE_OK)
            return restoring_refused(job);
        TRY(restoring_read_answer(job, &state->manifest));
        TRY(check_manifest(job));
        state->phase = RESTORING_FILE;
        mailbox_choice_name(&state->choice, ".sqlite", name);
        mailbox_job_progress(job, "fetching", 0, 0);
        restoring_get(job, name);
        return ERR_OK;
    case RESTORING_FILE:
        return take_file(job);
    case RESTORING_FULL_INSTEAD:
        return restoring_take_full_instead(job);
    case RESTORING_BUILDING:
    case RESTORING_BUILT:
    case RESTORING_MERGING:
        break;
    }
    return ERR_OK;
}

static enum err step(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;

    if (state->phase == RESTORING_MERGING)
        return restoring_merge(job, out_next);
    if (state->phase == RESTORING_BUILDING)
        return restoring_build(job, out_next);
    if (state->phase == RESTORING_BUILT)
        return restoring_use(job, out_next);
    if (state->has_answer) {
        state->has_answer = state->is_asked = false;
        TRY(advance(job));
    }
    *out_next =
        state->phase == RESTORING_BUILT || state->has_answer ? MAILBOX_JOB_MORE : MAILBOX_JOB_WAITS;
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
