/* `sealpost queue …`: the courier's. A request goes to it as it was checked, its answer comes back. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

#include "base/memory.h"

#include <string.h>

enum err admin_queue(struct admin_request *request)
{
    struct admin *admin = request->admin;
    json_t *json = json_object();
    enum err err = ERR_INVALID;
    char *text;

    json_object_set_new(json, "command", json_string(request->command->name));
    json_object_set(json, "arguments", request->arguments);
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    request->ticket = admin_new_tickets(admin, 1);
    request->ticket_count = 1;
    request->other = ADMIN_OTHER_COURIER;
    if (text != NULL)
        err = admin->services->ask_courier(admin->owner, request->ticket, str_from_c(text));
    mem_free(&text);
    if (err == ERR_OK)
        return ERR_OK;
    admin_hint(request, "It may be starting; try again in a moment.");
    return admin_refuse(request, ERR_BUSY, "The part that has the queue is unavailable.");
}
