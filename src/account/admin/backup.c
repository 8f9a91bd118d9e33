/* `sealpost backup …` that the archivist answers: whose mailboxes are meant is found here. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum err admin_ask_archivist(struct admin_request *request, json_t *json)
{
    struct admin *admin = request->admin;
    enum err err = ERR_INVALID;
    char *text;

    json_object_set_new(json, "command", json_string(request->command->name));
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    request->ticket = admin_new_tickets(admin, 1);
    request->ticket_count = 1;
    request->other = ADMIN_OTHER_ARCHIVIST;
    if (text != NULL)
        err = admin->services->ask_archivist(admin->owner, request->ticket, str_from_c(text));
    if (text != NULL)
        mem_wipe(text, strlen(text)); /* there may be a secret in it */
    free(text);
    if (err == ERR_OK)
        return ERR_OK;
    admin_hint(request, "It may be starting; try again in a moment.");
    return admin_refuse(request, ERR_BUSY, "The part that keeps backups is unavailable.");
}

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
    return admin_ask_archivist(request, json);
}

enum err admin_backup_status(struct admin_request *request)
{
    return admin_ask_archivist(request, json_object());
}
