/*
 * What administrators' commands ask of courier and resolver; and the keys that mail is signed with for
 * domains from before there were any, one by one.
 */
#include "role/keeper.h"

#include "base/clock.h"
#include "base/memory.h"
#include "courier/route.h"
#include "net/target.h"

/* Domains that have no keys yet are in no hurry, and an RSA key costs a few tenths of a second of a
 * processor. Whoever wants to publish those of a domain (`domain dns`) has them at once. */
enum { KEYS_EVERY_MS = 10 * 1000, KEYS_FIRST_AFTER_MS = 500 };

struct keeper_question {
    struct keeper_question *next;
    struct keeper *keeper;   /* borrowed */
    struct dns_query *query; /* own */
    uint64_t ticket;
};

enum err keeper_ask_courier(void *owner, uint64_t ticket, struct str json)
{
    struct keeper *keeper = owner;
    struct wire_channel *courier = role_peer(keeper->process, WIRE_ROLE_COURIER, 0);
    struct wire_admin body = {.json = json};

    return courier == NULL ? ERR_BUSY
                           : wire_send(courier, WIRE_ADMIN, ticket, &body, NULL, 0);
}

enum err keeper_ask_archivist(void *owner, uint64_t ticket, struct str json)
{
    struct keeper *keeper = owner;
    struct wire_channel *archivist = role_peer(keeper->process, WIRE_ROLE_ARCHIVIST, 0);
    struct wire_admin body = {.json = json};

    return archivist == NULL ? ERR_BUSY
                             : wire_send(archivist, WIRE_ADMIN, ticket, &body, NULL, 0);
}

void keeper_forget_archivist(void *owner, uint64_t ticket)
{
    /* The same tag: it is about that one (backup/archivist_admin.h). Without an archivist, or
     * where it takes nothing, that is over with its channel. */
    if (keeper_ask_archivist(owner, ticket, STR("{\"command\":\"cancel\"}")) != ERR_OK)
        log_info(((struct keeper *)owner)->log, "the archivist could not be told to give up");
}

static void unlink_question(struct keeper_question *question)
{
    struct keeper_question **link = &question->keeper->questions;

    while (*link != question)
        link = &(*link)->next;
    *link = question->next;
}

static void on_answer(void *owner, struct task *task, const struct dns_answer *answer)
{
    struct keeper_question *question = owner;
    struct keeper *keeper = question->keeper;
    uint64_t ticket = question->ticket;

    (void)task;
    unlink_question(question);
    mem_free(&question); /* the query goes behind the call */
    admin_dns_answered(keeper->admin, ticket, answer);
}

void keeper_ask_dns(void *owner, uint64_t ticket, struct str name, enum dns_type type)
{
    struct keeper *keeper = owner;
    struct keeper_question *question = NEW(struct keeper_question);

    question->keeper = keeper;
    question->ticket = ticket;
    question->next = keeper->questions;
    keeper->questions = question;
    question->query = dns_client_ask(keeper->dns, name, type, false, on_answer, question);
}

struct str keeper_smarthost(void *owner, struct task *task)
{
    const struct keeper *keeper = owner;
    struct courier_target target;

    if (courier_host_parse(task, &task->arena, role_config(keeper->process)->smarthost, &target) !=
        ERR_OK) {
        task_forgive(task); /* none is set */
        return STR("");
    }
    return target.host;
}

const char *keeper_webhook_reason(void *owner, struct str url)
{
    const struct keeper *keeper = owner;
    const struct config *config = role_config(keeper->process);
    CLEANUP(net_target_rules_free) struct net_target_rules *rules =
        net_target_rules_new(config->webhook_allow, CONFIG_ADDRESSES_MAX, config->webhook_http);

    return net_target_url_reason(rules, url);
}

bool keeper_uses_ipv6(void *owner)
{
    const struct keeper *keeper = owner;

    return role_config(keeper->process)->outgoing_ipv6;
}

static void on_keys(void *owner)
{
    struct keeper *keeper = owner;

    if (admin_make_missing_key(keeper->admin, clock_now_ms()))
        net_timer_start(keeper->keys, KEYS_EVERY_MS);
}

void keeper_keys_soon(struct keeper *keeper)
{
    net_timer_start(keeper->keys, 0);
}

void keeper_ask_start(struct keeper *keeper)
{
    keeper->keys = net_timer_new(role_loop(keeper->process), on_keys, keeper);
    net_timer_start(keeper->keys, KEYS_FIRST_AFTER_MS);
}

void keeper_ask_stop(struct keeper *keeper)
{
    net_timer_free(&keeper->keys);
    while (keeper->questions != NULL) {
        struct keeper_question *question = keeper->questions;

        keeper->questions = question->next;
        dns_query_cancel(&question->query);
        mem_free(&question);
    }
}
