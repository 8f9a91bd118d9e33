/*
 * The keeper's answers about mail: who may send as what, where mail for an address goes, and what
 * our mail is signed with.
 */
#include "role/keeper.h"

#include "base/clock.h"
#include "mailauth/srs.h"

static struct account_router_settings settings_of(const struct config *config)
{
    return (struct account_router_settings){
        .greylist = config->greylist,
        .greylist_delay_ms = (int64_t)config->greylist_delay_ms,
        .client_limit = config->incoming_per_client,
        .sender_limit = config->incoming_per_sender,
        .user_daily_limit = config->submission_per_user,
        .domain_daily_limit = config->submission_per_domain,
        .loopback_is_foreign = config->loopback_is_foreign,
    };
}

static enum err reverse(void *owner, struct task *task, struct str local, struct buf *out)
{
    const struct keeper *keeper = owner;

    return srs_reverse(task, secret_str(keeper->srs_key), local, task->now_ms, out);
}

void keeper_mail_open(struct keeper *keeper, const struct secret *host_key)
{
    struct account_router_settings settings = settings_of(role_config(keeper->process));

    keeper->courier_key = courier_key(host_key);
    keeper->srs_key = courier_srs_key(keeper->courier_key);
    keeper->back =
        (struct account_return){.owner = keeper, .is_one = srs_is_one, .reverse = reverse};
    keeper->router = account_router_new(keeper->database, host_key, &keeper->back, &settings);
    keeper->signing = account_signing_new(host_key);
}

void keeper_mail_reload(struct keeper *keeper)
{
    struct account_router_settings settings = settings_of(role_config(keeper->process));

    account_router_set(keeper->router, &settings);
}

void keeper_mail_close(struct keeper *keeper)
{
    account_router_free(&keeper->router);
    account_signing_free(&keeper->signing);
    secret_free(&keeper->srs_key);
    secret_free(&keeper->courier_key);
}

/* A failed reply is a peer that is gone or stuck: its own close tells. */
static void reply(struct wire_channel *channel, enum wire_type type, uint64_t tag, const void *body)
{
    enum err err = wire_send(channel, type, tag, body, NULL, 0);

    (void)err;
}

static void on_recipient(struct keeper *keeper, struct wire_channel *channel, struct task *task,
                         const struct wire_message *message)
{
    struct wire_recipient_reply answer = {.status = WIRE_UNAVAILABLE};

    if (account_router_recipient(keeper->router, task, &message->body.recipient,
                                 clock_monotonic_ms(), &answer) != ERR_OK) {
        answer = (struct wire_recipient_reply){.status = WIRE_UNAVAILABLE};
        log_error(keeper->log, "a recipient could not be looked up error=%s: %s",
                  err_name(task->err), task->words);
    }
    reply(channel, WIRE_RECIPIENT_REPLY, message->tag, &answer);
    keeper_tick_soon(keeper); /* bookkeeping may have been written */
}

static void on_recipients_unused(struct keeper *keeper, struct task *task,
                                 const struct wire_message *message)
{
    if (account_router_unused(keeper->router, task, &message->body.recipients_unused) != ERR_OK)
        log_error(keeper->log, "recipients could not be taken off the count error=%s: %s",
                  err_name(task->err), task->words);
    keeper_tick_soon(keeper); /* bookkeeping may have been written */
}

static void on_sender(struct keeper *keeper, struct wire_channel *channel, struct task *task,
                      const struct wire_message *message)
{
    const struct wire_sender *body = &message->body.sender;
    struct wire_sender_reply answer = {.status = WIRE_UNAVAILABLE};
    bool is_own = false, is_valid = false;

    /* A connection outlives its password: the next message is too late for one that was removed. */
    if (account_slot_is_there(keeper->database, task, &body->mailbox, &body->slot, &is_valid) ==
            ERR_OK &&
        account_router_sender(keeper->router, task, &body->mailbox, body->address, &is_own) ==
            ERR_OK)
        answer.status = !is_valid ? WIRE_DISABLED : is_own ? WIRE_OK : WIRE_DENIED;
    else
        log_error(keeper->log, "a sender could not be looked up error=%s: %s",
                  err_name(task->err), task->words);
    reply(channel, WIRE_SENDER_REPLY, message->tag, &answer);
}

static struct str key_of(const struct secret *key)
{
    return key == NULL ? STR("") : secret_str(key);
}

static void on_signing_keys(struct keeper *keeper, struct wire_channel *channel, struct task *task,
                            const struct wire_message *message)
{
    CLEANUP(account_signing_keys_done) struct account_signing_keys keys = {.rsa_key = NULL};
    struct wire_signing_keys_reply answer = {.status = WIRE_UNAVAILABLE};
    enum err err = account_signing_keys(keeper->signing, keeper->database, task,
                                        message->body.signing_keys.domain, &keys);

    if (err == ERR_OK) {
        answer = (struct wire_signing_keys_reply){
            .status = WIRE_OK,
            .rsa_selector = keys.rsa_selector,
            .rsa_key = key_of(keys.rsa_key),
            .ed25519_selector = keys.ed25519_selector,
            .ed25519_key = key_of(keys.ed25519_key),
        };
    } else if (err == ERR_NOT_FOUND) {
        answer.status = WIRE_UNKNOWN;
    } else {
        log_error(keeper->log, "keys to sign with could not be had error=%s: %s", err_name(err),
                  task->words);
    }
    reply(channel, WIRE_SIGNING_KEYS_REPLY, message->tag, &answer);
}

void keeper_mail_message(struct keeper *keeper, struct wire_channel *channel, struct task *task,
                         const struct wire_message *message)
{
    if (message->type == WIRE_RECIPIENT)
        on_recipient(keeper, channel, task, message);
    else if (message->type == WIRE_RECIPIENTS_UNUSED)
        on_recipients_unused(keeper, task, message);
    else if (message->type == WIRE_SENDER)
        on_sender(keeper, channel, task, message);
    else if (message->type == WIRE_SIGNING_KEYS)
        on_signing_keys(keeper, channel, task, message);
}
