/*
 * How an attempt ended becomes rows: done, failed, or when to try again; what the sender is to be
 * told becomes a message of its own, in the same transaction.
 */
#include "courier/state.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/random.h"
#include "courier/report.h"
#include "courier/trace.h"

#include <string.h>

/* --- Telling the sender --- */

static bool has_word(struct str notify, struct str word)
{
    struct str part;

    while (str_split(&notify, ',', &part)) {
        if (str_equal_nocase(str_trim(part), word))
            return true;
    }
    return false;
}

/* RFC 3461 §4.1; without NOTIFY, failures are told, and delays to our own users. */
static bool is_wanted(const struct queue_message *message, const struct queue_recipient *recipient,
                      enum courier_news_kind kind)
{
    static const char *const words[] = {
        [TELL_FAILURE] = "FAILURE", [TELL_DELAY] = "DELAY", [TELL_SUCCESS] = "SUCCESS"};

    /* A report of a report would go in circles; nobody wrote junk or waits for an automatic reply.
     */
    if (message->sender.len == 0 || message->is_junk || recipient->kind == QUEUE_VACATION ||
        recipient->kind == QUEUE_RETURN)
        return false;
    if (recipient->notify.len > 0)
        return has_word(recipient->notify, str_from_c(words[kind]));
    return kind == TELL_FAILURE || (kind == TELL_DELAY && message->source == QUEUE_SUBMISSION);
}

static bool is_hidden(const struct queue_recipient *recipient)
{
    return !str_equal_nocase(recipient->address, recipient->written);
}

/* What a server said of a target that the sender does not know: its address goes out of it. */
static struct str without_target(struct task *task, const struct queue_recipient *recipient,
                                 struct str words)
{
    struct str target = recipient->address, shown = recipient->written;
    CLEANUP(buf_free) struct buf out;
    size_t from = 0;

    buf_init(&out, SIZE_MAX);
    if (!is_hidden(recipient) || target.len == 0)
        return words;
    for (size_t i = 0; i + target.len <= words.len;) {
        if (str_equal_nocase(str_make(words.ptr + i, target.len), target)) {
            buf_put(&out, str_make(words.ptr + from, i - from));
            buf_put(&out, shown);
            i += target.len;
            from = i;
        } else {
            i++;
        }
    }
    buf_put(&out, str_from(words, from));
    return arena_copy(&task->arena, buf_str(&out));
}

static enum report_action action_of(enum courier_news_kind kind, enum courier_ending ending)
{
    switch (kind) {
    case TELL_FAILURE:
        return REPORT_FAILED;
    case TELL_DELAY:
        return REPORT_DELAYED;
    case TELL_SUCCESS:
        break;
    }
    return ending == ENDING_DELIVERED ? REPORT_DELIVERED : REPORT_RELAYED;
}

static struct report_recipient told_of(struct task *task, const struct courier_told *told,
                                       enum courier_news_kind kind)
{
    return (struct report_recipient){
        .address = told->recipient->written,
        .orcpt = told->recipient->orcpt,
        .action = action_of(kind, told->verdict.ending),
        .status = told->verdict.status.len > 0 ? told->verdict.status : STR("5.0.0"),
        .words = without_target(task, told->recipient, told->verdict.words),
        .remote = is_hidden(told->recipient) ? STR("") : told->verdict.remote,
    };
}

static struct str domain_of(struct str address)
{
    return str_from(address, (size_t)(str_last_index(address, '@') + 1));
}

/* A message of ours to `to`, whoever that is. */
enum err courier_add_own(struct courier *courier, struct task *task,
                         const struct queue_message *message, struct str content, struct str to)
{
    struct queue_recipient recipient = {
        .kind = QUEUE_LOCAL,
        .address = to,
        .alias = to,
        .written = to,
        .notify = STR("NEVER"),
        .state = QUEUE_WAITING,
        .next_ms = task->now_ms,
    };
    bool is_new;

    TRY(queue_add(courier->queue, task, message, content, &recipient.message_id));
    recipient.lane = courier_lane_of(task, QUEUE_LOCAL, to, STR(""), STR(""));
    TRY(queue_add_recipient(courier->queue, task, &recipient, &is_new));
    courier_note_lane(courier, recipient.lane, task->now_ms);
    return ERR_OK;
}

static enum err add_report(struct courier *courier, struct task *task,
                           const struct queue_message *message,
                           const struct report_recipient *recipients, size_t count)
{
    /* The reporter is of the domain whose mail this is: the sender's, or the alias's. */
    struct str ours =
        domain_of(message->source == QUEUE_SUBMISSION ? message->sender : recipients[0].address);
    CLEANUP(buf_free) struct buf original;
    CLEANUP(buf_free) struct buf out;
    struct report_text text;
    struct id name = id_random();
    struct report report = {
        .hostname = courier->options.hostname,
        .from = arena_printf(&task->arena, "postmaster@%.*s", STR_ARG(ours)),
        .to = message->sender,
        .name = id_str(&name),
        .envid = message->envid,
        .arrived_ms = message->received_ms,
        .now_ms = task->now_ms,
        .retry_until_ms = message->received_ms + courier->options.schedule.lifetime_ms,
        /* What was to travel encrypted only does not come back otherwise (RFC 8689 §4.2). */
        .is_full = str_equal_nocase(message->ret, STR("FULL")) && !message->require_tls,
        .recipients = recipients,
        .recipient_count = count,
    };
    struct queue_message own = {.source = QUEUE_REPORT, .received_ms = task->now_ms};
    enum err err;

    buf_init(&original, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    err = queue_content(courier->queue, task, message->id, &original);
    if (err == ERR_CORRUPT)
        task_forgive(task); /* then the report comes without it */
    else if (err != ERR_OK)
        return err;
    report.message = err == ERR_OK ? trace_without_return_path(buf_str(&original)) : STR("");
    report_write(&report, &out, &text);
    own.trace = report.name;
    own.body = text.is_8bit ? STR("8BITMIME") : STR("7BIT");
    own.is_utf8 = text.is_utf8;
    return courier_add_own(courier, task, &own, buf_str(&out), message->sender);
}

enum err courier_tell(struct courier *courier, struct task *task,
                      const struct queue_message *message, enum courier_news_kind kind,
                      const struct courier_told *told, size_t count)
{
    struct report_recipient *recipients =
        ARENA_ARRAY(&task->arena, struct report_recipient, count + 1);
    size_t wanted = 0;

    for (size_t i = 0; i < count; i++) {
        if (is_wanted(message, told[i].recipient, kind))
            recipients[wanted++] = told_of(task, &told[i], kind);
    }
    return wanted == 0 ? ERR_OK : add_report(courier, task, message, recipients, wanted);
}

/* --- Verdicts --- */

static int64_t wait_ms(const struct courier *courier, const struct queue_message *message,
                       const struct queue_recipient *recipient,
                       const struct courier_verdict *verdict, int64_t now_ms)
{
    const struct schedule *schedule = &courier->options.schedule;
    int64_t wait = schedule_wait_ms(schedule, recipient->attempts, random_below(UINT32_MAX));
    int64_t left = message->received_ms + schedule->lifetime_ms - now_ms;

    if (verdict->wait_ms > wait)
        wait = verdict->wait_ms;
    /* The last attempt is at the end of its time, not somewhere before it. */
    return left > 0 && wait > left ? left : wait;
}

static struct str lifetime_words(struct courier *courier, struct task *task, struct str words)
{
    int64_t hours = courier->options.schedule.lifetime_ms / (60 * 60 * 1000);

    if (hours >= 48)
        return arena_printf(&task->arena, "Tried for %lld days; the last time: %.*s",
                            (long long)(hours / 24), STR_ARG(words));
    return arena_printf(&task->arena, "Tried for %lld hours; the last time: %.*s", (long long)hours,
                        STR_ARG(words));
}

/* What a recipient becomes; which news it is, or none. */
static bool judge(struct courier *courier, struct task *task, const struct queue_message *message,
                  struct queue_recipient *r, struct courier_verdict *verdict,
                  enum courier_news_kind *out_kind)
{
    const struct schedule *schedule = &courier->options.schedule;
    int64_t age_ms = task->now_ms - message->received_ms;

    r->status = verdict->status;
    r->words = verdict->words;
    switch (verdict->ending) {
    case ENDING_DELIVERED:
    case ENDING_RELAYED:
    case ENDING_HANDED:
        r->attempts++;
        r->state = QUEUE_DONE;
        *out_kind = TELL_SUCCESS;
        return verdict->ending != ENDING_RELAYED;
    case ENDING_PERMANENT:
        r->attempts++;
        r->state = QUEUE_FAILED;
        *out_kind = TELL_FAILURE;
        return true;
    case ENDING_POSTPONED:
        if (age_ms < schedule->lifetime_ms) {
            r->state = QUEUE_WAITING;
            r->next_ms = task->now_ms + COURIER_POSTPONED_MS + random_below(COURIER_POSTPONED_MS);
            return false;
        }
        break;
    case ENDING_TEMPORARY:
        r->attempts++;
        break;
    }
    if (age_ms >= schedule->lifetime_ms) {
        r->state = QUEUE_FAILED;
        verdict->status = r->status = STR("4.4.7");
        verdict->words = r->words = lifetime_words(courier, task, verdict->words);
        *out_kind = TELL_FAILURE;
        return true;
    }
    r->state = QUEUE_WAITING;
    r->next_ms = task->now_ms + wait_ms(courier, message, r, verdict, task->now_ms);
    *out_kind = TELL_DELAY;
    if (r->is_delay_told || schedule->delay_notice_ms <= 0 || age_ms < schedule->delay_notice_ms)
        return false;
    r->is_delay_told = true;
    return true;
}

static void log_attempt(const struct courier *courier, const struct queue_message *message,
                        const struct queue_recipient *r, const struct courier_verdict *verdict)
{
    log_info(courier->log, "attempt ended queue=%.*s trace=%.*s kind=%s state=%s status=%.*s",
             STR_ARG(message->name), STR_ARG(message->trace), queue_kind_name(r->kind),
             queue_state_name(r->state), STR_ARG(verdict->status));
    log_debug(courier->log, "attempt ended queue=%.*s to=%.*s said=%.*s", STR_ARG(message->name),
              STR_ARG(r->address), STR_ARG(verdict->words));
}

/*
 * A webhook that failed for good matters to the sender only when nothing else of the alias has the
 * message: no mailbox, no other target that took it or may still.
 */
static enum err is_lost(struct courier *courier, struct task *task, const struct queue_recipient *r,
                        bool *out_is_lost)
{
    struct queue_recipient *all;
    size_t count;

    *out_is_lost = !r->is_stored;
    if (r->kind != QUEUE_WEBHOOK || r->is_stored)
        return ERR_OK;
    TRY(queue_recipients(courier->queue, task, r->message_id, &all, &count));
    for (size_t i = 0; i < count; i++) {
        bool is_other = all[i].id != r->id && str_equal_nocase(all[i].alias, r->alias) &&
                        all[i].kind != QUEUE_VACATION && all[i].kind != QUEUE_NOTICE;

        if (is_other && all[i].state != QUEUE_FAILED)
            *out_is_lost = false;
    }
    return ERR_OK;
}

static enum err after_failure(struct courier *courier, struct task *task,
                              const struct queue_recipient *r,
                              const struct courier_verdict *verdict, bool *out_is_told)
{
    bool is_lost_now = true;

    if (verdict->is_refused && r->kind == QUEUE_REMOTE)
        TRY(memory_suppress(courier->queue, task, r->address, verdict->status, verdict->words,
                            courier->options.suppress_ms));
    if (r->kind == QUEUE_WEBHOOK)
        TRY(is_lost(courier, task, r, &is_lost_now));
    *out_is_told = is_lost_now;
    return ERR_OK;
}

/* One recipient; `news` gets what there is to tell. */
struct news {
    struct courier_told *told[3];
    size_t count[3];
};

static enum err record_one(struct courier *courier, struct task *task, struct courier_job *job,
                           size_t at, struct news *news)
{
    struct queue_recipient *r = ARENA_NEW(&task->arena, struct queue_recipient);
    struct courier_verdict verdict = {.ending = ENDING_POSTPONED, .status = STR("4.3.0")};
    enum courier_news_kind kind = TELL_FAILURE;
    enum err err = queue_recipient(courier->queue, task, job->recipients[at].id, r);
    bool is_news;

    if (err == ERR_NOT_FOUND) { /* an operator deleted it meanwhile */
        task_forgive(task);
        return ERR_OK;
    }
    TRY(err);
    if (at < job->count)
        verdict = job->verdicts[at];
    is_news = judge(courier, task, &job->message, r, &verdict, &kind);
    TRY(queue_update(courier->queue, task, r));
    log_attempt(courier, &job->message, r, &verdict);
    if (r->state == QUEUE_WAITING)
        courier_note_lane(courier, r->lane, r->next_ms);
    if (r->state == QUEUE_DONE)
        TRY(courier_note_sent(courier, task, job, r));
    if (r->state == QUEUE_FAILED)
        TRY(after_failure(courier, task, r, &verdict, &is_news));
    if (is_news)
        news->told[kind][news->count[kind]++] = (struct courier_told){r, verdict};
    return ERR_OK;
}

/* An alias of ours leads on: its targets belong to the message from now on. */
static enum err lead_on(struct courier *courier, struct task *task, struct courier_job *job)
{
    const struct queue_recipient *r = &job->recipients[0];
    struct courier_origin origin = {
        .message_id = r->message_id,
        .alias = r->address,
        .written = r->written,
        .orcpt = r->orcpt,
        .notify = r->notify,
        .depth = r->depth + 1,
        .is_stored = job->has_mailbox,
        .is_loop = trace_was_delivered_to(buf_str(&job->content), r->address),
    };

    return courier_add_routes(courier, task, &origin, job->routes, job->route_count);
}

enum err courier_record(struct courier *courier, struct task *task, struct courier_job *job)
{
    size_t total = job->count + job->others_back;
    struct news news = {0};
    struct queue_message message;
    bool is_finished;
    enum err err = queue_message(courier->queue, task, job->message.id, &message);

    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
        return ERR_OK;
    }
    TRY(err);
    for (size_t i = 0; i < ARRAY_LEN(news.told); i++)
        news.told[i] = ARENA_ARRAY(&task->arena, struct courier_told, total);
    for (size_t i = 0; i < total; i++)
        TRY(record_one(courier, task, job, i, &news));
    if (job->route_count > 0)
        TRY(lead_on(courier, task, job));
    if (job->wants_reply)
        TRY(courier_reply(courier, task, job));
    if (job->is_newly_signed)
        TRY(queue_set_signatures(courier->queue, task, job->message.id, buf_str(&job->fields)));
    for (size_t i = 0; i < ARRAY_LEN(news.told); i++)
        TRY(courier_tell(courier, task, &message, (enum courier_news_kind)i, news.told[i],
                         news.count[i]));
    return queue_finish(courier->queue, task, job->message.id, &is_finished);
}
