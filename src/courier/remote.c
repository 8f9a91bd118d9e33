/*
 * Another server: what goes out in our name is signed first, what an alias forwards goes as it
 * came, our Received fields before it, under a sender by which its bounces find back (SRS).
 */
#include "courier/state.h"

#include "base/clock.h"
#include "courier/trace.h"
#include "mailauth/srs.h"
#include "secret/courier.h"

static void send_away(struct courier_job *job);

/* --- Signatures --- */

static struct str own_message(const struct courier_job *job)
{
    return trace_without_return_path(buf_str(&job->content));
}

static void sign_and_send(struct courier_job *job, struct str domain)
{
    struct courier *courier = job->courier;
    enum err err = signing_sign(courier->signing, &job->task, domain, own_message(job),
                                clock_now_ms(), &job->fields);

    if (err != ERR_OK) { /* unsigned mail is better than none, but an operator must know */
        log_error(courier->log, "signing failed: %s", job->task.words);
        task_forgive(&job->task);
    }
    job->is_newly_signed = true;
    send_away(job);
}

static void on_keys(void *owner, struct wire_message *message)
{
    struct courier_job *job = owner;
    struct courier *courier = job->courier;
    struct str domain = signing_domain_of(&job->task, own_message(job));
    int64_t now_ms = clock_now_ms();

    job->ask = NULL;
    if (message == NULL || message->body.signing_keys_reply.status == WIRE_UNAVAILABLE) {
        courier_job_end_all(job, ENDING_POSTPONED, "4.3.0", STR("The signing keys are not there."));
        return;
    }
    if (signing_keep(courier->signing, &job->task, domain, &message->body.signing_keys_reply,
                     now_ms) != ERR_OK) {
        log_error(courier->log, "%s", job->task.words);
        task_forgive(&job->task);
    }
    sign_and_send(job, domain);
}

static void sign(struct courier_job *job)
{
    struct courier *courier = job->courier;
    struct wire_signing_keys body = {.domain = signing_domain_of(&job->task, own_message(job))};

    if (job->message.is_signed) {
        buf_put(&job->fields, job->message.signatures);
        send_away(job);
    } else if (signing_look_up(courier->signing, body.domain, clock_now_ms()) != SIGNING_UNKNOWN) {
        sign_and_send(job, body.domain);
    } else {
        job->ask =
            asks_send(courier->asks, WIRE_ROLE_KEEPER, WIRE_SIGNING_KEYS, &body, -1, on_keys, job);
        if (job->ask == NULL)
            courier_job_end_all(job, ENDING_POSTPONED, "4.3.0",
                                STR("The signing keys are not there."));
    }
}

/* --- The attempt --- */

static struct courier_verdict verdict_of(struct courier_job *job,
                                         const struct courier_result *result)
{
    struct courier_verdict verdict = {
        .status = arena_copy(&job->task.arena, result->enhanced),
        .words = arena_copy(&job->task.arena, result->words),
        .remote = arena_copy(&job->task.arena, result->remote),
    };

    if (result->code > 0)
        verdict.words = arena_printf(&job->task.arena, "%u %.*s%s%.*s", result->code,
                                     STR_ARG(result->enhanced), result->words.len > 0 ? " " : "",
                                     STR_ARG(result->words));
    switch (result->outcome) {
    case COURIER_DELIVERED:
        verdict.ending = result->passes_dsn ? ENDING_RELAYED : ENDING_HANDED;
        break;
    case COURIER_TEMPORARY:
        verdict.ending = ENDING_TEMPORARY;
        break;
    case COURIER_PERMANENT:
        verdict.ending = ENDING_PERMANENT;
        verdict.is_refused = result->code >= 500 && memory_is_hard(result->enhanced);
        break;
    }
    return verdict;
}

static void on_done(void *owner, const struct courier_result *results, size_t count)
{
    struct courier_job *job = owner;

    job->attempt = NULL;
    for (size_t i = 0; i < count && i < job->count; i++)
        job->verdicts[i] = verdict_of(job, &results[i]);
    courier_job_end(job);
}

static struct str via_of(struct courier_job *job)
{
    struct envelope_route route;

    if (job->recipients[0].kind != QUEUE_FORWARD && job->recipients[0].kind != QUEUE_RETURN)
        return STR("");
    if (envelope_route_parse(&job->task, job->recipients[0].target, &route) == ERR_OK)
        return route.via;
    task_forgive(&job->task);
    return STR("");
}

/* "TLS-Required: No" (RFC 8689 §5), which only a submitter may say. */
static bool is_tls_optional(const struct courier_job *job)
{
    struct str value;

    return trace_field(buf_str(&job->content), STR("TLS-Required"), &value) &&
           str_equal_nocase(value, STR("No"));
}

static struct str domain_of(struct str address)
{
    return str_from(address, (size_t)(str_last_index(address, '@') + 1));
}

static void send_away(struct courier_job *job)
{
    const struct queue_message *message = &job->message;
    struct courier_recipient *recipients =
        ARENA_ARRAY(&job->task.arena, struct courier_recipient, job->count);
    struct courier_request request = {
        .domain = domain_of(job->recipients[0].address),
        .via = via_of(job),
        .sender = job->sender,
        .recipients = recipients,
        .recipient_count = job->count,
        .ret = message->ret,
        .envid = message->envid,
        .require_tls = message->require_tls,
        .tls_optional = is_tls_optional(job),
        .smtputf8 = message->is_utf8,
        .is_8bit = message->body.len > 0 && !str_equal_nocase(message->body, STR("7BIT")),
        .fields = buf_str(&job->fields),
        .message = message->source == QUEUE_ROUTES
                       ? str_from(buf_str(&job->content), message->trace_bytes)
                       : own_message(job),
    };

    for (size_t i = 0; i < job->count; i++)
        recipients[i] = (struct courier_recipient){
            .address = job->recipients[i].address,
            .orcpt = job->recipients[i].orcpt,
            .notify = job->recipients[i].notify,
        };
    job->attempt =
        job->courier->ways->start(job->courier->ways->destinations, &request, on_done, job);
}

/*
 * A forward's fields: where it was delivered to, by which a later visit is known for a circle, and
 * how it came here. The message behind them is untouched, so that its signatures hold.
 */
static void put_forward_fields(struct courier_job *job)
{
    struct str trace = str_upto(buf_str(&job->content), job->message.trace_bytes);

    buf_putf(&job->fields, "Delivered-To: %.*s\r\n", STR_ARG(job->recipients[0].alias));
    trace_put_received(&job->fields, trace);
}

void courier_remote_begin(struct courier_job *job, struct str sender)
{
    job->sender = sender;
    if (job->message.source == QUEUE_ROUTES) {
        put_forward_fields(job);
        send_away(job);
    } else {
        sign(job);
    }
}

/* The sender under which a forward goes out: one of the alias's domain, so that SPF passes. */
struct str courier_forward_sender(struct courier_job *job)
{
    struct str sender = job->message.sender, domain = domain_of(job->recipients[0].alias);
    CLEANUP(buf_free) struct buf rewritten;

    buf_init(&rewritten, SIZE_MAX);
    if (sender.len == 0 || str_equal_nocase(domain_of(sender), domain))
        return sender;
    if (srs_rewrite(&job->task, secret_str(job->courier->srs_key), sender, domain, clock_now_ms(),
                    &rewritten) != ERR_OK) {
        task_forgive(&job->task); /* too long: nobody will hear of a bounce */
        return STR("");
    }
    return arena_copy(&job->task.arena, buf_str(&rewritten));
}
