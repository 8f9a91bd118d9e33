/* RECIPIENT. Each step gives its answer in `out` and says whether that was the last word. */
#include "account/router.h"

#include "account/lists.h"
#include "account/routes.h"
#include "account/throttle.h"
#include "base/ip.h"
#include "base/memory.h"

#include <arpa/inet.h>

static const int64_t HOUR_MS = 3600 * 1000;
static const int64_t DAY_MS = 24 * HOUR_MS;

/* What `trust` is in the answer. */
enum { TRUST_NONE, TRUST_LISTED };

enum { REPLY_SERVICE_AWAY = 421, REPLY_LATER = 450, REPLY_LOCAL_LATER = 451, REPLY_REFUSED = 550 };

struct account_router {
    struct account_database *database;  /* borrowed */
    const struct account_return *back;  /* borrowed; may be NULL */
    struct account_patterns *patterns;  /* own */
    struct account_greylist *greylist;  /* own */
    struct account_throttle *incoming;  /* own; counts recipients by client and by sender */
    struct account_router_settings settings;
};

static struct account_throttle_limits limits_of(const struct account_router_settings *settings)
{
    return (struct account_throttle_limits){.per_address = settings->client_limit,
                                            .per_account = settings->sender_limit,
                                            .window_ms = HOUR_MS};
}

struct account_router *account_router_new(struct account_database *database,
                                          const struct secret *host_key,
                                          const struct account_return *back,
                                          const struct account_router_settings *settings)
{
    struct account_router *router = NEW(struct account_router);
    struct account_throttle_limits limits = limits_of(settings);

    router->database = database;
    router->back = back;
    router->patterns = account_patterns_new();
    router->greylist = account_greylist_new(host_key);
    router->incoming = account_throttle_new(&limits);
    router->settings = *settings;
    return router;
}

void account_router_free(struct account_router **router)
{
    if (*router == NULL)
        return;
    account_patterns_free(&(*router)->patterns);
    account_greylist_free(&(*router)->greylist);
    account_throttle_free(&(*router)->incoming);
    mem_free(router);
}

void account_router_set(struct account_router *router,
                        const struct account_router_settings *settings)
{
    struct account_throttle_limits limits = limits_of(settings);

    router->settings = *settings;
    account_throttle_set(router->incoming, &limits);
}

enum err account_router_sender(struct account_router *router, struct task *task,
                               const struct id *mailbox, struct str address, bool *out_is_own)
{
    return account_sender(router->database, router->patterns, task, mailbox, address, out_is_own);
}

/* One question while it is worked on. */
struct question {
    struct account_router *router;
    struct task *task;
    const struct wire_recipient *asked;
    int64_t monotonic_ms;
    struct account_address address;
    struct account_destination destination;
    struct account_resolution found;
    bool is_foreign; /* lists, limits and greylisting look at it */
    struct wire_recipient_reply *out;
};

static void answer(struct question *q, enum wire_status status, unsigned reply_code,
                   struct str words)
{
    q->out->status = status;
    q->out->reply_code = reply_code;
    q->out->words = words;
}

/* --- submission -------------------------------------------------------------------------- */

/* What is left today; true when there is nothing. */
static bool is_used_up(const struct account_daily *daily, uint64_t usual, int64_t day)
{
    int64_t count = daily->day == day ? daily->count : 0;

    if (daily->limit == ACCOUNT_LIMIT_NONE || (daily->limit == ACCOUNT_LIMIT_DEFAULT && usual == 0))
        return false;
    if (daily->limit == ACCOUNT_LIMIT_DEFAULT)
        return count >= 0 && (uint64_t)count >= usual;
    return count >= daily->limit;
}

static enum err sender_domain(struct account_database *database, struct task *task, struct str text,
                              int64_t *out_row)
{
    struct account_address sender;

    *out_row = 0;
    if (account_address_parse(task, text, &sender) != ERR_OK) {
        task_forgive(task);
        return ERR_OK;
    }
    return account_domain_row(database, task, sender.domain, out_row);
}

/* One recipient elsewhere: counted, or the day's limit is reached. */
static enum err count_submission(struct question *q)
{
    struct account_database *database = q->router->database;
    const struct account_router_settings *settings = &q->router->settings;
    struct account_daily of_user, of_domain;
    struct account_mailbox mailbox;
    int64_t domain, day = q->task->now_ms / DAY_MS;
    enum err err = account_mailbox_find(database, q->task, &q->asked->login, &mailbox);

    if (err == ERR_NOT_FOUND) { /* removed since it logged in */
        task_forgive(q->task);
        answer(q, WIRE_REFUSED, REPLY_REFUSED, STR("This login is no more"));
        return ERR_OK;
    }
    TRY(err);
    TRY(sender_domain(database, q->task, q->asked->sender, &domain));
    TRY(account_daily(database, q->task, ACCOUNT_DAILY_USER, mailbox.user, &of_user));
    TRY(account_daily(database, q->task, ACCOUNT_DAILY_DOMAIN, domain, &of_domain));
    if (is_used_up(&of_user, settings->user_daily_limit, day)) {
        answer(q, WIRE_DEFERRED, REPLY_LATER,
               STR("The daily limit of recipients elsewhere is reached, try again tomorrow"));
        return ERR_OK;
    }
    if (is_used_up(&of_domain, settings->domain_daily_limit, day)) {
        answer(q, WIRE_DEFERRED, REPLY_LATER,
               STR("The sender domain's daily limit is reached, try again tomorrow"));
        return ERR_OK;
    }
    TRY(account_daily_count_sent(database, q->task, ACCOUNT_DAILY_USER, mailbox.user, day));
    TRY(account_daily_count_sent(database, q->task, ACCOUNT_DAILY_DOMAIN, domain, day));
    q->out->counted_day = (uint64_t)day;
    q->out->login = q->asked->login;
    q->out->sender = q->asked->sender;
    return ERR_OK;
}

enum err account_router_unused(struct account_router *router, struct task *task,
                               const struct wire_recipients_unused *unused)
{
    struct account_database *database = router->database;
    int64_t day = (int64_t)(unused->counted_day & INT32_MAX);
    int64_t count = (int64_t)(unused->count & INT32_MAX), domain;
    struct account_mailbox mailbox;
    enum err err = account_mailbox_find(database, task, &unused->login, &mailbox);

    if (err == ERR_NOT_FOUND) { /* removed meanwhile, and its counts with it */
        task_forgive(task);
        return ERR_OK;
    }
    TRY(err);
    TRY(sender_domain(database, task, unused->sender, &domain));
    TRY(account_daily_count_unsent(database, task, ACCOUNT_DAILY_USER, mailbox.user, day, count));
    return account_daily_count_unsent(database, task, ACCOUNT_DAILY_DOMAIN, domain, day, count);
}

static enum err not_local(struct question *q)
{
    answer(q, WIRE_NOT_LOCAL, 0, STR(""));
    return id_is_set(&q->asked->login) ? count_submission(q) : ERR_OK;
}

/* --- mail for one of our domains -------------------------------------------------------- */

static enum err go_back(struct question *q)
{
    CLEANUP(buf_free) struct buf to;
    enum err err;

    buf_init(&to, SIZE_MAX);
    err = q->router->back->reverse(q->router->back->owner, q->task, q->destination.local, &to);
    if (err != ERR_OK) {
        task_forgive(q->task);
        answer(q, WIRE_REFUSED, REPLY_REFUSED, STR("This return address is altered or too old"));
        return ERR_OK;
    }
    answer(q, WIRE_OK, 0, STR(""));
    q->out->routes = account_routes_return(q->task, buf_str(&to));
    q->out->is_checked = true;
    return ERR_OK;
}

static bool is_return(const struct question *q)
{
    return q->router->back != NULL && q->router->back->is_one(q->destination.local);
}

static void disabled(struct question *q)
{
    switch (q->found.alias.disabled_answer) {
    case 250: /* taken, and gone */
        answer(q, WIRE_OK, 0, STR(""));
        break;
    case REPLY_SERVICE_AWAY:
        answer(q, WIRE_DEFERRED, REPLY_SERVICE_AWAY, STR("This address takes no mail at present"));
        break;
    default:
        answer(q, WIRE_DISABLED, 0, STR(""));
        break;
    }
}

static bool is_loopback(struct str client)
{
    unsigned char key[IP_CLIENT_KEY_MAX];

    return str_equal(client, STR("::1")) ||
           (ip_client_key(client, key) == sizeof(struct in_addr) && key[0] == 127);
}

static enum err judge_lists(struct question *q, bool *out_is_answered)
{
    const struct account_list_scope of = {q->found.domain.row, q->found.alias.row};
    enum account_list_verdict verdict = ACCOUNT_LIST_NONE;

    *out_is_answered = false;
    if (!q->found.domain.has_lists)
        return ERR_OK;
    TRY(account_lists_judge(q->router->database, q->task, &of, q->asked->sender, q->asked->client,
                            &verdict));
    if (verdict == ACCOUNT_LIST_ALLOW) {
        q->out->trust = TRUST_LISTED;
        q->is_foreign = false;
    } else if (verdict == ACCOUNT_LIST_DENY) {
        answer(q, WIRE_REFUSED, REPLY_REFUSED, STR("Mail from you is not wanted here"));
        *out_is_answered = true;
    }
    return ERR_OK;
}

static enum err judge_rate(struct question *q, bool *out_is_answered)
{
    const struct account_router_settings *settings = &q->router->settings;
    unsigned char client[IP_CLIENT_KEY_MAX];
    struct str key = str_make(client, ip_client_key(q->asked->client, client));
    CLEANUP(buf_free) struct buf sender;

    buf_init(&sender, SIZE_MAX);
    *out_is_answered = false;
    if (settings->client_limit == 0 && settings->sender_limit == 0)
        return ERR_OK;
    buf_put(&sender, key); /* a sender's name by itself anybody can use up */
    buf_put(&sender, q->asked->sender);
    if (account_throttle_is_blocked(q->router->incoming, q->asked->client, buf_str(&sender), false,
                                    q->monotonic_ms)) {
        answer(q, WIRE_DEFERRED, REPLY_LATER, STR("Too much mail from you, try again later"));
        *out_is_answered = true;
        return ERR_OK;
    }
    account_throttle_failed(q->router->incoming, q->asked->client, buf_str(&sender),
                            q->monotonic_ms);
    return ERR_OK;
}

static enum err judge_grey(struct question *q, bool *out_is_answered)
{
    int64_t wait_ms = 0;

    if (q->router->settings.greylist)
        TRY(account_greylist_ask(q->router->greylist, q->router->database, q->task,
                                 q->asked->client, q->asked->sender, q->asked->address,
                                 q->router->settings.greylist_delay_ms, &wait_ms));
    *out_is_answered = wait_ms > 0;
    if (wait_ms > 0)
        answer(q, WIRE_DEFERRED, REPLY_LOCAL_LATER,
               arena_printf(&q->task->arena, "Greylisted, try again in %lld seconds",
                            (long long)((wait_ms + 999) / 1000)));
    return ERR_OK;
}

/* Whoever is asked for in vain: postmaster's mail takes no notice of rules. */
static bool is_for_postmaster(const struct question *q)
{
    return str_equal(q->address.base, STR("postmaster")) ||
           str_equal(q->address.base, STR("abuse"));
}

static enum err judge(struct question *q, bool *out_is_answered)
{
    static enum err (*const steps[])(struct question *, bool *) = {judge_lists, judge_rate,
                                                                   judge_grey};

    *out_is_answered = false;
    q->is_foreign = !id_is_set(&q->asked->login) && q->asked->client.len > 0 &&
                    (q->router->settings.loopback_is_foreign || !is_loopback(q->asked->client));
    if (is_for_postmaster(q))
        return ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(steps) && !*out_is_answered; i++) {
        if (steps[i] == judge_lists || q->is_foreign)
            TRY(steps[i](q, out_is_answered));
    }
    return ERR_OK;
}

static enum err check_quota(struct question *q)
{
    struct account_mailbox mailbox;
    uint64_t limit, used, size = q->asked->size_bytes;

    TRY(account_mailbox_at(q->router->database, q->task, q->found.alias.mailbox, &mailbox));
    limit = account_mailbox_limit(&mailbox);
    used = mailbox.mail_bytes + mailbox.drop_bytes;
    if (limit != ACCOUNT_UNLIMITED && (used >= limit || size > limit - used))
        answer(q, WIRE_OVER_QUOTA, 0, STR(""));
    return ERR_OK;
}

/* Where the alias leads: its mailbox and its routes. */
static enum err deliver(struct question *q)
{
    const struct account_alias *alias = &q->found.alias;
    enum err err = account_routes(q->router->database, q->task, &q->found, &q->destination,
                                  &q->out->routes);

    if (err == ERR_INVALID || err == ERR_LIMIT) { /* the groups took what makes no address */
        task_forgive(q->task);
        answer(q, WIRE_UNKNOWN, 0, STR(""));
        return ERR_OK;
    }
    TRY(err);
    q->out->has_mailbox = alias->is_storing && alias->mailbox != 0;
    q->out->is_checked = alias->files_junk;
    answer(q, WIRE_OK, 0, STR(""));
    if (!q->out->has_mailbox && q->out->routes.len == 0)
        answer(q, WIRE_DISABLED, 0, STR("")); /* it leads nowhere: rather refused than lost */
    if (!q->out->has_mailbox)
        return ERR_OK;
    q->out->mailbox = alias->mailbox_id;
    return check_quota(q);
}

static bool is_tag_taken_off(enum account_match match)
{
    return match == ACCOUNT_MATCH_DETAIL || match == ACCOUNT_MATCH_PATTERN_DETAIL ||
           match == ACCOUNT_MATCH_POSTMASTER;
}

static enum err for_us(struct question *q)
{
    bool is_answered = false;

    if (q->found.match == ACCOUNT_MATCH_NONE) {
        answer(q, WIRE_UNKNOWN, 0, STR(""));
        return ERR_OK;
    }
    if (is_tag_taken_off(q->found.match))
        q->out->detail = q->address.detail;
    if (q->found.match == ACCOUNT_MATCH_ALIAS)
        q->destination.detail = STR(""); /* what looks like a tag is part of its name */
    if (!q->found.alias.is_enabled) {
        disabled(q);
        return ERR_OK;
    }
    TRY(judge(q, &is_answered));
    return is_answered ? ERR_OK : deliver(q);
}

/* "<Postmaster>" without a domain (RFC 5321 §4.1.1.3) is that of the first domain. */
static enum err whole_address(struct question *q, struct str *out_text)
{
    struct str domain;
    enum err err;

    *out_text = q->asked->address;
    if (!str_equal_nocase(*out_text, STR("postmaster")))
        return ERR_OK;
    err = account_domain_first(q->router->database, q->task, &domain);
    if (err == ERR_NOT_FOUND) {
        task_forgive(q->task);
        return ERR_OK;
    }
    TRY(err);
    *out_text = arena_printf(&q->task->arena, "postmaster@%.*s", STR_ARG(domain));
    return ERR_OK;
}

/* A pattern's and a catch-all's targets get the tag, too, though it was looked up with the rest. */
static void set_destination(struct question *q, struct str text)
{
    q->destination = (struct account_destination){
        .local = str_upto(text, (size_t)str_last_index(text, '@')),
        .detail = q->address.detail,
        .domain = q->address.domain,
    };
}

enum err account_router_recipient(struct account_router *router, struct task *task,
                                  const struct wire_recipient *asked, int64_t monotonic_ms,
                                  struct wire_recipient_reply *out)
{
    struct question q = {.router = router,
                         .task = task,
                         .asked = asked,
                         .monotonic_ms = monotonic_ms,
                         .out = out};
    struct str text;

    *out = (struct wire_recipient_reply){.status = WIRE_NOT_LOCAL};
    TRY(whole_address(&q, &text));
    if (account_address_parse(task, text, &q.address) != ERR_OK) {
        task_forgive(task);
        return ERR_OK;
    }
    set_destination(&q, text);
    TRY(account_resolve(router->database, router->patterns, task, &q.address, &q.found));
    if (q.found.match == ACCOUNT_MATCH_NOT_LOCAL)
        return not_local(&q);
    if (is_return(&q))
        return go_back(&q);
    /* Our users' mail came encrypted, the courier's own never left the host. */
    if (q.found.domain.requires_tls && !asked->is_tls && !id_is_set(&asked->login) &&
        asked->client.len > 0) {
        answer(&q, WIRE_REFUSED, REPLY_REFUSED,
               STR("Mail for this domain must come encrypted (STARTTLS)"));
        return ERR_OK;
    }
    return for_us(&q);
}
