/* `sealpost alias undelete list` and `… restore`: what the owner expunged (vault/undelete.h). */
#include "mailbox/jobs.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/memory.h"
#include "vault/undelete.h"

#include <string.h>

enum {
    PAGE_ITEMS = 100,
    PAGE_BYTES = 48 * 1024, /* of texts; escaped and with the rest below a frame */
    SHOWN_BYTES = 200,      /* of a subject or sender */
};

struct undeleting {
    bool is_listing;
    bool is_prepared;
    struct vault_undelete_filter filter; /* its texts are the job's */
    struct vault_undelete_run run;
    uint64_t total; /* kept when it began */
    json_t *items;  /* own; the page */
    size_t page_bytes;
    int64_t next; /* the page ends behind this one; 0: it is not full */
};

/* --- The filter --- */

static enum err read_since(struct mailbox_job *job, int64_t *out_ms)
{
    struct str text = mailbox_job_text(job, "since"), whole = text;

    *out_ms = INT64_MIN;
    if (text.len == 0)
        return ERR_OK;
    if (str_index(text, 'T') < 0)
        whole = arena_printf(&job->task.arena, "%.*sT00:00:00.000Z", STR_ARG(text));
    if (clock_parse_iso(whole, out_ms))
        return ERR_OK;
    mailbox_job_say(job,
                    "\"%.*s\" is not a time: write it as 2026-12-24, or "
                    "2026-12-24T18:00:00.000Z (UTC).",
                    STR_ARG(text));
    return fail(&job->task, ERR_INVALID, "not a time");
}

static enum err read_position(struct mailbox_job *job, int64_t *out)
{
    struct str text = mailbox_job_text(job, "after");
    uint64_t position;

    *out = 0;
    if (text.len == 0)
        return ERR_OK;
    if (!parse_u64(text, &position) || position > INT64_MAX)
        return fail(&job->task, ERR_INVALID, "not where a page ended");
    *out = (int64_t)position;
    return ERR_OK;
}

static enum err start(struct mailbox_job *job, bool is_listing)
{
    struct undeleting *undeleting = NEW(struct undeleting);
    struct str folder = mailbox_job_text(job, "folder");

    job->state = undeleting;
    undeleting->is_listing = is_listing;
    undeleting->items = json_array();
    undeleting->filter.folder = str_equal_nocase(folder, STR("INBOX")) ? STR("INBOX") : folder;
    undeleting->filter.subject = mailbox_job_text(job, "subject");
    TRY(read_since(job, &undeleting->filter.since_ms));
    return is_listing ? read_position(job, &undeleting->run.position) : ERR_OK;
}

static enum err start_list(struct mailbox_job *job)
{
    return start(job, true);
}

static enum err start_restore(struct mailbox_job *job)
{
    return start(job, false);
}

static void end(struct mailbox_job *job)
{
    struct undeleting *undeleting = job->state;

    if (undeleting != NULL)
        json_decref(undeleting->items);
    mailbox_housekeep_later(job->mailbox); /* what is more than the limit, now that it counts */
    mem_free(&undeleting);
    job->state = NULL;
}

/* --- The list --- */

/*
 * A stranger's words on somebody's terminal: no control characters, not those of U+0080 to U+009F
 * either, which begin with an octet 0xc2, and not longer than fits. Never a piece of a character.
 */
static json_t *shown(struct mailbox_job *job, struct str text)
{
    char *out = arena_alloc(&job->task.arena, text.len + 1, 1);
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool is_c1 = c == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xa0;

        if (len >= SHOWN_BYTES && (c & 0xc0) != 0x80)
            break;
        out[len++] = is_c1 || ascii_is_control((char)c) ? ' ' : (char)c;
        i += is_c1;
    }
    return json_stringn(out, len); /* NULL, and left out, if it is no UTF-8 */
}

static json_t *time_of(int64_t ms)
{
    char text[CLOCK_ISO_ROOM];

    clock_format_iso(ms, text);
    return json_string(text);
}

/* false: the page is full. */
static bool put_item(struct mailbox_job *job, const struct vault_hidden *message)
{
    struct undeleting *undeleting = job->state;
    size_t bytes = message->folder.len + SHOWN_BYTES;
    json_t *item;

    if (json_array_size(undeleting->items) >= PAGE_ITEMS ||
        undeleting->page_bytes + bytes > PAGE_BYTES)
        return false;
    undeleting->page_bytes += bytes;
    undeleting->next = message->id;
    item = json_object();
    json_object_set_new(item, "expunged", time_of(message->expunged_ms));
    json_object_set_new(item, "date", time_of(message->internal_date_ms));
    json_object_set_new(item, "size", json_integer((json_int_t)message->size_bytes));
    json_object_set_new(item, "folder", json_stringn(message->folder.ptr, message->folder.len));
    json_object_set_new(item, "from", shown(job, message->from));
    json_object_set_new(item, "subject", shown(job, message->subject));
    json_array_append_new(undeleting->items, item);
    return true;
}

static enum err list_slice(struct mailbox_job *job, bool *out_is_done)
{
    struct undeleting *undeleting = job->state;
    struct vault_hidden *messages;
    bool is_full = false;
    size_t count;

    TRY(vault_undelete_list(job->mailbox->vault, &job->task, &undeleting->filter, &undeleting->run,
                            &messages, &count));
    for (size_t i = 0; i < count && !is_full; i++)
        is_full = !put_item(job, &messages[i]);
    *out_is_done = is_full || undeleting->run.is_done;
    if (!*out_is_done)
        return ERR_OK;
    json_object_set(job->result, "items", undeleting->items);
    if (is_full) {
        struct str next = arena_printf(&job->task.arena, "%lld", (long long)undeleting->next);

        json_object_set_new(job->result, "next", json_stringn(next.ptr, next.len));
    }
    return ERR_OK;
}

/* --- Bringing back --- */

static void say_restored(struct mailbox_job *job, uint64_t restored)
{
    json_object_set_new(job->result, "restored", json_integer((json_int_t)restored));
    mailbox_job_say(job, "%llu %s brought back.", (unsigned long long)restored,
                    restored == 1 ? "message was" : "messages were");
}

static enum err restore_slice(struct mailbox_job *job, bool *out_is_done)
{
    struct undeleting *undeleting = job->state;
    struct vault_undelete_run *run = &undeleting->run;
    enum err err =
        vault_undelete_restore(job->mailbox->vault, &job->task, &undeleting->filter, run);

    *out_is_done = run->is_done;
    if (err == ERR_OK)
        mailbox_job_progress(job, "messages", run->looked_at, undeleting->total);
    if (run->is_done || err != ERR_OK)
        say_restored(job, run->restored);
    if (err == ERR_LIMIT)
        json_object_set_new(job->result, "hint",
                            json_string("There is no room for the next one. Make some, then go on "
                                        "with the same command."));
    return err;
}

/* --- Steps --- */

static enum err slice(struct mailbox_job *job, bool *out_is_done)
{
    struct undeleting *undeleting = job->state;
    struct vault_undelete_usage usage;

    if (undeleting->is_prepared)
        return undeleting->is_listing ? list_slice(job, out_is_done)
                                      : restore_slice(job, out_is_done);
    TRY(vault_undelete_prepare(job->mailbox->vault, &job->task, &undeleting->is_prepared));
    vault_undelete_usage(job->mailbox->vault, &usage);
    undeleting->total = usage.messages;
    return ERR_OK;
}

static enum err step(struct mailbox_job *job, enum mailbox_job_next *out_next)
{
    bool is_done = false;

    do {
        TRY(slice(job, &is_done));
    } while (!is_done && !mailbox_job_is_slice_over(job));
    *out_next = is_done ? MAILBOX_JOB_DONE : MAILBOX_JOB_MORE;
    return ERR_OK;
}

const struct mailbox_job_kind mailbox_job_undelete_list = {"alias undelete list", start_list, step,
                                                           end};
const struct mailbox_job_kind mailbox_job_undelete_restore = {"alias undelete restore",
                                                              start_restore, step, end};
