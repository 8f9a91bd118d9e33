/* `sealpost alias add`: another address of a mailbox, or a new mailbox (the steps: admin.h). */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

#include "base/random.h"
#include "secret/crypt.h"

static struct str address_text(struct admin_request *request)
{
    return account_address_text(&request->task, request->address.local, request->address.domain);
}

static enum err refuse_existing(struct admin_request *request)
{
    struct str text = address_text(request);

    admin_hint(request, "See it with: sealpost alias show %.*s", STR_ARG(text));
    return admin_refuse(request, ERR_EXISTS, "There is an alias %.*s already.", STR_ARG(text));
}

static enum err insert_alias(struct admin_request *request, int64_t mailbox_row)
{
    enum err err = account_alias_add(request->admin->database, &request->task, request->domain,
                                     request->address.local, mailbox_row);

    return err == ERR_EXISTS ? refuse_existing(request) : err;
}

static enum err add_to_mailbox(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_alias target;

    if (admin_argument_text(request, "user").len > 0 ||
        admin_argument_text(request, "quota").len > 0 ||
        admin_argument_flag(request, "recovery-key"))
        return admin_refuse(request, ERR_INVALID,
                            "With --to no mailbox is made: --user, --quota and --recovery-key "
                            "have no meaning.");
    TRY(admin_find_alias(request, "to", &target));
    TRY(account_begin(database, &request->task));
    TRY(insert_alias(request, target.mailbox));
    TRY(account_commit(database, &request->task));
    admin_say(request, "Alias %.*s was added; its mail goes to the mailbox of %.*s.",
              STR_ARG(address_text(request)),
              STR_ARG(account_address_text(&request->task, target.local, target.domain_name)));
    admin_put_text(request->reply, "address", address_text(request));
    admin_put_text(request->reply, "mailbox", id_str(&target.mailbox_id));
    return ERR_OK;
}

/* The user that was named, made where it is missing; else the domain's. Inside a transaction. */
static enum err owner(struct admin_request *request, const struct account_domain *domain,
                      int64_t *out_user)
{
    struct account_database *database = request->admin->database;
    struct str name = admin_argument_text(request, "user");
    struct account_user user;
    enum err err;

    *out_user = domain->user;
    if (name.len == 0)
        return ERR_OK;
    err = account_user_find(database, &request->task, name, &user);
    if (err == ERR_NOT_FOUND) {
        task_forgive(&request->task);
        return account_user_add(database, &request->task, name, ACCOUNT_UNLIMITED, out_user);
    }
    TRY(err);
    *out_user = user.row;
    return ERR_OK;
}

/* Step one: the row, so that a crash from here on leaves nothing behind unknown. */
static enum err insert_mailbox(struct admin_request *request, const struct account_domain *domain,
                               uint64_t quota)
{
    struct account_database *database = request->admin->database;
    int64_t user;

    request->mailbox = id_random();
    TRY(account_begin(database, &request->task));
    TRY(owner(request, domain, &user));
    TRY(account_mailbox_add(database, &request->task, &request->mailbox, user, domain->row, quota,
                            &request->mailbox_row));
    return account_commit(database, &request->task);
}

static enum err make_keys(struct admin_request *request)
{
    unsigned char salt[MAILBOX_SALT_BYTES];

    random_bytes(salt, sizeof(salt));
    request->password = secret_password();
    request->key = crypt_mailbox_key(secret_str(request->password), salt);
    TRY(account_slot_make(&request->task, &request->mailbox, ACCOUNT_SLOT_PASSWORD, STR(""),
                          ACCOUNT_ALL_SERVICES, secret_str(request->password), request->key,
                          &request->slots[0]));
    request->slot_count = 1;
    if (!admin_argument_flag(request, "recovery-key"))
        return ERR_OK;
    request->recovery = secret_password();
    TRY(account_slot_make(&request->task, &request->mailbox, ACCOUNT_SLOT_RECOVERY, STR(""), 0,
                          secret_str(request->recovery), request->key, &request->slots[1]));
    request->slot_count = 2;
    return ERR_OK;
}

/* The last step: the file is on disk, or it is not. */
static enum err on_created(struct admin_request *request, bool is_done)
{
    struct account_database *database = request->admin->database;

    if (!is_done) {
        admin_hint(request, "The service's log says why. Nothing was added; try again.");
        admin_say(request, "The mailbox file could not be made.");
        return fail(&request->task, ERR_IO, "the store did not make the mailbox file");
    }
    if (request->client == NULL) /* nobody would ever know the password */
        return fail(&request->task, ERR_BUSY, "the administrator went away");
    TRY(account_begin(database, &request->task));
    TRY(account_mailbox_activate(database, &request->task, request->mailbox_row));
    TRY(insert_alias(request, request->mailbox_row));
    for (size_t i = 0; i < request->slot_count; i++)
        TRY(account_slot_add(database, &request->task, request->mailbox_row,
                             &request->slots[i]));
    TRY(account_commit(database, &request->task));
    admin_say(request, "Alias %.*s was added, with a mailbox of its own.",
              STR_ARG(address_text(request)));
    admin_put_text(request->reply, "address", address_text(request));
    admin_put_text(request->reply, "mailbox", id_str(&request->mailbox));
    admin_put_text(request->reply, "password", secret_str(request->password));
    if (request->recovery != NULL)
        admin_put_text(request->reply, "recovery_key", secret_str(request->recovery));
    admin_hint(request, "Write the password down: it is shown this once and kept nowhere. Without "
                        "it nobody can open the mailbox.");
    return ERR_OK;
}

enum err admin_alias_add(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_domain domain;
    struct account_alias existing;
    uint64_t quota;
    enum err err;

    TRY(admin_argument_address(request, "address", &request->address));
    TRY(admin_argument_size(request, "quota", ACCOUNT_UNLIMITED, &quota));
    TRY(admin_find_domain(request, request->address.domain, &domain));
    request->domain = domain.row;
    err = account_alias_find(database, &request->task, domain.row, request->address.local,
                             &existing);
    if (err == ERR_OK)
        return refuse_existing(request);
    if (err != ERR_NOT_FOUND)
        return err;
    task_forgive(&request->task);
    if (admin_argument_text(request, "to").len > 0)
        return add_to_mailbox(request);
    TRY(insert_mailbox(request, &domain, quota));
    TRY(make_keys(request));
    err = request->admin->services->create_mailbox(request->admin->owner, &request->mailbox);
    if (err != ERR_OK) {
        admin_hint(request, "It may be starting; try again in a moment.");
        return admin_refuse(request, ERR_BUSY, "The part that makes mailbox files does not run.");
    }
    request->resume = on_created;
    return ERR_OK;
}
