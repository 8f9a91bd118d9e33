/*
 * What the DNS says: the answer to one question, as every role but the resolver knows it. Aliases
 * (CNAME) are followed already: the records are of the type that was asked for, wherever they were.
 */
#ifndef DNS_ANSWER_H
#define DNS_ANSWER_H

#include "base/buf.h"
#include "base/str.h"
#include "base/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dns_type { /* RFC 1035 §3.2.2 and later; the numbers are those of the wire */
    DNS_TYPE_A = 1,
    DNS_TYPE_NS = 2,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_MX = 15,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_SRV = 33,
    DNS_TYPE_TLSA = 52,
};

enum dns_status {
    DNS_OK,      /* there are records */
    DNS_NO_NAME, /* NXDOMAIN */
    DNS_NO_DATA, /* the name is there, none of its records is of this type */
    DNS_FAILED,  /* nobody knows now: SERVFAIL, time-out, nonsense. Worth asking again later. */
};

enum { DNS_RECORDS_MAX = 256, DNS_NAME_MAX = 253 };

/* Whom the resolver asks. */
enum dns_service {
    DNS_SERVICE_GENERAL,
    DNS_SERVICE_LISTS,  /* for DNS block lists, which refuse public resolvers */
    DNS_SERVICE_FILTER, /* servers that hide or redirect what they know to be bad */
};

struct dns_record {
    uint32_t ttl_s;
    uint16_t preference;       /* of MX; priority of SRV */
    uint16_t weight, port;     /* of SRV */
    struct str name;           /* of MX, NS, CNAME, PTR, SRV: lower case, no dot at the end; the root (a
                                * null MX, RFC 7505) is empty */
    struct str data;           /* A: 4 bytes, AAAA: 16, TXT: its strings joined, TLSA: the RDATA */
};

struct dns_answer {
    enum dns_status status;
    bool is_secure; /* DNSSEC: the AD bit, by a resolver that we trust to set it */
    struct dns_record *records; /* in the task's arena */
    size_t count;
};

/* The records as they travel between roles (wire_dns_answer). */
void dns_answer_encode(const struct dns_answer *answer, struct buf *out);
/* Fills records and count; views of `bytes`, the array in the arena. ERR_CORRUPT. */
MUST_CHECK enum err dns_answer_decode(struct task *task, struct str bytes,
                                      struct dns_answer *out);
/* Encoded records that were kept for a while: takes `age_s` off their TTLs, down to 0. */
void dns_answer_age(struct buf *records, uint32_t age_s);

#endif
