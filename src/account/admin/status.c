/* `sealpost status`. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

enum err admin_status(struct admin_request *request)
{
    struct admin *admin = request->admin;
    struct account_totals totals;
    uint64_t purges;

    TRY(account_totals(admin->database, &request->task, &totals));
    admin_say(request, "Sealpost runs.");
    admin_put_size(request->reply, "users", totals.users);
    admin_put_size(request->reply, "domains", totals.domains);
    admin_put_size(request->reply, "aliases", totals.aliases);
    admin_put_size(request->reply, "mailboxes", totals.mailboxes);
    admin_put_size(request->reply, "unfinished_mailboxes", totals.unfinished);
    TRY(account_purge_count(admin->database, &request->task, &purges));
    admin_put_size(request->reply, "removed_with_backups", purges);
    admin_put_size(request->reply, "used_bytes", totals.used_bytes);
    admin->services->describe(admin->owner, request->reply);
    return ERR_OK;
}
