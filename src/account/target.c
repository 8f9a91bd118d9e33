/* Targets of forwards, and the URLs of webhooks. */
#include "account/target.h"

#include "account/address.h"
#include "account/database_rules.h"
#include "base/ascii.h"
#include "base/ip.h"

#include <string.h>

/* host:port; [IPv6]:port */
static enum err parse_host(struct task *task, struct str text, struct str *out_via)
{
    ptrdiff_t colon = str_last_index(text, ':');
    struct ip_address address;
    struct str host, name;
    uint32_t port = 0;

    if (colon <= 0 || !parse_u32(str_from(text, (size_t)colon + 1), &port) || port == 0 ||
        port > UINT16_MAX)
        return fail(task, ERR_INVALID, "the port is missing or none");
    host = str_upto(text, (size_t)colon);
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        if (!ip_address_parse(str_make(host.ptr + 1, host.len - 2), &address) || !address.is_v6)
            return fail(task, ERR_INVALID, "between brackets stands an IPv6 address");
        name = host;
    } else {
        TRY(account_domain_parse(task, host, &name)); /* an IPv4 address passes as a name */
    }
    *out_via = arena_printf(&task->arena, "%.*s:%u", STR_ARG(name), port);
    return ERR_OK;
}

static bool is_host_form(struct str text)
{
    ptrdiff_t colon = str_last_index(text, ':');

    return colon >= 0 && str_index(text, '@') < 0;
}

/* local@domain, if that is an address. The local part stays as it was written: only its own host knows
 * what it means. */
static enum err make_address(struct task *task, struct str local, struct str domain,
                             struct str *out_to)
{
    struct account_address parsed;
    struct ip_address address;

    TRY(account_address_parse(
        task, arena_printf(&task->arena, "%.*s@%.*s", STR_ARG(local), STR_ARG(domain)), &parsed));
    if (ip_address_parse(parsed.domain, &address))
        return fail(task, ERR_INVALID, "an IP address is no domain; as a host it has a port");
    *out_to = arena_printf(&task->arena, "%.*s@%.*s", STR_ARG(local), STR_ARG(parsed.domain));
    return ERR_OK;
}

/* The same with the tag, which is left out where the local part has one, is quoted, or would become
 * too long. */
static enum err make_tagged(struct task *task, struct str local, struct str detail,
                            struct str domain, struct str *out_to)
{
    struct str tagged = arena_printf(&task->arena, "%.*s+%.*s", STR_ARG(local), STR_ARG(detail));

    TRY(make_address(task, local, domain, out_to));
    if (detail.len == 0 || local.ptr[0] == '"' || str_index(local, '+') >= 0 ||
        tagged.len > ACCOUNT_LOCAL_MAX)
        return ERR_OK;
    if (make_address(task, tagged, domain, out_to) != ERR_OK)
        task_forgive(task);
    return ERR_OK;
}

enum err account_target_resolve(struct task *task, struct str text,
                                const struct account_destination *destination,
                                struct account_forward *out_forward)
{
    struct account_forward forward = {.via = STR("")};
    ptrdiff_t at = str_last_index(text, '@');

    if (text.len == 0 || text.len > ACCOUNT_TARGET_TEXT_MAX)
        return fail(task, ERR_INVALID, "the target is empty or too long");
    if (is_host_form(text)) {
        TRY(parse_host(task, text, &forward.via));
        TRY(make_address(task, destination->local, destination->domain, &forward.to));
    } else if (at <= 0) {
        TRY(make_address(task, destination->local, str_from(text, (size_t)(at + 1)), &forward.to));
    } else {
        struct str domain = str_from(text, (size_t)at + 1);

        TRY(make_tagged(task, str_upto(text, (size_t)at), destination->detail,
                        domain.len > 0 ? domain : destination->domain, &forward.to));
    }
    *out_forward = forward;
    return ERR_OK;
}

/* RFC 3986 §3.2: the part between "//" and the path. */
static struct str authority_of(struct str rest)
{
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] == '/' || rest.ptr[i] == '?' || rest.ptr[i] == '#')
            return str_upto(rest, i);
    }
    return rest;
}

enum err account_webhook_check(struct task *task, struct str url)
{
    struct str rest, authority;

    if (url.len > ACCOUNT_TARGET_TEXT_MAX)
        return fail(task, ERR_INVALID, "the URL is too long");
    for (size_t i = 0; i < url.len; i++) {
        if (url.ptr[i] <= ' ' || url.ptr[i] == 0x7f || ascii_is_8bit(url.ptr[i]))
            return fail(task, ERR_INVALID, "a URL has no spaces and only ASCII characters");
    }
    if (str_starts_with_nocase(url, STR("https://")))
        rest = str_from(url, strlen("https://"));
    else if (str_starts_with_nocase(url, STR("http://")))
        rest = str_from(url, strlen("http://"));
    else
        return fail(task, ERR_INVALID, "a webhook's URL begins with https:// or http://");
    authority = authority_of(rest);
    if (authority.len == 0 || authority.ptr[0] == ':')
        return fail(task, ERR_INVALID, "the URL names no host");
    if (str_index(authority, '@') >= 0)
        return fail(task, ERR_INVALID, "a URL with a password in it is not kept");
    return ERR_OK;
}
