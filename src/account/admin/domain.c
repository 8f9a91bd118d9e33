/* `sealpost domain …`. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

static void put_domain(json_t *object, const struct account_domain *domain)
{
    admin_put_text(object, "domain", domain->name);
    admin_put_text(object, "user", domain->user_name);
    admin_put_quota(object, "quota", domain->quota_bytes);
    admin_put_size(object, "used", domain->used_bytes);
    admin_put_text(object, "created", domain->created);
}

/* The user that was named; the default one is made where it is missing. Inside a transaction. */
static enum err owner(struct admin_request *request, struct str name, struct account_user *out_user)
{
    struct account_database *database = request->admin->database;
    enum err err;

    if (name.len > 0)
        return admin_find_user(request, name, out_user);
    *out_user = (struct account_user){.name = STR("default"), .quota_bytes = ACCOUNT_UNLIMITED};
    err = account_user_find(database, &request->task, out_user->name, out_user);
    if (err != ERR_NOT_FOUND)
        return err;
    task_forgive(&request->task);
    return account_user_add(database, &request->task, out_user->name, ACCOUNT_UNLIMITED,
                            &out_user->row);
}

enum err admin_domain_add(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_domain domain;
    struct account_user user;
    struct str name;
    uint64_t quota;
    enum err err;

    TRY(admin_argument_domain(request, &name));
    TRY(admin_argument_size(request, "quota", ACCOUNT_UNLIMITED, &quota));
    TRY(account_begin(database, &request->task));
    TRY(owner(request, admin_argument_text(request, "user"), &user));
    err = account_domain_add(database, &request->task, name, user.row, quota);
    if (err == ERR_EXISTS)
        return admin_refuse(request, err, "The domain %.*s is here already.", STR_ARG(name));
    TRY(err);
    TRY(account_domain_find(database, &request->task, name, &domain));
    TRY(admin_make_keys(request->admin, &request->task, &domain, ACCOUNT_KEY_ACTIVE));
    TRY(account_commit(database, &request->task));
    admin_say(request, "Mail for %.*s is taken now.", STR_ARG(name));
    admin_put_text(request->reply, "domain", name);
    admin_put_text(request->reply, "user", user.name);
    admin_put_quota(request->reply, "quota", quota);
    admin_hint(request,
               "Add an address with: sealpost alias add someone@%.*s\n"
               "See what to publish in the DNS with: sealpost domain dns %.*s",
               STR_ARG(name), STR_ARG(name));
    return ERR_OK;
}

enum err admin_domain_list(struct admin_request *request)
{
    json_t *items = admin_put_items(request);
    struct account_domain *domains;
    size_t count;

    TRY(account_domain_list(request->admin->database, &request->task,
                            admin_argument_text(request, "after"), &domains, &count));
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_object();

        put_domain(item, &domains[i]);
        json_array_append_new(items, item);
    }
    if (count == ACCOUNT_PAGE_MAX)
        admin_put_text(request->reply, "next", domains[count - 1].name);
    return ERR_OK;
}

/* The domain's catch-all, ERR_NOT_FOUND without words when it has none. */
static enum err catch_all(struct admin_request *request, int64_t domain,
                          struct account_alias *out_alias)
{
    enum err err = account_alias_find(request->admin->database, &request->task, domain,
                                      ACCOUNT_CATCH_ALL, out_alias);

    if (err == ERR_NOT_FOUND)
        task_forgive(&request->task);
    return err;
}

enum err admin_domain_show(struct admin_request *request)
{
    struct account_domain domain;
    struct account_alias alias;
    uint64_t aliases;
    enum err err;

    TRY(admin_find_domain(request, &domain));
    put_domain(request->reply, &domain);
    TRY(account_domain_count(request->admin->database, &request->task, domain.row, &aliases));
    admin_put_size(request->reply, "aliases", aliases);
    json_object_set_new(request->reply, "requires_tls", json_boolean(domain.requires_tls));
    err = catch_all(request, domain.row, &alias);
    if (err == ERR_NOT_FOUND) {
        json_object_set_new(request->reply, "catch_all", json_null());
        return ERR_OK;
    }
    TRY(err);
    if (alias.mailbox != 0)
        admin_put_text(request->reply, "catch_all", id_str(&alias.mailbox_id));
    else
        admin_put_text(request->reply, "catch_all", STR("sent on"));
    return ERR_OK;
}

/* A crash in between leaves what was not removed yet; removing it again goes on. */
static enum err remove_portion(struct admin_request *request, bool *out_is_done)
{
    return account_domain_remove(request->admin->database, &request->task, request->row,
                                 ADMIN_PORTION, request->backups_until_ms, out_is_done);
}

enum err admin_domain_remove(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_domain domain;
    uint64_t aliases;

    TRY(admin_find_domain(request, &domain));
    TRY(account_domain_count(database, &request->task, domain.row, &aliases));
    TRY(admin_argument_backups_until(request, &request->backups_until_ms));
    request->row = domain.row;
    request->portion = remove_portion;
    admin_say(request, "The domain %.*s was removed, with %llu aliases.", STR_ARG(domain.name),
              (unsigned long long)aliases);
    return ERR_OK;
}

enum err admin_domain_quota(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_domain domain;
    struct str name;
    uint64_t quota;

    TRY(admin_argument_domain(request, &name));
    TRY(admin_argument_size(request, "size", ACCOUNT_UNLIMITED, &quota));
    TRY(admin_find_domain_named(request, name, &domain));
    TRY(account_begin(database, &request->task));
    TRY(account_domain_set_quota(database, &request->task, domain.row, quota));
    TRY(account_commit(database, &request->task));
    request->admin->services->limits_changed(request->admin->owner);
    admin_say(request, "The quota of the domain %.*s was set.", STR_ARG(name));
    domain.quota_bytes = quota;
    put_domain(request->reply, &domain);
    if (quota < domain.used_bytes)
        admin_hint(request, "It holds more than that already: no mail is taken until some is "
                            "deleted.");
    return ERR_OK;
}

static enum err catch_all_off(struct admin_request *request, const struct account_domain *domain)
{
    struct account_database *database = request->admin->database;
    struct account_alias alias;
    enum err err = catch_all(request, domain->row, &alias);
    uint64_t aliases = 0;

    if (err == ERR_NOT_FOUND) {
        admin_say(request, "The domain %.*s had no catch-all.", STR_ARG(domain->name));
        return ERR_OK;
    }
    TRY(err);
    if (alias.mailbox != 0)
        TRY(account_mailbox_alias_count(database, &request->task, alias.mailbox, &aliases));
    if (aliases == 1) {
        admin_hint(request, "Remove both, and the mail in it, with: sealpost alias remove *@%.*s",
                   STR_ARG(domain->name));
        return admin_refuse(request, ERR_LIMIT,
                            "Nothing but the catch-all leads to its mailbox any more.");
    }
    TRY(account_begin(database, &request->task));
    TRY(account_alias_remove(database, &request->task, alias.row));
    TRY(account_commit(database, &request->task));
    admin_say(request, "Mail for unknown addresses of %.*s is refused now.",
              STR_ARG(domain->name));
    return ERR_OK;
}

enum err admin_domain_catch_all(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    bool has_address = admin_argument_text(request, "address").len > 0;
    struct account_domain domain;
    struct account_alias target, old;
    enum err err;

    if (has_address == admin_argument_flag(request, "off"))
        return admin_refuse(request, ERR_INVALID, "Give either an address or --off.");
    TRY(admin_find_domain(request, &domain));
    if (!has_address)
        return catch_all_off(request, &domain);
    TRY(admin_find_alias(request, "address", &target));
    if (target.mailbox == 0) {
        admin_hint(request,
                   "Make one that sends on with: sealpost alias add '*@%.*s' --forward "
                   "TARGET",
                   STR_ARG(domain.name));
        return admin_refuse(request, ERR_INVALID, "That alias has no mailbox.");
    }
    err = catch_all(request, domain.row, &old);
    TRY(account_begin(database, &request->task));
    if (err == ERR_OK) {
        uint64_t aliases = 0;

        if (old.mailbox != 0)
            TRY(account_mailbox_alias_count(database, &request->task, old.mailbox, &aliases));
        if (aliases == 1 && old.mailbox != target.mailbox)
            return admin_refuse(request, ERR_LIMIT,
                                "Nothing but the present catch-all leads to its mailbox any more: "
                                "give that an alias first.");
        TRY(account_alias_set_mailbox(database, &request->task, old.row, target.mailbox));
    } else if (err == ERR_NOT_FOUND) {
        TRY(account_alias_add(database, &request->task, domain.row, ACCOUNT_CATCH_ALL,
                              target.mailbox));
    } else {
        return err;
    }
    TRY(account_commit(database, &request->task));
    admin_say(request, "Mail for unknown addresses of %.*s goes to %.*s now.", STR_ARG(domain.name),
              STR_ARG(account_address_text(&request->task, target.local, target.domain_name)));
    return ERR_OK;
}

enum err admin_domain_require_tls(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    bool is_off = admin_argument_flag(request, "off");
    struct account_domain domain;

    TRY(admin_find_domain(request, &domain));
    TRY(account_begin(database, &request->task));
    TRY(account_domain_set_requires_tls(database, &request->task, domain.row, !is_off));
    TRY(account_commit(database, &request->task));
    admin_put_text(request->reply, "domain", domain.name);
    json_object_set_new(request->reply, "requires_tls", json_boolean(!is_off));
    if (is_off)
        admin_say(request, "Mail for %.*s may come in clear.", STR_ARG(domain.name));
    else
        admin_say(request, "Mail for %.*s must come encrypted now.", STR_ARG(domain.name));
    return ERR_OK;
}
