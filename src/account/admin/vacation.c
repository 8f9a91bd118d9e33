/* `sealpost alias vacation …`: the reply to those who write while the owner is away. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

#include "base/ascii.h"
#include "base/clock.h"

/* time = date / ISO 8601 with milliseconds, as dates are shown; a date is its first moment, UTC. */
static enum err argument_time(struct admin_request *request, const char *name, int64_t *out_ms)
{
    struct str text = admin_argument_text(request, name);
    struct str whole = text;

    if (text.len == 0)
        return ERR_OK;
    if (str_index(text, 'T') < 0)
        whole = arena_printf(&request->task.arena, "%.*sT00:00:00.000Z", STR_ARG(text));
    if (clock_parse_iso(whole, out_ms))
        return ERR_OK;
    admin_hint(request, "Write it as 2026-12-24, or 2026-12-24T18:00:00.000Z (UTC).");
    return admin_refuse(request, ERR_INVALID, "\"%.*s\" is not a time.", STR_ARG(text));
}

static void put_time(json_t *object, const char *name, int64_t ms)
{
    char text[CLOCK_ISO_ROOM];

    if (ms == INT64_MIN || ms == INT64_MAX) {
        json_object_set_new(object, name, json_null());
        return;
    }
    clock_format_iso(ms, text);
    json_object_set_new(object, name, json_string(text));
}

static void put_vacation(struct admin_request *request, const struct account_alias *alias,
                         const struct account_vacation *vacation)
{
    admin_put_text(request->reply, "address", admin_alias_name(request, alias));
    admin_put_text(request->reply, "subject", vacation->subject);
    admin_put_text(request->reply, "text", vacation->text);
    put_time(request->reply, "start", vacation->starts_ms);
    put_time(request->reply, "until", vacation->ends_ms);
}

/* It goes into a field of one line, and the courier takes nothing else. */
static bool is_one_line(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (ascii_is_control(text.ptr[i]))
            return false;
    }
    return true;
}

enum err admin_vacation_on(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_vacation vacation = {
        .subject = admin_argument_text(request, "subject"),
        .text = admin_argument_text(request, "text"),
        .starts_ms = INT64_MIN,
        .ends_ms = INT64_MAX,
    };
    struct account_alias alias;

    TRY(argument_time(request, "start", &vacation.starts_ms));
    TRY(argument_time(request, "until", &vacation.ends_ms));
    if (vacation.ends_ms <= vacation.starts_ms)
        return admin_refuse(request, ERR_INVALID, "It would end before it begins.");
    if (vacation.ends_ms <= request->task.now_ms)
        return admin_refuse(request, ERR_INVALID,
                            "That is over already: nobody would be answered.");
    if (!is_one_line(vacation.subject))
        return admin_refuse(request, ERR_INVALID, "A subject is one line.");
    if (vacation.subject.len > ACCOUNT_VACATION_SUBJECT_MAX ||
        vacation.text.len > ACCOUNT_VACATION_TEXT_MAX)
        return admin_refuse(request, ERR_LIMIT, "A subject has at most %d bytes, a text %d.",
                            ACCOUNT_VACATION_SUBJECT_MAX, ACCOUNT_VACATION_TEXT_MAX);
    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_begin(database, &request->task));
    TRY(account_vacation_set(database, &request->task, alias.row, &vacation));
    TRY(account_commit(database, &request->task));
    admin_say(request, "Those who write to %.*s are answered, once in four days each.",
              STR_ARG(admin_alias_name(request, &alias)));
    put_vacation(request, &alias, &vacation);
    return ERR_OK;
}

enum err admin_vacation_off(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_alias alias;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_begin(database, &request->task));
    TRY(account_vacation_remove(database, &request->task, alias.row));
    TRY(account_commit(database, &request->task));
    admin_put_text(request->reply, "address", admin_alias_name(request, &alias));
    admin_say(request, "Nobody is answered any more.");
    return ERR_OK;
}

enum err admin_vacation_show(struct admin_request *request)
{
    struct account_vacation vacation;
    struct account_alias alias;
    enum err err;

    TRY(admin_find_alias(request, "address", &alias));
    err = account_vacation_find(request->admin->database, &request->task, alias.row, &vacation);
    if (err == ERR_NOT_FOUND)
        return admin_refuse(request, err, "%.*s answers nobody.",
                            STR_ARG(admin_alias_name(request, &alias)));
    TRY(err);
    put_vacation(request, &alias, &vacation);
    return ERR_OK;
}
