/* `sealpost domain dns`: every record to publish, as a fragment of a zone file and as JSON. */
#include "account/admin/dns.h"

#include "account/admin/handlers.h"
#include "base/encode.h"
#include "base/ip.h"
#include "secret/crypt.h"

#include <assert.h>

enum {
    STRING_MAX = 255, /* RFC 1035 §3.3.14 */
    MX_PREFERENCE = 10,
    POLICY_ID_BYTES = 8,
};

static const struct {
    const char *label;
    uint16_t port;
} services[] = {{"_submissions._tcp", 465}, {"_imaps._tcp", 993}, {"_pop3s._tcp", 995}};

const char *admin_dns_type_name(enum dns_type type)
{
    switch (type) {
    case DNS_TYPE_A:
        return "A";
    case DNS_TYPE_NS:
        return "NS";
    case DNS_TYPE_CNAME:
        return "CNAME";
    case DNS_TYPE_SOA:
        return "SOA";
    case DNS_TYPE_PTR:
        return "PTR";
    case DNS_TYPE_MX:
        return "MX";
    case DNS_TYPE_TXT:
        return "TXT";
    case DNS_TYPE_AAAA:
        return "AAAA";
    case DNS_TYPE_SRV:
        return "SRV";
    case DNS_TYPE_TLSA:
        return "TLSA";
    }
    return "?";
}

static struct admin_dns_record *add(struct admin_dns *dns, enum admin_dns_role role,
                                    enum dns_type type, struct str name)
{
    struct admin_dns_record *record = &dns->records[dns->count];

    assert(dns->count < ADMIN_DNS_RECORDS_MAX);
    *record = (struct admin_dns_record){.role = role, .type = type, .name = name};
    dns->count++;
    return record;
}

/* label.domain */
static struct str below(struct admin_request *request, const char *label,
                        const struct admin_dns *dns)
{
    return arena_printf(&request->task.arena, "%s.%.*s", label, STR_ARG(dns->domain));
}

static enum err add_keys(struct admin_request *request, struct admin_dns *dns, int64_t domain)
{
    struct account_key *keys;
    size_t count;

    TRY(account_key_list(request->admin->database, &request->task, domain, &keys, &count));
    for (size_t i = 0; i < count; i++) {
        struct str name = arena_printf(&request->task.arena, "%.*s._domainkey.%.*s",
                                       STR_ARG(keys[i].selector), STR_ARG(dns->domain));
        struct admin_dns_record *record = add(dns, ADMIN_DNS_DKIM, DNS_TYPE_TXT, name);

        record->text = keys[i].record;
        record->key_state = keys[i].state;
    }
    return ERR_OK;
}

/* The id changes when the policy does (RFC 8461 §3.1), and is the same as long as it does not. */
static enum err add_sts(struct admin_request *request, struct admin_dns *dns)
{
    struct arena *arena = &request->task.arena;
    unsigned char digest[CRYPT_HASH_BYTES];
    CLEANUP(buf_free) struct buf id;

    buf_init(&id, SIZE_MAX);
    dns->policy = arena_printf(arena, "version: STSv1\nmode: testing\nmx: %.*s\nmax_age: 604800\n",
                               STR_ARG(dns->hostname));
    dns->policy_url = arena_printf(arena, "https://mta-sts.%.*s/.well-known/mta-sts.txt",
                                   STR_ARG(dns->domain));
    crypt_digest(dns->policy, digest);
    TRY(encode_hex(&id, str_make(digest, POLICY_ID_BYTES)));
    add(dns, ADMIN_DNS_STS, DNS_TYPE_TXT, below(request, "_mta-sts", dns))->text =
        arena_printf(arena, "v=STSv1; id=%.*s", STR_ARG(buf_str(&id)));
    add(dns, ADMIN_DNS_STS_HOST, DNS_TYPE_A, below(request, "mta-sts", dns))->text =
        STR("");
    return ERR_OK;
}

/* What we know of whom mail comes from. A smarthost may send from other addresses than it takes mail at, of
 * which only its provider can tell: so nobody is asked to refuse what the record does not name. */
static struct str sending_policy(struct admin_request *request, const struct admin_dns *dns)
{
    struct ip_address address;
    const char *mechanism = "a";

    if (dns->smarthost.len == 0)
        return STR("v=spf1 mx -all");
    if (ip_address_parse(dns->smarthost, &address))
        mechanism = address.is_v6 ? "ip6" : "ip4";
    return arena_printf(&request->task.arena, "v=spf1 mx %s:%.*s ~all", mechanism,
                        STR_ARG(dns->smarthost));
}

static enum err collect(struct admin_request *request, struct admin_dns *dns, int64_t domain)
{
    struct arena *arena = &request->task.arena;
    struct admin_dns_record *record;

    (void)add(dns, ADMIN_DNS_HOST, DNS_TYPE_A, dns->hostname);
    (void)add(dns, ADMIN_DNS_HOST6, DNS_TYPE_AAAA, dns->hostname);
    record = add(dns, ADMIN_DNS_MX, DNS_TYPE_MX, dns->domain);
    record->text = dns->hostname;
    record->preference = MX_PREFERENCE;
    add(dns, ADMIN_DNS_SPF, DNS_TYPE_TXT, dns->domain)->text = sending_policy(request, dns);
    TRY(add_keys(request, dns, domain));
    add(dns, ADMIN_DNS_DMARC, DNS_TYPE_TXT, below(request, "_dmarc", dns))->text =
        arena_printf(arena, "v=DMARC1; p=quarantine; rua=mailto:postmaster@%.*s",
                     STR_ARG(dns->domain));
    TRY(add_sts(request, dns));
    add(dns, ADMIN_DNS_TLS_REPORT, DNS_TYPE_TXT, below(request, "_smtp._tls", dns))->text =
        arena_printf(arena, "v=TLSRPTv1; rua=mailto:postmaster@%.*s", STR_ARG(dns->domain));
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        record = add(dns, ADMIN_DNS_SERVICE, DNS_TYPE_SRV, below(request, services[i].label, dns));
        record->text = dns->hostname;
        record->port = services[i].port;
    }
    return ERR_OK;
}

enum err admin_dns_collect(struct admin_request *request, struct admin_dns **out_dns)
{
    struct admin_dns *dns = ARENA_NEW(&request->task.arena, struct admin_dns);
    struct admin *admin = request->admin;
    struct account_domain domain;

    TRY(admin_find_domain(request, &domain));
    TRY(admin_make_keys_where_none(admin, &request->task, &domain));
    dns->domain = domain.name;
    dns->hostname = admin->services->hostname(admin->owner);
    dns->smarthost = admin->services->smarthost(admin->owner, &request->task);
    dns->uses_ipv6 = admin->services->uses_ipv6(admin->owner);
    TRY(collect(request, dns, domain.row));
    *out_dns = dns;
    return ERR_OK;
}

/* --- as text ---------------------------------------------------------------------------- */

/* RFC 1035 §5.1: strings of at most 255 bytes, quotes and backslashes escaped. */
static void put_strings(struct buf *out, struct str text)
{
    bool is_long = text.len > STRING_MAX;

    buf_putf(out, "%s", is_long ? "( " : "");
    do {
        struct str string = str_upto(text, STRING_MAX);

        buf_putf(out, "\"");
        for (size_t i = 0; i < string.len; i++)
            buf_putf(out, "%s%c", string.ptr[i] == '"' || string.ptr[i] == '\\' ? "\\" : "",
                     string.ptr[i]);
        buf_putf(out, "\"");
        text = str_from(text, string.len);
        buf_putf(out, "%s", text.len > 0 ? "\n\t\t" : "");
    } while (text.len > 0);
    buf_putf(out, "%s", is_long ? " )" : "");
}

static void put_data(struct buf *out, const struct admin_dns_record *record)
{
    if (record->type == DNS_TYPE_MX)
        buf_putf(out, "%u %.*s.", record->preference, STR_ARG(record->text));
    else if (record->type == DNS_TYPE_SRV)
        buf_putf(out, "0 1 %u %.*s.", record->port, STR_ARG(record->text));
    else
        put_strings(out, record->text);
}

static const char *comment_of(const struct admin_dns_record *record)
{
    switch (record->role) {
    case ADMIN_DNS_MX:
        return "Where mail for the domain goes.";
    case ADMIN_DNS_SPF:
        return "Who may send in its name (SPF).";
    case ADMIN_DNS_DKIM:
        if (record->key_state == ACCOUNT_KEY_WAITING)
            return "A new key, which does not sign yet (DKIM).";
        if (record->key_state == ACCOUNT_KEY_RETIRED)
            return "An old key, for mail that is still under way (DKIM).";
        return "What its mail is signed with (DKIM).";
    case ADMIN_DNS_DMARC:
        return "What becomes of mail that is neither (DMARC).";
    case ADMIN_DNS_STS:
        return "That its mail comes encrypted (MTA-STS).";
    case ADMIN_DNS_TLS_REPORT:
        return "Where troubles with that are told (TLS-RPT).";
    case ADMIN_DNS_SERVICE:
        return "Where mail programs find the service (RFC 6186, RFC 8314).";
    case ADMIN_DNS_HOST:
    case ADMIN_DNS_HOST6:
    case ADMIN_DNS_STS_HOST:
        return "";
    }
    return "";
}

/* Those whose data only the administrator knows. */
static bool is_printed(const struct admin_dns_record *record)
{
    return record->role != ADMIN_DNS_HOST && record->role != ADMIN_DNS_HOST6 &&
           record->role != ADMIN_DNS_STS_HOST;
}

static void put_zone(struct buf *out, const struct admin_dns *dns)
{
    const char *last = "";
    struct str rest = dns->policy, line;

    for (size_t i = 0; i < dns->count; i++) {
        const struct admin_dns_record *record = &dns->records[i];

        if (!is_printed(record))
            continue;
        if (comment_of(record) != last)
            buf_putf(out, "; %s\n", comment_of(record));
        last = comment_of(record);
        buf_putf(out, "%.*s.\t%d\tIN\t%s\t", STR_ARG(record->name), ADMIN_DNS_TTL_S,
                 admin_dns_type_name(record->type));
        put_data(out, record);
        buf_putf(out, "\n");
    }
    if (dns->smarthost.len > 0)
        buf_putf(out,
                 "; Mail goes out through %.*s: its provider says what else the SPF record needs, as a\n"
                 "; rule an include:, which goes before ~all; then that may be -all.\n",
                 STR_ARG(dns->smarthost));
    buf_putf(out, "; mta-sts.%.*s must lead to a web server which answers %.*s with\n",
             STR_ARG(dns->domain), STR_ARG(dns->policy_url));
    while (rest.len > 0 && str_split(&rest, '\n', &line) && line.len > 0)
        buf_putf(out, ";   %.*s\n", STR_ARG(line));
    buf_putf(out, "; (\"mode: enforce\" once that works, and a new id.)");
}

static void put_json(json_t *records, const struct admin_dns_record *record)
{
    CLEANUP(buf_free) struct buf data;
    json_t *item = json_object();

    buf_init(&data, SIZE_MAX);
    put_data(&data, record);
    admin_put_text(item, "name", record->name);
    json_object_set_new(item, "type", json_string(admin_dns_type_name(record->type)));
    admin_put_size(item, "ttl", ADMIN_DNS_TTL_S);
    admin_put_text(item, "value", record->type == DNS_TYPE_TXT ? record->text : buf_str(&data));
    json_object_set_new(item, "purpose", json_string(comment_of(record)));
    json_array_append_new(records, item);
}

enum err admin_domain_dns(struct admin_request *request)
{
    json_t *records = json_array(), *policy = json_object();
    CLEANUP(buf_free) struct buf zone;
    struct admin_dns *dns;
    enum err err;

    buf_init(&zone, SIZE_MAX);
    json_object_set_new(request->reply, "records", records);
    json_object_set_new(request->reply, "mta_sts", policy);
    err = admin_dns_collect(request, &dns);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < dns->count; i++) {
        if (is_printed(&dns->records[i]))
            put_json(records, &dns->records[i]);
    }
    admin_put_text(policy, "url", dns->policy_url);
    admin_put_text(policy, "policy", dns->policy);
    put_zone(&zone, dns);
    admin_put_text(request->reply, "message", buf_str(&zone));
    admin_hint(request, "; See which are there with: sealpost domain check %.*s",
               STR_ARG(dns->domain));
    return ERR_OK;
}
