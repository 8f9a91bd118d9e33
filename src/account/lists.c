/* Allow and deny lists: entries' normal forms, and which one decides. */
#include "account/lists.h"

#include "account/address.h"
#include "base/ascii.h"
#include "base/ip.h"

enum { LABELS_MAX = 10 }; /* of a sender's domain, from the right: what is below is one with it */

static struct str network_text(struct task *task, const struct ip_network *network)
{
    char text[IP_ADDRESS_ROOM];

    ip_address_format(&network->address, text);
    return arena_printf(&task->arena, "%s/%u", text, network->prefix_bits);
}

/* 300.1.2.3 and 192.0.2 are addresses with a mistake: no top-level domain is a number. */
static bool is_of_digits(struct str domain)
{
    struct str last = str_from(domain, (size_t)(str_last_index(domain, '.') + 1));

    for (size_t i = 0; i < last.len; i++) {
        if (!ascii_is_digit(last.ptr[i]))
            return false;
    }
    return true;
}

enum err account_lists_parse(struct task *task, struct str text, enum account_list_kind *out_kind,
                             struct str *out_value)
{
    struct account_address address;
    struct ip_network network;

    if (ip_network_parse(text, &network)) {
        ip_network_cut(&network, network.prefix_bits);
        *out_kind = ACCOUNT_LIST_NETWORK;
        *out_value = network_text(task, &network);
        return ERR_OK;
    }
    if (str_index(text, '@') > 0) {
        TRY(account_address_parse(task, text, &address));
        *out_kind = ACCOUNT_LIST_ADDRESS;
        *out_value = arena_printf(&task->arena, "%.*s@%.*s", STR_ARG(address.local),
                                  STR_ARG(address.domain));
        return ERR_OK;
    }
    *out_kind = ACCOUNT_LIST_DOMAIN;
    TRY(account_domain_parse(task, str_from(text, str_index(text, '@') == 0 ? 1 : 0), out_value));
    return is_of_digits(*out_value) ? fail(task, ERR_INVALID, "an IP address with a mistake")
                                    : ERR_OK;
}

/* What is known so far; the first that is found in a scope stays. */
static enum err look_up(struct account_database *database, struct task *task,
                        const struct account_list_scope *of, struct str value,
                        struct account_list_verdicts *known)
{
    struct account_list_verdicts found;

    TRY(account_list_look_up(database, task, of, value, &found));
    if (known->of_alias == ACCOUNT_LIST_NONE)
        known->of_alias = found.of_alias;
    if (known->of_domain == ACCOUNT_LIST_NONE)
        known->of_domain = found.of_domain;
    if (known->of_host == ACCOUNT_LIST_NONE)
        known->of_host = found.of_host;
    return ERR_OK;
}

/* The last labels of a domain, at most LABELS_MAX. */
static struct str last_labels(struct str domain)
{
    size_t labels = 1, at = domain.len;

    while (at > 0 && labels <= LABELS_MAX) {
        if (domain.ptr[at - 1] == '.' && labels++ == LABELS_MAX)
            break;
        at--;
    }
    return str_from(domain, at);
}

static enum err look_up_sender(struct account_database *database, struct task *task,
                               const struct account_list_scope *of, struct str sender,
                               struct account_list_verdicts *known)
{
    struct account_address address;
    struct str rest;
    ptrdiff_t dot;

    if (sender.len == 0)
        return ERR_OK;
    if (account_address_parse(task, sender, &address) != ERR_OK) {
        task_forgive(task);
        return ERR_OK;
    }
    TRY(look_up(database, task, of,
                arena_printf(&task->arena, "%.*s@%.*s", STR_ARG(address.local),
                             STR_ARG(address.domain)),
                known));
    rest = last_labels(address.domain);
    for (;;) {
        TRY(look_up(database, task, of, rest, known));
        dot = str_index(rest, '.');
        if (dot < 0)
            return ERR_OK;
        rest = str_from(rest, (size_t)dot + 1);
    }
}

static enum err look_up_client(struct account_database *database, struct task *task,
                               const struct account_list_scope *of, struct str client,
                               struct account_list_verdicts *known)
{
    unsigned bits[ACCOUNT_PREFIXES_MAX];
    struct ip_address address;
    struct ip_network network;
    size_t count;

    if (!ip_address_parse(client, &address))
        return ERR_OK;
    (void)ip_address_unmap(&address);
    network = ip_network_of(&address);
    TRY(account_list_prefixes(database, task, bits, &count));
    for (size_t i = 0; i < count; i++) {
        if (bits[i] > network.prefix_bits)
            continue;
        ip_network_cut(&network, bits[i]); /* ever shorter */
        TRY(look_up(database, task, of, network_text(task, &network), known));
    }
    return ERR_OK;
}

enum err account_lists_judge(struct account_database *database, struct task *task,
                             const struct account_list_scope *of, struct str sender,
                             struct str client, enum account_list_verdict *out_verdict)
{
    struct account_list_verdicts known = {ACCOUNT_LIST_NONE, ACCOUNT_LIST_NONE, ACCOUNT_LIST_NONE};

    TRY(look_up_sender(database, task, of, sender, &known));
    TRY(look_up_client(database, task, of, client, &known));
    *out_verdict = known.of_host;
    if (known.of_domain != ACCOUNT_LIST_NONE)
        *out_verdict = known.of_domain;
    if (known.of_alias != ACCOUNT_LIST_NONE)
        *out_verdict = known.of_alias;
    return ERR_OK;
}
