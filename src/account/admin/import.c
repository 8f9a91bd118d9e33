/*
 * `sealpost alias import`: many aliases for mailboxes that exist. The command line sends the file
 * in portions; one portion is one transaction. A line that cannot be added is reported and passed
 * over.
 */
#include "account/admin/handlers.h"
#include "account/admin/request.h"
#include "base/ascii.h"

enum line_result { LINE_ADDED, LINE_THERE, LINE_EMPTY, LINE_WRONG };

/* line = new-address (white-space / ",") existing-address; "#" begins a comment */
static bool split_line(struct str line, struct str *out_new, struct str *out_existing)
{
    size_t end = 0;

    while (end < line.len && !ascii_is_space(line.ptr[end]) && line.ptr[end] != ',')
        end++;
    *out_new = str_upto(line, end);
    *out_existing = str_trim(str_from(line, end + 1));
    if (out_existing->len > 0 && out_existing->ptr[0] == ',')
        *out_existing = str_trim(str_from(*out_existing, 1));
    return out_new->len > 0 && out_existing->len > 0;
}

static enum err find(struct admin_request *request, struct task *task, struct str text,
                     struct account_address *out_address, int64_t *out_domain,
                     struct account_alias *out_alias)
{
    TRY(account_address_parse(task, text, out_address));
    TRY(account_domain_row(request->admin->database, task, out_address->domain, out_domain));
    return account_alias_find(request->admin->database, task, *out_domain, out_address->local,
                              out_alias);
}

/* `task` is the line's own, so that a long portion keeps no memory. */
static enum err add_line(struct admin_request *request, struct task *task, struct str line,
                         enum line_result *out_result, const char **out_reason)
{
    struct account_address address;
    struct account_alias existing, target;
    struct str new_text, existing_text;
    int64_t domain, target_domain;
    enum err err;

    line = str_trim(line);
    *out_result = LINE_EMPTY;
    if (line.len == 0 || line.ptr[0] == '#')
        return ERR_OK;
    *out_result = LINE_WRONG;
    *out_reason = "is not two addresses";
    if (!split_line(line, &new_text, &existing_text))
        return ERR_OK;
    err = find(request, task, existing_text, &address, &target_domain, &target);
    *out_reason = "leads to an alias that does not exist";
    if (err == ERR_NOT_FOUND || err == ERR_INVALID)
        return ERR_OK;
    TRY(err);
    *out_reason = "leads to an alias that has no mailbox";
    if (target.mailbox == 0)
        return ERR_OK;
    err = find(request, task, new_text, &address, &domain, &existing);
    *out_reason = "is not an address";
    if (err == ERR_INVALID)
        return ERR_OK;
    *out_reason = "leads to another mailbox already";
    if (err == ERR_OK)
        *out_result = existing.mailbox == target.mailbox ? LINE_THERE : LINE_WRONG;
    if (err != ERR_NOT_FOUND)
        return err;
    task_forgive(task);
    *out_reason = "is of a domain that is not here";
    if (domain == 0)
        return ERR_OK;
    *out_result = LINE_ADDED;
    return account_alias_add(request->admin->database, task, domain, address.local,
                             target.mailbox);
}

static void put_problem(json_t *problems, size_t index, const char *reason)
{
    json_t *problem = json_object();

    admin_put_size(problem, "line", index + 1);
    admin_put_text(problem, "reason", str_from_c(reason));
    json_array_append_new(problems, problem);
}

enum err admin_alias_import(struct admin_request *request)
{
    struct account_database *database = request->admin->database;
    const json_t *lines = json_object_get(request->arguments, "file");
    json_t *problems = json_array();
    uint64_t added = 0, there = 0;

    json_object_set_new(request->reply, "problems", problems);
    TRY(account_begin(database, &request->task));
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i);
        enum line_result result = LINE_EMPTY;
        const char *reason = "";
        struct task task;
        enum err err;

        task_init(&task, request->task.now_ms);
        err = add_line(request, &task,
                       str_make(json_string_value(line), json_string_length(line)), &result,
                       &reason);
        if (err != ERR_OK)
            (void)fail(&request->task, err, "%s", task.words);
        task_done(&task);
        TRY(err);
        added += result == LINE_ADDED;
        there += result == LINE_THERE;
        if (result == LINE_WRONG)
            put_problem(problems, i, reason);
    }
    TRY(account_commit(database, &request->task));
    admin_put_size(request->reply, "added", added);
    admin_put_size(request->reply, "there_already", there);
    return ERR_OK;
}
