/* What was built takes the mailbox's place, or goes beside the rest of it, or was only looked at.
 */
#include "mailbox/job_restore_internal.h"

#include "base/clock.h"
#include "imap/session.h"

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

enum err restoring_merge(struct mailbox_job *job, enum mailbox_job_next *out_next)
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

/* --- What is told of it --- */

/* What was taken is not what was found at first; before what else is to be told. */
static void tell_let_go(struct mailbox_job *job)
{
    const struct restoring *state = job->state;
    const char *else_told = json_string_value(json_object_get(job->result, "hint"));

    if (state->let_go_count == 0)
        return;
    json_object_set_new(
        job->result, "hint",
        json_sprintf("%s was removed from the destination while it was read; of what "
                     "is there now, this has most of what was asked for.%s%s",
                     state->let_go, else_told == NULL ? "" : " ",
                     else_told == NULL ? "" : else_told));
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
 * Of all that there is, some may not have come to the destination yet, or may have been taken from
 * there: the accounts know up to where the mailbox was seen when it was opened, and an open one
 * knows itself.
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
        json_object_set_new(
            job->result, "hint",
            json_string("The mailbox has had later changes, which the backups do not "
                        "have: not yet, or not any more."));
}

enum err restoring_use(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    struct restoring *state = job->state;
    struct restore_options options = restoring_options(job);
    char reached[CLOCK_ISO_ROOM];

    if (restoring_is_exchange(job))
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
    if (restoring_is_exchange(job))
        return exchange(job);
    state->phase = RESTORING_MERGING;
    *out_next = MAILBOX_JOB_MORE;
    return begin_merge(job);
}
