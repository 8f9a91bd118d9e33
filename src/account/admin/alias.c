/* `sealpost alias …`: what is not about keys. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

static void put_mailbox_id(json_t *object, const struct account_alias *alias)
{
    if (alias->mailbox == 0)
        json_object_set_new(object, "mailbox", json_null());
    else
        admin_put_text(object, "mailbox", id_str(&alias->mailbox_id));
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

        TRY(admin_find_domain(request, &found));
        domain = found.row;
    }
    TRY(account_alias_list(database, &request->task, domain,
                           admin_argument_text(request, "after"), &aliases, &count, &next));
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_object();

        admin_put_text(item, "address", admin_alias_name(request, &aliases[i]));
        put_mailbox_id(item, &aliases[i]);
        json_object_set_new(item, "enabled", json_boolean(aliases[i].is_enabled));
        admin_put_text(item, "created", aliases[i].created);
        json_array_append_new(items, item);
    }
    admin_put_next(request, next);
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

/* The mailbox, its keys, and what else leads to it. */
static enum err show_mailbox(struct admin_request *request, const struct account_alias *alias)
{
    struct account_database *database = request->admin->database;
    struct account_slot *slots =
        ARENA_ARRAY(&request->task.arena, struct account_slot, ACCOUNT_SLOTS_MAX);
    struct account_alias *others;
    struct account_mailbox mailbox;
    size_t count, slot_count, app_passwords = 0;
    bool has_recovery_key = false;
    json_t *addresses = json_array();

    json_object_set_new(request->reply, "storing", json_boolean(alias->is_storing));
    TRY(account_mailbox_at(database, &request->task, alias->mailbox, &mailbox));
    TRY(account_alias_list_mailbox(database, &request->task, alias->mailbox, &others, &count));
    TRY(account_slot_list(database, &request->task, alias->mailbox, slots, &slot_count));
    for (size_t i = 0; i < slot_count; i++) {
        app_passwords += slots[i].kind == ACCOUNT_SLOT_APP;
        has_recovery_key |= slots[i].kind == ACCOUNT_SLOT_RECOVERY;
    }
    put_mailbox(request->reply, &mailbox);
    admin_put_size(request->reply, "app_passwords", app_passwords);
    json_object_set_new(request->reply, "recovery_key_set", json_boolean(has_recovery_key));
    for (size_t i = 0; i < count; i++) {
        struct str text = admin_alias_name(request, &others[i]);

        json_array_append_new(addresses, json_stringn(text.ptr, text.len));
    }
    json_object_set_new(request->reply, "addresses", addresses);
    return ERR_OK;
}

/* Where else its mail goes, and what it answers. */
static enum err show_routes(struct admin_request *request, const struct account_alias *alias)
{
    struct account_database *database = request->admin->database;
    json_t *forwards = json_array(), *webhooks = json_array();
    struct account_target_row *targets;
    struct account_vacation vacation;
    size_t count;
    enum err err;

    json_object_set_new(request->reply, "forwards", forwards);
    json_object_set_new(request->reply, "webhooks", webhooks);
    TRY(account_target_list(database, &request->task, alias->row, &targets, &count));
    for (size_t i = 0; i < count; i++)
        json_array_append_new(targets[i].kind == ACCOUNT_TARGET_FORWARD ? forwards : webhooks,
                              json_stringn(targets[i].text.ptr, targets[i].text.len));
    err = account_vacation_find(database, &request->task, alias->row, &vacation);
    json_object_set_new(request->reply, "vacation", json_boolean(err == ERR_OK));
    if (err == ERR_NOT_FOUND) {
        task_forgive(&request->task);
        err = ERR_OK;
    }
    json_object_set_new(request->reply, "junk", json_boolean(alias->files_junk));
    return err;
}

enum err admin_alias_show(struct admin_request *request)
{
    struct account_alias alias;

    TRY(admin_find_alias(request, "address", &alias));
    admin_put_text(request->reply, "address", admin_alias_name(request, &alias));
    json_object_set_new(request->reply, "enabled", json_boolean(alias.is_enabled));
    if (!alias.is_enabled)
        admin_put_size(request->reply, "answer", alias.disabled_answer);
    admin_put_text(request->reply, "created", alias.created);
    if (alias.mailbox != 0)
        TRY(show_mailbox(request, &alias));
    return show_routes(request, &alias);
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
    int64_t backups_until_ms;
    uint64_t aliases = 0;

    TRY(admin_argument_backups_until(request, &backups_until_ms));
    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_begin(database, &request->task));
    if (alias.mailbox != 0)
        TRY(account_mailbox_alias_count(database, &request->task, alias.mailbox, &aliases));
    TRY(account_alias_remove(database, &request->task, alias.row));
    if (aliases == 1)
        TRY(account_mailbox_retire(database, &request->task, alias.mailbox, backups_until_ms));
    TRY(account_commit(database, &request->task));
    admin_put_text(request->reply, "address", admin_alias_name(request, &alias));
    if (aliases != 1) {
        admin_say(request, "Alias %.*s was removed.", STR_ARG(admin_alias_name(request, &alias)));
        if (aliases > 1)
            admin_hint(request, "%llu others still lead to its mailbox.",
                       (unsigned long long)aliases - 1);
        return ERR_OK;
    }
    admin_say(request, "Alias %.*s was removed, with its mailbox.",
              STR_ARG(admin_alias_name(request, &alias)));
    request->mailbox = alias.mailbox_id;
    request->mailbox_row = alias.mailbox;
    admin->services->expel(admin->owner, &request->mailbox);
    if (admin->services->remove_mailbox(admin->owner, &request->mailbox) == ERR_OK)
        request->resume = on_removed;
    return ERR_OK;
}

static enum err set_enabled(struct admin_request *request, bool is_enabled, unsigned code)
{
    struct account_database *database = request->admin->database;
    struct account_alias alias;
    struct str name;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_begin(database, &request->task));
    TRY(account_alias_set_enabled(database, &request->task, alias.row, is_enabled, code));
    TRY(account_commit(database, &request->task));
    name = admin_alias_name(request, &alias);
    admin_put_text(request->reply, "address", name);
    json_object_set_new(request->reply, "enabled", json_boolean(is_enabled));
    if (is_enabled)
        admin_say(request, "Mail for %.*s is taken again.", STR_ARG(name));
    else if (code == ADMIN_ANSWER_DROPPED)
        admin_say(request, "Mail for %.*s is taken and thrown away now.", STR_ARG(name));
    else if (code == ADMIN_ANSWER_LATER)
        admin_say(request, "Mail for %.*s is put off now.", STR_ARG(name));
    else
        admin_say(request, "Mail for %.*s is refused now.", STR_ARG(name));
    return ERR_OK;
}

enum err admin_alias_enable(struct admin_request *request)
{
    return set_enabled(request, true, ADMIN_ANSWER_REFUSED);
}

enum err admin_alias_disable(struct admin_request *request)
{
    struct str answer = admin_argument_text(request, "answer");
    uint32_t code = ADMIN_ANSWER_REFUSED;

    if (answer.len > 0 &&
        (!parse_u32(answer, &code) || (code != ADMIN_ANSWER_DROPPED && code != ADMIN_ANSWER_LATER &&
                                       code != ADMIN_ANSWER_REFUSED)))
        return admin_refuse(request, ERR_INVALID, "It can answer 250, 421 or 550.");
    return set_enabled(request, false, code);
}

static enum err set_storing(struct admin_request *request, bool is_storing)
{
    struct account_database *database = request->admin->database;
    struct account_alias alias;
    struct str name;

    TRY(admin_find_alias(request, "address", &alias));
    name = admin_alias_name(request, &alias);
    if (alias.mailbox == 0) {
        admin_hint(request, "Remove it and add it again, with a mailbox of its own or --to.");
        return admin_refuse(request, ERR_INVALID, "%.*s has no mailbox.", STR_ARG(name));
    }
    if (!is_storing && !alias.has_routes) {
        admin_hint(request, "Add one with: sealpost alias forward add '%.*s' TARGET",
                   STR_ARG(name));
        return admin_refuse(request, ERR_INVALID,
                            "%.*s has no forward and no webhook: its mail would be lost.",
                            STR_ARG(name));
    }
    TRY(account_begin(database, &request->task));
    TRY(account_alias_set_storing(database, &request->task, alias.row, is_storing));
    TRY(account_commit(database, &request->task));
    admin_put_text(request->reply, "address", name);
    json_object_set_new(request->reply, "storing", json_boolean(is_storing));
    admin_say(request, is_storing ? "Mail for %.*s is stored." : "Mail for %.*s is only sent on.",
              STR_ARG(name));
    return ERR_OK;
}

enum err admin_alias_store_on(struct admin_request *request)
{
    return set_storing(request, true);
}

enum err admin_alias_store_off(struct admin_request *request)
{
    return set_storing(request, false);
}

static enum err set_junk(struct admin_request *request, bool files_junk)
{
    struct account_database *database = request->admin->database;
    struct account_alias alias;
    struct str name;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_begin(database, &request->task));
    TRY(account_alias_set_junk(database, &request->task, alias.row, files_junk));
    TRY(account_commit(database, &request->task));
    name = admin_alias_name(request, &alias);
    admin_put_text(request->reply, "address", name);
    json_object_set_new(request->reply, "junk", json_boolean(files_junk));
    if (files_junk)
        admin_say(request, "Spam for %.*s goes to Junk.", STR_ARG(name));
    else
        admin_say(request, "Mail for %.*s is not judged as spam.", STR_ARG(name));
    return ERR_OK;
}

enum err admin_alias_junk_on(struct admin_request *request)
{
    return set_junk(request, true);
}

enum err admin_alias_junk_off(struct admin_request *request)
{
    return set_junk(request, false);
}

enum err admin_alias_quota(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_mailbox mailbox;
    struct account_alias alias;
    uint64_t quota;

    TRY(admin_argument_size(request, "size", ACCOUNT_UNLIMITED, &quota));
    TRY(admin_find_alias(request, "address", &alias));
    if (alias.mailbox == 0)
        return admin_refuse(request, ERR_INVALID, "%.*s has no mailbox.",
                            STR_ARG(admin_alias_name(request, &alias)));
    TRY(account_begin(database, &request->task));
    TRY(account_mailbox_set_quota(database, &request->task, alias.mailbox, quota));
    TRY(account_mailbox_at(database, &request->task, alias.mailbox, &mailbox));
    TRY(account_commit(database, &request->task));
    request->admin->services->limits_changed(request->admin->owner);
    admin_say(request, "The quota of %.*s's mailbox was set.",
              STR_ARG(admin_alias_name(request, &alias)));
    admin_put_text(request->reply, "address", admin_alias_name(request, &alias));
    put_mailbox(request->reply, &mailbox);
    if (quota < mailbox.mail_bytes + mailbox.drop_bytes)
        admin_hint(request, "It holds more than that already: no mail is taken until some is "
                            "deleted.");
    return ERR_OK;
}
