#include "courier/envelope.h"

#include "base/clock.h"
#include "base/memory.h"

#include <jansson.h>
#include <stdlib.h>

/* --- Members --- */

/*
 * A text without control characters, for nearly all of them go into SMTP or header lines; those
 * that may have lines are read with is_free.
 */
static enum err text_of(struct task *task, const json_t *object, const char *name, size_t most,
                        bool is_free, struct str *out)
{
    const json_t *value = json_object_get(object, name);
    struct str text;

    *out = STR("");
    if (value == NULL || json_is_null(value))
        return ERR_OK;
    if (!json_is_string(value))
        return fail(task, ERR_INVALID, "envelope: %s is not a text", name);
    text = str_make(json_string_value(value), json_string_length(value));
    if (text.len > most)
        return fail(task, ERR_LIMIT, "envelope: %s is too long", name);
    for (size_t i = 0; i < text.len && !is_free; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return fail(task, ERR_INVALID, "envelope: %s has a control character", name);
    }
    *out = arena_copy(&task->arena, text);
    return ERR_OK;
}

static enum err line_of(struct task *task, const json_t *object, const char *name, struct str *out)
{
    return text_of(task, object, name, ENVELOPE_TEXT_MAX, false, out);
}

static enum err address_of(struct task *task, const json_t *object, const char *name,
                           struct str *out)
{
    return text_of(task, object, name, ENVELOPE_ADDRESS_MAX, false, out);
}

static enum err flag_of(struct task *task, const json_t *object, const char *name, bool *out)
{
    const json_t *value = json_object_get(object, name);

    if (value != NULL && !json_is_boolean(value) && !json_is_null(value))
        return fail(task, ERR_INVALID, "envelope: %s is neither true nor false", name);
    *out = json_is_true(value);
    return ERR_OK;
}

static enum err load(struct task *task, struct str text, json_t **out)
{
    json_error_t error;

    *out = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    if (*out == NULL)
        return fail(task, ERR_INVALID, "envelope: not JSON at byte %d", error.position);
    return ERR_OK;
}

static void unload(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

/* --- Routes --- */

static enum err parse_target(struct task *task, const json_t *object, struct envelope_route *route)
{
    TRY(address_of(task, object, "to", &route->to));
    TRY(address_of(task, object, "via", &route->via));
    if (str_last_index(route->to, '@') <= 0 || str_ends_with(route->to, STR("@")))
        return fail(task, ERR_INVALID, "envelope: a route to no address");
    return ERR_OK;
}

static enum err parse_webhook(struct task *task, const json_t *object, struct envelope_route *route)
{
    TRY(line_of(task, object, "url", &route->url));
    TRY(line_of(task, object, "secret", &route->secret));
    TRY(flag_of(task, object, "raw", &route->is_raw));
    if (route->url.len == 0)
        return fail(task, ERR_INVALID, "envelope: a webhook without an address");
    return ERR_OK;
}

static enum err parse_vacation(struct task *task, const json_t *object,
                               struct envelope_route *route)
{
    struct str until;

    TRY(address_of(task, object, "from", &route->from));
    TRY(line_of(task, object, "subject", &route->subject));
    TRY(text_of(task, object, "text", ENVELOPE_TEXT_MAX, true, &route->text));
    TRY(line_of(task, object, "until", &until));
    route->until_ms = INT64_MAX;
    if (until.len > 0 && !clock_parse_iso(until, &route->until_ms))
        return fail(task, ERR_INVALID, "envelope: until is no date");
    return ERR_OK;
}

static const struct {
    const char *name;
    enum envelope_route_kind kind;
    enum err (*parse)(struct task *task, const json_t *object, struct envelope_route *route);
} route_kinds[] = {
    {"forward", ROUTE_FORWARD, parse_target},
    {"return", ROUTE_RETURN, parse_target},
    {"webhook", ROUTE_WEBHOOK, parse_webhook},
    {"vacation", ROUTE_VACATION, parse_vacation},
};

/* What is stored, and compared to find out that two aliases lead to the same. */
static enum err keep_json(struct task *task, const json_t *object, struct str *out)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);

    if (text == NULL)
        return fail(task, ERR_INVALID, "envelope: a route that is no text");
    *out = arena_copy(&task->arena, str_from_c(text));
    free(text);
    return ERR_OK;
}

static enum err parse_route(struct task *task, const json_t *object, struct envelope_route *out)
{
    struct envelope_route route = {0};
    struct str kind;

    if (!json_is_object(object))
        return fail(task, ERR_INVALID, "envelope: a route that is no object");
    TRY(line_of(task, object, "kind", &kind));
    for (size_t i = 0; i < ARRAY_LEN(route_kinds); i++) {
        if (!str_equal(kind, str_from_c(route_kinds[i].name)))
            continue;
        route.kind = route_kinds[i].kind;
        TRY(route_kinds[i].parse(task, object, &route));
        TRY(keep_json(task, object, &route.json));
        *out = route;
        return ERR_OK;
    }
    return fail(task, ERR_INVALID, "envelope: a route of no known kind");
}

static enum err parse_routes(struct task *task, const json_t *array, struct envelope_route **out,
                             size_t *out_count)
{
    size_t count = json_array_size(array);
    struct envelope_route *routes;

    if (array != NULL && !json_is_array(array) && !json_is_null(array))
        return fail(task, ERR_INVALID, "envelope: routes that are no array");
    if (count > ENVELOPE_ROUTES_MAX)
        return fail(task, ERR_LIMIT, "envelope: too many routes");
    routes = ARENA_ARRAY(&task->arena, struct envelope_route, count + 1);
    for (size_t i = 0; i < count; i++)
        TRY(parse_route(task, json_array_get(array, i), &routes[i]));
    *out = routes;
    *out_count = count;
    return ERR_OK;
}

enum err envelope_routes_parse(struct task *task, struct str json, struct envelope_route **out,
                               size_t *out_count)
{
    CLEANUP(unload) json_t *array = NULL;

    if (json.len == 0) {
        *out = NULL;
        *out_count = 0;
        return ERR_OK;
    }
    TRY(load(task, json, &array));
    return parse_routes(task, array, out, out_count);
}

enum err envelope_route_parse(struct task *task, struct str json, struct envelope_route *out)
{
    CLEANUP(unload) json_t *object = NULL;

    TRY(load(task, json, &object));
    return parse_route(task, object, out);
}

/* --- The envelope --- */

static enum err parse_recipient(struct task *task, const json_t *object,
                                struct envelope_recipient *out)
{
    if (!json_is_object(object))
        return fail(task, ERR_INVALID, "envelope: a recipient that is no object");
    TRY(address_of(task, object, "address", &out->address));
    TRY(address_of(task, object, "orcpt", &out->orcpt));
    TRY(line_of(task, object, "notify", &out->notify));
    TRY(flag_of(task, object, "stored", &out->is_stored));
    TRY(flag_of(task, object, "held_back", &out->is_held_back));
    if (out->address.len == 0)
        return fail(task, ERR_INVALID, "envelope: a recipient without an address");
    return parse_routes(task, json_object_get(object, "routes"), &out->routes, &out->route_count);
}

static enum err parse_recipients(struct task *task, const json_t *array, struct envelope *out)
{
    size_t count = json_array_size(array);

    if (!json_is_array(array) || count == 0)
        return fail(task, ERR_INVALID, "envelope: no recipients");
    if (count > ENVELOPE_RECIPIENTS_MAX)
        return fail(task, ERR_LIMIT, "envelope: too many recipients");
    out->recipients = ARENA_ARRAY(&task->arena, struct envelope_recipient, count);
    out->recipient_count = count;
    for (size_t i = 0; i < count; i++)
        TRY(parse_recipient(task, json_array_get(array, i), &out->recipients[i]));
    return ERR_OK;
}

static enum err parse_texts(struct task *task, const json_t *object, struct envelope *out)
{
    TRY(line_of(task, object, "id", &out->id));
    TRY(line_of(task, object, "mailbox", &out->mailbox));
    TRY(address_of(task, object, "sender", &out->sender));
    TRY(line_of(task, object, "helo", &out->helo));
    TRY(line_of(task, object, "client", &out->client));
    TRY(line_of(task, object, "ret", &out->ret));
    TRY(line_of(task, object, "envid", &out->envid));
    TRY(line_of(task, object, "body", &out->body));
    return text_of(task, object, "auth", ENVELOPE_TEXT_MAX, true, &out->auth);
}

enum err envelope_parse(struct task *task, struct str json, struct envelope *out)
{
    CLEANUP(unload) json_t *object = NULL;
    struct envelope envelope = {0};
    struct str kind;

    TRY(load(task, json, &object));
    if (!json_is_object(object))
        return fail(task, ERR_INVALID, "envelope: no object");
    TRY(line_of(task, object, "kind", &kind));
    envelope.is_submission = str_equal(kind, STR("submission"));
    if (!envelope.is_submission && !str_equal(kind, STR("routes")))
        return fail(task, ERR_INVALID, "envelope: of no known kind");
    TRY(parse_texts(task, object, &envelope));
    TRY(flag_of(task, object, "require_tls", &envelope.require_tls));
    TRY(flag_of(task, object, "smtputf8", &envelope.is_utf8));
    TRY(flag_of(task, object, "may_reply", &envelope.may_reply));
    TRY(flag_of(task, object, "is_junk", &envelope.is_junk));
    TRY(parse_recipients(task, json_object_get(object, "recipients"), &envelope));
    *out = envelope;
    return ERR_OK;
}
