/*
 * Commands that an owner has done in his mailbox's own process, with his password: the keeper
 * checks it, and passes the rest on with the descriptors that the command brought. There is one
 * table of what a mailbox process can do, mailbox/jobs.c; here nothing of it is known.
 */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

#include "account/slot.h"
#include "base/memory.h"
#include "secret/pass.h"

#include <string.h>

/* As many descriptors as arguments that stand for one: the kernel leaves out what a process has no
 * room for. */
static enum err check_descriptors(struct admin_request *request)
{
    size_t count = 0;

    for (const struct admin_argument *argument = request->command->arguments;
         argument->name != NULL; argument++) {
        if ((argument->kind == ADMIN_OUTPUT || argument->kind == ADMIN_INPUT ||
             argument->kind == ADMIN_SOURCE || argument->kind == ADMIN_KEY) &&
            json_object_get(request->arguments, argument->name) != NULL)
            count++;
    }
    if (count == request->fd_count)
        return ERR_OK;
    return admin_refuse(request, ERR_BUSY, "The command's file did not come along.");
}

static enum err check_owner(struct admin_request *request, const struct account_alias *alias,
                            struct secret **out_key)
{
    struct admin *admin = request->admin;
    enum err err = admin->services->check_owner(admin->owner, &request->task, alias->mailbox,
                                                &alias->mailbox_id,
                                                admin_argument_text(request, "password"), out_key);

    if (err == ERR_LIMIT) {
        admin_hint(request, "Wait a while, then try again.");
        return admin_refuse(request, err, "There were too many wrong passwords.");
    }
    if (err == ERR_DENIED)
        return admin_refuse(request, err, "That is not the mailbox's password or recovery key.");
    return err;
}

/* Passwords beside the mailbox's own: only its process can read them on their way. */
static enum err seal_secrets(struct admin_request *request, const struct secret *key)
{
    CLEANUP(secret_free) struct secret *mailbox_key = account_keys_first(key);
    CLEANUP(secret_free) struct secret *sealing = pass_key(mailbox_key);

    for (const struct admin_argument *argument = request->command->arguments;
         argument->name != NULL; argument++) {
        struct str plain = admin_argument_text(request, argument->name);
        CLEANUP(buf_free) struct buf text = {0};

        if (argument->kind != ADMIN_SECRET || plain.len == 0)
            continue;
        buf_init(&text, SIZE_MAX);
        TRY(pass_seal(&text, sealing, str_from_c(argument->name), plain));
        admin_put_text(request->arguments, argument->name, buf_str(&text));
    }
    return ERR_OK;
}

static enum err start(struct admin_request *request, const struct account_alias *alias,
                      const struct secret *key)
{
    struct admin *admin = request->admin;
    struct admin_job job = {
        .mailbox = alias->mailbox_id,
        .key = key,
        .kind = str_from_c(request->command->name),
        .fds = request->fds,
        .fd_count = request->fd_count,
    };
    char *text = json_dumps(request->arguments, JSON_COMPACT);
    enum err err = ERR_INVALID;

    if (text != NULL) {
        job.json = str_from_c(text);
        err = admin->services->start_job(admin->owner, &request->task, request->ticket, &job);
        mem_wipe(text, strlen(text));
        mem_free(&text);
    }
    if (err == ERR_BUSY) {
        admin_hint(request, "It may be starting; try again in a moment.");
        return admin_refuse(request, err, "The part that has the mailboxes is unavailable.");
    }
    return err;
}

enum err admin_job(struct admin_request *request)
{
    CLEANUP(secret_free) struct secret *key = NULL;
    struct account_alias alias;

    TRY(check_descriptors(request));
    TRY(admin_find_alias(request, "address", &alias));
    if (alias.mailbox == 0)
        return admin_refuse(request, ERR_NOT_FOUND, "The alias has no mailbox.");
    TRY(check_owner(request, &alias, &key));
    json_object_del(request->arguments, "password");
    TRY(seal_secrets(request, key));
    request->ticket = admin_new_tickets(request->admin, 1);
    request->ticket_count = 1;
    TRY(start(request, &alias, key));
    request->is_job = true;
    return ERR_OK;
}

static enum err err_of(enum wire_status status)
{
    switch (status) {
    case WIRE_OK:
        return ERR_OK;
    case WIRE_DENIED:
    case WIRE_THROTTLED:
    case WIRE_REFUSED:
        return ERR_DENIED;
    case WIRE_UNKNOWN:
    case WIRE_NOT_LOCAL:
        return ERR_NOT_FOUND;
    case WIRE_OVER_QUOTA:
    case WIRE_DISK_FULL:
        return ERR_LIMIT;
    case WIRE_DISABLED:
    case WIRE_INVALID:
        return ERR_INVALID;
    case WIRE_EXISTS:
        return ERR_EXISTS;
    case WIRE_DAMAGED:
        return ERR_CORRUPT;
    case WIRE_UNAVAILABLE:
    case WIRE_DEFERRED:
        break;
    }
    return ERR_BUSY;
}

enum err admin_job_result(struct admin_request *request, enum wire_status status, struct str json)
{
    json_error_t error;
    json_t *result = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &error);

    /* Without one, its process was lost, or could not be had. */
    if (json_is_object(result)) {
        json_object_update(request->reply, result);
    } else if (status == WIRE_DAMAGED) {
        admin_say(request, "The mailbox's file does not open; the log says why.");
    } else {
        admin_hint(request, "Try again in a moment.");
        admin_say(request, "The mailbox's process ended before it was done.");
        if (status == WIRE_OK)
            status = WIRE_UNAVAILABLE;
    }
    json_decref(result);
    if (status != WIRE_OK)
        return fail(&request->task, err_of(status), "the mailbox's process could not do it");
    return ERR_OK;
}

void admin_job_progress(struct admin_request *request, struct str json)
{
    struct admin *admin = request->admin;
    json_error_t error;
    json_t *message = json_object();
    char *text;

    json_object_set_new(message, "progress", json_loadb(json.ptr, json.len, 0, &error));
    text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (text != NULL)
        admin->services->reply(admin->owner, request->client, request->tag, str_from_c(text),
                               false);
    mem_free(&text);
}
