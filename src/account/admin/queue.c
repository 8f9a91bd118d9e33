/* `sealpost queue …`: the courier's. A request goes to it as it was checked, its answer comes back. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

enum err admin_queue(struct admin_request *request)
{
    json_t *json = json_object();

    json_object_set(json, "arguments", request->arguments);
    return admin_ask(request, ADMIN_OTHER_COURIER, json);
}
