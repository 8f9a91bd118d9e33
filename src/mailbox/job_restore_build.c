/* Building what was chosen: the log's segments, one after the other, and what a child makes of
 * them. */
#include "mailbox/job_restore_internal.h"

#include "backup/segment.h"
#include "base/clock.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

enum err restoring_begin_building(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    struct mailbox_rebuild_order order = {.options = restoring_options(job),
                                          .manifest = buf_str(&state->manifest),
                                          .base_fd = state->fd};
    enum err err;

    if (state->backup_key != NULL && restoring_is_exchange(job))
        order.present_key = job->mailbox->key;
    state->segment_next = 1;
    state->is_missing = state->is_looking_behind = state->has_reached_time = false;
    state->is_looking_at_manifest = state->is_damaged = false;
    state->has_whole_log = !id_is_set(&state->choice.chosen.id);
    err = mailbox_rebuild_start(job, &order);
    fd_close(&state->fd);
    TRY(err);
    state->phase = RESTORING_BUILDING;
    return ERR_OK;
}

/* --- Segments --- */

static void ask_segment(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    char name[MAILBOX_CHOICE_NAME_ROOM];

    snprintf(name, sizeof(name), "log/%s/%012llu.seg", state->choice.chosen.id.text,
             (unsigned long long)state->segment_next);
    mailbox_job_progress(job, "segments of the log", state->segment_next, 0);
    restoring_get(job, name);
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
    return fail(
        &job->task, ERR_CORRUPT, "log %s, segment %llu: %s; the log before it is good up to %s",
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
    restoring_list(job, str_from_c(prefix));
}

/* The log ends here, has a hole or is damaged (a digest goes before its object): in its time, or
 * since it is being let go? */
static void look_at_manifest(struct mailbox_job *job)
{
    struct restoring *state = job->state;

    state->is_looking_at_manifest = true;
    restoring_get_manifest(job);
}

static enum err take_end(struct mailbox_job *job)
{
    struct restoring *state = job->state;

    state->is_looking_at_manifest = false;
    fd_close(&state->fd);
    if (state->status == WIRE_UNKNOWN)
        return restoring_begin_anew(job);
    if (state->status != WIRE_OK && state->status != WIRE_DAMAGED)
        return restoring_refused(job);
    if (state->is_damaged)
        return bad_segment(job, "it is not what was put there");
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
        return restoring_refused(job);
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
    if (state->status == WIRE_DAMAGED) {
        state->is_damaged = true;
        look_at_manifest(job);
        return ERR_OK;
    }
    if (state->status != WIRE_OK)
        return restoring_refused(job);
    err = mailbox_rebuild_segment(job->mailbox->rebuild, &job->task, state->fd);
    fd_close(&state->fd);
    state->is_missing = false;
    state->segment_next++;
    return err;
}

/* --- Another one instead --- */

/*
 * The newest generation was beginning when the destination heard of it last: another one, or the
 * full backup, has what it was to begin with. False: there is none.
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
    restoring_ask_manifest(job);
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
    state->phase = RESTORING_FULL_INSTEAD;
    restoring_get(job, name);
    return true;
}

/* Under the mailbox's key, or that of the log. */
static bool is_readable(const struct mailbox_job *job, struct manifest *out)
{
    const struct restoring *state = job->state;
    CLEANUP(secret_free) struct secret *mac_key = NULL;

    if (restoring_is_manifest(job, state->mac_key, out))
        return true;
    if (state->backup_key == NULL)
        return false;
    mac_key = segment_key(state->backup_key);
    return restoring_is_manifest(job, mac_key, out);
}

/* Then it is built from that. */
enum err restoring_take_full_instead(struct mailbox_job *job)
{
    struct restoring *state = job->state;
    const struct mailbox_rebuilt *built = &state->built;
    char reached[CLOCK_ISO_ROOM], name[MAILBOX_CHOICE_NAME_ROOM];
    struct manifest manifest;

    state->phase = RESTORING_BUILT;
    if (state->status != WIRE_OK)
        return ERR_OK;
    if (restoring_read_answer(job, &state->manifest) != ERR_OK || !is_readable(job, &manifest) ||
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
    state->phase = RESTORING_FILE;
    mailbox_choice_name(&state->choice, ".sqlite", name);
    restoring_get(job, name);
    return ERR_OK;
}

/* --- The child --- */

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
    state->phase = RESTORING_BUILT;
    *out_next = MAILBOX_JOB_MORE;
    return ERR_OK;
}

/* Asks, or passes on what was answered, when the child is ready for it. */
enum err restoring_build(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;
    struct mailbox_rebuild *rebuild = job->mailbox->rebuild;
    enum mailbox_rebuild_state child = mailbox_rebuild_state(rebuild);

    if (child == MAILBOX_REBUILD_ENDED && !state->is_beginning_anew)
        return take_built(job, out_next);
    *out_next = MAILBOX_JOB_WAITS;
    if (child == MAILBOX_REBUILD_ENDED) {
        restoring_list_anew(job);
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
