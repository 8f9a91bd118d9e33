/* The mailbox process: gets its key, opens its file, serves, ends (role/mailbox.h). */
#include "role/mailbox.h"

#include "base/clock.h"
#include "base/memory.h"
#include "dropbox/dropbox.h"
#include "imap/session.h"
#include "mailbox/backup.h"
#include "mailbox/jobs.h"
#include "mailbox/rebuild.h"
#include "secret/pass.h"
#include "transfer/file_out.h"
#include "vault/junk.h"
#include "vault/undelete.h"

#include <stdlib.h>

enum wire_status mailbox_status(const struct mailbox *mailbox, enum err err, uint64_t size_bytes)
{
    struct vault_usage usage;

    switch (err) {
    case ERR_OK:
        return WIRE_OK;
    case ERR_LIMIT:
        if (mailbox->vault == NULL)
            return WIRE_DISK_FULL;
        vault_usage(mailbox->vault, &usage);
        return usage.limit_bytes - usage.bytes < size_bytes || usage.bytes > usage.limit_bytes ||
                       usage.messages >= usage.limit_messages
                   ? WIRE_OVER_QUOTA
                   : WIRE_DISK_FULL;
    case ERR_CORRUPT:
        return WIRE_DAMAGED;
    case ERR_DENIED:
        return WIRE_DENIED;
    case ERR_EXISTS:
        return WIRE_EXISTS;
    case ERR_NOT_FOUND:
        return WIRE_UNKNOWN;
    case ERR_INVALID:
        return WIRE_INVALID;
    case ERR_BUSY:
    case ERR_IO:
        break;
    }
    return WIRE_UNAVAILABLE;
}

void mailbox_check_idle(struct mailbox *mailbox)
{
    bool is_idle = mailbox->session_count == 0 && mailbox->first_delivery == NULL &&
                   mailbox->job_count == 0;

    if (mailbox->is_ending) {
        if (is_idle)
            net_loop_stop(mailbox->loop);
        return;
    }
    if (!is_idle)
        mailbox->unused_ms = 0;
    else if (mailbox->unused_ms == 0)
        mailbox->unused_ms = clock_monotonic_ms();
    if (is_idle)
        net_timer_start(mailbox->idle_timer, (int64_t)mailbox->start->config->mailbox_linger_ms);
    else
        net_timer_stop(mailbox->idle_timer);
}

static void on_deadline(void *owner)
{
    struct mailbox *mailbox = owner;

    if (mailbox->vault == NULL)
        log_warning(mailbox->start->log, "no key came; giving up");
    net_loop_stop(mailbox->loop);
}

void mailbox_end(struct mailbox *mailbox, const char *why)
{
    if (mailbox->is_ending)
        return;
    mailbox->is_ending = true;
    log_debug(mailbox->start->log, "ending: %s", why);
    mailbox_session_end_all(mailbox, why);
    mailbox_job_end_all(mailbox);
    net_timer_start(mailbox->deadline, MAILBOX_ENDING_MS);
    mailbox_check_idle(mailbox);
}

void mailbox_stop_timers(struct mailbox *mailbox)
{
    struct net_timer *timers[] = {mailbox->delivery_timer, mailbox->usage_timer,
                                  mailbox->idle_timer,     mailbox->housekeeping_timer,
                                  mailbox->renewal_timer,  mailbox->hibernate_timer,
                                  mailbox->deadline};

    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        net_timer_stop(timers[i]);
}

/* --- usage ------------------------------------------------------------------------------------ */

static void tell_usage(void *owner)
{
    struct mailbox *mailbox = owner;
    struct wire_mailbox_usage body = {.mailbox = mailbox->start->id};
    struct vault_usage usage;

    if (mailbox->keeper == NULL)
        return;
    /* The registry must not hear of a change that is not on the disk yet. */
    imap_group_commit(mailbox->appends, clock_now_ms());
    vault_usage(mailbox->vault, &usage);
    body.bytes = usage.bytes;
    body.messages = usage.messages;
    body.epoch = usage.epoch;
    body.change_counter = usage.change_counter;
    if (wire_send(mailbox->keeper, WIRE_MAILBOX_USAGE, 0, &body, NULL, 0) != ERR_OK)
        net_timer_start(mailbox->usage_timer, MAILBOX_USAGE_DELAY_MS);
}

static void plan_housekeeping(struct mailbox *mailbox, int64_t wait_ms)
{
    mailbox->has_housekeeping = true;
    net_timer_start(mailbox->housekeeping_timer, wait_ms);
}

void mailbox_housekeep_later(struct mailbox *mailbox)
{
    plan_housekeeping(mailbox, MAILBOX_HOUSEKEEPING_IDLE_MS);
}

/* So much is put off. While an import brings thousands, more: made on the way, the index was two
 * thirds of what it cost. */
static bool is_behind(const struct mailbox *mailbox)
{
    return vault_is_behind(mailbox->vault, mailbox_job_is_bulk(mailbox)
                                               ? VAULT_BEHIND_IN_BULK_CONTENTS
                                               : VAULT_BEHIND_CONTENTS);
}

static void on_change(struct vault_subscriber *subscriber, int64_t folder_id)
{
    struct mailbox *mailbox = CONTAINER_OF(subscriber, struct mailbox, changes);

    mailbox_hibernate_changed(mailbox, folder_id);
    net_timer_start(mailbox->usage_timer, MAILBOX_USAGE_DELAY_MS);
    if (mailbox->is_catching_up)
        return;
    mailbox->is_catching_up = is_behind(mailbox);
    plan_housekeeping(mailbox, mailbox->is_catching_up ? 0 : MAILBOX_HOUSEKEEPING_IDLE_MS);
}

/* Who waits for a command's answer goes first: 20,000 ENVELOPEs took five times as long while the
 * index was made beside them. Yet not for ever: a client may read slowly, or never pause. */
static bool housekeeping_must_wait(struct mailbox *mailbox)
{
    int64_t most_ms = mailbox->is_catching_up ? MAILBOX_HOUSEKEEPING_BEHIND_MS
                                              : MAILBOX_HOUSEKEEPING_BUSY_MS;
    int64_t now_ms = clock_monotonic_ms();

    if (!mailbox_session_is_one_busy(mailbox)) {
        mailbox->housekeeping_waits_ms = 0;
        return false;
    }
    if (mailbox->housekeeping_waits_ms == 0)
        mailbox->housekeeping_waits_ms = now_ms;
    if (now_ms - mailbox->housekeeping_waits_ms < most_ms)
        return true;
    mailbox->housekeeping_waits_ms = 0;
    return false;
}

/* One slice; false: it failed. */
static bool keep_house(struct mailbox *mailbox, bool *out_has_more)
{
    struct task task;
    enum err err;

    *out_has_more = false;
    task_init(&task, clock_now_ms());
    imap_group_commit(mailbox->appends, task.now_ms);
    err = vault_housekeeping(mailbox->vault, &task, out_has_more);
    if (err != ERR_OK)
        log_failure(mailbox->start->log, "housekeeping", &task);
    task_done(&task);
    return err == ERR_OK;
}

static void on_housekeeping(void *owner)
{
    struct mailbox *mailbox = owner;
    bool has_more;

    if (housekeeping_must_wait(mailbox) || mailbox->is_being_copied) {
        net_timer_start(mailbox->housekeeping_timer, MAILBOX_HOUSEKEEPING_PAUSE_MS);
        return;
    }
    (void)keep_house(mailbox, &has_more);
    mailbox->is_catching_up = has_more && is_behind(mailbox);
    mailbox->has_housekeeping = has_more;
    if (has_more)
        net_timer_start(mailbox->housekeeping_timer,
                        mailbox->is_catching_up || mailbox->unused_ms != 0
                            ? 0
                            : MAILBOX_HOUSEKEEPING_PAUSE_MS);
    else
        mem_give_back();
}

static void on_idle(void *owner)
{
    struct mailbox *mailbox = owner;
    struct wire_mailbox_idle idle = {.mailbox = mailbox->start->id};
    bool has_more;

    /* Whoever logs in after an import finds it indexed, and the index merged. */
    if (mailbox->has_housekeeping &&
        clock_monotonic_ms() - mailbox->unused_ms < MAILBOX_HOUSEKEEPING_LAST_MS) {
        net_timer_start(mailbox->housekeeping_timer, 0);
        net_timer_start(mailbox->idle_timer, MAILBOX_HOUSEKEEPING_PAUSE_MS);
        return;
    }
    /* What was moved is learned before the process goes: mail that the next one takes over is filed
     * before it has an idle moment. */
    if (mailbox->vault != NULL && vault_junk_is_waiting(mailbox->vault) && keep_house(mailbox, &has_more)) {
        net_timer_start(mailbox->idle_timer, MAILBOX_HOUSEKEEPING_PAUSE_MS);
        return;
    }
    if (mailbox_backup_is_busy(mailbox)) {
        net_timer_start(mailbox->idle_timer, MAILBOX_BACKUP_PAUSE_MS);
        return;
    }
    /* Without an answer (work is on its way to us) the question is repeated. */
    if (wire_send(mailbox->store, WIRE_MAILBOX_IDLE, 0, &idle, NULL, 0) != ERR_OK)
        net_loop_stop(mailbox->loop);
    net_timer_start(mailbox->idle_timer, MAILBOX_IDLE_AGAIN_MS);
}

/* --- opening ---------------------------------------------------------------------------------- */

/* `limit_bytes`: the quota, beside which a part of it is for what was expunged. */
static void set_limit(struct mailbox *mailbox, uint64_t limit_bytes)
{
    const struct config *config = mailbox->start->config;
    uint64_t kept_bytes = limit_bytes;

    if (limit_bytes != UINT64_MAX)
        kept_bytes = limit_bytes / 100 * config->undelete_limit;
    else if (config->undelete_limit == 0)
        kept_bytes = 0;
    vault_set_limit(mailbox->vault, limit_bytes);
    vault_set_undelete(mailbox->vault, (int64_t)config->undelete_keep_ms, kept_bytes);
}

/* What was expunged goes after a time although nothing else happens. */
static void check_undelete(struct mailbox *mailbox, const struct task *task)
{
    if (vault_undelete_is_due(mailbox->vault, task))
        mailbox_housekeep_later(mailbox);
}

/* With the key, or with the next one, when the file was put under it by a process that could not tell
 * any more. *key becomes the one that it is. */
static enum err open_with_either(struct mailbox *mailbox, struct task *task,
                                 const struct vault_options *options, struct secret **key,
                                 struct str next)
{
    CLEANUP(secret_free) struct secret *next_key = next.len == 0 ? NULL : secret_copy(next);
    enum err err = vault_open(task, options, *key, &mailbox->vault);

    if (err == ERR_OK) /* nobody else has it: no export is under way */
        transfer_file_out_remove_rest(task, options);
    if (next_key == NULL)
        return err;
    mailbox->next_pass_key = pass_key(next_key);
    if (err == ERR_OK) {
        mailbox->next_key = next_key;
        next_key = NULL;
    } else if (err == ERR_DENIED) {
        task_forgive(task);
        TRY(vault_open(task, options, next_key, &mailbox->vault));
        mailbox->is_rekeyed = true;
        /* Sessions from before have passes of the other key: pass_key stays. */
        secret_free(key);
        *key = next_key;
        next_key = NULL;
        err = ERR_OK;
    }
    return err;
}

bool mailbox_pass_is_valid(const struct mailbox *mailbox, const struct id *session,
                           uint64_t service, struct str pass)
{
    uint64_t since = mailbox->passes_since;

    return pass_is_valid(mailbox->pass_key, session, service, since, pass) ||
           (mailbox->next_pass_key != NULL &&
            pass_is_valid(mailbox->next_pass_key, session, service, since, pass)) ||
           (mailbox->former_pass_key != NULL &&
            pass_is_valid(mailbox->former_pass_key, session, service, since, pass));
}

void mailbox_tell_rekeyed(struct mailbox *mailbox)
{
    unsigned char check[PASS_CHECK_BYTES];
    struct wire_mailbox_rekeyed body = {.mailbox = mailbox->start->id};

    pass_key_check(mailbox->key, check);
    body.check = str_make(check, sizeof(check));
    /* A keeper that does not hear it hears it from the next process. */
    if (mailbox->keeper != NULL &&
        wire_send(mailbox->keeper, WIRE_MAILBOX_REKEYED, 0, &body, NULL, 0) != ERR_OK)
        log_warning(mailbox->start->log, "the keeper was not told of the new key");
}

struct vault_options mailbox_vault_options(const struct mailbox *mailbox)
{
    return (struct vault_options){
        .folder = mailbox->start->mail_folder,
        .id = mailbox->start->id,
        .log = mailbox->start->log,
    };
}

static enum err open_vault(struct mailbox *mailbox, struct task *task,
                           const struct wire_mailbox_key *key)
{
    const struct mailbox_start *start = mailbox->start;
    struct vault_options options = {
        .folder = start->mail_folder,
        .id = start->id,
        .limit_bytes = key->limit_bytes,
        .epoch_seen = key->epoch,
        .change_counter_seen = key->change_counter,
        .log = start->log,
    };
    CLEANUP(secret_free) struct secret *mailbox_key = secret_copy(key->key);

    mailbox->vault_options = options;
    mailbox->pass_key = pass_key(mailbox_key);
    if (key->former_pass_key.len > 0)
        mailbox->former_pass_key = secret_copy(key->former_pass_key);
    mailbox->passes_since = key->passes_since;
    mailbox->key = secret_copy(key->key);
    restore_remove_rest(task, start->mail_folder, &start->id);
    mailbox_backup_prepare(mailbox, mailbox_key);
    if (start->is_new)
        TRY(vault_create(task, &options, mailbox_key, &mailbox->vault));
    else
        TRY(open_with_either(mailbox, task, &options, &mailbox_key, key->next_key));
    if (start->config->mailbox_messages_max > 0)
        vault_set_message_limit(mailbox->vault, start->config->mailbox_messages_max);
    set_limit(mailbox, key->limit_bytes);
    if (mailbox->is_rekeyed) {
        secret_free(&mailbox->key);
        mailbox->key = mailbox_key;
        mailbox_key = NULL;
        mailbox_backup_rekeyed(mailbox);
    }
    return ERR_OK;
}

static struct dropbox_owner drop_box_of(const struct mailbox *mailbox)
{
    return (struct dropbox_owner){
        .folder = mailbox->start->drop_folder,
        .mailbox = mailbox->start->id,
        .drop_key = mailbox->drop_key,
        .vault = mailbox->vault,
        .log = mailbox->start->log,
    };
}

/* Takes the waiting mail over. The mailbox is usable even if that fails: the mail stays waiting. */
static void take_drop_box(struct mailbox *mailbox, struct task *task)
{
    const struct dropbox_owner owner = drop_box_of(mailbox);
    uint64_t imported = 0;

    if (dropbox_take_over(&owner, task, &imported) != ERR_OK)
        log_failure(mailbox->start->log, "the drop box", task);
    mailbox->has_imported = imported > 0;
    if (imported > 0)
        log_info(mailbox->start->log, "took over waiting mail mailbox=%s messages=%llu",
                 mailbox->start->id.text, (unsigned long long)imported);
    net_timer_start(mailbox->renewal_timer, MAILBOX_RENEWAL_AT_LOGIN_MS);
}

/* Right after the login, and then hourly: has the drop box had its keys for too long? */
static void renew(struct mailbox *mailbox)
{
    const struct dropbox_owner drop_box = drop_box_of(mailbox);
    int64_t age_ms =
        mailbox->was_renewed ? DROPBOX_AGE_IN_SESSION_MS : DROPBOX_AGE_AT_LOGIN_MS;
    struct task task;

    task_init(&task, clock_now_ms());
    imap_group_commit(mailbox->appends, task.now_ms);
    if (dropbox_renew_if_due(&drop_box, &task, age_ms) == ERR_OK)
        mailbox->was_renewed = true;
    else
        log_failure(mailbox->start->log, "renewing the drop box", &task);
    check_undelete(mailbox, &task);
    task_done(&task);
    net_timer_start(mailbox->renewal_timer, MAILBOX_RENEWAL_MS);
}

/*
 * Not while a restore is made, or may come next, where the mailbox was opened for no session: its
 * owner would be told of a later change that the backups lack. A session that comes, or the end of
 * the process, has it done.
 */
static void on_renewal(void *owner)
{
    struct mailbox *mailbox = owner;

    mailbox->owes_renewal = mailbox->session_count == 0;
    if (mailbox->owes_renewal)
        net_timer_start(mailbox->renewal_timer, MAILBOX_RENEWAL_MS);
    else if (mailbox_job_is_restoring(mailbox))
        net_timer_start(mailbox->renewal_timer, MAILBOX_RENEWAL_AT_LOGIN_MS);
    else
        renew(mailbox);
}

static void tell_opened(struct mailbox *mailbox, enum wire_status status)
{
    struct wire_mailbox_opened body = {
        .mailbox = mailbox->start->id,
        .status = status,
        .was_rolled_back = mailbox->vault != NULL && vault_was_rolled_back(mailbox->vault),
    };

    /* Whoever does not hear it finds the channel closed, which says the same. */
    if (wire_send(mailbox->keeper, WIRE_MAILBOX_OPENED, 0, &body, NULL, 0) != ERR_OK ||
        wire_send(mailbox->store, WIRE_MAILBOX_OPENED, 0, &body, NULL, 0) != ERR_OK)
        net_loop_stop(mailbox->loop);
}

/*
 * The file does not open. The password was right, or there would be no key: so it is not what it was,
 * or gone. Where there are backups the process stays for a while, as it may be asked to restore it; the
 * store takes it for one that is open, and hears with each session that it is damaged.
 */
static void refuse(struct mailbox *mailbox, enum err err)
{
    bool is_damaged = err == ERR_CORRUPT || err == ERR_DENIED || err == ERR_NOT_FOUND;
    struct wire_mailbox_opened body = {.mailbox = mailbox->start->id, .status = WIRE_OK};

    if (!is_damaged || mailbox->backup == NULL || mailbox->start->is_new) {
        tell_opened(mailbox, is_damaged ? WIRE_DAMAGED : WIRE_UNAVAILABLE);
        return;
    }
    mailbox->is_damaged = true;
    net_timer_stop(mailbox->deadline);
    if (wire_send(mailbox->store, WIRE_MAILBOX_OPENED, 0, &body, NULL, 0) != ERR_OK)
        net_loop_stop(mailbox->loop);
    mailbox_check_idle(mailbox);
}

static void on_key(struct mailbox *mailbox, const struct wire_mailbox_key *key)
{
    struct task task;
    enum err err;

    if (mailbox->vault != NULL || mailbox->is_damaged)
        return;
    if (key->status != WIRE_OK) {
        tell_opened(mailbox, WIRE_UNAVAILABLE);
        return;
    }
    task_init(&task, clock_now_ms());
    err = open_vault(mailbox, &task, key);
    if (err != ERR_OK) {
        log_error(mailbox->start->log, "mailbox=%s does not open: %s (%s)",
                  mailbox->start->id.text, task.words, err_name(err));
        task_done(&task);
        refuse(mailbox, err);
        return;
    }
    mailbox->appends = imap_group_new(mailbox->vault);
    mailbox_backup_begin(mailbox);
    mailbox->changes.on_change = on_change;
    vault_subscribe(mailbox->vault, &mailbox->changes);
    mailbox->drop_key = secret_copy(key->drop_key);
    take_drop_box(mailbox, &task);
    check_undelete(mailbox, &task);
    task_done(&task);
    /* What the process before this one left; nobody need change anything first. */
    if (vault_is_unfinished(mailbox->vault))
        plan_housekeeping(mailbox, MAILBOX_HOUSEKEEPING_IDLE_MS);
    net_timer_stop(mailbox->deadline);
    tell_opened(mailbox, WIRE_OK);
    if (mailbox->is_rekeyed)
        mailbox_tell_rekeyed(mailbox);
    tell_usage(mailbox);
    mailbox_check_idle(mailbox);
}

/* --- messages --------------------------------------------------------------------------------- */

static void on_session_open(struct mailbox *mailbox, struct wire_message *message)
{
    struct wire_session_open_reply reply = {.status = mailbox->is_damaged ? WIRE_DAMAGED
                                                                          : WIRE_UNAVAILABLE};

    /* Without a stream, which the kernel leaves out when we have no descriptor free, no session. */
    if (mailbox->vault != NULL && !mailbox->is_ending && message->fd_count == 1) {
        enum err err =
            mailbox_session_open(mailbox, &message->body.session_open, message->fds[0]);

        if (err == ERR_OK)
            message->fds[0] = -1;
        mailbox_backup_be_patient(mailbox);
        if (err == ERR_OK && mailbox->owes_renewal)
            net_timer_start(mailbox->renewal_timer, MAILBOX_RENEWAL_AT_LOGIN_MS);
        reply.status = err == ERR_OK ? WIRE_OK : WIRE_UNAVAILABLE;
    }
    if (wire_send(mailbox->store, WIRE_SESSION_OPEN_REPLY, message->tag, &reply, NULL, 0) != ERR_OK)
        net_loop_stop(mailbox->loop);
    mailbox_check_idle(mailbox);
}

static void on_store_message(void *owner, struct wire_channel *channel,
                             struct wire_message *message)
{
    struct mailbox *mailbox = owner;
    struct wire_deliver_reply refused = {.status = WIRE_UNAVAILABLE};

    (void)channel;
    if (message->type == WIRE_SESSION_OPEN) {
        on_session_open(mailbox, message);
    } else if (message->type == WIRE_DELIVER) {
        if (mailbox->vault != NULL && !mailbox->is_ending && message->fd_count == 1)
            mailbox_delivery_queue(mailbox, message);
        else if (wire_send(mailbox->store, WIRE_DELIVER_REPLY, message->tag, &refused, NULL, 0) !=
                 ERR_OK)
            net_loop_stop(mailbox->loop);
        mailbox_check_idle(mailbox);
    } else if (message->type == WIRE_SESSION_HIBERNATE_REPLY) {
        mailbox_hibernate_reply(mailbox, &message->body.session_hibernate_reply);
    } else if (message->type == WIRE_MAILBOX_SLEEPERS && mailbox->vault != NULL) {
        mailbox_hibernate_sleepers(mailbox, message->body.mailbox_sleepers.is_watched);
    } else if (message->type == WIRE_JOB) {
        mailbox_job_begin(mailbox, message);
        mailbox_check_idle(mailbox);
    } else if (message->type == WIRE_JOB_CANCEL) {
        mailbox_job_cancel(mailbox, &message->body.job_cancel.session);
    } else if (message->type == WIRE_BACKUP_PUT_REPLY || message->type == WIRE_BACKUP_GET_REPLY ||
               message->type == WIRE_BACKUP_LIST_REPLY) {
        mailbox_backup_reply(mailbox, message);
    } else if (message->type == WIRE_STOP) {
        mailbox_end(mailbox, "the server ends this session; connect again");
    }
}

static void on_keeper_message(void *owner, struct wire_channel *channel,
                              struct wire_message *message)
{
    struct mailbox *mailbox = owner;

    (void)channel;
    if (message->type == WIRE_MAILBOX_KEY)
        on_key(mailbox, &message->body.mailbox_key);
    else if (message->type == WIRE_MAILBOX_LIMIT && mailbox->vault != NULL)
        set_limit(mailbox, message->body.mailbox_limit.limit_bytes);
}

/* Without a store nobody routes mail past us: end, so that the next store finds no second writer. */
static void on_store_close(void *owner, struct wire_channel *channel)
{
    struct mailbox *mailbox = owner;

    (void)channel;
    net_loop_stop(mailbox->loop);
}

/* The keeper is gone: sessions go on, and the next keeper's channel comes from the nursery. Without
 * a key there is nothing to go on with. */
static void on_keeper_close(void *owner, struct wire_channel *channel)
{
    struct mailbox *mailbox = owner;

    (void)channel;
    mailbox->is_key_only_here = true;
    wire_channel_free(&mailbox->keeper);
    if (mailbox->vault == NULL)
        net_loop_stop(mailbox->loop);
}

static const struct wire_channel_events keeper_events = {on_keeper_message, on_keeper_close};

static void take_keeper(struct mailbox *mailbox, int fd)
{
    wire_channel_free(&mailbox->keeper);
    mailbox->keeper = wire_channel_new(mailbox->loop, fd, WIRE_ROLE_MAILBOX, WIRE_ROLE_KEEPER,
                                       &keeper_events, mailbox, mailbox->start->log);
}

/* A new keeper: it has not heard of what changed since the old one died. */
static void on_nursery_message(void *owner, struct wire_channel *channel,
                               struct wire_message *message)
{
    struct mailbox *mailbox = owner;

    (void)channel;
    if (message->type != WIRE_MAILBOX_KEEPER || message->fd_count != 1)
        return;
    if (mailbox->vault == NULL) { /* it was the old keeper that we asked for the key */
        net_loop_stop(mailbox->loop);
        return;
    }
    mailbox->is_key_only_here = true;
    take_keeper(mailbox, message->fds[0]);
    message->fds[0] = -1;
    net_timer_start(mailbox->usage_timer, 0);
    if (mailbox->is_rekeyed)
        mailbox_tell_rekeyed(mailbox);
}

/* Its end is ours: the kernel sees to that (PR_SET_PDEATHSIG). */
static void on_nursery_close(void *owner, struct wire_channel *channel)
{
    struct mailbox *mailbox = owner;

    (void)channel;
    wire_channel_free(&mailbox->nursery);
}

void mailbox_sandbox(const struct mailbox_start *start, struct sandbox_rules *rules)
{
    sandbox_allow_path(rules, start->mail_folder, SANDBOX_READ_WRITE);
    sandbox_allow_path(rules, start->drop_folder, SANDBOX_READ_WRITE);
    rules->may_fork_helper = true;
    rules->may_send_descriptors = true; /* to such a helper */
}

static void confine(const struct mailbox_start *start)
{
    struct sandbox_rules rules = {0};
    struct task task;

    task_init(&task, clock_now_ms());
    mailbox_sandbox(start, &rules);
    if (sandbox_enter(&task, &rules, start->config->sandbox_required, start->log) != ERR_OK) {
        log_failure(start->log, "confining the mailbox process", &task);
        exit(1);
    }
    task_done(&task);
}

_Noreturn void mailbox_run(const struct mailbox_start *start)
{
    static const struct wire_channel_events store_events = {on_store_message, on_store_close};
    static const struct wire_channel_events nursery_events = {on_nursery_message,
                                                              on_nursery_close};
    struct mailbox mailbox = {.start = start};

    confine(start);
    mailbox.loop = net_loop_new();
    net_loop_allow_linger(mailbox.loop);
    mailbox.store = wire_channel_new(mailbox.loop, start->store_fd, WIRE_ROLE_MAILBOX,
                                     WIRE_ROLE_STORE, &store_events, &mailbox, start->log);
    mailbox.nursery = wire_channel_new(mailbox.loop, start->nursery_fd, WIRE_ROLE_MAILBOX,
                                       WIRE_ROLE_NURSERY, &nursery_events, &mailbox, start->log);
    take_keeper(&mailbox, start->keeper_fd);
    mailbox.delivery_timer = net_timer_new(mailbox.loop, mailbox_delivery_run, &mailbox);
    mailbox.usage_timer = net_timer_new(mailbox.loop, tell_usage, &mailbox);
    mailbox.idle_timer = net_timer_new(mailbox.loop, on_idle, &mailbox);
    mailbox.housekeeping_timer = net_timer_new(mailbox.loop, on_housekeeping, &mailbox);
    mailbox.renewal_timer = net_timer_new(mailbox.loop, on_renewal, &mailbox);
    mailbox.hibernate_timer = net_timer_new(mailbox.loop, mailbox_hibernate_check, &mailbox);
    mailbox.deadline = net_timer_new(mailbox.loop, on_deadline, &mailbox);
    net_timer_start(mailbox.deadline, MAILBOX_KEY_TIMEOUT_MS);

    net_loop_run(mailbox.loop);

    mailbox_delivery_free_all(&mailbox);
    mailbox_session_free_all(&mailbox);
    mailbox_job_end_all(&mailbox);
    if (mailbox.vault != NULL) {
        if (!mailbox.was_renewed || mailbox.owes_renewal)
            renew(&mailbox);
        tell_usage(&mailbox);
    }
    mailbox_stop_timers(&mailbox); /* the loop goes on for the last of the log, without a vault */
    imap_group_free(&mailbox.appends);
    mailbox_backup_before_close(&mailbox);
    vault_close(&mailbox.vault);
    mailbox.is_ending = true;
    mailbox_backup_after_close(&mailbox);
    mailbox_backup_free(&mailbox.backup);
    mailbox_rebuild_free(&mailbox.rebuild);
    secret_free(&mailbox.pass_key);
    secret_free(&mailbox.next_pass_key);
    secret_free(&mailbox.former_pass_key);
    secret_free(&mailbox.key);
    secret_free(&mailbox.next_key);
    secret_free(&mailbox.drop_key);
    wire_channel_free(&mailbox.keeper);
    wire_channel_free(&mailbox.nursery);
    wire_channel_free(&mailbox.store);
    net_timer_free(&mailbox.delivery_timer);
    net_timer_free(&mailbox.usage_timer);
    net_timer_free(&mailbox.idle_timer);
    net_timer_free(&mailbox.housekeeping_timer);
    net_timer_free(&mailbox.renewal_timer);
    net_timer_free(&mailbox.hibernate_timer);
    net_timer_free(&mailbox.deadline);
    net_loop_free(&mailbox.loop);
    exit(0);
}
