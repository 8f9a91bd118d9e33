/*
 * One message on its way through the hosts of its plan.
 *
 *   WAITING ──> PLANNING ──> CONNECTING ──> SENDING ──> done
 *                                ▲             │
 *                                └─────────────┘        REFUSED ──> done
 *
 *   WAITING -> PLANNING      the pool (destinations.c): its turn
 *   PLANNING -> CONNECTING   courier_attempt_planned, try_host; an idle connection: -> SENDING
 *   CONNECTING -> SENDING    on_ready, send_mail
 *   SENDING -> SENDING       again on the same connection, for whom the server had too many
 *   CONNECTING -> WAITING    back_to_queue: the server has enough connections of ours
 *   SENDING -> CONNECTING    next host, or the same one anew: an idle connection that had died, TLS
 *                            that does not work and is not required
 *   any -> done              finish, courier_attempt_cancel
 *
 * A recipient is done with a verdict of the server's, but for 4xx to MAIL or RCPT and for what
 * befell the connection: then the next host is asked, and the last word that was heard is the
 * result.
 */
#include "courier/attempt.h"

#include "base/clock.h"
#include "base/memory.h"
#include "courier/demand.h"
#include "courier/pool.h"
#include "smtp/header.h"

#include <assert.h>
#include <string.h>

enum {
    IMPLICIT_TLS_PORT = 465, /* RFC 8314 §7.3 */
    CONNECTIONS_MAX = 10,    /* of one attempt */
};

static void try_host(struct courier_attempt *attempt);

/* ---- the end ---- */

static void attempt_free(struct courier_attempt *attempt)
{
    if (attempt->held != NULL)
        courier_pool_put(&attempt->held);
    courier_pool_leave(attempt);
    courier_plan_unref(&attempt->plan);
    net_timer_free(&attempt->kick);
    arena_free(&attempt->arena);
    mem_free(&attempt);
}

static struct str enhanced_text(struct courier_attempt *attempt, struct smtp_enhanced enhanced)
{
    return arena_printf(&attempt->arena, "%u.%u.%u", enhanced.class, enhanced.subject,
                        enhanced.detail);
}

/* For those of whom no server said anything. */
static void settle(struct courier_attempt *attempt, struct courier_outlook *outlook)
{
    const struct courier_reason *reason = &attempt->reason;
    struct smtp_enhanced enhanced = reason->enhanced;

    enhanced.class = reason->is_permanent ? 5 : 4;
    outlook->result = (struct courier_result){
        .outcome = reason->is_permanent ? COURIER_PERMANENT : COURIER_TEMPORARY,
        .code = reason->code,
        .enhanced = enhanced_text(attempt, enhanced),
        .words = reason->words,
        .remote = reason->remote,
    };
}

static void finish(struct courier_attempt *attempt)
{
    size_t count = attempt->request.recipient_count;
    struct courier_result *results = ARENA_ARRAY(&attempt->arena, struct courier_result, count);

    for (size_t i = 0; i < count; i++) {
        if (!attempt->outlooks[i].has_result)
            settle(attempt, &attempt->outlooks[i]);
        results[i] = attempt->outlooks[i].result;
    }
    if (attempt->held != NULL)
        courier_pool_put(&attempt->held);
    courier_pool_leave(attempt);
    attempt->on_done(attempt->owner, results, count);
    attempt_free(attempt);
}

/* Remembers why a host would not do. What may pass outweighs what will not. */
static void note(struct courier_attempt *attempt, bool is_permanent, unsigned code,
                 struct smtp_enhanced enhanced, struct str words, struct str remote)
{
    struct courier_reason *reason = &attempt->reason;

    if (reason->is_set && !reason->is_permanent && is_permanent)
        return;
    *reason = (struct courier_reason){
        .is_set = true,
        .is_permanent = is_permanent,
        .code = code,
        .enhanced = enhanced,
        .words = arena_copy(&attempt->arena, words),
        .remote = arena_copy(&attempt->arena, remote),
    };
}

static struct courier_host *host_of(struct courier_attempt *attempt)
{
    return &attempt->plan->hosts[attempt->host_index];
}

static void next_host(struct courier_attempt *attempt)
{
    attempt->host_index++;
    attempt->address_index = 0;
    attempt->without_tls = false;
    attempt->is_reused = false;
    for (size_t i = 0; i < attempt->request.recipient_count; i++)
        attempt->outlooks[i].is_elsewhere = false;
    try_host(attempt);
}

/* ---- the mail ---- */

/* With the domain in A-labels where that alone spares SMTPUTF8. */
static struct str mail_address(struct courier_attempt *attempt, struct str address)
{
    ptrdiff_t at = str_last_index(address, '@');
    struct str normal;
    struct task task;
    enum err err;

    if (at < 0 || str_is_ascii(address) || !str_is_ascii(str_upto(address, (size_t)at)))
        return address;
    task_init(&task, 0);
    err = courier_domain_normal(&task, &attempt->arena, str_from(address, (size_t)at + 1), &normal);
    task_done(&task);
    if (err != ERR_OK)
        return address;
    return arena_printf(&attempt->arena, "%.*s@%.*s", (int)at, address.ptr, STR_ARG(normal));
}

/* It was given with SMTPUTF8; but if all of its addresses and fields are ASCII, it does without. */
static bool needs_utf8(const struct courier_attempt *attempt, const struct smtp_client_mail *mail)
{
    const struct courier_request *request = &attempt->request;

    if (!str_is_ascii(mail->sender))
        return true;
    for (size_t i = 0; i < mail->recipient_count; i++)
        if (!str_is_ascii(mail->recipients[i].address))
            return true;
    return request->smtputf8 &&
           !str_is_ascii(str_upto(request->message, smtp_header_len(request->message)));
}

static void send_mail(struct courier_attempt *attempt)
{
    const struct courier_request *request = &attempt->request;
    struct smtp_client_recipient *recipients =
        ARENA_ARRAY(&attempt->arena, struct smtp_client_recipient, request->recipient_count);
    struct smtp_client_mail mail = {
        .sender = mail_address(attempt, request->sender),
        .recipients = recipients,
        .ret = request->ret,
        .envid = request->envid,
        .require_tls = request->require_tls,
        .is_8bit = request->is_8bit,
        .fields = request->fields,
        .message = request->message,
    };

    attempt->told_count = 0;
    for (size_t i = 0; i < request->recipient_count; i++) {
        const struct courier_recipient *from = &request->recipients[i];

        if (attempt->outlooks[i].is_done || attempt->outlooks[i].is_elsewhere)
            continue;
        recipients[mail.recipient_count++] = (struct smtp_client_recipient){
            .address = mail_address(attempt, from->address),
            .notify = from->notify,
            .orcpt = from->orcpt,
        };
        attempt->told[attempt->told_count++] = i;
    }
    mail.needs_utf8 = needs_utf8(attempt, &mail);
    attempt->state = COURIER_ATTEMPT_SENDING;
    attempt->held->mails++;
    courier_link_send(attempt->held->link, &mail);
}

static void take_verdict(struct courier_attempt *attempt, struct courier_outlook *outlook,
                         const struct smtp_client_verdict *verdict)
{
    const struct courier_link *link = attempt->held->link;
    struct arena *arena = &attempt->arena;

    outlook->has_result = true;
    outlook->result = (struct courier_result){
        .outcome = verdict->outcome == SMTP_CLIENT_DELIVERED   ? COURIER_DELIVERED
                   : verdict->outcome == SMTP_CLIENT_PERMANENT ? COURIER_PERMANENT
                                                               : COURIER_TEMPORARY,
        .is_uncertain = verdict->is_uncertain,
        .passes_dsn = verdict->outcome == SMTP_CLIENT_DELIVERED &&
                      smtp_client_has_dsn(courier_link_client(link)),
        .code = verdict->code,
        .enhanced = enhanced_text(attempt, verdict->enhanced),
        .words = arena_copy(arena, verdict->words),
        .remote = arena_copy(arena, host_of(attempt)->name),
        .tls = arena_copy(arena, courier_link_tls_words(link)),
    };
    outlook->is_done = verdict->outcome != SMTP_CLIENT_TEMPORARY || verdict->is_uncertain ||
                       !(verdict->is_session || verdict->is_early || verdict->is_too_many);
    outlook->is_elsewhere = verdict->is_early && !verdict->is_too_many;
}

/* What the mail came to. True: for some, the same connection may do once more. */
static bool collect(struct courier_attempt *attempt, bool *out_is_over, bool *out_is_heard)
{
    bool is_again = false, is_over = true;

    *out_is_heard = false;
    for (size_t i = 0; i < attempt->told_count; i++) {
        const struct smtp_client_verdict *verdict =
            smtp_client_verdict(courier_link_client(attempt->held->link), i);
        struct courier_outlook *outlook = &attempt->outlooks[attempt->told[i]];

        take_verdict(attempt, outlook, verdict);
        if (verdict->is_too_many)
            is_again = true;
        if (!verdict->is_session)
            *out_is_heard = true;
    }
    for (size_t i = 0; i < attempt->request.recipient_count; i++)
        if (!attempt->outlooks[i].is_done)
            is_over = false;
    *out_is_over = is_over;
    return is_again;
}

/* ---- the connection ---- */

static struct str remote_name(struct courier_attempt *attempt)
{
    return host_of(attempt)->name;
}

/* The same host at its further addresses, or the next one: a host of many machines may have one
 * that is sick. */
static void next_address(struct courier_attempt *attempt, size_t failed)
{
    attempt->address_index += failed + 1;
    if (attempt->address_index >= host_of(attempt)->address_count) {
        next_host(attempt);
        return;
    }
    attempt->without_tls = false;
    try_host(attempt);
}

/* Are there connections to the same destination that work, or may? */
static bool has_others(const struct courier_attempt *attempt)
{
    const struct courier_attempt *other = attempt->destination->active;

    while (other != NULL && (other == attempt || other->state == COURIER_ATTEMPT_PLANNING))
        other = other->next;
    return other != NULL || attempt->destination->idle_count > 0;
}

static void back_to_queue(struct courier_attempt *attempt)
{
    courier_held_free(&attempt->held);
    courier_plan_unref(&attempt->plan);
    attempt->host_index = attempt->address_index = 0;
    attempt->without_tls = false;
    for (size_t i = 0; i < attempt->request.recipient_count; i++)
        attempt->outlooks[i].is_elsewhere = false;
    courier_pool_requeue(attempt);
}

/* It never came to a mail. */
static void not_connected(struct courier_attempt *attempt)
{
    const struct courier_link *link = attempt->held->link;
    size_t address = courier_link_address(link);
    enum courier_link_trouble trouble = courier_link_trouble(link);
    struct smtp_client_trouble words = courier_link_words(link);
    bool is_tls_needed = attempt->held->trust != NET_TLS_TRUST_ANY || attempt->needs_tls;

    log_debug(attempt->pool->log, "not connected host=%.*s reason=\"%.*s\"",
              STR_ARG(remote_name(attempt)), STR_ARG(words.words));
    /* 521 and 556 say for good that no mail is taken there (RFC 7504). */
    note(attempt, words.code == 521 || words.code == 556, words.code, words.enhanced, words.words,
         remote_name(attempt));
    if (words.code / 100 == 4 && words.ending != SMTP_CLIENT_ENDED_NO_TLS &&
        attempt->connection_count < CONNECTIONS_MAX && has_others(attempt)) {
        back_to_queue(attempt);
        return;
    }
    if (trouble == COURIER_LINK_UNREACHABLE ||
        (words.ending == SMTP_CLIENT_ENDED_TIMEOUT &&
         attempt->address_index + address + 1 >= host_of(attempt)->address_count))
        courier_host_note(attempt->pool, host_of(attempt)->name, attempt->plan->port, true);
    courier_held_free(&attempt->held);
    if (trouble == COURIER_LINK_TLS_FAILED && !is_tls_needed && !attempt->without_tls) {
        attempt->without_tls = true;
        attempt->address_index += address; /* the very same */
        try_host(attempt);
    } else if (trouble == COURIER_LINK_UNREACHABLE) {
        next_host(attempt);
    } else {
        next_address(attempt, address);
    }
}

/* The connection went with a mail under way. */
static void broken(struct courier_attempt *attempt)
{
    struct smtp_client_trouble words = courier_link_words(attempt->held->link);
    bool was_reused = attempt->is_reused, is_over, is_heard;

    (void)collect(attempt, &is_over, &is_heard);
    if (words.ending == SMTP_CLIENT_ENDED_TIMEOUT)
        courier_host_note(attempt->pool, host_of(attempt)->name, attempt->plan->port, true);
    courier_held_free(&attempt->held);
    if (is_over) {
        finish(attempt);
    } else if (was_reused && !is_heard) {
        attempt->is_reused = false; /* it had been closed while it waited: anew */
        try_host(attempt);
    } else {
        next_host(attempt);
    }
}

static void on_ended(void *owner, struct courier_link *link)
{
    struct courier_attempt *attempt = owner;

    (void)link;
    if (attempt->state == COURIER_ATTEMPT_CONNECTING)
        not_connected(attempt);
    else
        broken(attempt);
}

static void mail_done(struct courier_attempt *attempt)
{
    bool is_over, is_heard, is_again = collect(attempt, &is_over, &is_heard);

    courier_pool_praise(attempt->destination);
    if (is_over) {
        finish(attempt);
    } else if (is_again) {
        send_mail(attempt);
    } else {
        courier_pool_put(&attempt->held);
        next_host(attempt);
    }
}

static void on_ready(void *owner, struct courier_link *link)
{
    struct courier_attempt *attempt = owner;

    (void)link;
    if (attempt->state == COURIER_ATTEMPT_CONNECTING) {
        courier_host_note(attempt->pool, host_of(attempt)->name, attempt->plan->port, false);
        send_mail(attempt);
    } else {
        mail_done(attempt);
    }
}

static const struct courier_link_events link_events = {on_ready, on_ended};

/* ---- hosts ---- */

static bool is_tls_required(const struct courier_attempt *attempt)
{
    const struct courier_settings *settings = &attempt->pool->rules.settings;

    if (attempt->destination->target.is_smarthost && settings->smarthost_user.len > 0)
        return true;
    for (size_t i = 0; i < settings->tls_required_count; i++)
        if (courier_domain_matches(settings->tls_required[i], attempt->domain))
            return true;
    return false;
}

static void connect_to(struct courier_attempt *attempt, const struct courier_host *host,
                       const struct courier_demand *demand)
{
    const struct courier_settings *settings = &attempt->pool->rules.settings;
    struct courier_target *target = &attempt->destination->target;
    bool has_login = target->is_smarthost && settings->smarthost_user.len > 0;
    struct courier_link_options options = {
        .addresses = host->addresses + attempt->address_index,
        .address_count = host->address_count - attempt->address_index,
        .port = attempt->plan->port,
        .connect_timeout_ms = settings->connect_timeout_ms,
        .peer = {.trust = demand->trust,
                 .name = demand->trust == NET_TLS_TRUST_DANE ? host->tls_name : host->name,
                 .other_name = target->kind == COURIER_TARGET_DOMAIN ? target->host : STR(""),
                 .records = host->tlsa,
                 .record_count = demand->trust == NET_TLS_TRUST_DANE ? host->tlsa_count : 0},
        .is_implicit_tls = attempt->plan->is_route && attempt->plan->port == IMPLICIT_TLS_PORT,
        .client = {.hostname = settings->hostname,
                   .tls = attempt->without_tls ? SMTP_CLIENT_TLS_NEVER : demand->tls,
                   .user = has_login ? settings->smarthost_user : STR(""),
                   .password = has_login ? settings->smarthost_password : NULL,
                   .timeouts = settings->timeouts,
                   .log = attempt->pool->log},
    };

    attempt->connection_count++;
    courier_pool_make_room(attempt->destination);
    attempt->held = courier_held_new(attempt->destination, host->name, demand->trust);
    attempt->needs_tls = demand->tls == SMTP_CLIENT_TLS_REQUIRED;
    attempt->is_reused = false;
    attempt->state = COURIER_ATTEMPT_CONNECTING;
    attempt->held->link = courier_link_new(attempt->pool->links, &options, &link_events, attempt);
}

/* The host will do: with a connection that is there, or a new one. */
static void go(struct courier_attempt *attempt, const struct courier_host *host,
               const struct courier_demand *demand)
{
    attempt->held = courier_pool_take(attempt->destination, host->name, demand->trust,
                                      demand->tls == SMTP_CLIENT_TLS_REQUIRED);
    if (attempt->held == NULL) {
        connect_to(attempt, host, demand);
        return;
    }
    attempt->is_reused = true;
    courier_link_own(attempt->held->link, &link_events, attempt);
    send_mail(attempt);
}

/* This host, or the first behind it that will do. */
static void try_host(struct courier_attempt *attempt)
{
    const struct courier_wish wish = {.require_tls = attempt->request.require_tls,
                                      .tls_optional = attempt->request.tls_optional,
                                      .is_tls_required = is_tls_required(attempt)};

    for (; attempt->host_index < attempt->plan->host_count; attempt->host_index++) {
        const struct courier_host *host = host_of(attempt);
        struct courier_demand demand;

        courier_demand_of(attempt->plan, host, &wish, &demand);
        if (host->address_count == 0) {
            note(attempt, !host->is_temporary, 0, host->enhanced, str_from_c(host->problem),
                 host->name);
        } else if (demand.problem != NULL) {
            note(attempt, demand.is_permanent, 0, demand.enhanced, str_from_c(demand.problem),
                 host->name);
        } else if (attempt->connection_count >= CONNECTIONS_MAX) {
            break; /* the reason is noted */
        } else if (courier_host_is_dead(attempt->pool, host->name, attempt->plan->port)) {
            note(attempt, false, 0, (struct smtp_enhanced){4, 4, 1},
                 STR("it did not answer a moment ago"), host->name);
        } else {
            go(attempt, host, &demand);
            return;
        }
        attempt->address_index = 0;
        attempt->without_tls = false;
    }
    finish(attempt);
}

void courier_attempt_begin(struct courier_attempt *attempt)
{
    courier_attempt_planned(attempt);
}

void courier_attempt_planned(struct courier_attempt *attempt)
{
    struct courier_plan *plan = attempt->destination->plan;

    courier_plan_ref(plan);
    attempt->plan = plan;
    if (plan->host_count == 0) {
        note(attempt, !plan->is_temporary, 0, plan->enhanced, str_from_c(plan->problem), STR(""));
        finish(attempt);
        return;
    }
    try_host(attempt);
}

/* ---- the beginning ---- */

static void on_refused(void *owner)
{
    finish(owner);
}

/* There is nowhere to go: the words are the task's. */
static void refuse(struct courier_attempt *attempt, struct task *task,
                   struct smtp_enhanced enhanced)
{
    note(attempt, true, 0, enhanced, str_from_c(task->words), STR(""));
    attempt->state = COURIER_ATTEMPT_REFUSED;
    attempt->kick = net_timer_new(attempt->pool->loop, on_refused, attempt);
    net_timer_start(attempt->kick, 0);
}

/* By MX, or the literal's address: what there is without a route. */
static enum err own_target(struct courier_attempt *attempt, struct task *task,
                           struct courier_target *out)
{
    const struct courier_request *request = &attempt->request;

    *out = (struct courier_target){.kind = COURIER_TARGET_DOMAIN, .host = attempt->domain};
    if (request->domain.len == 0 || request->domain.ptr[0] != '[')
        return attempt->domain.len > 0 ? ERR_OK : fail(task, ERR_INVALID, "no domain name");
    out->kind = COURIER_TARGET_LITERAL;
    if (!courier_literal_parse(request->domain, &out->host))
        return fail(task, ERR_INVALID, "no address literal");
    return ERR_OK;
}

static enum err find_target(struct courier_attempt *attempt, struct task *task,
                            struct courier_target *out)
{
    const struct courier_destinations *pool = attempt->pool;

    if (attempt->request.via.len > 0)
        return courier_host_parse(task, &attempt->arena, attempt->request.via, out);
    for (size_t i = 0; i < pool->rules.settings.route_count; i++) {
        if (courier_domain_matches(pool->rules.settings.routes[i], attempt->domain)) {
            *out = pool->rules.routes[i];
            return ERR_OK;
        }
    }
    if (pool->rules.settings.smarthost.len > 0) {
        *out = pool->rules.smarthost;
        return ERR_OK;
    }
    return own_target(attempt, task, out);
}

static void copy_request(struct courier_attempt *attempt, const struct courier_request *request)
{
    struct arena *arena = &attempt->arena;
    struct courier_request *own = &attempt->request;
    struct courier_recipient *recipients =
        ARENA_ARRAY(arena, struct courier_recipient, request->recipient_count);

    *own = *request;
    own->domain = arena_copy(arena, request->domain);
    own->via = arena_copy(arena, request->via);
    own->sender = arena_copy(arena, request->sender);
    own->ret = arena_copy(arena, request->ret);
    own->envid = arena_copy(arena, request->envid);
    for (size_t i = 0; i < request->recipient_count; i++) {
        recipients[i].address = arena_copy(arena, request->recipients[i].address);
        recipients[i].orcpt = arena_copy(arena, request->recipients[i].orcpt);
        recipients[i].notify = arena_copy(arena, request->recipients[i].notify);
    }
    own->recipients = recipients;
    attempt->outlooks = ARENA_ARRAY(arena, struct courier_outlook, request->recipient_count);
    attempt->told = ARENA_ARRAY(arena, size_t, request->recipient_count);
}

struct courier_attempt *courier_attempt_start(struct courier_destinations *destinations,
                                              const struct courier_request *request,
                                              courier_on_done on_done, void *owner)
{
    struct courier_attempt *attempt = NEW(struct courier_attempt);
    struct courier_target target;
    struct task task;

    assert(request->recipient_count > 0 && request->recipient_count <= COURIER_RECIPIENTS_MAX);
    attempt->pool = destinations;
    attempt->on_done = on_done;
    attempt->owner = owner;
    copy_request(attempt, request);
    task_init(&task, 0);
    if (courier_domain_normal(&task, &attempt->arena, request->domain, &attempt->domain) != ERR_OK)
        task_forgive(&task); /* a literal, or nothing */
    if (find_target(attempt, &task, &target) == ERR_OK) {
        attempt->destination = courier_destination_of(destinations, &target);
        courier_pool_enqueue(attempt);
    } else {
        refuse(attempt, &task, (struct smtp_enhanced){5, 1, 2});
    }
    task_done(&task);
    return attempt;
}

void courier_attempt_cancel(struct courier_attempt **attempt)
{
    struct courier_attempt *gone = *attempt;

    *attempt = NULL;
    if (gone == NULL)
        return;
    if (gone->held != NULL && courier_link_state(gone->held->link) != COURIER_LINK_READY)
        courier_held_free(&gone->held);
    attempt_free(gone);
}
