/*
 * `sealpost alias reset`: a new, empty mailbox where password and recovery key of the old one are
 * lost. As `alias add`, the file is made first; then, in one transaction, all aliases of the old
 * mailbox lead to the new one, and the old one's slots go. Its files are kept for a while: should
 * its password be found after all, they open with it.
 */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

#include "base/clock.h"

/* All that lead to the old mailbox, also those beyond one page. */
static enum err move_aliases(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_alias *aliases;
    size_t count;

    do {
        TRY(account_alias_list_mailbox(database, &request->task, request->old_mailbox_row, &aliases,
                                       &count));
        for (size_t i = 0; i < count; i++)
            TRY(account_alias_set_mailbox(database, &request->task, aliases[i].row,
                                          request->mailbox_row));
    } while (count > 0);
    return ERR_OK;
}

static enum err exchange(struct admin_request *request, int64_t until_ms)
{
    struct account_database *database = request->admin->database;
    struct account_mailbox old;

    TRY(account_begin(database, &request->task));
    TRY(account_mailbox_at(database, &request->task, request->old_mailbox_row, &old));
    if (old.state != ACCOUNT_MAILBOX_ACTIVE)
        return admin_refuse(request, ERR_NOT_FOUND,
                            "The mailbox was reset or removed by another command meanwhile.");
    TRY(account_mailbox_activate(database, &request->task, request->mailbox_row));
    TRY(move_aliases(request));
    for (size_t i = 0; i < request->slot_count; i++)
        TRY(account_slot_add(database, &request->task, request->mailbox_row, &request->slots[i]));
    TRY(account_mailbox_retire(database, &request->task, request->old_mailbox_row, until_ms));
    TRY(account_mailbox_keep(database, &request->task, request->old_mailbox_row, until_ms));
    return account_commit(database, &request->task);
}

static enum err on_created(struct admin_request *request, bool is_done)
{
    struct admin *admin = request->admin;
    int64_t until_ms = request->task.now_ms + admin->services->reset_keep_ms(admin->owner);
    char until[CLOCK_ISO_ROOM];

    if (!is_done) {
        admin_hint(request, "The service's log says why. Nothing was changed; try again.");
        admin_say(request, "The mailbox file could not be made.");
        return fail(&request->task, ERR_IO, "the store did not make the mailbox file");
    }
    if (request->client == NULL) /* nobody would ever know the password */
        return fail(&request->task, ERR_BUSY, "the administrator went away");
    TRY(exchange(request, until_ms));
    admin->services->retire(admin->owner, &request->old_mailbox);
    clock_format_iso(until_ms, until);
    admin_say(request,
              "The mailbox is new and empty. What the old one holds opens with its old "
              "password only, and is removed after %s.",
              until);
    admin_put_text(request->reply, "address", admin_argument_text(request, "address"));
    admin_put_text(request->reply, "mailbox", id_str(&request->mailbox));
    admin_put_text(request->reply, "old_mailbox", id_str(&request->old_mailbox));
    admin_put_text(request->reply, "kept_until", str_from_c(until));
    admin_put_text(request->reply, "password", secret_str(request->password));
    if (request->recovery != NULL)
        admin_put_text(request->reply, "recovery_key", secret_str(request->recovery));
    admin_hint(request,
               "Write the password down: it is shown this once and kept nowhere. A recovery "
               "key (--recovery-key) helps the next time.");
    return ERR_OK;
}

static enum err insert_mailbox(struct admin_request *request, const struct account_mailbox *old)
{
    struct account_database *database = request->admin->database;

    request->mailbox = id_random();
    TRY(account_begin(database, &request->task));
    TRY(account_mailbox_add(database, &request->task, &request->mailbox, old->user, old->domain,
                            old->quota_bytes, &request->mailbox_row));
    return account_commit(database, &request->task);
}

enum err admin_alias_reset(struct admin_request *request)
{
    struct admin *admin = request->admin;
    struct account_mailbox old;
    struct account_alias alias;

    TRY(admin_find_alias(request, "address", &alias));
    if (alias.mailbox == 0)
        return admin_refuse(request, ERR_NOT_FOUND, "The alias has no mailbox.");
    TRY(account_mailbox_at(admin->database, &request->task, alias.mailbox, &old));
    request->old_mailbox = old.id;
    request->old_mailbox_row = old.row;
    TRY(insert_mailbox(request, &old));
    TRY(admin_make_mailbox_keys(request));
    if (admin->services->create_mailbox(admin->owner, &request->mailbox) != ERR_OK) {
        admin_hint(request, "It may be starting; try again in a moment.");
        return admin_refuse(request, ERR_BUSY, "The part that makes mailbox files does not run.");
    }
    request->resume = on_created;
    return ERR_OK;
}
