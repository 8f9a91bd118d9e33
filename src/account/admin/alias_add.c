/*
 * `sealpost alias add`: another address of a mailbox, one that only sends on, a regular expression,
 * or a new mailbox (the steps: admin.h).
 */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

#include "account/pattern.h"
#include "base/random.h"
#include "secret/crypt.h"

static struct str address_text(struct admin_request *request)
{
    const struct account_alias alias = {.local = request->address.local,
                                        .domain_name = request->address.domain,
                                        .is_pattern = request->is_pattern};

    return admin_alias_name(request, &alias);
}

static enum err refuse_existing(struct admin_request *request)
{
    struct str text = address_text(request);

    admin_hint(request, "See it with: sealpost alias show %.*s", STR_ARG(text));
    return admin_refuse(request, ERR_EXISTS, "There is an alias %.*s already.", STR_ARG(text));
}

static enum err insert_alias(struct admin_request *request, int64_t mailbox_row)
{
    struct account_database *database = request->admin->database;
    enum err err;

    if (request->is_pattern)
        err = account_alias_add_pattern(database, &request->task, request->domain,
                                        request->address.local, mailbox_row);
    else
        err = account_alias_add(database, &request->task, request->domain, request->address.local,
                                mailbox_row);
    return err == ERR_EXISTS ? refuse_existing(request) : err;
}

static enum err find_same(struct admin_request *request, struct account_alias *out_alias)
{
    struct account_database *database = request->admin->database;

    if (request->is_pattern)
        return account_alias_find_pattern(database, &request->task, request->domain,
                                          request->address.local, out_alias);
    return account_alias_find(database, &request->task, request->domain, request->address.local,
                              out_alias);
}

static bool has_target(const struct admin_request *request)
{
    return admin_argument_text(request, "forward").len > 0 ||
           admin_argument_text(request, "webhook").len > 0;
}

/* --forward and --webhook, for the alias that was just inserted. Inside the transaction. */
static enum err add_targets(struct admin_request *request)
{
    struct str forward = admin_argument_text(request, "forward");
    struct str webhook = admin_argument_text(request, "webhook");
    struct account_alias alias;

    if (!has_target(request))
        return ERR_OK;
    TRY(find_same(request, &alias));
    if (forward.len > 0)
        TRY(admin_add_forward(request, &alias, forward));
    if (webhook.len > 0)
        TRY(admin_add_webhook(request, &alias, webhook, false));
    return ERR_OK;
}

/* An alias without a mailbox of its own: of another alias's, of none, or both of its kinds. */
static enum err add_without_mailbox(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_alias target = {.mailbox = 0};
    bool has_mailbox = admin_argument_text(request, "to").len > 0;
    struct str name = address_text(request);

    if (admin_argument_text(request, "user").len > 0 ||
        admin_argument_text(request, "quota").len > 0 ||
        admin_argument_flag(request, "recovery-key"))
        return admin_refuse(request, ERR_INVALID,
                            "With --to, --forward or --webhook no mailbox is made: --user, --quota "
                            "and --recovery-key have no meaning.");
    if (has_mailbox)
        TRY(admin_find_alias(request, "to", &target));
    if (has_mailbox && target.mailbox == 0)
        return admin_refuse(request, ERR_INVALID, "%.*s has no mailbox.",
                            STR_ARG(admin_alias_name(request, &target)));
    TRY(account_begin(database, &request->task));
    TRY(insert_alias(request, target.mailbox));
    TRY(add_targets(request));
    TRY(account_commit(database, &request->task));
    admin_put_text(request->reply, "address", name);
    if (has_mailbox) {
        admin_say(request, "Alias %.*s was added; its mail goes to the mailbox of %.*s.",
                  STR_ARG(name), STR_ARG(admin_alias_name(request, &target)));
        admin_put_text(request->reply, "mailbox", id_str(&target.mailbox_id));
    } else {
        admin_say(request, "Alias %.*s was added; its mail is sent on.", STR_ARG(name));
    }
    return ERR_OK;
}

/* Before it is stored: does it compile? */
static enum err check_pattern(struct admin_request *request)
{
    struct account_pattern *pattern = NULL;

    if (account_pattern_compile(&request->task, request->address.local, &pattern) != ERR_OK)
        return admin_refuse(request, ERR_INVALID, "The regular expression is not one: %s.",
                            request->task.words);
    account_pattern_free(&pattern);
    if (has_target(request) || admin_argument_text(request, "to").len > 0)
        return ERR_OK;
    return admin_refuse(request, ERR_INVALID,
                        "A regular expression has no mailbox of its own: say --to, --forward or "
                        "--webhook.");
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

enum err admin_make_mailbox_keys(struct admin_request *request)
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
    struct account_domain domain;
    struct account_alias existing;
    uint64_t quota;
    enum err err;

    TRY(admin_argument_alias(request, "address", &request->address, &request->is_pattern));
    TRY(admin_argument_size(request, "quota", ACCOUNT_UNLIMITED, &quota));
    TRY(admin_find_domain_named(request, request->address.domain, &domain));
    request->domain = domain.row;
    err = find_same(request, &existing);
    if (err == ERR_OK)
        return refuse_existing(request);
    if (err != ERR_NOT_FOUND)
        return err;
    task_forgive(&request->task);
    if (request->is_pattern)
        TRY(check_pattern(request));
    if (has_target(request) || admin_argument_text(request, "to").len > 0)
        return add_without_mailbox(request);
    TRY(insert_mailbox(request, &domain, quota));
    TRY(admin_make_mailbox_keys(request));
    err = request->admin->services->create_mailbox(request->admin->owner, &request->mailbox);
    if (err != ERR_OK) {
        admin_hint(request, "It may be starting; try again in a moment.");
        return admin_refuse(request, ERR_BUSY, "The part that makes mailbox files does not run.");
    }
    request->resume = on_created;
    return ERR_OK;
}
