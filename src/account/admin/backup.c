/* `sealpost backup …` that the archivist answers: whose mailboxes are meant is found here. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

static void add_mailbox(struct admin_request *request, json_t *mailboxes,
                        const struct account_alias *alias)
{
    json_t *item;

    if (!id_is_set(&alias->mailbox_id))
        return;
    item = json_object();
    admin_put_text(item, "address", admin_alias_name(request, alias));
    admin_put_text(item, "mailbox", id_str(&alias->mailbox_id));
    json_array_append_new(mailboxes, item);
}

enum err admin_backup_list(struct admin_request *request)
{
    struct account_alias alias, *aliases;
    json_t *mailboxes = json_array(), *json;
    struct str next = STR("");
    bool has_details = admin_argument_text(request, "address").len > 0;
    size_t count;
    enum err err;

    if (has_details) {
        err = admin_find_alias(request, "address", &alias);
        if (err == ERR_OK)
            add_mailbox(request, mailboxes, &alias);
    } else {
        err = account_alias_list(request->admin->database, &request->task, 0,
                                 admin_argument_text(request, "after"), &aliases, &count, &next);
        for (size_t i = 0; err == ERR_OK && i < count; i++)
            add_mailbox(request, mailboxes, &aliases[i]);
    }
    if (err != ERR_OK) {
        json_decref(mailboxes);
        return err;
    }
    json = json_pack("{s:o, s:b}", "mailboxes", mailboxes, "details", has_details);
    if (next.len > 0)
        admin_put_text(json, "next", next);
    return admin_ask(request, ADMIN_OTHER_ARCHIVIST, json);
}

enum err admin_backup_status(struct admin_request *request)
{
    return admin_ask(request, ADMIN_OTHER_ARCHIVIST, json_object());
}
