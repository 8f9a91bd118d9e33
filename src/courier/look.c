/*
 * A look at a domain's MTA-STS policy for an administrator's `domain check`: the keeper, which
 * judges all that a domain publishes, has no network. Nothing of it is remembered.
 */
#include "courier/state.h"

#include "base/memory.h"

#include <stdlib.h>

enum { LOOKS_MAX = 16 };

struct courier_look {
    struct courier_look *next;
    struct courier *courier;    /* borrowed */
    struct wire_channel *asker; /* borrowed */
    uint64_t tag;
    json_t *hosts; /* own; the domain's MX hosts */
    struct courier_sts_question *question;
};

static void look_free(struct courier_look *look)
{
    struct courier_look **link = &look->courier->looks;

    while (*link != look)
        link = &(*link)->next;
    *link = look->next;
    look->courier->look_count--;
    if (look->question != NULL)
        look->courier->ways->cancel_look(&look->question);
    json_decref(look->hosts);
    mem_free(&look);
}

/* Takes over `answer`. */
static void send_answer(const struct courier *courier, struct wire_channel *channel, uint64_t tag,
                        json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    struct wire_admin_reply body = {.json = str_from_c(text == NULL ? "{}" : text),
                                    .is_last = true};

    if (wire_send(channel, WIRE_ADMIN_REPLY, tag, &body, NULL, 0) != ERR_OK)
        log_warning(courier->log, "an administrator's answer could not be sent");
    free(text);
    json_decref(answer);
}

/* `state`: what the keeper says of it. Words that a stranger's server may have had a part in. */
static json_t *failure(enum err err, const char *why)
{
    json_t *words = json_string(why);

    return json_pack("{s:s, s:s, s:o}", "status", "failed", "state",
                     err == ERR_BUSY        ? "unknown"
                     : err == ERR_NOT_FOUND ? "missing"
                                            : "wrong",
                     "message", words == NULL ? json_string("it is not what it should be") : words);
}

/* The first of the hosts that the policy does not name; NULL: it names them all. */
static const char *first_unnamed(const json_t *hosts, const struct courier_sts_policy *policy)
{
    for (size_t i = 0; i < json_array_size(hosts); i++) {
        const char *host = json_string_value(json_array_get(hosts, i));

        if (host != NULL && !courier_sts_policy_has(policy, str_from_c(host)))
            return host;
    }
    return NULL;
}

static void on_look(void *owner, enum err err, const struct courier_sts_policy *policy,
                    const char *why)
{
    static const char *const modes[] = {[COURIER_STS_NONE] = "none",
                                        [COURIER_STS_TESTING] = "testing",
                                        [COURIER_STS_ENFORCE] = "enforce"};
    struct courier_look *look = owner;
    const char *unnamed = policy == NULL ? NULL : first_unnamed(look->hosts, policy);

    look->question = NULL; /* it is freed behind us */
    send_answer(look->courier, look->asker, look->tag,
                policy == NULL
                    ? failure(err, why)
                    : json_pack("{s:s, s:s, s:s}", "status", "ok", "mode", modes[policy->mode],
                                "unnamed", unnamed == NULL ? "" : unnamed));
    look_free(look);
}

void courier_on_look(struct courier *courier, struct wire_channel *channel, uint64_t tag,
                     const json_t *arguments)
{
    const json_t *domain = json_object_get(arguments, "domain");
    const struct courier_ways *ways = courier->ways;
    struct courier_look *look;

    if (!json_is_string(domain) || ways == NULL || ways->look == NULL ||
        courier->look_count >= LOOKS_MAX || courier->is_stopping) {
        send_answer(courier, channel, tag, failure(ERR_BUSY, "the courier cannot look at it now"));
        return;
    }
    look = NEW(struct courier_look);
    *look = (struct courier_look){
        .next = courier->looks,
        .courier = courier,
        .asker = channel,
        .tag = tag,
        .hosts = json_incref(json_object_get(arguments, "hosts")),
    };
    courier->looks = look;
    courier->look_count++;
    look->question =
        ways->look(ways->destinations,
                   str_make(json_string_value(domain), json_string_length(domain)), on_look, look);
    if (look->question == NULL)
        on_look(look, ERR_BUSY, NULL, "there is no way to fetch it");
}

void courier_looks_forget(struct courier *courier, const struct wire_channel *channel)
{
    struct courier_look *look = courier->looks, *next;

    for (; look != NULL; look = next) {
        next = look->next;
        if (look->asker == channel)
            look_free(look);
    }
}

void courier_looks_free(struct courier *courier)
{
    while (courier->looks != NULL)
        look_free(courier->looks);
}
