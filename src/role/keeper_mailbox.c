/*
 * The keeper's channels to the mailbox processes: a key for those whose mailbox has a session or is
 * being made, usage from them, limits to them.
 */
#include "role/keeper.h"

#include "account/resolve.h"
#include "account/slot.h"
#include "base/clock.h"
#include "base/memory.h"
#include "dropbox/key.h"
#include "secret/crypt.h"
#include "secret/pass.h"

struct keeper_mailbox {
    struct keeper_mailbox *next;
    struct keeper *keeper; /* borrowed */
    struct id id;
    struct wire_channel *channel; /* own */
    uint64_t limit_bytes;         /* as it was told last */
    bool has_key; /* from us, or from an earlier keeper */
};

static void unlink_and_free(struct keeper_mailbox *mailbox)
{
    struct keeper_mailbox **link = &mailbox->keeper->mailboxes;

    while (*link != mailbox)
        link = &(*link)->next;
    *link = mailbox->next;
    mailbox->keeper->mailbox_count--;
    wire_channel_free(&mailbox->channel);
    mem_free(&mailbox);
}

static void on_opened(struct keeper_mailbox *mailbox, struct task *task,
                      const struct wire_mailbox_opened *body)
{
    struct keeper *keeper = mailbox->keeper;

    if (body->was_rolled_back)
        log_error(keeper->log, "a mailbox file is older than it was: it was rolled back mailbox=%s",
                  mailbox->id.text);
    if (body->status != WIRE_OK || !mailbox->has_key)
        return;
    /* It took over its drop box before it said so. */
    if (account_mailbox_set_drop(keeper->database, task, &mailbox->id, 0) != ERR_OK)
        task_forgive(task); /* a mailbox that is being made has nothing to lose */
    keeper_tick_soon(keeper);
}

static void on_usage(struct keeper_mailbox *mailbox, struct task *task,
                     const struct wire_mailbox_usage *body)
{
    struct keeper *keeper = mailbox->keeper;
    struct account_usage usage = {body->bytes, body->messages, body->epoch, body->change_counter};

    if (account_mailbox_set_usage(keeper->database, task, &mailbox->id, &usage) != ERR_OK &&
        task->err != ERR_NOT_FOUND)
        log_warning(keeper->log, "a mailbox's usage could not be noted error=%s: %s",
                    err_name(task->err), task->words);
    keeper->are_limits_stale = true;
    keeper_tick_soon(keeper);
}

static enum err advance(struct keeper *keeper, struct task *task, const struct id *mailbox,
                        struct str check)
{
    struct account_mailbox row;

    TRY(account_mailbox_find(keeper->database, task, mailbox, &row));
    TRY(account_begin(keeper->database, task));
    TRY(account_slot_advance(keeper->database, task, row.row, check));
    return account_commit(keeper->database, task);
}

/* Its live sessions' key, if they have the next one, too. */
static void advance_sessions(struct keeper *keeper, struct task *task, const struct id *mailbox)
{
    CLEANUP(secret_free) struct secret *keys = NULL;
    CLEANUP(secret_free) struct secret *next_key = NULL;

    if (account_sessions_key(keeper->sessions, task, mailbox, &keys) != ERR_OK)
        return;
    next_key = account_keys_next(keys);
    if (next_key != NULL)
        account_sessions_advance(keeper->sessions, mailbox, next_key);
}

/* The file is under the next key, on the disk: only now may the key that it was under go. Said again
 * by each process that finds the file so, until it is done. */
static void on_rekeyed(struct keeper_mailbox *mailbox, struct task *task, struct str check)
{
    struct keeper *keeper = mailbox->keeper;
    enum err err = advance(keeper, task, &mailbox->id, check);

    account_rollback(keeper->database);
    if (err == ERR_NOT_FOUND)
        return;
    if (err != ERR_OK) {
        log_error(keeper->log, "a re-encrypted mailbox's key slots stay mailbox=%s error=%s: %s",
                  mailbox->id.text, err_name(err), task->words);
        return;
    }
    advance_sessions(keeper, task, &mailbox->id);
    log_info(keeper->log, "mailbox re-encrypted mailbox=%s", mailbox->id.text);
}

static void on_message(void *owner, struct wire_channel *channel, struct wire_message *message)
{
    struct keeper_mailbox *mailbox = owner;
    const union wire_body *body = &message->body;
    struct task task;

    (void)channel;
    task_init(&task, clock_now_ms());
    /* A mailbox process speaks of its own mailbox only. */
    if (message->type == WIRE_MAILBOX_OPENED &&
        id_equal(&body->mailbox_opened.mailbox, &mailbox->id))
        on_opened(mailbox, &task, &body->mailbox_opened);
    else if (message->type == WIRE_MAILBOX_REKEYED &&
             id_equal(&body->mailbox_rekeyed.mailbox, &mailbox->id) && mailbox->has_key)
        on_rekeyed(mailbox, &task, body->mailbox_rekeyed.check);
    else if (message->type == WIRE_MAILBOX_USAGE &&
             id_equal(&body->mailbox_usage.mailbox, &mailbox->id) && mailbox->has_key) {
        if (body->mailbox_usage.is_drop)
            keeper_mailbox_usage(mailbox->keeper, &body->mailbox_usage);
        else
            on_usage(mailbox, &task, &body->mailbox_usage);
    }
    task_done(&task);
}

static void on_close(void *owner, struct wire_channel *channel)
{
    (void)channel;
    unlink_and_free(owner);
}

static const struct wire_channel_events events = {.on_message = on_message, .on_close = on_close};

/* The key: of a mailbox that is being made, or of a live session. */
static enum err find_key(struct keeper *keeper, struct task *task, const struct id *id,
                         bool is_new, struct secret **out_key)
{
    if (is_new) {
        const struct secret *key = admin_new_key(keeper->admin, id);

        if (key == NULL)
            return fail(task, ERR_NOT_FOUND, "no mailbox of this id is being made");
        *out_key = secret_copy(secret_str(key));
        return ERR_OK;
    }
    return account_sessions_key(keeper->sessions, task, id, out_key);
}

static void send_key(struct keeper_mailbox *mailbox, struct task *task, bool is_new)
{
    struct keeper *keeper = mailbox->keeper;
    CLEANUP(secret_free) struct secret *key = NULL;
    CLEANUP(secret_free) struct secret *drop_key = NULL;
    const struct secret *former;
    struct str keys;
    struct wire_mailbox_key body = {.status = WIRE_DENIED};
    struct account_mailbox row;

    if (account_mailbox_find(keeper->database, task, &mailbox->id, &row) == ERR_OK &&
        find_key(keeper, task, &mailbox->id, is_new, &key) == ERR_OK) {
        drop_key = dropbox_key(keeper->drop_root, &mailbox->id);
        mailbox->has_key = true;
        mailbox->limit_bytes = account_mailbox_limit(&row);
        former = account_sessions_former_pass_key(keeper->sessions, &mailbox->id);
        keys = secret_str(key);
        body = (struct wire_mailbox_key){
            .status = WIRE_OK,
            .key = str_upto(keys, MAILBOX_KEY_BYTES),
            .next_key = str_from(keys, MAILBOX_KEY_BYTES),
            .drop_key = secret_str(drop_key),
            .limit_bytes = mailbox->limit_bytes,
            .epoch = row.epoch,
            .change_counter = row.change_counter,
            .passes_since = account_expelled_since(keeper->expelled, &mailbox->id),
            .former_pass_key = former == NULL ? STR("") : secret_str(former),
        };
    } else {
        log_info(keeper->log, "no key for a mailbox process mailbox=%s: %s", mailbox->id.text,
                 task->words);
    }
    if (wire_send(mailbox->channel, WIRE_MAILBOX_KEY, 0, &body, NULL, 0) != ERR_OK)
        log_warning(keeper->log, "a mailbox process could not be answered mailbox=%s",
                    mailbox->id.text);
}

/* It runs since before this keeper did: its limit may have changed meanwhile. */
static void welcome_back(struct keeper_mailbox *mailbox, struct task *task)
{
    struct wire_mailbox_limit body;
    struct account_mailbox row;

    mailbox->has_key = true;
    if (account_mailbox_find(mailbox->keeper->database, task, &mailbox->id, &row) != ERR_OK)
        return; /* it is being removed, or the database is away: then the next tick */
    body.limit_bytes = account_mailbox_limit(&row);
    if (wire_send(mailbox->channel, WIRE_MAILBOX_LIMIT, 0, &body, NULL, 0) == ERR_OK)
        mailbox->limit_bytes = body.limit_bytes;
}

void keeper_mailbox_started(struct keeper *keeper, struct wire_message *message)
{
    struct keeper_mailbox *mailbox;
    struct task task;

    if (message->fd_count != 1) {
        log_error(keeper->log, "a mailbox process came without its channel");
        return;
    }
    mailbox = NEW(struct keeper_mailbox);
    mailbox->keeper = keeper;
    mailbox->id = message->body.mailbox_started.mailbox;
    mailbox->channel = wire_channel_new(role_loop(keeper->process), message->fds[0],
                                        WIRE_ROLE_KEEPER, WIRE_ROLE_MAILBOX, &events, mailbox,
                                        keeper->log);
    message->fds[0] = -1;
    mailbox->next = keeper->mailboxes;
    keeper->mailboxes = mailbox;
    keeper->mailbox_count++;
    task_init(&task, clock_now_ms());
    if (message->body.mailbox_started.is_running)
        welcome_back(mailbox, &task);
    else
        send_key(mailbox, &task, message->body.mailbox_started.is_new);
    task_done(&task);
}

void keeper_mailbox_usage(struct keeper *keeper, const struct wire_mailbox_usage *usage)
{
    struct task task;

    task_init(&task, clock_now_ms());
    if (account_mailbox_set_drop(keeper->database, &task, &usage->mailbox, usage->bytes) !=
            ERR_OK &&
        task.err != ERR_NOT_FOUND)
        log_warning(keeper->log, "a drop box's size could not be noted error=%s: %s",
                    err_name(task.err), task.words);
    keeper->are_limits_stale = true;
    keeper_tick_soon(keeper);
    task_done(&task);
}

void keeper_mailbox_tell_limits(struct keeper *keeper)
{
    bool is_for_all = keeper->are_quotas_new;

    if (!keeper->are_limits_stale && !is_for_all)
        return;
    keeper->are_limits_stale = false;
    keeper->are_quotas_new = false;
    for (struct keeper_mailbox *mailbox = keeper->mailboxes; mailbox != NULL;
         mailbox = mailbox->next) {
        struct wire_mailbox_limit body;
        struct account_mailbox row;
        struct task task;

        /* Without any quota, usage changes nothing. */
        if (!mailbox->has_key || (mailbox->limit_bytes == ACCOUNT_UNLIMITED && !is_for_all))
            continue;
        task_init(&task, clock_now_ms());
        if (account_mailbox_find(keeper->database, &task, &mailbox->id, &row) == ERR_OK) {
            body.limit_bytes = account_mailbox_limit(&row);
            if (body.limit_bytes != mailbox->limit_bytes &&
                wire_send(mailbox->channel, WIRE_MAILBOX_LIMIT, 0, &body, NULL, 0) == ERR_OK)
                mailbox->limit_bytes = body.limit_bytes;
        }
        task_done(&task);
    }
}

void keeper_mailbox_free_all(struct keeper *keeper)
{
    while (keeper->mailboxes != NULL)
        unlink_and_free(keeper->mailboxes);
}
