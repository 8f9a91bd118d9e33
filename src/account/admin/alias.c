/* `sealpost alias …`: what is not about keys. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

static struct str text_of(struct admin_request *request, const struct account_alias *alias)
{
    return account_address_text(&request->task, alias->local, alias->domain_name);
}

enum err admin_alias_list(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    json_t *items = admin_put_items(request);
    struct account_alias *aliases;
    struct str next;
    int64_t domain = 0;
    size_t count;

    if (admin_argument_text(request, "domain").len > 0) {
        struct account_domain found;
        struct str name;

        TRY(admin_argument_domain(request, &name));
        TRY(admin_find_domain(request, name, &found));
        domain = found.row;
    }
    TRY(account_alias_list(database, &request->task, domain,
                           admin_argument_text(request, "after"), &aliases, &count, &next));
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_object();

        admin_put_text(item, "address", text_of(request, &aliases[i]));
        admin_put_text(item, "mailbox", id_str(&aliases[i].mailbox_id));
        json_object_set_new(item, "enabled", json_boolean(aliases[i].is_enabled));
        admin_put_text(item, "created", aliases[i].created);
        json_array_append_new(items, item);
    }
    if (next.len > 0)
        admin_put_text(request->reply, "next", next);
    return ERR_OK;
}

static void put_mailbox(json_t *object, const struct account_mailbox *mailbox)
{
    admin_put_text(object, "mailbox", id_str(&mailbox->id));
    admin_put_quota(object, "quota", mailbox->quota_bytes);
    admin_put_size(object, "used", mailbox->mail_bytes + mailbox->drop_bytes);
    admin_put_size(object, "waiting", mailbox->drop_bytes);
    admin_put_size(object, "messages", mailbox->messages);
}

enum err admin_alias_show(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_slot *slots =
        ARENA_ARRAY(&request->task.arena, struct account_slot, ACCOUNT_SLOTS_MAX);
    struct account_alias alias, *others;
    struct account_mailbox mailbox;
    size_t count, slot_count, app_passwords = 0;
    bool has_recovery_key = false;
    json_t *addresses;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_mailbox_at(database, &request->task, alias.mailbox, &mailbox));
    TRY(account_alias_list_mailbox(database, &request->task, alias.mailbox, &others, &count));
    TRY(account_slot_list(database, &request->task, alias.mailbox, slots, &slot_count));
    for (size_t i = 0; i < slot_count; i++) {
        app_passwords += slots[i].kind == ACCOUNT_SLOT_APP;
        has_recovery_key |= slots[i].kind == ACCOUNT_SLOT_RECOVERY;
    }
    admin_put_text(request->reply, "address", text_of(request, &alias));
    json_object_set_new(request->reply, "enabled", json_boolean(alias.is_enabled));
    admin_put_text(request->reply, "created", alias.created);
    put_mailbox(request->reply, &mailbox);
    admin_put_size(request->reply, "app_passwords", app_passwords);
    json_object_set_new(request->reply, "recovery_key_set", json_boolean(has_recovery_key));
    addresses = json_array();
    for (size_t i = 0; i < count; i++) {
        struct str text = text_of(request, &others[i]);

        json_array_append_new(addresses, json_stringn(text.ptr, text.len));
    }
    json_object_set_new(request->reply, "addresses", addresses);
    return ERR_OK;
}

/* The store removed the files, or could not. */
static enum err on_removed(struct admin_request *request, bool is_done)
{
    struct account_database *database = request->admin->database;

    if (!is_done) {
        admin_hint(request, "Their key is gone: nobody can read them. They are removed later.");
        return ERR_OK;
    }
    TRY(account_begin(database, &request->task));
    TRY(account_mailbox_forget(database, &request->task, request->mailbox_row));
    return account_commit(database, &request->task);
}

enum err admin_alias_remove(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct admin *admin = request->admin;
    struct account_alias alias;
    uint64_t aliases;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_begin(database, &request->task));
    TRY(account_mailbox_alias_count(database, &request->task, alias.mailbox, &aliases));
    TRY(account_alias_remove(database, &request->task, alias.row));
    if (alias.mailbox != 0 && aliases == 1)
        TRY(account_mailbox_retire(database, &request->task, alias.mailbox));
    TRY(account_commit(database, &request->task));
    admin_put_text(request->reply, "address", text_of(request, &alias));
    if (aliases > 1) {
        admin_say(request, "Alias %.*s was removed; %llu others still lead to its mailbox.",
                  STR_ARG(text_of(request, &alias)), (unsigned long long)aliases - 1);
        return ERR_OK;
    }
    admin_say(request, "Alias %.*s was removed, with its mailbox.",
              STR_ARG(text_of(request, &alias)));
    request->mailbox = alias.mailbox_id;
    request->mailbox_row = alias.mailbox;
    admin->services->expel(admin->owner, &request->mailbox);
    if (admin->services->remove_mailbox(admin->owner, &request->mailbox) == ERR_OK)
        request->resume = on_removed;
    return ERR_OK;
}

static enum err set_enabled(struct admin_request *request, bool is_enabled)
{
    struct account_database *database = request->admin->database;
    struct account_alias alias;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_begin(database, &request->task));
    TRY(account_alias_set_enabled(database, &request->task, alias.row, is_enabled,
                                  alias.disabled_answer));
    TRY(account_commit(database, &request->task));
    admin_put_text(request->reply, "address", text_of(request, &alias));
    json_object_set_new(request->reply, "enabled", json_boolean(is_enabled));
    if (is_enabled)
        admin_say(request, "Mail for %.*s is taken again.", STR_ARG(text_of(request, &alias)));
    else
        admin_say(request, "Mail for %.*s is refused now.", STR_ARG(text_of(request, &alias)));
    return ERR_OK;
}

enum err admin_alias_enable(struct admin_request *request)
{
    return set_enabled(request, true);
}

enum err admin_alias_disable(struct admin_request *request)
{
    return set_enabled(request, false);
}

enum err admin_alias_quota(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_mailbox mailbox;
    struct account_alias alias;
    uint64_t quota;

    TRY(admin_argument_size(request, "size", ACCOUNT_UNLIMITED, &quota));
    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_begin(database, &request->task));
    TRY(account_mailbox_set_quota(database, &request->task, alias.mailbox, quota));
    TRY(account_mailbox_at(database, &request->task, alias.mailbox, &mailbox));
    TRY(account_commit(database, &request->task));
    request->admin->services->limits_changed(request->admin->owner);
    admin_say(request, "The quota of %.*s's mailbox was set.", STR_ARG(text_of(request, &alias)));
    admin_put_text(request->reply, "address", text_of(request, &alias));
    put_mailbox(request->reply, &mailbox);
    if (quota < mailbox.mail_bytes + mailbox.drop_bytes)
        admin_hint(request, "It holds more than that already: no mail is taken until some is "
                            "deleted.");
    return ERR_OK;
}
