/*
 * The keeper (design §2): the account database, password checks, and the keys of live sessions.
 * What it decides is in account/; here it answers the other roles. It is the only process that
 * opens the account database, and a key leaves it only towards the mailbox process that it is for.
 */
#include "role/keeper.h"

#include "account/slot.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "dropbox/key.h"
#include "role/swap.h"
#include "secret/crypt.h"
#include "secret/pass.h"
#include "sqlite/db.h"

#include <fcntl.h>
#include <string.h>

enum { TICK_MS = 500, REQUEST_WAIT_MS = 30 * 1000 };

static struct account_throttle_limits limits_of(const struct config *config)
{
    return (struct account_throttle_limits){
        .per_address = config->failures_per_address,
        .per_account = config->failures_per_account,
        .window_ms = (int64_t)config->failures_window_ms,
    };
}

static void on_tick(void *owner)
{
    struct keeper *keeper = owner;
    struct task task;

    task_init(&task, clock_now_ms());
    if (account_database_recover(keeper->database, &task) != ERR_OK ||
        account_flush(keeper->database, &task) != ERR_OK)
        log_warning(keeper->log, "bookkeeping could not be committed error=%s: %s",
                    err_name(task.err), task.words);
    keeper_mailbox_tell_limits(keeper);
    swap_warn_once(keeper->log, &keeper->has_warned_of_swap);
    admin_expire(keeper->admin, task.now_ms, REQUEST_WAIT_MS);
    task_done(&task);
    keeper->is_tick_due = false;
    if (keeper->client_count > 0)
        keeper_tick_soon(keeper); /* what an administrator waits for may have to expire */
}

void keeper_tick_soon(struct keeper *keeper)
{
    if (keeper->is_tick_due)
        return;
    keeper->is_tick_due = true;
    net_timer_start(keeper->tick, TICK_MS);
}

static enum err setup(struct role_process *process, struct task *task)
{
    CLEANUP(secret_free) struct secret *host_key = NULL;
    CLEANUP(secret_free) struct secret *database_key = NULL;
    const struct config *config = role_config(process);
    struct account_throttle_limits limits = limits_of(config);
    struct keeper *keeper;
    const char *folder;

    if (role_host_key(process).len < CRYPT_KEY_BYTES)
        return fail(task, ERR_INVALID, "the host key has less than %d bytes", CRYPT_KEY_BYTES);
    db_init_library();
    keeper = NEW(struct keeper);
    role_set_state(process, keeper);
    keeper->process = process;
    keeper->log = role_log(process);
    host_key = secret_copy(role_host_key(process));
    database_key = account_database_key(host_key);
    keeper->drop_root = crypt_derive(host_key, STR(DROPBOX_ROOT_PURPOSE), STR(""));
    folder = config_path(config, task, "account");
    keeper->folder = mem_copy_text(folder, strlen(folder));
    TRY(dir_make(task, AT_FDCWD, folder, true));
    TRY(account_database_open(task, config_path(config, task, "account/account.sqlite"),
                              database_key, &keeper->database));
    keeper->login = account_login_new(host_key, &limits);
    if (keeper->login == NULL)
        return fail(task, ERR_IO, "the password check could not be set up");
    keeper->sessions = account_sessions_new();
    keeper->expelled = account_expelled_new();
    keeper_mail_open(keeper, host_key);
    keeper->buckets = account_buckets_new(host_key);
    keeper->tick = net_timer_new(role_loop(process), on_tick, keeper);
    keeper->dns = dns_client_new(role_loop(process));
    return ERR_OK;
}

static void sandbox(struct role_process *process, struct sandbox_rules *rules)
{
    struct keeper *keeper = role_state(process);

    sandbox_allow_path(rules, keeper->folder, SANDBOX_READ_WRITE);
    rules->may_accept = true;      /* the administrator's socket */
    rules->may_fork_helper = true; /* who makes keys */
}

static enum err start(struct role_process *process, struct task *task)
{
    (void)task;
    keeper_admin_start(role_state(process));
    keeper_ask_start(role_state(process));
    keeper_backup_start(role_state(process));
    keeper_bucket_start(role_state(process));
    keeper_purge_start(role_state(process));
    return ERR_OK;
}

static void give_key(const struct keeper *keeper, struct wire_channel *channel,
                     const struct secret *key)
{
    struct wire_host_key body = {.key = secret_str(key)};

    if (wire_send(channel, WIRE_HOST_KEY, 0, &body, NULL, 0) != ERR_OK)
        log_error(keeper->log, "the %s could not be given its key",
                  wire_role_name(wire_channel_peer(channel)));
}

static void on_peer(struct role_process *process, struct wire_channel *channel)
{
    struct keeper *keeper = role_state(process);
    enum wire_role peer = wire_channel_peer(channel);

    if (keeper == NULL)
        return;
    if (peer == WIRE_ROLE_SEALER) {
        give_key(keeper, channel, keeper->drop_root);
    } else if (peer == WIRE_ROLE_COURIER) {
        give_key(keeper, channel, keeper->courier_key);
    } else if (peer == WIRE_ROLE_RESOLVER) {
        dns_client_set_peer(keeper->dns, channel);
    } else if (peer == WIRE_ROLE_ARCHIVIST) {
        keeper_bucket_tell_all(keeper); /* and then what is to go there goes */
    } else if (peer == WIRE_ROLE_STORE) {
        admin_store_changed(keeper->admin, true, clock_now_ms());
    }
}

static void on_peer_lost(struct role_process *process, struct wire_channel *channel)
{
    struct keeper *keeper = role_state(process);
    enum wire_role peer = wire_channel_peer(channel);

    if (keeper == NULL)
        return;
    if (peer == WIRE_ROLE_GATE) {
        account_sessions_close_opener(keeper->sessions, channel);
    } else if (peer == WIRE_ROLE_STORE) {
        keeper_job_end_all(keeper);
        admin_store_changed(keeper->admin, false, clock_now_ms());
    } else if (peer == WIRE_ROLE_COURIER) {
        admin_courier_gone(keeper->admin);
    } else if (peer == WIRE_ROLE_ARCHIVIST) {
        account_purge_set_peer(keeper->purge, false, clock_now_ms());
        keeper_backup_archivist_gone(keeper);
        admin_archivist_gone(keeper->admin);
    } else if (peer == WIRE_ROLE_RESOLVER) {
        dns_client_set_peer(keeper->dns, NULL);
    }
}

/* A failed reply is a peer that is gone or stuck: its own close tells. */
static void reply(struct wire_channel *channel, enum wire_type type, uint64_t tag, const void *body)
{
    enum err err = wire_send(channel, type, tag, body, NULL, 0);

    (void)err;
}

/* The mailbox process holds something for each of them (imap/room.h). */
static bool has_too_many(const struct keeper *keeper, const struct id *mailbox)
{
    uint64_t most = role_config(keeper->process)->sessions_per_mailbox_max;

    if (account_sessions_of(keeper->sessions, mailbox) < most)
        return false;
    log_warning(keeper->log, "a mailbox has too many sessions mailbox=%s sessions=%llu",
                mailbox->text, (unsigned long long)most);
    return true;
}

static void open_session(struct keeper *keeper, struct wire_channel *channel, struct task *task,
                         const struct wire_login *body, struct account_login_result *result,
                         struct wire_login_reply *out_reply, unsigned char pass[static PASS_BYTES])
{
    CLEANUP(secret_free) struct secret *mailbox_key = NULL;
    CLEANUP(secret_free) struct secret *key = NULL;

    out_reply->status = WIRE_OK;
    out_reply->mailbox = result->mailbox;
    out_reply->slot = result->slot;
    if (body->service == WIRE_SERVICE_SUBMISSION)
        return; /* no session: the key is not needed */
    if (has_too_many(keeper, &result->mailbox)) {
        out_reply->status = WIRE_UNAVAILABLE;
        return;
    }
    if (account_sessions_open(keeper->sessions, task, &body->session, &result->mailbox, channel,
                              result->key) != ERR_OK) {
        log_error(keeper->log, "a session could not be kept error=%s: %s", err_name(task->err),
                  task->words);
        out_reply->status = WIRE_UNAVAILABLE;
        return;
    }
    if (!result->is_unconfirmed)
        keeper_rekey(keeper, &result->mailbox, result->key);
    mailbox_key = account_keys_first(result->key);
    key = pass_key(mailbox_key);
    pass_make(key, &body->session, body->service, account_expelled_serial(keeper->expelled), pass);
    out_reply->pass = str_make(pass, PASS_BYTES);
}

static void on_login(struct keeper *keeper, struct wire_channel *channel, struct task *task,
                     const struct wire_message *message)
{
    const struct wire_login *body = &message->body.login;
    struct account_attempt attempt = {
        .service = (enum wire_service)body->service,
        .username = body->username,
        .password = body->password,
        .address = body->address,
        .is_local = body->is_local,
    };
    struct account_login_result result = {.verdict = ACCOUNT_LOGIN_DENIED};
    struct wire_login_reply answer = {.status = WIRE_UNAVAILABLE};
    int64_t began_ms = clock_monotonic_ms(), took_ms;
    unsigned char pass[PASS_BYTES];
    enum err err = ERR_INVALID;

    if (body->service <= WIRE_SERVICE_SUBMISSION)
        err = account_login_check(keeper->login, keeper->database, task, &attempt, began_ms,
                                  &result);
    if (err != ERR_OK) {
        log_error(keeper->log, "a password could not be checked error=%s: %s", err_name(err),
                  task->words);
    } else if (result.verdict == ACCOUNT_LOGIN_OK) {
        if (result.has_replaced_password)
            keeper_expel(keeper, &result.mailbox);
        open_session(keeper, channel, task, body, &result, &answer, pass);
        keeper_tick_soon(keeper); /* notes were written */
    } else {
        answer.status =
            result.verdict == ACCOUNT_LOGIN_THROTTLED ? WIRE_THROTTLED : WIRE_DENIED;
        took_ms = clock_monotonic_ms() - began_ms;
        answer.delay_ms =
            took_ms < ACCOUNT_REFUSAL_MS ? (uint64_t)(ACCOUNT_REFUSAL_MS - took_ms) : 0;
        log_info(keeper->log, "login refused reason=%s session=%s",
                 answer.status == WIRE_THROTTLED ? "throttled" : "denied", body->session.text);
    }
    secret_free(&result.key);
    reply(channel, WIRE_LOGIN_REPLY, message->tag, &answer);
}

/* Of the types that the table lets other roles send to the keeper; others never get here. */
static void dispatch(struct keeper *keeper, struct wire_channel *channel, struct task *task,
                     struct wire_message *message)
{
    const union wire_body *body = &message->body;

    if (message->type == WIRE_LOGIN)
        on_login(keeper, channel, task, message);
    else if (message->type == WIRE_SESSION_CLOSE)
        account_sessions_close(keeper->sessions, &body->session_close.session, channel);
    else if (message->type == WIRE_RECIPIENT || message->type == WIRE_RECIPIENTS_UNUSED ||
             message->type == WIRE_SENDER || message->type == WIRE_SIGNING_KEYS)
        keeper_mail_message(keeper, channel, task, message);
    else if (message->type == WIRE_ADMIN_REPLY &&
             wire_channel_peer(channel) == WIRE_ROLE_ARCHIVIST)
        admin_archivist_answered(keeper->admin, message->tag, body->admin_reply.json);
    else if (message->type == WIRE_ADMIN_REPLY)
        admin_courier_answered(keeper->admin, message->tag, body->admin_reply.json);
    else if (message->type == WIRE_JOB_REPLY)
        keeper_job_replied(keeper, &body->job_reply);
    else if (message->type == WIRE_BACKUP_PUT_REPLY)
        keeper_backup_answered(keeper, message);
    else if (message->type == WIRE_DNS_ANSWER)
        dns_client_message(keeper->dns, message);
    else if (message->type == WIRE_MAILBOX_STARTED)
        keeper_mailbox_started(keeper, message);
    else if (message->type == WIRE_MAILBOX_USAGE && body->mailbox_usage.is_drop)
        keeper_mailbox_usage(keeper, &body->mailbox_usage);
    else if (message->type == WIRE_MAILBOX_CREATE_REPLY)
        admin_mailbox_created(keeper->admin, &body->mailbox_create_reply.mailbox,
                              body->mailbox_create_reply.status == WIRE_OK, task->now_ms);
    else if (message->type == WIRE_BACKUP_LIST_REPLY || message->type == WIRE_BACKUP_DELETE_REPLY)
        keeper_purge_message(keeper, message);
    else if (message->type == WIRE_MAILBOX_REMOVE_REPLY) {
        admin_mailbox_removed(keeper->admin, &body->mailbox_remove_reply.mailbox,
                              body->mailbox_remove_reply.status == WIRE_OK, task->now_ms);
        account_purge_run(keeper->purge, task->now_ms);
    }
}

static void on_message(struct role_process *process, struct wire_channel *channel,
                       struct wire_message *message)
{
    struct keeper *keeper = role_state(process);
    struct task task;

    if (keeper == NULL)
        return;
    task_init(&task, clock_now_ms());
    if (account_database_recover(keeper->database, &task) != ERR_OK) {
        log_error(keeper->log, "the account database does not open error=%s: %s",
                  err_name(task.err), task.words);
        task_forgive(&task); /* each question is answered with UNAVAILABLE */
    }
    dispatch(keeper, channel, &task, message);
    task_done(&task);
}

static void on_reload(struct role_process *process)
{
    struct keeper *keeper = role_state(process);
    struct account_throttle_limits limits = limits_of(role_config(process));

    if (keeper == NULL)
        return;
    account_login_set_limits(keeper->login, &limits);
    keeper_mail_reload(keeper);
}

static void on_stop(struct role_process *process, int64_t grace_ms)
{
    struct keeper *keeper = role_state(process);

    (void)grace_ms;
    keeper_backup_stop(keeper);
    keeper_bucket_stop(keeper);
    keeper_ask_stop(keeper);
    keeper_key_stop(keeper);
    keeper_purge_stop(keeper);
    keeper_admin_stop(keeper);
    keeper_mailbox_free_all(keeper);
    account_sessions_free(&keeper->sessions);
    account_expelled_free(&keeper->expelled);
    account_login_free(&keeper->login);
    keeper_mail_close(keeper);
    account_buckets_free(&keeper->buckets);
    account_database_close(&keeper->database);
    secret_free(&keeper->drop_root);
    net_timer_free(&keeper->tick);
    dns_client_free(&keeper->dns);
    mem_free(&keeper->folder);
    mem_free(&keeper);
    role_set_state(process, NULL); /* what the loop still brings finds nobody */
    net_loop_stop(role_loop(process));
}

const struct role role_keeper = {
    .kind = WIRE_ROLE_KEEPER,
    .setup = setup,
    .sandbox = sandbox,
    .start = start,
    .on_peer = on_peer,
    .on_message = on_message,
    .on_peer_lost = on_peer_lost,
    .on_reload = on_reload,
    .on_stop = on_stop,
};
