/* `sealpost allow …` and `sealpost deny …`: the lists of the host, a domain or an alias. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

#include "account/lists.h"

/* --domain, --alias, or neither; `out_words` says whose lists they are. */
static enum err read_scope(struct admin_request *request, struct account_list_scope *out_scope,
                           struct str *out_words)
{
    struct account_domain domain;
    struct account_alias alias;

    *out_scope = (struct account_list_scope){0, 0};
    *out_words = STR("this host");
    if (admin_argument_text(request, "domain").len > 0 &&
        admin_argument_text(request, "alias").len > 0)
        return admin_refuse(request, ERR_INVALID, "Give --domain or --alias, not both.");
    if (admin_argument_text(request, "domain").len > 0) {
        TRY(admin_find_domain(request, &domain));
        out_scope->domain = domain.row;
        *out_words = domain.name;
    } else if (admin_argument_text(request, "alias").len > 0) {
        TRY(admin_find_alias(request, "alias", &alias));
        out_scope->alias = alias.row;
        *out_words = admin_alias_name(request, &alias);
    }
    return ERR_OK;
}

static enum err read_entry(struct admin_request *request, struct account_list_entry *out_entry)
{
    struct str text = admin_argument_text(request, "sender");

    if (account_lists_parse(&request->task, text, &out_entry->kind, &out_entry->value) == ERR_OK)
        return ERR_OK;
    admin_hint(request, "Write an address, a domain, or an IP address or network as 192.0.2.0/24.");
    return admin_refuse(request, ERR_INVALID, "\"%.*s\" is no sender.", STR_ARG(text));
}

static enum err add(struct admin_request *request, enum account_list_verdict verdict)
{
    struct account_database *database = request->admin->database;
    struct account_list_entry entry = {.verdict = verdict};
    struct account_list_scope scope;
    struct str words;

    TRY(read_scope(request, &scope, &words));
    TRY(read_entry(request, &entry));
    TRY(account_begin(database, &request->task));
    TRY(account_list_set(database, &request->task, &scope, &entry));
    TRY(account_commit(database, &request->task));
    admin_say(request,
              verdict == ACCOUNT_LIST_ALLOW ? "Mail from %.*s to %.*s is let in."
                                            : "Mail from %.*s to %.*s is refused.",
              STR_ARG(entry.value), STR_ARG(words));
    admin_put_text(request->reply, "sender", entry.value);
    return ERR_OK;
}

static enum err take_off(struct admin_request *request, enum account_list_verdict verdict)
{
    struct account_database *database = request->admin->database;
    struct account_list_entry entry = {.verdict = verdict};
    struct account_list_scope scope;
    struct str words;
    enum err err;

    TRY(read_scope(request, &scope, &words));
    TRY(read_entry(request, &entry));
    TRY(account_begin(database, &request->task));
    err = account_list_remove(database, &request->task, &scope, verdict, entry.value);
    if (err == ERR_NOT_FOUND)
        return admin_refuse(request, err, "That list of %.*s does not name %.*s.", STR_ARG(words),
                            STR_ARG(entry.value));
    TRY(err);
    TRY(account_commit(database, &request->task));
    admin_say(request, "%.*s is on that list of %.*s no more.", STR_ARG(entry.value),
              STR_ARG(words));
    return ERR_OK;
}

static enum err list(struct admin_request *request, enum account_list_verdict verdict)
{
    json_t *items = admin_put_items(request);
    struct str after = admin_argument_text(request, "after"), words;
    struct account_list_entry *entries;
    struct account_list_scope scope;
    int64_t row = 0;
    size_t count;

    if (after.len > 0 && !parse_i64(after, &row))
        return admin_refuse(request, ERR_INVALID, "The list does not go on from there.");
    TRY(read_scope(request, &scope, &words));
    TRY(account_list_page(request->admin->database, &request->task, &scope, verdict, row, &entries,
                          &count));
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_object();

        admin_put_text(item, "sender", entries[i].value);
        admin_put_text(item, "created", entries[i].created);
        json_array_append_new(items, item);
    }
    if (count == ACCOUNT_PAGE_MAX)
        admin_put_next(request, arena_printf(&request->task.arena, "%lld",
                                             (long long)entries[count - 1].row));
    return ERR_OK;
}

enum err admin_allow_add(struct admin_request *request)
{
    return add(request, ACCOUNT_LIST_ALLOW);
}

enum err admin_allow_list(struct admin_request *request)
{
    return list(request, ACCOUNT_LIST_ALLOW);
}

enum err admin_allow_remove(struct admin_request *request)
{
    return take_off(request, ACCOUNT_LIST_ALLOW);
}

enum err admin_deny_add(struct admin_request *request)
{
    return add(request, ACCOUNT_LIST_DENY);
}

enum err admin_deny_list(struct admin_request *request)
{
    return list(request, ACCOUNT_LIST_DENY);
}

enum err admin_deny_remove(struct admin_request *request)
{
    return take_off(request, ACCOUNT_LIST_DENY);
}
