/*
 * Reports of other servers that come in later for what our users sent (RFC 3464): an address that
 * turned out not to exist is spared from then on, just as if its server had said so at once.
 *
 * Anybody can write a report, so it counts only for what we know that we sent: for some days the
 * queue remembers, as keyed digests and nothing else, which message went from whom to whom. Who did
 * not get the message, or hear from one who did, cannot name it.
 */
#include "courier/state.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "courier/report.h"
#include "courier/trace.h"

#include <jansson.h>

static const int64_t REMEMBERED_MS = 10LL * 24 * 3600 * 1000; /* a peer's own queue, and more */
enum { FAILURES_MAX = 50, ID_MAX = 998 };

/* --- What was sent --- */

static void put_lower(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        buf_putf(out, "%c", ascii_lower(text.ptr[i]));
    buf_put(out, STR("\n"));
}

static void digest_of(const struct courier *courier, struct str sender, struct str recipient,
                      const char *kind, struct str id, unsigned char out[static CRYPT_HASH_BYTES])
{
    CLEANUP(buf_free) struct buf data;

    buf_init(&data, SIZE_MAX);
    put_lower(&data, sender);
    put_lower(&data, recipient);
    buf_putf(&data, "%s%.*s", kind, STR_ARG(id));
    crypt_hash(secret_str(courier->root), STR("queue-sent"), buf_str(&data), out);
}

static bool message_id(struct str content, struct str *out)
{
    struct str value;
    ptrdiff_t end;

    if (!trace_field(content, STR("Message-ID"), &value) || str_index(value, '<') != 0)
        return false;
    end = str_index(value, '>');
    *out = str_upto(value, (size_t)(end + 1));
    return end > 0 && out->len <= ID_MAX;
}

/* Each by which a report may name it. */
enum err courier_note_sent(struct courier *courier, struct task *task,
                           const struct courier_job *job, const struct queue_recipient *recipient)
{
    const struct queue_message *message = &job->message;
    unsigned char digest[CRYPT_HASH_BYTES];
    CLEANUP(buf_free) struct buf envid;
    struct str id;
    bool is_first;

    buf_init(&envid, SIZE_MAX);
    if (message->source != QUEUE_SUBMISSION || recipient->kind != QUEUE_REMOTE ||
        message->sender.len == 0 || courier->options.suppress_ms <= 0)
        return ERR_OK;
    if (message_id(buf_str(&job->content), &id)) {
        digest_of(courier, message->sender, recipient->address, "id ", id, digest);
        TRY(memory_accept_note(courier->queue, task, digest, REMEMBERED_MS, &is_first));
    }
    if (message->envid.len > 0) {
        report_put_xtext(&envid, message->envid); /* reports have it without */
        digest_of(courier, message->sender, recipient->address, "envid ", buf_str(&envid), digest);
        TRY(memory_accept_note(courier->queue, task, digest, REMEMBERED_MS, &is_first));
    }
    return ERR_OK;
}

/* --- What is said of it --- */

struct claim {
    struct str recipient; /* whom the report is for: the sender of what it is about */
    struct str id, envid;
};

static struct str text_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : STR("");
}

static enum err was_sent(struct courier *courier, struct task *task, const struct claim *claim,
                         struct str address, bool *out_was_sent)
{
    unsigned char digest[CRYPT_HASH_BYTES];

    *out_was_sent = false;
    if (address.len > 0 && claim->id.len > 0) {
        digest_of(courier, claim->recipient, address, "id ", claim->id, digest);
        TRY(memory_accept_find(courier->queue, task, digest, out_was_sent));
    }
    if (!*out_was_sent && address.len > 0 && claim->envid.len > 0) {
        digest_of(courier, claim->recipient, address, "envid ", claim->envid, digest);
        TRY(memory_accept_find(courier->queue, task, digest, out_was_sent));
    }
    return ERR_OK;
}

static enum err take_failure(struct courier *courier, struct task *task, const struct claim *claim,
                             const json_t *failure)
{
    const struct str addresses[] = {text_of(failure, "original"), text_of(failure, "final")};
    struct str status = text_of(failure, "status"), words = text_of(failure, "words");
    bool is_known = false;

    if (!memory_is_hard(status))
        return ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(addresses) && !is_known; i++) {
        TRY(was_sent(courier, task, claim, addresses[i], &is_known));
        if (!is_known)
            continue;
        TRY(memory_suppress(courier->queue, task, addresses[i], status,
                            words.len > 0 ? words : STR("it sent a report of failure"),
                            courier->options.suppress_ms));
        log_info(courier->log, "a report of failure was taken over status=%.*s", STR_ARG(status));
    }
    return ERR_OK;
}

static enum err take_report(struct courier *courier, struct task *task,
                            const struct wire_bounce *body, const json_t *root)
{
    struct claim claim = {body->recipient, text_of(root, "message_id"), text_of(root, "envid")};
    const json_t *failures = json_object_get(root, "failed");

    for (size_t i = 0; i < json_array_size(failures) && i < FAILURES_MAX; i++)
        TRY(take_failure(courier, task, &claim, json_array_get(failures, i)));
    return ERR_OK;
}

/* What cannot be written down now is left out: it saves an attempt, nothing more. */
void courier_on_bounce(struct courier *courier, const struct wire_message *message)
{
    const struct wire_bounce *body = &message->body.bounce;
    json_t *root = json_loadb(body->report.ptr, body->report.len, 0, NULL);
    struct task task;
    enum err err;

    task_init(&task, clock_now_ms());
    if (root == NULL)
        err = fail(&task, ERR_INVALID, "a report that makes no sense");
    else if (courier->queue == NULL || queue_is_broken(courier->queue))
        err = fail(&task, ERR_BUSY, "the queue is not open");
    else
        err = queue_begin(courier->queue, &task);
    if (err == ERR_OK) {
        err = take_report(courier, &task, body, root);
        if (err == ERR_OK)
            err = queue_commit(courier->queue, &task, false);
        else
            queue_rollback(courier->queue);
    }
    if (err != ERR_OK)
        log_failure(courier->log, "a report of failure", &task);
    json_decref(root);
    task_done(&task);
}
