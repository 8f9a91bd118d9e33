/* Requests in, replies out, and what waits in between. */
#include "account/admin/request.h"

#include "base/ascii.h"
#include "base/file.h"
#include "base/memory.h"

#include <string.h>

struct admin *admin_new(struct account_database *database, const struct account_signing *signing,
                        const struct account_buckets *buckets,
                        const struct admin_services *services, void *owner, const struct log *log)
{
    struct admin *admin = NEW(struct admin);

    admin->database = database;
    admin->signing = signing;
    admin->buckets = buckets;
    admin->services = services;
    admin->owner = owner;
    admin->log = log;
    return admin;
}

static void request_free(struct admin_request **request)
{
    struct admin_request *r = *request;

    if (r == NULL)
        return;
    json_decref(r->arguments);
    json_decref(r->reply);
    secret_free(&r->key);
    secret_free(&r->password);
    secret_free(&r->recovery);
    for (size_t i = 0; i < r->fd_count; i++)
        fd_close(&r->fds[i]);
    task_done(&r->task);
    mem_free(request);
}

static void free_all(struct admin_request **list)
{
    while (*list != NULL) {
        struct admin_request *request = *list;

        *list = request->next;
        request_free(&request);
    }
}

void admin_free(struct admin **admin)
{
    if (*admin == NULL)
        return;
    free_all(&(*admin)->waiting);
    free_all(&(*admin)->working);
    free_all(&(*admin)->asking);
    free_all(&(*admin)->jobs);
    free_all(&(*admin)->keyless);
    mem_free(admin);
}

uint64_t admin_new_tickets(struct admin *admin, uint64_t count)
{
    uint64_t first = admin->last_ticket + 1;

    admin->last_ticket += count;
    return first;
}

static const struct admin_status *status_of(enum err err)
{
    for (size_t i = 0; i < admin_status_count; i++) {
        if (admin_statuses[i].err == err)
            return &admin_statuses[i];
    }
    return &admin_statuses[1];
}

/* Reading is no event. */
static void log_outcome(const struct admin_request *request, enum err err, const char *status)
{
    const struct log *log = request->admin->log;
    const char *name = request->command == NULL ? "unknown" : request->command->name;

    if (err == ERR_IO || err == ERR_CORRUPT)
        log_error(log, "administrator's command failed: %s error=%s: %s", name, err_name(err),
                  request->task.words);
    else if (request->command != NULL && request->command->is_reading)
        log_debug(log, "administrator's command: %s result=%s", name, status);
    else
        log_info(log, "administrator's command: %s result=%s", name, status);
}

/* Answers and frees. */
static void finish(struct admin_request *request, enum err err)
{
    struct admin *admin = request->admin;
    const struct admin_status *status = status_of(err);
    char *text;

    account_rollback(admin->database);
    log_outcome(request, err, status->name);
    json_object_set_new(request->reply, "status", json_string(status->name));
    if (json_object_get(request->reply, "message") == NULL && err != ERR_OK)
        admin_say(request, "It did not work: %s.",
                  request->task.words[0] == '\0' ? status->meaning : request->task.words);
    text = json_dumps(request->reply, JSON_COMPACT);
    if (request->client != NULL && text != NULL)
        admin->services->reply(admin->owner, request->client, request->tag, str_from_c(text), true);
    if (text != NULL) {
        mem_wipe(text, strlen(text));
        mem_free(&text);
    }
    request_free(&request);
}

/* Text without control characters; tabs separate the columns of an imported line. */
static bool is_line(const json_t *value, size_t len_max, bool may_have_tabs)
{
    struct str text = str_make(json_string_value(value), json_string_length(value));

    if (text.len > len_max)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (ascii_is_control(text.ptr[i]) && !(may_have_tabs && text.ptr[i] == '\t'))
            return false;
    }
    return true;
}

/* The same with line breaks. */
static bool is_letter(const json_t *value)
{
    struct str text = str_make(json_string_value(value), json_string_length(value));

    if (text.len > ADMIN_LETTER_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (ascii_is_control(text.ptr[i]) && !ascii_is_space(text.ptr[i]))
            return false;
    }
    return true;
}

static bool has_right_kind(const struct admin_argument *argument, const json_t *value)
{
    switch (argument->kind) {
    case ADMIN_FLAG:
        return json_is_boolean(value);
    case ADMIN_KEY:
        return json_is_true(value);
    case ADMIN_PATH:
    case ADMIN_HINT:
        return false; /* stays with the command */
    case ADMIN_FILE:
        if (!json_is_array(value) || json_array_size(value) > ADMIN_LINES_MAX)
            return false;
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (!json_is_string(json_array_get(value, i)) ||
                !is_line(json_array_get(value, i), ADMIN_LINE_MAX, true))
                return false;
        }
        return true;
    case ADMIN_SECRET: /* any bytes: a wrong one is only wrong */
        return json_is_string(value) && json_string_length(value) <= ADMIN_LINE_MAX;
    case ADMIN_TEXT:
        return json_is_string(value) && json_string_length(value) > 0 &&
               is_line(value, ADMIN_NAME_MAX, false);
    case ADMIN_LETTER:
        return json_is_string(value) && json_string_length(value) > 0 &&
               is_letter(value);
    case ADMIN_ADDRESS:
    case ADMIN_DOMAIN:
    case ADMIN_SIZE:
    case ADMIN_SERVICES:
    case ADMIN_COUNT:
    case ADMIN_TIME:
    case ADMIN_ANSWER:
    case ADMIN_TARGET:
    case ADMIN_URL:
    case ADMIN_SENDER:
    case ADMIN_MESSAGE:
    case ADMIN_OUTPUT:
    case ADMIN_INPUT:
    case ADMIN_SOURCE:
        return json_is_string(value) && json_string_length(value) > 0 &&
               is_line(value, ADMIN_TEXT_MAX, false);
    }
    return false;
}

/* Every argument is in the table, has its kind, and none that is required is missing. */
static enum err check_arguments(struct admin_request *request)
{
    const char *name;
    json_t *value;

    json_object_foreach(request->arguments, name, value)
    {
        const struct admin_argument *argument =
            admin_argument_find(request->command, str_from_c(name));

        if (argument == NULL && request->command->columns != NULL &&
            strcmp(name, "after") == 0 && json_is_string(value))
            continue; /* where a list goes on */
        if (argument == NULL)
            return admin_refuse(request, ERR_INVALID, "%s takes no \"%.40s\".",
                                request->command->name, name);
        if (!has_right_kind(argument, value))
            return admin_refuse(request, ERR_INVALID, "The value of \"%s\" is not one it can have.",
                                argument->name);
    }
    for (const struct admin_argument *argument = request->command->arguments;
         argument->name != NULL; argument++) {
        if (argument->is_required && json_object_get(request->arguments, argument->name) == NULL)
            return admin_refuse(request, ERR_INVALID, "%s needs \"%s\".", request->command->name,
                                argument->name);
    }
    return ERR_OK;
}

static enum err read_request(struct admin_request *request, struct str json)
{
    json_error_t error;
    json_t *root = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &error);
    const json_t *name = json_object_get(root, "command");
    json_t *arguments = json_object_get(root, "arguments");
    enum err err = ERR_OK;

    if (!json_is_string(name) || (arguments != NULL && !json_is_object(arguments)))
        err = admin_refuse(request, ERR_INVALID, "That is not a request.");
    if (err == ERR_OK) {
        request->command = admin_command_find(
            str_make(json_string_value(name), json_string_length(name)));
        request->arguments = arguments != NULL ? json_incref(arguments) : json_object();
        if (request->command == NULL) {
            admin_hint(request, "See: sealpost --help");
            err = admin_refuse(request, ERR_INVALID, "There is no such command.");
        }
    }
    json_decref(root);
    return err == ERR_OK ? check_arguments(request) : err;
}

static void take_descriptors(struct admin_request *request, int *fds, size_t fd_count)
{
    for (size_t i = 0; i < fd_count && i < ARRAY_LEN(request->fds); i++) {
        request->fds[request->fd_count++] = fds[i];
        fds[i] = -1;
    }
}

/* It runs from its beginning when there is a key; so nothing of this run may stay. */
static void wait_for_key(struct admin_request *request)
{
    struct admin_request **end = &request->admin->keyless;

    account_rollback(request->admin->database);
    json_decref(request->reply);
    request->reply = json_object();
    json_object_set_new(request->reply, "status", json_null());
    task_forgive(&request->task);
    while (*end != NULL)
        end = &(*end)->next;
    request->next = NULL;
    *end = request;
}

static void put_into(struct admin_request **list, struct admin_request *request)
{
    request->next = *list;
    *list = request;
}

/* Runs the command; then it is answered, or waits for somebody. */
static void run(struct admin_request *request)
{
    struct admin *admin = request->admin;
    enum err err;

    admin->is_key_awaited = false;
    err = request->command->run(request);
    if (err == ERR_BUSY && admin->is_key_awaited) {
        wait_for_key(request);
    } else if (err != ERR_OK) {
        finish(request, err);
    } else if (request->portion != NULL) {
        put_into(&admin->working, request);
        admin->services->work_soon(admin->owner);
    } else if (request->is_job) {
        put_into(&admin->jobs, request);
    } else if (request->ticket != 0) {
        put_into(&admin->asking, request);
    } else if (request->resume != NULL) {
        put_into(&admin->waiting, request);
    } else {
        finish(request, ERR_OK);
    }
}

void admin_key_made(struct admin *admin, bool is_done, int64_t now_ms)
{
    struct admin_request *request = admin->keyless, *next;

    admin->keyless = NULL; /* those for whom there was not enough come back here */
    for (; request != NULL; request = next) {
        next = request->next;
        request->next = NULL;
        request->task.now_ms = now_ms;
        if (is_done)
            run(request);
        else
            finish(request, fail(&request->task, ERR_IO, "a key to sign mail with cannot be made"));
    }
}

void admin_request(struct admin *admin, struct str json, int *fds, size_t fd_count, int64_t now_ms,
                   void *client, uint64_t tag)
{
    struct admin_request *request = NEW(struct admin_request);
    enum err err;

    request->admin = admin;
    request->client = client;
    request->tag = tag;
    request->reply = json_object();
    json_object_set_new(request->reply, "status", json_null()); /* the first member */
    task_init(&request->task, now_ms);
    take_descriptors(request, fds, fd_count);
    err = read_request(request, json);
    if (err == ERR_OK)
        run(request);
    else
        finish(request, err);
}

void admin_work(struct admin *admin, int64_t now_ms)
{
    struct admin_request *request = admin->working;
    bool is_done = false;
    enum err err;

    if (request == NULL)
        return;
    request->task.now_ms = now_ms;
    err = account_begin(admin->database, &request->task);
    if (err == ERR_OK)
        err = request->portion(request, &is_done);
    if (err == ERR_OK)
        err = account_commit(admin->database, &request->task);
    if (err != ERR_OK || is_done) {
        admin->working = request->next;
        finish(request, err);
        admin_sweep(admin, now_ms);
    }
    if (admin->working != NULL)
        admin->services->work_soon(admin->owner);
}

static void forget_client(struct admin_request *request, const void *client)
{
    for (; request != NULL; request = request->next) {
        if (request->client == client)
            request->client = NULL;
    }
}

static void finish_asked(struct admin_request **link, enum err err)
{
    struct admin_request *request = *link;

    *link = request->next;
    finish(request, err);
}

/* What only this client asked the archivist ends. */
static void forget_archivist(struct admin *admin, const void *client)
{
    struct admin_request **link = &admin->asking;

    while (*link != NULL) {
        if ((*link)->client == client && (*link)->other == ADMIN_OTHER_ARCHIVIST) {
            admin->services->forget_archivist(admin->owner, (*link)->ticket);
            (*link)->client = NULL;
            finish_asked(link, ERR_BUSY);
        } else {
            link = &(*link)->next;
        }
    }
}

void admin_client_gone(struct admin *admin, const void *client)
{
    forget_archivist(admin, client);
    forget_client(admin->waiting, client);
    forget_client(admin->working, client);
    forget_client(admin->asking, client);
    forget_client(admin->keyless, client);
    for (struct admin_request *request = admin->jobs; request != NULL; request = request->next) {
        if (request->client == client)
            admin->services->cancel_job(admin->owner, request->ticket);
    }
    forget_client(admin->jobs, client);
}

const struct secret *admin_new_key(const struct admin *admin, const struct id *mailbox)
{
    for (struct admin_request *request = admin->waiting; request != NULL; request = request->next) {
        if (request->key != NULL && id_equal(&request->mailbox, mailbox))
            return request->key;
    }
    return NULL;
}

/* Goes on with the one that *link names. */
static void resume(struct admin_request **link, bool is_done, int64_t now_ms)
{
    struct admin_request *request = *link;
    enum err (*go_on)(struct admin_request *, bool) = request->resume;
    enum err err;

    *link = request->next;
    request->resume = NULL;
    request->task.now_ms = now_ms;
    err = go_on(request, is_done);
    finish(request, err);
}

static bool resume_mailbox(struct admin *admin, const struct id *mailbox, bool is_creating,
                           bool is_done, int64_t now_ms)
{
    for (struct admin_request **link = &admin->waiting; *link != NULL; link = &(*link)->next) {
        if (id_equal(&(*link)->mailbox, mailbox) && ((*link)->key != NULL) == is_creating) {
            resume(link, is_done, now_ms);
            return true;
        }
    }
    return false;
}

void admin_mailbox_created(struct admin *admin, const struct id *mailbox, bool is_done,
                           int64_t now_ms)
{
    (void)resume_mailbox(admin, mailbox, true, is_done, now_ms);
    admin_sweep(admin, now_ms);
}

/* The files are gone: so is the row. */
static void forget(struct admin *admin, int64_t row, int64_t now_ms)
{
    struct task task;
    enum err err;

    task_init(&task, now_ms);
    err = account_begin(admin->database, &task);
    if (err == ERR_OK)
        err = account_mailbox_forget(admin->database, &task, row);
    if (err == ERR_OK)
        err = account_commit(admin->database, &task);
    account_rollback(admin->database);
    if (err != ERR_OK)
        log_error(admin->log, "a removed mailbox's row stays error=%s: %s", err_name(err),
                  task.words);
    task_done(&task);
}

void admin_mailbox_removed(struct admin *admin, const struct id *mailbox, bool is_done,
                           int64_t now_ms)
{
    (void)resume_mailbox(admin, mailbox, false, is_done, now_ms);
    if (!id_is_set(&admin->sweeping) || !id_equal(&admin->sweeping, mailbox))
        return;
    admin->sweeping = (struct id){0};
    if (is_done)
        forget(admin, admin->sweeping_row, now_ms);
    else
        log_warning(admin->log, "a mailbox's files could not be removed mailbox=%s",
                    mailbox->text);
    /* One that stays is passed over until the store or the keeper starts again. */
    admin_sweep(admin, now_ms);
}

static enum err unavailable(struct admin_request *request)
{
    admin_hint(request, "Try again in a moment.");
    return admin_refuse(request, ERR_BUSY, "The part that would know is unavailable.");
}

void admin_store_changed(struct admin *admin, bool is_there, int64_t now_ms)
{
    admin->sweeping = (struct id){0};
    admin->sweeping_row = 0;
    if (is_there) {
        admin_sweep(admin, now_ms);
        return;
    }
    while (admin->waiting != NULL)
        resume(&admin->waiting, false, now_ms);
    while (admin->jobs != NULL)
        finish_asked(&admin->jobs, unavailable(admin->jobs));
}

/* The link to the request that this ticket is of; NULL: it is gone. */
static struct admin_request **asked_with(struct admin *admin, uint64_t ticket,
                                         enum admin_other other)
{
    for (struct admin_request **link = &admin->asking; *link != NULL; link = &(*link)->next) {
        bool is_its = (*link)->other == other ||
                      ((*link)->check != NULL && other == ADMIN_OTHER_COURIER);

        if (is_its && ticket >= (*link)->ticket &&
            ticket - (*link)->ticket < (*link)->ticket_count)
            return link;
    }
    return NULL;
}

/* An answer takes the place of our reply; its status becomes ours. */
static enum err take_answer(struct admin_request *request, struct str json)
{
    json_error_t error;
    json_t *answer = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &error);
    const json_t *name = json_object_get(answer, "status");

    for (size_t i = 0; json_is_string(name) && i < admin_status_count; i++) {
        if (strcmp(json_string_value(name), admin_statuses[i].name) == 0) {
            json_decref(request->reply);
            request->reply = answer;
            return admin_statuses[i].err;
        }
    }
    json_decref(answer);
    return fail(&request->task, ERR_IO, "another role's answer is none");
}

static void answered(struct admin *admin, enum admin_other other, uint64_t ticket, struct str json)
{
    struct admin_request **link = asked_with(admin, ticket, other);
    enum err err;

    if (link == NULL)
        return;
    err = take_answer(*link, json);
    if (err == ERR_OK && (*link)->answered != NULL)
        err = (*link)->answered(*link);
    finish_asked(link, err);
}

void admin_courier_answered(struct admin *admin, uint64_t ticket, struct str json)
{
    struct admin_request **link = asked_with(admin, ticket, ADMIN_OTHER_COURIER);

    if (link == NULL || (*link)->check == NULL)
        answered(admin, ADMIN_OTHER_COURIER, ticket, json);
    else if (admin_check_policy_answered(*link, json))
        finish_asked(link, ERR_OK);
}

void admin_archivist_answered(struct admin *admin, uint64_t ticket, struct str json)
{
    answered(admin, ADMIN_OTHER_ARCHIVIST, ticket, json);
}

static void gone(struct admin *admin, enum admin_other other)
{
    struct admin_request **link = &admin->asking;

    while (*link != NULL) {
        if ((*link)->other == other)
            finish_asked(link, unavailable(*link));
        else
            link = &(*link)->next;
    }
}

void admin_courier_gone(struct admin *admin)
{
    struct admin_request **link = &admin->asking;

    gone(admin, ADMIN_OTHER_COURIER);
    while (*link != NULL) {
        if ((*link)->check != NULL && admin_check_policy_answered(*link, STR("")))
            finish_asked(link, ERR_OK);
        else
            link = &(*link)->next;
    }
}

void admin_archivist_gone(struct admin *admin)
{
    gone(admin, ADMIN_OTHER_ARCHIVIST);
}

void admin_dns_answered(struct admin *admin, uint64_t ticket, const struct dns_answer *answer)
{
    struct admin_request **link = asked_with(admin, ticket, ADMIN_OTHER_DNS);

    if (link != NULL && admin_check_answered(*link, ticket, answer))
        finish_asked(link, ERR_OK);
}

void admin_job_replied(struct admin *admin, uint64_t ticket, enum wire_status status,
                       struct str json, bool is_last)
{
    struct admin_request **link = &admin->jobs;

    while (*link != NULL && (*link)->ticket != ticket)
        link = &(*link)->next;
    if (*link == NULL)
        return;
    if (is_last)
        finish_asked(link, admin_job_result(*link, status, json));
    else if ((*link)->client != NULL)
        admin_job_progress(*link, json);
}

static bool is_late(const struct admin_request *request, int64_t now_ms, int64_t limit_ms)
{
    int64_t waited_ms = now_ms - request->task.now_ms;

    return waited_ms >= limit_ms || waited_ms < -limit_ms;
}

static void expire_asked(struct admin_request **link, int64_t now_ms, int64_t limit_ms)
{
    while (*link != NULL) {
        struct admin_request *request = *link;

        if (!is_late(request, now_ms, limit_ms)) {
            link = &request->next;
            continue;
        }
        if (request->other == ADMIN_OTHER_ARCHIVIST)
            request->admin->services->forget_archivist(request->admin->owner, request->ticket);
        finish_asked(link, unavailable(request));
    }
}

void admin_expire(struct admin *admin, int64_t now_ms, int64_t limit_ms)
{
    struct admin_request **link = &admin->waiting;

    while (*link != NULL) {
        if (is_late(*link, now_ms, limit_ms))
            resume(link, false, now_ms);
        else
            link = &(*link)->next;
    }
    expire_asked(&admin->asking, now_ms, limit_ms);
    expire_asked(&admin->keyless, now_ms, limit_ms);
}

static bool is_waited_for(const struct admin *admin, const struct id *mailbox)
{
    for (const struct admin_request *request = admin->waiting; request != NULL;
         request = request->next) {
        if (id_equal(&request->mailbox, mailbox))
            return true;
    }
    return false;
}

void admin_sweep(struct admin *admin, int64_t now_ms)
{
    struct task task;
    struct id id;
    int64_t row = admin->sweeping_row;
    enum err err;

    if (id_is_set(&admin->sweeping))
        return; /* goes on with the answer */
    task_init(&task, now_ms);
    do {
        err = account_mailbox_unfinished(admin->database, &task, row, &row, &id);
    } while (err == ERR_OK && row != 0 && is_waited_for(admin, &id));
    if (err == ERR_OK && row != 0) {
        admin->sweeping = id;
        admin->sweeping_row = row;
        if (admin->services->remove_mailbox(admin->owner, &id) != ERR_OK)
            admin->sweeping = (struct id){0};
    } else if (err == ERR_OK) {
        admin->sweeping_row = 0;
    } else {
        log_error(admin->log, "left-over mailboxes cannot be listed error=%s: %s", err_name(err),
                  task.words);
    }
    task_done(&task);
}
