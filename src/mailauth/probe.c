/* `sealpost probe`. */
#include "mailauth/probe.h"

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "mailauth/mailauth.h"
#include "mailauth/spf.h"
#include "mailauth/tags.h"
#include "mailauth/zone.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

static void json_free(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

/* A member's text; what is not there is empty. ERR_INVALID: it is not a text. */
static enum err text_member(struct task *task, const json_t *request, const char *name,
                            struct str *out)
{
    const json_t *value = json_object_get(request, name);

    *out = STR("");
    if (value == NULL || json_is_null(value))
        return ERR_OK;
    if (!json_is_string(value))
        return fail(task, ERR_INVALID, "%s is not a text", name);
    *out = str_make(json_string_value(value), json_string_length(value));
    return ERR_OK;
}

static json_t *json_text(struct str text)
{
    json_t *json = json_stringn(text.ptr == NULL ? "" : text.ptr, text.len);

    return json != NULL ? json : json_string("?"); /* not UTF-8 */
}

static json_t *json_result(enum mailauth_result result)
{
    return json_string(mailauth_result_name(result));
}

/* Seconds, with or without a fraction; the clock's when there are none. */
static enum err read_now(struct task *task, const json_t *request, int64_t *out_ms)
{
    const json_t *now = json_object_get(request, "now");
    double seconds = json_number_value(now);

    *out_ms = clock_now_ms();
    if (now == NULL || json_is_null(now))
        return ERR_OK;
    if (!json_is_number(now) || !(seconds >= 0 && seconds <= 1e11))
        return fail(task, ERR_INVALID, "now is not a time");
    *out_ms = json_is_integer(now) ? json_integer_value(now) * 1000 : (int64_t)(seconds * 1000);
    return ERR_OK;
}

struct probe {
    struct str client, helo, sender;
    struct mailauth_zone zone;
    struct dns_source dns;
    int64_t now_ms;
};

static enum err read_common(struct task *task, const json_t *request, struct probe *out)
{
    static const char no_zone[] = "zone is missing";

    TRY(text_member(task, request, "ip", &out->client));
    TRY(text_member(task, request, "helo", &out->helo));
    TRY(text_member(task, request, "mailfrom", &out->sender));
    TRY(read_now(task, request, &out->now_ms));
    if (json_object_get(request, "zone") == NULL)
        return fail(task, ERR_INVALID, "%s", no_zone);
    TRY(mailauth_zone_init(task, json_object_get(request, "zone"), &out->zone));
    out->dns = mailauth_zone_source(&out->zone);
    return ERR_OK;
}

static enum err probe_spf(struct task *task, const json_t *request, struct probe *probe,
                          json_t *answer)
{
    struct mailauth_lookup lookup = {&probe->dns, 0};
    struct mailauth_spf_request spf = {
        .client = probe->client,
        .helo = probe->helo,
        .sender = probe->sender,
        .now_ms = probe->now_ms,
        .wants_explanation = json_is_true(json_object_get(request, "explain")),
    };
    struct mailauth_spf_result result;

    mailauth_spf_check(task, &lookup, &spf, &result);
    json_object_set_new(answer, "spf", json_result(result.result));
    if (spf.wants_explanation)
        json_object_set_new(answer, "explanation", json_text(result.explanation));
    return ERR_OK;
}

/* Suites write messages with any line ends: a bare LF is one, as if a mail program had sent it. */
static struct str with_crlf(struct task *task, struct str message)
{
    CLEANUP(buf_free) struct buf text;
    struct str rest = message, line;

    buf_init(&text, SIZE_MAX);
    while (str_split(&rest, '\n', &line)) {
        buf_put(&text, line);
        if (rest.ptr != NULL)
            buf_put(&text, str_ends_with(line, STR("\r")) ? STR("\n") : STR("\r\n"));
    }
    return arena_copy(&task->arena, buf_str(&text));
}

static json_t *json_signatures(const struct mailauth_verdict *verdict)
{
    json_t *list = json_array();

    for (size_t i = 0; i < verdict->signature_count; i++) {
        const struct mailauth_signature *signature = &verdict->signatures[i];
        json_t *entry = json_object();

        json_object_set_new(entry, "d", json_text(signature->domain));
        json_object_set_new(entry, "s", json_text(signature->selector));
        json_object_set_new(entry, "result", json_result(signature->result));
        if (signature->reason != NULL)
            json_object_set_new(entry, "reason", json_string(signature->reason));
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *json_removals(const struct mailauth_verdict *verdict)
{
    json_t *list = json_array();

    for (size_t i = 0; i < verdict->removal_count; i++)
        json_array_append_new(list, json_pack("[ii]", (int)verdict->removals[i].start,
                                              (int)verdict->removals[i].len));
    return list;
}

static enum err probe_message(struct task *task, const json_t *request, struct probe *probe,
                              json_t *answer)
{
    static const char *const policies[] = {
        [MAILAUTH_POLICY_NONE] = "none",
        [MAILAUTH_POLICY_QUARANTINE] = "quarantine",
        [MAILAUTH_POLICY_REJECT] = "reject",
        [MAILAUTH_POLICY_UNKNOWN] = "none",
    };
    struct mailauth_request message = {
        /* Without an address only SPF has nothing to say: an empty one means that a client is
           believed. */
        .client = probe->client.len > 0 ? probe->client : STR("unknown"),
        .helo = probe->helo,
        .sender = probe->sender,
        .now_ms = probe->now_ms,
    };
    struct mailauth_verdict verdict;
    struct str encoded;

    TRY(text_member(task, request, "message", &encoded));
    TRY(text_member(task, request, "authserv", &message.authserv));
    if (!mailauth_base64(&task->arena, encoded, &message.message))
        return fail(task, ERR_INVALID, "message is not base64");
    message.message = with_crlf(task, message.message);
    mailauth_examine(task, &message, &probe->dns, &verdict);
    json_object_set_new(answer, "spf", json_result(verdict.spf));
    json_object_set_new(answer, "dkim", json_signatures(&verdict));
    json_object_set_new(answer, "dmarc", json_result(verdict.dmarc));
    json_object_set_new(answer, "policy", json_string(policies[verdict.dmarc_published]));
    json_object_set_new(answer, "arc", json_result(verdict.arc));
    if (message.authserv.len > 0) {
        json_object_set_new(answer, "field", json_text(verdict.field));
        json_object_set_new(answer, "removals", json_removals(&verdict));
    }
    return ERR_OK;
}

static const struct {
    const char *op;
    enum err (*run)(struct task *task, const json_t *request, struct probe *probe, json_t *answer);
} operations[] = {
    {"spf", probe_spf},
    {"message", probe_message},
};

static enum err run(struct task *task, struct str line, json_t *answer)
{
    CLEANUP(json_free)
    json_t *request = json_loadb(line.ptr == NULL ? "" : line.ptr, line.len, JSON_ALLOW_NUL, NULL);
    struct probe probe = {0};
    struct str op;

    if (!json_is_object(request))
        return fail(task, ERR_INVALID, "not a JSON object");
    TRY(text_member(task, request, "op", &op));
    for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
        if (!str_equal(op, str_from_c(operations[i].op)))
            continue;
        TRY(read_common(task, request, &probe));
        return operations[i].run(task, request, &probe, answer);
    }
    return fail(task, ERR_INVALID, "no such op");
}

void mailauth_probe_line(struct task *task, struct str line, struct buf *out)
{
    CLEANUP(json_free) json_t *answer = json_object();
    char *text;

    if (run(task, line, answer) != ERR_OK) {
        json_object_clear(answer);
        json_object_set_new(answer, "error", json_string(task->words));
    }
    text = json_dumps(answer, JSON_COMPACT);
    if (text == NULL)
        abort(); /* out of memory */
    buf_put(out, str_from_c(text));
    buf_put(out, STR("\n"));
    free(text);
}

static enum err answer_line(struct str line, int out_fd)
{
    CLEANUP(buf_free) struct buf out;
    struct task task;
    enum err err;

    buf_init(&out, SIZE_MAX);
    task_init(&task, clock_now_ms());
    if (line.len > MAILAUTH_PROBE_LINE_MAX)
        buf_put(&out, STR("{\"error\":\"a line that is too long\"}\n"));
    else
        mailauth_probe_line(&task, line, &out);
    task_forgive(&task);
    err = fd_write_all(&task, out_fd, buf_str(&out));
    task_done(&task);
    return err;
}

/* Lines of what was read so far. Of a line that is too long the beginning is kept, for its length.
 */
static enum err answer_lines(struct buf *in, int out_fd)
{
    ptrdiff_t end;

    while ((end = str_index(buf_str(in), '\n')) >= 0) {
        struct str line = str_upto(buf_str(in), (size_t)end);

        if (str_trim(line).len > 0)
            TRY(answer_line(line, out_fd));
        buf_consume(in, (size_t)end + 1);
    }
    buf_truncate(in, MAILAUTH_PROBE_LINE_MAX + 1);
    return ERR_OK;
}

enum err mailauth_probe(int in_fd, int out_fd)
{
    CLEANUP(buf_free) struct buf in;
    ssize_t count;
    char *room;

    buf_init(&in, SIZE_MAX);
    for (;;) {
        TRY(buf_reserve(&in, READ_BYTES, &room));
        count = read(in_fd, room, READ_BYTES);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return ERR_IO;
        if (count == 0)
            break;
        buf_commit(&in, (size_t)count);
        if (memchr(room, '\n', (size_t)count) != NULL)
            TRY(answer_lines(&in, out_fd));
        else
            buf_truncate(&in, MAILAUTH_PROBE_LINE_MAX + 1);
    }
    return str_trim(buf_str(&in)).len > 0 ? answer_line(buf_str(&in), out_fd) : ERR_OK;
}
