/* `sealpost user limit` and `sealpost domain limit`: how many recipients elsewhere in a day. */
#include "account/admin/handlers.h"
#include "account/admin/request.h"

static const int64_t DAY_MS = 24LL * 3600 * 1000;

static void put_limit(struct admin_request *request, const struct account_daily *daily)
{
    int64_t today = request->task.now_ms / DAY_MS;

    if (daily->limit == ACCOUNT_LIMIT_DEFAULT)
        admin_put_text(request->reply, "limit", STR("default"));
    else if (daily->limit == ACCOUNT_LIMIT_NONE)
        admin_put_text(request->reply, "limit", STR("none"));
    else
        admin_put_size(request->reply, "limit", (uint64_t)daily->limit);
    admin_put_size(request->reply, "sent_today",
                   daily->day == today && daily->count > 0 ? (uint64_t)daily->count : 0);
}

/* Sets it where the request says so, and reads it. */
static enum err set_and_read(struct admin_request *request, enum account_daily_of whose,
                             int64_t row, bool *out_is_set, struct account_daily *out_daily)
{
    struct account_database *database = request->admin->database;
    bool is_set = admin_argument_text(request, "limit").len > 0;
    int64_t limit = 0;

    if (is_set)
        TRY(admin_argument_limit(request, "limit", &limit));
    TRY(account_begin(database, &request->task));
    if (is_set)
        TRY(account_daily_set_limit(database, &request->task, whose, row, limit));
    TRY(account_daily(database, &request->task, whose, row, out_daily));
    TRY(account_commit(database, &request->task));
    *out_is_set = is_set;
    return ERR_OK;
}

enum err admin_user_limit(struct admin_request *request)
{
    struct account_daily daily;
    struct account_user user;
    bool is_set;

    TRY(admin_find_user(request, admin_argument_text(request, "name"), &user));
    TRY(set_and_read(request, ACCOUNT_DAILY_USER, user.row, &is_set, &daily));
    if (is_set)
        admin_say(request, "The daily limit of user %.*s was set.", STR_ARG(user.name));
    admin_put_text(request->reply, "name", user.name);
    put_limit(request, &daily);
    return ERR_OK;
}

enum err admin_domain_limit(struct admin_request *request)
{
    struct account_domain domain;
    struct account_daily daily;
    bool is_set;

    TRY(admin_find_domain(request, &domain));
    TRY(set_and_read(request, ACCOUNT_DAILY_DOMAIN, domain.row, &is_set, &daily));
    if (is_set)
        admin_say(request, "The daily limit of the domain %.*s was set.", STR_ARG(domain.name));
    admin_put_text(request->reply, "domain", domain.name);
    put_limit(request, &daily);
    return ERR_OK;
}
