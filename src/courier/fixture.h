/* For tests: a resolver that knows what a table says, behind a channel like the real one. */
#ifndef COURIER_FIXTURE_H
#define COURIER_FIXTURE_H

#include "dns/client.h"
#include "base/ip.h"

struct fixture_record {
    const char *name;
    enum dns_type type;
    enum dns_status status; /* not OK: the answer to every question for that name and type */
    bool is_secure;
    uint16_t preference;
    const char *data; /* an address, a name, a text; of TLSA: bytes in hex */
};

struct fixture;

/* `records` is borrowed. A name that none of them has does not exist. */
struct fixture *fixture_new(struct net_loop *loop, const struct fixture_record *records,
                            size_t count);
void fixture_free(struct fixture **fixture);
struct dns_client *fixture_dns(struct fixture *fixture);
/* Questions that came. */
size_t fixture_asked(const struct fixture *fixture);

#endif
