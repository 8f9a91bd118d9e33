/* What handlers ask of a request, and put into its reply. */
#include "account/admin/request.h"

#include "account/pattern.h"
#include "base/ascii.h"
#include "base/buf.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 1024, BACKUP_DAYS_MAX = 36500 };

struct str admin_argument_text(const struct admin_request *request, const char *name)
{
    const json_t *value = json_object_get(request->arguments, name);

    if (!json_is_string(value))
        return STR("");
    return str_make(json_string_value(value), json_string_length(value));
}

bool admin_argument_flag(const struct admin_request *request, const char *name)
{
    return json_is_true(json_object_get(request->arguments, name));
}

static bool parse_size(struct str text, uint64_t *out_bytes)
{
    static const struct {
        char unit;
        unsigned shift;
    } units[] = {{'k', 10}, {'m', 20}, {'g', 30}, {'t', 40}};
    unsigned shift = 0;
    uint64_t value;

    if (str_equal_nocase(text, STR("none"))) {
        *out_bytes = ACCOUNT_UNLIMITED;
        return true;
    }
    for (size_t i = 0; text.len > 0 && i < ARRAY_LEN(units); i++) {
        if (ascii_lower(text.ptr[text.len - 1]) == units[i].unit) {
            shift = units[i].shift;
            text.len--;
            break;
        }
    }
    if (!parse_u64(text, &value) || value > (uint64_t)INT64_MAX >> shift)
        return false;
    *out_bytes = value << shift;
    return true;
}

enum err admin_argument_size(struct admin_request *request, const char *name, uint64_t fallback,
                             uint64_t *out_bytes)
{
    struct str text = admin_argument_text(request, name);

    *out_bytes = fallback;
    if (text.len == 0 || parse_size(text, out_bytes))
        return ERR_OK;
    admin_hint(request, "Write a size as 500M, 10G or 1T, or \"none\".");
    return admin_refuse(request, ERR_INVALID, "\"%.*s\" is not a size.", STR_ARG(text));
}

enum err admin_argument_address(struct admin_request *request, const char *name,
                                struct account_address *out_address)
{
    struct str text = admin_argument_text(request, name);

    if (account_address_parse(&request->task, text, out_address) == ERR_OK)
        return ERR_OK;
    admin_hint(request, "Write an address as someone@example.org.");
    return admin_refuse(request, ERR_INVALID, "\"%.*s\" is not an address.", STR_ARG(text));
}

enum err admin_argument_domain(struct admin_request *request, struct str *out_domain)
{
    struct str text = admin_argument_text(request, "domain");

    if (account_domain_parse(&request->task, text, out_domain) == ERR_OK)
        return ERR_OK;
    admin_hint(request, "Write a domain as example.org.");
    return admin_refuse(request, ERR_INVALID, "\"%.*s\" is not a domain.", STR_ARG(text));
}

/* pattern-alias = "/" regular-expression "/@" domain; the last "@" is the one that counts */
enum err admin_argument_alias(struct admin_request *request, const char *name,
                              struct account_address *out_address, bool *out_is_pattern)
{
    struct str text = admin_argument_text(request, name);
    ptrdiff_t at = str_last_index(text, '@');
    struct account_address address = {.detail = STR("")};

    *out_is_pattern = at > 0 && account_pattern_is_one(str_upto(text, (size_t)at));
    if (!*out_is_pattern)
        return admin_argument_address(request, name, out_address);
    address.local = address.base = str_upto(text, (size_t)at);
    if (account_domain_parse(&request->task, str_from(text, (size_t)at + 1), &address.domain) !=
        ERR_OK)
        return admin_refuse(request, ERR_INVALID, "Behind the last @ of \"%.*s\" is no domain.",
                            STR_ARG(text));
    *out_address = address;
    return ERR_OK;
}

enum err admin_argument_limit(struct admin_request *request, const char *name, int64_t *out_limit)
{
    struct str text = admin_argument_text(request, name);

    if (str_equal_nocase(text, STR("none")))
        *out_limit = ACCOUNT_LIMIT_NONE;
    else if (str_equal_nocase(text, STR("default")))
        *out_limit = ACCOUNT_LIMIT_DEFAULT;
    else if (!parse_i64(text, out_limit) || *out_limit < 0)
        return admin_refuse(request, ERR_INVALID,
                            "\"%.*s\" is neither a number nor \"none\" or \"default\".",
                            STR_ARG(text));
    return ERR_OK;
}

struct str admin_alias_name(struct admin_request *request, const struct account_alias *alias)
{
    if (alias->is_pattern)
        return arena_printf(&request->task.arena, "%.*s@%.*s", STR_ARG(alias->local),
                            STR_ARG(alias->domain_name));
    return account_address_text(&request->task, alias->local, alias->domain_name);
}

void admin_put_next(struct admin_request *request, struct str next)
{
    if (next.len > 0)
        admin_put_text(request->reply, "next", next);
}

enum err admin_find_domain_named(struct admin_request *request, struct str name,
                                 struct account_domain *out_domain)
{
    enum err err =
        account_domain_find(request->admin->database, &request->task, name, out_domain);

    if (err == ERR_NOT_FOUND) {
        admin_say(request, "There is no domain %.*s here.", STR_ARG(name));
        admin_hint(request, "Add it with: sealpost domain add %.*s", STR_ARG(name));
    }
    return err;
}

enum err admin_find_domain(struct admin_request *request, struct account_domain *out_domain)
{
    struct str name;

    TRY(admin_argument_domain(request, &name));
    return admin_find_domain_named(request, name, out_domain);
}

enum err admin_find_user(struct admin_request *request, struct str name,
                         struct account_user *out_user)
{
    enum err err = account_user_find(request->admin->database, &request->task, name, out_user);

    if (err == ERR_NOT_FOUND) {
        admin_say(request, "There is no user %.*s.", STR_ARG(name));
        admin_hint(request, "Those there are: sealpost user list");
    }
    return err;
}

enum err admin_find_alias(struct admin_request *request, const char *argument,
                          struct account_alias *out_alias)
{
    struct account_database *database = request->admin->database;
    struct account_address address;
    bool is_pattern;
    int64_t domain;
    enum err err;

    TRY(admin_argument_alias(request, argument, &address, &is_pattern));
    TRY(account_domain_row(database, &request->task, address.domain, &domain));
    if (domain == 0) {
        struct account_domain none;

        return admin_find_domain_named(request, address.domain, &none);
    }
    if (is_pattern)
        err = account_alias_find_pattern(database, &request->task, domain, address.local,
                                         out_alias);
    else
        err = account_alias_find(database, &request->task, domain, address.local, out_alias);
    if (err == ERR_NOT_FOUND) {
        struct account_alias missing = {
            .local = address.local, .domain_name = address.domain, .is_pattern = is_pattern};

        admin_say(request, "There is no alias %.*s.",
                  STR_ARG(admin_alias_name(request, &missing)));
        admin_hint(request, "Those of its domain: sealpost alias list --domain %.*s",
                   STR_ARG(address.domain));
    }
    return err;
}

static void put_words(struct admin_request *request, const char *member, const char *format,
                      va_list args) PRINTF_LIKE(3, 0);

static void put_words(struct admin_request *request, const char *member, const char *format,
                      va_list args)
{
    CLEANUP(buf_free) struct buf words;

    buf_init(&words, WORDS_MAX);
    if (buf_vprintf(&words, format, args) == ERR_OK)
        admin_put_text(request->reply, member, buf_str(&words));
}

void admin_say(struct admin_request *request, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_words(request, "message", format, args);
    va_end(args);
}

void admin_hint(struct admin_request *request, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_words(request, "hint", format, args);
    va_end(args);
}

enum err admin_refuse(struct admin_request *request, enum err err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_words(request, "message", format, args);
    va_end(args);
    return err;
}

void admin_put_text(json_t *object, const char *name, struct str text)
{
    json_t *value = json_stringn(text.ptr, text.len);

    if (value == NULL) /* not UTF-8: nothing we stored */
        value = json_null();
    json_object_set_new(object, name, value);
}

void admin_put_size(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name,
                        json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value)));
}

void admin_put_quota(json_t *object, const char *name, uint64_t quota_bytes)
{
    if (quota_bytes == ACCOUNT_UNLIMITED)
        json_object_set_new(object, name, json_null());
    else
        admin_put_size(object, name, quota_bytes);
}

json_t *admin_put_items(struct admin_request *request)
{
    json_t *items = json_array();

    json_object_set_new(request->reply, "items", items);
    return items;
}

enum err admin_argument_backups_until(struct admin_request *request, int64_t *out_ms)
{
    const struct admin *admin = request->admin;
    struct str text = admin_argument_text(request, "keep-backups");
    int64_t keep_ms = 0;
    uint64_t days;

    if (text.len == 0) {
        if (admin->services->backups_keep_ms != NULL)
            keep_ms = admin->services->backups_keep_ms(admin->owner);
    } else if (parse_u64(text, &days) && days <= BACKUP_DAYS_MAX) {
        keep_ms = (int64_t)days * 24 * 3600 * 1000;
    } else {
        return admin_refuse(request, ERR_INVALID, "\"%.*s\" is not a number of days.",
                            STR_ARG(text));
    }
    *out_ms = request->task.now_ms + keep_ms;
    return ERR_OK;
}

enum err admin_ask(struct admin_request *request, enum admin_other other, json_t *json)
{
    const struct admin_services *services = request->admin->services;
    json_t *question = json_pack("{s:s}", "command", request->command->name);
    bool is_courier = other == ADMIN_OTHER_COURIER;
    enum err err = ERR_INVALID;
    char *text;

    json_object_update(question, json);
    json_decref(json);
    text = json_dumps(question, JSON_COMPACT);
    json_decref(question);
    request->ticket = admin_new_tickets(request->admin, 1);
    request->ticket_count = 1;
    request->other = other;
    if (text != NULL) {
        err = (is_courier ? services->ask_courier : services->ask_archivist)(
            request->admin->owner, request->ticket, str_from_c(text));
        mem_wipe(text, strlen(text)); /* there may be a secret in it */
    }
    free(text);
    if (err == ERR_OK)
        return ERR_OK;
    admin_hint(request, "It may be starting; try again in a moment.");
    return admin_refuse(request, ERR_BUSY, "The part that %s is unavailable.",
                        is_courier ? "has the queue" : "keeps backups");
}
