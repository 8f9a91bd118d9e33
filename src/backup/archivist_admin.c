#include "backup/archivist_admin.h"

#include "backup/report.h"
#include "base/clock.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum { REQUESTS_MAX = 4, MAILBOXES_MAX = 200 };

LIST_HEAD(requests, request);

/* A list that is being made, or a destination that is tried. */
struct request {
    struct archivist_admin *admin; /* borrowed */
    struct wire_channel *from;     /* borrowed */
    uint64_t tag;
    json_t *json;                 /* own; the request */
    struct backup_report *report; /* own */
    struct backup_trial *trial;   /* own */
    LIST_ENTRY(request) in_requests;
};

struct archivist_admin {
    const struct log *log; /* borrowed */
    struct requests requests;
    size_t count;
};

struct archivist_admin *archivist_admin_new(const struct log *log)
{
    struct archivist_admin *admin = NEW(struct archivist_admin);

    admin->log = log;
    LIST_INIT(&admin->requests);
    return admin;
}

static void request_free(struct request *request)
{
    LIST_REMOVE(request, in_requests);
    request->admin->count--;
    backup_report_cancel(&request->report);
    backup_trial_cancel(&request->trial);
    json_decref(request->json);
    mem_free(&request);
}

void archivist_admin_free(struct archivist_admin **admin)
{
    if (*admin == NULL)
        return;
    while (!LIST_EMPTY(&(*admin)->requests))
        request_free(LIST_FIRST(&(*admin)->requests));
    mem_free(admin);
}

void archivist_admin_gone(struct archivist_admin *admin, const struct wire_channel *asker)
{
    struct request *request, *next;

    for (request = LIST_FIRST(&admin->requests); request != NULL; request = next) {
        next = LIST_NEXT(request, in_requests);
        if (request->from == asker)
            request_free(request);
    }
}

static void cancel(struct archivist_admin *admin, const struct wire_channel *asker, uint64_t tag)
{
    struct request *request;

    LIST_FOREACH(request, &admin->requests, in_requests)
    {
        if (request->from == asker && request->tag == tag) {
            request_free(request);
            return;
        }
    }
}

/* Takes the reply over. */
static void answer(struct archivist_admin *admin, struct wire_channel *to, uint64_t tag,
                   json_t *reply)
{
    char *text = json_dumps(reply, JSON_COMPACT);
    struct wire_admin_reply body = {.json = str_from_c(text), .is_last = true};

    if (text == NULL || wire_send(to, WIRE_ADMIN_REPLY, tag, &body, NULL, 0) != ERR_OK)
        log_warning(admin->log, "an administrator could not be answered");
    free(text);
    json_decref(reply);
}

static json_t *refusal(const char *status, const char *words)
{
    return json_pack("{s:s, s:s}", "status", status, "message", words);
}

static void on_report(void *owner, json_t *items, const char *words)
{
    struct request *request = owner;
    json_t *reply;

    request->report = NULL;
    if (items != NULL) {
        reply = json_pack("{s:s, s:o}", "status", "ok", "items", items);
        if (json_object_get(request->json, "next") != NULL)
            json_object_set(reply, "next", json_object_get(request->json, "next"));
    } else {
        reply = refusal("failed", words);
    }
    answer(request->admin, request->from, request->tag, reply);
    request_free(request);
}

/* The keeper's, but what is named becomes an object's name. */
static bool are_mailboxes(const json_t *mailboxes)
{
    struct id id;

    if (!json_is_array(mailboxes) || json_array_size(mailboxes) > MAILBOXES_MAX ||
        json_array_size(mailboxes) == 0)
        return false;
    for (size_t i = 0; i < json_array_size(mailboxes); i++) {
        const char *text =
            json_string_value(json_object_get(json_array_get(mailboxes, i), "mailbox"));

        if (text == NULL || !id_parse(str_from_c(text), &id))
            return false;
    }
    return true;
}

static struct request *request_new(struct archivist_admin *admin, struct wire_channel *from,
                                   uint64_t tag, json_t *json)
{
    struct request *request = NEW(struct request);

    request->admin = admin;
    request->from = from;
    request->tag = tag;
    request->json = json;
    LIST_INSERT_HEAD(&admin->requests, request, in_requests);
    admin->count++;
    return request;
}

static void begin_list(struct archivist_admin *admin, const struct archivist_state *state,
                       struct wire_channel *from, uint64_t tag, json_t *json)
{
    const json_t *mailboxes = json_object_get(json, "mailboxes");
    struct request *request;

    if (state->destination == NULL) {
        answer(admin, from, tag, refusal("failed", state->words));
        json_decref(json);
    } else if (!are_mailboxes(mailboxes)) {
        answer(admin, from, tag, json_pack("{s:s, s:[]}", "status", "ok", "items"));
        json_decref(json);
    } else if (admin->count == REQUESTS_MAX) {
        answer(admin, from, tag, refusal("busy", "Other lists are being made."));
        json_decref(json);
    } else {
        request = request_new(admin, from, tag, json);
        request->report =
            backup_report_start(state->destination, mailboxes,
                                json_is_true(json_object_get(json, "details")), on_report, request);
    }
}

/* ---- An owner's own destination ---- */

static struct str text_of(const json_t *json, const char *member)
{
    const json_t *value = json_object_get(json, member);

    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : STR("");
}

/* As account/admin/command.c calls them: a mistake of the owner's is none of the service's. */
static const char *status_of(enum err err)
{
    switch (err) {
    case ERR_OK:
        return "ok";
    case ERR_DENIED:
        return "denied";
    case ERR_NOT_FOUND:
        return "not-found";
    case ERR_INVALID:
        return "invalid";
    case ERR_BUSY:
        return "busy";
    case ERR_LIMIT:
        return "limit";
    case ERR_EXISTS:
    case ERR_CORRUPT:
    case ERR_IO:
        return "failed";
    }
    return "failed";
}

static void on_tried(void *owner, enum err err, const char *words)
{
    struct request *request = owner;
    char message[400];

    request->trial = NULL;
    (void)snprintf(message, sizeof(message), "The destination cannot be used: %s.", words);
    answer(request->admin, request->from, request->tag,
           err == ERR_OK ? json_pack("{s:s}", "status", "ok") : refusal(status_of(err), message));
    request_free(request);
}

static void begin_trial(struct archivist_admin *admin, const struct archivist_state *state,
                        struct wire_channel *from, uint64_t tag, json_t *json)
{
    struct backup_own own = {.place = text_of(json, "place"),
                             .region = text_of(json, "region"),
                             .key_id = text_of(json, "key_id"),
                             .secret = text_of(json, "secret")};
    struct request *request;

    if (state->mirrors == NULL) {
        answer(admin, from, tag, refusal("failed", state->words));
        json_decref(json);
    } else if (!id_parse(text_of(json, "mailbox"), &own.mailbox) || own.place.len == 0 ||
               own.secret.len == 0) {
        answer(admin, from, tag, refusal("failed", "that is no destination"));
        json_decref(json);
    } else if (admin->count == REQUESTS_MAX) {
        answer(admin, from, tag, refusal("busy", "Others are being tried."));
        json_decref(json);
    } else {
        request = request_new(admin, from, tag, json);
        request->trial = backup_mirrors_try(state->mirrors, &own, on_tried, request);
    }
}

/* What the keeper knows of it, and how it goes. */
static void show_own(struct archivist_admin *admin, const struct archivist_state *state,
                     struct wire_channel *from, uint64_t tag, const json_t *json)
{
    const json_t *known = json_object_get(json, "known");
    json_t *reply = json_is_object(known) ? json_deep_copy(known) : json_object();
    struct id mailbox;

    json_object_set_new(reply, "status", json_string("ok"));
    json_object_set_new(reply, "state", json_string("not used: this host makes no backups"));
    if (state->mirrors != NULL && id_parse(text_of(json, "mailbox"), &mailbox))
        backup_mirrors_describe(state->mirrors, &mailbox, reply);
    answer(admin, from, tag, reply);
}

static void put_time(json_t *object, const char *name, int64_t ms)
{
    char text[CLOCK_ISO_ROOM];

    clock_format_iso(ms, text);
    json_object_set_new(object, name, ms == 0 ? json_null() : json_string(text));
}

static json_t *describe(const struct archivist_state *state)
{
    json_t *reply =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "status", "ok", "message",
                  state->destination != NULL ? "Backups are made." : state->words, "running",
                  (json_int_t)state->running, "queued", (json_int_t)state->waiting, "objects",
                  (json_int_t)state->put_count, "bytes", (json_int_t)state->put_bytes, "failures",
                  (json_int_t)state->failed_count, "kept_daily", (json_int_t)state->policy.daily,
                  "kept_hourly", (json_int_t)state->policy.hourly);
    struct backup_mirrors_count own;

    backup_mirrors_count(state->mirrors, &own);
    json_object_set_new(reply, "own_destinations", json_integer((json_int_t)own.all));
    json_object_set_new(reply, "own_destinations_failing", json_integer((json_int_t)own.failing));
    json_object_set_new(reply, "own_destinations_reason", json_string(own.words));
    put_time(reply, "last_object", state->last_put_ms);
    put_time(reply, "last_failure", state->last_failure_ms);
    json_object_set_new(reply, "last_failure_reason", json_string(state->failure));
    return reply;
}

void archivist_admin_message(struct archivist_admin *admin, const struct archivist_state *state,
                             struct wire_channel *from, const struct wire_message *message)
{
    struct str text = message->body.admin.json;
    json_t *json = json_loadb(text.len == 0 ? "" : text.ptr, text.len, 0, NULL);
    const char *command = json_string_value(json_object_get(json, "command"));

    if (command != NULL && strcmp(command, "backup list") == 0) {
        begin_list(admin, state, from, message->tag, json);
        return;
    }
    if (command != NULL && strcmp(command, "backup destination set") == 0) {
        begin_trial(admin, state, from, message->tag, json);
        return;
    }
    if (command != NULL && strcmp(command, "cancel") == 0)
        cancel(admin, from, message->tag);
    else if (command != NULL && strcmp(command, "backup destination show") == 0)
        show_own(admin, state, from, message->tag, json);
    else if (command != NULL && strcmp(command, "backup status") == 0)
        answer(admin, from, message->tag, describe(state));
    else
        answer(admin, from, message->tag, refusal("failed", "no such command"));
    json_decref(json);
}
