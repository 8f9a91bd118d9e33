/* The records that a domain's owner publishes: what they are, and whether they are there. */
#ifndef ACCOUNT_ADMIN_DNS_H
#define ACCOUNT_ADMIN_DNS_H

#include "account/admin/request.h"

enum admin_dns_role {
    ADMIN_DNS_HOST,  /* this host's own address; not printed, only checked */
    ADMIN_DNS_HOST6, /* likewise; one of both is enough */
    ADMIN_DNS_MX,
    ADMIN_DNS_SPF,
    ADMIN_DNS_DKIM,
    ADMIN_DNS_DMARC,
    ADMIN_DNS_STS,
    ADMIN_DNS_STS_HOST,
    ADMIN_DNS_TLS_REPORT,
    ADMIN_DNS_SERVICE, /* RFC 6186, RFC 8314 */
};

enum { ADMIN_DNS_RECORDS_MAX = 12 + ACCOUNT_KEYS_MAX, ADMIN_DNS_TTL_S = 3600 };

struct admin_dns_record {
    enum admin_dns_role role;
    enum dns_type type;
    struct str name;     /* without a dot at the end */
    struct str text;     /* of TXT; of others: the host that it names */
    uint16_t preference; /* of MX */
    uint16_t port;       /* of SRV */
    enum account_key_state key_state; /* of DKIM */
};

struct admin_dns {
    struct str domain, hostname;
    struct str smarthost; /* a name or an address, through which mail goes out; empty: none */
    bool uses_ipv6;       /* mail may go out by it */
    struct str policy_url, policy; /* of MTA-STS (RFC 8461 §3.2) */
    struct admin_dns_record records[ADMIN_DNS_RECORDS_MAX];
    size_t count;
};

/* What the domain that the request names should publish; in the request's arena. */
MUST_CHECK enum err admin_dns_collect(struct admin_request *request, struct admin_dns **out_dns);
const char *admin_dns_type_name(enum dns_type type);

#endif
