/* `sealpost alias forward …`, `alias webhook …`: where an alias's mail goes beside its mailbox. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

#include "account/address.h"
#include "account/pattern.h"
#include "account/target.h"

static enum err list(struct admin_request *request, enum account_target_kind kind)
{
    json_t *items = admin_put_items(request);
    struct account_target_row *targets;
    struct account_alias alias;
    size_t count;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_target_list(request->admin->database, &request->task, alias.row, &targets,
                            &count));
    for (size_t i = 0; i < count; i++) {
        json_t *item;

        if (targets[i].kind != kind)
            continue;
        item = json_object();
        admin_put_text(item, kind == ACCOUNT_TARGET_FORWARD ? "target" : "url", targets[i].text);
        if (kind == ACCOUNT_TARGET_WEBHOOK)
            json_object_set_new(item, "raw", json_boolean(targets[i].is_raw));
        admin_put_text(item, "created", targets[i].created);
        json_array_append_new(items, item);
    }
    return ERR_OK;
}


static enum err take_off(struct admin_request *request, enum account_target_kind kind,
                       const char *argument)
{
    struct account_database *database = request->admin->database;
    struct str text = admin_argument_text(request, argument);
    struct account_alias alias;
    enum err err;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_begin(database, &request->task));
    err = account_target_remove(database, &request->task, alias.row, kind, text);
    if (err == ERR_NOT_FOUND)
        return admin_refuse(request, err, "%.*s has no target \"%.*s\".",
                            STR_ARG(admin_alias_name(request, &alias)), STR_ARG(text));
    TRY(err);
    TRY(account_commit(database, &request->task));
    admin_say(request, "Mail for %.*s goes there no more.",
              STR_ARG(admin_alias_name(request, &alias)));
    if (alias.mailbox == 0 || !alias.is_storing)
        admin_hint(request, "It is not stored: when its last target is gone, it is refused.");
    return ERR_OK;
}

/* Whether mail for this address is the alias's own: it has its name, maybe with a tag, for which there is
 * no alias. */
static enum err is_its_own(struct admin_request *request, const struct account_alias *alias,
                           struct str address, bool *out_is_its_own)
{
    struct account_address parsed;
    struct account_alias other;
    enum err err;

    *out_is_its_own = false;
    TRY(account_address_parse(&request->task, address, &parsed));
    if (!str_equal(parsed.domain, alias->domain_name) || !str_equal(parsed.base, alias->local))
        return ERR_OK;
    *out_is_its_own = parsed.detail.len == 0;
    if (*out_is_its_own)
        return ERR_OK;
    err = account_alias_find(request->admin->database, &request->task, alias->domain, parsed.local,
                             &other);
    if (err != ERR_NOT_FOUND)
        return err;
    task_forgive(&request->task);
    *out_is_its_own = true;
    return ERR_OK;
}

/* A target is tried on the alias's own address; with a pattern, on one that stands for all: each group
 * took "x". */
static enum err try_target(struct admin_request *request, const struct account_alias *alias,
                           struct str text)
{
    const struct account_destination destination = {
        .local = alias->is_pattern ? STR("x") : alias->local,
        .detail = STR(""),
        .domain = alias->domain_name};
    CLEANUP(account_pattern_free) struct account_pattern *pattern = NULL;
    struct account_captures captures;
    struct account_forward forward;
    bool leads_to_itself;

    if (alias->is_pattern) {
        for (size_t i = 0; i < ACCOUNT_CAPTURES; i++)
            captures.groups[i] = STR("x");
        TRY(account_pattern_compile(&request->task, alias->local, &pattern));
        TRY(account_pattern_expand(&request->task, text, &captures,
                                   account_pattern_groups(pattern), ACCOUNT_TARGET_TEXT_MAX,
                                   &text));
    }
    TRY(account_target_resolve(&request->task, text, &destination, &forward));
    if (alias->is_pattern || forward.via.len > 0)
        return ERR_OK;
    TRY(is_its_own(request, alias, forward.to, &leads_to_itself));
    return leads_to_itself ? fail(&request->task, ERR_INVALID, "it leads to itself") : ERR_OK;
}

enum err admin_add_forward(struct admin_request *request, const struct account_alias *alias,
                           struct str text)
{
    struct account_target_row row = {.kind = ACCOUNT_TARGET_FORWARD, .text = text};
    enum err err = try_target(request, alias, text);

    if (err != ERR_OK) {
        admin_hint(request, "A target is someone@example.org, someone@, example.org, or "
                            "mail.example.org:25.");
        return admin_refuse(request, ERR_INVALID, "\"%.*s\" is not a target: %s.", STR_ARG(text),
                            request->task.words);
    }
    err = account_target_add(request->admin->database, &request->task, alias->row, &row);
    if (err == ERR_EXISTS)
        return admin_refuse(request, err, "It goes there already.");
    return err;
}

enum err admin_add_webhook(struct admin_request *request, const struct account_alias *alias,
                           struct str url, bool is_raw)
{
    CLEANUP(secret_free) struct secret *secret = secret_password();
    const struct admin *admin = request->admin;
    struct account_target_row row = {.kind = ACCOUNT_TARGET_WEBHOOK,
                                     .text = url,
                                     .secret = secret_str(secret),
                                     .is_raw = is_raw};
    enum err err = account_webhook_check(&request->task, url);

    const char *reason;

    if (err != ERR_OK)
        return admin_refuse(request, err, "\"%.*s\" is no webhook: %s.", STR_ARG(url),
                            request->task.words);
    reason = admin->services->webhook_reason(admin->owner, url);
    if (reason != NULL) {
        admin_hint(request, "Who operates this host can allow it: webhook_allow and webhook_http in the "
                            "configuration.");
        return admin_refuse(request, ERR_INVALID, "\"%.*s\" would never be called: %s.", STR_ARG(url),
                            reason);
    }
    err = account_target_add(request->admin->database, &request->task, alias->row, &row);
    if (err == ERR_EXISTS)
        return admin_refuse(request, err, "It is called already.");
    TRY(err);
    admin_put_text(request->reply, "url", url);
    admin_put_text(request->reply, "secret", secret_str(secret));
    return ERR_OK;
}

enum err admin_forward_add(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct str text = admin_argument_text(request, "target");
    struct account_alias alias;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_begin(database, &request->task));
    TRY(admin_add_forward(request, &alias, text));
    TRY(account_commit(database, &request->task));
    admin_say(request, "Mail for %.*s is sent on to %.*s, too.",
              STR_ARG(admin_alias_name(request, &alias)), STR_ARG(text));
    if (alias.mailbox != 0 && alias.is_storing)
        admin_hint(request,
                   "It is stored as before; if it should not be: sealpost alias store off '%.*s'",
                   STR_ARG(admin_alias_name(request, &alias)));
    return ERR_OK;
}

enum err admin_forward_list(struct admin_request *request)
{
    return list(request, ACCOUNT_TARGET_FORWARD);
}

enum err admin_forward_remove(struct admin_request *request)
{
    return take_off(request, ACCOUNT_TARGET_FORWARD, "target");
}

enum err admin_webhook_add(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    struct account_alias alias;

    TRY(admin_find_alias(request, "address", &alias));
    TRY(account_begin(database, &request->task));
    TRY(admin_add_webhook(request, &alias, admin_argument_text(request, "url"),
                          admin_argument_flag(request, "raw")));
    TRY(account_commit(database, &request->task));
    admin_say(request, "Mail for %.*s is posted to the webhook.",
              STR_ARG(admin_alias_name(request, &alias)));
    admin_hint(request, "Give the secret to the receiver: calls are signed with it, and it is not "
                        "shown again.");
    return ERR_OK;
}

enum err admin_webhook_list(struct admin_request *request)
{
    return list(request, ACCOUNT_TARGET_WEBHOOK);
}

enum err admin_webhook_remove(struct admin_request *request)
{
    return take_off(request, ACCOUNT_TARGET_WEBHOOK, "url");
}
