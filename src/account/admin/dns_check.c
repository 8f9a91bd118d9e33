/*
 * `sealpost domain check`: asks the DNS for every record at once, for what SPF leads to, and the
 * courier for the MTA-STS policy. All is judged together when the last answer is there, since one
 * explains another.
 */
#include "account/admin/dns_check.h"

#include "account/admin/handlers.h"
#include "base/ascii.h"

#include <stdlib.h>

static const char *const state_names[] = {"right", "missing", "wrong", "unknown"};

/* ---- Questions ---- */

static struct str lower(struct arena *arena, struct str text)
{
    struct str copy = arena_copy(arena, text);

    for (size_t i = 0; i < copy.len; i++)
        ((char *)copy.ptr)[i] = ascii_lower(text.ptr[i]);
    return copy;
}

/* Without looking whether it was asked. */
static struct admin_asked *ask(struct admin_check *check, struct str name, enum dns_type type)
{
    struct admin_request *request = check->request;
    struct admin *admin = request->admin;
    struct admin_asked *asked = &check->asked[check->asked_count];

    *asked = (struct admin_asked){.name = lower(&request->task.arena, name), .type = type};
    admin->services->ask_dns(admin->owner, request->ticket + check->asked_count, asked->name, type);
    check->asked_count++;
    check->open_count++;
    return asked;
}

const struct admin_asked *admin_check_ask(struct admin_check *check, struct str name,
                                          enum dns_type type)
{
    for (size_t i = 0; i < check->asked_count; i++) {
        if (check->asked[i].type == type && str_equal_nocase(check->asked[i].name, name))
            return &check->asked[i];
    }
    return check->asked_count == ADMIN_CHECK_ASKED_MAX ? NULL : ask(check, name, type);
}

/* The answer's memory is the caller's: what is judged later is copied. */
static struct dns_answer keep(struct arena *arena, const struct dns_answer *answer)
{
    struct dns_answer kept = {.status = answer->status, .count = answer->count};

    kept.records = ARENA_ARRAY(arena, struct dns_record, answer->count + 1);
    for (size_t i = 0; i < answer->count; i++) {
        kept.records[i] = answer->records[i];
        kept.records[i].name = arena_copy(arena, answer->records[i].name);
        kept.records[i].data = arena_copy(arena, answer->records[i].data);
    }
    return kept;
}

/* ---- The policy ---- */

/* The hosts that others deliver to: it must name them. */
static json_t *mail_hosts(const struct admin_check *check)
{
    const struct dns_answer *answer = admin_check_answer(check, ADMIN_DNS_MX);
    json_t *hosts = json_array();

    for (size_t i = 0; i < answer->count && i < ADMIN_CHECK_HOSTS_MAX; i++) {
        struct str name = answer->records[i].name;

        if (name.len > 0 && str_is_utf8(name))
            json_array_append_new(hosts, json_stringn(name.ptr, name.len));
    }
    return hosts;
}

static bool ask_for_policy(struct admin_check *check)
{
    struct admin_request *request = check->request;
    struct admin *admin = request->admin;
    struct str domain = check->dns->domain;
    json_t *question = json_pack("{s:s, s:{s:s%, s:o}}", "command", "sts policy", "arguments",
                                 "domain", domain.ptr, domain.len, "hosts", mail_hosts(check));
    char *text = json_dumps(question, JSON_COMPACT);
    enum err err = ERR_BUSY;

    if (text != NULL)
        err = admin->services->ask_courier(admin->owner, request->ticket + ADMIN_CHECK_ASKED_MAX,
                                           str_from_c(text));
    free(text);
    json_decref(question);
    return err == ERR_OK;
}

/* A member of the courier's answer, in the request's arena. */
static struct str member(struct admin_check *check, const json_t *answer, const char *name)
{
    const json_t *value = json_object_get(answer, name);

    return json_is_string(value)
               ? arena_copy(&check->request->task.arena,
                            str_make(json_string_value(value), json_string_length(value)))
               : STR("");
}

/* Why the courier has none; of what is no answer nobody knows. */
static struct admin_finding no_policy(struct admin_check *check, const json_t *answer)
{
    struct str state = member(check, answer, "state"), words = member(check, answer, "message");
    struct admin_finding finding = {ADMIN_FINDING_UNKNOWN, STR("")};

    for (size_t i = ADMIN_FINDING_MISSING; i < ARRAY_LEN(state_names); i++) {
        if (str_equal(state, str_from_c(state_names[i])))
            finding.state = (enum admin_finding_state)i;
    }
    finding.why =
        arena_printf(&check->request->task.arena,
                     finding.state == ADMIN_FINDING_UNKNOWN ? "it could not be asked for: %.*s"
                                                            : "it cannot be fetched: %.*s",
                     STR_ARG(words));
    return finding;
}

static struct admin_finding judge_policy(struct admin_check *check, const json_t *answer)
{
    struct arena *arena = &check->request->task.arena;
    struct str mode = member(check, answer, "mode"), unnamed = member(check, answer, "unnamed");
    bool is_enforced = str_equal(mode, STR("enforce"));

    if (mode.len == 0)
        return no_policy(check, answer);
    if (str_equal(mode, STR("none")))
        return admin_found(ADMIN_FINDING_RIGHT, "mode: none; it asks for nothing");
    if (admin_check_answer(check, ADMIN_DNS_MX)->status == DNS_FAILED)
        return admin_found(ADMIN_FINDING_UNKNOWN,
                           "the DNS did not tell the MX hosts that its mx: must name");
    if (unnamed.len > 0)
        return (struct admin_finding){
            ADMIN_FINDING_WRONG,
            arena_printf(arena, "its mx: does not name %.*s; %s", STR_ARG(unnamed),
                         is_enforced ? "others do not deliver there"
                                     : "with mode: enforce others would not deliver there")};
    return admin_found(ADMIN_FINDING_RIGHT,
                       is_enforced ? "" : "mode: testing; troubles are only reported");
}

/* ---- The end ---- */

static void put_finding(json_t *items, const char *type, struct str name,
                        const struct admin_finding *finding)
{
    json_t *item = json_object();

    json_object_set_new(item, "state", json_string(state_names[finding->state]));
    json_object_set_new(item, "type", json_string(type));
    admin_put_text(item, "name", name);
    admin_put_text(item, "why", finding->why);
    json_array_append_new(items, item);
}

static void put_findings(struct admin_request *request, struct admin_check *check)
{
    json_t *items = admin_put_items(request);

    for (size_t i = 0; i < check->dns->count; i++) {
        const struct admin_dns_record *record = &check->dns->records[i];
        struct admin_finding finding = admin_check_judge(check, i);

        put_finding(items, admin_dns_type_name(record->type), record->name, &finding);
        if (record->role == ADMIN_DNS_STS_HOST)
            put_finding(items, "HTTPS", check->dns->policy_url, &check->policy);
    }
}

/* All that was asked is answered: what is next? True: nothing. */
static bool go_on(struct admin_check *check)
{
    if (!check->is_policy_asked)
        admin_check_spf(check);
    if (check->open_count > 0)
        return false;
    if (!check->is_policy_asked) {
        check->is_policy_asked = true;
        check->policy =
            admin_found(ADMIN_FINDING_UNKNOWN, "the courier, which would fetch it, is away");
        if (ask_for_policy(check)) {
            check->open_count++;
            return false;
        }
    }
    put_findings(check->request, check);
    return true;
}

enum err admin_domain_check(struct admin_request *request)
{
    struct admin_check *check = ARENA_NEW(&request->task.arena, struct admin_check);

    TRY(admin_dns_collect(request, &check->dns));
    check->request = request;
    request->check = check;
    request->ticket_count = ADMIN_CHECK_ASKED_MAX + 1; /* the last one is the courier's */
    request->ticket = admin_new_tickets(request->admin, request->ticket_count);
    for (size_t i = 0; i < check->dns->count; i++)
        (void)ask(check, check->dns->records[i].name, check->dns->records[i].type);
    return ERR_OK;
}

bool admin_check_answered(struct admin_request *request, uint64_t ticket,
                          const struct dns_answer *answer)
{
    struct admin_check *check = request->check;
    uint64_t index = ticket - request->ticket;

    if (index >= check->asked_count || check->asked[index].is_answered)
        return false;
    check->asked[index].is_answered = true;
    check->asked[index].answer = keep(&request->task.arena, answer);
    return --check->open_count == 0 && go_on(check);
}

bool admin_check_policy_answered(struct admin_request *request, struct str json)
{
    struct admin_check *check = request->check;
    json_error_t error;
    json_t *answer;

    if (!check->is_policy_asked || check->open_count == 0)
        return false;
    if (json.len > 0) { /* else the courier went */
        answer = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &error);
        check->policy = judge_policy(check, answer);
        json_decref(answer);
    }
    return --check->open_count == 0 && go_on(check);
}
