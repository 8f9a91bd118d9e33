#include "account/routes.h"

#include "base/clock.h"
#include "base/memory.h"

#include <jansson.h>
#include <string.h>

static void put_text(json_t *object, const char *name, struct str text)
{
    json_object_set_new(object, name, json_stringn(text.ptr, text.len));
}

static json_t *route(json_t *routes, const char *kind)
{
    json_t *object = json_object();

    json_object_set_new(object, "kind", json_string(kind));
    json_array_append_new(routes, object);
    return object;
}

/* The array's text; empty for an empty one. Frees it. */
static struct str text_of(struct task *task, json_t *routes)
{
    struct str text = STR("");
    char *dumped = json_array_size(routes) == 0 ? NULL : json_dumps(routes, JSON_COMPACT);

    if (dumped != NULL) {
        text = arena_copy(&task->arena, str_from_c(dumped));
        mem_wipe(dumped, strlen(dumped)); /* a webhook's secret */
        mem_free(&dumped);
    }
    json_decref(routes);
    return text;
}

static enum err put_forward(struct task *task, json_t *routes,
                            const struct account_target_row *target,
                            const struct account_resolution *resolution,
                            const struct account_destination *destination)
{
    struct account_forward forward;
    struct str text = target->text;
    json_t *object;

    if (resolution->alias.is_pattern)
        TRY(account_pattern_expand(task, target->text, &resolution->captures,
                                   resolution->group_count, ACCOUNT_TARGET_TEXT_MAX, &text));
    TRY(account_target_resolve(task, text, destination, &forward));
    object = route(routes, "forward");
    put_text(object, "to", forward.to);
    if (forward.via.len > 0)
        put_text(object, "via", forward.via);
    return ERR_OK;
}

static void put_webhook(json_t *routes, const struct account_target_row *target)
{
    json_t *object = route(routes, "webhook");

    put_text(object, "url", target->text);
    put_text(object, "secret", target->secret);
    json_object_set_new(object, "raw", json_boolean(target->is_raw));
}

/* The alias answers with its own address; a catch-all or pattern with the one that was written to. */
static struct str answering_address(struct task *task,
                                    const struct account_resolution *resolution,
                                    const struct account_destination *destination)
{
    const struct account_alias *alias = &resolution->alias;

    if (resolution->match == ACCOUNT_MATCH_ALIAS || resolution->match == ACCOUNT_MATCH_DETAIL)
        return account_address_text(task, alias->local, alias->domain_name);
    return arena_printf(&task->arena, "%.*s@%.*s", STR_ARG(destination->local),
                        STR_ARG(destination->domain));
}

static enum err put_vacation(struct account_database *database, struct task *task, json_t *routes,
                             const struct account_resolution *resolution,
                             const struct account_destination *destination)
{
    struct account_vacation vacation;
    enum err err = account_vacation_find(database, task, resolution->alias.row, &vacation);
    json_t *object;

    if (err == ERR_NOT_FOUND) {
        task_forgive(task);
        return ERR_OK;
    }
    TRY(err);
    if (task->now_ms < vacation.starts_ms || task->now_ms >= vacation.ends_ms)
        return ERR_OK;
    object = route(routes, "vacation");
    put_text(object, "from", answering_address(task, resolution, destination));
    put_text(object, "subject", vacation.subject);
    put_text(object, "text", vacation.text);
    if (vacation.ends_ms != INT64_MAX) {
        char until[CLOCK_ISO_ROOM];

        clock_format_iso(vacation.ends_ms, until);
        json_object_set_new(object, "until", json_string(until));
    }
    return ERR_OK;
}

static enum err fill(struct account_database *database, struct task *task, json_t *routes,
                     const struct account_resolution *resolution,
                     const struct account_destination *destination)
{
    struct account_target_row *targets;
    size_t count;

    TRY(account_target_list(database, task, resolution->alias.row, &targets, &count));
    for (size_t i = 0; i < count; i++) {
        if (targets[i].kind == ACCOUNT_TARGET_FORWARD)
            TRY(put_forward(task, routes, &targets[i], resolution, destination));
        else
            put_webhook(routes, &targets[i]);
    }
    return put_vacation(database, task, routes, resolution, destination);
}

enum err account_routes(struct account_database *database, struct task *task,
                        const struct account_resolution *resolution,
                        const struct account_destination *destination, struct str *out_routes)
{
    json_t *routes;
    enum err err;

    *out_routes = STR("");
    if (!resolution->alias.has_routes)
        return ERR_OK;
    routes = json_array();
    err = fill(database, task, routes, resolution, destination);
    if (err != ERR_OK) {
        json_decref(routes);
        return err;
    }
    *out_routes = text_of(task, routes);
    return ERR_OK;
}

struct str account_routes_return(struct task *task, struct str to)
{
    json_t *routes = json_array();

    put_text(route(routes, "return"), "to", to);
    return text_of(task, routes);
}
