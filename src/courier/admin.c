/*
 * The administrator's commands about the queue (docs/routes.md). The keeper checked their arguments
 * against its table (account/admin/command.h) and passes them on; the answer is one frame.
 */
#include "courier/state.h"

#include "account/admin/command.h"
#include "base/ascii.h"
#include "base/clock.h"
#include "base/memory.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* A page stays below a frame (WIRE_FRAME_MAX), whatever is in it. */
enum { PAGE = 50, WORDS_SHOWN = 300, ADDRESS_SHOWN = 320 };

struct request {
    struct courier *courier; /* borrowed */
    struct task *task;       /* borrowed */
    json_t *arguments;       /* borrowed from the request's object */
    json_t *reply;           /* own */
};

/* --- JSON --- */

/* What a server said need not be UTF-8, nor what was cut. */
static void put_text(json_t *object, const char *name, struct str text)
{
    CLEANUP(buf_free) struct buf shown;

    buf_init(&shown, SIZE_MAX);
    buf_put(&shown, text);
    for (size_t i = 0; !str_is_utf8(text) && i < shown.len; i++) {
        if (ascii_is_8bit(shown.ptr[i]) || shown.ptr[i] == '\0')
            shown.ptr[i] = '?';
    }
    json_object_set_new(object, name, json_stringn(shown.len == 0 ? "" : shown.ptr, shown.len));
}

static void put_count(json_t *object, const char *name, uint64_t count)
{
    json_object_set_new(object, name, json_integer((json_int_t)count));
}

static void put_time(json_t *object, const char *name, int64_t ms)
{
    char text[CLOCK_ISO_ROOM];

    clock_format_iso(ms, text);
    put_text(object, name, str_from_c(text));
}

static struct str argument(const struct request *request, const char *name)
{
    const json_t *value = json_object_get(request->arguments, name);

    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : STR("");
}

static void say(struct request *request, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(struct request *request, const char *format, ...)
{
    CLEANUP(buf_free) struct buf words;
    va_list args;

    buf_init(&words, SIZE_MAX);
    va_start(args, format);
    if (buf_vprintf(&words, format, args) == ERR_OK)
        put_text(request->reply, "message", buf_str(&words));
    va_end(args);
}

/* --- What the lists say --- */

static void put_recipient(json_t *item, const struct queue_recipient *r)
{
    put_text(item, "state", str_from_c(queue_state_name(r->state)));
    put_text(item, "kind", str_from_c(queue_kind_name(r->kind)));
    put_text(item, "recipient", str_upto(r->address, ADDRESS_SHOWN));
    put_count(item, "attempts", r->attempts);
    put_time(item, "next_attempt", r->next_ms);
    put_text(item, "error", str_upto(r->words, WORDS_SHOWN));
}

static enum err list(struct request *request)
{
    struct queue_entry *entries = ARENA_ARRAY(&request->task->arena, struct queue_entry, PAGE);
    struct str state = argument(request, "state"), after = argument(request, "after");
    json_t *items = json_array();
    size_t count = PAGE;
    int64_t from = 0;

    json_object_set_new(request->reply, "items", items);
    if (state.len > 0 && !str_equal(state, STR("held")) && !str_equal(state, STR("waiting")))
        return fail(request->task, ERR_INVALID, "a state is waiting or held");
    if (after.len > 0 && !parse_i64(after, &from))
        return fail(request->task, ERR_INVALID, "\"after\" is none that was given");
    TRY(queue_list(request->courier->queue, request->task, from, !str_equal(state, STR("held")),
                   !str_equal(state, STR("waiting")), entries, &count));
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_object();

        put_text(item, "id", entries[i].name);
        put_text(item, "sender", str_upto(entries[i].sender, ADDRESS_SHOWN));
        put_recipient(item, &entries[i].recipient);
        json_array_append_new(items, item);
        from = entries[i].recipient.id;
    }
    if (count == PAGE)
        put_text(request->reply, "next",
                 arena_printf(&request->task->arena, "%lld", (long long)from));
    return ERR_OK;
}

static enum err find(struct request *request, struct queue_message *out)
{
    struct str id = argument(request, "id");
    enum err err = queue_message_named(request->courier->queue, request->task, id, out);

    if (err == ERR_NOT_FOUND) {
        say(request, "There is no message \"%.*s\" in the queue.", STR_ARG(str_upto(id, 64)));
        put_text(request->reply, "hint", STR("Those there are: sealpost queue list"));
    }
    return err;
}

/* For people; programs read the members. */
static void put_line(struct buf *out, const struct queue_recipient *r)
{
    char next[CLOCK_ISO_ROOM];

    clock_format_iso(r->next_ms, next);
    buf_putf(out, "%.*s: %s, attempts %llu", STR_ARG(str_upto(r->address, ADDRESS_SHOWN)),
             queue_state_name(r->state), (unsigned long long)r->attempts);
    if (r->state == QUEUE_WAITING)
        buf_putf(out, ", next at %s", next);
    if (r->words.len > 0)
        buf_putf(out, "; %.*s", STR_ARG(str_upto(r->words, WORDS_SHOWN)));
    buf_put(out, STR("\n"));
}

static enum err show(struct request *request)
{
    CLEANUP(buf_free) struct buf lines;
    struct queue_message message;
    struct queue_recipient *rows;
    json_t *items = json_array();
    size_t count;

    buf_init(&lines, SIZE_MAX);
    json_object_set_new(request->reply, "recipients", items);
    TRY(find(request, &message));
    TRY(queue_recipients(request->courier->queue, request->task, message.id, &rows, &count));
    put_text(request->reply, "id", message.name);
    put_text(request->reply, "trace", message.trace);
    put_text(request->reply, "kind", str_from_c(queue_source_name(message.source)));
    put_text(request->reply, "sender", message.sender);
    put_time(request->reply, "received", message.received_ms);
    put_count(request->reply, "size", message.size_bytes);
    put_count(request->reply, "recipient_count", count);
    for (size_t i = 0; i < count && i < PAGE; i++) {
        json_t *item = json_object();

        put_recipient(item, &rows[i]);
        put_text(item, "written", str_upto(rows[i].written, ADDRESS_SHOWN));
        put_text(item, "status", rows[i].status);
        json_array_append_new(items, item);
        put_line(&lines, &rows[i]);
    }
    put_text(request->reply, "message", buf_str(&lines));
    return ERR_OK;
}

/* --- Changes --- */

/* The message's row, 0 for all. */
static enum err target(struct request *request, int64_t *out_row)
{
    struct queue_message message;

    *out_row = 0;
    if (str_equal_nocase(argument(request, "id"), STR("all")))
        return ERR_OK;
    TRY(find(request, &message));
    *out_row = message.id;
    return ERR_OK;
}

static void note_due(void *owner, struct str lane, int64_t due_ms)
{
    courier_note_lane(owner, lane, due_ms);
}

static enum err counted(struct request *request, uint64_t count, const char *done)
{
    put_count(request->reply, "count", count);
    say(request, "%llu %s %s.", (unsigned long long)count,
        count == 1 ? "recipient was" : "recipients were", done);
    return ERR_OK;
}

static enum err retry(struct request *request)
{
    const struct courier_ways *ways = request->courier->ways;
    struct queue *queue = request->courier->queue;
    struct task *task = request->task;
    uint64_t waited, held;
    int64_t row;

    TRY(target(request, &row));
    TRY(queue_hasten(queue, task, row, task->now_ms, &waited));
    TRY(queue_change(queue, task, row, QUEUE_HELD, QUEUE_WAITING, task->now_ms, &held));
    /* Now means now, also for a host that did not answer a moment ago. */
    if (ways != NULL)
        ways->revive(ways->destinations);
    TRY(queue_lanes(queue, task, note_due, request->courier));
    return counted(request, waited + held, "made due now");
}

static enum err hold(struct request *request)
{
    uint64_t count;
    int64_t row;

    TRY(target(request, &row));
    TRY(queue_change(request->courier->queue, request->task, row, QUEUE_WAITING, QUEUE_HELD,
                     request->task->now_ms, &count));
    return counted(request, count, "held");
}

static enum err release(struct request *request)
{
    struct queue *queue = request->courier->queue;
    uint64_t count;
    int64_t row;

    TRY(target(request, &row));
    TRY(queue_change(queue, request->task, row, QUEUE_HELD, QUEUE_WAITING, request->task->now_ms,
                     &count));
    TRY(queue_lanes(queue, request->task, note_due, request->courier));
    return counted(request, count, "released");
}

static enum err delete (struct request *request) {
    struct queue *queue = request->courier->queue; uint64_t removed = 1, count = 1; int64_t row;

    TRY(target(request, &row)); if (row != 0){TRY(queue_remove(queue, request->task, row));}
else
{
    for (count = 0; removed > 0; count += removed)
        TRY(queue_remove_some(queue, request->task, &removed));
}
put_count(request->reply, "count", count);
say(request, "%llu %s deleted; nobody is told.", (unsigned long long)count,
    count == 1 ? "message was" : "messages were");
return ERR_OK;
}

/* --- Suppressions --- */

static enum err suppression_list(struct request *request)
{
    struct memory_suppression *rows =
        ARENA_ARRAY(&request->task->arena, struct memory_suppression, PAGE);
    json_t *items = json_array();
    size_t count = PAGE;

    json_object_set_new(request->reply, "items", items);
    TRY(memory_suppression_list(request->courier->queue, request->task, argument(request, "after"),
                                rows, &count));
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_object();

        put_text(item, "address", str_upto(rows[i].address, ADDRESS_SHOWN));
        put_text(item, "status", rows[i].status);
        put_time(item, "since", rows[i].since_ms);
        put_time(item, "expires", rows[i].expires_ms);
        put_text(item, "reason", str_upto(rows[i].words, WORDS_SHOWN));
        json_array_append_new(items, item);
    }
    if (count == PAGE)
        put_text(request->reply, "next", rows[count - 1].address);
    return ERR_OK;
}

static enum err suppression_clear(struct request *request)
{
    struct str address = argument(request, "address");
    bool is_all = json_is_true(json_object_get(request->arguments, "all"));
    uint64_t count;

    if ((address.len == 0) != is_all)
        return fail(request->task, ERR_INVALID, "name an address, or say --all");
    TRY(memory_suppression_clear(request->courier->queue, request->task, address, &count));
    if (count == 0 && !is_all) {
        say(request, "\"%.*s\" is not suppressed.", STR_ARG(str_upto(address, 256)));
        return ERR_NOT_FOUND;
    }
    put_count(request->reply, "count", count);
    say(request, "%llu %s mail again.", (unsigned long long)count,
        count == 1 ? "address gets" : "addresses get");
    return ERR_OK;
}

/* --- Dispatch --- */

static const struct {
    const char *name;
    enum err (*run)(struct request *request);
} commands[] = {
    {"queue list", list},
    {"queue show", show},
    {"queue retry", retry},
    {"queue hold", hold},
    {"queue release", release},
    {"queue delete", delete},
    {"queue suppression list", suppression_list},
    {"queue suppression clear", suppression_clear},
};

static enum err run(struct request *request, struct str command)
{
    struct courier *courier = request->courier;
    enum err err;

    if (courier->queue == NULL || queue_is_broken(courier->queue))
        return fail(request->task, ERR_BUSY, "the queue is not open yet");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (!str_equal(command, str_from_c(commands[i].name)))
            continue;
        TRY(queue_begin(courier->queue, request->task));
        err = commands[i].run(request);
        if (err == ERR_OK)
            return queue_commit(courier->queue, request->task, true);
        queue_rollback(courier->queue);
        return err;
    }
    return fail(request->task, ERR_INVALID, "there is no such command");
}

static void put_status(struct request *request, enum err err)
{
    for (size_t i = 0; i < admin_status_count; i++) {
        if (admin_statuses[i].err == err)
            put_text(request->reply, "status", str_from_c(admin_statuses[i].name));
    }
    if (json_object_get(request->reply, "message") == NULL && err != ERR_OK)
        say(request, "%s", request->task->words);
}

static void reply(struct request *request, struct wire_channel *channel, uint64_t tag)
{
    char *text = json_dumps(request->reply, JSON_COMPACT);
    struct wire_admin_reply body = {.json = str_from_c(text), .is_last = true};

    if (text == NULL || wire_send(channel, WIRE_ADMIN_REPLY, tag, &body, NULL, 0) != ERR_OK)
        log_warning(request->courier->log, "an administrator's answer could not be sent");
    free(text);
}

void courier_on_admin(struct courier *courier, struct wire_channel *channel,
                      const struct wire_message *message)
{
    struct str text = message->body.admin.json;
    json_t *object = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *command = json_object_get(object, "command");
    struct request request = {.courier = courier,
                              .arguments = json_object_get(object, "arguments"),
                              .reply = json_object()};
    struct task task;
    enum err err;

    if (json_is_string(command) && strcmp(json_string_value(command), "sts policy") == 0) {
        courier_on_look(courier, channel, message->tag, request.arguments);
        json_decref(request.reply);
        json_decref(object);
        return;
    }
    task_init(&task, clock_now_ms());
    request.task = &task;
    err = run(&request, str_make(json_string_value(command), json_string_length(command)));
    if (err != ERR_OK && err != ERR_NOT_FOUND && err != ERR_INVALID)
        log_failure(courier->log, "a command about the queue", &task);
    courier_lanes_publish(courier, err == ERR_OK);
    put_status(&request, err);
    reply(&request, channel, message->tag);
    task_done(&task);
    json_decref(request.reply);
    json_decref(object);
    courier_wake(courier);
}
