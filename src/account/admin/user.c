/* `sealpost user …`: accounts. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

static void put_user(json_t *object, const struct account_user *user)
{
    admin_put_text(object, "name", user->name);
    admin_put_quota(object, "quota", user->quota_bytes);
    admin_put_size(object, "used", user->used_bytes);
    admin_put_text(object, "created", user->created);
}

enum err admin_user_add(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct str name = admin_argument_text(request, "name");
    uint64_t quota;
    int64_t row;
    enum err err;

    TRY(admin_argument_size(request, "quota", ACCOUNT_UNLIMITED, &quota));
    TRY(account_begin(database, &request->task));
    err = account_user_add(database, &request->task, name, quota, &row);
    if (err == ERR_EXISTS)
        return admin_refuse(request, err, "There is a user %.*s already.", STR_ARG(name));
    TRY(err);
    TRY(account_commit(database, &request->task));
    admin_say(request, "User %.*s was added.", STR_ARG(name));
    admin_put_text(request->reply, "name", name);
    admin_put_quota(request->reply, "quota", quota);
    admin_hint(request, "Give it a domain with: sealpost domain add example.org --user %.*s",
               STR_ARG(name));
    return ERR_OK;
}

enum err admin_user_list(struct admin_request *request)
{
    json_t *items = admin_put_items(request);
    struct account_user *users;
    size_t count;

    TRY(account_user_list(request->admin->database, &request->task,
                          admin_argument_text(request, "after"), &users, &count));
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_object();

        put_user(item, &users[i]);
        json_array_append_new(items, item);
    }
    if (count == ACCOUNT_PAGE_MAX)
        admin_put_text(request->reply, "next", users[count - 1].name);
    return ERR_OK;
}

enum err admin_user_show(struct admin_request *request)
{
    struct account_user user;
    uint64_t domains, mailboxes;

    TRY(admin_find_user(request, admin_argument_text(request, "name"), &user));
    TRY(account_user_count(request->admin->database, &request->task, user.row, &domains,
                           &mailboxes));
    put_user(request->reply, &user);
    admin_put_size(request->reply, "domains", domains);
    admin_put_size(request->reply, "mailboxes", mailboxes);
    return ERR_OK;
}

/* A crash in between leaves what was not removed yet; removing it again goes on. */
static enum err remove_portion(struct admin_request *request, bool *out_is_done)
{
    return account_user_remove(request->admin->database, &request->task, request->row,
                               ADMIN_PORTION, request->backups_until_ms, out_is_done);
}

enum err admin_user_remove(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_user user;
    uint64_t domains, mailboxes;

    TRY(admin_find_user(request, admin_argument_text(request, "name"), &user));
    TRY(account_user_count(database, &request->task, user.row, &domains, &mailboxes));
    TRY(admin_argument_backups_until(request, &request->backups_until_ms));
    request->row = user.row;
    request->portion = remove_portion;
    admin_say(request, "User %.*s was removed, with %llu domains and %llu mailboxes.",
              STR_ARG(user.name), (unsigned long long)domains, (unsigned long long)mailboxes);
    return ERR_OK;
}

enum err admin_user_quota(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_user user;
    uint64_t quota;

    TRY(admin_argument_size(request, "size", ACCOUNT_UNLIMITED, &quota));
    TRY(admin_find_user(request, admin_argument_text(request, "name"), &user));
    TRY(account_begin(database, &request->task));
    TRY(account_user_set_quota(database, &request->task, user.row, quota));
    TRY(account_commit(database, &request->task));
    request->admin->services->limits_changed(request->admin->owner);
    admin_say(request, "The quota of user %.*s was set.", STR_ARG(user.name));
    user.quota_bytes = quota;
    put_user(request->reply, &user);
    if (quota < user.used_bytes)
        admin_hint(request, "It holds more than that already: no mail is taken until some is "
                            "deleted.");
    return ERR_OK;
}
