#include "account/purge.h"

#include "base/memory.h"

#include <jansson.h>
#include <string.h>

enum { PAGES_AT_A_TIME = 16 }; /* then it is others' turn; one is compared with the next */

static const uint64_t TAG_FIRST = UINT64_C(1) << 62; /* apart from what else the keeper asks */

struct account_purge {
    struct account_database *database;
    const struct account_purge_services *services;
    void *owner;
    const struct log *log;
    bool is_there;
    struct account_purge_row current; /* row 0: nothing is under way */
    uint64_t tag;                     /* of the questions that are open */
    json_t *names;                    /* own; the page whose objects go */
    size_t next_name, page_count;
    size_t removing_count; /* answers that are to come */
    bool has_failed;
    char *first_name; /* own; of the last page: it must not come again */
};

struct account_purge *account_purge_new(struct account_database *database,
                                        const struct account_purge_services *services, void *owner,
                                        const struct log *log)
{
    struct account_purge *purge = NEW(struct account_purge);

    purge->database = database;
    purge->services = services;
    purge->owner = owner;
    purge->log = log;
    purge->tag = TAG_FIRST;
    return purge;
}

/* Whatever is still answered is not ours any more. */
static void let_go(struct account_purge *purge)
{
    purge->tag++;
    purge->current = (struct account_purge_row){0};
    purge->removing_count = 0;
    purge->next_name = purge->page_count = 0;
    purge->has_failed = false;
    json_decref(purge->names);
    purge->names = NULL;
    mem_free(&purge->first_name);
}

void account_purge_free(struct account_purge **purge)
{
    if (*purge == NULL)
        return;
    let_go(*purge);
    mem_free(purge);
}

/* --- The row --- */

enum outcome { OUTCOME_FAILED, OUTCOME_NOT_YET, OUTCOME_MORE, OUTCOME_EMPTY, OUTCOME_GONE };

static enum err write_outcome(struct account_purge *purge, struct task *task, enum outcome outcome)
{
    int64_t row = purge->current.row;

    TRY(account_begin(purge->database, task));
    switch (outcome) {
    case OUTCOME_FAILED:
    case OUTCOME_NOT_YET:
        TRY(account_purge_put_off(purge->database, task, row, task->now_ms + PURGE_RETRY_MS, false));
        break;
    case OUTCOME_MORE: /* behind those that are due */
        TRY(account_purge_put_off(purge->database, task, row, task->now_ms, false));
        break;
    case OUTCOME_EMPTY:
        TRY(account_purge_put_off(purge->database, task, row, task->now_ms + PURGE_CHECK_MS, true));
        break;
    case OUTCOME_GONE:
        TRY(account_purge_done(purge->database, task, row));
        break;
    }
    return account_commit(purge->database, task);
}

/* The one at hand is over for now. */
static void end(struct account_purge *purge, enum outcome outcome, const char *words,
                int64_t now_ms)
{
    struct task task;

    task_init(&task, now_ms);
    if (outcome == OUTCOME_FAILED)
        log_warning(purge->log, "backups of a removed mailbox stay for now mailbox=%s: %s",
                    purge->current.mailbox.text, words);
    else if (outcome == OUTCOME_NOT_YET)
        log_info(purge->log, "backups of a removed mailbox are on their way still mailbox=%s",
                 purge->current.mailbox.text);
    else if (outcome == OUTCOME_GONE)
        log_info(purge->log, "no backup of a removed mailbox is left mailbox=%s",
                 purge->current.mailbox.text);
    if (write_outcome(purge, &task, outcome) != ERR_OK)
        log_failure(purge->log, "noting what became of a removed mailbox's backups", &task);
    else if (outcome == OUTCOME_GONE)
        purge->services->gone(purge->owner, &purge->current.mailbox);
    account_rollback(purge->database);
    task_done(&task);
    let_go(purge);
}

/* --- Its objects --- */

static void ask_list(struct account_purge *purge, int64_t now_ms)
{
    json_decref(purge->names);
    purge->names = NULL;
    purge->tag++;
    if (purge->services->list(purge->owner, &purge->current.mailbox, purge->tag) != ERR_OK)
        end(purge, OUTCOME_FAILED, "the archivist takes no question", now_ms);
}

static void remove_more(struct account_purge *purge, int64_t now_ms)
{
    size_t count = json_array_size(purge->names);

    while (!purge->has_failed && purge->next_name < count &&
           purge->removing_count < PURGE_AT_A_TIME) {
        const json_t *name = json_array_get(purge->names, purge->next_name++);

        if (purge->services->remove(purge->owner, &purge->current.mailbox,
                                    str_make(json_string_value(name), json_string_length(name)),
                                    purge->tag) == ERR_OK)
            purge->removing_count++;
        else
            purge->has_failed = true;
    }
    if (purge->removing_count > 0)
        return;
    if (purge->has_failed) {
        end(purge, OUTCOME_FAILED, "an object could not be deleted", now_ms);
    } else if (++purge->page_count == PAGES_AT_A_TIME) {
        end(purge, OUTCOME_MORE, "", now_ms);
        account_purge_run(purge, now_ms);
    } else {
        ask_list(purge, now_ms);
    }
}

/* The names of a page; NULL: it makes no sense. */
static json_t *read_names(struct str json)
{
    json_error_t error;
    json_t *page = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &error);
    json_t *names = json_is_array(page) ? json_array() : NULL;

    for (size_t i = 0; names != NULL && i < json_array_size(page); i++) {
        json_t *name = json_object_get(json_array_get(page, i), "name");

        if (!json_is_string(name)) {
            json_decref(names);
            names = NULL;
            break;
        }
        json_array_append(names, name);
    }
    json_decref(page);
    return names;
}

/* Deleted objects that are listed still would be deleted for ever. */
static bool is_same_page(struct account_purge *purge)
{
    const json_t *first = json_array_get(purge->names, 0);
    bool is_same = purge->first_name != NULL &&
                   strcmp(purge->first_name, json_string_value(first)) == 0;

    mem_free(&purge->first_name);
    purge->first_name = mem_copy_text(json_string_value(first), json_string_length(first));
    return is_same;
}

void account_purge_listed(struct account_purge *purge, uint64_t tag, enum wire_status status,
                          struct str json, int64_t now_ms)
{
    bool was_there = status == WIRE_OK || status == WIRE_DEFERRED;

    if (purge->current.row == 0 || tag != purge->tag || purge->names != NULL)
        return;
    purge->names = status == WIRE_OK ? read_names(json) : NULL;
    purge->next_name = 0;
    if (status == WIRE_DEFERRED) {
        end(purge, OUTCOME_NOT_YET, "", now_ms);
    } else if (purge->names == NULL) {
        end(purge, OUTCOME_FAILED, "they could not be listed", now_ms);
    } else if (json_array_size(purge->names) == 0) {
        end(purge, purge->current.is_empty ? OUTCOME_GONE : OUTCOME_EMPTY, "", now_ms);
    } else if (is_same_page(purge)) {
        end(purge, OUTCOME_FAILED, "what was deleted is still there", now_ms);
    } else {
        purge->current.is_empty = false;
        remove_more(purge, now_ms);
    }
    /* Without a destination the others wait, too. */
    if (was_there)
        account_purge_run(purge, now_ms);
}

void account_purge_removed(struct account_purge *purge, uint64_t tag, enum wire_status status,
                           int64_t now_ms)
{
    if (purge->current.row == 0 || tag != purge->tag || purge->removing_count == 0)
        return;
    purge->removing_count--;
    if (status != WIRE_OK && status != WIRE_UNKNOWN)
        purge->has_failed = true;
    remove_more(purge, now_ms);
}

/* --- The next one --- */

void account_purge_run(struct account_purge *purge, int64_t now_ms)
{
    struct task task;

    if (!purge->is_there || purge->current.row != 0)
        return;
    task_init(&task, now_ms);
    if (account_purge_next(purge->database, &task, &purge->current) != ERR_OK) {
        purge->current.row = 0;
        log_failure(purge->log, "looking for removed mailboxes' backups", &task);
    }
    task_done(&task);
    if (purge->current.row != 0)
        ask_list(purge, now_ms);
}

void account_purge_set_peer(struct account_purge *purge, bool is_there, int64_t now_ms)
{
    let_go(purge);
    purge->is_there = is_there;
    account_purge_run(purge, now_ms);
}
